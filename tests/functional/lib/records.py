"""A client of TLS whose records are in the test's hands: what it sends is cut, or sealed as no library would send it.

The library shakes hands over memory; the keys that its key log tells of seal whatever a test wants after that (RFC 5246 section 6.2.3.3 with
RFC 5288 section 3, RFC 8446 section 5.2). Once a test has sealed a record itself the library cannot send any more, only read.
"""

import contextlib
import ctypes
import ctypes.util
import hashlib
import hmac
import pathlib
import socket
import ssl
import tempfile
import threading
import time

from tlslib import V12, V13
from weirlib import limit, take_time

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
KEY_UPDATE, KEY_UPDATE_REQUESTED = b"\x18\0\0\1\0", b"\x18\0\0\1\1"
GET = b"GET /says HTTP/1.1\r\nHost: localhost\r\n\r\n"

_crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_256_gcm"):
    getattr(_crypto, _name).restype = ctypes.c_void_p
_keys = tempfile.TemporaryDirectory(prefix="weir-test-keys-")
_GET_TAG, _TAG_BYTES = 0x10, 16


class _Gcm:
    def __init__(self, key):
        self.context = ctypes.c_void_p(_crypto.EVP_CIPHER_CTX_new())
        self.out, self.len = ctypes.create_string_buffer(1 << 15), ctypes.c_int()
        self.use(key)

    def __del__(self):
        _crypto.EVP_CIPHER_CTX_free(self.context)

    def use(self, key):
        cipher = _crypto.EVP_aes_128_gcm() if len(key) == 16 else _crypto.EVP_aes_256_gcm()
        assert _crypto.EVP_EncryptInit_ex(self.context, ctypes.c_void_p(cipher), None, key, None) == 1

    def seal(self, nonce, head, data):
        _crypto.EVP_EncryptInit_ex(self.context, None, None, None, nonce)
        _crypto.EVP_EncryptUpdate(self.context, None, ctypes.byref(self.len), head, len(head))
        _crypto.EVP_EncryptUpdate(self.context, self.out, ctypes.byref(self.len), data, len(data))
        sealed = self.out.raw[:len(data)] if len(data) > 64 else self.out[:len(data)]
        _crypto.EVP_EncryptFinal_ex(self.context, self.out, ctypes.byref(self.len))
        assert _crypto.EVP_CIPHER_CTX_ctrl(self.context, _GET_TAG, _TAG_BYTES, self.out) == 1
        return sealed + self.out[:_TAG_BYTES]


def _expand(secret, label, length):
    """HKDF-Expand-Label of RFC 8446, section 7.1, as far as one block goes."""
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0\1"
    return hmac.digest(secret, info, _hash_of(secret))[:length]


def _hash_of(secret):
    return "sha256" if len(secret) == hashlib.sha256().digest_size else "sha384"


def _prf(secret, seed, length):
    """P_SHA256 of RFC 5246, section 5."""
    made, a = b"", seed
    while len(made) < length:
        a = hmac.digest(secret, a, "sha256")
        made += hmac.digest(secret, a + seed, "sha256")
    return made[:length]


class Sealer12:
    """The client's side of TLS 1.2 after its Finished, with ECDHE-*-AES128-GCM-SHA256."""

    def __init__(self, master, randoms):
        block = _prf(master, b"key expansion" + randoms[1] + randoms[0], 40)
        self.gcm, self.salt, self.number = _Gcm(block[:16]), block[32:36], 1

    def seal(self, kind, data):
        number = self.number.to_bytes(8, "big")
        self.number += 1
        sealed = self.gcm.seal(self.salt + number, number + bytes([kind, 3, 3]) + len(data).to_bytes(2, "big"), data)
        return bytes([kind, 3, 3]) + (8 + len(sealed)).to_bytes(2, "big") + number + sealed


class Sealer13:
    """The client's side of TLS 1.3 after its Finished, with AES-GCM."""

    def __init__(self, secret):
        self.secret, self.gcm = secret, _Gcm(_expand(secret, b"key", 16 if len(secret) == 32 else 32))
        self.begin()

    def begin(self):
        self.iv, self.number = int.from_bytes(_expand(self.secret, b"iv", 12), "big"), 0

    def seal(self, kind, data):
        head = bytes([DATA, 3, 3]) + (len(data) + 1 + _TAG_BYTES).to_bytes(2, "big")
        sealed = self.gcm.seal((self.iv ^ self.number).to_bytes(12, "big"), head, data + bytes([kind]))
        self.number += 1
        if kind == HANDSHAKE and data in (KEY_UPDATE, KEY_UPDATE_REQUESTED):
            self.secret = _expand(self.secret, b"traffic upd", len(self.secret))
            self.gcm.use(_expand(self.secret, b"key", 16 if len(self.secret) == 32 else 32))
            self.begin()
        return head + sealed


class Client:
    """A client that has not begun. step() sends nothing: it says what the library would send."""

    def __init__(self, port, context, name="localhost", room=None):
        """room: in bytes, for what the server sends and nobody has read."""
        if context.minimum_version == V12 == context.maximum_version:
            context.set_ciphers("ECDHE+AES128:@SECLEVEL=1")
        elif context.minimum_version != V13:
            raise ValueError("a context of one version")
        if not context.keylog_filename:
            context.keylog_filename = f"{_keys.name}/{id(self)}-{time.monotonic_ns()}"
        self.context = context
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.plain = socket.socket()
        self.plain.settimeout(limit(10))
        if room:
            self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.plain.connect(("127.0.0.1", port))
        self.client_random = self.server_random = None
        self.over, self.drainer = False, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.drainer:
            with contextlib.suppress(OSError):
                self.plain.shutdown(socket.SHUT_RDWR)
            self.drainer.join()
        self.plain.close()

    def step(self):
        """What the client says now; b"" when it waits, or has nothing to say any more."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.over = True
        said = self.outgoing.read()
        self.client_random = self.client_random or said[11:43]
        return said

    def hear(self):
        """Take what the server says. False: the end."""
        heard = self.plain.recv(65536)
        if heard and not self.server_random:
            self.server_random = heard[11:43]
        self.incoming.write(heard)
        return bool(heard)

    def next_flight(self):
        """Hear the server until the client has something to say, and return it; it is not sent."""
        said = self.step()
        while not said and not self.over:
            if not self.hear():
                raise ConnectionError("closed within the handshake")
            said = self.step()
        return said

    def shake(self):
        while not self.over:
            self.plain.sendall(self.next_flight())
        return self

    def sealer(self):
        """To seal records after the handshake."""
        lines = pathlib.Path(self.context.keylog_filename).read_text().splitlines()
        words = (line.split() for line in lines if not line.startswith("#"))
        secrets = {label: bytes.fromhex(secret) for label, random, secret in words if random == self.client_random.hex()}
        if self.tls.version() == "TLSv1.3":
            return Sealer13(secrets["CLIENT_TRAFFIC_SECRET_0"])
        return Sealer12(secrets["CLIENT_RANDOM"], (self.client_random, self.server_random))

    def read(self, size=65536):
        """Plain text as it comes; b"" at the end."""
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                return self.tls.read(size)
            if not self.hear():
                return b""

    def read_until(self, end):
        got = b""
        while not got.endswith(end):
            piece = self.read()
            if not piece:
                raise ConnectionError(f"ended after {got[-200:]!r}")
            got += piece
        return got

    def read_answer(self, body_bytes):
        """A head and a body of this length."""
        got = b""
        while b"\r\n\r\n" not in got or len(got) < got.index(b"\r\n\r\n") + 4 + body_bytes:
            piece = self.read()
            if not piece:
                raise ConnectionError(f"ended after {len(got)} bytes")
            got += piece
        return got

    def rest(self):
        """Plain text up to the end, whatever that is."""
        got = b""
        with contextlib.suppress(OSError):
            while piece := self.read():
                got += piece
        return got

    def drain(self):
        """From now on a thread throws away what comes."""
        self.drainer = threading.Thread(target=self.until_close, daemon=True)
        self.drainer.start()

    def until_close(self):
        """All that still comes over TCP, decrypted or not; a reset counts as an end."""
        with contextlib.suppress(ConnectionError):
            while self.plain.recv(65536):
                pass


class Pour:
    """A thread that sends bytes for as long as the block lasts, and knows how far it is."""

    def __init__(self, plain, data, piece=1 << 16, pause=0):
        self.plain, self.data, self.piece, self.pause, self.sent = plain, data, piece, pause, 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    is_over = property(lambda self: not self.thread.is_alive())

    def _run(self):
        with contextlib.suppress(OSError):
            while self.sent < len(self.data):
                self.sent += self.plain.send(self.data[self.sent:self.sent + self.piece])
                if self.pause:
                    take_time(self.pause)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.plain.shutdown(socket.SHUT_RDWR)
        self.thread.join()
