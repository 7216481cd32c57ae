/*
 * http/request/regex.h - regular expressions of locations and server names, over PCRE2.
 *
 * Ownership: http_regex_free; the arena is only for the error text.
 * Threads:   one thread at a time: all expressions share one match block.
 */
#ifndef WEIR_HTTP_REQUEST_REGEX_H
#define WEIR_HTTP_REQUEST_REGEX_H

#include "base/arena.h"

struct http_regex;

/* Compiles, with the just-in-time compiler where there is one. NULL on an error; *why says what and where. */
struct http_regex *http_regex_new(struct arena *arena, struct slice pattern, bool no_case, struct slice *why);

enum { HTTP_GROUPS_MAX = 10 };

/* What the groups of a match are: slices of its subject; groups[0] is all of it. */
struct http_captures {
    const struct http_regex *regex;
    int count; /* 0: nothing matched */
    struct slice groups[HTTP_GROUPS_MAX];
};

/* Whether `subject` matches; captures, which may be NULL, are set only then. */
bool http_regex_match(const struct http_regex *regex, struct slice subject, struct http_captures *captures);

/*
 * Whether a match since the last call has failed otherwise than by finding nothing: it took too much stack or too many
 * steps. What was to be decided by it must not be taken as decided.
 */
bool http_regex_take_failure(void);

/* How many groups it captures, besides the whole. */
int http_regex_count_groups(const struct http_regex *regex);

/* The number of a named group, or -1. */
int http_regex_group(const struct http_regex *regex, struct slice name);

/* The name and number of its index-th named group. False: there are not so many. */
bool http_regex_name(const struct http_regex *regex, int index, struct slice *name, int *group);

void http_regex_free(struct http_regex *regex);

#endif
