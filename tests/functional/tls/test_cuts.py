"""Handshakes that end or go wrong at each byte, or stop at each step: they are counted by how they ended, and nothing of them is left."""

import collections
import contextlib
import socket
import struct

import pytest
from records import DATA, GET, Client
from tlslib import SAYS, V12, V13, says, serve
from weirlib import let_pass, limit, open_files, wait_until

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
POOLS = pytest.mark.parametrize("pool", ["default", "off"], ids=["thread", "loop"])
SLOW_KEY = "rsa4096"  # dear enough for a thread, each time


def counts(weir):
    return {how: count for how, count in weir.status()["tls"]["handshakes"].items() if count}


def wait_counts(weir, **wanted):
    wait_until(lambda: counts(weir) == wanted, 5, f"handshakes: {wanted}, not {counts(weir)}")


def descriptors(weir):
    """What the workers have open, by kind."""
    found = collections.Counter()
    for pid in weir.worker_pids():
        found.update(name.split(":")[0] for name in open_files(pid).values())
    return found


@pytest.fixture
def nothing_left(weir, authority):
    """Starts a server; at the end of the test it must have all back that it had then, and serve."""
    before = collections.Counter()

    def start(**options):
        if options.get("name") and not authority.path(f"{options['name']}.pem").exists():
            authority.certificate(options["name"], ["localhost"], options["name"])
        serve(weir, authority, **options)
        for version in (V12, V13):  # threads and their pipes are there
            assert says(weir, authority.client(version))[0] == "https"
        wait_until(lambda: weir.status()["connections"]["active"] == 1, 5, "the end of the first")
        before.update(descriptors(weir))  # the connection that has asked may be among them
        return counts(weir)["full"]
    yield start
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 5, "the end of all connections")
    pools = weir.status()["pools"]["default"]
    assert (pools["queue"]["length"], pools["threads"]["running"]) == (0, 0)
    wait_until(lambda: descriptors(weir) <= before, 3, f"all descriptors to be closed but {before}")
    for version in (V12, V13):
        assert says(weir, authority.client(version))[0] == "https"


def flights(weir, context):
    """How long what a client says is, flight by flight, up to the end of the handshake."""
    with Client(weir.port2, context) as client:
        lengths = []
        while not client.over:
            said = client.next_flight()
            lengths.append(len(said))
            client.plain.sendall(said)
    return [length for length in lengths if length]


def play(client, flight, change):
    """All flights before this one as they are, then this one changed. What the server says in between is heard; it may be the end of its time."""
    with contextlib.suppress(ConnectionError):
        for _ in range(flight):
            client.plain.sendall(client.next_flight())
        client.plain.sendall(change(client.next_flight()))


def end(client, how):
    """The client goes: it says so and waits, resets, or closes without a word."""
    if how == "said":
        with contextlib.suppress(OSError):
            client.plain.shutdown(socket.SHUT_WR)
        client.until_close()
    elif how == "reset":
        client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@BOTH
@POOLS
def test_every_cut(weir, authority, nothing_left, version, pool):
    """The client goes after each byte that it says."""
    context = authority.client(version)
    full = nothing_left(server=f"ssl_handshake_pool {pool};", name=SLOW_KEY if pool == "default" else "localhost")
    lengths = flights(weir, context)
    cuts = [(flight, n) for flight, length in enumerate(lengths) for n in range(length) if flight or n]
    cuts += [(0, lengths[0])] * 30  # whole, and perhaps on a thread when the client goes
    for turn, (flight, n) in enumerate(cuts):
        with Client(weir.port2, context) as client:
            play(client, flight, lambda said, n=n: said[:n])
            end(client, ("said", "reset", "closed")[turn % 3])
    assert len(cuts) > 250

    def all_counted():
        ends = counts(weir)
        return ends.get("left", 0) + ends.get("failed", 0) == len(cuts) and sum(ends.values()) == len(cuts) + full + 1
    wait_until(all_counted, 10, f"{len(cuts)} that left, and nothing else")
    assert counts(weir)["left"] >= len(cuts) // 3
    assert (weir.pool()["tasks"]["completed"] > 20) == (pool == "default")


# ---- garbage ----------------------------------------------------------------------------------------------------

def garbage(said, n, kind):
    """The flight with this byte wrong, or all from there on."""
    if kind == "flipped":
        return said[:n] + bytes([said[n] ^ 0x41]) + said[n + 1:]
    return said[:n] + bytes(byte ^ (1 + (7 * i + n) % 255) for i, byte in enumerate(said[n:]))


def is_ignored(said, n):
    """A record's version, whose bytes mean nothing (RFC 8446, section 5.1)."""
    start = 0
    while start + 5 + int.from_bytes(said[start + 3:start + 5], "big") <= n:
        start += 5 + int.from_bytes(said[start + 3:start + 5], "big")
    return n - start in (1, 2)


def answered(client):
    """Whether a client that goes on as if nothing had happened gets an answer; it has a second for that, which the server ends."""
    client.plain.settimeout(limit(5))
    heard = b""
    with contextlib.suppress(OSError):
        while not client.over:
            client.plain.sendall(client.next_flight())
        client.tls.write(GET)
        client.plain.sendall(client.outgoing.read())
        heard = client.read()
    if not heard:
        client.until_close()
    return b"200 OK" in heard


@BOTH
@pytest.mark.parametrize("kind", ["flipped", "nonsense"])
def test_garbage_at_each_byte(weir, authority, nothing_left, version, kind):
    """It ends the handshake, or the time does: no request is answered, and each is counted once."""
    context = authority.client(version)
    full = nothing_left(server="ssl_handshake_timeout 300ms; client_header_timeout 300ms;")
    places = [(flight, n) for flight, length in enumerate(flights(weir, context)) for n in range(length) if flight or n]
    passed = may_pass = 0
    for some in (places[i:i + 150] for i in range(0, len(places), 150)):  # many wait for the time's end together
        with contextlib.ExitStack() as stack:
            waiting = []
            for flight, n in some:
                waiting.append(stack.enter_context(Client(weir.port2, context)))
                ignored = []

                def change(said, n=n, ignored=ignored):
                    ignored.append(is_ignored(said, n))
                    return garbage(said, n, kind)
                play(waiting[-1], flight, change)
                waiting[-1].may_pass = kind == "flipped" and ignored == [True]
            for client in waiting:
                may_pass += client.may_pass
                if answered(client):
                    assert client.may_pass
                    passed += 1
    wait_until(lambda: sum(counts(weir).values()) == full + 1 + len(places), 10, "each to be counted")
    ends = counts(weir)
    # One whose bit means nothing may be too late with its request all the same.
    assert full + 1 + passed <= ends["full"] <= full + 1 + may_pass, ends
    assert sum(ends.values()) == full + 1 + len(places), ends
    assert ends["failed"] > len(places) // 3, ends


# ---- clients that stop ------------------------------------------------------------------------------------------

STOPS = {V12: [(0, 1), (0, 5), (0, 60), (0, None), (1, 1), (1, 80), (1, -1)],
         V13: [(0, 1), (0, 5), (0, 300), (0, None), (1, 1), (1, 6), (1, 40), (1, -1)]}


@BOTH
@POOLS
@pytest.mark.directive("ssl_handshake_timeout")
def test_a_stop_at_every_step(weir, authority, nothing_left, version, pool):
    """The handshake's time ends it, whoever has it then, and it is counted so."""
    context = authority.client(version)
    full = nothing_left(server=f"ssl_handshake_timeout 500ms; ssl_handshake_pool {pool};", name=SLOW_KEY if pool == "default" else "localhost")
    with contextlib.ExitStack() as stack:
        clients = []
        for flight, n in STOPS[version] * 3:
            clients.append(stack.enter_context(Client(weir.port2, context)))
            play(clients[-1], flight, lambda said, n=n: said[:n])
        for client in clients:
            client.until_close()
        wait_counts(weir, full=full, timeout=len(clients))
        text = weir.get("/status?format=prometheus").text
        assert f'weir_tls_handshakes_total{{result="timeout"}} {len(clients)}\n' in text


@BOTH
def test_the_time_is_over_before_a_thread_is_free(weir, authority, nothing_left, version):
    """The connection goes, and when the thread comes to its handshake the descriptor does."""
    full = nothing_left(server="ssl_handshake_timeout 500ms;", name=SLOW_KEY, locations=SAYS + "location /sleep { handler sleep; }",
                        pool="threads=1 max_queue=100")
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(weir.connect())
        busy.request("/sleep?ms=1500")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 5, "the thread's task")
        clients = [stack.enter_context(Client(weir.port2, authority.client(version))) for _ in range(10)]
        for client in clients:
            client.plain.sendall(client.step())
        for client in clients:
            client.until_close()
        wait_counts(weir, full=full, timeout=len(clients))
        assert busy.response().status == 200


@BOTH
def test_a_stop_after_the_handshake(weir, authority, nothing_left, version):
    """That is no handshake's affair any more: it was one, and the head's time ends the connection."""
    full = nothing_left(server="ssl_handshake_timeout 5s; client_header_timeout 500ms; keepalive_timeout 500ms;")
    with Client(weir.port2, authority.client(version)).shake() as silent, Client(weir.port2, authority.client(version)).shake() as half:
        half.plain.sendall(half.sealer().seal(DATA, GET[:9]))
        for client in (silent, half):
            client.until_close()
        wait_counts(weir, full=full + 2)


@BOTH
def test_bytes_that_come_again(weir, authority, nothing_left, version):
    """A client's flights of another connection, bit for bit: they are no handshake, and no request is answered."""
    full = nothing_left()
    recorded = []
    with Client(weir.port2, authority.client(version)) as client:
        while not client.over:
            recorded.append(client.next_flight())
            client.plain.sendall(recorded[-1])
        recorded.append(client.sealer().seal(DATA, GET))
        client.plain.sendall(recorded[-1])
        assert client.read().startswith(b"HTTP/1.1 200")
    for all_at_once in (False, True):
        with socket.create_connection(("127.0.0.1", weir.port2), timeout=limit(5)) as thief:
            for said in [b"".join(recorded)] if all_at_once else recorded:
                thief.sendall(said)
                let_pass(0.05)
            heard = b""
            with contextlib.suppress(ConnectionError):
                while piece := thief.recv(65536):
                    heard += piece
            assert heard[:1] == b"\x16"
    wait_counts(weir, full=full + 1, failed=2)
