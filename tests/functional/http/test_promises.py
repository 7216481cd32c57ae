"""What must always hold, tried where it once did not: streams, error pages, unread requests, handlers left alone."""

import os
import socket
import time

import pytest
import weirlib
import wire
from weirlib import Connection, config, let_pass, limit, open_files, take_time, wait_until

BIG = 3_000_000


def serve(weir, pour, locations, pool="threads=2 max_queue=100", **parts):
    weir.start(config("location / { return 200 fast; }" + locations, pool=pool,
                      main=f"load_module {pour};" + parts.pop("main", ""), **parts))


def slow_reader(port, target):
    """A connection with a small window that has asked for target and reads nothing yet."""
    connection = Connection(port, options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
    connection.send(wire.head(f"GET {target} HTTP/1.1"))
    return connection.socket


def read_all(connection, pause=0.0, size=65536):
    data = b""
    while block := connection.recv(size):
        data += block
        take_time(pause)
    return data


def test_streams_to_slow_readers(weir, pour):
    """Streams whose readers are slow arrive whole, and the loop stays free for others."""
    serve(weir, pour, "location /pour { handler pour; }", pool="threads=8 max_queue=100")
    readers = [slow_reader(weir.port, "/pour?n=300&size=3000&us=200") for _ in range(6)]
    for _ in range(50):
        started = time.monotonic()
        assert weir.get("/").text == "fast" and time.monotonic() - started < limit(0.5)
    for connection in readers:
        connection.settimeout(limit(20))
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            block = connection.recv(65536)
            assert block, "cut off"
            data += block
        assert data.count(b"x") == 900_000
        connection.close()
    assert weir.get("/").text == "fast"


def test_sendfile_off_keeps_later_requests(weir, pour):
    """With `sendfile off`, a file is never mistaken for the requests behind its own."""
    serve(weir, pour, "location /f { root html; sendfile off; }")
    (weir.tmp / "html/f").mkdir()
    (weir.tmp / "html/f/big").write_bytes(wire.head("GET /wrong HTTP/1.1") * (BIG // 40))
    (weir.tmp / "html/f/small").write_text("small")
    with weir.connect() as connection:
        connection.send(wire.head("GET /f/big HTTP/1.1") + wire.head("GET /f/small HTTP/1.1") * 3)
        assert connection.response().status == 200
        assert [connection.response().text for _ in range(3)] == ["small"] * 3


@pytest.mark.parametrize("framing", ["length", "chunked", "file"])
def test_error_page_without_the_body(weir, pour, framing):
    """A handler that serves as error page sees no part of a body that was not kept for it."""
    weir.expect_log("too large|asked to|No such file")
    serve(weir, pour, """location /page { handler count_body; }
        location /static { root html; error_page 404 405 = /page; }
        location /small { handler count_body; client_max_body_size 10; error_page 413 = /page; }
        location /fails { handler give_up; client_body_buffer_size 1k; error_page 500 = /page; }""")
    body = os.urandom(9000 if framing == "file" else 900)
    raw = {"length": lambda target: wire.post(target, f"Content-Length: {len(body)}", body=body),
           "file": lambda target: wire.post(target, f"Content-Length: {len(body)}", body=body),
           "chunked": lambda target: wire.post(target, "Transfer-Encoding: chunked", body=wire.chunked(body))}[framing]
    for target in ("/static/x", "/small", "/fails"):
        assert wire.ask(weir.port, raw(target), "POST").body.strip() == b"0", target


def test_error_page_that_times_out(weir, pour):
    """An error page that itself takes too long ends in the plain page, once."""
    weir.expect_log("timed out")
    serve(weir, pour, "location /deaf { handler deaf; handler_timeout 200ms; error_page 504 /deaf?ms=900; }",
          pool="threads=4 max_queue=10")
    started = time.monotonic()
    assert weir.get("/deaf?ms=900").status == 504
    assert time.monotonic() - started < limit(2)


def test_unread_requests_do_not_cost_answers(weir, pour):
    """A client that pipelines more than keepalive_requests still gets the answers up to the limit."""
    serve(weir, pour, "", server="keepalive_requests 500;")
    connection = weir.connect().socket
    connection.sendall(wire.head() * 3000)
    take_time(0.3)
    assert read_all(connection).count(b"200 OK") == 500


def test_stream_past_its_time(weir, pour):
    """handler_timeout holds for a stream whose client reads nothing: connection and thread are given up."""
    serve(weir, pour, "location /pour { handler pour; handler_timeout 700ms; }", pool="threads=1 max_queue=10")
    with slow_reader(weir.port, "/pour?n=100000&size=10000"):
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 5, "a running handler")
        wait_until(lambda: weir.pool()["threads"]["running"] == 0, 5, "the handler's end")
    assert weir.get("/").text == "fast"


def test_handler_left_by_its_client(weir, pour):
    """A handler that nobody waits for counts as stuck after its time, and its place is filled."""
    serve(weir, pour, "location /deaf { handler deaf; handler_timeout 400ms; }", pool="threads=2 max_queue=10")
    for running in (1, 2):
        with weir.connect() as connection:
            connection.request("/deaf?ms=4000")
            wait_until(lambda: sum(weir.pool()["threads"][state] for state in ("running", "stuck")) >= running, 3, "a running handler")
    wait_until(lambda: weir.pool()["threads"]["stuck"] == 2, 5, "two stuck threads")
    assert weir.get("/deaf?ms=1").text == "awake\n"


def test_a_handler_that_does_not_notice_is_stuck(weir, pour):
    """A thread whose handler was given up counts as stuck, not as running, until the handler returns."""
    serve(weir, pour, "location /deaf { handler deaf; handler_timeout 200ms; }", pool="threads=1 max_queue=10")
    assert weir.get("/deaf?ms=2500").status == 504
    threads = weir.pool()["threads"]
    assert (threads["stuck"], threads["running"]) == (1, 0)
    assert weir.get("/deaf?ms=1").status == 200  # on a replacement
    weirlib.wait_until(lambda: weir.pool()["threads"]["stuck"] == 0, 5, "a thread that is no longer stuck")


def test_refused_files_leave_no_descriptor(weir, pour):
    """A range that cannot be met, with an error page from a file, lets go of the file that it was asked of."""
    serve(weir, pour, "location /f { root html; error_page 416 /f/page; }")
    (weir.tmp / "html/f").mkdir()
    (weir.tmp / "html/f/page").write_text("page")
    target = weir.tmp / "html/f/file"
    (worker,) = weir.wait_workers(1)
    target.write_bytes(bytes(200_000))
    before = len(open_files(worker))
    for i in range(40):
        os.utime(target, (i + 1, i + 1))
        assert weir.get("/f/file", headers=[("Range", "bytes=900000-")]).status == 416
    assert len(open_files(worker)) <= before + 4


@pytest.mark.directive("pid")
def test_pid_file_follows_the_configuration(weir, pour):
    """A reload with another pid file writes that one and removes the old."""
    serve(weir, pour, "")
    old = weir.pid_file
    conf = config("location / { return 200 moved; }", main=f"load_module {pour}; ")
    assert "pid logs/weir.pid;" in conf
    assert weir.reload(conf.replace("pid logs/weir.pid;", "pid logs/other.pid;"))["last_ok"]
    assert (weir.tmp / "logs/other.pid").read_text() == f"{weir.pid}\n" and not old.exists()


@pytest.mark.directive("thread_pool")
def test_many_pool_names_over_time(weir, pour):
    """Pools that come and go do not use up the room for their figures."""
    serve(weir, pour, "")
    for i in range(20):
        names = "".join(f"thread_pool p{i}_{j} threads=1;" for j in range(4))
        assert weir.reload(config("location / { return 200 fast; }", main=names))["last_ok"], i
    assert "p19_3" in weir.status()["pools"]


def test_names_taken_from_a_host_are_lower_case(weir, pour):
    """What an expression takes from the host is lower case, whatever the client wrote."""
    serve(weir, pour, "", http="""server { listen 127.0.0.1:{port}; server_name "~^(?<user>[a-z]+)\\\\.org$";
        location / { return 200 "$user $1\\n"; } }""")
    assert wire.ask(weir.port, wire.head("GET / HTTP/1.1", host="Host: BOB.Org")).text == "bob bob\n"


def test_large_files_leave_descriptors_for_clients(weir, pour):
    """However many large files are asked for, only some stay open."""
    serve(weir, pour, "location /f { root html; }")
    (weir.tmp / "html/f").mkdir()
    (worker,) = weir.wait_workers(1)
    for i in range(150):
        path = weir.tmp / f"html/f/{i}"
        path.write_bytes(bytes(70_000))
        os.utime(path, (1, 1))
    let_pass(0.05)
    for i in range(150):
        assert len(weir.get(f"/f/{i}").body) == 70_000
    assert len(open_files(worker)) < 100
