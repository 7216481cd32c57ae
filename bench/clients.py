"""Clients: wrk for load, and plain sockets for connections that only stay open."""

import pathlib
import shutil
import socket
import struct
import subprocess

from servers import BenchError

SCRIPT = pathlib.Path(__file__).with_name("wrk.lua")
HEAD_LIMIT = 65536


def require_wrk():
    """Fails at once rather than after the first server has started."""
    if not shutil.which("wrk"):
        raise BenchError("wrk not found: apt-get install wrk")


def run_wrk(port, path, connections, seconds, depth=1, close=False, headers=None):
    """Loads path for so many seconds. Returns wrk's totals by name (see wrk.lua) as integers."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", SCRIPT]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if close:
        command += ["-H", "Connection: close"]
    command += [f"http://127.0.0.1:{port}{path}", "--", str(depth)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in run.stdout.splitlines() if line.startswith("result ")]
    if run.returncode != 0 or len(lines) != 1:
        raise BenchError(f"wrk failed with exit code {run.returncode}:\n{run.stdout}{run.stderr}")
    result = {name: int(value) for name, value in (pair.split("=") for pair in lines[0].split()[1:])}
    if result["requests"] == 0:
        raise BenchError(f"wrk got no answer for {path} at {connections} connections:\n{run.stdout}")
    return result


def read_answer(sock):
    """Reads one answer with a Content-Length and keeps the connection open."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < HEAD_LIMIT:
        data += receive(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    missing = int(fields[b"content-length"]) - len(body)
    while missing > 0:
        missing -= len(receive(sock))
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"an idle connection was answered {head.splitlines()[0]!r}")


def receive(sock):
    """The next bytes; an end here is an error."""
    data = sock.recv(HEAD_LIMIT)
    if not data:
        raise BenchError("the server closed a connection that should stay open")
    return data


class IdleConnections:
    """Keep-alive connections that have each done one request, open while the block lasts."""

    def __init__(self, port, path, count):
        self.port = port
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("ascii")
        self.count = count
        self.sockets = []

    def __enter__(self):
        try:
            for _ in range(self.count):
                self.sockets.append(sock := socket.create_connection(("127.0.0.1", self.port), timeout=5))
                sock.sendall(self.request)
                read_answer(sock)
        except OSError as error:
            opened = len(self.sockets)
            self.__exit__()
            raise BenchError(f"connection {opened} of {self.count}: {error}") from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def still_open(self):
        """How many of them the server has not closed meanwhile."""
        count = 0
        for sock in self.sockets:
            sock.setblocking(False)
            try:
                count += sock.recv(1) != b""
            except BlockingIOError:
                count += 1
            except OSError:
                pass  # reset: not open
        return count

    def __exit__(self, *_):
        for sock in self.sockets:
            # Reset instead of a polite close: no port is left in TIME_WAIT for the next round.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.sockets = []
