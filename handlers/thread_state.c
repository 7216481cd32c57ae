/*
 * handlers/thread_state.c - thread_init and thread_free of <weir/handler.h>.
 *
 * A thread has a short list of what it has made, the last one used in front: mostly a pool serves few locations.
 */
#include "handlers/thread_state.h"

#include "base/log.h"
#include "handlers/job.h"
#include "http/request/exchange.h"
#include "pool/pool.h"

#include <assert.h>
#include <stdlib.h>

enum { WHY_BYTES = 512 };

struct thread_state {
    struct pool_thread_end end; /* first */
    const struct weir_handler *handler;
    const struct location *location;
    void *state;
    struct thread_state *next;
};

static _Thread_local struct thread_state *states;

static struct thread_state *find(const struct weir_request *job)
{
    struct thread_state **p = &states;
    while (*p && ((*p)->handler != job->handler || (*p)->location != job->ex->route.location))
        p = &(*p)->next;
    struct thread_state *found = *p;
    if (found && found != states) {
        *p = found->next;
        found->next = states;
        states = found;
    }
    return found;
}

static void free_at_end(struct pool_thread_end *end)
{
    struct thread_state *s = (struct thread_state *)end; /* its first member */
    for (struct thread_state **p = &states; *p; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    if (s->handler->thread_free)
        s->handler->thread_free(s->state);
    free(s);
}

static struct thread_state *make(struct weir_request *job)
{
    char why[WHY_BYTES] = "";
    struct thread_state *s = calloc(1, sizeof *s);
    if (s)
        s->state = job->handler->thread_init(job->settings, why, sizeof why);
    if (!s || !s->state) {
        http_log(job->ex, LOG_LEVEL_ERROR, "handler \"%s\": cannot begin on this thread: %s",
                 job->handler->name,
                 !s       ? "out of memory"
                 : why[0] ? why
                          : "its thread_init gave no reason");
        free(s);
        return NULL;
    }
    s->end.call = free_at_end;
    s->handler = job->handler;
    s->location = job->ex->route.location;
    s->next = states;
    states = s;
    bool ours = pool_at_thread_end(&s->end);
    /* Jobs run on threads of pools only. */
    assert(ours);
    (void)ours;
    return s;
}

bool thread_state_prepare(struct weir_request *job)
{
    if (!job->handler->thread_init)
        return true;
    const struct thread_state *s = find(job);
    if (!s)
        s = make(job);
    job->thread_state = s ? s->state : NULL;
    return s != NULL;
}

void *weir_thread(weir_request *r)
{
    return r->thread_state;
}
