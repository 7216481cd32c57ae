/*
 * tests/unit/conf/test_live.c - what a reload can change in place, taking it over, and the serialized round trip.
 */
#include "base/log.h"
#include "http/site/gzip_client.h"
#include "tests/unit/conf/conf_help.h"

static const char base[] =
    "error_log stderr warn; thread_pool io threads=2..4 max_queue=8; worker_shutdown_timeout 5s;\n"
    "events { worker_connections 100; }\n"
    "http { send_timeout 7s; types { text/html html; }\n"
    "  server { listen 8080; server_name a; client_max_body_size 1k;\n"
    "    large_client_header_buffers 4 4k; location / { root x; handler_timeout 1s;\n"
    "    location /in { keepalive_timeout 9s; } } } }\n";

/* The base with one text in place of another. */
static struct conf *changed(const char *from, const char *to)
{
    static char text[2048];
    const char *at = strstr(base, from);
    if (!at)
        abort();
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
    return good_conf_of(text);
}

static void check_live(const char *from, const char *to, bool live)
{
    struct conf *a = good_conf_of(base), *b = changed(from, to);
    CHECK_FOR(to, conf_differs_only_live(a, b) == live);
    CHECK_FOR(to, conf_differs_only_live(b, a) == live);
    conf_free(a);
    conf_free(b);
}

static void live_values_may_differ(void)
{
    check_live("warn", "warn", true); /* nothing differs */
    check_live("warn", "debug", true);
    check_live(" warn", "", true);
    check_live("threads=2..4 max_queue=8", "threads=9", true);
    check_live("max_queue=8", "max_queue=9 queue_timeout=1s idle_timeout=1s discipline=lifo", true);
    check_live("worker_shutdown_timeout 5s;", "", true);
    check_live("worker_connections 100;", "worker_connections 7; multi_accept on;", true);
    check_live("send_timeout 7s;", "send_timeout 8s; client_body_timeout 1s; keepalive_requests 5;", true);
    check_live("1k", "2k", true);
    check_live("handler_timeout 1s;", "", true);
    check_live("4 4k", "2 2k", true);
}

static void everything_else_starts_new_workers(void)
{
    check_live("error_log stderr", "error_log x.log", false);
    check_live("thread_pool io", "thread_pool disk", false);
    check_live("thread_pool io threads=2..4 max_queue=8;", "", false);
    check_live("events", "daemon off; events", false);
    check_live("8080", "8081", false);
    check_live("server_name a", "server_name a b", false);
    check_live("location / {", "location /y { } location / {", false);
    check_live("location /in {", "location ^~ /in {", false);
    check_live("root x", "root y", false);
    check_live("text/html html", "text/html html htm", false);
    check_live("location / {", "access_log off; location / {", false);
    check_live("http {", "http { server { } ", false);
}

static void copying_takes_the_values_over(void)
{
    struct conf *to = good_conf_of(base);
    struct conf *from = good_conf_of(
        "error_log stderr debug; thread_pool io threads=1 max_queue=3 queue_timeout=2s discipline=lifo;"
        "worker_shutdown_timeout 6s; events { worker_connections 200; multi_accept on; }\n"
        "http { send_timeout 8s; types { text/html html; }\n"
        "  server { listen 8080; server_name a; client_max_body_size 2k; large_client_header_buffers 5 5k; location / { root x; handler_timeout 2s;\n"
        "    location /in { keepalive_timeout 10s 9s; } } } }\n");
    CU_ASSERT(conf_differs_only_live(to, from));
    const struct conf_location *root = to->http->servers->top.locations, *in = root->locations;
    conf_copy_live(to, from);
    /* Nothing of it may be referred to any more. */
    conf_free(from);
    CHECK_NUMBER(to->error_logs->level, LOG_LEVEL_DEBUG);
    CHECK_NUMBER(to->shutdown_timeout_ms, 6000);
    CHECK_NUMBER(to->worker_connections, 200);
    CHECK_NUMBER(to->multi_accept, 1);
    CHECK_SLICE(to->pools->name, "io");
    CHECK_NUMBER(to->pools->threads_min, 1);
    CHECK_NUMBER(to->pools->threads_max, 1);
    CHECK_NUMBER(to->pools->max_queue, 3);
    CHECK_NUMBER(to->pools->queue_timeout_ms, 2000);
    CHECK_NUMBER(to->pools->discipline, CONF_LIFO);
    CHECK_SLICE(to->pools->next->name, "default");
    CHECK_NUMBER(to->http->settings.client.send_timeout_ms, 8000);
    CHECK_NUMBER(to->http->servers->top.settings.client.send_timeout_ms, 8000); /* inherited values too */
    CHECK_NUMBER(to->http->servers->top.settings.client.max_body_bytes, 2048);
    CHECK_NUMBER(root->settings.answers.handler_timeout_ms, 2000);
    CHECK_NUMBER(in->settings.client.keepalive.timeout_ms, 10000);
    CHECK_NUMBER(in->settings.client.keepalive.header_s, 9);
    CHECK_NUMBER(in->settings.client.large_header.count, 5);
    CHECK_NUMBER(in->settings.client.large_header.bytes, 5120);
    CHECK_SLICE(root->settings.files.folder.root, "/srv/x");
    conf_free(to);
}

/* One row of each type, and those of several numbers. */
static void every_type_is_taken_over(void)
{
    struct conf *to = good_conf_of("http { gzip_comp_level 2; server { } }");
    struct conf *from = good_conf_of(
        "http { gzip on; gzip_comp_level 9; gzip_proxied any auth; keepalive_requests 5000000000; gzip_buffers 3 1k;"
        "  client_body_min_rate 2k after=5s; limit_conn_log_level warn; gzip_static always;"
        "  keepalive_timeout 1s 2; directio 1m; server { } }");
    CU_ASSERT(conf_differs_only_live(to, from));
    conf_copy_live(to, from);
    conf_free(from);
    const struct settings *s = &to->http->servers->top.settings;
    CU_ASSERT(number_of(s, "gzip") && !number_of(s, "gzip_vary"));
    CHECK_NUMBER(number_of(s, "gzip_comp_level"), 9);
    CHECK_NUMBER(number_of(s, "gzip_proxied"), GZIP_PROXIED_ANY | GZIP_PROXIED_AUTH);
    CHECK_NUMBER(number_of(s, "gzip_buffers"), 3072);
    CHECK_NUMBER(number_of(s, "gzip_static"), 2);       /* always */
    CHECK_NUMBER(number_of(s, "gzip_http_version"), 1); /* beside what has changed */
    CHECK_NUMBER(s->client.keepalive_requests, 5000000000);
    CHECK_NUMBER(s->client.body_min_rate.bytes_per_s, 2048);
    CHECK_NUMBER(s->client.body_min_rate.after_ms, 5000);
    CHECK_NUMBER(s->client.keepalive.timeout_ms, 1000);
    CHECK_NUMBER(s->client.keepalive.header_s, 2);
    CHECK_NUMBER(s->files.directio_bytes, 1 << 20);
    CHECK_NUMBER(number_of(s, "limit_conn_log_level"), LOG_LEVEL_WARN);
    CHECK_NUMBER(number_of(s, "limit_req_log_level"), LOG_LEVEL_ERROR);
    conf_free(to);
}

static void a_serialized_configuration_is_the_same_one(void)
{
    struct conf *conf = good_conf_of(base);
    struct buf text = {0};
    CU_ASSERT(conf_serialize(conf, &text));
    static const struct conf_options options = {.prefix = "/srv/", .file = "/srv/weir.conf"};
    struct conf *again = conf_load_serialized(&options, buf_slice(&text));
    CHECK_NUMBER(again->errors.count, 0);
    CU_ASSERT(conf_differs_only_live(conf, again));
    CHECK_NUMBER(again->http->servers->top.locations->locations->settings.client.keepalive.timeout_ms, 9000);
    CHECK_NUMBER(again->pools->threads_max, 4);
    buf_free(&text);
    conf_free(conf);
    conf_free(again);
}

static void freeing_nothing_is_harmless(void)
{
    conf_free(NULL);
}

static const struct check_case cases[] = {
    {"live values may differ", live_values_may_differ},
    {"everything else starts new workers", everything_else_starts_new_workers},
    {"copying takes the values over", copying_takes_the_values_over},
    {"every type is taken over", every_type_is_taken_over},
    {"a serialized configuration is the same one", a_serialized_configuration_is_the_same_one},
    {"freeing nothing is harmless", freeing_nothing_is_harmless},
};

CHECK_MAIN("conf/live", cases)
