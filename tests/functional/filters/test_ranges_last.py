"""Ranges are cut last: after what the configuration adds, and only out of what no filter has changed."""

import pytest
from weirlib import config
from wire import ask, head

TEXT = "0123456789" * 20
FILTERS = {"gzip on; gzip_types *;": ("200", "gzip"), "sub_filter_types *; sub_filter 0 zero;": ("200", None), "charset utf-8; source_charset koi8-r; charset_types *;": ("200", None),
           "gzip on; gzip_types *; gzip_min_length 1000;": ("206", None), "charset utf-8;": ("206", None)}


def get(weir, target, *fields):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields))


@pytest.mark.parametrize("words", FILTERS)
@pytest.mark.parametrize("ranges", ["bytes=0-3", "bytes=900-"])
def test_filters(weir, words, ranges):
    """What is compressed, replaced or converted has no ranges: it comes whole, wherever they lie."""
    weir.write(TEXT, "html/f.txt")
    weir.start(config(f"location / {{ {words} }}", http="root html; types { text/plain txt; }"))
    got = get(weir, "/f.txt", "Accept-Encoding: gzip", f"Range: {ranges}")
    status, coding = FILTERS[words]
    assert [got.status, got.header("content-encoding")] == [416 if status == "206" and "900" in ranges else int(status), coding]


def test_added_fields(weir):
    """add_header knows the whole and stands before Content-Range, and 416 has it, once."""
    weir.write(TEXT, "html/f.txt")
    weir.start(config('location / { root html; add_header X "$status $sent_http_content_length" always; add_header Y b; expires -1; }'))
    part, none = get(weir, "/f.txt", "Range: bytes=0-3"), get(weir, "/f.txt", "Range: bytes=900-")
    assert [name for name, _ in part.headers][-5:] == ["expires", "cache-control", "x", "y", "content-range"]
    for got, status, said in ((part, 206, "bytes 0-3/200"), (none, 416, "bytes */200")):
        assert [got.status, got.header("content-range"), got.header("cache-control")] == [status, said, "no-cache"]
        assert [value for name, value in got.headers if name in "xy"] == ["200 200", "b"]


def test_error_page(weir):
    """The page of 416 says how long the whole is, and an empty file is sent."""
    weir.write(TEXT, "html/f.txt")
    weir.write("", "html/empty.txt")
    weir.start(config("root html; error_page 416 /p; location = /p { return 200 page; }"))
    got = get(weir, "/f.txt", "Range: bytes=900-")
    assert [got.status, got.body, got.header("content-range")] == [416, b"page", "bytes */200"]
    assert get(weir, "/empty.txt", "Range: bytes=0-").status == 200


def test_if_range_of_what_is_sent(weir):
    """Validators that add_header has set are those that If-Range means."""
    weir.write(TEXT, "html/f.txt")
    weir.start(config("""root html; add_header ETag '"own"'; add_header Last-Modified "Wed, 15 Nov 2023 22:13:20 GMT";"""))
    assert [get(weir, "/f.txt", "Range: bytes=0-3", f"If-Range: {each}").status for each in ('"own"', '"other"', "Wed, 15 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 GMT")] == [206, 200, 206, 200]
