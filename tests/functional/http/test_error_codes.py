"""Statuses of refused requests and of error pages: nginx's own codes, redirects, and whose server block a bad request meets."""

import pytest
from weirlib import config, wait_until
from wire import ask, head

LONG = "x" * 9000


def get(weir, target, *fields):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields))


# ---- 494 to 497 -------------------------------------------------------------------------------------------

TITLES = {494: "Request Header Or Cookie Too Large", 495: "The SSL certificate error", 496: "No required SSL certificate was sent",
          497: "The plain HTTP request was sent to HTTPS port"}


@pytest.mark.parametrize("code", TITLES)
def test_kinds_of_400(weir, code):
    """return and error_page know them, a client sees 400."""
    weir.start(config(f"location = /r {{ return {code}; }} location = /e {{ error_page {code} /p; return {code}; }} location = /p {{ return 200 page; }}"
                      f"location = /as {{ error_page {code} =403 /p; return {code}; }} location = /own {{ error_page {code} = /p; return {code}; }}"
                      f"location = /400 {{ error_page 400 /p; return {code}; }} location = /n {{ error_page {code} @n; return {code}; }} location @n {{ return 200 named; }}"))
    plain = get(weir, "/r")
    assert plain.status == 400 and f"<title>400 {TITLES[code]}</title>" in plain.text and f"<center>{TITLES[code]}</center>" in plain.text
    found = {target: (got.status, got.text) for target in ("/e", "/as", "/own", "/n") for got in [get(weir, target)]}
    assert found == {"/e": (400, "page"), "/as": (403, "page"), "/own": (200, "page"), "/n": (400, "named")}
    assert TITLES[code] in get(weir, "/400").text


@pytest.mark.parametrize("fields", [[f"X: {LONG}"], [f"X{i}: {LONG[:6000]}" for i in range(8)]])
def test_a_head_that_is_too_large(weir, fields):
    """It is 494 inside, so that it can have a page of its own."""
    weir.start(config(server="error_page 494 /large; error_page 400 /bad; location = /large { return 200 large; } location = /bad { return 200 bad; }"))
    got = get(weir, "/", *fields)
    assert (got.status, got.text, got.header("connection")) == (400, "large", "close")
    weir.reload(config())
    wait_until(lambda: "<title>400 Request Header Or Cookie Too Large</title>" in get(weir, "/", *fields).text, 5, "the new worker's page")


@pytest.mark.parametrize("code", [498, 507, 599])
def test_codes_without_a_page_of_ours(weir, code):
    """error_page has a say in whatever return says."""
    weir.start(config(f"location = /e {{ error_page {code} /p; return {code}; }} location = /a {{ error_page {code} =418 /p; return {code}; }}"
                      "location = /p { return 200 page; }"))
    assert [(got.status, got.text) for got in (get(weir, "/e"), get(weir, "/a"))] == [(code, "page"), (418, "page")]


# ---- redirects --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("page", ["/r", "/w", "/d", "@n"])
def test_a_page_that_redirects(weir, page):
    """Its own status counts, whatever error_page says."""
    (weir.tmp / "html/d").mkdir()
    own = 301 if page == "/d" else 302
    weir.start(config("root html;" + "".join(f"location = /from{code} {{ error_page 404 ={code} {page}; return 404; }}" for code in (303, 307, 418)) +
                      "location /r { return 302 /x; } location /w { rewrite ^ /x redirect; } location @n { return 302 /x; } location /d { }"))
    assert [get(weir, f"/from{code}").status for code in (303, 307, 418)] == [own] * 3


def test_location_stays_with_its_answer(weir):
    """A page in place of a redirect carries its Location, whatever the status."""
    (weir.tmp / "html/d").mkdir()
    weir.start(config("root html; location /d { error_page 301 =200 /p; } location /r { error_page 302 =404 /p; return 302 /to; } location = /p { return 200 page; }"
                      "location /u { error_page 302 =301 http://x/; return 302 /to; } location /n { error_page 302 = @n; return 302 /to; } location @n { return 200 named; }"))
    base = f"http://a:{weir.port}"
    found = {target: (got.status, got.header("location")) for target in ("/d", "/r", "/u", "/n") for got in [get(weir, target)]}
    assert found == {"/d": (200, base + "/d/"), "/r": (404, base + "/to"), "/u": (301, "http://x/"), "/n": (200, base + "/to")}


# ---- whose server -----------------------------------------------------------------------------------------

TWO = """
    server {{ listen 127.0.0.1:{{port}}; server_name two; access_log {{tmp}}/logs/two.log f; error_page 400 405 494 /bad; add_header X-S two always;
              location = /bad {{ return 200 two; }} }}
"""

BAD = {
    "line behind Host": (b"GET / HTTP/1.1\r\nHost: two\r\nBad Line\r\n\r\n", True),
    "line before Host": (b"GET / HTTP/1.1\r\nBad Line\r\nHost: two\r\n\r\n", False),
    "length behind Host": (b"GET / HTTP/1.1\r\nHost: two\r\nContent-Length: x\r\n\r\n", True),
    "length before Host": (b"GET / HTTP/1.1\r\nContent-Length: x\r\nHost: two\r\n\r\n", True),
    "chunks of HTTP/1.0 before Host": (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nHost: two\r\n\r\n", True),
    "both lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: two\r\n\r\n", True),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: two\r\nHost: two\r\n\r\n", True),
    "field too long behind Host": (b"GET / HTTP/1.1\r\nHost: two\r\nX: " + LONG.encode() + b"\r\n\r\n", True),
    "field too long before Host": (b"GET / HTTP/1.1\r\nX: " + LONG.encode() + b"\r\nHost: two\r\n\r\n", False),
    "too many bytes": (b"GET / HTTP/1.1\r\nHost: two\r\n" + (b"X: " + LONG[:8000].encode() + b"\r\n") * 6 + b"\r\n", True),
    "URI": (b"GET /%zz HTTP/1.1\r\nHost: two\r\n\r\n", False),
    "absolute target": (b"GET http://two/ HTTP/1.1\r\nHost: def\r\nBad Line\r\n\r\n", True),
    "other absolute target": (b"GET http://def/ HTTP/1.1\r\nHost: two\r\nBad Line\r\n\r\n", False),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: two\r\n\r\n", True),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", False),
}


def test_whose_server_answers(weir):
    """A request that is refused meets the server block of its Host if that was read: its page, its headers, its logs."""
    weir.start(config(http='log_format f "$server_name $request_length $status";' + TWO.format(),
                      server="server_name def; access_log {tmp}/logs/def.log f; error_page 400 405 494 /bad; add_header X-S def always;"
                      "location = /bad { return 200 def; }", listen="127.0.0.1:{port} default_server", log="info"))
    found = {name: (got.text, got.header("x-s")) for name, (raw, _) in BAD.items() for got in [ask(weir.port, raw)]}
    wanted = {name: ("two", "two") if second else ("def", "def") for name, (_, second) in BAD.items()}
    assert found == wanted
    log = weir.tmp / "logs/two.log"
    wait_until(lambda: len(log.read_text().splitlines()) == sum(second for _, second in BAD.values()), 3, "lines of the second server")
    assert len([line for line in weir.error_log.splitlines() if "client sent" in line and "server: two" in line]) == len(log.read_text().splitlines())
