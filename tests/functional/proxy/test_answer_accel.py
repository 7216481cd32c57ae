"""X-Accel-...: upstreams that say how their answers are to be given; error_page in place of their answers."""


import pytest
from proxylib import CHUNKS, answer, backend, passed  # noqa: F401 - a fixture
from weirlib import config, take_time, wait_until, watch
from wire import head

FILE = b"0123456789" * 5000


def accel(target, *fields, body=b"theirs", status="200 OK"):
    return answer(body, f"X-Accel-Redirect: {target}", *fields, status=status)


def before_files(weir, up, **parts):
    """/ is passed on; /files/ is a folder."""
    (weir.tmp / "files").mkdir()
    (weir.tmp / "files/a.txt").write_bytes(FILE)
    (weir.tmp / "files/a b.txt").write_bytes(b"blank")
    return passed(weir, up, server="location /files/ { root {tmp}; } location = /own { return 200 $uri?$args; }",
                  **parts)


# ---- X-Accel-Redirect ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("target", ["/files/a.txt", "/files//a.txt", "/files/a%2Etxt",
                                    "/files/a.txt?b=c"])
def test_to_a_file(weir, backend, target):
    before_files(weir, backend(accel(target)))
    reply = weir.get("/x")
    assert reply.status == 200 and reply.body == FILE and reply.header("X-Accel-Redirect") is None
    assert reply.header("Content-Length") == str(len(FILE)) and reply.header("Accept-Ranges") == "bytes"


def test_escaped_target(weir, backend):
    before_files(weir, backend(accel("/files/a%20b.txt")))
    assert weir.get("/x").body == b"blank"


@pytest.mark.parametrize("target", ["/files/../../etc/passwd", "/files/%2e%2e/%2e%2e/etc/passwd", "/files/none",
                                    "files/a.txt", "http://127.0.0.1/", "@none", "/files/%00", "/files/%zz"])
def test_to_nothing(weir, backend, target):
    before_files(weir, backend(accel(target)))
    reply = weir.get("/x")
    assert 400 <= reply.status < 600 and b"theirs" not in reply.body and b"root:" not in reply.body


def test_head(weir, backend):
    before_files(weir, backend(accel("/files/a.txt")))
    with weir.connect() as client:
        client.request("/x", "HEAD")
        reply = client.response("HEAD")
        assert reply.status == 200 and reply.header("Content-Length") == str(len(FILE))
        assert client.get("/status").status == 200


def test_range(weir, backend):
    before_files(weir, backend(accel("/files/a.txt")))
    reply = weir.get("/x", headers=[("Range", "bytes=3-5")])
    assert reply.status == 206 and reply.body == b"345"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_with_a_body_that_is_not_wanted(weir, backend, framing):
    body = b"theirs" * (1 << 18)
    def reply(call):
        if framing == "length":
            call.send(accel("/own", body=body))
        elif framing == "chunked":
            call.send(CHUNKS[:-2] + b"X-Accel-Redirect: /own\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        else:
            call.send(b"HTTP/1.0 200 OK\r\nX-Accel-Redirect: /own\r\n\r\n" + body)
            call.close()
    before_files(weir, backend(reply))
    with weir.connect() as client:
        assert [client.get("/x").text for _ in range(3)] == ["/own?"] * 3


REDIRECTED_CHUNKS = CHUNKS[:-2] + b"X-Accel-Redirect: /own\r\n\r\n6\r\ntheirs\r\n0\r\n\r\n"


@pytest.mark.parametrize("whole, kept", [
    (accel("/own"), True), (accel("/own", body=b""), True), (REDIRECTED_CHUNKS, True),
    (REDIRECTED_CHUNKS + b"more", False), (accel("/own") + b"more", False), (accel("/own", "Connection: close"), False)])
def test_connection_behind_a_body_that_is_not_wanted(weir, backend, whole, kept):
    """It is kept where the body has come whole with its head, and nothing behind it."""
    up = backend(whole)
    before_files(weir, up)
    with weir.connect() as client:
        assert [client.get("/x").text for _ in range(2)] == ["/own?"] * 2
    assert len(up.peers) == (1 if kept else 2)


def test_target_s_arguments(weir, backend):
    before_files(weir, backend(accel("/own?a=b", body=b"")))
    with weir.connect() as client:
        assert [client.get("/x?c=d").text for _ in range(3)] == ["/own?a=b"] * 3


def test_headers_that_stay(weir, backend):
    kept = {"Content-Type": "text/x-own", "Set-Cookie": "a=b", "Content-Disposition": "attachment",
            "Cache-Control": "no-store", "Expires": "0"}
    lost = {"X-Other": "1", "ETag": '"theirs"', "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT",
            "Location": "/theirs", "Content-Encoding": "gzip", "Vary": "x", "Refresh": "5"}
    fields = [f"{name}: {value}" for name, value in (kept | lost).items()]
    before_files(weir, backend(accel("/files/a.txt", *fields, "Set-Cookie: c=d", status="404 None")))
    reply = weir.get("/x")
    assert reply.status == 200 and {name: reply.header(name) for name in kept} == kept
    assert not {name for name in lost if reply.header(name) == lost[name]}
    assert [value for name, value in reply.headers if name == "set-cookie"] == ["a=b", "c=d"]


def test_cookies_that_stay_are_rewritten(weir, backend):
    passed(weir, backend(accel("/own", "Set-Cookie: a=b; Domain=l; Path=/x")),
           "proxy_cookie_domain l e.org; proxy_cookie_path /x /; proxy_cookie_flags a secure;",
           server="location = /own { return 200 own; }")
    assert weir.get("/x").header("Set-Cookie") == "a=b; Domain=e.org; Path=/; Secure"


def test_type_of_the_file_without_one(weir, backend):
    before_files(weir, backend(accel("/files/a.txt")))
    assert weir.get("/x").header("Content-Type") == "text/plain"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"])
def test_to_another_upstream(weir, backend, method):
    """As a GET, or a HEAD, without the body; the target's arguments, not the request's."""
    second = backend(lambda call: answer(b"x", "X-Second: 1", "X-Accel-Charset: 2"))
    first = backend(accel("/second/%41?c=d", "Set-Cookie: a=b", "X-First: 1"))
    weir.start(config(f"location / {{ proxy_pass http://{first.address}; }}"
                      f"location /second/ {{ proxy_pass http://{second.address}; }}"))
    reply = weir.get("/x?a=b", method=method, body=b"abc" if method in ("POST", "PUT", "PATCH") else None)
    assert reply.status == 200 and reply.header("X-Second") == "1" and reply.header("X-First") is None
    assert reply.header("Set-Cookie") == "a=b" and not reply.header("X-Accel-Charset")
    call = second.call
    assert (call.method, call.target, call.body) == ("HEAD" if method == "HEAD" else "GET", "/second/A?c=d", b"")
    assert call.header("Content-Length") in (None, "0")


def test_loop_is_bounded(weir, backend):
    up = backend(accel("/again"))
    before_files(weir, up)
    assert weir.get("/x").status == 500 and len(up.calls) <= 12
    assert "internal redirection cycle" in weir.error_log


def test_to_the_first_file_of_a_folder(weir, backend):
    (weir.tmp / "html/index.html").write_text("index")
    passed(weir, backend(accel("/dir/")), location="/x", server="location /dir/ { alias {tmp}/html/; }")
    assert weir.get("/x").text == "index"


@pytest.mark.directive("error_page")
def test_to_a_handler_s_error_page(weir, backend):
    passed(weir, backend(accel("/none")), server="location /none { return 404; error_page 404 /own; }"
           " location = /own { return 200 own; }")
    reply = weir.get("/x")
    assert (reply.status, reply.text) == (404, "own")


def test_pipelined(weir, backend):
    before_files(weir, backend(lambda call: accel("/files/a.txt" if call.target == "/x" else "/own")))
    with weir.connect() as client:
        client.send((head("GET /x HTTP/1.1") + head("GET /y HTTP/1.1")) * 3)
        assert [len(client.response().body) for _ in range(6)] == [len(FILE), 5] * 3


@pytest.mark.directive("proxy_request_buffering")
@pytest.mark.parametrize("how", ["own", "intercepted", "page from an upstream", "second upstream"])
def test_rest_of_a_body_is_not_a_request(weir, backend, how):
    """The upstream answers before it has the body; what still comes of it must not be taken for a request."""
    up = backend(lambda call: accel("/second" if how == "second upstream" else "/own", status="200 OK") if "p" not in
                 call.target and how in ("own", "second upstream") else answer(status="404 No"), read_body=False)
    second = backend(answer(b"second"), read_body=False)
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; proxy_request_buffering off;"
                      f"proxy_intercept_errors on; error_page 404 /{'own' if how == 'intercepted' else 'second'}; }}"
                      "location = /own { return 200 own; } location = /evil { return 200 evil; }"
                      f"location /second {{ proxy_pass http://{second.address}; proxy_request_buffering off; }}"))
    evil = head("GET /evil HTTP/1.1")
    with weir.connect(timeout=3) as client:
        client.send(head("POST /x HTTP/1.1", f"Content-Length: {2 * len(evil)}"))
        wait_until(lambda: up.calls, 3, "the request")
        take_time(0.3)
        try:
            client.send(evil)
            take_time(0.1)
            client.send(evil)
        except OSError:
            pass
        got = b""
        try:
            while piece := client.socket.recv(1 << 16):
                got += piece
        except OSError as error:
            got += repr(error).encode()
    assert got.count(b"HTTP/1.1 ") == 1 and b"evil" not in got and (b"own" in got or b"second" in got), got
    assert b"TimeoutError" not in got
    said = [(call.method, call.header("Content-Length"), call.header("Transfer-Encoding")) for call in second.calls]
    assert said in ([], [("GET", None, None)], [("GET", "0", None)])


@pytest.mark.parametrize("target", ["@named", "/inner/a", "/dir/f"])
def test_to_what_clients_cannot_ask_for(weir, backend, target):
    """Named and internal locations, and a folder by way of an alias."""
    (weir.tmp / "html/f").write_text("file")
    passed(weir, backend(accel(target, "Set-Cookie: a=b")), location="/x",
           server="location @named { return 200 '$uri $args'; } location /inner/ { internal; return 200 '$uri $args'; }"
                  "location /dir/ { internal; alias {tmp}/html/; }")
    reply = weir.get("/x?c=d")
    assert reply.status == 200 and reply.header("Set-Cookie") == "a=b"
    assert reply.text == {"@named": "/x c=d", "/inner/a": "/inner/a ", "/dir/f": "file"}[target]
    assert weir.get("/inner/a").status == weir.get("/dir/f").status == 404


# ---- X-Accel-Buffering --------------------------------------------------------------------------------------

@pytest.mark.directive("proxy_buffering")
@pytest.mark.parametrize("said, ignored, setting, reads_on",
                         [("no", "", "on", False), ("yes", "", "off", True), ("no", "X-Accel-Buffering", "on", True),
                          ("yes", "X-Accel-Buffering", "off", False), ("NO", "", "on", False), ("x", "", "on", True)])
def test_accel_buffering(weir, backend, said, ignored, setting, reads_on):
    """Whether the upstream is read although the client does not read."""
    done = []
    up = backend(lambda call: (call.send(answer(b"x" * (30 << 20), f"X-Accel-Buffering: {said}")), done.append(1))[0])
    passed(weir, up, f"proxy_buffering {setting}; " + (ignored and f"proxy_ignore_headers {ignored};"))
    with weir.connect() as client:
        client.request("/")
        if reads_on:
            wait_until(lambda: done, 5, "an upstream that is done")
        else:
            watch(0.7)
        assert bool(done) == reads_on
        assert len(client.response().body) == 30 << 20


# ---- error_page in place of answers -------------------------------------------------------------------------

def test_interception_needs_an_error_page(weir, backend):
    passed(weir, backend(answer(b"theirs", "X-A: 1", status="404 Gone Fishing")), "proxy_intercept_errors on;")
    reply = weir.get()
    assert (reply.status, reply.reason, reply.text, reply.header("X-A")) == (404, "Gone Fishing", "theirs", "1")


def test_interception_inheritance(weir, backend):
    up = backend(answer(b"theirs", status="404 No"))
    weir.start(config(f"location /on {{ proxy_pass http://{up.address}; }}"
                      f"location /off {{ proxy_pass http://{up.address}; proxy_intercept_errors off; }}"
                      "location = /own { return 200 own; }", http="proxy_intercept_errors on; error_page 404 /own;"))
    assert (weir.get("/on").text, weir.get("/off").text) == ("own", "theirs")


@pytest.mark.parametrize("status", [301, 302, 304, 401, 429, 503])
def test_intercepted_statuses(weir, backend, status):
    passed(weir, backend(answer(b"theirs" if status != 304 else b"", status=f"{status} X", length=status != 304)),
           f"proxy_intercept_errors on; error_page {status} =200 /own;", server="location = /own { return 200 own; }")
    reply = weir.get()
    assert (reply.status, reply.text) == (200, "own")


@pytest.mark.directive("proxy_intercept_errors")
def test_interception_with_upstream_variables(weir, backend):
    passed(weir, backend(answer(b"theirs", "X-Why: tired", status="503 No")), "proxy_intercept_errors on;"
           "error_page 503 /own;", server='location = /own { return 200 "$upstream_status $upstream_http_x_why"; }')
    assert weir.get().text == "503 tired"


def test_accel_redirect_before_interception(weir, backend):
    before_files(weir, backend(accel("/own", status="404 No")),
                 http="proxy_intercept_errors on; error_page 404 /other;")
    assert weir.get("/x").text == "/own?"
