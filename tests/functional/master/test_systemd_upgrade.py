"""A new binary under a service manager: one main process that is believed, and never a service without one."""

import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest
from weirlib import ROOT, alive, children, config, limit, refused, wait_until

WATCHDOG_US = 1_000_000
# What a service manager sets for the main process alone.
AS_MAIN = ("import os, sys\nos.environ['WATCHDOG_PID'] = str(os.getpid())\nos.execv(sys.argv[1], sys.argv[1:])\n")


class Manager:
    """The receiving end of NOTIFY_SOCKET with systemd's rules of NotifyAccess=main: who is not main is not heard."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(path))
        self.env = dict(os.environ, NOTIFY_SOCKET=str(path), WATCHDOG_USEC=str(WATCHDOG_US))
        self.main = None
        self.heard, self.unheard = [], []  # (sender, {field: value})
        self.fed = []

    def hear(self, seconds=0.0):
        """Take what has come, and what comes within so many seconds at the most if nothing has."""
        while select.select([self.socket], [], [], seconds)[0]:
            text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
            sender = struct.unpack("iII", control[0][2])[0]
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            seconds = 0.0
            if sender != self.main:
                self.unheard.append((sender, fields))
                continue
            self.heard.append((sender, fields))
            if "MAINPID" in fields:
                self.main = int(fields["MAINPID"])
            if "WATCHDOG" in fields:
                self.fed.append((time.monotonic(), sender))

    def wait(self, holds, seconds, what):
        def look():
            self.hear(0.02)
            return holds()
        return wait_until(look, seconds, what)

    def said(self, field):
        return [(sender, fields[field]) for sender, fields in self.heard if field in fields]

    def wait_food(self, sender):
        """Wait until that process has fed the watchdog twice from now on."""
        begun = time.monotonic()
        self.wait(lambda: sum(who == sender and when > begun for when, who in self.fed) >= 2, 3, f"food by {sender}")


def is_weir_master(pid):
    return bool(children(pid))


@pytest.fixture
def manager(weir):
    manager = Manager(weir.tmp / "notify")
    weir.launch(config(workers=2), env=manager.env, trampoline=[sys.executable, "-c", AS_MAIN])
    manager.main = weir.pid
    manager.wait(lambda: manager.said("READY"), 5, "READY")
    yield manager
    started = children(weir.pid) if alive(weir.pid) else []
    for pid in {manager.main, *(pid for pid in started if is_weir_master(pid))} - {weir.pid}:
        if alive(pid):
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda pid=pid: not alive(pid), 5, "the end of the new master")
    manager.socket.close()


def upgrade(weir, manager):
    """USR2; returns the pid of the new master once it is the main process."""
    weir.signal(signal.SIGUSR2)
    manager.wait(lambda: manager.main != weir.pid, 5, "a new main process")
    return manager.main


def test_the_old_one_names_the_new(weir, manager):
    """The old master says MAINPID= once the new one serves; from then on the new one is heard, and feeds."""
    new = upgrade(weir, manager)
    assert manager.said("MAINPID")[-1] == (weir.pid, str(new))
    assert weir.read_pid_file() == new and len(children(new)) == 2
    manager.wait_food(new)
    assert weir.get("/").status == 200
    assert manager.unheard == []


def test_the_end_of_the_old_is_no_end_of_the_service(weir, manager):
    """QUIT to the old one says no STOPPING=1; the new one serves, feeds the watchdog, and says it at its own end."""
    new = upgrade(weir, manager)
    weir.signal(signal.SIGQUIT)
    assert weir.wait_exit(5) == 0
    manager.wait_food(new)
    assert manager.said("STOPPING") == [] and manager.main == new and manager.unheard == []
    manager.wait(lambda: manager.said("STATUS")[-1] == (new, "serving, configuration 1"), 4, "the new status")
    assert weir.get("/").status == 200
    os.kill(new, signal.SIGQUIT)
    wait_until(lambda: not alive(new), 5, "the end of the new master")
    manager.hear()
    assert manager.said("STOPPING") == [(new, "1")] and refused(weir.port)


def test_back_to_the_old(weir, manager):
    """When the new one ends first it names the old one, without STOPPING=1; that one feeds again."""
    new = upgrade(weir, manager)
    os.kill(new, signal.SIGTERM)
    wait_until(lambda: not alive(new), 5, "the end of the new master")
    manager.wait(lambda: manager.main == weir.pid, 3, "the old one as main process")
    assert manager.said("MAINPID")[-1] == (new, str(weir.pid)) and manager.said("STOPPING") == []
    manager.wait_food(weir.pid)
    assert weir.get("/").status == 200 and weir.read_pid_file() == weir.pid
    assert upgrade(weir, manager) not in (new, weir.pid)


def test_the_new_one_is_killed(weir, manager):
    """Then the old one says that it is the main process: who still listens to the dead one's unit hears it."""
    new = upgrade(weir, manager)
    weir.expect_log("has ended; serving on|the master is gone")
    os.kill(new, signal.SIGKILL)
    manager.wait(lambda: (weir.pid, str(weir.pid)) in [(sender, fields.get("MAINPID")) for sender, fields in manager.unheard], 5, "the old one's word")
    manager.main = weir.pid
    manager.wait_food(weir.pid)
    assert weir.get("/").status == 200 and weir.read_pid_file() == weir.pid


def test_a_new_one_that_fails(weir, manager):
    """A new binary that does not come up never becomes the main process."""
    weir.expect_log("nonsense|exited")
    weir.write("nonsense on;\n")
    weir.signal(signal.SIGUSR2)
    weir.wait_log("has ended; serving on")
    manager.wait_food(weir.pid)
    assert manager.main == weir.pid and manager.said("STOPPING") == [] and manager.unheard == []


def test_the_watchdog_is_fed_throughout(weir, manager):
    """From one master to the next no more than a period passes without food that is heard."""
    new = upgrade(weir, manager)
    weir.signal(signal.SIGQUIT)
    manager.wait_food(new)
    times = [when for when, _ in manager.fed]
    assert max(later - earlier for earlier, later in zip(times, times[1:])) < limit(WATCHDOG_US / 1e6)


def test_status_lines(weir, manager):
    """STATUS= says which configuration serves, and why a reload has failed."""
    assert "configuration 1" in manager.said("STATUS")[0][1]
    weir.expect_log("nonsense")
    weir.write(config() + "nonsense on;\n")
    weir.signal(signal.SIGHUP)
    manager.wait(lambda: "nonsense" in manager.said("STATUS")[-1][1], 3, "the reason")
    assert re.search(rf'configuration 1 stays: unknown directive "nonsense".* in {weir.conf}:\d+$', manager.said("STATUS")[-1][1])
    weir.write(config("location / { return 200 new; }", workers=2))
    weir.signal(signal.SIGHUP)
    manager.wait(lambda: "configuration 2" in manager.said("STATUS")[-1][1], 5, "the new configuration")


# ---- systemctl reload -------------------------------------------------------------------------------------

@pytest.mark.parametrize("conf, message", [
    ("nonsense on;\n", 'unknown directive "nonsense"'),
    (config("location / { handler nothing_like_it; }"), "nothing_like_it"),
    (config(listen="203.0.113.7:{port}"), "203.0.113.7"),
], ids=["directive", "handler", "address"])
def test_s_reload_checks_first(weir, conf, message):
    """-s reload of a file that -t refuses says why, fails, and signals nobody."""
    weir.expect_log(".")
    weir.start()
    result = weir.run("-s", "reload", conf=conf)
    assert result.returncode == 1 and message in result.stderr, result.stderr
    assert "reconfiguring" not in weir.error_log and weir.get("/").text == "hello\n"


def test_s_reload(weir):
    """-s reload of a good file reloads."""
    weir.start()
    assert weir.run("-s", "reload", conf=config("location / { return 200 new; }")).returncode == 0
    wait_until(lambda: weir.get("/").text == "new", 5, "the new configuration")


def test_the_units_stop(weir):
    """Its ExecStop ends the main process gracefully and returns when that has gone: after an upgrade systemd would not wait itself."""
    command = re.search(r"^ExecStop=(.*)$", (ROOT / "etc/weir.service").read_text(), re.M)[1]
    shell, script = re.fullmatch(r"(\S+) -c '(.*)'", command).groups()
    weir.start(config("location /slow { handler sleep; }"))
    with weir.connect() as client:
        client.request("/slow?ms=700")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
        stop = subprocess.Popen([shell, "-c", script.replace("$MAINPID", str(weir.pid))])
        assert client.response().status == 200
        assert weir.wait_exit(10) == 0 and stop.wait(limit(10)) == 0


def test_the_unit_file():
    """The unit reloads by the program itself, needs no other package's, and believes the main process alone."""
    unit = (ROOT / "etc/weir.service").read_text()
    assert re.search(r"^ExecReload=@PREFIX@/sbin/weir .*-s reload$", unit, re.M)
    assert "NotifyAccess=main" in unit and "/bin/kill" not in unit
