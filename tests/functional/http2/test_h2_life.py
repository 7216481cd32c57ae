"""The life of an HTTP/2 connection beside that of the server and of its requests: reloads, ends, clients that leave, what the status counts."""

import contextlib
import signal
import socket
import struct
import time

import pytest
import weirlib
from http2_client import GOAWAY, INITIAL_WINDOW, MAX_WINDOW, Client, Code, fields, frame, serve
from hyperframe.frame import RstStreamFrame
from proxylib import answer, backend, passed  # noqa: F401 - a fixture
from weirlib import Connection, alive, config, limit, wait_until, watch

LOG = "log_format f '$request_uri $status';"
LOCATIONS = """
    location / { return 200 "one\\n"; }
    location /echo { handler echo; }
    location /sleep { handler sleep; }
"""
POOL = "threads=64 max_queue=2000"


def start(weir, locations=LOCATIONS, **parts):
    return serve(weir, locations, **{"http": LOG, "server": "access_log logs/a.log f;", "pool": POOL, **parts})


def lines(weir, count):
    """The lines of the access log but for those of the status, when there are so many."""
    path = weir.tmp / "logs/a.log"

    def found():
        all_lines = [line for line in path.read_text().splitlines() if not line.startswith("/status")] if path.exists() else []
        return len(all_lines) >= count and all_lines
    return wait_until(found, 5, f"{count} lines")


def idle(weir):
    """No request is at work but the one that asks, no thread runs."""
    def settled():
        now = weir.status()
        pool = now["pools"]["default"]
        return now["requests"]["in_flight"] <= 1 and pool["threads"]["running"] == 0 and pool["queue"]["length"] == 0
    return wait_until(settled, 10, "nothing at work")


def http2(weir):
    return weir.status()["http2"]


def ends_orderly(client, begun):
    """First "no more streams are wanted", then which were begun (RFC 9113 section 6.8); all of those are answered, then the connection closes."""
    client.responses(begun)
    client.until_closed()
    assert client.goaways[0] == (MAX_WINDOW, Code.NO_ERROR, b""), client.goaways
    assert len(client.goaways) >= 2 and client.goaways[-1][:2] == (max(each.number for each in begun), Code.NO_ERROR), client.goaways


# ---- reload, QUIT ---------------------------------------------------------------------------------------------------

def asked_anew(weir):
    with Client(weir.port) as client:
        return client.get().text


def test_reload_with_streams(weir):
    """Old workers finish what runs, tell their clients to go, and take no new connections; who comes anew has the new configuration."""
    start(weir)
    with Client(weir.port) as client:
        assert client.get().text == "one\n"
        streams = [client.request(fields(f"/sleep?ms={ms}")) for ms in (800, 1000, 1200)]
        upload = client.request(fields("/echo", "POST"), b"first", end=False)
        client.ping()
        new = config(LOCATIONS.replace("one", "two"), http="http2 on;" + LOG, server="access_log logs/a.log f;", pool=POOL)
        assert weir.reload(new)["last_kind"] == "respawn"
        # What comes in the first moment may still be an old worker's.
        wait_until(lambda: asked_anew(weir) == "two\n", 5, "the new configuration")
        client.goaway()
        late = client.request(fields("/"))  # the client has not heard yet: as far as it is begun it is answered
        client.send_body(upload, b"second")
        client.responses([*streams, upload])
        client.until_closed()
        assert [each.text for each in streams] == ["slept 800 ms\n", "slept 1000 ms\n", "slept 1200 ms\n"] and upload.text == "firstsecond"
        assert client.goaways[0] == (MAX_WINDOW, Code.NO_ERROR, b"")
        last = client.goaways[-1]
        assert last.code == Code.NO_ERROR and upload.number <= last.last_stream <= late.number
        assert late.text == "one\n" if last.last_stream >= late.number else not late.status


def test_reload_without_streams(weir):
    """An idle connection is told, and closed; nothing waits for it."""
    start(weir)
    with Client(weir.port) as client:
        assert client.get().status == 200
        before = weir.worker_pids()
        weir.reload(config(LOCATIONS.replace("one", "two"), http="http2 on;"))
        client.until_closed()
        assert client.goaways[-1][:2] == (1, Code.NO_ERROR)
        weir.wait_dead(before, 5)


def test_idle_for_long(weir):
    """What was compressed before is known afterwards, on both sides, however often it was put aside; and then it is told to go."""
    start(weir, 'location / { add_header X-Kept $http_x_long; return 200 "one\\n"; }')
    head = [*fields("/"), ("x-long", "a value for the tables of both sides")]
    with Client(weir.port) as client:
        for _ in range(3):
            answers = client.responses([client.request(head) for _ in range(3)])
            assert [dict(each.headers)["x-kept"] for each in answers] == [head[-1][1]] * 3
            weirlib.let_pass(2.2)  # the worker looks each second for who has been idle for one
        client.ping()
        weir.reload(config(LOCATIONS.replace("one", "two"), http="http2 on;"))
        client.until_closed()
        assert client.goaways[-1][:2] == (17, Code.NO_ERROR)


def test_reload_in_place_ends_nothing(weir):
    start(weir)
    with Client(weir.port) as client:
        assert client.get().status == 200
        assert weir.reload(config(LOCATIONS, http="http2 on;" + LOG, server="access_log logs/a.log f;", pool="threads=32 max_queue=100"))["last_kind"] == "in-place"
        client.read_for(0.2)
        assert not client.goaways and client.get().text == "one\n"


def test_requests_at_every_moment_of_a_reload(weir):
    """A client that begins streams until it has read GOAWAY loses none: each is answered, or lies beyond the last stream and was not begun."""
    start(weir)
    with Client(weir.port) as client:
        streams, begun = [], time.monotonic()
        client.ready()  # the old worker has it
        weir.write(config(LOCATIONS.replace("one", "two"), http="http2 on;"))
        weir.signal(signal.SIGHUP)
        while not client.goaways and time.monotonic() - begun < limit(10):
            streams.append(client.request(fields(f"/{len(streams)}")))
            client.read_for(0.002)
        client.read(lambda: client.closed, "the end")
        last = client.goaways[-1].last_stream
        for each in streams:
            assert (each.text == "one\n") if each.number <= last else not each.status, (each, client.goaways)


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGHUP])
def test_goaway_twice(weir, number):
    """2^31-1 first, and the last stream that was begun once the client must have heard."""
    start(weir)
    with Client(weir.port) as client:
        streams = [client.request(fields("/sleep?ms=700")) for _ in range(10)]
        client.ping()
        if number == signal.SIGHUP:
            weir.write(config(LOCATIONS.replace("one", "two"), http="http2 on;"))
        weir.signal(number)
        ends_orderly(client, streams)
        assert [each.text for each in streams] == ["slept 700 ms\n"] * 10
    if number == signal.SIGQUIT:
        assert weir.wait_exit() == 0


def test_quit_with_a_download(weir):
    """As long as the client reads."""
    (weir.tmp / "html/data").write_bytes(bytes(5 << 20))
    start(weir, "root {tmp}/html;")
    with Client(weir.port, credit=False) as client:
        stream = client.request(fields("/data"))
        client.read(lambda: len(stream.body) == 65535, "a window full")
        weir.signal(signal.SIGQUIT)
        client.goaway()
        assert alive(weir.pid)
        client.credit = True
        client.grow(65535, client, stream)
        assert len(client.response(stream, 20).body) == 5 << 20
    assert weir.wait_exit() == 0


def test_quit_with_idle_connections(weir):
    start(weir)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(weir.port)) for _ in range(20)]
        assert [client.get().status for client in clients] == [200] * 20
        weir.signal(signal.SIGQUIT)
        for client in clients:
            client.until_closed()
            assert client.goaways[-1][:2] == (1, Code.NO_ERROR)
    assert weir.wait_exit() == 0


def test_quit_with_a_client_that_has_said_nothing(weir):
    """Neither the preface alone nor half of it holds the end up."""
    start(weir)
    with Client(weir.port) as client, Connection(weir.port) as half:
        half.send(b"PRI * HT")
        client.ready()
        weir.signal(signal.SIGQUIT)
        client.until_closed()
    assert weir.wait_exit() == 0


def test_term_ends_all_at_once(weir):
    start(weir)
    with Client(weir.port) as client:
        client.request(fields("/sleep?ms=20000"))
        client.ping()
        began = time.monotonic()
        assert weir.stop() == 0 and time.monotonic() - began < limit(3)
        client.until_closed()


# ---- clients that leave -----------------------------------------------------------------------------------------------

def test_a_reset_stops_the_handler(weir):
    """The thread is free again at once, the line says 499, and the other streams go on."""
    start(weir)
    with Client(weir.port) as client:
        other = client.request(fields("/sleep?ms=1500"))
        stream = client.request(fields("/sleep?ms=20000"))
        wait_until(lambda: weir.pool()["threads"]["running"] == 2, 5, "both at work")
        client.reset(stream)
        assert lines(weir, 1) == ["/sleep?ms=20000 499"]
        assert client.response(other).text == "slept 1500 ms\n"
        assert client.get().status == 200
    idle(weir)


def test_a_reset_while_the_body_comes(weir):
    start(weir)
    with Client(weir.port) as client:
        stream = client.request(fields("/echo", "POST"), b"half", end=False)
        client.ping()
        client.reset(stream)
        assert lines(weir, 1) in (["/echo 499"], ["/echo 400"])  # as of a client of HTTP/1 that leaves there
        assert client.get().status == 200


def test_a_reset_while_the_response_goes_out(weir):
    """It is counted by what has gone; nothing more of it comes."""
    (weir.tmp / "html/data").write_bytes(bytes(1 << 20))
    start(weir, "root {tmp}/html; location /after { return 200 after; }")
    with Client(weir.port, settings={INITIAL_WINDOW: 20_000}, credit=False) as client:
        stream = client.request(fields("/data"))
        client.read(lambda: len(stream.body) == 20_000, "a window full")
        client.reset(stream)
        assert client.get("/after").text == "after"
        client.grow(100_000)
        client.read_for(0.2)
        assert len(stream.body) == 20_000
    assert lines(weir, 2)[0].startswith("/data ")
    idle(weir)


def test_a_reset_leaves_the_upstream(weir, backend):  # noqa: F811
    """The connection to it is closed: nobody wants its answer."""
    up = backend(lambda call: (call.peer.wait_gone(), None)[1])
    passed(weir, up, http="http2 on;", server="location /own { return 200 own; }")
    with Client(weir.port) as client:
        stream = client.request(fields("/"))
        wait_until(lambda: up.calls, 3, "a call")
        client.reset(stream)
        assert up.peers[0].gone.wait(limit(3))
        assert client.get("/own").text == "own"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_clients_that_leave(weir, how):
    """All streams of a connection end with it."""
    start(weir)
    with Client(weir.port) as client:
        for i in range(20):
            client.request(fields(f"/sleep?ms={20_000 + i}"))
        wait_until(lambda: weir.pool()["threads"]["running"] == 20, 5, "all at work")
        if how == "reset":
            client.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert sorted(lines(weir, 20)) == [f"/sleep?ms={20_000 + i} 499" for i in range(20)]
    idle(weir)
    assert http2(weir)["streams"] == 0


@pytest.mark.parametrize("target", ["/sleep?ms=500", "/echo"])
def test_a_thousand_resets_at_once(weir, target):
    """Each stream is reset right behind its head. A server may send such a client away (ENHANCE_YOUR_CALM), but nothing of it stays."""
    start(weir)
    with Client(weir.port) as client:
        frames = []
        for _ in range(1000):
            stream = client.open()
            frames += [*client.head_frames(stream, fields(target, "POST" if target == "/echo" else "GET"), end=target != "/echo"), RstStreamFrame(stream.number, Code.CANCEL)]
        client.send(*frames)
        with contextlib.suppress(ConnectionError):
            client.ping()
        assert client.failed is None or client.failed.code == Code.ENHANCE_YOUR_CALM, client.failed
        idle(weir)
        with Client(weir.port) as other:
            assert other.get().text == "one\n"
        if not client.closed and not client.goaways:
            assert client.get().text == "one\n"
    idle(weir)
    wait_until(lambda: http2(weir)["streams"] == 0, 3, "no streams")


def test_goaway_of_the_client(weir):
    """It gets what it has asked for; the connection closes when nothing runs any more."""
    start(weir)
    with Client(weir.port) as client:
        stream = client.request(fields("/sleep?ms=500"))
        client.send(frame(GOAWAY, 0, 0, bytes(8)))
        assert client.response(stream).text == "slept 500 ms\n"
        client.until_closed(5)


def test_a_client_that_ends_its_writing(weir):
    """What it has asked for may come still; the connection does not stay."""
    start(weir)
    with Client(weir.port) as client:
        client.request(fields("/sleep?ms=300"))
        client.ping()
        client.wire.end_writing()
        client.until_closed(5)
    idle(weir)


# ---- the status -------------------------------------------------------------------------------------------------------

def test_connections_and_streams_in_the_status(weir):
    start(weir)
    before = http2(weir)
    assert (before["connections"], before["streams"]) == (0, 0) and isinstance(before["closed"], dict)
    with Client(weir.port) as one, Client(weir.port) as two:
        streams = [client.request(fields("/sleep?ms=1000")) for client in (one, two, two)]
        wait_until(lambda: (http2(weir)["connections"], http2(weir)["streams"]) == (2, 3), 3, "two connections, three streams")
        assert weir.status()["requests"]["in_flight"] == 4
        one.response(streams[0])
        two.responses(streams[1:])
        wait_until(lambda: (http2(weir)["connections"], http2(weir)["streams"]) == (2, 0), 3, "no streams")
    wait_until(lambda: http2(weir)["connections"] == 0, 3, "no connections")


def test_why_connections_were_closed(weir):
    """Each end is counted once, under its reason."""
    start(weir)
    before = sum(http2(weir)["closed"].values())
    with Client(weir.port) as client:
        client.get()
    with Client(weir.port) as client:
        client.get()
        client.send(frame(6, 0, 0, bytes(7)))
        client.until_closed()
    closed = wait_until(lambda: sum((now := http2(weir)["closed"]).values()) == before + 2 and now, 3, "two ends")
    assert sum(1 for count in closed.values() if count) == 2, closed
    assert all(isinstance(count, int) for count in closed.values())


def test_requests_are_counted(weir):
    """Each stream is a request; the connection is one."""
    start(weir)
    before = weir.status()
    with Client(weir.port) as client:
        for path in ("/", "/", "/sleep?ms=x"):
            client.get(path)
        wait_until(lambda: weir.status()["requests"]["4xx"] == before["requests"]["4xx"] + 1, 3, "all three")
        now = weir.status()
        assert now["requests"]["2xx"] - before["requests"]["2xx"] >= 2 and now["connections"]["active"] == 2


@pytest.mark.skipif(weirlib.SLOW_BUILD, reason="a sanitizer keeps what is freed")
def test_no_memory_is_left_behind(weir):
    """A thousand connections with ten streams each, some of them broken off."""
    start(weir)

    def round_trip(i):
        with Client(weir.port) as client:
            streams = [client.request(fields(f"/{j}", "GET", ("x-a", "b" * 100))) for j in range(10)]
            if i % 3:
                client.responses(streams)
    for i in range(100):
        round_trip(i)
    idle(weir)
    before = weir.status()["memory"]["allocated_bytes"]
    for i in range(300):
        round_trip(i)
    idle(weir)
    watch(0.1)
    assert weir.status()["memory"]["allocated_bytes"] - before < 1_000_000


def test_answers_of_upstreams_at_once(weir, backend):  # noqa: F811
    """Two hundred streams over two connections, each with an upstream's answer of its own."""
    passed(weir, backend(lambda call: answer(call.target.encode())), "proxy_http_version 1.1;", http="http2 on;", connections=1024)
    with Client(weir.port) as one, Client(weir.port) as two:
        streams = [(client, i, client.request(fields(f"/{i}"))) for i in range(100) for client in (one, two)]
        assert all(client.response(stream).text == f"/{i}" for client, i, stream in streams)
