/*
 * tests/model/room.pml - the submitters that wait for room, as pool/submit.c and pool_offer_room in pool/internal.h
 * have them, for spin. README.md says what is left out and how to run it.
 *
 * Names are those of the C code; both pool->x and inbox->x are x. `lock` is inbox.lock. pool->lock guards nothing here
 * but adding to `gone`, which is one step. Threads read and write `gone` and `room_at` without inbox.lock: so each
 * access to one of them is a step of its own, in the order of the C code, which its fence upholds. An M_ switch is a
 * fault that is put in on purpose, for run.sh --mutants.
 */

#define SUBMITTERS 3 /* at most */
#define NEVER 255

/* What a run is made of: see `init`. */
byte config_limit = 1; /* tasks that may be inside; to begin with, so many are */
byte config_threads = 2; /* that may end tasks at the same time */
byte submitters = 2, tasks = 1; /* that each hands in by one call of pool_submit_batch */
bool deadlines; /* a submitter may have a deadline, or not wait at all, or be a thread of the pool */
bool fast;      /* tasks may end fast */
bool resizes;   /* the limit becomes one more */
bool closes;    /* the pool is shut down and freed */

/* struct pool_inbox */
bool lock;
byte taken, inbox_gone; /* inbox->gone */
bool closed, signalled, patient;
byte waiters, sleepers;

/* struct pool */
byte limit, gone, room_at = NEVER, inside, threads;

/* Of the model alone. */
bool asleep[SUBMITTERS]; /* on inbox.room, and not signalled */
bool freed;

#define full (taken - inbox_gone >= limit)

inline take_lock()
{
    atomic { !lock -> lock = true; assert(!freed) }
}

/* Whether there is room is !full afterwards. */
inline inbox_has_room()
{
    if
    :: full -> inbox_gone = gone
    :: else
    fi
}

inline cond_signal()
{
    if
    :: asleep[0] -> asleep[0] = false
    :: asleep[1] -> asleep[1] = false
    :: asleep[2] -> asleep[2] = false
    :: else
    fi
}

inline offer_room()
{
    if
    :: waiters == 0 || signalled -> room_at = NEVER
    :: else ->
        atomic {
            at = taken + (patient -> limit / 4 + 1 : 1);
            at = (at > limit -> at - limit : 0);
#ifndef M_NEVER_ASKS
            room_at = at
#endif
        };
        if
#ifndef M_NO_SECOND_LOOK
        :: gone >= at -> atomic { signalled = true; room_at = NEVER; cond_signal() }
#endif
        :: else
        fi;
        at = 0
    fi
}

inline pool_offer_room_slowly()
{
    take_lock();
    offer_room();
    lock = false
}

proctype thread()
{
    byte at, seen;
    do
#ifdef M_NO_FENCE
    :: atomic { gone < taken && !closed -> seen = room_at };
        gone = (gone < taken -> gone + 1 : gone);
        if
        :: gone >= seen -> pool_offer_room_slowly()
        :: else
        fi;
        seen = 0
#else
    :: atomic { gone < taken && !closed -> gone++ }; /* pool_note_room */
        seen = gone;                                 /* pool_offer_room */
        if
        :: seen >= room_at -> pool_offer_room_slowly()
        :: else
        fi;
        seen = 0
#endif
    :: break
    od;
    /* Its task blocks until the pool is shut down. */
end_blocked:
    atomic { closed -> threads-- }
}

mtype = { MAY_WAIT, HAS_DEADLINE, MUST_NOT_WAIT, MEMBER };

proctype submitter(byte me)
{
    byte at, left = tasks;
    bool is_inside, waited, late, looks, ok;
    mtype kind = MAY_WAIT;
    if
    :: deadlines -> kind = HAS_DEADLINE
    :: deadlines -> kind = MUST_NOT_WAIT
    :: deadlines -> kind = MEMBER /* a thread of the pool: never waits, is never refused */
    :: skip
    fi;
    if
    :: atomic { freed -> goto done } /* who frees a pool sees to it that no call begins from then on */
    :: atomic { !freed && !lock -> lock = true }
    fi;
submits:
    /* submit_some, admit */
    inbox_has_room();
    if
    :: !closed && full && (kind == MAY_WAIT || kind == HAS_DEADLINE) ->
        atomic {
            waited = true;
            if
            :: !is_inside -> is_inside = true; inside++
            :: else
            fi;
            waiters++
        };
        /* wait_for_room */
        do
        :: closed -> break
        :: !closed ->
            inbox_has_room();
            if
            :: !full || late -> break
            :: else
            fi;
            /* sleep_for_room */
            atomic {
                if
                :: patient = false
#ifdef M_PATIENT_FOR_OTHERS
                :: fast -> patient = true
#else
                :: fast && sleepers == 0 -> patient = true
#endif
                fi;
                signalled = false
            };
            offer_room();
            if
            :: signalled
            :: else ->
                atomic {
                    looks = patient;
                    sleepers = (looks -> sleepers : sleepers + 1);
                    asleep[me] = true;
                    lock = false
                };
end_asleep:
                if
                :: !asleep[me]
                :: looks && asleep[me]
                :: kind == HAS_DEADLINE -> late = true
                fi;
                atomic {
                    take_lock();
                    asleep[me] = false;
                    sleepers = (looks -> sleepers : sleepers - 1);
                    looks = false
                }
            fi
        od;
        atomic {
#ifndef M_STAYS_SIGNALLED
            signalled = false;
#endif
            waiters--
        };
        inbox_has_room()
    :: else
    fi;
    ok = !closed && (!full || kind == MEMBER);
    late = false;
    do
    :: ok && left > 0 && (!full || kind == MEMBER) -> atomic { taken++; left-- }; inbox_has_room()
    :: else -> break
    od;
    if
    :: waited ->
#ifndef M_NOT_PASSED_ON
        offer_room();
#endif
        waited = false
    :: else
    fi;
    atomic {
        ok = ok && left > 0;
#ifndef M_BATCH_OUTSIDE
        if
        :: ok && !is_inside -> is_inside = true; inside++
        :: else
        fi;
#endif
        lock = false
    };
    if
#ifdef M_BATCH_OUTSIDE
    :: is_inside ->
#else
    :: is_inside && !ok ->
#endif
        /* go_inside */
        atomic { assert(!freed); inside--; is_inside = false }
    :: else
    fi;
    if
    :: ok -> take_lock(); goto submits
    :: else
    fi;
done:
    skip
}

proctype pool_reconfigure()
{
    byte at;
    take_lock();
    atomic { limit++; lock = false };
#ifndef M_RESIZES_NO_OFFER
    pool_offer_room_slowly()
#endif
}

proctype pool_shutdown()
{
    take_lock();
    atomic {
        closed = true;
#ifndef M_CLOSES_NO_BROADCAST
        asleep[0] = false;
        asleep[1] = false;
        asleep[2] = false;
#endif
        lock = false
    };
    atomic { threads == 0 && inside == 0 -> freed = true }
}

/* When nothing moves, nobody sleeps where there is room, and nobody sleeps in a pool that is closed. */
proctype quiescence()
{
    byte me;
    timeout;
    atomic {
        do
        :: me < SUBMITTERS -> assert(!asleep[me] || (taken - gone >= limit && !closed)); me++
        :: else -> break
        od
    }
}

#ifndef RUN
#define RUN 0 /* one of those below, or 0: all of them */
#endif
#define run_is(number) (RUN == 0 || RUN == number)

init {
    byte i;
    atomic {
        if
        :: run_is(1) -> submitters = 3
        :: run_is(2) -> config_limit = 2; tasks = 2
        :: run_is(3) -> config_limit = 4; fast = true; submitters = 3; config_threads = 1
        :: run_is(4) -> deadlines = true; fast = true
        :: run_is(5) -> resizes = true
        :: run_is(6) -> closes = true; tasks = 2
        :: run_is(7) -> closes = true; deadlines = true; config_threads = 1
        fi;
        limit = config_limit;
        taken = config_limit;
        threads = config_threads;
        i = 0;
        do
        :: i < submitters -> run submitter(i); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < config_threads -> run thread(); i++
        :: else -> break
        od;
        i = 0;
        if
        :: resizes -> run pool_reconfigure()
        :: else
        fi;
        if
        :: closes -> run pool_shutdown()
        :: else
        fi;
        run quiescence()
    }
}
