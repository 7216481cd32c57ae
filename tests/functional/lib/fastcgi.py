"""FastCGI's servers for tests: a Backend whose connections speak records. Each request is an Asked; a reply is a list of records."""

import struct

from proxylib import Gone

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
RESPONDER, KEEP = 1, 1
HELLO = b"Content-Type: text/plain\r\n\r\nhello\n"


def record(kind, content=b"", padding=0, number=1, version=1):
    return struct.pack(">BBHHBB", version, kind, number, len(content), padding, 0) + content + bytes(padding)


def end(status=0):
    return record(END, struct.pack(">IBxxx", 0, status))


def said(text, padding=0, errors=b""):
    """All that a script says: its stdout in one record, its stderr before, and the ends."""
    return (record(STDERR, errors) if errors else b"") + record(STDOUT, text, padding) + record(STDOUT) + end()


class Asked:
    """A request, as its records have it."""

    def __init__(self, peer):
        self.peer, self.params, self.body, self.pairs, self.kinds = peer, {}, b"", [], []
        kind, begin = self.record()
        assert kind == BEGIN and begin[:2] == struct.pack(">H", RESPONDER), (kind, begin)
        self.keeps = bool(begin[2] & KEEP)
        self.pairs = list(pairs(self.stream(PARAMS)))
        self.params = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.pairs}
        peer.calls.append(self)
        peer.backend.calls.append(self)

    def record(self):
        version, kind, number, length, padding, zero = struct.unpack(">BBHHBB", self.peer.exactly(8))
        assert (version, number, zero) == (1, 1, 0), (version, number, zero)
        content = self.peer.exactly(length)
        assert not any(self.peer.exactly(padding))
        self.kinds.append(kind)
        return kind, content

    def stream(self, wanted):
        parts = []
        while True:
            kind, content = self.record()
            assert kind == wanted, (kind, wanted)
            if not content:
                return b"".join(parts)
            parts.append(content)

    def read_body(self):
        self.body = self.stream(STDIN)
        return self.body


def pairs(data):
    def length(at):
        if data[at] < 128:
            return data[at], at + 1
        return struct.unpack_from(">I", data, at)[0] & 0x7fffffff, at + 4
    at = 0
    while at < len(data):
        name, at = length(at)
        value, at = length(at)
        yield data[at:at + name], data[at + name:at + name + value]
        at += name + value
    assert at == len(data)


def script(reply=said(HELLO), read_body=True):
    """For Backend(script=...): what each request gets, bytes or a function of it (None: it has said all itself)."""
    def run(peer):
        while not peer.closed:
            asked = Asked(peer)
            if read_body:
                asked.read_body()
            answer = reply(asked) if callable(reply) else reply
            if answer is not None:
                peer.send(answer)
            if not asked.keeps:
                peer.close()
    return run


def nothing_more(peer):
    """Nothing comes before the connection ends."""
    try:
        peer.receive()
    except Gone:
        return True
    return False
