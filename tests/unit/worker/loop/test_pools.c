/*
 * tests/unit/worker/loop/test_pools.c - where the loop and threads meet, with a real pool: what has ended there and what threads
 * want to be heard of comes to the loop, once, in its order; and handlers that are done, that fail, that are late, that nobody
 * waits for any more.
 */
#include "handlers/handler.h"
#include "handlers/job.h"
#include "http/site/router.h"
#include "tests/unit/http/bench_client.h"

#include <semaphore.h>

/* What a thread waits for, and how often it has come that far. */
static sem_t may_go;
static atomic_int came;

static void hold_thread(void)
{
    atomic_fetch_add(&came, 1);
    while (sem_wait(&may_go) < 0) {
    }
}

static int woken;

static void count_wake(struct worker *w)
{
    (void)w;
    woken++;
}

static int run_held(weir_request *r)
{
    hold_thread();
    weir_printf(r, "held");
    return 0;
}

static int run_failing(weir_request *r)
{
    weir_printf(r, "in vain");
    return 418;
}

static int run_streaming(weir_request *r)
{
    weir_printf(r, "one");
    weir_flush(r);
    hold_thread();
    weir_printf(r, "two");
    return 0;
}

static const struct weir_handler handlers[] = {{.name = "held", .run = run_held},
                                               {.name = "failing", .run = run_failing},
                                               {.name = "streaming", .run = run_streaming}};

/* Locations /0, /1 and /2 have the handlers. */
static void begin(void)
{
    bench_open("", "handler_timeout 1600ms; location /0 { } location /1 { } location /2 { }");
    for (struct location *l = bench.site->made; l; l = l->next_made) {
        if (l->name.len != 2 || l->name.data[0] != '/')
            continue;
        l->content = CONF_CONTENT_HANDLER;
        l->handler = &handlers[l->name.data[1] - '0'];
    }
    sem_init(&may_go, 0, 0);
    came = woken = 0;
    CU_ASSERT_FATAL(pools_open(&bench.w));
    CHECK_NUMBER(bench.w.pool_count, 1);
    bench.w.hooks.woken = count_wake;
}

static void end(void)
{
    CHECK_NUMBER(bench.w.jobs, 0);
    CHECK_NUMBER(bench.w.given_up, 0);
    CU_ASSERT(list_empty(&bench.w.orphans));
    CU_ASSERT(pools_close(&bench.w));
    pool_destroy(bench.w.pools[0].pool);
    sem_destroy(&may_go);
    bench_close();
}

static bool has_news(void)
{
    return pool_any_ended(bench.w.pools[0].pool) || atomic_load(&bench.w.notices);
}

/* What threads have done comes to the loop. */
static void hear(struct client *p)
{
    CHECK_EVENTUALLY(has_news());
    pools_collect(&bench.w);
    if (p)
        client_settle(p);
    bench_end_turn();
}

static void client_ask(struct client *p, const char *path)
{
    char head[200];
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    client_connect(p);
    client_say(p, slice_of(head));
    CU_ASSERT(h1_request_is(p->c, REQUEST_HANDLER));
    CHECK_NUMBER(bench.w.jobs, 1);
}

/* --- tasks and notices --- */

enum { TASKS = 50 };

struct job {
    struct loop_task task; /* first */
    struct pool_notice notice;
    int heard, ended;
};

static void run_job(struct pool_task *task)
{
    pools_notify(&((struct job *)task)->notice);
}

static void hear_job(struct pool_notice *notice)
{
    struct job *job = container_of(notice, struct job, notice);
    CHECK_NUMBER(job->ended, 0); /* its memory could be gone then */
    job->heard++;
}

static void end_job(struct worker *w, struct loop_task *task)
{
    struct job *job = (struct job *)task;
    CU_ASSERT(w == &bench.w);
    CHECK_NUMBER(job->heard, 1);
    job->ended++;
}

static void tasks_and_notices(void)
{
    static struct job jobs[TASKS];
    struct worker *w = &bench.w;
    begin();
    CU_ASSERT(!ev_is_active(&w->expire));
    for (int i = 0; i < TASKS; i++) {
        jobs[i] =
            (struct job){.task = {.task = {.run = run_job}, .ended = end_job}, .notice = {.hear = hear_job}};
        CHECK_NUMBER(pools_submit(w, 0, &jobs[i].task), POOL_OK);
        CU_ASSERT(ev_is_active(&w->expire));
    }
    CHECK_NUMBER(w->jobs, TASKS);
    while (w->jobs > 0)
        hear(NULL);
    for (int i = 0; i < TASKS; i++)
        CU_ASSERT(jobs[i].heard == 1 && jobs[i].ended == 1);
    ev_invoke(w->loop, &w->expire, EV_TIMER); /* finds nothing to look after any more */
    CU_ASSERT(!ev_is_active(&w->expire));
    pools_collect(w);
    CU_ASSERT(pools_find(w, w->pools[0].pool) == &w->pools[0]);
    end();
}

static void run_held_job(struct pool_task *task)
{
    run_job(task);
    hold_thread();
}

/* The loop itself, which sleeps until a thread has something to tell: a notice, though its task goes on, and a task's end. */
static void the_loop_is_woken(void)
{
    static struct job job;
    struct worker *w = &bench.w;
    begin();
    job =
        (struct job){.task = {.task = {.run = run_held_job}, .ended = end_job}, .notice = {.hear = hear_job}};
    CHECK_NUMBER(pools_submit(w, 0, &job.task), POOL_OK);
    while (woken == 0)
        ev_run(w->loop, EVRUN_ONCE);
    pools_collect(w);
    CHECK_NUMBER(job.heard, 1);
    CHECK_NUMBER(job.ended, 0);
    sem_post(&may_go);
    while (woken == 1)
        ev_run(w->loop, EVRUN_ONCE);
    pools_collect(w);
    CHECK_NUMBER(job.ended, 1);
    end();
}

/* One line a second, and the number of the others. */
static void refusals_are_logged(void)
{
    struct client p = {0};
    begin();
    client_ask(&p, "/0");
    struct http_exchange about = {.worker = &bench.w, .client = p.c->ex->client};
    arena_init(&about.arena, 1000);
    for (int i = 0; i < 4; i++)
        pools_log_refusal(&about, &bench.w.pools[0], "is full");
    CHECK_ERRORS("thread pool \"default\" is full; request refused");
    bench_pass(999);
    pools_log_silent(&bench.w);
    CHECK_ERRORS("");
    bench_pass(1);
    pools_log_silent(&bench.w);
    CHECK_ERRORS("thread pool \"default\": 3 more requests refused");
    pools_log_silent(&bench.w);
    CHECK_ERRORS("");
    arena_free(&about.arena);
    sem_post(&may_go);
    hear(&p);
    client_leave(&p);
    client_free(&p);
    end();
}

/* --- handlers --- */

static void handlers_that_return(void)
{
    struct client p = {0};
    begin();
    client_ask(&p, "/0");
    CHECK_EVENTUALLY(atomic_load(&came) == 1);
    bench_pass(1599); /* not a moment too late */
    sem_post(&may_go);
    hear(&p);
    CHECK_CODES(&p, "200");
    CHECK_SLICE(client_body(&p), "held");
    CHECK_LOG("200 GET /0 OK;");
    client_leave(&p);
    client_free(&p);
    p = (struct client){.c = NULL};
    client_ask(&p, "/1");
    hear(&p);
    CHECK_CODES(&p, "418");
    CU_ASSERT(!client_has(&p, "in vain"));
    CHECK_LOG("418 GET /1 OK;");
    client_leave(&p);
    client_free(&p);
    end();
}

/* The client has its answer at once, and the thread goes on. */
static void a_handler_that_is_late(void)
{
    struct client p = {0};
    begin();
    client_ask(&p, "/0");
    CHECK_EVENTUALLY(atomic_load(&came) == 1);
    bench_pass(1599);
    CHECK_NUMBER(client_got(&p).len, 0);
    p.room = SIZE_MAX;
    bench_pass(1);
    CHECK_CODES(&p, "504");
    CHECK_LOG("504 GET /0 OK;");
    CHECK_ERRORS("handler \"held\" timed out");
    CHECK_NUMBER(bench.w.jobs, 1);
    CHECK_NUMBER(bench.w.given_up, 1);
    client_leave(&p);
    client_free(&p);
    sem_post(&may_go);
    hear(NULL);
    CHECK_LOG("");
    end();
}

/* Its client leaves: it may go on in its time, and is given up then. */
static void a_handler_that_nobody_waits_for(void)
{
    struct worker *w = &bench.w;
    begin();
    for (int is_late = 0; is_late < 2; is_late++) {
        struct client p = {0};
        atomic_store(&came, 0);
        client_ask(&p, "/0");
        CHECK_EVENTUALLY(atomic_load(&came) == 1);
        client_leave(&p);
        CHECK_LOG("499 GET /0 ;");
        CU_ASSERT(!list_empty(&w->orphans));
        bench_pass(is_late ? 1600 : 1599);
        ev_invoke(w->loop, &w->expire, EV_TIMER);
        CU_ASSERT(list_empty(&w->orphans) == is_late);
        CHECK_NUMBER(w->given_up, is_late);
        sem_post(&may_go);
        hear(NULL);
        CHECK_NUMBER(w->jobs, 0);
        CHECK_LOG("");
        client_free(&p);
    }
    end();
}

static void a_handler_that_streams(void)
{
    struct client p = {0};
    begin();
    client_ask(&p, "/2");
    hear(&p);
    CHECK_SLICE(client_body(&p), "3\r\none\r\n");
    CU_ASSERT(h1_request_is(p.c, REQUEST_SEND));
    sem_post(&may_go);
    while (p.c->ex)
        hear(&p);
    CHECK_SLICE(client_body(&p), "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    CHECK_LOG("200 GET /2 OK;");
    client_leave(&p);
    client_free(&p);
    end();
}

/* Its time is over when it has begun to answer: the client sees that there is no more. */
static void a_stream_that_is_late(void)
{
    struct client p = {0};
    begin();
    client_ask(&p, "/2");
    hear(&p);
    CHECK_EVENTUALLY(atomic_load(&came) == 1);
    bench_pass(1599);
    CU_ASSERT(p.c != NULL);
    bench_pass(1);
    CHECK_NUMBER(p.closed, 1);
    CHECK_SLICE(client_body(&p), "3\r\none\r\n");
    CHECK_LOG("200 GET /2 ;");
    CHECK_NUMBER(bench.w.given_up, 1);
    client_free(&p);
    sem_post(&may_go);
    while (bench.w.jobs > 0)
        hear(NULL);
    end();
}

static const struct check_case cases[] = {
    {"tasks and notices", tasks_and_notices},
    {"the loop is woken", the_loop_is_woken},
    {"refusals are logged", refusals_are_logged},
    {"handlers that return", handlers_that_return},
    {"a handler that is late", a_handler_that_is_late},
    {"a handler that nobody waits for", a_handler_that_nobody_waits_for},
    {"a handler that streams", a_handler_that_streams},
    {"a stream that is late", a_stream_that_is_late}};

CHECK_MAIN("pools of the loop", cases)
