/*
 * tests/unit/http/serve/test_waits.c - requests that wait for something other than their client: for a permit, for their turn by a
 * rate, for a delay. They go on when it has come or their time is over, to the millisecond, and leave nothing behind when their
 * client leaves.
 */
#include "tests/unit/http/bench_client.h"
#include "tests/unit/http/bench_clock.h"

#include "shm/permit_internal.h"

enum { QUEUE_MS = 1600, BIG_BYTES = 100000, WAITERS = 3 };

static const char http[] = "limit_concurrency_zone z limit=1 queue=2 queue_timeout=1600ms;"
                           "limit_req_zone $arg_k zone=r:64k rate=1r/s; limit_conn_zone $arg_k zone=c:64k;";
static const char server[] = "limit_concurrency_log_level error; limit_req_log_level error;"
                             "location /one { limit_concurrency z; alias ./; }"
                             "location /dry { limit_concurrency z; limit_concurrency_dry_run on; alias ./; }"
                             "location /slow { limit_req zone=r burst=2; alias ./; }"
                             "location /few { limit_conn c 1; alias ./; }"
                             "location /login { auth_basic x; auth_basic_user_file none; auth_delay 1600ms;"
                             "  error_page 401 /page; alias ./; }"
                             "location /page { return 200 page; }";

/* One that holds what it was given for as long as its client takes nothing; and some that wait for it. */
static struct client holder, waiters[WAITERS];

static void ask(struct client *p, const char *path)
{
    char head[200];
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    if (!p->c)
        client_connect(p);
    client_say(p, slice_of(head));
}

static void begin(const char *path, int waiting)
{
    static char big[BIG_BYTES];
    bench_open(http, server);
    bench_add_file("big", (struct slice){big, sizeof big});
    bench_add_file("small", SLICE("small"));
    holder = (struct client){.takes_nothing = true};
    ask(&holder, path);
    CU_ASSERT(h1_request_is(holder.c, REQUEST_SEND));
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct client){.c = NULL};
        if (i < waiting)
            ask(&waiters[i], "/one/small");
    }
}

static const struct permit_zone *zone(void)
{
    return &permit_region(bench.shm)->zones[0];
}

/* Its client takes all of it: what it has held goes to others. */
static void let_go(void)
{
    holder.takes_nothing = false;
    for (int i = 0; i < WAITERS; i++)
        waiters[i].room = SIZE_MAX;
    client_run(&holder);
    CU_ASSERT(!holder.c->ex);
}

static void end(void)
{
    if (holder.c)
        client_leave(&holder);
    client_free(&holder);
    for (int i = 0; i < WAITERS; i++) {
        if (waiters[i].c)
            client_leave(&waiters[i]);
        client_free(&waiters[i]);
    }
    CHECK_NUMBER(permit_get(&zone()->held), 0);
    CHECK_NUMBER(permit_get(&zone()->queued), 0);
    bench_close();
}

/* The one that has waited longest has the permit next. */
static void for_a_permit(void)
{
    begin("/one/big", 2);
    CU_ASSERT(h1_request_is(waiters[0].c, REQUEST_QUEUED) && h1_request_is(waiters[1].c, REQUEST_QUEUED));
    CHECK_NUMBER(permit_get(&zone()->queued), 2);
    CHECK_NUMBER(bench.w.waiters, 2);
    bench_pass(QUEUE_MS - 1);
    let_go();
    CHECK_LOG("200 GET /one/big OK;200 GET /one/small OK;200 GET /one/small OK;");
    CHECK_CODES(&waiters[0], "200");
    CHECK_CODES(&waiters[1], "200");
    CHECK_NUMBER(counter_get(&zone()->admitted), 3);
    end();
}

static void for_a_permit_in_vain(void)
{
    begin("/one/big", 3);
    CHECK_CODES(&waiters[2], "503"); /* there is room for two */
    CU_ASSERT(client_has(&waiters[2], "Retry-After: 1\r\n"));
    CHECK_ERRORS("limiting concurrency by zone \"z\": queue_full");
    CHECK_NUMBER(counter_get(&zone()->rejected[PERMIT_QUEUE_FULL]), 1);
    bench_pass(QUEUE_MS - 1);
    CU_ASSERT(h1_request_is(waiters[0].c, REQUEST_QUEUED) && h1_request_is(waiters[1].c, REQUEST_QUEUED));
    waiters[0].room = waiters[1].room = SIZE_MAX;
    bench_pass(1);
    CHECK_CODES(&waiters[0], "503");
    CHECK_CODES(&waiters[1], "503");
    CU_ASSERT(waiters[0].c && waiters[1].c); /* they stay usable */
    CHECK_NUMBER(counter_get(&zone()->rejected[PERMIT_QUEUE_TIMEOUT]), 2);
    CHECK_LOG("503 GET /one/small OK;503 GET /one/small OK;503 GET /one/small OK;");
    let_go();
    ask(&waiters[0], "/one/small");
    CHECK_CODES(&waiters[0], "503 200");
    end();
}

static void clients_that_leave(void)
{
    begin("/one/big", 2);
    client_leave(&waiters[0]);
    CHECK_LOG("499 GET /one/small ;");
    CHECK_NUMBER(permit_get(&zone()->queued), 1);
    CHECK_NUMBER(counter_get(&zone()->rejected[PERMIT_CLIENT_GONE]), 1);
    /* This one has left, which has not been seen yet when it is let in. */
    waiters[1].ends = true;
    let_go();
    CU_ASSERT(!waiters[1].c);
    CHECK_NUMBER(client_got(&waiters[1]).len, 0);
    CHECK_LOG("200 GET /one/big OK;499 GET /one/small ;");
    ask(&waiters[2], "/one/small");
    CHECK_CODES(&waiters[2], "200");
    CHECK_LOG("200 GET /one/small OK;");
    end();
}

/* The holder's own leaving lets another one in. */
static void a_holder_that_leaves(void)
{
    begin("/one/big", 1);
    waiters[0].room = SIZE_MAX;
    holder.fail_at = 1;
    holder.error = ECONNRESET;
    holder.takes_nothing = false;
    client_run(&holder);
    CHECK_NUMBER(holder.closed, 1);
    client_run(&waiters[0]);
    CHECK_CODES(&waiters[0], "200");
    CHECK_LOG("200 GET /one/big ;200 GET /one/small OK;");
    end();
}

static void a_worker_that_stops(void)
{
    begin("/one/big", 2);
    waiters[0].room = waiters[1].room = SIZE_MAX;
    limit_refuse_waiting(&bench.w);
    CHECK_NUMBER(bench.w.waiters, 0);
    CHECK_CODES(&waiters[0], "503");
    CHECK_CODES(&waiters[1], "503");
    CHECK_NUMBER(counter_get(&zone()->rejected[PERMIT_DRAINING]), 2);
    end();
}

static void a_dry_run(void)
{
    begin("/one/big", 0);
    ask(&waiters[0], "/dry/small");
    CHECK_CODES(&waiters[0], "200");
    CHECK_NUMBER(counter_get(&zone()->dry_run_queued), 1);
    end();
}

/* Pipelined requests behind one that waits keep their order. */
static void pipelined(void)
{
    begin("/one/big", 0);
    ask(&waiters[0], "/one/small HTTP/1.1\r\nHost: h\r\n\r\nGET /page");
    CU_ASSERT(h1_request_is(waiters[0].c, REQUEST_QUEUED));
    CHECK_NUMBER(client_got(&waiters[0]).len, 0);
    let_go();
    client_run(&waiters[0]);
    CHECK_CODES(&waiters[0], "200 200");
    CHECK_LOG("200 GET /one/big OK;200 GET /one/small OK;200 GET /page OK;");
    end();
}

/* Each by its rate: the first at once, two later, and no more than that. Times are rounded up to a tick. */
static void by_a_rate(void)
{
    begin("/one/big", 0);
    struct client more = {0};
    for (int i = 0; i < WAITERS; i++)
        ask(&waiters[i], "/slow/small?k=1");
    ask(&more, "/slow/small?k=1");
    CHECK_CODES(&waiters[0], "200");
    CU_ASSERT(h1_request_is(waiters[1].c, REQUEST_DELAYED) && h1_request_is(waiters[2].c, REQUEST_DELAYED));
    CHECK_CODES(&more, "503");
    client_leave(&more);
    client_free(&more);
    bench_pass(1007);
    CHECK_NUMBER(client_got(&waiters[1]).len, 0);
    bench_pass(1);
    client_run(&waiters[1]);
    CHECK_CODES(&waiters[1], "200");
    bench_pass(2000 - 1008 - 1);
    CHECK_NUMBER(client_got(&waiters[2]).len, 0);
    client_leave(&waiters[2]); /* it leaves before its turn */
    bench_pass(1);
    CHECK_LOG("200 GET /slow/small OK;503 GET /slow/small OK;200 GET /slow/small OK;499 GET /slow/small ;");
    end();
}

static void by_number(void)
{
    begin("/few/big?k=1", 0);
    ask(&waiters[0], "/few/small?k=1");
    ask(&waiters[1], "/few/small?k=2");
    CHECK_CODES(&waiters[0], "503");
    CHECK_CODES(&waiters[1], "200");
    let_go();
    ask(&waiters[0], "/few/small?k=1");
    CHECK_CODES(&waiters[0], "503 200");
    end();
}

/* auth_delay: who has no password waits, and has its page then. */
static void for_a_refusal(void)
{
    begin("/one/big", 0);
    ask(&waiters[0], "/login/small");
    CU_ASSERT(h1_request_is(waiters[0].c, REQUEST_DELAYED));
    bench_pass(1599);
    CU_ASSERT(h1_request_is(waiters[0].c, REQUEST_DELAYED));
    bench_pass(1);
    client_run(&waiters[0]);
    CHECK_CODES(&waiters[0], "401");
    CU_ASSERT(client_has(&waiters[0], "WWW-Authenticate: Basic realm=\"x\"\r\n"));
    CHECK_LOG("401 GET /page OK;");
    end();
}

static const struct check_case cases[] = {{"for a permit", for_a_permit},
                                          {"for a permit, in vain", for_a_permit_in_vain},
                                          {"clients that leave while they wait", clients_that_leave},
                                          {"a holder that leaves", a_holder_that_leaves},
                                          {"a worker that stops", a_worker_that_stops},
                                          {"a dry run", a_dry_run},
                                          {"pipelined requests", pipelined},
                                          {"limit_req", by_a_rate},
                                          {"limit_conn", by_number},
                                          {"auth_delay", for_a_refusal}};

CHECK_MAIN("waits", cases)
