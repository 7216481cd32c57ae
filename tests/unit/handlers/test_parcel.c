/*
 * tests/unit/handlers/test_parcel.c - requests and responses as bytes between workers: what was packed is unpacked, and of no cut is
 * anything taken that is not there.
 */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "handlers/parcel.h"
#include "http/site/site.h"

static struct location location = {.number = 7};
static struct http_exchange ex;
static struct http_header headers[] = {{SLICE("Host"), SLICE("h")}, {SLICE("X-Empty"), {0}}};
static const char *const names[] = {"remote_user", "none", NULL};
static const struct weir_handler handler = {.name = "h", .variables = names};
static const struct slice values[] = {SLICE("me"), {0}};
static struct weir_request job;

static void make_job(const char *body)
{
    memset(&ex, 0, sizeof ex);
    ex.route.location = &location;
    ex.route.server_name = SLICE("server");
    ex.client.remote_len = 4;
    memcpy(ex.client.remote, "\x7f\0\0\x01", 4);
    ex.client.connection_id = 99;
    ex.req = (struct http_request){.line = SLICE("POST /a?b HTTP/1.1"),
                                   .method_name = SLICE("POST"),
                                   .method = HTTP_POST,
                                   .uri = SLICE("/a?b"),
                                   .path = SLICE("/a"),
                                   .args = SLICE("b"),
                                   .headers = headers,
                                   .header_count = 2};
    ex.body.kept.fd = -1;
    ex.body.len = strlen(body);
    CU_ASSERT(spool_append(&ex.body.kept, body, strlen(body)));
    memset(&job, 0, sizeof job);
    job.ex = &ex;
    job.handler = &handler;
    job.variables = values;
    job.deadline_ms = 1234;
    job.task.pool = 3;
}

static struct slice pack(struct buf *out, bool beside)
{
    struct parcel_id id = {.index = 5, .tag = 77};
    out->start = out->end = 0;
    CU_ASSERT_FATAL(parcel_pack(out, &job, &id, beside));
    return buf_slice(out);
}

static void a_request_arrives_as_it_was(void)
{
    struct buf out = {0};
    struct arena arena;
    struct parcel p;
    make_job("the body");
    arena_init(&arena, 512);
    CU_ASSERT_FATAL(parcel_unpack(&p, &arena, pack(&out, false)));
    CU_ASSERT(p.id.index == 5 && p.id.tag == 77 && p.location == 7 && p.pool == 3);
    CU_ASSERT(p.deadline_ms == 1234 && !p.asks && !p.body_in_file);
    CU_ASSERT(p.client.connection_id == 99 && memcmp(p.client.remote, ex.client.remote, 18) == 0);
    CU_ASSERT(slice_eq(p.req.line, ex.req.line) && slice_eq(p.req.path, SLICE("/a")));
    CU_ASSERT(slice_eq(p.req.args, SLICE("b")) && p.req.host.data == NULL && p.req.method == HTTP_POST);
    CHECK_NUMBER(p.req.header_count, 2);
    CU_ASSERT(slice_eq(*http_find_header(&p.req, SLICE("host")), SLICE("h")));
    CHECK_NUMBER(p.variable_count, 2);
    CU_ASSERT(slice_eq(p.variables[0], SLICE("me")) && p.variables[1].data == NULL);
    CU_ASSERT(slice_eq(p.server_name, SLICE("server")) && slice_eq(p.body, SLICE("the body")));
    CHECK_NUMBER(p.body_len, 8);
    arena_free(&arena);
    buf_free(&out);
    spool_free(&ex.body.kept);
}

static void a_body_may_go_beside(void)
{
    struct buf out = {0};
    struct arena arena;
    struct parcel p;
    make_job("the body");
    arena_init(&arena, 512);
    CU_ASSERT_FATAL(parcel_unpack(&p, &arena, pack(&out, true)));
    CU_ASSERT(p.body_in_file && p.body_len == 8 && p.body.len == 0);
    arena_free(&arena);
    buf_free(&out);
    spool_free(&ex.body.kept);
}

/* Each is refused, and read no further than it goes: the sanitizer sees that, as each has memory of its own. */
static void no_cut_is_taken(void)
{
    struct buf out = {0};
    make_job("x");
    struct slice whole = pack(&out, false);
    for (size_t len = 0; len < whole.len; len++) {
        struct arena arena;
        struct parcel p;
        char *cut = malloc(len ? len : 1);
        memcpy(cut, whole.data, len);
        arena_init(&arena, 512);
        CU_ASSERT(!parcel_unpack(&p, &arena, (struct slice){cut, len}));
        arena_free(&arena);
        free(cut);
    }
    buf_free(&out);
    spool_free(&ex.body.kept);
}

static bool take_head(const char *name, const char *value, int status, struct http_response *to,
                      struct arena *arena)
{
    struct http_response from = {.status = status, .content_type = SLICE("text/plain")};
    struct buf out = {0};
    CU_ASSERT(http_add_header(&from, arena, slice_of(name), slice_of(value)));
    CU_ASSERT(parcel_pack_head(&out, &from) && buf_append(&out, "rest", 4));
    struct slice bytes = buf_slice(&out);
    bool ok = parcel_unpack_head(&bytes, to, arena);
    CU_ASSERT(!ok || slice_eq(bytes, SLICE("rest")));
    buf_free(&out);
    return ok;
}

static void a_head_arrives_as_it_was(void)
{
    struct arena arena;
    struct http_response to = {0};
    arena_init(&arena, 512);
    CU_ASSERT(take_head("X-A", "b", 201, &to, &arena));
    CU_ASSERT(to.status == 201 && slice_eq(to.content_type, SLICE("text/plain")));
    CU_ASSERT(slice_eq(http_added_header(&to, SLICE("x-a")), SLICE("b")));
    /* What no handler may set. */
    CU_ASSERT(!take_head("X-A", "b\r\nX-B: c", 201, &to, &arena));
    CU_ASSERT(!take_head("X A", "b", 201, &to, &arena));
    CU_ASSERT(!take_head("X-A", "b", 101, &to, &arena));
    CU_ASSERT(!take_head("X-A", "b", 600, &to, &arena));
    arena_free(&arena);
}

static const struct check_case cases[] = {
    {"a request arrives as it was", a_request_arrives_as_it_was},
    {"a body may go beside", a_body_may_go_beside},
    {"no cut is taken", no_cut_is_taken},
    {"a head arrives as it was", a_head_arrives_as_it_was},
};

CHECK_MAIN("handlers/parcel", cases)
