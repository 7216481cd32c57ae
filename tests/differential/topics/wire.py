"""HTTP/1 itself: request lines, fields, framing, keep-alive, pipelines, Expect, good and bad, byte for byte."""

from cases import HELLO, Case, Request, answer, ask, pipeline

HTTP = "proxy_http_version 1.1;"
CASES = []
SAY = ("location / { return 200 '$request_method $uri $server_protocol $http_x|$content_length'; } location /p { proxy_pass "
    "http://%BACKEND%; } location /f { } location /d { deny all; }")


def raw(data, *methods, **more):
    return Request(data if isinstance(data, bytes) else data.encode("latin-1"),
        methods or (("HEAD",) if data[:4] in ("HEAD", b"HEAD") else ("GET",)), patience=more.pop("patience", 1.0), **more)


def last(line, *fields, host="Host: h.test", body=""):
    return raw("".join(each + "\r\n" for each in (line, *([host] if host else []), *fields, "Connection: close")) + "\r\n" + body)


# ---- request lines --------------------------------------------------------------------------------------------

LINES = ["GET / HTTP/1.1", "GET / HTTP/1.0", "GET / HTTP/1.2", "GET / HTTP/1.9", "GET / HTTP/1.10", "GET / HTTP/2.0", "GET / HTTP/0.9",
    "GET / HTTP/1", "GET / HTTP/1.", "GET / HTTP/.1", "GET / HTTP/11", "GET / HTTP/01.1", "GET / HTTP/1.01", "GET / http/1.1",
    "GET / Http/1.1", "GET / HTTPS/1.1", "GET / HTTP /1.1", "GET / HTTP/1.1 ", "GET / HTTP/1.1  ", "GET / HTTP/1.1\t", "GET / HTTP/1.1 x",
    "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET\t/ HTTP/1.1", "GET /\tHTTP/1.1", " GET / HTTP/1.1", "\tGET / HTTP/1.1", "GET /", "GET",
    "GET ", "GET / ", "GET  /", "", "get / HTTP/1.1", "Get / HTTP/1.1", "G-T / HTTP/1.1", "G_T / HTTP/1.1", "G.T / HTTP/1.1",
    "G1 / HTTP/1.1", "1 / HTTP/1.1", "GET@ / HTTP/1.1", "\xc9 / HTTP/1.1", "A" * 40 + " / HTTP/1.1", "HEAD / HTTP/1.1", "POST / HTTP/1.1",
    "PUT /f HTTP/1.1", "OPTIONS * HTTP/1.1", "GET * HTTP/1.1", "CONNECT h.test:80 HTTP/1.1", "TRACE / HTTP/1.1", "TRACE /f HTTP/1.1",
    "TRACK / HTTP/1.1", "PRI * HTTP/2.0", "DEBUG / HTTP/1.1", "GET /a b HTTP/1.1", "GET /a\x01 HTTP/1.1", "GET /a\x00 HTTP/1.1",
    "GET /a\x7f HTTP/1.1", "GET /a\xe9 HTTP/1.1", "GET /a\r HTTP/1.1", "GET a HTTP/1.1", "GET ?x HTTP/1.1", "GET #x HTTP/1.1",
    "GET http://h.test HTTP/1.1", "GET http://h.test/a HTTP/1.1", "GET http://h.test:8/a HTTP/1.1", "GET http://h.test:/a HTTP/1.1",
    "GET http:///a HTTP/1.1", "GET http://h.test:x/a HTTP/1.1", "GET http://H.TEST/a?b HTTP/1.0", "GET http://[::1]/a HTTP/1.1",
    "GET http://[::1 HTTP/1.1", "GET http://a_b/ HTTP/1.1", "GET http://u:p@h.test/ HTTP/1.1", "GET ws://h.test/ HTTP/1.1",
    "GET h2.c+x-y.z://h.test/ HTTP/1.1", "GET 1http://h.test/ HTTP/1.1", "GET http:/a HTTP/1.1", "GET http:a HTTP/1.1",
    "GET //h.test/a HTTP/1.1", "GET http://h.test/../a HTTP/1.1", "GET http://h%2etest/ HTTP/1.1", "GET http://h.test./ HTTP/1.1",
    "\x16\x03\x01\x02\x00\x01", "GET /" + "x" * 9000 + " HTTP/1.1", "X" * 9000]
CASES += [Case("request lines", SAY, [last(line) for line in LINES] + [last(line, host="") for line in LINES[:8]], files={"f": "file"},
    errors="info"),
          Case("request lines without a head", SAY, [raw(line + "\r\n\r\n")
              for line in ("GET /", "GET / HTTP/1.0", "GET / HTTP/1.1", "HEAD /", "GET /f", "GET /none", "POST /", "GET /x y")]
              + [raw(line + end) for line in ("GET /", "GET /f") for end in ("\r\n", "\n", "\n\n", "\r\r\n")], files={"f": "file"}),
          Case("empty lines first", SAY, [raw(lead + "GET / HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n")
              for lead in ("\r\n", "\n", "\r\n\r\n", "\r", " \r\n", "\r\n" * 10, "\n\r\n", "\0", "\x00\r\n")]),
          Case("lone line feeds", SAY, [raw(text.encode("latin-1"))
              for text in ("GET / HTTP/1.1\nHost: h.test\nConnection: close\n\n",
                  "GET / HTTP/1.1\nHost: h.test\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: h.test\nConnection: close\r\n\r\n",
                  "GET / HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\n", "GET / HTTP/1.1\r\nHost: h.test\r\nConnection: close\n\r\n",
                  "GET /p HTTP/1.1\nHost: h.test\nX: y\nConnection: close\n\n", "GET / HTTP/1.1\r\nHost: h.test\rConnection: close\r\n\r\n",
                  "GET / HTTP/1.1\r\r\nHost: h.test\r\nConnection: close\r\n\r\n",
                  "GET / HTTP/1.1\r\nHost: h.test\r\r\nConnection: close\r\n\r\n",
                  "GET / HTTP/1.1\r\nHost: h.test\r\nX: a\rb\r\nConnection: close\r\n\r\n",
                  "POST /p HTTP/1.1\nHost: h.test\nContent-Length: 3\nConnection: close\n\nabc", "GET / HTTP/1.0\n\n",
                  "GET / HTTP/1.1\nHost: h.test\nX: a\n b\nConnection: close\n\n")], errors="info")]

# ---- fields -----------------------------------------------------------------------------------------------------

FIELDS = ["X: a", "X:a", "X:  a  ", "X:\ta\t", "X:", "X: ", "X : a", "X\t: a", " X: a", "\tX: a", "X", "X a", ": a", ":", "X: a\r\n b",
    "X: a\r\n\tb", "X: a\x00b", "X: a\x01b", "X: a\x7fb", "X: \xe9", "X\xe9: a", "X@: a", "X(: a", "X_Y: a", "X.Y: a", "X-Y: a", "X/Y: a",
    "X[: a", "X\": a", "X,Y: a", "X;: a", "!#$%&'*+-.^_`|~: a", "1: a", "-: a", "_: a", "x: lower", "X: a: b", "X: a,b", "X\x00: a",
    "X\x01: a", "X: a\rb", "X: a\r", "X" * 300 + ": a", "X: " + "a" * 3000, "Host: other", "Host:", "Host: a/b", "HOST: h.test",
    "Content-Length: 0", "Content-Length:", "Content-Length: x", "Content-Length: -1", "Content-Length: +1", "Content-Length: 1 1",
    "Content-Length: 0, 0", "Content-Length: 0x0", "Content-Length: 00", "Content-Length: 99999999999999999999", "Content-Length: 1.0",
    "Transfer-Encoding: identity", "Transfer-Encoding: gzip", "Transfer-Encoding:", "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chunked;x",
          "Connection: keep-alive", "Connection: x", "Connection: close, x", "Connection: upgrade", "Connection:", "Upgrade: h2c",
          "Expect: 100-continue", "Expect: 100-Continue", "Expect: x", "Expect:", "TE: trailers", "Trailer: X", "Keep-Alive: 5",
          "Cookie: a", "Date: x", "User-Agent: ", "Accept-Encoding: x", "If-Modified-Since: x", "Authorization: x", "Depth: x",
          "Destination: x", "Overwrite: x", "X-Forwarded-For: x", "Content-Type: a", "Range: x"]
CASES += [Case("fields", SAY, [last("GET / HTTP/1.1", each) for each in FIELDS], errors="info"),
    Case("fields of 1.0", SAY, [last("GET / HTTP/1.0", each) for each in FIELDS]),
    Case("fields to the proxy", SAY, [last("GET /p HTTP/1.1", each) for each in FIELDS]),
    Case("fields twice", SAY, [last("GET /p HTTP/1.1", f"{name}: {value}", f"{name}: {other}")
        for name in ("Host", "Content-Length", "Transfer-Encoding", "Authorization", "If-Modified-Since", "If-Unmodified-Since", "If-Match",
            "If-None-Match", "Range", "If-Range", "User-Agent", "Referer", "Content-Type", "Cookie", "X", "Connection", "Expect", "Upgrade",
            "Accept", "X-Forwarded-For", "Via", "Date", "Keep-Alive", "TE", "Content-Range", "Accept-Encoding") for value,
            other in (("0", "0"), ("a", "b"))])]
CASES += [Case(f"a body that does not come: {field} to {target}", SAY, [last(f"GET {target} HTTP/1.{minor}", field)])
    for target in ("/", "/p", "/d") for field in ("Transfer-Encoding: chunked", "Content-Length: 9223372036854775807", "Content-Length: 5")
    for minor in (1,)]
CASES += [Case("fields many", SAY + "location /n { return 200 $http_x99; }",
    [last("GET /n HTTP/1.1", *[f"X{n}: {n}" for n in range(count)]) for count in (1, 50, 99, 100, 101, 200, 500)])]

CASES += [Case("malformed for a named server",
    "server_name default.test; add_header X default always; error_page 400 /e; location /e { return 200 default-page; } access_log "
    "%LOGS%/%ID%a.log;", [last("GET /x HTTP/1.1", field, host="Host: named.test")
        for field in ("X\x00: a", "X : a", "Content-Length: x", "Host: other", "Transfer-Encoding: bogus", "X: " + "v" * 9000, ": a",
            "X: a")] + [last("GET /%00 HTTP/1.1", host="Host: named.test"), last("GET /x HTTP/9.9", host="Host: named.test")],
               http="server { listen %ADDR%:%PORT%; server_name named.test; add_header X named always; error_page 400 /e; error_page 494 "
                   "/big; location /e { return 200 named-page; } location /big { return 200 named-big; } access_log %LOGS%/%ID%b.log; "
                   "location / { return 200 named; } }", mask=[(r"\[[^]]*\]", "TIME"), (r'" (\d{3}) \d+ ', r'" \1 N ')])]
# ---- bodies -----------------------------------------------------------------------------------------------------

BODIES = ["3\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "3\r\nabc\r\n0\r\nT: u\r\n\r\n", "3\r\nabc\r\n0\r\nT: u\r\nV: w\r\n\r\n",
    "3;x\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n0;z\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n", "3\t\r\nabc\r\n0\r\n\r\n",
    "03\r\nabc\r\n00\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n", "g\r\nabc\r\n0\r\n\r\n",
    "\r\nabc\r\n0\r\n\r\n", "3\nabc\n0\n\n", "3\r\nabc0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n",
    "a\r\n0123456789\r\n0\r\n\r\n", "ffffffffffffffff\r\nabc", "fffffffffffffffff\r\nabc", "80000000000000000\r\nabc",
    "3\r\nabc\r\n0\r\n: u\r\n\r\n", "3\r\nabc\r\n0\r\nT u\r\n\r\n", "3\r\nabc\r\n0\r\n T: u\r\n\r\n", "3;\"a;b\"\r\nabc\r\n0\r\n\r\n",
    "3;a=\"\r\nabc\r\n0\r\n\r\n", "3\r\rabc\r\n0\r\n\r\n", "3;\rx\r\nabc\r\n0\r\n\r\n", "3;x\nabc\r\n0\r\n\r\n",
    "00000000000000000000003\r\nabc\r\n0\r\n\r\n"]
for target in ("/p", "/", "/f", "/d"):
    CASES += [Case(f"chunks to {target}", SAY,
        [Request(f"POST {target} HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{body}"
                 .encode("latin-1"), ("POST",), patience=0.4) for body in BODIES],
        files={"f": "file"}, errors="info" if target == "/p" else ""),
              Case(f"lengths to {target}", SAY,
                  [Request(f"POST {target} HTTP/1.1\r\nHost: h.test\r\n{fields}Connection: close\r\n\r\n{body}".encode("latin-1"),
                      ("POST",), patience=0.4) for fields, body in (("Content-Length: 3\r\n", "abc"), ("Content-Length: 3\r\n", "abcdef"),
                          ("Content-Length: 0\r\n", ""), ("", ""), ("", "abc"),
                          ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
                          ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "3\r\nabc\r\n0\r\n\r\n"),
                          ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), ("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
                          ("Content-Length: 3, 3\r\n", "abc"), ("Content-Length: 03\r\n", "abc"), ("Transfer-Encoding: gzip\r\n", "abc"),
                          ("Transfer-Encoding: identity\r\n", "abc"),
                          ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
                          ("transfer-encoding:chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"))], files={"f": "file"})]
CASES += [Case(f"chunks of 1.0 {target}", SAY, [raw(f"POST {target} HTTP/1.0\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n")
    for fields in ("Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nHost: h.test\r\n", "Content-Length: 3\r\n")])
    for target in ("/p", "/")]
CASES += [Case("expect", SAY,
    [Request(f"{method} {target} HTTP/{version}\r\nHost: h.test\r\nExpect: {value}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
             .encode(), (method,)) for method in ("POST", "PUT", "GET") for target in ("/p", "/", "/f", "/d", "/none")
             for version in ("1.1", "1.0") for value in ("100-continue", "100-Continue", "x")], files={"f": "file"})]

# ---- connections ----------------------------------------------------------------------------------------------


def kept(*requests, **more):
    return pipeline(*requests, keeps=True, patience=1.0, **more)


OPEN = [ask("/", close=False), ask("/f", close=False), ask("/none", close=False), ask("/d", close=False), ask("/p", close=False),
    ask("/", method="HEAD", close=False), ask("/p", method="POST", body="abc", close=False),
    ask("/", method="POST", body="abc", close=False), ask("/f", method="POST", body="abc", close=False),
    ask("/d", method="POST", body="abc", close=False), ask("/none", method="PUT", body="abc", close=False), ask("/r", close=False),
    ask("/4", close=False), ask("/5", close=False), ask("/n", close=False), ask("/f", "If-None-Match: *", close=False),
    ask("/f", "Range: bytes=0-1", close=False), ask("/c", close=False)]
MORE = (SAY + "location /r { return 301 /x; } location /4 { return 400; } location /5 { return 503; } location /n { return 204; } location "
    "/c { return 444; }")
for words in ("", "keepalive_timeout 0;", "keepalive_timeout 75s 20s;", "keepalive_timeout 5s 0;", "keepalive_requests 1;",
    "keepalive_requests 2;", "keepalive_disable none;", "keepalive_disable msie6 safari;", "chunked_transfer_encoding off;",
    "lingering_close off;", "lingering_close always;", "tcp_nodelay off;"):
    CASES += [Case(f"kept: {words}", words + MORE, [kept(each) for each in OPEN]
        + [kept(one, two) for one in OPEN[:9] for two in (OPEN[0], OPEN[6])] + [kept(OPEN[0], OPEN[1], OPEN[2], OPEN[0])]
                   + [kept(ask("/", f"Connection: {value}", close=False, version=version))
                       for value in ("keep-alive", "Keep-Alive", "close", "Close", "keep-alive, close", "close, keep-alive", "x, close",
                           "upgrade", "closed", "") for version in ("1.1", "1.0")]
                           + [kept(ask("/", version="1.0", close=False)),
                               kept(ask("/p", "Connection: keep-alive", version="1.0", close=False)),
                               kept(ask("/", "User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)", close=False)),
                               kept(ask("/", "User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)", method="POST", body="a", close=False)),
                               kept(ask("/", "Connection: close", "Connection: keep-alive", close=False))], files={"f": "file"})]
CASES += [Case("kept after chunks", MORE,
    [kept(Request(f"POST {target} HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".encode(), ("POST",)),
        OPEN[0]) for target in ("/p", "/", "/f", "/d", "/none", "/r")], files={"f": "file"}),
          Case("kept after bad ones", MORE, [kept(raw(text), OPEN[0])
              for text in ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/9.1\r\nHost: h.test\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                  "BAD\r\n\r\n", "GET /%00 HTTP/1.1\r\nHost: h.test\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: h.test\r\n\r\n",
                  "CONNECT a:1 HTTP/1.1\r\nHost: h.test\r\n\r\n", "POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: x\r\n\r\n",
                  "GET / HTTP/1.1\r\nHost: h.test\r\nX y\r\n\r\n")]),
          Case("empty lines between", MORE, [kept(raw("GET / HTTP/1.1\r\nHost: h.test\r\n\r\n" + gap), OPEN[0])
              for gap in ("", "\r\n", "\n", "\r\n\r\n")]),
          Case("pipeline variables", 'location / { return 200 "$connection_requests $pipe $request_length\\n"; }',
              [kept(*[ask(f"/{n}", close=False) for n in range(4)])], log="'$connection_requests $pipe $request_length'"),
          Case("listen without a server", "server_name only.test; return 200 only;", [ask("/", host="x"), ask("/", host="only.test")]),
          Case("upgrade",
              "location / { proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://%BACKEND%; }",
              [Request(b"GET /up HTTP/1.1\r\nHost: h.test\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nfrom client", patience=0.5),
                  ask("/up"), ask("/no", "Upgrade: x")],
                  answers={"/up": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nfrom server", "*": HELLO},
                  closes=True, log="'$status $upstream_status $body_bytes_sent'"),
          Case("stub_status", "location /s { stub_status; } location /t { stub_status; allow 127.0.0.9; deny all; }",
              [ask("/s", method=m, body="a" if m == "POST" else None) for m in ("GET", "HEAD", "POST", "PUT", "OPTIONS")]
              + [ask("/t"), ask("/t", client="127.0.0.9")], mask=[(r"\d+", "N")])]

# ---- limits -----------------------------------------------------------------------------------------------------

for words in ("limit_req zone=z_%ID%;", "limit_req zone=z_%ID% burst=2 nodelay;", "limit_req zone=z_%ID% nodelay; limit_req_status 429;",
    "limit_req zone=z_%ID%; limit_req_dry_run on;", "limit_req zone=z_%ID% burst=1 nodelay; limit_req_log_level warn;",
    "limit_req zone=none;", "limit_req zone=z_%ID% burst=x;"):
    CASES += [Case(f"limit_req: {words}",
        f"location / {{ {words} return 200 never; }} location /f {{ {words} }} location /k {{ {words} proxy_pass http://%BACKEND%; }}",
        ["/f", "/f", "/f", "/f?k=", "/f?k=b", ask("/f", method="POST", body="abc"), "/k", ask("/f", method="HEAD"), "/none", "/"],
        http="limit_req_zone $arg_k$document_uri zone=z_%ID%:1m rate=1r/m;", files={"f": "file"}, log="'$status $limit_req_status'",
        errors="info", odd=True, mask=[(r"excess: \d+\.\d+", "excess: N")])]
for words in ("limit_conn c_%ID% 1;", "limit_conn c_%ID% 0;", "limit_conn c_%ID% 1; limit_conn_status 429; limit_conn_log_level info;",
    "limit_conn none 1;", "limit_conn c_%ID% 1; limit_conn_dry_run on;", "limit_conn c_%ID% 1; limit_conn c_%ID% 2;"):
    CASES += [Case(f"limit_conn: {words}", f"location /f {{ {words} }}", ["/f", "/f", ask("/f", method="POST", body="abc")],
        http="limit_conn_zone $binary_remote_addr zone=c_%ID%:1m;", files={"f": "file"}, log="'$status $limit_conn_status'", errors="info",
        odd=True)]
