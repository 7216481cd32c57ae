/*
 * master/child.h - what the master knows of a worker, and what follows from that: decisions, without a system call.
 *
 * Times are milliseconds of the monotonic clock, and come from the caller.
 */
#ifndef WEIR_MASTER_CHILD_H
#define WEIR_MASTER_CHILD_H

#include "worker/worker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum child_state {
    CHILD_NONE,
    CHILD_STARTING, /* forked, has not said that it is ready */
    CHILD_READY,
    CHILD_RETIRING, /* told to finish; its end is expected */
    /* The worker has died; its successor starts at start_at_ms. */
    CHILD_WAITING,
};

/* The worker of a slot; children[i] belongs to shm->slots[i]. */
struct child {
    enum child_state state;
    pid_t pid;
    /* What the master says to the worker; nothing comes back here. -1 when there is none. */
    int channel;
    /* What the worker says: a pipe, which carries no descriptors; -1 when there is none. */
    int reports;
    int index; /* among the workers of its generation */
    uint64_t generation;
    uint64_t started_ms;
    uint64_t start_at_ms; /* with CHILD_WAITING */
    /* The pause before the next start; doubled each time, back to 0 by success. */
    uint64_t pause_ms;
    /* With CHILD_RETIRING: when patience ends; 0 never. */
    uint64_t kill_at_ms;
    bool killed; /* as it had not finished then */
    /* When the worker's loop has turned for certain: it has answered then. */
    uint64_t heard_ms;
    int silent_looks; /* since heard_ms */
    /* When the worker was told to end because its loop does not turn; 0: it was not. */
    uint64_t abort_ms;
    /* The worker has been sent live values and has not answered. */
    bool owes_reload;
    /* Certificates have changed, and could not be sent. */
    bool lacks_certificates;
    /* The worker has said too much: its reports are not read before; 0: they are. */
    uint64_t unread_until_ms;
    /* The worker has been waited for: its pid may be another process's by now. */
    bool ended;
    bool killed_for_lock; /* already: its end is not awaited again */
};

/* A slot without a worker. */
#define CHILD_OF_NOBODY ((struct child){.channel = -1, .reports = -1})

/* Whether there is a process, as far as the master knows. */
static inline bool child_is_alive(const struct child *c)
{
    return c->state != CHILD_NONE && c->state != CHILD_WAITING;
}

/* A process has been started for a slot that had none; it has these two descriptors. */
void child_begin(struct child *c, pid_t pid, int channel, int reports, uint64_t generation, uint64_t now_ms);

/* A worker that is wanted could not start: the next try comes after a pause, which is doubled each time. */
void child_wait_to_start(struct child *c, uint64_t now_ms);

/* The worker's loop turns: it has answered. */
void child_heard(struct child *c, uint64_t now_ms);

/* What a message of the worker means to others than its own record, which has taken it over. */
enum child_news { CHILD_NEWS_NONE, CHILD_NEWS_LOCK_STUCK, CHILD_NEWS_RELOAD_FAILED };
enum child_news child_take_message(struct child *c, const struct worker_message *message, uint64_t generation,
                                   uint64_t now_ms);

/* Told to finish; it is killed at kill_at_ms (0: never), or when an earlier call has said so, if that is sooner. */
void child_retire(struct child *c, uint64_t kill_at_ms);

/* When a worker that is told so by this signal now is to be killed; 0: never. */
uint64_t child_kill_at_ms(int signal, int64_t shutdown_timeout_ms, uint64_t now_ms);

/* How a worker that has ended with this status of waitpid(2) did so. */
struct child_end {
    bool by_signal;
    bool unplanned; /* nobody had told it to */
    bool overdue;   /* it was killed because it did not finish */
    bool well;      /* it had come up, and served for a while */
};
struct child_end child_end_of(const struct child *c, int status, bool stopping, uint64_t now_ms);

/* Its successor starts after a pause, or at once where it had served well. */
void child_wait_for_successor(struct child *c, bool served_well, uint64_t now_ms);

/* What is due for a worker, each once; a worker that has proved good has no pause before its successor any more. */
enum child_duty { CHILD_DUTY_NONE, CHILD_DUTY_START, CHILD_DUTY_KILL };
enum child_duty child_due(struct child *c, uint64_t now_ms);

/* When child_due, or its reports, want to be looked at; UINT64_MAX: never. */
uint64_t child_next_ms(const struct child *c, uint64_t now_ms);

#endif
