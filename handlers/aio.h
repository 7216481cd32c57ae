/*
 * handlers/aio.h - parts of files that are not in memory, read by threads.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_AIO_H
#define WEIR_HANDLERS_AIO_H

#include "http/request/exchange.h"

/* Whether sending from this piece does not wait for a disk. False: it is being read, and the connection goes on then. */
bool aio_ready(struct http_exchange *ex, struct http_piece *p);

/* How much of it that is true for, of `most` bytes. */
size_t aio_limit(struct http_exchange *ex, const struct http_piece *p, size_t most);
void aio_client_gone(struct http_exchange *ex);

#endif
