"""Which answers get a charset: not those of 301 and 302, and those that are compressed already as they are."""

import gzip

import pytest
from proxylib import answer, backend  # noqa: F401
from weirlib import config
from wire import ask, head

UTF8 = "text/html; charset=utf-8"

REDIRECTS = {"location / { return 301 /x; }": "text/html", "location / { return 302 http://x/; }": "text/html", "location / { rewrite ^ /y redirect; }": "text/html",
             "location / { error_page 404 =302 http://x/; return 404; }": "text/html", "location /d { root html; }": "text/html",
             "location / { error_page 404 =301 /p; return 404; } location = /p { return 200 p; }": "text/plain",
             "location / { return 303 /x; }": UTF8, "location / { return 307 /x; }": UTF8, "location / { return 308 /x; }": UTF8, "location / { return 404; }": UTF8,
             "location / { return 503; }": UTF8}


@pytest.mark.parametrize("locations", REDIRECTS)
def test_redirects_and_errors(weir, locations):
    """The pages of 301 and 302 are bare, whoever made them; those of other statuses are not."""
    (weir.tmp / "html/d").mkdir()
    weir.start(config(locations, server="charset utf-8;"))
    assert ask(weir.port, head("GET /d HTTP/1.1")).header("content-type") == REDIRECTS[locations]


def test_compressed_answers(weir, backend):  # noqa: F811
    """They get the charset, but for those that would have to be converted, which stay what they are."""
    packed = gzip.compress(b"text")
    up = backend(answer(packed, "Content-Type: text/html", "Content-Encoding: gzip"))
    (weir.tmp / "html/f.html.gz").write_bytes(packed)
    weir.start(config(f"charset utf-8; location /p {{ proxy_pass http://{up.address}; }} location /c {{ source_charset koi8-r; proxy_pass http://{up.address}; }}"
                      "location /f.html { types { text/html html; } gzip_static always; } location /a { add_header Content-Encoding gzip; return 200 x; default_type text/html; }",
                      server="root html;"))
    found = {target: ask(weir.port, head(f"GET {target} HTTP/1.1")) for target in ("/p", "/c", "/f.html", "/a")}
    assert {target: got.header("content-type") for target, got in found.items()} == {"/p": UTF8, "/c": "text/html", "/f.html": UTF8, "/a": UTF8}
    assert found["/p"].body == found["/c"].body == found["/f.html"].body == packed


@pytest.mark.parametrize("said, words, named, expected",
                         [("koi8-r", "", "", "text/x; charset=koi8-r"), ("koi8-r", "charset utf-8;", "", "text/x; charset=koi8-r"),
                          ("koi8-r", "", "; charset=koi8-r", "text/x; charset=koi8-r"), ("off", "charset utf-8; charset_types *;", "", "text/x"),
                          ("a b", "", "", "text/x"), ("", "charset utf-8; charset_types *;", "", "text/x; charset=utf-8"),
                          ("koi8-r", "", "; charset=utf-8", "text/x; charset=utf-8"),
                          ("koi8-r", "proxy_ignore_headers X-Accel-Charset;", "", "text/x")])
def test_accel_charset(weir, backend, said, words, named, expected):  # noqa: F811
    """An upstream's wish counts for every type, and in place of charset; but it chooses no converter of the system's."""
    up = backend(answer(b"text", f"Content-Type: text/x{named}", f"X-Accel-Charset: {said}"))
    weir.start(config(f"location / {{ {words} proxy_pass http://127.0.0.1:{up.port}; }}"))
    assert ask(weir.port, head("GET / HTTP/1.1")).header("content-type") == expected
