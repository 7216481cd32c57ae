"""What the service file takes away, and that the server does all it should without it; what nobody else may read of a worker."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import weirlib
from weirlib import config, proc_field, wait_until

UNIT = weirlib.ROOT / "etc/weir.service"
REQUIRED = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "read-only", "PrivateDevices": "yes", "PrivateTmp": "yes",
            "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectKernelLogs": "yes",
            "ProtectControlGroups": "yes", "ProtectClock": "yes", "ProtectHostname": "yes", "RestrictSUIDSGID": "yes",
            "RestrictRealtime": "yes", "RestrictNamespaces": "yes", "LockPersonality": "yes",
            "SystemCallArchitectures": "native"}
CAPABILITIES = ("chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service "
                "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin "
                "sys_boot sys_nice sys_resource").split()
LAST_CAPABILITY = 40


def settings():
    """The [Service] section as {name: value}, the last of each."""
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.M))


def test_settings_stand():
    """The sandbox is there, and only the capabilities that a master needs are left."""
    found = settings()
    assert {name: found.get(name) for name in REQUIRED} == REQUIRED
    kept = {name.removeprefix("CAP_").lower() for name in found["CapabilityBoundingSet"].split()}
    assert {"setuid", "setgid", "kill", "net_bind_service"} <= kept
    assert not kept & {"sys_admin", "sys_ptrace", "sys_module", "sys_rawio", "net_admin", "net_raw", "dac_read_search", "sys_boot"}
    assert set(found["RestrictAddressFamilies"].split()) == {"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}


def test_systemd_takes_it(tmp_path):
    """systemd knows every word of it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not there")
    (tmp_path / "sbin").mkdir()
    (tmp_path / "sbin/weir").symlink_to(weirlib.BINARY)
    unit = tmp_path / "weir.service"
    unit.write_text(UNIT.read_text().replace("@PREFIX@", str(tmp_path)).replace("@STATE@", str(tmp_path)))
    ran = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    if "Failed to connect" in ran.stderr or "Failed to initialize manager" in ran.stderr:
        pytest.skip(ran.stderr.splitlines()[0])
    assert [line for line in ran.stderr.splitlines() if "weir.service" in line] == []


def test_how_exposed_it_is(tmp_path):
    """By systemd's own measure, of ten: three."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not there")
    unit = tmp_path / "weir.service"
    unit.write_text(UNIT.read_text().replace("@PREFIX@", "/usr").replace("@STATE@", "/var"))
    ran = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=30", unit], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-200:] + ran.stderr


def confined():
    """A trampoline that leaves the service's capabilities, and no new ones ever."""
    kept = {CAPABILITIES.index(name.removeprefix("CAP_").lower()) for name in settings()["CapabilityBoundingSet"].split()}
    code = ("import ctypes, os, sys\n"
            "for cap in sys.argv[1].split(','): ctypes.CDLL(None).prctl(24, int(cap), 0, 0, 0)\n"
            "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
            "os.execv(sys.argv[2], sys.argv[2:])\n")
    dropped = [str(number) for number in range(LAST_CAPABILITY + 1) if number not in kept]
    return dict(trampoline=[sys.executable, "-c", code, ",".join(dropped)])


@pytest.mark.needs_root
def test_all_works_without_the_rest(weir):
    """Workers of another user, temporary folders, logs, reloads of both kinds, a killed worker, and the end."""
    weir.expect_log("exited on signal 9")
    conf = config("location / { handler echo; client_body_in_file_only clean; }", user="user nobody nogroup;", workers=2,
                  main="worker_rlimit_nofile 4096; worker_priority -1;", server="access_log logs/access.log;")
    weir.start(conf, **confined())
    workers = weir.wait_workers(2)
    assert {proc_field(pid, "Uid").split()[0] for pid in workers} == {str(weirlib.NOBODY.pw_uid)}
    assert proc_field(weir.pid, "NoNewPrivs") == "1"
    assert weir.get("/", method="POST", body=b"x" * 100_000).body == b"x" * 100_000
    os.kill(min(workers), signal.SIGKILL)
    wait_until(lambda: min(workers) not in weir.worker_pids(), 5, "the end of a worker")
    assert weir.reload(conf.replace("location /", "location /other { return 204; } location /"))["last_ok"]
    assert weir.get("/other").status == 204
    (weir.tmp / "logs/access.log").rename(weir.tmp / "logs/old.log")
    weir.signal(signal.SIGUSR1)
    wait_until(lambda: (weir.tmp / "logs/access.log").exists(), 3, "a new log")
    assert weir.stop() == 0


# ---- what others of the same user may see -------------------------------------------------------------------

def may_read(path):
    """Whether a process of the workers' user, that is no worker, can read a file of /proc."""
    code = f"import os; os.setgid({weirlib.NOBODY.pw_gid}); os.setuid({weirlib.NOBODY.pw_uid}); open('{path}', 'rb').read(1)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.directive("worker_rlimit_core")
@pytest.mark.needs_root
@pytest.mark.parametrize("more, readable", [("", False), ("worker_rlimit_core 10m;", True)])
def test_workers_are_closed_to_their_user(weir, more, readable):
    """Other processes of that user cannot look into a worker, unless cores are wanted of it."""
    weir.start(config(user="user nobody nogroup;", main=more))
    [worker] = weir.wait_workers(1)
    assert may_read(f"/proc/{worker}/environ") == readable


@pytest.mark.needs_root
def test_shared_memory_is_in_no_core(weir):
    """Addresses and URIs of the clients of all workers, and the keys of zones, are left out of a worker's core."""
    weir.start(config(http="limit_conn_zone $arg_a zone=z:64k;", main="worker_rlimit_core 10m;"))
    [worker] = weir.wait_workers(1)
    text = open(f"/proc/{worker}/smaps").read()
    flags = re.findall(r" rw-s [^\n]*/dev/zero \(deleted\)\n(?:\w+:.*\n)*?VmFlags: (.*)\n", text)
    assert len(flags) >= 2 and all("dd" in each.split() for each in flags), flags
