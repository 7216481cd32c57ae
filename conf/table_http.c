/*
 * conf/table_http.c - the directives of http, server and location, as data, and the setters of inherited lists.
 */
#include "base/log.h"
#include "conf/conf.h"
#include "conf/directive.h"

/* The types that nginx has without a "types" block. */
static struct conf_type default_types_items[] = {
    {{"html", 4}, {"text/html", 9}}, {{"gif", 3}, {"image/gif", 9}}, {{"jpg", 3}, {"image/jpeg", 10}}};
static const struct conf_types default_types = {default_types_items, 3};
static const struct slice default_index_items[] = {{"index.html", 10}};
static const struct conf_strings default_index = {default_index_items, 1};

static void set_types(struct conf_walk *w, const struct conf_node *n)
{
    int count = 0;
    for (const struct conf_node *line = n->children; line; line = line->next)
        count += line->nargs;
    const struct conf_types *old = w->settings->types; /* several blocks on one level add up */
    struct conf_types *types = conf_must(arena_zalloc(&w->conf->arena, sizeof *types));
    int kept = old ? old->count : 0;
    types->items = conf_must(arena_alloc(&w->conf->arena, (size_t)(count + kept + 1) * sizeof *types->items));
    if (kept)
        memcpy(types->items, old->items, (size_t)kept * sizeof *types->items);
    types->count = kept;
    for (const struct conf_node *line = n->children; line; line = line->next) {
        if (line->nargs == 0 || line->has_block)
            conf_error(&w->conf->errors, line, "invalid line in \"types\"; write: TYPE EXTENSION...;");
        for (int i = 0; i < line->nargs; i++)
            types->items[types->count++] =
                (struct conf_type){arena_dup_lower(&w->conf->arena, line->args[i]), line->name};
    }
    w->settings->types = types;
}

static void set_root(struct conf_walk *w, const struct conf_node *n)
{
    bool alias = slice_eq(n->name, SLICE("alias"));
    if (w->settings->root.data || w->settings->alias.data) {
        conf_error(&w->conf->errors, n,
                   "\"%.*s\" directive is duplicate, or there is \"%s\" beside it; remove one of them",
                   SLICE_ARGS(n->name), alias ? "root" : "alias");
        return;
    }
    struct slice path = conf_full_path(w->conf, n->args[0]);
    if (!alias) {
        while (path.len > 1 && path.data[path.len - 1] == '/')
            path = arena_dup(&w->conf->arena, (struct slice){path.data, path.len - 1});
        w->settings->root = path;
        return;
    }
    w->settings->alias = path;
    w->settings->alias_strip = (int64_t)w->location->pattern.len;
}

static void set_index(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_strings *list = conf_must(arena_zalloc(&w->conf->arena, sizeof *list));
    for (int i = 0; i < n->nargs; i++)
        if (n->args[i].len == 0)
            conf_error(&w->conf->errors, n, "index \"\" in \"index\" directive is invalid; name a file");
    *list = (struct conf_strings){n->args, n->nargs};
    w->settings->index = list;
}

static void set_error_page(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_error_page *page = conf_must(arena_zalloc(&w->conf->arena, sizeof *page));
    int *codes = conf_must(arena_alloc(&w->conf->arena, (size_t)n->nargs * sizeof *codes)), count = 0;
    *page = (struct conf_error_page){.new_code = -1, .uri = n->args[n->nargs - 1], .node = n};
    for (int i = 0; i < n->nargs - 1; i++) {
        int64_t code;
        struct slice arg = n->args[i];
        if (i == n->nargs - 2 && i > 0 && arg.len > 0 && arg.data[0] == '=') {
            bool ok =
                arg.len == 1 || (conf_parse_number(slice_from(arg, 1), &code) && code >= 100 && code <= 999);
            page->new_code = arg.len == 1 ? 0 : ok ? (int)code : -1;
            if (!ok)
                conf_error(&w->conf->errors, n, "invalid value \"%.*s\" in \"error_page\"; write =CODE",
                           SLICE_ARGS(arg));
        } else if (!conf_parse_number(arg, &code) || code < 300 || code > 599) {
            conf_error(&w->conf->errors, n, "value \"%.*s\" in \"error_page\" must be from 300 to 599",
                       SLICE_ARGS(arg));
        } else {
            codes[count++] = (int)code;
        }
    }
    page->codes = codes;
    page->code_count = count;
    page->next = (struct conf_error_page *)(uintptr_t)w->settings->error_pages;
    w->settings->error_pages = page;
}

static const struct conf_access_log access_log_off;

enum { LOG_BUFFER_DEFAULT = 64 << 10, LOG_BUFFER_MAX = 64 << 20 };

static bool set_log_parameter(struct conf_access_log *log, struct slice arg)
{
    if (slice_starts(arg, SLICE("if="))) {
        log->condition = slice_from(arg, 3);
        return true;
    }
    if (slice_starts(arg, SLICE("flush=")))
        return conf_parse_time(slice_from(arg, 6), &log->flush_ms);
    return slice_starts(arg, SLICE("buffer=")) && conf_parse_size(slice_from(arg, 7), &log->buffer_bytes) &&
           log->buffer_bytes > 0 && log->buffer_bytes <= LOG_BUFFER_MAX;
}

/* FILE [FORMAT] [buffer=SIZE] [flush=TIME] [if=TEXT] */
static void set_access_log(struct conf_walk *w, const struct conf_node *n)
{
    if (slice_eq(n->args[0], SLICE("off"))) {
        w->settings->access_logs = &access_log_off;
        return;
    }
    struct conf_access_log *log = conf_must(arena_zalloc(&w->conf->arena, sizeof *log));
    bool has_format = n->nargs > 1 && !memchr(n->args[1].data, '=', n->args[1].len);
    *log = (struct conf_access_log){.path = conf_full_path(w->conf, n->args[0]),
                                    .format_name = has_format ? n->args[1] : SLICE("combined"),
                                    .node = n,
                                    .next = (struct conf_access_log *)(uintptr_t)w->settings->access_logs};
    for (int i = 1 + has_format; i < n->nargs; i++)
        if (!set_log_parameter(log, n->args[i]))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s\" of \"access_log\"; there are buffer=SIZE, flush=TIME and if=TEXT",
                SLICE_ARGS(n->args[i]));
    if (slice_starts(n->args[0], SLICE("syslog:")) || memchr(n->args[0].data, '$', n->args[0].len))
        conf_error(&w->conf->errors, n,
                   "\"access_log %.*s\": only files are written to, and their names hold no variables",
                   SLICE_ARGS(n->args[0]));
    if (log->flush_ms && !log->buffer_bytes)
        log->buffer_bytes = LOG_BUFFER_DEFAULT;
    w->settings->access_logs = log;
}

static bool parse_escape(struct slice text, enum conf_escape *escape)
{
    static const char *const names[] = {"escape=default", "escape=json", "escape=none"};
    for (int i = 0; i < 3; i++) {
        if (slice_eq(text, slice_of(names[i]))) {
            *escape = (enum conf_escape)i;
            return true;
        }
    }
    return false;
}

static void set_log_format(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_log_format *f = conf_must(arena_zalloc(&w->conf->arena, sizeof *f)),
                           **tail = &w->conf->http->formats;
    struct buf text = {0};
    f->name = n->args[0];
    f->node = n;
    bool has_escape = parse_escape(n->args[1], &f->escape);
    for (int i = has_escape ? 2 : 1; i < n->nargs; i++)
        buf_append_slice(&text, n->args[i]);
    f->text = arena_dup(&w->conf->arena, buf_slice(&text));
    buf_free(&text);
    for (; *tail; tail = &(*tail)->next)
        if (slice_eq((*tail)->name, f->name))
            conf_error(&w->conf->errors, n, "duplicate \"log_format\" name \"%.*s\"; choose another",
                       SLICE_ARGS(f->name));
    *tail = f;
}

static void set_keepalive_timeout(struct conf_walk *w, const struct conf_node *n)
{
    int64_t header_ms = 0;
    if (w->settings->keepalive_timeout_ms != CONF_UNSET) {
        conf_error(&w->conf->errors, n, "\"keepalive_timeout\" directive is duplicate; remove one of them");
        return;
    }
    if (!conf_parse_time(n->args[0], &w->settings->keepalive_timeout_ms) ||
        (n->nargs > 1 && !conf_parse_time(n->args[1], &header_ms)))
        conf_error(&w->conf->errors, n, "\"keepalive_timeout\" directive invalid value; it takes %s",
                   conf_type_words(CONF_TIME));
    w->settings->keepalive_header_s = header_ms / 1000;
}

static void set_large_buffers(struct conf_walk *w, const struct conf_node *n)
{
    int64_t count, bytes;
    if (w->settings->large_header_buffers != CONF_UNSET) {
        conf_error(&w->conf->errors, n,
                   "\"large_client_header_buffers\" directive is duplicate; remove one of them");
        return;
    }
    if (!conf_parse_number(n->args[0], &count) || !conf_parse_size(n->args[1], &bytes) || count < 1 ||
        count > 1024 || bytes < 256 || bytes > 1 << 20) {
        conf_error(
            &w->conf->errors, n,
            "invalid value in \"large_client_header_buffers\"; write: NUMBER SIZE, with a size from 256 to 1m");
        return;
    }
    w->settings->large_header_buffers = count;
    w->settings->large_header_buffer_bytes = bytes;
}

void conf_inherit_custom(struct settings *s, const struct settings *parent, struct conf *conf)
{
    static const struct settings defaults = {.index = &default_index,
                                             .types = &default_types,
                                             .keepalive_timeout_ms = 75000,
                                             .keepalive_header_s = 0,
                                             .limit_log_level = LOG_LEVEL_ERROR,
                                             .limit_conn_log_level = LOG_LEVEL_ERROR,
                                             .limit_req_log_level = LOG_LEVEL_ERROR,
                                             .large_header_buffers = 4,
                                             .large_header_buffer_bytes = 8192};
    const struct settings *from = parent ? parent : &defaults;
    if (!s->root.data && !s->alias.data) {
        s->root = parent ? parent->root : conf_full_path(conf, SLICE("html"));
        s->alias = from->alias;
        s->alias_strip = from->alias_strip;
    }
    if (!s->index)
        s->index = from->index;
    if (!s->types)
        s->types = from->types;
    if (!s->error_pages)
        s->error_pages = from->error_pages;
    if (!s->access_logs && parent)
        s->access_logs = parent->access_logs;
    if (!s->access_logs) {
        struct conf_access_log *log = conf_must(arena_zalloc(&conf->arena, sizeof *log));
        log->path = conf_full_path(conf, SLICE("logs/access.log"));
        log->format_name = SLICE("combined");
        s->access_logs = log;
    }
    if (s->keepalive_timeout_ms == CONF_UNSET) {
        s->keepalive_timeout_ms = from->keepalive_timeout_ms;
        s->keepalive_header_s = from->keepalive_header_s;
    }
    if (!s->error_logs)
        s->error_logs = from->error_logs;
    if (!s->limits)
        s->limits = from->limits;
    if (!s->conn_limits)
        s->conn_limits = from->conn_limits;
    if (!s->req_limits)
        s->req_limits = from->req_limits;
    if (s->limit_log_level == CONF_UNSET)
        s->limit_log_level = from->limit_log_level;
    if (s->limit_conn_log_level == CONF_UNSET)
        s->limit_conn_log_level = from->limit_conn_log_level;
    if (s->limit_req_log_level == CONF_UNSET)
        s->limit_req_log_level = from->limit_req_log_level;
    if (s->large_header_buffers == CONF_UNSET) {
        s->large_header_buffers = from->large_header_buffers;
        s->large_header_buffer_bytes = from->large_header_buffer_bytes;
    }
}

#define FIELD(field) offsetof(struct settings, field)
#define HTTP_ALL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)
#define HTTP_SERVER (CONF_HTTP | CONF_SERVER)

const struct conf_directive conf_http_directives[] = {
    // clang-format off
    {"server", CONF_HTTP, 0, 0, CONF_BLOCK, 0, 0, 0, NULL, -1, conf_set_server,
     "{ ... }", "A virtual server."},
    {"listen", CONF_SERVER, 1, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_listen,
     "ADDRESS[:PORT] | PORT | unix:PATH [default_server] [backlog=N] [reuseport] [ipv6only=on|off] [proxy_protocol] [deferred] [so_keepalive=on|off]",
     "Where the server is reached. Default *:80."},
    {"server_name", CONF_SERVER, 1, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_server_name,
     "NAME ...", "Names: exact, *.example.org, .example.org, www.example.*, or ~REGEX."},
    {"location", CONF_SERVER | CONF_LOCATION, 1, 2, CONF_BLOCK, 0, 0, 0, NULL, -1, conf_set_location,
     "[= | ^~ | ~ | ~*] URI { ... }", "Settings for some URIs: exact, final prefix, regex, regex without case; else prefix."},
    {"root", HTTP_ALL, 1, 1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_root,
     "PATH", "The folder of the files; the URI goes behind it. Default html."},
    {"alias", CONF_LOCATION, 1, 1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_root,
     "PATH", "Replaces the location's part of the URI by this path."},
    {"index", HTTP_ALL, 1, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_index,
     "FILE ...", "Files that stand for a folder, the first that exists. Default index.html."},
    {"types", HTTP_ALL, 0, 0, CONF_BLOCK, 0, 0, 0, NULL, -1, set_types,
     "{ TYPE EXTENSION ...; }", "Content types by file extension."},
    {"default_type", HTTP_ALL, 1, 1, CONF_TEXT, FIELD(default_type), 0, 0, "text/plain", -1, NULL,
     "TYPE", "The content type when no extension tells."},
    {"return", CONF_SERVER | CONF_LOCATION, 1, 2, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_return,
     "CODE [TEXT | URL] | URL", "Answers at once; text and URL may contain variables. 444 closes without an answer."},
    {"rewrite", CONF_SERVER | CONF_LOCATION, 2, 3, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_rewrite,
     "REGEX REPLACEMENT [last | break | redirect | permanent]", "Changes the path of a request that matches, or redirects the client; arguments go behind unless the replacement ends with \"?\"."},
    {"set", CONF_SERVER | CONF_LOCATION, 2, 2, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_rewrite,
     "$NAME VALUE", "Sets a variable."},
    {"break", CONF_SERVER | CONF_LOCATION, 0, 0, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_rewrite,
     "", "Ends the steps of rewrite, set, if and return."},
    {"if", CONF_SERVER | CONF_LOCATION, 1, -1, CONF_BLOCK, 0, 0, 0, NULL, -1, conf_set_if,
     "(CONDITION) { ... }", "Steps and settings for requests that meet a condition: $variable, = and !=, ~ ~* !~ !~*, -f -d -e -x and their negations."},
    {"rewrite_log", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(rewrite_log), 0, 0, "off", 0, NULL,
     "on | off", "Whether rewrite logs what it does, at level notice."},
    {"geo", CONF_HTTP, 1, 2, CONF_LINES, FIELD(geos), 0, 0, NULL, -1, NULL,
     "[ADDRESS] $NAME { NETWORK VALUE; default VALUE; ... }", "A variable by the client's address, or the one that the text ADDRESS gives: the longest prefix that fits decides."},
    {"split_clients", CONF_HTTP, 2, 2, CONF_LINES, FIELD(splits), 0, 0, NULL, -1, NULL,
     "TEXT $NAME { PERCENT% VALUE; ... * VALUE; }", "A variable that has each value for a share of the texts, always the same for the same text."},
    {"try_files", CONF_SERVER | CONF_LOCATION, 2, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_try_files,
     "FILE ... URI | =CODE | @NAME", "The first file (or, with a slash at its end, folder) that exists answers; else the last argument: another URI, a named location or a status."},
    {"internal", CONF_LOCATION, 0, 0, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_internal,
     "", "The location is for internal redirects only; clients get 404."},
    {"map", CONF_HTTP, 2, 2, CONF_LINES, FIELD(maps), 0, 0, NULL, -1, NULL,
     "SOURCE $NAME { KEY VALUE; ... }", "A variable whose value depends on another text. Keys: texts, ~REGEX, ~*REGEX, default, hostnames (then also *.HOST and HOST.*)."},
    {"error_page", HTTP_ALL, 2, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_error_page,
     "CODE ... [=[CODE]] URI", "What to show for these codes."},
    {"access_log", HTTP_ALL, 1, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_access_log,
     "FILE [FORMAT] [buffer=SIZE] [flush=TIME] [if=TEXT] | off", "Where requests are logged; with buffer= lines wait in memory, with if= only requests are logged whose text is neither empty nor 0. Default logs/access.log combined."},
    {"log_format", CONF_HTTP, 2, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_log_format,
     "NAME [escape=default|json|none] STRING ...", "A format of access logs; combined is always there."},
    {"keepalive_timeout", HTTP_ALL, 1, 2, CONF_CUSTOM, 0, 0, 0, NULL, 0, set_keepalive_timeout,
     "TIME [HEADER-TIME]", "How long an idle connection is kept; 0 closes after each answer. Default 75s."},
    {"keepalive_requests", HTTP_ALL, 1, 1, CONF_NUMBER, FIELD(keepalive_requests), 0, 0, "1000", 0, NULL,
     "NUMBER", "How many requests one connection may carry."},
    {"client_header_timeout", HTTP_SERVER, 1, 1, CONF_TIME, FIELD(client_header_timeout_ms), 0, 0, "60s", 0, NULL,
     "TIME", "For a request's whole header to arrive."},
    {"client_body_timeout", HTTP_ALL, 1, 1, CONF_TIME, FIELD(client_body_timeout_ms), 0, 0, "60s", 0, NULL,
     "TIME", "Between two reads of a request's body."},
    {"send_timeout", HTTP_ALL, 1, 1, CONF_TIME, FIELD(send_timeout_ms), 0, 0, "60s", 0, NULL,
     "TIME", "Between two writes of an answer."},
    {"client_max_body_size", HTTP_ALL, 1, 1, CONF_SIZE, FIELD(client_max_body_bytes), 0, 0, "1m", 0, NULL,
     "SIZE", "The largest request body; 413 above it; 0 is no limit."},
    {"client_header_buffer_size", HTTP_SERVER, 1, 1, CONF_SIZE, FIELD(client_header_buffer_bytes), 128, 1 << 20, "1k", 0, NULL,
     "SIZE", "The first buffer for a request's header that does not arrive at once."},
    {"large_client_header_buffers", HTTP_SERVER, 2, 2, CONF_CUSTOM, 0, 0, 0, NULL, 0, set_large_buffers,
     "NUMBER SIZE", "Bounds of a request's header: a line within SIZE, all within NUMBER times SIZE. Default 4 8k."},
    {"client_body_buffer_size", HTTP_ALL, 1, 1, CONF_SIZE, FIELD(client_body_buffer_bytes), 0, 1 << 30, "16k", 0, NULL,
     "SIZE", "A request body larger than this goes to a temporary file."},
    {"client_body_temp_path", HTTP_ALL, 1, 4, CONF_PATH, FIELD(client_body_temp_path), 0, 0, "client_body_temp", -1, NULL,
     "PATH", "The folder of those files; level arguments are accepted and not needed, as the files have no names."},
    {"sendfile", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(sendfile), 0, 0, "off", -1, NULL,
     "on | off", "Whether files go out by sendfile(2)."},
    {"tcp_nodelay", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(tcp_nodelay), 0, 0, "on", -1, NULL,
     "on | off", "TCP_NODELAY; the server's own setting is the one that counts."},
    {"tcp_nopush", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(tcp_nopush), 0, 0, "off", -1, NULL,
     "on | off", "Accepted; an answer's head always leaves in one packet with the start of its file."},
    {"server_tokens", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(server_tokens), 0, 0, "on", -1, NULL,
     "on | off", "Whether the version is shown in the Server header and on error pages."},
    {"handler", CONF_LOCATION, 1, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_content,
     "NAME [pool=POOL] [KEY=VALUE ...]", "Answers with a handler of a module, on a thread of the pool."},
    {"handler_timeout", HTTP_ALL, 1, 1, CONF_TIME, FIELD(handler_timeout_ms), 0, 0, "60s", 0, NULL,
     "TIME", "504 when a handler, waiting included, takes longer; its thread counts as stuck until it returns. 0: no bound."},
    {"limit_concurrency_zone", CONF_HTTP, 2, -1, CONF_CUSTOM, 0, 0, 0, NULL, 1, conf_set_limit_zone,
     "NAME limit=N [queue=N] [queue_timeout=TIME] [policy=fixed|codel|gradient] [min=N] [max=N] [target=TIME] [interval=TIME] [window=TIME] [probe_interval=TIME] [probe_requests=N] [buffer=PERCENT] [jitter=PERCENT]",
     "A limit of requests that run at a time, over all workers, with a queue for those that wait. Default queue=0 queue_timeout=1s policy=fixed; codel: target=5ms interval=100ms; gradient: min=3 max=1000 (or the limit, where that is lower, or higher) window=100ms probe_interval=60s probe_requests=50 buffer=25% jitter=15%."},
    {"limit_concurrency", HTTP_ALL, 1, 2, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_limit,
     "NAME [priority=high|normal|low|$variable]", "A request needs a permit of this zone; several lines: one of each. Inherited where a level has none."},
    {"limit_concurrency_status", HTTP_ALL, 1, 1, CONF_NUMBER, FIELD(limit_status), 400, 599, "503", 0, NULL,
     "CODE", "The answer to refused requests."},
    {"limit_concurrency_dry_run", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(limit_dry_run), 0, 0, "off", 0, NULL,
     "on | off", "Refuses and queues nothing, but logs and counts what it would have."},
    {"limit_concurrency_log_level", HTTP_ALL, 1, 1, CONF_CUSTOM, 0, 0, 0, NULL, 0, conf_set_limit_log_level,
     "info | notice | warn | error", "The level of the error log for refusals: one line a second for each zone, with their number. Default error."},
    {"limit_conn_zone", CONF_HTTP, 2, 2, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_keyed_zone,
     "KEY zone=NAME:SIZE", "Memory for counting the connections of each value of the key; one that is empty is not counted."},
    {"limit_conn", HTTP_ALL, 2, 2, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_limit_conn,
     "ZONE NUMBER", "The most connections with a request at work for each value of the zone's key. Inherited where a level has none."},
    {"limit_conn_status", HTTP_ALL, 1, 1, CONF_NUMBER, FIELD(limit_conn_status), 400, 599, "503", 0, NULL,
     "CODE", "The answer to requests that limit_conn refuses."},
    {"limit_conn_dry_run", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(limit_conn_dry_run), 0, 0, "off", 0, NULL,
     "on | off", "Whether limit_conn refuses nothing and only logs."},
    {"limit_conn_log_level", HTTP_ALL, 1, 1, CONF_CUSTOM, 0, 0, 0, NULL, 0, conf_set_limit_log_level,
     "info | notice | warn | error", "The level of the error log for what limit_conn refuses. Default error."},
    {"limit_req_zone", CONF_HTTP, 3, 3, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_keyed_zone,
     "KEY zone=NAME:SIZE rate=RATE", "Memory for the rate of requests of each value of the key: 10r/s, 30r/m."},
    {"limit_req", HTTP_ALL, 1, 3, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_limit_req,
     "zone=NAME [burst=N] [nodelay | delay=N]", "Requests beyond the zone's rate are delayed, and beyond the burst refused. Inherited where a level has none."},
    {"limit_req_status", HTTP_ALL, 1, 1, CONF_NUMBER, FIELD(limit_req_status), 400, 599, "503", 0, NULL,
     "CODE", "The answer to requests that limit_req refuses."},
    {"limit_req_dry_run", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(limit_req_dry_run), 0, 0, "off", 0, NULL,
     "on | off", "Whether limit_req delays and refuses nothing and only logs."},
    {"limit_req_log_level", HTTP_ALL, 1, 1, CONF_CUSTOM, 0, 0, 0, NULL, 0, conf_set_limit_log_level,
     "info | notice | warn | error", "The level of the error log for what limit_req refuses; delays are logged one level lower. Default error."},
    {"status", CONF_LOCATION, 0, 0, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_content,
     "", "The status: HTML, JSON or Prometheus text, by Accept or ?format=."},
    {"stub_status", CONF_SERVER | CONF_LOCATION, 0, 1, CONF_CUSTOM, 0, 0, 0, NULL, -1, conf_set_content,
     "", "nginx's short status text."},
    {0},
    // clang-format on
};
