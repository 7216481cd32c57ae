"""Lines of the error log that fail2ban and its kin look for, in nginx's words."""

import base64
import re
import socket

import pytest

import weirlib
from weirlib import config, limit, wait_until


def said(weir, pattern, count=1):
    """The messages of the lines that match, without their time and process; there must be so many."""
    def lines():
        return re.findall(rf"^\S+ \S+ (\[\w+\]) \d+#\d+: (?:\*\d+ )?(.*{pattern}.*)$", weir.error_log, re.M)
    wait_until(lambda: len(lines()) >= count, 3, f"{count} lines with {pattern!r}")
    assert len(lines()) == count
    return [" ".join(each) for each in lines()]


def context(target, method="GET"):
    return f', client: 127.0.0.1, server: , request: "{method} {target} {weirlib.PROTOCOL}", host: "localhost"'


def test_passwords(weir):
    """A wrong password, an unknown user, a file that is not there, one that cannot be read: no word before them."""
    weir.write("ann:{PLAIN}pw\n", "conf/users")
    weir.expect_log("mismatch|was not found|failed")
    weir.start(config('auth_basic r; auth_basic_user_file $arg_f; location = /status { auth_basic off; status; } location / { }').replace(
        "location = /status { status; }", ""))
    path = weir.tmp / "conf"
    for user, target in (("ann", f"/?f={path}/users"), ("bob", f"/?f={path}/users"), ("ann", f"/?f={path}/none"), ("ann", f"/?f={path}")):
        weir.get(target, headers=[("Authorization", "Basic " + base64.b64encode(f"{user}:no".encode()).decode())])
    lines = said(weir, "client: 127.0.0.1.*/conf", 4)
    assert [re.sub(", client.*", "", line) for line in lines] == [
        '[error] user "ann": password mismatch', f'[error] user "bob" was not found in "{path}/users"',
        f'[error] open() "{path}/none" failed (2: No such file or directory)', f'[crit] read() "{path}" failed (21: Is a directory)']
    assert context(f"/?f={path}/users") in lines[0]


DENIALS = {"deny all;": 1, "auth_request /no;": 0, "satisfy any; deny all; auth_request /no;": 1, "deny all; auth_request /no;": 1}


@pytest.mark.parametrize("rules", DENIALS)
def test_forbidden_by_rule(weir, rules):
    """Said of rules, and of all that satisfy any could have let in; not of a 403 that auth_request got."""
    weir.expect_log("access forbidden by rule")
    weir.start(config(f"location = /no {{ return 403; }} location / {{ {rules} }}"))
    assert weir.get("/").status == 403
    weir.signal(10)  # USR1 is logged behind what went before
    weir.wait_log("reopening logs")
    assert [line for line in said(weir, "access forbidden by rule", DENIALS[rules])] == [
        "[error] access forbidden by rule" + context("/")] * DENIALS[rules]


@pytest.mark.parametrize("header", ["GET / HTTP/1.1", "PROXY TCP4 x y 1 2", "PROXY NO"])
def test_broken_proxy_header(weir, header):
    """With the client, and the address that it came to; in the log of the address's server."""
    weir.expect_log("broken header")
    weir.start(config(http="server { listen 127.0.0.1:{port2} proxy_protocol; error_log logs/other.log; location / { } }"))
    with socket.create_connection(("127.0.0.1", weir.port2), timeout=limit(5)) as s:
        s.sendall(header.encode() + b"\r\n\r\n")
        assert s.recv(100) == b""
    log = weir.tmp / "logs/other.log"
    wait_until(lambda: "broken" in log.read_text(errors="replace"), 3, "a line")
    assert re.search(rf'\[error\] \d+#\d+: \*\d+ broken header: "{header}.*" while reading PROXY protocol, client: 127.0.0.1, '
                     rf"server: 127.0.0.1:{weir.port2}$", log.read_text(), re.M)


def test_index_of_a_folder(weir):
    """The first index file of a folder that is not there, and one that may not be read."""
    weir.write("x", "html/shut/index.html").parent.chmod(0o755)
    (weir.tmp / "html/shut/index.html").chmod(0)
    weir.tmp.chmod(0o755)
    weir.start(config("location / { root {tmp}/html; } location /quiet/ { log_not_found off; }", user="user nobody;"))
    assert [weir.get(target).status for target in ("/quiet/", "/none/")] == [404, 404]
    root = weir.tmp / "html"
    assert said(weir, "is not found") == [f'[error] "{root}/none/index.html" is not found (2: No such file or directory)' + context("/none/")]
    if weirlib.IS_ROOT:
        assert weir.get("/shut/").status == 403
        assert said(weir, "is forbidden") == [f'[error] "{root}/shut/index.html" is forbidden (13: Permission denied)' + context("/shut/")]
