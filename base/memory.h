/*
 * base/memory.h - what the allocator holds, and giving it back.
 *
 * jemalloc is the allocator; sanitizer builds, which bring their own, answer with what /proc says and purge nothing.
 * Threads: safe from any thread.
 */
#ifndef WEIR_BASE_MEMORY_H
#define WEIR_BASE_MEMORY_H

#include <stddef.h>

struct memory_figures {
    /* Bytes handed out by the allocator and not freed. */
    size_t allocated_bytes;
    size_t active_bytes;   /* in pages that hold something allocated */
    size_t resident_bytes; /* resident set of this process */
};

void memory_read_figures(struct memory_figures *out);

/* Returns every unused page to the system. Costs some microseconds to milliseconds; meant for idle moments. */
void memory_purge(void);

/* "jemalloc", or "libc" in builds that bring their own allocator. */
const char *memory_allocator_name(void);

#endif
