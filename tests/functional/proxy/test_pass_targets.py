"""proxy_pass: where a socket's path ends and a URI begins, in fixed targets and in those with variables; words that are blamed."""

import pytest
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config

TARGETS = {  # what stands behind the socket's path, and what becomes of "/at/a%20b?x=1"
    "": "/at/a%20b?x=1", ":": "/at/a%20b?x=1", ":/": "/a%20b?x=1", ":/b/": "/b/a%20b?x=1",
}
WITH_VARIABLES = {"": "/at/a%20b?x=1", ":": "/at/a%20b?x=1", ":$none": "/at/a%20b?x=1", ":/": "/", ":/b$is_args$args": "/b?x=1", ":?z": "/?z"}


@pytest.fixture
def up(weir, backend):
    return backend(lambda call: answer(call.target.encode()), path=weir.tmp / "up")


@pytest.mark.parametrize("end", TARGETS)
def test_fixed(weir, up, end):
    """A colon alone is the end of the path, and no URI."""
    weir.start(config(f"location /at/ {{ proxy_pass http://{up.address}{end}; }}"))
    assert weir.get("/at/a%20b?x=1").text == TARGETS[end]


@pytest.mark.parametrize("end", WITH_VARIABLES)
def test_with_variables(weir, up, end):
    """The same where variables make the target: an empty URI is none, and one of arguments has the path "/"."""
    weir.start(config(f'set $none ""; set $up {up.address}; location /at/ {{ proxy_pass http://$up{end}; }}'))
    assert weir.get("/at/a%20b?x=1").text == WITH_VARIABLES[end]


PLACES = {
    "expression": "location ~ ^/at/ { <pass> }", "named": "location / { error_page 402 = @up; return 402; } location @up { <pass> }",
    "if": "location / { if ($uri) { <pass> } }", "limit_except": "location / { limit_except POST { <pass> } }",
}


@pytest.mark.parametrize("place", PLACES)
def test_places_without_a_uri(weir, up, place):
    """Where no URI may stand the path may end with a colon all the same."""
    weir.expect_log("cannot have URI part")
    weir.start(config(PLACES[place].replace("<pass>", f"proxy_pass http://{up.address}:;")))
    assert weir.get("/at/a%20b?x=1").text == "/at/a%20b?x=1"
    for uri in ("/", "/b", "?a"):
        result = weir.run("-t", conf=config(PLACES[place].replace("<pass>", f"proxy_pass http://{up.address}:{uri};")))
        assert result.returncode == 1 and "cannot have URI part" in result.stderr and f'remove "{uri}"' in result.stderr


def test_what_is_no_uri(weir):
    """A text that would make no request target is refused."""
    result = weir.run("-t", conf=config("location / { proxy_pass http://unix:/run/x:x; }"))
    assert result.returncode == 1 and 'invalid URI "x" in "proxy_pass"' in result.stderr


WRONG = {"gzip_proxied expired must-revalidate auth": "must-revalidate", "gzip_proxied expired auth must-revalidate": "must-revalidate",
         "keepalive_disable bad msie6": "bad", "proxy_next_upstream error bad timeout": "bad", "proxy_ignore_headers bad Expires": "bad",
         "gzip_proxied bad": "bad"}


@pytest.mark.parametrize("line", WRONG)
def test_the_wrong_word_is_named(weir, line):
    """Of several words the one that is not known."""
    result = weir.run("-t", conf=config(server=line + ";"))
    assert result.returncode == 1 and f'invalid value "{WRONG[line]}"; it takes ' in result.stderr
