/*
 * shm/keyed.c - connections, requests and sessions by key.
 */
#include "shm/keyed.h"

#include "base/clock.h"
#include "shm/keyed_table.h"
#include "shm/permit_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static struct keyed_zone *zone_of(const struct shm *shm, unsigned zone)
{
    assert(zone < KEYED_ZONES);
    return &shm->keyed[zone];
}

/* Permits of keyed zones have numbers behind those of the other zones; their ticket is the cell of the key. */
static unsigned tag_zone(unsigned zone)
{
    return PERMIT_ZONES + zone;
}

/* --- counts made anew --- */

/* Counts what living processes hold; frees the permits of a dead one. */
static void recount_holders(const struct shm *shm, unsigned zone, int dead_slot)
{
    struct permit_region *r = permit_region(shm);
    assert(shm_lock_is_held(&zone_of(shm, zone)->links->lock));
    for (int slot = 0; slot < shm_slots_used(shm); slot++) {
        struct permit_part *part = &r->parts[permit_place(shm, slot)];
        uint32_t used = permit_part_used(part);
        for (uint32_t i = 0; i < used; i++) {
            struct permit *p = &part->permits[i];
            uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
            if (permit_tag_state(tag) != PERMIT_HELD || permit_tag_zone(tag) != tag_zone(zone))
                continue;
            struct keyed_cell *c = keyed_cell_of(zone_of(shm, zone), (uint32_t)p->ticket);
            if (slot == dead_slot || !c || c->kind != KEYED_KEY)
                permit_set_tag(p, PERMIT_FREE);
            else
                c->count++;
        }
    }
}

static void repair_table(const struct shm *shm, unsigned zone, int dead_slot)
{
    struct keyed_zone *z = zone_of(shm, zone);
    assert(shm_lock_is_held(&zone_of(shm, zone)->links->lock));
    keyed_table_check(z);
    if (z->kind == KEYED_CONNECTIONS)
        recount_holders(shm, zone, dead_slot);
    keyed_table_rebuild(z);
}

static void lock_zone(const struct shm *shm, unsigned zone)
{
    if (shm_lock(&zone_of(shm, zone)->links->lock))
        repair_table(shm, zone, -1);
}

static void unlock_zone(const struct keyed_zone *z)
{
    shm_unlock(&z->links->lock);
}

static void remove_key(const struct shm *shm, unsigned zone, uint32_t cell)
{
    assert(shm_lock_is_held(&zone_of(shm, zone)->links->lock));
    if (!keyed_remove(zone_of(shm, zone), cell))
        repair_table(shm, zone, -1);
}

void keyed_reclaim(struct shm *shm, int slot)
{
    shm_lock_know_self();
    for (unsigned zone = 0; zone < KEYED_ZONES; zone++) {
        const struct keyed_zone *z = zone_of(shm, zone);
        if (!z->name[0])
            continue;
        /* Rates hold nothing of anybody's: they need it only where the process died in the middle of a change. */
        if (shm_lock(&z->links->lock) || z->kind == KEYED_CONNECTIONS)
            repair_table(shm, zone, slot);
        unlock_zone(z);
    }
}

void keyed_recount(struct shm *shm, unsigned zone)
{
    if (zone_of(shm, zone)->kind != KEYED_CONNECTIONS)
        return;
    lock_zone(shm, zone);
    repair_table(shm, zone, -1);
    unlock_zone(zone_of(shm, zone));
}

bool keyed_is_sane(const struct shm *shm)
{
    for (unsigned zone = 0; zone < KEYED_ZONES; zone++) {
        const struct keyed_zone *z = zone_of(shm, zone);
        if (z->name[0] && (z->links->used > z->cell_count || z->links->free > z->cell_count ||
                           z->links->oldest > z->cell_count || z->links->newest > z->cell_count))
            return false;
    }
    return true;
}

void keyed_begin_anew(struct shm *shm)
{
    shm_lock_know_self();
    for (unsigned zone = 0; zone < KEYED_ZONES; zone++) {
        const struct keyed_zone *z = zone_of(shm, zone);
        if (!z->name[0])
            continue;
        shm_lock(&z->links->lock);
        keyed_table_clear(z);
        recount_holders(shm, zone, -1); /* what is held finds no key, and is free */
        unlock_zone(z);
    }
}

/* --- connections --- */

enum keyed_result keyed_hold(struct permit_user *u, unsigned zone, struct slice key, uint32_t limit,
                             uint32_t *permit)
{
    struct keyed_zone *z = zone_of(u->shm, zone);
    assert(key.len <= KEYED_KEY_MAX && z->kind == KEYED_CONNECTIONS);
    uint32_t index = permit_take_spare(u);
    if (index >= SHM_PERMITS_PER_SLOT)
        return KEYED_NO_ROOM;
    struct permit *p = &u->part->permits[index];
    enum keyed_result result = KEYED_OVER;
    lock_zone(u->shm, zone);
    uint32_t cell = keyed_find_or_add(z, key);
    struct keyed_cell *c = keyed_cell_of(z, cell);
    if (!c) {
        result = KEYED_NO_ROOM;
    } else if (c->count < limit) {
        p->ticket = cell;
        permit_set_tag(p, permit_tag(PERMIT_HELD, tag_zone(zone), PERMIT_NORMAL, PERMIT_LIMIT));
        c->count++;
        result = KEYED_OK;
    } else if (c->count == 0) {
        remove_key(u->shm, zone, cell); /* a limit of 0 */
    }
    unlock_zone(z);
    if (result != KEYED_OK)
        permit_put_spare(u, index);
    *permit = index;
    return result;
}

void keyed_let_go(struct permit_user *u, uint32_t permit)
{
    struct permit *p = &u->part->permits[permit];
    unsigned zone = permit_tag_zone(p->tag) - PERMIT_ZONES;
    permit_put_spare(u, permit);
    /* The region was damaged and made anew under the permit. */
    if (zone >= KEYED_ZONES || !zone_of(u->shm, zone)->name[0]) {
        permit_set_tag(p, PERMIT_FREE);
        return;
    }
    struct keyed_zone *z = zone_of(u->shm, zone);
    lock_zone(u->shm, zone);
    uint32_t cell = (uint32_t)p->ticket;
    struct keyed_cell *c = keyed_cell_of(z, cell);
    permit_set_tag(p, PERMIT_FREE);
    if (!c || c->kind != KEYED_KEY || c->count == 0)
        repair_table(u->shm, zone, -1);
    else if (--c->count == 0)
        remove_key(u->shm, zone, cell);
    unlock_zone(z);
}

/* --- requests --- */

enum { REQUEST = 1000, FORGET_AFTER_US = 60000000, SECOND_US = 1000000 };

/* What is left of `excess` after the bucket has leaked since the key's last request. */
static uint64_t leaked(const struct keyed_cell *c, uint64_t excess, uint64_t rate, uint64_t now_us)
{
    uint64_t passed_us = now_us > c->last_us ? now_us - c->last_us : 0, gone;
    if (__builtin_mul_overflow(rate, passed_us, &gone))
        gone = UINT64_MAX;
    gone /= SECOND_US;
    return excess > gone ? excess - gone : 0;
}

/* When a key means nothing any more: it has been quiet for so long, and of requests no excess is left at this rate. */
struct quiet {
    uint64_t after_us, rate;
};

/* Two of those keys for each new one. */
static void forget_quiet(const struct shm *shm, unsigned zone, struct quiet quiet, uint64_t now_us)
{
    const struct keyed_zone *z = zone_of(shm, zone);
    for (int i = 0; i < 2; i++) {
        const struct keyed_cell *c = keyed_cell_of(z, z->links->oldest);
        if (!c || now_us < c->last_us + quiet.after_us ||
            (z->kind == KEYED_REQUESTS && leaked(c, c->excess, quiet.rate, now_us)))
            return;
        remove_key(shm, zone, z->links->oldest);
    }
}

/* A key has several cells, so several others may have to go. */
enum { KEYS_FOR_ONE = 8 };

static uint32_t make_room_for_key(const struct shm *shm, unsigned zone, struct slice key, struct quiet quiet,
                                  uint64_t now_us)
{
    const struct keyed_zone *z = zone_of(shm, zone);
    uint32_t cell;
    forget_quiet(shm, zone, quiet, now_us);
    for (int i = 0;
         !(cell = keyed_find_or_add(z, key)) && keyed_cell_of(z, z->links->oldest) && i < KEYS_FOR_ONE; i++)
        remove_key(shm, zone, z->links->oldest);
    return cell;
}

/* The key has a cell. A worker whose turn began earlier must not set the time back: the bucket would leak twice. */
static enum keyed_result count_request(const struct shm *shm, unsigned zone, uint32_t cell, uint64_t now_us,
                                       struct keyed_rate rate, bool account, uint64_t *excess)
{
    const struct keyed_zone *z = zone_of(shm, zone);
    struct keyed_cell *c = keyed_cell_of(z, cell);
    *excess = leaked(c, c->excess + REQUEST, rate.rate, now_us);
    if (*excess <= rate.burst && account) {
        c->excess = *excess;
        if (now_us > c->last_us)
            c->last_us = now_us;
    }
    if (!keyed_touch(z, cell))
        repair_table(shm, zone, -1);
    return *excess > rate.burst ? KEYED_OVER : KEYED_OK;
}

enum keyed_result keyed_request(struct shm *shm, unsigned zone, struct slice key, uint64_t now_us,
                                struct keyed_rate rate, bool account, uint64_t *excess)
{
    struct keyed_zone *z = zone_of(shm, zone);
    enum keyed_result result = KEYED_OK;
    *excess = 0;
    lock_zone(shm, zone);
    uint32_t cell = keyed_find(z, key);
    if (cell) {
        result = count_request(shm, zone, cell, now_us, rate, account, excess);
    } else if (account) { /* the first one is free */
        cell = make_room_for_key(shm, zone, key, (struct quiet){FORGET_AFTER_US, rate.rate}, now_us);
        if (cell)
            keyed_cell_of(z, cell)->last_us = now_us;
        else
            result = KEYED_NO_ROOM;
    }
    unlock_zone(z);
    return result;
}

/* --- sessions --- */

/* A worker whose turn began earlier must not set the time back. */
static void renew_session(const struct shm *shm, unsigned zone, uint32_t cell, uint64_t now_us)
{
    struct keyed_cell *c = keyed_cell_of(zone_of(shm, zone), cell);
    assert(shm_lock_is_held(&zone_of(shm, zone)->links->lock) && c);
    if (now_us > c->last_us)
        c->last_us = now_us;
    if (!keyed_touch(zone_of(shm, zone), cell))
        repair_table(shm, zone, -1);
}

enum keyed_result keyed_remember(struct shm *shm, unsigned zone, struct slice key, uint64_t value,
                                 uint64_t now_us, uint64_t idle_us)
{
    struct keyed_zone *z = zone_of(shm, zone);
    assert(key.len <= KEYED_KEY_MAX && z->kind == KEYED_SESSIONS);
    lock_zone(shm, zone);
    uint32_t cell = keyed_find(z, key);
    if (!cell)
        cell = make_room_for_key(shm, zone, key, (struct quiet){.after_us = idle_us}, now_us);
    if (cell) {
        keyed_cell_of(z, cell)->value = value;
        renew_session(shm, zone, cell, now_us);
    }
    unlock_zone(z);
    return cell ? KEYED_OK : KEYED_NO_ROOM;
}

bool keyed_recall(struct shm *shm, unsigned zone, struct slice key, uint64_t now_us, uint64_t idle_us,
                  uint64_t *value)
{
    struct keyed_zone *z = zone_of(shm, zone);
    lock_zone(shm, zone);
    uint32_t cell = keyed_find(z, key);
    const struct keyed_cell *c = keyed_cell_of(z, cell);
    bool found = c && now_us < c->last_us + idle_us;
    if (found) {
        *value = c->value;
        renew_session(shm, zone, cell, now_us);
    } else if (c) {
        remove_key(shm, zone, cell);
    }
    unlock_zone(z);
    return found;
}

/* --- zones --- */

static bool same_zone(const struct keyed_zone *z, const char *name, enum keyed_kind kind, size_t bytes,
                      const char *key)
{
    return strcmp(z->name, name) == 0 && z->kind == kind && z->bytes == bytes && strcmp(z->key, key) == 0;
}

int keyed_zone_open(struct shm *shm, const char *name, enum keyed_kind kind, size_t bytes, const char *key)
{
    int chosen = -1;
    for (int i = KEYED_ZONES - 1; i >= 0; i--) {
        struct keyed_zone *z = zone_of(shm, (unsigned)i);
        if (z->name[0] && same_zone(z, name, kind, bytes, key))
            return i;
        if (!z->name[0])
            chosen = i;
    }
    if (chosen < 0) {
        errno = ENFILE;
        return -1;
    }
    struct keyed_zone *z = zone_of(shm, (unsigned)chosen);
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -1;
    madvise(memory, bytes, MADV_DONTDUMP);
    *z = (struct keyed_zone){.kind = kind, .bytes = bytes, .links = memory, .seed = clock_mono_us()};
    strncpy(z->key, key, sizeof z->key - 1);
    keyed_table_begin(z);
    strncpy(z->name, name, sizeof z->name - 1);
    return chosen;
}

static bool is_empty(const struct keyed_zone *z)
{
    if (z->kind != KEYED_CONNECTIONS)
        return true; /* nobody gives anything back */
    return z->links->oldest == 0;
}

void keyed_zones_prune(struct shm *shm, const int *kept, int count)
{
    for (int i = 0; i < KEYED_ZONES; i++) {
        struct keyed_zone *z = zone_of(shm, (unsigned)i);
        bool keep = !z->name[0] || !is_empty(z);
        for (int k = 0; k < count; k++)
            keep |= kept[k] == i;
        if (keep)
            continue;
        munmap(z->links, z->bytes);
        z->name[0] = '\0';
    }
}
