/*
 * handlers/process_child.c - a process of an application, from its descriptors to its burial.
 */
#include "handlers/process_child.h"

#include "handlers/process_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_both(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

/* Its descriptors, its folder, a session without a terminal, and no signal blocked or ignored. Its pid, or -1 with errno. */
static pid_t spawn(const struct process_settings *s, int socket, int words)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    pid_t pid = -1;
    char **env = process_environment(s);
    if (!env)
        return -1;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_init(&files);
    error = error ? error : posix_spawnattr_init(&how);
    error = error ? error : posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO);
    error = error ? error : posix_spawn_file_actions_adddup2(&files, words, STDOUT_FILENO);
    error = error ? error : posix_spawn_file_actions_adddup2(&files, words, STDERR_FILENO);
    if (!error && s->dir)
        error = posix_spawn_file_actions_addchdir_np(&files, s->dir);
    error = error ? error : posix_spawnattr_setsigmask(&how, &none);
    error = error ? error : posix_spawnattr_setsigdefault(&how, &all);
    error = error ? error
                  : posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                       POSIX_SPAWN_SETSID);
    if (!error)
        error = posix_spawnp(&pid, s->command[0], &files, &how, (char **)(uintptr_t)s->command, env);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    errno = error;
    return error ? -1 : pid;
}

/* What the server keeps of each pair is its first, which does not block. */
static bool make_pairs(int sockets[2], int words[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0 && pipe2(words, O_CLOEXEC) == 0 &&
           fcntl(sockets[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(words[0], F_SETFL, O_NONBLOCK) == 0;
}

struct process *process_start(const struct process_settings *s, int at_most_ms)
{
    int sockets[2] = {-1, -1}, words[2] = {-1, -1}, kept = -1;
    struct process *p = calloc(1, sizeof *p);
    if (p && make_pairs(sockets, words))
        p->pid = process_keeper_has(s)
                     ? process_keeper_start(s, (int[2]){sockets[1], words[1]}, at_most_ms, &kept)
                     : spawn(s, sockets[1], words[1]);
    if (!p || p->pid <= 0) {
        int error = errno;
        close_both(sockets);
        close_both(words);
        free(p);
        errno = error;
        return NULL;
    }
    close(sockets[1]);
    close(words[1]);
    p->socket = sockets[0];
    p->words = words[0];
    p->kept = kept;
    return p;
}

bool process_has_died(const struct process *p)
{
    siginfo_t info = {0};
    if (p->kept >= 0)
        return process_keeper_saw_end(p->kept);
    return waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == p->pid;
}

/* It has not been waited for, so that its name is its own. Before it has a group of that name there is only itself. */
void process_signal(const struct process *p, int signal)
{
    if (p->kept >= 0) {
        process_keeper_signal(p->kept, signal);
        return;
    }
    kill(-p->pid, signal);
    kill(p->pid, signal);
}

int process_bury(struct process *p)
{
    int status;
    if (p->kept >= 0)
        return process_keeper_status(p->kept);
    process_signal(p, SIGKILL);
    return waitpid(p->pid, &status, WNOHANG) == p->pid ? status : -1;
}

void process_free(struct process *p)
{
    int *const files[] = {&p->socket, &p->words, &p->kept};
    for (int i = 0; i < 3; i++)
        if (*files[i] >= 0)
            close(*files[i]);
    free(p);
}
