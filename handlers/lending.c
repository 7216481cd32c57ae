/*
 * handlers/lending.c - a worker's books of what it has lent: which request went where, under which entry of the shared memory.
 */
#include "handlers/lending.h"

#include "base/clock.h"
#include "base/list.h"
#include "pool/pool.h"
#include "shm/permit.h"
#include "shm/shm.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Atomic uint64_t *lending_entry(struct worker *w, const struct weir_request *job)
{
    return &w->slot->lent[job->lent.index];
}

bool lending_has_room(const struct worker *w)
{
    return w->lending->free_count > 0;
}

struct shm_pool *lending_place(const struct worker *w, int slot, int pool)
{
    struct shm_pool *places = w->shm->slots[slot].pools;
    /* Where it is in ours, as a rule. */
    struct shm_pool *same = &places[w->pools[pool].place - w->slot->pools];
    if (strncmp(same->name, w->pools[pool].place->name, SHM_POOL_NAME_BYTES) == 0)
        return same;
    for (int i = 0; i < SHM_POOLS; i++)
        if (strncmp(places[i].name, w->pools[pool].place->name, SHM_POOL_NAME_BYTES) == 0)
            return &places[i];
    return NULL;
}

static bool may_be_asked(const struct lending_sibling *s, uint64_t now_ms)
{
    return atomic_load_explicit(&s->is_reached, memory_order_relaxed) &&
           now_ms >= atomic_load_explicit(&s->distrusted_until_ms, memory_order_relaxed) &&
           now_ms >= atomic_load_explicit(&s->asked_ms, memory_order_relaxed) + LENDING_ASK_AGAIN_MS;
}

bool lending_elder_waits(const struct worker *w, int pool, uint64_t submitted_us)
{
    uint64_t now_ms = clock_fast_us() / 1000;
    for (int i = 0, used = shm_slots_used(w->shm); i < used; i++) {
        const struct shm_pool *place =
            may_be_asked(&w->lending->siblings[i], now_ms) ? lending_place(w, i, pool) : NULL;
        uint64_t since_us = place ? counter_get(&place->oldest_us) : 0;
        if (since_us && since_us + LENDING_OLDER_US < submitted_us)
            return true;
    }
    return false;
}

bool lending_is_alive(const struct worker *w, struct sibling sibling)
{
    const struct shm_slot *s = &w->shm->slots[sibling.slot];
    if (w->master_is_gone && permit_process_died(w->shm, sibling.slot))
        return false;
    return s->pid != 0 && counter_get(&s->incarnation) == sibling.incarnation;
}

void lending_note_place(const struct weir_request *job, int slot)
{
    struct http_exchange *ex = job->ex;
    if (job->answered)
        return;
    ex->ran_in = slot + 1;
    if (ex->limits.runs_in)
        ex->limits.runs_in(ex, slot);
}

void lending_begin(struct worker *w, struct weir_request *job, struct sibling to)
{
    struct lending *l = w->lending;
    assert(!job->lent.is && l->free_count > 0);
    job->lent.is = true;
    job->lent.to = to;
    job->task.task.started_us = job->task.task.ended_us = 0;
    if (!job->orphaned)
        lending_note_place(job, to.slot);
    job->lent.since_us = clock_fast_us();
    l->jobs[job->lent.index] = job;
    l->free_count--;
    list_push_back(&l->unbegun, &job->lent.link);
    pools_hold(w);
}

void lending_note_back(struct worker *w, struct weir_request *job)
{
    struct lending *l = w->lending;
    assert(job->lent.is && l->jobs[job->lent.index] == job);
    atomic_store(lending_entry(w, job), 0);
    l->jobs[job->lent.index] = NULL;
    l->free[l->free_count++] = job->lent.index;
    job->lent.is = false;
    list_remove(&job->lent.link);
    pools_let_go(w);
}

struct weir_request *lending_find(struct worker *w, struct sibling from, const struct parcel_id *id)
{
    struct weir_request *job = id->index < SHM_LENT ? w->lending->jobs[id->index] : NULL;
    return job && sibling_is(job->lent.to, from) && job->lent.tag == id->tag ? job : NULL;
}

void lending_end(struct worker *w, struct weir_request *job)
{
    lending_note_back(w, job);
    job->task.ended(w, &job->task);
}

bool lending_take_back(struct worker *w, struct weir_request *job)
{
    uint64_t waits = job->lent.tag | SHM_LENT_WAITS;
    return atomic_compare_exchange_strong(lending_entry(w, job), &waits, 0);
}

void lending_note_run(struct worker *w, const struct weir_request *job)
{
    const struct pool_task *t = &job->task.task;
    /* One that has run elsewhere has no times here. */
    if (!w->lending || t->outcome != POOL_TASK_DONE || t->declined || !t->started_us)
        return;
    uint64_t *run_us = &w->lending->pools[job->task.pool].run_us;
    *run_us = (*run_us * 7 + (t->ended_us - t->started_us)) / 8;
}

void lending_watch(struct worker *w)
{
    if (!ev_is_active(&w->lending->look))
        ev_timer_again(w->loop, &w->lending->look);
}

bool lending_open(struct worker *w)
{
    struct lending *l = w->doors ? calloc(1, sizeof *l) : NULL;
    if (!l)
        return !w->doors;
    for (int i = 0; i < POOLS_MAX; i++) {
        list_init(&l->pools[i].waits);
        gate_init(&l->pools[i].turn);
    }
    list_init(&l->unbegun);
    list_init(&l->ended);
    list_init(&l->guests);
    for (uint32_t i = 0; i < SHM_LENT; i++) {
        atomic_store(&w->slot->lent[i], 0);
        l->free[l->free_count++] = i;
    }
    /* No tag of a predecessor's. */
    l->next_tag = clock_mono_us() * SHM_LENT_STEP;
    w->lending = l;
    return true;
}
