/*
 * pool/guard.c - a cleanup handler around a call.
 */
#include "pool/guard.h"

#include <pthread.h>

void guard_run(void (*run)(void *arg), void (*if_exits)(void *arg), void *arg)
{
    pthread_cleanup_push(if_exits, arg);
    run(arg);
    pthread_cleanup_pop(0);
}
