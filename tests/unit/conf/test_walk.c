/*
 * tests/unit/conf/test_walk.c - from statements to settings: what is refused, with its place and the remedy.
 *
 * Messages are checked by their parts: what it is about, and what to do. Every message ends in FILE:LINE.
 */
#include "conf/rows.h"
#include "tests/unit/conf/conf_help.h"

#include "base/log.h"

/* The text with its mistake in line 2, so that the place is told from the default. */
static void refused(const char *text, const char *wanted, const char *remedy)
{
    struct conf *conf = conf_of(text);
    check_one_error(text, wanted, remedy);
    const char *message = conf->errors.first ? conf->errors.first->message.data : "";
    size_t len = strlen(message);
    CHECK_FOR(message, len > 12 && strcmp(message + len - 12, " in master:2") == 0);
    conf_free(conf);
}

static void unknown_directives(void)
{
    refused("\nworker_proceses 2;", "unknown directive \"worker_proceses\"",
            "did you mean \"worker_processes\"?");
    refused("\nproxy_magic on;", "unknown directive \"proxy_magic\"", "docs/directives.md");
    refused("http { server {\nlisen 80; } }", "unknown directive \"lisen\"", "did you mean \"listen\"?");
    refused("\nx y;", "unknown directive \"x\"", "remove it");
}

static void wrong_places(void)
{
    refused("\nlisten 80;", "\"listen\" directive is not allowed here", "its place is: server");
    refused("http {\nworker_processes 2; }", "\"worker_processes\" directive is not allowed here", "main");
    refused("http { server {\nalias /x; } }", "\"alias\" directive is not allowed here", "location");
    refused("events {\nsendfile on; }", "\"sendfile\" directive is not allowed here",
            "http, server, location");
    refused("http { server { location / {\nlisten 80; } } }", "not allowed here", "server");
}

static void wrong_shapes(void)
{
    refused("http { \nserver; }", "directive \"server\" has no opening \"{\"", "{");
    refused("\ndaemon on { }", "\"daemon\" is not terminated by \";\"", "no block");
    refused("\ndaemon;", "invalid number of arguments in \"daemon\"", "exactly 1");
    refused("\ndaemon on off;", "invalid number of arguments in \"daemon\"", "daemon on | off;");
    refused("\nuser a b c;", "invalid number of arguments in \"user\"", "1 to 2");
    refused("http {\nindex; }", "invalid number of arguments in \"index\"", "at least 1");
    refused("http {\nserver x { } }", "invalid number of arguments in \"server\"", "no argument");
}

static void wrong_values(void)
{
    refused("\ndaemon yes;", "\"daemon\" directive invalid value \"yes\"", "it takes \"on\" or \"off\"");
    refused("\nworker_processes none;", "\"none\"", "\"auto\" or a number from 1 to 64");
    refused("\nworker_processes 0;", "\"0\"", "from 1 to 64");
    refused("\nworker_processes 65;", "\"65\"", "from 1 to 64");
    refused("\nworker_shutdown_timeout soon;", "\"soon\"", "a time");
    refused("events {\nworker_connections 0; }", "\"0\"", "it must be from 1 to");
    refused("events {\nuse kqueue; }", "\"kqueue\"", "\"epoll\"");
    refused("http {\nserver_tokens maybe; }", "\"maybe\"", "it takes off | on | build");
    refused("http {\nkeepalive_disable msie6 opera; }", "\"opera\"", "it takes none | msie6 | safari");
    refused("http {\nsendfile_max_chunk off; }", "\"off\"", "a size");
    refused("http {\nclient_max_body_size 1x; }", "\"1x\"", "a size");
    refused("http {\nclient_header_buffer_size 0; }", "\"0\"", "from 1 to 16777216 bytes");
    refused("http {\nkeepalive_timeout x; }", "\"keepalive_timeout\"", "a time");
    refused("http {\nlarge_client_header_buffers 0 8k; }", "\"large_client_header_buffers\"", "NUMBER SIZE");
    refused("http {\nlarge_client_header_buffers 4 0; }", "\"large_client_header_buffers\"", "NUMBER SIZE");
    refused("http {\nlimit_req_log_level debug; }", "\"debug\"", "it takes info | notice | warn | error");
    refused("http {\nlimit_conn_status 200; }", "\"200\"", "it must be from 400 to 599");
    refused("\nerror_log stderr loud;", "\"loud\"", "debug, info, notice");
    refused("http {\nindex ''; }", "index \"\"", "name a file");
}

static void duplicates(void)
{
    refused("daemon on;\ndaemon on;", "\"daemon\" directive is duplicate", "remove one");
    refused("pid a;\npid b;", "\"pid\" directive is duplicate", "remove one");
    refused("user a;\nuser b;", "\"user\" directive is duplicate", "remove one");
    refused("worker_processes 1;\nworker_processes 1;", "\"worker_processes\" directive is duplicate",
            "remove one");
    refused("events { }\nevents { }", "\"events\" directive is duplicate", "remove one");
    refused("http { }\nhttp { }", "\"http\" directive is duplicate", "remove one");
    refused("http { open_file_cache off;\nopen_file_cache off; }", "\"open_file_cache\"", "remove one");
    refused("http { large_client_header_buffers 4 8k;\nlarge_client_header_buffers 4 8k; }", "duplicate",
            "remove one");
    refused("http { gzip off;\ngzip off; }", "\"gzip\" directive is duplicate", "remove one");
    refused("http { limit_rate 1k;\nlimit_rate 1k; }", "\"limit_rate\"", "remove one");
    refused("http { upstream u { server a; sticky route $a;\nsticky route $b; } }", "\"sticky\"",
            "remove one");
    refused("http { upstream u { server a; keepalive 1;\nkeepalive 1; } }", "\"keepalive\"", "remove one");
    refused("http { root a;\nroot b; }", "\"root\" directive is duplicate", "remove one");
    refused("http { keepalive_timeout 1;\nkeepalive_timeout 1; }", "\"keepalive_timeout\"", "remove one");
    refused("http { sendfile on;\nsendfile on; }", "\"sendfile\"", "remove one");
    refused("http { default_type a;\ndefault_type b; }", "\"default_type\"", "remove one");
    refused("http { log_format x a;\nlog_format x b; }", "\"log_format\" name \"x\"", "choose another");
    refused("thread_pool p threads=1;\nthread_pool p threads=1;", "thread pool \"p\"", "another name");
}

static void thread_pools(void)
{
    refused("\nthread_pool p threads=0;", "\"threads=0\"", "threads=MIN..MAX");
    refused("\nthread_pool p threads=4..2;", "\"threads=4..2\"", "threads=MIN..MAX");
    refused("\nthread_pool p threads=1..65537;", "\"threads=1..65537\"", "65536");
    refused("\nthread_pool p threads=..4;", "\"threads=..4\"", "threads=MIN..MAX");
    refused("\nthread_pool p threads=1 max_queue=-1;", "\"max_queue=-1\"", "max_queue=N");
    refused("\nthread_pool p threads=1 queue_timeout=x;", "\"queue_timeout=x\"", "queue_timeout=TIME");
    refused("\nthread_pool p threads=1 stack_size=1k;", "\"stack_size=1k\"", "64k or more");
    refused("\nthread_pool p threads=1 discipline=random;", "\"discipline=random\"", "fifo|lifo|codel");
    refused("\nthread_pool p threads=1 colour=red;", "\"colour=red\"", "threads=N");
    refused("\nthread_pool p threads;", "\"threads\"", "name=value");
    refused("\nthread_pool '' threads=1;", "thread pool", "1 to 31");
    refused("\nthread_pool a-name-that-is-longer-than-31-bytes threads=1;", "thread pool", "1 to 31");
    struct conf *conf =
        good_conf_of("thread_pool io threads=2..9 max_queue=7 queue_timeout=1s500ms idle_timeout=2m "
                     "stack_size=1m discipline=codel; thread_pool four threads=4;");
    const struct conf_pool *io = conf->pools;
    CHECK_SLICE(io->name, "io");
    CHECK_NUMBER(io->threads_min, 2);
    CHECK_NUMBER(io->threads_max, 9);
    CHECK_NUMBER(io->max_queue, 7);
    CHECK_NUMBER(io->queue_timeout_ms, 1500);
    CHECK_NUMBER(io->idle_timeout_ms, 120000);
    CHECK_NUMBER(io->stack_bytes, 1 << 20);
    CHECK_NUMBER(io->discipline, CONF_CODEL);
    CHECK_NUMBER(io->next->threads_min, 4);
    CHECK_NUMBER(io->next->threads_max, 4);
    CHECK_SLICE(io->next->next->name, "default"); /* always among them */
    CU_ASSERT_PTR_NULL(io->next->next->next);
    conf_free(conf);
}

static void locations(void)
{
#define IN_SERVER(text) "http { server {\n" text " } }"
    refused(IN_SERVER("location ! / { }"), "invalid location modifier \"!\"", "\"~*\"");
    refused(IN_SERVER("location /a { } location /a { }"), "duplicate location \"/a\"", "line 2");
    refused(IN_SERVER("location = /a { } location =/a { }"), "duplicate location \"/a\"", "line 2");
    refused(IN_SERVER("location /a { location /b { } }"), "\"/b\" is outside location \"/a\"",
            "must start with it");
    refused(IN_SERVER("location = /a { location /a/b { } }"), "cannot be inside the exact location \"/a\"",
            "/a/b");
    refused(IN_SERVER("location / { root a; alias b; }"), "\"alias\" directive is duplicate", "remove one");
    refused(IN_SERVER("location / { status; stub_status; }"), "\"stub_status\" directive is duplicate",
            "already");
    refused(IN_SERVER("location / { handler h file pool; }"), "\"pool\"", "name=value");
    refused(IN_SERVER("location / { handler ''; }"), "\"handler\"", "name");
    struct conf *conf =
        good_conf_of(IN_SERVER("location = /a { } location ^~ /b { } location ~ c$ { } location ~*d { } "
                               "location /a { location ~ e { } location /a/f { } }"));
    static const enum conf_match wanted[] = {CONF_MATCH_EXACT, CONF_MATCH_PREFIX_FINAL, CONF_MATCH_REGEX,
                                             CONF_MATCH_REGEX_NOCASE, CONF_MATCH_PREFIX};
    const struct conf_location *l = conf->http->servers->top.locations;
    for (size_t i = 0; i < 5 && l; i++, l = i < 5 ? l->next : l)
        CHECK_NUMBER(l->match, wanted[i]);
    CU_ASSERT_FATAL(l != NULL);
    CHECK_SLICE(l->locations->next->pattern, "/a/f");
    CU_ASSERT_PTR_EQUAL(l->locations->parent, l);
    conf_free(conf);
}

static void listens(void)
{
    refused(IN_SERVER("listen 80 fast;"), "\"fast\" in \"listen\"", "default_server, backlog=N");
    refused(IN_SERVER("listen 80 backlog=0;"), "\"backlog=0\"", "backlog=N");
    refused(IN_SERVER("listen 80; listen 80;"), "duplicate listen 80", "keep one");
    struct conf *conf = good_conf_of(
        "http { server { listen 127.0.0.1:81 default_server backlog=7 reuseport; listen [::]:81 ipv6only=off; } server { } }");
    const struct conf_listen *first = conf->http->servers->listens;
    CHECK_SLICE(first->address, "127.0.0.1:81");
    CHECK_NUMBER(first->backlog, 7);
    CU_ASSERT(first->default_server && first->reuseport && first->ipv6only);
    CU_ASSERT(!first->next->default_server && !first->next->reuseport && !first->next->ipv6only);
    CHECK_SLICE(conf->http->servers->next->listens->address, "*:80"); /* nginx's default */
    conf_free(conf);
}

static void answers(void)
{
    refused(IN_SERVER("return x;"), "invalid return code \"x\"", "return CODE");
    refused(IN_SERVER("return 1000;"), "invalid return code \"1000\"", "from 100 to 999");
    refused(IN_SERVER("return 99;"), "invalid return code \"99\"", "from 100 to 999");
    refused(IN_SERVER("error_page 200 /x;"), "\"200\"", "from 300 to 599");
    refused(IN_SERVER("error_page 404 =abc /x;"), "\"=abc\"", "=CODE");
    refused(IN_SERVER("types { text/x; }"), "\"types\"", "TYPE EXTENSION");
    struct conf *conf =
        good_conf_of(IN_SERVER("error_page 404 500 =200 /x; error_page 403 = /y; return 301 http://z; "
                               "return 200 later; location / { return https://w/$uri; }"));
    const struct conf_server *server = conf->http->servers;
    CHECK_NUMBER(server->top.ret->code, 301); /* the first one answers */
    CHECK_SLICE(server->top.ret->text, "http://z");
    CHECK_NUMBER(server->top.locations->ret->code, 302);
    const struct conf_error_page *page = server->top.settings.answers.error_pages; /* the last line first */
    CHECK_NUMBER(page->new_code, 0);
    CHECK_NUMBER(page->next->new_code, 200);
    CHECK_NUMBER(page->next->code_count, 2);
    CHECK_NUMBER(page->next->codes[1], 500);
    CHECK_SLICE(page->next->uri, "/x");
    conf_free(conf);
}

static void all_errors_are_collected(void)
{
    struct conf *conf =
        conf_of("nonsense;\nuser;\nevents { worker_connections x; }\nhttp {\n  sendfile maybe;\n"
                "  server { listen 80 fast; location ! x { } }\n}\n");
    CHECK_NUMBER(conf->errors.count, 6);
    CU_ASSERT(has_error(conf, "in master:1"));
    CU_ASSERT(has_error(conf, "in master:5"));
    CU_ASSERT(has_error(conf, "in master:6"));
    conf_free(conf);
}

static void a_configuration_needs_events(void)
{
    static const struct conf_options options = {.prefix = "/", .file = "/dev/null"};
    struct conf *conf = conf_load(&options);
    CHECK_NUMBER(conf->errors.count, 0);
    conf_require_events(conf);
    CU_ASSERT(has_error(conf, "no \"events\" section in configuration"));
    CU_ASSERT(has_error(conf, "events { }"));
    CU_ASSERT(has_error(conf, "in /dev/null:1"));
    conf_free(conf);
    conf = conf_of("events { }");
    conf_require_events(conf);
    CHECK_NUMBER(conf->errors.count, 0);
    conf_free(conf);
}

static const struct conf_directive choice = {.name = "x", .type = CONF_CHOICE, .words = WORDS("a", "b", "c")},
                                   flag = {.name = "x", .type = CONF_FLAG},
                                   own = {.name = "x", .type = CONF_SIZE, .syntax = "SIZE | off"},
                                   none = {.name = "x"};

static void choices_are_written_out(void)
{
    char text[CONF_SYNTAX_MAX];
    CHECK_SLICE(slice_of(conf_syntax_of(&choice, text)), "a | b | c");
    CHECK_SLICE(slice_of(conf_syntax_of(&flag, text)), "on | off");
    CHECK_SLICE(slice_of(conf_syntax_of(&own, text)), "SIZE | off");
    CHECK_SLICE(slice_of(conf_syntax_of(&none, text)), "");
}

/* What a row leaves out is safe: its statement is not taken over by workers that run. */
static void an_empty_row_is_safe(void)
{
    CHECK_NUMBER(none.live, CONF_FIXED);
    CHECK_NUMBER(none.args.max, 0);
    CU_ASSERT(!none.block && !none.off_is_zero);
}

/* Whether the field is a pointer into the tree, which a value taken over by workers that run would outlive. */
static bool refers(const struct conf_directive *d)
{
    return d->type == CONF_TEXT || d->type == CONF_PATH || d->type == CONF_TEMPLATE || d->type == CONF_LINES;
}

/* The rows of the tables agree with themselves: each can be documented, and each default can be read. */
static void tables_are_sound(void)
{
    for (const struct conf_table **t = conf_tables; *t; t++) {
        for (const struct conf_directive *d = (*t)->rows; d->name; d++) {
            CHECK_FOR(d->name, conf_find_directive(slice_of(d->name), (enum conf_context)d->where) ==
                                   d); /* no name twice */
            CHECK_FOR(d->name, d->where != 0 && d->help && d->help[0]);
            CHECK_FOR(d->name, d->args.max == CONF_ANY || d->args.min <= d->args.max);
            CHECK_FOR(d->name, (d->type == CONF_CUSTOM) == (d->set != NULL));
            CHECK_FOR(d->name, conf_field_fits(d));
            CHECK_FOR(d->name, !d->once || (d->type == CONF_CUSTOM && d->field.size));
            CHECK_FOR(d->name, !d->values || d->type == CONF_CHOICE);
            CHECK_FOR(d->name, d->live != CONF_LIVE || !refers(d));
            CHECK_FOR(d->name, d->live != CONF_LIVE_BEHIND_FIRST || d->args.min > 0);
            CHECK_FOR(d->name, (d->type == CONF_CHOICE || d->type == CONF_CHOICES) == (d->words != NULL));
        }
    }
    struct buf out = {0};
    CU_ASSERT(conf_document(&out));
    CU_ASSERT(buf_append(&out, "", 1));
    CU_ASSERT(strstr(out.data, "### worker_processes") && strstr(out.data, "### handler_timeout"));
    for (const struct conf_table **t = conf_tables; *t; t++) {
        for (const struct conf_directive *d = (*t)->rows; d->name; d++) {
            char heading[80];
            snprintf(heading, sizeof heading, "\n### %s\n", d->name);
            CHECK_FOR(d->name, strstr(out.data, heading) != NULL);
        }
    }
    buf_free(&out);
}

static const struct check_case cases[] = {
    {"unknown directives", unknown_directives},
    {"wrong places", wrong_places},
    {"wrong shapes", wrong_shapes},
    {"wrong values", wrong_values},
    {"duplicates", duplicates},
    {"thread pools", thread_pools},
    {"locations", locations},
    {"listens", listens},
    {"answers", answers},
    {"all errors are collected", all_errors_are_collected},
    {"a configuration needs events", a_configuration_needs_events},
    {"choices are written out", choices_are_written_out},
    {"an empty row is safe", an_empty_row_is_safe},
    {"tables are sound", tables_are_sound},
};

CHECK_MAIN("conf/walk", cases)
