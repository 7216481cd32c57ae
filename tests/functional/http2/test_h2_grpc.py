"""gRPC: grpc_pass with real clients and servers, all four kinds of calls, deadlines, and errors as gRPC's."""

import queue
import threading
import time
from concurrent import futures

import grpc
import h2.errors
import h2.settings
import pytest
from http2_client import Client, fields
from http2_server import Server
from proxylib import backend, passed  # noqa: F401 - a fixture
from weirlib import config, let_pass, limit, take_time, wait_until

Code = grpc.StatusCode
LONG = 30
GRPC = [("te", "trailers"), ("content-type", "application/grpc")]
MESSAGE = b"\0\0\0\0\0"  # an empty one


class Calls:
    """A server of gRPC whose methods are plain bytes; "seen" are calls with what came with them, "left" those that are over."""

    def __init__(self, credentials=None):
        self.seen, self.left, self.begun, self.go_on = [], [], threading.Event(), threading.Event()
        kinds = {"Say": grpc.unary_unary_rpc_method_handler(self.say), "Count": grpc.unary_stream_rpc_method_handler(self.count),
                 "Join": grpc.stream_unary_rpc_method_handler(self.join), "Echo": grpc.stream_stream_rpc_method_handler(self.echo),
                 "Late": grpc.unary_unary_rpc_method_handler(self.late), "Early": grpc.stream_stream_rpc_method_handler(self.early)}
        self.server = grpc.server(futures.ThreadPoolExecutor(16))
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Calls", kinds),))
        add = self.server.add_insecure_port if credentials is None else lambda to: self.server.add_secure_port(to, credentials)
        self.port = add("127.0.0.1:0")
        self.server.start()

    def say(self, request, context):
        self.seen.append((dict(context.invocation_metadata()), context.time_remaining()))
        if request == b"none":
            context.abort(Code.NOT_FOUND, "no such thing: 100 %")
        if request == b"later":
            context.send_initial_metadata((("x-first", "1"),))
            context.abort(Code.ABORTED, "after its head")
        context.set_trailing_metadata((("x-last", "2"), ("x-bin", b"\0\1\xff")))
        return b"said " + request

    def count(self, request, _context):
        return (str(i).encode() for i in range(int(request)))

    def join(self, requests, _context):
        return b"|".join(requests)

    def echo(self, requests, context):
        context.send_initial_metadata((("x-first", "1"),))
        return (b"<" + request + b">" for request in requests)

    def late(self, _request, context):
        context.add_callback(lambda: self.left.append(1))
        self.begun.set()
        self.go_on.wait(LONG)
        return b"late"

    def early(self, requests, context):
        """It has enough with the first."""
        next(requests)
        context.abort(Code.INVALID_ARGUMENT, "no more")


@pytest.fixture
def calls():
    made = []

    def make(credentials=None):
        made.append(Calls(credentials))
        return made[-1]
    yield make
    for each in made:
        each.go_on.set()
        each.server.stop(None).wait()


@pytest.fixture
def channel():
    made = []

    def make(port, credentials=None, **options):
        to, options = f"localhost:{port}", [*options.items(), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        made.append(grpc.insecure_channel(to, options) if credentials is None else grpc.secure_channel(to, credentials, options))
        return made[-1]
    yield make
    for each in made:
        each.close()


def before(weir, port, more="", http="", **parts):
    weir.start(config(f"location / {{ grpc_pass grpc://127.0.0.1:{port}; {more} }}", http=f"http2 on; client_max_body_size 0; {http}", **parts))


def failed(call, request=b"x", timeout=LONG):
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=timeout)
    return error.value


def held(weir, on):
    """A call that its server does not end yet."""
    call = on.unary_unary("/t.Calls/Late").future(b"x", timeout=LONG)
    wait_until(lambda: weir.status()["http2"]["streams"] == 1, 5, "the call")
    return call


def all_kinds(on):
    answer, call = on.unary_unary("/t.Calls/Say").with_call(b"this", timeout=LONG)
    assert (answer, call.code(), dict(call.trailing_metadata())) == (b"said this", Code.OK, {"x-last": "2", "x-bin": b"\0\1\xff"})
    assert list(on.unary_stream("/t.Calls/Count")(b"1000", timeout=LONG)) == [str(i).encode() for i in range(1000)]
    assert on.stream_unary("/t.Calls/Join")(iter([b"x" * 300_000] * 7), timeout=LONG) == b"|".join([b"x" * 300_000] * 7)
    said = queue.Queue()
    echo = on.stream_stream("/t.Calls/Echo")(iter(said.get, None), timeout=LONG)
    for i in range(50):  # each is answered before the next is said
        said.put(str(i).encode())
        assert next(echo) == b"<%d>" % i
    said.put(None)
    assert list(echo) == [] and ("x-first", "1") in echo.initial_metadata()
    found = failed(on.unary_unary("/t.Calls/Say"), b"none")
    assert (found.code(), found.details()) == (Code.NOT_FOUND, "no such thing: 100 %")
    found = failed(on.unary_unary("/t.Calls/Say"), b"later")
    assert (found.code(), found.details()) == (Code.ABORTED, "after its head")


# ---- calls -------------------------------------------------------------------------------------------------------

@pytest.mark.directive("grpc_pass")
def test_all_kinds_of_calls(weir, calls, channel):
    before(weir, calls().port)
    all_kinds(channel(weir.port))
    [server] = next(iter(weir.status()["upstreams"].values()))
    wait_until(lambda: weir.status()["http2"]["streams"] == 0, 5, "all streams to end")
    assert server["active"] == 0


@pytest.mark.directive("grpc_pass", "grpc_ssl_verify", "grpc_ssl_trusted_certificate", "grpc_ssl_server_name", "grpc_ssl_name")
def test_over_tls(weir, authority, calls, channel):
    """Both ends; and a server that is not the one that is wanted is not asked."""
    pem, key, ca = (authority.path(name).read_bytes() for name in ("localhost.pem", "localhost.key", "ca.pem"))
    up = calls(grpc.ssl_server_credentials([(key, pem)]))
    rules = f"grpc_ssl_verify on; grpc_ssl_trusted_certificate {authority.path('ca.pem')}; grpc_ssl_server_name on;"
    weir.start(config(f"{rules} location / {{ grpc_pass grpcs://127.0.0.1:{up.port}; grpc_ssl_name localhost; }}"
                      f"location /other/ {{ grpc_pass grpcs://127.0.0.1:{up.port}; grpc_ssl_name elsewhere; }}",
                      http="http2 on; client_max_body_size 0;", server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()}"))
    on = channel(weir.port2, grpc.ssl_channel_credentials(ca))
    all_kinds(on)
    weir.expect_log("does not match")
    assert failed(on.unary_unary("/other/Say")).code() == Code.UNAVAILABLE
    weir.wait_log(r'certificate does not match "elsewhere".* upstream: "grpcs://127\.0\.0\.1:')


def test_many_at_once(weir, calls, channel):
    """Large messages both ways beside small ones: windows that are shut hold only their own."""
    before(weir, calls().port)
    on, part = channel(weir.port), b"y" * 100_000
    large = [on.stream_stream("/t.Calls/Echo")(iter([part] * 40), timeout=LONG) for _ in range(8)]
    for i in range(100):
        assert on.unary_unary("/t.Calls/Say")(str(i).encode(), timeout=LONG) == b"said %d" % i
    assert [sum(len(message) for message in each) for each in large] == [40 * (len(part) + 2)] * 8


def test_a_call_that_its_server_ends_early(weir, calls, channel):
    before(weir, calls().port)
    on = channel(weir.port)
    for _ in range(20):
        said = queue.Queue()
        said.put(b"z" * 50_000)
        call = on.stream_stream("/t.Calls/Early")(iter(said.get, None), timeout=LONG)
        with pytest.raises(grpc.RpcError) as error:
            list(call)
        assert (error.value.code(), error.value.details()) == (Code.INVALID_ARGUMENT, "no more")
        said.put(None)
    assert on.unary_unary("/t.Calls/Say")(b"this", timeout=LONG) == b"said this"


def test_a_client_that_goes(weir, calls, channel):
    """Its server hears of it at once."""
    up = calls()
    before(weir, up.port)
    on = channel(weir.port)
    call = on.unary_unary("/t.Calls/Late").future(b"x", timeout=LONG)
    assert up.begun.wait(limit(10))
    call.cancel()
    wait_until(lambda: up.left, 5, "the server to hear of it")


def test_a_reload_ends_no_call(weir, calls, channel):
    before(weir, calls().port)
    on, said = channel(weir.port), queue.Queue()
    echo = on.stream_stream("/t.Calls/Echo")(iter(said.get, None), timeout=LONG)
    said.put(b"1")
    assert next(echo) == b"<1>"
    old = weir.worker_pids()
    assert weir.reload(weir.conf.read_text().replace("client_max_body_size 0;", "map a $b { default c; } client_max_body_size 0;"))["last_ok"]
    wait_until(lambda: set(weir.worker_pids()) - set(old), 5, "a new worker")
    said.put(b"2")
    assert next(echo) == b"<2>"
    said.put(None)
    assert list(echo) == []
    weir.wait_dead(old, 10)


# ---- deadlines ---------------------------------------------------------------------------------------------------

def test_the_deadline_is_passed_on(weir, calls, channel):
    """Less what has passed here."""
    up = calls()
    before(weir, up.port, "limit_concurrency one;", http="limit_concurrency_zone one limit=1 queue=5 queue_timeout=30s;")
    on = channel(weir.port)
    first = held(weir, on)
    with Client(weir.port) as client:
        second = client.request(fields("/t.Calls/Say", "POST", *GRPC, ("grpc-timeout", "1000S")), MESSAGE)
        wait_until(lambda: weir.status()["http2"]["streams"] == 2, 5, "the other call")
        let_pass(0.5)
        up.go_on.set()
        assert first.result() == b"late"
        assert dict(client.response(second).trailers)["grpc-status"] == "0"
    assert 1000 - LONG < up.seen[-1][1] < 1000 - 0.4


@pytest.mark.parametrize("text, seconds", [("300m", 0.3), ("300000u", 0.3), ("1S", 1)])
def test_the_deadline_is_kept_here(weir, calls, text, seconds):
    """Whatever the client does, which only says it; and the server is told."""
    up = calls()
    weir.expect_log("deadline of grpc-timeout")
    before(weir, up.port, "grpc_read_timeout 50s;")
    with Client(weir.port) as client:
        begun = time.monotonic()
        answer = client.response(client.request(fields("/t.Calls/Late", "POST", *GRPC, ("grpc-timeout", text)), MESSAGE), 20)
        assert seconds - 0.1 <= time.monotonic() - begun < limit(10)
    assert (answer.status, answer.header("grpc-status"), answer.body) == (200, "4", b"")
    wait_until(lambda: up.left, 5, "the server to hear of it")


def test_the_deadline_of_one_that_waits(weir, calls):
    """It leaves the queue then, and the server never hears of it."""
    up = calls()
    weir.expect_log("limiting")
    before(weir, up.port, "limit_concurrency one;", http="limit_concurrency_zone one limit=1 queue=5 queue_timeout=30s;")
    with Client(weir.port) as client:
        first = client.request(fields("/t.Calls/Late", "POST", *GRPC), MESSAGE)
        client.ready()
        assert up.begun.wait(limit(10))
        late = client.post("/t.Calls/Say", MESSAGE, *GRPC, ("grpc-timeout", "200m"))
        assert (late.status, late.header("grpc-status")) == (200, "4") and not up.seen
        up.go_on.set()
        assert dict(client.response(first).trailers)["grpc-status"] == "0"


@pytest.mark.parametrize("text", ["", "S", "1", "123456789S", "1s", "-1S", "1.5S", "1S S"])
def test_no_deadline(weir, backend, text):  # noqa: F811
    """What is none is passed on as it is, and means nothing here."""
    seen = []

    def reply(wire, stream, headers, _body):
        seen.append(headers.get("grpc-timeout"))
        wire.send_headers(stream, [(":status", "200"), ("grpc-status", "0")], end_stream=True)
    up = backend(script=Server(reply))
    before(weir, up.port)
    with Client(weir.port) as client:
        assert client.get("/", ("content-type", "application/grpc"), ("grpc-timeout", text)).header("grpc-status") == "0"
    assert seen == [text.strip()]


# ---- errors ------------------------------------------------------------------------------------------------------

ERRORS = """
    location /none/ { grpc_pass 127.0.0.1:1; }
    location /full/ { limit_concurrency none; grpc_pass 127.0.0.1:1; }
    location /named/ { error_page 502 = @said; grpc_pass 127.0.0.1:1; }
    location @said { add_header grpc-status 11 always; default_type application/grpc; return 200; }
"""
STATUSES = {400: 13, 401: 16, 403: 7, 404: 12, 405: 12, 408: 4, 413: 8, 429: 8, 500: 2, 501: 2, 502: 14, 503: 14, 504: 4}


def test_errors_are_grpcs(weir, calls, channel):
    """Where nothing answers and where there is no room; what error_page has goes before."""
    weir.expect_log("connect\\(\\) failed|limiting")
    weir.start(config(ERRORS, http="http2 on; limit_concurrency_zone none limit=1 queue=0;"))
    on = channel(weir.port)
    assert failed(on.unary_unary("/none/x")).code() == Code.UNAVAILABLE
    assert failed(on.unary_unary("/named/x")).code() == Code.OUT_OF_RANGE
    with Client(weir.port) as client:
        page = client.get("/none/x")
        assert page.status == 502 and page.header("content-type") == "text/html"
        for kind, is_grpc in [("application/grpc", True), ("application/grpc+proto", True), ("Application/gRPC;x=1", True),
                              ("application/grpc-web", False), ("application/grpcs", False), ("text/plain", False)]:
            found = client.get("/none/x", ("content-type", kind))
            assert (found.status, found.header("grpc-status")) == ((200, "14") if is_grpc else (502, None)), kind


def test_each_status_has_its_code(weir):
    weir.start(config("".join(f"location /{status} {{ return {status}; }}" for status in STATUSES), http="http2 on; log_format s '$status $sent_http_grpc_status';",
                      server="access_log {tmp}/s.log s;"))
    with Client(weir.port) as client:
        for status, code in STATUSES.items():
            found = client.get(f"/{status}", ("content-type", "application/grpc"))
            assert (found.status, found.header("grpc-status"), found.body) == (200, str(code), b""), status
            assert found.header("content-type") == "application/grpc" and found.header("grpc-message") and found.header("content-length") is None
    logged = [line for line in (weir.tmp / "s.log").read_text().splitlines() if line.split()[1] != "-"]
    assert logged == [f"{status} {code}" for status, code in STATUSES.items()]  # with HTTP's status


def test_a_limit_refuses_as_grpc_does(weir, calls, channel):
    up = calls()
    before(weir, up.port, "limit_concurrency one;", http="limit_concurrency_zone one limit=1 queue=0;")
    on = channel(weir.port)
    first = held(weir, on)
    assert failed(on.unary_unary("/t.Calls/Say")).code() == Code.RESOURCE_EXHAUSTED
    up.go_on.set()
    assert first.result() == b"late"


@pytest.mark.parametrize("where", ["location @said { return 204; }", "location @said { grpc_pass unix:{tmp}/other.sock; }"])
def test_pages_for_calls(weir, backend, where):  # noqa: F811
    """A named location stands in where it does not need the body, of which some has gone; else the plain error does."""
    def reply(wire, stream, _headers, _body):
        wire.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
    weir.expect_log("rejected request with error 2")
    weir.start(config(f"location / {{ grpc_pass 127.0.0.1:{backend(script=Server(reply)).port}; error_page 502 = @said; }} {where}", http="http2 on;"))
    with Client(weir.port) as client:
        found = client.post("/", MESSAGE, *GRPC)
        assert (found.status, found.header("grpc-status")) == ((204, None) if "204" in where else (200, "14"))


# ---- connections to servers that end, refuse or are gone ------------------------------------------------------------

@pytest.mark.parametrize("how", ["refuses", "leaves"])
def test_calls_that_a_server_has_not_looked_at_are_sent_again(weir, backend, how):  # noqa: F811
    """With their body, whatever their method."""
    seen = []

    def reply(wire, stream, headers, body):
        seen.append(bytes(body))
        if len(seen) > 2:
            said(wire, stream, headers, body)
        elif how == "refuses":
            wire.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            wire.close_connection(last_stream_id=0)
    before(weir, backend(script=Server(reply)).port)
    with Client(weir.port) as client:
        assert dict(client.post("/", MESSAGE + b"x" * 5000, *GRPC).trailers)["grpc-status"] == "0"
    assert seen == [MESSAGE + b"x" * 5000] * 3


def test_a_server_that_says_late_how_much_it_takes(weir, backend):  # noqa: F811
    """Those that are too many for it go by other connections."""
    def late(peer):
        take_time(0.3)
        Server(said, {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})(peer)
    up = backend(script=late)
    before(weir, up.port)
    with Client(weir.port) as client:
        calls = [client.request(fields("/", "POST", *GRPC), MESSAGE) for _ in range(8)]
        assert [dict(each.trailers)["grpc-status"] for each in client.responses(calls)] == ["0"] * 8


@pytest.mark.parametrize("end", ["deadline", "cancel"])
def test_a_connection_that_is_silent_is_left(weir, backend, end):  # noqa: F811
    """Calls that end before any answer make it doubtful: others go another way until it has shown that it is there."""
    up = backend(script=lambda peer: Server(said if len(up.peers) > 1 else lambda *_: take_time(LONG))(peer))
    weir.expect_log("deadline")
    before(weir, up.port)
    with Client(weir.port) as client:
        first = client.request(fields("/", "POST", *GRPC, *([("grpc-timeout", "300m")] if end == "deadline" else [])), MESSAGE)
        wait_until(lambda: up.accepts == 1, 5, "the first connection")
        let_pass(0.3)
        if end == "cancel":
            client.reset(first)
        else:
            assert client.response(first).header("grpc-status") == "4"
        assert dict(client.post("/", MESSAGE, *GRPC).trailers)["grpc-status"] == "0"
    assert up.accepts == 2


def test_send_timeout_behind_a_pause(weir, backend):  # noqa: F811
    """It runs again when the client has gone on, with a deadline as without one."""
    up = backend(script=lambda peer: peer.wait_gone())
    weir.expect_log("timed out")
    before(weir, up.port, "grpc_send_timeout 500ms;")
    with Client(weir.port) as client:
        call = client.request(fields("/", "POST", *GRPC, ("grpc-timeout", "20S")), end=False)
        wait_until(lambda: up.accepts == 1, 5, "the connection")
        let_pass(0.2)
        begun = time.monotonic()
        client.send_body(call, b"x" * 3_000_000)
        assert client.response(call).header("grpc-status") == "4" and time.monotonic() - begun < limit(5)


def test_trailers_of_a_response_with_a_length(weir, backend):  # noqa: F811
    """And to clients that do not say that they take any; by any name."""
    def reply(wire, stream, _headers, _body):
        wire.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"), ("content-length", "5")])
        wire.send_data(stream, MESSAGE)
        wire.send_headers(stream, [("grpc-status", "0"), ("authorization", "a"), ("cache-control", "b")], end_stream=True)
    before(weir, backend(script=Server(reply)).port, http="log_format s '$upstream_trailer_grpc_status $upstream_trailer_authorization';", server="access_log {tmp}/s.log s;")
    with Client(weir.port) as client:
        found = client.post("/", MESSAGE, ("content-type", "application/grpc"))
        assert found.body == MESSAGE and dict(found.trailers) == {"grpc-status": "0", "authorization": "a", "cache-control": "b"}
    wait_until(lambda: "0 a" in (weir.tmp / "s.log").read_text().splitlines(), 5, "the line")


# ---- directives ----------------------------------------------------------------------------------------------------

def said(wire, stream, headers, _body):
    """All that was asked, as a header."""
    wire.send_headers(stream, [(":status", "200"), ("x-asked", " ".join(f"{name}={value}" for name, value in headers.items())),
                               ("server", "its own"), ("x-accel-charset", "c"), ("x-hidden", "1")])
    wire.send_headers(stream, [("grpc-status", "0"), ("x-trailer", "1")], end_stream=True)


@pytest.mark.directive("grpc_set_header", "grpc_hide_header", "grpc_pass_header", "grpc_ignore_headers")
def test_headers(weir, backend):  # noqa: F811
    up = backend(script=Server(said))
    before(weir, up.port, "grpc_set_header X-A $arg_a; grpc_set_header Host there; grpc_hide_header X-Hidden; grpc_pass_header Server; grpc_ignore_headers X-Accel-Charset;")
    with Client(weir.port) as client:
        found = client.get("/p?a=1", ("te", "trailers"), ("x-own", "2"), ("content-type", "application/grpc"))
        asked = found.header("x-asked").split()
        assert {":method=GET", ":path=/p?a=1", ":authority=there", ":scheme=http", "x-a=1", "te=trailers", "x-own=2",
                "content-type=application/grpc"} <= set(asked)
        assert not [field for field in asked if field.startswith(("x-request-id", "traceparent", "content-length", "connection"))]
        assert found.header("server") == "its own" and found.header("x-hidden") is None
        assert dict(found.trailers) == {"grpc-status": "0", "x-trailer": "1"}
        assert not any(field.startswith("te=") for field in client.get("/p").header("x-asked").split())


@pytest.mark.directive("grpc_pass")
@pytest.mark.parametrize("to", ["grpc://127.0.0.1:{up}", "127.0.0.1:{up}", "GRPC://127.0.0.1:{up}", "group", "grpc://group", "$scheme_less", "grpc://$named", "unix:{tmp}/up.sock"])
def test_what_it_may_name(weir, backend, to):  # noqa: F811
    up = backend(script=Server(said), path=weir.tmp / "up.sock" if "unix" in to else None)
    port = getattr(up, "port", 0)
    weir.start(config(f"set $scheme_less 127.0.0.1:{port}; set $named group; location / {{ grpc_pass {to.replace('{up}', str(port))}; }}",
                      http=f"http2 on; upstream group {{ server 127.0.0.1:{port or 1}; }}"))
    with Client(weir.port) as client:
        assert client.get("/p").status == 200


@pytest.mark.directive("grpc_pass")
@pytest.mark.parametrize("line, why", [
    ("grpc_pass 127.0.0.1;", "no port in upstream \"127.0.0.1\""), ("grpc_pass grpc://;", "no host"), ("grpc_pass 127.0.0.1:1/uri;", "invalid host in upstream"),
    ("grpc_pass http://127.0.0.1:1;", "invalid host in upstream"), ("grpc_pass 127.0.0.1:1; proxy_pass http://127.0.0.1:1;", "\"proxy_pass\" directive is duplicate"),
    ("proxy_pass http://127.0.0.1:1; grpc_pass 127.0.0.1:1;", "\"grpc_pass\" directive is duplicate"),
    ("grpc_bind nowhere; grpc_pass 127.0.0.1:1;", "in \"grpc_bind\""), ("grpc_ssl_verify on; grpc_pass grpcs://127.0.0.1:1;", "no grpc_ssl_trusted_certificate")])
def test_mistakes(weir, line, why):
    [(message, _line)] = weir.mistakes(config(f"location / {{ {line} }}"))
    assert why in message


@pytest.mark.directive("grpc_next_upstream", "grpc_next_upstream_tries", "grpc_next_upstream_timeout", "grpc_connect_timeout", "grpc_bind", "grpc_socket_keepalive")
@pytest.mark.parametrize("more, code", [("", "0"), ("grpc_next_upstream off;", "14"), ("grpc_next_upstream_tries 1;", "14"),
                                        ("grpc_next_upstream_timeout 10s; grpc_bind 127.0.0.1; grpc_socket_keepalive on; grpc_connect_timeout 5s;", "0")])
def test_next_server(weir, backend, more, code):  # noqa: F811
    weir.expect_log("connect\\(\\) failed|disabled")
    up = backend(script=Server(said))
    weir.start(config(f"location / {{ grpc_pass up; {more} }}", http=f"http2 on; upstream up {{ server 127.0.0.1:1; server 127.0.0.1:{up.port} backup; }}"))
    with Client(weir.port) as client:
        found = client.post("/", MESSAGE, *GRPC)
        assert (found.header("grpc-status") or dict(found.trailers or {}).get("grpc-status")) == code


@pytest.mark.directive("grpc_read_timeout", "grpc_send_timeout", "grpc_intercept_errors", "grpc_buffer_size")
@pytest.mark.parametrize("how, more, code", [("silent", "grpc_read_timeout 300ms; grpc_send_timeout 300ms;", "4"), ("fails", "grpc_intercept_errors on; error_page 500 = @said;", "11"),
                                             ("large", "grpc_buffer_size 1k;", "14")])
def test_what_servers_do(weir, backend, how, more, code):  # noqa: F811
    def reply(wire, stream, _headers, _body):
        if how == "fails":
            wire.send_headers(stream, [(":status", "500")], end_stream=True)
        elif how == "large":
            wire.send_headers(stream, [(":status", "200"), ("x-large", "x" * 5000)], end_stream=True)
    weir.expect_log("timed out|too big")
    weir.start(config(f"location @said {{ add_header grpc-status 11 always; return 200; }} location / {{ grpc_pass 127.0.0.1:{backend(script=Server(reply)).port}; {more} }}",
                      http="http2 on;"))
    with Client(weir.port) as client:
        assert client.get("/", ("content-type", "application/grpc")).header("grpc-status") == code


def test_reset_by_its_server(weir, backend):  # noqa: F811
    def reply(wire, stream, _headers, _body):
        wire.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
    weir.expect_log("rejected request with error 2")
    before(weir, backend(script=Server(reply)).port)
    with Client(weir.port) as client:
        assert client.get("/", ("content-type", "application/grpc")).header("grpc-status") == "14"
