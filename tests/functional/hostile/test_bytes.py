"""Hostile bytes: wherever a client's or an upstream's text comes in, and whatever it goes out by, it stays text.

Nothing may split a header, forge a line of a log, put a header into a request to an upstream, make JSON that is none, or
bring markup into a page. `SINKS` are the places where a client's decoded path ($1) goes out.
"""

import base64
import html.parser
import json
import re
import urllib.parse

import pytest
from proxylib import Backend, answer, backend, raw_answer  # noqa: F401 - a fixture
from weirlib import config, wait_until
from wire import ask, head, post

SPLIT = b"a\r\nX-Evil: yes\r\n\r\n<script>"
BYTES = [bytes([b]) for b in range(1, 256) if b != ord("/")]
TEXTS = {"split": SPLIT, "lf": b"a\nX-Evil: yes", "cr": b"a\rX-Evil: yes", "esc": b"\x1b[2Jx", "quotes": b"\"'\\x", "utf-8": "ä€𝄞".encode(),
         "invalid": b"\xff\xfe\xc3(", "tab": b"a\tb", "del": b"a\x7fb", "c1": b"\xc2\x85\xc2\x9bx", "blank": b" a b ", "percent": b"%0d%0aX-Evil: yes"}

SINKS = {
    "header": "add_header X-A $1 always; return 200 ok;", "headers": 'add_header X-A "b$1" always; add_header X-B "$1;c" always; return 404;',
    "trailer": "add_trailer X-T $1 always; return 200 ok;", "text": "return 200 $1;", "redirect": "return 302 /$1;",
    "away": "return 307 http://x.example/$1;", "bare": "return 301 $1;", "rewrite": 'rewrite "(?s)^/rewrite/(.*)$" http://x.example/$1 redirect;',
    "moved": 'rewrite "(?s)^/moved/(.*)$" /$1 permanent;', "args": 'rewrite "(?s)^/args/(.*)$" /x?$1 redirect;',
    "page": "error_page 404 http://x.example/$1; return 404;", "page301": "error_page 404 =301 http://x.example/$1; return 404;",
    "pageuri": "error_page 404 =302 $scheme://x.example$uri; return 404;", "inner": "error_page 404 /in$uri; return 404;",
    "realm": 'auth_basic "$1"; auth_basic_user_file {tmp}/users;', "map": "add_header X-M $m always; return 200 $m;",
    "set": "set $x $1; add_header X-S $x always; return 200 $x;", "expires": "expires $1; return 200 ok;",
    "charset": "charset $1; return 200 ok;", "sub": "sub_filter o $1; sub_filter_types *; sub_filter_once off; return 200 foo;",
    "file": "root {tmp}/html;", "try": "root {tmp}/html; try_files /none$uri =404;", "tryuri": "root {tmp}/html; try_files /none /in/$1;",
    "log": "access_log {tmp}/logs/by-$1.log; return 200 ok;", "named": "add_header X-N $rest always; return 200 $rest;",
}


def quote(text):
    return "".join(f"%{byte:02x}" for byte in text)


def places(sinks):
    return "".join(f"location ~ ^/{name}/(?<rest>.*)$ {{ {line} }}" if name == "named" else
                   f'location ~ "(?s)^/{name}/(.*)$" {{ {line} }}' for name, line in sinks.items())


def split(raw, sure=True):
    """(lines of the head, body) of one answer that has not been split."""
    top, mark, body = raw.partition(b"\r\n\r\n")
    assert mark, raw
    lines = top.split(b"\r\n")
    assert re.fullmatch(rb"HTTP/1\.1 \d{3} [\x20-\x7e]*", lines[0]), raw
    for line in lines[1:]:
        assert re.fullmatch(rb"[!#-'*+.^`|~\w-]+: ?[\t\x20-\x7e\x80-\xff]*", line), (line, raw)
        assert not line.lower().startswith(b"x-evil"), raw
    length = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
    chunks = [line for line in lines if line.lower().startswith(b"transfer-encoding:")]
    assert len(length) + len(chunks) == 1, raw
    if length:
        assert len(body) == length[0], raw
    else:
        trailer = body[body.rindex(b"\r\n0\r\n") + 5:] if b"\r\n0\r\n" in body else body[3:]
        assert trailer.endswith(b"\r\n") and b"x-evil" not in trailer.lower().replace(b"%0d%0ax-evil", b""), raw
        for line in trailer.split(b"\r\n"):
            assert re.fullmatch(rb"([\w-]+: ?[\t\x20-\x7e\x80-\xff]*)?", line), raw
    return lines, body


def ask_raw(port, target, *fields):
    return raw_answer(port, head(f"GET {target} HTTP/1.1", "Connection: close", *fields))


# ---- answers ----------------------------------------------------------------------------------------------

def test_no_answer_is_split(weir):
    weir.write("joe:{PLAIN}x\n", "users")
    weir.expect_log("access log")
    weir.start(config(places(SINKS) + "location /in { return 200 in; }",
                      http='default_type text/plain; map $uri $m { "~(?s)^/map/(.*)$" $1; }'))
    for name in SINKS:
        for text in TEXTS.values():
            split(ask_raw(weir.port, f"/{name}/{quote(text)}"))


def test_a_redirect_says_what_was_asked_for(weir):
    """What can be said in a redirect's URL is said: encoded, or as it is."""
    weir.start(config(places({name: SINKS[name] for name in ("rewrite", "args")})))
    assert b"Location: http://x.example/%C3%A4%20%22" in ask_raw(weir.port, "/rewrite/" + quote('ä "'.encode()))
    lines, _ = split(ask_raw(weir.port, "/args/" + quote(b"a&b=\r\nc")))
    assert any(line.endswith(b"/x?a%26b=%0D%0Ac") for line in lines), lines


@pytest.mark.parametrize("name", [b"a\r\nX-Evil: yes", b"a\nb", b"\xff", b'"<b>', b"a b", b"a%0d%0ab", b"//b", b"a?b", b"a#b"])
def test_a_folder_with_such_a_name(weir, name):
    """A folder without its slash is a redirect to its own path, encoded."""
    (weir.tmp / "html").joinpath(name.strip(b"/").decode("utf-8", "surrogateescape")).mkdir()
    weir.start(config("root {tmp}/html; location / { }", server="absolute_redirect on;"))
    for target in ("/" + quote(name), "/" + quote(name) + "?x=%0d%0ay"):
        lines, _ = split(ask_raw(weir.port, target))
        where = next(line for line in lines if line.startswith(b"Location: "))[10:].decode("latin-1")
        path = urllib.parse.urlsplit(where).path
        assert where.startswith(f"http://a:{weir.port}/") and urllib.parse.unquote_to_bytes(path) == b"/" + name.strip(b"/") + b"/"


def test_bodies_in_headers(weir, backend):
    """$request_body may hold anything; what cannot stand in a header is left out."""
    up = backend()
    weir.start(config(f"add_header X-Body $request_body always; add_trailer X-T $request_body; location / {{ proxy_pass http://{up.address}; }}"
                      f"location /set {{ proxy_set_header X-Body $request_body; proxy_pass http://{up.address}; }} location /echo {{ handler echo; }}",
                      http="default_type text/plain;"))
    for body in [*TEXTS.values(), b"a\0b", b"\0"]:
        for target in ("/", "/echo", "/set"):
            framing = post(target, "Connection: close", f"Content-Length: {len(body)}", body=body)
            split(raw_answer(weir.port, framing))
    assert not [call for call in up.calls if call.header("X-Evil")]


UPSTREAMS = {"location": answer(b"x", "Location: http://up.example/b", status="302 Found"),
             "refresh": answer(b"x", "Refresh: 0; url=http://up.example/b"),
             "cookie": answer(b"x", "Set-Cookie: id=1; Path=/a; Domain=up.example"),
             "relative": answer(b"x", "Location: /b", status="302 Found")}


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_rewritten_headers_of_upstreams(weir, backend, kind):
    up = backend(UPSTREAMS[kind])
    more = ("proxy_redirect http://up.example/ http://x.example/$rest/; proxy_redirect ~^/(.*)$ /$rest/$1; proxy_cookie_path / /$rest;"
            "proxy_cookie_domain up.example $rest; proxy_cookie_flags id $rest;")
    weir.start(config(f'location ~ "(?s)^/p/(?<rest>.*)$" {{ proxy_pass http://{up.address}; {more} }}'))
    for text in TEXTS.values():
        split(ask_raw(weir.port, f"/p/{quote(text)}"))


# ---- requests to upstreams --------------------------------------------------------------------------------

SENT = {"header": "proxy_set_header X-A $1;", "two": 'proxy_set_header X-A "b$1"; proxy_set_header X-B "$1;c";', "host": "proxy_set_header Host $1;",
        "length": "proxy_set_header Content-Length $1;", "coding": "proxy_set_header Transfer-Encoding $1;", "method": "proxy_method $1;",
        "body": "proxy_set_body $1;", "args": "set $args $1;", "path": 'rewrite "(?s)^/path/(.*)$" /$1 break;',
        "query": 'rewrite "(?s)^/query/(.*)$" /x?$1 break;', "connection": "proxy_set_header Connection $1;",
        "upgrade": "proxy_set_header Upgrade $1;", "id": "proxy_set_header X-Request-ID $1;"}


def whole_requests(peer_bytes):
    """The requests in what an upstream got, by their Content-Length."""
    found = []
    while peer_bytes:
        top, mark, rest = peer_bytes.partition(b"\r\n\r\n")
        assert mark, peer_bytes
        lines = top.split(b"\r\n")
        assert re.fullmatch(rb"[!#-'*+.^`|~\w-]+ [!-~\x80-\xff]+ HTTP/1\.[01]", lines[0]), lines
        for line in lines[1:]:
            assert re.fullmatch(rb"[!#-'*+.^`|~\w-]+: [\t\x20-\x7e\x80-\xff]*", line), lines
            assert not line.lower().startswith(b"x-evil"), lines
        lengths = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
        assert len(lengths) <= 1 and not any(line.lower().startswith(b"transfer-encoding:") for line in lines), lines
        size = lengths[0] if lengths else 0
        found.append((lines, rest[:size]))
        peer_bytes = rest[size:]
    return found


def test_no_request_is_injected(weir):
    """An upstream gets no more requests and headers than clients have sent."""
    got = []

    def take(peer):
        while True:
            peer.receive()
            if peer.unread.endswith(b"\r\n\r\n") or b"\r\n\r\n" in peer.unread:
                got.append(peer.unread)
                peer.send(answer(b"x", "Connection: close"))
                peer.wait_gone()

    up = Backend(script=take)
    try:
        weir.expect_log("upstream")
        weir.start(config(places({name: f"{line} proxy_pass http://{up.address};" for name, line in SENT.items()}) +
                          f'location ~ "(?s)^/pass/(.*)$" {{ proxy_pass http://{up.address}/$1; }}'
                          f'location ~ "(?s)^/passargs/(.*)$" {{ proxy_pass http://{up.address}/?$1; }}'
                          'location ~ "(?s)^/to/(.*)$" { proxy_connect_timeout 1; proxy_pass http://$1; }'
                          f'location ~ "(?s)^/toport/(.*)$" {{ proxy_pass http://{up.address}$1; }}'
                          f'location ~ "(?s)^/sub/(.*)$" {{ auth_request /auth?$1; return 200 ok; }}'
                          f"location /auth {{ proxy_pass http://{up.address}; }}", server="resolver 127.0.0.1:9 valid=1s; resolver_timeout 1s;"))
        names = [*SENT, "pass", "passargs", "toport", "sub"]
        asked = 0
        for name in names:
            for text in TEXTS.values():
                split(ask_raw(weir.port, f"/{name}/{quote(text)}"))
                asked += 1
        split(ask_raw(weir.port, f"/to/{quote(up.address.encode() + SPLIT)}"))
        split(ask_raw(weir.port, f"/to/{quote(up.address.encode() + b'/ HTTP/1.1' + SPLIT)}"))
        assert len(got) <= asked and len(got) > 40
        for one in got:
            assert len(whole_requests(one)) == 1, one
    finally:
        up.close()


def test_paths_arrive_as_they_were(weir, backend):
    """Each byte of a path comes to an upstream, encoded where it has to be, by every way."""
    up = backend()
    weir.start(config(f"location /raw/ {{ proxy_pass http://{up.address}; }} location /cut/ {{ proxy_pass http://{up.address}/; }}"
                      f'location /re/ {{ rewrite "(?s)^/re/(.*)$" /$1 break; proxy_pass http://{up.address}; }}', server="merge_slashes off;"))
    text = b"".join(BYTES)
    for way, prefix in (("raw", b"/raw/"), ("cut", b"/"), ("re", b"/")):
        assert ask(weir.port, head(f"GET /{way}/{quote(text)} HTTP/1.1")).status == 200
        assert urllib.parse.unquote_to_bytes(up.call.target) == prefix + text, way
        assert re.fullmatch(r"[!-~]+", up.call.target), way


# ---- logs -------------------------------------------------------------------------------------------------

def read_lines(path, count):
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, 3, f"{count} lines in {path.name}")
    return path.read_bytes().split(b"\n")[:-1]


FIELDS = [b"plain", b'q"uo\\te', b"\xff\xfe", "ä€".encode(), b"\xc3", b"a\tb", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82", b"\x80", b"%0a%22"]


def test_access_logs(weir):
    """One line for each request, in each form; JSON is JSON, and as UTF-8 has it."""
    text = "[$uri][$args][$http_x][$cookie_c][$request_body][$1][$m][$remote_user]"
    forms = "".join(f'log_format {form} escape={form} {text!r};' for form in ("default",))
    names = ["uri", "args", "http_x", "cookie_c", "request_body", "m", "remote_user", "request"]
    forms += "log_format json escape=json '{%s}';" % ",".join(f'"{name}":"${name}"' for name in names)
    weir.start(config("access_log {tmp}/logs/default.log default if=$counted; access_log {tmp}/logs/json.log json if=$counted;"
                      "access_log {tmp}/logs/combined.log combined if=$counted; location / { handler echo; }",
                      http='map $uri $counted { /status 0; default 1; } map $uri $m { "~(?s)^/(.*)$" "<$1>"; }' + forms))
    whole = [*TEXTS.values(), b"".join(BYTES), *FIELDS]
    for text in whole:
        user = base64.b64encode(text + b":x").decode()
        ask(weir.port, post(f"/{quote(text)}?{quote(text)}", f"Content-Length: {len(text)}", f"Authorization: Basic {user}", body=text))
    for field in FIELDS:
        raw = b"GET /" + field.replace(b"\t", b"") + b"?" + field.replace(b"\t", b"") + b" HTTP/1.1\r\nHost: a\r\nX: " + field + b"\r\nCookie: c=" + field + b"\r\n\r\n"
        ask(weir.port, raw)
    count = len(whole) + len(FIELDS)
    for line in read_lines(weir.tmp / "logs/default.log", count) + read_lines(weir.tmp / "logs/combined.log", count):
        assert re.fullmatch(rb"[\x20-\x7e]+", line), line
    for line in read_lines(weir.tmp / "logs/default.log", count):
        assert not re.search(rb'(?<!\\x5C)\\(?!x[0-9A-F]{2})|"', line), line
    lines = read_lines(weir.tmp / "logs/json.log", count)
    assert len(lines) == count
    found = [json.loads(line.decode("utf-8")) for line in lines]
    for text, each in zip(whole, found):
        readable = text.decode("utf-8", "replace")
        if "�" not in readable:
            assert (each["uri"], each["request_body"], each["m"]) == ("/" + readable, readable, f"<{readable}>")
        assert each["args"] == quote(text)


LONG = [b"\x01" * 2500, b'"' * 2500, b"\\" * 2500, b"\xff" * 2500, "€".encode() * 800, b"a\n[crit] 1#1: *1 forged" * 40, b"x" * 3000]


def test_error_logs(weir):
    """Neither text nor JSON has a line that no one wrote, however long and strange what it tells of."""
    weir.expect_log(r"\[crit\]")  # the words of a path, and logs that cannot be opened
    weir.write("joe:{PLAIN}x\n", "users")
    weir.start(config('error_log {tmp}/logs/e.json info format=json; error_log {tmp}/logs/e.text info; location / { root {tmp}/html; rewrite_log on; '
                      'rewrite ^/rw(?<r>.*)$ /n$r; }  location ~ "(?s)^/log/(.*)$" { access_log {tmp}/none/$1.log; return 200 ok; }'
                      "location /auth { auth_basic x; auth_basic_user_file {tmp}/users; root {tmp}/html; }"
                      'location ~ "(?s)^/to/(?<r>.*)$" { proxy_pass http://127.0.0.1:1/$r; } location ~ "(?s)^/hdr/(.*)$" { proxy_set_header X $1; proxy_pass http://127.0.0.1:1; }',
                      server="large_client_header_buffers 8 64k;"))
    for text in [*TEXTS.values(), b"".join(BYTES), *FIELDS, *LONG]:
        for place in ("", "rw", "log/", "to/", "hdr/"):
            ask(weir.port, head(f"GET /{place}{quote(text)} HTTP/1.1"))
        ask(weir.port, head("GET /auth HTTP/1.1", f"Authorization: Basic {base64.b64encode(text[:500] + b':x').decode()}"))
        field = re.sub(rb"[\0-\x1f\x7f ]", b"", text)[:2000]
        ask(weir.port, b"GET /none HTTP/1.1\r\nHost: a" + re.sub(rb"[^a-z]", b"", field)[:20] + b"\r\nUser-Agent: " + field + b"\r\n\r\n")
        ask(weir.port, b"GET /" + re.sub(rb"[%?#]", b"", field) + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        ask(weir.port, b"G" + field[:50] + b" /x HTTP/1.1\r\nHost: a\r\n\r\n")
    weir.stop()
    for line in read_lines(weir.tmp / "logs/e.text", 100):
        assert re.match(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(info|notice|warn|error|crit)\] \d+#\d+: [\x20-\x7e\x80-\xff]+$", line), line
    broken = []
    for line in read_lines(weir.tmp / "logs/e.json", 100):
        try:
            assert {"time", "level", "pid", "message"} <= set(json.loads(line.decode("utf-8")))
        except ValueError as error:
            broken.append((str(error), line[:100], line[-60:]))
    assert not broken, (len(broken), broken[:3])


@pytest.mark.parametrize("text", [b"\x01", b'"', b"x", b"\xff"])
def test_lines_of_the_server_itself(weir, text):
    """A long line in JSON with the system's reason behind it ends as JSON ends."""
    weir.start(config('location ~ "(?s)^/log/(.*)$" { access_log {tmp}/none/$1.log; return 200 ok; }', log="info format=json",
                      server="root {tmp}/html; large_client_header_buffers 8 64k;"))
    for length in range(600, 2000, 40):
        assert ask(weir.port, head(f"GET /log/{quote(text * length)} HTTP/1.1")).status == 200
    weir.stop()
    found = [json.loads(line) for line in weir.error_log_file.read_bytes().split(b"\n")[:-1]]
    failed = [each for each in found if "open()" in each["message"]]
    assert len(failed) == 35 and all(each["errno"] and each["error"] for each in failed)


# ---- pages ------------------------------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    """The tags of a page, and where its links lead."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert {name for name, _ in attributes} <= {"href", "bgcolor"}, attributes
        self.links += [value for name, value in attributes if name == "href"]


NASTY = [b"<script>alert(1)<", b'"onclick="x', b"'q", b"a&amp;b", b"a\nb\r", b"\xff\xfe", "ä€".encode(), b"a?b", b"a#b", b"a%41b", b"javascript:alert(1)",
         b"a:b", b"\\b", b"-->", b"]]>", b"\x1b[2J", b" ", b"x" * 200, "€".encode() * 60, b"`${1}`", b"a;b=c", b"~", b"\xe2\x82"]


@pytest.fixture
def nasty(weir):
    folder = weir.tmp / "html"
    for name in NASTY:
        (folder / name.decode("utf-8", "surrogateescape")).write_bytes(name)
    inner = folder / '<b>"&'
    inner.mkdir()
    (inner / "f").write_text("f")
    weir.start(config("root {tmp}/html; location / { autoindex on; } location ~ ^/(xml|json|jsonp)/ { rewrite ^/[^/]*(/.*)$ $1 break; autoindex on; "
                      "autoindex_format html; }" + "".join(f"location /as-{form}/ {{ alias {{tmp}}/html/; autoindex on; autoindex_format {form}; }}"
                                                           for form in ("xml", "json", "jsonp")), http="default_type text/plain;"))
    return weir


def test_lists_have_no_markup_of_names(nasty):
    """A list's links lead to its files, on this server, and nowhere else."""
    page = Page(ask(nasty.port, head()).body.decode("utf-8", "surrogateescape"))
    assert page.tags == {"html", "head", "title", "body", "h1", "hr", "pre", "a"} and len(page.links) == len(NASTY) + 2
    found = set()
    for link in page.links[1:]:
        where = urllib.parse.urlsplit(urllib.parse.urljoin("http://a/", link))
        assert (where.scheme, where.netloc, where.query, where.fragment) == ("http", "a", "", ""), link
        found.add(urllib.parse.unquote_to_bytes(where.path)[1:])
        reply = ask(nasty.port, head(f"GET {where.path} HTTP/1.1"))
        assert reply.status == 200 and (reply.body == urllib.parse.unquote_to_bytes(where.path)[1:] or where.path.endswith("/")), link
    assert found == {*NASTY, b'<b>"&/'}
    inner = Page(ask(nasty.port, head(f"GET /{quote(b'<b>' + bytes([34, 38]))}/ HTTP/1.1")).text)
    assert inner.tags == page.tags


def test_lists_in_json(nasty):
    found = {each["name"] for each in json.loads(ask(nasty.port, head("GET /as-json/ HTTP/1.1")).body.decode("utf-8"))}
    assert len(found) >= len(NASTY) - 1 and {name.decode() for name in NASTY if name.isascii()} <= found


@pytest.mark.parametrize("callback", ["alert(1)//", "a%0ab", "a;b", "<script>", "a-b", "1a", "a b", "%61lert(1)"])
def test_lists_for_functions(nasty, callback):
    """A callback is a name, or the list is plain JSON."""
    reply = ask(nasty.port, head(f"GET /as-jsonp/?callback={callback.replace(' ', '+')} HTTP/1.1"))
    assert reply.header("Content-Type").startswith("application/json") and json.loads(reply.body.decode("utf-8", "replace"))


def test_error_pages_have_nothing_of_the_client(weir):
    weir.start(config("location / { root {tmp}/html; } location /s { return 418; }"))
    for status, target in ((404, "/%3Cscript%3E"), (418, "/s/%3Cscript%3E"), (400, "/%zz<script>"), (414, "/" + "<b>" * 6000)):
        raw = raw_answer(weir.port, head(f"GET {target} HTTP/1.1", "X: <script>", "Referer: <script>", "Connection: close"))
        lines, body = split(raw)
        assert lines[0].split(b" ")[1] == str(status).encode() and b"script" not in raw and b"<b>" not in raw


def test_status_pages(weir, backend):
    """Whatever names a configuration and clients bring, the status is JSON, HTML without their markup, and metrics."""
    up = backend()
    weir.start(config(f"location / {{ limit_concurrency z; proxy_pass http://$http_x; }} location /u {{ proxy_pass http://{up.address}; }}",
                      http="limit_concurrency_zone z limit=5; log_format x '$uri';"))
    for field in FIELDS:
        ask(weir.port, b"GET /<script>/" + re.sub(rb"[\t]", b"", field) + b" HTTP/1.1\r\nHost: <b>\r\nX: " + up.address.encode() + field + b"\r\n\r\n")
    assert weir.status()["version"]
    page = ask(weir.port, head("GET /status?format=html HTTP/1.1")).text
    assert "<script>/" not in page
    metrics = ask(weir.port, head("GET /status?format=prometheus HTTP/1.1")).text
    assert all(re.match(r"#|[a-z0-9_]+(\{([a-z_]+=\"([^\"\\\n]|\\.)*\",?)*\})? [\d.eE+NaInf-]+$", line) for line in metrics.splitlines())


# ---- what comes in ----------------------------------------------------------------------------------------

BARE = {"nul in path": b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", "%00": b"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", "cr in path": b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n",
        "esc in path": b"GET /a\x1bb HTTP/1.1\r\nHost: a\r\n\r\n", "nul in header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "cr in header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rX-Evil: b\r\n\r\n", "esc in header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x1bb\r\n\r\n",
        "del in header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", "cr in cookie": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\rc\r\n\r\n",
        "cr in args": b"GET /?a\rb HTTP/1.1\r\nHost: a\r\n\r\n", "lf in host": b"GET / HTTP/1.1\r\nHost: a\nX: b\rc\r\n\r\n", "tab in path": b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        "method": b"GE\x1bT / HTTP/1.1\r\nHost: a\r\n\r\n", "quote in host": b'GET / HTTP/1.1\r\nHost: a"b\r\n\r\n', "markup in host": b"GET / HTTP/1.1\r\nHost: <b>\r\n\r\n"}


def test_bare_controls_are_refused(weir):
    weir.start(config('location / { return 302 /x; }'))
    for name, raw in BARE.items():
        lines, _ = split(raw_answer(weir.port, raw))
        assert lines[0].startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 ", b"HTTP/1.1 501 ")), (name, lines)


def test_request_ids_are_taken_over_only_where_they_do_no_harm(weir, backend):
    up = backend()
    weir.start(config(f"location / {{ add_header X-Id $request_id; proxy_pass http://{up.address}; }}"))
    for given in ('a"b', "a b", "<b>", "x" * 129, "a,b", "ä"):
        reply = ask(weir.port, head("GET / HTTP/1.1", f"X-Request-ID: {given}"))
        assert re.fullmatch("[0-9a-f]{32}", reply.header("X-Id")) and up.call.all("X-Request-ID") == [reply.header("X-Id")]
    assert ask(weir.port, head("GET / HTTP/1.1", "X-Request-ID: a-b.c")).header("X-Id") == "a-b.c"
