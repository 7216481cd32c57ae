/*
 * http/h2/version.h - HTTP/2 as a client's connection sees it.
 */
#ifndef WEIR_HTTP_H2_VERSION_H
#define WEIR_HTTP_H2_VERSION_H

#include "http/client/version.h"

struct wheel_entry;

extern const struct connection_version h2_version;

/* Once a second: what idle connections need not hold goes back to the system. */
void h2_look_after_idle(struct worker *w);

/* The time of a stream is over: its timer's entry. */
void h2_stream_on_timer(struct wheel_entry *e);

#endif
