"""ssl_ocsp: authorities are asked about clients' certificates before their handshakes count as over."""

import contextlib
import signal
import threading

import pytest
from certificates import KINDS, Authority, openssl
from responder import Responder
from tlslib import SAYS, V12, V13, connect, serve
from weirlib import config, wait_until

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
WRONG = SAYS + 'location = /wrong { return 200 "$ssl_client_verify"; } error_page 495 =200 /wrong;'


@pytest.fixture
def authority(tmp_path):
    authority = Authority(tmp_path)
    authority.certificate("client")
    return authority


@pytest.fixture
def responder(authority, tmp_path):
    responder = Responder(authority, tmp_path, ("client",))
    yield responder
    responder.close()


def checked(authority, responder, lines="ssl_ocsp on;", verify="on"):
    return f"ssl_verify_client {verify}; ssl_client_certificate {authority.path('ca.pem')}; ssl_ocsp_responder {responder.url}; {lines}"


def verdict(weir, client, **options):
    with connect(weir, client, **options) as connection:
        text = connection.get("/says").text
        return text.split("|")[-1]


@pytest.mark.directive("ssl_ocsp", "ssl_ocsp_responder")
@BOTH
@pytest.mark.parametrize("pool", ["default", "off"])
def test_what_is_found(weir, authority, responder, version, pool):
    serve(weir, authority, WRONG, server=checked(authority, responder, f"ssl_ocsp on; ssl_handshake_pool {pool};"))
    client = authority.client(version, "client")
    assert verdict(weir, client) == "SUCCESS"
    assert len(responder.asked) == 1
    responder.revoked = {"client"}
    assert verdict(weir, client) == "FAILED:certificate revoked"
    responder.certificates = ()
    assert verdict(weir, client) == "FAILED:certificate status unknown"
    responder.says = b"nonsense"
    weir.expect_log("client's certificate: the OCSP responder .* gives")
    assert verdict(weir, client) == "FAILED:certificate status request failed"
    weir.wait_log("client's certificate: the OCSP responder .* gives")


def test_nobody_to_ask(weir, authority, responder):
    """A certificate that names no responder, with none in the configuration."""
    serve(weir, authority, WRONG, server=checked(authority, responder).replace(f"ssl_ocsp_responder {responder.url};", ""))
    weir.expect_log("it names no OCSP responder")
    assert verdict(weir, authority.client(certificate="client")) == "FAILED:certificate status request failed"


@BOTH
def test_sessions_are_not_taken_up(weir, authority, responder, version):
    """What authorities are asked about has to be shown: a session has the client's certificate alone."""
    serve(weir, authority, WRONG, server=checked(authority, responder))
    client = authority.client(version, "client")
    with connect(weir, client) as connection:
        connection.get("/says")
        session = connection.socket.session
    responder.revoked = {"client"}
    with connect(weir, client, session=session) as connection:
        assert connection.get("/says").text == "FAILED:certificate revoked"
        assert not connection.socket.session_reused


def test_once_for_a_connection(weir, authority, responder):
    """And not for clients without a certificate, nor for those whose certificate is wrong anyhow."""
    serve(weir, authority, WRONG, server=checked(authority, responder, verify="optional"))
    with connect(weir, authority.client(certificate="client")) as connection:
        for _ in range(5):
            assert connection.get("/says").text.endswith("SUCCESS")
    assert len(responder.asked) == 1
    assert verdict(weir, authority.client()) == "NONE"
    (authority.folder / "strange").mkdir()
    strange = Authority(authority.folder / "strange")
    client = authority.client()
    client.load_cert_chain(strange.path("localhost.pem"), strange.path("localhost.key"))
    assert verdict(weir, client).startswith("FAILED:unable to")
    assert len(responder.asked) == 1


@pytest.mark.parametrize("depth, asked", [("on", ["/inter", "/root"]), ("leaf", ["/inter"])])
def test_certificates_between(weir, authority, responder, depth, asked):
    """With "on" each up to the known authority's, with "leaf" the client's alone."""
    base = responder.url.removesuffix("/ocsp")
    inter = authority.path("inter")
    openssl("req", *KINDS["ecdsa"], "-nodes", "-keyout", f"{inter}.key", "-out", f"{inter}.csr", "-subj", "/O=Tests/CN=inter")
    inter.with_suffix(".ext").write_text(f"basicConstraints=CA:TRUE\nauthorityInfoAccess=OCSP;URI:{base}/root\n")
    openssl("x509", "-req", "-in", f"{inter}.csr", "-CA", authority.path("ca.pem"), "-CAkey", authority.path("ca.key"), "-CAcreateserial",
            "-days", "2", "-extfile", inter.with_suffix(".ext"), "-out", f"{inter}.pem")
    below = Authority.__new__(Authority)
    below.folder = authority.folder / "below"
    below.folder.mkdir()
    for suffix in ("pem", "key"):
        below.path(f"ca.{suffix}").write_bytes(inter.with_suffix(f".{suffix}").read_bytes())
    below.certificate("client", extra=f"authorityInfoAccess=OCSP;URI:{base}/inter\n")
    chain = below.path("client.pem")
    chain.write_bytes(chain.read_bytes() + below.path("ca.pem").read_bytes())
    authorities = {"/root": (authority, ("inter",)), "/inter": (below, ("client",))}
    answer = responder.answer

    def answer_of_the_path(question):
        responder.authority, responder.certificates = authorities[responder.asked[-1][0]]
        return answer(question)
    responder.answer = answer_of_the_path
    lines = checked(authority, responder, f"ssl_ocsp {depth}; ssl_verify_depth 2;").replace(f"ssl_ocsp_responder {responder.url};", "")
    serve(weir, authority, WRONG, server=lines)
    client = authority.client()
    client.load_cert_chain(below.path("client.pem"), below.path("client.key"))
    assert verdict(weir, client) == "SUCCESS"
    assert [path for path, *_ in responder.asked] == asked
    responder.revoked = {"inter"}
    assert verdict(weir, client) == ("FAILED:certificate revoked" if depth == "on" else "SUCCESS")


@pytest.mark.directive("ssl_ocsp_cache")
@pytest.mark.parametrize("cache, asked", [("shared:a:64k", 1), ("off", 12)])
def test_answers_are_kept(weir, authority, responder, cache, asked):
    """For all workers, good ones and others, over a reload."""
    serve(weir, authority, WRONG, server=checked(authority, responder, f"ssl_ocsp on; ssl_ocsp_cache {cache};"), workers=3)
    weir.wait_workers(3)
    client = authority.client(certificate="client")
    for _ in range(11):
        assert verdict(weir, client) == "SUCCESS"
    before = weir.worker_pids()
    weir.reload(weir.conf.read_text().replace("location = /id", "location = /other_id"))
    wait_until(lambda: not weir.worker_pids() & before, 10, "new workers")
    assert verdict(weir, client) == "SUCCESS"
    assert len(responder.asked) == asked


@contextlib.contextmanager
def asked(weir, authority, responder):
    """A client that waits for what the responder will say, which it does at the end of the block."""
    responder.go_on.clear()
    before, found = len(responder.asked), []
    waits = threading.Thread(target=lambda: found.append(verdict(weir, authority.client(V13, "client"))))
    waits.start()
    wait_until(lambda: len(responder.asked) == before + 1, 10, "a question")
    yield
    assert not found
    responder.go_on.set()
    waits.join(20)
    assert found == ["SUCCESS"]


def test_nobody_else_waits(weir, authority, responder):
    serve(weir, authority, WRONG, server=checked(authority, responder, verify="optional"), pool="threads=2 max_queue=10")
    with asked(weir, authority, responder):
        assert verdict(weir, authority.client()) == "NONE"


def test_who_leaves_meanwhile(weir, authority, responder):
    serve(weir, authority, WRONG, server=checked(authority, responder), pool="threads=2 max_queue=10")
    responder.go_on.clear()
    with connect(weir, authority.client(V13, "client")):
        wait_until(lambda: responder.asked, 10, "a question")
    responder.go_on.set()
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 10, "the end of the connection")
    assert verdict(weir, authority.client(V13, "client")) == "SUCCESS"


def test_over_a_reload(weir, authority, responder):
    """The worker that has asked hears of it, and ends then."""
    serve(weir, authority, WRONG, server=checked(authority, responder), pool="threads=2 max_queue=10")
    before = weir.worker_pids()
    weir.write(weir.conf.read_text().replace("location = /id", "location = /other_id"))
    with asked(weir, authority, responder):
        weir.signal(signal.SIGHUP)
        weir.wait_log("signal 1 .SIGHUP")
    wait_until(lambda: not weir.worker_pids() & before, 10, "new workers")


def test_a_responder_that_hangs_has_half_of_the_threads(weir, authority, responder):
    """Clients that wait for it, and those that have left, keep nobody from the others."""
    serve(weir, authority, WRONG, server=checked(authority, responder, verify="optional"), pool="threads=4 max_queue=10")
    responder.go_on.clear()
    clients = [connect(weir, authority.client(V13, "client")) for _ in range(5)]
    wait_until(lambda: len(responder.asked) == 2, 10, "questions")
    clients[3].close()
    assert verdict(weir, authority.client()) == "NONE"
    assert len(responder.asked) == 2
    responder.go_on.set()
    for place in (0, 1, 2, 4):
        with clients[place] as connection:
            assert connection.get("/says").text.endswith("SUCCESS")
    assert len(responder.asked) == 4  # who has left was not asked about


@pytest.mark.parametrize("lines, message", [
    ("ssl_ocsp_cache shared:%s:1m; ssl_verify_client on; ssl_client_certificate {ca}; ssl_ocsp on;" % ("n" * 63),
     'the name of the OCSP cache "%s" is too long' % ("n" * 63)),
    ("ssl_ocsp_cache shared:a:1m; ssl_verify_client on; ssl_client_certificate {ca}; ssl_ocsp on; }} server {{ listen 127.0.0.1:{{port2}} ssl; "
     "server_name b; {pair} ssl_ocsp_cache shared:a:2m; ssl_verify_client on; ssl_client_certificate {ca}; ssl_ocsp on;",
     'the cache "shared:a:2m" has another size here: 2097152 bytes, before it was 1048576'),
    ("ssl_ocsp perhaps;", '"ssl_ocsp" directive invalid value "perhaps"; it takes off | on | leaf'),
    ("ssl_ocsp on; ssl_verify_client optional_no_ca;", '"ssl_ocsp" is incompatible with "ssl_verify_client optional_no_ca"'),
    ("ssl_ocsp_cache shared:a;", 'invalid OCSP cache "shared:a"; write off or shared:NAME:SIZE, of 32k or more'),
    ("ssl_ocsp_cache builtin;", 'invalid OCSP cache "builtin"; write off or shared:NAME:SIZE, of 32k or more')])
def test_mistakes(weir, authority, lines, message):
    conf = config(server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()} {lines.format(ca=authority.path('ca.pem'), pair=authority.lines())}")
    assert [said for said, _ in weir.mistakes(conf)] == [message]
