/*
 * handlers/autoindex.h - the list of a folder's files, as HTML or JSON (nginx, ngx_http_autoindex_module).
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_AUTOINDEX_H
#define WEIR_HANDLERS_AUTOINDEX_H

#include "conf/settings.h"
#include "http/exchange.h"

/* Answers with the folder `dir` (a zero behind it), which the exchange's path names. 0, or the status of an error page. */
int autoindex_answer(struct http_exchange *ex, const struct settings *settings, struct slice dir);

#endif
