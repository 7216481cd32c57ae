"""HTTP/2 spoken frame by frame (RFC 9113), so that wrong frames can be sent too; and servers that speak it.

A Client keeps the books of both sides: streams, windows, tables. What the server sends is held against the rules at
once, in every test: never more DATA than the windows allow, no frame that is too large, fields that HTTP/2 may have.
It gives windows back as DATA comes, unless credit=False, and answers SETTINGS and PING.
"""

import collections
import contextlib
import enum
import functools
import socket
import ssl
import struct
import time

import hpack
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, PushPromiseFrame,
                              RstStreamFrame, SettingsFrame, WindowUpdateFrame)

import weirlib
from weirlib import Connection, Incomplete, config, limit

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_LIST = range(1, 7)
# Types of frames and their flags, for those that are written by hand.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 0x20
FIRST_WINDOW, FIRST_FRAME, MAX_WINDOW = 65535, 16384, (1 << 31) - 1
CONNECTION_SPECIFIC = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}

ANSWERS = """
    location / { return 200 "$request_method $uri $host\\n"; }
    location /echo { client_max_body_size 100m; handler echo; }
    location /sleep { handler sleep; }
"""


class Code(enum.IntEnum):
    """Error codes (RFC 9113 section 7)."""
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


GoAway = collections.namedtuple("GoAway", "last_stream code debug")


def serve(weir, locations=ANSWERS, http="", **parts):
    """Start a server that speaks HTTP/2 to whoever begins so, and HTTP/1 to the others."""
    return weir.start(config(locations, http="http2 on;" + http, **parts))


@functools.cache
def alpn_client(*protocols):
    """A client's context that offers these protocols and takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(protocols or ["h2"])
    return context


def fields(path="/", method="GET", *more, scheme="http", authority="localhost"):
    """The fields of a request; authority=None leaves :authority out."""
    pseudo = [(":method", method), (":scheme", scheme), (":path", path)]
    return [*pseudo, *([(":authority", authority)] if authority is not None else []), *more]


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """The bytes of any frame, as wrong as it may be."""
    size = len(payload) if length is None else length
    return struct.pack("!BHBBL", size >> 16, size & 0xffff, kind, flags, stream) + payload


def settings_frame(*pairs):
    """SETTINGS with these (setting, value) in this order."""
    return frame(SETTINGS, payload=b"".join(struct.pack("!HL", setting, value & 0xffffffff) for setting, value in pairs))


def literal(name, value=b"", index=0):
    """A field of a block without Huffman's code that goes into no table: by its name, or by the index of the name."""
    def text(data):
        return integer(len(data), 7) + data
    return integer(index, 4) + (b"" if index else text(name)) + text(value)


def integer(value, bits, first=0):
    """RFC 7541 section 5.1."""
    top = (1 << bits) - 1
    if value < top:
        return bytes([first | value])
    out, value = bytes([first | top]), value - top
    while value >= 128:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def forbidden(pairs):
    """Those of the fields that HTTP/2 does not have (RFC 9113 section 8.2)."""
    return [(name, value) for name, value in pairs if name != name.lower() or name in CONNECTION_SPECIFIC
            or value != value.strip(" \t") or set(value) & set("\r\n\0")]


class Stream:
    """What came on a stream; also the response, once it is over."""

    def __init__(self, number, receive_window, send_window):
        self.number, self.receive_window, self.send_window = number, receive_window, send_window
        self.status, self.headers, self.trailers, self.reset, self.ended = None, [], None, None, False
        self.interim = []  # (status, headers) of each 1xx
        self.pieces = []  # of DATA, frame by frame

    body = property(lambda self: b"".join(self.pieces))
    text = property(lambda self: self.body.decode())
    over = property(lambda self: self.ended or self.reset is not None)
    informational = property(lambda self: [status for status, _ in self.interim])

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def header(self, name, default=None):
        return next(iter(self.all(name)), default)

    def __repr__(self):
        return f"<stream {self.number}: {self.status} {self.headers} {sum(map(len, self.pieces))} bytes ended={self.ended} reset={self.reset!r}>"


class Client:
    """A connection. begin=False sends nothing by itself: neither the preface nor SETTINGS."""

    def __init__(self, port, tls=None, name=None, settings=None, begin=True, credit=True, timeout=10, options=(), wire=None):
        """tls: True, or a context that offers h2; settings: {number: value} of the first SETTINGS; wire: what is connected already."""
        if tls is True or (not tls and weirlib.OVER_TLS and port in weirlib.TLS_PORTS):
            tls = alpn_client("h2")
        self.wire = wire or Connection(port, timeout, tls=tls or None, name=name, options=options, is_plain=True)
        if tls:
            assert self.wire.socket.selected_alpn_protocol() == "h2"
        if self.wire.socket.family == socket.AF_INET:
            self.wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout, self.credit, self.closed, self.unread = timeout, credit, False, bytearray()
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder(max_header_list_size=1 << 24)
        self.streams, self.frames, self.goaways, self.pongs, self.pings = {}, [], [], set(), 0
        self.receive_window, self.send_window, self.next_stream = FIRST_WINDOW, FIRST_WINDOW, 1
        self.settings = {INITIAL_WINDOW: FIRST_WINDOW, MAX_FRAME: FIRST_FRAME, TABLE_SIZE: 4096}  # our own in force
        self.server_settings = {INITIAL_WINDOW: FIRST_WINDOW, MAX_FRAME: FIRST_FRAME}
        self.unacknowledged, self.answers_settings, self.answers_pings = collections.deque(), True, True
        self.block = None  # (stream, bytes, whether it ends the stream) of a block that goes on
        if begin:
            self.begin(settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.wire.close()

    # -- sending

    def begin(self, settings=None):
        self.send(PREFACE)
        self.send_settings(settings or {})

    def send(self, *frames):
        """Frames of hyperframe, or bytes. Whether the server has closed meanwhile is seen by who reads."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.wire.send(b"".join(each if isinstance(each, (bytes, bytearray)) else each.serialize() for each in frames))

    def send_settings(self, settings):
        """They are in force from the server's acknowledgement on."""
        self.unacknowledged.append(dict(settings))
        self.send(settings_frame(*settings.items()))

    def open(self, number=None):
        """The next stream, or that of a number of one's own."""
        number = number or self.next_stream
        self.next_stream = max(self.next_stream, number + 2)
        self.streams[number] = Stream(number, self.settings[INITIAL_WINDOW], self.server_settings[INITIAL_WINDOW])
        return self.streams[number]

    def head_frames(self, stream, headers, end=True, size=FIRST_FRAME, sensitive=False):
        """HEADERS and as many CONTINUATION as there have to be; headers: pairs, or the bytes of a block."""
        block = headers if isinstance(headers, bytes) else self.encoder.encode([(*pair, sensitive) for pair in headers])
        parts = [block[i:i + size] for i in range(0, len(block), size)] or [b""]
        frames = [HeadersFrame(stream.number, parts[0])] + [ContinuationFrame(stream.number, part) for part in parts[1:]]
        if end:
            frames[0].flags.add("END_STREAM")
        frames[-1].flags.add("END_HEADERS")
        return frames

    def request(self, headers, body=None, end=True, trailers=None, number=None, size=FIRST_FRAME):
        """Begin a stream with these fields; returns it. end=False: more will come."""
        stream = self.open(number)
        self.send(*self.head_frames(stream, headers, end and body is None and trailers is None))
        if body is not None:
            self.send_body(stream, body, size, end and trailers is None)
        if trailers is not None:
            self.send(*self.head_frames(stream, trailers, end))
        return stream

    def get(self, path="/", *more, **options):
        """The response to a GET."""
        return self.response(self.request(fields(path, "GET", *more, **options)))

    def post(self, path, body, *more, size=FIRST_FRAME):
        return self.response(self.request(fields(path, "POST", *more), body, size=size))

    def send_body(self, stream, body, size=FIRST_FRAME, end=True):
        """DATA of so many bytes each, as the server's windows allow; what has no room any more is left out if the stream ends."""
        at, rest = 0, memoryview(body)
        while True:
            if at < len(rest):
                self.read(lambda: stream.over or min(self.send_window, stream.send_window) > 0, what="a window")
                if stream.over:
                    return
            room = min(size, self.send_window, stream.send_window, self.server_settings[MAX_FRAME])
            piece = bytes(rest[at:at + max(room, 0)])
            at += len(piece)
            self.send_data(stream, piece, end and at == len(rest))
            if at == len(rest):
                return

    def send_data(self, stream, data, end=False, padding=None):
        """One frame, window or not."""
        one = DataFrame(stream.number, data, **({} if padding is None else dict(pad_length=padding, flags=["PADDED"])))
        if end:
            one.flags.add("END_STREAM")
        for side in (self, stream):
            side.send_window -= len(data) + (0 if padding is None else padding + 1)
        self.send(one)

    def reset(self, stream, code=Code.CANCEL):
        self.send(RstStreamFrame(stream.number, code))
        stream.reset = code

    def grow(self, size, *streams):
        """Give window to the connection, or to these streams."""
        for each in streams or (self,):
            each.receive_window += size
        self.send(*[WindowUpdateFrame(0 if each is self else each.number, size) for each in streams or (self,)])

    # -- reading

    def read(self, holds, what, seconds=None):
        """Take frames until holds() is true; returns its value. The connection may end only where `holds` looks at `closed`."""
        deadline = time.monotonic() + limit(seconds or self.timeout)
        while not (value := holds()):
            if self.closed:
                raise Incomplete(f"the server has closed before {what}: {self.goaways}")
            if not self._take_one():
                left = deadline - time.monotonic()
                assert left > 0, f"not within {limit(seconds or self.timeout):g} s: {what}; {list(self.streams.values())[-3:]} {self.goaways}"
                self._receive(left)
        return value

    def read_for(self, seconds):
        """Take what comes in a time; returns the frames."""
        before, deadline = len(self.frames), time.monotonic() + seconds
        while not self.closed:
            if not self._take_one():
                if (left := deadline - time.monotonic()) <= 0:
                    break
                self._receive(left)
        return self.frames[before:]

    def response(self, stream, seconds=None):
        """The stream when it has ended, or was reset."""
        self.read(lambda: stream.over, f"the response on stream {stream.number}", seconds)
        return stream

    def responses(self, streams, seconds=None):
        return [self.response(stream, seconds) for stream in streams]

    def ping(self):
        """All that was sent before has been read by the server when this returns."""
        self.pings += 1
        data = struct.pack("!Q", self.pings)
        self.send(PingFrame(opaque_data=data))
        self.read(lambda: data in self.pongs, "the answer to a PING")

    def ready(self):
        """Until the server's SETTINGS are known and ours in force."""
        self.read(lambda: not self.unacknowledged and MAX_STREAMS in self.server_settings, "SETTINGS both ways")
        return self

    def goaway(self, seconds=None, count=1):
        """The last GOAWAY, once there are so many."""
        self.read(lambda: len(self.goaways) >= count, f"GOAWAY number {count}", seconds)
        return self.goaways[-1]

    def until_closed(self, seconds=None):
        self.read(lambda: self.closed, "the end of the connection", seconds)
        return True

    def outcome(self, stream):
        """What became of a stream, in words: a status, "reset CODE", "goaway CODE" of the whole connection, or "closed"."""
        self.read(lambda: self.closed or self.failed or (stream and stream.over), "an outcome", 5)
        if self.failed:
            return f"goaway {Code(self.failed.code).name}"
        if stream and stream.reset:
            return f"reset {Code(stream.reset).name}"
        return str(stream.status) if stream and stream.ended else "closed"

    @property
    def failed(self):
        """The GOAWAY that says what is wrong."""
        return next((each for each in self.goaways if each.code != Code.NO_ERROR), None)

    def _receive(self, seconds):
        self.wire.socket.settimeout(max(seconds, 0.001))
        try:
            data = self.wire.socket.recv(1 << 16)
        except (TimeoutError, ssl.SSLWantReadError):
            return
        except (ConnectionError, ssl.SSLError):
            data = b""
        finally:
            self.wire.socket.settimeout(limit(self.timeout))
        self.closed = not data
        self.unread += data

    def _take_one(self):
        """Take a whole frame; False if there is none."""
        if len(self.unread) < 9:
            return False
        assert not self.unread.startswith(b"HTTP/1."), f"the server speaks HTTP/1: {bytes(self.unread[:500])}"
        one, size = Frame.parse_frame_header(memoryview(bytes(self.unread[:9])))
        assert size <= max(self.settings[MAX_FRAME], FIRST_FRAME), f"a frame of {size} bytes"
        if len(self.unread) < 9 + size:
            return False
        payload = memoryview(bytes(self.unread[9:9 + size]))
        del self.unread[:9 + size]
        one.parse_body(payload)
        assert self.block is None or (isinstance(one, ContinuationFrame) and one.stream_id == self.block[0]), f"{one} within a block"
        self.frames.append(one)
        self._take(one, size)
        return True

    def _take(self, one, size):
        if isinstance(one, DataFrame):
            self._take_data(one, size)
        elif isinstance(one, (HeadersFrame, ContinuationFrame)):
            self._take_block(one)
        elif isinstance(one, RstStreamFrame):
            self._of_stream(one).reset = one.error_code
        elif isinstance(one, SettingsFrame):
            self._take_settings(one)
        elif isinstance(one, PingFrame):
            if "ACK" in one.flags:
                self.pongs.add(one.opaque_data)
            elif self.answers_pings:
                self.send(PingFrame(opaque_data=one.opaque_data, flags=["ACK"]))
        elif isinstance(one, GoAwayFrame):
            assert not self.goaways or one.last_stream_id <= self.goaways[-1].last_stream, "a GOAWAY with more streams than the one before"
            self.goaways.append(GoAway(one.last_stream_id, one.error_code, bytes(one.additional_data)))
        elif isinstance(one, WindowUpdateFrame):
            side = self._of_stream(one) if one.stream_id else self
            side.send_window += one.window_increment
            assert one.window_increment > 0 and side.send_window <= MAX_WINDOW, one
        else:
            assert not isinstance(one, PushPromiseFrame), one

    def _of_stream(self, one):
        assert one.stream_id in self.streams, f"{one} on a stream that was never opened"
        return self.streams[one.stream_id]

    def _take_data(self, one, size):
        stream = self._of_stream(one)
        assert stream.status and not stream.ended, f"{one} before a response or behind it"
        for side in (self, stream):
            side.receive_window -= size
            # With SETTINGS a window may become less than nothing; nobody may send then.
            assert side.receive_window >= 0 or not size, f"more than the window of {'the connection' if side is self else stream}: {side.receive_window}"
        stream.pieces.append(bytes(one.data))
        stream.ended = "END_STREAM" in one.flags
        if self.credit and size:
            self.grow(size, self, *([] if stream.over else [stream]))

    def _take_block(self, one):
        number, data, ends = self.block or (one.stream_id, b"", "END_STREAM" in one.flags)
        self.block = (number, data + bytes(one.data), ends)
        if "END_HEADERS" not in one.flags:
            return
        number, data, ends = self.block
        self.block = None
        found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.decoder.decode(data, raw=True)]
        stream = self._of_stream(one)
        assert not stream.ended, f"a block behind the end of {stream}"
        names = [name for name, _ in found]
        self.check(stream, found)
        if stream.status:
            assert ends and not any(name.startswith(":") for name in names), f"no trailers: {found}"
            stream.trailers = found
        else:
            assert names[0] == ":status" and not any(name.startswith(":") for name in names[1:]), found
            status = int(found[0][1])
            if status < 200:
                assert not ends and status != 101, found
                stream.interim.append((status, found[1:]))
                return
            stream.status, stream.headers = status, found[1:]
        stream.ended = ends

    def check(self, stream, found):
        """That HTTP/2 may have these fields (RFC 9113 section 8.2)."""
        assert not forbidden(found), found

    def _take_settings(self, one):
        if "ACK" not in one.flags:
            grown = one.settings.get(INITIAL_WINDOW, self.server_settings[INITIAL_WINDOW]) - self.server_settings[INITIAL_WINDOW]
            for stream in self.streams.values():
                stream.send_window += grown
            self.server_settings.setdefault(MAX_STREAMS, None)
            self.server_settings.update(one.settings)
            self.encoder.header_table_size = min(self.server_settings.get(TABLE_SIZE, 4096), 4096)
            if self.answers_settings:
                self.send(SettingsFrame(flags=["ACK"]))
            return
        assert self.unacknowledged, "an acknowledgement too many"
        new = self.unacknowledged.popleft()
        for stream in self.streams.values():
            stream.receive_window += new.get(INITIAL_WINDOW, self.settings[INITIAL_WINDOW]) - self.settings[INITIAL_WINDOW]
        self.settings.update(new)
        self.decoder.max_allowed_table_size = self.settings[TABLE_SIZE]
