#!/usr/bin/env python3
"""A comment behind code is short: a longer one tears its statement apart when clang-format lays it out, or is torn itself.

It stands above the statement or the field instead, where there is room for a sentence.
"""

import re
import sys

from source import c_files, line_at, read, run, Finding, TOKEN

BEHIND_MAX = 40

MARKS = re.compile(r"^(/\*|//)\s*|\s*\*/$")


def check_behind(name, text):
    for match in TOKEN.finditer(text):
        if match[0][0] != "/" or not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip():
            continue
        count = len(MARKS.sub("", match[0]))
        if count > BEHIND_MAX:
            sentence = f"a comment of {count} characters behind code, {BEHIND_MAX} at most: put it above, as a sentence."
            yield Finding(name, line_at(text, match.start()), sentence)


def check(root):
    for name in c_files(root):
        yield from check_behind(name, read(root, name))


if __name__ == "__main__":
    sys.exit(run(check))
