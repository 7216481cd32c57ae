/*
 * http/access/limit.c - limits of concurrency on the way of a request: it gets its permits and goes on, waits for them, or is
 * refused.
 *
 * A request asks for the permits of its location one after the other, in the order of their zones' names, so that no two
 * requests wait for each other. It holds them until its answer has gone, or until its handler ends where that runs on
 * without a client. The exchange carries them; whoever frees it gives them back.
 */
#include "http/access/limit.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/access/limit_settings.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/deadline.h"
#include "http/site/site.h"
#include "shm/permit.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

enum { RETRY_AFTER_S = 1, LOG_EVERY_MS = 1000 };

/* For changes whose datagram was lost with its sender. */
static const double LOOK_EVERY_S = 0.1;

/* What a request holds and waits for. In the exchange's arena. */
struct permits {
    struct http_cleanup cleanup; /* first */
    /* Of its location's limits: the one that it asks for or waits for. */
    int next;
    uint32_t waiting; /* with CONNECTION_QUEUED */
    bool all;         /* it has got all: the work has begun */
    uint64_t since_us, admitted_us, served_us;
};

static const struct location_limit *current(struct http_exchange *ex)
{
    return &location_limits_of(ex->route.location)->items[ex->limits.permits->next];
}

static unsigned zone_index(const struct location_limit *l)
{
    return (unsigned)l->zone->index;
}

/* --- what is said of it --- */

static void note(struct http_exchange *ex, const char *status, const char *reason)
{
    ex->limits.status = status;
    ex->limits.reason = reason;
    ex->limits.zone = current(ex)->zone->name;
    ex->limits.queue_ms = (clock_fast_us() - ex->limits.permits->since_us) / 1000;
}

/* One line a second for each zone: under overload a line for each refusal would cost more than the refusal. */
static void log_refusal(struct http_exchange *ex, enum permit_reason why, bool dry_run)
{
    struct worker *w = ex->worker;
    const struct location_limit *l = current(ex);
    struct limit_noise *noise = &w->limit_noise[zone_index(l)];
    noise->level = (int)concurrency_settings_of(ex->route.settings)->log_level;
    noise->zone = l->zone;
    if (noise->logged_ms && w->now_ms < noise->logged_ms + LOG_EVERY_MS) {
        noise->silent++;
        return;
    }
    http_log(ex, (enum log_level)noise->level, "limiting concurrency%s by zone \"%.*s\": %s",
             dry_run ? ", dry run," : "", SLICE_ARGS(l->zone->name), permit_reason_names[why]);
    noise->logged_ms = w->now_ms;
}

void limit_log_silent(struct worker *w)
{
    for (int i = 0; i < PERMIT_ZONES; i++) {
        struct limit_noise *noise = &w->limit_noise[i];
        if (noise->silent == 0 || w->now_ms < noise->logged_ms + LOG_EVERY_MS)
            continue;
        log_write((enum log_level)noise->level,
                  "limiting concurrency by zone \"%.*s\": %llu more requests refused",
                  SLICE_ARGS(noise->zone->name), (unsigned long long)noise->silent);
        noise->silent = 0;
        noise->logged_ms = w->now_ms;
    }
}

/* --- giving back --- */

/* For policies that measure: the time until now is the work's. */
static void note_served(struct http_exchange *ex)
{
    struct permits *p = ex->limits.permits;
    if (!p)
        return;
    p->served_us = clock_fast_us();
    for (int i = 0; i < ex->limits.held_count; i++)
        permit_note_served(&ex->worker->permits, ex->limits.held[i]);
}

static void note_runs_in(struct http_exchange *ex, int slot)
{
    for (int i = 0; i < ex->limits.held_count; i++)
        permit_note_runs_in(&ex->worker->permits, ex->limits.held[i], slot);
}

/* unserved: the time until now says nothing of the work. */
static void give_back(struct http_exchange *ex, bool unserved)
{
    struct permits *p = ex->limits.permits;
    if (!p)
        return;
    uint64_t now_us = clock_fast_us(), end_us = p->served_us ? p->served_us : now_us;
    uint64_t rtt_us = p->all && !unserved && end_us > p->admitted_us ? end_us - p->admitted_us : 0;
    ex->limits.permits = NULL;
    while (ex->limits.held_count > 0)
        permit_release(&ex->worker->permits, ex->limits.held[--ex->limits.held_count], now_us, rtt_us);
}

static void let_go(struct http_exchange *ex)
{
    give_back(ex, false);
}

/* --- asking --- */

static void describe(const struct http_exchange *ex, struct permit_about *about)
{
    size_t uri = ex->req.uri.len, method = ex->req.method_name.len;
    about->runs_in = -1;
    about->client_len = (uint8_t)ex->client.remote_len;
    memcpy(about->client, ex->client.remote, sizeof about->client);
    about->method_len = (uint8_t)(method < PERMIT_METHOD_BYTES ? method : PERMIT_METHOD_BYTES);
    memcpy(about->method, ex->req.method_name.data, about->method_len);
    about->uri_len = (uint8_t)(uri < PERMIT_URI_BYTES ? uri : PERMIT_URI_BYTES);
    memcpy(about->uri, ex->req.uri.data, about->uri_len);
}

static enum permit_priority priority_of(const struct location_limit *l, struct http_exchange *ex)
{
    if (!l->priority_text)
        return l->priority;
    struct slice text = http_template_expand(l->priority_text, ex);
    /* $http2_urgency */
    if (text.len == 1 && text.data[0] >= '0' && text.data[0] <= '7')
        return text.data[0] < '3' ? PERMIT_HIGH : text.data[0] > '3' ? PERMIT_LOW : PERMIT_NORMAL;
    return slice_eq(text, SLICE("high"))  ? PERMIT_HIGH
           : slice_eq(text, SLICE("low")) ? PERMIT_LOW
                                          : PERMIT_NORMAL;
}

bool limit_count_free(const struct http_exchange *ex, unsigned *count)
{
    const struct location_limits *limits = location_limits_of(ex->route.location);
    *count = UINT32_MAX;
    for (int i = 0; i < limits->count; i++) {
        const struct permit_zone *z = &ex->worker->shm->permits->zones[zone_index(&limits->items[i])];
        unsigned limit = z->limit, held = z->held, left = limit > held ? limit - held : 0;
        *count = left < *count ? left : *count;
    }
    return limits->count > 0;
}

static struct verdict refuse(struct http_exchange *ex, enum permit_reason why)
{
    note(ex, "REJECTED", permit_reason_names[why]);
    log_refusal(ex, why, false);
    ex->worker->refused++;
    give_back(ex, true);
    if (request_is_late(ex))
        return verdict_answer(504);
    ex->res.retry_after_s = RETRY_AFTER_S;
    return verdict_answer((int)concurrency_settings_of(ex->route.settings)->status);
}

static void give_up_waiting(struct http_exchange *ex);

static void begin_to_wait(struct http_exchange *ex, uint32_t permit)
{
    struct worker *w = ex->worker;
    uint64_t waited_ms = (clock_fast_us() - ex->limits.permits->since_us) / 1000;
    int64_t left_ms = current(ex)->zone->queue_timeout_ms - (int64_t)waited_ms;
    uint64_t deadline_ms = request_deadline_ms(ex);
    int64_t deadline_left_ms = (int64_t)(deadline_ms - w->now_ms);
    if (deadline_ms && deadline_left_ms < left_ms)
        left_ms = deadline_left_ms;
    ex->limits.permits->waiting = permit;
    w->waiting[permit] = ex;
    if (w->waiters++ == 0)
        ev_timer_start(w->loop, &w->limit_look);
    request_wait(ex, REQUEST_QUEUED, left_ms > 0 ? left_ms : 1, give_up_waiting);
}

static void end_wait(struct http_exchange *ex)
{
    struct worker *w = ex->worker;
    w->waiting[ex->limits.permits->waiting] = NULL;
    if (--w->waiters == 0)
        ev_timer_stop(w->loop, &w->limit_look);
    request_pause(ex, 0, NULL);
    ex->state = REQUEST_READY;
}

static void hold(struct http_exchange *ex, uint32_t permit)
{
    assert(ex->limits.held_count < HTTP_PERMITS_MAX);
    ex->limits.held[ex->limits.held_count++] = permit;
}

static void take(struct http_exchange *ex, uint32_t permit)
{
    hold(ex, permit);
    ex->limits.permits->next++;
}

/* A request that a dry run lets pass, although there is no permit for it. */
static void pass_dry(struct http_exchange *ex, enum permit_result result, enum permit_reason why)
{
    note(ex, result == PERMIT_WAIT ? "QUEUED_DRY_RUN" : "REJECTED_DRY_RUN",
         result == PERMIT_WAIT ? NULL : permit_reason_names[why]);
    if (result == PERMIT_NO)
        log_refusal(ex, why, true);
    ex->limits.permits->next++;
}

/* Asks for what is still missing. */
static struct verdict ask(struct http_exchange *ex)
{
    struct worker *w = ex->worker;
    struct permits *p = ex->limits.permits;
    struct permit_about about;
    describe(ex, &about);
    while (p->next < location_limits_of(ex->route.location)->count) {
        const struct location_limit *l = current(ex);
        struct permit_request request = {.zone = zone_index(l),
                                         .priority = priority_of(l, ex),
                                         .now_us = clock_fast_us(),
                                         .dry_run = concurrency_settings_of(ex->route.settings)->dry_run};
        enum permit_reason why = PERMIT_LIMIT;
        uint32_t permit;
        enum permit_result result = permit_acquire(&w->permits, &request, &about, &permit, &why);
        if (result == PERMIT_GO) {
            ex->limits.zone = l->zone->name;
            take(ex, permit);
        } else if (request.dry_run) {
            pass_dry(ex, result, why);
        } else if (result == PERMIT_WAIT) {
            begin_to_wait(ex, permit);
            return verdict_of(VERDICT_WAIT);
        } else {
            return refuse(ex, why);
        }
    }
    p->all = true;
    p->admitted_us = clock_fast_us();
    if (!ex->limits.status)
        ex->limits.status = "PASSED";
    return verdict_of(VERDICT_NEXT);
}

bool limit_is_set(const struct location *l)
{
    return location_limits_of(l)->count > 0;
}

struct verdict limit_pass(struct http_exchange *ex)
{
    if (!limit_is_set(ex->route.location) || ex->limits.status)
        /* None, or it has passed: an error page or another URI of the same request. */
        return verdict_of(VERDICT_NEXT);
    ex->limits.permits = arena_zalloc(&ex->arena, sizeof *ex->limits.permits);
    if (!ex->limits.permits)
        return verdict_answer(500);
    ex->limits.permits->since_us = clock_fast_us();
    ex->limits.permits->cleanup.run = ex->limits.let_go = let_go;
    ex->limits.served = note_served;
    ex->limits.runs_in = note_runs_in;
    http_add_cleanup(ex, &ex->limits.permits->cleanup);
    return ask(ex);
}

/* --- what becomes of those that wait --- */

/* Its leaving may stand among this turn's events, behind the one that has let it in. */
static bool client_has_left(struct http_exchange *ex)
{
    return ex->client.protocol->has_left(ex);
}

static void settle(struct http_exchange *ex, enum permit_result result, enum permit_reason why)
{
    uint32_t permit = ex->limits.permits->waiting;
    end_wait(ex);
    if (result != PERMIT_GO) {
        request_resume(ex, refuse(ex, why));
        return;
    }
    note(ex, "QUEUED", NULL);
    take(ex, permit);
    if (client_has_left(ex))
        client_reset(ex); /* the permit goes on to the next one */
    else
        request_resume(ex, ask(ex));
}

/* What others have granted and refused. */
static void settle_changed(struct worker *w)
{
    uint32_t permit;
    while ((permit = permit_next_changed(&w->permits)) != UINT32_MAX) {
        struct http_exchange *ex = w->waiting[permit];
        enum permit_reason why = PERMIT_LIMIT;
        enum permit_result result = ex ? permit_look(&w->permits, permit, &why) : PERMIT_WAIT;
        if (result != PERMIT_WAIT)
            settle(ex, result, why);
    }
}

void limit_settle(struct worker *w)
{
    if (permit_any_changed(&w->permits))
        settle_changed(w);
}

/* Ends the wait in shared memory. What came too late to be refused is held, and given back with the exchange. */
static enum permit_result leave(struct http_exchange *ex, enum permit_reason *why)
{
    return permit_leave(&ex->worker->permits, ex->limits.permits->waiting, clock_fast_us(), why);
}

/* queue_timeout */
static void give_up_waiting(struct http_exchange *ex)
{
    enum permit_reason why = PERMIT_QUEUE_TIMEOUT;
    enum permit_result result = leave(ex, &why);
    settle(ex, result, why);
}

void limit_client_gone(struct http_exchange *ex)
{
    enum permit_reason why = PERMIT_CLIENT_GONE;
    if (leave(ex, &why) == PERMIT_GO)
        hold(ex, ex->limits.permits->waiting);
    note(ex, "REJECTED", permit_reason_names[why]);
    end_wait(ex);
}

void limit_refuse_waiting(struct worker *w)
{
    for (uint32_t i = 0; i < SHM_PERMITS_PER_SLOT && w->waiters > 0; i++) {
        struct http_exchange *ex = w->waiting[i];
        enum permit_reason why = PERMIT_DRAINING;
        if (!ex)
            continue;
        if (leave(ex, &why) == PERMIT_GO)
            hold(ex, i);
        end_wait(ex);
        request_resume(ex, refuse(ex, why));
    }
    w->hooks.run_ready(w);
}

/* --- the worker's side --- */

static void on_datagram(struct ev_loop *loop, ev_io *io, int events)
{
    struct worker *w = io->data;
    (void)loop;
    (void)events;
    permit_heard(&w->permits);
    limit_settle(w);
    w->hooks.settle_queues(w);
    w->hooks.run_ready(w);
}

/*
 * A change is seen here even where nobody could say it, because who made it died in between; and what was given to a process
 * that does not take it up goes on to others.
 */
static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)loop;
    (void)events;
    uint64_t zones = 0;
    for (uint32_t i = 0; i < SHM_PERMITS_PER_SLOT && w->waiters > 0; i++) {
        struct http_exchange *ex = w->waiting[i];
        enum permit_reason why = PERMIT_LIMIT;
        enum permit_result result = ex ? permit_look(&w->permits, i, &why) : PERMIT_WAIT;
        if (ex && result == PERMIT_WAIT)
            zones |= 1ull << zone_index(current(ex));
        else if (ex)
            settle(ex, result, why);
    }
    permit_heard(&w->permits);
    for (unsigned zone = 0; zones; zone++, zones >>= 1)
        if (zones & 1)
            permit_tend(&w->permits, zone, clock_fast_us());
    limit_settle(w);
}

bool limit_open(struct worker *w)
{
    w->waiting = calloc(SHM_PERMITS_PER_SLOT, sizeof(struct http_exchange *));
    if (!w->waiting || !permit_open(&w->permits, w->shm, w->options->slot)) {
        log_emerg("cannot make the socket or the memory for limits of concurrency");
        return false;
    }
    ev_io_init(&w->limit_socket, on_datagram, w->permits.socket, EV_READ);
    ev_set_priority(&w->limit_socket, URGENT_PRIORITY);
    ev_timer_init(&w->limit_look, on_look, LOOK_EVERY_S, LOOK_EVERY_S);
    w->limit_socket.data = w->limit_look.data = w;
    ev_io_start(w->loop, &w->limit_socket);
    return true;
}
