"""The queue of limit_concurrency: its order over workers, its bound, its time limit, and clients that leave it."""

import socket
import struct
import threading
import time

import pytest

from limits import (LOCATIONS, SPREAD, TALLY, Crowd, enqueue, highest, hold, idle, ids, logged, open_gate, runs, send,
                    serve, settled, spread, statuses, usable, zone)
from weirlib import limit, take_time, wait_until, watch
from wire import head, post

WAITS = "limit=1 queue=50 queue_timeout=20s"


def alternating(weir, workers, count):
    """So many connections, each to another worker than the one before it."""
    by_worker = list(spread(weir, workers, -(-count // workers)).values())
    return [by_worker[i % workers][i // workers] for i in range(count)]


def in_order(weir, expected):
    """They ran one after another in this order; only a worker that stood still for 100 ms may have lost its turn."""
    done = runs(weir)
    stood = any(b.start - a.end > 90_000_000 for a, b in zip(done, done[1:]))
    return highest(weir) == 1 and (ids(weir) == expected or (stood and sorted(ids(weir)) == sorted(expected)))


# ---- order --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2, 4])
def test_oldest_first_over_all_workers(weir, workers):
    """Waiters run in the order of their arrival, whichever worker they wait in, one at a time."""
    serve(weir, WAITS, workers=workers, listen=SPREAD)
    held = hold(weir, 1)
    waiting = enqueue(weir, [f"/held?id={i}&ms=5" for i in range(12)], alternating(weir, workers, 12))
    assert zone(weir)["in_flight"] == 1 and ids(weir) == []
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 13
    assert in_order(weir, [str(i) for i in range(12)])
    assert len({run.pid for run in runs(weir)}) == workers
    now = idle(weir)
    assert now["admitted"] == 13 and sum(now["rejected"].values()) == 0


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("by", ["name", "variable"])
def test_highest_priority_first(weir, workers, by):
    """Higher priorities go first over all workers; within one, the oldest."""
    locations = LOCATIONS + f"location /by {{ limit_concurrency z priority=$arg_p; {TALLY} }}"
    serve(weir, WAITS, locations, workers=workers, listen=SPREAD)
    held = hold(weir, 1)
    plan = ["low", "normal", "high"] * 4
    targets = [f"/{p}?id={p}-{i}" if by == "name" else f"/by?p={p}&id={p}-{i}" for i, p in enumerate(plan)]
    waiting = enqueue(weir, targets, alternating(weir, workers, 12))
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 13
    assert in_order(weir, [f"{p}-{i}" for p in ("high", "normal", "low") for i, q in enumerate(plan) if p == q])


def test_priority_by_default_and_by_nonsense(weir):
    """Without priority=, and with a variable that says nothing known, a request is normal."""
    locations = LOCATIONS + f"location /by {{ limit_concurrency z priority=$arg_p; {TALLY} }}"
    serve(weir, WAITS, locations)
    held = hold(weir, 1)
    waiting = enqueue(weir, ["/low?id=low", "/held?id=default", "/by?p=urgent&id=unknown", "/by?id=empty",
                             "/normal?id=normal", "/high?id=high"])
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 7
    assert ids(weir) == ["high", "default", "unknown", "empty", "normal", "low"]


def test_nobody_is_overtaken_for_long(weir):
    """Clients of one worker that ask again and again do not keep a waiter of another worker from its turn."""
    serve(weir, "limit=1 queue=50 queue_timeout=10s", workers=2, listen=SPREAD)
    (greedy, (patient, *_)), stop = spread(weir, 2, 4).values(), threading.Event()

    def ask_again(connection):
        while not stop.is_set():
            assert connection.get("/held?id=greedy&ms=10").status == 200

    asking = [threading.Thread(target=ask_again, args=[connection], daemon=True) for connection in greedy]
    for thread in asking:
        thread.start()
    sent = []
    for _ in range(8):
        sent.append(time.monotonic_ns())
        assert patient.get("/held?id=patient&ms=10").status == 200
    stop.set()
    for thread in asking:
        thread.join()
    found = runs(weir)
    for moment, turn in zip(sent, [run for run in found if run.id == "patient"], strict=True):
        assert sum(moment < run.start < turn.start for run in found) <= 6, "overtaken"


def test_queued_and_pipelined(weir):
    """Requests pipelined behind a queued one are answered after it, in order."""
    serve(weir, WAITS)
    held = hold(weir, 1)
    with weir.connect() as connection:
        targets = ("/held?id=a", "/free?id=b", "/held?id=c")
        connection.send(b"".join(head(f"GET {target} HTTP/1.1") for target in targets))
        settled(weir, queued=1)
        watch(0.1)
        assert ids(weir) == []
        open_gate(weir)
        assert [connection.response().text for _ in range(3)] == ["a", "b", "c"]
    assert statuses(held) == [200]


def test_queued_with_a_body(weir):
    """A request waits with its whole body, small or in a file, and its handler then has it."""
    serve(weir, WAITS, server="client_body_buffer_size 1k;")
    held = hold(weir, 1)
    bodies = [b"x" * 10, bytes(range(256)) * 40, b"y" * 200_000]
    connections = [weir.connect() for _ in bodies]
    for i, (connection, body) in enumerate(zip(connections, bodies)):
        connection.send(post(f"/held?id={i}", f"Content-Length: {len(body)}", body=body))
        settled(weir, queued=i + 1)
    open_gate(weir)
    assert [connection.response("POST").body for connection in connections] == bodies
    assert statuses(held) == [200]


def test_static_files_wait_too(weir):
    """A file in a limited location is sent once its turn has come."""
    serve(weir, WAITS, LOCATIONS + "location /file { limit_concurrency z; root html; }")
    (weir.tmp / "html/file").write_text("content")
    held = hold(weir, 1)
    waiting = enqueue(weir, ["/file", "/held?id=x", "/file"])
    open_gate(weir)
    assert [connection.response().text for connection in waiting] == ["content", "x", "content"]
    assert statuses(held) == [200]
    idle(weir)


# ---- bound --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2, 4])
def test_bound_over_all_workers(weir, workers):
    """Of many requests at a time exactly limit and queue stay; every other is refused at once with queue_full."""
    serve(weir, "limit=2 queue=7 queue_timeout=20s", workers=workers, listen=SPREAD)
    connections = [one for some in spread(weir, workers, 40 // workers).values() for one in some]
    send(weir, [f"/held?id={i}&gate=g" for i in range(40)], connections)
    now = settled(weir, in_flight=2, queued=7, rejected={"queue_full": 31})
    assert sum(now["rejected"].values()) == 31
    wait_until(lambda: len(runs(weir)) == 2, 3, "two handlers")
    open_gate(weir)
    found = statuses(connections)
    assert (found.count(200), found.count(503)) == (9, 31)
    assert highest(weir) == 2 and len(runs(weir)) == 9
    assert idle(weir)["admitted"] == 9


def test_queue_of_zero_is_the_default(weir):
    """Without queue= nobody waits; the reason is limit, not queue_full."""
    serve(weir, "limit=1 queue_timeout=5s")
    held = hold(weir, 1)
    assert weir.get("/held").status == 503
    assert zone(weir)["rejected"] == dict.fromkeys(zone(weir)["rejected"], 0) | {"limit": 1}
    open_gate(weir)
    assert statuses(held) == [200]


@pytest.mark.parametrize("workers", [1, 2])
def test_full_queue_gives_way_to_higher_priority(weir, workers):
    """For a higher priority the newest waiter of the lowest is refused; an equal or lower one is refused itself."""
    serve(weir, "limit=1 queue=3 queue_timeout=20s", workers=workers, listen=SPREAD)
    held = hold(weir, 1)
    spare = alternating(weir, workers, 8)
    normal, first, second = enqueue(weir, ["/normal?id=n1", "/low?id=l1", "/low?id=l2"], spare[:3])
    [late] = send(weir, ["/low?id=l3"], spare[3:4])
    assert late.response().status == 503

    [high] = send(weir, ["/high?id=h1"], spare[4:5])
    refused = second.response()
    assert refused.status == 503 and refused.header("retry-after")
    [better] = send(weir, ["/normal?id=n2"], spare[5:6])
    assert first.response().status == 503
    [equal] = send(weir, ["/normal?id=n3"], spare[6:7])
    assert equal.response().status == 503
    [higher] = send(weir, ["/high?id=h2"], spare[7:8])
    assert better.response().status == 503
    now = settled(weir, in_flight=1, queued=3, rejected={"queue_full": 5})
    assert sum(now["rejected"].values()) == 5

    assert second.get("/free?id=held").status == 200  # the connection of who gave way is usable
    open_gate(weir)
    assert statuses(held + [high, higher, normal]) == [200] * 4
    assert ids(weir) == ["h1", "h2", "n1"]


# ---- time ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
def test_queue_timeout(weir, workers):
    """Who waits longer than queue_timeout is refused in time, counted, and never runs; the connection stays usable."""
    serve(weir, "limit=1 queue=10 queue_timeout=300ms", workers=workers, listen=SPREAD)
    held = hold(weir, 1)
    waiting, begun = alternating(weir, workers, 4), []
    for i, connection in enumerate(waiting):
        begun.append(time.monotonic())
        send(weir, [f"/held?id={i}"], [connection])
    for connection, start in zip(waiting, begun):
        refused = connection.response()
        assert refused.status == 503 and refused.header("retry-after")
        assert 0.29 < time.monotonic() - start < limit(0.8)
    settled(weir, in_flight=1, queued=0, rejected={"queue_timeout": 4, "queue_full": 0, "limit": 0})
    assert all(connection.get("/free?id=held").status == 200 for connection in waiting)
    open_gate(weir)
    assert statuses(held) == [200]
    assert ids(weir) == [] and waiting[0].get("/held?id=after").text == "after"


def test_queue_timeout_is_a_second_by_default(weir):
    """Without queue_timeout= nobody waits longer than a second."""
    serve(weir, "limit=1 queue=10")
    held = hold(weir, 1)
    start = time.monotonic()
    assert weir.get("/held").status == 503
    assert 0.95 < time.monotonic() - start < limit(1.6)
    open_gate(weir)
    assert statuses(held) == [200]


def test_timeout_makes_room(weir):
    """A place in the queue is free again once its waiter's time is over."""
    serve(weir, "limit=1 queue=1 queue_timeout=400ms")
    held = hold(weir, 1)
    [first] = enqueue(weir, ["/held?id=first"])
    assert weir.get("/held?id=second").status == 503
    assert first.response().status == 503
    [third] = enqueue(weir, ["/held?id=third"])
    open_gate(weir)
    assert statuses(held + [third]) == [200, 200]
    assert ids(weir) == ["third"]


# ---- clients that leave -------------------------------------------------------------------------------------

def leave(connection, how):
    if how == "reset":
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "with more":
        connection.send(head("GET /free?id=more HTTP/1.1"))
        take_time(0.05)
    connection.close()


@pytest.mark.parametrize("how", ["close", "reset", "with more"])
def test_waiter_that_leaves_never_runs(weir, how):
    """A waiter whose client has gone is dropped at once, counted as client_gone, and never runs."""
    serve(weir, WAITS, workers=2, listen=SPREAD)
    held = hold(weir, 1)
    waiting = enqueue(weir, [f"/held?id={i}" for i in range(6)], alternating(weir, 2, 6))
    for connection in waiting[1:4]:
        leave(connection, how)
    now = settled(weir, in_flight=1, queued=3, rejected={"client_gone": 3})
    assert sum(now["rejected"].values()) == 3
    said = [tuple(fields[1:4]) for fields in logged(weir, r"/held\?id=[123]$", 3)]
    assert said == [("499", "REJECTED", "client_gone")] * 3
    open_gate(weir)
    assert statuses(held + [waiting[i] for i in (0, 4, 5)]) == [200] * 4
    assert ids(weir) == ["0", "4", "5"]
    usable(weir, 1)


def test_all_waiters_leave(weir):
    """When every waiter leaves, the queue is empty and the permit goes to whoever comes next."""
    serve(weir, WAITS, workers=2, listen=SPREAD)
    held = hold(weir, 1)
    for connection in enqueue(weir, ["/held?id=x"] * 10, alternating(weir, 2, 10)):
        connection.close()
    settled(weir, queued=0, rejected={"client_gone": 10})
    open_gate(weir)
    assert statuses(held) == [200]
    usable(weir, 1)
    assert "x" not in ids(weir)


def test_waiters_leave_while_permits_move(weir):
    """Clients that leave just when their turn comes cost no permit: after many such races all can be had."""
    serve(weir, "limit=3 queue=100 queue_timeout=5s", workers=2, listen=SPREAD)
    stay = [weir.connect() for _ in range(6)]
    for turn in range(30):
        send(weir, ["/held?id=stay&ms=3"] * 6, stay)
        leaving = send(weir, ["/held?id=leave&ms=3"] * 6)
        take_time(0.001 * (turn % 10))
        for connection in leaving:
            connection.close()
        assert statuses(stay) == [200] * 6
    assert idle(weir)["admitted"] >= len(runs(weir)) and highest(weir) <= 3
    usable(weir, 3)


# ---- overload -----------------------------------------------------------------------------------------------

def test_codel_keeps_the_queue_short(weir):
    """Under lasting overload policy=codel refuses some with the reason codel, serves others soon, and recovers."""
    serve(weir, "limit=2 queue=100 queue_timeout=10s policy=codel")
    with Crowd(weir.port, 24, "/held?ms=10", rest=0.05) as crowd:
        wait_until(lambda: zone(weir)["rejected"]["codel"] > 20 and crowd.answers[200] > 20, 5, "refusals by codel, and answers")
    assert not crowd.broken and set(crowd.answers) == {200, 503}
    now = idle(weir)
    assert now["rejected"]["codel"] == sum(now["rejected"].values()) == crowd.answers[503]
    assert highest(weir) <= 2
    usable(weir, 2)


def test_codel_spares_a_short_burst(weir):
    """policy=codel refuses nobody when a short burst has to wait once."""
    serve(weir, "limit=2 queue=100 queue_timeout=10s policy=codel")
    burst = send(weir, ["/held?ms=5"] * 10)
    assert statuses(burst) == [200] * 10
    assert sum(idle(weir)["rejected"].values()) == 0


def test_throughput_with_waiters(weir):
    """With waiters all the time no permit rests: the work is done in little more than its own time."""
    serve(weir, "limit=4 queue=200 queue_timeout=20s", workers=2, listen=SPREAD)
    clients = alternating(weir, 2, 80)
    start = time.monotonic()
    send(weir, ["/held?ms=50"] * 80, clients)
    assert statuses(clients) == [200] * 80
    assert 0.99 < time.monotonic() - start < limit(2)
    assert highest(weir) == 4


def test_queue_is_empty_after_a_crowd(weir):
    """A crowd that queues, times out and is refused leaves exact counters and every permit."""
    serve(weir, "limit=4 queue=10 queue_timeout=50ms", workers=2, listen=SPREAD)
    with Crowd(weir.port, 40, "/held?ms=15", rest=0.05) as crowd:
        take_time(1.5)
    assert not crowd.broken and set(crowd.answers) == {200, 503}
    now = idle(weir)
    assert now["admitted"] == len(runs(weir)) == crowd.answers[200]
    assert sum(now["rejected"].values()) == crowd.answers[503]
    assert highest(weir) <= 4
    usable(weir, 4)
