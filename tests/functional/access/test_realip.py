"""Who the client is when somebody stands in front: the PROXY protocol and real_ip_header."""

import socket
import struct

import pytest
from mistakes import FLAG, arguments, value
from proxylib import backend  # noqa: F401 - a fixture
from weirlib import config, wait_until

SHOW = ('location / { return 200 "$remote_addr|$remote_port|$realip_remote_addr|$proxy_protocol_addr|'
        '$proxy_protocol_port|$proxy_protocol_server_addr|$proxy_protocol_server_port|$http_x_forwarded_for\\n"; }')
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def raw(weir, data, piecewise=False):
    with socket.create_connection(("127.0.0.1", weir.port2), timeout=5) as s:
        if piecewise:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(data)):
                s.sendall(data[i:i + 1])
        else:
            s.sendall(data)
        got = b""
        while piece := s.recv(65536):
            got += piece
    return got


def shown(got):
    assert got.startswith(b"HTTP/1.1 200 "), got
    return got.split(b"\r\n\r\n", 1)[1].decode().strip().split("|")


def v2(command=1, family=0x11, body=None):
    body = struct.pack("!4s4sHH", bytes([10, 1, 2, 3]), bytes([10, 9, 8, 7]), 1234, 443) if body is None else body
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::5") + socket.inet_pton(socket.AF_INET6, "::1") + b"\x00\x50\x01\xbb"


def start(weir, server=""):
    return weir.start(config(server + SHOW, server="listen 127.0.0.1:{port2} proxy_protocol;"))


GOOD = {"v1": (b"PROXY TCP4 10.1.2.3 10.9.8.7 1234 443\r\n", ["10.1.2.3", "1234", "10.9.8.7", "443"]),
        "v1 of IPv6": (b"PROXY TCP6 2001:db8::5 ::1 80 443\r\n", ["2001:db8::5", "80", "::1", "443"]),
        "v2": (v2(), ["10.1.2.3", "1234", "10.9.8.7", "443"]),
        "v2 of IPv6": (v2(family=0x21, body=V6), ["2001:db8::5", "80", "::1", "443"]),
        "v2 with extensions": (v2(body=v2()[16:] + b"\x04\x00\x03abc"), ["10.1.2.3", "1234", "10.9.8.7", "443"]),
        "v1 unknown": (b"PROXY UNKNOWN\r\n", [""] * 4), "v1 unknown and more": (b"PROXY UNKNOWN a b c d\r\n", [""] * 4),
        "v2 local": (v2(command=0, family=0, body=b""), [""] * 4), "v2 unix": (v2(family=0x31, body=b"x" * 216), [""] * 4)}


@pytest.mark.parametrize("which", GOOD)
@pytest.mark.parametrize("piecewise", [False, True])
def test_header_is_read(weir, which, piecewise):
    """The header is told, and changes nothing else."""
    start(weir)
    header, told = GOOD[which]
    fields = shown(raw(weir, header + REQUEST, piecewise))
    assert fields[3:7] == told and fields[0] == "127.0.0.1"


@pytest.mark.parametrize("header", [
    b"", b"PROXY TCP4 10.1.2.3 10.9.8.7 1234 443\n", b"PROXY TCP4 10.1.2.3 10.9.8.7 1234\r\n",
    b"PROXY TCP4 10.1.2.3  10.9.8.7 1234 443\r\n", b"PROXY TCP4 10.1.2.333 10.9.8.7 1234 443\r\n",
    b"PROXY TCP4 10.1.2.3 10.9.8.7 1234 65536\r\n", b"PROXY TCP4 10.1.2.3 10.9.8.7 1234 443 9\r\n", b"PROXY TCP4 10.1.2.3 10.9.8.7 1234 443 \r\n",
    b"PROXY TCP6 10.1.2.3 10.9.8.7 1234 443\r\n", b"PROXY " + b"x" * 200 + b"\r\n", b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
    v2(command=2), SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12), v2(body=b"1234"),
    SIGNATURE + b"\x21\x11\xff\xff" + bytes(100)])
def test_bad_header_ends_the_connection(weir, header):
    start(weir)
    assert raw(weir, header + REQUEST) == b""
    weir.expect_log("PROXY protocol")
    weir.wait_log("broken header: ")


def test_one_header_for_a_connection(weir):
    start(weir)
    with socket.create_connection(("127.0.0.1", weir.port2), timeout=5) as s:
        s.sendall(GOOD["v1"][0] + REQUEST.replace(b"Connection: close\r\n", b"") + REQUEST)
        got = b""
        while piece := s.recv(65536):
            got += piece
    assert got.count(b"|10.1.2.3|1234|") == 2


@pytest.mark.directive("proxy_protocol", "real_ip_header")
def test_real_ip_by_proxy_protocol(weir):
    start(weir, "set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;")
    assert shown(raw(weir, GOOD["v1"][0] + REQUEST))[:3] == ["10.1.2.3", "1234", "127.0.0.1"]
    assert shown(raw(weir, GOOD["v2 of IPv6"][0] + REQUEST))[0] == "2001:db8::5"
    assert shown(raw(weir, GOOD["v2 local"][0] + REQUEST))[0] == "127.0.0.1"


CASES = [
    # settings, headers, what the client is
    ("set_real_ip_from 127.0.0.1;", ["X-Real-IP: 10.0.0.1"], "10.0.0.1"),
    ("set_real_ip_from 10.0.0.0/8;", ["X-Real-IP: 10.0.0.1"], "127.0.0.1"),
    ("", ["X-Real-IP: 10.0.0.1"], "127.0.0.1"),
    ("set_real_ip_from 127.0.0.0/8;", ["X-Real-IP: 2001:db8::1"], "2001:db8::1"),
    ("set_real_ip_from 127.0.0.0/8;", ["X-Real-IP: nonsense"], "127.0.0.1"),
    ("set_real_ip_from 127.0.0.0/8;", ["X-Real-IP:"], "127.0.0.1"),
    ("set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;", ["X-Forwarded-For: 1.1.1.1, 2.2.2.2"], "2.2.2.2"),
    ("set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;", ["X-Forwarded-For: 1.1.1.1, 2.2.2.2:99"], "2.2.2.2"),
    ("set_real_ip_from 127.0.0.0/8; set_real_ip_from 2.2.2.2; real_ip_header X-Forwarded-For; real_ip_recursive on;",
     ["X-Forwarded-For: 6.6.6.6, 1.1.1.1, 2.2.2.2"], "1.1.1.1"),
    ("set_real_ip_from 127.0.0.0/8; set_real_ip_from 2.2.2.2; real_ip_header X-Forwarded-For; real_ip_recursive on;",
     ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.1.1.1 , 2.2.2.2"], "1.1.1.1"),
    ("set_real_ip_from 0.0.0.0/0; real_ip_header X-Forwarded-For; real_ip_recursive on;",
     ["X-Forwarded-For: 1.1.1.1, 2.2.2.2"], "1.1.1.1"),
    ("set_real_ip_from 127.0.0.0/8; set_real_ip_from 2.2.2.2; real_ip_header X-Forwarded-For; real_ip_recursive on;",
     ["X-Forwarded-For: 1.1.1.1, bad, 2.2.2.2"], "2.2.2.2"),
    ("set_real_ip_from 127.0.0.0/8; set_real_ip_from 010.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on;",
     ["X-Forwarded-For: 010.001.002.003, 001.002.003.040, 10.09.8.7:80"], "1.2.3.40"),
    ("set_real_ip_from 127.0.0.0/8;", ["X-Real-IP: ::ffff:01.2.3.4"], "::ffff:1.2.3.4"),
    ("set_real_ip_from 127.0.0.0/8;", ["X-Real-IP: 0256.2.3.4"], "127.0.0.1"),
    ("set_real_ip_from 127.0.0.0/8;", ["X-Real-IP: 0x1.2.3.4"], "127.0.0.1"),
    # an empty element is none, wherever it stands
    ("set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;", ["X-Forwarded-For: ,1.2.3.4"], "1.2.3.4"),
]


@pytest.mark.directive("real_ip_recursive")
@pytest.mark.parametrize("settings,headers,client", CASES)
def test_real_ip(weir, settings, headers, client):
    weir.start(config(settings + SHOW))
    with weir.connect() as c:
        c.send(("GET / HTTP/1.1\r\nHost: x\r\n" + "".join(h + "\r\n" for h in headers) + "\r\n").encode())
        fields = c.response().text.strip().split("|")
    assert fields[0] == client and fields[2] == "127.0.0.1"


@pytest.mark.directive("set_real_ip_from")
def test_real_ip_does_not_outlive_its_request(weir):
    weir.start(config("set_real_ip_from 127.0.0.1;" + SHOW))
    with weir.connect() as c:
        assert c.get("/", headers=[("X-Real-IP", "10.0.0.1")]).text.startswith("10.0.0.1|")
        assert c.get("/").text.startswith("127.0.0.1|")


@pytest.mark.directive("set_real_ip_from")
def test_real_ip_in_the_log_and_at_the_upstream(weir, backend):
    up = backend()
    weir.start(config(f"set_real_ip_from 127.0.0.1; location / {{ proxy_pass http://{up.address};"
                      "proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For "
                      "$proxy_add_x_forwarded_for; access_log logs/a.log combined; }"))
    assert weir.get(headers=[("X-Real-IP", "10.7.7.7")]).status == 200
    assert up.call.header("X-Real-IP") == "10.7.7.7" and up.call.header("X-Forwarded-For") == "10.7.7.7"
    wait_until(lambda: "10.7.7.7 - -" in (weir.tmp / "logs/a.log").read_text(), 3, "the line of the log")


WRONG = {
    "set_real_ip_from nonsense;": 'invalid parameter "nonsense" of "set_real_ip_from"',
    "set_real_ip_from 1.2.3.4/33;": 'invalid parameter "1.2.3.4/33" of "set_real_ip_from"',
    "set_real_ip_from 1.2.3.4/;": 'invalid parameter "1.2.3.4/" of "set_real_ip_from"',
    "real_ip_recursive maybe;": value("real_ip_recursive", "maybe", FLAG),
    "set_real_ip_from;": arguments("set_real_ip_from", "exactly 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(SHOW, server=wrong), wrong).startswith(WRONG[wrong])


@pytest.mark.parametrize("version", ["on", "v2"])
def test_header_to_the_upstream_is_read_by_weir_itself(weir, version):
    """What is written is what is read: through one server to another."""
    text = config("location / { proxy_pass http://unix:{tmp}/inner.sock:/; proxy_protocol " + version + "; }",
                  http="server { listen unix:{tmp}/inner.sock proxy_protocol; " + SHOW + " }")
    weir.start(text)
    with weir.connect() as c:
        port = str(c.socket.getsockname()[1])
        fields = c.get("/").text.strip().split("|")
        again = c.get("/").text.strip().split("|")
    assert fields[3:7] == ["127.0.0.1", port, "127.0.0.1", str(weir.port)] and again[3] == "127.0.0.1"
