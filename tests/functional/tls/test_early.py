"""What a client gets or sends before the handshake's end: early data; and the handshake's own time."""

import pytest
from tlslib import SAYS, V12, V13, connect, s_client, says, serve
from weirlib import Connection, config, wait_until

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
