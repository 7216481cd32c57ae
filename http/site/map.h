/*
 * http/site/map.h - map: a variable whose value depends on another text, by exact values, host names and regular expressions.
 *
 * nginx's rules ("map"): exact values come first, without regard to case; then, with hostnames, masks, the longest first;
 * then regular expressions in order; then the default.
 * Ownership: in the arena given at creation, but compiled expressions, which http_map_free frees.
 * Threads:   built by one thread; looked up by one at a time.
 */
#ifndef WEIR_HTTP_SITE_MAP_H
#define WEIR_HTTP_SITE_MAP_H

#include "http/request/template.h"

struct http_map;

struct http_map *http_map_new(struct arena *arena, bool hostnames);
void http_map_set_source(struct http_map *map, const struct http_template *source);
void http_map_set_default(struct http_map *map, const struct http_template *value);

/* Adds a key: "text", "\default", "~regex", "~*regex", with hostnames also "*.host" and "host.*". False: *why says what. */
bool http_map_add(struct http_map *map, struct slice key, const struct http_template *value,
                  struct slice *why);

/* To be called once, after the last add. False: *twice is a key that was added twice. */
bool http_map_finish(struct http_map *map, struct slice *twice);

/* The value for this exchange: a getter for struct http_user_variable, whose data is the map. */
struct slice http_map_get(struct http_exchange *ex, const void *map);
void http_map_free(struct http_map *map);

#endif
