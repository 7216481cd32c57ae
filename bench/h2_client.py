#!/usr/bin/python3
"""A client for HTTP/2 on plain sockets, and the pieces that attacks are made of.

    h2_client.py PORT SECONDS RATE PATH

asks RATE times a second on one connection, says "ready" when the first of all answers has come, and at its end "p50", "p99" (ms, from when a
request was due) and "lost": how many had no answer of status 200.
"""

import contextlib
import select
import socket
import ssl
import struct
import sys
import time

import hpack
from hyperframe import frame as h2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ANY_WINDOW = (1 << 31) - 1
WIDE = ANY_WINDOW - ((1 << 16) - 1)  # what the connection's window can be opened by
RECEIVE_BYTES = 1 << 18
TIMEOUT_S = 5
HEAD = struct.Struct(">BHBBL")
ENDS = 1  # END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING
OPEN_WINDOWS = {h2.SettingsFrame.INITIAL_WINDOW_SIZE: ANY_WINDOW}


def wire(*frames):
    return b"".join(frame.serialize() for frame in frames)


def opening(settings, wider_by):
    """What a client says first: by so much more it opens the connection's window, and it acknowledges the server's SETTINGS unseen."""
    return PREFACE + wire(h2.SettingsFrame(0, settings=settings), h2.WindowUpdateFrame(0, window_increment=wider_by),
                          h2.SettingsFrame(0, flags=["ACK"]))


def fields(path, method="GET", more=()):
    """A block of HPACK that leaves the dynamic table as it is."""
    pairs = ((":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"), *more)
    return hpack.Encoder().encode([(name, value, True) for name, value in pairs])


def asks(stream, block, ends=True):
    return h2.HeadersFrame(stream, data=block, flags=["END_HEADERS", "END_STREAM"] if ends else ["END_HEADERS"])


class Frames:
    """Frames out of the bytes of a connection."""

    def __init__(self):
        self.held = b""

    def feed(self, data):
        """(type, flags, stream, payload) of each that is complete now."""
        data = self.held + data if self.held else data
        at, found = 0, []
        while len(data) - at >= HEAD.size:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + HEAD.size + (high << 16 | low)
            if end > len(data):
                break
            found.append((kind, flags, stream, data[at + HEAD.size:end]))
            at = end
        self.held = data[at:]
        return found


def reset(sock):
    """Closes without a port in TIME_WAIT for the next round."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def trusting():
    """TLS that takes any certificate, and h2 alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


class Connection:
    """A well-behaved connection. Errors are OSError."""

    def __init__(self, port, tls=None):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock)
            if self.sock.selected_alpn_protocol() != "h2":
                raise ConnectionError("the server does not speak h2 over TLS")
        self.frames = Frames()
        self.decoder = hpack.Decoder()
        self.last = -1
        self.status = {}
        self.sock.sendall(opening(OPEN_WINDOWS, WIDE))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        reset(self.sock)

    def ask(self, block):
        """Its stream."""
        self.last += 2
        self.sock.sendall(asks(self.last, block).serialize())
        return self.last

    def receive(self):
        """(stream, piece of the body, whether that is all) of what has come."""
        if not (data := self.sock.recv(RECEIVE_BYTES)):
            raise ConnectionError("the server closed the connection")
        for kind, flags, stream, payload in self.frames.feed(data):
            if kind in (h2.GoAwayFrame.type, h2.RstStreamFrame.type):
                raise ConnectionError(f"the server sent frame {kind} with {payload.hex()}")
            if kind == h2.HeadersFrame.type:
                self.status[stream] = dict(self.decoder.decode(payload)).get(":status")
                yield stream, b"", flags & ENDS
            elif kind == h2.DataFrame.type:
                yield stream, payload, flags & ENDS

    def fetch(self, block):
        """(status, body)"""
        asked, body, over = self.ask(block), [], False
        while not over:
            for stream, piece, ends in self.receive():
                if stream == asked:
                    body.append(piece)
                    over = over or ends
        return self.status.pop(asked), b"".join(body)


class Steady:
    """Requests at a rate, whether or not the ones before are answered; a latency counts from when its request was due."""

    def __init__(self, port, block):
        self.port, self.block = port, block
        self.connection = None
        self.due, self.took, self.lost = {}, [], 0

    def begin(self):
        self.connection = Connection(self.port)
        self.connection.fetch(self.block)

    def _broken(self):
        now = time.monotonic()
        self.took += [now - due for due in self.due.values()]
        self.lost += len(self.due)
        self.due = {}
        if self.connection:
            reset(self.connection.sock)
            self.connection = None

    def _ask(self, due):
        try:
            self.connection = self.connection or Connection(self.port)
            self.due[self.connection.ask(self.block)] = due
        except OSError:
            self.due[0] = due
            self._broken()

    def _listen(self, timeout_s):
        if not self.connection:
            time.sleep(timeout_s)
            return
        if not select.select([self.connection.sock], [], [], timeout_s)[0]:  # to the microsecond, as epoll is not
            return
        try:
            for stream, _, ends in self.connection.receive():
                if ends and stream in self.due:
                    self.took.append(time.monotonic() - self.due.pop(stream))
                    self.lost += self.connection.status.pop(stream) != "200"
        except OSError:
            self._broken()

    def run(self, seconds, rate):
        begun, asked = time.monotonic(), 0
        while asked < seconds * rate or (self.due and time.monotonic() < begun + seconds + TIMEOUT_S):
            now = time.monotonic()
            due = begun + asked / rate
            if asked < seconds * rate and due <= now:
                self._ask(due)
                asked += 1
            else:
                self._listen(max(0, due - now) if asked < seconds * rate else 0.1)
        self._broken()


def main():
    port, seconds, rate, path = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    steady = Steady(port, fields(path))
    steady.begin()
    print("ready", flush=True)
    steady.run(seconds, rate)
    took = sorted(steady.took)
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        print(name, took[int(part * (len(took) - 1))] * 1e3)
    print("lost", steady.lost)


if __name__ == "__main__":
    main()
