"""A worker that has all locks of the shared memory and does not go on: the others serve, the master obeys and ends it."""

import os
import signal
import time

import pytest
from attacks import attack_module
from limits import SPREAD, spread, status
from proxylib import backend, upstream  # noqa: F401
from weirlib import alive, config, limit, proc_field, wait_until

ANSWERS_WITHIN, ENDED_WITHIN = 4, 10
HTTP = "limit_concurrency_zone z limit=2; limit_conn_zone $arg_key zone=conns:64k; limit_req_zone $arg_key zone=rates:64k rate=100r/s;"
LOCATIONS = """
    location = /who { return 200 $pid; }
    location /limited { limit_concurrency z; handler sleep; }
    location /conns { limit_conn conns 3; return 200; }
    location /rates { limit_req zone=rates burst=5; return 200; }
    location /proxied { proxy_pass http://up; }
    location = /scribble { handler scribble; }
"""
TARGETS = ["/who", "/limited", "/conns?key=a", "/rates?key=a", "/proxied", "/status"]


@pytest.fixture(params=["stop", "run"])
def stuck(request, weir, backend):  # noqa: F811
    """A server one of whose two workers keeps all locks, stopped or not: (server, its pid, connections to the other)."""
    weir.expect_log("lock|exited on signal 9|killed")
    weir.start(config(LOCATIONS, http=HTTP + upstream(backend()), workers=2, listen=SPREAD,
                      main=f"load_module {attack_module('scribble')};"))
    weir.wait_workers(2)
    (holder, (here, *_)), (other, there) = spread(weir, 2, 8).items()
    here.request(f"/scribble?lock=self&then={request.param}")
    if request.param == "stop":
        wait_until(lambda: proc_field(holder, "State").startswith("T"), 3, "a stopped worker")
    else:
        here.response()
    yield weir, holder, other, there
    if alive(holder):
        os.kill(holder, signal.SIGKILL)


def test_others_answer(stuck):
    """The other worker answers each request within a bound, if need be with a refusal."""
    _, _, _, connections = stuck
    took = {}
    for target, connection in zip(TARGETS, connections):
        begun = time.monotonic()
        answer = connection.get(target)
        took[target] = time.monotonic() - begun
        assert answer.status in (200, 502, 503), (target, answer)
    assert max(took.values()) < limit(ANSWERS_WITHIN), took


def test_holder_is_ended(stuck):
    """The master ends it, says so, and starts another in its place; then all is served."""
    weir, holder, other, connections = stuck
    for target, connection in zip(TARGETS, connections):
        connection.request(target)
    wait_until(lambda: not alive(holder), ENDED_WITHIN, "the holder's end")
    assert str(holder) in weir.wait_log(r"\[alert\].*lock.*").group()
    weir.wait_workers(2)
    assert alive(other)
    assert [weir.get(target).status for target in TARGETS] == [200] * len(TARGETS)


def test_master_buries_another(stuck):
    """The death of another worker does not make the master wait for the lock."""
    weir, _, other, _ = stuck
    os.kill(other, signal.SIGKILL)
    wait_until(lambda: other not in weir.worker_pids() and len(weir.worker_pids()) == 2, ENDED_WITHIN, "a successor")
    assert weir.stop(5) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_master_obeys(stuck, number):
    """A reload goes through, and TERM ends the server."""
    weir, _, _, _ = stuck
    if number == signal.SIGHUP:
        weir.conf.write_text(weir.conf.read_text().replace("limit=2", "limit=3"))
        weir.signal(number)
        wait_until(lambda: status(weir)["concurrency"]["z"]["limit"] == 3, ENDED_WITHIN, "the new limit")
    assert weir.stop(5) == 0
