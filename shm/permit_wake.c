/*
 * shm/permit_wake.c - how a process learns that others have changed its permits: a datagram to its socket.
 *
 * The socket has a name in the abstract namespace, which stands in the process's part: so a process that was started
 * later can be reached, and no descriptor has to be handed around. A datagram says nothing but "look"; one that is
 * lost costs a moment, as whoever has waiters also looks by itself now and then.
 */
#include "shm/permit_internal.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Datagrams read at a time: anybody on this machine can send. */
enum { HEARD_MAX = 64 };
/* An address is a zero and five hexadecimal digits: unix(7), "Autobind feature". */
enum { AUTOBIND_BYTES = 6 };

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int permit_open_wake_socket(char address[8])
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t len = sizeof name;
    int fd = new_socket();
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&name, sizeof name.sun_family) < 0 ||
        getsockname(fd, (struct sockaddr *)&name, &len) < 0) {
        close(fd);
        return -1;
    }
    memset(address, 0, 8);
    memcpy(address, name.sun_path + 1, AUTOBIND_BYTES - 1);
    return fd;
}

/* A process that is woken already is left alone. */
static void wake_one(struct permit_part *part, int from)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (atomic_exchange(&part->woken, 1))
        return;
    memcpy(name.sun_path + 1, part->address, AUTOBIND_BYTES - 1);
    if (sendto(from, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + AUTOBIND_BYTES)) < 0)
        atomic_store(&part->woken, 0);
}

void permit_wake(const struct shm *shm, int from, const struct permit_calls *calls)
{
    assert(calls->count >= 0 && calls->count <= PERMIT_CALLS_MAX);
    if (calls->count == 0)
        return;
    /* The addresses are the workers' to write: the master sends nothing there. Those of another binary look by themselves. */
    for (int i = 0; shm->wake && i < calls->count; i++)
        if (calls->places[i] / SHM_SLOTS == shm->side)
            shm->wake(shm->wake_with, calls->places[i] % SHM_SLOTS);
    if (shm->wake)
        return;
    int own = from < 0 ? new_socket() : -1, fd = from < 0 ? own : from;
    for (int i = 0; i < calls->count && fd >= 0; i++)
        wake_one(&shm->permits->parts[calls->places[i]], fd);
    if (own >= 0)
        close(own);
}

void permit_poke(struct permit_user *u, int slot, uint64_t now_us)
{
    assert(slot >= 0 && slot < SHM_SLOTS && u->socket >= 0);
    struct permit_part *part = &permit_region(u->shm)->parts[permit_place(u->shm, slot)];
    if (atomic_load_explicit(&part->granted_us, memory_order_relaxed) == 0)
        atomic_store(&part->granted_us, now_us);
    wake_one(part, u->socket);
}

bool permit_is_silent(const struct permit_user *u, int slot, uint64_t now_us)
{
    const struct permit_part *part = &permit_region(u->shm)->parts[permit_place(u->shm, slot)];
    uint64_t since_us = atomic_load_explicit(&part->granted_us, memory_order_relaxed);
    return slot != u->slot && since_us != 0 && now_us > since_us && now_us - since_us >= PERMIT_UPTAKE_US;
}

void permit_heard(struct permit_user *u)
{
    char bytes[8];
    for (int i = 0; i < HEARD_MAX && recv(u->socket, bytes, sizeof bytes, 0) >= 0; i++) {
    }
    atomic_store(&u->part->woken, 0);
    atomic_store(&u->part->granted_us, 0);
    atomic_thread_fence(memory_order_seq_cst); /* before the looks at what has changed */
}

bool permit_any_changed(const struct permit_user *u)
{
    const struct permit_part *part = u->part;
    for (size_t i = 0; i < sizeof part->changed_words / sizeof part->changed_words[0]; i++)
        if (atomic_load_explicit(&part->changed_words[i], memory_order_relaxed))
            return true;
    return false;
}

uint32_t permit_next_changed(struct permit_user *u)
{
    struct permit_part *part = u->part;
    for (uint32_t i = 0; i < sizeof part->changed_words / sizeof part->changed_words[0]; i++) {
        uint64_t words;
        while ((words = atomic_load(&part->changed_words[i]))) {
            uint32_t word = i * 64 + (uint32_t)__builtin_ctzll(words);
            uint64_t bits = atomic_load(&part->changed[word]);
            if (bits) {
                uint32_t bit = (uint32_t)__builtin_ctzll(bits);
                assert(word * 64 + bit < SHM_PERMITS_PER_SLOT);
                atomic_fetch_and(&part->changed[word], ~(1ull << bit));
                return word * 64 + bit;
            }
            /* First the summary, then a second look: who sets a bit does it the other way round. */
            atomic_fetch_and(&part->changed_words[i], ~(1ull << word % 64));
            if (atomic_load(&part->changed[word]))
                atomic_fetch_or(&part->changed_words[i], 1ull << word % 64);
        }
    }
    return UINT32_MAX;
}
