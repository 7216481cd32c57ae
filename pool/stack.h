/*
 * pool/stack.h - memory for a thread's stack, with a guard page below it, that can be given back while it is in use.
 *
 * Ownership: stack_free after the thread has been joined.
 */
#ifndef WEIR_POOL_STACK_H
#define WEIR_POOL_STACK_H

#include <stdbool.h>
#include <stddef.h>

struct stack_slab;

struct stack {
    struct stack_slab *slab; /* where it lies, with others */
    /* The guard page, then `bytes` of stack, then what was reserved. */
    char *mapping;
    size_t bytes, mapped_bytes;
};

/* At least `bytes` (0: what RLIMIT_STACK says). False with errno. Only what is touched costs memory. */
bool stack_alloc(struct stack *s, size_t bytes);
void stack_free(struct stack *s);

/* Takes memory off the top, zeroed and aligned to a line of cache; at most a page. Before the stack is used. */
void *stack_reserve(struct stack *s, size_t bytes);

/* The lowest usable address. */
void *stack_base(const struct stack *s);

/* Gives back the memory below the caller's frame. By the thread that runs on it. */
void stack_trim(const struct stack *s);

#endif
