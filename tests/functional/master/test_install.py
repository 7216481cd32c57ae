"""The program as `make install` leaves it: nothing is written below its own files, and no package is installed."""

import os
import shutil
import signal
import subprocess

import pytest
from weirlib import BINARY, IS_ROOT, ROOT, alive, fetch, free_port, limit, wait_until

pytestmark = pytest.mark.skipif(bool(os.environ.get("SAN")), reason="links the program anew")
ENV = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
USER = "user root;" if IS_ROOT else ""


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """The folder that the program was installed below, with the build's objects and a PREFIX of its own."""
    root = tmp_path_factory.mktemp("installed")
    root.parent.chmod(0o755)
    root.chmod(0o755)
    build, stubs = root / "build", root / "stubs"
    shutil.copytree(BINARY.parent, build, ignore=shutil.ignore_patterns("unit", "lint", "clang", "asan", "tsan", "ubsan", "run",
                                                                        "tools", "bench", "fuzz", "*.log"), symlinks=True)
    stubs.mkdir()
    for name in ("apt-get", "sudo"):
        (stubs / name).write_text(f'#!/bin/sh\necho "$0 $@" >> {root}/called\nexit 1\n')
        (stubs / name).chmod(0o755)
    subprocess.run(["make", "-s", "-C", ROOT, "install", f"B={build}", f"PREFIX={root}/usr"], check=True, timeout=limit(120),
                   env=ENV | {"PATH": f"{stubs}:{os.environ['PATH']}"}, stdout=subprocess.DEVNULL)
    return root / "usr"


def run(prefix, *args):
    return subprocess.run([prefix / "sbin/weir", *args], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=limit(15), check=False)


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_it_installs_no_packages(prefix):
    """`make install` asks no package manager."""
    assert not (prefix.parent / "called").exists()


def test_the_shipped_configuration_is_accepted(prefix):
    """What is installed passes its own -t, without options."""
    result = run(prefix, "-t", *(["-g", USER] if USER else []))
    assert result.returncode == 0, result.stderr
    assert f"{prefix}/etc/weir/weir.conf" in result.stderr


def test_what_is_not_named_has_its_place(prefix):
    """A short configuration: logs, pid, temporary files and modules are in the system's places, none below share."""
    port = free_port()
    conf = prefix / "etc/weir/short.conf"
    conf.write_text(f"{USER} load_module modules/demo.so; events {{ }}\nhttp {{ server {{ listen 127.0.0.1:{port};\n"
                    "location / { client_body_buffer_size 1k; handler echo; } location /fib { handler fib; } } }\n")
    before = files_below(prefix / "share")
    process = subprocess.Popen([prefix / "sbin/weir", "-c", conf, "-g", "daemon off;"], stderr=subprocess.PIPE, text=True)
    try:
        pid = prefix / "var/lib/weir/weir.pid"
        wait_until(lambda: pid.exists() and pid.read_text() == f"{process.pid}\n", 5, "the pid file")
        wait_until(lambda: answers(port), 5, "a server that answers")
        assert fetch(port, "/", method="POST", body=b"x" * 5000).body == b"x" * 5000
        wait_until(lambda: "POST / " in (prefix / "var/log/weir/access.log").read_text(), 3, "the line")
        assert (prefix / "var/log/weir/error.log").exists() and (prefix / "var/lib/weir/client_body_temp").is_dir()
        assert run(prefix, "-c", str(conf), "-s", "quit").returncode == 0
        assert process.wait(limit(5)) == 0, process.stderr.read()
    finally:
        if alive(process.pid) and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        process.stderr.close()
    assert files_below(prefix / "share") == before


def answers(port):
    try:
        return fetch(port, "/fib?n=5").status == 200
    except OSError:
        return False


def test_p_is_one_folder_for_all(prefix, tmp_path):
    """With -p everything that is not named is below that folder, as before."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "modules").symlink_to(prefix / "lib/weir/modules")
    (tmp_path / "x.conf").write_text(f"{USER} load_module modules/demo.so; events {{ }}\n"
                                     f"http {{ server {{ listen 127.0.0.1:{free_port()}; }} }}\n")
    before = files_below(prefix)
    result = run(prefix, "-t", "-p", str(tmp_path), "-c", "x.conf")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "logs/error.log").exists() and files_below(prefix) == before


def test_the_places_are_told(prefix):
    """-V says where logs, temporary files, modules and the pid file are."""
    said = run(prefix, "-V").stderr
    for place in ("var/log/weir", "var/lib/weir", "lib/weir/modules", "var/lib/weir/weir.pid", "etc/weir/weir.conf"):
        assert f"{prefix}/{place}" in said
