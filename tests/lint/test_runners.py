"""What runs the checks: everything runs, what failed stands last, and nothing is looked at or installed in vain."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def run(*command, path=None, cwd=ROOT, stdin="", **environment):
    """Runs a command, with a folder of programs before all others; returns its exit code and its lines."""
    environment = dict(os.environ, **environment)
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        environment.pop(name, None)
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    result = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, input=stdin, text=True, check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.returncode, result.stdout.splitlines()


SUMMARY = "echo '   tests 2 2 2 0 0'; echo ' asserts 9 9 9 0 n/a'\n"


def test_units_go_on_after_a_failure(tmp_path):
    bad = program(tmp_path / "unit/a/bad", "echo '    1. a.c:7  - x == y'\n" + SUMMARY + "exit 1\n")
    crash = program(tmp_path / "unit/a/crash", "kill -SEGV $$\n")
    good = program(tmp_path / "unit/b/good", "echo 'SKIPPED: a name: needs /etc/hosts'\n" + SUMMARY)
    code, lines = run("tests/unit/run.sh", bad, crash, good)
    assert code == 1
    assert [line.split() for line in lines if line.startswith("  ok ")][0][:6] == ["ok", "b/good", "2", "tests", "9", "checks"]
    assert lines[-5:] == ["SKIPPED b/good: a name: needs /etc/hosts", "1 of 3 unit programs passed, 1 checks skipped",
                          f"FAILED {bad}: 1 checks do not hold", f"FAILED {bad}: a.c:7  - x == y",
                          f"FAILED {crash}: ended by signal 11"]
    assert run("tests/unit/run.sh", good)[0] == 0


@pytest.fixture
def tree(tmp_path):
    """The script that checks, in a tree of its own; its make does what {name of a target} does."""
    script = program(tmp_path / "tests/check.sh", "")
    script.write_text((ROOT / "tests/check.sh").read_text())

    def check(**targets):
        cases = "".join(f"*' {name}') {does} ;;\n" for name, does in targets.items())
        make = program(tmp_path / "make", f'case "$*" in\n{cases}esac\n')
        return run(script, cwd=tmp_path, MAKE=str(make))

    return check


def test_check_goes_on_and_says_what_failed_last(tree):
    code, lines = tree(unit="echo 'FAILED a: b'; echo later; exit 2", lint="echo 'FAILED tidy: c'; exit 1",
                       functional="echo '3 passed, 1 skipped in 2.00s'")
    assert code == 1
    at = lines.index("== what there was")
    assert [line.split()[:2] for line in lines[at + 1:at + 6]] == [
        ["ok", "build"], ["ok", "build-clang"], ["FAILED", "lint"], ["FAILED", "unit"], ["ok", "functional"]]
    assert lines[at + 5].endswith("  3 passed, 1 skipped")
    assert lines[at + 6:] == ["== what failed", "  lint: FAILED tidy: c", "  unit: FAILED a: b"]


def test_check_without_a_failure(tree):
    code, lines = tree(functional="echo fine")
    assert code == 0 and "== what failed" not in lines


def test_check_without_a_program(tree):
    code, lines = tree(all="echo 'a.c:1:2: error: no'; exit 2", unit="echo ran", functional="echo ran")
    assert code == 1 and "ran" not in lines
    assert lines[-1] == "  build: a.c:1:2: error: no"


def test_install_installs_no_packages(tmp_path):
    program(tmp_path / "bin/dpkg-query", "exit 1\n")
    for name in ("apt-get", "sudo"):
        program(tmp_path / "bin" / name, f"touch {tmp_path}/installed\n")
    code, lines = run("make", "install", f"B={tmp_path}/build", f"DESTDIR={tmp_path}/root", path=tmp_path / "bin")
    assert code != 0 and not (tmp_path / "installed").exists() and not (tmp_path / "root").exists()
    assert any("installs no packages" in line and "libev-dev" in line for line in lines), lines


def test_tidy_looks_again_where_something_changed(tmp_path):
    program(tmp_path / "bin/clang-tidy", 'echo "$2" >>seen; grep -n "bad" "$2" | sed "s|^|$PWD/$2: error: |"; ! grep -q "bad" "$2"\n')
    (tmp_path / ".clang-tidy").write_text("Checks: 'bugprone-*'\n")
    (tmp_path / "a.h").write_text("int a;\n")
    (tmp_path / "a.c").write_text('#include "a.h"\n')
    (tmp_path / "b.c").write_text("int b;\n")

    def seen(*flags):
        (tmp_path / "seen").write_text("")
        code, lines = run(ROOT / "tests/lint/tidy.py", "marks", "2", "-I.", *flags, path=tmp_path / "bin", cwd=tmp_path,
                          stdin="a.c\nb.c\n")
        return code, lines, sorted((tmp_path / "seen").read_text().split())

    assert seen() == (0, [], ["a.c", "b.c"])
    assert seen() == (0, [], [])
    (tmp_path / "a.h").write_text("int c;\n")
    assert seen() == (0, [], ["a.c"])
    assert seen("-DX") == (0, [], ["a.c", "b.c"])
    (tmp_path / ".clang-tidy").write_text("Checks: '-*'\n")
    assert seen() == (0, [], ["a.c", "b.c"])
    (tmp_path / "b.c").write_text("int bad;\n")
    for _ in range(2):
        code, lines, again = seen()
        assert code == 1 and lines[0] == "b.c: error: 1:int bad;" and again == ["b.c"]
