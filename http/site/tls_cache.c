/*
 * http/site/tls_cache.c - ssl_session_cache: off, none, one of each worker, or one that all share by its name.
 */
#include "http/site/tls_cache.h"

#include "base/arena.h"
#include "base/log.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "shm/session_cache.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BUILTIN_SESSIONS = 20480, SESSION_BYTES = 320 };

#define BYTES_MAX ((int64_t)1 << 40)

_Static_assert((int)NET_TLS_SESSION_MAX == (int)SESSION_MAX, "both know the same sessions");

struct held_cache {
    struct session_cache *cache;
    struct slice name;
    int64_t bytes;
    struct held_cache *next;
};

struct tls_caches {
    struct held_cache *held;
};

struct part tls_caches_part = {.size = sizeof(struct tls_caches)};
SITE_PART(tls_caches)

struct tls_cache_settings {
    const struct conf_node *statement; /* NULL: none */
};

struct part tls_cache_settings_part = {.size = sizeof(struct tls_cache_settings)};
SETTINGS_PART(tls_cache_settings)

/* --- the words --- */

struct words {
    bool says_no, has_builtin, is_shared;
    struct slice name;
    /* Of the shared one; 0: another server says it. */
    int64_t bytes;
    int64_t builtin_bytes;
};

/* What stands before the next colon, which goes with it. */
static struct slice take_part(struct slice *text)
{
    const char *colon = text->len ? memchr(text->data, ':', text->len) : NULL;
    struct slice part = {text->data, colon ? (size_t)(colon - text->data) : text->len};
    *text = slice_from(*text, part.len + (colon != NULL));
    return part;
}

static const char *read_shared(struct words *w, struct slice rest)
{
    w->is_shared = true;
    w->name = take_part(&rest);
    if (w->name.len == 0 || w->name.len >= SESSION_CACHE_NAME_BYTES)
        return "invalid session cache";
    if (rest.len == 0)
        return NULL;
    if (!conf_parse_size(rest, &w->bytes) || w->bytes > BYTES_MAX)
        return "invalid session cache";
    return w->bytes < SESSION_CACHE_BYTES_MIN ? "too small a session cache" : NULL;
}

static const char *read_builtin(struct words *w, struct slice rest)
{
    int64_t sessions = BUILTIN_SESSIONS;
    w->has_builtin = true;
    if (rest.len && (!conf_parse_size(rest, &sessions) || sessions > BYTES_MAX / SESSION_BYTES))
        return "invalid session cache";
    if (sessions == 0)
        sessions = BUILTIN_SESSIONS; /* as nginx has it: the library's own bound */
    w->builtin_bytes = sessions * SESSION_BYTES;
    if (w->builtin_bytes < SESSION_CACHE_BYTES_MIN)
        w->builtin_bytes = SESSION_CACHE_BYTES_MIN;
    return NULL;
}

/* NULL, or what is wrong. */
static const char *read_word(struct words *w, struct slice word)
{
    struct slice rest = word, kind = take_part(&rest);
    bool has_colon = kind.len < word.len;
    if (!has_colon && slice_eq(kind, SLICE("off")))
        w->says_no = true;
    else if (slice_eq(kind, SLICE("shared")))
        return read_shared(w, rest);
    else if (slice_eq(kind, SLICE("builtin")))
        return read_builtin(w, rest);
    else if (has_colon || !slice_eq(kind, SLICE("none")))
        return "invalid session cache";
    return NULL;
}

static struct words read_words(const struct conf_node *n)
{
    struct words w = {0};
    for (int i = 0; n && i < n->nargs; i++)
        read_word(&w, n->args[i]);
    return w;
}

static void set_cache(struct conf_walk *w, const struct conf_node *n)
{
    struct words words = {0};
    for (int i = 0; i < n->nargs; i++) {
        const char *wrong = read_word(&words, n->args[i]);
        if (wrong)
            conf_error(&w->conf->errors, n,
                       "%s \"%.*s\"; write off, none, builtin[:SESSIONS] or shared:NAME:SIZE, of 32k or more",
                       wrong, SLICE_ARGS(n->args[i]));
    }
    tls_cache_settings_in(w->settings)->statement = n;
}

/* --- the caches --- */

static bool put(void *with, struct slice id, struct slice session)
{
    return session_cache_put(with, id, session);
}

static size_t find(void *with, struct slice id, char *session)
{
    return session_cache_find(with, id, session);
}

/* The size that all servers give the name. 0: they do not, which has been said. */
static int64_t agreed_size(struct site *site, struct slice name, const struct conf_node *asking)
{
    int64_t size = 0;
    for (const struct conf_server *s = site->conf->http->servers; s; s = s->next) {
        const struct conf_node *statement = tls_cache_settings_of(&s->top.settings)->statement;
        struct words w = read_words(statement);
        if (!w.is_shared || w.bytes == 0 || !slice_eq(w.name, name))
            continue;
        if (size && size != w.bytes) {
            conf_error(&site->conf->errors, statement,
                       "the session cache \"%.*s\" has another size here: %lld bytes, before it was %lld",
                       SLICE_ARGS(name), (long long)w.bytes, (long long)size);
            return 0;
        }
        size = w.bytes;
    }
    if (size == 0)
        conf_error(&site->conf->errors, asking,
                   "the session cache \"%.*s\" has a size nowhere; write shared:%.*s:10m", SLICE_ARGS(name),
                   SLICE_ARGS(name));
    return size;
}

/* The site's from now on. */
static void hold(struct site *site, const struct conf_node *n, struct slice name, int64_t bytes,
                 struct net_tls_cache *c)
{
    for (const struct held_cache *h = tls_caches_of(site)->held; h; h = h->next)
        if (name.len && slice_eq(h->name, name) && h->bytes != bytes)
            conf_error(&site->conf->errors, n,
                       "the cache \"%.*s\" has another size here: %lld bytes, before it was %lld",
                       SLICE_ARGS(n->args[0]), (long long)bytes, (long long)h->bytes);
    struct held_cache *h = conf_must(arena_zalloc(&site->arena, sizeof *h));
    h->name = arena_dup(&site->arena, name);
    h->bytes = bytes;
    h->cache = session_cache_hold(name, (size_t)bytes);
    if (!h->cache) {
        conf_error(&site->conf->errors, n, "no memory for a cache of %lld bytes: %s", (long long)bytes,
                   strerrordesc_np(errno));
        return;
    }
    h->next = tls_caches_of(site)->held;
    tls_caches_in(site)->held = h;
    c->with = h->cache;
    c->keep = put;
    c->find = find;
}

struct net_tls_cache tls_cache_of(struct site *site, const struct settings *s)
{
    const struct conf_node *n = tls_cache_settings_of(s)->statement;
    struct words w = read_words(n);
    bool is_one = w.is_shared || w.has_builtin;
    struct net_tls_cache c = {.says_no = w.says_no && !is_one, .drop = session_caches_drop};
    int64_t bytes = w.is_shared ? agreed_size(site, w.name, n) : w.builtin_bytes;
    if (bytes == 0)
        return c;
    hold(site, n, w.is_shared ? w.name : SLICE(""), bytes, &c);
    return c;
}

/* --- ssl_ocsp_cache --- */

static bool read_status_words(const struct conf_node *n, struct words *w)
{
    struct slice rest = n->args[0], kind = take_part(&rest);
    return !slice_eq(kind, SLICE("shared")) || (!read_shared(w, rest) && w->bytes);
}

void tls_status_cache_check(struct conf_walk *w, const struct conf_node *n)
{
    struct words words = {0};
    bool ok = read_status_words(n, &words) && (words.is_shared || slice_eq(n->args[0], SLICE("off")));
    if (!ok)
        conf_error(&w->conf->errors, n,
                   "invalid OCSP cache \"%.*s\"; write off or shared:NAME:SIZE, of 32k or more",
                   SLICE_ARGS(n->args[0]));
}

struct net_tls_cache tls_status_cache(struct site *site, const struct conf_node *n)
{
    struct words w = {0};
    struct net_tls_cache c = {0};
    char name[SESSION_CACHE_NAME_BYTES];
    if (!read_status_words(n, &w) || !w.is_shared)
        return c;
    /* Names of caches for sessions are others'. */
    int len = snprintf(name, sizeof name, "%c%.*s", SESSION_CACHE_OF_OTHERS, SLICE_ARGS(w.name));
    if (len < (int)sizeof name)
        hold(site, n, (struct slice){name, (size_t)len}, w.bytes, &c);
    else
        conf_error(&site->conf->errors, n, "the name of the OCSP cache \"%.*s\" is too long",
                   SLICE_ARGS(w.name));
    return c;
}

static void let_go(struct site *site)
{
    for (const struct held_cache *h = tls_caches_of(site)->held; h; h = h->next)
        session_cache_let_go(h->cache);
    tls_caches_in(site)->held = NULL;
}

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "ssl_session_cache", .where = CONF_HTTP_SERVER, .args = {1, 2}, .type = CONF_CUSTOM, .set = set_cache, .field = CONF_PART_FIELD(tls_cache_settings, statement), .default_text = "none",
     .syntax = "off | none | [builtin[:SESSIONS]] [shared:NAME:SIZE]",
     .help = "Where sessions are kept for clients that take one up without a ticket: in a cache of each worker, or in one that all share, over reloads and changes of binary; where both are named only the shared one is used. A megabyte has room for about 3 000. With off clients are told that there is none."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_TLS, rows, NULL};

const struct feature feature_tls_cache = {
    .name = "tls_cache", .table = &table, .site = &tls_caches_part, .end = let_go};
