"""The last name of try_files when it does not begin with a slash: it is routed as it is."""

import pytest
from wire import ask, head
from weirlib import config

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


def test_beside_the_root(weir):
    """A folder whose name begins with the root's is not reached."""
    weir.write("secret", "htmlx/file")
    weir.expect_log("No such file|does not begin")
    weir.start(config("root html; location /a { try_files $uri x/file; }"))
    assert weir.get("/a").status == 404
