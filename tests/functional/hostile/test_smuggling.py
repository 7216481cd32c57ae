"""Requests made to be read in two ways, through weir to a backend that h11 reads for.

Either weir refuses and closes, or the backend sees just what the client means; a request follows each.
"""

import threading

import h11
import pytest
from proxylib import Gone, answer, backend, passed  # noqa: F401 - a fixture
from weirlib import Connection, config, take_time, wait_until
from wire import GOOD, head

A, H = "POST /a HTTP/1.1\r\nHost: a\r\n", "Host: a\r\n"
FIVE, FIVE_CHUNKED = "\r\nhello", "\r\n5\r\nhello\r\n0\r\n\r\n"
CHUNKED = A + "Transfer-Encoding: chunked\r\n"
UPGRADE = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
ASK = ("Connection: Upgrade", "Upgrade: x")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
EVIL = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
TE_CL = "\r\n0\r\n\r\n" + EVIL

REFUSED = {name: text for name, text in [
    # Both framings, or one that is not clear.
    ("CL and TE", A + f"Content-Length: {len(EVIL) + 5}\r\nTransfer-Encoding: chunked\r\n" + TE_CL),
    ("TE and CL", CHUNKED + "Content-Length: 4\r\n\r\n1e\r\n" + EVIL + "\r\n0\r\n\r\n"),
    ("CL 0 and TE", A + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" + TE_CL),
    ("TE with HTTP/1.0", A.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n" + FIVE_CHUNKED),
    *[(f"TE {value!r}", A + f"Transfer-Encoding: {value}\r\n" + FIVE_CHUNKED) for value in (
        "chunked, chunked", "identity", "gzip, chunked", "chunked, identity", "xchunked", "chunkedx", '"chunked"',
        "chunked;q=1", "chunked,", ",chunked", "\x0bchunked", "chunked\0", "chunked\r", "chun\tked", "\x85chunked", "",
        "identity, chunked", "cow")],
    ("TE twice", CHUNKED + "Transfer-Encoding: chunked\r\n" + FIVE_CHUNKED),
    ("TE and TE identity", CHUNKED + "Transfer-Encoding: identity\r\n" + FIVE_CHUNKED),
    ("TE cow and TE", A + "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n" + FIVE_CHUNKED),
    *[(f"CL {value!r}", A + f"Content-Length: {value}\r\n" + FIVE) for value in (
        "+5", "-5", "-0", "5,5", "5, 5", "0x5", "5 5", "", "5a", "1e0", "5.0", "\x0b5", "5\0", "5\r", "5;", "'5'", "٥",
        "18446744073709551616", "18446744073709551621", "9223372036854775808", "9" * 40)],
    ("CL twice", A + "Content-Length: 5\r\nContent-Length: 5\r\n" + FIVE),
    ("CL twice, others", A + "Content-Length: 0\r\nContent-Length: 5\r\n" + FIVE),
    # Fields.
    *[(f"field {line!r}", A + line + "\r\nContent-Length: 5\r\n" + FIVE) for line in (
        "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked", "X: y\r\n\tz", "Transfer-Encoding:\r\n chunked",
        "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "X: y\r\rTransfer-Encoding: chunked",
        "X: y\0", "X\0: y", "X", ": y", "X Y: z", "(X): y", "X\x7f: y", "X\xe9: y", "X: y\x01", "X: y\x7f", "X:y\r\n ",
        "Content-Length : 0", "Content-Length\0: 0", "Content-Length:\r\n 0", "\x0bTransfer-Encoding: chunked",
        "Transfer-Encoding\x0b: chunked", '"Transfer-Encoding": chunked', "Host: b", "Host : a")],
    ("fold before the first field", "GET / HTTP/1.1\r\n Content-Length: 5\r\n" + H + FIVE),
    ("CR CR LF", "GET / HTTP/1.1\r\r\n" + H + "\r\n"),
    ("CR LF CR", "GET / HTTP/1.1\r\n" + H + "\r" + EVIL),
    ("no Host", "GET / HTTP/1.1\r\n\r\n"),
    *[(f"Host {value!r}", f"GET / HTTP/1.1\r\nHost: {value}\r\n\r\n") for value in (
        "", "a b", "a/b", "a@b", "a,b", "a:80:81", "a:x", "a?b", "a#b", "[::1", "a\tb", "a\\b")],
    # Request lines.
    *[(f"line {line!r}", f"{line}\r\n{H}\r\n") for line in (
        "GET / HTTP/1.1 ", "GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET\t/\tHTTP/1.1",
        "GET / HTTP/2.0", "GET / HTTP/1.10", "GET / HTTP/01.1", "GET / http/1.1", "GET / HTTP/1,1", "GET / HTTP/0.9",
        "GET /", "GET", "get / HTTP/1.1", "GET / HTTP/1.1\0", "GET /a b HTTP/1.1", "GET /a\tb HTTP/1.1",
        "GET /a\0 HTTP/1.1", "GET * HTTP/1.1",
        "GET /a\x0bHTTP/1.1", "GET a HTTP/1.1", "CONNECT b:80 HTTP/1.1", "TRACE / HTTP/1.1", "PRI * HTTP/2.0",
        "GET ftp://b/ HTTP/1.1", "GET http:///x HTTP/1.1", "GET http://a@b/ HTTP/1.1", "GET http://b c/ HTTP/1.1",
        "GET / HTTP/1.1 HTTP/1.1", "GET /%00 HTTP/1.1", "GET /../.. HTTP/1.1", "G,T / HTTP/1.1")],
    # Chunks.
    *[(f"chunk {text[:40]!r}", CHUNKED + "\r\n" + text) for text in (
        f"{size}\r\nhello\r\n0\r\n\r\n" for size in (
            "5 ", " 5", "0x5", "+5", "-5", "", "5_", "5h", "5\t", "5 ;x", "5;\0", "5;a\nb", "5;a\rb", "5\n", "5\r",
            "\n5", "FFFFFFFFFFFFFFFF", "8000000000000005", "10000000000000005", "0" * 16 + "5", "5;" + "x" * 9000,
            "5,5", "5\x0b"))],
    *[(f"chunks {text[:40]!r}", CHUNKED + "\r\n" + text) for text in (
        "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n", "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n\r\n0\r\n\r\n",
        "0\r\n" + EVIL, "0\r\nX : y\r\n\r\n", "0\r\nX\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX: y\n\r\n", "0\r\nX: \0\r\n\r\n", "0\r\n: y\r\n\r\n", "0\r\n" + "X: yyyyyyyyyy\r\n" * 5000 + "\r\n",
        "0\r\rX", "0\r\n\rX")]]}

POST, GET = ("POST", "/a", b"hello"), ("GET", "/evil", b"")
LENGTH = A + "Content-Length: 5\r\n"


def got(target):
    return "GET", target, b""


MEANT = {  # what the client means
    "length": (LENGTH + FIVE, [POST]),
    "length, then another": (LENGTH + FIVE + EVIL, [POST, GET]),
    "length 05": (A + "Content-Length: 05\r\n" + FIVE, [POST]),
    "length without a blank": (A + "cOnTeNt-lEnGtH:5\r\n" + FIVE, [POST]),
    "length between tabs": (A + "Content-Length: \t5 \t\r\n" + FIVE, [POST]),
    "length that holds a request": (A + f"Content-Length: {len(EVIL)}\r\n\r\n" + EVIL, [("POST", "/a", EVIL.encode())]),
    "length 0": (A + "Content-Length: 0\r\n\r\n" + EVIL, [("POST", "/a", b""), GET]),
    "no length": (A + "\r\n" + EVIL, [("POST", "/a", b""), GET]),
    "GET with a body": (LENGTH.replace("POST", "GET") + FIVE + EVIL, [("GET", "/a", b"hello"), GET]),
    "HEAD with a body": (LENGTH.replace("POST", "HEAD") + FIVE + EVIL, [("HEAD", "/a", b"hello"), GET]),
    "chunks": (CHUNKED + FIVE_CHUNKED + EVIL, [POST, GET]),
    "chunks that hold a request": (CHUNKED + f"\r\n{len(EVIL):x}\r\n{EVIL}\r\n0\r\n\r\n",
                                   [("POST", "/a", EVIL.encode())]),
    "chunks that hold chunks": (CHUNKED + "\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n" + EVIL,
                                [("POST", "/a", b"0\r\n\r\n"), GET]),
    "no chunk": (CHUNKED + "\r\n0\r\n\r\n" + EVIL, [("POST", "/a", b""), GET]),
    "DELETE with chunks": (CHUNKED.replace("POST", "DELETE") + FIVE_CHUNKED + EVIL, [("DELETE", "/a", b"hello"), GET]),
    "TE CHUNKED": (A + "tRANSFER-eNCODING:\tCHUNKED \r\n" + FIVE_CHUNKED, [POST]),
    "extension": (CHUNKED + '\r\n5;a=b;c="d e\\"f"\r\nhello\r\n0;x\r\n\r\n' + EVIL, [POST, GET]),
    "size 00005, end 000": (CHUNKED + "\r\n00005\r\nhello\r\n000\r\n\r\n" + EVIL, [POST, GET]),
    "trailers": (CHUNKED + "\r\n5\r\nhello\r\n0\r\nX: y\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: b\r\n\r\n"
                 + EVIL, [POST, GET]),
    "Transfer_Encoding": (LENGTH + "Transfer_Encoding: chunked\r\n" + FIVE + EVIL, [POST, GET]),
    "Content_Length": (CHUNKED + "Content_Length: 99\r\n" + FIVE_CHUNKED + EVIL, [POST, GET]),
    "X-Content-Length": (LENGTH + "X-Content-Length: 99\r\nContent-Length-X: 1\r\n" + FIVE + EVIL, [POST, GET]),
    "Connection names the length": (LENGTH + "Connection: Content-Length, Host\r\n" + FIVE + EVIL, [POST, GET]),
    "Connection names the encoding": (CHUNKED + "Connection: transfer-encoding\r\n" + FIVE_CHUNKED + EVIL, [POST, GET]),
    "TE, Trailer, Upgrade": (LENGTH + "TE: chunked\r\nTrailer: Content-Length\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
                             "Connection: Upgrade, HTTP2-Settings\r\n" + FIVE + EVIL, [POST, GET]),
    "Expect of something": (LENGTH + "Expect: 200-ok\r\n" + FIVE + EVIL, [POST, GET]),
    "empty line first": ("\r\n" + LENGTH + FIVE + "\r\n" + EVIL, [POST, GET]),
    "absolute": ("GET http://b/x HTTP/1.1\r\n" + H + "\r\n", [got("/x")]),
    "absolute, with a port": ("GET HTTP://b:8080/x?y HTTP/1.1\r\n" + H + "\r\n", [got("/x?y")]),
    "absolute without a path": ("GET http://b HTTP/1.1\r\n" + H + "\r\n", [got("/")]),
    "absolute with a query only": ("GET http://b?x HTTP/1.1\r\n" + H + "\r\n", [got("/?x")]),
    "two slashes": ("GET //b/x HTTP/1.1\r\n" + H + "\r\n", [got("//b/x")]),
    "HTTP/1.2": ("GET /x HTTP/1.2\r\n" + H + "\r\n", [got("/x")]),
    "encoded line end": ("GET /x%0d%0aHost:%20b HTTP/1.1\r\n" + H + "\r\n", [got("/x%0d%0aHost:%20b")]),
    "encoded blank": ("GET /x%20HTTP/1.1 HTTP/1.1\r\n" + H + "\r\n", [got("/x%20HTTP/1.1")]),
    "high bytes in a value": ("GET /x HTTP/1.1\r\nX: \xe9\xff\r\n" + H + "\r\n", [got("/x")]),
}


class Reader:
    """A backend's side, read by h11: whole requests are in `seen`, and each answer repeats its request."""

    def __init__(self):
        self.seen, self.wrong = [], []

    def __call__(self, peer):
        side = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        while True:
            event = side.next_event()
            if event is h11.NEED_DATA:
                try:
                    peer.receive()
                except Gone:
                    return  # in the middle of a request, too
                side.receive_data(peer.unread)
                peer.unread = b""
            elif isinstance(event, h11.Request):
                request, body = event, []
                host = [value for name, value in event.headers if name == b"host"]
                if len(host) != 1 or sum(name in (b"content-length", b"transfer-encoding")
                                         for name, _ in event.headers) > 1:
                    self.wrong.append(event)
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.seen.append((request.method.decode(), request.target.decode("latin-1"), b"".join(body)))
                said = b"" if request.method == b"HEAD" else repr(self.seen[-1]).encode()
                length = [("Content-Length", str(len(said)))]
                peer.send(b"".join([side.send(h11.Response(status_code=200, headers=length)),
                                    side.send(h11.Data(data=said)) or b"", side.send(h11.EndOfMessage()) or b""]))
                side.start_next_cycle()


def exchange(port, raw, pieces, expected):
    """Statuses, what the answers repeat, and whether nothing follows."""
    statuses, said = [], []
    with Connection(port, timeout=5) as client:
        try:
            for at in range(0, len(raw), pieces):
                client.send(raw[at:at + pieces])
        except OSError:
            pass  # refused before its end
        try:
            for method, *_ in expected or ["GET"]:
                reply = client.response(method)
                statuses.append(reply.status)
                said.append(reply.text)
            end = "open" if expected else client.until_close() or "closed"
        except (OSError, EOFError) as error:
            end = repr(error)
    return statuses, said, end


@pytest.fixture(params=["whole", "in pieces"])
def pieces(request):
    return 1 << 20 if request.param == "whole" else 3


@pytest.mark.timeout(200)
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_refused(weir, backend, buffering, pieces):
    reader, wrong = Reader(), {}
    passed(weir, backend(script=reader), f"proxy_request_buffering {buffering};")
    for name, text in REFUSED.items():
        raw = text.encode("utf-8" if "٥" in text else "latin-1") + GOOD
        statuses, _, end = exchange(weir.port, raw, 4096 if pieces == 3 and len(raw) > 5000 else pieces, None)
        if end != "closed" or statuses[0] not in (400, 405, 413, 414, 501, 505) or reader.seen:
            wrong[name] = statuses, end, reader.seen
        reader.seen = []
    assert not wrong and not reader.wrong and len(REFUSED) > 150


@pytest.mark.timeout(200)
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_understood(weir, backend, buffering, pieces):
    reader, wrong = Reader(), {}
    passed(weir, backend(script=reader), f"proxy_request_buffering {buffering};")
    for _ in range(2):  # over the connections that the first round has left
        for name, (text, meant) in MEANT.items():
            meant = [*meant, got("/after")]
            statuses, said, end = exchange(weir.port, text.encode("latin-1") + GOOD, pieces, meant)
            repeated = ["" if each[0] == "HEAD" else repr(each) for each in meant]
            if (statuses, said, end, reader.seen) != ([200] * len(meant), repeated, "open", meant):
                wrong[name] = statuses, end, reader.seen
            reader.seen = []
    assert not wrong and not reader.wrong


@pytest.mark.directive("proxy_pass_request_body")
@pytest.mark.parametrize("what", ["proxy_pass_request_body off;", 'proxy_set_body "mine";'])
@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_bodies_that_are_not_passed_on(weir, backend, what, buffering, framing):
    """However large, in memory or in a file: none of it reaches the upstream as something else."""
    reader, mine = Reader(), b"mine" if "set" in what else b""
    passed(weir, backend(script=reader), f"{what} proxy_request_buffering {buffering}; client_body_buffer_size 1k;")
    for count in (1, 20, 40, 3000):
        body = EVIL * count
        raw = A + f"Content-Length: {len(body)}\r\n\r\n{body}" if framing == "length" else \
            CHUNKED + f"\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n"
        meant = [("POST", "/a", mine), ("GET", "/after", mine)]
        statuses, *_ = exchange(weir.port, raw.encode() + GOOD, 1 << 20, meant)
        assert statuses == [200, 200]
        wait_until(lambda: len(reader.seen) >= 2, 2, "two requests")
        assert reader.seen == meant, count
        reader.seen = []


@pytest.mark.directive("proxy_method")
@pytest.mark.parametrize("client, sent", [("HEAD", "GET"), ("GET", "HEAD")])
def test_method_and_head(weir, backend, client, sent):
    """Whether an answer has a body is up to the method that was sent; late bytes of it are no other answer."""
    body = answer(b"EVIL")

    def reply(call):
        said = answer(body)
        call.send(said[:-len(body)])
        take_time(0.1)
        return said[-len(body):] if call.method == "GET" else None
    up = backend(reply)
    passed(weir, up, f"proxy_method {sent}; proxy_read_timeout 1s;", server="location /plain { proxy_pass http://"
           f"{up.address}; proxy_method GET; }}")
    with weir.connect() as one, weir.connect() as other:
        for _ in range(3):
            one.request("/", method=client)
            reply = one.response(client)
            assert (reply.status, reply.body) == (200, b"")
            assert other.get("/plain").body == body


def test_switch_without_having_been_asked(weir, backend):
    up = backend(SWITCH + answer())
    weir.start(config(f"location / {{ {UPGRADE} proxy_pass http://{up.address}; }}"
                      f"location /plain {{ proxy_pass http://{up.address}; }}"))
    assert weir.get().status == 502  # no Upgrade from the client
    assert weir.get("/plain", headers=[("Upgrade", "x")]).status == 502 and not up.call.all("Upgrade")


@pytest.mark.parametrize("status", ["200 OK", "426 Upgrade Required"])
def test_refused_upgrade(weir, backend, status):
    """An ordinary answer; both connections stay usable."""
    up = backend(answer(b"no", "Upgrade: y", "Connection: upgrade", status=status))
    passed(weir, up, UPGRADE)
    with weir.connect() as client:
        for _ in range(3):
            reply = client.get("/", headers=[("Connection", "upgrade"), ("Upgrade", "x")])
            assert (reply.status, reply.text) == (int(status[:3]), "no")
    assert up.accepts == 1


def pour(client):
    try:
        client.send(b"b" * 9000000)
    except OSError:
        pass  # refused


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_switch_before_the_request_is_sent(weir, backend, buffering):
    """Its rest must not be taken for the new protocol's bytes, nor be left out: 502."""
    up = backend(script=lambda peer: (peer.call(body=False), peer.send(SWITCH), take_time(1), peer.wait_gone()),
                 room=16 << 10)
    passed(weir, up, UPGRADE + f"proxy_request_buffering {buffering};")
    with weir.connect() as client:
        client.send(head("POST / HTTP/1.1", *ASK, "Content-Length: 9000000"))
        threading.Thread(target=pour, args=[client], daemon=True).start()
        assert client.response().status == 502
