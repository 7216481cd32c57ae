/*
 * modules/lua_request.h - the request as a Lua object: <weir/handler.h> in Lua's manner.
 */
#ifndef WEIR_MODULES_LUA_REQUEST_H
#define WEIR_MODULES_LUA_REQUEST_H

#include <lua.h>
#include <weir/handler.h>

/* The variables that scripts may read: `variables` of the handler. */
extern const char *const lua_request_variables[];

/* What an interpreter's C functions find by its allocator's argument, of which it is the first member. */
struct lua_host {
    weir_request *request; /* NULL: none is at work */
    void *object;          /* what stands for it in Lua */
};

static inline struct lua_host *lua_host_of(lua_State *lua)
{
    void *host;
    lua_getallocf(lua, &host);
    return host;
}

/* Makes the object that stands for whichever request the interpreter has, and print; leaves the object on the stack. */
void lua_request_open(lua_State *lua);

#endif
