"""What a client may make a worker do: floods of records, handshakes in pieces and in number. Others are served meanwhile, and memory is bounded."""

import contextlib
import pathlib
import socket

import pytest
from records import ALERT, DATA, GET, HANDSHAKE, KEY_UPDATE, KEY_UPDATE_REQUESTED, Client, Pour
from tlslib import V12, V13, connect, says, serve
from weirlib import SLOW, SLOW_BUILD, Connection, cpu_seconds, let_pass, limit, proc_field, unread_bytes, wait_until

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
HELLO_AGAIN = b"\x01\0\0\0"
FLOODS = {"key updates": (V13, HANDSHAKE, KEY_UPDATE), "key updates that ask for one": (V13, HANDSHAKE, KEY_UPDATE_REQUESTED),
          "renegotiations": (V12, HANDSHAKE, HELLO_AGAIN)}
FLOOD = pytest.mark.parametrize("version, kind, data", FLOODS.values(), ids=[name.replace(" ", "-") for name in FLOODS])


def only_worker(weir):
    [worker] = weir.worker_pids()
    return worker


def memory_kib(weir):
    return int(proc_field(only_worker(weir), "VmRSS").split()[0])


def takes_no_more_than(weir, kib, before):
    """Of memory, beyond what it had. A sanitizer keeps for a while what has been given back."""
    return SLOW_BUILD or memory_kib(weir) - before < kib


def processor_ns(weir):
    """What the worker's loop has had of the processor."""
    return int(pathlib.Path(f"/proc/{only_worker(weir)}/schedstat").read_text().split()[0])


def is_at_rest(weir):
    before = cpu_seconds(only_worker(weir))
    let_pass(0.4)
    assert cpu_seconds(only_worker(weir)) - before < 0.2 * SLOW
    assert weir.get("/says").status == 200


def no_connections(weir):
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 5, "the end of all connections")


def untaken(plain):
    """What the server has not read yet of what it was sent."""
    with contextlib.suppress(OSError):
        return unread_bytes(plain.getpeername()[1], plain.getsockname()[1])
    return 0


# ---- floods after the handshake -------------------------------------------------------------------------------

@FLOOD
def test_others_are_served_in_a_flood(weir, authority, version, kind, data):
    """Records without a request in them: a worker takes a part of them in a turn, however fast they come."""
    serve(weir, authority)
    with Client(weir.port2, authority.client(version)).shake() as client, connect(weir, authority.client()) as other:
        seal = client.sealer().seal
        flood = b"".join(seal(kind, data) for _ in range(60_000))
        answers = 0
        client.drain()
        with Pour(client.plain, flood) as pour:
            wait_until(lambda: pour.sent > 0, 5, "the flood's beginning")
            while not pour.is_over or untaken(client.plain):
                assert other.get("/says").status == 200
                answers += 1
        assert answers >= 5
    no_connections(weir)


@FLOOD
def test_a_flood_of_which_the_answers_are_not_read(weir, authority, version, kind, data):
    """It stops where the socket is full, costs no memory, and ends with the client's time."""
    serve(weir, authority, server="client_header_timeout 1s; keepalive_timeout 1s;")
    with Client(weir.port2, authority.client(version)).shake() as client:
        client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        seal = client.sealer().seal
        flood = b"".join(seal(kind, data) for _ in range(20_000))
        before = memory_kib(weir)
        with Pour(client.plain, flood):
            let_pass(0.6)
            assert takes_no_more_than(weir, 4096, before)
            is_at_rest(weir)
            no_connections(weir)
    is_at_rest(weir)


def test_keys_change_as_often_as_a_client_likes(weir, authority):
    """Within reason: a request after each of a few hundred, and the answers are under keys that the server has changed, too."""
    serve(weir, authority)
    with Client(weir.port2, authority.client(V13)).shake() as client:
        seal = client.sealer().seal
        for number in range(300):
            client.plain.sendall(seal(HANDSHAKE, (KEY_UPDATE, KEY_UPDATE_REQUESTED)[number % 2]) + seal(DATA, GET))
            assert client.read_until(b"|NONE").startswith(b"HTTP/1.1 200")


def test_renegotiation_is_refused(weir, authority):
    """By an alert that ends nothing: requests go on. (The library would not: to a client it is the end.)"""
    serve(weir, authority)
    with Client(weir.port2, authority.client(V12)).shake() as client:
        seal = client.sealer().seal
        for _ in range(3):
            client.plain.sendall(seal(HANDSHAKE, HELLO_AGAIN))
            assert client.plain.recv(65536)[0] == ALERT
            client.plain.sendall(seal(DATA, GET))
            assert client.plain.recv(65536)[0] == DATA
    assert weir.status()["tls"]["handshakes"]["full"] == 1


def test_a_second_hello_in_tls_1_3(weir, authority):
    """There is no such thing (RFC 8446, section 4.1.2): it ends the connection."""
    serve(weir, authority)
    with Client(weir.port2, authority.client(V13)).shake() as client:
        client.plain.sendall(client.sealer().seal(HANDSHAKE, HELLO_AGAIN))
        client.until_close()
    no_connections(weir)


NOTHINGS = {"alerts": {V12: (ALERT, b"\x01\x5a"), V13: (ALERT, b"\x01\x5a")}, "empty records": {V12: (DATA, b""), V13: (DATA, b"")}}


@BOTH
@pytest.mark.parametrize("nothing", NOTHINGS, ids=[name.replace(" ", "-") for name in NOTHINGS])
def test_nothings_without_end(weir, authority, version, nothing):
    """A few are nothing; many end the connection, however many more there are."""
    serve(weir, authority)
    with Client(weir.port2, authority.client(version)).shake() as client:
        seal, one = client.sealer().seal, NOTHINGS[nothing][version]
        client.plain.sendall(b"".join(seal(*one) for _ in range(3)) + seal(DATA, GET))
        assert client.read_until(b"|NONE").startswith(b"HTTP/1.1 200")
        with Pour(client.plain, b"".join(seal(*one) for _ in range(1000)) + seal(DATA, GET)):
            assert b"200" not in client.rest()
    is_at_rest(weir)
    no_connections(weir)


@BOTH
def test_a_body_of_records_of_one_byte(weir, authority, version):
    """Each costs what it costs among few, and no memory; all together about 130 times what one record with the same body does."""
    serve(weir, authority)

    def cost_ns(pieces, piece):
        """Of the cheapest of some, which others have disturbed least."""
        spent = []
        with Client(weir.port2, authority.client(version)).shake() as client:
            seal = client.sealer().seal
            for _ in range(4):
                head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (pieces * len(piece))
                said = seal(DATA, head) + b"".join(seal(DATA, piece) for _ in range(pieces))
                before = processor_ns(weir)
                client.plain.sendall(said)
                assert client.read_answer(pieces * len(piece)).endswith(piece * pieces)
                spent.append(processor_ns(weir) - before)
        return min(spent)
    few, memory = cost_ns(2048, b"y"), memory_kib(weir)
    many, one = cost_ns(16384, b"y"), cost_ns(1, b"y" * 16384)
    assert many < 4 * 8 * few, (few, many)
    assert many < 600 * one, (one, many)
    assert takes_no_more_than(weir, 2048, memory)


# ---- within the handshake ---------------------------------------------------------------------------------------

def in_records(flight, size):
    """The same messages in records with so many bytes of them each."""
    cut = b""
    while flight:
        head, length = flight[:3], int.from_bytes(flight[3:5], "big")
        data, flight = flight[5:5 + length], flight[5 + length:]
        pieces = [data[i:i + size] for i in range(0, length, size)] if head[0] == HANDSHAKE else [data]
        cut += b"".join(head + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    return cut


@BOTH
@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_hello_in_many_records(weir, authority, version, size):
    serve(weir, authority)
    with Client(weir.port2, authority.client(version)) as client:
        client.plain.sendall(in_records(client.step(), size))
        client.shake()
        client.tls.write(GET)
        client.plain.sendall(client.outgoing.read())
        assert client.read_until(b"|NONE").startswith(b"HTTP/1.1 200")


@BOTH
def test_byte_by_byte(weir, authority, version):
    """Each byte a packet, before and after the handshake; a request of which each byte is a record."""
    serve(weir, authority)
    with Client(weir.port2, authority.client(version)) as client:
        client.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def say(data):
            for byte in data:
                client.plain.send(bytes([byte]))
        while not client.over:
            say(client.next_flight())
        seal = client.sealer().seal
        say(b"".join(seal(DATA, bytes([byte])) for byte in GET))
        assert client.read_until(b"|NONE").startswith(b"HTTP/1.1 200")
    assert weir.status()["tls"]["handshakes"]["full"] == 1


def hello_of(message_bytes, sent):
    """A hello that says how long it is, and as much of it as is said."""
    message = b"\x01" + message_bytes.to_bytes(3, "big") + bytes(sent)
    pieces = (message[i:i + 16384] for i in range(0, len(message), 16384))
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


@pytest.mark.parametrize("claims, sent", [(200_000, 100), (0xffffff, 0xffff), (131_000, 131_000)], ids=["too-long", "longest", "nonsense"])
def test_a_hello_that_is_too_long(weir, authority, claims, sent):
    """It is refused when its length is there, or when it is read; not waited for."""
    serve(weir, authority)
    with Client(weir.port2, authority.client(V13)) as client, Pour(client.plain, hello_of(claims, sent)):
        client.until_close()
    wait_until(lambda: weir.status()["tls"]["handshakes"]["failed"] == 1, 5, "the count")


def test_a_large_hello(weir, authority):
    """Four records of it: a client may have a lot to say."""
    serve(weir, authority)
    context = authority.client(V13)
    context.set_alpn_protocols([f"protocol{number:05}" for number in range(4000)] + ["http/1.1"])
    with Client(weir.port2, context).shake() as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1"


def test_hellos_that_promise_much(weir, authority):
    """Each may have a hello's memory, and gives it back."""
    serve(weir, authority, server="ssl_handshake_timeout 1s;")
    before = memory_kib(weir)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(Connection(weir.port2))
            client.send(hello_of(131_000, 100))
            client.wait_taken()
        assert takes_no_more_than(weir, 100 * 200, before)
        wait_until(lambda: weir.status()["tls"]["handshakes"]["timeout"] == 100, 5, "the end of all")
    no_connections(weir)


@pytest.mark.parametrize("record", [b"\x14\x03\x03\x00\x01\x01", b"\x15\x03\x03\x00\x02\x01\x5a", b"\x16\x03\x03\x00\x00"],
                         ids=["change-of-cipher", "alerts", "empty-records"])
def test_records_without_end_within_the_handshake(weir, authority, record):
    """Those that TLS 1.3 lets pass are counted, too."""
    serve(weir, authority)
    with Client(weir.port2, authority.client(V13)) as client:
        client.plain.sendall(client.step())
        client.hear()
        with Pour(client.plain, record * 20_000):
            client.until_close()
    is_at_rest(weir)
    no_connections(weir)
    assert weir.status()["tls"]["handshakes"]["full"] == 0


# ---- in number --------------------------------------------------------------------------------------------------

@pytest.mark.directive("ssl_handshake_timeout", "worker_connections")
@BOTH
def test_half_open_handshakes_in_number(weir, authority, version):
    """As many as there is room for, and more: they end in their time, and who comes then is served."""
    weir.expect_log("60 worker_connections are not enough")
    serve(weir, authority, server="ssl_handshake_timeout 1s;", connections=60)
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(100):
            clients.append(stack.enter_context(Client(weir.port2, authority.client(version))))
            clients[-1].plain.sendall(clients[-1].step()[:(1, 100, 2000)[number % 3]])
        for client in clients:
            client.plain.settimeout(limit(10))
            client.until_close()
        assert says(weir, authority.client(version))[0] == "https"
        counts = weir.status()["tls"]["handshakes"]
        assert counts["full"] == 1 and 50 <= counts["timeout"] <= 100 and counts["failed"] == 0, counts
    no_connections(weir)
    assert weir.status()["pools"]["default"]["queue"]["length"] == 0


@pytest.mark.directive("ssl_handshake_timeout")
def test_a_handshake_that_goes_on_slowly(weir, authority):
    """Its time is that of the whole: a byte now and then does not prolong it."""
    serve(weir, authority, server="ssl_handshake_timeout 1s;")
    with Client(weir.port2, authority.client(V13)) as client:
        hello = client.step()
        with Pour(client.plain, hello[:-1], piece=1, pause=0.02):
            client.until_close()
    assert weir.status()["tls"]["handshakes"]["timeout"] == 1
