/*
 * http/site/trusted.c - whose word about a client's address is believed, and what it says.
 */
#include "http/site/trusted.h"

#include "http/site/site.h"

#include <netinet/in.h>

bool trusted_is(const struct realip *r, const unsigned char *address, int len)
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
bool trusted_headers(const struct http_exchange *ex, const struct realip *r, unsigned char out[18], int *len)
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
            /* An empty element is none (RFC 9110 section 5.6.1.2). */
            if (word.len == 0)
                continue;
            if (!parse(word, &address, &has_port))
                return found;
            *len = pack(&address, has_port, out);
            found = true;
            if (!r->recursive || !trusted_is(r, out, *len))
                return true;
        }
    }
    return found;
}

bool trusted_find(const struct realip *r, const struct http_exchange *ex, const unsigned char *address,
                  int *len, unsigned char found[18])
{
    return trusted_is(r, address, *len) && trusted_headers(ex, r, found, len);
}
