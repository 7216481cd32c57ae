/*
 * tests/unit/shm/test_keyed.c - limits and sessions for each value of a key: who is counted and who is refused, the
 * arithmetic of requests beside a reference, what is forgotten when, and zones that come and go.
 */
#include "tests/unit/shm/keyed_help.h"

#include <errno.h>

enum { BYTES = KEYED_BYTES_MIN, NOW_MS = 50000000 };

/* Two processes' worth of users over one zone. */
struct two {
    struct shm *shm;
    struct permit_user a, b;
    unsigned zone;
};

static unsigned open_zone(struct shm *shm, const char *name, enum keyed_kind kind)
{
    int zone = keyed_zone_open(shm, name, kind, BYTES, "$arg_k");
    CU_ASSERT_FATAL(zone >= 0);
    return (unsigned)zone;
}

static struct two two_with(enum keyed_kind kind)
{
    struct two t = {.shm = shm_create()};
    CU_ASSERT_PTR_NOT_NULL_FATAL(t.shm);
    t.zone = open_zone(t.shm, "tested", kind);
    t.a = user_in(t.shm, 0);
    t.b = user_in(t.shm, 7);
    return t;
}

static void end_two(struct two *t)
{
    CHECK_WHOLE(keyed_fault(t->shm, t->zone));
    CHECK_NUMBER(keyed_at(t->shm, t->zone)->links->lock, 0);
    permit_close(&t->a);
    permit_close(&t->b);
    munmap(keyed_at(t->shm, t->zone)->links, BYTES);
    shm_destroy(t->shm);
}

/* --- connections --- */

/* The permit, or -1 when it was refused because of the limit, -2 for want of room. */
static int64_t hold(struct permit_user *u, unsigned zone, const char *key, uint32_t limit)
{
    uint32_t permit = UINT32_MAX;
    enum keyed_result result = keyed_hold(u, zone, slice_of(key), limit, &permit);
    return result == KEYED_OK ? (int64_t)permit : -(int64_t)result;
}

static uint32_t count_of(struct two *t, const char *key)
{
    uint32_t cell = keyed_find(keyed_at(t->shm, t->zone), slice_of(key));
    return cell ? keyed_cell_of(keyed_at(t->shm, t->zone), cell)->count : 0;
}

static void as_many_as_the_limit_for_each_key(void)
{
    struct two t = two_with(KEYED_CONNECTIONS);
    int64_t first = hold(&t.a, t.zone, "x", 3);
    CU_ASSERT(first >= 0);
    CU_ASSERT(hold(&t.b, t.zone, "x", 3) >= 0);
    CU_ASSERT(hold(&t.a, t.zone, "y", 3) >= 0);
    CU_ASSERT(hold(&t.b, t.zone, "x", 3) >= 0);
    CHECK_NUMBER(hold(&t.a, t.zone, "x", 3), -KEYED_OVER);
    CHECK_NUMBER(hold(&t.b, t.zone, "x", 3), -KEYED_OVER);
    CU_ASSERT(hold(&t.a, t.zone, "x", 4) >= 0); /* the same zone under another limit */
    CHECK_NUMBER(count_of(&t, "x"), 4);
    CHECK_NUMBER(count_of(&t, "y"), 1);
    keyed_let_go(&t.a, (uint32_t)first);
    CHECK_NUMBER(hold(&t.b, t.zone, "x", 3), -KEYED_OVER);
    CHECK_NUMBER(count_of(&t, "x"), 3);
    end_two(&t);
}

static void keys_that_nobody_holds_are_forgotten(void)
{
    struct two t = two_with(KEYED_CONNECTIONS);
    char text[KEYED_KEY_MAX];
    uint32_t permits[64];
    /* Many more keys than there is room for at a time. */
    for (int round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 64; i++)
            CHECK_NUMBER(keyed_hold(&t.a, t.zone, key_number((unsigned)round * 64 + i, text), 1, &permits[i]),
                         KEYED_OK);
        for (unsigned i = 0; i < 64; i++)
            keyed_let_go(&t.a, permits[i * 37 % 64]);
    }
    CHECK_NUMBER(keyed_at(t.shm, t.zone)->links->oldest, 0);
    CHECK_NUMBER(t.a.spare_count, permit_get(&permit_region(t.shm)->parts[0].used));
    end_two(&t);
}

static void no_room_for_one_more_key(void)
{
    struct two t = two_with(KEYED_CONNECTIONS);
    uint32_t cells = keyed_at(t.shm, t.zone)->cell_count, count = 0;
    char text[16];
    for (int64_t got = 0; got >= 0; count += got >= 0) {
        snprintf(text, sizeof text, "key %u", count);
        got = hold(count % 2 ? &t.a : &t.b, t.zone, text, 1);
        CU_ASSERT(got >= 0 || got == -KEYED_NO_ROOM);
    }
    CHECK_NUMBER(count, cells);
    CHECK_NUMBER(t.a.spare_count + t.b.spare_count, 1); /* the one that was of no use */
    CU_ASSERT(hold(&t.a, t.zone, "key 3", 2) >= 0);     /* a key that is there needs no room */
    keyed_let_go(&t.b, 5);
    CU_ASSERT(hold(&t.a, t.zone, "another", 1) >= 0);
    end_two(&t);
}

static void a_part_used_up_is_no_room(void)
{
    struct two t = two_with(KEYED_CONNECTIONS);
    for (int i = 0; i < SHM_PERMITS_PER_SLOT; i++)
        if (hold(&t.a, t.zone, "x", UINT32_MAX) < 0)
            CU_FAIL_FATAL("a permit was refused too early");
    CHECK_NUMBER(hold(&t.a, t.zone, "x", UINT32_MAX), -KEYED_NO_ROOM);
    CU_ASSERT(hold(&t.b, t.zone, "x", UINT32_MAX) >= 0);
    CHECK_NUMBER(count_of(&t, "x"), SHM_PERMITS_PER_SLOT + 1);
    keyed_reclaim(t.shm, 0);
    CHECK_NUMBER(count_of(&t, "x"), 1);
    end_two(&t);
}

static void what_a_dead_process_held_is_given_back(void)
{
    struct two t = two_with(KEYED_CONNECTIONS);
    unsigned other = open_zone(t.shm, "other", KEYED_CONNECTIONS);
    unsigned plain = zone_of(t.shm, "plain", rules_of(5, 0));
    hold(&t.a, t.zone, "both", 9);
    hold(&t.b, t.zone, "both", 9);
    hold(&t.a, t.zone, "dead's", 9);
    hold(&t.b, other, "both", 9);
    hold(&t.a, other, "both", 9);
    CHECK_GO(ask(&t.a, plain)); /* permits of another kind in the same part */
    CHECK_GO(ask(&t.b, plain));
    keyed_reclaim(t.shm, 0);
    CHECK_NUMBER(count_of(&t, "both"), 1);
    CHECK_NUMBER(count_of(&t, "dead's"), 0);
    CHECK_NUMBER(held_in(t.shm, plain), 2);
    permit_reclaim(t.shm, 0);
    CHECK_NUMBER(held_in(t.shm, plain), 1);
    CHECK_WHOLE(keyed_fault(t.shm, other));
    CHECK_ZONE(t.shm, plain);
    keyed_reclaim(t.shm, 0); /* a second time there is nothing more */
    CHECK_NUMBER(count_of(&t, "both"), 1);
    end_two(&t);
}

/* --- requests --- */

/* How a leaky bucket stands, by its definition: a request each adds 1000, time takes away, and nothing is below 0. */
struct reference {
    bool known;
    uint64_t last_ms;
    int64_t excess;
};

static enum keyed_result refer(struct reference *r, uint64_t now_ms, struct keyed_rate rate, uint64_t *excess)
{
    int64_t leak = now_ms > r->last_ms ? (int64_t)(rate.rate * (now_ms - r->last_ms) / 1000) : 0;
    int64_t now = r->known ? r->excess - leak + 1000 : 0;
    *excess = now > 0 ? (uint64_t)now : 0;
    if (*excess > rate.burst)
        return KEYED_OVER;
    /* A clock that is behind another process's gives nothing away. */
    if (!r->known || now_ms > r->last_ms)
        r->last_ms = now_ms;
    r->excess = (int64_t)*excess;
    r->known = true;
    return KEYED_OK;
}

static enum keyed_result request(struct two *t, struct slice key, uint64_t now_ms, struct keyed_rate rate,
                                 uint64_t *excess)
{
    return keyed_request(t->shm, t->zone, key, now_ms * 1000, rate, true, excess);
}

/* Compares for some keys at random times, which go back by at most back_ms. */
static void compare_with_reference(uint64_t seed, uint64_t back_ms)
{
    enum { KEYS = 8, ROUNDS = 40, STEPS = 200 };
    uint64_t random = seed;
    char text[KEYED_KEY_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        struct two t = two_with(KEYED_REQUESTS);
        struct reference refs[KEYS] = {0};
        struct keyed_rate rate = {1 + check_random(&random) % (round % 2 ? 2000 : 200000),
                                  1000 * (check_random(&random) % 10)};
        uint64_t now_ms = NOW_MS, step_ms = 3000000 / rate.rate + 1;
        int wrong = 0;
        for (int i = 0; i < STEPS; i++) {
            uint64_t excess = 99, wanted = 98;
            unsigned key = (unsigned)(check_random(&random) % KEYS);
            now_ms += check_random(&random) % (step_ms / KEYS + 2);
            uint64_t at_ms = now_ms - (back_ms ? check_random(&random) % back_ms : 0);
            enum keyed_result said = refer(&refs[key], at_ms, rate, &wanted);
            enum keyed_result result = request(&t, key_number(key, text), at_ms, rate, &excess);
            wrong += result != said || excess != wanted;
        }
        if (wrong)
            CHECK_NUMBER(wrong, 0);
        end_two(&t);
    }
}

static void the_arithmetic_is_the_references(void)
{
    compare_with_reference(88172645463325252u, 0);
}

static void a_clock_behind_anothers_gives_nothing_away(void)
{
    compare_with_reference(1234567, 50);
}

static void known_cases(void)
{
    struct two t = two_with(KEYED_REQUESTS);
    struct keyed_rate rate = {1000, 2000};
    uint64_t excess;
    struct slice key = SLICE("x");
    CHECK_NUMBER(request(&t, key, NOW_MS, rate, &excess), KEYED_OK);
    CHECK_NUMBER(excess, 0);
    CHECK_NUMBER(request(&t, key, NOW_MS + 128, rate, &excess), KEYED_OK);
    CHECK_NUMBER(excess, 872);
    CHECK_NUMBER(request(&t, key, NOW_MS + 128, rate, &excess), KEYED_OK);
    CHECK_NUMBER(excess, 1872);
    CHECK_NUMBER(request(&t, key, NOW_MS + 128, rate, &excess), KEYED_OVER);
    CHECK_NUMBER(excess, 2872);
    CHECK_NUMBER(request(&t, key, NOW_MS + 1000, rate, &excess), KEYED_OK); /* a refused one did not count */
    CHECK_NUMBER(excess, 2000);
    CHECK_NUMBER(request(&t, key, NOW_MS + 4000, rate, &excess), KEYED_OK);
    CHECK_NUMBER(excess, 0);
    CHECK_NUMBER(request(&t, SLICE("y"), NOW_MS + 4000, rate, &excess), KEYED_OK);
    CHECK_NUMBER(excess, 0);
    CHECK_NUMBER(request(&t, key, NOW_MS + ((uint64_t)1 << 40), rate, &excess), KEYED_OK);
    CHECK_NUMBER(excess, 0);
    end_two(&t);
}

static void asking_does_not_count(void)
{
    struct two t = two_with(KEYED_REQUESTS);
    struct keyed_rate rate = {1000, 0};
    uint64_t excess = 99;
    struct slice key = SLICE("x");
    for (int i = 0; i < 5; i++) { /* a new key */
        CHECK_NUMBER(keyed_request(t.shm, t.zone, key, NOW_MS * 1000ull, rate, false, &excess), KEYED_OK);
        CHECK_NUMBER(excess, 0);
    }
    CHECK_NUMBER(request(&t, key, NOW_MS, rate, &excess), KEYED_OK);
    CHECK_NUMBER(excess, 0);
    for (int i = 0; i < 5; i++) /* one that is known */
        CHECK_NUMBER(keyed_request(t.shm, t.zone, key, (NOW_MS + 1000) * 1000ull, rate, false, &excess),
                     KEYED_OK);
    CHECK_NUMBER(request(&t, key, NOW_MS + 1000, rate, &excess), KEYED_OK);
    CHECK_NUMBER(keyed_request(t.shm, t.zone, key, (NOW_MS + 1500) * 1000ull, rate, false, &excess),
                 KEYED_OVER);
    CHECK_NUMBER(excess, 500);
    end_two(&t);
}

static uint32_t keys_in(struct two *t)
{
    uint32_t count = 0;
    for (uint32_t at = keyed_at(t->shm, t->zone)->links->oldest; at; count++)
        at = keyed_cell_of(keyed_at(t->shm, t->zone), at)->newer;
    return count;
}

static void a_full_zone_forgets_the_oldest(void)
{
    struct two t = two_with(KEYED_REQUESTS);
    struct keyed_rate rate = {1000, 0};
    uint32_t cells = keyed_at(t.shm, t.zone)->cell_count;
    uint64_t excess;
    char text[KEYED_KEY_MAX];
    for (unsigned i = 0; i < cells; i++)
        CHECK_NUMBER(request(&t, key_number(i * 8, text), NOW_MS, rate, &excess), KEYED_OK);
    CHECK_NUMBER(keys_in(&t), cells);
    CHECK_NUMBER(request(&t, key_number(0, text), NOW_MS, rate, &excess),
                 KEYED_OVER); /* used: not the oldest now */
    CHECK_NUMBER(request(&t, SLICE("one more"), NOW_MS, rate, &excess), KEYED_OK);
    CHECK_NUMBER(keys_in(&t), cells);
    CHECK_NUMBER(request(&t, key_number(0, text), NOW_MS, rate, &excess), KEYED_OVER);
    CHECK_NUMBER(keyed_find(keyed_at(t.shm, t.zone), key_number(8, text)), 0);
    CU_ASSERT(keyed_find(keyed_at(t.shm, t.zone), key_number(16, text)) != 0);
    CHECK_NUMBER(request(&t, key_number(7, text), NOW_MS, rate, &excess), KEYED_OK); /* seven cells */
    CHECK_NUMBER(keys_in(&t), cells - 6);
    for (unsigned i = 1; i <= 8; i++)
        CHECK_NUMBER(keyed_find(keyed_at(t.shm, t.zone), key_number(i * 8, text)) != 0, i > 8);
    end_two(&t);
}

static void quiet_keys_are_forgotten(void)
{
    struct two t = two_with(KEYED_REQUESTS);
    struct keyed_rate rate = {1000, 1000000};
    uint64_t excess;
    char text[KEYED_KEY_MAX];
    for (int i = 0; i < 300; i++) /* not quiet before five minutes have gone */
        request(&t, SLICE("busy"), NOW_MS, rate, &excess);
    for (unsigned i = 0; i < 10; i++)
        request(&t, key_number(i, text), NOW_MS, rate, &excess);
    request(&t, SLICE("a"), NOW_MS + 59000, rate, &excess);
    CHECK_NUMBER(keys_in(&t), 12);
    request(&t, SLICE("b"), NOW_MS + 61000, rate, &excess);
    /* The busy one is the oldest, and it means something still. */
    CHECK_NUMBER(keys_in(&t), 13);
    request(&t, SLICE("busy"), NOW_MS + 61000, rate, &excess);
    CHECK_NUMBER(excess, 300000 - 61000);
    request(&t, SLICE("c"), NOW_MS + 61000, rate, &excess);
    CHECK_NUMBER(keys_in(&t), 12); /* two went */
    CHECK_NUMBER(keyed_find(keyed_at(t.shm, t.zone), key_number(1, text)), 0);
    CU_ASSERT(keyed_find(keyed_at(t.shm, t.zone), key_number(2, text)) != 0);
    end_two(&t);
}

static void a_death_changes_nothing_for_requests(void)
{
    struct two t = two_with(KEYED_REQUESTS);
    struct keyed_rate rate = {1000, 0};
    uint64_t excess;
    char text[KEYED_KEY_MAX];
    for (unsigned i = 0; i < 20; i++)
        request(&t, key_number(i, text), NOW_MS, rate, &excess);
    for (unsigned i = 0; i < 20; i++) /* each is used again, the last one first */
        CHECK_NUMBER(request(&t, key_number(19 - i, text), NOW_MS, rate, &excess), KEYED_OVER);
    uint32_t oldest = keyed_at(t.shm, t.zone)->links->oldest;
    keyed_reclaim(t.shm, 0);
    CHECK_NUMBER(keys_in(&t), 20);
    CHECK_NUMBER(keyed_at(t.shm, t.zone)->links->oldest, oldest); /* else the wrong ones are forgotten next */
    for (unsigned i = 0; i < 20; i++)
        CHECK_NUMBER(request(&t, key_number(i, text), NOW_MS, rate, &excess), KEYED_OVER);
    end_two(&t);
}

/* --- sessions --- */

enum { IDLE_MS = 1000 };

static enum keyed_result remember(struct two *t, struct slice key, uint64_t value, uint64_t now_ms)
{
    return keyed_remember(t->shm, t->zone, key, value, now_ms * 1000, IDLE_MS * 1000);
}

/* What the key is bound to; 0: to nothing. */
static uint64_t recall(struct two *t, struct slice key, uint64_t now_ms)
{
    uint64_t value = 0;
    return keyed_recall(t->shm, t->zone, key, now_ms * 1000, IDLE_MS * 1000, &value) ? value : 0;
}

static void a_session_is_what_was_remembered_last(void)
{
    struct two t = two_with(KEYED_SESSIONS);
    uint64_t value;
    CHECK_NUMBER(recall(&t, SLICE("x"), NOW_MS), 0);
    CHECK_NUMBER(remember(&t, SLICE("x"), UINT64_MAX, NOW_MS), KEYED_OK);
    CHECK_NUMBER(remember(&t, SLICE("y"), 2, NOW_MS), KEYED_OK);
    CHECK_NUMBER(remember(&t, SLICE("zero"), 0, NOW_MS), KEYED_OK);
    CHECK_NUMBER(recall(&t, SLICE("x"), NOW_MS), UINT64_MAX);
    CHECK_NUMBER(remember(&t, SLICE("x"), 3, NOW_MS), KEYED_OK);
    CHECK_NUMBER(recall(&t, SLICE("x"), NOW_MS), 3);
    CHECK_NUMBER(recall(&t, SLICE("y"), NOW_MS), 2);
    CU_ASSERT(keyed_recall(t.shm, t.zone, SLICE("zero"), NOW_MS * 1000ull, IDLE_MS * 1000, &value));
    CHECK_NUMBER(keys_in(&t), 3);
    keyed_reclaim(t.shm, 0); /* a death changes nothing for them */
    keyed_recount(t.shm, t.zone);
    CHECK_NUMBER(recall(&t, SLICE("x"), NOW_MS), 3);
    CHECK_NUMBER(keys_in(&t), 3);
    keyed_zones_prune(t.shm, (int[]){(int)t.zone}, 1);
    CHECK_NUMBER(recall(&t, SLICE("y"), NOW_MS), 2);
    end_two(&t);
}

static void idle_sessions_are_forgotten(void)
{
    struct two t = two_with(KEYED_SESSIONS);
    remember(&t, SLICE("used"), 1, NOW_MS);
    remember(&t, SLICE("idle"), 2, NOW_MS);
    CHECK_NUMBER(recall(&t, SLICE("used"), NOW_MS + IDLE_MS - 1), 1);
    CHECK_NUMBER(recall(&t, SLICE("used"), NOW_MS), 1); /* a clock behind does not set it back */
    CHECK_NUMBER(recall(&t, SLICE("idle"), NOW_MS + IDLE_MS), 0);
    CHECK_NUMBER(keys_in(&t), 1); /* asked for in vain, it is gone */
    CHECK_NUMBER(recall(&t, SLICE("used"), NOW_MS + 2 * IDLE_MS - 2), 1);
    remember(&t, SLICE("new"), 3, NOW_MS + 4 * IDLE_MS);
    CHECK_NUMBER(keys_in(&t), 1); /* and gone with the next one that begins */
    CHECK_NUMBER(recall(&t, SLICE("used"), NOW_MS + 4 * IDLE_MS), 0);
    end_two(&t);
}

static void a_full_zone_forgets_the_session_idle_longest(void)
{
    struct two t = two_with(KEYED_SESSIONS);
    uint32_t cells = keyed_at(t.shm, t.zone)->cell_count;
    char text[KEYED_KEY_MAX];
    for (unsigned i = 0; i < cells; i++)
        CHECK_NUMBER(remember(&t, key_number(i * 8, text), i + 1, NOW_MS), KEYED_OK);
    CHECK_NUMBER(recall(&t, key_number(0, text), NOW_MS), 1);
    CHECK_NUMBER(remember(&t, SLICE("one more"), 7, NOW_MS), KEYED_OK);
    CHECK_NUMBER(keys_in(&t), cells);
    CHECK_NUMBER(recall(&t, key_number(8, text), NOW_MS), 0);
    CHECK_NUMBER(recall(&t, key_number(0, text), NOW_MS), 1);
    CHECK_NUMBER(recall(&t, key_number(16, text), NOW_MS), 3);
    end_two(&t);
}

/* --- zones --- */

static void a_zone_is_what_it_is_for(void)
{
    struct shm *shm = shm_create();
    int zone = keyed_zone_open(shm, "z", KEYED_CONNECTIONS, BYTES, "$arg_k");
    CU_ASSERT(zone >= 0);
    CHECK_NUMBER(keyed_zone_open(shm, "z", KEYED_CONNECTIONS, BYTES, "$arg_k"), zone);
    CU_ASSERT(keyed_zone_open(shm, "y", KEYED_CONNECTIONS, BYTES, "$arg_k") != zone);
    CU_ASSERT(keyed_zone_open(shm, "z", KEYED_REQUESTS, BYTES, "$arg_k") != zone);
    CU_ASSERT(keyed_zone_open(shm, "z", KEYED_CONNECTIONS, BYTES + 4096, "$arg_k") != zone);
    CU_ASSERT(keyed_zone_open(shm, "z", KEYED_CONNECTIONS, BYTES, "$arg_j") != zone);
    CHECK_NUMBER(keyed_zone_open(shm, "z", KEYED_CONNECTIONS, BYTES, "$arg_k"), zone);
    keyed_zones_prune(shm, NULL, 0);
    shm_destroy(shm);
}

static void zones_are_used_up_and_pruned(void)
{
    struct two t = two_with(KEYED_CONNECTIONS);
    char name[16];
    int kept[2] = {-1, -1}, zone;
    hold(&t.a, t.zone, "x", 1);
    for (int i = 1; i < KEYED_ZONES; i++) {
        snprintf(name, sizeof name, "z%d", i);
        zone = keyed_zone_open(t.shm, name, i % 2 ? KEYED_REQUESTS : KEYED_CONNECTIONS, BYTES, "$arg_k");
        CU_ASSERT(zone >= 0);
        if (i == 20 || i == 21)
            kept[i - 20] = zone;
    }
    CHECK_NUMBER(keyed_zone_open(t.shm, "one more", KEYED_REQUESTS, BYTES, "$arg_k"), -1);
    CHECK_NUMBER(errno, ENFILE);
    keyed_zones_prune(t.shm, kept, 2);
    int left = 0;
    for (int i = 0; i < KEYED_ZONES; i++)
        left += keyed_at(t.shm, (unsigned)i)->name[0] != '\0';
    /* Both, and the one in which something is held. */
    CHECK_NUMBER(left, 3);
    CHECK_NUMBER(hold(&t.b, t.zone, "x", 1), -KEYED_OVER);
    CHECK_NUMBER(keyed_zone_open(t.shm, "z20", KEYED_CONNECTIONS, BYTES, "$arg_k"), kept[0]);
    CU_ASSERT(keyed_zone_open(t.shm, "one more", KEYED_REQUESTS, BYTES, "$arg_k") >= 0);
    keyed_let_go(&t.a, 0);
    struct keyed_zone *tested = keyed_at(t.shm, t.zone);
    keyed_zones_prune(t.shm, (int[]){(int)t.zone}, 1);
    CU_ASSERT(tested->name[0] != '\0');
    end_two(&t);
}

static const struct check_case cases[] = {
    {"as many as the limit for each key", as_many_as_the_limit_for_each_key},
    {"keys that nobody holds are forgotten", keys_that_nobody_holds_are_forgotten},
    {"no room for one more key", no_room_for_one_more_key},
    {"a part used up is no room", a_part_used_up_is_no_room},
    {"what a dead process held is given back", what_a_dead_process_held_is_given_back},
    {"the arithmetic is the reference's", the_arithmetic_is_the_references},
    {"a clock behind another's gives nothing away", a_clock_behind_anothers_gives_nothing_away},
    {"known cases", known_cases},
    {"asking does not count", asking_does_not_count},
    {"a full zone forgets the oldest", a_full_zone_forgets_the_oldest},
    {"quiet keys are forgotten", quiet_keys_are_forgotten},
    {"a death changes nothing for requests", a_death_changes_nothing_for_requests},
    {"a session is what was remembered last", a_session_is_what_was_remembered_last},
    {"idle sessions are forgotten", idle_sessions_are_forgotten},
    {"a full zone forgets the session idle longest", a_full_zone_forgets_the_session_idle_longest},
    {"a zone is what it is for", a_zone_is_what_it_is_for},
    {"zones are used up and pruned", zones_are_used_up_and_pruned},
};

CHECK_MAIN("shm/keyed", cases)
