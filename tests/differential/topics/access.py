"""allow, deny, auth_basic, satisfy, limit_except, auth_request, realip, referers, secure_link, limits of clients."""

import base64

from cases import HELLO, Case, answer, ask, each_method, table

HTTP = "proxy_http_version 1.1;"
CASES = []
CLIENTS = ["127.0.0.1", "127.0.0.9", "127.1.2.3", "127.9.0.1"]


def from_each(target="/", *fields, **more):
    return [ask(target, *fields, client=each, **more) for each in CLIENTS]


# ---- allow and deny -----------------------------------------------------------------------------------------

for rules in ("deny all;", "allow all;", "allow 127.0.0.1; deny all;", "deny 127.0.0.1;", "deny 127.0.0.1; allow all;",
    "allow 127.0.0.0/24; deny all;", "deny 127.0.0.9; allow 127.0.0.0/24; deny all;", "allow 127.0.0.1/8; deny all;",
    "allow ::1; deny all;", "allow unix:; deny all;", "allow 127.1.2.3/32; deny 127.0.0.0/8;", "deny 0.0.0.0/0;",
    "allow localhost; deny all;", "allow 127.0.0.1/33;", "allow 127.1;", "allow x;", "deny ::/0;", "allow ::ffff:127.0.0.1; deny all;"):
    CASES += [Case(f"rules: {rules}",
        f"location / {{ {rules} return 200 never; }} location /f {{ {rules} }} location /p {{ {rules} proxy_pass http://%BACKEND%; }}",
        [*from_each(), *from_each("/f"), ask("/p"), ask("/f", method="POST", body="abc"),
            ask("/p", method="POST", body="abc", client="127.9.0.1"), ask("/f", "Expect: 100-continue", method="PUT", body="abc"),
            ask("/f/none")], files={"f": "file"}, odd=True, errors="error")]
CASES += [Case("rules inherit",
    "deny 127.0.0.9; location /a { } location /b { allow all; location /b/c { } location /b/d { deny all; } } location /i { if ($arg_x) { "
    "set $z 1; } }", [each for target in ("/a", "/b/x", "/b/c", "/b/d", "/i?x=1") for each in from_each(target)],
    files={"a": "", "b/x": "", "b/c": "", "b/d": "", "i": ""}),
          Case("rules and error_page",
              "error_page 403 /d.html; deny 127.0.0.9; location = /d.html { allow all; } location /x { error_page 403 @n; deny all; } "
              "location @n { return 200 n; } location /own { error_page 403 = /own2; deny all; } location /own2 { deny all; }",
              [*from_each("/f"), *from_each("/x"), *from_each("/own")], files={"f": "", "d.html": "denied"}),
          Case("rules and rewrite",
              "location /r { deny all; rewrite ^ /ok; return 200 early; } location /t { deny all; try_files /none /f; } location /i { deny "
              "all; index x; }", ["/r", "/t", "/i/"], files={"f": ""})]

# ---- auth_basic ---------------------------------------------------------------------------------------------


def basic(pair, scheme="Basic"):
    return f"Authorization: {scheme} " + base64.b64encode(pair.encode()).decode()


USERS = ("u:{PLAIN}p\ncolon:{PLAIN}a:b\nempty:{PLAIN}\n#c:{PLAIN}c\n\nsha:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\nssha:{SSHA}"
    "q9a4qvhuwTCoQwFyWLJkQyZQgW5zYWx0\ncr:aaqPiZY5xR5l.\napr:$apr1$8L.kXHqk$iLoOSuBVGkuZ/tJkYpQmd1\nsp ace:{PLAIN}s\nnocolon\n:{PLAIN}"
    "anon\nx:{MD5}x\nu:{PLAIN}second\nlong:{PLAIN}" + "l" * 200 + "\ncomment:{PLAIN}c:name:extra\ncrlf:{PLAIN}w\r\n")
LOGINS = [(), (basic("u:p"),), (basic("u:x"),), (basic("u:"),), (basic("u"),), (basic(":"),), (basic("none:p"),), (basic("colon:a:b"),),
    (basic("colon:a"),), (basic("empty:"),), (basic("#c:c"),), (basic("c:c"),), (basic("sha:myPassword"),), (basic("cr:x"),),
    (basic("sp ace:s"),), (basic("nocolon:"),), (basic(":anon"),), (basic("x:x"),), (basic("u:second"),), (basic("U:p"),),
    (basic("u:p", "basic"),), (basic("u:p", "BASIC"),), (basic("u:p", "Digest"),), ("Authorization: Basic",), ("Authorization: Basic ",),
    ("Authorization: Basic !!!",), ("Authorization: Basic  dTpw",), ("Authorization: dTpw",), ("Authorization:",),
    ("Authorization: Basic dTpw=",), ("Authorization: Basic dTpw x",), ("Authorization: Basicdtpw",), (basic("long:" + "l" * 200),),
    (basic("comment:c:name:extra"),), (basic("comment:c"),), (basic("crlf:w"),), (basic("u:p\0x"),), (basic("u\0:p"),),
    (basic("u:p"), basic("u:p"))]
CASES += [Case("auth_basic",
    'auth_basic "the realm"; auth_basic_user_file %ROOT%/users; location / { } location /r { return 200 early; } location /p { proxy_pass '
    'http://%BACKEND%; }', [ask("/f", *fields) for fields in LOGINS]
    + [ask("/p", *LOGINS[1]), ask("/p"), ask("/r"), ask("/f", method="POST", body="abc"), ask("/p", method="POST", body="abc"),
        ask("/f", *LOGINS[1], method="HEAD"), ask("/none"), ask("/none", *LOGINS[1]),
        ask("/p", "Expect: 100-continue", method="POST", body="abc")], files={"f": "file", "users": USERS}, log="'$remote_user|$status'",
        errors="error"),
          Case("auth_basic log wording", "auth_basic r; auth_basic_user_file %ROOT%/users;", [ask("/f", *fields) for fields in LOGINS],
              files={"f": "", "users": USERS}, errors="info")]
CASES += [Case(f"auth_basic words: {words}", f"location / {{ {words} }} set $realm $arg_r;",
    [ask(t, *f) for t in ("/f", "/f?r=dyn", "/f?r=off", "/f?r=") for f in LOGINS[:3]], files={"f": "", "users": USERS, "dir/x": ""},
    odd=True, errors="error") for words in ('auth_basic ""; auth_basic_user_file %ROOT%/users;',
        "auth_basic off; auth_basic_user_file %ROOT%/users;", "auth_basic $realm; auth_basic_user_file %ROOT%/users;",
        "auth_basic 'a\"b'; auth_basic_user_file %ROOT%/users;", "auth_basic r;", "auth_basic r; auth_basic_user_file %ROOT%/none;",
        "auth_basic r; auth_basic_user_file %ROOT%/dir;", "auth_basic r; auth_basic_user_file %ROOT%/$arg_f;",
        "auth_basic é; auth_basic_user_file %ROOT%/users;", "auth_basic_user_file %ROOT%/users;")]
CASES += [Case("auth_basic inherits",
    "auth_basic one; auth_basic_user_file %ROOT%/users; location /a { } location /b { auth_basic off; } location /c { auth_basic three; } "
    "location /e { error_page 401 /p; } location /p { auth_basic off; return 200 page; } location /e2 { error_page 401 =200 /p; }",
    [ask(t, *f) for t in ("/a", "/b", "/c", "/e", "/e2") for f in LOGINS[:3]], files={"a": "", "b": "", "c": "", "users": USERS})]

# ---- satisfy, limit_except ---------------------------------------------------------------------------------

for satisfy in ("satisfy any;", "satisfy all;"):
    for rule in ("allow 127.0.0.1; deny all;", "deny all;", "allow all;", "deny 127.0.0.1;", ""):
        CASES += [Case(f"satisfy: {satisfy} {rule}",
            f"location / {{ {satisfy} {rule} auth_basic r; auth_basic_user_file %ROOT%/users; }} location /sub "
            f"{{ {satisfy} {rule} auth_request /auth; }} location = /auth {{ internal; allow all; return 20$arg_x; }}",
            [ask(t, *f, client=c) for t in ("/f",) for f in LOGINS[:3] for c in CLIENTS[:2]], files={"f": "", "users": USERS},
            errors="error")]
        CASES += [Case(f"satisfy with auth_request: {satisfy} {rule}",
            f"location /sub {{ {satisfy} {rule} auth_request /auth; }} location = /auth {{ internal; allow all; if ($arg_x) {{ return 401; "
            f"}} if ($arg_y) {{ return 403; }} if ($arg_z) {{ return 500; }} return 204; }}",
            [ask(f"/sub{q}", client=c) for q in ("", "?x=1", "?y=1", "?z=1") for c in CLIENTS[:2]], files={"sub": "s"}, errors="error")]
for methods in ("GET", "POST", "GET POST", "HEAD", "PUT DELETE", "OPTIONS", "PROPFIND", "get", "BREW", "TRACE"):
    CASES += [Case(f"limit_except: {methods}",
        f"location / {{ limit_except {methods} {{ deny all; }} proxy_pass http://%BACKEND%; }} location /b "
        f"{{ limit_except {methods} {{ auth_basic r; auth_basic_user_file %ROOT%/users; }} proxy_pass http://%BACKEND%; }} location /p "
        f"{{ limit_except {methods} {{ proxy_pass http://%BACKEND%/limited/; }} proxy_pass http://%BACKEND%; }}",
        [ask(t, method=m, body="a" if m in ("POST", "PUT") else None) for t in ("/", "/b", "/p")
            for m in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "BREW")], files={"users": USERS}, odd=True)]

# ---- auth_request ---------------------------------------------------------------------------------------------

ANSWERS = {f"/auth{code}": answer(f"auth {code}", "X-User: me", "WWW-Authenticate: Custom", "Set-Cookie: s=1", "Content-Type: text/auth",
    status=f"{code} X") for code in (200, 201, 204, 301, 302, 304, 400, 401, 402, 403, 404, 405, 429, 500, 502, 503)}
for code in (200, 201, 204, 301, 302, 400, 401, 402, 403, 404, 405, 429, 500, 502, 503):
    CASES += [Case(f"auth_request: {code}",
        f"location / {{ auth_request /auth; auth_request_set $user%ID% $upstream_http_x_user; auth_request_set $st%ID% $upstream_status; "
        f"add_header X-U $user%ID% always; add_header X-S $st%ID% always; proxy_set_header U $user%ID%; proxy_pass http://%BACKEND%; }} "
        f"location = /auth {{ internal; proxy_pass http://%BACKEND%/auth{code}; proxy_pass_request_body off; proxy_set_header "
        f"Content-Length ''; proxy_set_header X-Original-URI $request_uri; }} location /f {{ auth_request /auth; }} location /e {{ "
        f"auth_request /auth; error_page 401 403 500 /p; error_page 401 = @n; }} location /p {{ return 200 page; }} location @n {{ "
        f"return 200 'named $status'; }}",
                   [ask("/x?y=1"), ask("/x", method="POST", body="body"), ask("/x", method="HEAD"), ask("/f"), ask("/e"),
                       ask("/f", "Range: bytes=0-1"), ask("/f", "If-None-Match: *"),
                       ask("/x", "Expect: 100-continue", method="PUT", body="abc")], files={"f": "file"}, answers={**ANSWERS, "*": HELLO},
                       errors="error")]
CASES += [Case(f"auth_request to {target}",
    f"location /x {{ auth_request {target}; return 200 early; }} location / {{ auth_request {target}; }} location /r {{ return 204; }} "
    f"location /f {{ }} location /d {{ deny all; }} location /b {{ auth_basic r; auth_basic_user_file %ROOT%/users; }} location /l "
    f"{{ auth_request /l; return 204; }} location @n {{ return 204; }}", ["/x", "/page", "/none"],
    files={"page": "page", "f": "f", "users": USERS}, odd=True, errors="error")
    for target in ("/r", "/f", "/d", "/b", "/none", "/l", "off", "@n", "$arg_u", "http://x/")]
CASES += [Case("auth_request inherits",
    "auth_request /a; location /a { return 403; } location /b { auth_request off; } location /c { auth_request /ok; } location /ok { "
    "auth_request off; return 204; } location /d { }", ["/b", "/c", "/d"], files={"b": "", "c": "", "d": ""}),
          Case("auth_request variables",
              "location / { auth_request /a; auth_request_set $v%ID% $sent_http_x; auth_request_set $w%ID% $upstream_http_x_user; "
              "auth_request_set $u%ID% $uri; add_header V \"$v%ID%|$w%ID%|$u%ID%\" always; rewrite ^ /f break; } location = /a { "
              "add_header X set; return 204; } location /s { set $v%ID% preset; auth_request /a; return 200 $v%ID%; }", ["/x", "/f", "/s"],
              files={"f": "file"}),
          Case("auth_request of map",
              "location / { auth_request /a; auth_request_set $m_%ID% x; add_header M $m_%ID%; } location /a { return 204; }", ["/f"],
              files={"f": ""}, http="map $arg_x $m_%ID% { default d; }", odd=True)]

# ---- realip ------------------------------------------------------------------------------------------------------

SAY = ("location / { return 200 '$remote_addr|$remote_port|$realip_remote_addr|$binary_remote_addr|$proxy_add_x_forwarded_for'; } location "
    "/p { proxy_set_header F $proxy_add_x_forwarded_for; proxy_set_header R $remote_addr; proxy_pass http://%BACKEND%; } location /d { "
    "deny 10.0.0.1; }")
FORWARDED = ["10.0.0.1", "10.0.0.1, 192.0.2.9", "10.0.0.1,192.0.2.9", "x", "", "10.0.0.1, x", "x, 10.0.0.1", "10.0.0.1:8080",
    "[2001:db8::1]:80", "2001:db8::1", "[2001:db8::1]", "::ffff:192.0.2.9", "unix:", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1, ", ", 10.0.0.1",
    "10.0.0.1, 127.0.0.1", "10.0.0.1, 127.0.0.1, 127.0.0.1", "256.0.0.1", "10.0.0.1:x", "10.0.0.1:99999", "10.0.0.1;x", "for=10.0.0.1",
    "10.0.0.1\t,\t192.0.2.9", "192.0.2.1 10.0.0.1", "010.00.0.001", "192.0.2.09, 010.0.0.1:080", "::ffff:0192.0.02.9", ",10.0.0.1"]
for words in ("set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;",
    "set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on;",
    "set_real_ip_from 127.0.0.0/8; set_real_ip_from 192.0.2.0/24; real_ip_header X-Forwarded-For; real_ip_recursive on;",
    "set_real_ip_from 127.0.0.0/8; set_real_ip_from 0.0.0.0/0; real_ip_header X-Forwarded-For; real_ip_recursive on;",
    "set_real_ip_from 127.0.0.0/8;", "set_real_ip_from 127.0.0.0/8; real_ip_header X-Real-IP;",
    "set_real_ip_from 127.0.0.0/8; real_ip_header X-Custom;", "set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;",
    "set_real_ip_from localhost; real_ip_header X-Forwarded-For;", "set_real_ip_from unix:; real_ip_header X-Forwarded-For;",
    "set_real_ip_from x/y;", "set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;", "real_ip_header X-Forwarded-For;"):
    for name in ("X-Forwarded-For", "X-Real-IP", "X-Custom"):
        if name == "X-Forwarded-For" or name in words or words.endswith("0/8;") and name == "X-Real-IP" and words.count(";") == 1:
            CASES += [Case(f"realip: {words} by {name}", f"{words} {SAY}",
                [ask("/", f"{name}: {each}") for each in FORWARDED]
                + [ask("/"), ask("/p", f"{name}: 10.0.0.1"), ask("/d", f"{name}: 10.0.0.1"),
                    ask("/", f"{name}: 10.0.0.1", f"{name}: 192.0.2.9"), ask("/", f"{name}: 10.0.0.1", client="127.0.0.9")], odd=True,
                    mask=[(rb"\|\d{4,5}\|".decode(), "|PORT|")], log="'$remote_addr $realip_remote_addr'")]
CASES += [Case("realip inherits",
    "set_real_ip_from 127.0.0.0/8; real_ip_header X-Real-IP; location /a { return 200 $remote_addr; } location /b { set_real_ip_from "
    "10.0.0.0/8; return 200 $remote_addr; } location /c { real_ip_header X-Custom; } location /f { real_ip_header X-Custom; allow "
    "10.0.0.2; deny all; }", [ask(t, "X-Real-IP: 10.0.0.1", "X-Custom: 10.0.0.2") for t in ("/a", "/b", "/c", "/f")],
    files={"c": "", "f": ""})]

# ---- PROXY protocol ------------------------------------------------------------------------------------------------

V2 = b"\r\n\r\n\0\r\nQUIT\n"
HEADERS = [b"PROXY TCP4 10.0.0.1 10.0.0.2 1111 2222\r\n", b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 2222\r\n", b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN a b c\r\n", b"", b"PROXY TCP4 x y 1 2\r\n", b"PROXY TCP4 10.0.0.1 10.0.0.2 99999 1\r\n",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1111\r\n", b"PROXY\r\n", b"proxy TCP4 10.0.0.1 10.0.0.2 1 2\r\n", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 \r\n", b"PROXY  TCP4 10.0.0.1 10.0.0.2 1 2\r\n", b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    b"PROXY TCP5 10.0.0.1 10.0.0.2 1 2\r\n", b"PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nPROXY TCP4 10.0.0.3 10.0.0.4 1 2\r\n", b"PROXY " + b"x" * 200 + b"\r\n",
           V2 + b"\x21\x11\0\x0c\x0a\0\0\1\x0a\0\0\2\x04\x57\x08\xae", V2 + b"\x20\0\0\0",
           V2 + b"\x21\x21\0\x24" + b"\x20\1\r\xb8" + b"\0" * 11 + b"\1" + b"\x20\1\r\xb8" + b"\0" * 11 + b"\2" + b"\x04\x57\x08\xae",
           V2 + b"\x21\x11\0\x13\x0a\0\0\1\x0a\0\0\2\x04\x57\x08\xae\x02\0\4host", V2 + b"\x11\x11\0\x0c" + b"\0" * 12,
           V2 + b"\x21\x11\0\x04\0\0\0\0", V2 + b"\x22\x11\0\x0c" + b"\1" * 12,
           V2 + b"\x21\x31\0\xd8" + b"/a" + b"\0" * 106 + b"/b" + b"\0" * 106, V2 + b"\x21\x12\0\x0c" + b"\1" * 12,
           V2[:-1] + b"x\x21\x11\0\x0c" + b"\1" * 12]


def with_proxy(head, raw, **more):
    import dataclasses
    return dataclasses.replace(raw, raw=head + raw.raw, patience=1.0, **more)


for words in ("", "set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;",
    "set_real_ip_from 10.0.0.0/8; real_ip_header proxy_protocol;"):
    CASES += [Case(f"proxy_protocol: {words}",
        f"{words} location / {{ return 200 '$remote_addr|$remote_port|$proxy_protocol_addr|$proxy_protocol_port|"
        f"$proxy_protocol_server_addr|$proxy_protocol_server_port|$realip_remote_addr|$server_addr|$server_port'; }} location /p {{ "
        f"proxy_set_header P $proxy_protocol_addr; proxy_pass http://%BACKEND%; }}",
        [with_proxy(head, ask("/")) for head in HEADERS] + [with_proxy(HEADERS[0], ask("/p"))], listen="proxy_protocol",
        mask=[(r"127\.0\.0\.1\|\d+", "127.0.0.1|PORT")], errors="info" if not words else "", odd=True)]

# ---- referers, secure_link -----------------------------------------------------------------------------------------

REFERERS = [(), *[(f"Referer: {each}",) for each in ("", "-", "http://h.test/", "http://h.test", "https://h.test/x", "http://H.TEST/",
    "http://a.ok.test/x", "http://ok.test/", "http://xok.test/", "http://www.g.com/", "http://g.com/", "http://path.test/p/x",
    "http://path.test/q", "http://h.test:80/", "http://path.test:81/p", "ftp://h.test/", "h.test", "http://", "http:///x", "x",
    "http://other.test/?http://h.test", "http://re9.test/", "http://u@h.test/", "HTTP://h.test/", "http://h.test.evil/", "http://[::1]/",
    " http://h.test/")]]
for words in ("none", "blocked", "server_names", "none blocked server_names", "none blocked server_names *.ok.test", "h.test",
    "*.ok.test www.g.*", "path.test/p", "~re\\d+\\.test", "~*^http://X", ".ok.test", "*.test", "none ~.", "h.test:80", "*", "~["):
    CASES += [Case(f"referers: {words}",
        f"valid_referers {words}; location / {{ return 200 '[$invalid_referer]'; }} location /i "
        f"{{ if ($invalid_referer) {{ return 403; }} return 200 ok; }}",
        [ask("/", *fields) for fields in REFERERS] + [ask("/i", *fields) for fields in REFERERS[:4]], odd=True)]
CASES += [Case("referers inherit",
    "valid_referers none h.test; location /a { return 200 '[$invalid_referer]'; } location /b { valid_referers x.test; return 200 "
    "'[$invalid_referer]'; }", [ask(t, *f) for t in ("/a", "/b") for f in REFERERS[:4]])]


def md5(text):
    import hashlib
    return base64.urlsafe_b64encode(hashlib.md5(text.encode()).digest()).decode().rstrip("=")


LATER, PAST = "4102444800", "1000000000"
CASES += [Case("secure_link",
    "secure_link $arg_m,$arg_e; secure_link_md5 \"$secure_link_expires$uri secret\"; location / { return 200 "
    "'[$secure_link][$secure_link_expires]'; }", [f"/s?m={m}&e={e}" for e in (LATER, PAST, "", "x", "-1")
        for m in (md5(f"{e}/s secret"), md5("no"), "", "short", md5(f"{e}/s secret") + "==", md5(f"{e}/s secret")[:-1])]
        + [f"/s?m={md5('/s secret')}", "/s"]),
          Case("secure_link without time",
              "secure_link $arg_m; secure_link_md5 'x$uri'; location / { return 200 '[$secure_link][$secure_link_expires]'; }",
              [f"/s?m={m}" for m in (md5("x/s"), md5("x/t"), "", md5("x/s").replace("_", "/").replace("-", "+"))]),
          Case("secure_link_secret",
              "location /p/ { secure_link_secret word; return 200 '[$secure_link][$uri]'; } location /q { secure_link_secret word; if "
              "($secure_link = '') { return 403; } rewrite ^ /got/$secure_link; } location /got { return 200 'got $uri'; }",
              ["/p/" + __import__("hashlib").md5(b"linkword").hexdigest() + "/link",
                  "/p/" + __import__("hashlib").md5(b"a/bword").hexdigest() + "/a/b", "/p/x/link", "/p/", "/p/" + "0" * 32 + "/link",
                  "/p/" + __import__("hashlib").md5(b"word").hexdigest() + "/",
                  "/q/" + __import__("hashlib").md5(b"linkword").hexdigest() + "/link"]),
          Case("secure_link alone", "secure_link $arg_m; location / { return 200 '[$secure_link]'; }", ["/?m=x"], odd=True)]

# ---- bodies and sizes ----------------------------------------------------------------------------------------------

BIG = [ask(t, *f, method="POST", body="x" * size) for t in ("/p", "/r", "/f", "/d", "/none") for size in (0, 9, 10, 11, 5000)
    for f in ((), ("Expect: 100-continue",))]
CHUNKED = [ask(t, "Transfer-Encoding: chunked", method="POST", close=True) for t in ("/p",)]
for words in ("client_max_body_size 10;", "client_max_body_size 0;", "client_max_body_size 10; error_page 413 /e;",
    "client_max_body_size 1k;", "client_max_body_size 10; proxy_request_buffering off;",
    "client_body_buffer_size 5; client_max_body_size 10;", "client_body_in_file_only clean; client_max_body_size 1m;"):
    CASES += [Case(f"body size: {words}",
        f"{words} location /p {{ proxy_pass http://%BACKEND%; }} location /r {{ return 200 r; }} location /d {{ deny all; }} location /e "
        f"{{ return 200 e; }}", [each for each in BIG if "5000" not in each.name or "Expect" not in each.name], files={"f": "file"},
        errors="error")]
for words in ("large_client_header_buffers 2 1k;", "large_client_header_buffers 4 8k;", "client_header_buffer_size 64;",
    "client_header_buffer_size 64; large_client_header_buffers 2 512;", "large_client_header_buffers 1 1k;", "underscores_in_headers on;",
    "ignore_invalid_headers off;", "underscores_in_headers on; ignore_invalid_headers off;", "ignore_invalid_headers on;"):
    CASES += [Case(f"head size: {words}",
        f"{words} location / {{ return 200 '$http_x_a|$http_x'; }} location /p {{ proxy_pass http://%BACKEND%; }} error_page 494 /big; "
        f"error_page 414 /long; location /big {{ return 200 big; }} location /long {{ return 200 long; }}",
                   [ask("/" + "u" * size) for size in (100, 500, 900, 1000, 1100, 2000, 8000, 9000)]
                   + [ask("/", "X: " + "v" * size) for size in (100, 500, 900, 1000, 1100, 2000, 8000, 9000)]
                   + [ask("/", *[f"X{n}: " + "v" * 300 for n in range(count)]) for count in (2, 5, 10, 100)]
                   + [ask("/p", "X_A: 1", "X.B: 2", "X-C: 3", "X D: 4"), ask("/", "X_A: 1"),
                       ask("/p", "_: 1", "-: 2", ".: 3", "1: 4", "X@: 5", "X/: 6")], odd=True, errors="info")]
