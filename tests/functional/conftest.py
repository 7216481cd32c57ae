"""Fixtures: a server per test, checked for crashes, serious log lines and left-over processes when the test ends."""

import os
import pathlib
import subprocess
import sys

import pytest

LIB = pathlib.Path(__file__).parent / "lib"
sys.path[:0] = [str(pathlib.Path(__file__).parents[1]), str(LIB)]
import slowness  # noqa: E402

# Once, before the parallel processes start and keep the cores busy themselves.
os.environ.setdefault("WEIR_TEST_STRETCH", f"{slowness.slowness():.1f}")
# A worker that leaves a handler behind ends with threads that nobody has joined, and must not wait for them.
os.environ.setdefault("TSAN_OPTIONS", "report_thread_leaks=0:atexit_sleep_ms=0")
pytest.register_assert_rewrite(*(path.stem for path in LIB.glob("*.py")))
import certificates  # noqa: E402
import weirlib  # noqa: E402

SECONDS_PER_TEST = 40


def pytest_addoption(parser):
    parser.addoption("--directive", metavar="NAME", help="only the tests that are marked with this directive")


def pytest_configure(config):
    config.addinivalue_line("markers", "directive(names...): what is asserted depends on these directives of the configuration")
    config.addinivalue_line("markers", "needs_root: the test runs or makes things as another user")
    config.addinivalue_line("markers", "needs(names...): left out where the surroundings lack one of weirlib.SURROUNDINGS")
    config.addinivalue_line("markers", "http1_only: the test looks at HTTP/1 itself; left out with WEIR_TEST_HTTP2=1")
    weirlib.adopt_orphans()


def pytest_collection_modifyitems(config, items):
    if only := config.getoption("--directive"):
        items[:] = [item for item in items if any(only in mark.args for mark in item.iter_markers("directive"))]
    # A long turn goes first, beside all others; then the long tests, so that none is the last to end.
    items.sort(key=lambda item: (not item.get_closest_marker("xdist_group"), not item.get_closest_marker("timeout")))
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(weirlib.limit(SECONDS_PER_TEST)))
        if weirlib.OVER_HTTP2 and item.get_closest_marker("http1_only"):
            item.add_marker(pytest.mark.skip(reason="looks at HTTP/1 itself"))
        needs = [name for mark in item.iter_markers("needs") for name in mark.args]
        if item.get_closest_marker("needs_root"):
            needs.append("other_users")
        lacks = next((name for name in needs if not weirlib.can(name)), None)
        if lacks:
            item.add_marker(pytest.mark.skip(reason=f"needs {weirlib.SURROUNDINGS[lacks][0]}"))


def pytest_report_header():
    return f"time limits are stretched {weirlib.SLOW:g} times" if weirlib.SLOW > 1 else None


def pytest_terminal_summary(terminalreporter):
    if weirlib.SLOW > 1:
        terminalreporter.line(f"time limits were stretched {weirlib.SLOW:g} times: this machine or build is slow")


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.failed = report.failed


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Certificates for all tests of TLS."""
    return certificates.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def pour(tmp_path_factory):
    """The path of the module of misbehaving handlers."""
    path = tmp_path_factory.mktemp("module") / "pour.so"
    path.parent.parent.chmod(0o755)
    path.parent.chmod(0o755)
    source = weirlib.ROOT / "tests/functional/lib/pour.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-I", weirlib.BINARY.parent / "include", source, "-o", path], check=True)
    return path


@pytest.fixture
def make_weir(request):
    """Makes servers; each is stopped and checked when the test ends."""
    made = []

    def make():
        made.append(weirlib.Weir())
        return made[-1]

    yield make
    problems = [problem for server in made for problem in close(server)]
    problems += [f"process {pid} was left over" for pid in weirlib.kill_leftovers()]
    problems += weirlib.over_http2().take_wrong() if weirlib.OVER_HTTP2 else []
    if problems or getattr(request.node, "failed", False):
        for server in made:
            print(f"--- {server.tmp}: stderr\n{server.stderr[-4000:]}\n--- error log\n{server.error_log[-8000:]}")
    for server in made:
        server.discard()
    assert not problems, problems


def close(server):
    """Stop a server if it still runs; returns what was wrong with its end."""
    problems = []
    if server.process and server._ended() is None:
        try:
            code = server.stop(5)
            if code != 0:
                problems.append(f"exit code {code} after TERM")
        except AssertionError as error:
            problems.append(str(error))
    return problems + server.unexpected()


@pytest.fixture
def weir(make_weir):
    """A server that is not started yet."""
    return make_weir()


@pytest.fixture
def small_disk(weir):
    """A folder of 256 KiB below the server's own, which anyone may write to."""
    folder = weir.tmp / "disk"
    folder.mkdir()
    if not weirlib.succeeds("mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "tmpfs", folder):
        pytest.skip("needs to mount (CAP_SYS_ADMIN)")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def as_nobody(weir):
    """Options that run the program as nobody, from a copy that nobody can reach."""
    if not weirlib.can("other_users"):
        pytest.skip(f"needs {weirlib.SURROUNDINGS['other_users'][0]}")
    copy = weir.tmp / weirlib.BINARY.name
    copy.write_bytes(weirlib.BINARY.read_bytes())
    copy.chmod(0o755)
    os.chmod(weir.tmp / "logs", 0o777)
    return dict(user="nobody", group="nogroup", extra_groups=[], binary=copy)
