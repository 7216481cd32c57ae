/*
 * handlers/process_keeping.c - the keeper: it starts processes of other users for its worker, and sees them end.
 */
#include "handlers/process_keeping.h"

#include "base/title.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ORDERS = 3, DEATHS = 4, FIRST_OF_OTHERS = 5 };

struct kept {
    pid_t pid;
    /* -1: nobody needs it any more, and it has been killed. */
    int line;
};

static struct kept *all;
static int count, room;

static void kill_all_of(pid_t pid, int signal)
{
    kill(-pid, signal);
    kill(pid, signal);
}

static void tell(int line, enum keeper_kind kind, int value)
{
    struct keeper_news news = {.kind = kind, .value = value};
    /* Who does not hear it has closed the line. */
    (void)!send(line, &news, sizeof news, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* --- starting --- */

/* In the child: what it has of root goes last. Returns with errno where it cannot become the application. */
static void become(const struct process_settings *s, int socket, int words)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    char **env = process_environment(s);
    if (!env || setpgid(0, 0) < 0 || dup2(socket, STDIN_FILENO) < 0 || dup2(words, STDOUT_FILENO) < 0 ||
        dup2(words, STDERR_FILENO) < 0)
        return;
    if (initgroups(s->user, s->gid) < 0 || setgid(s->gid) < 0 || setuid(s->uid) < 0)
        return;
    /* However the keeper ends. A change of the user has undone it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!s->dir || chdir(s->dir) == 0)
        execvpe(s->command[0], (char **)(uintptr_t)s->command, env);
}

/* Its pid, once it is the application; or -1 with errno. */
static pid_t start(const struct process_settings *s, int socket, int words)
{
    int failure[2], error = 0;
    if (pipe2(failure, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        become(s, socket, words);
        error = errno;
        (void)!write(failure[1], &error, sizeof error);
        _exit(127);
    }
    error = errno;
    close(failure[1]);
    if (pid > 0 && read(failure[0], &error, sizeof error) == sizeof error) {
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    close(failure[0]);
    errno = error;
    return pid;
}

static void keep(pid_t pid, int line)
{
    if (count == room) {
        struct kept *more = realloc(all, sizeof *more * (size_t)(room + 64));
        if (!more) {
            kill_all_of(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            tell(line, KEEPER_FAILED, ENOMEM);
            close(line);
            return;
        }
        all = more;
        room += 64;
    }
    all[count++] = (struct kept){pid, line};
    tell(line, KEEPER_STARTED, pid);
}

static const struct process_settings *find(const struct process_settings *known, int32_t number)
{
    while (known && known->number != number)
        known = known->next_known;
    return known;
}

/* False: there are no more orders. */
static bool take_order(const struct process_settings *known)
{
    struct keeper_order order = {0};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * KEEPER_FILES)];
    } control;
    struct iovec part = {&order, sizeof order};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(ORDERS, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    int files[KEEPER_FILES];
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    /* There is no room for them: its worker hears of that by the end of the line. */
    if (!head || head->cmsg_len != CMSG_LEN(sizeof files))
        return true;
    memcpy(files, CMSG_DATA(head), sizeof files);
    const struct process_settings *s = n == sizeof order ? find(known, order.number) : NULL;
    pid_t pid = s ? start(s, files[0], files[1]) : -1;
    if (pid > 0) {
        keep(pid, files[2]);
    } else {
        tell(files[2], KEEPER_FAILED, s ? errno : EINVAL);
        close(files[2]);
    }
    close(files[0]);
    close(files[1]);
    return true;
}

/* --- ending --- */

/* What has died, with all that it has started. */
static void look_for_deaths(void)
{
    struct signalfd_siginfo ignored;
    (void)!read(DEATHS, &ignored, sizeof ignored);
    for (int i = 0; i < count;) {
        siginfo_t info = {0};
        int status = -1;
        if (waitid(P_PID, (id_t)all[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid) {
            i++;
            continue;
        }
        /* Its name is its own until it is waited for. */
        kill_all_of(all[i].pid, SIGKILL);
        waitpid(all[i].pid, &status, WNOHANG);
        if (all[i].line >= 0) {
            tell(all[i].line, KEEPER_ENDED, status);
            close(all[i].line);
        }
        all[i] = all[--count];
    }
}

static void listen_to(struct kept *k)
{
    int signal = SIGKILL;
    ssize_t n = recv(k->line, &signal, sizeof signal, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == sizeof signal && (signal == SIGTERM || signal == SIGKILL)) {
        kill_all_of(k->pid, signal);
        return;
    }
    kill_all_of(k->pid, SIGKILL);
    close(k->line);
    k->line = -1;
}

static _Noreturn void end(void)
{
    for (int i = 0; i < count; i++) {
        kill_all_of(all[i].pid, SIGKILL);
        waitpid(all[i].pid, NULL, 0);
    }
    _exit(0);
}

/* --- the keeper --- */

/* Two descriptors and the standard ones are all that it has; and it ends when its worker does, not by a signal to all. */
static void become_keeper(int orders, const char *dir)
{
    sigset_t deaths, most;
    sigfillset(&most);
    sigprocmask(SIG_SETMASK, &most, NULL);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&deaths);
    sigaddset(&deaths, SIGCHLD);
    if (orders != ORDERS && dup3(orders, ORDERS, O_CLOEXEC) < 0)
        _exit(1);
    int fd = signalfd(-1, &deaths, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0 || (fd != DEATHS && dup3(fd, DEATHS, O_CLOEXEC) < 0))
        _exit(1);
    close_range(FIRST_OF_OTHERS, ~0U, 0);
    prctl(PR_SET_NAME, "weir: keeper");
    title_set("weir: keeper of processes");
    if (dir && chdir(dir) < 0)
        return; /* the worker has said so */
}

/* What is to be looked at: orders, deaths, and the line of each process. */
static struct pollfd *list_all(struct pollfd *list, int *list_room)
{
    if (!list || *list_room < count + 2) {
        *list_room = count + 64;
        struct pollfd *more = realloc(list, sizeof *list * (size_t)*list_room);
        if (!more)
            end();
        list = more;
    }
    list[0] = (struct pollfd){.fd = ORDERS, .events = POLLIN};
    list[1] = (struct pollfd){.fd = DEATHS, .events = POLLIN};
    for (int i = 0; i < count; i++)
        list[i + 2] = (struct pollfd){.fd = all[i].line, .events = POLLIN};
    return list;
}

void process_keep(int orders, const struct process_settings *known, const char *dir)
{
    struct pollfd *list = NULL;
    int list_room = 0;
    become_keeper(orders, dir);
    for (;;) {
        int listed = count;
        list = list_all(list, &list_room);
        if (poll(list, (nfds_t)listed + 2, -1) < 0)
            continue;
        for (int i = 0; i < listed; i++)
            if (list[i + 2].revents)
                listen_to(&all[i]);
        if (list[1].revents)
            look_for_deaths();
        if (list[0].revents && !take_order(known))
            end();
    }
}
