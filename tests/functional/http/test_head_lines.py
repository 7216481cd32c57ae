"""Lines of a request's head: where they end, which fields stand once, and what an answer says of its connection."""

import pytest
import wire
from proxylib import answer, backend, passed  # noqa: F401
from weirlib import config
from wire import head

ANSWERS = """
    location / { return 200 "$request|$http_x|$host\\n"; }
    location = /none { return 204; }
    location = /away { return 302 /; }
    location = /old { return 404; }
    location = /said { add_header X-Said $sent_http_connection; return 200 x; }
    location = /file { }
    location /echo { handler echo; }
"""


def serve(weir, **parts):
    weir.write("text\n", "html/file")
    return weir.start(config(ANSWERS, server="root html;", **parts))


# ---- line ends --------------------------------------------------------------------------------------------

LINE_FEEDS = {
    "everywhere": b"GET /a HTTP/1.1\nHost: a\nX: y\n\n",
    "behind the request line": b"GET /a HTTP/1.1\nHost: a\r\nX: y\r\n\r\n",
    "behind a field": b"GET /a HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "behind the last field": b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
    "for the empty line": b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\n",
    "an empty line before": b"\nGET /a HTTP/1.1\nHost: a\nX: y\n\n",
    "empty lines of both kinds before": b"\n\r\n\nGET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
}


@pytest.mark.parametrize("name", LINE_FEEDS)
def test_a_line_feed_ends_a_line(weir, name):
    """A request with lone line feeds is understood as one with CRLF, and so is what follows it."""
    serve(weir)
    with weir.connect() as client:
        client.send(LINE_FEEDS[name] + LINE_FEEDS[name].replace(b"/a", b"/b") + wire.GOOD)
        assert [client.response().text for _ in range(3)] == [
            "GET /a HTTP/1.1|y|a\n", "GET /b HTTP/1.1|y|a\n", "GET /after HTTP/1.1||a\n"]


def test_an_old_request_line_alone(weir):
    """The smallest head: HTTP/1.0, two line feeds."""
    serve(weir)
    assert wire.ask(weir.port, b"GET / HTTP/1.0\n\n").text == "GET / HTTP/1.0||\n"


def test_line_feeds_byte_by_byte(weir):
    """How the bytes were cut changes nothing."""
    serve(weir)
    with weir.connect() as client:
        for byte in LINE_FEEDS["everywhere"]:
            client.send(bytes([byte]))
        assert client.response().text == "GET /a HTTP/1.1|y|a\n"


def test_bodies_behind_line_feeds(weir):
    """A body begins right behind the lone line feed of the empty line."""
    serve(weir)
    length = b"POST /echo HTTP/1.1\nHost: a\nContent-Length: 6\n\n\nhello"
    chunks = b"POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n6\r\n\nhello\r\n0\r\n\r\n"
    assert wire.not_accepted(weir.port, {"length": length, "chunks": chunks}) == {}
    assert wire.ask(weir.port, length).text == wire.ask(weir.port, chunks).text == "\nhello"


def test_what_stays_refused(weir):
    """Bare CR, folded lines, and line feeds alone in the framing of chunks, behind heads that are taken."""
    serve(weir)
    chunked = b"POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n"
    refused = {"CR in a value": b"GET / HTTP/1.1\nHost: a\nX: y\rz\n\n", "CR CR LF": b"GET / HTTP/1.1\nHost: a\nX: y\r\r\n\n",
               "CR for a line": b"GET / HTTP/1.1\rHost: a\n\n", "folded": b"GET / HTTP/1.1\nHost: a\n X: y\n\n",
               "size": chunked + b"5\nhello\r\n0\r\n\r\n", "data": chunked + b"5\r\nhello\n0\r\n\r\n",
               "trailer": chunked + b"0\r\nX: y\n\r\n", "end": chunked + b"0\r\n\n"}
    assert wire.not_refused(weir.port, refused) == {}
    assert wire.not_accepted(weir.port, {"chunks": chunked + b"0\r\n\r\n"}) == {}


def test_an_upstream_gets_crlf(weir, backend):  # noqa: F811
    """What came with lone line feeds goes on with CRLF."""
    peer = backend(answer(b"ok"))
    passed(weir, peer)
    assert wire.ask(weir.port, b"POST /a?b HTTP/1.1\nHost: a\nX: y\nZ:\nContent-Length: 2\n\nhi").text == "ok"
    text = peer.call.head
    assert text.count(b"\r\n") == text.count(b"\n") == text.count(b"\r") and peer.call.body == b"hi"
    assert peer.call.header("X") == "y" and peer.call.target == "/a?b"


# ---- fields that stand once -------------------------------------------------------------------------------

SINGLE = ["Authorization", "Content-Range", "Expect", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
          "If-Unmodified-Since"]
SEVERAL = ["Accept", "Accept-Encoding", "Content-Type", "Cookie", "Date", "Range", "Referer", "TE", "Upgrade", "User-Agent",
           "Via", "X-Forwarded-For"]


def test_fields_that_stand_once(weir):
    """Two of them, also with one value and in other letters, are refused; one is not."""
    serve(weir)
    twice = {name: head("GET / HTTP/1.1", f"{name}: x", "X: y", f"{name.upper()}: x") for name in SINGLE}
    assert wire.not_refused(weir.port, twice) == {}
    once = {name: head("GET / HTTP/1.1", f"{name}: x") for name in SINGLE}
    several = {name: head("GET / HTTP/1.1", f"{name}: x", f"{name}: y") for name in SEVERAL}
    assert wire.not_accepted(weir.port, once | several) == {}


def test_the_log_names_the_field(weir):
    """The refusal is logged with the field's name."""
    serve(weir, log="info")
    wire.ask(weir.port, head("GET / HTTP/1.1", "If-None-Match: x", "If-None-Match: y"))
    weir.wait_log(r'client sent duplicate [^\n]*If-None-Match')


# ---- Connection -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("target", ["/", "/none", "/away", "/old", "/said", "/file", "/nothing"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_connection_is_said(weir, target, method):
    """A connection that stays says keep-alive, whatever the answer is, and one that ends says close."""
    serve(weir)
    with weir.connect() as client:
        for fields, said in ([], "keep-alive"), (["Connection: close"], "close"):
            client.send(head(f"{method} {target} HTTP/1.1", *fields))
            got = client.response(method)
            assert [value for name, value in got.headers if name == "connection"] == [said]
            assert got.header("x-said", said) == said


def test_connection_of_conditions_and_ranges(weir):
    """304 and 206 say it as well."""
    serve(weir)
    with weir.connect() as client:
        etag = client.get("/file").header("etag")
        for field, status in (("If-None-Match", etag), 304), (("Range", "bytes=0-1"), 206):
            got = client.get("/file", [field])
            assert (got.status, got.header("connection")) == (status, "keep-alive")


def test_connection_through_the_proxy(weir, backend):  # noqa: F811
    """It is about the client's connection, whatever the upstream says of its own."""
    passed(weir, backend(answer(b"ok", "Connection: close")), "add_header X-Said $sent_http_connection;")
    with weir.connect() as client:
        for _ in range(2):
            got = client.get("/")
            assert [value for name, value in got.headers if name in ("connection", "x-said")] == ["keep-alive"] * 2
