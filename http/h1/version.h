/*
 * http/h1/version.h - HTTP/1 as a client's connection sees it.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_VERSION_H
#define WEIR_HTTP_H1_VERSION_H

#include "http/client/version.h"

extern const struct connection_version h1_version;

/* Once a second: closes those of clients that have left while more input waits than is read ahead. */
void h1_look_for_leavers(struct worker *w);

#endif
