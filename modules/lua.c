/*
 * modules/lua.c - handlers written in Lua, run by LuaJIT.
 *
 *     handler lua FILE [memory=64m] [instructions=N];
 *
 * The file returns a function, which is called with the request (modules/lua_request.c). Each thread has an interpreter of its own for
 * each location, so a script may block, and what it keeps outside of the function (a connection to a database) is the thread's.
 * When the file has changed, the interpreter is made anew; where the new file has a mistake, the old one goes on, and the log says so.
 */
#include "modules/lua_request.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    MEMORY_DEFAULT = 64 << 20,
    MEMORY_LEAST = 1 << 20,
    HOOK_STEP = 1000,
    WHY_BYTES = 1024,
    RETRY_MS = 1000,
    HTTP_ERROR = 500
};

/* The settings of a location. */
struct script {
    char *file;
    size_t memory_bytes;
    long long instructions; /* 0: no bound */
};

/* What a file is known by: when these are the same, it has not changed. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec changed;
};

struct interpreter {
    struct lua_host host; /* first */
    lua_State *lua;
    const struct script *script;
    size_t used_bytes;
    long long instructions_left;
    int function, request; /* in the registry */
    /* It gave up outside of a protected call. */
    bool is_broken;
};

/* A thread's. */
struct keeper {
    const struct script *script;
    /* NULL: there is none yet, or its file has a mistake. */
    struct interpreter *now;
    /* Of what `now` is, or of what cannot be read. */
    struct stamp seen;
    bool has_seen;
    /* Monotonic: not before, a file is tried again that failed as it ran. */
    int64_t not_before_ms;
};

/* --- an interpreter --- */

static void on_count(lua_State *lua, lua_Debug *activation);

static void *allocate(void *arg, void *old, size_t old_bytes, size_t bytes)
{
    struct interpreter *it = arg;
    size_t others = it->used_bytes - (old ? old_bytes : 0);
    if (bytes == 0) {
        free(old);
        it->used_bytes = others;
        return NULL;
    }
    if (bytes > it->script->memory_bytes || others > it->script->memory_bytes - bytes)
        return NULL;
    void *p = realloc(old, bytes);
    if (p)
        it->used_bytes = others + bytes;
    return p;
}

/* A script that catches the error has another one at its next step, until it is out of all that catches. */
static void stop(lua_State *lua, const char *why, int number)
{
    lua_sethook(lua, on_count, LUA_MASKCOUNT, 1);
    luaL_where(lua, 0); /* a hook has no level of its own */
    lua_pushfstring(lua, why, number);
    lua_concat(lua, 2);
    lua_error(lua);
}

static void on_count(lua_State *lua, lua_Debug *activation)
{
    struct interpreter *it = (struct interpreter *)lua_host_of(lua); /* its first member */
    weir_request *r = it->host.request;
    (void)activation;
    it->instructions_left -= HOOK_STEP;
    if (it->instructions_left < 0)
        stop(lua, "more than instructions=%d", (int)it->script->instructions);
    if (r && weir_client_gone(r))
        stop(lua, "nobody waits for the answer any more", 0);
}

/* Compiled code does not count: where there is a bound, all is interpreted. */
static void begin_count(struct interpreter *it)
{
    if (!it->script->instructions)
        return;
    it->instructions_left = it->script->instructions;
    lua_sethook(it->lua, on_count, LUA_MASKCOUNT, HOOK_STEP);
}

/* Libraries of other files lie beside the script. */
static void add_folder(lua_State *lua, const char *file)
{
    const char *slash = strrchr(file, '/');
    lua_getglobal(lua, "package");
    lua_getfield(lua, -1, "path");
    lua_pushlstring(lua, file, slash ? (size_t)(slash - file + 1) : 0);
    lua_pushfstring(lua, "%s?.lua;%s", lua_tostring(lua, -1), lua_tostring(lua, -2));
    lua_setfield(lua, -4, "path");
    lua_pop(lua, 3);
}

/* Of what is broken nothing may be touched any more. Finalizers have no request: it may be gone, as with weir_fail. */
static void close_interpreter(struct interpreter *it)
{
    if (!it || it->is_broken)
        return;
    it->host.request = NULL;
    if (it->lua)
        lua_close(it->lua);
    free(it);
}

/* All that is done with an interpreter is protected; if it gives up all the same, its request fails, and not the worker. */
static int on_panic(lua_State *lua)
{
    struct interpreter *it = (struct interpreter *)lua_host_of(lua); /* its first member */
    it->is_broken = true;
    if (it->host.request)
        weir_fail(it->host.request, "the interpreter has given up");
    abort();
}

/* Of the error on the stack, which is taken off it. Nothing here allocates but what is protected. */
static void take_error(struct interpreter *it, char *why, size_t why_bytes)
{
    lua_State *lua = it->lua;
    int kind = lua_type(lua, -1);
    if (kind == LUA_TSTRING)
        snprintf(why, why_bytes, "%s", lua_tostring(lua, -1));
    else if (kind == LUA_TNUMBER)
        snprintf(why, why_bytes, "%.14g", lua_tonumber(lua, -1));
    else
        snprintf(why, why_bytes, "an error that is no text");
    lua_pop(lua, 1);
}

/* Calls f with arg as its argument. False: *why is the error's text. */
static bool protect(struct interpreter *it, lua_CFunction f, void *arg, char *why, size_t why_bytes)
{
    if (lua_cpcall(it->lua, f, arg) == 0)
        return true;
    take_error(it, why, why_bytes);
    return false;
}

/* lua_call, whose errors have texts. */
static void call_in_words(lua_State *lua, int arguments, int results)
{
    if (lua_pcall(lua, arguments, results, 0) == 0)
        return;
    luaL_callmeta(lua, -1, "__tostring");
    lua_error(lua);
}

static int prepare(lua_State *lua)
{
    struct interpreter *it = lua_touserdata(lua, 1);
    luaL_openlibs(lua);
    add_folder(lua, it->script->file);
    lua_request_open(lua);
    it->request = luaL_ref(lua, LUA_REGISTRYINDEX);
    if (!it->script->instructions)
        return 0;
    /* Compiled code does not count: there is no way to it. */
    luaJIT_setmode(lua, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    lua_getglobal(lua, "jit");
    lua_pushnil(lua);
    lua_setfield(lua, -2, "on");
    return 0;
}

/* NULL: out of memory, or of what the script may have. */
static struct interpreter *open_interpreter(const struct script *script)
{
    char why[WHY_BYTES];
    struct interpreter *it = calloc(1, sizeof *it);
    if (!it)
        return NULL;
    it->script = script;
    it->instructions_left = INT64_MAX;
    it->lua = lua_newstate(allocate, it);
    if (it->lua)
        lua_atpanic(it->lua, on_panic);
    if (it->lua && protect(it, prepare, it, why, sizeof why))
        return it;
    close_interpreter(it);
    return NULL;
}

enum loaded { LOADED, LOADED_NOT_YET, LOADED_NEVER };

struct loading {
    struct interpreter *it;
    bool is_read; /* there is no mistake of syntax */
};

/* The file's function comes into the registry. */
static int load(lua_State *lua)
{
    struct loading *l = lua_touserdata(lua, 1);
    if (luaL_loadfile(lua, l->it->script->file) != 0)
        lua_error(lua);
    l->is_read = true;
    call_in_words(lua, 0, 1);
    if (!lua_isfunction(lua, -1))
        luaL_error(lua, "%s returns no function: write \"return function(r) ... end\"", l->it->script->file);
    l->it->function = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

static enum loaded load_function(struct interpreter *it, weir_request *r, char *why, size_t why_bytes)
{
    struct loading l = {.it = it};
    begin_count(it);
    it->host.request = r;
    bool ok = protect(it, load, &l, why, why_bytes);
    it->host.request = NULL;
    return ok ? LOADED : l.is_read ? LOADED_NOT_YET : LOADED_NEVER;
}

/* --- the file --- */

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool look_at_file(const struct script *script, struct stamp *stamp)
{
    struct stat st;
    if (stat(script->file, &st) != 0)
        return false;
    *stamp = (struct stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
    return true;
}

static int64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What cannot be read stays so until it changes; what failed as it ran may do so no more: a database was away, a client left. */
static void note_failure(struct keeper *k, weir_request *r, enum loaded how, const char *why)
{
    if (k->now && how == LOADED_NOT_YET)
        k->not_before_ms = monotonic_ms() + RETRY_MS;
    k->has_seen = how == LOADED_NEVER;
    weir_log(r, WEIR_LOG_ERROR, k->now ? "%s; what was there before goes on" : "%s", why);
}

/* The interpreter of the file as it is now; the last good one where it has a mistake; NULL: there is none. */
static struct interpreter *current(struct keeper *k, weir_request *r)
{
    struct stamp stamp;
    char why[WHY_BYTES] = "out of memory";
    /* It is being replaced, or gone: who runs goes on. */
    if (!look_at_file(k->script, &stamp)) {
        if (!k->now)
            weir_log(r, WEIR_LOG_ERROR, "cannot open %s: %s", k->script->file, strerror(errno));
        return k->now;
    }
    if (k->now && k->has_seen && same_stamp(&stamp, &k->seen))
        return k->now;
    if (k->now && same_stamp(&stamp, &k->seen) && monotonic_ms() < k->not_before_ms)
        return k->now;
    struct interpreter *fresh = open_interpreter(k->script);
    enum loaded how = fresh ? load_function(fresh, r, why, sizeof why) : LOADED_NOT_YET;
    k->seen = stamp;
    if (how != LOADED) {
        note_failure(k, r, how, why);
        close_interpreter(fresh);
        return k->now;
    }
    k->has_seen = true;
    k->not_before_ms = 0;
    close_interpreter(k->now);
    k->now = fresh;
    return fresh;
}

static void *begin_thread(void *settings, char *error, size_t error_bytes)
{
    struct keeper *k = calloc(1, sizeof *k);
    if (!k) {
        snprintf(error, error_bytes, "out of memory");
        return NULL;
    }
    k->script = settings;
    return k;
}

static void end_thread(void *state)
{
    struct keeper *k = state;
    close_interpreter(k->now);
    free(k);
}

/* --- a request --- */

struct call {
    struct interpreter *it;
    weir_request *r;
    int result;
};

/* What the function returned: nothing, a status, or a text that is the body. */
static int take_result(lua_State *lua, weir_request *r)
{
    size_t bytes;
    if (lua_isnil(lua, -1))
        return 0;
    if (lua_type(lua, -1) == LUA_TNUMBER) {
        lua_Number n = lua_tonumber(lua, -1);
        return n >= INT_MIN && n <= INT_MAX ? (int)n : -1;
    }
    if (lua_type(lua, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(lua, -1, &bytes);
        weir_write(r, text, bytes);
        return 0;
    }
    return luaL_error(lua, "the function returned a %s; it may return nothing, a status or a text",
                      luaL_typename(lua, -1));
}

static int call_function(lua_State *lua)
{
    struct call *c = lua_touserdata(lua, 1);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, c->it->function);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, c->it->request);
    call_in_words(lua, 1, 1);
    c->result = take_result(lua, c->r);
    return 0;
}

static int collect(lua_State *lua)
{
    lua_gc(lua, LUA_GCCOLLECT, 0);
    return 0;
}

/* One that has run out of memory leaves some for the next request, or is made anew. */
static void look_after_error(struct keeper *k)
{
    char why[WHY_BYTES];
    size_t half = k->script->memory_bytes / 2;
    if (k->now->used_bytes > half)
        protect(k->now, collect, NULL, why, sizeof why);
    if (k->now->used_bytes <= half)
        return;
    close_interpreter(k->now);
    k->now = NULL;
}

static int run(weir_request *r)
{
    char why[WHY_BYTES];
    struct keeper *k = weir_thread(r);
    struct interpreter *it = current(k, r);
    struct call c = {.it = it, .r = r, .result = HTTP_ERROR};
    if (!it)
        return HTTP_ERROR;
    begin_count(it);
    it->host.request = r;
    bool ok = protect(it, call_function, &c, why, sizeof why);
    if (!ok && !weir_client_gone(r))
        weir_log(r, WEIR_LOG_ERROR, "%s", why);
    if (!ok)
        look_after_error(k);
    if (k->now)
        k->now->host.request = NULL;
    return ok ? c.result : HTTP_ERROR;
}

/* --- settings --- */

/* A number with k, m or g. 0: it is none. */
static unsigned long long parse_size(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    const char *units = "kmg", *unit = *end ? strchr(units, *end | 0x20) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (end == text || text[0] == '-' || errno || (*end && (!unit || end[1])) || n > (ULLONG_MAX >> shift))
        return 0;
    return n << shift;
}

static bool take_setting(struct script *s, const struct weir_setting *w, char *error, size_t error_bytes)
{
    if (strcmp(w->key, "file") == 0 && !s->file) {
        s->file = strdup(w->value);
        return s->file != NULL;
    }
    unsigned long long n = parse_size(w->value);
    if (strcmp(w->key, "memory") == 0 && n >= MEMORY_LEAST) {
        s->memory_bytes = n;
        return true;
    }
    if (strcmp(w->key, "instructions") == 0 && n > 0 && n <= INT_MAX) {
        s->instructions = (long long)n;
        return true;
    }
    snprintf(
        error, error_bytes,
        "invalid \"%s=%s\"; there are a file, memory=SIZE from 1m on and instructions=N up to 2147483647",
        w->key, w->value);
    return false;
}

static void free_script(void *settings)
{
    struct script *s = settings;
    free(s->file);
    free(s);
}

static int read_file(lua_State *lua)
{
    const char *file = lua_touserdata(lua, 1);
    return luaL_loadfile(lua, file) == 0 ? 0 : lua_error(lua);
}

/* Reads the file, and runs nothing of it: what it does belongs to the workers. */
static bool check_syntax(const struct script *s, char *error, size_t error_bytes)
{
    struct interpreter *it = open_interpreter(s);
    bool ok = it && protect(it, read_file, s->file, error, error_bytes);
    if (!it)
        snprintf(error, error_bytes, "out of memory");
    close_interpreter(it);
    return ok;
}

/* Libraries in C that scripts require look for the interpreter among what is there for all. */
static void show_interpreter(void)
{
    void *library = dlopen("libluajit-5.1.so.2", RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
    if (library)
        dlclose(library); /* what it is shown by stays */
}

static void *init(const struct weir_setting *settings, char *error, size_t error_bytes)
{
    struct script *s = calloc(1, sizeof *s);
    bool ok = true;
    if (!s)
        return NULL;
    s->memory_bytes = MEMORY_DEFAULT;
    show_interpreter();
    for (; ok && settings->key; settings++)
        ok = take_setting(s, settings, error, error_bytes);
    if (ok && !s->file) {
        snprintf(error, error_bytes, "it needs a script: handler lua FILE");
        ok = false;
    }
    if (ok && check_syntax(s, error, error_bytes))
        return s;
    free_script(s);
    return NULL;
}

static const struct weir_handler handlers[] = {{.name = "lua",
                                                .run = run,
                                                .init = init,
                                                .free = free_script,
                                                .variables = lua_request_variables,
                                                .thread_init = begin_thread,
                                                .thread_free = end_thread},
                                               {0}};

WEIR_MODULE(handlers);
