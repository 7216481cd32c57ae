/*
 * conf/tree.c - statements and blocks from tokens, with "include" expanded in place.
 *
 * Reading goes on behind a mistake where that is possible; where braces or quotes do not match it is not, since what follows
 * cannot be trusted. Errors of meaning are left to conf/walk.c, which reports all of them.
 */
#include "conf/tree.h"

#include "base/fd.h"
#include "conf/token.h"

#include <errno.h>
#include <glob.h>
#include <stdint.h>
#include <stdlib.h>

enum { FILE_MAX_BYTES = 64 << 20, INCLUDE_DEPTH_MAX = 16, BLOCK_DEPTH_MAX = 64, ARGS_MAX = 4096 };

struct reader {
    struct conf_tree *tree;
    struct conf_lexer lexer;
    struct slice file;
    int include_depth;
    int block_depth;
    bool is_parameter; /* of -g */
    /* A "}" has been read already: it ended a statement without ";". */
    bool closed;
    int closed_at; /* its line */
};

static bool read_path(struct conf_tree *tree, struct slice path, int depth, const struct conf_node *from,
                      struct conf_node ***tail);

const struct conf_node *conf_tree_find(const struct conf_tree *tree, const char *name)
{
    const struct conf_node *n = tree->root;
    while (n && !slice_eq(n->name, slice_of(name)))
        n = n->next;
    return n;
}

struct slice conf_place(struct arena *arena, const struct conf_node *node)
{
    return node ? arena_printf(arena, " in %.*s:%d", SLICE_ARGS(node->file), node->line) : SLICE("");
}

void conf_error(struct conf_errors *errors, const struct conf_node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct slice text = arena_vprintf(errors->arena, format, args);
    va_end(args);
    /* A wrong file's bytes must not reach a terminal as they are. */
    char *p = (char *)(uintptr_t)text.data;
    for (size_t i = 0; p && i < text.len; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            p[i] = '?';
    struct conf_error *e = arena_zalloc(errors->arena, sizeof *e);
    if (!e)
        /* Out of memory while reading a configuration: nothing sensible is left to do. */
        abort();
    e->message = node ? arena_printf(errors->arena, "%.*s in %.*s:%d", SLICE_ARGS(text),
                                     SLICE_ARGS(node->file), node->line)
                      : text;
    e->text = text;
    if (node) {
        e->file = node->file;
        e->line = node->line;
    }
    for (const struct conf_error *known = errors->first; known; known = known->next)
        if (e->message.data && slice_eq(known->message, e->message))
            return; /* a line that several locations inherit */
    if (errors->last)
        errors->last->next = e;
    else
        errors->first = e;
    errors->last = e;
    errors->count++;
}

/* All of the reading functions return false to stop. */
static bool syntax_error(struct reader *r, int line, const char *format, ...)
{
    struct conf_node at = {.file = r->file, .line = line};
    va_list args;
    va_start(args, format);
    struct slice text = arena_vprintf(r->tree->arena, format, args);
    va_end(args);
    conf_error(r->tree->errors, &at, "%.*s", SLICE_ARGS(text));
    return true;
}

static bool broken(struct reader *r)
{
    r->tree->broken = true;
    return false;
}

/* Expands "include PATTERN;" where it stands. A pattern without wildcards must name an existing file. */
static bool expand_include(struct reader *r, const struct conf_node *n, struct conf_node ***tail)
{
    struct conf_tree *tree = r->tree;
    if (n->nargs != 1) {
        conf_error(tree->errors, n, "\"include\" takes one file name or pattern");
        return true;
    }
    if (r->include_depth >= INCLUDE_DEPTH_MAX) {
        conf_error(tree->errors, n, "\"include\" nested deeper than %d; does a file include itself?",
                   INCLUDE_DEPTH_MAX);
        return broken(r);
    }
    struct slice path = n->args[0];
    if (path.data[0] != '/')
        path = arena_printf(tree->arena, "%.*s/%.*s", SLICE_ARGS(tree->conf_dir), SLICE_ARGS(path));
    if (!strpbrk(path.data, "*?["))
        return read_path(tree, path, r->include_depth + 1, n, tail);
    glob_t found = {0};
    int rc = glob(path.data, 0, NULL, &found);
    bool ok = true;
    if (rc != 0 && rc != GLOB_NOMATCH)
        conf_error(tree->errors, n, "cannot expand \"%s\"; check the folder's permissions", path.data);
    for (size_t i = 0; ok && i < found.gl_pathc; i++)
        ok = read_path(tree, arena_dup(tree->arena, slice_of(found.gl_pathv[i])), r->include_depth + 1, n,
                       tail);
    globfree(&found);
    return ok;
}

/* Reads one statement's words up to ";" or "{". Returns the token that ended them; *mistaken when some were none. */
static struct conf_token read_words(struct reader *r, struct conf_node *n, bool *mistaken)
{
    struct slice *args = NULL;
    int cap = 0;
    for (;;) {
        struct conf_token t = conf_next_token(&r->lexer);
        if (t.kind == CONF_TOKEN_MISTAKE) {
            syntax_error(r, t.line, "%s", t.text.data);
            *mistaken = true;
            continue;
        }
        if (t.kind != CONF_TOKEN_WORD)
            return t;
        if (n->nargs == ARGS_MAX)
            return (struct conf_token){CONF_TOKEN_ERROR,
                                       SLICE("too many words in one statement; is a \";\" missing?"), t.line};
        if (n->nargs == cap) {
            cap = cap ? cap * 2 : 4;
            struct slice *more = arena_alloc(r->tree->arena, (size_t)cap * sizeof *more);
            if (!more)
                abort(); /* see conf_error */
            if (n->nargs)
                memcpy(more, args, (size_t)n->nargs * sizeof *more);
            args = more;
        }
        args[n->nargs++] = t.text;
        n->args = args;
    }
}

static bool read_block(struct reader *r, struct conf_node ***tail, const struct conf_node *opener);

static bool end_statement(struct reader *r, struct conf_node *n, struct conf_node ***tail)
{
    if (slice_eq(n->name, SLICE("include")))
        return expand_include(r, n, tail);
    **tail = n;
    *tail = &n->next;
    return true;
}

/* "content_by_lua_block { ... }" of OpenResty: what stands in it is not for us. */
static bool is_lua_block(struct slice name)
{
    struct slice end = SLICE("_by_lua_block");
    return name.len > end.len && slice_eq(slice_from(name, name.len - end.len), end);
}

/* One with mistakes is read to its end, and left away. */
static bool read_statement(struct reader *r, struct conf_token name, struct conf_node ***tail)
{
    struct conf_node *left_away = NULL, **none = &left_away;
    struct conf_node *n = arena_zalloc(r->tree->arena, sizeof *n);
    bool mistaken = false;
    if (!n)
        abort(); /* see conf_error */
    *n = (struct conf_node){.name = name.text, .file = r->file, .line = name.line};
    struct conf_token end = read_words(r, n, &mistaken);
    if (mistaken)
        tail = &none;
    switch (end.kind) {
    case CONF_TOKEN_SEMICOLON:
        return mistaken || end_statement(r, n, tail);
    case CONF_TOKEN_OPEN: {
        struct conf_node **children = &n->children;
        n->has_block = true;
        **tail = n;
        *tail = &n->next;
        if (is_lua_block(n->name)) {
            if (conf_skip_foreign_block(&r->lexer))
                return true;
            syntax_error(r, end.line, "unexpected end of file, expecting the \"}\" of this block");
            return broken(r);
        }
        return read_block(r, &children, n);
    }
    case CONF_TOKEN_CLOSE: /* the statement is complete otherwise */
        r->closed = syntax_error(r, end.line, "unexpected \"}\"; is a \";\" missing before it?");
        r->closed_at = end.line;
        return mistaken || end_statement(r, n, tail);
    case CONF_TOKEN_END:
        syntax_error(r, end.line,
                     r->is_parameter ? "unexpected end of parameter, expecting \";\""
                                     : "unexpected end of file, expecting \";\" or \"}\"");
        return broken(r);
    default:
        syntax_error(r, end.line, "%s", end.text.data);
        return broken(r);
    }
}

static struct conf_token next_in_block(struct reader *r)
{
    if (!r->closed)
        return conf_next_token(&r->lexer);
    r->closed = false;
    return (struct conf_token){CONF_TOKEN_CLOSE, SLICE("}"), r->closed_at};
}

/* opener is the statement whose block it is, or NULL at the top of a file. */
static bool read_block(struct reader *r, struct conf_node ***tail, const struct conf_node *opener)
{
    if (++r->block_depth > BLOCK_DEPTH_MAX) {
        syntax_error(r, opener ? opener->line : 1, "blocks nested too deep");
        return broken(r);
    }
    for (;;) {
        bool told = r->closed;
        struct conf_token t = next_in_block(r);
        switch (t.kind) {
        case CONF_TOKEN_WORD:
            if (!read_statement(r, t, tail))
                return false;
            break;
        case CONF_TOKEN_CLOSE:
            if (opener) {
                r->block_depth--;
                return true;
            }
            if (!told)
                syntax_error(r, t.line, "unexpected \"}\"; there is no block to close");
            /* One before it has closed too much, but its words can be read. */
            broken(r);
            break;
        case CONF_TOKEN_END:
            r->block_depth--;
            if (!opener)
                return true;
            syntax_error(r, t.line, "unexpected end of file, expecting \"}\" for the \"%.*s\" of line %d",
                         SLICE_ARGS(opener->name), opener->line);
            return broken(r);
        case CONF_TOKEN_SEMICOLON:
            syntax_error(r, t.line, "unexpected \";\"");
            break;
        case CONF_TOKEN_MISTAKE:
            syntax_error(r, t.line, "%s", t.text.data);
            break;
        case CONF_TOKEN_ERROR:
            syntax_error(r, t.line, "%s", t.text.data);
            return broken(r);
        case CONF_TOKEN_OPEN:
            syntax_error(r, t.line, "unexpected \"{\"");
            return broken(r);
        }
    }
}

/* What an editor has put before the text. It is named, as nobody can see it, and left out. */
static struct slice skip_mark(struct reader *r, struct slice text)
{
    if (slice_starts(text, SLICE("\xef\xbb\xbf"))) {
        syntax_error(r, 1, "the file begins with a byte order mark (EF BB BF); save it as UTF-8 without BOM");
        return slice_from(text, 3);
    }
    if (slice_starts(text, SLICE("\xff\xfe")) || slice_starts(text, SLICE("\xfe\xff"))) {
        syntax_error(r, 1, "the file is UTF-16; save it as UTF-8");
        broken(r);
        return (struct slice){0};
    }
    return text;
}

static bool read_named_text(struct conf_tree *tree, struct slice name, struct slice text, int depth,
                            struct conf_node ***tail)
{
    struct reader r = {.tree = tree, .file = name, .include_depth = depth};
    r.is_parameter = slice_eq(name, SLICE("command line"));
    text = skip_mark(&r, text);
    if (!text.data)
        text = SLICE("");
    r.lexer = (struct conf_lexer){tree->arena, text.data, text.data + text.len, 1};
    return read_block(&r, tail, NULL);
}

static bool read_path(struct conf_tree *tree, struct slice path, int depth, const struct conf_node *from,
                      struct conf_node ***tail)
{
    struct buf text = {0};
    if (fd_read_file(path.data, FILE_MAX_BYTES, &text) < 0) {
        conf_error(tree->errors, from, "open() \"%s\" failed (%d: %s); check the path and its permissions",
                   path.data, errno, strerror(errno));
        buf_free(&text);
        return true;
    }
    struct conf_file *f = arena_zalloc(tree->arena, sizeof *f);
    if (!f)
        abort(); /* see conf_error */
    f->path = path;
    f->text = arena_dup(tree->arena, buf_slice(&text));
    buf_free(&text);
    if (tree->last_file)
        tree->last_file->next = f;
    else
        tree->files = f;
    tree->last_file = f;
    return read_named_text(tree, path, f->text, depth, tail);
}

static struct conf_node **end_of(struct conf_tree *tree)
{
    struct conf_node **tail = &tree->root;
    while (*tail)
        tail = &(*tail)->next;
    return tail;
}

bool conf_tree_read_file(struct conf_tree *tree, const char *path)
{
    struct slice copy = arena_dup(tree->arena, slice_of(path));
    const char *slash = strrchr(path, '/');
    int before = tree->errors->count;
    tree->conf_dir = slash ? arena_dup(tree->arena, (struct slice){path, (size_t)(slash - path)})
                           : arena_dup(tree->arena, SLICE("."));
    struct conf_node **tail = end_of(tree);
    return read_path(tree, copy, 0, NULL, &tail) && tree->errors->count == before;
}

bool conf_tree_read_text(struct conf_tree *tree, const char *name, struct slice text)
{
    struct conf_node **tail = end_of(tree);
    int before = tree->errors->count;
    return read_named_text(tree, slice_of(name), arena_dup(tree->arena, text), 0, &tail) &&
           tree->errors->count == before;
}

static bool print_word(struct slice word, struct buf *out)
{
    bool ok = buf_append(out, "\"", 1);
    for (size_t i = 0; ok && i < word.len; i++) {
        if (word.data[i] == '"' || word.data[i] == '\\')
            ok = buf_append(out, "\\", 1);
        ok = ok && buf_append(out, &word.data[i], 1);
    }
    return ok && buf_append(out, "\" ", 2);
}

bool conf_tree_print(const struct conf_node *node, struct buf *out)
{
    bool ok = true;
    for (; ok && node; node = node->next) {
        ok = print_word(node->name, out);
        for (int i = 0; ok && i < node->nargs; i++)
            ok = print_word(node->args[i], out);
        if (ok && node->has_block)
            ok = buf_append(out, "{\n", 2) && conf_tree_print(node->children, out) &&
                 buf_append(out, "}\n", 2);
        else if (ok)
            ok = buf_append(out, ";\n", 2);
    }
    return ok;
}
