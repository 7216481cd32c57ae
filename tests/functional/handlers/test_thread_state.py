"""What a handler keeps for each thread: made before its first request there, freed when the thread ends."""

import concurrent.futures
import os

import modlib
import pytest
from weirlib import config, wait_until

SOURCE = """
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>

static atomic_int made, freed, wrong;
struct kept { long tid; int uses; const char *name; };

static void *init(const struct weir_setting *s, char *error, size_t bytes)
{
    (void)error, (void)bytes;
    return strdup(s->key ? s->value : "none");
}
static void *begin(void *settings, char *error, size_t bytes)
{
    struct kept *k = calloc(1, sizeof *k);
    if (settings && strcmp(settings, "refuses") == 0 && access("refuse", F_OK) == 0) {
        free(k);
        snprintf(error, bytes, "the database is away");
        return NULL;
    }
    *k = (struct kept){syscall(SYS_gettid), 0, settings};
    made++;
    return k;
}
static void end(void *state)
{
    struct kept *k = state;
    wrong += k->tid != syscall(SYS_gettid);
    if (k->name && strcmp(k->name, "slow") == 0)
        sleep(2);
    freed++;
    free(k);
}
static int run(weir_request *r)
{
    struct kept *k = weir_thread(r);
    wrong += k->tid != syscall(SYS_gettid);
    if (weir_arg(r, "wait"))
        usleep(20000);
    if (weir_arg(r, "fail"))
        weir_fail(r, "as asked");
    weir_printf(r, "%s %d", k->name ? k->name : "-", ++k->uses);
    return 0;
}
static int run_figures(weir_request *r)
{
    weir_printf(r, "%d %d %d %d", made, freed, wrong, weir_thread(r) == NULL);
    return 0;
}
static const struct weir_handler list[] = {
    {.name = "kept", .run = run, .init = init, .free = free, .thread_init = begin, .thread_free = end},
    {.name = "plain", .run = run, .thread_init = begin, .thread_free = end}, {.name = "figures", .run = run_figures}, {0}};
WEIR_MODULE(list);
"""
LOCATIONS = """
    location /a { handler kept pool=p name=a; }
    location /b { handler kept pool=p name=b; }
    location /refuses { handler kept pool=p name=refuses; }
    location /slow { handler kept pool=p name=slow; }
    location /plain { handler plain pool=p; }
    location /other { handler plain pool=p; }
    location /figures { handler figures; }
"""


@pytest.fixture
def served(weir):
    """The worker's folder is the server's, where the file that refuses lies."""
    path = modlib.build(weir.tmp, SOURCE.replace('"refuse"', f'"{weir.tmp}/refuse"'))

    def begin(threads="threads=2"):
        weir.start(config(LOCATIONS, main=f"load_module {path}; thread_pool p {threads} idle_timeout=60s;"))
        return weir
    return begin


def figures(weir):
    """How many were made and freed so far, how many calls found another thread's."""
    made, freed, wrong, without = map(int, weir.get("/figures").text.split())
    assert (wrong, without) == (0, 1)
    return made, freed


def at_once(weir, count):
    """So many requests that take a while, more than there are threads."""
    with concurrent.futures.ThreadPoolExecutor(count) as clients:
        assert all(clients.map(lambda _: weir.get("/a?wait=1").text.startswith("a "), range(count)))


def test_once_for_each_thread_and_location(served):
    """Requests one after the other find what the thread has; another location has its own."""
    weir = served("threads=1")
    assert [weir.get("/a").text for _ in range(3)] == ["a 1", "a 2", "a 3"]
    assert [weir.get(path).text for path in ("/b", "/a", "/b")] == ["b 1", "a 4", "b 2"]
    assert figures(weir) == (2, 0)


def test_each_thread_its_own(served):
    """No thread ever sees another's, however many run at once."""
    weir = served("threads=4")
    at_once(weir, 40)
    assert figures(weir)[0] <= 4


def test_freed_when_the_pool_shrinks(served):
    """Threads that a reload retires free what they have, at once."""
    weir = served("threads=4")
    at_once(weir, 16)
    made, _ = figures(weir)
    conf = (weir.tmp / "conf/weir.conf").read_text()
    assert weir.reload(conf.replace("threads=4", "threads=1"))["last_kind"] == "in-place"
    wait_until(lambda: figures(weir)[1] >= made - 1, 5, "the end of threads")
    assert weir.get("/a").text.startswith("a ")


def test_freed_where_a_handler_gives_up(served):
    """weir_fail takes the thread down, and what it had with it: the next one begins anew."""
    weir = served("threads=1")
    weir.expect_log("as asked")
    assert weir.get("/a").text == "a 1" and weir.get("/b").text == "b 1"
    assert weir.get("/a?fail=1").status == 500
    wait_until(lambda: figures(weir) == (2, 2), 5, "both freed")
    assert weir.get("/a").text == "a 1"


def test_locations_without_settings(served):
    """Each has its own, too."""
    weir = served("threads=1")
    assert [weir.get(path).text for path in ("/plain", "/other", "/plain")] == ["- 1", "- 1", "- 2"]
    assert figures(weir) == (2, 0)


def test_one_that_is_slow_to_go(served):
    """Threads that are long in freeing what they have are replaced, but not without a bound."""
    weir = served("threads=2")
    weir.expect_log("as asked")
    [worker] = weir.worker_pids()
    for _ in range(12):
        assert weir.get("/slow?fail=1", timeout=30).status == 500
        assert len(os.listdir(f"/proc/{worker}/task")) < 12
    wait_until(lambda: figures(weir) == (12, 12), 20, "all freed")
    assert weir.get("/a").text.startswith("a ")


def test_one_that_cannot_begin(served):
    """500 and the reason in the log; the next request tries again."""
    weir = served("threads=1")
    weir.expect_log("the database is away")
    (weir.tmp / "refuse").touch()
    assert weir.get("/refuses").status == 500
    weir.wait_log(r'\[error\].*handler "kept": cannot begin on this thread: the database is away')
    assert weir.get("/a").text == "a 1"
    (weir.tmp / "refuse").unlink()
    assert weir.get("/refuses").text == "refuses 1"
    assert figures(weir) == (2, 0)
