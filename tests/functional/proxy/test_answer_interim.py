"""Interim answers and trailers: what comes before and behind an answer's head and body."""

import re
import time

import pytest
from proxylib import (CHUNKS, OK, answer, backend, get, passed, raw_answer,  # noqa: F401 - a fixture
                      read_until, upstream)
from weirlib import config, take_time
from wire import chunked, head

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nX-A: b\r\n\r\n"
TRAILED = CHUNKS + b"5\r\nhello\r\n0\r\nX-Sum: 1234\r\nX-Two: a b\r\nx-two: c\r\n\r\n"
TE = ["TE: trailers"]


# ---- interim answers ----------------------------------------------------------------------------------------

def test_hints_come_at_once(weir, backend):
    """With their headers, before the upstream has said more."""
    def reply(call):
        call.send(HINTS)
        call.peer.exactly(1)  # the client has seen them
        return answer(b"final")
    passed(weir, backend(reply, read_body=False), "proxy_request_buffering off;")
    with weir.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 1"))
        seen = read_until(client, b"\r\n\r\n")
        assert seen.startswith(b"HTTP/1.1 103 Early Hints\r\n") and b"\r\nLink: </x>; rel=preload\r\n" in seen
        assert b"\r\nX-A: b\r\n" in seen and b"Content-Length" not in seen
        client.send(b"x")
        assert client.response().body == b"final"


def test_hints_with_a_get(weir, backend):
    def reply(call):
        call.send(HINTS)
        take_time(0.3)
        call.send(HINTS.replace(b"/x", b"/y"))
        take_time(0.3)
        return answer(b"final")
    passed(weir, backend(reply))
    with weir.connect() as client:
        start = time.monotonic()
        client.request("/")
        read_until(client, b"/x")
        assert time.monotonic() - start < 0.25
        read_until(client, b"/y")
        assert time.monotonic() - start < 0.55
        assert read_until(client, b"final")
        client.unread = b""
        client.request("/")
        assert client.response().informational == [103, 103]


def test_not_for_a_client_of_1_0(weir, backend):
    passed(weir, backend(HINTS + answer(b"final")))
    raw = raw_answer(weir.port, head("GET / HTTP/1.0"))
    assert raw.startswith(b"HTTP/1.1 200 ") and raw.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("count", [1, 16, 100, 300])
@pytest.mark.parametrize("slowly", [False, True])
def test_many(weir, backend, count, slowly):
    """However many: the answer follows, and what is passed on is whole."""
    data = HINTS * count + answer(b"final")
    passed(weir, backend((lambda call: call.peer.send_slowly(data, 0.002, 997)) if slowly else data))
    with weir.connect() as client:
        for _ in range(2):
            reply = client.get("/")
            assert reply.text == "final" and 1 <= len(reply.informational) <= count
            assert set(reply.informational) == {103}


def test_continue_is_not_passed_on(weir, backend):
    passed(weir, backend(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"final")))
    assert weir.get().informational == []


@pytest.mark.parametrize("field", ["X-Accel-Redirect: /x", "Server: theirs", "Connection: X-A",
                                   "Transfer-Encoding: chunked", "Content-Length: 7", "Upgrade: x",
                                   "Keep-Alive: timeout=5", "X-Hidden: 1"])
def test_hidden_headers_of_interim_answers(weir, backend, field):
    passed(weir, backend(b"HTTP/1.1 103 X\r\n" + field.encode() + b"\r\nX-A: b\r\nX-B: c\r\n\r\n" + answer(b"final")),
           "proxy_hide_header X-Hidden;")
    first = raw_answer(weir.port, get()).partition(b"\r\n\r\n")[0]
    assert first.startswith(b"HTTP/1.1 103 ") and field.encode() not in first and b"X-B: c" in first
    assert (b"X-A: b" in first) == (field != "Connection: X-A")


def test_before_an_error_page(weir, backend):
    passed(weir, backend(HINTS + answer(b"theirs", status="404 No")), "proxy_intercept_errors on; error_page 404 /own;",
           server="location = /own { return 200 own; }")
    reply = weir.get()
    assert (reply.informational, reply.status, reply.text) == ([103], 404, "own")


def test_before_another_server(weir, backend):
    """An upstream that fails after its hints."""
    first = backend(lambda call: (call.send(HINTS), call.close())[1])
    passed(weir, "up", http=upstream(first, backend(HINTS + answer(b"final"))))
    for _ in range(2):
        reply = weir.get()
        assert reply.status == 200 and reply.text == "final" and set(reply.informational) == {103}


def test_pipelined(weir, backend):
    """Hints stay in front of their own answer."""
    def reply(call):
        take_time(0.1)
        call.send(HINTS.replace(b"/x", call.target.encode()))
        take_time(0.1)
        return answer(call.target.encode())
    passed(weir, backend(reply), server="location = /here { return 200 here; }")
    with weir.connect() as client:
        client.send(head("GET /a HTTP/1.1") + head("GET /here HTTP/1.1") + head("GET /b HTTP/1.1"))
        found = [client.response() for _ in range(3)]
    assert [(each.text, each.informational) for each in found] == [("/a", [103]), ("here", []), ("/b", [103])]


# ---- trailers -----------------------------------------------------------------------------------------------

def trailers_of(raw):
    top, _, body = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in top.lower(), raw
    assert re.match(rb"(5|[0-9a-f]+)\r\n", body)
    return body[body.rindex(b"\r\n0\r\n") + 5:]


@pytest.mark.parametrize("more, fields, wanted", [
    ("proxy_pass_trailers on;", TE, b"X-Sum: 1234\r\nX-Two: a b\r\nx-two: c\r\n\r\n"),
    ("proxy_pass_trailers on;", ["TE: deflate, trailers"], b"X-Sum: 1234\r\nX-Two: a b\r\nx-two: c\r\n\r\n"),
    ("proxy_pass_trailers on;", ["TE: Trailers"], b"X-Sum: 1234\r\nX-Two: a b\r\nx-two: c\r\n\r\n"),
    ("proxy_pass_trailers on;", [], b"\r\n"), ("proxy_pass_trailers off;", TE, b"\r\n"), ("", TE, b"\r\n"),
    ("proxy_pass_trailers on;", ["TE: nontrailers"], b"\r\n")])
def test_trailers(weir, backend, more, fields, wanted):
    passed(weir, backend(TRAILED), more)
    assert trailers_of(raw_answer(weir.port, get("/", *fields))) == wanted


@pytest.mark.parametrize("setting, seen", [("on", True), ("off", False)])
def test_trailer_header(weir, backend, setting, seen):
    passed(weir, backend(OK + b"Trailer: X-Sum\r\n" + TRAILED[len(OK):]), f"proxy_pass_trailers {setting};")
    assert (weir.get(headers=[("TE", "trailers")]).header("Trailer") is not None) == seen


@pytest.mark.directive("proxy_pass_trailers")
@pytest.mark.parametrize("step", [1, 7])
def test_trailers_that_come_slowly(weir, backend, step):
    passed(weir, backend(lambda call: call.peer.send_slowly(TRAILED, 0.002, step)), "proxy_pass_trailers on;")
    assert trailers_of(raw_answer(weir.port, get("/", *TE))).startswith(b"X-Sum: 1234\r\n")


@pytest.mark.parametrize("line", [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Set-Cookie: a=b", b"Host: x",
                                  b"Connection: close", b"Content-Type: a/b", b"Location: /"])
def test_trailers_that_are_none(weir, backend, line):
    data = CHUNKS + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n" + line + b"\r\nX-End: 2\r\n\r\n"
    passed(weir, backend(data), "proxy_pass_trailers on;")
    assert trailers_of(raw_answer(weir.port, get("/", *TE))) == b"X-Sum: 1\r\nX-End: 2\r\n\r\n"


@pytest.mark.parametrize("line", [b"X-A: b\x01", b"X-A : b", b"X A: b", b" folded", b"nothing", b"X-A: b\rX-Evil: c"])
def test_bad_trailers(weir, backend, line):
    """What could be read in two ways does not go on; the client sees that the answer is not whole."""
    passed(weir, backend(CHUNKS + b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"), "proxy_pass_trailers on;")
    raw = raw_answer(weir.port, get("/", *TE))
    assert b"X-Evil" not in raw and not (raw.startswith(b"HTTP/1.1 200") and raw.endswith(b"0\r\n\r\n"))


def test_trailers_without_end(weir, backend):
    def reply(call):
        call.send(CHUNKS + b"5\r\nhello\r\n0\r\n")
        for i in range(5000):
            call.send(b"X-%d: %s\r\n" % (i, b"y" * 100))
    passed(weir, backend(reply), "proxy_pass_trailers on;")
    raw = raw_answer(weir.port, get("/", *TE))
    assert len(raw) < 100_000 and not raw.endswith(b"0\r\n\r\n")


def test_trailers_are_not_for_1_0_or_head(weir, backend):
    passed(weir, backend(TRAILED), "proxy_pass_trailers on;")
    assert raw_answer(weir.port, head("GET / HTTP/1.0", *TE)).endswith(b"\r\n\r\nhello")
    with weir.connect() as client:
        client.request("/", "HEAD", headers=[("TE", "trailers")])
        assert client.response("HEAD").status == 200 and client.get("/status").status == 200


def test_trailers_and_kept_connections(weir, backend):
    up = backend(TRAILED)
    passed(weir, up, "proxy_pass_trailers on; proxy_set_header TE trailers; proxy_set_header Connection TE;")
    with weir.connect() as client:
        for _ in range(3):
            assert client.get("/", headers=[("TE", "trailers")]).body == b"hello"
    assert up.accepts == 1 and up.call.all("TE") == ["trailers"]


def test_trailers_inheritance(weir, backend):
    up = backend(TRAILED)
    weir.start(config(f"location /on {{ proxy_pass http://{up.address}; }}"
                      f"location /off {{ proxy_pass http://{up.address}; proxy_pass_trailers off; }}",
                      http="proxy_pass_trailers on;"))
    assert trailers_of(raw_answer(weir.port, get("/on", *TE))) != b"\r\n"
    assert trailers_of(raw_answer(weir.port, get("/off", *TE))) == b"\r\n"


@pytest.mark.directive("proxy_pass_trailers")
def test_trailers_behind_a_slow_client(weir, backend):
    body = b"0123456789" * (1 << 18)
    passed(weir, backend(CHUNKS + chunked(body, 50000, b"X-Sum: 1\r\n")), "proxy_pass_trailers on; limit_rate 4m;")
    assert trailers_of(raw_answer(weir.port, get("/", *TE))) == b"X-Sum: 1\r\n\r\n"
