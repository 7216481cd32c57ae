/*
 * worker/realip.c - who the client really is, where a proxy in front of us says so: set_real_ip_from, real_ip_header and
 * the PROXY protocol.
 */
#include "worker/core.h"

#include <netinet/in.h>

static bool is_trusted(const struct realip *r, const unsigned char *address, int len)
{
    for (int i = 0; i < r->mask_count; i++)
        if (net_mask_has(&r->masks[i], address, len))
            return true;
    return len == 0 && r->trusts_unix;
}

/* "1.2.3.4", "1.2.3.4:5", "::1", "[::1]", "[::1]:5"; *has_port says whether it has one. */
static bool parse(struct slice text, struct net_address *out, bool *has_port)
{
    char bare[64];
    size_t colons = 0;
    for (size_t i = 0; i < text.len; i++)
        colons += text.data[i] == ':';
    bool brackets = text.len && text.data[0] == '[';
    *has_port = brackets ? text.data[text.len - 1] != ']' : colons == 1;
    if (text.len == 0 || (*has_port && text.data[text.len - 1] == ':'))
        return false;
    if (colons < 2 || brackets)
        return text.data[0] != ':' && !net_address_parse_literal(text, out) &&
               out->addr.ss_family != AF_UNIX && (brackets || memchr(text.data, '.', text.len));
    if (text.len + 2 >= sizeof bare)
        return false;
    bare[0] = '[';
    memcpy(bare + 1, text.data, text.len);
    bare[text.len + 1] = ']';
    return !net_address_parse_literal((struct slice){bare, text.len + 2}, out);
}

/* As an exchange has it: address and port in network order. */
static int pack(const struct net_address *a, bool has_port, unsigned char out[18])
{
    uint16_t none = 0;
    memset(out, 0, 18);
    if (a->addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&a->addr;
        memcpy(out, &in->sin_addr, 4);
        memcpy(out + 16, has_port ? &in->sin_port : &none, 2);
        return 4;
    }
    const struct sockaddr_in6 *in = (const void *)&a->addr;
    memcpy(out, &in->sin6_addr, 16);
    memcpy(out + 16, has_port ? &in->sin6_port : &none, 2);
    return 16;
}

/* The last word of a list with commas, cut off. */
static struct slice cut_last(struct slice *list)
{
    const char *comma = list->len ? memrchr(list->data, ',', list->len) : NULL;
    size_t start = comma ? (size_t)(comma - list->data) + 1 : 0;
    struct slice word = slice_trim(slice_from(*list, start));
    list->len = comma ? start - 1 : 0;
    return word;
}

/* From the last address of the last line backwards: the first that is not trusted, or with `recursive` off the last. */
static bool from_headers(const struct http_exchange *ex, const struct realip *r, unsigned char out[18],
                         int *len)
{
    bool found = false;
    for (int i = ex->req.header_count - 1; i >= 0; i--) {
        struct slice list = ex->req.headers[i].value;
        if (!slice_eq_nocase(ex->req.headers[i].name, r->header))
            continue;
        while (list.len) {
            struct net_address address;
            bool has_port;
            struct slice word = cut_last(&list);
            if (word.len == 0) /* an empty element is none (RFC 9110 section 5.6.1.2) */
                continue;
            if (!parse(word, &address, &has_port))
                return found;
            *len = pack(&address, has_port, out);
            found = true;
            if (!r->recursive || !is_trusted(r, out, *len))
                return true;
        }
    }
    return found;
}

bool realip_find(const struct realip *r, const struct http_exchange *ex, const unsigned char *address,
                 int *len, unsigned char found[18])
{
    return is_trusted(r, address, *len) && from_headers(ex, r, found, len);
}

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
    const struct realip *r = l->realip;
    if (!r || !is_trusted(r, ex->client.remote, ex->client.remote_len))
        return;
    const struct http_peer *direct = ex->client.peer(ex);
    bool changed = slice_eq_nocase(r->header, SLICE("proxy_protocol"))
                       ? from_proxy_protocol(ex)
                       : from_headers(ex, r, ex->client.remote, &ex->client.remote_len);
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

struct realip *site_build_realip(struct site *site, const struct settings *s)
{
    int count = site_count_lines(s->realip.from) * NAME_ADDRESSES_MAX;
    if (count == 0)
        return NULL;
    struct realip *r = site_array(site, 1, sizeof *r);
    r->masks = site_array(site, count, sizeof *r->masks);
    r->header = s->realip.header;
    r->recursive = s->realip.recursive;
    for (const struct conf_lines *l = s->realip.from; l; l = l->next) {
        struct slice text = l->node->args[0];
        if (slice_eq(text, SLICE("unix:")))
            r->trusts_unix = true;
        else if (net_mask_parse(text, &r->masks[r->mask_count]))
            r->mask_count++;
        else if (!add_host(r, text, &site->lookups_ms))
            conf_error(
                &site->conf->errors, l->node,
                "invalid parameter \"%.*s\" of \"set_real_ip_from\"; write ADDRESS, ADDRESS/BITS, the name of a host "
                "that is known, or unix:",
                SLICE_ARGS(text));
    }
    return r;
}
