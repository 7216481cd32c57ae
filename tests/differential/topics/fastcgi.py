"""FastCGI: the parameters that a script gets, what becomes of its answer, and the configurations of well-known applications."""

from cases import Case, ask, each_method, table

CASES = []
WORDS = ("QUERY_STRING $query_string", "REQUEST_METHOD $request_method", "CONTENT_TYPE $content_type", "CONTENT_LENGTH $content_length",
    "SCRIPT_FILENAME $document_root$fastcgi_script_name", "SCRIPT_NAME $fastcgi_script_name", "REQUEST_URI $request_uri",
    "DOCUMENT_URI $document_uri", "DOCUMENT_ROOT $document_root", "SERVER_PROTOCOL $server_protocol", "REQUEST_SCHEME $scheme",
    "HTTPS $https if_not_empty", "GATEWAY_INTERFACE CGI/1.1", "REMOTE_ADDR $remote_addr", "SERVER_ADDR $server_addr",
    "SERVER_PORT $server_port", "SERVER_NAME $server_name", "REDIRECT_STATUS 200")
PARAMS = "".join(f"fastcgi_param {word};" for word in WORDS)
HELLO = b"Content-Type: text/plain\r\n\r\nhello\n"
LOC = f"{PARAMS} location / {{ %V% fastcgi_pass %BACKEND%; }}"
TARGETS = ["/", "/x", "/a.php", "/a.php/b/c?d=e", "/a.php?", "/x%20y.php/z%2Fw", "/a.php/b.php/c", "/é.php", "/dir/", "//a.php", "/a.php/../b.php", "/x?a=%20&b",
    "/a.phpx", "/a.php%00.jpg", "/.php", "/a.php//"]


def case(name, server, requests=("/",), **more):
    """The backend answers as a script does."""
    CASES.append(Case(name, server, requests, **{"answers": HELLO, "odd": True, **more}))


# ---- parameters ---------------------------------------------------------------------------------------------------

for words in ("", "fastcgi_index index.php;", "fastcgi_index $arg_i;", "fastcgi_split_path_info ^(.+\\.php)(/.+)$;", "fastcgi_split_path_info ^(.+?\\.php)(|/.*)$;",
    "fastcgi_split_path_info ^(.+\\.php)(/.+)$; fastcgi_index i.php;", "fastcgi_split_path_info ^(.+\\.php)$;", "fastcgi_split_path_info ^((.+)\\.php)(/.+)$;",
    "fastcgi_param PATH_INFO $fastcgi_path_info; fastcgi_split_path_info ^(.+\\.php)(/.*)$;", "fastcgi_param A a; fastcgi_param A b;", "fastcgi_param A '';",
    "fastcgi_param A '' if_not_empty; fastcgi_param B $arg_a if_not_empty;", "fastcgi_param QUERY_STRING mine;", "fastcgi_param HTTP_HOST mine;",
    "fastcgi_param HTTP_X_A mine; fastcgi_param HTTP_X_B '';", "fastcgi_param http_x_a mine;", "fastcgi_keep_conn on;", "fastcgi_pass_request_headers off;",
    "fastcgi_pass_request_body off;", "fastcgi_pass_request_headers off; fastcgi_pass_request_body off;", "fastcgi_param A $fastcgi_script_name$fastcgi_path_info;",
    "rewrite ^/x(.*)$ /new.php$1 break;", "rewrite ^ /index.php?q=$uri break;", "set $args z=1;", "fastcgi_param A $realpath_root;",
    "fastcgi_request_buffering off;", "fastcgi_socket_keepalive on;", "fastcgi_param SCRIPT_FILENAME /a/b.php;"):
    case(f"parameters: {words}", LOC.replace("%V%", words), TARGETS)
case("parameters of no word", "location / { fastcgi_pass %BACKEND%; }", [ask("/x", "X-A: 1"), ask("/", method="POST", body="b")])
FIELDS = [ask("/", "X-A: 1", "X-B: 2"), ask("/", "X-A: 1", "x-a: 2", "X-A:"), ask("/", "X_A: 1"), ask("/", "Proxy: evil"), ask("/", "Cookie: a=1", "Cookie: b=2"),
    ask("/", "Content-Type: a/b"), ask("/", "Content-Type: a/b", method="POST", body="abc"), ask("/", "Authorization: Basic eDp5"), ask("/", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8"),
    ask("/", "Accept: a", "Accept: b"), ask("/", "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT", "If-None-Match: x", "Range: bytes=0-1"), ask("/", "X-Long: " + "v" * 300),
    ask("/", "X-" + "n" * 200 + ": v"), ask("/", "X-Empty:"), ask("/", "X-High: é"), ask("/", "Host2: h"), ask("/", host="other.test:81"), ask("/", host=None, version="1.0"),
    ask("/", "Connection: x-hop", "X-Hop: 1"), ask("/", "TE: trailers", "Upgrade: h2c", "Keep-Alive: 5"), ask("/", "Expect: x")]
for words in ("", "underscores_in_headers on;", "ignore_invalid_headers off;", "fastcgi_param HTTP_ACCEPT mine;", "fastcgi_param HTTP_PROXY '';"):
    case(f"fields: {words}", f"{words if 'headers' in words else ''} {LOC.replace('%V%', '' if 'headers' in words else words)}", FIELDS)
case("methods", LOC.replace("%V%", ""), [ask("/", method=m, body=b) for m in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW") for b in (None, "", "body", "x" * 70000)])
case("inherited", f"{PARAMS} fastcgi_param A outer; location /in {{ fastcgi_pass %BACKEND%; }} location /own {{ fastcgi_param A inner; fastcgi_pass %BACKEND%; }}"
    " location /nest { fastcgi_param B b; location /nest/in { fastcgi_pass %BACKEND%; } location /nest/own { fastcgi_param C c; fastcgi_pass %BACKEND%; } }",
    ["/in", "/own", "/nest/in", "/nest/own"])
for target in ("%BACKEND%", "up_%ID%", "$arg_to", "${arg_none}%BACKEND%", "unix:/tmp/none.sock", "http://%BACKEND%", "%BACKEND%/x", "", ":9", "none.invalid:9"):
    case(f"passes to {target}", f"{PARAMS} location / {{ fastcgi_pass {target or chr(39) * 2}; }}", ["/", "/?to=%BACKEND%"] if "unix" not in target else ["/"],
        http="upstream up_%ID% { server %BACKEND%; }" if "up_" in target else "")

# ---- answers ------------------------------------------------------------------------------------------------------

SAID = {"plain": HELLO, "status": b"Status: 404 Nowhere\r\nContent-Type: text/html\r\n\r\nnone", "status alone": b"Status: 204\r\n\r\n", "lf": b"Content-Type: a/b\n\nbody",
    "location": b"Location: http://other.test/x\r\n\r\n", "local location": b"Location: /there\r\n\r\n", "status and location": b"Status: 303 S\r\nLocation: /there\r\n\r\nx",
    "no type": b"X-A: 1\r\n\r\nbody", "no head": b"body", "empty": b"", "an end alone": b"\r\n\r\nbody", "an end": b"\r\nbody", "bad status": b"Status: abc\r\n\r\nx", "a status line": b"HTTP/1.1 201 C\r\nX: y\r\n\r\nx",
    "length": b"Content-Length: 3\r\n\r\nabc", "short": b"Content-Length: 9\r\n\r\nabc", "long": b"Content-Length: 2\r\n\r\nabc", "cookies": b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Powered-By: p\r\n\r\nx",
    "server": b"Server: s\r\nDate: d\r\nX-Pad: p\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\n\r\nx", "large": b"X: y\r\n\r\n" + b"0123456789" * 20000,
    "etag": b"ETag: \"e\"\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: text/html\r\n\r\nbody", "accel": b"X-Accel-Redirect: /there\r\nX-A: 1\r\n\r\nx", "expires": b"X-Accel-Expires: 5\r\nExpires: 0\r\nCache-Control: no-store\r\n\r\nx",
    "500": b"Status: 500 Oops\r\n\r\nbroken", "errors": b"a warning\0STDERR\0" + HELLO, "spaces": b"Content-Type:   a/b  \r\nX-A:\r\nX-B:b\r\n\r\nx", "bad name": b"X A: 1\r\n\r\nx", "control": b"X-A: a\x01b\r\n\r\nx",
    "304": b"Status: 304 N\r\nETag: \"e\"\r\n\r\n", "401": b"Status: 401 U\r\nWWW-Authenticate: Basic realm=x\r\n\r\nx", "200 without a word": b"Status: 200\r\n\r\nx", "big head": b"X-A: " + b"v" * 9000 + b"\r\n\r\nx"}
FILES = {"there": "there\n", "404.html": "page\n"}
for name, said in SAID.items():
    case(f"answer: {name}", f"{PARAMS} location / {{ fastcgi_pass %BACKEND%; }} location = /there {{ }}", each_method("/x", methods=("GET", "HEAD")) + [ask("/x", "Range: bytes=0-1"), ask("/x", version="1.0"), ask("/x", 'If-None-Match: "e"')],
        answers=said, files=FILES, errors="error" if name == "errors" else "", mask=[(r"\*\d+", "*N"), (r"\d+#\d+", "N#N"), (r"^\S+ \S+ ", "")] if name == "errors" else ())
for words in ("fastcgi_intercept_errors on; error_page 404 /404.html;", "fastcgi_intercept_errors on; error_page 404 =200 /404.html;", "error_page 404 /404.html;", "fastcgi_intercept_errors on;"):
    case(f"errors: {words}", f"{PARAMS} location / {{ {words} fastcgi_pass %BACKEND%; }} location = /404.html {{ }}", ["/x", ask("/x", method="HEAD")], answers=SAID["status"], files=FILES)
ANSWERS = b"X-One: 1\r\nX-Two: 2\r\nSet-Cookie: a=1\r\nContent-Type: text/plain\r\nX-Accel-Limit-Rate: 100000\r\nX-Accel-Buffering: no\r\nX-Accel-Charset: utf-8\r\nExpires: Wed, 15 Nov 2033 22:13:20 GMT\r\nCache-Control: public\r\nServer: s\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nStatus: 201 Made\r\nVary: A\r\n\r\nhello"
for words in ("", "fastcgi_hide_header X-One;", "fastcgi_hide_header x-two; fastcgi_hide_header Set-Cookie;", "fastcgi_pass_header Server;", "fastcgi_pass_header Date; fastcgi_pass_header X-Accel-Charset;", "fastcgi_pass_header Status;",
    "fastcgi_ignore_headers X-Accel-Charset X-Accel-Limit-Rate;", "fastcgi_ignore_headers Expires Cache-Control Set-Cookie Vary X-Accel-Expires;", "fastcgi_ignore_headers Bogus;", "add_header X-One mine; charset koi8-r;", "expires 1h;", "fastcgi_buffering off;",
    "fastcgi_limit_rate 1m;", "gzip on; gzip_min_length 1; gzip_types *;", "fastcgi_force_ranges on;", "etag off;"):
    case(f"answer with {words}", LOC.replace("%V%", words), ["/", ask("/", method="HEAD"), ask("/", "Range: bytes=0-1"), ask("/", "Accept-Encoding: gzip")], answers=ANSWERS,
        mask=[(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 202[5-9] \d\d:\d\d:\d\d GMT", "NOW"), ("max-age=3[56]..", "max-age=N")])
for words in ("", "fastcgi_catch_stderr 'PHP Fatal';", "fastcgi_catch_stderr other;", "fastcgi_catch_stderr 'PHP Fatal'; fastcgi_next_upstream http_500;"):
    case(f"stderr: {words}", LOC.replace("%V%", words), ["/"], answers=b"PHP Fatal error: x\0STDERR\0" + HELLO)
CASES += table("values", "location / { fastcgi_pass %BACKEND%; %V% }", ["fastcgi_buffers 4 4k;", "fastcgi_buffers 1 4k;", "fastcgi_buffer_size 1k;", "fastcgi_busy_buffers_size 8k;", "fastcgi_busy_buffers_size 1m;", "fastcgi_temp_file_write_size 8k;",
    "fastcgi_max_temp_file_size 0;", "fastcgi_read_timeout x;", "fastcgi_read_timeout 5;", "fastcgi_connect_timeout 1m;", "fastcgi_send_timeout -1;", "fastcgi_next_upstream error timeout invalid_header http_500 http_503 http_403 http_404 http_429 non_idempotent off;",
    "fastcgi_next_upstream bogus;", "fastcgi_next_upstream_tries 2;", "fastcgi_next_upstream_timeout 1s;", "fastcgi_split_path_info ^(.+$;", "fastcgi_split_path_info '';", "fastcgi_index;", "fastcgi_index a b;", "fastcgi_param A;", "fastcgi_param A b if_empty;",
    "fastcgi_param A b c d;", "fastcgi_keep_conn maybe;", "fastcgi_bind 127.0.0.1;", "fastcgi_bind off;", "fastcgi_bind x;", "fastcgi_store off;", "fastcgi_pass %BACKEND%;", "proxy_pass http://%BACKEND%;", "fastcgi_ignore_client_abort on;",
    "fastcgi_send_lowat 1;", "fastcgi_index x; fastcgi_index y;", "fastcgi_keep_conn on; fastcgi_keep_conn on;"], odd=True, verdict=True)

# ---- applications -------------------------------------------------------------------------------------------------

PHP = PARAMS.replace("fastcgi_param", "    fastcgi_param")
SITE = {name: "file\n" for name in ("index.php", "wp-login.php", "wp-content/uploads/a.jpg", "wp-content/uploads/evil.php", "style.css", "remote.php", "status.php", "public.php", "ocs/v1.php", "core/js/a.js", "core/img/a.svg", "lib/x.php",
    "data/secret", "update.php", "sites/default/settings.php", "sites/default/files/a.txt", "sites/default/files/evil.php", "modules/a.module", "core/install.php", "x.jpg", ".htaccess", "robots.txt", "sub/index.php", "vendor/a/b.php")}
WORDPRESS = """
index index.php;
location = /favicon.ico { log_not_found off; access_log off; }
location = /robots.txt { allow all; log_not_found off; access_log off; }
location ~ /\\.(?!well-known) { deny all; }
location ~* /(?:uploads|files)/.*\\.php$ { deny all; }
location / { try_files $uri $uri/ /index.php?$args; }
location ~ [^/]\\.php(/|$) {
    fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
    if (!-f $document_root$fastcgi_script_name) { return 404; }
    fastcgi_param HTTP_PROXY "";
%PHP%
    fastcgi_param PATH_INFO $fastcgi_path_info;
    fastcgi_intercept_errors on;
    fastcgi_buffers 16 16k;
    fastcgi_buffer_size 32k;
    fastcgi_index index.php;
    fastcgi_pass %BACKEND%;
}
location ~* \\.(js|css|png|jpg|jpeg|gif|ico)$ { expires max; log_not_found off; }
"""
NEXTCLOUD = """
index index.php index.html /index.php$request_uri;
client_max_body_size 512M;
client_body_timeout 300s;
fastcgi_buffers 64 4K;
client_body_buffer_size 512k;
add_header Referrer-Policy no-referrer always;
add_header X-Frame-Options SAMEORIGIN always;
fastcgi_hide_header X-Powered-By;
location = / { if ($http_user_agent ~ ^DavClnt) { return 302 /remote.php/webdav/$is_args$args; } }
location = /robots.txt { allow all; log_not_found off; access_log off; }
location ^~ /.well-known {
    location = /.well-known/carddav { return 301 /remote.php/dav/; }
    location = /.well-known/caldav { return 301 /remote.php/dav/; }
    location /.well-known/acme-challenge { try_files $uri $uri/ =404; }
    return 301 /index.php$request_uri;
}
location ~ ^/(?:build|tests|config|lib|3rdparty|templates|data)(?:$|/) { return 404; }
location ~ ^/(?:\\.|autotest|occ|issue|indie|db_|console) { return 404; }
location ~ \\.php(?:$|/) {
    rewrite ^/(?!index|remote|public|cron|core\\/ajax\\/update|status|ocs\\/v[12]|updater\\/.+|ocs-provider\\/.+) /index.php$request_uri;
    fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
    set $path_info $fastcgi_path_info;
    try_files $fastcgi_script_name =404;
%PHP%
    fastcgi_param PATH_INFO $path_info;
    fastcgi_param HTTPS on;
    fastcgi_param modHeadersAvailable true;
    fastcgi_param front_controller_active true;
    fastcgi_pass %BACKEND%;
    fastcgi_intercept_errors on;
    fastcgi_request_buffering off;
    fastcgi_max_temp_file_size 0;
}
location ~ \\.(?:css|js|mjs|svg|gif|ico|jpg|png|webp)$ { try_files $uri /index.php$request_uri; add_header Cache-Control "public, max-age=15778463"; access_log off; }
location /remote { return 301 /remote.php$request_uri; }
location / { try_files $uri $uri/ /index.php$request_uri; }
"""
DRUPAL = """
location = /favicon.ico { log_not_found off; access_log off; }
location ~* \\.(txt|log)$ { deny 192.168.0.0/16; }
location ~ \\..*/.*\\.php$ { return 403; }
location ~ ^/sites/.*/private/ { return 403; }
location ~ ^/sites/[^/]+/files/.*\\.php$ { deny all; }
location ~* ^/.well-known/ { allow all; }
location ~ (^|/)\\. { return 403; }
location / { try_files $uri /index.php?$query_string; }
location @rewrite { rewrite ^ /index.php; }
location ~ /vendor/.*\\.php$ { deny all; return 404; }
location ~* \\.(engine|inc|install|make|module|profile|po|sh|.*sql|theme|twig|tpl(\\.php)?|xtmpl|yml)(~|\\.sw[op]|\\.bak|\\.orig|\\.save)?$ { deny all; return 404; }
location ~ '\\.php$|^/update.php' {
    fastcgi_split_path_info ^(.+?\\.php)(|/.*)$;
    try_files $fastcgi_script_name =404;
%PHP%
    fastcgi_param HTTP_PROXY "";
    fastcgi_param PATH_INFO $fastcgi_path_info;
    fastcgi_intercept_errors on;
    fastcgi_pass %BACKEND%;
}
location ~* \\.(js|css|png|jpg|jpeg|gif|ico|svg)$ { try_files $uri @rewrite; expires max; log_not_found off; }
location ~ ^/sites/.*/files/styles/ { try_files $uri @rewrite; }
location ~ ^(/[a-z\\-]+)?/system/files/ { try_files $uri /index.php?$query_string; }
if ($request_uri ~* "^(.*/)index\\.php/(.*)") { return 307 $1$2; }
"""
ASKED = ["/", "/?p=1", "/2024/a-post/", "/2024/a-post/?x=%20", "/index.php", "/index.php/a/b?c", "/wp-login.php", "/wp-admin/", "/wp-content/uploads/a.jpg", "/wp-content/uploads/evil.php", "/style.css", "/none.css", "/x.jpg/y.php", "/x.jpg%00.php", "/none.php", "/none.php/x",
    "/.htaccess", "/.git/config", "/.well-known/carddav", "/.well-known/acme-challenge/x", "/.well-known/other?a", "/remote.php/dav/files/x%20y", "/remote.php/webdav/", "/remote", "/remote/x", "/status.php", "/ocs/v1.php/cloud?format=json", "/ocs/v2.php/x", "/lib/x.php",
    "/data/secret", "/core/js/a.js", "/core/js/none.js", "/core/img/a.svg", "/apps/files/?dir=/", "/robots.txt", "/favicon.ico", "/update.php", "/update.php/selection", "/sites/default/settings.php", "/sites/default/files/a.txt", "/sites/default/files/evil.php",
    "/sites/default/files/styles/x/a.jpg", "/sites/default/private/x", "/modules/a.module", "/system/files/x", "/de/system/files/x?y", "/vendor/a/b.php", "/core/install.php", "/sub", "/sub/", "/node/1?q=a", "/a.b/c.php",
    ask("/", "User-Agent: DavClnt/1"), ask("/index.php", method="POST", body="a=b"), ask("/xmlrpc.php", method="POST", body="x"), ask("/remote.php/dav/x", method="PUT", body="x" * 20000), ask("/remote.php/dav", method="PROPFIND"), ask("/", method="HEAD"),
    ask("/node/1", method="OPTIONS"), "/%69ndex.php", "/a%2F..%2Findex.php", "//index.php", "/index.php/../x", "/INDEX.PHP"]
for name, text in (("WordPress", WORDPRESS), ("Nextcloud", NEXTCLOUD), ("Drupal", DRUPAL)):
    for said in ("plain", "status"):
        case(f"{name}: {said}", text.replace("%PHP%", PHP), ASKED, answers=SAID[said], files=SITE, mask=[(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20[2-9]\d \d\d:\d\d:\d\d GMT", "THEN"), ("ETag: [^|]*", "ETAG")])
