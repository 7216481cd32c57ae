/*
 * http/request/template.h - texts with variables ("$host$request_uri"), compiled once and expanded for each request.
 *
 * Ownership: a template lives in the arena that it was compiled into; it refers to its source text.
 * Threads:   compiled templates are constant.
 */
#ifndef WEIR_HTTP_REQUEST_TEMPLATE_H
#define WEIR_HTTP_REQUEST_TEMPLATE_H

#include "http/request/exchange.h"

struct http_template;

/* Whether a name that is no variable is a named group of some regular expression. */
struct http_capture_names {
    struct slice name;
    struct http_capture_names *next;
};

/* A variable that the configuration defines. */
struct http_user_variable {
    struct slice name;
    struct slice (*get)(struct http_exchange *ex, const void *data);
    const void *data; /* NULL: a variable of the server's own */
    const struct http_user_variable *next;
};

/* What names can mean beside the variables that are always there. */
struct http_scope {
    const struct http_capture_names *captures;
    const struct http_user_variable *variables;
};

/*
 * Compiles text; scope may be NULL. On an unknown variable returns NULL and sets *unknown to its name: "" where none stands
 * behind a "$", "{NAME" where the closing bracket is missing; on a memory shortage *unknown is left with data NULL.
 */
struct http_template *http_template_compile(struct arena *arena, struct slice text,
                                            const struct http_scope *scope, struct slice *unknown);

/* The variable of exactly this name, without its "$". NULL: there is none, or no memory. */
struct http_template *http_template_variable(struct arena *arena, struct slice name,
                                             const struct http_scope *scope);

/* A template of this text as it is; data of `text` must live as long. NULL when memory is out. */
const struct http_template *http_template_constant(struct arena *arena, struct slice text);

/* Whether it was compiled from a text without a byte; and whether from one without a variable. */
bool http_template_is_empty(const struct http_template *t);
bool http_template_is_constant(const struct http_template *t);

/* The text for this exchange; in its arena unless it is constant. data NULL when memory is out. */
struct slice http_template_expand(const struct http_template *t, struct http_exchange *ex);

enum http_escape { HTTP_ESCAPE_DEFAULT, HTTP_ESCAPE_JSON, HTTP_ESCAPE_NONE };

/*
 * The same appended to out for access logs. By default an empty value is "-", and quotes, backslashes, controls and
 * bytes above 126 are written as \x and two digits; json escapes as in a JSON string (nginx, log_format's escape).
 */
bool http_template_log(const struct http_template *t, enum http_escape escape, struct http_exchange *ex,
                       struct buf *out);

#endif
