"""Reloads with limits: values that change in place, and new workers beside old ones that hold or await permits."""

import signal
import time

import pytest

from limits import (LOCATIONS, SPREAD, TALLY, enqueue, highest, hold, idle, ids, limited, open_gate, runs, send, serve,
                    settled, spread, status, statuses, usable, used, zone)
from weirlib import alive, let_pass, limit, wait_until, watch

OTHER = "location /new { return 204; }"  # makes a reload a respawn


def in_place(weir, parameters, **parts):
    """Reload with other parameters of the zone; nothing but values may change."""
    workers = weir.worker_pids()
    answer = weir.reload(limited(parameters, **parts))
    assert (answer["last_ok"], answer["last_kind"]) == (True, "in-place")
    assert weir.worker_pids() == workers


def respawn(weir, parameters, locations=LOCATIONS + OTHER, **parts):
    """Reload so that new workers start; returns the pids of the old ones once the new ones serve."""
    old = weir.worker_pids()
    assert weir.reload(limited(parameters, locations, **parts))["last_kind"] == "respawn"
    wait_until(lambda: weir.get("/new").status == 204, 5, "the new workers")
    return old


# ---- in place -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 4])
def test_raised_limit_serves_waiters_at_once(weir, workers):
    """A higher limit lets the oldest waiters run at once, though nobody ends, in whichever worker they wait."""
    rest = "queue=20 queue_timeout=20s"
    parts = dict(workers=workers, listen=SPREAD)
    serve(weir, f"limit=1 {rest}", **parts)
    clients = [one for group in zip(*spread(weir, workers, 8 // workers).values()) for one in group]
    held = hold(weir, 1)
    enqueue(weir, [f"/held?id={i}&gate=g" for i in range(8)], clients)
    in_place(weir, f"limit=4 {rest}", **parts)
    now = settled(weir, 1, in_flight=4, queued=5)
    assert now["limit"] == 4
    wait_until(lambda: sorted(ids(weir)) == ["0", "1", "2"], 1, "the three oldest run")
    in_place(weir, f"limit=6 {rest}", **parts)
    settled(weir, 1, in_flight=6, queued=3)
    wait_until(lambda: sorted(ids(weir)) == ["0", "1", "2", "3", "4"], 1, "the five oldest run")
    open_gate(weir)
    assert statuses(held + clients) == [200] * 9
    usable(weir, 6)


def test_lowered_limit_admits_nobody_until_enough_have_ended(weir):
    """Below what runs a lower limit stops nobody and admits nobody; it holds once enough have ended."""
    rest, parts = "queue=20 queue_timeout=20s", dict(workers=2, listen=SPREAD)
    serve(weir, f"limit=4 {rest}", **parts)
    held = [hold(weir, 1, f"/held?id=held&gate={i}")[0] for i in range(4)]
    in_place(weir, f"limit=2 {rest}", **parts)
    waiting = enqueue(weir, ["/held?id=a&gate=last", "/held?id=b&gate=last"])
    for i, left in ((0, 3), (1, 2)):
        open_gate(weir, str(i))
        assert held[i].response().status == 200
        assert settled(weir, in_flight=left)["limit"] == 2
        watch(0.15)
        assert ids(weir) == [] and zone(weir)["queued"] == 2
    open_gate(weir, "2")
    wait_until(lambda: ids(weir) == ["a"], 1, "the first waiter")
    settled(weir, in_flight=2, queued=1)
    open_gate(weir, "3")
    wait_until(lambda: ids(weir) == ["a", "b"], 1, "the second waiter")
    open_gate(weir, "last")
    assert statuses(held[2:] + waiting) == [200] * 4
    (weir.tmp / "tally.last").unlink()
    usable(weir, 2)


def test_lowered_limit_refuses(weir):
    """Without a queue a lowered limit refuses until enough have ended."""
    serve(weir, "limit=3")
    held = [hold(weir, 1, f"/held?id=held&gate={i}")[0] for i in range(3)]
    in_place(weir, "limit=1")
    for i in range(3):
        assert weir.get("/held?id=x").status == 503
        open_gate(weir, str(i))
        assert held[i].response().status == 200
        settled(weir, in_flight=2 - i)
    assert weir.get("/held?id=x").status == 200
    usable(weir, 1)


def test_queue_changes_in_place(weir):
    """A longer queue takes more at once; a shorter one takes nobody until it has shrunk, and drops nobody."""
    serve(weir, "limit=1 queue=1 queue_timeout=20s")
    held = hold(weir, 1)
    waiting = enqueue(weir, ["/held?id=0"])
    assert weir.get("/held").status == 503
    in_place(weir, "limit=1 queue=4 queue_timeout=20s")
    waiting += enqueue(weir, ["/held?id=1", "/held?id=2", "/held?id=3"])
    assert weir.get("/held").status == 503
    in_place(weir, "limit=1 queue=2 queue_timeout=20s")
    assert weir.get("/held").status == 503
    assert settled(weir, in_flight=1, queued=4)["rejected"]["queue_full"] == 3
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 5
    assert ids(weir) == ["0", "1", "2", "3"]


def test_queue_opens_in_place(weir):
    """A zone that had no queue gets one, and the reverse."""
    serve(weir, "limit=1")
    held = hold(weir, 1)
    assert weir.get("/held").status == 503
    in_place(weir, "limit=1 queue=1 queue_timeout=20s")
    waiting = enqueue(weir, ["/held?id=0"])
    in_place(weir, "limit=1")
    assert weir.get("/held").status == 503
    open_gate(weir)
    assert statuses(held + waiting) == [200, 200]
    usable(weir, 1)


def test_queue_timeout_changes_in_place(weir):
    """Who comes after the reload waits for the new time."""
    serve(weir, "limit=1 queue=5 queue_timeout=20s")
    held = hold(weir, 1)
    in_place(weir, "limit=1 queue=5 queue_timeout=200ms")
    start = time.monotonic()
    assert weir.get("/held").status == 503
    assert 0.19 < time.monotonic() - start < limit(0.7)
    in_place(weir, "limit=1 queue=5 queue_timeout=20s")
    [waiting] = enqueue(weir, ["/held?id=waits"])
    let_pass(0.5)
    open_gate(weir)
    assert statuses(held + [waiting]) == [200, 200]


def test_in_place_changes_under_load(weir):
    """Limits that go up and down under load: no connection breaks, and the highest limit is never passed."""
    parts = dict(workers=2, listen=SPREAD)
    serve(weir, "limit=2 queue=100 queue_timeout=20s", **parts)
    clients = [one for some in spread(weir, 2, 20).values() for one in some]
    for count in (5, 1, 3, 5, 2):
        send(weir, ["/held?ms=10"] * 40, clients)
        in_place(weir, f"limit={count} queue=100 queue_timeout=20s", **parts)
        assert statuses(clients) == [200] * 40
    assert highest(weir) <= 5 and len(runs(weir)) == 200
    usable(weir, 2)


def test_wrong_file_changes_nothing(weir):
    """A reload with a wrong zone is refused; limit, holders and waiters stay as they were."""
    serve(weir, "limit=1 queue=5 queue_timeout=20s")
    weir.expect_log("policy=best")
    held = hold(weir, 1)
    waiting = enqueue(weir, ["/held?id=waits"])
    assert weir.reload(limited("limit=9 queue=5 policy=best"))["last_ok"] is False
    assert settled(weir, in_flight=1, queued=1)["limit"] == 1
    open_gate(weir)
    assert statuses(held + waiting) == [200, 200]


# ---- new workers --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
def test_old_workers_permits_count(weir, workers):
    """After a respawn the old workers' permits are still taken: never more than the limit over both generations."""
    serve(weir, "limit=2", workers=workers)
    held = [hold(weir, 1, f"/held?id=held&gate={i}")[0] for i in range(2)]
    old = respawn(weir, "limit=2", workers=workers)
    assert zone(weir)["in_flight"] == 2 and any(map(alive, old))
    assert [weir.get("/held").status for _ in range(5)] == [503] * 5
    open_gate(weir, "0")
    assert held[0].response().status == 200
    settled(weir, in_flight=1)
    more = hold(weir, 1, "/held?id=held&gate=1")
    assert weir.get("/held").status == 503
    open_gate(weir, "1")
    assert statuses(held[1:] + more) == [200, 200]
    weir.wait_dead(old, 3)
    assert idle(weir)["reclaimed"] == 0
    usable(weir, 2)


def test_old_workers_waiters_are_served(weir):
    """Who waits in an old worker is served by it, before those who came later to a new one."""
    zone_parameters = "limit=1 queue=20 queue_timeout=20s"
    serve(weir, zone_parameters, workers=2, listen=SPREAD)
    clients = [one for group in zip(*spread(weir, 2, 2).values()) for one in group]
    held = hold(weir, 1)
    enqueue(weir, [f"/held?id=old{i}&ms=5" for i in range(4)], clients)
    old = respawn(weir, zone_parameters, workers=2, listen=SPREAD)
    assert all(map(alive, old))
    later = enqueue(weir, [f"/held?id=new{i}&ms=5" for i in range(3)])
    let_pass(0.5)  # longer than idle connections of old workers are kept
    settled(weir, in_flight=1, queued=7)
    open_gate(weir)
    assert statuses(held + clients + later) == [200] * 8
    assert ids(weir) == [f"old{i}" for i in range(4)] + [f"new{i}" for i in range(3)] and highest(weir) == 1
    assert {run.pid for run in runs(weir) if run.id.startswith("old")} == old
    weir.wait_dead(old, 3)
    now = idle(weir)
    assert sum(now["rejected"].values()) == 0 and now["admitted"] == 8


def test_new_workers_permits_wake_old_waiters(weir):
    """A permit that a new worker gives back goes to the waiter in the old one."""
    serve(weir, "limit=2 queue=20 queue_timeout=20s")
    [first, second] = [hold(weir, 1, f"/held?id=held&gate={name}")[0] for name in "ab"]
    [waiter] = enqueue(weir, ["/held?id=w1&gate=w1"])
    old = respawn(weir, "limit=2 queue=20 queue_timeout=20s")
    [young] = enqueue(weir, ["/held?id=young&gate=c"])
    open_gate(weir, "a")
    wait_until(lambda: ids(weir) == ["w1"], 2, "the old waiter runs")
    open_gate(weir, "w1")
    wait_until(lambda: ids(weir) == ["w1", "young"], 2, "the new worker's request runs")
    assert statuses([first, waiter]) == [200, 200]
    open_gate(weir, "c"), open_gate(weir, "b")
    assert statuses([second, young]) == [200, 200]
    weir.wait_dead(old, 3)
    usable(weir, 2)


def test_respawn_with_another_limit(weir):
    """A respawn may change the limit, too; the new one holds over both generations."""
    serve(weir, "limit=3")
    held = hold(weir, 3)
    old = respawn(weir, "limit=4")
    more = hold(weir, 1)
    assert weir.get("/held").status == 503 and zone(weir)["limit"] == 4
    open_gate(weir)
    assert statuses(held + more) == [200] * 4
    weir.wait_dead(old, 3)
    usable(weir, 4)


def test_zones_are_known_by_name(weir):
    """Zones in another order, a new one before them and one gone: permits and counters stay with their names."""
    serve(weir, "limit=2", http="limit_concurrency_zone gone limit=3;",
          locations=LOCATIONS + f"location /gone {{ limit_concurrency gone; {TALLY} }}")
    held = hold(weir, 1) + hold(weir, 1, "/gone?id=held&gate=g", "gone")
    old = weir.worker_pids()
    conf = limited(None, LOCATIONS + OTHER, http="limit_concurrency_zone fresh limit=5;"
                   "limit_concurrency_zone z limit=2;")
    assert weir.reload(conf)["last_kind"] == "respawn"
    wait_until(lambda: weir.get("/new").status == 204, 5, "the new workers")
    now = status(weir)["concurrency"]
    assert [(now[name]["limit"], now[name]["in_flight"]) for name in ("fresh", "z")] == [(5, 0), (2, 1)]
    more = hold(weir, 1)
    assert weir.get("/held").status == 503
    open_gate(weir)
    assert statuses(held + more) == [200] * 3
    weir.wait_dead(old, 3)
    usable(weir, 2)
    assert zone(weir)["admitted"] == 4


def test_zone_comes_and_goes(weir):
    """A zone that a reload adds limits; once it is removed nobody is limited; added again it starts without permits."""
    free = LOCATIONS.replace("limit_concurrency z;", "").replace("limit_concurrency z ", "limit_concurrency other ")
    other = "limit_concurrency_zone other limit=1;"
    weir.start(limited(None, free, http=other))
    for turn in range(3):
        weir.reload(limited("limit=1", http=other))
        wait_until(lambda: "z" in status(weir)["concurrency"], 5, "the zone")
        weir.wait_workers(1)
        (weir.tmp / "tally.g").unlink(missing_ok=True)
        held = hold(weir, 1)
        assert weir.get("/held").status == 503
        weir.reload(limited(None, free, http=other))
        wait_until(lambda: weir.get("/held").status == 200, 5, "no limit")
        open_gate(weir)
        assert statuses(held) == [200]
        weir.wait_workers(1)


def test_timeouts_hold_in_old_workers(weir):
    """queue_timeout ends the waiting in a worker that is on its way out, too."""
    serve(weir, "limit=1 queue=5 queue_timeout=1s", workers=1)
    held = hold(weir, 1)
    [waiting] = enqueue(weir, ["/held?id=waits"])
    respawn(weir, "limit=1 queue=5 queue_timeout=1s")
    start = time.monotonic()
    assert waiting.response().status == 503
    assert time.monotonic() - start < limit(1.5)
    settled(weir, queued=0, rejected={"queue_timeout": 1})
    open_gate(weir)
    assert statuses(held) == [200] and ids(weir) == []


def test_old_worker_that_outlives_its_time(weir):
    """An old worker cut off by worker_shutdown_timeout gives back permits and places; new workers go on."""
    parts = dict(main="worker_shutdown_timeout 1s;")
    weir.expect_log("exited on signal|did not end|killed")
    serve(weir, "limit=1 queue=5 queue_timeout=20s", **parts)
    held = hold(weir, 1)
    waiting = enqueue(weir, ["/held?id=old"])
    old = respawn(weir, "limit=1 queue=5 queue_timeout=20s", **parts)
    [young] = enqueue(weir, ["/held?id=young"])
    assert young.response().status == 200
    weir.wait_dead(old, 3)
    now = idle(weir, 1)
    assert ids(weir) == ["young"]
    cut, drained = [connection.until_close() for connection in held + waiting]
    assert cut == b"" and (drained == b"" or drained.startswith(b"HTTP/1.1 503 "))
    assert now["rejected"]["draining"] == bool(drained)
    usable(weir, 1)


@pytest.mark.parametrize("number", [signal.SIGTTIN, signal.SIGTTOU])
def test_more_and_fewer_workers(weir, number):
    """TTIN and TTOU change nothing about what is held and awaited."""
    serve(weir, "limit=2 queue=20 queue_timeout=20s", workers=2)
    held = hold(weir, 2, connections=used(weir, 2))
    waiting = enqueue(weir, [f"/held?id={i}" for i in range(4)], used(weir, 4))
    weir.signal(number)
    wait_until(lambda: sum(worker["state"] == "running" for worker in status(weir)["workers"])
               == (3 if number == signal.SIGTTIN else 1), 3, "the change")
    watch(0.5)
    settled(weir, in_flight=2, queued=4)
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 6
    assert sum(idle(weir)["rejected"].values()) == 0
    usable(weir, 2)
