"""return, rewrite, set, if, break: values, contexts, flags, captures, escapes, methods."""

from cases import Case, ask, each_method, table

SAY = r'return 200 "uri=$uri args=$args request_uri=$request_uri 1=$1 2=$2\n";'
STATUSES = [200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411,
            412, 413, 414, 415, 416, 421, 429, 444, 494, 495, 496, 497, 499, 500, 501, 502, 503, 504, 505, 507, 599, 999]

HTTP = "proxy_http_version 1.1;"
CASES = []

# ---- return -------------------------------------------------------------------------------------------------

CASES += [Case("return codes", "".join(f"location = /{code} {{ return {code}; }} location = /{code}t {{ return {code} text-$uri; }}"
                                       f"location = /{code}u {{ return {code} http://o.test/$uri; }}"
                                       f"location = /{code}e {{ return {code} ''; }}" for code in STATUSES),
               [ask(f"/{code}{kind}", method=method) for code in STATUSES for kind in ("", "t", "u", "e")
                for method in ("GET", "HEAD")])]
CASES += [Case(f"return codes to 1.0: {code}", f"return {code} text;", [ask("/", version="1.0"), ask("/", version="1.0", host=None)])
          for code in (200, 301, 404)]
URLS = ["http://o.test/", "https://o.test", "http://o.test/a b", "/local", "/local?x=1", "local", "ftp://o.test/",
    "$scheme://$host$request_uri",
        "http://$host:%PORT%/", "//o.test/", "http://", "https:", "HTTP://o.test/", "http://o.test/$uri?$args", "/a$uri", "/ä", '"/q\\"x"',
        "'/s$arg_x'", "@named", "?a=b",
        "$arg_to", "/$arg_to", "/x#frag", "/%20x", "/x%0d%0ay"]
REQUESTS = ["/p", "/p?to=/there&x=1", "/p?to=http://o.test/x", ask("/p%20q/?to=%0d%0aX:%20y"), ask("/p", host="other.test:81"),
            ask("/p", method="POST", body="a"), ask("/p", host=None, version="1.0"), ask("http://abs.test/p?x=y")]
CASES += table("return url", "location / { return %V%; }", URLS, REQUESTS, odd=True)
for code in (200, 301, 302, 307, 308, 303, 404, 500):
    CASES += table(f"return {code}", f"location / {{ return {code} %V%; }}", URLS[:8], REQUESTS)
for word in ("absolute_redirect off", "absolute_redirect on", "port_in_redirect off", "port_in_redirect on", "server_name_in_redirect on",
             "server_name_in_redirect on; port_in_redirect off", "absolute_redirect off; server_name_in_redirect on"):
    CASES += [Case(f"redirect forms: {word}",
        f"server_name main.test second.test; {word}; location /d/ {{ }} location /r {{ return 301 /x; }} location /w "
        f"{{ rewrite ^ /y permanent; }}"
                   f"location /f {{ return 302 http://z.test/; }} location /p/ {{ proxy_pass http://%BACKEND%; }}",
                   [ask(target, host=host) for target in ("/d", "/d?a=b", "/r", "/w", "/w?q", "/f", "/p", "/p?a", "/dir", "/dir?x=1",
                       "/di%72") for host in ("main.test", "second.test:99", "x.test")],
                   files={"d/index.html": "d", "dir/index.html": "dir"})]
CASES += [
    Case("return in server", "return 403; location / { return 200 never; }", each_method("/")),
    Case("return in server after set", "set $a 1; return 200 $a; location / { return 200 never; }", ["/"]),
    Case("return in if in server", "if ($arg_x) { return 402; } location / { return 200 loc; }", ["/", "/?x=1", "/?x="]),
    Case("return with default_type",
        'default_type text/html; location /a { return 200 a; } location /b { default_type ""; return 200 b; } location /c { default_type '
        'application/x-y; return 404 "no"; }'
         "location /d { types { text/css css; } return 200 d; }", ["/a", "/b", "/c", "/d.css", "/a.html", "/a.png", "/b.txt"]),
    Case("return long", 'return 200 "' + "x" * 5000 + '";', ["/"]),
    Case("return text escapes", r'''return 200 "a\nb\tc\"d\\e\$f\r";''', ["/"]),
    Case("return braces", 'return 200 "${uri}x${arg_a}y$arg_b-z$is_args$args";',
        ["/", "/?a=1&b=2", "/?A=3", "/?a=1&a=2", "/?xa=1&a=9", "/?a", "/?a&a=1", "/?b=%20+"]),
    Case("return empty variable", "set $e ''; location / { return 200 $e; } location /r { return 301 $e; }", each_method("/") + ["/r"]),
    Case("return with body sent", "return 200 ok;", [ask("/", method="POST", body="x" * 3000),
        ask("/", "Expect: 100-continue", method="POST", body="abc")]),
]

# ---- rewrite -------------------------------------------------------------------------------------------------

PATTERNS = ["^ /new", "^/a(.*)$ /b$1", "^/a/(.*)/(.*)$ /$2/$1", "^/a(.*)$ /b?x=$1", "^/a(.*)$ /b?x=$1&", "^/a(.*)$ /b?", "^/a(.*)$ /b?y=1?",
    "^/(?<w>[a-z]+) /named/$w",
            "^/a /b?$args", "^/a http://o.test/$uri", "^/a https://o.test/x?", "^/a $scheme://o.test/c", "^/a /x%20y", '"^/a b" /space',
            '"^/a{1,2}" /brace', "^(.*)$ $1$1", "(?i)^/A /ci", "/a$ /end",
            "^/a(.*) /é$1", "^/a/(.*)$ /b/$1?$1", "^/a.*$ /$arg_x", "^/a(.*)$ //$1", "^/a(/?.*)$ $1", "^/a b", "^/a ''",
            "^/a(.)?(.)? /[$1][$2][$3]", "^/a /b#c", "^/a /b/../c", "^/a /b//c", "^/a ?x=1"]
FLAGS = ["", "last", "break", "redirect", "permanent"]
TARGETS = ["/a", "/a/b", "/a/b/c?q=1", "/a%20b", "/aa?x=/v", "/A", "/a/%3Fx", "/a/%23?%26", "/a+b/c%2Bd", "/abc%C3%A9", "/z/a"]
for flag in FLAGS:
    CASES += table(f"rewrite {flag}",
        f"location / {{ rewrite %V% {flag}; {SAY} }} location /b {{ return 200 'in b $uri $args\\n'; }} location /named "
        f"{{ return 200 'named $uri $w2\\n'; }} set $w2 -;", PATTERNS, TARGETS, odd=flag == "")
for flag in FLAGS:
    CASES += table(f"rewrite in server {flag}",
        f"rewrite %V% {flag}; location / {{ {SAY} }} location /b {{ return 200 'in b $uri $args\\n'; }}", PATTERNS[:12], TARGETS[:8],
        long=flag in ("last", "permanent"))
    CASES += table(f"rewrite to proxy {flag}",
        f"location / {{ rewrite %V% {flag}; proxy_pass http://%BACKEND%; }} location /b {{ proxy_pass http://%BACKEND%/base/; }}"
                   "location /new { proxy_pass http://%BACKEND%$uri; }", PATTERNS[:20], TARGETS[:9], long=flag in ("", "redirect"))
CASES += [
    Case("rewrite loop", "location / { rewrite ^/(.*)$ /x$1 last; }", ["/a"], errors="error"),
    Case("rewrite to itself with break", "location / { rewrite ^ /f.txt break; }", ["/a", "/f.txt"], files={"f.txt": "file"}),
    Case("rewrite chain", f"rewrite ^/1 /2; rewrite ^/2 /3; location /3 {{ rewrite ^/3 /4; rewrite ^/4 /5 last; }} location / {{ {SAY} }}",
        ["/1", "/2", "/3", "/1?q"]),
    Case("rewrite break in server then location",
        f"rewrite ^/1 /2 break; rewrite ^/2 /3; location /2 {{ rewrite ^/2 /4; {SAY} }} location / {{ {SAY} }}", ["/1", "/2"]),
    Case("rewrite keeps args of others", f"location / {{ rewrite ^/a /b?x=1; rewrite ^/b /c?y=2; {SAY} }}", ["/a", "/a?q=0"]),
    Case("rewrite captures outlive",
        "location ~ ^/(?<one>[a-z]+)/(.*)$ { set $keep $2; rewrite ^/([a-z]) /$1 break; return 200 '$one $keep $1 $2'; }",
        ["/ab/cd", "/x/y/z"]),
    Case("rewrite redirect escapes",
        "location / { rewrite ^/r(.*)$ /to$1 redirect; } location /h { rewrite ^/h(.*)$ http://o.test/to$1 redirect; } location /q { "
        "rewrite ^ /to?u=$uri permanent; } location /g { rewrite ^ /to$arg_x? redirect; } location /i { rewrite ^ http://o.test$arg_x? "
        "redirect; }",
         ["/r/a%20b", "/r/%C3%A9", "/r/%25", "/r/a%3Fb", "/r/%0d%0ax", "/r/+", "/h/a%20b?x=%20", "/h/%C3%A9%26", "/q/a%20b%3F&", "/q?x",
             "/g?x=%2Fa%20b", "/g?x=/a%2520b", "/i?x=/a%20b%3F", "/i?x=%0d%0a"]),
    Case("merge_slashes off", f"merge_slashes off; location / {{ {SAY} }} location //d {{ return 200 'double $uri'; }}",
        ["//d/x", "/d//x", "///", "/a//../b", "//"]),
    Case("merge_slashes on", f"location / {{ {SAY} }} location /d {{ return 200 'single $uri'; }}",
        ["//d/x", "/d//x", "///", "/a//../b", "//", "/%2F/a", "/a%2F%2Fb"]),
]

# ---- if --------------------------------------------------------------------------------------------------------

CONDITIONS = ["$arg_x", "$arg_x = y", "$arg_x != y", '$arg_x = ""', '$arg_x = "$arg_y"', "$arg_x ~ ^y", "$arg_x ~* ^Y", "$arg_x !~ ^y",
    "$arg_x !~* ^Y", '$uri ~ "^/(?<cap>.)(.*)$"', "$request_method = POST", "$http_x",
              "-f $document_root$uri", "!-f $document_root$uri", "-d $document_root$uri", "!-d $document_root$uri", "-e $document_root$uri",
              "!-e $document_root$uri", "-x $document_root$uri", "!-x $document_root$uri", "-f $request_filename", "-d $request_filename",
              "$arg_go-get", "$cookie_a-b = x", "$arg_x=y", "$arg_x ~ 'a b'", "$http_user_agent ~ MSIE", "$invalid_referer",
              "$is_args = '?'", "$arg_x = 0", "$args ~ '='", "$host = h.test", "$remote_addr = 127.0.0.1", "$scheme != https",
              "$http_cookie ~* 'id=([^;]+)(?:;|$)'"]
IF_REQUESTS = ["/", "/?x=y", "/?x=Yes", "/?x=0", "/?x=", "/file.txt", "/dir", "/dir/", "/none", "/run.sh", ask("/", "X: 1"),
    ask("/?x=y&y=y", method="POST", body=""), "/?go-get=1", "/?go=1", ask("/", "Cookie: a-b=x; id=7"), ask("/", "Cookie: a=x"),
    ask("/?x=a%20b", "User-Agent: MSIE 6")]
IF_FILES = {"file.txt": "file", "dir/index.html": "dir", "run.sh": "#!"}
for place, form in {"location": "location / { if (%V%) { return 200 'yes 1=$1 2=$2\\n'; } return 200 'no\\n'; }",
                    "server": "if (%V%) { return 200 'yes 1=$1 2=$2\\n'; } location / { return 200 'no\\n'; }",
                    "set": "location / { set $hit 0; if (%V%) { set $hit 1; } return 200 '$hit 1=$1\\n'; }"}.items():
    CASES += table(f"if in {place}", form, CONDITIONS, IF_REQUESTS, files=IF_FILES, odd=True)
CASES += [
    Case("if takes over",
        "location / { add_header A 1; if ($arg_x) { add_header B 2; } if ($arg_y) { add_header C 3; } if ($arg_z) { set $q 1; } }",
        ["/f.txt", "/f.txt?x=1", "/f.txt?y=1", "/f.txt?x=1&y=1", "/f.txt?z=1", "/f.txt?x=1&z=1", "/none?x=1"], files={"f.txt": "f"}),
    Case("if with proxy_pass",
        "location / { proxy_set_header X base; if ($arg_x) { proxy_pass http://%BACKEND%; } return 200 no; } location /u/ { if ($arg_x) { "
        "proxy_pass http://%BACKEND%; } proxy_pass http://%BACKEND%/base/; }", ["/", "/?x=1", "/u/a", "/u/a?x=1"]),
    Case("if and break", "location / { if ($arg_x) { break; } return 200 no; } location /b { set $v 1; break; set $v 2; return 200 $v; }",
        ["/f.txt?x=1", "/f.txt", "/b"], files={"f.txt": "f", "b": "file b"}),
    Case("break in server", "set $v 1; if ($arg_x) { break; } set $v 2; location / { return 200 $v; }", ["/", "/?x=1"]),
    Case("break then log", "location /b { set $v 1; break; set $v 2; }", ["/b"], files={"b": "file b"}, log="'v=$v'"),
    Case("if with rewrite",
        "location / { if ($arg_x) { rewrite ^ /in last; } if ($arg_y) { rewrite ^ /in break; } return 200 out; } location /in { return 200 "
        "'in $uri\\n'; }", ["/", "/?x=1", "/?y=1"], files={"in": "file in"}),
    Case("if with error_page",
        "error_page 404 /p; location /p { return 200 page; } location / { if ($arg_x) { return 404; } return 200 ok; }", ["/", "/?x=1"]),
    Case("if with expires", "location / { expires off; if ($arg_x) { expires 1h; } }", ["/f.txt", "/f.txt?x=1"], files={"f.txt": "f"},
        mask=[("[A-Z][a-z]{2}, .*GMT", "DATE")]),
    Case("if with root", "location / { if ($arg_x) { root %ROOT%/other; } }", ["/f.txt", "/f.txt?x=1"],
        files={"f.txt": "f", "other/f.txt": "o"}),
    Case("if with access_log", "location / { if ($arg_x) { access_log off; } return 200 ok; }", ["/", "/?x=1"]),
    Case("if with gzip off", "gzip on; gzip_min_length 1; gzip_types text/plain; location / { if ($arg_x) { gzip off; } }",
        [ask("/f.txt", "Accept-Encoding: gzip"), ask("/f.txt?x=1", "Accept-Encoding: gzip")], files={"f.txt": "f" * 100}),
    Case("if with limit_rate", "location / { if ($arg_x) { limit_rate 1m; } return 200 ok; }", ["/?x=1"]),
    Case("regex location captures in if",
        "location ~ ^/(.)(.*)$ { if ($arg_x) { return 200 '$1-$2'; } if ($arg_y ~ (b)) { return 200 '$1-$2'; } return 200 'none $1'; }",
        ["/ab", "/ab?x=1", "/ab?y=abc"]),
]

# ---- set -------------------------------------------------------------------------------------------------------

CASES += [
    Case("named capture and set",
        'set $tok%ID% none; if ($http_cookie ~ "tok=(?<tok%ID%>[^;]+)") { } location / { return 200 "[$tok%ID%]"; }',
        ["/", ask("/", "Cookie: tok=T1"), ask("/", "Cookie: a=b; tok=T2; c")]),
    Case("named capture of rewrite and set",
        'set $id%ID% none; location /rw { rewrite ^/rw/(?<id%ID%>[0-9]+)$ /show/$id%ID% last; } location / { return 200 "$uri $id%ID%"; }',
        ["/rw/7", "/rw/x", "/"]),
    Case("set in another server", 'server_name ~^(?<sub%ID%>..)\\.; location / { return 200 "[$sub%ID%]"; }',
        [ask("/", host="ab.test"), ask("/", host="abc.test")],
        http="server { listen 127.0.0.1:1%PORT%; }".replace("1%PORT%", "%BPORT%")
        if False else "server { server_name z.test; listen %ADDR%:%PORT%; set $sub%ID% other; return 200 $sub%ID%; }"),
    Case("set order",
        "set $a%ID% 1; set $b%ID% $a%ID%2; location / { set $a%ID% 3; set $c%ID% $a%ID%$b%ID%; return 200 $a%ID%-$b%ID%-$c%ID%; }", ["/"]),
    Case("set unused", "location /a { set $n%ID% x; return 200 $n%ID%; } location /b { return 200 '[$n%ID%]'; }", ["/a", "/b"],
        errors="warn"),
    Case("set self", "set $s%ID% a; set $s%ID% $s%ID%b; set $s%ID% $s%ID%c; return 200 $s%ID%;", ["/"]),
    Case("set survives internal redirect",
        "set $v%ID% s; location /a { set $v%ID% l; rewrite ^ /b last; } location /b { return 200 $v%ID%; } location /e { set $v%ID% e; "
        "return 404; } error_page 404 /p; location /p { return 200 p$v%ID%; }", ["/a", "/b", "/e"]),
    Case("set args",
        "set $args x=9; location / { return 200 '$args $query_string $arg_x $request_uri'; } location /p { proxy_pass http://%BACKEND%; } "
        "location /q { set $args ''; proxy_pass http://%BACKEND%; } location /u { proxy_pass http://%BACKEND%$uri$is_args$args; }",
        ["/", "/?y=1", "/p?y=1", "/q?y=1", "/u?y=1"]),
    Case("set limit_rate",
        "set $limit_rate 100k; location / { return 200 '$limit_rate'; } "
        "location /d { set $limit_rate $arg_r; return 200 '[$limit_rate]'; }",
        ["/", "/d?r=1k", "/d?r=zz", "/d"]),
    *table("set builtin", "set %V% x; location / { return 200 '%V%'; }",
        ["$uri", "$host", "$document_root", "$request_uri", "$http_x", "$arg_x", "$cookie_x", "$sent_http_x", "$document_uri",
            "$query_string", "$scheme", "$remote_user", "$1", "$status", "$http_host", "$content_type", "$upstream_http_x", "$limit_rate_x",
            "$request_method", "$is_args", "$nginx_version"], ["/", "/?x=1"], odd=True),
    *table("set names", "set %V% x; location / { return 200 '[%V%]'; }", ["$a_b", "$A9", "$9a", "$", "x", "$a-b", "${a}", "$é"], ["/"],
        odd=True),
    *table("return names", "location / { return 200 '%V%'; }",
        ["$", "$$", "a$", "$-", "${", "${uri", "${}", "$uri$", "$unknown_x", "$uri.x", "${uri}x", "$1$2", "$10", "$arg_", "$http_",
            "$cookie_", "$sent_http_", "$arg_A-b", "$URI", "$Uri", "$http_USER_AGENT", "$arg_X"], ["/a?X=1&=2&A=3"], odd=True),
    Case("captures of if and location", "location ~ ^/(?<p%ID%>[a-z])(?<q%ID%>[a-z])? { return 200 '$p%ID%|$q%ID%|$1|$2|$3'; }",
        ["/ab", "/a", "/a1"]),
    Case("rewrite_log", "rewrite_log on; location / { rewrite ^/a /b; rewrite ^/x /y; if ($arg_x = 1) { set $v 1; } return 200 ok; }",
        ["/a", "/a?x=1"], errors="notice"),
]
