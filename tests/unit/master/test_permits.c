/*
 * tests/unit/master/test_permits.c - what the environment says of an older binary's permits, and who ends whom while two masters live.
 */
#include "tests/unit/master/master_help.h"

#include "shm/permit.h"

#include <fcntl.h>
#include <unistd.h>

static struct master *begin(void)
{
    unsetenv("WEIR_PERMITS");
    unsetenv("WEIR_FDS");
    sockets_read_environment(); /* there is no older binary */
    return master_begin(1);
}

static void open_zone(struct master *m, const char *name, uint32_t limit)
{
    static const char *const wanted[] = {NULL};
    struct permit_rules rules = {.limit = limit};
    CU_ASSERT_FATAL(permit_zone_open(m->shm, name, &rules, wanted) >= 0);
}

/* This process is the new binary then, with memory of its own. */
static struct shm *take_over_as_new(void)
{
    struct shm *shm = shm_create();
    CU_ASSERT_FATAL(shm != NULL);
    setenv("WEIR_FDS", "pid=1", 1);
    sockets_read_environment();
    permits_take_over(shm, NULL);
    CU_ASSERT(!getenv("WEIR_PERMITS"));
    return shm;
}

static void names_and_numbers_are_passed_on(void)
{
    struct master *m = begin();
    static const char *const names[] = {"z", "a;b:c=", "9:1:x;", "a name of as many as 31 letters"};
    for (uint32_t i = 0; i < 4; i++)
        open_zone(m, names[i], i + 1);
    CU_ASSERT(permits_can_pass_on(m->shm) && permits_pass_on(m->shm));
    CU_ASSERT((fcntl(m->shm->permits_fd, F_GETFD) & FD_CLOEXEC) == 0);
    int fd = m->shm->permits_fd;
    m->shm->permits_fd = -1; /* it is the new one's */
    struct shm *new = take_over_as_new();
    CHECK_NUMBER(new->permits_fd, fd);
    CHECK_NUMBER(new->side, 1);
    CU_ASSERT(new->shares_permits);
    CU_ASSERT((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CU_ASSERT(memcmp(new->permit_names, m->shm->permit_names, sizeof new->permit_names) == 0);
    CHECK_NUMBER(new->permits->zones[2].limit, 3);
    CU_ASSERT(calls_logged("hold over this binary and the older one"));
    CU_ASSERT(!permits_can_pass_on(new)); /* while another one shares them */
    shm_destroy(new);
    master_end(m);
}

/* The new binary has its own permits then, and says so. */
static void what_cannot_be_shared_is_said(void)
{
    struct master *m = begin();
    char other[64], list[9][96];
    open_zone(m, "z", 1);
    static const char *const formats[] = {"",
                                          "x",
                                          "%d;%d;2;",
                                          "%d;%d;1;0:1:z",
                                          "%d;%d;1;64:1:z;",
                                          "%d;%d;-1;",
                                          "%d;%d;1;0:32:z;",
                                          "%d;%d;1;0:5:z;",
                                          "%d;%d;1;0:1:zz;"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        snprintf(list[i], sizeof list[i], formats[i], SHM_LAYOUT_VERSION, dup(m->shm->permits_fd));
        setenv("WEIR_PERMITS", list[i], 1);
        calls_forget_log();
        struct shm *new = take_over_as_new();
        CHECK_FOR(list[i], calls_logged("count their limits of concurrency by themselves"));
        CHECK_FOR(list[i], !new->shares_permits &&new->side == 0 && !new->permit_names[0][0]);
        CHECK_FOR(list[i], new->permits != m->shm->permits &&new->permits->zones[0].limit == 0);
        shm_destroy(new);
    }
    snprintf(other, sizeof other, "%d;%d;1;0:1:z;", SHM_LAYOUT_VERSION + 1, dup(m->shm->permits_fd));
    setenv("WEIR_PERMITS", other, 1);
    calls_forget_log();
    struct shm *new = take_over_as_new();
    CU_ASSERT(calls_logged("has another layout") && !new->shares_permits);
    shm_destroy(new);
    calls_forget_log();
    new = take_over_as_new(); /* the older one has said nothing */
    CU_ASSERT(calls_logged("does not share its memory") && !new->shares_permits);
    shm_destroy(new);
    master_end(m);
}

/* It has its time; a process that is none of the other one's either is no reason to wait for ever. */
static void the_other_master_is_asked_first(void)
{
    struct master *m = begin();
    CU_ASSERT(!permits_leave_to_other(m, (uint32_t)getpid(), 1000));
    m->shm->shares_permits = true;
    m->upgraded_pid = 1;
    m->upgraded_shares = true;
    CU_ASSERT(!permits_leave_to_other(m, INT32_MAX, 1000)); /* nobody has this name */
    CU_ASSERT(!permits_leave_to_other(m, UINT32_MAX, 1000));
    CU_ASSERT(permits_leave_to_other(m, (uint32_t)getpid(), 1000));
    CHECK_NUMBER(m->shm->permits->stuck[1], (uint32_t)getpid());
    CU_ASSERT(permits_leave_to_other(m, (uint32_t)getpid(), 3999));
    CU_ASSERT(!permits_leave_to_other(m, (uint32_t)getpid(), 4000));
    CU_ASSERT(permits_leave_to_other(m, 1, 4000));         /* another one */
    CU_ASSERT(permits_leave_to_other(m, 1, 4000 + 60000)); /* or the same, much later */
    m->upgraded_pid = 0;
    m->shm->shares_permits = false;
    master_end(m);
}

static void what_the_other_asks_for_is_done(void)
{
    struct master *m = begin();
    open_zone(m, "z", 1);
    m->shm->shares_permits = true;
    m->upgraded_pid = 1;
    m->upgraded_shares = true;
    atomic_store(&m->shm->permits->zones[0].lock, 4711);
    atomic_store(&m->shm->permits->stuck[0], 4711);
    shared_end_asked(m);
    CHECK_NUMBER(permits_look(m, 5000), 6000);
    CU_ASSERT(m->shm->permits->zones[0].lock != 4711); /* it is none of ours, so it was made up */
    m->next_permits_ms = 6000;
    CHECK_NUMBER(permits_look(m, 5500), 6000);
    m->upgraded_pid = 0;
    CHECK_NUMBER(permits_look(m, 6000), 0);
    CU_ASSERT(!m->shm->shares_permits && calls_logged("alone again"));
    CHECK_NUMBER(permits_look(m, 7000), 0);
    master_end(m);
}

static const struct check_case cases[] = {
    {"names and numbers are passed on", names_and_numbers_are_passed_on},
    {"what cannot be shared is said", what_cannot_be_shared_is_said},
    {"the other master is asked first", the_other_master_is_asked_first},
    {"what the other asks for is done", what_the_other_asks_for_is_done},
};

CHECK_MAIN("master/permits", cases)
