/*
 * master/doors.c - each worker's door: a pair of sockets by which its siblings reach it, without a word of the master's.
 *
 * The worker alone has the end that hears, and what has been said and not heard is gone with it. The master has the other end as
 * long as the worker lives: who is forked later inherits it, who was forked before is sent it. Nothing can be sent to the master by
 * it: a socket that it left to the master to close might linger, and the master with it.
 */
#include "master/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "shm/shm.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

bool doors_send(int channel, const struct worker_message *m, int fd)
{
    struct iovec data = {(void *)(uintptr_t)m, sizeof *m};
    return fd_send_beside(channel, &data, 1, fd) == (ssize_t)sizeof *m;
}

int doors_make(struct master *m, int slot)
{
    struct door *d = &m->doors[slot];
    int ends[2];
    assert(!d->is_open);
    d->incarnation++;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "socketpair() failed; worker %d does not share work with others",
                  slot);
        return -1;
    }
    shutdown(ends[1], SHUT_RD);
    d->speaks = ends[1];
    d->is_open = true;
    return ends[0];
}

void doors_announce(struct master *m, int slot)
{
    struct worker_message message = {.kind = WORKER_SIBLING, .slot = (uint64_t)slot};
    for (int i = 0; m->doors[slot].is_open && i < SHM_SLOTS; i++)
        if (i != slot && child_is_alive(&m->children[i]) && m->children[i].channel >= 0)
            doors_send(m->children[i].channel, &message, m->doors[slot].speaks);
}

void doors_keep_own(struct master *m, int slot, int hears, struct worker_doors *doors)
{
    for (int i = 0; i < SHM_SLOTS; i++)
        doors->speaks[i] = m->doors[i].is_open && i != slot ? m->doors[i].speaks : -1;
    doors->hears = hears;
    doors->incarnation = m->doors[slot].incarnation;
    if (m->doors[slot].is_open)
        close(m->doors[slot].speaks);
}

void doors_close(struct master *m, int slot)
{
    if (m->doors[slot].is_open)
        close(m->doors[slot].speaks);
    m->doors[slot].is_open = false;
}

void doors_tell_of_death(struct master *m, int slot)
{
    struct worker_message message = {.kind = WORKER_SIBLING_ENDED,
                                     .slot = worker_incarnation(slot, m->doors[slot].incarnation)};
    assert(!child_is_alive(&m->children[slot]) || m->children[slot].ended);
    doors_close(m, slot);
    for (int i = 0; i < SHM_SLOTS; i++)
        if (i != slot && child_is_alive(&m->children[i]) && m->children[i].channel >= 0)
            send(m->children[i].channel, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
}
