/*
 * shm/peer.h - the servers of upstreams as all workers see them: connections, failures, health, figures.
 *
 * A group is an upstream, a peer one address in it; both are found by their names, so that workers of all generations
 * share them. A group's lock (shm/lock.h) protects its peers. What a process has going on at a peer stands in that
 * process's own place of `held`; the sum beside it can be made anew from there after a death. The rules are the opinion of
 * whoever opened the peer last.
 *
 * Ownership: the region belongs to struct shm. A peer that nobody has touched for PEER_FORGOTTEN_MS may be given to
 * another name.
 * Threads and processes: all processes at any time, with the group's lock where a field says so.
 */
#ifndef WEIR_SHM_PEER_H
#define WEIR_SHM_PEER_H

#include "base/slice.h"
#include "shm/shm.h"

enum {
    PEER_GROUPS = 4096,
    PEERS = 8192,
    /* Of PEER_GROUPS, what is left for those that requests name. */
    PEER_GROUPS_NAMED = 1,
    PEERS_NAMED = 512,
    PEER_GROUP_NAME_BYTES = 64,
    PEER_NAME_BYTES = 128,
    /* Shown while somebody has touched it within this time. */
    PEER_FRESH_MS = 5000,
    /* A time further than this in the future is none: nobody has touched the peer then. */
    PEER_FORGOTTEN_MS = 60000
};

struct peer_rules {
    int32_t weight, max_fails;
    uint32_t max_conns; /* 0: no bound */
    uint64_t fail_timeout_ms, slow_start_ms;
    bool backup, down;
    bool drain;   /* only requests that are bound to it */
    bool checked; /* health checks decide */
    /* No request comes before the first check has passed. */
    bool mandatory;
};

enum peer_health { PEER_UNKNOWN, PEER_HEALTHY, PEER_UNHEALTHY };

struct shm_peer {
    /* The number of its group, from 1; 0: the peer is unused. Written last. */
    _Alignas(64) _Atomic uint32_t group;
    _Atomic uint64_t touched_ms;
    char name[PEER_NAME_BYTES];
    struct peer_rules rules;
    /* with the lock */
    int64_t current; /* of smooth weighted round robin */
    int32_t fails;
    uint64_t failed_ms; /* when it failed last */
    /* When the server failed last, or was tried again after fail_timeout. */
    uint64_t checked_ms;
    /* When the server recovered: for slow_start; 0: it has always been well. */
    uint64_t up_since_ms;
    enum peer_health health;
    int32_t streak; /* of checks with the same result */
    uint64_t next_check_ms;
    uint32_t active;
    uint32_t held[SHM_SLOTS];
    uint64_t requests, failures;
    /* Running means of answers, for least_time; 0: none yet. */
    uint64_t header_us, last_byte_us;
    uint64_t codes[SHM_CODES];
    uint64_t checks, checks_failed;
    struct hist response; /* from connecting to the end of the answer */
    /* each written by its own process alone */
    _Atomic uint32_t idle[SHM_SLOTS];
};

struct shm_group {
    _Alignas(64) _Atomic uint32_t lock;
    _Atomic uint32_t used;
    _Atomic uint64_t touched_ms;
    char name[PEER_GROUP_NAME_BYTES];
    /* with the lock */
    uint32_t waiting; /* requests in queues, over all processes */
    uint32_t waiting_in[SHM_SLOTS];
    /* Waiting requests that have tried a server: nobody waits behind them. */
    uint32_t retrying_in[SHM_SLOTS];
    uint64_t oldest_us[SHM_SLOTS]; /* since when the oldest of them waits */
    uint64_t queued, queue_timeouts, queue_full;
};

struct peer_region {
    _Alignas(64) _Atomic uint32_t lock; /* for finding and making */
    /* Those from here on have never been used: nobody touches them, so that they cost no memory. */
    _Atomic uint32_t groups_used, peers_used;
    struct shm_group groups[PEER_GROUPS];
    struct shm_peer peers[PEERS];
};

/*
 * The group or peer of that name, made if need be; NULL: all are in use. `most`: how many peers the group may have at a
 * time, 0: any number. shm_lock_know_self comes first.
 */
struct shm_group *peer_group_open(struct shm *shm, struct slice name, uint64_t now_ms);
struct shm_peer *peer_open(struct shm *shm, struct shm_group *group, struct slice name,
                           const struct peer_rules *rules, uint32_t most, uint64_t now_ms);

/* Puts the names of a group and of one of its peers right again, should they have been overwritten. For who opened them. */
void peer_assert(struct shm *shm, struct shm_group *group, struct slice group_name, struct shm_peer *peer,
                 struct slice name, const struct peer_rules *rules);

/* Takes a group's lock, and puts right what a dead holder has left. */
void peer_lock(struct shm *shm, struct shm_group *group);
void peer_unlock(struct shm_group *group);

/* Gives back what the dead process of this slot (-1: none) had going on and waited for, and what stands for empty slots. */
void peer_reclaim(struct shm *shm, int slot);

/*
 * A worker says what it has at a peer and waits for in the group by its own records, should something else stand there; the
 * sums follow.
 */
void peer_show_held(struct shm *shm, struct shm_group *group, struct shm_peer *peer, int slot, uint32_t held);
void peer_show_waiting(struct shm *shm, struct shm_group *group, int slot, uint32_t waiting,
                       uint32_t retrying);

/*
 * Where the tables are full: what nobody touches is forgotten within PEER_FRESH_MS, and what has been forgotten holds nothing.
 * False: there is room. Master only, when a worker could not start.
 */
bool peer_forget_sooner(struct shm *shm, uint64_t now_ms);

/* Groups from this one on have never been used. At most PEER_GROUPS. */
uint32_t peer_groups_used(const struct shm *shm);

/*
 * Whether what can be checked without their names is as it should be. And all made anew, empty; whoever uses a group or a peer
 * says so with peer_assert.
 */
bool peer_is_sane(const struct shm *shm, uint64_t now_ms);
void peer_begin_anew(struct shm *shm);

enum peer_state { PEER_UP, PEER_DOWN, PEER_UNAVAILABLE, PEER_CHECKING, PEER_SICK, PEER_STATES };
/* "up", "down", "unavail", "checking", "unhealthy". */
extern const char *const peer_state_names[PEER_STATES];
enum peer_state peer_state(const struct shm_peer *peer, uint64_t now_ms);

/* Requests in queues, over all processes. */
uint32_t peer_group_waiting(const struct shm_group *group);

/* Idle connections, over all processes. */
uint32_t peer_idle(const struct shm_peer *peer);

#endif
