/*
 * modules/demo.c - three handlers to try the server with: one that computes, one that waits, one that gives back.
 */
#include <weir/handler.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { FIB_MAX = 45, SLEEP_STEP_MS = 100 };

static unsigned long long fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* A number of the query string; fallback when it is absent, -1 when it is no number up to max. */
static long number(weir_request *r, const char *name, long fallback, long max)
{
    const char *text = weir_arg(r, name);
    char *end;
    if (!text)
        return fallback;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || end == text || *end || value < 0 || value > max ? -1 : value;
}

/* fib?n=30 keeps a thread busy: exponential on purpose. */
static int run_fib(weir_request *r)
{
    long n = number(r, "n", 30, FIB_MAX);
    if (n < 0)
        return 400;
    weir_set_header(r, "Content-Type", "text/plain");
    weir_printf(r, "%llu\n", fib((unsigned)n));
    return 0;
}

/* sleep?ms=10 blocks a thread; stops early once nobody waits for it any more. */
static int run_sleep(weir_request *r)
{
    long left = number(r, "ms", 10, 24 * 3600 * 1000L), ms = left;
    if (left < 0)
        return 400;
    while (left > 0 && !weir_client_gone(r)) {
        long step = left < SLEEP_STEP_MS ? left : SLEEP_STEP_MS;
        struct timespec t = {step / 1000, step % 1000 * 1000000};
        nanosleep(&t, NULL);
        left -= step;
    }
    weir_set_header(r, "Content-Type", "text/plain");
    weir_printf(r, "slept %ld ms\n", ms);
    return 0;
}

/* echo answers with the request's body. */
static int run_echo(weir_request *r)
{
    size_t len;
    const void *body = weir_body(r, &len);
    const char *type = weir_header(r, "Content-Type");
    weir_set_header(r, "Content-Type", type ? type : "application/octet-stream");
    return weir_write(r, body, len) < 0 ? 500 : 0;
}

static const struct weir_handler handlers[] = {{.name = "fib", .run = run_fib},
                                               {.name = "sleep", .run = run_sleep},
                                               {.name = "echo", .run = run_echo},
                                               {0}};

WEIR_MODULE(handlers);
