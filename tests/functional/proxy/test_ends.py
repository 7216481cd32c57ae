"""Clients that leave, failures in the middle of something else, stopping: nothing stays behind."""

import signal
import socket
import struct
import threading

import pytest
from proxylib import (CHUNKS, HALVES, NO_SOCKET, answer, backend,  # noqa: F401 - a fixture
                      passed, read_until, silent_port, upstream)
from weirlib import config, cpu_seconds, limit, open_files, take_time, wait_until, watch
from wire import head


# ---- clients that leave -------------------------------------------------------------------------------------

def leave(client, how):
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_leaves_before_the_answer(weir, backend, how):
    up = backend(lambda call: call.peer.wait_gone())
    passed(weir, up)
    client = weir.connect()
    client.request("/")
    wait_until(lambda: up.calls, 3, "the request")
    leave(client, how)
    assert up.peers[0].gone.wait(limit(2))


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", HALVES)
def test_client_leaves_in_the_body(weir, backend, how, framing):
    """The upstream says nothing more: its connection is closed all the same."""
    up = backend(lambda call: (call.send(HALVES[framing]), call.peer.wait_gone())[1])
    passed(weir, up)
    client = weir.connect()
    client.request("/")
    read_until(client, b"hel")
    leave(client, how)
    assert up.peers[0].gone.wait(limit(2))


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_leaves_a_stream(weir, backend, how):
    """The upstream goes on sending: it is stopped soon."""
    def reply(call):
        call.send(CHUNKS)
        for _ in range(500):
            call.send(b"5\r\nhello\r\n")
            take_time(0.01)
    up = backend(reply)
    passed(weir, up)
    client = weir.connect()
    client.request("/")
    client.socket.recv(1000)
    leave(client, how)
    assert up.peers[0].gone.wait(limit(2))


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_leaves_while_the_request_is_sent(weir, backend, how):
    up = backend(script=lambda peer: (take_time(0.5), peer.wait_gone()), room=64 << 10)
    passed(weir, up, "client_body_buffer_size 8k;")
    client = weir.connect()
    client.request("/", method="POST", body=b"x" * (8 << 20))
    wait_until(lambda: up.accepts, 3, "a connection")
    take_time(0.2)
    leave(client, how)
    assert up.peers[0].gone.wait(limit(3)) and len(up.peers[0].unread) < 8 << 20


def test_client_leaves_while_connecting(weir):
    port, kept = silent_port()
    passed(weir, f"127.0.0.1:{port}")
    client = weir.connect()
    client.request("/")
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 2, 3, "a request under way")
    leave(client, "close")
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 3, "the end of the request")
    assert kept


def test_client_leaves_without_reading_a_large_answer(weir, backend):
    up = backend(answer(b"x" * (20 << 20)))
    passed(weir, up, "proxy_max_temp_file_size 0;")
    client = weir.connect()
    client.request("/")
    assert client.begun()  # the answer has begun
    leave(client, "reset")
    assert up.peers[0].gone.wait(limit(3))


@pytest.mark.directive("proxy_max_temp_file_size")
def test_client_that_does_not_read_is_given_up(weir, backend):
    up = backend(answer(b"x" * (20 << 20)))
    passed(weir, up, "send_timeout 300ms; proxy_max_temp_file_size 0;")
    client = weir.connect()
    client.request("/")
    assert up.peers[0].gone.wait(limit(4)) if wait_until(lambda: up.peers, 3, "a connection") else False
    client.close()


@pytest.mark.parametrize("target", ["/none", "/half"])
def test_read_timeout_with_a_client_that_has_closed_its_side(weir, backend, target):
    """Nothing spins while a half-closed client waits for a silent upstream."""
    def reply(call):
        if call.target == "/half":
            call.send(answer(b"hello")[:-2])
        call.peer.wait_gone()
    up = backend(reply)
    passed(weir, up)
    with weir.connect() as client:
        client.request(target)
        wait_until(lambda: up.calls, 3, "the request")
        assert target == "/none" or client.begun()  # the half has come
        client.end_writing()
        worker = next(iter(weir.worker_pids()))
        before = cpu_seconds(worker)
        watch(0.5)
        assert cpu_seconds(worker) - before < 0.1


def test_leaving_and_failing_at_random(weir, backend):
    """A mixture of everything: nothing crashes, nothing is left behind, and good requests are answered well."""
    def reply(call):
        kind = call.target.split("/")[1]
        if kind == "cut":
            call.send(answer(b"x" * 1000)[:500])
            call.close()
        elif kind in ("close", "reset"):
            getattr(call, kind)()
        elif kind == "slow":
            call.peer.send_slowly(answer(b"y" * 30), 0.002)
        elif kind == "garbage":
            return b"garbage"
        else:
            return answer(call.target.encode())
    up = backend(reply)
    passed(weir, "up", http=upstream(*[f"{up.address} max_fails=0"] * 3), workers=2)
    wrong = []

    def client(number):
        kinds = ["good", "cut", "good", "close", "slow", "good", "reset", "garbage"]
        for i in range(24):
            kind = kinds[(number + i) % len(kinds)]
            target = f"/{kind}/{number}/{i}"
            with weir.connect() as connection:
                connection.request(target)
                if (number * 7 + i) % 5 == 0:
                    take_time(0.001 * (i % 4))
                    continue  # leaves
                try:
                    reply = connection.response()
                except (OSError, EOFError):
                    reply = None
                if kind == "good" and (not reply or reply.text != target):
                    wrong.append((target, reply))
                if kind in ("close", "reset", "garbage") and (not reply or reply.status != 502):
                    wrong.append((target, reply))
                if kind == "cut" and reply:
                    wrong.append((target, reply))
    pids = weir.wait_workers(2)
    files = {pid: len(open_files(pid)) for pid in pids}
    threads = [threading.Thread(target=client, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and weir.worker_pids() == pids
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "no request under way")
    wait_until(lambda: weir.status()["connections"]["active"] == 1, 5, "no connection left")
    up.close()
    wait_until(lambda: all(len(open_files(pid)) <= files[pid] + 2 for pid in pids), 5, "no descriptor left over")


# ---- failures at once, in the middle of something else --------------------------------------------------------

def test_failure_after_a_permit_has_come(weir, backend):
    """A request that waited for its permit fails as soon as it has it; those behind it get theirs."""
    weir.expect_log(NO_SOCKET)
    gate = threading.Event()
    up = backend(lambda call: (gate.wait(10), answer())[1])
    weir.start(config(f"location /hold {{ limit_concurrency z; proxy_pass http://{up.address}; }}"
                      "location /none { limit_concurrency z; proxy_pass http://unix:{tmp}/none.sock; }"
                      "location /bad { limit_concurrency z; proxy_pass http://127.0.0.1:{port2}; }",
                      http="limit_concurrency_zone z limit=1 queue=20 queue_timeout=10s;"))
    clients = [weir.connect() for _ in range(9)]
    for client, target in zip(clients, ["/hold", "/none", "/bad"] * 3):
        client.request(target)
        wait_until(lambda: weir.status()["concurrency"]["z"]["in_flight"] == 1, 3, "one that is held")
    wait_until(lambda: weir.status()["concurrency"]["z"]["queued"] == 8, 3, "eight that wait")
    gate.set()
    assert [client.response().status for client in clients] == [200, 502, 502] * 3
    assert weir.status()["concurrency"]["z"]["in_flight"] == 0


def test_failure_after_a_delay(weir):
    weir.expect_log(NO_SOCKET)
    weir.start(config("location / { limit_req zone=r burst=10; proxy_pass http://unix:{tmp}/none.sock; }",
                      http="limit_req_zone $remote_addr zone=r:1m rate=50r/s;"))
    clients = [weir.connect() for _ in range(5)]
    for client in clients:
        client.request("/")
    assert [client.response().status for client in clients] == [502] * 5


def test_failure_of_an_error_page_at_once(weir, backend):
    weir.expect_log(NO_SOCKET)
    up = backend(lambda call: call.close())
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; error_page 502 /page; }}"
                      "location /page { proxy_pass http://unix:{tmp}/none.sock; }"
                      "location /twice { proxy_pass http://unix:{tmp}/none.sock; error_page 502 /page; }"))
    with weir.connect() as client:
        for target in ("/", "/twice", "/page", "/"):
            reply = client.get(target)
            assert reply.status == 502 and "<h1>502" in reply.text


def test_pipelined_failures(weir, backend):
    weir.expect_log(NO_SOCKET)
    up = backend(lambda call: call.close() if call.target == "/close" else answer())
    passed(weir, up, server="location /none { proxy_pass http://unix:{tmp}/none.sock; }")
    targets = ["/none", "/", "/close", "/none", "/none", "/", "/none"]
    with weir.connect() as client:
        client.send(b"".join(head(f"GET {each} HTTP/1.1") for each in targets))
        assert [client.response().status for _ in targets] == [502, 200, 502, 502, 502, 200, 502]


# ---- stopping with failures under way -----------------------------------------------------------------------

def test_quit_while_an_upstream_fails(weir, backend):
    gate = threading.Event()
    up = backend(lambda call: (gate.wait(10), call.close())[1])
    passed(weir, up)
    with weir.connect() as client:
        client.request("/")
        wait_until(lambda: up.calls, 3, "the request")
        weir.signal(signal.SIGQUIT)
        weir.wait_log("gracefully shutting down")
        gate.set()
        assert client.response().status == 502
    assert weir.wait_exit() == 0


def test_quit_with_a_silent_upstream(weir, backend):
    """worker_shutdown_timeout ends it."""
    up = backend(lambda call: call.peer.wait_gone())
    passed(weir, up, main="worker_shutdown_timeout 500ms;")
    weir.expect_log("shutdown")
    with weir.connect() as client:
        client.request("/")
        wait_until(lambda: up.calls, 3, "the request")
        weir.signal(signal.SIGQUIT)
        weir.wait_exit(5)
        assert up.peers[0].gone.wait(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_with_answers_under_way(weir, backend, number):
    up = backend(lambda call: (call.send(answer(b"hello")[:-2]), call.peer.wait_gone())[1])
    passed(weir, up)
    with weir.connect() as client:
        client.request("/")
        wait_until(lambda: up.calls, 3, "the request")
        weir.signal(number)
        assert weir.wait_exit(5) == 0


def test_file_descriptors_run_out(weir, backend):
    """Connecting fails for want of descriptors: 502 (or the like), and all is well afterwards."""
    up = backend(lambda call: (take_time(0.3), answer())[1])
    passed(weir, up, connections=16, main="worker_rlimit_nofile 40;")
    weir.expect_log("Too many open files|worker_connections|not enough")
    clients = []
    for _ in range(30):
        try:
            clients.append(weir.connect())
            clients[-1].request("/")
        except OSError:
            pass
    for client in clients:
        try:
            assert client.response().status in (200, 502, 500, 503)
        except (OSError, EOFError):
            pass
        client.close()
    assert weir.get().status == 200
