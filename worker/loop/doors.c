/*
 * worker/loop/doors.c - messages between workers over their doors: sockets that keep messages apart.
 */
#include "worker/loop/doors.h"

#include "base/fd.h"
#include "base/hist.h"
#include "base/log.h"
#include "shm/shm.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { HEARD_PER_TURN = 64, HEARD_AT_MOST = 4096 };

/* In front of each message. With other numbers it was not meant for us, but for an earlier worker of the slot. */
struct door_head {
    uint32_t kind;
    int32_t from;
    uint64_t family;
    /* Which of the workers that the two slots have had. */
    uint64_t speaker, hearer;
};

/* What waits for room. */
struct waiting_message {
    struct waiting_message *next;
    struct door_head head;
    size_t len;
    char bytes[];
};

struct far_door {
    ev_io room; /* runs while something waits */
    struct worker *worker;
    struct waiting_message *first, **last;
};

struct doors {
    ev_io hears;
    door_hears hearers[DOOR_KINDS];
    int fds[SHM_SLOTS];
    struct far_door *far[SHM_SLOTS]; /* once something has had to wait */
    unsigned waiting;                /* doors that something waits for */
    uint64_t heard_ms;               /* when something was heard last */
    char message[sizeof(struct door_head) + DOOR_MESSAGE_MAX];
};

/* --- hearing --- */

static void hear_one(struct worker *w, struct door_message *m)
{
    struct door_head head;
    if (m->bytes.len < sizeof head)
        return;
    memcpy(&head, m->bytes.data, sizeof head);
    bool known = head.kind < DOOR_KINDS && head.from >= 0 && head.from < SHM_SLOTS &&
                 head.from != w->options->slot && head.family == w->options->doors->family &&
                 head.hearer == w->options->doors->incarnation && w->doors->fds[head.from] >= 0;
    if (!known || !w->doors->hearers[head.kind])
        return;
    m->from = (struct sibling){head.from, head.speaker};
    m->bytes = (struct slice){m->bytes.data + sizeof head, m->bytes.len - sizeof head};
    w->doors->hearers[head.kind](w, m);
}

/* Nobody has the other end any more: neither the master nor a sibling. */
static bool has_ended(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

static void hear_some(struct worker *w, int most)
{
    struct doors *d = w->doors;
    assert(!w->driving);
    for (int i = 0; i < most; i++) {
        struct door_message m = {0};
        ssize_t n = fd_receive_beside(d->hears.fd, d->message, sizeof d->message, &m.fd);
        if (n < 0)
            return;
        if (n == 0 && has_ended(d->hears.fd)) {
            ev_io_stop(w->loop, &d->hears); /* or it would be called for ever */
            return;
        }
        m.bytes = (struct slice){d->message, (size_t)n};
        hear_one(w, &m);
        if (m.fd >= 0)
            fd_close_foreign(m.fd);
    }
}

static void on_message(struct ev_loop *loop, ev_io *io, int events)
{
    struct worker *w = io->data;
    (void)loop;
    (void)events;
    /* A look in vain costs as much as a message: where they come one by one, the next is left to the next turn. */
    struct doors *d = w->doors;
    bool soon = w->now_ms == d->heard_ms;
    d->heard_ms = w->now_ms;
    hear_some(w, soon ? HEARD_PER_TURN : 1);
    w->hooks.woken(w);
}

void doors_hear_all(struct worker *w)
{
    if (w->doors)
        hear_some(w, HEARD_AT_MOST);
}

void doors_hear(struct worker *w, enum door_kind kind, door_hears hears)
{
    if (w->doors)
        w->doors->hearers[kind] = hears;
}

static void stop_waiting(struct worker *w, struct far_door *far)
{
    assert(!far->first && w->doors->waiting > 0);
    far->last = &far->first;
    ev_io_stop(w->loop, &far->room);
    w->doors->waiting--;
}

/* What waits for room in a door that is no more. */
static void drop_waiting(struct worker *w, int slot)
{
    struct far_door *far = w->doors->far[slot];
    if (!far || !far->first)
        return;
    while (far->first) {
        struct waiting_message *m = far->first;
        far->first = m->next;
        free(m);
    }
    stop_waiting(w, far);
}

bool doors_open(struct worker *w)
{
    const struct worker_doors *given = w->options->doors;
    if (!given || given->hears < 0)
        return true;
    struct doors *d = calloc(1, sizeof *d);
    if (!d)
        return false;
    memcpy(d->fds, given->speaks, sizeof d->fds);
    ev_io_init(&d->hears, on_message, given->hears, EV_READ);
    ev_set_priority(&d->hears, URGENT_PRIORITY);
    d->hears.data = w;
    ev_io_start(w->loop, &d->hears);
    w->doors = d;
    return true;
}

void doors_add(struct worker *w, int slot, int fd)
{
    struct doors *d = w->doors;
    if (!d || slot < 0 || slot >= SHM_SLOTS || slot == w->options->slot) {
        fd_close_foreign(fd);
        return;
    }
    drop_waiting(w, slot);
    if (d->fds[slot] >= 0)
        close(d->fds[slot]);
    d->fds[slot] = fd;
}

bool doors_reach(const struct worker *w, int slot)
{
    const struct shm_slot *s = &w->shm->slots[slot];
    return w->doors && w->doors->fds[slot] >= 0 && s->state == SHM_RUNNING &&
           counter_get(&s->generation) == counter_get(&w->slot->generation);
}

/* --- speaking --- */

static ssize_t transmit(int to, const struct door_head *head, struct slice message, int fd)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)head, sizeof *head},
                             {(void *)(uintptr_t)message.data, message.len}};
    return fd_send_beside(to, parts, 2, fd);
}

struct sibling doors_sibling(const struct worker *w, int slot)
{
    return (struct sibling){slot, counter_get(&w->shm->slots[slot].incarnation)};
}

static struct door_head head_of(const struct worker *w, struct sibling to, enum door_kind kind)
{
    return (struct door_head){.kind = kind,
                              .from = w->options->slot,
                              .family = w->options->doors->family,
                              .speaker = w->options->doors->incarnation,
                              .hearer = to.incarnation};
}

/* The worker is dead. Any other error is one of room, or of the system's memory, and may pass. */
static bool is_closed(int error)
{
    return error == EPIPE || error == ECONNRESET || error == ECONNREFUSED;
}

static bool is_waited_for(const struct doors *d, int slot)
{
    return d->far[slot] && d->far[slot]->first;
}

static void on_room(struct ev_loop *loop, ev_io *io, int events)
{
    struct far_door *far = (struct far_door *)io; /* its first member */
    (void)loop;
    (void)events;
    while (far->first) {
        struct waiting_message *m = far->first;
        if (transmit(io->fd, &m->head, (struct slice){m->bytes, m->len}, -1) < 0 && !is_closed(errno))
            return;
        far->first = m->next;
        free(m);
    }
    stop_waiting(far->worker, far);
}

static bool wait_for_room(struct worker *w, int to, const struct door_head *head, struct slice message)
{
    struct doors *d = w->doors;
    struct waiting_message *m = malloc(sizeof *m + message.len);
    if (!d->far[to] && (d->far[to] = calloc(1, sizeof *d->far[to]))) {
        d->far[to]->worker = w;
        d->far[to]->last = &d->far[to]->first;
        ev_init(&d->far[to]->room, on_room);
    }
    if (!m || !d->far[to]) {
        free(m);
        return false;
    }
    *m = (struct waiting_message){.head = *head, .len = message.len};
    if (message.len)
        memcpy(m->bytes, message.data, message.len);
    if (!d->far[to]->first) {
        ev_io_set(&d->far[to]->room, d->fds[to], EV_WRITE);
        ev_io_start(w->loop, &d->far[to]->room);
        d->waiting++;
    }
    *d->far[to]->last = m;
    d->far[to]->last = &m->next;
    return true;
}

bool doors_try(struct worker *w, struct sibling to, enum door_kind kind, struct slice message, int fd)
{
    struct doors *d = w->doors;
    struct door_head head = head_of(w, to, kind);
    int slot = to.slot;
    assert(d && slot >= 0 && slot < SHM_SLOTS && message.len <= DOOR_MESSAGE_MAX);
    return d->fds[slot] >= 0 && !is_waited_for(d, slot) && transmit(d->fds[slot], &head, message, fd) >= 0;
}

bool doors_say(struct worker *w, struct sibling to, enum door_kind kind, struct slice message)
{
    struct doors *d = w->doors;
    struct door_head head = head_of(w, to, kind);
    int slot = to.slot;
    assert(d && slot >= 0 && slot < SHM_SLOTS && message.len <= DOOR_MESSAGE_MAX && d->fds[slot] >= 0);
    /* Nobody is left who could hear it. */
    if (!is_waited_for(d, slot) && (transmit(d->fds[slot], &head, message, -1) >= 0 || is_closed(errno)))
        return true;
    return wait_for_room(w, slot, &head, message);
}

bool doors_are_busy(const struct worker *w)
{
    return w->doors && w->doors->waiting > 0;
}
