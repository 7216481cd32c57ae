"""limit_req of more than a thousand requests a second: as many get through as the rate says, whatever the clock's ticks."""

import socket
import time

import pytest
from weirlib import config, limit

SECONDS = 1.5
REQUEST = b"GET /f HTTP/1.1\r\nHost: a\r\n\r\n"


def serve(weir, rate, more=""):
    weir.write("x", "html/f")
    return weir.start(config(f"location / {{ limit_req zone=z{more}; root {{tmp}}/html; }}",
                             http=f"limit_req_zone $server_addr zone=z:64k rate={rate}r/s; limit_req_log_level error;",
                             server="keepalive_requests 1000000;", log="crit"))


def hammer(port, seconds=SECONDS):
    """One request after another; returns (moment, status) of each."""
    found = []
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.monotonic()
        while (now := time.monotonic()) - begun < seconds:
            client.sendall(REQUEST)
            answer = client.recv(4096)
            found.append((now, int(answer[9:12])))
    return found


def possible(moments, rate, burst=0):
    """How many of these an exact leaky bucket lets through."""
    passed, last, excess = 0, float("-inf"), 0
    for moment in moments:
        now = max(0, excess - rate * (moment - last) + 1)
        if now <= burst:
            passed, last, excess = passed + 1, moment, now
    return passed


@pytest.mark.parametrize("rate", [1500, 2000, 3000])
def test_no_burst(weir, rate):
    """Without a burst each request passes that comes a whole interval after the last one, and no other."""
    serve(weir, rate)
    found = hammer(weir.port)
    passed = sum(status == 200 for _, status in found)
    could = possible([moment for moment, _ in found], rate)
    if len(found) < 1.2 * rate * SECONDS:
        pytest.skip(f"{len(found)} requests are too few to tell")
    assert 0.85 * could <= passed <= 1.02 * rate * SECONDS + 1, (passed, could, len(found))


def test_burst_does_not_change_the_rate(weir):
    """With a burst the rate is held as well, and the burst comes on top."""
    rate, burst = 2000, 50
    serve(weir, rate, f" burst={burst} nodelay")
    found = hammer(weir.port)
    passed = sum(status == 200 for _, status in found)
    if len(found) < 1.2 * rate * SECONDS:
        pytest.skip(f"{len(found)} requests are too few to tell")
    could = possible([moment for moment, _ in found], rate, burst)
    assert 0.9 * could <= passed <= 1.02 * rate * (found[-1][0] - found[0][0]) + burst + 1, (passed, could, len(found))


def test_slow_rates_stay(weir):
    """A rate of a few each second is what it was."""
    serve(weir, 5)
    found = hammer(weir.port, limit(1.1))
    assert 5 <= sum(status == 200 for _, status in found) <= 6 * limit(1), len(found)
