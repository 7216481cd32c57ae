"""proxy_pass and its kin: spellings, ports, levels of the log and orders that nginx has."""

import re

import pytest
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import config


@pytest.mark.parametrize("text, seen", [("HTTP://%s", "/a/b?c"), ("Http://%s/x/", "/x/b?c"), ("http://%s?x=1", "/?x=1b?c"),
                                        ("HTTP://%s$request_uri", "/a/b?c"), ("http://%s?y=$arg_c", "/?y=")])
def test_schemes_and_targets(weir, backend, text, seen):
    """The scheme in any case, as of all URIs; a target without a path gets one (RFC 9112, 3.2.1)."""
    up = backend()
    weir.start(config(f"location /a/ {{ proxy_pass {text % up.address}; }}"))
    assert weir.get("/a/b?c").status == 200
    assert up.call.target == seen


@pytest.mark.directive("proxy_pass")
@pytest.mark.parametrize("unix, variable", [(True, False), (True, True), (False, False)])
def test_proxy_port(weir, backend, unix, variable):
    """A unix socket has none."""
    up = backend(path=weir.tmp / "sock") if unix else backend()
    target = f"http://{up.address}" + (":$request_uri" if variable else "")
    weir.start(config(f"location /a {{ proxy_pass {target}; proxy_set_header X-Port '[$proxy_port]'; }}"))
    assert weir.get("/a").status == 200
    assert up.call.header("X-Port") == f"[{'' if unix else up.port}]"


def test_level_of_failures_to_connect(weir):
    """What a server does is an error; a path that leads nowhere is critical, as in nginx."""
    weir.start(config("location /a { proxy_pass http://127.0.0.1:1; } location /b { proxy_pass http://unix:/none.sock; }"))
    weir.expect_log(r"connect\(\)")
    assert [weir.get(each).status for each in ("/a", "/b")] == [502, 502]
    lines = [re.search(r"\[(\w+)\].*connect\(\).*\((\d+):", line) for line in weir.error_log.splitlines()]
    assert [line.groups() for line in lines if line] == [("error", "111"), ("crit", "2")]


def test_the_last_method_counts(weir, backend):
    """Two methods of balancing are a warning, as in nginx."""
    servers = [backend(answer(str(i).encode())) for i in range(2)]
    weir.expect_log("load balancing method redefined")
    passed(weir, "up", http=upstream(*servers, more="hash $uri; ip_hash; least_conn;"))
    assert sorted(weir.get("/").text for _ in range(4)) == ["0", "0", "1", "1"]
    assert weir.run("-t").returncode == 0


def test_words_of_next_upstream(weir, backend):
    """`updating` is for caches, and accepted."""
    passed(weir, backend(answer(b"x")), "proxy_next_upstream error updating;")
    assert weir.get().text == "x"


@pytest.mark.parametrize("status", ["404 Not Found", "200 OK"])
def test_an_intercepted_answer_is_not_redirected(weir, backend, status):
    """proxy_intercept_errors comes before X-Accel-Redirect."""
    up = backend(answer(b"x", "X-Accel-Redirect: /other", status=status))
    weir.start(config(f"location /a {{ proxy_pass http://{up.address}; proxy_intercept_errors on; error_page 404 /page; }}"
                      "location /page { return 200 page; } location /other { return 200 other; }"))
    reply = weir.get("/a")
    assert (reply.status, reply.text) == ((404, "page") if "404" in status else (200, "other"))


def test_an_upstream_has_no_port(weir, backend):
    """http://up:80 is another name than http://up, and surely a mistake."""
    up = backend()
    result = weir.run("-t", conf=config("location / { proxy_pass http://up:80/; }", http=upstream(up)))
    assert result.returncode == 1 and 'upstream "up" may not have a port; remove ":80"' in result.stderr
