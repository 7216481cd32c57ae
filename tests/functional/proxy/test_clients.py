"""What proxy_pass makes of requests (body, method, addresses, ids), and real clients and backends."""

import http.client
import http.server
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import wsgiref.simple_server

import pytest
from proxylib import answer, backend, digest, digesting, passed, raw_answer, upstream  # noqa: F401 - a fixture
from weirlib import IS_ROOT, ROOT, limit, take_time, wait_until
from wire import chunked, head

NGINX = ROOT / "build/tools/nginx"
SIZE = 5 << 20


def seen(weir, up, method="GET", headers=(), body=None):
    """The request as the backend has seen it."""
    reply = weir.get("/x?y=z", method=method, headers=headers, body=body)
    assert reply.status == 200, reply
    return up.call


# ---- body, method, headers, version -------------------------------------------------------------------------

@pytest.mark.directive("proxy_set_body")
@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("size", [None, 0, 10, 100000])
def test_set_body(weir, backend, size, buffering):
    up = backend()
    passed(weir, up, f'proxy_set_body "a=$arg_y&m=$request_method"; proxy_request_buffering {buffering};')
    for _ in range(2):
        body = None if size is None else b"x" * size
        call = seen(weir, up, method="POST", headers=[("Content-Type", "t/x")], body=body)
        assert (call.body, call.header("Content-Length"), call.header("Content-Type")) == (b"a=z&m=POST", "10", "t/x")
    assert seen(weir, up).body == b"a=z&m=GET" and up.accepts == 1


@pytest.mark.directive("proxy_pass_request_headers")
def test_pass_no_headers(weir, backend):
    """Only what weir says itself, and proxy_set_header; the ids among it."""
    up = backend()
    passed(weir, up, 'proxy_pass_request_headers off; proxy_set_header X-Own "$http_x_client";')
    fields = [("X-Client", "c"), ("Cookie", "a=b"), ("X-Request-ID", "mine")]
    call = seen(weir, up, method="POST", headers=fields, body=b"hi")
    assert {name for name, _ in call.headers} == {"Host", "X-Own", "X-Request-ID", "traceparent", "Content-Length"}
    assert (call.header("X-Own"), call.header("X-Request-ID"), call.body) == ("c", "mine", b"hi")


@pytest.mark.directive("proxy_method")
@pytest.mark.parametrize("configured, client, sent", [("PUT", "POST", "PUT"), ("$arg_m", "POST", "DELETE"),
                                                      ("$arg_none", "PATCH", "PATCH"), ("POST", "GET", "POST")])
def test_method(weir, backend, configured, client, sent):
    up = backend()
    passed(weir, up, f"proxy_method {configured};")
    assert weir.get("/?m=DELETE", method=client, body=b"hi" if client != "GET" else None).status == 200
    assert (up.call.method, up.call.body) == (sent, b"hi" if client != "GET" else b"")


@pytest.mark.directive("proxy_http_version")
def test_version_1_0(weir, backend):
    up = backend()
    passed(weir, up, "proxy_http_version 1.0;")
    for _ in range(2):
        call = seen(weir, up, method="POST", body=b"hi")
        assert (call.version, call.header("Connection"), call.body) == ("HTTP/1.0", "close", b"hi")
    assert up.accepts == 2


@pytest.mark.directive("proxy_ignore_client_abort")
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("setting", ["on", "off"])
def test_ignore_client_abort(weir, backend, setting, how):
    done = threading.Event()

    def reply(call):
        take_time(0.4)
        if not call.peer.socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) if setting == "off" else False:
            return None
        call.send(answer(b"x" * 1000000))
        done.set()
    up = backend(reply)
    passed(weir, up, f"proxy_ignore_client_abort {setting};")
    client = weir.connect()
    client.request("/")
    wait_until(lambda: up.calls, 3, "the request")
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert done.wait(limit(1.5)) == (setting == "on")
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 3, "the end of the request")


# ---- addresses and ids --------------------------------------------------------------------------------------

@pytest.mark.directive("proxy_bind")
def test_bind(weir, backend):
    """Kept connections are for requests with the same local address."""
    weir.expect_log(r"failed \(99: Cannot assign requested address\)")
    up = backend(lambda call: answer(call.peer.socket.getpeername()[0].encode()))
    passed(weir, "up", "proxy_bind $arg_from;", http=upstream(up))
    with weir.connect() as client:
        for _ in range(2):
            for address in ("127.0.0.2", "127.0.0.3", "127.0.0.1"):
                assert client.get(f"/?from={address}").text == address
        assert client.get("/").text == "127.0.0.1" and client.get("/?from=192.0.2.1").status == 502
    assert up.accepts == 4


def proxy_header(peer, version):
    if version == "on":
        while b"\r\n" not in peer.unread:
            peer.receive()
        line, peer.unread = peer.unread.split(b"\r\n", 1)
        word, family, source, target, port, target_port = line.decode().split(" ")
        assert (word, family) == ("PROXY", "TCP4")
        return source, int(port), target, int(target_port)
    fixed = peer.exactly(16)
    assert fixed[:14] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11" and fixed[14:] == b"\0\x0c"
    source, target, port, target_port = struct.unpack(">4s4sHH", peer.exactly(12))
    return socket.inet_ntoa(source), port, socket.inet_ntoa(target), target_port


@pytest.mark.parametrize("version", ["on", "v2"])
def test_proxy_protocol(weir, backend, version):
    """Each connection begins with its client's address and carries one request."""
    told = []

    def script(peer):
        told.append(proxy_header(peer, version))
        peer.call()
        peer.send(answer())
        peer.wait_gone()
    up = backend(script=script)
    passed(weir, "up", f"proxy_protocol {version};", http=upstream(up))
    for number in range(2):
        with weir.connect() as client:
            for _ in range(2):
                assert client.get("/", headers=[("X", "y")]).status == 200
                assert told[-1] == (*client.socket.getsockname(), "127.0.0.1", weir.port)
                assert up.peers[-1].gone.wait(limit(2)), "kept"
    assert up.accepts == 4


def test_ids(weir, backend):
    up = backend()
    passed(weir, up, 'proxy_set_header X-Seen $request_id;', server="access_log {tmp}/logs/t.log t;",
           http='log_format t "$request_id $traceparent";')
    made = [seen(weir, up) for _ in range(2)]
    ids = [call.header("X-Request-ID") for call in made]
    traces = [call.header("traceparent") for call in made]
    assert len(set(ids)) == 2 and all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert all(re.fullmatch(f"00-{one}-[0-9a-f]{{16}}-01", trace) for one, trace in zip(ids, traces))
    assert [call.header("X-Seen") for call in made] == ids
    wait_until(lambda: f"{ids[1]} {traces[1]}\n" in (weir.tmp / "logs/t.log").read_text(), 2, "the ids in the log")
    given = [("X-Request-ID", "my-id.1"), ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-00")]
    call = seen(weir, up, headers=given)
    assert [(name, call.all(name)) for name, _ in given] == [(name, [value]) for name, value in given]
    assert call.header("X-Seen") == "my-id.1"
    for strange in ("a b", "x" * 300, '"quoted"'):  # the upstream and the log have the same one
        call = seen(weir, up, headers=[("X-Request-ID", strange)])
        assert call.all("X-Request-ID") == [call.header("X-Seen")], strange


# ---- real backends and clients ------------------------------------------------------------------------------

def curl(weir, *args, target="/", data=None):
    done = subprocess.run(["curl", "-sS", "-m", "20", *args, f"http://127.0.0.1:{weir.port}{target}"], input=data,
                          capture_output=True, timeout=limit(30))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_curl(weir, backend, buffering):
    up = backend(lambda call: digesting(call) if call.method in ("POST", "PUT") else answer(b"hello"), read_body=False)
    passed(weir, up, f"proxy_request_buffering {buffering};")
    body = os.urandom(SIZE)
    file = weir.tmp / "body"
    file.write_bytes(body)
    assert curl(weir) == curl(weir, "-0") == b"hello" and b"Content-Length: 5" in curl(weir, "-I")
    assert curl(weir, "-T", str(file)).decode() == digest(body)
    assert curl(weir, "-T", "-", "-H", "Expect: 100-continue", data=body).decode() == digest(body)
    assert curl(weir, "--data-binary", f"@{file}", "-H", "Transfer-Encoding: chunked").decode() == digest(body)


def served(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_http_server(weir, version):
    (weir.tmp / "html/file").write_bytes(body := os.urandom(SIZE))

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = version

        def __init__(self, *args):
            super().__init__(*args, directory=str(weir.tmp / "html"))

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    passed(weir, served(server))
    client = http.client.HTTPConnection("127.0.0.1", weir.port, timeout=limit(10))
    for target, status, size in [("/file", 200, SIZE), ("/none", 404, None), ("/", 200, None), ("/file", 200, SIZE)]:
        client.request("GET", target)
        reply = client.getresponse()
        data = reply.read()
        assert reply.status == status and (size is None or data == body)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_wsgi(weir, buffering):
    class Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_):
            pass

    def app(environ, start):
        data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start("200 OK", [("Content-Type", "text/plain"), ("X-Uri", environ["PATH_INFO"])])
        return [digest(data).encode()]
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=Quiet)
    passed(weir, served(server), f"proxy_request_buffering {buffering}; proxy_http_version 1.0;")
    client = http.client.HTTPConnection("127.0.0.1", weir.port, timeout=limit(10))
    for body in (b"", b"hi", os.urandom(SIZE)):
        for sent in (body, iter([body[:1000] or b"-", body[1000:] or b"+"])):
            client.request("POST", "/p", body=sent)
            reply = client.getresponse()
            expected = body if sent is body else (body[:1000] or b"-") + (body[1000:] or b"+")
            assert (reply.status, reply.read().decode(), reply.getheader("X-Uri")) == (200, digest(expected), "/p")
    server.shutdown()
    server.server_close()


@pytest.fixture
def nginx(weir):
    """Its address; it serves weir's html folder."""
    if not NGINX.exists():
        pytest.skip("bench/fetch-tools.sh has not been run")
    folder = weir.tmp / "nginx"
    folder.mkdir()
    path = folder / "sock"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temp = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in kinds)
    (folder / "conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log; events {{}}"
        f"{'user root;' if IS_ROOT else ''} http {{ access_log off; {temp} client_max_body_size 1m;"
        f"keepalive_requests 1000000; server {{ listen unix:{path};"
        f"root {weir.tmp}/html; location /accept {{ client_max_body_size 0; return 200 $content_length; }}"
        f"location /put {{ dav_methods PUT; client_max_body_size 0; }} }} }}")
    process = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "conf", "-e", folder / "log"],
                               stdin=subprocess.DEVNULL)
    wait_until(path.exists, 5, "nginx")
    path.chmod(0o777)
    yield f"unix:{path}"
    process.terminate()
    process.wait(limit(5))


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_nginx(weir, nginx, buffering):
    body = os.urandom(SIZE)
    (weir.tmp / "html/file").write_bytes(body)
    (weir.tmp / "html/put").mkdir()
    passed(weir, "up", f"proxy_request_buffering {buffering};", http=upstream(nginx))
    with weir.connect(timeout=20) as client:
        reply = client.get("/file")
        assert reply.body == body and reply.header("Server").startswith("weir")
        assert client.get("/file", headers=[("If-None-Match", reply.header("ETag"))]).status == 304
        part = client.get("/file", headers=[("Range", "bytes=5-9")])
        assert (part.status, part.body, part.header("Content-Range")) == (206, body[5:10], f"bytes 5-9/{SIZE}")
        for target, data in (("/put/a", body), ("/put/b", b"")):
            client.request(target, method="PUT", body=data)
            assert client.response().status == 201
            assert (weir.tmp / "html" / target[1:]).read_bytes() == data
        client.send(head("PUT /put/c HTTP/1.1", "Transfer-Encoding: chunked") + chunked(body))
        assert client.response().status == 201 and client.get("/put/c").body == body
        client.request("/too-large", method="POST", body=body[:2 << 20])
        assert client.response().status == 413
    assert len(raw_answer(weir.port, b"GET /file HTTP/1.0\r\n\r\n").split(b"\r\n\r\n", 1)[1]) == SIZE


@pytest.mark.skipif(not shutil.which("wrk"), reason="no wrk")
def test_wrk(weir, nginx):
    (weir.tmp / "html/small").write_bytes(b"x" * 100)
    passed(weir, "up", http=upstream(nginx), workers=2)
    said = subprocess.run(["wrk", "-t1", "-c20", "-d1s", f"http://127.0.0.1:{weir.port}/small"], capture_output=True,
                          text=True, timeout=limit(20)).stdout
    assert "Non-2xx" not in said and "Socket errors" not in said and int(re.search(r"(\d+) requests in", said)[1]) > 100
    # What wrk has left behind still goes to the upstream, which must not be gone by then.
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "the end of all requests")
