/*
 * tests/unit/shm/test_session_cache.c - sessions in shared memory: found whole or not at all, whoever writes, is killed or comes round
 * meanwhile; the oldest go first.
 */
#include "shm/session_cache.h"

#include "base/buf.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 64 * 1024, ID_BYTES = 32, TYPICAL = 200, WRITERS = 3, KILLS = 30 };

struct id {
    char bytes[ID_BYTES];
};

static struct slice id_of(uint64_t number, struct id *id)
{
    memset(id, 0, sizeof *id);
    for (size_t i = 0; i < ID_BYTES; i += 8, number = number * 0x9e3779b97f4a7c15u + 1)
        memcpy(id->bytes + i, &number, 8);
    return (struct slice){id->bytes, ID_BYTES};
}

/* What a number's session is, of any length: each byte can be told. */
static void fill(char *session, uint64_t number, size_t len)
{
    for (size_t i = 0; i < len; i++)
        session[i] = (char)(number * 31 + i * 7 + len);
}

static bool put(struct session_cache *c, uint64_t number, size_t len)
{
    char session[SESSION_MAX];
    struct id id;
    fill(session, number, len);
    return session_cache_put(c, id_of(number, &id), (struct slice){session, len});
}

/* 0: not there; -1: there is something else. */
static int found(const struct session_cache *c, uint64_t number)
{
    char session[SESSION_MAX], wanted[SESSION_MAX];
    struct id id;
    size_t len = session_cache_find(c, id_of(number, &id), session);
    fill(wanted, number, len);
    return memcmp(session, wanted, len) == 0 ? (int)len : -1;
}

static void kept_and_dropped(void)
{
    struct session_cache *c = session_cache_hold(SLICE("one"), BYTES);
    struct id id;
    CU_ASSERT_FATAL(c != NULL);
    const size_t lengths[] = {1, 7, 8, 9, TYPICAL, SESSION_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        CU_ASSERT(put(c, i, lengths[i]));
        CHECK_NUMBER(found(c, i), lengths[i]);
    }
    CHECK_NUMBER(found(c, 99), 0);
    session_caches_drop(id_of(0, &id));
    CHECK_NUMBER(found(c, 0), 0);
    CHECK_NUMBER(found(c, 1), 7);
    static char large[SESSION_MAX + 1];
    CU_ASSERT(!session_cache_put(c, id_of(7, &id), (struct slice){large, sizeof large}));
    CU_ASSERT(!session_cache_put(c, id_of(7, &id), SLICE("")));
    CU_ASSERT(!session_cache_put(c, SLICE(""), SLICE("x")));
    CU_ASSERT(!session_cache_put(c, (struct slice){large, SESSION_ID_MAX + 1}, SLICE("x")));
    CHECK_NUMBER(session_cache_find(c, (struct slice){large, SESSION_ID_MAX + 1}, large), 0);
    /* An id is another one if it is shorter by a zero. */
    CU_ASSERT(session_cache_put(c, SLICE("ab"), SLICE("short")));
    CHECK_NUMBER(session_cache_find(c, (struct slice){"ab\0", 3}, large), 0);
    session_cache_let_go(c);
}

/* What has been put there again counts, however often; sessions are dropped, other things are not. */
static void the_latest_counts(void)
{
    struct session_cache *c = session_cache_hold(SLICE("again"), BYTES),
                         *others = session_cache_hold(SLICE(":again"), BYTES);
    struct id id;
    for (size_t i = 1; i < 40; i++) {
        CU_ASSERT(put(c, 5, i) && put(others, 5, i));
        CHECK_NUMBER(found(c, 5), i);
    }
    session_caches_drop(id_of(5, &id));
    CHECK_NUMBER(found(c, 5), 0);
    CHECK_NUMBER(found(others, 5), 39);
    session_cache_let_go(c);
    session_cache_let_go(others);
}

/* As many as there is room for, of which only few have lost their place in the index to another one. */
static void the_oldest_go_first(void)
{
    enum { PUT = 2000, ROOM = BYTES / 320, ENOUGH = ROOM * 9 / 10 };
    struct session_cache *c = session_cache_hold(SLICE(""), BYTES);
    int there = 0;
    for (uint64_t i = 0; i < PUT; i++)
        CU_ASSERT(put(c, i, TYPICAL));
    for (uint64_t i = 0; i < PUT; i++) {
        int len = found(c, i);
        CU_ASSERT(len == 0 || len == TYPICAL);
        there += len > 0;
        if (i < PUT - 2 * ROOM)
            CHECK_NUMBER(len, 0);
    }
    CU_ASSERT(there >= ENOUGH);
    CHECK_NUMBER(found(c, PUT - 1), TYPICAL);
    session_cache_let_go(c);
}

static void by_name_and_size(void)
{
    struct session_cache *a = session_cache_hold(SLICE("a"), BYTES), *again, *other;
    CU_ASSERT(put(a, 1, TYPICAL));
    again = session_cache_hold(SLICE("a"), BYTES);
    CU_ASSERT(again == a);
    other = session_cache_hold(SLICE("a"), 2 * BYTES);
    CU_ASSERT(other != a && found(other, 1) == 0);
    session_cache_let_go(a);
    CHECK_NUMBER(found(again, 1), TYPICAL);
    session_cache_let_go(again);
    again = session_cache_hold(SLICE("a"), BYTES);
    CHECK_NUMBER(found(again, 1), 0);
    struct session_cache *own = session_cache_hold(SLICE(""), BYTES),
                         *own_too = session_cache_hold(SLICE(""), BYTES);
    CU_ASSERT(own != own_too);
    session_cache_let_go(own);
    session_cache_let_go(own_too);
    session_cache_let_go(again);
    session_cache_let_go(other);
    session_cache_let_go(NULL);
}

static atomic_bool stop;

static void *write_on(void *arg)
{
    const struct session_cache *c = arg;
    for (uint64_t i = 0; !atomic_load(&stop); i++)
        put((struct session_cache *)(uintptr_t)c, i % 500, 1 + i * 37 % 900);
    return NULL;
}

/* The log comes round every few hundred sessions while they are read. */
static void whole_or_not_at_all(void)
{
    struct session_cache *c = session_cache_hold(SLICE("busy"), SESSION_CACHE_BYTES_MIN);
    pthread_t threads[WRITERS];
    int wrong = 0, there = 0;
    for (int i = 0; i < WRITERS; i++)
        CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, write_on, c) == 0);
    for (uint64_t i = 0; i < 2000000 || there == 0; i++) {
        int len = found(c, i % 500);
        wrong += len < 0;
        there += len > 0;
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_NUMBER(wrong, 0);
    session_cache_let_go(c);
}

/* Killed anywhere: what is left is whole, and others go on. */
static void writers_are_killed(void)
{
    struct session_cache *c = session_cache_hold(SLICE("killed"), SESSION_CACHE_BYTES_MIN);
    struct id id;
    for (int kill_number = 0; kill_number < KILLS; kill_number++) {
        pid_t child = fork();
        if (child == 0) {
            for (uint64_t i = 0;; i++)
                put(c, i % 500, 1 + i * 37 % 900);
        }
        while (session_cache_find(c, id_of(400, &id), (char[SESSION_MAX]){0}) == 0 && kill_number == 0)
            usleep(100);
        usleep(200 + (useconds_t)kill_number * 37);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        int wrong = 0;
        for (uint64_t i = 0; i < 500; i++)
            wrong += found(c, i) < 0;
        CHECK_NUMBER(wrong, 0);
        CU_ASSERT(put(c, 1000, TYPICAL) && found(c, 1000) == TYPICAL);
    }
    session_cache_let_go(c);
}

/* Another worker has been taken over: what it leaves is read without harm. */
static void anything_may_be_there(void)
{
    struct buf numbers = {0};
    struct session_cache *c = session_cache_hold(SLICE("scribbled"), BYTES);
    CU_ASSERT(session_caches_pass_on(&numbers));
    int fd = atoi(numbers.data + numbers.start);
    uint64_t *bytes = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), random = 1;
    CU_ASSERT_FATAL(bytes != MAP_FAILED);
    for (int round = 0; round < 200; round++) {
        for (uint64_t i = 0; i < 200; i++)
            put(c, i, TYPICAL + i);
        for (int i = 0; i < 2000; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint64_t place = (random >> 33) % (BYTES / 8);
            bytes[place] = round % 2 ? bytes[place] ^ 1u << (random >> 20 & 31) : random;
        }
        for (uint64_t i = 0; i < 200; i++)
            CU_ASSERT(found(c, i) <= SESSION_MAX);
    }
    munmap(bytes, BYTES);
    buf_free(&numbers);
    session_cache_let_go(c);
}

/* The next binary finds them by name and size, and closes what it does not want. */
static void handed_on(void)
{
    struct buf numbers = {0};
    struct session_cache *a = session_cache_hold(SLICE("a"), BYTES),
                         *b = session_cache_hold(SLICE("b"), BYTES);
    put(a, 1, TYPICAL);
    CU_ASSERT(session_caches_pass_on(&numbers) && buf_append(&numbers, "", 1));
    /* As that binary has them: other descriptors, and no caches. */
    int first, second;
    CHECK_NUMBER(sscanf(numbers.data + numbers.start, "%d;%d;", &first, &second), 2);
    int copies[] = {dup(first), dup(second), memfd_create("none of ours", MFD_CLOEXEC)};
    session_cache_let_go(a);
    session_cache_let_go(b);
    char text[64];
    snprintf(text, sizeof text, "%d;%d;%d;900;", copies[0], copies[1], copies[2]);
    session_caches_take_over(text);
    CU_ASSERT(fcntl(copies[2], F_GETFD) < 0);
    CU_ASSERT(fcntl(copies[0], F_GETFD) & FD_CLOEXEC);
    a = session_cache_hold(SLICE("a"), BYTES);
    CHECK_NUMBER(found(a, 1), TYPICAL);
    session_caches_close_unused();
    int open = (fcntl(copies[0], F_GETFD) >= 0) + (fcntl(copies[1], F_GETFD) >= 0);
    CHECK_NUMBER(open, 1);
    session_caches_close_files();
    CU_ASSERT(fcntl(copies[0], F_GETFD) < 0 && fcntl(copies[1], F_GETFD) < 0);
    CHECK_NUMBER(found(a, 1), TYPICAL);
    session_caches_take_over("nonsense");
    session_caches_take_over(NULL);
    session_cache_let_go(a);
    buf_free(&numbers);
}

static const struct check_case cases[] = {
    {"kept and dropped", kept_and_dropped},           {"the latest counts", the_latest_counts},
    {"the oldest go first", the_oldest_go_first},     {"by name and size", by_name_and_size},
    {"whole or not at all", whole_or_not_at_all},     {"writers are killed", writers_are_killed},
    {"anything may be there", anything_may_be_there}, {"handed on", handed_on},
};

CHECK_MAIN("session cache", cases)
