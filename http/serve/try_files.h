/*
 * http/serve/try_files.h - the first file of several that exists.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_TRY_FILES_H
#define WEIR_HTTP_SERVE_TRY_FILES_H

#include "http/request/exchange.h"

/* VERDICT_NEXT: with the path of a file that exists. */
struct verdict try_files_pass(struct http_exchange *ex);

#endif
