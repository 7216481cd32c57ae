/*
 * http/site/build.c - what the builders of a site share: memory, texts and expressions compiled, names of variables.
 */
#include "http/site/build.h"

#include "base/arena.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/regex.h"
#include "http/request/template.h"
#include "http/request/variable_list.h"
#include "http/request/variables.h"
#include "http/site/site.h"

#include <ctype.h>
#include <stdlib.h>

void *site_array(struct site *site, int count, size_t size)
{
    return conf_must(arena_zalloc(&site->arena, (size_t)(count ? count : 1) * size));
}

void site_unknown_variable(struct site *site, struct slice name, const struct conf_node *node)
{
    struct slice guess = http_nearest_variable(name, &site->scope);
    conf_error(&site->conf->errors, node, "unknown \"%.*s\" variable%s%.*s%s", SLICE_ARGS(name),
               guess.data ? "; did you mean \"" : "", SLICE_ARGS(guess), guess.data ? "\"?" : "");
}

const struct http_template *site_compile(struct site *site, struct slice text, const struct conf_node *node)
{
    struct slice unknown;
    struct http_template *t = http_template_compile(&site->arena, text, &site->scope, &unknown);
    if (t)
        return t;
    if (unknown.len == 0 || unknown.data[0] == '{') {
        conf_error(&site->conf->errors, node,
                   unknown.len ? "the closing bracket in \"%.*s\" variable is missing"
                               : "invalid variable name%.*s; a \"$\" begins the name of a variable",
                   SLICE_ARGS(slice_from(unknown, 1)));
        return NULL;
    }
    site_unknown_variable(site, unknown, node);
    return NULL;
}

struct http_regex *site_compile_regex(struct site *site, struct slice text, bool no_case,
                                      const struct conf_node *n)
{
    struct slice why = {0};
    struct http_regex *regex = http_regex_new(&site->arena, text, no_case, &why);
    struct http_regex **more = realloc(site->regexes, (size_t)(site->regex_count + 1) * sizeof(void *));
    if (!more)
        abort();
    site->regexes = more;
    site->regexes[site->regex_count++] = regex;
    if (!regex)
        conf_error(&site->conf->errors, n, "%.*s", SLICE_ARGS(why));
    return regex;
}

void site_free_regexes(struct site *site)
{
    for (int i = 0; i < site->regex_count; i++)
        if (site->regexes[i])
            http_regex_free(site->regexes[i]);
    free(site->regexes);
}

int site_count_lines(const struct conf_lines *l)
{
    int count = 0;
    for (; l; l = l->next)
        count++;
    return count;
}

struct slice site_variable_name(struct slice text)
{
    return text.len > 1 && text.data[0] == '$' ? slice_from(text, 1) : SLICE("");
}

struct slice site_set_variable(const struct conf_node *n)
{
    return site_variable_name(n->args[0]);
}

/* The server's own variables that a configuration may give another meaning: nginx calls them changeable. */
static bool may_be_redefined(struct slice name)
{
    return slice_eq_nocase(name, SLICE("args")) || slice_eq_nocase(name, SLICE("limit_rate")) ||
           slice_eq_nocase(name, SLICE("invalid_referer"));
}

bool site_is_taken(const struct site *site, struct slice name)
{
    struct slice rest;
    const struct http_variable *known = http_find_variable(name, &rest);
    const struct http_user_variable *v = site->scope.variables;
    if (may_be_redefined(name))
        return false;
    while (v && !slice_eq_nocase(v->name, name))
        v = v->next;
    bool own = v && !v->data;
    return own || (known && (!known->prefix || rest.len == name.len)); /* whole: $1 */
}

void site_define(struct site *site, const char *name,
                 struct slice (*get)(struct http_exchange *ex, const void *data))
{
    struct http_user_variable *v = site_array(site, 1, sizeof *v);
    *v = (struct http_user_variable){slice_of(name), get, NULL, site->scope.variables};
    site->scope.variables = v;
}

/* Named groups may be used before the expression that defines them: so they are collected first, by their syntax. */
void site_collect_groups(struct site *site, struct slice pattern, const struct conf_node *node)
{
    for (size_t i = 0; i + 3 < pattern.len; i++) {
        if (pattern.data[i] != '(' || pattern.data[i + 1] != '?')
            continue;
        size_t start = i + 2 + (pattern.data[i + 2] == 'P'), end = start + 1;
        if (start >= pattern.len || !strchr("<'", pattern.data[start]))
            continue;
        while (end < pattern.len && (isalnum((unsigned char)pattern.data[end]) || pattern.data[end] == '_'))
            end++;
        struct http_capture_names *n = site_array(site, 1, sizeof *n);
        n->name = (struct slice){pattern.data + start + 1, end - start - 1};
        n->next = (struct http_capture_names *)(uintptr_t)site->scope.captures;
        if (n->name.len) /* none: a look-behind */
            site->scope.captures = n;
        if (site_is_taken(site, n->name))
            conf_error(&site->conf->errors, node,
                       "the duplicate \"%.*s\" variable; choose another name for the group",
                       SLICE_ARGS(n->name));
    }
}
