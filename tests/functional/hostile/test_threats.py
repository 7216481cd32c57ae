"""What docs/threat-model.md says and no other test holds."""

import os
import re
import socket

import wire
from limits import limited
from weirlib import config, open_files, wait_until
from wire import head


def named_sockets(pid):
    """The names in the abstract namespace that a process has sockets of, datagram ones."""
    inodes = {m[1] for name in open_files(pid).values() if (m := re.match(r"socket:\[(\d+)\]", name))}
    with open("/proc/net/unix") as lines:
        rows = [line.split() for line in lines][1:]
    return [row[7][1:] for row in rows if len(row) > 7 and row[7].startswith("@") and row[4] == "0002" and row[6] in inodes]


def test_datagrams_of_others(weir):
    """Whoever finds the socket of a worker may send there: it is thrown away unread, and nothing is learned or changed."""
    weir.start(limited())
    [worker] = weir.wait_workers(1)
    names = named_sockets(worker)
    assert len(names) == 1
    before = weir.error_log.count("\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        stranger.bind("")  # a name of its own, for an answer
        for i in range(2000):
            try:
                stranger.sendto(os.urandom(i % 300), b"\0" + names[0].encode())
            except BlockingIOError:
                assert weir.get("/who").status == 200  # it is full: the worker's turn
        assert weir.get("/who").text == str(worker)
        try:
            assert stranger.recv(1) is None, "an answer"
        except BlockingIOError:
            pass
    assert weir.status()["concurrency"]["z"]["in_flight"] == 0 and weir.error_log.count("\n") == before


def test_a_realm_of_a_clients_words(weir):
    """Ends of lines in it make no field: it is left out, and the log says so."""
    weir.write("ann:{PLAIN}pw\n", "conf/users")
    weir.expect_log("the realm of")
    weir.start(config("location / { auth_basic $uri; auth_basic_user_file conf/users; }"))
    reply = wire.ask(weir.port, head("GET /a%0d%0aX-Made:%20up HTTP/1.1"))
    assert reply.status == 401 and reply.header("X-Made") is None and reply.header("WWW-Authenticate") == 'Basic realm=""'
    weir.wait_log('the realm of "auth_basic" has a control character; it is left out')
    assert wire.ask(weir.port, head("GET /plain HTTP/1.1")).header("WWW-Authenticate") == 'Basic realm="/plain"'


def test_a_client_that_does_not_read(weir):
    """It keeps its permit while its answer waits for it, until send_timeout; then the next one has it."""
    (weir.tmp / "html/big").write_bytes(bytes(64 << 20))
    weir.start(limited(locations="location = /big { root {tmp}/html; limit_concurrency z; } location = /small { return 200; } location = /next { try_files /none =404; limit_concurrency z; }",
                       server="send_timeout 1s;"))
    with weir.connect() as client:
        client.request("/big")
        assert client.socket.recv(1)
        wait_until(lambda: weir.status()["concurrency"]["z"]["in_flight"] == 1, 3, "the permit")
        assert weir.get("/next").status == 503
        wait_until(lambda: weir.get("/next").status == 404, 10, "the end of its time")
