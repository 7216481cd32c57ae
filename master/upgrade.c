/*
 * master/upgrade.c - USR2: a new binary on the same sockets.
 *
 * The new master gets the listening sockets' numbers in WEIR_FDS, with the pid of this one, and the permits of concurrency
 * (master/permits.c), and starts its own workers; the pid file of this one becomes .oldbin. The operator then ends this master with QUIT,
 * or the new one, which brings the name back.
 *
 * A service manager watches one main process and believes it alone (systemd, NotifyAccess=main). So whoever is main names the
 * other: this one, when the new one serves (which it says through the pipe in WEIR_READY_FD), and the new one, when it ends first.
 */
#include "master/internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/site/site.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static bool old_pid_path(const struct master *m, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s.oldbin", m->pid_path) < PATH_MAX;
}

static void set_environment_number(const char *name, long number)
{
    char text[24];
    snprintf(text, sizeof text, "%ld", number);
    setenv(name, text, 1);
}

bool upgrade_pass_on(const struct site *site, const struct shm *shm, int ready_fd, pid_t self)
{
    struct buf fds = {0};
    bool ok = true;
    for (const struct site_listen *l = site->listens; l; l = l->next) {
        for (int i = 0; i < l->fd_count; i++) {
            fd_set_cloexec(l->fds[i], false);
            ok = ok && buf_printf(&fds, "%d;", l->fds[i]);
        }
    }
    ok = ok && buf_printf(&fds, "pid=%d", (int)self) && buf_append(&fds, "", 1) &&
         setenv("WEIR_FDS", fds.data, 1) == 0;
    buf_free(&fds);
    if (permits_can_pass_on(shm))
        ok = ok && permits_pass_on(shm);
    ok = ok && sessions_pass_on();
    fd_set_cloexec(ready_fd, false);
    set_environment_number("WEIR_READY_FD", ready_fd);
    if (getenv("WATCHDOG_PID")) /* it is for the new one from now on */
        set_environment_number("WATCHDOG_PID", (long)getpid());
    return ok;
}

static _Noreturn void run_new_binary(struct master *m, int ready_fd, pid_t self)
{
    sigset_t none;
    if (!upgrade_pass_on(m->site, m->shm, ready_fd, self)) {
        log_alert("no memory for the numbers of the listening sockets; not upgrading");
        _exit(1);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(m->binary, m->options->argv);
    log_errno(LOG_LEVEL_ALERT, errno, "execve() of \"%s\" failed", m->binary);
    _exit(1);
}

static void close_ends(int a, int b)
{
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
}

void upgrade_begin(struct master *m)
{
    char path[PATH_MAX];
    if (m->upgraded_pid) {
        log_notice("the new binary, %d, is running already", (int)m->upgraded_pid);
        return;
    }
    if (sockets_older_master()) {
        log_notice(
            "USR2 is ignored: the older binary, %d, still runs, and .oldbin is its; end it or this one first",
            (int)sockets_older_master());
        return;
    }
    if (!old_pid_path(m, path) || rename(m->pid_path, path) < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "cannot rename \"%s\" to .oldbin; not upgrading", m->pid_path);
        return;
    }
    log_notice("changing binary");
    /* Who shared them may be gone since the last look. */
    m->next_permits_ms = 0;
    permits_look(m, clock_mono_ms());
    /* Asked now: once it runs, this one may be gone. */
    pid_t self = getpid();
    int ends[2] = {-1, -1};
    pid_t pid = pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 ? fork() : -1;
    if (pid == 0)
        run_new_binary(m, ends[1], self);
    if (pid < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "fork() failed; not upgrading");
        rename(path, m->pid_path);
        close_ends(ends[0], ends[1]);
        return;
    }
    assert(m->upgraded_fd < 0);
    close(ends[1]);
    m->upgraded_fd = ends[0];
    m->upgraded_pid = pid;
    m->handed_over = true;
    m->upgraded_shares = permits_can_pass_on(m->shm);
    m->shm->shares_permits |= m->upgraded_shares;
    log_notice("start new binary process %d", (int)pid);
}

void upgrade_ended(struct master *m, int status)
{
    char path[PATH_MAX];
    assert(m->upgraded_pid > 0 && m->handed_over);
    bool told_to = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    log_write(told_to ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "the new binary, %d, has ended; serving on",
              (int)m->upgraded_pid);
    close_ends(m->upgraded_fd, -1);
    m->upgraded_fd = -1;
    m->upgraded_pid = 0;
    m->upgraded_shares = false;
    m->next_permits_ms = 0;
    m->handed_over = false;
    if (!m->is_main && !told_to) /* else it has said so before it ended */
        notify_state("MAINPID=%d\nSTATUS=the new binary has ended; the old one, %d, serves on", (int)getpid(),
                     (int)getpid());
    m->is_main = true;
    m->next_watchdog_ms = 0;
    if (!old_pid_path(m, path) || rename(path, m->pid_path) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "cannot rename the pid file back");
}

/* The older binary has ended, as it was to: its last STATUS does not hold any more. */
static void forget_older(struct master *m)
{
    static bool forgotten;
    if (forgotten || !m->announced || !sockets_from_older_binary() || sockets_older_master())
        return;
    forgotten = true;
    notify_state("STATUS=serving, configuration %llu", (unsigned long long)m->generation);
}

void upgrade_continue(struct master *m)
{
    char byte;
    forget_older(m);
    ssize_t n = m->upgraded_fd >= 0 ? read(m->upgraded_fd, &byte, 1) : -1;
    if (n < 0)
        return;
    /* The pipe may end without a byte: SIGCHLD says more. */
    close(m->upgraded_fd);
    m->upgraded_fd = -1;
    if (n == 0)
        return;
    log_notice("the new binary, %d, serves", (int)m->upgraded_pid);
    notify_state("MAINPID=%d\nWATCHDOG=1\nSTATUS=a new binary serves, %d; the old one, %d, waits for QUIT",
                 (int)m->upgraded_pid, (int)m->upgraded_pid, (int)getpid());
    m->is_main = false;
}

static bool find_ready_fd(unsigned long long *fd)
{
    const char *text = getenv("WEIR_READY_FD");
    return text && slice_to_u64(slice_of(text), INT32_MAX, fd);
}

void upgrade_keep_to_itself(void)
{
    unsigned long long fd;
    if (find_ready_fd(&fd))
        fd_set_cloexec((int)fd, true);
}

bool upgrade_tell_older(void)
{
    unsigned long long fd;
    if (!find_ready_fd(&fd))
        return false;
    unsetenv("WEIR_READY_FD");
    bool told = write((int)fd, "", 1) == 1;
    close((int)fd);
    return told;
}
