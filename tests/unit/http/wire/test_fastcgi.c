/*
 * tests/unit/http/wire/test_fastcgi.c - FastCGI's records: what is written, byte for byte; what is read, wherever it is cut; and a script's
 * head.
 */
#include "http/wire/fastcgi.h"
#include "http/wire/response_head.h"

#include "tests/unit/check.h"

#define HEAD(type, length, padding) "\1" type "\0\1" length padding "\0"

static void check_bytes(struct slice got, struct slice wanted)
{
    CHECK_NUMBER(got.len, wanted.len);
    CU_ASSERT(got.len == wanted.len && memcmp(got.data, wanted.data, wanted.len) == 0);
}

static void requests(void)
{
    struct buf out = {0}, params = {0};
    CU_ASSERT(fastcgi_write_begin(&out, false));
    check_bytes(buf_slice(&out), SLICE("\1\1\0\1\0\x08\0\0\0\1\0\0\0\0\0\0"));
    buf_free(&out);
    CU_ASSERT(fastcgi_write_begin(&out, true));
    CU_ASSERT(out.data[out.start + 10] == 1);
    buf_free(&out);
    CU_ASSERT(fastcgi_write_pair(&params, SLICE("A"), SLICE("bc")));
    check_bytes(buf_slice(&params), SLICE("\1\2Abc"));
    CU_ASSERT(fastcgi_write_stream(&out, FASTCGI_PARAMS, buf_slice(&params)) &&
              fastcgi_write_end(&out, FASTCGI_PARAMS));
    check_bytes(buf_slice(&out), SLICE("\1\4\0\1\0\5\3\0\1\2Abc\0\0\0\1\4\0\1\0\0\0\0"));
    buf_free(&out);
    buf_free(&params);
    CU_ASSERT(fastcgi_write_stream(&out, FASTCGI_STDIN, SLICE("")) && buf_len(&out) == 0);
}

/* One byte up to 127, four from there on. */
static void lengths(void)
{
    static const size_t sizes[] = {0, 127, 128, 65535, 65536, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buf params = {0};
        char *value = calloc(1, sizes[i] + 1);
        CU_ASSERT(fastcgi_write_pair(&params, SLICE("N"), (struct slice){value, sizes[i]}));
        const unsigned char *p = (const unsigned char *)params.data + params.start;
        size_t said = sizes[i] < 128 ? p[1] : ((p[1] & 0x7fU) << 24 | p[2] << 16 | p[3] << 8 | p[4]);
        CHECK_NUMBER(said, sizes[i]);
        CHECK_NUMBER(buf_len(&params), sizes[i] + (sizes[i] < 128 ? 3 : 6));
        free(value);
        buf_free(&params);
    }
}

/* Records begin where eight bytes do, and hold no more than they can. */
static void much(void)
{
    enum { BYTES = 200001 };
    char *data = malloc(BYTES);
    struct buf out = {0};
    memset(data, 'x', BYTES);
    CU_ASSERT(fastcgi_write_stream(&out, FASTCGI_STDIN, (struct slice){data, BYTES}));
    size_t content = 0;
    for (size_t at = 0; at < buf_len(&out);) {
        const unsigned char *h = (const unsigned char *)out.data + out.start + at;
        size_t len = (size_t)(h[4] << 8 | h[5]);
        CU_ASSERT(h[0] == 1 && h[1] == FASTCGI_STDIN && (len + h[6]) % 8 == 0);
        content += len;
        at += FASTCGI_HEAD_BYTES + len + h[6];
    }
    CHECK_NUMBER(content, BYTES);
    buf_free(&out);
    free(data);
}

static const char response[] = HEAD("\7", "\0\4", "\1") "oops\0" HEAD("\6", "\0\3", "\2") "abc\0\0" HEAD(
    "\6", "\0\2", "\0") "de" HEAD("\6", "\0\0", "\0") HEAD("\3", "\0\x08", "\0") "\0\0\0\0\0\0\0\0";

/* In two pieces, cut at each byte. */
static void responses(void)
{
    struct slice whole = {response, sizeof response - 1};
    for (size_t cut = 0; cut <= whole.len; cut++) {
        struct fastcgi_reader r = {0};
        char text[sizeof response];
        const char *why = NULL;
        size_t first = 0, second = 0;
        memcpy(text, whole.data, whole.len);
        CU_ASSERT(fastcgi_read(&r, text, cut, &first, &why));
        CU_ASSERT(!r.is_over || cut == whole.len);
        CU_ASSERT(fastcgi_read(&r, text + cut, whole.len - cut, &second, &why));
        memmove(text + first, text + cut, second);
        check_bytes(((struct slice){text, first + second}), SLICE("abcde"));
        check_bytes(buf_slice(&r.errors), SLICE("oops"));
        CU_ASSERT(r.is_over && r.output_is_over);
        fastcgi_reader_free(&r);
    }
}

/* What is behind an end is left out, and seen. */
static void surplus(void)
{
    static const struct slice cases[] = {{HEAD("\3", "\0\0", "\0") "x", 9},
                                         {HEAD("\6", "\0\0", "\0") HEAD("\6", "\0\1", "\0") "x", 17}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fastcgi_reader r = {0};
        char text[32];
        const char *why = NULL;
        size_t left;
        memcpy(text, cases[i].data, cases[i].len);
        CU_ASSERT(fastcgi_read(&r, text, cases[i].len, &left, &why));
        CU_ASSERT(left == 0 && r.has_surplus);
        fastcgi_reader_free(&r);
    }
}

static void no_responses(void)
{
    static const struct slice wrong[] = {
        {"\2\6\0\1\0\0\0\0", 8}, {"\1\6\1\1\0\0\0\0", 8}, {"\1\6\0\2\0\0\0\0", 8}, {"\1\1\0\1\0\0\0\0", 8}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct fastcgi_reader r = {0};
        char text[16];
        const char *why = NULL;
        size_t left;
        memcpy(text, wrong[i].data, wrong[i].len);
        CU_ASSERT(!fastcgi_read(&r, text, wrong[i].len, &left, &why) && why);
        fastcgi_reader_free(&r);
    }
}

static void heads(void)
{
    static const struct {
        const char *text;
        int status;
        enum http_response_framing framing;
        size_t head_len;
    } cases[] = {{"A: 1\r\n\r\nx", 200, HTTP_RESPONSE_UNTIL_CLOSE, 8},
                 {"\r\nx", 200, HTTP_RESPONSE_UNTIL_CLOSE, 2},
                 {"\nx", 200, HTTP_RESPONSE_UNTIL_CLOSE, 1},
                 {"Location: /a\n\n", 302, HTTP_RESPONSE_UNTIL_CLOSE, 14},
                 {"Location: /a\nStatus: 200 OK\n\n", 200, HTTP_RESPONSE_UNTIL_CLOSE, 29},
                 {"Status: 304\n\n", 304, HTTP_RESPONSE_EMPTY, 13},
                 {"Content-Length: 3\n\nabc", 200, HTTP_RESPONSE_LENGTH, 19},
                 {"Transfer-Encoding: chunked\n\n", 200, HTTP_RESPONSE_UNTIL_CLOSE, 28}};
    static struct http_response_head head;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *why = NULL;
        size_t head_len = 0, len = strlen(cases[i].text);
        for (size_t cut = 1; cut < cases[i].head_len; cut++)
            CHECK_FOR(cases[i].text, http_parse_cgi_head(&head, cases[i].text, cut, false, &head_len, &why) ==
                                         HTTP_RESPONSE_HEAD_MORE);
        CHECK_FOR(cases[i].text, http_parse_cgi_head(&head, cases[i].text, len, false, &head_len, &why) ==
                                     HTTP_RESPONSE_HEAD_DONE);
        CHECK_NUMBER(head.status, cases[i].status);
        CHECK_NUMBER(head.framing, cases[i].framing);
        CHECK_NUMBER(head_len, cases[i].head_len);
    }
}

static void no_heads(void)
{
    static const char *const wrong[] = {"Status: \n\n",    "Status: 99\n\n",   "Status: 199 x\n\n",
                                        "Status: 600\n\n", "Status: 2000\n\n", "Status: 20x\n\n",
                                        "no field\n\n",    "A : 1\n\n",        "Content-Length: x\n\n"};
    static struct http_response_head head;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *why = NULL;
        size_t head_len;
        CHECK_FOR(wrong[i], http_parse_cgi_head(&head, wrong[i], strlen(wrong[i]), false, &head_len, &why) ==
                                HTTP_RESPONSE_HEAD_BAD);
        CHECK_FOR(wrong[i], why != NULL);
    }
}

static const struct check_case cases[] = {{"requests", requests},
                                          {"lengths", lengths},
                                          {"much", much},
                                          {"responses, cut anywhere", responses},
                                          {"surplus", surplus},
                                          {"what is no response", no_responses},
                                          {"scripts' heads", heads},
                                          {"what is no head", no_heads}};

CHECK_MAIN("http/wire/fastcgi", cases)
