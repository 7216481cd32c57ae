/*
 * http/filters/charset_map.h - tables of the configuration between two character sets: charset_map (nginx, ngx_http_charset_module).
 *
 * Ownership: a table lives as long as its site; a filter as long as its answer.
 */
#ifndef WEIR_HTTP_FILTERS_CHARSET_MAP_H
#define WEIR_HTTP_FILTERS_CHARSET_MAP_H

#include "http/request/filter.h"

struct charset_map;
struct conf_lines;
struct site;

/* The table between the two, in either direction. NULL: there is none. */
const struct charset_map *charset_map_find(const struct charset_map *maps, struct slice from,
                                           struct slice to);

/* Converts a body by such a table. NULL: out of memory. */
struct body_filter *charset_map_filter(const struct charset_map *map, struct slice from);

/* Whether a body has as many bytes behind it as before. */
bool charset_map_keeps_length(const struct charset_map *map);

/* And whether a range of it is what comes of the same range: also of what stands between the parts of several, in ASCII. */
bool charset_map_keeps_ranges(const struct charset_map *map);

/* The tables of a site, from its charset_map blocks. */
const struct charset_map *charset_maps_build(struct site *site, const struct conf_lines *blocks);

#endif
