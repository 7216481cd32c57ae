/*
 * handlers/process_keeping.h - the keeper itself, and what is said between it and its worker: messages on sockets that keep their bounds.
 *
 * Ownership: none. The keeper is a process of its own, with one thread.
 */
#ifndef WEIR_HANDLERS_PROCESS_KEEPING_H
#define WEIR_HANDLERS_PROCESS_KEEPING_H

#include "handlers/process_child.h"

/* The process's descriptor 0, what it has for 1 and 2, and its line to the keeper. */
enum { KEEPER_FILES = 3 };

/* To the keeper, with KEEPER_FILES descriptors: a process of these settings. */
struct keeper_order {
    int32_t number;
};

/* On a process's line, from the keeper; to it goes the number of a signal. */
enum keeper_kind { KEEPER_STARTED = 1, KEEPER_FAILED, KEEPER_ENDED };
struct keeper_news {
    int32_t kind;
    /* Its pid; an errno; its status as of waitpid(2). */
    int32_t value;
};

/* What the keeper does until `orders` has ended. known: the first of all settings. */
_Noreturn void process_keep(int orders, const struct process_settings *known, const char *dir);

#endif
