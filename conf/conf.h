/*
 * conf/conf.h - from a configuration file to struct conf, and from one struct conf to the next.
 *
 * Threads: one thread at a time.
 */
#ifndef WEIR_CONF_CONF_H
#define WEIR_CONF_CONF_H

#include "conf/settings.h"

/* What the command line contributes. */
/* Where an installed program keeps what its configuration does not name; each without a "/" at its end. */
struct conf_places {
    const char *logs, *state, *modules; /* folders; state: temporary files */
    const char *pid;                    /* a file */
};

struct conf_table;

struct conf_options {
    const char *file;                 /* -c, absolute */
    const char *prefix;               /* -p, absolute, ends in "/" */
    const char *globals;              /* -g, or NULL */
    const char *error_log;            /* -e, or NULL */
    const struct conf_places *places; /* NULL: below the prefix, as -p asks */
};

/*
 * The directives of features, whose rooms lie above this one; the list ends with NULL. To be called before the first
 * configuration is read, and before there is any thread: it gives the parts of settings their places.
 */
void conf_use_tables(const struct conf_table *const *tables);

/*
 * Reads a configuration whole. Never returns NULL; conf->errors.count tells whether it can be used. All errors that
 * can be told apart are collected, not only the first. The caller frees it with conf_free.
 */
struct conf *conf_load(const struct conf_options *options);

/* The same from what conf_serialize wrote. */
struct conf *conf_load_serialized(const struct conf_options *options, struct slice text);

/* Adds the error of a configuration without an events block, unless there are others. */
void conf_require_events(struct conf *conf);

/* The whole configuration as one text without includes. Returns false when memory is out. */
bool conf_serialize(const struct conf *conf, struct buf *out);

void conf_free(struct conf *conf);

/* Whether the two differ only in values that running workers can take over. */
bool conf_differs_only_live(const struct conf *a, const struct conf *b);

/* Copies those values from `from` into `to`. Both must have passed conf_differs_only_live. Pools are the caller's. */
void conf_copy_live(struct conf *to, const struct conf *from);

/* `path` with the prefix before it unless it is absolute; lives in the conf's arena, zero-terminated. */
struct slice conf_full_path(struct conf *conf, struct slice path);

/* The default of a path: in its place where the program is installed, else below the prefix. */
struct slice conf_default_path(struct conf *conf, const char *text);

/* Writes docs/directives.md from the directive tables. */
bool conf_document(struct buf *out);

#endif
