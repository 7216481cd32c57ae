/*
 * net/tls_varying.c - a server whose certificates have variables in their names: what they are is asked when a client is there, and they are
 * read by whoever computes the handshake, unless they are kept.
 */
#include "net/tls_internal.h"

#include "base/buf.h"
#include "net/tls_loaded.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct net_tls_loading {
    char error[NET_TLS_ERROR_BYTES];
    bool is_used; /* the library has them */
    int count;
    struct one {
        struct net_tls_load load;
        bool is_kept;
    } all[];
};

void net_tls_loading_free(struct net_tls_loading *l)
{
    for (int i = 0; l && i < l->count; i++)
        net_tls_load_free(&l->all[i].load);
    free(l);
}

const char *net_tls_loading_error(const struct net_tls *t)
{
    return t->loading && t->loading->error[0] ? t->loading->error : NULL;
}

static char *take_text(struct buf *text)
{
    bool ok = buf_append(text, "", 1);
    char *copy = ok ? strdup(text->data + text->start) : NULL;
    buf_free(text);
    return copy;
}

/* On the loop. False: out of memory. */
static bool name_one(const struct net_tls *t, int pair, struct one *one)
{
    struct buf certificate = {0}, key = {0};
    bool ok = t->server->name_pair(t->with, t->context->owner, pair, &certificate, &key);
    one->load.certificate = take_text(&certificate);
    one->load.key = take_text(&key);
    if (!ok || !one->load.certificate || !one->load.key)
        return false;
    one->is_kept = t->context->loaded && net_tls_loaded_find(t->context->loaded, &one->load);
    return true;
}

/* Files are named by them: no way to elsewhere may be among them. */
static bool is_host_name(const char *name)
{
    if (!name)
        return true;
    for (const char *at = name; *at; at++)
        if (*at == '/' || (unsigned char)*at <= ' ' || *at == 0x7f)
            return false;
    return name[0] != '.' && !strstr(name, "..");
}

/* On the loop. */
static bool begin(struct net_tls *t)
{
    int count = t->context->varying_count;
    struct net_tls_loading *l = calloc(1, sizeof *l + (size_t)count * sizeof l->all[0]);
    if (!l)
        return false;
    l->count = count;
    t->loading = l;
    if (!is_host_name(SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name))) {
        snprintf(l->error, sizeof l->error, "the client asks for a name that no host has");
        return false;
    }
    for (int i = 0; i < count; i++)
        if (!name_one(t, i, &l->all[i])) {
            snprintf(l->error, sizeof l->error, "no memory for the name of a certificate");
            return false;
        }
    return true;
}

static bool are_read(const struct net_tls_loading *l)
{
    int i = 0;
    while (i < l->count && l->all[i].load.loaded)
        i++;
    return i == l->count;
}

bool net_tls_has_to_read(const struct net_tls *t)
{
    return t->loading && !are_read(t->loading);
}

static bool read_all(struct net_tls *t)
{
    struct net_tls_loading *l = t->loading;
    for (int i = 0; i < l->count; i++)
        if (!l->all[i].load.loaded && !net_tls_load(&l->all[i].load, t->context->password_file, l->error))
            return false;
    return true;
}

static bool use_all(struct net_tls *t)
{
    for (int i = 0; i < t->loading->count; i++)
        if (!net_tls_certificate_use(t->ssl, t->loading->all[i].load.loaded))
            return false;
    t->loading->is_used = true;
    return true;
}

int net_tls_vary(struct net_tls *t)
{
    if (t->loading && t->loading->is_used)
        return 1;
    if (!t->loading && !begin(t))
        return 0;
    if (t->loading->error[0])
        return 0;
    /* Files are for a thread to be read. */
    if (!are_read(t->loading) && !t->computes && t->context->where >= 0)
        return -1;
    return read_all(t) && use_all(t) ? 1 : 0;
}

void net_tls_keep_loaded(struct net_tls *t)
{
    struct net_tls_loading *l = t->loading;
    for (int i = 0; l && t->context->loaded && i < l->count; i++) {
        struct one *one = &l->all[i];
        if (!one->load.loaded || one->is_kept)
            continue;
        net_tls_loaded_keep(t->context->loaded, &one->load);
        one->is_kept = true;
    }
}
