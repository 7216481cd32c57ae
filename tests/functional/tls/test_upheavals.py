"""Handshakes while the processes behind them change, stand still or die: what has begun is finished, and what was given out is taken up."""

import concurrent.futures
import contextlib
import os
import signal
import ssl

import pytest
from binaries import Binaries
from records import GET, Client
from tlslib import SAYS, V12, V13, Storm, connect, serve
from weirlib import alive, config, let_pass, limit, wait_until

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
WITH_PID = SAYS + "location = /pid { return 200 $pid; }"


def handshakes(weir):
    return {how: count for how, count in weir.status()["tls"]["handshakes"].items() if count}


# ---- one that is under way --------------------------------------------------------------------------------------

class Upheaval:
    """What happens to the master; wait_end is for when the connections are over."""

    def __init__(self, weir, how):
        self.weir, self.how, self.binaries = weir, how, Binaries(weir)

    def start(self, authority):
        self.weir.start(config(SAYS, server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()}"), daemon=True)
        self.weir.wait_workers(1)
        self.binaries.pids = [self.weir.pid]
        [self.worker] = self.weir.worker_pids()

    def happen(self):
        if self.how == "hup":
            assert self.weir.reload(self.weir.conf.read_text().replace("location = /id", "location = /other_id"))["last_kind"] == "respawn"
        elif self.how == "usr2":
            self.binaries.upgrade()
            self.binaries.quit_old()
        else:
            self.weir.signal(signal.SIGQUIT)
        self.weir.wait_log(rf"{self.worker}#{self.worker}: gracefully shutting down")

    def wait_end(self):
        wait_until(lambda: not alive(self.worker), 10, "the old worker's end")
        self.binaries.end()


@BOTH
@pytest.mark.parametrize("how", ["hup", "usr2", "quit"])
def test_a_handshake_in_the_middle(weir, authority, version, how):
    """It is finished by the worker that has it, and its request answered, whichever step it was at; then the worker ends."""
    upheaval = Upheaval(weir, how)
    upheaval.start(authority)
    context = authority.client(version)
    try:
        with contextlib.ExitStack() as stack:
            clients = []
            for step in ((0, 3), (0, 100), (0, None), (1, 0), (1, 20)):  # flight, and how far it goes
                client = stack.enter_context(Client(weir.port2, context))
                for _ in range(step[0]):
                    client.plain.sendall(client.next_flight())
                said = client.next_flight()
                client.plain.sendall(said[:step[1]])
                clients.append((client, said[step[1]:] if step[1] is not None else b""))
            wait_until(lambda: weir.status()["connections"]["active"] == len(clients) + 1, 5, "all connections")
            let_pass(0.1)  # what they have said is read
            upheaval.happen()
            let_pass(0.5)  # in which connections end that have not begun
            for client, rest in clients:
                client.plain.sendall(rest)
                client.shake()
                client.tls.write(GET)
                client.plain.sendall(client.outgoing.read())
                assert client.read_until(b"|NONE").startswith(b"HTTP/1.1 200")
        upheaval.wait_end()
    finally:
        upheaval.binaries.end()


# ---- storms -----------------------------------------------------------------------------------------------------

def test_a_worker_stands_still_in_a_storm(weir, authority):
    """The others serve whom they accept; it goes on with what it has, and every handshake is counted once."""
    serve(weir, authority, workers=2)
    weir.wait_workers(2)
    still = min(weir.worker_pids())
    context = authority.client(V13)
    waiting, served = [], 0
    with contextlib.ExitStack() as stack:
        with Storm(weir, context, 3) as storm:
            storm.goes_on(30)
            os.kill(still, signal.SIGSTOP)
            try:
                for _ in range(60):
                    client = stack.enter_context(Client(weir.port2, context))
                    client.plain.settimeout(0.05 if len(waiting) < 20 else 1)
                    try:
                        client.shake()
                        served += 1
                    except TimeoutError:
                        waiting.append(client)
                assert served >= 20
            finally:
                os.kill(still, signal.SIGCONT)
            for client in waiting:
                client.plain.settimeout(limit(10))
                client.shake()
            storm.goes_on(30)
    assert not storm.failed
    total = len(storm.made) + 60
    wait_until(lambda: handshakes(weir) == {"full": total}, 5, f"{total} full handshakes")
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 5, "the end of all connections")
    assert len(weir.worker_pids()) == 2 and still in weir.worker_pids()


def test_a_worker_dies_in_a_storm(weir, authority):
    """With handshakes on its threads: clients of it see that, and no count of connections or tasks is left behind."""
    weir.expect_log("exited on signal 9")
    if not authority.path("slow.pem").exists():
        authority.certificate("slow", ["localhost", "a.test"], "rsa4096")
    serve(weir, authority, name="slow", workers=2)
    weir.wait_workers(2)
    with Storm(weir, authority.client(V13), 4) as storm:
        for _ in range(3):
            storm.goes_on(6)
            before = weir.worker_pids()
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda before=before: len(weir.worker_pids()) == 2 and weir.worker_pids() != before, 5, "a successor")
        weir.wait_workers(2)
        storm.goes_on(20)
    assert all(isinstance(error, (ConnectionError, EOFError, ssl.SSLError)) for error in storm.failed), storm.failed
    assert len(storm.failed) <= 3 * 4
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 5, "the end of all connections")
    pool = weir.pool()
    assert (pool["queue"]["length"], pool["threads"]["running"]) == (0, 0)


def test_a_master_that_stands_still(weir, authority):
    """Workers need nothing of it for handshakes, nor for tickets of each other."""
    serve(weir, authority, WITH_PID, workers=2)
    weir.wait_workers(2)
    client = authority.client(V13)
    os.kill(weir.pid, signal.SIGSTOP)
    try:
        sessions = sessions_of_all(weir, client)
        are_taken_up_by_all(weir, client, sessions)
    finally:
        os.kill(weir.pid, signal.SIGCONT)
    weir.wait_workers(2)


# ---- sessions ---------------------------------------------------------------------------------------------------

def at_worker(weir, client, session=None):
    """A connection: whose it was, whether the session was taken up, and the session that came of it."""
    with connect(weir, client, session=session) as connection:
        pid = int(connection.get("/pid").text)
        return pid, connection.socket.session_reused, connection.socket.session


def at_all_workers(weir, client, session=None):
    """The same by worker, once each has had a connection: some at a time, or one of them would have nearly all."""
    found, workers = {}, weir.worker_pids()
    with concurrent.futures.ThreadPoolExecutor(6) as clients:
        def look():
            for pid, reused, given in clients.map(lambda _: at_worker(weir, client, session), range(6)):
                assert reused == (session is not None), pid
                found[pid] = given
            return workers <= found.keys()
        wait_until(look, 10, "a connection at each worker")
    return found


def sessions_of_all(weir, client):
    return list(at_all_workers(weir, client).values())


def are_taken_up_by_all(weir, client, sessions):
    """Each by each worker, each time: by TLS 1.3, too, they are used more than once."""
    for session in sessions:
        at_all_workers(weir, client, session)


@BOTH
def test_every_worker_takes_up_every_session(weir, authority, version):
    """Of each other, of those before a reload, and of those that have died."""
    serve(weir, authority, WITH_PID, workers=2)
    weir.wait_workers(2)
    client = authority.client(version)
    sessions = sessions_of_all(weir, client)
    are_taken_up_by_all(weir, client, sessions)
    before = weir.worker_pids()
    weir.reload(weir.conf.read_text().replace("location = /id", "location = /other_id"))
    wait_until(lambda: not weir.worker_pids() & before, 10, "new workers")
    weir.wait_workers(2)
    are_taken_up_by_all(weir, client, sessions)
    weir.expect_log("exited on signal 9")
    before = weir.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    weir.wait_dead(before, 5)
    weir.wait_workers(2)
    are_taken_up_by_all(weir, client, [*sessions, *sessions_of_all(weir, client)])
