/*
 * http/access/limit_keyed.c - nginx's limits on the way of a request: limit_req first, which may delay it, then limit_conn.
 *
 * As in nginx they are asked once for each request, whatever error pages and other URIs follow. A connection counts until
 * its request is over.
 */
#include "http/access/limit_keyed.h"

#include "base/clock.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/site.h"
#include "shm/keyed.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

enum { THOUSAND = 1000 };

static enum log_level one_lower(int64_t level)
{
    return (enum log_level)(level < LOG_LEVEL_INFO ? level + 1 : level);
}

/* The key's value; false when this limit does not count the request. */
static bool key_of(const struct location_keyed *l, struct http_exchange *ex, bool complain, struct slice *key)
{
    *key = http_template_expand(l->key, ex);
    if (key->len == 0)
        return false;
    if (key->len <= KEYED_KEY_MAX)
        return true;
    if (complain)
        http_log(ex, LOG_LEVEL_ERROR, "the value of the \"%.*s\" key is more than %d bytes: \"%.*s\"",
                 SLICE_ARGS(l->zone->key), KEYED_KEY_MAX, SLICE_ARGS(*key));
    return false;
}

/* --- requests in time --- */

static void log_excess(struct http_exchange *ex, enum log_level level, const char *what, const char *comma,
                       uint64_t excess, const struct location_keyed *l)
{
    http_log(ex, level, "%s%s, excess: %llu.%03llu%s by zone \"%.*s\"", what,
             ex->route.settings->limit_req.dry_run ? ", dry run" : "",
             (unsigned long long)(excess / THOUSAND), (unsigned long long)(excess % THOUSAND), comma,
             SLICE_ARGS(l->zone->name));
}

/* One zone's say. The longest delay is kept. */
static enum keyed_result ask_rate(struct http_exchange *ex, const struct location_keyed *l, bool account,
                                  uint64_t *excess, uint64_t *delay_ms)
{
    struct worker *w = ex->worker;
    struct keyed_rate rate = {(uint64_t)l->zone->rate, (uint64_t)l->limit->burst};
    struct slice key;
    *excess = 0;
    if (!key_of(l, ex, account, &key))
        return KEYED_OK;
    ex->limits.req_status = "PASSED";
    if (account && ex->route.location->req_limit_count > 1)
        rate.burst = UINT64_MAX; /* it has passed: others that came in between must not undo that */
    enum keyed_result result =
        keyed_request(w->shm, (unsigned)l->zone->index, key, clock_fast_us(), rate, account, excess);
    uint64_t free = (uint64_t)l->limit->delay;
    uint64_t ms = *excess > free ? (*excess - free) * THOUSAND / rate.rate : 0;
    if (result == KEYED_OK && ms > *delay_ms)
        *delay_ms = ms;
    return result;
}

static struct verdict reject_request(struct http_exchange *ex, const struct location_keyed *l,
                                     uint64_t excess)
{
    const struct settings *s = ex->route.settings;
    log_excess(ex, (enum log_level)s->limit_req.log_level, "limiting requests", "", excess, l);
    ex->limits.req_status = s->limit_req.dry_run ? "REJECTED_DRY_RUN" : "REJECTED";
    return s->limit_req.dry_run ? verdict_of(VERDICT_NEXT) : verdict_answer((int)s->limit_req.status);
}

/* Asks all zones first, and counts the request in them only if none refuses it. */
static struct verdict ask_rates(struct http_exchange *ex, uint64_t *delay_ms)
{
    const struct location *l = ex->route.location;
    uint64_t excess = 0, most = 0;
    int slowest = 0;
    for (int account = l->req_limit_count > 1 ? 0 : 1; account < 2; account++) {
        *delay_ms = 0;
        for (int i = 0; i < l->req_limit_count; i++) {
            uint64_t before = *delay_ms;
            if (ask_rate(ex, &l->req_limits[i], account, &excess, delay_ms) != KEYED_OK)
                return reject_request(ex, &l->req_limits[i], excess);
            if (*delay_ms > before) {
                slowest = i;
                most = excess;
            }
        }
    }
    if (*delay_ms) {
        log_excess(ex, one_lower(l->settings->limit_req.log_level), "delaying request", ",", most,
                   &l->req_limits[slowest]);
        ex->limits.req_status = l->settings->limit_req.dry_run ? "DELAYED_DRY_RUN" : "DELAYED";
    }
    return verdict_of(VERDICT_NEXT);
}

/* The delay is over. */
static void go_on(struct http_exchange *ex)
{
    request_resume(ex, verdict_of(VERDICT_AGAIN));
}

static struct verdict pass_rates(struct http_exchange *ex)
{
    uint64_t delay_ms = 0;
    if (ex->route.location->req_limit_count == 0 || ex->limits.req_status)
        return verdict_of(VERDICT_NEXT);
    struct verdict v = ask_rates(ex, &delay_ms);
    if (v.kind != VERDICT_NEXT || delay_ms == 0 || ex->route.settings->limit_req.dry_run)
        return v;
    return request_wait(ex, REQUEST_DELAYED, (int64_t)delay_ms, go_on);
}

/* --- connections at a time --- */

static void give_back(struct http_exchange *ex)
{
    while (ex->limits.conn_permit_count > 0)
        keyed_let_go(&ex->worker->permits, ex->limits.conn_permits[--ex->limits.conn_permit_count]);
}

static struct verdict reject_connection(struct http_exchange *ex, const struct location_keyed *l)
{
    const struct settings *s = ex->route.settings;
    http_log(ex, (enum log_level)s->limit_conn.log_level, "limiting connections%s by zone \"%.*s\"",
             s->limit_conn.dry_run ? ", dry run," : "", SLICE_ARGS(l->zone->name));
    give_back(ex);
    ex->limits.conn_status = s->limit_conn.dry_run ? "REJECTED_DRY_RUN" : "REJECTED";
    return s->limit_conn.dry_run ? verdict_of(VERDICT_NEXT) : verdict_answer((int)s->limit_conn.status);
}

static struct verdict pass_connections(struct http_exchange *ex)
{
    struct worker *w = ex->worker;
    const struct location *l = ex->route.location;
    if (l->conn_limit_count == 0 || ex->limits.conn_status)
        return verdict_of(VERDICT_NEXT);
    for (int i = 0; i < l->conn_limit_count; i++) {
        const struct location_keyed *k = &l->conn_limits[i];
        struct slice key;
        uint32_t permit;
        if (!key_of(k, ex, true, &key))
            continue;
        ex->limits.conn_status = "PASSED";
        if (keyed_hold(&w->permits, (unsigned)k->zone->index, key, (uint32_t)k->limit->number, &permit) !=
            KEYED_OK)
            return reject_connection(ex, k);
        ex->limits.conn_permits[ex->limits.conn_permit_count++] = permit;
        if (!ex->limits.conn_cleanup.run) {
            ex->limits.conn_cleanup = (struct http_cleanup){.run = give_back};
            http_add_cleanup(ex, &ex->limits.conn_cleanup);
        }
    }
    return verdict_of(VERDICT_NEXT);
}

struct verdict keyed_pass(struct http_exchange *ex)
{
    struct verdict v = pass_rates(ex);
    return v.kind == VERDICT_NEXT ? pass_connections(ex) : v;
}
