"""add_header, expires, trailers, charset, gzip, sub_filter, error_page: values, contexts, inheritance, methods."""

from cases import HELLO, Case, answer, ask, each_method, table

HTTP = "proxy_http_version 1.1;"
THEN, NEW = "Tue, 14 Nov 2023 22:13:20 GMT", "Wed, 15 Nov 2023 22:13:20 GMT"
EXPIRES = [(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20[23]\d \d\d:\d\d:\d\d GMT", "DATE"), (r"max-age=\d{2,}", "max-age=N")]
PAGES = {"f.txt": "0123456789" * 20, "f.html": "<p>hello world</p>\n" * 20, "f.css": "p { }\n" * 40, "f.js": "x = 1;\n" * 40,
    "f.png": b"\x89PNG" * 50, "d/index.html": "index " * 50, "tiny.txt": "t", "empty.txt": "", "none": "no ending " * 10,
    "f.json": "{}" * 50, "f.xml": "<x/>" * 50, "latin.html": "caf\xe9".encode("latin-1") * 10, "utf.html": "café €".encode() * 10,
    "koi.txt": bytes(range(192, 256))}
SOURCES = ("location /r { return 200 'text here'; } location /e { return 404; } location /u { return 302 /x; } location /n { return 204; } "
    "location /p { proxy_pass http://%BACKEND%; } location /5 { return 500 text; } location /c { return 201 made; } location /3 { return "
    "304; } location /6 { return 206 part; } location /403 { deny all; }")
ASKED = ["/f.txt", "/r", "/e", "/u", "/n", "/p", "/5", "/c", "/3", "/6", "/403", "/none.txt", "/d", "/d/",
    ask("/f.txt", "Range: bytes=0-1"), ask("/f.txt", f"If-Modified-Since: {THEN}"), ask("/f.txt", method="HEAD"),
    ask("/f.txt", method="POST", body=""), ask("/f.txt", "Range: bytes=900-")]
CASES = []

# ---- add_header -------------------------------------------------------------------------------------------

for word in ("X a", "X a always", 'X ""', 'X "" always', "X $uri", "X $arg_none", 'X "a b"', "x-lower a", "X é", "ETag x", 'ETag ""',
    "Last-Modified x", 'Last-Modified ""', f'Last-Modified "{NEW}"', "Cache-Control no-store", 'Cache-Control ""', "Link </x>",
    "Content-Type text/x", "Content-Length 5", "Server mine", "Date now", "Connection x", "Location /there", "Content-Encoding x", "Vary X",
    "Accept-Ranges none", "Expires x", "Set-Cookie a=b", "Transfer-Encoding x", "Content-Range x", "WWW-Authenticate Basic",
    "Retry-After 5", "Refresh 5", "X '${uri}a$args'", "Strict-Transport-Security 'max-age=1' always", "X-A:b c", "'X Y' a", "Keep-Alive x",
    "Trailer x", "X $sent_http_content_type", "X $status", "X $upstream_http_x", "X $body_bytes_sent"):
    CASES += [Case(f"add_header: {word}", f"add_header {word}; {SOURCES}", ASKED, files=PAGES, odd=True,
        answers=answer("hello", "X: up", "Last-Modified: " + THEN, "Cache-Control: max-age=1", "ETag: \"e\"", "Link: </up>", "Vary: Up",
            "Set-Cookie: u=p"))]
CASES += [
    Case("add_header twice",
        "add_header X a; add_header X b; add_header Set-Cookie a=1; add_header Set-Cookie b=2; add_header Cache-Control a; add_header "
        "Cache-Control b; add_header Link a; add_header Link b; add_header Last-Modified a; add_header Last-Modified b;" + SOURCES, ASKED,
        files=PAGES),
    Case("add_header inherits",
        "add_header A server; location /one { } location /two { add_header B two; } location /three { expires off; } location /two/in { } "
        "location /two/own { add_header C own always; } location /if { if ($arg_x) { add_header D if; } }",
        ["/one", "/two", "/three", "/two/in/x", "/two/own/x", "/if", "/if?x=1"],
        files={"one": "1", "two/in/x": "x", "three": "3", "two/own/y": "y", "if": "i"}),
    Case("add_header in error_page",
        "add_header A server always; error_page 404 /p; location /p { add_header B page; add_header C page always; return 200 page; } "
        "location /q { add_header D q always; return 404; } error_page 403 @f; location @f { add_header E f always; return 403 named; } "
        "location /f { deny all; }", ["/none", "/q", "/f"]),
    Case("add_header with rewrite",
        "add_header A s; location /a { add_header B a; rewrite ^ /b last; } location /b { add_header C b; return 200 b; }", ["/a", "/b"]),
    Case("add_trailer",
        "location / { add_trailer T a; add_trailer U $status always; add_trailer V ''; } location /p { add_trailer T $upstream_http_x; "
        "proxy_pass http://%BACKEND%; } location /e { add_trailer T a; add_trailer A b always; return 404; } location /r { add_trailer T "
        "r; return 200 text; }",
         [ask(target, *fields, method=method) for target in ("/f.txt", "/p", "/e", "/r") for fields in ((), ("TE: trailers",))
             for method in ("GET", "HEAD")] + [ask("/f.txt", version="1.0")], files=PAGES),
]

# ---- expires ------------------------------------------------------------------------------------------------

for word in ("off", "epoch", "max", "0", "-1", "1h", "1d", "-1h", "24h", "modified 1h", "modified -1h", "modified +1d", "@15h30m", "@0h",
    "+1m", "1", "1y", "$arg_e", "x", "1x", "modified", "@25h", "modified @1h", "10y", "1M", "1h30m"):
    CASES += [Case(f"expires: {word}", f"expires {word}; {SOURCES}",
        [*ASKED, "/f.txt?e=1h", "/f.txt?e=max", "/f.txt?e=epoch", "/f.txt?e=off", "/f.txt?e=zz", "/f.txt?e=@10h", "/f.txt?e=-1",
            "/f.txt?e=modified"], files=PAGES, mask=EXPIRES, odd=True,
            answers=answer("hello", "Cache-Control: private", "Expires: Thu, 01 Jan 1970 00:00:01 GMT", "Cache-Control: x=1"))]
CASES += [Case("expires with add_header",
    "expires 1h; add_header Cache-Control public; add_header Expires mine; location /l { expires off; } location /m { expires -1; "
    "add_header Cache-Control no-store; } location /n { add_header Cache-Control only; } location /i { if ($arg_x) { expires max; } }",
    ["/f.txt", "/l/f", "/m/f", "/n/f", "/i/f", "/i/f?x=1"], files={"f.txt": "x", "l/f": "", "m/f": "", "n/f": "", "i/f": ""}, mask=EXPIRES)]

# ---- charset ------------------------------------------------------------------------------------------------

CHARSETS = ["charset utf-8;", "charset UTF-8;", "charset off;", "charset koi8-r;", "charset $arg_c;", 'charset "";',
    "charset utf-8; source_charset koi8-r;", "charset koi8-r; source_charset utf-8;",
    "charset utf-8; charset_types text/plain application/json;", "charset utf-8; charset_types *;", "charset utf-8; override_charset on;",
    "charset utf-8; override_charset on; source_charset koi8-r;", "charset utf-8; gzip on; gzip_min_length 1; gzip_types text/plain;",
    "charset utf-8; default_type text/html;", "charset utf-8; types { } default_type 'text/html; charset=x';",
    "charset utf-8; source_charset utf-8;", "source_charset koi8-r;", "charset windows-1251; source_charset koi8-r;",
    "charset koi8-r; source_charset windows-1251;"]
MAPS = "charset_map koi8-r utf-8 { C0 D18E; C1 D0B0; C2 D0B1; } charset_map windows-1251 koi8-r { E0 C1; E1 C2; }"
for number, word in enumerate(CHARSETS):
    CASES += [Case(f"charset: {word}", f"{word} {SOURCES}", [*ASKED, "/f.html", "/f.css", "/f.js", "/f.png", "/f.json", "/f.xml", "/none",
        "/f.html?c=x", "/f.html?c=", "/koi.txt", "/ph", "/pc", ask("/ph", "Accept-Encoding: gzip"), ask("/f.html", "Accept-Encoding: gzip"),
        ask("/f.html", "Range: bytes=0-3")], files=PAGES, odd=True, http=MAPS if number == 0 else "",
                   answers={"/ph": answer("<p>hi</p>", "Content-Type: text/html"),
                       "/pc": answer("\u00e9", "Content-Type: text/html; charset=iso-8859-1"), "*": HELLO})]
CASES += [Case("charset byte for byte", "charset to%ID%; source_charset from%ID%; types { text/plain txt; }",
    ["/w.txt", ask("/w.txt", method="HEAD"), *[ask("/w.txt", f"Range: bytes={each}") for each in ("0-0", "1-", "-1", "0-0,2-2", "9-")],
     ask("/w.txt", "If-None-Match: x"), ask("/w.txt", version="1.0"), "/l.txt"], http="charset_map from%ID% to%ID% { E0 C1; E1 C2; }",
    files={"w.txt": b"\xe0\xe1a", "l.txt": b"\xe0\xe1a\xff" * 20000})]
CASES += [Case("charset after gzip", "charset utf-8; gzip_static always; location /p { proxy_pass http://%BACKEND%; }", ["/z.html", "/p"],
    files={"z.html.gz": "GZ"}, answers=answer("GZ", "Content-Type: text/html", "Content-Encoding: gzip"), mask=[("bad gzip: ", "")])]
CASES += [Case("charset in error pages",
    "charset utf-8; error_page 404 /e.html; error_page 403 /d; location /d { return 403 text; } location /x { deny all; }",
    ["/nope", "/x", "/e.html"], files={"e.html": "e"})]

# ---- gzip ---------------------------------------------------------------------------------------------------

ACCEPTS = ["gzip", "gzip, deflate, br", "deflate", "*", "gzip;q=0", "gzip;q=0.5", "gzip;q=1", "gzip; q=0", "gzip;Q=0", "gzip;q=0.000",
    "gzip;q=0.001", "gzip;q=", "gzip;q=x", "gzip;q=2", "gzip;q=1.5", "gzip;q=0.0000", "gzip;q=-1", "x-gzip", "GZIP", "Gzip",
    "identity, gzip", "deflate;q=1, gzip;q=0", "gzip;foo=bar", "gzipx", "agzip", "a gzip", "gzip ,x", ",gzip", "*;q=0", "identity;q=0",
    "gzip\tq", "", "gzip;q=0, *", "br, gzip;q=0.1 "]
for word in ("", "gzip_http_version 1.0;", "gzip_vary on;", "gzip_min_length 300;", "gzip_types text/plain text/css;", "gzip_types *;",
    "gzip_comp_level 9;", "gzip_types text/html application/json image/png;", "gzip_vary on; gzip_types *; gzip_static on;"):
    CASES += [Case(f"gzip: {word}", f"gzip on; gzip_min_length 20; {word} {SOURCES}",
        [ask(target, "Accept-Encoding: gzip", *fields, method=method, version=version) for target, fields, method, version in
              [(t, (), "GET", "1.1") for t in ("/f.txt", "/f.html", "/f.css", "/f.png", "/tiny.txt", "/empty.txt", "/none", "/f.json", "/r",
                  "/e", "/u", "/p", "/5", "/d/", "/d", "/c", "/6")]
                  + [("/f.html", (), "HEAD", "1.1"), ("/f.html", (), "GET", "1.0"), ("/f.html", ("Range: bytes=0-3",), "GET", "1.1"),
                      ("/f.html", (f"If-Modified-Since: {THEN}",), "GET", "1.1"),
                      ("/f.html", ('If-None-Match: "%TAG%-17c"', "X-Pad: %PAD%"), "GET", "1.1"),
                      ("/f.html", ('If-None-Match: W/"%TAG%-17c"', "X-Pad: %PAD%"), "GET", "1.1"),
                      ("/f.html", ("Via: 1.1 x",), "GET", "1.1"), ("/f.html", ("User-Agent: Mozilla/4.0 (MSIE 6.0)",), "GET", "1.1")]]
                      + ["/f.html", "/f.txt"], files=PAGES)]
CASES += [Case("gzip accept", "gzip on; gzip_min_length 1;",
    [ask("/f.html", f"Accept-Encoding: {each}") for each in ACCEPTS]
    + [ask("/f.html", "Accept-Encoding: deflate", "Accept-Encoding: gzip"),
        ask("/f.html", "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0"),
        ask("/f.html", "Accept-Encoding: gzip;q=0", "Accept-Encoding: gzip")], files=PAGES)]
CASES += [Case("gzip accept 1.0", "gzip on; gzip_min_length 1; gzip_http_version 1.0;",
    [ask("/f.html", "Accept-Encoding: gzip", version="1.0"),
        ask("/f.html", "Accept-Encoding: gzip", "Connection: keep-alive", version="1.0", close=False, keeps=True)], files=PAGES)]
CASES += [Case("gzip accept static", "gzip_static on;", [ask("/f.html", f"Accept-Encoding: {each}") for each in ACCEPTS],
    files={**PAGES, "f.html.gz": "GZ"}, mask=[("bad gzip: ", "")])]
PROXIED = ["off", "expired", "no-cache", "no-store", "private", "no_last_modified", "no_etag", "auth", "any",
    "expired must-revalidate auth", "no-cache no-store", "bogus"]
UPS = {"/plain": (), "/exp": ("Expires: Thu, 01 Jan 1970 00:00:01 GMT", "Date: Tue, 14 Nov 2023 22:13:20 GMT"),
    "/fut": ("Expires: Wed, 15 Nov 2033 22:13:20 GMT",), "/badexp": ("Expires: -1",), "/nc": ("Cache-Control: no-cache",),
    "/ns": ("Cache-Control: max-age=1, no-store",), "/pr": ("Cache-Control: private",), "/lm": ("Last-Modified: " + THEN,),
    "/et": ('ETag: "x"',), "/lmet": ("Last-Modified: " + THEN, 'ETag: W/"x"'), "/enc": ("Content-Encoding: br",),
    "/PR": ("cache-control: PRIVATE",), "/strong": ('ETag: "s"', "Last-Modified: " + THEN, "Accept-Ranges: bytes"),
    "/oddtag": ("ETag: odd",)}
for word in PROXIED:
    CASES += [Case(f"gzip_proxied: {word}",
        f"gzip on; gzip_min_length 1; gzip_proxied {word}; location / {{ proxy_pass http://%BACKEND%; }}",
        [ask(path, "Accept-Encoding: gzip", *via) for path in UPS
            for via in ((), ("Via: 1.1 x",), ("Via: x", "Authorization: Basic YQ=="))],
            answers={path: answer("<p>hello</p>" * 9, "Content-Type: text/html", *fields) for path, fields in UPS.items()}, odd=True)]
CASES += [Case("gzip of proxied kinds", "gzip on; gzip_min_length 20; gzip_types *; location / { proxy_pass http://up_%ID%; }",
    [ask(path, "Accept-Encoding: gzip", method=method, version=version)
        for path in ("/len", "/chunk", "/close", "/404", "/206", "/204", "/304", "/enc", "/nolen", "/tiny") for method,
        version in (("GET", "1.1"), ("HEAD", "1.1"), ("GET", "1.0"))],
               answers={"/len": answer("x" * 100, "Content-Type: text/html"),
                   "/chunk": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                   "/close": answer("y" * 100, "Content-Type: text/html", length=False),
                   "/404": answer("z" * 100, "Content-Type: text/html", status="404 Not Found"),
                   "/206": answer("zz" * 50, "Content-Range: bytes 0-99/200", "Content-Type: text/html", status="206 Partial Content"),
                   "/204": b"HTTP/1.1 204 No Content\r\n\r\n", "/304": b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
                   "/enc": answer("e" * 100, "Content-Encoding: identity", "Content-Type: text/html"), "/nolen": answer("n" * 100),
                   "/tiny": answer("t", "Content-Type: text/html")}, closes=True, http="upstream up_%ID% { server %BACKEND%; %NOKEEP% }")]
CASES += [Case("gzip inherits",
    "gzip on; gzip_min_length 1; location /off { gzip off; } location /t { gzip_types text/plain; location /t/in { gzip_types text/css; } }"
    " location /if { if ($arg_x) { gzip off; } }", [ask(target, "Accept-Encoding: gzip")
        for target in ("/off/f.html", "/t/f.txt", "/t/in/f.txt", "/t/in/f.css", "/if/f.html", "/if/f.html?x=1", "/f.html")],
        files={f"{d}{f}": c for d in ("", "off/", "t/", "t/in/", "if/") for f,
            c in (("f.html", "h" * 99), ("f.txt", "t" * 99), ("f.css", "c" * 99))})]
CASES += [Case("gzip ratio", "gzip on; gzip_min_length 1;", [ask("/f.html", "Accept-Encoding: gzip"), ask("/f.html"),
    ask("/f.txt", "Accept-Encoding: gzip")], files=PAGES, log="'$gzip_ratio'", mask=[(r"^\d+\.\d\d$", "RATIO")])]

# ---- sub_filter --------------------------------------------------------------------------------------------

for word in ("sub_filter hello bye;", "sub_filter hello bye; sub_filter_once off;", "sub_filter HELLO bye; sub_filter_once off;",
    "sub_filter hello $uri; sub_filter_once off;", "sub_filter hello ''; sub_filter_once off;", "sub_filter $arg_x y; sub_filter_once off;",
    "sub_filter hello a; sub_filter world b; sub_filter_once off;", "sub_filter hello a; sub_filter 'hello world' b; sub_filter_once off;",
    "sub_filter 'hello world' b; sub_filter hello a;", "sub_filter_types text/plain; sub_filter 0 zero;",
    "sub_filter_types *; sub_filter 0 zero; sub_filter_once off;", "sub_filter '<p>' '<q>'; sub_filter_last_modified on;",
    "sub_filter l L; sub_filter_once off;", "sub_filter lo lolo; sub_filter_once off;", "sub_filter hello bye; gzip on; gzip_min_length 1;",
    "sub_filter '' x;", "sub_filter 'o w' '';", "sub_filter aa b; sub_filter_once off;", "sub_filter '\\n' N;"):
    CASES += [Case(f"sub_filter: {word}", f"{word} {SOURCES}",
        [*ASKED, "/f.html", "/f.html?x=hello", "/f.css", "/ph", "/pgz", "/pchunk", ask("/f.html", method="HEAD"),
            ask("/f.html", "Range: bytes=0-3"), ask("/f.html", "Accept-Encoding: gzip"), ask("/f.html", f"If-Modified-Since: {THEN}"),
            "/aaa.html"], files={**PAGES, "aaa.html": "aaaa hehello hell hello"}, odd=True,
                   answers={"/ph": answer("<p>hello</p> hello", "Content-Type: text/html", 'ETag: "x"', "Last-Modified: " + THEN,
                       "Accept-Ranges: bytes"), "/pgz": answer("hello", "Content-Type: text/html", "Content-Encoding: gzip"),
                       "/pchunk": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: "
                           b"chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "*": HELLO}, mask=[("bad gzip: ", "")])]
CASES += [Case("sub_filter inherits", "sub_filter hello server; location /a { sub_filter world a; } location /b { sub_filter_once off; }",
    ["/f.html", "/a/f.html", "/b/f.html"], files={**PAGES, "a/f.html": "hello world hello", "b/f.html": "hello world hello"})]

# ---- error_page ---------------------------------------------------------------------------------------------

MADE = ("location /404 { return 404; } location /403 { deny all; } location /500 { return 500; } location /502 { proxy_pass "
    "http://127.0.0.1:1; } location /t { return 404 text; } location /400 { return 400; } location /p404 { proxy_pass http://%BACKEND%; }"
    " location /r { return 301 /x; } location /401 { auth_basic r; auth_basic_user_file /dev/null; } location /413 { "
    "client_max_body_size 1; proxy_pass http://%BACKEND%; } location /416 { alias %ROOT%/f.txt; } location /405 { alias %ROOT%/f.txt; }")
GO = ["/404", "/403", "/500", "/502", "/t", "/400", "/nofile", "/p404", "/r", "/401", "/d", ask("/413", method="POST", body="abc"),
    ask("/416", "Range: bytes=900-"), ask("/405", method="POST", body="x"), ask("/404", method="HEAD"),
    ask("/404", method="POST", body="x"), ask("/403?x=y", method="PUT", body="x"), ask("/404", "If-Match: x")]
for word in ("404 /p", "404 =200 /p", "404 = /p", "404 =999 /p", "404 =301 /p", "404 =301 http://o.test/x", "404 http://o.test/x",
    "404 =302 /page.html", "404 403 500 502 401 400 413 416 405 /p", "404 403 500 502 401 400 413 416 405 =200 /p",
    "404 403 500 502 401 400 413 416 405 = /own", "404 403 500 502 401 400 413 416 405 /page.html",
    "404 403 500 502 401 400 413 416 405 =201 /page.html", "404 403 500 502 401 400 413 416 405 @n",
    "404 403 500 502 401 400 413 416 405 =200 @n", "404 403 500 502 401 400 413 416 405 = @n", "404 403 500 502 401 400 413 416 405 = @b",
    "404 @b", "404 403 /missing.html", "404 403 $uri.html", "404 403 /p?x=$arg_x", "404 403 /p/$status", "404 /d/",
    "404 403 500 502 400 413 https://o.test$request_uri", "404 403 =308 https://o.test$request_uri", "301 /p", "301 302 =200 /p",
    "301 302 /page.html", "404 =404 /p", "404 =500 /p", "404 =204 /p", "404 =444 /p", "403 =404 /missing.html", "404 p", "404 ''", "499 /p",
    "200 /p", "300 /p", "404 =abc /p", "404 =302 http://o.test/", "401 =401 /p", "404 /internal", "404 @missing", "404 /404"):
    CASES += [Case(f"error_page: {word}",
        f"error_page {word}; {MADE} location /p {{ return 200 'page $uri $args $status $request_uri\\n'; }} location /own "
        f"{{ return 206 own; }} location @n {{ return 200 'named $uri $status\\n'; }} location @b {{ proxy_pass http://%BACKEND%; }} "
        f"location /internal {{ internal; return 200 in; }}", GO,
                   files={"page.html": "page file\n", "d/index.html": "d", "404.html": "own 404", "f.txt": "file"}, odd=True,
                   answers=answer("up", "X: 1", status="404 Not Found"))]
CASES += [Case(f"recursive_error_pages {word}",
    f"recursive_error_pages {word}; error_page 404 /a; error_page 403 /b; error_page 500 /c; location /a {{ return 403; }} location /b "
    f"{{ return 500; }} location /c {{ return 200 c; }} location /loop {{ error_page 402 /loop; return 402; }} location @x "
    f"{{ return 404; }} location /n {{ error_page 410 @x; return 410; }}", ["/none", "/a", "/b", "/loop", "/n"], errors="error")
    for word in ("on", "off")]
CASES += [Case("error_page inherits",
    "error_page 404 /s; error_page 403 /t; location /s { return 200 s; } location /t { return 200 t; } location /l { error_page 404 /u; "
    "location /l/in { } location /l/own { error_page 500 /u; } } location /u { return 200 u; } location /403 { deny all; } location "
    "/l/403 { deny all; }", ["/none", "/403", "/l/x", "/l/in/x", "/l/own/x", "/l/403"]),
          Case("error_page of pages", "".join(f"location = /{code} {{ return {code}; }}"
              for code in (400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 421, 429, 500, 501, 502, 503,
                  504, 505, 507)) + "location /x { error_page 404 =503 /none; return 404; }",
                  [ask(f"/{code}", "User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)", method=method)
                      for code in (400, 404, 500, 503, 507, 411) for method in ("GET", "HEAD")] + ["/x"]),
          Case("error_page msie",
              "msie_padding off; location /a { return 404; } location /r { msie_refresh on; return 302 http://o.test/; }",
              [ask(t, "User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)") for t in ("/a", "/r")]),
          Case("server_tokens",
              "server_tokens on; location /off { server_tokens off; return 404; } location /build { server_tokens build; return 404; }",
              ["/none", "/off", "/build"])]
