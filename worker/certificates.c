/*
 * worker/certificates.c - certificates that have changed: the master sends what is in their files, a thread reads it, the loop puts it in
 * place.
 */
#include "worker/certificates.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "http/site/certificates.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <errno.h>
#include <stdlib.h>

enum { TEXT_MAX = 4 << 20 };

struct reading {
    struct loop_task task; /* first */
    const struct site *site;
    struct buf packed;
    struct certificate_change *change;
};

static void read_change(struct pool_task *task)
{
    struct reading *r = (struct reading *)(void *)task;
    r->change = certificate_read(r->site, buf_slice(&r->packed));
}

static void use_change(struct worker *w, struct loop_task *task)
{
    struct reading *r = (struct reading *)task; /* its first member */
    /* The pool has dropped it: the loop has the time that it takes. */
    if (task->task.outcome != POOL_TASK_DONE)
        read_change(&task->task);
    certificate_use(w->site, r->change);
    explicit_bzero(r->packed.data, r->packed.cap); /* there is a key in it */
    buf_free(&r->packed);
    free(r);
}

static int default_pool(const struct worker *w)
{
    int number = 0;
    while (number < w->pool_count && !slice_eq(w->pools[number].conf->name, SLICE("default")))
        number++;
    return number;
}

void certificates_receive(struct worker *w, int fd)
{
    struct reading *r = calloc(1, sizeof *r);
    if (!r || fd_read_all(fd, TEXT_MAX, &r->packed) < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "cannot read a changed certificate");
        if (r)
            buf_free(&r->packed);
        free(r);
        return;
    }
    r->site = w->site;
    r->task = (struct loop_task){.task.run = read_change, .ended = use_change};
    int pool = default_pool(w);
    if (pool < w->pool_count && pools_submit(w, pool, &r->task) == POOL_OK)
        return;
    r->task.task.outcome = POOL_TASK_DROPPED;
    use_change(w, &r->task);
}
