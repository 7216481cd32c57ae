/*
 * tests/functional/lib/scribble.c - a handler that has turned bad: it overwrites what its worker shares with the master and the
 * other workers, as an attacker would who has taken the worker over, and then ends or goes on.
 *
 * scribble?part=NAME&pattern=NAME: &n=N is the pattern's number, &seed=N makes it repeatable, &lock=VALUE then writes that
 * into every lock ("self": what the worker itself would write), &then=exit|crash|stop|run says how it ends.
 */
#include <weir/handler.h>

#include "tests/functional/region.h"

#include <signal.h>
#include <stdlib.h>

static uint64_t number(weir_request *r, const char *name, uint64_t otherwise)
{
    const char *text = weir_arg(r, name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static int scribble(weir_request *r)
{
    struct region_range found[REGION_MAPPINGS];
    const char *part = weir_arg(r, "part"), *pattern = weir_arg(r, "pattern"), *then = weir_arg(r, "then");
    uint64_t random = number(r, "seed", 1) * 2654435761u + 1, n = number(r, "n", 1);
    const char *lock = weir_arg(r, "lock");
    if ((part && !pattern) || !then)
        return 400;
    int count = part ? region_find_part(part, found) : 0;
    if (part && !count)
        return 404;
    for (int i = 0; i < count; i++)
        region_fill(found[i], pattern, n, &random);
    if (lock)
        region_set_locks(!strcmp(lock, "self") ? (uint32_t)getpid() : (uint32_t)strtoul(lock, NULL, 10));
    if (!strcmp(then, "exit"))
        _exit(1);
    /* Raised, the signal would wait: threads of a pool block signals. */
    if (!strcmp(then, "crash"))
        *(volatile int *)8 = 0;
    if (!strcmp(then, "stop"))
        raise(SIGSTOP);
    return weir_puts(r, "done\n") < 0;
}

static const struct weir_handler handlers[] = {{.name = "scribble", .run = scribble}, {0}};

WEIR_MODULE(handlers);
