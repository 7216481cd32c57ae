/*
 * master/child.c - the states of a worker: when it starts again after its death, when it is killed, what its words change.
 */
#include "master/child.h"

#include "worker/worker.h"

#include <assert.h>
#include <signal.h>
#include <sys/wait.h>

enum {
    PAUSE_FIRST_MS = 100,
    PAUSE_MAX_MS = 10000,
    /* Longest pause of a worker that had come up: something kills it, but it can serve. */
    PAUSE_MAX_READY_MS = 400,
    /* A worker that was ready for so long has started well. */
    LIVED_LONG_MS = 1000,
    KILL_GRACE_MS = 500, /* on top of worker_shutdown_timeout */
    STOP_PATIENCE_MS = 1000,
    PROOF_LOOK_MS = 1000, /* until LIVED_LONG_MS are looked for again */
};

void child_begin(struct child *c, pid_t pid, int channel, int reports, uint64_t generation, uint64_t now_ms)
{
    assert(!child_is_alive(c) && c->channel < 0 && c->reports < 0);
    assert(pid > 0 && channel >= 0 && reports >= 0);
    c->state = CHILD_STARTING;
    c->pid = pid;
    c->channel = channel;
    c->reports = reports;
    c->generation = generation;
    c->started_ms = now_ms;
    c->kill_at_ms = 0;
    c->killed = false;
    child_heard(c, now_ms);
    c->owes_reload = false;
    c->lacks_certificates = false;
    c->unread_until_ms = 0;
    c->ended = c->killed_for_lock = false;
}

static void wait_with_pause(struct child *c, uint64_t now_ms, bool at_once, uint64_t pause_max_ms)
{
    c->pause_ms = at_once ? 0 : c->pause_ms == 0 ? PAUSE_FIRST_MS : c->pause_ms * 2;
    if (c->pause_ms > pause_max_ms)
        c->pause_ms = pause_max_ms;
    c->state = CHILD_WAITING;
    c->start_at_ms = now_ms + c->pause_ms;
}

void child_wait_to_start(struct child *c, uint64_t now_ms)
{
    assert(!child_is_alive(c));
    wait_with_pause(c, now_ms, false, PAUSE_MAX_MS);
}

void child_wait_for_successor(struct child *c, bool served_well, uint64_t now_ms)
{
    assert(c->state == CHILD_STARTING || c->state == CHILD_READY);
    assert(c->ended && c->channel < 0 && c->reports < 0);
    wait_with_pause(c, now_ms, served_well, c->state == CHILD_READY ? PAUSE_MAX_READY_MS : PAUSE_MAX_MS);
}

void child_heard(struct child *c, uint64_t now_ms)
{
    c->heard_ms = now_ms;
    c->silent_looks = 0;
    c->abort_ms = 0;
}

enum child_news child_take_message(struct child *c, const struct worker_message *message, uint64_t generation,
                                   uint64_t now_ms)
{
    assert(child_is_alive(c));
    switch (message->kind) {
    case WORKER_LOCK_STUCK:
        return CHILD_NEWS_LOCK_STUCK;
    case WORKER_READY:
        if (c->state != CHILD_STARTING)
            return CHILD_NEWS_NONE;
        c->state = CHILD_READY;
        child_heard(c, now_ms);
        return CHILD_NEWS_NONE;
    case WORKER_TURNS:
        child_heard(c, now_ms);
        return CHILD_NEWS_NONE;
    case WORKER_RELOADED:
    case WORKER_RELOAD_FAILED:
        if (message->generation != generation)
            return CHILD_NEWS_NONE;
        c->owes_reload = false;
        return message->kind == WORKER_RELOAD_FAILED ? CHILD_NEWS_RELOAD_FAILED : CHILD_NEWS_NONE;
    default:
        return CHILD_NEWS_NONE; /* nothing that a worker has to say */
    }
}

void child_retire(struct child *c, uint64_t kill_at_ms)
{
    assert(child_is_alive(c));
    if (kill_at_ms && (c->kill_at_ms == 0 || kill_at_ms < c->kill_at_ms))
        c->kill_at_ms = kill_at_ms;
    c->state = CHILD_RETIRING;
}

uint64_t child_kill_at_ms(int signal, int64_t shutdown_timeout_ms, uint64_t now_ms)
{
    assert(shutdown_timeout_ms >= 0);
    if (signal == SIGTERM)
        return now_ms + STOP_PATIENCE_MS;
    return shutdown_timeout_ms ? now_ms + (uint64_t)shutdown_timeout_ms + KILL_GRACE_MS : 0;
}

struct child_end child_end_of(const struct child *c, int status, bool stopping, uint64_t now_ms)
{
    assert(child_is_alive(c) && now_ms >= c->started_ms);
    bool retiring = c->state == CHILD_RETIRING, by_signal = WIFSIGNALED(status);
    return (struct child_end){
        .by_signal = by_signal,
        .unplanned = by_signal || (!retiring && !stopping),
        .overdue = c->killed && by_signal && WTERMSIG(status) == SIGKILL,
        .well = c->state == CHILD_READY && now_ms - c->started_ms >= LIVED_LONG_MS,
    };
}

enum child_duty child_due(struct child *c, uint64_t now_ms)
{
    if (c->state == CHILD_WAITING && now_ms >= c->start_at_ms)
        return CHILD_DUTY_START;
    if (c->state == CHILD_READY && c->pause_ms && now_ms - c->started_ms >= LIVED_LONG_MS)
        c->pause_ms = 0;
    if (c->state != CHILD_RETIRING || c->killed || !c->kill_at_ms || now_ms < c->kill_at_ms)
        return CHILD_DUTY_NONE;
    c->killed = true;
    return CHILD_DUTY_KILL;
}

uint64_t child_next_ms(const struct child *c, uint64_t now_ms)
{
    bool is_to_be_killed = c->state == CHILD_RETIRING && c->kill_at_ms && !c->killed;
    uint64_t next_ms = c->state == CHILD_WAITING                ? c->start_at_ms
                       : is_to_be_killed                        ? c->kill_at_ms
                       : c->state == CHILD_READY && c->pause_ms ? now_ms + PROOF_LOOK_MS
                                                                : UINT64_MAX;
    return c->unread_until_ms && c->unread_until_ms < next_ms ? c->unread_until_ms : next_ms;
}
