/*
 * conf/settings_gzip.h - settings of compression.
 */
#ifndef WEIR_CONF_SETTINGS_GZIP_H
#define WEIR_CONF_SETTINGS_GZIP_H

#include "conf/values.h"

/* Bits of gzip_proxied. */
enum conf_gzip_proxied {
    CONF_GZIP_OFF = 1 << 0,
    CONF_GZIP_EXPIRED = 1 << 1,
    CONF_GZIP_NO_CACHE = 1 << 2,
    CONF_GZIP_NO_STORE = 1 << 3,
    CONF_GZIP_PRIVATE = 1 << 4,
    CONF_GZIP_NO_LAST_MODIFIED = 1 << 5,
    CONF_GZIP_NO_ETAG = 1 << 6,
    CONF_GZIP_AUTH = 1 << 7,
    CONF_GZIP_ANY = 1 << 8
};

enum conf_gzip_static { CONF_GZIP_STATIC_OFF, CONF_GZIP_STATIC_ON, CONF_GZIP_STATIC_ALWAYS };

struct gzip_settings {
    bool on, vary;
    int64_t min_length_bytes, buffers_bytes;
    int comp_level;
    int http_version; /* minor */
    unsigned proxied; /* enum conf_gzip_proxied */
    struct conf_lines *types, *disable;
    bool disable_msie6; /* at this level or above: "msie6" is inherited even where expressions are not */
    enum conf_gzip_static static_files;
};

#endif
