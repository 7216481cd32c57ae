/*
 * tests/unit/http/wire/test_response.c - an answer's head, its framing by version and status, its pieces, the error pages.
 */
#include "http/wire/response.h"

#include "tests/unit/check.h"

struct fixture {
    struct arena arena;
    struct http_stamp stamp;
    struct http_request req;
    struct http_response res;
    struct http_head_options options;
    struct buf out;
};

static void set_up(struct fixture *f, int status)
{
    memset(f, 0, sizeof *f);
    arena_init(&f->arena, 1024);
    http_stamp_update(&f->stamp, "weir", 784111777);
    f->options.stamp = &f->stamp;
    f->req.minor_version = 1;
    http_response_init(&f->res);
    f->res.status = status;
}

static void tear_down(struct fixture *f)
{
    buf_free(&f->out);
    arena_free(&f->arena);
}

/* The head as text; what stands behind it is the next head, if one is written. */
static const char *written(struct fixture *f)
{
    buf_consume(&f->out, buf_len(&f->out));
    CU_ASSERT(http_write_head(&f->res, &f->req, &f->options, &f->out));
    CU_ASSERT(buf_append(&f->out, "", 1));
    return f->out.data + f->out.start;
}

#define STAMP "Server: weir\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static void a_whole_head(void)
{
    struct fixture f;
    set_up(&f, 200);
    http_add_memory(&f.res, &f.arena, "hello", 5);
    f.res.content_type = SLICE("text/plain");
    f.res.last_modified = SLICE("Sun, 06 Nov 1994 08:49:37 GMT");
    f.res.etag = SLICE("\"x\"");
    f.res.accept_ranges = true;
    http_add_header(&f.res, &f.arena, SLICE("X-One"), SLICE("1"));
    http_add_header(&f.res, &f.arena, SLICE("X-Two"), SLICE(""));
    CU_ASSERT_STRING_EQUAL(written(&f),
                           "HTTP/1.1 200 OK\r\n" STAMP "Content-Type: text/plain\r\nContent-Length: 5\r\n"
                           "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n"
                           "ETag: \"x\"\r\nX-One: 1\r\nX-Two: \r\nAccept-Ranges: bytes\r\n\r\n");
    CU_ASSERT(!f.res.no_body && !f.res.chunked && !f.res.close);
    tear_down(&f);
}

static void framing_by_version(void)
{
    struct fixture f;
    set_up(&f, 200);
    f.res.content_length = HTTP_LENGTH_UNKNOWN;
    CU_ASSERT_STRING_EQUAL(written(&f), "HTTP/1.1 200 OK\r\n" STAMP
                                        "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
    CU_ASSERT(f.res.chunked && !f.res.close);
    f.res.chunked = false;
    f.req.minor_version = 0;
    CU_ASSERT_STRING_EQUAL(written(&f), "HTTP/1.1 200 OK\r\n" STAMP "Connection: close\r\n\r\n");
    CU_ASSERT(!f.res.chunked && f.res.close); /* until the connection closes */
    f.res.close = false;
    f.res.content_length = 0;
    CU_ASSERT_STRING_EQUAL(written(&f),
                           "HTTP/1.1 200 OK\r\n" STAMP "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    tear_down(&f);
}

static void answers_without_a_body(void)
{
    static const int statuses[] = {204, 304, 100, 103};
    for (int i = 0; i < 4; i++) {
        struct fixture f;
        set_up(&f, statuses[i]);
        f.res.content_length = 5;
        const char *head = written(&f);
        CU_ASSERT(f.res.no_body);
        CU_ASSERT(!strstr(head, "Content-Length") && !strstr(head, "Transfer-Encoding"));
        f.res.content_length = HTTP_LENGTH_UNKNOWN;
        head = written(&f);
        CU_ASSERT(!f.res.chunked && !strstr(head, "Transfer-Encoding"));
        tear_down(&f);
    }
    struct fixture f;
    set_up(&f, 200);
    f.req.method = HTTP_HEAD;
    f.res.content_length = 5;
    CU_ASSERT(strstr(written(&f), "Content-Length: 5\r\n") != NULL); /* HEAD says what GET would send */
    CU_ASSERT(f.res.no_body);
    tear_down(&f);
}

static void connection_and_retry(void)
{
    struct fixture f;
    set_up(&f, 503);
    f.options.keepalive_header_s = 30;
    f.res.retry_after_s = 7;
    const char *head = written(&f);
    CU_ASSERT(strstr(head, "HTTP/1.1 503 Service Temporarily Unavailable\r\n") == head);
    CU_ASSERT(strstr(head, "\r\nKeep-Alive: timeout=30\r\n") && strstr(head, "\r\nRetry-After: 7\r\n"));
    f.res.close = true;
    head = written(&f);
    CU_ASSERT(strstr(head, "\r\nConnection: close\r\n") && !strstr(head, "Keep-Alive"));
    tear_down(&f);
}

static void locations_and_large_values(void)
{
    struct fixture f;
    char value[5000];
    set_up(&f, 301);
    memset(value, 'v', sizeof value);
    f.res.location = SLICE("http://a/b");
    f.res.content_length = INT64_MAX;
    http_add_header(&f.res, &f.arena, SLICE("Large"), (struct slice){value, sizeof value});
    const char *head = written(&f);
    CU_ASSERT(strstr(head, "HTTP/1.1 301 Moved Permanently\r\n") == head);
    CU_ASSERT(strstr(head, "\r\nLocation: http://a/b\r\n") &&
              strstr(head, "Content-Length: 9223372036854775807\r\n"));
    CU_ASSERT_STRING_EQUAL(head + strlen(head) - 5, "v\r\n\r\n");
    tear_down(&f);
}

static void every_status_fits(void)
{
    for (int status = 100; status <= 999; status++) {
        struct fixture f;
        char line[100];
        set_up(&f, status);
        f.options.keepalive_header_s = INT64_MAX;
        f.res.retry_after_s = UINT32_MAX;
        f.res.content_length = INT64_MAX;
        f.res.accept_ranges = true;
        snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
        CU_ASSERT(strstr(written(&f), line) == f.out.data + f.out.start);
        tear_down(&f);
    }
    CU_ASSERT_STRING_EQUAL(http_reason(404), "Not Found");
    CU_ASSERT_STRING_EQUAL(http_reason(299), "");
}

static void pieces_add_up(void)
{
    struct fixture f;
    set_up(&f, 200);
    CU_ASSERT(http_add_memory(&f.res, &f.arena, "abc", 3));
    CU_ASSERT(http_add_memory(&f.res, &f.arena, NULL, 0)); /* nothing: no piece */
    CU_ASSERT(http_add_file(&f.res, &f.arena, 7, 100, 1000));
    CU_ASSERT(http_add_file(&f.res, &f.arena, 7, 0, 0));
    CHECK_NUMBER(f.res.content_length, 1003);
    CHECK_NUMBER(f.res.body->fd, -1);
    CHECK_NUMBER(f.res.body->next->fd, 7);
    CHECK_NUMBER(f.res.body->next->offset, 100);
    CU_ASSERT_PTR_NULL(f.res.body->next->next);
    f.res.close = true;
    f.res.retry_after_s = 3;
    http_response_reset(&f.res);
    CU_ASSERT_PTR_NULL(f.res.body);
    CHECK_NUMBER(f.res.content_length, 0);
    CU_ASSERT(f.res.close && f.res.retry_after_s == 3); /* what concerns the connection stays */
    tear_down(&f);
}

static void stamps_follow_the_clock(void)
{
    struct http_stamp stamp = {0};
    http_stamp_update(&stamp, "weir/1.2.3", 784111777);
    CU_ASSERT(
        strncmp(stamp.text, "Server: weir/1.2.3\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", stamp.len) == 0);
    http_stamp_update(&stamp, "weir/1.2.3", 784111778);
    CU_ASSERT(strstr(stamp.text, "08:49:38 GMT\r\n") != NULL);
    CHECK_NUMBER(stamp.len, strlen(stamp.text));
}

static void error_pages(void)
{
    for (int status = 100; status <= 999; status++) {
        for (int version = 0; version <= 1; version++) {
            struct slice page = http_error_page(status, version);
            bool has_one = status >= 300 && status != 304 && http_reason(status)[0];
            CU_ASSERT((page.len > 0) == has_one);
            if (!has_one)
                continue;
            char code[16];
            snprintf(code, sizeof code, "<h1>%d ",
                     status >= 494 && status <= 497 ? 400 : status); /* kinds of 400 */
            CU_ASSERT(memmem(page.data, page.len, code, strlen(code)) != NULL);
            CU_ASSERT(page.len > 9 &&
                      memcmp(page.data + page.len - 9, "</html>\r\n", 9) == 0); /* not cut short */
            CU_ASSERT((memmem(page.data, page.len, "weir/", 5) != NULL) == version);
            CU_ASSERT_PTR_EQUAL(http_error_page(status, version).data, page.data);
        }
    }
}

static void redirects(void)
{
    int count = 0;
    for (int status = 0; status < 1000; status++)
        count += http_is_redirect(status);
    CHECK_NUMBER(count, 5);
    CU_ASSERT(http_is_redirect(301) && http_is_redirect(308) && !http_is_redirect(304));
}

/* Fields of its own that have a place keep it, under the name it was given, with the value that they have in the end. */
static void places_and_replacing(void)
{
    struct fixture f;
    set_up(&f, 204);
    f.res.etag = f.res.location = f.res.last_modified = SLICE("a");
    http_add_header(&f.res, &f.arena, SLICE("One"), SLICE("1"));
    CU_ASSERT(http_place_own(&f.res, &f.arena, HTTP_OWN_LAST_MODIFIED, SLICE("last-modified")));
    CU_ASSERT(http_place_own(&f.res, &f.arena, HTTP_OWN_ETAG, SLICE("Etag")));
    http_add_header(&f.res, &f.arena, SLICE("Two"), SLICE("2"));
    http_add_header(&f.res, &f.arena, SLICE("one"), SLICE("3"));
    CU_ASSERT(http_set_header(&f.res, &f.arena, SLICE("ONE"), SLICE("4")));
    CU_ASSERT(http_set_header(&f.res, &f.arena, SLICE("Five"), SLICE("5")));
    f.res.etag = SLICE("b");
#define BEGINNING "HTTP/1.1 204 No Content\r\n" STAMP "Connection: keep-alive\r\nLocation: a\r\nOne: 4\r\n"
    CU_ASSERT_STRING_EQUAL(written(&f), BEGINNING "last-modified: a\r\nEtag: b\r\nTwo: 2\r\nFive: 5\r\n\r\n");
    f.res.etag = (struct slice){0}; /* it has a place, and nothing to put there */
    CU_ASSERT_STRING_EQUAL(written(&f), BEGINNING "last-modified: a\r\nTwo: 2\r\nFive: 5\r\n\r\n");
    CU_ASSERT(http_place_own(&f.res, &f.arena, HTTP_OWN_LAST_MODIFIED,
                             SLICE("Last-Modified"))); /* the last one counts */
    CU_ASSERT_STRING_EQUAL(written(&f), BEGINNING "Two: 2\r\nFive: 5\r\nLast-Modified: a\r\n\r\n");
#undef BEGINNING
    f.res.location_is_made = true;
    CU_ASSERT(strstr(written(&f), "Location: a\r\nConnection: keep-alive\r\nOne: 4\r\n") != NULL);
    tear_down(&f);
}

static const struct check_case cases[] = {
    {"a whole head", a_whole_head},
    {"places and replacing", places_and_replacing},
    {"framing by version", framing_by_version},
    {"answers without a body", answers_without_a_body},
    {"connection and retry", connection_and_retry},
    {"locations and large values", locations_and_large_values},
    {"every status fits", every_status_fits},
    {"pieces add up", pieces_add_up},
    {"stamps follow the clock", stamps_follow_the_clock},
    {"error pages", error_pages},
    {"redirects", redirects},
};

CHECK_MAIN("http/response", cases)
