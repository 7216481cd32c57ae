/*
 * tests/model/wake.pml - who looks after the work, as pool/wake.c, thread.c, submit.c, end.c and pool.c have it, for
 * spin. README.md says what is left out and how to run it.
 *
 * Names are those of the C code: pool->x is x, th->x is x[th]. An atomic block is what the C code does in one go, with
 * pool->lock, with inbox.lock, or with both. `lock` is pool->lock: where it stays held from one block to the next,
 * submitters come in between, as they take the other lock only. Nobody keeps inbox.lock from one block to the next, so
 * there is no variable for it. An M_ switch is a fault that is put in on purpose, for run.sh --mutants.
 */

#define SLOTS 4 /* structures of threads: those that stay, those on their way out, and the dead */
#define WAKES_MAX 4
#define BURY_TOGETHER 1
#define NONE 255

/* What a run is made of: see `init`. */
byte config_min, config_max = 2;
byte cpus = 2;
byte submitters = 1, tasks = 1; /* of each submitter */
bool batches;  /* a submitter may hand in all it has at once */
bool rushes;   /* tasks may end in a rush */
bool timers;   /* idle threads retire and trim their stacks */
byte refusals; /* so many times the system refuses to start a thread */
byte exits;    /* so many tasks and callbacks take their thread down with them */
byte expiries; /* so many tasks wait for too long */
byte cancels, abandons; /* so many calls of pool_cancel and pool_abandon */
bool resizes;  /* the pool is made smaller, down to one thread, and as large again */
bool closes;   /* the pool is shut down, drained or dropped, and freed */

/* struct pool_inbox */
byte inbox_count;
bool call = true;

/* struct pool */
bool lock;
byte max;
byte queued, threads, busy, leaving, stuck, searching;
byte idle, idle_stack[SLOTS]; /* the hottest is the last */
bool closed, rushing;
bool spawn_failed; /* spawn_failed_us != 0 */
byte guard = NONE;
bool ended_since; /* ended_count != guard_seen */
byte wakes, to_wake; /* how many; a set, bit by bit */
byte inside;
byte dead_count, dead; /* likewise */
bool quiet_awaited; /* somebody sleeps on pool->quiet */

/* struct pool_thread */
mtype = { UNBORN, ALIVE, EXITED }; /* EXITED: can be joined */
mtype life[SLOTS] = UNBORN;
byte wake[SLOTS]; /* the semaphore's value */
bool is_idle[SLOTS], posted[SLOTS], searcher[SLOTS];
mtype = { NO_TASK, RUNNING, ABANDONED };
mtype task[SLOTS] = NO_TASK;

/* Of the model alone. */
byte owed[SLOTS];       /* posts that somebody has decided on and the thread has not consumed */
byte blocked, released; /* tasks that block until nothing else moves; how many of them may go on */
bool refused; /* a thread, at least once */
bool shutting_down, freed;
hidden byte k, th, may, is_guarded;

#define staying (threads - leaving)
#define over_max (threads - leaving - stuck > max)
#define replaced (stuck < max -> stuck : max)
#define pool_is_quiet (threads == 0 && queued == 0 && inside == 0)
#define work (queued + inbox_count)

inline take_lock()
{
    !lock;
    lock = true;
    assert(!freed)
}

/* pool_unlock, in two halves: the lock is given up, then those whom its holder has chosen are woken. */
inline give_up_lock()
{
    chosen = to_wake;
    to_wake = 0;
    wakes = 0;
    lock = false
}

inline sem_post(who)
{
    assert(life[who] == ALIVE && wake[who] == 0);
    wake[who]++
}

inline wake_chosen()
{
    do
    :: atomic { chosen & 1 -> chosen = chosen - 1; sem_post(0) }
    :: atomic { chosen & 2 -> chosen = chosen - 2; sem_post(1) }
    :: atomic { chosen & 4 -> chosen = chosen - 4; sem_post(2) }
    :: atomic { chosen & 8 -> chosen = chosen - 8; sem_post(3) }
    :: chosen == 0 -> break
    od
}

inline sem_wait()
{
    wake[me] > 0;
    wake[me]--;
    owed[me]--
}

inline pool_searcher_set(who, searches)
{
    if
    :: searcher[who] != searches -> searching = (searches -> searching + 1 : searching - 1); searcher[who] = searches
    :: else
    fi
}

/* wake.c */

inline post(who)
{
    if
#ifndef M_POSTS_TWICE
    :: posted[who]
#endif
    :: else ->
        posted[who] = true;
        owed[who]++;
        assert(wakes < WAKES_MAX);
        to_wake = to_wake | (1 << who);
        wakes++
    fi
}

inline pool_idle_push()
{
    idle_stack[idle] = me;
    idle++;
    is_idle[me] = true
}

inline pool_idle_remove(who)
{
    k = 0;
    do
    :: idle_stack[k] != who -> k++
    :: else -> break
    od;
    idle--;
    do
    :: k < idle -> idle_stack[k] = idle_stack[k + 1]; k++
    :: else -> break
    od;
    idle_stack[idle] = 0;
    is_idle[who] = false;
    if
    :: guard == who -> guard = NONE
    :: else
    fi
}

inline pool_wake_all_idle()
{
    k = 0;
    do
    :: k < SLOTS ->
        if
        :: is_idle[k] && !posted[k] -> posted[k] = true; owed[k]++; sem_post(k)
        :: else
        fi;
        k++
    :: else -> break
    od
}

/* Once a thread was refused, enough time may have passed since, or not. */
inline may_start()
{
    may = staying < max + replaced;
    if
    :: may && spawn_failed && staying > 0 ->
        if
        :: may = false
        :: skip
        fi
    :: else
    fi
}

/* The first lines of pool_spawn; `spawns` says that the rest has to follow. */
inline begin_spawn()
{
    threads++;
    searching++;
    spawns = true;
    give_up_lock()
}

inline wake_or_start()
{
    if
    :: idle == 0 -> begin_spawn()
    :: else ->
        th = idle_stack[idle - 1];
        if
        :: th == guard && idle > 1 -> th = idle_stack[idle - 2]
        :: else
        fi;
        pool_idle_remove(th);
        pool_searcher_set(th, true);
        post(th)
    fi
}

inline guarded()
{
    is_guarded = false;
    if
    :: rushing && busy > 0 ->
        if
        :: guard == NONE && idle > 0 ->
            guard = idle_stack[idle - 1];
            ended_since = false;
#ifndef M_GUARD_SLEEPS_ON
            post(guard)
#endif
        :: else
        fi;
        is_guarded = guard != NONE
    :: else
    fi
}

inline pool_search()
{
    may_start();
    if
    :: searching > 0 || (idle == 0 && !may)
    :: else ->
        guarded();
        if
        :: is_guarded
        :: else ->
            if
            :: queued == 0 -> pool_pull_or_call()
            :: else
            fi;
            if
            :: queued > 0 -> wake_or_start()
            :: else
            fi
        fi
    fi
}

/* The body of its loop. */
inline pool_search_more()
{
    may_start();
    if
    :: queued > searching && (idle > 0 || may) ->
        guarded();
        if
        :: is_guarded
        :: else -> wake_or_start()
        fi
    :: else
    fi
}

inline pool_answer()
{
    if
    :: searching == 0 -> pool_search()
    :: else ->
        may_start();
        if
        :: idle > 0 || may ->
            guarded();
            if
            :: is_guarded
            :: else ->
                pull();
                if
                :: queued > searching -> wake_or_start()
                :: else
                fi
            fi
        :: else
        fi
    fi
}

/* Tasks have gone on ending since the last look, enough of them, or not. */
inline pool_guard_look()
{
    if
    :: rushing = false;
        guard = NONE;
        pool_search();
        assert(!spawns)
    :: ended_since
    fi;
    ended_since = false
}

/* submit.c */

inline pull()
{
    queued = queued + inbox_count;
    inbox_count = 0
}

inline pool_pull_or_call()
{
    pull();
#ifndef M_NO_CALL
    if
    :: queued == 0 -> call = true
    :: else
    fi
#endif
}

inline pool_pull()
{
    if
    :: queued == 0 -> pull()
    :: else
    fi
}

/* thread.c */

/* The rest of pool_spawn, from where it has given up the lock. */
inline pool_spawn()
{
    if
    :: spawns ->
        wake_chosen();
        atomic {
            if
            :: refusals > 0 -> refusals--
            :: true ->
                k = 0;
                do
                :: life[k] != UNBORN -> k++
                :: else -> break
                od;
                life[k] = ALIVE;
                searcher[k] = true;
                started = true
            fi
        };
        atomic {
            take_lock();
            spawns = false;
            if
            :: started -> spawn_failed = false
            :: else ->
                threads--;
#ifndef M_REFUSED_SEARCHING
                searching--;
#endif
                spawn_failed = true;
                refused = true;
#ifndef M_REFUSED_NO_CALL
                call = true; /* pool_call */
#endif
#ifndef M_REFUSED_NO_SEARCH
                if
                :: idle > 0 -> pool_search(); assert(!spawns)
                :: else
                fi;
#endif
#ifndef M_REFUSED_NOT_TOLD
                if
                :: threads == 0 -> quiet_awaited = false
                :: else
                fi
#endif
            fi;
            started = false
        }
    :: else
    fi
}

inline begin_task()
{
    task[me] = RUNNING;
    busy++
}

/* A lasting task is no part of a rush; a short one may be. */
inline finish_task()
{
    busy--;
    ended_since = true;
    if
    :: rushing = false
    :: rushes && !lasting -> rushing = true
    :: rushes && !lasting
    fi;
    lasting = false;
    if
    :: task[me] == ABANDONED -> stuck--
    :: else
    fi;
    task[me] = NO_TASK;
    ended = true
}

inline run_task()
{
    if
    :: skip
    :: atomic { lasting = true; blocked++ };
        atomic { released > 0 -> released--; blocked-- }
    fi
}

inline pool_bury(list)
{
    do
    :: atomic { (list & 1) && life[0] == EXITED -> list = list - 1; assert(owed[0] == 0); life[0] = UNBORN }
    :: atomic { (list & 2) && life[1] == EXITED -> list = list - 2; assert(owed[1] == 0); life[1] = UNBORN }
    :: atomic { (list & 4) && life[2] == EXITED -> list = list - 4; assert(owed[2] == 0); life[2] = UNBORN }
    :: atomic { (list & 8) && life[3] == EXITED -> list = list - 8; assert(owed[3] == 0); life[3] = UNBORN }
    :: list == 0 -> break
    od
}

proctype thread(byte me)
{
    byte chosen, before;
    bool t, arrives, ended, rejects, spawns, started, lasting, guards, late, trimmed, was_chosen;

end_unborn:
    atomic { life[me] == ALIVE };

    /* serve */
    atomic { take_lock() };
serve:
    atomic {
        if
        :: over_max -> goto leaves
        :: else
        fi;

        /* serve_step */
        if
        :: rushing && busy > 0 /* steps aside, where the youngest task has just begun */
        :: true ->
            /* pool_take */
            pool_pull();
            do
            :: queued > 0 && expiries > 0 -> expiries--; queued--; rejects = true
            :: queued > 0 -> queued--; t = true; break
            :: queued == 0 -> break
            od
        fi;
        arrives = searcher[me];
#ifndef M_CLEARS_LATE
        pool_searcher_set(me, false);
#endif
        if
        :: t -> begin_task()
        :: !t && !rejects && !ended -> arrives = false; goto gives_way
        :: else ->
            if
            :: searching == 0 -> pool_searcher_set(me, true)
            :: else
            fi
        fi;
        rejects = false
    };
    atomic { pool_search() };
    pool_spawn();
    if
    :: t && arrives ->
        atomic { pool_search_more() };
        pool_spawn();
        atomic { pool_search_more() };
        pool_spawn()
    :: else
    fi;
    atomic {
#ifdef M_CLEARS_LATE
        pool_searcher_set(me, false);
#endif
        arrives = false;
        give_up_lock()
    };
    wake_chosen();
    /* report_ends: the callback may end the thread */
    if
    :: atomic { ended && exits > 0 -> exits--; goto on_task_exit }
    :: ended = false
    fi;
    if
    :: t ->
        run_task();
        if
        :: atomic { exits > 0 -> exits--; goto on_task_exit }
        :: skip
        fi
    :: else
    fi;
    atomic {
        take_lock();
        if
        :: t -> finish_task()
        :: else
        fi;
        t = false;
        goto serve
    };

gives_way:
    atomic {
        if
        :: closed -> goto leaves
        :: cpus == 1 && searching == 0 -> pool_searcher_set(me, true); give_up_lock()
        :: !closed -> goto waits
        fi
    };
    wake_chosen();
    atomic {
        take_lock();
        pool_searcher_set(me, false);
        pull();
        if
        :: queued > 0 -> goto serve
        :: else
        fi
    };

waits:
    /* wait_for_work */
    atomic { pool_idle_push() };
looks:
    atomic {
        if
        :: is_idle[me] && !over_max && !closed ->
#ifndef M_IDLE_NO_SEARCH
            pool_search();
            assert(!spawns);
#endif
            guards = (guard == me)
        :: else
        fi;
        if
        :: !is_idle[me] || over_max || closed -> goto awake
        :: else
        fi;

        /* sleep_idle */
#ifdef M_GUARD_NO_SEARCH
sleeps_on:
        guards = (guard == me);
#endif
        give_up_lock()
    };
    wake_chosen();
end_asleep:
    if
    :: atomic { sem_wait() }
    :: wake[me] == 0 && (guards || timers) -> late = true
    fi;
    atomic {
        take_lock();
        if
        :: posted[me] && late ->
#ifndef M_POST_NOT_CONSUMED
            sem_wait();
#endif
            late = false
        :: else
        fi;
        posted[me] = false;

        /* idle_duty */
        if
        :: !late || !is_idle[me] -> late = false; goto looks
        :: else -> late = false
        fi;
        if
#ifdef M_GUARD_NO_SEARCH
        :: guard == me -> rushing = false; guard = NONE; goto sleeps_on
#endif
        :: guard == me -> pool_guard_look(); goto looks
        :: guard != me && threads - leaving - stuck > config_min -> goto awake /* retires */
        :: guard != me && !trimmed -> trimmed = true; give_up_lock()
        :: guard != me -> goto looks
        fi
    };
    wake_chosen();
    atomic { take_lock(); goto looks };

awake:
    atomic {
        was_chosen = !is_idle[me];
        guards = false;
        trimmed = false;
        if
        :: !was_chosen -> pool_idle_remove(me)
        :: else
        fi;
        if
#ifndef M_LEAVES_POSTED
        :: posted[me] -> give_up_lock()
#endif
        :: else -> goto has_waited
        fi
    };
    wake_chosen();
    atomic { sem_wait() };
    atomic { take_lock(); posted[me] = false };
has_waited:
    atomic {
        if
        :: was_chosen || (closed && queued > 0) -> was_chosen = false; goto serve
        :: else
        fi
    };

leaves:
    atomic {
#ifndef M_LEAVES_SEARCHING
        pool_searcher_set(me, false);
#endif
        leaving++;
        give_up_lock();
        goto end_thread
    };

on_task_exit:
    atomic {
        take_lock();
        if
        :: t -> finish_task()
        :: else
        fi;
        t = false;
        pool_searcher_set(me, false);
        leaving++;
        give_up_lock()
    };

end_thread:
    wake_chosen();
    atomic {
        ended = false;
        take_lock();
        /* leave_pool */
#ifdef M_LEAVES_EARLY
        threads--;
#endif
#ifndef M_LEAVES_NO_SEARCH
        pool_search()
#endif
    };
    pool_spawn();
    atomic {
        leaving--;
#ifndef M_LEAVES_EARLY
        threads--;
#endif
        if
        :: dead_count >= BURY_TOGETHER || (!closed && threads <= config_min) -> before = dead; dead = 0; dead_count = 0
        :: else
        fi;
        dead = dead | (1 << me);
        dead_count++;
        if
#ifdef M_LEAVES_NOT_TOLD
        :: pool_is_quiet -> quiet_awaited = false
#else
        :: threads == 0 -> quiet_awaited = false
#endif
        :: else
        fi;
        give_up_lock()
    };
    wake_chosen();
    pool_bury(before);
    atomic { life[me] = EXITED; goto end_unborn }
}

proctype submitter()
{
    byte chosen, left = tasks, taken;
    bool searches, spawns, started;
    do
    :: left > 0 ->
        /* submit_some */
        atomic {
            if
            :: closed -> left = 0
            :: !closed -> taken = 1
            :: !closed && batches && left > 1 -> taken = left
            fi;
            left = left - taken;
            inbox_count = inbox_count + taken;
            /* answers */
            if
            :: taken > 0 && (call || inbox_count > taken) ->
                call = false;
                searches = true;
#ifndef M_NOT_INSIDE
                inside++
#endif
            :: !(taken > 0 && call) /* less than NUDGE_US, at least */
            fi;
            taken = 0
        };
        if
        :: searches ->
            /* go_inside */
            atomic { take_lock(); pool_answer() };
            pool_spawn();
            atomic {
                if
                :: searching == 0 && spawn_failed -> call = true
                :: else
                fi;
#ifndef M_NOT_INSIDE
                inside--;
#endif
                if
                :: pool_is_quiet -> quiet_awaited = false
                :: else
                fi;
                searches = false;
                give_up_lock()
            };
            wake_chosen()
        :: else
        fi
    :: else -> break
    od
}

proctype pool_prestart()
{
    byte chosen;
    bool spawns, started;
    atomic { take_lock() };
    do
    :: atomic { !closed && !spawn_failed && staying < config_min -> begin_spawn() };
        pool_spawn()
    :: else -> break
    od;
    atomic { give_up_lock() };
    wake_chosen()
}

proctype pool_cancel()
{
    byte chosen;
end_idle:
    atomic {
        work > 0 ->
        take_lock();
        pull();
        if
        :: queued > 0 -> queued--
        :: else
        fi;
        give_up_lock()
    };
    wake_chosen()
}

proctype pool_abandon()
{
    byte chosen, who;
    bool spawns, started;
    do
    :: who < SLOTS - 1 -> who++
    :: break
    od;
end_idle:
    atomic {
        task[who] == RUNNING ->
        take_lock();
        if
        :: task[who] == RUNNING -> task[who] = ABANDONED; stuck++; pool_search()
        :: else
        fi
    };
    pool_spawn();
    atomic { give_up_lock() };
    wake_chosen()
}

proctype pool_reconfigure()
{
    byte chosen;
    bool spawns, started;
    atomic { take_lock(); max = 1; pool_wake_all_idle(); pool_search() };
    pool_spawn();
    atomic { give_up_lock() };
    wake_chosen();
    atomic { take_lock(); max = config_max; pool_wake_all_idle(); pool_search() };
    pool_spawn();
    atomic { give_up_lock() };
    wake_chosen()
}

inline search_at_once()
{
    atomic { pool_search() };
    pool_spawn();
    atomic { give_up_lock() };
    wake_chosen();
    atomic { take_lock() }
}

proctype pool_shutdown()
{
    byte chosen, last;
    bool spawns, started, retries;
    atomic {
        take_lock();
        shutting_down = true;
        closed = true;
        pull();
        if
        :: queued = 0 /* POOL_DROP */
        :: skip       /* POOL_DRAIN */
        fi;
#ifndef M_CLOSES_NO_WAKE
        pool_wake_all_idle();
#endif
        give_up_lock()
    };
    wake_chosen();
    atomic { take_lock() };
    search_at_once();
    /* wait_until_quiet */
    do
    :: pool_is_quiet -> break
    :: else ->
        if
        :: threads == 0 && queued > 0 -> retries = true; search_at_once()
        :: else
        fi;
        atomic { quiet_awaited = true; lock = false };
        if
        :: !quiet_awaited
        :: retries
        fi;
        atomic { take_lock(); quiet_awaited = false; retries = false }
    od;
    atomic {
        last = dead;
        dead = 0;
        dead_count = 0;
        assert(work == 0 && busy == 0 && idle == 0 && leaving == 0 && stuck == 0);
        assert(searching == 0 && guard == NONE && wakes == 0);
        give_up_lock()
    };
    pool_bury(last);
    freed = true
}

/*
 * What has to hold when nothing moves: when tasks block, idle threads sleep, and submitters are done. Then one of the
 * tasks that block goes on. Where a thread was refused and none is left, pool_expire tries again.
 */
proctype quiescence()
{
    byte chosen;
    bool spawns, started;
    do
    :: timers -> timers = false
    :: timeout ->
        atomic {
            assert(searching == 0 && !lock && inside == 0 && leaving == 0);
            assert(work == 0 || idle == 0);
            assert(work == 0 || staying >= max + replaced || (refused && (staying > 0 || call)));
            if
            :: blocked > 0 -> released++
            :: blocked == 0 && work > 0 -> assert(refused && !shutting_down); take_lock(); pool_search()
            :: blocked == 0 && work == 0 -> break
            fi
        };
        if
        :: lock || spawns ->
            pool_spawn();
            atomic { give_up_lock() };
            wake_chosen()
        :: else
        fi
    od;
    assert(!shutting_down || freed)
}

#ifndef RUN
#define RUN 0 /* one of those below, or 0: all of them */
#endif
#define run_is(number) (RUN == 0 || RUN == number)

init {
    atomic {
        if
        :: run_is(1) -> submitters = 2; tasks = 2; refusals = 1
        :: run_is(2) -> tasks = 3; batches = true; config_max = 3
        :: run_is(3) -> tasks = 4; rushes = true; cpus = 1
        :: run_is(4) -> tasks = 3; timers = true
        :: run_is(5) -> tasks = 2; rushes = true; timers = true; closes = true
        :: run_is(6) -> tasks = 2; rushes = true; resizes = true
        :: run_is(7) -> submitters = 2; config_min = 2
        :: run_is(8) -> submitters = 2; cpus = 1; refusals = 1; closes = true
        :: run_is(9) -> tasks = 2; refusals = 1; exits = 1; closes = true
        :: run_is(10) -> tasks = 3; refusals = 2; exits = 1
        :: run_is(11) -> tasks = 2; exits = 1; abandons = 1
        :: run_is(12) -> tasks = 3; expiries = 1; cancels = 1
        fi;
        max = config_max;
        k = 0;
        do
        :: k < SLOTS -> run thread(k); k++
        :: else -> break
        od;
        k = 0;
        do
        :: k < submitters -> run submitter(); k++
        :: else -> break
        od;
        k = 0;
        do
        :: k < cancels -> run pool_cancel(); k++
        :: else -> break
        od;
        k = 0;
        do
        :: k < abandons -> run pool_abandon(); k++
        :: else -> break
        od;
        if
        :: config_min > 0 -> run pool_prestart()
        :: else
        fi;
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
