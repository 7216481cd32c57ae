/*
 * conf/directive.h - a directive as a row of a table: the same row checks, fills, documents and compares.
 */
#ifndef WEIR_CONF_DIRECTIVE_H
#define WEIR_CONF_DIRECTIVE_H

#include "conf/settings.h"

#include <stdlib.h>

enum conf_context {
    CONF_MAIN = 1,
    CONF_EVENTS = 2,
    CONF_HTTP = 4,
    CONF_SERVER = 8,
    CONF_LOCATION = 16,
    CONF_UPSTREAM = 32,
    CONF_HTTP_SERVER = CONF_HTTP | CONF_SERVER,
    CONF_HTTP_ALL = CONF_HTTP | CONF_SERVER | CONF_LOCATION,
};

enum conf_type_of_value {
    CONF_CUSTOM, /* `set` does all */
    CONF_FLAG,   /* on | off */
    CONF_NUMBER,
    CONF_SIZE, /* bytes: k, m, g */
    /* Milliseconds: ms, s, m, h, d, w, M, y; a bare number is seconds. */
    CONF_TIME,
    CONF_TEXT,
    /* Text; the prefix goes before a relative one. */
    CONF_PATH,
    CONF_CHOICE,  /* one of `words` */
    CONF_CHOICES, /* several of them: a bit for each */
    CONF_BUFFERS, /* NUMBER SIZE: the bytes of all */
    /* A text with variables: the statement, compiled where it is used. */
    CONF_TEMPLATE,
    /* The statements of one level as a struct conf_lines, inherited as a whole. */
    CONF_LINES,
    /* Of nginx, and without a meaning here: only its place and arity count. */
    CONF_ACCEPTED,
};

/* Where the table walk stands. `settings` is what http, server and location directives fill. */
struct conf_walk {
    struct conf *conf;
    enum conf_context context;
    struct settings *settings;
    struct conf_upstream *upstream; /* in upstream */
    struct conf_server *server;     /* in server and location */
    struct conf_location *location; /* in server (its top) and location */
    bool is_default;                /* the statement is a row's default */
};

/* A field of what the rows of a context fill: struct settings for http contexts, conf_upstream, else struct conf. */
struct conf_field {
    size_t at, size; /* size 0: none */
    /* Of struct settings, where the field is in one. */
    struct part *part;
};

/* What of a statement may differ without new workers. */
enum conf_live {
    CONF_FIXED, /* nothing */
    CONF_LIVE,
    CONF_LIVE_BEHIND_FIRST, /* all but its first argument */
};

enum { CONF_ANY = -1 /* args.max: any number */, CONF_SYNTAX_MAX = 256 };

/* What a row leaves out is zero, and that is the usual or the safe case of each field. */
struct conf_directive {
    const char *name;
    unsigned where; /* enum conf_context, or-ed */
    struct {
        int min, max;
    } args;
    enum conf_type_of_value type;
    /* Of the type that conf_field_fits tells; CONF_CUSTOM: of any. */
    struct conf_field field;
    struct {
        int64_t min, max;
    } range;                  /* of numbers; both 0: no bound */
    const char *const *words; /* of a choice, ended by NULL */
    /* Of CONF_CHOICE: what the words stand for; NULL: their index. */
    const int *values;
    const char *default_text; /* as a statement would have it; NULL: none */
    /* NAME=VALUE of those that a statement may leave out; NULL: none. */
    const char *parameters;
    enum conf_live live;
    bool block; /* "{ ... }" in place of ";" */
    /* CONF_CUSTOM: a second statement on one level is an error, as it is of other types. */
    bool once;
    bool off_is_zero; /* a size that may be "off" */
    void (*set)(struct conf_walk *walk, const struct conf_node *node);
    /* Arguments, for people; NULL: as its type says, see conf_syntax_of. */
    const char *syntax;
    const char *help; /* likewise */
};

/* Where a table stands in the documentation. */
enum conf_section {
    CONF_SECTION_CORE,
    CONF_SECTION_HTTP,
    CONF_SECTION_VARIABLES,
    CONF_SECTION_CLIENTS,
    CONF_SECTION_ANSWERS,
    CONF_SECTION_FILES,
    CONF_SECTION_TLS,
    CONF_SECTION_PROXY_TLS,
    CONF_SECTION_ACCESS,
    CONF_SECTION_LIMITS,
    CONF_SECTION_HEADERS,
    CONF_SECTION_COMPRESSION,
    CONF_SECTION_BODIES,
    CONF_SECTION_LOGS,
    CONF_SECTION_PROXY,
    CONF_SECTION_GRPC,
    CONF_SECTION_FASTCGI,
    CONF_SECTION_UPSTREAM,
    CONF_SECTION_ACCEPTED,
    CONF_SECTIONS
};

/* The rows of a feature, ended by one without a name. */
struct conf_table {
    enum conf_section section;
    const struct conf_directive *rows;
    /* What is not just taken over from the settings above; they are NULL at the top. NULL: nothing. */
    void (*inherit)(struct settings *s, const struct settings *above);
};

/* conf/tables.c: all of them, ended by NULL. Those of conf/ come first, then what conf_use_tables was given. */
extern const struct conf_table *conf_tables[];

enum { CONF_TABLES_MAX = 64 };

/* Two of them are of other structs than struct settings. */
extern const struct conf_directive conf_core_directives[];
extern const struct conf_directive conf_upstream_directives[];

/* What a directive is to nginx's of that name. */
enum conf_mark_kind {
    CONF_DIFFERS,
    CONF_OWN,
    CONF_ABSENT, /* nginx has it, and there is none here */
    /* A module of a third party has it for nginx. */
    CONF_FOREIGN
};

struct conf_mark {
    /* A whole name, or with "*" at its end the beginning of some; at both ends: a part of some. */
    const char *name;
    enum conf_mark_kind kind;
    /* How it differs; or why it is absent, and what to do. */
    const char *text;
};

/* conf/nginx.c, ended by one without a name. */
extern const struct conf_mark conf_marks[];

/* NULL: it is as in nginx, or in neither. */
const struct conf_mark *conf_find_mark(struct slice name);

/* The row for a name in this context; else the name's row for another one; or NULL. */
const struct conf_directive *conf_find_directive(struct slice name, enum conf_context context);

/* Whether the rows of this context are fields of struct settings. */
static inline bool conf_is_setting(const struct conf_directive *d)
{
    return d->where & CONF_HTTP_ALL;
}

/* Applies every statement of a block in the given context. */
void conf_walk_block(struct conf_walk *walk, const struct conf_node *children);

/* Whether a field of this size can hold the values of the row's type. */
bool conf_field_fits(const struct conf_directive *d);

/*
 * Fills the row's field of `values`, which is what the walk's context fills, by a statement. Returns false, with an error added,
 * if its value cannot be read; a row with a setter always returns true.
 */
bool conf_set_value(struct conf_walk *walk, const struct conf_node *node, const struct conf_directive *d,
                    void *values);

/* To be called before the statements of a level are applied, when all its fields are zero. */
void conf_begin(struct conf *conf, struct conf_given *given, size_t size);
void conf_begin_settings(struct conf *conf, struct settings *settings);

/* The row's field in `values`, which is what its context fills. */
void *conf_field_in(const struct conf_directive *d, void *values);
const void *conf_field_of(const struct conf_directive *d, const void *values);

/* The size of all parts of settings. */
size_t conf_parts_size(void);
bool conf_is_given(const struct conf_given *given, const struct conf_directive *d);
void conf_mark_given(struct conf_given *given, const struct conf_directive *d);

enum { CONF_PARAMETERS_MAX = 16 };

/* "KEY=VALUE"; both are parts of the word. Without "=" the value has no data. */
struct conf_key_value conf_split_parameter(struct slice word);

/* The words of a row's `parameters`, which its setter applies before those of the statement. Returns their number. */
int conf_default_parameters(struct conf *conf, struct slice name, enum conf_context context,
                            struct slice words[static CONF_PARAMETERS_MAX]);

/* Applies the row's default to `values`, as conf_set_value would a statement. */
void conf_apply_default(struct conf_walk *walk, const struct conf_directive *d, void *values);

/* Fills what no statement has set: from `parent` where there is one, else from the defaults of the tables. */
void conf_inherit(struct settings *settings, const struct settings *parent, struct conf *conf);
void conf_fill_core_defaults(struct conf *conf);
void conf_fill_upstream_defaults(struct conf_upstream *upstream, struct conf *conf);
void conf_fill_unnamed_upstream(struct conf *conf);

/* Setters that one table borrows from another file. */
void conf_set_http(struct conf_walk *walk, const struct conf_node *node);
void conf_set_server(struct conf_walk *walk, const struct conf_node *node);
void conf_set_location(struct conf_walk *walk, const struct conf_node *node);
void conf_set_listen(struct conf_walk *walk, const struct conf_node *node);
void conf_set_server_name(struct conf_walk *walk, const struct conf_node *node);
void conf_set_return(struct conf_walk *walk, const struct conf_node *node);
void conf_set_rewrite(struct conf_walk *walk, const struct conf_node *node);
/* Applies the statements of a location's block to l, whose fields are set. */
void conf_walk_location(struct conf_walk *walk, struct conf_location *l);
void conf_set_limit_except(struct conf_walk *walk, const struct conf_node *node);
void conf_set_if(struct conf_walk *walk, const struct conf_node *node);
void conf_set_try_files(struct conf_walk *walk, const struct conf_node *node);
void conf_set_internal(struct conf_walk *walk, const struct conf_node *node);
void conf_set_content(struct conf_walk *walk, const struct conf_node *node);

void conf_set_limit_zone(struct conf_walk *walk, const struct conf_node *node);
void conf_set_upstream(struct conf_walk *walk, const struct conf_node *node);
void conf_set_proxy_pass(struct conf_walk *walk, const struct conf_node *node);
void conf_set_grpc_pass(struct conf_walk *walk, const struct conf_node *node);
void conf_set_fastcgi_pass(struct conf_walk *walk, const struct conf_node *node);
void conf_settle_grpc(struct settings *s, const struct settings *above);
void conf_set_upstream_server(struct conf_walk *walk, const struct conf_node *node);
void conf_set_balance(struct conf_walk *walk, const struct conf_node *node);
void conf_set_queue(struct conf_walk *walk, const struct conf_node *node);
void conf_set_health_check(struct conf_walk *walk, const struct conf_node *node);
void conf_set_keyed_zone(struct conf_walk *walk, const struct conf_node *node);
/* The zone NAME:SIZE of a "sticky learn"; one that is written wrongly is not added, and so not found when the site is built. */
void conf_add_session_zone(struct conf_walk *walk, const struct conf_node *node, struct slice zone);

/* Adds the pool "default" unless the configuration defines it. */
void conf_add_default_pool(struct conf *conf);

/*
 * Whether a content type, with or without parameters, is among those of the lines ("*" is all), or of `always`, which are
 * separated by blanks.
 */
bool conf_lists_type(const struct conf_lines *lines, const char *always, struct slice type);

/* Out of memory while reading a configuration: nothing sensible is left to do, so it aborts. */
static inline void *conf_must(void *p)
{
    if (!p)
        abort();
    return p;
}

/* Values. On failure they return false and leave *value. */
bool conf_parse_size(struct slice s, int64_t *value);
bool conf_parse_time(struct slice s, int64_t *value_ms);
bool conf_parse_number(struct slice s, int64_t *value);
bool conf_parse_whole(struct slice s, int64_t least, int64_t most, int64_t *value);

/* The arguments for messages and documentation; where a choice has to be written out, in `text`. */
const char *conf_syntax_of(const struct conf_directive *d, char text[static CONF_SYNTAX_MAX]);

/* A row's value in words for messages and documentation: "a size such as 8k". */
const char *conf_type_words(enum conf_type_of_value type);

/* The arguments as key=value pairs, from argument `first` on; an argument without "=" is an error. */
struct conf_key_value *conf_key_values(struct conf_walk *walk, const struct conf_node *node, int first);

#endif
