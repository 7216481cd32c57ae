/*
 * shm/reclaim.h - the shared region after a worker's death, and what each worker checks of its own in it.
 */
#ifndef WEIR_SHM_RECLAIM_H
#define WEIR_SHM_RECLAIM_H

#include "shm/permit.h"

/*
 * Gives back all that the process of this slot held or waited for. It is dead; -1: none has died. What stands for slots that the
 * caller knows to be empty (struct shm) was made up, and goes too. Master only.
 *
 * Tables that somebody has overwritten (`damaged`: the caller knows of one) are made anew first, all of them: limits count from
 * zero then, and what living workers held is free. False: that was the case.
 */
bool shm_reclaim(struct shm *shm, int slot, bool damaged);

/* Breaks all locks that this process has by what they say. It is dead, or holds none. Master only. */
void shm_break_locks(struct shm *shm, uint32_t holder);

/*
 * A worker's look at its own part, about once a second: its address stands there, and permits that are free by its own
 * records have no other tag. What does not fit is put right.
 */
void shm_look_after(struct permit_user *u);

#endif
