/*
 * http/site/paths.h - where files lie: root and alias, for a URI.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SITE_PATHS_H
#define WEIR_HTTP_SITE_PATHS_H

#include "base/file_cache.h"
#include "conf/settings.h"
#include "http/request/exchange.h"
#include "http/request/template.h"

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
    struct file_rules rules;
};

/* Where the file for a URI lies: root and URI, or alias and the rest of it. data NULL: out of memory. */
struct slice static_path(struct http_exchange *ex, const struct static_source *from, struct slice uri);

/* A text directly behind the folder: of an alias that stands for the whole path. data NULL: out of memory. */
struct slice static_beside(struct http_exchange *ex, const struct static_source *from, struct slice text);

/* The folder alone, with a zero behind it: $document_root. */
struct slice static_folder(struct http_exchange *ex, const struct static_source *from);

#endif
