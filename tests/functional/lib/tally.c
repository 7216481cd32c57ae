/*
 * tests/functional/lib/tally.c - a handler that records when it ran and ends when a test says so, for tests of limits.
 *
 * Each run appends two lines to a file with one write each: "start PID ID NANOSECONDS" and "end PID ID NANOSECONDS", by
 * the monotonic clock, both from inside the run. What the file shows as running together has run together.
 */
#include <weir/handler.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { GATE_LOOK_EVERY_US = 5000, GATE_LOOKS_MAX = 6000 };

static void note(weir_request *r, const char *what, const char *id)
{
    struct timespec t;
    char line[200];
    int fd = open(weir_settings(r), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    clock_gettime(CLOCK_MONOTONIC, &t);
    int len = snprintf(line, sizeof line, "%s %d %.100s %lld\n", what, (int)getpid(), id,
                       (long long)t.tv_sec * 1000000000 + t.tv_nsec);
    if (fd < 0 || write(fd, line, (size_t)len) != len)
        weir_log(r, WEIR_LOG_ERROR, "the tally cannot be written");
    if (fd >= 0)
        close(fd);
}

static void pause_us(long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* Waits until the file FILE.NAME exists, whether or not anybody still waits for the answer. */
static void wait_at(const char *file, const char *name)
{
    char gate[300];
    snprintf(gate, sizeof gate, "%s.%s", file, name);
    for (int i = 0; i < GATE_LOOKS_MAX && access(gate, F_OK) < 0; i++)
        pause_us(GATE_LOOK_EVERY_US);
}

/*
 * tally?id=ID: &ms=N sleeps; &gate=NAME waits; &status=CODE answers with the server's page; &die=1 kills the worker.
 * The answer is the request's body, or the id.
 */
static int tally(weir_request *r)
{
    const char *id = weir_arg(r, "id"), *ms = weir_arg(r, "ms"), *gate = weir_arg(r, "gate");
    const char *status = weir_arg(r, "status");
    size_t len;
    const void *body = weir_body(r, &len);
    id = id && *id ? id : "-";
    note(r, "start", id);
    if (ms)
        pause_us(atol(ms) * 1000);
    if (gate)
        wait_at(weir_settings(r), gate);
    if (weir_arg(r, "die"))
        raise(SIGKILL);
    note(r, "end", id);
    if (status)
        return atoi(status);
    return (len ? weir_write(r, body, len) : weir_puts(r, id)) < 0;
}

static void *init(const struct weir_setting *settings, char *error, size_t error_bytes)
{
    if (!settings[0].key || strcmp(settings[0].key, "file") != 0) {
        snprintf(error, error_bytes, "tally needs file=PATH");
        return NULL;
    }
    return strdup(settings[0].value);
}

static const struct weir_handler handlers[] = {{.name = "tally", .run = tally, .init = init, .free = free},
                                               {0}};

WEIR_MODULE(handlers);
