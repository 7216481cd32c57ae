"""New connections go where there is least to do, whichever worker is the first to hear of them."""

import contextlib
import random
import socket
import threading

import pytest
from limits import stopped
from weirlib import config, free_port, wait_until

CLIENTS, MOST = 64, 20


def shares(weir):
    """Connections of each worker, without the one that asks."""
    counts = [w["connections"] for w in weir.status()["workers"]]
    return sorted(counts)


def all_taken(weir, count):
    wait_until(lambda: sum(shares(weir)) == count + 1, 5, f"{count} connections that are taken")
    return shares(weir)


def close_all(clients):
    for client in clients:
        client.close()


@pytest.mark.parametrize("accept", ["off", "on"])
@pytest.mark.parametrize("way", ["one by one", "in a burst"])
def test_idle_ones(weir, way, accept):
    """Those that only connect, through two listening sockets."""
    second = free_port()
    weir.start(config(workers=4, events=f"multi_accept {accept};", server=f"listen 127.0.0.1:{second};"))
    weir.wait_workers(4)
    ports = [weir.port, second]
    if way == "one by one":
        clients = []
        for i in range(CLIENTS):
            clients.append(socket.create_connection(("127.0.0.1", ports[i % 2])))
            wait_until(lambda n=i: sum(shares(weir)) == n + 2, 5, "the connection")
    else:
        with stopped(*weir.worker_pids()):
            clients = [socket.create_connection(("127.0.0.1", ports[i % 2])) for i in range(CLIENTS)]
    found = all_taken(weir, CLIENTS)
    close_all(clients)
    assert found[-1] <= MOST + 1, found


def test_kept_ones(weir):
    """A client that stays counts where it is, though it asks for nothing."""
    weir.start(config(workers=4))
    weir.wait_workers(4)
    clients = []
    for _ in range(CLIENTS):
        clients.append(weir.connect())
        assert clients[-1].get("/").status == 200
    found = all_taken(weir, CLIENTS)
    close_all(clients)
    assert found[-1] <= MOST + 1, found


def test_a_stopped_worker_keeps_nobody(weir):
    """It looks idle, but takes nothing: the others have its clients."""
    weir.start(config(workers=3))
    first, second, last = weir.wait_workers(3)
    with stopped(first, second):
        clients = [weir.connect() for _ in range(12)]
        for client in clients:
            assert client.get("/").status == 200
    close_all(clients)
    assert last in weir.worker_pids()


def drain(connection):
    with contextlib.suppress(OSError):
        while connection.socket.recv(1 << 20):
            pass


def test_long_turns(weir):
    """One worker compresses all the time: who comes is with the other one, which has more connections by then."""
    weir.write("".join(random.Random(1).choices("abcdefgh", k=1 << 20)) * 64, "html/dense.txt")
    weir.start(config("location / { root html; gzip on; gzip_types text/plain; gzip_comp_level 9; }", workers=2))
    weir.wait_workers(2)
    busy = weir.connect()
    reader = threading.Thread(target=drain, args=(busy,))
    busy.send(b"GET /dense.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n")
    assert b"200 OK" in busy.socket.recv(1 << 12)
    reader.start()
    clients = []
    for _ in range(10):
        clients.append(weir.connect())
        assert clients[-1].get("/missing").status == 404
    found = all_taken(weir, 11)
    busy.socket.shutdown(socket.SHUT_RDWR)
    reader.join()
    close_all([*clients, busy])
    assert found[0] <= 3, found
