"""A permit that is handed to a worker which does not take it up goes to the next in line after a moment, and to one only."""

import contextlib
import os
import random
import signal
import time

import pytest
from limits import SPREAD, Crowd, enqueue, highest, hold, idle, ids, open_gate, serve, spread, statuses, stopped, usable
from weirlib import limit, take_time, wait_until

WAITS = "limit=1 queue=50 queue_timeout=30s"
PASSED_ON_WITHIN = 1


def held(weir, parameters=WAITS):
    """A server of two workers: connections of the one that holds all permits, the other's pid, and its connections."""
    serve(weir, parameters, workers=2, listen=SPREAD)
    (_, here), (other, there) = spread(weir, 2, 6).items()
    count = int(parameters.split("=")[1].split()[0])
    hold(weir, count, connections=here[:count])
    return here, other, there


def ran(weir, count):
    return wait_until(lambda: len(ids(weir)) >= count and ids(weir), PASSED_ON_WITHIN, f"{count} runs")


def test_next_in_line_runs(weir):
    """Whoever waits in another worker runs while the first in line's stands still; that one's runs when it goes on."""
    here, other, there = held(weir)
    enqueue(weir, ["/held?id=there", "/held?id=here1", "/held?id=here2"], [there[0], here[1], here[2]])
    with stopped(other):
        open_gate(weir)
        assert here[0].response().status == 200
        assert ran(weir, 2) == ["here1", "here2"]
        assert statuses(here[1:3]) == [200, 200]
    assert there[0].response().status == 200
    assert ids(weir) == ["here1", "here2", "there"] and highest(weir) == 1
    usable(weir, 1)


def test_all_of_its_waiters_are_passed_over(weir):
    """It is asked once, not once for each of its waiters; they keep their order."""
    here, other, there = held(weir)
    enqueue(weir, [f"/held?id=there{i}" for i in range(5)] + ["/held?id=here"], there[:5] + [here[1]])
    with stopped(other):
        open_gate(weir)
        assert here[0].response().status == 200
        assert ran(weir, 1) == ["here"]
    assert statuses(there[:5] + [here[1]]) == [200] * 6
    assert ids(weir) == ["here"] + [f"there{i}" for i in range(5)] and highest(weir) == 1
    usable(weir, 1)


def test_new_requests_do_not_wait_for_it(weir):
    """Requests that come while it stands still are served, though its waiters came first."""
    here, other, there = held(weir)
    enqueue(weir, ["/held?id=there"], there[:1])
    with stopped(other):
        open_gate(weir)
        assert here[0].response().status == 200
        begun = time.monotonic()
        assert [here[i].get(f"/held?id=here{i}").status for i in range(1, 6)] == [200] * 5
        assert time.monotonic() - begun < limit(PASSED_ON_WITHIN)
    assert there[0].response().status == 200
    usable(weir, 1)


def test_several_permits(weir):
    """Of several permits none is lost to it."""
    here, other, there = held(weir, "limit=3 queue=50 queue_timeout=30s")
    enqueue(weir, ["/held?id=there"] * 3 + ["/held?id=here"] * 3, there[:3] + here[3:6])
    with stopped(other):
        open_gate(weir)
        assert statuses(here) == [200] * 6
    assert statuses(there[:3]) == [200] * 3
    assert highest(weir) <= 3
    usable(weir, 3)


@pytest.mark.parametrize("priority", ["high", "low"])
def test_priorities(weir, priority):
    """A higher priority does not help those of one that stands still, and is theirs again when it goes on."""
    here, other, there = held(weir)
    enqueue(weir, [f"/{priority}?id=there", "/normal?id=here"], [there[0], here[1]])
    with stopped(other):
        open_gate(weir)
        assert statuses(here[:2]) == [200, 200]
    assert there[0].response().status == 200
    usable(weir, 1)


def test_killed_while_it_stands_still(weir):
    """When it is killed instead, its waiters are gone, and nothing else is."""
    weir.expect_log("exited on signal")
    here, other, there = held(weir)
    enqueue(weir, ["/held?id=there", "/held?id=here"], [there[0], here[1]])
    with stopped(other):
        open_gate(weir)
        assert statuses(here[:2]) == [200, 200]
        os.kill(other, signal.SIGKILL)
    assert there[0].until_close() == b""
    idle(weir)
    weir.wait_workers(2)
    usable(weir, 1)


def test_time_in_the_queue_goes_on(weir):
    """A waiter that has been passed over is refused when its time in the queue is over, not later."""
    here, other, there = held(weir, "limit=1 queue=50 queue_timeout=1500ms")
    enqueue(weir, ["/held?id=there", "/held?id=here&ms=2500"], [there[0], here[1]])
    with stopped(other):
        open_gate(weir)
        assert here[0].response().status == 200
        ran(weir, 1)
    assert there[0].response().status == 503
    assert here[1].response().status == 200
    usable(weir, 1)


def test_stops_and_starts_at_random(weir):
    """Workers that stand still again and again for moments: never more than the limit, and everybody is served."""
    serve(weir, "limit=3 queue=200 queue_timeout=20s", workers=3, listen=SPREAD)
    workers, dice, end = sorted(weir.worker_pids()), random.Random(4), time.monotonic() + 3
    with Crowd(weir.port, 40, "/held?ms=5") as crowd:
        while time.monotonic() < end:
            victim = dice.choice(workers)
            with contextlib.suppress(AssertionError), stopped(victim):
                take_time(dice.choice([0.01, 0.09, 0.11, 0.25]))
            take_time(dice.random() * 0.05)
    assert set(crowd.answers) == {200} and crowd.answers[200] > 100 and not crowd.broken, (crowd.answers, crowd.broken[:3])
    assert highest(weir) <= 3
    idle(weir)
    usable(weir, 3)
