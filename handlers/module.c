/*
 * handlers/module.c - dlopen, and the check that a module was built for this server.
 */
#include "handlers/module.h"

#include <dlfcn.h>

struct module {
    void *object;
    const struct weir_module *description;
};

struct module *module_load(struct arena *arena, struct slice path, struct slice *why)
{
    void *object = dlopen(path.data, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        *why = arena_printf(arena, "cannot load module \"%.*s\": %s", SLICE_ARGS(path), dlerror());
        return NULL;
    }
    const struct weir_module *description = dlsym(object, "weir_module");
    if (!description || description->abi != WEIR_HANDLER_ABI) {
        *why =
            description
                ? arena_printf(arena,
                               "module \"%.*s\" was built for handler ABI %u, this is %u; build it anew",
                               SLICE_ARGS(path), description->abi, WEIR_HANDLER_ABI)
                : arena_printf(arena, "\"%.*s\" is no weir module: it has no WEIR_MODULE", SLICE_ARGS(path));
        dlclose(object);
        return NULL;
    }
    struct module *m = arena_zalloc(arena, sizeof *m);
    if (!m) {
        *why = SLICE("out of memory");
        dlclose(object);
        return NULL;
    }
    m->object = object;
    m->description = description;
    return m;
}

const struct weir_handler *module_find(const struct module *module, struct slice name)
{
    for (const struct weir_handler *h = module->description->handlers; h->name; h++)
        if (slice_eq(slice_of(h->name), name))
            return h;
    return NULL;
}

void module_unload(struct module *module)
{
    dlclose(module->object);
}
