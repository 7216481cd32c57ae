/*
 * tests/unit/worker/loop/test_doors.c - what two workers say to each other: whole, in order, to nobody else, whatever room there is.
 */
#include "tests/unit/check.h"

#include "base/fd.h"
#include "base/hist.h"
#include "shm/shm.h"
#include "worker/loop/doors.h"
#include "worker/loop/worker_state.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAMILY = 5, LONG_BYTES = 60 << 10, MANY = 20 };

static struct shm *shm;

/* A worker with a door of its own and one to the other; `line` is the end of its own that others speak at. */
static struct side {
    struct worker w; /* first */
    struct worker_options options;
    struct worker_doors doors;
    int line;
    int heard, with_fd, in_order;
    size_t bytes;
    struct sibling from;
} sides[2];

/* After each look at the door. */
static int looks;

static void count_look(struct worker *w)
{
    (void)w;
    looks++;
}

static void hear(struct worker *w, struct door_message *m)
{
    struct side *s = (struct side *)w;
    s->in_order += m->bytes.len > 0 && m->bytes.data[0] == (char)s->heard;
    s->heard++;
    s->with_fd += m->fd >= 0;
    s->bytes += m->bytes.len;
    s->from = m->from;
}

static void open_side(int slot)
{
    struct side *s = &sides[slot];
    s->options = (struct worker_options){.slot = slot, .shm = shm, .doors = &s->doors};
    s->w = (struct worker){.options = &s->options, .shm = shm, .slot = &shm->slots[slot]};
    s->w.hooks.woken = count_look;
    s->w.loop = ev_loop_new(EVBACKEND_POLL | EVFLAG_NOENV);
    CU_ASSERT_FATAL(s->w.loop && doors_open(&s->w));
    doors_hear(&s->w, DOOR_WORK, hear);
}

static void begin(void)
{
    shm = shm_create();
    CU_ASSERT_FATAL(shm != NULL);
    for (int i = 0; i < 2; i++) {
        int ends[2];
        CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        sides[i] = (struct side){
            .line = ends[1], .doors = {.family = FAMILY, .incarnation = (uint64_t)i + 1, .hears = ends[0]}};
        memset(sides[i].doors.speaks, -1, sizeof sides[i].doors.speaks);
        shm_note_slot(shm, i);
        counter_set(&shm->slots[i].incarnation, (uint64_t)i + 1);
        shm->slots[i].state = SHM_RUNNING;
    }
    for (int i = 0; i < 2; i++) {
        sides[i].doors.speaks[!i] = sides[!i].line;
        open_side(i);
    }
}

static void end(void)
{
    for (int i = 0; i < 2; i++) {
        ev_loop_destroy(sides[i].w.loop);
        close(sides[i].doors.hears);
        close(sides[i].line);
    }
    shm_destroy(shm);
}

/* Both loops, until there is nothing to do. */
static void turn(void)
{
    for (int i = 0; i < 2 * MANY; i++) {
        for (int k = 0; k < 2; k++) {
            sides[k].w.now_ms++;
            ev_run(sides[k].w.loop, EVRUN_NOWAIT);
        }
    }
}

static bool say(int number, size_t len)
{
    static char bytes[LONG_BYTES];
    struct worker *w = &sides[0].w;
    bytes[0] = (char)number;
    return doors_say(w, doors_sibling(w, 1), DOOR_WORK, (struct slice){bytes, len});
}

static void who_speaks_is_known(void)
{
    begin();
    CU_ASSERT(doors_reach(&sides[0].w, 1) && !doors_reach(&sides[0].w, 0) && !doors_reach(&sides[0].w, 2));
    CU_ASSERT(say(0, 3));
    turn();
    CHECK_NUMBER(sides[1].heard, 1);
    CHECK_NUMBER(sides[1].bytes, 3);
    CU_ASSERT(sibling_is(sides[1].from, (struct sibling){0, 1}));
    shm->slots[1].state = SHM_STOPPING;
    CU_ASSERT(!doors_reach(&sides[0].w, 1));
    end();
}

/* What the socket has no room for waits, and nothing overtakes it. */
static void a_full_door(void)
{
    begin();
    for (int i = 0; i < MANY; i++)
        CU_ASSERT(say(i, LONG_BYTES));
    CU_ASSERT(doors_are_busy(&sides[0].w));
    struct worker *w = &sides[0].w;
    CU_ASSERT(!doors_try(w, doors_sibling(w, 1), DOOR_WORK, (struct slice){"x", 1}, -1));
    turn();
    CHECK_NUMBER(sides[1].heard, MANY);
    CHECK_NUMBER(sides[1].in_order, MANY);
    CHECK_NUMBER(sides[1].bytes, MANY * LONG_BYTES);
    CU_ASSERT(!doors_are_busy(w));
    CU_ASSERT(doors_try(w, doors_sibling(w, 1), DOOR_WORK, (struct slice){"x", 1}, -1));
    end();
}

static void a_descriptor_goes_beside(void)
{
    begin();
    struct worker *w = &sides[0].w;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CU_ASSERT(doors_try(w, doors_sibling(w, 1), DOOR_WORK, (struct slice){"x", 1}, fd));
    close(fd);
    turn();
    CHECK_NUMBER(sides[1].with_fd, 1);
    /* Nobody has taken it: it is closed, and its number is free again. */
    int again = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_NUMBER(again, fd);
    close(again);
    end();
}

/* For an earlier worker of the slot, of another configuration, or nothing that has a meaning. */
static void what_is_not_meant_for_it(void)
{
    begin();
    struct worker *w = &sides[0].w;
    CU_ASSERT(doors_say(w, (struct sibling){1, 7}, DOOR_WORK, (struct slice){"x", 1}));
    CU_ASSERT(doors_say(w, doors_sibling(w, 1), DOOR_KICK, (struct slice){"x", 1})); /* nobody hears those */
    sides[0].doors.family++;
    CU_ASSERT(say(0, 1));
    sides[0].doors.family--;
    CHECK_NUMBER(send(sides[1].line, "", 0, 0), 0);
    CHECK_NUMBER(send(sides[1].line, "short", 5, 0), 5);
    turn();
    CHECK_NUMBER(sides[1].heard, 0);
    CU_ASSERT(say(0, 1));
    turn();
    CHECK_NUMBER(sides[1].heard, 1);
    end();
}

/* What waits for it is dropped, and its successor is another one. */
static void a_worker_that_dies(void)
{
    begin();
    struct worker *w = &sides[0].w;
    for (int i = 0; i < MANY; i++)
        say(i, LONG_BYTES);
    CU_ASSERT(doors_are_busy(w));
    ev_loop_destroy(sides[1].w.loop);
    close(sides[1].doors.hears);
    sides[1].w.loop = ev_loop_new(EVBACKEND_POLL | EVFLAG_NOENV);
    for (int i = 0; i < MANY; i++)
        ev_run(w->loop, EVRUN_NOWAIT);
    CU_ASSERT(!doors_are_busy(w) && say(0, 1)); /* nobody is left who could hear it */
    int ends[2];
    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    close(sides[1].line);
    sides[1] =
        (struct side){.line = dup(ends[1]), .doors = {.family = FAMILY, .incarnation = 9, .hears = ends[0]}};
    counter_set(&shm->slots[1].incarnation, 9);
    sides[0].doors.speaks[1] = -1;
    open_side(1);
    doors_add(w, 1, ends[1]);
    CU_ASSERT(say(0, 1));
    turn();
    CHECK_NUMBER(sides[1].heard, 1);
    end();
}

/* An end that nobody speaks at any more is no message without bytes, over and over. */
static void nobody_is_left(void)
{
    begin();
    CU_ASSERT(say(0, 1));
    close(sides[1].line);
    sides[1].line = -1;
    turn();
    CHECK_NUMBER(sides[1].heard, 1);
    looks = 0;
    turn();
    CHECK_NUMBER(looks, 0);
    end();
}

static const struct check_case cases[] = {
    {"who speaks is known", who_speaks_is_known},
    {"a full door", a_full_door},
    {"a descriptor goes beside", a_descriptor_goes_beside},
    {"what is not meant for it", what_is_not_meant_for_it},
    {"a worker that dies", a_worker_that_dies},
    {"nobody is left", nobody_is_left},
};

CHECK_MAIN("worker/loop/doors", cases)
