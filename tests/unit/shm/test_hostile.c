/*
 * tests/unit/shm/test_hostile.c - the region after a worker that was taken over has overwritten it: what the master does when
 * that worker has died returns, and afterwards limits hold again.
 *
 * Each case is a process of its own: what crashes or hangs is told by its end. WEIR_TEST_LONG=1 makes more of them.
 */
#include "shm/keyed.h"
#include "shm/lock.h"
#include "shm/peer.h"
#include "shm/reclaim.h"
#include "tests/functional/region.h"
#include "tests/unit/shm/permit_child.h"

#include <sys/prctl.h>

enum { SLOT = 0, LIMIT = 3, KEYS = 40, CASE_LIMIT_S = 15, IDLE_US = 600000000, ROUNDS = 1, ROUNDS_LONG = 20 };

static const struct pattern {
    const char *name;
    uint64_t n;
} patterns[] = {{"random", 1},  {"ones", 1},     {"zeros", 1},     {"value", 1},
                {"links", 60},  {"links", 9000}, {"links", 70000}, {"pointers", 1},
                {"shifted", 1}, {"shifted", 64}, {"shifted", 4096}};

struct world {
    struct shm *shm;
    struct permit_user user;
    unsigned limited, connections, requests, sessions; /* zones */
    struct shm_group *group;
};

static const struct keyed_rate rate = {1000000, 5000};
static const struct peer_rules peer_rules = {.weight = 1, .max_fails = 1, .fail_timeout_ms = 10000};

static struct slice key_of(unsigned number, char text[64])
{
    int len = snprintf(text, 64, "%0*u", number % 2 ? 50 : 5, number);
    return (struct slice){text, (size_t)len};
}

static bool open_zones(struct world *w)
{
    int connections = keyed_zone_open(w->shm, "connections", KEYED_CONNECTIONS, KEYED_BYTES_MIN, "$k");
    int requests = keyed_zone_open(w->shm, "requests", KEYED_REQUESTS, KEYED_BYTES_MIN, "$k");
    int sessions = keyed_zone_open(w->shm, "sessions", KEYED_SESSIONS, KEYED_BYTES_MIN, "");
    w->limited = zone_of(w->shm, "limited", rules_of(LIMIT, 10));
    w->connections = (unsigned)connections;
    w->requests = (unsigned)requests;
    w->sessions = (unsigned)sessions;
    w->group = peer_group_open(w->shm, slice_of("group"), clock_mono_ms());
    return connections >= 0 && requests >= 0 && sessions >= 0 && w->group;
}

/* Some of everything, in use by the worker of the slot. */
static bool begin(struct world *w)
{
    char text[64];
    uint64_t excess;
    uint32_t permit;
    w->shm = shm_create();
    if (!w->shm || !open_zones(w))
        return false;
    w->user = user_in(w->shm, SLOT);
    for (int i = 0; i < 2 * LIMIT; i++)
        ask_at(&w->user, w->limited, (enum permit_priority)(i % PERMIT_PRIORITIES), clock_mono_us());
    for (unsigned i = 0; i < KEYS; i++) {
        keyed_hold(&w->user, w->connections, key_of(i, text), LIMIT, &permit);
        keyed_request(w->shm, w->requests, key_of(i, text), clock_mono_us(), rate, true, &excess);
        keyed_remember(w->shm, w->sessions, key_of(i, text), i, clock_mono_us(), IDLE_US);
    }
    for (unsigned i = 0; i < 10; i++)
        if (!peer_open(w->shm, w->group, key_of(i, text), &peer_rules, 0, clock_mono_ms()))
            return false;
    return true;
}

static bool scribble(const char *part, const struct pattern *p, uint64_t *random)
{
    struct region_range found[REGION_MAPPINGS];
    int count = region_find_part(part, found);
    for (int i = 0; i < count; i++)
        region_fill(found[i], p->name, p->n, random);
    region_set_locks(0);
    return count > 0;
}

/* What the master does. */
static void reclaim(struct world *w)
{
    const struct permit_rules rules = rules_of(LIMIT, 10);
    int kept[] = {(int)w->connections, (int)w->requests, (int)w->sessions};
    shm_slot_clear_gauges(&w->shm->slots[SLOT]);
    w->shm->slots_known = SLOT + 1;
    shm_reclaim(w->shm, SLOT, false);
    open_zones(w); /* a reload */
    permit_zone_set(w->shm, w->limited, &rules);
    keyed_zones_prune(w->shm, kept, 3);
}

/* Whether the next worker of the slot finds all in order. */
static bool works(struct world *w)
{
    uint32_t permit;
    uint64_t excess, now_ms = clock_mono_ms();
    struct permit_user u = user_in(w->shm, SLOT);
    int went = 0, held = 0;
    for (int i = 0; i < LIMIT + 1; i++)
        went += ask_at(&u, w->limited, PERMIT_NORMAL, clock_mono_us()).result == PERMIT_GO;
    for (int i = 0; i < LIMIT + 1; i++)
        held += keyed_hold(&u, w->connections, slice_of("new"), LIMIT, &permit) == KEYED_OK;
    bool passes =
        keyed_request(w->shm, w->requests, slice_of("new"), clock_mono_us(), rate, true, &excess) == KEYED_OK;
    uint64_t value = 0;
    keyed_remember(w->shm, w->sessions, slice_of("new"), 7, clock_mono_us(), IDLE_US);
    passes &=
        keyed_recall(w->shm, w->sessions, slice_of("new"), clock_mono_us(), IDLE_US, &value) && value == 7;
    struct shm_peer *peer = peer_open(w->shm, w->group, slice_of("new"), &peer_rules, 0, now_ms);
    return went == LIMIT && held == LIMIT && passes && peer && peer_state(peer, now_ms) == PEER_UP;
}

struct attack {
    const char *part;
    const struct pattern *pattern;
    uint64_t seed;
};

/* 0: all is well; 1: the next worker finds a disorder; 2: the test is wrong. */
static int attacked(const struct attack *a)
{
    struct world w;
    uint64_t random = a->seed;
    alarm(CASE_LIMIT_S);
    if (!begin(&w) || !scribble(a->part, a->pattern, &random))
        return 2;
    reclaim(&w);
    return works(&w) ? 0 : 1;
}

static void attack_in_child(const char *part, const struct pattern *pattern, uint64_t seed)
{
    const struct attack a = {part, pattern, seed};
    char which[200];
    pid_t pid = fork();
    if (pid == 0)
        _exit(attacked(&a));
    int status = child_wait(pid);
    snprintf(which, sizeof which, "%s, %s %llu, %s %d", part, pattern->name, (unsigned long long)pattern->n,
             WIFSIGNALED(status) ? "signal" : "code",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    CHECK_FOR(which, pid > 0 && status == 0);
}

static void attack_part(const char *part)
{
    int rounds = getenv("WEIR_TEST_LONG") ? ROUNDS_LONG : ROUNDS;
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
            attack_in_child(part, &patterns[i], 1 + i + 1000u * (unsigned)round);
}

static void each_table(void)
{
    for (int i = 0; i < REGION_TABLES; i++)
        attack_part(region_tables[i].name);
}

static void memory_of_keyed_zones(void)
{
    attack_part("keyed_memory");
}

static void all_that_is_shared(void)
{
    attack_part("everything");
}

/* --- a living worker that goes on writing while the master puts right what another one has left --- */

enum { RECLAIMS = 5, BOUND_MS = 100 };

/* Says by a byte that all has been written once. */
static void go_on_writing(const struct attack *a, int begun)
{
    struct region_range found[REGION_MAPPINGS];
    int count = region_find_part(a->part, found);
    uint64_t random = a->seed;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (ssize_t told = 0;; told = told == 1 ? told : write(begun, "", 1))
        for (int i = 0; i < count; i++)
            region_fill(found[i], a->pattern->name, a->pattern->n, &random);
}

/* 0: the master has come through. */
static int attacked_all_the_time(const struct attack *a)
{
    struct world w;
    /* A pipe: any shared memory of its own would be written to as well. */
    int begun[2];
    char byte;
    alarm(CASE_LIMIT_S);
    if (!begin(&w) || pipe(begun) < 0)
        return 2;
    pid_t writer = fork();
    if (writer == 0)
        go_on_writing(a, begun[1]);
    if (read(begun[0], &byte, 1) != 1)
        return 2;
    for (int i = 0; i < RECLAIMS; i++) {
        shm_lock_bound(BOUND_MS);
        reclaim(&w);
    }
    child_kill(writer);
    child_wait(writer);
    return 0;
}

static void while_it_is_written(void)
{
    static const struct attack attacks[] = {
        {"permit_zones", &patterns[4], 1}, {"permit_zones", &patterns[0], 2},
        {"permit_parts", &patterns[4], 3}, {"groups", &patterns[0], 4},
        {"keyed_memory", &patterns[4], 5}, {"keyed_memory", &patterns[0], 6},
        {"everything", &patterns[4], 7}};
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        char which[100];
        pid_t pid = fork();
        if (pid == 0)
            _exit(attacked_all_the_time(&attacks[i]));
        int status = child_wait(pid);
        snprintf(which, sizeof which, "%s, %s: %#x", attacks[i].part, attacks[i].pattern->name,
                 (unsigned)status);
        CHECK_FOR(which, pid > 0 && status == 0);
    }
}

static const struct check_case cases[] = {
    {"each table is overwritten", each_table},
    {"the memory of keyed zones is overwritten", memory_of_keyed_zones},
    {"all is overwritten", all_that_is_shared},
    {"while it is written", while_it_is_written},
};

CHECK_MAIN("the region after an attack", cases)
