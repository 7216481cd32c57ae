"""Upstreams that fail: status and log line of each failure, and no cut answer that looks whole."""

import re
import socket
import threading
import time

import pytest
from proxylib import (CHUNKS, HALVES, NO_SOCKET, OK, answer, backend,  # noqa: F401 - a fixture
                      get, is_whole, passed, raw_answer, silent_port, upstream)
from weirlib import SLOW, take_time, wait_until, watch
from wire import chunked


# ---- connecting ---------------------------------------------------------------------------------------------

def test_connection_refused(weir):
    passed(weir, "127.0.0.1:{port2}")
    assert weir.get().status == 502


def test_no_socket(weir):
    weir.expect_log(NO_SOCKET)
    passed(weir, "unix:{tmp}/none.sock")
    assert weir.get().status == 502


def test_socket_that_nobody_serves(weir):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(weir.tmp / "left.sock"))
    passed(weir, "unix:{tmp}/left.sock")
    assert weir.get().status == 502


@pytest.mark.directive("proxy_connect_timeout")
def test_connect_timeout(weir):
    port, kept = silent_port()
    passed(weir, f"127.0.0.1:{port}", "proxy_connect_timeout 300ms;")
    start = time.monotonic()
    assert weir.get().status == 504 and 0.25 < time.monotonic() - start < 2 * SLOW
    assert kept


# ---- timeouts -----------------------------------------------------------------------------------------------

@pytest.mark.directive("proxy_send_timeout")
def test_send_timeout(weir, backend):
    up = backend(script=lambda peer: peer.backend.held.wait(10), room=64 << 10)
    up.held = threading.Event()
    passed(weir, up, "proxy_send_timeout 300ms; client_body_buffer_size 64m;")
    assert weir.get(method="POST", body=b"x" * (16 << 20)).status == 504
    up.held.set()


@pytest.mark.directive("proxy_read_timeout")
def test_read_timeout_before_the_head(weir, backend):
    up = backend(lambda call: call.peer.wait_gone())
    passed(weir, up, "proxy_read_timeout 300ms;")
    start = time.monotonic()
    assert weir.get().status == 504 and 0.25 < time.monotonic() - start < 2 * SLOW
    assert up.peers[0].gone.wait(1)


@pytest.mark.directive("proxy_read_timeout")
@pytest.mark.parametrize("framing", HALVES)
def test_read_timeout_in_the_body(weir, backend, framing):
    up = backend(lambda call: (call.send(HALVES[framing]), call.peer.wait_gone())[0])
    passed(weir, up, "proxy_read_timeout 300ms;")
    raw = raw_answer(weir.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200 ") and b"hel" in raw and not is_whole(raw)
    assert up.peers[0].gone.wait(1)


def test_timeout_of_all_servers(weir, backend):
    """The client hears what the last one did: 504."""
    up = backend(lambda call: call.peer.wait_gone())
    passed(weir, "up", "proxy_read_timeout 200ms;", http=upstream(*[f"{up.address} max_fails=0"] * 2))
    assert weir.get().status == 504 and len(up.calls) == 2


def test_timeout_of_a_kept_connection(weir, backend):
    up = backend(lambda call: call.peer.wait_gone() if call.target == "/hang" else answer())
    passed(weir, up, "proxy_read_timeout 300ms;")
    assert weir.get("/").status == 200 and weir.get("/hang").status == 504 and weir.get("/").status == 200
    assert len(up.calls) == 3


# ---- answers that are none ----------------------------------------------------------------------------------

NO_ANSWERS = {  # name: bytes, nginx's words
    "garbage": (b"\x16\x03\x01garbage\r\n\r\n", r"upstream sent no valid HTTP/1\.[0x] header"),
    "a line": (b"hello\r\n\r\n", r"upstream sent no valid HTTP/1\.[0x] header"),
    "HTTP/2": (b"HTTP/2 200 OK\r\n\r\n", r"upstream sent no valid HTTP/1\.[0x] header"),
    "almost": (b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", r"upstream sent no valid HTTP/1\.[0x] header"),
    "status 99": (b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", r"upstream sent no valid HTTP/1\.[0x] header"),
    "four digits": (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", r"upstream sent no valid HTTP/1\.[0x] header"),
    "lower case": (b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", r"upstream sent no valid HTTP/1\.[0x] header"),
    "header without colon": (OK + b"X-A\r\nContent-Length: 0\r\n\r\n", "upstream sent invalid header"),
    "both": (OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
             'upstream sent "Content-Length" and "Transfer-Encoding" headers at the same time'),
    "both, other order": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                          'upstream sent "(Content-Length|Transfer-Encoding)" and '
                          '"(Content-Length|Transfer-Encoding)" headers at the same time'),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 'upstream sent .*"Content-Length"'),
    "a list of lengths": (OK + b"Content-Length: 5, 6\r\n\r\nhello", 'upstream sent invalid "Content-Length"'),
    "minus": (OK + b"Content-Length: -5\r\n\r\nhello", 'upstream sent invalid "Content-Length"'),
    "plus": (OK + b"Content-Length: +5\r\n\r\nhello", 'upstream sent invalid "Content-Length"'),
    "no length": (OK + b"Content-Length:\r\n\r\nhello", 'upstream sent invalid "Content-Length"'),
    "overflow": (OK + b"Content-Length: 18446744073709551621\r\n\r\nhello", 'upstream sent invalid "Content-Length"'),
    "gzip": (OK + b"Transfer-Encoding: gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
             'upstream sent unknown "Transfer-Encoding"'),
    "gzip, chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                      'upstream sent unknown "Transfer-Encoding"'),
    "chunked twice": (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                      'upstream sent (duplicate header line|unknown): ?"Transfer-Encoding|upstream sent unknown '
                      '"Transfer-Encoding"'),
    "too large": (OK + b"X-A: " + b"x" * 20000 + b"\r\nContent-Length: 0\r\n\r\n", "upstream sent too big header"),
    "too many lines": (OK + b"X: y\r\n" * 2000 + b"Content-Length: 0\r\n\r\n", "upstream sent too (big header|many)"),
    "endless": (OK + b"X-A: " + b"x" * (1 << 20), "upstream sent too big header"),
    "endless line": (b"HTTP/1.1 200 " + b"x" * (1 << 20), "upstream sent too big header"),
    "nothing": (b"", "upstream prematurely closed connection"),
    "half a line": (b"HTTP/1.", "upstream prematurely closed connection"),
    "half a head": (OK + b"Content-Length: 5\r\n", "upstream prematurely closed connection"),
    "100 alone": (b"HTTP/1.1 100 Continue\r\n\r\n", "upstream prematurely closed connection"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_no_answer(weir, backend, name):
    """502, one line in the log, and the next request is served."""
    up = backend(lambda call: (call.send(NO_ANSWERS[name][0]), call.close())[1] if call.target == "/" else answer())
    passed(weir, up)
    with weir.connect() as client:
        reply = client.get("/")
        assert reply.status == 502 and "<h1>502" in reply.text
        assert client.get("/good").text == "hello"
    assert len([line for line in weir.error_log.splitlines() if "[error]" in line]) == 1


@pytest.mark.directive("proxy_buffer_size")
def test_buffer_size_is_the_bound(weir, backend):
    """A head of proxy_buffer_size passes; one a little larger does not, in however many pieces it comes."""
    def reply(call):
        size = int(call.target.rsplit("/", 1)[1])
        whole = answer(b"x")[:-3]
        data = whole + b"X: " + b"y" * (size - len(whole) - 7) + b"\r\n\r\nx"
        assert data.index(b"\r\n\r\n") + 4 == size
        call.peer.send_slowly(data, 0.001, 1000) if call.target.startswith("/slow") else call.send(data)
    passed(weir, backend(reply), "proxy_buffer_size 16k;")
    sizes = (200, 16000, 16384, 16385, 18000, 30000)
    found = {(kind, size): weir.get(f"/{kind}/{size}").status for kind in ("once", "slow") for size in sizes}
    assert found == {key: 200 if key[1] <= 16384 else 502 for key in found}


@pytest.mark.directive("proxy_buffer_size")
def test_small_buffer(weir, backend):
    passed(weir, backend(answer(b"x", "X-A: " + "y" * 3000)), "proxy_buffer_size 1k;")
    assert weir.get().status == 502


def test_reset_before_the_head(weir, backend):
    up = backend(lambda call: call.reset())
    passed(weir, up)
    assert weir.get().status == 502


# ---- answers cut short --------------------------------------------------------------------------------------

WHOLE = {"length": answer(b"hello world", "X-A: b"),
         "chunked": OK + b"Transfer-Encoding: chunked\r\nX-A: b\r\n\r\n" + chunked(b"hello world", 6, b"X-T: 1\r\n")}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", WHOLE)
def test_closed_at_every_byte(weir, backend, framing, how):
    """502 up to the end of the head; then an answer that the client sees to be cut."""
    data = WHOLE[framing]
    head_len = data.index(b"\r\n\r\n") + 4

    def reply(call):
        call.send(data[:int(call.target[1:])])
        if how == "reset":
            take_time(0.005)  # so that the bytes go before
        getattr(call, how)()
    passed(weir, backend(reply))
    wrong = {}
    for at in range(len(data)):
        raw = raw_answer(weir.port, get(f"/{at}"))
        if at < head_len and not raw.startswith(b"HTTP/1.1 502 "):
            wrong[at] = raw
        if at >= head_len and (not raw.startswith(b"HTTP/1.1 200 ") or is_whole(raw)) and raw:
            wrong[at] = raw
    assert not wrong
    assert is_whole(raw_answer(weir.port, get(f"/{len(data)}")))
    weir.wait_log("upstream prematurely closed connection while reading upstream" if how == "close" else "upstream")


@pytest.mark.parametrize("size", [1, 150000])
def test_reset_in_a_body_until_close(weir, backend, size):
    """A reset is no end: the client must not take what came for all of it."""
    sent = answer(b"x" * size, length=False)
    passed(weir, backend(lambda call: (call.send(sent), take_time(0.05), call.reset())[2]))
    raw = raw_answer(weir.port, get())
    assert raw.startswith(b"HTTP/1.1 200 ") and not is_whole(raw)


BAD_CHUNKS = {"no line end": b"5\r\nhelloX\r\n0\r\n\r\n", "no size": b"x\r\n", "bare LF": b"5\nhello\n0\n\n",
              "overflow": b"ffffffffffffffffff\r\nhello", "minus": b"-1\r\nx\r\n0\r\n\r\n",
              "bad trailer": b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", "blank": b"5 \r\nhello\r\n0\r\n\r\n"}


@pytest.mark.parametrize("which", BAD_CHUNKS)
def test_bad_chunks(weir, backend, which):
    up = backend(lambda call: (call.send(CHUNKS + BAD_CHUNKS[which]), call.close())[1])
    passed(weir, up)
    raw = raw_answer(weir.port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert not raw or raw.startswith(b"HTTP/1.1 502 ") or (raw.startswith(b"HTTP/1.1 200 ") and not is_whole(raw))


# ---- the log, in nginx's words --------------------------------------------------------------------------------

def errors(weir, level="error"):
    wait_until(lambda: f"[{level}]" in weir.error_log, 3, "a line in the error log")
    watch(0.05)
    return [line for line in weir.error_log.splitlines() if f"[{level}]" in line]


def in_nginx_words(weir, what, address, level="error"):
    """One line that says this of this upstream."""
    lines = errors(weir, level)
    assert len(lines) == 1 and re.search(rf'\*\d+ {what}, ', lines[0]), lines
    assert f'upstream: "http://{address}/"' in lines[0], lines


@pytest.mark.http1_only
def test_log_has_its_context_in_nginx_order(weir):
    passed(weir, "127.0.0.1:{port2}")
    weir.get()
    assert errors(weir)[0].endswith(
        'upstream, client: 127.0.0.1, server: , request: "GET / HTTP/1.1", '
        f'upstream: "http://127.0.0.1:{weir.port2}/", host: "localhost"'), errors(weir)


def test_log_shows_the_uri_that_the_upstream_was_asked_for(weir):
    passed(weir, "127.0.0.1:{port2}", location="/a/", uri="/b/")
    weir.get("/a/c?d")
    assert f'upstream: "http://127.0.0.1:{weir.port2}/b/c?d"' in errors(weir)[0], errors(weir)


def test_log_of_a_refused_connection(weir):
    passed(weir, "127.0.0.1:{port2}")
    weir.get()
    in_nginx_words(weir, r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",
                   f"127.0.0.1:{weir.port2}")


def test_log_of_a_missing_socket(weir):
    weir.expect_log(NO_SOCKET)
    passed(weir, "unix:{tmp}/none.sock")
    weir.get()
    in_nginx_words(weir, rf"connect\(\) to unix:{weir.tmp}/none\.sock failed \(2: No such file or directory\) while "
                         "connecting to upstream", f"unix:{weir.tmp}/none.sock:", "crit")


@pytest.mark.directive("proxy_connect_timeout")
def test_log_of_a_connect_timeout(weir):
    port, kept = silent_port()
    passed(weir, f"127.0.0.1:{port}", "proxy_connect_timeout 100ms;")
    weir.get()
    in_nginx_words(weir, r"upstream timed out \(110: Connection timed out\) while connecting to upstream",
                   f"127.0.0.1:{port}")
    assert kept


@pytest.mark.directive("proxy_send_timeout")
def test_log_of_a_send_timeout(weir, backend):
    up = backend(script=lambda peer: take_time(0.6), room=64 << 10)
    passed(weir, up, "proxy_send_timeout 100ms; client_body_buffer_size 64m;")
    weir.get(method="POST", body=b"x" * (16 << 20))
    in_nginx_words(weir, r"upstream timed out \(110: Connection timed out\) while sending request to upstream",
                   up.address)


@pytest.mark.parametrize("data, where", [(b"", "response header from upstream"), (HALVES["length"], "upstream")],
                         ids=["head", "body"])
def test_log_of_a_read_timeout(weir, backend, data, where):
    up = backend(lambda call: (call.send(data), call.peer.wait_gone())[0])
    passed(weir, up, "proxy_read_timeout 100ms;")
    raw_answer(weir.port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    in_nginx_words(weir, rf"upstream timed out \(110: Connection timed out\) while reading {where}", up.address)


@pytest.mark.parametrize("data, where", [(b"", "response header from upstream"), (HALVES["length"], "upstream")],
                         ids=["head", "body"])
def test_log_of_a_reset(weir, backend, data, where):
    up = backend(lambda call: (call.send(data), take_time(0.02), call.reset())[2])
    passed(weir, up)
    raw_answer(weir.port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    in_nginx_words(weir, rf"recv\(\) failed \(104: Connection reset by peer\) while reading {where}", up.address)


def test_log_of_a_body_cut_short(weir, backend):
    up = backend(lambda call: (call.send(HALVES["length"]), call.close())[1])
    passed(weir, up)
    raw_answer(weir.port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    in_nginx_words(weir, "upstream prematurely closed connection while reading upstream", up.address)


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_log_of_no_answer(weir, backend, name):
    data, words = NO_ANSWERS[name]
    up = backend(lambda call: (call.send(data), call.close())[1])
    passed(weir, up)
    weir.get()
    in_nginx_words(weir, f"({words}).* while reading response header from upstream", up.address)
