/*
 * http/site/module.c - dlopen, and the check that a module was built for this server.
 *
 * What is loaded is a copy in memory: the loader takes two files of one name for the same one, so that a module that was
 * built anew would never come in; and a file that is written into would change under those who run it. Files that are the
 * same to the byte share one copy. Its descriptor stays open: the copy's name is /proc/PID/fd/N, by which debuggers find it too.
 */
#include "http/site/module.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/slice.h"
#include "http/site/module_note.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MODULE_BYTES_MAX = 256 << 20, NAME_BYTES = 64 };

/* What has been loaded, once for all configurations that use it. */
struct object {
    void *handle;
    /* The copy's descriptor; -1 where it could not be loaded from memory. */
    int fd;
    /* The file's content: for finding out whether another is the same. */
    struct buf text;
    unsigned users;
    struct object *next;
};

struct module {
    struct object *object;
    const struct weir_module *description;
};

static struct object *objects;

static struct object *find_object(struct slice text)
{
    struct object *o = objects;
    while (o && !slice_eq(buf_slice(&o->text), text))
        o = o->next;
    return o;
}

/* Under the copy's name, or the file's own where memory cannot be run from, or the file looks for others beside it ($ORIGIN). */
static void *open_object(struct object *o, const char *path)
{
    char name[NAME_BYTES];
    const char *slash = strrchr(path, '/');
    o->fd = fd_memory_file(slash ? slash + 1 : path, buf_slice(&o->text));
    if (o->fd >= 0) {
        snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)getpid(), o->fd);
        void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (handle)
            return handle;
        close(o->fd);
        o->fd = -1;
    }
    void *before = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (!before)
        return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    /* An older object of the same name, which the loader would give again. */
    dlclose(before);
    return NULL;
}

static void release(struct object *o)
{
    assert(o->users > 0);
    if (--o->users > 0)
        return;
    for (struct object **p = &objects; *p; p = &(*p)->next) {
        if (*p == o) {
            *p = o->next;
            break;
        }
    }
    dlclose(o->handle);
    if (o->fd >= 0)
        close(o->fd);
    buf_free(&o->text);
    free(o);
}

static struct object *load(struct arena *arena, struct slice path, struct slice *why)
{
    struct buf text = {0};
    if (fd_read_file(path.data, MODULE_BYTES_MAX, &text) < 0) {
        *why = arena_printf(arena, "cannot load module \"%.*s\": open() failed (%d: %s)", SLICE_ARGS(path),
                            errno, strerror(errno));
        buf_free(&text);
        return NULL;
    }
    struct object *o = find_object(buf_slice(&text));
    if (o) {
        assert(o->users > 0 && o->handle);
        buf_free(&text);
        o->users++;
        return o;
    }
    o = calloc(1, sizeof *o);
    if (!o) {
        *why = SLICE("out of memory");
        buf_free(&text);
        return NULL;
    }
    o->text = text;
    o->handle = open_object(o, path.data);
    if (!o->handle) {
        const char *said = dlerror();
        *why = arena_printf(arena, "cannot load module \"%.*s\": %s", SLICE_ARGS(path),
                            said ? said : "it was built anew, and can only be loaded by a restart here");
        buf_free(&o->text);
        free(o);
        return NULL;
    }
    o->users = 1;
    o->next = objects;
    objects = o;
    return o;
}

/* What is wrong with a loaded module, or an empty text. */
static struct slice find_fault(struct arena *arena, struct slice path, const struct weir_module *description)
{
    if (!description)
        return arena_printf(arena, "\"%.*s\" is no weir module: it has no WEIR_MODULE", SLICE_ARGS(path));
    if (description->abi != WEIR_HANDLER_ABI)
        return arena_printf(arena, "module \"%.*s\" was built for handler ABI %u, this is %u; build it anew",
                            SLICE_ARGS(path), description->abi, WEIR_HANDLER_ABI);
    if (!description->handlers)
        return arena_printf(arena, "module \"%.*s\" has no handlers: its WEIR_MODULE names no list",
                            SLICE_ARGS(path));
    for (const struct weir_handler *h = description->handlers; h->name; h++)
        if (!h->run)
            return arena_printf(arena, "handler \"%s\" has no run; module \"%.*s\" has to give it one",
                                h->name, SLICE_ARGS(path));
    return (struct slice){0};
}

struct module *module_load(struct arena *arena, struct slice path, struct slice *why)
{
    struct object *object = load(arena, path, why);
    if (!object)
        return NULL;
    const struct weir_module *description = dlsym(object->handle, "weir_module");
    struct module *m = arena_zalloc(arena, sizeof *m);
    *why = m ? find_fault(arena, path, description) : SLICE("out of memory");
    if (!m || why->len) {
        release(object);
        return NULL;
    }
    m->object = object;
    m->description = description;
    return m;
}

struct slice module_note(struct arena *arena, const struct module *module, struct slice path)
{
    return module_note_of(arena, path, buf_slice(&module->object->text));
}

bool module_same(const struct module *a, const struct module *b)
{
    return a->object == b->object;
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
    release(module->object);
}
