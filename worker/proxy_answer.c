/*
 * worker/proxy_answer.c - an upstream's answer on its way to the client: the head taken over, the body passed on.
 */
#include "worker/proxy_internal.h"

static bool is_configured_away(const struct proxy *p, struct slice name)
{
    for (const struct conf_proxy_header *h = proxy_settings(p)->proxy_hidden; h; h = h->next)
        if (slice_eq_nocase(name, h->name))
            return true;
    for (int i = 0; i < p->answer.header_count; i++) {
        struct slice list = p->answer.headers[i].value, option;
        if (slice_eq_nocase(p->answer.headers[i].name, SLICE("Connection")))
            while (slice_next_in_list(&list, &option))
                if (slice_eq_nocase(option, name))
                    return true;
    }
    return false;
}

/* A header that has a place of its own in our answers. */
static struct slice own_header(struct proxy *p, struct slice name)
{
    struct slice none = {0};
    if (is_configured_away(p, name))
        return none;
    struct slice text = http_answer_header(&p->answer, name);
    return text.data ? arena_dup(&p->c->ex->arena, text) : none;
}

static bool is_hidden(const struct proxy *p, struct slice name)
{
    static const char *const never[] = {
        "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length",   "Content-Type",
        "Date",       "Server",     "Upgrade",           "Proxy-Connection", "Trailer",
        "Location",   "ETag",       "Last-Modified"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (slice_eq_nocase(name, slice_of(never[i])))
            return true;
    if (name.len > 8 && strncasecmp(name.data, "X-Accel-", 8) == 0)
        return true;
    return is_configured_away(p, name);
}

static struct slice keep_text(struct proxy *p, struct slice text)
{
    return text.data ? arena_dup(&p->c->ex->arena, text) : text;
}

/* From the upstream's head to ours: hop-by-hop headers stay behind (RFC 9110 section 7.6.1). */
static bool take_over_head(struct proxy *p)
{
    struct http_exchange *ex = p->c->ex;
    const struct http_answer *a = &p->answer;
    ex->res.status = a->status;
    if (a->reason.len <= HTTP_REASON_MAX && !slice_eq(a->reason, SLICE("OK")))
        ex->res.reason = keep_text(p, a->reason);
    ex->res.content_type = own_header(p, SLICE("Content-Type"));
    ex->res.location = own_header(p, SLICE("Location"));
    ex->res.etag = own_header(p, SLICE("ETag"));
    ex->res.last_modified = own_header(p, SLICE("Last-Modified"));
    bool ok = true;
    for (int i = 0; ok && i < a->header_count; i++)
        if (!is_hidden(p, a->headers[i].name))
            ok = http_add_header(&ex->res, &ex->arena, keep_text(p, a->headers[i].name),
                                 keep_text(p, a->headers[i].value));
    ex->res.content_length = a->has_length ? (int64_t)a->content_length
                             : a->framing == HTTP_ANSWER_EMPTY && ex->req.method != HTTP_HEAD
                                 ? 0
                                 : HTTP_LENGTH_UNKNOWN;
    p->body_left = a->content_length;
    return ok;
}

/* The head's texts still lie in p->in. */
void proxy_answer_client(struct proxy *p, size_t head_len)
{
    struct connection *c = p->c;
    upstream_succeeded(p->uc->peer);
    limit_served(c->ex);
    if (proxy_settings(p)->proxy_intercept_errors && p->answer.status >= 300 &&
        request_has_error_page(c, p->answer.status)) {
        proxy_fail(p, p->answer.status);
        return;
    }
    if (!take_over_head(p)) {
        proxy_fail(p, 500);
        return;
    }
    bool empty = p->answer.framing == HTTP_ANSWER_EMPTY ||
                 (p->answer.framing == HTTP_ANSWER_LENGTH && p->body_left == 0);
    p->state = empty ? PROXY_END : PROXY_BODY;
    buf_consume(&p->in, head_len);
    connection_hold(c);
    request_answer(c, 0);
    connection_drive(c);
}

/* --- passing the body on --- */

static void end_well(struct proxy *p)
{
    struct connection *c = p->c;
    bool keep = p->answer.keepalive && !p->eof && buf_len(&p->in) == 0 && p->sent;
    proxy_drop_upstream(p, keep);
    proxy_destroy(p);
    request_done(c);
}

/* The next decoded stretch in p->in. Sets *used to what of p->in it takes up. False: what came is no body. */
static bool next_stretch(struct proxy *p, struct slice *body, size_t *used)
{
    struct slice in = buf_slice(&p->in);
    *body = in;
    *used = in.len;
    if (p->answer.framing == HTTP_ANSWER_LENGTH) {
        if (in.len > p->body_left)
            body->len = *used = (size_t)p->body_left;
        p->body_left -= body->len;
        if (p->body_left == 0)
            p->state = PROXY_END;
    } else if (p->answer.framing == HTTP_ANSWER_CHUNKED) {
        size_t body_len = 0;
        enum http_chunked_result result =
            http_chunked_decode(&p->chunked, p->in.data + p->in.start, in.len, &body_len, used);
        body->len = body_len;
        if (result == HTTP_CHUNKED_DONE)
            p->state = PROXY_END;
        return result != HTTP_CHUNKED_ERROR;
    } else if (p->eof && !p->broken) {
        p->state = PROXY_END;
    }
    return true;
}

/* Cut off, so that the client sees that the answer is not whole. */
static bool cut(struct proxy *p, const char *why)
{
    proxy_log(p, why);
    connection_close(p->c);
    return false;
}

static bool finish_chunks(struct proxy *p)
{
    const struct http_response *res = &p->c->ex->res;
    return !res->chunked || res->no_body || buf_append(send_buffer(p->c), "0\r\n\r\n", 5);
}

bool proxy_pull(struct connection *c)
{
    struct proxy *p = c->proxy;
    struct slice body = {0};
    size_t used = 0;
    if (p->state == PROXY_BODY && (buf_len(&p->in) > 0 || p->eof)) {
        if (!next_stretch(p, &body, &used))
            return cut(p, "upstream sent invalid chunked response");
        if (body.len && !send_stretch(c, body)) {
            connection_close(c);
            return false;
        }
        buf_consume(&p->in, used);
    }
    if (p->state == PROXY_END) {
        if (!finish_chunks(p)) {
            connection_close(c);
            return false;
        }
        end_well(p);
        return true;
    }
    if (body.len)
        return true; /* sent first, then more */
    if (p->broken) {
        http_log(c->ex, LOG_LEVEL_ERROR, "recv() failed (%d: %s) while reading upstream", p->broken,
                 strerror(p->broken));
        connection_close(c);
        return false;
    }
    if (p->eof)
        return cut(p, "upstream prematurely closed connection while reading upstream");
    proxy_watch(p, EV_READ);
    connection_set_timer(p->c, proxy_settings(p)->proxy_read_timeout_ms);
    return false;
}
