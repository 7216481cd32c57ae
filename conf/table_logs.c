/*
 * conf/table_logs.c - the directives of logs, as data, and their setters.
 */
#include "conf/conf.h"
#include "conf/directive.h"

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

void conf_inherit_logs(struct settings *s, const struct settings *parent, struct conf *conf)
{
    if (!s->access_logs && parent)
        s->access_logs = parent->access_logs;
    if (!s->access_logs) {
        struct conf_access_log *log = conf_must(arena_zalloc(&conf->arena, sizeof *log));
        log->path = conf_full_path(conf, SLICE("logs/access.log"));
        log->format_name = SLICE("combined");
        s->access_logs = log;
    }
}

#define FIELD(field) offsetof(struct settings, field)
#define HTTP_ALL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

const struct conf_directive conf_log_directives[] = {
    // clang-format off
    {"access_log", HTTP_ALL, 1, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_access_log,
     "FILE [FORMAT] [buffer=SIZE] [flush=TIME] [if=TEXT] | off", "Where requests are logged; with buffer= lines wait in memory, with if= only requests are logged whose text is neither empty nor 0. Default logs/access.log combined."},
    {"log_format", CONF_HTTP, 2, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_log_format,
     "NAME [escape=default|json|none] STRING ...", "A format of access logs; combined is always there."},
    {"rewrite_log", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(rewrite_log), 0, 0, "off", 0, NULL,
     "on | off", "Whether rewrite logs what it does, at level notice."},
    {"log_not_found", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(log_not_found), 0, 0, "on", 0, NULL,
     "on | off", "Whether files that do not exist are logged in the error log."},
    {"log_subrequest", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(log_subrequest), 0, 0, "off", 0, NULL,
     "on | off", "Whether requests that auth_request makes are logged in the access log."},
    {0},
    // clang-format on
};
