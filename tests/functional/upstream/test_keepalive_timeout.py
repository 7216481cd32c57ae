"""How long a connection to an upstream is kept while it is idle: keepalive_timeout, and the upstream's own Keep-Alive header."""

import time

import pytest
from proxylib import answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import SLOW, limit

LATE = 0.5  # what a connection may stay beyond its time, on a busy machine


def keep(weir, up, more=""):
    passed(weir, "up", 'proxy_set_header Connection "";', http=upstream(up, more="keepalive 4;" + more))


def idle_time(weir, up):
    """Seconds that the connection of a request stays, counted from its answer; 0 where it is not kept."""
    start = time.monotonic()
    assert weir.get().status == 200
    assert up.peers[-1].gone.wait(limit(10))
    return time.monotonic() - start


@pytest.mark.directive("keepalive_timeout")
def test_keepalive_timeout_is_exact(weir, backend):
    """Each one is closed when its time is over, whenever its time began."""
    up = backend()
    keep(weir, up, "keepalive_timeout 300ms;")
    for _ in range(3):
        assert 0.29 < idle_time(weir, up) < 0.3 + LATE
    assert up.accepts == 3


def test_each_has_its_own_time(weir, backend):
    """A connection that is used again begins anew; another one beside it does not."""
    up = backend(lambda call: answer(b"hello"))
    keep(weir, up, f"keepalive_timeout {400 * SLOW:.0f}ms; keepalive_requests 1000000;")
    end = time.monotonic() + limit(1)
    while time.monotonic() < end:
        assert weir.get().status == 200
    assert up.accepts == 1 and not up.peers[0].gone.is_set()
    assert up.peers[0].gone.wait(limit(0.4) + LATE)


NOT_KEPT = ["timeout=1", "timeout=0", "timeout=1, max=100", "max=100,timeout=1", "Timeout=1"]
KEPT = ["timeout=60", "max=100", "timeout=", "timeout=x", "timeout=-1", "timeouts=1", "timeout=99999999999999999999"]


@pytest.mark.parametrize("said", NOT_KEPT)
def test_not_kept(weir, backend, said):
    """A second before the upstream closes it is at once: the connection is not kept."""
    up = backend(answer(b"hello", f"Keep-Alive: {said}"))
    keep(weir, up)
    assert idle_time(weir, up) < LATE
    assert weir.get().status == 200 and up.accepts == 2


def test_what_says_nothing(weir, backend):
    """Other parameters, values that are no numbers, and longer times leave keepalive_timeout as it is."""
    up = backend(lambda call: answer(b"hello", f"Keep-Alive: {KEPT[len(call.peer.calls) % len(KEPT)]}"))
    keep(weir, up)
    assert [weir.get().status for _ in range(2 * len(KEPT))] == [200] * 2 * len(KEPT)
    assert up.accepts == 1


def test_upstream_keeps_for_less(weir, backend):
    """A second earlier than it says; with several headers the shortest counts."""
    up = backend(answer(b"hello", "Keep-Alive: timeout=5", "Keep-Alive: timeout=2, max=9"))
    keep(weir, up)
    assert 0.95 < idle_time(weir, up) < 1 + LATE


def test_configured_time_is_shorter(weir, backend):
    """keepalive_timeout counts where it ends first."""
    up = backend(answer(b"hello", "Keep-Alive: timeout=60"))
    keep(weir, up, "keepalive_timeout 200ms;")
    for _ in range(2):
        assert 0.19 < idle_time(weir, up) < 0.2 + LATE


def test_said_again(weir, backend):
    """Each answer has its say: what an earlier one has said of the same connection is forgotten."""
    up = backend(lambda call: answer(b"hello", *["Keep-Alive: timeout=3"] * (len(call.peer.calls) == 1)))
    keep(weir, up)
    assert [weir.get().status for _ in range(2)] == [200, 200] and up.accepts == 1
    assert not up.peers[0].gone.wait(2.3)


def test_not_passed_on(weir, backend):
    """The header is between the upstream and us."""
    keep(weir, backend(answer(b"hello", "Keep-Alive: timeout=7")))
    assert weir.get().header("Keep-Alive") is None
