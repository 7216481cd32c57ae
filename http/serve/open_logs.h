/*
 * http/serve/open_logs.h - access logs whose path depends on the request.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_OPEN_LOGS_H
#define WEIR_HTTP_SERVE_OPEN_LOGS_H

#include "http/request/exchange.h"

struct access_log;
struct worker;

/* Appends the line to the file that the log's path names for this request. Failures are logged, and the line is lost. */
void open_logs_append(struct http_exchange *ex, const struct access_log *log, struct slice line);

/* The end of a turn: writes, and closes what is not to be kept. */
void open_logs_flush(struct worker *w);

/* Closes all, as after a rotation. */
void open_logs_close(struct worker *w);

#endif
