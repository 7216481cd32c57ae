/*
 * handlers/lending.h - a worker's books of what it has lent and what it runs for others.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_LENDING_H
#define WEIR_HANDLERS_LENDING_H

#include "base/buf.h"
#include "base/list.h"
#include "handlers/job.h"
#include "handlers/parcel.h"
#include "pool/gate.h"
#include "shm/shm.h"
#include "worker/loop/worker_state.h"

struct lending_pool {
    struct list_node waits; /* jobs, some of which have begun */
    uint64_t run_us;        /* what a task takes, lately */
    struct gate turn;       /* handlers/turn.c */
    /* Under the gate: threads that wait for an older one, those that have come for them, and looks that were in vain. */
    unsigned waiting, handed;
    uint64_t in_vain;
};

enum {
    LENDING_OLDER_US = 1000, /* by so much others go first */
    LENDING_ASK_AGAIN_MS = 4
};

/* Atomics are read by threads of pools. */
struct lending_sibling {
    _Atomic uint64_t distrusted_until_ms; /* nothing is lent to it before */
    uint64_t distrust_ms;                 /* for how long that was; 0: it is trusted */
    /* When it was asked for what waits there; 0: it has answered. */
    _Atomic uint64_t asked_ms;
    _Atomic bool is_reached;
};

struct lending {
    struct lending_pool pools[POOLS_MAX];
    struct weir_request *jobs[SHM_LENT]; /* lent, by index */
    uint32_t free[SHM_LENT];             /* indexes */
    uint32_t free_count;
    struct list_node unbegun; /* of jobs, the oldest first */
    struct list_node ended;   /* of jobs: they will not begin */
    uint64_t next_tag;
    struct lending_sibling siblings[SHM_SLOTS];
    ev_timer look; /* runs while something waits */
    struct buf parcel;
    const struct location **locations; /* by number */
    uint32_t location_count;
    struct list_node guests; /* of siblings, here */
    /* What handlers/turn.c has done by lend.c. */
    bool (*ask_for_elder)(struct worker *w, const struct weir_request *job);
    void (*submit_first)(struct worker *w, struct weir_request *job);
};

/* Makes the books, if there are siblings. False: out of memory. */
bool lending_open(struct worker *w);

/* A job's entry in the shared memory. */
_Atomic uint64_t *lending_entry(struct worker *w, const struct weir_request *job);

/* Whether one more may be lent. */
bool lending_has_room(const struct worker *w);

/* A pool of another worker. NULL: it has none of that name. From any thread. */
struct shm_pool *lending_place(const struct worker *w, int slot, int pool);

/* Whether a request waits elsewhere that is older than one of that age, and can be asked for. From any thread. */
bool lending_elder_waits(const struct worker *w, int pool, uint64_t submitted_us);

/* Whether that worker is there still, by what the shared memory says. */
bool lending_is_alive(const struct worker *w, struct sibling sibling);

/* A thread of that slot's worker runs it, or will. */
void lending_note_place(const struct weir_request *job, int slot);

/* The job, which has its entry, is with that worker from now on; and it is not any more. */
void lending_begin(struct worker *w, struct weir_request *job, struct sibling to);
void lending_note_back(struct worker *w, struct weir_request *job);

/* Nobody can begin it any more. False: somebody has. */
bool lending_take_back(struct worker *w, struct weir_request *job);

/* The job that was lent to that worker under that name, or NULL. */
struct weir_request *lending_find(struct worker *w, struct sibling from, const struct parcel_id *id);

/* A lent job has ended, as its task says. */
void lending_end(struct worker *w, struct weir_request *job);

/* Looks every millisecond, until nothing waits: lend.c. */
void lending_watch(struct worker *w);

/* A job of this worker's pool has run: how long that takes is learned. */
void lending_note_run(struct worker *w, const struct weir_request *job);

#endif
