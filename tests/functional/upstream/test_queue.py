"""upstream: queue - requests that wait while all servers have max_conns connections."""

import os
import random
import re
import signal
import threading
import time

import pytest
from limits import SPREAD, spread
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import Load, limit, take_time, wait_until

WHO = "location = /who { return 200 $pid; }"
LOG = "log_format queue '$request_uri|$status|$upstream_queue_time|$upstream_response_time';"


def serve(weir, servers, workers=1, queue="queue 50 timeout=10s;", proxy="", **parts):
    passed(weir, "up", proxy + "} " + WHO[:-1], http=upstream(*servers, more=queue) + LOG, listen=SPREAD,
           workers=workers, server="access_log logs/queue.log queue;", **parts)
    weir.wait_workers(workers)
    return weir


def queue(weir):
    return weir.status()["upstream_queues"]["up"]


def wait_length(weir, count, seconds=3):
    wait_until(lambda: queue(weir)["length"] == count, seconds, f"{count} waiting")


class Turns:
    """A backend that takes `seconds` for each request once its gate is open, and notes what ran from when to when."""

    def __init__(self, backend, seconds=0.0, is_open=False):
        self.gate, self.seconds, self.runs = threading.Event(), seconds, []
        if is_open:
            self.gate.set()
        self.up = backend(self._reply)
        self.address = self.up.address

    def _reply(self, call):
        start = time.monotonic()
        self.gate.wait(20)
        take_time(self.seconds)
        self.runs.append((call.target, start, time.monotonic()))
        return answer(call.target.encode())

    def targets(self):
        return [target for target, _, _ in sorted(self.runs, key=lambda run: run[1])]

    def longest_gap(self):
        """The longest that it had nothing to do between two requests."""
        runs = sorted(self.runs, key=lambda run: run[1])
        return max(later[1] - sooner[2] for sooner, later in zip(runs, runs[1:]))


def enqueue(weir, clients, first=0):
    """Sends /0, /1 ... on them, each once the one before waits."""
    have = queue(weir)["length"]
    for i, client in enumerate(clients):
        client.request(f"/{first + i}")
        wait_length(weir, have + i + 1)


def occupied(weir, turns, client=None):
    """A request that has the only connection."""
    client, before = client or weir.connect(timeout=20), len(turns.up.calls)
    client.request("/holder")
    wait_until(lambda: len(turns.up.calls) > before, 3, "a request at the backend")
    return client


# ---- order ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("pause", [0, 0.17])
def test_first_come_first_served(weir, backend, workers, pause):
    """Whichever workers the clients are of, and however long it takes."""
    turns = Turns(backend, pause)
    serve(weir, [f"{turns.address} max_conns=1"], workers)
    clients = [client for some in zip(*spread(weir, workers, 12 // workers).values()) for client in some]
    holder = occupied(weir, turns)
    enqueue(weir, clients)
    turns.gate.set()
    assert [client.response().text for client in clients] == [f"/{i}" for i in range(12)]
    assert holder.response().status == 200
    assert turns.targets() == ["/holder", *[f"/{i}" for i in range(12)]]
    assert turns.longest_gap() < limit(0.3)


def test_newcomers_queue_up(weir, backend):
    """A server that becomes free is not for those that just come while others wait."""
    turns = Turns(backend, 0.02)
    serve(weir, [f"{turns.address} max_conns=1"], 3)
    clients = [client for some in spread(weir, 3, 4).values() for client in some]
    holder = occupied(weir, turns)
    enqueue(weir, clients)
    with Load(weir.port, "/new", 4, keepalive=False):
        wait_until(lambda: queue(weir)["length"] == 16, 3, "newcomers that wait")
        turns.gate.set()
        assert [client.response().status for client in [holder, *clients]] == [200] * 13
        assert "/new" not in turns.targets()[:13]


def test_several_connections(weir, backend):
    """All of them are used while anybody waits."""
    turns = Turns(backend, 0.1)
    serve(weir, [f"{turns.address} max_conns=4"], 3)
    with Load(weir.port, "/", 20, keepalive=False):
        wait_length(weir, 16)
        turns.gate.set()
        take_time(2)
    assert len(turns.runs) > 64  # of 80


# ---- wake-ups ---------------------------------------------------------------------------------------------------

@pytest.mark.directive("queue")
@pytest.mark.parametrize("keepalive", [True, False])
def test_no_wake_up_is_lost(weir, backend, keepalive):
    turns = Turns(backend, 0.003, is_open=True)
    serve(weir, [f"{turns.address} max_conns=1"], 3)
    with Load(weir.port, "/", 9, keepalive=keepalive) as load:
        take_time(4)
    assert not load.failed and turns.longest_gap() < limit(0.3)
    assert sum(end - start for _, start, end in turns.runs) > 2  # seconds of 4
    wait_length(weir, 0)


def test_no_wake_up_is_lost_with_those_that_leave(weir, backend):
    """Clients of all workers leave the queue at any moment, perhaps just as it is their turn."""
    turns = Turns(backend, 0.005, is_open=True)
    serve(weir, [f"{turns.address} max_conns=1"], 3)
    with Load(weir.port, "/", 3) as load:
        for _ in range(100):
            leavers = [weir.connect() for _ in range(4)]
            for client in leavers:
                client.request("/leaver")
            for client in leavers:
                take_time(random.random() * 0.02)
                client.close()
    assert not load.failed and load.ok > 20
    assert turns.longest_gap() < limit(0.3)
    wait_length(weir, 0)


def test_one_that_left_hands_its_turn_on(weir, backend):
    """The oldest leaves in the moment that its turn comes: another worker's waiter goes on at once."""
    turns = Turns(backend, is_open=True)
    serve(weir, [f"{turns.address} max_conns=1"], 2)
    (first, leavers), (_, (late, holder, *_)) = spread(weir, 2, 4).items()
    for early in leavers:
        turns.gate.clear()
        occupied(weir, turns, holder)
        enqueue(weir, [early, late])
        os.kill(first, signal.SIGSTOP)
        early.close()
        turns.gate.set()
        assert holder.response().status == 200
        take_time(0.05)
        os.kill(first, signal.SIGCONT)
        assert late.response().status == 200
    assert turns.longest_gap() < limit(0.4)


# ---- the end of waiting -----------------------------------------------------------------------------------------

@pytest.mark.directive("queue")
def test_full(weir, backend):
    turns = Turns(backend)
    serve(weir, [f"{turns.address} max_conns=1"], queue="queue 3;")
    clients = [weir.connect(timeout=20) for _ in range(3)]
    holder = occupied(weir, turns)
    enqueue(weir, clients)
    assert [weir.get(timeout=3).status for _ in range(2)] == [502] * 2
    turns.gate.set()
    assert [client.response().status for client in [holder, *clients]] == [200] * 4
    now = queue(weir)
    assert (now["queued"], now["overflows"], now["timeouts"], now["length"]) == (3, 2, 0, 0)


@pytest.mark.parametrize("workers", [1, 3])
def test_timeout(weir, backend, workers):
    turns = Turns(backend)
    serve(weir, [f"{turns.address} max_conns=1"], workers, "queue 10 timeout=700ms;")
    holder, start = occupied(weir, turns), time.monotonic()
    clients = [weir.connect() for _ in range(4)]
    enqueue(weir, clients)
    assert [client.response().status for client in clients] == [502] * 4
    assert 0.65 < time.monotonic() - start < limit(1.6)
    assert queue(weir)["timeouts"] == 4 and queue(weir)["length"] == 0
    turns.gate.set()
    assert holder.response().status == 200 and weir.get().status == 200 and len(turns.runs) == 2


# ---- reloads, ends, deaths --------------------------------------------------------------------------------------

@pytest.mark.parametrize("change", ["proxy_read_timeout 33s;", "proxy_set_header X-New 1;"])
def test_reload_while_some_wait(weir, backend, change):
    turns = Turns(backend)
    serve(weir, [f"{turns.address} max_conns=1"], 3)
    clients = [client for some in spread(weir, 3, 2).values() for client in some]
    holder = occupied(weir, turns)
    enqueue(weir, clients)
    weir.reload(weir.conf.read_text().replace("proxy_pass", change + "proxy_pass"))
    newcomer = weir.connect(timeout=20)
    enqueue(weir, [newcomer], 6)
    turns.gate.set()
    assert [client.response().status for client in [holder, *clients, newcomer]] == [200] * 8
    assert turns.targets() == ["/holder", *[f"/{i}" for i in range(7)]]
    weir.wait_workers(3)
    wait_length(weir, 0)


@pytest.mark.parametrize("who", ["holder", "waiter"])
def test_killed_worker(weir, backend, who):
    """Others go on, within the second that it takes to notice the death of a connection's owner."""
    weir.expect_log("exited on signal 9")
    turns = Turns(backend)
    serve(weir, [f"{turns.address} max_conns=1"], 3)
    (a, first), (b, second), (_, third) = spread(weir, 3, 3).items()
    occupied(weir, turns, first[0])
    enqueue(weir, [second[0], third[0], second[1], third[1]])
    os.kill(a if who == "holder" else b, signal.SIGKILL)
    wait_length(weir, 3 if who == "holder" else 2)
    turns.gate.set()
    safe = [third[0], third[1]] + ([second[0], second[1]] if who == "holder" else [first[0]])
    start = time.monotonic()
    assert [client.response().status for client in safe] == [200] * len(safe)
    assert time.monotonic() - start < limit(1.5)
    weir.wait_workers(3)
    assert [weir.get().status for _ in range(3)] == [200] * 3


def test_stopped_worker_does_not_stop_others(weir, backend):
    """A worker that does not come to run while one of its requests waits: the others' requests go on as fast."""
    turns = Turns(backend, 0.005)
    serve(weir, [f"{turns.address} max_conns=1"], 2)
    (stopped, (early, *_)), (_, (holder, *others)) = spread(weir, 2, 12).items()
    occupied(weir, turns, holder)
    enqueue(weir, [early, *others])
    os.kill(stopped, signal.SIGSTOP)
    try:
        turns.gate.set()
        start = time.monotonic()
        assert [client.response().status for client in others] == [200] * 11
        assert time.monotonic() - start < limit(4)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert early.response().status == 200


@pytest.mark.parametrize("waits_too", [False, True])
def test_each_request_beside_a_stopped_worker(weir, backend, waits_too):
    """Requests that come one after the other do not wait, each anew, for one that a stopped worker has in its queue."""
    turns = Turns(backend)
    serve(weir, [f"{turns.address} max_conns=1"], 2, main="worker_stall_timeout 0;")
    (stopped, (early, *_)), (_, (holder, other, *_)) = spread(weir, 2, 4).items()
    occupied(weir, turns, holder)
    enqueue(weir, [early, other] if waits_too else [early])
    os.kill(stopped, signal.SIGSTOP)
    try:
        start = time.monotonic()
        turns.gate.set()
        assert [client.response().status for client in [holder, other][:1 + waits_too]] == [200] * (1 + waits_too)
        assert [holder.get(f"/{i}").status for i in range(10, 20)] == [200] * 10
        assert time.monotonic() - start < limit(1)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert early.response().status == 200
    wait_length(weir, 0)


def test_nobody_waits_for_the_dead(weir, backend):
    """When the servers that were busy have failed nothing is to be waited for."""
    dead, gate = threading.Event(), lambda call: (dead.wait(20), call.close())[1]
    ups = [backend(gate), backend(gate)]
    serve(weir, [f"{up.address} max_conns=1 fail_timeout=30s" for up in ups], proxy="proxy_next_upstream off;")
    holders, waiter = [weir.connect() for _ in ups], weir.connect()
    for client in holders:
        client.request("/")
    wait_until(lambda: all(up.calls for up in ups), 3, "two requests")
    enqueue(weir, [waiter])
    dead.set()
    start = time.monotonic()
    assert [client.response().status for client in [*holders, waiter]] == [502] * 3
    assert time.monotonic() - start < limit(2)


# ---- requests that have been elsewhere before -------------------------------------------------------------------

def waiting_for_the_second(weir, backend):
    """/x, refused by the first server, waits for the second, which is taken; returns what is needed to go on."""
    one = backend(lambda call: answer(b"", status="503 Busy") if call.target == "/x" else answer(b"one"))
    turns = Turns(backend)
    serve(weir, [f"{one.address} max_conns=1 max_fails=0", f"{turns.address} max_conns=1"],
          proxy="proxy_next_upstream http_503;")
    assert weir.get("/a").text == "one"
    holder, waiter = occupied(weir, turns), weir.connect(timeout=20)
    waiter.request("/x")
    wait_length(weir, 1)
    return turns, holder, waiter


@pytest.mark.directive("server")
def test_one_that_waits_for_another_server(weir, backend):
    """It does not keep others from the server that is free."""
    turns, holder, waiter = waiting_for_the_second(weir, backend)
    assert weir.get("/y", timeout=2.5).text == "one"
    turns.gate.set()
    assert waiter.response().text == "/x" and holder.response().status == 200


def test_time_in_the_queue(weir, backend):
    """Having been woken in vain counts once."""
    turns, holder, waiter = waiting_for_the_second(weir, backend)
    take_time(2.5)
    turns.gate.set()
    assert waiter.response().text == "/x" and holder.response().status == 200
    log = wait_until(lambda: re.search(r"^/x\|.*", (weir.tmp / "logs/queue.log").read_text(), re.M), 3, "a line")[0]
    assert 2.4 < float(log.split("|")[2]) < limit(3.5), log
