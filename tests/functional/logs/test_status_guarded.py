"""What the documentation shows to copy keeps the status from the world, and the guard that it shows works."""

import re
import subprocess

import pytest
from weirlib import ROOT, config, limit

TEXTS = [ROOT / "README.md", ROOT / "etc/weir.conf",
         *(path for path in sorted(ROOT.glob("docs/*.md")) if path.name != "directives.md")]
SHOWN = re.compile(r"location [^{}]*\{[^{}]*\b(?:stub_)?status;[^{}]*\}")
GUARD = "allow 127.0.0.1; allow ::1; deny all;"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_example_is_guarded(path):
    """Each location with status or stub_status in an example lets in this machine alone."""
    for shown in SHOWN.findall(path.read_text()):
        assert "allow 127.0.0.1;" in shown and "deny all;" in shown, shown


def test_there_are_such_examples():
    """The rule above has something to look at."""
    assert sum(len(SHOWN.findall(path.read_text())) for path in TEXTS) >= 4


@pytest.mark.parametrize("directive", ["status", "stub_status"])
def test_the_guard_works(weir, directive):
    """With it this machine gets the status, another address 403."""
    weir.start(config(f"location = /seen {{ {directive}; {GUARD} }}", listen="{port}"))
    assert weir.get("/seen").status == 200
    other = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", "127.0.0.2",
                            f"http://127.0.0.1:{weir.port}/seen"], capture_output=True, text=True, timeout=limit(10), check=False)
    assert other.stdout == "403"
