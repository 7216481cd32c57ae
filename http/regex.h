/*
 * http/regex.h - regular expressions of locations and server names, over PCRE2.
 *
 * Ownership: http_regex_free; the arena is only for the error text.
 * Threads:   one thread at a time: all expressions share one match block.
 */
#ifndef WEIR_HTTP_REGEX_H
#define WEIR_HTTP_REGEX_H

#include "base/arena.h"

struct http_regex;

/* Compiles, with the just-in-time compiler where there is one. NULL on an error; *why says what and where. */
struct http_regex *http_regex_new(struct arena *arena, struct slice pattern, bool no_case, struct slice *why);
bool http_regex_matches(const struct http_regex *regex, struct slice subject);
void http_regex_free(struct http_regex *regex);

#endif
