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
#include "worker/stapling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TEXT_MAX = 64 << 20 };

struct reading {
    struct loop_task task; /* first */
    const struct site *site;
    struct buf packed;
    uint64_t number; /* of the message */
    struct certificate_change *changes;
};

static void drop(struct reading *r)
{
    if (!r)
        return;
    if (r->packed.data)
        explicit_bzero(r->packed.data, r->packed.cap); /* there are keys in it */
    buf_free(&r->packed);
    free(r);
}

static void read_change(struct pool_task *task)
{
    struct reading *r = (struct reading *)(void *)task;
    r->changes = certificates_read(r->site, buf_slice(&r->packed));
}

static void use_change(struct worker *w, struct loop_task *task)
{
    struct reading *r = (struct reading *)task; /* its first member */
    /* The pool has dropped it: the loop has the time that it takes. */
    if (task->task.outcome != POOL_TASK_DONE)
        read_change(&task->task);
    certificates_use(w->site, r->changes, r->number);
    stapling_go_on(w);
    drop(r);
}

void certificates_receive(struct worker *w, int fd)
{
    static uint64_t received;
    struct reading *r = calloc(1, sizeof *r);
    struct stat st;
    /* Room for all of it leaves no copies of keys behind. */
    if (!r || fstat(fd, &st) < 0 || !buf_reserve(&r->packed, (size_t)st.st_size + 1) ||
        fd_read_all(fd, TEXT_MAX, &r->packed) < 0) {
        log_errno(LOG_LEVEL_ALERT, errno, "cannot read changed certificates");
        drop(r);
        return;
    }
    r->number = ++received;
    r->site = w->site;
    r->task = (struct loop_task){.task.run = read_change, .ended = use_change};
    if (pools_submit(w, pools_default(w), &r->task) == POOL_OK)
        return;
    r->task.task.outcome = POOL_TASK_DROPPED;
    use_change(w, &r->task);
}
