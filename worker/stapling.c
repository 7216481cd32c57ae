/*
 * worker/stapling.c - authorities are asked about the server's certificates by a thread of a pool, which may wait for them: one at a time, so
 * that one that gives no answer has no more than one thread.
 */
#include "worker/stapling.h"

#include "base/log.h"
#include "http/site/certificates.h"
#include "net/tls_status.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <stdlib.h>
#include <time.h>

struct asking {
    struct loop_task task; /* first */
    const struct certificate_owner *about;
    int pair;
    struct net_tls_staple_question *question;
};

static ev_timer timer;
static bool is_asking;

static void ask(struct pool_task *task)
{
    net_tls_staple_ask(((struct asking *)(void *)task)->question);
}

static void complain(const struct certificate_owner *o, int pair, const char *wrong)
{
    log_error("\"ssl_stapling\" of certificate \"%s\": %s", net_tls_shown(o->rules->pairs[pair].certificate),
              wrong);
}

static void come_back(struct worker *w, struct loop_task *task)
{
    struct asking *a = (struct asking *)task; /* its first member */
    const char *wrong = net_tls_staple_end(a->about->context, a->pair, a->question);
    if (wrong)
        complain(a->about, a->pair, wrong);
    free(a);
    is_asking = false;
    stapling_go_on(w);
}

/* A question for which there is no thread now is due again soon. */
static void begin(struct worker *w, const struct certificate_owner *o, int pair)
{
    char error[NET_TLS_ERROR_BYTES];
    struct asking *a = calloc(1, sizeof *a);
    struct net_tls_staple_question *q = a ? net_tls_staple_begin(o->context, pair, error) : NULL;
    if (!q) {
        if (a)
            complain(o, pair, error);
        free(a);
        return;
    }
    *a = (struct asking){
        .task = {.task.run = ask, .ended = come_back}, .about = o, .pair = pair, .question = q};
    int pool = o->rules->where >= 0 ? o->rules->where : pools_default(w);
    is_asking = pools_submit(w, pool, &a->task) == POOL_OK;
    if (is_asking)
        return;
    net_tls_staple_end(o->context, pair, q);
    free(a);
}

static void on_time(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    stapling_go_on(t->data);
}

static void come_again(struct worker *w, int64_t after_s)
{
    ev_timer_stop(w->loop, &timer);
    ev_timer_init(&timer, on_time, after_s > 1 ? (double)after_s : 1, 0);
    timer.data = w;
    ev_timer_start(w->loop, &timer);
}

void stapling_go_on(struct worker *w)
{
    int64_t now_s = (int64_t)time(NULL), next_s = 0;
    for (const struct certificate_owner *o = certificates_of(w->site); o && !is_asking && !w->draining;
         o = o->next)
        for (int pair = 0; pair < o->rules->pair_count && !is_asking; pair++) {
            if (net_tls_staple_due_s(o->context, pair) && net_tls_staple_due_s(o->context, pair) <= now_s)
                begin(w, o, pair);
            int64_t due_s = net_tls_staple_due_s(o->context, pair);
            if (due_s && (!next_s || due_s < next_s))
                next_s = due_s;
        }
    if (!is_asking && next_s)
        come_again(w, next_s - now_s);
}
