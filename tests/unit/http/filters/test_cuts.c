/*
 * tests/unit/http/filters/test_cuts.c - filters of a response's body: what comes out is the same for every two pieces that the body
 * comes in, and byte by byte; and ranges are what they say, of files and of memory.
 */
#include "tests/unit/handlers/script_source.h"

#include <zlib.h>

enum { OUT_BYTES = 4096 };

struct filtered {
    const char *settings, *text, *wanted;
    const char *field; /* in the head; NULL: whatever */
};

static const struct filtered rows[] = {
    {"sub_filter needle pin;", "a needle, a needle", "a pin, a needle", "Transfer-Encoding: chunked\r\n"},
    {"sub_filter needle pin; sub_filter_once off;", "needleneedle needl", "pinpin needl", NULL},
    {"sub_filter aab X; sub_filter_once off;", "aaabaaaab aaaaab aab", "aXaaX aaaX X", NULL},
    {"sub_filter NeeDLe ''; sub_filter_once off;", "<NEEDLE><needle>", "<><>", NULL},
    {"sub_filter a '[$uri]'; sub_filter_once off;", "abca", "[/]bc[/]", NULL},
    {"sub_filter abc 1; sub_filter bcd 2; sub_filter d 3; sub_filter_once off;", "abcd bcd abd", "13 2 ab3",
     NULL},
    {"sub_filter one 1; sub_filter two 2; sub_filter_once on;", "two one two one", "2 1 two one", NULL},
    {"charset utf-8; source_charset koi8-r; charset_types *;", "\xf0\xd2\xc9 a", "\xd0\x9f\xd1\x80\xd0\xb8 a",
     "Content-Type: text/plain; charset=utf-8\r\n"},
    {"charset koi8-r; source_charset utf-8; charset_types *;", "\xd0\x9f\xd1\x80\xd0\xb8 a", "\xf0\xd2\xc9 a",
     NULL},
    {"charset iso-8859-1; source_charset utf-8; charset_types *;", "x\xe2\x82\xac\xc3\xa9y", "x&#8364;\xe9y",
     NULL},
    {"sub_filter \xd0\x9f P; charset koi8-r; source_charset utf-8; charset_types *;",
     "\xd0\x9f\xd1\x80\xd0\xb8", "P\xd2\xc9", NULL},
};

/* Undoes the chunks in place. */
static struct slice unchunk(struct slice body)
{
    struct http_chunked chunked = {0};
    size_t len, used;
    CHECK_NUMBER(http_chunked_decode(&chunked, (char *)(uintptr_t)body.data, body.len, &len, &used),
                 HTTP_CHUNKED_DONE);
    return (struct slice){body.data, len};
}

static struct slice gunzip(struct slice body)
{
    static unsigned char plain[OUT_BYTES];
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)body.data,
                  .avail_in = (unsigned)body.len,
                  .next_out = plain,
                  .avail_out = sizeof plain};
    inflateInit2(&z, 31);
    CHECK_NUMBER(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    return (struct slice){(char *)plain, z.total_out};
}

static void run(const struct filtered *row, const struct step *steps, bool zipped)
{
    struct client p = {0};
    client_hold(&p, zipped ? "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n"
                           : "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    p.c->ex->res.content_type = SLICE("text/plain");
    script_answer(&p, &script_plain, steps, HTTP_LENGTH_UNKNOWN);
    while (p.c->ex)
        script_go_on(&p);
    struct slice body = unchunk(client_body(&p));
    CU_ASSERT(client_has(&p, "Content-Encoding: gzip\r\n") == zipped);
    CHECK_SLICE(zipped ? gunzip(body) : body, row->wanted);
    CHECK_FOR(row->settings, !row->field || client_has(&p, row->field));
    client_leave(&p);
    client_free(&p);
}

/* Cut in two, with and without a pause. */
static void run_cuts(const struct filtered *row, bool zipped)
{
    size_t len = strlen(row->text);
    for (size_t cut = 1; cut < len; cut++) {
        const struct step steps[] = {
            {SOURCE_HAS, {row->text, cut}}, {SOURCE_HAS, {row->text + cut, len - cut}}, {.says = SOURCE_END}};
        const struct step slow[] = {steps[0], {.says = SOURCE_LATER}, steps[1], {.says = SOURCE_END}};
        run(row, steps, zipped);
        run(row, slow, zipped);
    }
}

static void run_bytes(const struct filtered *row, bool zipped)
{
    size_t len = strlen(row->text);
    struct step *steps = calloc(len + 1, sizeof *steps);
    for (size_t i = 0; i < len; i++)
        steps[i] = (struct step){SOURCE_HAS, {row->text + i, 1}};
    steps[len].says = SOURCE_END;
    run(row, steps, zipped);
    free(steps);
}

static void run_rows(bool zipped)
{
    char settings[400];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(settings, sizeof settings, "sub_filter_types *; %s %s", rows[i].settings,
                 zipped ? "gzip on; gzip_types *; gzip_min_length 0;" : "");
        bench_open("", settings);
        run_cuts(&rows[i], zipped);
        run_bytes(&rows[i], zipped);
        bench_close();
    }
}

static void cut_anywhere(void)
{
    run_rows(false);
}

static void and_compressed(void)
{
    run_rows(true);
}

/* --- ranges --- */

struct ranged {
    const char *header, *log, *body, *field;
};

static const struct ranged ranges[] = {
    {"Range: bytes=0-0", "206 GET /f OK;", "0", "Content-Range: bytes 0-0/10\r\n"},
    {"Range: bytes=3-5", "206 GET /f OK;", "345", "Content-Range: bytes 3-5/10\r\n"},
    {"Range: bytes=7-", "206 GET /f OK;", "789", "Content-Range: bytes 7-9/10\r\n"},
    {"Range: bytes=-2", "206 GET /f OK;", "89", "Content-Range: bytes 8-9/10\r\n"},
    {"Range: bytes=-99", "206 GET /f OK;", "0123456789", "Content-Range: bytes 0-9/10\r\n"},
    {"Range: bytes=5-99", "206 GET /f OK;", "56789", "Content-Range: bytes 5-9/10\r\n"},
    {"Range: bytes=10-", "416 GET /f OK;", NULL, "Content-Range: bytes */10\r\n"},
    {"Range: bytes=5-4", "416 GET /f OK;", NULL, "Content-Range: bytes */10\r\n"},
    {"Range: lines=1-2", "200 GET /f OK;", "0123456789", "Accept-Ranges: bytes\r\n"},
    {"Range: bytes=1-2\r\nIf-Range: \"no\"", "200 GET /f OK;", "0123456789", NULL},
};

static void run_range(const struct ranged *r, size_t take)
{
    char head[200];
    struct client p = {.take = take};
    snprintf(head, sizeof head, "GET /f HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", r->header);
    client_connect(&p);
    client_say(&p, slice_of(head));
    const char *log = bench_log();
    CHECK_LOG_FOR(r->header, log, strcmp(log, r->log) == 0);
    CHECK_FOR(r->header, !r->body || slice_eq(client_body(&p), slice_of(r->body)));
    CHECK_FOR(r->header, !r->field || client_has(&p, r->field));
    client_leave(&p);
    client_free(&p);
}

static void one_range(void)
{
    bench_open("", "root .;");
    bench_add_file("f", SLICE("0123456789"));
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        for (size_t take = 0; take < 4; take++)
            run_range(&ranges[i], take);
    bench_close();
}

/* A part for each, with its place; the length is that of all. */
static void many_ranges(void)
{
    bench_open("", "root .; max_ranges 3;");
    bench_add_file("f", SLICE("0123456789"));
    for (size_t take = 0; take < 20; take++) {
        struct client p = {.take = take};
        char wanted[400], boundary[64] = "", length[64];
        client_connect(&p);
        client_say(&p, SLICE("GET /f HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2,-1,4-4\r\n\r\n"));
        CHECK_LOG("206 GET /f OK;");
        struct slice all = client_got(&p);
        const char *at = memmem(all.data, all.len, "boundary=", 9);
        CU_ASSERT_FATAL(at && sscanf(at, "boundary=%40[0-9a-f]", boundary) == 1);
        int n = snprintf(wanted, sizeof wanted,
                         "\r\n--%s\r\nContent-Type: text/plain\r\nContent-Range: bytes 1-2/10\r\n\r\n12"
                         "\r\n--%s\r\nContent-Type: text/plain\r\nContent-Range: bytes 9-9/10\r\n\r\n9"
                         "\r\n--%s\r\nContent-Type: text/plain\r\nContent-Range: bytes 4-4/10\r\n\r\n4"
                         "\r\n--%s--\r\n",
                         boundary, boundary, boundary, boundary);
        CHECK_SLICE(client_body(&p), wanted);
        snprintf(length, sizeof length, "Content-Length: %d\r\n", n);
        CU_ASSERT(client_has(&p, length));
        client_forget(&p);
        client_say(&p, SLICE("GET /f HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2,-1,4-4,6-6\r\n\r\n"));
        CHECK_LOG("200 GET /f OK;"); /* too many */
        CHECK_SLICE(client_body(&p), "0123456789");
        client_leave(&p);
        client_free(&p);
    }
    bench_close();
}

static const struct check_case cases[] = {{"the same for every cut", cut_anywhere},
                                          {"and compressed behind that", and_compressed},
                                          {"one range", one_range},
                                          {"many ranges", many_ranges}};

CHECK_MAIN("filters", cases)
