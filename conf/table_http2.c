/*
 * conf/table_http2.c - the directives of HTTP/2 with clients, as data.
 */
#include "conf/conf.h"
#include "conf/rows.h"

enum { STREAMS_MOST = 4096, WINDOW_MOST = INT32_MAX, FRAME_MOST = (1 << 24) - 1 };

static void set_max_streams(struct conf_walk *w, const struct conf_node *n)
{
    int64_t *most = &w->settings->http2.max_streams;
    if (slice_eq(n->args[0], SLICE("auto")))
        *most = 0;
    else if (!conf_parse_whole(n->args[0], 1, STREAMS_MOST, most))
        conf_error(
            &w->conf->errors, n,
            "invalid value \"%.*s\" in \"http2_max_concurrent_streams\"; write a number from 1 to %d, or auto",
            SLICE_ARGS(n->args[0]), STREAMS_MOST);
}

/* Of nginx before 1.19.7: it says so, and goes on. */
static void tell_obsolete(struct conf_walk *w, const struct conf_node *n)
{
    static const struct {
        const char *name, *by;
    } known[] = {{"http2_idle_timeout", "keepalive_timeout"},
                 {"http2_recv_timeout", "client_header_timeout"},
                 {"http2_max_requests", "keepalive_requests"}};
    const char *by = "large_client_header_buffers";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_eq(n->name, slice_of(known[i].name)))
            by = known[i].by;
    conf_error(&w->conf->warnings, n, "the \"%.*s\" directive is obsolete, use the \"%s\" directive instead",
               SLICE_ARGS(n->name), by);
}

static void tell_no_push(struct conf_walk *w, const struct conf_node *n)
{
    conf_error(&w->conf->warnings, n, "the \"%.*s\" directive is obsolete, ignored", SLICE_ARGS(n->name));
}

#define OBSOLETE(directive, places, arguments, setter)                                                  \
    {                                                                                                   \
        .name = (directive), .where = (places), .args = {1, 1}, .syntax = (arguments), .set = (setter), \
        .live = CONF_LIVE, .help = "Obsolete, as in nginx: it does nothing, and a warning says so."     \
    }

const struct conf_directive conf_http2_directives[] = {
    // clang-format off
    {.name = "http2", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(http2.on), .default_text = "off",
     .help = "Whether clients may speak HTTP/2: in TLS those that say so in the handshake, for a server name whose server has it; in plain text those "
     "that begin with HTTP/2's preface, at an address whose default server has it. HTTP/1 stays beside it."},
    {.name = "http2_max_concurrent_streams", .where = CONF_HTTP_SERVER, .args = {1, 1}, .once = true, .field = FIELD(http2.max_streams), .default_text = "128", .set = set_max_streams,
     .syntax = "NUMBER | auto",
     .help = "How many requests a client may have at once on a connection. auto: 128, or fewer while a limit_concurrency zone has fewer free permits."},
    {.name = "http2_body_preread_size", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_SIZE, .field = FIELD(http2.preread_bytes), .range = {0, WINDOW_MOST}, .default_text = "64k",
     .help = "How much of a body a client may send before the request wants it: a stream's first window."},
    {.name = "http2_chunk_size", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = FIELD(http2.chunk_bytes), .range = {1, FRAME_MOST}, .default_text = "8k", .live = CONF_LIVE,
     .help = "The most bytes of an answer's body in one frame, within what the client takes."},
    {.name = "http2_recv_buffer_size", .where = CONF_HTTP, .args = {1, 1}, .type = CONF_ACCEPTED, .live = CONF_LIVE, .syntax = "SIZE",
     .help = "Accepted: a worker has one buffer of 64k for what it reads."},
    {.name = "http2_pool_size", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_ACCEPTED, .live = CONF_LIVE, .syntax = "SIZE",
     .help = "Accepted: a connection has no pool of memory."},
    {.name = "http2_streams_index_size", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_ACCEPTED, .live = CONF_LIVE, .syntax = "NUMBER",
     .help = "Accepted: the table of streams is as large as it has to be."},
    OBSOLETE("http2_idle_timeout", CONF_HTTP_SERVER, "TIME", tell_obsolete),
    OBSOLETE("http2_recv_timeout", CONF_HTTP_SERVER, "TIME", tell_obsolete),
    OBSOLETE("http2_max_requests", CONF_HTTP_SERVER, "NUMBER", tell_obsolete),
    OBSOLETE("http2_max_field_size", CONF_HTTP_SERVER, "SIZE", tell_obsolete),
    OBSOLETE("http2_max_header_size", CONF_HTTP_SERVER, "SIZE", tell_obsolete),
    OBSOLETE("http2_push", CONF_HTTP_ALL, "URI | off", tell_no_push),
    OBSOLETE("http2_push_preload", CONF_HTTP_ALL, "on | off", tell_no_push),
    OBSOLETE("http2_max_concurrent_pushes", CONF_HTTP_SERVER, "NUMBER", tell_no_push),
    {0},
    // clang-format on
};
