"""Clients that break off, send what is none, or mean to get round who may come: it costs their own connection, and nobody else anything."""

import contextlib
import socket
import ssl
import struct
import threading

import pytest
from certificates import Authority
from proxylib import backend  # noqa: F401
from tlslib import SAYS, V12, V13, connect, says, serve
from weirlib import config, cpu_seconds, let_pass, limit, wait_until

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
UPGRADE = b"Connection: upgrade\r\nUpgrade: x\r\n\r\n"
TUNNEL = "location /up {{ proxy_pass http://{0}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}"


def server(authority, name="a.test", more="", certificate=True):
    """Another server of the same address."""
    own = authority.lines() if certificate else ""
    return " ".join(["server { listen 127.0.0.1:{port2} ssl; server_name", name, ";", own, more, SAYS, "}"])


class Shaken:
    """A client after its handshake whose records are in our hands."""

    def __init__(self, weir, tls, name="localhost"):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.plain = socket.create_connection(("127.0.0.1", weir.port2), timeout=limit(10))
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                self.plain.sendall(self.outgoing.read())
                return
            self.plain.sendall(self.outgoing.read())
            self.incoming.write(self.plain.recv(65536))

    def records(self, data):
        self.tls.write(data)
        return self.outgoing.read()


def reset(connection):
    """Close with a reset, whatever has been said."""
    plain = socket.socket(fileno=connection.socket.detach())
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def is_at_rest(weir):
    """The worker does nothing, and serves."""
    [worker] = weir.worker_pids()
    before = cpu_seconds(worker)
    let_pass(0.5)
    assert cpu_seconds(worker) - before < 0.3
    assert weir.get("/says").status == 200


@BOTH
@pytest.mark.parametrize("bad", [b"\x17\x03\x03\x00\x20" + bytes(32), b"GET / HTTP/1.1\r\n\r\n"], ids=["record", "text"])
def test_a_request_and_garbage(weir, authority, version, bad):
    """What comes with it is wrong: the answer cannot be sent any more, and is not tried for ever."""
    serve(weir, authority)
    client = Shaken(weir, authority.client(version))
    client.plain.sendall(client.records(b"GET /says HTTP/1.1\r\nHost: localhost\r\n\r\n") + bad)
    with contextlib.suppress(ConnectionError):
        while client.plain.recv(65536):
            pass
    is_at_rest(weir)


@BOTH
@pytest.mark.parametrize("how", ["shutdown", "goodbye"])
def test_the_end_and_then_a_reset(weir, authority, version, how):
    """While answers wait to be sent."""
    serve(weir, authority, SAYS + f"location /large {{ return 200 '{'y' * 30000}'; }}")
    client = connect(weir, authority.client(version))
    client.socket.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 300)
    wait_until(lambda: weir.status()["connections"]["writing"] >= 1, 5, "answers that wait")
    if how == "goodbye":
        client.socket.settimeout(0.3)
        with contextlib.suppress(OSError):
            client.socket.unwrap()
    else:
        client.socket.shutdown(socket.SHUT_WR)
    let_pass(0.3)
    reset(client)
    is_at_rest(weir)


def test_a_tunnel_ends_by_a_reset(weir, authority, backend):
    def pour(peer):
        peer.call()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE)
        while True:
            peer.send(b"x" * 100000)
    serve(weir, authority, SAYS + TUNNEL.format(backend(script=pour).address))
    client = connect(weir, authority.client())
    client.socket.sendall(b"GET /up HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE)
    assert client.socket.recv(10)
    let_pass(0.3)
    client.socket.shutdown(socket.SHUT_WR)
    let_pass(0.3)
    reset(client)
    is_at_rest(weir)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_tunnels_end_half(weir, authority, backend, tls):
    """After the upstream's last word the client's still gets there."""
    got = []

    def script(peer):
        peer.call()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE + b"bye")
        peer.socket.shutdown(socket.SHUT_WR)
        while data := peer.socket.recv(1000):
            got.append(data)
    serve(weir, authority, SAYS + TUNNEL.format(backend(script=script).address))
    with (connect(weir, authority.client()) if tls else weir.connect()) as client:
        client.socket.sendall(b"GET /up HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE)
        data = b""
        while not data.endswith(b"bye"):
            data += client.socket.recv(1000)
        let_pass(0.2)
        client.socket.sendall(b"last words")
        wait_until(lambda: b"".join(got) == b"last words", 5, "the client's last words")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_answer_while_the_client_sends(weir, authority, tls):
    """413 is seen: the connection lingers, and is not reset under it."""
    serve(weir, authority, SAYS + "location /small { client_max_body_size 10; handler echo; }")
    for _ in range(3):
        with (connect(weir, authority.client()) if tls else weir.connect()) as client:
            client.socket.sendall(b"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n")
            for _ in range(40):
                client.socket.sendall(b"x" * 100000)
            assert client.response().status == 413


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_requests_that_wait_are_not_forgotten(weir, authority, tls, tmp_path):
    """They were read with a part of one before, and lie decrypted while its answer is being sent."""
    (tmp_path / "big").write_bytes(b"x" * 20_000_000)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    serve(weir, authority, SAYS + f"location /big {{ alias {tmp_path}/big; }}")
    with (connect(weir, authority.client()) if tls else weir.connect()) as client:
        client.socket.sendall(b"GET /big HTTP/1.1\r\nHo")
        let_pass(0.2)
        client.socket.sendall(b"st: localhost\r\n\r\n" + b"GET /says HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        let_pass(0.3)
        for _ in range(201):
            assert client.response().status == 200


def test_a_part_of_the_proxy_header(weir, authority):
    """It costs no turns of the loop, and the rest may come when it likes; its end in the middle ends the connection."""
    weir.start(config(SAYS, server=f"listen 127.0.0.1:{{port2}} ssl proxy_protocol; {authority.lines()}"))
    with socket.create_connection(("127.0.0.1", weir.port2), timeout=limit(10)) as plain:
        plain.sendall(b"PROXY TCP4 192.0.2.7 ")
        let_pass(0.2)
        is_at_rest(weir)
        for piece in (b"192.0.2.1 12", b"34 443\r", b"\n"):
            plain.sendall(piece)
            let_pass(0.05)
        with authority.client().wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(b"GET /says HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert secure.recv(100).startswith(b"HTTP/1.1 200")
    with socket.create_connection(("127.0.0.1", weir.port2), timeout=limit(10)) as plain:
        plain.sendall(b"PROXY TCP4 192.0.2.7 ")
        let_pass(0.1)
        plain.shutdown(socket.SHUT_WR)
        assert plain.recv(100) == b""
    is_at_rest(weir)


# ---- two hellos -------------------------------------------------------------------------------------------------

def two_hellos(weir, tls, name):
    """What a client says before and after a HelloRetryRequest; any number may say the same."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    first = outgoing.read()
    with socket.create_connection(("127.0.0.1", weir.port2), timeout=limit(10)) as plain:
        plain.sendall(first)
        while True:
            incoming.write(plain.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            second = outgoing.read()
            if second:
                return first, second


def test_both_hellos_at_once(weir, authority):
    """The second is read by a thread: it chooses no server there, beside the loop that does, nor of a connection that has gone."""
    serve(weir, authority, server="ssl_ecdh_curve secp384r1; client_header_timeout 200ms;", http="".join(
        server(authority, f"'~^(?<x>(a+)+)b{number}\\.test$'", "ssl_ecdh_curve secp384r1;") for number in range(2)))
    tls = authority.client(V13)
    tls.check_hostname = False
    both = b"".join(two_hellos(weir, tls, "aaaaaaaaaab1.test"))
    over = threading.Event()

    def attack():
        while not over.is_set():
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                clients = [stack.enter_context(socket.create_connection(("127.0.0.1", weir.port2), timeout=5)) for _ in range(10)]
                let_pass(0.19)  # the time of a handshake ends
                for client in clients:
                    client.sendall(both)
    attackers = [threading.Thread(target=attack) for _ in range(2)]
    for each in attackers:
        each.start()
    try:
        with weir.connect(weir.port2, tls=tls, name="aaaaaaaaaab0.test") as client:
            for _ in range(900):
                client.send("GET /says HTTP/1.1\r\nHost: aaaaaaaaaaaab1.test\r\n\r\n")
                client.response()
    finally:
        over.set()
        for each in attackers:
            each.join()
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 15, "the end of all connections")


# ---- who may come -------------------------------------------------------------------------------------------------

def asks(weir, tls, name, host):
    with connect(weir, tls, name) as connection:
        connection.send(f"GET /says HTTP/1.1\r\nHost: {host}\r\n\r\n")
        return connection.response().status


@pytest.mark.directive("ssl_verify_client")
def test_a_server_without_a_certificate_of_its_own(weir, authority):
    """Its clients have shown none: they were not asked."""
    serve(weir, authority, http=server(authority, more=f"ssl_verify_client on; ssl_client_certificate {authority.path('ca.pem')};", certificate=False))
    client = authority.client()
    client.check_hostname = False
    assert asks(weir, client, "a.test", "a.test") == 400
    assert asks(weir, client, "localhost", "localhost") == 200
    weir.wait_log("goes by the authorities of the address's default server")


@pytest.mark.directive("ssl_verify_client")
def test_another_servers_authority(weir, authority, tmp_path):
    """A certificate for one server does not open another: neither by name and Host, nor without a name."""
    other = Authority(tmp_path)
    authority.certificate("eve")
    serve(weir, authority, http=server(authority, more=f"ssl_verify_client on; ssl_client_certificate {other.path('ca.pem')};"),
          server=f"ssl_verify_client on; ssl_client_certificate {authority.path('ca.pem')};")
    client = authority.client(certificate="eve")
    assert asks(weir, client, "localhost", "localhost") == 200
    assert asks(weir, client, "localhost", "a.test") == 421
    client.check_hostname = False
    assert asks(weir, client, None, "a.test") == 421
    assert asks(weir, client, "a.test", "a.test") == 400


@BOTH
def test_sessions_end_with_the_authority(weir, authority, tmp_path, version):
    """Once another authority stands in the file nobody gets in by an old session."""
    other = Authority(tmp_path)
    authority.certificate("eve")
    known = tmp_path / "known.pem"
    known.write_bytes(authority.path("ca.pem").read_bytes())
    serve(weir, authority, server=f"ssl_verify_client on; ssl_client_certificate {known};")
    client = authority.client(version, certificate="eve")
    with connect(weir, client) as connection:
        assert connection.get("/says").status == 200
        session = connection.socket.session
    known.write_bytes(other.path("ca.pem").read_bytes())
    old = weir.worker_pids()
    assert weir.reload()["last_kind"] == "respawn"  # the text is the same
    wait_until(lambda: not weir.worker_pids() & old, 10, "new workers")
    for again in (None, session):
        with connect(weir, client, session=again) as connection:
            assert connection.get("/says").status == 400


@pytest.mark.directive("ssl_ecdh_curve")
def test_curves_of_the_named_server(weir, authority):
    serve(weir, authority, server="ssl_ecdh_curve prime256v1;",
          http=server(authority, more="ssl_ecdh_curve secp384r1;") + server(authority, "b.test", "ssl_ecdh_curve auto;"))
    client = authority.client()
    client.check_hostname = False
    assert [says(weir, client, name)[3] for name in ("localhost", "a.test", "b.test")] == ["prime256v1", "secp384r1", "X25519"]


def test_a_handshake_over_a_reload(weir, authority):
    """One that has begun is finished by the worker that has it, and its request answered."""
    serve(weir, authority)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = authority.client(V13).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with socket.create_connection(("127.0.0.1", weir.port2), timeout=limit(10)) as plain:
        plain.sendall(outgoing.read())
        incoming.write(plain.recv(65536))
        weir.reload(weir.conf.read_text().replace("location = /id", "location = /other_id"))
        let_pass(0.5)  # a long way
        client.do_handshake()
        client.write(b"GET /says HTTP/1.1\r\nHost: localhost\r\n\r\n")
        plain.sendall(outgoing.read())
        answer = b""
        while not answer:
            with contextlib.suppress(ssl.SSLWantReadError):
                answer = client.read(100)
            if not answer:
                received = plain.recv(65536)
                assert received
                incoming.write(received)
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.directive("reset_timedout_connection")
def test_a_reset_without_a_goodbye(weir, authority):
    """Who has been too slow is reset; elsewhere the end of TLS is said."""
    serve(weir, authority, server="reset_timedout_connection on; client_header_timeout 500ms;")
    slow = connect(weir, authority.client())
    slow.send("GET /says HT")
    with socket.socket(fileno=slow.socket.detach()) as plain:  # the client's library makes an end of both
        plain.settimeout(limit(5))
        with pytest.raises(ConnectionResetError):
            while plain.recv(1000):
                pass
    with connect(weir, authority.client()) as last:
        last.send("GET /says HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert last.until_close()
