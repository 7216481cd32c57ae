/*
 * http/request/variables_upstream.c - variables of upstreams, of where a client really is, and ids of requests.
 *
 * Where several servers were asked their values stand behind each other: with commas, and with a colon where an internal
 * redirect led to another upstream, as in nginx.
 */
#include "http/request/exchange.h"
#include "http/request/variables.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "http/wire/chars.h"
#include "http/wire/request.h"

#include <assert.h>
#include <sys/random.h>

#define GETTER(name) static struct slice name(struct http_exchange *ex, struct slice rest)
#define UNUSED(x) (void)(x)

enum {
    TRACEPARENT_BYTES = 55 /* 00-TRACE-PARENT-01 */,
    ID_BYTES = 16,
    ID_GIVEN_MAX = 128,
    RANDOM_BYTES = 4096
};

/* --- servers that were asked --- */

typedef bool append_of_try(const struct http_try *t, struct buf *out);

static struct slice join_tries(struct http_exchange *ex, append_of_try *append)
{
    struct buf text = {0};
    bool ok = true;
    for (const struct http_try *t = ex->upstream.tries; ok && t; t = t->next) {
        if (t != ex->upstream.tries)
            ok = t->new_group ? buf_append(&text, " : ", 3) : buf_append(&text, ", ", 2);
        ok = ok && append(t, &text);
    }
    struct slice copy = ok && buf_len(&text) ? arena_dup(&ex->arena, buf_slice(&text)) : (struct slice){0};
    buf_free(&text);
    return copy;
}

static bool append_time(uint64_t us, struct buf *out)
{
    if (us == HTTP_TRY_NEVER)
        return buf_append(out, "-", 1);
    uint64_t ms = (us + 500) / 1000;
    return buf_printf(out, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
}

static bool append_number(uint64_t n, struct buf *out)
{
    return buf_printf(out, "%llu", (unsigned long long)n);
}

static bool append_try_addr(const struct http_try *t, struct buf *out)
{
    return buf_append_slice(out, t->addr);
}

static bool append_try_status(const struct http_try *t, struct buf *out)
{
    return t->status ? append_number((uint64_t)t->status, out) : buf_append(out, "-", 1);
}

static bool append_try_connect_time(const struct http_try *t, struct buf *out)
{
    return append_time(t->connect_us, out);
}

static bool append_try_header_time(const struct http_try *t, struct buf *out)
{
    return append_time(t->header_us, out);
}

static bool append_try_response_time(const struct http_try *t, struct buf *out)
{
    return append_time(t->response_us, out);
}

static bool append_try_sent(const struct http_try *t, struct buf *out)
{
    return append_number(t->sent, out);
}

static bool append_try_received(const struct http_try *t, struct buf *out)
{
    return append_number(t->received, out);
}

static bool append_try_length(const struct http_try *t, struct buf *out)
{
    return append_number(t->body_len, out);
}

#define OF_TRIES(getter, append)       \
    GETTER(getter)                     \
    {                                  \
        UNUSED(rest);                  \
        return join_tries(ex, append); \
    }

OF_TRIES(get_upstream_addr, append_try_addr)
OF_TRIES(get_upstream_status, append_try_status)
OF_TRIES(get_upstream_connect_time, append_try_connect_time)
OF_TRIES(get_upstream_header_time, append_try_header_time)
OF_TRIES(get_upstream_response_time, append_try_response_time)
OF_TRIES(get_upstream_sent, append_try_sent)
OF_TRIES(get_upstream_received, append_try_received)
OF_TRIES(get_upstream_length, append_try_length)

GETTER(get_upstream_queue_time)
{
    struct buf text = {0};
    UNUSED(rest);
    struct slice copy = {0};
    if (ex->upstream.tries && append_time(ex->upstream.queue_us, &text))
        copy = arena_dup(&ex->arena, buf_slice(&text));
    buf_free(&text);
    return copy;
}

/* --- the last response --- */

GETTER(get_upstream_header)
{
    struct slice all = {0};
    for (int i = 0; i < ex->upstream.header_count; i++)
        if (http_names_header(ex->upstream.headers[i].name, rest))
            all = http_join(ex, all, ex->upstream.headers[i].value);
    return all;
}

GETTER(get_upstream_cookie)
{
    for (int i = 0; i < ex->upstream.header_count; i++) {
        const struct http_header *h = &ex->upstream.headers[i];
        if (!slice_eq_nocase(h->name, SLICE("Set-Cookie")) || h->value.len <= rest.len ||
            h->value.data[rest.len] != '=' || strncasecmp(h->value.data, rest.data, rest.len) != 0)
            continue;
        struct slice value = slice_from(h->value, rest.len + 1);
        const char *semicolon = memchr(value.data, ';', value.len);
        return semicolon ? (struct slice){value.data, (size_t)(semicolon - value.data)} : value;
    }
    return (struct slice){0};
}

GETTER(get_upstream_trailer)
{
    struct slice left = ex->upstream.trailers, all = {0};
    const char *end;
    while (left.len && (end = memmem(left.data, left.len, "\r\n", 2))) {
        struct http_header h;
        if (http_parse_field(&h, left.data, end) && http_names_header(h.name, rest))
            all = http_join(ex, all, h.value);
        left = slice_from(left, (size_t)(end - left.data) + 2);
    }
    return all;
}

/* --- ids --- */

static struct slice random_hex_digits(struct http_exchange *ex, size_t bytes)
{
    static unsigned char store[RANDOM_BYTES]; /* one system call for many ids */
    static size_t used = RANDOM_BYTES;
    static const char digits[] = "0123456789abcdef";
    char *text = arena_alloc(&ex->arena, 2 * bytes);
    assert(bytes > 0 && bytes <= RANDOM_BYTES && used <= RANDOM_BYTES);
    if (used + bytes > RANDOM_BYTES && getrandom(store, sizeof store, 0) == (ssize_t)sizeof store)
        used = 0;
    if (!text || used + bytes > RANDOM_BYTES)
        return (struct slice){0};
    for (size_t i = 0; i < bytes; i++) {
        text[2 * i] = digits[store[used + i] >> 4];
        text[2 * i + 1] = digits[store[used + i] & 15];
    }
    used += bytes;
    return (struct slice){text, 2 * bytes};
}

/* One that a client gives is taken over if it can do no harm in logs and headers. */
static bool is_id(struct slice s)
{
    if (s.len == 0 || s.len > ID_GIVEN_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              strchr("-_.~+/=:", c)))
            return false;
    }
    return true;
}

struct slice http_request_id(struct http_exchange *ex)
{
    const struct slice *given = http_find_header(&ex->req, SLICE("X-Request-ID"));
    if (!ex->request_id.data)
        ex->request_id = given && is_id(*given) ? *given : random_hex_digits(ex, ID_BYTES);
    return ex->request_id;
}

static bool is_trace_id(struct slice s)
{
    bool any = false;
    for (size_t i = 0; i < s.len; i++) {
        any |= s.data[i] != '0';
        if (!((s.data[i] >= '0' && s.data[i] <= '9') || (s.data[i] >= 'a' && s.data[i] <= 'f')))
            return false;
    }
    return s.len == 2 * ID_BYTES && any;
}

struct slice http_traceparent(struct http_exchange *ex)
{
    const struct slice *given = http_find_header(&ex->req, SLICE("traceparent"));
    if (given)
        return *given;
    if (!ex->traceparent.data) {
        struct slice trace = http_request_id(ex), parent = random_hex_digits(ex, ID_BYTES / 2);
        if (!is_trace_id(trace))
            trace = random_hex_digits(ex, ID_BYTES);
        char *text = arena_alloc(&ex->arena, TRACEPARENT_BYTES);
        if (!trace.data || !parent.data || !text)
            return ex->traceparent;
        assert(trace.len == 2 * ID_BYTES && parent.len == ID_BYTES);
        char *at = mempcpy(text, "00-", 3);
        at = mempcpy(at, trace.data, trace.len);
        *at++ = '-';
        at = mempcpy(at, parent.data, parent.len);
        at = mempcpy(at, "-01", 3);
        assert(at == text + TRACEPARENT_BYTES);
        ex->traceparent = (struct slice){text, TRACEPARENT_BYTES};
    }
    return ex->traceparent;
}

GETTER(get_request_id)
{
    UNUSED(rest);
    return http_request_id(ex);
}

GETTER(get_traceparent)
{
    UNUSED(rest);
    return http_traceparent(ex);
}

/* --- where the client really is --- */

GETTER(get_realip_addr)
{
    UNUSED(rest);
    return ex->client.direct_addr.data ? ex->client.direct_addr : ex->client.peer(ex)->remote_addr;
}

GETTER(get_realip_port)
{
    UNUSED(rest);
    return ex->client.direct_addr.data ? ex->client.direct_port : ex->client.peer(ex)->remote_port;
}

/* The value of the first extension of this type (the PROXY protocol's section 2.2.7); data NULL: there is none. */
static struct slice find_tlv(struct slice tlvs, unsigned type)
{
    while (tlvs.len >= 3) {
        const unsigned char *head = (const unsigned char *)tlvs.data;
        size_t len = (size_t)head[1] << 8 | head[2];
        /* An extension that does not end: nothing behind it can be read. */
        if (len > tlvs.len - 3)
            break;
        if (head[0] == type)
            return (struct slice){tlvs.data + 3, len};
        tlvs = slice_from(tlvs, 3 + len);
    }
    return (struct slice){0};
}

/* Those inside of PP2_TYPE_SSL, behind its own fixed part. */
static struct slice ssl_tlvs(struct slice tlvs, uint32_t *verify)
{
    enum { TYPE_SSL = 0x20, FIXED = 5 };
    struct slice ssl = find_tlv(tlvs, TYPE_SSL);
    const unsigned char *bytes = (const unsigned char *)ssl.data;
    if (ssl.len < FIXED)
        return (struct slice){0};
    *verify = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
    return slice_from(ssl, FIXED);
}

enum { TLV_TYPE_MAX = 0xff, TLV_UNKNOWN = -1, TLV_SSL_VERIFY = TLV_TYPE_MAX + 1 };

/* A type written 0xN, with as many digits as one likes; TLV_UNKNOWN: it is none. */
static int hex_type(struct slice s)
{
    int type = 0;
    if (s.len < 3 || s.data[0] != '0' || (s.data[1] | 0x20) != 'x')
        return TLV_UNKNOWN;
    for (size_t i = 2; i < s.len; i++) {
        int digit = hex_value(s.data[i]);
        type = type * 16 + digit;
        if (digit < 0 || type > TLV_TYPE_MAX)
            return TLV_UNKNOWN;
    }
    return type;
}

static bool cut_prefix(struct slice *name, struct slice prefix)
{
    bool has_it = name->len >= prefix.len && strncasecmp(name->data, prefix.data, prefix.len) == 0;
    if (has_it)
        *name = slice_from(*name, prefix.len);
    return has_it;
}

/* alpn, 0x01, ssl_cn, ssl_0x22 and their kin, as nginx names them. *in_ssl: it is among those inside of PP2_TYPE_SSL. */
static int tlv_type(struct slice name, bool *in_ssl)
{
    static const struct {
        const char *name;
        int type;
        bool in_ssl;
    } known[] = {{"alpn", 0x01, false},   {"authority", 0x02, false},      {"unique_id", 0x05, false},
                 {"ssl", 0x20, false},    {"netns", 0x30, false},          {"version", 0x21, true},
                 {"cn", 0x22, true},      {"cipher", 0x23, true},          {"sig_alg", 0x24, true},
                 {"key_alg", 0x25, true}, {"verify", TLV_SSL_VERIFY, true}};
    *in_ssl = cut_prefix(&name, SLICE("ssl_"));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].in_ssl == *in_ssl && slice_eq_nocase(name, slice_of(known[i].name)))
            return known[i].type;
    return hex_type(name);
}

static struct slice proxy_tlv(struct http_exchange *ex, struct slice name, struct slice tlvs)
{
    bool in_ssl;
    uint32_t verify = 0;
    int type = tlv_type(name, &in_ssl);
    if (in_ssl)
        tlvs = ssl_tlvs(tlvs, &verify);
    if (type == TLV_UNKNOWN || !tlvs.data)
        return (struct slice){0};
    return type == TLV_SSL_VERIFY ? http_number_text(ex, verify) : find_tlv(tlvs, (unsigned)type);
}

/* addr, port, server_addr, server_port and the extensions of the PROXY protocol's header */
GETTER(get_proxy_protocol)
{
    const struct http_peer *told = ex->client.told;
    if (!told)
        return (struct slice){0};
    if (cut_prefix(&rest, SLICE("tlv_")))
        return proxy_tlv(ex, rest, told->tlvs);
    return slice_eq_nocase(rest, SLICE("addr"))          ? told->remote_addr
           : slice_eq_nocase(rest, SLICE("port"))        ? told->remote_port
           : slice_eq_nocase(rest, SLICE("server_addr")) ? told->server_addr
           : slice_eq_nocase(rest, SLICE("server_port")) ? told->server_port
                                                         : (struct slice){0};
}

static bool is_one_of(struct slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

static bool knows_proxy_protocol(struct slice rest)
{
    static const char *const names[] = {"addr", "port", "server_addr", "server_port"};
    bool in_ssl;
    return cut_prefix(&rest, SLICE("tlv_")) ? tlv_type(rest, &in_ssl) != TLV_UNKNOWN
                                            : is_one_of(rest, names, sizeof names / sizeof names[0]);
}

/* nginx's, so that a name that is written wrongly does not pass for one. */
static bool knows_ssl(struct slice rest)
{
    static const char *const names[] = {"alpn_protocol",
                                        "cipher",
                                        "ciphers",
                                        "client_cert",
                                        "client_escaped_cert",
                                        "client_raw_cert",
                                        "client_i_dn",
                                        "client_s_dn",
                                        "client_fingerprint",
                                        "client_i_dn_legacy",
                                        "client_s_dn_legacy",
                                        "client_serial",
                                        "client_sigalg",
                                        "client_v_end",
                                        "client_v_remain",
                                        "client_v_start",
                                        "client_verify",
                                        "curve",
                                        "curves",
                                        "early_data",
                                        "ech_outer_server_name",
                                        "ech_status",
                                        "protocol",
                                        "server_name",
                                        "session_id",
                                        "session_reused",
                                        "sigalg"};
    return is_one_of(rest, names, sizeof names / sizeof names[0]);
}

GETTER(get_empty)
{
    UNUSED(ex);
    UNUSED(rest);
    return SLICE("");
}

/* Of what there is not: responses from a cache, TLS, HTTP/2. */
GETTER(get_nothing)
{
    UNUSED(ex);
    UNUSED(rest);
    return (struct slice){0};
}

GETTER(get_tls)
{
    return get_nothing(ex, rest);
}

bool http_goes_with(const struct http_variable *v, struct slice rest)
{
    return v->get == get_tls              ? knows_ssl(rest)
           : v->get == get_proxy_protocol ? knows_proxy_protocol(rest)
                                          : true;
}

const struct http_variable http_upstream_variables[] = {
    {"upstream_cache_status", false, get_nothing},
    {"ssl_", true, get_tls},
    {"http2", false, get_empty},
    {"http3", false, get_nothing},
    {"proxy_protocol_", true, get_proxy_protocol},
    {"realip_remote_addr", false, get_realip_addr},
    {"realip_remote_port", false, get_realip_port},
    {"request_id", false, get_request_id},
    {"traceparent", false, get_traceparent},
    {"upstream_addr", false, get_upstream_addr},
    {"upstream_bytes_received", false, get_upstream_received},
    {"upstream_bytes_sent", false, get_upstream_sent},
    {"upstream_connect_time", false, get_upstream_connect_time},
    {"upstream_cookie_", true, get_upstream_cookie},
    {"upstream_header_time", false, get_upstream_header_time},
    {"upstream_http_", true, get_upstream_header},
    {"upstream_queue_time", false, get_upstream_queue_time},
    {"upstream_response_length", false, get_upstream_length},
    {"upstream_response_time", false, get_upstream_response_time},
    {"upstream_status", false, get_upstream_status},
    {"upstream_trailer_", true, get_upstream_trailer},
    {0},
};
