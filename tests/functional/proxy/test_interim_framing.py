"""Interim answers end at their empty line, whatever they say of a body (RFC 9112 section 6.3), and each server has its own."""

import pytest
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import ROOT, config

FRAMING = ["Content-Length: x", "Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999",
           "Content-Length: 5\r\nContent-Length: 6", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3", "Connection: close"]
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Odd"])
def test_framing_is_ignored(weir, backend, status):
    """The answer behind it is read from its own first byte, the connection is kept, and the fields go nowhere."""
    passed(weir, up := backend(lambda call: b"HTTP/1.1 " + status.encode() + b"\r\n" + FRAMING[int(call.target[1:])].encode() +
                               b"\r\nX-A: b\r\n\r\n" + answer(b"final")))
    with weir.connect() as client:
        for i, fields in enumerate(FRAMING):
            client.request(f"/{i}")
            raw = b""
            while not raw.endswith(b"final"):
                piece = client.socket.recv(65536)
                assert piece, (fields, raw)
                raw += piece
            *interim, last = raw.split(b"HTTP/1.1 ")[1:]
            assert last.startswith(b"200 OK"), fields
            assert [each.split()[0] for each in interim] == ([] if status.startswith("100") else [status[:3].encode()]), fields
            assert not any(name in each.lower() for each in interim for name in (b"content-length", b"transfer-enc", b"connection")), fields
    assert up.accepts == 1


@pytest.mark.parametrize("data", [b"HTTP/1.1 103 X\r\nbad line\r\n\r\n", b"HTTP/1.1 103 X\r\nX : y\r\n\r\n", b"HTTP/1.1 99 X\r\n\r\n"])
def test_other_faults_stay_faults(weir, backend, data):
    """What is no head at all is no interim answer either."""
    weir.expect_log("upstream sent")
    passed(weir, backend(data + answer(b"final")))
    assert weir.get().status == 502


@pytest.mark.parametrize("second_sends", [3, 16, 20])
def test_each_server_has_its_own_bound(weir, backend, second_sends):
    """The hints of a server that failed do not count against the next one's; docs/from-nginx.md says so."""
    assert "at most 16 of each server that is asked" in (ROOT / "docs/from-nginx.md").read_text()
    weir.expect_log("upstream prematurely closed")
    second = backend(HINTS.replace(b"/x", b"/y") * second_sends + answer(b"final"))
    first = backend(lambda call: (call.send(HINTS * 20), call.close())[1])
    weir.start(config("location / { proxy_pass http://up; proxy_next_upstream error; }", http=upstream(first, f"{second.address} backup")))
    with weir.connect() as client:
        client.request("/")
        raw = b""
        while not raw.endswith(b"final"):
            raw += client.socket.recv(65536)
    assert raw.count(b"</x>") == 16 and raw.count(b"</y>") == min(second_sends, 16)


def test_many_from_a_server_that_failed(weir, backend):
    """Nor do so many of them that the next one's would be too many."""
    weir.expect_log("upstream prematurely closed")
    many = b"HTTP/1.1 100 Continue\r\n\r\n" * 990
    first, second = backend(lambda call: (call.send(many), call.close())[1]), backend(many + answer(b"final"))
    weir.start(config("location / { proxy_pass http://up; proxy_next_upstream error; }", http=upstream(first, f"{second.address} backup")))
    assert weir.get().text == "final"
