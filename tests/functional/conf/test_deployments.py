"""Proxy configurations as applications are deployed with, unchanged but for addresses and paths."""

import base64
import hashlib

from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import IS_ROOT, wait_until

DJANGO = """
    worker_processes 1;
    <user>
    error_log {tmp}/logs/error.log warn;
    pid {tmp}/weir.pid;

    events {
      worker_connections 1024; # increase if you have lots of clients
      accept_mutex off; # set to 'on' if nginx worker_processes > 1
      use epoll;
    }

    http {
      include mime.types;
      # fallback in case we can't determine a type
      default_type application/octet-stream;
      access_log {tmp}/logs/access.log combined;
      sendfile on;
      tcp_nopush on;

      upstream app_server {
        # fail_timeout=0 means we always retry an upstream even if it failed
        # to return a good HTTP response
        server unix:{tmp}/app.sock fail_timeout=0;
      }

      server {
        # if no Host match, close the connection to prevent host spoofing
        listen 127.0.0.1:{port} default_server;
        return 444;
      }

      server {
        listen 127.0.0.1:{port} deferred;
        client_max_body_size 4G;
        server_name example.com www.example.com;
        keepalive_timeout 5;

        # path for static files
        root {tmp}/public;

        location / {
          # checks for static file, if not found proxy to app
          try_files $uri @proxy_to_app;
        }

        location @proxy_to_app {
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          proxy_set_header X-Forwarded-Proto $scheme;
          proxy_set_header Host $http_host;
          # we don't want nginx trying to do something clever with
          # redirects, we set the Host: header above already.
          proxy_redirect off;
          proxy_pass http://app_server;
        }

        error_page 500 502 503 504 /500.html;
        location = /500.html {
          root {tmp}/public;
        }
      }
    }
"""

RAILS = """
    <user> pid {tmp}/weir.pid; error_log {tmp}/logs/error.log;
    events { worker_connections 512; }
    http {
    access_log off;
    upstream puma {
      server unix:{tmp}/app.sock fail_timeout=0;
    }
    server {
      listen 127.0.0.1:{port} default_server;
      server_name example.com;
      root {tmp}/public;
      access_log {tmp}/logs/rails.access.log;
      error_log {tmp}/logs/rails.error.log info;

      location ^~ /assets/ {
        add_header Cache-Control public;
      }

      try_files $uri/index.html $uri @puma;
      location @puma {
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header Host $http_host;
        proxy_redirect off;
        proxy_pass http://puma;
      }

      error_page 500 502 503 504 /500.html;
      client_max_body_size 10M;
      keepalive_timeout 10;
    }
    }
"""

CHAT = """
    <user> pid {tmp}/weir.pid; error_log {tmp}/logs/error.log;
    events { }
    http {
    access_log off;
    map $http_upgrade $connection_upgrade {
        default upgrade;
        ''      close;
    }
    upstream chat {
        ip_hash;
        server 127.0.0.1:{port2};
    }
    server {
        listen 127.0.0.1:{port};
        location /ws/ {
            proxy_pass http://chat/;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_read_timeout 3600s;
            proxy_send_timeout 3600s;
            proxy_buffering off;
        }
        location / { proxy_pass http://chat; }
    }
    }
"""

TWO_TIER = """
    <user> pid {tmp}/weir.pid; error_log {tmp}/logs/error.log;
    events { }
    http {
    log_format upstreams '$remote_addr "$request" $status $upstream_addr $upstream_status $upstream_response_time';
    access_log {tmp}/logs/api.log upstreams;
    upstream api {
        zone api 64k;
        least_conn;
        server 127.0.0.1:{port2} max_fails=1 fail_timeout=30s;
        server 127.0.0.1:{port3} backup;
        keepalive 16;
    }
    server {
        listen 127.0.0.1:{port};
        location /api/ {
            proxy_pass http://api/v1/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Request-ID $request_id;
            proxy_connect_timeout 2s;
            proxy_read_timeout 10s;
            proxy_next_upstream error timeout http_503;
            proxy_next_upstream_tries 2;
            proxy_buffers 16 16k;
            proxy_buffer_size 16k;
            proxy_busy_buffers_size 32k;
            proxy_intercept_errors on;
            error_page 500 502 504 = @down;
        }
        location @down { default_type application/json; return 503 '{"error":"down"}'; }
    }
    }
"""


def start(weir, text):
    weir.launch(text.replace("<user>", "user root;" if IS_ROOT else ""))
    wait_until(lambda: weir.accepts(weir.port), 10, "a server that accepts")


def public(weir):
    for name, text in {"page.txt": "static", "500.html": "sorry", "about/index.html": "about", "assets/a.js": "js"}.items():
        weir.write(text, "public/" + name)
    weir.write("types { text/plain txt; }", "conf/mime.types")


def ask(weir, target, host="example.com", method="GET", body=b""):
    with weir.connect() as c:
        c.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return c.response(method)


def test_django(weir, backend):
    public(weir)
    start(weir, DJANGO)
    weir.expect_log("No such file or directory")
    assert (ask(weir, "/view").status, ask(weir, "/view").text) == (502, "sorry")
    up = backend(lambda call: answer(call.method.encode() + call.body, "Location: http://example.com/next"),
                 path=weir.tmp / "app.sock")
    assert ask(weir, "/page.txt").text == "static" and not up.calls
    reply = ask(weir, "/form?x=1", method="POST", body=b"f" * 50000)
    assert reply.text == "POST" + "f" * 50000 and reply.header("Location") == "http://example.com/next"
    assert up.call.target == "/form?x=1" and up.call.header("Host") == "example.com"
    assert up.call.header("X-Forwarded-Proto") == "http" and up.call.header("X-Forwarded-For") == "127.0.0.1"
    with weir.connect() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n")
        assert c.socket.recv(100) == b""


def test_rails(weir, backend):
    public(weir)
    start(weir, RAILS)
    up = backend(lambda call: answer(b"rails " + call.target.encode()), path=weir.tmp / "app.sock")
    assert ask(weir, "/about").text == "about" and ask(weir, "/page.txt").text == "static"
    assert ask(weir, "/orders/1").text == "rails /orders/1" and len(up.calls) == 1
    assert ask(weir, "/assets/a.js").header("Cache-Control") == "public"
    weir.expect_log("No such file")
    assert ask(weir, "/assets/none.js").status == 404
    wait_until(lambda: "none.js" in (weir.tmp / "logs/rails.error.log").read_text(), 3, "its own error log")
    assert "none.js" not in (weir.tmp / "logs/error.log").read_text()
    wait_until(lambda: "/orders/1" in (weir.tmp / "logs/rails.access.log").read_text(), 3, "its own access log")


def echo_websocket(call):
    key = call.header("Sec-WebSocket-Key").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
    call.send(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while True:
        first, second = call.peer.exactly(2)
        mask, data = call.peer.exactly(4), call.peer.exactly(second & 127)
        call.send(bytes([first, len(data)]) + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


def test_chat(weir, backend):
    start(weir, CHAT)
    up = backend(lambda call: echo_websocket(call) if call.header("Upgrade") else answer(b"page"), port=weir.port2)
    assert ask(weir, "/").text == "page"
    with weir.connect() as c:
        c.send(b"GET /ws/room HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        got = b""
        while b"\r\n\r\n" not in got:
            got += c.socket.recv(1000)
        assert got.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in got
        assert up.calls[-1].target == "/room" and up.calls[-1].header("Connection") == "upgrade"
        for text in (b"hello", b"x" * 100):
            c.socket.sendall(b"\x81" + bytes([0x80 | len(text)]) + b"\1\2\3\4" +
                             bytes(b ^ (1, 2, 3, 4)[i % 4] for i, b in enumerate(text)))
            frame = b""
            while len(frame) < 2 + len(text):
                frame += c.socket.recv(1000)
            assert frame == b"\x81" + bytes([len(text)]) + text


def test_two_tiers(weir, backend):
    start(weir, TWO_TIER)
    weir.expect_log("Connection refused|upstream")
    first = backend(lambda call: answer(b"busy", status="503 Busy") if "busy" in call.target else answer(b"first"), port=weir.port2)
    assert ask(weir, "/api/a?b").text == "first" and first.call.target == "/v1/a?b"
    assert len(first.call.header("X-Request-ID")) == 32
    second = backend(answer(b"second"), port=weir.port3)
    assert ask(weir, "/api/busy").text == "second"
    assert ask(weir, "/api/a").text == "second"  # the first one failed, and has its 30 s
    second.close()
    weir.expect_log("recv|closed")
    down = ask(weir, "/api/busy")
    assert down.status == 503 and down.json() == {"error": "down"}
    wait_until(lambda: "/api/busy" in (weir.tmp / "logs/api.log").read_text(), 3, "the log")
    line = [x for x in (weir.tmp / "logs/api.log").read_text().splitlines() if "/api/a?b" in x][0]
    assert f'"GET /api/a?b HTTP/1.1" 200 127.0.0.1:{weir.port2} 200 0.0' in line
    assert second.calls
