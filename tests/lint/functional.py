#!/usr/bin/env python3
"""Functional tests: each directive has a test that is marked with it, each mark is of one, and no test just sleeps.

A mark is @pytest.mark.directive("name", ...) on a test, or in its module's pytestmark; *NAMES stands for the words of a
list, or the keys of a dictionary, at the top of the module.
"""

import ast
import re
import sys

from source import read, run, tree_files, Finding

LISTED = "docs/directives.md"
FOLDER = "tests/functional/"
LIB = FOLDER + "lib/"
SLEEPER = LIB + "weirlib.py"  # whose helpers say in their names what time is wanted for


def directives(text):
    """{directive: the line where it is described}"""
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        if match := re.fullmatch(r"### (\w+)", line):
            found.setdefault(match[1], number)
    return found


def is_mark(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "directive"


def constants(tree):
    """{name: value} of what stands at the top of a module; of a dictionary only the keys count."""
    return {statement.targets[0].id: statement.value for statement in tree.body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)}


def words(argument, known):
    """The words that an argument of a mark stands for; None if it cannot be told."""
    if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Name):
        listed = known.get(argument.value.id)
        items = listed.keys if isinstance(listed, ast.Dict) else getattr(listed, "elts", [None])
        found = [words(item, known) for item in items]
        return None if None in found else [word for some in found for word in some]
    return [argument.value] if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None


def marks(tree):
    """(line, words or None, the nodes of the mark) of each mark of a module."""
    known = constants(tree)
    for node in ast.walk(tree):
        if is_mark(node):
            found = [words(argument, known) for argument in node.args]
            yield node.lineno, None if None in found or not found else [word for some in found for word in some], node


def without(text, nodes):
    """The text without the lines of these nodes."""
    lines = text.split("\n")
    for node in nodes:
        for number in range(node.lineno, node.end_lineno + 1):
            lines[number - 1] = ""
    return "\n".join(lines)


def used(text, library):
    """The text of those files of lib/ that a module imports, and of those that they import."""
    left, texts = [text], {}
    while left:
        for module in re.findall(r"^(?:from|import) (\w+)", left.pop(), re.M):
            if module in library and module not in texts:
                texts[module] = library[module]
                left.append(library[module])
    return "\n".join(texts.values())


def check_module(name, text, listed, library):
    """Findings of one module, and the directives that it marks."""
    tree, findings, marked = ast.parse(text), [], set()
    found = list(marks(tree))
    rest = without(text, [node for _, _, node in found]) + used(text, library)
    for line, names, _ in found:
        if names is None:
            findings.append(Finding(name, line, "a mark takes names of directives, written here or in a list of this module."))
        for word in names or []:
            marked.add(word)
            if word not in listed:
                findings.append(Finding(name, line, f'"{word}" is no directive of {LISTED}: mend the mark.'))
            elif not re.search(rf"(?<![\w$]){word}\b", rest):
                findings.append(Finding(name, line, f'nothing here uses "{word}": take the mark away, or mark the test that does.'))
    return findings, marked


def check_sleeps(name, text):
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"\btime\.sleep\(", line) and name != SLEEPER:
            yield Finding(name, number, "a sleep waits for nothing: wait for the event, or say with take_time, let_pass or watch why.")


def check(root):
    files = tree_files(root)
    modules = {name: read(root, name) for name in files if name.startswith(FOLDER) and name.endswith(".py")}
    library = {name[len(LIB):-3]: text for name, text in modules.items() if name.startswith(LIB)}
    listed = directives(read(root, LISTED)) if LISTED in files else {}
    missing = dict(listed)
    for name, text in modules.items():
        findings, marked = check_module(name, text, listed, library)
        yield from findings
        yield from check_sleeps(name, text)
        for word in marked:
            missing.pop(word, None)
    for word, line in missing.items():
        yield Finding(LISTED, line, f'no test of {FOLDER} is marked with directive("{word}"): mark the one that fails without it.')


if __name__ == "__main__":
    sys.exit(run(check))
