/*
 * http/access/realip.c - who the client really is, where a proxy in front of us says so: set_real_ip_from, real_ip_header and
 * the PROXY protocol.
 */
#include "http/access/realip.h"

#include "base/slice.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"
#include "http/site/trusted.h"
#include "net/address.h"
#include "net/proxy_protocol.h"

#include <netinet/in.h>

struct realip_settings {
    struct conf_lines *from;
    struct slice header;
    bool recursive;
};

struct part realip_settings_part = {.size = sizeof(struct realip_settings)};
SETTINGS_PART(realip_settings)

/* Of a location. */
struct realip_location {
    struct realip *trusted; /* NULL: nobody is */
};

struct part realip_location_part = {.size = sizeof(struct realip_location)};
LOCATION_PART(realip_location)

static bool from_proxy_protocol(struct http_exchange *ex)
{
    const struct net_proxy_header *told = ex->client.told_header;
    if (!told || told->address_len == 0)
        return false;
    uint16_t port = htons(told->source_port);
    memcpy(ex->client.remote, told->source, 16);
    memcpy(ex->client.remote + 16, &port, 2);
    ex->client.remote_len = told->address_len;
    return true;
}

void realip_apply(struct http_exchange *ex, const struct location *l)
{
    const struct realip *r = realip_location_of(l)->trusted;
    if (!r || !trusted_is(r, ex->client.remote, ex->client.remote_len))
        return;
    const struct http_peer *direct = ex->client.peer(ex);
    bool changed = slice_eq_nocase(r->header, SLICE("proxy_protocol"))
                       ? from_proxy_protocol(ex)
                       : trusted_headers(ex, r, ex->client.remote, &ex->client.remote_len);
    if (!changed)
        return;
    ex->client.direct_addr = direct->remote_addr;
    ex->client.direct_port = direct->remote_port;
    ex->client.known = NULL;
}

/* --- from settings --- */

enum { NAME_ADDRESSES_MAX = 16 /* of a host's name */ };

/* All addresses of a host, as they are now. */
static bool add_host(struct realip *r, struct slice name, uint64_t *spent_ms)
{
    struct net_address found[NAME_ADDRESSES_MAX];
    struct slice host;
    unsigned port;
    int count;
    if (!net_is_host_name(name) ||
        net_address_resolve(name, found, NAME_ADDRESSES_MAX, &count, &host, &port, spent_ms))
        return false;
    for (int i = 0; i < count; i++) {
        struct net_mask *m = &r->masks[r->mask_count++];
        bool v6 = found[i].addr.ss_family == AF_INET6;
        m->len = v6 ? 16 : 4;
        m->bits = 8 * m->len;
        memcpy(m->bytes,
               v6 ? (const void *)&((const struct sockaddr_in6 *)&found[i].addr)->sin6_addr
                  : (const void *)&((const struct sockaddr_in *)&found[i].addr)->sin_addr,
               (size_t)m->len);
    }
    return true;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct realip_settings *s = realip_settings_of(l->settings);
    (void)c;
    int count = site_count_lines(s->from) * NAME_ADDRESSES_MAX;
    if (count == 0)
        return;
    struct realip *r = site_array(site, 1, sizeof *r);
    r->masks = site_array(site, count, sizeof *r->masks);
    r->header = s->header;
    r->recursive = s->recursive;
    for (const struct conf_lines *line = s->from; line; line = line->next) {
        struct slice text = line->node->args[0];
        if (slice_eq(text, SLICE("unix:")))
            r->trusts_unix = true;
        else if (net_mask_parse(text, &r->masks[r->mask_count]))
            r->mask_count++;
        else if (!add_host(r, text, &site->lookups_ms))
            conf_error(
                &site->conf->errors, line->node,
                "invalid parameter \"%.*s\" of \"set_real_ip_from\"; write ADDRESS, ADDRESS/BITS, the name of a host "
                "that is known, or unix:",
                SLICE_ARGS(text));
    }
    realip_location_in(l)->trusted = r;
}

#define PART(member) CONF_PART_FIELD(realip_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "set_real_ip_from", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_LINES, .field = PART(from),
     .syntax = "ADDRESS | NETWORK/BITS | unix:",
     .help = "Whose word about the client's address is believed. Inherited where a level has none."},
    {.name = "real_ip_header", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = PART(header), .default_text = "X-Real-IP",
     .syntax = "NAME | proxy_protocol",
     .help = "Where the client's address is written."},
    {.name = "real_ip_recursive", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(recursive), .default_text = "off", .live = CONF_LIVE,
     .help = "Of several addresses, whether the last one that is not believed is taken instead of the last one."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_ACCESS, rows, NULL};

const struct feature feature_realip = {
    .name = "realip", .table = &table, .location = &realip_location_part, .build = build};
