/*
 * conf/paths.c - where relative paths start: below the prefix, or, of what is not named, in the places of an installed program.
 */
#include "conf/conf.h"

struct slice conf_full_path(struct conf *conf, struct slice path)
{
    bool absolute = path.len > 0 && path.data[0] == '/';
    return absolute ? arena_dup(&conf->arena, path) : arena_join(&conf->arena, conf->prefix, path);
}

/* "logs/NAME", "logs/weir.pid", or a folder of temporary files. */
struct slice conf_default_path(struct conf *conf, const char *text)
{
    const struct conf_places *p = conf->places;
    if (!p)
        return conf_full_path(conf, slice_of(text));
    if (strcmp(text, "logs/weir.pid") == 0)
        return slice_of(p->pid);
    if (strncmp(text, "logs/", 5) == 0)
        return arena_printf(&conf->arena, "%s/%s", p->logs, text + 5);
    return arena_printf(&conf->arena, "%s/%s", p->state, text);
}
