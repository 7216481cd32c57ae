"""weir -t --format=json: the same as -t says, for programs."""

import json

import pytest
from weirlib import config


def report(weir, conf, *more):
    result = weir.run("-t", "--format=json", *more, conf=conf)
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert (result.returncode == 0) == found["ok"] and found["file"] == str(weir.conf)
    if not found["ok"]:
        weir.expect_log(".")
    return found


def test_nothing_wrong(weir):
    assert report(weir, config()) == {"ok": True, "file": str(weir.conf), "errors": [], "warnings": []}


def test_each_mistake(weir):
    """With the same words and places as without the option."""
    conf = config("location / { bogus on; return 999999; }\n location /x { gzip maybe; }")
    found = report(weir, conf)
    assert not found["ok"] and len(found["errors"]) == 3
    said = [f"{e['message']} in {e['file']}:{e['line']}" for e in found["errors"]]
    plain = weir.run("-t", conf=conf).stderr
    assert all(f"[emerg] {text}\n" in plain for text in said) and plain.count("[emerg]") == 3


def test_syntax(weir):
    [error] = report(weir, "events {\n")["errors"]
    assert error["line"] == 2 and "unexpected end" in error["message"]


def test_no_file(weir):
    result = weir.run("-t", "--format=json", "-c", "conf/none.conf")
    weir.expect_log("none.conf")
    found = json.loads(result.stdout)
    assert result.returncode == 1 and not found["ok"] and len(found["errors"]) == 1 and "none.conf" in found["errors"][0]["message"]


def test_warnings(weir):
    found = report(weir, config(http="server { listen 127.0.0.1:{port}; server_name a; } server { listen 127.0.0.1:{port}; server_name a; }"))
    assert found["ok"] and found["errors"] == [] and "conflicting server name" in found["warnings"][0]["message"] and found["warnings"][0]["line"] > 1


@pytest.mark.parametrize("what", ["address", "log", "pid"])
def test_what_a_start_would_refuse(weir, what):
    """Not only the file's own mistakes."""
    conf = {"address": config(listen="192.0.2.1:80"), "log": config(server="access_log /none/such/a.log;"), "pid": config().replace("pid logs/weir.pid;", "pid /none/such/weir.pid;")}[what]
    [error] = report(weir, conf)["errors"]
    assert {"address": "bind() to 192.0.2.1:80", "log": "/none/such/a.log", "pid": "/none/such/weir.pid"}[what] in error["message"]


def test_it_goes_with_the_test_only(weir):
    result = weir.run("--format=json", conf=config())
    assert result.returncode == 1 and 'goes with -t' in result.stderr and result.stdout == ""


def test_bytes_that_are_no_text(weir):
    weir.write("", "conf/weir.conf")
    weir.conf.write_bytes(b'events { }\nhttp { server { listen 127.0.0.1:1; server_name "\xff\xe9\x22; oops\n')
    result = weir.run("-t", "--format=json")
    weir.expect_log(".")
    assert not json.loads(result.stdout)["ok"]
