"""Reverse proxies under measurement, what stands behind them, and the clients that wrk is not.

A Proxy is one running proxy with a backend of its own, a context manager as servers.Server is. All get the same
settings: one worker, no logs, connections to the backend kept, buffers of 8 x 8k (HAProxy: its own of 16k). CPU time is
the scheduler's own count in nanoseconds, /proc/PID/task/*/schedstat, of all threads of the proxy's processes.
"""

import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass

from servers import NGINX_HTTP, START_TIMEOUT_S, STOP_TIMEOUT_S, BenchError, Server, free_port

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / "build" / "bench"
PEER = BUILD / "proxy_peer"
CFLAGS = ["-O2", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
BIG_BYTES = 100_000_000  # as proxy_peer.c has it
PIECE = 1 << 20
PORTS_EACH = 20000  # connections to one address of the backend
SLOW_PIECE = 64 << 10
SLOW_PAUSE_S = 0.02
CLIENT_TIMEOUT_S = 10

# What weir and nginx share.
CONF = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {max_files};
pid {dir}/pid;
error_log {dir}/error.log warn;
events {{ worker_connections {max_files}; }}
http {{
    access_log off;
    default_type text/plain;
    tcp_nodelay on;
    keepalive_timeout 65;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    client_max_body_size 0;
    {folders}
    proxy_buffer_size 8k;
    proxy_buffers 8 8k;
    proxy_busy_buffers_size 16k;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    {http}
    upstream backend {{
        {servers}
        keepalive 64;
        keepalive_requests 1000000000;
        {upstream}
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ proxy_pass http://backend; }}
        location /big-in-memory {{ proxy_max_temp_file_size 0; proxy_pass http://backend; }}
        location /unbuffered {{ proxy_request_buffering off; proxy_pass http://backend; }}
        location /ws {{
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_pass http://backend;
        }}
    }}
}}
"""

HAPROXY_CONF = """\
global
    maxconn {maxconn}
    nbthread 1
defaults
    mode http
    timeout client 65s
    timeout server 65s
    timeout connect 5s
    timeout tunnel 1h
frontend front
    bind 127.0.0.1:{port} backlog 4096
    default_backend back
backend back
    http-reuse always
    {servers}
"""


@dataclass(frozen=True)
class System:
    """A program and what its configuration has beside the common part."""
    name: str
    kind: str  # "weir", "nginx" or "haproxy"
    about: str
    http: str = ""
    server: str = ""    # parameters of the upstream's servers
    upstream: str = ""


def build_peer():
    """Compiles proxy_peer.c."""
    BUILD.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(["gcc", *CFLAGS, TOP / "bench" / "proxy_peer.c", "-o", PEER], capture_output=True, text=True,
                         check=False)
    if run.returncode:
        raise BenchError(f"building proxy_peer failed:\n{run.stderr.strip()}")


class Backend:
    """proxy_peer serving on so many addresses of 127.0.0.x."""

    def __init__(self, addresses):
        self.port = free_port()
        self.addresses = [f"127.0.0.{number + 1}:{self.port}" for number in range(addresses)]
        self.process = subprocess.Popen([PEER, "serve", str(self.port), str(addresses)], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise BenchError(f"the backend does not listen: {error}") from error
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Proxy(Server):
    """A running proxy. sockets: for how many WebSockets it must have room, and ports to the backend."""

    def __init__(self, system, program, max_files, sockets=0):
        super().__init__(system.name, program, {}, kind=system.kind)
        self.setup = system
        self.max_files = max_files
        self.backend = None
        self.addresses = 1 + max(sockets - 1, 0) // PORTS_EACH

    def _write_files(self):
        self.backend = Backend(self.addresses)
        (self.dir / "conf").write_text(self._conf(), encoding="ascii")

    def _conf(self):
        if self.setup.kind == "haproxy":
            servers = "\n    ".join(f"server s{number} {address}"
                                    for number, address in enumerate(self.backend.addresses))
            return HAPROXY_CONF.format(maxconn=self.max_files // 2 - 100, port=self.port, servers=servers)
        servers = " ".join(f"server {address} {self.setup.server};" for address in self.backend.addresses)
        folders = NGINX_HTTP if self.setup.kind == "nginx" else "proxy_temp_path {dir}/proxy;"
        return CONF.format(user="user root;" if os.geteuid() == 0 else "", max_files=self.max_files, dir=self.dir,
                           port=self.port, folders=folders.format(dir=self.dir), servers=servers,
                           http=self.setup.http, upstream=self.setup.upstream)

    def _start(self):
        if self.setup.kind != "haproxy":
            super()._start()
            return
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen([self.program, "-db", "-f", self.dir / "conf"],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def __exit__(self, *exception):
        super().__exit__(*exception)
        if self.backend:
            self.backend.stop()

    def workers(self):
        """HAProxy has one process, which is both master and worker."""
        return super().workers() or [self.process.pid]

    def rss(self):
        """Bytes of the workers' resident pages, files' included, counted page by page (VmRSS is an estimate)."""
        total_kib = 0
        for pid in self.workers():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Rss:"):
                    total_kib += int(line.split()[1])
        return total_kib * 1024


class PeakRss:
    """The most that rss() said while the block lasted."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.before = self.peak = proxy.rss()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.over.wait(0.02):
            try:
                self.peak = max(self.peak, self.proxy.rss())
            except OSError:
                return  # a worker has ended; whoever talks to it notices

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class BodyClient:
    """One keep-alive connection for large bodies."""

    def __init__(self, proxy, receive_buffer=0):
        self.proxy = proxy
        self.sock = socket.socket()
        self.sock.settimeout(CLIENT_TIMEOUT_S)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect(("127.0.0.1", proxy.port))
        self.piece = memoryview(bytearray(PIECE))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Reset instead of a polite close: the slow client does not want the rest.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def head(self, length):
        """Reads an answer's head; returns what of the body came with it."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := self.sock.recv(PIECE)):
                raise self.proxy.fail("the connection was closed instead of answered")
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or f"content-length: {length}".encode() not in head.lower():
            raise self.proxy.fail(f"not the answer expected: {head!r}")
        return body

    def take(self, count):
        """So many bytes, and no more."""
        while count > 0:
            got = self.sock.recv_into(self.piece, min(count, PIECE))
            if not got:
                raise self.proxy.fail(f"an answer ended {count} bytes too soon")
            count -= got

    def ask(self, path):
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def download(self):
        self.ask("/big")
        self.take(BIG_BYTES - len(self.head(BIG_BYTES)))

    def upload(self, path):
        self.sock.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BIG_BYTES}\r\n\r\n".encode())
        left = BIG_BYTES
        while left > 0:
            left -= self.sock.send(self.piece[:min(left, PIECE)])
        told = self.head(20)
        while len(told) < 20:
            told += self.sock.recv(20 - len(told))
        if int(told) != BIG_BYTES:
            raise self.proxy.fail(f"{int(told)} bytes of {BIG_BYTES} came to the backend")


def download_slowly(proxy, path, count, seconds):
    """So many clients take what comes of 100 MB in that time, each about 3 MB/s."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(BodyClient(proxy, receive_buffer=SLOW_PIECE)) for _ in range(count)]
        for client in clients:
            client.ask(path)
        for client in clients:
            client.head(BIG_BYTES)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for client in clients:
                client.take(SLOW_PIECE)
            time.sleep(SLOW_PAUSE_S)


class WebSockets:
    """proxy_peer with so many sockets open through a proxy while the block lasts."""

    def __init__(self, proxy, count):
        self.proxy = proxy
        self.process = subprocess.Popen([PEER, "sockets", str(proxy.port), str(count)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _expect(self, line):
        if self.process.stdout.readline() != line + "\n":
            raise self.proxy.fail(f"WebSockets: {self.process.stderr.read().strip()}")

    def __enter__(self):
        return self

    def wait_until_open(self, count):
        self._expect(f"open {count}")

    def send(self, count):
        """So many messages there and back; returns the seconds it took."""
        begun = time.monotonic()
        self.process.stdin.write(f"send {count}\n")
        self.process.stdin.flush()
        self._expect(f"echoed {count}")
        return time.monotonic() - begun

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
