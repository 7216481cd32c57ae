/*
 * http/site/resolver_words.c - what "resolver" says: name servers, by address or by a name that the system knows, and how to
 * ask them. The test of a configuration reads it as a worker does, so that it finds what is wrong.
 */
#include "http/site/resolver_words.h"

#include "base/buf.h"
#include "base/slice.h"
#include "conf/conf.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "net/address.h"

#include <string.h>
#include <sys/socket.h>

enum { ADDRESSES_MAX = 8 /* of a name */, DNS_PORT = 53 };

static bool has_port(struct slice text)
{
    const char *behind = text.len && text.data[0] == '[' ? memchr(text.data, ']', text.len) : text.data;
    return behind && memchr(behind, ':', text.len - (size_t)(behind - text.data));
}

static bool add_server(struct buf *list, struct slice text, uint64_t *spent_ms)
{
    struct net_address found[ADDRESSES_MAX];
    char written[NET_ADDRESS_TEXT_BYTES];
    struct slice host;
    unsigned port;
    int count = 0;
    if (slice_starts(text, SLICE("unix:")) ||
        net_address_resolve(text, found, ADDRESSES_MAX, &count, &host, &port, spent_ms))
        return false;
    for (int i = 0; i < count; i++) {
        if (!has_port(text))
            net_address_set_port(&found[i], DNS_PORT);
        if ((buf_len(list) && !buf_append(list, ",", 1)) ||
            !buf_append_slice(list, slice_of(net_address_text(&found[i], written))))
            return false;
    }
    return count > 0;
}

/* "on" or "off". */
static bool read_switch(struct slice value, bool *on)
{
    *on = slice_eq(value, SLICE("on"));
    return *on || slice_eq(value, SLICE("off"));
}

struct slice resolver_read(const struct conf_node *n, struct resolver_words *out)
{
    bool v4 = true, v6 = true;
    uint64_t spent_ms = 0;
    for (int i = 0; i < n->nargs; i++) {
        struct slice arg = n->args[i];
        bool ok = slice_starts(arg, SLICE("valid="))  ? conf_parse_time(slice_from(arg, 6), &out->valid_ms)
                  : slice_starts(arg, SLICE("ipv4=")) ? read_switch(slice_from(arg, 5), &v4)
                  : slice_starts(arg, SLICE("ipv6=")) ? read_switch(slice_from(arg, 5), &v6)
                                                      : add_server(&out->servers, arg, &spent_ms);
        if (!ok || !(v4 || v6))
            return arg;
    }
    out->family = v4 ? AF_INET : AF_INET6;
    if (v4 && v6)
        out->family = AF_UNSPEC;
    if (buf_len(&out->servers) == 0)
        return n->name;
    return (struct slice){0};
}

void resolver_check(struct conf *conf, const struct conf_node *n)
{
    struct resolver_words words = {0};
    struct slice wrong = resolver_read(n, &words);
    buf_free(&words.servers);
    if (wrong.data)
        conf_error(&conf->errors, n,
                   "invalid \"%.*s\" in \"resolver\"; write: ADDRESS[:PORT] ... [valid=TIME] [ipv4=on|off] "
                   "[ipv6=on|off], one of them on, and names only that the system knows",
                   SLICE_ARGS(wrong));
}
