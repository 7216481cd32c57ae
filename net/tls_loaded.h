/*
 * net/tls_loaded.h - certificates whose names are known only when a connection is there: read then, and kept for the next ones
 * (ssl_certificate_cache).
 *
 * Ownership: who finds one holds it until net_tls_certificate_free.
 * Threads:   the loop's, but for net_tls_load, which reads files.
 */
#ifndef WEIR_NET_TLS_LOADED_H
#define WEIR_NET_TLS_LOADED_H

#include "base/file_stamp.h"
#include "net/tls.h"

/* A pair that has been read, and what its files were before that. */
struct net_tls_load {
    char *certificate, *key; /* as in net_tls_pair; its own */
    struct file_stamp stamps[2];
    /* NULL: not yet, or it cannot be. */
    struct net_tls_certificate *loaded;
};

/* False: `error` says why not. */
bool net_tls_load(struct net_tls_load *load, const char *password_file, char error[NET_TLS_ERROR_BYTES]);
void net_tls_load_free(struct net_tls_load *load);

struct net_tls_loaded_rules {
    int64_t max; /* beyond it the least used one goes */
    int64_t inactive_ms;
    int64_t valid_ms; /* between two looks at the files */
};

/* NULL: out of memory. */
struct net_tls_loaded *net_tls_loaded_new(const struct net_tls_loaded_rules *rules);
void net_tls_loaded_free(struct net_tls_loaded *loaded);

/* Into the load, from what is kept. False: it is not. */
bool net_tls_loaded_find(struct net_tls_loaded *loaded, struct net_tls_load *load);

/* Keeps what has been read for others. */
void net_tls_loaded_keep(struct net_tls_loaded *loaded, const struct net_tls_load *load);

#endif
