/*
 * master/doors.c - each worker's door: a pair of sockets by which its siblings reach it, without a word of the master's.
 *
 * A door belongs to the slot and outlives its workers: what was said to one that has died its successor hears. The master holds both
 * ends, uses neither, and gives them away: the end that hears to the slot's worker, the one that speaks to all others. Who was
 * forked before a door was made is sent it.
 */
#include "master/internal.h"

#include "base/log.h"
#include "shm/shm.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

bool doors_send(int channel, const struct worker_message *m, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {(void *)(uintptr_t)m, sizeof *m};
    struct msghdr msg = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    return sendmsg(channel, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof *m;
}

/* To all that are at work and do not have it. One whose channel is full does without. */
static void announce(struct master *m, int slot)
{
    struct worker_message message = {.kind = WORKER_SIBLING, .slot = (uint64_t)slot};
    for (int i = 0; i < SHM_SLOTS; i++)
        if (child_is_alive(&m->children[i]) && m->children[i].channel >= 0)
            doors_send(m->children[i].channel, &message, m->doors[slot].speaks);
}

void doors_make(struct master *m, int slot)
{
    struct door *d = &m->doors[slot];
    int ends[2];
    if (d->is_open)
        return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "socketpair() failed; worker %d cannot share work with others",
                  slot);
        return;
    }
    d->hears = ends[0];
    d->speaks = ends[1];
    d->is_open = true;
    announce(m, slot);
}

void doors_make_some(struct master *m, int count)
{
    for (int i = 0; i < SHM_SLOTS && count > 0; i++) {
        if (m->children[i].state != CHILD_NONE)
            continue;
        doors_make(m, i);
        count--;
    }
}

void doors_keep_own(struct master *m, int slot, struct worker_doors *doors)
{
    for (int i = 0; i < SHM_SLOTS; i++) {
        doors->speaks[i] = m->doors[i].is_open && i != slot ? m->doors[i].speaks : -1;
        if (m->doors[i].is_open)
            close(i == slot ? m->doors[i].speaks : m->doors[i].hears);
    }
    doors->hears = m->doors[slot].is_open ? m->doors[slot].hears : -1;
}

void doors_tell_of_death(struct master *m, int slot)
{
    struct worker_message message = {.kind = WORKER_SIBLING_ENDED,
                                     .slot = worker_incarnation(slot, m->doors[slot].incarnation)};
    assert(!child_is_alive(&m->children[slot]) || m->children[slot].ended);
    for (int i = 0; i < SHM_SLOTS; i++)
        if (i != slot && child_is_alive(&m->children[i]) && m->children[i].channel >= 0)
            send(m->children[i].channel, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
}
