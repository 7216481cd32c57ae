/*
 * handlers/return.c - fixed answers and redirects.
 */
#include "handlers/return.h"

#include "base/slice.h"
#include "handlers/content_type.h"
#include "http/request/absolute_url.h"
#include "http/request/template.h"
#include "http/wire/response.h"

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
    ex->res.location = body.len && body.data[0] == '/' ? http_absolute_url(ex, s, body) : body;
    return ex->res.location.data ? code : 500;
}
