"""ssl_stapling: what the authority says of the server's certificate is asked for before anybody wants it, and goes to who does."""

import pytest
from certificates import Authority, openssl
from responder import Responder
from tlslib import s_client, says, serve
from weirlib import config, wait_until


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def responder(authority, tmp_path):
    responder = Responder(authority, tmp_path)
    yield responder
    responder.close()


def status(weir, *args):
    """"good", "none", or whatever the client was told."""
    said = s_client(weir, "-status", *args)
    if "no response sent" in said:
        return "none"
    return next(line.partition(": ")[2] for line in said.splitlines() if "Cert Status" in line)


def stapling(authority, lines=""):
    return f"ssl_stapling on; ssl_trusted_certificate {authority.path('ca.pem')}; {lines}"


@pytest.mark.directive("ssl_stapling", "ssl_stapling_responder")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_answer_of_the_authority(weir, authority, responder, version):
    """Asked by the worker's own, before the first client; one that does not ask is told nothing."""
    serve(weir, authority, server=stapling(authority, f"ssl_stapling_responder {responder.url};"))
    wait_until(lambda: status(weir, version) == "good", 10, "an answer")
    assert responder.asked == [("/ocsp", "127.0.0.1", "application/ocsp-request")]
    assert says(weir, authority.client())[0] == "https"


def test_address_of_the_responder(weir, authority, responder):
    """With all that is in it."""
    serve(weir, authority, server=stapling(authority, f"ssl_stapling_responder {responder.url}/a?b=c;"))
    wait_until(lambda: status(weir) == "good", 10, "an answer")
    assert responder.asked[0][0] == "/ocsp/a?b=c"


def test_responder_of_the_certificate(weir, authority, responder):
    """Who is named there, with the authority's certificate behind the server's."""
    authority.certificate("localhost", ["localhost"], extra=f"authorityInfoAccess=OCSP;URI:{responder.url}\n")
    chain = authority.path("localhost.pem")
    chain.write_bytes(chain.read_bytes() + authority.path("ca.pem").read_bytes())
    serve(weir, authority, server="ssl_stapling on;")
    wait_until(lambda: status(weir) == "good", 10, "an answer")


def test_servers_chosen_by_name(weir, authority, responder):
    """Each has its own answer, and another kind of certificate its own."""
    authority.certificate("other", ["a.test"], kind="rsa")
    authority.certificate("rsa", ["localhost"], kind="rsa")
    responder.certificates = ("localhost", "rsa")
    http = (f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name a.test; {authority.lines('other')} "
            f"{stapling(authority, f'ssl_stapling_responder {responder.url};')} }}")
    serve(weir, authority, http=http, server=authority.lines("rsa") + stapling(authority, f"ssl_stapling_responder {responder.url};"))
    weir.expect_log("the authority does not know the certificate")
    for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        wait_until(lambda cipher=cipher: status(weir, "-tls1_2", "-cipher", cipher) == "good", 10, cipher)
    wait_until(lambda: len(responder.asked) == 3, 10, "all three asked about")
    assert status(weir, "-servername", "a.test") == "none"


@pytest.mark.parametrize("says_it, complaint", [("revoked", "the certificate is revoked"),
                                                ("garbage", "gives an answer that is no good"),
                                                ("malformed", "malformedrequest"),
                                                ("nothing", "gives no answer"),
                                                ("about another", "it is about another certificate")])
def test_no_good_answer(weir, authority, responder, says_it, complaint):
    """Nothing is stapled, clients are served, and the log says why."""
    if says_it == "revoked":
        responder.revoked = {"localhost"}
    elif says_it == "about another":
        authority.certificate("other")
        responder.certificates = ("other",)
        openssl("ocsp", "-issuer", authority.path("ca.pem"), "-cert", authority.path("other.pem"), "-reqout", authority.path("q"), "-no_nonce")
        responder.says = responder.answer(authority.path("q").read_bytes())
    else:
        responder.says = {"garbage": b"0\x03\x02\x01\x01", "malformed": b"0\x03\x0a\x01\x01", "nothing": b""}[says_it]
    serve(weir, authority, server=stapling(authority, f"ssl_stapling_responder {responder.url};"))
    weir.expect_log(complaint)
    wait_until(lambda: complaint in weir.error_log, 10, "a complaint")
    assert status(weir) == "none"
    assert says(weir, authority.client())[0] == "https"


@pytest.mark.directive("ssl_stapling_verify")
@pytest.mark.parametrize("verifies", ["on", "off"])
def test_who_has_signed(weir, authority, responder, tmp_path, verifies):
    """With ssl_stapling_verify it must be an authority that is trusted, else whoever."""
    (tmp_path / "strange").mkdir()
    strange = Authority(tmp_path / "strange")
    answer = responder.answer

    def answer_signed_by_another(question):
        responder.authority = strange
        (strange.path("localhost.pem")).write_bytes(authority.path("localhost.pem").read_bytes())
        (strange.path("signer.pem")).write_bytes(strange.path("ca.pem").read_bytes())
        index, asked, said = (tmp_path / name for name in ("index", "question", "answer"))
        answer(question)
        openssl("ocsp", "-index", index, "-CA", authority.path("ca.pem"), "-rsigner", strange.path("ca.pem"), "-rkey", strange.path("ca.key"),
                "-reqin", asked, "-respout", said, "-ndays", "1")
        return said.read_bytes()
    responder.answer = answer_signed_by_another
    serve(weir, authority, server=stapling(authority, f"ssl_stapling_verify {verifies}; ssl_stapling_responder {responder.url};"))
    if verifies == "on":
        weir.expect_log("gives an answer that is no good")
        wait_until(lambda: "gives an answer that is no good" in weir.error_log, 10, "a complaint")
        assert status(weir) == "none"
    else:
        wait_until(lambda: status(weir) == "good", 10, "an answer")


def test_changed_certificate(weir, authority, responder):
    """The answer about the one before goes with it, and there is one about the next."""
    serve(weir, authority, server=stapling(authority, f"ssl_stapling_responder {responder.url};"))
    wait_until(lambda: status(weir) == "good", 10, "an answer")
    responder.go_on.clear()
    authority.certificate("localhost", ["localhost"])
    wait_until(lambda: len(responder.asked) == 2, 20, "another question")
    assert status(weir) == "none"
    responder.go_on.set()
    wait_until(lambda: status(weir) == "good", 10, "an answer")


def test_responder_that_hangs(weir, authority, responder):
    """It has one thread of the pool, for a time that is bounded; nobody else waits."""
    responder.go_on.clear()
    serve(weir, authority, server=stapling(authority, f"ssl_stapling_responder {responder.url};"), pool="threads=2")
    wait_until(lambda: responder.asked, 10, "a question")
    weir.expect_log("gives no answer")
    for _ in range(5):
        assert says(weir, authority.client())[0] == "https"
    wait_until(lambda: "gives no answer" in weir.error_log, 20, "the end of its time")


@pytest.mark.directive("ssl_stapling_file")
def test_answer_in_a_file(weir, authority, responder, tmp_path):
    """Nobody is asked; a file that is not there is a mistake; without ssl_stapling it is of no use, as in nginx."""
    openssl("ocsp", "-issuer", authority.path("ca.pem"), "-cert", authority.path("localhost.pem"), "-reqout", tmp_path / "q", "-no_nonce")
    (tmp_path / "file").write_bytes(responder.answer((tmp_path / "q").read_bytes()))
    serve(weir, authority, server=stapling(authority, f"ssl_stapling_file {tmp_path}/file; ssl_stapling_responder {responder.url};"))
    assert status(weir) == "good"
    [(message, _)] = weir.mistakes(weir.conf.read_text().replace(f"{tmp_path}/file", f"{tmp_path}/none"))
    assert message == f'cannot load the OCSP answer "{tmp_path}/none": No such file or directory'
    weir.reload(weir.conf.read_text().replace("ssl_stapling on", "ssl_stapling off"))
    wait_until(lambda: status(weir) == "none", 10, "nothing stapled")
    assert not responder.asked


@pytest.mark.parametrize("lines, why", [("", "its authority's certificate is not there"),
                                        ("ssl_trusted_certificate {ca};", "it names no OCSP responder"),
                                        ("ssl_trusted_certificate {ca}; ssl_stapling_responder https://a.test/;",
                                         'the OCSP responder "https://a.test/" is not one of http://')])
def test_nobody_to_ask(weir, authority, lines, why):
    """It is said at the start, and the server serves."""
    lines = lines.format(ca=authority.path("ca.pem"))
    said = weir.run("-t", conf=config(server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()} ssl_stapling on; {lines}")).stderr
    assert f'"ssl_stapling" of certificate "{authority.path("localhost.pem")}" is ignored: {why}' in said
    serve(weir, authority, server=f"ssl_stapling on; {lines}")
    assert status(weir) == "none"
    assert weir.error_log.count("is ignored") <= 1 and "[error]" not in weir.error_log
