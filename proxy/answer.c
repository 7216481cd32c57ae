/*
 * proxy/answer.c - the head of an upstream's answer on its way to the client.
 */
#include "proxy/internal.h"
#include "proxy/upstream.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/filter.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/site.h"
#include "http/wire/request.h"
#include "http/wire/response.h"
#include "http/wire/response_head.h"

#include <assert.h>
#include <stddef.h>

/* --- which headers --- */

static bool is_among(const struct slice *names, int count, struct slice name)
{
    for (int i = 0; i < count; i++)
        if (slice_eq_nocase(names[i], name))
            return true;
    return false;
}

/* What the answer's Connection header names is between the upstream and us (RFC 9110 section 7.6.1). */
static bool is_named_by_upstreams_connection(const struct http_response_head *a, struct slice name)
{
    for (int i = 0; i < a->header_count; i++) {
        struct slice list = a->headers[i].value, option;
        if (a->headers[i].name.len == 10 && slice_eq_nocase(a->headers[i].name, SLICE("Connection")))
            while (slice_next_in_list(&list, &option))
                if (slice_eq_nocase(option, name))
                    return true;
    }
    return false;
}

enum fate {
    PASS,
    DROP,
    PASS_OWN, /* in place of ours */
    HIDE,     /* unless proxy_pass_header names it */
    CONTENT_TYPE,
    LOCATION,
    REFRESH,
    ETAG,
    LAST_MODIFIED,
    SET_COOKIE,
    UPGRADE,
    TRAILER,
    CONTENT_LENGTH
};

/* A script's own Date and Server go on, as in nginx; its Status has become the status. */
static enum fate fate_of_a_scripts(struct slice name, enum fate fate)
{
    bool is_ours = slice_eq_nocase(name, SLICE("Date")) || slice_eq_nocase(name, SLICE("Server")) ||
                   slice_eq_nocase(name, SLICE("X-Pad"));
    return is_ours ? PASS_OWN : slice_eq_nocase(name, SLICE("Status")) ? HIDE : fate;
}

static enum fate fate_of(enum conf_pass_kind kind, struct slice name)
{
    static const struct {
        struct slice name;
        enum fate fate;
    } known[] = {{{"Connection", 10}, DROP},
                 {{"Keep-Alive", 10}, DROP},
                 {{"Transfer-Encoding", 17}, DROP},
                 {{"Proxy-Connection", 16}, DROP},
                 {{"Content-Length", 14}, CONTENT_LENGTH},
                 {{"Date", 4}, HIDE},
                 {{"Server", 6}, HIDE},
                 {{"X-Pad", 5}, HIDE},
                 {{"X-Accel-Buffering", 17}, HIDE},
                 {{"X-Accel-Charset", 15}, HIDE},
                 {{"X-Accel-Expires", 15}, HIDE},
                 {{"X-Accel-Limit-Rate", 18}, HIDE},
                 {{"X-Accel-Redirect", 16}, HIDE},
                 {{"Content-Type", 12}, CONTENT_TYPE},
                 {{"Location", 8}, LOCATION},
                 {{"Refresh", 7}, REFRESH},
                 {{"ETag", 4}, ETAG},
                 {{"Last-Modified", 13}, LAST_MODIFIED},
                 {{"Set-Cookie", 10}, SET_COOKIE},
                 {{"Upgrade", 7}, UPGRADE},
                 {{"Trailer", 7}, TRAILER}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].name.len == name.len && slice_eq_nocase(known[i].name, name))
            return kind == CONF_PASS_FASTCGI ? fate_of_a_scripts(name, known[i].fate) : known[i].fate;
    return kind == CONF_PASS_FASTCGI ? fate_of_a_scripts(name, PASS) : PASS;
}

/* A default of ours makes room for the upstream's header. */
static void replace_own(struct http_response *res, struct slice name)
{
    res->without_server |= slice_eq_nocase(name, SLICE("Server"));
    res->without_date |= slice_eq_nocase(name, SLICE("Date"));
}

static bool is_left_out(const struct proxy *p, const struct http_response_head *a,
                        const struct http_header *h, enum fate fate)
{
    const struct location_proxy *to = p->to;
    if (fate == DROP || fate == CONTENT_LENGTH || (fate == UPGRADE && a->status != 101) ||
        (fate == TRAILER && !proxy_how(p)->pass_trailers))
        return true;
    bool hidden = fate == HIDE || is_among(to->hidden, to->hidden_count, h->name);
    if (hidden && !is_among(to->passed, to->passed_count, h->name))
        return true;
    return fate != UPGRADE && is_named_by_upstreams_connection(a, h->name);
}

static bool take_header(struct proxy *p, const struct http_response_head *a, const struct http_header *h)
{
    struct http_exchange *ex = p->ex;
    struct http_response *res = &ex->res;
    struct slice value = h->value;
    enum fate fate = fate_of(p->to->kind, h->name);
    if (is_left_out(p, a, h, fate))
        return true;
    switch (fate) {
    case CONTENT_TYPE:
        res->content_type = value;
        return true;
    case LOCATION:
        value = proxy_rewrite_location(p, value);
        if (!http_is_field_value(value))
            return true;
        res->location = value;
        return res->location_is_made || http_place_own(res, &ex->arena, HTTP_OWN_LOCATION, h->name);
    case ETAG:
        res->etag = value;
        return http_place_own(res, &ex->arena, HTTP_OWN_ETAG, h->name);
    case LAST_MODIFIED:
        res->last_modified = value;
        return http_place_own(res, &ex->arena, HTTP_OWN_LAST_MODIFIED, h->name);
    case REFRESH:
        value = proxy_rewrite_refresh(p, value);
        break;
    case SET_COOKIE:
        value = proxy_rewrite_cookie(p, value);
        break;
    case HIDE:
    case PASS_OWN:
        replace_own(res, h->name);
        break;
    default:
        break;
    }
    return !http_is_field_value(value) || http_add_header(res, &ex->arena, h->name, value);
}

/* --- the head as a whole --- */

static void rebase(struct slice *s, ptrdiff_t by)
{
    if (s->data)
        s->data += by;
}

/* The texts move to the exchange's arena, all at once: what follows, logs included, refers to them there. */
static bool keep_texts(struct proxy *p, struct http_response_head *a, size_t head_len)
{
    struct http_exchange *ex = p->ex;
    struct slice old = {buf_slice(&p->kept.memory).data, head_len}, text = arena_dup(&ex->arena, old);
    size_t bytes = (size_t)a->header_count * sizeof *a->headers;
    struct http_header *headers = arena_alloc(&ex->arena, bytes + 1);
    if (!text.data || !headers)
        return false;
    rebase(&a->reason, text.data - old.data);
    for (int i = 0; i < a->header_count; i++) {
        rebase(&a->headers[i].name, text.data - old.data);
        rebase(&a->headers[i].value, text.data - old.data);
    }
    memcpy(headers, a->headers, bytes);
    ex->upstream.headers = headers;
    ex->upstream.header_count = a->header_count;
    ex->upstream.status = p->try->status = a->status;
    return true;
}

static bool take_over_head(struct proxy *p, const struct http_response_head *a)
{
    struct http_exchange *ex = p->ex;
    bool ok = true;
    ex->res.status = a->status;
    if (a->reason.len <= HTTP_REASON_MAX && !slice_eq(a->reason, SLICE("OK")))
        ex->res.reason = a->reason;
    for (int i = 0; ok && i < a->header_count; i++)
        ok = take_header(p, a, &a->headers[i]);
    ok = ok && sticky_on_head(p->ex, p->u, p->peer);
    bool to_head = ex->req.method == HTTP_HEAD;
    ex->res.content_length = p->asked.head_only && !to_head                  ? 0
                             : a->has_length                                 ? (int64_t)a->content_length
                             : a->framing == HTTP_RESPONSE_EMPTY && !to_head ? 0
                                                                             : HTTP_LENGTH_UNKNOWN;
    return ok;
}

/* --- what X-Accel-... asks for --- */

static void obey_wishes(struct proxy *p, const struct http_response_head *a)
{
    struct http_exchange *ex = p->ex;
    unsigned ignored = proxy_how(p)->upstream.ignore_headers;
    struct slice buffering = http_response_head_field(a, SLICE("X-Accel-Buffering"));
    struct slice rate = http_response_head_field(a, SLICE("X-Accel-Limit-Rate"));
    struct slice charset = http_response_head_field(a, SLICE("X-Accel-Charset"));
    unsigned long long bytes;
    p->buffered = proxy_how(p)->upstream.buffering;
    if (!(ignored & CONF_IGNORE_BUFFERING) && slice_eq_nocase(buffering, SLICE("no")))
        p->buffered = false;
    if (!(ignored & CONF_IGNORE_BUFFERING) && slice_eq_nocase(buffering, SLICE("yes")))
        p->buffered = true;
    if (!(ignored & CONF_IGNORE_LIMIT_RATE) && rate.len && slice_to_u64(rate, INT64_MAX, &bytes)) {
        ex->pace.rate = bytes;
        ex->pace.is_set = true;
    }
    if (!(ignored & CONF_IGNORE_CHARSET) && charset.len)
        ex->sent.charset = arena_printf(&ex->arena, "%.*s", SLICE_ARGS(charset));
}

static struct slice redirect_target(const struct proxy *p, const struct http_response_head *a)
{
    bool obeyed = !(proxy_how(p)->upstream.ignore_headers & CONF_IGNORE_REDIRECT);
    struct slice target = obeyed ? http_response_head_field(a, SLICE("X-Accel-Redirect")) : (struct slice){0};
    return target; /* an empty one is one as well, and wrong */
}

/* Nobody wants the body: whether it has come whole all the same, so that the connection may be kept. */
static bool skip_body(struct proxy *p, const struct http_response_head *a, size_t head_len)
{
    struct upstream_body body;
    const char *why;
    size_t body_len, len = buf_len(&p->kept.memory) - head_len;
    p->protocol->begin_body(&body, a);
    bool ok = p->protocol->decode(&body, p->kept.memory.data + p->kept.memory.start + head_len, len,
                                  &body_len, &why);
    if (p->protocol->on_end)
        p->protocol->on_end(&p->asked, &p->frames, &body);
    buf_free(&body.trailers);
    return ok && body.is_whole && body.may_keep && a->status != 101 && p->sent &&
           p->input != PROXY_INPUT_ENDED;
}

static struct proxy_step end_at_upstream(struct verdict v)
{
    return (struct proxy_step){.says = PROXY_ENDS, .verdict = v};
}

static struct proxy_step begin_response(void)
{
    return (struct proxy_step){.says = PROXY_ANSWERS, .verdict = verdict_answer(0)};
}

/* X-Accel-Redirect: another location answers in place of this body; some headers of the answer stay, as in nginx. */
static struct proxy_step answer_by_accel_redirect(struct proxy *p, const struct http_response_head *a,
                                                  size_t head_len, struct slice uri)
{
    static const struct slice kept[] = {{"Set-Cookie", 10},
                                        {"Cache-Control", 13},
                                        {"Expires", 7},
                                        {"Content-Disposition", 19},
                                        {"Accept-Ranges", 13}};
    struct http_exchange *ex = p->ex;
    bool ok = true;
    for (int i = 0; ok && i < a->header_count; i++) {
        struct slice name = a->headers[i].name, value = a->headers[i].value;
        if (slice_eq_nocase(name, SLICE("Set-Cookie")))
            value = proxy_rewrite_cookie(p, value);
        if (is_among(kept, sizeof kept / sizeof kept[0], name) && http_is_field_value(value))
            ok = http_add_header(&ex->res, &ex->arena, name, value);
    }
    ex->res.content_type = http_response_head_field(a, SLICE("Content-Type"));
    ex->res.keeps_type = ex->res.content_type.len > 0;
    proxy_end_try(p, UPSTREAM_SERVED, a->status, skip_body(p, a, head_len));
    http_drop_held(ex);
    /* A text of the head, which is the exchange's by now. */
    ex->leads_to = uri;
    return end_at_upstream(ok ? verdict_of(VERDICT_REDIRECT_GET) : verdict_answer(500));
}

/* In one list (RFC 9110 section 11.6.1). */
static struct slice all_challenges(struct http_exchange *ex, const struct http_response_head *a)
{
    struct slice all = {0};
    for (int i = 0; i < a->header_count; i++) {
        struct slice value = a->headers[i].value;
        if (value.len && slice_eq_nocase(a->headers[i].name, SLICE("WWW-Authenticate")))
            all =
                all.len ? arena_printf(&ex->arena, "%.*s, %.*s", SLICE_ARGS(all), SLICE_ARGS(value)) : value;
    }
    return all;
}

/* auth_request: the status is all that is wanted of it. */
static struct proxy_step end_detour(struct proxy *p, const struct http_response_head *a, size_t head_len)
{
    struct http_exchange *ex = p->ex;
    struct slice wanted = all_challenges(ex, a);
    take_over_head(p, a); /* for $sent_http_... */
    proxy_end_try(p, UPSTREAM_SERVED, a->status, skip_body(p, a, head_len));
    ex->access.www_authenticate = wanted;
    return end_at_upstream(verdict_answer(0));
}

/* --- to the client --- */

static bool intercepts(const struct proxy *p, const struct http_response_head *a)
{
    return proxy_how(p)->upstream.intercept_errors && a->status >= 300 &&
           site_has_error_page(p->ex, a->status);
}

static struct proxy_step begin_tunnel(struct proxy *p, const struct http_response_head *a, size_t head_len)
{
    if (!take_over_head(p, a))
        return proxy_step_fails(500);
    assert(p->asked.asks_upgrade && p->sent);
    buf_consume(&p->kept.memory, head_len);
    p->state = PROXY_TUNNEL;
    p->tunnel.upstream_ended = p->input == PROXY_INPUT_ENDED;
    proxy_watch(p, 0);
    return begin_response();
}

/* The body follows the head to the client, as it comes. */
static struct proxy_step begin_passing_on(struct proxy *p, const struct http_response_head *a,
                                          size_t head_len)
{
    const struct http_template *rate = p->ex->route.location->proxy_rate;
    if (!rate || !conf_parse_size(http_template_expand(rate, p->ex), &p->rate))
        p->rate = 0;
    if (!take_over_head(p, a))
        return proxy_step_fails(500);
    buf_consume(&p->kept.memory, head_len);
    if (!proxy_begin_body(p, a)) {
        http_response_reset(&p->ex->res);
        return proxy_step_fails(502);
    }
    p->waits_to_send &= proxy_sends_on(p);
    p->is_partly_gone = true; /* what is sent from now on is not kept */
    if (p->state == PROXY_BODY) {
        bool is_read = p->input != PROXY_INPUT_ENDED;
        proxy_set_timer(p, is_read ? proxy_how(p)->upstream.read_timeout_ms : 0);
        proxy_watch(p, is_read ? EV_READ : 0);
    }
    return begin_response();
}

struct proxy_step proxy_answer_client(struct proxy *p)
{
    struct http_exchange *ex = p->ex;
    struct http_response_head *a = p->head;
    size_t head_len = p->head_len;
    assert(a->status >= 100 && a->status <= 599 && head_len <= buf_len(&p->kept.memory));
    if (!keep_texts(p, a, head_len))
        return proxy_step_fails(500);
    struct slice target = redirect_target(p, a);
    p->idle_s = a->idle_s;
    if (ex->aside && (!target.data || a->status == 101))
        return end_detour(p, a, head_len);
    if (!ex->aside)
        http_served(ex);
    if (a->status == 101)
        return begin_tunnel(p, a, head_len);
    obey_wishes(p, a);
    /* The page is shown also where X-Accel-Redirect names another location. */
    if (!ex->aside && intercepts(p, a)) {
        if (a->status == 401)
            ex->access.www_authenticate = all_challenges(ex, a);
        proxy_end_try(p, UPSTREAM_SERVED, a->status, false);
        return proxy_step_fails(a->status);
    }
    if (target.data)
        return answer_by_accel_redirect(p, a, head_len, target);
    return begin_passing_on(p, a, head_len);
}

/* early_hints */
static bool wants_hints(struct http_exchange *ex)
{
    const struct location *l = ex->route.location;
    for (int i = 0; i < l->early_hint_count; i++) {
        struct slice text = http_template_expand(l->early_hints[i], ex);
        if (text.len && !slice_eq(text, SLICE("0")))
            return true;
    }
    return !l->early_hints;
}

bool proxy_pass_interim(struct proxy *p)
{
    const struct http_response_head *a = p->head;
    struct http_exchange *ex = p->ex;
    int count = 0;
    if (ex->aside || (a->status == 103 && !wants_hints(ex))) /* the first: about another request */
        return true;
    struct http_header *passed = arena_alloc(&ex->arena, (size_t)a->header_count * sizeof *passed + 1);
    for (int i = 0; passed && i < a->header_count; i++)
        if (!is_left_out(p, a, &a->headers[i], fate_of(p->to->kind, a->headers[i].name)))
            passed[count++] = a->headers[i];
    return passed && ex->client.protocol->interim(ex, a->status, a->reason, passed, count);
}
