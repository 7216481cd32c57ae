/*
 * worker/process.c - a worker process: becoming one, its loop, its signals, its messages from the master, its end.
 */
#include "worker/accept.h"
#include "worker/become.h"
#include "worker/last_words.h"
#include "worker/worker.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file_cache.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/memory.h"
#include "base/slice.h"
#include "base/title.h"
#include "base/version.h"
#include "base/wheel.h"
#include "conf/conf.h"
#include "handlers/offload.h"
#include "http/access/limit.h"
#include "http/filters/filters.h"
#include "http/h1/connections.h"
#include "http/request/filter.h"
#include "http/serve/open_logs.h"
#include "http/site/site.h"
#include "http/site/site_variables.h"
#include "http/wire/response.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"
#include "shm/lock.h"
#include "shm/permit.h"
#include "shm/reclaim.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/figures.h"
#include "worker/loop/pools.h"
#include "worker/loop/urgent.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PURGE_AFTER_REQUESTS = 1 };

/* --- time --- */

static void on_deadline(struct wheel_entry *e, void *worker)
{
    (void)worker;
    if (e->kind == WORKER_TIMER_REQUEST)
        request_on_timer(e);
    else if (e->kind == WORKER_TIMER_PROXY)
        proxy_on_timer(e);
    else if (e->kind == WORKER_TIMER_UPSTREAM)
        upstream_on_timer(e);
    else
        connection_on_timer(e);
}

static void on_wheel(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)loop;
    (void)events;
    w->wheel_armed_ms = 0;
    wheel_advance(&w->wheel, w->now_ms, on_deadline, w);
}

static void arm_wheel(struct worker *w)
{
    uint64_t next_ms = wheel_next_ms(&w->wheel);
    if (next_ms == 0 || (w->wheel_armed_ms != 0 && next_ms >= w->wheel_armed_ms))
        return;
    ev_timer_stop(w->loop, &w->wheel_timer);
    ev_timer_set(&w->wheel_timer, next_ms > w->now_ms ? (double)(next_ms - w->now_ms) / 1000 : 0, 0);
    ev_timer_start(w->loop, &w->wheel_timer);
    w->wheel_armed_ms = next_ms;
}

/* Lines that wait for flush= go out also when nothing else happens. */
static void on_log_flush(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events; /* before_wait comes anyway */
}

static void flush_logs(struct worker *w)
{
    int64_t next_ms = logfiles_flush(&w->site->access_files, w->now_ms);
    if (w->open_logs)
        open_logs_flush(w);
    if (next_ms < 0 || ev_is_active(&w->log_flush))
        return;
    ev_timer_set(&w->log_flush, (double)next_ms / 1000, 0);
    ev_timer_start(w->loop, &w->log_flush);
}

static void before_wait(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct worker *w = prepare->data;
    (void)loop;
    (void)events;
    /* Permits that this turn's responses have given back to requests of this worker. */
    do {
        limit_settle(w);
        connection_run_ready(w);
    } while (permit_any_changed(&w->permits));
    connection_free_dead(w);
    flush_logs(w);
    arm_wheel(w);
    assert(w->given_up <= w->jobs);
    if (w->draining && w->connections == 0 && w->jobs == w->given_up)
        ev_break(w->loop, EVBREAK_ALL);
}

static void take_time(struct worker *w)
{
    w->now_ms = clock_mono_ms();
    w->now_wall_ms = clock_wall_ms();
    w->files.turn++;
    w->files.now_ms = w->now_ms;
    http_stamp_update(&w->stamps[0], WEIR_NAME, (time_t)(w->now_wall_ms / 1000));
    http_stamp_update(&w->stamps[1], WEIR_NAME "/" WEIR_VERSION, (time_t)(w->now_wall_ms / 1000));
}

static void after_wait(struct ev_loop *loop, ev_check *check, int events)
{
    struct worker *w = check->data;
    (void)loop;
    (void)events;
    w->served_last_turn = w->served_in_turn;
    w->served_in_turn = 0;
    take_time(w);
}

/* Once a second. A worker that has become quiet after a burst gives the burst's memory back. */
static void on_heartbeat(struct ev_loop *loop, ev_timer *timer, int events)
{
    static uint64_t requests_before;
    struct worker *w = timer->data;
    (void)loop;
    (void)events;
    uint64_t requests = counter_get(&w->slot->requests);
    if (requests == requests_before && w->busy_since_purge >= PURGE_AFTER_REQUESTS) {
        gzip_free_spares();
        while (w->free_exchange_count > 0)
            exchange_destroy(w->free_exchanges[--w->free_exchange_count]);
        buf_free(&w->output);
        memory_purge();
        w->busy_since_purge = 0;
    }
    requests_before = requests;
    shm_look_after(&w->permits);
    logfiles_tell_lost(&w->site->access_files);
    logfiles_tell_lost(&w->site->error_files);
    limit_log_silent(w);
    pools_log_silent(w);
    connection_look_for_leavers(w);
    upstream_look_after(w);
    proxy_settle_queues(w);
    resolve_look_after(w);
    worker_publish_figures(w);
}

/* --- the end --- */

/* Idle clients get a moment: one that is just sending its next request is answered, and told to close. */
static void begin_drain(struct worker *w)
{
    log_notice("gracefully shutting down");
    if (w->options->channel >= 0)
        title_set("weir: worker process is shutting down");
    w->draining = true;
    w->slot->state = SHM_STOPPING;
    accept_close(w);
    connection_drain(w);
}

static void on_drain_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)events;
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
    take_time(w);
    if (w->options->channel < 0) /* there is no master that would say it */
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

static void send_message(struct worker *w, int kind, uint64_t generation)
{
    struct worker_message m = {.kind = kind, .generation = generation};
    if (w->options->reports >= 0 && write(w->options->reports, &m, sizeof m) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "write() to the master failed");
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

static int receive_message(int channel, struct worker_message *m, int *fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec data = {m, sizeof *m};
    struct msghdr msg = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(channel, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    *fd = -1;
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    return (int)n;
}

static void on_channel(struct ev_loop *loop, ev_io *io, int events)
{
    struct worker *w = io->data;
    struct worker_message m;
    int fd;
    (void)events;
    int n = receive_message(io->fd, &m, &fd);
    if (n == 0) {
        ev_io_stop(loop, io);
        log_alert("the master is gone; finishing");
        take_time(w);
        start_drain(w);
    }
    if (n == (int)sizeof m && m.kind == WORKER_LOOK)
        limit_settle(w);
    if (n == (int)sizeof m && m.kind == WORKER_ASKED)
        send_message(w, WORKER_TURNS, 0);
    if (n != (int)sizeof m || m.kind != WORKER_RELOAD || fd < 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    send_message(w, take_over_live_values(w, fd) ? WORKER_RELOADED : WORKER_RELOAD_FAILED, m.generation);
    close(fd);
}

/* --- locks that somebody does not give up --- */

static int reports = -1;

/* The master ends the holder, if it is a worker of its own; else nobody has the lock. */
static void on_lock_stuck(uint32_t holder)
{
    struct worker_message m = {.kind = WORKER_LOCK_STUCK, .pid = holder};
    if (write(reports, &m, sizeof m) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "write() to the master failed");
}

static void watch_locks(const struct worker *w)
{
    reports = w->options->reports;
    shm_lock_on_stuck(reports >= 0 ? on_lock_stuck : NULL);
    shm_lock_bound(0); /* the master's own */
}

/* --- the beginning --- */

static void watch_time(struct worker *w)
{
    wheel_init(&w->wheel, w->now_ms);
    ev_timer_init(&w->wheel_timer, on_wheel, 0, 0);
    ev_timer_init(&w->log_flush, on_log_flush, 0, 0);
    /* A service manager wants to hear more often. */
    const char *watchdog_us = getenv("WATCHDOG_USEC");
    double every_s =
        watchdog_us && atof(watchdog_us) > 0 && atof(watchdog_us) < 4e6 ? atof(watchdog_us) / 4e6 : 1;
    ev_timer_init(&w->heartbeat, on_heartbeat, every_s, every_s);
    ev_prepare_init(&w->before_wait, before_wait);
    ev_check_init(&w->after_wait, after_wait);
    ev_set_priority(&w->after_wait, EV_MAXPRI); /* the time first, then what uses it */
    w->wheel_timer.data = w->heartbeat.data = w->before_wait.data = w->after_wait.data = w;
    ev_timer_start(w->loop, &w->heartbeat);
    ev_prepare_start(w->loop, &w->before_wait);
    ev_check_start(w->loop, &w->after_wait);
}

static void watch_outside(struct worker *w)
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

static bool open_worker(struct worker *w, const struct worker_options *o)
{
    *w = (struct worker){
        .options = o, .site = o->site, .conf = o->site->conf, .shm = o->shm, .slot = &o->shm->slots[o->slot]};
    w->hooks =
        (struct worker_hooks){limit_settle, proxy_settle_queues, connection_run_ready, worker_do_urgent};
    w->look_after_orphans = offload_look_after_orphans;
    list_init(&w->busy);
    list_init(&w->idle);
    list_init(&w->orphans);
    list_init(&w->dead);
    w->ready_end = &w->ready;
    if (!become_worker(o))
        return false;
    w->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    w->input = malloc(INPUT_BYTES);
    if (!w->loop || !w->input) {
        log_emerg("cannot make an event loop");
        return false;
    }
    file_cache_init(&w->files);
    variables_open(w->shm);
    watch_locks(w);
    take_time(w);
    watch_time(w);
    return pools_open(w) && limit_open(w) && upstream_open_all(w) && resolve_open(w) && health_open(w) &&
           accept_open(w);
}

int worker_run(const struct worker_options *options)
{
    static struct worker worker;
    struct worker *w = &worker;
    if (options->channel >= 0) {
        prctl(PR_SET_NAME, "weir: worker");
        title_set("weir: worker process");
    }
    if (!open_worker(w, options))
        return 2;
    last_words_prepare(w);
    watch_outside(w);
    accept_start(w);
    w->slot->state = SHM_RUNNING;
    worker_publish_figures(w);
    send_message(w, WORKER_READY, counter_get(&w->slot->generation));
    ev_run(w->loop, 0);
    if (w->given_up)
        log_warn("%u handlers that are past their handler_timeout are left behind", w->given_up);
    bool quiet = pools_close(w);
    pools_log_silent(w);
    logfiles_flush_all(&w->site->access_files);
    open_logs_close(w);
    log_notice("exiting");
    worker_publish_figures(w);
    /* A handler still runs: what it uses must not be taken down under it. */
    if (!quiet)
        _exit(0);
    return 0;
}
