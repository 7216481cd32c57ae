"""What the logs leave behind: who sent a signal, what a dead worker ran, which upstream and which connection it was."""

import os
import re
import signal
import subprocess

import modlib
import pytest
from weirlib import BINARY, SLOW_BUILD, alive, config, free_port, proc_field, wait_until

MEANINGS = {
    signal.SIGTERM: "exiting", signal.SIGINT: "exiting", signal.SIGQUIT: "shutting down", signal.SIGHUP: "reconfiguring",
    signal.SIGUSR1: "reopening logs", signal.SIGWINCH: "stop accepting connections", signal.SIGTTIN: "one worker more",
    signal.SIGTTOU: "one worker fewer",
}
CRASHES = "#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\n" + modlib.handlers(
    wild='*(volatile int *)8 = 1; return 0;', quit='exit(0);', leave='_exit(3);', stop='abort();', wait='sleep(20); return 0;',
    overflow='volatile char a[1 << 20]; for (size_t i = sizeof a; i-- > 0;) a[i] = 1; return a[5];')


# ---- signals ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number, meaning", MEANINGS.items(), ids=[number.name for number in MEANINGS])
def test_a_signal_leaves_its_sender(weir, number, meaning):
    """Each signal is a line of level notice in nginx's words, with the pid that sent it."""
    weir.start(config(workers=2))
    weir.signal(number)
    weir.wait_log(rf"\[notice\] {weir.pid}#\d+: signal {int(number)} \({number.name}\) received from {os.getpid()}\b.*, {meaning}\n")


def test_a_signal_of_somebody_else(weir):
    """It is the sender's pid, also when that has ended."""
    weir.start()
    sender = subprocess.Popen(["sh", "-c", f"kill -HUP {weir.pid}"])
    sender.wait()
    weir.wait_log(rf"signal 1 \(SIGHUP\) received from {sender.pid}\b")


# ---- crashes ----------------------------------------------------------------------------------------------

@pytest.fixture
def crashing(weir):
    weir.expect_log("exited on signal")
    path = modlib.build(weir.tmp, CRASHES)
    locations = "".join(f"location /{name} {{ handler {name}; }}" for name in ("wild", "stop", "wait", "overflow", "quit", "leave"))
    weir.start(config("location / { return 200 ok; }" + locations, main=f"load_module {path};"))
    return weir


@pytest.mark.skipif(SLOW_BUILD, reason="sanitizers take these signals themselves")
@pytest.mark.parametrize("name, number", [("wild", signal.SIGSEGV), ("stop", signal.SIGABRT)])
def test_a_crash_has_a_name(crashing, name, number):
    """A handler that crashes is told with its request, client and id; a neighbour that ran is told as such."""
    [worker] = crashing.wait_workers(1)
    with crashing.connect() as beside, crashing.connect() as client:
        beside.request("/wait?beside=1", headers=[("X-Request-ID", "innocent")])
        wait_until(lambda: crashing.pool()["threads"]["running"] == 1, 3, "a running handler")
        client.request(f"/{name}?a=b", headers=[("X-Request-ID", "guilty-1")])
        crashing.wait_log(rf"worker process {worker} exited on signal {int(number)}")
    crashing.wait_log(rf'\[error\] {crashing.pid}#\d+: \*\d+ worker process {worker} ended in handler "{name}" for \d+\.\d+ s, '
                      rf'client: 127\.0\.0\.1, request: "GET /{name}\?a=b", id: "guilty-1"\n')
    crashing.wait_log(rf'worker process {worker} was running handler "wait" for .*, request: "GET /wait\?beside=1", id: "innocent"\n')
    assert crashing.get("/").text == "ok"


@pytest.mark.skipif(SLOW_BUILD, reason="sanitizers take these signals themselves")
def test_a_stack_that_ran_out(crashing):
    """A thread whose stack is full can say nothing; its request is told all the same."""
    with crashing.connect() as client:
        client.request("/overflow")
        crashing.wait_log(r'(was running|ended in) handler "overflow" .*"GET /overflow"')


def test_a_killed_worker_says_what_it_ran(crashing):
    """A worker that is killed from outside leaves its handlers' requests, and blames none."""
    [worker] = crashing.wait_workers(1)
    with crashing.connect() as client:
        client.request("/wait")
        wait_until(lambda: crashing.pool()["threads"]["running"] == 1, 3, "a running handler")
        crashing.signal(signal.SIGKILL, worker)
        crashing.wait_log(rf'worker process {worker} was running handler "wait" for .*"GET /wait"')
    assert "ended in" not in crashing.error_log


@pytest.mark.parametrize("name, code", [("quit", 0), ("leave", 3)])
def test_a_handler_that_ends_the_process(crashing, name, code):
    """By exit() or _exit(): its request is told, and those that it took along."""
    [worker] = crashing.wait_workers(1)
    crashing.expect_log(f"exited with code {code}")
    with crashing.connect() as beside, crashing.connect() as client:
        beside.request("/wait?beside=1")
        wait_until(lambda: crashing.pool()["threads"]["running"] == 1, 3, "a running handler")
        client.request(f"/{name}")
        crashing.wait_log(rf"worker process {worker} exited with code {code}")
    for line in (f'handler "{name}" for .*"GET /{name}"', r'handler "wait" for .*"GET /wait\?beside=1"'):
        crashing.wait_log(rf"worker process {worker} was running {line}")
    assert crashing.get("/").text == "ok"


@pytest.mark.skipif(SLOW_BUILD, reason="sanitizers take these signals themselves")
def test_nothing_is_said_of_what_has_ended(crashing):
    """Requests that were answered before are not in the list, nor those of an orderly end."""
    [worker] = crashing.wait_workers(1)
    for _ in range(100):
        crashing.get("/")
    with crashing.connect() as client:
        client.request("/wild")
        crashing.wait_log(r"exited on signal 11")
    wait_until(lambda: not alive(worker) and crashing.wait_workers(1), 3, "another worker")
    with crashing.connect() as client:
        client.request("/wait")
        wait_until(lambda: crashing.pool()["threads"]["running"] == 1, 3, "a running handler")
        crashing.stop()
    assert len(re.findall(r"ended in|was running", crashing.error_log)) == 1


@pytest.mark.skipif(SLOW_BUILD, reason="sanitizers take these signals themselves")
def test_what_clients_send_forges_no_line(crashing):
    """Control characters of a request are no line ends in the master's log either."""
    with crashing.connect() as client:
        client.send(b"GET /wild?%0a" + b"x" * 400 + b" HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\tb\r\n\r\n")
        crashing.wait_log(r'ended in handler "wild".*"GET /wild\?%0ax+", id: "')
    assert all(re.match(r"\d{4}/", line) for line in crashing.error_log.splitlines())


# ---- upstreams --------------------------------------------------------------------------------------------

def test_no_live_upstreams_has_a_name(weir):
    """The line names the upstream and the URI, as nginx does."""
    weir.start(config("location / { proxy_pass http://gone; }",
                      http="upstream gone { server 127.0.0.1:1 down; server 127.0.0.2:1 down; }"))
    assert weir.get("/a?b").status == 502
    weir.wait_log(r'no live upstreams while connecting to upstream, client: 127\.0\.0\.1, server: , '
                  r'request: "GET /a\?b HTTP/1\.1", upstream: "http://gone/a\?b", host: "localhost"\n')


def test_a_server_that_is_taken_out(weir):
    """max_fails taking a server out is a line of level warn with its address, as in nginx; before it there is none."""
    dead, other = free_port(), free_port()
    weir.start(config("location / { proxy_pass http://app/x; proxy_next_upstream off; }", http=f"""upstream app {{
        server 127.0.0.1:{dead} max_fails=2 fail_timeout=30s; server 127.0.0.1:{other} max_fails=9; }}"""))
    line = re.compile(r"\[warn\] .* upstream server temporarily disabled while connecting to upstream, client: 127\.0\.0\.1.*"
                      rf'upstream: "http://127\.0\.0\.1:{dead}/x"')
    for _ in range(2):
        assert weir.get("/").status == 502
    assert not line.search(weir.error_log)
    for _ in range(2):
        weir.get("/")
    wait_until(lambda: line.search(weir.error_log), 3, "the line")
    assert len(line.findall(weir.error_log)) == 1 and f":{other}/x" in weir.error_log


# ---- processes and connections ----------------------------------------------------------------------------

def command_line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().rstrip(b"\0").decode()


def test_titles(weir):
    """ps tells master and workers apart, says how the master was started, and which worker finishes."""
    weir.start(config("location /sleep { handler sleep; }", workers=2, user="user root;"))
    workers = weir.wait_workers(2)
    assert command_line(weir.pid).startswith("weir: master process ") and "-c conf/weir.conf" in command_line(weir.pid)
    assert {command_line(pid) for pid in workers} == {"weir: worker process"}
    with weir.connect() as client:
        client.request("/sleep?ms=3000")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
        weir.reload(config("location / { return 200 new; }", workers=1, user="user root;"))
        left = [pid for pid in workers if alive(pid)]
        wait_until(lambda: "weir: worker process is shutting down" in {command_line(pid) for pid in left if alive(pid)}, 3,
                   "a worker that finishes")
    assert proc_field(weir.pid, "Name") == "weir: master"


def test_the_environment_is_still_there(weir):
    """A longer title spoils neither the environment of workers nor the arguments of a new binary."""
    weir.start(config(main="env KEPT;", workers=1), env=dict(os.environ, KEPT="x" * 3000), daemon=True)
    weir.signal(signal.SIGUSR2)
    new = wait_until(lambda: weir.read_pid_file() not in (None, weir.pid) and weir.read_pid_file(), 5, "a new binary")
    wait_until(lambda: command_line(new).startswith("weir: master process"), 5, "its title, which it sets once it serves")
    assert "-c conf/weir.conf" in command_line(new)
    os.kill(new, signal.SIGTERM)
    wait_until(lambda: not alive(new), 5, "its end")


def test_connections_have_one_number(weir):
    """*N of the log is one connection's, whichever worker has it and whether that was replaced."""
    weir.expect_log("exited on signal")
    weir.start(config("location / { root html; }", workers=3))
    for turn in range(3):
        for _ in range(20):
            assert weir.get("/missing").status == 404
        if turn < 2:
            worker = min(weir.wait_workers(3))
            weir.signal(signal.SIGKILL, worker)
            wait_until(lambda pid=worker: not alive(pid), 3, "its end")
    numbers = re.findall(r"\*(\d+) open\(\)", weir.error_log)
    assert len(numbers) == 60 and len(set(numbers)) == 60


@pytest.mark.parametrize("option, short", [("--help", "-h"), ("--version", "-v")])
def test_long_options(option, short):
    """--help and --version are what everybody tries first."""
    long, expected = (subprocess.run([BINARY, each], capture_output=True, text=True, check=False) for each in (option, short))
    assert (long.returncode, long.stdout, long.stderr) == (0, expected.stdout, expected.stderr)
