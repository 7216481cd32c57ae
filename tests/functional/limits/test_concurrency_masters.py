"""Masters that are killed around a change of binary, in every order: no permit is lost, and no limit exceeded."""

import os
import random
import signal
import subprocess
import time

import pytest

import weirlib
from attacks import attack_module
from binaries import ALONE, WAITS, binaries, own_copy, replace_by_script  # noqa: F401
from limits import (LOCATIONS, TALLY, Crowd, enqueue, highest, hold, ids, limited, open_gate, runs, send, settled, spread, statuses,
                    stopped)
from weirlib import alive, children, take_time, wait_until, watch

KILLED = "the master is gone|exited on signal|has ended|shared memory"


def test_old_master_killed_before_the_new_one_looks(weir, binaries):  # noqa: F811
    """Between the fork and the new binary's first look: what dead workers of the old one held comes back, and USR2 is obeyed again."""
    weir.expect_log(KILLED)
    copy = own_copy(weir)
    binaries.start(f"limit=2 {WAITS}")
    hold(weir, 2)
    [worker] = binaries.workers_of(binaries.new)
    replace_by_script(copy, "sleep 1")
    os.kill(binaries.new, signal.SIGUSR2)
    weir.wait_log("start new binary process")
    os.kill(binaries.new, signal.SIGKILL)
    old = binaries.new
    binaries.pids.append(wait_until(lambda: weir.read_pid_file() not in (None, old) and weir.read_pid_file(), 5, "a new pid file"))
    weir.pid = binaries.new
    os.kill(worker, signal.SIGKILL)
    settled(weir, 5, in_flight=0)
    weir.wait_log("this binary's alone again")
    binaries.upgrade()
    assert ALONE not in weir.error_log


@pytest.mark.parametrize("which", ["old", "new"])
def test_first_permit_after_the_masters_death(weir, binaries, which):  # noqa: F811
    """A worker of a killed master reads a slow body, and then takes the only permit: the other binary counts it."""
    weir.expect_log(KILLED)
    binaries.start(f"limit=1 {WAITS}")
    if which == "new":
        binaries.upgrade()
        os.kill(binaries.old, signal.SIGWINCH)
        wait_until(lambda: not binaries.workers_of(binaries.old), 5, "the end of the old worker")
    slow = weir.connect(timeout=20)
    slow.send("POST /held?id=slow&gate=g HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
    slow.wait_taken()
    if which == "old":
        binaries.upgrade()
    victim, other = (binaries.old, binaries.new) if which == "old" else (binaries.new, binaries.old)
    os.kill(victim, signal.SIGKILL)
    weir.wait_log("the master is gone")
    weir.pid = other
    if which == "new":
        os.kill(other, signal.SIGHUP)
        weir.wait_log("reload done")
    watch(1.5)
    assert "alone again" not in weir.error_log
    slow.send("cd")
    wait_until(lambda: ids(weir) == ["slow"], 3, "the slow one runs")
    reloads = weir.error_log.count("reload done")
    os.kill(other, signal.SIGHUP)
    wait_until(lambda: weir.error_log.count("reload done") > reloads, 5, "the reload")
    more = send(weir, ["/held?id=more&gate=g"])
    settled(weir, in_flight=1, queued=1)
    open_gate(weir)
    assert statuses(more) == [200] and highest(weir) == 1


def test_more_zones_than_there_is_room_for(weir, binaries):  # noqa: F811
    """40 zones, and 40 of other names in the new binary's file: it serves, and says that both count by themselves."""
    weir.expect_log(ALONE)
    binaries.start("limit=2", http="".join(f"limit_concurrency_zone a{i} limit=1;" for i in range(40)))
    weir.write(limited("limit=2", http="".join(f"limit_concurrency_zone b{i} limit=1;" for i in range(40))))
    binaries.upgrade()
    weir.wait_log("there is no room for the zones of both")


def test_again_at_once(weir, binaries):  # noqa: F811
    """USR2 right after one that failed, and right after the end of the older binary: each shares."""
    weir.expect_log("nonsense|has ended")
    binaries.start(f"limit=1 {WAITS}")
    good = limited(f"limit=1 {WAITS}")
    weir.write(good + "nonsense on;")
    os.kill(binaries.new, signal.SIGUSR2)
    weir.wait_log("has ended; serving on")
    weir.write(good)
    binaries.upgrade()
    binaries.quit_old()
    binaries.gone(binaries.old)
    binaries.upgrade()
    assert ALONE not in weir.error_log


def test_not_enough_address_space(weir, binaries):  # noqa: F811
    """The log says what is wrong."""
    weir.expect_log(f"cannot be mapped|{ALONE}")
    copy = own_copy(weir)
    binaries.start(f"limit=1 {WAITS}")
    replace_by_script(copy, "ulimit -v 960000")
    binaries.upgrade()
    weir.wait_log("shared memory cannot be mapped")
    assert "another layout" not in weir.error_log


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_zone_that_the_survivor_does_not_have(weir, binaries, which):  # noqa: F811
    """Who waits in a killed master's zone gets the permit of a killed sibling, though nobody else knows the zone."""
    weir.expect_log(KILLED)
    locations, http = LOCATIONS + f"location /only {{ limit_concurrency own; {TALLY} }}", f"limit_concurrency_zone own limit=1 {WAITS};"
    if which == "old":
        binaries.start("limit=2", locations, workers=2, http=http)
    else:
        binaries.start("limit=2", workers=2)
        weir.write(limited("limit=2", locations, workers=2, http=http))
        binaries.upgrade()
        os.kill(binaries.old, signal.SIGWINCH)
        wait_until(lambda: not binaries.workers_of(binaries.old), 5, "the end of the old workers")
    (first, [holder]), (_, [waiter]) = spread(weir, 2, 1).items()
    holder.request("/only?id=first&gate=g")
    settled(weir, name="own", in_flight=1)
    waiter.request("/only?id=second")
    settled(weir, name="own", queued=1)
    if which == "old":
        weir.write(limited("limit=2", workers=2))
        binaries.upgrade()
    victim, other = (binaries.old, binaries.new) if which == "old" else (binaries.new, binaries.old)
    os.kill(victim, signal.SIGKILL)
    weir.wait_log("the master is gone")
    weir.pid = other
    os.kill(other, signal.SIGHUP)
    os.kill(first, signal.SIGKILL)
    assert waiter.response().status == 200


def test_orphans_beside_a_third_binary(weir, binaries):  # noqa: F811
    """The second binary shares with orphans of the first, and the third runs apart: what an orphan held is still given back."""
    weir.expect_log(f"{KILLED}|{ALONE}")
    binaries.start(f"limit=1 {WAITS}")
    hold(weir, 1)
    [worker] = binaries.workers_of(binaries.new)
    binaries.upgrade()
    os.kill(binaries.old, signal.SIGKILL)
    weir.wait_log("the master is gone")
    binaries.gone(binaries.old)  # its workers may hear of its end before its other children have another parent
    weir.pid = binaries.new
    waiting = enqueue(weir, ["/held?id=waits"])
    binaries.upgrade()
    weir.wait_log(ALONE)
    os.kill(worker, signal.SIGKILL)
    assert statuses(waiting) == [200]


def test_a_zone_that_is_new_to_both(weir, binaries):  # noqa: F811
    """The new binary's file has one zone more, and the old one reads it as well, to go back to it: one limit over both."""
    locations = LOCATIONS + f"location /n {{ limit_concurrency n; {TALLY} }}"
    binaries.start("limit=5", locations.replace("limit_concurrency n;", ""))
    weir.write(limited("limit=5", locations, http=f"limit_concurrency_zone n limit=1 {WAITS};"))
    binaries.upgrade()
    os.kill(binaries.old, signal.SIGWINCH)
    wait_until(lambda: not binaries.workers_of(binaries.old), 5, "the end of the old worker")
    first = send(weir, ["/n?id=held&gate=g"])
    settled(weir, name="n", in_flight=1)
    [worker] = binaries.workers_of(binaries.new)
    os.kill(binaries.old, signal.SIGHUP)
    weir.wait_log("reload done")
    os.kill(binaries.new, signal.SIGQUIT)
    weir.wait_log(rf"{worker}#{worker}: gracefully shutting down")
    weir.pid = binaries.old
    second = send(weir, ["/n?id=again&gate=g"])
    settled(weir, name="n", in_flight=1, queued=1)
    open_gate(weir)
    assert statuses(first + second) == [200, 200]
    assert highest(weir) == 1


def test_master_and_lender_killed_together(weir, binaries):  # noqa: F811
    """Nobody tells the borrower, which streams to the lender, that there is no lender: it finds out, and the permit comes back."""
    weir.expect_log(KILLED)
    locations = f"""
        location /held {{ limit_concurrency z; {TALLY} }}
        location /pour {{ limit_concurrency z; handler_timeout 60s; handler pour; }}
        location = /who {{ return 200 $pid; }}
    """
    binaries.start("limit=5", locations, workers=2, pool="threads=1 max_queue=100", main=f"load_module {attack_module('pour')};")
    lender, borrower = binaries.workers_of(binaries.new)
    with stopped(borrower):
        clients = [weir.connect(timeout=20) for _ in range(2)]
        assert {client.get("/who").text for client in clients} == {str(lender)}
        hold(weir, 1, connections=clients[:1])  # by its own thread: nobody else could have it
    clients[1].request("/pour?n=1000&size=65536")
    wait_until(lambda: {r["runs_in"] for r in weir.get("/status?format=json&in_flight=1").json()["concurrency"]["z"]["requests"]} == {0, 1},
               3, "one here and one there")
    binaries.upgrade()
    os.kill(binaries.old, signal.SIGKILL)
    weir.pid = binaries.new
    os.kill(lender, signal.SIGKILL)
    settled(weir, 10, in_flight=0)
    wait_until(lambda: not alive(borrower), 10, "the end of the borrower")


SLOW_BIND = """
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An address without a name: the socket by which workers wake each other. */
int bind(int fd, const struct sockaddr *a, socklen_t n)
{
    for (int i = 0; n == 2 && i < 25; i++)
        usleep(100000);
    return syscall(SYS_bind, fd, a, n);
}
"""


@pytest.mark.skipif(weirlib.SLOW_BUILD, reason="a sanitizer wants to be the first library")
def test_a_worker_that_starts_after_its_masters_death(weir, binaries):  # noqa: F811
    """It is counted by nobody, so it takes nothing."""
    weir.expect_log(KILLED)
    copy = own_copy(weir)
    source, library = weir.tmp / "slow.c", weir.tmp / "slow.so"
    source.write_text(SLOW_BIND)
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
    binaries.start(f"limit=1 {WAITS}")
    replace_by_script(copy, f"export LD_PRELOAD={library}")
    old = binaries.new
    os.kill(old, signal.SIGUSR2)
    weir.wait_log("hold over this")
    new = wait_until(lambda: weir.read_pid_file() not in (None, old) and weir.read_pid_file(), 5, "a new pid file")
    [late] = wait_until(lambda: children(new), 5, "its worker")
    os.kill(old, signal.SIGWINCH)
    binaries.pids.append(new)
    wait_until(lambda: not binaries.workers_of(old), 5, "the end of the old worker")
    os.kill(new, signal.SIGKILL)
    waiting = send(weir, ["/held?id=waits"])
    wait_until(lambda: not alive(late), 10, "its end")
    assert runs(weir, but=None) == []
    weir.pid = old
    binaries.pids.pop()
    os.kill(old, signal.SIGHUP)
    assert statuses(waiting) == [200]


EVIL = "location = /evil { handler evil; }"


@pytest.mark.skipif(weirlib.SLOW_BUILD, reason="wild writes are the test")
def test_a_word_ends_no_process(weir, binaries):  # noqa: F811
    """What a worker writes where the other master asks for an end is not believed where no lock is held."""
    binaries.start("limit=1", LOCATIONS + EVIL, main=f"load_module {attack_module('evil')};")
    binaries.upgrade()
    os.kill(binaries.old, signal.SIGWINCH)
    wait_until(lambda: not binaries.workers_of(binaries.old), 5, "the end of the old worker")
    [victim] = binaries.workers_of(binaries.new)
    assert weir.get(f"/evil?pid={victim}").text == "done"
    watch(2)
    assert alive(victim)


@pytest.mark.skipif(weirlib.SLOW_BUILD, reason="wild writes are the test")
def test_parts_that_look_full_keep_no_master(weir, binaries):  # noqa: F811
    """A worker fills the other side's parts, whose master then goes: the one that is left goes on with its duties."""
    weir.expect_log(KILLED)
    binaries.start("limit=1", LOCATIONS + EVIL, main=f"load_module {attack_module('evil')};",
                   http="".join(f"limit_concurrency_zone a{i} limit=1;" for i in range(63)))
    binaries.upgrade()
    os.kill(binaries.old, signal.SIGWINCH)
    wait_until(lambda: not binaries.workers_of(binaries.old), 5, "the end of the old worker")
    assert weir.get("/evil?fill=0").text == "done"
    os.kill(binaries.old, signal.SIGKILL)
    weir.wait_log("this binary's alone again", 20)
    settled(weir, in_flight=0)


@pytest.mark.parametrize("seed", [1, 5, 9])
def test_masters_killed(weir, binaries, seed):  # noqa: F811
    """30 clients over seven tries to change the binary, with masters and workers killed at any moment of each."""
    weir.expect_log(".")
    chance = random.Random(seed)
    locations = f"location /both {{ limit_concurrency z; limit_concurrency y; {TALLY} }}" + LOCATIONS
    binaries.start("limit=5 queue=100 queue_timeout=4s", locations, workers=2, pool="threads=2 max_queue=1000",
                   http="limit_concurrency_zone y limit=4 queue=100 queue_timeout=4s;")
    killed, me = {}, binaries.new

    def kill(pid):
        killed[pid] = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)

    with Crowd(weir.port, 30, "/both?ms=60") as crowd:
        for _ in range(7):
            started = weir.error_log.count("start new binary process")
            os.kill(me, signal.SIGUSR2)
            wait_until(lambda n=started: weir.error_log.count("start new binary process") > n, 5, "a new binary")
            new = int(weir.error_log.rsplit("start new binary process ", 1)[1].split()[0])
            take_time(chance.choice([0, 0.003, 0.01, 0.02, 0.05, 0.1, 0.5]))
            survivor, other = chance.choice([(me, new), (new, me)])
            workers = [pid for pid in children(other) if pid != new]
            if survivor == new and chance.random() < 0.3:
                weir.wait_log(f"the new binary, {new}, serves", 8)
                os.kill(other, signal.SIGQUIT)
            else:
                kill(other)
                if workers and chance.random() < 0.5:
                    kill(chance.choice(workers))
            wait_until(lambda pid=other: not alive(pid), 10, f"the end of {other}")
            weir.pid = me = survivor
            wait_until(lambda pids=workers: not any(map(alive, pids)), 10, "the end of its workers")
            wait_until(lambda pid=me: len(children(pid)) >= 2, 5, "workers")
            take_time(chance.random() * 0.5)
            if chance.random() < 0.5:
                kill(chance.choice(children(me)))
    binaries.pids = [me]
    settled(weir, 8, in_flight=0, queued=0)
    settled(weir, 5, name="y", in_flight=0, queued=0)
    assert highest(weir, killed) <= 4 and ALONE not in weir.error_log
    assert "TimeoutError" not in str(crowd.broken), "somebody was left waiting"
