"""Upgrades through proxy_pass: what 101 opens, bytes both ways, each kind of end, timeouts, reload, many at once."""

import base64
import hashlib
import os
import resource
import signal
import socket
import struct
import threading

import pytest
from proxylib import answer, backend, digest, noise, passed, read_until, rss_bytes, worker  # noqa: F401 - a fixture
from weirlib import OVER_TLS, SLOW, config, cpu_seconds, limit, take_time, wait_until, watch
from wire import head

UPGRADE = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
ASK = ("Connection: Upgrade", "Upgrade: x")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
LARGE = 24 << 20


def opened(weir, early=b"", timeout=10):
    """A client whose request has been answered with 101."""
    client = weir.connect(timeout=timeout)
    client.send(head("GET /t HTTP/1.1", *ASK) + early)
    said, client.unread = read_until(client, b"\r\n\r\n").split(b"\r\n\r\n", 1)
    assert said.startswith(b"HTTP/1.1 101 "), said
    return client


def exactly(client, count):
    while len(client.unread) < count:
        data = client.socket.recv(1 << 16)
        assert data, f"closed with {count - len(client.unread)} bytes missing"
        client.unread += data
    data, client.unread = client.unread[:count], client.unread[count:]
    return data


def echo(peer):
    call = peer.call()
    assert call.header("Upgrade") == "x" and call.header("Connection") == "upgrade"
    switch_and_echo(peer)


def switch_and_echo(peer):
    peer.send(SWITCH)
    while True:
        if peer.unread:
            peer.send(peer.unread)
        peer.unread = b""
        peer.receive()


def echo_or_hello(peer):
    if peer.call().header("Upgrade"):
        switch_and_echo(peer)
    else:
        peer.send(answer())


def switching(then):
    def script(peer):
        peer.call()
        peer.send(SWITCH)
        then(peer)
    return script


# ---- WebSocket, RFC 6455 ------------------------------------------------------------------------------------

def frame(data, opcode=2, mask=b""):
    n = len(data)
    size = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)
    if mask:
        key = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
        data = (int.from_bytes(data, "big") ^ key).to_bytes(n, "big")
    return bytes([0x80 | opcode, size[0] | (0x80 if mask else 0)]) + size[1:] + mask + data


def read_frame(take):
    first, n = take(2)
    masked, n = n & 0x80, n & 0x7f
    n = struct.unpack(">H", take(2))[0] if n == 126 else struct.unpack(">Q", take(8))[0] if n == 127 else n
    mask = take(4) if masked else b""
    return first & 15, frame(take(n), 0, mask)[-n:] if masked and n else take(n) if n else b""


def websocket(peer):
    call = peer.call()
    accept = hashlib.sha1(call.header("Sec-WebSocket-Key").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n"
              b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n")
    while True:
        opcode, data = read_frame(peer.exactly)
        peer.send(frame(data, {9: 10}.get(opcode, opcode)))
        if opcode == 8:
            return


def test_websocket_echo(weir, backend):
    passed(weir, backend(script=websocket), UPGRADE)
    with weir.connect() as client:
        client.send(head("GET /chat HTTP/1.1", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
                         "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        said, client.unread = read_until(client, b"\r\n\r\n").split(b"\r\n\r\n", 1)
        fields = said.decode().lower().split("\r\n")
        assert fields[0] == "http/1.1 101 switching protocols" and fields.count("connection: upgrade") == 1
        assert "upgrade: websocket" in fields and "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in fields
        assert not [each for each in fields if each.startswith(("content-length", "transfer-encoding"))]
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
            data = os.urandom(size)
            client.send(frame(data, 2, os.urandom(4)))
            assert read_frame(lambda n: exactly(client, n)) == (2, data), size
        client.send(frame(b"hi", 9, b"mask") + frame(b"\x03\xe8", 8, b"mask"))
        assert [read_frame(lambda n: exactly(client, n)) for _ in range(2)] == [(10, b"hi"), (8, b"\x03\xe8")]
        assert client.until_close() == b""


# ---- bytes --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("step", [1, 1 << 20])
def test_early_bytes(weir, backend, step):
    """From the client behind its request, from the upstream behind its 101, with the head or behind it."""
    def script(peer):
        peer.call()
        peer.send_slowly(SWITCH + b"from", 0.002, step)
        peer.send(b" upstream" + b"from upstream" * 999)
        assert peer.exactly(11 * 5000) == b"from client" * 5000
        peer.send(b"end")
    passed(weir, backend(script=script), UPGRADE)
    client = opened(weir, b"from client" * 5000)
    assert exactly(client, 13003) == b"from upstream" * 1000 + b"end"


@pytest.mark.timeout(limit(120))
@pytest.mark.parametrize("slow", ["client", "upstream"])
def test_large_transfers_both_ways(weir, backend, slow):
    """At once; one side does not read for a while: the other direction goes on, and the worker holds little."""
    down, upwards, got, gate = noise(LARGE), noise(LARGE), {}, threading.Event()

    def script(peer):
        peer.call()
        peer.send(SWITCH)
        threading.Thread(target=peer.send, args=[down], daemon=True).start()
        slow == "client" or gate.wait(limit(60))
        got["up"] = digest(peer.exactly(LARGE))
        peer.wait_gone()
    up = backend(script=script)
    passed(weir, up, UPGRADE)
    client = opened(weir, timeout=60)
    before = rss_bytes(worker(weir))

    def read():
        slow == "upstream" or gate.wait(limit(60))
        got["down"] = digest(exactly(client, LARGE))
    threads = [threading.Thread(target=read, daemon=True),
               threading.Thread(target=client.send, args=[upwards], daemon=True)]
    for thread in threads:
        thread.start()
    wait_until(lambda: ("up" if slow == "client" else "down") in got, 60, "the direction that is read")
    watch(0.3)
    used = cpu_seconds(worker(weir))
    watch(0.5)
    assert cpu_seconds(worker(weir)) - used < 0.1 * SLOW and rss_bytes(worker(weir)) - before < 2 << 20
    gate.set()
    wait_until(lambda: len(got) == 2, 60, "both directions")
    assert got == {"up": digest(upwards), "down": digest(down)}


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_half_close(weir, backend, first):
    """The other side may say much more after one has said its last."""
    body = noise(4 << 20)

    def then(peer):
        if first == "upstream":
            peer.socket.shutdown(socket.SHUT_WR)
            assert peer.exactly(len(body)) == body
            return
        try:
            peer.wait_gone()
        except Exception:
            peer.socket.sendall(body)
    up = backend(script=switching(then))
    passed(weir, up, UPGRADE)
    client = opened(weir)
    if first == "client":
        client.end_writing()
        take_time(0.2)
        assert client.until_close() == body
    else:
        assert client.until_close() == b""
        client.send(body)
        client.close()
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 3, "the end of the tunnel")


def test_last_words(weir, backend):
    """An upstream that says much and closes is heard to the end."""
    body = noise(8 << 20)
    passed(weir, backend(script=switching(lambda peer: peer.send(body))), UPGRADE)
    client = opened(weir)
    take_time(0.3)
    assert digest(client.until_close()) == digest(body)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("side", ["client", "upstream"])
def test_one_side_leaves(weir, backend, side, how):
    up = backend(script=switching(lambda peer: (peer.exactly(1), peer.reset() if how == "reset" else None)
                                  if side == "upstream" else peer.wait_gone()))
    passed(weir, up, UPGRADE)
    client = opened(weir)
    if side == "client":
        if how == "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert up.peers[0].gone.wait(limit(2))
    else:
        client.send(b"xx")
        assert client.until_close() == b""
        client.close()
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 2, "the end of the tunnel")
    assert weir.status()["connections"]["active"] == 1


def test_client_that_left_before_the_switch(weir, backend):
    """proxy_ignore_client_abort: the upstream switches and learns that nobody is there."""
    up = backend(script=lambda peer: (peer.call(), take_time(0.4), peer.send(SWITCH), peer.wait_gone()))
    passed(weir, up, UPGRADE + "proxy_ignore_client_abort on;")
    with weir.connect() as client:
        client.send(head("GET / HTTP/1.1", *ASK))
        wait_until(lambda: up.calls, 3, "the request")
    assert up.peers[0].gone.wait(limit(3))


def test_idle_timeout(weir, backend):
    """proxy_read_timeout is for both directions: either side's bytes begin it anew."""
    up = backend(script=switching(lambda peer: (peer.exactly(4), [(take_time(0.4), peer.send(b"y")) for _ in range(4)],
                                                peer.wait_gone())))
    passed(weir, up, UPGRADE + "proxy_read_timeout 800ms;")
    client = opened(weir)
    for _ in range(4):
        take_time(0.4)
        client.send(b"x")
    assert exactly(client, 4) == b"yyyy"
    assert 0.5 < client.closed_within(limit(5)) < 2.5 * SLOW and up.peers[0].gone.wait(limit(2))


# ---- many, logs, limits, processes --------------------------------------------------------------------------

def test_many_tunnels(weir, backend):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    passed(weir, backend(script=echo, backlog=1000), UPGRADE, connections=2000)
    pid, before = worker(weir), rss_bytes(worker(weir))
    clients = [opened(weir, timeout=30) for _ in range(500)]
    most = 26 << 10 if OVER_TLS else 14 << 10  # an idle one holds no buffers
    assert (rss_bytes(pid) - before) / 500 < most * SLOW
    for i, client in enumerate(clients):
        client.send(b"%04d" % i * 500)
    for i, client in enumerate(clients):
        assert exactly(client, 2000) == b"%04d" % i * 500
        client.close()
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "no tunnel left")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_log_line(weir, backend):
    passed(weir, backend(script=echo), UPGRADE, server="access_log {tmp}/logs/t.log t;",
           http='log_format t "$uri $status $body_bytes_sent $upstream_status $upstream_bytes_received";')
    client, log = opened(weir, b"12345"), weir.tmp / "logs/t.log"
    client.send(b"x" * 95)
    assert len(exactly(client, 100)) == 100
    assert "/t " not in log.read_text()
    client.close()
    wait_until(lambda: f"/t 101 100 101 {len(SWITCH) + 100}\n" in log.read_text(), 3, "the line")


@pytest.mark.parametrize("end", [None, "1s"])
def test_reload(weir, backend, end):
    """A tunnel goes on in the old worker, for worker_shutdown_timeout; new requests are the new one's."""
    def conf(more):
        return config(f"location / {{ {UPGRADE} proxy_pass http://{up.address}; }}" + more,
                      main=f"worker_shutdown_timeout {end};" if end else "")
    up = backend(script=echo_or_hello)
    weir.expect_log("worker_shutdown_timeout|shutdown")
    weir.start(conf(""))
    client, old = opened(weir), worker(weir)
    weir.reload(conf("location = /new { return 200 new; }"))
    wait_until(lambda: weir.get("/new").text == "new", 5, "the new file")
    client.send(b"still here")
    assert exactly(client, 10) == b"still here" and old in weir.worker_pids()
    if end:
        assert client.closed_within(limit(4)) is not None and up.peers[0].gone.wait(limit(2))
    client.close()
    weir.wait_dead([old], 3)


def test_worker_killed(weir, backend):
    up = backend(script=echo)
    passed(weir, up, UPGRADE)
    weir.expect_log("signal 9")
    client, pid = opened(weir), worker(weir)
    weir.signal(signal.SIGKILL, pid)
    assert client.closed_within(limit(2)) is not None and up.peers[0].gone.wait(limit(2))
    wait_until(lambda: weir.worker_pids() - {pid} and weir.status(), 5, "another worker")
    client = opened(weir, b"again")
    assert exactly(client, 5) == b"again"


@pytest.mark.parametrize("cut", [False, True])
def test_completion(weir, backend, cut):
    """$request_completion of a tunnel is OK whichever way a side has ended it."""
    passed(weir, backend(script=switching(lambda peer: peer.receive())), UPGRADE, server="access_log {tmp}/logs/t.log t;",
           http='log_format t "$uri $status <$request_completion>";')
    client = opened(weir)
    if cut:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        client.end_writing()
        assert client.until_close() == b""
    client.close()
    log = weir.tmp / "logs/t.log"
    wait_until(lambda: "/t " in log.read_text(), 3, "the tunnel's line")
    assert "/t 101 <OK>\n" in log.read_text()
