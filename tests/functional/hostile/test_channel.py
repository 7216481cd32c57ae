"""A worker that has been taken over says more to the master than anybody can hear: the master goes on with its duties."""

import functools
import os
import signal
import time

import pytest
import weirlib
from attacks import attack_module, attacked, end_group
from weirlib import alive, config, limit, proc_field, wait_until

UNKNOWN, LOCK_STUCK = 99, 5  # worker/worker.h
NO_PROCESS = 4194303

pytestmark = pytest.mark.skipif(weirlib.SLOW_BUILD, reason="module and server do not share their build's sanitizer")
module = functools.partial(attack_module, "taken_over")


def flooded(weir, kind, pid=NO_PROCESS):
    """While a worker of this server sends that all the time, through several processes: the pids of the two workers."""
    return attacked(weir, "flood", f"kind={kind}&pid={pid}")


@pytest.mark.parametrize("kind", [UNKNOWN, LOCK_STUCK])
def test_the_dead_are_replaced(weir, kind):
    """Workers that die meanwhile have successors."""
    weir.expect_log("exited on signal 9|no worker of ours|no workers of ours")
    with flooded(weir, kind) as before:
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(weir.worker_pids() - before) == 2, 3, "two successors")


@pytest.mark.parametrize("kind", [UNKNOWN, LOCK_STUCK])
def test_signals_are_obeyed(weir, kind):
    """HUP is a reload, or is refused where the attacker's own pipe, small for a user who is not root, is so full that its worker cannot answer; and TERM the end."""
    weir.expect_log("no worker of ours|no workers of ours|did not take over the configuration in time|reload failed|has not turned for|exited on signal 6")
    with flooded(weir, kind):
        weir.signal(signal.SIGHUP)
        weir.wait_log("reload done|reload failed", 15)
        begun = time.monotonic()
        assert weir.stop(5) == 0
        assert time.monotonic() - begun < limit(3)


def test_the_log_is_not_filled(weir):
    """Of made-up holders of locks there is a line a second, with the number of the others."""
    weir.expect_log("no worker of ours|no workers of ours")
    with flooded(weir, LOCK_STUCK):
        begun = time.monotonic()
        weir.wait_log(rf"process {NO_PROCESS}, which is no worker of ours")
        weir.wait_log(r"no workers of ours \d+ times more", 5)
        lines = weir.error_log.count("of ours")
        assert lines <= 2 + time.monotonic() - begun, lines


def test_a_worker_accused_again_and_again(weir):
    """One that a worker says to hold a lock, over and over, is killed and replaced; its successor stays."""
    weir.expect_log("holds a lock of the shared memory|exited on signal 9|no worker of ours|no workers of ours")
    weir.start(config("location = /flood { handler flood; } location = /who { return 200 $pid; }", workers=2,
                      main=f"load_module {module()};"))
    before = weir.wait_workers(2)
    with weir.connect() as client:
        [accused] = before - {int(client.get("/who").text)}
        group = int(client.get(f"/flood?kind={LOCK_STUCK}&pid={accused}").text)
    try:
        wait_until(lambda: not alive(accused), 3, "the end of the accused")
        after = weir.wait_workers(2)
        assert len(after - before) in (1, 2)
        assert weir.error_log.count(f"worker process {accused} (worker") == 1
    finally:
        end_group(group)


def test_descriptors(weir):
    """The master is sent no descriptor whose end it would have to wait for."""
    weir.start(config("location = /linger { handler linger; }", workers=2, main=f"load_module {module()};"))
    weir.wait_workers(2)
    group = int(weir.get("/linger").text)
    try:
        wait_until(lambda: (proc_field(group, "State") or "").startswith("S"), 3, "a message that is sent")
        weir.signal(signal.SIGHUP)
        weir.wait_log("reload done", 3)
        assert weir.stop(3) == 0
    finally:
        end_group(group)
