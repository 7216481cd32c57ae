"""How files are looked at and read: open_file_cache, aio threads, directio, disable_symlinks, random_index, other lists.

A thread of a pool is held by the gate, a small preloaded library: while the file "gate" exists, pread(2) waits in every
thread but the main one. So a test decides how long a read takes.
"""

import ctypes
import gzip
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree

import pytest
import weirlib
from mistakes import FLAG, NUMBER, SIZE, TIME, arguments, duplicate, value
from weirlib import config, let_pass, open_files, wait_until

PART = 512 << 10  # what a thread reads at a time
BIG = random.Random(1).randbytes(5 * PART + 12345)
SMALL = random.Random(2).randbytes(20000)
TEXT = b"".join(b"line %d of a text\n" % i for i in range(70000))

GATE = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static const char *gate;
__attribute__((constructor)) static void begin(void) { const char *path = getenv("WEIR_TEST_GATE"); gate = path ? strdup(path) : NULL; }
ssize_t pread(int fd, void *into, size_t len, off_t at)
{
    while (gate && syscall(SYS_gettid) != getpid() && access(gate, F_OK) == 0)
        usleep(2000);
    return syscall(SYS_pread64, fd, into, len, at);
}
ssize_t pread64(int fd, void *into, size_t len, off_t at) { return pread(fd, into, len, at); }
"""


def put(weir, name, content):
    path = weir.tmp / "html" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def serve(weir, locations="location / { }", files=(), server="", http="", **parts):
    """Start a server whose root holds the files, given as {name: content}, old enough to be cached."""
    for name, content in dict(files).items():
        put(weir, name, content)
    let_pass(0.03)
    environment = dict(os.environ, **parts.pop("env", {}))
    return weir.start(config(locations, server="root {tmp}/html;" + server, http=http, **parts), env=environment)


def body(weir, target="/f", **options):
    reply = weir.get(target, **options)
    return reply.text if reply.status == 200 else reply.status


def descriptors(weir, name=""):
    """Open files of the one worker below the root, deleted ones too."""
    pid, = weir.worker_pids()
    return [path for path in open_files(pid).values() if path.startswith(f"{weir.tmp}/html/{name}")]


def cached_pages(path):
    """How many pages of a file are in memory, by cachestat(2)."""
    found = (ctypes.c_uint64 * 5)()
    with open(path, "rb") as file:
        whole = (ctypes.c_uint64 * 2)(0, os.fstat(file.fileno()).st_size)
        if ctypes.CDLL(None).syscall(451, file.fileno(), whole, found, 0) != 0:
            pytest.skip("the kernel does not say what is in memory")
    return found[0]


def cool(path):
    """Take a file out of the page cache, as soon as no socket holds a part of it."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        def gone():
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return not cached_pages(path)
        try:
            wait_until(gone, 2, "no page in memory")
        except AssertionError:
            pytest.skip("this file system keeps files in memory")


# ---- open_file_cache --------------------------------------------------------------------------------------

CACHE = "open_file_cache max=100; open_file_cache_valid 400ms;"


def rewrite(weir, content, name="f"):
    put(weir, name, content)
    return time.monotonic()


@pytest.mark.parametrize("large", [False, True])
def test_file_is_believed_while_valid(weir, large):
    """A changed file is seen when its time is over, a small one as a large one, and not a turn later."""
    old, new = ("a" * 100_000, "b" * 100_000) if large else ("a", "b")
    serve(weir, "location / { " + CACHE + " } location /now { alias {tmp}/html; }", {"f": old})
    assert body(weir) == old
    replacement = put(weir, "other", new)
    os.rename(replacement, weir.tmp / "html/f")
    changed = time.monotonic()
    assert body(weir) == old and body(weir, "/now/f") == new or time.monotonic() - changed > 0.3
    wait_until(lambda: body(weir) == new, 0.6, "the new file")


def test_replaced_file_within_its_time(weir):
    serve(weir, "location / { open_file_cache max=100; open_file_cache_valid 1h; }", {"f": "a" * 100_000, "s": "small"})
    tag = weir.get("/f").header("etag")
    assert body(weir, "/s") == "small"
    (weir.tmp / "html/f").unlink()
    (weir.tmp / "html/s").unlink()
    reply = weir.get("/f", headers=[("Range", "bytes=10-19")])
    assert reply.body == b"a" * 10 and reply.header("etag") == tag and body(weir, "/s") == "small"
    assert weir.get("/f", headers=[("If-None-Match", tag)]).status == 304


@pytest.mark.directive("open_file_cache_errors")
@pytest.mark.parametrize("min_uses", [1, 2])
def test_errors_are_remembered(weir, min_uses):
    """open_file_cache_errors holds from the first look on, whatever min_uses says of files that are kept open."""
    serve(weir, f"location / {{ open_file_cache max=9; open_file_cache_valid 1s; open_file_cache_min_uses {min_uses};"
                "open_file_cache_errors on; } location /plain/ { alias {tmp}/html/; open_file_cache max=9; }"
                "location /try { open_file_cache max=9; open_file_cache_errors on; try_files /t =410; }")
    weir.expect_log("No such file")
    assert [body(weir), body(weir), body(weir, "/plain/n")] == [404, 404, 404] and body(weir, "/try") == 410
    start = rewrite(weir, "here")
    rewrite(weir, "here", "n"), rewrite(weir, "here", "t")
    assert body(weir, "/plain/n") == "here"
    assert body(weir) == 404 or time.monotonic() - start > 0.9
    assert body(weir, "/try") == 410
    wait_until(lambda: body(weir) == "here", 1.5, "the file")


@pytest.mark.directive("open_file_cache_min_uses")
def test_min_uses(weir):
    serve(weir, "location / { open_file_cache max=9; open_file_cache_valid 1h; open_file_cache_min_uses 3; }", {"f": "a"})
    assert body(weir) == "a"
    for text in "bc":
        rewrite(weir, text)
        let_pass(0.03)
        assert body(weir) == text
    assert [body(weir), body(weir), body(weir)] == ["c"] * 3
    rewrite(weir, "d")
    assert body(weir) == "c"


@pytest.mark.directive("open_file_cache_valid")
def test_inheritance(weir):
    """From http to server to location; off ends it, and the times may be set apart from it."""
    serve(weir, "location /off/ { alias {tmp}/html/; open_file_cache off; } location /in/ { alias {tmp}/html/; }"
                "location /short/ { alias {tmp}/html/; open_file_cache_valid 1ms; location /short/x/ { alias {tmp}/html/; } }",
          {name: "old" for name in "abcd"}, http="open_file_cache max=9; open_file_cache_valid 1h;")
    targets = ["/in/a", "/off/b", "/short/c", "/short/x/d"]
    assert [body(weir, target) for target in targets] == ["old"] * 4
    for name in "abcd":
        rewrite(weir, "new", name)
    let_pass(0.03)
    assert [body(weir, target) for target in targets] == ["old", "new", "new", "new"]


@pytest.mark.directive("open_file_cache")
def test_open_files_are_bounded_and_forgotten(weir):
    files = {f"l{i}": bytes([65 + i]) * 70_000 for i in range(20)}
    serve(weir, "location / { open_file_cache max=5 inactive=200ms; open_file_cache_valid 1h; }", files)
    for name, content in files.items():
        assert weir.get("/" + name).body == content
        assert len(descriptors(weir)) <= 5
    for name in files:
        (weir.tmp / "html" / name).unlink()
    put(weir, "f", "x")
    let_pass(0.3)
    for _ in range(3):
        body(weir)
    assert descriptors(weir, "l") == []


def test_more_open_files_than_descriptors(weir):
    """A cache that is larger than the limit of descriptors leaves some for clients."""
    files = {f"l{i}": bytes([i]) * 70_000 for i in range(150)}
    serve(weir, "location / { open_file_cache max=1000; open_file_cache_valid 1h; open_file_cache_errors on; }", files,
          main="worker_rlimit_nofile 120;", connections=20)
    assert [weir.get("/" + name).body == content for name, content in files.items()] == [True] * 150


@pytest.mark.directive("open_file_cache", "open_file_cache_errors")
def test_try_files_and_index_use_the_cache(weir):
    serve(weir, "open_file_cache max=50; open_file_cache_valid 1h; open_file_cache_errors on;"
                "location / { try_files $uri $uri/ /fallback; }", {"d/index.html": "index", "fallback": "fallback"})
    assert [body(weir, "/d/"), body(weir, "/x")] == ["index", "fallback"]
    put(weir, "x", "late")
    (weir.tmp / "html/d/index.html").unlink()
    assert [body(weir, "/d/"), body(weir, "/x")] == ["index", "fallback"]


WRONG = {
    "open_file_cache max=0;": 'invalid "open_file_cache"; write: off, or max=N [inactive=TIME]',
    "open_file_cache max=x;": 'invalid "open_file_cache"; write: off, or max=N [inactive=TIME]',
    "open_file_cache inactive=5s;": 'invalid "open_file_cache"; write: off, or max=N [inactive=TIME]',
    "open_file_cache on;": 'invalid "open_file_cache"; write: off, or max=N [inactive=TIME]',
    "open_file_cache max=5 inactive=soon;": 'invalid "open_file_cache"; write: off, or max=N [inactive=TIME]',
    "open_file_cache off max=5;": 'invalid "open_file_cache"; write: off, or max=N [inactive=TIME]',
    "open_file_cache max=5; open_file_cache max=6;": duplicate("open_file_cache"),
    "open_file_cache_valid soon;": value("open_file_cache_valid", "soon", TIME),
    "open_file_cache_min_uses many;": value("open_file_cache_min_uses", "many", NUMBER),
    "open_file_cache_errors maybe;": value("open_file_cache_errors", "maybe", FLAG),
    "aio maybe;": 'invalid value "maybe" of "aio"',
    "aio threads=nosuch;": 'unknown thread pool "nosuch" of "aio"',
    "aio threads=;": 'unknown thread pool "" of "aio"',
    "directio maybe;": value("directio", "maybe", SIZE),
    "disable_symlinks maybe;": 'invalid "disable_symlinks"; write: off, or on | if_not_owner [from=PART]',
    "disable_symlinks on form=/;": 'invalid "disable_symlinks"; write: off, or on | if_not_owner [from=PART]',
    "random_index maybe;": value("random_index", "maybe", FLAG),
    "disable_symlinks;": arguments("disable_symlinks", "1 to 2"),
    "sendfile_max_chunk some;": value("sendfile_max_chunk", "some", SIZE),
    "gzip_static maybe;": value("gzip_static", "maybe", "off | on | always"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG[wrong])


def test_right_settings(weir):
    assert weir.run("-t", conf=config(
        "open_file_cache max=10 inactive=1m; open_file_cache_valid 30s; open_file_cache_min_uses 2; aio threads;"
        "open_file_cache_errors on; directio 4m; location / { open_file_cache off; aio off; directio off; disable_symlinks off; }"
        "location /a { aio threads=default; disable_symlinks if_not_owner from=$document_root; random_index on; }"
        "location /b { aio on; disable_symlinks on; }")).returncode == 0
    assert weir.mistake(config(server="random_index on;"), "random_index").startswith('"random_index" directive is not allowed here; its place is: location')


# ---- aio --------------------------------------------------------------------------------------------------

POOL = "thread_pool disk threads=2 max_queue=100;"
AIO = "location / { aio threads=disk; }"


@pytest.fixture(scope="module")
def gate_library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    (folder / "gate.c").write_text(GATE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "gate.so", folder / "gate.c"], check=True)
    return folder / "gate.so"


@pytest.fixture
def gated(weir, gate_library):
    """A server whose reads of the disk wait while the gate is shut."""
    put(weir, "big", BIG)
    put(weir, "warm", SMALL)
    cool(weir.tmp / "html/big")
    weir.gate = weir.tmp / "gate"
    weir.env = dict(LD_PRELOAD=str(gate_library), WEIR_TEST_GATE=str(weir.gate))
    yield weir
    weir.gate.unlink(missing_ok=True)


def submitted(weir, pool="disk"):
    return weir.pool(pool)["tasks"]["submitted"]


def shut(weir):
    cool(weir.tmp / "html/big")
    weir.gate.touch()


def begin(weir, target="/big", count=1):
    """A client whose file is being read."""
    before = submitted(weir)
    client = weir.connect()
    client.request(target)
    wait_until(lambda: submitted(weir) >= before + count, 3, "the read")
    return client


@pytest.mark.directive("aio")
def test_cold_parts_go_to_the_pool(weir):
    serve(weir, AIO + "location /loop/ { alias {tmp}/html/; aio off; }", {"big": BIG}, main=POOL)
    cool(weir.tmp / "html/big")
    assert weir.get("/loop/big").body == BIG and submitted(weir) == 0
    assert weir.get("/big").body == BIG and submitted(weir) == 0
    cool(weir.tmp / "html/big")
    assert weir.get("/big").body == BIG
    reads = submitted(weir)
    assert 1 <= reads <= 6

    def warm():
        """Nothing is asked of the pool. A busy machine may have lost a part again, so it may take a second time."""
        before = submitted(weir)
        return weir.get("/big").body == BIG and submitted(weir) == before

    wait_until(warm, 1, "an answer from memory")
    assert submitted(weir, "default") == 0


@pytest.mark.directive("aio")
def test_aio_on_is_the_default_pool_and_is_inherited(weir):
    serve(weir, "aio on; location / { } location /in/ { alias {tmp}/html/; location /in/off/ { alias {tmp}/html/; aio off; } }", {"big": BIG})
    counts = []
    for target in ("/big", "/in/off/big", "/in/big"):
        cool(weir.tmp / "html/big")
        before = submitted(weir, "default")
        assert weir.get(target).body == BIG
        counts.append(submitted(weir, "default") > before)
    assert counts == [True, False, True]


def test_small_cold_files_go_to_the_pool(weir):
    """Unless the disk has been so quick that the file is there when it is looked at."""
    sizes = [1, 4096, 4097, *range(20000, 20012)]
    serve(weir, AIO, {f"s{size}": BIG[:size] for size in sizes}, main=POOL)
    for size in sizes:
        cool(weir.tmp / f"html/s{size}")
        assert weir.get(f"/s{size}").body == BIG[:size]
    reads = submitted(weir)
    assert 1 <= reads <= len(sizes)
    assert all(weir.get(f"/s{size}").body == BIG[:size] for size in sizes) and submitted(weir) == reads


@pytest.mark.parametrize("sendfile", ["on", "off"])
def test_bytes_of_cold_files(weir, sendfile):
    """Whole, in ranges, changed by filters, slowly: a cold file's bytes are those of a warm one."""
    serve(weir, AIO + "location /gz/ { alias {tmp}/html/; aio threads=disk; gzip on; gzip_types *; }"
                "location /sub/ { alias {tmp}/html/; aio threads=disk; sub_filter 'line 7' 'LINE 7'; sub_filter_types *; sub_filter_once off; }"
                "location /slow/ { alias {tmp}/html/; aio threads=disk; limit_rate_after 1m; limit_rate 4m; }"
                "location /direct/ { alias {tmp}/html/; aio threads=disk; directio 1k; sendfile_max_chunk 100k; }",
          {"big": BIG, "text.txt": TEXT, "small": SMALL}, server=f"sendfile {sendfile};", main=POOL)

    def get(target, name, *headers):
        before = submitted(weir)
        cool(weir.tmp / "html" / name)
        reply = weir.get(target, headers=headers)
        assert name == "small" or submitted(weir) > before, target
        return reply
    assert get("/big", "big").body == BIG and get("/small", "small").body == SMALL
    spans = [(PART - 1, PART + 1), (0, 9), (4 * PART + 5, 5 * PART + 6), (len(BIG) - 1, len(BIG) - 1)]
    for first, last in spans:
        assert get("/big", "big", ("Range", f"bytes={first}-{last}")).body == BIG[first:last + 1]
    reply = get("/big", "big", ("Range", "bytes=" + ",".join(f"{first}-{last}" for first, last in spans)))
    parts = re.split(rb"\r\n--" + reply.header("content-type").split("=")[1].encode(), reply.body)[1:-1]
    assert [part.split(b"\r\n\r\n", 1)[1] for part in parts] == [BIG[first:last + 1] for first, last in spans]
    assert gzip.decompress(get("/gz/text.txt", "text.txt", ("Accept-Encoding", "gzip")).body) == TEXT
    assert get("/sub/text.txt", "text.txt").body == TEXT.replace(b"line 7", b"LINE 7")
    assert get("/slow/text.txt", "text.txt").body == TEXT
    assert get("/direct/big", "big").body == BIG
    assert weir.get("/big", method="HEAD").body == b""


@pytest.mark.http1_only
def test_others_are_served_while_a_disk_is_slow(gated):
    """Two reads are under way and do not come back: whoever needs no disk gets an answer at once."""
    serve(gated, AIO, env=gated.env, main=POOL)
    gated.get("/warm")
    shut(gated)
    with begin(gated) as one, begin(gated) as two:
        start = time.monotonic()
        for _ in range(20):
            assert gated.get("/warm").body == SMALL
        assert time.monotonic() - start < weirlib.limit(1)
        assert gated.pool("disk")["threads"]["running"] == 2
        gated.gate.unlink()
        assert one.response().body == two.response().body == BIG


def test_client_leaves_while_its_file_is_read(gated):
    """Nothing is left of it: no connection, no descriptor, no task; and the worker lives on."""
    serve(gated, AIO + "location /f/ { alias {tmp}/html/; aio threads=disk; gzip on; gzip_types *; }", env=gated.env, main=POOL)
    worker = gated.worker_pids()
    assert gated.get("/big").body == BIG
    fds = len(open_files(list(worker)[0]))
    for target in ["/big", "/f/big"] * 5:
        shut(gated)
        client = begin(gated, target)
        if target == "/f/big":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        gated.gate.unlink()
        wait_until(lambda: gated.pool("disk")["threads"]["running"] == 0, 3, "the end of its read, before the gate is shut again")
    wait_until(lambda: gated.status()["connections"]["active"] == 1, 3, "the end of the connections")
    wait_until(lambda: gated.pool("disk")["threads"]["running"] == 0, 3, "idle threads")
    assert gated.worker_pids() == worker and gated.get("/big").body == BIG
    wait_until(lambda: len(open_files(list(worker)[0])) <= fds + 1, 3, "no more descriptors than before")


@pytest.mark.http1_only
@pytest.mark.directive("send_timeout")
def test_send_timeout_while_a_file_is_read(gated):
    """A client that is given up while its file is read takes nothing with it."""
    serve(gated, AIO, server="send_timeout 200ms; reset_timedout_connection on;", env=gated.env, main=POOL)
    shut(gated)
    with begin(gated) as client:
        head = client.until_close()
        assert len(head) < len(BIG)
    gated.gate.unlink()
    wait_until(lambda: gated.pool("disk")["threads"]["running"] == 0, 3, "idle threads")
    assert gated.get("/big").body == BIG


@pytest.mark.http1_only
def test_requests_and_ends_that_come_while_a_file_is_read(gated):
    serve(gated, AIO, env=gated.env, main=POOL)
    shut(gated)
    with begin(gated) as client:
        client.request("/warm")
        client.request("/big", headers=[("Range", "bytes=5-9")])
        client.end_writing()
        assert gated.status()  # the worker has seen all of it by then
        gated.gate.unlink()
        assert [client.response().body for _ in range(3)] == [BIG, SMALL, BIG[5:10]]


def test_full_pool(gated):
    """A pool that takes nothing more is no error: the loop reads by itself."""
    serve(gated, AIO, env=gated.env, main="thread_pool disk threads=1 max_queue=0;")
    shut(gated)
    with begin(gated) as one:
        assert gated.get("/big").body == BIG
        gated.gate.unlink()
        assert one.response().body == BIG
    assert gated.pool("disk")["tasks"]["rejected"]["queue_full"] >= 1


def test_pool_that_expires_reads(gated):
    """A read whose time in the queue is over is done by the loop."""
    serve(gated, AIO, env=gated.env, main="thread_pool disk threads=1 max_queue=10 queue_timeout=100ms;")
    shut(gated)
    with begin(gated) as one, gated.connect() as two:
        two.request("/big")
        assert two.response().body == BIG
        gated.gate.unlink()
        assert one.response().body == BIG


@pytest.mark.parametrize("how", ["reload", "quit", "term"])
def test_end_of_a_worker_while_a_file_is_read(gated, how):
    serve(gated, AIO, env=gated.env, main=POOL)
    shut(gated)
    with begin(gated) as client:
        if how == "reload":
            gated.reload()
        else:
            gated.signal(signal.SIGQUIT if how == "quit" else signal.SIGTERM)
        if how == "term":
            assert gated.wait_exit(4) == 0
            return
        if how == "quit":
            gated.wait_log("gracefully shutting down")
        gated.gate.unlink()
        assert client.response().body == BIG
    if how == "reload":
        gated.wait_workers(1)
        assert gated.get("/big").body == BIG
    else:
        assert gated.wait_exit(4) == 0


@pytest.mark.http1_only
def test_file_that_shrinks_while_it_is_read(gated):
    """The client gets no other bytes than the file's, and is told by the end of the connection."""
    serve(gated, AIO, env=gated.env, main=POOL)
    shut(gated)
    with begin(gated) as client:
        os.truncate(gated.tmp / "html/big", PART // 2)
        gated.gate.unlink()
        data = client.until_close().split(b"\r\n\r\n", 1)[1]
        assert data == BIG[:PART // 2]
    assert gated.get("/warm").body == SMALL


# ---- directio, sendfile_max_chunk -------------------------------------------------------------------------

@pytest.mark.directive("directio")
@pytest.mark.parametrize("aio", ["off", "threads"])
def test_directio_leaves_nothing_in_memory(weir, aio):
    serve(weir, f"aio {aio}; location / {{ directio 1m; }} location /kept/ {{ alias {{tmp}}/html/; }}", {"big": BIG, "less": BIG[:1 << 19]})
    cool(weir.tmp / "html/big")
    wait_until(lambda: weir.get("/big").body == BIG and not cached_pages(weir.tmp / "html/big"), 3, "the file out of memory")
    assert weir.get("/less").body == BIG[:1 << 19] and cached_pages(weir.tmp / "html/less")
    assert weir.get("/kept/big").body == BIG and cached_pages(weir.tmp / "html/big")
    assert weir.get("/big", headers=[("Range", "bytes=7-1000006")]).body == BIG[7:1000007]


@pytest.mark.parametrize("sendfile", ["on", "off"])
def test_sendfile_max_chunk(weir, sendfile):
    serve(weir, "location /1/ { alias {tmp}/html/; sendfile_max_chunk 1; } location /k/ { alias {tmp}/html/; sendfile_max_chunk 3k; }"
                "location /0/ { alias {tmp}/html/; sendfile_max_chunk 0; }", {"big": BIG, "mid": BIG[:70_000]}, server=f"sendfile {sendfile};")
    assert weir.get("/k/big").body == BIG and weir.get("/0/big").body == BIG
    assert weir.get("/1/mid", headers=[("Range", "bytes=10-3009")]).body == BIG[10:3010]


# ---- disable_symlinks -------------------------------------------------------------------------------------

@pytest.fixture
def linked(weir):
    """real/ with a file, links to both, and a root that is a link itself."""
    put(weir, "real/f", "file")
    put(weir, "real/index.html", "index")
    put(weir, "real/g.gz", "packed")
    html = weir.tmp / "html"
    for name, target in {"folder": "real", "link": "real/f", "out": "/etc/passwd", "real/chain": "../link", "i/index.html": "../real/f"}.items():
        (html / name).parent.mkdir(exist_ok=True)
        (html / name).symlink_to(target)
    (weir.tmp / "www").symlink_to("html")
    weir.expect_log("open")
    return weir


def test_links_are_refused(linked):
    serve(linked, "location / { disable_symlinks on; autoindex on; open_file_cache max=50; open_file_cache_errors on; }"
                  "location /off/ { alias {tmp}/html/; } location /try/ { disable_symlinks on; alias {tmp}/html/; try_files $uri =418; }"
                  "location /r/ { alias {tmp}/html/folder/; disable_symlinks on; random_index on; }")
    targets = ["/link", "/folder/f", "/folder/", "/out", "/real/chain", "/i/", "/folder", "/off/link", "/link"]
    assert [linked.get(t).status for t in targets] == [403] * 7 + [200, 403]
    assert [body(linked, t) for t in ("/real/f", "/real/", "/try/real/f", "/try/link", "/try/folder/f")] == ["file", "index", "file", 418, 418]
    assert linked.get("/r/").status == 403


def test_links_within_from(linked):
    linked.start(config("location / { disable_symlinks on from=$document_root; } location /no/ { alias {tmp}/www/; disable_symlinks on; }"
                        "location = /arg { alias {tmp}/www/real/f; disable_symlinks on from=$arg_from; }", server="root {tmp}/www;"))
    assert [linked.get(t).status for t in ("/real/f", "/real/", "/link", "/folder/f", "/no/real/f")] == [200, 200, 403, 403, 403]
    tmp = linked.tmp
    assert [linked.get(f"/arg?from={part}").status for part in ("", f"{tmp}/www", f"{tmp}/www/", f"{tmp}/ww", f"{tmp}/wwwx", "/")] == [403, 200, 200, 403, 403, 403]


@pytest.mark.directive("disable_symlinks")
@pytest.mark.needs_root
def test_links_of_other_owners(linked):
    os.lchown(linked.tmp / "html/link", 65534, 65534)
    serve(linked, "location / { disable_symlinks if_not_owner; }")
    assert [linked.get(t).status for t in ("/folder/f", "/folder/", "/out", "/link", "/real/f")] == [200, 200, 200, 403, 200]


@pytest.mark.directive("disable_symlinks")
def test_inherited_and_switched_off(linked):
    serve(linked, "disable_symlinks on; location / { } location /in/ { alias {tmp}/html/; disable_symlinks off; location /in/x/ { alias {tmp}/html/; } }")
    assert [linked.get(t).status for t in ("/link", "/in/link", "/in/x/link")] == [403, 200, 200]


def test_link_made_later(linked):
    """What was a file a moment ago and is a link now is refused, however long files are believed elsewhere."""
    serve(linked, "open_file_cache max=9; open_file_cache_valid 1h; location / { disable_symlinks on; } location /c/ { alias {tmp}/html/; }", {"f": "file"})
    assert body(linked) == "file" and body(linked, "/c/f") == "file"
    (linked.tmp / "html/f").unlink()
    (linked.tmp / "html/f").symlink_to("/etc/passwd")
    assert body(linked) == 403 and body(linked, "/c/f") == "file"


def test_folder_is_replaced_while_it_is_listed(linked):
    """Whoever puts a link in a folder's place at any moment does not see the names of what it points to."""
    secret = linked.tmp / "secret"
    secret.mkdir()
    (secret / "name-of-another").touch()
    names = [os.fsencode(linked.tmp / "html" / name) for name in ("d", "l")]
    os.symlink(secret, names[1])
    serve(linked, "location / { disable_symlinks on; autoindex on; }", {"d/f": "file"}, server="keepalive_requests 10000;")
    over = threading.Event()

    def exchange():
        while not over.is_set():
            assert ctypes.CDLL(None).renameat2(-100, names[0], -100, names[1], 2) == 0
    swapper = threading.Thread(target=exchange)
    swapper.start()
    try:
        with linked.connect() as connection:
            replies = [connection.get("/d/") for _ in range(600)]
    finally:
        over.set()
        swapper.join()
    assert {reply.status for reply in replies} <= {200, 403, 404}
    assert sum("name-of-another" in reply.text for reply in replies) == 0


def test_folder_that_is_a_file(linked):
    """A file with "/" behind it is no folder, with links or without."""
    serve(linked, "location / { disable_symlinks on; } location /off/ { alias {tmp}/html/; }")
    assert [linked.get(t).status for t in ("/real/f/", "/off/real/f/")] == [404, 404]


# ---- random_index, lists ----------------------------------------------------------------------------------

@pytest.mark.directive("random_index")
def test_random_index(weir):
    serve(weir, "location / { random_index on; } location /off/ { alias {tmp}/html/; } location /php/ { random_index on; }"
                "location ~ b$ { add_header X-By b; }",
          {"d/a.html": "a", "d/b": "b", "d/.hidden": "h", "d/sub/x": "x", "e/.hidden": "h", "e/sub/index.html": "i", "i/index.html": "i"})
    weir.expect_log("forbidden")
    with weir.connect() as connection:
        seen = {(r.body, r.header("x-by"), r.header("content-type")) for r in (connection.get("/d/") for _ in range(100))}
    assert seen == {(b"a", None, "text/html"), (b"b", "b", "text/plain")}
    assert [weir.get(t).status for t in ("/e/", "/off/d/", "/none/", "/d/sub")] == [403, 403, 404, 301]
    assert weir.get("/d/", method="HEAD").status == 200


@pytest.fixture
def listed(weir):
    for name, size in {"b.txt": 5, 'a&<"c">.txt': 3, "sub/x": 1, ".hidden": 1, "ü": 2, "new\nline": 1}.items():
        put(weir, "d/" + name, "x" * size)
    (weir.tmp / "html/d/broken").symlink_to("nowhere")
    for name in os.listdir(weir.tmp / "html/d"):
        os.utime(weir.tmp / "html/d" / name, (1e9, 1e9), follow_symlinks=False)
    return weir


def test_xml(listed):
    serve(listed, "location / { autoindex on; autoindex_format xml; }")
    reply = listed.get("/d/")
    assert reply.header("content-type").startswith("text/xml") and reply.body.startswith(b'<?xml version="1.0"?>\r\n<list>\r\n')
    rows = [(e.tag, e.text, e.attrib) for e in xml.etree.ElementTree.fromstring(reply.body)]
    at = "2001-09-09T01:46:40Z"
    assert rows == [("directory", "sub", {"mtime": at}), ("file", 'a&<"c">.txt', {"mtime": at, "size": "3"}),
                    ("file", "b.txt", {"mtime": at, "size": "5"}), ("other", "broken", {"mtime": at}),
                    ("file", "new\nline", {"mtime": at, "size": "1"}), ("file", "ü", {"mtime": at, "size": "2"})]


def test_jsonp(listed):
    serve(listed, "location / { autoindex on; autoindex_format jsonp; }")
    reply = listed.get("/d/?callback=my.list_1")
    match = re.fullmatch(rb"/\* callback \*/\r\nmy\.list_1\((.*)\);", reply.body, re.S)
    assert reply.header("content-type") == "application/javascript" and match
    assert [each["name"] for each in json.loads(match[1])] == ["sub", 'a&<"c">.txt', "b.txt", "broken", "new\nline", "ü"]
    for wrong in ("", "?callback=", "?callback=alert(1)", "?callback=a%28", "?callback=1a", "?callback=a;b"):
        plain = listed.get("/d/" + wrong)
        assert plain.header("content-type") == "application/json" and plain.json() == json.loads(match[1])


@pytest.mark.directive("autoindex_exact_size")
def test_rounded_sizes(weir):
    """As nginx rounds them: plain up to 9999, then K, from 1M on M, and a folder's dash stands in the same column."""
    sizes = {"a": 9999, "b": 10000, "c": 1048575, "d": 1048576, "e": 5 << 20, "f": (1 << 30) - 1, "g": 3 << 29}
    for name, size in sizes.items():
        os.truncate(put(weir, "d/" + name, ""), size)
    put(weir, "d/sub/x", "")
    serve(weir, "location / { autoindex on; autoindex_exact_size off; }")
    rows = re.findall(r"</a> +\S+ \S+( +\S+)\r\n", weir.get("/d/").text)
    assert rows == [f" {text:>7}" for text in ("-", "9999", "10K", "1024K", "1M", "5M", "1024M", "2G")]


# ---- gzip_static ------------------------------------------------------------------------------------------

@pytest.mark.directive("gzip_static", "gzip_vary")
@pytest.mark.parametrize("cache", ["", "open_file_cache max=50; open_file_cache_valid 1h; open_file_cache_errors on;", "aio threads;", "disable_symlinks on;"])
def test_gzip_static_and_vary(weir, cache):
    """Vary wherever another client might get the other file, also of answers that are not compressed."""
    packed = gzip.compress(b"text")
    serve(weir, cache + "location / { gzip_static on; gzip_vary on; } location /no/ { alias {tmp}/html/; gzip_static on; }"
                "location /always/ { alias {tmp}/html/; gzip_static always; gzip_vary on; }", {"f.html": "text", "f.html.gz": packed, "g.html": "alone", "h.gz/x": ""})
    accepts, refuses = [("Accept-Encoding", "gzip")], [("Accept-Encoding", "gzip;q=0")]
    for _ in range(2):
        for target, headers, content, vary in [("/f.html", accepts, packed, "Accept-Encoding"), ("/f.html", refuses, b"text", "Accept-Encoding"),
                                               ("/f.html", [], b"text", "Accept-Encoding"), ("/g.html", accepts, b"alone", None),
                                               ("/no/f.html", accepts, packed, None), ("/no/f.html", [], b"text", None),
                                               ("/always/f.html", [], packed, None)]:
            reply = weir.get(target, headers=headers)
            assert (reply.body, reply.header("vary"), reply.header("content-type")) == (content, vary, "text/html"), (target, headers)
            assert reply.header("content-encoding") == ("gzip" if content == packed else None)
    assert weir.get("/f.html", headers=accepts).header("etag") != weir.get("/f.html").header("etag")
