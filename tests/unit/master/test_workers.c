/*
 * tests/unit/master/test_workers.c - workers started, replaced and ended, with each call of the system failing once.
 */
#include "tests/unit/master/master_help.h"

static void all_are_started(void)
{
    struct master *m = master_begin(3);
    workers_start_all(m);
    CHECK_NUMBER(calls.forks, 3);
    CHECK_NUMBER(workers_alive(m), 3);
    CU_ASSERT(!workers_all_ready(m, 1));
    for (int i = 0; i < 3; i++) {
        CHECK_NUMBER(m->children[i].pid, FIRST_PID + i);
        CHECK_NUMBER(m->children[i].index, i);
        CHECK_NUMBER(m->shm->slots[i].pid, FIRST_PID + i);
        CHECK_NUMBER(m->shm->slots[i].state, SHM_STARTING);
    }
    CHECK_NUMBER(m->shm->slots[3].state, SHM_SLOT_FREE);
    workers_come_up(m);
    CU_ASSERT(workers_all_ready(m, 1));
    master_end(m);
}

/* What cannot start at the beginning is tried again, and nothing is left open. */
static void a_start_that_fails_is_tried_again(void)
{
    static const struct {
        enum call call;
        int error;
        const char *line;
    } table[] = {{CALL_SOCKETPAIR, EMFILE, "socketpair() failed (24:"},
                 {CALL_SHUTDOWN, ENOTCONN, "pipe2() failed"},
                 {CALL_PIPE2, EMFILE, "pipe2() failed (24:"},
                 {CALL_FORK, EAGAIN, "fork() failed (11:"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct master *m = master_begin(2);
        int fds = calls_count_fds();
        calls.fails[table[i].call] = table[i].error;
        workers_start_all(m);
        CHECK_FOR(table[i].line, calls_logged(table[i].line));
        CHECK_FOR(table[i].line, calls_count_fds() == fds && calls.forks == 0);
        CHECK_FOR(table[i].line, workers_alive(m) == 0 && !workers_all_ready(m, 1));
        CHECK_NUMBER(m->children[0].state, CHILD_WAITING);
        CHECK_NUMBER(m->children[1].start_at_ms, calls.now_ms + 100);
        workers_do_timers(m, calls.now_ms += 100); /* in vain again */
        CHECK_NUMBER(m->children[1].start_at_ms, calls.now_ms + 200);
        CHECK_FOR(table[i].line, calls_count_fds() == fds);
        calls.fails[table[i].call] = 0;
        workers_do_timers(m, calls.now_ms += 200);
        CHECK_NUMBER(calls.forks, 2);
        CHECK_NUMBER(m->children[1].index, 1);
        workers_come_up(m);
        CHECK_FOR(table[i].line, workers_all_ready(m, 1));
        master_end(m);
    }
}

/* A reload wants to know: it is refused then. */
static void a_start_for_a_reload_fails_at_once(void)
{
    struct master *m = master_with_workers(1);
    calls.fails[CALL_FORK] = EAGAIN;
    CU_ASSERT(!workers_start(m, m->site, 2, 1, 0));
    CHECK_NUMBER(workers_alive(m), 1);
    CHECK_NUMBER(m->children[1].state, CHILD_NONE);
    CHECK_NUMBER(m->shm->slots[1].state, SHM_SLOT_FREE);
    calls.fails[CALL_FORK] = 0;
    CU_ASSERT(workers_start(m, m->site, 2, 1, 0));
    CHECK_NUMBER(m->children[1].generation, 2);
    CU_ASSERT(workers_all_ready(m, 1) && !workers_all_ready(m, 2));
    master_end(m);
}

static void slots_are_bounded(void)
{
    struct master *m = master_begin(1);
    CU_ASSERT(workers_start(m, m->site, 1, SHM_SLOTS, 0));
    CU_ASSERT(!workers_start(m, m->site, 1, 1, SHM_SLOTS));
    CU_ASSERT(calls_logged("no free worker slot"));
    CHECK_NUMBER(workers_alive(m), SHM_SLOTS);
    master_end(m);
}

static void the_dead_have_successors(void)
{
    struct master *m = master_with_workers(2);
    worker_ends(m, 0, status_of_signal(SIGSEGV));
    CU_ASSERT(calls_logged("worker process 100000000 exited on signal 11"));
    CHECK_NUMBER(workers_alive(m), 1);
    CHECK_NUMBER(m->children[0].state, CHILD_WAITING);
    CHECK_NUMBER(m->shm->head->restarts_by_signal, 1);
    CHECK_NUMBER(m->shm->slots[0].restarts, 1);
    CU_ASSERT(calls_logged("starting again in 100 ms"));
    workers_do_timers(m, calls.now_ms += 99);
    CHECK_NUMBER(calls.forks, 2);
    workers_do_timers(m, calls.now_ms += 1);
    CHECK_NUMBER(calls.forks, 3);
    CHECK_NUMBER(m->children[0].index, 0);
    workers_come_up(m);
    calls.now_ms += 1000;
    worker_ends(m, 0, status_of_exit(7)); /* it has served for a while */
    CU_ASSERT(calls_logged("worker process 100000002 exited with code 7"));
    CHECK_NUMBER(m->shm->head->restarts_by_exit, 1);
    CHECK_NUMBER(m->children[0].pause_ms, 0);
    workers_do_timers(m, calls.now_ms);
    CHECK_NUMBER(calls.forks, 4);
    master_end(m);
}

static void last_words_are_heard(void)
{
    struct master *m = master_begin(1);
    workers_start_all(m);
    worker_says(FIRST_PID, (struct worker_message){.kind = WORKER_READY});
    worker_ends(m, 0, status_of_signal(SIGABRT));
    worker_ends(m, 0, 0); /* its pid again: nobody's by now */
    CHECK_NUMBER(m->shm->slots[0].restarts, 1);
    /* It had come up, so the pause is bounded by less. */
    for (int i = 0; i < 3; i++) {
        workers_do_timers(m, calls.now_ms += 400);
        workers_come_up(m);
        worker_ends(m, 0, status_of_signal(SIGABRT));
    }
    CHECK_NUMBER(m->children[0].pause_ms, 400);
    master_end(m);
}

static void nobody_succeeds_who_is_not_wanted(void)
{
    struct master *m = master_with_workers(4);
    m->children[0].generation = 0; /* of a configuration before */
    worker_ends(m, 0, status_of_signal(SIGSEGV));
    CHECK_NUMBER(m->children[0].state, CHILD_NONE);
    CHECK_NUMBER(m->shm->slots[0].state, SHM_SLOT_FREE);
    m->without_workers = true;
    worker_ends(m, 1, status_of_exit(1));
    CHECK_NUMBER(m->children[1].state, CHILD_NONE);
    m->without_workers = false;
    workers_signal(m, SIGQUIT, 0);
    worker_ends(m, 2, status_of_exit(0));
    CHECK_NUMBER(m->children[2].state, CHILD_NONE);
    CU_ASSERT(calls_logged("worker process 100000002 exited with code 0"));
    m->stopping = true;
    worker_ends(m, 3, status_of_exit(0));
    CHECK_NUMBER(m->children[3].state, CHILD_NONE);
    CHECK_NUMBER(workers_alive(m), 0);
    CHECK_NUMBER(m->shm->head->restarts_by_exit + m->shm->head->restarts_by_signal, 0);
    master_end(m);
}

static void who_does_not_finish_is_killed_once(void)
{
    struct master *m = master_with_workers(2);
    m->conf->shutdown_timeout_ms = 2000;
    workers_signal(m, SIGQUIT, 0);
    CU_ASSERT(calls_sent(FIRST_PID + 1, SIGQUIT) && calls_sent(FIRST_PID, SIGQUIT));
    CHECK_NUMBER(m->shm->slots[0].state, SHM_STOPPING);
    CHECK_NUMBER(m->shm->slots[0].stopping_since_ms, calls.now_ms);
    worker_ends(m, 0, status_of_exit(0));
    workers_do_timers(m, calls.now_ms += 2499);
    CHECK_NUMBER(calls.sent_count, 0);
    workers_do_timers(m, calls.now_ms += 1);
    workers_do_timers(m, calls.now_ms += 1);
    CHECK_NUMBER(calls.sent_count, 1);
    CU_ASSERT(calls_sent(FIRST_PID + 1, SIGKILL));
    worker_ends(m, 1, status_of_signal(SIGKILL));
    CU_ASSERT(calls_logged("worker process 100000001 did not finish in time and was killed"));
    CU_ASSERT(!calls_logged("exited on signal"));
    master_end(m);
}

static void signals_reach_whom_they_are_for(void)
{
    struct master *m = master_with_workers(3);
    worker_ends(m, 2, status_of_exit(1)); /* waits to be replaced */
    m->children[1].generation = 2;
    workers_signal(m, SIGUSR1, 0);
    CHECK_NUMBER(calls.sent_count, 2);
    CU_ASSERT(calls_sent(FIRST_PID + 1, SIGUSR1) && calls_sent(FIRST_PID, SIGUSR1));
    CHECK_NUMBER(m->children[0].state, CHILD_READY);
    CHECK_NUMBER(m->children[2].state, CHILD_WAITING);
    workers_signal(m, SIGTERM, 2);
    CHECK_NUMBER(calls.sent_count, 1);
    CU_ASSERT(calls_sent(FIRST_PID + 1, SIGTERM));
    CHECK_NUMBER(m->children[1].kill_at_ms, calls.now_ms + 1000);
    workers_signal(m, SIGQUIT, 0);
    CHECK_NUMBER(m->children[2].state, CHILD_NONE);
    CHECK_NUMBER(m->children[1].kill_at_ms, calls.now_ms + 1000); /* no later than it was */
    master_end(m);
}

static void one_more_and_one_fewer(void)
{
    struct master *m = master_with_workers(2);
    calls.fails[CALL_FORK] = ENOMEM;
    workers_change_count(m, 1);
    CHECK_NUMBER(m->target, 2);
    calls.fails[CALL_FORK] = 0;
    workers_change_count(m, 1);
    CHECK_NUMBER(m->target, 3);
    CHECK_NUMBER(m->children[2].index, 2);
    workers_come_up(m);
    workers_change_count(m, -1);
    CU_ASSERT(calls_sent(FIRST_PID + 2, SIGQUIT));
    CHECK_NUMBER(m->children[2].state, CHILD_RETIRING);
    worker_ends(m, 1, status_of_exit(1));
    workers_change_count(m, -1); /* the one that waits is not started */
    CHECK_NUMBER(m->target, 1);
    CHECK_NUMBER(m->children[1].state, CHILD_NONE);
    CHECK_NUMBER(calls.sent_count, 0);
    workers_change_count(m, -1);
    CHECK_NUMBER(m->target, 1); /* one stays */
    CHECK_NUMBER(m->children[0].state, CHILD_READY);
    master_end(m);
}

static void reuseport_sockets_are_not_left_alone(void)
{
    struct master *m = master_with_workers(2);
    struct site_listen listen = {.options.reuseport = true};
    m->site->listens = &listen;
    workers_change_count(m, -1);
    CHECK_NUMBER(m->target, 2);
    CU_ASSERT(calls_logged("TTOU ignored"));
    CHECK_NUMBER(calls.sent_count, 0);
    master_end(m);
}

static void reports_are_read_in_portions(void)
{
    struct master *m = master_with_workers(2);
    for (int i = 0; i < 20; i++)
        worker_says(FIRST_PID, (struct worker_message){.kind = WORKER_TURNS});
    calls.now_ms += 10;
    workers_read_channels(m);
    CHECK_NUMBER(m->children[0].heard_ms, calls.now_ms);
    CHECK_NUMBER(m->children[0].unread_until_ms, calls.now_ms + 100);
    calls.now_ms += 99;
    workers_read_channels(m); /* not yet */
    CHECK_NUMBER(m->children[0].heard_ms, calls.now_ms - 99);
    calls.now_ms += 1;
    workers_read_channels(m);
    CHECK_NUMBER(m->children[0].heard_ms, calls.now_ms);
    CHECK_NUMBER(m->children[0].unread_until_ms, 0);
    CHECK_NUMBER(m->children[1].heard_ms, calls.now_ms - 110);
    master_end(m);
}

/* Of a worker that has been taken over: pieces, and what is no message. */
static void broken_reports_do_no_harm(void)
{
    struct master *m = master_with_workers(1);
    struct child before = m->children[0];
    char bytes[3 * sizeof(struct worker_message) - 5];
    memset(bytes, 0x5a, sizeof bytes);
    CU_ASSERT(write(calls.ends[0].reports, bytes, sizeof bytes) == sizeof bytes);
    workers_read_channels(m);
    CHECK_NUMBER(m->children[0].state, CHILD_READY);
    CHECK_NUMBER(m->children[0].heard_ms, before.heard_ms);
    CHECK_NUMBER(m->children[0].unread_until_ms, 0);
    worker_says(FIRST_PID, (struct worker_message){.kind = WORKER_LOCK_STUCK, .pid = 4711});
    workers_read_channels(m);
    CU_ASSERT(calls_logged("held by process 4711, which is no worker of ours"));
    CHECK_NUMBER(calls.sent_count, 0);
    master_end(m);
}

static void a_report_that_ends_is_closed(void)
{
    struct master *m = master_with_workers(1);
    close(calls.ends[0].reports);
    calls.ends[0].reports = -1;
    workers_read_channels(m);
    CHECK_NUMBER(m->children[0].reports, -1);
    CHECK_NUMBER(m->children[0].channel, -1);
    CHECK_NUMBER(m->children[0].state, CHILD_READY); /* SIGCHLD says how it ended */
    worker_ends(m, 0, status_of_exit(1));
    CHECK_NUMBER(m->children[0].state, CHILD_WAITING);
    master_end(m);
}

static const struct check_case cases[] = {
    {"all are started", all_are_started},
    {"a start that fails is tried again", a_start_that_fails_is_tried_again},
    {"a start for a reload fails at once", a_start_for_a_reload_fails_at_once},
    {"slots are bounded", slots_are_bounded},
    {"the dead have successors", the_dead_have_successors},
    {"last words are heard", last_words_are_heard},
    {"nobody succeeds who is not wanted", nobody_succeeds_who_is_not_wanted},
    {"who does not finish is killed once", who_does_not_finish_is_killed_once},
    {"signals reach whom they are for", signals_reach_whom_they_are_for},
    {"one more and one fewer", one_more_and_one_fewer},
    {"reuseport sockets are not left alone", reuseport_sockets_are_not_left_alone},
    {"reports are read in portions", reports_are_read_in_portions},
    {"broken reports do no harm", broken_reports_do_no_harm},
    {"a report that ends is closed", a_report_that_ends_is_closed},
};

CHECK_MAIN("master: workers", cases)
