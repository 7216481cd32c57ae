/*
 * pool/stack.c - stacks by mmap. The pool has its own, because those of the C library cannot be trimmed: what a deep
 * call touched once would stay resident for as long as its thread idles.
 */
#include "pool/stack.h"

#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    LINE_BYTES = 64,
    RED_ZONE_BYTES = 1024 /* below the caller's frame: madvise's own frame, and what an ABI reserves */
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t usual_bytes(void)
{
    pthread_attr_t attr;
    size_t bytes = 0;
    pthread_attr_init(&attr);
    pthread_attr_getstacksize(&attr, &bytes);
    pthread_attr_destroy(&attr);
    return bytes;
}

bool stack_alloc(struct stack *s, size_t bytes)
{
    size_t page = page_bytes(), least = (size_t)PTHREAD_STACK_MIN + page;
    if (bytes == 0)
        bytes = usual_bytes();
    if (bytes < least)
        bytes = least;
    s->bytes = (bytes + page - 1) / page * page;
    s->mapped_bytes = page + s->bytes;
    s->mapping = mmap(NULL, s->mapped_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (s->mapping == MAP_FAILED)
        return false;
    if (mprotect(s->mapping, page, PROT_NONE) == 0)
        return true;
    stack_free(s);
    return false;
}

void *stack_reserve(struct stack *s, size_t bytes)
{
    s->bytes -= (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    return s->mapping + page_bytes() + s->bytes;
}

void stack_free(struct stack *s)
{
    munmap(s->mapping, s->mapped_bytes);
}

void *stack_base(const struct stack *s)
{
    return s->mapping + page_bytes();
}

void stack_trim(const struct stack *s)
{
    size_t page = page_bytes();
    char *base = s->mapping + page, *here = __builtin_frame_address(0);
    size_t above = (size_t)(here - base);
    if (above > s->bytes || above <= page + RED_ZONE_BYTES)
        return; /* not on this stack, or nothing below */
    madvise(base, (above - RED_ZONE_BYTES) / page * page, MADV_DONTNEED);
}
