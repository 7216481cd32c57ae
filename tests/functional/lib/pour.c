/*
 * tests/functional/lib/pour.c - handlers that misbehave, for tests: one streams for as long as it is asked to, one sleeps
 * and never looks whether anybody still waits, one gives up.
 */
#include <weir/handler.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

static long number(weir_request *r, const char *name, long fallback)
{
    const char *text = weir_arg(r, name);
    return text ? atol(text) : fallback;
}

static void pause_us(long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* pour?n=COUNT&size=BYTES&us=PAUSE writes and flushes COUNT times. */
static int pour(weir_request *r)
{
    long count = number(r, "n", 10), size = number(r, "size", 100), us = number(r, "us", 0);
    char *bytes = weir_alloc(r, (size_t)size);
    memset(bytes, 'x', (size_t)size);
    for (long i = 0; i < count; i++) {
        if (weir_write(r, bytes, (size_t)size) < 0 || weir_flush(r) < 0)
            return 0;
        if (us)
            pause_us(us);
    }
    return 0;
}

static int deaf(weir_request *r)
{
    pause_us(number(r, "ms", 1000) * 1000);
    weir_puts(r, "awake\n");
    return 0;
}

static int give_up(weir_request *r)
{
    weir_puts(r, "half an answer");
    weir_fail(r, "asked to");
}

/* Says how long the request's body is, having looked at each byte. */
static int count_body(weir_request *r)
{
    size_t len, sum = 0;
    const unsigned char *body = weir_body(r, &len);
    for (size_t i = 0; i < len; i++)
        sum += body[i];
    weir_printf(r, "%zu %s\n", len, sum ? "bytes" : "");
    return 0;
}

static const struct weir_handler handlers[] = {{.name = "pour", .run = pour},
                                               {.name = "deaf", .run = deaf},
                                               {.name = "give_up", .run = give_up},
                                               {.name = "count_body", .run = count_body},
                                               {0}};

WEIR_MODULE(handlers);
