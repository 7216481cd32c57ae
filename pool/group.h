/*
 * pool/group.h - waiting for a number of things to be done: tasks of one pool, of several, or anything else.
 *
 * Add before you submit; call pool_group_done last thing in the task's done, which comes however the task ends; wait.
 * The same as Go's sync.WaitGroup.
 *
 * Ownership: the caller's, usually on the stack of the one who waits. Nothing is touched after the last wait returns,
 *            neither of the group nor of the tasks.
 * Threads:   every call is safe from any thread, but destroy.
 */
#ifndef WEIR_POOL_GROUP_H
#define WEIR_POOL_GROUP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pool_group {
    pthread_mutex_t lock;
    pthread_cond_t none;
    size_t pending; /* protected by lock */
};

void pool_group_init(struct pool_group *group);

/* Nobody may wait any more. */
void pool_group_destroy(struct pool_group *group);

/* `count` more things are to be done. */
void pool_group_add(struct pool_group *group, size_t count);

/* One is done. More than were added is a bug of the caller: aborts. */
void pool_group_done(struct pool_group *group);

/* Until none is pending, or the monotonic deadline in microseconds (UINT64_MAX: for ever) has passed: then false. */
bool pool_group_wait(struct pool_group *group, uint64_t deadline_us);

#ifdef __cplusplus
}
#endif

#endif
