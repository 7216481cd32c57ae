"""Full handshakes on a thread pool: they wait there as any blocking work does, and hold nobody else up."""

import contextlib
import signal
import socket

import pytest
from tlslib import SAYS, V12, V13, begin, connect, says, serve
from weirlib import cpu_seconds, let_pass, wait_until

SLEEP = SAYS + "location /sleep { handler sleep; } location /busy { handler sleep pool=one; }"
ONE = "thread_pool one threads=1 max_queue={queue} {more};"


def start(weir, authority, queue=10, server="ssl_handshake_pool one;", more="", **parts):
    """With a key that takes too long for the loop."""
    if not authority.path("slow.pem").exists():
        authority.certificate("slow", ["localhost", "a.test"], "rsa4096")
    serve(weir, authority, SLEEP, server=server, name="slow", main=ONE.format(queue=queue, more=more), log="info", **parts)


@contextlib.contextmanager
def occupied(weir, ms=60000):
    """The pool's only thread has something to do, until the block ends or the time is over."""
    with weir.connect() as busy:
        busy.request(f"/busy?ms={ms}")
        wait_until(lambda: weir.pool("one")["threads"]["running"] == 1, 5, "the thread's task")
        yield


def waiting(weir, count):
    wait_until(lambda: weir.pool("one")["queue"]["length"] == count, 5, f"{count} handshakes that wait")


@pytest.mark.directive("ssl_handshake_pool")
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_only_full_handshakes_wait(weir, authority, version):
    """While the pool is busy a session is taken up at once, and plain requests are answered; a new one waits."""
    start(weir, authority)
    client = authority.client(version)
    with connect(weir, client) as connection:
        connection.get("/says")
        session = connection.socket.session
    with occupied(weir, 1500):
        plain, *_ = begin(weir, client)
        waiting(weir, 1)
        with connect(weir, client, session=session) as connection:
            assert connection.get("/says").text.split("|")[5] == "r"
        assert weir.get("/says").status == 200
        assert weir.pool("one")["queue"]["length"] == 1
        assert plain.recv(1) == b"\x16"  # once the thread is free
        plain.close()
    assert says(weir, client)[0] == "https"


@pytest.mark.directive("ssl_handshake_pool")
def test_what_takes_little_stays_in_the_loop(weir, authority):
    """Once it is known to: the way to a thread would cost as much."""
    serve(weir, authority, SLEEP, server="ssl_handshake_pool one;", main=ONE.format(queue=10, more=""))
    for _ in range(20):  # of the first nothing is known, and it takes longer than others
        assert says(weir, authority.client())[0] == "https"
    with occupied(weir):
        for _ in range(5):
            assert says(weir, authority.client())[0] == "https"


@pytest.mark.directive("ssl_handshake_pool")
def test_in_the_loop(weir, authority):
    """off: no pool is asked. And a pool that there is not is a mistake."""
    start(weir, authority, server="ssl_handshake_pool off;")
    with occupied(weir):
        assert says(weir, authority.client())[0] == "https"
    [(message, _)] = weir.mistakes(weir.conf.read_text().replace("ssl_handshake_pool off", "ssl_handshake_pool nowhere"))
    assert message == 'unknown thread pool "nowhere" in "ssl_handshake_pool"; define it with thread_pool'


def test_the_pool_is_the_named_servers(weir, authority):
    """Whose name the client asks for says where its handshake is computed."""
    http = "server {{ listen 127.0.0.1:{{port2}} ssl; server_name a.test; {0} ssl_handshake_pool off; {1} }}".format(
        authority.lines(), SAYS.replace("{", "{{").replace("}", "}}").format())
    start(weir, authority, http=http)
    with occupied(weir):
        assert says(weir, authority.client(), "a.test")[4] == "a.test"
        plain, *_ = begin(weir, authority.client())
        waiting(weir, 1)
        plain.close()


def test_a_client_that_has_left_is_dropped(weir, authority):
    start(weir, authority)
    with occupied(weir):
        clients = [begin(weir, authority.client())[0] for _ in range(3)]
        waiting(weir, 3)
        clients[1].close()
        waiting(weir, 2)
        clients[0].shutdown(socket.SHUT_WR)
        waiting(weir, 1)
        clients[2].close()
        waiting(weir, 0)
        clients[0].close()
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 5, "the end of all connections")
    assert says(weir, authority.client())[0] == "https"


def test_a_full_queue_refuses(weir, authority):
    start(weir, authority, queue=1)
    with occupied(weir):
        first, *_ = begin(weir, authority.client())
        waiting(weir, 1)
        second, *_ = begin(weir, authority.client())
        assert second.recv(1) == b""
        weir.wait_log(r"SSL_do_handshake\(\) failed \(SSL: no thread was free for it\) while SSL handshaking")
        first.close()
        second.close()
    assert weir.status()["tls"]["handshakes"]["refused"] == 1


def test_what_waits_too_long_is_closed(weir, authority):
    start(weir, authority, more="queue_timeout=300ms")
    with occupied(weir):
        plain, *_ = begin(weir, authority.client())
        assert plain.recv(1) == b""
        weir.wait_log("SSL: it has waited for a thread for the pool's whole queue_timeout")
        plain.close()
    assert weir.status()["tls"]["handshakes"]["expired"] == 1


def test_time_of_the_handshake(weir, authority):
    """client_header_timeout ends a handshake that waits, too."""
    start(weir, authority, server="ssl_handshake_pool one; client_header_timeout 1s;")
    with occupied(weir):
        plain, *_ = begin(weir, authority.client())
        assert plain.recv(1) == b""
        waiting(weir, 0)
        plain.close()


def test_more_input_meanwhile(weir, authority):
    """What a client sends before it may costs no turns of the loop, and is read afterwards."""
    start(weir, authority)
    with occupied(weir, 1500):
        plain, *_ = begin(weir, authority.client())
        waiting(weir, 1)
        plain.sendall(b"\x16\x03\x03\x00\x01\x00" * 100)
        [worker] = weir.worker_pids()
        before = cpu_seconds(worker)
        let_pass(0.5)
        assert cpu_seconds(worker) - before < 0.25
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := plain.recv(65536):
                received += piece
        assert received[:1] == b"\x16"
        plain.close()
    assert says(weir, authority.client())[0] == "https"


def test_a_second_hello(weir, authority):
    """The client guesses a wrong curve (HelloRetryRequest): a step more, wherever it is made."""
    start(weir, authority, server="ssl_handshake_pool one; ssl_ecdh_curve secp384r1;")
    before = weir.pool("one")["tasks"]["completed"]
    assert says(weir, authority.client(V13))[3] == "secp384r1"
    wait_until(lambda: weir.pool("one")["tasks"]["completed"] > before, 3, "the pool's tasks")


def test_words_that_come_together(weir, authority):
    """A client that is quick: its request is there before the loop hears that the handshake is over."""
    start(weir, authority)
    client = authority.client(V13)
    for _ in range(200):
        assert says(weir, client)[0] == "https"


def test_the_worker_ends_while_handshakes_wait(weir, authority):
    """It has them computed; a client that goes no further has the time of its handshake."""
    start(weir, authority, server="ssl_handshake_pool one; client_header_timeout 2s;")
    with occupied(weir, 500):
        clients = [begin(weir, authority.client())[0] for _ in range(3)]
        waiting(weir, 3)
        weir.signal(signal.SIGQUIT)
        assert weir.wait_exit(10) == 0
        for plain in clients:
            plain.close()
