/*
 * tests/unit/shm/test_keyed_kill.c - processes that count connections and requests by key, killed at random moments again
 * and again while others go on: every permit that is held counts once, and the tables stay whole.
 *
 * WEIR_TEST_LONG=1 kills ten times as often.
 */
#include "tests/unit/shm/keyed_help.h"

enum { CHILDREN = 2, SLOTS = CHILDREN + 1, ITEMS = 10, KILLS = 600, KILLS_LONG = 6000, LIMIT = 4 };
enum {
    CONNECTION_KEYS = 9,
    /* Fewer than there are permits; more than there is room for. */
    REQUEST_KEYS = 400
};

struct life {
    struct shm *shm;
    atomic_bool *stop;
    unsigned connections, requests; /* zones */
    int slot;
    uint64_t random;
    struct permit_user user;
    struct item {
        bool held;
        unsigned key;
        uint32_t permit;
    } items[ITEMS];
};

static void item_step(struct life *l, struct item *item)
{
    char text[KEYED_KEY_MAX];
    if (item->held) {
        item->held = false;
        keyed_let_go(&l->user, item->permit);
        return;
    }
    item->key = (unsigned)(check_random(&l->random) % CONNECTION_KEYS);
    item->held =
        keyed_hold(&l->user, l->connections, key_number(item->key, text), LIMIT, &item->permit) == KEYED_OK;
}

static void request_step(struct life *l)
{
    static const struct keyed_rate rate = {10000, 5000};
    char text[KEYED_KEY_MAX];
    uint64_t excess, random = check_random(&l->random);
    keyed_request(l->shm, l->requests, key_number((unsigned)(random % REQUEST_KEYS), text), clock_mono_us(),
                  rate, random / REQUEST_KEYS % 4 != 0, &excess);
}

static void live_some(struct life *l, int steps)
{
    for (int i = 0; i < steps; i++) {
        if (i % 2)
            request_step(l);
        else
            item_step(l, &l->items[check_random(&l->random) % ITEMS]);
    }
}

static void let_all_go(struct life *l)
{
    for (int i = 0; i < ITEMS; i++)
        if (l->items[i].held)
            item_step(l, &l->items[i]);
}

static void live(void *with)
{
    struct life *l = with;
    l->user = user_in(l->shm, l->slot);
    while (!atomic_load(l->stop)) {
        live_some(l, 1000);
        check_pause(); /* there are others on this machine */
    }
    let_all_go(l);
}

/* --- the parent, which lives as they do --- */

struct scene {
    struct life own;
    struct life lives[CHILDREN];
    pid_t pids[CHILDREN];
    unsigned died_with_lock;
};

static void start_one(struct scene *s, int child)
{
    struct life *l = &s->lives[child];
    *l = s->own;
    l->slot = 1 + child;
    l->random = check_random(&s->own.random);
    memset(l->items, 0, sizeof l->items);
    s->pids[child] = child_start(live, l);
}

/* What the parent holds of a key must be among what is counted, and nothing beyond the limit. */
static const char *counts_fault(struct scene *s)
{
    const struct keyed_zone *z = keyed_at(s->own.shm, s->own.connections);
    uint32_t mine[CONNECTION_KEYS] = {0};
    char text[KEYED_KEY_MAX];
    for (int i = 0; i < ITEMS; i++)
        mine[s->own.items[i].held ? s->own.items[i].key : 0] += s->own.items[i].held;
    for (unsigned key = 0; key < CONNECTION_KEYS; key++) {
        uint32_t cell = keyed_find(z, key_number(key, text)),
                 count = cell ? keyed_cell_of(z, cell)->count : 0;
        if (count < mine[key])
            return "a permit that is held does not count";
        if (count > LIMIT)
            return "more are held than the limit says";
    }
    return NULL;
}

static const char *fault_now(struct scene *s)
{
    const char *fault = NULL;
    unsigned zones[] = {s->own.connections, s->own.requests};
    for (int i = 0; i < 2 && !fault; i++) {
        struct keyed_zone *z = keyed_at(s->own.shm, zones[i]);
        if (shm_lock(&z->links->lock))
            fault = "the lock was still a dead process's";
        if (!fault)
            fault = keyed_fault(s->own.shm, zones[i]);
        if (!fault && i == 0)
            fault = counts_fault(s);
        shm_unlock(&z->links->lock);
    }
    return fault;
}

static bool has_lock(const struct scene *s, pid_t pid)
{
    return keyed_at(s->own.shm, s->own.connections)->links->lock == (uint32_t)pid ||
           keyed_at(s->own.shm, s->own.requests)->links->lock == (uint32_t)pid;
}

static const char *kill_one(struct scene *s)
{
    int child = (int)(check_random(&s->own.random) % CHILDREN);
    const char *fault = NULL;
    for (uint64_t i = check_random(&s->own.random) % 4; i > 0; i--)
        check_pause();
    live_some(&s->own, (int)(check_random(&s->own.random) % 20));
    child_stop(s->pids[child]); /* what it has now it has when it dies */
    s->died_with_lock += has_lock(s, s->pids[child]);
    child_kill(s->pids[child]);
    live_some(&s->own, (int)(check_random(&s->own.random) % 20)); /* before anybody has put things right */
    if (!WIFSIGNALED(child_wait(s->pids[child])))
        fault = "a child ended by itself";
    keyed_reclaim(s->own.shm, 1 + child);
    permit_reclaim(s->own.shm, 1 + child);
    if (!fault)
        fault = fault_now(s);
    start_one(s, child);
    return fault;
}

static void begin_scene(struct scene *s)
{
    *s = (struct scene){.own = {.shm = shm_create(), .stop = shared_memory(sizeof(atomic_bool))}};
    s->own.random = clock_mono_us() * 2 + 1;
    s->own.user = user_in(s->own.shm, 0);
    for (int i = 0; i < 2; i++) {
        int zone = keyed_zone_open(s->own.shm, i ? "r" : "c", i ? KEYED_REQUESTS : KEYED_CONNECTIONS,
                                   KEYED_BYTES_MIN, "k");
        CU_ASSERT_FATAL(zone >= 0);
        *(i ? &s->own.requests : &s->own.connections) = (unsigned)zone;
        keyed_at(s->own.shm, (unsigned)zone)->bucket_count = i ? 64 : 2; /* long ways to a key */
    }
    for (int i = 0; i < CHILDREN; i++)
        start_one(s, i);
}

static void end_scene(struct scene *s)
{
    atomic_store(s->own.stop, true);
    for (int i = 0; i < CHILDREN; i++)
        CU_ASSERT(child_ended_well(s->pids[i]));
    let_all_go(&s->own);
    CHECK_WHOLE(fault_now(s));
    CHECK_NUMBER(keyed_at(s->own.shm, s->own.connections)->links->oldest, 0);
    for (int i = 0; i < SLOTS; i++)
        CU_ASSERT(permit_get(&permit_region(s->own.shm)->parts[i].used) <= ITEMS + 1);
    permit_close(&s->own.user);
    keyed_zones_prune(s->own.shm, NULL, 0);
    shm_destroy(s->own.shm);
}

static void killed_at_random(void)
{
    static struct scene s;
    const char *fault = NULL;
    int kills = wants_long_test() ? KILLS_LONG : KILLS;
    begin_scene(&s);
    for (int i = 0; i < kills && !fault; i++)
        fault = kill_one(&s);
    CHECK_WHOLE(fault);
    CU_ASSERT(s.died_with_lock > 0); /* about one in ten does */
    end_scene(&s);
}

static const struct check_case cases[] = {
    {"killed at random", killed_at_random},
};

CHECK_MAIN("shm/keyed_kill", cases)
