"""Servers that fail: when the next one is asked instead, and health checks that find out beforehand."""

import os
import signal
import threading

import pytest
from limits import SPREAD
from proxylib import answer, backend, passed, silent_port, upstream  # noqa: F401 - a fixture
from weirlib import Load, limit, take_time, wait_until, watch

# ---- proxy_next_upstream ----------------------------------------------------------------------------------------


def status_answer(code):
    return answer(b"bad", status=f"{code} X")


FAILURES = {"error": lambda call: call.close(), "timeout": lambda call: call.peer.wait_gone(),
            "invalid_header": lambda call: (call.send(b"garbage\r\n\r\n"), call.close())[1],
            **{f"http_{code}": status_answer(code) for code in (500, 502, 503, 504, 403, 404, 429)}}
ALL = " ".join(FAILURES)
OWN_STATUS = {"error": 502, "timeout": 504, "invalid_header": 502}


def two(weir, backend, failure, conditions, more="", servers="max_fails=0"):
    bad, good = backend(FAILURES[failure]), backend(answer(b"good"))
    passed(weir, "up", f"proxy_next_upstream {conditions}; proxy_read_timeout 300ms; {more}",
           http=upstream(f"{bad.address} {servers} weight=1000", good))
    return bad, good


@pytest.mark.parametrize("failure", FAILURES)
def test_next_for_its_condition(weir, backend, failure):
    bad, good = two(weir, backend, failure, failure)
    assert weir.get().text == "good" and len(bad.calls) == 1


@pytest.mark.parametrize("failure", FAILURES)
def test_not_for_other_conditions(weir, backend, failure):
    bad, good = two(weir, backend, failure, " ".join(name for name in FAILURES if name != failure))
    got = weir.get()
    assert got.status == OWN_STATUS.get(failure) or (failure == f"http_{got.status}" and got.text == "bad")
    assert (len(bad.calls), len(good.calls)) == (1, 0)


@pytest.mark.parametrize("failure", FAILURES)
def test_off(weir, backend, failure):
    bad, good = two(weir, backend, failure, "off")
    assert weir.get().status >= 403 and (len(bad.calls), len(good.calls)) == (1, 0)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
def test_never_sent_twice(weir, backend, failure, method):
    bad, good = two(weir, backend, failure, ALL)
    assert weir.get(method=method, body=b"x").status >= 403
    assert (len(bad.calls), len(good.calls)) == (1, 0)


@pytest.mark.parametrize("failure", FAILURES)
def test_sent_twice_where_it_is_allowed(weir, backend, failure):
    bad, good = two(weir, backend, failure, ALL + " non_idempotent")
    assert weir.get(method="POST", body=b"x" * 3000).text == "good"
    assert bad.call.body == good.call.body == b"x" * 3000


@pytest.mark.parametrize("failure, counts", [("error", True), ("timeout", True), ("invalid_header", True),
                                             ("http_500", True), ("http_429", True), ("http_403", False),
                                             ("http_404", False)])
def test_what_counts_as_a_failure(weir, backend, failure, counts):
    two(weir, backend, failure, ALL, servers="fail_timeout=20s")
    assert weir.get().text == "good"
    assert weir.status()["upstreams"]["up"][0]["state"] == ("unavail" if counts else "up")


@pytest.mark.directive("proxy_next_upstream_tries")
@pytest.mark.parametrize("tries, asked", [(1, 1), (2, 2), (3, 3), (0, 4)])
def test_tries(weir, backend, tries, asked):
    """The last answer is passed on as it is."""
    ups = [backend(status_answer(503)) for _ in range(4)]
    passed(weir, "up", f"proxy_next_upstream http_503; proxy_next_upstream_tries {tries};",
           http=upstream(*[f"{up.address} max_fails=0" for up in ups]))
    assert weir.get().text == "bad" and sum(len(up.calls) for up in ups) == asked


@pytest.mark.directive("proxy_next_upstream", "proxy_next_upstream_timeout")
def test_time_for_tries(weir, backend):
    ups = [backend(lambda call: (take_time(0.3), status_answer(503))[1]) for _ in range(4)]
    passed(weir, "up", "proxy_next_upstream http_503; proxy_next_upstream_timeout 500ms;",
           http=upstream(*[f"{up.address} max_fails=0" for up in ups]))
    assert weir.get().text == "bad" and sum(len(up.calls) for up in ups) == 2


def test_a_server_that_is_down_is_no_next_one(weir, backend):
    """As in nginx: the answer of the only one that may be asked is passed on."""
    up = backend(status_answer(503))
    passed(weir, "up", "proxy_next_upstream http_503;", http=upstream(up, "127.0.0.1:1 down"))
    got = weir.get()
    assert (got.status, got.text) == (503, "bad")


def test_server_dies_under_load(weir, backend):
    """Its kept connections end, new ones are refused: no request of those that may be repeated is lost."""
    ups = [backend(lambda call: (take_time(0.002), answer())[1]) for _ in range(2)]
    passed(weir, "up", http=upstream(*[f"{up.address} fail_timeout=500ms" for up in ups]), listen=SPREAD, workers=2)
    with Load(weir.port, "/", 8) as load:
        take_time(1)
        ups[0].close()
        take_time(1.5)
        assert load.rate(0.5) > 50
    assert not load.failed and load.ok > 100 and ups[1].calls and ups[0].calls


# ---- health checks ----------------------------------------------------------------------------------------------

def checked(weir, backend, check="interval=200ms", reply=answer(b"g"), workers=1, servers="", **options):
    """Two servers with a health check at /health; returns them."""
    ups = [backend(reply), backend(answer(b"other"))]
    passed(weir, "up", http=upstream(*[f"{up.address} {servers}" for up in ups],
                                     more=f"health_check uri=/health {check};"), listen=SPREAD, workers=workers)
    weir.wait_workers(workers)
    return ups


def checks(up):
    return [call for call in up.calls if call.target == "/health"]


def state(weir):
    return weir.status()["upstreams"]["up"][0]["state"]


def wait_state(weir, wanted, seconds=3):
    wait_until(lambda: state(weir) == wanted, seconds, f"state {wanted}")


def texts(weir, count=6):
    return {weir.get().text for _ in range(count)}


@pytest.mark.directive("health_check")
@pytest.mark.parametrize("workers", [1, 3])
def test_one_check_for_each_interval(weir, backend, workers):
    up, other = checked(weir, backend, "interval=500ms", workers=workers)
    wait_until(lambda: checks(up), 2, "a check")
    before = len(checks(up))
    watch(3)
    assert 4 <= len(checks(up)) - before <= 7 and checks(other)
    call = checks(up)[0]
    assert (call.method, call.header("Connection"), call.header("Host")) == ("GET", "close", "up")


def test_sick_servers_get_nothing(weir, backend):
    up, _ = checked(weir, backend, workers=3)
    assert texts(weir) == {"g", "other"}
    up.reply = lambda call: status_answer(500) if call.target == "/health" else answer(b"g")
    wait_state(weir, "unhealthy")
    assert texts(weir, 12) == {"other"}
    weir.wait_log("is unhealthy: its answer has status 500")
    up.reply = answer(b"g")
    wait_state(weir, "up")
    assert texts(weir, 12) == {"g", "other"}
    assert weir.error_log.count("is unhealthy") == weir.error_log.count("is healthy") - 2 == 1


WELL = [answer(b""), answer(b"", status="204 X"), answer(b"", status="399 X"), answer(b"x", length=False),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(), b"HTTP/1.0 200 OK\r\n\r\n"]
SICK = [answer(b"", status="400 X"), b"garbage\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX", b"HTTP/1.1 200 OK\r\n" + b"X" * 30000,
        b"HTTP/1.1 100 Continue\r\n\r\n", b"\0" * 100, b"HTTP/9.9 200 OK\r\n\r\n"]


@pytest.mark.parametrize("reply, wanted", [*[(each, "up") for each in WELL], *[(each, "unhealthy") for each in SICK]])
def test_what_is_well(weir, backend, reply, wanted):
    up, _ = checked(weir, backend, "interval=200ms mandatory", reply=lambda call: (call.send(reply), call.close())[1])
    wait_state(weir, wanted)
    watch(0.3)
    assert state(weir) == wanted


@pytest.mark.parametrize("statuses, code, wanted", [("204", 204, "up"), ("204", 200, "unhealthy"), ("200-299", 299, "up"),
                                                    ("200-299,404", 404, "up"), ("200-299,404", 403, "unhealthy"),
                                                    ("500", 500, "up")])
def test_statuses(weir, backend, statuses, code, wanted):
    checked(weir, backend, f"mandatory interval=200ms status={statuses}", reply=status_answer(code))
    wait_state(weir, wanted)


def test_passes_and_fails(weir, backend):
    up, _ = checked(weir, backend, "interval=300ms fails=3 passes=2")
    up.reply, start = status_answer(500), len(checks(up))
    wait_state(weir, "unhealthy")
    assert len(checks(up)) - start == 3
    up.reply, start = answer(b"g"), len(checks(up))
    wait_state(weir, "up")
    assert len(checks(up)) - start == 2


@pytest.mark.parametrize("hangs", ["answer", "half", "connect"])
def test_hanging_server(weir, backend, hangs):
    half = {"half": b"HTTP/1.1 200 OK\r\n"}.get(hangs, b"")
    reply = lambda call: (call.send(half), call.peer.wait_gone())[1] if call.target == "/health" else answer(b"g")  # noqa: E731
    up, _ = checked(weir, backend, "interval=200ms timeout=400ms", reply=reply, workers=2)
    if hangs == "connect":
        port, kept = silent_port()
        weir.reload(weir.conf.read_text().replace(f":{up.port}", f":{port}"))
    wait_state(weir, "unhealthy")
    weir.wait_log("is unhealthy: it did not answer in time")
    assert texts(weir) == {"other"}
    if hangs != "connect":
        up.reply = answer(b"g")
        wait_state(weir, "up")


def test_port(weir, backend):
    """Of its own: what is asked there decides over the server, which sees no check."""
    well = backend(answer())
    up, other = checked(weir, backend, f"interval=200ms port={well.port}")
    wait_until(lambda: len(checks(well)) > 2, 3, "checks")
    well.reply = status_answer(503)
    wait_state(weir, "unhealthy")
    assert not checks(up) + checks(other) and weir.get().status == 502


def test_mandatory(weir, backend):
    """No request before the first check has passed."""
    gate = threading.Event()
    up, _ = checked(weir, backend, "interval=200ms timeout=10s mandatory",
                    reply=lambda call: (gate.wait(10) if call.target == "/health" else 0, answer(b"g"))[1])
    wait_until(lambda: "other" in texts(weir, 1), 3, "the other server")
    assert texts(weir) == {"other"} and state(weir) == "checking"
    gate.set()
    wait_state(weir, "up")
    assert texts(weir) == {"other", "g"}


@pytest.mark.parametrize("while_asking", [False, True])
def test_worker_is_killed(weir, backend, while_asking):
    """Checks go on, also where the dead one has just been asking."""
    weir.expect_log("exited on signal 9")
    up, _ = checked(weir, backend, "interval=300ms timeout=5s", workers=3)
    if while_asking:
        up.reply = lambda call: call.peer.wait_gone()
    wait_until(lambda: len(checks(up)) > 2, 3, "checks")
    for pid in weir.worker_pids():
        os.kill(pid, signal.SIGKILL)
    up.reply, before = status_answer(500), len(checks(up))
    wait_until(lambda: len(checks(up)) > before + 2, 5, "checks that go on")
    wait_state(weir, "unhealthy")


def test_state_survives_a_reload(weir, backend):
    up, _ = checked(weir, backend, "interval=30s", reply=status_answer(500), workers=2)
    wait_state(weir, "unhealthy")
    weir.reload(weir.conf.read_text().replace("proxy_pass", "proxy_set_header X-New 1; proxy_pass"))
    weir.wait_workers(2)
    assert state(weir) == "unhealthy" and texts(weir) == {"other"} and len(checks(up)) == 1


def test_a_shorter_interval_is_taken_over(weir, backend):
    up, _ = checked(weir, backend, "interval=60s")
    wait_until(lambda: checks(up), 2, "the first check")
    weir.reload(weir.conf.read_text().replace("interval=60s", "interval=200ms"))
    weir.wait_workers(1)
    wait_until(lambda: len(checks(up)) > 2, limit(4), "checks after the new interval")


def test_slow_start_after_a_check(weir, backend):
    up, _ = checked(weir, backend, "interval=200ms", workers=2, servers="slow_start=20s")
    up.reply = status_answer(500)
    wait_state(weir, "unhealthy")
    up.reply = answer(b"g")
    wait_state(weir, "up")
    assert [weir.get().text for _ in range(30)].count("g") < 8
