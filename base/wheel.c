/*
 * base/wheel.c - hashed timing wheel with lazily moved entries.
 *
 * Slot i holds entries whose tick was i modulo WHEEL_SLOTS when they were put there. When a slot comes round, each of
 * its entries either fires or, if its deadline lies later, goes to the slot of that deadline.
 */
#include "base/wheel.h"

#include <assert.h>
#include <stdbool.h>

static uint64_t tick_of(uint64_t ms)
{
    return (ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
}

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (int i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    for (int i = 0; i < WHEEL_SLOTS / 64; i++)
        w->occupied[i] = 0;
    w->now_tick = now_ms / WHEEL_TICK_MS;
}

/* A deadline further than one turn away is looked at after a turn, and put again then. */
static void place(struct wheel *w, struct wheel_entry *e)
{
    uint64_t tick = tick_of(e->deadline_ms);
    assert(e->deadline_ms != 0 && list_empty(&e->node));
    if (tick <= w->now_tick)
        tick = w->now_tick + 1;
    if (tick > w->now_tick + WHEEL_SLOTS - 1)
        tick = w->now_tick + WHEEL_SLOTS - 1;
    assert(tick > w->now_tick && tick < w->now_tick + WHEEL_SLOTS);
    unsigned slot = (unsigned)(tick % WHEEL_SLOTS);
    list_push_back(&w->slots[slot], &e->node);
    w->occupied[slot / 64] |= 1ull << (slot % 64);
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t deadline_ms)
{
    bool later = e->deadline_ms != 0 && deadline_ms >= e->deadline_ms && !list_empty(&e->node);
    assert(deadline_ms != 0);
    e->deadline_ms = deadline_ms;
    if (later)
        return;
    list_remove(&e->node);
    place(w, e);
}

void wheel_clear(struct wheel_entry *e)
{
    e->deadline_ms = 0;
    list_remove(&e->node);
}

static void look_at_slot(struct wheel *w, unsigned slot, uint64_t now_ms,
                         void (*fire)(struct wheel_entry *, void *), void *arg)
{
    struct list_node batch;
    list_move_all(&batch, &w->slots[slot]);
    w->occupied[slot / 64] &= ~(1ull << (slot % 64));
    while (!list_empty(&batch)) {
        struct wheel_entry *e = container_of(batch.next, struct wheel_entry, node);
        list_remove(&e->node);
        assert(e->deadline_ms != 0); /* one that is cleared is in no list */
        if (e->deadline_ms > now_ms) {
            place(w, e);
            continue;
        }
        e->deadline_ms = 0;
        fire(e, arg);
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_entry *e, void *arg),
                   void *arg)
{
    uint64_t target = now_ms / WHEEL_TICK_MS;
    /* A whole turn passed: each slot is looked at once. */
    if (target > w->now_tick + WHEEL_SLOTS)
        w->now_tick = target - WHEEL_SLOTS;
    while (w->now_tick < target) {
        w->now_tick++;
        unsigned slot = (unsigned)(w->now_tick % WHEEL_SLOTS);
        if (w->occupied[slot / 64] & (1ull << (slot % 64)))
            look_at_slot(w, slot, now_ms, fire, arg);
    }
}

uint64_t wheel_next_ms(const struct wheel *w)
{
    for (uint64_t ahead = 1; ahead <= WHEEL_SLOTS;) {
        unsigned slot = (unsigned)((w->now_tick + ahead) % WHEEL_SLOTS);
        uint64_t bits = w->occupied[slot / 64] >> (slot % 64);
        if (bits)
            return (w->now_tick + ahead + (uint64_t)__builtin_ctzll(bits)) * WHEEL_TICK_MS;
        ahead += 64 - slot % 64;
    }
    return 0;
}
