/*
 * shm/lock.h - a lock in shared memory that is never lost with a process that dies.
 *
 * The word is the holder's thread id; 0: nobody has it. It is a robust futex (get_robust_list(2), and the kernel's
 * robust-futex-ABI.rst): when the holder dies, in whatever way, the kernel sets FUTEX_OWNER_DIED in it. So no id that has
 * been given to another process since, and none of another pid namespace, looks like a living holder.
 *
 * To be held for tens of nanoseconds, one at a time by a thread: who waits spins, then gives its processor away, then
 * sleeps for moments. A holder that lives and does not go on (it was stopped, or its word was made up) is reported after
 * SHM_LOCK_PATIENCE_MS to whoever can end it.
 * Threads: any; the reporting call is the process's.
 */
#ifndef WEIR_SHM_LOCK_H
#define WEIR_SHM_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SHM_LOCK_PATIENCE_MS = 1000 };

/* To be called in each process before its first shm_lock: after a fork, again. Other threads are registered by themselves. */
void shm_lock_know_self(void);

/*
 * The word says that this thread's process lives, until it ends in whatever way. One word for a process, of the thread that calls; a new
 * call, or one of shm_lock_know_self, forgets the one before. And whether the one who wrote it lives.
 */
void shm_lock_live(_Atomic uint32_t *word);
bool shm_lock_lives(const _Atomic uint32_t *word);

/* Who is called, from within shm_lock, each time the same holder has been seen for SHM_LOCK_PATIENCE_MS; NULL: nobody. */
typedef void shm_lock_report(uint32_t holder);
void shm_lock_on_stuck(shm_lock_report *report);

/*
 * How long this process waits for locks in all until the next call; from then on it takes any lock as if its holder had died,
 * so that nobody who writes into locks keeps it. 0: as long as it takes. Returns how many it has taken so since the last
 * call. For a process of one thread. shm_lock_shorten: no more than `ms` from now on, where there is a bound.
 */
unsigned shm_lock_bound(unsigned ms);
void shm_lock_shorten(unsigned ms);

/*
 * Takes the lock. True when its holder had died: what the lock protects may be half changed, and the caller, who has it
 * now, must put it right.
 */
bool shm_lock(_Atomic uint32_t *lock);
void shm_unlock(_Atomic uint32_t *lock);

/* Whether this thread has the lock, for asserts: by its own memory, as anybody may write into the lock itself. */
bool shm_lock_is_held(const _Atomic uint32_t *lock);

/* The holder does not exist: whoever takes the lock next does so as if it had died. Nothing if another one holds it. */
void shm_lock_break(_Atomic uint32_t *lock, uint32_t holder);

#endif
