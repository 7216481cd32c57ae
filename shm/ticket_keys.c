/*
 * shm/ticket_keys.c - the ring of ticket keys: its memory, its turns, and looks at it.
 *
 * Of five places the one that is written is two ahead of the current one, where nobody looks: a key is never seen half made.
 */
#include "shm/ticket_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 1,
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
    CLAIM_MS = 10000,
    CLAIM_NUMBER_BITS = 24,
    OLD = 2,
    AHEAD = 1
};

struct ring {
    uint32_t version;
    /* Of the current key; its place is this modulo TICKET_KEYS. */
    _Atomic uint64_t number;
    _Atomic uint64_t since_ms; /* monotonic */
    /* The number that somebody is making, and since when, in seconds: one word, so that they belong together. */
    _Atomic uint64_t claim;
    unsigned char keys[TICKET_KEYS][TICKET_KEY_BYTES];
};

static struct {
    struct ring *ring;
    int fd, read_fd;
} own = {NULL, -1, -1};

static struct ring *map(int fd, int protection, void *at)
{
    void *mapped = mmap(at, sizeof(struct ring), protection, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    /* A core must not show keys. */
    madvise(mapped, sizeof(struct ring), MADV_DONTDUMP);
    return mapped;
}

static void close_files(void)
{
    if (own.fd >= 0)
        close(own.fd);
    if (own.read_fd >= 0)
        close(own.read_fd);
    own.fd = own.read_fd = -1;
}

void ticket_keys_close(void)
{
    if (own.ring)
        munmap(own.ring, sizeof *own.ring);
    own.ring = NULL;
    close_files();
}

/* A mapping by a descriptor that can only read can never be made writable (mprotect(2)). -1: there is no /proc. */
static int open_again_for_reading(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void use(struct ring *ring, int fd)
{
    ticket_keys_close();
    own.ring = ring;
    own.fd = fd;
    own.read_fd = open_again_for_reading(fd);
}

static bool make_key(unsigned char key[TICKET_KEY_BYTES])
{
    return getrandom(key, TICKET_KEY_BYTES, 0) == TICKET_KEY_BYTES;
}

bool ticket_keys_open(void)
{
    int fd = memfd_create("weir ticket keys", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct ring *ring = NULL;
    if (fd >= 0 && ftruncate(fd, sizeof *ring) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        ring = map(fd, PROT_READ | PROT_WRITE, NULL);
    bool ok = ring != NULL;
    for (int i = 0; ok && i < TICKET_KEYS; i++)
        ok = make_key(ring->keys[i]);
    if (!ok) {
        int error = errno;
        if (ring)
            munmap(ring, sizeof *ring);
        if (fd >= 0)
            close(fd);
        errno = error;
        return false;
    }
    ring->version = VERSION;
    atomic_store(&ring->number, TICKET_KEYS); /* there are old ones from the beginning */
    use(ring, fd);
    return true;
}

int ticket_keys_file(void)
{
    return own.fd;
}

bool ticket_keys_take_over(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size != (off_t)sizeof(struct ring) ||
        (fcntl(fd, F_GET_SEALS) & SEALS) != SEALS)
        return false;
    struct ring *ring = map(fd, PROT_READ | PROT_WRITE, NULL);
    if (!ring)
        return false;
    if (ring->version != VERSION) {
        munmap(ring, sizeof *ring);
        return false;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    use(ring, fd);
    return true;
}

static uint64_t claim_of(uint64_t number, uint64_t now_ms)
{
    return now_ms / 1000 << CLAIM_NUMBER_BITS | (number & ((1u << CLAIM_NUMBER_BITS) - 1));
}

/* Whether it is for this process to make the next key: *mine. One that has claimed that and died is waited for, but not for ever. */
static bool claim(struct ring *r, uint64_t number, uint64_t now_ms, uint64_t *mine)
{
    uint64_t there = atomic_load(&r->claim), age_ms = now_ms - (there >> CLAIM_NUMBER_BITS) * 1000;
    bool is_taken = claim_of(number + 1, 0) == (there & ((1u << CLAIM_NUMBER_BITS) - 1));
    *mine = claim_of(number + 1, now_ms);
    return !(is_taken && age_ms < CLAIM_MS) && atomic_compare_exchange_strong(&r->claim, &there, *mine);
}

/* Made beside, and put in its place only while the claim stands: whoever was stopped meanwhile comes too late. */
static bool make_next(struct ring *r, uint64_t number, uint64_t since_ms, uint64_t now_ms, uint64_t mine)
{
    unsigned char key[TICKET_KEY_BYTES];
    if (!make_key(key) || atomic_load(&r->claim) != mine)
        return false;
    memcpy(r->keys[(number + AHEAD + 1) % TICKET_KEYS], key, sizeof key);
    explicit_bzero(key, sizeof key);
    /* First: who sees the new number must not find its turn over. Another one's turn is not this one's to shorten. */
    return atomic_compare_exchange_strong(&r->since_ms, &since_ms, now_ms) &&
           atomic_compare_exchange_strong(&r->number, &number, number + 1);
}

uint64_t ticket_keys_look(uint64_t now_ms, uint64_t valid_ms)
{
    struct ring *r = own.ring;
    uint64_t turn_ms = valid_ms > TICKET_KEYS_TURN_MS ? valid_ms : TICKET_KEYS_TURN_MS;
    if (!r || own.fd < 0)
        return 0; /* there is none of ours to change */
    uint64_t number = atomic_load(&r->number), since_ms = atomic_load(&r->since_ms);
    if (since_ms == 0) {
        atomic_compare_exchange_strong(&r->since_ms, &since_ms, now_ms);
        return now_ms + turn_ms;
    }
    if (now_ms < since_ms + turn_ms)
        return since_ms + turn_ms;
    uint64_t mine;
    bool made = claim(r, number, now_ms, &mine) && make_next(r, number, since_ms, now_ms, mine);
    return now_ms + (made ? turn_ms : CLAIM_MS);
}

void ticket_keys_read_only(void)
{
    if (own.ring && own.read_fd >= 0)
        map(own.read_fd, PROT_READ, own.ring);
    close_files();
}

bool ticket_keys_current(unsigned char key[TICKET_KEY_BYTES])
{
    const struct ring *r = own.ring;
    if (!r)
        return false;
    memcpy(key, r->keys[atomic_load(&r->number) % TICKET_KEYS], TICKET_KEY_BYTES);
    return true;
}

int ticket_keys_find(const unsigned char name[TICKET_KEY_NAME_BYTES], unsigned char key[TICKET_KEY_BYTES])
{
    const struct ring *r = own.ring;
    if (!r)
        return 0;
    uint64_t number = atomic_load(&r->number);
    for (int i = -AHEAD; i <= OLD; i++) {
        const unsigned char *k = r->keys[(number - (uint64_t)(int64_t)i) % TICKET_KEYS];
        if (memcmp(k, name, TICKET_KEY_NAME_BYTES) == 0) {
            memcpy(key, k, TICKET_KEY_BYTES);
            return i <= 0 ? 1 : 2;
        }
    }
    return 0;
}
