/*
 * http/client/preface.h - whether a client speaks HTTP/2: its handshake has said so, or it begins with HTTP/2's preface.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_PREFACE_H
#define WEIR_HTTP_CLIENT_PREFACE_H

#include "http/client/connection.h"

enum preface { PREFACE_NONE, PREFACE_MORE, PREFACE_IS_HTTP2 };

/* Of a connection's first bytes, behind the PROXY protocol's. PREFACE_MORE: they do not say yet. */
enum preface connection_preface(const struct connection *c, struct slice in);

#endif
