/*
 * tests/unit/shm/test_permit_kill.c - processes that take, hold, wait for and give back permits, killed at random
 * moments again and again: never more permits are held than the limit allows, and in the end none is lost.
 *
 * WEIR_TEST_LONG=1 kills ten times as often.
 */
#include "tests/unit/shm/permit_child.h"

enum { CHILDREN = 4, ZONES = 2, ITEMS = 10, KILLS = 300, KILLS_LONG = 3000, QUEUE = 12 };

static const uint32_t limits[ZONES] = {1, 5};

struct life {
    struct shm *shm;
    atomic_bool *stop;
    int slot;
    uint64_t random;
    /* Of this child, for each zone: permits that it surely holds. */
    _Atomic uint32_t *believed;
    _Atomic uint64_t *admissions;
};

enum item_state { ITEM_NONE, ITEM_HELD, ITEM_WAITS };

struct item {
    enum item_state state;
    unsigned zone;
    uint32_t permit;
};

/* --- a child's life --- */

static void item_answered(struct life *l, struct item *item, enum permit_result result)
{
    if (result == PERMIT_GO) {
        atomic_fetch_add(&l->believed[item->zone], 1);
        atomic_fetch_add(l->admissions, 1);
    }
    item->state = result == PERMIT_GO ? ITEM_HELD : result == PERMIT_WAIT ? ITEM_WAITS : ITEM_NONE;
}

static void item_step(struct life *l, struct permit_user *u, struct item *item)
{
    uint64_t random = check_random(&l->random);
    if (item->state == ITEM_NONE) {
        item->zone = random / 4 % ZONES;
        struct answer a = ask_for(u, item->zone, (enum permit_priority)(random / 16 % PERMIT_PRIORITIES));
        item->permit = a.permit;
        item_answered(l, item, a.result);
    } else if (item->state == ITEM_HELD) {
        atomic_fetch_sub(&l->believed[item->zone], 1);
        item->state = ITEM_NONE;
        permit_release(u, item->permit, clock_mono_us(), random / 8 % 3000);
    } else if (random % 4 == 0) {
        enum permit_result result =
            permit_leave(u, item->permit, clock_mono_us(), &(enum permit_reason){PERMIT_CLIENT_GONE});
        item_answered(l, item, result);
    }
}

static void settle(struct life *l, struct permit_user *u, struct item items[ITEMS])
{
    permit_heard(u);
    for (uint32_t permit; (permit = permit_next_changed(u)) != UINT32_MAX;)
        for (int i = 0; i < ITEMS; i++)
            if (items[i].state == ITEM_WAITS && items[i].permit == permit)
                item_answered(l, &items[i], look(u, permit));
}

/* As a worker's loop does: a call for it, or a look by itself now and then. */
static void sleep_and_look(struct life *l, struct permit_user *u, struct item items[ITEMS])
{
    struct pollfd p = {.fd = u->socket, .events = POLLIN};
    if (poll(&p, 1, 1) == 0)
        for (int i = 0; i < ITEMS; i++)
            if (items[i].state == ITEM_WAITS)
                item_answered(l, &items[i], look(u, items[i].permit));
    settle(l, u, items);
}

static void live(void *with)
{
    struct life *l = with;
    struct permit_user u = user_in(l->shm, l->slot);
    struct item items[ITEMS] = {0};
    for (unsigned i = 0; !atomic_load(l->stop); i++) {
        item_step(l, &u, &items[check_random(&l->random) % ITEMS]);
        if (permit_any_changed(&u) && i % 2)
            settle(l, &u, items);
        if (i % 128 == 0)
            sleep_and_look(l, &u, items);
    }
    for (int i = 0; i < ITEMS; i++)
        if (items[i].state == ITEM_WAITS)
            item_answered(
                l, &items[i],
                permit_leave(&u, items[i].permit, clock_mono_us(), &(enum permit_reason){PERMIT_DRAINING}));
    for (int i = 0; i < ITEMS; i++)
        if (items[i].state == ITEM_HELD)
            give_back(&u, items[i].permit);
}

/* --- the parent --- */

struct scene {
    struct shm *shm;
    struct shared {
        atomic_bool stop;
        struct {
            _Atomic uint32_t believed[ZONES];
            _Atomic uint64_t admissions;
        } of[CHILDREN];
    } * shared;
    pid_t pids[CHILDREN];
    uint64_t random;
};

static void start_one(struct scene *s, int slot)
{
    struct life l = {.shm = s->shm,
                     .stop = &s->shared->stop,
                     .slot = slot,
                     .random = check_random(&s->random),
                     .believed = s->shared->of[slot].believed,
                     .admissions = &s->shared->of[slot].admissions};
    s->pids[slot] = child_start(live, &l);
}

/* What is wrong while nobody can change anything; NULL: nothing. `settled`: everything of the dead was taken back. */
static const char *fault_now(struct scene *s, unsigned zone, bool settled)
{
    struct permit_zone *z = zone_at(s->shm, zone);
    uint32_t believed = 0;
    permit_lock(s->shm, zone);
    const char *fault = zone_fault(s->shm, zone);
    for (int i = 0; i < CHILDREN; i++)
        believed += atomic_load(&s->shared->of[i].believed[zone]);
    if (!fault && held_in(s->shm, zone) > limits[zone])
        fault = "more permits are held than there are";
    if (!fault && believed > held_in(s->shm, zone))
        fault = "a permit was given to two";
    if (!fault && settled && queued_in(s->shm, zone) && held_in(s->shm, zone) < limits[zone])
        fault = "somebody waits although a permit is free";
    permit_unlock(z);
    return fault;
}

static const char *any_fault(struct scene *s, bool settled)
{
    const char *fault = NULL;
    for (unsigned zone = 0; zone < ZONES && !fault; zone++)
        fault = fault_now(s, zone, settled);
    return fault;
}

static const char *kill_one(struct scene *s)
{
    int slot = (int)(check_random(&s->random) % CHILDREN);
    const char *fault = any_fault(s, false);
    child_kill(s->pids[slot]);
    /* The others meet it before the master does. */
    if (check_random(&s->random) % 2)
        check_pause();
    if (!fault && check_random(&s->random) % 4 == 0)
        fault = any_fault(s, false);
    if (!WIFSIGNALED(child_wait(s->pids[slot])) && !fault)
        fault = "a child ended by itself";
    for (int i = 0; i < ZONES; i++)
        atomic_store(&s->shared->of[slot].believed[i], 0);
    permit_reclaim(s->shm, slot);
    if (!fault)
        fault = any_fault(s, true);
    start_one(s, slot);
    return fault;
}

static void begin_scene(struct scene *s)
{
    *s = (struct scene){.shm = shm_create(), .random = clock_mono_us() * 2 + 1};
    s->shared = shared_memory(sizeof *s->shared);
    for (int i = 0; i < ZONES; i++) {
        struct permit_rules rules = rules_of(limits[i], QUEUE);
        zone_of(s->shm, i ? "five" : "one", rules);
    }
    for (int i = 0; i < CHILDREN; i++)
        start_one(s, i);
}

static void check_nothing_is_lost(struct scene *s)
{
    struct permit_user u = user_in(s->shm, CHILDREN);
    for (unsigned zone = 0; zone < ZONES; zone++) {
        const struct permit_zone *z = zone_at(s->shm, zone);
        CHECK_NUMBER(z->lock, 0);
        CHECK_NUMBER(held_in(s->shm, zone), 0);
        CHECK_NUMBER(queued_in(s->shm, zone), 0);
        CHECK_ZONE(s->shm, zone);
        check_room(&u, zone, limits[zone]);
        CU_ASSERT(z->admitted > 0 && z->reclaimed > 0);
    }
    for (int i = 0; i < CHILDREN; i++)
        CU_ASSERT(permit_get(&permit_region(s->shm)->parts[i].used) <= ITEMS + 1);
    permit_close(&u);
}

static void killed_again_and_again(void)
{
    struct scene s;
    const char *fault = NULL;
    int kills = 0, enough = wants_long_test() ? KILLS_LONG : KILLS;
    begin_scene(&s);
    uint64_t seed = s.random;
    for (; kills < enough && !fault; kills++) {
        uint64_t wait_us = check_random(&s.random) % 3000;
        nanosleep(&(struct timespec){.tv_nsec = (long)wait_us * 1000}, NULL);
        fault = kill_one(&s);
    }
    if (!check_report(!fault, fault ? fault : "no fault", __FILE__, __LINE__))
        printf("seed %llu, kill %d\n", (unsigned long long)seed, kills);
    atomic_store(&s.shared->stop, true);
    for (int i = 0; i < CHILDREN; i++) {
        CU_ASSERT(child_ended_well(s.pids[i]));
        CU_ASSERT(atomic_load(&s.shared->of[i].admissions) > 0);
        permit_reclaim(s.shm, i);
    }
    check_nothing_is_lost(&s);
    munmap(s.shared, sizeof *s.shared);
    shm_destroy(s.shm);
}

/* All of them killed at once, in whatever they do; nobody is left to take anything over but the master. */
static void all_killed_at_once(void)
{
    for (int round = 0; round < 10; round++) {
        struct scene s;
        begin_scene(&s);
        nanosleep(&(struct timespec){.tv_nsec = 3000000 + round * 1234567}, NULL);
        for (int i = 0; i < CHILDREN; i++)
            kill(s.pids[i], SIGKILL);
        for (int i = 0; i < CHILDREN; i++) {
            child_wait(s.pids[i]);
            permit_reclaim(s.shm, i);
            CHECK_NUMBER(tags_of(s.shm, 0, PERMIT_HELD) > limits[0], 0);
        }
        for (unsigned zone = 0; zone < ZONES; zone++) {
            CHECK_NUMBER(held_in(s.shm, zone) + queued_in(s.shm, zone), 0);
            CHECK_ZONE(s.shm, zone);
        }
        struct permit_user u = user_in(s.shm, 0);
        check_room(&u, 0, limits[0]);
        check_room(&u, 1, limits[1]);
        permit_close(&u);
        munmap(s.shared, sizeof *s.shared);
        shm_destroy(s.shm);
    }
}

static const struct check_case cases[] = {
    {"killed again and again", killed_again_and_again},
    {"all killed at once", all_killed_at_once},
};

CHECK_MAIN("shm/permit_kill", cases)
