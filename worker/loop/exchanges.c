/*
 * worker/loop/exchanges.c - exchanges: kept for reuse, begun, copied when a job takes one away, freed.
 */
#include "worker/loop/exchanges.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/wheel.h"
#include "conf/settings.h"
#include "http/request/aside.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/filter.h"
#include "http/request/peer.h"
#include "http/wire/request.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

/* The sanitizer sees who still looks at a request that is over. */
#ifdef WEIR_SANITIZED
enum { EXCHANGES_ARE_KEPT = false };
#else
enum { EXCHANGES_ARE_KEPT = true };
#endif

enum { ARENA_BYTES = 4096 - 64, BODY_KEPT_BYTES = 16 << 10 };

struct http_exchange *exchange_new(struct worker *w)
{
    struct http_exchange *ex;
    if (w->free_exchange_count > 0) {
        ex = w->free_exchanges[--w->free_exchange_count];
        assert(ex->state == REQUEST_RUNS && !ex->connection && ex->body.kept.fd < 0);
        return ex;
    }
    ex = calloc(1, sizeof *ex);
    if (!ex)
        return NULL;
    arena_init(&ex->arena, ARENA_BYTES);
    ex->body.kept.fd = -1;
    wheel_entry_init(&ex->timer);
    ex->timer.kind = WORKER_TIMER_REQUEST;
    return ex;
}

/* All but the captures, the arena's first chunk and the body's buffer begins anew. */
static void reset_exchange(struct http_exchange *ex)
{
    struct arena arena = ex->arena;
    spool_empty(&ex->body.kept);
    struct wheel_entry timer = ex->timer;
    assert(timer.deadline_ms == 0 && timer.kind == WORKER_TIMER_REQUEST);
    ex->req = (struct http_request){0};
    memset(&ex->route, 0, offsetof(struct http_route, server_captures));
    memset((char *)ex + offsetof(struct http_exchange, res), 0,
           sizeof *ex - offsetof(struct http_exchange, res));
    ex->arena = arena;
    ex->timer = timer;
    memset((char *)&ex->body + sizeof ex->body.kept, 0, sizeof ex->body - sizeof ex->body.kept);
}

void exchange_destroy(struct http_exchange *ex)
{
    spool_free(&ex->body.kept);
    arena_free(&ex->arena);
    free(ex);
}

void exchange_release(struct worker *w, struct http_exchange *ex)
{
    wheel_clear(&ex->timer);
    (void)w;
    http_run_cleanups(ex);
    if (ex->aside)
        http_take_back_body(ex);
    http_drop_bodies(ex);
}

void exchange_recycle(struct worker *w, struct http_exchange *ex)
{
    /* All that the request held has gone back. */
    assert(!ex->cleanups && !ex->sent.filters && !ex->release && !ex->aside && !ex->reading.at_work);
    assert(ex->body.kept.fd < 0 && ex->timer.deadline_ms == 0 && list_empty(&ex->timer.node));
    assert(!ex->limits.permits && ex->limits.conn_permit_count == 0);
    if (ex->body.kept.memory.cap + ex->body.kept.behind.cap > BODY_KEPT_BYTES)
        spool_free(&ex->body.kept);
    if (!EXCHANGES_ARE_KEPT || w->free_exchange_count == EXCHANGES_KEPT) {
        exchange_destroy(ex);
        return;
    }
    arena_reset(&ex->arena);
    reset_exchange(ex);
    assert(w->free_exchange_count < EXCHANGES_KEPT);
    w->free_exchanges[w->free_exchange_count++] = ex;
}

void exchange_free(struct worker *w, struct http_exchange *ex)
{
    exchange_release(w, ex);
    exchange_recycle(w, ex);
}

void exchange_bury(struct worker *w, struct http_exchange *ex)
{
    assert(ex->state == REQUEST_GONE && !ex->next_buried);
    ex->next_buried = w->buried;
    w->buried = ex;
}

void exchange_free_buried(struct worker *w)
{
    while (w->buried) {
        struct http_exchange *ex = w->buried;
        w->buried = ex->next_buried;
        exchange_recycle(w, ex);
    }
}

void exchange_begin(struct http_exchange *ex, struct worker *w)
{
    assert(ex->state == REQUEST_RUNS && ex->client.protocol && ex->client.listen);
    ex->worker = w;
    ex->now_ms = &w->now_ms;
    ex->start_ms = w->now_ms;
    ex->start_wall_ms = w->now_wall_ms;
    ex->route.server_captures.count = ex->route.location_captures.count = 0;
    ex->client.peer = http_make_peer;
    ex->client.own = http_make_own;
    if (ex->client.told_header)
        ex->client.told = http_make_told(ex, ex->client.told_header);
}

bool exchange_parse(struct http_exchange *ex, struct http_error *error)
{
    const struct settings *s = ex->client.listen_settings;
    struct http_parse_options options = {s->client.merge_slashes != 0, s->client.underscores_in_headers != 0,
                                         s->client.ignore_invalid_headers != 0, (int)s->client.max_headers,
                                         ex->client.http2};
    return http_parse_head(&ex->req, &ex->arena, ex->head.data, ex->head.len, &options, error);
}

/* The texts go with the arena that they lie in. */
static void copy_captures(struct http_exchange *copy, struct http_captures *to,
                          const struct http_captures *from)
{
    to->regex = from->regex;
    to->count = from->count;
    assert(from->count >= 0 && from->count <= HTTP_GROUPS_MAX);
    for (int i = 0; i < from->count; i++)
        to->groups[i] = arena_dup(&copy->arena, from->groups[i]);
}

/* Where the request stands, for one that goes on without what the job has. */
static void copy_route(struct http_exchange *copy, const struct http_route *route)
{
    memcpy(&copy->route, route, offsetof(struct http_route, server_captures));
    copy->route.alias_rest = arena_dup(&copy->arena, route->alias_rest);
    copy_captures(copy, &copy->route.server_captures, &route->server_captures);
    copy_captures(copy, &copy->route.location_captures, &route->location_captures);
}

/* How far the body has come; what there is of it stays with the job. */
static void copy_body_marks(struct http_exchange *copy, const struct http_body *body)
{
    struct spool kept = copy->body.kept;
    copy->body = *body;
    copy->body.kept = kept;
    copy->body.file = (struct slice){0};
    copy->body.len = 0;
}

/* The same client, with texts of the copy's own. */
static void copy_client(struct http_exchange *copy, const struct http_client *client)
{
    copy->client = *client;
    copy->client.known = copy->client.told = NULL;
    copy->client.direct_addr = arena_dup(&copy->arena, client->direct_addr);
    copy->client.direct_port = arena_dup(&copy->arena, client->direct_port);
}

/* Permits of concurrency are the job's, those of connections the client's. */
static void leave_permits(struct http_exchange *copy, struct http_exchange *old)
{
    struct http_cleanup **c = &old->cleanups;
    copy->limits.permits = NULL;
    copy->limits.served = copy->limits.let_go = NULL;
    copy->limits.runs_in = NULL;
    copy->limits.held_count = 0;
    old->client.tls = NULL; /* the stream is the client's, too */
    old->limits.conn_permit_count = 0;
    while (*c && *c != &old->limits.conn_cleanup)
        c = &(*c)->next;
    if (!*c)
        return;
    *c = (*c)->next;
    copy->limits.conn_cleanup.next = NULL;
    http_add_cleanup(copy, &copy->limits.conn_cleanup);
}

struct http_exchange *exchange_leave_to_job(struct http_exchange *old)
{
    struct http_exchange *copy = exchange_new(old->worker);
    struct http_error error;
    assert(old->job && !old->proxy && !old->reading.at_work);
    assert(old->state != REQUEST_GONE && old->connection);
    wheel_clear(&old->timer);
    /* Without a copy the request is over, with no line of a log. */
    if (!copy) {
        struct worker *w = old->worker;
        assert(w->in_flight > 0);
        counter_set(&w->slot->in_flight, --w->in_flight);
        old->client.protocol->replace(old, NULL);
        return NULL;
    }
    copy_client(copy, &old->client);
    exchange_begin(copy, old->worker);
    copy->connection = old->connection;
    copy->stream = old->stream;
    copy->head = arena_dup(&copy->arena, old->head);
    if (copy->head.data)
        exchange_parse(copy, &error);
    copy_route(copy, http_own_route(old));
    copy_body_marks(copy, http_own_body(old));
    copy->start_ms = old->start_ms;
    copy->start_wall_ms = old->start_wall_ms;
    copy->request_bytes = old->request_bytes;
    copy->ran_in = old->ran_in;
    copy->sent.head = old->sent.head;
    copy->sent.body = old->sent.body;
    copy->limits = old->limits;
    leave_permits(copy, old);
    for (const struct http_named *n = old->named; n; n = n->next)
        http_set_named(copy, n->name, arena_dup(&copy->arena, n->value));
    copy->state = old->state;
    old->client.protocol->replace(old, copy);
    return copy;
}
