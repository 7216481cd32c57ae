/*
 * pool/submit.c - the inbox: what has been submitted waits here until a thread takes all of it over, in one step, to
 * the queue. So the one who submits and the one who takes share a lock once for many tasks.
 *
 * Room is a difference of two counts, taken in and gone. The first belongs to the inbox; the second is written by the
 * threads, and the one who submits looks it up again only when what it remembers says that the pool is full.
 */
#include "base/clock.h"
#include "pool/internal.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

enum {
    /* Room for at most so many is waited for before a submitter is woken, where tasks end fast. */
    ROOM_BATCH = 1024,
    FAST_US = 16, /* fast: one every FAST_US, or faster */
    /* Tasks in the inbox for so long mean that who was woken for them has not got a processor yet. */
    NUDGE_US = 50
};

/* inbox.lock held. */
static bool inbox_has_room(struct pool *pool)
{
    struct pool_inbox *in = &pool->inbox;
    uint64_t limit = atomic_load_explicit(&pool->limit, memory_order_relaxed);
    assert(pool_lock_is_held(&pool->inbox.lock));
    if (in->taken - in->gone < limit)
        return true;
    in->gone = atomic_load_explicit(&pool->gone, memory_order_acquire);
    assert(in->gone <= in->taken);
    return in->taken - in->gone < limit;
}

/*
 * Wakes one submitter if there is room; if not, says when it is to be asked again. Where tasks end fast, that is once
 * there is room for many, as waking takes longer than those tasks; the one who waits then looks by itself as well, every
 * GUARD_US. inbox.lock held.
 */
static void offer_room(struct pool *pool)
{
    struct pool_inbox *in = &pool->inbox;
    uint64_t limit = atomic_load_explicit(&pool->limit, memory_order_relaxed), batch = 1;
    assert(pool_lock_is_held(&pool->inbox.lock) && in->sleepers <= in->waiters);
    if (in->waiters == 0 || in->signalled) {
        atomic_store(&pool->room_at, UINT64_MAX);
        return;
    }
    if (in->patient)
        batch = limit / 4 > ROOM_BATCH ? ROOM_BATCH : limit / 4 + 1;
    uint64_t at = in->taken + batch > limit ? in->taken + batch - limit : 0;
    atomic_store(&pool->room_at, at); /* before looking: see pool_offer_room */
    if (atomic_load(&pool->gone) >= at) {
        in->signalled = true;
        atomic_store(&pool->room_at, UINT64_MAX);
        pthread_cond_signal(&in->room);
    }
}

void pool_offer_room_slowly(struct pool *pool)
{
    pthread_mutex_lock(&pool->inbox.lock);
    offer_room(pool);
    pthread_mutex_unlock(&pool->inbox.lock);
}

/* Whether tasks have been ending fast since it was asked last. inbox.lock held. */
static bool ends_are_fast(struct pool *pool, uint64_t now_us)
{
    struct pool_inbox *in = &pool->inbox;
    uint64_t gone = atomic_load(&pool->gone), ends = gone - in->seen_gone, took_us = now_us - in->seen_us;
    assert(pool_lock_is_held(&pool->inbox.lock) && gone >= in->seen_gone);
    in->seen_gone = gone;
    in->seen_us = now_us;
    return ends > 0 && ends * FAST_US >= took_us;
}

/* Sleeps until room is offered, or the time has passed. inbox.lock held. False when it is too late. */
static bool sleep_for_room(struct pool *pool, uint64_t deadline_us)
{
    struct pool_inbox *in = &pool->inbox;
    uint64_t now_us = clock_mono_us(), until_us = deadline_us;
    assert(in->waiters > 0 && deadline_us != 0);
    in->patient = ends_are_fast(pool, now_us) && in->sleepers == 0;
    /* A signal for this submitter has done its work; one too many does no harm. */
    in->signalled = false;
    offer_room(pool);
    if (in->signalled)
        return true; /* there is room by now */
    bool looks = in->patient;
    if (looks && now_us + GUARD_US < until_us)
        until_us = now_us + GUARD_US;
    in->sleepers += !looks;
    struct timespec until = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};
    int rc = until_us == UINT64_MAX ? pthread_cond_wait(&in->room, &in->lock)
                                    : pthread_cond_timedwait(&in->room, &in->lock, &until);
    assert(looks || in->sleepers > 0);
    in->sleepers -= !looks;
    return rc != ETIMEDOUT || until_us != deadline_us;
}

/* Until there is room, the pool closes, or it is too late. inbox.lock held. */
static void wait_for_room(struct pool *pool, uint64_t deadline_us)
{
    struct pool_inbox *in = &pool->inbox;
    int before;
    /* The submitter may be a task of another pool: cancelled, it would keep the lock. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    counter_set(&pool->figures->waiting, ++in->waiters);
    while (!in->closed && !inbox_has_room(pool) && sleep_for_room(pool, deadline_us))
        ;
    assert(pool_lock_is_held(&pool->inbox.lock) && in->waiters > 0);
    in->signalled = false;
    counter_set(&pool->figures->waiting, --in->waiters);
    pthread_setcancelstate(before, NULL);
}

/* Counts the caller as inside, once. inbox.lock held. */
static void enter(struct pool *pool, bool *inside)
{
    assert(pool_lock_is_held(&pool->inbox.lock));
    if (!*inside)
        atomic_fetch_add(&pool->inside, 1);
    *inside = true;
}

/* What stands against one more task; waits where that is asked for. inbox.lock held. *waited says that it did. */
static enum pool_result admit(struct pool *pool, bool beyond, uint64_t deadline_us, bool *inside,
                              bool *waited)
{
    struct pool_inbox *in = &pool->inbox;
    assert(pool_lock_is_held(&pool->inbox.lock));
    if (!in->closed && !beyond && !inbox_has_room(pool) &&
        !(deadline_us && pool_current && pool_current->pool == pool)) {
        if (deadline_us == 0 || (pool->config.max_waiters && in->waiters >= pool->config.max_waiters)) {
            counter_add(&pool->figures->refused_full, 1);
            return POOL_EOVERLOAD;
        }
        enter(pool, inside);
        *waited = true;
        wait_for_room(pool, deadline_us);
        if (!in->closed && !inbox_has_room(pool))
            return POOL_ETIMEDOUT;
    }
    if (in->closed) {
        counter_add(&pool->figures->refused_closed, 1);
        return POOL_ECLOSED;
    }
    return POOL_OK;
}

/* inbox.lock held. */
static void take_in(struct pool *pool, struct pool_task *t, uint64_t now_us)
{
    struct pool_inbox *in = &pool->inbox;
    assert(pool_lock_is_held(&pool->inbox.lock) && !in->closed);
    assert(t->priority < POOL_PRIORITIES && task_state(t) != TASK_QUEUED);
    task_set_state(t, TASK_QUEUED);
    bool again = t->declined == POOL_POSTPONED;
    t->declined = POOL_RUNS;
    if (!(t->borrowed || again) || t->submitted_us == 0 || t->submitted_us > now_us)
        t->submitted_us = now_us;
    task_list_push(&in->lists[t->priority], t);
    in->count++;
    in->taken++;
    if (!again)
        counter_add(t->borrowed ? &pool->figures->borrowed : &pool->figures->submitted, 1);
    if (t->priority != POOL_NORMAL || atomic_load_explicit(&pool->mixed, memory_order_relaxed))
        atomic_store_explicit(&pool->urgent, true, memory_order_relaxed);
}

/*
 * Whether the one who has submitted `taken` tasks is to search: it answers a call, or finds that nobody has looked into
 * the inbox for some time. inbox.lock held.
 */
static bool answers(struct pool_inbox *in, size_t taken, uint64_t now_us)
{
    if (taken == 0)
        return false;
    assert(in->count >= taken && in->taken >= taken);
    if (in->count == taken)
        in->nudge_us = now_us + NUDGE_US;
    if (!in->call && now_us < in->nudge_us)
        return false;
    in->call = false;
    in->nudge_us = now_us + NUDGE_US;
    return true;
}

/* The second half of submitting, for one who is counted as inside; if it leaves, it does not touch the pool again. */
static void go_inside(struct pool *pool, bool search, bool leaves)
{
    pthread_mutex_lock(&pool->lock);
    if (search)
        pool_answer(pool);
    assert(atomic_load(&pool->inside) > 0);
    if (leaves)
        atomic_fetch_sub(&pool->inside, 1);
    if (pool_is_quiet(pool))
        pthread_cond_broadcast(&pool->quiet);
    pool_unlock(pool);
}

static bool fits(const struct pool_task *t)
{
    enum task_state state = task_state(t);
    return t->run && t->priority <= POOL_LOW && (state == TASK_NEW || state == TASK_ENDED);
}

/* As many as there is room for; waits, where it may, for the first of them only. Returns how many. */
static size_t submit_some(struct pool *pool, struct pool_task *const *tasks, size_t count,
                          uint64_t deadline_us, bool *inside, enum pool_result *why)
{
    struct pool_inbox *in = &pool->inbox;
    size_t taken = 0;
    bool waited = false;
    uint64_t now_us = clock_fast_us();
    pthread_mutex_lock(&in->lock);
    bool beyond = tasks[0]->borrowed || tasks[0]->declined == POOL_POSTPONED;
    *why = fits(tasks[0]) ? admit(pool, beyond, deadline_us, inside, &waited) : POOL_EINVAL;
    if (waited)
        now_us = clock_fast_us();
    if (*why == POOL_OK)
        do
            take_in(pool, tasks[taken++], now_us);
        while (taken < count && fits(tasks[taken]) && inbox_has_room(pool));
    /* There may be more room, and the signal went to this submitter. */
    if (waited)
        offer_room(pool);
    bool searches = answers(in, taken, now_us);
    /* The caller comes back: the pool must not be gone by then. */
    bool more = *why == POOL_OK && taken < count;
    if (searches || more)
        enter(pool, inside);
    pthread_mutex_unlock(&in->lock);
    if (searches || (*inside && !more))
        go_inside(pool, searches, !more);
    return taken;
}

size_t pool_submit_batch(struct pool *pool, struct pool_task *const *tasks, size_t count,
                         uint64_t deadline_us, enum pool_result *result)
{
    enum pool_result why = POOL_OK;
    size_t taken = 0;
    bool inside = false;
    while (taken < count && why == POOL_OK)
        taken += submit_some(pool, tasks + taken, count - taken, deadline_us, &inside, &why);
    if (result)
        *result = why;
    return taken;
}

enum pool_result pool_submit_until(struct pool *pool, struct pool_task *task, uint64_t deadline_us)
{
    enum pool_result why;
    bool inside = false;
    submit_some(pool, &task, 1, deadline_us, &inside, &why);
    return why;
}

enum pool_result pool_submit(struct pool *pool, struct pool_task *task)
{
    return pool_submit_until(pool, task, 0);
}

/* Both locks held. */
static bool pull(struct pool *pool)
{
    struct pool_inbox *in = &pool->inbox;
    assert(pool_lock_is_held(&pool->lock) && pool_lock_is_held(&pool->inbox.lock));
    for (int p = 0; p < POOL_PRIORITIES; p++)
        task_list_splice(&pool->queue[p], &in->lists[p]);
    pool->queued += in->count;
    in->count = 0;
    atomic_store_explicit(&pool->urgent, false, memory_order_relaxed);
    pool_note_mixture(pool);
    assert((pool->queued > 0) == (pool->queue[POOL_HIGH].oldest || pool->queue[POOL_NORMAL].oldest ||
                                  pool->queue[POOL_LOW].oldest));
    return pool->queued > 0;
}

bool pool_pull(struct pool *pool)
{
    pthread_mutex_lock(&pool->inbox.lock);
    bool some = pull(pool);
    pthread_mutex_unlock(&pool->inbox.lock);
    return some;
}

bool pool_pull_or_call(struct pool *pool)
{
    pthread_mutex_lock(&pool->inbox.lock);
    bool some = pull(pool);
    if (!some)
        pool->inbox.call = true;
    pthread_mutex_unlock(&pool->inbox.lock);
    return some;
}

void pool_call(struct pool *pool)
{
    pthread_mutex_lock(&pool->inbox.lock);
    pool->inbox.call = true;
    pthread_mutex_unlock(&pool->inbox.lock);
}

void pool_set_closed(struct pool *pool, bool closed)
{
    pthread_mutex_lock(&pool->inbox.lock);
    pool->closed = pool->inbox.closed = closed;
    pull(pool);
    pthread_cond_broadcast(&pool->inbox.room);
    pthread_mutex_unlock(&pool->inbox.lock);
}
