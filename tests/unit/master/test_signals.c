/*
 * tests/unit/master/test_signals.c - which signal orders what, in which order, and while the master stops or reloads.
 *
 * The signals are real ones, sent to this process: they are blocked, and come when the test waits for them.
 */
#include "master/signals.h"

#include "tests/unit/master/calls.h"

static sigset_t while_waiting;

/* They have come when this returns. */
static void send_all(const int *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT(sigqueue(getpid(), numbers[i], (union sigval){0}) == 0);
        sigsuspend(&while_waiting);
    }
}

#define SEND(...) send_all((const int[]){__VA_ARGS__}, sizeof(int[]){__VA_ARGS__} / sizeof(int))

static void begin(void)
{
    calls_begin();
    signals_catch(&while_waiting);
    CHECK_NUMBER(signals_next(false, false), ORDER_NONE);
}

static void each_signal_has_its_order(void)
{
    static const struct {
        int number;
        enum order order;
        const char *line;
    } table[] = {
        {SIGCHLD, ORDER_REAP, NULL},
        {SIGTERM, ORDER_STOP, "signal 15 (SIGTERM) received from"},
        {SIGINT, ORDER_STOP, "signal 2 (SIGINT) received from"},
        {SIGQUIT, ORDER_FINISH, "signal 3 (SIGQUIT) received from"},
        {SIGUSR1, ORDER_REOPEN, "(SIGUSR1) received from"},
        {SIGWINCH, ORDER_WITHOUT_WORKERS, "(SIGWINCH) received from"},
        {SIGUSR2, ORDER_UPGRADE, "(SIGUSR2) received from"},
        {SIGTTIN, ORDER_ONE_MORE, "(SIGTTIN) received from"},
        {SIGTTOU, ORDER_ONE_FEWER, "(SIGTTOU) received from"},
        {SIGHUP, ORDER_RELOAD, "signal 1 (SIGHUP) received from"},
    };
    begin();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        calls_forget_log();
        SEND(table[i].number);
        CHECK_NUMBER(signals_next(false, false), table[i].order);
        CHECK_NUMBER(signals_next(false, false), ORDER_NONE);
        CU_ASSERT(table[i].line ? calls_logged(table[i].line) : !calls_logged("signal"));
    }
    CU_ASSERT(calls_logged("(test_signals), reconfiguring")); /* who sent it, and what it means */
}

static void many_of_one_kind_are_one(void)
{
    begin();
    SEND(SIGHUP, SIGHUP, SIGHUP);
    CHECK_NUMBER(signals_next(false, false), ORDER_RELOAD);
    CHECK_NUMBER(signals_next(false, false), ORDER_NONE);
    SEND(SIGINT, SIGTERM);
    CHECK_NUMBER(signals_next(false, false), ORDER_STOP);
    CHECK_NUMBER(signals_next(false, false), ORDER_NONE);
    CU_ASSERT(calls_logged("(SIGTERM)") && calls_logged("(SIGINT)"));
}

static void they_are_obeyed_in_their_order(void)
{
    static const enum order wanted[] = {
        ORDER_REAP,    ORDER_STOP,     ORDER_FINISH,    ORDER_REOPEN, ORDER_WITHOUT_WORKERS,
        ORDER_UPGRADE, ORDER_ONE_MORE, ORDER_ONE_FEWER, ORDER_RELOAD, ORDER_NONE};
    begin();
    SEND(SIGHUP, SIGTTOU, SIGTTIN, SIGUSR2, SIGWINCH, SIGUSR1, SIGQUIT, SIGTERM, SIGCHLD);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        CHECK_NUMBER(signals_next(false, false), wanted[i]);
}

static void a_master_that_stops_begins_nothing(void)
{
    begin();
    SEND(SIGHUP, SIGTTOU, SIGTTIN, SIGUSR2, SIGWINCH, SIGUSR1, SIGQUIT, SIGTERM, SIGCHLD);
    CHECK_NUMBER(signals_next(true, false), ORDER_REAP);
    CHECK_NUMBER(signals_next(true, false), ORDER_STOP);
    CHECK_NUMBER(signals_next(true, false), ORDER_FINISH);
    CHECK_NUMBER(signals_next(true, false), ORDER_REOPEN);
    CHECK_NUMBER(signals_next(true, false), ORDER_NONE);
    CU_ASSERT(!calls_logged("reconfiguring") && !calls_logged("changing binary"));
    while (signals_next(false, false) != ORDER_NONE)
        ;
}

static void one_reload_at_a_time(void)
{
    begin();
    SEND(SIGHUP);
    CHECK_NUMBER(signals_next(false, true), ORDER_NONE);
    CU_ASSERT(!calls_logged("reconfiguring")); /* it is said when it is done */
    SEND(SIGTTIN);
    CHECK_NUMBER(signals_next(false, true), ORDER_ONE_MORE);
    CHECK_NUMBER(signals_next(false, false), ORDER_RELOAD);
}

static void names_of_the_command_line(void)
{
    CHECK_NUMBER(signals_by_name("stop"), SIGTERM);
    CHECK_NUMBER(signals_by_name("quit"), SIGQUIT);
    CHECK_NUMBER(signals_by_name("reload"), SIGHUP);
    CHECK_NUMBER(signals_by_name("reopen"), SIGUSR1);
    CHECK_NUMBER(signals_by_name(""), 0);
    CHECK_NUMBER(signals_by_name("SIGTERM"), 0);
    CHECK_NUMBER(signals_by_name("stopp"), 0);
    CU_ASSERT(master_knows_signal("reload") && !master_knows_signal("upgrade"));
}

static const struct check_case cases[] = {
    {"each signal has its order", each_signal_has_its_order},
    {"many of one kind are one", many_of_one_kind_are_one},
    {"they are obeyed in their order", they_are_obeyed_in_their_order},
    {"a master that stops begins nothing", a_master_that_stops_begins_nothing},
    {"one reload at a time", one_reload_at_a_time},
    {"names of the command line", names_of_the_command_line},
};

CHECK_MAIN("master: signals", cases)
