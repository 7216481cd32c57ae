"""A pool that refuses says so in the error log at its default level: one line a second, with a number."""

import re
import time

import pytest
from weirlib import config, wait_until

REFUSED = 500


def start(weir, level, pool="threads=1 max_queue=1", more="handler_timeout 30s;"):
    text = config(f"location /sleep {{ handler sleep; {more} }} location / {{ return 200 ok; }}", pool=pool, log=level,
                  main="thread_pool other threads=1 max_queue=0;")
    weir.start(text.replace("error_log logs/error.log error;", "error_log logs/error.log;") if level == "error" else text)


def fill(weir):
    """Take the thread and the place in the queue; returns the connections that hold them."""
    running, queued = weir.connect(), weir.connect()
    running.request("/sleep?ms=20000")
    wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
    queued.request("/sleep?ms=20000")
    wait_until(lambda: weir.pool()["queue"]["length"] == 1, 3, "a queued one")
    return running, queued


def told(weir):
    """The lines about refusals, and how many refusals they stand for."""
    lines = [line for line in weir.error_log.splitlines() if 'thread pool "default"' in line]
    single = sum("request refused" in line for line in lines)
    return lines, single + sum(int(n) for n in re.findall(r'thread pool "default": (\d+) more requests refused', weir.error_log))


@pytest.mark.parametrize("level", ["error", "warn", "info"])
def test_full(weir, level):
    """Hundreds of refusals are a line or two that stand for all of them, at the default level and at the next."""
    start(weir, level)
    held = fill(weir)
    begun = time.monotonic()
    with weir.connect() as client:
        for _ in range(REFUSED):
            assert client.get("/sleep?ms=1").status == 503
    wait_until(lambda: told(weir)[1] == REFUSED, 4, "lines that stand for all refusals")
    lines, _ = told(weir)
    assert len(lines) <= 3 + time.monotonic() - begun, lines
    assert "[error]" in lines[0] and "is full: 1 waiting" in lines[0] and "client: 127.0.0.1" in lines[0]
    for each in held:
        each.close()


@pytest.mark.parametrize("pool, why", [
    ("threads=1 max_queue=500 queue_timeout=50ms", "queue_timeout"),
    ("threads=1 max_queue=500 discipline=codel", "standing queue"),
])
def test_other_reasons(weir, pool, why):
    """Requests that a queue gives up are told as well, with the reason."""
    start(weir, "error", pool)
    clients = [weir.connect() for _ in range(30)]
    for client in clients:
        client.request("/sleep?ms=120")
    refused = sum(client.response().status == 503 for client in clients)
    assert refused > 3
    wait_until(lambda: told(weir)[1] == refused, 4, "lines that stand for all refusals")
    assert why in told(weir)[0][0]
    for client in clients:
        client.close()


@pytest.mark.directive("thread_pool")
def test_a_password_names_its_own_pool(weir):
    """A refusal of auth_basic's check names the pool default, not the one of the location's handler."""
    weir.write("user:$2y$10$abcdefghijklmnopqrstuuJ0GGJ0GGJ0GGJ0GGJ0GGJ0GGJ0GGJ0G\n", "conf/users")
    text = config("""location /sleep { handler sleep; }
        location /private { auth_basic x; auth_basic_user_file {tmp}/conf/users; handler sleep pool=other; }""",
                  pool="threads=1 max_queue=1", main="thread_pool other threads=1 max_queue=5;")
    weir.start(text)
    held = fill(weir)
    assert weir.get("/private", headers=[("Authorization", "Basic dXNlcjp4")]).status == 503
    weir.wait_log(r'thread pool "default" is full: 1 waiting')
    for each in held:
        each.close()
