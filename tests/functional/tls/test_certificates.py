"""Certificates over a server's life: files that change are taken over without a reload, what is broken is left, and all of it is seen."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import ssl
import threading

import pytest
from certificates import openssl
from tlslib import SAYS, Storm, connect, says, serve
from weirlib import config, wait_until

WITHIN = 12


def serial(weir, authority, name="localhost"):
    with connect(weir, authority.client(), name) as connection:
        return ssl.DER_cert_to_PEM_cert(connection.socket.getpeercert(True))


def now_serves(weir, authority, wanted, name="localhost"):
    def does():
        with contextlib.suppress(ssl.SSLError):  # it may have none yet
            return serial(weir, authority, name) == pem_of(wanted)
        return False
    wait_until(does, WITHIN, f"the certificate {wanted.name}")


def pem_of(path):
    text = path.read_text()
    return text[text.index("-----BEGIN CERT"):]


@pytest.fixture
def site(weir, authority, tmp_path):
    """A server whose certificate's files may be changed; the others are authority's a.pem and b.pem."""
    for name in "ab":
        if not authority.path(f"{name}.pem").exists():
            authority.certificate(name, ["localhost"])
    copy(authority, "a", tmp_path)
    weir.start(config(SAYS, workers=2, server=f"listen 127.0.0.1:{{port2}} ssl; {lines(tmp_path)}"))
    weir.wait_workers(2)
    return tmp_path


def lines(folder):
    return f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/cert.key;"


def copy(authority, name, folder):
    """As careful hands do it: each file is there at once."""
    for kind in ("key", "pem"):
        new = folder / f"new.{kind}"
        shutil.copy(authority.path(f"{name}.{kind}"), new)
        new.chmod(0o600)
        os.replace(new, folder / f"cert.{kind}")


@pytest.mark.directive("ssl_certificate", "ssl_certificate_key")
def test_changed_files_are_taken_over(weir, authority, site):
    """Same workers, same connections; and whoever starts later has the new one, too."""
    workers = weir.worker_pids()
    with connect(weir, authority.client()) as kept:
        assert kept.get("/says").status == 200
        copy(authority, "b", site)
        now_serves(weir, authority, authority.path("b.pem"))
        weir.wait_log(r"the certificate \".*cert.pem\" of server \".*\" has changed, and is used from now on")
        assert kept.get("/says").status == 200
    assert weir.worker_pids() == workers
    weir.expect_log("exited on signal 9")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not weir.worker_pids() & workers and len(weir.worker_pids()) == 2, 10, "new workers")
    weir.wait_workers(2)
    for _ in range(6):
        assert serial(weir, authority) == pem_of(authority.path("b.pem"))


def test_links_that_point_elsewhere(weir, authority, site):
    """As certbot keeps them: the link changes, not the file."""
    for kind in ("pem", "key"):
        link = site / f"link.{kind}"
        link.symlink_to(authority.path(f"b.{kind}"))
        os.replace(link, site / f"cert.{kind}")
    now_serves(weir, authority, authority.path("b.pem"))


@pytest.mark.parametrize("text", ["garbage\n", "", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_broken_files_are_left(weir, authority, site, text):
    weir.expect_log("goes on with what it has")
    (site / "cert.pem").write_text(text)
    weir.wait_log(rf'cannot load certificate "{site}/cert.pem": .*; server ".*" goes on with what it has', WITHIN)
    assert serial(weir, authority) == pem_of(authority.path("a.pem"))
    assert 'weir_tls_certificate_load_failures_total 1' in weir.get("/status?format=prometheus").text
    copy(authority, "b", site)
    now_serves(weir, authority, authority.path("b.pem"))
    assert weir.error_log.count("goes on with what it has") == 1


def test_a_key_that_does_not_fit(weir, authority, site):
    """Between the two files of a change nothing is broken; a key of another certificate is said."""
    weir.expect_log("goes on with what it has")
    shutil.copy(authority.path("b.key"), site / "cert.key")
    weir.wait_log(rf'cannot load certificate key "{site}/cert.key": key values mismatch', WITHIN)
    assert serial(weir, authority) == pem_of(authority.path("a.pem"))
    shutil.copy(authority.path("b.pem"), site / "cert.pem")
    now_serves(weir, authority, authority.path("b.pem"))


def test_missing_files_are_left(weir, authority, site):
    weir.expect_log("goes on with what it has")
    (site / "cert.key").unlink()
    weir.wait_log(rf'cannot load certificate key "{site}/cert.key": No such file', WITHIN)
    assert serial(weir, authority) == pem_of(authority.path("a.pem"))


def test_a_key_of_another_kind(weir, authority, site):
    """The old one would stay beside it: that takes new workers, which the next SIGHUP makes."""
    weir.expect_log("has a key of another kind")
    authority.certificate("rsa", ["localhost"], "rsa")
    copy(authority, "rsa", site)
    weir.wait_log("has a key of another kind now", WITHIN)
    assert serial(weir, authority) == pem_of(authority.path("a.pem"))
    assert weir.reload()["last_kind"] == "respawn"
    now_serves(weir, authority, authority.path("rsa.pem"))


def test_a_pipe_in_place_of_a_file(weir, authority, site):
    """It is not waited for: the master goes on."""
    weir.expect_log("goes on with what it has")
    (site / "cert.pem").unlink()
    os.mkfifo(site / "cert.pem")
    weir.wait_log(rf'cannot load certificate "{site}/cert.pem": Invalid argument', WITHIN)
    copy(authority, "b", site)
    now_serves(weir, authority, authority.path("b.pem"))


def test_one_that_the_library_refuses(weir, authority, site):
    """A key that is too short is said, and the old one stays."""
    weir.expect_log("is refused")
    openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", site / "weak.key", "-out", site / "weak.pem", "-subj", "/CN=localhost")
    rsa = config(SAYS, server=f"listen 127.0.0.1:{{port2}} ssl; ssl_certificate {site}/rsa.pem; ssl_certificate_key {site}/rsa.key;")
    authority.certificate("rsa", ["localhost"], "rsa")
    for kind in ("key", "pem"):
        shutil.copy(authority.path(f"rsa.{kind}"), site / f"rsa.{kind}")
    weir.reload(rsa)
    for kind in ("key", "pem"):
        os.replace(site / f"weak.{kind}", site / f"rsa.{kind}")
    weir.wait_log(rf'the certificate "{site}/rsa.pem" is refused: ee key too small; server ".*" goes on', WITHIN)


def test_phrases_that_are_mended(weir, authority, tmp_path):
    """What failed is tried again once the file with the phrases is right, or SIGHUP asks for it."""
    authority.certificate("locked1", ["localhost"], password="one")
    authority.certificate("locked2", ["localhost"], password="two")
    copy(authority, "locked1", tmp_path)
    phrases = tmp_path / "phrases"
    phrases.write_text("one\n")
    weir.expect_log("goes on with what it has")
    weir.start(config(SAYS, server=f"listen 127.0.0.1:{{port2}} ssl; ssl_password_file {phrases}; {lines(tmp_path)}"))
    copy(authority, "locked2", tmp_path)
    weir.wait_log("cannot load certificate key .* goes on with what it has", WITHIN)
    phrases.write_text("two\n")
    now_serves(weir, authority, authority.path("locked2.pem"))


def test_many_servers_and_a_worker_that_rests(weir, authority, tmp_path):
    """300 servers with one file: a worker that takes no messages for a while gets them all later, and SIGHUP's too."""
    for name in "ab":
        if not authority.path(f"{name}.pem").exists():
            authority.certificate(name, ["localhost"])
    copy(authority, "a", tmp_path)
    names = [f"s{number}.test" for number in range(300)]
    http = "".join("server { listen 127.0.0.1:{port2} ssl; server_name %s; %s }" % (name, lines(tmp_path)) for name in names)
    weir.start(config(SAYS, http=http, workers=2))
    weir.wait_workers(2)
    resting = min(weir.worker_pids())
    client = authority.client()
    client.check_hostname = False

    def shown(name):
        with weir.connect(weir.port2, tls=client, name=name) as connection:
            return ssl.DER_cert_to_PEM_cert(connection.socket.getpeercert(True))
    os.kill(resting, signal.SIGSTOP)
    try:
        for name in "bab":
            before = weir.error_log.count("has changed")
            copy(authority, name, tmp_path)
            wait_until(lambda before=before: weir.error_log.count("has changed") >= before + 300, WITHIN, "the change")
    finally:
        os.kill(resting, signal.SIGCONT)
    wanted = pem_of(authority.path("b.pem"))
    wait_until(lambda: all(shown(name) == wanted for name in (names[0], names[150], names[299]) * 4), WITHIN, "the last certificate everywhere")


def test_reload_in_place_takes_them_at_once(weir, authority, site):
    workers = weir.worker_pids()
    copy(authority, "b", site)
    assert weir.reload()["last_kind"] == "in-place"
    wait_until(lambda: serial(weir, authority) == pem_of(authority.path("b.pem")), 2, "the new certificate")
    assert weir.worker_pids() == workers
    weir.expect_log("reload failed|cannot load")
    (site / "cert.pem").write_text("garbage")
    assert weir.reload()["last_ok"] is False
    assert serial(weir, authority) == pem_of(authority.path("b.pem"))


def test_changes_under_load(weir, authority, site):
    """Certificates come and go while clients do: no handshake fails."""
    over, failed, made = threading.Event(), [], []

    def keep_coming():
        client = authority.client()
        while not over.is_set():
            try:
                assert says(weir, client)[0] == "https"
                made.append(1)
            except (OSError, AssertionError) as error:
                failed.append(error)
    clients = [threading.Thread(target=keep_coming) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        for name in "babab":
            copy(authority, name, site)
            os.kill(weir.pid, signal.SIGHUP)
            now_serves(weir, authority, authority.path(f"{name}.pem"))
    finally:
        over.set()
        for client in clients:
            client.join()
    assert not failed and len(made) > 20


def test_a_thousand_changes_under_load(weir, authority, site):
    """In bursts, each file replaced at once: no handshake fails, no pair that does not belong together is complained of, the last one is served."""
    turn = itertools.cycle("ba")
    with Storm(weir, authority.client(), 4) as storm:
        for _ in range(3):
            for _ in range(335):  # the last one is another than the burst before had
                last = next(turn)
                copy(authority, last, site)
            now_serves(weir, authority, authority.path(f"{last}.pem"))
        storm.goes_on(20)
    assert not storm.failed and len(storm.made) > 200
    wait_until(lambda: {serial(weir, authority) for _ in range(12)} == {pem_of(authority.path(f"{last}.pem"))}, 5, "the last one at all workers")
    assert "goes on with what it has" not in weir.error_log


@pytest.mark.directive("ssl_certificate_missing")
def test_a_certificate_that_is_missing(weir, authority, tmp_path):
    """The other servers serve, and this one once its certificate is there."""
    authority.certificate("b", ["localhost"])
    http = "server {{ listen 127.0.0.1:{{port2}} ssl; server_name localhost; ssl_certificate_missing warn; {0} {1} }}".format(
        lines(tmp_path), SAYS.replace("{", "{{").replace("}", "}}").format())
    weir.expect_log("clients of this server are refused")
    weir.start(config(SAYS, http=http, server=f"listen 127.0.0.1:{{port2}} ssl default_server; server_name a.test; {authority.lines()}"))
    assert says(weir, authority.client(), "a.test")[0] == "https"
    with pytest.raises(ssl.SSLError):
        connect(weir, authority.client())
    weir.wait_log("cannot load certificate .* clients of this server are refused until it is there")
    copy(authority, "b", tmp_path)
    now_serves(weir, authority, authority.path("b.pem"))
    failing = weir.conf.read_text().replace("ssl_certificate_missing warn;", "")
    (tmp_path / "cert.pem").unlink()
    [(message, _)] = weir.mistakes(failing)
    assert message.startswith(f'cannot load certificate "{tmp_path}/cert.pem": No such file')


def test_a_key_in_the_configuration_is_not_shown(weir, authority):
    """An error names it by "data:" alone."""
    authority.certificate("unlike")
    secret = authority.path("unlike.key").read_text()
    found = weir.mistakes(config(SAYS, server=f'listen 127.0.0.1:{{port2}} ssl; ssl_certificate {authority.path("localhost.pem")}; ssl_certificate_key "data:{secret}";'))
    assert [message for message, _ in found] == ['cannot load certificate key "data:": key values mismatch']


def test_texts_in_the_configuration(weir, authority):
    """data: what would be in a file stands there itself."""
    certificate, key = (authority.path(f"localhost.{kind}").read_text() for kind in ("pem", "key"))
    weir.start(config(SAYS, server=f'listen 127.0.0.1:{{port2}} ssl; ssl_certificate "data:{certificate}"; ssl_certificate_key "data:{key}";'))
    assert says(weir, authority.client())[0] == "https"
    assert [each["file"] for each in weir.status()["tls"]["certificates"]] == ["data:"]


# ---- what is seen -------------------------------------------------------------------------------------------

def handshakes(weir, **wanted):
    wait_until(lambda: {k: v for k, v in weir.status()["tls"]["handshakes"].items() if v} == wanted, 5, f"handshakes: {wanted}")


def test_handshakes_are_counted(weir, authority):
    serve(weir, authority, server="client_header_timeout 1s;", log="info")
    client = authority.client()
    with connect(weir, client) as connection:
        connection.get("/says")
        session = connection.socket.session
    handshakes(weir, full=1)
    with connect(weir, client, session=session) as connection:
        connection.get("/says")
    handshakes(weir, full=1, resumed=1)
    wrong = authority.client(ssl.TLSVersion.TLSv1_2)
    wrong.set_ciphers("AES128-SHA")
    with pytest.raises(ssl.SSLError):
        connect(weir, wrong)
    handshakes(weir, full=1, resumed=1, failed=1)
    with weir.connect(weir.port2) as half:
        half.send(b"\x16\x03\x01")
        half.wait_taken()
    handshakes(weir, full=1, resumed=1, failed=1, left=1)
    with weir.connect(weir.port2) as slow:
        slow.send(b"\x16\x03\x01")
        assert slow.closed_within(5) is not None
    handshakes(weir, full=1, resumed=1, failed=1, left=1, timeout=1)
    text = weir.get("/status?format=prometheus").text
    for line in ('weir_tls_handshakes_total{result="full"} 1', 'weir_tls_handshakes_total{result="timeout"} 1',
                 "weir_tls_handshake_seconds_count 2"):
        assert line in text, line
    assert re.search(r"weir_tls_handshake_queue_wait_seconds_count [12]\n", text)


def test_expiry_is_shown(weir, authority):
    serve(weir, authority)
    end = openssl("x509", "-in", authority.path("localhost.pem"), "-noout", "-enddate").strip().removeprefix("notAfter=")
    wanted = int(ssl.cert_time_to_seconds(end))
    [shown] = weir.status()["tls"]["certificates"]
    assert shown == {"server": shown["server"], "file": str(authority.path("localhost.pem")), "expires": wanted}
    text = weir.get("/status?format=prometheus").text
    series = [line.split(" ")[0] for line in text.splitlines() if line.startswith("weir_tls_certificate_expiry_timestamp_seconds{")]
    assert len(series) == len(set(series))
    line = f'weir_tls_certificate_expiry_timestamp_seconds{{server="{shown["server"]}",file="{shown["file"]}"}} {wanted}'
    assert line in weir.get("/status?format=prometheus").text
