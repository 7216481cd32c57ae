/*
 * tests/unit/http/bench.h - a worker on a bench: made of a configuration's text, without a process, with a clock that the test
 * turns. Its libev loop is never run: the test gives connections their events, and ends the turns.
 *
 * The clients of a bench are those of bench_client.h. What it has logged and counted can be asked for.
 */
#ifndef WEIR_TESTS_UNIT_HTTP_BENCH_H
#define WEIR_TESTS_UNIT_HTTP_BENCH_H

#include "base/fd.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/version.h"
#include "conf/conf.h"
#include "handlers/lend.h"
#include "handlers/offload.h"
#include "http/access/limit.h"
#include "http/client/connection.h"
#include "http/client/connections.h"
#include "http/client/version.h"
#include "http/filters/filters.h"
#include "http/h1/drive.h"
#include "http/h1/events.h"
#include "http/h1/head.h"
#include "http/h1/state.h"
#include "http/h1/version.h"
#include "http/h2/version.h"
#include "http/request/client.h"
#include "http/serve/features.h"
#include "http/site/site.h"
#include "master/internal.h"
#include "proxy/proxy.h"
#include "tests/unit/check.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/urgent.h"
#include "worker/loop/wait.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>

/* The clock begins with a tick of the wheel: deadlines of whole ticks come to the millisecond. */
enum { BENCH_BEGINS_MS = 1 << 24, BENCH_TEXT_BYTES = 64 << 10 };

static struct {
    struct conf *conf;
    struct site *site;
    struct shm *shm;
    struct worker_options options;
    struct worker w;
    struct listener listener;
    char root[64]; /* a directory of its own, for files */
    int errors;    /* the error log */
    int fds;       /* open before */
} bench;

static inline int bench_open_fds(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count;
}

/* --- time --- */

static inline void bench_set_time(uint64_t now_ms)
{
    struct worker *w = &bench.w;
    w->now_ms = now_ms;
    w->now_wall_ms = 1700000000000u + now_ms - BENCH_BEGINS_MS;
    w->files.turn++;
    w->files.now_ms = now_ms;
    http_stamp_update(&w->stamps[0], WEIR_NAME, (time_t)(w->now_wall_ms / 1000));
    http_stamp_update(&w->stamps[1], WEIR_NAME "/" WEIR_VERSION, (time_t)(w->now_wall_ms / 1000));
}

static inline void bench_on_deadline(struct wheel_entry *e, void *worker)
{
    (void)worker;
    if (e->kind == WORKER_TIMER_REQUEST)
        request_on_timer(e);
    else if (e->kind == WORKER_TIMER_STREAM)
        h2_stream_on_timer(e);
    else
        connection_on_timer(e);
}

/* As the worker does before it waits. */
static inline void bench_end_turn(void)
{
    struct worker *w = &bench.w;
    do {
        limit_settle(w);
        connection_run_ready(w);
    } while (permit_any_changed(&w->permits));
    connection_free_dead(w);
}

/* Time goes by, and what is due happens. */
static inline void bench_pass(uint64_t ms)
{
    struct worker *w = &bench.w;
    uint64_t until_ms = w->now_ms + ms, next_ms;
    while ((next_ms = wheel_next_ms(&w->wheel)) && next_ms <= until_ms) {
        bench_set_time(next_ms > w->now_ms ? next_ms : w->now_ms);
        wheel_advance(&w->wheel, w->now_ms, bench_on_deadline, w);
        bench_end_turn();
    }
    bench_set_time(until_ms);
    wheel_advance(&w->wheel, until_ms, bench_on_deadline, w);
    bench_end_turn();
}

/* --- making one --- */

static inline void bench_check_errors(void)
{
    for (const struct conf_error *e = bench.conf->errors.first; e; e = e->next)
        fprintf(stderr, "the bench's configuration: %s\n", e->message.data);
    if (bench.conf->errors.count)
        abort();
}

static inline void bench_open_worker(void)
{
    struct worker *w = &bench.w;
    bench.options =
        (struct worker_options){.site = bench.site, .shm = bench.shm, .channel = -1, .reports = -1};
    *w = (struct worker){.options = &bench.options,
                         .site = bench.site,
                         .conf = bench.conf,
                         .shm = bench.shm,
                         .slot = &bench.shm->slots[0]};
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
    w->loop = ev_loop_new(EVBACKEND_POLL | EVFLAG_NOENV);
    w->input = malloc(INPUT_BYTES);
    file_cache_init(&w->files);
    bench_set_time(BENCH_BEGINS_MS);
    wheel_init(&w->wheel, w->now_ms);
    CU_ASSERT_FATAL(w->loop && w->input && limit_open(w));
    bench.listener = (struct listener){.worker = w, .listen = bench.site->listens};
}

/*
 * `http` stands in the http block, `server` in its only server, which listens on 127.0.0.1:8080; a root in them may be `files`,
 * the bench's own directory. A line of the access log is "STATUS METHOD URI OK;", with OK where all of the response has gone.
 */
static inline void bench_open(const char *http, const char *server)
{
    static char text[BENCH_TEXT_BYTES];
    static struct conf_options options = {.file = "/bench/weir.conf"};
    static char prefix[sizeof bench.root + 1];
    bench.fds = bench_open_fds();
    strcpy(bench.root, "/tmp/weir-bench-XXXXXX");
    CU_ASSERT_FATAL(mkdtemp(bench.root) != NULL);
    snprintf(prefix, sizeof prefix, "%s/", bench.root);
    options.prefix = prefix;
    bench.errors = memfd_create("bench-errors", MFD_CLOEXEC);
    snprintf(text, sizeof text,
             "events {} http { log_format line '$status $request_method $uri $request_completion;'; "
             "access_log access.log line; %s server { %s %s } }",
             http, strstr(server, "listen ") ? "" : "listen 127.0.0.1:8080;", server);
    static bool has_features;
    if (!has_features)
        features_use();
    has_features = true;
    bench.conf = conf_load_serialized(&options, slice_of(text));
    bench_check_errors();
    bench.site = site_build(bench.conf);
    bench_check_errors();
    log_also_stderr(false);
    log_set_sinks(&(struct log_sink){.fd = bench.errors, .level = LOG_LEVEL_INFO}, 1);
    bench.shm = shm_create();
    CU_ASSERT_FATAL(bench.shm && zones_open(bench.shm, bench.conf, bench.conf));
    bench_open_worker();
}

/* A file below the root. */
static inline void bench_add_file(const char *name, struct slice content)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", bench.root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CU_ASSERT_FATAL(fd >= 0 && fd_write_all(fd, content.data, content.len) == 0);
    close(fd);
}

static inline int bench_remove(const char *path, const struct stat *s, int kind, struct FTW *f)
{
    (void)s, (void)kind, (void)f;
    return remove(path);
}

/* Entries of the wheel that are armed. */
static inline int bench_timers(void)
{
    int count = 0;
    for (int i = 0; i < WHEEL_SLOTS; i++)
        for (const struct list_node *n = bench.w.wheel.slots[i].next; n != &bench.w.wheel.slots[i];
             n = n->next)
            count++;
    return count;
}

/* What every test ends with: nothing is left of any connection or request. */
static inline void bench_check_empty(void)
{
    const struct worker *w = &bench.w;
    CHECK_NUMBER(w->connections, 0);
    CHECK_NUMBER(w->in_flight, 0);
    CHECK_NUMBER(counter_get(&w->slot->in_flight), 0);
    for (int i = 0; i < SHM_CONNECTION_STATES; i++)
        CHECK_NUMBER(w->shown[i], 0);
    CHECK_NUMBER(w->waiters, 0);
    CHECK_NUMBER(w->http2_connections, 0);
    CHECK_NUMBER(w->http2_streams, 0);
    CHECK_NUMBER(bench_timers(), 0);
    CU_ASSERT(list_empty(&w->busy) && list_empty(&w->idle) && list_empty(&w->dead));
    CU_ASSERT(!w->ready && !w->driving && !w->buried);
}

static inline void bench_close(void)
{
    struct worker *w = &bench.w;
    bench_check_empty();
    while (w->free_exchange_count > 0)
        exchange_destroy(w->free_exchanges[--w->free_exchange_count]);
    gzip_free_spares();
    buf_free(&w->output);
    free(w->input);
    file_cache_free(&w->files);
    permit_close(&w->permits);
    free(w->waiting);
    ev_loop_destroy(w->loop);
    log_set_sinks(NULL, 0);
    close(bench.errors);
    site_free(bench.site);
    conf_free(bench.conf);
    shm_destroy(bench.shm);
    CU_ASSERT(nftw(bench.root, bench_remove, 8, FTW_DEPTH | FTW_PHYS) == 0);
    CHECK_NUMBER(bench_open_fds(), bench.fds);
}

/* --- what it has said --- */

/* The access log since this was asked last, without newlines. */
static inline const char *bench_log(void)
{
    static char text[BENCH_TEXT_BYTES];
    struct buf *b = &bench.site->access_files.first->pending;
    size_t len = 0;
    for (size_t i = b->start; i < b->end && len < sizeof text - 1; i++)
        if (b->data[i] != '\n')
            text[len++] = b->data[i];
    text[len] = '\0';
    b->start = b->end = 0;
    return text;
}

/* The error log since this was asked last. */
static inline const char *bench_errors(void)
{
    static char text[BENCH_TEXT_BYTES];
    ssize_t n = pread(bench.errors, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    if (ftruncate(bench.errors, 0) < 0 || lseek(bench.errors, 0, SEEK_SET) < 0)
        abort();
    return text;
}

static inline bool check_text(const char *got, const char *wanted, const char *what, const char *file,
                              int line)
{
    return check_slice(slice_of(got), slice_of(wanted), what, file, line);
}

/* That the log has had just these lines since it was asked last. */
#define CHECK_LOG(wanted) check_text(bench_log(), (wanted), "the access log", __FILE__, __LINE__)

/* The same, for the case of a table. */
static inline bool check_log_for(const char *which, const char *got, bool ok, const char *file, int line)
{
    char text[200];
    snprintf(text, sizeof text, "the access log is \"%.150s\"", got);
    return check_case(ok, text, which, file, line);
}

#define CHECK_LOG_FOR(which, got, ok) check_log_for((which), (got), (ok), __FILE__, __LINE__)

/* That the error log has had this text in it; empty: that it has had no line at all. */
static inline void check_errors(const char *wanted, const char *file, int line)
{
    const char *got = bench_errors();
    char text[400];
    snprintf(text, sizeof text, "the error log has \"%.250s\", expected \"%.100s\"", got, wanted);
    check_report(*wanted ? strstr(got, wanted) != NULL : !*got, text, file, line);
}

#define CHECK_ERRORS(wanted) check_errors((wanted), __FILE__, __LINE__)

#endif
