/*
 * worker/loop/options.h - what the master gives a worker: its place, its pipes, its user. Lives as long as the worker.
 */
#ifndef WEIR_WORKER_LOOP_OPTIONS_H
#define WEIR_WORKER_LOOP_OPTIONS_H

#include "shm/shm.h"

#include <sys/types.h>

struct conf_options;
struct site;

/* How a worker and its siblings reach each other: master/doors.c, worker/loop/doors.c. */
struct worker_doors {
    /* Of workers that have the same configuration, but for what a reload in place changes. */
    uint64_t family;
    uint64_t incarnation;  /* of the worker itself, in its slot */
    int hears;             /* -1: none */
    int speaks[SHM_SLOTS]; /* by slot; -1: that one cannot be reached */
};

struct worker_options {
    struct site *site;
    struct shm *shm;
    int slot;
    /* Among the workers of its generation, from 0: picks its reuseport sockets. */
    int index;
    int channel;                /* read end of the pair; -1: no master */
    int reports;                /* and of the pipe, to write */
    struct worker_doors *doors; /* NULL: no siblings */
    uid_t uid;                  /* who to become; 0 stays root */
    gid_t gid;
    const char *user; /* for supplementary groups, or NULL */
    const struct conf_options *conf_options;
};

#endif
