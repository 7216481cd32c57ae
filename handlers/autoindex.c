/*
 * handlers/autoindex.c - reading a directory, and writing its list: directories first, then files, each by name.
 *
 * Names that begin with a dot are left out. The HTML is the one that clients of nginx know how to read.
 */
#include "handlers/autoindex.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "base/symlinks.h"
#include "conf/rows.h"
#include "http/request/exchange.h"
#include "http/site/feature.h"
#include "http/wire/request.h"
#include "http/wire/response.h"
#include "http/wire/uri.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_COLUMNS = 50, NAME_SHOWN = NAME_COLUMNS - 3, SIZE_COLUMNS = 19, ENTRIES_MAX = 100000 };

enum autoindex_form { AUTOINDEX_HTML, AUTOINDEX_XML, AUTOINDEX_JSON, AUTOINDEX_JSONP };

struct autoindex_settings {
    bool on, exact_size, localtime;
    enum autoindex_form format;
};

struct part autoindex_settings_part = {.size = sizeof(struct autoindex_settings)};
SETTINGS_PART(autoindex_settings)

struct entry {
    struct slice name;
    bool directory, file;
    int64_t size;
    time_t modified;
};

struct listing {
    struct entry *items;
    size_t count, room;
};

static int compare_listed(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->directory != y->directory)
        return x->directory ? -1 : 1;
    return strcmp(x->name.data, y->name.data);
}

static bool add_listed(struct http_exchange *ex, struct listing *list, int dir, const char *name)
{
    struct stat st;
    if (name[0] == '.' ||
        (fstatat(dir, name, &st, 0) < 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0))
        return true; /* hidden, or gone meanwhile */
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct entry *more = realloc(list->items, room * sizeof *more);
        if (!more)
            return false;
        list->items = more;
        list->room = room;
    }
    assert(list->count < list->room);
    struct slice copy = arena_dup(&ex->arena, slice_of(name));
    list->items[list->count++] =
        (struct entry){copy, S_ISDIR(st.st_mode), S_ISREG(st.st_mode), st.st_size, st.st_mtim.tv_sec};
    return copy.data != NULL;
}

/* As the location wants links to be looked at: between a check and an open by name the directory could be replaced. */
static DIR *open_listed_directory(struct slice path, const struct file_rules *rules)
{
    if (!rules->symlinks)
        return opendir(path.data);
    int fd = symlinks_open(path.data, rules->symlinks, rules->symlinks_from);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

/* 0, or a status. */
static int read_directory(struct http_exchange *ex, struct slice path, const struct file_rules *rules,
                          struct listing *list)
{
    DIR *dir = open_listed_directory(path, rules);
    if (!dir) {
        int status = errno == EACCES || errno == ELOOP                              ? 403
                     : errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG ? 404
                                                                                    : 500;
        http_log(ex, LOG_LEVEL_ERROR, "opendir() \"%.*s\" failed (%d: %s)", SLICE_ARGS(path), errno,
                 strerror(errno));
        return status;
    }
    bool ok = true;
    for (struct dirent *d; ok && list->count < ENTRIES_MAX && (d = readdir(dir));)
        ok = add_listed(ex, list, dirfd(dir), d->d_name);
    closedir(dir);
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, compare_listed);
    return ok ? 0 : 500;
}

/* --- HTML --- */

static bool append_html_name(struct buf *out, struct slice text)
{
    bool ok = true;
    for (size_t i = 0; ok && i < text.len; i++) {
        char c = text.data[i];
        ok = c == '<'   ? buf_append(out, "&lt;", 4)
             : c == '>' ? buf_append(out, "&gt;", 4)
             : c == '&' ? buf_append(out, "&amp;", 5)
             : c == '"' ? buf_append(out, "&quot;", 6)
                        : buf_append(out, &c, 1);
    }
    return ok;
}

/* Bytes of the first `columns` characters of UTF-8, and how many characters there are in all. */
static size_t cut_to_columns(struct slice name, size_t columns, size_t *characters)
{
    size_t bytes = name.len;
    *characters = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (((unsigned char)name.data[i] & 0xc0) == 0x80)
            continue;
        if (*characters == columns)
            bytes = i;
        ++*characters;
    }
    return bytes;
}

static bool append_size(struct buf *out, const struct settings *s, const struct entry *e)
{
    static const char units[] = " KMG";
    if (e->directory)
        return buf_printf(out, "%*s", autoindex_settings_of(s)->exact_size ? SIZE_COLUMNS : SIZE_COLUMNS - 12,
                          "-");
    if (autoindex_settings_of(s)->exact_size)
        return buf_printf(out, "%*lld", SIZE_COLUMNS, (long long)e->size);
    int64_t size = e->size;
    int unit = 0;
    for (int64_t least = 9999; size > least && unit < 3; unit++, least = 1023)
        size /= 1024;
    if (unit)
        size = (e->size + (1ll << (10 * unit - 1))) >> 10 * unit;
    return unit ? buf_printf(out, "%*lld%c", SIZE_COLUMNS - 13, (long long)size, units[unit])
                : buf_printf(out, "%*lld", SIZE_COLUMNS - 12, (long long)size);
}

static bool append_row(struct http_exchange *ex, const struct settings *s, const struct entry *e,
                       struct buf *out)
{
    char date[32];
    struct tm tm;
    struct slice link = http_encode_segment(&ex->arena, e->name);
    struct slice shown = e->directory ? arena_printf(&ex->arena, "%.*s/", SLICE_ARGS(e->name)) : e->name;
    size_t characters, bytes = cut_to_columns(shown, NAME_COLUMNS, &characters);
    bool longer = characters > NAME_COLUMNS;
    if (longer)
        bytes = cut_to_columns(shown, NAME_SHOWN, &characters);
    if (autoindex_settings_of(s)->localtime)
        localtime_r(&e->modified, &tm);
    else
        gmtime_r(&e->modified, &tm);
    strftime(date, sizeof date, "%d-%b-%Y %H:%M", &tm);
    return link.data && buf_append(out, "<a href=\"", 9) && buf_append_slice(out, link) &&
           (!e->directory || buf_append(out, "/", 1)) && buf_append(out, "\">", 2) &&
           append_html_name(out, (struct slice){shown.data, bytes}) &&
           buf_printf(out, "%s</a>%*s %s ", longer ? "..&gt;" : "",
                      longer ? 0 : (int)(NAME_COLUMNS - characters), "", date) &&
           append_size(out, s, e) && buf_append(out, "\r\n", 2);
}

static bool write_html(struct http_exchange *ex, const struct settings *s, const struct listing *list,
                       struct buf *out)
{
    bool ok = buf_append_slice(out, SLICE("<html>\r\n<head><title>Index of ")) &&
              append_html_name(out, ex->req.path) &&
              buf_append_slice(out, SLICE("</title></head>\r\n<body>\r\n<h1>Index of ")) &&
              append_html_name(out, ex->req.path) &&
              buf_append_slice(out, SLICE("</h1><hr><pre><a href=\"../\">../</a>\r\n"));
    for (size_t i = 0; ok && i < list->count; i++)
        ok = append_row(ex, s, &list->items[i], out);
    return ok && buf_append_slice(out, SLICE("</pre><hr></body>\r\n</html>\r\n"));
}

/* --- JSON --- */

static bool write_json(const struct listing *list, struct buf *out)
{
    bool ok = buf_append(out, "[", 1);
    for (size_t i = 0; ok && i < list->count; i++) {
        const struct entry *e = &list->items[i];
        char date[CLOCK_HTTP_DATE_BYTES + 1];
        clock_http_date(e->modified, date);
        ok = buf_printf(out, "%s\r\n{ \"name\":\"", i ? "," : "") && buf_append_json(out, e->name) &&
             buf_printf(out, "\", \"type\":\"%s\", \"mtime\":\"%s\"",
                        e->directory ? "directory"
                        : e->file    ? "file"
                                     : "other",
                        date) &&
             (!e->file || buf_printf(out, ", \"size\":%lld", (long long)e->size)) && buf_append(out, " }", 2);
    }
    return ok && buf_append(out, "\r\n]", 3);
}

/* --- XML --- */

static bool write_xml(const struct listing *list, struct buf *out)
{
    bool ok = buf_append_slice(out, SLICE("<?xml version=\"1.0\"?>\r\n<list>\r\n"));
    for (size_t i = 0; ok && i < list->count; i++) {
        const struct entry *e = &list->items[i];
        const char *kind = e->directory ? "directory" : e->file ? "file" : "other";
        char date[32];
        struct tm tm;
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&e->modified, &tm));
        ok = buf_printf(out, "<%s mtime=\"%s\"", kind, date) &&
             (!e->file || buf_printf(out, " size=\"%lld\"", (long long)e->size)) && buf_append(out, ">", 1) &&
             append_html_name(out, e->name) && buf_printf(out, "</%s>\r\n", kind);
    }
    return ok && buf_append_slice(out, SLICE("</list>\r\n"));
}

/* --- JSONP --- */

/* A client's name of a function must not bring statements of its own. */
static bool is_function_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.data[i]) && name.data[i] != '_' && name.data[i] != '$' &&
            name.data[i] != '.')
            return false;
    return name.len > 0 && !isdigit((unsigned char)name.data[0]);
}

/* Without a callback it is JSON. */
static bool write_jsonp(const struct listing *list, struct slice callback, struct buf *out)
{
    if (!callback.len)
        return write_json(list, out);
    return buf_printf(out, "/* callback */\r\n%.*s(", SLICE_ARGS(callback)) && write_json(list, out) &&
           buf_append(out, ");", 2);
}

/* --- */

bool autoindex_pick(struct http_exchange *ex, const struct file_rules *rules, struct slice dir,
                    struct slice *name)
{
    struct listing list = {0};
    unsigned random_number;
    size_t files = 0;
    if (read_directory(ex, dir, rules, &list) != 0 ||
        getrandom(&random_number, sizeof random_number, 0) != sizeof random_number) {
        free(list.items);
        return false;
    }
    for (size_t i = 0; i < list.count; i++)
        if (list.items[i].file)
            list.items[files++] = list.items[i];
    if (files)
        *name = list.items[random_number % files].name;
    free(list.items);
    return files > 0;
}

static const char *const types[] = {[AUTOINDEX_HTML] = "text/html",
                                    [AUTOINDEX_XML] = "text/xml; charset=utf-8",
                                    [AUTOINDEX_JSON] = "application/json",
                                    [AUTOINDEX_JSONP] = "application/javascript"};

static bool write_list(struct http_exchange *ex, const struct settings *s, const struct listing *list,
                       enum autoindex_form *form, struct buf *out)
{
    struct slice callback = http_find_arg(ex->req.args, SLICE("callback"));
    switch (*form) {
    case AUTOINDEX_XML:
        return write_xml(list, out);
    case AUTOINDEX_JSONP:
        if (!is_function_name(callback))
            *form = AUTOINDEX_JSON;
        return write_jsonp(list, *form == AUTOINDEX_JSONP ? callback : (struct slice){0}, out);
    case AUTOINDEX_JSON:
        return write_json(list, out);
    default:
        return write_html(ex, s, list, out);
    }
}

int autoindex_answer(struct http_exchange *ex, const struct settings *s, const struct file_rules *rules,
                     struct slice dir)
{
    struct listing list = {0};
    struct buf out = {0};
    int status = read_directory(ex, dir, rules, &list);
    enum autoindex_form form = autoindex_settings_of(s)->format;
    if (status == 0 && !write_list(ex, s, &list, &form, &out))
        status = 500;
    free(list.items);
    if (status == 0) {
        struct slice text = arena_dup(&ex->arena, buf_slice(&out));
        ex->res.status = 200;
        ex->res.content_type = slice_of(types[form]);
        status = text.data && http_add_memory(&ex->res, &ex->arena, text.data, text.len) ? 0 : 500;
    }
    buf_free(&out);
    return status;
}

bool autoindex_is_on(const struct settings *s)
{
    return autoindex_settings_of(s)->on;
}

#define PART(member) CONF_PART_FIELD(autoindex_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "autoindex", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(on), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether a folder without an index file is answered with the list of its files."},
    {.name = "autoindex_exact_size", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(exact_size), .default_text = "on", .live = CONF_LIVE,
     .help = "Sizes of that list in bytes, or rounded to K, M and G."},
    {.name = "autoindex_localtime", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(localtime), .default_text = "off", .live = CONF_LIVE,
     .help = "Times of that list in the local time zone, or in UTC."},
    {.name = "autoindex_format", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(format), .default_text = "html", .live = CONF_LIVE,
     .words = WORDS("html", "xml", "json", "jsonp"),
     .help = "The form of that list; jsonp takes the name of the function from the argument callback."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_FILES, rows, NULL};

const struct feature feature_autoindex = {.name = "autoindex", .table = &table};
