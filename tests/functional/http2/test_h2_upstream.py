"""HTTP/2 to upstreams: proxy_http_version 2, many requests on few connections, and what a server may do to them."""

import os
import ssl

import h2.errors
import h2.settings
import pytest
from http2_client import Client, fields
from http2_server import Server, hello
from proxylib import backend, passed  # noqa: F401 - a fixture
from weirlib import config, wait_until

TWO = "proxy_http_version 2;"
PEER = """
    server { listen unix:{tmp}/peer.sock; http2 on; client_max_body_size 0; root {tmp}/files; early_hints 1;
             location /echo { handler echo; } location /sleep { handler sleep; }
             location /said { return 200 "$server_protocol $host $request_method $http_te $http_connection$http_x_a"; }
             location /none { return 204; } location /moved { return 301 /there; }
             location /trailer { add_trailer X-Sum 12; handler echo; } }
"""


def asked(weir, method, path, body=None):
    with weir.connect(timeout=30) as client:
        client.request(path, method, body=body)
        return client.response(method)


def beside(weir, more="", http="", peer=PEER, location=""):
    """A server before another one of the same process, which is asked by HTTP/2."""
    weir.start(config(f"location / {{ proxy_pass http://unix:{{tmp}}/peer.sock:; {TWO} {more} {location} }}",
                      http=f"http2 on; client_max_body_size 0; {peer} {http}"))
    (weir.tmp / "files").mkdir(exist_ok=True)
    (weir.tmp / "files" / "large").write_bytes(os.urandom(3 << 20))


# ---- ordinary requests --------------------------------------------------------------------------------------------

@pytest.mark.directive("proxy_http_version")
def test_what_the_upstream_sees(weir):
    beside(weir, "proxy_set_header X-A b;")
    assert weir.get("/said").text == "HTTP/2.0 localhost GET  b"


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("size", [0, 1, 16_384, 65_535, 65_536, 1_000_000])
def test_bodies_both_ways(weir, buffering, size):
    """With a length, and without."""
    beside(weir, f"proxy_buffering {buffering}; proxy_request_buffering {buffering};")
    body = os.urandom(size)
    answer = asked(weir, "POST", "/echo", body)
    assert (answer.status, answer.body) == (200, body)
    with Client(weir.port) as client:
        stream = client.request(fields("/echo", "POST"), body or None, end=True)
        found = client.response(stream)
        assert (found.status, found.body) == (200, body)


@pytest.mark.parametrize("path, status", [("/none", 204), ("/moved", 301), ("/not", 404), ("/large", 200)])
def test_answers_of_each_kind(weir, path, status):
    beside(weir)
    for method in ("GET", "HEAD"):
        answer = asked(weir, method, path)
        assert answer.status == status
        if path == "/large":
            assert answer.header("Content-Length") == str(3 << 20)
            assert answer.body == ((weir.tmp / "files" / "large").read_bytes() if method == "GET" else b"")


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_slow_client_holds_nobody_up(weir, buffering):
    """A response that is not taken keeps its own window shut, and no other's."""
    beside(weir, f"proxy_buffering {buffering}; proxy_max_temp_file_size 0;")
    with Client(weir.port, settings={4: 0}) as slow, Client(weir.port) as client:
        waiting = [slow.request(fields("/large")) for _ in range(3)]
        slow.ping()
        assert client.get("/said").status == 200
        assert len(client.response(client.request(fields("/large")), 30).body) == 3 << 20
        slow.send_settings({4: 8 << 20})
        slow.grow(16 << 20)
        assert [len(each.body) for each in slow.responses(waiting, 30)] == [3 << 20] * 3


def test_many_requests_on_few_connections(weir, backend):  # noqa: F811
    server = Server(hello)
    passed(weir, backend(script=server), TWO, http="http2 on;")
    assert weir.get("/first").text == "hello"
    with Client(weir.port) as client:
        for _ in range(3):
            found = client.responses([client.request(fields(f"/{i}")) for i in range(100)])
            assert [each.header("x-path") for each in found] == [f"/{i}" for i in range(100)]
    assert server.connections == 1 and len(server.streams) == 301


def test_a_server_that_takes_few(weir, backend):  # noqa: F811
    """Its SETTINGS_MAX_CONCURRENT_STREAMS is kept to: others go by further connections."""
    server = Server(hello, {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    passed(weir, backend(script=server), TWO, http="http2 on;")
    assert weir.get("/first").text == "hello"
    with Client(weir.port) as client:
        found = client.responses([client.request(fields(f"/{i}")) for i in range(20)])
        assert [each.status for each in found] == [200] * 20


@pytest.mark.parametrize("wants", [True, False])
def test_trailers(weir, backend, wants):  # noqa: F811
    """To those who say that they take them."""
    def with_trailers(wire, stream, headers, body):
        wire.send_headers(stream, [(":status", "200")])
        wire.send_data(stream, b"abc")
        wire.send_headers(stream, [("x-sum", "12")], end_stream=True)

    passed(weir, backend(script=Server(with_trailers)), TWO + " proxy_pass_trailers on;", http="http2 on;")
    with Client(weir.port) as client:
        found = client.response(client.request(fields("/", "GET", *([("te", "trailers")] if wants else []))))
        assert found.body == b"abc" and [tuple(each) for each in found.trailers or []] == ([("x-sum", "12")] if wants else [])


# ---- what goes wrong ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_stream_is_sent_again(weir, backend, method):  # noqa: F811
    """Whatever it is: the server has not looked at it."""
    def refuse_the_first(wire, stream, headers, body):
        if stream == 3:
            wire.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            hello(wire, stream, headers, body)

    passed(weir, backend(script=Server(refuse_the_first)), TWO, http="http2 on;")
    assert weir.get("/").status == 200
    answer = asked(weir, method, "/", b"x" if method == "POST" else None)
    assert (answer.status, answer.body) == (200, b"x" if method == "POST" else b"hello")


@pytest.mark.parametrize("half", [False, True])
def test_a_reset_is_an_error(weir, backend, half):  # noqa: F811
    """Before the response: 502; within: the client sees that it is not whole. The connection goes on."""
    def break_off(wire, stream, headers, body):
        if headers[":path"] == "/":
            hello(wire, stream, headers, body)
            return
        if half:
            wire.send_headers(stream, [(":status", "200"), ("content-length", "100")])
            wire.send_data(stream, b"abc")
        wire.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)

    server = Server(break_off)
    passed(weir, backend(script=server), TWO, http="http2 on;")
    with Client(weir.port) as client:
        assert client.get("/").status == 200
        found = client.request(fields("/bad"))
        client.read(lambda: found.ended or found.reset is not None, "an end")
        assert (found.status, found.reset) == (200, 2) if half else found.status == 502
        assert client.get("/").status == 200
    assert server.connections == 1


def test_goaway_ends_a_connection_and_no_request(weir, backend):  # noqa: F811
    def last(wire, stream, headers, body):
        hello(wire, stream, headers, body)
        wire.close_connection(last_stream_id=stream)

    server = Server(last)
    passed(weir, backend(script=server), TWO, http="http2 on;")
    assert [weir.get("/").status for _ in range(5)] == [200] * 5
    assert server.connections == 5


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\0" * 100, b""])
def test_a_server_of_another_protocol(weir, backend, said):  # noqa: F811
    def other(peer):
        peer.receive()
        peer.send(said)

    passed(weir, backend(script=other), TWO)
    assert weir.get("/").status == 502


def test_client_that_leaves(weir):
    """The upstream's stream is reset, and its handler told."""
    beside(weir)
    with Client(weir.port) as client:
        stream = client.request(fields("/sleep?ms=30000"))
        wait_until(lambda: weir.status()["requests"]["in_flight"] == 3, 5, "both requests and the status")
        client.reset(stream)
        wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "neither")


def test_idle_connections_end(weir, backend):  # noqa: F811
    server = Server(hello)
    up = backend(script=server)
    weir.start(config(f"location / {{ proxy_pass http://up; {TWO} }}", http=f"upstream up {{ server {up.address}; keepalive_timeout 300ms; }}"))
    assert weir.get("/").status == 200
    assert up.peers[0].gone.wait(5)


def test_requests_of_a_connection_are_counted(weir, backend):  # noqa: F811
    server = Server(hello)
    up = backend(script=server)
    weir.start(config(f"location / {{ proxy_pass http://up; {TWO} }}", http=f"upstream up {{ server {up.address}; keepalive_requests 2; }}"))
    assert [weir.get("/").status for _ in range(6)] == [200] * 6
    assert server.connections == 3


# ---- TLS ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("offers, status", [(["h2"], 200), (["h2", "http/1.1"], 200), (["http/1.1"], 502), ([], 502)])
def test_servers_agree_to_it_in_tls(weir, backend, tmp_path, offers, status):  # noqa: F811
    import subprocess  # noqa: PLC0415
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", tmp_path / "key",
                    "-out", tmp_path / "pem", "-days", "30", "-subj", "/CN=localhost"], capture_output=True, check=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "pem", tmp_path / "key")
    if offers:
        context.set_alpn_protocols(offers)
    up = backend(script=Server(hello), tls=context)
    weir.start(config(f"location / {{ proxy_pass https://{up.address}; {TWO} }}"))
    assert weir.get("/").status == status
    if status == 200:
        assert weir.get("/").text == "hello"
        assert up.accepts == 1
