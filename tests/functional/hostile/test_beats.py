"""A worker that has been taken over writes all workers' heartbeats: who turns is neither ended nor unheard, and who stands still is ended."""

import os
import re
import signal
import socket
import time

import pytest
import weirlib
from attacks import attacked
from weirlib import alive, limit, wait_until

pytestmark = pytest.mark.skipif(weirlib.SLOW_BUILD, reason="module and server do not share their build's sanitizer")

STALL = "worker_stall_timeout 2s;"
FOOD = 12  # of the watchdog, twice a second: longer than it takes to find a worker silent
VALUES = [0, 2**63, 2**64 - 1]


def beaten(weir, value, **options):
    """While all heartbeats are kept at this value: the two workers."""
    return attacked(weir, "beats", f"value={value}", STALL, **options)


@pytest.mark.parametrize("value", VALUES)
def test_the_watchdog_is_fed(weir, value):
    """The service manager hears WATCHDOG=1 all the time, and the workers stay."""
    address = str(weir.tmp / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(limit(2))
        with beaten(weir, value, env=dict(os.environ, NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000")) as before:
            fed = []
            while len(fed) < FOOD:
                if re.search(rb"^WATCHDOG=1$", receiver.recv(4096), re.M):
                    fed.append(time.monotonic())
            assert weir.worker_pids() == before
    assert max(later - earlier for earlier, later in zip(fed, fed[1:])) < limit(1), "no food for a period"


@pytest.mark.parametrize("value", VALUES)
def test_a_stopped_worker_is_replaced(weir, value):
    """What stands in its place does not hide one that stands still."""
    weir.expect_log("has not turned|exited on signal")
    with beaten(weir, value) as before:
        victim = max(before)
        weir.signal(signal.SIGSTOP, victim)
        wait_until(lambda: not alive(victim), 8, f"the end of {victim}")
        assert before - {victim} < weir.wait_workers(2)
