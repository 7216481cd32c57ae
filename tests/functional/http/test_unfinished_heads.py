"""Requests whose end never comes: the client leaves, or its time is over. They are logged as nginx logs them; heads get no answer."""

import socket
import struct

import pytest
from proxylib import backend, passed  # noqa: F401 - a fixture
from weirlib import config, wait_until
from wire import head, post

FORMAT = """log_format seen '$status $bytes_sent "$request" $request_length "$uri" $host $server_name "$http_a" $connection_requests "$proxy_protocol_addr"';"""
LOG = "client_header_timeout 300ms; access_log logs/seen.log seen;"
OTHER = ("server { listen 127.0.0.1:{port}; server_name other; access_log logs/other.log seen; error_log logs/other-error.log info; }"
         "server { listen 127.0.0.1:{port2} proxy_protocol; server_name behind; " + LOG + " }")
PROXY = b"PROXY TCP4 192.0.2.3 192.0.2.7 1234 443\r\n"

ENDS = {  # status, and the words of the error log
    "close": (400, "client prematurely closed connection"),
    "reset": (400, "recv() failed (104: Connection reset by peer)"),
    "hold": (408, "client timed out (110: Connection timed out)"),
}
HEADS = {  # the rest of the line, where the error log says it was, and what it has behind the client
    b"G": ('"G" 0 "" def def "-" 1 "-"', "line", 'server: def, request: "G"'),
    b"GET /z HT": ('"GET /z HT" 0 "" def def "-" 1 "-"', "line", 'server: def, request: "GET /z HT"'),
    b"GET /z HTTP/1.1\r": ('"GET /z HTTP/1.1" 0 "" def def "-" 1 "-"', "line", 'server: def, request: "GET /z HTTP/1.1"'),
    b"GET /z HTTP/1.1\r\n": ('"GET /z HTTP/1.1" 17 "/z" def def "-" 1 "-"', "headers", 'server: def, request: "GET /z HTTP/1.1"'),
    b"GET /z HTTP/1.1\r\nA: b\r\nHo": ('"GET /z HTTP/1.1" 23 "/z" def def "b" 1 "-"', "headers", 'server: def, request: "GET /z HTTP/1.1"'),
    b"\r\nGET /z HT": ('"GET /z HT" 0 "" def def "-" 1 "-"', "line", 'server: def, request: "GET /z HT"'),
}


@pytest.fixture
def site(weir):
    # the error_page is for answers, of which there are none here
    weir.start(config('location / { return 200 "ok"; } error_page 400 408 /;', log="info", http=FORMAT + OTHER, server="server_name def;" + LOG,
                      listen="127.0.0.1:{port} default_server"))
    return weir


def logged(weir, name="seen.log"):
    path = weir.tmp / "logs" / name
    return [line for line in path.read_text().splitlines() if "/status" not in line] if path.exists() else []


def leave(weir, raw, way, port=None, answer=b""):
    """Send bytes and leave them so; whatever comes back must be nothing but the answers to whole requests before them."""
    with weir.connect(port) as client:
        client.send(raw)
        if answer:
            assert client.response().body == answer
        if way == "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.wait_taken()  # the bytes are to be there before the reset
            return
        if way == "close":
            client.end_writing()
        assert client.until_close() == b""


@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("raw", HEADS)
def test_unfinished(site, raw, way):
    (line, where, who), (status, words) = HEADS[raw], ENDS[way]
    leave(site, raw, way)
    [found] = wait_until(lambda: logged(site), 3, "a line of the log")
    assert found == f"{status} 0 {line}"
    assert f"{words} while reading client request {where}, client: 127.0.0.1, {who}" in site.error_log


@pytest.mark.parametrize("way", ENDS)
def test_host_that_has_come(site, way):
    """Its server has the line, in its own logs."""
    leave(site, b"GET /z HTTP/1.1\r\nHost: other\r\nA: b\r\nB", way)
    assert wait_until(lambda: logged(site, "other.log"), 3, "a line") == [f'{ENDS[way][0]} 0 "GET /z HTTP/1.1" 36 "/z" other other "b" 1 "-"']
    errors = (site.tmp / "logs/other-error.log").read_text()
    assert f'{ENDS[way][1]} while reading client request headers, client: 127.0.0.1, server: other, request: "GET /z HTTP/1.1", host: "other"' in errors
    assert not logged(site)


@pytest.mark.parametrize("way", ENDS)
def test_behind_an_answer(site, way):
    leave(site, head("GET /a HTTP/1.1") + b"GET /y", way, answer=b"ok")
    lines = wait_until(lambda: len(logged(site)) == 2 and logged(site), 3, "two lines")
    assert lines[0].startswith("200 ") and lines[1] == f'{ENDS[way][0]} 0 "GET /y" 0 "" def def "-" 2 "-"'


@pytest.mark.parametrize("way", ENDS)
def test_behind_the_proxy_protocol(site, way):
    leave(site, PROXY + b"GET /z HTTP/1.1\r\nA: b\r\nHo", way, site.port2)
    [found] = wait_until(lambda: logged(site), 3, "a line of the log")
    assert found == f'{ENDS[way][0]} 0 "GET /z HTTP/1.1" 23 "/z" behind behind "b" 1 "192.0.2.3"'


@pytest.mark.parametrize("way", ENDS)
def test_unfinished_proxy_header(site, way):
    """It is broken, as in nginx; there is no request to log."""
    leave(site, PROXY[:20], way, site.port2)
    site.expect_log("broken header")
    site.wait_log(r'\[error\] .*broken header: "PROXY TCP4 192\.0\.2\.3" while reading PROXY protocol, client: 127\.0\.0\.1, server: ')
    assert not logged(site)


@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("raw", [b"", b"\r\n\r\n", b"\r", head("GET /a HTTP/1.1"), head("GET /a HTTP/1.1") + b"\r\n"])
def test_nothing_of_a_head(site, raw, way):
    """No line where no byte of one has come, first or behind an answer; empty lines are none of it (RFC 9112 section 2.2)."""
    if way == "hold" and raw.startswith(b"GET"):
        return  # kept for keepalive_timeout
    leave(site, raw, way, answer=b"ok" if raw.startswith(b"GET") else b"")
    wait_until(lambda: site.status()["connections"]["active"] == 1, 3, "the end of the connection")
    site.status()  # in a turn behind that, whose lines are written
    assert [line[:4] for line in logged(site)] == ["200 "] * raw.startswith(b"GET")
    assert "client" not in site.error_log


def test_whole_heads_are_as_before(site):
    """One that comes in pieces, within its time, is answered."""
    with site.connect() as client:
        for piece in (b"GET /a HT", b"TP/1.1\r\nHo", b"st: a\r\n", b"\r\n"):
            client.send(piece)
            client.wait_taken()
        assert client.response().text == "ok"
    assert site.get("/b").text == "ok"
    assert [line[:4] for line in wait_until(lambda: len(logged(site)) == 2 and logged(site), 3, "two lines")] == ["200 ", "200 "]


def test_figures(site):
    """They count as requests, with their codes, and are no more in flight."""
    before = site.status()["requests"]
    leave(site, b"GET /z HT", "close")
    wait_until(lambda: logged(site), 3, "a line of the log")
    after = site.status()["requests"]
    assert after["total"] - before["total"] == 2 and after["in_flight"] == 1


@pytest.mark.directive("client_body_timeout")
@pytest.mark.parametrize("more", ["", "proxy_request_buffering off;"])
def test_late_body_names_the_client(weir, backend, more):
    passed(weir, backend(), "client_body_timeout 200ms;" + more, log="info")
    with weir.connect() as client:
        client.send(post("/p", "Content-Length: 10", body=b"abc"))
        assert client.response("POST").status == 408
    weir.wait_log(r'client timed out \(110: Connection timed out\) while reading client request body, client: 127\.0\.0\.1, .*request: "POST /p')


@pytest.mark.parametrize("more", ["", "proxy_request_buffering off; proxy_http_version 1.1;"])
@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize("raw", [post("/p", "Content-Length: 10", body=b"abc"), post("/p", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n")])
def test_unfinished_body(weir, backend, raw, way, more):
    """It is the client's fault, with nginx's code: 499 is for whole requests whose answer nobody waits for."""
    up = backend(script=lambda peer: peer.wait_gone())
    passed(weir, up, "access_log logs/seen.log seen;" + more, log="info", http=FORMAT, server="server_name def;")
    leave(weir, raw, way)
    [found] = wait_until(lambda: logged(weir), 3, "a line of the log")
    assert found.startswith('400 0 "POST /p HTTP/1.1" ')
    assert f"{ENDS[way][1]} while reading client request body, client: 127.0.0.1, server: def" in weir.error_log
