/*
 * proxy/balance.c - choosing a server of an upstream, by what all workers know of the servers.
 *
 * Each choice is made under the group's lock: turns, connections and failures are those of all workers. The round robin is
 * nginx's smooth one: each server gains its weight, the richest is chosen and pays the sum. ip_hash and hash spread keys
 * as nginx does, and fall back on the round robin where their server cannot be had.
 */
#include "proxy/upstream.h"

#include "base/clock.h"
#include "base/hist.h"
#include "base/slice.h"
#include "http/site/site.h"
#include "shm/peer.h"
#include "shm/permit.h"
#include "worker/loop/worker_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <zlib.h>

enum {
    WEIGHT_UNIT = 256 /* so that a weight of 1 can start slowly */,
    REHASHES_MAX = 20,
    POINTS_PER_WEIGHT = 160
};
/* A worker without a heartbeat for STALLED_MS stands still: one comes every second. */
enum { WEIGHT_OF_POINTS_MAX = 1000, STALLED_MS = 2500 };

/*
 * What this worker has at each peer by its own records. The places in shared memory may be made anew, or overwritten by
 * another worker.
 */
static uint32_t held_here[PEERS];

static uint32_t *held_at(const struct worker *w, const struct peer *p)
{
    return &held_here[p->shared - w->shm->peers->peers];
}

struct choice {
    struct upstream *u;
    const struct upstream_ask *ask;
    /* The region's: tried ones are bits by number. */
    const struct shm_peer *first;
    uint64_t now_ms;
    /* A server is well, and has max_conns connections. */
    bool busy;
};

static bool is_tried(const struct choice *k, const struct peer *p)
{
    /* Without such a bit the number of tries is what bounds them. */
    if (p->own || !k->ask->tried)
        return false;
    size_t i = (size_t)(p->shared - k->first);
    return k->ask->tried[i / 64] >> i % 64 & 1;
}

static bool has_room(struct choice *k, const struct peer *p)
{
    const struct shm_peer *s = p->shared;
    if (is_tried(k, p) || peer_state(s, k->now_ms) != PEER_UP)
        return false;
    bool full = s->rules.max_conns && s->active >= s->rules.max_conns;
    k->busy |= full;
    return !full;
}

static bool is_free(struct choice *k, const struct peer *p, bool backup)
{
    const struct peer_rules *rules = &p->shared->rules;
    return rules->backup == backup && !rules->drain && has_room(k, p);
}

/* sticky: the server that the request is bound to, while it can be had. */
static struct peer *bound(struct choice *k)
{
    struct slice wanted = k->ask->wanted;
    for (int i = 0; wanted.len && i < k->u->peer_count; i++) {
        struct peer *p = k->u->peers[i];
        if (slice_eq((struct slice){p->id, p->id_len}, wanted) && has_room(k, p))
            return p;
    }
    return NULL;
}

/* A server that has recovered gets its share little by little. */
static int64_t weight_of(const struct choice *k, const struct shm_peer *s)
{
    int64_t weight = (int64_t)s->rules.weight * WEIGHT_UNIT;
    /* Another worker's clock, which has noted it, may be ahead of this turn's. */
    uint64_t age_ms = k->now_ms > s->up_since_ms ? k->now_ms - s->up_since_ms : 0;
    if (s->up_since_ms == 0 || s->rules.slow_start_ms == 0 || age_ms >= s->rules.slow_start_ms)
        return weight;
    weight = weight * (int64_t)age_ms / (int64_t)s->rules.slow_start_ms;
    return weight ? weight : 1;
}

/* Of those that pass; `least` leaves out servers with more connections for their weight than the best. */
static struct peer *round_robin(struct choice *k, bool backup, bool least)
{
    struct upstream *u = k->u;
    struct peer *best = NULL, *fewest = NULL;
    int64_t total = 0;
    for (int i = 0; least && i < u->peer_count; i++) {
        struct peer *p = u->peers[i];
        if (is_free(k, p, backup) && (!fewest || p->shared->active * weight_of(k, fewest->shared) <
                                                     fewest->shared->active * weight_of(k, p->shared)))
            fewest = p;
    }
    for (int i = 0; i < u->peer_count; i++) {
        struct peer *p = u->peers[i];
        if (!is_free(k, p, backup) || (fewest && p->shared->active * weight_of(k, fewest->shared) !=
                                                     fewest->shared->active * weight_of(k, p->shared)))
            continue;
        int64_t weight = weight_of(k, p->shared);
        p->shared->current += weight;
        total += weight;
        if (!best || p->shared->current > best->shared->current)
            best = p;
    }
    if (best)
        best->shared->current -= total;
    return best;
}

/* --- by time --- */

/* The mean time, for each request that the server would have then, by its weight. */
static double cost_of(const struct choice *k, const struct shm_peer *s)
{
    uint64_t mean_us = k->u->conf->by_last_byte ? s->last_byte_us : s->header_us;
    return (double)mean_us * (s->active + 1) / (double)weight_of(k, s);
}

/* Of equal ones, as those that have not answered yet, by turns. */
static struct peer *fastest(struct choice *k, bool backup)
{
    struct peer *best = NULL;
    int64_t total = 0;
    double least = 0;
    for (int i = 0; i < k->u->peer_count; i++) {
        struct peer *p = k->u->peers[i];
        if (is_free(k, p, backup) && (!best || cost_of(k, p->shared) < least)) {
            best = p;
            least = cost_of(k, p->shared);
        }
    }
    best = NULL;
    for (int i = 0; i < k->u->peer_count; i++) {
        struct peer *p = k->u->peers[i];
        if (!is_free(k, p, backup) || cost_of(k, p->shared) > least)
            continue;
        p->shared->current += weight_of(k, p->shared);
        total += weight_of(k, p->shared);
        if (!best || p->shared->current > best->shared->current)
            best = p;
    }
    if (best)
        best->shared->current -= total;
    return best;
}

static void add_to_mean(uint64_t *mean_us, uint64_t us)
{
    *mean_us = *mean_us ? (*mean_us * 7 + us) / 8 : us ? us : 1;
}

/* --- by a key --- */

static struct peer *at_weight(const struct upstream *u, uint32_t hash)
{
    int64_t total = 0;
    for (int i = 0; i < u->peer_count; i++)
        total += u->peers[i]->shared->rules.weight;
    int64_t at = total ? hash % total : 0;
    for (int i = 0; i < u->peer_count; i++)
        if ((at -= u->peers[i]->shared->rules.weight) < 0)
            return u->peers[i];
    return NULL;
}

/* nginx's ip_hash: of IPv4 the first three bytes. */
static struct peer *balance_by_address(struct choice *k)
{
    const struct http_exchange *ex = k->ask->ex;
    static const unsigned char nobody[3];
    const unsigned char *bytes = ex->client.remote_len ? ex->client.remote : nobody;
    int len = ex->client.remote_len == 16 ? 16 : 3;
    uint32_t hash = 89;
    for (int tries = 0; tries <= REHASHES_MAX; tries++) {
        for (int i = 0; i < len; i++)
            hash = (hash * 113 + bytes[i]) % 6271;
        struct peer *p = at_weight(k->u, hash);
        if (p && is_free(k, p, false))
            return p;
    }
    return round_robin(k, false, false);
}

static uint32_t crc(uint32_t start, const void *data, size_t len)
{
    return (uint32_t)crc32(start, data, (uInt)len);
}

static struct peer *by_key(struct choice *k)
{
    uint32_t hash = 0;
    if (k->ask->key.len == 0) /* of nobody: it must not be one server's */
        return round_robin(k, false, false);
    for (int tries = 0; tries <= REHASHES_MAX; tries++) {
        char number[12];
        uint32_t sum = 0;
        if (tries)
            sum = crc(sum, number, (size_t)snprintf(number, sizeof number, "%d", tries));
        sum = crc(sum, k->ask->key.data, k->ask->key.len);
        hash += sum >> 16 & 0x7fff;
        struct peer *p = at_weight(k->u, hash);
        if (p && is_free(k, p, false))
            return p;
    }
    return round_robin(k, false, false);
}

static int compare_points(const void *a, const void *b)
{
    uint32_t x = ((const struct hash_point *)a)->hash, y = ((const struct hash_point *)b)->hash;
    return (x > y) - (x < y);
}

/* Great weights are scaled down together, so that the ring stays small and their ratios hold. */
static int points_weight(const struct upstream *u, int peer)
{
    int64_t greatest = 1, weight = u->peers[peer]->server->conf->weight;
    for (int i = 0; i < u->peer_count; i++)
        if (u->peers[i]->server->conf->weight > greatest)
            greatest = u->peers[i]->server->conf->weight;
    if (greatest > WEIGHT_OF_POINTS_MAX)
        weight = (weight * WEIGHT_OF_POINTS_MAX + greatest - 1) / greatest;
    return (int)weight;
}

/* The ring of the Ketama scheme as nginx and Cache::Memcached::Fast lay it. */
void balance_make_points(struct upstream *u)
{
    int count = 0;
    free(u->points);
    u->points = NULL;
    u->point_count = 0;
    if (!u->conf || u->conf->balance != CONF_BALANCE_HASH_CONSISTENT)
        return;
    for (int i = 0; i < u->peer_count; i++)
        count += POINTS_PER_WEIGHT * points_weight(u, i);
    u->points = count ? malloc((size_t)count * sizeof *u->points) : NULL;
    for (int i = 0; u->points && i < u->peer_count; i++) {
        const char *text = u->peers[i]->text, *colon = strrchr(text, ':');
        bool has_port = colon && u->peers[i]->address.addr.ss_family != AF_UNIX;
        size_t host_len = has_port ? (size_t)(colon - text) : strlen(text);
        uint32_t base = crc(crc(0, text, host_len), "", 1), previous = 0;
        base = crc(base, has_port ? colon + 1 : "", has_port ? strlen(colon + 1) : 0);
        for (int n = 0; n < POINTS_PER_WEIGHT * points_weight(u, i); n++) {
            previous = crc(base, &previous, sizeof previous);
            u->points[u->point_count++] = (struct hash_point){previous, i};
        }
    }
    if (u->points)
        qsort(u->points, (size_t)u->point_count, sizeof *u->points, compare_points);
}

static struct peer *by_ring(struct choice *k)
{
    const struct upstream *u = k->u;
    uint32_t hash = crc(0, k->ask->key.data, k->ask->key.len);
    int low = 0, high = u->point_count;
    if (k->ask->key.len == 0)
        return round_robin(k, false, false);
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (u->points[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (int i = 0; i < u->point_count; i++) {
        struct peer *p = u->peers[u->points[(low + i) % u->point_count].peer];
        if (is_free(k, p, false))
            return p;
    }
    return NULL;
}

/* --- by chance --- */

static uint32_t chance(void)
{
    static uint64_t state; /* xorshift64, seeded by each process */
    while (state == 0)
        if (getrandom(&state, sizeof state, 0) < 0)
            state = clock_mono_us();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static struct peer *by_chance(struct choice *k, const struct peer *other_than)
{
    for (int tries = 0; tries < REHASHES_MAX; tries++) {
        struct peer *p = at_weight(k->u, chance() >> 1);
        if (p && p != other_than && is_free(k, p, false))
            return p;
    }
    return other_than ? NULL : round_robin(k, false, false);
}

static struct peer *better_of_two(struct choice *k)
{
    struct peer *a = by_chance(k, NULL), *b = a ? by_chance(k, a) : NULL;
    if (!b)
        return a;
    return b->shared->active * weight_of(k, a->shared) < a->shared->active * weight_of(k, b->shared) ? b : a;
}

/* --- all of them --- */

static struct peer *balance_pick(struct choice *k)
{
    switch (k->u->conf ? k->u->conf->balance : CONF_BALANCE_ROUND_ROBIN) {
    case CONF_BALANCE_LEAST_CONN:
        return round_robin(k, false, true);
    case CONF_BALANCE_LEAST_TIME:
        return fastest(k, false);
    case CONF_BALANCE_IP_HASH:
        return balance_by_address(k);
    case CONF_BALANCE_HASH:
        return by_key(k);
    case CONF_BALANCE_HASH_CONSISTENT:
        return by_ring(k);
    case CONF_BALANCE_RANDOM:
        return by_chance(k, NULL);
    case CONF_BALANCE_RANDOM_TWO:
        return better_of_two(k);
    default:
        return round_robin(k, false, false);
    }
}

static bool any_is_up(const struct choice *k)
{
    for (int i = 0; i < k->u->peer_count; i++)
        if (peer_state(k->u->peers[i]->shared, k->now_ms) == PEER_UP)
            return true;
    return false; /* there is nothing to wait for */
}

static bool is_silent(const struct worker *w, int slot)
{
    uint64_t beat_ms = counter_get(&w->shm->slots[slot].heartbeat_ms);
    return permit_is_silent(&w->permits, slot, clock_fast_us()) ||
           (w->now_ms > beat_ms && w->now_ms - beat_ms >= STALLED_MS);
}

/*
 * The slot whose oldest request has waited longest; -1: nobody waits. A worker that does not run is passed over until it looks
 * again (permit_poke).
 */
static int longest_waiting(const struct worker *w, const struct shm_group *g)
{
    int slot = -1;
    for (int i = 0; g->waiting && i < SHM_SLOTS; i++)
        if (g->waiting_in[i] && (slot < 0 || g->oldest_us[i] < g->oldest_us[slot]) &&
            (i == w->options->slot || !is_silent(w, i)))
            slot = i;
    return slot;
}

enum upstream_choice balance_choose(struct worker *w, struct upstream *u, const struct upstream_ask *ask,
                                    struct peer **peer)
{
    struct choice k = {.u = u, .ask = ask, .first = w->shm->peers->peers, .now_ms = w->now_ms};
    bool least = u->conf && u->conf->balance == CONF_BALANCE_LEAST_CONN;
    peer_lock(w->shm, u->group);
    bool queues = u->conf && u->conf->queue;
    bool others_first = queues && !ask->waited && longest_waiting(w, u->group) >= 0 && any_is_up(&k);
    struct peer *p = others_first ? NULL : bound(&k);
    if (!p && !others_first)
        p = balance_pick(&k);
    if (!p && !others_first)
        p = round_robin(&k, true, least);
    if (p) {
        struct shm_peer *s = p->shared;
        /* This one is a trial; the others wait for how it ends. */
        if (k.now_ms > s->checked_ms + s->rules.fail_timeout_ms)
            s->checked_ms = k.now_ms;
        s->held[w->options->slot]++;
        s->active++;
        if (!p->own)
            (*held_at(w, p))++;
    }
    peer_unlock(u->group);
    *peer = p;
    return p ? UPSTREAM_CHOSEN : k.busy || others_first ? UPSTREAM_BUSY : UPSTREAM_NONE;
}

/* A success wipes failures out only once fail_timeout has passed since the last of them. */
static void note_success(struct shm_peer *s, uint64_t now_ms)
{
    if (s->failed_ms >= s->checked_ms)
        return;
    if (s->rules.max_fails && s->fails >= s->rules.max_fails)
        s->up_since_ms = now_ms;
    s->fails = 0;
}

bool balance_done(struct worker *w, struct upstream *u, struct peer *peer,
                  const struct upstream_outcome *outcome)
{
    struct shm_peer *s = peer->shared;
    bool disabled = false;
    int slot = w->options->slot;
    peer_lock(w->shm, u->group);
    /* What a table that has been made anew does not count, before balance_look_after has come, is not taken from it. */
    bool counted = s->held[slot] > 0;
    s->held[slot] -= counted;
    s->active -= counted && s->active > 0;
    if (!peer->own)
        (*held_at(w, peer))--;
    if (outcome->result != UPSTREAM_NOT_ASKED)
        s->requests++;
    if (outcome->result == UPSTREAM_FAILED) {
        s->fails++;
        s->failures++;
        s->failed_ms = s->checked_ms = w->now_ms;
        disabled = s->rules.max_fails && s->fails >= s->rules.max_fails;
    } else if (outcome->result == UPSTREAM_SERVED) {
        note_success(s, w->now_ms);
        hist_add(&s->response, outcome->response_us);
        add_to_mean(&s->last_byte_us, outcome->response_us);
        if (outcome->header_us != HTTP_TRY_NEVER)
            add_to_mean(&s->header_us, outcome->header_us);
    }
    if (outcome->status > 0 && outcome->status < SHM_CODES)
        s->codes[outcome->status]++;
    int wake = longest_waiting(w, u->group);
    peer_unlock(u->group);
    if (wake >= 0)
        permit_poke(&w->permits, wake, clock_fast_us());
    return disabled;
}

void balance_wait(struct worker *w, struct upstream *u, uint64_t oldest_us)
{
    struct shm_group *g = u->group;
    int slot = w->options->slot;
    peer_lock(w->shm, g);
    g->waiting = g->waiting - g->waiting_in[slot] + (uint32_t)u->queue_length;
    g->waiting_in[slot] = (uint32_t)u->queue_length;
    g->retrying_in[slot] = (uint32_t)u->retrying;
    g->oldest_us[slot] = oldest_us;
    peer_unlock(g);
}

bool balance_is_next(struct worker *w, struct upstream *u)
{
    peer_lock(w->shm, u->group);
    int next = longest_waiting(w, u->group);
    peer_unlock(u->group);
    return next < 0 || next == w->options->slot;
}

void balance_look_after(struct worker *w, struct upstream *u)
{
    int slot = w->options->slot;
    for (int i = 0; i < u->peer_count; i++)
        if (!u->peers[i]->own)
            peer_show_held(w->shm, u->group, u->peers[i]->shared, slot, *held_at(w, u->peers[i]));
    peer_show_waiting(w->shm, u->group, slot, (uint32_t)u->queue_length, (uint32_t)u->retrying);
}

void balance_wake(struct worker *w, struct upstream *u)
{
    peer_lock(w->shm, u->group);
    int wake = longest_waiting(w, u->group);
    peer_unlock(u->group);
    if (wake >= 0 && wake != w->options->slot)
        permit_poke(&w->permits, wake, clock_fast_us());
}

void balance_count(struct worker *w, struct upstream *u, uint64_t *counter)
{
    peer_lock(w->shm, u->group);
    (*counter)++;
    peer_unlock(u->group);
}
