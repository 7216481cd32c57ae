/*
 * worker/worker.h - what the master knows of a worker: how to run one, and what the two say to each other.
 *
 * The master's messages travel over a SOCK_SEQPACKET pair, one struct worker_message each; the configuration of a reload in
 * place comes as a file descriptor beside its message. The worker's travel over a pipe.
 */
#ifndef WEIR_WORKER_WORKER_H
#define WEIR_WORKER_WORKER_H

#include "worker/loop/options.h"

#include <stdint.h>
#include <sys/types.h>

enum worker_message_kind {
    WORKER_READY, /* to the master: connections are accepted */
    /* To a worker: take over the live values of the configuration in the descriptor. */
    WORKER_RELOAD,
    WORKER_RELOADED,      /* to the master: done */
    WORKER_RELOAD_FAILED, /* to the master: the values are no good */
    WORKER_LOOK,          /* to a worker: some permit has changed */
    /* To the master: process `pid` holds a lock of the shared memory and does not go on. */
    WORKER_LOCK_STUCK,
    WORKER_ASKED, /* to a worker: does its loop turn? */
    WORKER_TURNS, /* to the master: it does */
    /* To a worker: the descriptor speaks to the worker of `slot`, or to the next one there. */
    WORKER_SIBLING,
    /* To a worker: that one of `slot` is dead, and no other; see worker_incarnation. */
    WORKER_SIBLING_ENDED,
    /* To a worker: certificates have changed, and the descriptor has them. */
    WORKER_CERTIFICATE
};

struct worker_message {
    int kind;
    union {
        uint64_t generation;
        uint64_t pid;
        uint64_t slot;
    };
};

/* A slot and which of its workers, as one number. */
static inline uint64_t worker_incarnation(int slot, uint64_t incarnation)
{
    return incarnation * SHM_SLOTS + (uint64_t)slot;
}

/* Runs a worker until it has been told to stop and has finished. Returns its exit code. */
int worker_run(const struct worker_options *options);

#endif
