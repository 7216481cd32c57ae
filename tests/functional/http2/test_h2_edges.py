"""Where streams, their requests and their connection end at different times, or one of them is larger than usual."""

import os
import signal
import socket
import struct
import threading

import pytest
from http2_client import PREFACE, Client, Code, fields, serve
from proxylib import answer, backend, passed, rss_bytes, worker  # noqa: F401 - a fixture
from weirlib import SLOW_BUILD, config, let_pass, wait_until

HEAD_ONLY = b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"


@pytest.mark.parametrize("size, count", [(3000, 128), (4800, 100), (4800, 1)])
def test_many_large_heads_at_once(weir, size, count):
    """More than nghttp2 may hold for a connection: they go one after the other."""
    serve(weir, f'location / {{ add_header X-A {"a" * size}; return 200 "$request_uri"; }}')
    with Client(weir.port) as client:
        client.ready()
        streams = [client.open() for _ in range(count)]
        client.send(*(each for stream in streams for each in client.head_frames(stream, fields(f"/{stream.number}"))))
        assert [(each.status, each.text) for each in client.responses(streams)] == [(200, f"/{stream.number}") for stream in streams]


def test_a_head_of_many_frames(weir, backend):  # noqa: F811
    more = [f"X-{i}: {'abcdefgh' * 500}" for i in range(20)]
    passed(weir, backend(answer(b"hello", *more)), "proxy_buffer_size 256k; proxy_buffers 8 256k; proxy_busy_buffers_size 512k;", http="http2 on;")
    with Client(weir.port) as client:
        found = client.get()
        assert (found.status, found.text, found.header("x-19")) == (200, "hello", "abcdefgh" * 500)


def test_trailers_of_an_answer_before_its_request_has_ended(weir):
    """The client is told that it need not go on only behind them."""
    serve(weir, 'location / { add_trailer X-T yes always; return 200 "body"; }')
    with Client(weir.port) as client:
        stream = client.request(fields("/", "POST", ("te", "trailers")), b"x", end=False)
        client.read(lambda: stream.reset is not None, "the reset")
        assert (stream.status, stream.text, stream.ended, stream.reset) == (200, "body", True, Code.NO_ERROR)
        assert [tuple(each) for each in stream.trailers] == [("x-t", "yes")]


@pytest.mark.parametrize("ends", [True, False])
def test_an_interim_answer_is_none(weir, backend, ends):  # noqa: F811
    """Though the last one has come with it, and has no body."""
    passed(weir, backend(HEAD_ONLY, read_body=False), "proxy_http_version 1.1; proxy_request_buffering off; early_hints 1;", http="http2 on;")
    with Client(weir.port) as client:
        found = client.response(client.request(fields("/", "POST"), None, end=ends))
        assert (found.status, found.header("x-a")) == (204, "b")


@pytest.mark.parametrize("http, target", [("limit_req_zone $uri zone=r:1m rate=1r/m;", "/late"), ("", "/%zz")])
def test_bodies_that_nobody_reads_cost_no_window(weir, http, target):
    """Of requests that are reset while they wait, and of those that are refused."""
    waits = "limit_req zone=r burst=200;" if http else ""
    weir.start(config(f"location / {{ handler echo; }} location /late {{ {waits} handler echo; }}", http=f"http2 on; client_max_body_size 0; {http}"))
    body = os.urandom(300_000)
    with Client(weir.port) as client:
        for _ in range(80):
            stream = client.request(fields(target, "POST"), bytes(60_000), end=False)
            client.ping()
            if not stream.over:
                client.reset(stream)
        assert client.response(client.request(fields("/", "POST"), body)).body == body


def test_waiting_for_another_streams_turn_is_no_fault(weir):
    """Who says how urgent a request is has them one after the other, and its line may be slow."""
    weir.start(config("location / { root {tmp}/files; }", http="http2 on; send_timeout 1s;"))
    (weir.tmp / "files").mkdir()
    (weir.tmp / "files" / "large").write_bytes(bytes(6 << 20))
    (weir.tmp / "files" / "small").write_bytes(bytes(20_000))
    with Client(weir.port, credit=False) as client:
        large, small = (client.request(fields(path, "GET", ("priority", "u=3"))) for path in ("/large", "/small"))
        for _ in range(30):
            client.read_for(0.1)
            client.grow(60_000, client, large)
        assert small.reset is None and large.reset is None and len(large.body) > 100_000


@pytest.mark.parametrize("say", [b"", b"PRI * HTT"])
def test_a_connection_that_begins_while_the_worker_ends(weir, say):
    """It is told so, and does not hold it up."""
    serve(weir, 'location / { return 200 "x"; } location /sleep { handler sleep; }')
    with Client(weir.port) as holder, Client(weir.port, begin=False) as client:
        holder.ready()
        busy = holder.request(fields("/sleep?ms=700"))
        wait_until(lambda: weir.pool()["threads"]["running"] - weir.pool()["threads"]["idle"] == 1, 5, "it at work")
        if say:
            client.wire.send(say)
        weir.signal(signal.SIGQUIT)
        holder.read(lambda: holder.goaways, "a GOAWAY")
        try:
            client.send(PREFACE[len(say):])
            client.send_settings({})
            client.read(lambda: client.goaways or client.closed, "a GOAWAY, or the end")
        except OSError:
            pass
        assert holder.response(busy).status == 200
    weir.wait_exit(10)


def test_a_client_that_answers_no_ping_is_not_waited_for(weir):
    serve(weir, 'location / { return 200 "x"; }', http="keepalive_timeout 60s;")
    with Client(weir.port) as client:
        assert client.get().status == 200
        client.answers_pings = False
        weir.signal(signal.SIGQUIT)
        client.read(lambda: len(client.goaways) == 2 or client.closed, "both", 10)
    weir.wait_exit(10)


@pytest.mark.directive("proxy_ignore_client_abort")
@pytest.mark.parametrize("ignore, status", [("off", 499), ("on", 200)])
def test_upstreams_may_go_on_though_the_client_has_reset_its_stream(weir, backend, ignore, status):  # noqa: F811
    """The line of the log says how it has ended."""
    gate = threading.Event()
    up = backend(lambda call: (gate.wait(20), answer())[1])
    passed(weir, up, f"proxy_ignore_client_abort {ignore};", http="http2 on; log_format s '$uri $status';", server="access_log {tmp}/s.log s;")
    with Client(weir.port) as client:
        stream = client.request(fields("/"))
        wait_until(lambda: up.calls, 5, "the request")
        client.reset(stream)
        client.ping()
        gate.set()
        wait_until(lambda: [line for line in (weir.tmp / "s.log").read_text().splitlines() if line.startswith("/ ")] == [f"/ {status}"], 5, "the line")
        assert client.get().status == 200
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "nothing but the status at work")


@pytest.mark.directive("proxy_ignore_client_abort")
@pytest.mark.parametrize("end", ["close", "reset", "reload", "quit"])
def test_upstreams_may_go_on_though_the_client_has_left(weir, backend, end):  # noqa: F811
    """Beside others of its connection, which end; and the connection ends with the last of them."""
    gate = threading.Event()
    up = backend(lambda call: (gate.wait(20), answer(b"x" * 100_000))[1])
    weir.start(config("".join(f"location /{name} {{ proxy_pass http://{up.address}; proxy_ignore_client_abort {name}; }}" for name in ("on", "off")),
                      http="http2 on; log_format s '$uri $status';", server="access_log {tmp}/s.log s;"))
    log = weir.tmp / "s.log"
    lines = lambda: sorted(line for line in log.read_text().splitlines() if line.startswith("/o")) if log.exists() else []  # noqa: E731
    with Client(weir.port) as client:
        for path in ("/on", "/off", "/on"):
            client.request(fields(path))
        wait_until(lambda: len(up.calls) == 3, 5, "the requests")
        if end == "reset":
            client.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: lines() == ["/off 499"], 5, "the one that ends")
    worker_pids = weir.worker_pids()
    if end == "reload":
        assert weir.reload(weir.conf.read_text().replace("http2 on;", "http2 on; map $uri $b { default c; }"))["last_ok"]
    elif end == "quit":
        weir.signal(signal.SIGQUIT)
    gate.set()
    wait_until(lambda: lines() == ["/off 499", "/on 200", "/on 200"], 5, "the others")
    if end == "quit":
        weir.wait_exit(10)
    elif end == "reload":
        weir.wait_dead(worker_pids, 10)
    else:
        wait_until(lambda: weir.status()["http2"]["connections"] == 0 and weir.status()["connections"]["active"] == 1, 5, "the end of the connection")


@pytest.mark.skipif(SLOW_BUILD, reason="a sanitizer has memory of its own for each thread")
def test_handlers_are_ahead_of_their_connection(weir, pour):
    """By 1 MiB together and a little each, not by that each; and all of it comes once it is taken."""
    streams, rounds, size = 40, 60, 50_000
    serve(weir, "location / { handler pour; }", pool=f"threads={streams} max_queue=100", main=f"load_module {pour};")
    assert weir.get("/?n=1&size=1").text == "x"
    before = rss_bytes(worker(weir))
    with Client(weir.port, settings={4: 0}) as client:
        client.grow(streams * rounds * size)
        asked = [client.request(fields(f"/?n={rounds}&size={size}")) for _ in range(streams)]
        wait_until(lambda: weir.pool()["threads"]["running"] == streams, 10, "all handlers")
        client.ready()
        let_pass(0.3)
        assert rss_bytes(worker(weir)) - before < 24 << 20
        client.send_settings({4: rounds * size})
        assert [len(each.body) for each in client.responses(asked, 30)] == [rounds * size] * streams


def test_handlers_that_are_ahead_end_with_their_connection(weir, pour):
    """Those that wait for its client go on, and find that nobody is there; what they share outlives it."""
    streams = 20
    serve(weir, "location / { handler pour; }", pool=f"threads={streams} max_queue=100", main=f"load_module {pour};")
    for _ in range(3):
        with Client(weir.port, settings={4: 0}) as client:
            for _ in range(streams):
                client.request(fields("/?n=1000000&size=50000"))
            wait_until(lambda: weir.pool()["threads"]["running"] == streams, 10, "all handlers")
            let_pass(0.1)
        wait_until(lambda: weir.pool()["threads"]["running"] == 0, 10, "the end of all handlers")
    with Client(weir.port) as client:
        assert client.get("/?n=40&size=50000").body == b"x" * 2_000_000
