/*
 * worker/process.c - a worker process from its beginning to its end.
 *
 * What happens in each turn of its loop is in worker/turn.c, what it is told from outside in worker/orders.c.
 */
#include "worker/worker.h"

#include "base/file_cache.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/title.h"
#include "handlers/lend.h"
#include "handlers/offload.h"
#include "handlers/process_set.h"
#include "http/access/limit.h"
#include "http/client/connections.h"
#include "http/h1/version.h"
#include "http/h2/version.h"
#include "http/serve/open_logs.h"
#include "http/site/site.h"
#include "http/site/site_variables.h"
#include "http/site/status_zone.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"
#include "worker/accept.h"
#include "worker/become.h"
#include "worker/last_words.h"
#include "worker/loop/doors.h"
#include "worker/loop/figures.h"
#include "worker/loop/pools.h"
#include "worker/loop/urgent.h"
#include "worker/loop/worker_state.h"
#include "worker/orders.h"
#include "worker/stapling.h"
#include "worker/turn.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool open_worker(struct worker *w, const struct worker_options *o)
{
    *w = (struct worker){
        .options = o, .site = o->site, .conf = o->site->conf, .shm = o->shm, .slot = &o->shm->slots[o->slot]};
    w->hooks = (struct worker_hooks){limit_settle, proxy_settle_queues, connection_run_ready,
                                     worker_do_urgent, lend_settle};
    w->http1 = &h1_version;
    w->http2 = &h2_version;
    w->look_after_orphans = offload_look_after_orphans;
    list_init(&w->busy);
    list_init(&w->idle);
    list_init(&w->orphans);
    list_init(&w->dead);
    list_init(&w->carriers);
    w->ready_end = &w->ready;
    if (!become_worker(o))
        return false;
    w->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    w->input = malloc(INPUT_BYTES);
    if (!w->loop || !w->input) {
        log_emerg("cannot make an event loop");
        return false;
    }
    file_cache_init(&w->files);
    variables_open(w->shm);
    orders_watch_locks(w);
    turn_take_time(w);
    turn_watch(w);
    return status_zones_open(w) && pools_open(w) && doors_open(w) && offload_open(w) && limit_open(w) &&
           upstream_open_all(w) && resolve_open(w) && health_open(w) && accept_open(w);
}

int worker_run(const struct worker_options *options)
{
    static struct worker worker;
    struct worker *w = &worker;
    assert(options->slot >= 0 && options->index >= 0 && !worker.loop);
    if (options->channel >= 0) {
        prctl(PR_SET_NAME, "weir: worker");
        title_set("weir: worker process");
    }
    /* The daemon's is 0; what applications make is not everybody's to write. */
    umask(S_IWGRP | S_IWOTH);
    if (!open_worker(w, options))
        return 2;
    last_words_prepare(w);
    orders_watch(w);
    accept_start(w);
    stapling_go_on(w);
    worker_publish_figures(w);
    orders_report(w, WORKER_READY, counter_get(&w->slot->generation));
    /* Who is seen to run is watched by the master from then on, also if it stops right here. */
    w->slot->state = SHM_RUNNING;
    ev_run(w->loop, 0);
    if (w->given_up)
        log_warn("%u handlers that are past their handler_timeout are left behind", w->given_up);
    bool quiet = pools_close(w);
    pools_log_silent(w);
    logfiles_flush_all(&w->site->access_files);
    open_logs_close(w);
    process_end_all();
    log_notice("exiting");
    worker_publish_figures(w);
    /* A handler still runs: what it uses must not be taken down under it. */
    if (!quiet)
        _exit(0);
    return 0;
}
