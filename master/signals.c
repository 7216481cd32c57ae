/*
 * master/signals.c - signals as a table: by number, by the name that -s takes, and by what they order.
 */
#include "master/signals.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"

#include <assert.h>
#include <stdio.h>

/* In the order in which they are obeyed. Two of one order are one, whichever came. */
static const struct {
    int number;
    enum order order;
    bool while_stopping;
    const char *command; /* of -s, or NULL */
    const char *name, *meaning;
} signals[] = {
    {SIGCHLD, ORDER_REAP, true, NULL, NULL, NULL},
    {SIGTERM, ORDER_STOP, true, "stop", "SIGTERM", "exiting"},
    {SIGINT, ORDER_STOP, true, NULL, "SIGINT", "exiting"},
    {SIGQUIT, ORDER_FINISH, true, "quit", "SIGQUIT", "shutting down"},
    {SIGUSR1, ORDER_REOPEN, true, "reopen", "SIGUSR1", "reopening logs"},
    {SIGWINCH, ORDER_WITHOUT_WORKERS, false, NULL, "SIGWINCH", "stop accepting connections"},
    {SIGUSR2, ORDER_UPGRADE, false, NULL, "SIGUSR2", "changing binary"},
    {SIGTTIN, ORDER_ONE_MORE, false, NULL, "SIGTTIN", "one worker more"},
    {SIGTTOU, ORDER_ONE_FEWER, false, NULL, "SIGTTOU", "one worker fewer"},
    {SIGHUP, ORDER_RELOAD, false, "reload", "SIGHUP", "reconfiguring"},
};

enum { SIGNALS = sizeof signals / sizeof signals[0] };

static volatile sig_atomic_t came[SIGNALS], sender[SIGNALS]; /* sender: the pid, 0 where nobody sent it */

static void note_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i].number != number)
            continue;
        sender[i] = info->si_code == SI_USER || info->si_code == SI_QUEUE ? info->si_pid : 0;
        came[i] = 1;
    }
}

void signals_catch(sigset_t *while_waiting)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    for (int i = 0; i < SIGNALS; i++) {
        struct sigaction action = {.sa_sigaction = note_signal, .sa_flags = SA_SIGINFO};
        sigaction(signals[i].number, &action, NULL);
        sigaddset(&blocked, signals[i].number);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, SIG_IGN);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    sigemptyset(while_waiting);
}

/* "signal 15 (SIGTERM) received from 4711 (bash), exiting", as nginx has it; the name where the sender still lives. */
static void log_signal(int i)
{
    char path[64], from[96] = "";
    struct buf name = {0};
    int pid = sender[i], n = pid ? snprintf(from, sizeof from, " from %d", pid) : 0;
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    if (pid && fd_read_file(path, 64, &name) == 0 && buf_len(&name) > 1)
        snprintf(from + n, sizeof from - (size_t)n, " (%.*s)", (int)buf_len(&name) - 1, name.data);
    buf_free(&name);
    log_notice("signal %d (%s) received%s, %s", signals[i].number, signals[i].name, from, signals[i].meaning);
}

static void take_order(enum order order)
{
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i].order != order || !came[i])
            continue;
        came[i] = 0;
        if (signals[i].name)
            log_signal(i);
    }
}

enum order signals_next(bool stopping, bool reloading)
{
    for (int i = 0; i < SIGNALS; i++) {
        assert(i == 0 || signals[i - 1].order <= signals[i].order);
        if (!came[i] || (stopping && !signals[i].while_stopping) ||
            (reloading && signals[i].order == ORDER_RELOAD))
            continue;
        take_order(signals[i].order);
        return signals[i].order;
    }
    return ORDER_NONE;
}

int signals_by_name(const char *name)
{
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i].command && strcmp(signals[i].command, name) == 0)
            return signals[i].number;
    return 0;
}
