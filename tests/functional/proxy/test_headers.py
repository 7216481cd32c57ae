"""proxy_pass: the headers of requests and answers, and what must not get through in them."""

import collections

import pytest
from proxylib import HOP_BY_HOP, answer, backend, get, passed, raw_answer, upstream  # noqa: F401 - a fixture
from weirlib import config
from wire import ask, head


# ---- headers of the request ---------------------------------------------------------------------------------

@pytest.mark.directive("proxy_pass")
def test_host_is_what_proxy_pass_names(weir, backend):
    up = backend()
    weir.start(config(f"location /direct {{ proxy_pass http://{up.address}; }}"
                      "location /named { proxy_pass http://up; }"
                      f"location /own {{ proxy_pass http://{up.address}; proxy_set_header Host $host; }}"
                      f"location /exact {{ proxy_pass http://up; proxy_set_header host $http_host; }}"
                      f"location /other {{ proxy_pass http://up; proxy_set_header X-Other 1; }}", http=upstream(up)))
    found = {}
    for each in ("direct", "named", "own", "exact", "other"):
        assert ask(weir.port, head(f"GET /{each} HTTP/1.1", host="Host: Client.example:81")).status == 200
        found[each] = up.call.all("Host")
    assert found == {"direct": [up.address], "named": ["up"], "own": ["client.example"],
                     "exact": ["Client.example:81"], "other": ["up"]}


@pytest.mark.directive("proxy_set_header")
def test_proxy_host_variable(weir, backend):
    up = backend()
    passed(weir, up, "proxy_set_header Host $proxy_host; proxy_set_header X-Port $proxy_port;")
    assert weir.get().status == 200
    assert up.call.header("Host") == up.address and up.call.header("X-Port") == str(up.port)


def test_set_header(weir, backend):
    up = backend()
    passed(weir, up, 'proxy_set_header X-Uri "$request_method $uri?$args"; proxy_set_header X-Gone "";'
                     "proxy_set_header X-Empty $arg_none; proxy_set_header Accept-Encoding ''; "
                     "proxy_set_header User-Agent weir; proxy_set_header X-Twice 1; proxy_set_header X-Twice 2;")
    weir.get("/a?b=c", headers=[("X-Gone", "1"), ("x-empty", "2"), ("accept-encoding", "gzip"), ("USER-AGENT", "me"),
                                ("X-Kept", "3"), ("X-Kept", "4")])
    call = up.call
    assert call.all("X-Uri") == ["GET /a?b=c"] and call.all("User-Agent") == ["weir"]
    assert not call.all("X-Gone") and not call.all("X-Empty") and not call.all("Accept-Encoding")
    assert call.all("X-Twice") == ["1", "2"] and call.all("X-Kept") == ["3", "4"]


def test_set_header_is_inherited_where_a_level_has_none(weir, backend):
    up = backend()
    weir.start(config(f"location /all {{ proxy_pass http://{up.address}; }}"
                      f"location /own {{ proxy_pass http://{up.address}; proxy_set_header X-Own 1; }}",
                      http="proxy_set_header X-Http 1;", server="proxy_set_header X-Server 1;"))
    seen = {}
    for each in ("all", "own"):
        weir.get(f"/{each}")
        seen[each] = [name for name in ("X-Http", "X-Server", "X-Own") if up.call.all(name)]
    assert seen == {"all": ["X-Server"], "own": ["X-Own"]}


@pytest.mark.parametrize("target", ["/a%0d%0aX-Evil:%20yes", "/a%0aX-Evil:%20yes", "/a%0dX-Evil:%20yes"])
def test_a_variable_cannot_add_headers(weir, backend, target):
    """$uri is decoded: what a client escapes in it must not become a line of the head."""
    up = backend()
    passed(weir, up, 'proxy_set_header X-Uri "$uri"; proxy_set_header X-After after;')
    weir.get(target)
    if up.calls:  # refusing is as good
        assert not up.calls[0].all("X-Evil") and b"\nX-Evil" not in up.calls[0].head, up.calls[0].head
        assert b"\r" not in up.calls[0].head.replace(b"\r\n", b""), up.calls[0].head


def test_a_path_cannot_split_the_request(weir, backend):
    up = backend()
    passed(weir, up, location="/a/", uri="/b/")
    weir.get("/a/x%20HTTP/1.1%0d%0aX-Evil:%20yes%0d%0a%0d%0aGET%20/")
    assert len(up.calls) == 1 and not up.call.all("X-Evil") and up.call.target.startswith("/b/x%20HTTP/1.1%0D%0A")


@pytest.mark.http1_only
def test_hop_by_hop_headers_of_the_request(weir, backend):
    up = backend()
    passed(weir, up)
    weir.get("/", headers=[("Connection", "keep-alive, X-Named, x-second"), ("X-Named", "1"), ("X-Second", "2"),
                           ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "trailers"),
                           ("Trailer", "X-T"), ("Upgrade", "websocket"), ("X-Third", "3")])
    call = up.call
    assert not [name for name, _ in call.headers if name.lower() in HOP_BY_HOP - {"connection"}]
    assert not call.all("X-Named") and not call.all("X-Second") and call.all("X-Third") == ["3"]
    assert call.all("Connection") in ([], ["close"], ["keep-alive"])


@pytest.mark.directive("proxy_set_header")
def test_connection_cannot_take_what_the_proxy_says(weir, backend):
    """A client that names Host, Content-Length or X-Forwarded-For in Connection takes nothing away."""
    up = backend()
    passed(weir, up, "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;")
    weir.get("/", method="POST", body=b"abc", headers=[("Connection", "Host, Content-Length, X-Forwarded-For")])
    call = up.call
    assert call.all("Host") == [up.address] and call.all("X-Forwarded-For") == ["127.0.0.1"] and call.body == b"abc"


def test_expect_is_answered_here(weir, backend):
    up = backend(lambda call: answer(call.body))
    passed(weir, up)
    reply = weir.get("/", method="PUT", body=b"abc", headers=[("Expect", "100-continue")])
    assert reply.body == b"abc" and reply.informational == [100] and not up.call.all("Expect")


@pytest.mark.parametrize("came, seen", [([], "127.0.0.1"), (["1.2.3.4"], "1.2.3.4, 127.0.0.1"),
                                        (["1.2.3.4, 5.6.7.8"], "1.2.3.4, 5.6.7.8, 127.0.0.1"),
                                        (["1.1.1.1", "2.2.2.2"], "1.1.1.1, 2.2.2.2, 127.0.0.1")])
def test_forwarded_for(weir, backend, came, seen):
    up = backend()
    passed(weir, up, "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;")
    weir.get("/", headers=[("X-Forwarded-For", each) for each in came])
    assert up.call.all("X-Forwarded-For") == [seen]


def test_own_length_wins(weir, backend):
    """A configured Content-Length or Transfer-Encoding does not make a request that can be read in two ways."""
    up = backend(read_body=False)
    passed(weir, up, "proxy_set_header Content-Length 1; proxy_set_header Transfer-Encoding chunked;")
    weir.get("/", method="POST", body=b"abc")
    assert up.calls[0].all("Content-Length") == ["3"] and not up.calls[0].all("Transfer-Encoding")


# ---- headers of the answer ----------------------------------------------------------------------------------

def test_headers_of_the_answer(weir, backend):
    up = backend(answer(b"x", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Server: theirs", "X-Accel-Expires: 5",
                        "X-Accel-Limit-Rate: 0", "Keep-Alive: timeout=7", "Proxy-Connection: keep-alive", "X-Kept: 1",
                        "Cache-Control: no-store", "Set-Cookie: a=1; Path=/", "Vary: x", "Set-Cookie: b=2",
                        "Set-Cookie: a=3", "ETag: \"e\"", "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT",
                        "Location: /elsewhere", "Accept-Ranges: bytes", "Retry-After: 9", "X-Empty:"))
    passed(weir, up)
    reply = weir.get()
    names = collections.Counter(name for name, _ in reply.headers)
    assert names["server"] == names["date"] == 1 and "theirs" not in reply.header("Server")
    assert not [name for name in names if name.startswith("x-accel")] and not names["proxy-connection"]
    assert "timeout=7" not in reply.header("Keep-Alive", "") and "1970" not in reply.header("Date")
    assert [value for name, value in reply.headers if name == "set-cookie"] == ["a=1; Path=/", "b=2", "a=3"]
    passed_on = {"X-Kept": "1", "Cache-Control": "no-store", "Vary": "x", "ETag": '"e"', "Location": "/elsewhere",
                 "Accept-Ranges": "bytes", "Retry-After": "9", "X-Empty": "",
                 "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"}
    assert {name: reply.header(name) for name in passed_on} == passed_on


def test_what_connection_names_in_the_answer(weir, backend):
    """RFC 9110 section 7.6.1: what the upstream's Connection header names is between it and us."""
    passed(weir, backend(answer(b"x", "Connection: keep-alive, X-Named", "X-Named: 1", "X-Other: 2")))
    reply = weir.get()
    assert reply.header("X-Named") is None and reply.header("X-Other") == "2"


@pytest.mark.directive("proxy_hide_header")
@pytest.mark.parametrize("name", ["X-Powered-By", "Set-Cookie", "ETag", "Last-Modified", "Location", "Content-Type"])
def test_hide_header(weir, backend, name):
    passed(weir, backend(answer(b"x", f"{name}: 1", "X-Other: 2", f"{name.lower()}: 3")),
           f"proxy_hide_header {name.upper()};")
    reply = weir.get()
    assert reply.header(name) is None and reply.header("X-Other") == "2"


def test_hide_header_is_inherited_where_a_level_has_none(weir, backend):
    up = backend(answer(b"x", "X-A: 1", "X-B: 2"))
    weir.start(config(f"location /all {{ proxy_pass http://{up.address}; }}"
                      f"location /own {{ proxy_pass http://{up.address}; proxy_hide_header X-B; }}",
                      server="proxy_hide_header X-A;"))
    seen = {each: [name for name in ("X-A", "X-B") if weir.get(f"/{each}").header(name)] for each in ("all", "own")}
    assert seen == {"all": ["X-B"], "own": ["X-A"]}


@pytest.mark.parametrize("line", [b"X-A: b\rX-Evil: c", b"X-A: b\0c", b"X-A: b\r\r\nX-Evil: c", b"X-A\r: b", b"X A: b",
                                  b"X-A : b", b": b", b"X-A", b" folded", b"\tfolded", b"X-A: b\x01", b"X-A: b\x7f",
                                  b"Location: /\rX-Evil: c", b"ETag: \"\0\"", b"Content-Type: a\rb"])
def test_no_splitting_of_answers(weir, backend, line):
    """What could be read in two ways does not reach the client."""
    passed(weir, backend(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-First: 1\r\n" + line + b"\r\n\r\nx"))
    raw = raw_answer(weir.port, get())
    assert raw.startswith(b"HTTP/1.1 502 ") and b"X-Evil" not in raw and b"X-First" not in raw


@pytest.mark.parametrize("reason", [b"OK\rX-Evil: c", b"OK\0", b"\x01", b"OK\r\r"])
def test_no_splitting_by_the_reason(weir, backend, reason):
    passed(weir, backend(b"HTTP/1.1 200 " + reason + b"\r\nContent-Length: 1\r\n\r\nx"))
    raw = raw_answer(weir.port, get())
    assert b"\r" not in raw.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"") and b"\0" not in raw


# ---- ids --------------------------------------------------------------------------------------------------------

@pytest.mark.directive("proxy_request_ids")
def test_ids_of_requests_can_be_left_away(weir, backend):
    up = backend()
    weir.start(config(f"location /on {{ proxy_pass http://{up.address}; }}"
                      f"location /off {{ proxy_pass http://{up.address}; proxy_request_ids off; }}"))
    weir.get("/on")
    assert up.call.header("X-Request-ID") and up.call.header("traceparent")
    weir.get("/off")
    assert not up.call.all("X-Request-ID") and not up.call.all("traceparent")
    weir.get("/off", headers=[("X-Request-ID", "mine")])
    assert up.call.all("X-Request-ID") == ["mine"]


# ---- the connection ---------------------------------------------------------------------------------------------

@pytest.mark.directive("proxy_socket_keepalive")
@pytest.mark.parametrize("keepalive", ["on", "off"])
def test_socket_keepalive(weir, backend, keepalive):
    """The kernel has a keepalive timer (2 in /proc/net/tcp) for the connection that is kept, or none."""
    up = backend()
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; proxy_socket_keepalive {keepalive}; }}"))
    assert weir.get("/").status == 200
    wanted = f"0100007F:{up.port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        timers = [row.split()[5][:2] for row in table if row.split()[2] == wanted and row.split()[3] == "01"]
    assert timers and all((timer == "02") == (keepalive == "on") for timer in timers)
