"""HTTP/2 with clients: targets, hosts, fields, bodies, trailers, limits, times, resets; what logs and upstreams make of it."""

import time

from cases import HELLO, Case, Tls, answer, ask, table
from frames import at_once, raw, talk, together

HTTP = "proxy_http_version 1.1;"
LIKE = ("static", "rewrite", "headers", "access", "wire", "variables", "proxy_request", "proxy_answer", "proxy_kinds", "proxy_target", "upstream", "http2_again")
CASES = []
KEYS = "ssl_certificate %CERTS%/h.pem; ssl_certificate_key %CERTS%/h.key; ssl_protocols TLSv1.2 TLSv1.3; "
SAID = ("$request|$status|$http2|$server_protocol|$scheme|$host|$http_host|$http_cookie|$request_uri|$uri|$args|$content_length|$connection_requests|"
        "$request_method|$is_args|$server_name|$https|$content_type")
LOG = "'" + SAID + "'"
SAYS = f'location / {{ return 200 "{SAID}\\n"; }} '
MORE = ("location /f { } location /p { proxy_pass http://%BACKEND%; } location /q/ { proxy_pass http://%BACKEND%/n/; } location = /d "
        "{ return 204; } ")
FILES = {"f.txt": "file text\n" * 9, "f.html": "<p>page</p>" * 99, "f/index.html": "index", "f/e.txt": ""}


def certify(authority):
    authority.certificate("h", ["h.test", "b.test"])


def h2(name, server, requests, listen="http2", **more):
    return Case(name, server, requests, listen=listen, **more)


def pairs(method="GET", path="/", scheme="http", authority="h.test", *more):
    """The pseudo-fields that are not None, and more."""
    known = ((":method", method), (":scheme", scheme), (":path", path), (":authority", authority))
    return [each for each in known if each[1] is not None] + list(more)


# ---- methods, targets, hosts ----------------------------------------------------------------------------------

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "TRACE", "BREW", "get", "G-T", "G_T", "G.T", "X" * 300)
for target in ("/x", "/f.txt", "/p", "/d", "/f", "/none"):
    CASES += [h2(f"methods: {target}", SAYS + MORE, [talk(target, method=each, body=body) for each in METHODS for body in (None, "a=b")
        if body or each not in ("PATCH", "BREW")], files=FILES, log=LOG)]
TARGETS = ("/", "//", "/a%20b", "/a%2fb", "/%41", "/a%zz", "/a%", "/a%0", "/%00", "/a%0ab", "/?", "/?a=1", "/?a=b%20c&d", "/??", "/a?b?c", "/./a",
    "/../a", "/a/../b", "/a/..", "/a/../../b", "/%2e%2e/x", "/a//b", "/a/./b", "/.", "/..", "/a;b=c", "/a+b", "/a:b", "/a@b", "/~", "/a|b",
    "/a\"b", "/a<b>", "/{}", "/^", "/`", "/a\\b", "/\xe9", "/" + "u" * 1000, "/" + "u" * 5000, "/?" + "q" * 5000, "/" + "%41" * 300)
NO_TARGETS = ("*", "", "a", "?a", "http://h.test/x", "http://other.test/x?y", "https://h.test/x", "/x y", "/x\ty", " /x", "/x ", "/a\x01b", "/a\x7fb")
for where in ("", "/p", "/q", "/f"):
    CASES += [h2(f"targets: {where}", SAYS.replace("$request|", "") + MORE, [talk(where + each, goes_on=True) for each in TARGETS], files=FILES, log=LOG,
                 errors="error")]
CASES += [h2("no targets", SAYS + MORE, [talk(each) for each in NO_TARGETS]),
          h2("fragments", SAYS + MORE, [talk(where + each) for where in ("", "/f") for each in ("/a#b", "/#")]),
          h2("targets of OPTIONS", SAYS + MORE, [talk(each, method="OPTIONS") for each in ("*", "/", "")]),
          h2("merge_slashes off", "merge_slashes off; " + SAYS, [talk(each) for each in ("//", "/a//b", "/a/../b")], log=LOG)]
HOSTS = ("h.test", "H.TEST", "h.test:80", "h.test:%PORT%", "h.test:", "h.test.", "b.test", "B.Test:99", "none.test", "127.0.0.1", "127.0.0.1:8", "[::1]",
         "[::1]:80", "a_b.test", "a" * 300, "-", "h.test:99999")
NO_HOSTS = ("[::1", "a b", "a/b", "a\\b", "u@h.test", "x..y", "..", ".", "", "h.test:x", "\xe9.test", "a,b", "a%41.test", "h.test/", "h.test?x", "*.test",
            "h.test#x")
OTHER = 'server { listen %ADDR%:%PORT% http2; server_name b.test; return 200 "b $host $http_host\\n"; }'
CASES += [h2("authority", SAYS + MORE, [talk("/", host=each) for each in HOSTS], http=OTHER, log=LOG, errors="info"),
          h2("no authority", SAYS + MORE, [talk("/", host=each) for each in NO_HOSTS]),
          h2("no Host", SAYS + MORE, [talk("/", f"Host: {each}", host=None) for each in NO_HOSTS]),
          h2("Host alone", SAYS + MORE, [talk("/", f"Host: {each}", host=None) for each in HOSTS], http=OTHER, log=LOG, errors="info"),
          h2("Host to upstreams", MORE, [talk("/p", host=each) for each in HOSTS[:12]] + [talk("/p", f"Host: {each}", host=None) for each in HOSTS[:12]]),
          h2("both hosts", SAYS + MORE, [talk(target, f"Host: {other}", host=one) for target in ("/", "/p") for one, other in (
              ("h.test", "h.test"), ("h.test", "H.test"), ("h.test", "b.test"), ("b.test", "h.test"), ("h.test", "h.test:80"), ("h.test", ""),
              ("", "h.test"))] + [talk("/", "Host: h.test", "Host: h.test", host=None), talk("/", "Host: h.test", "Host: b.test", host=None),
              talk("/", "Host: h.test", "Host: h.test"), talk("/", host=None)], http=OTHER, log=LOG),
          h2("Host to upstreams by variables", "location / { proxy_set_header Host $http_host; proxy_set_header X-H $host; proxy_pass http://%BACKEND%; }",
             [talk("/", host=each) for each in HOSTS[:8]] + [talk("/", "Host: h.test:5", host=None)])]

# ---- pseudo-fields, names and values ------------------------------------------------------------------------------

ODD = {"no method": pairs(None), "no path": pairs(path=None), "no scheme": pairs(scheme=None), "no authority": pairs(authority=None),
    "no pseudo-fields": [("x", "y")], "two methods": pairs("GET", "/", "http", "h.test", (":method", "GET")),
    "two paths": pairs("GET", "/", "http", "h.test", (":path", "/")), "two schemes": pairs("GET", "/", "http", "h.test", (":scheme", "http")),
    "two authorities": pairs("GET", "/", "http", "h.test", (":authority", "h.test")), "an unknown one": pairs("GET", "/", "http", "h.test", (":x", "y")),
    ":status": pairs("GET", "/", "http", "h.test", (":status", "200")), "one behind": [("x", "y"), *pairs()], "empty method": pairs(""),
    "empty scheme": pairs(scheme=""), "scheme https": pairs(scheme="https"), "scheme HTTP": pairs(scheme="HTTP"), "scheme ftp": pairs(scheme="ftp"),
    "scheme odd": pairs(scheme="a:b"), "method with a blank": pairs("G T"), "method with a slash": pairs("G/T"),
    "CONNECT": pairs("CONNECT", None, None, "h.test:80"), "CONNECT with a path": pairs("CONNECT"), ":protocol": pairs("GET", "/", "http", "h.test",
    (":protocol", "websocket")), "CONNECT of a protocol": pairs("CONNECT", "/", "http", "h.test", (":protocol", "websocket"))}
CASES += [h2(f"pseudo-fields: {name}", SAYS + MORE, [raw(*said)], log=LOG, errors="" if name == "CONNECT" else "info") for name, said in ODD.items()]
NAMES = ("X-Upper", "x_under", "x.dot", "x-", "-x", "1", "x y", "x:y", "x/y", "x@y", "x!y", "x\x01", "x\x7f", "x\xe9", "", "x\0y", "x\ty", "x,y", "_", ".")
VALUES = ("", " ", "a", " a", "a ", "\ta", "a\t", "a b", "a\x01b", "a\x7f", "\xe9", "a\0b", "a\rb", "a\nb", "a\r\nb: c", "v" * 1000, ",", ":", "a" * 20000)
SENT = 'location / { return 200 "$http_x_under|$http_x_dot|$http_x_|$http_x_upper|$http_1\\n"; } location /p { proxy_pass http://%BACKEND%; }'
for words in ("", "underscores_in_headers on;", "ignore_invalid_headers off;", "underscores_in_headers on; ignore_invalid_headers off;"):
    CASES += [h2(f"names: {words}", words + SENT, [raw(*pairs("GET", target, "http", "h.test", (each, "v"))) for each in NAMES for target in ("/", "/p")],
                 errors="info" if not words else "")]
CASES += [h2("values", 'location / { return 200 "[$http_x]\\n"; } location /p { proxy_pass http://%BACKEND%; }',
             [raw(*pairs("GET", target, "http", "h.test", ("x", each))) for each in VALUES for target in ("/", "/p")], log="'$http_x'"),
          h2("fields of one connection", SAYS + MORE, [talk(target, each) for target in ("/", "/p") for each in ("Connection: close", "Connection: keep-alive",
              "Connection: x", "Keep-Alive: 5", "Proxy-Connection: x", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Upgrade: h2c",
              "TE: trailers", "TE: gzip", "TE: trailers, gzip", "HTTP2-Settings: AAA", "Trailer: T", "Expect: 100-continue", "Expect: x")], log=LOG),
          h2("fields twice", 'location / { return 200 "$http_x|$http_cookie|$http_referer|$http_accept\\n"; } location /p { proxy_pass http://%BACKEND%; }',
             [talk(target, f"{name}: a", f"{name}: b") for target in ("/", "/p") for name in ("X", "Accept", "Authorization", "Content-Type",
              "If-None-Match", "Range", "User-Agent", "Referer", "X-Forwarded-For", "Content-Length")]),
          h2("crumbs", 'location / { return 200 "$http_cookie|$cookie_a|$cookie_b\\n"; } location /p { proxy_pass http://%BACKEND%; }',
             [talk(target, *[f"Cookie: {each}" for each in crumbs]) for target in ("/", "/p") for crumbs in (("a=1",), ("a=1", "b=2"), ("a=1; b=2",),
              ("a=1", "", "b=2"), ("",), ("a=1;", "b=2"), ("a=1; c=3", "b=2"), ("b=2", "a=1", "a=3"), tuple(f"c{n}={n}" for n in range(50)))]
             + [talk("/p", "Cookie: a=1", "X: y", "Cookie: b=2")], log="'$http_cookie'")]

# ---- bodies -------------------------------------------------------------------------------------------------------

SIZES = (1, 9, 10, 11, 1000, 16384, 16385, 65535, 65536, 65537, 200000)
BODIES = [talk(target, method="POST", body=b"x" * size, length=length) for target in ("/p", "/", "/f.txt", "/d", "/none") for size in SIZES
          for length in (True, False)]
EMPTY = [talk(target, method="POST", body="", length=length, pause=0.05) for target in ("/p", "/", "/f.txt", "/d") for length in (True, False)]
ECHO = "location / { return 200 '$content_length|$http_content_length\\n'; } " + MORE
for words in ("client_max_body_size 1m;", "client_max_body_size 10;", "client_max_body_size 10; error_page 413 /e; location = /e { return 200 e; }",
    "client_max_body_size 0; client_body_buffer_size 1k;", "client_max_body_size 0; proxy_request_buffering off;",
    "client_max_body_size 100k; proxy_request_buffering off;"):
    CASES += [h2(f"bodies: {words}", words + ECHO, BODIES + EMPTY, files=FILES, errors="error")]
CASES += [h2("lengths", ECHO, [talk(target, method="POST", body=b"abc", length=length, patience=1) for target in ("/p", "/", "/f.txt") for length in
              (2, 4, "3 ", "+3", "x", "", "-1", "3,3", "03", "99999999999999999999")] + [talk(target, "Content-Length: 3", method="POST")
              for target in ("/p", "/")] + [talk("/p", "Content-Length: 0"), talk("/p", "Content-Length: 0", method="POST"),
              talk("/p", method="POST"), talk("/p", method="GET", body="abc"), talk("/p", method="GET", body="abc", length=False)],
             files=FILES),
          h2("pieces", ECHO, [talk(target, method="POST", body=b"x" * 3000, piece=piece, length=length) for target in ("/p", "/") for piece in (1000, 100, 7)
              for length in (True, False)]),
          h2("trailers of requests", ECHO, [talk(target, method="POST", body=body, length=False, trailers=trailers) for target in ("/p", "/") for body in
              ("abc", None) for trailers in ((("t", "u"),), (("t", "u"), ("x", "y")), ((":path", "/"),), (("content-length", "3"),), (("T", "u"),))]),
          h2("a body after a while", MORE, [talk("/p", method="POST", body="abc", pause=0.2, length=each) for each in (True, False)]),
          h2("request_body", "location / { proxy_pass http://%BACKEND%; add_header B $request_body; } ", [talk("/", method="POST", body="abc"),
              talk("/", method="POST", body="abc", length=False), talk("/", method="POST"), talk("/")], log="'[$request_body] $content_length'")]


def slowly(head, body):
    if b"/ask" in head:
        time.sleep(0.3)
    return HELLO


CASES += [h2(f"a body while auth_request asks: {words}", f"location / {{ auth_request /ask; {words} proxy_pass http://%BACKEND%; }} location = /ask {{ internal; "
    "proxy_pass http://%BACKEND%; proxy_pass_request_body off; proxy_set_header Content-Length ''; }", [talk("/x", method="PUT", body=body, length=length,
        pause=0.1, patience=1) for body in ("abc", "x" * 100000) for length in (True, False)], answers=slowly) for words in ("", "proxy_request_buffering off;")]

# ---- answers ------------------------------------------------------------------------------------------------------

THEN = "Tue, 14 Nov 2023 22:13:20 GMT"
CASES += [h2("files", "index index.html; gzip_types text/plain;", [talk(target, *fields, method=method) for target in ("/f.txt", "/f/", "/f", "/f/e.txt",
              "/none", "/f.html") for method in ("GET", "HEAD") for fields in ((), (f"If-Modified-Since: {THEN}",), ("If-None-Match: *",), ("If-Match: x",),
              ("Range: bytes=0-3",), ("Range: bytes=0-1,3-4",), ("Range: bytes=9000-",), ("Accept-Encoding: gzip",))], files=FILES),
          h2("large", "", [talk("/large.bin"), talk("/large.bin", "Range: bytes=1000000-"), talk("/large.bin", method="HEAD"), talk("/large.bin",
              settings={4: 1000}), talk("/large.bin", settings={5: 100000}), at_once(talk("/large.bin"), talk("/f.txt"), talk("/large.bin"))],
             files={"large.bin": bytes(range(256)) * 5000, "f.txt": "f"}, patience=30),
          h2("gzip", "gzip on; gzip_min_length 1; gzip_vary on; gzip_types text/plain; location /p { proxy_pass http://%BACKEND%; }", [talk(target,
              "Accept-Encoding: gzip", method=method) for target in ("/f.html", "/f.txt", "/p", "/none") for method in ("GET", "HEAD")], files=FILES),
          h2("added", "add_header X a; add_header Y b always; add_header Z ''; add_header X-Upper c; add_trailer T v; add_trailer U $status; expires 1h; "
             "location /r { return 200 text; } location /p { proxy_pass http://%BACKEND%; } location /n { return 204; } location /e { return 404; } "
             "location /m { return 302 /x; }", [talk(target, method=method) for target in ("/f.txt", "/r", "/p", "/n", "/e", "/m", "/none", "/f/e.txt")
             for method in ("GET", "HEAD")], files=FILES, mask=[(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20(2[5-9]|[3-9]\d) \d\d:\d\d:\d\d GMT", "NOW")]),
          h2("blanks in values", 'location / { add_header X " a"; add_header Y "b "; add_header Z "\\t"; return 200 x; } location /a '
             '{ add_header X "[$http_x ]"; return 200 x; }', [talk("/"), talk("/a")]),
          h2("fields that HTTP/2 has not", "add_header Connection close; add_header Keep-Alive x; add_header Upgrade u; add_header Transfer-Encoding t; "
             "add_header Proxy-Connection p; return 200 x;", [talk("/")]),
          h2("error pages", "error_page 404 /page.html; error_page 403 @n; error_page 405 =200 /page.html; error_page 400 /page.html; location /x { deny all; } "
             "location @n { return 200 'n $uri $status'; } location = /page.html { } location /e { return 500; } location /i { internal; return 200 x; }",
             [talk(target, method=method, body=body) for target in ("/none", "/x", "/f.txt", "/e", "/i", "/a%zz") for method, body in
              (("GET", None), ("HEAD", None), ("POST", "abc"))], files={**FILES, "page.html": "the page"}, log=LOG)]
for words in ("", "port_in_redirect off;", "absolute_redirect off;", "server_name_in_redirect on;"):
    CASES += [h2(f"redirects: {words}", f"{words} location /a {{ return 301 /b; }} location /c {{ rewrite ^ /d?x redirect; }} location /e {{ return 302 "
        "$scheme://$host$request_uri; } location /p/ { proxy_pass http://%BACKEND%; } location /g { error_page 404 /h; return 307 https://o.test/; } "
        "location /u { rewrite ^/u(.*) http://x.test$1 permanent; }", [talk(target, host=host) for target in ("/a", "/c", "/e?y", "/p", "/g", "/u/v", "/f")
        for host in ("h.test", "h.test:99", "H.test")] + [talk("/a", "Host: h.test:5", host=None), talk("/a", scheme="https")], files=FILES,
        answers=answer("", "Location: http://h.test/x", status="302 F"))]
CODES = (200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 408, 413, 414, 421, 429, 444, 494, 497, 499, 500, 502, 503, 504, 599)
CASES += [h2("return codes", "".join(f"location = /{code} {{ return {code}; }} location = /t{code} {{ return {code} text; }}" for code in CODES),
             [talk(f"/{each}{code}", goes_on=True, patience=1) for each in ("", "t") for code in CODES if (each, code) != ("t", 444)]),
          h2("rewriting", "set $x 1; if ($http2) { set $x \"h2-$http2\"; } if ($request_method = POST) { return 405 post; } if ($server_protocol = HTTP/2.0) "
             "{ set $y two; } location /l { rewrite ^/l(.*) /f$1 last; } location /b { rewrite ^ /f.txt break; } location /i { internal; } "
             "location /t { try_files $uri $uri/ /f.txt; } location /y { try_files /none @n; } location @n { return 200 \"n $x $y $m_%ID%\"; } "
             "location /s { return 200 \"$x $y $m_%ID%\"; }", [talk(target, method=method) for target in ("/s", "/l.txt", "/b", "/i", "/t?a=1", "/y", "/t/f?a=1")
             for method in ("GET", "POST", "HEAD")], files=FILES, http='map $http2 $m_%ID% { h2 tls; h2c plain; "" one; default other; }', log=LOG)]

# ---- upstreams ----------------------------------------------------------------------------------------------------

REQUEST = ("User-Agent: U", "Accept: */*", "X-A: 1", "X-B: two", "Cookie: a=b", "Cookie: c=d", "Referer: r", "Authorization: Basic dTpw", "If-None-Match: \"e\"",
           "Range: bytes=0-1", "Accept-Encoding: gzip", "X-Lower: l", "Date: d", "Content-Type: a/b", "Priority: u=1")
for words in ("", "proxy_set_header Host $host;", "proxy_set_header Connection $http_connection;", "proxy_pass_request_headers off;", "proxy_http_version 1.0;",
    "proxy_set_header X-Scheme $scheme; proxy_set_header X-P $server_protocol; proxy_set_header X-2 $http2;", "proxy_request_buffering off;",
    "proxy_set_header TE $http_te;", "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"):
    CASES += [h2(f"to upstreams: {words}", f"location / {{ {words} proxy_pass http://%BACKEND%; }}", [talk("/x?y=1", *REQUEST), talk("/", "TE: trailers"),
        talk("/", method="POST", body="abc"), talk("/", method="POST", body="abc", length=False), talk("/", method="POST", body=""), talk("/", method="HEAD"),
        talk("/", method="POST", body="", length=False, pause=0.1), talk("/", "Expect: 100-continue", method="PUT", body="abc"),
        talk("/", method="POST", body=b"x" * 30000, length=False)])]
H = b"HTTP/1.1 200 OK\r\n"
KINDS = {"length": HELLO, "chunks": H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "close": H + b"\r\nhello", "empty":
    H + b"Content-Length: 0\r\n\r\n", "trailer": H + b"Transfer-Encoding: chunked\r\nTrailer: T\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n", "short":
    H + b"Content-Length: 9\r\nConnection: close\r\n\r\nhello", "cut": H + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\nhello",
    "hop": answer("x", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Connection: x"), "upgrade": answer("x", "Upgrade: h2c"),
    "upper": answer("x", "X-UPPER: A"), "blank": answer("x", "X-B:  a  "), "te": answer("x", "TE: x"), "trailers": answer("x", "Trailer: y"),
    "early": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HELLO, "bytes": answer("x", "X: \xe9"), "204": b"HTTP/1.1 204 N\r\n\r\n",
    "304": b"HTTP/1.1 304 N\r\nETag: \"x\"\r\n\r\n", "101": b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "nothing": b"",
    "status": answer("x", "Status: 404"), "odd": answer("x", status="299 Odd"), "large": answer(b"z" * 100000, "Content-Type: a/b"),
    "long": H + b"Content-Length: 2\r\n\r\nok and more", "head": answer("x", "X: " + "v" * 3000), "cookies": answer("x", "Set-Cookie: a", "Set-Cookie: b")}
for words in ("", "proxy_buffering off;", "gzip on; gzip_min_length 1; gzip_types *;", "proxy_intercept_errors on; error_page 404 502 /page;"):
    CASES += [h2(f"from upstreams: {words}", f"location / {{ {words} proxy_pass http://up_%ID%; }} location = /page {{ return 200 'page $status'; }}",
        [talk(f"/{kind}", method=method) for kind in KINDS for method in ("GET", "HEAD") if (kind, method) != ("early", "HEAD")], answers={f"/{kind}": said for kind, said in KINDS.items()},
        closes=True, http="upstream up_%ID% { server %BACKEND%; %NOKEEP% }", log=LOG)]

# ---- limits, access -----------------------------------------------------------------------------------------------

CASES += [h2("limit_req", "limit_req zone=r_%ID%; return 200 x;", [talk("/"), talk("/"), talk("/", method="POST", body="abc")],
             http="limit_req_zone $server_addr zone=r_%ID%:64k rate=1r/m;", errors="error"),
          h2("limit_req after all", "limit_req zone=r_%ID%; limit_req_status 429; location / { return 200 x; } location /f { }",
             [talk("/f.txt"), talk("/f.txt"), together(talk("/f.txt"), talk("/f.txt", method="HEAD"))], files=FILES,
             http="limit_req_zone $server_addr zone=r_%ID%:64k rate=1r/m;", log=LOG),
          h2("limit_conn", "limit_conn c_%ID% 1; limit_conn_status 429; location / { proxy_pass http://%BACKEND%; }",
             [at_once(talk("/ask"), talk("/ask")), talk("/x")], http="limit_conn_zone $server_addr zone=c_%ID%:64k;", answers=slowly, errors="error",
             mask=[("^16[12]$", "N")]),
          h2("auth_basic", "auth_basic r; auth_basic_user_file %ROOT%/users; location / { } location /p { proxy_pass http://%BACKEND%; }",
             [talk(target, *fields, method=method, body=body) for target in ("/f.txt", "/p") for fields in ((), ("Authorization: Basic dTpw",),
              ("Authorization: Basic dTp4",)) for method, body in (("GET", None), ("HEAD", None), ("POST", "abc"))],
             files={**FILES, "users": "u:{PLAIN}p\n"}, errors="error"),
          h2("satisfy, deny and internal", "location / { deny all; } location /a { allow 127.0.0.1; deny all; return 200 x; } location /e { deny 127.0.0.1; } "
             "location /i { internal; }", [talk(target, method=method, client=client) for target in ("/", "/a", "/e", "/i") for method in ("GET", "POST")
             for client in ("127.0.0.1", "127.0.0.9")], errors="error")]

# ---- sizes of heads -----------------------------------------------------------------------------------------------

for words in ("", "large_client_header_buffers 4 1k;", "large_client_header_buffers 2 1k; client_header_buffer_size 1k;", "large_client_header_buffers 4 32k;"):
    CASES += [h2(f"head size: {words}", f"{words} location / {{ return 200 '$http_x\\n'; }} error_page 414 /long; error_page 494 /big; location = /long "
        "{ return 200 long; } location = /big { return 200 big; }", [talk("/" + "u" * size) for size in (900, 1100, 3900, 8000, 9000, 40000)]
        + [talk("/", "X: " + "v" * size) for size in (900, 1100, 3900, 8000, 9000, 40000)]
        + [talk("/", *[f"X{n}: " + "v" * 300 for n in range(count)]) for count in (2, 10, 50, 120)], errors="info", patience=1)]
CASES += [h2("head in pieces", "return 200 '$http_x\\n';", [talk("/", "X: " + "v" * 30000), talk("/", "X: " + "v" * 6000, "Y: " + "\xe9" * 7000)],
             http="", patience=1)]

# ---- connections --------------------------------------------------------------------------------------------------

for number in (1, 2, 3):
    CASES += [h2(f"keepalive_requests {number}", f"keepalive_requests {number}; " + SAYS, [together(*[talk("/")] * number, lingers=0.2),
        together(*[talk("/")] * (number + 1), patience=1), at_once(*[talk("/")] * number, lingers=0.2)], log=LOG)]
CASES += [h2("several at once", SAYS + MORE, [at_once(*[talk(f"/{n}") for n in range(20)]), together(talk("/"), talk("/p"), talk("/f.txt"), talk("/none"))],
             files=FILES, mask=[(r"\|\d+\|(GET|HEAD)\|", "|N|GET|")]),
          h2("http2_max_concurrent_streams 1", "http2_max_concurrent_streams 1; location / { proxy_pass http://%BACKEND%; }",
             [at_once(talk("/ask"), talk("/ask")), talk("/")], answers=slowly),
          h2("keepalive_timeout 0", "keepalive_timeout 0; " + SAYS, [talk("/", lingers=0.3), at_once(talk("/"), talk("/"), lingers=0.3)]),
          h2("keepalive_timeout 1s", "keepalive_timeout 1s; " + SAYS, [talk("/", lingers=1.6)]),
          h2("keepalive_timeout of a location", "location / { return 200 x; } location /a { keepalive_timeout 0; return 200 x; }",
             [talk("/a", lingers=0.3), talk("/", lingers=0.3)]),
          h2("client_header_timeout 1s", "client_header_timeout 1s; " + SAYS, [talk("/", lingers=1.6)]),
          h2("client_body_timeout 1s", "client_body_timeout 1s; " + MORE, [talk("/p", method="POST", body="abc", length=9, ends=False, patience=2.5),
              talk("/p", method="POST", body="abc", length=False, ends=False, patience=2.5), talk("/d", method="POST", body="abc", length=9, ends=False,
              patience=0.6)], log=LOG, errors="info"),
          h2("send_timeout 1s", "send_timeout 1s;", [talk("/large.bin", credit=False, patience=2.5)], files={"large.bin": b"x" * 200000}, errors="info"),
          h2("a reset of the client's", MORE, [together(talk("/p/ask", resets=True, pause=0.1), talk("/p/x")), talk("/p/ask", method="POST", body="abc",
              ends=False, resets=True, pause=0.1)], files=FILES, answers=slowly, patience=1),
          h2("without reading the body", "location /f { } location / { return 200 x; } location /x { deny all; }", [talk(target, method="POST", body=b"x" * size,
              length=length, ends=False, patience=0.5) for target in ("/f.txt", "/", "/x") for size in (10, 70000) for length in (True, False)], files=FILES),
          h2("chunk sizes", "http2_chunk_size 1k; http2_body_preread_size 1k; http2_recv_buffer_size 16k; " + MORE, [talk("/f.html"),
              talk("/p", method="POST", body=b"x" * 5000)], files=FILES)]

# ---- TLS ----------------------------------------------------------------------------------------------------------

H2 = Tls(protocols=("h2", "http/1.1"))
CASES += [h2("over TLS", KEYS + SAYS + MORE + "location /r { return 301 /b; } location /c { rewrite ^ /d redirect; }", [talk(target, tls=H2, scheme=scheme, host=host)
              for target in ("/", "/p", "/f.txt", "/r", "/c", "/f") for scheme in ("https", "http") for host in ("h.test", "h.test:443", "b.test")]
             + [ask("/", tls=Tls(protocols=("http/1.1",))), ask("/", tls=Tls())], "ssl http2", files=FILES, log=LOG),
          h2("over TLS, maps and logs", KEYS + 'return 200 "$m_%ID% $http2 $ssl_alpn_protocol $https $scheme\\n";', [talk("/", tls=H2, scheme="https"),
              ask("/", tls=Tls(protocols=("http/1.1",)))], "ssl http2", http='map $http2 $m_%ID% { h2 tls; h2c plain; "" one; default other; }')]

# ---- words ----------------------------------------------------------------------------------------------------------

CASES += table("words", "%V%", ("http2_max_concurrent_streams 0;", "http2_max_concurrent_streams 5;", "http2_max_concurrent_streams x;",
    "http2_max_concurrent_streams 5000;", "http2_body_preread_size 0;", "http2_body_preread_size 64k;", "http2_body_preread_size 4g;", "http2_chunk_size 0;",
    "http2_chunk_size 100m;", "http2_chunk_size 8k;", "http2_recv_buffer_size 1k;", "http2_pool_size 4k;", "http2_pool_size 1;",
    "http2_streams_index_size 32;", "http2_streams_index_size 33;", "http2_idle_timeout 3m;", "http2_recv_timeout 30s;", "http2_max_requests 1000;",
    "http2_max_field_size 4k;", "http2_max_header_size 16k;", "http2_push /x;", "http2_push off;", "http2_push_preload on;",
    "http2_max_concurrent_pushes 10;", "http2_push_preload x;", "http2_idle_timeout x;", "location / { http2_chunk_size 4k; }",
    "location / { http2_body_preread_size 4k; }"), verdict=True)
