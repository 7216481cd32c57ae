"""Bodies through proxy_pass: every framing and cut, sizes both ways, interim answers, back-pressure, slow sides."""

import threading
import time

import pytest
from proxylib import (CHUNKS, answer, backend, digest, get, narrow, noise, passed, raw_answer,  # noqa: F401 - a fixture
                      rss_bytes, upstream, worker)
from weirlib import SLOW, cpu_seconds, take_time, wait_until, watch
from wire import GOOD, ask, chunked, head

LARGE = 20 << 20


# ---- framing of answers -------------------------------------------------------------------------------------

def last(data):
    """An answer that ends with the connection."""
    return lambda call: (call.send(data), call.close())[1]


FRAMINGS = {
    "length": answer(b"hello"),
    "length of HTTP/1.0": last(answer(b"hello", version="1.0")),
    "chunked": CHUNKS + chunked(b"hello"),
    "chunked with extensions and trailers": CHUNKS + b'2;a="b"\r\nhe\r\n3\r\nllo\r\n0;x\r\nX-T: 1\r\n\r\n',
    "until close": last(answer(b"hello", length=False)),
    "until close of HTTP/1.0": last(answer(b"hello", length=False, version="1.0")),
    "length and close": last(answer(b"hello", "Connection: close")),
    "length twice the same": answer(b"hello", "Content-Length: 5"),
    "more than the length": last(answer(b"hello") + b"HTTP/1.1 200 OK\r\n\r\nEVIL"),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_framings(weir, backend, framing):
    passed(weir, backend(FRAMINGS[framing]))
    with weir.connect() as client:  # HTTP/1.1: the connection stays usable
        for _ in range(2):
            reply = client.get("/")
            assert (reply.status, reply.body) == (200, b"hello") and reply.header("Connection") == "keep-alive"
            assert (reply.header("Content-Length") == "5") == ("length" in framing)
    raw = raw_answer(weir.port, b"GET / HTTP/1.0\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n") and raw.endswith(b"\r\n\r\nhello") and b"chunked" not in raw
    kept = raw_answer(weir.port, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    assert kept.count(b"hello") == (2 if "length" in framing else 1)


@pytest.mark.parametrize("data", [answer(b"hello"), CHUNKS + chunked(b"hello world", 4),
                                  CHUNKS + b"5;e=x\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"], ids=["length", "chunked", "odd"])
def test_answer_byte_by_byte(weir, backend, data):
    up = backend(lambda call: call.peer.send_slowly(data, 0.001))
    passed(weir, up)
    with weir.connect() as client:
        for _ in range(2):
            assert client.get("/").body in (b"hello", b"hello world")
    assert up.accepts == 1


def test_chunked_answer_cut_everywhere(weir, backend):
    """In two pieces that meet at each byte."""
    data = CHUNKS + chunked(b"hello world", 4, b"X-T: 1\r\n")

    def reply(call):
        at = int(call.target[1:])
        call.send(data[:at])
        take_time(0.003)
        call.send(data[at:])
    passed(weir, backend(reply))
    with weir.connect() as client:
        assert [client.get(f"/{at}").text for at in range(1, len(data))] == ["hello world"] * (len(data) - 1)


BODYLESS = {"204": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
            "304": b"HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n",
            "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
            "204 with chunked": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"}


@pytest.mark.parametrize("which", BODYLESS)
def test_answers_without_a_body(weir, backend, which):
    up = backend(BODYLESS[which])
    passed(weir, up)
    raw = raw_answer(weir.port, get("/").replace(b"Connection: close\r\n", b"") + get("/"))
    assert raw.count(b"HTTP/1.1 " + which[:3].encode()) == 2 and raw.endswith(b"\r\n\r\n") and len(up.calls) == 2
    assert b"Transfer-Encoding" not in raw


@pytest.mark.parametrize("data, length", [(answer(b"x" * 100000), "100000"), (answer(b""), "0"), (CHUNKS, None),
                                          (answer(b"", length=False), None)], ids=["length", "0", "chunked", "close"])
def test_head(weir, backend, data, length):
    """What GET would say of the length, or nothing; no body either way."""
    up = backend(data)
    passed(weir, up)
    with weir.connect() as client:
        for _ in range(2):
            client.request("/", method="HEAD")
            reply = client.response("HEAD")
            assert reply.status == 200 and reply.header("Content-Length") == length
        assert client.get("/status").status == 200  # nothing followed the head
    assert up.call.method == "HEAD"


# ---- interim answers ----------------------------------------------------------------------------------------

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


@pytest.mark.parametrize("before", [CONTINUE, HINTS, CONTINUE + HINTS + HINTS, b"HTTP/1.1 102\r\n\r\n", HINTS * 500,
                                    b"HTTP/1.1 150 Odd\r\nContent-Length: 5\r\n\r\n"])
@pytest.mark.parametrize("slowly", [False, True])
def test_interim_answers(weir, backend, before, slowly):
    """They come before the answer and are not it; the connection stays usable on both sides."""
    data = before + answer(b"final", "X-Final: 1")
    up = backend((lambda call: call.peer.send_slowly(data, 0.001, len(data) // 50)) if slowly else data)
    passed(weir, up)
    with weir.connect() as client:
        for _ in range(2):
            reply = client.get("/")
            assert (reply.status, reply.text, reply.header("X-Final")) == (200, "final", "1")
            assert reply.header("Link") is None
    assert up.accepts == 1


def test_interim_answers_without_end(weir, backend):
    """They do not hold a client for ever."""
    def reply(call):
        while True:
            call.send(HINTS)
            take_time(0.02)
    passed(weir, backend(reply), "proxy_read_timeout 1s;")
    start = time.monotonic()
    assert weir.get(timeout=20).status in (502, 504) and time.monotonic() - start < 10 * SLOW


def test_switching_protocols_unasked(weir, backend):
    passed(weir, backend(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + answer()))
    assert weir.get().status == 502


# ---- sizes --------------------------------------------------------------------------------------------------

SIZES = [0, 1, 8191, 65535, 65536, 65537, LARGE]


@pytest.mark.parametrize("size", SIZES)
def test_sizes_down(weir, backend, size):
    body = noise(size)
    answers = {"/length": answer(body), "/chunks": CHUNKS + chunked(body, 50000),
               "/close": last(answer(body, length=False))}

    def reply(call):
        said = answers[call.target]
        return said(call) if callable(said) else said
    passed(weir, backend(reply))
    with weir.connect(timeout=30) as client:
        for target in answers:
            assert digest(client.get(target).body) == digest(body), target


@pytest.mark.parametrize("buffer", ["8k", "1m", "64m"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_sizes_up(weir, backend, framing, buffer):
    """From memory and from a file, with a length whatever the client's framing was."""
    up = backend(lambda call: answer(digest(call.body).encode(), "X-Length: " + call.header("Content-Length")))
    passed(weir, up, f"client_body_buffer_size {buffer};")
    with weir.connect(timeout=30) as client:
        for size in SIZES:
            body = noise(size)
            if framing == "length":
                client.request("/", method="POST", body=body)
            else:
                client.send(head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(body, 70000))
            reply = client.response()
            assert (reply.text, reply.header("X-Length")) == (digest(body), str(size)), size
    assert up.accepts == 1


def test_chunked_request_byte_by_byte(weir, backend):
    up = backend(lambda call: answer(call.body))
    passed(weir, up)
    with weir.connect() as client:
        for byte in head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(b"hello world", 3, b"X-T: 1\r\n"):
            client.send(bytes([byte]))
        assert client.response().text == "hello world"
    assert not up.call.all("X-T") and not up.call.all("Transfer-Encoding")


def test_large_head(weir, backend):
    """Many headers and long ones go on as they came."""
    up = backend()
    passed(weir, up)
    fields = [(f"X-{i}", str(i) * 50) for i in range(80)] + [("X-Long", "y" * 7000)]
    assert weir.get("/" + "u" * 6000, headers=fields).status == 200
    assert len(up.call.target) == 6001 and [each for each in up.call.headers if each[0].startswith("X-") and
                                             each[0] != "X-Request-ID"] == fields


def test_no_length_without_a_body(weir, backend):
    up = backend()
    passed(weir, up)
    weir.get()
    assert not up.call.all("Content-Length")
    weir.get(method="POST", body=b"")
    assert up.call.all("Content-Length") == ["0"]


def test_body_too_large(weir, backend):
    up = backend()
    passed(weir, up, "client_max_body_size 10;")
    assert weir.get(method="POST", body=b"x" * 11).status == 413
    assert ask(weir.port, head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + chunked(b"x" * 11)).status == 413
    assert not up.calls and weir.get(method="POST", body=b"x" * 10).status == 200


def test_body_in_a_file_is_sent_again(weir, backend):
    """A PUT whose first server fails in the middle reaches the next one whole."""
    body = noise(3 << 20)
    good = backend(lambda call: answer(digest(call.body).encode()))

    def script(peer):
        peer.call(body=False)
        peer.exactly(1 << 20)
        peer.reset()
    bad = backend(script=script)
    passed(weir, "up", "client_body_buffer_size 8k;", http=upstream(bad, good))
    assert [weir.get(method="PUT", body=body).text for _ in range(3)] == [digest(body)] * 3
    assert bad.accepts == 1


# ---- slow sides ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_slow_client_with_a_large_answer(weir, backend, framing):
    """The upstream is read as fast as the client reads, and the worker holds little."""
    piece, sent = noise(1 << 16), [0]

    def reply(call):
        if framing == "length":
            call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (LARGE * 2))
        else:
            call.send(CHUNKS if framing == "chunks" else answer(b"", length=False))
        for _ in range(LARGE * 2 >> 16):
            call.send(b"%x\r\n%s\r\n" % (len(piece), piece) if framing == "chunks" else piece)
            sent[0] += len(piece)
        call.send(b"0\r\n\r\n") if framing == "chunks" else call.close() if framing == "close" else None
    passed(weir, backend(reply), "proxy_max_temp_file_size 0;")
    weir.get("/status")
    before = rss_bytes(worker(weir))
    clients = [weir.connect(timeout=30) for _ in range(4)]
    for client in clients:
        client.request("/")
    stalled = [-1]

    def stands():
        stalled.append(sent[0])
        watch(0.1)
        return stalled[-1] == stalled[-2] == sent[0] and sent[0] > 0
    wait_until(stands, 10, "a backend that has to wait")
    assert sent[0] < 4 * LARGE * 1.5  # of the 8 x LARGE; sockets hold some megabytes each
    assert rss_bytes(worker(weir)) - before < 4 * (1 << 20)
    for client in clients[1:]:
        client.close()
    reply = clients[0].response()
    assert digest(reply.body) == digest(piece * (LARGE * 2 >> 16))


def test_slow_client_costs_no_processor(weir, backend):
    """While the client does not read, nothing spins."""
    passed(weir, backend(answer(noise(LARGE))))
    with weir.connect() as client:
        client.request("/")
        take_time(0.5)
        before = cpu_seconds(worker(weir))
        watch(0.5)
        assert cpu_seconds(worker(weir)) - before < 0.1


def test_early_answer_to_a_slow_client_costs_no_processor(weir, backend):
    """The answer comes while the request is being sent, its body does not: nothing spins."""
    gate = threading.Event()

    def reply(call):
        call.send(answer(b"x" * 10)[:-5])
        left = 8 << 20
        while left and not gate.is_set():  # room for more of the request, all the time
            left -= len(call.peer.exactly(1 << 10))
            take_time(0.001)
        call.send(b"xxxxx")
    up = backend(reply, read_body=False)
    passed(weir, up, "client_body_buffer_size 8k;")
    with weir.connect() as client:
        client.request("/", method="POST", body=noise(8 << 20))
        wait_until(lambda: up.calls, 3, "the request")
        take_time(0.2)
        before = cpu_seconds(worker(weir))
        watch(0.5)
        used = cpu_seconds(worker(weir)) - before
        gate.set()
        assert client.response().body == b"x" * 10 and used < 0.2


def test_slow_upstream_does_not_hold_its_bytes_back(weir, backend):
    """What the upstream has sent is with the client at once (server-sent events)."""
    gate = threading.Event()

    def reply(call):
        call.send(CHUNKS + b"5\r\nfirst\r\n")
        gate.wait(10)
        call.send(b"6\r\nsecond\r\n0\r\n\r\n")
    passed(weir, backend(reply))
    with weir.connect() as client:
        client.request("/")
        seen = b""
        while b"first" not in seen:
            seen += client.socket.recv(1000)
        assert b"second" not in seen
        gate.set()
        while b"second" not in seen:
            seen += client.socket.recv(1000)


def test_others_are_served_meanwhile(weir, backend):
    gate = threading.Event()
    passed(weir, backend(lambda call: (gate.wait(10), answer())[1]), server="location = /here { return 200 here; }")
    clients = [weir.connect() for _ in range(20)]
    for client in clients:
        client.request("/")
    start = time.monotonic()
    assert weir.get("/here").text == "here" and time.monotonic() - start < 1 * SLOW
    gate.set()
    assert [client.response().status for client in clients] == [200] * 20


# ---- early answers ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("buffer", ["8k", "64m"])
@pytest.mark.parametrize("how", ["close", "stay", "reset"])
def test_early_answer(weir, backend, how, buffer):
    """The upstream answers before it has the body, and reads no more of it: the client gets the answer."""
    def script(peer):
        call = peer.call(body=False)
        peer.exactly(1000)
        call.send(answer(b"too large", "Connection: close" if how == "close" else "X-A: b", status="413 Too Large"))
        if how == "stay":
            take_time(0.2)
        elif how == "reset":
            take_time(0.05)
            call.reset()
        else:
            call.close()  # unread bytes make a reset of it
    passed(weir, backend(script=script), f"client_body_buffer_size {buffer};")
    body = noise(8 << 20)
    with weir.connect() as client:
        for _ in range(5):
            client.request("/", method="POST", body=body)
            reply = client.response()
            assert (reply.status, reply.text) == (413, "too large")


def test_rest_of_a_body_is_not_the_next_request(weir, backend):
    """After an early answer the upstream connection, with a request half sent on it, carries nothing more."""
    def script(peer):
        peer.call(body=False)
        peer.send(answer(b"early"))
        take_time(0.1)  # without reading, so that the request cannot be sent whole
        peer.wait_gone()
    up = backend(script=script, room=64 << 10)
    passed(weir, up)
    with weir.connect() as client:
        for _ in range(3):
            client.request("/", method="POST", body=noise(8 << 20))
            assert client.response().text == "early"
    assert up.accepts == 3


# ---- slow, but alive ----------------------------------------------------------------------------------------

def test_send_timeout_is_between_two_writes(weir, backend):
    """A body that goes on slowly takes longer than proxy_send_timeout in all."""
    def script(peer):
        call = peer.call(body=False)
        left = int(call.header("Content-Length"))
        while left:
            left -= len(peer.exactly(min(left, 256 << 10)))
            take_time(0.05)
        peer.send(answer(b"all"))
    up = backend(script=script, room=64 << 10)
    passed(weir, up, "proxy_send_timeout 1s; client_body_buffer_size 8k;")
    assert weir.get(method="PUT", body=noise(12 << 20), timeout=20).text == "all"


def test_send_timeout_is_between_two_writes_from_memory(weir, backend):
    def script(peer):
        call = peer.call(body=False)
        left = int(call.header("Content-Length"))
        while left:
            left -= len(peer.exactly(min(left, 256 << 10)))
            take_time(0.05)
        peer.send(answer(b"all"))
    up = backend(script=script, room=64 << 10)
    passed(weir, up, "proxy_send_timeout 1s; client_body_buffer_size 64m;")
    assert weir.get(method="PUT", body=noise(12 << 20), timeout=20).text == "all"


@pytest.mark.parametrize("part", ["head", "body"])
def test_read_timeout_is_between_two_reads(weir, backend, part):
    def reply(call):
        whole = answer(b"hello world", "X-A: b")
        head_len = whole.index(b"\r\n\r\n") + 4
        first = 10 if part == "head" else head_len
        call.send(whole[:first])
        for i in range(first, first + 8):
            take_time(0.2)
            call.send(whole[i:i + 1])
        call.send(whole[first + 8:])
    passed(weir, backend(reply), "proxy_read_timeout 1s;")
    assert weir.get().text == "hello world"


def test_unread_answers_do_not_shorten_the_upstream_s_time(weir, backend):
    """Answers wait for a client that does not read while its next request, pipelined, is with a slow upstream: that has
    proxy_read_timeout, not what the client has."""
    def reply(call):
        take_time(1.5)
        return answer(b"slow")
    up = backend(reply)
    passed(weir, up, "send_timeout 500ms;",
           server='send_timeout 500ms; location = /here { return 200 "' + "x" * 3000 + '"; }')
    clients = {count: narrow(weir.port) for count in range(10, 21)}  # some of them with more than their sockets take
    for count, client in clients.items():
        client.send(head("GET /here HTTP/1.1") * count + head("GET / HTTP/1.1"))
    take_time(0.2)  # less than send_timeout
    for count, client in clients.items():
        assert [len(client.response().body) for _ in range(count)] == [3000] * count
    assert [client.response().text for client in clients.values()] == ["slow"] * len(clients)


@pytest.mark.parametrize("slow", ["client", "upstream"])
def test_each_side_has_its_own_timeout(weir, backend, slow):
    """proxy_read_timeout does not run while the client is waited for, nor send_timeout while the upstream is."""
    body = noise(LARGE)

    def reply(call):
        if slow == "client":
            return answer(body)
        call.send(answer(body)[:1000])
        take_time(1)
        call.send(answer(body)[1000:])
    passed(weir, backend(reply), "proxy_read_timeout 300ms;" if slow == "client" else "send_timeout 300ms;")
    with weir.connect() as client:
        client.request("/")
        take_time(1 if slow == "client" else 0)
        assert digest(client.response().body) == digest(body)


def test_one_request_after_another_whose_client_is_slow(weir, backend):
    """A large answer, its client not reading, then a pipelined request: both come whole."""
    body = noise(4 << 20)
    passed(weir, backend(lambda call: answer(body if call.target == "/large" else b"small")))
    with weir.connect(timeout=20) as client:
        client.send(head("GET /large HTTP/1.1") + head("GET /small HTTP/1.1") + GOOD)
        take_time(0.3)
        assert digest(client.response().body) == digest(body)
        assert [client.response().text for _ in range(2)] == ["small", "small"]
