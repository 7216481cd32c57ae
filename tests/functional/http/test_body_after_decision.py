"""What the head of a request decides is answered at once; its body is read where something wants it (RFC 9110 section 10.1.1)."""

import threading

import pytest
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config, fetch, limit, wait_until
from wire import GOOD, chunked, head

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE = 5 << 20

DECIDED = {  # status of a POST, and what decides it
    "basic": (401, 'auth_basic x; auth_basic_user_file {tmp}/users; <proxy>'),
    "deny": (403, "deny all; <proxy>"),
    "except": (403, "limit_except GET { deny all; } <proxy>"),
    "asked": (403, "auth_request /no; <proxy>"),
    "rate": (503, "limit_req zone=r; <proxy>"),
    "connections": (503, "limit_conn c 1; <proxy>"),
    "return": (418, "return 418;"),
    "text": (200, 'return 200 "text";'),
    "none": (404, ""),
    "file": (405, ""),
    "files": (404, "try_files /nothing =404; <proxy>"),
    "handler": (401, "auth_basic x; auth_basic_user_file {tmp}/users; handler echo;"),
    "permit": (403, "deny all; limit_concurrency z; <proxy>"),
    "streamed": (403, "deny all; proxy_request_buffering off; <proxy>"),
    "page": (403, "deny all; error_page 403 /text; <proxy>"),
    "status": (405, "status;"),
    "nowhere": (500, "proxy_pass http://$arg_nope;"),
    "empty": (500, "proxy_pass $arg_nope;"),
    "scheme": (500, "set $to ftp://a; proxy_pass $to;"),
    "host": (500, "set $to :80; proxy_pass http://$to;"),
    "port": (500, "set $to a:99999; proxy_pass http://$to/x;"),
    "socket": (500, "set $to unix:; proxy_pass http://$to;"),
    "nowhere-streamed": (500, "proxy_request_buffering off; proxy_pass http://$arg_nope;"),
    "nowhere-tried": (500, "try_files /nothing /nowhere; <proxy>"),
    "nowhere-permit": (500, "limit_concurrency z; proxy_pass http://$arg_nope;"),
}
WANTED = {
    "proxy": "<proxy>", "echo": "handler echo;", "streams": "proxy_request_buffering off; <proxy>",
    "try": "try_files $uri @app;", "held": "limit_concurrency z; <proxy>", "tried": "limit_concurrency z; try_files $uri @app;",
    "instead": "error_page 404 = @app;", "instead-of-return": "error_page 402 = @app; return 402;",
    "known": "auth_basic x; auth_basic_user_file {tmp}/users; <proxy>", "yes": "auth_request /let; <proxy>",
    "yes-streams": "auth_request /let; proxy_request_buffering off; <proxy>",
}
ANN = ("Authorization", "Basic YW5uOnB3")  # ann:pw


@pytest.fixture
def site(weir, backend):
    """All of these locations, and an application behind them that says how much it got."""
    weir.expect_log("access forbidden|no user/password|limiting|No such file|auth request|invalid chunked|too large|invalid URL")
    up = backend(lambda call: answer(b"%d" % len(call.body)))
    weir.up = up
    proxy = f"proxy_pass http://{up.address}; client_body_in_file_only on;"
    places = {name: text for name, (_, text) in DECIDED.items()} | WANTED
    weir.write("ann:{PLAIN}pw\n", "users")
    weir.write("file", "html/file")
    weir.start(config("location = /no { return 403; } location = /let { return 204; } location = /slow { limit_conn c 1; handler sleep; }"
                      "location @app { <proxy> }".replace("<proxy>", proxy) +
                      "".join(f"location /{name} {{ {text} }}".replace("<proxy>", proxy) for name, text in places.items()),
                      http="client_max_body_size 100m; client_body_temp_path {tmp}/bodies; lingering_timeout 20s; root {tmp}/html;"
                      "limit_req_zone $uri zone=r:1m rate=1r/m; limit_conn_zone $server_addr zone=c:1m; limit_concurrency_zone z limit=1;"
                      "error_log logs/error.log info;"))
    return weir


@pytest.fixture
def decided(site):
    """The same with the limits used up."""
    with site.connect() as one:
        assert site.get("/rate").status == 200
        one.request("/slow?ms=30000")
        wait_until(lambda: site.status()["requests"]["in_flight"] >= 2, 3, "a connection that counts")
        yield site


def bodies(weir):
    folder = weir.tmp / "bodies"
    return list(folder.iterdir()) if folder.exists() else []


def is_decided(weir, raw, name):
    """The answer to a request whose body does not come."""
    with weir.connect(timeout=3) as client:
        client.send(raw)
        reply = client.response("POST")
    assert (reply.status, reply.informational) == (DECIDED[name][0], []), name
    return reply


def test_at_once(decided):
    """No byte of the body is waited for, none is asked for, and nothing is written to disk."""
    for name in DECIDED:
        announced = head(f"POST /{name} HTTP/1.1", f"Content-Length: {LARGE}")
        reply = is_decided(decided, announced + b"x" * 100000, name)
        assert reply.header("Connection") == "keep-alive", name  # the rest of the body may come
        is_decided(decided, announced, name)
        is_decided(decided, head(f"POST /{name} HTTP/1.1", "Transfer-Encoding: chunked"), name)
    assert not bodies(decided) and all(call.target == "/rate" and call.method == "GET" for call in decided.up.calls)


def test_without_100(decided):
    """A client that waits gets the answer; whether it sends the body then is not known, so the connection ends with it."""
    for name in DECIDED:
        for framing in ("Content-Length: 5", "Transfer-Encoding: chunked"):
            with decided.connect(timeout=3) as client:
                client.send(head(f"POST /{name} HTTP/1.1", framing, "Expect: 100-continue"))
                reply = client.response("POST")
                assert (reply.status, reply.informational, reply.header("Connection")) == (DECIDED[name][0], [], "close"), name
                client.send(GOOD)  # neither a body nor a request
                assert client.until_close() == b"", name


def test_next_request_is_found(decided):
    """Behind a body that nobody wants, whatever its framing, and whatever the body looks like."""
    evil = b"GET /proxy?evil HTTP/1.1\r\nHost: a\r\n\r\n" * 20
    for name, (status, _) in DECIDED.items():
        whole = [head(f"POST /{name} HTTP/1.1", f"Content-Length: {len(evil)}") + evil,
                 head(f"POST /{name} HTTP/1.1", "Transfer-Encoding: chunked") + chunked(evil, 50, b"X-T: 1\r\n")]
        with decided.connect(timeout=3) as client:
            client.send(b"".join(raw + head("GET /file HTTP/1.1") for raw in whole * 2))
            for _ in range(4):
                assert client.response("POST").status == status, name
                assert client.response().text == "file", name
    assert not [call for call in decided.up.calls if "evil" in call.target]


@pytest.mark.parametrize("step", [1, 1000])
def test_rest_in_pieces(decided, step):
    """The rest comes after the answer, cut anywhere, with the next request right behind it."""
    rest = [b"x" * 3000, chunked(b"y" * 2900, 700)]
    for raw, framing in zip(rest, (f"Content-Length: {len(rest[0])}", "Transfer-Encoding: chunked")):
        with decided.connect(timeout=3) as client:
            client.send(head("POST /deny HTTP/1.1", framing))
            assert client.response("POST").status == 403
            raw += head("GET /file HTTP/1.1")
            for i in range(0, len(raw), step):
                client.send(raw[i:i + step])
            assert client.response().text == "file"


def test_large_rest(decided):
    """A client that first sends all and then reads, with an answer that does not fit into the socket either."""
    decided.write("f" * 20_000_000, "html/file")
    with decided.connect() as client:
        for raw in (head("GET /file HTTP/1.1", f"Content-Length: {LARGE}") + b"x" * LARGE,
                    head("GET /file HTTP/1.1", "Transfer-Encoding: chunked") + chunked(b"x" * LARGE)):
            client.send(raw + head("GET /text HTTP/1.1"))
            assert len(client.response().body) == 20_000_000 and client.response().text == "text"
    assert not bodies(decided)


@pytest.mark.directive("deny")
def test_rest_that_is_no_body(decided):
    """Broken chunks end the connection, and what follows is not looked at."""
    with decided.connect(timeout=3) as client:
        client.send(head("POST /deny HTTP/1.1", "Transfer-Encoding: chunked") + b"zz\r\n" + GOOD)
        assert client.response("POST").status == 403
        assert client.until_close() == b""


@pytest.mark.directive("lingering_time")
@pytest.mark.parametrize("setting", ["lingering_timeout 100ms", "lingering_time 300ms"])
def test_rest_that_does_not_end(weir, setting):
    """It is skipped as long as a lingering close would wait: between two bytes, and in all."""
    weir.start(config("location / { return 403; }", http=setting + "; client_max_body_size 1g;"))
    with weir.connect() as client:
        client.send(head("POST / HTTP/1.1", f"Content-Length: {1 << 29}"))
        assert client.response("POST").status == 403
        if "time " in setting:
            stopped = threading.Event()
            threading.Thread(target=trickle, args=(client, stopped), daemon=True).start()
            assert client.until_close() == b"" and not stopped.wait(0)
        else:
            assert client.closed_within(limit(5)) is not None
    assert weir.status()["connections"]["active"] <= 1


def trickle(client, stopped):
    try:
        while not stopped.wait(0.02):
            client.send(b"x")
    except OSError:
        pass


def test_read_when_wanted(site):
    """100 Continue comes where the content wants the body, once, and the body gets there."""
    for name in WANTED:
        for body, size in ((b"Content-Length: 5", b"hello"), (b"Transfer-Encoding: chunked", chunked(b"hello", 2))):
            if name in ("streams", "yes-streams") and body != b"Content-Length: 5":
                continue  # goes on in chunks
            with site.connect(timeout=5) as client:
                client.send(head(f"POST /{name} HTTP/1.1", body.decode(), "Expect: 100-continue", ": ".join(ANN)))
                assert client.socket.recv(len(CONTINUE)) == CONTINUE, name
                client.send(size + head("GET /text HTTP/1.1"))
                reply = client.response("POST")
                assert reply.status == 200 and reply.text in ("5", "hello") and not reply.informational, name
                assert client.response().text == "text", name


def test_smaller_bound_elsewhere(weir, backend):
    """client_max_body_size of the location that reads counts, whichever the URI led to first."""
    weir.expect_log("too large")
    up = backend(answer(b"read"))
    weir.write("x", "html/d/index.app")
    weir.start(config(f"location /d/ {{ index index.app; }} location ~ app$ {{ client_max_body_size 1k; proxy_pass http://{up.address}; }}",
                      http="root {tmp}/html; client_max_body_size 1m;"))
    assert weir.get("/d/", method="POST", body=b"x" * 1000).text == "read"
    with weir.connect() as client:
        client.send(head("POST /d/ HTTP/1.1", "Content-Length: 1025", "Expect: 100-continue"))
        reply = client.response("POST")
        assert (reply.status, reply.informational, reply.header("Connection")) == (413, [], "close")


def test_permit_waits_for_the_body(site):
    """A slow client holds no permit while it sends."""
    with site.connect() as slow:
        slow.send(head("POST /held HTTP/1.1", "Content-Length: 5") + b"hel")
        wait_until(lambda: site.status()["requests"]["in_flight"] >= 2, 3, "the slow request")
        assert site.get("/held", method="POST", body=b"all").text == "3"
        assert site.status()["concurrency"]["z"]["in_flight"] == 0
        slow.send(b"lo")
        assert slow.response("POST").text == "5"


def test_after_a_handler_timed_out(weir):
    """The connection of a request that was read whole goes on after 504."""
    weir.expect_log("timed out")
    weir.start(config("location / { handler sleep; handler_timeout 50ms; }"))
    with weir.connect() as client:
        client.request("/?ms=300", "POST", body=b"x" * 50)
        reply = client.response("POST")
        assert (reply.status, reply.header("Connection")) == (504, "keep-alive")
        assert client.get("/status").status == 200


def test_client_that_leaves(decided):
    """In the middle of a body that nobody wants: the answer is logged as it was, and nothing stays."""
    for name in ("deny", "basic", "text"):
        with decided.connect(timeout=3) as client:
            client.send(head(f"POST /{name} HTTP/1.1", f"Content-Length: {LARGE}") + b"x" * 1000)
            assert client.response("POST").status == DECIDED[name][0]
    wait_until(lambda: fetch(decided.port, "/status?format=json").json()["connections"]["active"] <= 2, 3, "no connection left")


def logged(weir):
    return (weir.tmp / "logs/access.log").read_text().split()


@pytest.mark.parametrize("size", [0, 50_000, 100_000])
def test_client_that_leaves_before_the_decision(weir, size):
    """Its leaving is seen behind the part of the body that is read ahead, while another location is asked."""
    weir.start(config("location = /ask { handler sleep; } location / { auth_request /ask?ms=60000; handler echo; access_log logs/access.log s; }",
                      http="log_format s $status;"))
    with weir.connect() as client:
        client.request("/", "POST", body=b"x" * size)
        wait_until(lambda: weir.status()["requests"]["in_flight"] == 2, 3, "the question")
    assert wait_until(lambda: logged(weir), 5, "a line") == ["499"]
