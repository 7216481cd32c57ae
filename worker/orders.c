/*
 * worker/orders.c - what a worker is told from outside: signals, messages of the master, new live values; and how it stops.
 */
#include "worker/orders.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/slice.h"
#include "base/title.h"
#include "conf/conf.h"
#include "handlers/guest.h"
#include "handlers/lend_back.h"
#include "http/access/limit.h"
#include "http/client/connections.h"
#include "http/serve/open_logs.h"
#include "http/site/site.h"
#include "shm/lock.h"
#include "worker/accept.h"
#include "worker/certificates.h"
#include "worker/loop/doors.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"
#include "worker/turn.h"
#include "worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* --- how it stops --- */

/* Idle clients get a moment: one that is just sending its next request is answered, and told to close. */
static void begin_drain(struct worker *w)
{
    assert(!w->draining);
    log_notice("gracefully shutting down");
    if (w->options->channel >= 0)
        title_set("weir: worker process is shutting down");
    w->draining = true;
    w->slot->state = SHM_STOPPING;
    for (int i = 0; i < w->pool_count; i++)
        pools_offer(w, i);
    accept_close(w);
    connection_drain(w);
}

static void on_drain_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)events;
    assert(w->draining);
    log_warn("worker_shutdown_timeout is over with %u connections and %u handlers left", w->connections,
             w->jobs);
    limit_refuse_waiting(w);
    ev_break(loop, EVBREAK_ALL);
}

static void start_drain(struct worker *w)
{
    static ev_timer deadline;
    if (w->draining)
        return;
    if (w->conf->shutdown_timeout_ms > 0) {
        ev_timer_init(&deadline, on_drain_over, (double)w->conf->shutdown_timeout_ms / 1000, 0);
        deadline.data = w;
        ev_timer_start(w->loop, &deadline);
    }
    begin_drain(w);
}

/* --- what comes from outside --- */

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
    struct worker *w = signal->data;
    (void)events;
    turn_take_time(w);
    /* Else the master says so. */
    if (w->options->channel < 0)
        log_notice("signal %d received", signal->signum);
    switch (signal->signum) {
    case SIGQUIT:
        start_drain(w);
        break;
    case SIGUSR1:
        logfiles_reopen(&w->site->error_files, geteuid());
        logfiles_reopen(&w->site->access_files, geteuid());
        open_logs_close(w);
        break;
    default: /* TERM, INT */
        w->draining = true;
        limit_refuse_waiting(w);
        ev_break(loop, EVBREAK_ALL);
    }
}

static void lose_master(struct worker *w)
{
    if (w->master_is_gone)
        return;
    log_alert("the master is gone; finishing");
    w->master_is_gone = true;
    turn_take_time(w);
    start_drain(w);
}

void orders_report(struct worker *w, int kind, uint64_t generation)
{
    struct worker_message m = {.kind = kind, .generation = generation};
    assert(kind == WORKER_READY || kind == WORKER_RELOADED || kind == WORKER_RELOAD_FAILED ||
           kind == WORKER_TURNS);
    if (w->options->reports < 0 || write(w->options->reports, &m, sizeof m) >= 0)
        return;
    /* The channel's end says that the master is gone; but nobody counts what a worker that comes so late would hold. */
    if (errno != EPIPE)
        log_errno(LOG_LEVEL_ALERT, errno, "write() to the master failed");
    else if (kind == WORKER_READY)
        lose_master(w);
}

static bool take_over_live_values(struct worker *w, int fd)
{
    struct buf text = {0};
    bool ok = fd_read_all(fd, 64 << 20, &text) == 0;
    struct conf *fresh = ok ? conf_load_serialized(w->options->conf_options, buf_slice(&text)) : NULL;
    buf_free(&text);
    ok = fresh && fresh->errors.count == 0;
    if (ok) {
        conf_copy_live(w->conf, fresh);
        int index = 0;
        for (const struct conf_error_log *l = w->conf->error_logs; l; l = l->next)
            log_set_level(index++, (enum log_level)l->level, l->json);
        pools_reconfigure(w);
    } else if (fresh && fresh->errors.first) {
        log_error("%.*s", SLICE_ARGS(fresh->errors.first->message));
    }
    conf_free(fresh);
    return ok;
}

/* What it has said before its death counts. */
static void forget_sibling(struct worker *w, struct sibling dead)
{
    doors_hear_all(w);
    guest_sibling_ended(w, dead);
    lend_sibling_ended(w, dead);
    w->hooks.woken(w);
}

static void on_channel(struct ev_loop *loop, ev_io *io, int events)
{
    struct worker *w = io->data;
    struct worker_message m;
    int fd;
    (void)events;
    int n = (int)fd_receive_beside(io->fd, &m, sizeof m, &fd);
    if (n == 0) {
        ev_io_stop(loop, io);
        lose_master(w);
    }
    if (n == (int)sizeof m && m.kind == WORKER_LOOK)
        limit_settle(w);
    if (n == (int)sizeof m && m.kind == WORKER_ASKED)
        orders_report(w, WORKER_TURNS, 0);
    if (n == (int)sizeof m && m.kind == WORKER_SIBLING_ENDED)
        forget_sibling(w, (struct sibling){(int)(m.slot % SHM_SLOTS), m.slot / SHM_SLOTS});
    if (n == (int)sizeof m && m.kind == WORKER_SIBLING && fd >= 0) {
        doors_add(w, (int)m.slot, fd);
        return;
    }
    if (n == (int)sizeof m && m.kind == WORKER_CERTIFICATE && fd >= 0)
        certificates_receive(w, fd);
    if (n != (int)sizeof m || m.kind != WORKER_RELOAD || fd < 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    orders_report(w, take_over_live_values(w, fd) ? WORKER_RELOADED : WORKER_RELOAD_FAILED, m.generation);
    close(fd);
}

/* --- locks that somebody does not give up --- */

static int reports = -1;

/* The master ends the holder, if it is a worker of its own; else nobody has the lock. */
static void on_lock_stuck(uint32_t holder)
{
    struct worker_message m = {.kind = WORKER_LOCK_STUCK, .pid = holder};
    assert(reports >= 0);
    if (write(reports, &m, sizeof m) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "write() to the master failed");
}

void orders_watch_locks(const struct worker *w)
{
    reports = w->options->reports;
    shm_lock_on_stuck(reports >= 0 ? on_lock_stuck : NULL);
    /* The master waits for a lock for a bounded time; a worker has the master to end who holds it. */
    shm_lock_bound(0);
}

void orders_watch(struct worker *w)
{
    static const int numbers[] = {SIGQUIT, SIGUSR1, SIGTERM, SIGINT};
    /* An interrupt at a terminal goes to all; the master decides. */
    int count = w->options->channel >= 0 ? 3 : 4;
    for (int i = 0; i < count; i++) {
        ev_signal_init(&w->signals[i], on_signal, numbers[i]);
        w->signals[i].data = w;
        ev_signal_start(w->loop, &w->signals[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGWINCH, SIG_IGN);
    if (count == 3)
        signal(SIGINT, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    /* The master blocks its signals while it forks. */
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (w->options->channel < 0)
        return;
    ev_io_init(&w->channel, on_channel, w->options->channel, EV_READ);
    w->channel.data = w;
    ev_io_start(w->loop, &w->channel);
}
