"""stub_status is for GET and HEAD."""

import pytest
from weirlib import config
from wire import ask, head


@pytest.mark.directive("stub_status")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods(weir, method):
    """405, and the page of that."""
    weir.start(config("location /s { stub_status; }"))
    got = ask(weir.port, head(f"{method} /s HTTP/1.1", "Content-Length: 0"), method)
    assert got.status == 405 and "Active connections" not in got.text
    assert ask(weir.port, head("GET /s HTTP/1.1")).text.startswith("Active connections: ")
