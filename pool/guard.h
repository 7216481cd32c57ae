/*
 * pool/guard.h - a call that may take its thread down, and what has to be done then.
 */
#ifndef WEIR_POOL_GUARD_H
#define WEIR_POOL_GUARD_H

/* Calls run(arg). Where it ends the thread, by pthread_exit from any depth or by cancellation, if_exits(arg) is called on the way. */
void guard_run(void (*run)(void *arg), void (*if_exits)(void *arg), void *arg);

#endif
