/*
 * worker/loop/options.h - what the master gives a worker: its place, its pipes, its user. Lives as long as the worker.
 */
#ifndef WEIR_WORKER_LOOP_OPTIONS_H
#define WEIR_WORKER_LOOP_OPTIONS_H

#include <sys/types.h>

struct conf_options;
struct shm;
struct site;

struct worker_options {
    struct site *site;
    struct shm *shm;
    int slot;
    /* Among the workers of its generation, from 0: picks its reuseport sockets. */
    int index;
    int channel; /* read end of the pair; -1: no master */
    int reports; /* and of the pipe, to write */
    uid_t uid;   /* who to become; 0 stays root */
    gid_t gid;
    const char *user; /* for supplementary groups, or NULL */
    const struct conf_options *conf_options;
};

#endif
