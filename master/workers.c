/*
 * master/workers.c - forking workers, hearing from them, replacing those that die, ending those that do not.
 */
#include "master/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PAUSE_FIRST_MS = 100,
    PAUSE_MAX_MS = 10000,
    /* Longest pause of a worker that had come up: something kills it, but it can serve. */
    PAUSE_MAX_READY_MS = 400,
    /* A worker that was ready for so long has started well. */
    LIVED_LONG_MS = 1000,
    KILL_GRACE_MS = 500, /* on top of worker_shutdown_timeout */
    STOP_PATIENCE_MS = 1000,
    /* Messages read of a worker; a sound one says a few words in its life. */
    MESSAGES_PER_TURN = 16,
    /* How long a worker that says more is not listened to. */
    UNREAD_MS = 100,
};

static void close_channel(struct child *c)
{
    if (c->channel >= 0)
        close(c->channel);
    if (c->reports >= 0)
        close(c->reports);
    c->channel = c->reports = -1;
}

/* In the child: forgets what is the master's alone, and becomes a worker. */
static _Noreturn void run_child(struct master *m, struct site *site, int slot, int channel, int reports)
{
    for (int i = 0; i < SHM_SLOTS; i++)
        close_channel(&m->children[i]);
    struct site *other = m->site != site ? m->site : m->reload.site;
    site_use_error_logs(site);
    if (other) {
        sockets_close_others(other, site);
        logfiles_close(&other->error_files);
        logfiles_close(&other->access_files);
    }
    signal(SIGCHLD, SIG_DFL);
    log_also_stderr(false);
    struct worker_options o = {.site = site,
                               .shm = m->shm,
                               .slot = slot,
                               .index = m->children[slot].index,
                               .channel = channel,
                               .reports = reports,
                               .uid = site == m->reload.site ? m->reload.uid : m->uid,
                               .gid = site == m->reload.site ? m->reload.gid : m->gid,
                               .user = site->conf->user.data,
                               .conf_options = &m->options->conf};
    exit(worker_run(&o));
}

/*
 * A pair for what the worker is told, with descriptors, and a pipe for what it says. It can send nothing on the pair: a socket that
 * it left to the master to close might linger, and the master with it.
 */
static bool open_channel(int pair[2], int reports[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "socketpair() failed");
        return false;
    }
    if (shutdown(pair[0], SHUT_RD) == 0 && pipe2(reports, O_CLOEXEC | O_NONBLOCK) == 0)
        return true;
    log_errno(LOG_LEVEL_ALERT, errno, "pipe2() failed");
    close(pair[0]);
    close(pair[1]);
    return false;
}

static bool start_in(struct master *m, int slot, struct site *site, uint64_t generation)
{
    struct child *c = &m->children[slot];
    struct shm_slot *s = &m->shm->slots[slot];
    int ends[2], reports[2];
    if (!open_channel(ends, reports))
        return false;
    shm_note_slot(m->shm, slot);
    s->state = SHM_STARTING;
    counter_set(&s->generation, generation);
    counter_set(&s->heartbeat_ms, clock_mono_ms());
    counter_set(&s->stopping_since_ms, 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        close(reports[0]);
        run_child(m, site, slot, ends[1], reports[1]);
    }
    close(ends[1]);
    close(reports[1]);
    if (pid < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "fork() failed");
        close(ends[0]);
        close(reports[0]);
        s->state = SHM_SLOT_FREE;
        return false;
    }
    s->pid = pid;
    c->state = CHILD_STARTING;
    c->pid = pid;
    c->channel = ends[0];
    c->reports = reports[0];
    c->generation = generation;
    c->started_ms = clock_mono_ms();
    c->kill_at_ms = 0;
    stalled_heard(c, c->started_ms);
    c->owes_reload = false;
    c->unread_until_ms = 0;
    c->ended = c->killed_for_lock = false;
    log_notice("start worker process %d", (int)pid);
    return true;
}

/* Used ones first, so that few pages are touched. By our own records: what the slots say is the workers' to write. */
static int find_free_slot(const struct master *m)
{
    for (int i = 0; i < SHM_SLOTS; i++)
        if (m->children[i].state == CHILD_NONE)
            return i;
    return -1;
}

bool workers_start(struct master *m, struct site *site, uint64_t generation, int count, int first)
{
    for (int i = 0; i < count; i++) {
        int slot = find_free_slot(m);
        if (slot < 0) {
            log_alert("no free worker slot: %d workers are still finishing; wait for them, or shorten "
                      "worker_shutdown_timeout",
                      SHM_SLOTS);
            return false;
        }
        m->children[slot] = CHILD_OF_NOBODY;
        m->children[slot].index = first + i;
        if (!start_in(m, slot, site, generation))
            return false;
    }
    return true;
}

static void wait_with_pause(struct child *c, uint64_t now_ms, bool started_well, uint64_t pause_max_ms)
{
    c->pause_ms = started_well ? 0 : c->pause_ms == 0 ? PAUSE_FIRST_MS : c->pause_ms * 2;
    if (c->pause_ms > pause_max_ms)
        c->pause_ms = pause_max_ms;
    c->state = CHILD_WAITING;
    c->start_at_ms = now_ms + c->pause_ms;
}

static void log_end(const struct child *c, int status)
{
    if (WIFSIGNALED(status))
        log_alert("worker process %d exited on signal %d%s", (int)c->pid, WTERMSIG(status),
                  WCOREDUMP(status) ? " (core dumped)" : "");
    else if (c->state == CHILD_RETIRING && WEXITSTATUS(status) == 0)
        log_notice("worker process %d exited with code 0", (int)c->pid);
    else
        log_alert("worker process %d exited with code %d", (int)c->pid, WEXITSTATUS(status));
}

static void on_message(struct master *master, struct child *c, const struct worker_message *m)
{
    if (m->kind == WORKER_LOCK_STUCK)
        shared_end_holder(master, (uint32_t)m->pid);
    if (m->kind == WORKER_READY && c->state == CHILD_STARTING) {
        c->state = CHILD_READY;
        stalled_heard(c, clock_mono_ms());
    }
    if (m->kind == WORKER_TURNS)
        stalled_heard(c, clock_mono_ms());
    if ((m->kind == WORKER_RELOADED || m->kind == WORKER_RELOAD_FAILED) &&
        m->generation == master->generation) {
        c->owes_reload = false;
        master->live_reload_failed |= m->kind == WORKER_RELOAD_FAILED;
    }
}

/*
 * A few messages at a time: whoever sends faster than they are read must not keep the master from its other duties. What is not
 * a message counts as one.
 */
static void read_channel(struct master *m, struct child *c)
{
    struct worker_message message;
    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        ssize_t n = c->reports < 0 ? -1 : read(c->reports, &message, sizeof message);
        if (n == 0)
            close_channel(c); /* it has ended; SIGCHLD says how */
        if (n <= 0)
            return;
        if (n == (ssize_t)sizeof message)
            on_message(m, c, &message);
    }
    c->unread_until_ms = clock_mono_ms() + UNREAD_MS;
}

void workers_read_channels(struct master *m)
{
    uint64_t now_ms = clock_mono_ms();
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (c->reports < 0 || now_ms < c->unread_until_ms)
            continue;
        c->unread_until_ms = 0;
        read_channel(m, c);
    }
}

static void on_child_end(struct master *m, int slot, int status)
{
    struct child *c = &m->children[slot];
    struct shm_slot *s = &m->shm->slots[slot];
    uint64_t now_ms = clock_mono_ms();
    bool started_well = c->state == CHILD_READY && now_ms - c->started_ms >= LIVED_LONG_MS;
    if (c->state == CHILD_RETIRING && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && c->kill_at_ms &&
        now_ms >= c->kill_at_ms)
        log_warn("worker process %d did not finish in time and was killed", (int)c->pid);
    else
        log_end(c, status);
    c->ended = true;
    read_channel(m, c);
    close_channel(c);
    /* What it was told to end, by its master, had its time. */
    bool unplanned = WIFSIGNALED(status) || (c->state != CHILD_RETIRING && !m->stopping);
    stalled_log_running(m, slot, unplanned);
    shared_reclaim(m, slot);
    if (c->state == CHILD_STARTING)
        shared_make_room(m);
    bool replace =
        c->state != CHILD_RETIRING && !m->stopping && !m->without_workers && c->generation == m->generation;
    if (!replace) {
        s->state = SHM_SLOT_FREE;
        *c = CHILD_OF_NOBODY;
        return;
    }
    counter_add(WIFSIGNALED(status) ? &m->shm->head->restarts_by_signal : &m->shm->head->restarts_by_exit, 1);
    counter_add(&s->restarts, 1);
    s->state = SHM_STARTING;
    wait_with_pause(c, now_ms, started_well, c->state == CHILD_READY ? PAUSE_MAX_READY_MS : PAUSE_MAX_MS);
    if (c->pause_ms)
        log_warn("worker process %d died soon after its start; starting again in %llu ms", (int)c->pid,
                 (unsigned long long)c->pause_ms);
}

void workers_reap(struct master *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == m->upgraded_pid) {
            upgrade_ended(m, status);
            continue;
        }
        for (int i = 0; i < SHM_SLOTS; i++)
            if (m->children[i].pid == pid && m->children[i].state != CHILD_NONE &&
                m->children[i].state != CHILD_WAITING)
                on_child_end(m, i, status);
    }
}

/* When a worker that is told to end now is killed; 0: never. */
static uint64_t kill_at_ms(const struct master *m, int signal, uint64_t now_ms)
{
    if (signal == SIGTERM)
        return now_ms + STOP_PATIENCE_MS;
    int64_t timeout_ms = m->conf->shutdown_timeout_ms;
    return timeout_ms ? now_ms + (uint64_t)timeout_ms + KILL_GRACE_MS : 0;
}

static void set_retiring(struct master *m, int slot, uint64_t now_ms)
{
    struct shm_slot *s = &m->shm->slots[slot];
    if (m->children[slot].state != CHILD_RETIRING)
        counter_set(&s->stopping_since_ms, now_ms);
    m->children[slot].state = CHILD_RETIRING;
    s->state = SHM_STOPPING;
}

void workers_signal(struct master *m, int signal, uint64_t generation)
{
    uint64_t now_ms = clock_mono_ms();
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (c->state == CHILD_NONE || (generation && c->generation != generation))
            continue;
        /* Nobody is in the slot; only a successor would have been. */
        if (c->state == CHILD_WAITING) {
            if (signal == SIGUSR1)
                continue;
            m->shm->slots[i].state = SHM_SLOT_FREE;
            *c = CHILD_OF_NOBODY;
            continue;
        }
        kill(c->pid, signal);
        if (signal == SIGUSR1)
            continue;
        uint64_t kill_at = kill_at_ms(m, signal, now_ms);
        if (kill_at && (c->kill_at_ms == 0 || kill_at < c->kill_at_ms))
            c->kill_at_ms = kill_at;
        set_retiring(m, i, now_ms);
    }
}

void workers_do_timers(struct master *m, uint64_t now_ms)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (c->state == CHILD_WAITING && now_ms >= c->start_at_ms && !start_in(m, i, m->site, m->generation))
            wait_with_pause(c, now_ms, false, PAUSE_MAX_MS);
        if (c->state == CHILD_READY && c->pause_ms && now_ms - c->started_ms >= LIVED_LONG_MS)
            c->pause_ms = 0;
        if (c->state == CHILD_RETIRING && c->kill_at_ms && now_ms >= c->kill_at_ms) {
            kill(c->pid, SIGKILL);
            /* The time stays in the past: the worker's end is logged as our doing. */
            c->kill_at_ms = now_ms;
        }
    }
}

void workers_change_count(struct master *m, int by)
{
    if (by > 0) {
        if (workers_start(m, m->site, m->generation, 1, m->target))
            m->target++;
        return;
    }
    for (const struct site_listen *l = m->site->listens; l; l = l->next) {
        /* The kernel would go on giving connections to the socket that nobody accepts from. */
        if (l->options.reuseport) {
            log_warn(
                "TTOU ignored: a \"reuseport\" socket belongs to each worker; change worker_processes and reload");
            return;
        }
    }
    for (int i = SHM_SLOTS - 1; i >= 0 && m->target > 1; i--) {
        struct child *c = &m->children[i];
        if (c->generation != m->generation || c->state == CHILD_RETIRING || c->state == CHILD_NONE ||
            c->index != m->target - 1)
            continue;
        m->target--;
        if (c->state == CHILD_WAITING) {
            m->shm->slots[i].state = SHM_SLOT_FREE;
            *c = CHILD_OF_NOBODY;
        } else {
            uint64_t now_ms = clock_mono_ms();
            c->kill_at_ms = kill_at_ms(m, SIGQUIT, now_ms);
            set_retiring(m, i, now_ms);
            kill(c->pid, SIGQUIT);
        }
        return;
    }
}

int workers_alive(const struct master *m)
{
    int alive = 0;
    for (int i = 0; i < SHM_SLOTS; i++)
        alive += m->children[i].state != CHILD_NONE && m->children[i].state != CHILD_WAITING;
    return alive;
}

bool workers_all_ready(const struct master *m, uint64_t generation)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        const struct child *c = &m->children[i];
        if (c->state != CHILD_NONE && c->generation == generation && c->state != CHILD_READY)
            return false;
    }
    return true;
}
