/*
 * worker/become.c - from a fork of the master to a worker: its environment, limits, priority, processors and user.
 *
 * What the system refuses is said and does not stop a worker, but for its user.
 */
#include "worker/become.h"

#include "base/log.h"
#include "base/slice.h"
#include "handlers/process_keeper.h"
#include "http/site/site.h"
#include "worker/loop/options.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static bool become_user(const struct worker_options *o)
{
    if (o->uid == 0 || geteuid() != 0)
        return true;
    const char *failed = setgid(o->gid) < 0                ? "setgid"
                         : initgroups(o->user, o->gid) < 0 ? "initgroups"
                         : setuid(o->uid) < 0              ? "setuid"
                                                           : NULL;
    if (failed) {
        log_errno(LOG_LEVEL_EMERG, errno, "%s() for user \"%s\" failed", failed, o->user);
        return false;
    }
    /* setuid took it away: from then on others of this user may look into the process. */
    if (o->site->conf->rlimit_core > 0)
        prctl(PR_SET_DUMPABLE, 1);
    return true;
}

static void set_limit(int which, const char *name, int64_t value)
{
    struct rlimit limit = {(rlim_t)value, (rlim_t)value};
    if (value != CONF_UNSET && setrlimit((__rlimit_resource_t)which, &limit) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "setrlimit(%s, %lld) failed", name, (long long)value);
}

/* "NAME" is there anyway. */
static void set_environment(const struct conf_lines *lines)
{
    for (; lines; lines = lines->next) {
        struct slice text = lines->node->args[0];
        const char *equals = memchr(text.data, '=', text.len);
        if (equals)
            putenv((char *)(uintptr_t)text.data); /* lives as long as the configuration */
    }
}

/* "0101": the last digit is processor 0. */
static void add_mask(struct slice mask, cpu_set_t *set)
{
    for (size_t i = 0; i < mask.len; i++)
        if (mask.data[mask.len - 1 - i] == '1')
            CPU_SET(i, set);
}

/* auto [MASK]: each worker has a processor of its own, in turn. */
static void pick_one(const struct conf_node *n, int index, cpu_set_t *set)
{
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (n->nargs > 1)
        add_mask(n->args[1], &allowed);
    else if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return;
    int count = CPU_COUNT(&allowed), wanted = count ? index % count : 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && wanted-- == 0)
            CPU_SET(cpu, set);
}

/* worker_cpu_affinity: a mask for each worker, the last one for those that are left. */
static void bind_to_processors(const struct conf_node *n, int index)
{
    cpu_set_t set;
    assert(n->nargs > 0 && index >= 0);
    CPU_ZERO(&set);
    if (slice_eq(n->args[0], SLICE("auto")))
        pick_one(n, index, &set);
    else
        add_mask(n->args[index < n->nargs ? index : n->nargs - 1], &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "sched_setaffinity() failed");
}

bool become_worker(const struct worker_options *o)
{
    const struct conf *conf = o->site->conf;
    set_environment(conf->env);
    set_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", conf->rlimit_nofile);
    set_limit(RLIMIT_CORE, "RLIMIT_CORE", conf->rlimit_core);
    if (conf->worker_priority && setpriority(PRIO_PROCESS, 0, (int)conf->worker_priority) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "setpriority(%d) failed", (int)conf->worker_priority);
    if (conf->cpu_affinity)
        bind_to_processors(conf->cpu_affinity, o->index);
    const char *dir = conf->working_directory.data;
    if (!process_keeper_open(dir, o->channel >= 0)) {
        log_errno(LOG_LEVEL_EMERG, errno, "cannot start a keeper of processes");
        return false;
    }
    if (!become_user(o))
        return false;
    if (dir && chdir(dir) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "chdir(\"%s\") failed", dir);
    return true;
}
