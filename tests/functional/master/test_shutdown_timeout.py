"""How long old workers may finish: without worker_shutdown_timeout as long as their connections move."""

import re
import signal
import time

import modlib
import pytest
from weirlib import ROOT, alive, config, limit, refused, wait_until

SOURCE = "#include <unistd.h>\n#include <stdlib.h>\n" + modlib.handlers(
    deaf='usleep((unsigned)atoi(weir_arg(r, "ms")) * 1000); return 0;',
    drip='for (int i = 0; i < 20; i++) { weir_puts(r, "x"); weir_flush(r); usleep(100000); } return 0;')
SIZE = 300_000


def conf(answer="old", timeout="", deaf="handler_timeout 300ms;", main=""):
    return config(f"""
        location / {{ return 200 {answer}; }}
        location /slow {{ alias {{tmp}}/html/big; limit_rate 100k; }}
        location /deaf {{ handler deaf; {deaf} }}
        location /drip {{ handler drip; }}
    """, main=f"load_module {{tmp}}/handlers.so; {timeout} {main}")


@pytest.fixture
def served(weir):
    modlib.build(weir.tmp, SOURCE)
    weir.write("x" * SIZE, "html/big")
    return weir


def reload(weir, **parts):
    weir.reload(conf("new", **parts))
    wait_until(lambda: weir.get("/").text == "new", 3, "the new workers")


def under_way(weir, target):
    """A connection with an answer that has begun."""
    client = weir.connect()
    client.request(target)
    client.unread = client.socket.recv(1000)
    return client


@pytest.mark.parametrize("timeout", ["", "worker_shutdown_timeout 0;"])
def test_what_moves_is_not_cut(served, timeout):
    """A download and a stream that are under way at a reload end whole; 0 is no bound, as in nginx."""
    served.start(conf(timeout=timeout))
    old = served.wait_workers(1)
    with under_way(served, "/slow") as download, under_way(served, "/drip") as stream:
        reload(served, timeout=timeout)
        assert stream.response().body == b"x" * 20
        assert len(download.response().body) == SIZE
    served.wait_dead(old, 2)


def test_there_is_no_bound_by_default(served):
    """The table of directives has no time as the default."""
    text = (ROOT / "docs/directives.md").read_text()
    section = re.search(r"### worker_shutdown_timeout\n(.*?)\n###", text, re.S)[1]
    assert "Default: `0`" in section and "30s" not in section


def test_the_bound_that_is_set(served):
    """With a time, what is left then is cut."""
    served.start(conf(timeout="worker_shutdown_timeout 500ms;"))
    served.expect_log("worker_shutdown_timeout is over")
    old = served.wait_workers(1)
    with under_way(served, "/slow") as download:
        reload(served)
        served.wait_dead(old, 2)
        assert len(download.until_close()) < SIZE


@pytest.mark.parametrize("what", ["reload", "quit"])
def test_a_stuck_handler_does_not_hold_it_up(served, what):
    """A handler past its handler_timeout is left behind: the old worker, or the server, ends without it."""
    served.start(conf(timeout="worker_shutdown_timeout 60s;"))
    served.expect_log("timed out|left behind")
    old = served.wait_workers(1)
    with served.connect() as client:
        client.request("/deaf?ms=15000")
        wait_until(lambda: served.pool()["threads"]["running"] == 1, 3, "a running handler")
        if what == "reload":
            reload(served)
        else:
            served.signal(signal.SIGQUIT)
        assert client.response().status == 504
    served.wait_dead(old, 3)
    if what == "quit":
        assert served.wait_exit(2) == 0


def test_a_handler_within_its_time_is_waited_for(served):
    """A handler that is slow, not stuck, ends and is answered."""
    served.start(conf(deaf="handler_timeout 10s;"))
    with served.connect() as client:
        client.request("/deaf?ms=1500")
        wait_until(lambda: served.pool()["threads"]["running"] == 1, 3, "a running handler")
        reload(served)
        assert client.response().status == 200


def test_quit_waits_for_what_moves(served):
    """QUIT takes no connection any more and ends with the last download."""
    served.start(conf())
    with under_way(served, "/slow") as download:
        served.signal(signal.SIGQUIT)
        wait_until(lambda: refused(served.port), 2, "a closed listener")
        assert len(download.response().body) == SIZE
    assert served.wait_exit(2) == 0


def test_old_generations_are_in_the_status(served):
    """The status has how many old configurations still finish, their workers and connections, and for how long."""
    served.start(conf())
    assert served.status()["old_generations"] == []
    with under_way(served, "/slow"):
        begun = time.monotonic()
        reload(served)
        wait_until(lambda: time.monotonic() - begun > 0.2, 1, "some age")
        [old] = served.status()["old_generations"]
        assert (old["generation"], old["workers"], old["connections"]) == (1, 1, 1)
        assert 0.1 <= old["age_seconds"] <= limit(2)
        metrics = served.get("/status?format=prometheus").text
        assert re.search(r"^weir_config_old_generations 1$", metrics, re.M)
        assert 0.1 <= float(re.search(r"^weir_config_oldest_generation_age_seconds (\S+)$", metrics, re.M)[1]) <= limit(2)
        assert "configuration 1 still finish" in served.get("/status?format=html").text
    wait_until(lambda: served.status()["old_generations"] == [], 3, "the end of the old worker")
    assert alive(served.pid)
