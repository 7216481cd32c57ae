"""HTTP/2 spoken badly on purpose: what each wrong frame, block and request comes to, and that nobody else is held up by it.

What is wrong with one request costs its stream (RST_STREAM, or a 400 where it could be read), and the same connection
serves the next; what is wrong with the connection ends it with a GOAWAY that says why, and another one serves.

Tried with nginx 1.22 as well, which is less strict than RFC 9113: it takes pseudo-fields behind others, blanks around values,
names that are no tokens, connection-specific fields and te; it refuses a host beside :authority even if they are equal, and
takes trailers of requests, blocks that end too soon and some names for errors of the connection, with PROTOCOL_ERROR; it
passes over frames on idle streams, unknown frames and sizes of the table anywhere in a block, and wants no SETTINGS first;
its frames may be as large as can be. Where they differ the RFC's word stands here.
"""

import socket
import struct
import threading

import pytest
from http2_client import (ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, MAX_FRAME, MAX_STREAMS,
                          MAX_WINDOW, PADDED, PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, TABLE_SIZE, WINDOW_UPDATE,
                          WITH_PRIORITY, Client, Code, Stream, fields, frame, integer, literal, serve, settings_frame)
from proxylib import backend, passed  # noqa: F401 - a fixture
from weirlib import Connection, limit

REFUSED = {"reset PROTOCOL_ERROR", "400"}
IGNORED = {"ignored"}


def goaway(*codes):
    return {f"goaway {code}" for code in codes}


def either(*codes):
    """A stream error that may also be taken for one of the connection (RFC 9113 section 5.4.2, last sentence but two)."""
    return goaway(*codes) | {f"reset {code}" for code in codes}


def judge(weir, client, stream, expected):
    """Hold what became of a stream, or of the connection, against what may; and see who is served afterwards."""
    if "ignored" in expected:
        found = passes_over(client, stream)
    else:
        found = client.outcome(stream)
    assert found in expected, client.streams
    if found.startswith("goaway") or found == "closed":
        assert client.until_closed(5)
        assert not client.failed or client.failed.last_stream <= client.next_stream
        with Client(weir.port) as other:
            assert other.get("/after").text == "GET /after localhost\n"
    else:
        assert client.get("/after").text == "GET /after localhost\n" and not client.failed


def passes_over(client, stream):
    """As Client.outcome, or "ignored" if the next request on the connection is served and nothing was said of this stream."""
    after = client.request(fields("/after"))
    client.read(lambda: client.closed or client.failed or after.over, "an outcome", 5)
    if client.failed or client.closed or (stream and stream.over):
        return client.outcome(stream)
    return "ignored" if after.status == 200 else repr(after)


# ---- fields of requests ---------------------------------------------------------------------------------------

def without(name):
    return [pair for pair in fields() if pair[0] != name]


def replaced(name, value):
    return [(key, value if key == name else old) for key, old in fields()]


MALFORMED = {
    "no fields": [],
    "no :method": without(":method"),
    "no :path": without(":path"),
    "no :scheme": without(":scheme"),
    "two :method": [(":method", "GET"), *fields()],
    "two :method that differ": [(":method", "POST"), *fields()],
    "two :path": [(":path", "/"), *fields()],
    "two :scheme": [(":scheme", "http"), *fields()],
    "two :authority": [(":authority", "localhost"), *fields()],
    ":method behind a field": [*without(":method"), ("a", "b"), (":method", "GET")],
    ":path behind a field": [*without(":path"), ("a", "b"), (":path", "/")],
    ":authority behind a field": [*without(":authority"), ("a", "b"), (":authority", "localhost")],
    "unknown pseudo-field": [*fields(), (":unknown", "a")],
    "pseudo-field without a name": [*fields(), (":", "a")],
    ":status": [*fields(), (":status", "200")],
    ":protocol without CONNECT": [*fields(), (":protocol", "websocket")],
    "empty :method": replaced(":method", ""),
    "empty :scheme": replaced(":scheme", ""),
    "empty :path": replaced(":path", ""),
    "empty :authority": replaced(":authority", ""),
    ":Method": [(":Method", "GET"), *without(":method")],
    "blank in :method": replaced(":method", "GE T"),
    "line in :method": replaced(":method", "GET / HTTP/1.1\r\nHost: evil\r\n\r\n"),
    "blank in :scheme": replaced(":scheme", "ht tp"),
    "blank in :path": replaced(":path", "/a b"),
    "CR LF in :path": replaced(":path", "/ HTTP/1.1\r\nHost: evil\r\n\r\nGET /"),
    "NUL in :path": replaced(":path", "/a\0"),
    "control in :path": replaced(":path", "/a\x7f"),
    ":path without /": replaced(":path", "after"),
    ":path of another form": replaced(":path", "http://localhost/after"),
    ":path * of a GET": replaced(":path", "*"),
    ":path *x of OPTIONS": fields("*x", "OPTIONS"),
    "blank in :authority": replaced(":authority", "local host"),
    "path in :authority": replaced(":authority", "localhost/after"),
    "user in :authority": replaced(":authority", "me@localhost"),
    "CR LF in :authority": replaced(":authority", "localhost\r\nA: b"),
    "CONNECT with :path and :scheme": fields("/", "CONNECT"),
    "CONNECT without :authority": [(":method", "CONNECT")],
    "no :authority, no host": fields(authority=None),
    "host that differs": fields("/", "GET", ("host", "other")),
    "host that differs by its port": fields("/", "GET", ("host", "localhost:81")),
    "two host": fields("/", "GET", ("host", "localhost"), ("host", "localhost"), authority=None),
    "two host that differ": fields("/", "GET", ("host", "localhost"), ("host", "other"), authority=None),
    "empty host": fields("/", "GET", ("host", ""), authority=None),
}

NAMES = {
    "upper case": b"X-Upper", "last letter upper case": b"x-uppeR", "Host": b"Host", "empty": b"", "blank": b"x y", "blank at the end": b"x ",
    "blank at the beginning": b" x", "tab": b"x\ty", "CR": b"x\ry", "LF": b"x\ny", "CR LF": b"x\r\ny", "NUL": b"x\0y", "delete": b"x\x7fy",
    "above ASCII": b"x\xe4y", "colon": b"x:y", "colon at the end": b"x:",
    # RFC 9113 section 8.2.1 leaves the rest of RFC 9110's "token" to who passes fields on in HTTP/1, as this server does.
    "bracket": b"x(y", "brace": b"x{y", "quote": b'x"y', "slash": b"x/y", "comma": b"x,y", "equals": b"x=y",
}
# nginx takes blanks at either end for part of the value, and leaves connection-specific fields and "te" unread.
VALUES = {
    "CR": b"a\rb", "LF": b"a\nb", "CR LF": b"a\r\nb: c", "NUL": b"a\0b", "CR at the end": b"a\r", "LF at the beginning": b"\na",
    "blank at the beginning": b" a", "blank at the end": b"a ", "tab at the beginning": b"\ta", "tab at the end": b"a\t", "only a blank": b" ",
}
HOP_BY_HOP = {
    "connection": ("connection", "close"), "connection that names another": ("connection", "x-a"), "keep-alive": ("keep-alive", "timeout=5"),
    "proxy-connection": ("proxy-connection", "keep-alive"), "transfer-encoding": ("transfer-encoding", "chunked"),
    "transfer-encoding identity": ("transfer-encoding", "identity"), "upgrade": ("upgrade", "h2c"),
    "te": ("te", "gzip"), "te with more": ("te", "trailers, deflate"), "empty te": ("te", ""),
}
MALFORMED |= {f"name: {what}": [*fields(), (name, b"a")] for what, name in NAMES.items()}
MALFORMED |= {f"value: {what}": [*fields(), (b"x-a", value)] for what, value in VALUES.items()}
MALFORMED |= {what: fields("/", "GET", pair) for what, pair in HOP_BY_HOP.items()}


@pytest.mark.parametrize("headers", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests(weir, headers):
    """Each is refused by itself; the table of the block that it came in has still been kept."""
    serve(weir)
    with Client(weir.port) as client:
        judge(weir, client, client.request(headers), REFUSED)


def test_malformed_requests_reach_nobody(weir, backend):  # noqa: F811
    """What is refused here cannot be read otherwise by who stands behind."""
    up = backend()
    passed(weir, up, http="http2 on;")
    with Client(weir.port) as client:
        for headers in MALFORMED.values():
            for end in (True, False):
                assert client.outcome(client.request(headers, end=end)) in REFUSED, headers
        assert client.get().text == "hello"
    assert len(up.calls) == 1


WELL_FORMED = {
    "host in place of :authority": (fields("/", "GET", ("host", "a.test"), authority=None), "GET / a.test\n"),
    "host that is the same": (fields("/", "GET", ("host", "localhost")), "GET / localhost\n"),
    ":authority with a port": (fields(authority="a.test:8080"), "GET / a.test\n"),
    ":authority in upper case": (fields(authority="A.Test"), "GET / a.test\n"),
    ":authority that is an address": (fields(authority="[::1]:80"), "GET / [::1]\n"),
    "pseudo-fields in another order": (fields()[::-1], "GET / localhost\n"),
    "path with a query": (fields("/a?b=c&d"), "GET /a localhost\n"),
    "path with a percent": (fields("/%61"), "GET /a localhost\n"),
    "value with a tab": (fields("/", "GET", ("x-a", "b\tc")), "GET / localhost\n"),
    "value above ASCII": (fields("/", "GET", (b"x-a", b"\xe4\xff")), "GET / localhost\n"),
    "empty value": (fields("/", "GET", ("x-a", "")), "GET / localhost\n"),
    "te: trailers": (fields("/", "GET", ("te", "trailers")), "GET / localhost\n"),
    "content-length of nothing": (fields("/", "POST", ("content-length", "0")), "POST / localhost\n"),
    "other method": (fields("/", "PATCH"), "PATCH / localhost\n"),
    "field twice": (fields("/", "GET", ("x-a", "b"), ("x-a", "c")), "GET / localhost\n"),
}


@pytest.mark.parametrize("case", WELL_FORMED.values(), ids=WELL_FORMED.keys())
def test_requests_that_are_well_formed(weir, case):
    """What looks odd and is not wrong is served."""
    serve(weir)
    with Client(weir.port) as client:
        found = client.response(client.request(case[0]))
        assert (found.status, found.text) == (200, case[1])


def test_asterisk_is_for_options(weir):
    """The server as a whole: what it says to HTTP/1's OPTIONS *."""
    serve(weir)
    with Client(weir.port) as client:
        found = client.outcome(client.request(fields("*", "OPTIONS")))
        assert found in {"200", "204", "405", "400"}  # nginx: 400
        assert client.get().status == 200


@pytest.mark.parametrize("headers", [[(":method", "CONNECT"), (":authority", "localhost:80")], fields("/", "TRACE")])
def test_methods_that_are_not_served(weir, headers):
    serve(weir)
    with Client(weir.port) as client:
        assert client.outcome(client.request(headers)) in {"400", "405", "501"}
        assert client.get().status == 200


# ---- lengths of bodies ------------------------------------------------------------------------------------------

FIVE, NONE = ("content-length", "5"), []
LENGTHS = {
    "more": ([FIVE], [b"hello!"]), "more in a second frame": ([FIVE], [b"hello", b"!"]), "less": ([FIVE], [b"hell"]),
    "less in two frames": ([FIVE], [b"he", b"ll"]), "nothing": ([FIVE], NONE), "an empty frame": ([FIVE], [b""]),
    "none announced": ([("content-length", "0")], [b"a"]), "two that differ": ([FIVE, ("content-length", "4")], [b"hello"]),
    "two in one": ([("content-length", "5, 4")], [b"hello"]), "letters": ([("content-length", "five")], [b"hello"]),
    "plus": ([("content-length", "+5")], [b"hello"]), "minus": ([("content-length", "-5")], [b"hello"]),
    "point": ([("content-length", "5.0")], [b"hello"]), "hexadecimal": ([("content-length", "0x5")], [b"hello"]),
    "empty value": ([("content-length", "")], [b"hello"]), "blank inside": ([("content-length", "5 5")], [b"hello"]),
    "overflow": ([("content-length", "99999999999999999999")], [b"hello"]),
    "overflow to five": ([("content-length", str((1 << 64) + 5))], [b"hello"]),
}


@pytest.mark.parametrize("target", ["/echo", "/"])
@pytest.mark.parametrize("case", LENGTHS.values(), ids=LENGTHS.keys())
def test_lengths_that_do_not_fit(weir, case, target):
    """A body is as long as its content-length says. Where nobody wants it, an answer may have begun before that is seen."""
    serve(weir)
    with Client(weir.port) as client:
        stream = client.request(fields(target, "POST", *case[0]), end=not case[1])
        for number, piece in enumerate(case[1], 1):
            client.send_data(stream, piece, number == len(case[1]))
        found = client.outcome(stream)
        begins_at_once = target == "/" or case[0] == [("content-length", "0")]
        assert found in REFUSED or (begins_at_once and found == "200" and case[1]), stream
        assert client.get("/after").status == 200


@pytest.mark.parametrize("more, pieces", [([FIVE], [b"hello"]), ([FIVE], [b"he", b"", b"llo"]), ([FIVE], [b"hello", b""]), ([], [b"hello"]), ([], [b"hello", b""]),
                                          ([], [b"", b"hello"]), ([("content-length", "0")], [b""]), ([("content-length", "0")], []), ([], [b""]), ([], [])])
def test_lengths_that_fit(weir, more, pieces):
    serve(weir)
    with Client(weir.port) as client:
        stream = client.request(fields("/echo", "POST", *more), end=not pieces)
        for number, piece in enumerate(pieces, 1):
            client.send_data(stream, piece, number == len(pieces))
        found = client.response(stream)
        assert (found.status, found.body) == (200, b"".join(pieces))


# ---- trailers -----------------------------------------------------------------------------------------------------

TRAILERS = {
    "pseudo-field": [(":path", "/")], ":status": [(":status", "200")], "upper case": [("X-A", "b")], "CR LF": [("x-a", "b\r\nc: d")],
    "blank in a name": [("x a", "b")], "connection": [("connection", "close")], "transfer-encoding": [("transfer-encoding", "chunked")],
}


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS.keys())
def test_trailers_that_are_malformed(weir, trailers):
    serve(weir)
    with Client(weir.port) as client:
        judge(weir, client, client.request(fields("/echo", "POST"), b"body", trailers=trailers), REFUSED)


def test_trailers_that_do_not_end_the_stream(weir):
    serve(weir)
    with Client(weir.port) as client:
        stream = client.request(fields("/echo", "POST"), b"body", end=False)
        client.send(*client.head_frames(stream, [("x-a", "b")], end=False))
        judge(weir, client, stream, REFUSED)


@pytest.mark.parametrize("body", [b"body", None])
def test_trailers_of_requests(weir, body):
    serve(weir)
    with Client(weir.port) as client:
        found = client.response(client.request(fields("/echo", "POST"), body, trailers=[("x-sum", "1"), ("x-two", "")]))
        assert (found.status, found.body) == (200, body or b"")
        assert client.get().status == 200


# ---- blocks (RFC 7541) ----------------------------------------------------------------------------------------------

GET = b"\x82\x86\x84" + literal(b":authority", b"localhost", index=1)  # :method, :scheme, :path of the static table
WRONG_BLOCKS = {
    "index 0": GET + b"\x80",
    "index of the empty table": GET + b"\xbe",
    "index too large": GET + integer(1 << 20, 7, 0x80),
    "index of a name too large": GET + integer(70, 4) + b"\1a",
    "index of a name to be kept too large": GET + integer(70, 6, 0x40) + b"\1a",
    "integer without an end": GET + b"\xff" + b"\xff" * 20,
    "integer too large": GET + b"\xff" + b"\xff" * 9 + b"\x01",
    "end within an integer": GET + b"\xff",
    "end within a name": GET + b"\0\5ab",
    "end before a value": GET + b"\0\1a",
    "end within a value": GET + b"\0\1a\5b",
    "length too large": GET + b"\0" + integer(1 << 30, 7) + b"a",
    "end of string in Huffman's code": GET + b"\0\1a\x84\xff\xff\xff\xff",
    "zeros behind Huffman's code": GET + b"\0\1a\x81\x18",
    "a byte behind Huffman's code": GET + b"\0\1a\x82\x1f\xff",
    "Huffman's code cut off": GET + b"\0\1a\x83\x1f",
    "table larger than allowed": integer(4097, 5, 0x20) + GET,
    "table far larger than allowed": integer(1 << 31, 5, 0x20) + GET,
    "size of the table behind a field": GET + b"\x20",
    "size of the table between fields": GET[:2] + b"\x20" + GET[2:],
}


@pytest.mark.parametrize("block", WRONG_BLOCKS.values(), ids=WRONG_BLOCKS.keys())
def test_blocks_that_cannot_be_read(weir, block):
    """The tables of both sides are no longer the same: the connection cannot go on (RFC 9113 section 4.3)."""
    serve(weir)
    with Client(weir.port) as client:
        assert client.response(client.request(GET)).status == 200
        judge(weir, client, client.request(block), goaway("COMPRESSION_ERROR"))


PIECES = 8  # as many CONTINUATION as there may be at least; nghttp2 takes no more (CVE-2024-28182)
BLOCKS = {
    "table of nothing": b"\x20" + GET,
    "table of nothing and as before": b"\x20" + integer(4096, 5, 0x20) + GET,
    "table of less": integer(100, 5, 0x20) + GET,
    "never to be kept": GET + b"\x10\3x-a\1b",
    "kept": GET + b"\x40\3x-a\1b",
    "larger than the table": GET + b"\x40\3x-a" + integer(5000, 7) + b"b" * 5000,
    "Huffman's code": GET + b"\0\3x-a\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
    "the table's own value": b"\x82\x86\x84" + literal(b":authority", b"localhost", index=1) + b"\x90",
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
@pytest.mark.parametrize("size", [16384, 1, 7])
def test_blocks_that_can_be_read(weir, block, size):
    """Whole and in pieces, twice on a connection."""
    serve(weir)
    with Client(weir.port) as client:
        for _ in range(2):
            stream = client.open()
            client.send(*client.head_frames(stream, block, size=max(size, -(-len(block) // PIECES))))
            assert client.response(stream).text == "GET / localhost\n"


def test_what_is_kept_is_found_again(weir):
    """Indices of the table: the newest is 62."""
    serve(weir, 'location / { return 200 "$http_x_a $http_x_b"; }')
    with Client(weir.port) as client:
        assert client.response(client.request(GET + b"\x40\3x-a\3one\x40\3x-b\3two")).text == "one two"
        assert client.response(client.request(GET + b"\xbe\xbf")).text == "one two"
        assert client.response(client.request(GET + b"\x7e\5three\xc0")).text == "one three"  # the name of the newest again
        assert client.response(client.request(b"\x20" + GET)).text == " "
        assert client.outcome(client.request(GET + b"\xbe")) == "goaway COMPRESSION_ERROR"


@pytest.mark.parametrize("size", [0, 64, 4096, 1 << 16])
def test_table_of_responses(weir, size):
    """The server keeps no more in its table than the client wants, and says so before it does."""
    serve(weir, 'location / { add_header X-A "a value of some length that comes again"; return 200 "hello"; }')
    with Client(weir.port, settings={TABLE_SIZE: size}) as client:
        assert [client.get().header("x-a") for _ in range(5)] == ["a value of some length that comes again"] * 5
        client.send_settings({TABLE_SIZE: 32})
        client.read(lambda: not client.unacknowledged, "the acknowledgement")
        assert [client.get().status for _ in range(3)] == [200] * 3
        assert client.decoder.header_table_size <= 32


# ---- frames -----------------------------------------------------------------------------------------------------

def number(value):
    return struct.pack("!L", value)


def sent(client, *frames):
    client.send(*frames)


def opened(client, *frames, target="/echo"):
    """A stream whose body is still to come, on which these (kind, flags, payload) are sent."""
    stream = client.request(fields(target, "POST"), end=False)
    client.send(*[frame(kind, flags, stream.number, payload) for kind, flags, payload in frames])
    return stream


def asked(client, *frames):
    """The same on a stream that the client has ended and the server has not."""
    stream = client.request(fields("/sleep?ms=3000"))
    client.send(*[frame(kind, flags, stream.number, payload) for kind, flags, payload in frames])
    return stream


def closed(client, *frames):
    """The same on a stream that both have ended."""
    old = client.get()
    return again(client, old, frames)


def reset(client, *frames):
    """The same on a stream that the client has reset."""
    stream = client.request(fields("/echo", "POST"), end=False)
    client.reset(stream)
    return again(client, stream, frames)


def again(client, old, frames):
    new = client.streams[old.number] = Stream(old.number, old.receive_window, old.send_window)
    client.send(*[frame(kind, flags, old.number, payload) for kind, flags, payload in frames])
    return new


def within_block(client, *frames):
    """A block that goes on, and something else before it does."""
    stream = client.open()
    client.send(frame(HEADERS, END_STREAM, stream.number, GET[:3]), *frames, frame(CONTINUATION, END_HEADERS, stream.number, GET[3:]))
    return stream


def headers(stream, flags=END_STREAM | END_HEADERS, payload=GET, length=None):
    return frame(HEADERS, flags, stream, payload, length)


def numbered(client, *numbers):
    """Requests on streams of these numbers; returns the last."""
    for each in numbers:
        stream = client.open(each)
        client.send(headers(each))
    return stream


def acknowledged(client):
    client.ready()
    client.send(frame(SETTINGS, ACK))


def too_large(client, kind, stream):
    """The beginning of a frame that has a byte more than the server takes; nginx takes any."""
    opened(client.ready())
    client.send(frame(kind, 0, stream, bytes(16), length=client.server_settings[MAX_FRAME] + 1))


# Each: what is sent, and what may become of the stream (or, without one, of the connection).
ON_NO_STREAM = {
    "DATA": frame(DATA, 0, 0, b"x"), "HEADERS": headers(0), "PRIORITY": frame(PRIORITY, 0, 0, bytes(5)), "RST_STREAM": frame(RST_STREAM, 0, 0, bytes(4)),
    "PUSH_PROMISE": frame(PUSH_PROMISE, END_HEADERS, 0, number(2) + GET), "CONTINUATION": frame(CONTINUATION, END_HEADERS, 0, GET),
}
ON_A_STREAM = {
    "SETTINGS": frame(SETTINGS, 0, 1), "SETTINGS with ACK": frame(SETTINGS, ACK, 1), "PING": frame(PING, 0, 1, bytes(8)), "GOAWAY": frame(GOAWAY, 0, 1, bytes(8)),
}
ON_AN_IDLE_STREAM = {
    "DATA": frame(DATA, 0, 1, b"x"), "RST_STREAM": frame(RST_STREAM, 0, 1, number(8)), "WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 1, number(1)),
    "CONTINUATION": frame(CONTINUATION, END_HEADERS, 1, GET), "DATA of an even number": frame(DATA, 0, 2, b"x"),
}
WRONG_LENGTHS = {
    "PING of 7": frame(PING, 0, 0, bytes(7)), "PING of 9": frame(PING, 0, 0, bytes(9)), "PING of 0": frame(PING), "PING with ACK of 7": frame(PING, ACK, 0, bytes(7)),
    "SETTINGS of 5": frame(SETTINGS, 0, 0, bytes(5)), "SETTINGS of 7": frame(SETTINGS, 0, 0, bytes(7)), "SETTINGS with ACK of 6": frame(SETTINGS, ACK, 0, bytes(6)),
    "SETTINGS with ACK of 1": frame(SETTINGS, ACK, 0, bytes(1)), "WINDOW_UPDATE of 3": frame(WINDOW_UPDATE, 0, 0, bytes(3)),
    "WINDOW_UPDATE of 5": frame(WINDOW_UPDATE, 0, 0, bytes(5)), "GOAWAY of 7": frame(GOAWAY, 0, 0, bytes(7)),
}
TOO_LARGE = {
    "DATA": (DATA, 1), "HEADERS": (HEADERS, 3), "SETTINGS": (SETTINGS, 0), "CONTINUATION": (CONTINUATION, 1), "PING": (PING, 0),
    "GOAWAY": (GOAWAY, 0), "PRIORITY": (PRIORITY, 1),
}
STREAM_CLOSED = either("STREAM_CLOSED")
FRAMES = {
    # RFC 9113 section 5.1.1
    "even number": (lambda c: numbered(c, 2), goaway("PROTOCOL_ERROR")),
    "number below the last": (lambda c: numbered(c, 5, 3), goaway("PROTOCOL_ERROR", "STREAM_CLOSED") | {"reset STREAM_CLOSED"}),
    "numbers that leave some out": (lambda c: numbered(c, 1, 101, 10001), {"200"}),
    "largest number": (lambda c: numbered(c, MAX_WINDOW - 2), {"200"}),
    # section 5.1: half-closed (remote)
    "DATA behind the end": (lambda c: asked(c, (DATA, 0, b"x")), STREAM_CLOSED),
    "end behind the end": (lambda c: asked(c, (DATA, END_STREAM, b"")), STREAM_CLOSED),
    "HEADERS behind the end": (lambda c: asked(c, (HEADERS, END_STREAM | END_HEADERS, GET)), STREAM_CLOSED),
    "CONTINUATION behind the end": (lambda c: asked(c, (CONTINUATION, END_HEADERS, GET)), goaway("PROTOCOL_ERROR")),
    "WINDOW_UPDATE behind the end": (lambda c: asked(c, (WINDOW_UPDATE, 0, number(1))), IGNORED),
    "PRIORITY behind the end": (lambda c: asked(c, (PRIORITY, 0, number(0) + b"\x10")), IGNORED),
    # closed
    "DATA on a closed stream": (lambda c: closed(c, (DATA, 0, b"x")), STREAM_CLOSED | IGNORED),
    "HEADERS on a closed stream": (lambda c: closed(c, (HEADERS, END_STREAM | END_HEADERS, GET)), goaway("PROTOCOL_ERROR") | STREAM_CLOSED | IGNORED),
    "WINDOW_UPDATE on a closed stream": (lambda c: closed(c, (WINDOW_UPDATE, 0, number(1))), IGNORED),
    "RST_STREAM on a closed stream": (lambda c: closed(c, (RST_STREAM, 0, number(8))), IGNORED),
    "PRIORITY on a closed stream": (lambda c: closed(c, (PRIORITY, 0, number(0) + b"\x10")), IGNORED),
    "DATA behind RST_STREAM": (lambda c: reset(c, (DATA, 0, b"x")), STREAM_CLOSED | IGNORED),
    "RST_STREAM twice": (lambda c: reset(c, (RST_STREAM, 0, number(8))), IGNORED | STREAM_CLOSED),
    "WINDOW_UPDATE behind RST_STREAM": (lambda c: reset(c, (WINDOW_UPDATE, 0, number(1))), IGNORED | STREAM_CLOSED),
    # section 6.1, 6.2: padding
    "DATA with padding as long as the frame": (lambda c: opened(c, (DATA, PADDED, b"\6hello")), goaway("PROTOCOL_ERROR")),
    "DATA with more padding than the frame": (lambda c: opened(c, (DATA, PADDED, b"\xffhello")), goaway("PROTOCOL_ERROR")),
    "DATA without the length of its padding": (lambda c: opened(c, (DATA, PADDED, b"")), goaway("PROTOCOL_ERROR", "FRAME_SIZE_ERROR")),
    "DATA that is all padding": (lambda c: opened(c, (DATA, PADDED | END_STREAM, b"\4" + bytes(4))), {"200"}),
    "HEADERS with more padding than the frame": (lambda c: sent(c, headers(1, 13, b"\xff" + GET)), goaway("PROTOCOL_ERROR")),
    "HEADERS with padding and priority that do not fit": (lambda c: sent(c, headers(1, 0x2d, b"\2\0\0\0\0")), goaway("PROTOCOL_ERROR", "FRAME_SIZE_ERROR")),
    "HEADERS without the whole priority": (lambda c: sent(c, headers(1, END_STREAM | END_HEADERS | WITH_PRIORITY, b"\0\0\0\0")),
                                           goaway("PROTOCOL_ERROR", "FRAME_SIZE_ERROR")),
    "empty block": (lambda c: (c.open(), sent(c, headers(1, payload=b"")))[0], REFUSED),
    # section 6.3 to 6.6
    "PRIORITY of 4": (lambda c: opened(c, (PRIORITY, 0, bytes(4))), either("FRAME_SIZE_ERROR")),
    "PRIORITY of 6": (lambda c: opened(c, (PRIORITY, 0, bytes(6))), either("FRAME_SIZE_ERROR")),
    "PRIORITY on an idle stream": (lambda c: sent(c, frame(PRIORITY, 0, 99, number(0) + b"\x10")), IGNORED),
    "RST_STREAM of 3": (lambda c: opened(c, (RST_STREAM, 0, bytes(3))), goaway("FRAME_SIZE_ERROR")),
    "RST_STREAM of 5": (lambda c: opened(c, (RST_STREAM, 0, bytes(5))), goaway("FRAME_SIZE_ERROR")),
    "RST_STREAM with an unknown code": (lambda c: opened(c, (RST_STREAM, 0, number(0xdead))), IGNORED),
    "ENABLE_PUSH of 2": (lambda c: sent(c, settings_frame((ENABLE_PUSH, 2))), goaway("PROTOCOL_ERROR")),
    "window too large": (lambda c: sent(c, settings_frame((INITIAL_WINDOW, 1 << 31))), goaway("FLOW_CONTROL_ERROR")),
    "MAX_FRAME_SIZE too small": (lambda c: sent(c, settings_frame((MAX_FRAME, 16383))), goaway("PROTOCOL_ERROR")),
    "MAX_FRAME_SIZE too large": (lambda c: sent(c, settings_frame((MAX_FRAME, 1 << 24))), goaway("PROTOCOL_ERROR")),
    "a wrong setting behind a good one": (lambda c: sent(c, settings_frame((MAX_STREAMS, 1), (ENABLE_PUSH, 7))), goaway("PROTOCOL_ERROR")),
    "acknowledgement that nobody waits for": (acknowledged, IGNORED | goaway("PROTOCOL_ERROR")),
    "PUSH_PROMISE": (lambda c: opened(c, (PUSH_PROMISE, END_HEADERS, number(2) + GET)), goaway("PROTOCOL_ERROR")),
    "PUSH_PROMISE on an idle stream": (lambda c: sent(c, frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + GET)), goaway("PROTOCOL_ERROR")),
    "PING with ACK": (lambda c: sent(c, frame(PING, ACK, 0, bytes(8))), IGNORED),
    # section 6.9
    "WINDOW_UPDATE of nothing": (lambda c: sent(c, frame(WINDOW_UPDATE, 0, 0, number(0))), goaway("PROTOCOL_ERROR")),
    "WINDOW_UPDATE of nothing on a stream": (lambda c: opened(c, (WINDOW_UPDATE, 0, number(0))), either("PROTOCOL_ERROR")),
    "WINDOW_UPDATE of the reserved bit": (lambda c: sent(c, frame(WINDOW_UPDATE, 0, 0, number(1 << 31))), goaway("PROTOCOL_ERROR")),
    "WINDOW_UPDATE of 5 on a stream": (lambda c: opened(c, (WINDOW_UPDATE, 0, bytes(5))), goaway("FRAME_SIZE_ERROR")),
    "too large a window": (lambda c: sent(c, frame(WINDOW_UPDATE, 0, 0, number(MAX_WINDOW))), goaway("FLOW_CONTROL_ERROR")),
    "too large a window in steps": (lambda c: sent(c, *[frame(WINDOW_UPDATE, 0, 0, number(1 << 29))] * 4), goaway("FLOW_CONTROL_ERROR")),
    "too large a window of a stream": (lambda c: opened(c, (WINDOW_UPDATE, 0, number(MAX_WINDOW))), either("FLOW_CONTROL_ERROR")),
    "largest window": (lambda c: sent(c, frame(WINDOW_UPDATE, 0, 0, number(MAX_WINDOW - 65535))), IGNORED),
    # section 6.10
    "CONTINUATION without HEADERS": (lambda c: opened(c, (CONTINUATION, END_HEADERS, GET)), goaway("PROTOCOL_ERROR")),
    "DATA within a block": (lambda c: within_block(c, frame(DATA, 0, 1, b"x")), goaway("PROTOCOL_ERROR")),
    "HEADERS within a block": (lambda c: within_block(c, headers(3)), goaway("PROTOCOL_ERROR")),
    "PING within a block": (lambda c: within_block(c, frame(PING, 0, 0, bytes(8))), goaway("PROTOCOL_ERROR")),
    "SETTINGS within a block": (lambda c: within_block(c, frame(SETTINGS)), goaway("PROTOCOL_ERROR")),
    "RST_STREAM within a block": (lambda c: within_block(c, frame(RST_STREAM, 0, 1, number(8))), goaway("PROTOCOL_ERROR")),
    "CONTINUATION of another stream": (lambda c: within_block(c, frame(CONTINUATION, 0, 3, b"")), goaway("PROTOCOL_ERROR")),
    # Section 5.5; nginx: passes over it.
    "unknown frame within a block": (lambda c: within_block(c, frame(0xfa, 0, 1, b"x")), goaway("PROTOCOL_ERROR")),
    "empty CONTINUATION": (lambda c: within_block(c, frame(CONTINUATION, 0, 1, b"")), {"200"}),
    # section 4.1, 5.5, 7
    "unknown frame": (lambda c: sent(c, frame(0xfa, 0xff, 0, b"anything")), IGNORED),
    "unknown frame on a stream": (lambda c: opened(c, (0xfa, 0xff, b"anything")), IGNORED),
    "unknown frame on an idle stream": (lambda c: sent(c, frame(0xfa, 0xff, 77, b"anything")), IGNORED),
    "empty unknown frame": (lambda c: sent(c, frame(0xfe)), IGNORED),
    "unknown settings": (lambda c: c.send_settings({0xfafa: 1, 0: 2, 0xffff: 0xffffffff}), IGNORED),
    "unknown flags": (lambda c: (c.open(), sent(c, headers(1, 0xd2 | END_STREAM | END_HEADERS & ~PADDED)))[0], {"200"}),
    "reserved bit of the stream": (lambda c: (c.open(), sent(c, headers(1 | 1 << 31)))[0], {"200"}),
    "ALTSVC": (lambda c: sent(c, frame(10, 0, 0, b"\0\0a")), IGNORED),
    "PRIORITY_UPDATE": (lambda c: sent(c, frame(16, 0, 0, number(1) + b"u=1")), IGNORED),
    "priority in HEADERS": (lambda c: (c.open(), sent(c, headers(1, END_STREAM | END_HEADERS | WITH_PRIORITY, number(0) + b"\x0f" + GET)))[0], {"200"}),
    "padding in HEADERS": (lambda c: (c.open(), sent(c, headers(1, END_STREAM | END_HEADERS | PADDED, b"\3" + GET + bytes(3))))[0], {"200"}),
}
FRAMES |= {f"{what} on stream 0": (lambda c, data=data: sent(c, data), goaway("PROTOCOL_ERROR")) for what, data in ON_NO_STREAM.items()}
FRAMES |= {f"{what} on stream 1": (lambda c, data=data: sent(c, data), goaway("PROTOCOL_ERROR")) for what, data in ON_A_STREAM.items()}
FRAMES |= {f"{what} on an idle stream": (lambda c, data=data: sent(c, data), goaway("PROTOCOL_ERROR")) for what, data in ON_AN_IDLE_STREAM.items()}
FRAMES |= {what: (lambda c, data=data: sent(c, data), goaway("FRAME_SIZE_ERROR")) for what, data in WRONG_LENGTHS.items()}
FRAMES |= {f"{what} that is too large": (lambda c, case=case: too_large(c, *case),
                                         goaway("FRAME_SIZE_ERROR") if what != "CONTINUATION" else goaway("FRAME_SIZE_ERROR", "PROTOCOL_ERROR"))
           for what, case in TOO_LARGE.items()}


@pytest.mark.parametrize("case", FRAMES.values(), ids=FRAMES.keys())
def test_frames(weir, case):
    serve(weir)
    send, expected = case
    with Client(weir.port) as client:
        judge(weir, client, send(client), expected)


@pytest.mark.parametrize("count", [2, 3])
def test_window_that_grows_too_large_by_settings(weir, count):
    """INITIAL_WINDOW_SIZE changes those of open streams too (section 6.9.2)."""
    serve(weir)
    with Client(weir.port) as client:
        opened(client, (WINDOW_UPDATE, 0, number(MAX_WINDOW - 65535)))
        for i in range(count):
            client.send_settings({INITIAL_WINDOW: 65535 + i})
        judge(weir, client, None, goaway("FLOW_CONTROL_ERROR"))


def test_more_data_than_the_window(weir, backend):  # noqa: F811
    """The server's windows bind the client: it gives none while an upstream takes nothing."""
    over = threading.Event()
    passed(weir, backend(script=lambda peer: (peer.call(body=False), over.wait(limit(30)))), "proxy_http_version 1.1; proxy_request_buffering off;", http="http2 on;",
           server="location /after { return 200 after; }")
    with Client(weir.port) as client:
        client.ready()
        stream = client.request(fields("/", "POST", ("content-length", "90000000")), end=False)
        for _ in range(4000):
            client.send(frame(DATA, 0, stream.number, bytes(16384)))
            client.read_for(0.001)
            if client.closed or client.failed or stream.over:
                break
        assert client.outcome(stream) in either("FLOW_CONTROL_ERROR"), stream
        over.set()
    with Client(weir.port) as client:
        assert client.get("/after").text == "after"


# ---- the beginning ------------------------------------------------------------------------------------------------

FIRST_FRAMES = {
    "HEADERS": headers(1), "PING": frame(PING, 0, 0, bytes(8)), "an acknowledgement": frame(SETTINGS, ACK), "DATA": frame(DATA, 0, 1, b"x"),
    "WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 0, number(1)), "SETTINGS on a stream": frame(SETTINGS, 0, 1), "SETTINGS of 5": frame(SETTINGS, 0, 0, bytes(5)),
}


# nginx wants no SETTINGS first, and serves these.
@pytest.mark.parametrize("data", FIRST_FRAMES.values(), ids=FIRST_FRAMES.keys())
def test_settings_come_first(weir, data):
    """A connection whose first frame is not SETTINGS is none (RFC 9113 section 3.4)."""
    serve(weir)
    with Client(weir.port, begin=False) as client:
        client.send(PREFACE, data)
        judge(weir, client, None, goaway("PROTOCOL_ERROR", "FRAME_SIZE_ERROR"))


PREFACES = {
    "last byte": PREFACE[:-1] + b"X", "last line": PREFACE[:-2] + b"XX", "word": PREFACE.replace(b"SM", b"SN"), "target": PREFACE.replace(b"*", b"/"),
    "version": PREFACE.replace(b"2.0", b"2.1"), "case": PREFACE.lower(), "line ends": PREFACE.replace(b"\r\n", b"\n"), "field": PREFACE.replace(b"\r\n\r\nSM", b"\r\na: b\r\n\r\nSM"),
}


@pytest.mark.parametrize("preface", PREFACES.values(), ids=PREFACES.keys())
def test_wrong_prefaces(weir, preface):
    """What is neither HTTP/2 nor a request of HTTP/1 is not served, and the connection ends."""
    serve(weir)
    with Connection(weir.port) as connection:
        connection.send(preface + settings_frame() + headers(1))
        connection.end_writing()
        raw = connection.until_close()
        assert b"localhost" not in raw and b" 200 " not in raw, raw
    with Client(weir.port) as client:
        assert client.get().status == 200


@pytest.mark.parametrize("step", [1, 2, 5, 23])
def test_prefaces_in_pieces(weir, step):
    """However the first bytes are cut: each in a segment of its own."""
    serve(weir)
    raw = PREFACE + settings_frame() + headers(1)
    with Client(weir.port, begin=False, options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]) as client:
        stream = client.open()
        client.unacknowledged.append({})
        for i in range(0, len(raw), step):
            client.send(raw[i:i + step])
            client.wire.wait_taken()
        assert client.response(stream).text == "GET / localhost\n"


@pytest.mark.parametrize("length", [1, 3, 14, 18, 23, 24, 28, 40])
def test_beginnings_that_break_off(weir, length):
    """A client that leaves anywhere in its first words is no trouble."""
    serve(weir)
    raw = PREFACE + settings_frame() + headers(1)
    for end in (Connection.end_writing, Connection.close):
        with Connection(weir.port) as connection:
            connection.send(raw[:length])
            end(connection)
            if end is Connection.end_writing:
                connection.until_close()
    with Client(weir.port) as client:
        assert client.get().status == 200


def test_codes_are_those_of_the_rfc():
    assert [code.value for code in Code] == list(range(14))
