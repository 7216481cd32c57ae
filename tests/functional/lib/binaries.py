"""Masters by age, each a binary that has taken over from the one before (USR2), for tests of what they share."""

import contextlib
import os
import shutil
import signal

import pytest

import weirlib
from limits import LOCATIONS, limited
from weirlib import alive, children, wait_until

WAITS = "queue=50 queue_timeout=20s"
ALONE = "count their limits of concurrency by themselves"


class Binaries:
    """Masters by age. The pid of the server is the newest one's, as the pid file says."""

    def __init__(self, weir):
        self.weir, self.pids = weir, []

    def start(self, zone=f"limit=3 {WAITS}", locations=LOCATIONS, workers=1, **parts):
        self.weir.start(limited(zone, locations, workers=workers, **parts), daemon=True)
        self.weir.wait_workers(workers)
        self.pids = [self.weir.pid]

    @property
    def old(self):
        return self.pids[-2]

    @property
    def new(self):
        return self.pids[-1]

    def workers_of(self, pid):
        return [child for child in children(pid) if child not in self.pids]

    def upgrade(self):
        """USR2 to the newest; waits until the new binary serves."""
        old = self.pids[-1]
        os.kill(old, signal.SIGUSR2)
        pid = self.weir.read_pid_file
        self.pids.append(wait_until(lambda: pid() not in (None, *self.pids) and pid(), 5, "a new pid file"))
        self.weir.wait_log(f"the new binary, {self.new}, serves")
        return self.new

    def quit_old(self):
        """The old binary finishes: it accepts nothing more."""
        os.kill(self.old, signal.SIGQUIT)
        for pid in self.workers_of(self.old):
            self.weir.wait_log(rf"{pid}#{pid}: gracefully shutting down")

    def gone(self, pid):
        return wait_until(lambda: not alive(pid), 10, f"the end of {pid}")

    def end(self):
        for pid in reversed(self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                self.gone(pid)


@pytest.fixture
def binaries(weir):
    found = Binaries(weir)
    yield found
    found.end()


def own_copy(weir):
    """The server runs from a copy of the program, which the test may replace; returns its path."""
    folder = weir.tmp / "bin"
    folder.mkdir()
    copy = folder / "weir"
    shutil.copy(weirlib.BINARY, copy)
    command = weir.command
    weir.command = lambda *args, **options: command(*args, **{"binary": copy, **options})
    return copy


def replace_by_script(copy, *lines):
    """The next binary runs these lines of shell before it is the program again."""
    real, script = copy.with_name("real"), copy.with_name("script")
    shutil.copy(weirlib.BINARY, real)
    script.write_text("\n".join(["#!/bin/sh", *lines, f'exec {real} "$@"', ""]))
    script.chmod(0o755)
    script.replace(copy)
