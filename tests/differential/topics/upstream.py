"""Upstreams: the next server, balancing, their words; addresses that fail; words of the proxy."""

from cases import HELLO, Case, Request, answer, ask, each_method, pipeline, table

HTTP = "proxy_http_version 1.1;"
CASES = []
LOC = "location / { %V% proxy_pass http://%BACKEND%; }"

from topics.proxy_kinds import KINDS

BAD = {"/ok": HELLO, "/500": answer("e", status="500 E"), "/502": answer("e", status="502 E"), "/503": answer("e", status="503 E"),
    "/504": answer("e", status="504 E"), "/403": answer("e", status="403 E"), "/404": answer("e", status="404 E"),
    "/429": answer("e", status="429 E"), "/bad": b"garbage\r\n\r\n", "/none": None, "/nothing": b""}
for words in ("", "error timeout;", "off;", "error timeout invalid_header http_500 http_502 http_503 http_504 http_403 http_404 http_429;",
    "http_500 non_idempotent;", "error invalid_header;", "http_404;", "bogus;", "error timeout; proxy_next_upstream_tries 2", "updating;",
    "http_500; proxy_next_upstream_tries 1;"):
    directive = f"proxy_next_upstream {words}" if words else ""
    directive += "" if directive.endswith(";") or not directive else ";"
    CASES += [Case(f"next: {words}",
        f"location / {{ {directive} proxy_pass http://up_%ID%; add_header X-S \"$upstream_status|$upstream_addr\" always; }}",
        [ask(path, method=m, body="b" if m == "POST" else None) for path in BAD for m in ("GET", "POST", "PUT", "HEAD")],
        http="upstream up_%ID% { server %BACKEND% max_fails=0; server 127.0.0.1:1 max_fails=0; server %BACKEND% max_fails=0; %NOKEEP% }",
        answers=BAD, odd=True, log="'$upstream_addr|$upstream_status|$upstream_response_length'", errors="error" if not words else "")]

# ---- upstreams -----------------------------------------------------------------------------------------------

SERVERS = "".join(f" server 127.0.0.1:{port} max_fails=0%W{port}%;" for port in (1, 2, 3, 4))
for method, weights in ((m, w) for m in ("", "least_conn;", "ip_hash;", "hash $arg_k;", "hash $arg_k consistent;", "hash $arg_k$uri;",
    "hash '';", "random;", "random two;", "random two least_conn;", "hash $arg_none;", "hash $arg_none consistent;", "keepalive 4;",
    "least_conn; keepalive 4;", "hash $arg_k; keepalive 2;", "zone z_%ID% 64k;", "keepalive 4; least_conn;", "bogus;", "ip_hash; ip_hash;",
    "hash;") for w in ("plain", "weights", "down", "backup")):
    if weights != "plain" and method in ("bogus;", "hash;", "ip_hash; ip_hash;", "random;", "random two;", "random two least_conn;"):
        continue
    words = {"plain": ["", "", "", ""], "weights": [" weight=5", " weight=2", "", " weight=3"], "down": ["", " down", " weight=2", ""],
        "backup": ["", "", " backup", " backup"]}[weights]
    text = SERVERS
    for port, word in zip((1, 2, 3, 4), words):
        text = text.replace(f"%W{port}%", word)
    random = "random" in method
    CASES += [Case(f"balance: {method} {weights}",
        "location / { proxy_next_upstream off; proxy_pass http://up_%ID%; add_header A $upstream_addr always; }",
        [ask(f"/?k={n % 7}", client=f"127.0.{n % 5}.{n % 9 + 1}") for n in range(24)], http=f"upstream up_%ID% {{ {method} {text} }}",
        odd=True, mask=[(r"127\.0\.0\.1:[1-4]", "ONE")] if random else [])]
CASES += [Case(f"upstream words: {words}", "location / { proxy_pass http://up_%ID%; }", ["/", "/"], http=f"upstream up_%ID% {{ {words} }}",
    odd=True) for words in ("", "server %BACKEND%; server %BACKEND%;",
        "server %BACKEND% max_fails=1 fail_timeout=1s max_conns=5 slow_start=0;", "server %BACKEND% weight=0;",
        "server %BACKEND% weight=x;", "server %BACKEND% bogus;", "server %BACKEND% backup;", "server %BACKEND% down;",
        "server %BACKEND%; keepalive 0;", "server %BACKEND%; keepalive 4; keepalive_timeout 5s; keepalive_requests 2; keepalive_time 1h;",
        "server http://%BACKEND%;", "server %BACKEND%/x;", "server unix:/none;", "server localhost:%BPORT%;", f"server {'a' * 64}.test:1;",
        "server 127.0.0.1;", "server %BACKEND% fail_timeout=0;", "server %BACKEND% max_fails=x;", "server;", "bogus x;",
        "hash $arg_a; server %BACKEND% backup;", "random; server %BACKEND% backup; server %BACKEND%;")]
STRAY = "upstream up_%ID% { server %BACKEND%; keepalive 4; }"
CASES += [Case(f"stray on a kept connection: {stray[:24]!r}", "location / { proxy_set_header Connection ''; proxy_pass http://up_%ID%; }",
    [ask("/first"), ask("/second", after_stray=True), ask("/third", method="POST", body="abc")], http=STRAY, stray=stray,
    answers={"/first": HELLO, "*": answer("second or third\n")})
    for stray in (b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstray\n",
        b"garbage", b"\r\n", b"H")]
CASES += [Case(f"kept by an upstream: {words}", f"location / {{ proxy_set_header Connection ''; {words} proxy_pass http://up_%ID%; }}",
    [ask(f"/{kind}", method=method, body="abc" if method == "POST" else None)
        for kind in ("length", "chunks", "empty", "204", "304", "206", "big", "404", "long", "after-chunks", "cl-close", "ka")
        for method in ("GET", "HEAD", "POST")], http=STRAY, answers={f"/{kind}": said for kind, said in KINDS.items()})
        for words in ("", "proxy_buffering off;", "proxy_intercept_errors on;")]
CASES += [Case("upstream of its name",
    "location / { proxy_pass http://Up_%ID%; } location /p { proxy_pass http://up_%ID%:80; } location /v { proxy_pass http://$arg_u; } "
    "location /s { set $u up_%ID%; proxy_pass http://$u$request_uri; }", ["/", "/v?u=up_%ID%", "/s?x=1"],
    http="upstream up_%ID% { server %BACKEND%; }", odd=True),
    Case("no live upstreams", "location / { proxy_pass http://up_%ID%; }", ["/", ask("/", method="POST", body="b")],
        http="upstream up_%ID% { server 127.0.0.1:1; server 127.0.0.1:2; }", errors="error",
        log="'$upstream_addr $upstream_status $status'"),
          Case("connection refused",
              "location / { proxy_pass http://127.0.0.1:1; } location /x { proxy_pass http://127.0.0.1:1/y; } location /u { proxy_pass "
              "http://unix:/none.sock; } location /n { resolver 127.0.0.1:1; proxy_pass http://$arg_h; }", ["/", "/x/a", "/u"],
              errors="error", log="'$upstream_addr|$upstream_status|$upstream_response_length|$status|$proxy_host|$proxy_port'"),
          Case("unix with regex",
              "location ~ ^/u { proxy_pass http://unix:/none.sock:; } location /v/ { proxy_pass http://unix:/none.sock:/base/; } location "
              "/w { proxy_pass http://unix:/none.sock; }", ["/u", "/v/x", "/w"], odd=True, errors="error"),
          Case("upstream variables", "location / { proxy_pass http://up_%ID%; }",
              ["/length", "/chunks", "/close", "/empty", "/204", "/304", "/short", "/cut-chunk", "/garbage", "/nothing", "/big", "/100",
                  ask("/length", method="HEAD"), ask("/length", method="POST", body="abc")],
                  answers={f"/{kind}": said for kind, said in KINDS.items()}, closes=True,
                  http="upstream up_%ID% { server %BACKEND%; %NOKEEP% }",
                  log="'$upstream_addr|$upstream_status|$upstream_response_length|$upstream_bytes_received|$upstream_http_content_type|"
                      "$upstream_http_x|$body_bytes_sent|$status|$upstream_cache_status'"),
          Case("limit rates",
              "location / { limit_rate 10m; limit_rate_after 1k; proxy_limit_rate 10m; proxy_pass http://%BACKEND%; } location /v { "
              "limit_rate $arg_r; limit_rate_after $arg_a; return 200 x; }", ["/", "/v?r=1m&a=1k"], odd=True),
          Case("proxy_bind",
              "location / { proxy_bind 127.0.0.77; proxy_pass http://%BACKEND%; } location /o { proxy_bind off; proxy_pass "
              "http://%BACKEND%; } location /v { proxy_bind $arg_b; proxy_pass http://%BACKEND%; }", ["/", "/o", "/v?b=127.0.0.78", "/v"],
              odd=True)]
for word in ("proxy_buffer_size 512;", "proxy_buffers 1 1k;", "proxy_buffers 8 4k; proxy_busy_buffers_size 64k;", "proxy_read_timeout 0;",
    "proxy_connect_timeout 100;", "proxy_http_version 1.2;", "proxy_http_version 2;", "proxy_method '';", "proxy_set_header X;",
    "proxy_redirect a;", "proxy_cookie_path a;", "proxy_hide_header;", "proxy_pass_request_headers maybe;", "proxy_next_upstream;",
    "proxy_temp_path /tmp/a 1 2 3 4;", "proxy_max_temp_file_size 1;", "proxy_cache_bypass $arg_x;", "proxy_no_cache $arg_x;",
    "proxy_cache_valid 1m;", "proxy_socket_keepalive on;", "proxy_headers_hash_max_size 1024;", "proxy_send_lowat 0;",
    "proxy_ssl_verify off;", "proxy_busy_buffers_size 1k;", "proxy_cache_path /tmp/x keys_zone=z:1m;"):
    CASES += [Case(f"words: {word}", LOC.replace("%V%", word), ["/"], odd=True)]
