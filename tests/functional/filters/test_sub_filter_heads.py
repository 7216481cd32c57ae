"""sub_filter and an answer's head: texts that are empty, 304, and what a redirection cycle and 204 say."""

import pytest
from weirlib import config
from wire import ask, head


def get(weir, target, *fields):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields))


def test_empty_texts(weir):
    """Where every text is empty by its variables the answer stays what it is, with its length, validators and ranges."""
    weir.write("one two", "html/f.html")
    weir.start(config("root html; sub_filter $arg_x y;"))
    none, one = get(weir, "/f.html"), get(weir, "/f.html?x=one")
    assert none.body == b"one two" and one.body == b"y two"
    names = ("content-length", "etag", "last-modified", "accept-ranges")
    assert [all(got.header(name) for name in names) for got in (none, one)] == [True, False] and not any(one.header(name) for name in names)
    assert [get(weir, target, "Range: bytes=0-2").status for target in ("/f.html", "/f.html?x=one")] == [206, 200]


@pytest.mark.directive("sub_filter_last_modified", "sub_filter_types")
@pytest.mark.parametrize("words,weak", [("", None), ("sub_filter_last_modified on;", True)])
def test_not_modified(weir, words, weak):
    """304 has the validators that the answer with a body would have."""
    weir.write("one two", "html/f.html")
    weir.start(config(f"root html; sub_filter one 1; sub_filter_types *; {words}"))
    got = get(weir, "/f.html", "If-None-Match: *")
    assert got.status == 304 and [(got.header("etag") or "").startswith("W/") or None, bool(got.header("last-modified")) or None] == [weak, weak]


def test_a_cycle_is_named(weir):
    """The error log says where the last redirection of a cycle was to."""
    weir.expect_log("redirection cycle")
    weir.start(config("recursive_error_pages on; location /loop { error_page 402 /loop?x=y; return 402; }"))
    assert get(weir, "/loop").status == 500
    weir.wait_log('rewrite or internal redirection cycle while internally redirecting to "/loop", client: ')


def test_no_type_of_nothing(weir):
    """204 has no Content-Type, whoever gave it one."""
    weir.start(config("error_page 404 =204 /p; location = /p { return 200 text; }"))
    got = get(weir, "/none")
    assert [got.status, got.header("content-type")] == [204, None]
