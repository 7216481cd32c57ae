/*
 * http/h2/concurrency.h - how many streams a client may have at a time.
 *
 * With http2_max_concurrent_streams auto that is what limit_concurrency has room for: a client that could only wait in its queue, or be
 * refused, keeps what it wants to ask to itself, and may go elsewhere with it.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_CONCURRENCY_H
#define WEIR_HTTP_H2_CONCURRENCY_H

#include "http/h2/session.h"

/* The first SETTINGS are just being made. */
void h2_concurrency_open(struct h2_session *s);

/* Whether one stream more may begin. */
bool h2_concurrency_has_room(const struct h2_session *s);

/* A response is out whose request may have needed a permit: says anew how many streams there may be, where that has changed. */
void h2_concurrency_follow(struct h2_stream *st);

/* The client has acknowledged SETTINGS: it knows of the newest limit. */
void h2_concurrency_is_known(struct h2_session *s);

#endif
