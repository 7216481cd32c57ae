/*
 * tests/unit/shm/test_permit_wake.c - how a process learns what others have done to its permits: each change is named
 * once, and one datagram says that there are some.
 */
#include "tests/unit/shm/permit_help.h"

#include <sys/socket.h>

enum { MANY = 300 }; /* over several words of bits */

struct pair {
    struct shm *shm;
    struct permit_user giver, taker;
    unsigned zone;
    uint32_t held[MANY], waiting[MANY];
};

/* The giver holds all permits, and the taker waits for as many. */
static struct pair *pair_new(uint32_t count)
{
    struct pair *p = calloc(1, sizeof *p);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    p->shm = shm_create();
    p->zone = zone_of(p->shm, "tested", rules_of(count, count));
    p->giver = user_in(p->shm, 3);
    p->taker = user_in(p->shm, 200);
    for (uint32_t i = 0; i < count; i++)
        p->held[i] = ask(&p->giver, p->zone).permit;
    for (uint32_t i = 0; i < count; i++) {
        struct answer a = ask(&p->taker, p->zone);
        CHECK_WAITS(a);
        p->waiting[i] = a.permit;
    }
    return p;
}

static void pair_free(struct pair *p)
{
    CHECK_ZONE(p->shm, p->zone);
    permit_close(&p->giver);
    permit_close(&p->taker);
    shm_destroy(p->shm);
    free(p);
}

/* Counts the datagrams at the socket, and takes them away without saying so. */
static int datagrams(const struct permit_user *u)
{
    char byte;
    int count = 0;
    while (recv(u->socket, &byte, 1, MSG_DONTWAIT) >= 0)
        count++;
    return count;
}

static void each_change_is_named_once(void)
{
    struct pair *p = pair_new(MANY);
    unsigned named[MANY] = {0}, count = 0;
    CU_ASSERT(!permit_any_changed(&p->taker));
    CHECK_NUMBER(permit_next_changed(&p->taker), UINT32_MAX);
    for (int i = 0; i < MANY; i++)
        give_back(&p->giver, p->held[i]);
    CU_ASSERT(permit_any_changed(&p->taker));
    CU_ASSERT(!permit_any_changed(&p->giver));
    for (uint32_t permit; (permit = permit_next_changed(&p->taker)) != UINT32_MAX; count++) {
        CU_ASSERT_FATAL(permit < MANY);
        named[permit]++;
        CHECK_NUMBER(look(&p->taker, permit), PERMIT_GO);
    }
    CHECK_NUMBER(count, MANY);
    for (int i = 0; i < MANY; i++)
        if (named[p->waiting[i]] != 1)
            CHECK_NUMBER(named[p->waiting[i]], 1);
    CU_ASSERT(!permit_any_changed(&p->taker));
    pair_free(p);
}

static void changes_and_looks_in_turn(void)
{
    struct pair *p = pair_new(MANY);
    uint64_t random = 88172645463325252u;
    int given = 0, named = 0;
    for (int i = 0; i < 20 * MANY && named < MANY; i++) {
        for (uint64_t n = check_random(&random) % 5; n > 0 && given < MANY; n--)
            give_back(&p->giver, p->held[given++]);
        for (uint64_t n = check_random(&random) % 5; n > 0; n--)
            named += permit_next_changed(&p->taker) != UINT32_MAX;
        CU_ASSERT(permit_any_changed(&p->taker) || named == given);
    }
    CHECK_NUMBER(named, MANY);
    pair_free(p);
}

static void a_refusal_is_a_change(void)
{
    struct pair *p = pair_new(1);
    struct permit_rules rules = rules_of(1, 1);
    enum permit_reason why = PERMIT_REASONS;
    CHECK_WAITS(ask_for(&p->giver, p->zone, PERMIT_HIGH));
    CU_ASSERT(is_called(&p->taker));
    CHECK_NUMBER(permit_next_changed(&p->taker), p->waiting[0]);
    CHECK_NUMBER(permit_look(&p->taker, p->waiting[0], &why), PERMIT_NO);
    CHECK_NUMBER(why, PERMIT_QUEUE_FULL);
    permit_zone_set(p->shm, p->zone, &rules);
    pair_free(p);
}

static void one_datagram_until_it_is_heard(void)
{
    struct pair *p = pair_new(8);
    CU_ASSERT(!is_called(&p->taker));
    give_back(&p->giver, p->held[0]);
    CU_ASSERT(is_called(&p->taker));
    for (int i = 1; i < 4; i++)
        give_back(&p->giver, p->held[i]);
    CHECK_NUMBER(datagrams(&p->taker), 1);
    give_back(&p->giver, p->held[4]);
    CHECK_NUMBER(datagrams(&p->taker), 0); /* the first one counts as on its way still */
    permit_heard(&p->taker);
    give_back(&p->giver, p->held[5]);
    CU_ASSERT(is_called(&p->taker));
    permit_heard(&p->taker);
    CU_ASSERT(!is_called(&p->taker));
    give_back(&p->giver, p->held[6]);
    CHECK_NUMBER(datagrams(&p->taker), 1);
    int named = 0;
    while (permit_next_changed(&p->taker) != UINT32_MAX)
        named++;
    CHECK_NUMBER(named, 7);
    CHECK_NUMBER(datagrams(&p->giver), 0);
    pair_free(p);
}

static void ones_own_waiters_need_no_datagram(void)
{
    struct shm *shm = shm_create();
    unsigned zone = zone_of(shm, "tested", rules_of(1, 1));
    struct permit_user u = user_in(shm, 0);
    struct answer held = ask(&u, zone), waiter = ask(&u, zone);
    CHECK_WAITS(waiter);
    give_back(&u, held.permit);
    CU_ASSERT(permit_any_changed(&u));
    CHECK_NUMBER(permit_next_changed(&u), waiter.permit);
    CHECK_NUMBER(look(&u, waiter.permit), PERMIT_GO);
    CU_ASSERT(!is_called(&u));
    permit_close(&u);
    shm_destroy(shm);
}

/* More processes than one round of calls takes. */
static void all_of_many_processes_are_woken(void)
{
    enum { USERS = 3 * PERMIT_CALLS_MAX + 5 };
    static struct permit_user users[USERS];
    struct permit_rules rules = rules_of(1, USERS);
    struct shm *shm = shm_create();
    unsigned zone = zone_of(shm, "tested", rules);
    struct permit_user first = user_in(shm, USERS);
    uint32_t waiting[USERS], held = ask(&first, zone).permit;
    for (int i = 0; i < USERS; i++) {
        users[i] = user_in(shm, i);
        waiting[i] = ask(&users[i], zone).permit;
    }
    rules.limit = USERS;
    permit_zone_set(shm, zone, &rules);
    CHECK_ZONE(shm, zone);
    for (int i = 0; i < USERS - 1; i++) {
        CU_ASSERT(is_called(&users[i]));
        CHECK_NUMBER(permit_next_changed(&users[i]), waiting[i]);
        CHECK_NUMBER(look(&users[i], waiting[i]), PERMIT_GO);
    }
    CU_ASSERT(!is_called(&users[USERS - 1]));
    give_back(&first, held);
    CU_ASSERT(is_called(&users[USERS - 1]));
    CHECK_NUMBER(held_in(shm, zone), USERS);
    for (int i = 0; i < USERS; i++)
        permit_close(&users[i]);
    permit_close(&first);
    shm_destroy(shm);
}

/* As many refused at once: their time is over when a permit becomes free. */
static void all_of_many_processes_hear_of_their_refusal(void)
{
    enum { USERS = 2 * PERMIT_CALLS_MAX + 3 };
    static struct permit_user users[USERS];
    struct permit_rules rules = rules_of(1, USERS);
    rules.queue_timeout_us = 1000;
    struct shm *shm = shm_create();
    unsigned zone = zone_of(shm, "tested", rules);
    struct permit_user first = user_in(shm, USERS);
    uint32_t waiting[USERS], held = ask_at(&first, zone, PERMIT_NORMAL, 1).permit;
    for (int i = 0; i < USERS; i++) {
        users[i] = user_in(shm, i);
        waiting[i] = ask_at(&users[i], zone, (enum permit_priority)(i % PERMIT_PRIORITIES), 1).permit;
    }
    permit_release(&first, held, 5000, 0);
    CHECK_ZONE(shm, zone);
    CHECK_NUMBER(held_in(shm, zone), 0);
    CHECK_NUMBER(zone_at(shm, zone)->rejected[PERMIT_QUEUE_TIMEOUT], USERS);
    for (int i = 0; i < USERS; i++) {
        CU_ASSERT(is_called(&users[i]));
        CHECK_NUMBER(permit_next_changed(&users[i]), waiting[i]);
        CHECK_NUMBER(look(&users[i], waiting[i]), PERMIT_NO);
        permit_close(&users[i]);
    }
    permit_close(&first);
    shm_destroy(shm);
}

static void a_permit_used_again_is_named_without_harm(void)
{
    struct pair *p = pair_new(1);
    give_back(&p->giver, p->held[0]);
    CHECK_NUMBER(
        permit_leave(&p->taker, p->waiting[0], clock_mono_us(), &(enum permit_reason){PERMIT_CLIENT_GONE}),
        PERMIT_GO);
    give_back(&p->taker, p->waiting[0]);
    struct answer held = ask(&p->giver, p->zone), again = ask(&p->taker, p->zone);
    CHECK_GO(held);
    CHECK_NUMBER(again.permit, p->waiting[0]);
    CHECK_NUMBER(permit_next_changed(&p->taker), again.permit); /* for the time before */
    CHECK_NUMBER(look(&p->taker, again.permit), PERMIT_WAIT);
    CHECK_NUMBER(permit_next_changed(&p->taker), UINT32_MAX);
    give_back(&p->giver, held.permit);
    CHECK_NUMBER(permit_next_changed(&p->taker), again.permit);
    CHECK_NUMBER(look(&p->taker, again.permit), PERMIT_GO);
    pair_free(p);
}

static void a_successor_is_reached_at_its_own_address(void)
{
    struct pair *p = pair_new(2);
    permit_close(&p->taker);
    permit_reclaim(p->shm, 200);
    CHECK_NUMBER(permit_region(p->shm)->parts[200].address[0], 0);
    p->taker = user_in(p->shm, 200);
    struct answer a = ask(&p->taker, p->zone);
    CHECK_WAITS(a);
    CU_ASSERT(!is_called(&p->taker));
    give_back(&p->giver, p->held[0]);
    CU_ASSERT(is_called(&p->taker));
    CHECK_NUMBER(look(&p->taker, a.permit), PERMIT_GO);
    pair_free(p);
}

/* A process that has gone without being taken back yet: its waiters get permits as others, and nobody fails. */
static void calling_a_process_that_has_gone(void)
{
    struct pair *p = pair_new(2);
    permit_close(&p->taker);
    give_back(&p->giver, p->held[0]);
    give_back(&p->giver, p->held[1]);
    CHECK_NUMBER(held_in(p->shm, p->zone), 2);
    permit_reclaim(p->shm, 200);
    CHECK_NUMBER(held_in(p->shm, p->zone), 0);
    p->taker = user_in(p->shm, 200);
    pair_free(p);
}

static const struct check_case cases[] = {
    {"each change is named once", each_change_is_named_once},
    {"changes and looks in turn", changes_and_looks_in_turn},
    {"a refusal is a change", a_refusal_is_a_change},
    {"one datagram until it is heard", one_datagram_until_it_is_heard},
    {"one's own waiters need no datagram", ones_own_waiters_need_no_datagram},
    {"all of many processes are woken", all_of_many_processes_are_woken},
    {"all of many processes hear of their refusal", all_of_many_processes_hear_of_their_refusal},
    {"a permit used again is named without harm", a_permit_used_again_is_named_without_harm},
    {"a successor is reached at its own address", a_successor_is_reached_at_its_own_address},
    {"calling a process that has gone", calling_a_process_that_has_gone},
};

CHECK_MAIN("shm/permit_wake", cases)
