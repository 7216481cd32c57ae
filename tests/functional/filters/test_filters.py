"""What an answer's body goes through: sub_filter, charset, gzip; and add_trailer behind it.

Every answer is read strictly: no chunk of length zero before the end, nothing behind it. Texts that are replaced are
compared with a model of a few lines, and conversions with Python's.
"""

import dataclasses
import gzip
import pathlib
import random
import subprocess
import time
import urllib.parse

import pytest
from proxylib import CHUNKS, OK, answer, backend, narrow, raw_answer, read_until, rss_bytes  # noqa: F401 - a fixture
from weirlib import BINARY, SLOW_BUILD, config, limit, take_time, watch
from wire import chunked, head, parallel

HTML = "types { text/html html; text/plain txt; } default_type text/html; root {tmp}/html; client_max_body_size 10m;"
ZIP = "Accept-Encoding: gzip"


# ---- reading ----------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Answer:
    status: int
    fields: list
    body: bytes
    trailers: list = dataclasses.field(default_factory=list)
    framed: int = 0  # the bytes of its chunks before the last, with their sizes

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def field(self, name):
        values = self.all(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def unpacked(self):
        assert self.field("Content-Encoding") == "gzip"
        return gzip.decompress(self.body)


def lines_of(raw):
    return [tuple(line.split(": ", 1)) for line in raw.decode("latin-1").split("\r\n") if line]


def take(raw, method="GET"):
    """The first answer in raw, and what is behind it."""
    start, mark, rest = raw.partition(b"\r\n\r\n")
    assert mark, raw[:200]
    line, *fields = start.decode("latin-1").split("\r\n")
    found = Answer(int(line.split()[1]), [tuple(each.split(": ", 1)) for each in fields], b"")
    length, coding = found.field("Content-Length"), found.field("Transfer-Encoding")
    assert not (length and coding)
    if method == "HEAD" or found.status in (204, 304):
        return found, rest
    if length is not None:
        found.body, rest = rest[:int(length)], rest[int(length):]
        assert len(found.body) == int(length)
        return found, rest
    if coding is None:
        assert found.field("Connection") == "close"
        found.body = rest
        return found, b""
    assert coding == "chunked"
    pieces, begun = [], len(rest)
    while True:
        size, mark, rest = rest.partition(b"\r\n")
        assert mark and size == b"%x" % int(size, 16), size
        n = int(size, 16)
        if n == 0:
            found.framed = begun - len(rest) - 3
            break
        assert rest[n:n + 2] == b"\r\n", rest[:80]
        pieces.append(rest[:n])
        rest = rest[n + 2:]
    found.body = b"".join(pieces)
    if rest.startswith(b"\r\n"):
        return found, rest[2:]
    trailers, mark, rest = rest.partition(b"\r\n\r\n")
    assert mark
    found.trailers = lines_of(trailers)
    return found, rest


def ask(weir, target, *fields, method="GET", version="1.1", body=None):
    """One request on a connection of its own, with nothing behind its answer."""
    if body is not None:
        fields += (f"Content-Length: {len(body)}", "Content-Type: text/html")
    raw = raw_answer(weir.port, head(f"{method} {target} HTTP/{version}", "Connection: close", *fields) + (body or b""), 20)
    found, rest = take(raw, method)
    assert rest == b""
    return found


def two(weir, target, *fields, method="GET"):
    """The same request twice on one connection: the second answer shows that the first has ended where it says."""
    one = head(f"{method} {target} HTTP/1.1", *fields)
    raw = raw_answer(weir.port, one + one[:-2] + b"Connection: close\r\n\r\n")
    first, raw = take(raw, method)
    second, rest = take(raw, method)
    assert rest == b"" and (first.body, first.trailers) == (second.body, second.trailers)
    return first


def replaced(body, texts, once=False):
    """The model of sub_filter: at each place the first text of the list that is there."""
    low, out, at, left = body.lower(), [], 0, list(texts)
    while at < len(body):
        for pair in left:
            if low.startswith(pair[0].lower(), at):
                break
        else:
            out.append(body[at:at + 1])
            at += 1
            continue
        out.append(pair[1])
        at += len(pair[0])
        if once:
            left.remove(pair)
    return b"".join(out)


# ---- upstreams --------------------------------------------------------------------------------------------

BODIES = {}


def reply_to(call):
    """?key= names the body; type, as (length, chunks, close), step (bytes at a time), fields and trailers say how it comes."""
    said = dict(urllib.parse.parse_qsl(call.target.partition("?")[2]))
    body, step, framing = BODIES[said["key"]], int(said.get("step", 0)), said.get("as", "length")
    fields = [said.get("status", "200 OK").join(("HTTP/1.1 ", "")), f"Content-Type: {said.get('type', 'text/html')}", *said.get("fields", "").split("|"),
              {"length": f"Content-Length: {len(body)}", "chunks": "Transfer-Encoding: chunked", "close": "Connection: close"}[framing]]
    if framing == "chunks":
        body = chunked(body, step or 1 << 16, "".join(each + "\r\n" for each in said.get("trailers", "").split("|") if each).encode())
    call.send("".join(each + "\r\n" for each in fields if each).encode() + b"\r\n")
    if call.method != "HEAD":
        call.peer.send_slowly(body, 0.0005 if step else 0, step or 1 << 20)
    if framing == "close":
        call.close()


def asked(key, prefix="/via", **more):
    return prefix + "?" + urllib.parse.urlencode(dict(key=key, **more))


@pytest.fixture
def start(weir, backend):
    """A server with the settings and files; a backend is behind /via (buffered), /raw (not buffered) and whatever passes to `up`."""
    up = backend(reply_to)

    def go(settings="", locations="", files=(), **parts):
        for name, body in dict(files).items():
            weir.write("", f"html/{name}").write_bytes(body)
        passes = "".join(f"location /{name} {{ proxy_buffering {flag}; proxy_pass http://up; }}" for name, flag in (("via", "on"), ("raw", "off")))
        weir.start(config(passes + locations + "location /echo { handler echo; } location / { } location /r { return 200 \"one two\"; }",
                          http=f"upstream up {{ server {up.address}; keepalive 8; }}" + parts.pop("http", ""), server=HTML + settings, **parts))
        return weir
    return go


# ---- sub_filter -------------------------------------------------------------------------------------------

TEXTS = {"plain": [("hello", "HI")], "several": [("one", "1"), ("two", "22"), ("three", "")], "overlap": [("aab", "X"), ("aa", "YY"), ("b", "")],
         "prefix": [("abcabd", "1"), ("abc", "2"), ("c", "3")], "self": [("aaa", "<a>")], "long": [("abcdefghij" * 3, "!")]}
SAMPLES = ["", "hellohello", "HeLLo, hell", "hhello hell\u00e9", "one two three oneone", "twone thretwo", "aabaaabaaaab", "aaaaaaaa", "aa",
           "abcabcabd", "abcababcabdab", "abcdefghij" * 4, "abcdefghij" * 2 + "abcdefghi"]


def location(name, texts, more=""):
    return f"location {name} {{ {''.join(f'sub_filter {chr(34)}{a}{chr(34)} {chr(34)}{b}{chr(34)}; ' for a, b in texts)} {more} }}"


def in_bytes(texts):
    return [(a.encode(), b.encode()) for a, b in texts]


@pytest.mark.directive("gzip_min_length")
@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("how", ["buffered", "unbuffered", "zipped"])
def test_texts_are_found_however_the_body_is_cut(start, once, how):
    BODIES.update({f"s{i}": sample.encode() for i, sample in enumerate(SAMPLES)})
    more = f"sub_filter_once {'on' if once else 'off'}; proxy_pass http://up; proxy_buffering {'off' if how == 'unbuffered' else 'on'};"
    weir = start("gzip on; gzip_min_length 0;", "".join(location(f"/sub/{name}", texts, more) for name, texts in TEXTS.items()))

    def wrong(job):
        name, i, (step, framing) = job
        found = ask(weir, asked(f"s{i}", f"/sub/{name}", step=step, **{"as": framing}), *([ZIP] if how == "zipped" else []))
        body = found.unpacked if how == "zipped" and found.field("Content-Encoding") else found.body
        return None if body == replaced(SAMPLES[i].encode(), in_bytes(TEXTS[name]), once) else (job, body)
    jobs = [(name, i, way) for name in TEXTS for i in range(len(SAMPLES)) for way in ((1, "length"), (2, "chunks"), (3, "close"))]
    assert not [each for each in parallel(wrong, jobs) if each]


def test_any_texts_in_any_body(start):
    """Against the model: short alphabets make partial matches and overlaps the rule."""
    rng = random.Random(5)

    def word(least, most):
        return "".join(rng.choice("abA") for _ in range(rng.randint(least, most)))
    cases = []
    for i in range(60):
        texts = {word(1, 5).lower(): word(0, 3) for _ in range(rng.randint(1, 4))}
        cases.append((list(texts.items()), rng.random() < 0.3, word(100, 300).encode()))
    weir = start(locations="".join(location(f"/x{i}/", texts, f"handler echo; sub_filter_once {'on' if once else 'off'};") +
                                   location(f"/y{i}/", texts, f"proxy_pass http://up; sub_filter_once {'on' if once else 'off'};")
                                   for i, (texts, once, body) in enumerate(cases)))
    BODIES.update({f"r{i}": body for i, (_, _, body) in enumerate(cases)})

    def wrong(i):
        texts, once, body = cases[i]
        expected = replaced(body, in_bytes(texts), once)
        found = ask(weir, f"/x{i}/", method="POST", body=body).body, ask(weir, asked(f"r{i}", f"/y{i}/", step=rng.randint(5, 40))).body
        return None if found == (expected, expected) else (texts, once, body, found, expected)
    assert not [each for each in parallel(wrong, range(len(cases))) if each]


BIG = b"".join(b"line %d of a page that names example.com twice: EXAMPLE.COM\n" % i for i in range(25000))
GROWN = BIG.replace(b"example.com", b"www.example.org/a/longer/name").replace(b"EXAMPLE.COM", b"www.example.org/a/longer/name")
GROWS = "sub_filter example.com www.example.org/a/longer/name; sub_filter_once off;"


@pytest.mark.parametrize("more", ["sendfile on;", "sendfile off;", "limit_rate 20m; sendfile off;", "chunked_transfer_encoding off;"])
def test_large_bodies(start, more):
    BODIES["big"] = BIG
    weir = start(GROWS + "proxy_buffers 4 8k; gzip on; gzip_comp_level 1; gzip_types *;" + more, files={"big.html": BIG})
    for target in ("/big.html", asked("big"), asked("big", "/raw"), asked("big", **{"as": "chunks"})):
        assert ask(weir, target).body == GROWN, target
        assert ask(weir, target, ZIP).unpacked == GROWN, target
        old = ask(weir, target, version="1.0")
        assert old.body == GROWN and not old.field("Transfer-Encoding") and not old.field("Content-Length"), target
    assert ask(weir, "/echo", method="POST", body=BIG).body == GROWN
    assert ask(weir, "/echo", ZIP, method="POST", body=BIG).unpacked == GROWN


@pytest.mark.parametrize("prefix", ["/big.html", "/via", "/raw"])
def test_slow_clients(start, prefix):
    BODIES["big"] = BIG
    weir = start(GROWS, files={"big.html": BIG})

    def slow(i):
        with narrow(weir.port, 30) as client:
            client.send(head(f"GET {prefix}?key=big HTTP/1.1", "Connection: close", *([ZIP] if i % 2 else [])))
            if i % 3 == 0:
                return client.socket.recv(700) != b""
            data = [client.socket.recv(9000)]
            take_time(0.1)
            while data[-1]:
                data.append(client.socket.recv(100000))
            found, rest = take(b"".join(data))
            return rest == b"" and found.body == GROWN
    assert all(parallel(slow, range(6)))


def test_an_upstream_that_pauses_within_a_text(start, backend):
    def script(peer):
        peer.call()
        peer.send(CHUNKS[:-2] + b"Content-Type: text/html\r\n\r\n" + chunked(b"before <he")[:-5])
        take_time(0.3)
        peer.send(chunked(b"ad> <he")[:-5])
        take_time(0.1)
        peer.send(chunked(b"!"))
    up = backend(script=script)
    more = f"proxy_pass http://{up.address}; sub_filter <head> <HEAD>; sub_filter_once off;"
    weir = start(locations=f"location /a {{ {more} }} location /b {{ {more} proxy_buffering off; }} location /c {{ {more} gzip on; gzip_min_length 0; }}")
    for target, field in ("/a", "X: y"), ("/b", "X: y"), ("/c", ZIP):
        with weir.connect() as client:
            begun = time.monotonic()
            client.send(head(f"GET {target} HTTP/1.1", "Connection: close", field))
            first = read_until(client, b"before " if field != ZIP else b"\r\n\r\n")
            assert time.monotonic() - begun < limit(0.2), "what is decided goes out at once"
            assert b"<h" not in first
            found, rest = take(first + client.until_close())
            body = found.unpacked if field == ZIP else found.body
            assert body == b"before <HEAD> <he!" and rest == b""


def test_an_answer_that_is_cut_is_not_whole(start, backend):
    def script(peer):
        peer.call()
        peer.send(CHUNKS[:-2] + b"Content-Type: text/html\r\n\r\n" + chunked(b"before <he")[:-5])
    up = backend(script=script)
    weir = start("add_trailer A b; charset utf-16; source_charset utf-8;", f"location /a {{ proxy_pass http://{up.address}; sub_filter <head> <HEAD>; }}")
    weir.expect_log("prematurely")
    raw = raw_answer(weir.port, head("GET /a HTTP/1.1"))
    assert not raw.endswith(b"0\r\n\r\n") and b"A: b" not in raw


@pytest.mark.directive("sub_filter_last_modified", "sub_filter_types")
def test_which_answers_and_what_their_heads_say(start):
    page = b"<p>Hello</p>"
    BODIES["page"] = page
    weir = start("sub_filter hello <$uri>; sub_filter '$arg_x' '[$arg_y]'; error_page 418 /page.html;",
                 "location = /kept.html { sub_filter hello x; sub_filter_last_modified on; alias {tmp}/html/page.html; }"
                 "location /all { sub_filter hello x; sub_filter_types text/plain; alias {tmp}/html; }"
                 "location /star { sub_filter hello x; sub_filter_types *; alias {tmp}/html; }"
                 "location /own { sub_filter p q; } location /teapot { return 418; } location /gone { return 410; }"
                 "location /accel { proxy_pass http://up; sub_filter hello wrong; }",
                 files={"page.html": page, "page.txt": page, "empty.html": b"", "own.html": page})
    found = two(weir, "/page.html")
    assert found.body == b"<p></page.html></p>" and found.field("Transfer-Encoding") == "chunked"
    for name in "ETag", "Last-Modified", "Accept-Ranges", "Content-Length":
        assert found.field(name) is None, name
    kept = two(weir, "/kept.html")
    assert kept.body == b"<p>x</p>" and kept.field("ETag").startswith('W/"') and kept.field("Last-Modified") and not kept.field("Accept-Ranges")
    assert ask(weir, "/page.html?x=P%3e&y=z").body == b"<p></page.html></p>", "the argument is not decoded"
    assert ask(weir, "/page.html?x=p&y=z").body == b"<[z]></page.html></p>"
    plain = two(weir, "/page.txt", "Range: bytes=3-7")
    assert plain.status == 206 and plain.body == b"Hello"
    assert ask(weir, "/all/page.txt").body == ask(weir, "/star/page.txt").body == b"<p>x</p>"
    assert ask(weir, "/own.html").body == b"<q>Hello</p>", "a level's own texts take the place of the outer ones"
    assert two(weir, "/empty.html").field("Content-Length") == "0"
    whole = two(weir, "/page.html", "Range: bytes=3-7")
    assert whole.status == 200 and whole.body == b"<p></page.html></p>"
    for target in "/page.html", asked("page"):
        only_head = two(weir, target, method="HEAD")
        assert not only_head.field("Content-Length") and not only_head.field("ETag")
    tag = kept.field("ETag")
    unchanged = two(weir, "/kept.html", f"If-None-Match: {tag}")
    assert unchanged.status == 304 and not unchanged.field("Content-Length") and not unchanged.field("Transfer-Encoding")
    assert two(weir, "/page.html", "If-Modified-Since: " + kept.field("Last-Modified")).status == 304
    assert two(weir, "/teapot").body == b"<p></page.html></p>" and two(weir, "/teapot").status == 418
    assert b"Gone" in two(weir, "/gone").body
    accel = two(weir, asked("page", "/accel", fields="X-Accel-Redirect: /page.html"))
    assert accel.body == b"<p></page.html></p>"
    old = ask(weir, "/page.html", "Connection: keep-alive", version="1.0")
    assert old.body == b"<p></page.html></p>" and old.field("Connection") == "close"


@pytest.mark.directive("sub_filter")
@pytest.mark.parametrize("more", ["sub_filter a b;", "gzip on;", "charset utf-16; source_charset utf-8;"])
def test_an_upstreams_offer_of_ranges_goes_with_the_body_it_was_for(start, more):
    BODIES["page"] = b"a" * 100
    weir = start(more)
    found = two(weir, asked("page", fields='Accept-Ranges: bytes|ETag: "x"'), ZIP)
    assert found.field("Content-Length") is None and found.field("ETag") != '"x"'
    assert found.field("Accept-Ranges") is None


@pytest.mark.parametrize("more", ["sub_filter a b;", "gzip on;", "charset utf-16; source_charset utf-8;", "add_trailer A b;"])
def test_head_does_not_read_the_file(start, more):
    weir = start(more + "limit_rate 0;")
    with open(weir.tmp / "html/sparse.html", "wb") as file:
        file.truncate(300 << 20)
    pid = next(iter(weir.worker_pids()))

    def read_bytes():
        return int(pathlib.Path(f"/proc/{pid}/io").read_text().split()[1])
    before = read_bytes()
    ask(weir, "/sparse.html", ZIP, method="HEAD")
    assert read_bytes() - before < 10 << 20


@pytest.mark.skipif(SLOW_BUILD, reason="sanitizers keep memory")
def test_memory_of_many_replacements(start):
    weir = start(locations="location /big { sub_filter x $arg_by; sub_filter_once off; }", files={"big.html": (b"." * 31 + b"x") * 40000})
    pid = next(iter(weir.worker_pids()))
    with narrow(weir.port, 20) as client:
        client.send(head(f"GET /big.html?by={'y' * 900} HTTP/1.1"))
        read_until(client, b"yyyy")
        before, most = rss_bytes(pid), 0
        for _ in range(40):
            for _ in range(14):
                assert client.socket.recv(100000)
            most = max(most, rss_bytes(pid))
        seen = b""
        while not seen.endswith(b"0\r\n\r\n"):
            seen = seen[-10:] + client.socket.recv(1 << 20)
            most = max(most, rss_bytes(pid)) if random.random() < 0.02 else most
        most = max(most, rss_bytes(pid))
    assert most - before < 15e6


@pytest.mark.parametrize("target", ["/big.html?", "/via?key=xs&", "/raw?key=xs&", "/echo?"])
def test_memory_of_a_body_that_grows(start, target):
    """However long the replacement is, no more is made of a body than the client takes."""
    BODIES["xs"] = b"x" * 70000
    weir = start("sub_filter x $arg_by; sub_filter_once off;", files={"big.html": BODIES["xs"]})
    pid = next(iter(weir.worker_pids()))
    before = rss_bytes(pid)
    with narrow(weir.port, 20) as client:
        body = BODIES["xs"] if "echo" in target else b""
        client.send(head(f"{'POST' if body else 'GET'} {target}by={'y' * 5000} HTTP/1.1", "Content-Type: text/html", f"Content-Length: {len(body)}") + body)
        read_until(client, b"yyyy")
        watch(0.1)
        assert rss_bytes(pid) - before < 30e6
    assert ask(weir, f"{target}by=zz", method="POST", body=body).body == b"zz" * 70000 if body else ask(weir, f"{target}by=zz").body == b"zz" * 70000


STREAMS = r"""
#include <weir/handler.h>
#include <string.h>
static int run(weir_request *r)
{
    weir_set_header(r, "Content-Type", "text/html");
    for (int i = 0; i < 3000; i++) {
        char *text = weir_alloc(r, 40);
        memset(text, 'a' + i % 3, 40);
        if (!weir_arg(r, "x") || weir_write(r, text, 40) < 0 || weir_flush(r) < 0)
            return 0;
        for (int n = 0; n < 40; n++)
            if (text[n] != 'a' + i % 3)
                weir_fail(r, "its memory has changed");
    }
    return 0;
}
static const struct weir_handler handlers[] = {{.name = "streams", .run = run}, {0}};
WEIR_MODULE(handlers);
"""


@pytest.fixture
def streams(start, weir):
    """A server with a handler that flushes stretches of 40 bytes: "aaa...", "bbb...", "ccc..."."""
    source = weir.write(STREAMS, "streams.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-I", BINARY.parent / "include", source, "-o", weir.tmp / "streams.so"], check=True)
    return lambda settings: start(locations=f"location /s {{ handler streams; {settings} }}", main="load_module {tmp}/streams.so;")


STREAM = b"".join((b"a", b"b", b"c")[i % 3] * 40 for i in range(3000))


@pytest.mark.parametrize("more", ["", "add_trailer X $body_bytes_sent;", "gzip on;", "charset utf-16le; source_charset utf-8;"])
def test_a_handlers_stream(streams, more):
    weir = streams("sub_filter aabb 1; sub_filter ccca <>; sub_filter ccc 333; sub_filter_once off;" + more)
    expected = replaced(STREAM, [(b"aabb", b"1"), (b"ccca", b"<>"), (b"ccc", b"333")])
    found = ask(weir, "/s?x=y", *([ZIP] if "gzip" in more else []))
    body = found.unpacked if "gzip" in more else found.body.decode("utf-16le").encode() if "charset" in more else found.body
    assert body == expected and found.trailers == ([("X", str(found.framed))] if "trailer" in more else [])


@pytest.mark.directive("sub_filter", "sub_filter_once")
def test_a_handlers_memory_is_its_own_while_its_answer_is_filtered(streams):
    """The handler goes on allocating on its thread while variables are put together on the loop."""
    texts = [(b"a", b"</s 1 /s?x=y>"), (b"b", b"<y/s>"), (b"c", b"/s?x=yy")]
    expected = replaced(STREAM, texts)
    weir = streams("sub_filter a '<$uri 1 $request_uri>'; sub_filter b <$arg_x$uri>; sub_filter c $request_uri$arg_x; sub_filter_once off;"
                   "add_header A $request_uri-$arg_x;")
    bodies = parallel(lambda _: ask(weir, "/s?x=y").body, range(40), threads=12)
    assert [body == expected for body in bodies] == [True] * 40


# ---- charset ----------------------------------------------------------------------------------------------

def conversion(name, source, target, more=""):
    return f"location /{name} {{ charset {target}; source_charset {source}; proxy_pass http://up; {more} }}"


JAPANESE = "\u65e5\u672c\u8a9e text \u6f22\u5b57, "
WAYS = {"latin": ("utf-8", "iso-8859-1", "caf\u00e9 na\u00efve"), "wide": ("iso-8859-1", "utf-8", "caf\u00e9 na\u00efve"),
        "cyrillic": ("koi8-r", "windows-1251", "\u043f\u0440\u0438\u0432\u0435\u0442"), "jis": ("utf-8", "iso-2022-jp", JAPANESE + "\u672c"),
        "unjis": ("iso-2022-jp", "utf-8", JAPANESE + "\u672c"), "sjis": ("shift_jis", "euc-jp", JAPANESE), "utf16": ("utf-8", "utf-16le", "a\U0001f600b\u00e9"),
        "from16": ("utf-16be", "utf-8", "a\U0001f600b\u00e9")}


@pytest.mark.parametrize("how", ["buffered", "unbuffered", "zipped"])
def test_characters_are_converted_however_they_are_cut(start, how):
    weir = start("gzip on; gzip_min_length 0; proxy_buffering " + ("off;" if how == "unbuffered" else "on;"),
                 "".join(conversion(name, source, target) for name, (source, target, _) in WAYS.items()))
    for name, (source, _, text) in WAYS.items():
        BODIES[name], BODIES[name + "big"] = text.encode(source), (text * 20000).encode(source)

    def wrong(job):
        name, step = job
        source, target, text = WAYS[name]
        found = ask(weir, asked(name + ("" if step else "big"), "/" + name, step=step), *([ZIP] if how == "zipped" else []))
        body, expected = found.unpacked if how == "zipped" else found.body, text if step else text * 20000
        good = found.field("Content-Type") == f"text/html; charset={target}" and body.decode(target) == expected and not found.field("Content-Length")
        return None if good else (job, found.field("Content-Type"), body[:100])
    assert not [each for each in parallel(wrong, [(name, step) for name in WAYS for step in (0, 1, 2, 3)]) if each]


BAD = {"utf-8": b"a\xffb\xe9", "middle": "\u65e5\U0001f600\u672c\u8a9e".encode(), "invalid": "\u65e5\u672c".encode() + b"\xff" + "\u8a9e".encode(),
       "half": "\u65e5".encode()[:2], "many": b"\xff" * 100000}


@pytest.mark.parametrize("target", ["iso-8859-1", "iso-2022-jp", "utf-16le"])
def test_what_cannot_be_converted_leaves_the_rest_readable(start, target):
    BODIES.update(BAD)
    weir = start(locations=conversion("c", "utf-8", target))
    for step in (0, 1):
        for name in "utf-8", "middle", "invalid", "half":
            text = ask(weir, asked(name, "/c", step=step)).body.decode(target)
            for char in BAD[name].decode(errors="ignore"):
                if char.encode(target, "ignore"):
                    assert char in text, (name, text)
            assert "?" in text or "\ufffd" in text or "&#" in text or char.encode(target, "ignore"), (name, text)
    assert len(ask(weir, asked("many", "/c")).body) >= 100000


@pytest.mark.directive("charset", "override_charset")
def test_the_charset_that_is_named(start):
    BODIES["page"] = "\u00e9".encode()
    weir = start("charset utf-8;", "location /koi { charset koi8-r; charset_types text/plain text/css; alias {tmp}/html; }"
                 "location /all { charset koi8-r; charset_types *; alias {tmp}/html; } location /not { charset off; alias {tmp}/html; }"
                 "location /var { charset $arg_c; alias {tmp}/html; } location /gone { return 410; }"
                 "location /over { charset utf-16le; override_charset on; proxy_pass http://up; }"
                 "location /keep { charset utf-16le; proxy_pass http://up; source_charset utf-8; }",
                 files={"a.html": b"text", "a.txt": b"text", "a.bin": b"text"})

    def type_of(target, *fields, **more):
        return two(weir, target, *fields, **more).field("Content-Type")
    assert type_of("/a.html") == "text/html; charset=utf-8" and type_of("/a.txt", method="HEAD") == "text/plain; charset=utf-8"
    assert two(weir, "/a.html").field("Content-Length") == "4" and two(weir, "/a.html", "Range: bytes=1-2").body == b"ex"
    assert type_of("/koi/a.txt") == "text/plain; charset=koi8-r" and type_of("/not/a.html") == "text/html"
    assert type_of("/var/a.html?c=x-mine") == "text/html; charset=x-mine" and type_of("/var/a.html") == "text/html"
    assert type_of("/var/a.html?c=a;b") == type_of("/var/a.html?c=a/b") == "text/html"
    assert type_of("/gone") == "text/html; charset=utf-8" and type_of("/r") == "text/html; charset=utf-8"
    assert type_of(asked("page", type="text/html; charset=x")) == "text/html; charset=x"
    assert two(weir, asked("page", "/keep", type="text/html; charset=x")).body == b"\xc3\xa9"
    for quoted in "utf-8", '"utf-8"':
        over = two(weir, asked("page", "/over", type=f"text/html; charset={quoted}"))
        assert over.body.decode("utf-16le") == "\u00e9" and over.field("Content-Type") == "text/html; charset=utf-16le"
    packed = asked("page", "/keep", fields="Content-Encoding: br")
    assert two(weir, packed).body == b"\xc3\xa9" and type_of(packed) == "text/html"


def test_other_parameters_of_the_type_stay(start):
    BODIES["page"] = b"text"
    weir = start("charset utf-8; charset_types *;", "location /over { charset utf-16le; override_charset on; proxy_pass http://up; }", files={"a.html": b"0123456789"})
    assert two(weir, asked("page", type="text/html; profile=x")).field("Content-Type") == "text/html; profile=x; charset=utf-8"
    assert "boundary=" in ask(weir, "/a.html", "Range: bytes=0-1,5-9").field("Content-Type")
    assert "profile=x" in two(weir, asked("page", "/over", type="text/html; charset=utf-8; profile=x")).field("Content-Type")


@pytest.mark.directive("charset_types")
@pytest.mark.parametrize("types, named", [("", {"html", "txt"}), ("charset_types text/css;", {"html", "css"}), ("charset_types *;", {"html", "txt", "css"})])
def test_types_that_get_a_charset(start, types, named):
    """text/html and what is listed in place of the default; * is all."""
    weir = start("charset utf-8;" + types, "location /t/ { alias {tmp}/html/; types { text/html html; text/plain txt; text/css css; } }",
                 files={f"a.{end}": b"text" for end in ("html", "txt", "css")})
    assert {end for end in ("html", "txt", "css") if "charset=utf-8" in two(weir, f"/t/a.{end}").field("Content-Type")} == named


def test_ranges_of_what_is_converted_are_not_offered_nor_served(start):
    weir = start("charset utf-16le; source_charset utf-8;", files={"a.html": "caf\u00e9s".encode()})
    whole = two(weir, "/a.html")
    assert whole.body.decode("utf-16le") == "caf\u00e9s" and not whole.field("Accept-Ranges") and whole.field("ETag").startswith("W/")
    ranged = two(weir, "/a.html", "Range: bytes=0-3")
    assert ranged.status == 200 and ranged.body == whole.body
    only_head = two(weir, "/a.html", method="HEAD")
    assert not only_head.field("Content-Length") and not only_head.field("Accept-Ranges")
    assert two(weir, "/a.html", "If-None-Match: " + whole.field("ETag")).status == 304


@pytest.mark.directive("charset", "source_charset")
def test_a_charset_that_there_is_not(start):
    BODIES["page"] = "\u00e9".encode()
    weir = start(locations="location /v { charset $arg_c; source_charset utf-8; proxy_pass http://up; }")
    found = two(weir, asked("page", "/v", c="no-such"))
    assert found.body == b"\xc3\xa9" and "no-such" not in found.field("Content-Type"), "it is not named for what is not in it"
    good = two(weir, asked("page", "/v", c="iso-8859-1"))
    assert good.body == b"\xe9"


@pytest.mark.parametrize("lines, says", [("charset no-such; source_charset utf-8;", 'unknown charset "no-such"'), ("sub_filter '' a;", "empty text"),
                                         ("charset utf-8; source_charset no-such;", 'unknown charset "no-such"'), ("add_trailer A b c;", "add_trailer"),
                                         ("sub_filter a $nothing_such;", "nothing_such"), ("sub_filter a;", "sub_filter")])
def test_wrong_settings(weir, lines, says):
    checked = weir.run("-t", conf=config(server=lines))
    assert checked.returncode == 1 and says in checked.stderr and "weir.conf:" in checked.stderr


def test_right_settings(weir):
    good = "charset no-such; sub_filter_types text/css *; location /a { if ($arg_x) { add_header A b; } source_charset off; charset off; add_trailer A b always; }"
    checked = weir.run("-t", conf=config(server=good, http="charset_map koi8-r windows-1251 { 80 88; 95 B7; }"))
    assert checked.returncode == 0, checked.stderr


# ---- add_trailer ------------------------------------------------------------------------------------------

TRAILER = "add_trailer X-Size $body_bytes_sent; add_trailer X-Status $status always; add_trailer X-Bad a${arg_bad}b; add_trailer X-None $arg_none;"


@pytest.mark.http1_only
def test_trailers(start):
    BODIES.update(page=b"upstream", none=b"")
    weir = start(TRAILER,
                 "location /gone { return 410; } location /nothing { return 204; } location /off { chunked_transfer_encoding off; alias {tmp}/html; }"
                 "location /time { proxy_pass http://up; add_trailer X-Time $upstream_response_time; } location /moved { return 301 /x; }"
                 "location /rate { limit_rate 20m; alias {tmp}/html; } location /zip { gzip on; sub_filter t T; alias {tmp}/html; }",
                 files={"a.txt": b"text", "a.html": b"text" * 30, "empty.txt": b"", "big.txt": BIG})
    for target, size, status in (("/a.txt", 4, 200), ("/empty.txt", 0, 200), ("/r", 7, 200), ("/big.txt", len(BIG), 200), ("/rate/big.txt", len(BIG), 200),
                                 (asked("page"), 8, 200), (asked("page", "/raw"), 8, 200), (asked("none"), 0, 200), (asked("page", **{"as": "chunks"}), 8, 200)):
        found = two(weir, target)
        assert found.status == status and len(found.body) == size, target
        assert found.trailers == [("X-Size", str(found.framed)), ("X-Status", str(status)), ("X-Bad", "ab")], target
        only_head = two(weir, target, method="HEAD")
        assert not only_head.field("Transfer-Encoding") or not only_head.field("Content-Length")
        old = ask(weir, target, version="1.0")
        assert len(old.body) == size and not old.field("Transfer-Encoding")
    assert two(weir, "/gone").trailers == [("X-Status", "410")] and two(weir, "/missing").trailers == [("X-Status", "404")]
    moved = two(weir, "/moved")
    assert moved.trailers[:2] == [("X-Size", str(moved.framed)), ("X-Status", "301")]
    nothing = two(weir, "/nothing")
    assert nothing.status == 204 and not nothing.field("Transfer-Encoding")
    unchanged = two(weir, "/a.txt", "If-Modified-Since: " + two(weir, "/a.txt").field("Last-Modified"))
    assert unchanged.status == 304 and not unchanged.field("Transfer-Encoding")
    part = two(weir, "/a.txt", "Range: bytes=1-2")
    assert part.status == 206 and part.body == b"ex" and part.trailers[0] == ("X-Size", "7")
    assert ask(weir, "/a.txt", "Range: bytes=0-0,2-3").trailers[1] == ("X-Status", "206")
    assert not ask(weir, "/off/a.txt").trailers and two(weir, "/off/a.txt").field("Content-Length") == "4"
    packed = two(weir, "/zip/a.html", ZIP)
    assert packed.unpacked == b"Text" + b"text" * 29 and packed.trailers[0] == ("X-Size", str(packed.framed))
    [(name, value)] = ask(weir, asked("page", "/time")).trailers
    assert name == "X-Time" and 0 <= float(value) < 5
    echo = ask(weir, "/echo", method="POST", body=BIG)
    assert echo.body == BIG and echo.trailers[0] == ("X-Size", str(echo.framed))
    assert not ask(weir, "/echo", method="POST", body=b"").body


@pytest.mark.http1_only
@pytest.mark.directive("add_trailer")
def test_no_line_of_a_client_becomes_a_trailer(start):
    weir = start("location ~ (?s)^/t/(.*)$ { add_trailer X-Path $1; add_trailer After yes; return 200 text; }")
    assert two(weir, "/t/a%0d%0aSet-Cookie:%20b").trailers == [("After", "yes")]
    assert two(weir, "/t/a%0aX").trailers == [("After", "yes")] and two(weir, "/t/a").trailers == [("X-Path", "a"), ("After", "yes")]


@pytest.mark.http1_only
def test_beside_an_upstreams_own(start):
    BODIES["page"] = b"one two"
    weir = start("add_trailer Own $body_bytes_sent;", "".join(
        f"location /{name} {{ proxy_pass_trailers {flag}; proxy_http_version 1.1; proxy_pass http://up; {more} }}"
        for name, flag, more in (("on", "on", ""), ("off", "off", ""), ("sub", "on", "sub_filter one 1; charset utf-16le; source_charset utf-8;"))))
    more = {"as": "chunks", "trailers": "Theirs: x|Content-Length: 3", "fields": "Trailer: Theirs"}
    for name, body, theirs in ("on", b"one two", [("Theirs", "x")]), ("off", b"one two", []), ("sub", "1 two".encode("utf-16le"), [("Theirs", "x")]):
        found = ask(weir, asked("page", f"/{name}", **more), "TE: trailers")
        assert found.body == body and found.trailers == [*theirs, ("Own", str(found.framed))], name
        plain = ask(weir, asked("page", f"/{name}", **more))
        assert plain.trailers == [("Own", str(plain.framed))], name


@pytest.mark.http1_only
@pytest.mark.directive("sub_filter_once")
def test_a_handlers_answers(start):
    weir = start("add_trailer Size $body_bytes_sent always; sub_filter o 00; sub_filter_types *; sub_filter_once off;",
                 "location /fib { handler fib; } location /sleep { handler sleep; }")
    found = two(weir, "/sleep?ms=1")
    assert found.body == b"slept 1 ms\n" and found.trailers == [("Size", "16")]
    wrong = ask(weir, "/fib?n=-1")
    assert wrong.status == 400 and wrong.trailers == [("Size", str(wrong.framed))] and b"</b00dy>" in wrong.body


@pytest.mark.http1_only
def test_a_tunnel_is_left_alone(start, backend):
    def script(peer):
        peer.call()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Type: text/html\r\n\r\n")
        peer.send(peer.exactly(5) + b"one")
    up = backend(script=script)
    weir = start(locations=f"location /t {{ proxy_pass http://{up.address}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
                           "sub_filter one two; charset utf-16; source_charset utf-8; gzip on; add_trailer A b; }")
    with weir.connect() as client:
        client.send(head("GET /t HTTP/1.1", "Upgrade: x", "Connection: upgrade"))
        first = read_until(client, b"\r\n\r\n")
        client.send(b"hello")
        assert first.startswith(b"HTTP/1.1 101") and client.until_close() == b"helloone"


def test_limit_rate_is_kept_without_long_pauses(start):
    weir = start("limit_rate 20k; add_trailer A b;", files={"a.txt": BIG[:200000]})
    with weir.connect(timeout=10) as client:
        client.send(head("GET /a.txt HTTP/1.1"))
        seen, begun, longest, last = 0, time.monotonic(), 0, None
        while time.monotonic() - begun < 1.5:
            client.socket.settimeout(limit(1.5))
            try:
                seen += len(client.socket.recv(1 << 20))
            except TimeoutError:
                longest = limit(1.5)
                break
            now = time.monotonic()
            longest, last = max(longest, now - (last or now)), now
        assert longest < limit(1) and seen < 60000
