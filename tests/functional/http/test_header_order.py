"""The order of an answer's header fields, which is nginx's: those with a place of their own, then the list as it grew."""

import pytest
from proxylib import answer, backend  # noqa: F401
from weirlib import config
from wire import ask, head

UPSTREAM = ("X-One: 1", "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT", "Cache-Control: private", "X-Two: 2", 'etag: "x"', "Location: http://o.test/", "Expires: Thu, 01 Jan 1970 00:00:01 GMT", "Cache-Control: public")
OWN = ["server", "date", "content-type", "content-length", "connection"]
REDIRECT = ["server", "date", "content-type", "content-length", "location", "connection"]
PROXIED = ["x-one", "last-modified", "cache-control", "x-two", "etag", "location", "expires"]


def order(weir, target, *fields):
    return [name for name, _ in ask(weir.port, head(f"GET {target} HTTP/1.1", *fields)).headers]


@pytest.mark.parametrize("words,expected", [("", [*PROXIED, "cache-control"]), ("expires 1h; add_header X a;", [*PROXIED, "x"]),
                                            ('add_header ETag "\\"y\\""; add_header Last-Modified z;', [*PROXIED, "cache-control"]),
                                            ('add_header ETag ""; add_header Last-Modified "";', ["x-one", "cache-control", "x-two", "location", "expires", "cache-control"])])
def test_of_upstreams(weir, backend, words, expected):  # noqa: F811
    """An upstream's fields stay in its order, whatever becomes of their values."""
    up = backend(answer(b"x", "Content-Type: text/plain", *UPSTREAM))
    weir.start(config(f"location / {{ {words} proxy_pass http://{up.address}; }}"))
    assert order(weir, "/") == [*OWN, *expected]


@pytest.mark.directive("absolute_redirect")
@pytest.mark.parametrize("location,expected", [("return 301 /x;", REDIRECT), ("return 301 http://o.test/;", [*OWN, "location"]),
                                               ("absolute_redirect off; return 301 /x;", [*OWN, "location"]), ("rewrite ^ /x permanent;", REDIRECT),
                                               ("error_page 404 http://o.test/; return 404;", [*OWN, "location"]), ("proxy_redirect http://o.test/ /; proxy_pass http://%UP%;", REDIRECT)])
def test_of_redirects(weir, backend, location, expected):  # noqa: F811
    """A Location that was made absolute stands before Connection, any other behind it."""
    up = backend(answer(b"x", "Content-Type: text/plain", "Location: http://o.test/x", status="302 Found"))
    weir.start(config(f"location / {{ add_header X a; {location} }}".replace("%UP%", up.address)))
    assert order(weir, "/") == [*expected, "x"]


def test_of_files(weir):
    """A Last-Modified of add_header stands among its lines; ETag stays where it is."""
    weir.write("text", "html/f.txt")
    weir.start(config('root html; location / { add_header X a; } location = /f.txt { add_header X a; add_header Last-Modified b; add_header ETag c; alias {tmp}/html/f.txt; }', http="types { text/plain txt; }"))
    assert order(weir, "/f.txt") == [*OWN, "etag", "x", "last-modified", "accept-ranges"]
