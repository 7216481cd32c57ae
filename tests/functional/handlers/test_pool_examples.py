"""The installed library as a stranger meets it: its headers, its pkg-config file, and the examples."""

import os
import re
import resource
import shutil
import subprocess

import pytest
from weirlib import BINARY, ROOT, SLOW_BUILD, limit

FIB_32 = 2178309
STRICT = ["-Wall", "-Wextra", "-Werror"]
# As the build under test was made: instrumented objects link with the same compiler and run-time library only.
SANITIZE = [f"-fsanitize={os.environ['SAN']}"] if os.environ.get("SAN") else []
COMPILER = os.environ.get("CC", "gcc") if SANITIZE else "gcc"
# Make's own variables would tie a call to the make that runs the tests; those that say how it was built stay.
ENV = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


def run(*command, seconds=30, **options):
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=limit(seconds),
                          env=ENV | options.pop("env", {}), **options)


def succeed(*command, **options):
    """What a command wrote, which must have ended well."""
    result = run(*command, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The environment in which pkg-config finds a library that `make install` has put below a folder.

    The PREFIX stays the one of the build: another would link the program anew under the tests that run it.
    """
    root = tmp_path_factory.mktemp("installed")
    prefix = os.environ.get("PREFIX", "/usr/local")
    build = os.path.relpath(BINARY.parent, ROOT)
    succeed("make", "-s", "-C", ROOT, "install", f"B={build}", f"PREFIX={prefix}", f"DESTDIR={root}", seconds=30)
    return {"PKG_CONFIG_PATH": f"{root}{prefix}/lib/pkgconfig", "PKG_CONFIG_SYSROOT_DIR": str(root)}


@pytest.fixture(scope="session")
def examples(installed, tmp_path_factory):
    """A folder with the examples, built by their own makefile."""
    folder = shutil.copytree(ROOT / "examples", tmp_path_factory.mktemp("examples") / "built")
    flags = " ".join(["-O2", *STRICT, *SANITIZE])
    succeed("make", "-B", "-C", folder, f"CC={COMPILER}", f"CFLAGS={flags}", env=installed)
    return folder


def headers(installed):
    flags = succeed("pkg-config", "--cflags", "weir-pool", env=installed).split()
    folder = next(flag[2:] for flag in flags if flag.startswith("-I"))
    return flags, sorted(name for name in os.listdir(f"{folder}/weir") if name.endswith(".h"))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_each_header_stands_alone(installed, tmp_path, compiler):
    """Each installed header compiles by itself, and twice, as strict C17."""
    flags, names = headers(installed)
    assert {"pool.h", "group.h", "figures.h", "hist.h"} <= set(names)
    for name in names:
        source = tmp_path / f"{name}.c"
        source.write_text(f"#include <weir/{name}>\n#include <weir/{name}>\nextern int nothing;\n")
        succeed(compiler, "-std=c17", "-pedantic-errors", *STRICT, *flags, "-fsyntax-only", source)


def test_pkg_config_names_the_library(installed):
    """The library's own flags and a version; nothing of the server."""
    libs = succeed("pkg-config", "--libs", "weir-pool", env=installed).split()
    assert [flag for flag in libs if not flag.startswith("-L")] == ["-lweir-pool", "-pthread"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", succeed("pkg-config", "--modversion", "weir-pool", env=installed))


def fib_report(printed):
    """What fib printed: the results, and the sum."""
    *results, last = printed.splitlines()
    return results, int(re.fullmatch(r"sum (\d+) in \d+\.\d{3} s", last)[1])


def test_fib(examples):
    """Twenty results and their sum; with arguments, others."""
    assert fib_report(succeed(examples / "fib")) == ([f"fib(32) = {FIB_32}"] * 20, 20 * FIB_32)
    assert fib_report(succeed(examples / "fib", "3", "10", "1")) == (["fib(10) = 55"] * 3, 165)
    assert fib_report(succeed(examples / "fib", "1000", "5", "50")) == (["fib(5) = 5"] * 1000, 5000)


@pytest.mark.parametrize("name, args", [("fib", ["0"]), ("fib", ["1", "x"]), ("fib", ["1", "51"]),
                                        ("sleepers", ["1", ""]), ("sleepers", ["1", "1", "-1"])])
def test_wrong_arguments(examples, name, args):
    result = run(examples / name, *args)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f'{name}: "{args[-1]}" is not a number from 1 to '), result.stderr


def sleep(examples, tasks, ms, threads, **options):
    """Run sleepers; returns its figures by name, its seconds, and what it wrote to stderr."""
    result = run(examples / "sleepers", str(tasks), str(ms), str(threads), **options)
    assert result.returncode == 0, result.stderr
    figures, times = result.stdout.splitlines()
    figures = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", figures)}
    assert figures["submitted"] == figures["completed"] == tasks
    seconds, peak_kb = re.fullmatch(r"(\d+\.\d{3}) s, peak memory (\d+) kB", times).groups()
    return figures | {"peak_kb": int(peak_kb)}, float(seconds), result.stderr


def test_sleepers(examples):
    """5000 naps of 20 ms on 500 threads take at least ten naps' time, and far less than one thread would need."""
    figures, seconds, said = sleep(examples, 5000, 20, 500)
    assert 0.2 <= seconds < limit(10)
    assert 1 <= figures["spawned"] <= 500 and "failed" not in said, said


@pytest.mark.timeout(limit(90))
@pytest.mark.skipif(SLOW_BUILD, reason="too many threads for a slow build")
def test_sleepers_in_full(examples):
    """100 000 naps of 100 ms, nearly three hours of them, pass on 10 000 threads in seconds and in little memory."""
    figures, seconds, said = sleep(examples, 100_000, 100, 10_000, seconds=80)
    assert 1.0 <= seconds < 60  # two, where nothing else runs
    assert figures["peak_kb"] < 10_000 * 32 and figures["spawned"] <= 10_000 and said == ""


@pytest.mark.skipif(bool(SANITIZE), reason="sanitizers need more addresses than the limit allows")
def test_sleepers_without_threads(examples):
    """Where the system refuses most of the threads, sleepers says so and finishes with the others."""
    space = 16 << 20  # bytes of addresses: enough for the program and some 200 stacks
    figures, _, said = sleep(examples, 2000, 100, 10_000,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (space, space)))
    assert 1 <= figures["spawned"] < 256
    assert re.fullmatch(r"sleepers: starting a thread failed \d+ times: .*ulimit -u.*\n", said), said


def test_collect(examples):
    """The right answer, out of all tasks, and one wake-up for many of them."""
    printed = succeed(examples / "collect")
    tasks, wakeups = map(int, re.fullmatch(r"(\d+) tasks, (\d+) wake-ups: 837799 takes 524 steps\n", printed).groups())
    assert tasks == 1000 and 1 <= wakeups < tasks
