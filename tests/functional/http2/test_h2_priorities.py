"""RFC 9218: how urgent a request is decides the order of what goes out, and may decide who gets a permit."""

import os

import pytest
from http2_client import Client, fields, frame
from weirlib import config, wait_until

SIZE = 400_000
PRIORITY_UPDATE = 0x10


def serve(weir, *files):
    weir.start(config("location / { root {tmp}/files; }", http="http2 on;"))
    for name in files:
        (weir.tmp / "files").mkdir(exist_ok=True)
        (weir.tmp / "files" / name).write_bytes(os.urandom(SIZE))


def order_of_ends(client, streams):
    """In which they end, with a window that opens once all of them have been asked for."""
    ended = []
    while len(ended) < len(streams):
        client.read(lambda: any(stream.ended for stream in streams if stream not in ended), "another end")
        ended += [stream for stream in streams if stream.ended and stream not in ended]
    return [streams.index(stream) for stream in ended]


@pytest.mark.parametrize("said, wanted", [(("u=7", "u=3", "u=0"), [2, 1, 0]), (("u=1", "u=2", "u=5"), [0, 1, 2]), (("u=3", "u=3", "u=3"), [0, 1, 2])])
def test_the_most_urgent_comes_first(weir, said, wanted):
    serve(weir, "a")
    with Client(weir.port, settings={4: 0}) as client:
        streams = [client.request(fields("/a", "GET", ("priority", each))) for each in said]
        client.ping()
        client.send_settings({4: 2 * SIZE})
        assert order_of_ends(client, streams) == wanted


def test_a_client_changes_its_mind(weir):
    serve(weir, "a")
    with Client(weir.port, settings={4: 0}) as client:
        streams = [client.request(fields("/a", "GET", ("priority", "u=3"))) for _ in range(3)]
        client.ping()
        client.send(frame(PRIORITY_UPDATE, 0, 0, streams[2].number.to_bytes(4, "big") + b"u=1"))
        client.send_settings({4: 2 * SIZE})
        assert order_of_ends(client, streams)[0] == 2


@pytest.mark.parametrize("field, wanted", [(None, ""), ("u=0", "0"), ("i, u=5", "5"), ("u=2, u=6", "6"), ("i", "3"), ("u=9", "3"), ("u=12", "3"), ("u=1;x=2", "1"), ("x=u=1", "3")])
def test_urgency_is_a_variable(weir, field, wanted):
    weir.start(config('location / { return 200 "<$http2_urgency>"; }', http="http2 on;"))
    with Client(weir.port) as client:
        assert client.get("/", *([("priority", field)] if field else [])).text == f"<{wanted}>"


def test_urgency_decides_who_is_next(weir):
    """Of requests that wait for a permit."""
    weir.start(config("location / { limit_concurrency z priority=$http2_urgency; handler sleep; }", http="http2 on; limit_concurrency_zone z limit=1 queue=10 queue_timeout=30s;"))
    with Client(weir.port) as client:
        first = client.request(fields("/?ms=400"))
        wait_until(lambda: weir.status()["concurrency"]["z"]["in_flight"] == 1, 5, "one at work")
        waiting = [client.request(fields("/?ms=1", "GET", ("priority", each))) for each in ("u=7", "u=3", "u=0")]
        assert order_of_ends(client, [first, *waiting]) == [0, 3, 2, 1]
