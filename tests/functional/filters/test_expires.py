"""expires and etag: what an answer says of how long it is good, and by what it is known again."""

import os
from email.utils import parsedate_to_datetime

import pytest
from mistakes import FLAG, value
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config


@pytest.mark.directive("expires")
@pytest.mark.parametrize("value,cache,seconds", [("1h", "max-age=3600", 3600), ("-1", "no-cache", -1), ("30d", "max-age=2592000", 2592000),
                                                 ("0", "max-age=0", 0)])
def test_expires(weir, value, cache, seconds):
    weir.start(config(f'location / {{ expires {value}; return 200 x; }} location /no {{ expires {value}; return 404; }}'))
    reply = weir.get("/")
    away = (parsedate_to_datetime(reply.header("Expires")) - parsedate_to_datetime(reply.header("Date"))).total_seconds()
    assert reply.header("Cache-Control") == cache and abs(away - seconds) <= 1
    assert weir.get("/no").header("Expires") is None


def test_expires_by_words(weir, backend):
    up = backend(answer(b"x", "Expires: yesterday", "Cache-Control: private"))
    weir.write("x", "html/f")
    os.utime(weir.tmp / "html/f", (1e9, 1e9))
    weir.start(config("root {tmp}/html; location /e { expires epoch; return 200; } location /m { expires max; return 200; }"
                      f"location /o {{ expires off; return 200; }} location /p {{ expires 60; proxy_pass http://{up.address}; }}"
                      "location /f { expires modified 1h; }"))
    assert weir.get("/e").header("Cache-Control") == "no-cache" and "1970" in weir.get("/e").header("Expires")
    assert weir.get("/m").header("Cache-Control") == "max-age=315360000" and weir.get("/o").header("Expires") is None
    assert weir.get("/p").header("Cache-Control") == "max-age=60" and "yesterday" not in weir.get("/p").header("Expires")
    assert weir.get("/f").header("Expires") == "Sun, 09 Sep 2001 02:46:40 GMT"


@pytest.mark.directive("etag")
def test_etag_off(weir):
    weir.write("x", "html/f")
    weir.start(config("root {tmp}/html; location /f { etag off; }"))
    assert weir.get("/f").header("ETag") is None and weir.get("/f").header("Last-Modified")


WRONG = {
    "expires soon;": 'invalid value "soon" in "expires"',
    "expires modified max;": 'invalid value "max" in "expires"',
    "etag 1;": value("etag", "1", FLAG),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG[wrong])
