/*
 * shm/permit.h - limits of concurrency over all processes: a permit for each request that runs, a queue for those that
 * wait, and nothing of either lost when a process dies at any instruction.
 *
 * A permit is an entry in shared memory. Each process takes entries from a part that is its own, so an entry's place says
 * whose it is; its tag says of which zone it is and whether it is held or waits. The tag is one word, and storing it is
 * what makes an admission or a release true. All else - counts, queues, the limit's state - is derived from the tags and
 * can be made anew from them at any time (shm/permit_repair.c). A zone's fields change under the zone's lock, which is a
 * process id; whoever finds it held by a dead process takes it over and makes the derived state anew.
 *
 * A permit that becomes free goes to the waiter of the highest priority that has waited longest, whichever process it
 * belongs to; that process then finds the entry among its changed ones, and is woken by a datagram. One that does not
 * take it up in time loses its turn (permit_tend).
 *
 * Ownership: the region belongs to struct shm. A permit_user is a process's own.
 * Threads and processes: a permit_user by one thread at a time; the region by all processes at any time.
 * Times are microseconds of clock_mono_us, the same for all processes.
 */
#ifndef WEIR_SHM_PERMIT_H
#define WEIR_SHM_PERMIT_H

#include "base/codel.h"
#include "shm/shm.h"

enum {
    PERMIT_ZONES = SHM_ZONES,
    PERMIT_NAME_BYTES = SHM_ZONE_NAME_BYTES,
    /* Two binaries may serve at a time, while one takes over from the other: each has parts of its own. */
    PERMIT_SIDES = 2,
    PERMIT_PLACES = PERMIT_SIDES * SHM_SLOTS,
    PERMIT_URI_BYTES = 64,
    PERMIT_METHOD_BYTES = 13
};

enum permit_policy { PERMIT_FIXED, PERMIT_CODEL, PERMIT_GRADIENT };
enum permit_priority { PERMIT_HIGH, PERMIT_NORMAL, PERMIT_LOW, PERMIT_PRIORITIES };

/* Why a request was refused. */
enum permit_reason {
    PERMIT_LIMIT,      /* no permit is free, and there is no queue */
    PERMIT_QUEUE_FULL, /* nor is there room in the queue */
    PERMIT_QUEUE_TIMEOUT,
    PERMIT_CODEL_SHED,
    PERMIT_CLIENT_GONE, /* while it waited, or its process died */
    PERMIT_DRAINING,    /* its process stopped while it waited */
    PERMIT_REASONS
};

/* "limit", "queue_full", ...: of logs, status, metrics. */
extern const char *const permit_reason_names[PERMIT_REASONS];

/* As configured. Plain values with units; 0 where a policy has no use for one. */
struct permit_rules {
    /* Fixed, codel: the limit; gradient: what it starts from. */
    uint32_t limit;
    uint32_t queue; /* most that may wait */
    uint64_t queue_timeout_us;
    enum permit_policy policy;
    uint32_t min, max;               /* gradient: bounds of the limit */
    uint64_t target_us, interval_us; /* codel */
    uint64_t window_us;              /* gradient: how often the limit is set */
    /* Gradient: between two measurements of the smallest time. */
    uint64_t probe_interval_us;
    /* Gradient: how many requests each of them takes. */
    uint32_t probe_requests;
    /* Gradient: tolerated on top of the smallest time. */
    uint32_t buffer_percent;
    /* Gradient: most that probe_interval is stretched by. */
    uint32_t jitter_percent;
};

/* The gradient's measurements; see shm/permit_policy.c. */
enum { GRADIENT_BUCKETS = 192 }; /* up to 268 s */
struct gradient {
    uint64_t window_end_us;
    uint64_t min_rtt_us; /* 0: not yet known */
    uint64_t probe_at_us;
    /* Requests admitted earlier say nothing of the limit in force. */
    uint64_t since_us;
    uint64_t random;
    double exact_limit; /* before rounding */
    uint32_t samples, at_min;
    /* Most permits that were held at a time in this window. */
    uint32_t peak;
    uint32_t counts[GRADIENT_BUCKETS];
    bool probing;
};

struct permit_queue {
    uint32_t oldest, newest; /* references to permits; 0: none */
};

struct permit_zone {
    _Alignas(64) _Atomic uint32_t lock; /* shm/lock.h */
    /* A bit for each side whose master knows the zone; by the masters. */
    _Atomic uint32_t sides;
    _Atomic uint32_t limit; /* in force now */
    _Atomic uint32_t held, queued;
    _Atomic uint32_t queue_limit;
    _Atomic uint32_t waiting[PERMIT_PRIORITIES];
    struct permit_queue queues[PERMIT_PRIORITIES];
    uint64_t last_ticket;
    struct codel codel;
    _Alignas(64) struct permit_rules rules;
    /* For the other binary's master; each has the names that it goes by in memory of its own. */
    char name[PERMIT_NAME_BYTES];
    struct gradient gradient;
    /* counters */
    _Alignas(64) _Atomic uint64_t admitted;
    _Atomic uint64_t reclaimed; /* held by processes that died */
    _Atomic uint64_t rejected[PERMIT_REASONS];
    _Atomic uint64_t dry_run_rejected, dry_run_queued;
};

enum permit_state {
    PERMIT_FREE,
    PERMIT_HELD,
    PERMIT_QUEUED,
    /* Taken out of the queue by another process; its own has not looked yet. */
    PERMIT_REFUSED,
    /* Held, by the doing of another process; its own has not looked yet. */
    PERMIT_GRANTED,
    /* Becomes a held one if the process dies whose permit it is the heir of. */
    PERMIT_HEIR,
};

/* What the tag of a permit says. */
static inline uint32_t permit_tag(enum permit_state state, unsigned zone, enum permit_priority priority,
                                  enum permit_reason why)
{
    return (uint32_t)state | zone << 8 | (uint32_t)priority << 16 | (uint32_t)why << 24;
}
static inline enum permit_state permit_tag_state(uint32_t tag)
{
    return (enum permit_state)(tag & 255);
}
/* In the place of the reason, of a held one: see permit_note_served. */
enum { PERMIT_SERVED = 1 << 24 };

/* There as well, of one that waits again after it was granted in vain: it counts as admitted already. */
enum { PERMIT_COUNTED = 1 << 24 };

static inline bool permit_tag_is_held(uint32_t tag)
{
    return permit_tag_state(tag) == PERMIT_HELD || permit_tag_state(tag) == PERMIT_GRANTED;
}
static inline unsigned permit_tag_zone(uint32_t tag)
{
    return tag >> 8 & 255;
}
static inline enum permit_priority permit_tag_priority(uint32_t tag)
{
    uint32_t priority = tag >> 16 & 255;
    return priority < PERMIT_PRIORITIES ? (enum permit_priority)priority : PERMIT_LOW;
}
static inline enum permit_reason permit_tag_reason(uint32_t tag)
{
    return tag >> 24 < PERMIT_REASONS ? (enum permit_reason)(tag >> 24) : PERMIT_LIMIT;
}

/* What the list of requests in flight shows; written before the tag. */
struct permit_about {
    /* An address of client_len bytes: 4, 16, or 0 for a unix socket. */
    unsigned char client[16];
    uint8_t client_len, method_len, uri_len;
    /* The slot of the worker whose thread has it; -1: none. */
    int16_t runs_in;
    char method[PERMIT_METHOD_BYTES];
    char uri[PERMIT_URI_BYTES];
};

struct permit {
    _Alignas(64) _Atomic uint32_t tag;
    /* Neighbours in the queue: references. Of an heir: whose, and the entry of `lent`. */
    uint32_t older, newer;
    /* Arrivals in its zone before it. Of an heir: the entry's tag. */
    uint64_t ticket;
    uint64_t since_us; /* in the queue, or admitted */
    struct permit_about about;
};

/* A process's part, at a place that follows from its side and slot. References count through all parts, from 1. */
enum { PERMIT_CHANGED_WORDS = SHM_PERMITS_PER_SLOT / 64 };
struct permit_part {
    /* Permits from this one on have never been used. */
    _Alignas(64) _Atomic uint32_t used;
    _Atomic uint32_t woken; /* a datagram is on its way */
    _Atomic uint32_t owner; /* while it lives: shm_lock_live */
    /* The address of the process's socket, in the abstract namespace; "" none. */
    char address[8];
    /* Since when grants wait for the process to look; 0: none do. */
    _Atomic uint64_t granted_us;
    /* One bit for each permit that another process has granted or refused, and one for each word of such bits. */
    _Atomic uint64_t changed_words[(PERMIT_CHANGED_WORDS + 63) / 64];
    _Atomic uint64_t changed[PERMIT_CHANGED_WORDS];
    struct permit permits[SHM_PERMITS_PER_SLOT];
};

struct permit_region {
    struct permit_zone zones[PERMIT_ZONES];
    /* Of each side: slots from this one on have never been used. */
    _Alignas(64) _Atomic uint32_t slots_used[PERMIT_SIDES];
    /* Of each side: a process that it has to end, as it holds a lock and does not go on; 0: none. */
    _Atomic uint32_t stuck[PERMIT_SIDES];
    struct permit_part parts[PERMIT_PLACES];
};

static inline struct permit_region *permit_region(const struct shm *shm)
{
    return shm->permits;
}

/* Where the part of a slot's worker is. */
static inline int permit_place(const struct shm *shm, int slot)
{
    return shm->side * SHM_SLOTS + slot;
}

/* The first place from this one on that somebody may have used; -1: there is none. For loops over all parts. */
int permit_next_place(const struct shm *shm, int from);

/* How many permits of a part may be in use: a count in the region, so at most what there are. */
static inline uint32_t permit_part_used(const struct permit_part *part)
{
    uint32_t used = atomic_load_explicit(&part->used, memory_order_acquire);
    return used < SHM_PERMITS_PER_SLOT ? used : SHM_PERMITS_PER_SLOT;
}

/* --- for the master --- */

/*
 * Maps new permits, in a memory file that another binary can be given (shm->permits_fd); where none can be had, without one. False with
 * errno: out of memory.
 */
bool permit_map(struct shm *shm);
void permit_unmap(struct shm *shm);

/*
 * In place of new ones: those of an older binary, by its memory file, which is shm->permits_fd from then on. Its zones are known by the
 * caller's permit_names. This is `side` of the two, on which nobody is. False with errno: it is no such file, or out of memory.
 */
bool permit_take_over(struct shm *shm, int fd, int side);

/*
 * The other binary's master is gone: frees what its dead workers have left. Returns how many of them live. When none does, the zones
 * follow our rules again, and are ours alone (shm->shares_permits).
 */
int permit_reclaim_other(struct shm *shm);

/* Has the other binary's master end a process of its own that holds a lock; and what it asks of us, once: 0: nothing. */
void permit_report_stuck(struct shm *shm, uint32_t process);
uint32_t permit_take_stuck(struct shm *shm);

/* Whether some zone's lock says that this process has it. */
bool permit_has_lock(const struct shm *shm, uint32_t process);

/*
 * The zone of that name, made with these rules if there is none; -1 when all 64 are in use. `wanted` (ended by NULL) are
 * names whose zones must not be taken although nothing is in them.
 */
int permit_zone_open(struct shm *shm, const char *name, const struct permit_rules *rules,
                     const char *const *wanted);

/* New rules for a zone: waiters that may go on now are admitted. */
void permit_zone_set(struct shm *shm, unsigned zone, const struct permit_rules *rules);

/* Gives back all that the process of this slot held or waited for. It is dead; -1: none has died. */
void permit_reclaim(struct shm *shm, int slot);

/*
 * Frees what is marked as held or waiting in slots that are empty, and on the other side where there is no other binary, but for that of a process that has just died and really had
 * it; counts have to be made anew after it. Master only.
 */
void permit_clear_empty(struct shm *shm, int dead_slot);

/*
 * Whether the zones are under the rules that they were given, with limits that these allow: what no worker changes unless it
 * writes where it must not. And all zones made anew, empty; those of living processes who held or waited find that out.
 */
bool permit_is_sane(const struct shm *shm);
void permit_begin_anew(struct shm *shm);

/* --- for a worker --- */

struct permit_user {
    struct shm *shm;
    int slot, place;
    struct permit_part *part;
    char address[8]; /* of the socket */
    /* Readable when others have changed permits of this process; see permit_heard. */
    int socket;
    /* Free permits: a stack, so that few pages are touched. */
    uint32_t *spare;
    uint32_t spare_count;
    /* Permits used so far, as the part says, unless somebody else wrote there. */
    uint32_t used;
    /* A permit was not what it should have been: counts may be wrong. */
    bool doubts;
};

/* Begins to use a slot's part, which is empty. False with errno. */
bool permit_open(struct permit_user *u, struct shm *shm, int slot);

/* The address of the user's socket stands in its part again, should it have been overwritten. */
void permit_show_address(const struct permit_user *u);
void permit_close(struct permit_user *u);

enum permit_result { PERMIT_GO, PERMIT_WAIT, PERMIT_NO };

/*
 * Asks for a permit. GO: *permit is held; WAIT: *permit waits, and permit_next_changed will name it; NO: *why says why not.
 * An uncontended call takes the lock of the zone and no system call.
 */
struct permit_request {
    unsigned zone;
    enum permit_priority priority;
    uint64_t now_us;
    /* A wait or a refusal is only said and counted: then the request gets no permit. */
    bool dry_run;
};
enum permit_result permit_acquire(struct permit_user *u, const struct permit_request *request,
                                  const struct permit_about *about, uint32_t *permit,
                                  enum permit_reason *why);

/* Gives a held permit back; a waiter of this process may now be among the changed ones. rtt_us is how long the work took, for policies that measure it; 0: it says nothing. */
void permit_release(struct permit_user *u, uint32_t permit, uint64_t now_us, uint64_t rtt_us);

/* The work of a held permit is done, though its client has not taken all of the answer: its age says nothing from now on. */
void permit_note_served(struct permit_user *u, uint32_t permit);

/* A thread of the worker of this slot is to do the work of a held permit. */
void permit_note_runs_in(struct permit_user *u, uint32_t permit, int slot);

/*
 * The work of a permit that a process of another slot holds is to be done here. If that process dies when the work has begun, by its
 * entry of `lent` (shm/shm.h), the heir is held from then on, until it is closed. `*heir` is a permit of this process's part. False:
 * the other one does not hold its permit any more, or there is no room.
 */
struct permit_lender {
    int slot;
    uint32_t permit;
    uint32_t entry; /* index into `lent` */
    uint64_t tag;
};
bool permit_heir_open(struct permit_user *u, const struct permit_lender *lender, uint32_t *heir);

/* False: it is a held one by now, and to be released. */
bool permit_heir_close(struct permit_user *u, uint32_t heir);

/* How it stands with one that waited. After NO it is gone. */
enum permit_result permit_look(struct permit_user *u, uint32_t permit, enum permit_reason *why);

/*
 * Stops waiting, because of *why. GO: it has just been admitted, and is held. NO: it is gone, and counted under *why, which may
 * have changed: others had just refused it.
 */
enum permit_result permit_leave(struct permit_user *u, uint32_t permit, uint64_t now_us,
                                enum permit_reason *why);

/* A permit whose state others have changed; UINT32_MAX: none. One may be named without need. */
uint32_t permit_next_changed(struct permit_user *u);

/* Whether permit_next_changed has anything to say: a look at a few words. */
bool permit_any_changed(const struct permit_user *u);

/* Whether the kernel has said that the process of a slot has died: for when there is no master to say so. */
bool permit_process_died(const struct shm *shm, int slot);

/* Makes the process of another slot look, as if its permits had changed. */
void permit_poke(struct permit_user *u, int slot, uint64_t now_us);

/* Whether the process of a slot has been made to look, and has not for PERMIT_UPTAKE_US: then nobody has to wait for it. */
bool permit_is_silent(const struct permit_user *u, int slot, uint64_t now_us);

/*
 * For a process that waits in the zone, every now and then: permits that were given to a process which has not taken them up
 * for PERMIT_UPTAKE_US (it is stopped, or its loop hangs) go to the next in line, and so do those that are free. Waiters of
 * such a process are passed over until it looks again.
 */
enum { PERMIT_UPTAKE_US = 100000 };
void permit_tend(struct permit_user *u, unsigned zone, uint64_t now_us);

/* Empties the socket; before permit_next_changed. */
void permit_heard(struct permit_user *u);

#endif
