"""HEAD of an answer whose length is not known: neither a length nor a coding, and the connection stays."""

import pytest
from proxylib import answer, backend  # noqa: F401
from weirlib import config

WAYS = {"gzip": "gzip on; gzip_types *; gzip_min_length 1;", "sub_filter": "sub_filter_types *; sub_filter text other;", "neither": ""}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_head(weir, backend, way, version):  # noqa: F811
    """Files and upstreams' answers alike, and a second request goes over the same connection."""
    up = backend(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
    weir.write("text" * 9, "html/f.html")
    target = "/p" if way == "neither" else "/f.html"
    weir.start(config(f"root html; {WAYS[way]} gzip_http_version 1.0; location /p {{ proxy_http_version 1.1; proxy_pass http://{up.address}; }}"))
    with weir.connect() as c:
        for _ in range(2):
            c.send(f"HEAD {target} HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n".encode())
            got = c.response("HEAD")
            assert [got.status, got.header("Transfer-Encoding"), got.header("Content-Length"), got.header("Connection")] == [200, None, None, "keep-alive"]
