"""$server_name and redirects by it: how the first name of a server block is shown."""

import socket

import pytest
from weirlib import config
from wire import ask, head

NAMES = {".dot.example.com": ("dot.example.com", "a.dot.example.com"), "*.Star.Example.com": ("*.star.example.com", "x.star.example.com"),
         "CAPS.Example.com other": ("caps.example.com", "other"), "www.Tail.*": ("www.tail.*", "www.tail.org"),
         "~^R(?<x>.)\\.com$": ("~^R(?<x>.)\\.com$", "rz.com")}


def get(weir, host, target="/"):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", host=f"Host: {host}"))


def blocks(names):
    return "".join(f'server {{ listen 127.0.0.1:{{port}}; server_name {name}; location / {{ return 200 "$server_name"; }}'
                   " location = /r { server_name_in_redirect on; return 301 /x; } }" for name in names)


def test_first_names(weir):
    """In lower case and without a first dot; an expression as it is written."""
    weir.start(config(http=blocks(NAMES), listen="127.0.0.1:{port} default_server"))
    assert {name: get(weir, host).text for name, (_, host) in NAMES.items()} == {name: shown for name, (shown, _) in NAMES.items()}


@pytest.mark.directive("server_name_in_redirect")
def test_in_redirects(weir):
    """server_name_in_redirect sends to the name that is shown."""
    weir.start(config(http=blocks([".Dot.example.com"]), listen="127.0.0.1:{port} default_server"))
    assert get(weir, "a.dot.example.com", "/r").header("location") == f"http://dot.example.com:{weir.port}/x"


def test_hostname(weir):
    """$hostname is the machine's name."""
    weir.start(config(http=blocks(["$hostname"]), listen="127.0.0.1:{port} default_server"))
    assert get(weir, socket.gethostname()).text == socket.gethostname().lower()
