/*
 * master/certificates.c - files of certificates are looked at every second; what has changed is sent to the workers.
 */
#include "http/site/certificates.h"

#include "base/fd.h"
#include "base/hist.h"
#include "base/log.h"
#include "master/internal.h"
#include "worker/worker.h"

#include <errno.h>
#include <unistd.h>

enum { LOOK_EVERY_MS = 1000 };

/* Each worker of the configuration in force gets a file of its own, as with live values. */
static void send_to_workers(void *with, struct slice packed)
{
    struct master *m = with;
    for (int i = 0; i < SHM_SLOTS; i++) {
        const struct child *c = &m->children[i];
        if (c->channel < 0 || c->generation != m->generation ||
            (c->state != CHILD_READY && c->state != CHILD_STARTING))
            continue;
        int fd = fd_memory_file("weir certificate", packed);
        struct worker_message message = {.kind = WORKER_CERTIFICATE};
        if (fd < 0 || !doors_send(c->channel, &message, fd))
            log_errno(LOG_LEVEL_ALERT, errno, "cannot hand a changed certificate to worker process %d",
                      (int)c->pid);
        if (fd >= 0)
            close(fd);
    }
}

static void count_failure(void *with)
{
    struct master *m = with;
    counter_add(&m->shm->head->certificate_load_failures, 1);
}

void certificates_take_changes(struct master *m, bool at_once)
{
    struct certificate_news news = {send_to_workers, count_failure, m};
    certificates_look(m->site, at_once, &news);
}

uint64_t certificates_look_in_time(struct master *m, uint64_t now_ms)
{
    if (!certificates_of(m->site) || m->stopping)
        return 0;
    if (m->next_certificates_ms && now_ms < m->next_certificates_ms)
        return m->next_certificates_ms;
    certificates_take_changes(m, false);
    return now_ms + LOOK_EVERY_MS;
}
