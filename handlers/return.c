/*
 * handlers/return.c - fixed answers and redirects.
 */
#include "handlers/return.h"

struct slice return_absolute_url(struct http_exchange *ex, struct slice path)
{
    const struct http_peer *peer = ex->peer(ex);
    struct slice host = ex->req.host.len      ? ex->req.host
                        : ex->server_name.len ? ex->server_name
                                              : peer->server_addr;
    bool default_port = slice_eq(peer->server_port, SLICE("80")) || slice_eq(peer->server_port, SLICE("0"));
    return arena_printf(&ex->arena, "http://%.*s%s%.*s%.*s", SLICE_ARGS(host), default_port ? "" : ":",
                        default_port ? 0 : (int)peer->server_port.len, peer->server_port.data,
                        SLICE_ARGS(path));
}

/* A redirect's target must not bring line breaks from a decoded URI into the head. */
static bool is_header_safe(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
            return false;
    return true;
}

int return_answer(struct http_exchange *ex, int code, const struct http_template *text,
                  struct slice default_type)
{
    ex->res.status = code;
    if (!text)
        return code >= 300 && code != 304 && http_error_page(code, false).len ? code : 0;
    struct slice body = http_template_expand(text, ex);
    if (!body.data)
        return 500;
    if (!http_is_redirect(code)) {
        ex->res.content_type = default_type;
        return http_add_memory(&ex->res, &ex->arena, body.data, body.len) ? 0 : 500;
    }
    if (!is_header_safe(body))
        return 500;
    ex->res.location = body.len && body.data[0] == '/' ? return_absolute_url(ex, body) : body;
    return ex->res.location.data ? code : 500;
}
