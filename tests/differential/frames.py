"""HTTP/2, as cases speak it: requests as streams of a session, and what came of them as answers like those of HTTP/1."""

import dataclasses
import re
import time

import http2_client
import sides
from compare import Answer, Exchange
from weirlib import Incomplete

HEAD = 9  # bytes of a frame's head
ONE_CONNECTION = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "http2-settings"}


@dataclasses.dataclass
class Stream:
    """A request. Names of fields go out in lower case unless it is exact."""

    fields: tuple  # pairs, the pseudo-fields among them
    body: bytes | None = None
    trailers: tuple | None = None
    ends: bool = True  # if not, the client never says that this was all
    piece: int = 16384  # bytes of the body in a frame
    pause: float = 0  # seconds between the head and the rest
    resets: bool = False  # the client does, once it has sent what it has
    waits: bool = True  # for the answer, before the next one begins
    exact: bool = False

    @property
    def method(self):
        return dict(self.fields).get(":method", "GET")

    @property
    def name(self):
        """As it would read in HTTP/1, so that rows find what they are about."""
        found = dict(self.fields)
        lines = [f"{found.get(':method')} {found.get(':path')} HTTP/2.0"]
        known = ":method", ":path", *([":scheme"] if found.get(":scheme") in ("http", "https") else [])
        lines += [f"{'Host' if name == ':authority' else name}: {value}" for name, value in self.fields if name not in known]
        return "|".join(lines)[:160] + "||" + ("" if self.body is None else f"{len(self.body)} bytes {self.body[:9].decode('latin-1')}")


@dataclasses.dataclass
class Session:
    """Streams on one connection. patience: seconds for each."""

    streams: tuple
    client: str = "127.0.0.1"
    patience: float = 3.0
    tls: object = None
    settings: dict = dataclasses.field(default_factory=dict)
    goes_on: bool = False  # on the connection of the case's request before, if there is one
    lingers: float = 0  # seconds for the server to close, once all is over
    credit: bool = True  # windows are given back
    pause: float = 0  # seconds before the first stream
    after_stray: bool = False

    @property
    def name(self):
        text = " & ".join(each.name for each in self.streams).encode("unicode_escape").decode()
        return f"{self.tls}: {text}" if self.tls else text

    methods = property(lambda self: tuple(each.method for each in self.streams))

    def filled(self, fill):
        """The session with a case's names in its fields."""
        streams = [dataclasses.replace(each, fields=tuple((name, fill(value)) for name, value in each.fields)) for each in self.streams]
        return dataclasses.replace(self, streams=tuple(streams))

    def goes_on_from(self, frames):
        return self.goes_on and frames is not None and frames.is_open and frames.client == self.client


def talk(target="/", *lines, method="GET", body=None, host="h.test", scheme="http", length=True, trailers=None, ends=True, piece=16384,
         pause=0, resets=False, waits=True, exact=False, **more):
    """One request on a connection of its own, with a Content-Length if there is a body and length is not False."""
    pseudo = ((":method", method), (":scheme", scheme), (":authority", host), (":path", target))
    pairs = [(name, value.strip(" ")) for name, value in (line.split(":", 1) for line in lines)]
    body = body.encode() if isinstance(body, str) else body
    if body is not None and length:
        pairs.append(("Content-Length", str(len(body) if length is True else length)))
    fields = tuple(pair for pair in pseudo if pair[1] is not None) + tuple(pairs)
    return Session((Stream(fields, body, trailers, ends, piece, pause, resets, waits, exact),), **more)


def raw(*pairs, body=None, **more):
    """These fields as they are."""
    return Session((Stream(tuple(pairs), body, exact=True),), **more)


def together(*sessions, **more):
    """Their streams on one connection."""
    return Session(sum((each.streams for each in sessions), ()), **more)


def at_once(*sessions, **more):
    """The same, all before the first answer is awaited."""
    streams = [dataclasses.replace(stream, waits=False) for each in sessions for stream in each.streams]
    return Session(tuple(streams), **more)


REQUEST = re.compile(r"([A-Z]+) (/\S*) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n(.*)", re.S)


def translated(request, **more):
    """A request of HTTP/1 as one of HTTP/2, or None where it could not be the same."""
    found = REQUEST.fullmatch(request.raw.decode("latin-1"))
    if not found or len(request.methods) != 1 or request.tls or "#" in found[2]:
        return None
    pairs = [tuple(line.split(":", 1)) for line in found[3].split("\r\n")[:-1] if ":" in line]
    names = [name.lower() for name, _ in pairs]
    left = [(name, value.strip(" ")) for name, value in pairs if name.lower() not in ("host", "connection")]
    if (names.count("host") != 1 or len(pairs) != found[3].count("\r\n") or set(names) & (ONE_CONNECTION - {"connection"})
            or any(value != value.strip("\t") or not re.fullmatch("[!#$%&'*+.^_`|~0-9a-zA-Z-]+", name) for name, value in left)
            or any(name == "Connection" and value.strip() not in ("close", "keep-alive") for name, value in pairs)
            or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", found[3].replace("\r\n", ""))):
        return None
    host = next(value.strip(" ") for name, value in pairs if name.lower() == "host")
    body = found[4].encode("latin-1")
    length = next((value for name, value in left if name.lower() == "content-length"), None)
    if length is not None and length != str(len(body)) or not length and body or not re.fullmatch(r"[a-zA-Z0-9.:_-]+", host):
        return None
    fields = ((":method", found[1]), (":scheme", "http"), (":authority", host), (":path", found[2]), *left)
    return Session((Stream(fields, body if length else None),), client=request.client, patience=request.patience, goes_on=True,
                   after_stray=request.after_stray, **more)


class Peer(http2_client.Client):
    """One that only notes fields that HTTP/2 does not have."""

    def __init__(self, connection, session):
        self.forbidden = {}  # stream -> fields
        super().__init__(None, wire=Wire(connection), settings=session.settings, credit=session.credit)

    def check(self, stream, found):
        self.forbidden.setdefault(stream, []).extend(http2_client.forbidden(found))


class Frames:
    """A connection, and what came on it."""

    def __init__(self, connection, session):
        self.wire, self.client = connection, session.client
        self.peer = Peer(connection, session)
        self.broken = None  # a rule that the server has broken

    def close(self):
        self.peer.close()

    is_open = property(lambda self: not (self.peer.closed or self.peer.goaways or self.broken))

    def exchange(self, session):
        """The Exchange of a session's streams."""
        begun, patience = [], session.patience * sides.SLOW
        try:
            self._until(lambda: False, session.pause)
            for each in session.streams:
                begun.append(self._begin(each, patience))
                if each.waits and not each.resets and each.ends:
                    self._until(lambda: begun[-1].over, patience)
            for stream, each in zip(begun, session.streams):
                self._until(lambda: stream.over, patience)
            end = self._end(session, patience)
        except Incomplete as error:
            end = f"closed: {error}"
        except AssertionError as error:
            self.broken = str(error)
            end = f"broken: {error}"
        return Exchange(b"", end, answers=[answer for stream, each in zip(begun, session.streams) for answer in self._answers(stream, each)])

    def _until(self, holds, seconds):
        """Take frames until that is so, the time is over, or the connection."""
        deadline = time.monotonic() + seconds
        while not holds() and not self.peer.closed and (left := deadline - time.monotonic()) > 0:
            if not self.peer._take_one():
                self.peer._receive(left)

    def _begin(self, each, patience):
        pairs = [(name if each.exact else name.lower(), value.encode("latin-1")) for name, value in each.fields]
        peer, rest = self.peer, each.body is not None or each.trailers is not None or not each.ends
        stream = peer.open()
        peer.send(*peer.head_frames(stream, [(name.encode("latin-1"), value) for name, value in pairs], not rest))
        self._until(lambda: False, each.pause)
        if each.body is not None and not stream.over:
            self._until(lambda: peer.server_settings.get(http2_client.MAX_STREAMS) or stream.over, patience)
            peer.send_body(stream, each.body, each.piece, each.ends and each.trailers is None)
        if each.trailers is not None and not stream.over:
            peer.send(*peer.head_frames(stream, list(each.trailers), each.ends))
        if each.resets:
            peer.reset(stream)
        return stream

    def _end(self, session, patience):
        """How it stands with the connection."""
        peer = self.peer
        if not session.goes_on and not session.lingers and not peer.goaways and not peer.closed:
            before = len(peer.pongs)
            peer.pings += 1
            peer.send(http2_client.PingFrame(opaque_data=b"%08d" % peer.pings))
            self._until(lambda: len(peer.pongs) > before, patience)
        self._until(lambda: False, session.lingers * sides.SLOW)
        if peer.goaways:
            self._until(lambda: False, patience)
        said = [f"goaway {http2_client.Code(each.code).name} {each.last_stream}" for each in peer.goaways]
        return ", ".join([*said, "closed" if peer.closed else "open"])

    def _answers(self, stream, each):
        """The answers of a stream, interim ones too."""
        mine = [one for one in self.peer.frames if one.stream_id == stream.number]
        data = [one for one in mine if isinstance(one, http2_client.DataFrame)]
        heads = [one for one in mine if isinstance(one, (http2_client.HeadersFrame, http2_client.ContinuationFrame))]
        wire_head = sum(HEAD + one.body_len for one in heads) + HEAD * len(data)
        for status, fields in stream.interim:
            yield Answer(b"HTTP/2.0 %d" % status, encoded(fields), b"", 0, 0)
        how = f"reset {http2_client.Code(stream.reset).name}" if stream.reset is not None else "" if stream.ended else "unfinished"
        if stream.ended and stream.reset == http2_client.Code.NO_ERROR and each.ends:
            how = ""  # what was sent had not all come yet when the answer was out
        if stream.status is None:
            yield Answer(f"HTTP/2.0 {how}".encode(), [], b"", 0, 0)
            return
        body = stream.body
        if stream.trailers is not None:
            body += b"\ntrailers: " + b"|".join(b"%s: %s" % pair for pair in encoded(stream.trailers))
        # By whom it was: neither side's is like the other's.
        broken = [("forbidden", f"{sides.side_of(self.wire.getpeername()[0])}: {pair}") for pair in self.peer.forbidden.get(stream, [])]
        yield Answer(b"HTTP/2.0 %d" % stream.status, encoded(stream.headers + broken), body + (b"\n" + how.encode() if how else b""),
                     wire_head, len(stream.body))


def encoded(fields):
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


class Wire:
    """A connection as http2_client takes it."""

    def __init__(self, connection):
        self.socket = connection

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()
