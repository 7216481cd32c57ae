"""The file of a unix socket lives as long as somebody listens on it for a configuration in force, and no other's is touched."""

import os
import signal
import socket

import modlib
import pytest
from weirlib import Connection, alive, children, config, fetch, wait_until, with_listen_fds

LOCATION = 'location / { return 200 "$server_addr"; }'
ONE, TWO, FREE = "{tmp}/one.sock", "{tmp}/two.sock", "{tmp}/three.sock"


def listening(*paths, port=True, **parts):
    """A configuration that listens on these sockets, and on the port."""
    first, *rest = [*(["127.0.0.1:{port}"] if port else []), *(f"unix:{path}" for path in paths)]
    return config(LOCATION, listen=first, server="".join(f"listen {each};" for each in rest), **parts)


def files(weir):
    return sorted(path.name for path in weir.tmp.glob("*.sock"))


def serves(weir, name):
    """Whether somebody answers on this socket."""
    try:
        return fetch(weir.tmp / name).status == 200
    except OSError:
        return False


def replace(weir, conf):
    """A reload by new workers, when the old ones have gone."""
    old = weir.worker_pids()
    assert weir.reload(conf)["last_ok"]
    wait_until(lambda: not any(map(alive, old)), 5, "the end of the old workers")


# ---- reload -------------------------------------------------------------------------------------------------

def test_reload_takes_one_away(weir):
    """A socket that the new file no longer names goes with its file; the others stay the very same."""
    weir.start(listening(ONE, TWO))
    inode = (weir.tmp / "two.sock").stat().st_ino
    replace(weir, listening(TWO))
    assert files(weir) == ["two.sock"] and (weir.tmp / "two.sock").stat().st_ino == inode and serves(weir, "two.sock")
    replace(weir, listening(TWO, ONE))
    assert files(weir) == ["one.sock", "two.sock"] and serves(weir, "one.sock")
    assert weir.stop() == 0
    assert files(weir) == []


def test_requests_on_a_socket_that_goes(weir):
    """A request that is under way on it is answered."""
    slow = "location /slow { handler sleep; }"
    weir.start(listening(ONE, http="", main="").replace(LOCATION, LOCATION + slow))
    with Connection(weir.tmp / "one.sock") as client:
        client.request("/slow?ms=700")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "the handler")
        assert weir.reload(listening())["last_ok"]
        assert files(weir) == []
        assert client.response().status == 200


def test_what_has_taken_its_place_stays(weir):
    """A file that somebody has put there meanwhile is not weir's to remove."""
    weir.start(listening(ONE))
    (weir.tmp / "one.sock").unlink()
    (weir.tmp / "one.sock").write_text("another's")
    replace(weir, listening())
    assert (weir.tmp / "one.sock").read_text() == "another's"


def test_failed_reload_leaves_none(weir):
    """A reload that cannot have another address takes the file back that it made."""
    weir.expect_log(r"bind\(\)")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        weir.start(listening(ONE))
        for other in [f"listen 127.0.0.1:{taken.getsockname()[1]};", "listen unix:{tmp}/none/x.sock;"]:
            assert not weir.reload(listening(ONE, TWO, FREE).replace(f"listen unix:{FREE};", f"listen unix:{FREE}; {other}"))["last_ok"]
            assert files(weir) == ["one.sock"] and serves(weir, "one.sock")


def test_workers_that_do_not_come_up(weir):
    """So does one whose new workers die at their start."""
    weir.expect_log("new worker|exited with code 9")
    weir.start(listening(ONE))
    dies = modlib.build(weir.tmp, "static void die(void) { _exit(9); }\n" + modlib.handlers(none="return 0;") +
                        "static __attribute__((constructor)) void begin(void) { pthread_atfork(NULL, NULL, die); }\n",
                        head="#include <pthread.h>\n#include <unistd.h>\n")
    assert not weir.reload(listening(ONE, TWO, main=f"load_module {dies};"))["last_ok"]
    assert files(weir) == ["one.sock"] and serves(weir, "one.sock")


def test_stop_while_a_reload_is_under_way(weir):
    """TERM, while new workers are not ready yet, leaves no file of either configuration."""
    weir.expect_log("exited on signal")
    weir.start(listening(ONE))
    weir.write(listening(TWO, workers=3))
    weir.signal(signal.SIGHUP)
    wait_until(lambda: "two.sock" in files(weir), 3, "the new socket")
    assert weir.stop() == 0
    assert files(weir) == []


def test_another_programs_socket(weir):
    """A socket on which another program listens is neither taken nor removed, at a reload or at the end."""
    weir.expect_log(r"bind\(\)")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(weir.tmp / "two.sock"))
        other.listen()
        weir.start(listening(ONE))
        assert not weir.reload(listening(ONE, TWO))["last_ok"]
        assert files(weir) == ["one.sock", "two.sock"]
        assert weir.stop() == 0
        assert files(weir) == ["two.sock"]


@pytest.mark.parametrize("reloads", [False, True])
def test_service_managers_socket(weir, reloads):
    """A socket that a service manager handed over keeps its file: it listens on."""
    path = weir.tmp / "one.sock"
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(path))
        given.listen()
        weir.start(listening(ONE), **with_listen_fds([given]))
        assert serves(weir, "one.sock")
        if reloads:
            replace(weir, listening())
            assert files(weir) == ["one.sock"]
        assert weir.stop() == 0
        assert files(weir) == ["one.sock"]


# ---- upgrade ------------------------------------------------------------------------------------------------

@pytest.fixture
def upgrade(weir):
    """Starts a daemon, then the new binary beside it with another configuration; returns the new master's pid."""
    started = []

    def start(before, after):
        weir.start(before, daemon=True)
        weir.write(after)
        weir.signal(signal.SIGUSR2)
        started.append(wait_until(lambda: weir.read_pid_file() not in (None, weir.pid) and weir.read_pid_file(), 5, "a new pid"))
        wait_until(lambda: len(children(started[0])) == 1, 5, "the new worker")
        return started[0]

    yield start
    for pid in [pid for pid in started if alive(pid)]:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), 5, "the end of the new master")


def end(pid, number=signal.SIGQUIT):
    os.kill(pid, number)
    wait_until(lambda: not alive(pid), 5, f"the end of {pid}")


def test_upgrade_takes_one_away(weir, upgrade):
    """When the old master has gone, so has what only it listened on; what both have stays and is served."""
    new = upgrade(listening(ONE, TWO), listening(TWO, FREE))
    assert files(weir) == ["one.sock", "three.sock", "two.sock"] and serves(weir, "one.sock")
    assert weir.signal(signal.SIGQUIT) is None and weir.wait_exit() == 0
    assert files(weir) == ["three.sock", "two.sock"] and serves(weir, "two.sock") and serves(weir, "three.sock")
    end(new)
    assert files(weir) == []


def test_upgrade_taken_back(weir, upgrade):
    """When the new master goes instead, what only it listened on goes, and the old one has all of its own."""
    new = upgrade(listening(ONE, TWO), listening(TWO, FREE))
    end(new)
    assert files(weir) == ["one.sock", "two.sock"] and serves(weir, "one.sock") and serves(weir, "two.sock")
    assert weir.stop() == 0
    assert files(weir) == []
