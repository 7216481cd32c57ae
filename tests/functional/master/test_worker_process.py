"""What a worker is before it serves: processors, priority, limits, folder, environment; and its sockets' options."""

import os
import pathlib

import modlib
import pytest
from mistakes import SIZE, arguments, value
from weirlib import config, proc_field


def workers(weir, count=1):
    """The slots and pids of so many workers, once all of them serve: then they have become what they are to be."""
    weir.wait_workers(count)
    return sorted((w["slot"], w["pid"]) for w in weir.status()["workers"])


@pytest.mark.directive("worker_cpu_affinity")
def test_processors(weir):
    allowed = sorted(os.sched_getaffinity(0))
    weir.start(config(main="worker_cpu_affinity auto;", workers=2))
    for slot, pid in workers(weir, 2):
        assert os.sched_getaffinity(pid) == {allowed[slot % len(allowed)]}


@pytest.mark.directive("worker_cpu_affinity")
def test_masks_of_processors(weir):
    first = min(os.sched_getaffinity(0))
    weir.start(config(main=f"worker_cpu_affinity 1{'0' * first};", workers=2))
    assert all(os.sched_getaffinity(pid) == {first} for _, pid in workers(weir, 2))


@pytest.mark.directive("worker_priority", "worker_rlimit_core", "working_directory")
def test_priority_limits_and_folder(weir):
    (weir.tmp / "cores").mkdir()
    weir.start(config(main="worker_priority 5; worker_rlimit_core 1m; working_directory {tmp}/cores;"
                           "env WEIR_TEST=value; env PATH;"))
    (_, pid), = workers(weir)
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5 or os.getpriority(os.PRIO_PROCESS, pid) == 5
    assert any(line.split()[4:6] == ["1048576", "1048576"] for line in limits.splitlines() if line.startswith("Max core"))
    assert os.readlink(f"/proc/{pid}/cwd") == str(weir.tmp / "cores") and proc_field(pid, "State")


@pytest.mark.directive("env")
def test_environment(weir):
    """What env sets is there for handlers, beside all that was there before."""
    module = modlib.build(weir.tmp, "#include <stdlib.h>\n" + modlib.handlers(
        env='const char *value = getenv(weir_arg(r, "name")); weir_puts(r, value ? value : "none"); return 0;'))
    weir.start(config("location / { handler env; }", main=f"load_module {module}; env MADE=here; env KEPT;"),
               env={**os.environ, "MADE": "elsewhere", "KEPT": "there", "ALSO": "too"})
    found = {name: weir.get(f"/?name={name}").text for name in ("MADE", "KEPT", "ALSO", "NONE")}
    assert found == {"MADE": "here", "KEPT": "there", "ALSO": "too", "NONE": "none"}


@pytest.mark.directive("worker_priority")
@pytest.mark.needs("root", "priority")
def test_raised_priority(weir):
    weir.start(config(main="worker_priority -3;"))
    (_, pid), = workers(weir)
    assert os.getpriority(os.PRIO_PROCESS, pid) == -3


WRONG = {
    "worker_priority 21;": value("worker_priority", "21", "a number from -20 to 20"),
    "worker_priority fast;": value("worker_priority", "fast", "a number from -20 to 20"),
    "worker_cpu_affinity 12;": 'invalid "worker_cpu_affinity"; write: auto [MASK], or a MASK of 0 and 1 for each worker',
    "worker_cpu_affinity 00;": 'invalid "worker_cpu_affinity"; write: auto [MASK], or a MASK of 0 and 1 for each worker',
    "worker_cpu_affinity auto 1 1;": 'invalid "worker_cpu_affinity"; write: auto [MASK], or a MASK of 0 and 1 for each worker',
    "worker_rlimit_core big;": value("worker_rlimit_core", "big", SIZE),
    "env;": arguments("env", "exactly 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(main=wrong), wrong).startswith(WRONG[wrong])


def test_options_of_sockets(weir):
    weir.start(config(listen="127.0.0.1:{port} rcvbuf=64k sndbuf=96k so_keepalive=30s::5 fastopen=16 bind"))
    assert weir.get("/").status == 200
    with weir.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.response()
        wanted = f"0100007F:{weir.port:04X}"
        with open("/proc/net/tcp", encoding="ascii") as table:
            timers = [row.split()[5][:2] for row in table if row.split()[1] == wanted and row.split()[3] == "01"]
        assert "02" in timers


@pytest.mark.parametrize("wrong", ["so_keepalive=1:2", "so_keepalive=::500", "rcvbuf=0", "sndbuf=x", "fastopen=0"])
def test_wrong_options_of_sockets(weir, wrong):
    result = weir.run("-t", conf=config(listen="127.0.0.1:{port} " + wrong))
    assert result.returncode == 1 and f'invalid parameter "{wrong}"' in result.stderr
