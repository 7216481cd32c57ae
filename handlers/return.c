/*
 * handlers/return.c - fixed answers and redirects.
 */
#include "handlers/return.h"

#include "handlers/content_type.h"

struct slice return_absolute_url(struct http_exchange *ex, const struct settings *s, struct slice path)
{
    if (!s->answers.absolute_redirect)
        return path;
    const struct http_peer *peer = ex->client.own(ex);
    bool as_asked = ex->req.host.len && !s->answers.server_name_in_redirect;
    bool by_name = s->answers.server_name_in_redirect && ex->route.server_name.len;
    struct slice host = as_asked  ? arena_dup_lower(&ex->arena, ex->req.host)
                        : by_name ? ex->route.server_name
                                  : peer->server_addr;
    if (!as_asked && !by_name && memchr(host.data, ':', host.len) && !slice_starts(host, SLICE("unix:")))
        host = arena_printf(&ex->arena, "[%.*s]", SLICE_ARGS(host)); /* RFC 3986 section 3.2.2 */
    ex->res.location_is_made = true;
    bool default_port = !s->answers.port_in_redirect || slice_eq(peer->server_port, SLICE("80")) ||
                        peer->server_port.len == 0;
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
                  const struct settings *s)
{
    ex->res.status = code;
    /* As in nginx: a variable that is empty is a text, '' is none. */
    if (code >= 400 && (!text || http_template_is_empty(text)))
        return code;
    struct slice body = text ? http_template_expand(text, ex) : SLICE("");
    if (!body.data)
        return 500;
    if (!http_is_redirect(code)) {
        if (!ex->res.keeps_type)
            ex->res.content_type = content_type_of(s, ex->req.path);
        return http_add_memory(&ex->res, &ex->arena, body.data, body.len) ? 0 : 500;
    }
    if (!is_header_safe(body))
        return 500;
    ex->res.location = body.len && body.data[0] == '/' ? return_absolute_url(ex, s, body) : body;
    return ex->res.location.data ? code : 500;
}
