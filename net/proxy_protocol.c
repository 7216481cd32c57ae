/*
 * net/proxy_protocol.c - reading and writing the PROXY protocol's header.
 */
#include "net/proxy_protocol.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"

#include <arpa/inet.h>
#include <assert.h>

enum {
    V1_MAX = 107, /* section 2.1: the longest line, with CRLF */
    /* Section 2.2: signature, version, family, length. */
    V2_FIXED = 16,
    /* Addresses and extensions; more than any sender has to say. */
    V2_MAX = 4096 - 16
};

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* --- version 1: "PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n" --- */

/* Cuts the next word off a line: exactly one blank stands between two. */
static struct slice next_word(struct slice *rest)
{
    const char *blank = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;
    struct slice word = {rest->data, blank ? (size_t)(blank - rest->data) : rest->len};
    *rest = slice_from(*rest, blank ? word.len + 1 : rest->len);
    return word;
}

static bool parse_address(struct slice word, int family, unsigned char out[16])
{
    char text[INET6_ADDRSTRLEN];
    if (word.len == 0 || word.len >= sizeof text)
        return false;
    memcpy(text, word.data, word.len);
    text[word.len] = '\0';
    return inet_pton(family, text, out) == 1;
}

static bool parse_port(struct slice word, uint16_t *port)
{
    unsigned long long number;
    if (!slice_to_u64(word, 65535, &number) || (word.len > 1 && word.data[0] == '0'))
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool parse_v1_line(struct net_proxy_header *h, struct slice line)
{
    struct slice rest = line;
    if (!slice_eq(next_word(&rest), SLICE("PROXY")))
        return false;
    struct slice kind = next_word(&rest);
    if (slice_eq(kind, SLICE("UNKNOWN")))
        return true;
    int family = slice_eq(kind, SLICE("TCP4")) ? AF_INET : slice_eq(kind, SLICE("TCP6")) ? AF_INET6 : -1;
    /* Nothing may stand behind the last port, not even a blank. */
    if (family < 0 || !parse_address(next_word(&rest), family, h->source) ||
        !parse_address(next_word(&rest), family, h->destination) ||
        !parse_port(next_word(&rest), &h->source_port) || !parse_port(rest, &h->destination_port))
        return false;
    h->address_len = family == AF_INET ? 4 : 16;
    return true;
}

static enum net_proxy_result parse_v1(struct net_proxy_header *h, const char *data, size_t len, size_t *used)
{
    static const char start[] = "PROXY ";
    size_t known = len < sizeof start - 1 ? len : sizeof start - 1;
    if (memcmp(data, start, known) != 0)
        return NET_PROXY_BAD;
    const char *lf = memchr(data, '\n', len < V1_MAX ? len : V1_MAX);
    if (!lf)
        return len < V1_MAX ? NET_PROXY_MORE : NET_PROXY_BAD;
    if (lf == data || lf[-1] != '\r')
        return NET_PROXY_BAD;
    *used = (size_t)(lf - data) + 1;
    return parse_v1_line(h, (struct slice){data, *used - 2}) ? NET_PROXY_DONE : NET_PROXY_BAD;
}

/* --- version 2: binary --- */

static enum net_proxy_result parse_v2(struct net_proxy_header *h, const char *data, size_t len, size_t *used)
{
    const unsigned char *bytes = (const unsigned char *)data;
    if (len < V2_FIXED)
        return NET_PROXY_MORE;
    size_t more = (size_t)bytes[14] << 8 | bytes[15];
    int command = bytes[12] & 15, family = bytes[13];
    if (bytes[12] >> 4 != 2 || command > 1 || more > V2_MAX)
        return NET_PROXY_BAD;
    if (len < V2_FIXED + more)
        return NET_PROXY_MORE;
    *used = V2_FIXED + more;
    size_t n = family == 0x11 ? 4 : family == 0x21 ? 16 : 0;
    /* The command is LOCAL, or the family has no address for us. */
    if (command == 0 || n == 0)
        return NET_PROXY_DONE;
    if (more < 2 * n + 4)
        return NET_PROXY_BAD;
    memcpy(h->source, bytes + V2_FIXED, n);
    memcpy(h->destination, bytes + V2_FIXED + n, n);
    const unsigned char *ports = bytes + V2_FIXED + 2 * n;
    h->source_port = (uint16_t)(ports[0] << 8 | ports[1]);
    h->destination_port = (uint16_t)(ports[2] << 8 | ports[3]);
    h->address_len = (int)n;
    h->tlvs = (struct slice){data + V2_FIXED + 2 * n + 4, more - 2 * n - 4};
    return NET_PROXY_DONE;
}

enum net_proxy_result net_proxy_parse(struct net_proxy_header *h, const char *data, size_t len, size_t *used)
{
    size_t known = len < sizeof signature ? len : sizeof signature;
    *h = (struct net_proxy_header){0};
    if (len == 0)
        return NET_PROXY_MORE;
    if (memcmp(data, signature, known) == 0)
        return parse_v2(h, data, len, used);
    return parse_v1(h, data, len, used);
}

/* --- writing --- */

static bool write_v1(const struct net_proxy_header *h, struct buf *out)
{
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
    int family = h->address_len == 16 ? AF_INET6 : AF_INET;
    assert(h->address_len == 0 || h->address_len == 4 || h->address_len == 16);
    if (h->address_len == 0)
        return buf_printf(out, "PROXY UNKNOWN\r\n");
    inet_ntop(family, h->source, source, sizeof source);
    inet_ntop(family, h->destination, destination, sizeof destination);
    return buf_printf(out, "PROXY TCP%d %s %s %u %u\r\n", family == AF_INET6 ? 6 : 4, source, destination,
                      h->source_port, h->destination_port);
}

static bool write_v2(const struct net_proxy_header *h, struct buf *out)
{
    unsigned char block[V2_FIXED + 36] = {0};
    size_t n = (size_t)h->address_len, len = n ? 2 * n + 4 : 0;
    assert(n == 0 || n == 4 || n == 16);
    memcpy(block, signature, sizeof signature);
    block[12] = 0x20 | (n ? 1 : 0);
    block[13] = n == 16 ? 0x21 : n ? 0x11 : 0;
    block[15] = (unsigned char)len;
    if (n) {
        unsigned char *ports = block + V2_FIXED + 2 * n;
        memcpy(block + V2_FIXED, h->source, n);
        memcpy(block + V2_FIXED + n, h->destination, n);
        ports[0] = (unsigned char)(h->source_port >> 8);
        ports[1] = (unsigned char)h->source_port;
        ports[2] = (unsigned char)(h->destination_port >> 8);
        ports[3] = (unsigned char)h->destination_port;
    }
    return buf_append(out, block, V2_FIXED + len);
}

bool net_proxy_write(const struct net_proxy_header *h, int version, struct buf *out)
{
    return version == 2 ? write_v2(h, out) : write_v1(h, out);
}
