/*
 * modules/lua_request.h - the request as a Lua object: <weir/handler.h> in Lua's manner.
 */
#ifndef WEIR_MODULES_LUA_REQUEST_H
#define WEIR_MODULES_LUA_REQUEST_H

#include <lua.h>
#include <weir/handler.h>

/* The variables that scripts may read: `variables` of the handler. */
extern const char *const lua_request_variables[];

/* Makes the object that stands for whichever request the interpreter has, and print; leaves the object on the stack. */
void lua_request_open(lua_State *lua);

/* From now on the object is this request's; NULL: none's, and a script that uses it gets an error. */
void lua_request_set(lua_State *lua, weir_request *r);

/* The interpreter's request, or NULL. */
weir_request *lua_request_get(lua_State *lua);

#endif
