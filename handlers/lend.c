/*
 * handlers/lend.c - which requests are lent to which worker, and what becomes of them.
 *
 * A worker says in shared memory how many threads of each pool are free with it, and since when a request waits there. Whoever
 * has one that waits counts such an offer down and sends the request there; whoever has a free thread and sees that something
 * waits elsewhere asks for it. An offer is only a hint: what comes too late waits for a moment, and is taken back.
 *
 * A request that is lent has an entry in its worker's part of the shared memory. The thread that runs it changes that from WAITS to
 * BEGUN, the lender from WAITS to nothing, each by compare-and-swap: so it never runs twice, whoever is stopped or killed when.
 */
#include "handlers/lend.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/log.h"
#include "handlers/lending.h"
#include "handlers/parcel.h"
#include "handlers/turn.h"
#include "shm/shm.h"
#include "worker/loop/doors.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    /* A wait that is likely shorter is not worth the way to another worker, */
    WORTH_US = 150,
    /* but one that has become this long is, whatever was likely. */
    LONG_US = 1000,
    ASK_AFTER_US = 300, /* that it waits elsewhere */
    BEGINS_WITHIN_US = 3000,
    /* Where no thread is free, it may wait longer. */
    WAITS_MOST_US = 100000,
    /* Who has not begun a request within that is not asked for so long; twice as long each time in a row. */
    DISTRUST_MS = 8,
    DISTRUST_MAX_MS = 1024,
    INLINE_BODY_MAX = 32 << 10
};

static const double LOOK_EVERY_S = 0.001;

/* --- lending one --- */

/* No other worker has been started yet. */
static bool is_alone(const struct worker *w)
{
    return shm_slots_used(w->shm) <= 1;
}

static bool take_offer(struct shm_pool *place)
{
    int64_t some = place ? atomic_load_explicit(&place->offers, memory_order_relaxed) : 0;
    while (some > 0)
        if (atomic_compare_exchange_weak(&place->offers, &some, some - 1))
            return true;
    return false;
}

/* It was not used. */
static void give_offer_back(struct shm_pool *place)
{
    if (place)
        atomic_fetch_add(&place->offers, 1);
}

static bool may_ask(const struct worker *w, int slot)
{
    return slot != w->options->slot && doors_reach(w, slot) &&
           w->now_ms >= w->lending->siblings[slot].distrusted_until_ms;
}

/* A worker with a free thread, which is taken for us. -1: there is none. */
static int find_offer(struct worker *w, int pool)
{
    int used = shm_slots_used(w->shm);
    for (int i = 1; i < used; i++) {
        int slot = (w->options->slot + i) % used;
        if (may_ask(w, slot) && take_offer(lending_place(w, slot, pool)))
            return slot;
    }
    return -1;
}

static bool send_parcel(struct worker *w, struct weir_request *job, struct sibling to)
{
    struct buf *out = &w->lending->parcel;
    struct parcel_id id = {.index = job->lent.index, .tag = job->lent.tag};
    const struct spool *body = &job->ex->body.kept;
    bool in_file = body->fd >= 0 && !job->answered;
    bool beside = in_file || (buf_len(&body->memory) > INLINE_BODY_MAX && !job->answered);
    int fd = in_file ? body->fd : beside ? fd_memory_file("weir body", buf_slice(&body->memory)) : -1;
    out->start = out->end = 0;
    bool ok = (fd >= 0 || !beside) && parcel_pack(out, job, &id, beside) && buf_len(out) <= DOOR_MESSAGE_MAX;
    job->lent.never = !ok;
    ok = ok && doors_try(w, to, DOOR_WORK, buf_slice(out), fd);
    if (fd >= 0 && fd != body->fd)
        close(fd);
    return ok;
}

/* To that worker; the job is in no pool. False: it cannot take it now. */
static bool lend_to(struct worker *w, struct weir_request *job, int slot)
{
    struct lending *l = w->lending;
    struct sibling to = doors_sibling(w, slot);
    if (!lending_has_room(w) || job->lent.never)
        return false;
    job->lent.index = l->free[l->free_count - 1];
    job->lent.tag = l->next_tag += SHM_LENT_STEP;
    atomic_store(lending_entry(w, job), job->lent.tag | SHM_LENT_WAITS);
    if (!send_parcel(w, job, to)) {
        atomic_store(lending_entry(w, job), 0);
        return false;
    }
    lending_begin(w, job, to);
    lending_watch(w);
    return true;
}

/* Without a place in the queue here. */
static bool lend_at_once(struct worker *w, struct weir_request *job, int pool)
{
    int to = find_offer(w, pool);
    job->task.pool = pool;
    if (job->task.task.submitted_us == 0)
        job->task.task.submitted_us = clock_fast_us();
    if (to < 0)
        return false;
    if (!lend_to(w, job, to)) {
        give_offer_back(lending_place(w, to, pool));
        return false;
    }
    pool_note_lent(w->pools[pool].pool, &job->task.task);
    return true;
}

static enum pool_result submit_here(struct worker *w, struct weir_request *job, int pool)
{
    /* Before a thread has it. */
    lending_note_place(job, w->options->slot);
    turn_begin(job);
    enum pool_result result = pools_submit(w, pool, &job->task);
    if (result == POOL_OK && !job->lent.never)
        list_push_back(&w->lending->pools[pool].waits, &job->waits);
    return result;
}

/* It has waited already: its place is in front of what comes. */
static void submit_first(struct worker *w, struct weir_request *job)
{
    job->task.task.priority = POOL_HIGH;
    if (submit_here(w, job, job->task.pool) == POOL_OK)
        return;
    job->task.task.outcome = POOL_TASK_DROPPED; /* the pool is closed */
    job->task.ended(w, &job->task);
}

/* It was in the pool before, or is back from elsewhere: there is room for it. */
static void submit_again(struct worker *w, struct weir_request *job)
{
    job->task.task.borrowed = 1;
    submit_first(w, job);
}

void lend_again(struct worker *w, struct weir_request *job)
{
    job->task.task.borrowed = 1;
    if (pools_free(w, job->task.pool) > 0 || !lend_at_once(w, job, job->task.pool))
        submit_again(w, job);
}

/* --- what waits here --- */

/* The one that was submitted first. NULL: none waits. */
static struct weir_request *oldest_waiting(struct worker *w, int pool)
{
    struct list_node *waits = &w->lending->pools[pool].waits;
    while (!list_empty(waits)) {
        struct weir_request *job = container_of(waits->next, struct weir_request, waits);
        if (pool_task_waits(&job->task.task))
            return job;
        list_remove(&job->waits);
    }
    return NULL;
}

static void say_oldest(struct worker *w, int pool, const struct weir_request *job)
{
    counter_set(&w->pools[pool].place->oldest_us, job ? job->task.task.submitted_us : 0);
}

/* False: it has begun here meanwhile, or has its place in the queue again. */
static bool lend_waiting_to(struct worker *w, struct weir_request *job, int to)
{
    assert(!job->lent.never); /* it would not be in the list */
    if (!pools_take_back(w, &job->task))
        return false;
    list_remove(&job->waits);
    if (lend_to(w, job, to))
        return true;
    submit_again(w, job);
    return false;
}

static bool is_worth_it(const struct worker *w, int pool, const struct weir_request *job, uint64_t now_us)
{
    uint64_t threads = (uint64_t)w->pools[pool].conf->threads_max;
    return w->lending->pools[pool].run_us / threads >= WORTH_US ||
           now_us >= job->task.task.submitted_us + LONG_US;
}

/* The oldest, where that is worth it and somebody has a thread for it. */
static bool lend_oldest(struct worker *w, int pool, uint64_t now_us)
{
    struct weir_request *job = oldest_waiting(w, pool);
    if (!job || !lending_has_room(w) || !is_worth_it(w, pool, job, now_us))
        return false;
    int to = find_offer(w, pool);
    if (to < 0)
        return false;
    if (lend_waiting_to(w, job, to))
        return true;
    give_offer_back(lending_place(w, to, pool));
    return false;
}

/* For threads, which are to take what waits. */
static void note_reached(struct worker *w)
{
    for (int i = 0, used = shm_slots_used(w->shm); i < used; i++)
        w->lending->siblings[i].is_reached = may_ask(w, i);
}

static void lend_what_waits(struct worker *w, int pool)
{
    uint64_t now_us = clock_fast_us();
    while (lend_oldest(w, pool, now_us)) {
    }
    const struct weir_request *job = oldest_waiting(w, pool);
    say_oldest(w, pool, job);
    if (!job)
        return;
    note_reached(w);
    lending_watch(w);
}

enum pool_result lend_submit(struct worker *w, struct weir_request *job, int pool)
{
    const struct conf_pool *conf = w->pools[pool].conf;
    if (!w->lending || is_alone(w)) {
        lending_note_place(job, w->options->slot);
        return pools_submit(w, pool, &job->task);
    }
    int64_t left = pools_free(w, pool);
    /* The pool would refuse it, and count that. */
    if (left <= -conf->max_queue && !job->lent.never && lend_at_once(w, job, pool))
        return POOL_OK;
    enum pool_result result = submit_here(w, job, pool);
    if (result == POOL_OK && left <= 0)
        lend_what_waits(w, pool);
    return result;
}

/* --- what waits elsewhere --- */

/* The worker in which a request has waited longest, from before that time, which becomes its time. -1: there is none. */
static int find_waiting(const struct worker *w, int pool, uint64_t *before_us)
{
    int found = -1;
    for (int i = 0; i < shm_slots_used(w->shm); i++) {
        const struct shm_pool *place = may_ask(w, i) ? lending_place(w, i, pool) : NULL;
        uint64_t since_us = place ? counter_get(&place->oldest_us) : 0;
        /* It has been asked, and has not answered yet: it may be stopped. */
        bool asked = w->now_ms < w->lending->siblings[i].asked_ms + LENDING_ASK_AGAIN_MS;
        if (since_us == 0 || since_us >= *before_us || asked)
            continue;
        *before_us = since_us;
        found = i;
    }
    return found;
}

static void distrust(struct worker *w, int slot)
{
    struct lending_sibling *s = &w->lending->siblings[slot];
    if (w->now_ms < s->distrusted_until_ms)
        return;
    s->distrust_ms = s->distrust_ms == 0                    ? DISTRUST_MS
                     : s->distrust_ms * 2 < DISTRUST_MAX_MS ? s->distrust_ms * 2
                                                            : DISTRUST_MAX_MS;
    s->distrusted_until_ms = w->now_ms + s->distrust_ms;
}

/* For the oldest that waits elsewhere, from before that time. False: there is none that can be asked for. */
static bool ask_for_older(struct worker *w, int pool, uint64_t before_us)
{
    struct parcel_ask ask = {.before_us = before_us, .pool = (uint32_t)pool};
    int from = find_waiting(w, pool, &before_us);
    if (from < 0 || clock_fast_us() < before_us + ASK_AFTER_US)
        return false;
    /* It has not answered the last time: it may be stopped, and nobody is to wait for it again and again. */
    if (w->lending->siblings[from].asked_ms) {
        w->lending->siblings[from].asked_ms = 0;
        distrust(w, from);
        return false;
    }
    w->lending->siblings[from].asked_ms = w->now_ms;
    return doors_try(w, doors_sibling(w, from), DOOR_KICK, (struct slice){(const char *)&ask, sizeof ask},
                     -1);
}

/* A thread is free. Where none is, whoever takes something looks whose turn it is (handlers/turn.c). */
static void ask_for_work(struct worker *w, int pool)
{
    if (!w->draining && pools_free(w, pool) > 0)
        ask_for_older(w, pool, UINT64_MAX);
}

static bool ask_for_elder(struct worker *w, const struct weir_request *job)
{
    return !w->draining && ask_for_older(w, job->task.pool, job->task.task.submitted_us - LENDING_OLDER_US);
}

/* The oldest, if it is as old as that. False: it is not, or could not be sent. */
static bool lend_as_asked(struct worker *w, const struct parcel_ask *ask, struct sibling to)
{
    struct weir_request *job = oldest_waiting(w, (int)ask->pool);
    if (!job || job->task.task.submitted_us >= ask->before_us || !lending_has_room(w))
        return false;
    struct shm_pool *place = lending_place(w, to.slot, job->task.pool);
    bool taken = take_offer(place), lent = lend_waiting_to(w, job, to.slot);
    if (!lent && taken)
        give_offer_back(place);
    return lent;
}

/* Somebody has a thread for what waits here longest. */
static void hear_kick(struct worker *w, struct door_message *m)
{
    struct parcel_ask ask;
    if (!parcel_take(&m->bytes, &ask, sizeof ask) || ask.pool >= (uint32_t)w->pool_count ||
        !may_ask(w, m->from.slot))
        return;
    if (!lend_as_asked(w, &ask, m->from))
        doors_try(w, m->from, DOOR_NOTHING, (struct slice){(const char *)&ask, sizeof ask}, -1);
    lend_what_waits(w, (int)ask.pool);
}

static void hear_nothing(struct worker *w, struct door_message *m)
{
    struct parcel_ask ask;
    if (!parcel_take(&m->bytes, &ask, sizeof ask) || ask.pool >= (uint32_t)w->pool_count)
        return;
    w->lending->siblings[m->from.slot].asked_ms = 0;
    turn_no_elder(w, (int)ask.pool);
}

void lend_look_around(struct worker *w)
{
    for (int i = 0; w->lending && i < w->pool_count; i++) {
        pools_offer(w, i);
        ask_for_work(w, i);
    }
}

void lend_settle(struct worker *w)
{
    for (int i = 0; w->lending && i < w->pool_count && !is_alone(w); i++) {
        if (!list_empty(&w->lending->pools[i].waits))
            lend_what_waits(w, i);
        ask_for_work(w, i);
    }
}

/* --- what has been lent, and does not begin --- */

static void say_leave(struct worker *w, const struct weir_request *job, enum parcel_why why)
{
    struct parcel_leave leave = {{.index = job->lent.index, .tag = job->lent.tag}, why};
    doors_say(w, job->lent.to, DOOR_LEAVE, (struct slice){(const char *)&leave, sizeof leave});
}

/* Whether a thread is free for it, here or with somebody else. */
static bool has_other_place(const struct worker *w, const struct weir_request *job)
{
    int pool = job->task.pool;
    bool found = pools_free(w, pool) > 0;
    for (int i = 0; !found && i < shm_slots_used(w->shm); i++) {
        const struct shm_pool *place =
            i != job->lent.to.slot && may_ask(w, i) ? lending_place(w, i, pool) : NULL;
        found = place && atomic_load_explicit(&place->offers, memory_order_relaxed) > 0;
    }
    return found;
}

static void look_at_unbegun(struct worker *w)
{
    struct lending *l = w->lending;
    uint64_t now_us = clock_fast_us();
    struct list_node *next;
    for (struct list_node *n = l->unbegun.next; n != &l->unbegun; n = next) {
        struct weir_request *job = container_of(n, struct weir_request, lent.link);
        next = n->next;
        if ((atomic_load(lending_entry(w, job)) & SHM_LENT_BITS) == SHM_LENT_BEGUN) {
            list_remove(&job->lent.link);
            continue;
        }
        if (now_us < job->lent.since_us + BEGINS_WITHIN_US)
            break;
        if (!has_other_place(w, job) && now_us < job->lent.since_us + WAITS_MOST_US)
            continue;
        if (!lending_take_back(w, job))
            continue;
        distrust(w, job->lent.to.slot);
        say_leave(w, job, PARCEL_TAKEN_BACK);
        if (job->orphaned) {
            list_push_back(&l->ended, &job->lent.link);
            continue;
        }
        lending_note_back(w, job);
        lend_again(w, job);
    }
}

/* What was cancelled before it had begun. */
static void end_cancelled(struct worker *w)
{
    struct list_node *ended = &w->lending->ended;
    while (!list_empty(ended)) {
        struct weir_request *job = container_of(ended->next, struct weir_request, lent.link);
        job->task.task.outcome = POOL_TASK_CANCELLED;
        lending_end(w, job);
    }
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    struct lending *l = w->lending;
    bool any = false;
    (void)events;
    look_at_unbegun(w);
    end_cancelled(w);
    for (int i = 0; i < w->pool_count; i++) {
        lend_what_waits(w, i);
        any |= !list_empty(&l->pools[i].waits);
    }
    if (!any && list_empty(&l->unbegun))
        ev_timer_stop(loop, timer);
    w->hooks.woken(w);
}

void lend_open(struct worker *w)
{
    struct lending *l = w->lending;
    if (!l)
        return;
    ev_timer_init(&l->look, on_look, LOOK_EVERY_S, LOOK_EVERY_S);
    l->look.data = w;
    l->ask_for_elder = ask_for_elder;
    l->submit_first = submit_first;
    doors_hear(w, DOOR_KICK, hear_kick);
    doors_hear(w, DOOR_NOTHING, hear_nothing);
}

/* --- from the side of the request --- */

bool lend_cancel(struct worker *w, struct weir_request *job)
{
    if (!job->lent.is)
        return pool_cancel(job->pool, &job->task.task);
    if (!lending_take_back(w, job)) {
        say_leave(w, job, PARCEL_CLIENT_GONE);
        return false;
    }
    say_leave(w, job, PARCEL_TAKEN_BACK);
    /* Not now: the caller is not done with it. */
    list_remove(&job->lent.link);
    list_push_back(&w->lending->ended, &job->lent.link);
    lending_watch(w);
    return true;
}

void lend_abandon(struct worker *w, struct weir_request *job)
{
    if (job->lent.is)
        say_leave(w, job, PARCEL_GIVEN_UP);
    else
        pools_abandon(w, &job->task);
}

void lend_taken(struct worker *w, const struct weir_request *job, size_t bytes)
{
    struct parcel_taken taken = {{.index = job->lent.index, .tag = job->lent.tag}, bytes};
    if (job->lent.is && bytes > 0)
        doors_say(w, job->lent.to, DOOR_TAKEN, (struct slice){(const char *)&taken, sizeof taken});
}
