/*
 * http/h2/drive.h - moving a connection of HTTP/2 forward: its input, its streams' turns, its output, what it waits for then.
 *
 * Threads: the loop's. No connection is driven while another one is.
 */
#ifndef WEIR_HTTP_H2_DRIVE_H
#define WEIR_HTTP_H2_DRIVE_H

#include "http/h2/session.h"

/* Goes on with whatever can go on. */
void h2_drive(struct connection *c);

/* The same with this input. */
void h2_drive_with(struct connection *c, const char *data, size_t len);

#endif
