/*
 * handlers/process_child.h - one process of an application: how it starts, gets signals and ends, whoever it is a child of.
 *
 * A process of the worker's own user is a child of the worker. One of another user is a child of the worker's keeper, which has kept the
 * right to become that user (handlers/process_keeper.h).
 * Ownership: a process is its set's; its settings belong to their handler and outlive it.
 * Threads:   each process is used by one thread at a time; its set sees to that.
 */
#ifndef WEIR_HANDLERS_PROCESS_CHILD_H
#define WEIR_HANDLERS_PROCESS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESS_WORDS_MAX = 64 };

struct process_settings {
    const char *command[PROCESS_WORDS_MAX + 1]; /* ended by NULL */
    const char *env[PROCESS_WORDS_MAX + 1];     /* NAME=VALUE, besides the worker's own */
    const char *dir;                            /* NULL: the worker's */
    /* NULL: the worker's; else the keeper's to become. */
    const char *user, *home;
    uid_t uid;
    gid_t gid;
    int64_t least, most;  /* processes */
    int64_t max_requests; /* of one process; 0: no bound */
    /* Resident, behind a request; 0: no bound. */
    int64_t memory_bytes;
    /* Those of a user: how the keeper knows them. */
    int32_t number;
    struct process_settings *next_known;
};

struct process {
    pid_t pid;
    /* Non-blocking: requests, and what it says besides. */
    int socket, words;
    /* Its line to the keeper that has it for a child; -1: it is this process's own. */
    int kept;
    uint64_t requests;
    uint64_t idle_since_ms; /* or ended since */
    bool is_told;           /* to end: SIGTERM */
    struct process *next;
};

/* A new one, within at_most_ms. NULL with errno. Any thread. */
struct process *process_start(const struct process_settings *settings, int at_most_ms);

/* Whether it has died: what it started may still hold its end of the connection. */
bool process_has_died(const struct process *p);

/* To it, and to what it has started. It has not been buried. */
void process_signal(const struct process *p, int signal);

/* Of one that has died: what it has started is killed. Its status as of waitpid(2); -1: nobody knows. */
int process_bury(struct process *p);

/* Frees it and its descriptors. */
void process_free(struct process *p);

/* What a process has for an environment: this one's, with what the settings put in its place. NULL: out of memory; else free(3). */
char **process_environment(const struct process_settings *settings);

#endif
