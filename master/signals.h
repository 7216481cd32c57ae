/*
 * master/signals.h - the master's signals: what each orders, and which order comes next.
 *
 * Handlers only set flags. Signals are blocked except while the loop waits.
 */
#ifndef WEIR_MASTER_SIGNALS_H
#define WEIR_MASTER_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

enum order {
    ORDER_NONE,
    ORDER_REAP,            /* a child has ended */
    ORDER_STOP,            /* at once */
    ORDER_FINISH,          /* what is under way, and stop */
    ORDER_REOPEN,          /* the logs */
    ORDER_WITHOUT_WORKERS, /* they finish, the master stays */
    ORDER_UPGRADE,         /* start the new binary */
    ORDER_ONE_MORE,        /* worker */
    ORDER_ONE_FEWER,
    ORDER_RELOAD,
};

/* Catches and blocks them all; *while_waiting is the mask to wait with. */
void signals_catch(sigset_t *while_waiting);

/*
 * The next order that a signal has brought, which is logged and gone with this call: in the order of the list above, whichever
 * came first. A master that stops obeys the first of them only; a reload waits while there is one under way.
 */
enum order signals_next(bool stopping, bool reloading);

/* The signal of -s NAME; 0: there is none of this name. */
int signals_by_name(const char *name);

#endif
