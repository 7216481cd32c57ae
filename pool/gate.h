/*
 * pool/gate.h - a lock with a condition, for the few places where a task's thread and the loop share a buffer.
 *
 * Threads: any; holders keep it for a copy of some bytes at most.
 */
#ifndef WEIR_POOL_GATE_H
#define WEIR_POOL_GATE_H

#include <pthread.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

void gate_init(struct gate *g);
void gate_destroy(struct gate *g);
void gate_lock(struct gate *g);
void gate_unlock(struct gate *g);

/* Waits for gate_wake; the gate is held before and after. May return without cause. */
void gate_wait(struct gate *g);

/* The same for at most so many microseconds. */
void gate_wait_for(struct gate *g, unsigned us);

/* Wakes all that wait. */
void gate_wake(struct gate *g);

#endif
