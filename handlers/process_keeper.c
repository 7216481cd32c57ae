/*
 * handlers/process_keeper.c - how a worker asks its keeper.
 *
 * Each process has a line of its own to the keeper: news come there, signals go there, and its end means that nobody needs the process any
 * more. So there is no name of a process to be mistaken, and nothing to be cleaned up behind a worker that was killed.
 */
#include "handlers/process_keeper.h"

#include "base/log.h"
#include "handlers/process_keeping.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct process_settings *known;
static int keeper = -1;
static pid_t keeper_pid;
static bool ends_without;

void process_keeper_know(struct process_settings *settings)
{
    static int32_t last_number;
    if (!settings->user)
        return;
    settings->number = ++last_number;
    settings->next_known = known;
    known = settings;
}

void process_keeper_forget(const struct process_settings *settings)
{
    struct process_settings **at = &known;
    while (*at && *at != settings)
        at = &(*at)->next_known;
    if (*at)
        *at = settings->next_known;
}

bool process_keeper_has(const struct process_settings *settings)
{
    return keeper >= 0 && settings->user;
}

bool process_keeper_open(const char *dir, bool has_successor)
{
    int ends[2];
    assert(keeper < 0);
    if (!known || geteuid() != 0)
        return true;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    keeper_pid = fork();
    if (keeper_pid == 0) {
        close(ends[0]);
        process_keep(ends[1], known, dir);
    }
    close(ends[1]);
    keeper = ends[0];
    ends_without = has_successor;
    return keeper_pid > 0;
}

void process_keeper_close(int at_most_ms)
{
    if (keeper < 0)
        return;
    /* It is not closed, as threads that are left behind may still ask. */
    shutdown(keeper, SHUT_RDWR);
    struct pollfd its_end = {.fd = pidfd_open(keeper_pid, 0), .events = POLLIN};
    if (its_end.fd < 0)
        return;
    poll(&its_end, 1, at_most_ms);
    close(its_end.fd);
}

/* --- asking --- */

static bool send_order(int32_t number, const int files[KEEPER_FILES])
{
    struct keeper_order order = {.number = number};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * KEEPER_FILES)];
    } control = {0};
    struct iovec part = {&order, sizeof order};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * KEEPER_FILES);
    memcpy(CMSG_DATA(head), files, sizeof(int) * KEEPER_FILES);
    return sendmsg(keeper, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* False with errno. */
static bool hear(int kept, int at_most_ms, struct keeper_news *news)
{
    struct pollfd said = {.fd = kept, .events = POLLIN};
    int ready;
    while ((ready = poll(&said, 1, at_most_ms)) < 0 && errno == EINTR) {
    }
    ssize_t n = ready > 0 ? recv(kept, news, sizeof *news, 0) : -1;
    if (ready == 0)
        errno = ETIMEDOUT;
    else if (n == 0)
        errno = EPIPE;
    return n == sizeof *news;
}

/* A worker without a keeper is of no use to such a location: the next one has a keeper, if there is a next one. */
static void lose_keeper(void)
{
    log_alert("the keeper of processes is gone%s",
              ends_without ? "; finishing" : ": what has a user is not started until the server is");
    if (ends_without)
        kill(getpid(), SIGQUIT);
}

pid_t process_keeper_start(const struct process_settings *settings, const int files[2], int at_most_ms,
                           int *kept)
{
    struct keeper_news news = {0};
    int line[2];
    assert(keeper >= 0 && settings->number > 0);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) < 0)
        return -1;
    bool ok = send_order(settings->number, (int[KEEPER_FILES]){files[0], files[1], line[1]});
    int error = errno;
    close(line[1]);
    if (ok) {
        ok = hear(line[0], at_most_ms, &news);
        error = ok ? 0 : errno;
    }
    if (ok && news.kind == KEEPER_STARTED) {
        *kept = line[0];
        return news.value;
    }
    close(line[0]);
    if (!ok && error == EPIPE)
        lose_keeper();
    errno = ok ? news.value : error;
    return -1;
}

bool process_keeper_saw_end(int kept)
{
    char byte;
    return recv(kept, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

void process_keeper_signal(int kept, int signal)
{
    /* Where nobody hears it, the process has ended. */
    (void)!send(kept, &signal, sizeof signal, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int process_keeper_status(int kept)
{
    struct keeper_news news;
    ssize_t n = recv(kept, &news, sizeof news, MSG_DONTWAIT);
    /* A signal that the keeper has not heard comes first. */
    if (n < 0 && errno == ECONNRESET)
        n = recv(kept, &news, sizeof news, MSG_DONTWAIT);
    return n == sizeof news && news.kind == KEEPER_ENDED ? news.value : -1;
}
