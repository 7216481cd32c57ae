/*
 * conf/settings_proxy.h - settings of proxy_pass over HTTP, and of how names of upstreams are found.
 */
#ifndef WEIR_CONF_SETTINGS_PROXY_H
#define WEIR_CONF_SETTINGS_PROXY_H

#include "conf/settings_upstream.h"

/* By which directives a location passes its requests on: proxy_pass and its kin, and so on. */
enum conf_pass_kind { CONF_PASS_PROXY, CONF_PASS_GRPC, CONF_PASS_FASTCGI, CONF_PASS_KINDS };

enum conf_proxy_version { PROXY_HTTP_1_0, PROXY_HTTP_1_1, PROXY_HTTP_2 };

enum conf_proxy_protocol { CONF_PROXY_PROTOCOL_OFF, CONF_PROXY_PROTOCOL_V1, CONF_PROXY_PROTOCOL_V2 };

struct proxy_settings {
    struct upstream_settings upstream;
    int http_version; /* enum conf_proxy_version */
    const struct conf_node *method, *body;
    struct conf_lines *headers; /* proxy_set_header */
    struct conf_lines *redirects, *cookie_domains, *cookie_paths, *cookie_flags;
    bool pass_trailers, request_ids;
    enum conf_proxy_protocol protocol;
};

/* What the names of those directives begin with. */
static inline const char *conf_pass_prefix(enum conf_pass_kind kind)
{
    static const char *const all[] = {"proxy", "grpc", "fastcgi"};
    return all[kind];
}

struct resolver_settings {
    struct conf_lines *servers;
    int64_t timeout_ms;
};

#endif
