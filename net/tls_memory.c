/*
 * net/tls_memory.c - memory for what each connection with TLS has for as long as it lives.
 *
 * The library keeps 7.4 KiB for a connection in one block, which the general allocator would round up to 8. Blocks of about that size lie
 * beside each other in a range of their own; all other sizes are the general allocator's.
 * Threads: any.
 */
#include "net/tls_internal.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ROUNDED_UP_FROM = 7168, /* above it to 8192 */
    BLOCK_BYTES = 7680,
    /* So many connections of a process; others cost more. */
    BLOCKS = 1 << 17,
    KEPT = 64 /* without asking the system each time */
};

struct block {
    struct block *next;
};

static struct {
    atomic_flag is_locked;
    char *range; /* NULL: there is none */
    /* Blocks from its beginning that have been handed out. */
    size_t used;
    size_t live;
    struct block *free;
} blocks = {.is_locked = ATOMIC_FLAG_INIT};

/* For a few instructions. */
static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&blocks.is_locked, memory_order_acquire))
        sched_yield();
}

static void unlock(void)
{
    atomic_flag_clear_explicit(&blocks.is_locked, memory_order_release);
}

static bool is_block(const void *p)
{
    return blocks.range && (const char *)p >= blocks.range &&
           (const char *)p < blocks.range + (size_t)BLOCKS * BLOCK_BYTES;
}

static void *take_block(void)
{
    void *taken = NULL;
    lock();
    if (blocks.free) {
        taken = blocks.free;
        blocks.free = blocks.free->next;
    } else if (blocks.used < BLOCKS) {
        taken = blocks.range + blocks.used++ * BLOCK_BYTES;
    }
    blocks.live += taken != NULL;
    unlock();
    return taken;
}

/* Once none is in use the system gets all of it back, if it is much. */
static void give_block_back(void *p)
{
    struct block *b = p;
    lock();
    assert(blocks.live > 0);
    b->next = blocks.free;
    blocks.free = b;
    if (--blocks.live == 0 && blocks.used > KEPT) {
        madvise(blocks.range, blocks.used * BLOCK_BYTES, MADV_DONTNEED);
        blocks.free = NULL;
        blocks.used = 0;
    }
    unlock();
}

static void *take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    void *block = size > ROUNDED_UP_FROM && size <= BLOCK_BYTES && blocks.range ? take_block() : NULL;
    return block ? block : malloc(size);
}

static void give_back(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    if (is_block(p))
        give_block_back(p);
    else
        free(p);
}

static void *resize(void *p, size_t size, const char *file, int line)
{
    if (!is_block(p))
        return realloc(p, size);
    void *larger = size ? take(size, file, line) : NULL;
    if (larger)
        memcpy(larger, p, size < BLOCK_BYTES ? size : BLOCK_BYTES);
    if (larger || size == 0)
        give_block_back(p);
    return larger;
}

/* A sanitizer of addresses has to know each block: then all sizes are the general allocator's. */
static bool is_watched(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

void net_tls_begin_process(void)
{
    if (is_watched())
        return;
    void *range = mmap(NULL, (size_t)BLOCKS * BLOCK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED)
        return;
    if (CRYPTO_set_mem_functions(take, resize, give_back) == 1)
        blocks.range = range;
    else
        munmap(range, (size_t)BLOCKS * BLOCK_BYTES);
}
