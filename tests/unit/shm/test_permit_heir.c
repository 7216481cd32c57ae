/*
 * tests/unit/shm/test_permit_heir.c - a permit whose work runs in another process passes on to that one when its own dies, at
 * whichever step that is.
 */
#include "tests/unit/shm/permit_help.h"

enum { ENTRY = 3, TAG = 7 * SHM_LENT_STEP, LENDER = 0, BORROWER = 1 };

struct stage {
    struct shm *shm;
    struct permit_user lender, borrower;
    unsigned zone;
    struct answer held;
    uint32_t heir;
};

static void set_entry(struct stage *s, uint64_t word)
{
    atomic_store(&s->shm->slots[LENDER].lent[ENTRY], word);
}

static struct permit_lender name_of(const struct stage *s)
{
    return (struct permit_lender){.slot = LENDER, .permit = s->held.permit, .entry = ENTRY, .tag = TAG};
}

/* The lender holds a permit of two, and the work has been sent: it waits. */
static struct stage stage_with_heir(void)
{
    struct stage s = {.shm = shm_create()};
    CU_ASSERT_PTR_NOT_NULL_FATAL(s.shm);
    s.zone = zone_of(s.shm, "tested", rules_of(2, 5));
    s.lender = user_in(s.shm, LENDER);
    s.borrower = user_in(s.shm, BORROWER);
    s.held = ask_for(&s.lender, s.zone, PERMIT_LOW);
    set_entry(&s, TAG | SHM_LENT_WAITS);
    struct permit_lender lender = name_of(&s);
    CU_ASSERT_FATAL(permit_heir_open(&s.borrower, &lender, &s.heir));
    return s;
}

static void end_stage(struct stage *s)
{
    CHECK_NUMBER(held_in(s->shm, s->zone), 0);
    CHECK_ZONE(s->shm, s->zone);
    CHECK_NUMBER(s->borrower.spare_count, s->borrower.used);
    permit_close(&s->lender);
    permit_close(&s->borrower);
    shm_destroy(s->shm);
}

static void close_heir(struct permit_user *u, uint32_t heir)
{
    if (!permit_heir_close(u, heir))
        give_back(u, heir);
}

static uint32_t heir_tag(struct stage *s)
{
    return permit_region(s->shm)->parts[BORROWER].permits[s->heir].tag;
}

static uint64_t reclaimed(struct stage *s)
{
    return zone_at(s->shm, s->zone)->reclaimed;
}

static void an_heir_counts_for_nothing(void)
{
    struct stage s = stage_with_heir();
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    permit_reclaim(s.shm, -1);
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    close_heir(&s.borrower, s.heir);
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    give_back(&s.lender, s.held.permit);
    end_stage(&s);
}

static void work_that_has_begun_keeps_its_permit(void)
{
    struct stage s = stage_with_heir();
    set_entry(&s, TAG | SHM_LENT_BEGUN);
    permit_reclaim(s.shm, LENDER);
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    CHECK_NUMBER(reclaimed(&s), 0);
    CHECK_NUMBER(permit_tag_priority(heir_tag(&s)), PERMIT_LOW);
    CHECK_ZONE(s.shm, s.zone);
    permit_reclaim(s.shm, LENDER); /* and only once */
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    close_heir(&s.borrower, s.heir);
    end_stage(&s);
}

/* The one who waits is let in when the work has ended, not when the lender dies. */
static void a_waiter_comes_after_the_work(void)
{
    struct stage s = stage_with_heir();
    struct answer other = ask(&s.borrower, s.zone), waits = ask(&s.borrower, s.zone);
    set_entry(&s, TAG | SHM_LENT_BEGUN);
    permit_reclaim(s.shm, LENDER);
    CHECK_NUMBER(look(&s.borrower, waits.permit), PERMIT_WAIT);
    close_heir(&s.borrower, s.heir);
    CHECK_NUMBER(look(&s.borrower, waits.permit), PERMIT_GO);
    give_back(&s.borrower, waits.permit);
    give_back(&s.borrower, other.permit);
    end_stage(&s);
}

/* The lender's permit is free, and nobody can begin the work any more. */
static void work_that_has_not_begun_is_over(void)
{
    struct stage s = stage_with_heir();
    permit_reclaim(s.shm, LENDER);
    CHECK_NUMBER(s.shm->slots[LENDER].lent[ENTRY], 0);
    CHECK_NUMBER(held_in(s.shm, s.zone), 0);
    CHECK_NUMBER(reclaimed(&s), 1);
    close_heir(&s.borrower, s.heir);
    end_stage(&s);
}

/* Its entry is another request's by now. */
static void work_that_was_taken_back_inherits_nothing(void)
{
    struct stage s = stage_with_heir();
    set_entry(&s, (TAG + SHM_LENT_STEP) | SHM_LENT_BEGUN);
    permit_reclaim(s.shm, LENDER);
    CHECK_NUMBER(held_in(s.shm, s.zone), 0);
    close_heir(&s.borrower, s.heir);
    end_stage(&s);
}

/* The work was given up, its permit has gone back and is another request's, of another time. */
static void a_permit_given_back_is_not_inherited(void)
{
    struct stage s = stage_with_heir();
    set_entry(&s, TAG | SHM_LENT_BEGUN);
    give_back(&s.lender, s.held.permit);
    s.held = ask_at(&s.lender, s.zone, PERMIT_LOW, clock_mono_us() + 1000);
    CHECK_NUMBER(s.held.result, PERMIT_GO);
    permit_reclaim(s.shm, LENDER);
    CHECK_NUMBER(held_in(s.shm, s.zone), 0);
    CHECK_NUMBER(reclaimed(&s), 1);
    close_heir(&s.borrower, s.heir);
    end_stage(&s);
}

static void a_permit_has_one_heir(void)
{
    struct stage s = stage_with_heir();
    struct permit_user third = user_in(s.shm, 2);
    struct permit_lender lender = name_of(&s);
    uint32_t second;
    CU_ASSERT_FATAL(permit_heir_open(&third, &lender, &second));
    set_entry(&s, TAG | SHM_LENT_BEGUN);
    permit_reclaim(s.shm, LENDER);
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    close_heir(&third, second);
    close_heir(&s.borrower, s.heir);
    permit_close(&third);
    end_stage(&s);
}

static void the_borrowers_death_leaves_the_lenders(void)
{
    struct stage s = stage_with_heir();
    set_entry(&s, TAG | SHM_LENT_BEGUN);
    permit_reclaim(s.shm, BORROWER);
    CHECK_NUMBER(heir_tag(&s), PERMIT_FREE);
    CHECK_NUMBER(held_in(s.shm, s.zone), 1);
    permit_reclaim(s.shm, LENDER);
    CHECK_NUMBER(held_in(s.shm, s.zone), 0);
    permit_put_spare(&s.borrower, s.heir); /* its successor begins so */
    end_stage(&s);
}

static void there_is_no_heir_of_what_is_free_or_cannot_be(void)
{
    struct stage s = stage_with_heir();
    struct permit_lender lender = name_of(&s);
    uint32_t heir;
    close_heir(&s.borrower, s.heir);
    give_back(&s.lender, s.held.permit);
    CU_ASSERT_FALSE(permit_heir_open(&s.borrower, &lender, &heir));
    lender.permit = SHM_PERMITS_PER_SLOT;
    CU_ASSERT_FALSE(permit_heir_open(&s.borrower, &lender, &heir));
    lender = name_of(&s);
    lender.entry = SHM_LENT;
    CU_ASSERT_FALSE(permit_heir_open(&s.borrower, &lender, &heir));
    end_stage(&s);
}

/* Somebody writes into the heir what leads nowhere. */
static void a_bent_heir_inherits_nothing(void)
{
    static const uint32_t bent[][2] = {{0, ENTRY}, {UINT32_MAX, ENTRY}, {1, SHM_LENT}, {1, UINT32_MAX}};
    for (size_t i = 0; i < sizeof bent / sizeof bent[0]; i++) {
        struct stage s = stage_with_heir();
        struct permit *p = &permit_region(s.shm)->parts[BORROWER].permits[s.heir];
        p->older = bent[i][0];
        p->newer = bent[i][1];
        set_entry(&s, TAG | SHM_LENT_BEGUN);
        permit_reclaim(s.shm, LENDER);
        CHECK_NUMBER(held_in(s.shm, s.zone), 0);
        close_heir(&s.borrower, s.heir);
        end_stage(&s);
    }
}

static const struct check_case cases[] = {
    {"an heir counts for nothing", an_heir_counts_for_nothing},
    {"work that has begun keeps its permit", work_that_has_begun_keeps_its_permit},
    {"a waiter comes after the work", a_waiter_comes_after_the_work},
    {"work that has not begun is over", work_that_has_not_begun_is_over},
    {"work that was taken back inherits nothing", work_that_was_taken_back_inherits_nothing},
    {"a permit given back is not inherited", a_permit_given_back_is_not_inherited},
    {"a permit has one heir", a_permit_has_one_heir},
    {"the borrower's death leaves the lender's", the_borrowers_death_leaves_the_lenders},
    {"there is no heir of what is free or cannot be", there_is_no_heir_of_what_is_free_or_cannot_be},
    {"a bent heir inherits nothing", a_bent_heir_inherits_nothing},
};

CHECK_MAIN("shm/permit_heir", cases)
