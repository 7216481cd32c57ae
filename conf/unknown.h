/*
 * conf/unknown.h - directives that are not there, told feature by feature.
 */
#ifndef WEIR_CONF_UNKNOWN_H
#define WEIR_CONF_UNKNOWN_H

#include "conf/directive.h"

/* A statement whose directive is in no table: an error now if it looks like a slip, else counted. */
void conf_unknown(struct conf_walk *walk, const struct conf_node *node);

/* Counts a statement of which a parameter asks for an absent feature of nginx, which the directive `name` stands for. */
void conf_count_absent(struct conf *conf, const char *name, const struct conf_node *node,
                       struct slice parameter);

/* What to do about a module of nginx's that load_module names, as the end of a sentence; empty: it is none by its name. */
struct slice conf_about_module(struct conf *conf, struct slice path);

/* Adds an error for each feature that was counted. */
void conf_tell_absent(struct conf *conf);

/* Of a file whose braces or quotes do not match: which of its words nobody knows, wherever they belong. */
void conf_look_for_unknown(struct conf *conf);

#endif
