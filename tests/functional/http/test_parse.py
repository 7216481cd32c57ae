"""HTTP/1 requests: what is refused and how, every cut and every pipeline, bodies of all kinds, limits and timeouts."""

import os
import socket
import time

import pytest
import weirlib
import wire
from weirlib import config, let_pass, take_time
from wire import chunked, head, post

pytestmark = pytest.mark.timeout(weirlib.limit(60))

ANSWERS = """
    location / { return 200 "$request_method $uri $host\\n"; }
    location /echo { handler echo; }
    location /sleep { handler sleep; }
"""


def serve(weir, http="", **parts):
    return weir.start(config(ANSWERS, http=http, **parts))


# ---- what is refused --------------------------------------------------------------------------------------

LENGTHS = {
    "length and chunked": post("/echo", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked and length": post("/echo", "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"),
    "two lengths": post("/echo", "Content-Length: 3", "Content-Length: 4", body=b"abcd"),
    "two lengths in one": post("/echo", "Content-Length: 3, 4", body=b"abcd"),
    "plus": post("/echo", "Content-Length: +3", body=b"abc"),
    "minus": post("/echo", "Content-Length: -3", body=b"abc"),
    "hexadecimal": post("/echo", "Content-Length: 0x3", body=b"abc"),
    "letters": post("/echo", "Content-Length: three", body=b"abc"),
    "blank inside": post("/echo", "Content-Length: 1 1", body=b"abcdefghijk"),
    "point": post("/echo", "Content-Length: 3.0", body=b"abc"),
    "empty": post("/echo", "Content-Length:", body=b""),
    "overflow": post("/echo", "Content-Length: 99999999999999999999"),
    "overflow to three": post("/echo", "Content-Length: 18446744073709551619", body=b"abc"),
}

CODINGS = {
    "not chunked at the end": post("/echo", "Transfer-Encoding: chunked, gzip"),
    "other coding": post("/echo", "Transfer-Encoding: gzip"),
    "identity": post("/echo", "Transfer-Encoding: identity"),
    "empty": post("/echo", "Transfer-Encoding:"),
    "almost": post("/echo", "Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "twice": post("/echo", "Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "two fields": post("/echo", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "identity after": post("/echo", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "in quotes": post("/echo", 'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "vertical tab": post("/echo", "Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
}

LINE_ENDS = {
    "bare CR in a value": b"GET / HTTP/1.1\r\nHost: a\r\nB: c\rd\r\n\r\n",
    "bare CR before CR LF": b"GET / HTTP/1.1\r\nHost: a\r\nB: c\r\r\n\r\n",
    "bare CR in a name": b"GET / HTTP/1.1\r\nHost: a\r\nB\rB: c\r\n\r\n",
    "bare CR for a line": b"GET / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n",
    "bare CR in the request line": b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare CR at the end": b"GET / HTTP/1.1\r\nHost: a\r\n\rX",
}

FIELDS = {
    "space before colon": head("GET / HTTP/1.1", "B : c"),
    "tab before colon": head("GET / HTTP/1.1", "B\t: c"),
    "space before the length's colon": post("/echo", "Content-Length : 3", body=b"abc"),
    "obs-fold": head("GET / HTTP/1.1", "B: c", " d"),
    "obs-fold with a tab": head("GET / HTTP/1.1", "B: c", "\td"),
    "fold before the first field": b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n",
    "NUL in a value": head("GET / HTTP/1.1", "B: c\0d"),
    "NUL in a name": head("GET / HTTP/1.1", "B\0: c"),
    "no colon": head("GET / HTTP/1.1", "B"),
    "no name": head("GET / HTTP/1.1", ": c"),
    "parenthesis in a name": head("GET / HTTP/1.1", "B(: c"),
    "blank in a name": head("GET / HTTP/1.1", "B B: c"),
    "quote in a name": head("GET / HTTP/1.1", 'B": c'),
    "high byte in a name": head("GET / HTTP/1.1", "B\xff: c"),
}

REQUEST_LINES = {
    "lower-case method": head("get / HTTP/1.1"),
    "mixed-case method": head("Get / HTTP/1.1"),
    "no token": head("G@T / HTTP/1.1"),
    "parenthesis in the method": head("GET( / HTTP/1.1"),
    "no method": head("/ HTTP/1.1"),
    "blank first": head(" GET / HTTP/1.1"),
    "tab for a space": head("GET\t/ HTTP/1.1"),
    "no target": head("GET HTTP/1.1"),
    "space in the target": head("GET /a b HTTP/1.1"),
    "NUL in the target": head("GET /a\0b HTTP/1.1"),
    "control in the target": head("GET /a\x01b HTTP/1.1"),
    "DEL in the target": head("GET /a\x7fb HTTP/1.1"),
    "no slash": head("GET a HTTP/1.1"),
    "asterisk": head("GET * HTTP/1.1"),
    "authority": head("GET a:80 HTTP/1.1"),
    "broken escape": head("GET /%zz HTTP/1.1"),
    "cut escape": head("GET /%4 HTTP/1.1"),
    "escaped NUL": head("GET /%00 HTTP/1.1"),
    "above the root": head("GET /../a HTTP/1.1"),
    "above the root, escaped": head("GET /%2e%2e/a HTTP/1.1"),
    "above the root, later": head("GET /a/..%2f../b HTTP/1.1"),
    "no version": head("GET /"),
    "version 0.9": head("GET / HTTP/0.9"),
    "short version": head("GET / HTTP/1"),
    "version with a zero": head("GET / HTTP/01.1"),
    "lower-case protocol": head("GET / http/1.1"),
    "other protocol": head("GET / HTTX/1.1"),
    "text after the version": head("GET / HTTP/1.1x"),
    "word after the version": head("GET / HTTP/1.1 x"),
}

HOSTS = {
    "missing": head(host=""),
    "twice the same": head("GET / HTTP/1.1", "Host: a"),
    "two different": head("GET / HTTP/1.1", "Host: b"),
    "two different in 1.0": head("GET / HTTP/1.0", "Host: b"),
    "empty": head(host="Host:"),
    "blank": head(host="Host: \t "),
    "two words": head(host="Host: a b"),
    "slash": head(host="Host: a/b"),
    "two dots": head(host="Host: a..b"),
    "missing, absolute target": head("GET http://b/ HTTP/1.1", host=""),
    "empty authority": head("GET http:///a HTTP/1.1"),
}

CHUNKS = {
    "no number": b"\r\n\r\n",
    "letter": b"g\r\n\r\n",
    "minus": b"-1\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "blank first": b" 5\r\nhello\r\n0\r\n\r\n",
    "blank inside": b"1 0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "only an extension": b";a=b\r\n0\r\n\r\n",
    "data too long": b"5\r\nhelloworld\r\n0\r\n\r\n",
    "data too short": b"5\r\nhell\r\n0\r\n\r\n",
    "no line end after data": b"5\r\nhello0\r\n\r\n",
    "bare CR after the size": b"5\rhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "65 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "68 bits of one": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "trailer without colon": b"5\r\nhello\r\n0\r\nA\r\n\r\n",
    "trailer with space before colon": b"5\r\nhello\r\n0\r\nA : b\r\n\r\n",
    "trailer with a fold": b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
    "trailer with a NUL": b"5\r\nhello\r\n0\r\nA: \0\r\n\r\n",
    "trailer with a bare LF": b"5\r\nhello\r\n0\r\nA: b\n\r\n",
}


@pytest.mark.parametrize("messages", [LENGTHS, LINE_ENDS, FIELDS, REQUEST_LINES, HOSTS],
                         ids=["lengths", "line ends", "fields", "request lines", "hosts"])
def test_ambiguous_requests_are_refused(weir, messages):
    """What could be read in two ways gets one 400 and the end of the connection, and nothing after it is read."""
    serve(weir)
    assert wire.not_refused(weir.port, messages) == {}


def test_transfer_codings_are_refused(weir):
    """Only a last and single chunked is understood: 400, or 501 for a coding that is merely unknown."""
    serve(weir)
    assert wire.not_refused(weir.port, CODINGS, (400, 501)) == {}
    last = {"1.0": head("POST /echo HTTP/1.0", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
            "length too": LENGTHS["length and chunked"]}
    assert wire.not_refused(weir.port, last) == {}


def test_bad_chunks_are_refused(weir):
    """A chunk that is not exactly as RFC 9112 section 7.1 has it gets 400 and the end of the connection."""
    serve(weir)
    messages = {name: post("/echo", "Transfer-Encoding: chunked", body=body) for name, body in CHUNKS.items()}
    assert wire.not_refused(weir.port, messages) == {}


def test_chunks_too_large_are_refused_at_once(weir):
    """A chunk size beyond what any body may have is refused before its data, however close to an overflow."""
    serve(weir)
    sizes = [b"40000000", b"7fffffff", b"80000000", b"ffffffff", b"100000005", b"7fffffffffffffff",
             b"8000000000000000", b"ffffffffffffffff", b"fffffffffffffffb"]
    messages = {size: post("/echo", "Transfer-Encoding: chunked", body=size + b"\r\n") for size in sizes}
    assert wire.not_refused(weir.port, messages, (400, 413)) == {}


def test_framing_is_bounded(weir):
    """A chunk extension or a trailer section without end is refused instead of being read or kept for ever."""
    serve(weir)
    endless = {
        "extension": b"5;" + b"a" * 2_000_000,
        "many extensions": b"".join(b"1;%s\r\nx\r\n" % (b"a" * 4000) for _ in range(1000)) + b"0\r\n\r\n",
        "trailer": b"0\r\nA: " + b"a" * 2_000_000,
        "many trailers": b"0\r\n" + b"A: b\r\n" * 300_000,
        "size of zeros": b"0" * 2_000_000,
    }
    messages = {name: post("/echo", "Transfer-Encoding: chunked", body=body) for name, body in endless.items()}
    assert wire.not_refused(weir.port, messages, (400, 413, 431)) == {}
    assert weir.get("/").status == 200


def test_versions_that_are_not_spoken(weir):
    """Another major version gets 505, also HTTP/2 with prior knowledge."""
    serve(weir)
    messages = {"2.0": head("GET / HTTP/2.0"), "3.0": head("GET / HTTP/3.0"), "9.9": head("GET / HTTP/9.9")}
    assert wire.not_refused(weir.port, messages, (505,)) == {}
    preface = {"preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}
    assert wire.not_refused(weir.port, preface, (400, 505)) == {}


def test_methods_that_are_not_served(weir):
    """TRACE, and CONNECT with a path, get 405 as in nginx."""
    serve(weir)
    assert [wire.ask(weir.port, head(f"{method} /a HTTP/1.1")).status for method in ("TRACE", "CONNECT")] == [405, 405]


def test_asterisk_target(weir):
    """OPTIONS * is answered or refused, but never taken for a path."""
    serve(weir)
    answer = wire.ask(weir.port, head("OPTIONS * HTTP/1.1"), "OPTIONS")
    assert answer.status in (200, 204, 400, 405) and b"*" not in answer.body


# ---- what is accepted -------------------------------------------------------------------------------------

ACCEPTED = {
    "no blank after colon": head(host="Host:a"),
    "blanks around a value": head("GET / HTTP/1.1", "B: \t c \t "),
    "empty value": head("GET / HTTP/1.1", "B:"),
    "high bytes in a value": head("GET / HTTP/1.1", "B: \xe9\xff"),
    "every token byte in a name": head("GET / HTTP/1.1", "!#$%&'*+-.^_`|~0aZ: c"),
    "unknown method": head("BREW / HTTP/1.1"),
    "method with a dash": head("M-SEARCH / HTTP/1.1"),
    "empty line first": b"\r\n" + head(),
    "host with a port": head(host="Host: a:80"),
    "host is an address": head(host="Host: [::1]:80"),
    "host with an underscore": head(host="Host: a_b"),
    "100 fields": head("GET / HTTP/1.1", *[f"B{i}: c" for i in range(100)]),
    "body on GET": head("GET /echo HTTP/1.1", "Content-Length: 3") + b"abc",
    "length with blanks": post("/echo", "Content-Length: \t3 ", body=b"abc"),
    "zeros before a length": post("/echo", "Content-Length: 003", body=b"abc"),
    "chunked in capitals": post("/echo", "Transfer-Encoding: CHUNKED", body=chunked(b"abc")),
    "chunk size with zeros": post("/echo", "Transfer-Encoding: chunked", body=b"0003\r\nabc\r\n000\r\n\r\n"),
    "chunk size in capitals": post("/echo", "Transfer-Encoding: chunked", body=b"A\r\n0123456789\r\n0\r\n\r\n"),
    "chunk extension": post("/echo", "Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n0;c=\"d;e\"\r\n\r\n"),
    "unread body": post("/", "Content-Length: 3", body=b"abc"),
    "unread chunks": post("/", "Transfer-Encoding: chunked", body=chunked(b"abc")),
}


def test_unusual_but_valid_requests_are_accepted(weir):
    """What the RFC allows is served, and the next request on the connection too."""
    serve(weir)
    assert wire.not_accepted(weir.port, ACCEPTED) == {}


@pytest.mark.parametrize("request_line, host, answer", [
    ("GET http://other/a?b HTTP/1.1", "a", "GET /a other"),
    ("GET http://other:8080/a HTTP/1.1", "a", "GET /a other"),
    ("GET HTTP://OTHER/a HTTP/1.1", "a", "GET /a other"),
    ("GET http://other HTTP/1.1", "a", "GET / other"),
    ("GET http://other?b HTTP/1.1", "a", "GET / other"),
    ("GET /a HTTP/1.1", "MiXed.Example:99", "GET /a mixed.example"),
    ("GET /a HTTP/1.1", "dot.example.", "GET /a dot.example"),
])
def test_host_and_absolute_target(weir, request_line, host, answer):
    """An absolute target's authority goes before the Host field; the name loses case, port and last dot."""
    serve(weir)
    assert wire.ask(weir.port, head(request_line, host=f"Host: {host}")).text == answer + "\n"


@pytest.mark.parametrize("target, path", [
    ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/a/b/..", "/a/"), ("/a/.", "/a/"), ("//a///b", "/a/b"),
    ("/%61", "/a"), ("/a%2fb", "/a/b"), ("/a/%2e%2e/b", "/b"), ("/a%20b", "/a b"), ("/a+b", "/a+b"),
    ("/a?b=../c", "/a"), ("/a", "/a"), ("/.../a", "/.../a"), ("/a..b", "/a..b"), ("/%25%32%65", "/%2e"),
])
def test_paths_are_normalised(weir, target, path):
    """Escapes are undone once, dot segments and doubled slashes are resolved."""
    serve(weir)
    assert wire.ask(weir.port, head(f"GET {target} HTTP/1.1")).text == f"GET {path} a\n"


# ---- cuts and pipelines -----------------------------------------------------------------------------------

CUT = {
    "chunked": post("/echo?x=1", "Transfer-Encoding: chunked", "B: c",
                    body=b"3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n"),
    "length": post("/echo?x=1", "Content-Length: 12", "Connection: keep-alive", body=b"hello\r\n\r\nabc"),
    "no body": head("GET http://b.example:80/a/../b%20c?d HTTP/1.1", "Accept: */*", "B:c"),
    "pipeline": head("GET /1 HTTP/1.1") + post("/echo", "Content-Length: 2", body=b"xy") + head("GET /3 HTTP/1.1"),
    "refused": head("GET / HTTP/1.1", "B: c", "D : e"),
    "refused chunks": post("/echo", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\nx\r\n"),
}
ANSWERS_TO_CUT = {"pipeline": 3}


def said(answer):
    """What must be the same however a request arrives."""
    return answer.status, [field for field in answer.headers if field[0] != "date"], answer.body


def send_in_two(port, first, second, answers):
    """The answers to a request that arrives in two pieces."""
    with weirlib.Connection(port) as connection:
        connection.send(first)
        take_time(0.01)
        try:
            connection.send(second)
        except OSError:
            pass  # refused already; the answer is there to read
        return [said(connection.response()) for _ in range(answers)]


@pytest.mark.parametrize("name", CUT)
def test_every_cut_gives_the_same_answer(weir, name):
    """Wherever a request is cut in two on its way, the answers are those of the whole."""
    serve(weir)
    raw, answers = CUT[name], ANSWERS_TO_CUT.get(name, 1)
    whole = send_in_two(weir.port, raw, b"", answers)
    assert [status for status, _, _ in whole] == [400 if "refused" in name else 200] * answers
    cuts = wire.parallel(lambda at: send_in_two(weir.port, raw[:at], raw[at:], answers), range(1, len(raw)), 32)
    assert {at: found for at, found in enumerate(cuts, 1) if found != whole} == {}


def test_byte_by_byte(weir):
    """A request that comes in single bytes is answered as any other."""
    serve(weir)
    with weir.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in CUT["chunked"]:
            connection.send(bytes([byte]))
            take_time(0.001)
        assert connection.response().body == b"abc0123456789"


def test_pipeline_is_answered_in_order_and_together(weir):
    """16 requests in one piece get 16 answers in their order, in no more than four segments."""
    serve(weir)
    with weir.connect() as connection:
        connection.send(b"".join(head(f"GET /{i} HTTP/1.1") for i in range(16)))
        bodies = [connection.response().text for _ in range(16)]
        assert bodies == [f"GET /{i} a\n" for i in range(16)]
        assert wire.data_segments_received(connection) <= 4


def test_long_pipeline(weir):
    """A thousand pipelined requests, bodies among them, are all answered in order."""
    serve(weir)
    with weir.connect() as connection:
        pairs = [(head(f"GET /{i} HTTP/1.1"), f"GET /{i} a\n") if i % 3 else
                 (post("/echo", f"Content-Length: {len(str(i))}", body=b"%d" % i), f"{i}") for i in range(1000)]
        for start in range(0, 1000, 100):
            connection.send(b"".join(raw for raw, _ in pairs[start:start + 100]))
        assert [connection.response().text for _ in pairs] == [text for _, text in pairs]


def test_pipeline_waits_for_a_handler(weir):
    """An answer that is ready never overtakes one that is still being worked on."""
    serve(weir)
    with weir.connect() as connection:
        connection.send(head("GET /sleep?ms=200 HTTP/1.1") + head("GET /fast HTTP/1.1"))
        start = time.monotonic()
        slow, fast = connection.response(), connection.response()
        assert time.monotonic() - start >= 0.19
        assert (slow.status, fast.text) == (200, "GET /fast a\n") and slow.text != fast.text


def test_pipeline_ends_with_close(weir):
    """What is pipelined after a request with Connection: close is not answered."""
    serve(weir)
    raw = head("GET /1 HTTP/1.1", "Connection: close") + head("GET /2 HTTP/1.1")
    assert wire.verdict(weir.port, raw) == (200, "closed")


# ---- versions, HEAD, Expect -------------------------------------------------------------------------------

@pytest.mark.parametrize("version, field, stays", [
    ("1.1", "", True), ("1.1", "close", False), ("1.1", "foo, Close", False), ("1.1", "keep-alive", True),
    ("1.0", "", False), ("1.0", "close", False), ("1.0", "keep-alive", True), ("1.0", "Keep-Alive", True),
])
def test_persistence(weir, version, field, stays):
    """1.1 stays open unless told to close, 1.0 closes unless told to stay; the answer says which."""
    serve(weir)
    fields = [f"Connection: {field}"] if field else []
    with weir.connect() as connection:
        connection.send(head(f"GET / HTTP/{version}", *fields))
        answer = connection.response()
        if stays:
            assert answer.header("connection", "keep-alive") == "keep-alive"
            assert version == "1.1" or answer.header("connection") == "keep-alive"
            assert connection.get("/again").status == 200
        else:
            assert answer.header("connection") == "close" and connection.until_close() == b""


def test_version_1_0_needs_no_host_and_gets_no_chunks(weir):
    """An HTTP/1.0 client needs no Host, and an answer that it can read: with a length or up to the close."""
    serve(weir)
    with weir.connect() as connection:
        connection.send(b"POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
        raw = connection.until_close()
    assert raw.startswith(b"HTTP/1.1 200 ") and raw.endswith(b"\r\n\r\nabc")
    assert b"transfer-encoding" not in raw.lower()


def test_head_has_the_fields_but_no_body(weir):
    """HEAD answers as GET does, without the body, on a connection that stays usable."""
    serve(weir)
    (weir.tmp / "html/index.html").write_text("x")
    with weir.connect() as connection:
        answers = []
        for method in ("GET", "HEAD", "GET"):
            connection.send(head(f"{method} /a HTTP/1.1"))
            answers.append(connection.response(method))
    lengths = [answer.header("content-length") for answer in answers]
    assert [answer.status for answer in answers] == [200] * 3
    assert lengths == ["9", "10", "9"] and [len(answer.body) for answer in answers] == [9, 0, 9]


def test_expect_continue(weir):
    """Expect: 100-continue gets its interim answer before the body, and the final one after it."""
    serve(weir)
    with weir.connect() as connection:
        connection.send(post("/echo", "Content-Length: 3", "Expect: 100-continue"))
        interim = connection.socket.recv(1 << 16)
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"abc")
        assert connection.response().body == b"abc"
        assert connection.get("/").status == 200


def test_expect_continue_is_for_1_1(weir):
    """An HTTP/1.0 client is never sent an interim answer."""
    serve(weir)
    with weir.connect() as connection:
        connection.send(head("POST /echo HTTP/1.0", "Content-Length: 3", "Expect: 100-continue"))
        assert connection.closed_within(0.2) is None
        connection.send(b"abc")
        answer = connection.response()
        assert (answer.status, answer.informational, answer.body) == (200, [], b"abc")


@pytest.mark.directive("client_max_body_size")
def test_expect_continue_for_a_body_too_large(weir):
    """A body that will be refused is refused instead of being asked for."""
    serve(weir, http="client_max_body_size 1k;")
    answer = wire.ask(weir.port, post("/echo", "Content-Length: 1025", "Expect: 100-continue"), "POST")
    assert (answer.status, answer.informational) == (413, [])


# ---- bodies -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 100, 8191, 8192, 8193, 16384, 65536, 1_000_000])
def test_bodies_come_back(weir, size):
    """A body of any length and framing reaches the handler as it was sent."""
    serve(weir)
    body = os.urandom(size)
    with weir.connect() as connection:
        connection.send(post("/echo", f"Content-Length: {size}", body=body))
        assert connection.response().body == body
        for chunk in (7, 1000, 70_000):
            connection.send(post("/echo", "Transfer-Encoding: chunked", body=chunked(body[:chunk * 3000], chunk)))
            assert connection.response().body == body[:chunk * 3000]


def test_chunks_of_one_byte(weir):
    """Chunks of one byte and trailers are read as one body, in one segment or in many."""
    serve(weir)
    body = os.urandom(2000)
    raw = post("/echo", "Transfer-Encoding: chunked", body=chunked(body, 1, b"A: b\r\nC: d\r\n"))
    with weir.connect() as connection:
        connection.send(raw)
        assert connection.response().body == body
        for i in range(0, len(raw), 97):
            connection.send(raw[i:i + 97])
        assert connection.response().body == body


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_spills_to_a_file(weir, framing):
    """A body beyond client_body_buffer_size goes through a temporary file, comes back exact, and the file goes away."""
    folder = weir.tmp / "bodies"
    serve(weir, http="client_body_buffer_size 8k; client_max_body_size 8m; client_body_temp_path {tmp}/bodies;")
    body = os.urandom(5 << 20)
    if framing == "length":
        raw = post("/echo", f"Content-Length: {len(body)}", body=body)
    else:
        raw = post("/echo", "Transfer-Encoding: chunked", body=chunked(body, 5000))
    with weir.connect() as connection:
        connection.send(raw)
        assert connection.response().body == body
        assert connection.get("/").status == 200
    assert [path for path in folder.rglob("*") if path.is_file()] == []


# ---- limits -----------------------------------------------------------------------------------------------

def test_request_line_too_long(weir):
    """A request line beyond one large buffer (8k) gets 414; one just below it is served."""
    serve(weir)
    assert wire.ask(weir.port, head(f"GET /{'a' * 8000} HTTP/1.1")).status == 200
    messages = {size: head(f"GET /{'a' * size} HTTP/1.1") for size in (8193, 9000, 200_000)}
    assert wire.not_refused(weir.port, messages, (414,)) == {}


def test_header_too_large(weir):
    """A field beyond one large buffer, and fields beyond all four, get 400 as in nginx."""
    serve(weir)
    big = "B: " + "c" * 7900
    assert wire.ask(weir.port, head("GET / HTTP/1.1", big, big, big)).status == 200
    messages = {
        "one field": head("GET / HTTP/1.1", "B: " + "c" * 9000),
        "five fields": head("GET / HTTP/1.1", *[big] * 5),
        "a name": head("GET / HTTP/1.1", "c" * 9000 + ": b"),
        "100 000 fields": head("GET / HTTP/1.1", *["B: c"] * 100_000),
    }
    assert wire.not_refused(weir.port, messages) == {}


@pytest.mark.directive("large_client_header_buffers")
def test_header_buffers_are_settable(weir):
    """large_client_header_buffers moves both limits."""
    serve(weir, server="client_header_buffer_size 512; large_client_header_buffers 2 1k;")
    assert wire.ask(weir.port, head(f"GET /{'a' * 900} HTTP/1.1", "B: " + "c" * 900)).status == 200
    assert wire.not_refused(weir.port, {"line": head(f"GET /{'a' * 1100} HTTP/1.1")}, (414,)) == {}
    assert wire.not_refused(weir.port, {"field": head("GET / HTTP/1.1", "B: " + "c" * 1100)}) == {}


@pytest.mark.directive("client_header_buffer_size")
@pytest.mark.parametrize("buffers", ["2 1k", "1 64", "1 1"])
def test_first_header_buffer_counts(weir, buffers):
    """A head that client_header_buffer_size holds needs none of the large ones; lines in one and in the other add up."""
    serve(weir, server=f"client_header_buffer_size 2k; large_client_header_buffers {buffers};")
    assert wire.ask(weir.port, head(f"GET /{'a' * 900} HTTP/1.1", "B: " + "c" * 900)).status == 200
    assert wire.ask(weir.port, head(f"GET /{'a' * 1900} HTTP/1.1")).status == 200
    assert wire.not_refused(weir.port, {"line": head(f"GET /{'a' * 2100} HTTP/1.1")}, (414,)) == {}
    more = wire.verdict(weir.port, head("GET / HTTP/1.1", "B: " + "c" * 1500, "D: " + "e" * 900, "Connection: close"))[0]
    assert more == (200 if buffers == "2 1k" else 400)


def test_body_too_large(weir):
    """client_max_body_size: 413 by length and by chunks, the limit itself is allowed, 0 means none."""
    locations = "location /free { client_max_body_size 0; handler echo; }"
    weir.start(config(ANSWERS + locations, http="client_max_body_size 1000;"))
    messages = {
        "length": post("/echo", "Content-Length: 1001", body=b"a" * 1001),
        "chunks": post("/echo", "Transfer-Encoding: chunked", body=chunked(b"a" * 1001, 100)),
    }
    assert wire.not_refused(weir.port, messages, (413,)) == {}
    unsent = wire.ask(weir.port, post("/echo", "Content-Length: 9223372036854775807"))
    assert (unsent.status, unsent.header("connection")) == (413, "close")
    for target, size in (("/echo", 1000), ("/free", 1_000_000)):
        assert wire.ask(weir.port, post(target, f"Content-Length: {size}", body=b"a" * size)).body == b"a" * size
        chunks = post(target, "Transfer-Encoding: chunked", body=chunked(b"a" * size, 100))
        assert wire.ask(weir.port, chunks).body == b"a" * size


def test_refusal_reaches_a_client_that_is_still_sending(weir):
    """A client that sends its whole body before it reads gets the 413, not a reset connection."""
    serve(weir, http="client_max_body_size 1k;")
    size = 5_000_000

    def late_reader(_):
        with weir.connect() as connection:
            connection.send(post("/echo", f"Content-Length: {size}"))
            for _ in range(0, size, 100_000):
                connection.send(b"a" * 100_000)
                take_time(0.002)
            return connection.response("POST").status, connection.until_close()
    assert set(wire.parallel(late_reader, range(8))) == {(413, b"")}


@pytest.mark.directive("keepalive_requests")
def test_keepalive_requests(weir):
    """The connection is closed after keepalive_requests answers, and the last says so."""
    serve(weir, server="keepalive_requests 3;")
    with weir.connect() as connection:
        fields = [connection.get("/").header("connection") for _ in range(3)]
        assert connection.until_close() == b""
    assert fields[-1] == "close" and "close" not in fields[:-1]


# ---- timeouts ---------------------------------------------------------------------------------------------

def test_keepalive_timeout(weir):
    """An idle connection is closed after keepalive_timeout, not before, and every request starts it anew."""
    serve(weir, server="keepalive_timeout 500ms;")
    with weir.connect() as connection:
        for _ in range(3):
            assert connection.get("/").status == 200
            take_time(0.3)
        assert connection.get("/").status == 200
        assert 0.4 < connection.closed_within(5) < weirlib.limit(1.5)


def test_keepalive_timeout_of_zero_and_its_header(weir):
    """keepalive_timeout 0 closes after each answer; its second value is told to the client."""
    weir.start(config(ANSWERS + """
        location /zero { keepalive_timeout 0; return 200; }
        location /told { keepalive_timeout 75s 20s; return 200; }
    """))
    with weir.connect() as connection:
        assert connection.get("/told").header("keep-alive") == "timeout=20"
        assert connection.get("/zero").header("connection") == "close"
        assert connection.until_close() == b""


def ended_as_timed_out(connection, within, step=None):
    """Whether the server ended the connection with 408 or silently, in the given span of seconds."""
    received = []
    connection.socket.settimeout(0.05)
    start = time.monotonic()
    while time.monotonic() - start < 10:
        try:
            step and step()
            received.append(connection.socket.recv(1 << 16))
        except TimeoutError:
            continue
        except OSError:
            received.append(b"")
        if received[-1] == b"":
            break
    first, last = within
    answer = b"".join(received)
    return first < time.monotonic() - start < weirlib.limit(last) and (not answer or b" 408 " in answer[:20])


@pytest.mark.directive("client_header_timeout")
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_client_header_timeout(weir, sent):
    """A client that does not finish its head within client_header_timeout is cut off."""
    serve(weir, http="client_header_timeout 600ms;")
    with weir.connect() as connection:
        connection.send(sent)
        assert ended_as_timed_out(connection, (0.4, 2))


@pytest.mark.directive("client_header_timeout")
def test_client_header_timeout_is_for_the_whole_head(weir):
    """Single bytes do not extend client_header_timeout."""
    serve(weir, http="client_header_timeout 600ms;")
    with weir.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nB: ")
        assert ended_as_timed_out(connection, (0.4, 2), step=lambda: connection.send(b"c"))


def test_client_header_timeout_after_keepalive(weir):
    """A second request that does not come to its end is cut off too, though the connection's idle time is longer."""
    serve(weir, http="client_header_timeout 600ms; keepalive_timeout 60s;")
    with weir.connect() as connection:
        assert connection.get("/").status == 200
        connection.send(b"GET / HTTP/1.1\r\n")
        assert ended_as_timed_out(connection, (0.4, 2))


@pytest.mark.directive("client_body_timeout")
@pytest.mark.parametrize("field", ["Content-Length: 10", "Transfer-Encoding: chunked"])
def test_client_body_timeout(weir, field):
    """A client that stops sending its body is cut off; one that only sends slowly is not."""
    serve(weir, http="client_body_timeout 500ms;")
    with weir.connect() as connection:
        connection.send(post("/echo", field, body=b"5\r\nab"))
        assert ended_as_timed_out(connection, (0.3, 2))
    with weir.connect() as connection:
        connection.send(post("/echo", "Content-Length: 8"))
        for byte in b"abcdefgh":
            take_time(0.15)
            connection.send(bytes([byte]))
        assert connection.response().body == b"abcdefgh"


@pytest.mark.directive("send_timeout")
def test_send_timeout(weir):
    """A client that stops reading is cut off after send_timeout, and nobody else waits for it."""
    weir.start(config("location / { root {tmp}/html; }", http="send_timeout 500ms;"))
    (weir.tmp / "html/big").write_bytes(bytes(30_000_000))
    (weir.tmp / "html/small").write_bytes(b"small")
    with weir.connect() as connection:
        connection.request("/big")
        assert weir.get("/small").body == b"small"
        let_pass(1.5)
        assert len(connection.until_close()) < 30_000_000
