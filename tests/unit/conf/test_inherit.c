/*
 * tests/unit/conf/test_inherit.c - defaults, paths, and what inner blocks take over from outer ones.
 */
#include "base/log.h"
#include "conf/directive.h"
#include "http/filters/charset.h"
#include "http/site/open_files.h"
#include "tests/unit/conf/conf_help.h"

static void core_defaults(void)
{
    struct conf *conf = good_conf_of("");
    CHECK_NUMBER(conf->daemon, 1);
    CHECK_NUMBER(conf->master_process, 1);
    CHECK_SLICE(conf->user, "nobody");
    CHECK_SLICE(conf->pid_path, "/srv/logs/weir.pid");
    CHECK_NUMBER(conf->worker_processes, 1);
    CHECK_NUMBER(conf->rlimit_nofile, CONF_UNSET);
    CHECK_NUMBER(conf->shutdown_timeout_ms, 0);
    CHECK_NUMBER(conf->worker_connections, 512);
    CHECK_NUMBER(conf->multi_accept, 0);
    CHECK_SLICE(conf->error_logs->path, "/srv/logs/error.log");
    CHECK_NUMBER(conf->error_logs->level, LOG_LEVEL_ERROR);
    CU_ASSERT_PTR_NULL(conf->http);
    CHECK_SLICE(conf->pools->name, "default");
    CHECK_NUMBER(conf->pools->threads_min, 0);
    CHECK_NUMBER(conf->pools->threads_max, 32);
    CHECK_NUMBER(conf->pools->max_queue, 65536);
    CHECK_NUMBER(conf->pools->queue_timeout_ms, 0);
    CHECK_NUMBER(conf->pools->idle_timeout_ms, 60000);
    CHECK_NUMBER(conf->pools->stack_bytes, 262144);
    CHECK_NUMBER(conf->pools->discipline, CONF_FIFO);
    conf_free(conf);
}

static void http_defaults(void)
{
    struct conf *conf = good_conf_of("http { }");
    const struct settings *s = &conf->http->settings;
    CHECK_SLICE(s->files.folder.root, "/srv/html");
    CHECK_NUMBER(s->files.index->count, 1);
    CHECK_SLICE(s->files.index->items[0], "index.html");
    CHECK_SLICE(s->files.default_type, "text/plain");
    CHECK_NUMBER(s->files.types->count, 3);
    CHECK_NUMBER(s->client.keepalive.timeout_ms, 75000);
    CHECK_NUMBER(s->client.keepalive.header_s, 0);
    CHECK_NUMBER(s->client.keepalive_requests, 1000);
    CHECK_NUMBER(s->client.header_timeout_ms, 60000);
    CHECK_NUMBER(s->client.body_timeout_ms, 60000);
    CHECK_NUMBER(s->client.send_timeout_ms, 60000);
    CHECK_NUMBER(s->client.max_body_bytes, 1 << 20);
    CHECK_NUMBER(s->client.header_buffer_bytes, 1024);
    CHECK_NUMBER(s->client.large_header.count, 4);
    CHECK_NUMBER(s->client.large_header.bytes, 8192);
    CHECK_NUMBER(s->client.body_buffer_bytes, 16384);
    CHECK_SLICE(s->client.body_temp_path, "/srv/client_body_temp");
    CHECK_NUMBER(s->answers.handler_timeout_ms, 60000);
    CHECK_NUMBER(s->files.sendfile, 0);
    CHECK_NUMBER(s->client.tcp_nodelay, 1);
    CHECK_NUMBER(s->client.tcp_nopush, 0);
    CHECK_NUMBER(s->answers.server_tokens, 1);
    CU_ASSERT_PTR_NULL(s->answers.error_pages);
    CU_ASSERT_PTR_NULL(conf->http->servers);
    conf_free(conf);
}

static void inner_blocks_take_over(void)
{
    struct conf *conf = good_conf_of(
        "http { sendfile on; keepalive_timeout 5s 4; default_type a/b; root www/; client_max_body_size 2m;"
        "  server { client_max_body_size 3m; index a b;"
        "    location /x { root /abs; default_type c/d; location /x/y { keepalive_timeout 0; sendfile off; } }"
        "    location /z { } } }");
    const struct conf_server *server = conf->http->servers;
    const struct conf_location *x = server->top.locations, *y = x->locations, *z = x->next;
    CHECK_SLICE(conf->http->settings.files.folder.root, "/srv/www");
    CHECK_SLICE(server->top.settings.files.folder.root, "/srv/www");
    CHECK_SLICE(x->settings.files.folder.root, "/abs");
    CHECK_SLICE(y->settings.files.folder.root, "/abs");
    CHECK_SLICE(z->settings.files.folder.root, "/srv/www");
    CHECK_NUMBER(conf->http->settings.client.max_body_bytes, 2 << 20);
    CHECK_NUMBER(z->settings.client.max_body_bytes, 3 << 20);
    CHECK_NUMBER(y->settings.client.max_body_bytes, 3 << 20);
    CHECK_SLICE(y->settings.files.default_type, "c/d");
    CHECK_SLICE(z->settings.files.default_type, "a/b");
    CHECK_NUMBER(x->settings.client.keepalive.timeout_ms, 5000);
    CHECK_NUMBER(x->settings.client.keepalive.header_s, 4);
    CHECK_NUMBER(y->settings.client.keepalive.timeout_ms, 0);
    CHECK_NUMBER(y->settings.client.keepalive.header_s, 0);
    CHECK_NUMBER(x->settings.files.sendfile, 1);
    CHECK_NUMBER(y->settings.files.sendfile, 0);
    CHECK_NUMBER(y->settings.files.index->count, 2);
    CHECK_SLICE(y->settings.files.index->items[1], "b");
    conf_free(conf);
}

/* What is set on a level is told apart from what is zero or the default there. */
static void what_is_set_to_nothing_counts(void)
{
    struct conf *conf = good_conf_of(
        "http { proxy_buffering off; proxy_max_temp_file_size 1k; keepalive_timeout 5s; server_tokens build;"
        "  limit_req_log_level info; proxy_ignore_headers Vary; open_file_cache max=7; access_log off;"
        "  server { location /a { proxy_buffering on; proxy_max_temp_file_size 0; keepalive_timeout 75s; server_tokens off;"
        "    limit_req_log_level error; proxy_ignore_headers X-Accel-Redirect; open_file_cache off; access_log l; }"
        "    location /b { } } }");
    const struct conf_location *a = conf->http->servers->top.locations, *b = a->next;
    const struct settings *set = &a->settings, *not_set = &b->settings;
    CU_ASSERT(set->passes[CONF_PASS_PROXY].upstream.buffering &&
              !not_set->passes[CONF_PASS_PROXY].upstream.buffering);
    CHECK_NUMBER(set->passes[CONF_PASS_PROXY].upstream.max_temp_bytes, 0);
    CHECK_NUMBER(not_set->passes[CONF_PASS_PROXY].upstream.max_temp_bytes, 1024);
    CHECK_NUMBER(set->client.keepalive.timeout_ms, 75000);
    CHECK_NUMBER(not_set->client.keepalive.timeout_ms, 5000);
    CHECK_NUMBER(set->answers.server_tokens, CONF_TOKENS_OFF);
    CHECK_NUMBER(not_set->answers.server_tokens, CONF_TOKENS_BUILD);
    CHECK_NUMBER(number_of(set, "limit_req_log_level"), LOG_LEVEL_ERROR);
    CHECK_NUMBER(number_of(not_set, "limit_req_log_level"), LOG_LEVEL_INFO);
    CHECK_NUMBER(set->passes[CONF_PASS_PROXY].upstream.ignore_headers, CONF_IGNORE_REDIRECT);
    CHECK_NUMBER(not_set->passes[CONF_PASS_PROXY].upstream.ignore_headers, 1 << 8);
    CHECK_NUMBER(open_files_settings_of(set)->cache.max, 0);
    CHECK_NUMBER(open_files_settings_of(not_set)->cache.max, 7);
    CHECK_SLICE(set->logs.access->path, "/srv/l");
    CHECK_ABSENT(not_set->logs.access->path);
    conf_free(conf);
}

/* Defaults that are statements with setters of their own, and refer to no line of a file. */
static void defaults_are_statements(void)
{
    static const struct conf_places places = {"/var/log/w", "/var/lib/w", "/usr/lib/w", "/run/w.pid"};
    struct conf_options options = {.prefix = "/p/", .file = "/dev/null", .globals = "http { server { } }"};
    struct conf *conf = conf_load(&options);
    const struct settings *s = &conf->http->servers->top.settings;
    CHECK_SLICE(s->logs.access->path, "/p/logs/access.log");
    CHECK_SLICE(s->logs.access->format_name, "combined");
    CU_ASSERT_PTR_NULL(s->logs.access->node);
    CU_ASSERT_PTR_NULL(s->files.folder.node);
    CHECK_SLICE(s->files.types->items[2].extension, "jpg");
    CHECK_SLICE(s->files.types->items[2].type, "image/jpeg");
    CHECK_NUMBER(s->client.body_min_rate.bytes_per_s, 1024);
    CHECK_NUMBER(s->client.body_min_rate.after_ms, 20000);
    CHECK_NUMBER(number_of(s, "limit_conn_log_level"), LOG_LEVEL_ERROR);
    CHECK_SLICE(conf->http->servers->listens->address, "*:80");
    CHECK_NUMBER(conf->http->servers->listens->backlog, 511);
    CU_ASSERT_PTR_EQUAL(conf->http->servers->listens->node, conf->http->servers->node);
    CU_ASSERT_PTR_NULL(conf->user_node);
    CHECK_ABSENT(conf->group);
    conf_free(conf);
    options.places = &places;
    conf = conf_load(&options);
    CHECK_SLICE(conf->http->settings.logs.access->path, "/var/log/w/access.log");
    CHECK_SLICE(conf->http->settings.passes[CONF_PASS_PROXY].upstream.temp_path, "/var/lib/w/proxy_temp");
    CHECK_SLICE(conf->http->settings.files.folder.root, "/p/html");
    CHECK_SLICE(conf->pid_path, "/run/w.pid");
    conf_free(conf);
}

/* What a statement leaves out of its parameters is in the row of its directive. */
static void parameters_have_defaults(void)
{
    struct conf *conf = good_conf_of(
        "thread_pool p max_queue=7; http { limit_concurrency_zone z limit=9; open_file_cache max=3; client_body_min_rate 5;"
        "  open_log_file_cache max=4; upstream u { server a; queue 2; health_check; } server { listen 81; } }");
    const struct settings *s = &conf->http->settings;
    const struct conf_zone *z = conf->http->zones;
    const struct conf_upstream *u = conf->http->upstreams;
    const struct conf_listen *l = conf->http->servers->listens;
    CHECK_NUMBER(conf->pools->max_queue, 7);
    CHECK_NUMBER(conf->pools->threads_max, 32);
    CHECK_NUMBER(conf->pools->stack_bytes, 256 << 10);
    CHECK_NUMBER(z->queue, 0);
    CHECK_NUMBER(z->queue_timeout_ms, 1000);
    CHECK_NUMBER(z->policy, CONF_POLICY_FIXED);
    CHECK_NUMBER(z->target_ms, 5);
    CHECK_NUMBER(z->interval_ms, 100);
    CHECK_NUMBER(z->window_ms, 100);
    CHECK_NUMBER(z->probe_interval_ms, 60000);
    CHECK_NUMBER(z->probe_requests, 50);
    CHECK_NUMBER(z->buffer_percent, 25);
    CHECK_NUMBER(z->jitter_percent, 15);
    CHECK_NUMBER(z->min, 3);
    CHECK_NUMBER(z->max, 1000);
    CHECK_NUMBER(open_files_settings_of(s)->cache.inactive_ms, 60000);
    CHECK_NUMBER(s->client.body_min_rate.bytes_per_s, 5);
    CHECK_NUMBER(s->client.body_min_rate.after_ms, 20000);
    CHECK_NUMBER(s->logs.open.inactive_ms, 10000);
    CHECK_NUMBER(s->logs.open.valid_ms, 60000);
    CHECK_NUMBER(s->logs.open.min_uses, 1);
    CHECK_NUMBER(u->servers->weight, 1);
    CHECK_NUMBER(u->servers->max_fails, 1);
    CHECK_NUMBER(u->servers->fail_timeout_ms, 10000);
    CHECK_NUMBER(u->servers->max_conns, 0);
    CHECK_NUMBER(u->servers->slow_start_ms, 0);
    CHECK_NUMBER(u->queue_timeout_ms, 60000);
    CHECK_NUMBER(u->health->interval_ms, 5000);
    CHECK_NUMBER(u->health->timeout_ms, 5000);
    CHECK_NUMBER(u->health->passes, 1);
    CHECK_NUMBER(u->health->fails, 1);
    CHECK_SLICE(u->health->uri, "/");
    CHECK_NUMBER(u->health->status_ranges, 1);
    CHECK_NUMBER(u->health->status_to[0], 399);
    CHECK_NUMBER(l->backlog, 511);
    CU_ASSERT(l->ipv6only && !l->binds);
    conf_free(conf);
}

static void hosts_without_an_upstream_have_its_defaults(void)
{
    struct conf *conf = good_conf_of("http { upstream u { server a weight=7; keepalive 5; } }");
    const struct conf_upstream *u = &conf->http->unnamed;
    CHECK_NUMBER(u->keepalive, 32);
    CHECK_NUMBER(u->keepalive_requests, 1000);
    CHECK_NUMBER(u->keepalive_time_ms, 3600000);
    CHECK_NUMBER(u->keepalive_timeout_ms, 60000);
    CHECK_NUMBER(u->servers->weight, 1);
    CHECK_NUMBER(u->servers->max_fails, 1);
    CHECK_NUMBER(u->servers->fail_timeout_ms, 10000);
    CHECK_NUMBER(conf->http->upstreams->servers->weight, 7);
    CHECK_NUMBER(conf->http->upstreams->keepalive, 5);
    CU_ASSERT_PTR_NULL(u->servers->next);
    conf_free(conf);
}

static void charset_types_are_as_in_nginx(void)
{
    struct conf *conf =
        good_conf_of("http { server { location /a { } location /b { charset_types text/x; } } }");
    const struct conf_location *a = conf->http->servers->top.locations, *b = a->next;
    CU_ASSERT(charset_lists_type(&a->settings, SLICE("text/html")));
    CU_ASSERT(charset_lists_type(&a->settings, SLICE("text/xml; charset=utf-8")));
    CU_ASSERT(charset_lists_type(&a->settings, SLICE("application/rss+xml")));
    CU_ASSERT(!charset_lists_type(&a->settings, SLICE("text/x")));
    CU_ASSERT(charset_lists_type(&b->settings, SLICE("text/html")));
    CU_ASSERT(charset_lists_type(&b->settings, SLICE("text/x")));
    CU_ASSERT(!charset_lists_type(&b->settings, SLICE("text/xml")));
    conf_free(conf);
}

static void alias_and_root_replace_each_other(void)
{
    struct conf *conf =
        good_conf_of("http { root /r; server { location /i/ { alias /data/; location /i/j { } "
                     "location /i/k { root /k; } } } }");
    const struct conf_location *i = conf->http->servers->top.locations;
    /* As written: the URI's rest follows at once. */
    CHECK_SLICE(i->settings.files.folder.alias, "/data/");
    CHECK_NUMBER(i->settings.files.folder.alias_strip, 3);
    CHECK_SLICE(i->locations->settings.files.folder.alias, "/data/");
    CHECK_NUMBER(i->locations->settings.files.folder.alias_strip, 3);
    CHECK_ABSENT(i->locations->next->settings.files.folder.alias);
    CHECK_SLICE(i->locations->next->settings.files.folder.root, "/k");
    conf_free(conf);
}

static void lists_are_replaced_whole(void)
{
    struct conf *conf = good_conf_of(
        "http { types { text/a a; } types { text/b B bb; } error_page 404 /e; access_log l1; access_log l2 fmt;"
        "  log_format fmt '$status' ' $uri';"
        "  server { } server { types { text/c c; } error_page 500 /f; access_log off; location / { } } }");
    const struct conf_server *first = conf->http->servers, *second = first->next;
    CHECK_NUMBER(first->top.settings.files.types->count, 3); /* blocks of one level add up */
    CHECK_SLICE(first->top.settings.files.types->items[1].extension, "b");
    CHECK_SLICE(first->top.settings.files.types->items[1].type, "text/b");
    CHECK_NUMBER(second->top.settings.files.types->count, 1);
    CHECK_NUMBER(first->top.settings.answers.error_pages->codes[0], 404);
    CU_ASSERT_PTR_NULL(first->top.settings.answers.error_pages->next);
    CHECK_NUMBER(second->top.settings.answers.error_pages->codes[0], 500);
    CU_ASSERT_PTR_NULL(second->top.settings.answers.error_pages->next);
    CHECK_ABSENT(second->top.locations->settings.logs.access->path); /* off */
    const struct conf_access_log *log = first->top.settings.logs.access;
    CU_ASSERT(log && log->next && !log->next->next);
    CHECK_SLICE(conf->http->formats->text, "$status $uri");
    conf_free(conf);
}

static void paths_get_the_prefix(void)
{
    struct conf *conf = good_conf_of(
        "pid run/p; error_log a.log debug; error_log /b.log; error_log stderr; load_module m.so;");
    CHECK_SLICE(conf->pid_path, "/srv/run/p");
    CHECK_SLICE(conf->error_logs->path, "/srv/a.log");
    CHECK_NUMBER(conf->error_logs->level, LOG_LEVEL_DEBUG);
    CHECK_SLICE(conf->error_logs->next->path, "/b.log");
    CHECK_SLICE(conf->error_logs->next->next->path, "stderr");
    CHECK_SLICE(conf->modules->path, "/srv/m.so");
    CHECK_SLICE(conf_full_path(conf, SLICE("x")), "/srv/x");
    CHECK_SLICE(conf_full_path(conf, SLICE("/x")), "/x");
    CHECK_SLICE(conf_full_path(conf, SLICE("")), "/srv/");
    conf_free(conf);
}

static void the_command_line_contributes(void)
{
    struct conf_options options = {
        .prefix = "/p/", .file = "/dev/null", .globals = "worker_processes 3; pid x;", .error_log = "e.log"};
    struct conf *conf = conf_load(&options);
    CHECK_NUMBER(conf->errors.count, 0);
    CHECK_NUMBER(conf->worker_processes, 3);
    CHECK_SLICE(conf->pid_path, "/p/x");
    CHECK_SLICE(conf->error_logs->path, "/p/e.log");
    conf_free(conf);
    options.globals = "worker_processes 3";
    conf = conf_load(&options);
    CU_ASSERT(has_error(conf, "in command line:1"));
    conf_free(conf);
}

static void names_and_handlers_are_kept(void)
{
    struct conf *conf =
        good_conf_of("user www staff; worker_processes auto; http { server { server_name a *.b; "
                     "server_name ~c; location /h { handler demo.x pool=io depth=3 'text=a=b'; } } }");
    CHECK_SLICE(conf->user, "www");
    CHECK_SLICE(conf->group, "staff");
    CU_ASSERT(conf->worker_processes >= 1);
    const struct conf_server *server = conf->http->servers;
    CHECK_NUMBER(server->names.count, 3);
    CHECK_SLICE(server->names.items[2], "~c");
    const struct conf_handler *handler = server->top.locations->handler;
    CHECK_SLICE(handler->name, "demo.x");
    CHECK_SLICE(handler->pool, "io");
    CHECK_SLICE(handler->args->key, "depth");
    CHECK_SLICE(handler->args->next->value, "a=b");
    CU_ASSERT_PTR_NULL(handler->args->next->next);
    conf_free(conf);
}

static const struct check_case cases[] = {
    {"core defaults", core_defaults},
    {"http defaults", http_defaults},
    {"inner blocks take over", inner_blocks_take_over},
    {"what is set to nothing counts", what_is_set_to_nothing_counts},
    {"defaults are statements", defaults_are_statements},
    {"parameters have defaults", parameters_have_defaults},
    {"hosts without an upstream have its defaults", hosts_without_an_upstream_have_its_defaults},
    {"charset_types are as in nginx", charset_types_are_as_in_nginx},
    {"alias and root replace each other", alias_and_root_replace_each_other},
    {"lists are replaced whole", lists_are_replaced_whole},
    {"paths get the prefix", paths_get_the_prefix},
    {"the command line contributes", the_command_line_contributes},
    {"names and handlers are kept", names_and_handlers_are_kept},
};

CHECK_MAIN("conf/inherit", cases)
