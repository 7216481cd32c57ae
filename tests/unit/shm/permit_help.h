/*
 * tests/unit/shm/permit_help.h - rules, users and requests in few words, and whether a zone's counts and queues are what
 * the tags of its permits say, for the tests of the permits.
 */
#ifndef WEIR_TESTS_UNIT_SHM_PERMIT_HELP_H
#define WEIR_TESTS_UNIT_SHM_PERMIT_HELP_H

#include "shm/permit.h"
#include "shm/permit_internal.h"
#include "tests/unit/check.h"

#include <linux/futex.h>
#include <poll.h>

/* No waiter's time is over in any test with this one. */
enum { LONG_US = 1000000000 };

static const char *const nobody_wants[] = {NULL};

static inline struct permit_rules rules_of(uint32_t limit, uint32_t queue)
{
    struct permit_rules rules;
    memset(&rules, 0, sizeof rules);
    rules.limit = limit;
    rules.queue = queue;
    rules.queue_timeout_us = LONG_US;
    return rules;
}

static inline unsigned zone_of(struct shm *shm, const char *name, struct permit_rules rules)
{
    int zone = permit_zone_open(shm, name, &rules, nobody_wants);
    if (zone < 0)
        abort();
    return (unsigned)zone;
}

static inline struct permit_zone *zone_at(struct shm *shm, unsigned zone)
{
    return &permit_region(shm)->zones[zone];
}

static inline struct permit_user user_in(struct shm *shm, int slot)
{
    struct permit_user u;
    if (!permit_open(&u, shm, slot))
        abort();
    return u;
}

struct answer {
    enum permit_result result;
    uint32_t permit;
    enum permit_reason why;
};

static inline struct answer ask_at(struct permit_user *u, unsigned zone, enum permit_priority priority,
                                   uint64_t now_us)
{
    static const struct permit_about about = {.method_len = 3, .method = "GET"};
    struct permit_request request = {.zone = zone, .priority = priority, .now_us = now_us};
    struct answer a = {.permit = UINT32_MAX, .why = PERMIT_REASONS};
    a.result = permit_acquire(u, &request, &about, &a.permit, &a.why);
    return a;
}

static inline struct answer ask_for(struct permit_user *u, unsigned zone, enum permit_priority priority)
{
    return ask_at(u, zone, priority, clock_mono_us());
}

static inline struct answer ask(struct permit_user *u, unsigned zone)
{
    return ask_for(u, zone, PERMIT_NORMAL);
}

static inline void give_back(struct permit_user *u, uint32_t permit)
{
    permit_release(u, permit, clock_mono_us(), 0);
}

static inline enum permit_result look(struct permit_user *u, uint32_t permit)
{
    enum permit_reason why;
    return permit_look(u, permit, &why);
}

/* Whether a datagram waits at the user's socket. */
static inline bool is_called(const struct permit_user *u)
{
    struct pollfd p = {.fd = u->socket, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static inline uint32_t held_in(struct shm *shm, unsigned zone)
{
    return permit_get(&zone_at(shm, zone)->held);
}

static inline uint32_t queued_in(struct shm *shm, unsigned zone)
{
    return permit_get(&zone_at(shm, zone)->queued);
}

/* How many permits of all parts are in this state for this zone, by their tags. */
static inline uint32_t tags_of(struct shm *shm, unsigned zone, enum permit_state state)
{
    struct permit_region *r = permit_region(shm);
    uint32_t count = 0;
    for (int slot = 0; slot < PERMIT_PLACES; slot++) {
        uint32_t used = permit_get(&r->parts[slot].used);
        for (uint32_t i = 0; i < used; i++) {
            uint32_t tag = atomic_load(&r->parts[slot].permits[i].tag);
            bool is = state == PERMIT_HELD ? permit_tag_is_held(tag) : permit_tag_state(tag) == state;
            count += is && permit_tag_zone(tag) == zone;
        }
    }
    return count;
}

/* What is wrong with one queue; NULL: nothing. Adds its length. */
static inline const char *queue_fault(struct permit_region *r, unsigned zone, int priority, uint32_t *length)
{
    const struct permit_queue *q = &r->zones[zone].queues[priority];
    uint32_t before = PERMIT_NONE, count = 0;
    for (uint32_t at = q->oldest; at; before = at, at = permit_of(r, at)->newer) {
        const struct permit *p = permit_of(r, at);
        if (++count > PERMIT_PLACES * SHM_PERMITS_PER_SLOT)
            return "a queue has no end";
        if (permit_tag_state(p->tag) != PERMIT_QUEUED || permit_tag_zone(p->tag) != zone ||
            permit_tag_priority(p->tag) != (enum permit_priority)priority)
            return "a queue has a permit that does not wait in it";
        if (p->older != before)
            return "a queue is not the same both ways";
        if (before && permit_of(r, before)->ticket >= p->ticket)
            return "a queue is not in the order of arrival";
    }
    if (q->newest != before)
        return "a queue ends elsewhere than at its newest";
    if (permit_get(&r->zones[zone].waiting[priority]) != count)
        return "a queue's length is not what it says";
    *length += count;
    return NULL;
}

/* What is wrong with a zone whose lock is held, or that nobody uses; NULL: nothing. */
static inline const char *zone_fault(struct shm *shm, unsigned zone)
{
    uint32_t queued = 0;
    for (int i = 0; i < PERMIT_PRIORITIES; i++) {
        const char *fault = queue_fault(permit_region(shm), zone, i, &queued);
        if (fault)
            return fault;
    }
    if (queued != queued_in(shm, zone))
        return "\"queued\" is not the length of the queues";
    if (queued != tags_of(shm, zone, PERMIT_QUEUED))
        return "a permit waits in no queue";
    if (held_in(shm, zone) != tags_of(shm, zone, PERMIT_HELD))
        return "\"held\" is not what the tags say";
    return NULL;
}

#define CHECK_ZONE(shm, zone)                                                             \
    do {                                                                                  \
        const char *zone_said = zone_fault((shm), (zone));                                \
        check_report(!zone_said, zone_said ? zone_said : "the zone", __FILE__, __LINE__); \
    } while (0)

#define CHECK_GO(answer) CHECK_NUMBER((answer).result, PERMIT_GO)
#define CHECK_WAITS(answer) CHECK_NUMBER((answer).result, PERMIT_WAIT)

static inline void check_refused(struct answer a, enum permit_reason why, int line)
{
    check_number(a.result, PERMIT_NO, "the result", __FILE__, line);
    check_number(a.why, why, "the reason", __FILE__, line);
}

#define CHECK_REFUSED(answer, why) check_refused((answer), (why), __LINE__)

/* That this many permits can be had and no more; all of them are given back. Nobody waits. */
static inline void check_room(struct permit_user *u, unsigned zone, uint32_t room)
{
    static uint32_t got[SHM_PERMITS_PER_SLOT];
    uint32_t count = 0;
    struct answer a = {0};
    while (count < SHM_PERMITS_PER_SLOT && (a = ask(u, zone)).result == PERMIT_GO)
        got[count++] = a.permit;
    CHECK_NUMBER(count, room);
    if (a.result == PERMIT_WAIT)
        permit_leave(u, a.permit, clock_mono_us(), &(enum permit_reason){PERMIT_CLIENT_GONE});
    while (count > 0)
        give_back(u, got[--count]);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED true
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED false
#endif

static inline bool wants_long_test(void)
{
    return getenv("WEIR_TEST_LONG") != NULL;
}

#endif
