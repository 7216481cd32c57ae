/*
 * shm/running.c - records of what runs: a bit for each, taken by compare-and-swap.
 */
#include "shm/running.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

struct running *running_begin(struct running_table *t, uint64_t now_ms)
{
    uint64_t taken = atomic_load(&t->taken);
    int i;
    do {
        if (taken == UINT64_MAX)
            return NULL;
        i = __builtin_ctzll(~taken);
    } while (!atomic_compare_exchange_weak(&t->taken, &taken, taken | UINT64_C(1) << i));
    struct running *r = &t->records[i];
    *r = (struct running){.since_ms = now_ms};
    return r;
}

void running_end(struct running_table *t, struct running *r)
{
    assert(r >= t->records && r < t->records + RUNNING_RECORDS);
    atomic_fetch_and(&t->taken, ~(UINT64_C(1) << (r - t->records)));
}

void running_set(char *field, size_t bytes, struct slice text)
{
    assert(bytes > 0 && (text.data || !text.len));
    size_t n = text.len < bytes ? text.len : bytes - 1;
    memcpy(field, text.data, n);
    field[n] = '\0';
}
