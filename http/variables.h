/*
 * http/variables.h - the variables of logs and texts, by name.
 */
#ifndef WEIR_HTTP_VARIABLES_H
#define WEIR_HTTP_VARIABLES_H

#include "http/exchange.h"

struct http_variable {
    const char *name;
    bool prefix; /* "http_": the rest of the name goes to get */
    struct slice (*get)(struct http_exchange *ex, struct slice rest);
};

/* The value of a named group of a regular expression; `rest` is its name. */
extern const struct http_variable http_named_capture;

/* The variable of that name, or NULL; *rest is what follows a prefix. */
const struct http_variable *http_find_variable(struct slice name, struct slice *rest);

#endif
