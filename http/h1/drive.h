/*
 * http/h1/drive.h - moving a connection forward.
 *
 * Threads: the loop's. No connection is driven while another one is.
 */
#ifndef WEIR_HTTP_H1_DRIVE_H
#define WEIR_HTTP_H1_DRIVE_H

#include "http/h1/input.h"

/* Goes on with whatever the state allows: uses what was kept of the input, runs requests, sends. */
void h1_drive(struct connection *c);

/* The same with this input: what the connection has kept, or, where that is nothing, what has just been read. */
void h1_drive_with(struct connection *c, struct h1_input *in);

#endif
