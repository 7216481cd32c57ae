/*
 * tests/unit/shm/test_permit_step.c - one call of a child process, executed instruction by instruction and killed after
 * each of them: whatever was half done, counts and queues are then what the tags say, the others get what is theirs, and
 * nothing is lost.
 *
 * A kill between two instructions that change nothing in shared memory is the same as one before or after them; so only
 * each instruction that changes something is tried, and a few of the others. WEIR_TEST_LONG=1 tries all.
 */
#include "tests/unit/shm/permit_child.h"

#include <sys/ptrace.h>

enum { CHILD_SLOT = 1, STEPS_MAX = 100000, SKIP = 60, TOO_MANY = 2000, TAKEOVER_MS = 100, MINE_MAX = 8 };

/* A zone, the child that will be killed, and the test's own process, which holds and waits beside it. */
struct play {
    struct shm *shm;
    unsigned zone;
    struct permit_user me, child;
    /* What the test's process asked for, in that order. */
    struct answer mine[MINE_MAX];
    uint32_t permit; /* the child's own, that its call is about */
    uint64_t now_us;
    atomic_bool *done;
};

struct scenario {
    const char *name;
    uint32_t limit, queue;
    int held_by_child; /* before its call */
    /* The test's own requests before the child's one that waits, or not. */
    int mine, child_waits;
    int mine_after; /* and after it */
    enum permit_priority mine_priority;
    void (*call)(struct play *); /* what is stepped through */
    /* Another one died with the lock, and left counts and queues damaged. */
    bool after_death;
};

/* --- what the child does --- */

static void call_ask(struct play *p)
{
    ask(&p->child, p->zone);
}

static void call_ask_high(struct play *p)
{
    ask_for(&p->child, p->zone, PERMIT_HIGH);
}

static void call_release(struct play *p)
{
    permit_release(&p->child, p->permit, p->now_us, 0);
}

static void call_leave(struct play *p)
{
    permit_leave(&p->child, p->permit, p->now_us, &(enum permit_reason){PERMIT_CLIENT_GONE});
}

static const struct scenario scenarios[] = {
    {"a permit is free", 3, 4, 0, 1, 0, 0, PERMIT_NORMAL, call_ask, false},
    {"it has to wait", 1, 4, 0, 2, 0, 0, PERMIT_NORMAL, call_ask, false},
    {"it is refused", 1, 1, 0, 2, 0, 0, PERMIT_NORMAL, call_ask, false},
    {"it takes another's place in the queue", 1, 2, 0, 3, 0, 0, PERMIT_LOW, call_ask_high, false},
    {"it gives back, and nobody waits", 2, 4, 1, 1, 0, 0, PERMIT_NORMAL, call_release, false},
    {"it gives back to one who waits", 1, 4, 1, 2, 0, 0, PERMIT_NORMAL, call_release, false},
    {"it leaves the only place of the queue", 1, 4, 0, 1, 1, 0, PERMIT_NORMAL, call_leave, false},
    {"it leaves from between others", 1, 6, 0, 3, 1, 2, PERMIT_NORMAL, call_leave, false},
    {"it takes the lock over from a dead one", 2, 6, 0, 5, 0, 0, PERMIT_NORMAL, call_ask, true},
};

/* --- one play --- */

static void damage(struct play *p)
{
    struct permit_zone *z = zone_at(p->shm, p->zone);
    z->lock = FUTEX_OWNER_DIED;
    permit_set(&z->held, 1);
    permit_set(&z->queued, 4711);
    for (int i = 0; i < PERMIT_PRIORITIES; i++)
        z->queues[i] = (struct permit_queue){3, 1};
}

/* The same region again, as new: mapping and touching one for each play would take most of the time. */
static struct shm *new_region(void)
{
    static struct shm *shm;
    if (!shm)
        shm = shm_create();
    struct permit_region *r = permit_region(shm);
    memset(&r->zones[0], 0, sizeof r->zones[0]);
    shm->permit_names[0][0] = '\0';
    for (int i = 0; i <= CHILD_SLOT; i++)
        memset(&r->parts[i], 0, offsetof(struct permit_part, permits[2 * MINE_MAX]));
    return shm;
}

static void prepare(struct play *p, const struct scenario *s)
{
    int asked = 0;
    *p =
        (struct play){.shm = new_region(), .now_us = clock_mono_us(), .done = shared_memory(sizeof *p->done)};
    p->zone = zone_of(p->shm, "tested", rules_of(s->limit, s->queue));
    p->me = user_in(p->shm, 0);
    p->child = user_in(p->shm, CHILD_SLOT);
    for (int i = 0; i < s->held_by_child; i++)
        p->permit = ask(&p->child, p->zone).permit;
    while (asked < s->mine)
        p->mine[asked++] = ask_for(&p->me, p->zone, s->mine_priority);
    if (s->child_waits)
        p->permit = ask(&p->child, p->zone).permit;
    while (asked < s->mine + s->mine_after)
        p->mine[asked++] = ask_for(&p->me, p->zone, s->mine_priority);
    if (s->after_death)
        damage(p);
}

static void clear(struct play *p)
{
    permit_close(&p->me);
    permit_close(&p->child);
    munmap(p->done, sizeof *p->done);
}

struct role {
    struct play *play;
    const struct scenario *scenario;
};

static void play_child(void *with)
{
    struct role *role = with;
    permit_close(&role->play->child);
    /* With its own pid; the part stays as it is. */
    struct permit_user u = user_in(role->play->shm, CHILD_SLOT);
    u.spare_count = role->play->child.spare_count;
    role->play->child = u;
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

/* All that calls write to: the zone, the heads of both parts, their first permits. */
struct picture {
    struct permit_zone zone;
    struct permit permits[2][MINE_MAX];
    uint64_t changed[2];
    uint32_t woken[2], used[2];
};

static void take_picture(const struct play *p, struct picture *picture)
{
    const struct permit_region *r = permit_region(p->shm);
    memcpy(&picture->zone, &r->zones[p->zone], sizeof picture->zone);
    for (int i = 0; i < 2; i++) {
        memcpy(picture->permits[i], r->parts[i].permits, sizeof picture->permits[i]);
        picture->changed[i] = r->parts[i].changed[0] << 1 | (r->parts[i].changed_words[0] & 1);
        picture->woken[i] = r->parts[i].woken;
        picture->used[i] = r->parts[i].used;
    }
}

/* Says after which steps to kill, and how often: with and without another process that comes by. Returns how many there are. */
static int find_kills(const struct scenario *s, int kills[STEPS_MAX])
{
    static struct picture before, now;
    struct play p;
    int steps = 0;
    prepare(&p, s);
    pid_t pid = start_child(&p, s);
    take_picture(&p, &before);
    while (steps < STEPS_MAX && !atomic_load(p.done) && step(pid)) {
        take_picture(&p, &now);
        bool changed = memcmp(&before, &now, sizeof now) != 0;
        kills[steps] = changed ? 2 : wants_long_test() || steps % SKIP == 0;
        before = now;
        steps++;
    }
    CU_ASSERT(atomic_load(p.done));
    /* Those that change something, in a call that waits long. */
    for (int i = 0; i < steps && steps > TOO_MANY; i++)
        kills[i] = kills[i] & 2;
    child_kill(pid);
    child_wait(pid);
    clear(&p);
    return steps;
}

/* --- what must hold afterwards --- */

static const char *say(const char *fault, const struct scenario *s, int at)
{
    static char text[200];
    snprintf(text, sizeof text, "%s, when \"%s\" is killed after %d steps", fault, s->name, at);
    return text;
}

/* That every one of the test's own requests is where it belongs: admitted in its order, or refused once. */
static const char *mine_fault(struct play *p, const struct scenario *s)
{
    uint32_t held = 0, waiting = 0, refused = 0;
    bool waits_before = false;
    for (int i = 0; i < s->mine + s->mine_after; i++) {
        enum permit_result result =
            p->mine[i].result == PERMIT_NO ? PERMIT_NO : look(&p->me, p->mine[i].permit);
        if (result == PERMIT_GO && waits_before)
            return "a later one was admitted first";
        waits_before |= result == PERMIT_WAIT;
        held += result == PERMIT_GO;
        waiting += result == PERMIT_WAIT;
        refused += result == PERMIT_NO;
        p->mine[i].result = result;
    }
    if (held != held_in(p->shm, p->zone) || waiting != queued_in(p->shm, p->zone))
        return "somebody else holds or waits";
    if (held < s->limit && waiting)
        return "a permit is free, and somebody waits";
    if (refused > 1 || (refused && s->mine_priority != PERMIT_LOW))
        return "a waiter was refused without need";
    return NULL;
}

/* Everything can be given back, and then as many can be had as the limit says. */
static const char *end_fault(struct play *p, const struct scenario *s)
{
    uint32_t count = 0;
    for (int i = 0; i < s->mine + s->mine_after; i++) {
        if (p->mine[i].result == PERMIT_NO)
            continue;
        enum permit_result result = look(&p->me, p->mine[i].permit);
        if (result != PERMIT_GO)
            return "a permit was given back, and the next one did not get it";
        give_back(&p->me, p->mine[i].permit);
    }
    if (held_in(p->shm, p->zone) || queued_in(p->shm, p->zone))
        return "something is left";
    while (ask(&p->me, p->zone).result == PERMIT_GO)
        count++;
    return count == s->limit ? NULL : "not as many can be had as the limit says";
}

/* One of the others comes by before the master knows of the death. */
static const char *pass_by_fault(struct play *p)
{
    uint64_t since_us = clock_mono_us();
    permit_lock(p->shm, p->zone);
    const char *fault = zone_fault(p->shm, p->zone);
    permit_unlock(zone_at(p->shm, p->zone));
    if (clock_mono_us() - since_us > (uint64_t)TAKEOVER_MS * 1000 * check_slowness())
        fault = "the lock was not taken over in time";
    return fault;
}

static const char *kill_fault(const struct scenario *s, int after, bool pass_by)
{
    struct play p;
    const char *fault = NULL;
    prepare(&p, s);
    pid_t pid = start_child(&p, s);
    for (int i = 0; i < after && step(pid); i++) {
    }
    child_kill(pid);
    if (pass_by)
        fault = pass_by_fault(&p);
    child_wait(pid);
    permit_reclaim(p.shm, CHILD_SLOT);
    if (!fault)
        fault = zone_fault(p.shm, p.zone);
    if (!fault && zone_at(p.shm, p.zone)->lock)
        fault = "the lock is held still";
    if (!fault && (held_in(p.shm, p.zone) > s->limit || queued_in(p.shm, p.zone) > s->queue))
        fault = "there are more than may be";
    if (!fault)
        fault = mine_fault(&p, s);
    if (!fault)
        fault = end_fault(&p, s);
    clear(&p);
    return fault;
}

static void killed_after_each_instruction(const struct scenario *s)
{
    static int kills[STEPS_MAX];
    /* A sanitizer's own instructions are many, and not what runs. */
    if (TEST_SANITIZED)
        return;
    int steps = find_kills(s, kills), tried = 0;
    const char *fault = NULL;
    for (int i = 0; i < steps && !fault; i++)
        for (int pass_by = 0; pass_by < kills[i] && !fault; pass_by++, tried++)
            if ((fault = kill_fault(s, i + 1, pass_by)))
                check_report(false, say(fault, s, i + 1), __FILE__, __LINE__);
    CU_ASSERT(tried > 5);
    if (getenv("WEIR_UNIT_VERBOSE"))
        printf("%d steps, %d kills ", steps, tried);
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

#define TEST_OF(n)                                      \
    static void scenario_##n(void)                      \
    {                                                   \
        if ((n) == 0)                                   \
            rehearse();                                 \
        killed_after_each_instruction(&scenarios[(n)]); \
    }
TEST_OF(0)
TEST_OF(1)
TEST_OF(2)
TEST_OF(3)
TEST_OF(4)
TEST_OF(5)
TEST_OF(6)
TEST_OF(7)

static void scenario_8(void)
{
    if (wants_long_test())
        killed_after_each_instruction(&scenarios[8]);
}

static const struct check_case cases[] = {
    {"killed while a permit is free", scenario_0},
    {"killed while it has to wait", scenario_1},
    {"killed while it is refused", scenario_2},
    {"killed while it takes another's place in the queue", scenario_3},
    {"killed while it gives back, and nobody waits", scenario_4},
    {"killed while it gives back to one who waits", scenario_5},
    {"killed while it leaves the only place of the queue", scenario_6},
    {"killed while it leaves from between others", scenario_7},
    {"killed while it takes the lock over from a dead one", scenario_8},
};

CHECK_MAIN("shm/permit_step", cases)
