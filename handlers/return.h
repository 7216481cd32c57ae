/*
 * handlers/return.h - the answer of the "return" directive.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_RETURN_H
#define WEIR_HANDLERS_RETURN_H

#include "http/template.h"

/*
 * Sets status, body or Location. text may be NULL. A Location that starts with "/" is completed with scheme and host,
 * as nginx does with absolute_redirect on. Returns 0, or the status of the error page to send instead.
 */
int return_answer(struct http_exchange *ex, int code, const struct http_template *text,
                  struct slice default_type);

/* "http://HOST[:PORT]PATH" for a path of this server; data NULL when memory is out. */
struct slice return_absolute_url(struct http_exchange *ex, struct slice path);

#endif
