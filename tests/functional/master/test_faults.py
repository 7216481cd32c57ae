"""What goes wrong around the server: full disks, missing files, exhausted limits, clients that crawl or vanish."""

import os
import re
import signal
import socket
import stat
import time

import pytest

from weirlib import Connection, config, cpu_seconds, fetch, limit, open_files, wait_until, watch

SLEEP = "location /sleep { handler sleep; } location / { return 200 ok; }"
FILES = "location / { root html; }"


def same_worker(weir, before):
    assert weir.worker_pids() == before, "a worker died"


def fill_up(folder):
    """Write into a folder until its file system is full."""
    with open(folder / "ballast", "ab", buffering=0) as ballast:
        try:
            while ballast.write(b"x" * 4096):
                pass
        except OSError:
            pass


# ---- full disks -------------------------------------------------------------------------------------------

@pytest.mark.directive("access_log")
def test_full_access_log(weir):
    """A log on a full device costs no answer; the error log names the file and the reason, not once per request."""
    weir.expect_log("No space left on device")
    weir.start(config("location / { access_log /dev/full; return 200 ok; }"))
    workers = weir.wait_workers(1)
    with weir.connect() as client:
        for _ in range(200):
            assert client.get("/").text == "ok"
    weir.wait_log(r"/dev/full.*failed \(28: No space left on device\)")
    assert weir.error_log.count("No space left") <= 20
    same_worker(weir, workers)


def test_full_error_log(weir):
    """An error log on a full device stops nothing, reload and reopening included."""
    conf = config(FILES).replace("error_log logs/error.log notice;", "error_log /dev/full;")
    weir.expect_log("No space left on device")
    weir.start(conf)
    workers = weir.wait_workers(1)
    for _ in range(20):
        assert weir.get("/missing").status == 404
    weir.signal(signal.SIGUSR1)
    assert weir.reload()["last_ok"] is True
    same_worker(weir, workers)


@pytest.mark.needs_root
def test_access_log_goes_on_when_there_is_room_again(weir, small_disk):
    """When a full disk has room again, the access log goes on by itself and no worker was lost."""
    weir.expect_log("No space left on device|was incomplete")
    weir.start(config("location / { access_log disk/access.log; return 200 ok; }"))
    workers = weir.wait_workers(1)
    log = small_disk / "access.log"
    assert weir.get("/before").status == 200
    wait_until(lambda: "/before" in log.read_text(), 3, "a line in the log")
    fill_up(small_disk)
    for _ in range(100):
        assert weir.get("/" + "x" * 100).status == 200
    (small_disk / "ballast").unlink()

    def logged():
        assert weir.get("/after").status == 200
        return re.search(r'^127\.0\.0\.1 .*"GET /after HTTP/1\.1" 200 .*$', log.read_text(), re.M)

    wait_until(logged, 3, "whole lines in the log again")
    same_worker(weir, workers)


@pytest.mark.needs_root
def test_full_disk_for_bodies(weir, small_disk):
    """A body that does not fit on the disk is 500, small ones still work, and the space comes back."""
    weir.expect_log("No space left on device")
    weir.start(config("location / { client_body_buffer_size 4k; client_body_temp_path disk/bodies; handler echo; }"))
    workers = weir.wait_workers(1)
    free = os.statvfs(small_disk).f_bavail
    large, fitting = b"x" * 600_000, b"y" * 100_000
    for _ in range(3):
        with weir.connect() as client:
            try:
                client.request("/", "POST", body=large)
            except ConnectionError:
                pass  # refused before it was sent whole
            assert client.response("POST").status == 500
        assert weir.get("/", method="POST", body=b"small").text == "small"
    weir.wait_log(r"disk/bodies.*\(28: No space left on device\)|\(28: No space left on device\).*disk/bodies")
    wait_until(lambda: os.statvfs(small_disk).f_bavail >= free - 2, 3, "the space to come back")
    assert weir.get("/", method="POST", body=fitting).body == fitting
    same_worker(weir, workers)


def test_temp_files_vanish_with_their_requests(weir):
    """Bodies that went to temporary files leave nothing behind, also when the client goes away half-way."""
    weir.start(config("location / { client_body_buffer_size 1k; client_body_temp_path bodies; handler echo; }"))
    body = b"z" * 100_000
    assert weir.get("/", method="POST", body=body).body == body
    with weir.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + body[:50_000])
        client.wait_taken()
    [worker] = weir.wait_workers(1)

    def leftovers():
        named = [path for path in (weir.tmp / "bodies").rglob("*") if path.is_file()]
        return named + [path for path in open_files(worker).values() if "bodies" in path]

    wait_until(lambda: not leftovers(), 3, "the temporary files to go")


# ---- files ------------------------------------------------------------------------------------------------

@pytest.mark.needs_root
def test_files_that_cannot_be_served(weir):
    """Missing is 404, forbidden is 403, and the log says which file and why."""
    weir.write("secret", "html/secret").chmod(0o600)
    weir.write("inside", "html/closed/file")
    weir.write("a file", "html/plain")
    (weir.tmp / "html/closed").chmod(0o700)
    (weir.tmp / "html/empty").mkdir()
    (weir.tmp / "html/loop").symlink_to("loop")
    weir.start(config(FILES, user="user nobody nogroup;"))
    expected = {"/missing": (404, "2: No such file or directory"), "/secret": (403, "13: Permission denied"),
                "/closed/file": (403, "13: Permission denied"), "/plain/below": (404, "20: Not a directory"),
                "/empty/": (403, "directory index|is forbidden"), "/plain": (200, None)}
    for path, (status, reason) in expected.items():
        assert weir.get(path).status == status, path
        if reason:
            weir.wait_log(rf'\[error\].*{path}.*({re.escape(reason) if ":" in reason else reason})')
    assert weir.get("/loop").status in (403, 404, 500)
    weir.expect_log("loop.*Too many levels of symbolic links")


def test_fifo_does_not_block(weir):
    """A FIFO below the root is refused and does not stop the loop."""
    os.mkfifo(weir.tmp / "html/fifo")
    weir.expect_log("not a regular file")
    weir.start(config(FILES + "location /ok { return 200 ok; }"))
    assert weir.get("/fifo", timeout=3).status in (403, 404)
    assert weir.get("/ok", timeout=3).text == "ok"


def test_file_replaced_and_removed(weir):
    """What is served follows the file: replaced by rename it changes soon, removed it is 404 soon."""
    path = weir.write("one\n", "html/file")
    weir.start(config(FILES))
    assert [weir.get("/file").text for _ in range(3)] == ["one\n"] * 3
    weir.write("two, longer\n", "html/next").rename(path)
    wait_until(lambda: weir.get("/file").text == "two, longer\n", 5, "the new content")
    path.unlink()
    wait_until(lambda: weir.get("/file").status == 404, 5, "404")


def test_file_cut_while_it_is_sent(weir):
    """A file that shrinks under way ends its connection early; the worker lives and never invents bytes."""
    path = weir.tmp / "html/large"
    path.write_bytes(b"L" * 30_000_000)
    weir.expect_log("truncated|sendfile|shrank|read only")
    weir.start(config(FILES))
    workers = weir.wait_workers(1)
    with weir.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.request("/large")
        head = client.socket.recv(1000)
        assert b" 200 " in head
        os.truncate(path, 1000)
        rest = client.until_close()
    assert len(head) + len(rest) < 30_000_000
    assert weir.get("/large").body == b"L" * 1000
    same_worker(weir, workers)


# ---- descriptors and connections --------------------------------------------------------------------------

def crowd(weir, count):
    """Connections that are open and silent."""
    return [weir.connect(timeout=20) for _ in range(count)]


@pytest.mark.directive("worker_rlimit_nofile")
def test_descriptor_limit(weir):
    """Out of descriptors the worker neither dies nor spins, says so, and serves all when there is room again."""
    weir.expect_log("Too many open files")
    weir.start(config(FILES + SLEEP.replace("/ {", "/ok {"), main="worker_rlimit_nofile 64;"))
    weir.write("content", "html/file")
    [worker] = weir.wait_workers(1)
    limits = open(f"/proc/{worker}/limits").read()
    assert re.search(r"^Max open files +64 +64 ", limits, re.M)
    clients = crowd(weir, 150)
    weir.wait_log(r"accept4?\(\) failed \(24: Too many open files\)")
    before = cpu_seconds(worker)
    watch(1)
    assert cpu_seconds(worker) - before < limit(0.3), "the loop spins"
    assert weir.error_log.count("Too many open files") < 100
    for client in clients[:120]:
        client.close()
    for client in clients[120:]:
        client.request("/ok")
    assert [client.response().text for client in clients[120:]] == ["ok"] * 30
    for client in clients:
        client.close()
    assert weir.get("/file").text == "content"
    same_worker(weir, {worker})


@pytest.mark.directive("worker_connections")
def test_worker_connections_exhausted(weir):
    """Past worker_connections the server stays alive, says which directive, and recovers when clients leave."""
    weir.expect_log("worker_connections are not enough")
    weir.start(config(connections=32))
    [worker] = weir.wait_workers(1)
    clients = crowd(weir, 100)
    weir.wait_log(r"32 worker_connections are not enough")
    before = cpu_seconds(worker)
    watch(0.5)
    assert cpu_seconds(worker) - before < limit(0.2), "the loop spins"
    for client in clients:
        client.close()
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 3, "the connections to be forgotten")
    assert weir.get("/").text == "hello\n"
    same_worker(weir, {worker})


def test_idle_connections_give_way(weir):
    """Idle keep-alive connections are closed for new clients when worker_connections runs out, as nginx does."""
    weir.expect_log("worker_connections are not enough")
    weir.start(config(connections=32))
    idle = [weir.connect() for _ in range(25)]
    for client in idle:
        assert client.get("/").status == 200
    for _ in range(30):
        late = weir.connect(timeout=3)
        assert late.get("/").status == 200
        idle.append(late)
    for client in idle:
        client.close()


def test_connections_are_not_leaked(weir):
    """However connections end, the gauges and descriptors of the worker return to where they were."""
    weir.start(config(SLEEP))
    [worker] = weir.wait_workers(1)

    assert weir.get("/sleep?ms=1").status == 200
    before = len(open_files(worker))
    for data in (b"", b"GET", b"GET / HTTP/1.1\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET /sleep?ms=50 HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"):
        for linger in (None, b"\1\0\0\0\0\0\0\0"):
            for _ in range(10):
                with weir.connect() as client:
                    client.send(data)
                    if linger:
                        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 8, "no other connection")
    wait_until(lambda: len(open_files(worker)) <= before, 5, "the descriptors")
    wait_until(lambda: weir.pool()["threads"]["running"] == 0, 5, "no running handler")
    same_worker(weir, {worker})


# ---- slow clients -----------------------------------------------------------------------------------------

class Crawlers:
    """Many clients in one thread's turn, each of which sends its request byte by byte."""

    def __init__(self, port, request, count):
        self.request, self.sent = request, 0
        self.connections = [Connection(port) for _ in range(count)]

    def send_one_byte_each(self):
        for connection in self.connections:
            connection.send(self.request[self.sent:self.sent + 1])
        self.sent += 1

    def close(self):
        for connection in self.connections:
            connection.close()


def test_500_slow_clients(weir):
    """500 clients at a byte per second hold no thread and delay nobody."""
    weir.start(config(SLEEP, pool="threads=2 max_queue=10", connections=1024))
    headers = Crawlers(weir.port, b"GET /sleep?ms=1 HTTP/1.1\r\nHost: x\r\n\r\n", 250)
    bodies = Crawlers(weir.port, b"0123456789", 250)
    for connection in bodies.connections:
        connection.send(b"POST /sleep?ms=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
    wait_until(lambda: weir.status()["connections"]["active"] >= 500, 5, "500 connections")
    times = []
    for _ in range(4):
        headers.send_one_byte_each()
        bodies.send_one_byte_each()
        second = time.monotonic() + 1
        while time.monotonic() < second:
            for target in ("/", "/sleep?ms=1"):
                start = time.monotonic()
                assert weir.get(target).status == 200
                times.append(time.monotonic() - start)
        threads = weir.pool()["threads"]
        assert threads["running"] + threads["stuck"] == 0
    times.sort()
    assert times[int(len(times) * 0.95)] < limit(0.1), f"p95 {times[int(len(times) * 0.95)]:.3f} s"
    assert weir.status()["connections"]["active"] >= 500
    headers.close()
    bodies.close()
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 5, "the connections to be forgotten")


def test_slow_readers_hold_no_thread(weir):
    """Clients that do not read a large answer hold no pool thread."""
    weir.start(config("location / { client_max_body_size 8m; handler echo; } location /sleep { handler sleep; }",
                      pool="threads=1 max_queue=10"))
    body = b"r" * 1_000_000
    lazy = []
    for _ in range(5):
        client = weir.connect()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.request("/", "POST", body=body)
        lazy.append(client)
    wait_until(lambda: weir.pool()["tasks"]["completed"] >= 5, 5, "five finished tasks")
    assert weir.pool()["threads"]["running"] == 0
    assert weir.get("/sleep?ms=1").status == 200
    for client in lazy:
        assert client.response("POST").body == body
        client.close()


def test_header_timeout(weir):
    """A client that does not finish its headers in time is closed, also if it keeps sending."""
    weir.start(config(http="client_header_timeout 1s;"))
    with weir.connect() as client:
        start = time.monotonic()
        with pytest.raises((ConnectionError, AssertionError)):
            for byte in b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":
                client.send(bytes([byte]))
                assert client.closed_within(0.1) is None
        assert 0.8 < time.monotonic() - start < limit(2.5)


# ---- clients that vanish ----------------------------------------------------------------------------------

def test_vanished_clients_are_cancelled(weir):
    """Tasks whose clients left while they were queued never run, are counted, and leave the queue at once."""
    weir.start(config(SLEEP, pool="threads=1 max_queue=100"))
    holder = weir.connect()
    holder.request("/sleep?ms=1500")
    wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
    before = weir.pool()["tasks"]
    queued = [weir.connect() for _ in range(10)]
    for client in queued:
        client.request("/sleep?ms=5000")
    wait_until(lambda: weir.pool()["queue"]["length"] == 10, 3, "a queue")
    for client in queued:
        client.close()
    wait_until(lambda: weir.pool()["tasks"]["cancelled"] == before["cancelled"] + 10, 2, "ten cancelled tasks")
    assert weir.pool()["queue"]["length"] == 0
    assert holder.response().status == 200
    assert weir.get("/sleep?ms=1").status == 200
    assert weir.pool()["tasks"]["completed"] == before["completed"] + 2


def test_vanished_client_of_a_running_task(weir):
    """A client that leaves while its handler runs does no harm; the task ends and the pool goes on."""
    weir.start(config(SLEEP, pool="threads=1 max_queue=100"))
    workers = weir.wait_workers(1)
    with weir.connect() as client:
        client.request("/sleep?ms=300")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
    assert weir.get("/sleep?ms=1").status == 200
    wait_until(lambda: weir.pool()["threads"]["running"] == 0, 3, "an idle pool")
    same_worker(weir, workers)


def test_half_closed_client_is_answered_or_dropped_whole(weir):
    """A client that shuts down its sending side gets the whole answer or nothing, never a part."""
    weir.start(config(SLEEP))
    with weir.connect() as client:
        client.request("/sleep?ms=100", headers=[("Connection", "close")])
        client.socket.shutdown(socket.SHUT_WR)
        data = client.until_close()
    assert data == b"" or data.startswith(b"HTTP/1.1 200 OK\r\n")


def test_queue_full(weir):
    """A full queue refuses with 503 and Retry-After at once, keeps the connection usable, and counts it."""
    weir.start(config(SLEEP, pool="threads=1 max_queue=2"))
    clients = [weir.connect() for _ in range(3)]
    clients[0].request("/sleep?ms=1000")
    wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
    for client in clients[1:]:
        client.request("/sleep?ms=1")
    wait_until(lambda: weir.pool()["queue"]["length"] == 2, 3, "a full queue")
    with weir.connect() as client:
        start = time.monotonic()
        answer = client.get("/sleep?ms=1")
        assert time.monotonic() - start < limit(0.3)
        assert answer.status == 503 and int(answer.header("retry-after")) >= 1
        assert client.get("/").text == "ok"
    assert weir.pool()["tasks"]["rejected"]["queue_full"] == 1
    assert [client.response().status for client in clients] == [200] * 3


# ---- other listeners --------------------------------------------------------------------------------------

def test_unix_socket(weir):
    """A unix socket is served, open to every user, and removed at the end."""
    path = weir.tmp / "weir.sock"
    weir.start(config(SLEEP, listen="unix:{tmp}/weir.sock"), address=str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert fetch(str(path), "/").text == "ok"
    assert fetch(str(path), "/sleep?ms=1").status == 200
    assert weir.stop() == 0
    assert not path.exists()


def test_unix_socket_survives_reload(weir):
    """A reload that starts new workers keeps the unix socket and its clients."""
    path = str(weir.tmp / "weir.sock")
    weir.start(config("location / { return 200 a; }", server="listen unix:{tmp}/weir.sock;"))
    assert fetch(path).text == "a"
    assert weir.reload(config("location / { return 200 b; }", server="listen unix:{tmp}/weir.sock;"))["last_ok"]
    wait_until(lambda: fetch(path).text == "b", 3, "the new answer")


def test_unix_socket_path_too_long(weir):
    """A socket path that the kernel cannot hold is refused with the path in the message."""
    result = weir.run("-t", conf=config(listen="unix:{tmp}/" + "x" * 120))
    assert result.returncode == 1
    assert re.search(r"weir: \[emerg\] .*x{100}.* in \S+:\d+", result.stderr)
