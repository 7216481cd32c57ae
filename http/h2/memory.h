/*
 * http/h2/memory.h - what nghttp2 holds for a connection: counted, bounded, and packed while the connection is idle.
 *
 * Most of a session is tables that it makes when it begins, nearly empty, and a buffer for the frame being made, which is worth nothing
 * between two frames. Both lie in one block of pages. Of an idle connection only the words of the tables that are not zero are kept, and
 * the pages go back to the system; unpacked, all is again where it was, so that nghttp2 never hears of it.
 * Ownership: the session's.
 * Threads:   the loop's.
 */
#ifndef WEIR_HTTP_H2_MEMORY_H
#define WEIR_HTTP_H2_MEMORY_H

#include "http/h2/session.h"

/* Before nghttp2's session is made with s->allocator, and after. False: out of memory. */
bool h2_memory_open(struct h2_session *s);
void h2_memory_is_made(struct h2_session *s);

/* Nothing happens on the connection, which has no streams and nothing to send: there is no s->ng until it is unpacked. */
void h2_memory_pack(struct h2_session *s);

/* No matter whether it is packed. */
void h2_memory_unpack(struct h2_session *s);

/* nghttp2's session has been deleted, or never made. */
void h2_memory_free(struct h2_session *s);

#endif
