/*
 * http/site/certificates.c - certificates taken over when their files change: what the master sees, and what a worker is told.
 */
#include "http/site/certificates.h"

#include "base/arena.h"
#include "base/file_stamp.h"
#include "base/log.h"
#include "conf/directive.h"
#include "http/site/feature.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct pair_stamp {
    struct file_stamp certificate, key, phrases;
};

/* What is in use, or was tried last; and what was seen last. */
struct certificate_stamps {
    struct pair_stamp used, seen;
    bool is_other_kind;
    bool has_failed;  /* the last time that it was tried */
    bool has_changed; /* since the site was built */
    /* In a worker: of the message that it came by. */
    uint64_t number;
};

struct noted_file {
    const char *name;
    struct file_stamp stamp;
    struct noted_file *next;
};

struct site_certificates {
    struct certificate_owner *first, *last;
    struct noted_file *files;
};

struct part site_certificates_part = {.size = sizeof(struct site_certificates)};
SITE_PART(site_certificates)

/* --- files --- */

static struct pair_stamp stamp_pair(const struct net_tls_rules *rules, int pair)
{
    return (struct pair_stamp){file_stamp_of(rules->pairs[pair].certificate),
                               file_stamp_of(rules->pairs[pair].key), file_stamp_of(rules->password_file)};
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
        stamps[i].used = stamps[i].seen = stamp_pair(rules, i);
    *o = (struct certificate_owner){.server = server, .rules = rules, .stamps = stamps};
    return o;
}

void certificates_begin(struct site *site, struct certificate_owner *owner, struct net_tls_context *context)
{
    struct site_certificates *all = site_certificates_in(site);
    owner->context = context;
    for (int i = 0; i < owner->rules->pair_count; i++)
        owner->stamps[i].has_failed = net_tls_context_expiry(context, i) == 0; /* it is missing */
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
    *f = (struct noted_file){file, file_stamp_of(file), site_certificates_of(site)->files};
    site_certificates_in(site)->files = f;
}

bool certificates_need_workers(const struct site *site)
{
    for (const struct noted_file *f = site_certificates_of(site)->files; f; f = f->next) {
        struct file_stamp now = file_stamp_of(f->name);
        if (!file_stamps_agree(&now, &f->stamp))
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

/* --- what is sent: places, each with the text of a certificate or with that of the place before --- */

struct certificate_place {
    uint32_t owner, pair, len; /* by number; 0: the same text again */
};

/* What has been loaded last: many servers have the same files. */
struct loaded {
    const struct net_tls_rules *rules; /* NULL: nothing */
    int pair;
    struct net_tls_certificate *certificate;
};

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_pair(const struct loaded *l, const struct net_tls_rules *rules, int pair)
{
    return l->rules && is_same_text(l->rules->pairs[l->pair].certificate, rules->pairs[pair].certificate) &&
           is_same_text(l->rules->pairs[l->pair].key, rules->pairs[pair].key) &&
           is_same_text(l->rules->password_file, rules->password_file);
}

static void forget_loaded(struct loaded *l)
{
    net_tls_certificate_free(l->certificate);
    *l = (struct loaded){0};
}

/* Appends a place. False: out of memory, and nothing has been. */
static bool pack(struct buf *out, struct certificate_place at, const struct loaded *l, bool is_new)
{
    size_t head = buf_len(out);
    if (!buf_append(out, &at, sizeof at) || (is_new && !net_tls_certificate_pack(l->certificate, out))) {
        out->end = out->start + head;
        return false;
    }
    at.len = (uint32_t)(buf_len(out) - head - sizeof at);
    memcpy(out->data + out->start + head, &at, sizeof at);
    return true;
}

static void wipe(struct buf *packed)
{
    if (packed->data)
        explicit_bzero(packed->data, packed->cap); /* there are keys in it */
    buf_free(packed);
}

static void tell(const struct certificate_news *news, struct loaded *l, struct buf *packed)
{
    forget_loaded(l);
    if (buf_len(packed))
        news->changed(news->with, buf_slice(packed));
    wipe(packed);
}

/* --- the master's side --- */

enum { RETRY_EVERY = 30 /* looks */ };

/* Into *l, if it is not there. False: it cannot be used, which is logged unless quiet. */
static bool load(const struct certificate_owner *o, int pair, struct loaded *l, bool quiet)
{
    char error[NET_TLS_ERROR_BYTES];
    if (!is_same_pair(l, o->rules, pair)) {
        forget_loaded(l);
        *l = (struct loaded){o->rules, pair, net_tls_certificate_load(o->rules, pair, error)};
        if (!l->certificate) {
            l->rules = NULL;
            if (!quiet)
                log_error("%s; server \"%.*s\" goes on with what it has", error, SLICE_ARGS(o->server));
            return false;
        }
    }
    struct certificate_stamps *s = &o->stamps[pair];
    s->is_other_kind = !net_tls_context_has_kind(o->context, pair, l->certificate);
    if (s->is_other_kind)
        log_error(
            "the certificate \"%s\" has a key of another kind now; server \"%.*s\" takes it with the next "
            "reload",
            net_tls_shown(o->rules->pairs[pair].certificate), SLICE_ARGS(o->server));
    return !s->is_other_kind;
}

static bool take_over(const struct certificate_owner *o, int pair, struct loaded *l, bool quiet)
{
    const char *file = net_tls_shown(o->rules->pairs[pair].certificate);
    if (!load(o, pair, l, quiet))
        return false;
    if (!net_tls_context_use(o->context, pair, l->certificate)) {
        if (!quiet)
            log_error("the certificate \"%s\" is refused: %s; server \"%.*s\" goes on with what it has", file,
                      net_tls_last_refusal(), SLICE_ARGS(o->server));
        return false;
    }
    log_notice("the certificate \"%s\" of server \"%.*s\" has changed, and is used from now on", file,
               SLICE_ARGS(o->server));
    if (net_tls_context_is_whole(o->context))
        net_tls_context_serve(o->context);
    return true;
}

/* Whether the pair is to be tried now. A file that changes is left until it rests. */
static bool is_due(struct certificate_stamps *s, const struct pair_stamp *now, bool at_once, bool retries)
{
    bool rests = is_same(now, &s->seen), differs = !is_same(now, &s->used);
    s->seen = *now;
    return (differs && (rests || at_once)) || (s->has_failed && (at_once || retries));
}

void certificates_look(struct site *site, bool at_once, const struct certificate_news *news)
{
    static unsigned looks;
    bool retries = ++looks % RETRY_EVERY == 0;
    struct buf packed = {0};
    struct loaded l = {0}, sent = {0};
    struct certificate_place at = {0};
    for (const struct certificate_owner *o = certificates_of(site); o; o = o->next, at.owner++) {
        for (at.pair = 0; at.pair < (uint32_t)o->rules->pair_count; at.pair++) {
            struct certificate_stamps *s = &o->stamps[at.pair];
            struct pair_stamp now = stamp_pair(o->rules, (int)at.pair);
            if (!is_due(s, &now, at_once, retries))
                continue;
            bool is_news = !is_same(&now, &s->used) || at_once;
            s->used = now;
            s->has_failed = !take_over(o, (int)at.pair, &l, !is_news);
            s->has_changed |= !s->has_failed;
            if (s->has_failed && is_news)
                news->failed(news->with);
            if (!s->has_failed && pack(&packed, at, &l, !is_same_pair(&sent, o->rules, (int)at.pair)))
                sent = l;
        }
    }
    tell(news, &l, &packed);
}

void certificates_catch_up(struct site *site, const struct certificate_news *news)
{
    struct buf packed = {0};
    struct loaded l = {0}, sent = {0};
    struct certificate_place at = {0};
    for (const struct certificate_owner *o = certificates_of(site); o; o = o->next, at.owner++)
        for (at.pair = 0; at.pair < (uint32_t)o->rules->pair_count; at.pair++)
            if (o->stamps[at.pair].has_changed && load(o, (int)at.pair, &l, true) &&
                pack(&packed, at, &l, !is_same_pair(&sent, o->rules, (int)at.pair)))
                sent = l;
    tell(news, &l, &packed);
}

/* --- a worker's --- */

struct certificate_change {
    struct certificate_place at;
    /* NULL: `error` says why; or it is that of the one before. */
    struct net_tls_certificate *certificate;
    char error[NET_TLS_ERROR_BYTES];
    struct certificate_change *next;
};

/* The next place of a message, from its front. NULL: there is none, or memory is out. */
static struct certificate_change *take_place(const struct site *site, struct slice *packed)
{
    struct certificate_change *c = packed->len >= sizeof c->at ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return NULL;
    memcpy(&c->at, packed->data, sizeof c->at);
    *packed = slice_from(*packed, sizeof c->at);
    if (c->at.len > packed->len) {
        free(c);
        return NULL;
    }
    struct slice text = {packed->data, c->at.len};
    *packed = slice_from(*packed, c->at.len);
    const struct certificate_owner *o = find_owner(site, c->at.owner, c->at.pair);
    if (o && text.len)
        c->certificate =
            net_tls_certificate_new(&o->rules->pairs[c->at.pair], text, text, (struct slice){0}, c->error);
    return c;
}

struct certificate_change *certificates_read(const struct site *site, struct slice packed)
{
    struct certificate_change *first = NULL, **end = &first;
    while ((*end = take_place(site, &packed)))
        end = &(*end)->next;
    return first;
}

/* number: of its message; one that came later has been used already. */
static bool use(struct site *site, const struct certificate_change *change,
                const struct net_tls_certificate *certificate, uint64_t number)
{
    const struct certificate_owner *o = find_owner(site, change->at.owner, change->at.pair);
    int pair = (int)change->at.pair;
    if (o && o->stamps[pair].number > number)
        return true;
    bool ok = o && certificate && net_tls_context_has_kind(o->context, pair, certificate) &&
              net_tls_context_use(o->context, pair, certificate);
    if (ok)
        o->stamps[pair].number = number;
    if (ok && net_tls_context_is_whole(o->context))
        net_tls_context_serve(o->context);
    return ok;
}

bool certificates_use(struct site *site, struct certificate_change *changes, uint64_t number)
{
    const struct net_tls_certificate *last = NULL;
    bool all = changes != NULL;
    for (struct certificate_change *c = changes; c; c = c->next) {
        last = c->at.len ? c->certificate : last;
        bool ok = use(site, c, last, number);
        if (!ok)
            log_alert("a changed certificate cannot be used: %s",
                      c->error[0] ? c->error : "it does not fit, or memory is out");
        all &= ok;
    }
    for (struct certificate_change *c = changes, *next; c; c = next) {
        next = c->next;
        net_tls_certificate_free(c->certificate);
        free(c);
    }
    return all;
}
