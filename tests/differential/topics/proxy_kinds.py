"""Answers of all kinds, good and bad; X-Accel-Redirect and its kin; intercepted errors."""

from cases import HELLO, Case, Request, answer, ask, each_method, pipeline, table

HTTP = "proxy_http_version 1.1;"
UP = "upstream up_%ID% { server %BACKEND%; %NOKEEP% }"  # its connections end at once
CASES = []
LOC = "location / { %V% proxy_pass http://%BACKEND%; }"

# ---- answers of all kinds -----------------------------------------------------------------------------------

H = b"HTTP/1.1 200 OK\r\n"
KINDS = {"length": HELLO, "chunks": H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks-trailer": H + b"Transfer-Encoding: chunked\r\nTrailer: T\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n",
    "chunk-ext": H + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", "close": H + b"\r\nhello",
    "one-zero": b"HTTP/1.0 200 OK\r\n\r\nhello", "one-zero-length": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "empty": H + b"Content-Length: 0\r\n\r\n", "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204-length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "204-body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "304": b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 50\r\n\r\n",
    "304-type": b"HTTP/1.1 304 Not Modified\r\nContent-Type: a/b\r\n\r\n",
    "205": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "206": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\nhello",
    "reason": b"HTTP/1.1 200 Very Fine\r\nContent-Length: 2\r\n\r\nok", "no-reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "no-reason-blank": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", "odd-code": b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok",
    "599": b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok", "999": b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok",
    "099": b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok",
         "1000": b"HTTP/1.1 1000 Odd\r\nContent-Length: 2\r\n\r\nok", "20": b"HTTP/1.1 20 Odd\r\nContent-Length: 2\r\n\r\nok",
         "2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
         "0.9": b"just text", "garbage": b"\0\1\2", "nothing": b"", "lf": b"HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nok",
         "lf-mixed": b"HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n\r\nok", "icy": b"ICY 200 OK\r\n\r\nx",
         "lower": b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "tab": b"HTTP/1.1\t200\tOK\r\nContent-Length: 2\r\n\r\nok",
         "two-blanks": b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok", "fold": H + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
         "no-colon": H + b"X\r\nContent-Length: 2\r\n\r\nok", "blank-colon": H + b"X : a\r\nContent-Length: 2\r\n\r\nok",
         "empty-name": H + b": a\r\nContent-Length: 2\r\n\r\nok", "nul": H + b"X: a\0b\r\nContent-Length: 2\r\n\r\nok",
         "cr": H + b"X: a\rb\r\nContent-Length: 2\r\n\r\nok", "ctl": H + b"X: a\x01b\r\nContent-Length: 2\r\n\r\nok",
         "odd-name": H + b"X@Y: a\r\nX_Z: b\r\nContent-Length: 2\r\n\r\nok", "utf": H + b"X: \xc3\xa9\r\nContent-Length: 2\r\n\r\nok",
         "two-lengths": H + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
         "two-lengths-differ": H + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
         "list-length": H + b"Content-Length: 2, 2\r\n\r\nok", "neg-length": H + b"Content-Length: -2\r\n\r\nok",
         "bad-length": H + b"Content-Length: x\r\n\r\nok", "plus-length": H + b"Content-Length: +2\r\n\r\nok",
         "empty-length": H + b"Content-Length:\r\n\r\nok", "big-length": H + b"Content-Length: 99999999999999999999\r\n\r\nok",
         "both": H + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         "te-gzip": H + b"Transfer-Encoding: gzip\r\n\r\nok",
         "te-gzip-chunked": H + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         "te-identity": H + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
         "te-twice": H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         "te-case": H + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         "te-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         "short": H + b"Content-Length: 10\r\nConnection: close\r\n\r\nhello", "long": H + b"Content-Length: 2\r\n\r\nok and more",
         "bad-chunk": H + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
         "cut-chunk": H + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\nhello",
         "chunk-no-crlf": H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
         "chunk-lf": H + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
         "chunk-cut-end": H + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n",
         "after-chunks": H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nmore",
         "100": b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, "103": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HELLO,
         "102": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + HELLO,
         "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
         "100-length": b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\n" + HELLO, "crlf-first": b"\r\n" + HELLO,
         "multi-type": H + b"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 2\r\n\r\nok",
         "two-etags": H + b"ETag: \"a\"\r\nETag: \"b\"\r\nContent-Length: 2\r\n\r\nok",
         "two-locations": b"HTTP/1.1 302 F\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
         "two-lm": H + b"Last-Modified: a\r\nLast-Modified: b\r\nContent-Length: 2\r\n\r\nok",
         "two-server": H + b"Server: a\r\nServer: b\r\nContent-Length: 2\r\n\r\nok",
         "two-expires": H + b"Expires: a\r\nExpires: b\r\nContent-Length: 2\r\n\r\nok",
         "type-charset": H + b"Content-Type: text/html;charset=KOI8-R\r\nContent-Length: 2\r\n\r\nok",
         "type-odd": H + b"Content-Type: text/html; CHARSET=\"x\"; y=z\r\nContent-Length: 2\r\n\r\nok",
         "big-head": H + b"X: " + b"v" * 3000 + b"\r\nContent-Length: 2\r\n\r\nok",
         "too-big-head": H + b"X: " + b"v" * 9000 + b"\r\nContent-Length: 2\r\n\r\nok", "big": answer(b"z" * 100000),
         "401": answer("no", "WWW-Authenticate: a", "WWW-Authenticate: b", status="401 U"), "404": answer("nf", "X: y", status="404 NF"),
         "500": answer("e", status="500 E"), "503": answer("e", "Retry-After: 3", status="503 E"),
         "encoding": answer("x", "Content-Encoding: br"), "location-204": b"HTTP/1.1 204 N\r\nLocation: http://x/\r\n\r\n",
         "cl-close": answer("x", "Connection: close"), "ka": answer("x", "Connection: keep-alive", "Keep-Alive: timeout=3")}
for words in ("", "proxy_buffering off;", "proxy_http_version 1.0;",
    "proxy_intercept_errors on; error_page 404 500 503 401 502 /page; error_page 302 = /page;", "proxy_pass_trailers on;",
    "chunked_transfer_encoding off;", "proxy_buffer_size 2k; proxy_buffers 4 2k; proxy_busy_buffers_size 4k;",
    "gzip on; gzip_min_length 1; gzip_types *;", "proxy_force_ranges on;", "proxy_ignore_client_abort on; proxy_read_timeout 3s;",
    "proxy_max_temp_file_size 0;", "proxy_cache off;", "proxy_store off;"):
    CASES += [Case(f"kinds: {words}",
        f"location / {{ {words} proxy_pass http://up_%ID%; }} location = /page {{ return 200 'page $status'; }}",
        [ask(f"/{kind}", method=method, version=version) for kind in KINDS for method,
            version in (("GET", "1.1"), ("HEAD", "1.1"), ("GET", "1.0"))], answers={f"/{kind}": said for kind, said in KINDS.items()},
            odd=True, errors="error" if not words else "", closes=True, http=UP)]
CASES += [Case(f"kinds on a kept connection {words}", f"location / {{ {words} proxy_pass http://%BACKEND%; }}",
    [pipeline(ask(f"/{kind}", close=False), ask("/length")) for kind in ("length", "chunks", "empty", "204", "304", "206", "big", "404")]
    + [pipeline(ask("/length", method="POST", body="abc", close=False), ask("/length", method="HEAD", close=False), ask("/chunks"))],
    answers={f"/{kind}": said for kind, said in KINDS.items()}, odd=True)
    for words in ("", "chunked_transfer_encoding off;", "proxy_buffering off;")]

# ---- X-Accel, intercepting, next upstream -----------------------------------------------------------------

ACCEL = {"/redir": ("X-Accel-Redirect: /int/f.txt",), "/redirq": ("X-Accel-Redirect: /int/f.txt?a=b",),
    "/named": ("X-Accel-Redirect: @named",), "/enc": ("X-Accel-Redirect: /int/a%20b.txt",), "/raw": ("X-Accel-Redirect: /int/a b.txt",),
    "/dots": ("X-Accel-Redirect: /int/../int/f.txt",), "/updots": ("X-Accel-Redirect: /../../etc/passwd",),
    "/none": ("X-Accel-Redirect: /int/none",), "/rel": ("X-Accel-Redirect: int/f.txt",), "/empty": ("X-Accel-Redirect:",),
    "/abs": ("X-Accel-Redirect: http://h.test/int/f.txt",), "/loop": ("X-Accel-Redirect: /loop",), "/pass": ("X-Accel-Redirect: /redir2",),
    "/redir2": ("X-Accel-Redirect: /int/f.txt",), "/type": ("X-Accel-Redirect: /int/f.txt", "Content-Type: image/x",
        "Content-Disposition: attachment", "Set-Cookie: a=b", "Cache-Control: c", "Accept-Ranges: none", "Expires: e", "X-Other: o",
        "Last-Modified: Mon, 13 Nov 2023 22:13:20 GMT", "ETag: \"up\"", "Content-Language: en", "Location: /l", "Vary: V",
        "Content-Encoding: x", "Refresh: 1"),
         "/rate": ("X-Accel-Limit-Rate: 1000000",), "/rateoff": ("X-Accel-Limit-Rate: off",), "/buf": ("X-Accel-Buffering: no",),
         "/bufyes": ("X-Accel-Buffering: yes",), "/charset": ("X-Accel-Charset: koi8-r", "Content-Type: text/html"),
         "/charsetoff": ("X-Accel-Charset: off", "Content-Type: text/html"), "/expires": ("X-Accel-Expires: 5",),
         "/two": ("X-Accel-Redirect: /int/f.txt", "X-Accel-Redirect: /int/a%20b.txt"), "/dir": ("X-Accel-Redirect: /int/d",),
         "/dirslash": ("X-Accel-Redirect: /int/d/",)}
for words in ("", "proxy_ignore_headers X-Accel-Redirect X-Accel-Charset X-Accel-Buffering;", "proxy_pass_header X-Accel-Redirect;",
    "proxy_hide_header X-Accel-Redirect;", "charset utf-8;", "proxy_intercept_errors on; error_page 404 /page;", "proxy_buffering off;",
    "add_header X-Added a; expires epoch;"):
    CASES += [Case(f"accel: {words}",
        f"location / {{ {words} proxy_pass http://%BACKEND%; }} location /int/ {{ internal; alias %ROOT%/; add_header X-In i; }} location "
        f"@named {{ return 200 'named $uri $args $request_method'; }} location = /page {{ return 200 page; }} location /known {{ charset "
        f"koi8-r; }} location /redir2 "
        f"{{ internal; proxy_pass http://%BACKEND%; }}", [ask(path, method=m, body="b" if m == "POST" else None) for path in ACCEL
            for m in ("GET", "HEAD", "POST")] + [ask("/redir", "Range: bytes=0-1"), ask("/404"), ask("/403")],
            files={"f.txt": "file text", "a b.txt": "spaced", "d/index.html": "dir"},
            answers={**{path: answer("upstream body", *fields) for path, fields in ACCEL.items()},
                "/404": answer("x", "X-Accel-Redirect: /int/f.txt", status="404 N"),
                "/403": answer("x", "X-Accel-Redirect: @named", status="403 N")}, errors="error" if not words else "")]
for words in ("proxy_intercept_errors on;", "proxy_intercept_errors off;", "proxy_intercept_errors on; error_page 404 =200 /page;",
    "proxy_intercept_errors on; error_page 404 = @other;", "proxy_intercept_errors on; error_page 301 302 /page;",
    "proxy_intercept_errors on; error_page 404 http://o.test/;", "proxy_intercept_errors on; error_page 401 403 500 502 503 504 /page;",
    "proxy_intercept_errors on; error_page 404 /nofile.html;", "proxy_intercept_errors on; error_page 418 499 444 /page;"):
    CASES += [Case(f"intercept: {words}",
        f"location / {{ {words} proxy_pass http://%BACKEND%; }} location = /page "
        f"{{ return 200 'page $status $upstream_status $upstream_http_x'; }} location @other {{ proxy_pass http://%BACKEND%/other/; }} "
        f"location @x {{ }}".replace("/other/", ""), [ask(f"/{code}", method=m)
            for code in (200, 301, 302, 304, 400, 401, 403, 404, 418, 444, 499, 500, 502, 503, 504) for m in ("GET", "HEAD", "POST")],
            answers={f"/{code}": answer("" if code == 304 else "body", "X: y", "WWW-Authenticate: a", "WWW-Authenticate: b",
                "Retry-After: 9", "Set-Cookie: c=d", "Location: http://l.test/", status=f"{code} Z", length=code != 304)
                for code in (200, 301, 302, 304, 400, 401, 403, 404, 418, 444, 499, 500, 502, 503, 504)}, odd=True)]
