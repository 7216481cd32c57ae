/*
 * http/h1/input.h - what clients send: the PROXY protocol's header, heads, bodies, and what is kept for later.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_INPUT_H
#define WEIR_HTTP_H1_INPUT_H

#include "http/client/connection.h"

/* Input that is being used: in the worker's buffer, or in the connection's. */
struct h1_input {
    char *data;
    size_t len;
    struct http_scan *scan; /* of the head at its front */
};

/* What the connection has kept; without any, an empty input whose head is looked for by `fresh`, which is zeroed. */
struct h1_input h1_kept_input(struct connection *c, struct http_scan *fresh);

/* One step of using input. False when there is none, or it has to wait: for a handler, an upstream or the socket. */
bool h1_use_input(struct connection *c, struct h1_input *in);

/* Puts what was not used where it outlives this turn. False when memory is out. */
bool h1_keep_input(struct connection *c, const struct h1_input *in);

/* Whether a part of a head is kept; empty lines before it are nothing (RFC 9112 section 2.2). */
bool h1_head_has_begun(const struct connection *c);

/* Between requests: no more of a head will come. Logs what has come of one, if any, with a status and why, and closes. */
void h1_end_head(struct connection *c, int status, const char *why);

/* recv() has ended with 0 (no error), or failed with this errno: closes, and logs what is left unfinished. */
void h1_close_at_end(struct connection *c, int error);

#endif
