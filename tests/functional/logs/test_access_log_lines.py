"""access_log: which lines go where: conditions, buffers, and files that are renamed."""

import os
import signal

import pytest
from mistakes import variable
from weirlib import config, wait_until, watch


def log(weir, name):
    path = weir.tmp / "logs" / name
    return path.read_text().splitlines() if path.exists() else []


def test_condition(weir):
    weir.start(config('location / { access_log {tmp}/logs/c.log f if=$loggable; access_log {tmp}/logs/all.log f; return 200; }'
                      "location /ok { access_log {tmp}/logs/c.log f if=$loggable; return 200; } location /bad { return 404;"
                      "access_log {tmp}/logs/c.log f if=$loggable; }",
                      http="log_format f '$uri $status'; map $status $loggable { ~^[23] 0; default 1; }"))
    weir.get("/ok")
    weir.get("/bad")
    wait_until(lambda: log(weir, "c.log"), 3, "a line")
    assert log(weir, "c.log") == ["/bad 404"]


def test_buffer(weir):
    weir.start(config("location /b { access_log {tmp}/logs/b.log f buffer=1k; return 200; }"
                      "location /f { access_log {tmp}/logs/f.log f flush=200ms; return 200; }", http="log_format f '$uri';"))
    for _ in range(10):
        weir.get("/b")
    weir.get("/f")
    watch(0.1)
    assert not log(weir, "b.log") and not log(weir, "f.log")
    wait_until(lambda: log(weir, "f.log") == ["/f"], 3, "the time of the flush")
    for _ in range(400):
        weir.get("/b")
    assert 300 < len(log(weir, "b.log")) <= 410
    weir.stop()
    assert len(log(weir, "b.log")) == 410


def test_buffered_lines_belong_to_the_old_file(weir):
    weir.start(config("location /b { access_log {tmp}/logs/b.log f buffer=64k; return 200; }", http="log_format f '$uri';"))
    weir.get("/b")
    os.rename(weir.tmp / "logs/b.log", weir.tmp / "logs/b.old")
    weir.signal(signal.SIGUSR1)
    wait_until(lambda: log(weir, "b.old") == ["/b"], 3, "the line in the old file")


WRONG = {
    "access_log x combined buffer=0;": 'invalid parameter "buffer=0" of "access_log"',
    "access_log x combined odd;": 'invalid parameter "odd" of "access_log"',
    "access_log x if=$nosuch;": variable("nosuch"),
    "access_log syslog:server=x;": "invalid \"syslog:server=x\": the server's name or port cannot be resolved",
    "access_log logs/$host combined gzip;": '"access_log logs/$host": a server of syslog, or a file whose name has variables, has no buffer;',
    "access_log x flush=soon;": 'invalid parameter "flush=soon" of "access_log"',
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG[wrong])
