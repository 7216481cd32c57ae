"""hash: requests without a key are spread."""

import pytest
from proxylib import answer, backend, upstream  # noqa: F401
from weirlib import config


@pytest.mark.parametrize("method", ["hash $arg_k;", "hash $arg_k consistent;", "hash $arg_k$http_x;"])
def test_an_empty_key(weir, backend, method):  # noqa: F811
    """An empty key takes the servers by turns; one that is there stays with its server."""
    servers = [backend(answer(str(i).encode())) for i in range(3)]
    weir.start(config("location / { proxy_pass http://up; }", http=upstream(*servers, more=method)))
    turns = "".join(weir.get("/").text for _ in range(6))
    assert sorted(turns) == sorted("001122") and turns[:3] == turns[3:]
    assert len({weir.get("/?k=a").text for _ in range(6)}) == 1


def test_weights_without_a_key(weir, backend):  # noqa: F811
    """By turns means by weight."""
    servers = [backend(answer(str(i).encode())) for i in range(2)]
    lines = f"server {servers[0].address} weight=3; server {servers[1].address};"
    weir.start(config("location / { proxy_pass http://up; }", http=f"upstream up {{ {lines} hash $arg_k; }}"))
    assert sorted("".join(weir.get("/").text for _ in range(8))) == sorted("00000011")
