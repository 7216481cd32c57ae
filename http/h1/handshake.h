/*
 * http/h1/handshake.h - a client's connection begins to speak TLS, where its address says so (listen ... ssl).
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_HANDSHAKE_H
#define WEIR_HTTP_H1_HANDSHAKE_H

#include "http/h1/connection.h"

/*
 * The connection's first byte says whether its client knows that it is to speak TLS. One that does not is answered in plain text, with
 * 497. False when that byte is not there yet, or the connection has ended.
 */
bool h1_begin_tls(struct connection *c);

/* After a read that has failed: what is wrong with the handshake, if it is that, in nginx's words. */
void h1_log_failed_handshake(const struct connection *c);

#endif
