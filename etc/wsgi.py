"""Serves a WSGI application (PEP 3333) to "handler process": python3 wsgi.py MODULE:APPLICATION

Requests come in FastCGI's records on descriptor 0, one at a time, until that ends. What the application prints goes to the error log.
"""

import importlib
import io
import os
import re
import socket
import struct
import sys
import traceback

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = range(1, 7)
MOST = 65528  # bytes of a record
HEAD, LONG = struct.Struct(">BBHHBB"), struct.Struct(">I")
CONTROL = re.compile(r"[^\t -~\x80-\U0010ffff]")
OVER = HEAD.pack(1, STDOUT, 1, 0, 0, 0) + HEAD.pack(1, END, 1, 8, 0, 0) + bytes(8)
CONSTANT = {"wsgi.version": (1, 0), "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False}


class Connection:
    def __init__(self, descriptor):
        self.socket = socket.socket(fileno=os.dup(descriptor))
        os.dup2(os.open(os.devnull, os.O_RDONLY), descriptor)  # what the application starts must not read from it
        self.read = self.socket.makefile("rb").read

    def record(self, wanted):
        """What the next one has, which is of this kind; None at the end, which is no place within a request."""
        head = self.read(8)
        if not head and wanted == BEGIN:
            return None
        _, kind, _, length, padding, _ = HEAD.unpack(head)
        content = self.read(length + padding) if length + padding else b""
        if kind != wanted or len(content) < length + padding:
            raise EOFError  # a request that is not whole is none
        return content[:length]

    def stream(self, kind):
        return b"".join(iter(lambda: self.record(kind), b""))

    def write(self, content, end=b""):
        """In records, and what is behind them with the last one."""
        parts = [content[at:at + MOST] for at in range(0, len(content), MOST)]
        self.socket.sendall(b"".join(HEAD.pack(1, STDOUT, 1, len(part), 0, 0) + part for part in parts) + end)


def pairs(data):
    """Names and their values, each with a length of one byte or of four."""
    text, found, at = data.decode("latin-1"), {}, 0
    while at < len(data):
        lengths = []
        for _ in "nv":
            is_long = data[at] > 127
            lengths.append(LONG.unpack_from(data, at)[0] & 0x7fffffff if is_long else data[at])
            at += 4 if is_long else 1
        end = at + lengths[0]
        found[text[at:end]] = text[end:end + lengths[1]]
        at = end + lengths[1]
    return found


def checked(text):
    """A name or a value that is one line, so that nobody puts another field into it."""
    if CONTROL.search(text):
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
        self.connection.write(data, end)


def answer(said, application, environ):
    result, last = application(environ, said.start), b""
    try:
        if isinstance(result, (list, tuple)) and not said.is_sent:
            *parts, last = result or [b""]
            said.write(b"".join(parts))
        else:
            for data in result:
                said.write(data)
    finally:
        if hasattr(result, "close"):
            result.close()
    said.send(last, OVER)


def serve(connection, application):
    """One request. False: there are no more."""
    if connection.record(BEGIN) is None:
        return False
    environ = pairs(connection.stream(PARAMS))
    environ["SERVER_NAME"] = environ.get("SERVER_NAME") or environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("SERVER_ADDR", "localhost")
    environ["wsgi.url_scheme"] = environ.get("REQUEST_SCHEME", "http")
    environ["wsgi.input"], environ["wsgi.errors"] = io.BytesIO(connection.stream(STDIN)), sys.stderr
    environ.update(CONSTANT)
    said = Answer(connection)
    try:
        answer(said, application, environ)
    except Exception:  # its client is told so where nothing has gone yet, and the next request is another one
        traceback.print_exc()
        if said.is_sent:
            raise
        said.head = None
        said.start("500 Internal Server Error", [("Content-Type", "text/plain")])
        said.send(b"Internal Server Error\n", OVER)
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
