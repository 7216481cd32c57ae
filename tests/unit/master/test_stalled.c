/*
 * tests/unit/master/test_stalled.c - loops that do not turn: who is asked, who is ended and when, and what is said of it.
 */
#include "tests/unit/master/master_help.h"

/* As often as stalled_look wants it, up to a time. */
static void look_until(struct master *m, uint64_t until_ms)
{
    for (; calls.now_ms <= until_ms; calls.now_ms++)
        m->next_look_ms = stalled_look(m, calls.now_ms);
}

static void answers(struct master *m, int slot)
{
    worker_says(m->children[slot].pid, (struct worker_message){.kind = WORKER_TURNS});
    workers_read_channels(m);
}

static void without_a_timeout_nobody_is_asked(void)
{
    struct master *m = master_with_workers(1);
    CHECK_NUMBER(stalled_look(m, calls.now_ms), 0);
    CHECK_NUMBER(worker_hears(FIRST_PID).kind, -1);
    m->watchdog_every_ms = 700; /* the service manager wants to know */
    CHECK_NUMBER(stalled_look(m, calls.now_ms), calls.now_ms + 700);
    CHECK_NUMBER(worker_hears(FIRST_PID).kind, WORKER_ASKED);
    calls.now_ms += 1000000;
    for (int i = 0; i < 10; i++)
        stalled_look(m, calls.now_ms += 700);
    CHECK_NUMBER(calls.sent_count, 0); /* asked in vain, and left alone */
    master_end(m);
}

static void who_answers_lives(void)
{
    struct master *m = master_with_workers(2);
    m->conf->stall_timeout_ms = 6000;
    for (int i = 0; i < 20; i++) {
        look_until(m, calls.now_ms + 1000);
        answers(m, 0);
        answers(m, 1);
    }
    CHECK_NUMBER(calls.sent_count, 0);
    master_end(m);
}

static void who_does_not_answer_is_ended(void)
{
    struct master *m = master_with_workers(2);
    uint64_t begun_ms = calls.now_ms;
    m->conf->stall_timeout_ms = 6000;
    for (uint64_t at = begun_ms; calls.sent_count == 0 && at < begun_ms + 20000; at += 500) {
        look_until(m, at);
        answers(m, 1);
    }
    CU_ASSERT(calls_sent(FIRST_PID, SIGABRT));
    CU_ASSERT(calls.now_ms >= begun_ms + 6000 && calls.now_ms < begun_ms + 9000);
    CU_ASSERT(calls_logged("worker process 100000000 has not turned for 6 s"));
    uint64_t asked_ms = calls.now_ms;
    while (calls.sent_count == 0 && calls.now_ms < asked_ms + 20000) {
        look_until(m, calls.now_ms + 500);
        answers(m, 1);
    }
    CU_ASSERT(calls_sent(FIRST_PID, SIGKILL)); /* it did not heed the first one */
    CU_ASSERT(calls.now_ms > asked_ms + 1000);
    CHECK_NUMBER(m->children[1].state, CHILD_READY);
    master_end(m);
}

static void an_answer_at_last_is_enough(void)
{
    struct master *m = master_with_workers(1);
    m->conf->stall_timeout_ms = 6000;
    for (uint64_t end = calls.now_ms + 20000; calls.sent_count == 0 && calls.now_ms < end;)
        look_until(m, calls.now_ms + 100);
    CU_ASSERT(calls_sent(FIRST_PID, SIGABRT));
    answers(m, 0);
    CHECK_NUMBER(m->children[0].abort_ms, 0);
    look_until(m, calls.now_ms + 4000);
    CHECK_NUMBER(calls.sent_count, 0);
    master_end(m);
}

/* The pipe to a worker that reads nothing must keep room for what matters. */
static void questions_are_few(void)
{
    struct master *m = master_with_workers(1);
    int asked = 0;
    m->conf->stall_timeout_ms = 6000;
    m->children[0].heard_ms = calls.now_ms + 1000000; /* not to be ended */
    look_until(m, calls.now_ms + 100000);
    while (worker_hears(FIRST_PID).kind == WORKER_ASKED)
        asked++;
    CU_ASSERT(asked >= 3 && asked < 10);
    master_end(m);
}

static void who_starts_or_waits_is_not_asked(void)
{
    struct master *m = master_begin(2);
    workers_start_all(m);
    m->conf->stall_timeout_ms = 6000;
    worker_ends(m, 1, status_of_exit(1));
    look_until(m, calls.now_ms + 20000);
    CHECK_NUMBER(calls.sent_count, 0);
    CHECK_NUMBER(worker_hears(FIRST_PID).kind, WORKER_SIBLING_ENDED);
    CHECK_NUMBER(worker_hears(FIRST_PID).kind, -1);
    workers_come_up(m);
    workers_signal(m, SIGQUIT, 0);
    CU_ASSERT(calls_sent(FIRST_PID, SIGQUIT));
    look_until(m, calls.now_ms + 20000);
    CU_ASSERT(calls_sent(FIRST_PID, SIGKILL)); /* one that finishes has a loop, too */
    master_end(m);
}

static void the_watchdog_is_fed_while_one_turns(void)
{
    struct master *m = master_with_workers(2);
    m->watchdog_every_ms = 500;
    CU_ASSERT(stalled_not_all(m, calls.now_ms + 1000));
    CU_ASSERT(!stalled_not_all(m, calls.now_ms + 1001));
    calls.now_ms += 1001;
    answers(m, 1);
    CU_ASSERT(stalled_not_all(m, calls.now_ms));
    workers_signal(m, SIGQUIT, 0); /* nobody has to turn any more */
    CU_ASSERT(stalled_not_all(m, calls.now_ms + 1000000));
    master_end(m);
}

static void what_ran_at_death_is_told_once(void)
{
    struct master *m = master_with_workers(2);
    struct running_table *t = &m->shm->slots[0].running;
    for (int i = 0; i < 3; i++) {
        struct running *r = running_begin(t, calls.now_ms - 1500);
        running_set(r->handler, sizeof r->handler, SLICE("slow"));
        running_set(r->uri, sizeof r->uri, SLICE("/x"));
        running_set(r->method, sizeof r->method, SLICE("GET"));
    }
    t->records[2].died = SIGSEGV;
    memset(t->records[1].uri, 'u', sizeof t->records[1].uri); /* without an end */
    worker_ends(m, 0, status_of_signal(SIGSEGV));
    CU_ASSERT(calls_logged("ended in handler \"slow\" for 1.500 s, client: unix:, request: \"GET /x\""));
    CU_ASSERT(calls_logged("was running handler \"slow\""));
    CHECK_NUMBER(t->taken, 0);
    calls_forget_log();
    running_begin(&m->shm->slots[1].running, calls.now_ms);
    workers_signal(m, SIGQUIT, 0);
    worker_ends(m, 1, status_of_exit(0)); /* as it was told to */
    CU_ASSERT(!calls_logged("was running"));
    CHECK_NUMBER(m->shm->slots[1].running.taken, 0);
    master_end(m);
}

static const struct check_case cases[] = {
    {"without a timeout nobody is asked", without_a_timeout_nobody_is_asked},
    {"who answers lives", who_answers_lives},
    {"who does not answer is ended", who_does_not_answer_is_ended},
    {"an answer at last is enough", an_answer_at_last_is_enough},
    {"questions are few", questions_are_few},
    {"who starts or waits is not asked", who_starts_or_waits_is_not_asked},
    {"the watchdog is fed while one turns", the_watchdog_is_fed_while_one_turns},
    {"what ran at death is told once", what_ran_at_death_is_told_once},
};

CHECK_MAIN("master: stalled", cases)
