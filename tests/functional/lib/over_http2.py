"""A socket whose program speaks HTTP/1 and whose server gets HTTP/2: tests of what is the same over both need not know.

What is written has to be whole requests, one behind the other, and each becomes a stream; the responses are read in that
order, as HTTP/1 would have them. What HTTP/2 cannot say (an upgrade, a request that is no request) fails with Unsayable.
"""

import collections
import contextlib
import functools
import http
import re
import select
import socket
import ssl
import threading
import types
import weakref

from http2_client import FIRST_WINDOW, Client

# The PROXY protocol's header goes ahead of all else, as it is.
PROXY_LINE, PROXY_BINARY = b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"
OF_A_CONNECTION = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "host"}
CONNECTION_WINDOW = 1 << 30
MOST_STREAMS = 100  # at a time: fewer than http2_max_concurrent_streams lets be
WRITTEN_SO = {"etag": "ETag", "www-authenticate": "WWW-Authenticate"}


class Unsayable(AssertionError):
    """HTTP/2 has no words for it: the test is about HTTP/1."""


class Books(Client):
    """The connection's streams. What comes is taken at once, and windows are given back as it is read."""

    def __init__(self, plain):
        wire = types.SimpleNamespace(socket=plain, send=plain.sendall, close=plain.close)
        super().__init__(None, wire=wire, begin=False, credit=False)
        self.frames = collections.deque(maxlen=100)  # not all that there have ever been

    def take(self):
        """All that has come."""
        while not self.closed and (data := self._come()) is not None:
            self.closed = not data
            self.unread += data
            while self._take_one():
                pass

    def _come(self):
        timeout = self.wire.socket.gettimeout()
        self.wire.socket.settimeout(0)
        try:
            return self.wire.socket.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError:
            return b""
        finally:
            self.wire.socket.settimeout(timeout)


class Reader:
    """The thread that takes what comes on any connection: clients answer PING and see GOAWAY while their program does something else."""

    def __init__(self):
        self.poll, self.sockets, self.lock = select.epoll(), weakref.WeakValueDictionary(), threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    def add(self, translated):
        fd = translated.plain.fileno()
        with self.lock:
            self.sockets[fd] = translated
            self.poll.register(fd, select.EPOLLIN)

    def _run(self):
        while True:
            for fd, _ in self.poll.poll():
                translated = self.sockets.get(fd)
                if translated and translated.take(fd):
                    continue
                with self.lock, contextlib.suppress(OSError):
                    if self.sockets.get(fd) is translated:  # and no new one with its number
                        self.poll.unregister(fd)


reader = functools.cache(Reader)
wrong = []  # what a server has said that HTTP/2 does not allow


def take_wrong():
    found, wrong[:] = wrong[:], []
    return found


class Asked:
    """A request that was sent, and how much of its response has been told."""

    def __init__(self, stream, request):
        self.stream, self.method, self.closes, self.takes_chunks = stream, request.method, request.closes, request.version == "HTTP/1.1"
        self.interim, self.has_head, self.in_chunks = 0, False, False

    def tell(self, closes):
        """What of the response is there and has not been told, as HTTP/1 has it; whether that is its end; whether it is cut off."""
        stream, out = self.stream, []
        for status, fields in stream.interim[self.interim:]:
            self.interim += 1
            out.append(head(status, fields))
        if stream.status and not self.has_head:
            self.has_head = True
            bare = self.method == "HEAD" or stream.status in (204, 304)
            self.in_chunks = not bare and self.takes_chunks and stream.header("content-length") is None
            more = [("connection", "close" if self.closes or closes else "keep-alive"), *stream.headers]
            out.append(head(stream.status, [("transfer-encoding", "chunked")] * self.in_chunks + more))
        pieces, stream.pieces = stream.pieces, []
        for piece in pieces:
            out.append(b"%x\r\n%s\r\n" % (len(piece), piece) if self.in_chunks and piece else piece)
        if stream.ended and self.in_chunks:
            out.append(b"0\r\n" + lines(stream.trailers or []) + b"\r\n")
        return b"".join(out), stream.ended, stream.reset is not None and not stream.ended


def lines(fields):
    return "".join(f"{WRITTEN_SO.get(name, name.title())}: {value}\r\n" for name, value in fields).encode("latin-1")


def head(status, fields):
    known = {each.value: each.phrase for each in http.HTTPStatus}
    return f"HTTP/1.1 {status} {known.get(status, '')}\r\n".encode() + lines(fields) + b"\r\n"


class Request:
    """The head of a request of HTTP/1, read as HTTP/2 has it."""

    def __init__(self, text, scheme):
        line, *rest = text.decode("latin-1").split("\r\n")
        parts = line.split(" ")
        if len(parts) != 3 or not re.fullmatch(r"HTTP/1\.[01]", parts[2]) or "" in parts or parts[0] == "CONNECT":
            raise Unsayable(line)
        self.method, target, self.version = parts
        if any(":" not in each or each[0] in " \t" for each in rest):
            raise Unsayable(rest)
        found = [(name.lower(), value.strip(" \t")) for name, value in (each.split(":", 1) for each in rest)]
        hosts = [value for name, value in found if name == "host"]
        coding = [value.lower() for name, value in found if name == "transfer-encoding"]
        lengths = [value for name, value in found if name == "content-length"]
        says = ",".join(value.lower() for name, value in found if name == "connection")
        if len(hosts) > 1 or "upgrade" in says or len(coding) + len(lengths) > 1 or coding not in ([], ["chunked"]):
            raise Unsayable(text)
        if not all(value.isdigit() for value in lengths):
            raise Unsayable(text)
        self.is_chunked, self.length = bool(coding), int(lengths[0]) if lengths else 0
        self.closes = "close" in says or (self.version == "HTTP/1.0" and "keep-alive" not in says)
        absolute = re.match(r"(https?)://([^/?#]*)(.*)", target, re.S)
        authority, path = (absolute[2], absolute[3] or "/") if absolute else (hosts[0] if hosts else None, target)
        path = path if not path.startswith("?") else "/" + path
        left_out = OF_A_CONNECTION | {each.strip() for each in says.split(",")}
        self.fields = [(":method", self.method), (":scheme", scheme), (":path", path)]
        self.fields += [(":authority", authority)] if authority else []
        self.fields += [(name, value) for name, value in found if name not in left_out and not (name == "te" and value != "trailers")]
        self.fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.fields]


class Translated:
    """A connected socket, to its user; in place of the one that it takes over."""

    def __init__(self, plain):
        self.plain, self.timeout, self.lock = plain, plain.gettimeout(), threading.Condition()
        self.books, self.scheme = Books(plain), "https" if isinstance(plain, ssl.SSLSocket) else "http"
        self.has_begun, self.is_over = False, False
        self.written, self.at_work = bytearray(), None  # what is no whole head, or chunk, yet; whose body comes
        self.body_left = 0
        self.asked, self.told = collections.deque(), bytearray()
        reader().add(self)

    def __getattr__(self, name):
        return getattr(self.plain, name)

    def settimeout(self, seconds):
        self.timeout = seconds

    def gettimeout(self):
        return self.timeout

    def setblocking(self, blocks):
        self.timeout = None if blocks else 0

    def close(self):
        with self.lock:
            self.plain.close()
            self.books.closed = True
            self.lock.notify_all()

    def shutdown(self, how):
        socket.socket.shutdown(self.plain, how)

    # -- writing

    def sendall(self, data, flags=0):
        with self.lock:
            self.written += data
            if not self.has_begun and not self._begin():
                return
            while not self.is_over and self._send_next():  # at once: who is told to go away has not been heard yet
                pass

    def send(self, data, flags=0):
        self.sendall(data)
        return len(data)

    def _begin(self):
        """The preface, behind the PROXY protocol's header if there is one. False: that is not whole."""
        size = 0
        if self.written.startswith(PROXY_LINE):
            size = self.written.find(b"\r\n") + 2
        elif self.written.startswith(PROXY_BINARY):
            size = 16 + int.from_bytes(self.written[14:16], "big") if len(self.written) >= 16 else 1
        if size == 1 or size > len(self.written):
            return False
        self.books.send(bytes(self.written[:size]))
        del self.written[:size]
        self.has_begun = True
        self.books.begin()
        self.books.grow(CONNECTION_WINDOW)  # the streams have theirs
        return True

    def _send_next(self):
        """A step of what is written; False if it waits for more."""
        with self.lock:
            if self.at_work is None:
                self._wait(lambda: self.books.closed or sum(not each.stream.over for each in self.asked) < MOST_STREAMS)
                return self._send_head()
            size, ends, skip = self._next_of_body()
            if size is None:
                return False
            stream = self.asked_last.stream
            room = min(size, self.books.send_window, stream.send_window, 16384) if not stream.over else size
            if room > 0 or size == 0:
                self._send_piece(stream, room, ends and room == size, skip)
                return True
            self._wait(lambda: stream.over or self.books.closed or min(self.books.send_window, stream.send_window) > 0)
            return not self.books.closed

    def _send_head(self):
        while self.written.startswith(b"\r\n"):
            del self.written[:2]
        size = self.written.find(b"\r\n\r\n")
        if size < 0:
            return False
        request = Request(bytes(self.written[:size]), self.scheme)
        del self.written[:size + 4]
        has_body = request.is_chunked or request.length
        stream = self.books.request(request.fields, end=not has_body)
        self.asked_last = Asked(stream, request)
        self.asked.append(self.asked_last)
        self.at_work, self.body_left = (request if has_body else None), (None if request.is_chunked else request.length)
        return True

    def _next_of_body(self):
        """How much of the body lies there, whether that is its end, and how much of what is written goes with it beside."""
        if not self.at_work.is_chunked:
            size = min(len(self.written), self.body_left)
            return (size if size else None), size == self.body_left, 0
        if self.body_left is None:  # a chunk's first line
            end = self.written.find(b"\r\n")
            if end < 0:
                return None, False, 0
            size = int(self.written[:end].split(b";")[0], 16)
            if size == 0:
                return self._trailers(end + 2)
            del self.written[:end + 2]
            self.body_left = size
        size = min(len(self.written), self.body_left)
        if size == self.body_left and len(self.written) < size + 2:
            size -= 1  # until the line's end is there, too
        return (size if size > 0 else None), False, 2 if size == self.body_left else 0

    def _trailers(self, at):
        end = self.written.find(b"\r\n\r\n", at - 2)
        if end < 0:
            return None, False, 0
        text = bytes(self.written[at:end]).decode("latin-1")
        self.trailers = [(name.lower(), value.strip()) for name, _, value in (each.partition(":") for each in text.split("\r\n") if each)]
        return 0, True, end + 4

    def _send_piece(self, stream, size, ends, skip):
        piece = bytes(self.written[:size])
        del self.written[:size]
        if self.body_left is not None:
            self.body_left -= size
        trailers = self.trailers if ends and self.at_work.is_chunked else None
        if not stream.over:
            if piece or not trailers:
                self.books.send_data(stream, piece, end=ends and not trailers)
            if trailers:
                self.books.send(*self.books.head_frames(stream, trailers))
        if ends or (skip and self.body_left == 0):
            del self.written[:skip]
            self.body_left = None
        if ends:
            self.at_work = None

    # -- reading

    def recv(self, size, flags=0):
        with self.lock:
            self._wait(self._has_told)
            data = bytes(self.told[:size])
            if not flags & socket.MSG_PEEK:
                del self.told[:size]
            return data

    def recv_into(self, buffer, size=0, flags=0):
        data = self.recv(size or len(buffer), flags)
        buffer[:len(data)] = data
        return len(data)

    def _has_told(self):
        """Whether something is there to be read, or the end."""
        goaways = self.books.goaways
        while not self.told and self.asked and not self.is_over:
            one = self.asked[0]
            data, ended, is_cut = one.tell(bool(goaways))
            self.told += data
            if one.stream.receive_window < FIRST_WINDOW and not one.stream.over and not self.books.closed:
                self.books.grow(FIRST_WINDOW - one.stream.receive_window, one.stream)
            if ended:
                self.asked.popleft()
                self.is_over = one.closes
            elif is_cut or (goaways and one.stream.number > goaways[-1].last_stream):
                self.is_over = True
            else:
                break
        if not self.told and (self.books.closed or (goaways and not self.asked and self.at_work is None)):
            self.is_over = True
        return self.told or self.is_over

    def _wait(self, holds):
        """Until that is so; with the lock."""
        if not self.lock.wait_for(holds, self.timeout):
            raise BlockingIOError if self.timeout == 0 else TimeoutError("timed out")

    def take(self, fd):
        """What has come; False once nothing more can. In the reader's thread."""
        with self.lock:
            if self.plain.fileno() != fd:
                return False
            try:
                self.books.take()
            except Exception as error:  # an answer that HTTP/2 does not allow: the test ends with it
                wrong.append(repr(error))
                self.books.closed = True
            self.lock.notify_all()
            return not self.books.closed
