/*
 * base/log.c - the error log.
 *
 * A line is formatted on the caller's stack and written with one write(2) to a file opened O_APPEND, so that lines
 * of several processes and threads never mix and no lock is needed.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log_memory.h"
#include "base/syslog.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const level_names[] = {"stderr", "emerg",  "alert", "crit", "error",
                                          "warn",   "notice", "info",  "debug"};

enum {
    JSON_LINE_BYTES = 4096,
    JSON_BEHIND = 1024 /* for what stands behind the message */,
    ERROR_ROOM = 160, /* for what stands behind a long text */
    LOSSES = 64       /* descriptors that are counted apart */
};

static struct log_sink sinks[LOG_SINKS_MAX];
static _Atomic int sink_count;
static _Atomic int most_verbose;
static _Atomic bool copy_to_stderr = true;
static atomic_ulong lost_lines;

/* What a descriptor has lost and not reported, by its number modulo LOSSES. */
static struct loss {
    atomic_ulong lines;
    _Atomic bool json; /* the form of its lines */
} losses[LOSSES];

static void find_most_verbose(void)
{
    int verbose = LOG_LEVEL_EMERG;
    for (int i = 0; i < sink_count; i++)
        if ((int)sinks[i].level > verbose)
            verbose = (int)sinks[i].level;
    most_verbose = verbose;
}

void log_set_sinks(const struct log_sink *list, int count)
{
    if (count > LOG_SINKS_MAX)
        count = LOG_SINKS_MAX;
    assert(count >= 0);
    for (int i = 0; i < count; i++)
        sinks[i] = list[i];
    sink_count = count;
    find_most_verbose();
}

void log_set_level(int sink, enum log_level level, bool json)
{
    if (sink < sink_count) {
        __atomic_store_n(&sinks[sink].level, level, __ATOMIC_RELAXED);
        __atomic_store_n(&sinks[sink].json, json, __ATOMIC_RELAXED);
    }
    find_most_verbose();
}

void log_also_stderr(bool on)
{
    copy_to_stderr = on;
}

bool log_wants(enum log_level level)
{
    return level <= (enum log_level)most_verbose || (copy_to_stderr && level <= LOG_LEVEL_WARN);
}

const char *log_level_name(enum log_level level)
{
    return level <= LOG_LEVEL_DEBUG ? level_names[level] : NULL;
}

int log_level_by_name(const char *name)
{
    for (int i = LOG_LEVEL_EMERG; i <= LOG_LEVEL_DEBUG; i++)
        if (strcmp(level_names[i], name) == 0)
            return i;
    return -1;
}

unsigned long log_lost_lines(void)
{
    return lost_lines;
}

void log_count_lost(unsigned long lines)
{
    atomic_fetch_add(&lost_lines, lines);
}

static void put_to_file(int fd, const char *line, size_t len)
{
    if (fd < 0 || fd_append_whole(fd, (struct slice){line, len}, false) == len)
        return;
    log_count_lost(1);
    losses[fd % LOSSES].json = line[0] == '{';
    atomic_fetch_add(&losses[fd % LOSSES].lines, 1);
}

/* A message may carry a client's bytes: they must not forge lines, nor reach a terminal as anything but text. Returns the new length. */
static size_t scrub(char *text, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0, n; i < len; i += n ? n : 1) {
        n = slice_utf8((struct slice){text + i, len - i});
        if (n == 0 || text[i] == '\0' || slice_control((struct slice){text + i, n})) {
            text[kept++] = '?';
        } else {
            assert(kept <= i && i + n <= len);
            memmove(text + kept, text + i, n);
            kept += n;
        }
    }
    return kept;
}

/* A line in the making: the same for all sinks. */
struct line {
    enum log_level level;
    const char *text;
    const struct log_context *about; /* NULL: the server itself */
    int error;                       /* errno, or 0 */
};

/* snprintf that stops at the end. */
static size_t add_text(char *out, size_t room, size_t len, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static size_t add_text(char *out, size_t room, size_t len, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    assert(len < room);
    int n = vsnprintf(out + len, room - len, format, args);
    va_end(args);
    return n < 0 ? len : len + (size_t)n < room ? len + (size_t)n : room - 1;
}

static size_t add_quoted(char *out, size_t room, size_t len, const char *name, struct slice value)
{
    return value.data ? add_text(out, room, len, ", %s: \"%.*s\"", name, SLICE_ARGS(value)) : len;
}

/* As nginx has it; without the time and what else stands before it, which *head gets. */
static size_t make_text(const struct line *l, char *out, size_t *head)
{
    char date[CLOCK_TEXT_BYTES];
    const size_t room = LOG_LINE_BYTES - 1; /* and a line end */
    const struct log_context *a = l->about;
    clock_error_date(time(NULL), date);
    size_t n = add_text(out, room, 0, "%s [%s] %d#%ld: ", date, level_names[l->level], (int)getpid(),
                        syscall(SYS_gettid));
    *head = n;
    if (a)
        n = add_text(out, room, n, "*%llu ", a->connection);
    n = add_text(out, room, n, "%.*s", (int)(room - n > ERROR_ROOM ? room - n - ERROR_ROOM : 0), l->text);
    if (l->error)
        n = add_text(out, room, n, " (%d: %.100s)", l->error, strerror(l->error));
    if (a) {
        n = add_text(out, room, n, ", client: %.*s, server: %.*s", SLICE_ARGS(a->client),
                     SLICE_ARGS(a->server));
        n = add_quoted(out, room, n, "request", a->request);
        n = add_quoted(out, room, n, "subrequest", a->subrequest);
        n = add_quoted(out, room, n, "upstream", a->upstream);
        n = add_quoted(out, room, n, "host", a->host);
        n = add_quoted(out, room, n, "referrer", a->referrer);
    }
    n = scrub(out, n);
    out[n++] = '\n';
    assert(*head < n && n < LOG_LINE_BYTES);
    return n;
}

/* A member of a JSON object; a value that does not fit is cut. */
static size_t add_member(char *out, size_t room, size_t len, const char *name, struct slice value)
{
    if (!value.data || len + strlen(name) + sizeof ",\"\":\"\"" > room)
        return len;
    len = add_text(out, room, len, "%s\"%s\":\"", len > 1 ? "," : "", name);
    for (size_t i = 0; i < value.len && len + sizeof "\\u0000\"" < room; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c == '"' || c == '\\')
            len = add_text(out, room, len, "\\%c", c);
        else {
            size_t n = slice_utf8(slice_from(value, i));
            unsigned code = slice_control((struct slice){value.data + i, n});
            len = code || c == 0
                      ? add_text(out, room, len, "\\u%04x", code)
                      : add_text(out, room, len, "%.*s", n ? (int)n : 6, n ? value.data + i : "\\ufffd");
            i += n ? n - 1 : 0;
        }
    }
    return add_text(out, room, len, "\"");
}

static size_t make_json(const struct line *l, char *out)
{
    char date[CLOCK_TEXT_BYTES];
    const size_t room = JSON_LINE_BYTES - 3; /* and its end */
    const struct log_context *a = l->about;
    size_t n = add_text(out, room, 0, "{"), len = clock_iso8601(time(NULL), date);
    n = add_member(out, room, n, "time", (struct slice){date, len});
    n = add_member(out, room, n, "level", slice_of(level_names[l->level]));
    n = add_text(out, room, n, ",\"pid\":%d,\"tid\":%ld", (int)getpid(), syscall(SYS_gettid));
    if (a)
        n = add_text(out, room, n, ",\"connection\":%llu", a->connection);
    n = add_member(out, room - JSON_BEHIND, n, "message", slice_of(l->text));
    if (l->error)
        n = add_member(out, room, add_text(out, room, n, ",\"errno\":%d", l->error), "error",
                       slice_of(strerror(l->error)));
    if (a) {
        n = add_member(out, room, n, "client", a->client);
        n = add_member(out, room, n, "server", a->server);
        n = add_member(out, room, n, "request", a->request);
        n = add_member(out, room, n, "subrequest", a->subrequest);
        n = add_member(out, room, n, "upstream", a->upstream);
        n = add_member(out, room, n, "host", a->host);
        n = add_member(out, room, n, "referrer", a->referrer);
    }
    out[n++] = '}';
    out[n++] = '\n';
    assert(n <= JSON_LINE_BYTES);
    return n;
}

static void put_to_sink(const struct log_sink *sink, enum log_level level, const char *line, size_t len)
{
    struct slice bare = {line, len - 1};
    assert(len > 0 && line[len - 1] == '\n');
    if (sink->memory)
        log_memory_write(sink->memory, (struct slice){line, len});
    else if (!sink->syslog)
        put_to_file(sink->fd, line, len);
    else if (!syslog_send(sink->syslog, (int)level - 1, bare))
        log_count_lost(1);
}

static void put_json(const struct log_sink *sink, const struct line *l)
{
    char json[JSON_LINE_BYTES];
    put_to_sink(sink, l->level, json, make_json(l, json));
}

void log_tell_lost(int fd)
{
    char text[LOG_LINE_BYTES], line[JSON_LINE_BYTES];
    struct loss *loss = fd < 0 ? NULL : &losses[fd % LOSSES];
    unsigned long lines = loss ? loss->lines : 0;
    size_t head;
    if (!lines)
        return;
    snprintf(text, sizeof text, "%lu line%s lost, as this log could not be written", lines,
             lines == 1 ? " was" : "s were");
    const struct line l = {LOG_LEVEL_WARN, text, NULL, 0};
    size_t len = loss->json ? make_json(&l, line) : make_text(&l, line, &head);
    if (fd_append_whole(fd, (struct slice){line, len}, false) == len)
        atomic_fetch_sub(&loss->lines, lines);
}

/* list NULL: the usual sinks. */
static void emit_line(const struct log_sink *list, int count, const struct line *l)
{
    char text[LOG_LINE_BYTES];
    assert(l->level <= LOG_LEVEL_DEBUG);
    size_t head, len = make_text(l, text, &head);
    bool on_stderr = false, usual = !list;
    if (usual) {
        list = sinks;
        count = sink_count;
    }
    for (int i = 0; i < count; i++) {
        if (l->level > __atomic_load_n(&list[i].level, __ATOMIC_RELAXED))
            continue;
        if (__atomic_load_n(&list[i].json, __ATOMIC_RELAXED))
            put_json(&list[i], l);
        else
            put_to_sink(&list[i], l->level, text, len);
        on_stderr |= list[i].fd == STDERR_FILENO && !list[i].syslog && !list[i].memory;
    }
    if (usual && copy_to_stderr && l->level <= LOG_LEVEL_WARN && !on_stderr) {
        char brief[LOG_LINE_BYTES + 32];
        int n = snprintf(brief, sizeof brief, "weir: [%s] %.*s", level_names[l->level], (int)(len - head),
                         text + head);
        put_to_file(STDERR_FILENO, brief, (size_t)n);
    }
}

static void emit_formatted(enum log_level level, int error, const char *format, va_list args)
{
    char text[LOG_LINE_BYTES];
    vsnprintf(text, sizeof text, format, args);
    emit_line(NULL, 0, &(struct line){level, text, NULL, error});
}

void log_write_about(const struct log_sink *list, int count, enum log_level level,
                     const struct log_context *about, const char *text)
{
    int saved = errno;
    if (count || log_wants(level))
        emit_line(count ? list : NULL, count, &(struct line){level, text, about, 0});
    errno = saved;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_wants(level))
        return;
    int saved = errno;
    va_list args;
    va_start(args, format);
    emit_formatted(level, 0, format, args);
    va_end(args);
    errno = saved;
}

void log_errno(enum log_level level, int error, const char *format, ...)
{
    if (!log_wants(level))
        return;
    int saved = errno;
    va_list args;
    va_start(args, format);
    emit_formatted(level, error, format, args);
    va_end(args);
    errno = saved;
}
