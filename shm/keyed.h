/*
 * shm/keyed.h - what all processes know of each value of a key: its connections at a time, its requests in time, or what it
 * is bound to.
 *
 * What nginx has as limit_conn, limit_req and sticky learn. A zone is a table of keys in memory of its own, made by the master before
 * it forks the workers that use it. A connection counts as long as its permit is held (shm/permit.h): so counts are
 * made anew from the permits whenever a process has died, and none is lost with it.
 *
 * Threads and processes: as in shm/permit.h. Keys are at most KEYED_KEY_MAX bytes.
 * Source of the arithmetic of requests: the leaky bucket, as nginx documents it for ngx_http_limit_req_module.
 */
#ifndef WEIR_SHM_KEYED_H
#define WEIR_SHM_KEYED_H

#include "base/slice.h"
#include "shm/permit.h"

enum { KEYED_ZONES = SHM_ZONES, KEYED_KEY_MAX = 255, KEYED_BYTES_MIN = 8 * 4096, KEYED_SPEC_BYTES = 128 };

enum keyed_kind { KEYED_CONNECTIONS, KEYED_REQUESTS, KEYED_SESSIONS };

struct keyed_cell;

/* At the beginning of a zone's mapping: what all processes change, with the lock. */
struct keyed_links {
    _Alignas(64) _Atomic uint32_t lock;
    /* Cells from this one on have never been used. */
    uint32_t used;
    uint32_t free; /* linked by next */
    uint32_t oldest, newest;
};

/* Where a zone is, and what it is: private memory of each process, as the master had it when it forked. */
struct keyed_zone {
    char name[PERMIT_NAME_BYTES]; /* "" when unused */
    /* The key as configured: a zone with another key is another zone. */
    char key[KEYED_SPEC_BYTES];
    enum keyed_kind kind;
    size_t bytes;
    /* The mapping begins with the links; behind them the buckets, then the cells. */
    struct keyed_links *links;
    uint32_t *buckets;
    struct keyed_cell *cells; /* counted from 1 in links */
    uint32_t bucket_count, cell_count;
    uint64_t seed;
};

/* --- for the master --- */

/* The zone of this name, kind, size and key, made if there is none. -1 with errno; ENFILE: all are in use. */
int keyed_zone_open(struct shm *shm, const char *name, enum keyed_kind kind, size_t bytes, const char *key);

/* Frees zones that are not among the `count` kept ones and in which nothing is held. */
void keyed_zones_prune(struct shm *shm, const int *kept, int count);

/* Gives back what the process of this slot held. It is dead. */
void keyed_reclaim(struct shm *shm, int slot);

/* Counts what is held anew. */
void keyed_recount(struct shm *shm, unsigned zone);

/* Whether no zone has more cells in use than there are. And all keys forgotten, and what was held for them. */
bool keyed_is_sane(const struct shm *shm);
void keyed_begin_anew(struct shm *shm);

/* --- for a worker --- */

enum keyed_result {
    KEYED_OK,
    KEYED_OVER,   /* the limit */
    KEYED_NO_ROOM /* for one more key */
};

/* Counts one more for the key, if it has fewer than limit. OK: *permit is to be given to keyed_let_go. */
enum keyed_result keyed_hold(struct permit_user *u, unsigned zone, struct slice key, uint32_t limit,
                             uint32_t *permit);
void keyed_let_go(struct permit_user *u, uint32_t permit);

/*
 * Whether one more request at now_us (monotonic) is within rate (thousandths of requests a second) and burst. *excess, in
 * thousandths of a request, is what it goes beyond the rate. It counts only with `account`.
 */
struct keyed_rate {
    uint64_t rate, burst;
};
enum keyed_result keyed_request(struct shm *shm, unsigned zone, struct slice key, uint64_t now_us,
                                struct keyed_rate rate, bool account, uint64_t *excess);

/*
 * Binds the key to a value for idle_us from now_us (monotonic), and for as long again whenever it is recalled. What has been
 * idle longest makes room.
 */
enum keyed_result keyed_remember(struct shm *shm, unsigned zone, struct slice key, uint64_t value,
                                 uint64_t now_us, uint64_t idle_us);

/* What the key is bound to; false: to nothing, or no longer. */
bool keyed_recall(struct shm *shm, unsigned zone, struct slice key, uint64_t now_us, uint64_t idle_us,
                  uint64_t *value);

#endif
