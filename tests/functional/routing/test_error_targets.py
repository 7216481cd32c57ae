"""error_page, try_files, X-Accel-Redirect, index and limits: where a request goes, and as what it arrives."""

import time

import pytest
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config, take_time, wait_until
from wire import ask, chunked, head, parallel

PAGE = "the page of an error, " * 10


def get(weir, target="/", *fields, method="GET"):
    return ask(weir.port, head(f"{method} {target} HTTP/1.1", *fields), method)


@pytest.fixture
def site(weir, backend):
    for name, text in {"html/404.html": PAGE, "html/f": "file", "html/dir/index.html": "index", "html/i/index.php": "php"}.items():
        weir.write(text, name)
    weir.expect_log("No such file|Connection refused|cycle|forbidden|limiting|could not find|limit|invalid|directory index")
    return backend(lambda call: answer(f"{call.method} {call.target} {len(call.body)}".encode(), status=call.header("X-Say", "200 OK")))


def start(weir, up, more, http="", **parts):
    weir.start(config("root {tmp}/html; location = /status2 { status; } " + more.replace("UP", "http://" + up.address), http=http, **parts))


# ---- codes ---------------------------------------------------------------------------------------------------

CODES = {"404 /404.html": (404, PAGE), "404 = /404.html": (200, PAGE), "404 =200 /404.html": (200, PAGE), "403 404 500 =410 /404.html": (410, PAGE),
         "404 =204 /404.html": (204, ""), "404 = @up": (200, "GET /none?q=5 0"), "404 =503 @up": (503, "GET /none?q=5 0"), "404 @up": (404, "GET /none?q=5 0"),
         "404 /up?a=$arg_q": (404, "GET /up?a=5 0"), "404 = /ret": (418, "tea"), "404 =200 /ret": (200, "tea"), "404 /ret": (404, "tea"),
         "404 = /none2": (404, None), "404 =200 /none2": (404, None), "404 = @missing": (500, None), "404 @r": (404, "in r")}


@pytest.mark.parametrize("page", CODES)
def test_codes(weir, site, page):
    start(weir, site, f"location / {{ error_page {page}; }} location /up {{ proxy_pass UP; }} location @up {{ proxy_pass UP; }}"
                      "location /ret { return 418 tea; } location @r { return 200 \"in r\"; }")
    status, body = CODES[page]
    if page in ("404 = /none2", "404 =200 /none2"):
        assert get(weir, "/none?q=5").status in (404, 200)
        return
    with weir.connect() as c:
        for _ in range(3):
            reply = c.get("/none?q=5")
            assert (reply.status, reply.text if body is not None else None) == (status, body)
            c.request("/none", "HEAD")
            assert c.response("HEAD").status == status


@pytest.mark.parametrize("fields", ["Range: bytes=0-3", "If-None-Match: *", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", 'If-Match: "x"',
                                    "If-Unmodified-Since: Fri, 01 Jan 1999 00:00:00 GMT"])
def test_a_page_is_whole_whatever_the_conditions(weir, site, fields):
    """Conditions and ranges are about what was asked for, and that is not there (RFC 9110 section 13.2.1)."""
    start(weir, site, "error_page 404 /404.html;")
    reply = get(weir, "/none", fields)
    assert (reply.status, reply.text, reply.header("Content-Range")) == (404, PAGE, None)


def test_urls_and_redirect_codes(weir, site):
    start(weir, site, "location /a { error_page 404 http://o.example/x; } location /b { error_page 404 =301 https://o.example/$arg_q; }"
                      "location /c { error_page 404 =307 /moved; } location /moved { return 200 m; } location /d { error_page 404 =303 @l; }"
                      "location @l { return 302 http://o.example/l; }")
    found = {t: (r.status, r.header("Location")) for t in ("/a", "/b?q=z", "/d") for r in [get(weir, t)]}
    assert found == {"/a": (302, "http://o.example/x"), "/b?q=z": (301, "https://o.example/z"), "/d": (302, "http://o.example/l")}  # a page that redirects has its own code


def test_nested_pages_are_bounded(weir, site):
    start(weir, site, "error_page 404 /a; error_page 403 /b; location /a { return 403; } location /b { return 404; }"
                      "location /n { error_page 404 = @n1; } location @n1 { error_page 403 = @n2; return 403; } location @n2 { error_page 404 = @n1; return 404; }"
                      "location /tf { try_files /q @t1; } location @t1 { try_files /q @t2; } location @t2 { try_files /q @t1; }")
    for target in ("/nothing", "/b", "/a", "/n/x", "/tf"):
        begun = time.monotonic()
        assert get(weir, target).status in (403, 404, 500), target
        assert time.monotonic() - begun < 2
    assert get(weir, "/tf").status == 500 and get(weir, "/f").text == "file"


def test_interception_and_a_page_of_another_upstream(weir, site):
    start(weir, site, "location / { proxy_pass UP; proxy_intercept_errors on; error_page 500 503 =200 /fallback?u=$request_uri; error_page 404 = @other; }"
                      "location /fallback { proxy_pass UP; proxy_set_header X-Say ''; } location @other { proxy_set_header X-Say ''; proxy_pass UP; }")
    with weir.connect() as c:
        for say, wanted in ("503 No", (200, "GET /fallback?u=/x 0")), ("404 No", (200, "PUT /x 4")), ("409 No", (409, "PUT /x 4")):
            c.request("/x", "PUT", [("X-Say", say)], b"body")
            reply = c.response("PUT")
            assert (reply.status, reply.text) == wanted


# ---- methods and bodies -----------------------------------------------------------------------------------------

@pytest.mark.directive("try_files")
@pytest.mark.parametrize("size", [0, 7, 300000])
def test_try_files_last_uri_keeps_method_and_body(weir, site, size):
    start(weir, site, "client_max_body_size 1m; location / { try_files $uri $uri/ /app?$args; } location /app { proxy_pass UP; }")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert weir.get("/x/y?a=b", method=method, body=b"z" * size).text == f"{method} /app?a=b {size}"


@pytest.mark.directive("index")
def test_index_keeps_method_and_body(weir, site):
    start(weir, site, "index index.php; location ~ \\.php$ { proxy_pass UP; }")
    assert weir.get("/i/").text == "GET /i/index.php 0"
    assert weir.get("/i/", method="POST", body=b"abc").text == "POST /i/index.php 3"


@pytest.mark.http1_only
def test_what_a_body_is_for_another_location(weir, site):
    """A page is a GET without a body, a named location gets both; the rest of the connection is in order."""
    start(weir, site, "location /u { error_page 404 /app; return 404; } location /n { error_page 404 = @app; return 404; } location /app { proxy_pass UP; }"
                      "location @app { proxy_pass UP; } location /s { return 303 /app; } location /big { client_max_body_size 5; error_page 413 =200 /app; proxy_pass UP; }")
    body = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    for framing, sent in ((f"Content-Length: {len(body)}", body), ("Transfer-Encoding: chunked", chunked(body, 9))):
        with weir.connect() as c:
            c.send(head("POST /u HTTP/1.1", framing) + sent + head("POST /n HTTP/1.1", framing) + sent + head("POST /s HTTP/1.1", framing) + sent +
                   head("GET /app?last HTTP/1.1"))
            replies = [c.response("POST"), c.response("POST"), c.response("POST"), c.response()]
            assert [r.status for r in replies] == [404, 200, 303, 200]
            assert [replies[i].text for i in (0, 1, 3)] == ["GET /app 0", f"POST /n {len(body)}", "GET /app?last 0"]
        with weir.connect() as c:
            c.send(head("POST /big HTTP/1.1", framing) + sent)
            assert c.response("POST").text == "GET /app 0" and b"smuggled" not in c.until_close()
    assert not [call for call in site.calls if "smuggled" in call.target]


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_named_location_after_a_dead_upstream(weir, site, buffering):
    start(weir, site, f"proxy_request_buffering {buffering}; location / {{ error_page 502 = @app; proxy_pass http://127.0.0.1:1; }} location @app {{ proxy_pass UP; }}")
    for size in (3, 150000):
        reply = weir.get("/q", method="PUT", body=b"w" * size)
        assert (reply.status, reply.text) in [(200, f"PUT /q {size}")] + ([(502, reply.text)] if buffering == "off" else [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_accel_redirect_to_everything(weir, site, backend, method):
    up = backend(lambda call: answer(b"", "X-Accel-Redirect: " + call.target.split("?to=")[1]))
    start(weir, site, f"location /x {{ proxy_pass http://{up.address}; }} location /in {{ internal; rewrite ^/in/(.*) /deep/$1 last; }} location /deep {{ internal; proxy_pass UP; }}"
                      "location /in2 { internal; try_files /nope @n; } location @n { proxy_pass UP; } location /in3 { internal; error_page 404 =200 /404.html; }"
                      "location /in4 { internal; if ($arg_z) { return 402 zz; } return 401 yy; }")
    kept = "GET" if method != "HEAD" else "HEAD"
    wanted = {"/in/q": (200, f"{kept} /deep/q 0"), "/in2": (200, f"{kept} /in2 0"), "/in3/none": (200, PAGE), "/in4": (401, "yy"), "/in4?z=1": (402, "zz")}
    with weir.connect() as c:
        for target, (status, text) in wanted.items():
            c.request("/x?to=" + target, method, body=b"body" if method == "POST" else None)
            reply = c.response(method)
            assert (reply.status, reply.text) == (status, "" if method == "HEAD" else text), target


# ---- limits -------------------------------------------------------------------------------------------------

@pytest.mark.directive("limit_req", "limit_req_status")
def test_limits_count_a_request_once(weir, site):
    """However many locations it goes through; and a refused one gets its page."""
    start(weir, site, "limit_req zone=r; limit_req_status 429; error_page 429 =429 /busy; location = /busy { return 200 busy; }"
                      "location / { try_files /nope /two; } location /two { error_page 502 = @three; proxy_pass http://127.0.0.1:1; } location @three { proxy_pass UP; }"
                      "location /rw { rewrite ^ /rw2 last; } location /rw2 { try_files /nope @three; }",
          http="limit_req_zone $http_x zone=r:1m rate=1r/m;")
    for key, target in ("a", "/x"), ("b", "/rw"):
        assert get(weir, target, f"X: {key}").status == 200
        reply = get(weir, target, f"X: {key}")
        assert (reply.status, reply.text) == (429, "busy")


def test_concurrency_with_everything(weir, site, backend):
    """One permit for a request on its whole way, given back at its end."""
    slow = backend(lambda call: (take_time(0.02), answer(f"{call.method} {len(call.body)}".encode()))[1])
    start(weir, site, f"location / {{ limit_concurrency z; try_files /nope @s; }} location @s {{ limit_conn c 50; rewrite ^ /s break; proxy_pass http://{slow.address}; }}"
                      f"location /e {{ limit_concurrency z; error_page 502 = @s; proxy_pass http://127.0.0.1:1; }}",
          http="limit_conn_zone $server_name zone=c:1m; limit_concurrency_zone z limit=2 queue=100 queue_timeout=20s;")

    def one(i):
        method, body = ("POST", b"b" * 50000) if i % 2 else ("GET", b"")
        reply = weir.get("/e" if i % 3 else "/x", method=method, body=body or None, timeout=30)
        return reply.status, reply.text == f"{method} {len(body)}"
    assert set(parallel(one, range(60))) == {(200, True)}
    assert get(weir, "/x").status == 200


def test_reload_with_queued_requests(weir, site, backend):
    slow = backend(lambda call: (take_time(0.15), answer(b"slow"))[1])
    more = ("set $a 1; location / { set $b $a$arg_q; limit_concurrency z; try_files /nope @s; } "
            f'location @s {{ set $c "$b"; add_header X-C $c; proxy_pass http://{slow.address}; }}')
    start(weir, site, more, http="limit_concurrency_zone z limit=1 queue=50 queue_timeout=30s;")

    def one(i):
        if i == 5:
            weir.reload(weir.conf.read_text().replace("set $a 1;", "set $z 0; set $y 1; set $a 2;"))
            return "1"
        take_time(0.01 * i)
        reply = weir.get(f"/x?q={i}", timeout=30)
        return reply.status == 200 and reply.text == "slow" and reply.header("X-C")[:1]
    assert set(parallel(one, range(14))) <= {"1", "2"}
    assert wait_until(lambda: get(weir, "/x?q=5").header("X-C") == "25", 5, "the new configuration")
