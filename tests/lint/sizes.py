#!/usr/bin/env python3
"""Nothing grows too large to read at one go, and each C file of the server opens by saying what it is.

Functions are found as clang-format lays them out: from a brace in the first column to the closing one.
"""

import re
import sys

from source import c_files, code_only, comments_only, is_product, read, run, Finding

FILE_LINES = 600
FILE_LINES_WARN = 500
FUNCTION_LINES = 60
# Words of the opening, the file's own name among them; the interface says the rest at each call.
OPENING_WORDS = {".c": 6, ".h": 4}

GUARD = re.compile(r"\s*(#\s*ifndef\s+\w+\s+#\s*define\s+\w+|#\s*pragma\s+once)")


def check_file_length(name, text):
    count = len(text.splitlines())
    if count > FILE_LINES:
        yield Finding(name, count, f"{count} lines, {FILE_LINES} at most: split the file where its subject changes.")
    elif count > FILE_LINES_WARN:
        print(f"{name}:{count}: note: {count} lines; over {FILE_LINES} fails.", file=sys.stderr)


def functions(text):
    """Each function as (name, line of its opening brace, lines from brace to brace)."""
    lines = code_only(text).splitlines()
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            yield function_name(lines[: start - 1]), start, number - start + 1
            start = None


def function_name(lines_before):
    """The name before the last parameter list that opens in the first column's declaration."""
    for line in reversed(lines_before):
        names = [n for n in re.findall(r"([A-Za-z_]\w*)\s*\(", line) if not n.startswith("__")]
        if names and not line[:1].isspace():
            return names[0]
    return "?"


def check_function_length(name, text):
    for function, line, count in functions(text):
        if count > FUNCTION_LINES:
            sentence = f"{function} has {count} lines, {FUNCTION_LINES} at most: give a step of it a name of its own."
            yield Finding(name, line, sentence)


def check_opening(name, text):
    if not is_product(name):
        return
    guard = GUARD.match(code_only(text)) if name.endswith(".h") else None
    body = text[guard.end() :] if guard and not text.lstrip().startswith("/") else text
    if opening_words(body) < OPENING_WORDS[name[-2:]]:
        yield Finding(name, 1, "opens without a paragraph: say what the file is for, its model, what it does not do.")


def opening_words(text):
    """Words in the comment that the text begins with."""
    text = text.lstrip()
    comment = comments_only(text)
    code = re.search(r"\S", code_only(text))
    return len(re.findall(r"[A-Za-z]{2,}", comment[: code.start()] if code else comment))


def check(root):
    for name in c_files(root):
        text = read(root, name)
        yield from check_file_length(name, text)
        yield from check_function_length(name, text)
        yield from check_opening(name, text)


if __name__ == "__main__":
    sys.exit(run(check))
