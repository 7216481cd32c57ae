"""Upstreams whose names nobody knows when the server starts: a warning, and the name is asked for again."""

import re
import subprocess

import pytest
from nameserver import SYSTEM, everywhere, names, serve  # noqa: F401
from proxylib import answer, backend, upstream  # noqa: F401
from weirlib import config, limit, own_mounts, wait_until

pytestmark = [pytest.mark.needs("root", "own_mounts"), pytest.mark.xdist_group("names")]


class Late(dict):
    """Records that are not there for the system's first questions."""

    def __init__(self, records, left=2):
        super().__init__(records)
        self.left = left

    def get(self, name, default=None):
        self.left -= 1
        return default if self.left >= 0 else super().get(name, default)


FORMS = {"a server": ("up", "upstream up {{ server back.test:{0}; }}"), "one of two": ("up", "upstream up {{ server back.test:{0}; server gone.test:{0}; }}"),
         "proxy_pass": ("back.test:{0}", ""), "proxy_pass with a path": ("back.test:{0}/x/", "")}


@pytest.mark.directive("http")
@pytest.mark.parametrize("form", FORMS)
def test_known_later(weir, names, everywhere, form):  # noqa: F811
    """The server starts, says which name it was, and serves once the name is known."""
    names.records = Late({"back.test": (["127.0.0.2"], 60)})
    target, http = (text.format(everywhere.port) for text in FORMS[form])
    serve(weir, names, target, http)
    assert weir.get().text == "2"
    weir.wait_log(rf'\[warn\].*host not found in upstream "back.test:{everywhere.port}".* in .*weir.conf:\d+')


def test_never_known(weir, names, backend):  # noqa: F811
    """Requests to it are 502 at once, and nobody else is concerned."""
    up = backend(answer(b"known"))
    serve(weir, names, "gone.test", server=f"location /known {{ proxy_pass http://{up.address}; }}")
    wait_until(lambda: "could not be resolved" in weir.error_log, 5, "the worker's question")
    assert weir.get().status == 502 and weir.get("/known").text == "known"


def test_reload(weir, names, backend):  # noqa: F811
    """A reload that brings such a name is done."""
    up = backend(answer(b"known"))
    serve(weir, names, up.address)
    conf = config(f"location / {{ proxy_pass http://{up.address}; }} location /new {{ proxy_pass http://gone.test; }}",
                  listen="127.0.0.1:{port} reuseport", http=f"resolver 127.0.0.1:{names.port} valid=1s;")
    assert weir.reload(conf)["last_ok"]
    assert weir.get().text == "known" and weir.get("/new").status == 502


def run_test(weir, *arguments):
    mount = f'mount --bind {weir.write("nameserver " + SYSTEM, "resolv.conf")} /etc/resolv.conf && exec "$@"'
    return subprocess.run([*own_mounts(), "sh", "-c", mount, "sh", *weir.command("-t", *arguments)], capture_output=True, text=True, timeout=limit(15))


def test_the_check_warns(weir, names):  # noqa: F811
    """-t is successful and names each of them with its place."""
    weir.write(config("location / { proxy_pass http://gone.test:81; }\nlocation /b { proxy_pass http://up; }", http="upstream up { server lost.test; }"))
    result = run_test(weir)
    lines = [line for line in result.stderr.splitlines() if line.startswith("weir: [warn] host not found in upstream")]
    assert result.returncode == 0 and len(lines) == 2 and "test is successful" in result.stderr, result.stderr
    assert '"gone.test:81"' in result.stderr and '"lost.test"' in result.stderr and all("weir.conf:" in line for line in lines)


WRONG = {
    'invalid upstream "gone.test:99999": invalid port': dict(http="upstream up { server gone.test:99999; }"),
    'invalid upstream "a b": host not found': dict(http="upstream up { server 'a b'; }"),
    'invalid upstream "300.1.1.1:80": host not found': dict(http="upstream up { server 300.1.1.1:80; }"),
    'invalid upstream "gone..test": host not found': dict(locations="location / { proxy_pass http://gone..test; }"),
    'invalid address "gone.test:80" of the "listen" directive: host not found': dict(listen="gone.test:80"),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_stays_an_error(weir, names, said):  # noqa: F811
    """What is no name, and names of addresses to listen on; a name that is only unknown stops nothing."""
    weir.write(config(**WRONG[said]))
    result = run_test(weir)
    line = weir.line_of(said.split('"')[1])
    assert result.returncode == 1 and re.search(rf"\[emerg\] {said}.* in {weir.conf}:{line}$", result.stderr, re.M), result.stderr
    weir.write(config("location / { proxy_pass http://gone.test; }"))
    assert run_test(weir).returncode == 0
