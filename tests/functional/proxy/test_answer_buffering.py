"""proxy_buffering: where an answer waits while its client is slow, in memory, in a file, or at the upstream."""

import array
import contextlib
import os
import shutil
import threading

import pytest
from proxylib import CHUNKS, answer, backend, narrow, passed, rss_bytes  # noqa: F401 - a fixture
from weirlib import config, cpu_seconds, let_pass, limit, open_files, take_time, wait_until, watch

MIB = 1 << 20


def counting(size):
    """Bytes of which no two stretches are the same."""
    return array.array("I", range(size // 4)).tobytes()


BODY = counting(24 * MIB)
FRAMINGS = ["length", "chunked", "close"]


class Source:
    """A backend's reply that says how much of it has gone."""

    def __init__(self, framing="length", body=BODY):
        self.framing, self.body, self.sent, self.done = framing, body, 0, threading.Event()

    def __call__(self, call):
        head = {"length": answer(self.body)[:-len(self.body)], "chunked": CHUNKS, "close": answer(b"", length=False)}
        call.send(head[self.framing])
        for at in range(0, len(self.body), 1 << 16):
            piece = self.body[at:at + (1 << 16)]
            call.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self.framing == "chunked" else piece)
            self.sent += len(piece)
        if self.framing == "chunked":
            call.send(b"0\r\n\r\n")
        elif self.framing == "close":
            call.close()
        self.done.set()

    def stands(self):
        """How much has gone when no more goes."""
        def still():
            before = self.sent
            watch(0.3)
            return before if before and self.sent == before else None
        return wait_until(still, 10, "an upstream that has to wait")


def worker(weir):
    return next(iter(weir.worker_pids()))


def temp_files(weir, folder="proxy_temp"):
    """The sizes on the disk of the unnamed files that a worker has open."""
    found = []
    for fd, name in open_files(worker(weir)).items():
        if f"/{folder}/" in name and "(deleted)" in name:
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.append(os.stat(f"/proc/{worker(weir)}/fd/{fd}").st_blocks * 512)
    return found


def rest(client, slow=0):
    """The whole answer, read slowly at first."""
    for _ in range(slow):
        client.unread += client.socket.recv(4096)
        take_time(0.002)
    return client.response()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_slow_client_does_not_hold_the_upstream(weir, backend, framing):
    """The answer waits in a file; memory stays small, and all of it comes in the end."""
    source = Source(framing)
    up = backend(lambda call: source(call) if call.target == "/large" else answer(b"small"))
    passed(weir, up)
    weir.get("/small")
    before = rss_bytes(worker(weir))
    with narrow(weir.port, 30) as client:
        client.request("/large")
        assert source.done.wait(limit(10))
        wait_until(lambda: sum(temp_files(weir)) > 12 * MIB, 3, "a temporary file")
        watch(0.3)
        assert rss_bytes(worker(weir)) - before < 2 * MIB
        accepts = up.accepts
        assert weir.get("/small").text == "small"
        assert up.accepts == accepts + (framing == "close")  # the connection was free
        before = cpu_seconds(worker(weir))
        watch(0.3)
        assert cpu_seconds(worker(weir)) - before < 0.1
        assert rest(client, 20).body == BODY
        wait_until(lambda: not temp_files(weir), 3, "a closed file")
        assert client.get("/small").text == "small"
    assert "buffered to a temporary file" in weir.error_log


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("more", ["proxy_max_temp_file_size 0;", "proxy_buffering off;"])
def test_back_pressure(weir, backend, framing, more):
    """Without a file the upstream waits for the client."""
    source = Source(framing)
    passed(weir, backend(source), more)
    weir.get("/status")
    before = rss_bytes(worker(weir))
    with narrow(weir.port, 30) as client:
        client.request("/")
        assert source.stands() < 12 * MIB
        assert not temp_files(weir) and rss_bytes(worker(weir)) - before < 2 * MIB
        assert rest(client, 20).body == BODY


@pytest.mark.directive("proxy_max_temp_file_size")
@pytest.mark.parametrize("framing", FRAMINGS)
def test_size_of_the_file(weir, backend, framing):
    """proxy_max_temp_file_size bounds the file, also while the client goes on taking from it."""
    source, most = Source(framing), 0
    passed(weir, backend(source), "proxy_max_temp_file_size 2m;")
    with narrow(weir.port, 30) as client:
        client.request("/")
        source.stands()
        got = [b""]
        while sum(map(len, got)) < 12 * MIB:
            got.append(client.socket.recv(1 << 16))
            if len(got) % 50 == 0:
                most = max([most, *temp_files(weir)])
        client.unread = b"".join(got)
        assert rest(client).body == BODY
    assert 0 < most < 3 * MIB


def test_small_answers_need_no_file(weir, backend):
    passed(weir, backend(answer(BODY[:60000])), "proxy_buffers 8 8k;")
    with narrow(weir.port, 30) as client:
        for _ in range(3):
            client.request("/")
            watch(0.1)
            assert not temp_files(weir)
            assert client.response().body == BODY[:60000]


@pytest.mark.directive("proxy_buffers")
def test_buffers_are_the_memory(weir, backend):
    """A larger proxy_buffers holds more without a file."""
    source = Source(body=BODY[:8 * MIB])
    passed(weir, backend(source), "proxy_buffers 16 1m;")
    with narrow(weir.port, 30) as client:
        client.request("/")
        assert source.done.wait(limit(5))
        assert not temp_files(weir)
        assert rest(client).body == BODY[:8 * MIB]


@pytest.mark.directive("proxy_temp_path")
def test_temp_path(weir, backend):
    source = Source()
    passed(weir, backend(source), "proxy_temp_path other 1 2;")
    with narrow(weir.port, 30) as client:
        client.request("/")
        assert source.done.wait(limit(5))
        assert temp_files(weir, "other") and not os.listdir(weir.tmp / "other")
        assert rest(client).body == BODY


# ---- no file ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing", FRAMINGS)
def test_folder_is_gone(weir, backend, framing):
    """The answer comes all the same, and the worker does not hold it."""
    weir.expect_log("proxy_temp_path")
    source = Source(framing)
    passed(weir, backend(source))
    shutil.rmtree(weir.tmp / "proxy_temp", ignore_errors=True)
    (weir.tmp / "proxy_temp").write_text("no folder")
    before = rss_bytes(worker(weir))
    with narrow(weir.port, 30) as client:
        client.request("/")
        assert source.stands() < 12 * MIB and rss_bytes(worker(weir)) - before < 2 * MIB
        assert rest(client, 20).body == BODY
    assert weir.error_log.count("proxy_temp_path") == 1


@pytest.mark.directive("proxy_temp_path")
@pytest.mark.needs_root
def test_folder_is_not_writable(weir, backend):
    weir.expect_log("proxy_temp_path")
    source = Source()
    passed(weir, backend(source), "proxy_temp_path temp;", user="user nobody;")
    (weir.tmp / "temp").mkdir(exist_ok=True)
    os.chown(weir.tmp / "temp", 0, 0)
    os.chmod(weir.tmp / "temp", 0o500)
    with narrow(weir.port, 30) as client:
        client.request("/")
        source.stands()
        assert rest(client, 20).body == BODY
    assert "Permission denied" in weir.error_log


@pytest.mark.needs("looks_into_others")
@pytest.mark.parametrize("more", ["", "proxy_temp_path {tmp}/a/temp;"])
def test_folder_is_made_for_the_workers(weir, backend, more):
    """As in nginx the master makes it, and gives it to the user of the workers, who may not do so themselves."""
    source = Source()
    passed(weir, backend(source), more, user="user nobody;")
    with narrow(weir.port, 30) as client:
        client.request("/")
        assert source.done.wait(limit(5)), "an upstream that has to wait"
        assert temp_files(weir, "temp" if more else "proxy_temp") and rest(client).body == BODY


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("free", [0, 4 << 10, 100 << 10, 256 << 10])
def test_full_disk(weir, backend, small_disk, framing, free):
    """From the first byte on, or later: the answer is whole and in order."""
    weir.expect_log("No space left")
    source = Source(framing)
    os.chmod(small_disk, 0o777)
    passed(weir, backend(source), "proxy_temp_path {tmp}/disk;")
    if free < 256 << 10:
        (small_disk / "filler").write_bytes(b"x" * ((256 << 10) - free))
    with narrow(weir.port, 30) as client:
        client.request("/")
        source.stands()
        body = rest(client, 20).body
    at = next((i for i in range(0, len(BODY), 4096) if body[i:i + 4096] != BODY[i:i + 4096]), None)
    assert len(body) == len(BODY) and at is None, f"{len(body)} bytes, wrong from {at} on"


def test_disk_that_is_free_again(weir, backend, small_disk):
    """What failed for one answer does not concern the next."""
    weir.expect_log("No space left")
    sources = [Source(body=BODY[:8 * MIB]), Source(body=BODY[:200 << 10])]
    passed(weir, backend(lambda call: sources[len(call.target) - 1](call)), "proxy_temp_path {tmp}/disk;"
           "proxy_buffers 2 4k;")
    (small_disk / "filler").write_bytes(b"x" * (256 << 10))
    with narrow(weir.port, 30) as client:
        client.request("/")
        sources[0].stands()
        (small_disk / "filler").unlink()
        assert rest(client).body == BODY[:8 * MIB]
    with narrow(weir.port, 30) as client:
        client.request("/x")
        assert sources[1].done.wait(limit(3)) and rest(client, 5).body == BODY[:200 << 10]


# ---- ends ---------------------------------------------------------------------------------------------------

def test_upstream_breaks_off_behind_a_file(weir, backend):
    """What has come is given; then the connection ends, so that the client sees it."""
    def reply(call):
        call.send(answer(BODY)[:16 * MIB])
        call.close()
    passed(weir, backend(reply))
    with narrow(weir.port, 30) as client:
        client.request("/")
        wait_until(lambda: temp_files(weir), 3, "a file")
        take_time(0.3)
        got = client.until_close()
    assert len(got) > 15 * MIB and BODY.startswith(got.partition(b"\r\n\r\n")[2])
    wait_until(lambda: not temp_files(weir), 3, "a closed file")
    assert "prematurely closed" in weir.error_log


def test_client_leaves_behind_a_file(weir, backend):
    source = Source()
    passed(weir, backend(source))
    client = narrow(weir.port)
    client.request("/")
    wait_until(lambda: temp_files(weir), 3, "a file")
    client.close()
    wait_until(lambda: not temp_files(weir), 3, "a closed file")
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 3, "the end of the request")


def test_read_timeout_while_the_client_is_slow(weir, backend):
    """With the upstream waiting for the client, its time does not run."""
    source = Source()
    passed(weir, backend(source), "proxy_read_timeout 300ms; proxy_max_temp_file_size 0; send_timeout 10s;")
    with narrow(weir.port, 30) as client:
        client.request("/")
        source.stands()
        let_pass(0.6)
        assert rest(client).body == BODY


def test_inheritance(weir, backend):
    source = [Source(), Source()]
    up = backend(lambda call: source[call.target == "/on"](call))
    weir.start(config(f"location /on {{ proxy_pass http://{up.address}; proxy_buffering on; }}"
                      f"location /off {{ proxy_pass http://{up.address}; }}", http="proxy_buffering off;"))
    with narrow(weir.port, 30) as off, narrow(weir.port, 30) as on:
        off.request("/off")
        on.request("/on")
        assert source[1].done.wait(limit(5)) and not source[0].done.wait(limit(0.5))
        assert rest(off).body == rest(on).body == BODY
