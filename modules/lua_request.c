/*
 * modules/lua_request.c - what a script can ask of its request, and say in answer.
 *
 * An interpreter has one object for all of its requests, one after the other: making one for each would cost more than most
 * scripts do.
 */
#include "modules/lua_request.h"

#include <lauxlib.h>
#include <string.h>

const char *const lua_request_variables[] = {"remote_user", "request_id",  "scheme", "host",
                                             "server_name", "server_port", NULL};

/* The object that a method was called with; an error where it is none, or has no request. */
static weir_request *self(lua_State *lua)
{
    const struct lua_host *host = lua_host_of(lua);
    if (lua_touserdata(lua, 1) != host->object)
        luaL_error(lua, "call it with a colon: r:method(...)");
    if (!host->request)
        luaL_error(lua, "there is no request now: the object is for the time of the call");
    return host->request;
}

/* An argument that C takes up to its zero. */
static const char *plain_text(lua_State *lua, int at)
{
    size_t bytes;
    const char *text = luaL_checklstring(lua, at, &bytes);
    if (strlen(text) != bytes)
        luaL_argerror(lua, at, "there is a zero in it");
    return text;
}

/* --- what came --- */

static int push_text(lua_State *lua, const char *text)
{
    if (text)
        lua_pushstring(lua, text);
    else
        lua_pushnil(lua);
    return 1;
}

static int push_found(lua_State *lua, const struct weir_field *f, int found)
{
    if (found)
        lua_pushlstring(lua, f->value, f->value_bytes);
    else
        lua_pushnil(lua);
    return 1;
}

static int get_arg(lua_State *lua)
{
    weir_request *r = self(lua);
    struct weir_field f = {0};
    return push_found(lua, &f, weir_find_arg(r, luaL_checkstring(lua, 2), &f));
}

static int get_header(lua_State *lua)
{
    weir_request *r = self(lua);
    return push_text(lua, weir_header(r, luaL_checkstring(lua, 2)));
}

static int get_form(lua_State *lua)
{
    weir_request *r = self(lua);
    struct weir_field f = {0};
    return push_found(lua, &f, weir_find_form(r, luaL_checkstring(lua, 2), &f));
}

static int get_cookie(lua_State *lua)
{
    weir_request *r = self(lua);
    return push_text(lua, weir_cookie(r, luaL_checkstring(lua, 2)));
}

static int get_variable(lua_State *lua)
{
    weir_request *r = self(lua);
    const char *name = luaL_checkstring(lua, 2);
    int i = 0;
    while (lua_request_variables[i] && strcmp(lua_request_variables[i], name) != 0)
        i++;
    if (!lua_request_variables[i])
        luaL_error(lua, "variable \"%s\" cannot be read here; hand it over as a header by a proxy", name);
    return push_text(lua, weir_variable(r, name));
}

/* --- walks --- */

typedef int next_field(weir_request *r, struct weir_field *f);

static next_field *const walks[] = {weir_next_arg, weir_next_header, weir_next_form, weir_next_cookie};

/* One step: upvalues are the field and the walk's number. */
static int step(lua_State *lua)
{
    struct weir_field *f = lua_touserdata(lua, lua_upvalueindex(1));
    weir_request *r = lua_host_of(lua)->request;
    if (!r || walks[lua_tointeger(lua, lua_upvalueindex(2))](r, f) <= 0)
        return 0;
    lua_pushlstring(lua, f->name, f->name_bytes);
    lua_pushlstring(lua, f->value, f->value_bytes);
    return 2;
}

static int begin_walk(lua_State *lua, int which)
{
    self(lua);
    struct weir_field *f = lua_newuserdata(lua, sizeof *f);
    *f = (struct weir_field){0};
    lua_pushinteger(lua, which);
    lua_pushcclosure(lua, step, 2);
    return 1;
}

static int walk_args(lua_State *lua)
{
    return begin_walk(lua, 0);
}

static int walk_headers(lua_State *lua)
{
    return begin_walk(lua, 1);
}

static int walk_forms(lua_State *lua)
{
    return begin_walk(lua, 2);
}

static int walk_cookies(lua_State *lua)
{
    return begin_walk(lua, 3);
}

static void set_text(lua_State *lua, const char *key, const char *text)
{
    push_text(lua, text);
    lua_setfield(lua, -2, key);
}

static int step_part(lua_State *lua)
{
    struct weir_part *p = lua_touserdata(lua, lua_upvalueindex(1));
    weir_request *r = lua_host_of(lua)->request;
    if (!r || weir_next_part(r, p) <= 0)
        return 0;
    lua_createtable(lua, 0, 4);
    set_text(lua, "name", p->name);
    set_text(lua, "filename", p->filename);
    set_text(lua, "type", p->type);
    lua_pushlstring(lua, p->data, p->bytes);
    lua_setfield(lua, -2, "data");
    return 1;
}

static int walk_parts(lua_State *lua)
{
    self(lua);
    struct weir_part *p = lua_newuserdata(lua, sizeof *p);
    *p = (struct weir_part){0};
    lua_pushcclosure(lua, step_part, 1);
    return 1;
}

/* --- the answer --- */

static int set_status(lua_State *lua)
{
    weir_request *r = self(lua);
    int status = (int)luaL_checkinteger(lua, 2);
    if (weir_set_status(r, status) < 0)
        luaL_error(lua, "status %d cannot be set: it is not from 200 to 599, or the answer has begun",
                   status);
    return 0;
}

static int set_header(lua_State *lua)
{
    weir_request *r = self(lua);
    const char *name = plain_text(lua, 2), *value = plain_text(lua, 3);
    if (weir_set_header(r, name, value) < 0)
        luaL_error(lua,
                   "header \"%s\" cannot be set: it is the server's, or no token, or its value has "
                   "control characters, or the answer has begun",
                   name);
    return 0;
}

static int say_written(lua_State *lua, int result)
{
    lua_pushboolean(lua, result == 0);
    return 1;
}

static int write_all(lua_State *lua)
{
    weir_request *r = self(lua);
    int result = 0, last = lua_gettop(lua);
    for (int i = 2; i <= last && result == 0; i++) {
        size_t bytes;
        const char *text = luaL_checklstring(lua, i, &bytes);
        result = weir_write(r, text, bytes);
    }
    return say_written(lua, result);
}

static int flush(lua_State *lua)
{
    return say_written(lua, weir_flush(self(lua)));
}

static const char *one_line(lua_State *lua, int at)
{
    const char *text = lua_isnoneornil(lua, at) ? NULL : plain_text(lua, at);
    if (text && strpbrk(text, "\r\n"))
        luaL_argerror(lua, at, "it has to be one line");
    return text;
}

/* r:event(data, event, id) */
static int send_event(lua_State *lua)
{
    weir_request *r = self(lua);
    const char *data = lua_isnoneornil(lua, 2) ? NULL : plain_text(lua, 2);
    const char *event = one_line(lua, 3), *id = one_line(lua, 4);
    if (!data && (event || id))
        luaL_argerror(lua, 2, "a comment has neither name nor number");
    return say_written(lua, weir_event(r, event, id, data));
}

/* --- besides --- */

/* Milliseconds, or nil without a bound. */
static int time_left(lua_State *lua)
{
    int64_t left_ms = weir_time_left_ms(self(lua));
    if (left_ms == INT64_MAX)
        lua_pushnil(lua);
    else
        lua_pushnumber(lua, (lua_Number)left_ms);
    return 1;
}

static int is_gone(lua_State *lua)
{
    lua_pushboolean(lua, weir_client_gone(self(lua)));
    return 1;
}

/* r:log([level,] text) */
static int write_log(lua_State *lua)
{
    static const char *const names[] = {"error", "warn", "notice", "info", "debug", NULL};
    weir_request *r = self(lua);
    int level = lua_gettop(lua) > 2 ? luaL_checkoption(lua, 2, NULL, names) : 0;
    weir_log(r, (enum weir_log_level)(WEIR_LOG_ERROR + level), "%s", luaL_checkstring(lua, -1));
    return 0;
}

/* Where it would go is nobody's: it is a line of the error log. */
static int print_to_log(lua_State *lua)
{
    weir_request *r = lua_host_of(lua)->request;
    int count = lua_gettop(lua);
    luaL_Buffer text;
    lua_getglobal(lua, "tostring");
    luaL_buffinit(lua, &text);
    for (int i = 1; i <= count; i++) {
        if (i > 1)
            luaL_addchar(&text, ' ');
        lua_pushvalue(lua, count + 1);
        lua_pushvalue(lua, i);
        lua_call(lua, 1, 1);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
    if (r)
        weir_log(r, WEIR_LOG_NOTICE, "%s", lua_tostring(lua, -1));
    return 0;
}

/* --- the object --- */

/* r.method and the like; upvalue: the table of methods. */
static int get_field(lua_State *lua)
{
    static const char *(*const texts[])(weir_request *) = {weir_method, weir_path, weir_query, weir_client};
    static const char *const names[] = {"method", "path", "query", "client", NULL};
    lua_pushvalue(lua, 2);
    lua_rawget(lua, lua_upvalueindex(1));
    if (!lua_isnil(lua, -1))
        return 1;
    const char *key = luaL_checkstring(lua, 2);
    weir_request *r = self(lua);
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], key) == 0)
            return push_text(lua, texts[i](r));
    if (strcmp(key, "body") != 0)
        return luaL_error(lua, "a request has no \"%s\"", key);
    size_t bytes;
    const char *body = weir_body(r, &bytes);
    lua_pushlstring(lua, body, bytes);
    return 1;
}

static int set_field(lua_State *lua)
{
    return luaL_error(
        lua, "a request's \"%s\" cannot be assigned; its answer is set by r:status, r:set_header, r:write",
        luaL_checkstring(lua, 2));
}

static const luaL_Reg methods[] = {{"arg", get_arg},
                                   {"header", get_header},
                                   {"form", get_form},
                                   {"cookie", get_cookie},
                                   {"variable", get_variable},
                                   {"args", walk_args},
                                   {"headers", walk_headers},
                                   {"forms", walk_forms},
                                   {"cookies", walk_cookies},
                                   {"parts", walk_parts},
                                   {"status", set_status},
                                   {"set_header", set_header},
                                   {"write", write_all},
                                   {"flush", flush},
                                   {"event", send_event},
                                   {"time_left", time_left},
                                   {"gone", is_gone},
                                   {"log", write_log},
                                   {NULL, NULL}};

void lua_request_open(lua_State *lua)
{
    lua_host_of(lua)->object = lua_newuserdata(lua, 1);
    lua_createtable(lua, 0, 3);
    lua_newtable(lua);
    for (const luaL_Reg *m = methods; m->name; m++) {
        lua_pushcfunction(lua, m->func);
        lua_setfield(lua, -2, m->name);
    }
    lua_pushcclosure(lua, get_field, 1);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, set_field);
    lua_setfield(lua, -2, "__newindex");
    lua_pushliteral(lua, "weir.request");
    lua_setfield(lua, -2, "__metatable"); /* a script does not change it */
    lua_setmetatable(lua, -2);
    lua_pushcfunction(lua, print_to_log);
    lua_setglobal(lua, "print");
}
