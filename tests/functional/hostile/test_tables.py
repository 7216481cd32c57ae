"""A worker that has been taken over leaves tables full of values that could be true, and ends: the service recovers by itself."""

import contextlib
import re
import signal

import pytest
import weirlib
from proxylib import answer, backend  # noqa: F401 - a fixture
from attacks import attack_module
from weirlib import config, fetch, limit, wait_until

pytestmark = pytest.mark.skipif(weirlib.SLOW_BUILD, reason="module and server do not share their build's sanitizer")

HOUR_MS = 3500000
NOBODY, SURVIVOR = 200, 1  # slots
LOCATIONS = """
    location /proxied { proxy_pass http://up; }
    location /limited { limit_concurrency z; handler sleep; }
    location = /groups { handler groups; }
    location = /peers { handler peers; }
    location = /busy { handler busy; }
    location = /permits { handler permits; }
"""


def start(weir, backend, workers, **options):  # noqa: F811
    http = f"limit_concurrency_zone z limit=1; upstream up {{ server {backend(answer()).address} max_conns=5; queue 10 timeout=2s; }}"
    weir.expect_log(r"exited with code|no room for|overwritten|died soon")
    weir.start(config(LOCATIONS, http=http, workers=workers, main=f"load_module {attack_module('taken_over')};", **options))
    weir.wait_workers(workers)


def attack(weir, target):
    """Returns when the worker that did it has been buried."""
    before = weir.worker_pids()
    with contextlib.suppress(OSError, EOFError):
        fetch(weir.port, target, timeout=limit(2))
    wait_until(lambda: before - weir.worker_pids(), 3, "the attacker's end")


def status(weir, target):
    with contextlib.suppress(OSError, EOFError):
        return fetch(weir.port, target, timeout=limit(3)).status
    return None


def recovered(weir, workers, seconds):
    """All workers are there and everything is served, a few times on end."""
    def well():
        return [status(weir, target) for target in ["/proxied", "/limited"] * 3] == [200] * 6
    wait_until(lambda: len(weir.worker_pids()) == workers and well(), seconds, "everything is served")
    weir.wait_workers(workers)


@pytest.mark.parametrize("target, seconds", [(f"/groups?ahead={HOUR_MS}", 5), ("/groups?ahead=50000", 15), ("/groups?ahead=0", 15),
                                             (f"/peers?slot={NOBODY}&group=4000", 5), (f"/peers?slot={NOBODY}&group=1", 15)])
def test_no_room(weir, backend, target, seconds):  # noqa: F811
    """The successor of the only worker starts, at the latest when what nobody uses has been forgotten."""
    start(weir, backend, workers=1)
    attack(weir, target)
    recovered(weir, 1, seconds)


@pytest.mark.timeout(limit(90))
def test_no_room_beside_a_survivor(weir, backend):  # noqa: F811
    """What a worker that serves seems to use makes room for the upstreams of a new configuration."""
    weir.expect_log("died at its start")
    start(weir, backend, workers=2)
    attack(weir, f"/peers?slot={SURVIVOR}&group=1")
    recovered(weir, 2, 8)
    weir.conf.write_text(weir.conf.read_text().replace("upstream up {", "upstream new { server 127.0.0.1:1; } upstream up {"))

    def reloaded():
        finished = len(re.findall("reload done|reload failed", weir.error_log))
        weir.signal(signal.SIGHUP)
        wait_until(lambda: len(re.findall("reload done|reload failed", weir.error_log)) > finished, 5, "the end of a reload")
        return "reload done" in weir.error_log
    wait_until(reloaded, 20, "a reload that is done")
    recovered(weir, 2, 5)


@pytest.mark.parametrize("slot", [0, 1, NOBODY])
def test_busy_servers(weir, backend, slot):  # noqa: F811
    """Connections and waiting requests of a slot, with a worker or without one, are not counted for long."""
    start(weir, backend, workers=2)
    for _ in range(2):
        attack(weir, f"/busy?slot={slot}&count=1000")
        recovered(weir, 2, 8)


def test_permits_of_a_slot_without_a_worker(weir, backend):  # noqa: F811
    """Permits are not held by a slot whose worker went with a reload."""
    start(weir, backend, workers=3)
    weir.reload(weir.conf.read_text().replace("worker_processes 3", "worker_processes 2"))
    weir.wait_workers(2)
    free = set(range(5)) - {worker["slot"] for worker in weir.status()["workers"] if worker["state"] == "running"}
    assert len(free) == 3
    for slot in free:
        attack(weir, f"/permits?slot={slot}")
        recovered(weir, 2, 8)
