"""charset_map: tables of the configuration between two charsets, in both directions, before iconv."""

import pytest
from proxylib import answer, backend  # noqa: F401
from weirlib import config
from wire import ask, head

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


@pytest.mark.directive("charset_map", "source_charset")
def test_iconv_does_the_rest(weir, backend):  # noqa: F811
    """Charsets between which there is no table are converted as without any, and variables find a table too."""
    up = backend(answer(b"\xc0", "Content-Type: text/html"))
    weir.start(config(f"location /w {{ charset windows-1251; source_charset koi8-r; proxy_pass http://{up.address}; }} "
                      f"location /v {{ charset $arg_c; source_charset koi8-r; proxy_pass http://{up.address}; }}", http="charset_map koi8-r utf-8 { C0 41; }"))
    assert [ask(weir.port, head(f"GET {target} HTTP/1.1")).body for target in ("/w", "/v?c=utf-8", "/v?c=windows-1251")] == [b"\xfe", b"A", b"\xfe"]


BYTES = b"a\xe0\xe1\xe2."
CONVERTED = b"a\xc1\xc2?."


@pytest.fixture
def byte_for_byte(weir, backend):  # noqa: F811
    """A file, and an upstream's answer, from one charset of single bytes to another."""
    weir.write("", "html/f.txt")
    (weir.tmp / "html/f.txt").write_bytes(BYTES)
    (weir.tmp / "html/big.txt").write_bytes(BYTES * 100000)
    up = backend(answer(BYTES, "Content-Type: text/plain", 'ETag: "t"'))
    tables = "charset_map own other { 61 61; E0 C1; E1 C2; } charset_map raised own { 41 61; }"
    weir.start(config(f"types {{ text/plain txt; }} root {{tmp}}/html; charset other; source_charset own; location /p {{ proxy_pass http://{up.address}; }}"
                      "location /utf8/ { alias {tmp}/html/; charset utf-8; } location /raised/ { alias {tmp}/html/; charset own; source_charset raised; }",
                      http=MAPS.replace("charset_map own Other { E0 C1; E1 C2; }", "charset_map own utf-8 { E0 D18E; }") + tables))
    return weir


@pytest.mark.parametrize("target", ["/f.txt", "/p"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_byte_for_byte_the_length_stays(byte_for_byte, target, method):
    got = ask(byte_for_byte.port, head(f"{method} {target} HTTP/1.1"), method)
    assert got.header("content-length") == str(len(BYTES)) and got.header("transfer-encoding") is None
    assert got.body == (CONVERTED if method == "GET" else b"") and got.header("etag").startswith('"')
    assert got.header("accept-ranges") == ("bytes" if target == "/f.txt" else None)


def test_byte_for_byte_ranges(byte_for_byte):
    def get(target, *fields):
        return ask(byte_for_byte.port, head(f"GET {target} HTTP/1.1", *fields))
    one, etag = get("/f.txt", "Range: bytes=1-2"), get("/f.txt").header("etag")
    assert (one.status, one.body, one.header("content-range")) == (206, b"\xc1\xc2", "bytes 1-2/5")
    assert get("/f.txt", "Range: bytes=-2", f"If-Range: {etag}").body == b"?."
    two = get("/f.txt", "Range: bytes=0-1,3-4")
    assert two.status == 206 and b"\r\n\r\na\xc1\r\n--" in two.body and b"\r\n\r\n?.\r\n--" in two.body
    assert two.header("content-length") == str(len(two.body)) and b"text/plain; charset=other" in two.body
    assert get("/big.txt").body == CONVERTED * 100000 and get("/big.txt", "Range: bytes=123456-400000").body == (CONVERTED * 100000)[123456:400001]
    beyond = get("/f.txt", "Range: bytes=9-")
    assert beyond.status == 416 and beyond.header("content-range") == "bytes */5" and b"416" in beyond.body


def test_what_changes_lengths_or_ascii(byte_for_byte):
    """To UTF-8 there is no length; a table that changes ASCII would change what stands between ranges."""
    utf8 = ask(byte_for_byte.port, head("GET /utf8/f.txt HTTP/1.1", "Range: bytes=0-1"))
    assert (utf8.status, utf8.header("content-length"), utf8.header("accept-ranges")) == (200, None, None)
    raised = ask(byte_for_byte.port, head("GET /raised/f.txt HTTP/1.1", "Range: bytes=0-1"))
    assert (raised.status, raised.header("content-length"), raised.header("accept-ranges")) == (200, "5", None)


@pytest.mark.parametrize("lines,says", [("charset_map a a { }", "between a charset and itself"), ("charset_map a b { } charset_map b A { }", "is there twice"),
                                        ("charset_map a b { C0; }", 'invalid line "C0"'), ("charset_map a b { C0 C1 C2; }", 'invalid line "C0"'),
                                        ("charset_map a b { G0 C1; }", 'invalid line "G0"'), ("charset_map a b { C0 D18E; }", 'invalid line "C0"'),
                                        ("charset_map a utf-8 { C0 D1; }", 'invalid line "C0"'), ("charset_map a utf-8 { C0 F09F9880; }", 'invalid line "C0"'),
                                        ("charset_map a b;", "has no opening")])
def test_wrong_tables(weir, lines, says):
    """A table that could not be meant is an error with its place."""
    checked = weir.run("-t", conf=config(http=lines))
    assert checked.returncode == 1 and says in checked.stderr and "weir.conf:" in checked.stderr
