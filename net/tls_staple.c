/*
 * net/tls_staple.c - what the authority says of a server's certificate goes to clients that ask for it with the certificate.
 *
 * Answers of a context stand in a set that never changes: a new answer makes a new set, and a handshake keeps the one that it has begun
 * with, also on another thread.
 */
#include "net/tls_status.h"

#include "net/tls_internal.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { AGAIN_S = 300, HOUR_S = 3600 };

struct staple {
    /* Of the certificate's key; 0: it is for any. */
    int kind;
    int64_t valid_until_s;
    unsigned char *answer; /* NULL: there is none */
    size_t len;
};

struct net_tls_staples {
    unsigned holders;
    int count;
    struct staple items[];
};

struct net_tls_staple_question {
    struct net_tls_question asked;
    bool is_asked, is_answered;
    unsigned long flags;
    char error[NET_TLS_ERROR_BYTES];
};

/* --- sets --- */

struct net_tls_staples *net_tls_staples_hold(struct net_tls_staples *set)
{
    if (set)
        set->holders++;
    return set;
}

void net_tls_staples_let_go(struct net_tls_staples *set)
{
    if (!set || --set->holders > 0)
        return;
    for (int i = 0; i < set->count; i++)
        OPENSSL_free(set->items[i].answer);
    free(set);
}

/* Another set with what the first one has but for the staple at `place`. NULL: out of memory. */
static struct net_tls_staples *with(const struct net_tls_staples *before, int count, int place,
                                    struct staple item)
{
    struct net_tls_staples *set = calloc(1, sizeof *set + (size_t)count * sizeof set->items[0]);
    if (!set)
        return NULL;
    set->holders = 1;
    set->count = count;
    for (int i = 0; before && i < count; i++) {
        const struct staple *s = &before->items[i];
        if (i != place && s->answer && (set->items[i].answer = OPENSSL_memdup(s->answer, s->len))) {
            set->items[i].kind = s->kind;
            set->items[i].valid_until_s = s->valid_until_s;
            set->items[i].len = s->len;
        }
    }
    set->items[place] = item;
    return set;
}

/* Takes the item's answer. */
static bool put(struct net_tls_context *context, int place, struct staple item)
{
    int count = context->pair_count ? context->pair_count : 1;
    struct net_tls_staples *set = with(context->staples, count, place, item);
    if (!set) {
        OPENSSL_free(item.answer);
        return false;
    }
    net_tls_staples_let_go(context->staples);
    context->staples = set;
    return true;
}

bool net_tls_staple_use(struct net_tls_context *context, struct slice answer)
{
    unsigned char *copy = OPENSSL_memdup(answer.data, answer.len);
    return copy &&
           put(context, 0, (struct staple){.valid_until_s = INT64_MAX, .answer = copy, .len = answer.len});
}

/* --- clients --- */

static int kind_used(SSL *ssl)
{
    X509 *certificate = SSL_get_certificate(ssl);
    EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
    return key ? EVP_PKEY_get_base_id(key) : 0;
}

/* On any thread: the set is the handshake's. */
static int on_status(SSL *ssl, void *unused)
{
    const struct net_tls *t = SSL_get_app_data(ssl);
    (void)unused;
    for (int i = 0; t->staples && i < t->staples->count; i++) {
        const struct staple *s = &t->staples->items[i];
        if (!s->answer || (s->kind && s->kind != kind_used(ssl)) || s->valid_until_s < (int64_t)time(NULL))
            continue;
        unsigned char *copy = OPENSSL_memdup(s->answer, s->len);
        if (!copy)
            break;
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)s->len);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

void net_tls_watch_status(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_status_cb(ctx, on_status);
}

/* --- asking --- */

void net_tls_staple_forget(struct net_tls_context *context, int pair)
{
    if (!context->asks_for_staples)
        return;
    if (context->staples && !put(context, pair, (struct staple){0})) {
        net_tls_staples_let_go(context->staples); /* rather none than a wrong one */
        context->staples = NULL;
    }
    context->pairs[pair].staple_due_s = 1;
}

/* Of two pairs with keys of one kind the library shows the later one. */
static bool is_shown(const struct net_tls_context *context, int pair)
{
    for (int i = pair + 1; i < context->pair_count; i++)
        if (context->pairs[i].kind == context->pairs[pair].kind)
            return false;
    return context->pairs[pair].leaf != NULL;
}

int64_t net_tls_staple_due_s(const struct net_tls_context *context, int pair)
{
    assert(pair >= 0 && pair < context->pair_count);
    return context->asks_for_staples && is_shown(context, pair) ? context->pairs[pair].staple_due_s : 0;
}

static bool begin(const struct net_tls_context *context, int pair, struct net_tls_question *q,
                  char error[NET_TLS_ERROR_BYTES])
{
    const struct net_tls_known *known = &context->pairs[pair];
    return net_tls_question_begin(q, known->leaf, NULL, known->between, SSL_CTX_get_cert_store(context->ctx),
                                  context->staple_responder, error);
}

bool net_tls_staple_check(struct net_tls_context *context, int pair, char error[NET_TLS_ERROR_BYTES])
{
    struct net_tls_question q;
    if (!context->asks_for_staples || !is_shown(context, pair))
        return true;
    if (!begin(context, pair, &q, error)) {
        context->pairs[pair].staple_due_s = 0;
        return false;
    }
    net_tls_question_end(&q);
    return true;
}

struct net_tls_staple_question *net_tls_staple_begin(struct net_tls_context *context, int pair,
                                                     char error[NET_TLS_ERROR_BYTES])
{
    struct net_tls_staple_question *q = calloc(1, sizeof *q);
    context->pairs[pair].staple_due_s = q ? 0 : (int64_t)time(NULL) + AGAIN_S;
    if (!q)
        snprintf(error, NET_TLS_ERROR_BYTES, "out of memory");
    if (!q || !begin(context, pair, &q->asked, error)) {
        free(q);
        return NULL;
    }
    context->pairs[pair].staple_due_s = (int64_t)time(NULL) + AGAIN_S;
    q->flags = context->verifies_staples ? OCSP_TRUSTOTHER : OCSP_NOVERIFY;
    return q;
}

void net_tls_staple_ask(struct net_tls_staple_question *q)
{
    q->is_asked = true;
    q->is_answered = net_tls_ask(&q->asked, q->flags, q->error);
}

/* As nginx: within the hour, and before it ends to be valid, but not without a pause. */
static int64_t next_time(int64_t valid_until_s)
{
    int64_t now_s = (int64_t)time(NULL), next_s = now_s + HOUR_S;
    if (valid_until_s - AGAIN_S < next_s)
        next_s = valid_until_s - AGAIN_S;
    return next_s < now_s + AGAIN_S ? now_s + AGAIN_S : next_s;
}

static const char *settle(struct net_tls_context *context, int pair, struct net_tls_staple_question *q)
{
    struct net_tls_known *known = &context->pairs[pair];
    if (q->asked.certificate != known->leaf)
        return NULL; /* it has changed, and is due */
    if (!q->is_asked) {
        known->staple_due_s = (int64_t)time(NULL) + 1;
        return NULL;
    }
    if (!q->is_answered)
        return q->error;
    if (q->asked.status != NET_TLS_STATUS_GOOD)
        return q->asked.status == NET_TLS_STATUS_REVOKED ? "the certificate is revoked"
                                                         : "the authority does not know the certificate";
    struct staple item = {known->kind, q->asked.valid_until_s, q->asked.answer, q->asked.answer_len};
    q->asked.answer = NULL;
    known->staple_due_s = next_time(item.valid_until_s);
    return item.answer && put(context, pair, item) ? NULL : "out of memory";
}

const char *net_tls_staple_end(struct net_tls_context *context, int pair, struct net_tls_staple_question *q)
{
    static char text[NET_TLS_ERROR_BYTES]; /* the loop's */
    const char *wrong = settle(context, pair, q);
    if (wrong)
        snprintf(text, sizeof text, "%s", wrong);
    net_tls_question_end(&q->asked);
    free(q);
    return wrong ? text : NULL;
}
