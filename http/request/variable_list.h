/*
 * http/request/variable_list.h - the variables that are always there, each with a sentence: for docs/variables.md, and for guessing
 * what a wrong name was to be.
 */
#ifndef WEIR_HTTP_REQUEST_VARIABLE_LIST_H
#define WEIR_HTTP_REQUEST_VARIABLE_LIST_H

#include "http/request/template.h"

struct http_variable_help {
    const char *name; /* of a prefix with its "_" */
    bool prefix;
    /* Of a prefix: what stands behind the "_", in capitals. */
    const char *rest;
    const char *help;
    bool own; /* none of nginx's */
};

/* In order of their names, ended by one without a name. */
extern const struct http_variable_help http_variable_helps[];

/* The name that is nearest to a wrong one, also among the scope's (may be NULL); data NULL when none is near. */
struct slice http_nearest_variable(struct slice name, const struct http_scope *scope);

/* Writes docs/variables.md. False when memory is out. */
bool http_document_variables(struct buf *out);

/* A variable of http/ that has no sentence, or NULL. */
const char *http_undocumented_variable(void);

#endif
