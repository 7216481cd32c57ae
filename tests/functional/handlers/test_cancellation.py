"""A handler that waits inside of a library is told that nobody waits for its answer any more."""

import os
import subprocess
import time

import modlib
import pytest
import weirlib
from weirlib import Connection, config, limit, take_time, wait_until

SOURCE = """
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static atomic_int waiting, called, ended, late;
static sem_t held;

struct wait { sem_t over; atomic_int calls; long slow_us; pthread_t of; };

static void wake(void *arg)
{
    struct wait *w = arg;
    late += pthread_equal(w->of, pthread_self());
    usleep((useconds_t)w->slow_us);
    w->calls++;
    called++;
    sem_post(&w->over);
}
/* Waits for nothing but the call. */
static int run_wait(weir_request *r)
{
    const char *slow = weir_arg(r, "slow_ms");
    struct wait w = {.slow_us = slow ? 1000 * atol(slow) : 0, .of = pthread_self()};
    sem_init(&w.over, 0, 0);
    if (weir_arg(r, "stream")) {
        weir_puts(r, "begun");
        weir_flush(r);
    }
    if (weir_on_cancel(r, wake, &w) != 0)
        return 500;
    waiting++;
    sem_wait(&w.over);
    if (weir_arg(r, "fail")) {
        ended++;
        weir_fail(r, "cancelled");
    }
    ended++;
    return 0;
}
/* Its call has ended with it: it waits by itself until its client has gone, and some. */
static int run_taken_back(weir_request *r)
{
    struct wait w = {.of = pthread_self()};
    weir_on_cancel(r, wake, &w);
    weir_on_cancel(r, NULL, NULL);
    waiting++;
    while (!weir_client_gone(r))
        usleep(1000);
    usleep(20000);
    late += w.calls;
    ended++;
    return 0;
}
/* Asks only when it is too late, twice: each call is made at once, and no second time. */
static int run_late(weir_request *r)
{
    waiting++;
    while (!weir_client_gone(r))
        usleep(1000);
    for (int i = 0; i < 2; i++) {
        struct wait w = {.of = pthread_self()};
        sem_init(&w.over, 0, 0);
        weir_on_cancel(r, wake, &w);
        sem_wait(&w.over);
        weir_on_cancel(r, NULL, NULL);
        late += w.calls != 1;
    }
    ended++;
    return 0;
}
/* Returns at about the time at which its client goes: the call is made, or not, but never when its memory is gone. */
static int run_race(weir_request *r)
{
    struct wait w = {.of = pthread_self(), .slow_us = rand() % 1000};
    sem_init(&w.over, 0, 0);
    weir_on_cancel(r, wake, &w);
    usleep((useconds_t)(rand() % 3000));
    weir_on_cancel(r, NULL, NULL);
    int calls = w.calls;
    usleep(500);
    late += w.calls != calls;
    ended++;
    return 0;
}
/* It goes while its call runs: with its thread, not by return. */
static int run_exit(weir_request *r)
{
    static struct wait w;
    w = (struct wait){.slow_us = 2000000, .of = pthread_self()};
    sem_init(&w.over, 0, 0);
    weir_on_cancel(r, wake, &w);
    waiting++;
    while (!weir_client_gone(r))
        usleep(1000);
    ended++;
    pthread_exit(NULL);
}
/* Has wanted a call, which others hold up, and returns without it. */
static int run_by_itself(weir_request *r)
{
    struct wait w = {.of = pthread_self()};
    sem_init(&w.over, 0, 0);
    weir_on_cancel(r, wake, &w);
    waiting++;
    while (!weir_client_gone(r))
        usleep(1000);
    weir_on_cancel(r, NULL, NULL);
    ended++;
    return 0;
}
static int run_left(weir_request *r)
{
    struct timespec now;
    int64_t deadline = weir_deadline_ms(r);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (deadline == INT64_MAX)
        weir_puts(r, "none");
    else
        weir_printf(r, "%lld", (long long)(deadline - now.tv_sec * 1000 - now.tv_nsec / 1000000));
    return 0;
}
static int run_figures(weir_request *r)
{
    (void)held;
    weir_printf(r, "%d %d %d %d", waiting, called, ended, late);
    return 0;
}
static const struct weir_handler list[] = {
    {.name = "wait", .run = run_wait}, {.name = "taken_back", .run = run_taken_back}, {.name = "late", .run = run_late},
    {.name = "race", .run = run_race}, {.name = "exit", .run = run_exit}, {.name = "by_itself", .run = run_by_itself}, {.name = "left", .run = run_left}, {.name = "figures", .run = run_figures}, {0}};
WEIR_MODULE(list);
"""
LOCATIONS = "handler_timeout 60s;" + "".join(f"location /{name} {{ handler {name} pool=p; }}" for name in
                                             ("wait", "taken_back", "late", "race", "left", "exit", "by_itself")) + """
    location /short { handler wait pool=p; handler_timeout 300ms; }
    location /none { handler left; handler_timeout 0; }
    location /figures { handler figures; }
"""


NO_THREADS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* The system has no thread while that file is there. */
int pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    return access(getenv("NO_THREADS"), F_OK) == 0 ? EAGAIN : real(id, attr, run, arg);
}
"""


@pytest.fixture
def served(weir):
    path = modlib.build(weir.tmp, SOURCE)
    weir.start(config(LOCATIONS, main=f"load_module {path}; thread_pool p threads=80;"))
    return weir


def figures(weir):
    """Handlers that have waited, calls that were made, handlers that have ended; a call on the wrong thread, or too many of them, is an error."""
    waiting, called, ended, late = map(int, weir.get("/figures").text.split())
    assert late == 0
    return waiting, called, ended


def waits(weir, path):
    """A client whose handler waits now."""
    before = figures(weir)[0]
    client = Connection(weir.port)
    client.request(path)
    wait_until(lambda: figures(weir)[0] == before + 1, 5, "the handler")
    return client


@pytest.mark.parametrize("path, calls", [("/wait", 1), ("/wait?stream=1", 1), ("/wait?slow_ms=50", 1), ("/wait?fail=1", 1), ("/taken_back", 0), ("/late", 2)])
def test_the_client_goes(served, path, calls):
    served.expect_log("cancelled")
    waits(served, path).close()
    wait_until(lambda: figures(served)[1:] == (calls, 1), 5, "the handler's end")
    assert figures(served) == (1, calls, 1)


def test_the_time_is_over(served):
    """The client has its 504, and the handler its call."""
    served.expect_log("timed out")
    assert served.get("/short").status == 504
    wait_until(lambda: figures(served) == (1, 1, 1), 5, "the handler's end")


def test_a_call_that_blocks_holds_nobody_up(served):
    """While calls take their time, the loop and other handlers go on."""
    clients = [waits(served, "/wait?slow_ms=400") for _ in range(3)]
    for client in clients:
        client.close()
    assert served.get("/left").status == 200 and figures(served)[2] == 0
    wait_until(lambda: figures(served) == (3, 3, 3), 5, "the handlers' end")


def test_ends_that_meet(served):
    """Clients leave when handlers end: each call is over before its handler's memory goes, and no handler is kept."""
    for _ in range(60):
        clients = [Connection(served.port) for _ in range(4)]
        for client in clients:
            client.request("/race")
        for client in clients:
            client.close()
    wait_until(lambda: served.pool("p")["threads"]["running"] == 0 and served.pool("p")["queue"]["length"] == 0, 10, "all ends")
    assert figures(served)[1] <= figures(served)[2] <= 240


def test_a_thread_that_exits_while_its_call_runs(served):
    """The loop does not wait for that."""
    served.expect_log("ended its thread|handler .exit. failed")
    waits(served, "/exit").close()
    wait_until(lambda: figures(served)[2] == 1, 5, "the handler's end")
    before = time.monotonic()
    assert served.get("/none").status == 200
    assert time.monotonic() - before < limit(1)
    wait_until(lambda: served.pool("p")["threads"]["running"] == 0, 10, "the thread's end")


@pytest.mark.skipif(weirlib.SLOW_BUILD, reason="a sanitizer has a pthread_create of its own")
def test_no_thread_for_a_call(weir):
    """It is made when there is one again; until then the handler waits, and who takes it back does not."""
    library, refuses = weir.tmp / "no_threads.so", weir.tmp / "no_threads"
    library.with_suffix(".c").write_text(NO_THREADS)
    subprocess.run(["cc", "-shared", "-fPIC", library.with_suffix(".c"), "-o", library], check=True)
    path = modlib.build(weir.tmp, SOURCE)
    weir.start(config(LOCATIONS, main=f"load_module {path}; thread_pool p threads=4;"),
               env={**os.environ, "LD_PRELOAD": str(library), "NO_THREADS": str(refuses)})
    clients = [waits(weir, "/wait"), waits(weir, "/by_itself")]
    refuses.touch()
    for client in clients:
        client.close()
    wait_until(lambda: figures(weir)[2] == 1, 5, "the end of the one that takes it back")
    assert figures(weir) == (2, 0, 1)
    refuses.unlink()
    wait_until(lambda: figures(weir) == (2, 1, 2), 5, "the call")


def test_calls_that_wait_for_others(served):
    """More calls that take their time than threads make them: one that has not begun is taken back at once."""
    clients = [waits(served, "/wait?slow_ms=3000") for _ in range(64)]
    for client in clients:
        client.close()
    wait_until(lambda: served.pool("p")["threads"]["running"] == 64, 5, "all calls")
    take_time(0.2)
    waits(served, "/by_itself").close()
    wait_until(lambda: figures(served)[2] == 1, 2, "the end of the one")
    wait_until(lambda: figures(served)[1:] == (64, 65), 20, "the others' ends")


def test_deadline(served):
    """A point in time of the monotonic clock, or none."""
    assert 30_000 < int(served.get("/left").text) <= 60_000
    assert served.get("/none").text == "none"
