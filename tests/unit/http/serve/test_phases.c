/*
 * tests/unit/http/serve/test_phases.c - what the phases make of a request: which location, URI and status it ends with, by return,
 * rewrite, try_files, error_page, named locations, auth_request and satisfy, and that going round in circles has an end.
 */
#include "http/access/auth_request.h"
#include "http/client/output.h"
#include "http/request/aside.h"
#include "http/serve/redirect.h"
#include "http/serve/serve.h"
#include "http/serve/try_files.h"
#include "tests/unit/handlers/script_source.h"

/* A request for the path, and what becomes of it. error: in the error log; empty: nothing is. */
struct way {
    const char *path, *log, *body, *error;
};

static void go(const struct way *way)
{
    char head[300];
    struct client p = {0};
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", way->path);
    client_connect(&p);
    client_say(&p, slice_of(head));
    CHECK_FOR(way->path, !p.c || !p.c->ex);
    const char *log = bench_log();
    CHECK_LOG_FOR(way->path, log, strcmp(log, way->log) == 0);
    if (way->body)
        CHECK_FOR(way->path, client_has(&p, way->body));
    const char *errors = bench_errors();
    CHECK_FOR(way->path, way->error ? strstr(errors, way->error) != NULL : !*errors);
    if (p.c)
        client_leave(&p);
    client_free(&p);
}

static void go_all(const char *server, const struct way *ways, size_t count)
{
    bench_open("", server);
    bench_add_file("hello.txt", SLICE("hello"));
    bench_add_file("e404.txt", SLICE("nothing here"));
    for (size_t i = 0; i < count; i++)
        go(&ways[i]);
    bench_close();
}

#define GO_ALL(server, ways) go_all((server), (ways), sizeof(ways) / sizeof(ways)[0])

static void by_return_and_rewrite(void)
{
    static const struct way ways[] = {
        {"/r/x", "200 GET /r/x OK;", "r of /r/x", NULL},
        {"/gone", "410 GET /gone OK;", "410 Gone", NULL},
        {"/redir", "301 GET /redir OK;", "Location: http://h/to\r\n", NULL},
        {"/cut", "444 GET /cut ;", NULL, NULL},
        {"/last/y", "200 GET /r/y OK;", "r of /r/y", NULL},
        {"/break", "200 GET /hello.txt OK;", "hello", NULL},
        {"/away", "302 GET /away OK;", "Location: http://h/else?q\r\n", NULL},
        {"/if?a=1", "201 GET /if OK;", "one", NULL},
        {"/if?a=2", "202 GET /if OK;", "other", NULL},
        {"/set", "200 GET /set OK;", "1122", NULL},
        {"/chain/0", "200 GET /r/end OK;", "r of /r/end", NULL},
        {"/loop", "500 GET /loop OK;", NULL,
         "rewrite or internal redirection cycle while processing \"/loop\""},
        {"/none", "404 GET /none OK;", NULL, "No such file or directory"},
    };
    GO_ALL("location /r/ { return 200 'r of $uri\n'; }"
           "location /gone { return 410; }"
           "location /redir { return 301 /to; }"
           "location /cut { return 444; }"
           "location /last/ { rewrite ^/last/(.*)$ /r/$1 last; return 500; }"
           "location /break { rewrite ^ /hello.txt break; return 500; }"
           "location /away { rewrite ^ /else?q redirect; }"
           "location /if { if ($arg_a = 1) { return 201 one; } return 202 other; }"
           "location /set { set $x 1; set $x '${x}1'; set $y 22; return 200 $x$y; }"
           "location /chain/ { rewrite ^/chain/0$ /chain/1 last; rewrite ^/chain/1$ /chain/2 last;"
           "  rewrite ^/chain/2$ /r/end last; }"
           "location /loop { rewrite ^ /loop last; }"
           "root .;",
           ways);
}

static void by_try_files(void)
{
    static const struct way ways[] = {
        {"/first", "200 GET /hello.txt OK;", "hello", NULL},
        {"/hello", "200 GET /hello.txt OK;", "hello", NULL},
        {"/code", "404 GET /code OK;", NULL, NULL},
        {"/unanswered", "444 GET /unanswered ;", NULL, NULL},
        {"/named", "200 GET /named OK;", "named for /named", NULL},
        {"/uri?a", "200 GET /shown OK;", "shown with b", NULL},
        {"/nobody", "500 GET /nobody OK;", NULL, "could not find named location \"@nobody\""},
        {"/round", "500 GET /round OK;", NULL,
         "rewrite or internal redirection cycle while internally redirecting to \"/round\""},
        {"/enter", "500 GET /enter OK;", NULL,
         "rewrite or internal redirection cycle while redirect to named location \"@ring\""},
        {"/shown", "404 GET /shown OK;", NULL, NULL},
    };
    GO_ALL("location /first { try_files /none /hello.txt =404; }"
           "location /hello { try_files $uri.txt =404; }"
           "location /code { try_files /none =404; }"
           "location /unanswered { try_files /none =444; }"
           "location /named { try_files /none @named; } location @named { return 200 'named for $uri'; }"
           "location /uri { try_files /none /shown?b; }"
           "location /shown { internal; return 200 'shown with $args'; }"
           "location /nobody { try_files /none @nobody; }"
           "location /round { try_files /none /round; }"
           "location /enter { try_files /none @ring; } location @ring { try_files /none @ring; }"
           "root .;",
           ways);
}

/* It chooses once, though the phases run again for a body: a file that it has chosen has no other behind it. */
static void by_try_files_with_a_body(void)
{
    struct client p = {0};
    bench_open("", "location / { root .; try_files $uri.txt =404; }");
    bench_add_file("hello.txt", SLICE("hello"));
    client_connect(&p);
    client_say(&p, SLICE("POST /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"));
    CHECK_LOG("405 POST /hello.txt OK;");
    client_leave(&p);
    client_free(&p);
    bench_close();
}

static void by_error_pages(void)
{
    static const struct way ways[] = {
        {"/page", "404 GET /e404.txt OK;", "nothing here", NULL},
        {"/other", "200 GET /e404.txt OK;", "nothing here", NULL},
        {"/own", "201 GET /created OK;", "created for 201", NULL},
        {"/shows", "404 GET /created OK;", "created for 404", NULL},
        {"/away", "302 GET /away OK;", "Location: https://elsewhere/\r\n", NULL},
        {"/moved", "301 GET /moved OK;", "Location: https://elsewhere/\r\n", NULL},
        {"/named", "403 GET /named OK;", "named for 403", NULL},
        {"/missing", "404 GET /no/such OK;", "404 Not Found", "No such file or directory"},
        {"/empty", "404 GET /empty OK;", "404 Not Found", NULL},
        {"/recursive", "404 GET /e404.txt OK;", "nothing here", NULL},
        {"/ring", "500 GET /ring OK;", "500 Internal",
         "rewrite or internal redirection cycle while internally redirecting to \"/ring\""},
        {"/nobody", "500 GET /nobody OK;", "500 Internal", "could not find named location \"@nobody\""},
    };
    GO_ALL(
        "location /page { error_page 404 /e404.txt; return 404; }"
        "location /other { error_page 404 =200 /e404.txt; return 404; }"
        "location /own { error_page 404 = /created; return 404; }"
        "location /shows { error_page 404 /created; return 404; }"
        "location /created { return 201 'created for $status'; }"
        "location /away { error_page 404 https://elsewhere/; return 404; }"
        "location /moved { error_page 404 =301 https://elsewhere/; return 404; }"
        "location /named { error_page 403 @named; return 403; } location @named { return 200 'named for $status'; }"
        "location /missing { error_page 404 /no/such; return 404; }"
        "location /empty { error_page 404 $arg_none; return 404; }"
        "location /recursive { recursive_error_pages on; error_page 404 /second; return 404; }"
        "location /second { recursive_error_pages on; error_page 410 =404 /e404.txt; return 410; }"
        "location /ring { recursive_error_pages on; error_page 404 /ring; return 404; }"
        "location /nobody { error_page 404 @nobody; return 404; }"
        "root .;",
        ways);
}

static void by_access(void)
{
    static const struct way ways[] = {
        {"/yes", "200 GET /hello.txt OK;", "hello", NULL},
        {"/yes/file", "200 GET /hello.txt OK;", "hello", NULL},
        {"/no401", "401 GET /no401 OK;", "401 Authorization Required", NULL},
        {"/no403", "403 GET /no403 OK;", "403 Forbidden", NULL},
        {"/odd", "500 GET /odd OK;", NULL, "auth request unexpected status: 302"},
        {"/denied", "403 GET /denied OK;", NULL, "access forbidden by rule"},
        {"/all/denied", "403 GET /all/denied OK;", NULL, "access forbidden by rule"},
        {"/all/no", "403 GET /all/no OK;", NULL, NULL},
        {"/all/yes", "200 GET /hello.txt OK;", "hello", NULL},
        {"/any/asked", "200 GET /hello.txt OK;", "hello", NULL},
        {"/any/allowed", "200 GET /hello.txt OK;", "hello", NULL},
        {"/any/none", "403 GET /any/none OK;", NULL, "access forbidden by rule"},
        {"/any/401", "401 GET /any/401 OK;", NULL, NULL},
        {"/page", "403 GET /e404.txt OK;", "nothing here", NULL},
        {"/asks-itself", "500 GET /asks-itself OK;", NULL, "auth request unexpected status: 404"},
    };
    GO_ALL(
        "location = /a/204 { internal; return 204; } location = /a/401 { internal; return 401; }"
        "location = /a/403 { internal; return 403; } location = /a/302 { internal; return 302 /; }"
        "location /yes { auth_request /a/204; try_files /hello.txt =404; }"
        "location = /a/file { internal; deny all; alias ./hello.txt; }"
        "location /yes/file { auth_request /a/file; try_files /hello.txt =404; }"
        "location /no401 { auth_request /a/401; try_files /hello.txt =404; }"
        "location /no403 { auth_request /a/403; try_files /hello.txt =404; }"
        "location /odd { auth_request /a/302; try_files /hello.txt =404; }"
        "location /denied { deny 192.0.2.1; try_files /hello.txt =404; }"
        "location /all/denied { deny all; auth_request /a/204; try_files /hello.txt =404; }"
        "location /all/no { allow all; auth_request /a/403; try_files /hello.txt =404; }"
        "location /all/yes { allow 192.0.2.1; deny all; auth_request /a/204; try_files /hello.txt =404; }"
        "location /any/asked { satisfy any; deny all; auth_request /a/204; try_files /hello.txt =404; }"
        "location /any/allowed { satisfy any; allow 192.0.2.0/24; auth_request /a/403; try_files /hello.txt =404; }"
        "location /any/none { satisfy any; deny all; auth_request /a/403; try_files /hello.txt =404; }"
        "location /any/401 { satisfy any; deny all; auth_request /a/401; try_files /hello.txt =404; }"
        "location /page { auth_request /a/403; error_page 403 /e404.txt; try_files /hello.txt =404; }"
        "location /asks-itself { auth_request /none; try_files /hello.txt =404; }"
        "root .;",
        ways);
}

/* --- one verdict at a time --- */

#define HEAD(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* It goes on with this verdict, to its end. */
static void let_go(struct client *p, struct verdict v)
{
    p->c->ex->state = REQUEST_HANDLER; /* as it is held */
    request_resume(p->c->ex, v);
    CHECK_NUMBER(p->c->ex->state, REQUEST_READY);
    client_settle(p);
    client_leave(p);
    client_free(p);
}

static void internal_redirects(void)
{
    struct client p = {0};
    bench_open("", "location /to { return 200 '$uri $args'; } location @n { return 200 named; }");
    struct http_exchange *ex = client_hold(&p, HEAD("/from?x=1"));
    struct verdict v = request_redirect(ex, SLICE("/to?y=2"));
    CHECK_NUMBER(v.kind, VERDICT_ROUTE);
    CHECK_SLICE(ex->req.path, "/to");
    CHECK_SLICE(ex->req.args, "y=2");
    CU_ASSERT(ex->route.is_internal && ex->route.rewritten);
    CHECK_NUMBER(ex->route.redirects, 1);
    v = request_redirect(ex, SLICE("@n"));
    CHECK_NUMBER(v.kind, VERDICT_AGAIN);
    CHECK_SLICE(ex->route.location->name, "@n");
    CHECK_SLICE(ex->req.path, "/to");
    ex->state = REQUEST_RUNS;
    v = request_redirect_away(ex, SLICE("/to/../up%20here?z"));
    CHECK_NUMBER(v.kind, VERDICT_ANSWER);
    CHECK_NUMBER(v.status, 404);
    ex->state = REQUEST_RUNS;
    v = request_redirect_away(ex, SLICE("/to/%20here?z"));
    CHECK_NUMBER(v.kind, VERDICT_ROUTE);
    CHECK_SLICE(ex->req.path, "/to/ here");
    let_go(&p, v);
    CHECK_LOG("200 GET /to/ here OK;");
    bench_close();
}

static void redirects_are_counted(void)
{
    struct client p = {0};
    struct verdict v = {0};
    bench_open("", "location / { return 200 ''; } location @n { return 200 named; }");
    struct http_exchange *ex = client_hold(&p, HEAD("/"));
    for (int i = 0; i < 10; i++) {
        v = request_redirect(ex, i % 2 ? SLICE("@n") : SLICE("/"));
        CU_ASSERT(v.kind == (i % 2 ? VERDICT_AGAIN : VERDICT_ROUTE));
    }
    v = request_redirect(ex, SLICE("/over?a"));
    CHECK_NUMBER(v.kind, VERDICT_ANSWER);
    CHECK_NUMBER(v.status, 500);
    CHECK_ERRORS("cycle while internally redirecting to \"/over\"");
    let_go(&p, v);
    CHECK_LOG("500 GET / OK;");
    bench_close();
}

/* A body that has come in part cannot go on to a named location that wants it, and is dropped for one that does not. */
static void half_a_body_does_not_go_on(void)
{
    struct client p = {0};
    bench_open("", "location @n { proxy_pass http://127.0.0.1:1; } location @m { return 200 named; }");
    struct http_exchange *ex = client_hold(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    ex->body.begun = true;
    struct verdict v = request_redirect(ex, SLICE("@n"));
    CHECK_NUMBER(v.kind, VERDICT_ANSWER);
    CHECK_NUMBER(v.status, 500);
    CHECK_ERRORS("cannot go on to named location \"@n\"");
    ex->body.taken = true;
    ex->body.whole = true;
    v = request_redirect(ex, SLICE("@n"));
    CHECK_NUMBER(v.status, 500);
    ex->body.taken = false;
    v = request_redirect(ex, SLICE("@n"));
    CHECK_NUMBER(v.kind, VERDICT_AGAIN);
    ex->body.whole = false;
    ex->state = REQUEST_RUNS;
    v = request_redirect(ex, SLICE("@m"));
    CHECK_NUMBER(v.kind, VERDICT_AGAIN);
    CU_ASSERT(ex->body.whole);
    let_go(&p, v);
    CHECK_LOG("200 POST / OK;");
    bench_close();
}

static void error_pages_keep_what_belongs_to_the_status(void)
{
    struct client p = {0};
    bench_open("", "error_page 503 =200 /busy?a; location /busy { return 200 'busy $args'; }");
    struct http_exchange *ex = client_hold(&p, HEAD("/"));
    ex->res.retry_after_s = 7;
    CU_ASSERT(http_add_header(&ex->res, &ex->arena, SLICE("X"), SLICE("1")));
    ex->state = REQUEST_RUNS;
    struct verdict v = request_error_page(ex, 503);
    CHECK_NUMBER(v.kind, VERDICT_ROUTE);
    CHECK_NUMBER(ex->route.forced_status, 200);
    CHECK_NUMBER(ex->res.retry_after_s, 7);
    CU_ASSERT(!ex->res.headers && ex->route.in_error_page);
    CHECK_SLICE(ex->req.path, "/busy");
    CHECK_SLICE(ex->req.args, "a");
    ex->state = REQUEST_RUNS;
    v = request_error_page(ex, 503); /* of the page itself */
    CHECK_NUMBER(v.kind, VERDICT_SEND);
    CHECK_NUMBER(v.status, 503);
    let_go(&p, verdict_of(VERDICT_ROUTE));
    CHECK_LOG("200 GET /busy OK;");
    bench_close();
}

/* auth_request: the request is put aside whole, and comes back as it was. */
static void asking_puts_aside(void)
{
    struct client p = {0};
    bench_open("", "location / { auth_request /auth?who; root .; } location /auth { return 204; }");
    struct http_exchange *ex =
        client_hold(&p, "POST /none?q HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    const struct location *asks = ex->route.location;
    ex->res.retry_after_s = 9;
    ex->state = REQUEST_RUNS;
    struct verdict v = auth_request_ask(ex);
    CHECK_NUMBER(v.kind, VERDICT_ROUTE);
    CU_ASSERT_FATAL(ex->aside != NULL);
    CU_ASSERT(http_own_route(ex)->location == asks && !http_own_body(ex)->whole && ex->body.whole);
    CHECK_NUMBER(ex->req.method, HTTP_GET);
    CHECK_SLICE(ex->req.path, "/auth");
    CHECK_SLICE(ex->req.args, "who");
    CHECK_NUMBER(ex->res.retry_after_s, 0);
    request_route(ex);
    CU_ASSERT(ex->route.location != asks);
    v = auth_request_ended(ex, 204);
    CHECK_NUMBER(v.kind, VERDICT_AGAIN);
    CU_ASSERT(!ex->aside && ex->route.location == asks && !ex->body.whole);
    CHECK_NUMBER(ex->req.method, HTTP_POST);
    CHECK_SLICE(ex->req.path, "/none");
    CHECK_SLICE(ex->req.args, "q");
    CHECK_NUMBER(ex->res.retry_after_s, 9);
    CHECK_NUMBER(ex->access.status, 204);
    let_go(&p, v);
    CHECK_LOG("404 POST /none OK;");
    bench_close();
}

/* A client that leaves while another location is asked: the log has the request that it has sent. */
static void leaving_while_asked(void)
{
    struct client p = {0};
    bench_open("", "location / { auth_request /auth; root .; } location /auth { return 204; }");
    struct http_exchange *ex = client_hold(&p, "POST /mine HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    ex->state = REQUEST_RUNS;
    auth_request_ask(ex);
    request_route(ex);
    client_leave(&p);
    CHECK_LOG("499 POST /mine ;");
    client_free(&p);
    bench_close();
}

static const struct check_case cases[] = {
    {"return and rewrite", by_return_and_rewrite},
    {"try_files", by_try_files},
    {"try_files, with a body", by_try_files_with_a_body},
    {"error_page", by_error_pages},
    {"allow, deny, auth_request, satisfy", by_access},
    {"internal redirects", internal_redirects},
    {"internal redirects are counted", redirects_are_counted},
    {"half a body does not go on", half_a_body_does_not_go_on},
    {"an error page keeps what belongs to the status", error_pages_keep_what_belongs_to_the_status},
    {"asking another location puts the request aside", asking_puts_aside},
    {"leaving while another location is asked", leaving_while_asked}};

CHECK_MAIN("phases", cases)
