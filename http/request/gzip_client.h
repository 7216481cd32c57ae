/*
 * http/request/gzip_client.h - which clients get gzip: what gzip and gzip_static have in common.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_REQUEST_GZIP_CLIENT_H
#define WEIR_HTTP_REQUEST_GZIP_CLIENT_H

#include "conf/settings.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"

/* gzip_disable: the browsers that get none. */
struct gzip_disable {
    bool msie6;
    /* An element is NULL only in a configuration that is refused. */
    struct http_regex **regexes;
    int regex_count;
};

/*
 * Whether the request's answer may be sent in gzip: by its Accept-Encoding, its version, its User-Agent and, where it
 * came through a proxy, by what its answer has got so far. disable may be NULL.
 */
bool gzip_client_takes_it(const struct http_exchange *ex, const struct settings *s,
                          const struct gzip_disable *disable);

#endif
