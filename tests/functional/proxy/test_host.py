"""The Host of what goes to an upstream: one in every HTTP/1.1 request, whatever the client and the configuration leave out."""

import pytest
from proxylib import backend, passed, raw_answer  # noqa: F401

ONE_0 = b"GET / HTTP/1.0\r\n\r\n"
NAMED = b"GET / HTTP/1.0\r\nHost: client.example\r\n\r\n"


@pytest.mark.parametrize("value", ["$host", "$http_host", '""', "$arg_none", "$host$http_none"])
def test_there_is_always_one(weir, backend, value):  # noqa: F811
    """Where the configured value is empty, the upstream's own name stands (RFC 9112 section 3.2)."""
    behind = backend()
    passed(weir, behind, f"proxy_http_version 1.1; proxy_set_header Host {value};")
    assert raw_answer(weir.port, ONE_0).split(b" ")[1] == b"200"
    assert (behind.call.version, behind.call.all("Host")) == ("HTTP/1.1", [behind.address])


@pytest.mark.directive("server_name")
def test_server_name_first(weir, backend):  # noqa: F811
    """$host of a request without one is the server's name, as in nginx."""
    behind = backend()
    passed(weir, behind, "proxy_http_version 1.1; proxy_set_header Host $host;", server="server_name named.example;")
    raw_answer(weir.port, ONE_0)
    assert behind.call.all("Host") == ["named.example"]


def test_clients_host(weir, backend):  # noqa: F811
    """The client's is passed on where it is there."""
    behind = backend()
    passed(weir, behind, "proxy_http_version 1.1; proxy_set_header Host $http_host;")
    raw_answer(weir.port, NAMED)
    assert behind.call.all("Host") == ["client.example"]


def test_left_out_in_1_0(weir, backend):  # noqa: F811
    """HTTP/1.0 can do without: an empty value leaves it out, as in nginx."""
    behind = backend()
    passed(weir, behind, 'proxy_http_version 1.0; proxy_set_header Host "";')
    raw_answer(weir.port, ONE_0)
    assert behind.call.all("Host") == []


def test_socket(weir, backend):  # noqa: F811
    """For a unix socket it is what $proxy_host says: localhost."""
    behind = backend(path=weir.tmp / "up.sock")
    passed(weir, behind, "proxy_http_version 1.1; proxy_set_header Host $host;")
    raw_answer(weir.port, ONE_0)
    assert behind.call.all("Host") == ["localhost"]


def test_asked_for_permission(weir, backend):  # noqa: F811
    """So it is with the request of auth_request."""
    behind = backend()
    passed(weir, behind, "auth_request /auth;", server=f"""
        location = /auth {{ proxy_pass http://{behind.address}; proxy_http_version 1.1; proxy_set_header Host $host; }}""")
    assert raw_answer(weir.port, ONE_0).split(b" ")[1] == b"200"
    assert [call.all("Host") for call in behind.calls] == [[behind.address]] * 2
