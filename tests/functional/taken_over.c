/*
 * tests/functional/taken_over.c - handlers of a worker that has been taken over: each leaves processes behind that misuse what the
 * worker has in common with the master, and answers with the number of their process group, for the test to end.
 */
#include <weir/handler.h>

#include "tests/functional/region.h"
#include "worker/worker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { LIVES_AT_MOST_S = 30, DESCRIPTORS = 512, DOUBLINGS = 5 };

static uint64_t number(weir_request *r, const char *name)
{
    const char *text = weir_arg(r, name);
    return text ? strtoull(text, NULL, 10) : 0;
}

/* The worker's end of its pair with the master. */
static int find_channel(void)
{
    for (int fd = 3; fd < DESCRIPTORS; fd++) {
        int type = 0, domain = 0;
        socklen_t len = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
            getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && type == SOCK_SEQPACKET &&
            domain == AF_UNIX)
            return fd;
    }
    return -1;
}

/* In the child, with nothing of the worker's open but `kept`: 0. */
static pid_t fork_apart(int kept)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    setsid();
    alarm(LIVES_AT_MOST_S);
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        if (fd != kept)
            close(fd);
    return 0;
}

/* flood?kind=N&pid=P: more messages than one process can read. */
static int flood(weir_request *r)
{
    struct worker_message m = {.kind = (int)number(r, "kind"), .pid = number(r, "pid")};
    int channel = find_channel();
    fcntl(channel, F_SETFL, 0);
    pid_t pid = fork_apart(channel);
    if (pid == 0) {
        for (int i = 0; i < DOUBLINGS; i++)
            if (fork() == 0)
                alarm(LIVES_AT_MOST_S);
        while (send(channel, &m, sizeof m, MSG_NOSIGNAL) > 0) {
        }
        _exit(0);
    }
    return weir_printf(r, "%d", (int)pid) < 0;
}

/* beats?value=N: all workers' heartbeats, again and again. */
static int beats(weir_request *r)
{
    struct shm_slot *slots = (struct shm_slot *)(void *)(region_find().at + REGION_SLOTS);
    uint64_t value = number(r, "value");
    pid_t pid = fork_apart(-1);
    if (pid == 0)
        for (;;)
            for (int i = 0; i < 4; i++)
                atomic_store(&slots[i].heartbeat_ms, value);
    return weir_printf(r, "%d", (int)pid) < 0;
}

static const struct weir_handler handlers[] = {
    {.name = "flood", .run = flood}, {.name = "beats", .run = beats}, {0}};

WEIR_MODULE(handlers);
