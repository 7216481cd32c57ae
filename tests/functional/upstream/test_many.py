"""Files with hundreds of upstreams: all are served; more than there is room for are refused with their place."""

import re

import pytest
from proxylib import answer, backend, upstream  # noqa: F401 - a fixture
from weirlib import config, free_port

ROOM, ADDRESSES = 4095, 7680


def test_hundreds_of_upstreams(weir, backend):
    """Each server that a proxy_pass names is an upstream; the last one is as good as the first, also after a worker's death."""
    behind = backend(lambda call: answer(call.target.encode()))
    locations = "".join(f"location /{i}/ {{ proxy_pass http://u{i}; }}\n" for i in range(600))
    weir.start(config(locations, http="".join(upstream(behind, name=f"u{i}") for i in range(600))))
    assert [weir.get(f"/{i}/").text for i in (0, 256, 599)] == ["/0/", "/256/", "/599/"]
    weir.expect_log("exited on signal 9")
    (worker,) = weir.worker_pids()
    weir.signal(9, worker)
    weir.wait_dead({worker}, 5)
    weir.wait_workers(1)
    assert weir.get("/599/").text == "/599/"
    assert len(weir.status()["upstreams"]) == 600


@pytest.mark.parametrize("what", ["upstreams", "servers that proxy_pass names", "servers"])
def test_too_many(weir, what):
    """-t and the start name the line of the first that is too many."""
    port, lines = free_port(), []
    if what == "upstreams":
        lines = [f"upstream u{i} {{ server 127.0.0.1:{port}; }}" for i in range(ROOM + 1)]
    elif what == "servers":
        lines = ["upstream up {"] + [f"server 127.0.{i // 200}.{i % 200 + 1}:{port};" for i in range(ADDRESSES + 1)] + ["}"]
    else:
        lines = ["server { listen 127.0.0.1:{port};"]
        lines += [f"location /{i} {{ proxy_pass http://127.0.{i // 200}.{i % 200 + 1}:{port}; }}" for i in range(ROOM + 1)] + ["}"]
    weir.write("events { }\nhttp {\n" + "\n".join(lines) + "\n}\n")
    line = {"upstreams": ROOM + 3, "servers": ADDRESSES + 4}.get(what, ROOM + 4)
    wanted = re.compile(rf"\[emerg\] too many (upstreams|servers): .* in \S+:{line}$", re.M)
    for more in (["-t"], ["-g", "daemon off;"]):
        result = weir.run(*more)
        assert result.returncode == 1 and wanted.search(result.stderr), result.stderr
    weir.expect_log("too many")
