"""HTTP/1 spoken badly on purpose: exact bytes out, what came back, and whether the server then closed."""

import concurrent.futures
import socket
import struct

from weirlib import Connection

GOOD = b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n"


def head(line="GET / HTTP/1.1", *fields, host="Host: a"):
    """The bytes of a request's head; host="" leaves the Host field out."""
    lines = [line, *([host] if host else []), *fields]
    return "".join(each + "\r\n" for each in lines).encode("latin-1") + b"\r\n"


def post(target="/echo", *fields, body=b""):
    """A POST with the given fields and body, and no framing of its own."""
    return head(f"POST {target} HTTP/1.1", *fields) + body


def chunked(body, size=1 << 16, trailers=b""):
    """A body in chunks of so many bytes."""
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


def ask(port, raw, method="GET"):
    """The answer to exact bytes on a connection of their own."""
    with Connection(port) as connection:
        connection.send(raw)
        return connection.response(method)


def verdict(port, raw):
    """(status, what followed it): "closed" with no byte more, or the bytes that came before the close."""
    with Connection(port, timeout=5) as connection:
        connection.send(raw)
        try:
            status = connection.response().status
        except (EOFError, OSError) as error:
            return repr(error)
        try:
            return status, connection.until_close() or "closed"
        except TimeoutError:
            return status, "left open"


def not_refused(port, messages, statuses=(400,)):
    """Those of the named messages that were not answered once with such a status and then closed.

    A good request follows each on the same connection: whoever misreads the message answers it too.
    """
    verdicts = parallel(lambda raw: verdict(port, raw + GOOD), messages.values())
    allowed = [(status, "closed") for status in statuses]
    return {name: found for name, found in zip(messages, verdicts) if found not in allowed}


def not_accepted(port, messages, status=200):
    """Those of the named messages that were not answered with the status on a connection that stays usable."""
    def statuses(raw):
        with Connection(port, timeout=5) as connection:
            connection.send(raw + GOOD)
            try:
                return connection.response().status, connection.response().status
            except (EOFError, OSError) as error:
                return repr(error)
    answers = parallel(statuses, messages.values())
    return {name: found for name, found in zip(messages, answers) if found != (status, 200)}


def parallel(function, items, threads=16):
    """function(item) for each item, several at a time, in order."""
    with concurrent.futures.ThreadPoolExecutor(threads) as executor:
        return list(executor.map(function, items))


def data_segments_received(connection):
    """How many TCP segments with data have come in (tcpi_data_segs_in)."""
    info = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return struct.unpack_from("I", info, 152)[0]
