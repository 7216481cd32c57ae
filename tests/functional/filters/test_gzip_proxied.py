"""gzip_proxied: which answers to requests with Via are compressed, by what they say about caches."""

import pytest
from proxylib import answer, backend  # noqa: F401
from weirlib import config
from wire import ask, head

THEN = "Tue, 14 Nov 2023 22:13:20 GMT"
ANSWERS = {"plain": (), "past": (f"Expires: {THEN}",), "future": ("Expires: Wed, 15 Nov 2033 22:13:20 GMT",), "odd": ("Expires: -1",),
           "past, no-cache": (f"Expires: {THEN}", "Cache-Control: no-cache"), "no-cache": ("Cache-Control: no-cache",), "no-store": ("cache-control: a=1, NO-STORE",),
           "private": ("Cache-Control: private",), "private=": ('Cache-Control: private="x"',), "public": ("Cache-Control: public",),
           "second": ("Cache-Control: a", "Cache-Control: private"), "dated": (f"Last-Modified: {THEN}",), "tagged": ('ETag: "x"',)}
WITHOUT_BOTH = {"plain", "dated", "tagged"}
COMPRESSED = {"off": set(), "any": set(ANSWERS), "expired": WITHOUT_BOTH | {"past", "past, no-cache"}, "no-cache": WITHOUT_BOTH | {"no-cache"},
              "no-store": WITHOUT_BOTH | {"no-store"}, "private": WITHOUT_BOTH | {"private", "second"}, "no_last_modified": {"plain", "tagged"},
              "no_etag": {"plain", "dated"}, "no_last_modified no_etag": {"plain"}, "auth": WITHOUT_BOTH}


@pytest.mark.parametrize("words", COMPRESSED)
def test_answers_with_via(weir, backend, words):  # noqa: F811
    """Expires decides before Cache-Control, and only without both do validators count."""
    up = backend(lambda call: answer(b"<p>text</p>" * 9, "Content-Type: text/html", *list(ANSWERS.values())[int(call.target[1:])]))
    weir.start(config(f"gzip on; gzip_proxied {words}; location / {{ proxy_pass http://{up.address}; }}"))
    found = {name for number, name in enumerate(ANSWERS)
             if ask(weir.port, head(f"GET /{number} HTTP/1.1", "Accept-Encoding: gzip", "Via: 1.1 x")).header("content-encoding")}
    assert found == COMPRESSED[words]


def test_auth(weir, backend):  # noqa: F811
    """With it the client's Authorization is enough, whatever the answer says."""
    up = backend(answer(b"<p>text</p>" * 9, "Content-Type: text/html", "Cache-Control: public", f"Expires: {THEN}"))
    weir.start(config(f"gzip on; gzip_proxied auth; location / {{ proxy_pass http://{up.address}; }}"))
    fields = ["Accept-Encoding: gzip", "Via: 1.1 x"]
    assert [ask(weir.port, head("GET / HTTP/1.1", *fields, *more)).header("content-encoding") for more in ((), ("Authorization: Basic YQ==",))] == [None, "gzip"]


def test_at_the_upstreams_date(weir, backend):  # noqa: F811
    """A Date that is passed on is the time that Expires is held against."""
    up = backend(answer(b"<p>text</p>" * 9, "Content-Type: text/html", "Date: Mon, 13 Nov 2023 22:13:20 GMT", f"Expires: {THEN}"))
    weir.start(config(f"gzip on; gzip_proxied expired; proxy_pass_header Date; location / {{ proxy_pass http://{up.address}; }}"))
    assert ask(weir.port, head("GET / HTTP/1.1", "Accept-Encoding: gzip", "Via: 1.1 x")).header("content-encoding") is None


@pytest.mark.parametrize("tag,sent", [('"x"', 'W/"x"'), ('W/"x"', 'W/"x"'), ("odd", None)])
def test_tags(weir, backend, tag, sent):  # noqa: F811
    """What is compressed has a weak tag, and none if the upstream's is no entity tag."""
    up = backend(answer(b"<p>text</p>" * 9, "Content-Type: text/html", f"ETag: {tag}"))
    weir.start(config(f"gzip on; location / {{ proxy_pass http://{up.address}; }}"))
    assert ask(weir.port, head("GET / HTTP/1.1", "Accept-Encoding: gzip")).header("etag") == sent
