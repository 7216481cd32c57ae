"""The two ends of a client's connection where somebody stands in front: as variables, in the PROXY line for an upstream, in logs."""

import re
import socket
import struct

import pytest
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import Connection, config, wait_until
from wire import head

SHOW = '"$remote_addr|$remote_port"'
ENDS = '"$remote_addr|$remote_port|$realip_remote_port|$server_addr|$server_port"'


# ---- variables ----------------------------------------------------------------------------------------------

FORWARDED = {
    "192.0.2.9": "192.0.2.9|", "192.0.2.9:81": "192.0.2.9|81", "::ffff:192.0.2.9": "::ffff:192.0.2.9|",
    "[::ffff:192.0.2.9]:81": "::ffff:192.0.2.9|81", "2001:db8::1": "2001:db8::1|", "[2001:db8::1]:82": "2001:db8::1|82",
    "a, 192.0.2.9": "192.0.2.9|", "192.0.2.1, ": "192.0.2.1|", "192.0.2.1,,": "192.0.2.1|", "192.0.2.1 , , ": "192.0.2.1|",
    "::1:2": "::0.1.0.2|",
}
NO_ADDRESS = ["bad", "unix:", "1.2.3", "[::1]:", "192.0.2.9:", "192.0.2.9:0", "192.0.2.9:99999", "192.0.2.9:+1", ":::80",
              "::ffff:192.0.2.9:80", "0x7f.1.1.1", ",", "192.0.2.1, bad"]


@pytest.fixture
def believing(weir):
    return weir.start(config(f"location / {{ return 200 {SHOW}; }} location /ends {{ return 200 {ENDS}; }}",
                             server="listen unix:{tmp}/s; set_real_ip_from 127.0.0.1; set_real_ip_from unix:; real_ip_header X-Forwarded-For;"))


def test_forwarded_address(believing):
    """An address has the port that stands behind it, or none; empty elements of the list are none."""
    found = {value: believing.get(headers=[("X-Forwarded-For", value)]).text for value in FORWARDED}
    assert found == FORWARDED


def test_no_address(believing):
    """What is no address leaves the connection's own."""
    for value in NO_ADDRESS:
        with believing.connect() as client:
            own = client.socket.getsockname()[1]
            assert client.get("/", [("X-Forwarded-For", value)]).text == f"127.0.0.1|{own}", value


def test_unix_socket(believing):
    """There is no port at either end; the server's address has its path."""
    with Connection(believing.tmp / "s") as client:
        assert client.get("/ends").text == f"unix:|||unix:{believing.tmp}/s|"
        assert client.get("/ends", [("X-Forwarded-For", "192.0.2.9:5")]).text == f"192.0.2.9|5||unix:{believing.tmp}/s|"


def test_unknown_ports_of_the_protocol(weir):
    """Port 0 of the PROXY protocol says that it is not known."""
    weir.start(config('location / { return 200 "$remote_port|$proxy_protocol_port|$proxy_protocol_server_port"; }',
                      server="listen 127.0.0.1:{port2} proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"))
    for ports, shown in {"0 0": "||", "5 0": "5|5|", "0 6": "||6", "5 6": "5|5|6"}.items():
        with weir.connect(weir.port2) as client:
            client.send(f"PROXY TCP4 192.0.2.7 192.0.2.8 {ports}\r\n")
            assert client.get("/").text == shown, ports


# ---- the line for an upstream -------------------------------------------------------------------------------

def script(peer):
    """A server that wants the PROXY protocol."""
    while len(peer.unread) < 16:
        peer.receive()
    if peer.unread.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
        peer.preamble = peer.exactly(16)
        peer.preamble += peer.exactly(struct.unpack("!H", peer.preamble[14:])[0])
    else:
        while b"\r\n" not in peer.unread:
            peer.receive()
        line, peer.unread = peer.unread.split(b"\r\n", 1)
        peer.preamble = line + b"\r\n"
    peer.call()
    peer.send(answer(b"ok"))


@pytest.fixture
def passing(weir, backend):
    up = backend(script=script)
    places = "".join(f"location /{v} {{ proxy_pass http://{up.address}; proxy_protocol {v}; }}" for v in ("on", "v2"))
    weir.start(config(places, listen="127.0.0.1:{port}", server="listen unix:{tmp}/s; listen 127.0.0.1:{port2} proxy_protocol; "
                      "listen [::1]:{port3}; set_real_ip_from 127.0.0.1; set_real_ip_from ::1; set_real_ip_from unix:;"
                      "real_ip_header X-Forwarded-For;"))
    weir.up = up
    return weir


def line_of(weir, client, *forwarded, target="/on"):
    headers = [("X-Forwarded-For", value) for value in forwarded]
    assert client.get(target, headers).text == "ok"
    return weir.up.peers[-1].preamble


def test_one_family(passing):
    """Both ends are addresses of one family, and true."""
    with passing.connect() as client:
        own = client.socket.getsockname()[1]
        assert line_of(passing, client) == f"PROXY TCP4 127.0.0.1 127.0.0.1 {own} {passing.port}\r\n".encode()
        assert line_of(passing, client, "192.0.2.7:99") == f"PROXY TCP4 192.0.2.7 127.0.0.1 99 {passing.port}\r\n".encode()
        assert line_of(passing, client, "192.0.2.7") == f"PROXY TCP4 192.0.2.7 127.0.0.1 0 {passing.port}\r\n".encode()
        v2 = line_of(passing, client, "192.0.2.7:99", target="/v2")
        assert v2[12:] == b"\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 127, 0, 0, 1]) + struct.pack("!HH", 99, passing.port)


MIXED = ["2001:db8::1", "[2001:db8::1]:99", "::ffff:192.0.2.9"]


@pytest.mark.parametrize("client_address", MIXED)
def test_two_families(passing, client_address):
    """A client of another family than the address it is said to have come to: nothing is known."""
    with passing.connect() as client:
        assert line_of(passing, client, client_address) == b"PROXY UNKNOWN\r\n"
        assert line_of(passing, client, client_address, target="/v2")[12:] == b"\x20\0\0\0"


def test_the_other_way_round(passing):
    """A listener of IPv6, and a client of IPv4."""
    with socket.create_connection(("::1", passing.port3)) as s:
        for field, line in {"X-Forwarded-For: 192.0.2.7": b"PROXY UNKNOWN\r\n",
                            "X-Forwarded-For: 2001:db8::1": f"PROXY TCP6 2001:db8::1 ::1 0 {passing.port3}\r\n".encode()}.items():
            s.sendall(head("GET /on HTTP/1.1", field))
            assert b"200 OK" in s.recv(65536)
            assert passing.up.peers[-1].preamble == line


def test_unix_listener(passing):
    """It has no address to name beside the client's."""
    with Connection(passing.tmp / "s") as client:
        assert line_of(passing, client, "192.0.2.7") == b"PROXY UNKNOWN\r\n"
        assert line_of(passing, client) == b"PROXY UNKNOWN\r\n"


@pytest.mark.parametrize("line", ["PROXY TCP4 192.0.2.7 198.51.100.8 5 6\r\n", "PROXY TCP6 2001:db8::5 2001:db8::6 5 6\r\n"])
def test_as_it_was_told(weir, backend, line):
    """Where the PROXY protocol has named the client, both ends go on as it has named them."""
    up = backend(script=script)
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; proxy_protocol on; }}",
                      server="listen 127.0.0.1:{port2} proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"))
    with weir.connect(weir.port2) as client:
        client.send(line)
        assert client.get("/").text == "ok" and up.peers[-1].preamble == line.encode()


# ---- logs ---------------------------------------------------------------------------------------------------

@pytest.mark.http1_only
@pytest.mark.parametrize("raw,what", [(b"BAD\r\n\r\n", "invalid method"), (b"GET / HTTP/1.1\r\n\r\n", 'without "Host"'),
                                      (b"GET / HTTP/1.1\r\nHost: a\r\nx y: z\r\n\r\n", ""), (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "")])
def test_client_of_a_head_that_is_refused(weir, raw, what):
    """The line names the client that the PROXY protocol has named, and so does the access log."""
    weir.start(config(log="info", http="log_format who '$remote_addr $realip_remote_addr $status';", server="listen 127.0.0.1:{port2} proxy_protocol;"
                      "set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol; access_log logs/access.log who;"))
    with weir.connect(weir.port2) as client:
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 5 6\r\n" + raw)
        assert client.response().status == 400
    line = weir.wait_log(rf"\[info\].*{re.escape(what)}.*while reading client request.*")[0]
    assert "client: 192.0.2.7," in line
    wait_until(lambda: "192.0.2.7 127.0.0.1 400\n" in (weir.tmp / "logs/access.log").read_text(), 3, "its line in the access log")
