/*
 * handlers/process_set.c - the processes of one location's application, in one worker.
 */
#include "handlers/process_set.h"

#include "base/clock.h"
#include "base/log.h"
#include "pool/gate.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    IDLE_MS = 60000, /* beyond the least */
    /* For a process to end by itself, and again after SIGTERM. */
    END_MS = 5000,
    LINE_BYTES = 800,
    ENDING_SPARE = 3,
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000,
    LAST_MS = 500, /* for all, when the worker ends */
    WORDS_AT_ONCE = 32 << 10
};

struct process_set {
    struct process_settings settings;
    struct gate gate;     /* for what follows */
    struct process *idle; /* the one used last first */
    struct process *busy, *ending;
    int count; /* of those that are idle or in use */
    int ending_count;
    /* While they end at once, before they have served: when the next may be started, and how long that was put off. */
    uint64_t not_before_ms, backoff_ms;
    struct process_set *next;
};

/* Of this process, by those who read configurations: there are no threads of pools yet, or they use none that goes. */
static struct process_set *all_sets;

struct process_set *process_set_new(const struct process_settings *settings)
{
    struct process_set *set = calloc(1, sizeof *set);
    assert(settings->command[0] && settings->most > 0 && settings->least <= settings->most);
    if (!set)
        return NULL;
    set->settings = *settings;
    gate_init(&set->gate);
    set->next = all_sets;
    all_sets = set;
    return set;
}

const char *process_set_name(const struct process_set *set)
{
    const char *slash = strrchr(set->settings.command[0], '/');
    return slash ? slash + 1 : set->settings.command[0];
}

/* --- one process --- */

static void close_both(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

/* What the service manager and the older binary have said to this server alone. */
static bool is_private(const char *variable)
{
    static const char *const names[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "WEIR_"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* The worker's environment, with what the settings put in its place. NULL: out of memory. */
static char **make_environment(const struct process_settings *s)
{
    size_t count = 0, own = 0, at = 0;
    while (environ[count])
        count++;
    while (s->env[own])
        own++;
    char **all = calloc(count + own + 1, sizeof *all);
    for (size_t i = 0; all && i < count; i++) {
        bool is_replaced = is_private(environ[i]);
        size_t name = strcspn(environ[i], "=") + 1;
        for (size_t k = 0; k < own; k++)
            is_replaced |= strncmp(environ[i], s->env[k], name) == 0;
        if (!is_replaced)
            all[at++] = environ[i];
    }
    for (size_t k = 0; all && k < own; k++)
        all[at++] = (char *)(uintptr_t)s->env[k];
    return all;
}

/* Its descriptors, its folder, its own group, and no signal blocked or ignored. 0, or an errno. */
static int spawn(const struct process_settings *s, int socket, int words, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    char **env = make_environment(s);
    if (!env)
        return ENOMEM;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_init(&files);
    error = error ? error : posix_spawnattr_init(&how);
    error = error ? error : posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO);
    error = error ? error : posix_spawn_file_actions_adddup2(&files, words, STDOUT_FILENO);
    error = error ? error : posix_spawn_file_actions_adddup2(&files, words, STDERR_FILENO);
    if (!error && s->dir)
        error = posix_spawn_file_actions_addchdir_np(&files, s->dir);
    error = error ? error : posix_spawnattr_setsigmask(&how, &none);
    error = error ? error : posix_spawnattr_setsigdefault(&how, &all);
    error = error ? error
                  : posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                       POSIX_SPAWN_SETPGROUP);
    if (!error)
        error = posix_spawnp(pid, s->command[0], &files, &how, (char **)(uintptr_t)s->command, env);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    return error;
}

static int make_pipe(int pair[2])
{
    return pipe2(pair, O_CLOEXEC) == 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
}

/* NULL with errno. */
static struct process *start(const struct process_settings *s)
{
    int sockets[2] = {-1, -1}, words[2] = {-1, -1};
    struct process *p = calloc(1, sizeof *p);
    int error = p ? 0 : ENOMEM;
    if (!error && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
        error = errno;
    if (!error && fcntl(sockets[0], F_SETFL, O_NONBLOCK) < 0)
        error = errno;
    error = error ? error : make_pipe(words);
    error = error ? error : spawn(s, sockets[1], words[1], &p->pid);
    if (error) {
        close_both(sockets);
        close_both(words);
        free(p);
        errno = error;
        return NULL;
    }
    close(sockets[1]);
    close(words[1]);
    p->socket = sockets[0];
    p->words = words[0];
    return p;
}

/* A long one in pieces. */
static void log_line(const struct process_set *set, const struct process *p, const char *line, size_t len)
{
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
        len--;
    for (size_t at = 0; at < len; at += LINE_BYTES)
        log_error("process %d (\"%s\"): %.*s", (int)p->pid, process_set_name(set),
                  (int)(len - at < LINE_BYTES ? len - at : LINE_BYTES), line + at);
}

void process_log_words(const struct process_set *set, struct process *p)
{
    char bytes[4096];
    size_t had = 0, all = 0;
    ssize_t n = -1;
    if (p->words < 0)
        return;
    while (all < WORDS_AT_ONCE && (n = read(p->words, bytes + had, sizeof bytes - had)) > 0) {
        size_t from = 0, end = had + (size_t)n;
        all += (size_t)n;
        for (const char *lf; (lf = memchr(bytes + from, '\n', end - from)); from = (size_t)(lf + 1 - bytes))
            log_line(set, p, bytes + from, (size_t)(lf - bytes) - from);
        /* A line that is not whole waits for its rest, unless there is no room for that. */
        had = end - from;
        if (had == sizeof bytes) {
            log_line(set, p, bytes, had);
            had = 0;
        }
        memmove(bytes, bytes + from, had);
    }
    log_line(set, p, bytes, had);
    if (n == 0) { /* it has closed them, and says no more */
        close(p->words);
        p->words = -1;
    }
}

bool process_has_died(const struct process *p)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == p->pid;
}

/* The process, which has not been waited for, so that its name is its own; and its group, which may have left it. */
static void signal_all(const struct process *p, int signal)
{
    kill(-p->pid, signal);
    kill(p->pid, signal);
}

/* What it has started ends with it. */
static bool has_ended(const struct process_set *set, struct process *p)
{
    int status;
    if (!process_has_died(p))
        return false;
    signal_all(p, SIGKILL);
    pid_t found = waitpid(p->pid, &status, WNOHANG);
    if (found == p->pid && WIFSIGNALED(status) && !p->is_told)
        log_error("process %d (\"%s\") exited on signal %d", (int)p->pid, process_set_name(set),
                  WTERMSIG(status));
    else if (found == p->pid && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        log_error("process %d (\"%s\") exited with code %d", (int)p->pid, process_set_name(set),
                  WEXITSTATUS(status));
    return true;
}

static void forget(struct process *p)
{
    if (p->words >= 0)
        close(p->words);
    free(p);
}

static void take_out(struct process **list, struct process *p)
{
    while (*list && *list != p)
        list = &(*list)->next;
    if (*list)
        *list = p->next;
    p->next = NULL;
}

/* Its requests end, and so does it; what it started with it, at the latest with the signal. Under the gate. */
static void begin_to_end(struct process_set *set, struct process *p, int signal)
{
    close(p->socket);
    p->socket = -1;
    p->idle_since_ms = clock_mono_ms();
    p->is_told = signal != 0;
    if (signal)
        signal_all(p, signal);
    p->next = set->ending;
    set->ending = p;
    set->ending_count++;
}

/* Who has died has nothing to be waited for. Under the gate. */
static void reap(struct process_set *set)
{
    struct process **at = &set->ending;
    while (*at) {
        struct process *p = *at;
        if (!process_has_died(p)) {
            at = &p->next;
            continue;
        }
        process_log_words(set, p);
        has_ended(set, p);
        *at = p->next;
        set->ending_count--;
        gate_wake(&set->gate);
        forget(p);
    }
}

/* --- the set --- */

static void leave_count(struct process_set *set)
{
    assert(set->count > 0);
    set->count--;
    gate_wake(&set->gate);
}

/* Whether there is one that may still serve. Its socket speaks only to say that it has ended. */
static bool is_fit(const struct process *p)
{
    struct pollfd said = {.fd = p->socket, .events = POLLIN};
    return poll(&said, 1, 0) == 0 && !process_has_died(p);
}

/* Under the gate. */
static struct process *take_idle(struct process_set *set)
{
    struct process *p;
    while ((p = set->idle)) {
        set->idle = p->next;
        p->next = NULL;
        if (is_fit(p))
            return p;
        begin_to_end(set, p, 0);
        leave_count(set);
    }
    return NULL;
}

/* Those that end count as well, up to as many again and a few. Under the gate. */
static bool may_start(struct process_set *set, uint64_t now_ms)
{
    int64_t most_ending = set->settings.most + ENDING_SPARE;
    if (set->ending_count >= most_ending)
        reap(set);
    return set->count < set->settings.most && set->ending_count < most_ending && now_ms >= set->not_before_ms;
}

static void begin_use(struct process_set *set, struct process *p)
{
    p->next = set->busy;
    set->busy = p;
}

struct process *process_take(struct process_set *set, int64_t wait_ms)
{
    enum { LOOK_MS = 50 };
    uint64_t now_ms = clock_mono_ms(), until_ms = now_ms + (uint64_t)wait_ms;
    struct process *p;
    gate_lock(&set->gate);
    while (!(p = take_idle(set)) && !may_start(set, now_ms) && now_ms < until_ms) {
        gate_wait_for(&set->gate,
                      (unsigned)(until_ms - now_ms < LOOK_MS ? until_ms - now_ms : LOOK_MS) * 1000);
        now_ms = clock_mono_ms();
    }
    bool starts = !p && may_start(set, now_ms);
    set->count += starts;
    if (p)
        begin_use(set, p);
    gate_unlock(&set->gate);
    errno = 0;
    if (!starts)
        return p;
    p = start(&set->settings);
    int error = errno;
    gate_lock(&set->gate);
    if (p)
        begin_use(set, p);
    else
        leave_count(set);
    gate_unlock(&set->gate);
    errno = error;
    return p;
}

/* Bytes; 0: nobody knows. */
static uint64_t resident_bytes(pid_t pid)
{
    char path[64];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%*u %llu", &pages) != 1) /* NOLINT(cert-err34-c): the kernel's own */
        pages = 0;
    if (f)
        fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool has_done_enough(const struct process_set *set, const struct process *p)
{
    const struct process_settings *s = &set->settings;
    return (s->max_requests && p->requests >= (uint64_t)s->max_requests) ||
           (s->memory_bytes && resident_bytes(p->pid) > (uint64_t)s->memory_bytes);
}

static void put_back(struct process_set *set, struct process *p, bool is_over)
{
    gate_lock(&set->gate);
    take_out(&set->busy, p);
    set->backoff_ms = p->requests ? 0 : set->backoff_ms;
    if (is_over) {
        begin_to_end(set, p, 0);
        set->count--;
    } else {
        p->idle_since_ms = clock_mono_ms();
        p->next = set->idle;
        set->idle = p;
    }
    gate_wake(&set->gate);
    gate_unlock(&set->gate);
}

void process_give_back(struct process_set *set, struct process *p)
{
    p->requests++;
    put_back(set, p, has_done_enough(set, p));
}

void process_put_back(struct process_set *set, struct process *p)
{
    put_back(set, p, false);
}

/* One that ends before it has served will do so again: the next one is put off, for longer each time. Under the gate. */
static void put_off(struct process_set *set)
{
    uint64_t twice_ms = set->backoff_ms * 2;
    set->backoff_ms = twice_ms < BACKOFF_MS       ? BACKOFF_MS
                      : twice_ms < BACKOFF_MAX_MS ? twice_ms
                                                  : BACKOFF_MAX_MS;
    set->not_before_ms = clock_mono_ms() + set->backoff_ms;
}

void process_end(struct process_set *set, struct process *p, bool kill_it)
{
    process_log_words(set, p);
    gate_lock(&set->gate);
    if (p->requests == 0 && !kill_it)
        put_off(set);
    take_out(&set->busy, p);
    begin_to_end(set, p, kill_it ? SIGTERM : 0);
    leave_count(set);
    reap(set);
    gate_unlock(&set->gate);
}

/* --- in time --- */

/* The ones at the end have been idle for the longest. Under the gate. */
static void retire_idle(struct process_set *set, uint64_t now_ms)
{
    struct process **at = &set->idle;
    while (*at) {
        struct process *p = *at;
        process_log_words(set, p);
        bool is_old = now_ms - p->idle_since_ms > IDLE_MS && set->count > set->settings.least;
        if (!is_old && is_fit(p)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        begin_to_end(set, p, 0);
        leave_count(set);
    }
}

/* By itself, then by SIGTERM, then by SIGKILL. Under the gate. */
static void look_at_ending(struct process_set *set, uint64_t now_ms)
{
    reap(set);
    for (struct process *p = set->ending; p; p = p->next) {
        process_log_words(set, p);
        if (now_ms - p->idle_since_ms <= END_MS)
            continue;
        signal_all(p, p->is_told ? SIGKILL : SIGTERM);
        p->is_told = true;
        p->idle_since_ms = now_ms;
    }
}

void process_look_after(void)
{
    uint64_t now_ms = clock_mono_ms();
    for (struct process_set *set = all_sets; set; set = set->next) {
        gate_lock(&set->gate);
        retire_idle(set, now_ms);
        look_at_ending(set, now_ms);
        gate_unlock(&set->gate);
    }
}

static void end_list(struct process_set *set, struct process **list)
{
    struct process *p;
    while ((p = *list)) {
        *list = p->next;
        begin_to_end(set, p, SIGTERM);
    }
}

/* What is still in use is so by threads that are left behind. */
static bool end_set(struct process_set *set, int signal)
{
    gate_lock(&set->gate);
    end_list(set, &set->idle);
    for (struct process *p = set->busy; p; p = p->next)
        signal_all(p, signal);
    for (struct process *p = set->ending; p; p = p->next)
        signal_all(p, signal);
    reap(set);
    bool is_done = !set->busy && !set->ending;
    gate_unlock(&set->gate);
    return is_done;
}

void process_end_all(void)
{
    static const struct timespec while_ending = {0, 10000000};
    bool is_done = false;
    for (int looks = LAST_MS / 10; looks >= 0 && !is_done; looks--) {
        is_done = true;
        for (struct process_set *set = all_sets; set; set = set->next)
            is_done &= end_set(set, looks > 0 ? SIGTERM : SIGKILL);
        if (!is_done && looks > 0)
            nanosleep(&while_ending, NULL);
    }
}

void process_set_free(struct process_set *set)
{
    struct process *p;
    for (struct process_set **at = &all_sets; *at; at = &(*at)->next) {
        if (*at == set) {
            *at = set->next;
            break;
        }
    }
    end_list(set, &set->idle);
    while ((p = set->ending)) {
        set->ending = p->next;
        forget(p);
    }
    gate_destroy(&set->gate);
    free(set);
}
