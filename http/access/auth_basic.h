/*
 * http/access/auth_basic.h - users and their passwords: auth_basic.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_ACCESS_AUTH_BASIC_H
#define WEIR_HTTP_ACCESS_AUTH_BASIC_H

#include "http/access/auth_say.h"
#include "http/request/exchange.h"

struct feature;

extern const struct feature feature_auth_basic;

bool auth_basic_is_asked(const struct location *l);

/* What the password says; AUTH_SAYS_ASK: *v is to happen, and a thread checks it. */
enum auth_say auth_basic_look(struct http_exchange *ex, struct verdict *v);

#endif
