/*
 * collect.c - an event loop that leaves computing to a pool: the longest Collatz sequence below 10^6.
 *
 * Shows tasks without a done callback: the pool keeps those that have ended, wakes the loop for the first of them,
 * and the loop takes all that there are. As only its thread uses the results, they need no lock.
 */
#include <weir/pool.h>

#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TASKS = 1000, NUMBERS_PER_TASK = 1000, OTHER_WORK_US = 10000 };

struct search {
    struct pool_task task; /* first: its address is the search's */
    /* Of NUMBERS_PER_TASK numbers; the one of the longest sequence. */
    unsigned long long first, best;
    unsigned best_steps;
};

static unsigned collatz_steps(unsigned long long n)
{
    unsigned steps = 0;
    for (; n > 1; steps++)
        n = n % 2 ? 3 * n + 1 : n / 2;
    return steps;
}

static void run(struct pool_task *task)
{
    struct search *search = (struct search *)task;
    for (unsigned long long n = search->first; n < search->first + NUMBERS_PER_TASK; n++) {
        unsigned steps = collatz_steps(n);
        if (steps > search->best_steps)
            search->best_steps = steps, search->best = n;
    }
}

/* On a thread of the pool, when the first task since the last pool_collect has ended. */
static void notify(void *arg)
{
    eventfd_write(*(int *)arg, 1);
}

int main(void)
{
    static struct search searches[TASKS];
    int ended_fd = eventfd(0, EFD_CLOEXEC);
    struct pool_config config = {.name = "collect", .min = 4, .max = 4, .max_queue = TASKS, .notify = notify};
    config.notify_arg = &ended_fd;
    struct pool *pool = pool_create(&config);
    if (ended_fd < 0 || !pool || pool_prestart(pool) != POOL_OK)
        errx(1, "not enough memory, threads or descriptors");
    for (unsigned i = 0; i < TASKS; i++) {
        searches[i] = (struct search){.task = {.run = run}, .first = 1ull * i * NUMBERS_PER_TASK};
        if (pool_submit(pool, &searches[i].task) != POOL_OK)
            errx(1, "the pool is full"); /* never: its queue has room for all */
    }
    unsigned collected = 0, wakeups = 0, best_steps = 0;
    unsigned long long best = 0;
    struct pollfd polled = {.fd = ended_fd, .events = POLLIN}; /* a server adds its sockets */
    while (collected < TASKS) {
        /* Read before collecting: whatever ends later notifies again. */
        eventfd_t ignored;
        if (poll(&polled, 1, -1) < 0 || eventfd_read(ended_fd, &ignored) < 0)
            err(1, "no event");
        wakeups++;
        for (struct pool_task *task = pool_collect(pool); task; task = task->next, collected++) {
            struct search *search = (struct search *)task;
            if (search->best_steps > best_steps)
                best_steps = search->best_steps, best = search->best;
        }
        /* Serves the sockets; whatever ends meanwhile is collected at one go. */
        usleep(OTHER_WORK_US);
    }
    printf("%u tasks, %u wake-ups: %llu takes %u steps\n", collected, wakeups, best, best_steps);
    /* First: a thread may still be on its way back from notify. */
    pool_destroy(pool);
    close(ended_fd);
}
