/*
 * master/sockets.c - listening sockets over the lives of configurations and binaries.
 *
 * Sockets come from three places: the configuration before this one, the environment (LISTEN_FDS of a service manager,
 * or WEIR_FDS of an older binary), or they are opened. They are told apart by the address that they are bound to.
 */
#include "master/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/site/site.h"
#include "net/address.h"
#include "net/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INHERITED_MAX = 256, SYSTEMD_FIRST_FD = 3 };

static struct {
    int fd;
    bool is_managers;
} inherited[INHERITED_MAX];
static int inherited_count;
static bool from_older_binary;
static pid_t older_pid; /* its master, which started this one */
static bool older_knows_permits;

static void inherit(int fd, bool is_managers)
{
    if (inherited_count == INHERITED_MAX || !net_is_listening(fd))
        return;
    fd_set_cloexec(fd, true);
    fd_set_nonblocking(fd);
    inherited[inherited_count].fd = fd;
    inherited[inherited_count++].is_managers = is_managers;
}

void sockets_read_environment(void)
{
    const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID"), *own = getenv("WEIR_FDS");
    if (fds && pid && atol(pid) == (long)getpid())
        for (int i = 0; i < atoi(fds); i++)
            inherit(SYSTEMD_FIRST_FD + i, true);
    from_older_binary = own != NULL;
    older_pid = own ? getppid() : 0; /* as far as one can tell that does not say */
    older_knows_permits = false;
    while (own && *own) {
        char *end;
        long fd = strtol(own, &end, 10);
        if (end == own || *end != ';')
            break;
        inherit((int)fd, false);
        own = end + 1;
    }
    /* It may be dead by now, and our parent another one. */
    if (own && strncmp(own, "pid=", 4) == 0) {
        older_pid = (pid_t)atol(own + 4);
        older_knows_permits = true;
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

bool sockets_older_knows_permits(void)
{
    return older_knows_permits;
}

pid_t sockets_older_master(void)
{
    return older_pid && getppid() == older_pid ? older_pid : 0;
}

void sockets_close_unused(void)
{
    for (int i = 0; i < inherited_count; i++)
        close(inherited[i].fd);
    inherited_count = 0;
}

static int take_inherited(struct site_listen *l)
{
    for (int i = 0; i < inherited_count; i++) {
        struct net_address bound;
        if (net_bound_address(inherited[i].fd, &bound) == 0 && net_address_eq(&bound, &l->address)) {
            int fd = inherited[i].fd;
            l->is_managers = inherited[i].is_managers;
            l->is_older_binarys = !l->is_managers;
            inherited[i] = inherited[--inherited_count];
            return fd;
        }
    }
    return -1;
}

/* Only those that have sockets. */
static struct site_listen *find_same_listen(struct site *site, const struct net_address *address)
{
    struct site_listen *l = site ? site->listens : NULL;
    while (l && (l->within || !net_address_eq(&l->address, address)))
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

/* A wildcard's socket and one of its addresses' exclude each other. NULL: there is none. */
static const struct site_listen *in_the_way(const struct site *site, const struct site_listen *l)
{
    const struct site_listen *o = site ? site->listens : NULL;
    while (o &&
           (o->within || o->fds[0] < 0 ||
            !(net_address_covers(&o->address, &l->address) || net_address_covers(&l->address, &o->address))))
        o = o->next;
    return o;
}

/* What to do about it, behind the error's own words. */
static const char *remedy_of(const struct site_listen *l, int error)
{
    bool is_file = l->address.addr.ss_family == AF_UNIX;
    return error == EADDRINUSE
               ? "; another program has this address: stop it, or choose another in \"listen\""
           : error == EADDRNOTAVAIL ? "; this host has no such address: choose one of its own in \"listen\""
           : error == EACCES && !is_file ? "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
           : error == EEXIST             ? "; there is a file of this name that is no socket: remove it"
           : is_file                     ? "; the socket's directory must exist and be writable"
                                         : "";
}

/* `own`: this server's socket that is in the way, or NULL. Returns false. */
static bool bind_failed(struct conf *conf, const struct site_listen *l, int error,
                        const struct site_listen *own)
{
    char text[NET_ADDRESS_TEXT_BYTES], in_way[NET_ADDRESS_TEXT_BYTES + 128] = "",
                                                                       other[NET_ADDRESS_TEXT_BYTES];
    if (error == EADDRINUSE && own)
        snprintf(in_way, sizeof in_way,
                 "; this server's own socket of %s is in the way: leave \"bind\" out, or restart it",
                 net_address_text(&own->address, other));
    conf_error(&conf->errors, l->node, "bind() to %s failed (%d: %s)%s", net_address_text(&l->address, text),
               error, strerror(error), in_way[0] ? in_way : remedy_of(l, error));
    return false;
}

static bool open_one(struct site_listen *l, int index, const struct site_listen *old)
{
    char text[NET_ADDRESS_TEXT_BYTES];
    int fd = old && index < old->fd_count ? old->fds[index] : take_inherited(l);
    if (old) {
        l->is_managers = old->is_managers;
        l->is_older_binarys = old->is_older_binarys;
    }
    if (fd >= 0 && net_listen_again(fd, &l->options) < 0)
        log_errno(LOG_LEVEL_WARN, errno, "listen() again on %s failed; keeping its old settings",
                  net_address_text(&l->address, text));
    if (fd < 0)
        fd = net_listen(&l->address, &l->options);
    l->fds[index] = fd;
    return fd >= 0;
}

/* Not a service manager's, nor one that an older binary still serves on: its end removes that. */
static bool has_own_file(const struct site_listen *l)
{
    return l->address.addr.ss_family == AF_UNIX && !l->is_managers &&
           !(l->is_older_binarys && sockets_older_master());
}

static void remove_file(const struct site_listen *l)
{
    struct stat st;
    const char *path = ((const struct sockaddr_un *)(const void *)&l->address.addr)->sun_path;
    if (has_own_file(l) && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) /* not what has taken its place */
        unlink(path);
}

bool sockets_test(struct site *site)
{
    bool ok = true;
    for (struct site_listen *l = site->listens; l; l = l->next)
        if (!l->within && net_try_listen(&l->address, &l->options) < 0 && errno != EADDRINUSE)
            ok = bind_failed(site->conf, l, errno, NULL);
    return ok;
}

/* Closes what was opened for a site that will not be used. */
static void give_up_sockets(struct site *site, struct site *old)
{
    for (struct site_listen *l = site->listens; l; l = l->next) {
        const struct site_listen *before = find_same_listen(old, &l->address);
        if (l->fds[0] >= 0 && !before)
            remove_file(l);
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
        const struct site_listen *before = find_same_listen(old, &l->address);
        for (int i = 0; i < l->fd_count; i++) {
            if (!open_one(l, i, before)) {
                const struct site_listen *own = in_the_way(site, l);
                bind_failed(site->conf, l, errno, own ? own : in_the_way(old, l));
                give_up_sockets(site, old);
                return false;
            }
        }
    }
    return true;
}

void sockets_disown(struct site *old, const struct site *site)
{
    for (struct site_listen *l = old->listens; l; l = l->next) {
        const struct site_listen *after = find_same_listen((struct site *)(uintptr_t)site, &l->address);
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

void sockets_remove_files(const struct site *site, const struct site *kept)
{
    for (const struct site_listen *l = site->listens; l; l = l->next)
        if (!find_same_listen((struct site *)(uintptr_t)kept, &l->address))
            remove_file(l);
}

void sockets_remove_stale_files(const struct site *site)
{
    for (const struct site_listen *l = site->listens; l; l = l->next)
        if (has_own_file(l))
            net_remove_stale_socket(&l->address);
}
