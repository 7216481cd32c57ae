/*
 * shm/lock.c - waiting for a lock, and telling the kernel which one is held.
 *
 * The kernel learns of a lock by one word of this thread's own memory: the "pending" entry of its robust list, which is
 * meant for a lock that is just being taken or given up. As a thread holds one lock at a time, that and an entry for the
 * word that says that it lives is all the list there has to be, and nothing of it lies in shared memory, where others could bend it.
 * An entry's word is at the same distance from it for all entries: the one there is says how far, and the pending one is no place in
 * memory, but where an entry of the lock would be.
 */
#include "shm/lock.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SPINS = 100,  /* looks before giving the processor away */
    YIELDS = 200, /* before sleeping between looks */
    SLEEP_NS = 50000,
    LOOKS_PER_CLOCK = 20, /* sleeps between two looks at the clock */
    /* What counts as waiting between two looks at the clock: the machine may have stood still. */
    STEP_MAX_MS = 10,
    /* Looks at the clock before patience is over: a machine that stood still as a whole is no proof. */
    CLOCKS_MIN = 100
};

/* Asking the system each time would cost more than the lock. */
static _Thread_local uint32_t self;
static _Thread_local struct robust_list_head held;
static _Thread_local struct robust_list life; /* the entry of shm_lock_live */
static shm_lock_report *on_stuck;
static struct {
    unsigned ms, forced; /* ms: 0 if there is none */
    uint64_t waited_ms;
} bound;

void shm_lock_know_self(void)
{
    assert(!held.list_op_pending);
    self = (uint32_t)gettid();
    held.list.next = &held.list; /* empty: a ring of nothing but its head */
    held.futex_offset = 0;
    held.list_op_pending = NULL;
    /* Where this fails, locks of the dead are broken by on_stuck's call: later, but all the same. */
    syscall(SYS_set_robust_list, &held, sizeof held);
}

void shm_lock_on_stuck(shm_lock_report *report)
{
    on_stuck = report;
}

unsigned shm_lock_bound(unsigned ms)
{
    unsigned forced = bound.forced;
    bound.ms = ms;
    bound.forced = 0;
    bound.waited_ms = 0;
    return forced;
}

void shm_lock_shorten(unsigned ms)
{
    if (bound.ms && bound.waited_ms + ms < bound.ms)
        bound.ms = (unsigned)bound.waited_ms + ms;
}

void shm_lock_live(_Atomic uint32_t *word)
{
    shm_lock_know_self();
    held.futex_offset = (long)((intptr_t)word - (intptr_t)&life);
    life.next = &held.list;
    held.list.next = &life;
    atomic_store(word, self);
}

/* For masters, which see no other pid namespace. Where the kernel was told nothing, the id is all there is to go by. */
bool shm_lock_lives(const _Atomic uint32_t *word)
{
    uint32_t id = atomic_load(word);
    return id != 0 && !(id & FUTEX_OWNER_DIED) && id <= INT32_MAX &&
           (kill((pid_t)id, 0) == 0 || errno == EPERM);
}

/* Where the entry of a lock would be. */
static struct robust_list *entry_of(const _Atomic uint32_t *lock)
{
    return (struct robust_list *)((intptr_t)lock - held.futex_offset);
}

/* The kernel looks at our word only if it has our id: so it may be named before the lock is ours. */
static void name_to_kernel(_Atomic uint32_t *lock)
{
    held.list_op_pending = entry_of(lock);
    atomic_signal_fence(memory_order_seq_cst);
}

static bool is_lock_free(uint32_t word)
{
    return word == 0 || word & FUTEX_OWNER_DIED;
}

static void spin_once(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static void pause_between_looks(unsigned looks)
{
    static const struct timespec moment = {0, SLEEP_NS};
    if (looks < SPINS)
        spin_once();
    else if (looks < SPINS + YIELDS)
        sched_yield();
    else
        nanosleep(&moment, NULL);
}

/* Whom we wait for, and since when: a lock that goes from hand to hand is not stuck. */
struct patience {
    uint32_t holder;
    uint64_t since_ms, looked_ms;
    int looks;
};

static void look_at_clock(struct patience *p, uint32_t word)
{
    uint64_t now_ms = clock_mono_ms(), step_ms = p->looked_ms ? now_ms - p->looked_ms : 0;
    if (bound.ms)
        bound.waited_ms += step_ms < STEP_MAX_MS ? step_ms : STEP_MAX_MS;
    p->looked_ms = now_ms;
    if (word != p->holder)
        *p = (struct patience){word, now_ms, now_ms, 0};
    if (++p->looks < CLOCKS_MIN || now_ms < p->since_ms + SHM_LOCK_PATIENCE_MS)
        return;
    if (on_stuck)
        on_stuck(word);
    *p = (struct patience){word, now_ms, now_ms, 0};
}

static bool may_force(void)
{
    return bound.ms && bound.waited_ms >= bound.ms;
}

bool shm_lock(_Atomic uint32_t *lock)
{
    struct patience patience = {0};
    assert(!held.list_op_pending); /* one lock at a time */
    if (self == 0)
        shm_lock_know_self(); /* a thread's first one */
    name_to_kernel(lock);
    for (unsigned looks = 0;; looks++) {
        uint32_t word = atomic_load_explicit(lock, memory_order_relaxed);
        if (is_lock_free(word) && atomic_compare_exchange_strong_explicit(
                                      lock, &word, self, memory_order_acquire, memory_order_relaxed))
            return word != 0;
        pause_between_looks(looks);
        if (looks < SPINS || is_lock_free(word))
            continue;
        if (may_force()) {
            bound.forced++;
            atomic_exchange_explicit(lock, self, memory_order_acquire);
            return true;
        }
        if (looks >= SPINS + YIELDS && looks % LOOKS_PER_CLOCK == 0)
            look_at_clock(&patience, word);
    }
}

bool shm_lock_is_held(const _Atomic uint32_t *lock)
{
    return held.list_op_pending == entry_of(lock);
}

void shm_unlock(_Atomic uint32_t *lock)
{
    assert(shm_lock_is_held(lock));
    atomic_store_explicit(lock, 0, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    held.list_op_pending = NULL;
}

void shm_lock_break(_Atomic uint32_t *lock, uint32_t holder)
{
    if (atomic_load_explicit(lock, memory_order_relaxed) ==
        holder) /* most are not: they are left unwritten */
        atomic_compare_exchange_strong(lock, &holder, FUTEX_OWNER_DIED);
}
