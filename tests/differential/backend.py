"""The backend of both servers: it answers what a case says, and keeps every byte that it was sent."""

import re
import socket
import threading

import fastcgi

from sides import BACKEND_NET, number_of

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.I)
DEFAULT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"
CLIENT_HELLO = 0x16  # the first byte of a record with it (RFC 8446, 5.1)


class Peer:
    """A connection on which records of FastCGI are read, with what has come of them already."""

    def __init__(self, taken, data):
        self.taken, self.data, self.calls, self.backend = taken, data, [], self

    def exactly(self, count):
        while len(self.data) < count:
            piece = self.taken.recv(1 << 16)
            if not piece:
                raise ConnectionError
            self.data += piece
        found, self.data = self.data[:count], self.data[count:]
        return found


class Backend:
    """Listens on all of 127.0.0.0/8: the address that was asked tells who asks for which case."""

    def __init__(self, port, cases, handshakes=None):
        self.handshakes = handshakes
        self.shaken = {}  # (side, case number) -> [a line about each handshake]
        self.cases = {case.number: case for case in cases}
        for case in cases:
            case.strayed = {side: threading.Event() for side in BACKEND_NET}
        self.seen = {}  # (side, case number) -> [bytes of each request]
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("0.0.0.0", port))
        self.listener.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=[taken], daemon=True).start()

    def _run(self, taken):
        net = int(taken.getsockname()[0].split(".")[1])
        side = next((name for name, number in BACKEND_NET.items() if number == net), None)
        number = number_of(taken.getsockname()[0])
        case, seen = self.cases.get(number), self.seen.setdefault((side, number), [])
        taken.settimeout(20)
        if case and case.secure:
            taken, line = self.handshakes.accept(taken, case.secure)
            self.shaken.setdefault((side, number), []).append(line)
            if not taken:
                return
        try:
            with taken:
                if case:
                    while self._exchange(taken, case, seen):
                        if case.stray and not case.strayed[side].is_set():
                            taken.sendall(case.stray)
                            case.strayed[side].set()
        except OSError:
            pass

    def _exchange(self, taken, case, seen):
        """One request and its answer; returns whether the connection stays."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = taken.recv(1 << 16)
            if not piece:
                if data:
                    seen.append(data)
                return False
            data += piece
            if data[0] == 1:
                return self._script(taken, case, seen, data)
            if data[0] == CLIENT_HELLO:  # which no case's plain backend knows
                taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return False
        head, _, body = data.partition(b"\r\n\r\n")
        place = len(seen)
        seen.append(data)  # in the order in which heads come: a body may never be whole
        body = self._body(taken, head, body)
        seen[place] = head + b"\r\n\r\n" + body
        answer = case.answer_of(head, body)
        if answer is None:
            return False
        said, stays = answer
        if head.startswith(b"HEAD "):
            said = said[:said.index(b"\r\n\r\n") + 4] if b"\r\n\r\n" in said else said
        taken.sendall(said)
        return stays

    def _script(self, taken, case, seen, data):
        """The same of FastCGI: its parameters stand in the place of a head, and what is said is a script's."""
        asked = fastcgi.Asked(Peer(taken, data))
        body = asked.read_body()
        target = asked.params.get("REQUEST_URI", "/").encode("latin-1")
        head = b"\r\n".join([b"%s %s FastCGI" % (b"KEEP" if asked.keeps else b"CLOSE", target), *(name + b": " + value for name, value in asked.pairs)])
        seen.append(head + b"\r\n\r\n" + body)
        answer = case.answer_of(head, body)
        if answer is None:
            return False
        errors, _, said = answer[0].rpartition(b"\0STDERR\0")
        records = [fastcgi.record(fastcgi.STDERR, errors)] if errors else []
        records += [fastcgi.record(fastcgi.STDOUT, said[at:at + 30000]) for at in range(0, len(said), 30000)]
        taken.sendall(b"".join(records) + fastcgi.record(fastcgi.STDOUT) + fastcgi.end())
        return asked.keeps

    def _body(self, taken, head, body):
        length = LENGTH.search(head)
        if length:
            while len(body) < int(length[1]):
                piece = taken.recv(1 << 16)
                if not piece:
                    break
                body += piece
        elif re.search(rb"\r\ntransfer-encoding:[ \t]*chunked", head, re.I):
            while not body.endswith(b"0\r\n\r\n"):
                piece = taken.recv(1 << 16)
                if not piece:
                    break
                body += piece
        return body
