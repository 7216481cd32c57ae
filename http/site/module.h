/*
 * http/site/module.h - loading shared objects that bring handlers; the only place that calls dlopen.
 *
 * Threads: the master's, before any worker is forked.
 */
#ifndef WEIR_HTTP_SITE_MODULE_H
#define WEIR_HTTP_SITE_MODULE_H

#include "base/arena.h"
#include "handlers/handler.h"

struct module;

/*
 * Loads the object as the file is now, also where an older one of the same name is in use. NULL on an error; *why says what
 * is wrong and what to do.
 */
struct module *module_load(struct arena *arena, struct slice path, struct slice *why);

/*
 * What of it a reload cannot take over, and what to do about that; empty: nothing. Symbols that C++ makes unique in a process,
 * and libraries that it needs whose files have been replaced since they were loaded.
 */
struct slice module_note(struct arena *arena, const struct module *module, struct slice path);

/* Whether both came from files that were the same. */
bool module_same(const struct module *a, const struct module *b);

/* Its handler of that name, or NULL. */
const struct weir_handler *module_find(const struct module *module, struct slice name);

void module_unload(struct module *module);

#endif
