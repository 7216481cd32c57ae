/*
 * worker/exchange.c - exchanges: kept for reuse, begun, copied when a job takes one away, freed.
 */
#include "worker/filter.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARENA_BYTES = 4096 - 64, BODY_KEPT_BYTES = 16 << 10 };

/* Empty where it is not known, as in nginx. */
static struct slice port_text(struct http_exchange *ex, unsigned port)
{
    return port ? arena_number(&ex->arena, port) : SLICE("");
}

/* The texts live in the exchange's arena. */
static const struct http_peer *make_peer(struct http_exchange *ex)
{
    static const struct http_peer nobody = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, {0}, 0, {NULL, 0}};
    struct net_address address = {0};
    char text[NET_ADDRESS_TEXT_BYTES];
    unsigned port;
    if (ex->known_peer)
        return ex->known_peer;
    struct http_peer *peer = arena_zalloc(&ex->arena, sizeof *peer);
    if (!peer)
        return &nobody;
    address.addr.ss_family = ex->remote_len == 4 ? AF_INET : ex->remote_len == 16 ? AF_INET6 : AF_UNIX;
    if (ex->remote_len == 4) {
        memcpy(&((struct sockaddr_in *)&address.addr)->sin_addr, ex->remote, 4);
        memcpy(&((struct sockaddr_in *)&address.addr)->sin_port, ex->remote + 16, 2);
    } else if (ex->remote_len == 16) {
        memcpy(&((struct sockaddr_in6 *)&address.addr)->sin6_addr, ex->remote, 16);
        memcpy(&((struct sockaddr_in6 *)&address.addr)->sin6_port, ex->remote + 16, 2);
    }
    memcpy(peer->remote_binary, ex->remote, 16);
    peer->remote_binary_len = ex->remote_len;
    size_t n = net_address_host(&address, text, &port);
    peer->remote_addr = arena_dup(&ex->arena, (struct slice){text, n});
    peer->remote_port = port_text(ex, port);
    ex->known_peer = peer;
    return peer;
}

static const struct http_peer *make_own(struct http_exchange *ex)
{
    struct net_address address = {0};
    char text[NET_ADDRESS_TEXT_BYTES];
    unsigned port;
    struct http_peer *peer = (struct http_peer *)(uintptr_t)ex->peer(ex);
    if (peer->server_addr.data)
        return peer;
    if (ex->socket < 0 || net_bound_address(ex->socket, &address) < 0)
        address = ((const struct site_listen *)ex->listen)->address;
    net_address_host(&address, text, &port);
    if (address.addr.ss_family == AF_UNIX)
        net_address_text(&address, text); /* with its path */
    peer->server_addr = arena_dup(&ex->arena, slice_of(text));
    peer->server_port = port_text(ex, port);
    return peer;
}

struct http_exchange *exchange_new(struct worker *w)
{
    struct http_exchange *ex;
    if (w->free_exchange_count > 0)
        return w->free_exchanges[--w->free_exchange_count];
    ex = calloc(1, sizeof *ex);
    if (!ex)
        return NULL;
    arena_init(&ex->arena, ARENA_BYTES);
    ex->body_fd = -1;
    return ex;
}

/* All but the captures, the arena's first chunk and the body's buffer starts anew. */
static void reset(struct http_exchange *ex)
{
    struct arena arena = ex->arena;
    struct buf body = ex->body;
    ex->req = (struct http_request){0};
    memset((char *)ex + offsetof(struct http_exchange, res), 0,
           sizeof *ex - offsetof(struct http_exchange, res));
    ex->arena = arena;
    ex->body = body;
    ex->body.start = ex->body.end = 0;
    ex->body_fd = -1;
}

void exchange_destroy(struct http_exchange *ex)
{
    buf_free(&ex->body);
    arena_free(&ex->arena);
    free(ex);
}

void exchange_drop_held(struct http_exchange *ex)
{
    filter_free(ex);
    if (ex->release)
        ex->release(ex->held);
    ex->release = NULL;
}

void exchange_drop_bodies(struct http_exchange *ex)
{
    exchange_drop_held(ex);
    if (ex->body_fd >= 0)
        close(ex->body_fd);
    if (ex->body_file.data && !ex->body_file_stays)
        unlink(ex->body_file.data);
    ex->body_file = (struct slice){0};
    ex->body_fd = -1;
    ex->body.start = ex->body.end = 0;
    ex->body_len = 0;
}

void exchange_free(struct worker *w, struct http_exchange *ex)
{
    limit_release(w, ex, false);
    keyed_release(w, ex);
    if (ex->detour)
        auth_request_restore_body(ex);
    exchange_drop_bodies(ex);
    if (ex->body.cap > BODY_KEPT_BYTES)
        buf_free(&ex->body);
    if (w->free_exchange_count == EXCHANGES_KEPT) {
        exchange_destroy(ex);
        return;
    }
    arena_reset(&ex->arena);
    reset(ex);
    w->free_exchanges[w->free_exchange_count++] = ex;
}

/* For $proxy_protocol_addr and its kin. */
static const struct http_peer *make_told(struct http_exchange *ex, const struct net_proxy_header *h)
{
    char text[INET6_ADDRSTRLEN];
    int family = h->address_len == 16 ? AF_INET6 : AF_INET;
    struct http_peer *peer = arena_zalloc(&ex->arena, sizeof *peer);
    if (!peer)
        return NULL;
    peer->remote_addr = arena_dup(&ex->arena, slice_of(inet_ntop(family, h->source, text, sizeof text)));
    peer->server_addr = arena_dup(&ex->arena, slice_of(inet_ntop(family, h->destination, text, sizeof text)));
    peer->remote_port = port_text(ex, h->source_port);
    peer->server_port = port_text(ex, h->destination_port);
    peer->tlvs = h->tlvs;
    return peer;
}

void exchange_begin(struct connection *c, struct http_exchange *ex)
{
    struct worker *w = connection_worker(c);
    ex->start_ms = c->in && c->in->since_ms ? c->in->since_ms : w->now_ms;
    ex->start_wall_ms = w->now_wall_ms;
    ex->connection_id = c->id;
    ex->connection_since_ms = c->since_ms;
    ex->connection_requests = c->requests;
    ex->server_captures.count = ex->location_captures.count = 0;
    ex->peer = make_peer;
    ex->own = make_own;
    ex->now_ms = &w->now_ms;
    ex->socket = c->io.fd;
    ex->listen = c->listener->listen;
    ex->remote_len = c->remote_len;
    memcpy(ex->remote, c->remote, sizeof ex->remote);
    if (c->told && c->told->address_len)
        ex->told_peer = make_told(ex, c->told);
}

bool exchange_parse(const struct connection *c, struct http_exchange *ex, struct http_error *error)
{
    const struct settings *s = c->listener->listen->default_server->top->settings;
    struct http_parse_options options = {s->merge_slashes != 0, s->underscores_in_headers != 0,
                                         s->ignore_invalid_headers != 0, (int)s->max_headers};
    return http_parse_head(&ex->req, &ex->arena, ex->head.data, ex->head.len, &options, error);
}

struct http_exchange *exchange_disown(struct connection *c)
{
    struct http_exchange *old = c->ex, *copy = exchange_new(connection_worker(c));
    struct http_error error;
    c->ex = copy;
    if (!copy)
        return old;
    exchange_begin(c, copy);
    copy->head = arena_dup(&copy->arena, old->head);
    if (copy->head.data)
        exchange_parse(c, copy, &error);
    copy->start_ms = old->start_ms;
    copy->start_wall_ms = old->start_wall_ms;
    copy->request_bytes = old->request_bytes;
    copy->head_bytes_sent = old->head_bytes_sent;
    copy->body_bytes_sent = old->body_bytes_sent;
    copy->server_name = old->server_name;
    copy->body_left = old->body_left;
    copy->body_begun = old->body_begun;
    copy->body_whole = auth_request_has_whole_body(old);
    copy->pipelined = old->pipelined;
    copy->in_error_page = old->in_error_page;
    copy->limit_conn_status = old->limit_conn_status;
    copy->limit_req_status = old->limit_req_status;
    memcpy(copy->conn_permits, old->conn_permits,
           sizeof copy->conn_permits); /* the connection's, not the job's */
    copy->conn_permit_count = old->conn_permit_count;
    old->conn_permit_count = 0;
    copy->limit_status = old->limit_status;
    copy->limit_zone = old->limit_zone;
    copy->limit_queue_ms = old->limit_queue_ms;
    copy->forced_status = old->forced_status;
    copy->internal_redirects = old->internal_redirects;
    for (const struct http_named *n = old->named; n; n = n->next)
        http_set_named(copy, n->name, arena_dup(&copy->arena, n->value));
    copy->res.close = true;
    return old;
}
