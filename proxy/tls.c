/*
 * proxy/tls.c - upstreams that are spoken to in TLS: connections, whom they lead to, and sessions that are taken up.
 *
 * A session is taken up only by the rules and for the name that it was made with: who takes it up does not look at the certificate anew.
 */
#include "proxy/tls.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "http/request/template.h"
#include "http/site/site.h"
#include "http/site/tls_varying.h"
#include "proxy/upstream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- sessions --- */

struct upstream_session {
    const struct net_tls_context *context;
    struct net_tls_session *session;
    size_t as_len;
    char as[];
};

void upstream_session_free(struct upstream_session *session)
{
    if (!session)
        return;
    net_tls_session_free(session->session);
    free(session);
}

static void keep_session(void *with, struct net_tls_session *session)
{
    struct upstream_connection *uc = with;
    struct upstream_session *s = malloc(sizeof *s + uc->tls_as.len);
    if (!s) {
        net_tls_session_free(session);
        return;
    }
    s->context = uc->tls_context;
    s->session = session;
    s->as_len = uc->tls_as.len;
    memcpy(s->as, uc->tls_as.data, uc->tls_as.len);
    /* With TLS 1.2 it comes before the server is known to be the right one. */
    struct upstream_session **place = uc->is_trusted ? &uc->peer->session : &uc->session;
    upstream_session_free(*place);
    *place = s;
}

void upstream_settle_session(struct upstream_connection *uc, bool is_trusted)
{
    struct upstream_session *s = uc->session;
    uc->session = NULL;
    uc->is_trusted = is_trusted;
    if (!is_trusted) {
        upstream_session_free(s);
        s = NULL;
    }
    /* One by which a server came in that is none is not taken up again, either. */
    if (s || !is_trusted) {
        upstream_session_free(uc->peer->session);
        uc->peer->session = s;
    }
}

static struct net_tls_session *session_for(const struct upstream_connection *uc)
{
    const struct upstream_session *s = uc->peer->session;
    bool fits = s && s->context == uc->tls_context && slice_eq((struct slice){s->as, s->as_len}, uc->tls_as);
    return fits ? s->session : NULL;
}

/* --- connections --- */

static const char *name_file(struct http_exchange *ex, const struct http_template *name)
{
    struct buf text = {0};
    bool ok = tls_name_file(ex, name, &text);
    struct slice copy = ok ? arena_dup(&ex->arena, buf_slice(&text)) : (struct slice){0};
    buf_free(&text);
    return copy.data;
}

bool upstream_tls_identify(struct http_exchange *ex, const struct upstream_tls *tls, struct slice name,
                           struct upstream_as *as)
{
    *as = (struct upstream_as){.name = name, .whole = name};
    if (!tls->certificate)
        return true;
    as->certificate = name_file(ex, tls->certificate);
    as->key = name_file(ex, tls->key);
    if (!as->certificate || !as->key)
        return false;
    as->whole = arena_printf(&ex->arena, "%.*s\n%s\n%s", SLICE_ARGS(name), as->certificate, as->key);
    return as->whole.data != NULL;
}

/* NULL: it cannot be read, which has been logged. */
static struct net_tls_certificate *load(struct http_exchange *ex, const struct upstream_tls *tls,
                                        const struct upstream_as *as)
{
    char error[NET_TLS_ERROR_BYTES] = "out of memory";
    struct net_tls_load load = {.certificate = strdup(as->certificate), .key = strdup(as->key)};
    struct net_tls_certificate *found = NULL;
    bool named = load.certificate && load.key;
    if (named && (!tls->loaded || !net_tls_loaded_find(tls->loaded, &load)) &&
        net_tls_load(&load, tls->password_file, error) && tls->loaded)
        net_tls_loaded_keep(tls->loaded, &load);
    if (load.loaded)
        found = net_tls_certificate_hold(load.loaded);
    else
        http_log(ex, LOG_LEVEL_ERROR, "%s while connecting to upstream", error);
    net_tls_load_free(&load);
    return found;
}

/* As in nginx nothing is said of HTTP/1. */
static struct slice inner_protocols(const struct http_exchange *ex)
{
    const struct proxy_settings *how = location_passes(ex->route.settings, ex->route.location->proxy);
    return how->http_version == PROXY_HTTP_2 ? SLICE("\x02h2") : (struct slice){0};
}

bool upstream_begin_tls(struct http_exchange *ex, struct upstream_connection *uc,
                        const struct upstream_tls *tls, const struct upstream_as *as)
{
    free((char *)(uintptr_t)uc->tls_as.data);
    assert(as->name.len < UPSTREAM_TLS_NAME_MAX && !(as->name.len && memchr(as->name.data, 0, as->name.len)));
    uc->tls_as = (struct slice){strndup(as->whole.data, as->whole.len), as->whole.len};
    if (!uc->tls_as.data)
        return false;
    uc->tls_context = tls->context;
    struct net_tls_certificate *own = as->certificate ? load(ex, tls, as) : NULL;
    if (as->certificate && !own)
        return false;
    struct net_tls_target target = {.asked_name = tls->asks_for_name ? as->name : SLICE(""),
                                    .certificate = own,
                                    .inner_protocols = inner_protocols(ex),
                                    .session = tls->reuses ? session_for(uc) : NULL,
                                    .keep = tls->reuses ? keep_session : NULL,
                                    .with = uc};
    bool ok = net_tls_connect(&uc->stream, uc->worker->loop, tls->context, &target);
    net_tls_certificate_free(own);
    return ok;
}

const char *upstream_doubt(const struct net_stream *s, const struct upstream_tls *tls, struct slice name)
{
    static char text[512];
    if (!tls->verifies)
        return "";
    long verdict = net_tls_server_verdict(s);
    if (verdict)
        snprintf(text, sizeof text,
                 "upstream SSL certificate verify error: (%ld:%s) while SSL handshaking to upstream", verdict,
                 net_tls_verdict_text(verdict));
    else if (!net_tls_server_is(s, name))
        snprintf(text, sizeof text,
                 "upstream SSL certificate does not match \"%.*s\" while SSL handshaking to upstream",
                 SLICE_ARGS(name));
    else
        return "";
    return text;
}

struct slice upstream_name_of(struct slice host)
{
    if (host.len && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.len);
        return end ? (struct slice){host.data + 1, (size_t)(end - host.data - 1)} : host;
    }
    const char *colon = host.len ? memchr(host.data, ':', host.len) : NULL;
    return colon ? (struct slice){host.data, (size_t)(colon - host.data)} : host;
}
