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

/* Where a location's files come from. */
struct static_source {
    const struct settings *settings;
    const struct http_template *alias;         /* NULL, or gives the whole path, as in a regex location */
    const struct http_template *symlinks_from; /* disable_symlinks ... from=; NULL: none */
    struct file_rules rules;
};

/* Answers from the disk. Returns 0, STATIC_ROUTE_AGAIN, or the status of the error page to send. */
int static_answer(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache);

/* Whether there is a file, or a folder, of this path (with a zero behind it). */
bool static_exists(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache,
                   struct slice path, bool folder);

/* Where the file for a URI lies: root and URI, or alias and the rest of it. data NULL: out of memory. */
struct slice static_path(struct http_exchange *ex, const struct settings *settings, struct slice uri);

/* The content type by the extension of a path. */
struct slice static_type_of(const struct settings *settings, struct slice path);

#endif
