/*
 * shm/session_cache.h - TLS sessions that all workers know, for clients that take one up by its id (RFC 5246 section 7.3).
 *
 * A cache is a log in a memory file that goes round: what is new is written over what is oldest, as nginx lets the oldest session go
 * first. An index leads from ids to places in it. Nobody waits for a lock: who is killed while it writes leaves a session that nobody
 * finds, and who reads what is being written over finds none either. A session is known for as long as its maker says, which who takes
 * it up has to look at.
 * Ownership: a cache lives as long as it is held; a next configuration holds those of its names and sizes before the last one lets go.
 * Threads and processes: opened, held and let go by one thread before there are children; the rest from any thread of any process.
 * Trust:     any worker may write anything there: what is found is checked for its form alone.
 */
#ifndef WEIR_SHM_SESSION_CACHE_H
#define WEIR_SHM_SESSION_CACHE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SESSION_CACHE_NAME_BYTES = 64,
    SESSION_CACHE_BYTES_MIN = 8 * 4096, /* as in nginx */
    SESSION_ID_MAX = 32,
    SESSION_MAX = 4096, /* a larger one is not kept, as in nginx */
    /* Names that begin so are of caches for other things: sessions are not dropped from there. */
    SESSION_CACHE_OF_OTHERS = ':'
};

struct session_cache;

/* The cache of this name and size; with name "" one that nobody else holds, and no other process shares. NULL with errno. */
struct session_cache *session_cache_hold(struct slice name, size_t bytes);
void session_cache_let_go(struct session_cache *cache);

/* False: it is too large, or others were quicker again and again. */
bool session_cache_put(struct session_cache *cache, struct slice id, struct slice session);

/* Bytes of a copy; 0: it is not there. */
size_t session_cache_find(const struct session_cache *cache, struct slice id, char session[SESSION_MAX]);

/* From each cache that this process has. */
void session_caches_drop(struct slice id);

/* --- over a change of the binary --- */

/* Appends the memory files' numbers, which the next binary is to have, each with ';'. False: out of memory. */
struct buf;
bool session_caches_pass_on(struct buf *numbers);

/* Before any is held: those of an older binary are held by whoever asks for their name and size; then the others are closed. */
void session_caches_take_over(const char *numbers);
void session_caches_close_unused(void);

/* In a worker, which passes none on. */
void session_caches_close_files(void);

#endif
