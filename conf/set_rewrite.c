/*
 * conf/set_rewrite.c - the steps of the rewrite module: return, rewrite, set, if, break.
 */
#include "conf/conf.h"
#include "conf/directive.h"

static struct conf_op *add_op(struct conf_walk *w, enum conf_op_kind kind, const struct conf_node *n)
{
    struct conf_op *op = conf_must(arena_zalloc(&w->conf->arena, sizeof *op)), **tail = &w->location->ops;
    *op = (struct conf_op){.kind = kind, .node = n};
    while (*tail)
        tail = &(*tail)->next;
    *tail = op;
    return op;
}

static bool redirects(int code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

/* return CODE [TEXT] | return CODE URL | return URL */
void conf_set_return(struct conf_walk *w, const struct conf_node *n)
{
    if (w->location->ret)
        /* The first one answers; nginx runs no further either. */
        return;
    struct conf_return *r = conf_must(arena_zalloc(&w->conf->arena, sizeof *r));
    int64_t code;
    r->node = n;
    if (conf_parse_number(n->args[0], &code) && code >= 100 && code <= 999) {
        r->code = (int)code;
        if (n->nargs == 2)
            r->text = n->args[1];
        if (redirects(r->code) && !r->text.data)
            r->text = SLICE("");
    } else if (n->nargs == 1 &&
               (slice_starts(n->args[0], SLICE("http://")) || slice_starts(n->args[0], SLICE("https://")) ||
                slice_starts(n->args[0], SLICE("$scheme")))) {
        r->code = 302;
        r->text = n->args[0];
    } else {
        conf_error(
            &w->conf->errors, n,
            "invalid return code \"%.*s\"; it is a number from 100 to 999: return CODE [TEXT | URL]; or return URL;",
            SLICE_ARGS(n->args[0]));
        return;
    }
    if (w->location->ops || w->location->is_if)
        add_op(w, CONF_OP_RETURN, n)->ret = r;
    else
        /* The first step of all: what follows never runs. */
        w->location->ret = r;
}

/* rewrite REGEX REPLACEMENT [FLAG]; set $NAME VALUE; break; what they say is checked when they are compiled. */
void conf_set_rewrite(struct conf_walk *w, const struct conf_node *n)
{
    add_op(w,
           slice_eq(n->name, SLICE("set"))     ? CONF_OP_SET
           : slice_eq(n->name, SLICE("break")) ? CONF_OP_BREAK
                                               : CONF_OP_REWRITE,
           n);
}

/* A block inside a location, with settings of its own, which inherit from the location around it. */
static struct conf_location *walk_inner(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_location *l = conf_must(arena_zalloc(&w->conf->arena, sizeof *l)), **tail = &w->location->ifs;
    *l = (struct conf_location){.match = w->location->match,
                                .pattern = w->location->pattern,
                                .parent = w->location,
                                .is_if = true,
                                .node = n};
    while (*tail)
        tail = &(*tail)->next;
    *tail = l;
    conf_walk_location(w, l);
    return l;
}

static bool is_nested(struct conf_walk *w, const struct conf_node *n)
{
    if (w->location->is_if)
        conf_error(&w->conf->errors, n, "\"%.*s\" directive is not allowed inside \"if\" or \"limit_except\"",
                   SLICE_ARGS(n->name));
    return w->location->is_if;
}

void conf_set_if(struct conf_walk *w, const struct conf_node *n)
{
    if (is_nested(w, n))
        return;
    struct conf_op *op = add_op(w, CONF_OP_IF, n);
    op->then = walk_inner(w, n);
}

void conf_set_limit_except(struct conf_walk *w, const struct conf_node *n)
{
    if (is_nested(w, n))
        return;
    if (w->location->except)
        conf_error(&w->conf->errors, n, "\"limit_except\" directive is duplicate; remove one of them");
    w->location->except = walk_inner(w, n);
}
