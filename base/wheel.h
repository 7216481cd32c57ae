/*
 * base/wheel.h - a hashed timing wheel: O(1) to set, move and clear a deadline, for many that rarely fire.
 *
 * A deadline that moves later costs one store: the entry stays in its old slot and is put right when that slot comes
 * round (the same idea as scheme 6 of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987).
 * Precision: entries fire up to WHEEL_TICK_MS late, never early.
 * Threads:   one thread at a time.
 */
#ifndef WEIR_BASE_WHEEL_H
#define WEIR_BASE_WHEEL_H

#include "base/list.h"

#include <stdint.h>

enum { WHEEL_TICK_MS = 16, WHEEL_SLOTS = 1024 };

struct wheel_entry {
    struct list_node node; /* in a slot's list, or in none */
    uint64_t deadline_ms;  /* 0 when not armed */
    int kind;              /* the user's, for whoever is called */
};

struct wheel {
    struct list_node slots[WHEEL_SLOTS];
    uint64_t occupied[WHEEL_SLOTS / 64]; /* bit set: the slot may hold entries */
    /* Slots up to this tick have been looked at. */
    uint64_t now_tick;
};

void wheel_init(struct wheel *w, uint64_t now_ms);

static inline void wheel_entry_init(struct wheel_entry *e)
{
    list_init(&e->node);
    e->deadline_ms = 0;
    e->kind = 0;
}

/* Arms e, or moves its deadline. deadline_ms is monotonic and not 0. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t deadline_ms);

/* Disarms e; harmless when it is not armed. */
void wheel_clear(struct wheel_entry *e);

/*
 * Calls fire(e, arg) for each entry whose deadline has passed, disarmed beforehand; fire may set, clear or free any
 * entry, its own included.
 */
void wheel_advance(struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_entry *e, void *arg),
                   void *arg);

/* When wheel_advance is wanted next, in monotonic ms; 0 when nothing is armed. */
uint64_t wheel_next_ms(const struct wheel *w);

#endif
