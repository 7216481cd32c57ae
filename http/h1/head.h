/*
 * http/h1/head.h - how a request of HTTP/1 begins, and what becomes of input that is none.
 *
 * Each of these needs a connection between requests, and begins a request on it. Where memory is out the connection is closed.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_HEAD_H
#define WEIR_HTTP_H1_HEAD_H

#include "http/client/connection.h"
#include "http/request/verdict.h"

/* A complete head: parses it, and begins its request. VERDICT_GONE: the connection is closed. */
struct verdict h1_start(struct connection *c, struct slice head);

/* Input that is no request, of which whole_lines bytes are whole lines: the response is that of the error. */
struct verdict h1_refuse(struct connection *c, struct slice head, size_t whole_lines,
                         const struct http_error *error);

/* A head whose end never comes: logs the status, with no byte of a response, and why, and closes the connection. */
void h1_leave_unfinished(struct connection *c, struct slice head, size_t whole_lines, int status,
                         const char *why);

/* Whether the response in the making is to be the connection's last. */
bool h1_is_last(const struct http_exchange *ex);

#endif
