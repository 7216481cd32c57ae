"""X-Accel-Redirect: which paths are safe, what becomes of them, and the content type that stays."""

from proxylib import answer, backend  # noqa: F401
from weirlib import config
from wire import ask, head


def start(weir, backend):  # noqa: F811
    def reply(call):
        fields = ["Content-Type: app/up"] if "typed" in call.target else []
        return answer(b"up", *fields, "X-Accel-Redirect: " + call.target.split("u=", 1)[1])
    weir.write("text", "html/t.txt")
    weir.expect_log("unsafe URI|No such file|directory index")
    weir.start(config(f"root html; location /p {{ proxy_pass http://{backend(reply).address}; }} location /ret {{ return 200 $uri|$args; }}"
                      "location /in/ { internal; alias {tmp}/html/; } location @n { return 200 $uri; } types { text/plain txt; } default_type a/b;"))


def get(weir, target):
    return ask(weir.port, head(f"GET {target} HTTP/1.1"))


UNSAFE = ["/../x", "/a/../../x", "/%2e%2e/x", "/%2E./ret", "/in/../ret", "/ret/..", "/ret/../", "/..", "/ret%00", "http://o/", "ret", "", "?a=b"]


def test_unsafe_paths(weir, backend):  # noqa: F811
    """What climbs up, has a zero byte or does not begin with a slash is 404."""
    start(weir, backend)
    assert {path: get(weir, "/p?u=" + path).status for path in UNSAFE} == {path: 404 for path in UNSAFE}
    weir.wait_log('unsafe URI "/../x" was detected while reading response header from upstream')


SAFE = {"/ret": "/ret|", "/ret?a=b": "/ret|a=b", "/ret/%20x": "/ret/ x|", "/ret//a": "/ret//a|", "/ret/./b": "/ret/./b|", "/ret/..x": "/ret/..x|",
        "/ret/.../x": "/ret/.../x|", "/ret/a%2e%2e/b": "/ret/a../b|", "/ret/x%3Fa=b": "/ret/x?a=b|", "/ret?x=/../y": "/ret|x=/../y", "%2Fret": "/ret|",
        "@n": "/p", "/in/t.txt": "text"}


def test_safe_paths(weir, backend):  # noqa: F811
    """The rest is decoded once and otherwise stays as it is written."""
    start(weir, backend)
    assert {path: get(weir, "/p?u=" + path).text for path in SAFE} == SAFE


def test_content_type_stays(weir, backend):  # noqa: F811
    """The upstream's Content-Type is that of the answer, whoever gives the body."""
    start(weir, backend)
    assert {path: get(weir, "/p?typed&u=" + path).header("content-type") for path in ("/ret", "@n", "/in/t.txt")} == {
        "/ret": "app/up", "@n": "app/up", "/in/t.txt": "app/up"}
    assert get(weir, "/p?u=/in/t.txt").header("content-type") == "text/plain"
