"""WebSocket over HTTP/2 (RFC 8441): extended CONNECT, which goes to an upstream as HTTP/1's Upgrade."""

import base64
import os

import pytest
from http2_client import Client, serve
from proxylib import answer, backend, passed  # noqa: F401 - a fixture
from weirlib import wait_until

UPGRADE = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key;'
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nX-Kept: yes\r\n\r\n"
ENABLE_CONNECT = 8
ASK = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/t?a=b"), (":authority", "localhost"),
       ("sec-websocket-version", "13")]


def echo(peer):
    """Says what it hears; "bye" ends it."""
    call = peer.call()
    key = call.header("Sec-WebSocket-Key")
    if not key:
        peer.send(answer(b"no upgrade"))
        return
    assert len(base64.b64decode(key)) == 16 and call.header("Upgrade") == "websocket" and (call.method, call.target) == ("GET", "/t?a=b")
    peer.send(SWITCH)
    while True:
        if peer.unread:
            peer.send(peer.unread)
        if peer.unread.endswith(b"bye"):
            return
        peer.unread = b""
        peer.receive()


def opened(client):
    client.ready()
    assert client.server_settings[ENABLE_CONNECT] == 1
    stream = client.request(ASK, end=False)
    client.read(lambda: stream.status, "the response's head")
    return stream


def test_bytes_go_both_ways(weir, backend):  # noqa: F811
    """And the connection carries other requests beside."""
    passed(weir, backend(script=echo), UPGRADE, http="http2 on;", server="location = /own { return 200 own; }")
    with Client(weir.port) as client:
        stream = opened(client)
        assert (stream.status, stream.header("x-kept"), stream.header("upgrade"), stream.header("sec-websocket-accept")) == (200, "yes", None, None)
        for size in (1, 5, 70_000, 300_000):
            sent, had = os.urandom(size), len(stream.body)
            client.send_body(stream, sent, end=False)
            client.read(lambda: len(stream.body) == had + size, f"{size} bytes back")  # noqa: B023 - read at once
            assert stream.body[had:] == sent
            assert client.get("/own").text == "own"
        assert not stream.ended


def test_upstream_ends_it(weir, backend):  # noqa: F811
    passed(weir, backend(script=echo), UPGRADE, http="http2 on;")
    with Client(weir.port) as client:
        stream = opened(client)
        client.send_data(stream, b"good bye")
        client.read(lambda: stream.ended, "the end")
        assert stream.body == b"good bye" and stream.reset is None
        client.send_data(stream, b"", end=True)
        client.ping()
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "nothing but the status at work")


@pytest.mark.parametrize("how", ["end", "reset", "close"])
def test_client_ends_it(weir, backend, how):  # noqa: F811
    up = backend(script=echo)
    passed(weir, up, UPGRADE, http="http2 on;")
    client = Client(weir.port)
    stream = opened(client)
    client.send_data(stream, b"a")
    client.read(lambda: stream.body == b"a", "an echo")
    if how == "end":
        client.send_data(stream, b"bye", end=True)
        client.read(lambda: stream.ended, "the end")
        assert stream.body == b"abye"
    elif how == "reset":
        client.reset(stream)
        client.ping()
    else:
        client.close()
    wait_until(lambda: up.peers[0].gone.is_set() or up.peers[0].closed, 5, "the upstream is left")
    client.close()
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "nothing but the status at work")


def test_upstream_says_no(weir, backend):  # noqa: F811
    """The answer is one like any other."""
    passed(weir, backend(lambda call: answer(b"not here", status="403 Forbidden")), UPGRADE, http="http2 on;")
    with Client(weir.port) as client:
        stream = client.request(ASK, end=False)
        found = client.response(stream)
        assert (found.status, found.body) == (403, b"not here")
        assert client.get().status == 403


def test_without_asking_nothing_changes(weir, backend):  # noqa: F811
    """An upstream that changes its protocol for a request of HTTP/2 breaks the rules."""
    passed(weir, backend(SWITCH), 'proxy_set_header Upgrade websocket; proxy_set_header Connection "upgrade";', http="http2 on;")
    with Client(weir.port) as client:
        assert client.get("/t").status == 502


@pytest.mark.parametrize("more", [[], [(":protocol", "")], [(":protocol", "connect-udp")]])
def test_other_protocols_are_not_there(weir, more):
    serve(weir)
    with Client(weir.port) as client:
        asked = [(":method", "CONNECT"), *more, (":scheme", "http"), (":path", "/t"), (":authority", "localhost")]
        assert client.outcome(client.request(asked)) in ("400", "405", "501", "reset PROTOCOL_ERROR")
        assert client.get().status == 200


def test_places_without_tunnels(weir):
    """An answer of 2xx would say that there is one."""
    serve(weir)
    with Client(weir.port) as client:
        assert client.outcome(client.request(ASK, end=False)) == "reset CONNECT_ERROR"
        assert client.get().status == 200
