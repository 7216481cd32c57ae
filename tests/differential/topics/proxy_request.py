"""The fields and bodies that the backend sees."""

from cases import HELLO, Case, Request, answer, ask, each_method, pipeline, table

HTTP = "proxy_http_version 1.1;"
CASES = []
LOC = "location / { %V% proxy_pass http://%BACKEND%; }"
SENT = ("User-Agent: U", "Accept: */*", "X-A: 1", "X-B:  two  ", "Cookie: a=b", "Cookie: c=d", "x-lower: l", "X-Empty:", "Referer: r",
    "Via: 1.1 v", "X-Forwarded-For: 1.1.1.1", "Authorization: Basic dTpw", "If-None-Match: \"e\"", "Range: bytes=0-1",
    "Accept-Encoding: gzip", "TE: trailers", "Upgrade: websocket", "Keep-Alive: 5", "Proxy-Connection: keep-alive",
    "Proxy-Authorization: x", "Trailer: T", "X_U: under", "Date: d", "Expect-CT: x", "Forwarded: for=1", "Content-Type: text/q",
    "Content-Language: en", "Cache-Control: no-cache", "Pragma: no-cache")


# ---- the request's fields ------------------------------------------------------------------------------------

for words in ("", "proxy_http_version 1.0;", "proxy_http_version 1.1;", 'proxy_http_version 1.1; proxy_set_header Connection "";',
    "proxy_set_header Host $host;", "proxy_set_header Host $http_host;", 'proxy_set_header Host "";', "proxy_set_header Host fixed;",
    "proxy_set_header Connection keep-alive;", "proxy_set_header Connection $http_connection;",
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;", "proxy_set_header X-A 2;", 'proxy_set_header X-A "";',
    "proxy_set_header x-a lower;", "proxy_set_header X-New $uri; proxy_set_header X-Other '$remote_addr $host';",
    "proxy_set_header X-New a; proxy_set_header X-New b;", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    'proxy_set_header Content-Length "";', 'proxy_set_header Content-Length 3;', 'proxy_set_header Content-Type "";',
    'proxy_set_header Accept-Encoding "";', 'proxy_set_header Cookie "";', 'proxy_set_header If-None-Match "";',
    'proxy_set_header Range "";', "proxy_set_header Transfer-Encoding x;", "proxy_set_header Expect 100-continue;",
    'proxy_set_header Expect "";', "proxy_set_header TE $http_te;", "proxy_set_header Keep-Alive $http_keep_alive;",
    'proxy_set_header Upgrade "";', "proxy_pass_request_headers off;", "proxy_pass_request_headers off; proxy_set_header X-New a;",
    "proxy_pass_request_body off;", 'proxy_pass_request_body off; proxy_set_header Content-Length "";', "proxy_set_body fixed;",
    "proxy_set_body 'a$arg_a';", "proxy_set_body $request_body;", 'proxy_set_body "";', "proxy_request_buffering off;",
    "proxy_request_buffering off; proxy_http_version 1.0;", "proxy_set_header X-Empty-Var $arg_none;", "proxy_set_header X é;",
    "proxy_set_header 'X Y' z;", "proxy_set_header X $http_x_a$http_x_b;",
    "proxy_set_header Host $proxy_host; proxy_set_header P $proxy_port;",
    "proxy_set_header User-Agent $http_user_agent; proxy_set_header Accept x;", "proxy_set_header Date $http_date;", "proxy_buffering off;",
    "client_body_buffer_size 1; client_body_in_file_only on;", "proxy_set_header X $request_id$msec_none;"):
    CASES += [Case(f"fields: {words}", LOC.replace("%V%", words),
        [ask("/x?a=1", *SENT), ask("/"), ask("/", method="POST", body="the body"), ask("/", method="POST", body=""),
            ask("/", "Content-Length: 0", method="GET"), ask("/", method="GET", body="get body"), ask("/", version="1.0", host=None),
            ask("/", "Connection: close, X-A", "X-A: hop", close=False),
            ask("/", "Connection: keep-alive, x-b", "X-B: hop", close=False, keeps=True),
            ask("/", "Expect: 100-continue", method="POST", body="abc"), ask("/", host="H.test:99"), ask("/", method="HEAD")]
                   + [Request(b"POST / HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + c, ("POST",))
                       for c in (b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n", b"1;x=y\r\na\r\n2\r\nbc\r\n0\r\nT: u\r\n\r\n")], odd=True,
                       patience=0.3 if "Content-Length 3" in words or "body off;" in words else 0)]
CASES += [Case("fields inherit",
    "proxy_set_header X-S server; proxy_set_header X-T t; location / { proxy_pass http://%BACKEND%; } location /l { proxy_set_header X-L l;"
    " proxy_pass http://%BACKEND%; location /l/in { proxy_pass http://%BACKEND%; } location /l/own { proxy_set_header X-O o; proxy_pass "
    "http://%BACKEND%; } } location /i { if ($arg_x) { proxy_pass http://%BACKEND%; } }", ["/", "/l", "/l/in", "/l/own", "/i?x=1"]),
          Case("body large", LOC.replace("%V%", ""), [ask("/", method="POST", body=bytes(range(256)) * n) for n in (1, 64, 200, 400)]),
          Case("body large unbuffered", LOC.replace("%V%", "proxy_request_buffering off;"),
              [ask("/", method="POST", body=bytes(range(256)) * n) for n in (1, 64, 200, 400)])]
