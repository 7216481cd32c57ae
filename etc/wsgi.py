"""Serves a WSGI application (PEP 3333) to "handler process": python3 wsgi.py MODULE:APPLICATION

Requests come in FastCGI's records on descriptor 0, one at a time, until that ends. What the application prints goes to the error log.
"""

import importlib
import io
import os
import socket
import struct
import sys
import traceback

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = range(1, 7)
MOST = 65528  # bytes of a record


class Connection:
    def __init__(self, descriptor):
        self.socket = socket.socket(fileno=os.dup(descriptor))
        self.read = self.socket.makefile("rb").read

    def record(self):
        """The next one's kind and content; None at the end."""
        head = self.read(8)
        if len(head) < 8:
            return None, b""
        kind, length, padding = struct.unpack(">xBxxHBx", head)
        return kind, self.read(length + padding)[:length]

    def stream(self, wanted):
        parts = []
        while True:
            kind, content = self.record()
            if kind != wanted or not content:
                return b"".join(parts)
            parts.append(content)

    def write(self, kind, content=b""):
        for at in range(0, len(content) or 1, MOST):
            part = content[at:at + MOST]
            self.socket.sendall(struct.pack(">BBHHBB", 1, kind, 1, len(part), 0, 0) + part)


def pairs(data):
    """Names and values, each with a length of one byte or of four."""
    def length(at):
        return (data[at], at + 1) if data[at] < 128 else (struct.unpack_from(">I", data, at)[0] & 0x7fffffff, at + 4)
    at = 0
    while at < len(data):
        name, at = length(at)
        value, at = length(at)
        yield data[at:at + name].decode("latin-1"), data[at + name:at + name + value].decode("latin-1")
        at += name + value


class Answer:
    """What the application says: its head waits for the first byte behind it, so that it may still be another one."""

    def __init__(self, connection):
        self.connection, self.head, self.is_sent = connection, b"", False

    def start(self, status, headers, exc_info=None):
        if self.is_sent and exc_info:
            raise exc_info[1].with_traceback(exc_info[2])
        self.head = "".join(f"{name}: {value}\r\n" for name, value in [("Status", status), *headers]).encode("latin-1") + b"\r\n"
        return self.write

    def write(self, data):
        if data:
            self.send(data)

    def send(self, data=b""):
        if not self.is_sent:
            data, self.is_sent = self.head + data, True
        if data:
            self.connection.write(STDOUT, data)


def answer(connection, application, environ):
    said, result = Answer(connection), ()
    try:
        result = application(environ, said.start)
        for data in result:
            said.write(data)
    except Exception:  # its client is told so where nothing has gone yet, and the next request is another one
        traceback.print_exc()
        if said.is_sent:
            raise
        said.start("500 Internal Server Error", [("Content-Type", "text/plain")])
        said.write(b"Internal Server Error\n")
    finally:
        if hasattr(result, "close"):
            result.close()
    said.send()


def serve(connection, application):
    """One request. False: there are no more."""
    kind, _ = connection.record()
    if kind != BEGIN:
        return False
    environ = dict(pairs(connection.stream(PARAMS)))
    environ.update({"wsgi.version": (1, 0), "wsgi.url_scheme": environ.get("REQUEST_SCHEME", "http"), "wsgi.errors": sys.stderr,
                    "wsgi.input": io.BytesIO(connection.stream(STDIN)), "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False})
    answer(connection, application, environ)
    connection.write(STDOUT)
    connection.write(END, bytes(8))
    return True


def main():
    module, _, name = sys.argv[1].partition(":")
    sys.path.insert(0, os.getcwd())
    application = getattr(importlib.import_module(module), name or "application")
    connection = Connection(0)
    sys.stdout.reconfigure(line_buffering=True)
    while serve(connection, application):
        pass


if __name__ == "__main__":
    main()
