/*
 * http/site/open_files.c - open_file_cache and its kin, from settings to the rules of a location's files.
 */
#include "http/site/open_files.h"

#include "base/slice.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/site/feature.h"
#include "http/site/site.h"

struct part open_files_settings_part = {.size = sizeof(struct open_files_settings)};

static bool set_cache_parameter(struct open_files_cache *c, struct slice arg)
{
    if (slice_starts(arg, SLICE("max=")))
        return conf_parse_whole(slice_from(arg, 4), 1, 1000000, &c->max);
    return slice_starts(arg, SLICE("inactive=")) && conf_parse_time(slice_from(arg, 9), &c->inactive_ms);
}

/* off | max=N [inactive=TIME] */
static void set_open_file_cache(struct conf_walk *w, const struct conf_node *n)
{
    struct open_files_cache *c = &open_files_settings_in(w->settings)->cache;
    struct slice words[CONF_PARAMETERS_MAX];
    bool ok = true;
    if (n->nargs == 1 && slice_eq(n->args[0], SLICE("off")))
        return;
    for (int i = conf_default_parameters(w->conf, n->name, w->context, words); i-- > 0;)
        set_cache_parameter(c, words[i]);
    for (int i = 0; i < n->nargs; i++)
        ok = ok && set_cache_parameter(c, n->args[i]);
    if (!ok || c->max == 0)
        conf_error(&w->conf->errors, n, "invalid \"open_file_cache\"; write: off, or max=N [inactive=TIME]");
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct open_files_settings *s = open_files_settings_of(l->settings);
    struct file_rules *rules = &l->files.rules;
    (void)site;
    (void)c;
    if (s->cache.max == 0)
        return;
    rules->valid_ms = (uint64_t)s->valid_ms;
    rules->inactive_ms = (uint64_t)s->cache.inactive_ms;
    rules->min_uses = (unsigned)s->min_uses;
    rules->errors = s->errors;
    rules->open_max = (unsigned)s->cache.max;
}

#define PART(member) CONF_PART_FIELD(open_files_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "open_file_cache", .where = CONF_HTTP_ALL, .args = {1, 2}, .once = true, .field = PART(cache), .default_text = "off", .set = set_open_file_cache, .parameters = "inactive=60s",
     .syntax = "off | max=N [inactive=TIME]",
     .help = "For how many files what is known of them is used for a while without a look at the disk. What is not used for as long as inactive says is forgotten. All locations share one cache, of at most 1024 files with their metadata and small contents, which are kept in any case and looked at once for each turn of the loop."},
    {.name = "open_file_cache_valid", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = PART(valid_ms), .default_text = "60s",
     .help = "For how long that is."},
    {.name = "open_file_cache_min_uses", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = PART(min_uses), .range = {1, 1000000}, .default_text = "1",
     .help = "From which use of a file on."},
    {.name = "open_file_cache_errors", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(errors), .default_text = "off",
     .help = "Whether it is remembered, too, that a file is not there."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_FILES, rows, NULL};

const struct feature feature_open_files = {.name = "open_file_cache", .table = &table, .build = build};
