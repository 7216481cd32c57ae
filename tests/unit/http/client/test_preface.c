/*
 * tests/unit/http/client/test_preface.c - whether a client speaks HTTP/2, by its first bytes: each prefix of the preface leaves it open,
 * and any other byte settles it; and where it cannot be is not looked.
 */
#include "http/client/preface.h"

#include "tests/unit/http/bench_client.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum { PREFACE_BYTES = sizeof preface - 1 };

static struct client open_client(const char *server)
{
    struct client p = {0};
    bench_open("", server);
    return p;
}

static enum preface ask(const struct client *p, const char *text, size_t len)
{
    /* Flush against the end of a block of its own. */
    char *copy = malloc(len);
    if (len)
        memcpy(copy, text, len);
    enum preface said = connection_preface(p->c, (struct slice){copy, len});
    free(copy);
    return said;
}

static void of_all_prefixes(void)
{
    char more[PREFACE_BYTES + 9];
    struct client p = open_client("http2 on; location / { return 200 x; }");
    client_connect(&p);
    memcpy(more, preface, PREFACE_BYTES);
    memset(more + PREFACE_BYTES, 0, sizeof more - PREFACE_BYTES);
    CHECK_NUMBER(ask(&p, "", 0), PREFACE_NONE);
    for (size_t n = 1; n < PREFACE_BYTES; n++)
        CHECK_NUMBER(ask(&p, preface, n), PREFACE_MORE);
    for (size_t n = PREFACE_BYTES; n <= sizeof more; n++)
        CHECK_NUMBER(ask(&p, more, n), PREFACE_IS_HTTP2);
    client_leave(&p);
    client_free(&p);
    bench_close();
}

static void with_one_byte_changed(void)
{
    char text[PREFACE_BYTES];
    struct client p = open_client("http2 on; location / { return 200 x; }");
    client_connect(&p);
    for (size_t at = 0; at < PREFACE_BYTES; at++) {
        for (int by = 1; by < 256; by <<= 1) {
            memcpy(text, preface, sizeof text);
            text[at] = (char)(text[at] ^ by);
            for (size_t n = 1; n <= PREFACE_BYTES; n++)
                CU_ASSERT(ask(&p, text, n) == (n <= at ? PREFACE_MORE : PREFACE_NONE));
        }
    }
    client_leave(&p);
    client_free(&p);
    bench_close();
}

/* Where HTTP/2 is off, and where the handshake has to say so. */
static void where_it_cannot_be(void)
{
    struct client p = open_client("http2 off; location / { return 200 x; }");
    client_connect(&p);
    CHECK_NUMBER(ask(&p, preface, PREFACE_BYTES), PREFACE_NONE);
    CHECK_NUMBER(ask(&p, preface, 1), PREFACE_NONE);
    struct site_listen listen = *bench.listener.listen;
    bench.listener.listen = &listen;
    listen.http2 = true; /* listen ... http2 */
    CHECK_NUMBER(ask(&p, preface, PREFACE_BYTES), PREFACE_IS_HTTP2);
    listen.tls = true;
    CHECK_NUMBER(ask(&p, preface, PREFACE_BYTES), PREFACE_NONE);
    CHECK_NUMBER(ask(&p, preface, 1), PREFACE_NONE);
    listen.tls = listen.http2 = false;
    client_leave(&p);
    client_free(&p);
    bench_close();
}

/* One that is cut anywhere, or comes byte by byte, with the frames behind it. */
static void in_pieces(void)
{
    static const char frames[] = "\0\0\0\4\0\0\0\0\0";
    char text[PREFACE_BYTES + sizeof frames - 1];
    struct client p = open_client("http2 on; location / { return 200 x; }");
    memcpy(text, preface, PREFACE_BYTES);
    memcpy(text + PREFACE_BYTES, frames, sizeof frames - 1);
    for (size_t cut = 1; cut < sizeof text; cut++) {
        p = (struct client){.input = {text, sizeof text}, .first = cut};
        p.piece = cut % 2 ? 0 : 1;
        client_connect(&p);
        client_run(&p);
        CU_ASSERT(p.c && p.c->session);
        client_leave(&p);
        client_free(&p);
    }
    bench_close();
}

/* What begins like it is a request of HTTP/1 like any other, and refused as that. */
static void of_almost_one(void)
{
    struct client p = open_client("http2 on; location / { return 200 x; }");
    p.input = SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r!");
    client_connect(&p);
    client_run(&p);
    CHECK_CODES(&p, "505");
    CU_ASSERT(!p.c || !p.c->session);
    if (p.c)
        client_leave(&p);
    client_free(&p);
    (void)bench_log();
    bench_close();
}

static const struct check_case cases[] = {{"each prefix leaves it open", of_all_prefixes},
                                          {"one byte changed settles it", with_one_byte_changed},
                                          {"where HTTP/2 cannot be", where_it_cannot_be},
                                          {"cut anywhere", in_pieces},
                                          {"almost a preface", of_almost_one}};

CHECK_MAIN("preface", cases)
