"""Requests over HTTP/2 and their answers: whatever HTTP/1 does, on many streams at once."""

import gzip
import os
import re

import pytest
from http2_client import DATA, END_STREAM, FIRST_FRAME, FIRST_WINDOW, INITIAL_WINDOW, MAX_FRAME, Client, alpn_client, fields, frame, serve
from proxylib import CHUNKS, HALVES, answer, backend, passed  # noqa: F401 - a fixture
from weirlib import Connection, config, tls_pair, wait_until

FILES = "root {tmp}/html;"
SIZES = [0, 1, FIRST_WINDOW, FIRST_WINDOW + 1, 1 << 20]
pytestmark = pytest.mark.directive("http2")


def files(weir, locations="location / { }", server="", **contents):
    """A server of files."""
    for name, data in contents.items():
        (weir.tmp / "html" / name).write_bytes(data)
    return serve(weir, locations, server=FILES + server)


def ask(weir, path="/", *more, **options):
    """One GET on a connection of its own."""
    with Client(weir.port) as client:
        return client.get(path, *more, **options)


def lines(weir, count=1, name="a.log"):
    """The lines of an access log, when there are so many."""
    path = weir.tmp / "logs" / name
    return wait_until(lambda: path.exists() and len(found := path.read_text().splitlines()) >= count and found, 5, f"{count} lines")


# ---- answers ------------------------------------------------------------------------------------------------------

def test_a_file(weir):
    """Its head says what HTTP/1's would, but for what belongs to a connection."""
    files(weir, hello=b"hello")
    with Client(weir.port) as client:
        found = client.get("/hello")
        assert (found.status, found.body) == (200, b"hello")
        assert found.header("content-length") == "5" and found.header("etag") and found.header("last-modified")
        assert {"server", "date", "accept-ranges"} <= {name for name, _ in found.headers}
        none = client.response(client.request(fields("/hello", "HEAD")))
        assert (none.status, none.body, none.header("content-length")) == (200, b"", "5")
        assert client.post("/hello", b"x" * 100).status == 405
        assert client.get("/none").status == 404


def test_head_ends_its_stream_at_once(weir):
    """There is no empty DATA behind a head that says it all."""
    serve(weir, "location /a { return 200 text; } location /b { return 204; } location /c { return 304; }")
    with Client(weir.port) as client:
        for method, path, status in (("HEAD", "/a", 200), ("GET", "/b", 204), ("GET", "/c", 304)):
            found = client.response(client.request(fields(path, method)))
            assert (found.status, found.pieces) == (status, []), found
        assert client.get("/a").text == "text"


def test_return_and_handlers(weir):
    serve(weir)
    with Client(weir.port) as client:
        assert client.get("/x").text == "GET /x localhost\n"
        assert client.get("/sleep?ms=50").text == "slept 50 ms\n"
        found = client.post("/echo", b"body", ("content-type", "a/b"))
        assert (found.body, found.header("content-type")) == (b"body", "a/b")


def test_not_modified(weir):
    files(weir, hello=b"hello")
    with Client(weir.port) as client:
        tag = client.get("/hello").header("etag")
        again = client.get("/hello", ("if-none-match", tag))
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
        assert client.get("/hello", ("if-none-match", '"other"')).body == b"hello"


@pytest.mark.parametrize("wanted, status, part", [("bytes=2-5", 206, (2, 6)), ("bytes=-3", 206, (-3, None)), ("bytes=90000-", 206, (90000, None)), ("bytes=200000-", 416, None)])
def test_ranges(weir, wanted, status, part):
    data = os.urandom(100_000)
    files(weir, data=data)
    found = ask(weir, "/data", ("range", wanted))
    assert found.status == status
    if part:
        assert found.body == data[slice(*part)] and int(found.header("content-length")) == len(found.body)


def test_several_ranges(weir):
    data = os.urandom(100_000)
    files(weir, data=data)
    found = ask(weir, "/data", ("range", "bytes=0-9,50000-69999"))
    assert found.status == 206 and found.header("content-type").startswith("multipart/byteranges")
    assert data[:10] in found.body and data[50000:70000] in found.body and len(found.body) == int(found.header("content-length"))


@pytest.mark.parametrize("size", [100, 10_000, 3_000_000])
def test_gzip(weir, size):
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    files(weir, server="gzip on; gzip_types *; gzip_min_length 20;", text=data)
    with Client(weir.port) as client:
        found = client.get("/text", ("accept-encoding", "gzip"))
        assert found.header("content-encoding") == "gzip" and found.header("content-length") is None
        assert gzip.decompress(found.body) == data
        assert client.get("/text").body == data


def test_redirects_name_the_host(weir):
    """The place is made of :authority."""
    serve(weir, "location = /moved { return 301 /there; } location = /far { return 302 http://a.test/; }")
    with Client(weir.port) as client:
        found = client.get("/moved", authority=f"a.test:{weir.port}")
        assert found.status == 301 and found.header("location") == f"http://a.test:{weir.port}/there"
        assert client.get("/far").header("location") == "http://a.test/"


def test_server_names(weir):
    """Streams of one connection may be for several servers."""
    two = "server { listen 127.0.0.1:{port}; server_name two; location / { return 200 two; } }"
    serve(weir, http=two, listen="127.0.0.1:{port} default_server", server="server_name one;")
    with Client(weir.port) as client:
        assert client.get("/", authority="two").text == "two"
        assert client.get("/x", authority="one").text == "GET /x one\n"
        assert client.get("/", ("host", "two"), authority=None).text == "two"


def test_large_heads_of_answers(weir):
    """More than a frame holds: CONTINUATION."""
    value = "v" * 3000
    serve(weir, "location / { " + "".join(f"add_header X-{i} {value}{i};" for i in range(12)) + " return 200 hello; }")
    with Client(weir.port) as client:
        for _ in range(2):
            found = client.get()
            assert found.text == "hello" and [found.header(f"x-{i}") for i in range(12)] == [f"{value}{i}" for i in range(12)]


# ---- interim answers ------------------------------------------------------------------------------------------------

# nginx says no 100 over HTTP/2.
def test_continue(weir):
    """A client that waits for leave to send its body gets it where the body is wanted."""
    serve(weir)
    with Client(weir.port) as client:
        stream = client.request(fields("/echo", "POST", ("expect", "100-continue"), ("content-length", "4")), end=False)
        client.read(lambda: stream.interim, "100")
        assert not stream.over
        client.send_body(stream, b"body")
        found = client.response(stream)
        assert (found.informational, found.status, found.body) == ([100], 200, b"body")


def test_continue_is_not_said_where_the_head_decides(weir):
    serve(weir, "location / { client_max_body_size 10; handler echo; }")
    with Client(weir.port) as client:
        stream = client.request(fields("/", "POST", ("expect", "100-continue"), ("content-length", "100")), end=False)
        found = client.response(stream)
        assert (found.informational, found.status) == ([], 413)
        assert client.post("/", b"small").body == b"small"


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"


@pytest.mark.directive("early_hints")
@pytest.mark.parametrize("more, count", [("", 2), ("early_hints $http_none;", 0)])
def test_early_hints_come_before_the_answer(weir, backend, more, count):  # noqa: F811
    """As interim heads on the stream, at once."""
    going = []

    def reply(call):
        call.send(HINTS)
        call.send(HINTS)
        if count:
            wait_until(lambda: going, 5, "the client to have seen them")
        return answer(b"final")
    passed(weir, backend(reply), more, http="http2 on;")
    with Client(weir.port) as client:
        stream = client.request(fields())
        if count:
            client.read(lambda: len(stream.interim) == count, "hints")
            going.append(1)
        found = client.response(stream)
        assert (found.status, found.text) == (200, "final")
        assert found.interim == [(103, [("link", "</x>; rel=preload")])] * count


# ---- cookies ----------------------------------------------------------------------------------------------------------

CRUMBS = [("cookie", "a=1"), ("x-between", "x"), ("cookie", "b=2"), ("cookie", "c=3; d=4")]


def test_crumbs_of_cookies_are_joined(weir):
    """RFC 9113 section 8.2.3: one field for all who do not speak HTTP/2."""
    serve(weir, 'location / { return 200 "$http_cookie|$cookie_b|$cookie_d"; }')
    assert ask(weir, "/", *CRUMBS).text == "a=1; b=2; c=3; d=4|2|4"


def test_crumbs_of_cookies_at_an_upstream(weir, backend):  # noqa: F811
    up = backend()
    passed(weir, up, http="http2 on;")
    assert ask(weir, "/", *CRUMBS).text == "hello"
    assert up.call.all("Cookie") == ["a=1; b=2; c=3; d=4"]


# ---- bodies -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [1, 100, 1000, 8192, FIRST_FRAME])
@pytest.mark.parametrize("length", SIZES)
def test_bodies_in_frames_of_all_sizes(weir, length, size):
    """What is sent comes back, with its length said and without."""
    serve(weir)
    body = os.urandom(min(length, size * 3000))
    with Client(weir.port, timeout=20) as client:
        assert client.post("/echo", body, size=size).body == body
        assert client.post("/echo", body, ("content-length", str(len(body))), size=size).body == body


@pytest.mark.parametrize("length", [1, 100, FIRST_FRAME])
def test_a_body_that_comes_with_its_head(weir, backend, length):  # noqa: F811
    """In the same segment, so that the server reads both at once; for a handler, and for an upstream."""
    body = os.urandom(length)
    up = backend(lambda call: answer(call.body))
    serve(weir, f"location /echo {{ handler echo; }} location /up {{ proxy_http_version 1.1; proxy_pass http://{up.address}; }}")
    with Client(weir.port) as client:
        for path in ("/echo", "/up"):
            for more in ([], [("content-length", str(length))]):
                stream = client.open()
                client.send(*client.head_frames(stream, fields(path, "POST", *more), end=False), frame(DATA, END_STREAM, stream.number, body))
                found = client.response(stream)
                assert (found.status, found.body) == (200, body), (path, more)


@pytest.mark.parametrize("step", [1, 2, 5, 11])
def test_requests_in_small_pieces(weir, step):
    """However the bytes of frames are cut, each piece in a segment of its own."""
    serve(weir)
    with Client(weir.port) as client:
        stream = client.open()
        frames = [*client.head_frames(stream, fields("/echo", "POST"), end=False), frame(DATA, 0, stream.number, b"first"), frame(DATA, END_STREAM, stream.number, b"second")]
        raw = b"".join(each if isinstance(each, bytes) else each.serialize() for each in frames)
        for i in range(0, len(raw), step):
            client.send(raw[i:i + step])
            client.wire.wait_taken()
        assert client.response(stream).body == b"firstsecond"


@pytest.mark.parametrize("padding", [0, 1, 255])
def test_padding_counts_for_windows(weir, padding):
    """It is given back with the bytes that it pads: more of it than any window goes through."""
    serve(weir)
    with Client(weir.port) as client:
        stream = client.request(fields("/echo", "POST"), end=False)
        for i in range(1000):
            client.read(lambda: min(client.send_window, stream.send_window) > 300, "a window")
            client.send_data(stream, b"x", i == 999, padding)
        assert client.response(stream).body == b"x" * 1000


def test_bodies_that_nobody_wants(weir):
    """They are thrown away, their window comes back to the connection, and it serves on."""
    serve(weir, "location / { return 200 hello; } location /none { return 404; }")
    with Client(weir.port) as client:
        for path in ["/", "/none"] * 20:
            stream = client.request(fields(path, "POST"), end=False)
            for i in range(4):
                client.read(lambda: client.send_window >= FIRST_FRAME, "the window of the connection")
                if not stream.over and stream.send_window >= FIRST_FRAME:
                    client.send_data(stream, bytes(FIRST_FRAME - 1), i == 3)
            assert client.response(stream).status in (200, 404)
            if client.streams[stream.number].reset is None:
                client.reset(stream)
        assert client.get().text == "hello"


def test_data_on_streams_that_were_reset_counts_for_the_connection(weir):
    """Its window comes back, or the connection would stand still in the end (RFC 9113 section 6.9)."""
    serve(weir)
    with Client(weir.port) as client:
        for _ in range(200):
            stream = client.request(fields("/echo", "POST"), end=False)
            client.reset(stream)
            client.read(lambda: client.send_window >= FIRST_FRAME, "the window of the connection")
            client.send_window -= FIRST_FRAME
            client.send(frame(DATA, 0, stream.number, bytes(FIRST_FRAME)))
            if client.failed:
                break
        assert client.failed or client.get().status == 200  # STREAM_CLOSED may be said of all that comes on closed streams


def test_many_streams_with_bodies_of_their_own(weir):
    """A hundred at a time, their DATA in turns: each gets its own back."""
    serve(weir, pool="threads=4 max_queue=1000")
    bodies = [os.urandom(1000 + 37 * i) for i in range(100)]
    with Client(weir.port, timeout=20) as client:
        streams = [client.request(fields(f"/echo?{i}", "POST"), end=False) for i in range(100)]
        for at in range(0, 5000, 500):
            for stream, body in zip(streams, bodies):
                if body[at:at + 500]:
                    client.send_body(stream, body[at:at + 500], end=at + 500 >= len(body))
        for stream, body in zip(client.responses(streams), bodies):
            assert (stream.status, stream.body) == (200, body)


def test_many_streams_at_a_time_and_one_after_the_other(weir):
    """A thousand requests, fifty at a time."""
    serve(weir, http="keepalive_requests 2000;")
    with Client(weir.port, timeout=20) as client:
        for first in range(0, 1000, 50):
            streams = [client.request(fields(f"/{i}")) for i in range(first, first + 50)]
            assert [each.text for each in client.responses(streams)] == [f"GET /{i} localhost\n" for i in range(first, first + 50)]


def test_a_slow_handler_holds_up_no_other_stream(weir):
    serve(weir)
    with Client(weir.port) as client:
        slow = client.request(fields("/sleep?ms=1000"))
        for i in range(20):
            assert client.get(f"/{i}").status == 200
        assert not slow.over
        assert client.response(slow).text == "slept 1000 ms\n"


# ---- flow control -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("window", [1000, 16384, 65535, 1 << 20])
def test_ten_megabytes_through_a_window(weir, window):
    """As much as the client lets: Client counts each byte, of the stream and of the connection."""
    data = os.urandom(10 << 20)
    files(weir, data=data)
    with Client(weir.port, settings={INITIAL_WINDOW: window}, timeout=30) as client:
        assert client.get("/data").body == data


def test_a_window_of_nothing(weir):
    """Nothing but the head comes; then each byte that is asked for, and no more."""
    files(weir, data=b"0123456789" * 1000)
    with Client(weir.port, settings={INITIAL_WINDOW: 0}, credit=False) as client:
        stream = client.request(fields("/data"))
        client.read(lambda: stream.status, "a head")
        client.read_for(0.2)
        assert stream.pieces == [] and not stream.over
        for size in (1, 2, 7, 4990):
            before = len(stream.body)
            client.grow(size, stream)
            client.read(lambda: len(stream.body) == before + size, f"{size} bytes")
        client.ping()
        assert not stream.over
        client.grow(5000, stream)
        assert client.response(stream).body == b"0123456789" * 1000


def test_an_empty_body_needs_no_window(weir):
    files(weir, empty=b"")
    with Client(weir.port, settings={INITIAL_WINDOW: 0}, credit=False) as client:
        found = client.get("/empty")
        assert (found.status, found.body) == (200, b"")


def test_windows_that_settings_change(weir):
    """Those of open streams too, which may come below nothing (RFC 9113 section 6.9.2)."""
    files(weir, data=bytes(100_000))
    with Client(weir.port, settings={INITIAL_WINDOW: 10_000}, credit=False) as client:
        stream = client.request(fields("/data"))
        client.read(lambda: len(stream.body) == 10_000, "a window full")
        client.send_settings({INITIAL_WINDOW: 1000})
        client.read(lambda: not client.unacknowledged, "an acknowledgement")
        assert stream.receive_window == -9000
        client.grow(9000, stream)  # nothing is left of it
        client.read_for(0.2)
        assert len(stream.body) == 10_000
        client.grow(500, stream)
        client.read(lambda: len(stream.body) == 10_500, "what was given")
        client.send_settings({INITIAL_WINDOW: 50_000})
        client.read(lambda: len(stream.body) == 59_500, "what was given by SETTINGS")
        client.grow(100_000, stream)
        client.grow(100_000)
        assert len(client.response(stream).body) == 100_000


def test_the_window_of_the_connection_binds_all_streams(weir):
    """Together they get what it allows, and go on when it grows."""
    files(weir, data=bytes(50_000))
    with Client(weir.port, settings={INITIAL_WINDOW: 1 << 20}, credit=False) as client:
        streams = [client.request(fields("/data")) for _ in range(5)]
        client.read(lambda: sum(len(each.body) for each in streams) == FIRST_WINDOW, "a window full")
        client.read_for(0.2)
        assert sum(len(each.body) for each in streams) == FIRST_WINDOW and sum(each.over for each in streams) < 2
        client.grow(250_000)
        assert [len(each.body) for each in client.responses(streams)] == [50_000] * 5


def test_a_stream_that_is_not_read_holds_up_no_other(weir):
    """Its own window is empty; the others', and the connection's, are not."""
    files(weir, data=bytes(1 << 20), small=b"small")
    with Client(weir.port, settings={INITIAL_WINDOW: 1000}, credit=False) as client:
        client.grow(1 << 24)
        held = [client.request(fields("/data")) for _ in range(10)]
        client.read(lambda: all(len(each.body) == 1000 for each in held), "windows full")
        for _ in range(20):
            assert client.get("/small").body == b"small"
        client.grow(1 << 20, *held)
        assert [len(each.body) for each in client.responses(held)] == [1 << 20] * 10


def test_downloads_come_side_by_side(weir):
    """None waits for another to be whole."""
    files(weir, data=bytes(2 << 20))
    with Client(weir.port, timeout=20) as client:
        streams = [client.request(fields("/data")) for _ in range(4)]
        client.read(lambda: any(each.over for each in streams), "one of them")
        assert all(len(each.body) > 100_000 for each in streams), streams
        client.responses(streams)


def test_larger_frames_are_the_client_s_choice(weir):
    """No frame is larger than SETTINGS_MAX_FRAME_SIZE allows (Client looks), and all comes whole."""
    data = os.urandom(1 << 20)
    files(weir, data=data)
    with Client(weir.port, settings={MAX_FRAME: 1 << 20, INITIAL_WINDOW: 1 << 21}) as client:
        client.grow(1 << 21)
        assert client.get("/data").body == data


# ---- upstreams ----------------------------------------------------------------------------------------------------------

def test_what_an_upstream_sees(weir, backend):  # noqa: F811
    """A request of HTTP/1.1, with a Host and a length, and none of HTTP/2's fields."""
    up = backend()
    passed(weir, up, "proxy_set_header Host $http_host; proxy_http_version 1.1;", http="http2 on;")
    with Client(weir.port) as client:
        found = client.response(client.request(fields("/a?b=c", "POST", ("x-a", "1"), ("te", "trailers"), authority="a.test:81"), b"body"))
        assert found.text == "hello"
    call = up.call
    assert (call.method, call.target, call.version, call.body) == ("POST", "/a?b=c", "HTTP/1.1", b"body")
    assert call.all("Host") == ["a.test:81"] and call.all("Content-Length") == ["4"] and call.header("x-a") == "1"
    assert not any(name.startswith(":") for name, _ in call.headers)


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("length", SIZES)
def test_bodies_through_an_upstream(weir, backend, length, buffering):  # noqa: F811
    """Both ways, whole."""
    body = os.urandom(length)
    passed(weir, backend(lambda call: answer(call.body)), f"proxy_http_version 1.1; proxy_buffering {buffering}; proxy_request_buffering {buffering};", http="http2 on;")
    with Client(weir.port) as client:
        assert client.post("/", body, ("content-length", str(length))).body == body
        if buffering == "on":
            assert client.post("/", body, size=1000).body == body


def test_chunks_of_an_upstream(weir, backend):  # noqa: F811
    """They are HTTP/1's framing and none of HTTP/2's."""
    passed(weir, backend(CHUNKS + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), "proxy_http_version 1.1;", http="http2 on;")
    with Client(weir.port) as client:
        found = client.get()
        assert found.text == "hello!" and found.header("content-length") is None


# nginx 1.22 passes no trailers on.
def test_trailers_of_an_upstream(weir, backend):  # noqa: F811
    passed(weir, backend(CHUNKS + b"5\r\nhello\r\n0\r\nX-Sum: 12\r\n\r\n"), "proxy_http_version 1.1; proxy_pass_trailers on;", http="http2 on;")
    with Client(weir.port) as client:
        found = client.get("/", ("te", "trailers"))
        assert (found.text, found.trailers) == ("hello", [("x-sum", "12")])


@pytest.mark.parametrize("half", ["length", "chunks"])
def test_an_answer_that_breaks_off(weir, backend, half):  # noqa: F811
    """The stream is reset: half an answer is not taken for a whole one. The connection goes on."""
    passed(weir, backend(lambda call: (call.send(HALVES[half]), call.close())[1]), "proxy_http_version 1.1;", http="http2 on;", server="location = /own { return 200 own; }")
    weir.expect_log("prematurely closed|upstream")
    with Client(weir.port) as client:
        found = client.response(client.request(fields()))
        assert found.reset and not found.ended, found
        assert client.get("/own").text == "own"


def test_hop_by_hop_fields_of_an_upstream_stay(weir, backend):  # noqa: F811
    """Client refuses answers that have them."""
    passed(weir, backend(answer(b"hello", "Connection: X-A", "X-A: b", "Keep-Alive: timeout=5", "Proxy-Connection: close", "Upgrade: x", "X-Kept: Yes", "Set-Cookie: a", "Set-Cookie: b")),
           "proxy_http_version 1.1;", http="http2 on;")
    found = ask(weir)
    assert (found.text, found.header("x-kept"), found.all("set-cookie")) == ("hello", "Yes", ["a", "b"])


def test_an_upstream_that_streams(weir, backend):  # noqa: F811
    """What it has said goes on before it says more."""
    seen = []

    def reply(call):
        call.send(CHUNKS + b"5\r\nfirst\r\n")
        wait_until(lambda: seen, 5, "the client to have seen it")
        return b"6\r\nsecond\r\n0\r\n\r\n"
    passed(weir, backend(reply), "proxy_http_version 1.1; proxy_buffering off;", http="http2 on;")
    with Client(weir.port) as client:
        stream = client.request(fields())
        client.read(lambda: stream.body == b"first", "the first part")
        seen.append(1)
        assert client.response(stream).text == "firstsecond"


def test_no_upgrade_over_http_2(weir, backend):  # noqa: F811
    """101 is HTTP/1's alone (RFC 9113 section 8.6): an upstream that says it has failed."""
    passed(weir, backend(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), "proxy_http_version 1.1;", http="http2 on;")
    weir.expect_log("upstream|101")
    with Client(weir.port) as client:
        assert client.outcome(client.request(fields())) in {"502", "reset INTERNAL_ERROR", "reset HTTP_1_1_REQUIRED", "reset PROTOCOL_ERROR"}


# ---- what is said of requests ---------------------------------------------------------------------------------------------

WORDS = "$http2|$server_protocol|$request|$scheme|$http_host|$host|$request_uri|$args|$connection_requests|$http_x_a|$https"


def test_variables(weir):
    """A request is what it would be in HTTP/1, but for $http2 and $server_protocol."""
    serve(weir, f'location / {{ return 200 "{WORDS}"; }}')
    with Client(weir.port) as client:
        for count in (1, 2, 3):
            found = client.get("/a?b=c", ("x-a", "v"), authority="a.test:8080").text
            assert found == f"h2c|HTTP/2.0|GET /a?b=c HTTP/2.0|http|a.test:8080|a.test|/a?b=c|b=c|{count}|v|"


def test_lines_of_the_log(weir):
    """One for each stream, with its own bytes."""
    serve(weir, 'location / { return 200 "hello"; } location /none { return 404; } location /echo { handler echo; }',
          http="log_format f '$request|$status|$body_bytes_sent|$http2|$server_protocol|$connection_requests|$content_length|$request_length|$bytes_sent';",
          server="access_log logs/a.log f;")
    with Client(weir.port) as client:
        client.get("/a")
        client.response(client.request(fields("/a", "HEAD")))
        client.get("/none")
        client.post("/echo", b"12345678")
    found = [line.split("|") for line in lines(weir, 5)[1:]]  # the first is the harness's
    assert [line[:6] for line in found[:2]] == [["GET /a HTTP/2.0", "200", "5", "h2c", "HTTP/2.0", "1"], ["HEAD /a HTTP/2.0", "200", "0", "h2c", "HTTP/2.0", "2"]]
    assert found[2][:2] == ["GET /none HTTP/2.0", "404"] and found[3][:3] == ["POST /echo HTTP/2.0", "200", "8"]
    assert all(int(line[7]) > 0 and int(line[8]) > int(line[2]) for line in found)


def test_error_pages(weir):
    serve(weir, "error_page 404 /own; location = /own { return 200 own; } location /none { return 404; } location / { root {tmp}/html; }")
    with Client(weir.port) as client:
        assert [(each.status, each.text) for each in (client.get("/none"), client.get("/no/file"))] == [(404, "own")] * 2


def test_passwords(weir):
    weir.write("me:{PLAIN}secret\n", "conf/users")
    serve(weir, "location / { auth_basic realm; auth_basic_user_file {tmp}/conf/users; root {tmp}/html; }")
    (weir.tmp / "html/file").write_text("file")
    weir.expect_log("password mismatch|was not found")
    with Client(weir.port) as client:
        refused = client.get("/file")
        assert refused.status == 401 and refused.header("www-authenticate") == 'Basic realm="realm"'
        assert client.get("/file", ("authorization", "Basic bWU6c2VjcmV0")).text == "file"
        assert client.get("/file", ("authorization", "Basic bWU6b3RoZXI=")).status == 401


def test_rates(weir):
    serve(weir, "location / { limit_req zone=one burst=2 nodelay; root {tmp}/html; }", http="limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;")
    (weir.tmp / "html/file").write_text("file")
    with Client(weir.port) as client:
        found = client.responses([client.request(fields("/file")) for _ in range(8)])
        assert sorted(each.status for each in found) == [200] * 3 + [503] * 5


def test_permits(weir):
    """limit_concurrency counts streams, not connections: those that are refused are told so at once, on a connection that goes on."""
    serve(weir, "location /sleep { limit_concurrency z; handler sleep; } location / { return 200 hello; }", http="limit_concurrency_zone z limit=2;")
    with Client(weir.port) as client:
        streams = [client.request(fields("/sleep?ms=1000")) for _ in range(6)]
        client.read(lambda: sum(each.over for each in streams) >= 4, "those that are refused", 1)
        assert [each.status for each in streams if each.over] == [503] * 4 and all(each.header("retry-after") for each in streams if each.over)
        assert sorted(each.status for each in client.responses(streams)) == [200] * 2 + [503] * 4
        assert client.get("/sleep?ms=1").status == 200


# ---- beside HTTP/1 --------------------------------------------------------------------------------------------------------

def test_http_1_on_the_same_port(weir):
    """Who does not begin with the preface speaks HTTP/1, and "Upgrade: h2c" is no offer that is taken (RFC 9113 section 3.1)."""
    serve(weir, 'location / { return 200 "$server_protocol|$http2"; }')
    with Client(weir.port) as client, Connection(weir.port) as other:
        for _ in range(3):
            assert client.get().text == "HTTP/2.0|h2c"
            assert other.get("/").text == "HTTP/1.1|"
        upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
        assert other.get("/", upgrade).text == "HTTP/1.1|"
        other.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nPRI / HTTP/1.1\r\nHost: a\r\n\r\n")  # begin alike
        assert other.response().status == 200


def test_a_preface_behind_a_request_is_none(weir):
    """The protocol of a connection is decided by its first bytes."""
    serve(weir)
    with Connection(weir.port) as connection:
        assert connection.get("/").status == 200
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        raw = connection.until_close()
        assert raw.startswith(b"HTTP/1.1 4") or raw.startswith(b"HTTP/1.1 5"), raw


def test_without_the_directive_there_is_only_http_1(weir):
    weir.start(config())
    with Client(weir.port) as client:
        with pytest.raises((AssertionError, ConnectionError), match="HTTP/1|closed"):
            client.get()


def tls_server(weir, http2="http2 on;", **parts):
    """Plain on port, TLS on port2."""
    pair = tls_pair()
    weir.start(config('location / { return 200 "$http2|$server_protocol|$scheme|$https|$ssl_alpn_protocol"; } location /echo { client_max_body_size 100m; handler echo; }',
                      server=f"{http2} listen 127.0.0.1:{{port2}} ssl; ssl_certificate {pair}; ssl_certificate_key {pair};", **parts))
    return weir


def negotiated(weir, *protocols):
    """What the server chooses of these."""
    with Connection(weir.port2, tls=alpn_client(*protocols)) as connection:
        return connection.socket.selected_alpn_protocol()


@pytest.mark.parametrize("offers, chosen", [(["h2"], "h2"), (["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["spdy/3", "h2"], "h2")])
def test_alpn(weir, offers, chosen):
    """h2 for who can, whatever the order (as nginx chooses)."""
    assert negotiated(tls_server(weir), *offers) == chosen


@pytest.mark.parametrize("offers, chosen", [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1")])
def test_alpn_without_the_directive(weir, offers, chosen):
    assert negotiated(tls_server(weir, "http2 off;"), *offers) == chosen


def test_http_2_over_tls(weir):
    tls_server(weir)
    body = os.urandom(1 << 20)
    with Client(weir.port2, tls=True) as client:
        assert client.get("/", scheme="https").text == "h2|HTTP/2.0|https|on|h2"
        assert client.post("/echo", body).body == body


def test_http_1_over_tls_beside_it(weir):
    tls_server(weir)
    for context in (alpn_client("http/1.1"), None):
        with Connection(weir.port2 if context else weir.port, tls=context) as connection:
            assert re.match(r"\|HTTP/1.1\|http", connection.get("/").text)


def test_a_preface_without_alpn(weir):
    """A client of TLS that offers nothing may speak HTTP/2 only by prior knowledge: as on a plain port, or not at all; never both."""
    tls_server(weir)
    context = alpn_client("http/1.1")
    with Connection(weir.port2, tls=context) as connection:
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        raw = connection.until_close()
        assert raw.startswith(b"HTTP/1.1 4") or raw.startswith(b"HTTP/1.1 5") or not raw, raw


def test_the_old_word_still_works(weir):
    """listen ... http2: with a warning that names the new one, as nginx 1.25 says it."""
    text = config(listen="127.0.0.1:{port} http2")
    result = weir.run("-t", conf=text)
    assert result.returncode == 0 and "[warn]" in result.stderr and "http2" in result.stderr, result.stderr
    weir.start(text)
    with Client(weir.port) as client:
        assert client.get().text == "hello\n"


def test_on_and_off_by_servers_of_one_address(weir):
    """HTTP/2 is an address's: the default server's word counts before a request is known."""
    weir.start(config("location / { return 200 one; }", server="http2 on;", http="server { listen 127.0.0.1:{port2}; location / { return 200 two; } }"))
    with Client(weir.port) as client:
        assert client.get().text == "one"
    with Connection(weir.port2) as connection:
        assert connection.get("/").text == "two"
    with Client(weir.port2) as client, pytest.raises((AssertionError, ConnectionError)):
        client.get()


@pytest.mark.parametrize("wrong", ["http2 maybe;", "http2;", "http2 on off;", "location /x { http2 on; }"])
def test_wrong_words(weir, wrong):
    """http2 is on or off, in http and in servers."""
    assert len(weir.mistakes(config(server=wrong))) == 1
