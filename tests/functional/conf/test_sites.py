"""Configurations as operators have them, unchanged but for addresses and paths, and what nginx answers with each."""

import email.utils
import gzip
import json
import os
import re
import shutil
import socket

import pytest
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import IS_ROOT, ROOT, limit, wait_until

# What stands around each site but Debian's, which has its own.
MAIN = r"""
    <user>
    worker_processes 1;
    pid {tmp}/logs/weir.pid;
    error_log {tmp}/logs/error.log;
    events { worker_connections 768; }
    http {
        include mime.types;
        default_type application/octet-stream;
        sendfile on;
        tcp_nopush on;
        keepalive_timeout 65;
        access_log {tmp}/logs/access.log;
        include sites-enabled/*;
    }
"""


def start(weir, site, files=(), main=MAIN):
    """Start the server with a site, and files below the site's root."""
    for name, text in dict(files).items():
        weir.write(text, "www/" + name)
    shutil.copy(ROOT / "etc/mime.types", weir.tmp / "conf/mime.types")
    weir.write(site, "conf/sites-available/site")
    (weir.tmp / "conf/sites-enabled").mkdir()
    (weir.tmp / "conf/sites-enabled/site").symlink_to("../sites-available/site")
    weir.launch(main.replace("<user>", "user root;" if IS_ROOT else ""))
    wait_until(lambda: weir.accepts(weir.port), 10, "a server that accepts")


def ask(weir, target, method="GET", host="example.com", body=b"", **headers):
    """One request; headers by name, with _ for -."""
    fields = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    fields += [f"Content-Length: {len(body)}"] * bool(body)
    with weir.connect() as c:
        c.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: " + host, *fields, "", ""]).encode() + body)
        return c.response(method)


def all_of(reply, name):
    return [value for key, value in reply.headers if key == name.lower()]


def seconds_ahead(reply):
    """How far Expires is after Date."""
    expires, date = (email.utils.parsedate_to_datetime(reply.header(name)) for name in ("Expires", "Date"))
    return (expires - date).total_seconds()


def logged(weir, name="access.log"):
    """The lines of a log of a server that has ended, and so has written all."""
    weir.stop()
    return (weir.tmp / "logs" / name).read_text().splitlines()


# ---- what Debian ships ------------------------------------------------------------------------------------

DEBIAN = r"""
user www-data;
worker_processes auto;
pid {tmp}/logs/nginx.pid;
error_log {tmp}/logs/error.log;
include {tmp}/conf/modules-enabled/*.conf;

events {
	worker_connections 768;
	# multi_accept on;
}

http {

	##
	# Basic Settings
	##

	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;
	# server_tokens off;

	# server_names_hash_bucket_size 64;
	# server_name_in_redirect off;

	include {tmp}/conf/mime.types;
	default_type application/octet-stream;

	##
	# SSL Settings
	##

	ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; # Dropping SSLv3, ref: POODLE
	ssl_prefer_server_ciphers on;

	##
	# Logging Settings
	##

	access_log {tmp}/logs/access.log;

	##
	# Gzip Settings
	##

	gzip on;

	# gzip_vary on;
	# gzip_proxied any;
	# gzip_comp_level 6;
	# gzip_buffers 16 8k;
	# gzip_http_version 1.1;
	# gzip_types text/plain text/css application/json application/javascript text/xml application/xml;

	##
	# Virtual Host Configs
	##

	include {tmp}/conf/conf.d/*.conf;
	include {tmp}/conf/sites-enabled/*;
}


#mail {
#	# auth_http localhost/auth.php;
#	# pop3_capabilities "TOP" "USER";
#
#	server {
#		listen     localhost:110;
#		protocol   pop3;
#		proxy      on;
#	}
#}
"""

DEBIAN_SITE = r"""
##
# The server that a fresh installation has.
##

# Default server configuration
#
server {
	listen {port} default_server;
	listen [::]:{port} default_server;

	# SSL configuration
	#
	# listen 443 ssl default_server;
	# listen [::]:443 ssl default_server;
	#
	# include snippets/snakeoil.conf;

	root {tmp}/www;

	# Add index.php to the list if you are using PHP
	index index.html index.htm index.nginx-debian.html;

	server_name _;

	location / {
		# First attempt to serve request as file, then
		# as directory, then fall back to displaying a 404.
		try_files $uri $uri/ =404;
	}

	# pass PHP scripts to FastCGI server
	#
	#location ~ \.php$ {
	#	include snippets/fastcgi-php.conf;
	#	fastcgi_pass unix:/run/php/php7.4-fpm.sock;
	#}

	# deny access to .htaccess files, if Apache's document root
	# concurs with nginx's one
	#
	#location ~ /\.ht {
	#	deny all;
	#}
}
"""
WELCOME = "<title>Welcome</title>" + "<p>words</p>" * 20


def start_debian(weir):
    start(weir, DEBIAN_SITE, {"index.nginx-debian.html": WELCOME, "a.css": "c" * 100, "a.xyz": "x", "empty/a": "", ".htaccess": "h",
                              "docs/index.htm": "docs"}, main=DEBIAN)


@pytest.mark.needs("ipv6")
def test_debian_pages(weir):
    start_debian(weir)
    page = ask(weir, "/")
    assert (page.status, page.text, page.header("Content-Type")) == (200, WELCOME, "text/html")
    assert page.header("Accept-Ranges") == "bytes" and page.header("Vary") is None
    assert ask(weir, "/docs/").text == "docs" and ask(weir, "/.htaccess").text == "h"
    assert ask(weir, "/a.xyz").header("Content-Type") == "application/octet-stream"
    moved = ask(weir, "/docs?a=1")
    assert (moved.status, moved.header("Location")) == (301, f"http://example.com:{weir.port}/docs/?a=1")
    assert ask(weir, "/docs", host="10.0.0.1:8080").header("Location") == f"http://10.0.0.1:{weir.port}/docs/"
    assert [ask(weir, t).status for t in ("/empty/", "/none", "/none/", "/index.html")] == [403, 404, 404, 404]
    assert ask(weir, "/", "POST", body=b"x").status == 405
    again = ask(weir, "/", If_None_Match=page.header("ETag"))
    assert (again.status, again.body, again.header("Content-Type")) == (304, b"", None)
    part = ask(weir, "/a.css", Range="bytes=10-19")
    assert (part.status, part.header("Content-Range"), part.text) == (206, "bytes 10-19/100", "c" * 10)
    with socket.create_connection(("::1", weir.port), limit(5)) as six:
        six.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        assert six.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    wait_until(lambda: '"HEAD / HTTP/1.0" 200 0 ' in (weir.tmp / "logs/access.log").read_text(), 3, "the last line")
    lines = logged(weir)  # in any order, as its workers write them
    welcome = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "GET / HTTP/1\.1" 200 %d "-" "-"' % len(WELCOME))
    assert any(map(welcome.fullmatch, lines)), lines
    assert any(re.match(r'::1 - - \[[^]]+\] "HEAD / HTTP/1\.0" 200 0 ', line) for line in lines), lines
    assert "directory index of" in weir.error_log and "none" not in weir.error_log


@pytest.mark.directive("gzip")
def test_debian_gzip(weir):
    start_debian(weir)
    packed = ask(weir, "/", Accept_Encoding="gzip")
    assert packed.header("Content-Encoding") == "gzip" and gzip.decompress(packed.body).decode() == WELCOME
    assert packed.header("ETag").startswith('W/"') and packed.header("Vary") is None
    assert packed.header("Content-Length") is None and packed.header("Accept-Ranges") is None
    assert ask(weir, "/a.css", Accept_Encoding="gzip").text == "c" * 100  # only text/html is packed by default
    assert ask(weir, "/", Accept_Encoding="gzip", Via="1.1 other").text == WELCOME  # gzip_proxied is off
    assert ask(weir, "/", Accept_Encoding="gzip;q=0").text == WELCOME


# ---- a static site ----------------------------------------------------------------------------------------

STATIC = r"""
# How long each type may be kept
map $sent_http_content_type $expires {
    default                    off;
    text/html                  epoch;
    text/css                   max;
    application/pdf            42d;
    ~image/                    30d;
}

open_file_cache max=2000 inactive=20s;
open_file_cache_valid 30s;
open_file_cache_min_uses 2;
open_file_cache_errors on;

server {
    listen {port};
    server_name example.com;
    root {tmp}/www;
    index index.html;
    charset utf-8;
    server_tokens off;
    expires $expires;
    etag on;

    gzip on;
    gzip_vary on;
    gzip_proxied any;
    gzip_comp_level 6;
    gzip_min_length 256;
    gzip_types text/plain text/css application/json application/javascript text/javascript image/svg+xml;
    gzip_disable "msie6";
    gzip_static on;

    add_header X-Frame-Options "SAMEORIGIN" always;
    add_header X-Content-Type-Options "nosniff" always;
    add_header Referrer-Policy "strict-origin-when-cross-origin";

    error_page 404 /404.html;
    location = /404.html { internal; }
    error_page 500 502 503 504 /50x.html;
    location = /50x.html { root {tmp}/www/errors; internal; }

    location = /favicon.ico { log_not_found off; access_log off; }
    location = /robots.txt { allow all; log_not_found off; access_log off; }

    # Let's Encrypt, and nothing else that begins with a dot
    location ^~ /.well-known/acme-challenge/ {
        default_type "text/plain";
        root {tmp}/www/letsencrypt;
    }
    location ~ /\.(?!well-known) {
        deny all;
        access_log off;
        log_not_found off;
    }
    location ~* (?:\.(?:bak|conf|dist|inc|ini|log|sh|sql|sw[op])|~)$ {
        deny all;
    }

    location ~* \.(?:js|woff2?)$ {
        expires 1y;
        add_header Cache-Control "public, no-transform";
        access_log off;
        tcp_nodelay off;
        open_file_cache max=3000 inactive=120s;
    }
    location ~* \.(?:json|xml)$ { expires -1; }
    location /media/ { expires modified +1h; }
    location /broken { return 503; }
    location /download/ { add_header Content-Disposition 'attachment; filename="$arg_as"'; expires 0; }
}
"""


def start_static(weir):
    start(weir, STATIC, {
        "index.html": "<h1>home</h1>" * 30, "404.html": "lost", "errors/50x.html": "sorry", "robots.txt": "User-agent: *",
        "a.css": "a{}" * 200, "app.js": "js" * 200, "a.json": "{}", "a.png": "png", "a.pdf": "pdf", "notes.sql": "sql", ".git/config": "git",
        "letsencrypt/.well-known/acme-challenge/token": "proof", ".well-known/security.txt": "Contact", "media/a.txt": "media",
        "download/a.txt": "down", "dump~": "old", "packed.css": "plain", "packed.css.gz": "", "q.txt": "short"})


def test_static_caching(weir):
    start_static(weir)
    kept = {"/": ("no-cache", None), "/a.css": ("max-age=315360000", None), "/a.png": ("max-age=2592000", 2592000),
            "/a.pdf": ("max-age=3628800", 3628800), "/a.json": ("no-cache", -1), "/download/a.txt": ("max-age=0", 0)}
    for target, (control, ahead) in kept.items():
        reply = ask(weir, target)
        assert all_of(reply, "Cache-Control") == [control], target
        assert ahead is None or seconds_ahead(reply) == ahead, target
    assert ask(weir, "/").header("Expires") == "Thu, 01 Jan 1970 00:00:01 GMT"
    assert ask(weir, "/a.css").header("Expires") == "Thu, 31 Dec 2037 23:55:55 GMT"
    assert ask(weir, "/q.txt").header("Cache-Control") is None and ask(weir, "/q.txt").header("Expires") is None
    script = ask(weir, "/app.js")
    assert all_of(script, "Cache-Control") == ["max-age=31536000", "public, no-transform"]
    assert script.header("X-Frame-Options") is None  # an add_header of its own takes the place of the server's
    os.utime(weir.tmp / "www/media/a.txt", (1700000000, 1700000000))
    assert ask(weir, "/media/a.txt").header("Expires") == email.utils.formatdate(1700003600, usegmt=True)
    assert ask(weir, "/media/a.txt").header("Cache-Control") == "no-cache"
    again = ask(weir, "/app.js", If_None_Match=script.header("ETag"))
    assert again.status == 304 and all_of(again, "Cache-Control") == all_of(script, "Cache-Control")
    assert ask(weir, "/a.css", Range="bytes=0-1").header("Cache-Control") == "max-age=315360000"


def test_static_headers(weir):
    start_static(weir)
    page = ask(weir, "/")
    assert page.header("Content-Type") == "text/html; charset=utf-8" and "/" not in page.header("Server")
    assert page.header("X-Frame-Options") == "SAMEORIGIN" and page.header("Referrer-Policy")
    assert ask(weir, "/a.css").header("Content-Type") == "text/css"
    assert ask(weir, "/q.txt").header("Content-Type") == "text/plain; charset=utf-8"
    assert ask(weir, "/download/a.txt?as=b.txt").header("Content-Disposition") == 'attachment; filename="b.txt"'
    packed = ask(weir, "/a.css", Accept_Encoding="br, gzip")
    assert gzip.decompress(packed.body) == b"a{}" * 200 and packed.header("Vary") == "Accept-Encoding"
    assert ask(weir, "/a.css").header("Vary") == "Accept-Encoding" and ask(weir, "/a.png").header("Vary") is None
    short = ask(weir, "/q.txt", Accept_Encoding="gzip")
    assert short.text == "short" and short.header("Content-Encoding") is None
    (weir.tmp / "www/packed.css.gz").write_bytes(gzip.compress(b"packed"))
    ready = ask(weir, "/packed.css", Accept_Encoding="gzip")
    assert gzip.decompress(ready.body) == b"packed" and ready.header("Content-Type") == "text/css"
    assert ready.header("Content-Length") == str(len(ready.body)) and ask(weir, "/packed.css").text == "plain"


def test_static_errors(weir):
    start_static(weir)
    for target in ("/none", "/404.html", "/none.png", "/50x.html"):
        lost = ask(weir, target)
        assert (lost.status, lost.text, lost.header("Content-Type")) == (404, "lost", "text/html; charset=utf-8"), target
        assert lost.header("X-Frame-Options") == "SAMEORIGIN" and lost.header("Referrer-Policy") is None
        assert lost.header("Cache-Control") is None and lost.header("Last-Modified") is None
    down = ask(weir, "/broken")
    assert (down.status, down.text) == (503, "sorry")
    forbidden = ["/.git/config", "/.env", "/notes.sql", "/dump~", "/sub/.svn/entries"]
    assert [ask(weir, target).status for target in forbidden] == [403] * len(forbidden)
    proof = ask(weir, "/.well-known/acme-challenge/token")
    assert (proof.text, proof.header("Content-Type")) == ("proof", "text/plain; charset=utf-8")
    assert ask(weir, "/.well-known/security.txt").text == "Contact"
    assert ask(weir, "/none", "HEAD").header("Content-Length") == "4"


def test_static_logs(weir):
    """What is looked for by every browser and robot fills no log."""
    start_static(weir)
    for target in ("/favicon.ico", "/robots.txt", "/.env", "/app.js", "/lost.png", "/notes.sql", "/"):
        ask(weir, target)
    lines = logged(weir)
    assert [line.split('"')[1].split()[1] for line in lines] == ["/favicon.ico", "/lost.png", "/notes.sql", "/"]
    assert "favicon" not in weir.error_log and re.search(r'open\(\) ".*/lost\.png" failed \(2: No such file', weir.error_log)
    assert "access forbidden by rule" in weir.error_log and "/.env" in weir.error_log


# ---- WordPress --------------------------------------------------------------------------------------------

WORDPRESS = r"""
limit_req_zone $binary_remote_addr zone=login:10m rate=1r/m;

upstream php {
    server 127.0.0.1:{port2};
}

server {
    listen {port};
    server_name blog.example.com;
    root {tmp}/www;
    index index.php;
    client_max_body_size 1m;

    # Requests that no cache may answer
    set $skip_cache 0;
    if ($request_method = POST) {
        set $skip_cache 1;
    }
    if ($query_string != "") {
        set $skip_cache 1;
    }
    if ($request_uri ~* "/wp-admin/|/xmlrpc.php|wp-.*.php|/feed/|index.php|sitemap(_index)?.xml") {
        set $skip_cache 1;
    }
    if ($http_cookie ~* "comment_author|wordpress_[a-f0-9]+|wp-postpass|wordpress_no_cache|wordpress_logged_in") {
        set $skip_cache 1;
    }

    # Add trailing slash to */wp-admin requests.
    rewrite /wp-admin$ $scheme://$host$uri/ permanent;

    # Sitemaps of a well-known plugin
    rewrite ^/sitemap_index\.xml$ /index.php?sitemap=1 last;
    rewrite ^/([^/]+?)-sitemap([0-9]+)?\.xml$ /index.php?sitemap=$1&sitemap_n=$2 last;

    location = /favicon.ico { log_not_found off; access_log off; }
    location = /robots.txt { allow all; log_not_found off; access_log off; try_files $uri /index.php?$args; }

    location ~ /\. { deny all; }
    location = /xmlrpc.php { deny all; access_log off; log_not_found off; }
    location ~* /(?:uploads|files)/.*\.php$ { deny all; }
    location ~* ^/(?:wp-config\.php|readme\.html|license\.txt)$ { return 404; }

    location / {
        # Like "", "/sample-page/" or "/?p=123"
        try_files $uri $uri/ /index.php?$args;
    }

    location = /wp-login.php {
        limit_req zone=login burst=1 nodelay;
        limit_req_status 429;
        include proxy_params;
        proxy_pass http://php;
    }

    location ~ \.php$ {
        try_files $uri =404;
        include proxy_params;
        add_header X-Skip-Cache $skip_cache;
        proxy_pass http://php;
    }

    location ~* \.(js|css|png|jpg|jpeg|gif|ico)$ {
        expires max;
        log_not_found off;
    }
}
"""

# As Debian has it.
PROXY_PARAMS = r"""proxy_set_header Host $http_host;
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
"""

MULTISITE = r"""
map $uri $blogname {
    ~^(?P<blogpath>/[^/]+/)files/(.*) $blogpath;
}
map $blogname $blogid {
    default -999;
    /second/ 2;
}

server {
    listen {port};
    server_name example.com;
    root {tmp}/www;
    index index.php;

    location ~ ^(/[^/]+/)?files/(.+) {
        try_files /wp-content/blogs.dir/$blogid/files/$2 /wp-includes/ms-files.php?file=$2;
        access_log off;
        log_not_found off;
        expires max;
    }

    # avoid php readfile()
    location ^~ /blogs.dir {
        internal;
        alias {tmp}/www/wp-content/blogs.dir;
        access_log off;
        log_not_found off;
        expires max;
    }

    if (!-e $request_filename) {
        rewrite /wp-admin$ $scheme://$host$request_uri/ permanent;
        rewrite ^(/[^/]+)?(/wp-.*) $2 last;
        rewrite ^(/[^/]+)?(/.*\.php) $2 last;
    }

    location / {
        try_files $uri $uri/ /index.php?$args;
    }

    location ~ \.php$ {
        try_files $uri =404;
        proxy_pass http://127.0.0.1:{port2};
    }
}
"""


def start_wordpress(weir, backend, site=WORDPRESS):
    weir.write(PROXY_PARAMS, "conf/proxy_params")
    php = {name: "<?php" for name in ("index.php", "wp-login.php", "wp-config.php", "xmlrpc.php", "wp-admin/index.php",
                                      "wp-admin/load-scripts.php", "wp-content/uploads/evil.php", "wp-includes/ms-files.php")}
    start(weir, site, {**php, "wp-content/theme/style.css": "css", "wp-content/uploads/2024/a.jpg": "jpg", "readme.html": "r",
                       "wp-content/blogs.dir/2/files/b.jpg": "second"})
    return backend(lambda call: answer(f"{call.method} {call.target} ".encode() + call.body), port=weir.port2)


def test_wordpress(weir, backend):
    up = start_wordpress(weir, backend)

    def blog(target, *rest, **headers):
        return ask(weir, target, *rest, host="blog.example.com", **headers)
    seen = {"/": "/index.php", "/?p=12": "/index.php?p=12", "/2024/05/hello-world/": "/index.php",
            "/hello%20you?a=b%20c&d": "/index.php?a=b%20c&d", "/wp-admin/": "/wp-admin/index.php",
            "/wp-admin/load-scripts.php?c=1": "/wp-admin/load-scripts.php?c=1", "/sitemap_index.xml": "/index.php?sitemap=1",
            "/post-sitemap2.xml?x=y": "/index.php?sitemap=post&sitemap_n=2&x=y", "/robots.txt": "/index.php",
            "/page-sitemap.xml": "/index.php?sitemap=page&sitemap_n="}
    assert {target: blog(target).text for target in seen} == {target: f"GET {sent} " for target, sent in seen.items()}
    assert blog("/comment/", "POST", body=b"text=1").text == "POST /index.php text=1"
    assert up.call.header("Host") == "blog.example.com" and up.call.header("X-Real-IP") == "127.0.0.1"
    moved = blog("/wp-admin")
    assert (moved.status, moved.header("Location")) == (301, "http://blog.example.com/wp-admin/")
    count = len(up.calls)
    assert blog("/wp-content/uploads/2024/a.jpg").header("Expires") == "Thu, 31 Dec 2037 23:55:55 GMT"
    assert blog("/wp-content/theme/style.css?ver=6.5").text == "css"
    codes = {"/wp-content/uploads/evil.php": 403, "/xmlrpc.php": 403, "/.htaccess": 403, "/wp-config.php": 404, "/none.php": 404,
             "/readme.html": 404, "/wp-content/none.jpg": 404, "/favicon.ico": 404, "/wp-content/uploads/EVIL.PHP": 403}
    assert {target: blog(target).status for target in codes} == codes
    assert blog("/big", "POST", body=b"x" * (1 << 20) + b"x").status == 413
    assert len(up.calls) == count
    assert [blog("/wp-login.php", "POST", body=b"log=a").status for _ in range(4)] == [200, 200, 429, 429]
    skips = [blog("/").header("X-Skip-Cache"), blog("/?a").header("X-Skip-Cache"), blog("/", "POST").header("X-Skip-Cache"),
             blog("/feed/").header("X-Skip-Cache"), blog("/", Cookie="a=b; wordpress_logged_in_1=x").header("X-Skip-Cache")]
    assert skips == ["0", "1", "1", "1", "1"]
    with weir.connect() as c:  # a cookie may stand on a line of its own
        c.send("GET / HTTP/1.1\r\nHost: blog.example.com\r\nCookie: a=b\r\nCookie: wordpress_logged_in_1=x\r\n\r\n")
        assert c.response().header("X-Skip-Cache") == "1"
    weir.stop()
    assert "none.jpg" not in weir.error_log and "limiting requests" in weir.error_log


def test_wordpress_multisite(weir, backend):
    start_wordpress(weir, backend, MULTISITE)
    seen = {"/second/wp-admin/load-scripts.php?x": "/wp-admin/load-scripts.php?x", "/second/index.php": "/index.php",
            "/second/a-post/?p=1": "/index.php?p=1", "/second/wp-admin/": "/wp-admin/index.php",
            "/third/files/c.jpg": "/wp-includes/ms-files.php?file=c.jpg", "/second/": "/index.php"}
    assert {target: ask(weir, target).text for target in seen} == {target: f"GET {sent} " for target, sent in seen.items()}
    assert ask(weir, "/second/files/b.jpg").text == "second" and ask(weir, "/second/wp-content/theme/style.css").text == "css"
    assert ask(weir, "/second/files/b.jpg").header("Cache-Control") == "max-age=315360000"
    assert ask(weir, "/second/wp-admin").header("Location") == "http://example.com/second/wp-admin/"
    assert ask(weir, "/blogs.dir/2/files/b.jpg").status == 404


# ---- a single page and its API ----------------------------------------------------------------------------

PAGE = r"""
upstream api {
    server 127.0.0.1:{port2};
    keepalive 16;
}

server {
    listen {port};
    server_name app.example.com;
    root {tmp}/www;
    index index.html;

    # Every route of the application is its one page
    location / {
        try_files $uri $uri/ /index.html;
    }
    location = /index.html {
        add_header Cache-Control "no-cache, no-store, must-revalidate";
        add_header Pragma "no-cache";
        expires 0;
    }
    location /assets/ {
        add_header Cache-Control "public, max-age=31536000, immutable";
        try_files $uri =404;
        access_log off;
    }
    location ~* \.map$ { return 404; }
    location = /service-worker.js { add_header Cache-Control "no-store"; }

    location /api/ {
        proxy_pass http://api/;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Forwarded-Prefix /api;
        proxy_redirect / /api/;
        proxy_cookie_path / /api/;
        proxy_connect_timeout 5s;
        proxy_read_timeout 60s;
        proxy_intercept_errors on;
        error_page 502 504 = @unreachable;
        error_page 404 =404 /api-404.json;
    }
    location /api/v2/ {
        rewrite ^/api/v2/(.*)$ /v2/$1 break;
        proxy_pass http://api;
    }
    location = /api-404.json { internal; default_type application/json; }
    location @unreachable {
        default_type application/json;
        add_header Retry-After 30 always;
        return 503 '{"error": "unreachable", "path": "$request_uri"}';
    }
    location = /healthz {
        access_log off;
        default_type text/plain;
        return 200 "ok\n";
    }
}
"""


def start_page(weir):
    start(weir, PAGE, {"index.html": "page", "assets/app-1a2b.js": "js", "assets/app.js.map": "map", "about/index.html": "about",
                       "service-worker.js": "worker", "api-404.json": '{"error": "none"}', "logo.svg": "<svg/>"})


def test_single_page(weir):
    start_page(weir)
    for route in ("/", "/users/7", "/users/7/edit?tab=2", "/index.html", "/a/b.c"):
        page = ask(weir, route)
        assert (page.status, page.text, page.header("Content-Type")) == (200, "page", "text/html"), route
        assert all_of(page, "Cache-Control") == ["max-age=0", "no-cache, no-store, must-revalidate"], route
        assert page.header("Pragma") == "no-cache" and seconds_ahead(page) == 0
    assert ask(weir, "/about/").text == "about" and ask(weir, "/logo.svg").header("Content-Type") == "image/svg+xml"
    assert ask(weir, "/about").status == 301
    assert all_of(ask(weir, "/assets/app-1a2b.js"), "Cache-Control") == ["public, max-age=31536000, immutable"]
    lost = ask(weir, "/assets/app-0000.js")
    assert lost.status == 404 and lost.header("Cache-Control") is None
    assert ask(weir, "/assets/app.js.map").status == 404 and ask(weir, "/assets").status == 301
    assert ask(weir, "/service-worker.js").header("Cache-Control") == "no-store"
    health = ask(weir, "/healthz")
    assert (health.text, health.header("Content-Type")) == ("ok\n", "text/plain")
    assert ask(weir, "/users/7", "POST", body=b"x").status == 405


def test_api_of_a_single_page(weir, backend):
    start_page(weir)
    down = ask(weir, "/api/users?x=1")
    assert down.status == 503 and down.json() == {"error": "unreachable", "path": "/api/users?x=1"}
    assert (down.header("Retry-After"), down.header("Content-Type")) == ("30", "application/json")

    def reply(call):
        if "none" in call.target:
            return answer(b"<html>", status="404 Not Found")
        if "login" in call.target:
            return answer(b"", "Location: /home", "Set-Cookie: id=1; Path=/; HttpOnly", status="302 Found")
        return answer(f"{call.method} {call.target} ".encode() + call.body, "Content-Type: application/json")
    up = backend(reply, port=weir.port2)
    for target, sent in {"/api/users?x=1": "/users?x=1", "/api/": "/", "/api/a%20b/%C3%A9": "/a%20b/%C3%A9",
                         "/api/v2/a%20b?q=%20": "/v2/a%20b?q=%20", "/api/a//b/../c": "/a/c"}.items():
        assert ask(weir, target).text == f"GET {sent} ", target
    assert ask(weir, "/api/users", "PUT", body=b"{}").text == "PUT /users {}"
    call = up.call
    assert call.header("X-Forwarded-Prefix") == "/api" and call.header("X-Forwarded-Host") == "example.com"
    assert ask(weir, "/api/x", X_Forwarded_For="1.2.3.4").status == 200
    assert up.calls[-1].header("X-Forwarded-For") == "1.2.3.4, 127.0.0.1"
    none = ask(weir, "/api/none")
    assert none.status == 404 and none.json() == {"error": "none"} and none.header("Content-Type") == "application/json"
    login = ask(weir, "/api/login", "POST", body=b"u")
    assert login.status == 302 and login.header("Set-Cookie") == "id=1; Path=/api/; HttpOnly"
    assert login.header("Location").endswith("/api/home")
    moved = ask(weir, "/api")
    assert (moved.status, moved.header("Location")) == (301, f"http://example.com:{weir.port}/api/")


FRONT = r"""
server {
    listen {port};
    server_name example.com;
    root {tmp}/www;

    # Files first; what is none goes to the application as it came
    location / {
        try_files $uri @app;
    }
    location /uploads/ {
        error_page 404 = @app;
    }
    location /static/ {
        alias {tmp}/www/assets/;
        try_files $uri $uri/ =404;
    }
    location @app {
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_redirect off;
        proxy_pass http://127.0.0.1:{port2};
    }
    location = /robots.txt { return 200 "User-agent: *\nDisallow: /\n"; }
    location = /.well-known/assetlinks.json { return 200 '[]'; }
    location = /version { default_type text/plain; return 200 "1.2"; }
}
"""


def test_files_before_an_application(weir, backend):
    start(weir, FRONT, {"index.html": "wrong", "docs/index.html": "wrong", "a b.txt": "file", "assets/css/index.html": "css",
                        "uploads/a.txt": "upload"})
    up = backend(lambda call: answer(f"{call.method} {call.target} ".encode() + call.body), port=weir.port2)
    for target in ("/", "/docs", "/docs/", "/projects/group%2Fname?x=%20y", "/a//b", "/%7Eann/%c3%a9", "/uploads/none%2F//x?y"):
        assert ask(weir, target).text == f"GET {target} ", target
    assert ask(weir, "/login", "POST", body=b"user").text == "POST /login user"
    assert ask(weir, "/uploads/new", "POST", body=b"data").text == "POST /uploads/new data"
    assert ask(weir, "/uploads/a.txt", "POST", body=b"data").status == 405
    assert ask(weir, "/a%20b.txt").text == "file" and ask(weir, "/uploads/a.txt").text == "upload"
    assert ask(weir, "/static/css/").text == "css" and ask(weir, "/static/none").status == 404
    moved = ask(weir, "/static/css?v=1")
    assert (moved.status, moved.header("Location")) == (301, f"http://example.com:{weir.port}/static/css/?v=1")
    with weir.connect() as c:
        c.send("GET /x HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n")
        c.response()
    assert up.calls[-1].all("X-Forwarded-For") == ["1.1.1.1, 2.2.2.2, 127.0.0.1"]


def test_fixed_answers(weir):
    """Their types are those of their names."""
    start(weir, FRONT)
    types = {"/robots.txt": "text/plain", "/.well-known/assetlinks.json": "application/json", "/version": "text/plain"}
    assert {target: ask(weir, target).header("Content-Type") for target in types} == types


SIGN_IN = r"""
server {
    listen {port};
    server_name app.example.com;
    root {tmp}/www;

    location / {
        auth_request /oauth2/auth;
        error_page 401 = @sign_in;
        auth_request_set $user $upstream_http_x_auth_request_user;
        auth_request_set $auth_cookie $upstream_http_set_cookie;
        add_header Set-Cookie $auth_cookie;
        proxy_set_header X-User $user;
        proxy_set_header Host $host;
        proxy_pass http://127.0.0.1:{port2};
    }
    location = /oauth2/auth {
        internal;
        proxy_pass http://127.0.0.1:{port2};
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header X-Original-URI $request_uri;
    }
    location @sign_in {
        return 302 /oauth2/start?rd=$scheme://$host$request_uri;
    }
    location /oauth2/ { proxy_pass http://127.0.0.1:{port2}; }
    location = /status { satisfy any; allow 127.0.0.1; deny all; auth_request /oauth2/auth; return 200 fine; }
}
"""


def test_sign_in(weir, backend):
    """Another program decides who may come in."""
    start(weir, SIGN_IN)

    def reply(call):
        if call.target == "/oauth2/auth":
            known = {"id=ann": "200 OK", "id=bob": "403 Forbidden", "id=odd": "500 Broken"}
            user = call.header("Cookie", "").removeprefix("id=")
            return answer(b"checked", f"X-Auth-Request-User: {user}", "Set-Cookie: fresh=1",
                          status=known.get(call.header("Cookie"), "401 Unauthorized"))
        return answer(f"{call.target} {call.header('X-User')} ".encode() + call.body)
    up = backend(reply, port=weir.port2)
    page = ask(weir, "/page?x=1", Cookie="id=ann")
    assert (page.status, page.text, page.header("Set-Cookie")) == (200, "/page?x=1 ann ", "fresh=1")
    check = up.calls[0]
    assert (check.method, check.target, check.header("X-Original-URI")) == ("GET", "/oauth2/auth", "/page?x=1")
    assert ask(weir, "/form", "POST", body=b"data", Cookie="id=ann").text == "/form ann data"
    check = up.calls[-2]
    assert check.target == "/oauth2/auth" and check.header("Content-Length") is None
    out = ask(weir, "/page?x=1")
    assert (out.status, out.header("Location")) == (302, f"http://example.com:{weir.port}/oauth2/start?rd=http://example.com/page?x=1")
    assert ask(weir, "/page", Cookie="id=bob").status == 403 and ask(weir, "/page", Cookie="id=odd").status == 500
    assert ask(weir, "/oauth2/auth", Cookie="id=ann").status == 404 and ask(weir, "/oauth2/start").status == 200
    assert ask(weir, "/status").text == "fine"


NONCE = r"""
server {
    listen {port};
    server_name example.com;
    root {tmp}/www;
    gzip on;

    location / {
        sub_filter_once off;
        sub_filter_types text/html text/css;
        sub_filter '**CSP_NONCE**' $request_id;
        sub_filter 'http://internal.example/' '/';
        add_header Content-Security-Policy "script-src 'nonce-$request_id'" always;
    }
    location /once/ { sub_filter '</head>' '<script src="/stats.js"></script></head>'; }
    location /proxied/ {
        proxy_set_header Accept-Encoding "";
        proxy_pass http://127.0.0.1:{port2}/;
        sub_filter_once off;
        sub_filter_last_modified on;
        sub_filter "http://$proxy_host" "http://$host/proxied";
    }
}
"""


def test_words_that_are_replaced(weir, backend):
    page = "<script nonce=**CSP_NONCE**></script><a href='HTTP://internal.example/b'><i nonce='**CSP_NONCE**'>" + "." * 50
    start(weir, NONCE, {"index.html": page, "a.css": "**CSP_NONCE**", "a.txt": "**CSP_NONCE**", "once/a.html": "</head></head>"})
    reply = ask(weir, "/")
    nonce = re.fullmatch("script-src 'nonce-([0-9a-f]{32})'", reply.header("Content-Security-Policy"))[1]
    assert reply.text == page.replace("**CSP_NONCE**", nonce).replace("HTTP://internal.example/", "/")
    assert reply.header("Last-Modified") is None and reply.header("ETag") is None
    assert b"nonce=**" not in gzip.decompress(ask(weir, "/", Accept_Encoding="gzip").body)
    assert ask(weir, "/a.txt").text == "**CSP_NONCE**" and re.fullmatch("[0-9a-f]{32}", ask(weir, "/a.css").text)
    assert ask(weir, "/once/a.html").text == '<script src="/stats.js"></script></head></head>'
    link = f"<a href='http://127.0.0.1:{weir.port2}/x'>".encode()
    backend(answer(link * 2, "Content-Type: text/html", "Last-Modified: Wed, 01 May 2024 00:00:00 GMT"), port=weir.port2)
    reply = ask(weir, "/proxied/a")
    assert reply.text == "<a href='http://example.com/proxied/x'>" * 2 and reply.header("Last-Modified")


# ---- other origins ----------------------------------------------------------------------------------------

CORS = r"""
map $http_origin $cors_origin {
    default "";
    "~^https?://([a-z0-9-]+\.)*example\.com(:[0-9]+)?$" $http_origin;
    "https://partner.test" $http_origin;
}
map $cors_origin $cors_credentials {
    default true;
    "" "";
}

server {
    listen {port};
    server_name api.example.com;

    location /api/ {
        if ($request_method = 'OPTIONS') {
            add_header 'Access-Control-Allow-Origin' $cors_origin;
            add_header 'Access-Control-Allow-Credentials' $cors_credentials;
            add_header 'Access-Control-Allow-Methods' 'GET, POST, PUT, DELETE, OPTIONS';
            add_header 'Access-Control-Allow-Headers' 'DNT,X-Requested-With,If-Modified-Since,Content-Type,Range';
            # Tell client that this pre-flight info is valid for 20 days
            add_header 'Access-Control-Max-Age' 1728000;
            add_header 'Content-Type' 'text/plain; charset=utf-8';
            add_header 'Content-Length' 0;
            return 204;
        }
        add_header 'Access-Control-Allow-Origin' $cors_origin always;
        add_header 'Access-Control-Allow-Credentials' $cors_credentials always;
        add_header 'Vary' 'Origin' always;
        proxy_hide_header Access-Control-Allow-Origin;
        proxy_pass http://127.0.0.1:{port2};
    }

    # The wide-open variant, which has one if for each method
    location /open/ {
        if ($request_method = 'OPTIONS') {
            add_header 'Access-Control-Allow-Origin' '*';
            add_header 'Access-Control-Max-Age' 1728000;
            return 204;
        }
        if ($request_method = 'POST') {
            add_header 'Access-Control-Allow-Origin' '*' always;
            add_header 'Access-Control-Expose-Headers' 'Content-Length,Content-Range' always;
        }
        if ($request_method = 'GET') {
            add_header 'Access-Control-Allow-Origin' '*' always;
        }
        proxy_pass http://127.0.0.1:{port2};
    }

    location ~* \.(?:ttf|otf|eot|woff2?)$ {
        root {tmp}/www;
        add_header Access-Control-Allow-Origin "*";
    }
}
"""


def test_cors(weir, backend):
    start(weir, CORS, {"a.woff2": "font"})
    up = backend(lambda call: answer(b"body", "Access-Control-Allow-Origin: http://wrong", "Vary: Accept",
                                     status="404 None" if "none" in call.target else "200 OK"), port=weir.port2)
    origins = {"https://example.com": True, "http://a.b.example.com:8080": True, "https://partner.test": True, "https://evil.test": False,
               "https://example.com.evil.test": False, "https://notexample.com": False, "null": False, "HTTPS://PARTNER.TEST": True}
    for origin, trusted in origins.items():
        for reply in (ask(weir, "/api/", "OPTIONS", Origin=origin), ask(weir, "/api/x", Origin=origin), ask(weir, "/api/none", Origin=origin)):
            assert all_of(reply, "Access-Control-Allow-Origin") == [origin] * trusted, origin
            assert all_of(reply, "Access-Control-Allow-Credentials") == ["true"] * trusted
    assert len(up.calls) == 2 * len(origins) and ask(weir, "/api/").header("Access-Control-Allow-Origin") is None
    preflight = ask(weir, "/api/x", "OPTIONS", Origin="https://example.com", Access_Control_Request_Method="PUT")
    assert (preflight.status, preflight.body, preflight.header("Access-Control-Max-Age")) == (204, b"", "1728000")
    assert all_of(preflight, "Content-Type") == ["text/plain; charset=utf-8"] and all_of(preflight, "Content-Length") == ["0"]
    assert preflight.header("Vary") is None
    assert all_of(ask(weir, "/api/x"), "Vary") == ["Accept", "Origin"]
    assert ask(weir, "/a.woff2").header("Access-Control-Allow-Origin") == "*"


def test_cors_for_everybody(weir, backend):
    start(weir, CORS)
    backend(lambda call: answer(call.method.encode() + call.body), port=weir.port2)
    post = ask(weir, "/open/x", "POST", body=b" data")
    assert post.text == "POST data" and post.header("Access-Control-Expose-Headers") == "Content-Length,Content-Range"
    assert ask(weir, "/open/x").text == "GET" and ask(weir, "/open/x").header("Access-Control-Allow-Origin") == "*"
    assert ask(weir, "/open/x", "DELETE").header("Access-Control-Allow-Origin") is None
    preflight = ask(weir, "/open/x", "OPTIONS")
    assert (preflight.status, preflight.header("Access-Control-Allow-Origin")) == (204, "*")


# ---- redirects and refusals -------------------------------------------------------------------------------

REDIRECTS = r"""
map $uri $new_uri {
    default "";
    /old.html /new/;
    /feed /rss.xml;
    ~^/blog/(?<id>\d+)$ /posts/$id/;
    ~*^/archive/(.*)$ https://archive.example.com/$1;
}
map $http_user_agent $bad_bot {
    default 0;
    ~*(ahrefsbot|mj12bot|semrush) 1;
    "~^curl/7\.[0-4]" 1;
    "" 2;
}

# Nobody has asked for this name
server {
    listen {port} default_server;
    server_name _;
    return 444;
}
server {
    listen {port};
    server_name www.example.com;
    return 301 $scheme://example.com$request_uri;
}
server {
    listen {port};
    server_name ~^(?<sub>[a-z]+)\.old\.example\.org$;
    rewrite ^/shop/(.*)$ https://shop.example.com/$sub/$1? permanent;
    return 302 https://$sub.example.com$request_uri;
}
server {
    if ($host = secure.example.com) {
        return 301 https://$host$request_uri;
    } # managed by Certbot

    listen {port};
    server_name secure.example.com;
    return 404; # managed by Certbot
}
server {
    listen {port};
    server_name *.example.net;
    if ($host ~* ^www\.(.*)) {
        set $host_without_www $1;
        rewrite ^(.*)$ http://$host_without_www$1 permanent;
    }
    # Remove the trailing slash, as long as it is no folder
    if (!-d $request_filename) {
        rewrite ^/(.*)/$ /$1 permanent;
    }
    root {tmp}/www;
    absolute_redirect off;
    location / { try_files $uri $uri.html =404; }
    location = /go { return 302 /there; }
}
server {
    listen {port};
    server_name example.com;
    root {tmp}/www;
    port_in_redirect off;

    if ($bad_bot = 1) { return 403; }
    if ($bad_bot = 2) { return 444; }
    if ($request_method !~ ^(GET|HEAD|POST)$) { return 405; }
    if ($args ~* "union.+select|<script") { return 400; }
    if ($new_uri) { return 301 $new_uri; }

    # /about.html is /about
    if ($request_uri ~ ^/(.*)\.html(\?|$)) {
        return 302 /$1;
    }
    # Add the trailing slash
    rewrite ^(/wiki/[^.]*[^/])$ $1/ permanent;
    rewrite ^/user/(\w+)/?$ /profile.php?name=$1 last;
    rewrite "^/y([0-9]{4})/(.*)$" /$2?year=$1 redirect;

    location / { try_files $uri $uri.html $uri/ =404; }
    location /profile.php { return 200 "$uri?$args"; }
    location ~* \.(gif|png|jpe?g)$ {
        valid_referers none blocked server_names *.example.org ~\.google\.;
        if ($invalid_referer) {
            return 403;
        }
    }
}
"""
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"


def moved(weir, target, host="example.com", **headers):
    reply = ask(weir, target, host=host, User_Agent=BROWSER, **headers)
    return reply.status, reply.header("Location")


def start_redirects(weir):
    start(weir, REDIRECTS, {"about.html": "about", "a.png": "png", "folder/index.html": "folder"})


def test_canonical_hosts(weir):
    start_redirects(weir)
    assert moved(weir, "/a%20b?c=d", "www.example.com") == (301, "http://example.com/a%20b?c=d")
    assert moved(weir, "/", "WWW.Example.COM:8080") == (301, "http://example.com/")
    assert moved(weir, "/x?y=1", "docs.old.example.org") == (302, "https://docs.example.com/x?y=1")
    assert moved(weir, "/shop/a?y=1", "docs.old.example.org") == (301, "https://shop.example.com/docs/a")
    assert moved(weir, "/p?q", "secure.example.com") == (301, "https://secure.example.com/p?q")
    assert moved(weir, "/p?q", "www.a.example.net") == (301, "http://a.example.net/p?q")
    for host in ("elsewhere.test", "127.0.0.1", ""):
        with weir.connect() as c:
            c.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            assert c.until_close().startswith(b"" if host else b"HTTP/1.1 400")


def test_slashes(weir):
    start_redirects(weir)
    assert moved(weir, "/about/", "a.example.net") == (301, "/about") and moved(weir, "/go", "a.example.net") == (302, "/there")
    assert ask(weir, "/about", host="a.example.net").text == "about"
    assert moved(weir, "/none/?x=1", "a.example.net") == (301, "/none?x=1")
    assert moved(weir, "/folder/", "a.example.net") == (404, None)
    assert moved(weir, "/wiki/Page?x=1") == (301, "http://example.com/wiki/Page/?x=1")
    assert moved(weir, "/wiki/a.txt") == (404, None)
    assert moved(weir, "/folder") == (301, "http://example.com/folder/")
    assert moved(weir, "/about.html?x=1") == (302, "http://example.com/about")
    assert moved(weir, "/y2024/a/b?c=d") == (302, "http://example.com/a/b?year=2024&c=d")
    assert ask(weir, "/user/ann/?x=1", User_Agent=BROWSER).text == "/profile.php?name=ann&x=1"
    assert ask(weir, "//about", User_Agent=BROWSER).text == "about"


def test_pages_that_have_moved(weir):
    start_redirects(weir)
    places = {"/old.html": "http://example.com/new/", "/feed?x": "http://example.com/rss.xml", "/blog/17": "http://example.com/posts/17/",
              "/Archive/a/b": "https://archive.example.com/a/b", "/FEED": "http://example.com/rss.xml"}
    assert {target: moved(weir, target) for target in places} == {target: (301, place) for target, place in places.items()}
    assert moved(weir, "/blog/x") == (404, None)


def test_unwanted_clients(weir):
    start_redirects(weir)
    agents = {"Mozilla (compatible; AhrefsBot/7.0)": 403, "MJ12BOT": 403, "curl/7.38.0": 403, "curl/7.88.1": 200, BROWSER: 200}
    assert {agent: ask(weir, "/about", User_Agent=agent).status for agent in agents} == agents
    with weir.connect() as c:
        c.send("GET /about HTTP/1.1\r\nHost: example.com\r\n\r\n")
        assert c.until_close() == b""
    assert ask(weir, "/about", "DELETE", User_Agent=BROWSER).status == 405
    assert moved(weir, "/about?q=1+UNION+all+SELECT") == (400, None)


def test_referers(weir):
    start_redirects(weir)
    referers = {"http://example.com/page": 200, "https://EXAMPLE.com": 200, "http://evil.test/": 403, "https://www.google.de/search": 200,
                "http://img.example.org:8080/x": 200, "hidden": 200, "http://evil.test/example.com": 403, "https://": 200}
    assert {r: ask(weir, "/a.png", User_Agent=BROWSER, Referer=r).status for r in referers} == referers
    assert ask(weir, "/a.png", User_Agent=BROWSER).text == "png"


MAINTENANCE = r"""
# Those who work on it see the site
geo $maintenance_free {
    default 0;
    10.0.0.0/8 1;
}

server {
    listen {port};
    server_name example.com;
    root {tmp}/www;
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Real-IP;

    set $maintenance "";
    if (-f $document_root/maintenance.on) { set $maintenance on; }
    if ($maintenance_free) { set $maintenance ""; }
    if ($uri ~ ^/(?:logo\.svg|healthz)$) { set $maintenance ""; }
    if ($maintenance = on) { return 503; }

    error_page 503 @maintenance;
    location @maintenance {
        add_header Retry-After 3600 always;
        rewrite ^(.*)$ /maintenance.html break;
    }
    location = /healthz { return 200 ok; }
    location /api/ { error_page 503 =200 /api-down.json; return 503; }
}
server {
    listen {port};
    server_name plain.example.com;
    root {tmp}/www;
    error_page 503 /maintenance.html;
    if (-f $document_root/maintenance.on) { return 503; }
    location = /maintenance.html { internal; }
}
"""


def test_maintenance(weir):
    start(weir, MAINTENANCE, {"index.html": "site", "maintenance.html": "back soon", "logo.svg": "logo", "api-down.json": "{}"})
    assert ask(weir, "/").text == "site"
    weir.write("", "www/maintenance.on")
    for target in ("/", "/page?x", "/maintenance.html"):
        down = ask(weir, target)
        assert (down.status, down.text, down.header("Retry-After")) == (503, "back soon", "3600"), target
        assert down.header("Content-Type") == "text/html"
    assert ask(weir, "/logo.svg").text == "logo" and ask(weir, "/healthz").text == "ok"
    assert ask(weir, "/", X_Real_IP="10.1.2.3").text == "site" and ask(weir, "/", X_Real_IP="11.1.2.3").status == 503
    plain = ask(weir, "/", host="plain.example.com")
    assert plain.status == 503 and "back soon" not in plain.text  # the page itself meets the if again
    (weir.tmp / "www/maintenance.on").unlink()
    assert ask(weir, "/").text == "site" and ask(weir, "/api/x").text == "{}"


# ---- logs -------------------------------------------------------------------------------------------------

LOGS = r"""
log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                '$status $body_bytes_sent "$http_referer" '
                '"$http_user_agent" "$http_x_forwarded_for"';

log_format json_analytics escape=json '{'
    '"msec": "$msec", ' # request unixtime in seconds with a milliseconds resolution
    '"connection": "$connection", '
    '"connection_requests": "$connection_requests", '
    '"pid": "$pid", '
    '"request_id": "$request_id", '
    '"request_length": "$request_length", '
    '"remote_addr": "$remote_addr", '
    '"remote_user": "$remote_user", '
    '"remote_port": "$remote_port", '
    '"time_local": "$time_local", '
    '"time_iso8601": "$time_iso8601", '
    '"request": "$request", '
    '"request_uri": "$request_uri", '
    '"args": "$args", '
    '"status": "$status", '
    '"body_bytes_sent": "$body_bytes_sent", '
    '"bytes_sent": "$bytes_sent", '
    '"http_referer": "$http_referer", '
    '"http_user_agent": "$http_user_agent", '
    '"http_x_forwarded_for": "$http_x_forwarded_for", '
    '"http_host": "$http_host", '
    '"server_name": "$server_name", '
    '"request_time": "$request_time", '
    '"upstream": "$upstream_addr", '
    '"upstream_status": "$upstream_status", '
    '"upstream_connect_time": "$upstream_connect_time", '
    '"upstream_header_time": "$upstream_header_time", '
    '"upstream_response_time": "$upstream_response_time", '
    '"upstream_response_length": "$upstream_response_length", '
    '"upstream_cache_status": "$upstream_cache_status", '
    '"ssl_protocol": "$ssl_protocol", '
    '"ssl_cipher": "$ssl_cipher", '
    '"scheme": "$scheme", '
    '"request_method": "$request_method", '
    '"server_protocol": "$server_protocol", '
    '"pipe": "$pipe", '
    '"gzip_ratio": "$gzip_ratio", '
    '"type": "$sent_http_content_type"'
'}';

# The last part of an address is nobody's business
map $remote_addr $remote_addr_anon {
    ~(?P<ip>\d+\.\d+\.\d+)\. $ip.0;
    ~(?P<ip>[^:]+:[^:]+):    $ip::;
    default                  0.0.0.0;
}
log_format anon '$remote_addr_anon "$request" $status $host';

map $status $loggable {
    ~^[23]  0;
    default 1;
}
map $http_user_agent $no_probe {
    default 1;
    ~^(ELB-HealthChecker|kube-probe|GoogleHC)/ 0;
}
map $request_uri $is_page {
    ~*\.(css|js|png)(\?|$) "";
    default 1;
}

server {
    listen {port};
    server_name example.com;
    charset utf-8;
    gzip on;
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Forwarded-For;
    root {tmp}/www;

    access_log {tmp}/logs/main.log main if=$no_probe;
    access_log {tmp}/logs/analytics.json json_analytics buffer=32k flush=1m;
    access_log {tmp}/logs/errors.log combined if=$loggable;
    access_log {tmp}/logs/anon.log anon if=$is_page;

    location / { try_files $uri =404; }
    location /app { proxy_pass http://127.0.0.1:{port2}; }
    location = /quiet { access_log off; return 200; }
    location = /own { access_log {tmp}/logs/own.log main; return 204; }
}
"""


def test_logs(weir, backend):
    start(weir, LOGS, {"index.html": "page" * 30, "a.css": "css"})
    backend(answer(b"app" * 5), port=weir.port2)
    ask(weir, "/index.html", User_Agent="kube-probe/1.29")
    ask(weir, "/index.html?a=1", Accept_Encoding="gzip", Referer='http://x/"quoted"\\', User_Agent="tab\there é")
    ask(weir, "/app?q=1", "POST", body=b"x" * 10, X_Forwarded_For="203.0.113.77")
    ask(weir, "/none", X_Forwarded_For="2001:db8:1:2::9")
    for target in ("/a.css?v=1", "/quiet", "/own"):
        ask(weir, target)
    with weir.connect() as c:
        c.send("BROKEN\r\n\r\n")
        c.until_close()
    main = [re.sub(r"\[[^]]+\]", "[now]", line) for line in logged(weir, "main.log")]
    assert len(main) == 5
    assert re.fullmatch(r'127\.0\.0\.1 - - \[now\] "GET /index\.html\?a=1 HTTP/1\.1" 200 \d+ '
                        r'"http://x/\\x22quoted\\x22\\x5C" "tab\\x09here \\xC3\\xA9" "-"', main[0]), main[0]
    assert main[1] == '203.0.113.77 - - [now] "POST /app?q=1 HTTP/1.1" 200 15 "-" "-" "203.0.113.77"'
    assert re.fullmatch(r'127\.0\.0\.1 - - \[now\] "BROKEN" 400 \d+ "-" "-" "-"', main[4]), main[4]
    assert [line.split('"')[1] for line in logged(weir, "errors.log")] == ["GET /none HTTP/1.1", "BROKEN"]
    assert logged(weir, "anon.log") == [
        '127.0.0.0 "GET /index.html HTTP/1.1" 200 example.com', '127.0.0.0 "GET /index.html?a=1 HTTP/1.1" 200 example.com',
        '203.0.113.0 "POST /app?q=1 HTTP/1.1" 200 example.com', '2001:db8:: "GET /none HTTP/1.1" 404 example.com',
        '127.0.0.0 "BROKEN" 400 example.com']
    assert len(logged(weir, "own.log")) == 1


def test_logs_in_json(weir, backend):
    start(weir, LOGS, {"index.html": "page" * 30})
    backend(answer(b"app" * 5, "Content-Type: application/json"), port=weir.port2)
    page = ask(weir, "/index.html?a=1", Accept_Encoding="gzip", Referer='http://x/"quoted"\\', User_Agent="tab\there é")
    ask(weir, "/app?q=1", "POST", body=b"x" * 10, X_Forwarded_For="203.0.113.77")
    with weir.connect() as c:
        c.send("GET /1 HTTP/1.1\r\nHost: A.example.com\r\n\r\nGET /2 HTTP/1.1\r\nHost: example.com:81\r\n\r\n")
        assert c.response().status == c.response().status == 404
        c.send("BROKEN\r\n\r\n")
        c.until_close()
    packed, posted, first, second, broken = map(json.loads, logged(weir, "analytics.json"))
    assert packed["http_user_agent"] == "tab\there é" and packed["http_referer"] == 'http://x/"quoted"\\'
    assert float(packed["gzip_ratio"]) > 1
    assert int(packed["body_bytes_sent"]) == len(b"%x\r\n%s\r\n0\r\n\r\n" % (len(page.body), page.body))
    assert int(packed["bytes_sent"]) > len(page.body) and packed["type"] == "text/html; charset=utf-8"
    assert {packed[k] for k in ("upstream", "upstream_status", "upstream_response_time", "ssl_protocol", "ssl_cipher",
                                "upstream_cache_status", "remote_user", "http_x_forwarded_for")} == {""}
    assert (packed["request_uri"], packed["args"], packed["server_name"]) == ("/index.html?a=1", "a=1", "example.com")
    assert posted["remote_addr"] == posted["http_x_forwarded_for"] == "203.0.113.77" and posted["gzip_ratio"] == ""
    assert (posted["upstream"], posted["upstream_status"]) == (f"127.0.0.1:{weir.port2}", "200")
    assert posted["upstream_response_length"] == posted["body_bytes_sent"] == "15" and posted["request_method"] == "POST"
    assert re.fullmatch(r"\d+\.\d{3}", posted["upstream_response_time"]) and posted["type"] == "application/json"
    assert first["connection"] == second["connection"] and second["http_host"] == "example.com:81"
    assert [each["connection_requests"] for each in (first, second, broken)] == ["1", "2", "3"]
    assert [each["pipe"] for each in (packed, first, second)] == [".", ".", "p"]
    assert int(posted["request_length"]) > 80 and re.fullmatch("[0-9a-f]{32}", posted["request_id"])
    assert (broken["request"], broken["status"], broken["request_method"], broken["http_host"]) == ("BROKEN", "400", "", "")
