"""charset_map: tables of the configuration between two charsets, in both directions, before iconv."""

import pytest
from proxylib import answer, backend  # noqa: F401
from wire import ask, head
from weirlib import config

MAPS = "charset_map koi8-r utf-8 { C0 D18E; c1 d0b0; C2 E282AC; } charset_map own Other { E0 C1; E1 C2; }"
CASES = {  # what is converted, from, to, and what comes out: as nginx has it
    "to utf-8": (b"a\xc0\xc1\xc2\xc3\xff.", "koi8-r", "utf-8", "aюа€??.".encode()),
    "from utf-8": ("aюа€б\U0001F600.".encode(), "utf-8", "koi8-r", b"a\xc0\xc1\xc2&#1073;&#128512;."),
    "what is no utf-8": (  # nginx loses what follows it
        b"a\xd1.\xff\xc0\x80\xd0", "utf-8", "koi8-r", b"a?.????"),
    "bytes": (b"a\xe0\xe1\xe2.", "own", "other", b"a\xc1\xc2?."),
    "bytes back": (b"a\xc1\xc2\xc3.", "Other", "OWN", b"a\xe0\xe1?."),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cut", [False, True])
def test_conversion(weir, backend, case, cut):  # noqa: F811
    """However the body is cut, each byte or character is what the table says."""
    body, source, to, expected = CASES[case]
    chunks = b"".join(b"1\r\n%c\r\n" % c for c in body) if cut else b"%x\r\n%s\r\n" % (len(body), body)
    up = backend(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    weir.start(config(f"charset {to}; source_charset {source}; location / {{ proxy_http_version 1.1; proxy_pass http://{up.address}; }}", http=MAPS))
    got = ask(weir.port, head("GET / HTTP/1.1"))
    assert got.body == expected and got.header("content-type") == f"text/html; charset={to}"


def test_iconv_does_the_rest(weir, backend):  # noqa: F811
    """Charsets between which there is no table are converted as without any, and variables find a table too."""
    up = backend(answer(b"\xc0", "Content-Type: text/html"))
    weir.start(config(f"location /w {{ charset windows-1251; source_charset koi8-r; proxy_pass http://{up.address}; }} "
                      f"location /v {{ charset $arg_c; source_charset koi8-r; proxy_pass http://{up.address}; }}", http="charset_map koi8-r utf-8 { C0 41; }"))
    assert [ask(weir.port, head(f"GET {target} HTTP/1.1")).body for target in ("/w", "/v?c=utf-8", "/v?c=windows-1251")] == [b"\xfe", b"A", b"\xfe"]


@pytest.mark.parametrize("lines,says", [("charset_map a a { }", "between a charset and itself"), ("charset_map a b { } charset_map b A { }", "is there twice"),
                                        ("charset_map a b { C0; }", 'invalid line "C0"'), ("charset_map a b { C0 C1 C2; }", 'invalid line "C0"'),
                                        ("charset_map a b { G0 C1; }", 'invalid line "G0"'), ("charset_map a b { C0 D18E; }", 'invalid line "C0"'),
                                        ("charset_map a utf-8 { C0 D1; }", 'invalid line "C0"'), ("charset_map a utf-8 { C0 F09F9880; }", 'invalid line "C0"'),
                                        ("charset_map a b;", "has no opening")])
def test_wrong_tables(weir, lines, says):
    """A table that could not be meant is an error with its place."""
    checked = weir.run("-t", conf=config(http=lines))
    assert checked.returncode == 1 and says in checked.stderr and "weir.conf:" in checked.stderr
