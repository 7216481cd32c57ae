/*
 * pool/group.c - a count under a lock. It is not an atomic one, so that the one who waits may free the group at once.
 */
#include "pool/group.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

void pool_group_init(struct pool_group *group)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->none, &attr);
    pthread_condattr_destroy(&attr);
    group->pending = 0;
}

void pool_group_destroy(struct pool_group *group)
{
    pthread_cond_destroy(&group->none);
    pthread_mutex_destroy(&group->lock);
}

void pool_group_add(struct pool_group *group, size_t count)
{
    pthread_mutex_lock(&group->lock);
    group->pending += count;
    pthread_mutex_unlock(&group->lock);
}

void pool_group_done(struct pool_group *group)
{
    pthread_mutex_lock(&group->lock);
    if (group->pending == 0)
        abort();
    if (--group->pending == 0)
        pthread_cond_broadcast(&group->none);
    pthread_mutex_unlock(&group->lock);
}

bool pool_group_wait(struct pool_group *group, uint64_t deadline_us)
{
    struct timespec until = {(time_t)(deadline_us / 1000000), (long)(deadline_us % 1000000) * 1000};
    int rc = 0, cancel;
    /* Cancelled while it waits, the thread would keep the lock. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    pthread_mutex_lock(&group->lock);
    while (group->pending > 0 && rc != ETIMEDOUT)
        rc = deadline_us == UINT64_MAX ? pthread_cond_wait(&group->none, &group->lock)
                                       : pthread_cond_timedwait(&group->none, &group->lock, &until);
    bool none = group->pending == 0;
    pthread_mutex_unlock(&group->lock);
    pthread_setcancelstate(cancel, NULL);
    return none;
}
