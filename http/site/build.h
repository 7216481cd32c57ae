/*
 * http/site/build.h - what the builders of a site share: memory, texts and expressions compiled, names of variables.
 *
 * Ownership: all of it is the site's, and dies with it.
 * Errors:    are added to the errors of its conf; without memory for a configuration nothing is left to do.
 * Threads:   the one that builds the site.
 */
#ifndef WEIR_HTTP_SITE_BUILD_H
#define WEIR_HTTP_SITE_BUILD_H

#include "base/slice.h"

#include <stdbool.h>

struct conf_lines;
struct conf_node;
struct http_exchange;
struct http_regex;
struct http_template;
struct site;

/* An array of zeroes, with room for one element at least. */
void *site_array(struct site *site, int count, size_t size);

/* A text with variables. NULL: there is a mistake in it, and the errors say which. */
const struct http_template *site_compile(struct site *site, struct slice text, const struct conf_node *node);

/* The error of a variable that is not there, with one that may have been meant. */
void site_unknown_variable(struct site *site, struct slice name, const struct conf_node *node);

/* NULL: likewise. */
struct http_regex *site_compile_regex(struct site *site, struct slice text, bool no_case,
                                      const struct conf_node *n);

/* Of all of them: no arena does. */
void site_free_regexes(struct site *site);

int site_count_lines(const struct conf_lines *lines);

/* The name behind the "$"; empty when there is none. */
struct slice site_variable_name(struct slice text);

/* The name of the variable that `set` or its kin gives a value to. */
struct slice site_set_variable(const struct conf_node *n);

/* Whether a variable of that name is there, which no configuration may define. */
bool site_is_taken(const struct site *site, struct slice name);

/* A variable of the server's own that has to know the location. */
void site_define(struct site *site, const char *name,
                 struct slice (*get)(struct http_exchange *ex, const void *data));

/* Named groups of a regular expression may be used before it: so they are collected first, by their syntax. */
void site_collect_groups(struct site *site, struct slice pattern, const struct conf_node *node);

#endif
