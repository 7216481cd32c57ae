"""What the tests of workers that have been taken over share: modules that know the layout of the region, and what they leave behind."""

import atexit
import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import weirlib
from weirlib import alive, config, wait_until


@functools.cache
def attack_module(name):
    """The path of a module whose source lies beside the tests and knows the layout of the region."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"weir-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    source, path = pathlib.Path(__file__).with_name(f"{name}.c"), folder / f"{name}.so"
    subprocess.run(["cc", "-std=gnu17", "-O2", "-shared", "-fPIC", "-I", weirlib.BINARY.parent / "include", "-I", weirlib.ROOT,
                    source, "-o", path], check=True)
    return path


def end_group(group):
    """Kill all processes of a group that an attack has left behind, and wait for their end."""
    def members():
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(pid) == group and alive(pid):
                    yield pid
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    wait_until(lambda: not any(members()), 3, f"the end of group {group}")


@contextlib.contextmanager
def attacked(weir, handler, query, main="", **options):
    """While this handler's processes attack a server: the pids of its two workers."""
    weir.start(config(f"location = /attack {{ handler {handler}; }}", workers=2, main=f"load_module {attack_module('taken_over')}; {main}"),
               **options)
    before = weir.wait_workers(2)
    group = int(weir.get(f"/attack?{query}").text)
    try:
        yield before
    finally:
        end_group(group)
