/*
 * master/sockets.c - listening sockets over the lives of configurations and binaries.
 *
 * Sockets come from three places: the configuration before this one, the environment (LISTEN_FDS of a service manager,
 * or WEIR_FDS of an older binary), or they are opened. They are told apart by the address that they are bound to.
 */
#include "master/internal.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { INHERITED_MAX = 256, SYSTEMD_FIRST_FD = 3 };

static int inherited[INHERITED_MAX];
static int inherited_count;
static bool from_older_binary;

static void inherit(int fd)
{
    if (inherited_count == INHERITED_MAX || !net_is_listening(fd))
        return;
    fd_set_cloexec(fd, true);
    fd_set_nonblocking(fd);
    inherited[inherited_count++] = fd;
}

void sockets_read_environment(void)
{
    const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID"), *own = getenv("WEIR_FDS");
    if (fds && pid && atol(pid) == (long)getpid())
        for (int i = 0; i < atoi(fds); i++)
            inherit(SYSTEMD_FIRST_FD + i);
    from_older_binary = own != NULL;
    while (own && *own) {
        char *end;
        long fd = strtol(own, &end, 10);
        if (end == own || *end != ';')
            break;
        inherit((int)fd);
        own = end + 1;
    }
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    unsetenv("WEIR_FDS");
}

bool sockets_from_older_binary(void)
{
    return from_older_binary;
}

void sockets_close_unused(void)
{
    for (int i = 0; i < inherited_count; i++)
        close(inherited[i]);
    inherited_count = 0;
}

static int take_inherited(const struct net_address *address)
{
    for (int i = 0; i < inherited_count; i++) {
        struct net_address bound;
        if (net_bound_address(inherited[i], &bound) == 0 && net_address_eq(&bound, address)) {
            int fd = inherited[i];
            inherited[i] = inherited[--inherited_count];
            return fd;
        }
    }
    return -1;
}

static struct site_listen *find_in(struct site *site, const struct net_address *address)
{
    struct site_listen *l = site ? site->listens : NULL;
    while (l && !net_address_eq(&l->address, address))
        l = l->next;
    return l;
}

static bool is_in(const int *fds, int count, int fd)
{
    for (int i = 0; i < count; i++)
        if (fds[i] == fd)
            return true;
    return false;
}

static bool open_one(struct site_listen *l, int index, const struct site_listen *old)
{
    char text[NET_ADDRESS_TEXT_BYTES];
    int fd = old && index < old->fd_count ? old->fds[index] : take_inherited(&l->address);
    if (fd >= 0 && net_listen_again(fd, &l->options) < 0)
        log_errno(LOG_LEVEL_WARN, errno, "listen() again on %s failed; keeping its old settings",
                  net_address_text(&l->address, text));
    if (fd < 0)
        fd = net_listen(&l->address, &l->options);
    l->fds[index] = fd;
    if (fd >= 0)
        return true;
    log_emerg("bind() to %s failed (%d: %s)%s", net_address_text(&l->address, text), errno, strerror(errno),
              errno == EADDRINUSE
                  ? "; another program has this address: stop it, or choose another in \"listen\""
              : errno == EACCES ? "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
                                : "");
    return false;
}

/* Closes what was opened for a site that will not be used. */
static void give_up(struct site *site, struct site *old)
{
    for (struct site_listen *l = site->listens; l; l = l->next) {
        const struct site_listen *before = find_in(old, &l->address);
        for (int i = 0; i < l->fd_count; i++) {
            if (l->fds[i] >= 0 && !(before && is_in(before->fds, before->fd_count, l->fds[i])))
                close(l->fds[i]);
            l->fds[i] = -1;
        }
    }
}

bool sockets_open(struct site *site, struct site *old)
{
    for (struct site_listen *l = site->listens; l; l = l->next) {
        const struct site_listen *before = find_in(old, &l->address);
        for (int i = 0; i < l->fd_count; i++) {
            if (!open_one(l, i, before)) {
                give_up(site, old);
                return false;
            }
        }
    }
    return true;
}

void sockets_disown(struct site *old, const struct site *site)
{
    for (struct site_listen *l = old->listens; l; l = l->next) {
        const struct site_listen *after = find_in((struct site *)(uintptr_t)site, &l->address);
        for (int i = 0; i < l->fd_count; i++)
            if (after && is_in(after->fds, after->fd_count, l->fds[i]))
                l->fds[i] = -1;
    }
}

void sockets_close_others(struct site *site, const struct site *kept)
{
    sockets_disown(site, kept);
    sockets_close(site);
}

void sockets_close(struct site *site)
{
    for (struct site_listen *l = site->listens; l; l = l->next) {
        for (int i = 0; i < l->fd_count; i++) {
            if (l->fds[i] >= 0)
                close(l->fds[i]);
            l->fds[i] = -1;
        }
    }
}

void sockets_remove_files(const struct site *site)
{
    for (const struct site_listen *l = site->listens; l; l = l->next)
        if (l->address.addr.ss_family == AF_UNIX)
            unlink(((const struct sockaddr_un *)(const void *)&l->address.addr)->sun_path);
}
