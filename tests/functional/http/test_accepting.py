"""How a worker takes connections: how many in a turn of its loop, and with which option of their sockets."""

import ctypes
import os
import socket

import pytest
from limits import stopped
from weirlib import config, wait_until

WAITING = 8


@pytest.mark.directive("multi_accept")
@pytest.mark.parametrize("setting", ["on", "off"])
def test_as_many_as_there_are(weir, setting):
    """A request on another connection is answered when all that waited have been taken, or between two of them.

    What has come last is looked at first, mostly: what comes over two cores may come the other way round.
    """
    weir.start(config("location / { return 200 $connections_active; }", events=f"multi_accept {setting};"))
    [worker] = weir.wait_workers(1)
    seen = set()
    for _ in range(8):
        with weir.connect() as first:
            wait_until(lambda c=first: c.get("/").text == "1", 3, "the end of all other connections")
            with stopped(worker):
                first.request("/")
                clients = [weir.connect() for _ in range(WAITING)]
            seen.add(int(first.response().text))
        for client in clients:
            client.close()
    assert (WAITING + 1 in seen) == (setting == "on"), seen


def server_end(worker, client):
    """A worker's socket of a client's connection."""
    PIDFD_GETFD = 438
    pidfd = os.pidfd_open(worker)
    try:
        for name in os.listdir(f"/proc/{worker}/fd"):
            fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, pidfd, int(name), 0)
            try:
                end = socket.socket(fileno=fd)
                if end.getpeername() == client.socket.getsockname():
                    return end
                end.close()
            except OSError:  # another kind of file, or a listener
                pass
    finally:
        os.close(pidfd)
    raise AssertionError("the worker has no such connection")


@pytest.mark.directive("tcp_nodelay")
@pytest.mark.needs("looks_into_others")
@pytest.mark.parametrize("lines, delays", [("", False), ("tcp_nodelay on;", False), ("tcp_nodelay off;", True)])
def test_nodelay(weir, lines, delays):
    """Small pieces go at once, unless the server says otherwise."""
    weir.start(config(server=lines))
    [worker] = weir.wait_workers(1)
    with weir.connect() as client:
        client.get("/")
        with server_end(worker, client) as end:
            assert (end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0) == delays
