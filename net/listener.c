/*
 * net/listener.c - listening sockets: options that are set once here are inherited by every accepted connection, so
 * that accepting costs one system call.
 */
#include "net/listener.h"

#include "base/list.h"
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

static int set_wanted(int fd, int level, int name, int value)
{
    return value ? set_option(fd, level, name, value) : 0;
}

int net_remove_stale_socket(const struct net_address *address)
{
    const struct sockaddr_un *un = (const void *)&address->addr;
    struct stat st;
    if (lstat(un->sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    if (connect(fd, (const struct sockaddr *)un, address->len) < 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
    close(fd);
    return 0;
}

static int prepare_socket(int fd, const struct net_address *address, const struct net_listen_options *o)
{
    if (address->addr.ss_family == AF_UNIX)
        return net_remove_stale_socket(address);
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0)
        return -1;
    if (o->reuseport && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
        return -1;
    if (address->addr.ss_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->ipv6only) < 0)
        return -1;
    if (set_wanted(fd, SOL_SOCKET, SO_RCVBUF, o->receive_bytes) < 0 ||
        set_wanted(fd, SOL_SOCKET, SO_SNDBUF, o->send_bytes) < 0 ||
        set_wanted(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fastopen) < 0 ||
        set_wanted(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepalive_idle_s) < 0 ||
        set_wanted(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepalive_interval_s) < 0 ||
        set_wanted(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepalive_count) < 0)
        return -1;
    if ((o->deferred && set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1) < 0) ||
        (o->keepalive && set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) < 0))
        return -1;
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, o->nodelay);
}

int net_listen(const struct net_address *address, const struct net_listen_options *options)
{
    assert(address->len > 0 && address->len <= sizeof address->addr);
    int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (prepare_socket(fd, address, options) < 0 ||
        bind(fd, (const struct sockaddr *)&address->addr, address->len) < 0 ||
        listen(fd, options->backlog) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    if (address->addr.ss_family == AF_UNIX)
        chmod(((const struct sockaddr_un *)(const void *)&address->addr)->sun_path, 0666); /* as nginx does */
    return fd;
}

/* Binding would leave a file, or take away the one of a server that runs. */
static int try_unix(const char *path)
{
    char directory[sizeof((struct sockaddr_un *)0)->sun_path + 2] = ".";
    const char *slash = strrchr(path, '/');
    struct stat st;
    if (slash)
        snprintf(directory, sizeof directory, "%.*s/", (int)(slash - path), path);
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    return access(directory, W_OK | X_OK);
}

int net_try_listen(const struct net_address *address, const struct net_listen_options *options)
{
    const struct sockaddr *a = (const void *)&address->addr;
    if (a->sa_family == AF_UNIX)
        return try_unix(((const struct sockaddr_un *)(const void *)a)->sun_path);
    int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int result = prepare_socket(fd, address, options) < 0 ? -1 : bind(fd, a, address->len), saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int net_listen_again(int fd, const struct net_listen_options *options)
{
    struct net_address address;
    if (net_bound_address(fd, &address) < 0)
        return -1;
    if (address.addr.ss_family != AF_UNIX && set_option(fd, IPPROTO_TCP, TCP_NODELAY, options->nodelay) < 0)
        return -1;
    return listen(fd, options->backlog);
}

int net_bound_address(int fd, struct net_address *out)
{
    memset(out, 0, sizeof *out);
    out->len = sizeof out->addr;
    return getsockname(fd, (struct sockaddr *)&out->addr, &out->len);
}

bool net_is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}
