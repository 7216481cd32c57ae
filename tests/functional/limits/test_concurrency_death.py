"""Limits when processes end: killed workers, crashing handlers, shutdown, and long runs with all of it at once."""

import contextlib
import os
import random
import signal
import time

import pytest

from limits import (LOCATIONS, SPREAD, Crowd, enqueue, highest, hold, idle, ids, limited, open_gate, runs, send, serve,
                    settled, spread, status, statuses, usable, used, zone)
from weirlib import alive, limit, proc_field, refused, take_time, wait_until, watch

WAITS = "queue=50 queue_timeout=20s"


def kill(weir, pid):
    """kill -9; returns the moment just before, in nanoseconds."""
    moment = time.monotonic_ns()
    with contextlib.suppress(ProcessLookupError):  # it may just have ended by itself
        os.kill(pid, signal.SIGKILL)
    return moment


def serve_killed(weir, parameters, **parts):
    weir.expect_log("exited on signal")
    return serve(weir, parameters, **{"listen": SPREAD, **parts})


# ---- killed workers -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2, 4])
def test_killed_holder(weir, workers):
    """The permits of a killed worker are back within a second and counted as reclaimed."""
    serve_killed(weir, "limit=3", workers=workers)
    victim, connections = next(iter(spread(weir, workers, 3).items()))
    hold(weir, 3, connections=connections)
    kill(weir, victim)
    now = settled(weir, 1, in_flight=0)
    assert (now["reclaimed"], now["queued"], now["admitted"]) == (3, 0, 3)
    assert all(b" 200 " not in connection.until_close() for connection in connections)
    weir.wait_workers(workers)
    usable(weir, 3)


def test_waiters_elsewhere_get_a_killed_workers_permits(weir):
    """Waiters in other workers get the permits of a killed one within a second, the oldest first."""
    serve_killed(weir, f"limit=2 {WAITS}", workers=4)
    (victim, holders), *others = spread(weir, 4, 2).items()
    hold(weir, 2, connections=holders)
    clients = [one for group in zip(*(some for _, some in others)) for one in group]
    enqueue(weir, [f"/held?id={i}&gate=w" for i in range(6)], clients)
    kill(weir, victim)
    now = settled(weir, 1, in_flight=2, queued=4)
    assert now["reclaimed"] == 2
    wait_until(lambda: sorted(ids(weir)) == ["0", "1"], 1, "the two oldest run")
    open_gate(weir, "w")
    assert statuses(clients) == [200] * 6
    assert highest(weir, {victim: 0}) <= 2
    usable(weir, 2)


def test_killed_holder_with_waiters_of_its_own(weir):
    """Waiters of a killed worker go with it; those of others are served in their order, and never a dead one's turn."""
    serve_killed(weir, f"limit=1 {WAITS}", workers=2)
    (victim, doomed), (_, safe) = spread(weir, 2, 4).items()
    hold(weir, 1, connections=doomed[:1])
    order = [one for pair in zip(doomed[1:], safe) for one in pair]
    enqueue(weir, [f"/held?id={i}&ms=5" for i in range(6)], order)
    kill(weir, victim)
    start = time.monotonic()
    assert statuses(safe[:3]) == [200] * 3
    assert time.monotonic() - start < limit(1.5)
    assert ids(weir) == ["1", "3", "5"]
    assert idle(weir)["reclaimed"] == 1
    assert all(connection.until_close() == b"" for connection in doomed)
    weir.wait_workers(2)
    usable(weir, 1)


def test_killed_worker_with_waiters_only(weir):
    """A killed worker that only waits frees its places in the queue; holders and other waiters go on."""
    serve_killed(weir, "limit=1 queue=4 queue_timeout=20s", workers=2)
    (victim, doomed), (_, safe) = spread(weir, 2, 5).items()
    hold(weir, 1, connections=safe[:1])
    enqueue(weir, [f"/held?id={i}" for i in range(4)], [doomed[0], safe[1], doomed[1], doomed[2]])
    [full] = send(weir, ["/held"], safe[2:3])
    assert full.response().status == 503
    kill(weir, victim)
    now = settled(weir, 1, in_flight=1, queued=1)
    assert now["reclaimed"] == 0
    enqueue(weir, ["/held?id=more"], safe[2:3])
    open_gate(weir)
    assert statuses(safe[:3]) == [200] * 3
    assert ids(weir) == ["1", "more"]
    weir.wait_workers(2)
    usable(weir, 1)


def test_all_workers_killed_at_once(weir):
    """When every worker dies at once nothing is left of what they held, and new ones serve."""
    serve_killed(weir, f"limit=4 {WAITS}", workers=4)
    clients = [one for some in spread(weir, 4, 3).values() for one in some]
    hold(weir, 4, connections=clients[::3])
    waiting = [one for i, one in enumerate(clients) if i % 3]
    enqueue(weir, ["/held?id=doomed"] * 8, waiting)
    for pid in weir.worker_pids():
        kill(weir, pid)
    weir.wait_workers(4)
    now = settled(weir, 1, in_flight=0, queued=0)
    assert 4 <= now["reclaimed"] <= 12  # a permit of the first may have gone to a waiter of the next
    usable(weir, 4)


def test_killed_again_and_again(weir):
    """The same slot dies three times with permits: each time they come back, and the sum is right."""
    serve_killed(weir, f"limit=2 {WAITS}", workers=1)
    for turn in range(3):
        hold(weir, 2)
        enqueue(weir, ["/held?id=doomed"])
        [victim] = weir.worker_pids()
        kill(weir, victim)
        weir.wait_workers(1)
        assert settled(weir, 1, in_flight=0, queued=0)["reclaimed"] == 2 * (turn + 1)
    usable(weir, 2)


def test_killed_old_worker(weir):
    """An old generation's worker that is killed gives its permits to the waiters of the new one."""
    serve_killed(weir, f"limit=2 {WAITS}", listen="127.0.0.1:{port}")
    hold(weir, 2)
    enqueue(weir, ["/held?id=doomed"])
    [old] = weir.worker_pids()
    weir.reload(limited(f"limit=2 {WAITS}", LOCATIONS + "location /new { return 204; }"))
    weir.wait_log("gracefully shutting down")  # it accepts nothing any more
    assert weir.get("/new").status == 204
    waiting = enqueue(weir, ["/held?id=a", "/held?id=b"])
    kill(weir, old)
    assert statuses(waiting) == [200, 200]
    assert idle(weir, 1)["reclaimed"] == 2 and sorted(ids(weir)) == ["a", "b"]
    usable(weir, 2)


def test_handler_that_kills_its_worker(weir):
    """A handler that takes its worker down costs no permit."""
    serve_killed(weir, f"limit=2 {WAITS}", workers=2)
    for turn in range(2):
        with weir.connect() as connection:
            connection.request("/held?die=1&id=held")
            assert connection.until_close() == b""
        settled(weir, 1, in_flight=0, reclaimed=turn + 1)
    weir.wait_workers(2)
    usable(weir, 2)


def test_list_forgets_the_dead(weir):
    """The list of requests has none of a killed worker, though its slot is in use again."""
    serve_killed(weir, "limit=3", workers=2)
    (victim, doomed), (_, safe) = spread(weir, 2, 1).items()
    hold(weir, 1, "/held?id=held&gate=g", connections=doomed)
    hold(weir, 1, "/held/safe?id=held&gate=g", connections=safe)
    kill(weir, victim)
    weir.wait_workers(2)
    settled(weir, 1, in_flight=1)
    [entry] = status(weir, "/status?format=json&in_flight=1")["concurrency"]["z"]["requests"]
    assert entry["uri"].startswith("/held/safe")
    open_gate(weir)
    assert statuses(safe) == [200]
    usable(weir, 3)


def test_stopped_worker_is_killed(weir):
    """Permits of a worker that hangs stay taken while it lives, and come back when it is killed."""
    serve_killed(weir, f"limit=1 {WAITS}", workers=2, listen="127.0.0.1:{port}")
    [holder] = hold(weir, 1)
    victim = runs(weir, but=None)[0].pid
    os.kill(victim, signal.SIGSTOP)
    try:
        wait_until(lambda: proc_field(victim, "State").startswith("T"), 3, "a stopped worker")
        [waiter] = enqueue(weir, ["/held?id=waits"])
        watch(0.5)
        assert zone(weir)["in_flight"] == 1 and ids(weir) == []
    finally:
        kill(weir, victim)
    assert waiter.response().status == 200
    assert holder.until_close() == b""
    usable(weir, 1)


# ---- shutdown -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
def test_term_with_waiters(weir, workers):
    """TERM ends the server at once; each waiter has a 503 or a closed connection, and none runs."""
    serve(weir, f"limit=1 {WAITS}", workers=workers, listen=SPREAD)
    held = hold(weir, 1)
    waiting = enqueue(weir, ["/held?id=waits"] * 6)
    assert weir.stop(2) == 0
    for connection in held + waiting:
        answer = connection.until_close()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503 ") and answer.count(b"HTTP/1.1") == 1
    assert ids(weir) == []


@pytest.mark.parametrize("connections", ["new", "used"])
def test_quit_serves_waiters(weir, connections):
    """QUIT takes no new connections, but who waits already is served, on new connections and on used ones."""
    serve(weir, f"limit=1 {WAITS}", workers=2, listen=SPREAD)
    held = hold(weir, 1, connections=used(weir, 1) if connections == "used" else None)
    waiting = enqueue(weir, [f"/held?id={i}" for i in range(4)], used(weir, 4) if connections == "used" else None)
    weir.signal(signal.SIGQUIT)
    wait_until(lambda: refused(weir.port), 2, "a closed listener")
    watch(0.5)
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 5
    assert ids(weir) == ["0", "1", "2", "3"]
    assert weir.wait_exit(3) == 0


@pytest.mark.directive("worker_shutdown_timeout")
def test_quit_ends_at_the_shutdown_timeout(weir):
    """QUIT does not wait longer than worker_shutdown_timeout for holders and waiters."""
    serve(weir, f"limit=1 {WAITS}", main="worker_shutdown_timeout 1s;")
    clients = hold(weir, 1) + enqueue(weir, ["/held?id=waits"] * 3)
    weir.signal(signal.SIGQUIT)
    assert weir.wait_exit(3) == 0
    for connection in clients:
        answer = connection.until_close()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503 ")
    assert ids(weir) == []


def test_waiters_outlive_the_master(weir):
    """When the master dies its workers finish, and that includes who waits."""
    weir.expect_log("the master is gone")
    serve(weir, f"limit=1 {WAITS}", workers=2, listen=SPREAD)
    held = hold(weir, 1)
    waiting = enqueue(weir, [f"/held?id={i}" for i in range(4)])
    workers = weir.worker_pids()
    os.kill(weir.pid, signal.SIGKILL)
    weir.wait_log("the master is gone")
    watch(0.5)
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 5
    assert ids(weir) == ["0", "1", "2", "3"]
    weir.wait_dead(workers, 3)


# ---- long runs ----------------------------------------------------------------------------------------------

SOAK = dict(workers=4, listen=SPREAD, pool="threads=16 max_queue=1000", server="keepalive_requests 100000;",
            log="error", main="worker_shutdown_timeout 5s;")


def soaked(parameters="limit=8 queue=100 queue_timeout=5s", answer="0"):
    return limited(parameters, LOCATIONS + f"location /new {{ return 200 {answer}; }}",
                   **SOAK).replace("access_log logs/limits.log limits;", "")


def reloads(weir, until, killed=None):
    """HUP twice a second: in place, respawn, in place, ...; returns how many of each kind were taken."""
    kinds, turn = {"in-place": 0, "respawn": 0}, 0
    while time.monotonic() < until or min(kinds.values()) < 2:
        turn += 1
        queue = 100 - turn % 3
        weir.write(soaked(f"limit={8 if turn % 4 else 6} queue={queue} queue_timeout=5s", str(turn // 2)))
        count = status(weir)["reload"]
        weir.signal(signal.SIGHUP)
        wait_until(lambda: status(weir)["reload"]["count"] > count["count"], 5, "the reload")
        now = status(weir)["reload"]
        assert now["last_ok"] is True
        kinds[now["last_kind"]] += 1
        if killed is not None and (victims := list(weir.worker_pids())):
            victim = random.choice(victims)
            killed[victim] = kill(weir, victim)
        take_time(limit(0.4))
    return kinds


def all_there_again(weir):
    """At rest nothing is held or awaited, and exactly eight permits can be had."""
    weir.reload(soaked(answer="last"))
    weir.wait_workers(4, 8)
    idle(weir, 3)
    usable(weir, 8)


def test_reloads_under_load(weir):
    """200 clients, limit 8, 4 workers, reloads of both kinds: never more than eight at a time, no request lost."""
    weir.start(soaked())
    weir.wait_workers(4)
    with Crowd(weir.port, 200, "/held?ms=10") as crowd:
        kinds = reloads(weir, time.monotonic() + 6)
    assert min(kinds.values()) >= 2, kinds
    assert highest(weir) <= 8
    assert not crowd.broken and set(crowd.answers) <= {200, 503} and crowd.answers[200] > 200
    now = idle(weir)
    assert now["reclaimed"] == 0 and now["admitted"] == len(runs(weir)) == crowd.answers[200]
    assert sum(now["rejected"].values()) == crowd.answers[503]
    assert all(run.end for run in runs(weir))
    all_there_again(weir)


def test_kills_under_load(weir):
    """200 clients while workers are killed at random: never more than eight at a time, and every permit comes back."""
    weir.expect_log("exited on signal")
    weir.start(soaked())
    weir.wait_workers(4)
    killed, until = {}, time.monotonic() + 5
    with Crowd(weir.port, 200, "/held?ms=20") as crowd:
        while time.monotonic() < until:
            take_time(limit(0.3 + 0.3 * random.random()))
            victim = random.choice(list(weir.worker_pids()))
            killed[victim] = kill(weir, victim)
    assert highest(weir, killed) <= 8
    assert set(crowd.answers) <= {200, 503} and crowd.answers[200] > 100
    assert "TimeoutError" not in str(crowd.broken), "somebody was left waiting"
    assert idle(weir, 2)["reclaimed"] <= 8 * len(killed)
    weir.wait_workers(4, 12)
    assert all(run.end or run.pid in killed for run in runs(weir))
    all_there_again(weir)


def test_kills_in_quick_succession(weir):
    """Twelve busy workers, one killed every 60 ms: permits are neither lost nor doubled, and nobody waits in vain."""
    serve_killed(weir, "limit=3 queue=8 queue_timeout=5s", workers=12, log="error")
    born, killed, until = {}, {}, time.monotonic() + 4
    with Crowd(weir.port, 40, "/held?ms=1", rest=0.03) as crowd:
        while time.monotonic() < until:
            take_time(0.06)
            now = time.monotonic()
            pids = weir.worker_pids()
            born |= {pid: now for pid in pids if pid not in born}
            grown = [pid for pid in pids if now - born[pid] > 1.1]  # younger ones come back with a pause
            if grown:
                victim = random.choice(grown)
                killed[victim] = kill(weir, victim)
    assert killed and highest(weir, killed) <= 3
    assert set(crowd.answers) <= {200, 503} and crowd.answers[200] > 100
    assert "TimeoutError" not in str(crowd.broken), "somebody was left waiting"
    idle(weir, 1)
    weir.wait_workers(12)
    usable(weir, 3)


def test_kills_and_reloads_under_load(weir):
    """Reloads of both kinds and kills at once: still never more than eight, and every permit comes back."""
    weir.expect_log("exited on signal|did not become ready|not ready")
    weir.start(soaked())
    weir.wait_workers(4)
    killed = {}
    with Crowd(weir.port, 200, "/held?ms=20") as crowd:
        reloads(weir, time.monotonic() + 5, killed)
    assert killed and highest(weir, killed) <= 8
    assert set(crowd.answers) <= {200, 503} and crowd.answers[200] > 100
    assert "TimeoutError" not in str(crowd.broken), "somebody was left waiting"
    idle(weir, 2)
    all_there_again(weir)
    assert not any(alive(pid) for pid in killed)
