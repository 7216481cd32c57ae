/*
 * pool/stack.c - stacks by mmap. The pool has its own, because those of the C library cannot be trimmed: what a deep
 * call touched once would stay resident for as long as its thread idles.
 *
 * They are mapped up to SLAB_STACKS at a time, and their guards are marks in the page table where the system has such (Linux 6.13): so
 * ten thousand threads have some hundred mappings and not twenty thousand, among which each fault, each new stack and each end
 * would have to find its own, one after the other.
 */
#include "pool/stack.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SLAB_STACKS = 64, /* at most */
    /* Most bytes of a slab: large stacks are mapped one by one. */
    SLAB_BYTES = 8 << 20,
    /* MADV_GUARD_INSTALL of asm-generic/mman-common.h. */
    GUARD_INSTALL = 102,
    LINE_BYTES = 64,
    /* Below the caller's frame: madvise's own frame, and what an ABI reserves. */
    RED_ZONE_BYTES = 1024
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

/* Protected by slabs_lock, but for what never changes. Those with free stacks come first. */
struct stack_slab {
    struct stack_slab *before, *next;
    char *base;
    size_t each_bytes, bytes;
    uint64_t all; /* a bit for each stack */
    uint64_t free;
    /* A bit for each stack whose guard is there: it stays when the stack is given back. */
    uint64_t guarded;
};

static pthread_mutex_t slabs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stack_slab *slabs;

/* Lock held. */
static struct stack_slab *new_slab(size_t each_bytes)
{
    assert(each_bytes > 0 && each_bytes % page_bytes() == 0);
    size_t count = each_bytes < SLAB_BYTES ? SLAB_BYTES / each_bytes : 1;
    struct stack_slab *slab = calloc(1, sizeof *slab);
    if (!slab)
        return NULL;
    slab->all = count < SLAB_STACKS ? (1ull << count) - 1 : UINT64_MAX;
    slab->bytes = each_bytes * (count < SLAB_STACKS ? count : SLAB_STACKS);
    slab->base = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (slab->base == MAP_FAILED) {
        free(slab);
        return NULL;
    }
    slab->each_bytes = each_bytes;
    slab->free = slab->all;
    slab->next = slabs;
    if (slabs)
        slabs->before = slab;
    slabs = slab;
    return slab;
}

static bool guard(char *page)
{
    return madvise(page, page_bytes(), GUARD_INSTALL) == 0 || mprotect(page, page_bytes(), PROT_NONE) == 0;
}

static bool take_from_slab(struct stack *s)
{
    pthread_mutex_lock(&slabs_lock);
    struct stack_slab *slab = slabs;
    while (slab && (slab->each_bytes != s->mapped_bytes || !slab->free))
        slab = slab->next;
    if (!slab)
        slab = new_slab(s->mapped_bytes);
    if (!slab) {
        pthread_mutex_unlock(&slabs_lock);
        return false;
    }
    assert((slab->free & ~slab->all) == 0);
    unsigned i = (unsigned)__builtin_ctzll(slab->free);
    bool guarded = slab->guarded >> i & 1;
    slab->free &= ~(1ull << i);
    slab->guarded |= 1ull << i;
    s->slab = slab;
    s->mapping = slab->base + i * slab->each_bytes;
    pthread_mutex_unlock(&slabs_lock);
    if (guarded || guard(s->mapping))
        return true;
    pthread_mutex_lock(&slabs_lock);
    slab->guarded &= ~(1ull << i);
    pthread_mutex_unlock(&slabs_lock);
    stack_free(s);
    return false;
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
    return take_from_slab(s);
}

void *stack_reserve(struct stack *s, size_t bytes)
{
    assert(bytes < s->bytes);
    s->bytes -= (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    return s->mapping + page_bytes() + s->bytes;
}

void stack_free(struct stack *s)
{
    struct stack_slab *slab = s->slab;
    size_t page = page_bytes();
    uint64_t bit = 1ull << (size_t)(s->mapping - slab->base) / slab->each_bytes;
    madvise(s->mapping + page, s->mapped_bytes - page, MADV_DONTNEED); /* the next one finds zeros */
    pthread_mutex_lock(&slabs_lock);
    assert((slab->all & bit) && !(slab->free & bit));
    slab->free |= bit;
    bool unused = slab->free == slab->all;
    if (unused) {
        assert((slab->before ? slab->before->next : slabs) == slab);
        *(slab->before ? &slab->before->next : &slabs) = slab->next;
        if (slab->next)
            slab->next->before = slab->before;
    }
    pthread_mutex_unlock(&slabs_lock);
    if (unused) {
        munmap(slab->base, slab->bytes);
        free(slab);
    }
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
