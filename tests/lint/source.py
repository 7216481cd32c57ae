"""What the lints share: the files of the tree, C text without comments or strings, and how a finding is told.

Run by itself it prints every .c and .h of the tree, one a line; run.sh feeds that list to the other tools.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]

# Folders whose C code is not part of the server: the rules about ranks and openings do not bind it.
OUTSIDE = ("tests", "bench", "examples")

TOKEN = re.compile(r"""//(?:\\\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)


class Finding(NamedTuple):
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


def tree_files(root):
    """Paths relative to root, sorted: tracked or new, nothing that git ignores, nothing below build/."""
    names = _git_names(root)
    if names is None:
        names = _walked_names(root)
    return sorted(name for name in names if not name.startswith("build/") and (root / name).is_file())


def _git_names(root):
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(answer.stdout.split("\0")) - {""} if answer.returncode == 0 else None


def _walked_names(root):
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".") and name != "__pycache__"]
        for name in names:
            yield (Path(folder) / name).relative_to(root).as_posix()


def c_files(root):
    return [name for name in tree_files(root) if name.endswith((".c", ".h"))]


def read(root, name):
    return (root / name).read_text(encoding="utf-8", errors="replace")


def folder_of(name):
    """The first folder of a path; for a file at the top, the file itself."""
    return name.split("/", 1)[0]


def is_product(name):
    return folder_of(name) not in OUTSIDE


def _spaces(text):
    return re.sub(r"[^\n]", " ", text)


def _blank(text, unwanted):
    """The text with the tokens that unwanted() chooses turned to spaces; lines and columns stay."""
    return TOKEN.sub(lambda m: _spaces(m[0]) if unwanted(m[0]) else m[0], text)


def without_comments(text):
    return _blank(text, lambda token: token[0] == "/")


def code_only(text):
    return _blank(text, lambda token: True)


def comments_only(text):
    kept = list(_spaces(text))
    for match in TOKEN.finditer(text):
        if match[0][0] == "/":
            kept[match.start() : match.end()] = match[0]
    return "".join(kept)


def line_at(text, offset):
    return text.count("\n", 0, offset) + 1


def run(check):
    """Print what check(root) finds in the tree given as argument (this repository without one); 1 if anything."""
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPOSITORY
    findings = sorted(check(root))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    print("\n".join(c_files(REPOSITORY)))
