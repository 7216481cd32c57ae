/*
 * shm/lock.h - a lock in shared memory that is never lost with a process that dies.
 *
 * The word is the holder's pid; 0: nobody has it. To be held for tens of nanoseconds: who waits spins, then gives its
 * processor away, then sleeps for moments.
 */
#ifndef WEIR_SHM_LOCK_H
#define WEIR_SHM_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* To be called in each process before its first shm_lock. */
void shm_lock_know_self(void);

/*
 * Takes the lock. True when its holder had died: what the lock protects may be half changed, and the caller, who has it
 * now, must put it right.
 */
bool shm_lock(_Atomic uint32_t *lock);
void shm_unlock(_Atomic uint32_t *lock);

#endif
