"""The summary lines: how much was compared, and what is still to be mended."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.append(str(pathlib.Path(__file__).parents[1] / "functional/lib"))  # for weirlib
from open import OPEN  # noqa: E402


def pytest_terminal_summary(terminalreporter):
    lines = [value for name in ("passed", "failed") for report in terminalreporter.stats.get(name, [])
             for key, value in report.user_properties if key == "differential"]
    if not lines:
        return
    cases, requests, values, seconds = (sum(column) for column in zip(*lines))
    terminalreporter.write_line(f"differential: {cases} configurations, {requests} requests and {values} values "
                                f"compared with nginx in {len(lines)} topics, {seconds:.0f} s in all")
    terminalreporter.write_line(f"differential: {len(OPEN)} faults still to be mended{':' if OPEN else ''}")
    for row in OPEN:
        terminalreporter.write_line(f"  {row.what}: {row.reason}")
