/*
 * http/site/gzip_client.h - which clients get gzip: what gzip and gzip_static have in common.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SITE_GZIP_CLIENT_H
#define WEIR_HTTP_SITE_GZIP_CLIENT_H

#include "conf/settings.h"
#include "http/request/exchange.h"

struct feature;
struct location;

extern const struct feature feature_gzip_client;

/* Bits of gzip_proxied. */
enum gzip_proxied {
    GZIP_PROXIED_OFF = 1 << 0,
    GZIP_PROXIED_EXPIRED = 1 << 1,
    GZIP_PROXIED_NO_CACHE = 1 << 2,
    GZIP_PROXIED_NO_STORE = 1 << 3,
    GZIP_PROXIED_PRIVATE = 1 << 4,
    GZIP_PROXIED_NO_LAST_MODIFIED = 1 << 5,
    GZIP_PROXIED_NO_ETAG = 1 << 6,
    GZIP_PROXIED_AUTH = 1 << 7,
    GZIP_PROXIED_ANY = 1 << 8
};

struct gzip_client_settings {
    int http_version; /* minor */
    bool vary;
    unsigned proxied; /* enum gzip_proxied */
    struct conf_lines *disable;
    /* At this level or above: "msie6" is inherited even where expressions are not. */
    bool disable_msie6;
};
SETTINGS_PART(gzip_client_settings)

/*
 * Whether the request's answer may be sent in gzip: by its Accept-Encoding, its version, its User-Agent and, where it
 * came through a proxy, by what its answer has got so far.
 */
bool gzip_client_takes_it(const struct http_exchange *ex, const struct location *l);

#endif
