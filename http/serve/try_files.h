/*
 * http/serve/try_files.h - the first file of several that exists.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_TRY_FILES_H
#define WEIR_HTTP_SERVE_TRY_FILES_H

#include "http/request/exchange.h"

struct feature;
struct location;

extern const struct feature feature_try_files;

bool try_files_has(const struct location *l);

/* At a location with try_files. VERDICT_NEXT: the path is that of a file that exists; else where the last name leads. */
struct verdict try_files_pass(struct http_exchange *ex);

#endif
