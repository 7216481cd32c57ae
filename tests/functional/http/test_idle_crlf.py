"""Empty lines on a kept connection are no request: they win it no time, and no place before others that are idle."""

import itertools
import time

import pytest
from weirlib import config, limit, take_time, wait_until

KEPT_S = 1.2
LINES = {"crlf": [b"\r\n"], "halves": [b"\r", b"\n"], "several": [b"\r\n\r\n\r\n"], "shifted": [b"\r", *[b"\n\r"] * 100]}


def serve(weir, timeout=KEPT_S, **parts):
    return weir.start(config(server=f"keepalive_timeout {int(timeout * 1000)}ms; client_header_timeout {int(timeout * 1000)}ms;",
                             **parts))


def drip_until_closed(connection, pieces, every=0.1, most=limit(8)):
    """Sends one piece after another; seconds until the server closed, whatever it says."""
    begun = time.monotonic()
    connection.socket.settimeout(every)
    for piece in itertools.cycle(pieces):
        assert time.monotonic() - begun < most, "the connection is still open"
        try:
            connection.send(piece)
            if connection.socket.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun


@pytest.mark.parametrize("pieces", LINES.values(), ids=LINES)
def test_time_goes_on(weir, pieces):
    """Empty lines every moment do not keep a connection open longer than two of its times."""
    serve(weir)
    with weir.connect() as client:
        assert client.get("/").status == 200
        assert KEPT_S - 0.1 < drip_until_closed(client, pieces) < limit(2 * KEPT_S + 0.5)


def test_only_empty_lines_ever(weir):
    """Nor before a first request."""
    serve(weir)
    with weir.connect() as client:
        assert drip_until_closed(client, [b"\r\n"]) < limit(2 * KEPT_S + 0.5)


def test_request_behind_empty_lines(weir):
    """A request that follows them is answered, and the time begins anew with its answer."""
    serve(weir)
    with weir.connect() as client:
        for _ in range(6):
            assert client.get("/").status == 200
            client.send(b"\r\n")
            take_time(KEPT_S / 3)


def test_place_among_the_idle(weir):
    """When connections run out, the one that has been idle longest goes first, whatever empty lines it sent."""
    weir.expect_log("worker_connections are not enough")
    serve(weir, 60, connections=20)
    dripping, honest = weir.connect(), weir.connect()
    for client in (dripping, honest):
        assert client.get("/").status == 200
    dripping.send(b"\r\n")
    assert weir.get("/").status == 200  # the loop has seen what came before
    dripping.send(b"\r\n")
    others = []

    def closed(client):
        client.socket.settimeout(0.01)
        try:
            return client.socket.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def one_more():
        others.append(weir.connect())
        assert others[-1].get("/").status == 200
        return closed(dripping) or closed(honest)
    wait_until(one_more, 5, "one closed for others")
    assert (closed(dripping), closed(honest)) == (True, False)
    for client in (dripping, honest, *others):
        client.close()
