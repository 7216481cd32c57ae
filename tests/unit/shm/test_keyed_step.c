/*
 * tests/unit/shm/test_keyed_step.c - one call of a child process, executed instruction by instruction: were it killed
 * after any one that changes something in shared memory, the tables would be whole again and nothing lost or counted
 * twice.
 *
 * The child runs once. Where it is to have died, the memory is saved, its locks become those of a process that is dead,
 * the others go on, and then the memory is as it was and the child takes its next step. WEIR_TEST_LONG=1 tries this after
 * all instructions.
 */
#include "tests/unit/shm/keyed_help.h"

#include <sys/ptrace.h>

enum { CHILD_SLOT = 1, STEPS_MAX = 100000, SKIP = 60, NOW_US = 50000000, MINE = 3, PERMITS_SEEN = 8 };

/* Numbers of keys: the first three are 255 bytes long. */
enum { SHARED_KEY = 7, NEW_KEY = 15, OLD_KEY = 23, SHORT_KEY = 8 };

struct play {
    struct shm *shm;
    unsigned connections, requests; /* zones */
    struct permit_user me, child;
    uint32_t mine[MINE], permit; /* of the shared key; the child's own */
    atomic_bool *done;
};

struct scenario {
    const char *name;
    /* The child holds a permit of a key of its own; the zone of requests is full. */
    bool held_by_child, full;
    void (*call)(struct play *);
};

/* --- what the child does --- */

static void hold_key(struct permit_user *u, unsigned zone, unsigned number, uint32_t *permit)
{
    char text[KEYED_KEY_MAX];
    if (keyed_hold(u, zone, key_number(number, text), 10, permit) != KEYED_OK)
        abort();
}

static void request_key(struct play *p, unsigned number)
{
    static const struct keyed_rate rate = {1000, 1000000};
    char text[KEYED_KEY_MAX];
    uint64_t excess;
    keyed_request(p->shm, p->requests, key_number(number, text), NOW_US, rate, true, &excess);
}

static void call_hold_known(struct play *p)
{
    hold_key(&p->child, p->connections, SHARED_KEY, &p->permit);
}

static void call_hold_new(struct play *p)
{
    hold_key(&p->child, p->connections, NEW_KEY, &p->permit);
}

static void call_let_go(struct play *p)
{
    keyed_let_go(&p->child, p->permit);
}

static void call_request_known(struct play *p)
{
    request_key(p, 1);
}

static void call_request_new(struct play *p)
{
    request_key(p, NEW_KEY);
}

static void call_request_short(struct play *p)
{
    request_key(p, SHORT_KEY);
}

static const struct scenario scenarios[] = {
    {"one more of a key", false, false, call_hold_known},
    {"the first of a long key", false, false, call_hold_new},
    {"the last of a long key", true, false, call_let_go},
    {"a request of a known key", false, false, call_request_known},
    {"a request of a new long key", false, false, call_request_new},
    {"a request for which a long key is forgotten", false, true, call_request_short},
};

/* --- one play --- */

static unsigned open_zone(struct shm *shm, const char *name, enum keyed_kind kind)
{
    int zone = keyed_zone_open(shm, name, kind, KEYED_BYTES_MIN, "k");
    CU_ASSERT_FATAL(zone >= 0);
    keyed_at(shm, (unsigned)zone)->seed = 4711; /* the same steps each time */
    keyed_at(shm, (unsigned)zone)->bucket_count = 2;
    return (unsigned)zone;
}

static void prepare(struct play *p, const struct scenario *s)
{
    *p = (struct play){.shm = shm_create(), .done = shared_memory(sizeof *p->done)};
    p->connections = open_zone(p->shm, "c", KEYED_CONNECTIONS);
    p->requests = open_zone(p->shm, "r", KEYED_REQUESTS);
    p->me = user_in(p->shm, 0);
    p->child = user_in(p->shm, CHILD_SLOT);
    for (int i = 0; i < MINE; i++)
        hold_key(&p->me, p->connections, SHARED_KEY, &p->mine[i]);
    if (s->held_by_child)
        hold_key(&p->child, p->connections, NEW_KEY, &p->permit);
    if (s->full)
        request_key(p, OLD_KEY);
    for (unsigned i = 0; i < 5; i++)
        request_key(p, i);
    if (s->full)
        keyed_at(p->shm, p->requests)->cell_count = keyed_at(p->shm, p->requests)->links->used;
}

static void clear(struct play *p)
{
    permit_close(&p->me);
    permit_close(&p->child);
    munmap(keyed_at(p->shm, p->connections)->links, KEYED_BYTES_MIN);
    munmap(keyed_at(p->shm, p->requests)->links, KEYED_BYTES_MIN);
    munmap(p->done, sizeof *p->done);
    shm_destroy(p->shm);
}

struct role {
    struct play *play;
    const struct scenario *scenario;
};

static void play_child(void *with)
{
    struct role *role = with;
    shm_lock_know_self();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(1);
    raise(SIGSTOP);
    role->scenario->call(role->play);
    atomic_store(role->play->done, true);
}

static pid_t start_child(struct play *p, const struct scenario *s)
{
    struct role role = {p, s};
    int status = 0;
    pid_t pid = child_start(play_child, &role);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        CU_FAIL_FATAL("the child did not stop: may it be traced?");
    return pid;
}

/* Executes one instruction. False when the child has ended. */
static bool step(pid_t pid)
{
    int status = 0;
    return ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid &&
           WIFSTOPPED(status);
}

/* All that calls write to. */
struct picture {
    struct keyed_links links[2];
    struct permit permits[PERMITS_SEEN];
    struct keyed_cell cells[2][64];
    uint32_t buckets[2][2], used;
};

static void take_picture(const struct play *p, struct picture *picture)
{
    const struct permit_part *part = &permit_region(p->shm)->parts[CHILD_SLOT];
    unsigned zones[] = {p->connections, p->requests};
    for (int i = 0; i < 2; i++) {
        const struct keyed_zone *z = keyed_at(p->shm, zones[i]);
        memcpy(&picture->links[i], z->links, sizeof *z->links);
        memcpy(picture->cells[i], z->cells, sizeof picture->cells[i]);
        memcpy(picture->buckets[i], z->buckets, sizeof picture->buckets[i]);
    }
    memcpy(picture->permits, part->permits, sizeof picture->permits);
    picture->used = part->used;
}

/* --- what must hold afterwards --- */

static uint32_t count_of(const struct play *p, unsigned number)
{
    char text[KEYED_KEY_MAX];
    const struct keyed_zone *z = keyed_at(p->shm, p->connections);
    uint32_t cell = keyed_find(z, key_number(number, text));
    return cell ? keyed_cell_of(z, cell)->count : 0;
}

static const char *zones_fault(const struct play *p)
{
    const char *fault = keyed_fault(p->shm, p->connections);
    if (!fault)
        fault = keyed_fault(p->shm, p->requests);
    if (!fault &&
        (keyed_at(p->shm, p->connections)->links->lock || keyed_at(p->shm, p->requests)->links->lock))
        fault = "a lock is held still";
    return fault;
}

/* The keys that were not the call's business are as they were. */
static const char *others_fault(const struct play *p)
{
    char text[KEYED_KEY_MAX];
    const struct keyed_zone *z = keyed_at(p->shm, p->requests);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t cell = keyed_find(z, key_number(i, text));
        if (!cell)
            return "a key was forgotten without need";
        if (i != 1 && (keyed_cell_of(z, cell)->last_us != NOW_US || keyed_cell_of(z, cell)->excess))
            return "a key has lost what it was";
    }
    return NULL;
}

static const char *end_fault(struct play *p)
{
    uint32_t permit = 0;
    if (count_of(p, SHARED_KEY) != MINE || count_of(p, NEW_KEY))
        return "what the dead one held counts, or what the living one holds does not";
    hold_key(&p->me, p->connections, NEW_KEY, &permit);
    keyed_let_go(&p->me, permit);
    for (int i = 0; i < MINE; i++)
        keyed_let_go(&p->me, p->mine[i]);
    request_key(p, NEW_KEY);
    return keyed_at(p->shm, p->connections)->links->oldest ? "a key is left" : zones_fault(p);
}

/* The child is dead as far as anybody can see; pass_by: others come by before the master knows. */
static const char *death_fault(struct play *p, pid_t child, bool pass_by)
{
    const char *fault = NULL;
    unsigned zones[] = {p->connections, p->requests};
    for (int i = 0; i < 2; i++)
        if (keyed_at(p->shm, zones[i])->links->lock == (uint32_t)child)
            keyed_at(p->shm, zones[i])->links->lock = FUTEX_OWNER_DIED;
    if (pass_by) {
        keyed_let_go(&p->me, p->mine[0]);
        hold_key(&p->me, p->connections, SHARED_KEY, &p->mine[0]);
        request_key(p, 1);
        fault = zones_fault(p);
    }
    keyed_reclaim(p->shm, CHILD_SLOT);
    if (!fault)
        fault = zones_fault(p);
    if (!fault)
        fault = others_fault(p);
    return fault ? fault : end_fault(p);
}

/* All that the test's own process changes in death_fault. */
struct saved {
    struct play play;
    struct keyed_zone zones[2];
    char memory[2][KEYED_BYTES_MIN];
    uint32_t used[2], spare[PERMITS_SEEN];
    struct permit permits[2][PERMITS_SEEN];
};

static void save(const struct play *p, struct saved *saved)
{
    struct permit_region *r = permit_region(p->shm);
    unsigned zones[] = {p->connections, p->requests};
    saved->play = *p;
    memcpy(saved->spare, p->me.spare, sizeof saved->spare);
    for (int i = 0; i < 2; i++) {
        memcpy(&saved->zones[i], keyed_at(p->shm, zones[i]), sizeof saved->zones[i]);
        memcpy(saved->memory[i], saved->zones[i].links, KEYED_BYTES_MIN);
        memcpy(saved->permits[i], r->parts[i].permits, sizeof saved->permits[i]);
        saved->used[i] = r->parts[i].used;
    }
}

static void restore(struct play *p, const struct saved *saved)
{
    struct permit_region *r = permit_region(p->shm);
    unsigned zones[] = {p->connections, p->requests};
    *p = saved->play;
    memcpy(p->me.spare, saved->spare, sizeof saved->spare);
    for (int i = 0; i < 2; i++) {
        memcpy(keyed_at(p->shm, zones[i]), &saved->zones[i], sizeof saved->zones[i]);
        memcpy(saved->zones[i].links, saved->memory[i], KEYED_BYTES_MIN);
        memcpy(r->parts[i].permits, saved->permits[i], sizeof saved->permits[i]);
        r->parts[i].used = saved->used[i];
    }
}

static void check_death(const struct scenario *s, const char *fault, int steps)
{
    char text[200];
    snprintf(text, sizeof text, "%s, when \"%s\" is killed after %d steps", fault ? fault : "all is well",
             s->name, steps);
    if (CU_get_number_of_failures() < 10)
        check_report(!fault, text, __FILE__, __LINE__);
}

static void killed_after_each_instruction(const struct scenario *s)
{
    static struct picture before, now;
    static struct saved saved;
    struct play p;
    int steps = 0, deaths = 0;
    prepare(&p, s);
    pid_t child = start_child(&p, s);
    take_picture(&p, &before);
    while (steps < STEPS_MAX && !atomic_load(p.done) && step(child)) {
        steps++;
        take_picture(&p, &now);
        if (!wants_long_test() && steps % SKIP && memcmp(&before, &now, sizeof now) == 0)
            continue;
        before = now;
        save(&p, &saved);
        for (int pass_by = 0; pass_by < 2; pass_by++, deaths++) {
            check_death(s, death_fault(&p, child, pass_by), steps);
            restore(&p, &saved);
        }
    }
    CU_ASSERT(atomic_load(p.done));
    CU_ASSERT(deaths > 10);
    child_kill(child);
    child_wait(child);
    clear(&p);
    if (getenv("WEIR_UNIT_VERBOSE"))
        printf("%d steps, %d deaths ", steps, deaths);
}

/* What is called for the first time takes long, as it is looked up in libraries: so all of it is done once before. */
static void rehearse(void)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        struct play p;
        prepare(&p, &scenarios[i]);
        scenarios[i].call(&p);
        clear(&p);
    }
}

static void killed_while_it_counts_connections(void)
{
    rehearse();
    for (int i = 0; i < 3; i++)
        killed_after_each_instruction(&scenarios[i]);
}

static void killed_while_it_counts_requests(void)
{
    for (int i = 3; i < 6; i++)
        killed_after_each_instruction(&scenarios[i]);
}

static const struct check_case cases[] = {
    {"killed while it counts connections", killed_while_it_counts_connections},
    {"killed while it counts requests", killed_while_it_counts_requests},
};

CHECK_MAIN("shm/keyed_step", cases)
