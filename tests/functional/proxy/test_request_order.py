"""The order of fields that upstreams get, and what a configured Connection means for the connection."""

import pytest
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture


def names(call):
    return [name.lower() for name, _ in call.headers]


def test_configured_fields_come_first(weir, backend):
    """proxy_set_header's own in their order, then Host and the framing, then the client's."""
    up = backend()
    passed(weir, up, "proxy_set_header X-B 1; proxy_set_header X-A 2; proxy_request_ids off;")
    weir.get(method="POST", body=b"abc", headers=[("X-Client", "1"), ("Accept", "*/*")])
    assert names(up.call) == ["x-b", "x-a", "host", "content-length", "x-client", "accept"]


@pytest.mark.directive("proxy_request_ids")
def test_configured_host_stands_where_it_is_configured(weir, backend):
    up = backend()
    passed(weir, up, "proxy_set_header X-A 2; proxy_set_header Host h.test; proxy_set_header X-B 1; proxy_request_ids off;")
    weir.get()
    assert names(up.call) == ["x-a", "host", "x-b"]


@pytest.mark.directive("proxy_http_version")
@pytest.mark.parametrize("value, seen", [("close", ["close"]), ("''", []), ("keep-alive", ["keep-alive"]), (None, ["close"])])
def test_connection_of_http_1_0_is_said_once(weir, backend, value, seen):
    up = backend()
    passed(weir, up, "proxy_http_version 1.0;" + (f"proxy_set_header Connection {value};" if value else ""))
    weir.get()
    assert up.call.all("Connection") == seen


@pytest.mark.parametrize("value, accepts", [("close", 3), ("'X-A, Close'", 3), ("$http_x_end", 3), ("closed", 1), ("''", 1)])
def test_a_connection_that_is_told_to_close_is_not_used_again(weir, backend, value, accepts):
    """RFC 9112, 9.6: also while the upstream leaves it open."""
    up = backend()
    passed(weir, up, f"proxy_set_header Connection {value};")
    assert [weir.get(headers=[("X-End", "close")]).status for _ in range(3)] == [200] * 3
    assert up.accepts == accepts


def test_tries_of_one_upstream_are_listed_with_commas(weir, backend):
    """Also where the first one was on a kept connection that was just being closed."""
    def script(peer):
        peer.call()
        peer.send(answer())
        peer.call()
    up = backend(script=script)
    passed(weir, "up", "add_header X-Tries $upstream_addr;", http=upstream(up))
    assert [weir.get().header("X-Tries") for _ in range(2)] == [up.address, f"{up.address}, {up.address}"]
