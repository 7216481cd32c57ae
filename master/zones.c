/*
 * master/zones.c - the zones of a configuration, in shared memory.
 *
 * A zone lives as long as the master: by its name workers of all generations share it, so that a limit holds while old
 * workers finish beside new ones.
 */
#include "master/internal.h"

#include "base/log.h"
#include "base/slice.h"
#include "shm/keyed.h"
#include "shm/permit.h"

#include <assert.h>
#include <errno.h>

static struct permit_rules permit_rules_of(const struct conf_zone *z)
{
    struct permit_rules r = {0};
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

static bool open_keyed(struct shm *shm, struct conf_keyed_zone *z)
{
    static const enum keyed_kind kinds[] = {[CONF_KEYED_CONNECTIONS] = KEYED_CONNECTIONS,
                                            [CONF_KEYED_REQUESTS] = KEYED_REQUESTS,
                                            [CONF_KEYED_SESSIONS] = KEYED_SESSIONS};
    z->index = keyed_zone_open(shm, z->name.data, kinds[z->kind], (size_t)z->bytes, z->key.data);
    if (z->index >= 0)
        return true;
    if (errno == ENFILE)
        log_emerg(
            "no room for zone \"%.*s\": there may be %d zones of \"limit_conn_zone\", \"limit_req_zone\" and "
            "\"sticky learn\", with those that old workers still use; remove some, or wait",
            SLICE_ARGS(z->name), KEYED_ZONES);
    else
        log_errno(LOG_LEVEL_EMERG, errno, "mmap(%lld) of zone \"%.*s\" failed; make it smaller",
                  (long long)z->bytes, SLICE_ARGS(z->name));
    return false;
}

void zones_prune(struct shm *shm, const struct conf *in_force)
{
    int kept[KEYED_ZONES], count = 0;
    for (const struct conf_keyed_zone *z = in_force->http ? in_force->http->keyed_zones : NULL;
         z && count < KEYED_ZONES; z = z->next)
        kept[count++] = z->index;
    keyed_zones_prune(shm, kept, count);
}

bool zones_open(struct shm *shm, struct conf *conf, const struct conf *in_force)
{
    const char *wanted[2 * PERMIT_ZONES + 1] = {0};
    add_names(in_force, wanted, add_names(conf, wanted, 0));
    for (struct conf_zone *z = conf->http ? conf->http->zones : NULL; z; z = z->next) {
        struct permit_rules rules = permit_rules_of(z);
        z->index = permit_zone_open(shm, z->name.data, &rules, wanted);
        if (z->index < 0) {
            log_emerg(
                "no room for zone \"%.*s\": there may be %d zones of \"limit_concurrency_zone\"; remove some",
                SLICE_ARGS(z->name), PERMIT_ZONES);
            return false;
        }
    }
    for (struct conf_keyed_zone *z = conf->http ? conf->http->keyed_zones : NULL; z; z = z->next)
        if (!open_keyed(shm, z))
            return false;
    return true;
}

void zones_apply(struct shm *shm, const struct conf *conf)
{
    for (const struct conf_zone *z = conf->http ? conf->http->zones : NULL; z; z = z->next) {
        struct permit_rules rules = permit_rules_of(z);
        assert(z->index >= 0 && z->index < PERMIT_ZONES);
        permit_zone_set(shm, (unsigned)z->index, &rules);
    }
}
