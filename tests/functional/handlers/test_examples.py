"""The handlers of examples/handlers, built as their first lines say; and a module of another time."""

import subprocess

import pytest
import weirlib
from weirlib import Connection, config, wait_until


@pytest.fixture
def example(weir):
    """A server with that example."""
    def begin(name, settings=""):
        path = weir.tmp / f"{name}.so"
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", weirlib.BINARY.parent / "include",
                        weirlib.ROOT / f"examples/handlers/{name}.c", "-o", path], check=True)
        return weir.start(config(f"client_max_body_size 0; location / {{ handler {name} {settings}; }}", main=f"load_module {path};"))
    return begin


def test_clock(example):
    weir = example("clock")
    with Connection(weir.port) as client:
        client.request("/")
        assert client.begun()
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 5, "the clock")
    wait_until(lambda: weir.pool()["threads"]["running"] == 0, 5, "its end")


def test_lines(example):
    assert example("lines").get("/", method="POST", body=b"one\ntwo\n" * 100_000).text == "200000 lines\n"


def test_counter(example):
    """A file for each thread; a wait ends with its client."""
    weir = example("counter", "file={tmp}/numbers")
    assert weir.get("/").text.startswith("10, ") and weir.get("/?wait_ms=10").text.startswith("10, ")
    client = Connection(weir.port)
    client.request("/?wait_ms=60000")
    wait_until(lambda: weir.pool()["threads"]["running"] == 1, 5, "the wait")
    client.close()
    wait_until(lambda: weir.pool()["threads"]["running"] == 0, 5, "its end")
    assert (weir.tmp / "numbers").read_text() == "127.0.0.1\n" * 2


def test_a_module_for_another_interface(weir):
    """It is refused, with both numbers and what to do."""
    source = weir.tmp / "old.c"
    source.write_text('struct { unsigned abi; const void *handlers; } const weir_module = {2, "x"};')
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", weir.tmp / "old.so"], check=True)
    says = weir.mistake(config(main=f"load_module {weir.tmp}/old.so;"), f"load_module {weir.tmp}")
    assert says == f'module "{weir.tmp}/old.so" was built for handler ABI 2, this is 3; build it anew'
