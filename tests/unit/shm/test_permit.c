/*
 * tests/unit/shm/test_permit.c - who gets a permit, who waits and in which order, who is refused and why, and that
 * nothing of it is lost.
 */
#include "tests/unit/shm/permit_help.h"

/* Two processes' worth of users over one zone. */
struct two {
    struct shm *shm;
    struct permit_user a, b;
    unsigned zone;
};

static struct two two_with(struct permit_rules rules)
{
    struct two t = {.shm = shm_create()};
    CU_ASSERT_PTR_NOT_NULL_FATAL(t.shm);
    t.zone = zone_of(t.shm, "tested", rules);
    t.a = user_in(t.shm, 0);
    t.b = user_in(t.shm, 1);
    return t;
}

static void end_two(struct two *t)
{
    CHECK_ZONE(t->shm, t->zone);
    CHECK_NUMBER(zone_at(t->shm, t->zone)->lock, 0);
    permit_close(&t->a);
    permit_close(&t->b);
    shm_destroy(t->shm);
}

static uint64_t rejected(const struct two *t, enum permit_reason why)
{
    return zone_at(t->shm, t->zone)->rejected[why];
}

static void as_many_as_the_limit(void)
{
    struct two t = two_with(rules_of(3, 0));
    struct answer first = ask(&t.a, t.zone);
    CHECK_GO(first);
    CHECK_GO(ask(&t.b, t.zone));
    CHECK_GO(ask(&t.a, t.zone));
    CHECK_REFUSED(ask(&t.a, t.zone), PERMIT_LIMIT);
    CHECK_REFUSED(ask_for(&t.b, t.zone, PERMIT_HIGH), PERMIT_LIMIT);
    CHECK_NUMBER(held_in(t.shm, t.zone), 3);
    give_back(&t.a, first.permit);
    CHECK_NUMBER(held_in(t.shm, t.zone), 2);
    CHECK_GO(ask(&t.b, t.zone));
    CHECK_REFUSED(ask(&t.b, t.zone), PERMIT_LIMIT);
    CHECK_NUMBER(zone_at(t.shm, t.zone)->admitted, 4);
    CHECK_NUMBER(rejected(&t, PERMIT_LIMIT), 3);
    end_two(&t);
}

static void a_full_queue_refuses(void)
{
    struct two t = two_with(rules_of(1, 2));
    CHECK_GO(ask(&t.a, t.zone));
    CHECK_WAITS(ask(&t.a, t.zone));
    CHECK_WAITS(ask(&t.b, t.zone));
    CHECK_REFUSED(ask(&t.b, t.zone), PERMIT_QUEUE_FULL);
    CHECK_REFUSED(ask_for(&t.b, t.zone, PERMIT_LOW), PERMIT_QUEUE_FULL);
    CHECK_NUMBER(queued_in(t.shm, t.zone), 2);
    CHECK_NUMBER(rejected(&t, PERMIT_QUEUE_FULL), 2);
    end_two(&t);
}

enum { MANY = 24 };

/* Waiters of both users in turn; gets who they are. */
static void queue_many(struct two *t, const enum permit_priority *priorities, struct answer waiters[MANY])
{
    for (int i = 0; i < MANY; i++) {
        waiters[i] = ask_for(i % 2 ? &t->b : &t->a, t->zone, priorities[i % 3]);
        CHECK_WAITS(waiters[i]);
    }
}

/* That giving the one permit back admits this waiter next, and nobody else. Returns its permit. */
static void check_next(struct two *t, const struct answer waiters[MANY], int next, int *holder,
                       uint32_t *permit)
{
    give_back(*holder % 2 ? &t->b : &t->a, *permit);
    for (int i = 0; i < MANY; i++) {
        bool admitted =
            permit_tag_state(permit_region(t->shm)->parts[i % 2].permits[waiters[i].permit].tag) ==
            PERMIT_HELD;
        if (admitted != (i == next) && CU_get_number_of_failures() < 10)
            CHECK_NUMBER(i, next);
    }
    CHECK_NUMBER(look(next % 2 ? &t->b : &t->a, waiters[next].permit), PERMIT_GO);
    *holder = next;
    *permit = waiters[next].permit;
}

static void the_oldest_goes_first_over_all_processes(void)
{
    static const enum permit_priority same[3] = {PERMIT_NORMAL, PERMIT_NORMAL, PERMIT_NORMAL};
    struct two t = two_with(rules_of(1, MANY));
    struct answer waiters[MANY], first = ask(&t.a, t.zone);
    int holder = 0;
    queue_many(&t, same, waiters);
    CHECK_ZONE(t.shm, t.zone);
    for (int i = 0; i < MANY; i++)
        check_next(&t, waiters, i, &holder, &first.permit);
    give_back(&t.b, first.permit);
    CHECK_NUMBER(held_in(t.shm, t.zone), 0);
    end_two(&t);
}

static void the_highest_priority_goes_first(void)
{
    static const enum permit_priority mixed[3] = {PERMIT_LOW, PERMIT_HIGH, PERMIT_NORMAL};
    struct two t = two_with(rules_of(1, MANY));
    struct answer waiters[MANY], first = ask(&t.a, t.zone);
    int holder = 0;
    queue_many(&t, mixed, waiters);
    for (int from = 1; from < 4; from++) /* high, normal, low */
        for (int i = from % 3; i < MANY; i += 3)
            check_next(&t, waiters, i, &holder, &first.permit);
    end_two(&t);
}

static void a_higher_one_takes_the_newest_low_ones_place(void)
{
    struct two t = two_with(rules_of(1, 3));
    CHECK_GO(ask(&t.a, t.zone));
    struct answer normal = ask_for(&t.b, t.zone, PERMIT_NORMAL);
    struct answer old_low = ask_for(&t.b, t.zone, PERMIT_LOW), new_low = ask_for(&t.b, t.zone, PERMIT_LOW);
    CHECK_WAITS(new_low);
    CHECK_REFUSED(ask_for(&t.a, t.zone, PERMIT_LOW), PERMIT_QUEUE_FULL);
    CHECK_WAITS(ask_for(&t.a, t.zone, PERMIT_HIGH));
    CHECK_NUMBER(queued_in(t.shm, t.zone), 3);
    CHECK_NUMBER(permit_look(&t.b, new_low.permit, &new_low.why), PERMIT_NO);
    CHECK_NUMBER(new_low.why, PERMIT_QUEUE_FULL);
    CHECK_NUMBER(look(&t.b, old_low.permit), PERMIT_WAIT);
    CHECK_WAITS(ask_for(&t.a, t.zone, PERMIT_NORMAL)); /* in place of the other low one */
    CHECK_NUMBER(look(&t.b, old_low.permit), PERMIT_NO);
    CHECK_REFUSED(ask_for(&t.a, t.zone, PERMIT_NORMAL), PERMIT_QUEUE_FULL);
    CHECK_WAITS(ask_for(&t.a, t.zone, PERMIT_HIGH)); /* now the newest normal one has to go */
    CHECK_NUMBER(look(&t.b, normal.permit), PERMIT_WAIT);
    CHECK_NUMBER(rejected(&t, PERMIT_QUEUE_FULL), 5);
    end_two(&t);
}

static void who_has_waited_too_long_is_refused(void)
{
    struct permit_rules rules = rules_of(1, 10);
    rules.queue_timeout_us = 5000;
    struct two t = two_with(rules);
    struct answer held = ask_at(&t.a, t.zone, PERMIT_NORMAL, 1000);
    struct answer late = ask_at(&t.b, t.zone, PERMIT_NORMAL, 1000);
    struct answer late_too = ask_at(&t.b, t.zone, PERMIT_HIGH, 2000);
    struct answer in_time = ask_at(&t.b, t.zone, PERMIT_LOW, 2001);
    /* 5000 us after the second: that is too long. */
    permit_release(&t.a, held.permit, 7000, 0);
    CHECK_NUMBER(permit_look(&t.b, late.permit, &late.why), PERMIT_NO);
    CHECK_NUMBER(late.why, PERMIT_QUEUE_TIMEOUT);
    CHECK_NUMBER(permit_look(&t.b, late_too.permit, &late_too.why), PERMIT_NO);
    CHECK_NUMBER(late_too.why, PERMIT_QUEUE_TIMEOUT);
    CHECK_NUMBER(look(&t.b, in_time.permit), PERMIT_GO);
    CHECK_NUMBER(rejected(&t, PERMIT_QUEUE_TIMEOUT), 2);
    CHECK_NUMBER(queued_in(t.shm, t.zone), 0);
    end_two(&t);
}

static void the_late_give_their_place_in_a_full_queue(void)
{
    struct permit_rules rules = rules_of(1, 1);
    rules.queue_timeout_us = 5000;
    struct two t = two_with(rules);
    struct answer held = ask_at(&t.a, t.zone, PERMIT_NORMAL, 1000);
    struct answer late = ask_at(&t.b, t.zone, PERMIT_LOW, 1000);
    CHECK_GO(held);
    CHECK_WAITS(late);
    struct answer next = ask_at(&t.a, t.zone, PERMIT_NORMAL, 7000);
    CHECK_WAITS(next);
    CHECK_NUMBER(permit_look(&t.b, late.permit, &late.why), PERMIT_NO);
    CHECK_NUMBER(late.why, PERMIT_QUEUE_TIMEOUT);
    end_two(&t);
}

static void leaving_in_each_state(void)
{
    struct two t = two_with(rules_of(1, 3));
    struct answer held = ask(&t.a, t.zone);
    struct answer middle, admitted = ask(&t.b, t.zone);
    middle = ask(&t.b, t.zone);
    struct answer refused = ask_for(&t.b, t.zone, PERMIT_LOW);
    CHECK_NUMBER(
        permit_leave(&t.b, middle.permit, clock_mono_us(), &(enum permit_reason){PERMIT_CLIENT_GONE}),
        PERMIT_NO);
    CHECK_NUMBER(rejected(&t, PERMIT_CLIENT_GONE), 1);
    CHECK_ZONE(t.shm, t.zone);
    CHECK_WAITS(ask(&t.a, t.zone));
    CHECK_WAITS(ask(&t.a, t.zone)); /* in place of the low one */
    CHECK_NUMBER(permit_leave(&t.b, refused.permit, clock_mono_us(), &(enum permit_reason){PERMIT_DRAINING}),
                 PERMIT_NO);
    CHECK_NUMBER(rejected(&t, PERMIT_DRAINING), 0); /* it was counted when it was refused */
    CHECK_NUMBER(rejected(&t, PERMIT_QUEUE_FULL), 1);
    give_back(&t.a, held.permit);
    CHECK_NUMBER(permit_leave(&t.b, admitted.permit, clock_mono_us(), &(enum permit_reason){PERMIT_DRAINING}),
                 PERMIT_GO);
    /* Its process has the permit, and gives it back as any other. */
    CHECK_NUMBER(held_in(t.shm, t.zone), 1);
    CHECK_NUMBER(rejected(&t, PERMIT_DRAINING), 0);
    give_back(&t.b, admitted.permit);
    CHECK_NUMBER(held_in(t.shm, t.zone), 1); /* the next one's */
    CHECK_NUMBER(t.b.spare_count, permit_get(&permit_region(t.shm)->parts[1].used));
    end_two(&t);
}

static void a_higher_limit_admits_and_a_lower_one_waits(void)
{
    struct permit_rules rules = rules_of(1, 10);
    struct two t = two_with(rules);
    struct answer all[6];
    for (int i = 0; i < 6; i++)
        all[i] = ask(i % 2 ? &t.b : &t.a, t.zone);
    rules.limit = 4;
    permit_zone_set(t.shm, t.zone, &rules);
    for (int i = 0; i < 6; i++)
        CHECK_NUMBER(look(i % 2 ? &t.b : &t.a, all[i].permit), i < 4 ? PERMIT_GO : PERMIT_WAIT);
    CU_ASSERT(is_called(&t.a));
    CU_ASSERT(is_called(&t.b));
    rules.limit = 2;
    permit_zone_set(t.shm, t.zone, &rules);
    CHECK_NUMBER(held_in(t.shm, t.zone), 4);
    give_back(&t.a, all[0].permit);
    give_back(&t.b, all[1].permit);
    CHECK_NUMBER(look(&t.a, all[4].permit), PERMIT_WAIT); /* two are held still: that is the limit */
    give_back(&t.a, all[2].permit);
    CHECK_NUMBER(look(&t.a, all[4].permit), PERMIT_GO);
    CHECK_NUMBER(look(&t.b, all[5].permit), PERMIT_WAIT);
    CHECK_NUMBER(held_in(t.shm, t.zone), 2);
    end_two(&t);
}

static struct answer try_dry(struct permit_user *u, unsigned zone)
{
    static const struct permit_about about;
    struct permit_request request = {.zone = zone, .now_us = clock_mono_us(), .dry_run = true};
    struct answer a;
    a.result = permit_acquire(u, &request, &about, &a.permit, &a.why);
    return a;
}

static void a_dry_run_keeps_nothing(void)
{
    struct permit_rules rules = rules_of(1, 1);
    struct two t = two_with(rules);
    struct permit_zone *z = zone_at(t.shm, t.zone);
    struct answer held = try_dry(&t.a, t.zone);
    CHECK_GO(held); /* held as any other, and to be given back */
    CHECK_NUMBER(held_in(t.shm, t.zone), 1);
    uint32_t used = permit_get(&permit_region(t.shm)->parts[1].used);
    for (int i = 0; i < 3; i++)
        CHECK_WAITS(try_dry(&t.b, t.zone));
    CHECK_NUMBER(z->dry_run_queued, 3);
    CHECK_NUMBER(queued_in(t.shm, t.zone), 0);
    rules.queue = 0;
    permit_zone_set(t.shm, t.zone, &rules);
    for (int i = 0; i < 3; i++)
        CHECK_NUMBER(try_dry(&t.b, t.zone).result, PERMIT_NO);
    CHECK_NUMBER(z->dry_run_rejected, 3);
    CHECK_NUMBER(rejected(&t, PERMIT_LIMIT) + rejected(&t, PERMIT_QUEUE_FULL), 0);
    CHECK_NUMBER(tags_of(t.shm, t.zone, PERMIT_QUEUED), 0);
    CU_ASSERT(permit_get(&permit_region(t.shm)->parts[1].used) <= used + 1);
    CHECK_NUMBER(t.b.spare_count, permit_get(&permit_region(t.shm)->parts[1].used));
    give_back(&t.a, held.permit);
    end_two(&t);
}

static void a_part_used_up_refuses(void)
{
    struct two t = two_with(rules_of(2 * SHM_PERMITS_PER_SLOT, 0));
    for (uint32_t i = 0; i < SHM_PERMITS_PER_SLOT; i++)
        if (ask(&t.a, t.zone).result != PERMIT_GO)
            CU_FAIL_FATAL("a permit was refused too early");
    CHECK_NUMBER(ask(&t.a, t.zone).result, PERMIT_NO);
    CHECK_NUMBER(ask(&t.a, t.zone).result, PERMIT_NO);
    CHECK_NUMBER(t.a.spare_count, 0);
    CHECK_NUMBER(permit_get(&permit_region(t.shm)->parts[0].used), SHM_PERMITS_PER_SLOT);
    CHECK_GO(ask(&t.b, t.zone)); /* another part has more */
    give_back(&t.a, 4711);
    struct answer again = ask(&t.a, t.zone);
    CHECK_GO(again);
    CHECK_NUMBER(again.permit, 4711);
    CHECK_NUMBER(held_in(t.shm, t.zone), SHM_PERMITS_PER_SLOT + 1);
    permit_close(&t.a);
    permit_reclaim(t.shm, 0);
    CHECK_NUMBER(held_in(t.shm, t.zone), 1);
    CHECK_NUMBER(zone_at(t.shm, t.zone)->reclaimed, SHM_PERMITS_PER_SLOT);
    t.a = user_in(t.shm, 0);
    CHECK_NUMBER(t.a.spare_count, SHM_PERMITS_PER_SLOT);
    end_two(&t);
}

static void what_a_dead_process_had_goes_to_the_others(void)
{
    struct two t = two_with(rules_of(2, 9));
    struct answer a = ask(&t.a, t.zone), b = ask(&t.b, t.zone);
    CHECK_GO(a);
    CHECK_GO(b);
    ask_for(&t.a, t.zone, PERMIT_LOW);
    struct answer low = ask_for(&t.b, t.zone, PERMIT_LOW);
    ask(&t.a, t.zone);
    struct answer normal = ask(&t.b, t.zone), last = ask(&t.b, t.zone);
    permit_reclaim(t.shm, 0);
    CHECK_ZONE(t.shm, t.zone);
    CHECK_NUMBER(look(&t.b, normal.permit), PERMIT_GO);
    CHECK_NUMBER(look(&t.b, last.permit), PERMIT_WAIT);
    CHECK_NUMBER(look(&t.b, low.permit), PERMIT_WAIT);
    CU_ASSERT(is_called(&t.b));
    CHECK_NUMBER(zone_at(t.shm, t.zone)->reclaimed, 1);
    CHECK_NUMBER(rejected(&t, PERMIT_CLIENT_GONE), 2);
    CHECK_NUMBER(queued_in(t.shm, t.zone), 2);
    CHECK_NUMBER(held_in(t.shm, t.zone), 2);
    permit_reclaim(t.shm, 0); /* a second time there is nothing more */
    CHECK_NUMBER(zone_at(t.shm, t.zone)->reclaimed, 1);
    end_two(&t);
}

/* b does not look at what it was given: it goes on to c, b waits in front again, and is counted once. */
static void a_grant_that_nobody_takes_up_goes_on(void)
{
    struct shm *shm = shm_create();
    unsigned zone = zone_of(shm, "tested", rules_of(1, 5));
    struct permit_user a = user_in(shm, 0), b = user_in(shm, 1), c = user_in(shm, 2);
    uint64_t now_us = clock_mono_us();
    struct answer held = ask_at(&a, zone, PERMIT_NORMAL, now_us),
                  first = ask_at(&b, zone, PERMIT_NORMAL, now_us),
                  second = ask_at(&c, zone, PERMIT_NORMAL, now_us);
    permit_release(&a, held.permit, now_us, 0);
    permit_tend(&c, zone, now_us + PERMIT_UPTAKE_US - 1);
    CHECK_NUMBER(look(&c, second.permit), PERMIT_WAIT); /* b has its time */
    permit_tend(&c, zone, now_us + PERMIT_UPTAKE_US);
    CHECK_NUMBER(look(&c, second.permit), PERMIT_GO);
    CHECK_NUMBER(look(&b, first.permit), PERMIT_WAIT);
    CHECK_ZONE(shm, zone);
    permit_heard(&b); /* it goes on */
    permit_release(&c, second.permit, now_us + 2 * PERMIT_UPTAKE_US, 0);
    CHECK_NUMBER(look(&b, first.permit), PERMIT_GO);
    CHECK_NUMBER(zone_at(shm, zone)->admitted, 3);
    CHECK_NUMBER(held_in(shm, zone), 1);
    CHECK_ZONE(shm, zone);
    permit_close(&a);
    permit_close(&b);
    permit_close(&c);
    shm_destroy(shm);
}

static const struct check_case cases[] = {
    {"as many as the limit", as_many_as_the_limit},
    {"a full queue refuses", a_full_queue_refuses},
    {"the oldest goes first over all processes", the_oldest_goes_first_over_all_processes},
    {"the highest priority goes first", the_highest_priority_goes_first},
    {"a higher one takes the newest low one's place", a_higher_one_takes_the_newest_low_ones_place},
    {"who has waited too long is refused", who_has_waited_too_long_is_refused},
    {"the late give their place in a full queue", the_late_give_their_place_in_a_full_queue},
    {"leaving in each state", leaving_in_each_state},
    {"a higher limit admits and a lower one waits", a_higher_limit_admits_and_a_lower_one_waits},
    {"a dry run keeps nothing", a_dry_run_keeps_nothing},
    {"a part used up refuses", a_part_used_up_refuses},
    {"what a dead process had goes to the others", what_a_dead_process_had_goes_to_the_others},
    {"a grant that nobody takes up goes on", a_grant_that_nobody_takes_up_goes_on},
};

CHECK_MAIN("shm/permit", cases)
