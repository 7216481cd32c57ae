"""What is wrong with a request's head, and what of it counts all the same."""

import re

import pytest
from weirlib import config, wait_until
from wire import ask, head


@pytest.mark.parametrize("line", ["HEAD  HTTP/1.1", "HEAD /\x01 HTTP/1.1", "HEAD /%zz HTTP/1.1", "HEAD / HTTP/7.1", "HEAD /" + 9000 * "x" + " HTTP/1.1", "HEAD nothing"])
def test_no_body_to_head(weir, line):
    """The method is known before what is wrong: an answer to HEAD is a head (RFC 9110, 9.3.2)."""
    weir.start(config())
    with weir.connect() as connection:
        connection.send(head(line))
        answer = connection.until_close()
    assert answer.startswith(b"HTTP/1.1 ") and answer.endswith(b"\r\n\r\n") and answer.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("method, target, uri", [("TRACE", "/a%20b", "/a b"), ("CONNECT", "a:80", "/")])
def test_uri_of_a_refused_method(weir, method, target, uri):
    """The log says what was asked for."""
    log = weir.tmp / "logs/access.log"
    weir.start(config(http="log_format uri '$status $uri';", server="access_log logs/access.log uri;"))
    with weir.connect() as connection:
        connection.send(head(f"{method} {target} HTTP/1.1", "Connection: close"))
        connection.until_close()
    assert wait_until(lambda: re.search("(?m)^405 (.*)$", log.read_text()), 3, "its line")[1] == uri


def test_host_in_redirects(weir):
    """The server's own redirects have the host in small letters, as $host does."""
    weir.write("x", "html/folder/x")
    weir.start(config("location / { root {tmp}/html; } location /r { return 301 /to; } location /w { rewrite ^ /to permanent; }"))
    found = [ask(weir.port, head(f"GET {target} HTTP/1.1", host="Host: H.Test:1")).header("Location") for target in ("/folder", "/r", "/w")]
    assert found == [f"http://h.test:{weir.port}{path}" for path in ("/folder/", "/to", "/to")]
