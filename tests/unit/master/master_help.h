/*
 * tests/unit/master/master_help.h - a master without processes: shared memory, a configuration, and workers that the test plays.
 */
#ifndef WEIR_TESTS_UNIT_MASTER_MASTER_HELP_H
#define WEIR_TESTS_UNIT_MASTER_MASTER_HELP_H

#include "http/site/site.h"
#include "tests/unit/master/calls.h"

static struct conf master_conf;
static struct site master_site;
static const struct master_options master_argv;

/* Made anew for each test; master_end gives it back. */
static inline struct master *master_begin(int workers)
{
    static struct master m;
    calls_begin();
    master_conf = (struct conf){0};
    master_site = (struct site){.conf = &master_conf};
    m = (struct master){.options = &master_argv,
                        .conf = &master_conf,
                        .site = &master_site,
                        .generation = 1,
                        .target = workers,
                        .upgraded_fd = -1,
                        .is_main = true};
    for (int i = 0; i < SHM_SLOTS; i++)
        m.children[i] = CHILD_OF_NOBODY;
    CU_ASSERT_FATAL(shared_open(&m));
    return &m;
}

static inline void master_end(struct master *m)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        if (m->children[i].channel >= 0)
            close(m->children[i].channel);
        if (m->children[i].reports >= 0)
            close(m->children[i].reports);
        doors_close(m, i);
    }
    shm_destroy(m->shm);
}

/* What the worker of this pid says. */
static inline void worker_says(pid_t pid, struct worker_message message)
{
    CU_ASSERT(write(calls.ends[pid - FIRST_PID].reports, &message, sizeof message) == sizeof message);
}

/* The next message that the worker of this pid gets; kind -1: there is none. */
static inline struct worker_message worker_hears(pid_t pid)
{
    struct worker_message message;
    do
        if (recv(calls.ends[pid - FIRST_PID].channel, &message, sizeof message, MSG_DONTWAIT) !=
            sizeof message)
            message.kind = -1;
    while (message.kind == WORKER_SIBLING); /* of those that start */
    return message;
}

/* All workers that have been started say that they are ready. */
static inline void workers_come_up(struct master *m)
{
    for (int i = 0; i < SHM_SLOTS; i++)
        if (m->children[i].state == CHILD_STARTING)
            worker_says(m->children[i].pid, (struct worker_message){.kind = WORKER_READY});
    workers_read_channels(m);
}

static inline struct master *master_with_workers(int workers)
{
    struct master *m = master_begin(workers);
    workers_start_all(m);
    workers_come_up(m);
    CU_ASSERT(workers_all_ready(m, 1));
    CHECK_NUMBER(workers_alive(m), workers);
    return m;
}

/* The worker of this slot ends; its descriptors are closed, as the system would. */
static inline void worker_ends(struct master *m, int slot, int status)
{
    struct ends *ends = &calls.ends[m->children[slot].pid - FIRST_PID];
    close(ends->channel);
    close(ends->reports);
    ends->channel = ends->reports = -1;
    calls_end(m->children[slot].pid, status);
    workers_reap(m);
}

#endif
