"""gzip, gzip_static and gzip_disable: which answers to whom are compressed, and what their heads say."""

import gzip
import time
import zlib

import pytest
from mistakes import FLAG, PARENTHESIS, arguments, bounds, value
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config
from wire import ask, head

TEXT = "".join(f"line {i} of a text that compresses well\n" for i in range(3000))
ACCEPT = [("Accept-Encoding", "gzip, deflate")]


def plain(reply):
    assert reply.header("Content-Encoding") == "gzip" and reply.header("Accept-Ranges") is None
    return gzip.decompress(reply.body).decode()


# ---- what is compressed ------------------------------------------------------------------------------------

@pytest.fixture
def files(weir):
    for name, text in {"t.html": TEXT, "t.txt": TEXT, "t.json": TEXT, "small.html": "tiny", "big.html": TEXT * 40}.items():
        weir.write(text, "html/" + name)
    weir.write("types { text/html html; text/plain txt; application/json json; }", "conf/types")
    return "root {tmp}/html; include types; gzip on;"


@pytest.mark.parametrize("more,name,compressed", [
    ("", "t.html", True), ("", "t.txt", False), ("gzip_types text/plain;", "t.txt", True), ("gzip_types *;", "t.json", True),
    ("", "small.html", False), ("gzip_min_length 1;", "small.html", True), ("gzip off;", "t.html", False),
    ("gzip_min_length 1m;", "t.html", False), ("gzip_comp_level 9;", "t.html", True), ("", "big.html", True),
    ("sendfile on;", "big.html", True), ("gzip_disable msie6; gzip_buffers 16 8k;", "t.html", True)])
def test_files(weir, files, more, name, compressed):
    weir.start(config(files.replace("gzip on;", "" if "gzip off" in more else "gzip on;") + more))
    text = (weir.tmp / "html" / name).read_text()
    reply = weir.get("/" + name, headers=ACCEPT)
    assert (plain(reply) if compressed else reply.text) == text
    assert weir.get("/" + name).text == text and weir.get("/" + name).header("Content-Encoding") is None
    assert len(reply.body) < len(text) / 5 if compressed and len(text) > 1000 else True


@pytest.mark.parametrize("field,compressed", [("gzip", True), ("GZIP;q=0.5", True), ("*", True), ("gzip;q=0", False),
                                              ("gzip; q=0.000", False), ("deflate, br", False), ("identity;q=1, *;q=0", False),
                                              ("br, gzip", True), ("xgzip", False), ("gzip;q=0.01", True), ("", False)])
def test_accept_encoding(weir, files, field, compressed):
    weir.start(config(files))
    reply = weir.get("/t.html", headers=[("Accept-Encoding", field)])
    assert (reply.header("Content-Encoding") == "gzip") == compressed


@pytest.mark.directive("gzip_vary")
def test_validators_and_vary(weir, files):
    weir.start(config(files + "gzip_vary on;"))
    full, small = weir.get("/t.html"), weir.get("/t.html", headers=ACCEPT)
    assert small.header("ETag") == "W/" + full.header("ETag") and small.header("Vary") == full.header("Vary") == "Accept-Encoding"
    assert small.header("Content-Length") is None
    again = weir.get("/t.html", headers=[*ACCEPT, ("If-None-Match", small.header("ETag"))])
    assert again.status == 304 and not again.body
    part = weir.get("/t.html", headers=[*ACCEPT, ("Range", "bytes=0-9")])
    assert part.status == 200 and plain(part) == TEXT and part.header("Accept-Ranges") is None


@pytest.mark.http1_only
def test_head_and_old_clients(weir, files):
    weir.start(config(files))
    assert weir.get("/t.html", method="HEAD", headers=ACCEPT).header("Content-Encoding") == "gzip"
    with weir.connect() as c:
        c.send(b"GET /t.html HTTP/1.0\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
        assert b"Content-Encoding" not in c.until_close()


@pytest.mark.directive("gzip_proxied")
@pytest.mark.parametrize("mask,compressed", [("off", False), ("any", True), ("no-cache no-store", True), ("no_etag", False),
                                             ("auth", True), ("expired", True)])
def test_gzip_proxied(weir, files, mask, compressed):
    weir.start(config(files + f"gzip_proxied {mask};"))
    reply = weir.get("/t.html", headers=[*ACCEPT, ("Via", "1.1 x"), ("Authorization", "Basic eA==")])
    assert (reply.header("Content-Encoding") == "gzip") == compressed


def test_upstreams_answers(weir, backend):
    up = backend(lambda call: {"/len": answer(TEXT.encode(), "Content-Type: text/html"),
                               "/done": answer(gzip.compress(b"x" * 100), "Content-Type: text/html", "Content-Encoding: gzip"),
                               "/chunks": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                          b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in [TEXT[i:i + 999].encode() for i in range(0, len(TEXT), 999)]) +
                                          b"0\r\n\r\n",
                               "/500": answer(b"e" * 100, "Content-Type: text/html", status="500 No")}[call.target])
    weir.start(config(f"gzip on; location / {{ proxy_pass http://{up.address}; }}"))
    assert plain(weir.get("/len", headers=ACCEPT)) == TEXT == plain(weir.get("/chunks", headers=ACCEPT))
    assert plain(weir.get("/done", headers=ACCEPT)) == "x" * 100  # once only
    assert weir.get("/500", headers=ACCEPT).header("Content-Encoding") is None


def test_a_stream_is_not_held_up(weir, backend):
    """What the upstream has said is with the client before it says more."""
    def reply(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst \r\n")
        go.wait(10)
        call.send(b"6\r\nsecond\r\n0\r\n\r\n")
    import threading
    go = threading.Event()
    up = backend(reply)
    weir.start(config(f"gzip on; location / {{ proxy_pass http://{up.address}; }}"))
    with weir.connect() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
        got, unpack, text = b"", zlib.decompressobj(31), b""

        def body():
            data = got.split(b"\r\n\r\n", 1)[1] if b"\r\n\r\n" in got else b""
            out, unpack = b"", zlib.decompressobj(31)
            while b"\r\n" in data:
                size, data = data.split(b"\r\n", 1)
                out += unpack.decompress(data[:int(size, 16)])
                data = data[int(size, 16) + 2:]
            return out
        deadline = time.time() + 5
        while body() != b"first " and time.time() < deadline:
            got += c.socket.recv(1000)
        assert body() == b"first "
        go.set()
        while not got.endswith(b"0\r\n\r\n"):
            got += c.socket.recv(1000)
        assert body() == b"first second"


@pytest.mark.directive("gzip_types")
def test_handlers_answers(weir):
    weir.start(config("gzip on; gzip_types *; location /echo { handler echo; }", pool="threads=2"))
    reply = weir.get("/echo", method="POST", headers=ACCEPT, body=TEXT.encode())
    assert plain(reply).endswith(TEXT) if reply.header("Content-Encoding") else False


@pytest.mark.directive("gzip_static")
def test_gzip_static(weir):
    weir.write("plain", "html/a.css")
    (weir.tmp / "html/a.css.gz").write_bytes(gzip.compress(b"from the file"))
    weir.write("only", "html/b.css")
    weir.write("types { text/css css; }", "conf/types")
    weir.start(config("root {tmp}/html; include types; gzip_static on; gzip_vary on; location /always/ { alias {tmp}/html/; gzip_static always; }"))
    small = weir.get("/a.css", headers=ACCEPT)
    assert plain_of(small) == "from the file" and small.header("Content-Type") == "text/css" and small.header("Vary")
    assert weir.get("/a.css").text == "plain" and weir.get("/b.css", headers=ACCEPT).text == "only"
    assert plain_of(weir.get("/always/a.css")) == "from the file"


# ---- gzip_disable -----------------------------------------------------------------------------------------

AGENTS = ["foo/3", "FOO/3", "foo/5", "bar", "MSIE 6.0", "a MSIE 6.0x", "MSIE 5.5 SV1", "MSIE 4.0", "MSIE 3.0", "MSIE 6.0 SV1", "MSIE 6.0SV1",
          "MSIE 6.SV1", "msie 6.0", "MSIE 6.", "MSIE ", "MSIE 7.0", "", None]
MSIE6 = {"MSIE 6.0", "a MSIE 6.0x", "MSIE 5.5 SV1", "MSIE 4.0", "MSIE 6.SV1"}
DISABLED = {"/": {"foo/3", "FOO/3", *MSIE6}, "/own/": {"bar", *MSIE6}, "/lines/": {"foo/5", "bar"}, "/mask/": MSIE6, "/static/": {"foo/3", "FOO/3", *MSIE6},
            "/always/": set(), "/none/": set()}


@pytest.mark.directive("gzip", "gzip_disable")
def test_gzip_disable(weir, files):
    """As in nginx, msie6 is inherited where a level has expressions of its own, and expressions are not."""
    (weir.tmp / "html/t.html.gz").write_bytes(gzip.compress(TEXT.encode()))
    alias = "alias {tmp}/html/;"
    outer = 'gzip_disable "foo/[0-4]" msie6;'
    weir.start(config(f"{files} location / {{ {outer} gzip_vary on; location /own/ {{ {alias} gzip_disable bar; }} location /mask/ {{ {alias} gzip_disable msie6; }}"
                      f"location /static/ {{ {alias} gzip off; gzip_static on; }} location /always/ {{ {alias} gzip_static always; }} }}"
                      f"location /lines/ {{ {alias} gzip_disable ^bar$; gzip_disable foo/4 foo/5; }} location /none/ {{ {alias} }}"))
    def is_plain(target, agent):
        reply = weir.get(target + "t.html", headers=[*ACCEPT, *([("User-Agent", agent)] if agent is not None else [])])
        assert reply.status == 200 and (reply.header("Vary") or target in ("/lines/", "/always/", "/none/"))
        return reply.header("Content-Encoding") is None
    assert {target: {agent for agent in AGENTS if is_plain(target, agent)} for target in DISABLED} == DISABLED


@pytest.mark.directive("gzip_disable")
def test_gzip_disable_reads_the_first_agent(weir, files):
    weir.start(config(files + "gzip_disable foo;"))
    def coding(*agents):
        return weir.get("/t.html", headers=[*ACCEPT, *(("User-Agent", agent) for agent in agents)]).header("Content-Encoding")
    assert (coding("foo", "x"), coding("x", "foo")) == (None, "gzip")


@pytest.mark.directive("gzip_http_version", "gzip_proxied")
@pytest.mark.parametrize("more,fields,version,compressed", [
    pytest.param("", [], "1.0", False, marks=pytest.mark.http1_only), ("gzip_http_version 1.0;", [], "1.0", True), ("", ["Via: 1.1 x"], "1.1", False), ("gzip_proxied any;", ["Via: 1.1 x"], "1.1", True),
    ("gzip_proxied auth;", ["Via: 1.1 x", "Authorization: x"], "1.1", True), ("gzip_static always;", ["Via: 1.1 x"], "1.0", True)])
def test_gzip_static_asks_as_gzip_does(weir, files, more, fields, version, compressed):
    packed = gzip.compress(b"packed")  # with its time
    (weir.tmp / "html/t.html.gz").write_bytes(packed)
    weir.start(config(files.replace("gzip on;", "" if "gzip_static" in more else "gzip_static on;") + more))
    reply = ask(weir.port, head(f"GET /t.html HTTP/{version}", "Accept-Encoding: gzip", *fields))
    assert (reply.header("Content-Encoding") == "gzip") == compressed
    assert reply.body == packed if compressed else reply.text == TEXT


def plain_of(reply):
    assert reply.header("Content-Encoding") == "gzip"
    return gzip.decompress(reply.body).decode()


WRONG = {
    "gzip maybe;": value("gzip", "maybe", FLAG),
    "gzip_comp_level 10;": bounds("gzip_comp_level", "10", 1, 9),
    "gzip_types;": arguments("gzip_types", "at least 1"),
    "gzip_proxied some;": value("gzip_proxied", "some", "off | expired | no-cache | no-store | private | no_last_modified | no_etag | auth | any"),
    "gzip_static never;": value("gzip_static", "never", "off | on | always"),
    "gzip_http_version 2;": value("gzip_http_version", "2", "1.0 | 1.1"),
    'gzip_disable "(";': PARENTHESIS,
    "gzip_disable msie6 *;": 'pcre2_compile() failed: quantifier does not follow a repeatable item in "*" at offset 0',
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG[wrong])
