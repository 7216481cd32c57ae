/*
 * handlers/process_keeper.h - a worker's keeper: the parent of its applications' processes that are another user's.
 *
 * A worker gives up its rights before it hears of a client, and cannot become another user any more, nor signal one. So where a
 * "handler process" has a user, the worker is forked once before that: the keeper stays root, hears of nobody but its worker, and does
 * what the configuration says and nothing else: it starts these commands as these users, sends them SIGTERM or SIGKILL, and says how they
 * ended. All its processes end with it, and it ends with its worker, however that does.
 * Ownership: the settings that are known belong to their handler, which has them forgotten before they go.
 * Threads:   process_keeper_open before there are threads, know and forget of those who read configurations, the rest of any thread.
 */
#ifndef WEIR_HANDLERS_PROCESS_KEEPER_H
#define WEIR_HANDLERS_PROCESS_KEEPER_H

#include "handlers/process_child.h"

/* What processes may be asked for, from then on and in workers forked from then on. */
void process_keeper_know(struct process_settings *settings);
void process_keeper_forget(const struct process_settings *settings);

/*
 * Forks a keeper where one is needed and this process is root's. dir: where its processes are started; NULL: here. has_successor: another
 * worker follows when this one ends. False with errno.
 */
bool process_keeper_open(const char *dir, bool has_successor);

/* The keeper ends, with all its processes; at_most_ms is waited for that. */
void process_keeper_close(int at_most_ms);

/* Whether these are the keeper's. */
bool process_keeper_has(const struct process_settings *settings);

/*
 * A process with the first of these descriptors for 0, and the second for 1 and 2, within at_most_ms. Its pid, with its line to the keeper in
 * *kept; or -1 with errno. EPIPE: there is no keeper any more, and a worker that has a successor has been told to end.
 */
pid_t process_keeper_start(const struct process_settings *settings, const int files[2], int at_most_ms,
                           int *kept);

/* By a process's line to the keeper, until it is closed: then what is left of the process is killed. */
bool process_keeper_saw_end(int kept);
void process_keeper_signal(int kept, int signal);

/* Of one whose end was seen, as of waitpid(2); -1: nobody knows. */
int process_keeper_status(int kept);

#endif
