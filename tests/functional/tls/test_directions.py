"""Reading that must write first, and writing that must read: sockets that are full at the wrong moment. No byte is lost, and no turn spent in vain."""

import contextlib
import os
import ssl
import struct
import subprocess
import threading
import time

import pytest
from records import ALERT, DATA, GET, HANDSHAKE, KEY_UPDATE, KEY_UPDATE_REQUESTED, Client
from tlslib import SAYS, V12, V13, says, serve
from weirlib import ROOT, SLOW, config, cpu_seconds, let_pass, limit, wait_until

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
FILES = SAYS + "location /file { root {tmp}; } location /slow { limit_rate 200k; alias {tmp}/file; }"
ASK = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMALL = 4096
CHAIN_BYTES = 60_000


def serve_file(weir, authority, size, server="", name="localhost"):
    """On port2, whose sockets hold little; returns what is in the file."""
    body = os.urandom(size)
    (weir.tmp / "file").write_bytes(body)
    weir.start(config(FILES, server=f"listen 127.0.0.1:{{port2}} ssl sndbuf=8k; {authority.lines(name)} {server}"))
    return body


def is_at_rest(weir):
    """While a client does nothing its worker does not either."""
    workers = weir.worker_pids()
    before = sum(map(cpu_seconds, workers))
    let_pass(0.4)
    assert sum(map(cpu_seconds, workers)) - before < 0.2


def writing(weir, count=1):
    wait_until(lambda: weir.status()["connections"]["writing"] >= count + 1, 5, "an answer that waits")


UPDATES = {"one": [[KEY_UPDATE_REQUESTED]], "apart": [[KEY_UPDATE_REQUESTED], [KEY_UPDATE, KEY_UPDATE]],
           "together": [[KEY_UPDATE_REQUESTED, KEY_UPDATE, KEY_UPDATE_REQUESTED]]}


@pytest.mark.parametrize("updates", UPDATES.values(), ids=UPDATES)
def test_key_updates_while_an_answer_waits(weir, authority, updates):
    """The socket is full in the middle of a record: the keys change behind that, and every byte of what waits is there."""
    body = serve_file(weir, authority, 3_000_000)
    with Client(weir.port2, authority.client(V13), room=SMALL).shake() as client:
        seal = client.sealer().seal
        client.plain.sendall(seal(DATA, ASK % b"file"))
        writing(weir)
        for some in updates:
            client.plain.sendall(b"".join(seal(HANDSHAKE, update) for update in some) + seal(DATA, GET))
            let_pass(0.1)
        is_at_rest(weir)
        assert client.read_answer(len(body)).split(b"\r\n\r\n", 1)[1][:len(body)] == body
        assert client.read_until(b"|NONE").startswith(b"HTTP/1.1 200")


def test_key_updates_while_an_answer_goes(weir, authority):
    """All the time, by a client that reads slowly."""
    body = serve_file(weir, authority, 1_500_000)
    over = threading.Event()
    with Client(weir.port2, authority.client(V13), room=SMALL).shake() as client:
        seal = client.sealer().seal
        client.plain.sendall(seal(DATA, ASK % b"file"))

        def keep_asking():
            while not over.wait(0.002):
                client.plain.sendall(seal(HANDSHAKE, KEY_UPDATE_REQUESTED))
        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            got = client.read_answer(len(body))
        finally:
            over.set()
            asking.join()
        assert got.split(b"\r\n\r\n", 1)[1] == body
        client.plain.sendall(seal(DATA, GET))
        assert client.read_until(b"|NONE").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("update", [KEY_UPDATE, KEY_UPDATE_REQUESTED], ids=["own", "both"])
def test_key_updates_within_a_body(weir, authority, update):
    """Of a request; between any two records, and its answer is the body."""
    serve(weir, authority)
    body = os.urandom(400_000)
    with Client(weir.port2, authority.client(V13)).shake() as client:
        seal = client.sealer().seal
        client.plain.sendall(seal(DATA, b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)))
        for i in range(0, len(body), 4000):
            client.plain.sendall(seal(HANDSHAKE, update) + seal(DATA, body[i:i + 4000]))
        answer = client.read_until(b"\r\n0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200") and body in answer


def records_of(data):
    """(kind, length) of each; they must be whole."""
    found = []
    while data:
        length = int.from_bytes(data[3:5], "big")
        assert len(data) >= 5 + length, "a record that is cut"
        found.append((data[0], length))
        data = data[5 + length:]
    return found


def test_renegotiation_while_an_answer_waits(weir, authority):
    """The refusal, an alert, comes between two records of the answer, of which none is missing or cut."""
    body = serve_file(weir, authority, 3_000_000)
    with Client(weir.port2, authority.client(V12), room=SMALL).shake() as client:
        seal = client.sealer().seal
        client.plain.sendall(seal(DATA, (ASK % b"file").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
        writing(weir)
        client.plain.sendall(seal(HANDSHAKE, b"\x01\0\0\0") * 1)
        let_pass(0.1)
        is_at_rest(weir)
        heard = [client.incoming.read()]
        with contextlib.suppress(ConnectionError):
            while piece := client.plain.recv(65536):
                heard.append(piece)
    records = records_of(b"".join(heard))
    assert {kind for kind, _ in records} <= {ALERT, DATA}
    overhead = 8 + 16
    plain = sum(length - overhead for kind, length in records if kind == DATA)
    assert len(body) < plain < len(body) + 1000


@pytest.mark.parametrize("pool", ["default", "off"], ids=["thread", "loop"])
@BOTH
def test_a_handshake_that_does_not_fit_into_the_socket(weir, authority, version, pool):
    """A long chain of certificates: the server's flight stops in the middle until the client reads. One that does not has its time."""
    if not authority.path("long.pem").exists():
        authority.certificate("long", ["localhost"], "rsa4096")
        with open(authority.path("long.pem"), "a", encoding="ascii") as chain:
            other = authority.path("ca.pem").read_text()
            chain.write(other * (CHAIN_BYTES // len(ssl.PEM_cert_to_DER_cert(other))))
    serve_file(weir, authority, 10, server=f"ssl_handshake_timeout {4 * SLOW:g}s; ssl_handshake_pool {pool};", name="long")
    with Client(weir.port2, authority.client(version), room=SMALL) as client, Client(weir.port2, authority.client(version), room=SMALL) as never:
        for each in (client, never):
            each.plain.sendall(each.step())
        let_pass(0.3)
        is_at_rest(weir)
        client.shake()
        assert len(client.tls.getpeercert(True)) > 500
        client.tls.write(GET)
        client.plain.sendall(client.outgoing.read())
        assert client.read_until(b"|NONE").startswith(b"HTTP/1.1 200")
        wait_until(lambda: weir.status()["tls"]["handshakes"]["timeout"] == 1, 10, "the end of the one that does not read")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while piece := never.plain.recv(65536):
                sent += len(piece)
        assert 0 < sent < CHAIN_BYTES // 2
    assert weir.status()["tls"]["handshakes"]["full"] == 1


@BOTH
@pytest.mark.directive("limit_rate")
def test_a_rate_over_tls(weir, authority, version):
    """Exactly the file, and not sooner than the rate allows; requests behind it are answered."""
    body = serve_file(weir, authority, 300_000)
    with Client(weir.port2, authority.client(version)).shake() as client:
        begun = time.monotonic()
        client.tls.write((ASK % b"slow") + GET)
        client.plain.sendall(client.outgoing.read())
        got = client.read_answer(len(body))
        assert time.monotonic() - begun > 0.3
        rest = got.split(b"\r\n\r\n", 1)[1]
        assert rest[:len(body)] == body
        assert (rest[len(body):] or client.read_until(b"|NONE")).startswith(b"HTTP/1.1 200")


@BOTH
@pytest.mark.directive("ssl_buffer_size")
@pytest.mark.parametrize("size", ["1k", "16k"])
def test_a_file_through_a_narrow_socket(weir, authority, version, size):
    """Each record is taken in parts."""
    body = serve_file(weir, authority, 700_001, server=f"ssl_buffer_size {size};")
    with Client(weir.port2, authority.client(version), room=SMALL).shake() as client:
        for _ in range(2):
            client.tls.write(ASK % b"file")
            client.plain.sendall(client.outgoing.read())
            assert client.read_answer(len(body)).split(b"\r\n\r\n", 1)[1] == body


def test_others_beside_one_that_does_not_read(weir, authority):
    serve_file(weir, authority, 5_000_000)
    with Client(weir.port2, authority.client(V13), room=SMALL).shake() as client:
        client.tls.write(ASK % b"file")
        client.plain.sendall(client.outgoing.read())
        writing(weir)
        is_at_rest(weir)
        assert says(weir, authority.client())[0] == "https"


@pytest.fixture(scope="session")
def fragments(tmp_path_factory):
    program = tmp_path_factory.mktemp("fragments") / "fragments"
    subprocess.run(["cc", "-std=gnu17", "-O1", ROOT / "tests/functional/lib/fragments.c", "-o", program, "-lssl", "-lcrypto"], check=True)
    return program


@pytest.mark.parametrize("code, updates", [(0, 0), (0, 30), (1, 0), (1, 30), (3, 30)])
def test_short_records_and_new_keys(weir, authority, fragments, code, updates):
    """A client that wants records of 512 or 2048 bytes, and new keys while one of them is half sent, gets each byte once."""
    weir.start(config("location /counted { root %s; }" % weir.tmp, server=f"listen 127.0.0.1:{{port2}} ssl sndbuf=64k; {authority.lines()}"))
    size = 4 << 20
    (weir.tmp / "counted").write_bytes(struct.pack(f"<{size // 4}I", *range(size // 4)))
    said = subprocess.run([fragments, str(weir.port2), str(code), str(updates)], capture_output=True, text=True, check=True, timeout=limit(60)).stdout
    assert said == f"{size}\n"
