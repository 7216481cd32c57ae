/*
 * conf/table_core.c - the directives outside http, as data, and the setters of those that are more than one value.
 */
#include "conf/rows.h"

#include "conf/conf.h"
#include "conf/unknown.h"

#include <unistd.h>

static void set_events(struct conf_walk *w, const struct conf_node *n)
{
    w->conf->has_events = true;
    struct conf_walk inner = *w;
    inner.context = CONF_EVENTS;
    conf_walk_block(&inner, n->children);
}

static void set_user(struct conf_walk *w, const struct conf_node *n)
{
    w->conf->user = n->args[0];
    if (w->is_default)
        /* Its group is the one that the system has for it. */
        return;
    w->conf->user_node = n;
    w->conf->group = n->args[n->nargs - 1];
}

static void set_worker_processes(struct conf_walk *w, const struct conf_node *n)
{
    int64_t value;
    if (slice_eq(n->args[0], SLICE("auto"))) {
        long cpus = sysconf(_SC_NPROCESSORS_ONLN);
        w->conf->worker_processes = cpus < 1 ? 1 : cpus > 64 ? 64 : (int)cpus;
    } else if (!conf_parse_number(n->args[0], &value) || value < 1 || value > 64) {
        conf_error(
            &w->conf->errors, n,
            "\"worker_processes\" directive invalid value \"%.*s\"; it takes \"auto\" or a number from 1 to 64",
            SLICE_ARGS(n->args[0]));
    } else {
        w->conf->worker_processes = (int)value;
    }
}

static void set_worker_priority(struct conf_walk *w, const struct conf_node *n)
{
    struct slice text = n->args[0];
    bool negative = text.len && text.data[0] == '-';
    int64_t value;
    if (!conf_parse_whole(slice_from(text, negative), 0, 20, &value))
        conf_error(&w->conf->errors, n,
                   "\"worker_priority\" directive invalid value \"%.*s\"; it takes a number from -20 to 20",
                   SLICE_ARGS(text));
    else
        w->conf->worker_priority = (int)(negative ? -value : value);
}

static void set_cpu_affinity(struct conf_walk *w, const struct conf_node *n)
{
    bool automatic = slice_eq(n->args[0], SLICE("auto"));
    bool ok = !automatic || n->nargs <= 2;
    for (int i = automatic; i < n->nargs; i++)
        ok = ok && n->args[i].len && strspn(n->args[i].data, "01") == n->args[i].len &&
             memchr(n->args[i].data, '1', n->args[i].len);
    if (!ok)
        conf_error(
            &w->conf->errors, n,
            "invalid \"worker_cpu_affinity\"; write: auto [MASK], or a MASK of 0 and 1 for each worker");
    else
        w->conf->cpu_affinity = n;
}

static void set_load_module(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_module *m = conf_must(arena_zalloc(&w->conf->arena, sizeof *m)), **tail = &w->conf->modules;
    static const struct slice folder = {"modules/", 8};
    const struct conf_places *p = w->conf->places;
    struct slice path = p && slice_starts(n->args[0], folder)
                            ? arena_printf(&w->conf->arena, "%s/%.*s", p->modules,
                                           SLICE_ARGS(slice_from(n->args[0], folder.len)))
                            : conf_full_path(w->conf, n->args[0]);
    *m = (struct conf_module){.path = path, .about = conf_about_module(w->conf, path), .node = n};
    while (*tail)
        tail = &(*tail)->next;
    *tail = m;
}

/* "4" or "0..32". */
static bool parse_threads(struct slice text, int64_t *min, int64_t *max)
{
    const char *dots = memmem(text.data, text.len, "..", 2);
    if (!dots)
        return conf_parse_number(text, max) && (*min = *max) >= 1;
    size_t n = (size_t)(dots - text.data);
    return conf_parse_number((struct slice){text.data, n}, min) &&
           conf_parse_number(slice_from(text, n + 2), max) && *max >= 1 && *min <= *max;
}

static bool parse_discipline(struct slice text, int *discipline)
{
    static const char *const names[] = {"fifo", "lifo", "codel"};
    for (int i = 0; i < 3; i++) {
        if (slice_eq(text, slice_of(names[i]))) {
            *discipline = i;
            return true;
        }
    }
    return false;
}

static bool set_pool_parameter(struct conf_pool *pool, const struct conf_key_value *kv)
{
    if (slice_eq(kv->key, SLICE("threads")))
        return parse_threads(kv->value, &pool->threads_min, &pool->threads_max) && pool->threads_max <= 65536;
    if (slice_eq(kv->key, SLICE("max_queue")))
        return conf_parse_number(kv->value, &pool->max_queue) && pool->max_queue <= 10000000;
    if (slice_eq(kv->key, SLICE("queue_timeout")))
        return conf_parse_time(kv->value, &pool->queue_timeout_ms);
    if (slice_eq(kv->key, SLICE("idle_timeout")))
        return conf_parse_time(kv->value, &pool->idle_timeout_ms);
    if (slice_eq(kv->key, SLICE("stack_size")))
        return conf_parse_size(kv->value, &pool->stack_bytes) && pool->stack_bytes >= 65536 &&
               pool->stack_bytes <= 1ll << 30;
    if (slice_eq(kv->key, SLICE("discipline")))
        return parse_discipline(kv->value, &pool->discipline);
    return false;
}

static struct conf_pool *new_pool(struct conf *conf, struct slice name)
{
    struct conf_pool *pool = conf_must(arena_zalloc(&conf->arena, sizeof *pool)), **tail = &conf->pools;
    struct slice words[CONF_PARAMETERS_MAX];
    *pool = (struct conf_pool){.name = name};
    for (int i = conf_default_parameters(conf, SLICE("thread_pool"), CONF_MAIN, words); i-- > 0;) {
        struct conf_key_value kv = conf_split_parameter(words[i]);
        set_pool_parameter(pool, &kv);
    }
    while (*tail)
        tail = &(*tail)->next;
    *tail = pool;
    return pool;
}

static struct conf_pool *find_pool(const struct conf *conf, struct slice name)
{
    struct conf_pool *p = conf->pools;
    while (p && !slice_eq(p->name, name))
        p = p->next;
    return p;
}

static void set_thread_pool(struct conf_walk *w, const struct conf_node *n)
{
    if (find_pool(w->conf, n->args[0])) {
        conf_error(&w->conf->errors, n, "duplicate thread pool \"%.*s\"; give it another name",
                   SLICE_ARGS(n->args[0]));
        return;
    }
    if (n->args[0].len > 31 || n->args[0].len == 0 ||
        strspn(n->args[0].data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") <
            n->args[0].len) {
        conf_error(&w->conf->errors, n,
                   "invalid thread pool name \"%.*s\"; use 1 to 31 letters, digits, \"_\", \"-\", \".\"",
                   SLICE_ARGS(n->args[0]));
        return;
    }
    struct conf_pool *pool = new_pool(w->conf, n->args[0]);
    pool->node = n;
    for (const struct conf_key_value *kv = conf_key_values(w, n, 1); kv; kv = kv->next)
        if (!set_pool_parameter(pool, kv))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s=%.*s\" in \"thread_pool\" directive; write threads=N or threads=MIN..MAX "
                "(1 to 65536), max_queue=N, queue_timeout=TIME, idle_timeout=TIME, stack_size=SIZE (64k or more), "
                "discipline=fifo|lifo|codel",
                SLICE_ARGS(kv->key), SLICE_ARGS(kv->value));
}

/* What nginx knows under "use" is epoll here: libev picks it. */
static void set_use(struct conf_walk *w, const struct conf_node *n)
{
    if (!slice_eq(n->args[0], SLICE("epoll")))
        conf_error(&w->conf->errors, n,
                   "invalid event method \"%.*s\"; it is always \"epoll\": remove this line",
                   SLICE_ARGS(n->args[0]));
}

void conf_add_default_pool(struct conf *conf)
{
    int count = 0;
    if (!find_pool(conf, SLICE("default"))) {
        new_pool(conf, SLICE("default"));
        count = 1; /* it has its place in any case */
    }
    for (const struct conf_pool *p = conf->pools; p; p = p->next)
        if (p->node && ++count > CONF_POOLS_MAX) {
            conf_error(&conf->errors, p->node, "more than %d thread pools, with the default one; remove some",
                       CONF_POOLS_MAX);
            return;
        }
}

#define CORE(member) CONF_FIELD(struct conf, member)

const struct conf_directive conf_core_directives[] = {
    // clang-format off
    {.name = "daemon", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_FLAG, .field = CORE(daemon), .default_text = "on",
     .help = "Whether to go to the background."},
    {.name = "master_process", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_FLAG, .field = CORE(master_process), .default_text = "on",
     .help = "Off runs a single process without a master, for debugging."},
    {.name = "user", .where = CONF_MAIN, .args = {1, 2}, .once = true, .field = CORE(user), .default_text = "nobody", .set = set_user,
     .syntax = "USER [GROUP]",
     .help = "Who the workers run as when the master is root."},
    {.name = "pid", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_PATH, .field = CORE(pid_path), .default_text = "logs/weir.pid",
     .syntax = "FILE",
     .help = "Where the master writes its process id."},
    {.name = "worker_processes", .where = CONF_MAIN, .args = {1, 1}, .once = true, .field = CORE(worker_processes), .default_text = "1", .set = set_worker_processes,
     .syntax = "NUMBER | auto",
     .help = "How many workers; auto is one for each core."},
    {.name = "worker_rlimit_nofile", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_NUMBER, .field = CORE(rlimit_nofile), .range = {16, 100000000},
     .help = "The limit of open files of a worker (RLIMIT_NOFILE)."},
    {.name = "worker_rlimit_core", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_SIZE, .field = CORE(rlimit_core),
     .help = "The largest core of a worker (RLIMIT_CORE)."},
    {.name = "working_directory", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_PATH, .field = CORE(working_directory),
     .syntax = "FOLDER",
     .help = "Where workers are: a core goes there, where kernel.core_pattern is relative."},
    {.name = "worker_priority", .where = CONF_MAIN, .args = {1, 1}, .set = set_worker_priority,
     .syntax = "NUMBER",
     .help = "The scheduling priority of workers, from -20 (first) to 20."},
    {.name = "worker_cpu_affinity", .where = CONF_MAIN, .args = {1, CONF_ANY}, .set = set_cpu_affinity,
     .syntax = "auto [MASK] | MASK ...",
     .help = "The processors of each worker: a mask of binary digits, the last one for processor 0; auto gives each worker one in turn."},
    {.name = "env", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_LINES, .field = CORE(env),
     .syntax = "NAME[=VALUE]",
     .help = "Sets a variable of the workers' environment; what is there already goes on to them as it is."},
    {.name = "worker_shutdown_timeout", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_TIME, .field = CORE(shutdown_timeout_ms), .default_text = "0", .live = CONF_LIVE,
     .help = "The longest that a worker may take to finish once it has been told to; what is left then is cut off. 0: as long as its connections need; a handler that is past its handler_timeout does not hold it up."},
    {.name = "worker_stall_timeout", .where = CONF_MAIN, .args = {1, 1}, .type = CONF_TIME, .field = CORE(stall_timeout_ms), .default_text = "10s", .live = CONF_LIVE,
     .help = "A worker whose loop has not turned for so long is ended and replaced, whatever it waits for; 0: never, for debuggers. At least 2s count."},
    {.name = "load_module", .where = CONF_MAIN, .args = {1, 1}, .set = set_load_module,
     .syntax = "FILE",
     .help = "Loads a shared object that brings handlers."},
    {.name = "thread_pool", .where = CONF_MAIN, .args = {2, 7}, .live = CONF_LIVE_BEHIND_FIRST, .set = set_thread_pool,
     .parameters = "threads=0..32 max_queue=65536 queue_timeout=0 idle_timeout=60s stack_size=256k discipline=fifo",
     .syntax = "NAME threads=MIN..MAX | threads=N [max_queue=N] [queue_timeout=TIME] [idle_timeout=TIME] [stack_size=SIZE] [discipline=fifo|lifo|codel]",
     .help = "A pool of threads for handlers that block; its size is for each worker. There is always one named default."},
    {.name = "events", .where = CONF_MAIN, .block = true, .once = true, .field = CORE(has_events), .set = set_events,
     .syntax = "{ ... }",
     .help = "Settings of the event loop."},
    {.name = "worker_connections", .where = CONF_EVENTS, .args = {1, 1}, .type = CONF_NUMBER, .field = CORE(worker_connections), .range = {1, 100000000}, .default_text = "512", .live = CONF_LIVE,
     .help = "The most connections that a worker holds at a time."},
    {.name = "multi_accept", .where = CONF_EVENTS, .args = {1, 1}, .type = CONF_FLAG, .field = CORE(multi_accept), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether a worker takes all waiting connections at once instead of leaving some to the others."},
    {.name = "accept_mutex", .where = CONF_EVENTS, .args = {1, 1}, .type = CONF_FLAG, .field = CORE(accept_mutex), .default_text = "off", .live = CONF_LIVE,
     .help = "Accepted: workers take turns by how busy they are, without a lock."},
    {.name = "use", .where = CONF_EVENTS, .args = {1, 1}, .live = CONF_LIVE, .set = set_use,
     .syntax = "epoll",
     .help = "Accepted for nginx's sake; the method is always epoll."},
    {.name = "http", .where = CONF_MAIN, .block = true, .once = true, .field = CORE(http), .set = conf_set_http,
     .syntax = "{ ... }",
     .help = "Everything about HTTP."},
    {0},
    // clang-format on
};
