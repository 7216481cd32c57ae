/*
 * master/stalled.c - workers whose loops stand still, and what a worker ran when it died.
 *
 * Each worker is asked through its channel, which no other one can answer: what stands in shared memory any worker may have
 * written, and it is printed, no more. An answer counts as missing only at several looks: so a machine that was frozen as a
 * whole, master included, gives its workers the time to go on.
 */
#include "master/internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/slice.h"
#include "worker/worker.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

enum { LOOKS = 4, LOOK_MIN_MS = 500, LOGGED_MAX = 16 };

/* "in state D, at nfs_wait_bit_killable": what the system says of a process. */
static void describe_process(pid_t pid, char *out, size_t room)
{
    char path[64];
    struct buf text = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    const char *state = fd_read_file(path, 4096, &text) == 0 ? memrchr(text.data, ')', buf_len(&text)) : NULL;
    int n = snprintf(out, room, "in state %c", state ? state[2] : '?');
    buf_free(&text);
    snprintf(path, sizeof path, "/proc/%d/wchan", (int)pid);
    if (fd_read_file(path, 256, &text) == 0 && buf_len(&text) > 1)
        snprintf(out + n, room - (size_t)n, ", at %.*s", SLICE_ARGS(buf_slice(&text)));
    buf_free(&text);
}

/* It has died, and the system is still writing what is left of it. */
static bool is_dumping(pid_t pid)
{
    char path[64];
    struct buf text = {0};
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    bool dumps = fd_read_file(path, 16384, &text) == 0 &&
                 memmem(text.data, buf_len(&text), "CoreDumping:\t1", sizeof "CoreDumping:\t1" - 1);
    buf_free(&text);
    return dumps;
}

static void log_record(const struct running *r, pid_t pid, uint64_t now_ms)
{
    char client[INET6_ADDRSTRLEN] = "unix:";
    /* The record is the worker's: its texts may lack their ends. */
    struct running copy = *r;
    copy.handler[sizeof copy.handler - 1] = copy.method[sizeof copy.method - 1] = '\0';
    copy.id[sizeof copy.id - 1] = copy.uri[sizeof copy.uri - 1] = '\0';
    if (copy.remote_len)
        inet_ntop(copy.remote_len == 16 ? AF_INET6 : AF_INET, copy.remote, client, sizeof client);
    double age_s = now_ms > copy.since_ms ? (double)(now_ms - copy.since_ms) / 1000 : 0;
    log_error("*%llu worker process %d %s %s%s%s for %.3f s, client: %s, request: \"%s %s\", id: \"%s\"",
              (unsigned long long)copy.connection, (int)pid, copy.died ? "ended in" : "was running",
              copy.handler[0] ? "handler \"" : "its loop", copy.handler, copy.handler[0] ? "\"" : "", age_s,
              client, copy.method, copy.uri, copy.id);
}

/* Those that have caused the end come first. */
static void log_records(const struct running_table *t, pid_t pid)
{
    uint64_t now_ms = clock_mono_ms(), taken = t->taken;
    int count = __builtin_popcountll(taken), logged = 0;
    for (int pass = 1; pass >= 0; pass--)
        for (int i = 0; i < RUNNING_RECORDS && logged < LOGGED_MAX; i++)
            if (taken >> i & 1 && (t->records[i].died != 0) == pass && ++logged)
                log_record(&t->records[i], pid, now_ms);
    if (count > logged)
        log_error("worker process %d was running %d more", (int)pid, count - logged);
}

void stalled_log_running(struct master *m, int slot, bool say)
{
    struct running_table *t = &m->shm->slots[slot].running;
    if (say)
        log_records(t, m->children[slot].pid);
    t->taken = 0;
}

static bool has_loop(const struct child *c)
{
    return c->state == CHILD_READY || c->state == CHILD_RETIRING;
}

static uint64_t silent_ms(const struct child *c, uint64_t now_ms)
{
    return now_ms > c->heard_ms ? now_ms - c->heard_ms : 0;
}

/* The first time it is asked to say what it does, and then it is killed. */
static void end_stalled(struct child *c, uint64_t now_ms, uint64_t patience_ms)
{
    char state[128];
    if (c->abort_ms) {
        if (now_ms - c->abort_ms >= patience_ms)
            kill(c->pid, SIGKILL);
        return;
    }
    c->abort_ms = now_ms;
    describe_process(c->pid, state, sizeof state);
    log_alert("worker process %d has not turned for %llu s, %s; ending it", (int)c->pid,
              (unsigned long long)silent_ms(c, now_ms) / 1000, state);
    kill(c->pid, SIGABRT);
}

/* Not for ever: what it does not read takes the room of messages that matter when it goes on. */
static void ask_for_sign_of_life(const struct child *c)
{
    struct worker_message message = {.kind = WORKER_ASKED};
    if (c->channel >= 0 && c->silent_looks <= LOOKS)
        send(c->channel, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static uint64_t between_looks_ms(const struct master *m)
{
    uint64_t every_ms = (uint64_t)m->conf->stall_timeout_ms / LOOKS;
    if (m->conf->stall_timeout_ms && every_ms < LOOK_MIN_MS)
        every_ms = LOOK_MIN_MS;
    bool sooner = m->watchdog_every_ms && (every_ms == 0 || m->watchdog_every_ms < every_ms);
    return sooner ? m->watchdog_every_ms : every_ms;
}

uint64_t stalled_look(struct master *m, uint64_t now_ms)
{
    uint64_t timeout_ms = (uint64_t)m->conf->stall_timeout_ms, every_ms = between_looks_ms(m);
    if (every_ms == 0)
        return 0;
    if (now_ms < m->next_look_ms)
        return m->next_look_ms;
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (!has_loop(c))
            continue;
        if (timeout_ms && c->silent_looks >= LOOKS && silent_ms(c, now_ms) >= timeout_ms &&
            !is_dumping(c->pid))
            end_stalled(c, now_ms, every_ms);
        ask_for_sign_of_life(c);
        c->silent_looks++;
    }
    return now_ms + every_ms;
}

bool stalled_not_all(const struct master *m, uint64_t now_ms)
{
    bool any = false;
    for (int i = 0; i < SHM_SLOTS; i++) {
        const struct child *c = &m->children[i];
        if (c->state != CHILD_READY)
            continue;
        if (silent_ms(c, now_ms) <= 2 * m->watchdog_every_ms)
            return true;
        any = true;
    }
    return !any;
}
