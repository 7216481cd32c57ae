/*
 * tests/unit/http/request/test_template.c - texts with variables: compiling, every variable's value, and the escapes of logs.
 */
#include "http/request/template.h"
#include "tests/unit/http/wire/head_help.h"

#include "http/request/variables.h"

struct fixture {
    struct http_exchange ex;
    char scratch[1000];
};

static const uint64_t now_ms = 5250;

static const struct http_peer *peer_of(struct http_exchange *ex)
{
    static const struct http_peer peer = {.remote_addr = {"192.0.2.7", 9},
                                          .remote_port = {"4711", 4},
                                          .server_addr = {"127.0.0.1", 9},
                                          .server_port = {"8080", 4},
                                          .remote_binary = {192, 0, 2, 7},
                                          .remote_binary_len = 4};
    (void)ex;
    return &peer;
}

static const char head[] =
    "GET /a%20b?x=1&Name=v%20w HTTP/1.1\r\nHost: Example.ORG:81\r\nUser-Agent: agent \"7\"\r\nCookie: k=v; sid=abc; k=w\r\n"
    "Authorization: Basic Ym9iOnNlY3JldA==\r\nContent-Type: text/x\r\nContent-Length: 7\r\n\r\n";

static void set_up(struct fixture *f)
{
    struct http_error error;
    memset(f, 0, sizeof *f);
    arena_init(&f->ex.arena, 4096);
    CU_ASSERT_FATAL(
        http_parse_head(&f->ex.req, &f->ex.arena, head, sizeof head - 1, &http_parse_defaults, &error));
    f->ex.client.peer = peer_of;
    f->ex.client.own = peer_of;
    f->ex.now_ms = &now_ms;
    f->ex.start_ms = 4000;
    f->ex.res.status = 404;
    f->ex.res.content_type = SLICE("text/html");
    f->ex.res.content_length = 12;
    f->ex.request_bytes = 300;
    f->ex.sent.head = 100;
    f->ex.sent.body = 12;
    f->ex.client.connection_id = 42;
    f->ex.client.requests = 3;
    f->ex.route.server_name = SLICE("first.example.org");
    http_add_header(&f->ex.res, &f->ex.arena, SLICE("X-Answer"), SLICE("yes"));
}

static void check_expands(struct fixture *f, const char *text, const char *wanted)
{
    struct slice unknown;
    struct http_template *t = http_template_compile(&f->ex.arena, slice_of(text), NULL, &unknown);
    CHECK_FOR(text, t != NULL);
    if (t)
        check_slice(http_template_expand(t, &f->ex), slice_of(wanted), text, __FILE__, __LINE__);
}

static void plain_text_stays(void)
{
    struct fixture f;
    set_up(&f);
    check_expands(&f, "", "");
    check_expands(&f, "plain", "plain");
    arena_free(&f.ex.arena);
}

static void variables_of_the_request(void)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"$request_method $uri", "GET /a b"},
        {"$document_uri", "/a b"},
        {"$request_uri", "/a%20b?x=1&Name=v%20w"},
        {"$request", "GET /a%20b?x=1&Name=v%20w HTTP/1.1"},
        {"$args$is_args", "x=1&Name=v%20w?"},
        {"$query_string", "x=1&Name=v%20w"},
        {"$arg_x|$arg_name|$arg_none", "1|v%20w|"},
        {"$host", "example.org"},
        {"$http_host", "Example.ORG:81"},
        {"$http_user_agent", "agent \"7\""},
        {"$http_none", ""},
        {"$content_type $content_length", "text/x 7"},
        {"$cookie_sid $cookie_k", "abc v"},
        {"[$cookie_si]", "[]"},
        {"$remote_user", "bob"},
        {"$server_protocol $scheme", "HTTP/1.1 http"},
        {"$request_length", "300"},
        {"$remote_addr:$remote_port", "192.0.2.7:4711"},
        {"$server_addr:$server_port", "127.0.0.1:8080"},
        {"$server_name", "first.example.org"},
        {"$connection/$connection_requests", "42/3"},
        {"$pipe", "."},
    };
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_expands(&f, cases[i].text, cases[i].wanted);
    arena_free(&f.ex.arena);
}

static void variables_of_the_answer(void)
{
    struct fixture f;
    set_up(&f);
    check_expands(&f, "$status", "404");
    check_expands(&f, "$body_bytes_sent $bytes_sent", "12 112");
    check_expands(&f, "$request_time", "1.250");
    check_expands(&f, "$sent_http_content_type", "text/html");
    check_expands(&f, "$sent_http_content_length", "12");
    check_expands(&f, "$sent_http_x_answer", "yes");
    check_expands(&f, "[$sent_http_location]", "[]");
    f.ex.res.status = 0;
    check_expands(&f, "$status", "000");
    arena_free(&f.ex.arena);
}

static void braces_end_a_name(void)
{
    struct fixture f;
    set_up(&f);
    check_expands(&f, "${status}x", "404x");
    check_expands(&f, "a${status}${pipe}", "a404.");
    arena_free(&f.ex.arena);
}

static void unknown_variables_are_named(void)
{
    static const struct {
        const char *text, *name;
    } cases[] = {{"$nope", "nope"},
                 {"a ${nope}b", "nope"},
                 {"$statusx", "statusx"},
                 {"$Statu", "Statu"},
                 {"$status $x-y", "x"},
                 {"$", ""},
                 {"a$$", ""},
                 {"${}", ""},
                 {"$-", ""},
                 {"${pipe", "{pipe"},
                 {"${pipe-}", "{pipe"}};
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice unknown = {0};
        CHECK_FOR(cases[i].text,
                  !http_template_compile(&f.ex.arena, slice_of(cases[i].text), NULL, &unknown));
        CHECK_SLICE(unknown, cases[i].name);
    }
    arena_free(&f.ex.arena);
}

static void captures_are_variables(void)
{
    struct fixture f;
    struct slice why, unknown;
    set_up(&f);
    struct http_regex *regex = http_regex_new(&f.ex.arena, SLICE("^/(?<first>\\w)(.)(x)?"), false, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(regex);
    CU_ASSERT(http_regex_match(regex, f.ex.req.path, &f.ex.route.location_captures));
    check_expands(&f, "$1|$2|$3|$9", "a| ||");
    const struct http_capture_names captures = {SLICE("first"), NULL};
    const struct http_scope names = {&captures, NULL};
    struct http_template *t = http_template_compile(&f.ex.arena, SLICE("<$first>"), &names, &unknown);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    CHECK_SLICE(http_template_expand(t, &f.ex), "<>");
    http_keep_named(&f.ex, &f.ex.route.location_captures);
    CHECK_SLICE(http_template_expand(t, &f.ex), "<a>");
    /* The last writer counts, whatever has matched. */
    http_set_named(&f.ex, SLICE("FIRST"), SLICE("z"));
    CHECK_SLICE(http_template_expand(t, &f.ex), "<z>");
    http_regex_free(regex);
    arena_free(&f.ex.arena);
}

static void check_logs(struct fixture *f, const char *text, enum http_escape escape, const char *wanted)
{
    struct slice unknown;
    struct buf out = {0};
    struct http_template *t = http_template_compile(&f->ex.arena, slice_of(text), NULL, &unknown);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    CU_ASSERT(http_template_log(t, escape, &f->ex, &out));
    check_slice(buf_slice(&out), slice_of(wanted), text, __FILE__, __LINE__);
    buf_free(&out);
}

static void logs_escape_what_clients_send(void)
{
    struct fixture f;
    set_up(&f);
    f.ex.req.path = SLICE("/q\"\\\n\x01\x1b\x7f\xc3\xa9~");
    check_logs(&f, "\"$uri\"", HTTP_ESCAPE_DEFAULT, "\"/q\\x22\\x5C\\x0A\\x01\\x1B\\x7F\\xC3\\xA9~\"");
    check_logs(&f, "{\"u\":\"$uri\"}", HTTP_ESCAPE_JSON,
               "{\"u\":\"/q\\\"\\\\\\n\\u0001\\u001B\x7f\xc3\xa9~\"}");
    check_logs(&f, "$uri", HTTP_ESCAPE_NONE, "/q\"\\\n\x01\x1b\x7f\xc3\xa9~");
    check_logs(&f, "[$http_none]", HTTP_ESCAPE_DEFAULT, "[-]"); /* an empty value is "-" */
    check_logs(&f, "[$http_none]", HTTP_ESCAPE_JSON, "[]");
    check_logs(&f, "lit\t\"eral\"", HTTP_ESCAPE_DEFAULT,
               "lit\t\"eral\""); /* the format's own text is as written */
    arena_free(&f.ex.arena);
}

static bool user_is(struct fixture *f, const char *authorization, const char *wanted)
{
    for (int i = 0; i < f->ex.req.header_count; i++)
        if (slice_eq_nocase(f->ex.req.headers[i].name, SLICE("Authorization")))
            f->ex.req.headers[i].value = slice_of(authorization);
    struct slice rest, user = http_find_variable(SLICE("remote_user"), &rest)->get(&f->ex, rest);
    return slice_eq(user, slice_of(wanted));
}

static void users_are_decoded_with_care(void)
{
    struct fixture f;
    set_up(&f);
    CU_ASSERT(user_is(&f, "Basic Ym9iOg==", "bob"));
    CU_ASSERT(user_is(&f, "basic Ym9iOnNlY3JldA", "bob"));
    CU_ASSERT(user_is(&f, "Basic Ym9i", "")); /* no colon, no user */
    CU_ASSERT(user_is(&f, "Basic ", ""));
    CU_ASSERT(user_is(&f, "Basic", ""));
    CU_ASSERT(user_is(&f, "Bearer Ym9iOg==", ""));
    CU_ASSERT(user_is(&f, "Basic !!!!", ""));
    CU_ASSERT(user_is(&f, "", ""));
    arena_free(&f.ex.arena);
}

static const struct check_case cases[] = {
    {"plain text stays", plain_text_stays},
    {"variables of the request", variables_of_the_request},
    {"variables of the answer", variables_of_the_answer},
    {"braces end a name", braces_end_a_name},
    {"unknown variables are named", unknown_variables_are_named},
    {"captures are variables", captures_are_variables},
    {"logs escape what clients send", logs_escape_what_clients_send},
    {"users are decoded with care", users_are_decoded_with_care},
};

CHECK_MAIN("http/template", cases)
