"""The master: signals, pid files, daemonising, privileges, logs, dying workers, systemd, and failed starts."""

import grp
import os
import pathlib
import pwd
import re
import signal
import socket
import time

import pytest

from weirlib import (NOBODY, Connection, Load, alive, children, config, cpu_seconds, fetch, let_pass, limit, open_files,
                     proc_field, refused, wait_until, watch, with_listen_fds, without_capabilities)

SLEEP = "location /sleep { handler sleep; } location / { return 200 ok; }"
CAP_SETGID, CAP_SETUID = 6, 7


def uids(pid):
    return set(map(int, proc_field(pid, "Uid").split()))


def gids(pid):
    return set(map(int, proc_field(pid, "Gid").split()))


# ---- ending -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_stop_now(weir, number):
    """TERM and INT end the server at once with exit code 0, leaving no worker, pid file or listener."""
    weir.start(config(workers=2))
    workers = weir.wait_workers(2)
    with weir.connect() as idle:
        idle.get("/")
        weir.signal(number)
        assert weir.wait_exit(2) == 0
    assert not any(map(alive, workers))
    assert not weir.pid_file.exists()
    assert refused(weir.port)


def test_stop_now_with_a_stuck_handler(weir):
    """TERM does not wait for a handler that never returns."""
    weir.start(config(SLEEP))
    with weir.connect() as stuck:
        stuck.request("/sleep?ms=100000")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
        assert weir.stop(2) == 0


def test_quit_finishes_what_runs(weir):
    """QUIT refuses new connections, answers what was under way, and then ends with exit code 0."""
    weir.start(config(SLEEP, workers=2))
    with weir.connect() as busy, weir.connect() as idle:
        idle.get("/")
        busy.request("/sleep?ms=1000")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
        weir.signal(signal.SIGQUIT)
        wait_until(lambda: refused(weir.port), 0.7, "a closed listener")
        assert idle.closed_within(limit(0.7)) is not None
        answer = busy.response()
        assert answer.status == 200
        assert answer.header("connection") == "close"
    assert weir.wait_exit(2) == 0
    assert not weir.pid_file.exists()


def test_quit_finishes_a_request_that_is_still_arriving(weir):
    """QUIT lets a client finish sending the body that it began."""
    weir.start(config("location / { handler echo; }"))
    with weir.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        wait_until(lambda: weir.status()["connections"]["active"] >= 2, 3, "the request to be read")
        weir.signal(signal.SIGQUIT)
        wait_until(lambda: refused(weir.port), 2, "a closed listener")
        client.send("world")
        assert client.response("POST").text == "helloworld"
    assert weir.wait_exit(3) == 0


@pytest.mark.directive("worker_shutdown_timeout")
def test_quit_ends_at_the_shutdown_timeout(weir):
    """QUIT ends after worker_shutdown_timeout even though a handler never returns."""
    weir.start(config(SLEEP, main="worker_shutdown_timeout 1s;"))
    with weir.connect() as stuck:
        stuck.request("/sleep?ms=100000")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
        start = time.monotonic()
        weir.signal(signal.SIGQUIT)
        assert weir.wait_exit(3) == 0
        assert time.monotonic() - start > 0.7, "the timeout was not used"


def test_second_signal_hurries(weir):
    """TERM during a graceful shutdown ends it at once."""
    weir.start(config(SLEEP, main="worker_shutdown_timeout 60s;"))
    with weir.connect() as stuck:
        stuck.request("/sleep?ms=100000")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
        weir.signal(signal.SIGQUIT)
        wait_until(lambda: refused(weir.port), 2, "a closed listener")
        assert weir.stop(2) == 0


# ---- workers more and fewer -------------------------------------------------------------------------------

def test_ttin_and_ttou(weir):
    """TTIN adds one worker, TTOU takes one away; the others stay and no request fails."""
    weir.start(config(SLEEP, workers=2))
    before = weir.wait_workers(2)
    with Load(weir.port, "/sleep?ms=20", clients=4) as load:
        weir.signal(signal.SIGTTIN)
        more = weir.wait_workers(3)
        assert before < more
        weir.signal(signal.SIGTTOU)
        after = weir.wait_workers(2)
        assert after < more
        load.rate(0.3)
    assert load.ok > 0 and not load.failures


def test_ttou_keeps_the_last_worker(weir):
    """TTOU never takes the last worker."""
    weir.start(config(workers=1))
    before = weir.wait_workers(1)
    weir.signal(signal.SIGTTOU)
    watch(0.5)
    assert weir.worker_pids() == before
    assert weir.get("/").status == 200


@pytest.mark.needs_root
def test_winch(weir):
    """WINCH ends the workers gracefully and leaves the master; HUP brings workers back."""
    weir.start(config(SLEEP, workers=2), daemon=True)
    weir.wait_workers(2)
    with weir.connect() as busy:
        busy.request("/sleep?ms=500")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
        weir.signal(signal.SIGWINCH)
        assert busy.response().status == 200
    wait_until(lambda: not weir.worker_pids(), 3, "no workers")
    watch(0.3)
    assert alive(weir.pid) and not weir.worker_pids()
    weir.signal(signal.SIGHUP)
    wait_until(lambda: len(weir.worker_pids()) == 2, 3, "workers")
    assert weir.get("/").text == "ok"


def test_unknown_signals_do_no_harm(weir):
    """Signals without a meaning for a master (PIPE, ALRM) do not end or change it."""
    weir.start()
    before = weir.wait_workers(1)
    for number in (signal.SIGPIPE, signal.SIGALRM):
        weir.signal(number)
    watch(0.3)
    assert weir.worker_pids() == before
    assert weir.get("/").status == 200


# ---- pid file, daemon, process layout ---------------------------------------------------------------------

def test_pid_file(weir):
    """The pid file holds the master's pid and a newline while it runs."""
    weir.start()
    assert weir.pid_file.read_text() == f"{weir.pid}\n"


def test_master_has_one_thread_and_few_wakeups(weir):
    """The master has a single thread and uses no time while nothing happens."""
    weir.start(config(workers=2))
    weir.wait_workers(2)
    assert proc_field(weir.pid, "Threads") == "1"
    before = cpu_seconds(weir.pid)
    watch(1)
    assert cpu_seconds(weir.pid) - before <= limit(0.03)


def test_idle_worker_is_idle(weir):
    """A worker without requests uses no time: its loop does not spin."""
    weir.start(config(SLEEP))
    [worker] = weir.wait_workers(1)
    assert weir.get("/sleep?ms=1").status == 200
    before = cpu_seconds(worker)
    watch(1)
    assert cpu_seconds(worker) - before <= limit(0.05)


@pytest.mark.directive("daemon")
def test_daemon(weir):
    """As a daemon it returns at once with 0 and lives on in a session of its own, off the terminal."""
    weir.start(daemon=True)
    assert weir.pid != weir.process.pid
    assert os.getsid(weir.pid) not in (os.getsid(0), weir.process.pid)
    for fd in (0, 1):
        assert os.readlink(f"/proc/{weir.pid}/fd/{fd}") == "/dev/null"
    assert weir.get("/").text == "hello\n"
    assert weir.stop() == 0
    assert not weir.pid_file.exists()


def test_daemon_reports_failure_before_it_detaches(weir):
    """A daemon that cannot start says so on stderr and exits 1."""
    result = weir.run(conf="nonsense on;\n")
    assert result.returncode == 1
    assert re.search(rf'\[emerg\] unknown directive "nonsense".* in {weir.conf}:1$', result.stderr, re.M), result.stderr


@pytest.mark.directive("worker_processes")
def test_workers_auto(weir):
    """worker_processes auto is one worker for each usable core."""
    weir.start(config(workers="auto"))
    weir.wait_workers(len(os.sched_getaffinity(0)))


@pytest.mark.directive("daemon", "master_process")
def test_master_process_off(weir):
    """Without a master one process does everything, handlers on threads included, and TERM ends it."""
    weir.launch(config(SLEEP), directives="daemon off; master_process off;")
    wait_until(lambda: weir.accepts(weir.port), 10, "a server")
    assert weir.get("/").text == "ok"
    assert weir.get("/sleep?ms=1").status == 200
    assert children(weir.pid) == []
    assert weir.stop() == 0


# ---- privileges -------------------------------------------------------------------------------------------

@pytest.mark.needs_root
@pytest.mark.directive("user")
@pytest.mark.parametrize("user, who, group", [("user daemon;", "daemon", "daemon"), ("user daemon nogroup;", "daemon", "nogroup"), ("", "nobody", "nogroup")])
def test_workers_drop_privileges(weir, user, who, group):
    """A root master's workers run as the user given (nobody by default) in every id and group."""
    uid, gid = pwd.getpwnam(who).pw_uid, grp.getgrnam(group).gr_gid
    weir.start(config(SLEEP, user=user))
    [worker] = weir.wait_workers(1)
    assert uids(worker) == {uid}
    assert gids(worker) == {gid}
    assert set(proc_field(worker, "Groups").split()) <= {str(gid)}
    assert proc_field(worker, "CapEff") == "0" * 16
    assert uids(weir.pid) == {0}
    assert weir.get("/sleep?ms=1").status == 200


@pytest.mark.directive("user")
@pytest.mark.needs_root
def test_unprivileged_master(weir, as_nobody):
    """Started by an ordinary user it serves as that user, warns about `user` and does not fail."""
    os.chown(weir.tmp, NOBODY.pw_uid, NOBODY.pw_gid)
    binary = as_nobody.pop("binary")
    conf = config("location / { return 200 ok; }", user="user root;").replace("load_module {modules}/demo.so;", "")
    weir.write(conf)
    command = weir.command
    weir.command = lambda *args: command(*args, binary=binary)
    weir.start(conf, **as_nobody)
    assert weir.get("/").text == "ok"
    assert uids(weir.pid) == {NOBODY.pw_uid}
    weir.wait_log(r'\[warn\].*"user" directive')


# ---- logs -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", ["user root;", pytest.param("user nobody nogroup;", marks=pytest.mark.needs_root)],
                         ids=["root", "nobody"])
def test_usr1_reopens_logs(weir, user):
    """After a rename and USR1 every line is in the old or the new file, none is lost, no worker changes."""
    conf = config("location / { access_log logs/access.log; return 200 ok; }", user=user, workers=2)
    weir.start(conf)
    workers = weir.wait_workers(2)
    old, new = weir.tmp / "logs/access.old", weir.tmp / "logs/access.log"

    def logged():
        return sum(path.read_text().count("\n") for path in (old, new) if path.exists())

    with Load(weir.port, "/", clients=4, pause=0.005) as load:
        load.rate(0.3)
        new.rename(old)
        weir.signal(signal.SIGUSR1)
        wait_until(lambda: new.exists() and new.stat().st_size, 3, "lines in the new log")
        load.rate(0.3)
        kept = old.stat().st_size
        load.rate(0.3)
    assert not load.failures
    wait_until(lambda: logged() == load.ok, 3, "a line for every answer")
    assert old.stat().st_size == kept, "the old log still grows"
    assert weir.worker_pids() == workers


# ---- a new binary -----------------------------------------------------------------------------------------

@pytest.fixture
def upgraded(weir):
    """A daemon under load, and the pid of the new binary that USR2 started beside it."""
    weir.expect_log("exited on signal")
    weir.start(config(SLEEP, workers=2), daemon=True)
    weir.wait_workers(2)
    weir.signal(signal.SIGUSR2)
    new = wait_until(lambda: weir.read_pid_file() not in (None, weir.pid) and weir.read_pid_file(), 5, "a new pid file")
    wait_until(lambda: len(children(new)) == 2, 5, "the new workers")
    yield new
    if alive(new):
        weir.signal(signal.SIGTERM, new)
        wait_until(lambda: not alive(new), 5, "the end of the new master")


def test_usr2_starts_a_new_binary(weir, upgraded):
    """USR2: the new master's pid in the pid file, the old one's in .oldbin, and both serve."""
    assert (weir.tmp / "logs/weir.pid.oldbin").read_text() == f"{weir.pid}\n"
    assert alive(weir.pid) and alive(upgraded)
    assert len(set(children(weir.pid)) - {upgraded}) == 2
    assert weir.get("/").text == "ok"


def test_usr2_then_quit_of_the_old(weir, upgraded):
    """After USR2, QUIT to the old master leaves the new one serving; no request fails."""
    with Load(weir.port, "/sleep?ms=10", clients=4) as load:
        load.rate(0.2)
        weir.signal(signal.SIGQUIT)
        assert weir.wait_exit(5) == 0
        load.rate(0.3)
        last = load.ok
        load.rate(0.2)
        assert load.ok > last
    assert not load.failures
    assert not (weir.tmp / "logs/weir.pid.oldbin").exists()
    assert weir.read_pid_file() == upgraded
    weir.pid = upgraded
    assert weir.stop() == 0
    assert not weir.pid_file.exists()


def test_usr2_roll_back(weir, upgraded):
    """After USR2, TERM to the new master gives the pid file back to the old one, which serves on."""
    with Load(weir.port, "/", clients=2, pause=0.01) as load:
        weir.signal(signal.SIGTERM, upgraded)
        wait_until(lambda: not alive(upgraded), 5, "the end of the new master")
        wait_until(lambda: weir.read_pid_file() == weir.pid, 3, "the old pid in the pid file")
        last = load.ok
        load.rate(0.3)
        assert load.ok > last
    assert not (weir.tmp / "logs/weir.pid.oldbin").exists()


def test_usr2_with_a_bad_file(weir):
    """USR2 while the file is wrong: the new binary gives up, the old one keeps its pid file and serves on."""
    weir.expect_log("nonsense|exited")
    weir.start(daemon=True)
    weir.write("nonsense on;\n")
    weir.signal(signal.SIGUSR2)
    weir.wait_log("nonsense")
    wait_until(lambda: weir.read_pid_file() == weir.pid, 3, "the old pid in the pid file")
    assert not (weir.tmp / "logs/weir.pid.oldbin").exists()
    assert weir.get("/").text == "hello\n"


# ---- workers that die -------------------------------------------------------------------------------------

def slot_of(weir, pid):
    return next(worker for worker in weir.status()["workers"] if worker["pid"] == pid)


def test_kill_a_worker_under_load(weir):
    """kill -9 of a worker: the others serve on, a new one takes its slot within a second, totals never fall."""
    weir.expect_log("exited on signal 9")
    weir.start(config(SLEEP, workers=3))
    workers = weir.wait_workers(3)
    victim = slot_of(weir, min(workers))
    totals = []

    def replaced():
        status = weir.status()
        totals.append((status["requests"]["total"], status["connections"]["accepted"]))
        return next((worker for worker in status["workers"] if worker["slot"] == victim["slot"]
                     and worker["pid"] != victim["pid"] and alive(worker["pid"])), None)

    with Load(weir.port, "/", clients=9, pause=0.005) as load:
        load.rate(0.3)
        totals.append((weir.status()["requests"]["total"], 0))
        weir.signal(signal.SIGKILL, victim["pid"])
        killed = time.monotonic()
        now = wait_until(replaced, 1, "a new worker in the slot")
        assert load.rate(0.5) > 100 / limit(1)
        for _ in range(10):
            replaced()
    assert now["restarts"] == victim["restarts"] + 1
    assert totals == sorted(totals), "a total went backwards"
    assert totals[-1][0] >= load.ok
    assert load.failed <= 9, "more than the victim's connections"
    assert not load.failures_since(killed + limit(0.5))
    assert weir.wait_workers(3) >= workers - {victim["pid"]}
    weir.wait_log(rf"{victim['pid']}.* exited on signal 9")


def test_gauges_of_a_dead_worker_fall_to_zero(weir):
    """What a killed worker had in hand is not counted for ever."""
    weir.expect_log("exited on signal 9")
    weir.start(config(SLEEP, workers=1))
    [worker] = weir.wait_workers(1)
    clients = [weir.connect() for _ in range(5)]
    for client in clients:
        client.request("/sleep?ms=100000")
    wait_until(lambda: weir.pool()["threads"]["running"] == 4, 3, "running handlers")
    assert weir.pool()["queue"]["length"] == 1
    weir.signal(signal.SIGKILL, worker)
    wait_until(lambda: weir.worker_pids() not in (set(), {worker}), 1, "a new worker")
    status = weir.status()
    assert status["pools"]["default"]["threads"]["running"] == 0
    assert status["pools"]["default"]["queue"]["length"] == 0
    assert status["connections"]["active"] == 1
    assert status["requests"]["in_flight"] <= 1
    for client in clients:
        client.close()


def test_every_worker_killed_at_once(weir):
    """With all workers killed at once the listener stays and the waiting client is answered by a new worker."""
    weir.expect_log("exited on signal 9")
    weir.start(config(workers=3))
    workers = weir.wait_workers(3)
    for worker in workers:
        weir.signal(signal.SIGKILL, worker)
    assert weir.get("/").text == "hello\n"
    assert not weir.wait_workers(3) & workers


@pytest.mark.needs_root
def test_workers_that_die_at_start(weir):
    """A worker that keeps dying at start is replaced with growing pauses; the log says so; TERM still ends it."""
    weir.expect_log("")
    weir.launch(config(user="user nobody nogroup;"), **without_capabilities(CAP_SETGID, CAP_SETUID))
    let_pass(4)
    log = weir.error_log
    starts = log.count("start worker process")
    pauses = [int(ms) for ms in re.findall(r"starting again in (\d+) ms", log)]
    assert alive(weir.pid), log
    assert 3 <= starts <= 25, f"{starts} starts in four seconds"
    assert all(later == 2 * earlier for earlier, later in zip(pauses, pauses[1:])) and len(pauses) >= 3, pauses
    assert re.search(r"setgid|initgroups|setuid", weir.error_log)
    assert re.search(r"again in|pause|back.?off|delay|wait", weir.error_log), weir.error_log
    assert weir.stop(2) == 0


# ---- systemd ----------------------------------------------------------------------------------------------

class Notify:
    """The receiving end of NOTIFY_SOCKET: the fields of each datagram, in order."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.env = dict(os.environ, NOTIFY_SOCKET=address.replace("\0", "@"))

    def read(self, seconds):
        self.socket.settimeout(limit(seconds))
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def wait(self, field, seconds=5):
        """The first datagram from now on that has the field."""
        deadline = time.monotonic() + limit(seconds)
        while time.monotonic() < deadline:
            fields = self.read(seconds)
            if field in fields:
                return fields
        raise AssertionError(f"no {field}")


@pytest.fixture(params=["path", "abstract"])
def notify(weir, request):
    address = str(weir.tmp / "notify") if request.param == "path" else f"\0{weir.tmp}"
    receiver = Notify(address)
    if request.param == "path":
        os.chmod(address, 0o666)
    yield receiver
    receiver.socket.close()


def test_notify_ready_and_stopping(weir, notify):
    """READY=1 comes once the server answers, STOPPING=1 when it is told to end."""
    weir.launch(env=notify.env)
    assert notify.wait("READY")["READY"] == "1"
    assert weir.get("/").text == "hello\n"
    weir.signal(signal.SIGTERM)
    assert notify.wait("STOPPING")["STOPPING"] == "1"
    assert weir.wait_exit() == 0


@pytest.mark.parametrize("conf", [config(), config("location / { return 200 b; }"), "nonsense on;\n"],
                         ids=["in-place", "respawn", "broken"])
@pytest.mark.parametrize("notify", ["path"], indirect=True)
def test_notify_reloading(weir, notify, conf):
    """Every reload, a refused one too, is RELOADING=1 with the monotonic time, and READY=1 when it is over."""
    weir.expect_log("nonsense")
    weir.launch(env=notify.env)
    notify.wait("READY")
    before = time.monotonic_ns() // 1000
    weir.write(conf)
    weir.signal(signal.SIGHUP)
    fields = notify.wait("RELOADING")
    assert fields["RELOADING"] == "1"
    assert before <= int(fields["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert fields.get("READY") is None
    assert notify.wait("READY")["READY"] == "1"


@pytest.mark.parametrize("notify", ["path"], indirect=True)
def test_watchdog(weir, notify):
    """WATCHDOG=1 comes in time while some worker's loop turns, and stops when none does."""
    env = dict(notify.env, WATCHDOG_USEC="1000000")
    weir.launch(config(workers=2, main="worker_stall_timeout 0;"), env=env)
    notify.wait("READY")
    for _ in range(3):
        notify.wait("WATCHDOG", 1)
    workers = sorted(weir.wait_workers(2))
    weir.signal(signal.SIGSTOP, workers[0])
    try:
        until = time.monotonic() + limit(2.5)
        while time.monotonic() < until:
            notify.wait("WATCHDOG", 1)
        weir.signal(signal.SIGSTOP, workers[1])
        until = time.monotonic() + limit(5)
        with pytest.raises(TimeoutError):
            while time.monotonic() < until:
                notify.read(1)
    finally:
        for pid in workers:
            weir.signal(signal.SIGCONT, pid)
    notify.wait("WATCHDOG", 2)


@pytest.fixture
def listener(weir):
    """A listening socket on the server's port that belongs to the test."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", weir.port))
        listening.listen(64)
        yield listening


def test_socket_activation(weir, listener):
    """A socket handed over by LISTEN_FDS is served, with the clients that came before the server."""
    with weir.connect() as early:
        early.request("/")
        weir.start(**with_listen_fds([listener]))
        assert early.response().text == "hello\n"
    assert weir.stop() == 0
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_socket_activation_after_reload(weir, listener):
    """A handed-over socket is still served after a reload that starts new workers."""
    weir.start(**with_listen_fds([listener]))
    assert weir.reload(config('location / { return 200 "b"; }'))["last_ok"] is True
    wait_until(lambda: weir.get("/").text == "b", 3, "the new answer")


def test_sockets_for_another_process_are_ignored(weir, listener):
    """LISTEN_FDS meant for another pid is not taken: the address is simply in use."""
    weir.launch(**with_listen_fds([listener], pid=1))
    weir.expect_log("Address already in use|could not bind")
    assert weir.wait_exit(10) == 1
    assert "98: Address already in use" in weir.stderr


# ---- starts that fail -------------------------------------------------------------------------------------

def test_port_in_use(weir, listener):
    """A port in use: exit 1 and a message that names the address; the pid file of nobody is left."""
    result = weir.run(conf=config())
    assert result.returncode == 1
    assert f"weir: [emerg] bind() to 127.0.0.1:{weir.port} failed (98: Address already in use)" in result.stderr
    assert not weir.pid_file.exists()


def test_second_server_leaves_the_first_alone(weir):
    """Starting the same server twice fails, and the first keeps its pid file and serves."""
    weir.start()
    weir.expect_log("Address already in use|could not bind")
    second = weir.run()
    assert second.returncode == 1 and f"bind() to 127.0.0.1:{weir.port} failed (98: Address already in use)" in second.stderr
    assert weir.read_pid_file() == weir.pid
    assert weir.get("/").text == "hello\n"


def test_address_of_another_host(weir):
    """An address that is not this host's is named, with the reason."""
    result = weir.run(conf=config(listen="192.0.2.1:{port}"))
    assert result.returncode == 1
    assert f"bind() to 192.0.2.1:{weir.port} failed (99: Cannot assign requested address)" in result.stderr


@pytest.mark.parametrize("directive, path", [
    ("pid nowhere/weir.pid;", "nowhere/weir.pid"),
    ("error_log nowhere/error.log;", "nowhere/error.log"),
], ids=["pid", "error_log"])
def test_missing_folder(weir, directive, path):
    """A pid file or log in a folder that does not exist: exit 1 and the path with the reason."""
    name = directive.split()[0]
    conf = re.sub(rf"^{name} .*$", directive, config(), flags=re.M)
    result = weir.run(conf=conf)
    assert result.returncode == 1
    assert f'open() "{weir.tmp}/{path}" failed (2: No such file or directory)' in result.stderr
    assert refused(weir.port)


def test_stale_pid_file(weir):
    """A pid file that a killed server left behind does not stop the next start."""
    weir.write("4194305\n", "logs/weir.pid")
    weir.start()
    assert weir.read_pid_file() == weir.pid


def test_log_lines_are_nginx_lines(weir):
    """Each line of the error log has nginx's form: date, level, pid#tid and text."""
    weir.start(config("location / { root html; }"))
    fetch(weir.port, "/missing")
    weir.stop()
    form = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(info|notice|warn|error)\] \d+#\d+: (\*\d+ )?\S")
    assert [line for line in weir.error_log.splitlines() if not form.match(line)] == []


def test_the_log_tells_the_request(weir):
    """An error of a request names client, server, request and host, as nginx's line does."""
    weir.start(config("location / { root html; }"))
    fetch(weir.port, "/missing")
    weir.wait_log(rf'\[error\] \d+#\d+: \*\d+ open\(\) "{weir.tmp}/html/missing" failed '
                  r"\(2: No such file or directory\), client: 127.0.0.1, server: \S*, "
                  r'request: "GET /missing HTTP/1.1", host: "localhost"')


def test_no_fds_leak_into_workers(weir):
    """A worker holds no descriptor of the starting shell, and all workers hold the same number."""
    with open(os.devnull) as extra:
        os.set_inheritable(extra.fileno(), True)
        weir.start(config(workers=3), close_fds=False)

    def alike():
        counts = {len(open_files(pid)) for pid in weir.wait_workers(3)}
        return max(counts) - min(counts) <= 1

    wait_until(alike, 3, "as many descriptors in each worker")


def test_master_reaps(weir):
    """No worker that died stays a zombie."""
    weir.expect_log("exited on signal 9")
    weir.start(config(workers=2))
    for worker in weir.wait_workers(2):
        weir.signal(signal.SIGKILL, worker)
    weir.wait_workers(2)
    listed = pathlib.Path(f"/proc/{weir.pid}/task/{weir.pid}/children").read_text().split()
    assert len(listed) == 2
    with Connection(weir.port) as client:
        assert client.get("/").status == 200
