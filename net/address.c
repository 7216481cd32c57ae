/*
 * net/address.c - parsing and printing socket addresses.
 */
#include "net/address.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/slice.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * inet_pton, but that decimal numbers may have zeros in front, as in nginx: some proxies pad an address to a fixed width.
 * They are never octal here.
 */
static bool parse_ip(int family, struct slice text, void *out)
{
    char plain[INET6_ADDRSTRLEN];
    const char *colon = text.len ? memrchr(text.data, ':', text.len) : NULL;
    size_t n = 0, v4 = colon ? (size_t)(colon - text.data) + 1 : 0;
    bool has_v4 = memchr(text.data + v4, '.', text.len - v4) != NULL;
    for (size_t i = 0; i < text.len; i++) {
        bool begins = n == 0 || plain[n - 1] == '.' || plain[n - 1] == ':';
        bool goes_on = i + 1 < text.len && isdigit((unsigned char)text.data[i + 1]);
        if (has_v4 && i >= v4 && text.data[i] == '0' && begins && goes_on)
            continue;
        if (n + 1 >= sizeof plain)
            return false;
        plain[n++] = text.data[i];
    }
    plain[n] = '\0';
    return inet_pton(family, plain, out) == 1;
}

static const char *parse_unix(struct slice path, struct net_address *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->addr;
    if (path.len == 0 || path.len >= sizeof un->sun_path)
        return "a unix socket's path has 1 to 107 bytes";
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.data, path.len);
    un->sun_path[path.len] = '\0';
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return NULL;
}

static void set_v4(struct net_address *out, struct in_addr ip, unsigned port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&out->addr;
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = ip};
    out->len = sizeof *in;
}

static void set_v6(struct net_address *out, struct in6_addr ip, unsigned port)
{
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)&out->addr;
    *in = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = ip};
    out->len = sizeof *in;
}

static const char *resolve_host(const char *host, unsigned port, struct net_address *out)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, NULL, &hints, &found) != 0 || !found)
        return "host not found; check the name, or write an address";
    set_v4(out, ((struct sockaddr_in *)found->ai_addr)->sin_addr, port);
    freeaddrinfo(found);
    return NULL;
}

static const char *parse_host_part(struct slice host, unsigned port, bool names, struct net_address *out)
{
    char text[256];
    struct in_addr v4 = {INADDR_ANY};
    struct in6_addr v6;
    if (host.len == 0 || slice_eq(host, SLICE("*"))) {
        set_v4(out, v4, port);
        return NULL;
    }
    bool brackets = host.data[0] == '[';
    if (brackets)
        host = (struct slice){host.data + 1, host.len - 2};
    if (host.len >= sizeof text)
        return "host name too long";
    if (brackets) {
        if (!parse_ip(AF_INET6, host, &v6))
            return "invalid IPv6 address";
        set_v6(out, v6, port);
        return NULL;
    }
    if (parse_ip(AF_INET, host, &v4)) {
        set_v4(out, v4, port);
        return NULL;
    }
    assert(host.len < sizeof text);
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    return names ? resolve_host(text, port, out) : "it is no address";
}

static const char *parse_address_text(struct slice text, bool names, struct net_address *out)
{
    unsigned long long port = 80;
    memset(out, 0, sizeof *out);
    if (slice_starts(text, SLICE("unix:")))
        return parse_unix(slice_from(text, 5), out);
    struct slice host = text, port_text = {0};
    if (text.len && text.data[0] == '[') {
        const char *close = memchr(text.data, ']', text.len);
        if (!close)
            return "\"]\" is missing";
        host.len = (size_t)(close - text.data) + 1;
        port_text = slice_from(text, host.len);
        if (port_text.len && port_text.data[0] != ':')
            return "\":\" and a port are expected behind \"]\"";
        port_text = slice_from(port_text, 1);
    } else {
        const char *colon = memrchr(text.data, ':', text.len);
        bool only_port = !colon && text.len && strspn(text.data, "0123456789") >= text.len;
        if (only_port || colon) {
            host.len = colon ? (size_t)(colon - text.data) : 0;
            port_text = slice_from(text, colon ? host.len + 1 : 0);
            if (port_text.len == 0)
                return "port is missing";
        }
    }
    if (port_text.len && (!slice_to_u64(port_text, 65535, &port) || port == 0))
        return "invalid port; it is a number from 1 to 65535";
    return parse_host_part(host, (unsigned)port, names, out);
}

const char *net_address_parse(struct slice text, struct net_address *out)
{
    return parse_address_text(text, true, out);
}

const char *net_address_parse_literal(struct slice text, struct net_address *out)
{
    return parse_address_text(text, false, out);
}

const char *net_address_parse_local(struct slice text, struct net_address *out)
{
    char copy[INET6_ADDRSTRLEN + 2];
    const char *colon = text.len ? memchr(text.data, ':', text.len) : NULL;
    bool in_brackets = text.len && text.data[0] == '[';
    bool bare_v6 = colon && !in_brackets && memrchr(text.data, ':', text.len) != colon;
    if (!colon && !(text.len && memchr(text.data, '.', text.len)))
        return "it is no address";
    if (bare_v6) {
        if (text.len >= INET6_ADDRSTRLEN)
            return "it is no address";
        int len = snprintf(copy, sizeof copy, "[%.*s]", SLICE_ARGS(text));
        text = (struct slice){copy, (size_t)len};
    }
    const char *wrong = net_address_parse_literal(text, out);
    if (!wrong && out->addr.ss_family == AF_UNIX)
        wrong = "it is a path";
    bool has_port = in_brackets ? text.data[text.len - 1] != ']' : colon && !bare_v6;
    if (!wrong && !has_port)
        net_address_set_port(out, 0);
    return wrong;
}

/* Whether it is neither an address nor a path. */
static bool is_name(struct slice host)
{
    struct in_addr v4;
    if (host.len == 0 || host.data[0] == '[' || slice_eq(host, SLICE("*")))
        return false;
    return !parse_ip(AF_INET, host, &v4);
}

void net_address_set_port(struct net_address *a, unsigned port)
{
    assert(port <= 65535);
    if (a->addr.ss_family == AF_INET)
        ((struct sockaddr_in *)&a->addr)->sin_port = htons((uint16_t)port);
    else if (a->addr.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->addr)->sin6_port = htons((uint16_t)port);
}

bool net_split_port(struct slice text, struct slice *host, unsigned *port)
{
    unsigned long long number = 80;
    const char *colon = text.len ? memrchr(text.data, ':', text.len) : NULL;
    *host = (struct slice){text.data, colon ? (size_t)(colon - text.data) : text.len};
    if (colon && (!slice_to_u64(slice_from(text, host->len + 1), 65535, &number) || number == 0))
        return false;
    *port = (unsigned)number;
    return is_name(*host) && host->len < 254;
}

bool net_is_host_name(struct slice s)
{
    /* The last label has letters: else the name would be an address. */
    bool letters = false;
    size_t label = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
        if (c == '.' ? label == 0 : !letter && (c < '0' || c > '9'))
            return false;
        label = c == '.' ? 0 : label + 1;
        letters = label == 1 ? letter : label ? letters || letter : letters;
    }
    return letters;
}

enum { LOOKUPS_MS = 5000 };

const char *net_address_resolve(struct slice text, struct net_address *out, int most, int *count,
                                struct slice *host, unsigned *port, uint64_t *spent_ms)
{
    char name[256];
    *count = 1;
    if (slice_starts(text, SLICE("unix:")) || !net_split_port(text, host, port)) {
        *host = (struct slice){0};
        return net_address_parse(text, out);
    }
    assert(host->len < sizeof name && most > 0);
    memcpy(name, host->data, host->len);
    name[host->len] = '\0';
    *count = 0;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG},
                    *found = NULL;
    uint64_t begun_ms = clock_mono_ms();
    int error = *spent_ms < LOOKUPS_MS ? getaddrinfo(name, NULL, &hints, &found) : EAI_AGAIN;
    *spent_ms += clock_mono_ms() - begun_ms;
    if (error || !found)
        return "host not found in upstream; check the name, or write an address";
    for (struct addrinfo *a = found; a && *count < most; a = a->ai_next) {
        assert(a->ai_addrlen <= sizeof out->addr);
        struct net_address *to = &out[(*count)++];
        memset(to, 0, sizeof *to);
        memcpy(&to->addr, a->ai_addr, a->ai_addrlen);
        to->len = a->ai_addrlen;
        net_address_set_port(to, *port);
    }
    freeaddrinfo(found);
    qsort(out, (size_t)*count, sizeof *out, net_address_compare);
    if (slice_eq(*host, SLICE("localhost")))
        *host = (struct slice){0}; /* it stays what it is */
    return NULL;
}

int net_address_compare(const void *a, const void *b)
{
    const struct net_address *x = a, *y = b;
    if (x->addr.ss_family != y->addr.ss_family)
        return x->addr.ss_family < y->addr.ss_family ? -1 : 1;
    if (x->addr.ss_family == AF_INET) {
        const struct sockaddr_in *p = (const void *)&x->addr, *q = (const void *)&y->addr;
        int order = memcmp(&p->sin_addr, &q->sin_addr, sizeof p->sin_addr);
        return order ? order : ntohs(p->sin_port) - ntohs(q->sin_port);
    }
    if (x->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *p = (const void *)&x->addr, *q = (const void *)&y->addr;
        int order = memcmp(&p->sin6_addr, &q->sin6_addr, sizeof p->sin6_addr);
        return order ? order : ntohs(p->sin6_port) - ntohs(q->sin6_port);
    }
    return memcmp(&x->addr, &y->addr, sizeof(struct sockaddr_un));
}

bool net_address_eq(const struct net_address *a, const struct net_address *b)
{
    if (a->addr.ss_family != b->addr.ss_family)
        return false;
    if (a->addr.ss_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)&a->addr, *y = (const void *)&b->addr;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    if (a->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *x = (const void *)&a->addr, *y = (const void *)&b->addr;
        return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0;
    }
    const struct sockaddr_un *x = (const void *)&a->addr, *y = (const void *)&b->addr;
    return strncmp(x->sun_path, y->sun_path, sizeof x->sun_path) == 0;
}

bool net_address_covers(const struct net_address *any, const struct net_address *b)
{
    struct net_address wildcard = *b;
    if (b->addr.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&wildcard.addr)->sin_addr.s_addr = htonl(INADDR_ANY);
    else if (b->addr.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&wildcard.addr)->sin6_addr = in6addr_any;
    return net_address_eq(any, &wildcard) && !net_address_eq(any, b);
}

size_t net_address_host(const struct net_address *a, char out[NET_ADDRESS_TEXT_BYTES], unsigned *port)
{
    *port = 0;
    out[0] = '\0';
    if (a->addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&a->addr;
        const unsigned char *bytes = (const void *)&in->sin_addr;
        char *at = out;
        for (int i = 0; i < 4; i++) {
            if (bytes[i] >= 100)
                *at++ = (char)('0' + bytes[i] / 100);
            if (bytes[i] >= 10)
                *at++ = (char)('0' + bytes[i] / 10 % 10);
            *at++ = (char)('0' + bytes[i] % 10);
            *at++ = i < 3 ? '.' : '\0';
        }
        *port = ntohs(in->sin_port);
    } else if (a->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)&a->addr;
        inet_ntop(AF_INET6, &in->sin6_addr, out, NET_ADDRESS_TEXT_BYTES);
        *port = ntohs(in->sin6_port);
    } else {
        memcpy(out, "unix:", sizeof "unix:");
    }
    return strlen(out);
}

const char *net_address_text(const struct net_address *a, char out[NET_ADDRESS_TEXT_BYTES])
{
    char host[NET_ADDRESS_TEXT_BYTES];
    unsigned port;
    net_address_host(a, host, &port);
    if (a->addr.ss_family == AF_UNIX)
        snprintf(out, NET_ADDRESS_TEXT_BYTES, "unix:%.107s",
                 ((const struct sockaddr_un *)(const void *)&a->addr)->sun_path);
    else
        snprintf(out, NET_ADDRESS_TEXT_BYTES, a->addr.ss_family == AF_INET6 ? "[%.100s]:%u" : "%.100s:%u",
                 host, port);
    return out;
}

bool net_mask_parse(struct slice text, struct net_mask *out)
{
    unsigned long long bits;
    const char *slash = text.len ? memchr(text.data, '/', text.len) : NULL;
    size_t n = slash ? (size_t)(slash - text.data) : text.len;
    struct slice host = {text.data, n};
    if (n == 0)
        return false;
    memset(out, 0, sizeof *out);
    out->len = parse_ip(AF_INET, host, out->bytes) ? 4 : parse_ip(AF_INET6, host, out->bytes) ? 16 : 0;
    bits = (unsigned long long)out->len * 8;
    if (out->len == 0 || (slash && !slice_to_u64(slice_from(text, n + 1), bits, &bits)))
        return false;
    out->bits = (int)bits;
    for (int i = out->bits; i < out->len * 8; i++)
        out->bytes[i / 8] &= (unsigned char)~(0x80 >> i % 8);
    return true;
}

bool net_mask_has(const struct net_mask *mask, const unsigned char *address, int len)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (len == 16 && mask->len == 4 && memcmp(address, mapped, sizeof mapped) == 0) {
        address += sizeof mapped;
        len = 4;
    }
    if (len != mask->len)
        return false;
    assert(mask->bits >= 0 && mask->bits <= 8 * mask->len);
    int whole = mask->bits / 8, rest = mask->bits % 8;
    return memcmp(address, mask->bytes, (size_t)whole) == 0 &&
           (rest == 0 || (address[whole] & (0xff00 >> rest & 0xff)) == mask->bytes[whole]);
}
