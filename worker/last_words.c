/*
 * worker/last_words.c - what a worker leaves behind when it dies: which of the requests that it ran has done it.
 *
 * The records of shm/running.h say what runs. A signal that ends the process marks the one of its own thread, and then takes
 * its usual course: a core is as it would be. Only memory that is there is touched: nothing is allocated or locked.
 */
#include "worker/last_words.h"

#include "handlers/job.h"
#include "http/client/connections.h"
#include "shm/running.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct worker *the_worker;
static volatile sig_atomic_t told;

/* The loop has no record of its own: it gets one when it matters. */
static struct running *loop_record(void)
{
    const struct http_exchange *ex = connection_at_work(the_worker);
    struct running *r = ex ? running_begin(&the_worker->slot->running, the_worker->now_ms) : NULL;
    if (r)
        job_describe(r, ex);
    return r;
}

static void on_fatal(int number)
{
    struct running *r = job_current_record();
    if (!told) {
        told = 1;
        if (!r && syscall(SYS_gettid) == getpid())
            r = loop_record();
        if (r)
            r->died = number;
    }
    /* Taken when this returns, as SA_RESETHAND has put the usual course back. */
    raise(number);
}

void last_words_prepare(struct worker *w)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
    assert(!the_worker && w->slot);
    the_worker = w;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction now, action = {.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND};
        if (sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL) /* else a sanitizer's */
            sigaction(numbers[i], &action, NULL);
    }
}
