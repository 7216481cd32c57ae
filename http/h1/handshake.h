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

/* After a read: whether the handshake is over is counted, once. */
void h1_note_handshake(struct connection *c);

/* After a read that has brought the end, or failed; and when the client's time is over: if that is within the handshake it is counted, and
 * what is wrong is said in nginx's words. */
void h1_end_handshake(struct connection *c, ssize_t result);
void h1_time_handshake_out(struct connection *c);

#endif
