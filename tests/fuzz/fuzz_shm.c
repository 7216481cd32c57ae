/*
 * tests/fuzz/fuzz_shm.c - the shared region after a worker has overwritten it: all that the master does with it when that worker
 * has died, or at a reload, returns without a wild access.
 *
 * The input is a list of writes: which table, where in it, how many bytes, and the bytes, which repeat. Locks are left alone.
 */
#include "tests/fuzz/fuzz.h"

#include "base/clock.h"
#include "shm/keyed.h"
#include "shm/peer.h"
#include "shm/permit.h"
#include "tests/functional/region.h"

#include <sys/mman.h>

enum {
    SLOT = 1,
    OTHER_SLOT = 2,
    IDLE_US = 600000000,
    LIMIT = 3,
    KEYS = 20,
    WRITES_MAX = 64,
    WRITE_HEAD_BYTES = 6
};

static const struct permit_rules rules = {.limit = LIMIT, .queue = 10, .queue_timeout_us = 1000000000};
static const struct keyed_rate rate = {1000000, 5000};
static const struct peer_rules peer_rules = {.weight = 1, .max_fails = 1, .fail_timeout_ms = 10000};
static const char *const wanted[] = {NULL};

struct world {
    struct shm *shm;
    int limited, connections, requests, sessions; /* zones */
    struct shm_group *group;
};

static struct slice key_of(unsigned number, char text[64])
{
    int len = snprintf(text, 64, "%0*u", number % 2 ? 50 : 5, number);
    return (struct slice){text, (size_t)len};
}

static void open_zones(struct world *w)
{
    w->limited = permit_zone_open(w->shm, "limited", &rules, wanted);
    w->connections = keyed_zone_open(w->shm, "connections", KEYED_CONNECTIONS, KEYED_BYTES_MIN, "$k");
    w->requests = keyed_zone_open(w->shm, "requests", KEYED_REQUESTS, KEYED_BYTES_MIN, "$k");
    w->sessions = keyed_zone_open(w->shm, "sessions", KEYED_SESSIONS, KEYED_BYTES_MIN, "");
    w->group = peer_group_open(w->shm, slice_of("group"), clock_mono_ms());
}

/* Some of everything, in use by the worker of the slot; it may find all of it overwritten. */
static bool use(struct world *w, int slot)
{
    static const struct permit_about about = {.method_len = 3, .method = "GET"};
    struct permit_user u;
    enum permit_reason why;
    char text[64];
    uint32_t permit;
    uint64_t excess, value;
    if (!permit_open(&u, w->shm, slot))
        return false;
    for (int i = 0; i < 2 * LIMIT; i++) {
        struct permit_request request = {
            .zone = (unsigned)w->limited, .priority = PERMIT_NORMAL, .now_us = clock_mono_us()};
        permit_acquire(&u, &request, &about, &permit, &why);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        keyed_hold(&u, (unsigned)w->connections, key_of(i, text), LIMIT, &permit);
        keyed_request(w->shm, (unsigned)w->requests, key_of(i, text), clock_mono_us(), rate, true, &excess);
        keyed_remember(w->shm, (unsigned)w->sessions, key_of(i, text), i, clock_mono_us(), IDLE_US);
        keyed_recall(w->shm, (unsigned)w->sessions, key_of(i / 2, text), clock_mono_us(), IDLE_US, &value);
        peer_open(w->shm, w->group, key_of(i, text), &peer_rules, 0, clock_mono_ms());
    }
    permit_close(&u);
    return true;
}

/* One write; returns how many bytes of the input it took. */
static size_t write_one(const uint8_t *data, size_t size)
{
    struct region_range found[REGION_MAPPINGS];
    unsigned which = data[0] % (REGION_TABLES + 1);
    int count = region_find_part(which < REGION_TABLES ? region_tables[which].name : "keyed_memory", found);
    FUZZ_CHECK(count > 0);
    struct region_range r = found[data[0] / 16 % count];
    size_t at = (data[1] | (size_t)data[2] << 8 | (size_t)data[3] << 16) * 4 % r.bytes;
    size_t len = ((size_t)data[4] << (data[5] % 16)) + 4, given = 1 + data[5] / 16;
    if (given > size - WRITE_HEAD_BYTES)
        given = size - WRITE_HEAD_BYTES;
    for (size_t i = 0; i < len && at + i < r.bytes && given; i++)
        r.at[at + i] = (char)data[WRITE_HEAD_BYTES + i % given];
    return WRITE_HEAD_BYTES + given;
}

/* A death of the worker, and a reload. */
static void put_right(struct world *w)
{
    shm_slot_clear_gauges(&w->shm->slots[SLOT]);
    keyed_reclaim(w->shm, SLOT);
    permit_reclaim(w->shm, SLOT);
    peer_reclaim(w->shm, SLOT);
    open_zones(w);
    if (w->limited >= 0)
        permit_zone_set(w->shm, (unsigned)w->limited, &rules);
    keyed_zones_prune(w->shm, NULL, 0);
}

/* Zones of keys with something in them outlive their region. */
static void forget_keyed_memory(void)
{
    struct region_range found[REGION_MAPPINGS];
    for (int i = region_find_part("keyed_memory", found) - 1; i >= 0; i--)
        munmap(found[i].at, found[i].bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.shm = shm_create()};
    FUZZ_CHECK(w.shm);
    open_zones(&w);
    FUZZ_CHECK(use(&w, SLOT));
    for (int i = 0; i < WRITES_MAX && size > WRITE_HEAD_BYTES; i++) {
        size_t taken = write_one(data, size);
        data += taken;
        size -= taken;
    }
    region_set_locks(0);
    use(&w, OTHER_SLOT);
    put_right(&w);
    forget_keyed_memory();
    shm_destroy(w.shm);
    return 0;
}
