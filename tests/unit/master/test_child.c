/*
 * tests/unit/master/test_child.c - the states of a worker by a clock that the test sets: starts and pauses, words, ends.
 */
#include "tests/unit/master/calls.h"

enum { NOW = 50000, GENERATION = 3 };

static struct child child_in(enum child_state state)
{
    struct child c = CHILD_OF_NOBODY;
    child_begin(&c, FIRST_PID, 10, 11, GENERATION, NOW);
    if (state == CHILD_READY || state == CHILD_RETIRING)
        child_take_message(&c, &(struct worker_message){.kind = WORKER_READY}, GENERATION, NOW);
    if (state == CHILD_RETIRING)
        child_retire(&c, 0);
    return c;
}

/* It has ended, and its descriptors are closed. */
static void bury(struct child *c)
{
    c->ended = true;
    c->channel = c->reports = -1;
}

static void a_start_forgets_what_was_before(void)
{
    struct child c = CHILD_OF_NOBODY;
    c.kill_at_ms = c.unread_until_ms = c.abort_ms = 1;
    c.silent_looks = 9;
    c.killed = c.owes_reload = c.ended = c.killed_for_lock = true;
    c.pause_ms = 400;
    c.index = 2;
    CU_ASSERT(!child_is_alive(&c));
    child_begin(&c, FIRST_PID, 10, 11, GENERATION, NOW);
    CU_ASSERT(child_is_alive(&c) && c.state == CHILD_STARTING);
    CHECK_NUMBER(c.pid, FIRST_PID);
    CHECK_NUMBER(c.channel, 10);
    CHECK_NUMBER(c.reports, 11);
    CHECK_NUMBER(c.generation, GENERATION);
    CHECK_NUMBER(c.started_ms, NOW);
    CHECK_NUMBER(c.heard_ms, NOW);
    CHECK_NUMBER(c.index, 2);
    CHECK_NUMBER(c.pause_ms, 400);
    CHECK_NUMBER(c.kill_at_ms + c.unread_until_ms + c.abort_ms + (uint64_t)c.silent_looks, 0);
    CU_ASSERT(!c.killed && !c.owes_reload && !c.ended && !c.killed_for_lock);
}

static void pauses_double_up_to_their_bound(void)
{
    static const uint64_t starting[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    static const uint64_t ready[] = {100, 200, 400, 400};
    struct child c = CHILD_OF_NOBODY;
    uint64_t now = NOW;
    for (size_t i = 0; i < sizeof starting / sizeof starting[0]; i++, now += 7) {
        child_begin(&c, FIRST_PID, 10, 11, GENERATION, now);
        bury(&c);
        child_wait_for_successor(&c, false, now);
        CU_ASSERT(c.state == CHILD_WAITING);
        CHECK_NUMBER(c.pause_ms, starting[i]);
        CHECK_NUMBER(c.start_at_ms, now + starting[i]);
    }
    child_wait_to_start(&c, now);
    CHECK_NUMBER(c.pause_ms, 10000);
    c = CHILD_OF_NOBODY;
    child_wait_to_start(&c, now);
    CHECK_NUMBER(c.pause_ms, 100);
    c = CHILD_OF_NOBODY;
    for (size_t i = 0; i < sizeof ready / sizeof ready[0]; i++) {
        child_begin(&c, FIRST_PID, 10, 11, GENERATION, now);
        child_take_message(&c, &(struct worker_message){.kind = WORKER_READY}, GENERATION, now);
        bury(&c);
        child_wait_for_successor(&c, false, now);
        CHECK_NUMBER(c.pause_ms, ready[i]);
    }
    child_begin(&c, FIRST_PID, 10, 11, GENERATION, now);
    bury(&c);
    child_wait_for_successor(&c, true, now);
    CHECK_NUMBER(c.pause_ms, 0);
    CHECK_NUMBER(c.start_at_ms, now);
}

static void words_change_the_state_they_are_for(void)
{
    struct worker_message m = {.kind = WORKER_READY};
    struct child c = child_in(CHILD_STARTING);
    CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW + 5), CHILD_NEWS_NONE);
    CU_ASSERT(c.state == CHILD_READY);
    CHECK_NUMBER(c.heard_ms, NOW + 5);
    c = child_in(CHILD_RETIRING);
    CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW + 5), CHILD_NEWS_NONE);
    CU_ASSERT(c.state == CHILD_RETIRING); /* it does not come back */
    CHECK_NUMBER(c.heard_ms, NOW);
    m.kind = WORKER_TURNS;
    c.silent_looks = 3;
    c.abort_ms = 1;
    CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW + 6), CHILD_NEWS_NONE);
    CHECK_NUMBER(c.heard_ms, NOW + 6);
    CHECK_NUMBER(c.silent_looks, 0);
    CHECK_NUMBER(c.abort_ms, 0);
    m = (struct worker_message){.kind = WORKER_LOCK_STUCK, .pid = 7};
    CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW), CHILD_NEWS_LOCK_STUCK);
}

static void an_answer_to_a_reload_is_of_its_generation(void)
{
    struct worker_message m = {.kind = WORKER_RELOADED, .generation = GENERATION - 1};
    struct child c = child_in(CHILD_READY);
    c.owes_reload = true;
    CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW), CHILD_NEWS_NONE);
    m.kind = WORKER_RELOAD_FAILED;
    CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW), CHILD_NEWS_NONE);
    CU_ASSERT(c.owes_reload);
    m.generation = GENERATION;
    CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW), CHILD_NEWS_RELOAD_FAILED);
    CU_ASSERT(!c.owes_reload);
    c.owes_reload = true;
    m.kind = WORKER_RELOADED;
    CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW), CHILD_NEWS_NONE);
    CU_ASSERT(!c.owes_reload);
}

/* What a worker that has been taken over may send. */
static void other_words_change_nothing(void)
{
    static const int kinds[] = {-1,        WORKER_RELOAD, WORKER_LOOK, WORKER_ASKED, WORKER_TURNS + 1,
                                INT32_MAX, INT32_MIN};
    struct child c = child_in(CHILD_STARTING), before = c;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct worker_message m = {.kind = kinds[i], .generation = GENERATION};
        CHECK_NUMBER(child_take_message(&c, &m, GENERATION, NOW + 1), CHILD_NEWS_NONE);
        CHECK_NUMBER(c.state, before.state);
        CHECK_NUMBER(c.heard_ms, before.heard_ms);
    }
}

static void ends_are_told_apart(void)
{
    static const struct {
        enum child_state state;
        int status;
        bool stopping;
        uint64_t lived_ms;
        struct child_end end;
    } cases[] = {
        {CHILD_STARTING, 1 << 8, false, 5000, {false, true, false, false}},
        {CHILD_READY, 1 << 8, false, 999, {false, true, false, false}},
        {CHILD_READY, 1 << 8, false, 1000, {false, true, false, true}},
        {CHILD_READY, 0, true, 1000, {false, false, false, true}},
        {CHILD_READY, SIGSEGV, false, 1000, {true, true, false, true}},
        {CHILD_READY, SIGSEGV, true, 0, {true, true, false, false}},
        {CHILD_RETIRING, 0, false, 5000, {false, false, false, false}},
        {CHILD_RETIRING, 3 << 8, false, 5000, {false, false, false, false}},
        {CHILD_RETIRING, SIGKILL, false, 5000, {true, true, false, false}}, /* by somebody else */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct child c = child_in(cases[i].state);
        struct child_end end = child_end_of(&c, cases[i].status, cases[i].stopping, NOW + cases[i].lived_ms);
        char name[16];
        snprintf(name, sizeof name, "case %zu", i);
        CHECK_FOR(name, end.by_signal == cases[i].end.by_signal && end.unplanned == cases[i].end.unplanned);
        CHECK_FOR(name, end.overdue == cases[i].end.overdue && end.well == cases[i].end.well);
    }
    struct child c = child_in(CHILD_RETIRING);
    child_retire(&c, NOW + 10);
    CU_ASSERT(!child_end_of(&c, SIGKILL, false, NOW + 10).overdue); /* it has not been killed yet */
    CHECK_NUMBER(child_due(&c, NOW + 10), CHILD_DUTY_KILL);
    CU_ASSERT(child_end_of(&c, SIGKILL, false, NOW + 10).overdue);
    CU_ASSERT(!child_end_of(&c, SIGTERM, false, NOW + 10).overdue);
    CU_ASSERT(!child_end_of(&c, 0, false, NOW + 10).overdue); /* it was faster */
}

static void patience_ends_with_the_soonest(void)
{
    CHECK_NUMBER(child_kill_at_ms(SIGTERM, 0, NOW), NOW + 1000);
    CHECK_NUMBER(child_kill_at_ms(SIGTERM, 60000, NOW), NOW + 1000);
    CHECK_NUMBER(child_kill_at_ms(SIGQUIT, 0, NOW), 0);
    CHECK_NUMBER(child_kill_at_ms(SIGQUIT, 60000, NOW), NOW + 60500);
    struct child c = child_in(CHILD_READY);
    child_retire(&c, 0);
    CHECK_NUMBER(c.kill_at_ms, 0);
    child_retire(&c, NOW + 500);
    child_retire(&c, NOW + 900);
    child_retire(&c, 0);
    CHECK_NUMBER(c.kill_at_ms, NOW + 500);
    child_retire(&c, NOW + 100);
    CHECK_NUMBER(c.kill_at_ms, NOW + 100);
    CU_ASSERT(c.state == CHILD_RETIRING);
}

static void duties_are_due_once(void)
{
    struct child c = CHILD_OF_NOBODY;
    CHECK_NUMBER(child_due(&c, NOW), CHILD_DUTY_NONE);
    CHECK_NUMBER(child_next_ms(&c, NOW), UINT64_MAX);
    child_wait_to_start(&c, NOW);
    CHECK_NUMBER(child_next_ms(&c, NOW), NOW + 100);
    CHECK_NUMBER(child_due(&c, NOW + 99), CHILD_DUTY_NONE);
    CHECK_NUMBER(child_due(&c, NOW + 100), CHILD_DUTY_START);
    child_begin(&c, FIRST_PID, 10, 11, GENERATION, NOW + 100);
    CHECK_NUMBER(child_due(&c, NOW + 100), CHILD_DUTY_NONE);
    CHECK_NUMBER(child_next_ms(&c, NOW + 100), UINT64_MAX);
    child_retire(&c, NOW + 300);
    CHECK_NUMBER(child_next_ms(&c, NOW + 200), NOW + 300);
    CHECK_NUMBER(child_due(&c, NOW + 299), CHILD_DUTY_NONE);
    CHECK_NUMBER(child_due(&c, NOW + 300), CHILD_DUTY_KILL);
    CHECK_NUMBER(child_due(&c, NOW + 301), CHILD_DUTY_NONE);
    CHECK_NUMBER(child_next_ms(&c, NOW + 301), UINT64_MAX); /* its end comes by a signal */
}

static void who_has_served_for_long_is_trusted_again(void)
{
    struct child c = child_in(CHILD_READY);
    c.pause_ms = 400;
    CHECK_NUMBER(child_next_ms(&c, NOW), NOW + 1000);
    child_due(&c, NOW + 999);
    CHECK_NUMBER(c.pause_ms, 400);
    child_due(&c, NOW + 1000);
    CHECK_NUMBER(c.pause_ms, 0);
    CHECK_NUMBER(child_next_ms(&c, NOW + 1000), UINT64_MAX);
}

static void who_says_too_much_is_read_later(void)
{
    struct child c = child_in(CHILD_READY);
    c.unread_until_ms = NOW + 100;
    CHECK_NUMBER(child_next_ms(&c, NOW), NOW + 100);
    c = CHILD_OF_NOBODY;
    child_wait_to_start(&c, NOW);
    c.unread_until_ms = NOW + 50;
    CHECK_NUMBER(child_next_ms(&c, NOW), NOW + 50);
    c.unread_until_ms = NOW + 150;
    CHECK_NUMBER(child_next_ms(&c, NOW), NOW + 100);
}

static const struct check_case cases[] = {
    {"a start forgets what was before", a_start_forgets_what_was_before},
    {"pauses double up to their bound", pauses_double_up_to_their_bound},
    {"words change the state they are for", words_change_the_state_they_are_for},
    {"an answer to a reload is of its generation", an_answer_to_a_reload_is_of_its_generation},
    {"other words change nothing", other_words_change_nothing},
    {"ends are told apart", ends_are_told_apart},
    {"patience ends with the soonest", patience_ends_with_the_soonest},
    {"duties are due once", duties_are_due_once},
    {"who has served for long is trusted again", who_has_served_for_long_is_trusted_again},
    {"who says too much is read later", who_says_too_much_is_read_later},
};

CHECK_MAIN("master: child", cases)
