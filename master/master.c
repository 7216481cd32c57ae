/*
 * master/master.c - the master's life: setting up, one readable loop over signals, messages and timers, and the end.
 */
#include "master/master.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hist.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/slice.h"
#include "base/title.h"
#include "conf/conf.h"
#include "http/site/site.h"
#include "master/child.h"
#include "master/internal.h"
#include "master/signals.h"
#include "worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

bool master_knows_signal(const char *name)
{
    return signals_by_name(name) != 0;
}

const char *master_send_signal(struct conf *conf, const char *name)
{
    /* The running master would say so in its log alone. */
    if (strcmp(name, "reload") == 0 && !master_test(conf))
        return "the configuration is wrong; nothing has been reloaded";
    struct buf text = {0};
    unsigned long long pid;
    int number = signals_by_name(name);
    if (!number)
        return "unknown signal name";
    if (fd_read_file(conf->pid_path.data, 64, &text) < 0)
        return arena_printf(&conf->arena, "open() \"%s\" failed (%d: %s); is weir running?",
                            conf->pid_path.data, errno, strerror(errno))
            .data;
    struct slice digits = buf_slice(&text);
    while (digits.len && (digits.data[digits.len - 1] == '\n' || digits.data[digits.len - 1] == ' '))
        digits.len--;
    bool ok = slice_to_u64(digits, INT32_MAX, &pid) && pid > 0;
    digits = arena_dup(&conf->arena, digits);
    buf_free(&text);
    if (!ok)
        return arena_printf(&conf->arena, "invalid PID number \"%.*s\" in \"%s\"", SLICE_ARGS(digits),
                            conf->pid_path.data)
            .data;
    if (kill((pid_t)pid, number) < 0)
        return arena_printf(&conf->arena, "kill(%llu, %d) failed (%d: %s)", pid, number, errno,
                            strerror(errno))
            .data;
    return NULL;
}

bool master_test(struct conf *conf)
{
    uid_t uid;
    gid_t gid;
    struct site *site = site_build(conf);
    process_find_user(conf, &uid, &gid);
    conf_require_events(conf);
    bool ok = conf->errors.count == 0;
    if (ok) { /* all that a start could refuse */
        bool logs = process_open_logs(site), sockets = sockets_test(site), pid = process_test_pid(conf);
        ok = logs && sockets && pid;
    }
    for (const struct conf_error *e = conf->warnings.first; e; e = e->next)
        log_warn("%.*s", SLICE_ARGS(e->message));
    site_free(site);
    return ok;
}

/* --- the loop --- */

static void begin_stop(struct master *m, int signal)
{
    if (!m->stopping && m->is_main) { /* after a hand-over the service goes on */
        if (sockets_older_master())
            notify_state("MAINPID=%d\nSTATUS=the old binary, %d, serves on", (int)sockets_older_master(),
                         (int)sockets_older_master());
        else
            notify_state("STOPPING=1\nSTATUS=finishing");
    }
    m->stopping = true;
    workers_signal(m, signal, 0);
    sockets_close(m->site);
}

static void reopen_logs(struct master *m)
{
    log_notice("reopening logs");
    logfiles_reopen(&m->site->error_files, m->uid);
    logfiles_reopen(&m->site->access_files, m->uid);
    if (m->reload.site) {
        logfiles_reopen(&m->reload.site->error_files, m->reload.uid);
        logfiles_reopen(&m->reload.site->access_files, m->reload.uid);
    }
    workers_signal(m, SIGUSR1, 0);
}

static void obey_one(struct master *m, enum order order)
{
    switch (order) {
    case ORDER_NONE:
        break;
    case ORDER_REAP:
        workers_reap(m);
        break;
    case ORDER_STOP:
        begin_stop(m, SIGTERM);
        break;
    case ORDER_FINISH:
        begin_stop(m, SIGQUIT);
        break;
    case ORDER_REOPEN:
        reopen_logs(m);
        break;
    case ORDER_WITHOUT_WORKERS:
        m->without_workers = true;
        workers_signal(m, SIGQUIT, 0);
        break;
    case ORDER_UPGRADE:
        upgrade_begin(m);
        break;
    case ORDER_ONE_MORE:
        workers_change_count(m, 1);
        break;
    case ORDER_ONE_FEWER:
        workers_change_count(m, -1);
        break;
    case ORDER_RELOAD:
        reload_begin(m);
        break;
    }
}

/* Nothing new comes meanwhile: signals are blocked. */
static void obey(struct master *m)
{
    enum order order;
    while ((order = signals_next(m->stopping, m->reload.conf || m->live_reload_deadline_ms)) != ORDER_NONE)
        obey_one(m, order);
}

/* While no worker turns the service manager is to restart us; a single one that stands still is replaced by ourselves. */
static void feed_watchdog(struct master *m, uint64_t now_ms)
{
    if (!m->watchdog_every_ms || !m->announced || !m->is_main || now_ms < m->next_watchdog_ms)
        return;
    m->next_watchdog_ms = now_ms + m->watchdog_every_ms;
    if (stalled_not_all(m, now_ms))
        notify_state("WATCHDOG=1");
}

static void announce(struct master *m)
{
    if (m->announced || !workers_all_ready(m, m->generation))
        return;
    m->announced = true;
    if (sockets_from_older_binary())
        zones_apply(m->shm, m->conf); /* until now they had the older one's rules */
    /* The older master names us, as we would not be believed; nor would our first food before that. */
    if (upgrade_tell_older())
        m->next_watchdog_ms = clock_mono_ms() + m->watchdog_every_ms;
    else
        notify_state("READY=1\nMAINPID=%d\nSTATUS=serving, configuration %llu", (int)getpid(),
                     (unsigned long long)m->generation);
}

static int next_timeout_ms(const struct master *m, uint64_t now_ms)
{
    uint64_t next = now_ms + 60000;
    for (int i = 0; i < SHM_SLOTS; i++) {
        uint64_t at = child_next_ms(&m->children[i], now_ms);
        if (at < next)
            next = at;
    }
    if (m->reload.conf && m->reload.deadline_ms < next)
        next = m->reload.deadline_ms;
    if (m->live_reload_deadline_ms && m->live_reload_deadline_ms < next)
        next = m->live_reload_deadline_ms;
    if (m->watchdog_every_ms && m->next_watchdog_ms < next)
        next = m->next_watchdog_ms;
    if (m->next_look_ms && m->next_look_ms < next)
        next = m->next_look_ms;
    if (m->next_permits_ms && m->next_permits_ms < next)
        next = m->next_permits_ms;
    if (m->next_tickets_ms && m->next_tickets_ms < next)
        next = m->next_tickets_ms;
    if (m->next_certificates_ms && m->next_certificates_ms < next)
        next = m->next_certificates_ms;
    assert(next <= now_ms + 60000);
    return next > now_ms ? (int)(next - now_ms) : 1;
}

static void wait_for_something(struct master *m, const sigset_t *while_waiting)
{
    struct pollfd fds[SHM_SLOTS + 1];
    nfds_t count = 0;
    int timeout_ms = next_timeout_ms(m, clock_mono_ms());
    struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    for (int i = 0; i < SHM_SLOTS; i++)
        if (m->children[i].reports >= 0 && m->children[i].state != CHILD_RETIRING &&
            m->children[i].unread_until_ms == 0)
            fds[count++] = (struct pollfd){.fd = m->children[i].reports, .events = POLLIN};
    if (m->upgraded_fd >= 0)
        fds[count++] = (struct pollfd){.fd = m->upgraded_fd, .events = POLLIN};
    if (ppoll(fds, count, &timeout, while_waiting) < 0 && errno != EINTR)
        log_errno(LOG_LEVEL_ALERT, errno, "ppoll() failed");
}

static void loop(struct master *m, const sigset_t *while_waiting)
{
    while (!m->stopping || workers_alive(m) > 0) {
        wait_for_something(m, while_waiting);
        shared_begin_turn();
        workers_read_channels(m);
        upgrade_continue(m);
        obey(m);
        uint64_t now_ms = clock_mono_ms();
        workers_do_timers(m, now_ms);
        m->next_look_ms = stalled_look(m, now_ms);
        shared_end_asked(m);
        m->next_permits_ms = permits_look(m, now_ms);
        m->next_tickets_ms = tickets_look(m, now_ms);
        m->next_certificates_ms = certificates_look_in_time(m, now_ms);
        if (!m->stopping)
            reload_continue(m, now_ms);
        announce(m);
        feed_watchdog(m, now_ms);
        logfiles_tell_lost(&m->site->error_files);
        counter_set(&m->shm->head->log_lines_lost, log_lost_lines());
    }
}

/* --- beginning and end --- */

/* The path under which this program can be started again, also after the file has been replaced. */
static void find_binary(struct master *m)
{
    const char *name = m->options->argv[0];
    if (name[0] == '/' && strlen(name) < sizeof m->binary) {
        memcpy(m->binary, name, strlen(name) + 1);
        return;
    }
    ssize_t n = readlink("/proc/self/exe", m->binary, sizeof m->binary - 1);
    m->binary[n > 0 ? n : 0] = '\0';
}

static bool log_conf_errors(const struct conf *conf)
{
    for (const struct conf_error *e = conf->errors.first; e; e = e->next) {
        log_emerg("%.*s", SLICE_ARGS(e->message));
    }
    return conf->errors.count == 0;
}

/* Everything that can go wrong goes wrong here, while a terminal may still be listening. */
static bool set_up(struct master *m)
{
    sockets_read_environment();
    upgrade_keep_to_itself();
    sessions_take_over();
    m->site = site_build(m->conf);
    process_find_user(m->conf, &m->uid, &m->gid);
    conf_require_events(m->conf);
    if (!log_conf_errors(m->conf))
        return false;
    if (!process_open_logs(m->site))
        return log_conf_errors(m->conf);
    site_use_error_logs(m->site);
    if (!sockets_open(m->site, NULL))
        return log_conf_errors(m->conf);
    sockets_close_unused();
    for (const struct conf_error *e = m->conf->warnings.first; e; e = e->next)
        log_warn("%.*s", SLICE_ARGS(e->message));
    process_make_temp_dirs(m->conf, m->uid, m->gid);
    if (!shared_open(m))
        return false;
    permits_take_over(m->shm, m->conf);
    tickets_open();
    return zones_open(m->shm, m->conf, NULL);
}

static void tear_down(struct master *m)
{
    if (!m->handed_over) {
        unlink(m->pid_path);
        sockets_remove_files(m->site, NULL);
        if (m->reload.site)
            sockets_remove_files(m->reload.site, m->site);
    } else {
        sockets_remove_stale_files(m->site); /* the newer binary may have left some out */
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s.oldbin", m->pid_path) < (int)sizeof path)
            unlink(path);
    }
    log_notice("exit");
}

/* Without a master: one process, for debugging. */
static int run_single(struct master *m)
{
    struct worker_options o = {.site = m->site,
                               .shm = m->shm,
                               .slot = 0,
                               .channel = -1,
                               .reports = -1,
                               .uid = 0,
                               .conf_options = &m->options->conf};
    counter_set(&m->shm->slots[0].generation, 1);
    m->shm->slots[0].pid = getpid();
    notify_state("READY=1");
    int code = worker_run(&o);
    tear_down(m);
    return code;
}

int master_run(const struct master_options *options, struct conf *conf)
{
    static struct master master;
    struct master *m = &master;
    sigset_t while_waiting;
    *m = (struct master){.options = options,
                         .conf = conf,
                         .generation = 1,
                         .family = 1,
                         .families = 1,
                         .target = (int)conf->worker_processes,
                         .upgraded_fd = -1,
                         .is_main = true};
    for (int i = 0; i < SHM_SLOTS; i++)
        m->children[i] = CHILD_OF_NOBODY;
    find_binary(m);
    if (!set_up(m))
        return 1;
    if (conf->daemon && !sockets_from_older_binary() && !process_daemonize()) {
        log_errno(LOG_LEVEL_EMERG, errno, "cannot go to the background");
        return 1;
    }
    if (!process_write_pid(conf))
        return 1;
    snprintf(m->pid_path, sizeof m->pid_path, "%s", conf->pid_path.data);
    process_daemon_ready();
    if (conf->daemon)
        log_also_stderr(false);
    if (!conf->master_process)
        return run_single(m);
    prctl(PR_SET_NAME, "weir: master");
    title_set("weir: master process %s", title_command());
    signals_catch(&while_waiting);
    m->watchdog_every_ms = notify_watchdog_ms();
    log_notice("weir started");
    workers_start_all(m);
    loop(m, &while_waiting);
    tear_down(m);
    return 0;
}
