/*
 * shm/peer.c - finding and making groups and peers, and putting them right after a death.
 */
#include "shm/peer.h"

#include "shm/lock.h"

#include <assert.h>
#include <string.h>

const char *const peer_state_names[PEER_STATES] = {"up", "down", "unavail", "checking", "unhealthy"};

static uint32_t number_of(const struct peer_region *r, const struct shm_group *group)
{
    assert(group >= r->groups && group < r->groups + PEER_GROUPS);
    return (uint32_t)(group - r->groups) + 1;
}

static void set_name(char *to, size_t bytes, struct slice name)
{
    assert(bytes > 0);
    size_t n = name.len < bytes ? name.len : bytes - 1;
    memset(to, 0, bytes);
    memcpy(to, name.data, n);
}

/* Names that are too long for their place are told apart by what fits. */
static bool has_name(const char *have, size_t bytes, struct slice name)
{
    size_t n = name.len < bytes ? name.len : bytes - 1;
    return strnlen(have, bytes) == n && memcmp(have, name.data, n) == 0;
}

static uint32_t peers_used(const struct peer_region *r)
{
    uint32_t used = atomic_load_explicit(&r->peers_used, memory_order_relaxed);
    return used < PEERS ? used : PEERS;
}

static uint32_t groups_used(const struct peer_region *r)
{
    uint32_t used = atomic_load_explicit(&r->groups_used, memory_order_relaxed);
    return used < PEER_GROUPS ? used : PEER_GROUPS;
}

uint32_t peer_groups_used(const struct shm *shm)
{
    return groups_used(shm->peers);
}

static bool is_forgotten(uint64_t touched_ms, uint64_t now_ms)
{
    return touched_ms > now_ms ? touched_ms - now_ms > PEER_FORGOTTEN_MS
                               : now_ms - touched_ms > PEER_FORGOTTEN_MS;
}

struct shm_group *peer_group_open(struct shm *shm, struct slice name, uint64_t now_ms)
{
    struct peer_region *r = shm->peers;
    struct shm_group *found = NULL, *room = NULL;
    /* Read once: others may write into the mark at any moment. */
    uint32_t place;
    /* A dead holder leaves at worst a group or peer without a name, which is unused. */
    shm_lock(&r->lock);
    for (uint32_t i = 0; i < groups_used(r) && !found; i++) {
        struct shm_group *g = &r->groups[i];
        bool used = g->used && !is_forgotten(g->touched_ms, now_ms);
        if (used && has_name(g->name, sizeof g->name, name))
            found = g;
        if (!used && !room)
            room = g;
    }
    if (!found && !room && (place = groups_used(r)) < PEER_GROUPS) {
        room = &r->groups[place];
        r->groups_used = place + 1;
    }
    if (!found && room) {
        for (uint32_t i = 0; room->used && i < peers_used(r); i++)
            if (r->peers[i].group == number_of(r, room))
                r->peers[i].group = 0; /* of the group that was here before */
        memset(room, 0, sizeof *room);
        set_name(room->name, sizeof room->name, name);
        room->used = 1;
        found = room;
    }
    if (found)
        found->touched_ms = now_ms;
    shm_unlock(&r->lock);
    return found;
}

static void write_peer(struct shm_peer *p, uint32_t group, struct slice name, const struct peer_rules *rules)
{
    assert(group >= 1 && group <= PEER_GROUPS);
    p->group = 0;
    memset(p, 0, sizeof *p);
    set_name(p->name, sizeof p->name, name);
    p->rules = *rules;
    p->group = group;
}

/* soon: of a group whose peers come and go with what clients name. */
static bool is_reusable(const struct shm_peer *p, bool soon, uint64_t now_ms)
{
    uint64_t touched_ms = p->touched_ms;
    bool forgotten = is_forgotten(touched_ms, now_ms) || (soon && now_ms > touched_ms + PEER_FRESH_MS);
    return forgotten && p->active == 0;
}

struct shm_peer *peer_open(struct shm *shm, struct shm_group *group, struct slice name,
                           const struct peer_rules *rules, uint32_t most, uint64_t now_ms)
{
    struct peer_region *r = shm->peers;
    struct shm_peer *found = NULL, *room = NULL;
    uint32_t number = number_of(r, group), in_group = 0, place;
    shm_lock(&r->lock);
    for (uint32_t i = 0; i < peers_used(r) && !found; i++) {
        struct shm_peer *p = &r->peers[i];
        if (p->group == number && has_name(p->name, sizeof p->name, name))
            found = p;
        else if (!room && (p->group == 0 || is_reusable(p, most && p->group == number, now_ms)))
            room = p;
        in_group += p->group == number && p != room;
    }
    if (most && in_group >= most)
        room = room && room->group == number ? room : NULL;
    if (!found && !room && (place = peers_used(r)) < PEERS && (!most || in_group < most)) {
        room = &r->peers[place];
        r->peers_used = place + 1;
    }
    if (!found && room) {
        write_peer(room, number, name, rules);
        found = room;
    }
    if (found) {
        found->rules = *rules;
        found->touched_ms = now_ms;
    }
    shm_unlock(&r->lock);
    return found;
}

void peer_assert(struct shm *shm, struct shm_group *group, struct slice group_name, struct shm_peer *peer,
                 struct slice name, const struct peer_rules *rules)
{
    struct peer_region *r = shm->peers;
    uint32_t number = number_of(r, group), place = (uint32_t)(peer - r->peers) + 1;
    assert(place >= 1 && place <= PEERS);
    if (group->used == 1 && peer->group == number && has_name(peer->name, sizeof peer->name, name))
        return;
    shm_lock(&r->lock);
    if (group->used != 1 || !has_name(group->name, sizeof group->name, group_name)) {
        memset((char *)group + sizeof group->lock, 0, sizeof *group - sizeof group->lock);
        set_name(group->name, sizeof group->name, group_name);
        group->used = 1;
    }
    if (number > groups_used(r))
        r->groups_used = number;
    if (place > peers_used(r))
        r->peers_used = place;
    write_peer(peer, number, name, rules);
    shm_unlock(&r->lock);
}

/* Sums are made anew from what each process has. */
static void recount_group(struct shm_group *group)
{
    group->waiting = 0;
    for (int slot = 0; slot < SHM_SLOTS; slot++)
        group->waiting += group->waiting_in[slot];
}

static void recount_peer(struct shm_peer *p, bool anew)
{
    p->active = 0;
    for (int slot = 0; slot < SHM_SLOTS; slot++)
        p->active += p->held[slot];
    /* The lock's holder died between two stores: turns start again. */
    if (anew)
        p->current = 0;
}

void peer_lock(struct shm *shm, struct shm_group *group)
{
    if (!shm_lock(&group->lock))
        return;
    struct peer_region *r = shm->peers;
    recount_group(group);
    for (uint32_t i = 0; i < peers_used(r); i++)
        if (r->peers[i].group == number_of(r, group))
            recount_peer(&r->peers[i], true);
}

void peer_unlock(struct shm_group *group)
{
    shm_unlock(&group->lock);
}

static bool is_without_process(const struct shm *shm, int slot, int dead_slot)
{
    return slot == dead_slot || shm->empty[slot];
}

/* Read first: what is not written to costs no memory. */
static void clear_group(const struct shm *shm, struct shm_group *g, int dead_slot)
{
    for (int slot = 0; slot < SHM_SLOTS; slot++)
        if (is_without_process(shm, slot, dead_slot) && (g->waiting_in[slot] || g->retrying_in[slot]))
            g->waiting_in[slot] = g->retrying_in[slot] = 0;
}

static void clear_peer(const struct shm *shm, struct shm_peer *p, int dead_slot)
{
    for (int slot = 0; slot < SHM_SLOTS; slot++)
        if (is_without_process(shm, slot, dead_slot) && (p->held[slot] || p->idle[slot])) {
            p->held[slot] = 0;
            p->idle[slot] = 0;
        }
}

/* Peers are made in groups that there are: one of no group was made up, and would keep its place as long as it counts as busy. */
static void free_stray_peers(struct peer_region *r)
{
    shm_lock(&r->lock);
    for (uint32_t k = 0; k < peers_used(r); k++) {
        struct shm_peer *p = &r->peers[k];
        uint32_t i = p->group - 1;
        if (i < PEER_GROUPS && (i >= groups_used(r) || !r->groups[i].used))
            p->group = 0;
    }
    shm_unlock(&r->lock);
}

/* One pass over the groups and one over the peers: of thousands each, a pass for each group would take seconds. */
void peer_reclaim(struct shm *shm, int slot)
{
    struct peer_region *r = shm->peers;
    uint32_t groups = groups_used(r), peers = peers_used(r);
    uint64_t anew[PEER_GROUPS / 64] = {0}; /* whose lock had a dead holder */
    free_stray_peers(r);
    for (uint32_t i = 0; i < groups; i++) {
        struct shm_group *g = &r->groups[i];
        if (!g->used)
            continue;
        if (shm_lock(&g->lock))
            anew[i / 64] |= 1ull << i % 64;
        clear_group(shm, g, slot);
        recount_group(g);
        shm_unlock(&g->lock);
    }
    for (uint32_t k = 0; k < peers; k++) {
        struct shm_peer *p = &r->peers[k];
        /* Read once: who may write here may change it at any moment. */
        uint32_t i = p->group - 1;
        if (i >= groups)
            continue;
        bool died = shm_lock(&r->groups[i].lock);
        clear_peer(shm, p, slot);
        recount_peer(p, died || anew[i / 64] >> i % 64 & 1);
        shm_unlock(&r->groups[i].lock);
    }
}

void peer_show_held(struct shm *shm, struct shm_group *group, struct shm_peer *peer, int slot, uint32_t held)
{
    assert(slot >= 0 && slot < SHM_SLOTS && peer >= shm->peers->peers && peer < shm->peers->peers + PEERS);
    if (peer->held[slot] == held && peer->active >= held)
        return;
    peer_lock(shm, group);
    peer->held[slot] = held;
    recount_peer(peer, false);
    peer_unlock(group);
}

void peer_show_waiting(struct shm *shm, struct shm_group *group, int slot, uint32_t waiting,
                       uint32_t retrying)
{
    assert(slot >= 0 && slot < SHM_SLOTS);
    if (group->waiting_in[slot] == waiting && group->retrying_in[slot] == retrying &&
        group->waiting >= waiting)
        return;
    peer_lock(shm, group);
    group->waiting_in[slot] = waiting;
    group->retrying_in[slot] = retrying;
    recount_group(group);
    peer_unlock(group);
}

static void touch_at_most(_Atomic uint64_t *touched_ms, uint64_t at_ms)
{
    if (*touched_ms > at_ms)
        *touched_ms = at_ms;
}

bool peer_forget_sooner(struct shm *shm, uint64_t now_ms)
{
    struct peer_region *r = shm->peers;
    const uint64_t ago_ms = PEER_FORGOTTEN_MS - PEER_FRESH_MS, at_ms = now_ms > ago_ms ? now_ms - ago_ms : 0;
    if (groups_used(r) < PEER_GROUPS && peers_used(r) < PEERS)
        return false;
    shm_lock(&r->lock);
    for (uint32_t i = 0; i < groups_used(r); i++)
        touch_at_most(&r->groups[i].touched_ms, at_ms);
    for (uint32_t k = 0; k < peers_used(r); k++) {
        struct shm_peer *p = &r->peers[k];
        if (is_forgotten(p->touched_ms, now_ms)) {
            memset(p->held, 0, sizeof p->held);
            p->active = 0;
        }
        touch_at_most(&p->touched_ms, at_ms);
    }
    shm_unlock(&r->lock);
    return true;
}

enum peer_state peer_state(const struct shm_peer *p, uint64_t now_ms)
{
    if (p->rules.down)
        return PEER_DOWN;
    if (p->rules.checked && p->health == PEER_UNHEALTHY)
        return PEER_SICK;
    if (p->rules.checked && p->rules.mandatory && p->health == PEER_UNKNOWN)
        return PEER_CHECKING;
    bool failed = p->rules.max_fails && p->fails >= p->rules.max_fails;
    return failed && now_ms <= p->checked_ms + p->rules.fail_timeout_ms ? PEER_UNAVAILABLE : PEER_UP;
}

uint32_t peer_idle(const struct shm_peer *peer)
{
    uint32_t sum = 0;
    for (int slot = 0; slot < SHM_SLOTS; slot++)
        sum += atomic_load_explicit(&peer->idle[slot], memory_order_relaxed);
    return sum;
}

uint32_t peer_group_waiting(const struct shm_group *group)
{
    uint32_t sum = 0;
    for (int slot = 0; slot < SHM_SLOTS; slot++)
        sum += group->waiting_in[slot] + group->retrying_in[slot];
    return sum;
}

/* --- what somebody has overwritten --- */

enum { RULES_MAX = 1 << 20 };

static bool is_flag(const bool *flag)
{
    unsigned char byte;
    memcpy(&byte, flag, 1);
    return byte <= 1;
}

static bool is_time(uint64_t at_ms, uint64_t now_ms)
{
    /* Nobody's clock is ahead: this is for a clock that stood still. */
    return at_ms <= now_ms + PEER_FORGOTTEN_MS;
}

static bool is_sane_peer(const struct shm_peer *p, uint64_t now_ms)
{
    const struct peer_rules *rules = &p->rules;
    return p->group <= PEER_GROUPS && strnlen(p->name, sizeof p->name) < sizeof p->name && p->name[0] &&
           rules->weight > 0 && rules->weight < RULES_MAX && rules->max_fails >= 0 && p->fails >= 0 &&
           is_flag(&rules->backup) && is_flag(&rules->down) && is_flag(&rules->drain) &&
           is_flag(&rules->checked) && is_flag(&rules->mandatory) && (unsigned)p->health <= PEER_UNHEALTHY &&
           is_time(p->touched_ms, now_ms) && is_time(p->failed_ms, now_ms) &&
           is_time(p->checked_ms, now_ms) && is_time(p->up_since_ms, now_ms) && p->current < INT32_MAX &&
           p->current > INT32_MIN;
}

static bool is_sane_group(const struct shm_group *g, uint64_t now_ms)
{
    return g->used <= 1 && strnlen(g->name, sizeof g->name) < sizeof g->name &&
           is_time(g->touched_ms, now_ms) && (!g->used || g->name[0]);
}

bool peer_is_sane(const struct shm *shm, uint64_t now_ms)
{
    const struct peer_region *r = shm->peers;
    if (r->groups_used > PEER_GROUPS || r->peers_used > PEERS)
        return false;
    for (uint32_t i = 0; i < groups_used(r); i++)
        if (!is_sane_group(&r->groups[i], now_ms))
            return false;
    for (uint32_t i = 0; i < peers_used(r); i++)
        if (r->peers[i].group && !is_sane_peer(&r->peers[i], now_ms))
            return false;
    return true;
}

void peer_begin_anew(struct shm *shm)
{
    struct peer_region *r = shm->peers;
    uint32_t groups = groups_used(r), peers = peers_used(r);
    shm_lock_know_self();
    for (uint32_t i = 0; i < groups; i++)
        memset((char *)&r->groups[i] + sizeof r->groups[i].lock, 0,
               sizeof r->groups[i] - sizeof r->groups[i].lock);
    for (uint32_t i = 0; i < peers; i++)
        memset(&r->peers[i], 0, sizeof r->peers[i]);
    r->groups_used = groups;
    r->peers_used = peers;
}
