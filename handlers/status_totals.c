/*
 * handlers/status_totals.c - all workers' slots added up. What stands there is the workers' to write: nothing is taken on trust.
 */
#include "handlers/status.h"

#include "base/hist.h"
#include "pool/figures.h"
#include "shm/shm.h"

#include <assert.h>

const char *const status_worker_states[SHM_STATES] = {"free", "starting", "running", "stopping"};

const char *status_worker_state(int state)
{
    return state >= 0 && state < SHM_STATES ? status_worker_states[state] : "unknown";
}

/* A name in shared memory may be anything; one that the configuration has is of such letters. */
static bool is_pool_name(const char *name)
{
    size_t len = strnlen(name, SHM_POOL_NAME_BYTES);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] <= ' ' || (unsigned char)name[i] > '~' || strchr("\"\\<>&{}", name[i]))
            return false;
    return len > 0 && len < SHM_POOL_NAME_BYTES;
}

static struct status_pool *find_pool_totals(struct status_totals *t, const char *name)
{
    for (int i = 0; i < t->pool_count; i++)
        if (strncmp(t->pools[i].name, name, SHM_POOL_NAME_BYTES) == 0)
            return &t->pools[i];
    if (t->pool_count == SHM_POOLS)
        return NULL;
    assert(t->pool_count >= 0 && t->pool_count < SHM_POOLS);
    struct status_pool *p = &t->pools[t->pool_count++];
    memcpy(p->name, name, SHM_POOL_NAME_BYTES);
    return p;
}

static void add_pool(struct status_pool *p, const struct pool_figures *f)
{
    p->min += counter_get(&f->min);
    p->max += counter_get(&f->max);
    p->running += counter_get(&f->running);
    p->idle += counter_get(&f->idle);
    p->stuck += counter_get(&f->stuck);
    p->queued += pool_figures_queued(f);
    p->queue_limit += counter_get(&f->queue_limit);
    p->submitted += counter_get(&f->submitted);
    p->completed += counter_get(&f->completed);
    p->failed += counter_get(&f->failed);
    p->cancelled += counter_get(&f->cancelled);
    p->expired += counter_get(&f->expired);
    p->dropped += counter_get(&f->dropped);
    p->lent += counter_get(&f->lent) + counter_get(&f->declined);
    p->borrowed += counter_get(&f->borrowed);
    for (int i = 0; i < POOL_REJECTIONS; i++)
        p->rejected[i] += pool_figures_rejected(f, i);
    p->spawned += counter_get(&f->spawned);
    p->retired += counter_get(&f->retired);
    p->spawn_failures += counter_get(&f->spawn_failures);
    hist_collect(&f->queue_wait, &p->queue_wait);
    hist_collect(&f->run_time, &p->run_time);
}

static void add_processes(struct status_pool *p, const struct shm_pool *shown)
{
    for (int i = 0; i < SHM_POOL_PROCESSES; i++) {
        int32_t pid = atomic_load(&shown->processes[i]);
        if (pid <= 0)
            continue;
        if (p->processes < STATUS_PIDS)
            p->pids[p->processes] = pid;
        p->processes++;
    }
}

static void add_slot(struct status_totals *t, const struct shm_slot *slot)
{
    int state = slot->state;
    if (state >= 0 && state < SHM_STATES)
        t->workers[state]++;
    t->connections += counter_get(&slot->connections);
    t->accepted += counter_get(&slot->accepted);
    t->handled += counter_get(&slot->handled);
    for (int i = 0; i < SHM_CONNECTION_STATES; i++)
        t->connection_states[i] += counter_get(&slot->connection_states[i]);
    t->requests += counter_get(&slot->requests);
    t->log_lines_lost += counter_get(&slot->log_lines_lost);
    t->in_flight += counter_get(&slot->in_flight);
    for (int i = 100; i < SHM_CODES; i++) {
        uint64_t n = counter_get(&slot->codes[i]);
        t->codes[i] += n;
        t->classes[i / 100] += n;
    }
    hist_collect(&slot->duration, &t->duration);
    for (int i = 0; i < SHM_HANDSHAKES; i++)
        t->handshakes[i] += counter_get(&slot->tls.handshakes[i]);
    hist_collect(&slot->tls.duration, &t->handshake_duration);
    hist_collect(&slot->tls.queue_wait, &t->handshake_wait);
    t->http2_connections += counter_get(&slot->http2.connections);
    t->http2_streams += counter_get(&slot->http2.streams);
    for (int i = 0; i < SHM_HTTP2_CLOSES; i++)
        t->http2_closed[i] += counter_get(&slot->http2.closed[i]);
    t->memory_allocated_bytes += counter_get(&slot->memory_allocated_bytes);
    t->memory_resident_bytes += counter_get(&slot->memory_resident_bytes);
    for (int i = 0; i < SHM_POOLS; i++) {
        struct status_pool *p =
            is_pool_name(slot->pools[i].name) ? find_pool_totals(t, slot->pools[i].name) : NULL;
        if (!p)
            continue;
        add_pool(p, (const struct pool_figures *)(const void *)slot->pools[i].figures);
        add_processes(p, &slot->pools[i]);
    }
}

static void add_to_generation(struct status_totals *t, const struct shm_slot *slot, uint64_t now_ms)
{
    uint64_t generation = counter_get(&slot->generation), since_ms = counter_get(&slot->stopping_since_ms);
    int i = 0;
    while (i < t->old_count && t->old[i].generation != generation && i < STATUS_GENERATIONS - 1)
        i++;
    if (i == t->old_count)
        t->old[t->old_count++] = (struct status_generation){.generation = generation};
    assert(i < t->old_count && t->old_count <= STATUS_GENERATIONS);
    struct status_generation *g = &t->old[i];
    g->workers++;
    g->connections += counter_get(&slot->connections);
    if (since_ms && now_ms > since_ms + g->age_ms)
        g->age_ms = now_ms - since_ms;
}

/* A slot that no worker ever had is not touched, so that its pages stay unused. */
void status_collect(const struct status_source *source, struct status_totals *t)
{
    for (const struct conf_pool *p = source->site_pools; p; p = p->next) {
        char name[SHM_POOL_NAME_BYTES] = "";
        memcpy(name, p->name.data, p->name.len < sizeof name ? p->name.len : sizeof name - 1);
        find_pool_totals(t, name);
    }
    for (int i = 0; i < shm_slots_used(source->shm); i++)
        if (source->shm->slots[i].state != SHM_SLOT_FREE || source->shm->slots[i].generation != 0)
            add_slot(t, &source->shm->slots[i]);
    uint64_t current = counter_get(&source->shm->head->generation);
    for (int i = 0; i < SHM_SLOTS; i++)
        if (source->shm->slots[i].state != SHM_SLOT_FREE &&
            counter_get(&source->shm->slots[i].generation) < current)
            add_to_generation(t, &source->shm->slots[i], source->now_ms);
    t->workers[SHM_SLOT_FREE] = 0;
    t->log_lines_lost += counter_get(&source->shm->head->log_lines_lost);
}
