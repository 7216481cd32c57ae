/*
 * master/reload.c - SIGHUP: a new configuration, in place or by new workers, or none at all.
 *
 * The new file is read and built whole before anything changes. If it differs only in live values and no module was built
 * anew, the workers are sent the text and take the values over. Else new workers start beside the old ones, which are let go once all the
 * new ones have said that they are ready; if one of these does not come up, the new ones go and the old ones stay.
 */
#include "master/internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hist.h"
#include "base/log.h"
#include "base/slice.h"
#include "conf/conf.h"
#include "http/site/certificates.h"
#include "http/site/site.h"
#include "worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READY_WITHIN_MS = 30000, ANSWER_WITHIN_MS = 10000 };

/* wrong: what a failed one failed by, or NULL: then the log says it. */
static void finish_reload(struct master *m, bool ok, int kind, const struct conf_error *wrong)
{
    struct shm_reload *r = &m->shm->head->reload;
    r->last_ok = ok;
    if (ok) {
        r->last_kind = kind;
        counter_add(&r->count, 1);
        log_notice("reload done, configuration %llu, %s", (unsigned long long)m->generation,
                   kind == SHM_RELOAD_IN_PLACE ? "in place" : "by new workers");
    } else {
        counter_add(&r->failed, 1);
        log_error("reload failed; the configuration in force stays as it was");
    }
    const struct conf_error *e = ok ? NULL : wrong;
    if (ok)
        notify_state("READY=1\nSTATUS=serving, configuration %llu", (unsigned long long)m->generation);
    else
        notify_state("READY=1\nSTATUS=the last reload failed; configuration %llu stays%s%.*s",
                     (unsigned long long)m->generation, e ? ": " : "", e ? (int)e->message.len : 0,
                     e ? e->message.data : "");
}

static void refuse_reload(struct master *m, struct conf *conf, struct site *site)
{
    for (const struct conf_error *e = conf ? conf->errors.first : NULL; e; e = e->next)
        log_emerg("%.*s", SLICE_ARGS(e->message));
    finish_reload(m, false, SHM_RELOAD_NONE, conf ? conf->errors.first : NULL);
    if (site)
        site_free(site);
    conf_free(conf);
}

/* --- in place --- */

/* Each worker gets a file of its own: they share nothing, not even a read position. */
static bool send_to_workers(struct master *m, const struct conf *conf)
{
    struct buf text = {0};
    bool ok = conf_serialize(conf, &text);
    for (int i = 0; ok && i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (c->channel < 0 || c->generation != m->generation ||
            (c->state != CHILD_READY && c->state != CHILD_STARTING))
            continue;
        int fd = fd_memory_file("weir.conf", buf_slice(&text));
        ok = fd >= 0;
        struct worker_message message = {.kind = WORKER_RELOAD, .generation = m->generation};
        c->owes_reload = ok && doors_send(c->channel, &message, fd);
        /* One that has died is followed by one with the new values. */
        if (ok && !c->owes_reload && errno == EAGAIN) {
            log_alert("worker process %d takes no messages: it keeps the old configuration", (int)c->pid);
            m->live_reload_failed = true;
        }
        if (fd >= 0)
            close(fd);
    }
    buf_free(&text);
    return ok;
}

static void reload_in_place(struct master *m, struct conf *conf, struct site *site)
{
    site_free(site);
    m->live_reload_failed = false;
    if (!send_to_workers(m, conf)) {
        log_errno(LOG_LEVEL_ALERT, errno, "cannot hand the configuration to the workers");
        refuse_reload(m, conf, NULL);
        return;
    }
    conf_copy_live(m->conf, conf); /* for workers that start later */
    int sink = 0;
    for (const struct conf_error_log *l = m->conf->error_logs; l; l = l->next)
        log_set_level(sink++, (enum log_level)l->level, l->json);
    zones_apply(m->shm, m->conf);
    conf_free(conf);
    m->live_reload_deadline_ms = clock_mono_ms() + ANSWER_WITHIN_MS;
}

static void continue_in_place(struct master *m, uint64_t now_ms)
{
    assert(m->live_reload_deadline_ms && !m->reload.conf); /* one reload at a time */
    bool late = now_ms >= m->live_reload_deadline_ms;
    for (int i = 0; i < SHM_SLOTS; i++) {
        struct child *c = &m->children[i];
        if (!c->owes_reload || c->channel < 0)
            continue;
        if (!late)
            return;
        log_alert("worker process %d did not take over the configuration in time", (int)c->pid);
        c->owes_reload = false;
    }
    m->live_reload_deadline_ms = 0;
    m->generation++;
    counter_set(&m->shm->head->generation, m->generation);
    for (int i = 0; i < SHM_SLOTS; i++) {
        if (m->children[i].generation != m->generation - 1 || m->children[i].state == CHILD_NONE)
            continue;
        m->children[i].generation = m->generation;
        counter_set(&m->shm->slots[i].generation, m->generation);
    }
    finish_reload(m, !late && !m->live_reload_failed, SHM_RELOAD_IN_PLACE, NULL);
}

/* --- by new workers --- */

static void abandon_new(struct master *m)
{
    assert(m->reload.conf && m->reload.site && m->reload.generation > m->generation);
    workers_signal(m, SIGTERM, m->reload.generation);
    sockets_remove_files(m->reload.site, m->site);
    sockets_disown(m->reload.site, m->site);
    struct conf *conf = m->reload.conf;
    struct site *site = m->reload.site;
    m->reload = (struct pending_reload){0};
    refuse_reload(m, conf, site);
}

static bool only_current_workers(const struct master *m)
{
    for (int i = 0; i < SHM_SLOTS; i++)
        if (m->children[i].state != CHILD_NONE && m->children[i].generation != m->generation)
            return false;
    return true;
}

static void reload_by_respawn(struct master *m, struct conf *conf, struct site *site)
{
    if (only_current_workers(m))
        zones_prune(m->shm, m->conf);
    uid_t uid;
    gid_t gid;
    if (!process_find_user(conf, &uid, &gid) || !process_open_logs(site) ||
        !zones_open(m->shm, conf, m->conf) || !sockets_open(site, m->site)) {
        refuse_reload(m, conf, site);
        return;
    }
    for (const struct conf_error *e = conf->warnings.first; e; e = e->next)
        log_warn("%.*s", SLICE_ARGS(e->message));
    process_make_temp_dirs(conf, uid, gid);
    m->reload = (struct pending_reload){.conf = conf,
                                        .site = site,
                                        .generation = m->generation + 1,
                                        .family = ++m->families,
                                        .deadline_ms = clock_mono_ms() + READY_WITHIN_MS,
                                        .uid = uid,
                                        .gid = gid};
    if (!workers_start(m, site, m->reload.generation, (int)conf->worker_processes, 0))
        abandon_new(m);
}

/* While a newer binary runs, the pid file is its own, and .oldbin stays where it is. */
static void move_pid(struct master *m)
{
    const char *path = m->conf->pid_path.data;
    if (m->handed_over || strcmp(path, m->pid_path) == 0 || !process_write_pid(m->conf))
        return;
    unlink(m->pid_path);
    snprintf(m->pid_path, sizeof m->pid_path, "%s", path);
}

static void commit_new(struct master *m)
{
    struct conf *old_conf = m->conf;
    struct site *old_site = m->site;
    uint64_t old_generation = m->generation;
    workers_signal(m, SIGQUIT, old_generation); /* patience is the old configuration's */
    if (!m->handed_over)
        sockets_remove_files(old_site, m->reload.site);
    sockets_disown(old_site, m->reload.site);
    m->conf = m->reload.conf;
    m->site = m->reload.site;
    m->generation = m->reload.generation;
    m->family = m->reload.family;
    m->target = (int)m->conf->worker_processes;
    m->uid = m->reload.uid;
    m->gid = m->reload.gid;
    m->without_workers = false;
    m->reload = (struct pending_reload){0};
    counter_set(&m->shm->head->generation, m->generation);
    zones_apply(m->shm, m->conf);
    site_use_error_logs(m->site);
    move_pid(m);
    site_free(old_site);
    conf_free(old_conf);
    finish_reload(m, true, SHM_RELOAD_RESPAWN, NULL);
}

static void continue_respawn(struct master *m, uint64_t now_ms)
{
    int ready = 0;
    for (int i = 0; i < SHM_SLOTS; i++)
        ready += m->children[i].generation == m->reload.generation && m->children[i].state == CHILD_READY;
    if (ready == (int)m->reload.conf->worker_processes) {
        commit_new(m);
        return;
    }
    int starting = 0;
    for (int i = 0; i < SHM_SLOTS; i++)
        starting +=
            m->children[i].generation == m->reload.generation && m->children[i].state == CHILD_STARTING;
    if (ready + starting < (int)m->reload.conf->worker_processes || now_ms >= m->reload.deadline_ms) {
        log_alert("a new worker %s",
                  now_ms >= m->reload.deadline_ms ? "did not become ready in time" : "died at its start");
        abandon_new(m);
    }
}

/* Changed certificates are taken over by workers that there are; what only new ones can take is not lost by that. */
static bool may_be_in_place(struct master *m, const struct conf *conf, const struct site *site)
{
    if (m->without_workers || !conf_differs_only_live(m->conf, conf) || !site_same_modules(m->site, site))
        return false;
    certificates_take_changes(m, true);
    return !certificates_need_workers(m->site);
}

void reload_begin(struct master *m)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    notify_state("RELOADING=1\nMONOTONIC_USEC=%llu",
                 (unsigned long long)now.tv_sec * 1000000u + (unsigned long long)now.tv_nsec / 1000u);
    log_notice("reconfiguring");
    shared_look_over(m);
    struct conf *conf = conf_load(&m->options->conf);
    if (conf->errors.count) {
        refuse_reload(m, conf, NULL);
        return;
    }
    struct site *site = site_build(conf);
    conf_require_events(conf);
    if (conf->errors.count)
        refuse_reload(m, conf, site);
    else if (may_be_in_place(m, conf, site))
        reload_in_place(m, conf, site);
    else
        reload_by_respawn(m, conf, site);
}

void reload_continue(struct master *m, uint64_t now_ms)
{
    if (m->live_reload_deadline_ms)
        continue_in_place(m, now_ms);
    if (m->reload.conf)
        continue_respawn(m, now_ms);
}
