"""sendfile and sendfile_max_chunk: whether the kernel is asked to send a file, and for how much of it at a time."""

import os
import subprocess

import pytest
from weirlib import config

SENT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
static FILE *list;
__attribute__((constructor)) static void begin(void) { list = fopen(getenv("WEIR_TEST_SENT"), "a"); }
ssize_t sendfile(int out, int in, off_t *at, size_t most)
{
    ssize_t (*real)(int, int, off_t *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "sendfile");
    fprintf(list, "%zu\n", most);
    fflush(list);
    return real(out, in, at, most);
}
"""
SIZE = 1 << 20


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """To be preloaded: writes down how much each sendfile() is asked for."""
    folder = tmp_path_factory.mktemp("sent")
    folder.chmod(0o755)
    (folder / "sent.c").write_text(SENT)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "sent.so", folder / "sent.c", "-ldl"], check=True)
    return folder / "sent.so"


def asked(weir, library, settings):
    """What the kernel was asked for, call by call, while a file was sent."""
    sent = weir.write("", "sent")
    (weir.tmp / "html/big").write_bytes(bytes(SIZE))
    weir.start(config(f"location / {{ root {{tmp}}/html; {settings} }}"), env={**os.environ, "LD_PRELOAD": str(library), "WEIR_TEST_SENT": str(sent)})
    assert weir.get("/big").body == bytes(SIZE)
    return [int(line) for line in sent.read_text().splitlines()]


@pytest.mark.http1_only
@pytest.mark.directive("sendfile")
@pytest.mark.parametrize("setting, used", [("sendfile on;", True), ("sendfile off;", False)])
def test_sendfile(weir, library, setting, used):
    assert bool(asked(weir, library, setting)) == used


@pytest.mark.http1_only
@pytest.mark.directive("sendfile_max_chunk")
@pytest.mark.parametrize("setting, most", [("", 2 << 20), ("sendfile_max_chunk 100k;", 100 << 10), ("sendfile_max_chunk 0;", SIZE)])
def test_share(weir, library, setting, most):
    """As much as that, and no more; 2 megabytes by default."""
    found = asked(weir, library, "sendfile on;" + setting)
    assert max(found) == min(most, SIZE) and sum(found) >= SIZE, found
