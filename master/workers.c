/*
 * master/workers.c - forking workers, hearing from them, replacing those that die, ending those that do not.
 */
#include "master/child.h"
#include "master/internal.h"

#include "base/clock.h"
#include "base/hist.h"
#include "base/log.h"
#include "base/logfile.h"
#include "http/site/site.h"
#include "shm/session_cache.h"
#include "shm/shm.h"
#include "shm/ticket_keys.h"
#include "worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
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
static _Noreturn void run_child(struct master *m, struct site *site, int slot, int channel, int reports,
                                int hears)
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
    static struct worker_doors doors;
    if (m->shm->permits_fd >= 0)
        close(m->shm->permits_fd);
    m->shm->permits_fd = -1;
    ticket_keys_read_only();
    session_caches_close_files();
    doors_keep_own(m, slot, hears, &doors);
    doors.family = site == m->reload.site ? m->reload.family : m->family;
    signal(SIGCHLD, SIG_DFL);
    log_also_stderr(false);
    struct worker_options o = {.site = site,
                               .shm = m->shm,
                               .slot = slot,
                               .index = m->children[slot].index,
                               .channel = channel,
                               .reports = reports,
                               .doors = &doors,
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

static void leave_door(struct master *m, int slot, int hears)
{
    if (hears >= 0)
        close(hears);
    doors_close(m, slot);
}

static bool start_in(struct master *m, int slot, struct site *site, uint64_t generation)
{
    struct child *c = &m->children[slot];
    struct shm_slot *s = &m->shm->slots[slot];
    int ends[2], reports[2];
    assert(!child_is_alive(c) && generation > 0);
    int hears = doors_make(m, slot);
    if (!open_channel(ends, reports)) {
        leave_door(m, slot, hears);
        return false;
    }
    counter_set(&s->incarnation, m->doors[slot].incarnation);
    shm_note_slot(m->shm, slot);
    s->state = SHM_STARTING;
    counter_set(&s->generation, generation);
    counter_set(&s->heartbeat_ms, clock_mono_ms());
    counter_set(&s->stopping_since_ms, 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        close(reports[0]);
        run_child(m, site, slot, ends[1], reports[1], hears);
    }
    close(ends[1]);
    close(reports[1]);
    if (hears >= 0)
        close(hears); /* before anybody can say something */
    if (pid < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "fork() failed");
        leave_door(m, slot, -1);
        close(ends[0]);
        close(reports[0]);
        s->state = SHM_SLOT_FREE;
        return false;
    }
    s->pid = pid;
    child_begin(c, pid, ends[0], reports[0], generation, clock_mono_ms());
    doors_announce(m, slot);
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

void workers_start_all(struct master *m)
{
    uint64_t now_ms = clock_mono_ms();
    for (int i = 0; i < m->target; i++) {
        int slot = find_free_slot(m);
        if (slot < 0 || workers_start(m, m->site, m->generation, 1, i))
            continue;
        m->children[slot].generation = m->generation;
        child_wait_to_start(&m->children[slot], now_ms);
    }
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

static void on_message(struct master *m, struct child *c, const struct worker_message *message)
{
    enum child_news news = child_take_message(c, message, m->generation, clock_mono_ms());
    if (news == CHILD_NEWS_LOCK_STUCK)
        shared_end_holder(m, (uint32_t)message->pid);
    m->live_reload_failed |= news == CHILD_NEWS_RELOAD_FAILED;
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

/* Nobody is in the slot any more, and nobody is to come. */
static void leave_slot(struct master *m, int slot)
{
    assert(m->children[slot].channel < 0 && m->children[slot].reports < 0);
    m->shm->slots[slot].state = SHM_SLOT_FREE;
    m->children[slot] = CHILD_OF_NOBODY;
}

static void on_child_end(struct master *m, int slot, int status)
{
    struct child *c = &m->children[slot];
    struct shm_slot *s = &m->shm->slots[slot];
    uint64_t now_ms = clock_mono_ms();
    struct child_end end = child_end_of(c, status, m->stopping, now_ms);
    if (end.overdue)
        log_warn("worker process %d did not finish in time and was killed", (int)c->pid);
    else
        log_end(c, status);
    c->ended = true;
    read_channel(m, c); /* its last words */
    close_channel(c);
    stalled_log_running(m, slot, end.unplanned);
    shared_reclaim(m, slot);
    doors_tell_of_death(m, slot);
    if (c->state == CHILD_STARTING)
        shared_make_room(m);
    if (c->state == CHILD_RETIRING || m->stopping || m->without_workers || c->generation != m->generation) {
        leave_slot(m, slot);
        return;
    }
    counter_add(end.by_signal ? &m->shm->head->restarts_by_signal : &m->shm->head->restarts_by_exit, 1);
    counter_add(&s->restarts, 1);
    s->state = SHM_STARTING;
    child_wait_for_successor(c, end.well, now_ms);
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
            if (m->children[i].pid == pid && child_is_alive(&m->children[i]))
                on_child_end(m, i, status);
    }
}

/* It has been told to finish by this signal. */
static void retire(struct master *m, int slot, int signal)
{
    uint64_t now_ms = clock_mono_ms();
    struct child *c = &m->children[slot];
    struct shm_slot *s = &m->shm->slots[slot];
    if (c->state != CHILD_RETIRING)
        counter_set(&s->stopping_since_ms, now_ms);
    child_retire(c, child_kill_at_ms(signal, m->conf->shutdown_timeout_ms, now_ms));
    s->state = SHM_STOPPING;
}

void workers_signal(struct master *m, int signal, uint64_t generation)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (c->state == CHILD_NONE || (generation && c->generation != generation))
            continue;
        /* Nobody is in the slot; only a successor would have been. */
        if (c->state == CHILD_WAITING) {
            if (signal != SIGUSR1)
                leave_slot(m, i);
            continue;
        }
        kill(c->pid, signal);
        if (signal != SIGUSR1)
            retire(m, i, signal);
    }
}

void workers_do_timers(struct master *m, uint64_t now_ms)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        enum child_duty duty = child_due(c, now_ms);
        if (duty == CHILD_DUTY_START && !start_in(m, i, m->site, m->generation))
            child_wait_to_start(c, now_ms);
        if (duty == CHILD_DUTY_KILL)
            kill(c->pid, SIGKILL);
    }
}

void workers_change_count(struct master *m, int by)
{
    assert(by != 0 && m->target >= 1 && !m->stopping);
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
            leave_slot(m, i);
        } else {
            retire(m, i, SIGQUIT);
            kill(c->pid, SIGQUIT);
        }
        return;
    }
}

int workers_alive(const struct master *m)
{
    int alive = 0;
    for (int i = 0; i < SHM_SLOTS; i++)
        alive += child_is_alive(&m->children[i]);
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
