/*
 * handlers/static.h - files: root and alias, index, types, conditional requests, ranges.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_STATIC_H
#define WEIR_HANDLERS_STATIC_H

#include "conf/settings.h"
#include "handlers/file_cache.h"
#include "http/gzip_client.h"
#include "http/template.h"

/* The path was changed (to an index file): the request is to be routed again. */
enum { STATIC_ROUTE_AGAIN = -1 };

/* Where a location's files come from. */
struct static_source {
    const struct settings *settings;
    /* Root or alias with variables; NULL: the settings' own. */
    const struct http_template *folder;
    const struct http_template **index; /* of the settings' index, one for each */
    /* The alias of a regex location: the URI does not go behind it. */
    bool is_whole_path;
    /* The server's prefix, for what variables leave relative. */
    struct slice prefix;
    const struct http_template *symlinks_from; /* disable_symlinks ... from=; NULL: none */
    const struct gzip_disable *gzip_disable;   /* NULL: none */
    struct file_rules rules;
};

/* Answers from the disk. Returns 0, STATIC_ROUTE_AGAIN, or the status of the error page to send. */
int static_answer(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache);

/* What there is of this path (with a zero behind it), as disable_symlinks lets it be seen. False: nothing. */
bool static_stat(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache,
                 struct slice path, struct stat *st);

/* Whether there is a file, or a folder, of this path (with a zero behind it). */
bool static_exists(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache,
                   struct slice path, bool folder);

/* Where the file for a URI lies: root and URI, or alias and the rest of it. data NULL: out of memory. */
struct slice static_path(struct http_exchange *ex, const struct static_source *from, struct slice uri);

/* A text directly behind the folder: of an alias that stands for the whole path. data NULL: out of memory. */
struct slice static_beside(struct http_exchange *ex, const struct static_source *from, struct slice text);

/* The folder alone, with a zero behind it: $document_root. */
struct slice static_folder(struct http_exchange *ex, const struct static_source *from);

#endif
