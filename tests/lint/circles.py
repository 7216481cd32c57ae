#!/usr/bin/env python3
"""Files call each other one way: two .c files that need each other, directly or by a third, are one file in two pieces.

A call is the name of another file's function, not static, before a parenthesis. What must go up is a verdict returned
or a callback that the caller gives, and neither counts. Some circles have a reason; KNOWN names their files, all of
them, so that a circle that has been untied, or has lost a file, is taken from the list and does not come back.
"""

import re
import sys

from source import c_files, code_only, is_product, line_at, read, run, Finding, REPOSITORY


def in_room(room, names):
    return frozenset(f"{room}/{name}.c" for name in names.split())


# A circle's files, and in one sentence why they call each other.
KNOWN = (
    (
        in_room("pool", "end queue submit thread wake"),
        "One machine under two locks, in five subjects: who ends a task looks for the next one, and who finds work starts a thread.",
    ),
    (
        in_room("shm", "permit permit_grant permit_repair"),
        "A zone that is found broken is mended where it is found, under its lock, and what mending frees is granted there and then.",
    ),
)

REMEDY = "return a verdict, take a callback, or move one of the functions"

# A function as clang-format lays it out: its name at the left edge, its braces in the first column.
FUNCTION = re.compile(r"^(?P<kind>[A-Za-z_][^;{}()#]*?)\b(?P<name>[A-Za-z_]\w*)\([^;{}]*\n\{\n(?P<body>.*?)^\}", re.M | re.S)
CALL = re.compile(r"(?<![\w.>])([A-Za-z_]\w*)\s*\(")


class File:
    """One .c file: the functions it offers, those it keeps to itself, and the line of the first call of each name."""

    def __init__(self, text):
        code = code_only(text)
        self.offered, self.kept, self.calls = {}, set(), {}
        for match in FUNCTION.finditer(code):
            if re.search(r"\bstatic\b", match["kind"]):
                self.kept.add(match["name"])
            else:
                self.offered[match["name"]] = line_at(code, match.start("name"))
            for call in CALL.finditer(match["body"]):
                self.calls.setdefault(call[1], line_at(code, match.start("body") + call.start()))
        for name in self.kept | set(self.offered):
            self.calls.pop(name, None)


def call_graph(root):
    """For each file the files that it calls: {name: {callee's name: (function, line of the first call)}}."""
    files = {name: File(read(root, name)) for name in c_files(root) if name.endswith(".c") and is_product(name)}
    home = {}
    for name, file in files.items():
        for function in file.offered:
            home.setdefault(function, []).append(name)
    graph = {}
    for name, file in files.items():
        graph[name] = {}
        for function, line in sorted(file.calls.items(), key=lambda call: call[1]):
            for callee in home.get(function, ()):
                graph[name].setdefault(callee, (function, line))
    return graph


def reached(graph, start):
    seen, next_ones = set(), [start]
    while next_ones:
        for callee in graph[next_ones.pop()]:
            if callee not in seen:
                seen.add(callee)
                next_ones.append(callee)
    return seen


def circles(graph):
    """The sets of files each of which reaches all others of its set."""
    below = {name: reached(graph, name) for name in graph}
    return {frozenset(other for other in below[name] if name in below[other]) for name in graph if name in below[name]}


def check_calls(root, known=()):
    graph = call_graph(root)
    there = circles(graph)
    for circle in there:
        if not any(circle <= files for files, _ in known):
            yield from calls_inside(graph, circle, known)
    circling = frozenset().union(*there)
    for files, _ in known:
        for name in sorted(files & graph.keys() - circling):
            yield Finding(name, 1, "is in no circle of calls any more: take it from KNOWN in circles.py.")
        for name in sorted(files - graph.keys()):
            yield Finding("tests/lint/circles.py", 1, f"{name} is not there any more: take it from KNOWN.")


def calls_inside(graph, circle, known):
    """The calls that hold a circle together; where most of its files are known, only those of and to the others."""
    listed = max((files for files, _ in known), key=lambda files: len(files & circle), default=frozenset())
    for name in circle:
        for callee, (function, line) in graph[name].items():
            if callee in circle and not {name, callee} <= listed:
                yield Finding(name, line, f"calls {function} of {callee}, which needs this file in turn: {REMEDY}.")


def check(root):
    return check_calls(root, KNOWN if root == REPOSITORY else ())


if __name__ == "__main__":
    sys.exit(run(check))
