#!/usr/bin/env python3
"""Words that do not belong in the tree: work left for later, paths of one machine, warnings silenced without a reason.

The words are put together from pieces here, so that neither this file nor a plain grep trips over the list.
"""

import re
import sys

from source import comments_only, read, run, tree_files, Finding

CODE = (".c", ".h", ".py", "GNUmakefile")
TEXT = CODE + (".sh", ".mk", ".md", ".conf", ".service", ".yml", ".yaml", ".html", "/run")

LATER = re.compile(r"(?<!\\)\b(" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK")) + r")\b", re.I)
MACHINE_PATH = re.compile(r"(?<![\w.$})/-])/(?:work|root|home/[a-z]\w*|Users/\w+)/")

# Each silencer with its own arguments, which do not count as a reason.
SILENCER = re.compile(
    "|".join(
        (
            r"#\s*pragma\s+(?:GCC|clang)\s+diag" r"nostic\s+(?:ignored|warning)\s+\"[^\"]*\"",
            r"NO" r"LINT(?:NEXTLINE|BEGIN)?\b(?:\([^)]*\))?",
            r"cpp" r"check-suppress[\w-]*(?:\s*\[[^\]]*\]|\s+\w+)?",
            r"-W" r"no-[\w=+-]+",
        )
    )
)
REASON_WORDS = 3


def check_later(name, lines):
    for number, line in enumerate(lines, 1):
        for match in LATER.finditer(line):
            yield Finding(name, number, f"{match[0]} leaves work for later: finish it, or say it in a note.")


def check_paths(name, lines):
    for number, line in enumerate(lines, 1):
        for match in MACHINE_PATH.finditer(line):
            yield Finding(name, number, f"{match[0]} exists on one machine only: derive the path from the tree.")


def check_silenced(name, lines, comments):
    for number, line in enumerate(lines, 1):
        match = SILENCER.search(line)
        if match and not has_reason(comments, number) and not named_reason(comments, match[0]):
            sentence = f"{match[0]} silences a warning without a reason: say why beside it, or mend the cause."
            yield Finding(name, number, sentence)


def has_reason(comments, number):
    """Whether the comments on the line and the one before it say more than the silencer itself."""
    around = " ".join(comments[max(0, number - 2) : number])
    return len(re.findall(r"[A-Za-z]{2,}", SILENCER.sub(" ", around))) >= REASON_WORDS


def named_reason(comments, silencer):
    """Whether a comment anywhere names a compiler flag and says more: a list of flags has no room between them."""
    return silencer.startswith("-") and any(
        silencer in SILENCER.findall(comment) and has_reason(comments, number) for number, comment in enumerate(comments, 1)
    )


def comment_lines(name, text):
    if name.endswith((".c", ".h")):
        return comments_only(text).split("\n")
    return [(re.search(r"(?:^|\s)#.*", line) or [""])[0] for line in text.split("\n")]


def check(root):
    for name in tree_files(root):
        if not ("/" + name).endswith(TEXT):
            continue
        text = read(root, name)
        lines = text.split("\n")
        yield from check_paths(name, lines)
        if name.endswith(CODE):
            yield from check_later(name, lines)
        if not name.endswith(".md"):
            yield from check_silenced(name, lines, comment_lines(name, text))


if __name__ == "__main__":
    sys.exit(run(check))
