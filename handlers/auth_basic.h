/*
 * handlers/auth_basic.h - auth_basic (RFC 7617): a handler of our own that looks a user up and checks the password, on a
 * thread of a pool, as both block.
 */
#ifndef WEIR_HANDLERS_AUTH_BASIC_H
#define WEIR_HANDLERS_AUTH_BASIC_H

#include "handlers/handler.h"
#include "http/wire/credentials.h"

/* Its settings are a struct auth_question. run returns 0, 401, 403 (no file), or 500 (a file that cannot be read). */
extern const struct weir_handler auth_basic_handler;

#endif
