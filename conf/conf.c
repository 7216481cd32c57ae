/*
 * conf/conf.c - loading: file and -g text to tree, tree to settings, settings completed by inheritance.
 */
#include "conf/conf.h"

#include "base/log.h"
#include "conf/directive.h"
#include "conf/unknown.h"

#include <stdlib.h>

static struct conf *conf_new(const struct conf_options *options)
{
    struct conf *conf = conf_must(calloc(1, sizeof *conf));
    arena_init(&conf->arena, 16384);
    conf->errors.arena = conf->warnings.arena = &conf->arena;
    conf->tree.arena = &conf->arena;
    conf->tree.errors = &conf->errors;
    conf->prefix = arena_dup(&conf->arena, slice_of(options->prefix));
    conf->places = options->places;
    conf->rlimit_nofile = conf->rlimit_core = CONF_UNSET;
    conf_begin(conf, &conf->given, sizeof *conf);
    return conf;
}

/* A block inside a location answers as the location does, unless it says otherwise. */
static void inherit_content(struct conf_location *inner, const struct conf_location *l)
{
    if (inner->content != CONF_CONTENT_STATIC)
        return;
    inner->content = l->content;
    inner->handler = l->handler;
    inner->proxy = l->proxy;
    if (!inner->try_files)
        inner->try_files = l->try_files;
}

static void inherit_locations(struct conf *conf, struct conf_location *list, const struct settings *parent)
{
    for (struct conf_location *l = list; l; l = l->next) {
        conf_inherit(&l->settings, parent, conf);
        inherit_locations(conf, l->locations, &l->settings);
        for (struct conf_location *inner = l->ifs; inner; inner = inner->next)
            inherit_content(inner, l);
        inherit_locations(conf, l->ifs, &l->settings);
    }
}

/* The one default that is no row's: the command line may name the log. */
static void default_error_log(struct conf *conf, const struct conf_options *options)
{
    if (conf->error_logs)
        return;
    struct conf_error_log *log = conf_must(arena_zalloc(&conf->arena, sizeof *log));
    struct slice path =
        options->error_log ? slice_of(options->error_log) : conf_default_path(conf, "logs/error.log");
    log->path = slice_eq(path, SLICE("stderr")) ? path : conf_full_path(conf, path);
    log->level = LOG_LEVEL_ERROR;
    conf->error_logs = log;
}

static void complete(struct conf *conf, const struct conf_options *options)
{
    struct conf_walk walk = {.conf = conf, .context = CONF_MAIN};
    conf_walk_block(&walk, conf->tree.root);
    conf_tell_absent(conf);
    conf_fill_core_defaults(conf);
    conf_add_default_pool(conf);
    default_error_log(conf, options);
    if (!conf->http)
        return;
    conf_fill_unnamed_upstream(conf);
    conf_inherit(&conf->http->settings, NULL, conf);
    for (struct conf_server *s = conf->http->servers; s; s = s->next) {
        conf_inherit(&s->top.settings, &conf->http->settings, conf);
        inherit_locations(conf, s->top.locations, &s->top.settings);
    }
}

struct conf *conf_load(const struct conf_options *options)
{
    struct conf *conf = conf_new(options);
    if (options->globals)
        conf_tree_read_text(&conf->tree, "command line", slice_of(options->globals));
    conf_tree_read_file(&conf->tree, options->file);
    /* What has no mistake is looked at all the same. */
    if (!conf->tree.broken && conf->tree.files)
        complete(conf, options);
    else if (conf->tree.files)
        conf_look_for_unknown(conf);
    return conf;
}

struct conf *conf_load_serialized(const struct conf_options *options, struct slice text)
{
    struct conf *conf = conf_new(options);
    if (conf_tree_read_text(&conf->tree, "master", text))
        complete(conf, options);
    return conf;
}

void conf_require_events(struct conf *conf)
{
    if (!conf->has_events && conf->errors.count == 0)
        conf_error(&conf->errors, NULL, "no \"events\" section in configuration; add: events { } in %.*s:1",
                   SLICE_ARGS(conf->tree.files->path));
}

bool conf_serialize(const struct conf *conf, struct buf *out)
{
    return conf_tree_print(conf->tree.root, out);
}

void conf_free(struct conf *conf)
{
    if (!conf)
        return;
    struct arena arena = conf->arena;
    arena_free(&arena);
    free(conf);
}
