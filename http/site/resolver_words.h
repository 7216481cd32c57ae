/*
 * http/site/resolver_words.h - the words of "resolver".
 *
 * Ownership: the caller's; servers is to be freed.
 * Threads:   any; a name is looked up by the system, which may take its time.
 */
#ifndef WEIR_HTTP_SITE_RESOLVER_WORDS_H
#define WEIR_HTTP_SITE_RESOLVER_WORDS_H

#include "base/buf.h"
#include "conf/tree.h"

#include <stdint.h>

struct conf;

struct resolver_words {
    /* Addresses with ports, commas between them. */
    struct buf servers;
    int64_t valid_ms; /* 0: none is said */
    int family;       /* AF_UNSPEC, or the only one to ask for */
};

/* `out` is all zero. Returns the word that is wrong; data NULL: none. */
struct slice resolver_read(const struct conf_node *node, struct resolver_words *out);

/* An error of the configuration, if a word is wrong. */
void resolver_check(struct conf *conf, const struct conf_node *node);

#endif
