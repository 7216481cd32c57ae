/*
 * handlers/static.h - files: root and alias, index, types, conditional requests, ranges.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_STATIC_H
#define WEIR_HANDLERS_STATIC_H

#include "conf/settings.h"
#include "handlers/file_cache.h"
#include "http/template.h"

/* The path was changed (to an index file): the request is to be routed again. */
enum { STATIC_ROUTE_AGAIN = -1 };

/*
 * Answers from the disk. alias is NULL, or gives the whole path, as in a regex location. Returns 0, STATIC_ROUTE_AGAIN, or the status of
 * the error page to send.
 */
int static_answer(struct http_exchange *ex, const struct settings *settings,
                  const struct http_template *alias, struct file_cache *cache);

/* Where the file for a URI lies: root and URI, or alias and the rest of it. data NULL: out of memory. */
struct slice static_path(struct http_exchange *ex, const struct settings *settings, struct slice uri);

/* The content type by the extension of a path. */
struct slice static_type_of(const struct settings *settings, struct slice path);

#endif
