/*
 * http/serve/rewrite.c - running the steps of the rewrite module: set, if, rewrite, break, return (nginx,
 * ngx_http_rewrite_module).
 *
 * The server's steps run first, then those of the location that the path leads to; a path that has changed leads to
 * another location, and so on, ten times at most.
 */
#include "http/serve/rewrite.h"

#include "base/arena.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "handlers/static.h"
#include "http/access/access.h"
#include "http/request/assign.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"
#include "http/request/template.h"
#include "http/serve/stand.h"
#include "http/site/rewrite_ops.h"
#include "http/site/router.h"
#include "http/site/site.h"
#include "http/wire/uri.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CYCLES_MAX = 10, REWRITTEN_MAX = 64 << 10 };

enum progress {
    GO_ON,
    LOOK_AGAIN, /* rewrite ... last: another location */
    STOP,       /* break */
    ANSWER      /* return, or a redirect */
};

static enum progress run_ops(struct http_exchange *ex, const struct rewrite_op *ops, bool *changed);

/* --- expressions --- */

static bool is_logged(struct http_exchange *ex)
{
    return ex->route.location && rewrite_settings_of(ex->route.settings)->log;
}

static bool match_op(struct http_exchange *ex, const struct rewrite_op *op, struct slice text)
{
    bool found = http_regex_match(op->regex, text, &ex->route.location_captures);
    /* As in nginx: $1 is of the last expression, whose groups are empty now. */
    if (!found)
        ex->route.location_captures.count = ex->route.server_captures.count = 0;
    if (is_logged(ex))
        http_log(ex, LOG_LEVEL_NOTICE,
                 found ? "\"%.*s\" matches \"%.*s\"" : "\"%.*s\" does not match \"%.*s\"",
                 SLICE_ARGS(op->pattern), SLICE_ARGS(text));
    return found;
}

/* --- if --- */

static bool test_file(struct http_exchange *ex, const struct rewrite_op *op, struct slice path)
{
    struct stat st;
    if (path.len == 0 || !static_stat(ex, &ex->route.location->files, &ex->worker->files, path, &st))
        return false;
    switch (op->test) {
    case TEST_FILE:
        return S_ISREG(st.st_mode);
    case TEST_FOLDER:
        return S_ISDIR(st.st_mode);
    case TEST_EXECUTABLE:
        return access(path.data, X_OK) == 0;
    default:
        return true;
    }
}

static bool condition_holds(struct http_exchange *ex, const struct rewrite_op *op)
{
    struct slice left = http_template_expand(op->value, ex);
    bool result;
    switch (op->test) {
    case TEST_TRUE:
        result = left.len > 0 && !slice_eq(left, SLICE("0"));
        break;
    case TEST_EQUAL:
        result = slice_eq(left, http_template_expand(op->right, ex));
        break;
    case TEST_MATCH:
        result = match_op(ex, op, left);
        if (result)
            http_keep_named(ex, &ex->route.location_captures);
        break;
    default: /* paths end with a zero byte */
        result =
            test_file(ex, op, arena_printf(&ex->arena, "%.*s", (int)left.len, left.len ? left.data : ""));
    }
    return result != op->negated;
}

static enum progress run_if(struct http_exchange *ex, const struct rewrite_op *op, bool *changed)
{
    if (!condition_holds(ex, op))
        return GO_ON;
    if (op->location)
        request_use_location(ex, op->location);
    return run_ops(ex, op->then, changed);
}

/* --- rewrite --- */

/* In a Location header: what a path may not hold is encoded; "%" stays, as it may be an encoding already. */
static struct slice encode_url(struct http_exchange *ex, struct slice url)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(&ex->arena, 3 * url.len + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < url.len; i++) {
        unsigned char byte = (unsigned char)url.data[i];
        if (byte > ' ' && byte < 0x7f && byte != '"') {
            out[n++] = (char)byte;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[byte >> 4];
        out[n++] = digits[byte & 15];
    }
    assert(n <= 3 * url.len);
    return (struct slice){out, out ? n : 0};
}

/* The client's arguments behind those of the replacement. Empty is not absent: data is NULL where there never were any. */
static struct slice join_args(struct http_exchange *ex, const struct rewrite_op *op, struct slice own)
{
    struct slice old = ex->req.args;
    if (op->drops_args)
        old.len = 0;
    if (old.len == 0)
        return op->right ? own : old;
    return own.len ? arena_printf(&ex->arena, "%.*s&%.*s", SLICE_ARGS(own), SLICE_ARGS(old)) : old;
}

static enum progress redirect_by_rewrite(struct http_exchange *ex, const struct rewrite_op *op,
                                         struct slice path, struct slice args)
{
    struct slice url = args.len || op->right
                           ? arena_printf(&ex->arena, "%.*s?%.*s", SLICE_ARGS(path), SLICE_ARGS(args))
                           : path;
    if (is_logged(ex))
        http_log(ex, LOG_LEVEL_NOTICE, "rewritten redirect: \"%.*s\"", SLICE_ARGS(url));
    ex->route.return_code = op->code;
    ex->route.return_text = http_template_constant(&ex->arena, encode_url(ex, url));
    return ANSWER;
}

/* As in nginx, captures of a path that was written with escapes are escaped again where they become arguments. */
static struct slice expand_replacement(struct http_exchange *ex, const struct http_template *t, bool as_args)
{
    if (!t)
        return (struct slice){0};
    assert(!ex->escape_captures);
    ex->escape_captures = as_args && (memchr(ex->req.uri.data, '%', ex->req.uri.len) ||
                                      memchr(ex->req.uri.data, '+', ex->req.uri.len));
    struct slice text = http_template_expand(t, ex);
    ex->escape_captures = false;
    return text.len ? arena_dup(&ex->arena, text) : text;
}

static enum progress fail_rewrite(struct http_exchange *ex)
{
    ex->route.return_code = 500;
    ex->route.return_text = NULL;
    return ANSWER;
}

static enum progress run_rewrite(struct http_exchange *ex, const struct rewrite_op *op, bool *changed)
{
    if (!match_op(ex, op, ex->req.path))
        return GO_ON;
    http_keep_named(ex, &ex->route.location_captures);
    struct slice path = expand_replacement(ex, op->value, op->code != 0),
                 own = expand_replacement(ex, op->right, true);
    struct slice args = join_args(ex, op, own);
    if (!op->code && is_logged(ex))
        http_log(ex, LOG_LEVEL_NOTICE, "rewritten data: \"%.*s\", args: \"%.*s\"", SLICE_ARGS(path),
                 SLICE_ARGS(args));
    if (op->code)
        return redirect_by_rewrite(ex, op, path, args);
    if (path.len == 0 || path.data[0] != '/' || path.len > REWRITTEN_MAX || args.len > REWRITTEN_MAX) {
        http_log(ex, LOG_LEVEL_ERROR, "the rewritten URI \"%.*s\" does not begin with \"/\", or is too long",
                 (int)(path.len < 100 ? path.len : 100), path.len ? path.data : "");
        return fail_rewrite(ex);
    }
    ex->req.path = path;
    ex->req.args = args;
    ex->route.rewritten = ex->route.is_internal = true;
    ex->route.path_is_final = op->stop;
    *changed = !op->stop;
    return op->last ? LOOK_AGAIN : op->stop ? STOP : GO_ON;
}

/* --- all of them --- */

static enum progress run_ops(struct http_exchange *ex, const struct rewrite_op *ops, bool *changed)
{
    enum progress progress = GO_ON;
    for (const struct rewrite_op *op = ops; op && progress == GO_ON; op = op->next) {
        switch (op->kind) {
        case CONF_OP_SET:
            http_assign(ex, op->variable, http_template_expand(op->value, ex));
            break;
        case CONF_OP_IF:
            progress = run_if(ex, op, changed);
            break;
        case CONF_OP_REWRITE:
            progress = run_rewrite(ex, op, changed);
            break;
        case CONF_OP_RETURN:
            ex->route.return_code = op->code;
            ex->route.return_text = op->value;
            progress = ANSWER;
            break;
        default:
            /* "break": a path that has changed stays in this location. */
            ex->route.path_is_final |= *changed;
            *changed = false;
            progress = STOP;
        }
    }
    return progress;
}

static void keep_named_of_location(void *ex, const struct http_captures *captures)
{
    http_keep_named(ex, captures);
}

static const struct location *find_location(struct http_exchange *ex)
{
    const struct vserver *server = ex->route.server;
    const struct location *l = http_locations_find(server->locations, ex->req.path,
                                                   &ex->route.location_captures, keep_named_of_location, ex);
    return l ? l : server->top;
}

void rewrite_in_location(struct http_exchange *ex, const struct location *l)
{
    for (int cycles = 0;; cycles++) {
        bool changed = false;
        ex->route.path_is_final = false;
        request_use_location(ex, l);
        if (l->internal && !ex->route.is_internal) {
            ex->route.return_code = 404;
            ex->route.return_text = NULL;
            return;
        }
        const struct location *limited = access_limited(ex, l);
        /* The steps of limit_except take the place of the location's, as in nginx. */
        if (limited != l)
            request_use_location(ex, limited);
        l = limited;
        if (!l->ops || run_ops(ex, l->ops, &changed) == ANSWER || !changed)
            return;
        if (cycles >= CYCLES_MAX) {
            http_log(ex, LOG_LEVEL_ERROR, "rewrite or internal redirection cycle while processing \"%.*s\"",
                     SLICE_ARGS(ex->req.path));
            ex->route.return_code = 500;
            ex->route.return_text = NULL;
            return;
        }
        l = find_location(ex);
    }
}

/* As in nginx: "/name" is sent to "/name/", where a location of that name passes requests on and none is for the first. */
static bool add_slash(struct http_exchange *ex, const struct location *found)
{
    const struct vserver *server = ex->route.server;
    struct slice path = ex->req.path, args = ex->req.args;
    const struct location *l = server->slashed;
    while (l && !(l->name.len == path.len + 1 && slice_starts(l->name, path)))
        l = l->next_slashed;
    if (!l || slice_eq(found->name, path))
        return false;
    struct slice encoded = http_encode_path(&ex->arena, path);
    request_use_location(ex, l);
    ex->route.return_code = 301;
    ex->route.return_text = http_template_constant(
        &ex->arena, arena_printf(&ex->arena, "%.*s/%s%.*s", SLICE_ARGS(encoded), args.len ? "?" : "",
                                 (int)args.len, args.len ? args.data : ""));
    return true;
}

void rewrite_route(struct http_exchange *ex)
{
    const struct vserver *server = ex->route.server;
    bool changed = false;
    assert(server && ex->req.path.len > 0);
    if (server->top->ops && ex->req.path.data[0] == '/') {
        request_use_location(ex, server->top);
        if (run_ops(ex, server->top->ops, &changed) == ANSWER)
            return;
    }
    const struct location *l = find_location(ex);
    if (server->slashed && add_slash(ex, l))
        return;
    if (l == server->top)
        request_use_location(ex, l); /* the server's steps have run */
    else
        rewrite_in_location(ex, l);
}
