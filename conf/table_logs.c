/*
 * conf/table_logs.c - the directives of logs, as data, and their setters.
 */
#include "base/log.h"
#include "base/syslog.h"
#include "conf/conf.h"
#include "conf/rows.h"

enum { MEMORY_LOG_MIN = 4 << 10, MEMORY_LOG_MAX = 1 << 30 };

/* A server of syslog stays as it is written, once that is known to be right. */
static struct slice syslog_path(struct conf_walk *w, const struct conf_node *n)
{
    struct syslog unused;
    const char *wrong = syslog_parse(slice_from(n->args[0], sizeof "syslog:" - 1), false, &unused);
    if (wrong)
        conf_error(
            &w->conf->errors, n,
            "invalid \"%.*s\": %s; write syslog:server=ADDRESS[:PORT]|unix:PATH[,facility=NAME][,tag=TAG]"
            "[,severity=NAME][,nohostname]",
            SLICE_ARGS(n->args[0]), wrong);
    return n->args[0];
}

static struct slice error_log_path(struct conf_walk *w, const struct conf_node *n)
{
    struct slice text = n->args[0];
    int64_t bytes;
    if (slice_eq(text, SLICE("stderr")))
        return text;
    if (slice_starts(text, SLICE("syslog:")))
        return syslog_path(w, n);
    if (!slice_starts(text, SLICE("memory:")))
        return conf_full_path(w->conf, text);
    if (!conf_parse_size(slice_from(text, 7), &bytes) || bytes < MEMORY_LOG_MIN || bytes > MEMORY_LOG_MAX) {
        conf_error(&w->conf->errors, n, "invalid \"%.*s\"; write memory:SIZE, from 4k to 1g",
                   SLICE_ARGS(text));
        bytes = MEMORY_LOG_MIN;
    }
    return arena_printf(&w->conf->arena, "memory:%lld", (long long)bytes);
}

/* TARGET [LEVEL] [format=text|json] */
static void set_error_log(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_error_log *log = conf_must(arena_zalloc(&w->conf->arena, sizeof *log)),
                          **tail = w->settings ? &w->settings->logs.errors : &w->conf->error_logs;
    log->node = n;
    log->path = error_log_path(w, n);
    log->level = LOG_LEVEL_ERROR;
    bool has_level = false, has_format = false;
    for (int i = 1; i < n->nargs; i++) {
        int level = log_level_by_name(n->args[i].data);
        log->json |= slice_eq(n->args[i], SLICE("format=json"));
        bool is_format = slice_starts(n->args[i], SLICE("format="));
        if (is_format ? has_format : has_level && level >= 0)
            conf_error(&w->conf->errors, n, "a second %s \"%.*s\"; remove one",
                       is_format ? "format" : "level", SLICE_ARGS(n->args[i]));
        has_format |= is_format;
        has_level |= level >= 0;
        if (level >= 0)
            log->level = level;
        else if (!slice_eq(n->args[i], SLICE("format=json")) && !slice_eq(n->args[i], SLICE("format=text")))
            conf_error(
                &w->conf->errors, n,
                "invalid log level \"%.*s\"; it is debug, info, notice, warn, error, crit, alert or emerg; "
                "a format is format=text or format=json",
                SLICE_ARGS(n->args[i]));
    }
    int count = 0;
    for (; *tail; tail = &(*tail)->next)
        count++;
    if (count >= LOG_SINKS_MAX)
        conf_error(&w->conf->errors, n, "more than %d \"error_log\" directives; remove some", LOG_SINKS_MAX);
    *tail = log;
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
    if (slice_eq(arg, SLICE("gzip"))) {
        log->gzip = 1;
        return true;
    }
    if (slice_starts(arg, SLICE("gzip=")))
        return conf_parse_whole(slice_from(arg, 5), 1, 9, &log->gzip);
    return slice_starts(arg, SLICE("buffer=")) && conf_parse_size(slice_from(arg, 7), &log->buffer_bytes) &&
           log->buffer_bytes > 0 && log->buffer_bytes <= LOG_BUFFER_MAX;
}

/* TARGET [FORMAT] [buffer=SIZE] [flush=TIME] [gzip[=LEVEL]] [if=TEXT] */
static void set_access_log(struct conf_walk *w, const struct conf_node *n)
{
    if (slice_eq(n->args[0], SLICE("off"))) {
        if (n->nargs > 1)
            conf_error(&w->conf->errors, n, "\"access_log off\" takes nothing else; remove \"%.*s\"",
                       SLICE_ARGS(n->args[1]));
        w->settings->logs.access = &access_log_off;
        return;
    }
    struct conf_access_log *log = conf_must(arena_zalloc(&w->conf->arena, sizeof *log));
    bool has_format = n->nargs > 1 && !memchr(n->args[1].data, '=', n->args[1].len);
    bool to_syslog = slice_starts(n->args[0], SLICE("syslog:"));
    bool varies = memchr(n->args[0].data, '$', n->args[0].len) != NULL;
    *log =
        (struct conf_access_log){.path = to_syslog ? syslog_path(w, n) : conf_full_path(w->conf, n->args[0]),
                                 .format_name = has_format ? n->args[1] : SLICE("combined"),
                                 .node = w->is_default ? NULL : n,
                                 .next = (struct conf_access_log *)(uintptr_t)w->settings->logs.access};
    for (int i = 1 + has_format; i < n->nargs; i++)
        if (!set_log_parameter(log, n->args[i]))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s\" of \"access_log\"; there are buffer=SIZE, flush=TIME, gzip[=1..9] "
                "and if=TEXT",
                SLICE_ARGS(n->args[i]));
    if ((to_syslog || varies) && (log->buffer_bytes || log->flush_ms || log->gzip))
        conf_error(
            &w->conf->errors, n,
            "\"access_log %.*s\": a server of syslog, or a file whose name has variables, has no buffer; "
            "remove buffer=, flush= and gzip",
            SLICE_ARGS(n->args[0]));
    if ((log->flush_ms || log->gzip) && !log->buffer_bytes)
        log->buffer_bytes = LOG_BUFFER_DEFAULT;
    if (w->settings->logs.access == &access_log_off)
        return; /* off is for all of its level */
    w->settings->logs.access = log;
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
    if (!has_escape && slice_starts(n->args[1], SLICE("escape=")))
        conf_error(&w->conf->errors, n, "unknown \"%.*s\"; it is escape=default, json or none",
                   SLICE_ARGS(n->args[1]));
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

static bool set_open_parameter(struct conf_open_logs *o, struct slice arg)
{
    if (slice_starts(arg, SLICE("max=")))
        return conf_parse_whole(slice_from(arg, 4), 1, 100000, &o->max);
    if (slice_starts(arg, SLICE("inactive=")))
        return conf_parse_time(slice_from(arg, 9), &o->inactive_ms);
    if (slice_starts(arg, SLICE("valid=")))
        return conf_parse_time(slice_from(arg, 6), &o->valid_ms);
    return slice_starts(arg, SLICE("min_uses=")) &&
           conf_parse_whole(slice_from(arg, 9), 1, 1000000, &o->min_uses);
}

/* off | max=N [inactive=TIME] [min_uses=N] [valid=TIME] */
static void set_open_log_file_cache(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_open_logs *o = &w->settings->logs.open;
    struct slice words[CONF_PARAMETERS_MAX];
    bool ok = true;
    *o = (struct conf_open_logs){0};
    if (n->nargs == 1 && slice_eq(n->args[0], SLICE("off")))
        return;
    for (int i = conf_default_parameters(w->conf, n->name, w->context, words); i-- > 0;)
        set_open_parameter(o, words[i]);
    for (int i = 0; i < n->nargs; i++)
        ok = ok && set_open_parameter(o, n->args[i]);
    if (!ok || o->max == 0)
        conf_error(
            &w->conf->errors, n,
            "invalid \"open_log_file_cache\"; write: off, or max=N [inactive=TIME] [min_uses=N] [valid=TIME]");
}

const struct conf_directive conf_log_directives[] = {
    // clang-format off
    {.name = "access_log", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .field = FIELD(logs.access), .default_text = "logs/access.log combined", .set = set_access_log,
     .syntax = "FILE | syslog:server=ADDRESS[:PORT]|unix:PATH[,facility=NAME][,tag=TAG][,severity=NAME][,nohostname] [FORMAT] [buffer=SIZE] [flush=TIME] [gzip[=LEVEL]] [if=TEXT] | off",
     .help = "Where requests are logged; the file's name may contain variables. With buffer= lines wait in memory, with gzip what is written is compressed (level 1 by default), with if= only requests are logged whose text is neither empty nor 0."},
    {.name = "error_log", .where = CONF_MAIN | CONF_HTTP_ALL, .args = {1, 3}, .live = CONF_LIVE_BEHIND_FIRST, .field = FIELD(logs.errors), .set = set_error_log,
     .syntax = "FILE | stderr | memory:SIZE | syslog:server=ADDRESS[:PORT]|unix:PATH[,facility=NAME][,tag=TAG][,nohostname] [LEVEL] [format=text|json]",
     .help = "Where errors go, and from which level on: debug, info, notice, warn, error, crit, alert, emerg; error by default. memory: keeps the last lines of all processes in a file without a name, which is weir-log under /proc/PID/fd. Inherited where a level has none."},
    {.name = "open_log_file_cache", .where = CONF_HTTP_ALL, .args = {1, 4}, .field = FIELD(logs.open), .default_text = "off", .set = set_open_log_file_cache, .parameters = "inactive=10s min_uses=1 valid=60s",
     .syntax = "off | max=N [inactive=TIME] [min_uses=N] [valid=TIME]",
     .help = "How many access logs whose names have variables are kept open. Without it each line opens and closes its file."},
    {.name = "log_format", .where = CONF_HTTP, .args = {2, CONF_ANY}, .set = set_log_format,
     .syntax = "NAME [escape=default|json|none] STRING ...",
     .help = "A format of access logs; combined is always there, and json, with the names that OpenTelemetry has for what HTTP servers say."},
    {.name = "log_not_found", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(logs.not_found), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether files that do not exist are logged in the error log."},
    {.name = "log_subrequest", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(logs.subrequest), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether requests that auth_request makes are logged in the access log."},
    {0},
    // clang-format on
};
