/*
 * tests/unit/shm/test_permit_races.c - threads in place of processes, each with a part of its own, so that
 * ThreadSanitizer can watch them: as many permits as the limit, each waiter served, each change heard of.
 */
#include "tests/unit/shm/permit_help.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 3000, LIMIT = 2 };

struct crowd {
    struct shm *shm;
    unsigned zone;
    _Atomic uint32_t inside, most;
    /* Waits that ended by a look without a call, long after. */
    _Atomic uint32_t lost;
};

struct member {
    struct crowd *crowd;
    struct permit_user user;
    uint64_t random;
    uint32_t served, left, refused;
    pthread_t thread;
};

static void enter(struct member *m, uint32_t permit)
{
    uint32_t inside = atomic_fetch_add(&m->crowd->inside, 1) + 1;
    uint32_t most = atomic_load(&m->crowd->most);
    while (inside > most && !atomic_compare_exchange_weak(&m->crowd->most, &most, inside)) {
    }
    if (m->random % 8 == 0)
        sched_yield();
    atomic_fetch_sub(&m->crowd->inside, 1);
    permit_release(&m->user, permit, clock_mono_us(), 1 + m->random % 1000);
    m->served++;
}

/* Sleeps until it is called, and looks at what has changed, as a worker does. */
static enum permit_result wait_for_it(struct member *m, uint32_t permit)
{
    for (;;) {
        struct pollfd p = {.fd = m->user.socket, .events = POLLIN};
        bool called = poll(&p, 1, 5000) == 1;
        permit_heard(&m->user);
        for (uint32_t changed; (changed = permit_next_changed(&m->user)) != UINT32_MAX;) {
            enum permit_result result = changed == permit ? look(&m->user, permit) : PERMIT_WAIT;
            if (result != PERMIT_WAIT)
                return result;
        }
        if (!called) {
            atomic_fetch_add(&m->crowd->lost, 1);
            return permit_leave(&m->user, permit, clock_mono_us(), &(enum permit_reason){PERMIT_CLIENT_GONE});
        }
    }
}

static void one_round(struct member *m)
{
    enum permit_priority priority = (enum permit_priority)(check_random(&m->random) % PERMIT_PRIORITIES);
    struct answer a = ask_for(&m->user, m->crowd->zone, priority);
    if (a.result == PERMIT_WAIT && m->random % 16 == 0)
        a.result =
            permit_leave(&m->user, a.permit, clock_mono_us(), &(enum permit_reason){PERMIT_CLIENT_GONE});
    else if (a.result == PERMIT_WAIT)
        a.result = wait_for_it(m, a.permit);
    if (a.result == PERMIT_GO)
        enter(m, a.permit);
    else
        m->refused++;
}

static void *run(void *with)
{
    struct member *m = with;
    for (int i = 0; i < ROUNDS; i++)
        one_round(m);
    return NULL;
}

static void check_crowd(struct permit_rules rules)
{
    static struct member members[THREADS];
    struct crowd c = {.shm = shm_create()};
    uint32_t served = 0;
    c.zone = zone_of(c.shm, "crowded", rules);
    for (int i = 0; i < THREADS; i++)
        members[i] = (struct member){
            .crowd = &c, .user = user_in(c.shm, i), .random = 88172645463325252u + (unsigned)i};
    for (int i = 0; i < THREADS; i++)
        pthread_create(&members[i].thread, NULL, run, &members[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(members[i].thread, NULL);
        served += members[i].served;
        CHECK_NUMBER(members[i].served + members[i].refused, ROUNDS);
        permit_close(&members[i].user);
    }
    CHECK_NUMBER(atomic_load(&c.lost), 0);
    CU_ASSERT(atomic_load(&c.most) <= (rules.policy == PERMIT_GRADIENT ? rules.max : rules.limit));
    CHECK_NUMBER(held_in(c.shm, c.zone), 0);
    CHECK_NUMBER(queued_in(c.shm, c.zone), 0);
    CHECK_NUMBER(zone_at(c.shm, c.zone)->admitted, served);
    CHECK_ZONE(c.shm, c.zone);
    shm_destroy(c.shm);
}

static void a_fixed_limit(void)
{
    check_crowd(rules_of(LIMIT, THREADS));
    check_crowd(rules_of(1, THREADS));
}

static void a_short_queue(void)
{
    check_crowd(rules_of(1, 1));
}

static void with_codel(void)
{
    struct permit_rules rules = rules_of(LIMIT, THREADS);
    rules.policy = PERMIT_CODEL;
    rules.target_us = 50;
    rules.interval_us = 500;
    check_crowd(rules);
}

static void with_a_gradient(void)
{
    struct permit_rules rules = rules_of(LIMIT, THREADS);
    rules.policy = PERMIT_GRADIENT;
    rules.min = 1;
    rules.max = 3;
    rules.window_us = 1000;
    rules.probe_interval_us = 5000;
    rules.probe_requests = 10;
    rules.buffer_percent = 25;
    check_crowd(rules);
}

static const struct check_case cases[] = {
    {"a fixed limit", a_fixed_limit},
    {"a short queue", a_short_queue},
    {"with codel", with_codel},
    {"with a gradient", with_a_gradient},
};

CHECK_MAIN("shm/permit_races", cases)
