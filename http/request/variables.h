/*
 * http/request/variables.h - the variables of logs and texts, by name.
 *
 * Getters return data NULL for a variable that has no value, or where memory is out; the texts live as long as the request.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_REQUEST_VARIABLES_H
#define WEIR_HTTP_REQUEST_VARIABLES_H

#include "http/request/exchange.h"

struct http_variable {
    const char *name;
    /* A name like "http_": the rest of the name goes to get. */
    bool prefix;
    struct slice (*get)(struct http_exchange *ex, struct slice rest);
};

/* The value of a named group of a regular expression; `rest` is its name. */
extern const struct http_variable http_named_capture;

/* Of variables.c, variables_connection.c and variables_upstream.c, each ended by one without a name. */
extern const struct http_variable http_request_variables[];
extern const struct http_variable http_connection_variables[];
extern const struct http_variable http_upstream_variables[];

/* "12", and "0.012" of 12 ms. data NULL: out of memory. */
struct slice http_number_text(struct http_exchange *ex, uint64_t n);
struct slice http_seconds_text(struct http_exchange *ex, uint64_t ms);

/* All lines of a header so far and one more, as one (RFC 9110 section 5.3). */
struct slice http_join(struct http_exchange *ex, struct slice all, struct slice value);

/* Whether a header's name is `rest` with "_" for "-", in any case: $http_user_agent. */
bool http_names_header(struct slice name, struct slice rest);

/* Whether what follows this prefix of http_upstream_variables makes a name. */
bool http_goes_with(const struct http_variable *v, struct slice rest);

/* The variable of that name, or NULL; *rest is what follows a prefix. */
const struct http_variable *http_find_variable(struct slice name, struct slice *rest);

/* Whether a configuration has asked for $request_body_file: then files of bodies have names. */
bool http_body_files_have_names(void);

#endif
