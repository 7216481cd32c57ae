"""Upstreams by name: a name server of the test's own, which the system asks too, and a server on every address it may name."""

import contextlib
import fcntl
import http.server
import os
import socket
import struct
import tempfile
import threading

import pytest
from weirlib import config, own_mounts

SYSTEM = "127.77.0.53"  # where the system's resolver is told to ask


class Names:
    """A name server. `records`: name -> (addresses, ttl), a response code, or None for silence."""

    def __init__(self):
        self.records, self.asked, self.pause = {}, [], 0
        self.sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
        self.sockets[0].bind(("127.0.0.1", 0))
        self.sockets[1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(PermissionError):  # of an ordinary user; what asks the system needs more than that
            self.sockets[1].bind((SYSTEM, 53))
        self.port = self.sockets[0].getsockname()[1]
        for each in self.sockets:
            threading.Thread(target=self._serve, args=[each], daemon=True).start()

    def _serve(self, sock):
        with contextlib.suppress(OSError):
            while True:
                data, peer = sock.recvfrom(4096)
                threading.Timer(self.pause, self._answer, [sock, data, peer]).start()

    def _answer(self, sock, data, peer):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]])
            at += 1 + data[at]
        question, (kind,) = data[12:at + 5], struct.unpack("!H", data[at + 1:at + 3])
        name = b".".join(labels).decode("latin-1").lower()
        self.asked.append((name, kind))
        found = self.records.get(name, 3)
        if found is None:
            return
        code, (addresses, ttl) = (found, ([], 0)) if isinstance(found, int) else (0, found)
        lines = [struct.pack("!HHHIH", 0xC00C, 1, 1, ttl, 4) + socket.inet_aton(each)
                 for each in addresses] if kind == 1 else []
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(lines), 0, 0)
        with contextlib.suppress(OSError):
            sock.sendto(head + question + b"".join(lines), peer)

    def times(self, name):
        return self.asked.count((name, 1))


@pytest.fixture
def names():
    """One at a time on this machine: the system's resolver has a fixed address."""
    with open(os.path.join(tempfile.gettempdir(), f"weir-test-names-{os.getuid()}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Names()
        yield made
        for each in made.sockets:
            each.close()


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        text = self.connection.getsockname()[0].rpartition(".")[2].encode()
        self.path == "/held" and self.server.gate.wait(20)
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def everywhere():
    """A server on all of 127.0.0.0/8 that answers with the last byte of its address."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Answers)
    server.daemon_threads, server.request_queue_size = True, 100
    server.port, server.gate = server.server_address[1], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def serve(weir, names, target, http="", resolver="valid=1s", **parts):
    conf = config(f"location / {{ proxy_pass http://{target}; }}", listen="127.0.0.1:{port} reuseport",
                  http=f"resolver 127.0.0.1:{names.port} {resolver}; {http}", **parts)
    resolv = weir.write(f"nameserver {SYSTEM}\n", "resolv.conf")
    mount = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
    weir.start(conf, trampoline=[*own_mounts(), "sh", "-c", mount, "sh"])
    weir.wait_workers(parts.get("workers", 1))
