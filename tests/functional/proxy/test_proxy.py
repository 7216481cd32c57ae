"""proxy_pass: round trips, the target, error pages, limits in front, reload and drain."""

import signal
import socket
import threading

import pytest
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import config, take_time, wait_until, watch
from wire import ask, head


# ---- round trips --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_round_trip(weir, backend, method):
    up = backend(answer(b"hello", "X-Answer: yes", "Content-Type: text/odd", status="201 Made"))
    passed(weir, up)
    body = b"in" if method in ("POST", "PUT", "DELETE", "PATCH") else None
    reply = weir.get("/a?b=c", method=method, body=body, headers=[("X-Ask", "why")])
    call = up.call
    assert (call.method, call.target, call.version, call.body) == (method, "/a?b=c", "HTTP/1.1", body or b"")
    assert call.header("X-Ask") == "why" and len(up.calls) == 1
    assert reply.status == 201 and reply.header("X-Answer") == "yes" and reply.header("Content-Type") == "text/odd"
    assert reply.header("Content-Length") == "5" and reply.body == (b"" if method == "HEAD" else b"hello")


def test_kept_client_connection(weir, backend):
    """One client connection carries many proxied requests, whatever the backend does with its own."""
    up = backend(lambda call: answer(call.target.encode(), "Connection: close"))
    passed(weir, up)
    with weir.connect() as client:
        for i in range(20):
            reply = client.get(f"/{i}")
            assert reply.text == f"/{i}" and reply.header("Connection") == "keep-alive"


@pytest.mark.http1_only
def test_pipelined(weir, backend):
    """Answers come in the order of the requests, and the backend sees one request at a time."""
    up = backend(lambda call: (take_time(0.02 if call.target == "/0" else 0), answer(call.target.encode()))[1])
    passed(weir, up, server="location = /here { return 200 here; }")
    with weir.connect() as client:
        client.send(b"".join(head(f"GET {each} HTTP/1.1") for each in ["/0", "/here", "/1", "/2", "/here"]))
        assert [client.response().text for _ in range(5)] == ["/0", "here", "/1", "/2", "here"]
    assert [call.target for call in up.calls] == ["/0", "/1", "/2"]


def test_pipelined_posts(weir, backend):
    up = backend(lambda call: answer(call.body))
    passed(weir, up)
    bodies = [b"one", b"x" * 40000, b"", b"four"]
    with weir.connect() as client:
        client.send(b"".join(head("POST / HTTP/1.1", f"Content-Length: {len(body)}") + body for body in bodies))
        assert [client.response().body for _ in bodies] == bodies


@pytest.mark.http1_only
@pytest.mark.parametrize("status, reason", [(200, "Fine by me"), (203, "Non-Authoritative Information"),
                                            (207, "Multi-Status"), (299, "Odd"), (424, "Failed Dependency"),
                                            (511, "Network Authentication Required"), (599, "Last")])
def test_status_and_reason(weir, backend, status, reason):
    """As in nginx, the client gets the upstream's words."""
    passed(weir, backend(answer(status=f"{status} {reason}")))
    reply = weir.get()
    assert (reply.status, reply.reason) == (status, reason)


def test_no_reason(weir, backend):
    passed(weir, backend(b"HTTP/1.1 204\r\n\r\n"))
    assert weir.get().status == 204


def test_bare_line_feeds(weir, backend):
    passed(weir, backend(b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nhi"))
    reply = weir.get()
    assert (reply.status, reply.header("X-A"), reply.text) == (200, "b", "hi")


# ---- the target ---------------------------------------------------------------------------------------------

TARGETS = [  # location, URI of proxy_pass, what the client asks for, what the upstream sees
    ("/", "", "/a%20b/../c?x=1&y=%20", "/a%20b/../c?x=1&y=%20"),
    ("/", "", "//a//b/./c?", "//a//b/./c?"),
    ("/", "", "http://other.example/abs?q", "/abs?q"),
    ("/", "/", "/a?b", "/a?b"),
    ("/", "/b/", "/c", "/b/c"),
    ("/a/", "/b/", "/a/c?x=y", "/b/c?x=y"),
    ("/a/", "/", "/a/c/d", "/c/d"),
    ("/a/", "/b", "/a/c", "/bc"),
    ("/a", "/b", "/a", "/b"),
    ("/a", "/b", "/a/x", "/b/x"),
    ("/a", "/b", "/ax?y", "/bx?y"),
    ("/a/", "/b/", "/x/../a/c", "/b/c"),
    ("/a/", "/b/", "/a//c/./d/../e", "/b/c/e"),
    ("/a/", "/b/", "/a/x%20y%3fz%25w%23", "/b/x%20y%3Fz%25w%23"),
    ("/a/", "/b/", "/a/%c3%a9", "/b/%C3%A9"),
    ("/a/", "/b/", "/%61/c", "/b/c"),
    ("= /a", "/b", "/a?q", "/b?q"),
    ("^~ /a/", "/b/", "/a/c", "/b/c"),
    ("^~ /a/", "", "/a/../a/c", "/a/../a/c"),
    ("~ ^/re(.*)$", "", "/re%20x?y", "/re%20x?y"),
    ("~* ^/RE", "", "/re", "/re"),
]


@pytest.mark.directive("proxy_pass")
def test_targets(weir, backend):
    up = backend(lambda call: answer(call.target.encode("latin-1")))
    locations = {(place, uri) for place, uri, _, _ in TARGETS}
    names = {each: f"/p{i}" for i, each in enumerate(sorted(locations))}
    servers = "".join(f"server {{ listen unix:{{tmp}}{name}; "
                      f"location {place} {{ proxy_pass http://{up.address}{uri}; }} }}"
                      for (place, uri), name in names.items())
    weir.start(config(http=servers))
    found = []
    for place, uri, asked, _ in TARGETS:
        reply = ask(str(weir.tmp) + names[place, uri], head(f"GET {asked} HTTP/1.1"))
        found.append((place, uri, asked, reply.text))
    assert [each[3].lower() for each in found] == [each[3].lower() for each in TARGETS]


def test_uri_in_a_regex_location(weir):
    result = weir.run("-t", conf=config("location ~ ^/a { proxy_pass http://127.0.0.1:1/b; }"))
    assert result.returncode == 1 and '"proxy_pass" cannot have URI part' in result.stderr


WRONG = {
    "proxy_pass ftp://127.0.0.1:1;": 'invalid URL "ftp://127.0.0.1:1" in "proxy_pass"',
    "proxy_pass 127.0.0.1:1;": 'invalid URL "127.0.0.1:1" in "proxy_pass"',
    "proxy_pass http://;": 'no host in "proxy_pass http://"',
    "proxy_pass http://:80;": 'no host in "proxy_pass http://:80"',
    "grpc_pass :80;": 'no host in "grpc_pass :80"',
    "fastcgi_pass :9000;": 'no host in "fastcgi_pass :9000"',
    "proxy_pass http://127.0.0.1:99999;": 'invalid upstream "127.0.0.1:99999": invalid port',
    "proxy_pass http://127.0.0.1:x;": 'invalid upstream "127.0.0.1:x": invalid port',
    "proxy_pass http://127.0.0.1:1; proxy_pass http://127.0.0.1:2;": '"proxy_pass" directive is duplicate: this location has its handler already',
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_proxy_pass(weir, line):
    assert weir.mistake(config(f"location / {{\n{line}\n}}"), line).startswith(WRONG[line])


@pytest.mark.needs("localhost")
def test_name_is_resolved(weir, backend):
    up = backend()
    passed(weir, f"localhost:{up.port}")
    assert weir.get().text == "hello" and up.call.header("Host") == f"localhost:{up.port}"


def test_slash_is_added(weir, backend):
    """As in nginx: a location that ends in a slash and passes on redirects the name without it."""
    up = backend()
    passed(weir, up, location="/a/", uri="/b/")
    reply = weir.get("/a?x=y")
    assert reply.status == 301 and reply.header("Location", "").endswith("/a/?x=y") and not up.calls


@pytest.mark.parametrize("uri, seen", [("", "/a/c?x"), ("/b/", "/b/c?x")])
def test_unix_socket(weir, backend, uri, seen):
    up = backend(path=weir.tmp / "backend.sock")
    passed(weir, up, location="/a/", uri=uri)
    assert weir.get("/a/c?x").text == "hello"
    assert up.call.target == seen and up.call.header("Host") == "localhost"


def test_unix_socket_in_an_upstream(weir, backend):
    up = backend(path=weir.tmp / "backend.sock")
    passed(weir, "up", http=upstream(up))
    assert weir.get("/").text == "hello" and up.call.header("Host") == "up"


def test_options_of_the_server_itself(weir, backend):
    up = backend()
    passed(weir, up)
    assert ask(weir.port, head("OPTIONS * HTTP/1.1"), "OPTIONS").status == 200


# ---- error pages --------------------------------------------------------------------------------------------

def test_errors_are_passed_on(weir, backend):
    up = backend(answer(b"theirs", status="404 Not Found"))
    passed(weir, up, "error_page 404 /own;", server="location = /own { return 200 own; }")
    reply = weir.get()
    assert (reply.status, reply.text) == (404, "theirs")


@pytest.mark.directive("proxy_intercept_errors")
def test_intercepted_errors(weir, backend):
    up = backend(lambda call: answer(b"theirs", "X-Theirs: 1", status=f"{call.target[1:]} Word"))
    passed(weir, up, "proxy_intercept_errors on; error_page 404 500 /own; error_page 503 =200 /own;"
                     "error_page 401 = /own;",
           server="location = /own { return 200 own; }")
    found = {code: (reply.status, reply.text) for code in (200, 301, 404, 500, 503, 502, 401)
             for reply in [weir.get(f"/{code}")]}
    assert found == {200: (200, "theirs"), 301: (301, "theirs"), 404: (404, "own"), 500: (500, "own"),
                     503: (200, "own"), 502: (502, "theirs"), 401: (200, "own")}
    assert weir.get("/404").header("X-Theirs") is None


def test_intercepted_401_keeps_its_challenge(weir, backend):
    """As in nginx: without WWW-Authenticate a 401 would say nothing."""
    passed(weir, backend(answer(b"", 'WWW-Authenticate: Basic realm="x"', status="401 No")),
           "proxy_intercept_errors on; error_page 401 /own;", server="location = /own { return 200 own; }")
    reply = weir.get()
    assert reply.status == 401 and reply.header("WWW-Authenticate") == 'Basic realm="x"'


def test_error_page_from_another_upstream(weir, backend):
    """Its request is a GET without the body, for the page's URI."""
    page = backend(lambda call: answer(f"{call.method} {call.target} {call.body}".encode()))
    weir.start(config("location / { proxy_pass http://127.0.0.1:{port2}; error_page 502 /page?a=b; }"
                      f"location /page {{ proxy_pass http://{page.address}; }}"))
    reply = weir.get("/x", method="POST", body=b"abc")
    assert (reply.status, reply.text) == (502, "GET /page?a=b b''")


def test_error_page_from_the_upstream_that_failed(weir, backend):
    up = backend(lambda call: answer(b"page") if call.target == "/page" else answer(status="500 No"))
    passed(weir, up, "proxy_intercept_errors on; error_page 500 /page;")
    reply = weir.get("/x")
    assert (reply.status, reply.text) == (500, "page")
    assert weir.get("/page").status == 200


@pytest.mark.directive("error_page")
def test_error_page_that_fails_too(weir, backend):
    up = backend(lambda call: call.close())
    passed(weir, up, "error_page 502 /page;")
    reply = weir.get("/x")
    assert reply.status == 502 and "<h1>502" in reply.text and [call.target for call in up.calls] == ["/x", "/page"]


# ---- limits in front ----------------------------------------------------------------------------------------

ZONE = "limit_concurrency_zone z limit=2 queue=10 queue_timeout=5s;"


def figures(weir):
    zone = weir.status()["concurrency"]["z"]
    return zone["in_flight"], zone["queued"]


@pytest.mark.directive("limit_concurrency")
def test_limit_before_an_upstream(weir, backend):
    """Two at a time reach the backend, the queued ones follow, and every permit comes back."""
    lock, now, most = threading.Lock(), [0], [0]

    def reply(call):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        take_time(0.03)
        with lock:
            now[0] -= 1
        return {"/close": call.close, "/reset": call.reset}[call.target]() if call.target != "/" else answer()
    up = backend(reply)
    passed(weir, up, "limit_concurrency z;", http=ZONE)
    clients = [weir.connect() for _ in range(9)]
    for i, client in enumerate(clients):
        client.request(["/", "/close", "/reset"][i % 3])
    assert sorted(client.response().status for client in clients) == [200] * 3 + [502] * 6
    assert most[0] <= 2 and len(up.calls) >= 9  # more: what failed on a kept connection was sent again
    wait_until(lambda: figures(weir) == (0, 0), 3, "all permits back")


def test_permits_of_clients_that_leave(weir, backend):
    """Clients leave while their requests run and while they are queued: no permit is lost, none of the queued runs."""
    up = backend(lambda call: call.peer.wait_gone() if call.target == "/hold" else answer())
    passed(weir, up, "limit_concurrency z;", http=ZONE)
    clients = [weir.connect() for _ in range(5)]
    for client in clients[:2]:
        client.request("/hold")
    wait_until(lambda: figures(weir) == (2, 0) and len(up.calls) == 2, 3, "two run")
    for client in clients[2:]:
        client.request("/hold")
    wait_until(lambda: figures(weir) == (2, 3), 3, "three wait")
    for client in reversed(clients):
        client.close()
    wait_until(lambda: figures(weir) == (0, 0), 3, "all permits back")
    assert len(up.calls) == 2 and weir.get("/").status == 200


def test_permit_until_the_answer_has_gone(weir, backend):
    gate = threading.Event()

    def reply(call):
        call.send(answer(b"x" * 10)[:-5])
        gate.wait(10)
        call.send(b"xxxxx")
    passed(weir, backend(reply), "limit_concurrency z;", http=ZONE)
    with weir.connect() as client:
        client.request("/")
        wait_until(lambda: figures(weir) == (1, 0), 3, "a permit taken")
        watch(0.1)
        assert figures(weir) == (1, 0)
        gate.set()
        assert client.response().body == b"x" * 10
    wait_until(lambda: figures(weir) == (0, 0), 3, "all permits back")


# ---- reload and drain ---------------------------------------------------------------------------------------

def halves(weir, backend, **parts):
    """Two answers under way: one whose head has not come, one half sent. The gate lets both finish."""
    gate = threading.Event()

    def reply(call):
        whole = answer(b"abcdef")
        if call.target == "/half":
            call.send(whole[:-3])
        gate.wait(10)
        return whole if call.target == "/none" else whole[-3:]
    up = backend(reply)
    passed(weir, up, **parts)
    clients = [weir.connect() for _ in range(2)]
    for client, target in zip(clients, ["/none", "/half"]):
        client.request(target)
    wait_until(lambda: len(up.calls) == 2, 3, "two requests")
    assert clients[1].begun()  # the half has come
    return up, gate, clients


def test_quit_lets_answers_finish(weir, backend):
    up, gate, clients = halves(weir, backend)
    weir.signal(signal.SIGQUIT)
    weir.wait_log("gracefully shutting down")
    gate.set()
    assert [client.response().text for client in clients] == ["abcdef"] * 2
    assert weir.wait_exit() == 0
    assert all(peer.gone.wait(2) for peer in up.peers)


def test_reload_lets_answers_finish(weir, backend):
    up, gate, clients = halves(weir, backend)
    old = weir.worker_pids()
    other = backend(answer(b"new"))
    weir.reload(config(f"location / {{ proxy_pass http://{other.address}; }}"))
    wait_until(lambda: weir.get().text == "new", 3, "the new configuration")
    gate.set()
    assert [client.response().text for client in clients] == ["abcdef"] * 2
    weir.wait_dead(old, 5)
    assert all(peer.gone.wait(2) for peer in up.peers)


def test_reload_in_place_keeps_answers_and_connections(weir, backend):
    up, gate, clients = halves(weir, backend)
    old = weir.worker_pids()
    weir.reload(weir.conf.read_text().replace("client_max_body_size", "proxy_read_timeout 7s; client_max_body_size"))
    assert weir.worker_pids() == old
    gate.set()
    assert [client.response().text for client in clients] == ["abcdef"] * 2
    gate.clear()
    assert up.accepts == 2
    gate.set()
    assert weir.get("/none").text == "abcdef" and up.accepts == 2


def test_quit_closes_idle_connections_to_upstreams(weir, backend):
    up = backend()
    passed(weir, up)
    weir.get()
    weir.signal(signal.SIGQUIT)
    assert weir.wait_exit() == 0 and up.peers[0].gone.wait(1)


@pytest.mark.parametrize("workers", [1, 2])
def test_many_at_once(weir, backend, workers):
    """A crowd of kept clients: every answer is its own request's."""
    up = backend(lambda call: answer(call.target.encode() * 50))
    passed(weir, up, workers=workers)
    wrong = []

    def client(number):
        with weir.connect() as connection:
            for i in range(25):
                target = f"/{number}-{i}"
                if connection.get(target).text != target * 50:
                    wrong.append(target)
    threads = [threading.Thread(target=client, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(up.calls) == 300 and up.accepts <= 12 * workers
