/*
 * tests/unit/shm/test_ticket_keys.c - the ring of ticket keys: each is known as long as a ticket made with it is valid, one of two masters
 * makes the next one, and who only reads can do nothing else. A master may be stopped, or die, while it makes one.
 */
#include "shm/ticket_keys.h"

#include "tests/unit/check.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VALID_MS = 300000, START_MS = 1000000, TURN_MS = START_MS + VALID_MS, CLAIM_MS = 10000 };

/* Where a process stops that makes a key: it has claimed that, or it has written the key, which is not the current one yet. */
enum stop { STOP_NOWHERE, STOP_CLAIMED, STOP_WRITTEN };
static enum stop stops;

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);
ssize_t __real_getrandom(void *to, size_t len, unsigned flags);
void __wrap_explicit_bzero(void *to, size_t len);

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    if (stops == STOP_CLAIMED)
        raise(SIGSTOP);
    return __real_getrandom(to, len, flags);
}

void __wrap_explicit_bzero(void *to, size_t len)
{
    memset(to, 0, len);
    if (stops == STOP_WRITTEN)
        raise(SIGSTOP);
}

static void current(unsigned char key[TICKET_KEY_BYTES])
{
    CU_ASSERT_FATAL(ticket_keys_current(key));
}

static bool is_current(const unsigned char key[TICKET_KEY_BYTES])
{
    unsigned char now[TICKET_KEY_BYTES];
    current(now);
    return memcmp(now, key, sizeof now) == 0;
}

/* 0: it is not there, or is another one by now. */
static int found(const unsigned char key[TICKET_KEY_BYTES])
{
    unsigned char there[TICKET_KEY_BYTES];
    int kind = ticket_keys_find(key, there);
    return kind && memcmp(there, key, sizeof there) == 0 ? kind : 0;
}

static void turns(void)
{
    unsigned char first[TICKET_KEY_BYTES], next[TICKET_KEY_BYTES];
    CU_ASSERT_FATAL(ticket_keys_open());
    uint64_t now_ms = START_MS;
    CHECK_NUMBER(ticket_keys_look(now_ms, VALID_MS), now_ms + VALID_MS);
    current(first);
    CHECK_NUMBER(found(first), 1);
    CHECK_NUMBER(ticket_keys_look(now_ms + VALID_MS - 1, VALID_MS), now_ms + VALID_MS);
    CU_ASSERT(is_current(first));
    now_ms += VALID_MS;
    CHECK_NUMBER(ticket_keys_look(now_ms, VALID_MS), now_ms + VALID_MS);
    CU_ASSERT(!is_current(first));
    CHECK_NUMBER(found(first), 2);
    current(next);
    CHECK_NUMBER(found(next), 1);
    for (int i = 0; i < 2; i++)
        ticket_keys_look(now_ms += VALID_MS, VALID_MS);
    CHECK_NUMBER(found(first), 0);
    CHECK_NUMBER(found(next), 2);
    ticket_keys_look(now_ms += VALID_MS, VALID_MS);
    CHECK_NUMBER(found(next), 0);
    ticket_keys_close();
    CU_ASSERT(!ticket_keys_current(first));
    CHECK_NUMBER(ticket_keys_look(now_ms, VALID_MS), 0);
}

/* However short tickets are valid. */
static void none_is_used_for_less_than_a_minute(void)
{
    unsigned char first[TICKET_KEY_BYTES];
    CU_ASSERT_FATAL(ticket_keys_open());
    CHECK_NUMBER(ticket_keys_look(START_MS, 1000), START_MS + TICKET_KEYS_TURN_MS);
    current(first);
    ticket_keys_look(START_MS + TICKET_KEYS_TURN_MS - 1, 1000);
    CU_ASSERT(is_current(first));
    ticket_keys_close();
}

/* Another process goes on with the same file, and makes the next key: it is this one's, too. */
static void handed_on(void)
{
    unsigned char first[TICKET_KEY_BYTES], second[TICKET_KEY_BYTES];
    CU_ASSERT_FATAL(ticket_keys_open());
    ticket_keys_look(START_MS, VALID_MS);
    current(first);
    pid_t child = fork();
    if (child == 0) {
        int fd = dup(ticket_keys_file());
        bool ok = ticket_keys_take_over(fd) && is_current(first);
        ticket_keys_look(START_MS + VALID_MS, VALID_MS);
        _exit(ok && !is_current(first) ? 0 : 1);
    }
    int status;
    CU_ASSERT(waitpid(child, &status, 0) == child && status == 0);
    CHECK_NUMBER(found(first), 2);
    current(second);
    ticket_keys_look(START_MS + VALID_MS, VALID_MS); /* it has been done */
    CU_ASSERT(is_current(second));
    ticket_keys_close();
}

static void a_file_that_is_none_of_ours(void)
{
    int fd = memfd_create("other", MFD_CLOEXEC);
    CU_ASSERT(!ticket_keys_take_over(fd));
    CU_ASSERT(ftruncate(fd, 4096) == 0 && !ticket_keys_take_over(fd));
    close(fd);
    CU_ASSERT(!ticket_keys_take_over(-1));
    CHECK_NUMBER(ticket_keys_file(), -1);
}

/* A worker that has been taken over writes, or makes it writable first: the former ends it. */
static void readers_cannot_write(void)
{
    unsigned char first[TICKET_KEY_BYTES];
    CU_ASSERT_FATAL(ticket_keys_open());
    current(first);
    pid_t child = fork();
    if (child == 0) {
        ticket_keys_read_only();
        bool ok = is_current(first) && ticket_keys_file() < 0 && ticket_keys_look(START_MS, VALID_MS) == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    CU_ASSERT(waitpid(child, &status, 0) == child && status == 0);
    CU_ASSERT(is_current(first));
    ticket_keys_close();
}

/* Another master, which stops there; `first` is current before. */
static pid_t stopped_master(enum stop where, unsigned char first[TICKET_KEY_BYTES])
{
    CU_ASSERT_FATAL(ticket_keys_open());
    ticket_keys_look(START_MS, VALID_MS);
    current(first);
    pid_t child = fork();
    if (child == 0) {
        stops = where;
        ticket_keys_look(TURN_MS, VALID_MS);
        _exit(0);
    }
    int status = 0;
    CU_ASSERT(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    return child;
}

/* It is waited for, not for ever; the old keys are there all the time. */
static void a_master_dies(enum stop where)
{
    unsigned char first[TICKET_KEY_BYTES];
    pid_t child = stopped_master(where, first);
    CU_ASSERT(is_current(first));
    CHECK_NUMBER(found(first), 1);
    CHECK_NUMBER(ticket_keys_look(TURN_MS + 1, VALID_MS), TURN_MS + 1 + CLAIM_MS);
    CU_ASSERT(is_current(first));
    kill(child, SIGKILL);
    CU_ASSERT(waitpid(child, NULL, 0) == child);
    ticket_keys_look(TURN_MS + CLAIM_MS - 1, VALID_MS);
    CU_ASSERT(is_current(first));
    CHECK_NUMBER(ticket_keys_look(TURN_MS + CLAIM_MS, VALID_MS), TURN_MS + CLAIM_MS + VALID_MS);
    CU_ASSERT(!is_current(first));
    CHECK_NUMBER(found(first), 2);
    ticket_keys_close();
}

static void a_master_dies_with_its_claim(void)
{
    a_master_dies(STOP_CLAIMED);
}

static void a_master_dies_with_its_key_written(void)
{
    a_master_dies(STOP_WRITTEN);
}

/* Somebody else has made the key meanwhile: the one that goes on changes neither that nor its time. */
static void a_master_goes_on_too_late(enum stop where)
{
    unsigned char first[TICKET_KEY_BYTES], second[TICKET_KEY_BYTES];
    pid_t child = stopped_master(where, first);
    uint64_t now_ms = TURN_MS + CLAIM_MS;
    ticket_keys_look(now_ms, VALID_MS);
    current(second);
    CU_ASSERT(memcmp(first, second, sizeof first) != 0);
    kill(child, SIGCONT);
    int status = 1;
    CU_ASSERT(waitpid(child, &status, 0) == child && status == 0);
    CU_ASSERT(is_current(second));
    CHECK_NUMBER(found(first), 2);
    CHECK_NUMBER(ticket_keys_look(now_ms + VALID_MS - 1, VALID_MS), now_ms + VALID_MS);
    CU_ASSERT(is_current(second));
    ticket_keys_close();
}

static void a_master_goes_on_too_late_with_its_claim(void)
{
    a_master_goes_on_too_late(STOP_CLAIMED);
}

static void a_master_goes_on_too_late_with_its_key_written(void)
{
    a_master_goes_on_too_late(STOP_WRITTEN);
}

static const struct check_case cases[] = {
    {"turns", turns},
    {"none is used for less than a minute", none_is_used_for_less_than_a_minute},
    {"handed on", handed_on},
    {"a file that is none of ours", a_file_that_is_none_of_ours},
    {"readers cannot write", readers_cannot_write},
    {"a master dies with its claim", a_master_dies_with_its_claim},
    {"a master dies with its key written", a_master_dies_with_its_key_written},
    {"a master goes on too late with its claim", a_master_goes_on_too_late_with_its_claim},
    {"a master goes on too late with its key written", a_master_goes_on_too_late_with_its_key_written},
};

CHECK_MAIN("ticket keys", cases)
