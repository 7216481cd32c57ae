"""Limits at awkward moments: a worker that stands still when its turn comes, full pools, other timeouts, idle cost."""

import os
import random
import signal
import socket
import struct
import time

import pytest

import weirlib
from limits import (LOCATIONS, SPREAD, TALLY, Crowd, enqueue, highest, hold, idle, ids, limited, logged, open_gate,
                    runs, send, serve, settled, spread, statuses, stopped, usable, used, zone)
from weirlib import cpu_seconds, let_pass, limit, take_time, wait_until, watch

WAITS = "limit=1 queue=50 queue_timeout=20s"


def two_workers(weir, parameters=WAITS):
    """A server of two workers, the connection that holds the only permit, (pid, connections) of the other worker."""
    serve(weir, parameters, workers=2, listen=SPREAD)
    (_, here), (other, there) = spread(weir, 2, 4).items()
    hold(weir, 1, connections=here[:1])
    return here, other, there


# ---- a worker that stands still -----------------------------------------------------------------------------

def test_turn_of_a_worker_that_stands_still(weir):
    """A waiter whose worker stands still when its turn comes runs when the worker goes on; nobody is forgotten."""
    here, other, there = two_workers(weir)
    enqueue(weir, ["/held?id=there", "/held?id=here"], [there[0], here[1]])
    with stopped(other):
        open_gate(weir)
        assert here[0].response().status == 200
        take_time(0.3)
    assert statuses([there[0], here[1]]) == [200, 200]
    assert highest(weir) == 1
    usable(weir, 1)


def test_killed_just_when_its_turn_had_come(weir):
    """A worker that dies between being given a permit and using it costs nobody else their turn."""
    weir.expect_log("exited on signal")
    here, other, there = two_workers(weir)
    enqueue(weir, ["/held?id=there", "/held?id=here1", "/held?id=there", "/held?id=here2"],
            [there[0], here[1], there[1], here[2]])
    with stopped(other):
        open_gate(weir)
        assert here[0].response().status == 200
        take_time(0.1)
        os.kill(other, signal.SIGKILL)
        start = time.monotonic()
        assert statuses(here[1:3]) == [200, 200]
        assert time.monotonic() - start < limit(1)
    assert ids(weir) == ["here1", "here2"]
    weir.wait_workers(2)
    usable(weir, 1)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_leaves_just_when_its_turn_has_come(weir, how):
    """A client that is gone before its worker notices its turn passes the permit on."""
    here, other, there = two_workers(weir)
    enqueue(weir, ["/held?id=leaver", "/held?id=here"], [there[0], here[1]])
    with stopped(other):
        if how == "reset":
            there[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there[0].close()
        open_gate(weir)
        assert here[0].response().status == 200
        take_time(0.1)
    assert here[1].response().status == 200
    [fields] = logged(weir, r"/held\?id=leaver")
    assert idle(weir)["rejected"]["client_gone"] == (fields[3] == "client_gone"), fields
    usable(weir, 1)


def test_time_is_over_just_when_its_turn_has_come(weir):
    """A waiter whose time ends together with its turn is either served or refused, and the permit goes on."""
    here, other, there = two_workers(weir, "limit=1 queue=50 queue_timeout=1s")
    enqueue(weir, ["/held?id=there"], there[:1])
    take_time(0.3)
    with stopped(other):
        open_gate(weir)
        assert here[0].response().status == 200
        let_pass(0.9)
    code = there[0].response().status
    assert code in (200, 503)
    assert here[1].get("/held?id=here").status == 200
    assert ids(weir) == (["there", "here"] if code == 200 else ["here"])
    usable(weir, 1)


def test_pauses_under_load(weir):
    """While workers are stopped and continued at random, never more than the limit run and nobody is forgotten."""
    serve(weir, "limit=4 queue=100 queue_timeout=10s", workers=3, listen=SPREAD, server="keepalive_requests 100000;")
    workers, until = sorted(weir.worker_pids()), time.monotonic() + 4
    with Crowd(weir.port, 40, "/held?ms=5") as crowd:
        take_time(0.2)
        while time.monotonic() < until:
            with stopped(random.choice(workers)):
                take_time(random.choice((0, 0.002, 0.01, 0.05)))
            take_time(0.01 * random.random())
    assert not crowd.broken and set(crowd.answers) == {200} and crowd.longest < limit(5)
    assert highest(weir) <= 4
    now = idle(weir)
    assert now["admitted"] == len(runs(weir)) == crowd.answers[200] and now["reclaimed"] == 0
    usable(weir, 4)


# ---- with other bounds --------------------------------------------------------------------------------------

def test_full_pool_gives_the_permit_back(weir):
    """Who is admitted but refused by a full pool keeps no permit."""
    serve(weir, "limit=5 queue=5 queue_timeout=20s", pool="threads=1 max_queue=1")
    held = hold(weir, 1)
    [second] = send(weir, ["/held?id=second"])
    wait_until(lambda: weir.pool()["queue"]["length"] == 1, 3, "a full pool")
    assert [weir.get("/held?id=refused").status for _ in range(10)] == [503] * 10
    now = settled(weir, in_flight=2, queued=0)
    assert sum(now["rejected"].values()) == 0
    open_gate(weir)
    assert statuses(held + [second]) == [200, 200]
    assert idle(weir)["admitted"] == 12 and ids(weir) == ["second"]


def test_pool_timeout_gives_the_permit_back(weir):
    """Who is admitted but waits too long for a thread keeps no permit."""
    serve(weir, "limit=3", pool="threads=1 max_queue=10 queue_timeout=200ms")
    held = hold(weir, 1)
    late = send(weir, ["/held"] * 2)
    assert statuses(late) == [503, 503]
    settled(weir, in_flight=1)
    open_gate(weir)
    assert statuses(held) == [200]
    idle(weir)


def test_client_leaves_a_full_pool(weir):
    """A client that leaves while its request waits for a thread gives its permit back at once."""
    serve(weir, "limit=2", pool="threads=1 max_queue=10")
    held = hold(weir, 1)
    [leaver] = hold(weir, 1, "/held?id=leaver")
    leaver.close()
    settled(weir, in_flight=1, queued=0)
    open_gate(weir)
    assert statuses(held) == [200] and ids(weir) == []
    idle(weir)


def test_other_timeouts_do_not_end_waiting(weir):
    """The times of keep-alive, header, body and sending do not run for a request that waits in the queue."""
    directives = ("keepalive_timeout", "send_timeout", "client_body_timeout", "client_header_timeout")
    serve(weir, WAITS, server="".join(f"{directive} 1s;" for directive in directives))
    held = hold(weir, 1)
    waiting = enqueue(weir, ["/held?id=a", "/held?id=b"], [weir.connect(), *used(weir, 1)])
    let_pass(1.5)
    assert zone(weir)["queued"] == 2
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 3


@pytest.mark.parametrize("connections", ["new", "used"])
def test_waiters_do_not_make_room_for_new_connections(weir, connections):
    """When worker_connections run out, idle connections make room, not those whose requests run or wait."""
    weir.expect_log("worker_connections are not enough")
    serve(weir, WAITS, connections=32)
    held = hold(weir, 1, connections=used(weir, 1) if connections == "used" else None)
    waiting = enqueue(weir, [f"/held?id={i}" for i in range(5)], used(weir, 5) if connections == "used" else None)
    strangers = []
    for _ in range(60):
        strangers.append(weir.connect())
        strangers[-1].get("/free?id=held")
    assert settled(weir, in_flight=1)["queued"] == 5
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 6


def test_zone_shared_by_servers(weir):
    """Two servers that use one zone share its permits, and its queue is one queue."""
    http = "server { listen 127.0.0.1:{port2}; access_log off; " + LOCATIONS + "}"
    serve(weir, WAITS, http=http)
    held = hold(weir, 1)
    clients = [weir.connect(port) for port in (weir.port, weir.port2) * 3]
    enqueue(weir, [f"/held?id={i}" for i in range(6)], clients)
    open_gate(weir)
    assert statuses(held + clients) == [200] * 7
    assert ids(weir) == [str(i) for i in range(6)]


TWO_QUEUES = f"""
    location /both {{ limit_concurrency a; limit_concurrency b; {TALLY} }}
    location /a {{ limit_concurrency a; {TALLY} }}
    location /b {{ limit_concurrency b; {TALLY} }}
"""


def test_waiting_in_two_zones(weir):
    """A request may wait in one zone and then in the next; its waits add up, and it runs once, with both permits."""
    serve(weir, None, TWO_QUEUES, http="limit_concurrency_zone a limit=1 queue=5 queue_timeout=20s;"
                                       "limit_concurrency_zone b limit=1 queue=5 queue_timeout=20s;")
    [first] = hold(weir, 1, "/a?id=held&gate=a", "a")
    [second] = hold(weir, 1, "/b?id=held&gate=b", "b")
    [waiter] = send(weir, ["/both?id=waiter"])
    wait_until(lambda: zone(weir, "a")["queued"] + zone(weir, "b")["queued"] == 1, 3, "a waiter")
    watch(0.2)
    open_gate(weir, "a")
    settled(weir, name="a", in_flight=1, queued=0)
    settled(weir, name="b", in_flight=1, queued=1)
    watch(0.2)
    assert ids(weir) == []
    open_gate(weir, "b")
    assert statuses([first, second, waiter]) == [200] * 3
    idle(weir, name="a"), idle(weir, name="b")
    [fields] = logged(weir, "/both")
    assert fields[2] == "QUEUED" and 0.4 <= float(fields[4]) < limit(2)


@pytest.mark.parametrize("how", ["leaves", "times out"])
def test_refused_while_waiting_in_the_second_zone(weir, how):
    """Who leaves or times out while it waits in the second zone gives back the permit of the first."""
    timeout = "300ms" if how == "times out" else "20s"
    serve(weir, None, TWO_QUEUES, http="limit_concurrency_zone a limit=1;"
                                       f"limit_concurrency_zone b limit=1 queue=5 queue_timeout={timeout};")
    held = hold(weir, 1, "/b?id=held&gate=g", "b")
    [waiter] = enqueue(weir, ["/both?id=waiter"], name="b")
    assert weir.get("/a").status == 503
    if how == "leaves":
        waiter.close()
    else:
        assert waiter.response().status == 503
    idle(weir, name="a")
    assert weir.get("/a").status == 200
    reason = "client_gone" if how == "leaves" else "queue_timeout"
    assert settled(weir, name="b", in_flight=1, queued=0)["rejected"][reason] == 1
    open_gate(weir)
    assert statuses(held) == [200] and ids(weir) == ["-"]
    idle(weir, name="b")


def test_abandoned_handler_of_an_old_worker(weir):
    """A handler whose client has left goes on through a respawn: its permit is taken as long as it runs."""
    serve(weir, "limit=1")
    [old] = weir.worker_pids()
    [leaver] = hold(weir, 1)
    leaver.close()
    weir.reload(limited("limit=1", LOCATIONS + "location /new { return 204; }"))
    wait_until(lambda: weir.get("/new").status == 204, 5, "the new worker")
    watch(0.3)
    assert weirlib.alive(old) == (zone(weir)["in_flight"] == 1)
    if weirlib.alive(old):
        assert weir.get("/held").status == 503
    open_gate(weir)
    weir.wait_dead([old], 3)
    usable(weir, 1)


# ---- cost ---------------------------------------------------------------------------------------------------

def test_waiting_costs_nothing(weir):
    """Workers whose requests wait for permits use no time for it."""
    serve(weir, WAITS, LOCATIONS + "location /sleep { limit_concurrency z; handler sleep; }", workers=2, listen=SPREAD)
    (_, here), (_, there) = spread(weir, 2, 8).items()
    held = hold(weir, 1, "/sleep?ms=1800", connections=here[:1])
    waiting = enqueue(weir, ["/sleep?ms=1"] * 15, here[1:] + there)
    before = sum(map(cpu_seconds, weir.worker_pids()))
    watch(1)
    assert sum(map(cpu_seconds, weir.worker_pids())) - before <= limit(0.05)
    assert statuses(held + waiting) == [200] * 16


def test_logged_once(weir):
    """Each request that waited, was refused or left has one line in the access log."""
    serve(weir, "limit=1 queue=2 queue_timeout=300ms")
    held = hold(weir, 1)
    late, gone = enqueue(weir, ["/held?id=late", "/held?id=gone"])
    assert weir.get("/held?id=full").status == 503
    gone.close()
    assert late.response().status == 503
    open_gate(weir)
    assert statuses(held) == [200]
    lines = logged(weir, "/held", 4)
    assert sorted(fields[1] for fields in lines) == ["200", "499", "503", "503"]
