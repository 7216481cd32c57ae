"""What is tried again after a failure, and what is never sent twice."""

import threading

import pytest
from proxylib import (OK, answer, backend, get,  # noqa: F401 - a fixture
                      is_whole, passed, raw_answer, silent_port, upstream)
from weirlib import take_time, wait_until


# ---- kept connections that have just been closed, and requests sent twice ------------------------------------

def closing_after(count):
    """A script that answers so many requests, then takes one more and closes without an answer."""
    def script(peer):
        for _ in range(count):
            peer.send(answer(b"" if peer.call().method == "HEAD" else b"hello"))
        peer.call()
    return script


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_stale_connection_is_tried_again(weir, backend, method):
    """It was closed as the request came: another connection serves it, and the client notices nothing."""
    up = backend(script=closing_after(1))
    passed(weir, up)
    body = b"abc" if method == "PUT" else None
    assert [weir.get(method=method, body=body).status for _ in range(4)] == [200] * 4
    assert up.accepts == 4 and len(up.calls) == 7


@pytest.mark.parametrize("method", ["POST", "PATCH", "PROPFIND"])
def test_what_may_not_be_repeated_is_sent_once(weir, backend, method):
    up = backend(script=closing_after(1))
    passed(weir, up)
    assert [weir.get(f"/{i}", method=method, body=b"abc").status for i in range(2)] == [200, 502]
    assert [call.target for call in up.calls] == ["/0", "/1"]


def test_closed_while_idle(weir, backend):
    """The upstream has closed the idle connection, whether weir has turned since or not: a POST gets no error."""
    def script(peer):
        peer.call()
        peer.send(answer())
    up = backend(script=script)  # closes at once after each answer
    passed(weir, up)
    for _ in range(20):
        assert weir.get(method="POST", body=b"x").status == 200
        wait_until(lambda: up.peers[-1].socket.fileno() < 0, 5, "the upstream's close")
    assert len(up.calls) == 20


def test_reset_while_idle(weir, backend):
    def script(peer):
        peer.call()
        peer.send(answer())
        take_time(0.02)
        peer.reset()
    up = backend(script=script)
    passed(weir, up)
    for _ in range(5):
        assert weir.get(method="POST", body=b"x").status == 200
        wait_until(lambda: up.peers[-1].closed, 3, "the reset")
        wait_until(lambda: not any(server["idle"] for servers in weir.status()["upstreams"].values() for server in servers), 3, "the worker to see it")


def test_restarted_upstream(weir, backend):
    """All kept connections are stale at once: each request gets through after all."""
    gate = threading.Event()
    dying = threading.Event()

    def script(peer):
        call = peer.call()
        gate.wait(10)
        call.send(answer())
        peer.call()
        if not dying.is_set():
            call.send(answer())
            peer.wait_gone()
    up = backend(script=script)
    passed(weir, up)
    clients = [weir.connect() for _ in range(8)]
    for client in clients:
        client.request("/")
    wait_until(lambda: len(up.calls) == 8, 3, "eight requests")
    gate.set()
    assert [client.response().status for client in clients] == [200] * 8
    dying.set()
    assert weir.get().status == 200  # eight stale ones, then a new one
    assert up.accepts == 9


@pytest.mark.parametrize("fails", ["close", "reset"])
def test_next_server(weir, backend, fails):
    bad, good = backend(lambda call: getattr(call, fails)()), backend(answer(b"good"))
    passed(weir, "up", http=upstream(f"{bad.address} max_fails=0", good))
    for _ in range(4):
        assert weir.get().text == "good"
    assert len(bad.calls) >= 2


@pytest.mark.directive("proxy_next_upstream")
@pytest.mark.parametrize("data", [b"garbage\r\n\r\n", OK + b"X" * 20000, OK + b"X-A\r\n\r\n"],
                         ids=["garbage", "too large", "no colon"])
def test_next_server_after_a_bad_answer(weir, backend, data):
    bad, good = backend(lambda call: (call.send(data), call.close())[1]), backend(answer(b"good"))
    passed(weir, "up", "proxy_next_upstream error timeout invalid_header;",
           http=upstream(f"{bad.address} max_fails=0", good))
    assert [weir.get().text for _ in range(4)] == ["good"] * 4


def test_next_server_after_a_timeout(weir, backend):
    bad, good = backend(lambda call: call.peer.wait_gone()), backend(answer(b"good"))
    passed(weir, "up", "proxy_read_timeout 200ms;", http=upstream(f"{bad.address} max_fails=0", good))
    assert [weir.get().text for _ in range(2)] == ["good"] * 2 and bad.calls


def test_next_server_after_a_connect_timeout(weir, backend):
    port, kept = silent_port()
    good = backend(answer(b"good"))
    passed(weir, "up", "proxy_connect_timeout 200ms;", http=upstream(f"127.0.0.1:{port}", good))
    assert [weir.get(method="POST", body=b"x").text for _ in range(3)] == ["good"] * 3
    assert kept


def test_next_server_for_a_post_that_was_not_sent(weir, backend):
    good = backend(answer(b"good"))
    passed(weir, "up", http=upstream("127.0.0.1:{port2} max_fails=0", good))
    assert [weir.get(method="POST", body=b"x").text for _ in range(4)] == ["good"] * 4
    assert len(good.calls) == 4


def test_no_next_server_for_a_post_that_was_sent(weir, backend):
    bad, good = backend(lambda call: call.close()), backend(answer(b"good"))
    passed(weir, "up", http=upstream(f"{bad.address} max_fails=0", good))
    found = [weir.get(method="POST", body=b"x").status for _ in range(4)]
    assert sorted(found) == [200, 200, 502, 502] and len(bad.calls) == len(good.calls) == 2


def test_no_next_server_once_the_answer_has_begun(weir, backend):
    bad = backend(lambda call: (call.send(answer(b"hello")[:-2]), call.close())[1])
    good = backend(answer(b"good!"))
    passed(weir, "up", http=upstream(f"{bad.address} max_fails=0", good))
    raws = [raw_answer(weir.port, get()) for _ in range(4)]
    assert sum(map(is_whole, raws)) == 2 and len(good.calls) == 2


def test_errors_of_the_application_are_answers(weir, backend):
    """As nginx's default: only errors and timeouts go to the next server."""
    up = backend(answer(b"no", status="503 No"))
    passed(weir, "up", http=upstream(up, up.address))
    assert [weir.get().status for _ in range(3)] == [503] * 3 and len(up.calls) == 3
