"""Upstreams that are spoken to in TLS: whom the server takes for them, what it shows itself, and what is kept."""

import base64
import re
import shutil
import ssl
import threading

import pytest
from certificates import openssl
from proxylib import CHUNKS, Backend, answer, backend  # noqa: F401
from tlslib import SAYS, V12, V13
from weirlib import config, fetch, wait_until

pytestmark = pytest.mark.needs("localhost")
BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])


def start(weir, to, more="", host="localhost", uri="", http="", **parts):
    weir.expect_log("the upstream's certificate is not looked at")
    target = to if isinstance(to, str) else f"{host}:{to.port}"
    weir.start(config(f"location / {{ proxy_pass https://{target}{uri}; {more} }}", http=http, **parts))


def verified(authority, more=""):
    return f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {authority.path('ca.pem')}; {more}"


@BOTH
@pytest.mark.directive("proxy_pass", "proxy_ssl_verify", "proxy_ssl_trusted_certificate")
def test_passes_on(weir, authority, backend, version):
    """Requests and answers of all sizes, to a server that is who it says."""
    to = backend(lambda call: answer(call.body[::-1] or b"hello"), tls=authority.server(version=version))
    start(weir, to, verified(authority, "client_max_body_size 9m;"))
    assert weir.get("/x").body == b"hello"
    assert to.call.header("Host") == f"localhost:{to.port}"
    for size in (1, 16384, 16385, 3_000_000):
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        assert weir.get("/", method="POST", body=body).body == body[::-1]
    assert "SSL" not in weir.error_log


@BOTH
@pytest.mark.directive("proxy_ssl_session_reuse")
@pytest.mark.parametrize("reuse", ["on", "off"])
def test_sessions(weir, authority, backend, version, reuse):
    """A new connection takes the last one's session up."""
    to = backend(lambda call: answer(str(call.peer.socket.session_reused).encode(), "Connection: close"), tls=authority.server(version=version))
    start(weir, to, verified(authority, f"proxy_ssl_session_reuse {reuse};"))
    assert [weir.get("/").text for _ in range(4)][1:] == [str(reuse == "on")] * 3


def test_connections_are_kept(weir, authority, backend):
    """One for many requests, also where tickets come late; one is not used for another name."""
    to = backend(tls=authority.server(version=V13))
    weir.expect_log("not looked at")
    weir.start(config(f"""
        location /a {{ proxy_pass https://up; }}
        location /b {{ proxy_pass https://up; proxy_ssl_name other; }}
        location /plain {{ proxy_pass http://up; }}""",
                      http=f"upstream up {{ server {to.address}; keepalive 4; }}"))
    for _ in range(5):
        assert weir.get("/a").status == 200
    assert to.accepts == 1
    assert weir.get("/b").status == 200
    assert to.accepts == 2
    assert weir.get("/plain").status == 502
    assert weir.get("/a").status == 200
    assert to.accepts == 3
    weir.wait_log("prematurely closed|reset by peer")


@pytest.mark.directive("proxy_ssl_name", "proxy_ssl_server_name")
def test_names(weir, authority, backend):
    """The certificate must have the name; servers are told it only if that is wanted, and addresses never."""
    asked = []
    context = authority.server()
    context.sni_callback = lambda _, name, __: asked.append(name)
    to = backend(lambda _: answer(b"", "Connection: close"), tls=context)
    weir.start(config(f"""
        location /right {{ proxy_pass https://127.0.0.1:{to.port}; {verified(authority)} proxy_ssl_name a.test; }}
        location /told {{ proxy_pass https://127.0.0.1:{to.port}; {verified(authority)} proxy_ssl_name $arg_name:77; proxy_ssl_server_name on; }}
        location /wrong {{ proxy_pass https://127.0.0.1:{to.port}; {verified(authority)} proxy_ssl_name b.test; }}
        location /address {{ proxy_pass https://127.0.0.1:{to.port}; {verified(authority)} proxy_ssl_server_name on; }}"""))
    assert weir.get("/right").status == 200
    assert weir.get("/told?name=a.test").status == 200
    assert weir.get("/wrong").status == 502
    weir.wait_log('upstream SSL certificate does not match "b.test" while SSL handshaking to upstream')
    assert weir.get("/address").status == 502
    weir.wait_log('does not match "127.0.0.1" while SSL handshaking')
    assert asked == [None, "a.test", None, None]


@pytest.mark.directive("proxy_ssl_verify")
def test_an_unknown_authority(weir, authority, backend, tmp_path):
    """Nothing of the request goes to a server that cannot be trusted; without proxy_ssl_verify -t warns, and it does."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", tmp_path / "own.key",
            "-out", tmp_path / "own.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    to = backend(tls=context)
    start(weir, to, verified(authority))
    assert weir.get("/secret").status == 502
    weir.wait_log(r"upstream SSL certificate verify error: \(18:self-signed certificate\) while SSL handshaking to upstream")
    assert not to.calls
    trusting = weir.conf.read_text().replace("proxy_ssl_verify on", "proxy_ssl_verify off")
    weir.reload(trusting)
    wait_until(lambda: weir.get("/").status == 200, 5, "the new workers")
    assert "the upstream's certificate is not looked at" in weir.error_log


@pytest.mark.directive("proxy_ssl_crl")
def test_revoked(weir, authority, backend):
    """As for clients: one that its authority has taken back is refused."""
    authority.certificate("gone", ["localhost"])
    crl = authority.revoke("gone")
    bad, good = backend(tls=authority.server("gone")), backend(tls=authority.server())
    rules = verified(authority, f"proxy_ssl_crl {crl};")
    weir.start(config(f"location /bad {{ proxy_pass https://localhost:{bad.port}; {rules} }}"
                      f"location /good {{ proxy_pass https://localhost:{good.port}; {rules} }}"))
    assert weir.get("/bad").status == 502
    weir.wait_log(r"verify error: \(23:certificate revoked\)")
    assert weir.get("/good").status == 200


@pytest.mark.directive("proxy_ssl_verify_depth")
def test_depth(weir, authority, backend):
    to = backend(tls=authority.server())
    start(weir, to, verified(authority, "proxy_ssl_verify_depth 0;"))
    assert weir.get("/").status in (200, 502)  # one authority, and nothing between
    weir.reload(weir.conf.read_text().replace("verify_depth 0", "verify_depth 3"))
    wait_until(lambda: weir.get("/").status == 200, 5, "the new workers")


@pytest.mark.directive("proxy_ssl_certificate", "proxy_ssl_certificate_key", "proxy_ssl_password_file")
def test_our_own_certificate(weir, authority, backend):
    """Upstreams that want one are shown it; its key may have a phrase."""
    authority.certificate("front", password="word")
    authority.path("word").write_text("word\n")
    context = authority.server(version=V12, clients=True)
    to = backend(lambda call: answer(dict(x[0] for x in call.peer.socket.getpeercert()["subject"])["commonName"].encode()), tls=context)
    own = f"proxy_ssl_certificate {authority.path('front.pem')}; proxy_ssl_certificate_key {authority.path('front.key')}; proxy_ssl_password_file {authority.path('word')};"
    weir.expect_log("not looked at")
    weir.start(config(f"location /with {{ proxy_pass https://localhost:{to.port}; {own} }} location /without {{ proxy_pass https://localhost:{to.port}; }}"))
    assert weir.get("/with").text == "front"
    assert weir.get("/without").status == 502
    weir.wait_log(r"SSL_do_handshake\(\) failed \(SSL: .*\) while SSL handshaking to upstream")


@pytest.mark.directive("proxy_ssl_protocols", "proxy_ssl_ciphers", "proxy_ssl_conf_command")
def test_what_is_negotiated(weir, authority, backend):
    to = backend(lambda call: answer(call.peer.socket.cipher()[0].encode()), tls=authority.server())
    weir.expect_log("not looked at")
    weir.start(config(f"""
        location /old {{ proxy_pass https://localhost:{to.port}; proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256; }}
        location /new {{ proxy_pass https://localhost:{to.port}; proxy_ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256; }}"""))
    assert weir.get("/old").text == "ECDHE-ECDSA-AES128-GCM-SHA256"
    assert weir.get("/new").text == "TLS_CHACHA20_POLY1305_SHA256"


def test_an_answer_before_the_handshake(weir, backend):
    """What somebody on the way says in plain text is no answer (CVE-2026-1642)."""
    to = backend(script=lambda peer: (peer.send(answer(b"forged")), peer.wait_gone()))
    start(weir, to)
    found = weir.get("/")
    assert found.status == 502 and b"forged" not in found.body
    weir.wait_log(r"SSL_do_handshake\(\) failed \(SSL: .*\) while SSL handshaking to upstream")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x03\x00\x40", b"\x15\x03\x03\x00\x02\x02\x28"])
def test_servers_that_break_off(weir, authority, backend, said):
    """Another one is asked, and nothing waits for ever."""
    bad = backend(script=lambda peer: (peer.receive(), peer.send(said), peer.close()))
    good = backend(tls=authority.server())
    start(weir, "up", http=f"upstream up {{ server {bad.address}; server {good.address}; }}", more="proxy_ssl_session_reuse on;")
    for _ in range(4):
        assert weir.get("/").status == 200
    weir.wait_log("while SSL handshaking to upstream")


def test_a_server_that_is_silent(weir, authority, backend):
    """proxy_connect_timeout is also the handshake's."""
    to = backend(script=lambda peer: peer.wait_gone())
    start(weir, to, "proxy_connect_timeout 300ms;")
    assert weir.get("/").status == 504
    weir.wait_log(r"upstream timed out \(110: Connection timed out\) while SSL handshaking to upstream")


def test_a_target_with_variables(weir, authority, backend):
    """The text says whether it is https, and the port is 443 unless it says so."""
    secure, plain = backend(tls=authority.server()), backend()
    weir.start(config(f"location / {{ proxy_pass $arg_to; {verified(authority)} add_header X-Port $proxy_port always; }}"))
    assert weir.get(f"/?to=https://localhost:{secure.port}/x").status == 200
    assert weir.get(f"/?to=http://127.0.0.1:{plain.port}/x").status == 200
    found = weir.get("/?to=https://127.0.0.1/")
    assert found.status == 502 and found.header("X-Port") == "443"
    weir.wait_log(r"connect\(\).*127.0.0.1:443|upstream: \"https://127.0.0.1:443")


def test_redirects_and_the_log_say_https(weir, authority, backend):
    to = backend(lambda call: answer(b"", f"Location: https://localhost:{to.port}/there", status="302 Found"), tls=authority.server())
    start(weir, to, verified(authority), uri="/")
    assert weir.get("/").header("Location").endswith(f"{weir.port}/there")


def test_streams_and_tunnels(weir, authority, backend):
    """A body as it comes, an answer in chunks, and bytes both ways after an upgrade."""
    def script(peer):
        call = peer.call(body=False)
        if call.header("Upgrade"):
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
            while True:
                peer.receive()
                peer.send(peer.unread)
                peer.unread = b""
        peer.send(CHUNKS + b"5\r\nhello\r\n0\r\n\r\n")
    to = backend(script=script, tls=authority.server())
    start(weir, to, verified(authority, "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;"))
    assert weir.get("/").body == b"hello"
    with weir.connect() as tunnel:
        tunnel.request("/", headers=[("Upgrade", "echo"), ("Connection", "upgrade")])
        head = tunnel.socket.recv(4096)
        assert b"101" in head
        for size in (1, 20000, 200000):
            data = b"y" * size
            sender = threading.Thread(target=tunnel.socket.sendall, args=[data])
            sender.start()
            received = b""
            while len(received) < size:
                received += tunnel.socket.recv(65536)
            sender.join()
            assert received == data


def test_the_proxy_protocol_is_in_front(weir, authority, backend):
    """Its header is in plain text, before the handshake."""
    heads = []

    def script(peer):
        head = b""
        while not head.endswith(b"\r\n"):
            head += peer.socket.recv(1)
        heads.append(head)
        peer.socket = context.wrap_socket(peer.socket, server_side=True)
        peer.call()
        peer.send(answer(b"ok"))
    context = authority.server()
    to = backend(script=script)
    start(weir, to, verified(authority, "proxy_protocol on;"))
    assert weir.get("/").body == b"ok"
    assert heads[0].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")


def test_health_checks(weir, authority, backend):
    """They speak TLS where requests do, by the same rules."""
    good, plain = backend(tls=authority.server()), backend()
    weir.expect_log("is unhealthy")
    start(weir, "up", verified(authority, "proxy_ssl_name localhost;"),
          http=f"upstream up {{ server {good.address}; server {plain.address}; health_check interval=100ms timeout=500ms fails=1; }}")
    weir.wait_log(rf'server {plain.address} of upstream "up" is unhealthy: (the TLS handshake with it failed|it did not answer in time)')
    for _ in range(6):
        assert weir.get("/").status == 200
    assert f'server {good.address} of upstream "up" is healthy' in weir.error_log and good.refused == []


def test_health_checks_of_both_kinds(weir, authority, backend):
    """An upstream that is passed to in both ways is checked as http, and the log says so."""
    plain = backend()
    weir.expect_log("passed to by https and by http|handshake|not looked at")
    weir.start(config("location /plain { proxy_pass http://up; } location /tls { proxy_pass https://up; }",
                      http=f"upstream up {{ server {plain.address}; health_check interval=100ms fails=1; }}"))
    weir.wait_log('upstream "up" is passed to by https and by http; its health checks are http')
    wait_until(lambda: len(plain.calls) >= 3, 5, "checks")
    assert weir.get("/plain").status == 200


def test_behind_and_in_front(weir, authority):
    """A server of ours as the upstream of another."""
    weir.start(config(SAYS + f"location /front {{ proxy_pass https://localhost:{{port2}}/says; {verified(authority)} }}",
                      server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()}"))
    for _ in range(3):
        assert fetch(weir.port, "/front").text.split("|")[:2] == ["https", "TLSv1.3"]


def test_names_that_are_none(weir, authority, backend):
    """A variable may say anything: what no name can be is refused before a server is asked."""
    to = backend(tls=authority.server())
    weir.expect_log("not looked at")
    weir.start(config(f"location / {{ proxy_pass https://localhost:{to.port}; proxy_ssl_name $remote_user; proxy_ssl_server_name on; }}"))
    for user, status in ((b"a.test", 200), (b"a\0" + b"b" * 3000, 502), (b"n" * 255, 200), (b"n" * 256, 502)):
        token = base64.b64encode(user + b":x").decode()
        assert weir.get("/", headers=[("Authorization", f"Basic {token}")]).status == status, user
    weir.wait_log('invalid name of 3002 bytes in "proxy_ssl_name"')
    assert to.accepts <= 2


def test_http_and_https_to_one_host(weir, authority):
    """They are two servers: the port is the scheme's, whichever is named first, also by variables."""
    weir.expect_log("not looked at|connect")
    weir.start(config("""
        location /a { proxy_pass http://127.0.0.1; add_header X-Port $proxy_port always; }
        location /b { proxy_pass https://127.0.0.1; add_header X-Port $proxy_port always; }
        location /c { proxy_pass $arg_to; }"""))
    for path in ("/a", "/b", "/c?to=http://127.0.0.1/a", "/c?to=https://127.0.0.1/b"):
        weir.get(path)
    for port, path in (("80", "/a"), ("443", "/b")):
        scheme = "http" if port == "80" else "https"
        assert len(re.findall(rf'upstream: "{scheme}://127.0.0.1:{port}{path}"', weir.error_log)) == 2, weir.error_log


def test_a_server_that_has_been_mended(weir, authority, backend, tmp_path):
    """TLS 1.2: a session with a server that was not the right one is not taken up, so its verdict is not repeated."""
    weir.expect_log("verify error|has changed")
    copy = lambda name: [shutil.copy(tmp_path / f"{name}.{kind}" if name == "own" else authority.path(f"{name}.{kind}"), tmp_path / f"cert.{kind}")
                         for kind in ("key", "pem")]
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", tmp_path / "own.key",
            "-out", tmp_path / "own.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    copy("own")
    weir.start(config(f"location / {{ proxy_pass https://localhost:{{port2}}/there; {verified(authority, 'proxy_ssl_protocols TLSv1.2;')} }}",
                      http="server { listen 127.0.0.1:{port2} ssl; ssl_certificate %s/cert.pem; ssl_certificate_key %s/cert.key; location / { return 200 there; } }" % (tmp_path, tmp_path)))
    assert weir.get("/").status == 502
    copy("localhost")
    wait_until(lambda: weir.get("/").status == 200, 10, "the right certificate")
