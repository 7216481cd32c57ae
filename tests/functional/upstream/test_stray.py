"""What an upstream says on a kept connection while nobody has asked is no request's answer (RFC 9112 section 6.3)."""

import os
import signal
import threading

import pytest
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import proc_field, wait_until

STRAY = {
    "408": answer(b"late", "Connection: close", status="408 Request Timeout"),
    "200": answer(b"evil"),
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nX-Evil: ",
    "garbage": b"garbage\r\n",
    "one byte": b"H",
}


def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: proc_field(pid, "State").startswith("T"), 3, "a stopped worker")


def ask_beside_stray(weir, up, stray, order, method="GET"):
    """The answer to a request that meets the stray bytes in one turn of the worker's loop."""
    worker, = weir.worker_pids()
    with weir.connect() as client:
        assert client.get("/first").text == "real"
        stopped(worker)
        try:
            for step in order:
                if step == "stray":
                    stray(up.peers[0])
                else:
                    client.request("/second", method, body=b"" if method == "POST" else None)
        finally:
            os.kill(worker, signal.SIGCONT)
        return client.response(method)


@pytest.fixture
def up(weir, backend):
    up = backend(answer(b"real"))
    passed(weir, "up", 'proxy_set_header Connection ""; add_header X-Tries $upstream_addr;', http=upstream(up, more="keepalive 4;"))
    return up


ORDERS = [("stray", "request"), ("request", "stray")]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("stray", STRAY)
def test_not_the_next_answer(weir, up, stray, order):
    """Bytes that came before a request went out are not its answer: it has another connection."""
    reply = ask_beside_stray(weir, up, lambda peer: peer.send(STRAY[stray]), order)
    assert (reply.status, reply.text, reply.header("X-Tries")) == (200, "real", up.address)
    assert up.accepts == 2 and [call.target for call in up.calls] == ["/first", "/second"]
    assert up.peers[0].gone.wait(3)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_closed_meanwhile(weir, up, method):
    """A connection that was closed while it was idle costs no try, whatever the method."""
    reply = ask_beside_stray(weir, up, lambda peer: peer.socket.shutdown(1), ("stray", "request"), method)
    assert (reply.status, reply.header("X-Tries"), up.accepts) == (200, up.address, 2)


def test_quiet_ones_are_used(weir, backend):
    """Of several kept connections those that stayed quiet go on being used."""
    together = threading.Barrier(3)

    def reply(call):
        if call.target == "/together":
            together.wait(10)
        return answer(b"real")
    up = backend(reply)
    passed(weir, "up", 'proxy_set_header Connection "";', http=upstream(up, more="keepalive 4;"))
    worker, = weir.worker_pids()
    clients = [weir.connect() for _ in range(3)]
    for client in clients:
        client.request("/together")
    assert [client.response().text for client in clients] == ["real"] * 3
    stopped(worker)
    try:
        for peer in up.peers[:2]:
            peer.send(STRAY["200"])
        for client in clients:
            client.request("/after")
    finally:
        os.kill(worker, signal.SIGCONT)
    assert [client.response().text for client in clients] == ["real"] * 3
    assert all(peer.gone.wait(3) for peer in up.peers[:2]) and not up.peers[2].gone.is_set()
    for client in clients:
        client.close()
