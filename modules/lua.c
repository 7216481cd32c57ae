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

enum { MEMORY_DEFAULT = 64 << 20, MEMORY_LEAST = 1 << 20, HOOK_STEP = 1000, HTTP_ERROR = 500 };

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
    lua_State *lua;
    const struct script *script;
    size_t used_bytes;
    long long instructions_left;
    int function, request; /* in the registry */
};

/* A thread's. */
struct keeper {
    const struct script *script;
    /* NULL: there is none yet, or its file has a mistake. */
    struct interpreter *now;
    struct stamp seen;
    bool has_seen;
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
    void *arg;
    (void)activation;
    lua_getallocf(lua, &arg);
    struct interpreter *it = arg;
    weir_request *r = lua_request_get(lua);
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

static void close_interpreter(struct interpreter *it)
{
    if (it && it->lua)
        lua_close(it->lua);
    free(it);
}

/* What may run out of memory, or find a mistake: protected. */
static int prepare(lua_State *lua)
{
    struct interpreter *it = lua_touserdata(lua, 1);
    luaL_openlibs(lua);
    add_folder(lua, it->script->file);
    lua_request_open(lua);
    it->request = luaL_ref(lua, LUA_REGISTRYINDEX);
    if (it->script->instructions)
        luaJIT_setmode(lua, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    return 0;
}

/* NULL: out of memory, or of what the script may have. */
static struct interpreter *open_interpreter(const struct script *script)
{
    struct interpreter *it = calloc(1, sizeof *it);
    if (!it)
        return NULL;
    it->script = script;
    it->instructions_left = INT64_MAX;
    it->lua = lua_newstate(allocate, it);
    if (it->lua && lua_cpcall(it->lua, prepare, it) == 0)
        return it;
    close_interpreter(it);
    return NULL;
}

/* The text of the error on the stack; it holds until the next call. */
static const char *error_of(lua_State *lua)
{
    const char *text = lua_tostring(lua, -1);
    return text ? text : "an error that is no text";
}

/* The file's function, kept in the registry. False: *why says what is wrong, in the interpreter's memory. */
static bool load_function(struct interpreter *it, weir_request *r, const char **why)
{
    lua_State *lua = it->lua;
    begin_count(it);
    lua_request_set(lua, r);
    bool ok = luaL_loadfile(lua, it->script->file) == 0 && lua_pcall(lua, 0, 1, 0) == 0;
    lua_request_set(lua, NULL);
    *why = ok ? "it returns no function: write \"return function(r) ... end\"" : error_of(lua);
    if (!ok || !lua_isfunction(lua, -1))
        return false;
    it->function = luaL_ref(lua, LUA_REGISTRYINDEX);
    return true;
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

/* The interpreter of the file as it is now; the last good one where it has a mistake; NULL: there is none. */
static struct interpreter *current(struct keeper *k, weir_request *r)
{
    struct stamp stamp;
    const char *why = "out of memory";
    /* It is being replaced, or gone: who runs goes on. */
    if (!look_at_file(k->script, &stamp)) {
        if (!k->now)
            weir_log(r, WEIR_LOG_ERROR, "cannot open %s: %s", k->script->file, strerror(errno));
        return k->now;
    }
    if (k->now && k->has_seen && same_stamp(&stamp, &k->seen))
        return k->now;
    struct interpreter *fresh = open_interpreter(k->script);
    k->seen = stamp;
    k->has_seen = true;
    if (fresh && load_function(fresh, r, &why)) {
        close_interpreter(k->now);
        k->now = fresh;
        return fresh;
    }
    weir_log(r, WEIR_LOG_ERROR, k->now ? "%s; what was there before goes on" : "%s", why);
    close_interpreter(fresh);
    return k->now;
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

/* What the function returned: nothing, a status, or a text that is the body. */
static int take_result(lua_State *lua, weir_request *r)
{
    size_t bytes;
    if (lua_isnil(lua, -1))
        return 0;
    if (lua_type(lua, -1) == LUA_TNUMBER)
        return (int)lua_tointeger(lua, -1);
    if (lua_type(lua, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(lua, -1, &bytes);
        weir_write(r, text, bytes);
        return 0;
    }
    weir_log(r, WEIR_LOG_ERROR, "the function returned a %s; it may return nothing, a status or a text",
             luaL_typename(lua, -1));
    return HTTP_ERROR;
}

static int run(weir_request *r)
{
    struct keeper *k = weir_thread(r);
    struct interpreter *it = current(k, r);
    if (!it)
        return HTTP_ERROR;
    lua_State *lua = it->lua;
    begin_count(it);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, it->function);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, it->request);
    lua_request_set(lua, r);
    int result = HTTP_ERROR;
    if (lua_pcall(lua, 1, 1, 0) == 0)
        result = take_result(lua, r);
    else if (!weir_client_gone(r))
        weir_log(r, WEIR_LOG_ERROR, "%s", error_of(lua));
    lua_request_set(lua, NULL);
    lua_settop(lua, 0);
    /* What ran out of memory leaves it for the next one. */
    if (result == HTTP_ERROR && it->used_bytes > it->script->memory_bytes / 2)
        lua_gc(lua, LUA_GCCOLLECT, 0);
    return result;
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

/* Reads the file, and runs nothing of it: what it does belongs to the workers. */
static bool check_syntax(const struct script *s, char *error, size_t error_bytes)
{
    struct interpreter *it = open_interpreter(s);
    bool ok = it && luaL_loadfile(it->lua, s->file) == 0;
    if (!ok)
        snprintf(error, error_bytes, "%s", it ? error_of(it->lua) : "out of memory");
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
