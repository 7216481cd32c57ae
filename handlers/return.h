/*
 * handlers/return.h - the answer of the "return" directive.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_RETURN_H
#define WEIR_HANDLERS_RETURN_H

#include "conf/settings.h"
#include "http/request/template.h"

/*
 * Sets status, type, body or Location. text may be NULL: an error page, or an empty body. A Location that starts with "/" is completed with scheme and
 * host by absolute_redirect. Returns 0, or the status of the error page to send instead.
 */
int return_answer(struct http_exchange *ex, int code, const struct http_template *text,
                  const struct settings *s);

#endif
