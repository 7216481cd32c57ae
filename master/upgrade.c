/*
 * master/upgrade.c - USR2: a new binary on the same sockets.
 *
 * The new master gets the listening sockets' numbers in WEIR_FDS and starts its own workers; the pid file of this one
 * becomes .oldbin. The operator then ends this master with QUIT, or the new one, which brings the name back.
 */
#include "master/internal.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static bool old_pid_path(const struct master *m, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s.oldbin", m->pid_path) < PATH_MAX;
}

static _Noreturn void run_new_binary(struct master *m)
{
    struct buf fds = {0};
    sigset_t none;
    for (const struct site_listen *l = m->site->listens; l; l = l->next) {
        for (int i = 0; i < l->fd_count; i++) {
            fd_set_cloexec(l->fds[i], false);
            buf_printf(&fds, "%d;", l->fds[i]);
        }
    }
    buf_append(&fds, "", 1);
    setenv("WEIR_FDS", fds.data, 1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(m->binary, m->options->argv);
    log_errno(LOG_LEVEL_ALERT, errno, "execve() of \"%s\" failed", m->binary);
    _exit(1);
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
    pid_t pid = fork();
    if (pid == 0)
        run_new_binary(m);
    if (pid < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "fork() failed; not upgrading");
        rename(path, m->pid_path);
        return;
    }
    m->upgraded_pid = pid;
    m->handed_over = true;
    log_notice("start new binary process %d", (int)pid);
}

void upgrade_ended(struct master *m, int status)
{
    char path[PATH_MAX];
    bool told_to = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    log_write(told_to ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "the new binary, %d, has ended; serving on",
              (int)m->upgraded_pid);
    m->upgraded_pid = 0;
    m->handed_over = false;
    if (!old_pid_path(m, path) || rename(path, m->pid_path) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "cannot rename the pid file back");
}
