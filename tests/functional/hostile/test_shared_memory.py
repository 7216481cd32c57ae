"""A worker that has been taken over writes what it likes into the shared memory: the master lives, stays what it is, and serves.

Each round lets the scribble handler (scribble.c, region.h) overwrite one table, or all, while requests are under way, and then end or go
on. WEIR_TEST_LONG=1 makes it a thousand rounds.
"""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import threading

import pytest

import weirlib
from attacks import attack_module
from proxylib import backend  # noqa: F401
from weirlib import alive, config, fetch, limit, proc_field, wait_until

# The scribbling module races and faults on purpose, which is what a sanitizer reports.
pytestmark = [pytest.mark.needs_root, pytest.mark.skipif(weirlib.SLOW_BUILD, reason="wild writes are the test")]

LONG = os.environ.get("WEIR_TEST_LONG") == "1"
TABLES = ["header", "slots", "permit_zones", "permit_parts", "keyed_memory", "groups", "peers"]
ENDS = ["exit", "crash", "run"]
WORKERS = 2
SERVED_WITHIN = 10

HTTP = """
    limit_concurrency_zone fixed limit=2 queue=20 queue_timeout=5s;
    limit_concurrency_zone codel limit=2 queue=20 queue_timeout=5s policy=codel;
    limit_concurrency_zone gradient limit=4 queue=20 queue_timeout=5s policy=gradient;
    limit_conn_zone $arg_key zone=conns:64k;
    limit_req_zone $arg_key zone=rates:64k rate=1000r/s;
    upstream up { server {backend}; server {backend} backup; queue 10; }
"""
LOCATIONS = """
    location /fixed { limit_concurrency fixed; handler sleep; }
    location /codel { limit_concurrency codel priority=high; handler sleep; }
    location /gradient { limit_concurrency gradient; handler sleep; }
    location /conns { limit_conn conns 3; handler sleep; }
    location /rates { limit_req zone=rates burst=50 nodelay; return 200; }
    location /proxied { proxy_pass http://up; }
    location = /scribble { handler scribble pool=bad; }
"""
TARGETS = ["/fixed?ms=2", "/codel?ms=2", "/gradient?ms=2", "/conns?ms=2&key={key}", "/rates?key={key}", "/proxied"]


@pytest.fixture
def canary():
    """A process of somebody else's that lives as long as nobody signals it."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    assert process.poll() is None, "a process that is none of the server's was signalled"
    process.kill()
    process.wait()


@pytest.fixture
def server(weir, backend, canary):  # noqa: F811
    weir.expect_log(r"worker process \d+ (exited (with code 1|on signal)|has not turned)|shared memory")
    weir.start(config(LOCATIONS, http=HTTP.replace("{backend}", backend().address), user="user nobody nogroup;", workers=WORKERS,
                      listen="127.0.0.1:{port} reuseport", main=f"load_module {attack_module('scribble')}; thread_pool bad threads=2;"))
    weir.wait_workers(WORKERS)
    return weir


def answered(weir, target, timeout=2):
    """The status of an answer; None when there was none."""
    with contextlib.suppress(OSError, EOFError):
        return fetch(weir.port, target, timeout=timeout).status
    return None


class Traffic:
    """Requests for everything from a few clients, whatever becomes of them."""

    def __init__(self, weir, clients=3):
        self.weir, self.stopping = weir, threading.Event()
        self.threads = [threading.Thread(target=self._client, args=[i], daemon=True) for i in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _client(self, number):
        targets = itertools.cycle(TARGETS[number:] + TARGETS[:number])
        while not self.stopping.is_set():
            answered(self.weir, next(targets).replace("{key}", f"{number}").replace("ms=2", "ms=5"), timeout=1)


def scribble(weir, then, **how):
    """One attack; returns the worker that made it, killed by now."""
    arguments = "&".join(f"{key}={value}" for key, value in {**how, "then": then}.items())
    before = weir.worker_pids()
    status = answered(weir, f"/scribble?{arguments}", timeout=limit(20))  # it is much that is overwritten
    assert status is None or (then, status) == ("run", 200), status
    if then == "run":
        for pid in before:  # which of them it was, the answer does not say
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return before


def check_all_is_well(weir, round_name):
    """The master is what it was, has new workers without privileges, and serves everything within the limits."""
    def workers():
        assert alive(weir.pid), (round_name, weir.error_log[-2000:], weir.stderr[-2000:])
        pids = weir.worker_pids()
        return len(pids) >= WORKERS and all(proc_field(pid, "Uid").split()[0] == str(weirlib.NOBODY.pw_uid) for pid in pids
                                            if alive(pid))

    def served():
        assert alive(weir.pid), (round_name, weir.error_log[-2000:], weir.stderr[-2000:])
        answers[:] = [answered(weir, target.replace("{key}", round_name)) for target in TARGETS]
        return answers == [200] * len(TARGETS)

    def at_rest():
        with contextlib.suppress(OSError, EOFError):
            zones[:] = [weir.status()["concurrency"]]
            return all(zone["in_flight"] == 0 and zone["queued"] == 0 for zone in zones[0].values()) and \
                zones[0]["fixed"]["limit"] == 2
        return False

    answers, zones = [], []
    wait_until(workers, SERVED_WITHIN, f"{round_name}: workers of the unprivileged user")
    try:
        wait_until(served, SERVED_WITHIN, f"{round_name}: all answers")
        wait_until(at_rest, SERVED_WITHIN, f"{round_name}: zones at rest")
    except AssertionError as error:
        raise AssertionError(f"{error}; answers {answers}, zones {zones}, log {weir.error_log[-1500:]}") from None
    assert proc_field(weir.pid, "Uid").split() == ["0"] * 4, round_name
    assert answered(weir, "/status?format=prometheus") == 200, round_name


def attack(weir, attacks):
    """Each attack with traffic beside it; then TERM ends the server."""
    for number, (then, how) in enumerate(attacks):
        with Traffic(weir):
            scribble(weir, then, seed=number + 1, **how)
        check_all_is_well(weir, "-".join(map(str, [number, then, *how.values()])))
    assert weir.stop(5) == 0


def patterns(pid):
    """Each kind of bytes, with its number."""
    return [dict(pattern="random"), dict(pattern="ones"), dict(pattern="zeros"), dict(pattern="value", n=1),
            dict(pattern="links", n=60), dict(pattern="links", n=9000), dict(pattern="pointers"), dict(pattern="value", n=pid),
            *(dict(pattern="shifted", n=n) for n in (1, 64, 4096))]


@pytest.mark.timeout(limit(1200 if LONG else 60))
@pytest.mark.parametrize("part", TABLES)
def test_table(server, canary, part):
    """One table after another is overwritten in each way."""
    kinds = random.Random(part).sample(patterns(canary.pid), 11)
    rounds = [(then, dict(part=part, **kind)) for kind, then in zip(kinds, itertools.cycle(ENDS))]
    if LONG:
        rounds = [(then, dict(part=part, **kind)) for kind in patterns(canary.pid) for then in ENDS] * 4
    attack(server, rounds)


@pytest.mark.timeout(limit(1200 if LONG else 60))
@pytest.mark.parametrize("part", ["whole", "everything"])
def test_whole_region(server, canary, part):
    """The whole of it is overwritten: every byte that workers share."""
    kinds = patterns(canary.pid)
    wanted = kinds if LONG else [kinds[i] for i in (0, 1, 4, 6, 8)]
    attack(server, [(then, dict(part=part, **kind)) for kind, then in zip(wanted * (3 if LONG else 1), itertools.cycle(ENDS))])


@pytest.mark.timeout(limit(1200 if LONG else 60))
@pytest.mark.parametrize("holder", ["nobody", "master", "canary", "far", "negative"])
def test_locks(server, canary, holder):
    """All locks are held by one who never gives them up: a process of somebody else's, the master itself, nobody there."""
    value = dict(nobody=0, master=server.pid, canary=canary.pid, far=4194303, negative=2**32 - 1)[holder]
    attack(server, [(then, dict(pattern="zeros", lock=value)) for then in ENDS] * (10 if LONG else 1))


@pytest.mark.parametrize("part", ["permit_zones", "permit_parts", "everything"])
def test_stops_while_a_worker_scribbles(server, part):
    """TERM ends the server while a worker that goes on has overwritten what the others need."""
    answered(server, f"/scribble?part={part}&pattern=random&then=run")
    assert server.stop(20) == 0
