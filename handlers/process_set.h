/*
 * handlers/process_set.h - the processes of one location's application, in one worker: started on demand, used newest first, ended when
 * they idle, grow, or have done enough, and replaced when they die.
 *
 * A process has one end of a socket pair as its descriptor 0, by which it gets requests in FastCGI's records, one at a time, until that
 * ends; what it writes to 1 and 2 goes to the error log.
 * Ownership: a set is its location's. It is made before the workers are forked, and each has its own from then on.
 * Threads:   process_take and its kin are for threads of pools; process_look_after is the loop's.
 */
#ifndef WEIR_HANDLERS_PROCESS_SET_H
#define WEIR_HANDLERS_PROCESS_SET_H

#include "handlers/process_child.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process_set;

/* The settings' texts belong to the caller and outlive the set. NULL: out of memory. */
struct process_set *process_set_new(const struct process_settings *settings);

/* Where pids of its processes are shown, in shared memory, from then on; before the first process. NULL: nowhere. */
void process_set_show(struct process_set *set, _Atomic int32_t *pids, int room);
bool process_set_is_shown(const struct process_set *set);

/* None of its processes is in use: they are told to end. */
void process_set_free(struct process_set *set);

/* The command's name, for logs. */
const char *process_set_name(const struct process_set *set);

/* How long somebody still waits, in ms; 0: no longer. Asked at least once a second. */
struct process_patience {
    int64_t (*left_ms)(void *arg);
    void *arg;
};

/*
 * An idle process, a new one, or the next that becomes free: who came first has it first. NULL: there is none; errno says why one could
 * not be started, or is 0 where all were in use until the patience was over.
 */
struct process *process_take(struct process_set *set, const struct process_patience *patience);

/* Its request is over, and it waits for the next; or it has had none. */
void process_give_back(struct process_set *set, struct process *p);
void process_put_back(struct process_set *set, struct process *p);

/* It is of no use any more: it is told to end, or killed. */
void process_end(struct process_set *set, struct process *p, bool kill_it);

/* What it has said is logged, line by line. */
void process_log_words(const struct process_set *set, struct process *p);

/* Each second, of all sets: what idle ones have said, who has died, who has been idle for long, who does not end. */
void process_look_after(void);

/* The worker ends, whoever still uses them: all processes are told to, and killed where they do not within half a second. */
void process_end_all(void);

#endif
