/*
 * handlers/lend_back.h - what comes back of requests that were lent.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_LEND_BACK_H
#define WEIR_HANDLERS_LEND_BACK_H

#include "worker/loop/doors.h"

struct worker;

/* Hears of it from now on. After lending_open. */
void lend_back_open(struct worker *w);

/* That worker is dead: what it had of ours runs elsewhere, or fails. */
void lend_sibling_ended(struct worker *w, struct sibling dead);

/* Once a second: workers may have died without a word. */
void lend_look_after(struct worker *w);

#endif
