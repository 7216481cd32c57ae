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
        os.dup2(os.open(os.devnull, os.O_RDONLY), descriptor)  # what the application starts must not read from it
        self.read = self.socket.makefile("rb").read

    def record(self):
        """The next one's kind and content; None at the end, which is no place within a record."""
        head = self.read(8)
        if not head:
            return None, b""
        kind, length, padding = struct.unpack(">xBxxHBx", head)
        content = self.read(length + padding)
        if len(content) < length + padding:
            raise EOFError
        return kind, content[:length]

    def stream(self, wanted):
        parts = []
        while True:
            kind, content = self.record()
            if kind != wanted:
                raise EOFError  # a request that is not whole is none
            if not content:
                return b"".join(parts)
            parts.append(content)

    def write(self, kind, content, end=b""):
        """In records, and what is behind them with the last one."""
        parts = [record(kind, content[at:at + MOST]) for at in range(0, len(content), MOST)]
        self.socket.sendall(b"".join(parts) + end)


def record(kind, content=b""):
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


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


def checked(text):
    """A name or a value that is one line, so that nobody puts another field into it."""
    if any(c < " " and c != "\t" or c == "\x7f" for c in text):
        raise ValueError(f"a control character in {text!r}")
    return text


class Answer:
    """What the application says: its head waits for the first byte behind it, so that it may still be another one."""

    def __init__(self, connection):
        self.connection, self.head, self.is_sent = connection, None, False

    def start(self, status, headers, exc_info=None):
        if exc_info and self.is_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self.head is not None and not exc_info:
            raise AssertionError("start_response was called twice")
        lines = [f"{checked(name)}: {checked(value)}\r\n" for name, value in [("Status", status), *headers]]
        self.head = "".join(lines).encode("latin-1") + b"\r\n"
        return self.write

    def write(self, data):
        if data:
            self.send(data)

    def send(self, data=b"", end=b""):
        if self.head is None:
            raise AssertionError("start_response was not called")
        if not self.is_sent:
            data, self.is_sent = self.head + data, True
        self.connection.write(STDOUT, data, end)


def answer(said, application, environ):
    result = application(environ, said.start)
    try:
        parts = result if isinstance(result, (list, tuple)) else None
        if parts is not None and not said.is_sent:
            said.write(b"".join(parts[:-1]))
            last = parts[-1] if parts else b""
        else:
            last = b""
            for data in result:
                said.write(data)
    finally:
        if hasattr(result, "close"):
            result.close()
    said.send(last, record(STDOUT) + record(END, bytes(8)))


def serve(connection, application):
    """One request. False: there are no more."""
    kind, _ = connection.record()
    if kind != BEGIN:
        return False
    environ = dict(pairs(connection.stream(PARAMS)))
    environ["SERVER_NAME"] = environ.get("SERVER_NAME") or environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("SERVER_ADDR", "localhost")
    environ.update({"wsgi.version": (1, 0), "wsgi.url_scheme": environ.get("REQUEST_SCHEME", "http"), "wsgi.errors": sys.stderr,
                    "wsgi.input": io.BytesIO(connection.stream(STDIN)), "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False})
    said = Answer(connection)
    try:
        answer(said, application, environ)
    except Exception:  # its client is told so where nothing has gone yet, and the next request is another one
        traceback.print_exc()
        if said.is_sent:
            raise
        said.head = None
        said.start("500 Internal Server Error", [("Content-Type", "text/plain")])
        said.send(b"Internal Server Error\n", record(STDOUT) + record(END, bytes(8)))
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
