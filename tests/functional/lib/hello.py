"""A client's first words in TLS by their bytes (RFC 5246, RFC 8446), so that anything can be offered; and what a server answers."""

import dataclasses
import os
import socket
import struct

from weirlib import limit

SSL3, TLS10, TLS11, TLS12, TLS13 = range(0x300, 0x305)
ALERTS = {40: "handshake failure", 47: "illegal parameter", 50: "decode error", 70: "protocol version", 86: "inappropriate fallback"}
SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE = 2, 11, 12, 14
GROUPS, SIGNATURES, VERSIONS, KEY_SHARE = 10, 13, 43, 51
USUAL_GROUPS = (29, 23, 24)  # X25519, P-256, P-384
USUAL_SIGNATURES = (0x403, 0x503, 0x603, 0x804, 0x805, 0x806, 0x401, 0x501, 0x601)
USUAL_CIPHERS = (0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030)


def counted(data, bytes_of_length):
    return len(data).to_bytes(bytes_of_length, "big") + data


def numbers(values):
    return b"".join(struct.pack("!H", value) for value in values)


def hello(version=TLS12, ciphers=USUAL_CIPHERS, groups=USUAL_GROUPS, signatures=USUAL_SIGNATURES, compression=b"\0", more=()):
    """TLS 1.3 is offered alone, without a share of a key: the server asks for one of the group that it takes. more: (number, data) of extensions."""
    extensions = [(0, counted(b"\0" + counted(b"localhost", 2), 2)), (11, b"\1\0"),
                  (GROUPS, counted(numbers(groups), 2)), (SIGNATURES, counted(numbers(signatures), 2)), *more]
    if version >= TLS13:
        extensions += [(VERSIONS, counted(numbers([version]), 1)), (KEY_SHARE, counted(b"", 2))]
    body = numbers([min(version, TLS12)]) + os.urandom(32) + counted(b"", 1) + counted(numbers(ciphers), 2) + counted(compression, 1)
    if version > SSL3:
        body += counted(b"".join(numbers([number]) + counted(data, 2) for number, data in extensions), 2)
    message = b"\1" + counted(body, 3)
    return b"".join(b"\x16\3\1" + counted(message[i:i + 16384], 2) for i in range(0, len(message), 16384))


@dataclasses.dataclass
class Answer:
    """What of it is not None has been said; by a server that refuses, only the alert; by one that just closes, nothing."""
    alert: str = None
    version: int = None
    random: bytes = None
    cipher: int = None
    compression: int = None
    extensions: dict = None
    group: int = None
    signature: int = None

    def take(self, kind, body):
        if kind == SERVER_HELLO:
            self.version, self.random, at = int.from_bytes(body[:2], "big"), body[2:34], 35 + body[34]
            self.cipher, self.compression, self.extensions = *struct.unpack_from("!HB", body, at), {}
            at += 5
            while at < len(body):
                number, size = struct.unpack_from("!HH", body, at)
                self.extensions[number] = body[at + 4:at + 4 + size]
                at += 4 + size
            if VERSIONS in self.extensions:
                self.version, self.group = (int.from_bytes(self.extensions[number][:2], "big") for number in (VERSIONS, KEY_SHARE))
        elif kind == SERVER_KEY_EXCHANGE and body[0] == 3:  # a curve that has a name
            self.group, at = int.from_bytes(body[1:3], "big"), 4 + body[3]
            self.signature = int.from_bytes(body[at:at + 2], "big")

    @property
    def is_whole(self):
        return self.version == TLS13


def ask(port, words):
    """The server's answer to a hello, up to where the client would have to go on."""
    answer, records, messages = Answer(), b"", b""
    with socket.create_connection(("127.0.0.1", port), limit(10)) as plain:
        plain.sendall(words)
        while True:
            while len(records) >= 5 and len(records) >= 5 + int.from_bytes(records[3:5], "big"):
                size = int.from_bytes(records[3:5], "big")
                kind, data, records = records[0], records[5:5 + size], records[5 + size:]
                if kind == 21:
                    answer.alert = ALERTS.get(data[1], data[1])
                    return answer
                messages += data if kind == 22 else b""
            while len(messages) >= 4 and len(messages) >= 4 + int.from_bytes(messages[1:4], "big"):
                size = int.from_bytes(messages[1:4], "big")
                kind, body, messages = messages[0], messages[4:4 + size], messages[4 + size:]
                answer.take(kind, body)
                if kind == SERVER_HELLO_DONE or answer.is_whole:
                    return answer
            try:
                data = plain.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return answer
            records += data


def all_taken(port, field, argument, without=(), **offer):
    """Of all 65536 numbers that may be offered as `argument`, those that the server takes: its best, the best without that, and so on."""
    taken = []
    for first in range(0, 0x10000, 0x1000):
        offered = [number for number in range(first, first + 0x1000) if number not in without]
        while (answer := ask(port, hello(**{argument: offered}, **offer))).alert is None:
            found = getattr(answer, field)
            assert found in offered, answer
            taken.append(found)
            offered.remove(found)
        assert answer.alert == "handshake failure", (hex(first), answer)
    return set(taken)
