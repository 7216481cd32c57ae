/*
 * tests/unit/shm/test_permit_gradient.c - policy=gradient before services of several kinds, simulated millisecond by millisecond:
 * whatever order a service serves in, the limit comes to rest near what it can do.
 */
#include "tests/unit/shm/permit_help.h"

enum {
    /* Of the service: so many requests at a time, or as much work as so many. */
    SERVERS = 8,
    WORK_MS = 50,
    CLIENTS = 300, /* always one request each under way */
    LIMIT_MAX = 250,
    RUN_MS = 60000,
    WATCHED_MS = 20000 /* at its end */
};

enum order { FIRST_COME, LAST_COME, AT_RANDOM, ALL_AT_ONCE };

struct work {
    uint32_t permit;
    uint64_t admitted_ms;
    double left_ms;
    bool served;
};

struct simulation {
    struct shm *shm;
    struct permit_user user;
    unsigned zone;
    enum order order;
    /* Each request is as much work as any other. */
    bool even;
    uint64_t now_ms, watched_from_ms, random;
    struct work works[CLIENTS]; /* in the order of their coming */
    int count, served;
    double limit_sum, ended_ms_sum;
    uint64_t ended;
};

static void admit_work(struct simulation *s, uint32_t permit)
{
    double spread = s->even ? 1 : 0.5 + (double)(check_random(&s->random) % 1000) / 1000;
    s->works[s->count++] = (struct work){permit, s->now_ms, WORK_MS * spread, false};
}

static void ask_for_one(struct simulation *s)
{
    struct answer a = ask_at(&s->user, s->zone, PERMIT_NORMAL, s->now_ms * 1000);
    CU_ASSERT(a.result != PERMIT_NO);
    if (a.result == PERMIT_GO)
        admit_work(s, a.permit);
}

static void take_what_was_granted(struct simulation *s)
{
    uint32_t permit;
    enum permit_reason why;
    while ((permit = permit_next_changed(&s->user)) != UINT32_MAX)
        if (permit_look(&s->user, permit, &why) == PERMIT_GO)
            admit_work(s, permit);
}

static void end_work(struct simulation *s, int i)
{
    struct work w = s->works[i];
    uint64_t took_ms = s->now_ms - w.admitted_ms;
    memmove(&s->works[i], &s->works[i + 1], (size_t)(s->count - i - 1) * sizeof w);
    s->count--;
    s->served -= w.served;
    if (s->now_ms >= s->watched_from_ms) {
        s->ended_ms_sum += (double)took_ms;
        s->ended++;
    }
    permit_release(&s->user, w.permit, s->now_ms * 1000, took_ms * 1000);
    take_what_was_granted(s);
    ask_for_one(s); /* the client's next */
}

/* The next one to be served. There is one. */
static int choose(struct simulation *s)
{
    int waiting = s->count - s->served;
    int skip = s->order == FIRST_COME  ? 0
               : s->order == LAST_COME ? waiting - 1
                                       : (int)(check_random(&s->random) % (unsigned)waiting);
    int i = 0;
    while (s->works[i].served || skip-- > 0)
        i++;
    return i;
}

static void serve_one_ms(struct simulation *s)
{
    double share = s->order != ALL_AT_ONCE || s->count <= SERVERS ? 1 : (double)SERVERS / s->count;
    int most = s->order == ALL_AT_ONCE ? s->count : SERVERS;
    while (s->served < most && s->served < s->count) {
        s->works[choose(s)].served = true;
        s->served++;
    }
    for (int i = 0; i < s->count; i++)
        if (s->works[i].served)
            s->works[i].left_ms -= share;
    for (int i = s->count - 1; i >= 0; i--)
        if (i < s->count && s->works[i].left_ms <= 0)
            end_work(s, i);
}

static void simulate(struct simulation *s, enum order order, uint32_t from, bool even)
{
    struct permit_rules rules = rules_of(from, 10 * CLIENTS);
    rules.policy = PERMIT_GRADIENT;
    rules.min = 3;
    rules.max = LIMIT_MAX;
    rules.window_us = 100000;
    rules.probe_interval_us = 15000000;
    rules.probe_requests = 50;
    rules.buffer_percent = 25;
    *s = (struct simulation){.shm = shm_create(), .order = order, .even = even, .random = 5};
    s->zone = zone_of(s->shm, "simulated", rules);
    s->user = user_in(s->shm, 0);
    s->now_ms = clock_mono_ms() + 1; /* the zone has been opened at that time */
    s->watched_from_ms = s->now_ms + RUN_MS - WATCHED_MS;
    for (int i = 0; i < CLIENTS; i++)
        ask_for_one(s);
    for (; s->now_ms < s->watched_from_ms + WATCHED_MS; s->now_ms++) {
        serve_one_ms(s);
        if (s->now_ms >= s->watched_from_ms)
            s->limit_sum += permit_get(&zone_at(s->shm, s->zone)->limit);
    }
    permit_close(&s->user);
    shm_destroy(s->shm);
}

/* The limit on average, the time of answers, and that the service was kept busy. */
static void check_from(enum order order, uint32_t from, bool even, const char *name)
{
    static struct simulation s;
    simulate(&s, order, from, even);
    double limit = s.limit_sum / WATCHED_MS, took_ms = s.ended ? s.ended_ms_sum / (double)s.ended : 0;
    double possible = (double)WATCHED_MS / WORK_MS * SERVERS;
    char which[160];
    snprintf(which, sizeof which, "%s, %s, from %u: limit %.1f, %.0f ms, %.0f of %.0f served", name,
             even ? "even" : "uneven", from, limit, took_ms, (double)s.ended, possible);
    if (getenv("WEIR_UNIT_VERBOSE"))
        printf("%s\n", which);
    CHECK_FOR(which, limit >= SERVERS * 0.7 && limit <= SERVERS * 3);
    CHECK_FOR(which, took_ms <= WORK_MS * 3);
    CHECK_FOR(which, (double)s.ended >= 0.8 * possible);
}

static void check_order(enum order order, const char *name)
{
    static const uint32_t starts[] = {1, SERVERS, LIMIT_MAX};
    for (int i = 0; i < 6; i++)
        check_from(order, starts[i / 2], i % 2 == 0, name);
}

static void first_come(void)
{
    check_order(FIRST_COME, "first come");
}

static void last_come(void)
{
    check_order(LAST_COME, "last come");
}

static void at_random(void)
{
    check_order(AT_RANDOM, "at random");
}

static void all_at_once(void)
{
    check_order(ALL_AT_ONCE, "all at once");
}

static const struct check_case cases[] = {
    {"a service that serves in order", first_come},
    {"a service that serves the newest first", last_come},
    {"a service that serves in any order", at_random},
    {"a service that serves all at once, each more slowly", all_at_once},
};

CHECK_MAIN("gradient and what stands behind it", cases)
