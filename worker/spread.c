/*
 * worker/spread.c - how much a worker has to do beside its siblings, and whether the next connection is for one of them.
 *
 * All workers hear of a connection that waits, and the first one has it: with nothing else that may be the same one again and
 * again. So one that is ahead of another by some connections stands back for a moment. Whoever was to have them may be stopped,
 * and look idle: if nobody has accepted by the end of the moment, the worker takes all that comes for a while.
 */
#include "worker/spread.h"

#include "base/clock.h"
#include "base/hist.h"
#include "conf/conf.h"
#include "shm/shm.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

enum {
    AHEAD = 2,         /* by so many, or */
    AHEAD_PART = 8,    /* by one of so many, if that is more */
    LOOKED_AT = 8,     /* siblings, at most */
    LONG_TURN_MS = 20, /* of a loop: others wait behind it */
    SLOW_FOR_MS = 200, /* after such a turn */
    SLOW_COUNTS = 4,   /* as so many connections more */
    /* Right after a moment: what waits then has waited in it. */
    BACK_MS = 1,
    /* So long nobody has taken what was left; then all is taken here. */
    PATIENCE_MS = 50,
    ALONE_FOR_MS = 1000
};

static const double MOMENT_S = 0.002;

/* What it has, and what of that is at work, counted once more. */
static uint64_t load_of(const struct shm_slot *s, uint64_t now_ms)
{
    uint64_t since_ms = counter_get(&s->turn_since_ms);
    bool slow = counter_get(&s->slow_until_ms) > now_ms || (since_ms && now_ms >= since_ms + LONG_TURN_MS);
    return counter_get(&s->connections) + counter_get(&s->in_flight) + (slow ? SLOW_COUNTS : 0);
}

/* A worker of the same configuration that takes connections. */
static bool is_sibling(const struct worker *w, const struct shm_slot *s)
{
    return s != w->slot && s->state == SHM_RUNNING &&
           counter_get(&s->generation) == counter_get(&w->slot->generation) &&
           counter_get(&s->connections) < (uint64_t)w->conf->worker_connections;
}

/* How many all others have accepted. */
static uint64_t accepted_elsewhere(const struct worker *w)
{
    uint64_t sum = 0;
    for (int i = 0; i < shm_slots_used(w->shm); i++)
        if (&w->shm->slots[i] != w->slot)
            sum += counter_get(&w->shm->slots[i].accepted);
    return sum;
}

/* Right behind a moment: a connection waits that nobody has wanted. */
static void note_left_over(struct worker *w)
{
    if (accepted_elsewhere(w) == w->spread.accepted_elsewhere &&
        w->now_ms >= w->spread.since_ms + PATIENCE_MS)
        w->spread.alone_until_ms = w->now_ms + ALONE_FOR_MS;
}

bool spread_leaves_next(struct worker *w)
{
    int used = shm_slots_used(w->shm), own = w->options->slot, looked_at = 0;
    if (w->now_ms <= w->spread.back_ms + BACK_MS)
        note_left_over(w);
    if (w->now_ms < w->spread.alone_until_ms)
        return false;
    uint64_t mine = load_of(w->slot, w->now_ms);
    uint64_t ahead = mine / AHEAD_PART > AHEAD ? mine / AHEAD_PART : AHEAD;
    if (mine <= ahead)
        return false;
    for (int i = 1; i < used && looked_at < LOOKED_AT; i++) {
        const struct shm_slot *s = &w->shm->slots[(own + i) % used];
        if (!is_sibling(w, s))
            continue;
        looked_at++;
        if (load_of(s, w->now_ms) + ahead < mine)
            return true;
    }
    return false;
}

static void on_moment_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)loop;
    (void)events;
    w->spread.back_ms = w->now_ms;
    w->spread.over(w);
}

void spread_leave(struct worker *w, void (*over)(struct worker *w))
{
    if (ev_is_active(&w->spread.moment))
        return;
    uint64_t accepted = accepted_elsewhere(w);
    /* The first moment, or others have taken something meanwhile. */
    if (w->now_ms > w->spread.back_ms + BACK_MS || accepted != w->spread.accepted_elsewhere)
        w->spread.since_ms = w->now_ms;
    w->spread.accepted_elsewhere = accepted;
    w->spread.over = over;
    ev_timer_init(&w->spread.moment, on_moment_over, MOMENT_S, 0);
    w->spread.moment.data = w;
    ev_timer_start(w->loop, &w->spread.moment);
}

void spread_turn_begins(struct worker *w)
{
    counter_set(&w->slot->turn_since_ms, w->now_ms);
}

void spread_turn_ends(struct worker *w)
{
    if (shm_slots_used(w->shm) <= 1)
        return;
    uint64_t now_ms = clock_fast_us() / 1000;
    if (now_ms >= w->now_ms + LONG_TURN_MS)
        counter_set(&w->slot->slow_until_ms, now_ms + SLOW_FOR_MS);
    counter_set(&w->slot->turn_since_ms, 0);
}
