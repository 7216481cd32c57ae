/*
 * http/client/handshake.h - a client's connection begins to speak TLS, where its address says so (listen ... ssl).
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_HANDSHAKE_H
#define WEIR_HTTP_CLIENT_HANDSHAKE_H

#include "http/client/connection.h"

/*
 * The connection's first byte says whether its client knows that it is to speak TLS. One that does not is answered in plain text, with
 * 497. False when that byte is not there yet, or the connection has ended.
 */
bool connection_begin_tls(struct connection *c);

/* After a read: whether the handshake is over is counted, once. */
void connection_note_handshake(struct connection *c);

/* After a read that has brought the end, or failed; and when the client's time is over: if that is within the handshake it is counted, and
 * what is wrong is said in nginx's words. */
void connection_end_handshake(struct connection *c, ssize_t result);
void connection_time_handshake_out(struct connection *c);

#endif
