/*
 * worker/turn.c - a turn of a worker's loop: the time, deadlines, what is settled before the loop waits, and the heartbeat.
 */
#include "worker/turn.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/logfile.h"
#include "base/memory.h"
#include "base/version.h"
#include "base/wheel.h"
#include "handlers/cancel.h"
#include "handlers/guest.h"
#include "handlers/lend.h"
#include "handlers/lend_back.h"
#include "handlers/process_set.h"
#include "http/access/limit.h"
#include "http/client/connections.h"
#include "http/filters/filters.h"
#include "http/h1/version.h"
#include "http/h2/version.h"
#include "http/serve/open_logs.h"
#include "http/site/site.h"
#include "http/wire/response.h"
#include "proxy/http2.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"
#include "shm/permit.h"
#include "shm/reclaim.h"
#include "worker/loop/doors.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/figures.h"
#include "worker/loop/pools.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"
#include "worker/spread.h"

#include <assert.h>
#include <stdlib.h>

enum { PURGE_AFTER_REQUESTS = 1 };

void turn_take_time(struct worker *w)
{
    uint64_t now_ms = clock_mono_ms();
    assert(now_ms >= w->now_ms);
    w->now_ms = now_ms;
    w->now_wall_ms = clock_wall_ms();
    w->files.turn++;
    w->files.now_ms = w->now_ms;
    http_stamp_update(&w->stamps[0], WEIR_NAME, (time_t)(w->now_wall_ms / 1000));
    http_stamp_update(&w->stamps[1], WEIR_NAME "/" WEIR_VERSION, (time_t)(w->now_wall_ms / 1000));
}

static void on_deadline(struct wheel_entry *e, void *worker)
{
    (void)worker;
    if (e->kind == WORKER_TIMER_REQUEST)
        request_on_timer(e);
    else if (e->kind == WORKER_TIMER_PROXY)
        proxy_on_timer(e);
    else if (e->kind == WORKER_TIMER_UPSTREAM)
        upstream_on_timer(e);
    else if (e->kind == WORKER_TIMER_CARRIER)
        http2_on_timer(e);
    else if (e->kind == WORKER_TIMER_STREAM)
        h2_stream_on_timer(e);
    else
        connection_on_timer(e);
}

static void on_wheel(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)loop;
    (void)events;
    assert(w->wheel_armed_ms != 0 && !w->driving);
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

/* Lines that wait for flush= go out also when nothing else happens: before_wait comes then. */
static void on_log_flush(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
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

/* Each connection is counted by one gauge. For an assert alone, which the installed build has not. */
__attribute__((unused)) static bool all_are_shown(const struct worker *w)
{
    unsigned sum = 0;
    for (int i = 0; i < SHM_CONNECTION_STATES; i++)
        sum += w->shown[i];
    return sum == w->connections;
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
    } while (http2_go_on(w) || permit_any_changed(&w->permits) || w->ready);
    connection_free_dead(w);
    assert(list_empty(&w->dead) && buf_len(&w->output) == 0 && all_are_shown(w));
    flush_logs(w);
    arm_wheel(w);
    assert(w->given_up <= w->jobs);
    if (w->doors)
        spread_turn_ends(w);
    if (w->draining && w->connections == 0 && w->jobs == w->given_up && !doors_are_busy(w) &&
        !guest_is_there(w))
        ev_break(w->loop, EVBREAK_ALL);
}

static void after_wait(struct ev_loop *loop, ev_check *check, int events)
{
    struct worker *w = check->data;
    (void)loop;
    (void)events;
    w->served_last_turn = w->served_in_turn;
    w->served_in_turn = 0;
    w->shaken_in_turn_us = 0;
    turn_take_time(w);
    if (w->doors)
        spread_turn_begins(w);
}

/* Once a second. A worker that has become quiet after a burst gives the burst's memory back. */
static void on_heartbeat(struct ev_loop *loop, ev_timer *timer, int events)
{
    static uint64_t requests_before;
    struct worker *w = timer->data;
    (void)loop;
    (void)events;
    assert(!w->driving);
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
    h1_look_for_leavers(w);
    h2_look_after_idle(w);
    upstream_look_after(w);
    http2_look_after(w);
    proxy_settle_queues(w);
    resolve_look_after(w);
    guest_look_after(w);
    process_look_after();
    cancel_look_after();
    lend_look_after(w);
    lend_look_around(w);
    worker_publish_figures(w);
}

void turn_watch(struct worker *w)
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
