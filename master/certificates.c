/*
 * master/certificates.c - files of certificates are looked at every second; what has changed is sent to the workers.
 */
#include "http/site/certificates.h"

#include "base/fd.h"
#include "base/hist.h"
#include "master/internal.h"
#include "worker/worker.h"

#include <unistd.h>

enum { LOOK_EVERY_MS = 1000 };

static bool is_told(const struct master *m, const struct child *c)
{
    return c->channel >= 0 && c->generation == m->generation &&
           (c->state == CHILD_READY || c->state == CHILD_STARTING);
}

/* A file of its own for each: they share nothing. What cannot be sent now is made up for. */
static void send_to(struct child *c, struct slice packed)
{
    int fd = fd_memory_file("weir certificate", packed);
    struct worker_message message = {.kind = WORKER_CERTIFICATE};
    c->lacks_certificates = fd < 0 || !doors_send(c->channel, &message, fd);
    if (fd >= 0)
        close(fd);
}

static void send_to_workers(void *with, struct slice packed)
{
    struct master *m = with;
    for (int i = 0; i < SHM_SLOTS; i++)
        if (is_told(m, &m->children[i]) && !m->children[i].lacks_certificates)
            send_to(&m->children[i], packed);
}

static void send_to_those_that_lack(void *with, struct slice packed)
{
    struct master *m = with;
    for (int i = 0; i < SHM_SLOTS; i++)
        if (is_told(m, &m->children[i]) && m->children[i].lacks_certificates)
            send_to(&m->children[i], packed);
}

static bool any_lacks(const struct master *m)
{
    for (int i = 0; i < SHM_SLOTS; i++)
        if (is_told(m, &m->children[i]) && m->children[i].lacks_certificates)
            return true;
    return false;
}

static void count_failure(void *with)
{
    struct master *m = with;
    counter_add(&m->shm->head->certificate_load_failures, 1);
}

void certificates_take_changes(struct master *m, bool at_once)
{
    struct certificate_news news = {send_to_workers, count_failure, m},
                            again = {send_to_those_that_lack, count_failure, m};
    if (any_lacks(m))
        certificates_catch_up(m->site, &again);
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
