"""gzip: every source of a body, every kind of client, what it costs."""

import gzip
import pathlib
import random
import time
import zlib

import pytest
from proxylib import CHUNKS, OK, answer, backend, narrow, rss_bytes  # noqa: F401 - a fixture
from weirlib import SLOW_BUILD, Connection, config, let_pass, limit, take_time, turns, wait_until
from wire import ask, head, parallel

LINE = "a line of a text that compresses well, and number {}\n"
SMALL = "".join(LINE.format(i) for i in range(20)).encode()
BIG = "".join(LINE.format(i) for i in range(40000)).encode()
WORDS = random.Random(1)
DENSE = "".join(f"{WORDS.getrandbits(256):x}\n" for _ in range(30000)).encode()  # to about the half
TYPE = "Content-Type: text/html"
HTML = "types { text/html html; } default_type text/html; root {tmp}/html; gzip on; gzip_types *; client_max_body_size 10m;"


def pieces(body, size=7001):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i:i + size] for i in range(0, len(body), size))) + b"0\r\n\r\n"


def reply_to(call):
    body = BIG if "big" in call.target else DENSE if "dense" in call.target else SMALL
    if "chunks" in call.target:
        return CHUNKS[:-2] + TYPE.encode() + b"\r\n\r\n" + pieces(body)
    if "close" in call.target:
        call.send(OK + TYPE.encode() + b"\r\nConnection: close\r\n\r\n" + (b"" if call.method == "HEAD" else body))
        return call.close()
    if "cut" in call.target:
        call.send(CHUNKS[:-2] + TYPE.encode() + b"\r\n\r\n" + pieces(body)[:-5])
        return call.close()
    if "accel" in call.target:
        return answer(b"", TYPE, "X-Accel-Redirect: /own/big.html")
    return answer(body, TYPE)


@pytest.fixture
def start(weir, backend):
    for name, body in {"small": SMALL, "big": BIG, "dense": DENSE}.items():
        path = weir.write("", f"html/{name}.html")
        path.write_bytes(body)
    (weir.tmp / "html/own").symlink_to(weir.tmp / "html")
    up = backend(reply_to)

    def go(more="", **parts):
        weir.expect_log("No such file|prematurely|upstream|shorter")
        weir.start(config(HTML + more + f"location /p {{ proxy_pass http://{up.address}; }} location /pf {{ proxy_buffers 4 8k; proxy_pass http://{up.address}; }}"
                          f"location /pu {{ proxy_buffering off; proxy_pass http://{up.address}; }} location /own {{ internal; gzip_comp_level 9; }}"
                          "location /r { return 200 \"" + SMALL.decode() + "\"; } location /e404 { return 404; } location /e403 { return 403; }"
                          "location /echo { handler echo; } location / { } location /page { error_page 404 /big.html; }", **parts))
        return weir
    return go


SOURCES = {"/small.html": SMALL, "/big.html": BIG, "/dense.html": DENSE, "/r": SMALL, "/p/len": SMALL, "/p/big": BIG, "/p/dense": DENSE,
           "/p/chunks": SMALL, "/p/bigchunks": BIG, "/p/bigclose": BIG, "/pf/bigchunks": BIG, "/pf/dense": DENSE, "/pu/bigclose": BIG,
           "/pu/dense": DENSE, "/p/accel": BIG, "/page": BIG, "/e404": None, "/e403": None}


def unpacked(reply):
    assert reply.header("Content-Encoding") == "gzip" and reply.header("Content-Length") is None, reply.headers
    stream = zlib.decompressobj(31)
    body = stream.decompress(reply.body)
    assert stream.eof and not stream.unused_data
    return body


@pytest.mark.parametrize("level", [1, 9])
@pytest.mark.parametrize("more", ["sendfile on;", "sendfile off;", "limit_rate 2m;"])
def test_every_source_on_one_connection(start, level, more):
    weir = start(f"gzip_comp_level {level}; {more}")
    with weir.connect(timeout=20) as c:
        for target, body in SOURCES.items():
            c.send(head(f"GET {target} HTTP/1.1", "Accept-Encoding: gzip") + head(f"GET {target} HTTP/1.1") +
                   head(f"HEAD {target} HTTP/1.1", "Accept-Encoding: gzip"))
            packed, plain, only_head = c.response(), c.response(), c.response("HEAD")
            assert unpacked(packed) == plain.body == (body or plain.body) and plain.header("Content-Encoding") is None, target
            assert only_head.status == packed.status == plain.status and only_head.header("Content-Encoding") == "gzip", target
            assert not only_head.body and only_head.header("Content-Length") is None, target
        for body in (SMALL, BIG):
            c.request("/echo", "POST", [("Accept-Encoding", "gzip"), ("Content-Type", "text/html")], body)
            assert unpacked(c.response("POST")) == body


@pytest.mark.http1_only
@pytest.mark.directive("gzip_http_version")
@pytest.mark.parametrize("target", SOURCES)
def test_old_clients(start, target):
    """HTTP/1.0: nothing compressed by default; with gzip_http_version 1.0 up to the end of the connection."""
    weir = start("location /v { gzip_http_version 1.0; rewrite ^/v(.*) $1 break; }")
    old = f"GET {target} HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
    with weir.connect() as c:
        c.send(old)
        fields, _, body = c.until_close().partition(b"\r\n\r\n")
    assert b"Content-Encoding" not in fields and b"chunked" not in fields and body == (SOURCES[target] or body)
    if target.endswith(".html"):
        with weir.connect() as c:
            c.send(old.replace("GET ", "GET /v").replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"))
            fields, _, body = c.until_close().partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in fields and b"chunked" not in fields and gzip.decompress(body) == SOURCES[target]


def test_conditions_and_ranges(start):
    weir = start("gzip_vary on;")
    packed = weir.get("/big.html", headers=[("Accept-Encoding", "gzip")])
    tag, modified = packed.header("ETag"), packed.header("Last-Modified")
    with weir.connect() as c:
        for fields, status in ([("If-None-Match", tag)], 304), ([("If-Modified-Since", modified)], 304), ([("Range", "bytes=5-9")], 200), \
                ([("Range", "bytes=5-9"), ("If-Range", tag)], 200), ([("If-Match", '"no"')], 412), ([("Range", "bytes=99999999-")], 200), \
                ([("Range", "bytes=0-1,5-9")], 200):
            reply = c.get("/big.html", [("Accept-Encoding", "gzip"), *fields])
            assert reply.status == status, fields
            if status == 304:
                assert not reply.body and reply.header("Content-Encoding") is None
            if status == 200:
                assert unpacked(reply) == BIG


def test_an_answer_that_is_cut_is_not_whole(start):
    weir = start()
    with weir.connect() as c:
        c.send(head("GET /p/bigcut HTTP/1.1", "Accept-Encoding: gzip"))
        assert not c.until_close().endswith(b"0\r\n\r\n")
    assert unpacked(weir.get("/p/big", headers=[("Accept-Encoding", "gzip")])) == BIG


def test_a_file_that_shrinks(start):
    weir = start("limit_rate 100k;")
    path = weir.tmp / "html/dense.html"
    with weir.connect() as c:
        c.send(head("GET /dense.html HTTP/1.1", "Accept-Encoding: gzip"))
        c.socket.recv(1000)
        with open(path, "r+b") as file:
            file.truncate(1000)
        assert not c.until_close().endswith(b"0\r\n\r\n")
    assert weir.get("/small.html").body == SMALL


@pytest.mark.parametrize("target", ["/dense.html", "/p/dense", "/pf/dense", "/pu/dense"])
def test_rate(start, target):
    weir = start("limit_rate 400k; gzip_comp_level 1;")
    begun = time.monotonic()
    reply = weir.get(target, headers=[("Accept-Encoding", "gzip")], timeout=30)
    took = time.monotonic() - begun
    assert unpacked(reply) == DENSE and took > len(reply.body) / 400e3 - 0.5


@pytest.mark.directive("gzip_comp_level")
def test_a_higher_level_makes_it_smaller(start):
    weir = start("gzip_comp_level 1; location /nine/ { alias {tmp}/html/; gzip_comp_level 9; }")
    (weir.tmp / "html/text.html").write_bytes(b"".join(b"%d %d," % (i, i * i % 977) for i in range(5000)))
    fast, small = (weir.get(target, headers=[("Accept-Encoding", "gzip")]) for target in ("/text.html", "/nine/text.html"))
    assert unpacked(fast) == unpacked(small) and len(small.body) < len(fast.body)


def open_at(port):
    """How many connections the server still has at its port: established, or left by the client only."""
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] in ("01", "08") for line in lines)


@pytest.mark.parametrize("target", ["/dense.html", "/p/dense", "/pf/dense", "/pu/dense"])
def test_slow_clients_and_those_that_leave(start, target):
    weir = start()
    assert unpacked(weir.get(target, headers=[("Accept-Encoding", "gzip")])) == DENSE

    def slow(i):
        with narrow(weir.port, 30) as c:
            c.send(head(f"GET {target} HTTP/1.1", "Accept-Encoding: gzip"))
            if i % 3 == 0:
                return c.socket.recv(700) != b""
            data = b""
            while not data.endswith(b"0\r\n\r\n"):
                data += c.socket.recv(20000)
                take_time(0.001)
            c.unread = data
            return unpacked(c.response()) == DENSE
    assert all(parallel(slow, range(12)))
    wait_until(lambda: open_at(weir.port) == 0, 5, "everything is closed")


@pytest.mark.directive("gzip_comp_level")
@pytest.mark.parametrize("which", ["client_header_timeout", "keepalive_timeout", "send_timeout"])
def test_a_long_answer_to_a_quick_client(start, which):
    """Time limits are for clients that take nothing, not for how long an answer takes."""
    weir = start(f"gzip_comp_level 9; {which} 1s;")
    body = DENSE * 20
    (weir.tmp / "html/long.html").write_bytes(body)
    with weir.connect(timeout=30) as c:
        if which == "keepalive_timeout":
            assert c.get("/small.html").body == SMALL
        begun = time.monotonic()
        c.send(head("GET /long.html HTTP/1.1", "Accept-Encoding: gzip"))
        assert unpacked(c.response()) == body
        assert time.monotonic() - begun > 1.2, "too quick to tell"


def test_a_client_that_takes_nothing_is_left(start):
    weir = start("send_timeout 1s;")
    with narrow(weir.port) as c:
        c.send(head("GET /dense.html HTTP/1.1", "Accept-Encoding: gzip"))
        let_pass(limit(2.5))
        c.socket.settimeout(limit(5))
        assert not c.until_close().endswith(b"0\r\n\r\n")


def test_others_are_answered_meanwhile(start):
    weir = start("gzip_comp_level 9;")
    (weir.tmp / "html/long.html").write_bytes(DENSE * 20)
    with weir.connect(timeout=30) as c, weir.connect() as other:
        c.send(head("GET /long.html HTTP/1.1", "Accept-Encoding: gzip"))
        c.socket.recv(100)
        worst = 0
        for _ in range(10):
            begun = time.monotonic()
            assert other.get("/small.html").status == 200
            worst = max(worst, time.monotonic() - begun)
            c.socket.recv(200000)
        assert worst < limit(0.5)


@pytest.mark.skipif(SLOW_BUILD, reason="sanitizers keep memory")
@pytest.mark.parametrize("target", ["/dense.html", "/p/dense"])
def test_memory_of_many_slow_downloads(start, target):
    weir = start("proxy_buffers 4 4k; proxy_max_temp_file_size 0;", connections=1200)
    pid = next(iter(weir.worker_pids()))
    weir.get(target, headers=[("Accept-Encoding", "gzip")])
    before = rss_bytes(pid)
    for _ in range(3):
        clients = [narrow(weir.port, 30) for _ in range(300)]
        for c in clients:
            c.send(head(f"GET {target} HTTP/1.1", "Accept-Encoding: gzip"))
        for c in clients:
            assert c.socket.recv(300)
        during = rss_bytes(pid)
        for c in clients:
            c.close()
        assert during - before < 300 * 700e3
        wait_until(lambda: rss_bytes(pid) - before < 40e6, 8, "the memory is given back")
    assert unpacked(weir.get(target, headers=[("Accept-Encoding", "gzip")])) == DENSE


def test_reload_while_it_is_sent(start):
    weir = start("limit_rate 1m;")
    with weir.connect(timeout=30) as c:
        c.send(head("GET /dense.html HTTP/1.1", "Accept-Encoding: gzip"))
        assert c.begun()
        weir.reload(weir.conf.read_text().replace("gzip on;", "gzip off;"))
        assert unpacked(c.response()) == DENSE
    assert ask(weir.port, head("GET /big.html HTTP/1.1", "Accept-Encoding: gzip")).body == BIG


def test_handlers_small_answers_stay_as_they_are(start):
    weir = start("location /sleep { handler sleep; }", pool="threads=2")
    with Connection(weir.port) as c:
        c.send(head("GET /sleep?ms=100 HTTP/1.1", "Accept-Encoding: gzip") * 3)
        assert [c.response().text for _ in range(3)] == ["slept 100 ms\n"] * 3  # shorter than gzip_min_length


def test_after_a_rest(weir):
    """A worker that has given memory back while nothing happened compresses as before."""
    weir.start(config("gzip on; gzip_min_length 0; default_type text/html; location / { return 200 aaaaaaaaaaaaaaaaaaaa; }"))
    [worker] = weir.wait_workers(1)
    with weir.connect() as client:
        for _ in range(2):
            for _ in range(6):
                reply = client.get("/", headers=[("Accept-Encoding", "gzip")])
                assert gzip.decompress(reply.body) == b"a" * 20
            heartbeats = turns(worker) + 3  # it wakes for nothing else
            wait_until(lambda: turns(worker) >= heartbeats, 10, "heartbeats")
