"""What a worker that has been taken over can put its hands on, and the master or others would then use as root."""

import os
import signal

import modlib
import pytest
from weirlib import config, wait_until

OTHER = 65534

HANDS = """
    char path[64], name[300];
    weir_set_header(r, "Content-Type", "text/plain");
    for (int fd = 3; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, name, sizeof name - 1);
        if (n <= 0)
            continue;
        name[n] = 0;
        int again = open(path, O_RDWR);
        int wrote = pwrite(again >= 0 ? again : fd, "x", 1, 0) == 1 || pwrite(fd, "x", 1, 0) == 1 || ftruncate(fd, 0) == 0;
        close(again);
        weir_printf(r, "%s %s\\n", wrote ? "written" : "kept", name);
    }
    return 0;
"""
HEAD = "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <stdio.h>\n#include <unistd.h>\n"


@pytest.mark.directive("load_module")
def test_modules_cannot_be_written_to(weir):
    """The copy of a module, which the master runs as well, is nobody's to change, by whatever descriptor."""
    path = modlib.build(weir.tmp, modlib.handlers(hands=HANDS), head=HEAD)
    weir.start(config("location / { handler hands; }", main=f"load_module {path};"))
    lines = weir.get("/").text.splitlines()
    copies = [line for line in lines if "memfd:" in line]
    assert len(copies) == 2 and all(line.startswith("kept ") for line in copies), lines
    assert weir.reload()["last_ok"] and weir.get("/").status == 200


def owned(weir, name, text="secret"):
    """A file that only root may have."""
    path = weir.write(text, name)
    os.chmod(path, 0o600)
    return path


@pytest.mark.needs("root", "other_users")
def test_a_link_in_place_of_a_log(weir):
    """Whoever may write to the folder of the logs does not get root's files by a link there: neither their owner nor their end changes."""
    weir.start(config(user="user nobody nogroup;", server="access_log logs/access.log;"))
    secret, log = owned(weir, "secret"), weir.tmp / "logs/access.log"
    os.chown(weir.tmp / "logs", OTHER, -1)
    log.unlink()
    log.symlink_to(secret)
    os.chown(log, OTHER, -1, follow_symlinks=False)
    weir.expect_log(r'open\(\) "\S+access.log" failed')
    os.kill(weir.pid, signal.SIGUSR1)
    weir.wait_log(r'open\(\) "\S+access.log" failed \(1: Operation not permitted\); still writing to the old file')
    assert weir.get("/").status == 200
    assert secret.stat().st_uid == 0 and secret.read_text() == "secret"


@pytest.mark.needs("root", "other_users")
def test_a_link_in_place_of_a_folder(weir):
    """Nor a folder of root's for a temporary one inside another."""
    conf = config("client_body_temp_path ct; location /n { client_body_temp_path ct/nested; }", user="user nobody nogroup;")
    weir.start(conf)
    secret = weir.tmp / "private"
    secret.mkdir(0o700)
    (weir.tmp / "ct/nested").rmdir()
    (weir.tmp / "ct/nested").symlink_to(secret)
    os.chown(weir.tmp / "ct/nested", OTHER, -1, follow_symlinks=False)
    weir.expect_log("cannot make client_body_temp_path")
    weir.reload(conf.replace("/nested;", "/nested; root other;"))
    weir.wait_log(r'cannot make client_body_temp_path "\S+ct/nested" for the workers')
    assert secret.stat().st_uid == 0


@pytest.mark.needs("root", "other_users")
def test_roots_own_links_are_followed(weir):
    """As containers have them: access.log is a link to somewhere else."""
    (weir.tmp / "elsewhere").mkdir()
    (weir.tmp / "logs").mkdir(exist_ok=True)
    (weir.tmp / "logs/access.log").symlink_to(weir.tmp / "elsewhere/log")
    weir.start(config(user="user nobody nogroup;", server="access_log logs/access.log;"))
    weir.get("/")
    wait_until(lambda: (weir.tmp / "elsewhere/log").read_text().count("GET / "), 10, "the line")


@pytest.mark.needs("root")
def test_a_file_in_place_of_a_folder(weir):
    """A temporary folder that is a file stays whose it is."""
    victim = owned(weir, "victim")
    weir.expect_log("cannot make client_body_temp_path")
    weir.start(config("client_body_temp_path victim;", user="user nobody nogroup;"))
    weir.wait_log(r'cannot make client_body_temp_path "\S+victim" for the workers; .*\(20: Not a directory\)')
    assert victim.stat().st_uid == 0
