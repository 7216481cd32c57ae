"""docs/from-nginx.md has the table of differences as it is."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import differences  # noqa: E402

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/from-nginx.md"


def test_table_is_current():
    """The page has been written since the last change of a row."""
    page = PAGE.read_text()
    assert page == differences.documented(page), "run make docs"


def test_cells_stay_in_their_row():
    """No text of a row begins a cell or a line of its own."""
    for line in differences.table().splitlines():
        assert not line.startswith("|") or line.replace("\\|", "").count("|") == 5, line
