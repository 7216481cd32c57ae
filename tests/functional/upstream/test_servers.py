"""proxy_pass: connections to upstreams that are kept, and the choice of a server."""

import socket
import threading

import pytest
from mistakes import NUMBER, TIME, arguments, bounds, value
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import config, let_pass, take_time, wait_until, watch


# ---- kept connections to upstreams --------------------------------------------------------------------------

def served(weir, up, count):
    """Accepts at the backend after so many requests one after the other."""
    for i in range(count):
        assert weir.get(f"/{i}").status in (200, 204)
    assert len(up.calls) == count
    return up.accepts


@pytest.mark.parametrize("reply", [answer(), answer(b""), b"HTTP/1.1 204 No Content\r\n\r\n",
                                   b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                                   answer(b"x", "Connection: keep-alive", version="1.0"),
                                   b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"])
def test_reused(weir, backend, reply):
    up = backend(reply)
    passed(weir, up)
    with weir.connect() as client:
        for _ in range(10):
            assert client.get("/").status < 400
    assert (len(up.calls), up.accepts) == (10, 1)


@pytest.mark.parametrize("reply", [answer(b"x", "Connection: close"), answer(b"x", version="1.0"),
                                   answer(b"x") + b"more than the body",
                                   b"HTTP/1.1 204 No Content\r\n\r\nbody"])
def test_not_reused(weir, backend, reply):
    up = backend(reply)
    passed(weir, up)
    assert served(weir, up, 3) == 3


def test_late_bytes_spoil_a_kept_connection(weir, backend):
    """What comes behind an answer is not the next request's."""
    def script(peer):
        while True:
            peer.call()
            peer.send(answer(b"good"))
            take_time(0.05)
            peer.send(answer(b"EVIL"))
    up = backend(script=script)
    passed(weir, up)
    for _ in range(4):
        assert weir.get().text == "good"
        take_time(0.15)


@pytest.mark.directive("keepalive")
@pytest.mark.parametrize("more, accepts", [("keepalive 0;", 6), ("keepalive 4;", 1), ("", 1),
                                           ("keepalive_requests 2;", 3), ("keepalive_requests 1;", 6)])
def test_keepalive_settings(weir, backend, more, accepts):
    up = backend()
    passed(weir, "up", http=upstream(up, more=more))
    assert served(weir, up, 6) == accepts


@pytest.mark.directive("keepalive")
def test_keepalive_counts_idle_connections(weir, backend):
    """At most `keepalive` idle ones stay."""
    gate = threading.Event()
    up = backend(lambda call: (gate.wait(10), answer())[1])
    passed(weir, "up", http=upstream(up, more="keepalive 2;"))
    clients = [weir.connect() for _ in range(5)]
    for client in clients:
        client.request("/")
    wait_until(lambda: len(up.calls) == 5, 3, "five requests")
    gate.set()
    assert [client.response().status for client in clients] == [200] * 5
    wait_until(lambda: sum(peer.gone.is_set() for peer in up.peers) == 3, 3, "three closed connections")
    watch(0.1)
    assert sum(peer.gone.is_set() for peer in up.peers) == 3


def test_a_burst_finds_the_connections_of_the_one_before(weir, backend):
    """More than `keepalive` wait for a moment: requests come in bursts, as responses do."""
    up = backend()
    passed(weir, "up", http=upstream(up, more="keepalive 1;"))
    clients = [weir.connect() for _ in range(5)]
    for _ in range(50):
        before = up.accepts
        for _ in range(2):
            for client in clients:
                client.request("/")
            assert [client.response().status for client in clients] == [200] * 5
            opened, before = up.accepts - before, up.accepts
        if opened < 4:
            break
    assert opened < 4
    wait_until(lambda: sum(not peer.gone.is_set() for peer in up.peers) == 1, 3, "one connection that is kept")


@pytest.mark.directive("keepalive_timeout")
def test_keepalive_timeout(weir, backend):
    up = backend()
    passed(weir, "up", http=upstream(up, more="keepalive_timeout 300ms;"))
    weir.get()
    assert not up.peers[0].gone.wait(0.15)
    assert up.peers[0].gone.wait(2.5)


def test_connections_are_not_shared_between_servers(weir, backend):
    one, two = backend(answer(b"one")), backend(answer(b"two"))
    passed(weir, "up", http=upstream(one, two))
    assert sorted(weir.get().text for _ in range(8)) == ["one"] * 4 + ["two"] * 4
    assert (one.accepts, two.accepts) == (1, 1)


# ---- the choice of a server ---------------------------------------------------------------------------------

def order(weir, count):
    return "".join(weir.get().text for _ in range(count))


def test_smooth_weights(weir, backend):
    a, b, c = (backend(answer(name)) for name in (b"a", b"b", b"c"))
    passed(weir, "up", http=upstream(f"{a.address} weight=5", b, c))
    assert order(weir, 14) == "aabacaa" * 2


def test_backup_and_down(weir, backend):
    a, b, c = (backend(answer(name)) for name in (b"a", b"b", b"c"))
    passed(weir, "up", http=upstream(a, f"{b.address} backup", f"{c.address} down"))
    assert order(weir, 4) == "aaaa"
    a.close()
    assert order(weir, 4) == "bbbb" and not c.calls


def test_all_down(weir, backend):
    up = backend()
    passed(weir, "up", http=upstream(f"{up.address} down", f"{up.address} down"))
    assert weir.get().status == 502
    weir.wait_log("no live upstreams while connecting to upstream")


def test_failed_server_rests(weir, backend):
    """After max_fails failures it is left alone for fail_timeout, then tried again."""
    good, bad = backend(answer(b"g")), backend(lambda call: call.close())
    passed(weir, "up", http=upstream(f"{bad.address} max_fails=2 fail_timeout=1s", good))
    assert order(weir, 10) == "g" * 10
    assert len(bad.calls) == 2
    let_pass(1.2)
    assert order(weir, 6) == "g" * 6 and len(bad.calls) > 2
    bad.reply = answer(b"b")
    let_pass(1.2)
    assert "b" in order(weir, 6)


def test_one_trial_for_a_server_that_failed(weir, backend):
    """As in nginx: after fail_timeout one request is tried on it, and one failure more lets it rest again."""
    good, bad = backend(answer(b"g")), backend(lambda call: call.close())
    passed(weir, "up", http=upstream(f"{bad.address} max_fails=3 fail_timeout=1s", good))
    order(weir, 10)
    assert len(bad.calls) == 3
    let_pass(1.3)
    order(weir, 10)
    assert len(bad.calls) == 4


def test_failures_count_together_although_others_succeed(weir, backend):
    """As in nginx: max_fails failures within fail_timeout are enough, whatever went well in between."""
    good, flaky = backend(answer(b"g")), backend(lambda call: call.close() if len(flaky.calls) % 2 else answer(b"f"))
    passed(weir, "up", http=upstream(f"{flaky.address} max_fails=2 fail_timeout=10s", f"{good.address} max_fails=0", more="keepalive 0;"))
    order(weir, 16)
    assert len(flaky.calls) == 3  # failed, served, failed


def test_max_fails_zero(weir, backend):
    good, bad = backend(answer(b"g")), backend(lambda call: call.close())
    passed(weir, "up", http=upstream(f"{bad.address} max_fails=0", good))
    assert order(weir, 10) == "g" * 10 and len(bad.calls) >= 5


def test_single_server_is_always_asked(weir, backend):
    up = backend(lambda call: call.close() if len(up.calls) <= 3 else answer(b"back"))
    passed(weir, "up", http=upstream(up))
    assert [weir.get().status for _ in range(4)] == [502, 502, 502, 200]


@pytest.mark.directive("server")
def test_more_than_64_servers(weir, backend):
    """All are tried once, and none twice."""
    up, good = backend(lambda call: call.close()), backend(answer(b"g"))
    passed(weir, "up", http=upstream(*[f"{up.address} max_fails=0"] * 70, f"{good.address} backup"))
    assert weir.get().text == "g" and len(up.calls) == 70


# ---- what is said of a wrong upstream -----------------------------------------------------------------------

WRONG = {
    "server 127.0.0.1:1 weight=0;": 'invalid parameter "weight=0" of "server" in "upstream"',
    "server 127.0.0.1:1 weight=x;": 'invalid parameter "weight=x" of "server" in "upstream"',
    "server 127.0.0.1:1 weight=-1;": 'invalid parameter "weight=-1" of "server" in "upstream"',
    "server 127.0.0.1:1 max_fails=-1;": 'invalid parameter "max_fails=-1" of "server" in "upstream"',
    "server 127.0.0.1:1 fail_timeout=x;": 'invalid parameter "fail_timeout=x" of "server" in "upstream"',
    "server 127.0.0.1:1 odd;": 'invalid parameter "odd" of "server" in "upstream"',
    "server 127.0.0.1:1 max_fails;": 'invalid parameter "max_fails" of "server" in "upstream"',
    "server 127.0.0.1:99999;": 'invalid upstream "127.0.0.1:99999": invalid port',
    "server 127.0.0.1:1/uri;": 'invalid upstream "127.0.0.1:1/uri": invalid port',
    "server http://127.0.0.1:1;": 'invalid upstream "http://127.0.0.1:1": host not found in upstream',
    "server 127.0.0.1:1 backup;": 'upstream "up" has only backup servers; take "backup" from one',
    "server 127.0.0.1:1; keepalive -1;": value("keepalive", "-1", NUMBER),
    "server 127.0.0.1:1; keepalive x;": value("keepalive", "x", NUMBER),
    "server 127.0.0.1:1; keepalive 1 2;": arguments("keepalive", "exactly 1"),
    "server 127.0.0.1:1; keepalive_requests 0;": bounds("keepalive_requests", "0", 1, 2147483647),
    "server 127.0.0.1:1; keepalive_timeout x;": value("keepalive_timeout", "x", TIME),
    "server 127.0.0.1:1; odd 1;": 'unknown directive "odd"',
    "server 127.0.0.1:1; } upstream up { server 127.0.0.1:1;": 'duplicate upstream "up"; the first is in line ',
}

NO_SERVERS = 'no servers are inside upstream "up"; add: server HOST:PORT;'


@pytest.mark.parametrize("lines", WRONG)
def test_wrong_upstream(weir, lines):
    """Each is an error that names the file and the line: that of the statement, or of the block if all of it is wrong."""
    place = "upstream up {" if "only backup" in WRONG[lines] else lines
    assert weir.mistake(config(http=f"upstream up {{\n{lines}\n}}"), place).startswith(WRONG[lines])


def test_upstream_without_servers(weir):
    """Whether it has none, or one that is wrong itself."""
    assert weir.mistake(config(http="upstream up { }"), "upstream up").startswith(NO_SERVERS)
    [server, upstream] = weir.mistakes(config(http="upstream up {\nserver;\n}"))
    assert server[0].startswith(arguments("server", "at least 1")) and server[1] == weir.line_of("server;")
    assert upstream == (NO_SERVERS, weir.line_of("upstream up"))


def test_upstream_that_is_defined_later(weir, backend):
    up = backend()
    before = config("location / { proxy_pass http://late; }").rstrip().removesuffix("}")
    weir.start(before + upstream(up, name="late") + "}")
    assert weir.get().text == "hello"


@pytest.mark.needs("ipv6")
def test_ipv6(weir, backend):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        passed(weir, f"[::1]:{server.getsockname()[1]}")
        with weir.connect() as client:
            client.request("/")
            taken, _ = server.accept()
            with taken:
                assert f"\r\nHost: [::1]:{server.getsockname()[1]}\r\n".encode() in taken.recv(4096)
                taken.sendall(answer())
            assert client.response().text == "hello"
