/*
 * master/stalled.c - workers whose loops stand still, and what a worker ran when it died.
 *
 * A heartbeat is looked at several times before it counts as missing: so a machine that was frozen as a whole, master
 * included, gives its workers the time to go on. What stands in shared memory is a worker's word: it is printed, no more.
 */
#include "master/internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>

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
    struct running copy = *r; /* the worker's: its texts may lack their ends */
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

/* The first time it is asked to say what it does, and then it is killed. */
static void end_stalled(struct child *c, uint64_t silent_ms)
{
    char state[128];
    if (c->silent_looks > LOOKS) {
        kill(c->pid, SIGKILL);
        return;
    }
    describe_process(c->pid, state, sizeof state);
    log_alert("worker process %d has not turned for %llu s, %s; ending it", (int)c->pid,
              (unsigned long long)silent_ms / 1000, state);
    kill(c->pid, SIGABRT);
}

uint64_t stalled_look(struct master *m, uint64_t now_ms)
{
    uint64_t timeout_ms = (uint64_t)m->conf->stall_timeout_ms, every_ms = timeout_ms / LOOKS;
    if (timeout_ms == 0)
        return 0;
    if (now_ms < m->next_look_ms)
        return m->next_look_ms;
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (!has_loop(c))
            continue;
        uint64_t beat_ms = counter_get(&m->shm->slots[i].heartbeat_ms);
        uint64_t silent_ms = now_ms > beat_ms ? now_ms - beat_ms : 0;
        c->silent_looks = beat_ms == c->beat_ms ? c->silent_looks + 1 : 0;
        c->beat_ms = beat_ms;
        if (c->silent_looks >= LOOKS && silent_ms >= timeout_ms && !is_dumping(c->pid))
            end_stalled(c, silent_ms);
    }
    return now_ms + (every_ms > LOOK_MIN_MS ? every_ms : LOOK_MIN_MS);
}

bool stalled_not_all(const struct master *m, uint64_t now_ms)
{
    bool any = false;
    for (int i = 0; i < SHM_SLOTS; i++) {
        if (m->children[i].state != CHILD_READY)
            continue;
        if (now_ms <= counter_get(&m->shm->slots[i].heartbeat_ms) + 2 * m->watchdog_every_ms)
            return true;
        any = true;
    }
    return !any;
}
