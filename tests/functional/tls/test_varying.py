"""Certificates with variables in their names: read when a client is there, and kept for a while."""

import pytest
from certificates import Authority
from proxylib import answer, backend  # noqa: F401
from tlslib import SAYS, V12, V13, connect, refused, resumes, s_client, says, serve
from weirlib import config, let_pass, wait_until

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])


@pytest.fixture
def authority(tmp_path):
    authority = Authority(tmp_path)
    for name in ("a.test", "b.test"):
        authority.certificate(name, [name])
    return authority


def start(weir, authority, more="", names="$ssl_server_name", **parts):
    folder = authority.folder
    server = (f"listen 127.0.0.1:{{port2}} ssl; ssl_certificate {folder}/{names}.pem; ssl_certificate_key {folder}/{names}.key; {more}")
    weir.start(config(SAYS, server=server, **parts))


def serial(weir, authority, name="a.test"):
    """Of the certificate that the server shows."""
    with connect(weir, authority.client(), name) as connection:
        connection.get("/")  # by then the handshake is over for the server, too
        return connection.socket.getpeercert()["serialNumber"]


@BOTH
@pytest.mark.parametrize("pool", ["default", "off"])
def test_by_the_name_that_is_asked_for(weir, authority, version, pool):
    start(weir, authority, f"ssl_handshake_pool {pool};")
    client = authority.client(version)
    for name in ("a.test", "b.test", "localhost", "a.test"):
        assert says(weir, client, name)[4] == name  # the client looks whether it is this name's
    assert resumes(weir, client, "b.test")


@pytest.mark.parametrize("pool", ["default", "off"])
def test_who_has_none(weir, authority, pool):
    """Is refused, and the log says which file; others are served."""
    start(weir, authority, f"ssl_handshake_pool {pool};")
    weir.expect_log("cannot load certificate")
    assert refused(weir, authority.client(), "c.test")
    weir.wait_log(f'cannot load certificate "{authority.folder}/c.test.pem": No such file or directory while SSL handshaking')
    assert says(weir, authority.client(), "a.test")[4] == "a.test"
    wait_until(lambda: weir.status()["tls"]["handshakes"]["failed"] == 1, 5, "a handshake that has failed")


@BOTH
def test_sessions_stay_with_their_server(weir, authority, version):
    """Two servers whose certificates are named in other ways are others."""
    (authority.folder / "b").mkdir()
    for suffix in ("pem", "key"):
        (authority.folder / "b" / f"a.test.{suffix}").write_bytes(authority.path(f"a.test.{suffix}").read_bytes())
        (authority.folder / "b" / f"b.test.{suffix}").write_bytes(authority.path(f"b.test.{suffix}").read_bytes())
    http = (f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name b.test; ssl_certificate {authority.folder}/b/$ssl_server_name.pem; "
            f"ssl_certificate_key {authority.folder}/b/$ssl_server_name.key; {SAYS} }}")
    start(weir, authority, "server_name a.test;", http=http)
    client = authority.client(version)
    assert resumes(weir, client, "a.test") and resumes(weir, client, "b.test")
    client.check_hostname = False
    assert not resumes(weir, client, "a.test", again="b.test")


def test_names_that_are_none(weir, authority):
    """Nobody names a file by a way to it."""
    (authority.folder / "deep").mkdir()
    start(weir, authority, names="deep/$ssl_server_name")
    weir.expect_log("the client asks for a name that no host has")
    for name in ("../a.test", "..", ".a.test", "a..test"):
        s_client(weir, name=name)
    weir.wait_log("the client asks for a name that no host has")
    assert weir.status()["tls"]["handshakes"]["full"] == 0 and weir.status()["tls"]["handshakes"]["failed"] == 4


def test_kinds_and_phrases(weir, authority, tmp_path):
    """Several of them, with keys that are locked."""
    for kind in ("rsa", "ecdsa"):
        authority.certificate(f"a.test.{kind}", ["a.test"], kind, password="secret")
    (tmp_path / "phrases").write_text("wrong\nsecret\n")
    more = (f"ssl_certificate {authority.folder}/$ssl_server_name.rsa.pem; ssl_certificate_key {authority.folder}/$ssl_server_name.rsa.key; "
            f"ssl_password_file {tmp_path}/phrases;")
    start(weir, authority, more, names="$ssl_server_name.ecdsa")
    client = authority.client(V12)
    for kind in ("RSA", "ECDSA"):
        client.set_ciphers(f"ECDHE-{kind}-AES128-GCM-SHA256")
        assert kind in says(weir, client, "a.test")[2]


def test_groups_and_maps(weir, authority):
    """Whatever variables there are of a connection: groups of the server's name, maps, texts in place of files."""
    pem, key = (authority.path(f"b.test.{suffix}").read_text().strip() for suffix in ("pem", "key"))
    http = (f"map $ssl_server_name $pem {{ default '{pem}\n'; }} map $ssl_server_name $key {{ default '{key}\n'; }} "
            f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name b.test; ssl_certificate data:$pem; ssl_certificate_key data:$key; {SAYS} }}"
            f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name ~^(?<who>\\w+)\\.test$; ssl_certificate {authority.folder}/$who.test.pem; "
            f"ssl_certificate_key {authority.folder}/$who.test.key; {SAYS} }}")
    serve(weir, authority, http=http)
    for name in ("a.test", "b.test", "localhost"):
        assert says(weir, authority.client(), name)[4] == name


@pytest.mark.directive("ssl_certificate_cache")
@pytest.mark.parametrize("cache, old", [("off", False), ("max=10", True), ("max=10 valid=0", False), ("max=1", False)])
def test_what_is_kept(weir, authority, cache, old):
    """A changed file is seen at the next look at it."""
    start(weir, authority, f"ssl_certificate_cache {cache};")
    before = serial(weir, authority)
    assert serial(weir, authority, "b.test") != before  # with room for one, in its place
    authority.certificate("a.test", ["a.test"])
    assert (serial(weir, authority) == before) == old


@pytest.mark.parametrize("cache", ["max=10 valid=1s", "max=10 valid=1h inactive=1s"])
def test_for_how_long(weir, authority, cache):
    start(weir, authority, f"ssl_certificate_cache {cache};")
    before = serial(weir, authority)
    authority.certificate("a.test", ["a.test"])
    let_pass(1.2)
    assert serial(weir, authority) != before


@pytest.mark.parametrize("lines, message", [
    ("ssl_certificate $nothing.pem; ssl_certificate_key x;", 'unknown "nothing" variable'),
    ("ssl_certificate $host.pem;", 'no "ssl_certificate_key" is defined for certificate "$host.pem"'),
    ("{pair} ssl_certificate_cache max=0;", 'invalid "ssl_certificate_cache"; write: off, or max=N [inactive=TIME] [valid=TIME]'),
    ("{pair} ssl_certificate_cache valid=1s;", 'invalid "ssl_certificate_cache"; write: off, or max=N [inactive=TIME] [valid=TIME]')])
def test_mistakes(weir, authority, lines, message):
    conf = config(server=f"listen 127.0.0.1:{{port2}} ssl; {lines.replace('{pair}', authority.lines())}")
    assert [said for said, _ in weir.mistakes(conf)] == [message]


# ---- upstreams --------------------------------------------------------------------------------------------


def upstream(weir, authority, backend, more=""):
    """It says whose certificate it has been shown; kept connections are told apart by their numbers."""
    def whose(call):
        subject = dict(part[0] for part in call.peer.socket.getpeercert()["subject"])
        return answer(f"{subject['commonName']} {call.peer.socket.getpeername()[1]}".encode())
    to = backend(whose, tls=authority.server("localhost", clients=True))
    weir.expect_log("the upstream's certificate is not looked at")
    weir.start(config(f"""location / {{
            proxy_pass https://up; proxy_ssl_certificate {authority.folder}/$arg_who.pem; proxy_ssl_certificate_key {authority.folder}/$arg_who.key; {more}
        }}""", http=f"upstream up {{ server {to.address}; keepalive 8; }}"))


@pytest.mark.directive("proxy_ssl_certificate")
def test_upstreams_are_shown_the_one_of_the_request(weir, authority, backend):
    """A connection that was made for one is not used for another; sessions neither."""
    upstream(weir, authority, backend)
    seen = {}
    for who in ("a.test", "b.test", "a.test", "b.test", "a.test"):
        name, port = weir.get(f"/?who={who}").text.split()
        assert name == who
        assert seen.setdefault(who, port) == port
    assert seen["a.test"] != seen["b.test"]


def test_upstreams_that_cannot_be_shown_any(weir, authority, backend):
    upstream(weir, authority, backend)
    weir.expect_log("cannot load certificate")
    assert weir.get("/?who=nobody").status == 500
    weir.wait_log(f'cannot load certificate "{authority.folder}/nobody.pem": No such file or directory while connecting to upstream')
    assert weir.get("/?who=a.test").text.split()[0] == "a.test"


@pytest.mark.directive("proxy_ssl_certificate_cache")
@pytest.mark.parametrize("cache, status", [("off", 500), ("max=10", 200), ("max=10 valid=0", 500)])
def test_what_is_kept_for_upstreams(weir, authority, backend, cache, status):
    upstream(weir, authority, backend, f"proxy_ssl_certificate_cache {cache}; proxy_set_header Connection close;")
    weir.expect_log("cannot load certificate")
    assert weir.get("/?who=a.test").status == 200
    authority.path("a.test.pem").unlink()
    assert weir.get("/?who=a.test").status == status
