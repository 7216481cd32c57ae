/*
 * tests/unit/shm/test_peer.c - the servers of upstreams in shared memory: found by name, forgotten, given to others, and put
 * right when processes die at any moment.
 *
 * WEIR_TEST_LONG=1 kills ten times as often.
 */
#include "shm/peer.h"

#include "shm/lock.h"
#include "shm/reclaim.h"
#include "tests/unit/shm/permit_child.h"

#include <sys/mman.h>

enum { DEAD_HOLDER = 0x40000000 /* FUTEX_OWNER_DIED */, PAGE = 4096 };
enum { NOW_MS = 50000000, CHILDREN = 3, SERVERS = 4, ITEMS = 8, KILLS = 150, KILLS_LONG = 1500 };

static const struct peer_rules plain = {.weight = 1, .max_fails = 1, .fail_timeout_ms = 10000};

static struct shm *fresh(void)
{
    struct shm *shm = shm_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(shm);
    shm_lock_know_self();
    return shm;
}

static struct shm_group *group_at(struct shm *shm, const char *name, uint64_t now_ms)
{
    return peer_group_open(shm, slice_of(name), now_ms);
}

static struct shm_peer *peer_at(struct shm *shm, struct shm_group *g, const char *name, uint64_t now_ms)
{
    return peer_open(shm, g, slice_of(name), &plain, 0, now_ms);
}

/* --- names --- */

static void found_by_name(void)
{
    struct shm *shm = fresh();
    struct shm_group *a = group_at(shm, "a", NOW_MS), *b = group_at(shm, "b", NOW_MS);
    CU_ASSERT(a && b && a != b);
    CU_ASSERT_PTR_EQUAL(group_at(shm, "a", NOW_MS + 1), a);
    struct shm_peer *one = peer_at(shm, a, "1", NOW_MS), *two = peer_at(shm, a, "2", NOW_MS),
                    *other = peer_at(shm, b, "1", NOW_MS);
    CU_ASSERT(one && two && other && one != two && one != other);
    CU_ASSERT_PTR_EQUAL(peer_at(shm, a, "1", NOW_MS + 5), one);
    shm_destroy(shm);
}

static void names_that_are_too_long(void)
{
    struct shm *shm = fresh();
    char long_name[300], other_name[300];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    memcpy(other_name, long_name, sizeof other_name);
    other_name[10] = 'y';
    struct shm_group *a = group_at(shm, long_name, NOW_MS), *b = group_at(shm, other_name, NOW_MS);
    CU_ASSERT(a && b && a != b);
    CU_ASSERT_PTR_EQUAL(group_at(shm, long_name, NOW_MS), a);
    struct shm_peer *p = peer_at(shm, a, long_name, NOW_MS), *q = peer_at(shm, a, other_name, NOW_MS);
    CU_ASSERT(p && q && p != q);
    CU_ASSERT_PTR_EQUAL(peer_at(shm, a, long_name, NOW_MS), p);
    shm_destroy(shm);
}

static void the_last_opener_says_the_rules(void)
{
    struct shm *shm = fresh();
    struct shm_group *g = group_at(shm, "a", NOW_MS);
    struct peer_rules rules = {.weight = 7, .max_conns = 3, .backup = true};
    struct shm_peer *p = peer_at(shm, g, "1", NOW_MS);
    p->requests = 9;
    CU_ASSERT_PTR_EQUAL(peer_open(shm, g, SLICE("1"), &rules, 0, NOW_MS), p);
    CU_ASSERT(p->rules.weight == 7 && p->rules.max_conns == 3 && p->rules.backup && p->requests == 9);
    shm_destroy(shm);
}

/* --- room --- */

static void no_more_than_there_are(void)
{
    struct shm *shm = fresh();
    char name[16];
    for (int i = 0; i < PEER_GROUPS; i++) {
        snprintf(name, sizeof name, "g%d", i);
        CU_ASSERT_PTR_NOT_NULL(group_at(shm, name, NOW_MS));
    }
    CU_ASSERT_PTR_NULL(group_at(shm, "more", NOW_MS));
    struct shm_group *g = group_at(shm, "g0", NOW_MS);
    for (int i = 0; i < PEERS; i++) {
        snprintf(name, sizeof name, "p%d", i);
        CU_ASSERT_PTR_NOT_NULL(peer_at(shm, g, name, NOW_MS));
    }
    CU_ASSERT_PTR_NULL(peer_at(shm, g, "more", NOW_MS));
    shm_destroy(shm);
}

/* Takes the places that are left. */
static void fill(struct shm *shm, struct shm_group *g, uint64_t now_ms)
{
    char name[16];
    for (uint32_t i = shm->peers->peers_used; i < PEERS; i++) {
        snprintf(name, sizeof name, "f%u", i);
        CU_ASSERT_PTR_NOT_NULL(peer_at(shm, g, name, now_ms));
    }
}

static void forgotten_peers_make_room(void)
{
    struct shm *shm = fresh();
    struct shm_group *g = group_at(shm, "g", NOW_MS);
    struct shm_peer *busy = peer_at(shm, g, "busy", NOW_MS), *old = peer_at(shm, g, "old", NOW_MS);
    busy->active = busy->held[3] = 1;
    old->requests = old->fails = 5;
    old->idle[2] = 1;
    fill(shm, g, NOW_MS + PEER_FORGOTTEN_MS);
    CU_ASSERT_PTR_NULL(peer_at(shm, g, "new", NOW_MS + PEER_FORGOTTEN_MS)); /* not yet */
    struct shm_peer *now = peer_at(shm, g, "new", NOW_MS + PEER_FORGOTTEN_MS + 1);
    CU_ASSERT_PTR_EQUAL(now, old);
    CU_ASSERT(now->requests == 0 && now->fails == 0 && peer_idle(now) == 0 && strcmp(now->name, "new") == 0);
    CU_ASSERT(busy->active == 1 && busy->held[3] == 1);
    shm_destroy(shm);
}

static void forgotten_groups_make_room(void)
{
    struct shm *shm = fresh();
    char name[16];
    struct shm_group *old = group_at(shm, "old", NOW_MS);
    struct shm_peer *p = peer_at(shm, old, "1", NOW_MS);
    old->queued = 4;
    for (int i = 1; i < PEER_GROUPS; i++) {
        snprintf(name, sizeof name, "g%d", i);
        group_at(shm, name, NOW_MS + PEER_FORGOTTEN_MS);
    }
    CU_ASSERT_PTR_NULL(group_at(shm, "new", NOW_MS + PEER_FORGOTTEN_MS));
    struct shm_group *now = group_at(shm, "new", NOW_MS + PEER_FORGOTTEN_MS + 1);
    CU_ASSERT_PTR_EQUAL(now, old);
    CU_ASSERT(now->queued == 0 && p->group == 0);
    shm_destroy(shm);
}

/* --- states --- */

static void states(void)
{
    static const struct {
        const char *name;
        struct shm_peer p;
        enum peer_state wanted;
    } cases[] = {
        {"well", {.rules = {.max_fails = 2}, .fails = 1, .checked_ms = NOW_MS}, PEER_UP},
        {"failed",
         {.rules = {.max_fails = 2, .fail_timeout_ms = 5}, .fails = 2, .checked_ms = NOW_MS - 5},
         PEER_UNAVAILABLE},
        {"rested",
         {.rules = {.max_fails = 2, .fail_timeout_ms = 5}, .fails = 2, .checked_ms = NOW_MS - 6},
         PEER_UP},
        {"uncounted", {.rules = {.fail_timeout_ms = 5}, .fails = 9, .checked_ms = NOW_MS}, PEER_UP},
        {"down", {.rules = {.down = true, .checked = true}, .health = PEER_HEALTHY}, PEER_DOWN},
        {"sick", {.rules = {.checked = true}, .health = PEER_UNHEALTHY}, PEER_SICK},
        {"was sick", {.health = PEER_UNHEALTHY}, PEER_UP},
        {"unknown", {.rules = {.checked = true}}, PEER_UP},
        {"mandatory", {.rules = {.checked = true, .mandatory = true}}, PEER_CHECKING},
        {"passed", {.rules = {.checked = true, .mandatory = true}, .health = PEER_HEALTHY}, PEER_UP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_FOR(cases[i].name, peer_state(&cases[i].p, NOW_MS) == cases[i].wanted);
}

/* --- deaths --- */

static void reclaiming(void)
{
    struct shm *shm = fresh();
    struct shm_group *g = group_at(shm, "g", NOW_MS), *h = group_at(shm, "h", NOW_MS);
    struct shm_peer *p = peer_at(shm, g, "1", NOW_MS), *q = peer_at(shm, h, "1", NOW_MS);
    p->active = 7;
    p->held[1] = 4;
    p->held[2] = 3;
    p->idle[1] = p->idle[2] = 6;
    q->active = q->held[1] = 2;
    g->waiting = 9;
    g->waiting_in[1] = 5;
    g->waiting_in[2] = 4;
    for (int times = 0; times < 2; times++) { /* a second time there is nothing more */
        peer_reclaim(shm, 1);
        CHECK_NUMBER(p->active, 3);
        CHECK_NUMBER(p->held[2], 3);
        CHECK_NUMBER(peer_idle(p), 6);
        CHECK_NUMBER(q->active, 0);
        CHECK_NUMBER(g->waiting, 4);
    }
    shm_destroy(shm);
}

/* Whoever died with a group's lock: its peers' turns start again, those of others go on. */
static void reclaiming_locks(void)
{
    struct shm *shm = fresh();
    struct shm_group *g = group_at(shm, "g", NOW_MS), *h = group_at(shm, "h", NOW_MS);
    struct shm_peer *p = peer_at(shm, g, "1", NOW_MS), *q = peer_at(shm, h, "1", NOW_MS);
    p->current = q->current = 5;
    p->held[1] = p->held[2] = q->held[1] = q->active = 1;
    g->lock = DEAD_HOLDER;
    peer_reclaim(shm, 1);
    CHECK_NUMBER(g->lock, 0);
    CHECK_NUMBER(p->active, 1);
    CHECK_NUMBER(p->current, 0);
    CHECK_NUMBER(q->active, 0);
    CHECK_NUMBER(q->current, 5);
    shm_destroy(shm);
}

/* Of thousands, those that have never been used are not looked at: a page that is read costs memory as one that is written. */
static void unused_ones_cost_nothing(void)
{
    struct shm *shm = fresh();
    unsigned char *resident = malloc(sizeof *shm->peers / PAGE + 2);
    struct shm_peer *p = peer_at(shm, group_at(shm, "g", NOW_MS), "1", NOW_MS);
    size_t pages = 0, skipped = (PAGE - (size_t)shm->peers % PAGE) % PAGE;
    size_t bytes = sizeof *shm->peers - skipped;
    CU_ASSERT(p && resident);
    shm_break_locks(shm, 1);
    CU_ASSERT(peer_is_sane(shm, NOW_MS));
    peer_reclaim(shm, 1);
    peer_begin_anew(shm);
    CU_ASSERT(mincore((char *)shm->peers + skipped, bytes, resident) == 0);
    for (size_t i = 0; i < (bytes + PAGE - 1) / PAGE; i++)
        pages += resident[i] & 1;
    CU_ASSERT(pages < 10);
    free(resident);
    shm_destroy(shm);
}

/* --- what was made up --- */

static void touched_in_the_future(void)
{
    struct shm *shm = fresh();
    struct shm_group *g = group_at(shm, "g", NOW_MS), *far = group_at(shm, "far", NOW_MS);
    struct shm_peer *p = peer_at(shm, g, "1", NOW_MS), *q = peer_at(shm, g, "2", NOW_MS);
    p->touched_ms = NOW_MS + PEER_FORGOTTEN_MS;
    CU_ASSERT(peer_is_sane(shm, NOW_MS));
    q->touched_ms = far->touched_ms = NOW_MS + PEER_FORGOTTEN_MS + 1;
    CU_ASSERT(!peer_is_sane(shm, NOW_MS));
    CU_ASSERT_PTR_EQUAL(peer_at(shm, g, "new", NOW_MS), q); /* that one was never touched */
    CU_ASSERT_PTR_EQUAL(group_at(shm, "new", NOW_MS), far);
    shm_destroy(shm);
}

static void slots_without_a_process(void)
{
    struct shm *shm = fresh();
    struct shm_group *g = group_at(shm, "g", NOW_MS);
    struct shm_peer *p = peer_at(shm, g, "1", NOW_MS), *stray = peer_at(shm, g, "2", NOW_MS);
    memset(shm->empty, true, sizeof shm->empty);
    shm->empty[2] = false;
    p->held[1] = p->held[2] = p->held[SHM_SLOTS - 1] = 5;
    p->idle[2] = p->idle[3] = 4;
    g->waiting_in[2] = g->waiting_in[3] = g->retrying_in[2] = g->retrying_in[3] = 3;
    stray->group = PEER_GROUPS - 1; /* which nobody has made */
    stray->held[2] = 1;
    peer_reclaim(shm, -1);
    CHECK_NUMBER(p->active, 5);
    CHECK_NUMBER(peer_idle(p), 4);
    CHECK_NUMBER(g->waiting, 3);
    CHECK_NUMBER(peer_group_waiting(g), 6);
    CHECK_NUMBER(stray->group, 0);
    shm_destroy(shm);
}

/* Only where there is no room; and who is touched stays. */
static void forgetting_sooner(void)
{
    enum { LATER_MS = NOW_MS + PEER_FRESH_MS + 1 };
    struct shm *shm = fresh();
    struct shm_group *g = group_at(shm, "g", NOW_MS);
    struct shm_peer *busy = peer_at(shm, g, "busy", NOW_MS), *used = peer_at(shm, g, "used", NOW_MS);
    CU_ASSERT(!peer_forget_sooner(shm, NOW_MS));
    fill(shm, g, NOW_MS);
    for (uint32_t i = 0; i < PEERS; i++)
        shm->peers->peers[i].active = shm->peers->peers[i].held[3] = 1;
    CU_ASSERT(peer_forget_sooner(shm, NOW_MS));
    CU_ASSERT_PTR_NULL(peer_at(shm, g, "new", LATER_MS)); /* they are busy */
    used->touched_ms = LATER_MS;
    CU_ASSERT(peer_forget_sooner(shm, LATER_MS));
    CU_ASSERT_PTR_EQUAL(peer_at(shm, g, "new", LATER_MS), busy);
    CU_ASSERT(used->active == 1 && used->held[3] == 1);
    shm_destroy(shm);
}

static void shown_again(void)
{
    struct shm *shm = fresh();
    struct shm_group *g = group_at(shm, "g", NOW_MS);
    struct shm_peer *p = peer_at(shm, g, "1", NOW_MS);
    p->held[1] = 1000;
    p->held[2] = 2;
    p->active = 1002;
    g->waiting = g->waiting_in[1] = 1000;
    peer_show_held(shm, g, p, 1, 3);
    peer_show_waiting(shm, g, 1, 4, 5);
    CHECK_NUMBER(p->active, 5);
    CHECK_NUMBER(g->waiting, 4);
    CHECK_NUMBER(g->retrying_in[1], 5);
    shm_destroy(shm);
}

/* --- at random --- */

struct life {
    struct shm *shm;
    struct shm_group *group;
    struct shm_peer *peers[SERVERS];
    atomic_bool *stop;
    uint64_t random;
    int slot, held[ITEMS]; /* a server's number from 1 */
};

/* As proxy/balance.c does it: the process's own number and the sum change one after the other. */
static void step(struct life *l, int *item)
{
    peer_lock(l->shm, l->group);
    int change = *item ? -1 : 1;
    *item = *item ? *item : 1 + (int)(check_random(&l->random) % SERVERS);
    struct shm_peer *p = l->peers[*item - 1];
    p->held[l->slot] += (uint32_t)change;
    p->active += (uint32_t)change;
    l->group->waiting += (uint32_t)change;
    l->group->waiting_in[l->slot] += (uint32_t)change;
    peer_unlock(l->group);
    *item = change < 0 ? 0 : *item;
}

static void live(void *with)
{
    struct life *l = with;
    shm_lock_know_self();
    for (unsigned i = 0; !atomic_load(l->stop); i++) {
        step(l, &l->held[check_random(&l->random) % ITEMS]);
        if (i % 2000 == 0)
            check_pause();
    }
    for (int i = 0; i < ITEMS; i++)
        if (l->held[i])
            step(l, &l->held[i]);
}

static void check_sums(struct life *l)
{
    uint32_t waiting = 0, active[SERVERS] = {0};
    peer_lock(l->shm, l->group);
    for (int slot = 0; slot < SHM_SLOTS; slot++) {
        waiting += l->group->waiting_in[slot];
        for (int i = 0; i < SERVERS; i++)
            active[i] += l->peers[i]->held[slot];
    }
    for (int i = 0; i < SERVERS; i++)
        CHECK_NUMBER(l->peers[i]->active, active[i]);
    CHECK_NUMBER(l->group->waiting, waiting);
    peer_unlock(l->group);
}

static void killed_at_random(void)
{
    struct life own = {.shm = fresh(),
                       .stop = shared_memory(sizeof(atomic_bool)),
                       .random = 88172645463325252u},
                lives[CHILDREN];
    pid_t pids[CHILDREN];
    char name[4];
    own.group = group_at(own.shm, "g", NOW_MS);
    for (int i = 0; i < SERVERS; i++) {
        snprintf(name, sizeof name, "%d", i);
        own.peers[i] = peer_at(own.shm, own.group, name, NOW_MS);
    }
    for (int i = 0, kills = getenv("WEIR_TEST_LONG") ? KILLS_LONG : KILLS; i < CHILDREN + kills; i++) {
        int child = i % CHILDREN;
        if (i >= CHILDREN) {
            check_pause();
            child_kill(pids[child]);
            check_sums(&own); /* also while it holds the lock as a zombie */
            child_wait(pids[child]);
            peer_reclaim(own.shm, lives[child].slot);
            check_sums(&own);
        }
        lives[child] = own;
        lives[child].slot = 1 + child;
        lives[child].random = check_random(&own.random);
        pids[child] = child_start(live, &lives[child]);
    }
    atomic_store(own.stop, true);
    for (int i = 0; i < CHILDREN; i++)
        CU_ASSERT(child_ended_well(pids[i]));
    for (int i = 0; i < SERVERS; i++)
        CHECK_NUMBER(own.peers[i]->active, 0);
    CHECK_NUMBER(own.group->waiting, 0);
    shm_destroy(own.shm);
}

static const struct check_case cases[] = {
    {"found by name", found_by_name},
    {"names that are too long", names_that_are_too_long},
    {"the last opener says the rules", the_last_opener_says_the_rules},
    {"no more than there are", no_more_than_there_are},
    {"forgotten peers make room", forgotten_peers_make_room},
    {"forgotten groups make room", forgotten_groups_make_room},
    {"states", states},
    {"reclaiming", reclaiming},
    {"reclaiming locks", reclaiming_locks},
    {"unused ones cost nothing", unused_ones_cost_nothing},
    {"touched in the future", touched_in_the_future},
    {"slots without a process", slots_without_a_process},
    {"forgetting sooner", forgetting_sooner},
    {"shown again", shown_again},
    {"killed at random", killed_at_random},
};

CHECK_MAIN("peer", cases)
