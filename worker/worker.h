/*
 * worker/worker.h - what the master knows of a worker: how to run one, and what the two say to each other.
 *
 * The master's messages travel over a SOCK_SEQPACKET pair, one struct worker_message each; the configuration of a reload in
 * place comes as a file descriptor beside its message. The worker's travel over a pipe.
 */
#ifndef WEIR_WORKER_WORKER_H
#define WEIR_WORKER_WORKER_H

#include "shm/shm.h"
#include "worker/site.h"

#include <sys/types.h>

enum worker_message_kind {
    WORKER_READY,    /* worker to master: it accepts connections */
    WORKER_RELOAD,   /* master to worker: take over the live values of the configuration in the descriptor */
    WORKER_RELOADED, /* worker to master: done */
    WORKER_RELOAD_FAILED, /* worker to master: it could not */
    WORKER_LOOK,          /* master to worker: permits of its own have changed */
    WORKER_LOCK_STUCK, /* worker to master: process `pid` holds a lock of the shared memory and does not go on */
    WORKER_ASKED,      /* master to worker: does its loop turn? */
    WORKER_TURNS       /* worker to master: it does */
};

struct worker_message {
    int kind;
    union {
        uint64_t generation;
        uint64_t pid;
    };
};

struct worker_options {
    struct site *site;
    struct shm *shm;
    int slot;
    int index;   /* 0.. among the workers of its generation: picks its reuseport sockets */
    int channel; /* its end of the pair, to read; -1 without a master */
    int reports; /* and of the pipe, to write */
    uid_t uid;   /* who to become; 0 stays root */
    gid_t gid;
    const char *user; /* for supplementary groups, or NULL */
    const struct conf_options *conf_options;
};

/* Runs a worker until it has been told to stop and has finished. Returns its exit code. */
int worker_run(const struct worker_options *options);

#endif
