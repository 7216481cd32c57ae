/*
 * http/site/feature.h - a feature of the server (gzip, auth_basic, geo, ...) as an entry of the list that a site is built from.
 *
 * Its directives, their part of the settings, its part of a location, its variables and its builder stand in the feature's own
 * files; the one place that names them all is the list, http/serve/features.c, and its order is the one in which they are built.
 * Ownership: a feature is static and outlives every site.
 * Threads:   the one that builds sites.
 */
#ifndef WEIR_HTTP_SITE_FEATURE_H
#define WEIR_HTTP_SITE_FEATURE_H

#include "conf/directive.h"
#include "conf/part.h"
#include "http/site/site.h"

struct feature_variable {
    const char *name;
    struct slice (*get)(struct http_exchange *ex, const void *data);
};

/* What it leaves out is NULL: it has none. */
struct feature {
    const char *name;
    const struct conf_table *table;
    struct part *location, *site;
    const struct feature_variable *variables; /* ended by one without a name */
    /* Statements "$NAME VALUE" of a level that give variables values. */
    const struct conf_lines *(*sets)(const struct settings *s);
    /* Once for a site: variables that its configuration defines; then, when all have their names, what locations share. */
    void (*name_variables)(struct site *site);
    void (*prepare)(struct site *site);
    /* Fills the part of each location. It looks at no other feature's part, which may not be filled yet. */
    void (*build)(struct site *site, struct location *l, const struct conf_location *c);
    void (*build_upstream)(struct site *site, struct upstream *u, const struct conf_upstream *c);
    /* Frees what no arena does. */
    void (*drop)(struct location *l);
    void (*end)(struct site *site);
};

/*
 * The list, ended by NULL: for conf/ and for every site from now on. To be called once, before the first configuration is read
 * and before there is any thread.
 */
void site_use_features(const struct feature *const *features);

/* For site.c: the same of all features, in the order of the list; begin makes room for their parts of the site. */
void features_begin(struct site *site);
void features_define_variables(struct site *site);
void features_name_variables(struct site *site);
void features_prepare(struct site *site);
void features_build(struct site *site, struct location *l, const struct conf_location *c);
void features_build_upstream(struct site *site, struct upstream *u, const struct conf_upstream *c);
void features_drop(struct location *l);
void features_end(struct site *site);

/* Calls `each` for every statement of a level that gives a variable a value by a feature. */
void features_each_set(struct site *site, const struct settings *s,
                       void (*each)(struct site *site, const struct conf_node *node));

/* The one place where a part of a location, or of a site, gets its type, as SETTINGS_PART does for settings. */
// clang-format off
#define LOCATION_PART(tag)                                                              \
    extern struct part tag##_part;                                                      \
    __attribute__((unused))                                                             \
    static inline const struct tag *tag##_of(const struct location *l)                  \
    {                                                                                   \
        return part_in(&l->parts, &tag##_part, sizeof(struct tag));                     \
    }                                                                                   \
    __attribute__((unused))                                                             \
    static inline struct tag *tag##_in(struct location *l)                              \
    {                                                                                   \
        return part_in(&l->parts, &tag##_part, sizeof(struct tag));                     \
    }

#define SITE_PART(tag)                                                                  \
    extern struct part tag##_part;                                                      \
    __attribute__((unused))                                                             \
    static inline const struct tag *tag##_of(const struct site *s)                      \
    {                                                                                   \
        return part_in(&s->parts, &tag##_part, sizeof(struct tag));                     \
    }                                                                                   \
    __attribute__((unused))                                                             \
    static inline struct tag *tag##_in(struct site *s)                                  \
    {                                                                                   \
        return part_in(&s->parts, &tag##_part, sizeof(struct tag));                     \
    }
// clang-format on

#endif
