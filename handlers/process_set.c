/*
 * handlers/process_set.c - the processes of one location's application, in one worker.
 */
#include "handlers/process_set.h"

#include "base/clock.h"
#include "base/log.h"
#include "handlers/process_keeper.h"
#include "pool/gate.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    IDLE_MS = 60000, /* beyond the least */
    /* For a process to end by itself, and again after SIGTERM. */
    END_MS = 5000,
    LINE_BYTES = 800,
    ENDING_SPARE = 3,
    /* Who waits looks whether it still has to; the first one, whether a pause between starts is over. */
    LOOK_MS = 1000,
    FIRST_LOOK_MS = 50,
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000,
    START_MS = 10000, /* for one that a keeper starts */
    LAST_MS = 500,    /* for all, when the worker ends */
    WORDS_AT_ONCE = 32 << 10
};

/*
 * A thread that waits for a process, the one that came first in front. All is under the set's gate but the wait itself, which is no
 * condition of the gate: who is woken would only wait for that again.
 */
struct waiter {
    struct waiter *next;
    sem_t wake;
    struct process *given;
};

struct process_set {
    struct process_settings settings;
    struct gate gate; /* for what follows */
    _Atomic int32_t *shown;
    int shown_room;
    atomic_bool is_shown; /* or cannot be */
    struct waiter *line;
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
    process_keeper_know(&set->settings);
    return set;
}

void process_set_show(struct process_set *set, _Atomic int32_t *pids, int room)
{
    gate_lock(&set->gate);
    set->shown = pids;
    set->shown_room = room;
    set->is_shown = true;
    gate_unlock(&set->gate);
}

bool process_set_is_shown(const struct process_set *set)
{
    return set->is_shown;
}

const char *process_set_name(const struct process_set *set)
{
    const char *slash = strrchr(set->settings.command[0], '/');
    return slash ? slash + 1 : set->settings.command[0];
}

/* --- one process --- */

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

/* What it has started ends with it. */
static bool has_ended(const struct process_set *set, struct process *p)
{
    if (!process_has_died(p))
        return false;
    int status = process_bury(p);
    if (status == -1)
        return true;
    if (WIFSIGNALED(status) && !p->is_told)
        log_error("process %d (\"%s\") exited on signal %d", (int)p->pid, process_set_name(set),
                  WTERMSIG(status));
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        log_error("process %d (\"%s\") exited with code %d", (int)p->pid, process_set_name(set),
                  WEXITSTATUS(status));
    return true;
}

/* In the status, where there is room. */
static void show(struct process_set *set, int32_t from, int32_t to)
{
    for (int i = 0; i < set->shown_room; i++) {
        int32_t expected = from;
        if (atomic_compare_exchange_strong(&set->shown[i], &expected, to))
            return;
    }
}

static void forget(struct process_set *set, struct process *p)
{
    show(set, (int32_t)p->pid, 0);
    process_free(p);
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
        process_signal(p, signal);
    p->next = set->ending;
    set->ending = p;
    set->ending_count++;
}

/* --- who waits --- */

/* The first one in the line may find something now. Under the set's gate. */
static void call_first(struct process_set *set)
{
    if (set->line)
        sem_post(&set->line->wake);
}

/* It is the first one's, who leaves the line. Under the set's gate. */
static void hand_to_first(struct process_set *set, struct process *p)
{
    struct waiter *w = set->line;
    set->line = w->next;
    w->given = p;
    sem_post(&w->wake);
}

static void stand_in_line(struct process_set *set, struct waiter *w)
{
    struct waiter **at = &set->line;
    while (*at)
        at = &(*at)->next;
    *at = w;
}

static void stand_in_front(struct process_set *set, struct waiter *w)
{
    w->next = set->line;
    set->line = w;
}

static void leave_line(struct process_set *set, const struct waiter *w)
{
    struct waiter **at = &set->line;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
}

/* Until it is called, or so many milliseconds are over. Without the set's gate. */
static void wait_in_line(struct waiter *w, int64_t at_most_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(at_most_ms % 1000 * 1000000);
    until.tv_sec += (time_t)(at_most_ms / 1000 + until.tv_nsec / 1000000000);
    until.tv_nsec %= 1000000000;
    while (sem_clockwait(&w->wake, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR) {
    }
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
        call_first(set);
        forget(set, p);
    }
}

/* --- the set --- */

static void leave_count(struct process_set *set)
{
    assert(set->count > 0);
    set->count--;
    call_first(set);
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

/* Gives up the set's gate meanwhile, and the place: it counts already. NULL with errno. */
static struct process *start_for(struct process_set *set, int64_t left_ms)
{
    gate_unlock(&set->gate);
    struct process *p = process_start(&set->settings, left_ms < START_MS ? (int)left_ms : START_MS);
    int error = errno;
    gate_lock(&set->gate);
    if (p) {
        begin_use(set, p);
        show(set, 0, (int32_t)p->pid);
    } else {
        leave_count(set);
    }
    errno = error;
    return p;
}

/* What there is for who is first. Under the gate. *error: why it is none. False: nothing. */
static bool take_at_once(struct process_set *set, int64_t left_ms, struct process **p, int *error)
{
    *p = take_idle(set);
    if (*p) {
        begin_use(set, *p);
        return true;
    }
    if (!may_start(set, clock_mono_ms()))
        return false;
    set->count++;
    *p = start_for(set, left_ms);
    *error = *p ? 0 : errno;
    return true;
}

/* One that was handed on may have ended since it answered. Under the gate. */
static bool is_still_fit(struct process_set *set, struct process *p)
{
    if (is_fit(p))
        return true;
    take_out(&set->busy, p);
    begin_to_end(set, p, 0);
    leave_count(set);
    return false;
}

/* In the line until it is served. Under the gate, which it gives up and takes. */
static struct process *queue_up(struct process_set *set, const struct process_patience *patience, int *error)
{
    struct waiter w = {0};
    struct process *p = NULL;
    sem_init(&w.wake, 0, 0);
    stand_in_line(set, &w);
    for (bool served = false; !served;) {
        bool is_first = set->line == &w;
        gate_unlock(&set->gate);
        int64_t left_ms = patience->left_ms(patience->arg), look_ms = is_first ? FIRST_LOOK_MS : LOOK_MS;
        wait_in_line(&w, left_ms < look_ms ? left_ms : look_ms);
        gate_lock(&set->gate);
        if (w.given && is_still_fit(set, w.given)) {
            p = w.given;
            break;
        }
        if (w.given) { /* it is the first again */
            w.given = NULL;
            stand_in_front(set, &w);
        }
        if (left_ms == 0) {
            leave_line(set, &w);
            break;
        }
        if (set->line != &w)
            continue;
        /* Out of the line, as a start gives up the gate: who comes next must not wait for it. */
        set->line = w.next;
        served = take_at_once(set, left_ms, &p, error);
        if (!served)
            stand_in_front(set, &w);
    }
    sem_destroy(&w.wake);
    /* Another one may be there, or may be started. */
    if (set->idle || may_start(set, clock_mono_ms()))
        call_first(set);
    return p;
}

struct process *process_take(struct process_set *set, const struct process_patience *patience)
{
    struct process *p = NULL;
    int error = 0;
    int64_t left_ms = patience->left_ms(patience->arg);
    gate_lock(&set->gate);
    if (set->line || !take_at_once(set, left_ms, &p, &error))
        p = queue_up(set, patience, &error);
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
        leave_count(set);
    } else if (set->line) {
        begin_use(set, p);
        hand_to_first(set, p);
    } else {
        p->idle_since_ms = clock_mono_ms();
        p->next = set->idle;
        set->idle = p;
    }
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
        process_signal(p, p->is_told ? SIGKILL : SIGTERM);
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
        process_signal(p, signal);
    for (struct process *p = set->ending; p; p = p->next)
        process_signal(p, signal);
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
    process_keeper_close(LAST_MS);
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
    process_keeper_forget(&set->settings);
    end_list(set, &set->idle);
    while ((p = set->ending)) {
        set->ending = p->next;
        forget(set, p);
    }
    gate_destroy(&set->gate);
    free(set);
}
