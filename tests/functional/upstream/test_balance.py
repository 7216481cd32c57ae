"""upstream: how a server is chosen, with one worker and with several that share what they know."""

import collections
import threading
import time
import zlib

import pytest
from limits import SPREAD
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import Connection, let_pass, wait_until

PID = "proxy_set_header X-Pid $pid;"
MANY = pytest.mark.parametrize("workers", [1, 3])


def named(backend, names):
    """Backends that answer with their names."""
    return [backend(answer(name.encode())) for name in names]


def serve(weir, servers, workers=1, more="", proxy="", **parts):
    passed(weir, "up", PID + proxy, http=upstream(*servers, more=more), listen=SPREAD, workers=workers, **parts)
    weir.wait_workers(workers)
    return weir


def order(weir, count, target="/"):
    return "".join(weir.get(target).text for _ in range(count))


def asked_by(*ups):
    """The workers that requests came from."""
    return {call.header("X-Pid") for up in ups for call in up.calls}


def get_from(weir, source, target="/"):
    """The text of an answer to a client at this address."""
    with Connection(weir.port, source=source) as client:
        return client.get(target, [("Connection", "close")]).text


class Held:
    """Backends whose answers wait for a gate, and requests that are held there."""

    def __init__(self, weir, backend, count):
        self.weir, self.gate, self.clients = weir, threading.Event(), []
        self.ups = [backend(lambda call: (self.gate.wait(20), answer())[1]) for _ in range(count)]

    def hold(self, count):
        """So many requests more, one after the other; returns how many each backend has."""
        for _ in range(count):
            before = sum(len(up.calls) for up in self.ups)
            self.clients.append(self.weir.connect(timeout=20))
            self.clients[-1].request("/")
            wait_until(lambda: sum(len(up.calls) for up in self.ups) > before, 3, "a request at a backend")
        return [len(up.calls) for up in self.ups]

    def release(self):
        self.gate.set()
        return [client.response().status for client in self.clients]


# ---- round robin ----------------------------------------------------------------------------------------------

@MANY
def test_round_robin_is_exact(weir, backend, workers):
    a, b, c = named(backend, "abc")
    serve(weir, [f"{a.address} weight=5", b, c], workers)
    assert order(weir, 42) == "aabacaa" * 6
    assert len(asked_by(a, b, c)) == workers


def test_round_robin_under_load(weir, backend):
    """Shares are exact however requests of several workers mix."""
    a, b, c = ups = named(backend, "abc")
    serve(weir, [f"{a.address} weight=3", f"{b.address} weight=2", c], 3)

    def client():
        for _ in range(60):
            assert weir.get().status == 200
    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(up.calls) for up in ups] == [180, 120, 60]


@pytest.mark.parametrize("change", ["proxy_read_timeout 33s;", "proxy_set_header X-New 1;"])
def test_turns_go_on_after_a_reload(weir, backend, change):
    a, b, c = named(backend, "abc")
    passed(weir, "up", http=upstream(f"{a.address} weight=5", b, c))
    assert order(weir, 3) == "aab"
    weir.reload(weir.conf.read_text().replace("proxy_pass", change + "proxy_pass"))
    weir.wait_workers(1)
    assert order(weir, 4) == "acaa"


# ---- by connections -------------------------------------------------------------------------------------------

@pytest.mark.directive("least_conn")
@MANY
@pytest.mark.parametrize("method", ["least_conn;", "random two least_conn;"])
def test_fewest_connections(weir, backend, workers, method):
    """Of two servers the one with fewer is always taken, whichever workers the connections are of."""
    held = Held(weir, backend, 2)
    serve(weir, held.ups, workers, method)
    for n in range(1, 7):
        assert held.hold(2) == [n, n]
    assert set(held.release()) == {200}


def test_fewest_connections_by_weight(weir, backend):
    held = Held(weir, backend, 3)
    serve(weir, [f"{held.ups[0].address} weight=2", *held.ups[1:]], 3, "least_conn;")
    assert held.hold(4) == [2, 1, 1]
    assert held.hold(8) == [6, 3, 3]
    assert set(held.release()) == {200}


def test_least_conn_of_equals_takes_turns(weir, backend):
    ups = named(backend, "abc")
    serve(weir, ups, 3, "least_conn;")
    assert order(weir, 9) == "abc" * 3


def test_random_two_avoids_the_busy_one(weir, backend):
    """With three servers the busiest is never the better of two."""
    held = Held(weir, backend, 3)
    serve(weir, held.ups, 1, "random two;")
    counts = held.hold(18)
    assert max(counts) - min(counts) <= 3, counts
    assert set(held.release()) == {200}


# ---- by keys --------------------------------------------------------------------------------------------------

def by_weight(value, weights):
    value %= sum(weights)
    for i, weight in enumerate(weights):
        value -= weight
        if value < 0:
            return "abcdef"[i]
    raise AssertionError


def by_address(address, weights):
    """nginx's ip_hash."""
    value = 89
    for byte in list(map(int, address.split(".")))[:3]:
        value = (value * 113 + byte) % 6271
    return by_weight(value, weights)


SOURCES = [f"127.{i * 37 % 256}.{i * 11 % 256}.{i + 1}" for i in range(20)]


@pytest.mark.directive("ip_hash")
@MANY
def test_ip_hash(weir, backend, workers):
    a, b, c = ups = named(backend, "abc")
    serve(weir, [a, f"{b.address} weight=2", c], workers, "ip_hash;")
    wanted = [by_address(source, [1, 2, 1]) for source in SOURCES]
    for _ in range(3):
        assert [get_from(weir, source) for source in SOURCES] == wanted
    assert set(wanted) == set("abc") and len(asked_by(*ups)) == workers
    assert len({get_from(weir, f"127.9.8.{i}") for i in range(1, 250, 25)}) == 1  # three bytes decide


@pytest.mark.directive("hash", "upstream")
@MANY
def test_hash(weir, backend, workers):
    a, b, c = ups = named(backend, "abc")
    serve(weir, [a, b, f"{c.address} weight=3"], workers, "hash $arg_k;")
    keys = [f"key{i}" for i in range(40)]
    wanted = "".join(by_weight(zlib.crc32(key.encode()) >> 16 & 0x7FFF, [1, 1, 3]) for key in keys)
    for _ in range(2):
        assert "".join(order(weir, 1, f"/?k={key}") for key in keys) == wanted
    assert len(asked_by(*ups)) == workers


def test_hash_without_a_value(weir, backend):
    ups = named(backend, "abc")
    serve(weir, ups, 3, "hash $arg_k;")
    assert sorted(order(weir, 9)) == sorted("abc" * 3)  # in turn, as in nginx


@pytest.mark.directive("hash")
def test_hash_passes_over_those_that_fail(weir, backend):
    ups = named(backend, "abc")
    serve(weir, [f"{up.address} max_fails=1 fail_timeout=30s" for up in ups], 1, "hash $arg_k;")
    keys = [f"key{i}" for i in range(30)]
    before = {key: order(weir, 1, f"/?k={key}") for key in keys}
    ups[1].close()
    after = {key: order(weir, 1, f"/?k={key}") for key in keys}
    assert set(after.values()) == set("ac")
    assert all(after[key] == before[key] for key in keys if before[key] != "b")


def ketama(keys, servers):
    """{key: name} by nginx's ring of (name, host, port, weight)."""
    points = []
    for name, host, port, weight in servers:
        base, last = zlib.crc32(f"{host}\0{port}".encode()), 0
        for _ in range(160 * weight):
            last = zlib.crc32(last.to_bytes(4, "little"), base)
            points.append((last, name))
    points.sort()
    return {key: next((name for point, name in points if point >= zlib.crc32(key.encode())), points[0][1])
            for key in keys}


@MANY
def test_consistent_hash(weir, backend, workers):
    """As nginx maps keys; without one server only its own keys move."""
    ups = named(backend, "abcd")
    servers = [f"{up.address} fail_timeout=30s" for up in ups[:3]] + [f"{ups[3].address} weight=2"]
    serve(weir, servers, workers, "hash $arg_k consistent;")
    keys = [f"k{i * 7919}" for i in range(60)]
    wanted = ketama(keys, [(n, "127.0.0.1", up.port, 1 + (n == "d")) for n, up in zip("abcd", ups)])
    assert {key: order(weir, 1, f"/?k={key}") for key in keys} == wanted
    assert set(wanted.values()) == set("abcd") and len(asked_by(*ups)) == workers
    ups[1].close()
    after = {key: order(weir, 1, f"/?k={key}") for key in keys}
    assert "b" not in after.values() and all(after[key] == wanted[key] for key in keys if wanted[key] != "b")


def test_consistent_hash_with_great_weights(weir, backend):
    """No server takes the others' part of the ring."""
    a, b = named(backend, "ab")
    serve(weir, [f"{a.address} weight=3000", f"{b.address} weight=3000"], 1, "hash $arg_k consistent;")
    counts = collections.Counter(order(weir, 1, f"/?k=key{i}") for i in range(60))
    assert counts["a"] > 12 and counts["b"] > 12, counts


# ---- by chance ------------------------------------------------------------------------------------------------

@pytest.mark.directive("least_conn", "random")
@pytest.mark.parametrize("method", ["random;", "random two least_conn;"])
def test_random(weir, backend, method):
    ups = named(backend, "abc")
    serve(weir, ups, 1, method)
    with weir.connect() as client:
        text = "".join(client.get("/").text for _ in range(240))
    counts = collections.Counter(text)
    assert len(counts) == 3 and min(counts.values()) > 40 and text != "abc" * 80, counts


def test_random_by_weight(weir, backend):
    a, b = named(backend, "ab")
    serve(weir, [f"{a.address} weight=4", b], 1, "random;")
    with weir.connect() as client:
        counts = collections.Counter(client.get("/").text for _ in range(250))
    assert 165 < counts["a"] < 235, counts


# ---- backup, down, slow start -----------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["", "least_conn;"])
def test_backup_when_all_others_are_full(weir, backend, method):
    held = Held(weir, backend, 3)
    a, b, c = held.ups
    serve(weir, [f"{a.address} max_conns=1", f"{b.address} max_conns=1", f"{c.address} backup"], 3, method)
    assert held.hold(2) == [1, 1, 0]
    assert held.hold(2) == [1, 1, 2]
    assert set(held.release()) == {200}


@pytest.mark.parametrize("method", ["", "least_conn;", "ip_hash;", "hash $arg_k;", "hash $arg_k consistent;", "random;",
                                    "random two least_conn;"])
def test_down(weir, backend, method):
    a, b, c = named(backend, "abc")
    serve(weir, [f"{a.address} down", b, f"{c.address} down"], 1, method)
    assert {get_from(weir, f"127.{i}.0.1", f"/?k={i}") for i in range(10)} == {"b"} and not a.calls + c.calls


@pytest.mark.parametrize("method", ["", "least_conn;", "ip_hash;", "hash $arg_k;", "hash $arg_k consistent;", "random;",
                                    "random two least_conn;"])
def test_each_server_is_tried_once(weir, backend, method):
    """A request that nobody serves comes to each server once, by any method."""
    ups = [backend(lambda call: call.close()) for _ in range(4)]
    serve(weir, [f"{up.address} max_fails=0" for up in ups], 1, method)
    assert weir.get("/?k=1").status == 502
    assert [len(up.calls) for up in ups] == [1] * 4


def test_slow_start(weir, backend):
    """A server that has recovered gets little at first, and its share in the end."""
    a, b = named(backend, "ab")
    serve(weir, [a, f"{b.address} max_fails=1 fail_timeout=1s slow_start=5s"], 3)
    assert order(weir, 6) == "ababab"
    b.reply = lambda call: call.close()
    # On a kept connection that is no failure of the server's.
    wait_until(lambda: order(weir, 2) == "aa" and weir.status()["upstreams"]["up"][1]["failures"] > 0, 5, "a failure")
    b.reply = answer(b"b")
    wait_until(lambda: "b" in order(weir, 2), 5, "a trial that goes well")
    start = time.monotonic()
    early = order(weir, 40)
    assert time.monotonic() - start < 1 and 0 < early.count("b") + 1 < 8, early
    let_pass(max(0, 5.2 - (time.monotonic() - start)))
    assert order(weir, 40).count("b") >= 19
