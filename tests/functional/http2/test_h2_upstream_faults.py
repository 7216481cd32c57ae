"""Upstreams of HTTP/2 that go wrong at an awkward moment: no request hangs, none is lost, nothing is held for ever."""

import struct

import pytest
from http2_client import DATA, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, Client, fields, frame, literal, settings_frame
from http2_server import Server, hello
from proxylib import Gone, backend, passed  # noqa: F401 - a fixture
from test_h2_upstream import TWO, asked
from weirlib import config, take_time, wait_until

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
INITIAL_WINDOW, MAX_STREAMS = 4, 3


class Raw:
    """A server's side, frame by frame."""

    def __init__(self, peer):
        self.peer, self.has_begun, self.seen = peer, False, []

    def read(self):
        while True:
            wire = self.peer.unread
            size = int.from_bytes(wire[:3], "big") if self.has_begun else 15
            if len(wire) >= 9 + size:
                self.peer.unread = wire[9 + size:]
                if self.has_begun:
                    self.seen.append((wire[3], wire[4], int.from_bytes(wire[5:9], "big"), wire[9:9 + size]))
                    return self.seen[-1]
                self.has_begun = True
            else:
                self.peer.receive()

    def until(self, kind):
        while self.read()[0] != kind:
            pass
        return self.seen[-1]

    def say(self, *frames):
        self.peer.send(b"".join(frames))

    def begin(self, *settings):
        self.say(settings_frame(*settings), frame(SETTINGS, 1))

    def answer(self, stream, *more, end=True):
        block = b"".join(literal(name, value) for name, value in ((b":status", b"200"), *more))
        self.say(frame(HEADERS, 5 if end else 4, stream, block))


def first_then(script):
    """The first connection is the script's, all others are served."""
    count = []

    def serve(peer):
        count.append(peer)
        (script if len(count) == 1 else Server(hello))(peer)
    return serve


def test_small_answers_open_the_connections_window_again(weir, backend):  # noqa: F811
    """Each is whole before it is read."""
    def small(wire, stream, headers, body):
        wire.send_headers(stream, [(":status", "200"), ("content-length", "16000")])
        wire.send_data(stream, b"x" * 16000, end_stream=True)

    server = Server(small)
    up = backend(script=server)
    weir.start(config(f"location / {{ proxy_pass http://up; {TWO} proxy_read_timeout 5s; }}",
                      http=f"keepalive_requests 10000; upstream up {{ server {up.address}; keepalive_requests 10000; }}"))
    with weir.connect() as client:
        assert all(len(client.get("/").body) == 16000 for _ in range(1300))
    assert server.connections == 1


def test_an_answer_before_the_end_of_its_request_is_said(weir, backend):  # noqa: F811
    """The last chunk comes while the server's window is shut; what opens it then finds no request any more."""
    state = []

    def script(peer):
        raw = Raw(peer)
        raw.begin((INITIAL_WINDOW, 10))
        stream = raw.until(HEADERS)[2]
        while sum(len(one[3]) for one in raw.seen if one[0] == DATA) < 10:
            raw.read()
        state.append("full")
        wait_until(lambda: len(state) == 2, 10, "the end of the request")
        take_time(0.2)
        raw.answer(stream)
        raw.say(frame(PING, 0, 0, bytes(8)))
        raw.until(PING)
        raw.say(frame(WINDOW_UPDATE, 0, stream, struct.pack("!L", 1000)), frame(PING, 0, 0, bytes(8)))
        raw.until(PING)
        state.append("over")
        raw.until(RST_STREAM)

    passed(weir, backend(script=script), TWO + "proxy_request_buffering off;")
    with weir.connect() as client:
        client.send(CHUNKED)
        take_time(0.2)
        client.send(b"a\r\n0123456789\r\n")
        wait_until(lambda: state, 5, "ten bytes at the server")
        client.send(b"0\r\n\r\n")
        state.append("ended")
        assert client.response().status == 200
    wait_until(lambda: "over" in state, 5, "the server's end")
    assert weir.status()["requests"]["in_flight"] == 1


def test_a_connection_that_has_fallen_silent_is_left(weir, backend):  # noqa: F811
    """One request waits for its whole time; the next ones go by another."""
    def script(peer):
        raw = Raw(peer)
        raw.begin()
        raw.answer(raw.until(HEADERS)[2])
        while True:
            raw.read()

    passed(weir, backend(script=first_then(script)), TWO + "proxy_read_timeout 1s;")
    assert [weir.get("/").status for _ in range(4)] == [200, 504, 200, 200]


@pytest.mark.parametrize("limit", [0, 1])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_waits_for_a_servers_limit_goes_another_way(weir, backend, limit, method):  # noqa: F811
    """It has said that it takes fewer than there are."""
    def script(peer):
        raw = Raw(peer)
        raw.until(HEADERS)
        take_time(0.5)
        raw.begin((MAX_STREAMS, limit))
        while True:
            raw.read()

    passed(weir, backend(script=first_then(script)), TWO + "proxy_read_timeout 10s;")
    with weir.connect() as first:
        first.request("/a")
        take_time(0.2)
        assert asked(weir, method, "/b", b"x" if method == "POST" else None).status == 200


def test_a_request_that_has_not_gone_is_asked_again(weir, backend):  # noqa: F811
    def script(peer):
        Raw(peer).until(HEADERS)
        take_time(0.5)
        raise Gone

    passed(weir, backend(script=first_then(script)), TWO)
    with weir.connect() as first:
        first.request("/a")
        take_time(0.2)
        assert asked(weir, "POST", "/b", b"xyz").body == b"xyz"


def test_bodies_that_wait_for_settings_are_bounded(weir, backend):  # noqa: F811
    """A client that sends on is not read for as long as nothing goes."""
    def script(peer):
        while True:
            peer.receive()

    passed(weir, backend(script=script), TWO + "proxy_request_buffering off;", http="http2 on;")
    with Client(weir.port) as client:
        client.request(fields("/a"))
        client.ping()
        stream = client.request(fields("/b", "POST"), end=False)
        sent = 0
        for _ in range(100):
            client.read_for(0.01)
            room = min(client.send_window, stream.send_window, 16_000)
            if room > 0:
                client.send_data(stream, bytes(room))
                sent += room
        assert sent < 1 << 20


def test_an_end_in_a_frame_of_its_own_is_no_reason_to_reset(weir, backend):  # noqa: F811
    raws = []

    def script(peer):
        raws.append(Raw(peer))
        raws[0].begin()
        for _ in range(5):
            stream = raws[0].until(HEADERS)[2]
            raws[0].answer(stream, (b"content-length", b"5"), end=False)
            raws[0].say(frame(DATA, 0, stream, b"hello"))
            take_time(0.05)
            raws[0].say(frame(DATA, 1, stream))
        raws[0].read()

    passed(weir, backend(script=script), TWO)
    assert [weir.get("/").text for _ in range(5)] == ["hello"] * 5
    assert all(one[0] != RST_STREAM for one in raws[0].seen)


def test_pings_keep_no_idle_connection(weir, backend):  # noqa: F811
    def script(peer):
        raw = Raw(peer)
        raw.begin()
        raw.answer(raw.until(HEADERS)[2])
        while True:
            take_time(0.1)
            raw.say(frame(PING, 0, 0, bytes(8)))

    up = backend(script=script)
    weir.start(config(f"location / {{ proxy_pass http://up; {TWO} }}", http=f"upstream up {{ server {up.address}; keepalive_timeout 500ms; }}"))
    assert weir.get("/").status == 200
    assert up.peers[0].gone.wait(10)


def test_used_up_connections_end(weir, backend):  # noqa: F811
    up = backend(script=Server(hello))
    weir.start(config(f"location / {{ proxy_pass http://up; {TWO} }}", http=f"upstream up {{ server {up.address}; keepalive_requests 2; }}"))
    assert [weir.get("/").status for _ in range(6)] == [200] * 6
    wait_until(lambda: all(peer.gone.is_set() for peer in up.peers), 5, "the end of all of them")


def test_the_proxy_protocol_begins_a_connection_that_carries_one_request(weir, backend):  # noqa: F811
    lines = []

    def script(peer):
        while b"\r\n" not in peer.unread:
            peer.receive()
        line, peer.unread = peer.unread.split(b"\r\n", 1)
        lines.append(line)
        unread, receive = peer.unread, peer.receive
        peer.receive = lambda: setattr(peer, "receive", receive) if unread else receive()
        Server(hello)(peer)

    passed(weir, backend(script=script), TWO + "proxy_protocol on;")
    assert [weir.get("/").status for _ in range(3)] == [200] * 3
    assert len(lines) == 3 and all(line.startswith(b"PROXY TCP4 127.0.0.1 ") for line in lines)
