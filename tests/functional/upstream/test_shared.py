"""upstream: what all workers know of servers together - failures, connections, max_conns - and that it outlives them."""

import contextlib
import os
import random
import signal
import threading
import time

import pytest
from limits import SPREAD, spread
from proxylib import OK, answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import Load, fetch, let_pass, limit, take_time, wait_until, watch

PID = "proxy_set_header X-Pid $pid;"
WHO = "location = /who { return 200 $pid; }"


def serve(weir, servers, workers=3, more="", proxy="", **parts):
    weir.expect_log("exited on signal 9")
    passed(weir, "up", PID + proxy + "} " + WHO[:-1], http=upstream(*servers, more=more), listen=SPREAD,
           workers=workers, **parts)
    weir.wait_workers(workers)
    return weir


def servers(weir):
    return weir.status()["upstreams"]["up"]


def wait_active(weir, count, seconds=3):
    wait_until(lambda: sum(s["active"] for s in servers(weir)) == count, seconds, f"{count} active")


class Counting:
    """A backend that knows how many requests of living workers it has at a time; `most` is the highest ever."""

    def __init__(self, backend, ms=5, held=False):
        self.lock, self.now, self.most, self.dead, self.ms = threading.Lock(), [], 0, set(), ms
        self.gate = threading.Event()
        if not held:
            self.gate.set()
        self.up = backend(self._reply)
        self.address = self.up.address

    def _reply(self, call):
        pid = int(call.header("X-Pid"))
        with self.lock:
            self.now.append(pid)
            self.most = max(self.most, self.living())
        self.gate.wait(20)
        take_time(random.random() * 2 * self.ms / 1000)
        with self.lock:
            self.now.remove(pid)
        return answer()

    def living(self):
        return sum(pid not in self.dead for pid in self.now)

    def kill(self, pid):
        with self.lock:
            self.dead.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def hold(weir, counting, clients):
    """Sends a request on each of them; returns once the backend has them."""
    wanted = len(counting.now) + len(clients)
    for client in clients:
        client.request("/")
    wait_until(lambda: len(counting.now) == wanted, 3, f"{wanted} requests at the backend")


def usable(weir, counting, count):
    """Exactly so many more connections can be had; all are given back."""
    clients = [weir.connect(timeout=20) for _ in range(count)]
    hold(weir, counting, clients)
    assert weir.get().status == 502
    counting.gate.set()
    assert [client.response().status for client in clients] == [200] * count
    wait_active(weir, 0)


# ---- failures ---------------------------------------------------------------------------------------------------

def test_failures_are_those_of_all_workers(weir, backend):
    says = lambda call: answer(call.header("X-Pid").encode(), "Connection: close")  # noqa: E731 - none is kept
    good, bad = backend(says), backend(says)
    serve(weir, [f"{bad.address} max_fails=4 fail_timeout=20s", good])
    clients = {}
    while len(clients) < 2:  # of two workers
        client = weir.connect()
        clients.setdefault(client.get("/").text, client)
    bad.reply, before = lambda call: call.close(), len(bad.calls)
    for _ in range(10):
        assert {client.get("/").text for client in clients.values() for _ in range(2)} == set(clients)  # the servers take turns
    for client in clients.values():
        client.close()
    failed = bad.calls[before:]
    assert len(failed) == 4 and len({call.header("X-Pid") for call in failed}) == 2
    now = servers(weir)
    assert [(s["state"], s["failures"], s["fails"]) for s in now] == [("unavail", 4, 4), ("up", 0, 0)]


def test_one_trial_for_all_workers(weir, backend):
    """After fail_timeout one request of all workers tries the server that hangs, while the others go elsewhere."""
    good, bad = backend(answer(b"g")), backend(lambda call: call.close())
    serve(weir, [f"{bad.address} fail_timeout=1s", good], proxy="proxy_read_timeout 700ms;")
    for _ in range(4):
        weir.get()
    assert len(bad.calls) == 1
    bad.reply = lambda call: call.peer.wait_gone()
    let_pass(1.2)
    with Load(weir.port, "/", 4, keepalive=False) as load:
        wait_until(lambda: len(bad.calls) == 2, 2, "a trial")
        watch(0.4)
        assert len(bad.calls) == 2
    assert not load.failed


@pytest.mark.parametrize("change", ["proxy_read_timeout 33s;", "proxy_set_header X-New 1;"])
def test_failures_survive_a_reload(weir, backend, change):
    good, bad = backend(answer(b"g")), backend(lambda call: call.close())
    serve(weir, [f"{bad.address} fail_timeout=20s", good])
    for _ in range(4):
        weir.get()
    before = servers(weir)
    weir.reload(weir.conf.read_text().replace("proxy_pass", change + "proxy_pass"))
    weir.wait_workers(3)
    assert [(s["state"], s["failures"], s["requests"]) for s in servers(weir)] == \
        [(s["state"], s["failures"], s["requests"]) for s in before]
    assert {weir.get().text for _ in range(10)} == {"g"} and len(bad.calls) == 1


def test_failures_survive_all_workers(weir, backend):
    good, bad = backend(answer(b"g")), backend(lambda call: call.close())
    serve(weir, [f"{bad.address} fail_timeout=20s", good])
    for _ in range(4):
        weir.get()
    for pid in weir.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not weir.error_log.count("exited on signal 9") < 3, 3, "three deaths")
    weir.wait_workers(3)
    assert {weir.get().text for _ in range(10)} == {"g"} and len(bad.calls) == 1


# ---- connections ------------------------------------------------------------------------------------------------

def test_max_conns_is_exact_over_workers(weir, backend):
    counting = Counting(backend, held=True)
    serve(weir, [f"{counting.address} max_conns=7"])
    clients = [client for some in spread(weir, 3, 3).values() for client in some]
    hold(weir, counting, clients[:7])
    for client in clients[7:]:
        assert client.get("/").status == 502
    assert servers(weir)[0]["active"] == 7
    counting.gate.set()
    assert [client.response().status for client in clients[:7]] == [200] * 7
    wait_active(weir, 0)


def test_max_conns_under_load(weir, backend):
    """Never more than max_conns, and all of them are used."""
    one, two = Counting(backend), Counting(backend)
    serve(weir, [f"{one.address} max_conns=3", f"{two.address} max_conns=2"], more="queue 100;")
    with Load(weir.port, "/", 16) as load:
        take_time(3)
    assert load.ok > 300 and not load.failed
    assert (one.most, two.most) == (3, 2)
    wait_active(weir, 0)


ENDS = {"refused": None, "closed": lambda call: call.close(), "reset": lambda call: call.reset(),
        "garbage": b"garbage\r\n\r\n", "hangs": lambda call: call.peer.wait_gone(),
        "half": lambda call: (call.send(answer(b"hello")[:-2]), call.close())[1],
        "half and hangs": lambda call: (call.send(answer(b"hello")[:-2]), call.peer.wait_gone())[1],
        "error": answer(b"", status="503 Busy"), "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
        "tunnel": lambda call: (call.send(b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), call.close())[1]}


@pytest.mark.parametrize("end", ENDS)
def test_connections_are_given_back(weir, backend, end):
    """However a request ends."""
    up = backend(ENDS[end])
    if end == "refused":
        up.close()
    serve(weir, [f"{up.address} max_conns=2"], proxy="proxy_read_timeout 300ms;")
    for _ in range(5):
        with weir.connect() as client:
            client.request("/", headers=[("Connection", "upgrade"), ("Upgrade", "x")] if end == "tunnel" else [])
            assert client.socket.recv(100)
            client.socket.recv(1 << 16) if "half" in end else None
        wait_active(weir, 0)  # the client may hear of the end before the server has said that it is free
    assert servers(weir)[0]["requests"] == 5


@pytest.mark.parametrize("after", [None, OK + b"Content-Length: 9\r\n\r\nhalf"])
def test_connections_of_clients_that_leave(weir, backend, after):
    up = backend(lambda call: (call.send(after) if after else None, call.peer.wait_gone())[1])
    serve(weir, [f"{up.address} max_conns=3"])
    clients = [weir.connect() for _ in range(3)]
    for client in clients:
        client.request("/")
    wait_until(lambda: len(up.calls) == 3, 3, "three requests")
    assert servers(weir)[0]["active"] == 3 and weir.get().status == 502
    for client in clients:
        client.close()
    wait_active(weir, 0)


def test_idle_connections_of_a_dead_worker(weir, backend):
    up = backend()
    serve(weir, [up])
    victim = next(iter(spread(weir, 3, 1)))
    clients = [client for some in spread(weir, 3, 1).values() for client in some]
    assert [client.get("/").status for client in clients] == [200] * 3
    wait_until(lambda: servers(weir)[0]["idle"] == 3, 3, "three idle connections")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: servers(weir)[0]["idle"] == 2, 3, "two idle connections")


# ---- deaths, reloads --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 3])
def test_killed_worker(weir, backend, workers):
    """Its connections are given back, nobody else's."""
    counting = Counting(backend, held=True)
    serve(weir, [f"{counting.address} max_conns={2 * workers}"], workers)
    groups = spread(weir, workers, 2)
    hold(weir, counting, [client for some in groups.values() for client in some])
    assert weir.get().status == 502
    victim = next(iter(groups))
    counting.kill(victim)
    wait_active(weir, 2 * workers - 2)
    weir.wait_workers(workers)
    usable(weir, counting, 2)
    assert all(client.response().status == 200 for pid in groups for client in groups[pid] if pid != victim)


@pytest.mark.parametrize("change", ["proxy_read_timeout 33s;", "proxy_set_header X-New 1;"])
def test_connections_survive_a_reload(weir, backend, change):
    """Those of old workers count until they end."""
    counting = Counting(backend, held=True)
    serve(weir, [f"{counting.address} max_conns=5"])
    clients = [weir.connect(timeout=20) for _ in range(3)]
    hold(weir, counting, clients)
    weir.reload(weir.conf.read_text().replace("proxy_pass", change + "proxy_pass"))
    watch(0.3)
    assert servers(weir)[0]["active"] == 3
    usable(weir, counting, 2)
    assert [client.response().status for client in clients] == [200] * 3


def test_max_conns_becomes_less(weir, backend):
    counting = Counting(backend, held=True)
    serve(weir, [f"{counting.address} max_conns=5"])
    clients = [weir.connect(timeout=20) for _ in range(4)]
    hold(weir, counting, clients)
    weir.reload(weir.conf.read_text().replace("max_conns=5", "max_conns=2"))
    wait_until(lambda: servers(weir)[0]["max_conns"] == 2, 3, "the new bound")
    assert weir.get().status == 502
    counting.gate.set()
    assert [client.response().status for client in clients] == [200] * 4
    wait_active(weir, 0)
    counting.gate.clear()
    usable(weir, counting, 2)


def test_soak_with_kills(weir, backend):
    """Workers are killed again and again: never more than max_conns of living ones, and nothing is left over."""
    counting = Counting(backend, ms=20)
    serve(weir, [f"{counting.address} max_conns=5 max_fails=0"], more="queue 50 timeout=5s;", connections=200)
    end, kills = time.monotonic() + limit(18), 0
    with Load(weir.port, "/", 12, keepalive=False) as load:
        while time.monotonic() < end:
            take_time(random.random() * 0.8)
            pids = sorted(weir.worker_pids())
            if pids:
                counting.kill(random.choice(pids))
                kills += 1
        served = load.ok
    assert counting.most == 5 and kills > 15 and served > 500, (counting.most, kills, served)
    assert not [what for _, what in load.failures if "502" in what]
    weir.wait_workers(3, 10)
    wait_active(weir, 0)
    wait_until(lambda: weir.status()["upstream_queues"]["up"]["length"] == 0, 3, "an empty queue")
    counting.gate.clear()
    wait_until(lambda: not counting.now, 3, "a quiet backend")
    usable(weir, counting, 5)
    assert fetch(weir.port).status == 200
