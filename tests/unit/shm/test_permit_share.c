/*
 * tests/unit/shm/test_permit_share.c - permits that two binaries share: one limit over both, and what is left when one of them is
 * gone.
 */
#include "tests/unit/shm/permit_child.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

/* Two masters with a worker each, and a zone that both know. */
struct pair {
    struct shm *old, *new;
    struct permit_user old_worker, new_worker;
    unsigned zone;
};

static struct shm *take_over_from(struct shm *old)
{
    struct shm *new = shm_create();
    CU_ASSERT_FATAL(new && old->permits_fd >= 0);
    memcpy(new->permit_names, old->permit_names, sizeof new->permit_names);
    CU_ASSERT_FATAL(permit_take_over(new, dup(old->permits_fd), !old->side));
    old->shares_permits = true;
    return new;
}

static struct pair pair_with(struct permit_rules rules)
{
    struct pair p = {.old = shm_create()};
    p.zone = zone_of(p.old, "tested", rules);
    p.old_worker = user_in(p.old, 0);
    p.new = take_over_from(p.old);
    p.new_worker = user_in(p.new, 0);
    return p;
}

static void end_pair(struct pair *p)
{
    CHECK_ZONE(p->old, p->zone);
    permit_close(&p->old_worker);
    permit_close(&p->new_worker);
    shm_destroy(p->old);
    shm_destroy(p->new);
}

static void one_limit_over_both(void)
{
    struct pair p = pair_with(rules_of(2, 5));
    struct answer first = ask(&p.old_worker, p.zone), second = ask(&p.new_worker, p.zone),
                  third = ask(&p.new_worker, p.zone), fourth = ask(&p.old_worker, p.zone);
    CHECK_NUMBER(first.result, PERMIT_GO);
    CHECK_NUMBER(second.result, PERMIT_GO);
    CHECK_NUMBER(third.result, PERMIT_WAIT);
    CHECK_NUMBER(fourth.result, PERMIT_WAIT);
    CHECK_NUMBER(held_in(p.new, p.zone), 2);
    give_back(&p.old_worker, first.permit);
    CU_ASSERT(is_called(&p.new_worker));
    CHECK_NUMBER(look(&p.new_worker, third.permit), PERMIT_GO);
    give_back(&p.new_worker, second.permit);
    CHECK_NUMBER(look(&p.old_worker, fourth.permit), PERMIT_GO);
    give_back(&p.old_worker, fourth.permit);
    give_back(&p.new_worker, third.permit);
    end_pair(&p);
}

/* The same slot's worker of the other binary keeps what it has. */
static void each_master_gives_back_its_own(void)
{
    struct pair p = pair_with(rules_of(2, 0));
    ask(&p.old_worker, p.zone);
    ask(&p.new_worker, p.zone);
    permit_reclaim(p.new, 0);
    CHECK_NUMBER(held_in(p.old, p.zone), 1);
    CHECK_ZONE(p.old, p.zone);
    permit_reclaim(p.old, 0);
    CHECK_NUMBER(held_in(p.old, p.zone), 0);
    end_pair(&p);
}

/* What one counts anew has what the other one's workers hold, whatever that says of its slots. */
static void tables_made_anew_keep_what_the_other_holds(void)
{
    struct pair p = pair_with(rules_of(2, 0));
    struct answer old = ask(&p.old_worker, p.zone);
    ask(&p.new_worker, p.zone);
    permit_begin_anew(p.new);
    CHECK_NUMBER(held_in(p.old, p.zone), 1);
    give_back(&p.old_worker, old.permit);
    CHECK_NUMBER(held_in(p.old, p.zone), 0);
    end_pair(&p);
}

static void the_other_binarys_rules_are_no_damage(void)
{
    struct pair p = pair_with(rules_of(2, 0));
    struct permit_rules more = rules_of(5, 1);
    permit_zone_set(p.new, p.zone, &more);
    CU_ASSERT(permit_is_sane(p.old) && permit_is_sane(p.new));
    CHECK_NUMBER(zone_at(p.old, p.zone)->limit, 5);
    permit_close(&p.new_worker);
    atomic_store(&p.new_worker.part->owner, 0); /* it has ended */
    CHECK_NUMBER(permit_reclaim_other(p.old), 0);
    CHECK_NUMBER(zone_at(p.old, p.zone)->limit, 2); /* our rules again */
    zone_at(p.old, p.zone)->rules.limit = 9;
    CU_ASSERT(!permit_is_sane(p.old));
    zone_at(p.old, p.zone)->rules.limit = 2;
    p.new_worker = user_in(p.new, 0);
    end_pair(&p);
}

static void new_zones_have_numbers_of_their_own(void)
{
    struct pair p = pair_with(rules_of(2, 0));
    unsigned of_new = zone_of(p.new, "new", rules_of(3, 0)), of_old = zone_of(p.old, "old", rules_of(4, 0)),
             again = zone_of(p.new, "again", rules_of(5, 0));
    CU_ASSERT(of_new != of_old && again != of_old && again != of_new && of_new != p.zone);
    CHECK_NUMBER(zone_of(p.old, "tested", rules_of(1, 1)), p.zone);
    CHECK_NUMBER(zone_of(p.new, "tested", rules_of(1, 1)), p.zone);
    CHECK_NUMBER(zone_at(p.new, of_old)->limit, 4);
    end_pair(&p);
}

/* All are in use by one of the two: there is no number, and none is taken from the other. */
static void the_other_binarys_zones_are_not_taken(void)
{
    struct pair p = pair_with(rules_of(2, 0));
    struct permit_rules rules = rules_of(1, 0);
    char name[16];
    for (int i = 1; i < PERMIT_ZONES; i++) {
        snprintf(name, sizeof name, "zone %d", i);
        CU_ASSERT(permit_zone_open(i % 2 ? p.old : p.new, name, &rules, nobody_wants) >= 0);
    }
    CHECK_NUMBER(permit_zone_open(p.new, "one more", &rules, nobody_wants), -1);
    CHECK_NUMBER(permit_zone_open(p.old, "one more", &rules, nobody_wants), -1);
    atomic_store(&p.new_worker.part->owner, 0);
    CHECK_NUMBER(permit_reclaim_other(p.old), 0);
    CU_ASSERT(permit_zone_open(p.old, "one more", &rules, nobody_wants) >= 0);
    end_pair(&p);
}

struct orphan {
    struct pair *pair;
    atomic_bool *holds;
};

static void hold_as_orphan(void *with)
{
    struct orphan *o = with;
    struct permit_user u = user_in(o->pair->old, 3);
    ask(&u, o->pair->zone);
    atomic_store(o->holds, true);
    for (;;)
        pause();
}

/* The old binary's master is gone; its worker lives on, and then dies with a permit. */
static void orphans_keep_what_they_have_until_they_die(void)
{
    struct pair p = pair_with(rules_of(1, 5));
    struct orphan orphan = {&p, shared_memory(sizeof(atomic_bool))};
    permit_close(&p.old_worker);
    atomic_store(&p.old_worker.part->owner, 0);
    pid_t pid = child_start(hold_as_orphan, &orphan);
    while (!atomic_load(orphan.holds))
        sched_yield();
    struct answer waits = ask(&p.new_worker, p.zone);
    CHECK_NUMBER(permit_reclaim_other(p.new), 1);
    CU_ASSERT(p.new->shares_permits);
    CHECK_NUMBER(look(&p.new_worker, waits.permit), PERMIT_WAIT);
    child_kill(pid);
    CHECK_NUMBER(permit_reclaim_other(p.new), 0);
    CU_ASSERT(!p.new->shares_permits);
    CHECK_NUMBER(look(&p.new_worker, waits.permit), PERMIT_GO);
    CHECK_NUMBER(zone_at(p.new, p.zone)->reclaimed, 1);
    give_back(&p.new_worker, waits.permit);
    child_wait(pid);
    munmap(orphan.holds, sizeof(atomic_bool));
    p.old_worker = user_in(p.old, 0);
    end_pair(&p);
}

/* What is written on the other side while there is no other binary was made up. */
static void nobody_is_on_the_other_side(void)
{
    struct shm *shm = shm_create();
    unsigned zone = zone_of(shm, "tested", rules_of(2, 0));
    struct permit_part *part = &permit_region(shm)->parts[SHM_SLOTS + 5];
    shm->slots_known = 1;
    permit_set(&permit_region(shm)->slots_used[1], 6);
    permit_set(&part->used, 2);
    permit_set_tag(&part->permits[1], permit_tag(PERMIT_HELD, zone, PERMIT_NORMAL, PERMIT_LIMIT));
    permit_reclaim(shm, -1);
    CHECK_NUMBER(held_in(shm, zone), 0);
    shm->shares_permits = true;
    permit_reclaim(shm, -1);
    CHECK_NUMBER(held_in(shm, zone), 1);
    shm->shares_permits = false;
    permit_clear_empty(shm, -1);
    permit_reclaim(shm, -1);
    CHECK_NUMBER(held_in(shm, zone), 0);
    shm_destroy(shm);
}

static void what_is_no_such_file_is_not_taken(void)
{
    struct shm *shm = shm_create();
    struct permit_region *own = shm->permits;
    int unsealed = memfd_create("test", MFD_CLOEXEC), small = fd_memory_file("test", SLICE("small")),
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
    CU_ASSERT_FATAL(unsealed >= 0 && small >= 0 && null >= 0);
    CU_ASSERT(ftruncate(unsealed, sizeof(struct permit_region)) == 0);
    int fds[] = {unsealed, small, null, -1, 4711};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        errno = 0;
        CU_ASSERT(!permit_take_over(shm, fds[i], 1) && errno == EINVAL);
        CU_ASSERT(shm->permits == own && shm->side == 0 && !shm->shares_permits);
    }
    close(unsealed);
    close(small);
    close(null);
    shm_destroy(shm);
}

/* A third binary takes the first one's side, and finds it empty. */
static void sides_are_used_again(void)
{
    struct pair p = pair_with(rules_of(2, 0));
    struct answer left = ask(&p.old_worker, p.zone);
    CHECK_NUMBER(left.result, PERMIT_GO);
    atomic_store(&p.old_worker.part->owner, 0); /* and is gone with its permit */
    CHECK_NUMBER(permit_reclaim_other(p.new), 0);
    CHECK_NUMBER(held_in(p.new, p.zone), 0);
    struct shm *third = take_over_from(p.new);
    CHECK_NUMBER(third->side, p.old->side);
    struct permit_user u = user_in(third, 0);
    CHECK_NUMBER(ask(&u, p.zone).result, PERMIT_GO);
    CHECK_NUMBER(ask(&p.new_worker, p.zone).result, PERMIT_GO);
    CHECK_NUMBER(ask(&u, p.zone).result, PERMIT_NO);
    permit_close(&u);
    shm_destroy(third);
    end_pair(&p);
}

static void the_other_master_is_asked_once(void)
{
    struct pair p = pair_with(rules_of(2, 0));
    permit_report_stuck(p.new, 4711);
    CHECK_NUMBER(permit_take_stuck(p.new), 0);
    CHECK_NUMBER(permit_take_stuck(p.old), 4711);
    CHECK_NUMBER(permit_take_stuck(p.old), 0);
    end_pair(&p);
}

static const struct check_case cases[] = {
    {"one limit over both", one_limit_over_both},
    {"each master gives back its own", each_master_gives_back_its_own},
    {"tables made anew keep what the other holds", tables_made_anew_keep_what_the_other_holds},
    {"the other binary's rules are no damage", the_other_binarys_rules_are_no_damage},
    {"new zones have numbers of their own", new_zones_have_numbers_of_their_own},
    {"the other binary's zones are not taken", the_other_binarys_zones_are_not_taken},
    {"orphans keep what they have until they die", orphans_keep_what_they_have_until_they_die},
    {"nobody is on the other side", nobody_is_on_the_other_side},
    {"what is no such file is not taken", what_is_no_such_file_is_not_taken},
    {"sides are used again", sides_are_used_again},
    {"the other master is asked once", the_other_master_is_asked_once},
};

CHECK_MAIN("shm/permit_share", cases)
