"""Nothing of one request reaches another one: interim answers, bodies that lead elsewhere, headers of broken answers."""

import socket
import time

import pytest
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import config, limit, take_time, wait_until

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("last", [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b"garbage\r\n\r\n"])
def test_interim_answer_before_one_that_is_replaced(weir, backend, last):
    """What was passed on goes to its own client, not to the next one that is served."""
    early = b"HTTP/1.1 103 Early Hints\r\nX-Secret: one\r\n\r\n"
    bad = backend(lambda call: (call.send(early + last), call.close())[1])
    good = backend(lambda call: (take_time(0.5), answer(b"good"))[1])
    passed(weir, "up", "proxy_next_upstream error timeout http_503 invalid_header;", server="location = /static { return 200 plain; }",
           http=upstream(f"{bad.address} max_fails=0", f"{good.address} backup"))
    with weir.connect() as first, weir.connect() as second:
        first.request("/")
        wait_until(lambda: good.calls, 3, "the second try")
        second.request("/static")
        reply = second.response()
        assert reply.text == "plain" and not reply.informational
        told = first.response()
        assert told.text == "good" and len(told.informational) == 1


@pytest.mark.directive("proxy_pass_request_body")
@pytest.mark.parametrize("inner", ["proxy_set_body xyz;", "proxy_pass_request_body off;", "proxy_http_version 1.0;", ""])
def test_streamed_body_that_leads_to_a_named_location(weir, backend, inner):
    """The location that answers has a say in what becomes of the body."""
    up = backend(lambda call: answer(call.body))
    weir.start(config(f"location / {{ proxy_request_buffering off; try_files /nope @b; proxy_pass http://{up.address}; }}"
                      f"location @b {{ {inner} proxy_pass http://{up.address}; }}"))
    with weir.connect() as c:
        c.send(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED[:5])
        c.wait_taken()
        c.send(SMUGGLED[5:])
        assert c.response("POST").status == 200
    assert [call.target for call in up.calls] == ["/p"]
    assert up.call.body == (b"xyz" if "set_body" in inner else b"" if "off" in inner else SMUGGLED)


def test_body_that_is_gone_cannot_be_had_again(weir, backend):
    """A body that went on while it came is not silently empty for whoever answers in the upstream's place."""
    first = backend(lambda call: answer(b"", status="503 No"))
    second = backend()
    weir.expect_log("cannot go on to named location|upstream")
    weir.start(config(f"location / {{ proxy_request_buffering off; proxy_pass http://{first.address}; proxy_intercept_errors on;"
                      f"error_page 503 = @b; }} location @b {{ proxy_pass http://{second.address}; }}"))
    assert weir.get("/", method="POST", body=b"b" * 100).status == 503 and not second.calls


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_redirect_of_the_upstream_to_a_named_location(weir, backend, buffering):
    first = backend(answer(b"", "X-Accel-Redirect: @b"))
    second = backend(lambda call: answer(call.body))
    weir.expect_log("cannot go on to named location")
    weir.start(config(f"location / {{ proxy_request_buffering {buffering}; proxy_pass http://{first.address}; }}"
                      f"location @b {{ proxy_pass http://{second.address}; }}"))
    reply = weir.get("/x", method="POST", body=b"b" * 50000)
    assert (reply.status, len(reply.body)) == (200, 50000) if buffering == "on" else reply.status == 500 and not second.calls


def test_headers_of_a_broken_answer(weir, backend):
    up = backend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\nSet-Cookie: a=1\r\n\r\nzz\r\n")
    passed(weir, up)
    weir.expect_log("invalid chunked")
    reply = weir.get()
    assert reply.status == 502 and reply.header("Content-Encoding") is None and reply.header("Set-Cookie") is None


def test_real_address_is_known_to_the_first_step(weir):
    weir.start(config('set_real_ip_from 127.0.0.1; if ($remote_addr = 9.9.9.9) { return 403; } location / { return 200 x; }'))
    assert weir.get("/", headers=[("X-Real-IP", "9.9.9.9")]).status == 403 and weir.get("/").status == 200


def test_client_that_never_reads_its_pipeline(weir, backend):
    up = backend(answer(b"x"))
    passed(weir, up, "send_timeout 1s;", server="send_timeout 1s; location /big { return 200 '%s'; }" % ("x" * 30000))
    with weir.connect() as c:
        c.socket.settimeout(1)
        try:
            c.send((b"GET /big HTTP/1.1\r\nHost: x\r\n\r\nGET /p HTTP/1.1\r\nHost: x\r\n\r\n") * 300)
        except OSError:
            pass
        wait_until(lambda: weir.status()["connections"]["active"] == 1, 8, "the end of the connection")


def test_upstream_that_never_reads_a_streamed_body(weir, backend, tmp_path):
    """proxy_send_timeout runs although it was the client that had to go on before."""
    up = backend(script=lambda _: take_time(limit(6)), path=weir.tmp / "deaf.sock")
    passed(weir, up, "client_max_body_size 0; proxy_request_buffering off; proxy_send_timeout 1s; client_body_timeout 60s; proxy_read_timeout 60s;")
    weir.expect_log("timed out")
    with weir.connect(timeout=limit(15)) as c:
        c.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        c.socket.setblocking(False)
        started = time.time()
        got = b""
        while not got and time.time() - started < limit(10):
            try:
                c.socket.send(b"x" * 1024)
            except BlockingIOError:
                take_time(0.01)
            try:
                got = c.socket.recv(1000)
            except BlockingIOError:
                pass
        assert got.startswith(b"HTTP/1.1 504 ")


def test_expression_that_fails_is_its_own_requests_affair(weir):
    """A log line of one client whose expression runs out of steps does not refuse the next client."""
    weir.start(config('location / { access_log {tmp}/logs/m.log m; return 200 x; } location /if { if ($http_x ~ "^(?:(a)|(a))*$") '
                      "{ return 201; } return 200 x; }",
                      http='map $http_x $kind { "~^(?:(a)|(a))*$" yes; default no; } log_format m $kind;'))
    weir.expect_log("took too much memory or too many steps")
    hostile = [("X", "a" * 5000 + "b")]
    refused = weir.get("/if", headers=hostile).status
    with weir.connect() as first, weir.connect() as second:
        for _ in range(3):
            assert first.get("/", headers=hostile).status == 200
            assert second.get("/").status == 200 and second.get("/if").status == 201
    assert refused == 500


# ---- settings that change under way ---------------------------------------------------------------------------

def test_connection_that_named_a_client_is_nobody_elses(weir, backend):
    """proxy_protocol is turned off while a request runs: its connection is not kept for others."""
    lines = []

    def script(peer):
        lines.append(peer.exactly(6))
        take_time(0.8)
        peer.send(answer(b"one"))
        peer.gone_after = peer.wait_gone()
    up = backend(script=script)

    def conf(version):
        return config(f"location / {{ proxy_pass http://{up.address}; proxy_protocol {version}; }}")
    weir.start(conf("on"))
    with weir.connect() as c:
        c.request("/")
        wait_until(lambda: lines, 3, "a request at the upstream")
        weir.reload(conf("off"))
        assert c.response().text == "one" and lines == [b"PROXY "]
    assert up.peers[0].gone.wait(limit(3))


def test_body_goes_as_it_was_announced(weir, backend):
    """proxy_pass_request_body changes while a request waits for a server: length and body still belong together."""
    up = backend(lambda call: (take_time(0.5), answer(call.body[:10]))[1])

    def conf(value):
        return config(f"location / {{ proxy_pass http://up; proxy_pass_request_body {value}; }}",
                      http=f"upstream up {{ server {up.address} max_conns=1; queue 5; }}")
    weir.start(conf("off"))
    with weir.connect() as first, weir.connect() as second:
        first.request("/")
        wait_until(lambda: up.calls, 3, "the first request")
        second.send(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (len(SMUGGLED) * 1000) + SMUGGLED * 1000)
        second.wait_taken()
        weir.reload(conf("on"))
        assert first.response().status == 200 and second.response("POST").status == 200
    assert [call.target for call in up.calls] == ["/", "/p"]


def test_rate_that_is_lowered_under_way(weir, backend):
    """An answer that waits for its client goes on at the new rate."""
    up = backend(answer(b"x" * 400000))

    def conf(rate):
        return config(f"location / {{ proxy_pass http://{up.address}; proxy_max_temp_file_size 0; proxy_limit_rate {rate}; }}")
    weir.start(conf("0"))
    with weir.connect(timeout=limit(20)) as c:
        c.request("/")
        assert c.socket.recv(1, socket.MSG_PEEK)  # the answer has begun
        weir.reload(conf("300k"))
        assert len(c.response().body) == 400000
