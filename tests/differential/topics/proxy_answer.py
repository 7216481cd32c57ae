"""The fields of answers: hidden, passed on, redirects, cookies."""

from cases import HELLO, Case, Request, answer, ask, each_method, pipeline, table

HTTP = "proxy_http_version 1.1;"
CASES = []
LOC = "location / { %V% proxy_pass http://%BACKEND%; }"

# ---- the answer's fields -----------------------------------------------------------------------------------

FULL = answer("hello", "Server: up/1", "Date: Tue, 14 Nov 2023 22:13:20 GMT", "Content-Type: text/plain", "X-One: 1", "X-Two: a",
    "X-Two: b", "Set-Cookie: a=b; Path=/p/; Domain=up.test", "Set-Cookie: c=d; path=/q; domain=.other.test; Secure", "Set-Cookie: e=f",
    "Location: http://up.test/l", "Refresh: 5; url=http://up.test/r", "X-Accel-Expires: 5", "X-Pad: x", "Status: 200", "P3P: x", "Vary: A",
    "Vary: B", "Cache-Control: max-age=1", "Cache-Control: public", "Expires: Wed, 15 Nov 2033 22:13:20 GMT",
    "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT", "ETag: \"e\"", "Accept-Ranges: bytes", "Connection: X-Hop", "X-Hop: 1",
    "Keep-Alive: timeout=5", "Link: </a>", "Link: </b>", "Pragma: no-cache", "WWW-Authenticate: Basic", "Content-Language: en",
    "X-Powered-By: p", "Upgrade: x", "Trailer: T", "Proxy-Authenticate: x", "Content-Disposition: inline", "x-lower: l", "X-Empty:",
    "Age: 1", "Warning: w", "Proxy-Connection: x", "Alt-Svc: h", "X-Sp:   padded   ", "Retry-After: 1", "Allow: GET", "MIME-Version: 1.0",
    "Strict-Transport-Security: x")
for words in ("", "proxy_hide_header X-One;", "proxy_hide_header x-two; proxy_hide_header X-One;", "proxy_pass_header Server;",
    "proxy_pass_header Date; proxy_pass_header X-Accel-Expires;", "proxy_pass_header X-Pad; proxy_pass_header Status;",
    "proxy_hide_header Content-Type;", "proxy_hide_header Content-Length;", "proxy_hide_header Set-Cookie;",
    "proxy_hide_header Last-Modified; proxy_hide_header ETag; proxy_hide_header Cache-Control; proxy_hide_header Expires;",
    "proxy_hide_header Location; proxy_hide_header Refresh;", "proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;",
    "proxy_ignore_headers X-Accel-Redirect X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;", "proxy_ignore_headers Bogus;",
    "proxy_hide_header Server;", "proxy_hide_header Accept-Ranges;", "proxy_hide_header Vary;",
    "proxy_hide_header Link; add_header Link mine;",
    "add_header X-One mine; add_header Set-Cookie z=1; add_header Cache-Control mine; add_header Vary mine;", "expires 1h;",
    "proxy_hide_header Connection; proxy_hide_header Transfer-Encoding;", "proxy_pass_header Connection; proxy_pass_header Keep-Alive;",
    "charset utf-8;", "proxy_hide_header 'X One';", "server_tokens on;", "etag off;", "proxy_buffering off;"):
    CASES += [Case(f"answer: {words}", LOC.replace("%V%", words),
        ["/", ask("/", method="HEAD"), ask("/", "Range: bytes=0-1"), ask("/", 'If-None-Match: "e"'), ask("/", version="1.0")], answers=FULL,
        odd=True, mask=[(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 202[5-9] \d\d:\d\d:\d\d GMT", "NOW"), ("max-age=3[56]..", "max-age=N")])]

REDIRECTS = ["http://%BACKEND%/p", "http://%BACKEND%/", "http://%BACKEND%", "http://%BACKEND%/b/x", "http://up.test/p", "https://up.test/p",
    "/rel", "rel", "http://h.test/p", "//up.test/x", "", "http://UP.test/p", "/b/x", "http://%BACKEND%/bx?y#z", "http://up.test:81/p",
    "http://up.testing/p", "?q", "#f"]
for words in ("", "proxy_redirect default;", "proxy_redirect off;", "proxy_redirect http://up.test/ /new/;",
    "proxy_redirect http://up.test/ http://other.test/;", "proxy_redirect http://up.test/ $scheme://$host/;",
    "proxy_redirect ~^http://([^/]+)/(.*)$ /$1/$2;", "proxy_redirect ~*^http://UP(.*)$ http://z$1;", "proxy_redirect / /deep/;",
    "proxy_redirect http://up.test/ /a/; proxy_redirect https://up.test/ /b/; proxy_redirect default;", "proxy_redirect http://up.test /x;",
    "proxy_redirect http://up.test/ '';", "proxy_redirect http://up.test/p http://q;",
    "proxy_redirect off; proxy_redirect http://up.test/ /n/;", "proxy_redirect $scheme://up.test/ /v/;",
    "proxy_redirect http://up.test/$arg_none /v/;", "absolute_redirect off;", "proxy_redirect bogus;"):
    for url in ("http://%BACKEND%", "http://%BACKEND%/b/"):
        def said(head, body):
            number = int(head.split(b" ")[1].rsplit(b"=", 1)[1])
            port = head.lower().split(b"\r\nhost: ")[1].split(b"\r\n")[0].decode()
            value = REDIRECTS[number].replace("%BACKEND%", port)
            return answer("", f"Location: {value}", f"Refresh: 3; url={value}", f"URI: {value}", f"Content-Location: {value}",
                status="302 Found")
        CASES += [Case(f"redirect: {words} to {url}", f"location / {{ {words} proxy_pass {url}; }}",
            [f"/?n={n}" for n in range(len(REDIRECTS))], answers=said, odd=True)]
CASES += [Case("redirect codes", LOC.replace("%V%", "proxy_redirect http://up.test/ /n/;"),
    [f"/{code}" for code in (200, 201, 301, 302, 303, 304, 307, 308, 400)],
    answers={f"/{code}": answer("b", "Location: http://up.test/x", status=f"{code} Y")
        for code in (200, 201, 301, 302, 303, 304, 307, 308, 400)}),
        Case("refresh forms", LOC.replace("%V%", "proxy_redirect http://up.test/ /n/;"), [f"/{n}" for n in range(7)],
            answers={f"/{n}": answer("b", f"Refresh: {v}") for n,
                v in enumerate(("5; url=http://up.test/x", "5;url=http://up.test/x", "5; URL=http://up.test/x", "http://up.test/x",
                    "5; url='http://up.test/x'", "5", "5; u=http://up.test/x; url=http://up.test/y"))})]

COOKIES = ["a=b", "a=b; Path=/p/x; Domain=up.test", "a=b; path=/p; domain=.up.test", "a=b;Path=/p;Domain=UP.TEST",
    "a=b; Secure; HttpOnly; Path=/", "a=b; Path=/P/", "a=b; Domain=sub.up.test", "a=b; Path=\"/p\"", "a=b; Path", "a=b; Path=; Domain=",
    "a=b; expires=Tue, 14 Nov 2023 22:13:20 GMT; path=/p/", "a=b; SameSite=Lax", "sess=1; Path=/p", "=x; Path=/p", "a; Path=/p",
    "a=b;  Path = /p ; x", "a=b; Domain=up.test:80", "a=b; domain=up.test; Domain=up.test", "a=path=/p; Path=/p",
    "a=b; Max-Age=5; Partitioned"]
for words in ("proxy_cookie_path /p /q;", "proxy_cookie_path /p/ /;", "proxy_cookie_path ~^/p(.*)$ /z$1;", "proxy_cookie_path ~*^/P /ci;",
    "proxy_cookie_path / /deep/;", "proxy_cookie_path off;", "proxy_cookie_path /p $uri;", "proxy_cookie_domain up.test new.test;",
    "proxy_cookie_domain .up.test .new.test;", "proxy_cookie_domain up.test .new.test;", "proxy_cookie_domain ~up(.*)$ x$1;",
    "proxy_cookie_domain ~^(.*)\\.up\\.test$ $1.z;", "proxy_cookie_domain off;", "proxy_cookie_domain $arg_d $host;",
    "proxy_cookie_domain up.test '';", "proxy_cookie_path /p '';", "proxy_cookie_flags a secure;",
    "proxy_cookie_flags a secure httponly samesite=strict;", "proxy_cookie_flags ~ nosecure nohttponly nosamesite;",
    "proxy_cookie_flags ~^s samesite=none; proxy_cookie_flags a httponly;", "proxy_cookie_flags off;", "proxy_cookie_flags $arg_c secure;",
    "proxy_cookie_flags a samesite;", "proxy_cookie_flags a bogus;", "proxy_cookie_flags A secure;",
    "proxy_cookie_path /p /q; proxy_cookie_domain up.test n; proxy_cookie_flags ~ secure samesite=lax;",
    "proxy_cookie_path /p /1; proxy_cookie_path / /2;", "proxy_cookie_path /x /1; proxy_cookie_path /p /2;"):
    CASES += [Case(f"cookie: {words}", LOC.replace("%V%", words), [f"/c{n}" for n in range(len(COOKIES))] + ["/both?d=up.test&c=a"],
        answers={**{f"/c{n}": answer("x", f"Set-Cookie: {v}") for n, v in enumerate(COOKIES)},
            "*": answer("x", "Set-Cookie: a=1; Path=/p", "Set-Cookie: b=2; Domain=up.test", "Set-Cookie: c=3")}, odd=True)]
