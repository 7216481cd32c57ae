/*
 * http/request/variables_connection.c - variables of the two ends of a connection, of times, and of what has been counted.
 *
 * Names and meanings are nginx's. $nginx_version is this server's version, for configurations that send it on.
 */
#include "http/request/variables.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/slice.h"
#include "base/version.h"
#include "http/wire/priority.h"
#include "http/wire/request.h"

#include <assert.h>
#include <unistd.h>

#define GETTER(name) static struct slice name(struct http_exchange *ex, struct slice rest)
#define UNUSED(x) (void)(x)

struct slice http_number_text(struct http_exchange *ex, uint64_t n)
{
    return arena_number(&ex->arena, n);
}

struct slice http_seconds_text(struct http_exchange *ex, uint64_t ms)
{
    enum { BYTES = 24 };
    char *out = arena_alloc(&ex->arena, BYTES);
    if (!out)
        return (struct slice){0};
    char *at = out + BYTES;
    for (int i = 0; i < 3; i++, ms /= 10)
        *--at = (char)('0' + ms % 10);
    *--at = '.';
    do
        *--at = (char)('0' + ms % 10);
    while (ms /= 10);
    assert(at >= out);
    return (struct slice){at, (size_t)(out + BYTES - at)};
}

GETTER(get_body_bytes_sent)
{
    UNUSED(rest);
    return http_number_text(ex, ex->sent.body);
}

GETTER(get_bytes_sent)
{
    UNUSED(rest);
    return http_number_text(ex, ex->sent.head + ex->sent.body);
}

GETTER(get_connection)
{
    UNUSED(rest);
    return http_number_text(ex, ex->client.connection_id);
}

GETTER(get_connection_requests)
{
    UNUSED(rest);
    return http_number_text(ex, ex->client.requests);
}

GETTER(get_hostname)
{
    static char name[256];
    UNUSED(rest);
    UNUSED(ex);
    if (!name[0] && gethostname(name, sizeof name - 1) < 0)
        return (struct slice){0};
    return slice_of(name);
}

GETTER(get_msec)
{
    UNUSED(rest);
    return http_seconds_text(ex, clock_wall_ms());
}

GETTER(get_pid)
{
    UNUSED(rest);
    return http_number_text(ex, (uint64_t)getpid());
}

GETTER(get_pipe)
{
    UNUSED(rest);
    return ex->client.pipelined ? SLICE("p") : SLICE(".");
}

GETTER(get_remote_addr)
{
    UNUSED(rest);
    return ex->client.peer(ex)->remote_addr;
}

GETTER(get_remote_port)
{
    UNUSED(rest);
    return ex->client.peer(ex)->remote_port;
}

GETTER(get_binary_remote_addr)
{
    UNUSED(rest);
    const struct http_peer *peer = ex->client.peer(ex);
    return (struct slice){(const char *)peer->remote_binary, (size_t)peer->remote_binary_len};
}

GETTER(get_server_addr)
{
    UNUSED(rest);
    return ex->client.own(ex)->server_addr;
}

GETTER(get_server_port)
{
    UNUSED(rest);
    return ex->client.own(ex)->server_port;
}

GETTER(get_request_length)
{
    UNUSED(rest);
    return http_number_text(ex, ex->request_bytes);
}

GETTER(get_permit_time)
{
    UNUSED(rest);
    return ex->limits.status ? http_seconds_text(ex, ex->limits.queue_ms) : (struct slice){0};
}

GETTER(get_queue_time)
{
    UNUSED(rest);
    return ex->has_queued ? http_seconds_text(ex, ex->queue_us / 1000) : (struct slice){0};
}

GETTER(get_handler_time)
{
    UNUSED(rest);
    return ex->has_run ? http_seconds_text(ex, ex->handler_us / 1000) : (struct slice){0};
}

GETTER(get_request_time)
{
    UNUSED(rest);
    assert(*ex->now_ms >= ex->start_ms);
    return http_seconds_text(ex, *ex->now_ms - ex->start_ms);
}

GETTER(get_scheme)
{
    UNUSED(rest);
    return ex->client.tls ? SLICE("https") : SLICE("http");
}

GETTER(get_server_name)
{
    UNUSED(rest);
    return ex->route.server_name;
}

GETTER(get_server_protocol)
{
    UNUSED(rest);
    return ex->req.protocol.data ? ex->req.protocol : SLICE("");
}

GETTER(get_status)
{
    UNUSED(rest);
    /* An error page says what it is for. */
    int status = ex->route.forced_status ? ex->route.forced_status : ex->res.status;
    return status > 99 ? arena_number(&ex->arena, (unsigned long long)status) : SLICE("000");
}

GETTER(get_time_local)
{
    /* The same for a whole second. The loop's. */
    static char text[CLOCK_TEXT_BYTES];
    static time_t second;
    static size_t n;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    UNUSED(rest);
    if (now != second || !n)
        n = clock_log_date(second = now, text);
    return arena_dup(&ex->arena, (struct slice){text, n});
}

GETTER(get_time_iso8601)
{
    static char text[CLOCK_TEXT_BYTES];
    static time_t second;
    static size_t n;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    UNUSED(rest);
    if (now != second || !n)
        n = clock_iso8601(second = now, text);
    return arena_dup(&ex->arena, (struct slice){text, n});
}

GETTER(get_ran_in)
{
    UNUSED(rest);
    return ex->ran_in ? arena_number(&ex->arena, (unsigned long long)ex->ran_in - 1) : (struct slice){0};
}

GETTER(get_version)
{
    UNUSED(rest);
    UNUSED(ex);
    return SLICE(WEIR_VERSION);
}

GETTER(get_connection_time)
{
    UNUSED(rest);
    assert(*ex->now_ms >= ex->client.since_ms);
    return http_seconds_text(ex, *ex->now_ms - ex->client.since_ms);
}

GETTER(get_https)
{
    UNUSED(rest);
    return ex->client.tls ? SLICE("on") : SLICE("");
}

GETTER(get_request_completion)
{
    UNUSED(rest);
    return ex->sent.whole ? SLICE("OK") : SLICE("");
}

/* How much smaller gzip has made the body, rounded. */
GETTER(get_gzip_ratio)
{
    UNUSED(rest);
    uint64_t hundredths = ex->sent.gzip_out ? (ex->sent.gzip_in * 1000 / ex->sent.gzip_out + 5) / 10 : 0;
    return ex->sent.gzip_out ? arena_printf(&ex->arena, "%llu.%02u", (unsigned long long)(hundredths / 100),
                                            (unsigned)(hundredths % 100))
                             : (struct slice){0};
}

/* As nginx's server-side includes have dates, in their default form. */
static struct slice date_text(struct http_exchange *ex, const struct tm *tm, const char *format)
{
    char text[64] = "";
    size_t n = strftime(text, sizeof text, format, tm);
    return arena_dup(&ex->arena, (struct slice){text, n});
}

/* As ALPN calls it; "h2c" in plain text. */
GETTER(get_http2)
{
    UNUSED(rest);
    if (!ex->client.http2)
        return SLICE("");
    return ex->client.tls ? SLICE("h2") : SLICE("h2c");
}

/* Also HTTP/1's clients may say it; who says nothing has none. */
GETTER(get_http2_urgency)
{
    const struct slice *field = http_find_header(&ex->req, SLICE("Priority"));
    UNUSED(rest);
    return field ? arena_number(&ex->arena, (unsigned long long)http_urgency(*field)) : (struct slice){0};
}

GETTER(get_date_local)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    UNUSED(rest);
    return date_text(ex, localtime_r(&now, &tm), "%A, %d-%b-%Y %H:%M:%S %Z");
}

GETTER(get_date_gmt)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    UNUSED(rest);
    return date_text(ex, gmtime_r(&now, &tm), "%A, %d-%b-%Y %H:%M:%S GMT");
}

const struct http_variable http_connection_variables[] = {
    {"binary_remote_addr", false, get_binary_remote_addr},
    {"body_bytes_sent", false, get_body_bytes_sent},
    {"bytes_sent", false, get_bytes_sent},
    {"connection", false, get_connection},
    {"connection_requests", false, get_connection_requests},
    {"connection_time", false, get_connection_time},
    {"date_gmt", false, get_date_gmt},
    {"date_local", false, get_date_local},
    {"gzip_ratio", false, get_gzip_ratio},
    {"handler_time", false, get_handler_time},
    {"hostname", false, get_hostname},
    {"limit_concurrency_queue_time", false, get_permit_time},
    {"permit_time", false, get_permit_time},
    {"queue_time", false, get_queue_time},
    {"http2", false, get_http2},
    {"http2_urgency", false, get_http2_urgency},
    {"https", false, get_https},
    {"msec", false, get_msec},
    {"nginx_version", false, get_version},
    {"pid", false, get_pid},
    {"pipe", false, get_pipe},
    {"remote_addr", false, get_remote_addr},
    {"remote_port", false, get_remote_port},
    {"request_completion", false, get_request_completion},
    {"request_length", false, get_request_length},
    {"request_time", false, get_request_time},
    {"scheme", false, get_scheme},
    {"server_addr", false, get_server_addr},
    {"server_name", false, get_server_name},
    {"server_port", false, get_server_port},
    {"server_protocol", false, get_server_protocol},
    {"status", false, get_status},
    {"time_iso8601", false, get_time_iso8601},
    {"time_local", false, get_time_local},
    {"weir_ran_in", false, get_ran_in},
    {"weir_version", false, get_version},
    {0},
};
