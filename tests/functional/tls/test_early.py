"""What a client gets or sends before the handshake's end: early data; and the handshake's own time."""

import subprocess

import pytest
from tlslib import SAYS, V12, V13, connect, s_client, says, serve
from weirlib import ROOT, Connection, config, limit, wait_until

EARLY = SAYS + 'location /early { return 200 "[$ssl_early_data]\\n"; }'


@pytest.mark.directive("ssl_early_data")
@pytest.mark.parametrize("switch, wanted", [("on", "[1]"), ("off", "[]")])
def test_early_data(weir, authority, tmp_path, switch, wanted):
    """A request in the first words is answered; it is told that it may be a repetition, and the next one that it is none."""
    serve(weir, authority, EARLY, server=f"ssl_early_data {switch};")
    session, request = tmp_path / "session", "GET /early HTTP/1.1\r\nHost: localhost\r\n{}\r\n"
    s_client(weir, "-tls1_3", "-sess_out", session, "-ign_eof", text=request.format("Connection: close\r\n"))
    first = tmp_path / "request"
    first.write_bytes(request.format("").encode())
    early = ["-early_data", first] if switch == "on" else []
    said = s_client(weir, "-tls1_3", "-sess_in", session, *early, "-ign_eof",
                    text=request.format("Connection: close\r\n").replace("/early", "/early"))
    assert "Reused" in said
    if switch == "on":
        assert "Early data was accepted" in said
        assert said.count("[1]") == 1 and said.count("[]") == 1
        assert said.index("[1]") < said.index("[]")
    else:
        assert said.count(wanted) == 1


@pytest.mark.parametrize("default, other", [("on", "off"), ("off", "on")])
def test_servers_of_one_address(weir, authority, tmp_path, default, other):
    """The default server's directive decides, and one that the name leads to may still refuse: its clients are served all the same."""
    http = f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name a.test; {authority.lines()} ssl_early_data {other}; {EARLY} }}"
    serve(weir, authority, EARLY, server=f"ssl_early_data {default};", http=http)
    session, first = tmp_path / "session", tmp_path / "request"
    text = "GET /early HTTP/1.1\r\nHost: a.test\r\n{}\r\n"
    first.write_text(text.format(""))
    s_client(weir, "-tls1_3", "-sess_out", session, "-ign_eof", text=text.format("Connection: close\r\n"), name="a.test")
    early = ["-early_data", first] if other == "on" else []
    said = s_client(weir, "-tls1_3", "-sess_in", session, *early, "-ign_eof", text=text.format("Connection: close\r\n"), name="a.test")
    assert "Reused" in said and "Early data was accepted" not in said
    assert said.count("[]") == 1 and "[1]" not in said


@pytest.mark.directive("ssl_early_data")
def test_clients_without_early_data(weir, authority):
    """Nothing changes for them, nor for bodies that come behind."""
    serve(weir, authority, EARLY, server="ssl_early_data on;")
    for _ in range(3):
        with connect(weir, authority.client()) as connection:
            assert connection.get("/early").text == "[]\n"
            body = b"x" * 300_000
            connection.request("/echo", "POST", body=body)
            assert connection.response().body == body


@pytest.mark.directive("ssl_handshake_timeout")
def test_time_of_the_handshake(weir, authority):
    """It is apart from that of the head, which begins once the handshake is over."""
    weir.start(config(SAYS, server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()} ssl_handshake_timeout 500ms; client_header_timeout 3s;"))
    with Connection(weir.port2) as slow, connect(weir, authority.client()) as shaken:
        slow.send(b"\x16\x03\x01")
        assert slow.closed_within(2.5) is not None
        shaken.send("GET /says HTTP/1.1\r\n")
        wait_until(lambda: weir.status()["tls"]["handshakes"]["timeout"] == 1, 3, "the count")
        shaken.send("Host: localhost\r\n\r\n")
        assert shaken.response().status == 200


@pytest.mark.directive("ssl_early_data")
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("default, named", [("on", "off"), ("off", "on"), ("on", "on")])
def test_early_data_of_one_server_of_an_address(weir, authority, version, default, named):
    """Which server it is the hello says: the handshake goes on as it was begun, and clients of both are served."""
    other = "server { listen 127.0.0.1:{port2} ssl; server_name a.test; %s ssl_early_data %s; %s }" % (authority.lines(), named, SAYS)
    serve(weir, authority, server=f"ssl_early_data {default};", http=other)
    for name in ("localhost", "a.test"):
        for _ in range(3):
            assert says(weir, authority.client(version), name)[4] == name


# ---- clients that go, or lie ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def early(tmp_path_factory):
    """Runs the client of early.c: how many connections it made, the length of its first flight, and how much came back."""
    program = tmp_path_factory.mktemp("early") / "early"
    subprocess.run(["cc", "-std=gnu17", "-O1", ROOT / "tests/functional/lib/early.c", "-o", program, "-lssl", "-lcrypto"], check=True)

    def run(weir, *args):
        said = subprocess.run([program, str(weir.port2), *map(str, args)], capture_output=True, text=True, check=False, timeout=limit(20))
        assert said.returncode == 0, said.stderr
        return map(int, said.stdout.split())
    return run


def wait_ends(weir, holds):
    """Handshakes by how they ended, once that holds for them, and no connection is left."""
    def ends():
        status = weir.status()
        found = {how: count for how, count in status["tls"]["handshakes"].items() if count}
        return found if status["connections"]["active"] == 1 and holds(found) else None
    return wait_until(ends, 10, f"the ends of handshakes: {weir.status()['tls']['handshakes']}")


def test_every_cut_of_early_data(weir, authority, early):
    """The client goes within its hello, or within the request behind it."""
    serve(weir, authority, server="ssl_early_data on;")
    cuts, length, _ = early(weir, "cut")
    assert cuts == length - 1 > 400
    wait_ends(weir, lambda ends: ends == {"full": 1, "left": cuts})
    assert says(weir, authority.client())[0] == "https"


def test_garbage_in_early_data(weir, authority, early):
    """Each byte of the hello and of the request wrong once."""
    serve(weir, authority, server="ssl_early_data on; ssl_handshake_timeout 500ms;")
    tried, *_ = early(weir, "flip")
    wait_ends(weir, lambda ends: ends["full"] == 1 and sum(ends.values()) == tried + 1)
    assert says(weir, authority.client())[0] == "https"


def test_a_stop_after_early_data(weir, authority, early):
    """The request is answered; the handshake is not over by that, and time ends it: by now the one of a connection that waits."""
    serve(weir, authority, server="ssl_early_data on; ssl_handshake_timeout 1s; client_header_timeout 2s; keepalive_timeout 2s;")
    *_, heard = early(weir, "stop")
    assert heard > 300
    wait_ends(weir, lambda ends: ends == {"full": 1, "timeout": 1})


def test_more_early_data_than_allowed(weir, authority, early):
    """It ends the connection, whatever of it has been answered."""
    serve(weir, authority, server="ssl_early_data on;")
    _, length, _ = early(weir, "much", 300_000)
    assert length > 300_000
    wait_ends(weir, lambda ends: ends == {"full": 1, "failed": 1})
    assert says(weir, authority.client())[0] == "https"
