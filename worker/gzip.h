/*
 * worker/gzip.h - compressing answers.
 *
 * Everything belongs to the loop's thread.
 */
#ifndef WEIR_WORKER_GZIP_H
#define WEIR_WORKER_GZIP_H

#include "worker/core.h"

/* The answer's head is complete: if its body is to be compressed, changes it so and sets ex->gzip. */
void gzip_decide(struct connection *c);

/* With ex->gzip: a stretch of the body; what has come in so far is to go out; the end. False: out of memory. */
bool gzip_stretch(struct connection *c, struct slice stretch);
bool gzip_flush(struct connection *c);
bool gzip_finish(struct connection *c);

/* Whether something has come in that has not gone out. */
bool gzip_is_pending(const struct http_exchange *ex);
void gzip_free(struct http_exchange *ex);

#endif
