/*
 * proxy/target.c - what a request is for: its upstream, by the configuration or by variables, and the request as it is sent there.
 */
#include "proxy/internal.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/site/site.h"
#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <string.h>

/* What the texts with variables of a directive look like. */
struct target_form {
    struct slice plain, secure; /* schemes; without one: none */
    bool is_plain_without;      /* the scheme may be left out */
    bool has_uri;
    const char *words;
};

static const struct target_form forms[CONF_PASS_KINDS] = {
    [CONF_PASS_PROXY] = {{"http://", 7}, {"https://", 8}, false, true, "http[s]://HOST[:PORT][/URI]"},
    [CONF_PASS_GRPC] = {{"grpc://", 7}, {"grpcs://", 8}, true, false, "[grpc[s]://]HOST:PORT"},
    [CONF_PASS_FASTCGI] = {{NULL, 0}, {NULL, 0}, true, false, "HOST:PORT or unix:PATH"},
};

static struct slice behind_scheme(struct slice url, const struct target_form *form, bool *tls)
{
    *tls = form->secure.len && slice_starts_nocase(url, form->secure);
    return *tls                                                       ? slice_from(url, form->secure.len)
           : form->plain.len && slice_starts_nocase(url, form->plain) ? slice_from(url, form->plain.len)
           : form->is_plain_without                                   ? url
                                                                      : SLICE("");
}

/* The target of a text with variables. False: it leads nowhere, which has been logged. */
static bool split_target(struct http_exchange *ex, struct slice url, struct slice *host, struct slice *uri,
                         bool *tls)
{
    enum conf_pass_kind kind = ex->route.location->proxy->kind;
    const struct target_form *form = &forms[kind];
    struct slice rest = behind_scheme(url, form, tls);
    bool is_unix = slice_starts(rest, SLICE("unix:"));
    size_t n = is_unix ? 5 : 0;
    while (n < rest.len && rest.data[n] != (is_unix ? ':' : '/') && (is_unix || rest.data[n] != '?'))
        n++;
    *host = (struct slice){rest.data, n};
    if (n + is_unix < rest.len)
        *uri = slice_from(rest, n + is_unix);
    if (uri->len && uri->data[0] == '?')
        *uri = arena_printf(&ex->arena, "/%.*s", SLICE_ARGS(*uri));
    bool ok = n > 0 && (form->has_uri || !uri->data) && resolve_is_target(ex->worker, *host);
    if (!ok)
        http_log(ex, LOG_LEVEL_ERROR, "invalid URL \"%.*s\" in \"%s_pass\"; it is %s", SLICE_ARGS(url),
                 conf_pass_prefix(kind), form->words);
    return ok;
}

int proxy_check_target(struct http_exchange *ex)
{
    const struct http_template *target = ex->route.location->proxy->target;
    struct slice host, uri = {0};
    bool tls;
    return !target || split_target(ex, http_template_expand(target, ex), &host, &uri, &tls) ? 0 : 500;
}

/* A name is no more than a host's may be, or it would be none for the handshake. 0, or a status. */
static int name_for_tls(struct proxy *p)
{
    p->tls = upstream_tls_of(p->ex->route.location);
    if (!p->tls)
        return 500;
    struct slice name = upstream_name_of(p->tls->name ? http_template_expand(p->tls->name, p->ex) : p->host);
    if (name.len < UPSTREAM_TLS_NAME_MAX && (name.len == 0 || !memchr(name.data, 0, name.len)))
        return upstream_tls_identify(p->ex, p->tls, name, &p->tls_as) ? 0 : 500;
    http_log(p->ex, LOG_LEVEL_ERROR, "invalid name of %zu bytes in \"%s_ssl_name\"", name.len,
             conf_pass_prefix(p->to->kind));
    return 502;
}

/* 0, or a status for the client. */
static int find_upstream(struct proxy *p)
{
    struct worker *w = proxy_worker(p);
    bool tls = p->to->tls;
    p->u = p->to->upstream;
    p->host = p->to->host;
    p->uri = p->to->uri;
    if (p->to->target) {
        if (!split_target(p->ex, http_template_expand(p->to->target, p->ex), &p->host, &p->uri, &tls))
            return 500;
        const struct upstream *group = site_find_upstream(w->site, p->host);
        if (p->to->kind != CONF_PASS_PROXY && !(group && group->conf) && !site_has_port(p->host)) {
            http_log(p->ex, LOG_LEVEL_ERROR, "no port in upstream \"%.*s\"", SLICE_ARGS(p->host));
            return 500;
        }
        p->u = resolve_upstream(w, group && group->conf ? p->host
                                                        : site_target_name(&p->ex->arena, p->host, tls));
        if (!p->u) {
            http_log(p->ex, LOG_LEVEL_ERROR, "upstream \"%.*s\" cannot be used", SLICE_ARGS(p->host));
            return 502;
        }
        if (slice_starts(p->host, SLICE("unix:")))
            p->host = SLICE("localhost");
    }
    p->u->users++;
    p->ex->upstream.host = p->host;
    p->ex->upstream.tls = tls;
    p->ex->upstream.kind = p->to->kind;
    p->ex->upstream.is_unix = slice_starts(p->u->name, SLICE("unix:"));
    p->wanted = sticky_wanted(p->ex, p->u);
    if (p->u->hash_key)
        p->hash_key = http_template_expand(p->u->hash_key, p->ex);
    return 0;
}

/* Our end of the client's connection, as the PROXY protocol has it. False: it is of another family than the client's address. */
static bool name_own_end(struct http_exchange *ex, struct net_proxy_header *h)
{
    char text[INET6_ADDRSTRLEN] = "";
    unsigned long long port = 0;
    const struct http_peer *peer = ex->client.own(ex);
    if (peer->server_addr.len >= sizeof text)
        return false;
    memcpy(text, peer->server_addr.data, peer->server_addr.len);
    if (slice_to_u64(peer->server_port, 65535, &port))
        h->destination_port = (uint16_t)port;
    return inet_pton(h->address_len == 16 ? AF_INET6 : AF_INET, text, h->destination) == 1;
}

/*
 * The PROXY protocol's header, where the upstream wants one. Its two ends are of one family and belong together, or it says that
 * they are not known: a client that a header of the request has named did not come to an address of ours of another family.
 * False: out of memory.
 */
static bool name_client(struct proxy *p)
{
    struct http_exchange *ex = p->ex;
    const struct net_proxy_header *told = p->ex->client.told_header;
    struct net_proxy_header h = {.address_len = ex->client.remote_len}, unknown = {0};
    int64_t version = proxy_how(p)->protocol;
    if (version == CONF_PROXY_PROTOCOL_OFF)
        return true;
    p->named_client = true;
    memcpy(h.source, ex->client.remote, sizeof h.source);
    h.source_port = (uint16_t)(ex->client.remote[16] << 8 | ex->client.remote[17]);
    if (told && told->address_len && told->address_len == h.address_len &&
        told->source_port == h.source_port && memcmp(told->source, h.source, (size_t)h.address_len) == 0)
        h = *told; /* both ends as they were told to us */
    else if (h.address_len == 0 || !name_own_end(ex, &h))
        h = unknown;
    return net_proxy_write(&h, version == CONF_PROXY_PROTOCOL_V2 ? 2 : 1, &p->request);
}

int proxy_prepare(struct proxy *p)
{
    struct http_exchange *ex = p->ex;
    int error = find_upstream(p);
    struct upstream_target target = {.to = p->to,
                                     .how = proxy_how(p),
                                     .host = p->host,
                                     .uri = p->uri,
                                     .streams = p->sends == PROXY_SENDS_STREAM};
    if (p->deadline_ms)
        target.left_ms = (int64_t)(p->deadline_ms - proxy_worker(p)->now_ms);
    if (!error && ex->upstream.tls)
        error = name_for_tls(p);
    if (!error && !name_client(p))
        error = 500;
    p->plain_bytes = buf_len(&p->request);
    bool is_passed = !p->to->body && proxy_how(p)->upstream.pass_request_body;
    if (p->sends != PROXY_SENDS_STREAM && ex->body.kept.fd >= 0 && is_passed)
        p->sends = PROXY_SENDS_FILE;
    if (!error)
        error = p->protocol->write_request(ex, &target, &p->request, &p->asked);
    p->head_bytes = buf_len(&p->request);
    return error;
}
