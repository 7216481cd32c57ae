/*
 * http/site/router.h - from Host and path to the server and location that answer, by nginx's rules.
 *
 * A server is found by exact name, longest leading wildcard, longest trailing wildcard, first regular expression,
 * else the default (nginx, "Server names"). A location: exact match; else the longest prefix; that one at once if it
 * is final ("^~"), else the first regular expression that matches, else the prefix (nginx, "location").
 * Ownership: everything lives in the arena given at creation, but compiled expressions, which http_*_free frees.
 * Threads:   lookups by one thread at a time (regular expressions share one match block); building likewise.
 */
#ifndef WEIR_HTTP_SITE_ROUTER_H
#define WEIR_HTTP_SITE_ROUTER_H

#include "http/request/regex.h"

enum http_match {
    HTTP_MATCH_PREFIX,
    HTTP_MATCH_PREFIX_FINAL,
    HTTP_MATCH_EXACT,
    HTTP_MATCH_REGEX,
    HTTP_MATCH_REGEX_NOCASE
};

struct http_names;
struct http_locations;

struct http_names *http_names_new(struct arena *arena);

/*
 * Adds a server name as configured. False for a bad one; *why then says what is wrong. The first of equals wins: for
 * a later one *why is set too, and true returned.
 */
bool http_names_add(struct http_names *names, struct slice name, void *server, struct slice *why);

/* The server for a host (any case, no port), or NULL for the default one. captures are set by a regular expression. */
void *http_names_find(const struct http_names *names, struct slice host, struct http_captures *captures);
void http_names_free(struct http_names *names);

struct http_locations *http_locations_new(struct arena *arena);

/*
 * Adds a location with its nested ones (NULL when it has none). False for a bad regular expression; *why says what.
 */
bool http_locations_add(struct http_locations *locations, enum http_match match, struct slice pattern,
                        struct http_locations *nested, void *location, struct slice *why);

/* To be called once, after the last add. */
void http_locations_finish(struct http_locations *locations);

typedef void (*http_captures_fn)(void *arg, const struct http_captures *captures);

/*
 * The location for a normalised path, or NULL when none matches. on_match (NULL: nothing) is called for each regular expression
 * that led there, the outermost first; captures are the last one's.
 */
void *http_locations_find(const struct http_locations *locations, struct slice path,
                          struct http_captures *captures, http_captures_fn on_match, void *arg);
void http_locations_free(struct http_locations *locations);

#endif
