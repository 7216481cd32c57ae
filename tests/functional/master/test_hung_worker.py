"""A worker whose loop stands still: the master says so, ends it and starts another; the others go on."""

import os
import re
import signal
import socket
import time

import modlib
import pytest
from weirlib import alive, config, let_pass, limit, turns, wait_until

STALL = "worker_stall_timeout 2s;"
# Makes the loop's own thread spin, as a fault of the server would, and lives on in its thread.
HANG = """
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
static void spin(int number) { (void)number; for (;;) { } }
static int run(weir_request *r)
{
    (void)r;
    signal(SIGUSR2, spin);
    syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2);
    sleep(20);
    return 0;
}
static const struct weir_handler list[] = {{.name = "hang", .run = run}, {0}};
WEIR_MODULE(list);
"""


def replaced(weir, pid, seconds=20):
    wait_until(lambda: not alive(pid), seconds, f"the end of {pid}")
    return weir.wait_workers(2)


def test_a_stopped_worker_is_replaced_alone(weir):
    """A worker that is stopped is told with its state, ended and replaced in its slot; the other one stays."""
    weir.expect_log("has not turned|exited on signal")
    weir.start(config(workers=2, main=STALL))
    victim = max(weir.wait_workers(2))
    before = {worker["pid"]: worker["slot"] for worker in weir.status()["workers"]}
    weir.signal(signal.SIGSTOP, victim)
    try:
        weir.wait_log(rf"\[alert\] {weir.pid}#\d+: worker process {victim} has not turned for [23] s, in state T", 5)
        after = replaced(weir, victim)
    finally:
        if alive(victim):
            weir.signal(signal.SIGCONT, victim)
    assert set(before) - {victim} < after
    assert {worker["slot"] for worker in weir.status()["workers"]} == set(before.values())
    assert weir.error_log.count("has not turned") == 1


def test_a_spinning_worker_says_what_it_ran(weir):
    """A loop that spins is ended too, and the log has what the worker ran: handler, request and client."""
    weir.expect_log("has not turned|exited on signal")
    path = modlib.build(weir.tmp, HANG)
    weir.start(config("location /hang { handler hang; } location / { return 200 ok; }", workers=2,
                      main=f"load_module {path}; {STALL}"))
    before = weir.wait_workers(2)
    with weir.connect() as client:
        client.request("/hang?now=1", headers=[("X-Request-ID", "asked-for-it")])
        found = weir.wait_log(r"worker process (\d+) has not turned for \d+ s, in state R", 6)
        after = replaced(weir, int(found[1]))
    assert len(before & after) == 1
    weir.wait_log(rf'worker process {found[1]} .*handler "hang" for \d+\.\d+ s, client: 127\.0\.0\.1, '
                  r'request: "GET /hang\?now=1", id: "asked-for-it"')
    assert weir.get("/").text == "ok"


@pytest.mark.directive("worker_stall_timeout")
def test_never(make_weir):
    """With 0 a stopped worker is left alone, for whoever looks at it, while another server replaces its own."""
    weir, other = make_weir(), make_weir()
    other.expect_log("has not turned|exited on signal")
    weir.start(config(workers=2, main="worker_stall_timeout 0;"))
    other.start(config(workers=2, main=STALL))
    victim, others = max(weir.wait_workers(2)), max(other.wait_workers(2))
    weir.signal(signal.SIGSTOP, victim)
    other.signal(signal.SIGSTOP, others)
    replaced(other, others)
    weir.signal(signal.SIGCONT, victim)
    assert victim in weir.wait_workers(2)
    assert "has not turned" not in weir.error_log


def test_a_frozen_machine_is_no_stall(weir):
    """Master and workers that stood still together, as a container that was frozen, go on together."""
    weir.start(config(workers=2, main=STALL))
    workers = weir.wait_workers(2)
    frozen = [*workers, weir.pid]
    for pid in frozen:
        weir.signal(signal.SIGSTOP, pid)
    let_pass(limit(3))
    slept = turns(weir.pid)
    weir.signal(signal.SIGCONT, weir.pid)
    wait_until(lambda: turns(weir.pid) > slept, 3, "a turn of the master before those of the workers")
    for pid in frozen:
        weir.signal(signal.SIGCONT, pid)
    assert weir.wait_workers(2) == workers
    assert "has not turned" not in weir.error_log


def test_the_watchdog_is_fed_while_one_turns(weir):
    """The service manager hears WATCHDOG=1 all the time while one of two workers stands still and is replaced."""
    address = str(weir.tmp / "notify")
    weir.expect_log("has not turned|exited on signal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(limit(1))
        weir.start(config(workers=2, main=STALL), env=dict(os.environ, NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000"))
        victim = max(weir.wait_workers(2))
        weir.signal(signal.SIGSTOP, victim)
        fed, end = [], time.monotonic() + limit(10)
        while alive(victim) and time.monotonic() < end:
            if re.search(rb"^WATCHDOG=1$", receiver.recv(4096), re.M):
                fed.append(time.monotonic())
    assert not alive(victim)
    assert max(later - earlier for earlier, later in zip(fed, fed[1:])) < limit(1), "no food for a period"
    replaced(weir, victim)


def test_the_only_worker(weir):
    """The only worker is replaced as well: a client that waited is answered."""
    weir.expect_log("has not turned|exited on signal")
    weir.start(config(main=STALL))
    [victim] = weir.wait_workers(1)
    weir.signal(signal.SIGSTOP, victim)
    assert weir.get("/", timeout=10).text == "hello\n"
    assert not alive(victim)
