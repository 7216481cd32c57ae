"""A limit of concurrency holds over two binaries while one takes over from the other (USR2), whoever of them ends, and how."""

import contextlib
import os
import resource
import signal
import time

import pytest

import weirlib
from attacks import attack_module
from binaries import ALONE, WAITS, binaries  # noqa: F401
from limits import LOCATIONS, Crowd, enqueue, highest, hold, ids, limited, open_gate, send, settled, statuses, stopped, usable
from weirlib import alive, proc_field, take_time, wait_until


def test_old_and_new_together(weir, binaries):
    """What the old binary's workers hold counts for the new one's, and goes on to who waits there."""
    binaries.start()
    old = hold(weir, 2)
    binaries.upgrade()
    binaries.quit_old()
    new = hold(weir, 1, "/held?id=new&gate=h")
    waiting = enqueue(weir, ["/held?id=a&gate=h", "/held?id=b&gate=h"])
    assert settled(weir, in_flight=3, queued=2)["admitted"] == 3
    open_gate(weir)
    assert statuses(old) == [200, 200]
    settled(weir, in_flight=3, queued=0)
    open_gate(weir, "h")
    assert statuses(new + waiting) == [200] * 3
    binaries.gone(binaries.old)
    weir.wait_log("this binary's alone again")
    assert highest(weir) == 3
    usable(weir, 3)


def test_the_list_has_the_requests_of_both(weir, binaries):
    binaries.start()
    old = hold(weir, 1, "/held/old?id=held&gate=g")
    binaries.upgrade()
    binaries.quit_old()
    new = hold(weir, 1, "/held/new?id=held&gate=g")
    requests = weir.get("/status?format=json&in_flight=1").json()["concurrency"]["z"]["requests"]
    assert sorted(request["uri"].split("?")[0] for request in requests) == ["/held/new", "/held/old"]
    open_gate(weir)
    assert statuses(old + new) == [200, 200]


def test_waiters_in_the_old_are_served_first(weir, binaries):
    """The queue is one: who has waited longest is next, in whichever binary."""
    binaries.start(f"limit=1 {WAITS}")
    holder = hold(weir, 1)
    waits_in_old = enqueue(weir, ["/held?id=old1", "/held?id=old2"])
    binaries.upgrade()
    binaries.quit_old()
    waits_in_new = enqueue(weir, ["/held?id=new1", "/held?id=new2"])
    open_gate(weir)
    assert statuses(holder + waits_in_old + waits_in_new) == [200] * 5
    assert ids(weir) == ["old1", "old2", "new1", "new2"]
    assert highest(weir) == 1


def test_killed_worker_of_the_old(weir, binaries):
    """Its master gives back what it held; a waiter of the new binary has it."""
    weir.expect_log("exited on signal")
    binaries.start(f"limit=1 {WAITS}")
    hold(weir, 1)
    binaries.upgrade()
    [worker] = binaries.workers_of(binaries.old)
    binaries.quit_old()
    waiting = enqueue(weir, ["/held?id=new"])
    os.kill(worker, signal.SIGKILL)
    assert statuses(waiting) == [200]
    binaries.gone(binaries.old)
    usable(weir, 1)


def test_killed_worker_of_a_killed_master(weir, binaries):
    """The old master is killed: its worker finishes, and what it held when it is killed as well is given back by the new master."""
    weir.expect_log("the master is gone|exited on signal")
    binaries.start(f"limit=2 {WAITS}")
    hold(weir, 2)
    binaries.upgrade()
    [worker] = binaries.workers_of(binaries.old)
    os.kill(binaries.old, signal.SIGKILL)
    weir.wait_log("the master is gone")
    waiting = enqueue(weir, ["/held?id=a", "/held?id=b"])
    take_time(1.5)
    assert settled(weir, in_flight=2, queued=2)["reclaimed"] == 0
    os.kill(worker, signal.SIGKILL)
    assert statuses(waiting) == [200, 200]
    weir.wait_log("this binary's alone again")
    usable(weir, 2)


def test_the_new_binary_is_killed(weir, binaries):
    """All of the new one is killed, with permits and waiters: the old one serves on with all of its limit."""
    weir.expect_log("exited on signal|has ended|the master is gone")
    binaries.start(f"limit=2 {WAITS}")
    binaries.upgrade()
    os.kill(binaries.old, signal.SIGWINCH)  # its workers end: who comes is served by the new one
    wait_until(lambda: not binaries.workers_of(binaries.old), 5, "the end of the old worker")
    hold(weir, 2)
    enqueue(weir, ["/held?id=doomed"])
    doomed = [*binaries.workers_of(binaries.new), binaries.new]
    for pid in reversed(doomed):
        os.kill(pid, signal.SIGKILL)
    weir.wait_log(f"the new binary, {binaries.new}, has ended")
    weir.pid = binaries.old
    os.kill(binaries.old, signal.SIGHUP)
    weir.wait_log("this binary's alone again")
    settled(weir, 3, in_flight=0, queued=0)
    usable(weir, 2)


def test_rules_are_those_of_who_serves(weir, binaries):
    """The new binary's file has another limit: it holds once that serves, for both; and the old one's again after a roll-back."""
    binaries.start("limit=1")
    weir.write(limited("limit=3"))
    binaries.upgrade()
    assert settled(weir, limit=3)
    usable(weir, 3)
    (weir.tmp / "tally.last").unlink()
    os.kill(binaries.new, signal.SIGTERM)
    binaries.gone(binaries.new)
    weir.pid = binaries.old
    assert settled(weir, limit=1)
    usable(weir, 1)


def test_a_wrong_file_changes_nothing(weir, binaries):
    """The new binary cannot start: the old one's limit and permits are as they were."""
    weir.expect_log("nonsense|has ended")
    binaries.start("limit=2")
    held = hold(weir, 1)
    weir.write(limited("limit=9") + "nonsense on;")
    os.kill(binaries.new, signal.SIGUSR2)
    weir.wait_log("has ended; serving on")
    weir.wait_log("this binary's alone again")
    assert settled(weir, in_flight=1)["limit"] == 2
    open_gate(weir)
    assert statuses(held) == [200]
    usable(weir, 2)


def test_zones_that_one_of_them_does_not_have(weir, binaries):
    """Each binary's own zones are its own, and have not the other's numbers."""
    binaries.start("limit=2", http="limit_concurrency_zone old limit=5;")
    weir.write(limited("limit=2", http="limit_concurrency_zone new limit=7; limit_concurrency_zone b limit=8;"))
    binaries.upgrade()
    os.kill(binaries.old, signal.SIGWINCH)
    wait_until(lambda: not binaries.workers_of(binaries.old), 5, "the end of the old worker")
    zones = weir.status()["concurrency"]
    assert {name: found["limit"] for name, found in zones.items()} == {"z": 2, "new": 7, "b": 8}
    weir.write(limited("limit=2", http="limit_concurrency_zone old limit=5; limit_concurrency_zone later limit=9;"))
    os.kill(binaries.old, signal.SIGHUP)  # its workers again
    wait_until(lambda: len(binaries.workers_of(binaries.old)) == 1, 5, "its worker again")
    seen = {}
    def both():
        found = {name: zone["limit"] for name, zone in weir.status()["concurrency"].items()}
        seen[tuple(sorted(found))] = found
        return len(seen) == 2
    wait_until(both, 5, "answers of both")
    assert seen[("b", "new", "z")] == {"z": 2, "new": 7, "b": 8}
    assert seen[("later", "old", "z")] == {"z": 2, "old": 5, "later": 9}


def test_upgrade_after_upgrade(weir, binaries):
    """Each binary shares with the one before it."""
    binaries.start(f"limit=2 {WAITS}")
    for turn in range(4):
        gate = f"g{turn}"
        held = hold(weir, 1, f"/held?id=held&gate={gate}")
        binaries.upgrade()
        binaries.quit_old()
        assert settled(weir, in_flight=1)
        more = hold(weir, 1, f"/held?id=held&gate={gate}")
        waiting = enqueue(weir, [f"/held?id={turn}"])
        open_gate(weir, gate)
        assert statuses(held + more + waiting) == [200] * 3
        binaries.gone(binaries.old)
        wait_until(lambda t=turn: weir.error_log.count("this binary's alone again") == t + 1, 5, "the end of what was shared")
    assert ALONE not in weir.error_log and highest(weir) == 2
    usable(weir, 2)


def test_orphans_of_an_earlier_binary(weir, binaries):
    """Workers of a killed master still run when the next upgrade comes: then there is no room for a third, which says so."""
    weir.expect_log(f"the master is gone|{ALONE}")
    binaries.start(f"limit=2 {WAITS}")
    held = hold(weir, 1)
    binaries.upgrade()
    os.kill(binaries.old, signal.SIGKILL)
    weir.wait_log("the master is gone")
    binaries.gone(binaries.old)  # its workers may hear of its end before its other children have another parent
    weir.pid = binaries.new
    binaries.upgrade()
    weir.wait_log(ALONE)
    open_gate(weir)
    assert statuses(held) == [200]


def test_memory_that_cannot_be_shared(weir, binaries):
    """Where no such large file may be: the new binary says that both count by themselves."""
    weir.expect_log(ALONE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, hard))
    try:
        binaries.start(f"limit=1 {WAITS}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    held = hold(weir, 1)
    binaries.upgrade()
    assert weir.error_log.count(ALONE) == 1
    binaries.quit_old()
    more = hold(weir, 1)
    open_gate(weir)
    assert statuses(held + more) == [200, 200]
    usable(weir, 1)


def test_stopped_worker_of_the_other_binary(weir, binaries):
    """A stopped one gets no permit, and loses its turn to one of the new binary's."""
    binaries.start(f"limit=1 {WAITS}")
    held = hold(weir, 1)
    waits_in_old = enqueue(weir, ["/held?id=old"])
    binaries.upgrade()
    [worker] = binaries.workers_of(binaries.old)
    binaries.quit_old()
    new = send(weir, ["/held?id=new&gate=h"])
    settled(weir, queued=2)
    with stopped(worker):
        open_gate(weir)
        take_time(0.5)  # it holds: nothing is given to anybody
        assert ids(weir) == []
    open_gate(weir, "h")
    assert statuses(held + waits_in_old + new) == [200] * 3
    assert highest(weir) == 1


SCRIBBLE = "location = /scribble { handler scribble; }"


def test_a_lock_that_the_other_binarys_worker_holds(weir, binaries):
    """A worker of the old one stops with the lock of the zone: the new one's master has the old one's end it."""
    weir.expect_log("holds a lock of the shared memory|exited on signal")
    binaries.start("limit=1", LOCATIONS + SCRIBBLE, main=f"load_module {attack_module('scribble')};")
    [worker] = binaries.workers_of(binaries.new)
    with weir.connect() as of_the_old:
        assert of_the_old.get("/who").text == str(worker)
        binaries.upgrade()
        of_the_old.request("/scribble?lock=self&then=stop")
        wait_until(lambda: proc_field(worker, "State").startswith("T"), 3, "a stopped worker")
        os.kill(binaries.old, signal.SIGWINCH)
        with weir.connect(timeout=20) as client:
            assert client.get("/held?id=new").status == 200
    weir.wait_log(f"{binaries.old}#{binaries.old}: worker process {worker} .*holds a lock")
    usable(weir, 1)


@pytest.mark.needs_root
@pytest.mark.skipif(weirlib.SLOW_BUILD, reason="wild writes are the test")
@pytest.mark.parametrize("part", ["permit_zones", "permit_parts", "everything"])
@pytest.mark.parametrize("which", ["old", "new"])
def test_overwritten_beside_another_binary(weir, binaries, part, which):
    """A worker of either binary overwrites what both use: both masters live, and the limit is right once one is alone."""
    weir.expect_log("exited|shared memory|killed")
    weir.tmp.chmod(0o777)  # for the tally
    binaries.start("limit=2 queue=5", LOCATIONS + SCRIBBLE, user="user nobody nogroup;",
                   main=f"load_module {attack_module('scribble')};")
    with contextlib.ExitStack() as stack:
        of_the_old = stack.enter_context(weir.connect())
        assert of_the_old.get("/who").status == 200
        binaries.upgrade()
        target = of_the_old
        if which == "new":
            os.kill(binaries.old, signal.SIGWINCH)  # who connects then is served by the new one
            wait_until(lambda: not binaries.workers_of(binaries.old), 5, "the end of the old worker")
            target = stack.enter_context(weir.connect())
        target.request(f"/scribble?part={part}&pattern=random&seed=7&then=exit")
        assert target.until_close() == b""
    assert alive(binaries.old) and alive(binaries.new)
    os.kill(binaries.old, signal.SIGQUIT)
    binaries.gone(binaries.old)
    weir.wait_log("this binary's alone again", 10)
    os.kill(binaries.new, signal.SIGHUP)
    settled(weir, 10, in_flight=0, queued=0, limit=2)
    usable(weir, 2)


def test_upgrades_under_load(weir, binaries):
    """100 clients over three changes of binary, with kills between them: never more than eight at a time, nobody waits in vain."""
    weir.expect_log("exited on signal")
    binaries.start("limit=8 queue=100 queue_timeout=5s", workers=2, log="notice")
    killed = {}
    with Crowd(weir.port, 100, "/held?ms=20") as crowd:
        for _ in range(3):
            binaries.upgrade()
            take_time(0.3)
            victim = binaries.workers_of(binaries.new)[0]
            killed[victim] = time.monotonic_ns()
            os.kill(victim, signal.SIGKILL)
            take_time(0.3)
            os.kill(binaries.old, signal.SIGQUIT)
            binaries.gone(binaries.old)
            take_time(0.3)
    assert highest(weir, killed) <= 8
    assert set(crowd.answers) <= {200, 503} and crowd.answers[200] > 100
    assert "TimeoutError" not in str(crowd.broken), "somebody was left waiting"
    settled(weir, 5, in_flight=0, queued=0)
    usable(weir, 8)
