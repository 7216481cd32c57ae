#!/usr/bin/env python3
"""Who may include whom, and what only one folder may use.

A file includes its own folder or one of a lower rank, never sideways or up, and headers form no circle. Ours are
written "folder/file.h" from the top of the repository, the own header first. A module sees the public header only.
"""

import re
import sys

from source import c_files, code_only, folder_of, is_product, line_at, read, run, without_comments, Finding

RANKS = {
    "base": 0,
    "conf": 1,
    "shm": 1,
    "pool": 1,
    "net": 1,
    "http/wire": 1,
    "http/request": 2,
    "worker/loop": 3,
    "http/site": 4,
    "http/filters": 5,
    "http/access": 5,
    "proxy": 5,
    "handlers": 5,
    "http/serve": 6,
    "http/client": 7,
    "http/h1": 8,
    "http/h2": 8,
    "worker": 9,
    "master": 10,
    "main.c": 11,
}

# What a module is compiled against; it is installed alone, so it may not lean on any other header of ours.
PUBLIC_HEADERS = ("weir/handler.h", "handlers/handler.h")

# System header: the folders that may include it, and what the others do instead.
KEPT_HEADERS = {
    "ev.h": (("net", "worker/loop", "worker", "master"), "let worker/loop watch the descriptor or the time and call you"),
    "pthread.h": (("pool", "modules"), "submit a task to pool/ or add the call to its interface"),
    "threads.h": (("pool",), "submit a task to pool/ or add the call to its interface"),
}

# Call: the files that may make it, and what the others do instead.
KEPT_CALLS = {
    r"\bv?fork\s*\(": (r"(master/|handlers/process_keep\w+\.c$)", "fork", "only master/ and the keeper of processes fork; ask it for a worker, or use posix_spawn for a program"),
    r"\bdlm?open\s*\(": (r"(http/site/module[^/]*|modules/[^/]*)\.c$", "dlopen", "only http/site/module*.c loads objects, and modules what they need; call the loader"),
}

# Word: the files that may have it, and what the others do instead.
KEPT_WORDS = {
    r"\b(?:recv|recvfrom|recvmsg|send|sendto|sendmsg|sendfile|shutdown)\s*\(": (
        r"(?!http/|proxy/|handlers/(?!process_keep\w+\.c$))",
        "sockets of clients and upstreams are read and written by net/stream.h alone",
    ),
    r"\bminor_version\b|\bres(?:->|\.)(?:chunked|close)\b|\blinger_after\b": (
        r"http/(wire|client|h1|h2)/|proxy/|(?!http/|handlers/|worker/)",
        "how a response is delimited and whether its connection is kept is the client's protocol's; see struct client_protocol",
    ),
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)[ \t]*(\w*)", re.M)


def room_of(name):
    """The folder that has a rank: of http/wire/uri.h it is http/wire."""
    folder = name
    while "/" in folder and folder not in RANKS:
        folder = folder.rsplit("/", 1)[0]
    return folder


class Source:
    """One C file: its includes as (line, "<" or quote, name) and its text without comments."""

    def __init__(self, root, name):
        raw = read(root, name)
        self.name = name
        self.folder = room_of(name)
        self.text = without_comments(raw)
        self.code = code_only(raw)
        self.includes = [(line_at(self.text, m.start(1)), m[1], m[2]) for m in INCLUDE.finditer(self.text)]

    def ours(self):
        return [(line, target) for line, quote, target in self.includes if quote == '"']

    def finding(self, line, text):
        return Finding(self.name, line, text)


def check_spelling(source, known):
    for line, quote, target in source.includes:
        if quote == "<":
            if target in known and target not in PUBLIC_HEADERS:
                yield source.finding(line, f'<{target}> is ours: write #include "{target}".')
        elif target not in known:
            yield source.finding(line, f'"{target}" is no file of the tree: write it as "folder/file.h" from the top.')


def check_rank(source, known):
    if not is_product(source.name) or source.folder == "modules":
        return
    if source.folder not in RANKS:
        yield source.finding(1, f"{source.folder} has no rank: give it one in design and in RANKS of includes.py.")
        return
    for line, target in source.ours():
        folder = room_of(target)
        if target in PUBLIC_HEADERS:
            continue
        if target in known and folder != source.folder and RANKS.get(folder, 99) >= RANKS[source.folder]:
            yield source.finding(line, _rank_sentence(source.folder, folder))


def _rank_sentence(here, there):
    return (
        f"{here} (rank {RANKS[here]}) may not include {there} (rank {RANKS.get(there, 'none')}): "
        "move what both need to a lower folder, or take it as an argument or a callback."
    )


def check_module(source, known):
    if source.folder != "modules":
        return
    for line, target in source.ours():
        if folder_of(target) != "modules" and target not in PUBLIC_HEADERS:
            yield source.finding(line, f'a module may not include "{target}": use <weir/handler.h> alone.')


def check_public(source, known):
    if source.name not in PUBLIC_HEADERS:
        return
    for line, target in source.ours():
        yield source.finding(line, f'the public header may not include "{target}": it is installed without it.')


def check_kept_headers(source, known):
    if not is_product(source.name):
        return
    for line, quote, target in source.includes:
        folders, instead = KEPT_HEADERS.get(target, ((), ""))
        if quote == "<" and folders and source.folder not in folders:
            yield source.finding(line, f"<{target}> belongs to {', '.join(folders)} only: {instead}.")


def check_kept_calls(source, known):
    if not is_product(source.name):
        return
    for call, (files, name, instead) in KEPT_CALLS.items():
        if re.match(files, source.name):
            continue
        for match in re.finditer(call, source.code):
            yield source.finding(line_at(source.code, match.start()), f"{name}() does not belong here: {instead}.")


def check_kept_words(source, known):
    if not is_product(source.name):
        return
    for word, (files, instead) in KEPT_WORDS.items():
        for match in () if re.match(files, source.name) else re.finditer(word, source.code):
            yield source.finding(line_at(source.code, match.start()), f'"{match[0]}" does not belong here: {instead}.')


def check_own_header_first(source, known):
    own = source.name[:-2] + ".h"
    if not source.name.endswith(".c") or own not in known:
        return
    if not source.includes:
        yield source.finding(1, f'does not include its own header: make #include "{own}" the first include.')
    elif source.includes[0][1:] != ('"', own):
        yield source.finding(source.includes[0][0], f'make the own header the first include: #include "{own}".')


def guard_of(source):
    """The name that guards a header, "once" for the pragma, None if nothing does."""
    directives = DIRECTIVE.findall(source.code)
    if directives[:1] == [("pragma", "once")]:
        return "once"
    if len(directives) < 3 or directives[0][0] != "ifndef" or directives[-1][0] != "endif":
        return None
    return directives[0][1] if directives[1] == ("define", directives[0][1]) else None


def check_guards(sources):
    seen = {}
    for source in sources:
        if not source.name.endswith(".h"):
            continue
        guard = guard_of(source)
        if guard is None:
            name = "WEIR_" + re.sub(r"\W", "_", source.name).upper()
            yield source.finding(1, f"has no include guard: begin with #ifndef {name} and #define, end with #endif.")
        elif guard != "once" and guard in seen:
            yield source.finding(1, f"{guard} guards {seen[guard]} too: name the guard after the file's own path.")
        seen.setdefault(guard, source.name)


def check_circles(sources):
    """Each include of a header that leads back to a header from which it is being included."""
    headers = {source.name: source for source in sources if source.name.endswith(".h")}
    done = set()

    def visit(name, path):
        done.add(name)
        for line, target in headers[name].ours():
            if target in path or target == name:
                circle = [*path[path.index(target) :], name, target] if target in path else [name, target]
                text = f"headers form a circle, {' -> '.join(circle)}: declare the struct here instead of including."
                yield headers[name].finding(line, text)
            elif target in headers and target not in done:
                yield from visit(target, [*path, name])

    for name in headers:
        if name not in done:
            yield from visit(name, [])


FILE_CHECKS = (
    check_spelling,
    check_rank,
    check_module,
    check_public,
    check_kept_headers,
    check_kept_calls,
    check_kept_words,
    check_own_header_first,
)


def check(root):
    sources = [Source(root, name) for name in c_files(root)]
    known = {source.name for source in sources}
    for source in sources:
        for rule in FILE_CHECKS:
            yield from rule(source, known)
    yield from check_guards(sources)
    yield from check_circles(sources)


if __name__ == "__main__":
    sys.exit(run(check))
