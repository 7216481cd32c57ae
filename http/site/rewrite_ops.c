/*
 * http/site/rewrite_ops.c - compiling the steps of the rewrite module, and the variables that they set.
 */
#include "http/site/rewrite_ops.h"

#include "conf/rows.h"
#include "http/site/feature.h"

#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"
#include "http/request/template.h"
#include "http/request/variables.h"
#include "http/site/build.h"
#include "http/site/site.h"

#include <stdlib.h>

struct part rewrite_settings_part = {.size = sizeof(struct rewrite_settings)};

/* --- variables of set --- */

/*
 * What a variable of `set` is before it is set: empty, or what a map, geo or split_clients of that name says, or what its
 * prefix means: "http_x" is the request's field till then.
 */
struct set_variable {
    struct slice name;
    const struct http_user_variable *otherwise; /* NULL: none */
    const struct http_variable *by_prefix;      /* likewise, with the rest of the name */
    struct slice rest;
    bool warns; /* if it is used before */
};

/* As in nginx: once for each request, and the value is empty from then on. */
static struct slice warn(struct http_exchange *ex, const struct set_variable *v)
{
    const struct location *l = ex->route.location;
    if (v->warns && (!l || rewrite_settings_of(l->settings)->warns_uninitialized))
        http_log(ex, LOG_LEVEL_WARN, "using uninitialized \"%.*s\" variable", SLICE_ARGS(v->name));
    if (v->warns)
        http_set_named(ex, v->name, SLICE(""));
    return SLICE("");
}

static struct slice get_set(struct http_exchange *ex, const void *data)
{
    const struct set_variable *v = data;
    const struct http_named *n = http_find_named(ex, v->name);
    if (n)
        return n->value;
    if (v->by_prefix)
        return v->by_prefix->get(ex, v->rest);
    return v->otherwise ? v->otherwise->get(ex, v->otherwise->data) : warn(ex, v);
}

static const struct http_user_variable *find_user(const struct site *site, struct slice name)
{
    const struct http_user_variable *v = site->scope.variables;
    while (v && !slice_eq_nocase(v->name, name))
        v = v->next;
    return v;
}

static void name_set(struct site *site, const struct conf_node *n)
{
    struct slice name = site_variable_name(n->args[0]);
    if (name.len == 0) {
        conf_error(&site->conf->errors, n,
                   "invalid variable name \"%.*s\" in \"%.*s\"; write: %.*s $NAME VALUE;",
                   SLICE_ARGS(n->args[0]), SLICE_ARGS(n->name), SLICE_ARGS(n->name));
        return;
    }
    if (slice_eq_nocase(name, SLICE("args")) || slice_eq_nocase(name, SLICE("limit_rate")))
        return;
    if (site_is_taken(site, name)) {
        conf_error(&site->conf->errors, n,
                   "the duplicate \"%.*s\" variable cannot be set; choose another name", SLICE_ARGS(name));
        return;
    }
    const struct http_user_variable *known = find_user(site, name);
    if (known && known->data)
        return;
    struct http_user_variable *v = site_array(site, 1, sizeof *v);
    struct set_variable *set = site_array(site, 1, sizeof *set);
    *set = (struct set_variable){.name = name, .otherwise = known, .warns = slice_eq(n->name, SLICE("set"))};
    set->by_prefix = http_find_variable(name, &set->rest);
    *v = (struct http_user_variable){name, get_set, set, site->scope.variables};
    site->scope.variables = v;
}

static const struct http_user_variable *find_other(const struct site *site, struct slice name)
{
    const struct http_user_variable *v = site->scope.variables;
    while (v && (v->get == get_set || !slice_eq_nocase(v->name, name)))
        v = v->next;
    return v;
}

static bool is_group(const struct site *site, struct slice name)
{
    const struct http_capture_names *group = site->scope.captures;
    while (group && !slice_eq_nocase(group->name, name))
        group = group->next;
    return group != NULL;
}

/* A variable that both `set` and a map, geo or split_clients has becomes one. */
static void join_variables(struct site *site)
{
    for (const struct http_user_variable *v = site->scope.variables; v; v = v->next) {
        const struct http_user_variable *other = v->get == get_set ? find_other(site, v->name) : NULL;
        struct set_variable *set = (struct set_variable *)(uintptr_t)v->data;
        if (v->get == get_set && is_group(site, v->name))
            set->warns = false; /* an expression that has not matched yet */
        if (!other || set->otherwise)
            continue;
        struct http_user_variable *front = site_array(site, 1, sizeof *front);
        set->otherwise = other;
        *front = (struct http_user_variable){v->name, get_set, set, site->scope.variables};
        site->scope.variables = front; /* the one that everybody finds from now on */
    }
}

static void name_sets_of(struct site *site, const struct conf_location *list)
{
    for (const struct conf_location *l = list; l; l = l->next) {
        for (const struct conf_op *op = l->ops; op; op = op->next) {
            if (op->kind == CONF_OP_SET)
                name_set(site, op->node);
            for (int i = 0; op->kind == CONF_OP_REWRITE && i < 1; i++)
                site_collect_groups(site, op->node->args[0], op->node);
            for (int i = 0; op->kind == CONF_OP_IF && i < op->node->nargs; i++)
                site_collect_groups(site, op->node->args[i], op->node);
        }
        features_each_set(site, &l->settings, name_set);
        name_sets_of(site, l->ifs);
        name_sets_of(site, l->locations);
    }
}

static void name_variables(struct site *site)
{
    for (const struct conf_server *s = site->conf->http ? site->conf->http->servers : NULL; s; s = s->next)
        name_sets_of(site, &s->top);
}

/* --- steps --- */

static void build_set(struct site *site, struct rewrite_op *op, const struct conf_node *n)
{
    op->value = site_compile(site, n->args[1], n);
    op->variable = site_set_variable(n);
}

static void build_rewrite(struct site *site, struct rewrite_op *op, const struct conf_node *n)
{
    struct slice to = n->args[1], flag = n->nargs > 2 ? n->args[2] : SLICE("");
    if (to.len == 0)
        conf_error(&site->conf->errors, n, "empty replacement of \"rewrite\"; write a URI");
    op->pattern = n->args[0];
    op->regex = site_compile_regex(site, op->pattern, false, n);
    op->last = slice_eq(flag, SLICE("last"));
    op->stop = slice_eq(flag, SLICE("break"));
    bool away = slice_starts(to, SLICE("http://")) || slice_starts(to, SLICE("https://")) ||
                slice_starts(to, SLICE("$scheme"));
    op->code = slice_eq(flag, SLICE("permanent")) ? 301 : slice_eq(flag, SLICE("redirect")) || away ? 302 : 0;
    if (flag.len && !op->last && !op->stop && !op->code)
        conf_error(&site->conf->errors, n,
                   "invalid parameter \"%.*s\" of \"rewrite\"; it is last, break, redirect or "
                   "permanent",
                   SLICE_ARGS(flag));
    op->drops_args = to.len && to.data[to.len - 1] == '?';
    if (op->drops_args)
        to.len--;
    const char *mark = to.len ? memchr(to.data, '?', to.len) : NULL;
    /* Only one that is written here parts path and arguments. */
    if (mark)
        op->right = site_compile(site, slice_from(to, (size_t)(mark - to.data) + 1), n);
    if (mark)
        to.len = (size_t)(mark - to.data);
    op->value = site_compile(site, to, n);
}

/* The words between the parentheses. Returns how many. */
static int cut_condition(const struct conf_node *n, struct slice words[3])
{
    int count = 0, last = n->nargs - 1;
    if (n->nargs == 0 || n->args[0].len == 0 || n->args[0].data[0] != '(' || n->args[last].len == 0 ||
        n->args[last].data[n->args[last].len - 1] != ')')
        return -1;
    for (int i = 0; i <= last; i++) {
        struct slice word = n->args[i];
        if (i == 0)
            word = slice_from(word, 1);
        if (i == last)
            word.len--;
        if (word.len == 0 && (i == 0 || i == last))
            continue; /* a parenthesis that stands alone */
        if (count == 3)
            return -1;
        words[count++] = word;
    }
    return count;
}

static bool build_unary(struct site *site, struct rewrite_op *op, const struct slice *words,
                        const struct conf_node *n)
{
    struct slice test = words[0];
    op->negated = test.len && test.data[0] == '!';
    test = slice_from(test, op->negated);
    op->test = slice_eq(test, SLICE("-f"))   ? TEST_FILE
               : slice_eq(test, SLICE("-d")) ? TEST_FOLDER
               : slice_eq(test, SLICE("-e")) ? TEST_EXISTS
               : slice_eq(test, SLICE("-x")) ? TEST_EXECUTABLE
                                             : TEST_TRUE;
    op->value = site_compile(site, words[1], n);
    return op->test != TEST_TRUE;
}

/* The first word of a condition is a name whole: "$arg_a-b" asks for the argument "a-b". */
static const struct http_template *compile_word(struct site *site, struct slice word,
                                                const struct conf_node *n)
{
    struct slice name = slice_from(word, 1);
    const struct http_template *t = http_template_variable(&site->arena, name, &site->scope);
    if (!t)
        site_unknown_variable(site, name, n);
    return t;
}

static bool build_binary(struct site *site, struct rewrite_op *op, const struct slice *words,
                         const struct conf_node *n)
{
    struct slice test = words[1];
    op->negated = test.len > 1 && test.data[0] == '!';
    test = slice_from(test, op->negated);
    op->value = compile_word(site, words[0], n);
    if (slice_eq(test, SLICE("="))) {
        op->test = TEST_EQUAL;
        op->right = site_compile(site, words[2], n);
        return true;
    }
    op->test = TEST_MATCH;
    if (!slice_eq(test, SLICE("~")) && !slice_eq(test, SLICE("~*")))
        return false;
    op->pattern = words[2];
    op->regex = site_compile_regex(site, words[2], test.len == 2, n);
    return true;
}

static struct rewrite_op *build_ops(struct site *site, const struct conf_location *l);

static void build_if(struct site *site, struct rewrite_op *op, const struct conf_op *c)
{
    struct slice words[3];
    int count = cut_condition(c->node, words);
    bool ok = count == 1   ? words[0].len > 1 && words[0].data[0] == '$'
              : count == 2 ? build_unary(site, op, words, c->node)
              : count == 3
                  ? words[0].len > 1 && words[0].data[0] == '$' && build_binary(site, op, words, c->node)
                  : false;
    if (count == 1 && ok)
        op->value = compile_word(site, words[0], c->node);
    if (!ok)
        conf_error(&site->conf->errors, c->node,
                   "invalid condition in \"if\"; write ($VARIABLE), ($VARIABLE = TEXT), "
                   "($VARIABLE ~ REGEX), (-f FILE), with ! before = ~ -f for the opposite");
    op->then = build_ops(site, c->then);
    bool top = c->then->parent->parent == NULL; /* a server's own: steps only */
    op->location = top ? NULL : site_build_location(site, c->then);
    if (op->location)
        op->location->ops = NULL; /* they are in op->then */
}

static struct rewrite_op *build_ops(struct site *site, const struct conf_location *l)
{
    struct rewrite_op *first = NULL, **tail = &first;
    for (const struct conf_op *c = l->ops; c; c = c->next) {
        struct rewrite_op *op = site_array(site, 1, sizeof *op);
        op->kind = (int)c->kind;
        if (c->kind == CONF_OP_SET)
            build_set(site, op, c->node);
        else if (c->kind == CONF_OP_REWRITE)
            build_rewrite(site, op, c->node);
        else if (c->kind == CONF_OP_IF)
            build_if(site, op, c);
        else if (c->kind == CONF_OP_RETURN) {
            op->code = c->ret->code;
            op->value = c->ret->text.data ? site_compile(site, c->ret->text, c->node) : NULL;
        }
        *tail = op;
        tail = &op->next;
    }
    return first;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    l->ops = build_ops(site, c);
}

#define PART(member) CONF_PART_FIELD(rewrite_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "rewrite_log", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(log), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether rewrite logs what it does, at level notice."},
    {.name = "uninitialized_variable_warn", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(warns_uninitialized), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether a warning is logged where a variable of set is used before it has a value."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_VARIABLES, rows, NULL};

const struct feature feature_rewrite = {.name = "rewrite",
                                        .table = &table,
                                        .name_variables = name_variables,
                                        .prepare = join_variables,
                                        .build = build};
