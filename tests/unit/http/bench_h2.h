/*
 * tests/unit/http/bench_h2.h - HTTP/2 for the clients of a bench: frames that they say, and in a few words what they have heard.
 *
 * Heads go out uncompressed and without the table of either side, so that each stands for itself.
 */
#ifndef WEIR_TESTS_UNIT_HTTP_BENCH_H2_H
#define WEIR_TESTS_UNIT_HTTP_BENCH_H2_H

#include "http/h2/session.h"
#include "tests/unit/http/bench_client.h"

enum { H2_FRAME_HEAD_BYTES = 9, H2_HEARD_BYTES = 16 << 10, H2_FIELD_BYTES = 64 << 10 };

enum { H2_END = NGHTTP2_FLAG_END_STREAM, H2_END_HEADERS = NGHTTP2_FLAG_END_HEADERS };

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* Lines of a head. */
#define H2_REQUEST(method, path) ":method: " method "\n:scheme: http\n:path: " path "\n:authority: h\n"
#define H2_GET(path) H2_REQUEST("GET", path)
#define H2_POST(path) H2_REQUEST("POST", path)

/* --- what a client says: frames, one behind the other --- */

static inline void h2_say_bytes(struct buf *to, const void *data, size_t len)
{
    if (len && !buf_append(to, data, len))
        abort();
}

static inline void h2_say_number(struct buf *to, uint32_t n)
{
    unsigned char bytes[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                              (unsigned char)n};
    h2_say_bytes(to, bytes, sizeof bytes);
}

static inline void h2_say_frame(struct buf *to, unsigned type, unsigned flags, uint32_t id,
                                struct slice payload)
{
    unsigned char head[] = {(unsigned char)(payload.len >> 16), (unsigned char)(payload.len >> 8),
                            (unsigned char)payload.len, (unsigned char)type, (unsigned char)flags};
    h2_say_bytes(to, head, sizeof head);
    h2_say_number(to, id);
    h2_say_bytes(to, payload.data, payload.len);
}

static inline void h2_say_numbers(struct buf *to, unsigned type, uint32_t id, uint32_t first,
                                  const uint32_t *second)
{
    struct buf payload = {0};
    h2_say_number(&payload, first);
    if (second)
        h2_say_number(&payload, *second);
    h2_say_frame(to, type, 0, id, buf_slice(&payload));
    buf_free(&payload);
}

static inline void h2_say_window(struct buf *to, uint32_t id, uint32_t bytes)
{
    h2_say_numbers(to, NGHTTP2_WINDOW_UPDATE, id, bytes, NULL);
}

static inline void h2_say_reset(struct buf *to, uint32_t id, uint32_t code)
{
    h2_say_numbers(to, NGHTTP2_RST_STREAM, id, code, NULL);
}

static inline void h2_say_goaway(struct buf *to, uint32_t last, uint32_t code)
{
    h2_say_numbers(to, NGHTTP2_GOAWAY, 0, last, &code);
}

static inline void h2_say_ping(struct buf *to, bool ack, const char *eight)
{
    h2_say_frame(to, NGHTTP2_PING, ack ? NGHTTP2_FLAG_ACK : 0, 0, (struct slice){eight, 8});
}

/* One entry, or none with id 0. */
static inline void h2_say_settings(struct buf *to, unsigned id, uint32_t value)
{
    unsigned char entry[] = {(unsigned char)(id >> 8),     (unsigned char)id,
                             (unsigned char)(value >> 24), (unsigned char)(value >> 16),
                             (unsigned char)(value >> 8),  (unsigned char)value};
    h2_say_frame(to, NGHTTP2_SETTINGS, 0, 0, (struct slice){(const char *)entry, id ? sizeof entry : 0});
}

/* The first words, with windows in which any response of a test has room. */
static inline void h2_say_hello(struct buf *to)
{
    h2_say_bytes(to, H2_PREFACE, sizeof H2_PREFACE - 1);
    h2_say_settings(to, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24);
    h2_say_frame(to, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, (struct slice){0});
    h2_say_window(to, 0, 1 << 24);
}

static inline void h2_say_data(struct buf *to, unsigned flags, uint32_t id, const char *text)
{
    h2_say_frame(to, NGHTTP2_DATA, flags, id, slice_of(text));
}

/* RFC 7541 sections 5.1 and 5.2, without Huffman's code. */
static inline void h2_put_string(struct buf *block, struct slice s)
{
    enum { PREFIX = 127 };
    size_t rest = s.len;
    unsigned char byte = rest < PREFIX ? (unsigned char)rest : PREFIX;
    h2_say_bytes(block, &byte, 1);
    if (s.len >= PREFIX) {
        for (rest -= PREFIX; rest >= 128; rest >>= 7) {
            byte = (unsigned char)(rest | 128);
            h2_say_bytes(block, &byte, 1);
        }
        byte = (unsigned char)rest;
        h2_say_bytes(block, &byte, 1);
    }
    h2_say_bytes(block, s.data, s.len);
}

/* Literally, and not for the table (RFC 7541 section 6.2.2). */
static inline void h2_put_field(struct buf *block, struct slice name, struct slice value)
{
    h2_say_bytes(block, "", 1);
    h2_put_string(block, name);
    h2_put_string(block, value);
}

/* "name: value\n" and so on. */
static inline void h2_put_lines(struct buf *block, const char *lines)
{
    while (*lines) {
        const char *colon = strstr(lines + 1, ": "), *end = strchr(lines, '\n');
        if (!colon || !end || colon > end)
            abort();
        h2_put_field(block, (struct slice){lines, (size_t)(colon - lines)},
                     (struct slice){colon + 2, (size_t)(end - colon - 2)});
        lines = end + 1;
    }
}

/* A head in frames of at most so many bytes; 0: in one. */
static inline void h2_say_head_cut(struct buf *to, unsigned flags, uint32_t id, const char *lines,
                                   size_t most)
{
    struct buf block = {0};
    h2_put_lines(&block, lines);
    struct slice rest = buf_slice(&block);
    unsigned type = NGHTTP2_HEADERS;
    do {
        size_t n = most && most < rest.len ? most : rest.len;
        h2_say_frame(to, type, (type == NGHTTP2_HEADERS ? flags : 0) | (n == rest.len ? H2_END_HEADERS : 0),
                     id, (struct slice){rest.data, n});
        rest = slice_from(rest, n);
        type = NGHTTP2_CONTINUATION;
    } while (rest.len);
    buf_free(&block);
}

static inline void h2_say_head(struct buf *to, unsigned flags, uint32_t id, const char *lines)
{
    h2_say_head_cut(to, flags, id, lines, 0);
}

static inline void h2_say_get(struct buf *to, uint32_t id, const char *path)
{
    char lines[1024];
    snprintf(lines, sizeof lines, ":method: GET\n:scheme: http\n:path: %s\n:authority: h\n", path);
    h2_say_head(to, H2_END, id, lines);
}

/* It says all of that, which is emptied. */
static inline void h2_client_say(struct client *p, struct buf *said)
{
    client_say(p, buf_slice(said));
    CU_ASSERT(p->input.len == 0 || !p->c);
    said->start = said->end = 0;
}

/* --- what it has heard --- */

static struct {
    /*
     * In order: "settings", "ack", "1:200/5" with a length, "1=5" for bytes of a body, "1!8" for a reset, "goaway(1,0)", "ping", "pong",
     * "window(1,100)"; with a point where that ends the stream.
     */
    char text[H2_HEARD_BYTES];
    size_t len;
    /* "name: value\n" of all heads; all bodies. */
    char fields[H2_FIELD_BYTES];
    size_t fields_len;
    struct buf bodies;
    /* The stream of the last frame, where that was of a body. */
    uint32_t body_of;
    size_t body_len;
    char eight[8]; /* of the last PING */
    /* h2_forget: what came before is left out. */
    size_t from;
} h2_heard;

static inline void h2_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void h2_note(const char *format, ...)
{
    size_t room = sizeof h2_heard.text - h2_heard.len;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(h2_heard.text + h2_heard.len, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        abort();
    h2_heard.len += (size_t)n;
}

static inline uint32_t h2_number_at(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void h2_hear_field(uint32_t id, const nghttp2_nv *nv)
{
    size_t room = sizeof h2_heard.fields - h2_heard.fields_len;
    if (nv->namelen == 7 && memcmp(nv->name, ":status", 7) == 0)
        h2_note("%u:%.*s", id, (int)nv->valuelen, (const char *)nv->value);
    if (nv->namelen == 14 && memcmp(nv->name, "content-length", 14) == 0)
        h2_note("/%.*s", (int)nv->valuelen, (const char *)nv->value);
    int n = snprintf(h2_heard.fields + h2_heard.fields_len, room, "%.*s: %.*s\n", (int)nv->namelen,
                     (const char *)nv->name, (int)nv->valuelen, (const char *)nv->value);
    if (n < 0 || (size_t)n >= room)
        abort();
    h2_heard.fields_len += (size_t)n;
}

/* Heads of this server lie in one frame. */
static inline void h2_hear_head(nghttp2_hd_inflater *inflater, uint32_t id, struct slice block)
{
    size_t before = h2_heard.len;
    int flags = 0;
    do {
        nghttp2_nv nv;
        flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, (const uint8_t *)block.data, block.len, 1);
        CU_ASSERT_FATAL(n >= 0);
        block = slice_from(block, (size_t)n);
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            h2_hear_field(id, &nv);
    } while (flags & NGHTTP2_HD_INFLATE_EMIT || block.len);
    CU_ASSERT(nghttp2_hd_inflate_end_headers(inflater) == 0);
    if (h2_heard.len == before)
        h2_note("%u:trailers", id);
}

static inline void h2_hear_data(uint32_t id, struct slice data)
{
    bool goes_on = h2_heard.body_of == id;
    h2_heard.body_len = (goes_on ? h2_heard.body_len : 0) + data.len;
    if (goes_on)
        h2_heard.len--;
    while (goes_on && h2_heard.len && h2_heard.text[h2_heard.len - 1] != ' ')
        h2_heard.len--;
    h2_note("%u=%zu", id, h2_heard.body_len);
    h2_say_bytes(&h2_heard.bodies, data.data, data.len);
}

static inline void h2_hear_other(unsigned type, unsigned flags, uint32_t id, struct slice data)
{
    bool ack = flags & NGHTTP2_FLAG_ACK;
    if (type == NGHTTP2_SETTINGS)
        h2_note(ack ? "ack" : "settings");
    else if (type == NGHTTP2_RST_STREAM)
        h2_note("%u!%u", id, h2_number_at(data.data));
    else if (type == NGHTTP2_GOAWAY)
        h2_note("goaway(%u,%u)", h2_number_at(data.data), h2_number_at(data.data + 4));
    else if (type == NGHTTP2_WINDOW_UPDATE)
        h2_note("window(%u,%u)", id, h2_number_at(data.data));
    else if (type == NGHTTP2_PING)
        h2_note(ack ? "pong" : "ping");
    else
        h2_note("frame%u", type);
    if (type == NGHTTP2_PING)
        memcpy(h2_heard.eight, data.data, 8);
}

static inline void h2_hear_frame(nghttp2_hd_inflater *inflater, const char *head, struct slice data)
{
    unsigned type = (unsigned char)head[3], flags = (unsigned char)head[4];
    uint32_t id = h2_number_at(head + 5);
    if (type == NGHTTP2_HEADERS)
        h2_hear_head(inflater, id, data);
    else if (type == NGHTTP2_DATA)
        h2_hear_data(id, data);
    else
        h2_hear_other(type, flags, id, data);
    h2_heard.body_of = type == NGHTTP2_DATA ? id : 0;
    h2_note("%s ", type <= NGHTTP2_HEADERS && flags & H2_END ? "." : "");
}

static inline void h2_hear_anew(void)
{
    h2_heard.len = h2_heard.fields_len = h2_heard.body_len = 0;
    h2_heard.body_of = 0;
    h2_heard.bodies.start = h2_heard.bodies.end = 0;
    h2_heard.text[0] = h2_heard.fields[0] = '\0';
}

/* All since h2_forget; a frame that is not whole is left out. */
static inline const char *h2_hear(const struct client *p)
{
    nghttp2_hd_inflater *inflater;
    struct slice rest = client_got(p);
    h2_hear_anew();
    if (nghttp2_hd_inflate_new(&inflater) != 0)
        abort();
    while (rest.len >= H2_FRAME_HEAD_BYTES) {
        size_t len = h2_number_at(rest.data) >> 8;
        if (rest.len - H2_FRAME_HEAD_BYTES < len)
            break;
        if (client_got(p).len - rest.len == h2_heard.from)
            h2_hear_anew();
        h2_hear_frame(inflater, rest.data, (struct slice){rest.data + H2_FRAME_HEAD_BYTES, len});
        rest = slice_from(rest, H2_FRAME_HEAD_BYTES + len);
    }
    nghttp2_hd_inflate_del(inflater);
    if (client_got(p).len == h2_heard.from)
        h2_hear_anew();
    h2_heard.text[h2_heard.len ? h2_heard.len - 1 : 0] = '\0';
    return h2_heard.text;
}

/* What it hears from now on. */
static inline void h2_forget(const struct client *p)
{
    h2_heard.from = client_got(p).len;
}

static inline void h2_client_free(struct client *p)
{
    client_free(p);
    h2_heard.from = 0;
    buf_free(&h2_heard.bodies);
}

/* Whether that is in what it has heard. */
static inline bool h2_has(const struct client *p, const char *event)
{
    char text[H2_HEARD_BYTES + 2], wanted[128];
    snprintf(text, sizeof text, " %s ", h2_hear(p));
    snprintf(wanted, sizeof wanted, " %s ", event);
    return strstr(text, wanted) != NULL;
}

#define CHECK_HEARD(client, wanted) \
    check_text(h2_hear(client), (wanted), "what the client has heard", __FILE__, __LINE__)

/* --- a whole one --- */

/* A client that speaks HTTP/2, and has heard what the other side begins with. */
static inline void h2_connect(struct client *client, struct buf *said)
{
    *client = (struct client){0};
    client_connect(client);
    h2_say_hello(said);
    h2_client_say(client, said);
    CU_ASSERT_FATAL(client->c && client->c->session);
    h2_forget(client);
}

static inline void h2_bench_open(struct client *client, struct buf *said, const char *http,
                                 const char *server)
{
    bench_open(http, server);
    h2_connect(client, said);
}

static inline void h2_bench_close(struct client *client, struct buf *said)
{
    if (client->c)
        client_leave(client);
    h2_client_free(client);
    buf_free(said);
    (void)bench_log();
    (void)bench_errors();
    bench_close();
}

#endif
