"""Servers that speak TLS, and clients of theirs."""

import socket
import ssl
import subprocess
import threading

import pytest
from weirlib import config, limit, wait_until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
SAYS = """
    location = /says { return 200 "$scheme|$ssl_protocol|$ssl_cipher|$ssl_curve|$ssl_server_name|$ssl_session_reused|$ssl_client_verify"; }
    location = /id { return 200 "$ssl_session_id"; }
    location = /moved { return 301 /there; }
    location /echo { client_max_body_size 100m; handler echo; }
"""


def serve(weir, authority, locations=SAYS, server="", name="localhost", **parts):
    """Plain on port, TLS on port2."""
    weir.start(config(locations, server=f"listen 127.0.0.1:{{port2}} ssl default_server; {authority.lines(name)} {server}", **parts))


def connect(weir, tls, name="localhost", **options):
    return weir.connect(weir.port2, tls=tls, name=name, **options)


def begin(weir, tls, name="localhost"):
    """A client that has sent its first words; what it reads are records."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    plain = socket.create_connection(("127.0.0.1", weir.port2), timeout=10)
    plain.sendall(outgoing.read())
    return plain, client, incoming, outgoing


def says(weir, tls, name="localhost", **options):
    with connect(weir, tls, name, **options) as connection:
        answer = connection.get("/says")
        assert answer.status == 200, answer
        return answer.text.split("|")


def refused(weir, tls, name="localhost"):
    """Why there is no connection, by the client's library."""
    with pytest.raises((ssl.SSLError, ConnectionError)) as error:
        connect(weir, tls, name).close()
    return getattr(error.value, "reason", None) or str(error.value)


def resumes(weir, client, name="localhost", again=None):
    """Whether a second connection takes the first one's session up."""
    with connect(weir, client, name) as connection:
        connection.get("/says")  # TLS 1.3: tickets come behind the handshake
        session = connection.socket.session
    with connect(weir, client, again or name, session=session) as connection:
        answer = connection.get("/says")
        assert (answer.text.split("|")[5] == "r") == connection.socket.session_reused
        return connection.socket.session_reused


def get(target, *fields, host="localhost"):
    """The text of a last request."""
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, "", ""])


def s_client(weir, *args, text="", name="localhost"):
    """All that "openssl s_client" says of a connection, and what has come by it, for this text."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{weir.port2}", "-servername", name, *map(str, args)],
                          input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=limit(20))
    return done.stdout


class Storm:
    """Clients that make handshakes and ask once, again and again."""

    def __init__(self, weir, context, clients):
        self.weir, self.context = weir, context
        self.made, self.failed, self.over = [], [], threading.Event()
        self.threads = [threading.Thread(target=self._client) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _client(self):
        while not self.over.is_set():
            try:
                assert says(self.weir, self.context)[0] == "https"
                self.made.append(1)
            except (OSError, EOFError, AssertionError) as error:
                self.failed.append(error)

    def goes_on(self, count=10):
        before = len(self.made)
        wait_until(lambda: len(self.made) >= before + count, 10, f"{count} handshakes more")
