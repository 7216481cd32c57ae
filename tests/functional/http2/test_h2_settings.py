"""What the configuration sets for HTTP/2: streams, windows, frames, sizes of heads and bodies, times; and how a client is told."""

import os
import time

import pytest
from http2_client import (END_STREAM, FIRST_FRAME, FIRST_WINDOW, HEADERS, INITIAL_WINDOW, MAX_STREAMS, PREFACE, Client, Code, fields, frame, serve,
                          settings_frame)
from proxylib import answer, backend, passed  # noqa: F401 - a fixture
from weirlib import config, limit

ANSWERS = """
    location / { return 200 "$request_method $uri $host\\n"; }
    location /echo { handler echo; }
    location /sleep { handler sleep; }
"""


def announced(weir):
    with Client(weir.port) as client:
        return client.ready().server_settings


# ---- streams ------------------------------------------------------------------------------------------------------

@pytest.mark.directive("http2_max_concurrent_streams")
@pytest.mark.parametrize("line, count", [("", 128), ("http2_max_concurrent_streams 3;", 3)])
def test_streams_at_a_time(weir, line, count):
    """Said in SETTINGS; one more is refused, unread, and may be asked again (RFC 9113 section 8.7)."""
    serve(weir, ANSWERS, http=line, pool="threads=200 max_queue=1000")
    with Client(weir.port) as client:
        assert client.ready().server_settings[MAX_STREAMS] == count
        client.ping()  # the acknowledgement has been read
        streams = [client.request(fields("/sleep?ms=700")) for _ in range(count)]
        for _ in range(3):
            assert client.outcome(client.request(fields("/more"))) == "reset REFUSED_STREAM"
        assert [each.status for each in client.responses(streams)] == [200] * count
        assert client.get("/more").text == "GET /more localhost\n"


@pytest.mark.directive("http2_max_concurrent_streams")
def test_streams_that_have_ended_count_no_more(weir):
    """However they ended."""
    serve(weir, ANSWERS, http="http2_max_concurrent_streams 2;")
    with Client(weir.port) as client:
        client.ready().ping()
        for _ in range(20):
            streams = [client.request(fields("/a")), client.request(fields("/echo", "POST"), end=False)]
            client.response(streams[0])
            client.reset(streams[1])
            assert client.get("/b").status == 200


# ---- windows and frames -------------------------------------------------------------------------------------------

@pytest.mark.directive("http2_body_preread_size")
@pytest.mark.parametrize("size", [0, 1000, 65535, 200_000])
def test_first_window(weir, size):
    """http2_body_preread_size is what a stream may send before anything was taken; larger bodies come in parts."""
    serve(weir, ANSWERS, http=f"http2_body_preread_size {size};")
    assert announced(weir)[INITIAL_WINDOW] == size
    body = os.urandom(300_000)
    with Client(weir.port) as client:
        client.ready()
        assert client.post("/echo", body).body == body
        assert client.post("/echo", body[:10], size=3).body == body[:10]


@pytest.mark.directive("http2_body_preread_size")
def test_first_window_by_default(weir):
    serve(weir, ANSWERS)
    assert announced(weir)[INITIAL_WINDOW] in (FIRST_WINDOW, FIRST_WINDOW + 1)


@pytest.mark.directive("http2_chunk_size")
@pytest.mark.parametrize("line, most", [("", 8192), ("http2_chunk_size 1k;", 1024), ("http2_chunk_size 16k;", 16384), ("http2_chunk_size 4000;", 4000)])
def test_chunks(weir, line, most):
    """The largest DATA of a response; a client's smaller frames and windows bind all the same."""
    data = os.urandom(200_000)
    (weir.tmp / "html/data").write_bytes(data)
    serve(weir, "root {tmp}/html;", http=line)
    with Client(weir.port, settings={INITIAL_WINDOW: 1 << 20}) as client:
        client.grow(1 << 20)
        found = client.get("/data")
        assert found.body == data and max(map(len, found.pieces)) == most


# ---- bodies -------------------------------------------------------------------------------------------------------

LIMITED = "location / { client_max_body_size 1000; handler echo; } location /after { return 200 after; }"


@pytest.mark.directive("client_max_body_size")
@pytest.mark.parametrize("more", [[("content-length", "100000")], []])
def test_bodies_that_are_too_large(weir, more):
    """413 by the head, or as soon as too much has come; the connection goes on."""
    serve(weir, LIMITED)
    with Client(weir.port) as client:
        stream = client.request(fields("/", "POST", *more), end=False)
        client.send_body(stream, bytes(20_000), end=False)
        found = client.read(lambda: stream.ended and stream, "413")
        assert found.status == 413
        client.ping()
        assert stream.reset in (None, Code.NO_ERROR)  # "send me no more" (RFC 9113 section 8.1)
        assert client.get("/after").text == "after"
        assert client.post("/", bytes(1000)).body == bytes(1000)
        assert client.post("/", bytes(1001)).status == 413


# ---- heads --------------------------------------------------------------------------------------------------------

HEADS = {
    "a field": fields("/", "GET", ("x-a", "~" * 9000)), "a name": fields("/", "GET", ("~" * 9000, "a")), "a path": fields("/" + "~" * 9000),
    "many fields": fields("/", "GET", *[(f"x-{i}", "~" * 1000) for i in range(40)]), "many small fields": fields("/", "GET", *[("x", "a")] * 20_000),
    "many fields of few bytes": fields("/", "GET", *[("x-a", "~" * 3000)] * 1000),
}


# nginx 1.22 ends the connection for all of these (ENHANCE_YOUR_CALM), whose limits count compressed bytes. An answer costs only the stream.
TOO_LARGE = {"400", "414", "431", "reset ENHANCE_YOUR_CALM", "goaway ENHANCE_YOUR_CALM"}


@pytest.mark.directive("large_client_header_buffers")
@pytest.mark.parametrize("headers", HEADS.values(), ids=HEADS.keys())
def test_heads_that_are_too_large(weir, headers):
    """As in HTTP/1: 400 (with 494 in the log), 414. The block is read to its end, for the table, or the connection ends."""
    serve(weir, ANSWERS, http="large_client_header_buffers 4 8k;")
    with Client(weir.port) as client:
        found = client.outcome(client.request(headers))
        assert found in TOO_LARGE
        after = client.request(fields("/after", "GET", ("x-a", "a" * 500)))
        assert client.outcome(after) == ("goaway ENHANCE_YOUR_CALM" if client.failed else "200")
    with Client(weir.port) as client:
        assert client.get("/" + "a" * 7000, ("x-a", "a" * 500)).status == 200


@pytest.mark.directive("large_client_header_buffers")
def test_large_heads_that_fit(weir):
    serve(weir, 'location / { return 200 "$http_x_0|$http_x_5"; }', http="large_client_header_buffers 8 16k;")
    with Client(weir.port) as client:
        found = client.get("/", *[(f"x-{i}", f"{i}" * 9000) for i in range(6)])
        assert found.text == "0" * 9000 + "|" + "5" * 9000


def test_heads_that_do_not_end(weir):
    """CONTINUATION for ever costs the client its connection, not the server its memory."""
    serve(weir, ANSWERS)
    with Client(weir.port) as client:
        stream = client.open()
        client.send(frame(HEADERS, END_STREAM, stream.number, b"\x82\x86\x84"))
        for _ in range(3000):
            client.send(frame(9, 0, stream.number, (b"\0\1a" + b"\x7f\x81\x7c" + b"b" * 16000)[:16384 - 100]))
            client.read_for(0.001)
            if client.closed or client.failed:
                break
        assert client.outcome(stream) in {"goaway ENHANCE_YOUR_CALM", "goaway PROTOCOL_ERROR", "goaway COMPRESSION_ERROR", "goaway INTERNAL_ERROR", "closed"}
    with Client(weir.port) as client:
        assert client.get().status == 200


# ---- times --------------------------------------------------------------------------------------------------------

def ended_within(client, first, last, began):
    client.until_closed(last + 5)
    assert first < time.monotonic() - began < limit(last), time.monotonic() - began


@pytest.mark.directive("client_header_timeout")
@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE, PREFACE + settings_frame()[:5]])
def test_beginnings_that_take_too_long(weir, sent):
    """A client that does not say what it is within client_header_timeout is cut off. (nginx lets PREFACE alone wait for keepalive_timeout.)"""
    serve(weir, ANSWERS, http="client_header_timeout 600ms; keepalive_timeout 60s;")
    began = time.monotonic()
    with Client(weir.port, begin=False) as client:
        client.send(sent)
        raw = client.wire.until_close()
        assert 0.4 < time.monotonic() - began < limit(2.5) and b"HTTP/1.1 200" not in raw


@pytest.mark.directive("client_header_timeout")
def test_heads_that_take_too_long(weir):
    """A block that does not end holds the whole connection up, and ends with it; nginx ends only the stream."""
    serve(weir, ANSWERS, http="client_header_timeout 600ms; keepalive_timeout 60s;")
    with Client(weir.port) as client:
        assert client.get().status == 200
        began = time.monotonic()
        stream = client.open()
        client.send(frame(HEADERS, END_STREAM, stream.number, b"\x82\x86\x84"))
        client.read(lambda: client.closed or client.failed or stream.over, "an end", 5)
        assert 0.4 < time.monotonic() - began < limit(2.5)


@pytest.mark.directive("client_body_timeout")
def test_bodies_that_take_too_long(weir):
    """The stream is answered 408, or reset; the connection goes on. Who only sends slowly is not cut off."""
    serve(weir, ANSWERS, http="client_body_timeout 500ms;")
    with Client(weir.port) as client:
        stream = client.request(fields("/echo", "POST"), b"half", end=False)
        slow = client.request(fields("/echo", "POST"), end=False)
        began = time.monotonic()
        for byte in b"abcdefgh":
            client.read_for(0.15)
            client.send_data(slow, bytes([byte]))
        assert stream.over and 0.3 < time.monotonic() - began
        client.send_data(slow, b"", end=True)
        assert client.response(slow).body == b"abcdefgh"
        assert client.outcome(stream) in {"408", "reset NO_ERROR", "reset CANCEL", "reset PROTOCOL_ERROR", "reset INTERNAL_ERROR"}
        assert client.get().status == 200


@pytest.mark.directive("keepalive_timeout")
def test_idle_connections_are_closed(weir):
    """After keepalive_timeout, with a GOAWAY that says nothing is wrong; each request starts it anew, and PING does not."""
    serve(weir, ANSWERS, http="keepalive_timeout 600ms;")
    with Client(weir.port) as client:
        for _ in range(4):
            assert client.get().status == 200
            client.read_for(0.3)
        assert not client.closed
        began = time.monotonic()
        assert client.get("/sleep?ms=1000").text == "slept 1000 ms\n"  # busy is not idle
        assert time.monotonic() - began > 0.9
        began = time.monotonic()
        ended_within(client, 0.4, 2, began)
        assert (client.goaways[-1].code, client.goaways[-1].last_stream) == (Code.NO_ERROR, client.next_stream - 2)


@pytest.mark.directive("keepalive_requests")
@pytest.mark.parametrize("at_once", [False, True])
def test_connections_have_so_many_requests(weir, at_once):
    """The last one says GOAWAY; what it names as begun is answered, and what lies beyond may be asked again."""
    serve(weir, ANSWERS, http="keepalive_requests 5;")
    done = []
    for _ in range(20):
        with Client(weir.port) as client:
            wanted = [i for i in range(30) if i not in done]
            if not wanted:
                break
            streams = {}
            for i in wanted:
                streams[i] = client.request(fields(f"/{i}"))
                if not at_once:
                    client.read(lambda: streams[i].over or client.closed, "an answer")
                    if client.goaways:
                        break
            said = client.goaway()
            assert said.code == Code.NO_ERROR
            client.read(lambda: client.closed or all(each.over for each in streams.values() if each.number <= said.last_stream), "what was begun")
            begun = {i: each for i, each in streams.items() if each.number <= client.goaways[-1].last_stream}
            assert [each.text for each in begun.values()] == [f"GET /{i} localhost\n" for i in begun] and len(begun) >= 5
            assert not any(each.status for i, each in streams.items() if i not in begun)
            done += begun
            client.until_closed()
    assert sorted(done) == list(range(30))


@pytest.mark.directive("send_timeout")
@pytest.mark.parametrize("window", [0, 20_000])
def test_clients_that_give_no_window(weir, window):
    """A response that cannot go on is given up after send_timeout, with its stream or with the connection; others are served meanwhile."""
    (weir.tmp / "html/data").write_bytes(bytes(1 << 20))
    serve(weir, "root {tmp}/html; location /after { return 200 after; }", http="send_timeout 600ms;")
    with Client(weir.port, settings={INITIAL_WINDOW: window}, credit=False) as client:
        stream = client.request(fields("/data"))
        began = time.monotonic()
        client.read(lambda: stream.reset is not None or client.closed or client.goaways, "an end", 5)
        assert 0.4 < time.monotonic() - began < limit(3) and not stream.ended


@pytest.mark.directive("send_timeout")
def test_clients_that_read_slowly(weir):
    """A response that goes on, however slowly, is not given up."""
    (weir.tmp / "html/data").write_bytes(bytes(10_000))
    serve(weir, "root {tmp}/html;", http="send_timeout 600ms;")
    with Client(weir.port, settings={INITIAL_WINDOW: 0}, credit=False) as client:
        stream = client.request(fields("/data"))
        for _ in range(10):
            client.read_for(0.2)
            client.grow(1000, stream)
        assert len(client.response(stream).body) == 10_000


@pytest.mark.directive("limit_rate")
def test_rates_are_a_stream_s(weir):
    """limit_rate bounds each response by itself; others of the connection go past it."""
    (weir.tmp / "html/data").write_bytes(bytes(30_000))
    serve(weir, "root {tmp}/html; location /data { limit_rate 20k; }  location /after { return 200 after; }")
    with Client(weir.port) as client:
        began = time.monotonic()
        streams = [client.request(fields("/data")) for _ in range(3)]
        assert client.get("/after").text == "after" and time.monotonic() - began < limit(0.4)
        assert [len(each.body) for each in client.responses(streams)] == [30_000] * 3
        assert 0.4 < time.monotonic() - began < limit(3)


@pytest.mark.directive("client_body_min_rate")
def test_a_body_that_comes_too_slowly(weir, backend):  # noqa: F811
    """The least rate of unbuffered bodies holds for streams."""
    passed(weir, backend(lambda call: answer(call.body)), "proxy_http_version 1.1; proxy_request_buffering off; limit_concurrency z; client_body_min_rate 1k after=1s;", http="http2 on; limit_concurrency_zone z limit=2;",
           server="location /after { return 200 after; }")
    weir.expect_log("upstream|client")
    with Client(weir.port) as client:
        stream = client.request(fields("/", "POST", ("content-length", "10000")), end=False)
        began = time.monotonic()
        while not stream.over and not client.closed and time.monotonic() - began < limit(15):
            client.send_data(stream, b"x")
            client.read_for(0.2)
        assert (stream.over or client.closed) and not (stream.ended and stream.status == 200)
    with Client(weir.port) as client:
        assert client.get("/after").text == "after"


OBSOLETE = ("http2_idle_timeout 3m;", "http2_recv_timeout 30s;", "http2_max_requests 1000;", "http2_max_field_size 4k;", "http2_max_header_size 16k;",
            "http2_push off;", "http2_push_preload off;", "http2_max_concurrent_pushes 10;")


@pytest.mark.parametrize("line", OBSOLETE)
def test_nginx_s_old_words(weir, line):
    """Configurations that have them are taken, with a warning."""
    result = weir.run("-t", conf=config(http="http2 on;" + line))
    assert result.returncode == 0 and "[warn]" in result.stderr and line.split()[0] in result.stderr, result.stderr


@pytest.mark.parametrize("line", ["http2_recv_buffer_size 256k;", "http2_pool_size 4k;", "http2_streams_index_size 32;"])
def test_nginx_s_inner_sizes(weir, line):
    assert weir.run("-t", conf=config(http="http2 on;" + line)).returncode == 0


WRONG = ["http2_max_concurrent_streams 0;", "http2_max_concurrent_streams some;", "http2_max_concurrent_streams 5000;", "http2_body_preread_size -1;", "http2_body_preread_size 2g;",
         "http2_chunk_size 0;", "http2_chunk_size;", "http2_chunk_size 4k 8k;"]


@pytest.mark.parametrize("line", WRONG)
def test_wrong_settings(weir, line):
    assert len(weir.mistakes(config(http="http2 on;" + line))) == 1


def test_frames_that_ask_for_nothing(weir):
    """PING, SETTINGS and empty DATA without end: answered for a while, then the client is sent away, and nobody else minds."""
    serve(weir, ANSWERS)
    floods = {
        "PING": frame(6, 0, 0, bytes(8)), "SETTINGS": settings_frame(), "PRIORITY": frame(2, 0, 1, bytes(4) + b"\1"), "empty DATA": frame(0, 0, 1),
        "WINDOW_UPDATE": frame(8, 0, 0, b"\0\0\0\1"),
    }
    for name, data in floods.items():
        with Client(weir.port) as client:
            client.unacknowledged.extend([{}] * 300_000)
            client.send(*client.head_frames(client.open(), fields("/echo", "POST"), end=False))
            for _ in range(300):
                client.send(data * 1000)
                client.read_for(0.001)
                if client.closed or client.failed:
                    break
            if name in ("PING", "SETTINGS", "empty DATA"):  # the others cost nothing but their reading
                client.read(lambda: client.closed or client.failed, f"an end of {name}")
            assert not client.failed or client.failed.code == Code.ENHANCE_YOUR_CALM, (name, client.failed)
        with Client(weir.port) as client:
            assert client.get().status == 200


def test_largest_frame(weir):
    """A DATA frame as large as the server takes."""
    serve(weir, ANSWERS)
    body = os.urandom(FIRST_FRAME)
    with Client(weir.port) as client:
        client.ready()
        stream = client.request(fields("/echo", "POST"), end=False)
        client.send_data(stream, body, end=True)
        assert client.response(stream).body == body


# ---- words of older nginx -----------------------------------------------------------------------------------------

OBSOLETE = {
    "http2_idle_timeout": ("3m", "keepalive_timeout"), "http2_recv_timeout": ("30s", "client_header_timeout"),
    "http2_max_requests": ("1000", "keepalive_requests"), "http2_max_field_size": ("4k", "large_client_header_buffers"),
    "http2_max_header_size": ("16k", "large_client_header_buffers"), "http2_push": ("off", None), "http2_push_preload": ("on", None),
    "http2_max_concurrent_pushes": ("10", None),
}


@pytest.mark.directive(*OBSOLETE)
@pytest.mark.parametrize("name", OBSOLETE)
def test_words_that_are_obsolete(weir, name):
    """They do nothing, and -t says what does."""
    argument, instead = OBSOLETE[name]
    told = weir.run("-t", conf=config(ANSWERS, http=f"http2 on; {name} {argument};"))
    sentence = f'the "{name}" directive is obsolete, ' + (f'use the "{instead}" directive instead' if instead else "ignored")
    assert told.returncode == 0 and sentence in told.stderr, told.stderr


# ---- as many streams as there are permits -------------------------------------------------------------------------

@pytest.mark.directive("http2_max_concurrent_streams")
def test_streams_follow_the_permits(weir):
    """auto: 128 at first; then what a zone has room for, and more again."""
    weir.start(config(ANSWERS + " location /few { limit_concurrency few; handler sleep; } location /many { limit_concurrency many; handler sleep; }",
                      http="http2 on; http2_max_concurrent_streams auto; limit_concurrency_zone few limit=3 queue=100; limit_concurrency_zone many limit=1000;"))
    with Client(weir.port) as client:
        assert client.ready().server_settings[MAX_STREAMS] == 128
        assert client.get("/few?ms=1").status == 200
        client.read(lambda: client.server_settings[MAX_STREAMS] <= 3, "a smaller limit")
        client.ping()
        streams = [client.request(fields("/few?ms=300")) for _ in range(client.server_settings[MAX_STREAMS])]
        assert client.outcome(client.request(fields("/"))) == "reset REFUSED_STREAM"
        assert [each.status for each in client.responses(streams)] == [200] * len(streams)
        client.read_for(0.2)
        assert client.get("/many?ms=1").status == 200
        client.read(lambda: client.server_settings[MAX_STREAMS] == 128, "a larger limit")
