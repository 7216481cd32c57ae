"""What the tests of proxy_pass share: backends under their control, which may misbehave, and servers before them.

A Backend listens on a port or a socket path and has one thread for each connection. `reply` is what each request
gets: bytes, or a function of the Call that returns bytes (None: it has said all itself, with call.send, close, reset).
`script` takes a whole connection instead. Everything that came is in `calls`, every connection in `peers`.
"""

import hashlib
import os
import re
import socket
import struct
import threading

import pytest

from weirlib import Connection, config, limit, take_time, wait_until

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}


# What a connect to a socket that is not there leaves in the log.
NO_SOCKET = r"connect\(\) to unix:\S+none\.sock failed \(2: No such file or directory\)"


class Gone(Exception):
    """weir has closed the connection."""


def answer(body=b"hello", *fields, status="200 OK", length=True, version="1.1"):
    """The bytes of an answer with Content-Length (unless length is False)."""
    lines = [f"HTTP/{version} {status}", *fields, *([f"Content-Length: {len(body)}"] if length else [])]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


# Answers that have begun and are not whole.
HALVES = {"length": answer(b"hello")[:-2], "chunks": CHUNKS + b"5\r\nhel", "close": answer(b"hello", length=False)}


class Call:
    """One request as the backend has seen it."""

    def __init__(self, peer, head):
        self.peer = peer
        self.head = head
        line, *rest = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = line.split(" ")
        self.headers = [tuple(each.split(": ", 1)) for each in rest]
        self.body = b""
        self.send, self.close, self.reset = peer.send, peer.close, peer.reset

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name, default=None):
        return next(iter(self.all(name)), default)

    def read_body(self):
        """The body by its Content-Length; weir never sends chunks."""
        assert not self.all("Transfer-Encoding"), self.headers
        self.body = self.peer.exactly(int(self.header("Content-Length", "0")))
        return self.body


class Peer:
    """A connection that weir has made."""

    def __init__(self, backend, taken):
        self.backend, self.socket, self.unread, self.calls, self.closed = backend, taken, b"", [], False
        self.gone = threading.Event()  # weir has closed, or reset
        self.socket.settimeout(limit(30))
        if taken.family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self):
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.gone.set()
            raise Gone
        self.unread += data

    def exactly(self, count):
        pieces = [self.unread[:count]]
        self.unread, missing = self.unread[count:], count - len(pieces[0])
        while missing:
            self.receive()
            pieces.append(self.unread[:missing])
            self.unread, missing = self.unread[missing:], missing - len(pieces[-1])
        return b"".join(pieces)

    def call(self, body=True):
        """The next request."""
        while b"\r\n\r\n" not in self.unread:
            self.receive()
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        call = Call(self, head)
        self.calls.append(call)
        if body:
            call.read_body()
        self.backend.calls.append(call)
        return call

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.gone.set()
            raise Gone from None

    def send_slowly(self, data, pause=0.0, step=1):
        """Piece by piece, each in a segment of its own."""
        for i in range(0, len(data), step):
            self.send(data[i:i + step])
            take_time(pause)

    def wait_gone(self):
        """Read until weir closes."""
        while True:
            self.receive()

    def close(self):
        self.closed = True
        self.socket.close()

    def reset(self):
        """Close with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class Backend:
    def __init__(self, reply=answer(), *, script=None, path=None, port=0, read_body=True, backlog=128, room=None,
                 tls=None):
        """tls: a server's ssl.SSLContext; handshakes that fail are in `refused`."""
        self.tls, self.refused = tls, []
        self.reply, self.script, self.read_body = reply, script, read_body
        self.calls, self.peers, self.errors = [], [], []
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if room:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.listener.bind(str(path) if path else ("127.0.0.1", port))
        self.listener.listen(backlog)
        self.port = None if path else self.listener.getsockname()[1]
        self.address = f"unix:{path}" if path else f"127.0.0.1:{self.port}"
        if path:
            path.chmod(0o777)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    accepts = property(lambda self: len(self.peers))

    def _accept(self):
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            peer = Peer(self, taken)
            self.peers.append(peer)
            threading.Thread(target=self._run, args=[peer], daemon=True).start()

    def _run(self, peer):
        try:
            if self.tls and not self._shake_hands(peer):
                return
            (self.script or self._serve)(peer)
        except Gone:
            pass
        except Exception as error:  # shown by the fixture
            self.errors.append(repr(error))
        finally:
            if not peer.closed:
                peer.close()

    def _shake_hands(self, peer):
        try:
            peer.socket = self.tls.wrap_socket(peer.socket, server_side=True)
        except OSError as error:
            self.refused.append(error)
            peer.gone.set()
            return False
        return True

    def _serve(self, peer):
        while not peer.closed:
            call = peer.call(self.read_body)
            said = self.reply(call) if callable(self.reply) else self.reply
            if said is not None:
                if call.method == "HEAD":
                    said = said[:said.index(b"\r\n\r\n") + 4]
                peer.send(said)

    @property
    def call(self):
        """The last request."""
        return wait_until(lambda: self.calls, 3, "a request at the backend")[-1]

    def stop(self):
        """Nobody listens any more; open connections stay."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self):
        try:
            self.stop()
        except OSError:
            pass
        for peer in self.peers:
            try:
                peer.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.fixture
def backend():
    """Makes backends; each is closed when the test ends, and their threads' errors are the test's."""
    made = []

    def make(*args, **options):
        made.append(Backend(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
    errors = [error for each in made for error in each.errors]
    assert not errors, errors


def upstream(*servers, name="up", more=""):
    """An upstream block; each server is a Backend, or a text."""
    lines = "".join(f"server {each if isinstance(each, str) else each.address}; " for each in servers)
    return f"upstream {name} {{ {lines} {more} }}\n"


def passed(weir, to, more="", *, location="/", uri="", http="", server="", **parts):
    """Start a server that passes everything on to a Backend, or to the upstream of that name."""
    host = to if isinstance(to, str) else to.address
    colon = ":" if uri and host.startswith("unix:") else ""
    weir.start(config(f"location {location} {{ proxy_pass http://{host}{colon}{uri}; {more} }}", http=http,
                      server="client_max_body_size 100m;" + server, **parts))
    return weir


def raw_answer(port, request, timeout=10):
    """Every byte that comes back for these bytes, until the connection ends."""
    with Connection(port, timeout) as connection:
        connection.send(request)
        return connection.until_close()


def get(target="/", *fields):
    """The bytes of a last GET."""
    lines = [f"GET {target} HTTP/1.1", "Host: a", "Connection: close", *fields]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n"


def read_until(client, mark):
    """What a client gets up to the mark."""
    seen = b""
    while mark not in seen:
        data = client.socket.recv(1 << 16)
        assert data, seen
        seen += data
    return seen


def narrow(port, timeout=10):
    """A client connection that takes few bytes before it is read, so that weir has to keep the rest."""
    return Connection(port, timeout, options=[(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536), (socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)])


def is_whole(raw):
    """Whether a client would take these bytes for a complete answer with a length or chunks."""
    head, mark, body = raw.partition(b"\r\n\r\n")
    if not mark:
        return False
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    if length:
        return len(body) >= int(length[1])
    assert re.search(rb"\r\ntransfer-encoding: *chunked", head, re.I), head
    return body.endswith(b"0\r\n\r\n")


def silent_port():
    """A listener whose queue is full, so that connecting to it gets no answer; returns what must be kept open."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    kept = [listener]
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        kept.append(filler)
    waiting = struct.Struct("24x I")  # of the tcp_info of a listener: how many connections its queue has
    wait_until(lambda: waiting.unpack(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, waiting.size))[0], 3, "a full queue")
    return listener.getsockname()[1], kept


def rss_bytes(pid):
    """The private memory of a process."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        text = file.read()
    return sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB", text, re.M)) * 1024


def worker(weir):
    """The pid of the only worker."""
    return next(iter(weir.worker_pids()))


# ---- bodies -------------------------------------------------------------------------------------------------

def noise(size):
    return os.urandom(1 << 16) * (size >> 16) + os.urandom(size & 0xffff)


def digest(data):
    return hashlib.sha1(data).hexdigest()


def chunk_line(peer):
    """A line of a request's chunked body."""
    while b"\r\n" not in peer.unread:
        peer.receive()
    text, peer.unread = peer.unread.split(b"\r\n", 1)
    return text


def whole_body(call):
    """The body by whichever framing weir has chosen, and nothing behind it."""
    if not call.all("Transfer-Encoding"):
        return call.peer.exactly(int(call.header("Content-Length", "0")))
    assert call.all("Transfer-Encoding") == ["chunked"] and not call.all("Content-Length")
    pieces = []
    while (size := int(chunk_line(call.peer), 16)):
        pieces.append(call.peer.exactly(size))
        assert chunk_line(call.peer) == b""
    assert chunk_line(call.peer) == b""
    return b"".join(pieces)


def digesting(call):
    """A reply: the digest of the body, and how it was framed."""
    call.body = whole_body(call)
    framing = "chunked" if call.all("Transfer-Encoding") else "length"
    return answer(digest(call.body).encode(), "X-Framing: " + framing)
