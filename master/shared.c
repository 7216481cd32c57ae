/*
 * master/shared.c - the shared memory as the master looks after it: what the dead held, what somebody has overwritten, locks
 * that are not given up.
 *
 * The master is root and workers are not trusted. It follows nothing in the region that it has not checked; which slots,
 * processes and zones there are it knows from memory of its own.
 */
#include "master/child.h"
#include "master/internal.h"

#include "base/clock.h"
#include "base/hist.h"
#include "base/log.h"
#include "pool/figures.h"
#include "shm/lock.h"
#include "shm/peer.h"
#include "shm/permit.h"
#include "shm/reclaim.h"
#include "shm/shm.h"
#include "worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TURN_WAITS_MS = 5 * SHM_LOCK_PATIENCE_MS,
    /* After a holder that cannot be: others of the kind are likely, and those who do hold one hold it for microseconds. */
    WAITS_AMONG_STRANGERS_MS = 100,
    STRANGERS_EVERY_MS = 1000
};

static struct master *self; /* for the calls that know of no master */

/* Instead of a datagram to an address in the region: its worker's own channel. */
static void make_look(void *master, int slot)
{
    struct master *m = master;
    struct worker_message message = {.kind = WORKER_LOOK};
    assert(slot >= 0 && slot < SHM_SLOTS);
    if (m->children[slot].channel >= 0)
        send(m->children[slot].channel, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Not for ever: a process that waits for a disk that does not answer is killed when that does. Its end is seen to later. */
static void wait_for_end(pid_t pid)
{
    siginfo_t info;
    struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    if (end.fd < 0) {
        waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
        return;
    }
    poll(&end, 1, SHM_LOCK_PATIENCE_MS);
    close(end.fd);
}

/* The worker of this pid is dead when this returns, or cannot go on for now. False: there is none. */
static bool kill_worker(struct master *m, uint32_t pid)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (!child_is_alive(c) || c->ended || (uint32_t)c->pid != pid)
            continue;
        if (c->killed_for_lock)
            return true;
        c->killed_for_lock = true;
        log_alert(
            "worker process %d (worker %d) holds a lock of the shared memory and has not gone on for %d ms; killing it",
            (int)c->pid, i, SHM_LOCK_PATIENCE_MS);
        kill(c->pid, SIGKILL);
        wait_for_end(c->pid);
        return true;
    }
    return false;
}

/* Who holds a lock by what a worker says and is no worker: a worker may say so as often as it likes. */
static struct {
    uint64_t next_ms; /* a line is written */
    unsigned unreported;
} strangers;

static void log_stranger(uint32_t pid)
{
    uint64_t now_ms = clock_mono_ms();
    if (now_ms < strangers.next_ms) {
        strangers.unreported++;
        return;
    }
    strangers.next_ms = now_ms + STRANGERS_EVERY_MS;
    log_alert("a lock of the shared memory is held by process %u, which is no worker of ours; taking it over",
              pid);
}

static void log_unreported_strangers(void)
{
    uint64_t now_ms = clock_mono_ms();
    if (!strangers.unreported || now_ms < strangers.next_ms)
        return;
    strangers.next_ms = now_ms + STRANGERS_EVERY_MS;
    log_alert("locks of the shared memory were held by processes that are no workers of ours %u times more",
              strangers.unreported);
    strangers.unreported = 0;
}

void shared_end_asked(struct master *m)
{
    uint32_t pid = m->shm->shares_permits ? permit_take_stuck(m->shm) : 0;
    if (!pid || !permit_has_lock(m->shm, pid))
        return;
    kill_worker(m, pid);
    shm_break_locks(m->shm, pid);
}

void shared_end_holder(struct master *m, uint32_t pid)
{
    if (!kill_worker(m, pid)) {
        if (permits_leave_to_other(m, pid, clock_mono_ms()))
            return;
        log_stranger(pid);
        shm_lock_shorten(WAITS_AMONG_STRANGERS_MS);
    }
    shm_break_locks(m->shm, pid);
}

/* While the master itself waits for a lock. */
static void end_lock_holder(uint32_t holder)
{
    assert(self);
    shared_end_holder(self, holder);
}

bool shared_open(struct master *m)
{
    m->shm = shm_create();
    if (!m->shm) {
        log_errno(LOG_LEVEL_EMERG, errno, "mmap() of the shared memory failed");
        return false;
    }
    m->shm->slots_known = 1;
    m->shm->wake = make_look;
    m->shm->wake_with = m;
    self = m;
    shm_lock_on_stuck(end_lock_holder);
    shared_begin_turn();
    return true;
}

/* Who writes something else into each lock, or into one again and again, must not keep the master from its signals. */
void shared_begin_turn(void)
{
    unsigned forced = shm_lock_bound(TURN_WAITS_MS);
    if (forced)
        log_alert("%u locks of the shared memory were not given up within %d ms; taken all the same", forced,
                  TURN_WAITS_MS);
    log_unreported_strangers();
}

static void write_slots_anew(struct master *m)
{
    struct shm *shm = m->shm;
    assert(shm->slots_known >= 1 && shm->slots_known <= SHM_SLOTS);
    shm->head->layout_version = SHM_LAYOUT_VERSION;
    counter_set(&shm->head->generation, m->generation);
    memset(shm->slots, 0,
           (size_t)shm->slots_known * sizeof shm->slots[0]); /* gauges come back with the heartbeats */
    for (int i = 0; i < shm->slots_known; i++) {
        const struct child *c = &m->children[i];
        if (c->state == CHILD_NONE)
            continue;
        shm->slots[i].pid = c->ended ? 0 : c->pid;
        shm->slots[i].state = c->state == CHILD_READY      ? SHM_RUNNING
                              : c->state == CHILD_RETIRING ? SHM_STOPPING
                                                           : SHM_STARTING;
        counter_set(&shm->slots[i].generation, c->generation);
        counter_set(&shm->slots[i].incarnation, m->doors[i].incarnation);
    }
}

/* Whether the fields of living workers' slots that the master wrote are still there. */
static bool slots_are_sane(const struct master *m)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        const struct child *c = &m->children[i];
        const struct shm_slot *s = &m->shm->slots[i];
        if (!child_is_alive(c))
            continue;
        if (s->pid != c->pid || counter_get(&s->generation) != c->generation || s->state < 0 ||
            s->state >= SHM_STATES)
            return false;
    }
    return m->shm->head->layout_version == SHM_LAYOUT_VERSION;
}

/* Which slots have no process, by our own records; what their gauges say was made up. */
static void note_empty_slots(struct master *m)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        const struct child *c = &m->children[i];
        struct shm_slot *s = &m->shm->slots[i];
        m->shm->empty[i] = !child_is_alive(c) || c->ended;
        if (!m->shm->empty[i] || i >= m->shm->slots_known)
            continue;
        shm_slot_clear_gauges(s);
        for (int k = 0; k < SHM_POOLS; k++)
            pool_figures_clear_gauges((struct pool_figures *)(void *)s->pools[k].figures);
        if (c->state == CHILD_NONE)
            s->state = SHM_SLOT_FREE;
    }
}

void shared_reclaim(struct master *m, int slot)
{
    /* The kernel has broken the locks that it knew of; these are the others. */
    shm_break_locks(m->shm, (uint32_t)m->children[slot].pid);
    bool damaged = !slots_are_sane(m);
    note_empty_slots(m);
    if (shm_reclaim(m->shm, slot, damaged))
        return;
    log_alert(
        "the shared memory was overwritten, likely by worker process %d (worker %d); its tables are made anew, "
        "and limits count from zero",
        (int)m->children[slot].pid, slot);
    write_slots_anew(m);
}

void shared_look_over(struct master *m)
{
    bool damaged = !slots_are_sane(m);
    note_empty_slots(m);
    if (shm_reclaim(m->shm, -1, damaged))
        return;
    log_alert("the shared memory was overwritten; its tables are made anew, and limits count from zero");
    write_slots_anew(m);
}

void shared_make_room(struct master *m)
{
    if (peer_forget_sooner(m->shm, clock_mono_ms()))
        log_warn(
            "the table of upstreams in the shared memory is full; what no worker uses is forgotten in %d s",
            PEER_FRESH_MS / 1000);
}
