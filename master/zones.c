/*
 * master/zones.c - the zones of a configuration, in shared memory.
 *
 * A zone lives as long as the master: by its name workers of all generations share it, so that a limit holds while old
 * workers finish beside new ones.
 */
#include "master/internal.h"

#include "base/log.h"
#include "shm/permit.h"

static struct permit_rules rules_of(const struct conf_zone *z)
{
    struct permit_rules r;
    memset(&r, 0, sizeof r); /* compared byte by byte: no holes */
    r.limit = (uint32_t)z->limit;
    r.queue = (uint32_t)z->queue;
    r.queue_timeout_us = (uint64_t)z->queue_timeout_ms * 1000;
    r.policy = z->policy == CONF_POLICY_CODEL      ? PERMIT_CODEL
               : z->policy == CONF_POLICY_GRADIENT ? PERMIT_GRADIENT
                                                   : PERMIT_FIXED;
    r.min = (uint32_t)z->min;
    r.max = (uint32_t)z->max;
    r.target_us = (uint64_t)z->target_ms * 1000;
    r.interval_us = (uint64_t)z->interval_ms * 1000;
    r.window_us = (uint64_t)z->window_ms * 1000;
    r.probe_interval_us = (uint64_t)z->probe_interval_ms * 1000;
    r.probe_requests = (uint32_t)z->probe_requests;
    r.buffer_percent = (uint32_t)z->buffer_percent;
    r.jitter_percent = (uint32_t)z->jitter_percent;
    return r;
}

static int add_names(const struct conf *conf, const char **names, int count)
{
    for (const struct conf_zone *z = conf && conf->http ? conf->http->zones : NULL;
         z && count < 2 * PERMIT_ZONES; z = z->next)
        names[count++] = z->name.data;
    return count;
}

bool zones_open(struct shm *shm, struct conf *conf, const struct conf *in_force)
{
    const char *wanted[2 * PERMIT_ZONES + 1] = {0};
    add_names(in_force, wanted, add_names(conf, wanted, 0));
    for (struct conf_zone *z = conf->http ? conf->http->zones : NULL; z; z = z->next) {
        struct permit_rules rules = rules_of(z);
        z->index = permit_zone_open(shm, z->name.data, &rules, wanted);
        if (z->index < 0) {
            log_emerg(
                "no room for zone \"%.*s\": there may be %d zones of \"limit_concurrency_zone\"; remove some",
                SLICE_ARGS(z->name), PERMIT_ZONES);
            return false;
        }
    }
    return true;
}

void zones_apply(struct shm *shm, const struct conf *conf)
{
    for (const struct conf_zone *z = conf->http ? conf->http->zones : NULL; z; z = z->next) {
        struct permit_rules rules = rules_of(z);
        permit_zone_set(shm, (unsigned)z->index, &rules);
    }
}
