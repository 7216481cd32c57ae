"""A server that speaks TLS: what is negotiated, by which certificate, and what is refused."""

import os
import re
import signal
import socket
import ssl
import urllib.parse

import pytest
from certificates import Authority, openssl
from tlslib import SAYS, V12, V13, connect, refused, resumes, says, serve
from weirlib import IS_ROOT, Connection, config, let_pass, take_time, wait_until

@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.directive("ssl_certificate", "ssl_certificate_key", "ssl_protocols")
def test_versions(weir, authority):
    """TLS 1.2 and 1.3 by default; the same port's plain neighbour is as it was."""
    serve(weir, authority)
    assert says(weir, authority.client(V12))[:4] == ["https", "TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "X25519"]
    assert says(weir, authority.client(V13))[:4] == ["https", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "X25519"]
    assert weir.get("/says").text == "http||||||"
    old = authority.client(trusts=False)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    assert "PROTOCOL_VERSION" in refused(weir, old).upper().replace(" ", "_")


@pytest.mark.directive("ssl_protocols")
def test_one_version(weir, authority):
    serve(weir, authority, server="ssl_protocols TLSv1.2;")
    assert says(weir, authority.client())[1] == "TLSv1.2"
    assert "PROTOCOL_VERSION" in refused(weir, authority.client(V13))


@pytest.mark.directive("ssl_ciphers", "ssl_prefer_server_ciphers")
def test_ciphers(weir, authority):
    ours = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"
    serve(weir, authority, server=f"ssl_ciphers {ours}; ssl_prefer_server_ciphers on;")
    client = authority.client(V12)
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305")
    assert says(weir, client)[2] == "ECDHE-ECDSA-CHACHA20-POLY1305"
    weir.reload(weir.conf.read_text().replace("ssl_prefer_server_ciphers on", "ssl_prefer_server_ciphers off"))
    wait_until(lambda: says(weir, client)[2] == "ECDHE-ECDSA-AES128-GCM-SHA256", 3, "the client's order")
    client.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    assert "HANDSHAKE_FAILURE" in refused(weir, client)


@pytest.mark.directive("ssl_ecdh_curve")
def test_curves(weir, authority):
    serve(weir, authority, server="ssl_ecdh_curve secp384r1;")
    assert says(weir, authority.client())[3] == "secp384r1"


@pytest.mark.directive("ssl_conf_command")
def test_any_command(weir, authority):
    serve(weir, authority, server="ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;")
    assert says(weir, authority.client())[2] == "TLS_CHACHA20_POLY1305_SHA256"


@pytest.mark.directive("ssl_dhparam")
def test_dh_parameters(weir, authority):
    """DHE has the parameters of the file: its prime is as long."""
    path = authority.path("dh.pem")
    openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe3072", "-out", path)
    authority.certificate("rsa", ["localhost"], "rsa")
    serve(weir, authority, server=f"ssl_dhparam {path}; ssl_ciphers DHE-RSA-AES256-GCM-SHA384;", name="rsa")
    client = authority.client(V12)
    client.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
    assert says(weir, client)[2] == "DHE-RSA-AES256-GCM-SHA384"
    told = openssl("s_client", "-connect", f"127.0.0.1:{weir.port2}", "-tls1_2", "-cipher", "DHE", text="")
    assert "Server Temp Key: DH, 3072 bits" in told


def test_both_kinds_of_certificates(weir, authority):
    """A server with RSA and ECDSA shows the one that the client can check."""
    authority.certificate("rsa", ["localhost"], "rsa")
    serve(weir, authority, server=authority.lines("rsa"))
    for cipher, kind in (("ECDHE-RSA-AES128-GCM-SHA256", "RSA"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA")):
        client = authority.client(V12)
        client.set_ciphers(cipher)
        assert kind in says(weir, client)[2]


@pytest.mark.directive("ssl_password_file")
def test_a_key_with_a_password(weir, authority):
    """Phrases are tried in turn; without the right one the error names the key."""
    authority.certificate("locked", ["localhost"], password="secret")
    phrases = authority.path("phrases")
    phrases.write_text("wrong\nsecret\n")
    serve(weir, authority, server=f"ssl_password_file {phrases};", name="locked")
    assert says(weir, authority.client())[0] == "https"
    phrases.write_text("wrong\n")
    [(message, _)] = weir.mistakes(weir.conf.read_text())
    assert message.startswith(f'cannot load certificate key "{authority.path("locked.key")}": bad ')


# ---- names --------------------------------------------------------------------------------------------------

NAMED = """
    server {{ listen 127.0.0.1:{{port2}} ssl; server_name b.test *.wild.test; {b} return 200 "b"; }}
    server {{ listen 127.0.0.1:{{port2}} ssl; server_name no.test; ssl_reject_handshake on; }}
    server {{ listen 127.0.0.1:{{port2}} ssl; server_name bare.test; return 200 "bare"; }}
"""


def subject(connection):
    return dict(pair for part in connection.socket.getpeercert()["subject"] for pair in part)["commonName"]


@pytest.mark.directive("ssl_reject_handshake")
def test_names(weir, authority):
    """The server is chosen by the rules of server_name; for none, and for a name that nobody has, it is the default."""
    authority.certificate("b", ["b.test", "x.wild.test"])
    serve(weir, authority, http=NAMED.format(b=authority.lines("b")))
    client = authority.client()
    client.check_hostname = False
    for name, wanted in (("b.test", "b"), ("B.TEST", "b"), ("x.wild.test", "b"), ("a.test", "localhost"),
                         ("bare.test", "localhost"), (None, "localhost")):
        with connect(weir, client, name) as connection:
            assert subject(connection) == wanted, name
    assert "UNRECOGNIZED_NAME" in refused(weir, client, "no.test")
    with connect(weir, client, "b.test") as connection:
        connection.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
        assert connection.response().text == "b"


def test_what_is_negotiated_is_the_named_servers(weir, authority):
    """Protocols and ciphers of the server that is asked for, not of the default one."""
    authority.certificate("b", ["b.test"])
    http = f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name b.test; {authority.lines('b')} ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-CHACHA20-POLY1305; {SAYS} }}"
    serve(weir, authority, server="ssl_protocols TLSv1.3;", http=http)
    client = authority.client()
    with connect(weir, client, "b.test") as connection:
        assert (connection.socket.version(), connection.socket.cipher()[0]) == ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")
    assert says(weir, client)[1] == "TLSv1.3"
    assert "PROTOCOL_VERSION" in refused(weir, authority.client(V12))
    assert "PROTOCOL_VERSION" in refused(weir, authority.client(V13), "b.test")


def test_the_default_may_refuse(weir, authority):
    """ssl_reject_handshake in the default server: only names that servers have are served, and it needs no certificate."""
    authority.certificate("b", ["b.test"])
    http = NAMED.format(b=authority.lines("b")).replace("server_name bare.test;", "server_name bare.test; " + authority.lines())
    weir.start(config(SAYS, server="listen 127.0.0.1:{port2} ssl default_server; ssl_reject_handshake on;", http=http))
    client = authority.client()
    with connect(weir, client, "b.test") as connection:
        assert subject(connection) == "b"
    for name in ("localhost", "a.test"):
        assert "UNRECOGNIZED_NAME" in refused(weir, client, name)


# ---- clients with certificates --------------------------------------------------------------------------------

@pytest.fixture
def known(authority):
    """A client's certificate by the authority; and one by an authority that nobody knows."""
    authority.certificate("client")
    stranger = authority.path("stranger")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{stranger}.key", "-out", f"{stranger}.pem", "-subj", "/CN=stranger")
    return {name: authority.client(certificate=certificate)
            for name, certificate in (("none", None), ("known", "client"), ("stranger", "stranger"))}


@pytest.mark.directive("ssl_verify_client", "ssl_client_certificate")
@pytest.mark.parametrize("verify, wanted", [
    ("off", {"none": "NONE", "known": "NONE", "stranger": "NONE"}),
    ("on", {"none": 400, "known": "SUCCESS", "stranger": 400}),
    ("optional", {"none": "NONE", "known": "SUCCESS", "stranger": 400}),
    ("optional_no_ca", {"none": "NONE", "known": "SUCCESS", "stranger": "FAILED:unable to verify the first certificate"}),
])
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_clients_certificates(weir, authority, known, verify, wanted, version):
    serve(weir, authority, server=f"ssl_verify_client {verify}; ssl_client_certificate {authority.path('ca.pem')};")
    found = {}
    for name, client in known.items():
        client.minimum_version = client.maximum_version = version
        with connect(weir, client) as connection:
            answer = connection.get("/says")
            found[name] = answer.text.split("|")[-1] if answer.status == 200 else answer.status
    assert {**wanted, "stranger": None} == {**found, "stranger": None}
    assert found["stranger"] == wanted["stranger"] or (verify == "optional_no_ca" and found["stranger"].startswith("FAILED:"))


def test_pages_for_wrong_certificates(weir, authority, known):
    """495 and 496 can have pages; clients see 400."""
    serve(weir, authority, SAYS + "error_page 495 496 =403 /why; location = /why { return 403 \"$status\"; }",
          server=f"ssl_verify_client on; ssl_client_certificate {authority.path('ca.pem')};", log="info")
    for name in ("none", "stranger"):
        with connect(weir, known[name]) as connection:
            assert connection.get("/says").status == 403
    weir.wait_log("client sent no required SSL certificate while reading client request headers")
    weir.wait_log(r"client SSL certificate verify error: \(\d+:.*\) while reading client request headers")


@pytest.mark.directive("ssl_trusted_certificate")
def test_authorities_of_which_clients_are_not_told(weir, authority, known):
    serve(weir, authority, server=f"ssl_verify_client on; ssl_trusted_certificate {authority.path('ca.pem')};")
    assert says(weir, known["known"])[-1] == "SUCCESS"
    told = openssl("s_client", "-connect", f"127.0.0.1:{weir.port2}", "-tls1_2", text="")
    assert "No client certificate CA names sent" in told


@pytest.mark.directive("ssl_verify_depth")
def test_depth(weir, authority, known):
    """An authority in between is one too many for a depth of 0, and not for 1."""
    middle, leaf = authority.path("middle"), authority.path("leaf")
    extension = authority.path("middle.ext")
    extension.write_text("basicConstraints=CA:TRUE\n")
    for name, issuer, extra in ((middle, authority.path("ca"), ["-extfile", extension]), (leaf, middle, [])):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name.name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial", *extra,
                "-out", f"{name}.pem")
    with open(f"{leaf}.pem", "a", encoding="ascii") as file:
        file.write(middle.with_suffix(".pem").read_text())
    client = authority.client(certificate="leaf")
    verify = f"ssl_verify_client on; ssl_client_certificate {authority.path('ca.pem')};"
    serve(weir, authority, server=verify + "ssl_verify_depth 0;")
    with connect(weir, client) as connection:
        assert connection.get("/says").status == 400
    weir.reload(weir.conf.read_text().replace("ssl_verify_depth 0", "ssl_verify_depth 1"))
    wait_until(lambda: connect(weir, client).get("/says").status == 200, 3, "the client to be let in")


def der(authority, name, *what):
    return openssl("x509", "-in", authority.path(f"{name}.pem"), "-noout", *what).strip()


def test_variables_of_the_clients_certificate(weir, authority, known):
    """All that nginx knows of it, as the openssl command says it."""
    names = ["s_dn", "i_dn", "s_dn_legacy", "i_dn_legacy", "serial", "fingerprint", "v_start", "v_end", "v_remain"]
    values = "".join(f"[$ssl_client_{name}]" for name in names)
    serve(weir, authority, SAYS + f"""
        location /values {{ return 200 "{values}"; }}
        location /pem {{ return 200 $ssl_client_raw_cert; }}
        location /folded {{ return 200 $ssl_client_cert; }}
        location /escaped {{ return 200 $ssl_client_escaped_cert; }}""",
          server=f"ssl_verify_client optional; ssl_client_certificate {authority.path('ca.pem')};")
    with connect(weir, authority.client(certificate="client")) as connection:
        found = re.findall(r"\[(.*?)\]", connection.get("/values").text)
        pem = authority.path("client.pem").read_text()
        assert connection.get("/pem").text == pem
        assert connection.get("/folded").text == pem[:-1].replace("\n", "\n\t")
        assert connection.get("/escaped").text == urllib.parse.quote(pem, safe="")
    assert found[0] == der(authority, "client", "-subject", "-nameopt", "RFC2253").removeprefix("subject=")
    assert found[1] == der(authority, "client", "-issuer", "-nameopt", "RFC2253").removeprefix("issuer=")
    assert found[2] == "/O=Tests/CN=client" and found[3] == "/O=Tests/CN=authority"
    assert found[4] == der(authority, "client", "-serial").removeprefix("serial=")
    assert found[5] == der(authority, "client", "-fingerprint", "-sha1").split("=")[1].replace(":", "").lower()
    assert found[6] == der(authority, "client", "-startdate").removeprefix("notBefore=")
    assert found[7] == der(authority, "client", "-enddate").removeprefix("notAfter=")
    assert found[8] in ("29", "30")
    with connect(weir, authority.client()) as connection:
        assert connection.get("/values").text == "[]" * len(names)
    assert weir.get("/values").text == "[]" * len(names)


def test_variables_of_the_hello(weir, authority):
    """What the client has offered, and the protocol of what is inside; one that is none of ours is refused (RFC 7301)."""
    serve(weir, authority, SAYS + 'location /offers { return 200 "$ssl_ciphers|$ssl_curves|$ssl_alpn_protocol"; }')
    client = authority.client(V12)
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
    client.set_alpn_protocols(["h2", "http/1.1"])
    with connect(weir, client) as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
        ciphers, curves, inner = connection.get("/offers").text.split("|")
    assert ciphers.split(":")[:2] == ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]
    assert curves.split(":")[:2] == ["X25519", "prime256v1"] and inner == "http/1.1"
    with connect(weir, authority.client()) as connection:
        assert connection.get("/offers").text.endswith("|")
    client.set_alpn_protocols(["h2"])
    assert "no application protocol" in refused(weir, client).lower().replace("_", " ")


@pytest.mark.directive("ssl_crl")
def test_revoked(weir, authority, known):
    config_file, index = authority.path("ca.cnf"), authority.path("index.txt")
    index.touch()
    config_file.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={index}\ndefault_md=sha256\ndefault_crl_days=30\n")
    authority_files = ["-config", config_file, "-cert", authority.path("ca.pem"), "-keyfile", authority.path("ca.key")]
    openssl("ca", *authority_files, "-revoke", authority.path("client.pem"))
    openssl("ca", *authority_files, "-gencrl", "-out", authority.path("crl.pem"))
    authority.certificate("other")
    serve(weir, authority, server=f"ssl_verify_client on; ssl_client_certificate {authority.path('ca.pem')}; ssl_crl {authority.path('crl.pem')};", log="info")
    with connect(weir, known["known"]) as connection:
        assert connection.get("/says").status == 400
    weir.wait_log(r"verify error: \(23:certificate revoked\)")
    assert says(weir, authority.client(certificate="other"))[-1] == "SUCCESS"


# ---- what goes over it -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 70_000, 5_000_000])
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_bodies(weir, authority, size, version):
    """What is sent comes back, and files go out whole."""
    serve(weir, authority, SAYS + "location /file { root {tmp}; }")
    body = os.urandom(size)
    (weir.tmp / "file").write_bytes(body)
    with connect(weir, authority.client(version)) as connection:
        connection.request("/echo", "POST", body=body)
        assert connection.response("POST").body == body
        assert connection.get("/file").body == body
        assert connection.get("/says").status == 200


def test_pipelined_requests(weir, authority):
    """Many in one record, and one in many."""
    serve(weir, authority)
    request = b"GET /says HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(weir, authority.client()) as connection:
        connection.send(request * 200)
        for _ in range(200):
            assert connection.response().status == 200
        for byte in request:
            connection.send(bytes([byte]))
        assert connection.response().status == 200


@pytest.mark.directive("ssl_buffer_size")
def test_size_of_records(weir, authority):
    """No record has more plain text than that: each read of the client's library gives one."""
    serve(weir, authority, SAYS + "location /file { root {tmp}; }", server="ssl_buffer_size 2k;")
    (weir.tmp / "file").write_bytes(b"x" * 100_000)
    with connect(weir, authority.client()) as connection:
        connection.request("/file")
        sizes, left = [], 100_000
        while left > 0:
            sizes.append(len(connection.socket.recv(1 << 16)))
            left -= sizes[-1]
        assert max(sizes) == 2048


def test_slow_reader(weir, authority):
    """Records that the socket takes in part are finished; all of the answer comes."""
    serve(weir, authority, SAYS + "location /file { root {tmp}; }")
    body = os.urandom(20_000_000)
    (weir.tmp / "file").write_bytes(body)
    with connect(weir, authority.client(), timeout=30) as connection:
        connection.request("/file")
        for _ in range(5):
            take_time(0.1)
            connection.socket.recv(1)
        connection.request("/says")
    with connect(weir, authority.client(), timeout=30) as connection:
        connection.request("/file")
        take_time(0.3)
        assert connection.response().body == body


def test_upstream_behind_tls(weir, authority):
    """A streamed request and its answer pass through a proxied location as over plain TCP."""
    serve(weir, authority, SAYS + "location /up { proxy_pass http://127.0.0.1:{port}/echo; proxy_request_buffering off; client_max_body_size 100m; }")
    body = os.urandom(3_000_000)
    with connect(weir, authority.client(), timeout=30) as connection:
        connection.request("/up", "POST", body=body)
        assert connection.response("POST").body == body


def test_redirects_are_to_https(weir, authority):
    serve(weir, authority)
    with connect(weir, authority.client()) as connection:
        assert connection.get("/moved").header("Location") == f"https://localhost:{weir.port2}/there"
    assert weir.get("/moved").header("Location") == f"http://localhost:{weir.port}/there"


def test_goodbye(weir, authority):
    """The end of a connection is said (RFC 8446, 6.1): the client sees an end, no truncation."""
    serve(weir, authority)
    with connect(weir, authority.client()) as connection:
        connection.socket.suppress_ragged_eofs = False
        connection.request("/says", headers=[("Connection", "close")])
        assert connection.until_close().startswith(b"HTTP/1.1 200")


# ---- what is no handshake ---------------------------------------------------------------------------------------

def test_plain_text(weir, authority):
    """A request in plain text has an answer in plain text, which error_page can change: 497."""
    serve(weir, authority)
    answer = weir.get("/says", port=weir.port2)
    assert answer.status == 400 and "The plain HTTP request was sent to HTTPS port" in answer.text
    weir.reload(config(SAYS, server=f"listen 127.0.0.1:{weir.port2} ssl; {authority.lines()} error_page 497 =301 https://$host:$server_port$request_uri;"))
    answer = wait_until(lambda: (a := weir.get("/says?x", port=weir.port2)).status == 301 and a, 3, "the redirect")
    assert answer.header("Location") == f"https://localhost:{weir.port2}/says?x"


@pytest.mark.parametrize("bytes_sent", [b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"\x16" + b"\xff" * 100, b"\x80" * 40, b"\x16\x03\x01\x00\x00"],
                         ids=["one byte", "a beginning", "nonsense", "ssl 2", "empty record"])
def test_garbage(weir, authority, bytes_sent):
    """It costs its own connection, whether the client closes or not."""
    serve(weir, authority, server="client_header_timeout 1s;")
    with Connection(weir.port2) as broken:
        broken.send(bytes_sent)
        assert b"HTTP" not in broken.until_close()
    assert says(weir, authority.client())[0] == "https"


def test_a_client_that_stops_within_the_handshake(weir, authority):
    """client_header_timeout is also the handshake's."""
    serve(weir, authority, server="client_header_timeout 1s;")
    with Connection(weir.port2) as silent, Connection(weir.port2) as half:
        half.send(b"\x16\x03\x01")
        assert silent.closed_within(4) is not None
        assert half.closed_within(4) is not None
    assert says(weir, authority.client())[0] == "https"


def test_failed_handshakes_are_logged(weir, authority):
    serve(weir, authority, log="info")
    client = authority.client(V12)
    client.set_ciphers("AES128-SHA")
    refused(weir, client)
    weir.wait_log(r"SSL_do_handshake\(\) failed \(SSL: .*\) while SSL handshaking")


def test_proxy_protocol_comes_first(weir, authority):
    """listen ... ssl proxy_protocol: its header is in plain text, in front of the handshake, in pieces or not."""
    weir.start(config('location = /from { return 200 "$proxy_protocol_addr $scheme"; }',
                      server="listen 127.0.0.1:{port2} ssl proxy_protocol;" + authority.lines()))
    for pieces in ([b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n"], [b"PROXY TCP4 192.0.2.7 ", b"192.0.2.1 1234 443\r\n"]):
        plain = socket.create_connection(("127.0.0.1", weir.port2), timeout=10)
        for piece in pieces:
            plain.sendall(piece)
            take_time(0.1)
        with authority.client().wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(b"GET /from HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := tls.recv(4096):
                answer += piece
            assert answer.endswith(b"192.0.2.7 https")


# ---- mistakes ---------------------------------------------------------------------------------------------------

def test_a_server_without_a_certificate_asks_by_the_default_one(weir, authority, tmp_path):
    """Who came in by another server's authorities is no client of its: 421."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    other.certificate("client")
    weir.expect_log("goes by the authorities of the address's default server")
    authority.certificate("client")
    verify = "ssl_verify_client on; ssl_client_certificate {};"
    http = (f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name x.test; {authority.lines()} {verify.format(other.path('ca.pem'))} {SAYS} }} "
            f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name y.test; ssl_verify_client on; {SAYS} }}")
    serve(weir, authority, server=verify.format(authority.path("ca.pem")), http=http)
    stranger, friend = authority.client(), authority.client(certificate="client")
    stranger.load_cert_chain(other.path("client.pem"), other.path("client.key"))
    for client, name, status in ((stranger, "x.test", 421), (friend, "y.test", 200), (friend, "localhost", 200), (stranger, "y.test", 400)):
        client.check_hostname = False
        with connect(weir, client, name) as connection:
            connection.send("GET /says HTTP/1.1\r\nHost: y.test\r\n\r\n")
            assert connection.response().status == status, (name, status)


MISTAKES = {
    "ssl_certificate {tmp}/none.pem; ssl_certificate_key {tmp}/none.key;": 'cannot load certificate "{tmp}/none.pem": No such file or directory',
    "ssl_certificate {ca}/localhost.pem; ssl_certificate_key {tmp}/none.key;": 'cannot load certificate key "{tmp}/none.key": No such file or directory',
    "ssl_certificate {ca}/localhost.pem; ssl_certificate_key {ca}/ca.key;": 'cannot load certificate key "{ca}/ca.key": key values mismatch',
    "ssl_certificate {ca}/localhost.key; ssl_certificate_key {ca}/localhost.key;": 'cannot load certificate "{ca}/localhost.key": no start line',
    "ssl_certificate {ca}/localhost.pem;": 'no "ssl_certificate_key" is defined for certificate "{ca}/localhost.pem"',
    "": 'no "ssl_certificate" is defined for the "listen ... ssl" directive',
    "{pair} ssl_ciphers NONSENSE;": 'cannot use the ciphers "NONSENSE": no cipher match',
    "{pair} ssl_ecdh_curve nonsense;": 'cannot use the curves "nonsense"',
    "{pair} ssl_conf_command Nonsense 1;": 'command "Nonsense" with the value "1" is refused: there is no such command',
    "{pair} ssl_verify_client on;": "no ssl_client_certificate for ssl_verify_client",
    "{pair} ssl_client_certificate {ca}/none;": 'cannot load the authorities of "{ca}/none"',
    "{pair} ssl_crl {ca}/none;": 'cannot load the revocation list "{ca}/none": No such file or directory',
    "{pair} ssl_dhparam {ca}/ca.pem;": 'cannot load DH parameters "{ca}/ca.pem"',
    "{pair} ssl_session_cache nonsense;": 'invalid session cache "nonsense"',
    "{pair} ssl_session_cache shared:a:31k;": 'too small a session cache "shared:a:31k"',
    "{pair} ssl_session_cache shared:a;": 'the session cache "a" has a size nowhere; write shared:a:10m',
    "{pair} ssl_session_cache shared::1m;": 'invalid session cache "shared::1m"',
    "{pair} ssl_session_cache off:1;": 'invalid session cache "off:1"',
    "{pair} ssl_session_cache builtin:x;": 'invalid session cache "builtin:x"',
    "{pair} ssl_protocols SSLv3;": 'invalid value "SSLv3"',
}


@pytest.mark.parametrize("lines", MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes(weir, authority, lines):
    """Each is named with its file or value, and with the statement's place."""
    def fill(text):
        return (text.replace("{pair}", authority.lines()).replace("{ca}", str(authority.folder)).replace("{tmp}", str(weir.tmp)))
    found = weir.mistakes(config(SAYS, server="listen 127.0.0.1:{port2} ssl; " + fill(lines)))
    assert any(fill(MISTAKES[lines]) in message for message, _ in found), found


@pytest.mark.skipif(not IS_ROOT, reason="as root")
def test_a_key_that_everybody_may_read(weir, authority):
    """A warning; and one that only root may read serves workers of another user."""
    serve(weir, authority, user="user nobody nogroup;")
    assert says(weir, authority.client())[0] == "https"
    authority.certificate("open", ["localhost"])
    authority.path("open.key").chmod(0o644)
    tested = weir.run("-t", conf=config(SAYS, server="listen 127.0.0.1:{port2} ssl; " + authority.lines("open")))
    assert tested.returncode == 0 and f'the private key "{authority.path("open.key")}" can be read by everybody' in tested.stderr


def test_new_certificates_by_reload(weir, authority):
    """SIGHUP: who connects afterwards sees the new one."""
    authority.certificate("first", ["localhost"])
    authority.certificate("second", ["localhost"])
    serve(weir, authority, name="first")
    client = authority.client()
    with connect(weir, client) as kept:
        assert subject(kept) == "first"
        weir.reload(weir.conf.read_text().replace("first", "second"))

        def sees_second():
            with connect(weir, client) as connection:
                return subject(connection) == "second"
        wait_until(sees_second, 5, "the new certificate")
