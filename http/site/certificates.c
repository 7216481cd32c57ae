/*
 * http/site/certificates.c - certificates taken over when their files change: what the master sees, and what a worker is told.
 */
#include "http/site/certificates.h"

#include "base/arena.h"
#include "base/log.h"
#include "conf/directive.h"
#include "http/site/feature.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Tells a file from what stood there before. */
struct stamp {
    uint64_t device, inode, size, changed_ns;
};

struct pair_stamp {
    struct stamp certificate, key;
};

/* What is in use, or was tried last; and what was seen last. */
struct certificate_stamps {
    struct pair_stamp used, seen;
    bool is_other_kind;
};

struct noted_file {
    const char *name;
    struct stamp stamp;
    struct noted_file *next;
};

struct site_certificates {
    struct certificate_owner *first, *last;
    struct noted_file *files;
};

struct part site_certificates_part = {.size = sizeof(struct site_certificates)};
SITE_PART(site_certificates)

const struct feature feature_certificates = {.name = "certificates", .site = &site_certificates_part};

/* --- files --- */

/* Of a file that is not there, or of "data:", all is 0. */
static struct stamp stamp_of(const char *file)
{
    struct stat st;
    if (stat(file, &st) < 0)
        return (struct stamp){0};
    return (struct stamp){(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
                          (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec};
}

static struct pair_stamp stamp_pair(const struct net_tls_pair *pair)
{
    return (struct pair_stamp){stamp_of(pair->certificate), stamp_of(pair->key)};
}

static bool is_same(const struct pair_stamp *a, const struct pair_stamp *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* --- of a site --- */

const struct certificate_owner *certificates_of(const struct site *site)
{
    return site_certificates_of(site)->first;
}

struct certificate_owner *certificates_note(struct site *site, struct slice server,
                                            const struct net_tls_rules *rules)
{
    struct certificate_owner *o = arena_zalloc(&site->arena, sizeof *o);
    struct certificate_stamps *stamps =
        arena_zalloc(&site->arena, ((size_t)rules->pair_count + 1) * sizeof *stamps);
    if (!o || !stamps)
        return NULL;
    for (int i = 0; i < rules->pair_count; i++)
        stamps[i].used = stamps[i].seen = stamp_pair(&rules->pairs[i]);
    *o = (struct certificate_owner){.server = server, .rules = rules, .stamps = stamps};
    return o;
}

void certificates_begin(struct site *site, struct certificate_owner *owner, struct net_tls_context *context)
{
    struct site_certificates *all = site_certificates_in(site);
    owner->context = context;
    if (all->last)
        all->last->next = owner;
    else
        all->first = owner;
    all->last = owner;
}

void certificates_note_file(struct site *site, const char *file)
{
    struct noted_file *f = file ? conf_must(arena_zalloc(&site->arena, sizeof *f)) : NULL;
    if (!f)
        return;
    *f = (struct noted_file){file, stamp_of(file), site_certificates_of(site)->files};
    site_certificates_in(site)->files = f;
}

bool certificates_need_workers(const struct site *site)
{
    for (const struct noted_file *f = site_certificates_of(site)->files; f; f = f->next) {
        struct stamp now = stamp_of(f->name);
        if (memcmp(&now, &f->stamp, sizeof now) != 0)
            return true;
    }
    for (const struct certificate_owner *o = certificates_of(site); o; o = o->next)
        for (int i = 0; i < o->rules->pair_count; i++)
            if (o->stamps[i].is_other_kind)
                return true;
    return false;
}

/* NULL: there is no such server, or no such pair of it. */
static struct certificate_owner *find_owner(const struct site *site, uint32_t number, uint32_t pair)
{
    struct certificate_owner *o = site_certificates_of(site)->first;
    while (o && number-- > 0)
        o = o->next;
    return o && pair < (uint32_t)o->rules->pair_count ? o : NULL;
}

/* --- the master's side --- */

struct certificate_place {
    uint32_t owner, pair; /* by number */
};

/* The one that stands in the files now. NULL: it cannot be used, which is logged. */
static struct net_tls_certificate *load(const struct certificate_owner *o, int pair)
{
    char error[NET_TLS_ERROR_BYTES];
    const char *file = o->rules->pairs[pair].certificate;
    struct net_tls_certificate *c = net_tls_certificate_load(o->rules, pair, error);
    if (!c) {
        log_error("%s; server \"%.*s\" goes on with what it has", error, SLICE_ARGS(o->server));
        return NULL;
    }
    o->stamps[pair].is_other_kind = !net_tls_context_has_kind(o->context, pair, c);
    if (!o->stamps[pair].is_other_kind)
        return c;
    log_error("the certificate \"%s\" has a key of another kind now; server \"%.*s\" takes it with the next "
              "reload by new workers",
              file, SLICE_ARGS(o->server));
    net_tls_certificate_free(c);
    return NULL;
}

static bool take_over(const struct certificate_owner *o, const struct certificate_place *at,
                      const struct certificate_news *news)
{
    struct buf packed = {0};
    struct net_tls_certificate *c = load(o, (int)at->pair);
    bool ok = c && net_tls_context_use(o->context, (int)at->pair, c) && buf_append(&packed, at, sizeof *at) &&
              net_tls_certificate_pack(c, &packed);
    if (ok) {
        log_notice("the certificate \"%s\" of server \"%.*s\" has changed, and is used from now on",
                   o->rules->pairs[at->pair].certificate, SLICE_ARGS(o->server));
        if (net_tls_context_is_whole(o->context))
            net_tls_context_serve(o->context);
        news->changed(news->with, buf_slice(&packed));
    }
    if (packed.data)
        explicit_bzero(packed.data, packed.cap); /* there is a key in it */
    buf_free(&packed);
    net_tls_certificate_free(c);
    return ok;
}

void certificates_look(struct site *site, bool at_once, const struct certificate_news *news)
{
    struct certificate_place at = {0};
    for (const struct certificate_owner *o = certificates_of(site); o; o = o->next, at.owner++) {
        for (at.pair = 0; at.pair < (uint32_t)o->rules->pair_count; at.pair++) {
            struct certificate_stamps *s = &o->stamps[at.pair];
            struct pair_stamp now = stamp_pair(&o->rules->pairs[at.pair]);
            bool rests = is_same(&now, &s->seen);
            s->seen = now;
            if (is_same(&now, &s->used) || !(rests || at_once))
                continue;
            s->used = now;
            if (!take_over(o, &at, news))
                news->failed(news->with);
        }
    }
}

/* --- a worker's --- */

struct certificate_change {
    struct certificate_place at;
    struct net_tls_certificate *certificate; /* NULL: `error` says why */
    char error[NET_TLS_ERROR_BYTES];
};

struct certificate_change *certificate_read(const struct site *site, struct slice packed)
{
    struct certificate_change *change = calloc(1, sizeof *change);
    if (!change || packed.len < sizeof change->at) {
        free(change);
        return NULL;
    }
    memcpy(&change->at, packed.data, sizeof change->at);
    struct slice text = {packed.data + sizeof change->at, packed.len - sizeof change->at};
    const struct certificate_owner *o = find_owner(site, change->at.owner, change->at.pair);
    if (o)
        change->certificate = net_tls_certificate_new(&o->rules->pairs[change->at.pair], text, text,
                                                      (struct slice){0}, change->error);
    return change;
}

bool certificate_use(struct site *site, struct certificate_change *change)
{
    const struct certificate_owner *o = change ? find_owner(site, change->at.owner, change->at.pair) : NULL;
    int pair = change ? (int)change->at.pair : 0;
    bool ok = o && change->certificate && net_tls_context_has_kind(o->context, pair, change->certificate) &&
              net_tls_context_use(o->context, pair, change->certificate);
    if (ok && net_tls_context_is_whole(o->context))
        net_tls_context_serve(o->context);
    if (!ok)
        log_alert("a changed certificate cannot be used: %s",
                  change && change->error[0] ? change->error : "it does not fit, or memory is out");
    if (change)
        net_tls_certificate_free(change->certificate);
    free(change);
    return ok;
}
