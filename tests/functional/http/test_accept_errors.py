"""accept() that goes on failing: the worker neither spins nor fills the log, and serves all others, and these when it is over."""

import atexit
import errno
import functools
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
from weirlib import ROOT, config, cpu_seconds, limit, take_time, wait_until, with_listen_fds

ERRORS = [errno.EPERM, errno.EINVAL, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EIO,
          errno.ENOSPC]
WATCHED_S = 1


@functools.cache
def library():
    """The path of accept_fails.c as a library."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-accept-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    source, path = ROOT / "tests/functional/lib/accept_fails.c", folder / "accept_fails.so"
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", source, "-o", path, "-ldl"], check=True)
    return path


@pytest.fixture
def failing(weir):
    """A server with two ports, the second of which can be made to fail: (server, its worker, what sets the error)."""
    def fail(error):
        gate = weir.tmp / "error"
        if error:
            gate.with_suffix(".new").write_text(str(error))
            gate.with_suffix(".new").rename(gate)
        else:
            gate.unlink()
    weir.start(config(server="listen 127.0.0.1:{port2};"),
               env={**os.environ, "LD_PRELOAD": str(library()), "ACCEPT_PORT": str(weir.port2), "ACCEPT_ERROR": str(weir.tmp / "error")})
    [worker] = weir.wait_workers(1)
    return weir, worker, fail


def lines(weir, text):
    return sum(text in line for line in weir.error_log.splitlines())


def is_quiet(weir, worker, message):
    """For a while: few lines, little time of the processor, and an answer on the other port at once each time."""
    used, said, begun = cpu_seconds(worker), lines(weir, "accept4() failed"), time.monotonic()
    took = []
    while time.monotonic() - begun < WATCHED_S:
        before = time.monotonic()
        assert weir.get("/").status == 200
        took.append(time.monotonic() - before)
        take_time(0.05)
    assert lines(weir, "accept4() failed") - said <= 2, lines(weir, "accept4() failed")
    assert cpu_seconds(worker) - used < limit(0.3), "the loop spins"
    assert sorted(took)[len(took) // 2] < limit(0.04), "the other port waits"  # whose pause would be 0.1 s
    assert f"{message})" in weir.error_log


@pytest.mark.parametrize("error", ERRORS, ids=[errno.errorcode[each] for each in ERRORS])
def test_other_errors(failing, error):
    """An error that stays: one line, a pause, and everything goes on when it has passed."""
    weir, worker, fail = failing
    weir.expect_log(r"accept4\(\) failed")
    fail(error)
    waiting = weir.connect(weir.port2)
    waiting.request("/")
    wait_until(lambda: lines(weir, "accept4() failed"), 3, "a line")
    is_quiet(weir, worker, f"{error}: {os.strerror(error)}")
    fail(None)
    assert waiting.response().status == 200
    waiting.close()
    assert weir.worker_pids() == {worker}


def test_socket_that_was_shut_down(weir):
    """So it is with a socket that somebody else has shut down, who had handed it over."""
    weir.expect_log(r"accept4\(\) failed")
    with socket.socket() as given:
        given.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        given.bind(("127.0.0.1", weir.port2))
        given.listen()
        weir.start(config(server="listen 127.0.0.1:{port2};"), **with_listen_fds([given]))
        [worker] = weir.wait_workers(1)
        given.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: lines(weir, "accept4() failed"), 3, "a line")
        is_quiet(weir, worker, f"{errno.EINVAL}: {os.strerror(errno.EINVAL)}")
