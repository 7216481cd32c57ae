/*
 * worker/loop/doors.h - what workers of one configuration say to each other, without the master: messages with a kind, some bytes,
 * and perhaps a descriptor.
 *
 * Who is spoken to is one worker, not whoever follows it in its slot. Of what one says to another nothing overtakes what it has
 * said before. Whoever hears something takes nothing in it on trust but that it is whole.
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LOOP_DOORS_H
#define WEIR_WORKER_LOOP_DOORS_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;

enum door_kind {
    DOOR_WORK,
    DOOR_LEAVE,
    DOOR_OUTPUT,
    DOOR_TAKEN,
    DOOR_ENDED,
    DOOR_KICK,
    DOOR_NOTHING,
    DOOR_KINDS
};

/* Bytes of one message. */
enum { DOOR_MESSAGE_MAX = 96 << 10 };

/* A worker: its slot, and which of those that the slot has had. */
struct sibling {
    int slot;
    uint64_t incarnation;
};

static inline bool sibling_is(struct sibling a, struct sibling b)
{
    return a.slot == b.slot && a.incarnation == b.incarnation;
}

/* What was said, by whom: it can be answered. */
struct door_message {
    struct sibling from;
    struct slice bytes; /* until the hearer returns */
    int fd;             /* -1: none. Who takes it sets it to -1 */
};
typedef void (*door_hears)(struct worker *w, struct door_message *m);

/* Hears what siblings say from now on, if there are any. False: out of memory. */
bool doors_open(struct worker *w);

/* Who hears messages of that kind. */
void doors_hear(struct worker *w, enum door_kind kind, door_hears hears);

/* Hears what has been said so far. */
void doors_hear_all(struct worker *w);

/* The door of a worker that was started later; the descriptor is ours. What was to be said to an earlier one of its slot is dropped. */
void doors_add(struct worker *w, int slot, int fd);

/* Whether there is a worker in this slot that can be reached, has the same configuration, and is not about to end. */
bool doors_reach(const struct worker *w, int slot);

/* The worker that is in this slot now. */
struct sibling doors_sibling(const struct worker *w, int slot);

/*
 * Says it, now or never: false where the other one's door is full. fd goes with it, and stays the caller's; -1: none.
 */
bool doors_try(struct worker *w, struct sibling to, enum door_kind kind, struct slice message, int fd);

/* Says it, when the door has room. False: out of memory. */
bool doors_say(struct worker *w, struct sibling to, enum door_kind kind, struct slice message);

/* Whether something still waits for room in a door. */
bool doors_are_busy(const struct worker *w);

#endif
