/*
 * tests/unit/handlers/script_source.h - a response's source that says what the test's script has: stretches, nothing yet, the end,
 * failure; and requests that are held where a handler would have them, to be answered with it.
 */
#ifndef WEIR_TESTS_UNIT_HANDLERS_SCRIPT_SOURCE_H
#define WEIR_TESTS_UNIT_HANDLERS_SCRIPT_SOURCE_H

#include "http/request/filter.h"
#include "http/request/source.h"
#include "tests/unit/http/bench_client.h"

struct step {
    enum source_says says;
    struct slice text; /* of SOURCE_HAS */
};

static struct {
    const struct step *step;
    size_t taken;        /* of its text */
    int stops;           /* how often it was told so */
    bool has_been_asked; /* since it last had nothing */
    int64_t time_left_ms;
    const char *trailers;
    struct slice body; /* of the request, as it has come; */
    int body_ends;     /* and its end */
    size_t body_room;
    struct http_exchange *tunnel; /* whose client's stream was taken over, */
    struct net_stream *stream;
    struct buf early;
    bool has_ended;
} script;

static inline enum source_says script_look(struct http_exchange *ex, struct http_piece *stretch)
{
    (void)ex;
    CU_ASSERT(script.stops == 0);
    script.has_been_asked = true;
    if (script.step->says == SOURCE_HAS) {
        stretch->fd = -1;
        stretch->data = script.step->text.data + script.taken;
        stretch->len = script.step->text.len - script.taken;
    }
    return script.step->says;
}

static inline void script_take(struct http_exchange *ex, size_t n)
{
    (void)ex;
    script.taken += n;
    CU_ASSERT(script.step->says == SOURCE_HAS && script.taken <= script.step->text.len);
    if (script.taken < script.step->text.len)
        return;
    script.step++;
    script.taken = 0;
}

static inline void script_stop(struct http_exchange *ex)
{
    (void)ex;
    script.stops++;
}

static inline int64_t script_time_left(const struct http_exchange *ex, int64_t at_most_ms)
{
    (void)ex;
    return at_most_ms && at_most_ms < script.time_left_ms ? at_most_ms : script.time_left_ms;
}

static inline bool script_trailers(struct http_exchange *ex, struct buf *out)
{
    return ex->client.protocol->takes_trailers(ex) ? buf_append_slice(out, slice_of(script.trailers)) : true;
}

static inline void script_body_came(struct http_exchange *ex, bool whole)
{
    script.body = buf_slice(&ex->body.kept.memory);
    script.body_ends += whole;
}

static inline bool script_is_full(const struct http_exchange *ex)
{
    return buf_len(&ex->body.kept.memory) >= script.body_room;
}

static inline void script_tunnel(struct http_exchange *ex)
{
    CU_ASSERT(!script.tunnel);
    script.tunnel = ex;
    script.stream = ex->client.protocol->hand_over(ex, &script.early, &script.has_ended);
    net_stream_watch(script.stream, ex->worker->loop, 0);
}

static inline bool script_outlives(const struct http_exchange *ex)
{
    (void)ex;
    return true;
}

static const struct source script_plain = {.look = script_look, .take = script_take, .stop = script_stop};

/* A request that is held as one that a handler has. `head` is whole. */
static inline struct http_exchange *client_hold(struct client *p, const char *head)
{
    static char kept[1000];
    snprintf(kept, sizeof kept, "%s", head);
    client_connect(p);
    struct verdict v = h1_start(p->c, slice_of(kept));
    CU_ASSERT_FATAL(v.kind == VERDICT_NEXT && p->c->ex);
    v = request_wait(p->c->ex, REQUEST_HANDLER, 0, NULL);
    CU_ASSERT(v.kind == VERDICT_WAIT && p->c->ex->state == REQUEST_HANDLER);
    return p->c->ex;
}

/* It is answered by the script. length: of the body, or HTTP_LENGTH_UNKNOWN. */
static inline void script_answer(struct client *p, const struct source *source, const struct step *steps,
                                 int64_t length)
{
    struct http_exchange *ex = p->c->ex;
    script.step = steps;
    script.taken = 0;
    script.stops = 0;
    script.tunnel = NULL;
    ex->source = source;
    ex->res.status = 200;
    ex->res.content_length = length;
    request_resume(ex, verdict_answer(0));
    client_settle(p);
}

/* It has nothing yet, and has been asked; now it has. */
static inline void script_go_on(struct client *p)
{
    CU_ASSERT(script.step->says == SOURCE_LATER && script.has_been_asked);
    script.step++;
    script.has_been_asked = false;
    client_go_on(p->c->ex);
    client_settle(p);
}

#endif
