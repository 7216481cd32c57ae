"""Handshakes in the pool that requests have: one at a time, so that they take no more than one of its threads; the others wait in a line."""

import contextlib
import signal

import pytest
from limits import TALLY, open_gate, tally_module
from tlslib import SAYS, begin, says, serve
from weirlib import wait_until

HELD = SAYS + f"location /held {{ {TALLY} }}"


@pytest.fixture
def slow(authority):
    if not authority.path("slow.pem").exists():
        authority.certificate("slow", ["localhost"], "rsa4096")
    return authority


def start(weir, authority, pool="threads=1 max_queue=10"):
    serve(weir, authority, HELD, name="slow", log="info", pool=pool, main=f"load_module {tally_module()};")


@contextlib.contextmanager
def occupied(weir):
    """All threads, until the block ends or the gate is opened: what waits for a second is let go."""
    threads = weir.pool("default")["threads"]["max"]
    with contextlib.ExitStack() as stack:
        for _ in range(threads):
            stack.enter_context(weir.connect()).request("/held?id=held&gate=g")
        stack.callback(open_gate, weir)
        wait_until(lambda: weir.pool("default")["threads"]["running"] == threads, 5, "tasks of all threads")
        yield


def begin_all(weir, authority, count):
    """So many clients, whose first words the worker has read."""
    before = weir.status()["connections"]["active"]
    clients = [begin(weir, authority.client())[0] for _ in range(count)]
    wait_until(lambda: weir.status()["connections"]["active"] == before + count, 5, "all connections")
    wait_until(lambda: weir.pool("default")["queue"]["length"] == 1, 5, "a handshake in the pool")
    return clients


def test_one_at_a_time(weir, slow):
    """However many threads there are, and all are answered."""
    start(weir, slow, "threads=3 max_queue=100")
    with occupied(weir):
        clients = begin_all(weir, slow, 8)
        assert weir.pool("default")["queue"]["length"] == 1
        open_gate(weir)
        assert [plain.recv(1) for plain in clients] == [b"\x16"] * len(clients)
    for plain in clients:
        plain.close()
    assert weir.status()["tls"]["handshakes"]["refused"] == 0
    assert says(weir, slow.client())[0] == "https"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_who_leaves_the_line(weir, slow, how):
    """Is forgotten at once, from wherever it stands; the others have their turn."""
    start(weir, slow)
    with occupied(weir):
        clients = begin_all(weir, slow, 5)
        before = weir.status()["connections"]["active"]
        for place in (4, 2, 0):
            if how == "reset":
                clients[place].setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER
            clients[place].close()
        wait_until(lambda: weir.status()["connections"]["active"] == before - 3, 5, "the end of three")
        open_gate(weir)
        assert [clients[place].recv(1) for place in (1, 3)] == [b"\x16"] * 2
    for place in (1, 3):
        clients[place].close()
    assert says(weir, slow.client())[0] == "https"


def test_the_line_has_an_end(weir, slow):
    """It is as long as the pool's queue may be."""
    start(weir, slow, "threads=1 max_queue=2")
    with occupied(weir):
        clients = begin_all(weir, slow, 2)
        last, *_ = begin(weir, slow.client())
        assert last.recv(1) == b""
        weir.wait_log(r"SSL: no thread was free for it\) while SSL handshaking")
        for plain in (*clients, last):
            plain.close()
    assert weir.status()["tls"]["handshakes"]["refused"] == 1


def test_what_waits_too_long_is_closed(weir, slow):
    """In the pool and in the line."""
    start(weir, slow, "threads=1 max_queue=10 queue_timeout=500ms")
    with occupied(weir):
        clients = begin_all(weir, slow, 3)
        assert [plain.recv(1) for plain in clients] == [b""] * 3
        for plain in clients:
            plain.close()
    assert weir.status()["tls"]["handshakes"]["expired"] == 3


def test_the_worker_ends_while_they_wait(weir, slow):
    start(weir, slow)
    with occupied(weir):
        clients = begin_all(weir, slow, 3)
        weir.signal(signal.SIGTERM)
        open_gate(weir)
        assert weir.wait_exit(10) == 0
        for plain in clients:
            plain.close()
