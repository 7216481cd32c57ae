"""The last name of try_files when it does not begin with a slash: it is routed as it is."""

import pytest
from weirlib import config
from wire import ask, head

CASES = {
    "try_files $uri t.html;": (404, "not here"),
    "try_files $uri app.php?q=$uri;": (200, "app.php q=/a"),
    "error_page 404 = @named; try_files $uri nope;": (404, "not here"),
    "error_page 404 =200 /404.html; try_files $uri x.php;": (200, "x.php "),
    "try_files $uri $arg_to;": (404, "not here"),
}


@pytest.mark.parametrize("rules", CASES)
def test_without_a_slash(weir, rules):
    """It may match an expression, else there is no such file: 404 and its page, not 500."""
    weir.write("not here", "html/404.html")
    weir.write("text", "html/t.html")
    weir.expect_log("No such file|does not begin")
    weir.start(config(f"root html; error_page 404 /404.html; location /a {{ {rules} }} location @named {{ return 200 named; }}"
                      'location ~ \\.php$ { return 200 "$uri $args"; } location = /404.html { }'))
    got = ask(weir.port, head("GET /a?to=b HTTP/1.1"))
    assert (got.status, got.text) == CASES[rules]
    assert weir.get("/t.html").text == "text"


@pytest.mark.directive("root")
def test_beside_the_root(weir):
    """A folder whose name begins with the root's is not reached."""
    weir.write("secret", "htmlx/file")
    weir.expect_log("No such file|does not begin")
    weir.start(config("root html; location /a { try_files $uri x/file; }"))
    assert weir.get("/a").status == 404


CODES = {"=0": "HTTP/1.1 404 Not Found", "=200": "HTTP/1.1 200 OK", "=403": "HTTP/1.1 403 Forbidden", "=999": "HTTP/1.1 999 ", "=444": "", "=100": ""}


@pytest.mark.parametrize("code", CODES)
def test_code(weir, code):
    """=444 closes without an answer, as what could be none; =0 is 404; any other is the answer's."""
    weir.start(config(f"location / {{ try_files $uri {code}; }}"))
    with weir.connect() as connection:
        connection.send(head("GET /none HTTP/1.1", "Connection: close"))
        assert connection.until_close().decode().partition("\r\n")[0] == CODES[code]


@pytest.mark.parametrize("code", ["=abc", "=1000", "=", "=-1"])
def test_no_code(weir, code):
    """-t refuses what is none."""
    result = weir.run("-t", conf=config(f"location / {{ try_files $uri {code}; }}"))
    assert result.returncode == 1 and f'invalid code "{code}"' in result.stderr


@pytest.mark.parametrize("last", ["''", "$arg_to"])
def test_empty(weir, last):
    """An empty last name is the root, a folder: the client is sent to it, with the server's fields."""
    weir.start(config(f"location / {{ try_files $uri {last}; add_header X-Place location; }}", server="add_header X-Place server;"))
    reply = weir.get("/none?x=1")
    assert (reply.status, reply.header("Location"), reply.header("X-Place")) == (301, f"http://localhost:{weir.port}/", "server")
