/*
 * pool/gate.c - a mutex and its condition.
 */
#include "pool/gate.h"

#include "base/clock.h"

#include <time.h>

void gate_init(struct gate *g)
{
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
}

void gate_destroy(struct gate *g)
{
    pthread_mutex_destroy(&g->lock);
    pthread_cond_destroy(&g->changed);
}

void gate_lock(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
}

void gate_unlock(struct gate *g)
{
    pthread_mutex_unlock(&g->lock);
}

void gate_wait(struct gate *g)
{
    pthread_cond_wait(&g->changed, &g->lock);
}

void gate_wait_for(struct gate *g, unsigned us)
{
    uint64_t until_us = clock_mono_us() + us;
    struct timespec until = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};
    pthread_cond_clockwait(&g->changed, &g->lock, CLOCK_MONOTONIC, &until);
}

void gate_wake(struct gate *g)
{
    pthread_cond_broadcast(&g->changed);
}
