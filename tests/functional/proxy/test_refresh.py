"""proxy_redirect on Refresh: the URL in it is rewritten as a Location is, and a path stays a path."""

import pytest
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config

LINES = {  # proxy_redirect, and what becomes of Refresh; the upstream is at {up}
    "default;": {"0; url=http://{up}/b/q": "0; url=/at/q", "5; url=http://b/z": None, "5;url=/z": None},
    "off;": {"0; url=http://{up}/b/q": None},
    "http://b/ /x/;": {"5; url=http://b/z": "5; url=/x/z", "5; URL=http://b/z": "5; URL=/x/z", "5": None, "5; url=": None,
                       "url=http://b/a; url=http://b/c": "url=/x/a; url=http://b/c", "5; url= http://b/z": None, "http://b/z": None},
    "http://b/ http://$host/y/;": {"5; url=http://b/z": "5; url=http://localhost/y/z"},
    "~^http://b/(.*)$ /re/$1;": {"5; url=http://b/z": "5; url=/re/z", "5; x=http://b/z": None},
    "~*^(.*)HTTP://b/(.*)$ $1/ci/$2;": {"5; url=http://b/z": "5; url=/ci/z"},
    "/ /pre/;": {"5;url=/z": "5;url=/pre/z"},
    "http://b/ //net/;": {"5; url=http://b/z": "5; url=//net/z"},
    "http://b/ rel/;": {"5; url=http://b/z": "5; url=rel/z"},
}


@pytest.mark.parametrize("line", LINES)
def test_refresh(weir, backend, line):
    up = backend(lambda call: answer(b"", "Refresh: " + call.header("X-Value")))
    weir.start(config(f"location /at/ {{ proxy_pass http://{up.address}/b/; proxy_redirect {line} }}"))
    with weir.connect() as client:
        for value, wanted in LINES[line].items():
            value, wanted = (text and text.format(up=up.address) for text in (value, wanted))
            assert client.get("/at/", [("X-Value", value)]).header("Refresh") == (wanted or value)


def test_location_is_made_absolute(weir, backend):
    """The same rewriting in Location, where nginx puts the server's name before a path."""
    up = backend(answer(b"", "Location: http://b/z", "Refresh: 5; url=http://b/z", status="302 Found"))
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; proxy_redirect http://b/ /x/; }}"))
    reply = weir.get()
    assert reply.header("Location") == f"http://localhost:{weir.port}/x/z" and reply.header("Refresh") == "5; url=/x/z"
