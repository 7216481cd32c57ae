/*
 * handlers/aio.h - parts of files that are not in memory, read by threads.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_AIO_H
#define WEIR_HANDLERS_AIO_H

#include "http/request/exchange.h"

/*
 * Whether sending from the front of this piece does not wait for a disk. False: a thread reads it, and the request goes on
 * then.
 */
bool aio_ready(struct http_exchange *ex, struct http_piece *p);

/* After that: for how many bytes of `most` it is true. */
size_t aio_limit(struct http_exchange *ex, const struct http_piece *p, size_t most);

/* With a thread at work: nobody waits for it any more. */
void aio_client_gone(struct http_exchange *ex);

#endif
