/*
 * tests/unit/shm/test_permit_zone.c - zones by name and what becomes of their places; and long random runs of several
 * users beside a plain model of what ought to happen.
 */
#include "tests/unit/shm/permit_help.h"

/* In place of the machine's, here and in what is tested: each look at it takes a microsecond. */
uint64_t __wrap_clock_mono_us(void);
uint64_t __wrap_clock_mono_us(void)
{
    static uint64_t now_us = 1000000;
    return now_us++;
}

static void names_of_zones(char names[PERMIT_ZONES][PERMIT_NAME_BYTES], const char *wanted[PERMIT_ZONES + 1])
{
    for (int i = 0; i < PERMIT_ZONES; i++) {
        snprintf(names[i], PERMIT_NAME_BYTES, "zone-%d", i);
        wanted[i] = names[i];
    }
    wanted[PERMIT_ZONES] = NULL;
}

static void zones_are_kept_by_name(void)
{
    struct shm *shm = shm_create();
    struct permit_rules rules = rules_of(2, 0), other = rules_of(9, 0);
    char names[PERMIT_ZONES][PERMIT_NAME_BYTES];
    const char *wanted[PERMIT_ZONES + 1];
    names_of_zones(names, wanted);
    for (int i = 0; i < PERMIT_ZONES; i++)
        CHECK_NUMBER(permit_zone_open(shm, names[i], &rules, wanted), i);
    for (int i = 0; i < PERMIT_ZONES; i++) {
        CHECK_NUMBER(permit_zone_open(shm, names[i], &other, wanted), i);
        CHECK_NUMBER(permit_get(&zone_at(shm, (unsigned)i)->limit), 2); /* until permit_zone_set */
    }
    CHECK_NUMBER(permit_zone_open(shm, "one too many", &rules, wanted), -1);
    shm_destroy(shm);
}

static void a_zone_that_nobody_wants_gives_its_place(void)
{
    struct shm *shm = shm_create();
    struct permit_user u = user_in(shm, 0);
    struct permit_rules rules = rules_of(2, 1);
    char names[PERMIT_ZONES][PERMIT_NAME_BYTES];
    const char *wanted[PERMIT_ZONES + 1];
    names_of_zones(names, wanted);
    for (int i = 0; i < PERMIT_ZONES; i++)
        permit_zone_open(shm, names[i], &rules, wanted);
    struct answer in_use = ask(&u, 20), used_before = ask(&u, 21);
    give_back(&u, used_before.permit);
    wanted[20] = wanted[21] = "new";
    CHECK_NUMBER(permit_zone_open(shm, "new", &rules, wanted), 21); /* not 20, which somebody uses */
    CHECK_NUMBER(zone_at(shm, 21)->admitted, 0);
    CHECK_NUMBER(zone_at(shm, 20)->admitted, 1);
    CHECK_NUMBER(permit_zone_open(shm, "newer", &rules, wanted), -1);
    CHECK_GO(ask(&u, 21));
    give_back(&u, in_use.permit);
    CHECK_NUMBER(permit_zone_open(shm, "newer", &rules, wanted), 20);
    check_room(&u, 20, 2);
    permit_close(&u);
    shm_destroy(shm);
}

static void the_longest_name_is_found_again(void)
{
    struct shm *shm = shm_create();
    struct permit_rules rules = rules_of(1, 0);
    const char *longest = "a-name-of-exactly-31-characters", *other = "a-name-of-exactly-31-character2";
    CHECK_NUMBER(strlen(longest), PERMIT_NAME_BYTES - 1);
    CHECK_NUMBER(zone_of(shm, longest, rules), 0);
    CHECK_NUMBER(zone_of(shm, other, rules), 1);
    CHECK_NUMBER(zone_of(shm, longest, rules), 0);
    shm_destroy(shm);
}

static void zones_do_not_touch_each_other(void)
{
    struct shm *shm = shm_create();
    struct permit_user a = user_in(shm, 0), b = user_in(shm, 1);
    unsigned one = zone_of(shm, "one", rules_of(1, 4)), two = zone_of(shm, "two", rules_of(1, 4));
    struct answer of_one = ask(&a, one), of_two = ask(&a, two);
    struct answer waits_one = ask(&b, one), waits_two = ask(&b, two);
    CHECK_WAITS(waits_one);
    CHECK_WAITS(waits_two);
    give_back(&a, of_one.permit);
    CHECK_NUMBER(look(&b, waits_one.permit), PERMIT_GO);
    CHECK_NUMBER(look(&b, waits_two.permit), PERMIT_WAIT);
    permit_reclaim(shm, 0);
    CHECK_NUMBER(look(&b, waits_two.permit), PERMIT_GO);
    CHECK_NUMBER(zone_at(shm, one)->reclaimed, 0);
    CHECK_NUMBER(zone_at(shm, two)->reclaimed, 1);
    CHECK_ZONE(shm, one);
    CHECK_ZONE(shm, two);
    (void)of_two;
    permit_close(&a);
    permit_close(&b);
    shm_destroy(shm);
}

/* --- beside a model --- */

enum { USERS = 3, REQUESTS = 40, STEPS = 60000, LIMIT = 4, QUEUE = 7 };

enum model_state { MODEL_NONE, MODEL_HELD, MODEL_WAITS, MODEL_REFUSED };

struct model_request {
    enum model_state state;
    enum permit_priority priority;
    uint64_t arrival;
    uint32_t permit;
};

struct model {
    struct shm *shm;
    struct permit_user users[USERS];
    struct model_request requests[USERS][REQUESTS];
    uint64_t arrivals, random;
    uint32_t limit, queue;
    uint64_t admitted, rejected;
};

static uint32_t model_count(const struct model *m, enum model_state state)
{
    uint32_t count = 0;
    for (int i = 0; i < USERS * REQUESTS; i++)
        count += m->requests[i / REQUESTS][i % REQUESTS].state == state;
    return count;
}

/* The waiter that goes first (or, of the lowest priority below `above`, the newest); NULL: none. */
static struct model_request *model_first(struct model *m)
{
    struct model_request *first = NULL;
    for (int i = 0; i < USERS * REQUESTS; i++) {
        struct model_request *r = &m->requests[i / REQUESTS][i % REQUESTS];
        if (r->state == MODEL_WAITS && (!first || r->priority < first->priority ||
                                        (r->priority == first->priority && r->arrival < first->arrival)))
            first = r;
    }
    return first;
}

static struct model_request *model_victim(struct model *m, enum permit_priority above)
{
    struct model_request *victim = NULL;
    for (int i = 0; i < USERS * REQUESTS; i++) {
        struct model_request *r = &m->requests[i / REQUESTS][i % REQUESTS];
        if (r->state == MODEL_WAITS && r->priority > above &&
            (!victim || r->priority > victim->priority ||
             (r->priority == victim->priority && r->arrival > victim->arrival)))
            victim = r;
    }
    return victim;
}

static void model_grant(struct model *m)
{
    struct model_request *r;
    while (model_count(m, MODEL_HELD) < m->limit && (r = model_first(m))) {
        r->state = MODEL_HELD;
        m->admitted++;
    }
}

/* What ought to come of a request. */
static enum permit_result model_ask(struct model *m, struct model_request *r)
{
    if (model_count(m, MODEL_HELD) < m->limit && !model_first(m)) {
        r->state = MODEL_HELD;
        m->admitted++;
        return PERMIT_GO;
    }
    if (model_count(m, MODEL_WAITS) >= m->queue) {
        struct model_request *victim = model_victim(m, r->priority);
        m->rejected++;
        if (!victim)
            return PERMIT_NO;
        victim->state = MODEL_REFUSED;
    }
    r->state = MODEL_WAITS;
    r->arrival = ++m->arrivals;
    return PERMIT_WAIT;
}

static bool model_step_new(struct model *m, int user, struct model_request *r)
{
    r->priority = (enum permit_priority)(check_random(&m->random) % PERMIT_PRIORITIES);
    enum permit_priority priority = r->priority;
    enum permit_result wanted = model_ask(m, r);
    struct answer a = ask_for(&m->users[user], 0, priority);
    r->permit = a.permit;
    return a.result == wanted;
}

static bool model_step(struct model *m)
{
    int user = (int)(check_random(&m->random) % USERS);
    struct model_request *r = &m->requests[user][check_random(&m->random) % REQUESTS];
    struct permit_user *u = &m->users[user];
    bool leaves = check_random(&m->random) % 4 == 0;
    enum model_state was = r->state;
    if (was == MODEL_NONE)
        return model_step_new(m, user, r);
    if (was == MODEL_HELD) {
        r->state = MODEL_NONE;
        model_grant(m);
        give_back(u, r->permit);
        return true;
    }
    if (leaves || was == MODEL_REFUSED)
        r->state = MODEL_NONE;
    m->rejected += leaves && was == MODEL_WAITS;
    if (leaves)
        return permit_leave(u, r->permit, clock_mono_us(), &(enum permit_reason){PERMIT_CLIENT_GONE}) ==
               PERMIT_NO;
    return look(u, r->permit) == (was == MODEL_WAITS ? PERMIT_WAIT : PERMIT_NO);
}

/* No process stands still. */
static void model_look(struct model *m)
{
    for (int i = 0; i < USERS; i++)
        while (permit_next_changed(&m->users[i]) != UINT32_MAX) {
        }
}

static bool model_agrees(const struct model *m)
{
    for (int i = 0; i < USERS * REQUESTS; i++) {
        const struct model_request *r = &m->requests[i / REQUESTS][i % REQUESTS];
        if (r->state == MODEL_NONE)
            continue;
        const struct permit *p = &permit_region(m->shm)->parts[i / REQUESTS].permits[r->permit];
        enum permit_state state = permit_tag_is_held(p->tag) ? PERMIT_HELD : permit_tag_state(p->tag);
        if (state != (enum permit_state)r->state)
            return false;
    }
    return true;
}

static void model_set(struct model *m)
{
    struct permit_rules rules;
    m->limit = (uint32_t)(1 + check_random(&m->random) % (2 * LIMIT));
    m->queue = (uint32_t)(check_random(&m->random) % (2 * QUEUE));
    rules = rules_of(m->limit, m->queue);
    permit_zone_set(m->shm, 0, &rules);
    model_grant(m);
}

/* The process of one user dies and another takes its place. */
static void model_die(struct model *m, int user)
{
    for (int i = 0; i < REQUESTS; i++) {
        m->rejected += m->requests[user][i].state == MODEL_WAITS;
        m->requests[user][i].state = MODEL_NONE;
    }
    model_grant(m);
    permit_close(&m->users[user]);
    permit_reclaim(m->shm, user);
    m->users[user] = user_in(m->shm, user);
}

static void check_sums(const struct model *m)
{
    const struct permit_zone *z = zone_at(m->shm, 0);
    uint64_t rejected = 0;
    for (int i = 0; i < PERMIT_REASONS; i++)
        rejected += z->rejected[i];
    CHECK_NUMBER(z->admitted, m->admitted);
    CHECK_NUMBER(rejected, m->rejected);
    CHECK_NUMBER(held_in(m->shm, 0), model_count(m, MODEL_HELD));
    CHECK_NUMBER(queued_in(m->shm, 0), model_count(m, MODEL_WAITS));
    CHECK_ZONE(m->shm, 0);
}

static void all_goes_as_in_the_model(void)
{
    static struct model m;
    m = (struct model){.shm = shm_create(), .limit = LIMIT, .queue = QUEUE, .random = 88172645463325252u};
    zone_of(m.shm, "modelled", rules_of(LIMIT, QUEUE));
    for (int i = 0; i < USERS; i++)
        m.users[i] = user_in(m.shm, i);
    for (int i = 0; i < STEPS; i++) {
        model_look(&m);
        if (!model_step(&m) || !model_agrees(&m)) {
            CHECK_NUMBER(i, STEPS); /* the step at which they part */
            break;
        }
        if (i % 500 == 499)
            model_set(&m);
        if (i % 700 == 699)
            model_die(&m, (int)(check_random(&m.random) % USERS));
        if (i % 100 == 99)
            check_sums(&m);
    }
    for (int i = 0; i < USERS; i++) {
        CU_ASSERT(permit_get(&permit_region(m.shm)->parts[i].used) <= REQUESTS + 1); /* none gets lost */
        permit_close(&m.users[i]);
    }
    shm_destroy(m.shm);
}

static const struct check_case cases[] = {
    {"zones are kept by name", zones_are_kept_by_name},
    {"a zone that nobody wants gives its place", a_zone_that_nobody_wants_gives_its_place},
    {"the longest name is found again", the_longest_name_is_found_again},
    {"zones do not touch each other", zones_do_not_touch_each_other},
    {"all goes as in the model", all_goes_as_in_the_model},
};

CHECK_MAIN("shm/permit_zone", cases)
