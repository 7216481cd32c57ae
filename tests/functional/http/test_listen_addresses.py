"""Addresses within a port that is bound for all of them: bound once, and told apart by where the client came in."""

import socket

import pytest

from weirlib import can, config, limit, wait_until

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


def ask(address, port, host="a", before=b""):
    """The body of the answer at an address of this machine."""
    with socket.create_connection((address, port), timeout=limit(5)) as s:
        s.sendall(before + f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        return b"".join(iter(lambda: s.recv(4096), b"")).partition(b"\r\n\r\n")[2].decode()


def server(name, *listens, names="a"):
    return (f"server {{ {''.join(f'listen {each};' for each in listens)} server_name {names};"
            f' return 200 "{name} $server_addr"; }}')


def sockets(port):
    """The local addresses of the listening sockets of a port, as /proc/net/tcp has them."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


@pytest.mark.parametrize("order", [1, -1])
def test_local_address_chooses(weir, order):
    """The server of the client's local address, else the wildcard's; one socket; names do not mix."""
    servers = [server("all", "{port2}"), server("one", "127.0.0.1:{port2}"), server("two", "127.0.0.2:{port2} default_server"),
               server("late", "127.0.0.2:{port2}", names="b")][::order]
    weir.start(config(http="".join(servers)))
    assert [ask(address, weir.port2) for address in ADDRESSES] == ["one 127.0.0.1", "two 127.0.0.2", "all 127.0.0.3"]
    assert [ask(address, weir.port2, "b") for address in ADDRESSES] == ["one 127.0.0.1", "late 127.0.0.2", "all 127.0.0.3"]
    assert sockets(weir.port2) == {"00000000"}


@pytest.mark.directive("proxy_protocol")
def test_proxy_protocol_of_one_address(weir):
    """proxy_protocol belongs to the address, not to the socket."""
    weir.start(config(http=server("all", "{port2}") + server("one", "127.0.0.1:{port2} proxy_protocol")))
    assert ask("127.0.0.2", weir.port2) == "all 127.0.0.2"
    assert ask("127.0.0.1", weir.port2, before=b"PROXY UNKNOWN\r\n") == "one 127.0.0.1"


def test_reload(weir):
    """Addresses within a bound port come and go under way."""
    weir.start(config(http=server("all", "{port2}")))
    for http, expected in ((server("all", "{port2}") + server("one", "127.0.0.1:{port2}"), "one 127.0.0.1"),
                           (server("all", "{port2}", "127.0.0.1:{port2}"), "all 127.0.0.1"),
                           (server("only", "{port2}"), "only 127.0.0.1")):
        assert weir.reload(config(http=http))["last_ok"]
        wait_until(lambda want=expected: ask("127.0.0.1", weir.port2) == want, 3, "the old worker to stop accepting")
        assert ask("127.0.0.2", weir.port2)


@pytest.mark.parametrize("parameter", ["bind", "backlog=100", "so_keepalive=on"])
def test_a_socket_of_its_own(weir, parameter):
    """bind and the options of sockets ask for one, which the kernel refuses beside the wildcard's, as with nginx."""
    weir.expect_log(r"bind\(\) to ")
    weir.launch(config(http=server("all", "{port2}") + server("one", "127.0.0.1:{port2} " + parameter)))
    assert weir.wait_exit() == 1
    assert "Address already in use" in weir.stderr


def test_options_of_a_later_server(weir):
    """What any of an address's listens says of the socket counts: a deferred connection is none before it sends something."""
    weir.start(config(http=server("first", "127.0.0.1:{port2}") + server("second", "127.0.0.1:{port2} deferred")))
    before = weir.status()["connections"]["accepted"]
    with socket.create_connection(("127.0.0.1", weir.port2), timeout=limit(5)):
        weir.status()
        assert weir.status()["connections"]["accepted"] == before + 2


def test_reload_in_the_way(weir):
    """A wildcard cannot be bound while the running configuration has one of its addresses: the log says which."""
    weir.expect_log(r"bind\(\) to |reload")
    weir.start(config(http=server("one", "127.0.0.1:{port2}")))
    assert not weir.reload(config(http=server("all", "{port2}")))["last_ok"]
    weir.wait_log(rf"bind\(\) to 0\.0\.0\.0:{weir.port2} failed .*; this server's own socket of 127\.0\.0\.1:{weir.port2} is in the way")
    assert ask("127.0.0.1", weir.port2) == "one 127.0.0.1"


@pytest.mark.skipif(not can("ipv6"), reason="needs IPv6")
def test_ipv6(weir):
    """[::] and [::1]; IPv4's wildcard is apart."""
    weir.start(config(http=server("all", "[::]:{port2}") + server("one", "[::1]:{port2}") + server("four", "{port2}")))
    assert ask("::1", weir.port2) == "one ::1"
    assert ask("127.0.0.1", weir.port2) == "four 127.0.0.1"
