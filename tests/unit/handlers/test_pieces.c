/*
 * tests/unit/handlers/test_pieces.c - bodies of pieces, in memory and of files: all lengths about which something is decided, by
 * sendfile and by way of memory, plain, in chunks and through a filter, taken in parts; and what fails on the way.
 */
#include "tests/unit/handlers/script_source.h"

enum { FILE_BYTES = 6 << 20, PIECES_MAX = 5, LISTS = 150 };

/* The file, and what memory has: no two places look alike. */
static int file = -1;
static char *content;

static void begin(const char *settings)
{
    uint64_t random = 20261121;
    bench_open("", settings);
    content = malloc(FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++)
        content[i] = (char)check_random(&random);
    file = memfd_create("pieces", MFD_CLOEXEC);
    CU_ASSERT_FATAL(file >= 0 && fd_write_all(file, content, FILE_BYTES) == 0);
}

static void end(void)
{
    close(file);
    free(content);
    bench_close();
}

/* Adds what is at this place of the content, as memory or of the file, to the response and to what is expected. */
static void add_piece(struct http_exchange *ex, bool of_file, size_t at, size_t len, struct buf *wanted)
{
    bool ok = of_file ? http_add_file(&ex->res, &ex->arena, file, (off_t)at, len)
                      : http_add_memory(&ex->res, &ex->arena, content + at, len);
    CU_ASSERT(ok && buf_append(wanted, content + at, len));
}

static void add_pieces(struct http_exchange *ex, uint64_t *random, struct buf *wanted)
{
    static const size_t lengths[] = {0, 1, 4095, 4096, 4097, 32767, 32768, 32769, 65536, 65537, 200000};
    for (int count = 1 + (int)(check_random(random) % PIECES_MAX); count > 0; count--) {
        size_t len = lengths[check_random(random) % (sizeof lengths / sizeof lengths[0])];
        add_piece(ex, check_random(random) & 1, check_random(random) % (FILE_BYTES - len), len, wanted);
    }
}

static void answer(struct client *p)
{
    struct http_exchange *ex = p->c->ex;
    ex->res.status = 200;
    request_resume(ex, verdict_answer(0));
    client_settle(p);
}

static void check_body(struct client *p, struct slice wanted, bool is_chunked)
{
    struct slice body = client_body(p);
    struct http_chunked chunked = {0};
    size_t len = body.len, used;
    CU_ASSERT(!p->c || !p->c->ex);
    if (is_chunked)
        CHECK_NUMBER(http_chunked_decode(&chunked, (char *)(uintptr_t)body.data, body.len, &len, &used),
                     HTTP_CHUNKED_DONE);
    CU_ASSERT(slice_eq((struct slice){body.data, len}, wanted));
    CHECK_LOG("200 GET / OK;");
}

static void run_list(uint64_t *random, bool is_chunked)
{
    static const size_t takes[] = {0, 3000, 16385, 65536, 100001};
    struct client p = {.take = takes[check_random(random) % (sizeof takes / sizeof takes[0])]};
    struct buf wanted = {0};
    struct http_exchange *ex = client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    add_pieces(ex, random, &wanted);
    if (is_chunked)
        ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    answer(&p);
    check_body(&p, buf_slice(&wanted), is_chunked);
    client_leave(&p);
    client_free(&p);
    buf_free(&wanted);
}

static void lists_of(const char *settings, bool is_chunked)
{
    uint64_t random = 7;
    begin(settings);
    for (int i = 0; i < LISTS; i++)
        run_list(&random, is_chunked);
    end();
}

static void of_all_kinds(void)
{
    lists_of("sendfile off;", false);
    lists_of("sendfile on;", false);
    lists_of("sendfile on; sendfile_max_chunk 10k;", false);
    lists_of("sendfile on;", true);
}

static void through_a_filter(void)
{
    lists_of("sub_filter nowhere there; sub_filter_types *;", true);
}

/* The other clients' turn comes after so much of one's body. */
static void in_shares(const char *settings, bool is_chunked, size_t share)
{
    struct client p = {0};
    struct buf wanted = {0};
    begin(settings);
    struct http_exchange *ex = client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    add_piece(ex, true, 0, FILE_BYTES, &wanted);
    if (is_chunked)
        ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    ex->res.status = 200;
    request_resume(ex, verdict_answer(0));
    p.room = SIZE_MAX;
    bench_end_turn();
    size_t turns = 1, before = client_body(&p).len;
    CU_ASSERT(before > 0 && before < share + (64 << 10));
    for (; p.c->ex && client_turn(&p); turns++) {
        CU_ASSERT(client_body(&p).len - before < share + (64 << 10));
        before = client_body(&p).len;
    }
    CU_ASSERT(turns >= FILE_BYTES / share && turns <= FILE_BYTES / share + 2);
    check_body(&p, buf_slice(&wanted), is_chunked);
    client_leave(&p);
    client_free(&p);
    buf_free(&wanted);
    end();
}

static void not_more_than_its_share(void)
{
    in_shares("sendfile on; sendfile_max_chunk 0;", false, SEND_AT_ONCE_BYTES);
    in_shares("sendfile on; sendfile_max_chunk 128k;", false, 128 << 10);
    in_shares("sendfile off; sendfile_max_chunk 0;", false, SEND_AT_ONCE_BYTES);
    in_shares("sendfile on; sendfile_max_chunk 0;", true, 512 << 10);
}

/* The file was cut short in the meantime: the client must see that the body is not whole. */
static void of_a_file_cut_short(const char *settings)
{
    struct client p = {0};
    struct buf wanted = {0};
    begin(settings);
    struct http_exchange *ex = client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    add_piece(ex, true, FILE_BYTES - 100000, 100000, &wanted);
    CU_ASSERT(ftruncate(file, FILE_BYTES - 1) == 0);
    answer(&p);
    CHECK_NUMBER(p.closed, 1);
    CU_ASSERT(client_has(&p, "Content-Length: 100000\r\n") ||
              client_has(&p, "\r\nTransfer-Encoding: chunked"));
    struct slice body = client_body(&p);
    struct http_chunked chunked = {0};
    size_t len = body.len, used;
    if (!client_has(&p, "Content-Length"))
        CHECK_NUMBER(http_chunked_decode(&chunked, (char *)(uintptr_t)body.data, body.len, &len, &used),
                     HTTP_CHUNKED_MORE);
    CU_ASSERT(slice_starts(buf_slice(&wanted), (struct slice){body.data, len}));
    CHECK_ERRORS("file is shorter than it was when its answer began; closing the connection");
    CHECK_LOG("200 GET / ;");
    client_free(&p);
    buf_free(&wanted);
    end();
}

static void of_files_cut_short(void)
{
    of_a_file_cut_short("sendfile on;");
    of_a_file_cut_short("sendfile off;");
    of_a_file_cut_short("sub_filter nowhere there; sub_filter_types *;");
}

/* The n-th call on the stream fails. True when there were so many. */
static bool fail_at(int n, int error)
{
    struct client p = {.take = 50000, .fail_at = n, .error = error};
    struct buf wanted = {0};
    struct http_exchange *ex = client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    add_piece(ex, false, 0, 10000, &wanted);
    add_piece(ex, true, 5, 150000, &wanted);
    add_piece(ex, false, 10, 20000, &wanted);
    answer(&p);
    bool failed = p.calls >= n;
    if (!failed || !is_for_good(error)) {
        check_body(&p, buf_slice(&wanted), false);
    } else {
        CHECK_NUMBER(p.closed, 1);
        CU_ASSERT(slice_starts(buf_slice(&wanted), client_body(&p)));
        CHECK_LOG(client_body(&p).len < buf_len(&wanted) ? "200 GET / ;" : "200 GET / OK;");
    }
    if (p.c)
        client_leave(&p);
    CHECK_NUMBER(p.closed, 1);
    client_free(&p);
    buf_free(&wanted);
    return failed;
}

static void while_calls_fail(void)
{
    static const int errors[] = {EPIPE, ECONNRESET, EAGAIN, EINTR, EIO};
    static const char *const settings[] = {"sendfile on;", "sendfile off;"};
    for (size_t i = 0; i < 2 * sizeof errors / sizeof errors[0]; i++) {
        int n = 1;
        begin(settings[i % 2]);
        while (fail_at(n, errors[i / 2]))
            n++;
        CU_ASSERT(n > 5);
        end();
    }
}

static const struct check_case cases[] = {{"pieces of all kinds", of_all_kinds},
                                          {"pieces through a filter", through_a_filter},
                                          {"a client's share of a turn", not_more_than_its_share},
                                          {"a file cut short", of_files_cut_short},
                                          {"calls that fail", while_calls_fail}};

CHECK_MAIN("pieces", cases)
