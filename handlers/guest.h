/*
 * handlers/guest.h - requests of other workers on threads of this one.
 *
 * A guest is a job whose client is elsewhere: what it writes goes back to its worker, at most some 256 KiB ahead of what the client
 * has taken.
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_GUEST_H
#define WEIR_HANDLERS_GUEST_H

#include "worker/loop/doors.h"

#include <stdbool.h>

struct worker;

/* Takes them from now on, if there are siblings. After lending_open. False: out of memory. */
bool guest_open(struct worker *w);

/* That worker is dead: nobody waits for its requests any more. */
void guest_sibling_ended(struct worker *w, struct sibling dead);

/* Once a second: workers may have died without a word. */
void guest_look_after(struct worker *w);

/* Whether some have not ended, or their ends are not on their way; those that were given up do not count. */
bool guest_is_there(const struct worker *w);

#endif
