"""Settings of clients' connections, requests and redirects: their values, their inheritance, and what they change."""

import gzip
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from proxylib import CHUNKS, answer, backend, narrow  # noqa: F401 - a fixture
from weirlib import BINARY, ROOT, Connection, config, let_pass, limit, take_time, wait_until
from wire import GOOD, ask, chunked, head, parallel

GET = head("GET /yes HTTP/1.1")
TEN = "0123456789"
MSIE = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.0)"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_6) AppleWebKit/533 (KHTML, like Gecko) Version/5.0 Safari/533"
CHROME = SAFARI.replace("Version/5.0", "Chrome/90.0")


def end_of(connection, seconds=4):
    """What a connection still gives, and how it ends: FIN, RST, or open when it does not."""
    data = connection.unread
    connection.socket.settimeout(limit(seconds))
    while True:
        try:
            more = connection.socket.recv(1 << 16)
        except ConnectionResetError:
            return data, "RST"
        except TimeoutError:
            return data, "open"
        if not more:
            return data, "FIN"
        data += more


def ending(port, *pieces):
    """How a connection ends that sends these bytes."""
    with Connection(port) as client:
        for piece in pieces:
            client.send(piece)
        return end_of(client)


def location_of(weir, target, *fields, host="Host: asked.example:9"):
    """Status and Location of an answer, with the server's port as PORT."""
    reply = ask(weir.port, head(f"GET {target} HTTP/1.1", *fields, host=host))
    where = reply.header("location")
    return reply.status, where and where.replace(str(weir.port), "PORT")


# ---- values and places -------------------------------------------------------------------------------------

TIME = ["it takes a time in ms, s, m, h or d"]
FLAG = ['it takes "on" or "off"']
ALL, SERVERS = "http, server, location", "http, server"
VALUES = {  # a good value, bad ones, what is said of them (one of these), places
    "keepalive_time": ("2m", ["x", "-1s"], TIME, ALL),
    "keepalive_min_timeout": ("2m", ["x", "-1s"], TIME, ALL),
    "keepalive_disable": ("msie6 safari", ["chrome", "on", "msie6 x"], ["it takes none | msie6 | safari"], ALL),
    "keepalive_requests": ("7", ["x", "-1", "1k"], ["it takes a whole number"], ALL),
    "max_headers": ("7", ["x", "-1", "0"], ["it takes a whole number", "it must be from 1 to"], SERVERS),
    "ignore_invalid_headers": ("off", ["x", "0"], FLAG, SERVERS),
    "underscores_in_headers": ("on", ["x"], FLAG, SERVERS),
    "merge_slashes": ("off", ["1"], FLAG, SERVERS),
    "lingering_close": ("always", ["never"], ["it takes off | on | always"], ALL),
    "lingering_time": ("2m", ["x"], TIME, ALL),
    "lingering_timeout": ("2m", ["x"], TIME, ALL),
    "reset_timedout_connection": ("on", ["x"], FLAG, ALL),
    "absolute_redirect": ("off", ["x"], FLAG, ALL),
    "port_in_redirect": ("off", ["x"], FLAG, ALL),
    "server_name_in_redirect": ("on", ["x"], FLAG, ALL),
    "chunked_transfer_encoding": ("off", ["x"], FLAG, ALL),
    "if_modified_since": ("before", ["on", "after"], ["it takes off | exact | before"], ALL),
    "max_ranges": ("7", ["x", "-1"], ["it takes a whole number"], ALL),
    "sendfile_max_chunk": ("7k", ["x", "-1"], ["it takes a size in bytes"], ALL),
    "log_not_found": ("off", ["x"], FLAG, ALL),
    "recursive_error_pages": ("on", ["x"], FLAG, ALL),
    "server_tokens": ("build", ["yes", "$x"], ["it takes off | on | build"], ALL),
}


def mistakes(weir, **parts):
    """The lines that -t writes about a configuration with these parts."""
    return weir.run("-t", conf=config(**parts)).stderr


def test_good_values_on_every_level(weir):
    """Each directive is taken on each of its levels, all at a time."""
    lines = {place: "".join(f"{name} {good};" for name, (good, _, _, places) in VALUES.items() if place in places)
             for place in ("http", "server", "location")}
    reply = weir.run("-t", conf=config(f"location / {{ {lines['location']} }}", http=lines["http"], server=lines["server"]))
    assert reply.returncode == 0, reply.stderr


def test_bad_values(weir):
    """Each wrong value, in one file, is told with its line and with what would be right."""
    bad = [(name, value) for name, (_, values, _, _) in VALUES.items() for value in values]
    blocks = "\n".join(f"server {{ {name} {value}; }}" for name, value in bad)
    said = [line for line in mistakes(weir, http=blocks).splitlines() if "[emerg]" in line]
    assert len(said) == len(bad)
    for at, (line, (name, value)) in enumerate(zip(said, bad)):
        last = value.split()[-1]
        assert any(each in line for each in VALUES[name][2]), line
        assert f'"{name}" directive invalid value "{last}"' in line and re.search(rf"weir\.conf:{11 + at}\b", line), line


def test_wrong_places_counts_and_duplicates(weir):
    """A directive in a wrong place, without a value, with one too many, or twice is told of."""
    names = list(VALUES)
    misplaced = mistakes(weir, main="\n".join(f"{name} {VALUES[name][0]};" for name in names))
    assert [f'"{name}" directive is not allowed here; its place is: {VALUES[name][3]} in' in misplaced for name in names] == [True] * len(names)
    in_location = mistakes(weir, locations="".join(f"location /{name} {{ {name} {VALUES[name][0]}; }}\n" for name in names))
    assert re.findall(r'"(\w+)" directive is not allowed here', in_location) == [name for name in names if VALUES[name][3] == SERVERS]
    empty = mistakes(weir, http="\n".join(f"{name};" for name in names))
    assert re.findall(r'number of arguments in "(\w+)"', empty) == names
    long = mistakes(weir, http="\n".join(f"{name} {VALUES[name][0]} more;" for name in names if name != "keepalive_disable"))
    assert re.findall(r'number of arguments in "(\w+)"', long) == [name for name in names if name != "keepalive_disable"]
    twice = mistakes(weir, http="\n".join(f"{name} {VALUES[name][0]}; {name} {VALUES[name][0]};" for name in names))
    assert re.findall(r'"(\w+)" directive is duplicate', twice) == names


def test_ten_mistakes_at_once(weir):
    """One run lists every mistake, each with its file and line."""
    weir.write("keepalive_time soon;\nmax_ranges many;\n", "conf/more.conf")
    wrong = ["unheard_of on;", "include more.conf;", "merge_slashes 2;", "max_headers 0;", "keepalive_disable opera;", "lingering_close maybe;",
             "events { }", "if_modified_since never;", "sendfile_max_chunk 1x;", "server_tokens;"]
    reply = weir.run("-t", conf=config(http="\n".join(wrong)))
    places = re.findall(r"in \S*?/(\w+\.conf):(\d+)$", reply.stderr, re.M)
    assert reply.returncode == 1
    assert sorted(places) == sorted([("weir.conf", "11"), ("more.conf", "1"), ("more.conf", "2"), *(("weir.conf", str(line)) for line in range(13, 21))])


ACCEPTED = {  # what nginx has and weir does without, and where
    "main": "pcre_jit on; lock_file logs/lock; timer_resolution 100ms;",
    "events": "accept_mutex_delay 500ms; worker_aio_requests 32;",
    "http": "server_names_hash_max_size 512; server_names_hash_bucket_size 64; variables_hash_max_size 1024; variables_hash_bucket_size 64;"
            "map_hash_max_size 2048; map_hash_bucket_size 64;",
    "server": "connection_pool_size 512; request_pool_size 4k; ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on; ssl_ciphers HIGH:!aNULL;"
              "ssl_session_cache shared:SSL:10m; ssl_session_timeout 5m; ssl_session_tickets off;",
    "location": "client_body_in_single_buffer on; postpone_output 1460; send_lowat 0; output_buffers 2 32k; read_ahead 0; aio_write on;"
                "types_hash_max_size 1024; types_hash_bucket_size 64; proxy_headers_hash_max_size 512; proxy_headers_hash_bucket_size 64;"
                "msie_padding on; msie_refresh off;",
}


def names_of(lines):
    return [line.split()[0] for line in lines.split(";") if line.strip()]


def test_accepted_directives(weir):
    """A configuration with directives that mean nothing here works; those that fit many levels fit there too."""
    everywhere, servers = ACCEPTED["location"], ACCEPTED["server"]
    weir.start(config(f"location / {{ {everywhere} return 200 ok; }}", main=ACCEPTED["main"], events=ACCEPTED["events"],
                      http=ACCEPTED["http"] + servers + everywhere, server=servers + everywhere))
    assert weir.get("/").text == "ok"


def test_accepted_directives_have_places(weir):
    """In a wrong place they are mistakes, as everywhere."""
    for place, lines in ACCEPTED.items():
        elsewhere = {"main": "http", "events": "http", "http": "server", "server": "locations", "location": "main"}[place]
        text = lines.replace(";", ";\n")
        said = mistakes(weir, **{elsewhere: f"location / {{ {text} }}" if elsewhere == "locations" else text})
        assert re.findall(r'"(\w+)" directive is not allowed here', said) == names_of(lines), place
        level = "http" if place == "location" else place
        assert f'number of arguments in "{names_of(lines)[0]}"' in mistakes(weir, **{level: f"{names_of(lines)[0]};"})


# ---- kept connections --------------------------------------------------------------------------------------

def kept(port, target="/", *fields, count=1):
    """Whether a connection is still kept after so many answers; the last answer agrees in its Connection field."""
    with Connection(port) as client:
        for _ in range(count):
            client.send(head(f"GET {target} HTTP/1.1", *fields))
            reply = client.response()
        closing = reply.header("connection") == "close"
        assert closing == (client.closed_within(0.1) is not None)
        return not closing


@pytest.mark.directive("keepalive_requests")
def test_keepalive_requests_by_level(weir):
    """The number of the innermost level counts; 0 and 1 close after the first answer."""
    weir.start(config("location / { return 200; } location /two { keepalive_requests 2; return 200; } location /0 { keepalive_requests 0; return 200; }"
                      "location /1 { keepalive_requests 1; return 200; }", http="keepalive_requests 9;", server="keepalive_requests 3;"))
    counts = {target: next(n for n in range(1, 12) if not kept(weir.port, target, count=n)) for target in ("/", "/two", "/0", "/1")}
    assert counts == {"/": 3, "/two": 2, "/0": 1, "/1": 1}


@pytest.mark.directive("keepalive_time")
def test_keepalive_time(weir):
    """A connection older than that is closed after its next answer, and not while it is idle."""
    weir.start(config("location / { return 200 x; } location /long { keepalive_time 1m; return 200 x; }", http="keepalive_time 300ms;"))
    with weir.connect() as client:
        assert client.get("/").header("connection") == "keep-alive"
        assert client.closed_within(0.5) is None
        client.socket.settimeout(limit(5))
        assert client.get("/long").header("connection") == "keep-alive"
        assert client.get("/").header("connection") == "close"
        assert end_of(client) == (b"", "FIN")


@pytest.mark.directive("keepalive_disable")
def test_keepalive_disable(weir):
    """Old browsers' connections: by default after a POST of nginx's msie6; Safari, or none, when asked."""
    weir.start(config("location / { return 200; } location /none { keepalive_disable none; return 200; }"
                      "location /safari { keepalive_disable safari; return 200; } location /both { keepalive_disable msie6 safari; return 200; }"))

    def closed(target, method, agent):
        return ask(weir.port, head(f"{method} {target} HTTP/1.1", f"User-Agent: {agent}", "Content-Length: 0")).header("connection") == "close"

    asked = [("POST", MSIE), ("GET", MSIE), ("POST", MSIE.replace("6.0", "7.0")), ("POST", MSIE.replace("6.0", "10.0")), ("GET", SAFARI), ("GET", CHROME),
             ("POST", "MSIE "), ("POST", "MSIE 6"), ("POST", MSIE + "; SV1"), ("POST", MSIE.replace("6.0", "3.0")), ("POST", MSIE.replace("6.0", "5.5") + "; SV1")]
    got = {target: [closed(target, *each) for each in asked] for target in ("/", "/none", "/safari", "/both")}
    no = [False] * 3
    old, none = [False, False, True], [False, False, False]
    assert got == {"/": [True, *no, False, *no, *old], "/none": [False, *no, False, *no, *none], "/safari": [False, *no, True, *no, *none],
                   "/both": [True, *no, True, *no, *old]}


@pytest.mark.directive("keepalive_min_timeout", "worker_connections")
def test_keepalive_min_timeout_when_connections_run_out(weir):
    """A connection within that time is not closed to make room: another one is."""
    weir.expect_log("worker_connections are not enough")
    weir.start(config("location / { return 200 x; } location /kept { keepalive_min_timeout 1m; return 200 x; }", connections=16))
    keeper, others = weir.connect(), []
    keeper.get("/kept")
    for _ in range(30):
        others.append(weir.connect())
        others[-1].get("/")
    assert keeper.get("/kept").status == 200
    assert others[0].closed_within(1) is not None
    for each in [keeper, *others]:
        each.close()


@pytest.mark.directive("keepalive_min_timeout")
def test_keepalive_min_timeout_when_workers_end(weir):
    """An ending worker keeps such a connection for that time, answers on it once more, and closes others."""
    conf = config("location / { return 200 $pid; } location /kept { keepalive_min_timeout 1m; return 200 $pid; }"
                  "location /soon { keepalive_min_timeout 300ms; return 200 $pid; }")
    weir.start(conf)
    kept_one, soon, plain = weir.connect(), weir.connect(), weir.connect()
    old = kept_one.get("/kept").text
    assert {soon.get("/soon").text, plain.get("/").text} == {old}
    weir.reload(conf.replace("location /soon", "location /new { return 204; } location /soon"))
    assert weir.get("/").text != old
    assert plain.closed_within(limit(3)) is not None and soon.closed_within(limit(3)) is not None
    reply = kept_one.get("/kept")
    assert (reply.text, reply.header("connection")) == (old, "close")
    for each in (kept_one, soon, plain):
        each.close()


def test_keepalive_min_timeout_is_within_keepalive_timeout(weir):
    """An ending worker keeps no connection longer than it would have been kept anyway."""
    conf = config("location / { keepalive_timeout 500ms; keepalive_min_timeout 1m; return 200 x; }")
    weir.start(conf)
    with weir.connect() as client:
        client.get("/")
        weir.reload(conf.replace("location / {", "location /new { return 204; } location / {"))
        assert client.closed_within(limit(2)) is not None


# ---- headers -----------------------------------------------------------------------------------------------

@pytest.mark.directive("max_headers")
def test_max_headers(weir, make_weir):
    """As many lines as allowed pass, one more is refused, ignored ones count too; the default is 1000."""
    weir.start(config("location / { return 200 x; }", server="max_headers 4;"))
    fields = [f"X-{i}: 1" for i in range(6)]
    assert [ask(weir.port, head("GET / HTTP/1.1", *fields[:n])).status for n in (3, 4)] == [200, 400]
    assert [ask(weir.port, head("GET / HTTP/1.1", *(f"a_{i}: 1" for i in range(n)))).status for n in (3, 4)] == [200, 400]
    other = make_weir().start(config("location / { return 200 $http_x_0$http_x_998; }"))
    many = [f"X-{i}: {i}" for i in range(1000)]
    replies = [ask(other.port, head("GET / HTTP/1.1", *many[:n])) for n in (999, 1000)]
    assert [(reply.status, reply.text) for reply in replies][0] == (200, "0998") and replies[1].status == 400


@pytest.mark.directive("large_client_header_buffers")
def test_heads_as_large_as_the_limits_allow(weir):
    """All of a head is read, however large: 20,000 lines in 300 kB."""
    weir.start(config("location / { return 200 $http_last; }", server="max_headers 30000; large_client_header_buffers 64 8k;"))
    with weir.connect(timeout=4) as client:
        client.send(head("GET / HTTP/1.1", *["X-Y: 12345678"] * 20_000, "Last: z"))
        assert client.response().text == "z"
        assert client.get("/").text == ""


NAMES = ["plain-1", "under_score", "with.dot", "a!b", "_", "-"]


def passed_names(weir, backend, server):
    """Which of the names go on to an upstream."""
    up = backend()
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; }}", server=server))
    ask(weir.port, head("GET / HTTP/1.1", *(f"{name}: v" for name in NAMES)))
    return [name for name in NAMES if up.call.header(name)]


@pytest.mark.directive("ignore_invalid_headers", "underscores_in_headers")
@pytest.mark.parametrize("server, names", [
    ("", ["plain-1", "-"]), ("underscores_in_headers on;", ["plain-1", "under_score", "_", "-"]), ("ignore_invalid_headers off;", NAMES),
    ("ignore_invalid_headers off; underscores_in_headers on;", NAMES)])
def test_names_that_are_passed_on(weir, backend, server, names):
    assert passed_names(weir, backend, server) == names


def test_ignored_headers_are_seen_by_nobody(weir, backend):
    """They decide no framing, no host, no variable, no connection; the log names one of them at level info."""
    up = backend()
    weir.start(config(f"location / {{ return 200 '$host $http_x_y $http_foo_bar'; }} location /up {{ proxy_pass http://{up.address}; }}", log="info"))
    odd = ["Transfer_Encoding: chunked", "Content_Length: 5", "Ho_st: other", "X.Y: 1", "Foo_Bar: spoofed", "Connection_: close", "Upgrade!: x"]
    with weir.connect() as client:
        for _ in range(2):
            client.send(head("GET / HTTP/1.1", *odd))
            assert client.response().text == "a  "
        client.send(head("POST /up HTTP/1.1", *odd, "Content-Length: 3") + b"abc" + head("GET / HTTP/1.1"))
        assert (client.response().status, client.response().status) == (200, 200)
    assert (up.call.body, [name for name, _ in up.call.headers if "_" in name or "!" in name or "." in name]) == (b"abc", [])
    assert weir.wait_log(r'client sent invalid header line: "[\w.!]+"')


@pytest.mark.directive("underscores_in_headers")
def test_underscores_in_variables(weir):
    """With underscores allowed, a variable is every header that its name fits, in the order of their lines."""
    weir.start(config("location / { return 200 $http_foo_bar; }", server="underscores_in_headers on;"))
    assert ask(weir.port, head("GET / HTTP/1.1", "foo_bar: 1", "Foo-Bar: 2")).text == "1, 2"
    assert ask(weir.port, head("GET / HTTP/1.1", "Foo-Bar: 2", "foo_bar: 1")).text == "2, 1"


@pytest.mark.parametrize("server", ["", "ignore_invalid_headers off; underscores_in_headers on;"])
def test_broken_lines_stay_refused(weir, server):
    """A header line that is none is never ignored: whoever reads it otherwise would see another request."""
    weir.start(config("location / { return 200 x; }", server=server))
    for line in ["Content-Length : 5", "a b: 1", ": 1", "no colon", " folded: 1", "x\x01y: 1", "x\ty: 1", "a_b : 1", "a_b"]:
        assert ask(weir.port, head("GET / HTTP/1.1", line) + GOOD).status == 400, line


def test_the_default_server_decides(weir):
    """Headers are read before the server is known, so what the default server says counts for all."""
    weir.start(config("location / { return 200 '$http_a_b $uri'; }", server="underscores_in_headers on; merge_slashes off; max_headers 3;",
                      http="server { listen 127.0.0.1:{port2} default_server; server_name x; location / { return 200 '$http_a_b $uri'; } }"
                           "server { listen 127.0.0.1:{port2}; server_name other; underscores_in_headers on; merge_slashes off; location / { return 200 '$http_a_b $uri'; } }"))
    assert ask(weir.port, head("GET //x HTTP/1.1", "a_b: 1")).text == "1 //x"
    assert ask(weir.port2, head("GET //x HTTP/1.1", "a_b: 1", host="Host: other")).text == " /x"


# ---- slashes -----------------------------------------------------------------------------------------------

SLASHES = {  # target: the path with merge_slashes on, and off
    "//a": ("/a", "//a"), "/a//b": ("/a/b", "/a//b"), "/a%2fb": ("/a/b", "/a/b"), "/a%2f%2Fb": ("/a/b", "/a//b"), "/a//../b": ("/b", "/a/b"),
    "//../b": (400, "/b"), "/a/..//b": ("/b", "//b"), "/a///../../b": (400, "/a/b"), "/x//y/../../z": ("/z", "/x/z"), "/a/.//b": ("/a/b", "/a//b"),
    "/a//.": ("/a/", "/a//"), "/a//..": ("/", "/a/"), "/a/b/..": ("/a/", "/a/"), "/a%2f..%2fb": ("/b", "/b"), "/../x": (400, 400), "//..": (400, "/"),
    "//../..": (400, 400), "/a/%2e%2e//b": ("/b", "//b"), "/a%252fb": ("/a%2fb", "/a%2fb"), "/a%00": (400, 400), "/a//?x=//": ("/a/", "/a//"),
    "/.//a": ("/a", "//a"), "/...//a": ("/.../a", "/...//a"), "/a/...": ("/a/...", "/a/..."), "/%2f": ("/", "//"), "///": ("/", "///"),
    "/a/b//../..": ("/", "/a/"), "/a/b///../c": ("/a/c", "/a/b//c"), "/a/./": ("/a/", "/a/"), "http://h//a//b": ("/a/b", "//a//b")}


@pytest.mark.directive("merge_slashes")
@pytest.mark.parametrize("merge", ["on", "off"])
def test_slashes_in_paths(weir, merge):
    """Empty segments vanish, or count as segments; an encoded slash is one; what was asked for stays $request_uri."""
    weir.start(config("location / { return 200 '$uri $request_uri'; }", server=f"merge_slashes {merge};"))
    replies = {target: ask(weir.port, head(f"GET {target} HTTP/1.1")) for target in SLASHES}
    got = {target: reply.text.split(" ")[0] if reply.status == 200 else reply.status for target, reply in replies.items()}
    assert got == {target: paths[merge == "off"] for target, paths in SLASHES.items()}
    assert replies["/a//?x=//"].text.endswith(" /a//?x=//")


@pytest.mark.parametrize("merge", ["on", "off"])
def test_slashes_and_locations(weir, backend, merge):
    """Locations, files and proxy_pass with a URI see the path; proxy_pass without one passes what was asked for."""
    up = backend()
    weir.write("file", "html/d/f")
    weir.start(config(f"location = /exact/a {{ return 200 exact; }} location /with/ {{ proxy_pass http://{up.address}/to/; }}"
                      f"location /without/ {{ proxy_pass http://{up.address}; }} location /d/ {{ root {{tmp}}/html; }}"
                      "location ~ //$ { return 200 regex; } location ~ // { return 200 double; } location / { return 200 other; }",
                      server=f"merge_slashes {merge};"))
    on = merge == "on"
    assert weir.get("/exact//a").text == ("exact" if on else "double")
    assert weir.get("/exact%2fa").text == "exact"
    assert weir.get("/x//").text == ("other" if on else "regex")
    assert weir.get("//d/f").text == ("file" if on else "double")
    targets = ["/with/a//b", "/with//a", "/with/a%2fb", "/without//a", "/without/a/%2e//b?c=//"]
    for target in targets if on else [targets[2]]:
        weir.get(target)
    passed = [call.target for call in up.calls]
    assert passed == (["/to/a/b", "/to/a", "/to/a/b", "/without//a", "/without/a/%2e//b?c=//"] if on else ["/to/a/b"])


@pytest.mark.directive("merge_slashes")
def test_slashes_to_an_upstream_unmerged(weir, backend):
    """With merge_slashes off, proxy_pass with a URI keeps empty segments behind the location's part."""
    up = backend()
    weir.start(config(f"location /with/ {{ proxy_pass http://{up.address}/to/; }} location / {{ proxy_pass http://{up.address}; }}", server="merge_slashes off;"))
    for target in ("/with/a//b", "/with//a", "/with/a//../b", "//with/a"):
        weir.get(target)
    assert [call.target for call in up.calls] == ["/to/a//b", "/to//a", "/to/a/b", "//with/a"]


# ---- lingering ---------------------------------------------------------------------------------------------

def too_large(target):
    return head(f"POST {target} HTTP/1.1", "Content-Length: 100000")


def time_to_close(port, target, every=0.0):
    """Seconds from a refusal until the connection is closed; the client sends a byte every so often, or nothing."""
    with Connection(port) as client:
        client.send(too_large(target))
        assert client.response("POST").status == 413
        begun = time.monotonic()
        while time.monotonic() - begun < limit(2):
            if every:
                try:
                    client.send(b"x")
                except (BrokenPipeError, ConnectionResetError):
                    return time.monotonic() - begun
            if proc_connections(port, client.socket.getsockname()[1]) == 0:
                return time.monotonic() - begun
            take_time(every or 0.05)
        return None


def proc_connections(port, peer):
    """How many connections between these ports still have an end in the server's hands (FIN_WAIT2 with an inode)."""
    wanted = (f"0100007F:{port:04X}", f"0100007F:{peer:04X}")
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    return sum(1 for row in rows if (row[1], row[2]) == wanted and row[9] != "0")


@pytest.mark.directive("lingering_close", "lingering_timeout")
def test_lingering(weir):
    """After a refusal it reads on: until nothing came for lingering_timeout, for lingering_time at most."""
    weir.expect_log("too large body")
    weir.start(config("".join(f"location /{name} {{ {lines} }}" for name, lines in {
        "quiet": "lingering_timeout 600ms;", "busy": "lingering_time 700ms; lingering_timeout 3s;", "off": "lingering_close off; lingering_timeout 3s;"}.items()),
        http="client_max_body_size 10;"))
    took = {"quiet": time_to_close(weir.port, "/quiet"), "busy": time_to_close(weir.port, "/busy", every=0.1), "off": time_to_close(weir.port, "/off")}
    assert took["quiet"] and 0.4 < took["quiet"] < limit(1.5), took
    assert took["busy"] and 0.5 < took["busy"] < limit(1.5), took
    assert took["off"] is not None and took["off"] < limit(1.5), took


def taken_at_once(client):
    """What is there, and b"" when nothing has come for a while."""
    client.socket.settimeout(0.15)
    try:
        return client.socket.recv(1 << 16)
    except TimeoutError:
        return b""
    finally:
        client.socket.settimeout(limit(10))


@pytest.mark.parametrize("again", range(4))  # whether a reset overtakes anything is chance
def test_what_was_sent_meanwhile_takes_nothing_away(weir, again):
    """A client that writes on while a last answer goes out gets all of that: a close with unread bytes would be a reset."""
    weir.start(config("location / { root html; }", listen="127.0.0.1:{port} sndbuf=128k"))
    body = b"x" * 400_000
    (weir.tmp / "html").mkdir(exist_ok=True)
    (weir.tmp / "html/large").write_bytes(body)
    [worker] = weir.worker_pids()
    with Connection(weir.port, options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)]) as client:
        client.send(head("GET /large HTTP/1.1", "Connection: close"))
        wait_until(lambda: weir.status()["connections"]["writing"] == 2, 5, "an answer that waits for its client")
        os.kill(worker, signal.SIGSTOP)
        try:
            client.send(b"more")
            taken = b""
            while piece := taken_at_once(client):
                taken += piece
        finally:
            os.kill(worker, signal.SIGCONT)  # it can write all of the rest, and read
        assert (taken + client.until_close()).endswith(b"\r\n\r\n" + body)


@pytest.mark.directive("lingering_timeout")
def test_lingering_timeout_0_does_not_keep_connections(weir):
    """No time to wait is no wait: a connection must not stay for ever."""
    weir.expect_log("too large body")
    weir.start(config("location / { lingering_timeout 0; }", http="client_max_body_size 10;"))
    assert time_to_close(weir.port, "/") is not None


@pytest.mark.directive("lingering_time")
def test_lingering_ends_with_lingering_time(weir):
    """The wait for the next byte is no longer than what is left of lingering_time."""
    weir.expect_log("too large body")
    weir.start(config("location / { lingering_time 600ms; lingering_timeout 5s; }", http="client_max_body_size 10;"))
    with weir.connect() as client:
        client.send(too_large("/"))
        assert client.response("POST").status == 413
        take_time(0.3)
        client.send("x")
        wait_until(lambda: proc_connections(weir.port, client.socket.getsockname()[1]) == 0, 1.2, "the end of lingering_time")


@pytest.mark.directive("lingering_close")
def test_lingering_always(weir):
    """always waits after every last answer; the client's close ends it at once."""
    weir.start(config("location / { lingering_close always; lingering_timeout 10s; return 200 x; }"))
    with weir.connect() as client:
        client.send(head("GET / HTTP/1.1", "Connection: close"))
        assert client.response().text == "x" and end_of(client) == (b"", "FIN")
        own = client.socket.getsockname()[1]
        assert proc_connections(weir.port, own) == 1
    wait_until(lambda: proc_connections(weir.port, own) == 0, 3, "the server's end")


# ---- resets ------------------------------------------------------------------------------------------------

@pytest.mark.directive("reset_timedout_connection")
@pytest.mark.parametrize("reset", ["on", "off"])
def test_reset_timedout_connection(weir, backend, reset):
    """A connection whose time is over, or that return 444 ends, is reset; an idle one, and one with a 408, is not."""
    weir.write("x" * 8_000_000, "html/big")
    weir.start(config("location / { return 200 yes; } location /444 { return 444; } location /plain { reset_timedout_connection off; return 444; }"
                      "location /body { handler echo; client_body_timeout 300ms; } location /big { root {tmp}/html; send_timeout 300ms; }",
                      http=f"client_header_timeout 300ms; keepalive_timeout 300ms; lingering_timeout 5s; reset_timedout_connection {reset};"))
    late = "RST" if reset == "on" else "FIN"
    yes = head("GET / HTTP/1.1")

    def big(port):
        with narrow(port) as client:
            client.send(head("GET /big HTTP/1.1"))
            let_pass(limit(0.8))
            return end_of(client)
    asked = {"silent": (), "half": ("GET / HT",), "idle": (yes,), "second": (yes + b"GET / HT",), "444": (head("GET /444 HTTP/1.1"),),
             "plain": (head("GET /plain HTTP/1.1"),), "body": (head("POST /body HTTP/1.1", "Content-Length: 9") + b"abc",), "big": None}
    got = dict(zip(asked, parallel(lambda pieces: big(weir.port) if pieces is None else ending(weir.port, *pieces), asked.values())))
    assert {name: how for name, (_, how) in got.items()} == {
        "silent": "FIN", "half": late, "idle": "FIN", "second": late, "444": late, "plain": "FIN", "body": "FIN", "big": late}
    assert got["half"][0] == got["444"][0] == b"" and got["second"][0].endswith(b"yes")
    assert got["body"][0].startswith(b"HTTP/1.1 408 ") and len(got["big"][0]) < 8_000_000


@pytest.mark.parametrize("reset", ["on", "off"])
def test_answers_before_a_444(weir, reset):
    """Requests before it on the same connection keep their answers."""
    weir.start(config("location / { return 200 yes; } location /444 { return 444; }", http=f"reset_timedout_connection {reset};"))
    data, how = ending(weir.port, head("GET / HTTP/1.1") * 2 + head("GET /444 HTTP/1.1") + head("GET / HTTP/1.1"))
    assert data.count(b"yes") == 2 and how in ("FIN", "RST")


def test_444_to_a_request_in_pieces(weir):
    """The connection's input goes with it: nothing of it is touched any more, which sanitizers would tell."""
    weir.start(config("location / { handler sleep; } location /444 { return 444; }"))
    whole = head("GET /444 HTTP/1.1")
    for cut in (5, 30):
        with weir.connect() as client:
            client.send(whole[:cut])
            client.wait_taken()
            client.send(whole[cut:] + GET)
            assert end_of(client)[0] == b""
    data, how = ending(weir.port, head("GET /?ms=20 HTTP/1.1") + whole + GET)
    assert data.endswith(b"slept 20 ms\n") and how in ("FIN", "RST")


# ---- redirects ---------------------------------------------------------------------------------------------

REDIRECTS = """
    location {0}/ret {{ {1} return 301 /x?$args; }}
    location {0}/rw {{ {1} rewrite ^ /new?a=b redirect; }}
    location {0}/perm {{ {1} rewrite ^ /new permanent; }}
    location {0}/pass/ {{ {1} proxy_pass http://127.0.0.1:1; }}
    location {0}/url {{ {1} return 302 https://else.example/y; }}
    location {0}/dir {{ {1} alias {{tmp}}/html/dir; }}
"""
HOSTS = {"/d": ("", "http://asked.example:PORT"), "/rel": ("absolute_redirect off;", ""), "/np": ("port_in_redirect off;", "http://asked.example"),
         "/sn": ("server_name_in_redirect on;", "http://first.example:PORT"),
         "/snp": ("server_name_in_redirect on; port_in_redirect off;", "http://first.example"),
         "/relsn": ("absolute_redirect off; server_name_in_redirect on;", "")}


def test_redirects(weir):
    """Scheme, host and port of redirects that are the server's own; whole URLs stay what they are."""
    (weir.tmp / "html/dir").mkdir()
    weir.start(config("".join(REDIRECTS.format(prefix, lines) for prefix, (lines, _) in HOSTS.items()), server="server_name first.example second.example;"))
    for prefix, (_, host) in HOSTS.items():
        got = {target: location_of(weir, prefix + target) for target in ("/ret?q=1", "/rw?z", "/perm", "/pass?p", "/url", "/dir?c=d")}
        assert got == {"/ret?q=1": (301, host + "/x?q=1"), "/rw?z": (302, host + "/new?a=b&z"), "/perm": (301, host + "/new"),
                       "/pass?p": (301, f"{host}{prefix}/pass/?p"), "/url": (302, "https://else.example/y"), "/dir?c=d": (301, f"{host}{prefix}/dir/?c=d")}


@pytest.mark.directive("absolute_redirect", "port_in_redirect")
def test_redirect_settings_by_level(weir):
    """They are inherited, and a level's own setting counts."""
    weir.start(config("location / { return 301 /x; } location /on { absolute_redirect on; return 301 /x; location /on/in { absolute_redirect off; return 301 /x; } }"
                      "location /port { absolute_redirect on; port_in_redirect on; return 301 /x; }", http="absolute_redirect off;", server="port_in_redirect off;"))
    assert [location_of(weir, target)[1] for target in ("/", "/on", "/on/in", "/port")] == ["/x", "http://asked.example/x", "/x", "http://asked.example:PORT/x"]


@pytest.mark.directive("server_name_in_redirect")
def test_redirect_without_host(weir):
    """A request without Host is sent to the address it came to, unless server_name_in_redirect is on."""
    weir.start(config("location / { return 301 /x; } location /sn { server_name_in_redirect on; return 301 /x; }", server="server_name first.example;"))
    got = [ask(weir.port, f"GET {target} HTTP/1.0\r\n\r\n".encode()).header("location") for target in ("/", "/sn")]
    assert got == [f"http://127.0.0.1:{weir.port}/x", f"http://first.example:{weir.port}/x"]


@pytest.mark.needs("ipv6")
def test_redirect_to_an_ipv6_address(weir):
    """An address with colons stands in brackets."""
    weir.start(config("location / { return 301 /x; }", http="server { listen [::1]:{port2}; return 301 /x; }"))
    with socket.create_connection(("::1", weir.port2), limit(5)) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        said = client.recv(4096)
    assert f"Location: http://[::1]:{weir.port2}/x\r\n".encode() in said


# ---- error pages -------------------------------------------------------------------------------------------

PAGES = """
    location = /to { return 302 /there; } location = /missing { root {tmp}/none; } location = /403 { return 403; } location = /dir { root {tmp}/html; }
    location = /page { return 200 page; } location @n { return 302 /named; } location = /rw { rewrite ^ /new redirect; }
"""


def pages(weir, more, **parts):
    weir.expect_log("cycle|No such file")
    (weir.tmp / "html/dir").mkdir()
    weir.start(config(PAGES + more, http="absolute_redirect off;", **parts))


def test_error_page_that_redirects(weir):
    """What an error page answers as a redirect is one for the client: status and Location belong together."""
    cases = {"404 /to": (302, "/there"), "404 =200 /to": (302, "/there"), "404 = /to": (302, "/there"), "404 @n": (302, "/named"), "404 /rw": (302, "/new"),
             "404 /dir": (301, "/dir/"), "404 http://u.example/": (302, "http://u.example/"), "404 =301 http://u.example/": (301, "http://u.example/")}
    pages(weir, "".join(f"location /{i} {{ error_page {page}; return 404; }}" for i, page in enumerate(cases)))
    assert {page: location_of(weir, f"/{i}") for i, page in enumerate(cases)} == cases


def test_error_page_that_fails(weir):
    """A page that is not there itself is never shown as a success or a redirect."""
    pages(weir, "location /200 { error_page 404 =200 /missing; return 404; } location /302 { error_page 404 =302 /missing; return 404; }")
    assert [location_of(weir, target) for target in ("/200", "/302")] == [(404, None), (404, None)]


def test_error_page_of_a_redirect_keeps_its_target(weir):
    """A page for 302 is a redirect's body: without Location nobody could follow it."""
    pages(weir, "location /a { error_page 302 /page; return 302 http://q.example/; } location /b { error_page 302 /page; rewrite ^ /new redirect; }")
    assert [location_of(weir, target) for target in ("/a", "/b")] == [(302, "http://q.example/"), (302, "/new")]


@pytest.mark.directive("recursive_error_pages")
def test_recursive_error_pages(weir):
    """An error of an error page has its page only with recursive_error_pages."""
    pages(weir, "location /one { error_page 404 /two; return 404; } location /two { error_page 403 /page; return 403; }"
                "location /named { error_page 404 @two; return 404; } location @two { error_page 403 /page; return 403; }", server="recursive_error_pages on;")
    assert [(reply.status, reply.text) for reply in map(weir.get, ("/one", "/named"))] == [(403, "page")] * 2
    weir.reload(weir.conf.read_text().replace("recursive_error_pages on", "recursive_error_pages off"))
    assert all(reply.text != "page" and reply.status in (403, 404) for reply in map(weir.get, ("/one", "/named")))


@pytest.mark.directive("recursive_error_pages")
@pytest.mark.parametrize("target", ["/self", "/ping", "/named", "/any", "/index/"])
def test_cycles_of_error_pages_end(weir, target):
    """With an answer, a line in the log, and a connection that goes on."""
    pages(
        weir, "location /self { error_page 404 500 /self; return 404; } location /ping { error_page 404 /pong; return 404; } location /pong { error_page 404 /ping; return 404; }"
              "location /named { error_page 404 500 @a; return 404; } location @a { error_page 403 404 500 @b; return 403; } location @b { error_page 402 403 500 @a; return 402; }"
              "location /any { error_page 403 404 500 /index/; return 404; } location /index/ { error_page 403 404 500 /any; root {tmp}/none; }",
        server="recursive_error_pages on;")
    with weir.connect() as client:
        for _ in range(3):
            assert client.get(target).status == 500
    assert weir.wait_log("rewrite or internal redirection cycle")


def test_error_pages_for_redirects_that_are_urls_end(weir):
    """A page for 302 that is a URL makes a 302 again: that must be the answer, and not the worker's end."""
    pages(weir, "location / { error_page 302 http://u.example/; return 302 http://q.example/; } location /301 { error_page 301 =301 http://u.example/; return 301 http://q.example/; }"
                "location /404 { error_page 404 302 http://u.example/; return 404; }", server="recursive_error_pages on;")
    workers = weir.worker_pids()
    assert [location_of(weir, target) for target in ("/", "/301", "/404")] == [(302, "http://u.example/"), (301, "http://u.example/"), (302, "http://u.example/")]
    assert weir.worker_pids() == workers


# ---- chunks ------------------------------------------------------------------------------------------------

@pytest.mark.directive("chunked_transfer_encoding")
def test_chunked_transfer_encoding_off(weir, backend):
    """Answers of unknown length end with their connection; those with a length stay as they are."""
    text = b"many words " * 500
    up = backend(lambda call: CHUNKS + chunked(text, 100) if "chunks" in call.target else answer(text))
    weir.write(text.decode(), "html/f.txt")
    weir.start(config(f"location /up/ {{ proxy_pass http://{up.address}; }} location /on/ {{ chunked_transfer_encoding on; proxy_pass http://{up.address}/; }}"
                      "location /gz/ { gzip on; gzip_types *; gzip_min_length 1; gzip_http_version 1.0; alias {tmp}/html/; } location /trailer { add_trailer X-T 1; return 200 abc; }",
                      server="chunked_transfer_encoding off;"))
    with weir.connect() as client:
        for target in ("/on/chunks", "/up/length"):
            reply = client.get(target)
            assert (reply.body, reply.header("connection")) == (text, "keep-alive")
    for target, fields, unpack in (("/up/chunks", (), bytes), ("/gz/f.txt", [("Accept-Encoding", "gzip")], gzip.decompress)):
        with weir.connect() as client:
            client.request(target, headers=fields)
            client.send(head("GET /up/length HTTP/1.1"))
            before, body = client.until_close().split(b"\r\n\r\n", 1)
        assert unpack(body) == text and b"\r\nConnection: close" in before
        assert b"Transfer-Encoding" not in before and b"Content-Length" not in before
        with weir.connect() as client:  # has no body that would have to end
            client.request(target, "HEAD", headers=fields)
            reply = client.response("HEAD")
            assert reply.header("transfer-encoding") is None and reply.header("content-length") is None
            assert client.get("/up/length").status == 200
    reply = weir.get("/trailer")
    assert (reply.text, reply.header("content-length")) == ("abc", "3")


def test_a_handler_that_streams_without_chunks(weir, tmp_path):
    """What a handler flushes piece by piece ends with the connection too, and arrives before its end."""
    module, source = tmp_path / "pour.so", ROOT / "tests/functional/lib/pour.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-I", BINARY.parent / "include", "-o", module, source], check=True)
    weir.start(config("location / { handler pour; chunked_transfer_encoding off; } location /chunks { handler pour; }", main=f"load_module {module};"))
    data, how = ending(weir.port, head("GET /?n=50&size=300&us=100 HTTP/1.1") + GET)
    before, body = data.split(b"\r\n\r\n", 1)
    assert body == b"x" * 15_000 and how in ("FIN", "RST") and b"\r\nConnection: close" in before and b"Transfer-Encoding" not in before
    assert weir.get("/chunks?n=5&size=3").header("transfer-encoding") == "chunked"


@pytest.mark.directive("chunked_transfer_encoding")
def test_an_answer_cut_short_without_chunks(weir, backend):
    """What came of it goes out, and the end of the connection is the end."""
    def cut(call):
        call.send(CHUNKS + b"5\r\nhello\r\n5\r\nwo")
        call.close()
    up = backend(cut)
    weir.expect_log("prematurely closed|premature")
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; }}", server="chunked_transfer_encoding off;"))
    data, how = ending(weir.port, GET)
    assert data.split(b"\r\n\r\n")[1] in (b"hello", b"hellowo", b"") and how in ("FIN", "RST")


# ---- files -------------------------------------------------------------------------------------------------

EXACT, AFTER, BEFORE = (f"Sun, 09 Sep 2001 01:46:{second} GMT" for second in (40, 41, 39))
SINCE = {"off": [200] * 6, "exact": [304, 200, 200, 304, 200, 200], "before": [304, 304, 200, 304, 200, 304]}


@pytest.mark.directive("if_modified_since")
def test_if_modified_since(weir):
    """off never, exact for the very time, before for later ones too; If-None-Match comes first."""
    os.utime(weir.write(TEN, "html/f"), (1_000_000_000, 1_000_000_000))
    weir.start(config("".join(f"location /{how}/ {{ if_modified_since {how}; alias {{tmp}}/html/; }}" for how in SINCE) + "location /default/ { alias {tmp}/html/; }"))
    dates = [EXACT, AFTER, BEFORE, "Sun Sep  9 01:46:40 2001", "junk", "Fri, 01 Jan 2100 00:00:00 GMT"]
    got = {how: [ask(weir.port, head(f"GET /{how}/f HTTP/1.1", f"If-Modified-Since: {date}")).status for date in dates] for how in [*SINCE, "default"]}
    assert got == SINCE | {"default": SINCE["exact"]}
    tag = weir.get("/off/f").header("etag")
    assert [ask(weir.port, head(f"GET /{how}/f HTTP/1.1", f"If-Modified-Since: {EXACT}", 'If-None-Match: "x"')).status for how in SINCE] == [200] * 3
    assert [ask(weir.port, head(f"GET /{how}/f HTTP/1.1", f"If-None-Match: {tag}")).status for how in SINCE] == [304] * 3


RANGES = {  # max_ranges: what answers to these Range values
    0: [200] * 8, 1: [206, 200, 200, 206, 200, 206, 200, 416], 2: [206, 206, 200, 206, 206, 206, 200, 416], 3: [206, 206, 206, 206, 206, 206, 200, 416]}


@pytest.mark.directive("max_ranges")
def test_max_ranges(weir):
    """More ranges than allowed bring the whole file; those outside the file do not count; 0 does not offer any."""
    weir.write(TEN, "html/f")
    weir.start(config("".join(f"location /{n}/ {{ max_ranges {n}; alias {{tmp}}/html/; }}" for n in RANGES) + "location /d/ { alias {tmp}/html/; }"))
    asked = ["0-1", "0-1,3-4", "0-1,3-4,6-7", "50-60,0-1", "50-60,0-1,2-3", "0-1,50-60,70-80", "0-9,0-9", "50-60"]
    replies = {n: [ask(weir.port, head(f"GET /{n}/f HTTP/1.1", f"Range: bytes={value}")) for value in asked] for n in RANGES}
    assert {n: [reply.status for reply in each] for n, each in replies.items()} == RANGES
    assert {reply.header("accept-ranges") for reply in replies[0]} == {None} and replies[1][1].header("accept-ranges") == "bytes"
    assert all(reply.text == TEN for each in replies.values() for reply in each if reply.status == 200)
    many = [",".join(["0-0"] * count) for count in (8, 11, 5000)]
    assert [ask(weir.port, head("GET /d/f HTTP/1.1", f"Range: bytes={value[:8000]}")).status for value in many] == [206, 200, 200]


@pytest.mark.parametrize("lines", ["sendfile on; sendfile_max_chunk 16k;", "sendfile off; sendfile_max_chunk 16k;", "sendfile on; sendfile_max_chunk 0;", "sendfile on; sendfile_max_chunk 1g;"])
def test_sendfile_max_chunk(weir, lines):
    """The file arrives whole, whatever the share; another client is answered meanwhile."""
    data = "0123456789abcdef" * 125_000
    weir.write(data, "html/big")
    weir.write(data[:3001], "html/small")
    weir.start(config(f"location / {{ root {{tmp}}/html; {lines} }} location /tiny/ {{ alias {{tmp}}/html/; sendfile_max_chunk 7; }} location /yes {{ return 200 yes; }}"))
    with weir.connect() as client, narrow(weir.port) as slow:
        slow.send(head("GET /big HTTP/1.1"))
        client.send(head("GET /big HTTP/1.1") + head("GET /yes HTTP/1.1"))
        assert weir.get("/yes").text == "yes"
        assert client.response().text == data and client.response().text == "yes"
        assert client.get("/tiny/small").text == data[:3001]
        assert slow.response().text == data


@pytest.mark.directive("log_not_found")
def test_log_not_found(weir):
    """Files and folders that do not exist are logged, unless told not to; other errors always are."""
    weir.write(TEN, "html/f/x")
    weir.start(config("location / { root {tmp}/html; log_not_found off; } location /loud/ { log_not_found on; root {tmp}/html; } location /inherits/ { root {tmp}/html; }",
                      server="log_not_found off;"))
    for target in ("/a", "/no/", "/f/x/y", "/inherits/b", "/f/", "/loud/c", "/loud/d/"):
        assert weir.get(target).status in (403, 404)
    logged = re.findall(r"\"\S*/html(/\S*)\" (?:is|failed)", weir.error_log)
    assert logged == ["/f/", "/loud/c", "/loud/d/index.html"]


@pytest.mark.directive("server_tokens")
def test_server_tokens(weir):
    """off leaves the version out of header and error pages; build says at least as much as on."""
    weir.start(config("".join(f"location /{how} {{ server_tokens {how}; return 404; }}" for how in ("on", "off", "build")) + "location / { return 404; }", server="server_tokens off;"))
    replies = {how: weir.get(f"/{how}") for how in ("on", "off", "build", "inherited")}
    names = {how: reply.header("server") for how, reply in replies.items()}
    assert names["off"] == names["inherited"] == "weir" and re.fullmatch(r"weir/[\d.]+", names["on"]) and names["build"].startswith(names["on"])
    assert ["weir/" in reply.text for reply in replies.values()] == [True, False, True, False]


# ---- changes under way -------------------------------------------------------------------------------------

@pytest.mark.directive("max_headers")
def test_settings_change_with_a_reload(weir):
    """Numbers and choices of running connections follow a reload."""
    conf = config("location / { return 301 //x; }", server="merge_slashes on; absolute_redirect on; keepalive_requests 100; max_headers 100;")
    weir.start(conf)
    assert location_of(weir, "/")[1] == "http://asked.example:PORT//x"
    weir.reload(conf.replace("absolute_redirect on", "absolute_redirect off").replace("max_headers 100", "max_headers 2"))
    assert location_of(weir, "/")[1] == "//x"
    assert location_of(weir, "/", "A: 1", "B: 2")[0] == 400
