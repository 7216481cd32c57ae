/*
 * http/client/linger.h - the end of a connection whose client may still be sending.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_LINGER_H
#define WEIR_HTTP_CLIENT_LINGER_H

#include "http/client/connection.h"

/* All responses are sent, and no request is to follow: closes, or lingers first where lingering_close wants it. */
void connection_finish(struct connection *c);

/* Of a lingering connection: throws away what has come, and closes when the client has ended or the time is over. */
void connection_linger(struct connection *c);

#endif
