"""Large bodies, in every framing, to clients of every kind: byte by byte the same."""

import array
import hashlib
import socket
import threading

import pytest
from proxylib import CHUNKS, answer, backend, narrow, passed  # noqa: F401 - a fixture
from weirlib import Connection, config, take_time
from wire import ask, head

LARGE = 50 << 20
BODY = array.array("I", range(LARGE // 4)).tobytes()
DIGEST = hashlib.sha1(BODY).hexdigest()
FRAMINGS = ["length", "chunked", "close"]
PIECES = [1 << 16, 100_001, 4097]


def reply(framing, version="1.1"):
    def run(call):
        status = f"HTTP/{version} 200 OK\r\n".encode()
        call.send(status + {"length": b"Content-Length: %d\r\n\r\n" % LARGE, "close": b"\r\n",
                            "chunked": b"Transfer-Encoding: chunked\r\n\r\n"}[framing])
        at, i, view = 0, 0, memoryview(BODY)
        while at < LARGE:
            step = PIECES[i % 3] if i < 300 else 1 << 20
            piece = view[at:at + step]
            call.send(b"%x\r\n%s\r\n" % (len(piece), piece) if framing == "chunked" else piece)
            at, i = at + len(piece), i + 1
        if framing == "chunked":
            call.send(b"0\r\n\r\n")
        elif framing == "close" or version == "1.0":
            call.close()
    return run


def read_all(client, pause=0.0, slow=0):
    """Everything up to the end of the connection."""
    got = []
    while data := client.socket.recv(1 << 16 if len(got) >= slow else 2000):
        got.append(data)
        if len(got) < slow:
            take_time(pause)
    return b"".join(got)


def unchunk(raw):
    pieces, at = [], 0
    while True:
        end = raw.index(b"\r\n", at)
        size = int(raw[at:end], 16)
        if not size:
            assert raw[end:] == b"\r\n\r\n"
            return b"".join(pieces)
        pieces.append(raw[end + 2:end + 2 + size])
        at = end + 4 + size


@pytest.mark.parametrize("client", ["fast", "slow", "narrow"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("more", ["", "proxy_buffering off;", "proxy_max_temp_file_size 3m; proxy_buffers 4 4k;"])
def test_large_answer(weir, backend, framing, version, client, more):
    if client == "slow" and more:
        more += "sendfile off;"
    passed(weir, backend(reply(framing)), more)
    with (narrow(weir.port, 30) if client == "narrow" else Connection(weir.port, 30)) as connection:
        connection.send(head(f"GET / HTTP/{version}", "Connection: close"))
        top, _, body = read_all(connection, 0.002, 0 if client == "fast" else 200).partition(b"\r\n\r\n")
    is_chunked = b"transfer-encoding: chunked" in top.lower()
    assert is_chunked == (version == "1.1" and framing != "length")
    assert (b"content-length: %d" % LARGE in top.lower()) == (framing == "length")
    assert hashlib.sha1(unchunk(body) if is_chunked else body).hexdigest() == DIGEST


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("framing", ["length", "close"])
def test_upstream_of_1_0(weir, backend, framing, version):
    passed(weir, backend(reply(framing, "1.0")), "proxy_http_version 1.0;")
    with Connection(weir.port, 30) as connection:
        connection.send(head(f"GET / HTTP/{version}", "Connection: close"))
        top, _, body = read_all(connection).partition(b"\r\n\r\n")
    is_chunked = b"transfer-encoding: chunked" in top.lower()
    assert hashlib.sha1(unchunk(body) if is_chunked else body).hexdigest() == DIGEST


@pytest.mark.parametrize("framing", FRAMINGS)
def test_kept_connection_of_1_0(weir, backend, framing):
    """It is kept only where the length is known."""
    data = {"length": answer(b"hello"), "chunked": CHUNKS + b"5\r\nhello\r\n0\r\n\r\n"}
    passed(weir, backend(data.get(framing, lambda call: (call.send(answer(b"hello", length=False)), call.close())[1])))
    with Connection(weir.port, 3) as connection:
        connection.send(head("GET / HTTP/1.0", "Connection: keep-alive"))
        if framing == "length":
            assert connection.response().body == b"hello"
            connection.send(head("GET / HTTP/1.0"))
        top, _, body = read_all(connection).partition(b"\r\n\r\n")
        assert body == b"hello" and b"chunked" not in top.lower() and b"keep-alive" not in top.lower()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_several_at_once_with_one_worker(weir, backend, framing):
    """Fast, slow and narrow clients beside each other."""
    passed(weir, backend(reply(framing)), "limit_rate $arg_rate;")
    found = []

    def run(make, target):
        with make(weir.port, 30) as connection:
            connection.send(head(f"GET {target} HTTP/1.0"))
            found.append(hashlib.sha1(read_all(connection).partition(b"\r\n\r\n")[2]).hexdigest())
    threads = [threading.Thread(target=run, args=args) for args in
               ((Connection, "/"), (narrow, "/"), (Connection, "/?rate=40m"), (Connection, "/"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(35)
    assert found == [DIGEST] * 4


@pytest.mark.parametrize("extension", [b"", b";x=y"])
def test_many_small_chunks(weir, backend, extension):
    """One byte each; the last one written in an unusual way."""
    body = BODY[:20000]
    data = CHUNKS + b"".join(b"1%s\r\n%c\r\n" % (extension, byte) for byte in body) + b"000\r\n\r\n"
    passed(weir, backend(lambda call: call.peer.send_slowly(data, 0.001, 4999)))
    with weir.connect() as client:
        for _ in range(2):
            assert client.get("/").body == body


@pytest.mark.directive("proxy_ignore_client_abort")
@pytest.mark.parametrize("when", ["before", "within"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_half_closed_client(weir, backend, framing, when):
    """With proxy_ignore_client_abort a client that has said all may close its side, at any time."""
    passed(weir, backend(lambda call: (take_time(0.1), reply(framing)(call))[1]), "proxy_ignore_client_abort on;")
    with Connection(weir.port, 30) as connection:
        connection.send(head("GET / HTTP/1.0"))
        got = connection.socket.recv(1000) if when == "within" else b""
        connection.end_writing()
        body = (got + read_all(connection)).partition(b"\r\n\r\n")[2]
    assert hashlib.sha1(body).hexdigest() == DIGEST, len(body)


def test_large_head_and_body_in_one_piece(weir, backend):
    data = answer(BODY[:100_000], *(f"X-{i}: {'y' * 60}" for i in range(90)))
    passed(weir, backend(data), "proxy_buffer_size 16k;")
    reply = ask(weir.port, head())
    assert reply.body == BODY[:100_000] and reply.header("X-89") == "y" * 60


def test_body_in_an_inherited_setting(weir, backend):
    up = backend(reply("length"))
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; }}", http="proxy_buffers 2 4k;",
                      server="proxy_buffer_size 4k; proxy_busy_buffers_size 8k; proxy_temp_file_write_size 8k;"))
    assert hashlib.sha1(weir.get(timeout=30).body).hexdigest() == DIGEST
