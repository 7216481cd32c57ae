/*
 * bench/permit.c - what a permit costs: nanoseconds for an admission with its release, for the admission alone, for a
 * refusal, and for both with other processes at the same zone.
 *
 *   permit [SECONDS_PER_MEASUREMENT]
 *
 * Each figure is the median of several runs. What a request pays beside it - the clock, the copy of its URI - is not in it.
 */
#include "shm/permit.h"
#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS = 7, BATCH = 1000, PROCESSES_MAX = 8 };

static const struct permit_about about = {
    .client_len = 4, .method_len = 3, .method = "GET", .uri_len = 1, .uri = "/"};
static const char *const nobody_wants[] = {NULL};

struct bench {
    struct shm *shm;
    struct permit_user user;
    unsigned zone;
    uint32_t permits[BATCH];
};

/* All requests come and go at this time, as far as policies are concerned. */
static uint64_t begun_us;

static void die(const char *what)
{
    fprintf(stderr, "permit: %s\n", what);
    exit(1);
}

static enum permit_result take(struct bench *b, uint32_t *permit)
{
    struct permit_request request = {.zone = b->zone, .priority = PERMIT_NORMAL, .now_us = begun_us + 1};
    enum permit_reason why;
    return permit_acquire(&b->user, &request, &about, permit, &why);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Each does BATCH of its operations, and returns the time that they took. */

static uint64_t take_and_give_back(struct bench *b)
{
    uint64_t since_ns = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (take(b, &b->permits[0]) == PERMIT_GO)
            permit_release(&b->user, b->permits[0], begun_us + 2, 1);
    return now_ns() - since_ns;
}

static uint64_t take_alone(struct bench *b)
{
    uint64_t since_ns = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (take(b, &b->permits[i]) != PERMIT_GO)
            die("a permit was refused");
    uint64_t took_ns = now_ns() - since_ns;
    for (int i = 0; i < BATCH; i++)
        permit_release(&b->user, b->permits[i], begun_us + 2, 1);
    return took_ns;
}

static uint64_t be_refused(struct bench *b)
{
    uint32_t other;
    if (take(b, &b->permits[0]) != PERMIT_GO)
        die("a permit was refused");
    uint64_t since_ns = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (take(b, &other) != PERMIT_NO)
            die("a permit was not refused");
    uint64_t took_ns = now_ns() - since_ns;
    permit_release(&b->user, b->permits[0], begun_us + 2, 1);
    return took_ns;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median_ns(struct bench *b, uint64_t (*batch)(struct bench *), double seconds)
{
    double runs[RUNS];
    for (int i = 0; i < RUNS; i++) {
        uint64_t took_ns = 0, count = 0, end_ns = now_ns() + (uint64_t)(seconds / RUNS * 1e9);
        while (count == 0 || now_ns() < end_ns) {
            took_ns += batch(b);
            count += BATCH;
        }
        runs[i] = (double)took_ns / (double)count;
    }
    qsort(runs, RUNS, sizeof *runs, by_size);
    return runs[RUNS / 2];
}

static void open_zone(struct bench *b, const char *name, uint32_t limit, enum permit_policy policy)
{
    struct permit_rules rules;
    memset(&rules, 0, sizeof rules);
    rules.limit = limit;
    rules.policy = policy;
    rules.queue_timeout_us = rules.window_us = rules.interval_us = 100000;
    rules.min = rules.max = limit;
    rules.probe_requests = 50;
    rules.probe_interval_us = 60000000;
    rules.target_us = 5000;
    int zone = permit_zone_open(b->shm, name, &rules, nobody_wants);
    if (zone < 0)
        die("no zone");
    b->zone = (unsigned)zone;
}

static void open_user(struct bench *b, int slot)
{
    if (!permit_open(&b->user, b->shm, slot))
        die("no socket");
}

/* Nanoseconds between two admissions of all processes together. */
static double with_processes(struct bench *b, int count, double seconds)
{
    struct permit_zone *z = &permit_region(b->shm)->zones[b->zone];
    pid_t pids[PROCESSES_MAX];
    for (int i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        open_user(b, 1 + i);
        for (;;)
            take_and_give_back(b);
    }
    usleep(100000);
    uint64_t admitted = z->admitted, since_ns = now_ns();
    usleep((useconds_t)(seconds * 1e6));
    double each_ns = (double)(now_ns() - since_ns) / (double)(z->admitted - admitted);
    for (int i = 0; i < count; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        permit_reclaim(b->shm, 1 + i);
    }
    return each_ns;
}

static void say(const char *what, double ns)
{
    printf("%-52s %8.1f ns\n", what, ns);
}

int main(int argc, char **argv)
{
    static struct bench b;
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    b.shm = shm_create();
    if (!b.shm)
        die("no shared memory");
    open_user(&b, 0);
    begun_us = clock_mono_us() + 1000000; /* after the zones' beginning */
    open_zone(&b, "fixed", 2 * BATCH, PERMIT_FIXED);
    median_ns(&b, take_and_give_back, seconds); /* until the processor is awake */
    say("admission and release", median_ns(&b, take_and_give_back, seconds));
    say("admission alone, another permit each time", median_ns(&b, take_alone, seconds));
    open_zone(&b, "codel", 2 * BATCH, PERMIT_CODEL);
    say("admission and release, codel", median_ns(&b, take_and_give_back, seconds));
    open_zone(&b, "gradient", 2 * BATCH, PERMIT_GRADIENT);
    say("admission and release, gradient", median_ns(&b, take_and_give_back, seconds));
    open_zone(&b, "one", 1, PERMIT_FIXED);
    say("refusal", median_ns(&b, be_refused, seconds));
    open_zone(&b, "shared", 2 * BATCH, PERMIT_FIXED);
    for (int count = 1; count <= 4; count *= 2) {
        char what[80];
        snprintf(what, sizeof what, "admission and release, %d process%s at once", count,
                 count > 1 ? "es" : "");
        say(what, with_processes(&b, count, seconds));
    }
    return 0;
}
