/*
 * shm/shm.h - the one region that all processes of a server share: what the master says of itself, and a slot of
 * counters for each worker.
 *
 * Layout: docs/shared-memory.md draws it; SHM_LAYOUT_VERSION changes with it.
 * Trust: workers can write all of the region, and one that has been taken over may write anything. So the region holds
 *            counts, tags, links and texts only. Pointers, sizes and the tables of zones are in struct shm, which is private
 *            to each process (the master's, as it was at the fork). Who reads an index or a length in the region
 *            checks it against that before using it; loops over links have a bound of their own.
 * Ownership: mapped by the master before the first fork, inherited by the workers, gone with the last process.
 * Threads and processes: the header is written by the master alone, a slot's counters by its worker alone (and, once
 *            that is dead, by the master, which sets the gauges to zero). Everything is atomic; readers take no lock.
 *            Counters survive their worker: a successor goes on where the slot stands, so totals never go backwards.
 */
#ifndef WEIR_SHM_SHM_H
#define WEIR_SHM_SHM_H

#include "base/hist.h"
#include "shm/running.h"
#include "shm/zone_figures.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
    SHM_LAYOUT_VERSION = 11,
    SHM_SLOTS = 256,
    SHM_POOLS = 16,
    SHM_POOL_BYTES = 1024,
    SHM_POOL_PROCESSES = 64,
    SHM_POOL_NAME_BYTES = 32,
    SHM_LENT = 256, /* requests of a worker that run elsewhere */
    /* Requests that one worker may hold permits for, or have waiting. */
    SHM_PERMITS_PER_SLOT = 8192
};

enum shm_worker_state {
    SHM_SLOT_FREE,
    SHM_STARTING, /* forked, not yet ready */
    SHM_RUNNING,
    SHM_STOPPING, /* finishes what runs */
    SHM_STATES,
};

enum shm_connection_state {
    SHM_CONNECTION_READING,
    SHM_CONNECTION_WRITING,
    SHM_CONNECTION_WAITING,
    SHM_CONNECTION_STATES
};

/* How handshakes of TLS end. */
enum shm_handshake {
    SHM_HANDSHAKE_FULL,
    SHM_HANDSHAKE_RESUMED,
    SHM_HANDSHAKE_FAILED,
    /* No thread of the pool was free; or the time of its queue was over; or that stood, and it was among the oldest. */
    SHM_HANDSHAKE_REFUSED,
    SHM_HANDSHAKE_EXPIRED,
    SHM_HANDSHAKE_SHED,
    SHM_HANDSHAKE_TIMEOUT, /* the client was too slow */
    SHM_HANDSHAKE_LEFT,
    SHM_HANDSHAKES
};

struct shm_tls {
    _Atomic uint64_t handshakes[SHM_HANDSHAKES];
    /* From the connection to the end of its handshake. */
    struct hist duration;
    struct hist queue_wait; /* of full ones, for a thread */
};

/* Why connections of HTTP/2 end. */
enum shm_http2_close {
    SHM_HTTP2_CLIENT, /* it has closed, or said so */
    SHM_HTTP2_IDLE,   /* keepalive_timeout */
    SHM_HTTP2_AGED,   /* keepalive_requests, keepalive_time */
    SHM_HTTP2_DRAINING,
    SHM_HTTP2_TIMEOUT,  /* the client was too slow */
    SHM_HTTP2_PROTOCOL, /* it has broken the rules */
    SHM_HTTP2_FLOOD,    /* http/h2/defence.h */
    SHM_HTTP2_MEMORY,
    SHM_HTTP2_CLOSES
};

struct shm_http2 {
    _Atomic uint64_t connections, streams; /* gauges */
    _Atomic uint64_t closed[SHM_HTTP2_CLOSES];
};

/* Status codes that are counted one by one for weir_http_requests_total{code}. */
enum { SHM_CODES = 600 };

struct shm_pool {
    /* "" when unused; written before any figure. */
    char name[SHM_POOL_NAME_BYTES];
    _Alignas(64) unsigned char figures[SHM_POOL_BYTES - 64]; /* a struct pool_figures */
    /* Threads that are free for siblings, who count them down; the worker says anew how many whenever that changes. */
    _Alignas(64) _Atomic int64_t offers;
    /* When the oldest request that waits here was submitted; 0: none waits. */
    _Atomic uint64_t oldest_us;
    /* The pids of applications' processes that the pool's threads use, in no order; 0: unused. */
    _Alignas(64) _Atomic int32_t processes[SHM_POOL_PROCESSES];
};

struct shm_slot {
    /* written by the master */
    _Alignas(64) _Atomic int pid;
    /* An enum shm_worker_state; the worker sets RUNNING and STOPPING. */
    _Atomic int state;
    /* The number of the configuration that the slot's worker started with. */
    _Atomic uint64_t generation;
    /* Which of the slot's workers this is, from 1. */
    _Atomic uint64_t incarnation;
    /* How often a successor took the slot over after a death. */
    _Atomic uint64_t restarts;
    /* Monotonic; the worker's loop was alive then. */
    _Atomic uint64_t heartbeat_ms;
    _Atomic uint64_t stopping_since_ms; /* monotonic; when it was told to end, or 0 */
    /* gauges: zero without a worker */
    _Alignas(64) _Atomic uint64_t connections;
    _Atomic uint64_t connection_states[SHM_CONNECTION_STATES];
    _Atomic uint64_t in_flight;
    /* Monotonic; since when the loop's turn goes on; 0: it waits. */
    _Atomic uint64_t turn_since_ms;
    /* A turn took long: who comes to this worker waits, likely until then. */
    _Atomic uint64_t slow_until_ms;
    _Atomic uint64_t memory_allocated_bytes, memory_resident_bytes;
    /* User and system time of the worker so far; not cumulative over successors. */
    _Atomic uint64_t cpu_us;
    /* counters */
    _Alignas(64) _Atomic uint64_t accepted, handled;
    _Atomic uint64_t requests;
    _Atomic uint64_t cpu_us_before;  /* of earlier workers in this slot */
    _Atomic uint64_t log_lines_lost; /* of all its logs */
    struct hist duration;
    struct shm_tls tls;
    struct shm_http2 http2;
    _Atomic uint64_t codes[SHM_CODES];
    struct shm_pool pools[SHM_POOLS];
    /* Of requests that a status_zone counts. */
    _Alignas(64) struct zone_figures zones[SHM_STATUS_ZONES];
    /* Requests lent to siblings: an enum shm_lent below a tag, 0: unused. Who runs one sets it BEGUN. */
    _Alignas(64) _Atomic uint64_t lent[SHM_LENT];
    /* What handlers' threads run; what the loop ran when it dies. */
    _Alignas(64) struct running_table running;
};

/* The low bits of an entry of `lent`. */
enum shm_lent { SHM_LENT_WAITS = 1, SHM_LENT_BEGUN = 2, SHM_LENT_BITS = 3, SHM_LENT_STEP = 4 };

struct shm_reload {
    _Atomic int last_ok; /* 1, 0 */
    /* 0: none yet, 1: in place, 2: by new workers. */
    _Atomic int last_kind;
    _Atomic uint64_t count, failed;
};

enum { SHM_RELOAD_NONE, SHM_RELOAD_IN_PLACE, SHM_RELOAD_RESPAWN };

/* In front of the slots. */
struct shm_head {
    uint32_t layout_version;
    /* Slots from this one on have never been used. */
    _Atomic uint32_t slots_used;
    _Atomic uint64_t generation; /* of the configuration in force, from 1 */
    struct shm_reload reload;
    _Atomic uint64_t restarts_by_exit, restarts_by_signal;
    /* The number of the last connection of all workers, for *N in logs. */
    _Atomic uint64_t connections_made;
    _Atomic uint64_t log_lines_lost; /* by the master itself */
    /* Changed certificates that could not be used. */
    _Atomic uint64_t certificate_load_failures;
};

struct permit_region;
struct permit_rules;
struct keyed_zone;
struct peer_region;

enum { SHM_ZONES = 64, SHM_ZONE_NAME_BYTES = 32 };

/* Where everything is: private memory. */
struct shm {
    uint64_t start_mono_ms, start_wall_ms;
    struct shm_head *head;
    struct shm_slot *slots;                            /* SHM_SLOTS of them */
    struct permit_region *permits;                     /* shm/permit.h: a mapping of its own */
    struct peer_region *peers;                         /* shm/peer.h */
    char permit_names[SHM_ZONES][SHM_ZONE_NAME_BYTES]; /* of the zones of permits; "" when unused */
    /* The rules that the zones were given last: SHM_ZONES of them. */
    struct permit_rules *permit_rules;
    /* SHM_ZONES zones, each with a mapping of its own: shm/keyed.h. */
    struct keyed_zone *keyed;
    /* Of two binaries that share the permits, which this is: 0 or 1. */
    int side;
    /* The memory file with the permits, for the next binary; -1: there is none, or in a worker. */
    int permits_fd;
    /* In the master: another binary's master or workers may use the permits. */
    bool shares_permits;
    /* The master's own count of used slots; 0: in a worker. */
    int slots_known;
    bool empty[SHM_SLOTS]; /* in the master: no process uses the slot */
    /* The master's way to make a worker look; NULL: a datagram. */
    void (*wake)(void *with, int slot);
    void *wake_with;
};

/* Maps a zeroed region. NULL with errno when there is no memory. */
struct shm *shm_create(void);
void shm_destroy(struct shm *shm);

/* A worker is about to use this slot. By the master, or by the worker itself. */
void shm_note_slot(struct shm *shm, int slot);

/* Slots that any worker may have used: all from here on are empty. At most SHM_SLOTS. */
int shm_slots_used(const struct shm *shm);

/* What the master does about a dead worker's slot: gauges to zero, CPU time kept. */
void shm_slot_clear_gauges(struct shm_slot *slot);

/*
 * The place of a pool's figures in a slot by name: the one that has it, else an unused one, else one whose name is none
 * of the `wanted` ones (ends with NULL), which starts anew; NULL when all 16 are wanted.
 */
struct shm_pool *shm_slot_pool(struct shm_slot *slot, const char *name, const char *const *wanted);

#endif
