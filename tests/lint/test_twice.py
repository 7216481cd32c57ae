"""tests/twice.sh: what has a second try, and what has none."""

import os
import pathlib
import subprocess
import sys

import pytest

TWICE = pathlib.Path(__file__).resolve().parents[1] / "twice.sh"
TESTS = """
import os, pathlib, pytest
def fails_at_first(name):
    seen = pathlib.Path(name + ".seen").exists()
    pathlib.Path(name + ".seen").touch()
    assert seen, "first"
def test_good(): pass
@pytest.mark.parametrize("p", ["a - b", "c@d"])
def test_unsteady(p): "unsteady" not in os.environ["KINDS"] or fails_at_first(p.replace(" ", ""))
@pytest.mark.xdist_group("names")
def test_grouped(): assert "broken" not in os.environ["KINDS"]
@pytest.mark.parametrize("n", range(4))
def test_many(n): "many" not in os.environ["KINDS"] or fails_at_first(str(n))
@pytest.fixture
def bad():
    yield
    assert "error" not in os.environ["KINDS"]
def test_fixture(bad): pass
"""


@pytest.mark.parametrize("kinds, code, said", [
    ("", 0, "9 passed"), ("unsteady", 0, "2 passed at the second try, 7 passed"), ("broken", 1, "1 failed"),
    ("unsteady broken", 1, "test_grouped"), ("many", 1, "4 failed"), ("unsteady error", 1, "1 error")])
@pytest.mark.parametrize("color", [False, True])
def test_second_try(tmp_path, kinds, code, said, color):
    pytest.importorskip("xdist")
    (tmp_path / "test_it.py").write_text(TESTS)
    env = {**os.environ, "KINDS": kinds, **({"FORCE_COLOR": "1"} if color else {})}
    done = subprocess.run([TWICE, sys.executable, "-m", "pytest", "-q", "-r", "sEf", "-n", "2", "--dist", "loadgroup", "test_it.py"],
                          cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code and said in done.stdout, done.stdout
    assert done.stdout.count("UNSTEADY") == (2 if kinds == "unsteady" else 0)
