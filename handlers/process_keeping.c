/*
 * handlers/process_keeping.c - the keeper: it starts processes of other users for its worker, and sees them end.
 *
 * It never waits for a process: one that has another user's rights may be stopped by that user, and must not hold up those of others.
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
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ORDERS = 3, DEATHS, WORKER, FIRST_OF_OTHERS, LAST_LOOKS = 50 };

/* What the keeper has besides, in its list of what to look at. */
enum { AT_ORDERS, AT_DEATHS, AT_WORKER, AT_PROCESSES };

struct kept {
    pid_t pid;
    /* -1: nobody needs it any more, and it has been killed. */
    int line;
    /* By which it says that it could not become the application; it closes when it has; -1 from then on. */
    int becomes;
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

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- starting --- */

/* A session of its own: it has no terminal that root may sit at. */
static bool leave_keeper(int socket, int words)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return setsid() >= 0 && dup2(socket, STDIN_FILENO) >= 0 && dup2(words, STDOUT_FILENO) >= 0 &&
           dup2(words, STDERR_FILENO) >= 0;
}

/* What it has of root goes last. Returns with errno where it cannot become the application. */
static void become(const struct process_settings *s, pid_t keeper)
{
    char **env = process_environment(s);
    if (!env || initgroups(s->user, s->gid) < 0 || setgid(s->gid) < 0 || setuid(s->uid) < 0)
        return;
    /* However the keeper ends, which it may have done already. A change of the user has undone it, and may let the user look in. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
    if (getppid() != keeper)
        _exit(127);
    if (!s->dir || chdir(s->dir) == 0)
        execvpe(s->command[0], (char **)(uintptr_t)s->command, env);
}

/* Its pid, and in *becomes where it says that it has failed; or -1 with errno. */
static pid_t start(const struct process_settings *s, int socket, int words, int *becomes)
{
    int failure[2];
    pid_t keeper = getpid();
    if (pipe2(failure, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        /* The others' lines are not its to hold. */
        if (leave_keeper(socket, words) && dup3(failure[1], ORDERS, O_CLOEXEC) >= 0 &&
            close_range(ORDERS + 1, ~0U, 0) == 0)
            become(s, keeper);
        int error = errno;
        (void)!write(ORDERS, &error, sizeof error);
        _exit(127);
    }
    int error = errno;
    close(failure[1]);
    if (pid < 0)
        close(failure[0]);
    *becomes = failure[0];
    errno = error;
    return pid;
}

static bool make_room(void)
{
    if (count < room)
        return true;
    struct kept *more = realloc(all, sizeof *more * (size_t)(room + 64));
    if (!more)
        return false;
    all = more;
    room += 64;
    return true;
}

static const struct process_settings *find(const struct process_settings *known, int32_t number)
{
    while (known && known->number != number)
        known = known->next_known;
    return known;
}

static void obey(const struct process_settings *s, const int files[KEEPER_FILES])
{
    int becomes = -1, error = s ? 0 : EINVAL;
    if (!error && !make_room())
        error = ENOMEM;
    pid_t pid = error ? -1 : start(s, files[0], files[1], &becomes);
    if (pid < 0 && !error)
        error = errno;
    close(files[0]);
    close(files[1]);
    if (pid > 0) {
        all[count++] = (struct kept){pid, files[2], becomes};
        return;
    }
    tell(files[2], KEEPER_FAILED, error);
    close(files[2]);
}

/* Descriptors that have come with a message. How many there were. */
static int take_files(struct msghdr *message, int files[KEEPER_FILES])
{
    const struct cmsghdr *head = CMSG_FIRSTHDR(message);
    int n = head && head->cmsg_type == SCM_RIGHTS ? (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
    n = n <= KEEPER_FILES ? n : KEEPER_FILES;
    if (n > 0)
        memcpy(files, CMSG_DATA(head), sizeof(int) * (size_t)n);
    return n;
}

/* False: there are no more orders. */
static bool take_order(const struct process_settings *known)
{
    struct keeper_order order = {0};
    union {
        struct cmsghdr align;
        char bytes[CMSG_LEN(sizeof(int) * KEEPER_FILES)];
    } control;
    struct iovec part = {&order, sizeof order};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    int files[KEEPER_FILES] = {-1, -1, -1};
    ssize_t n = recvmsg(ORDERS, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    if (take_files(&message, files) == KEEPER_FILES) {
        obey(n == sizeof order ? find(known, order.number) : NULL, files);
        return true;
    }
    /* There was no room for them: its worker hears of that by the end of the line. */
    for (int i = 0; i < KEEPER_FILES; i++)
        close_if_open(&files[i]);
    return true;
}

/* It is the application now, or could not become it: then it ends by itself. */
static void hear_start(struct kept *k)
{
    int error = 0;
    ssize_t n = read(k->becomes, &error, sizeof error);
    if (n < 0)
        return;
    close_if_open(&k->becomes);
    if (k->line < 0)
        return;
    if (n == sizeof error) {
        tell(k->line, KEEPER_FAILED, error);
        close_if_open(&k->line);
    } else {
        tell(k->line, KEEPER_STARTED, k->pid);
    }
}

/* --- ending --- */

/* What has died, with all that it has started. */
static void look_for_deaths(void)
{
    struct signalfd_siginfo ignored;
    (void)!read(DEATHS, &ignored, sizeof ignored);
    for (int i = 0; i < count;) {
        struct kept *k = &all[i];
        siginfo_t info = {0};
        int status = -1;
        if (waitid(P_PID, (id_t)k->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid) {
            i++;
            continue;
        }
        /* Its name is its own until it is waited for. */
        kill_all_of(k->pid, SIGKILL);
        waitpid(k->pid, &status, WNOHANG);
        if (k->becomes >= 0)
            hear_start(k);
        if (k->line >= 0)
            tell(k->line, KEEPER_ENDED, status);
        close_if_open(&k->becomes);
        close_if_open(&k->line);
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
    close_if_open(&k->line);
}

/* One that cannot be killed now is so by the kernel, when the keeper has gone. */
static _Noreturn void end(void)
{
    static const struct timespec a_moment = {0, 10000000};
    for (int i = 0; i < count; i++)
        kill_all_of(all[i].pid, SIGKILL);
    for (int looks = 0; looks < LAST_LOOKS; looks++) {
        pid_t found;
        while ((found = waitpid(-1, NULL, WNOHANG)) > 0) {
        }
        if (found < 0) /* there are no more */
            break;
        nanosleep(&a_moment, NULL);
    }
    _exit(0);
}

/* --- the keeper --- */

/* What it needs and the standard descriptors are all that it has; and it ends when its worker does, not by a signal to all. */
static void become_keeper(int orders, const char *dir)
{
    sigset_t deaths, most;
    int worker = pidfd_open(getppid(), 0);
    sigfillset(&most);
    sigprocmask(SIG_SETMASK, &most, NULL);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&deaths);
    sigaddset(&deaths, SIGCHLD);
    int died = signalfd(-1, &deaths, SFD_CLOEXEC | SFD_NONBLOCK);
    /* Out of the way first: each may stand where another one is to. */
    int o = fcntl(orders, F_DUPFD_CLOEXEC, FIRST_OF_OTHERS),
        d = fcntl(died, F_DUPFD_CLOEXEC, FIRST_OF_OTHERS),
        w = fcntl(worker, F_DUPFD_CLOEXEC, FIRST_OF_OTHERS);
    if (o < 0 || d < 0 || w < 0 || dup3(o, ORDERS, O_CLOEXEC) < 0 || dup3(d, DEATHS, O_CLOEXEC) < 0 ||
        dup3(w, WORKER, O_CLOEXEC) < 0)
        _exit(1);
    close_range(FIRST_OF_OTHERS, ~0U, 0);
    prctl(PR_SET_NAME, "weir: keeper");
    title_set("weir: keeper of processes");
    if (dir && chdir(dir) < 0)
        return; /* the worker has said so */
}

/* What is to be looked at: its worker's orders and end, deaths, and each process's two lines. */
static struct pollfd *list_all(struct pollfd *list, int *list_room)
{
    int wanted = AT_PROCESSES + 2 * count;
    if (!list || *list_room < wanted) {
        *list_room = wanted + 128;
        struct pollfd *more = realloc(list, sizeof *list * (size_t)*list_room);
        if (!more)
            end();
        list = more;
    }
    list[AT_ORDERS] = (struct pollfd){.fd = ORDERS, .events = POLLIN};
    list[AT_DEATHS] = (struct pollfd){.fd = DEATHS, .events = POLLIN};
    list[AT_WORKER] = (struct pollfd){.fd = WORKER, .events = POLLIN};
    for (int i = 0; i < count; i++) {
        list[AT_PROCESSES + 2 * i] = (struct pollfd){.fd = all[i].line, .events = POLLIN};
        list[AT_PROCESSES + 2 * i + 1] = (struct pollfd){.fd = all[i].becomes, .events = POLLIN};
    }
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
        if (poll(list, (nfds_t)(AT_PROCESSES + 2 * listed), -1) < 0)
            continue;
        for (int i = 0; i < listed; i++) {
            if (list[AT_PROCESSES + 2 * i + 1].revents)
                hear_start(&all[i]);
            if (list[AT_PROCESSES + 2 * i].revents && all[i].line >= 0)
                listen_to(&all[i]);
        }
        if (list[AT_DEATHS].revents)
            look_for_deaths();
        if (list[AT_WORKER].revents || (list[AT_ORDERS].revents && !take_order(known)))
            end();
    }
}
