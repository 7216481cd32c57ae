/*
 * proxy/sticky.c - sticky: requests of one client go to one server of an upstream (nginx, ngx_http_upstream_sticky_module).
 *
 * Each server has an id: its route=, or the MD5 of its address. Which id a request asks for is said by a cookie that we set
 * ourselves, by variables, or by a session that a server has begun: then shared memory has the server's tag for it.
 */
#include "proxy/sticky.h"

#include "conf/rows.h"
#include "http/site/feature.h"
#include "proxy/upstream.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/site.h"
#include "http/wire/request.h"
#include "http/wire/response.h"
#include "shm/keyed.h"
#include "worker/loop/worker_state.h"

#include <openssl/evp.h>

enum { MD5_BYTES = 16, HASH_BYTES = 32 /* of SHA-256 */, COOKIE_DATE_BYTES = 32, IDLE_US = 600000000 };

/* The first that is not empty counts. */
struct templates {
    const struct http_template **all;
    int count;
};

struct sticky {
    struct templates lookups; /* of the id, or of the session */
    /* Learn: of a session that the answer begins. */
    struct templates creates;
    const struct conf_keyed_zone *sessions; /* learn; else NULL */
    uint64_t idle_us;
    bool at_head;
    struct slice cookie; /* its name; data NULL: none is set */
    struct slice path;
    const struct http_template *domain, *samesite; /* NULL: none */
    /* -1: when the browser ends; INT64_MAX: never. */
    int64_t expires_s;
    bool httponly, secure;
};

void sticky_name_peer(struct peer *p)
{
    static const char digits[] = "0123456789abcdef";
    struct slice route = p->server->conf->route;
    unsigned char hash[MD5_BYTES];
    struct slice named = route.data ? route : slice_of(p->text);
    if (EVP_Digest(named.data, named.len, hash, NULL, EVP_md5(), NULL) != 1)
        return;
    memcpy(&p->tag, hash, sizeof p->tag);
    if (route.data) {
        p->id_len = route.len;
        memcpy(p->id, route.data, route.len);
        return;
    }
    for (size_t i = 0; i < MD5_BYTES; i++) {
        p->id[2 * i] = digits[hash[i] >> 4];
        p->id[2 * i + 1] = digits[hash[i] & 15];
    }
    p->id_len = 2 * MD5_BYTES;
}

static struct slice first_of(const struct templates *t, struct http_exchange *ex)
{
    struct slice text = {0};
    for (int i = 0; text.len == 0 && i < t->count; i++)
        text = http_template_expand(t->all[i], ex);
    return text;
}

/* --- sessions --- */

/* What stands in the table for a session: what is too long for a key, as signed tokens are, by its hash. */
static struct slice key_of(struct slice session, unsigned char hash[HASH_BYTES])
{
    if (session.len <= KEYED_KEY_MAX)
        return session;
    bool ok = EVP_Digest(session.data, session.len, hash, NULL, EVP_sha256(), NULL) == 1;
    return (struct slice){(const char *)hash, ok ? HASH_BYTES : 0};
}

static struct slice id_of_session(struct http_exchange *ex, const struct upstream *u, struct slice session)
{
    const struct sticky *s = u->sticky;
    unsigned char hash[HASH_BYTES];
    struct slice key = key_of(session, hash);
    uint64_t tag;
    if (key.len == 0 ||
        !keyed_recall(ex->worker->shm, (unsigned)s->sessions->index, key, clock_mono_us(), s->idle_us, &tag))
        return (struct slice){0};
    for (int i = 0; i < u->peer_count; i++)
        if (u->peers[i]->tag == tag)
            return arena_dup(&ex->arena, (struct slice){u->peers[i]->id, u->peers[i]->id_len});
    return (struct slice){0};
}

static void learn(struct http_exchange *ex, const struct sticky *s, const struct peer *p)
{
    unsigned char hash[HASH_BYTES];
    struct slice key = key_of(first_of(&s->creates, ex), hash);
    if (key.len)
        keyed_remember(ex->worker->shm, (unsigned)s->sessions->index, key, p->tag, clock_mono_us(),
                       s->idle_us);
}

struct slice sticky_wanted(struct http_exchange *ex, const struct upstream *u)
{
    if (!u->sticky)
        return (struct slice){0};
    struct slice text = first_of(&u->sticky->lookups, ex);
    return u->sticky->sessions ? id_of_session(ex, u, text) : text;
}

void sticky_on_end(struct http_exchange *ex, const struct upstream *u, const struct peer *p)
{
    if (u->sticky && u->sticky->sessions && !u->sticky->at_head)
        learn(ex, u->sticky, p);
}

/* --- the cookie --- */

static struct slice expiry(const struct sticky *s, struct arena *arena, int64_t now_s)
{
    char date[COOKIE_DATE_BYTES];
    struct tm tm;
    if (s->expires_s < 0)
        return SLICE("");
    if (s->expires_s == INT64_MAX)
        return SLICE("; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000");
    time_t at = (time_t)(now_s + s->expires_s);
    gmtime_r(&at, &tm);
    strftime(date, sizeof date, "%a, %d-%b-", &tm);
    return arena_printf(arena, "; expires=%s%02d %02d:%02d:%02d GMT; max-age=%lld", date, tm.tm_year % 100,
                        tm.tm_hour, tm.tm_min, tm.tm_sec, (long long)s->expires_s);
}

static bool is_samesite(struct slice text)
{
    return slice_eq_nocase(text, SLICE("strict")) || slice_eq_nocase(text, SLICE("lax")) ||
           slice_eq_nocase(text, SLICE("none"));
}

static bool set_cookie(struct http_exchange *ex, const struct sticky *s, const struct peer *p)
{
    struct slice domain = s->domain ? http_template_expand(s->domain, ex) : SLICE("");
    struct slice site = s->samesite ? http_template_expand(s->samesite, ex) : SLICE("");
    if (site.len && !is_samesite(site))
        site = SLICE("strict");
    struct slice until = expiry(s, &ex->arena, (int64_t)(ex->worker->now_wall_ms / 1000));
    struct slice value = arena_printf(
        &ex->arena, "%.*s=%.*s%.*s%s%.*s%s%s%s%.*s%s%.*s", SLICE_ARGS(s->cookie), (int)p->id_len, p->id,
        SLICE_ARGS(until), domain.len ? "; domain=" : "", SLICE_ARGS(domain), s->httponly ? "; httponly" : "",
        s->secure ? "; secure" : "", site.len ? "; samesite=" : "", SLICE_ARGS(site),
        s->path.len ? "; path=" : "", SLICE_ARGS(s->path));
    return value.data &&
           (!http_is_field_value(value) || http_add_header(&ex->res, &ex->arena, SLICE("Set-Cookie"), value));
}

bool sticky_on_head(struct http_exchange *ex, const struct upstream *u, const struct peer *p)
{
    if (!u->sticky || !p)
        return true;
    if (u->sticky->sessions && u->sticky->at_head)
        learn(ex, u->sticky, p);
    return !u->sticky->cookie.data || set_cookie(ex, u->sticky, p);
}

/* --- from settings --- */

static bool set_cookie_parameter(struct site *site, struct sticky *s, struct slice arg,
                                 const struct conf_node *n)
{
    int64_t ms;
    if (slice_eq(arg, SLICE("httponly")))
        return s->httponly = true;
    if (slice_eq(arg, SLICE("secure")))
        return s->secure = true;
    if (slice_starts(arg, SLICE("domain=")) && arg.len > 7)
        return (s->domain = site_compile(site, slice_from(arg, 7), n)) != NULL;
    if (slice_starts(arg, SLICE("path=")) && arg.len > 5) {
        s->path = slice_from(arg, 5);
        return true;
    }
    if (slice_starts(arg, SLICE("samesite="))) {
        struct slice text = slice_from(arg, 9);
        return (memchr(text.data, '$', text.len) || is_samesite(text)) &&
               (s->samesite = site_compile(site, text, n));
    }
    if (!slice_starts(arg, SLICE("expires=")))
        return false;
    if (slice_eq(slice_from(arg, 8), SLICE("max"))) {
        s->expires_s = INT64_MAX;
        return true;
    }
    bool ok = conf_parse_time(slice_from(arg, 8), &ms);
    s->expires_s = ok ? ms / 1000 : -1;
    return ok;
}

static bool add_variable(struct site *site, struct templates *to, struct slice text,
                         const struct conf_node *n)
{
    if (text.len < 2 || text.data[0] != '$')
        return false;
    to->all[to->count++] = site_compile(site, text, n);
    return true;
}

static const struct conf_keyed_zone *sessions_of(const struct site *site, struct slice text)
{
    const struct conf_keyed_zone *z = site->conf->http->keyed_zones;
    const char *colon = memchr(text.data, ':', text.len);
    struct slice name = {text.data, colon ? (size_t)(colon - text.data) : text.len};
    while (z && (z->kind != CONF_KEYED_SESSIONS || !slice_eq(z->name, name)))
        z = z->next;
    return z;
}

static bool set_learn_parameter(struct site *site, struct sticky *s, struct slice arg,
                                const struct conf_node *n)
{
    int64_t ms;
    if (slice_starts(arg, SLICE("create=")))
        return add_variable(site, &s->creates, slice_from(arg, 7), n);
    if (slice_starts(arg, SLICE("lookup=")))
        return add_variable(site, &s->lookups, slice_from(arg, 7), n);
    if (slice_starts(arg, SLICE("zone=")))
        return (s->sessions = sessions_of(site, slice_from(arg, 5))) != NULL;
    if (slice_eq(arg, SLICE("header")))
        return s->at_head = true;
    if (!slice_starts(arg, SLICE("timeout=")) || !conf_parse_time(slice_from(arg, 8), &ms))
        return false;
    s->idle_us = (uint64_t)ms * 1000;
    return true;
}

static bool build_cookie(struct site *site, struct sticky *s, const struct conf_node *n)
{
    bool ok = true;
    s->cookie = n->args[1];
    s->expires_s = -1;
    struct slice variable = arena_printf(&site->arena, "cookie_%.*s", SLICE_ARGS(s->cookie));
    s->lookups.all[s->lookups.count++] = http_template_variable(&site->arena, variable, &site->scope);
    ok = http_is_token(s->cookie) && s->lookups.all[0];
    for (int i = 2; ok && i < n->nargs; i++)
        ok = set_cookie_parameter(site, s, n->args[i], n);
    return ok;
}

static bool build_route(struct site *site, struct sticky *s, const struct conf_node *n)
{
    bool ok = true;
    for (int i = 1; ok && i < n->nargs; i++)
        ok = add_variable(site, &s->lookups, n->args[i], n);
    return ok;
}

static bool build_learn(struct site *site, struct sticky *s, const struct conf_node *n)
{
    bool ok = true;
    s->creates.all = site_array(site, n->nargs, sizeof(void *));
    s->idle_us = IDLE_US;
    for (int i = 1; ok && i < n->nargs; i++)
        ok = set_learn_parameter(site, s, n->args[i], n);
    return ok && s->creates.count && s->lookups.count && s->sessions;
}

static struct sticky *build_sticky(struct site *site, const struct conf_node *n)
{
    static const struct {
        const char *word;
        bool (*build)(struct site *site, struct sticky *s, const struct conf_node *n);
    } kinds[] = {{"cookie", build_cookie}, {"route", build_route}, {"learn", build_learn}};
    struct sticky *s = site_array(site, 1, sizeof *s);
    bool ok = false;
    s->lookups.all = site_array(site, n->nargs, sizeof(void *));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (slice_eq(n->args[0], slice_of(kinds[i].word)))
            ok = kinds[i].build(site, s, n);
    if (!ok)
        conf_error(
            &site->conf->errors, n,
            "invalid \"sticky\"; write: cookie NAME [expires=TIME|max] [domain=DOMAIN] [path=PATH] [httponly] "
            "[secure] [samesite=strict|lax|none]; or route $VARIABLE ...; or learn create=$VARIABLE "
            "lookup=$VARIABLE zone=NAME:SIZE [timeout=TIME] [header], with a size from 32k to 64g");
    return s;
}

static void build_upstream(struct site *site, struct upstream *u, const struct conf_upstream *c)
{
    if (c->sticky)
        u->sticky = build_sticky(site, c->sticky);
}

static void set_sticky(struct conf_walk *w, const struct conf_node *n)
{
    w->upstream->sticky = n;
    for (int i = 1; slice_eq(n->args[0], SLICE("learn")) && i < n->nargs; i++)
        if (slice_starts(n->args[i], SLICE("zone=")))
            conf_add_session_zone(w, n, slice_from(n->args[i], 5));
}

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "sticky", .where = CONF_UPSTREAM, .args = {2, CONF_ANY}, .once = true, .field = CONF_FIELD(struct conf_upstream, sticky), .set = set_sticky,
     .syntax = "cookie NAME [expires=TIME|max] [domain=DOMAIN] [path=PATH] [httponly] [secure] [samesite=strict|lax|none] | route $VARIABLE ... | learn create=$VARIABLE ... lookup=$VARIABLE ... zone=NAME:SIZE [timeout=TIME] [header]",
     .help = "A client stays with its server: by a cookie that is set with the server's route or the MD5 of its address, by the first variable that is not empty, or by the session that the server has begun. A session is forgotten when it has not been used for timeout (10m); with header it is there when the answer's head is, and else when the answer is whole."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_UPSTREAM, rows, NULL};

const struct feature feature_sticky = {.name = "sticky", .table = &table, .build_upstream = build_upstream};
