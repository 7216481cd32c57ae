/*
 * tests/unit/shm/test_permit_lock.c - a zone's lock whose holder is dead, stopped, or out of sight: taken over from the
 * dead within a moment, and from nobody else.
 */
#include "tests/unit/shm/permit_child.h"

enum { TAKEOVER_MS = 100, CONTENDERS = 3 };

struct stage {
    struct shm *shm;
    unsigned zone;
    struct signs {
        atomic_bool locked, unlocked;
        _Atomic int answers[PERMIT_NO + 1];
    } * signs;
    bool damage; /* what the holder leaves half done */
};

static struct stage stage_with(uint32_t limit, uint32_t queue)
{
    struct stage s = {.shm = shm_create(), .signs = shared_memory(sizeof *s.signs)};
    s.zone = zone_of(s.shm, "tested", rules_of(limit, queue));
    return s;
}

static void end_stage(struct stage *s)
{
    munmap(s->signs, sizeof *s->signs);
    shm_destroy(s->shm);
}

/* Takes the lock and keeps it until it is killed; with `damage` everything that is derived from the tags is wrong. */
static void hold_forever(void *with)
{
    struct stage *s = with;
    struct permit_user u = user_in(s->shm, 9);
    struct permit_zone *z = zone_at(s->shm, s->zone);
    ask(&u, s->zone);
    permit_lock(s->shm, s->zone);
    if (s->damage) {
        permit_set(&z->held, 0);
        permit_set(&z->queued, 3);
        permit_set(&z->waiting[PERMIT_HIGH], 1);
        for (int i = 0; i < PERMIT_PRIORITIES; i++)
            z->queues[i] = (struct permit_queue){4711, 12};
    }
    atomic_store(&s->signs->locked, true);
    for (;;)
        pause();
}

static void hold_stopped(void *with)
{
    struct stage *s = with;
    struct permit_user u = user_in(s->shm, 9);
    (void)u;
    permit_lock(s->shm, s->zone);
    atomic_store(&s->signs->locked, true);
    raise(SIGSTOP);
    atomic_store(&s->signs->unlocked, true);
    permit_unlock(zone_at(s->shm, s->zone));
}

static pid_t start_holder(struct stage *s, void (*hold)(void *))
{
    pid_t pid = child_start(hold, s);
    CHECK_EVENTUALLY(atomic_load(&s->signs->locked));
    CU_ASSERT(permit_get(&zone_at(s->shm, s->zone)->lock) == (uint32_t)pid);
    return pid;
}

/* Asks and gives back, and checks that it took no longer than a takeover may. */
static void check_taken_over(struct stage *s, struct permit_user *u)
{
    uint64_t since_us = clock_mono_us();
    struct answer a = ask(u, s->zone);
    uint64_t took_us = clock_mono_us() - since_us;
    CHECK_GO(a);
    CU_ASSERT(took_us < (uint64_t)TAKEOVER_MS * 1000 * check_slowness());
    CHECK_ZONE(s->shm, s->zone);
    give_back(u, a.permit);
    CHECK_NUMBER(zone_at(s->shm, s->zone)->lock, 0);
}

static void check_death(bool buried, bool damage)
{
    struct stage s = stage_with(2, 5);
    s.damage = damage;
    struct permit_user u = user_in(s.shm, 0);
    pid_t pid = start_holder(&s, hold_forever);
    child_kill(pid);
    if (buried)
        child_wait(pid);
    check_taken_over(&s, &u);
    /* The dead one's own: until the master takes it back. */
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    if (!buried)
        child_wait(pid);
    permit_reclaim(s.shm, 9);
    check_room(&u, s.zone, 2);
    permit_close(&u);
    end_stage(&s);
}

static void a_dead_holders_lock_is_taken_over(void)
{
    check_death(true, false);
    check_death(true, true);
}

static void so_is_a_zombies(void)
{
    check_death(false, false);
    check_death(false, true);
}

static void waiters_outlive_the_damage(void)
{
    struct stage s = stage_with(2, 9);
    struct permit_user a = user_in(s.shm, 0), b = user_in(s.shm, 1);
    struct answer held = ask(&a, s.zone), waiters[6];
    s.damage = true;
    pid_t pid = start_holder(&s, hold_forever); /* it holds the other one */
    child_kill(pid);
    child_wait(pid);
    waiters[0] = ask_for(&a, s.zone, PERMIT_LOW);
    for (int i = 1; i < 6; i++)
        waiters[i] = ask(i % 2 ? &b : &a, s.zone);
    CHECK_ZONE(s.shm, s.zone);
    CHECK_NUMBER(queued_in(s.shm, s.zone), 6);
    permit_reclaim(s.shm, 9);
    for (int i = 1; i < 6; i++)
        CHECK_NUMBER(look(i % 2 ? &b : &a, waiters[i].permit), i == 1 ? PERMIT_GO : PERMIT_WAIT);
    give_back(&a, held.permit);
    CHECK_NUMBER(look(&a, waiters[2].permit), PERMIT_GO);
    CHECK_ZONE(s.shm, s.zone);
    permit_close(&a);
    permit_close(&b);
    end_stage(&s);
}

/* It died after its permit was free again and before the one who waits got it: a newcomer must not come first. */
static void nobody_overtakes_those_who_wait(void)
{
    struct stage s = stage_with(1, 9);
    struct permit_user a = user_in(s.shm, 0), dead = user_in(s.shm, 9);
    struct answer held = ask(&dead, s.zone), first = ask(&a, s.zone);
    permit_set_tag(&permit_region(s.shm)->parts[9].permits[held.permit], PERMIT_FREE);
    zone_at(s.shm, s.zone)->lock = FUTEX_OWNER_DIED;
    struct answer second = ask(&a, s.zone);
    CHECK_WAITS(first);
    CHECK_WAITS(second);
    CHECK_ZONE(s.shm, s.zone);
    permit_reclaim(s.shm, 9);
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    CHECK_NUMBER(look(&a, first.permit), PERMIT_GO);
    CHECK_NUMBER(look(&a, second.permit), PERMIT_WAIT);
    permit_close(&a);
    permit_close(&dead);
    end_stage(&s);
}

static void ask_once(void *with)
{
    struct stage *s = with;
    int slot = 20;
    while (slot < 20 + CONTENDERS && atomic_exchange(&s->shm->slots[slot].pid, 1))
        slot++;
    struct permit_user u = user_in(s->shm, slot);
    atomic_fetch_add(&s->signs->answers[ask(&u, s->zone).result], 1);
}

static void one_of_many_takes_it_over(void)
{
    for (int round = 0; round < 5; round++) {
        struct stage s = stage_with(3, 0);
        s.damage = round % 2;
        pid_t children[CONTENDERS], pid = start_holder(&s, hold_forever);
        for (int i = 0; i < CONTENDERS; i++)
            children[i] = child_start(ask_once, &s);
        child_kill(pid);
        for (int i = 0; i < CONTENDERS; i++)
            CU_ASSERT(child_ended_well(children[i]));
        child_wait(pid);
        CHECK_ZONE(s.shm, s.zone);
        CHECK_NUMBER(zone_at(s.shm, s.zone)->lock, 0);
        CHECK_NUMBER(atomic_load(&s.signs->answers[PERMIT_GO]), 2);
        CHECK_NUMBER(atomic_load(&s.signs->answers[PERMIT_NO]), 1);
        end_stage(&s);
    }
}

static int answers(const struct stage *s)
{
    return atomic_load(&s->signs->answers[PERMIT_GO]) + atomic_load(&s->signs->answers[PERMIT_NO]);
}

/* That one who asks, in a way of its own, waits for a holder that lives but does not run. */
static void check_respected(void (*ask_somehow)(void *))
{
    struct stage s = stage_with(1, 0);
    pid_t holder = start_holder(&s, hold_stopped), other = child_start(ask_somehow, &s);
    CHECK_STAYS(answers(&s) == 0, 200);
    CHECK_NUMBER(zone_at(s.shm, s.zone)->lock, holder);
    kill(holder, SIGCONT);
    CU_ASSERT(child_ended_well(holder));
    CU_ASSERT(child_ended_well(other));
    CHECK_NUMBER(atomic_load(&s.signs->answers[PERMIT_GO]), 1);
    CHECK_ZONE(s.shm, s.zone);
    end_stage(&s);
}

static void a_stopped_holder_keeps_its_lock(void)
{
    check_respected(ask_once);
}

static void open_another_zone(void *with)
{
    struct stage *s = with;
    struct permit_rules rules = rules_of(1, 0);
    const char *none[] = {NULL};
    int zone = permit_zone_open(s->shm, "another", &rules, none);
    atomic_fetch_add(&s->signs->answers[zone == (int)s->zone ? PERMIT_GO : PERMIT_NO], 1);
}

/* Nobody wants the zone and nothing is in it, but somebody of an older configuration is just about to ask there. */
static void a_zones_place_is_not_given_away_under_a_holder(void)
{
    char name[PERMIT_NAME_BYTES];
    struct stage s = stage_with(1, 0);
    for (int i = 1; i < PERMIT_ZONES; i++) {
        snprintf(name, sizeof name, "kept-%d", i);
        unsigned zone = zone_of(s.shm, name, rules_of(1, 0));
        permit_set(&zone_at(s.shm, zone)->held, 1); /* in use: only the first one is to be had */
    }
    pid_t holder = start_holder(&s, hold_stopped), opener = child_start(open_another_zone, &s);
    CHECK_STAYS(permit_get(&zone_at(s.shm, s.zone)->lock) == (uint32_t)holder, 100);
    kill(holder, SIGCONT);
    CU_ASSERT(child_ended_well(holder));
    CU_ASSERT(child_ended_well(opener));
    CHECK_NUMBER(answers(&s), 1);
    end_stage(&s);
}

/* Where /proc is not mounted, or hides the processes of other users, a holder must not count as dead for that. */
static char no_proc[] = "/tmp/permit-XXXXXX";

static void ask_without_proc(void *with)
{
    if (chroot(no_proc) < 0 || chdir("/") < 0)
        _exit(1);
    ask_once(with);
}

/* Only root can go where there is no /proc. */
static bool without_proc(void)
{
    strcpy(no_proc + strlen(no_proc) - 6, "XXXXXX");
    return geteuid() == 0 && mkdtemp(no_proc);
}

static void so_does_one_that_cannot_be_seen(void)
{
    if (!without_proc())
        return;
    check_respected(ask_without_proc);
    CHECK_NUMBER(rmdir(no_proc), 0);
}

static void a_buried_holder_is_known_without_proc(void)
{
    if (!without_proc())
        return;
    struct stage s = stage_with(2, 0);
    pid_t pid = start_holder(&s, hold_forever);
    child_kill(pid);
    child_wait(pid);
    pid_t other = child_start(ask_without_proc, &s);
    CU_ASSERT(child_ended_well(other));
    CHECK_NUMBER(atomic_load(&s.signs->answers[PERMIT_GO]), 1);
    CHECK_NUMBER(rmdir(no_proc), 0);
    end_stage(&s);
}

static const struct check_case cases[] = {
    {"a dead holder's lock is taken over", a_dead_holders_lock_is_taken_over},
    {"so is a zombie's", so_is_a_zombies},
    {"waiters outlive the damage", waiters_outlive_the_damage},
    {"nobody overtakes those who wait", nobody_overtakes_those_who_wait},
    {"one of many takes it over", one_of_many_takes_it_over},
    {"a stopped holder keeps its lock", a_stopped_holder_keeps_its_lock},
    {"a zone's place is not given away under a holder", a_zones_place_is_not_given_away_under_a_holder},
    {"so does one that cannot be seen", so_does_one_that_cannot_be_seen},
    {"a buried holder is known without /proc", a_buried_holder_is_known_without_proc},
};

CHECK_MAIN("shm/permit_lock", cases)
