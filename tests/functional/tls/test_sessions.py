"""Sessions of TLS are taken up: by any worker, over reloads, deaths and changes of binary, for as long as they are valid."""

import ctypes
import ctypes.util
import os
import signal
import subprocess
import time

import pytest
from binaries import Binaries
from tlslib import SAYS, V12, V13, connect, resumes, serve
from weirlib import config, let_pass, limit, open_files, take_time, wait_until

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
EITHER_WAY = pytest.mark.parametrize("server", ["", "ssl_session_tickets off; ssl_session_cache shared:a:1m;"], ids=["tickets", "cache"])


def session_of(weir, client, name="localhost"):
    with connect(weir, client, name) as connection:
        connection.get("/says")
        return connection.socket.session


def takes_up(weir, client, session, name="localhost"):
    with connect(weir, client, name, session=session) as connection:
        assert connection.get("/says").status == 200
        return connection.socket.session_reused


@pytest.mark.directive("ssl_session_tickets", "ssl_session_cache")
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("server, wanted", [("", True), ("ssl_session_tickets off;", False),
                                            ("ssl_session_tickets off; ssl_session_cache off;", False),
                                            ("ssl_session_tickets off; ssl_session_cache builtin;", True),
                                            ("ssl_session_tickets off; ssl_session_cache builtin:10 shared:a:1m;", True),
                                            ("ssl_session_tickets off; ssl_session_cache shared:a:1m;", True)])
def test_sessions(weir, authority, version, server, wanted):
    serve(weir, authority, server=server)
    assert resumes(weir, authority.client(version)) == wanted


@EITHER_WAY
def test_sessions_of_other_workers(weir, authority, server):
    """Each worker takes up what another one has given out."""
    serve(weir, authority, SAYS + "location = /pid { return 200 $pid; }", workers=3, server=server)
    weir.wait_workers(3)
    client, pids = authority.client(), set()
    for _ in range(30):
        assert resumes(weir, client)
        with connect(weir, client) as connection:
            pids.add(connection.get("/pid").text)
    assert len(pids) > 1


def test_sizes_of_one_cache(weir, authority):
    """All servers that name it have to agree; one may leave the size to another."""
    def conf(first, second):
        return config(server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()} ssl_session_cache {first};",
                      http=f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name b; {authority.lines()} ssl_session_cache {second}; }}")
    said = {message for message, _ in weir.mistakes(conf("shared:a:1m", "shared:a:2m"))}
    assert said == {'the session cache "a" has another size here: 1048576 bytes, before it was 2097152'}
    assert weir.run("-t", conf=conf("shared:a", "shared:a:2m")).returncode == 0


@pytest.mark.directive("ssl_session_timeout")
def test_old_sessions(weir, authority):
    serve(weir, authority, server="ssl_session_timeout 1s;")
    client = authority.client(V12)
    with connect(weir, client) as connection:
        connection.get("/says")
        session = connection.socket.session
    let_pass(2.1)
    with connect(weir, client, session=session) as connection:
        assert connection.get("/says").text.split("|")[5] == "."


def made_young(file):
    """So that the client's library does not find it too old by itself, which goes by what the server has said."""
    library = ctypes.CDLL(ctypes.util.find_library("ssl"))
    for name in ("BIO_new_file", "PEM_read_bio_SSL_SESSION"):
        getattr(library, name).restype = ctypes.c_void_p
    bio = ctypes.c_void_p(library.BIO_new_file(os.fsencode(file), b"r"))
    session = ctypes.c_void_p(library.PEM_read_bio_SSL_SESSION(bio, None, None, None))
    library.BIO_free(bio)
    assert session
    library.SSL_SESSION_set_time(session, ctypes.c_long(int(time.time())))
    bio = ctypes.c_void_p(library.BIO_new_file(os.fsencode(file), b"w"))
    assert library.PEM_write_bio_SSL_SESSION(bio, session) == 1
    library.BIO_free(bio)
    library.SSL_SESSION_free(session)


@pytest.mark.directive("ssl_session_timeout")
@pytest.mark.parametrize("kept", ["", "ssl_session_tickets off; ssl_session_cache builtin;"], ids=["tickets", "cache"])
@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_no_session_outlives_its_time(weir, authority, tmp_path, version, kept):
    """Whatever the client thinks of its age: all of them are taken up before, and none after."""
    serve(weir, authority, server=f"ssl_session_timeout 2s; {kept}")
    files = [tmp_path / f"session{number}" for number in range(4)]

    def reused(*args):
        request = "GET /says HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        said = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{weir.port2}", "-servername", "localhost", f"-{version}", "-ign_eof", *map(str, args)],
                              input=request, capture_output=True, text=True, check=False, timeout=limit(10)).stdout
        assert "HTTP/1.1 200" in said
        return "|r|" in said
    for file in files:
        assert not reused("-sess_out", file)
        assert reused("-sess_in", file)
    take_time(3.1)
    for file in files:
        made_young(file)
        assert not reused("-sess_in", file)


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_sessions_stay_with_the_policy_on_clients(weir, authority, version):
    """What was begun at a server that lets anybody in is not taken up at one that wants certificates (CVE-2025-23419)."""
    http = "server {{ listen 127.0.0.1:{{port2}} ssl; server_name a.test; {0} ssl_verify_client on; ssl_client_certificate {1}; {2} }}".format(
        authority.lines(), authority.path("ca.pem"), SAYS.replace("{", "{{").replace("}", "}}").format())
    serve(weir, authority, http=http)
    client = authority.client(version)
    with connect(weir, client, "localhost") as connection:
        connection.get("/says")
        session = connection.socket.session
    client.check_hostname = False
    with connect(weir, client, "a.test", session=session) as connection:
        connection.send("GET /says HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert connection.response().status == 400 and not connection.socket.session_reused


@pytest.mark.parametrize("cache, told", [("off", False), ("none", True), ("shared:a:1m", True)])
def test_ids_of_sessions(weir, authority, cache, told):
    """Without a cache, too, clients are told that sessions may be taken up, unless it is off."""
    serve(weir, authority, server=f"ssl_session_tickets off; ssl_session_cache {cache};")
    assert (session_of(weir, authority.client(V12)).id != b"") == told


@BOTH
def test_each_server_has_its_own_cache(weir, authority, version):
    """Also where the address's default server has none; one that is named by two servers is both's, but no session is."""
    for name in ("a.test", "b.test"):
        authority.certificate(name)
    http = "".join(f"server {{ listen 127.0.0.1:{{port2}} ssl; server_name {name}; {authority.lines(name)} ssl_session_tickets off; "
                   f"ssl_session_cache {cache}; {SAYS} }}" for name, cache in (("a.test", "shared:both:1m"), ("b.test", "shared:both")))
    serve(weir, authority, http=http, server="ssl_session_tickets off;")
    client = authority.client(version)
    client.check_hostname = False
    sessions = {name: session_of(weir, client, name) for name in ("localhost", "a.test", "b.test")}
    for name, session in sessions.items():
        assert takes_up(weir, client, session, name) == (name != "localhost"), name
    assert not takes_up(weir, client, sessions["a.test"], "b.test")


@BOTH
@EITHER_WAY
def test_sessions_outlive_workers(weir, authority, version, server):
    """A reload by new workers, and deaths of all workers, one after the other."""
    serve(weir, authority, workers=2, server=server)
    client = authority.client(version)
    sessions = [session_of(weir, client) for _ in range(4)]
    weir.reload(weir.conf.read_text().replace("workers 2", "workers 2") + "# changed\n")
    before = weir.worker_pids()
    weir.reload(weir.conf.read_text().replace("location = /id", "location = /other_id"))
    wait_until(lambda: not weir.worker_pids() & before and len(weir.worker_pids()) == 2, 10, "new workers")
    assert all(takes_up(weir, client, session) for session in sessions)
    weir.expect_log("exited on signal 9")
    for pid in weir.worker_pids():
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: pid not in weir.worker_pids() and len(weir.worker_pids()) == 2, 10, "a successor")
    weir.wait_workers(2)
    assert all(takes_up(weir, client, session) for session in sessions)


@BOTH
@EITHER_WAY
def test_sessions_outlive_the_binary(weir, authority, version, server):
    """USR2: the new binary takes up what the old one has given out, and the other way round."""
    binaries = Binaries(weir)
    weir.start(config(SAYS, server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()} {server}"), daemon=True)
    weir.wait_workers(1)
    binaries.pids = [weir.pid]
    client = authority.client(version)
    old = session_of(weir, client)
    binaries.upgrade()
    try:
        seen = {takes_up(weir, client, old) for _ in range(10)}  # by either
        new = [session_of(weir, client) for _ in range(10)]
        binaries.quit_old()
        binaries.gone(binaries.old)
        assert seen == {True}
        assert all(takes_up(weir, client, session) for session in [old, *new])
    finally:
        binaries.end()


@pytest.mark.directive("ssl_session_ticket_key")
@pytest.mark.parametrize("size", [48, 80])
def test_keys_of_several_machines(weir, authority, size):
    """The first file seals, all of them open; who has another key begins anew."""
    keys = [authority.path(f"key{number}-{size}") for number in range(3)]
    for number, key in enumerate(keys):
        key.write_bytes(bytes([number]) * 16 + os.urandom(size - 16))
    client = authority.client()

    def uses(*files):
        lines = " ".join(f"ssl_session_ticket_key {file};" for file in files)
        return config(SAYS, server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()} {lines}")
    weir.start(uses(keys[0]))
    session = session_of(weir, client)
    for files, wanted in (((keys[1], keys[0]), True), ((keys[2], keys[1]), False), ((keys[2], keys[0]), True)):
        before = weir.worker_pids()
        weir.reload(uses(*files))
        wait_until(lambda before=before: not weir.worker_pids() & before, 10, "new workers")
        assert takes_up(weir, client, session) == wanted, files
    keys[2].write_bytes(b"x" * 47)
    [(message, _)] = weir.mistakes(weir.conf.read_text())
    assert message == f'cannot load the ticket key "{keys[2]}": it must be a file of 48 or 80 bytes'


def test_keys_are_in_no_core(weir, authority):
    """The memory with the keys is left out of dumps, and workers have it for reading only."""
    serve(weir, authority)
    for pid, access in ((weir.pid, "rw-s"), (*weir.worker_pids(), "r--s")):
        with open(f"/proc/{pid}/smaps", encoding="ascii") as file:
            text = file.read()
        part = text[text.index("memfd:weir ticket keys"):]
        start = text.rindex("\n", 0, text.index("memfd:weir ticket keys")) + 1
        assert text[start:].split()[1] == access
        flags = next(line for line in part.splitlines() if line.startswith("VmFlags"))
        assert "dd" in flags.split()
        assert ("mw" in flags.split()) == (access == "rw-s")  # it may be made writable


def test_sessions_are_in_no_core(weir, authority):
    """Nor is the memory of the caches."""
    serve(weir, authority, server="ssl_session_cache shared:a:1m;")
    for pid in (weir.pid, *weir.worker_pids()):
        with open(f"/proc/{pid}/smaps", encoding="ascii") as file:
            text = file.read()
        part = text[text.index("memfd:weir tls sessions"):]
        assert "dd" in next(line for line in part.splitlines() if line.startswith("VmFlags")).split()
    [worker] = weir.worker_pids()
    weir.wait_workers(1)  # it has closed what it does not need
    files = open_files(worker).values()
    assert files and not [file for file in files if "tls sessions" in file]
