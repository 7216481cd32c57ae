/*
 * worker/limit_keyed.c - nginx's limits on the way of a request: limit_req first, which may delay it, then limit_conn.
 *
 * As in nginx they are asked once for each request, whatever error pages and other URIs follow. A connection counts until
 * its request is over.
 */
#include "worker/core.h"

#include "base/clock.h"
#include "shm/keyed.h"

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

static void log_excess(struct connection *c, enum log_level level, const char *what, const char *comma,
                       uint64_t excess, const struct location_keyed *l)
{
    http_log(c->ex, level, "%s%s, excess: %llu.%03llu%s by zone \"%.*s\"", what,
             c->location->settings->limit_req_dry_run ? ", dry run" : "",
             (unsigned long long)(excess / THOUSAND), (unsigned long long)(excess % THOUSAND), comma,
             SLICE_ARGS(l->zone->name));
}

/* One zone's say. The longest delay is kept. */
static enum keyed_result ask_rate(struct connection *c, const struct location_keyed *l, bool account,
                                  uint64_t *excess, uint64_t *delay_ms)
{
    struct worker *w = connection_worker(c);
    struct keyed_rate rate = {(uint64_t)l->zone->rate, (uint64_t)l->limit->burst};
    struct slice key;
    *excess = 0;
    if (!key_of(l, c->ex, account, &key))
        return KEYED_OK;
    c->ex->limits.req_status = "PASSED";
    if (account && c->location->req_limit_count > 1)
        rate.burst = UINT64_MAX; /* it has passed: others that came in between must not undo that */
    enum keyed_result result =
        keyed_request(w->shm, (unsigned)l->zone->index, key, clock_fast_us(), rate, account, excess);
    uint64_t free = (uint64_t)l->limit->delay;
    uint64_t ms = *excess > free ? (*excess - free) * THOUSAND / rate.rate : 0;
    if (result == KEYED_OK && ms > *delay_ms)
        *delay_ms = ms;
    return result;
}

static struct verdict reject_request(struct connection *c, const struct location_keyed *l, uint64_t excess)
{
    const struct settings *s = c->location->settings;
    log_excess(c, (enum log_level)s->limit_req_log_level, "limiting requests", "", excess, l);
    c->ex->limits.req_status = s->limit_req_dry_run ? "REJECTED_DRY_RUN" : "REJECTED";
    return s->limit_req_dry_run ? verdict_of(VERDICT_NEXT) : verdict_answer((int)s->limit_req_status);
}

/* Asks all zones first, and counts the request in them only if none refuses it. */
static struct verdict ask_rates(struct connection *c, uint64_t *delay_ms)
{
    const struct location *l = c->location;
    uint64_t excess = 0, most = 0;
    int slowest = 0;
    for (int account = l->req_limit_count > 1 ? 0 : 1; account < 2; account++) {
        *delay_ms = 0;
        for (int i = 0; i < l->req_limit_count; i++) {
            uint64_t before = *delay_ms;
            if (ask_rate(c, &l->req_limits[i], account, &excess, delay_ms) != KEYED_OK)
                return reject_request(c, &l->req_limits[i], excess);
            if (*delay_ms > before) {
                slowest = i;
                most = excess;
            }
        }
    }
    if (*delay_ms) {
        log_excess(c, one_lower(l->settings->limit_req_log_level), "delaying request", ",", most,
                   &l->req_limits[slowest]);
        c->ex->limits.req_status = l->settings->limit_req_dry_run ? "DELAYED_DRY_RUN" : "DELAYED";
    }
    return verdict_of(VERDICT_NEXT);
}

static struct verdict pass_rates(struct connection *c)
{
    uint64_t delay_ms = 0;
    if (c->location->req_limit_count == 0 || c->ex->limits.req_status)
        return verdict_of(VERDICT_NEXT);
    struct verdict v = ask_rates(c, &delay_ms);
    if (v.kind != VERDICT_NEXT || delay_ms == 0 || c->location->settings->limit_req_dry_run)
        return v;
    c->state = CONNECTION_DELAYED;
    connection_set_timer(c, (int64_t)delay_ms);
    return verdict_of(VERDICT_WAIT);
}

void keyed_delay_over(struct connection *c)
{
    int status = c->ex->access.delayed_status;
    c->ex->access.delayed_status = 0;
    request_resume(c, status ? verdict_answer(status) : verdict_of(VERDICT_AGAIN));
}

/* --- connections at a time --- */

static struct verdict reject_connection(struct connection *c, const struct location_keyed *l)
{
    const struct settings *s = c->location->settings;
    http_log(c->ex, (enum log_level)s->limit_conn_log_level, "limiting connections%s by zone \"%.*s\"",
             s->limit_conn_dry_run ? ", dry run," : "", SLICE_ARGS(l->zone->name));
    keyed_release(connection_worker(c), c->ex);
    c->ex->limits.conn_status = s->limit_conn_dry_run ? "REJECTED_DRY_RUN" : "REJECTED";
    return s->limit_conn_dry_run ? verdict_of(VERDICT_NEXT) : verdict_answer((int)s->limit_conn_status);
}

static struct verdict pass_connections(struct connection *c)
{
    struct worker *w = connection_worker(c);
    const struct location *l = c->location;
    struct http_exchange *ex = c->ex;
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
            return reject_connection(c, k);
        ex->limits.conn_permits[ex->limits.conn_permit_count++] = permit;
    }
    return verdict_of(VERDICT_NEXT);
}

void keyed_release(struct worker *w, struct http_exchange *ex)
{
    while (ex->limits.conn_permit_count > 0)
        keyed_let_go(&w->permits, ex->limits.conn_permits[--ex->limits.conn_permit_count]);
}

struct verdict keyed_pass(struct connection *c)
{
    struct verdict v = pass_rates(c);
    return v.kind == VERDICT_NEXT ? pass_connections(c) : v;
}
