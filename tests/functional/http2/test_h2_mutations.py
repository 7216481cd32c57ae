"""Frames with something wrong in them, at random: weir and Python's h2 must find the same, or a rule says why they do not."""

import os
import random
import socket
import struct
import time
from concurrent import futures

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack
import pytest
from http2_client import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
                          WITH_PRIORITY, Code, frame, serve)
from weirlib import limit, wait_until

CASES = 10000 if os.environ.get("WEIR_DIFFERENTIAL") == "long" else 1000
ALTSVC, FRAME_MOST = 10, 16384
PAYLOADS = [b"", struct.pack("!L", 0), struct.pack("!L", 0x7fffffff), struct.pack("!HL", 4, 0x80000000), struct.pack("!HL", 5, 100), struct.pack("!HL", 2, 2), bytes(8)]


class One:
    """A frame: its length may be a lie."""

    def __init__(self, kind, flags, stream, payload=b"", length=None):
        self.kind, self.flags, self.stream, self.payload, self.length = kind, flags, stream, payload, length

    def copy(self):
        return One(self.kind, self.flags, self.stream, self.payload, self.length)

    def bytes(self):
        return frame(self.kind, self.flags, self.stream, self.payload, self.length)


def requests_of(rng, stream, block):
    """The frames of a request, of one of some kinds."""
    kind = rng.randrange(5)
    whole = END_STREAM | END_HEADERS
    if kind == 0:
        return [One(HEADERS, whole, stream, block("GET"))]
    if kind == 1:
        return [One(HEADERS, END_HEADERS, stream, block("POST", ("content-length", "5"))), One(DATA, END_STREAM, stream, b"hello")]
    if kind == 2:
        return [One(HEADERS, END_HEADERS, stream, block("POST")), One(DATA, 0, stream, b"abc"), One(DATA, 0, stream, b"def"),
                One(HEADERS, whole, stream, block(None, ("x-trailer", "1")))]
    if kind == 3:
        text = block("GET", ("x-a", "y" * 20))
        return [One(HEADERS, END_STREAM, stream, text[:len(text) // 2]), One(CONTINUATION, END_HEADERS, stream, text[len(text) // 2:])]
    return [One(HEADERS, whole | WITH_PRIORITY | 8, stream, b"\x02" + struct.pack("!LB", 0, 15) + block("GET") + b"\0\0")]


def connection_of(rng):
    encoder = hpack.Encoder()

    def block(method, *more):
        pseudo = [(":method", method), (":scheme", "http"), (":path", "/"), (":authority", "localhost")] if method else []
        return encoder.encode([*pseudo, *more], huffman=rng.random() < 0.5)
    frames = [One(SETTINGS, 0, 0, struct.pack("!HLHL", 3, 100, 4, 65535))]
    for stream in range(1, 2 * rng.randint(1, 4), 2):
        frames += requests_of(rng, stream, block)
        more = [One(PING, 0, 0, bytes(8)), One(WINDOW_UPDATE, 0, rng.choice([0, stream]), struct.pack("!L", 100)),
                One(PRIORITY, 0, stream, struct.pack("!LB", 0, 3)), One(RST_STREAM, 0, stream, struct.pack("!L", Code.CANCEL))]
        frames += [each for each in more if rng.random() < 0.2]
    frames.append(One(SETTINGS, ACK, 0))
    return frames


def change_one(rng, frames):
    """Something is wrong with one of them."""
    at = rng.randrange(len(frames))
    it = frames[at]
    ways = ["kind", "flag", "stream", "bit", "cut", "more", "twice", "gone", "swap", "payload", "length"]
    way = rng.choice(ways)
    if way == "kind":
        it.kind = rng.choice([*range(11), 200])
    elif way == "flag":
        it.flags ^= rng.choice([1, 4, 8, 0x20, 0x40])
    elif way == "stream":
        it.stream = rng.choice([0, 1, 2, 3, 5, 7, 9, 0x7fffffff, 0x80000001])
    elif way == "bit" and it.payload:
        changed = bytearray(it.payload)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        it.payload = bytes(changed)
    elif way == "cut":
        it.payload = it.payload[:rng.randint(0, len(it.payload))]
    elif way == "more":
        it.payload += rng.randbytes(rng.randint(1, 6))
    elif way == "twice":
        frames.insert(at, it.copy())
    elif way == "gone" and len(frames) > 1:
        del frames[at]
    elif way == "swap" and at + 1 < len(frames):
        frames[at], frames[at + 1] = frames[at + 1], it
    elif way == "payload":
        it.payload = rng.choice(PAYLOADS)
    elif way == "length":
        it.length = rng.choice([FRAME_MOST + 1, len(it.payload) + 1, max(len(it.payload) - 1, 0)])


def case(seed):
    rng = random.Random(seed)
    frames = connection_of(rng)
    for _ in range(rng.choice([1, 1, 1, 2])):
        change_one(rng, frames)
    return frames


class Found:
    """What came of it: the connection's error or None, requests that are whole, streams with an error of their own, and why."""

    def __init__(self):
        self.error, self.whole, self.reset, self.why, self.waits = None, set(), {}, "", False

    def __repr__(self):
        return f"error={self.error} whole={sorted(self.whole)} reset={self.reset} {self.why}{' waits' if self.waits else ''}"


def by_h2(data):
    found = Found()
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    wire.initiate_connection()
    try:
        for event in wire.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                found.whole.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                found.reset[event.stream_id] = int(event.error_code)
                found.whole.discard(event.stream_id)
            elif isinstance(event, h2.events.ConnectionTerminated):
                found.waits = True  # nothing more is to be asked
    except h2.exceptions.ProtocolError as error:
        found.error, found.why = int(error.error_code), str(error)
    found.waits |= bool(wire.incoming_buffer.data or wire.incoming_buffer._headers_buffer)  # noqa: SLF001 - a block that is not whole
    return found


def frames_in(data):
    at = 0
    while at + 9 <= len(data):
        size, kind, flags, stream = int.from_bytes(data[at:at + 3], "big"), data[at + 3], data[at + 4], int.from_bytes(data[at + 5:at + 9], "big")
        if at + 9 + size > len(data):
            return
        yield kind, flags, stream, data[at + 9:at + 9 + size]
        at += 9 + size


def by_weir(port, data, enough):
    """Until the requests are answered that h2 has found, or for a while."""
    heard, end = b"", time.monotonic() + limit(1)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(0.05)
        client.sendall(data)
        while time.monotonic() < end:
            try:
                part = client.recv(1 << 16)
            except TimeoutError:
                if enough <= {stream for kind, flags, stream, _ in frames_in(heard) if kind == RST_STREAM or (kind < PRIORITY and flags & END_STREAM)}:
                    break
                continue
            except ConnectionResetError:
                break
            if not part:
                break
            heard += part
    found, decoder = Found(), hpack.Decoder()
    for kind, flags, stream, payload in frames_in(heard):
        if kind == HEADERS:
            status = int(dict(decoder.decode(payload)).get(":status", 0))
            if status < 400:
                found.whole.add(stream)
            else:
                found.reset[stream] = status
        elif kind == RST_STREAM and int.from_bytes(payload, "big") != Code.NO_ERROR:
            found.reset[stream] = int.from_bytes(payload, "big")
        elif kind == 7 and int.from_bytes(payload[4:8], "big"):
            found.error = int.from_bytes(payload[4:8], "big")
    return found


def asks_an_idle_stream(frames):
    """DATA, RST_STREAM or WINDOW_UPDATE of a stream that there has never been: an error of the connection's (RFC 9113 section 5.1)."""
    newest = 0
    for each in frames:
        stream = each.stream & 0x7fffffff
        if each.kind == HEADERS:
            newest = max(newest, stream)
        elif each.kind in (DATA, RST_STREAM, WINDOW_UPDATE) and (stream > newest or (stream and stream % 2 == 0)):
            return True
    return False


def why_they_differ(frames, theirs, ours):
    """The rule by which they may; None: there is none. An empty text: they do not."""
    if theirs.error is not None and ours.error is not None:
        return ""  # by which code is a matter of what is looked at first
    if theirs.error is not None:
        lax = ["depend on itself", "non-compliant data", "Frame data missing"]  # RFC 9113 section 5.3.2, reserved bits, ALTSVC
        if "state ConnectionState.CLOSED" in theirs.why:
            return "who has said GOAWAY may go on with what it has begun (section 6.8)"
        return "a request that is malformed is its stream's error (section 8.1.1)" if ours.reset else \
            "what has no meaning any more is ignored" if any(text in theirs.why for text in lax) else None
    if ours.error is not None:
        return "SETTINGS are the first (section 3.4)" if frames[0].kind != SETTINGS or frames[0].flags & ACK or frames[0].stream & 0x7fffffff else \
            "a frame is refused before it is whole" if theirs.waits else \
            "a stream's error may be the connection's (section 5.4.1)" if ours.error == Code.STREAM_CLOSED and Code.STREAM_CLOSED in theirs.reset.values() else \
            "nobody has sent what that acknowledges" if sum(each.kind == SETTINGS and each.flags & ACK for each in frames) > 1 else \
            "nothing has been asked on that stream (section 5.1)" if ours.error == Code.PROTOCOL_ERROR and asks_an_idle_stream(frames) else None
    if theirs.whole - ours.whole <= set(ours.reset) and ours.whole - theirs.whole <= set(theirs.reset):
        return "" if theirs.whole == ours.whole else "a field is looked at more closely (section 8.2.1)"
    return None


@pytest.mark.timeout(limit(200))
def test_both_find_the_same(weir):
    serve(weir, "location / { handler echo; }", http="client_body_timeout 1s; client_header_timeout 1s;", pool="threads=8 max_queue=1000")

    def run(seed):
        frames = case(seed)
        data = PREFACE + b"".join(each.bytes() for each in frames)
        theirs = by_h2(data)
        ours = by_weir(weir.port, data, set() if theirs.error is not None else theirs.whole)
        return seed, why_they_differ(frames, theirs, ours), theirs, ours
    with futures.ThreadPoolExecutor(8) as threads:
        found = list(threads.map(run, range(CASES)))
    assert [(seed, theirs, ours) for seed, why, theirs, ours in found if why is None] == []
    # The cases are worth something: many break the connection, and many do not.
    assert CASES // 5 < sum(theirs.error is not None for _, _, theirs, _ in found) < CASES * 4 // 5
    wait_until(lambda: weir.status()["http2"]["streams"] == 0 and weir.status()["connections"]["active"] == 1, 10, "all streams and connections to end")
