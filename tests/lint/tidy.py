#!/usr/bin/env python3
"""clang-tidy over the files named on stdin, each looked at once for what it is made of.

A clean file leaves a mark below FOLDER, named after a hash of its text, of every header that it includes, of the
settings, the flags and the program; while the mark stands the file is not looked at again. Findings leave none. They
go to stdout, once each; the way to each of them is in FOLDER/ways.

    tidy.py FOLDER JOBS FLAG... <FILES
"""

import concurrent.futures
import functools
import hashlib
import pathlib
import re
import subprocess
import sys

FINDING = re.compile(r"(?:^|: )(?:error|warning|fatal error): ")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


@functools.cache
def text_hash(name):
    return hashlib.sha256(pathlib.Path(name).read_bytes()).digest()


def made_of(source, flags):
    """The file and all that it includes, by the compiler's own word; None where it cannot be compiled."""
    rule = run("clang", "-M", *flags, source)
    return rule.stdout.replace("\\\n", " ").split()[1:] if rule.returncode == 0 else None


def mark_of(folder, source, flags, settings):
    """Where the mark of a clean file stands; None where it has none."""
    names = made_of(source, flags)
    if names is None:
        return None
    whole = hashlib.sha256(repr((source, flags)).encode() + settings)
    for name in names:
        whole.update(name.encode() + b"\0" + text_hash(name))
    return folder / whole.hexdigest()


def findings(text, root):
    """The lines that say what is wrong, with names from the top of the tree."""
    for line in text.splitlines():
        if FINDING.search(line):
            yield line.removeprefix(root + "/").removeprefix("./").replace(",-warnings-as-errors", "")


def look(folder, source, flags, settings):
    """What clang-tidy has to say about a file: its exit code, its text; nothing where the mark stands."""
    mark = mark_of(folder, source, flags, settings)
    if mark and mark.exists():
        return 0, ""
    result = run("clang-tidy", "--quiet", source, "--", *flags)
    if result.returncode == 0 and mark:
        mark.touch()
    return result.returncode, result.stdout or result.stderr * (result.returncode != 0)


def main(folder, jobs, *flags):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = text_hash(".clang-tidy") + run("clang-tidy", "--version").stdout.encode()
    sources = sorted(sys.stdin.read().split(), key=lambda name: -pathlib.Path(name).stat().st_size)
    with concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:  # the large ones first, so that the cores end together
        results = list(pool.map(lambda source: look(folder, source, flags, settings), sources))
    (folder / "ways").write_text("".join(text for _, text in results))
    said = {line for _, text in results for line in findings(text, str(pathlib.Path.cwd()))}
    print("\n".join(sorted(said)), end="\n" * bool(said))
    failed = [source for source, (code, _) in zip(sources, results) if code]
    if failed:
        print(f"The way to each of them is in {folder}/ways." if said else f"clang-tidy fails on {' '.join(failed)}: see {folder}/ways.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
