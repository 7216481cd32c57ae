"""proxy_request_buffering off: bodies that go on while they come, slow and failing sides, early answers, limits."""

import socket
import struct
import threading

import pytest
from proxylib import answer, backend, chunk_line, digest, digesting, noise, passed, rss_bytes, upstream, whole_body, worker  # noqa: F401 - a fixture
from weirlib import SLOW, config, cpu_seconds, let_pass, limit, take_time, wait_until, watch
from wire import GOOD, chunked, head

OFF = "proxy_request_buffering off;"
LARGE = 50 << 20
FRAMINGS = ("length", "chunked")


def framed(body, framing, target="/"):
    if framing == "length":
        return head(f"POST {target} HTTP/1.1", f"Content-Length: {len(body)}") + body
    return head(f"POST {target} HTTP/1.1", "Transfer-Encoding: chunked") + chunked(body, 70000)


def begun(weir, framing="length", announced=100000, sent=b"x" * 1000, timeout=10):
    """A client in the middle of its body."""
    client = weir.connect(timeout=timeout)
    field = f"Content-Length: {announced}" if framing == "length" else "Transfer-Encoding: chunked"
    client.send(head("POST / HTTP/1.1", field) + (sent if framing == "length" else b"%x\r\n%s\r\n" % (len(sent), sent)))
    return client


def one(backend, reply):
    return backend(reply, read_body=False)


# ---- bytes --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("buffer", ["1k", "16k", "1m"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_sizes(weir, backend, framing, buffer):
    """Byte by byte what the client has sent, in the client's framing, on kept connections."""
    up = one(backend, digesting)
    passed(weir, up, OFF + f"client_body_buffer_size {buffer};")
    with weir.connect(timeout=20) as client:
        for size in (0, 1, 4096, 16384, 16385, 65537, 1 << 20, LARGE if buffer == "16k" else 3 << 20):
            body = noise(size)
            client.send(framed(body, framing))
            reply = client.response()
            assert (reply.status, reply.text, reply.header("X-Framing")) == (200, digest(body), framing), size
    assert up.accepts == 1


@pytest.mark.parametrize("framing", FRAMINGS)
def test_upstream_sees_the_beginning(weir, backend, framing):
    seen = threading.Event()

    def reply(call):
        first = call.peer.exactly(3) if framing == "length" else (chunk_line(call.peer), chunk_line(call.peer))[1]
        assert first == b"abc"
        seen.set()
        return (call.peer.exactly(3 if framing == "length" else 5), answer())[1]
    passed(weir, one(backend, reply), OFF)
    with begun(weir, framing, 6, b"abc") as client:
        assert seen.wait(limit(2))
        client.send(b"def" if framing == "length" else b"0\r\n\r\n")
        assert client.response().status == 200


@pytest.mark.parametrize("framing", FRAMINGS)
def test_pipelined_behind_the_body(weir, backend, framing):
    up = one(backend, digesting)
    passed(weir, up, OFF)
    bodies = [noise(size) for size in (10, 100000, 0, 70000, 1)]
    with weir.connect() as client:
        client.send(b"".join(framed(body, framing, f"/{i}") + GOOD for i, body in enumerate(bodies)))
        for body in bodies:
            assert client.response().text == digest(body) and client.response().text == digest(b"")
    assert up.accepts == 1 and [call.target for call in up.calls[::2]] == [f"/{i}" for i in range(5)]


def test_expect(weir, backend):
    up = one(backend, digesting)
    passed(weir, up, OFF)
    with weir.connect() as client:
        for _ in range(2):
            client.send(head("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 5"))
            assert client.socket.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"hello")
            assert client.response().text == digest(b"hello") and not up.call.all("Expect")


# ---- slow sides ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing", FRAMINGS)
def test_slow_upstream(weir, backend, framing):
    """The client is not read faster than the upstream reads; its own time does not run meanwhile."""
    gate, body, sent = threading.Event(), noise(LARGE), [0]
    up = one(backend, lambda call: (gate.wait(limit(20)), digesting(call))[1])
    passed(weir, up, OFF + "client_body_timeout 600ms;")
    before = rss_bytes(worker(weir))
    with weir.connect(timeout=20) as client:
        def send(data=framed(body, framing)):
            for at in range(0, len(data), 1 << 16):
                client.send(data[at:at + (1 << 16)])
                sent[0] = at
        threading.Thread(target=send, daemon=True).start()
        watch(1)
        used, stalled = cpu_seconds(worker(weir)), sent[0]
        watch(0.5)
        assert sent[0] == stalled < LARGE * 0.6 and cpu_seconds(worker(weir)) - used < 0.1 * SLOW
        assert rss_bytes(worker(weir)) - before < 2 << 20
        gate.set()
        assert client.response().text == digest(body)


def test_waiting_for_a_server_is_not_the_client_s_time(weir, backend):
    """Nor does client_body_timeout run in an upstream's queue, when the client is not read any more."""
    gate = threading.Event()
    up = one(backend, lambda call: (call.target != "/" and gate.wait(limit(10)), digesting(call))[1])
    passed(weir, "up", OFF + "client_body_timeout 400ms;",
           http=upstream(f"{up.address} max_conns=1", more="queue 10;"))
    with weir.connect() as holder, weir.connect() as client:
        holder.request("/hold")
        wait_until(lambda: up.calls, 3, "the first request")
        body = noise(8 << 20)
        threading.Thread(target=client.send, args=[framed(body, "length")], daemon=True).start()
        let_pass(1.2)
        gate.set()
        assert client.response().text == digest(body) and holder.response().status == 200


def test_slow_client(weir, backend):
    """proxy_send_timeout and proxy_read_timeout do not run while the client is waited for."""
    passed(weir, one(backend, digesting), OFF + "proxy_send_timeout 300ms; proxy_read_timeout 300ms;")
    with begun(weir, announced=4, sent=b"a") as client:
        for byte in b"bcd":
            take_time(0.5)
            client.send(bytes([byte]))
        assert client.response().text == digest(b"abcd")


def test_client_that_stops(weir, backend):
    up = one(backend, digesting)
    passed(weir, up, OFF + "client_body_timeout 400ms;", server='access_log {tmp}/logs/t.log t;',
           http='log_format t "$request_method $status";')
    client = begun(weir)
    assert up.call and up.peers[0].gone.wait(limit(3)) and client.until_close()[9:12] in (b"", b"408")
    wait_until(lambda: "POST 408\n" in (weir.tmp / "logs/t.log").read_text(), 2, "408 in the log")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_client_leaves(weir, backend, framing, how):
    """The upstream's connection ends, so that it cannot take a part for the whole."""
    up = one(backend, digesting)
    passed(weir, up, OFF)
    assert weir.get().status == 200
    client = begun(weir, framing)
    wait_until(lambda: len(up.calls) == 2, 3, "the request")
    client.wait_taken()
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert up.peers[0].gone.wait(limit(2))
    assert weir.get().status == 200 and up.accepts == 2


# ---- answers before the end of the body ---------------------------------------------------------------------

def refused_early(weir, up, client, status, text=None):
    """The answer comes, nothing behind it, and what follows the body is no request."""
    reply = client.response()
    assert reply.status == status and reply.header("Connection") == "close" and text in (None, reply.text)
    try:
        client.send(b"\r\n" + GOOD)
    except OSError:
        pass
    assert client.until_close() == b"" and not [call for each in up for call in each.calls if call.target == "/after"]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("how", ["close", "stay", "reset"])
def test_early_answer(weir, backend, framing, how):
    def reply(call):
        call.peer.exactly(1000)
        call.send(answer(b"no", status="403 Forbidden"))
        take_time(0.1)
        return call.reset() if how == "reset" else call.close() if how == "close" else call.peer.wait_gone()
    up = one(backend, lambda call: answer() if call.method == "GET" else reply(call))
    passed(weir, up, OFF)
    with begun(weir, framing) as client:
        refused_early(weir, [up], client, 403, "no")
    assert up.peers[0].gone.wait(limit(2)) or how != "stay"
    assert weir.get().status == 200 and up.accepts == 2


@pytest.mark.parametrize("framing", FRAMINGS)
def test_early_redirect_inside(weir, backend, framing):
    """X-Accel-Redirect in an early answer: the rest of the body is neither a request nor the next location's body."""
    up, other = one(backend, answer(b"", "X-Accel-Redirect: /in")), backend(answer(b"in"))
    passed(weir, up, OFF, server=f"location /in {{ proxy_pass http://{other.address}; }}"
                                 "location /here { return 200 here; }")
    with begun(weir, framing, sent=b"x" * 10) as client:
        refused_early(weir, [up, other], client, 200, "in")
    assert (other.call.method, other.call.body, other.call.header("Content-Length", "0")) == ("GET", b"", "0")


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("where", ["/page", "@page"])
def test_error_page_from_an_upstream(weir, backend, framing, where):
    """It gets no part of the body that failed; a named location, whose request has the body, cannot be asked."""
    bad, page = one(backend, lambda call: (call.peer.exactly(500), call.close())[1]), one(backend, answer(b"page"))
    passed(weir, bad, OFF + f"error_page 502 = {where};", server=f"location {where} {{ {OFF} proxy_pass "
           f"http://{page.address}; }}")
    with begun(weir, framing, timeout=3) as client:
        refused_early(weir, [page], client, 200 if where == "/page" else 502)
    said = [(call.method, call.header("Content-Length", "0"), call.header("Transfer-Encoding")) for call in page.calls]
    assert said == [("GET", "0", None)][where == "@page":]


@pytest.mark.parametrize("more, status", [(b"7530\r\n", 413), (b"2710\r\n" + b"y" * 10000, 413), (b"zz\r\n", 400),
                                          (b"5\r\nhelloX", 400), (b"\n", 400)])
def test_bad_chunks_in_the_middle(weir, backend, more, status):
    """client_max_body_size and malformed chunks: refused, and the upstream never sees an end."""
    ended = []
    up = one(backend, lambda call: (whole_body(call), ended.append(1), answer())[2])
    passed(weir, up, OFF + "client_max_body_size 10k;")
    with begun(weir, "chunked") as client:
        wait_until(lambda: up.calls, 3, "the request")
        client.wait_taken()
        client.send(more)
        refused_early(weir, [up], client, status)
    assert up.peers[0].gone.wait(limit(2)) and not ended


# ---- other servers, limits ----------------------------------------------------------------------------------

def test_no_second_server_once_a_part_is_sent(weir, backend):
    bad, good = one(backend, lambda call: (call.peer.exactly(500), call.close())[1]), one(backend, digesting)
    passed(weir, "up", OFF, http=upstream(bad, good))
    with weir.connect() as client:
        client.send(head("PUT / HTTP/1.1", "Content-Length: 100000") + b"x" * 1000)
        refused_early(weir, [bad, good], client, 502)
    assert bad.accepts == 1 and not good.calls


@pytest.mark.parametrize("framing", FRAMINGS)
def test_second_server_before(weir, backend, framing):
    """One that cannot be connected to costs nothing of the body."""
    good, body = one(backend, digesting), noise(1 << 20)
    passed(weir, "up", OFF, http=upstream("127.0.0.1:1", good))
    with weir.connect() as client:
        client.send(framed(body, framing))
        assert client.response().text == digest(body)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_limits(weir, backend, framing):
    """A body waits unread for its permit; that of a refused request is no request."""
    gate, body = threading.Event(), noise(3 << 20)
    up = one(backend, lambda call: (call.target == "/hold" and gate.wait(limit(10)), digesting(call))[1])
    weir.start(config(f"location / {{ limit_concurrency z; proxy_pass http://{up.address}; {OFF} }}",
                      http="limit_concurrency_zone z limit=1 queue=1 queue_timeout=10s; client_max_body_size 9m;"))
    with weir.connect() as holder, weir.connect() as waiter:
        holder.request("/hold")
        wait_until(lambda: up.calls, 3, "the first request")
        threading.Thread(target=waiter.send, args=[framed(body, framing)], daemon=True).start()
        wait_until(lambda: weir.status()["concurrency"]["z"]["queued"] == 1, 3, "the second one")
        with begun(weir, framing) as client:
            calls = len(up.calls)
            assert client.response().status == 503 and len(up.calls) == calls
        gate.set()
        assert holder.response().status == 200 and waiter.response().text == digest(body)
        assert waiter.get("/").text == digest(b"")
