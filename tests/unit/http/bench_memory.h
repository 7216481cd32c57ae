/*
 * tests/unit/http/bench_memory.h - memory that there is not: which allocation fails, and whether all behind it do. For programs that are linked so
 * (see GNUmakefile): the linker puts the functions called __wrap_NAME in the place of NAME.
 */
#ifndef WEIR_TESTS_UNIT_HTTP_BENCH_MEMORY_H
#define WEIR_TESTS_UNIT_HTTP_BENCH_MEMORY_H

#include "tests/unit/http/bench_client.h"

static struct {
    bool counts;
    long calls, fail_at;
    bool for_good;
    /* What a first realloc of that size asks for is there; 0: for none. */
    size_t spared_bytes;
} memory;

/* Who grows by what the test itself puts there. */
static const struct buf *of_test;

static bool is_out(void)
{
    if (!memory.counts)
        return false;
    memory.calls++;
    return memory.calls == memory.fail_at || (memory.for_good && memory.calls > memory.fail_at);
}

/* A call that may be out of memory, and what it returns then. */
#define WRAP(type, name, parameters, arguments, failed)     \
    type __wrap_##name parameters;                          \
    type __real_##name parameters;                          \
    type __wrap_##name parameters                           \
    {                                                       \
        return is_out() ? failed : __real_##name arguments; \
    }

#define NO_TEXT ((struct slice){0})

WRAP(void *, malloc, (size_t bytes), (bytes), NULL)
WRAP(void *, calloc, (size_t count, size_t bytes), (count, bytes), NULL)
WRAP(void *, aligned_alloc, (size_t alignment, size_t bytes), (alignment, bytes), NULL)
WRAP(void *, arena_alloc, (struct arena * a, size_t size), (a, size), NULL)
WRAP(void *, arena_zalloc, (struct arena * a, size_t size), (a, size), NULL)
WRAP(struct slice, arena_dup, (struct arena * a, struct slice s), (a, s), NO_TEXT)
WRAP(struct slice, arena_dup_lower, (struct arena * a, struct slice s), (a, s), NO_TEXT)
WRAP(struct slice, arena_join, (struct arena * a, struct slice s, struct slice t), (a, s, t), NO_TEXT)
WRAP(struct slice, arena_number, (struct arena * a, unsigned long long n), (a, n), NO_TEXT)

void *__wrap_realloc(void *old, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
struct slice __wrap_arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool __wrap_buf_append(struct buf *b, const void *data, size_t n);
bool __real_buf_append(struct buf *b, const void *data, size_t n);
bool __wrap_buf_append_slice(struct buf *b, struct slice s);
bool __wrap_buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

void *__wrap_realloc(void *old, size_t bytes)
{
    bool is_spared = !old && bytes == memory.spared_bytes;
    return !is_spared && is_out() ? NULL : __real_realloc(old, bytes);
}

struct slice __wrap_arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct slice made = is_out() ? NO_TEXT : arena_vprintf(a, format, args);
    va_end(args);
    return made;
}

bool __wrap_buf_append(struct buf *b, const void *data, size_t n)
{
    return b != of_test && is_out() ? false : __real_buf_append(b, data, n);
}

bool __wrap_buf_append_slice(struct buf *b, struct slice s)
{
    return __wrap_buf_append(b, s.data, s.len);
}

bool __wrap_buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool ok = !is_out() && buf_vprintf(b, format, args);
    va_end(args);
    return ok;
}

/* So that each run asks for the same: no exchange, buffer or file is kept from the one before. */
static inline void forget_all(void)
{
    struct worker *w = &bench.w;
    while (w->free_exchange_count > 0)
        exchange_destroy(w->free_exchanges[--w->free_exchange_count]);
    gzip_free_spares();
    buf_free(&w->output);
    file_cache_free(&w->files);
    file_cache_init(&w->files);
    bench_set_time(w->now_ms);
}

#endif
