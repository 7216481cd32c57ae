/*
 * tests/functional/lib/taken_over.c - handlers of a worker that has been taken over: each leaves processes behind that misuse what the
 * worker has in common with the master, and answers with the number of their process group, for the test to end.
 */
#include <weir/handler.h>

#include "tests/functional/region.h"
#include "worker/worker.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

enum { LIVES_AT_MOST_S = 30, DESCRIPTORS = 512, DOUBLINGS = 5, LINGERING = 16 };

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

/* And of the pipe: the only one that it writes to, but for its first descriptors. */
static int find_reports(void)
{
    struct stat st;
    for (int fd = 3; fd < DESCRIPTORS; fd++)
        if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
            return fd;
    return -1;
}

/* In the child, with nothing of the worker's open but `kept`: 0. */
static pid_t fork_apart(int kept)
{
    pid_t pid = fork();
    /* Who is told of the group is to find it. */
    while (pid > 0 && getpgid(pid) >= 0 && getpgid(pid) != pid)
        usleep(1000);
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
    int reports = find_reports();
    fcntl(reports, F_SETFL, 0);
    pid_t pid = fork_apart(reports);
    if (pid == 0) {
        for (int i = 0; i < DOUBLINGS; i++)
            if (fork() == 0)
                alarm(LIVES_AT_MOST_S);
        while (write(reports, &m, sizeof m) > 0) {
        }
        _exit(0);
    }
    return weir_printf(r, "%d", (int)pid) < 0;
}

/* A connection whose end waits for what its other end never reads. */
static int lingering_connection(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    struct linger linger = {1, LIVES_AT_MOST_S};
    static char bytes[1 << 16];
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&address, len);
    listen(listener, 1);
    getsockname(listener, (struct sockaddr *)&address, &len);
    connect(fd, (struct sockaddr *)&address, len);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
    return fd;
}

/* linger: descriptors come with messages, and whoever closes them last waits. Which process that is, is chance: so they are some. */
static int linger(weir_request *r)
{
    struct worker_message m = {.kind = -1};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {&m, sizeof m};
    struct msghdr msg = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
    int channel = find_channel();
    fcntl(channel, F_SETFL, 0);
    pid_t pid = fork_apart(channel);
    for (int i = 0; pid == 0 && i < LINGERING; i++) {
        if (fork() != 0)
            continue;
        alarm(LIVES_AT_MOST_S);
        int fd = lingering_connection();
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &fd, sizeof fd);
        for (int k = 0; k < 10; k++)
            send(channel, &m, sizeof m, MSG_NOSIGNAL);
        sendmsg(channel, &msg, MSG_NOSIGNAL);
        close(fd);
        pause();
    }
    if (pid == 0)
        pause();
    return weir_printf(r, "%d", (int)pid) < 0;
}

/* beats?value=N: all workers' heartbeats, again and again. */
static int beats(weir_request *r)
{
    struct shm_slot *slots = (struct shm_slot *)(void *)(region_find(REGION_WHOLE).at + REGION_SLOTS);
    uint64_t value = number(r, "value");
    pid_t pid = fork_apart(-1);
    if (pid == 0)
        for (;;)
            for (int i = 0; i < 4; i++)
                atomic_store(&slots[i].heartbeat_ms, value);
    return weir_printf(r, "%d", (int)pid) < 0;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct peer_region *find_peers(void)
{
    return (struct peer_region *)(void *)(region_find(REGION_WHOLE).at + REGION_PEERS);
}

/* groups?ahead=MS: all groups are in use, as far as can be told, and were touched then. Ends the worker. */
static int groups(weir_request *r)
{
    struct peer_region *region = find_peers();
    uint64_t touched_ms = now_ms() + number(r, "ahead");
    region->groups_used = PEER_GROUPS;
    for (int i = 0; i < PEER_GROUPS; i++) {
        struct shm_group *g = &region->groups[i];
        memset((char *)g + sizeof g->lock, 0, sizeof *g - sizeof g->lock);
        snprintf(g->name, sizeof g->name, "made-up-%d", i);
        g->touched_ms = touched_ms;
        g->used = 1;
    }
    _exit(1);
}

/* peers?slot=N&group=N: so are all peers, each with a connection of the slot. Ends the worker. */
static int peers(weir_request *r)
{
    struct peer_region *region = find_peers();
    uint32_t group = (uint32_t)number(r, "group"), slot = (uint32_t)number(r, "slot") % SHM_SLOTS;
    region->peers_used = PEERS;
    for (int i = 0; i < PEERS; i++) {
        struct shm_peer *p = &region->peers[i];
        memset(p, 0, sizeof *p);
        snprintf(p->name, sizeof p->name, "made-up-%d", i);
        p->rules.weight = 1;
        p->touched_ms = now_ms();
        p->active = p->held[slot] = 1;
        p->group = group;
    }
    _exit(1);
}

/* busy?slot=N&count=N: the slot has so many connections to each peer, and as many waiting in each group. Ends the worker. */
static int busy(weir_request *r)
{
    struct peer_region *region = find_peers();
    uint32_t count = (uint32_t)number(r, "count"), slot = (uint32_t)number(r, "slot") % SHM_SLOTS;
    for (uint32_t i = 0; i < region->groups_used; i++)
        region->groups[i].waiting_in[slot] = count;
    for (uint32_t i = 0; i < region->peers_used; i++)
        region->peers[i].held[slot] = count;
    _exit(1);
}

/* permits?slot=N: the slot holds permits of every zone. Ends the worker. */
static int permits(weir_request *r)
{
    struct permit_region *region = (struct permit_region *)(void *)region_find(REGION_OF_PERMITS).at;
    struct permit_part *part = &region->parts[number(r, "slot") % SHM_SLOTS];
    part->used = 2 * PERMIT_ZONES;
    for (unsigned i = 0; i < 2 * PERMIT_ZONES; i++)
        part->permits[i].tag = permit_tag(PERMIT_HELD, i % PERMIT_ZONES, PERMIT_NORMAL, 0);
    _exit(1);
}

static const struct weir_handler handlers[] = {
    {.name = "flood", .run = flood},     {.name = "linger", .run = linger},
    {.name = "beats", .run = beats},     {.name = "groups", .run = groups},
    {.name = "peers", .run = peers},     {.name = "busy", .run = busy},
    {.name = "permits", .run = permits}, {0}};

WEIR_MODULE(handlers);
