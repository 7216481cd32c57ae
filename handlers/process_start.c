/*
 * handlers/process_start.c - a new process of an application: its descriptors, its environment, its place.
 */
#include "handlers/process_set.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void close_both(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

/* What the service manager and the older binary have said to this server alone. */
static bool is_private(const char *variable)
{
    static const char *const names[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "WEIR_"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* The worker's environment, with what the settings put in its place. NULL: out of memory. */
static char **make_environment(const struct process_settings *s)
{
    size_t count = 0, own = 0, at = 0;
    while (environ[count])
        count++;
    while (s->env[own])
        own++;
    char **all = calloc(count + own + 1, sizeof *all);
    for (size_t i = 0; all && i < count; i++) {
        bool is_replaced = is_private(environ[i]);
        size_t name = strcspn(environ[i], "=") + 1;
        for (size_t k = 0; k < own; k++)
            is_replaced |= strncmp(environ[i], s->env[k], name) == 0;
        if (!is_replaced)
            all[at++] = environ[i];
    }
    for (size_t k = 0; all && k < own; k++)
        all[at++] = (char *)(uintptr_t)s->env[k];
    return all;
}

/* Its descriptors, its folder, its own group, and no signal blocked or ignored. 0, or an errno. */
static int spawn(const struct process_settings *s, int socket, int words, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    char **env = make_environment(s);
    if (!env)
        return ENOMEM;
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
                                                       POSIX_SPAWN_SETPGROUP);
    if (!error)
        error = posix_spawnp(pid, s->command[0], &files, &how, (char **)(uintptr_t)s->command, env);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    return error;
}

static int make_pipe(int pair[2])
{
    return pipe2(pair, O_CLOEXEC) == 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
}

struct process *process_start(const struct process_settings *s)
{
    int sockets[2] = {-1, -1}, words[2] = {-1, -1};
    struct process *p = calloc(1, sizeof *p);
    int error = p ? 0 : ENOMEM;
    if (!error && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
        error = errno;
    if (!error && fcntl(sockets[0], F_SETFL, O_NONBLOCK) < 0)
        error = errno;
    error = error ? error : make_pipe(words);
    error = error ? error : spawn(s, sockets[1], words[1], &p->pid);
    if (error) {
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
    return p;
}
