/*
 * handlers/static.h - files: root and alias, index, types, conditional requests, ranges.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_STATIC_H
#define WEIR_HANDLERS_STATIC_H

#include "http/site/paths.h"

struct feature;

extern const struct feature feature_gzip_static;

/* The path was changed (to an index file): the request is to be routed again. */
enum { STATIC_ROUTE_AGAIN = -1 };

/* Answers from the disk. Returns 0, STATIC_ROUTE_AGAIN, or the status of the error page to send. */
int static_answer(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache);

/* What there is of this path (with a zero behind it), as disable_symlinks lets it be seen. False: nothing. */
bool static_stat(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache,
                 struct slice path, struct stat *st);

/* Whether there is a file, or a directory, of this path (with a zero behind it). */
bool static_exists(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache,
                   struct slice path, bool directory);

#endif
