"""USR2 to the newer of two masters: refused while the older one lives, as in nginx, and obeyed once it has gone."""

import os
import signal

import pytest
from weirlib import alive, children, descendants, is_weir, proc_field, wait_until


class Masters:
    """Masters by age; the first is the server's own."""

    def __init__(self, weir):
        self.weir, self.pids = weir, []

    def start(self):
        self.weir.start(daemon=True)
        self.pids = [self.weir.pid]
        self.upgrade(self.weir.pid)

    def upgrade(self, pid):
        """USR2 to this one; waits for the new one, whose pid it returns."""
        os.kill(pid, signal.SIGUSR2)
        self.pids.append(wait_until(lambda: self.weir.read_pid_file() not in (None, *self.pids) and self.weir.read_pid_file(),
                                    5, "a new pid file"))
        wait_until(lambda: len(children(self.pids[-1])) == 1, 5, "its worker")
        return self.pids[-1]

    def end(self, pid, number=signal.SIGQUIT):
        os.kill(pid, number)
        wait_until(lambda: not alive(pid) and all(proc_field(each, "PPid") != str(pid) for each in self.pids), 5,
                   f"the end of {pid}, of all its threads")

    @property
    def old_pid(self):
        path = self.weir.tmp / "logs/weir.pid.oldbin"
        return int(path.read_text()) if path.exists() else None

    @property
    def pid(self):
        return self.weir.read_pid_file()


@pytest.fixture
def masters(weir):
    found = Masters(weir)
    found.start()
    yield found
    for pid in reversed(found.pids):
        if alive(pid):
            found.end(pid, signal.SIGTERM)


def refused(masters, pid):
    """USR2 to this master changes nothing, and the log says why."""
    before = set(descendants(masters.weir.pid)) | set(descendants(pid))
    os.kill(pid, signal.SIGUSR2)
    masters.weir.wait_log(rf"{pid}#{pid}: .*(binary|USR2).*(ignored|not upgrading).*{masters.pids[0]}")
    assert (masters.old_pid, masters.pid) == tuple(masters.pids)
    assert set(filter(is_weir, set(descendants(masters.weir.pid)) | set(descendants(pid)))) == set(filter(is_weir, before))
    assert masters.weir.get("/").status == 200


def test_refused_while_the_old_one_lives(weir, masters):
    """The pid files stay what they are; when the old one has gone, .oldbin has, and the new one is the server."""
    first, second = masters.pids
    refused(masters, second)
    masters.end(first)
    assert (masters.old_pid, masters.pid) == (None, second)
    assert weir.get("/").status == 200


def test_refused_and_taken_back(weir, masters):
    """When the new one goes instead, the old one has its pid file back, and can be upgraded again."""
    first, second = masters.pids
    refused(masters, second)
    masters.end(second)
    wait_until(lambda: masters.pid == first, 3, "the old pid file")
    assert masters.old_pid is None
    third = masters.upgrade(first)
    assert (masters.old_pid, masters.pid) == (first, third)


def test_obeyed_when_the_old_one_has_gone(weir, masters):
    """Then the newer one is an ordinary server."""
    first, second = masters.pids
    masters.end(first)
    third = masters.upgrade(second)
    assert (masters.old_pid, masters.pid) == (second, third)
    masters.end(second)
    assert (masters.old_pid, masters.pid) == (None, third)
    assert weir.get("/").status == 200


def test_obeyed_when_the_old_one_was_killed(weir, masters):
    """Also when it went without a word and left its .oldbin."""
    weir.expect_log("master is gone|exited")
    first, second = masters.pids
    masters.end(first, signal.SIGKILL)
    third = masters.upgrade(second)
    assert (masters.old_pid, masters.pid) == (second, third)
    masters.end(third)
    wait_until(lambda: masters.pid == second, 3, "the pid file back")
    assert masters.old_pid is None
