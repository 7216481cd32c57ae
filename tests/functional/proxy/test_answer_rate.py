"""limit_rate, limit_rate_after, X-Accel-Limit-Rate and proxy_limit_rate: how long answers take."""

import time

import pytest
from proxylib import CHUNKS, answer, backend, get, narrow, passed  # noqa: F401 - a fixture
from weirlib import SLOW, config, wait_until, watch
from wire import chunked

RATE = 200_000
BODY = bytes(range(256)) * 800  # 204800 bytes: about one second


def timed(weir, target="/", **options):
    """A body and the seconds it took."""
    start = time.monotonic()
    reply = weir.get(target, timeout=30, **options)
    return reply.body, time.monotonic() - start


def replies(framing):
    if framing == "length":
        return answer(BODY)
    if framing == "chunked":
        return CHUNKS + chunked(BODY, 5000)
    return lambda call: (call.send(answer(BODY, length=False)), call.close())[1]


def with_file(weir, more, size=len(BODY), **parts):
    (weir.tmp / "html/f").write_bytes((BODY * 9)[:size])
    weir.start(config(f"location / {{ root html; {more} }}", **parts))


def check(seconds, wanted):
    assert wanted * 0.75 < seconds < (wanted * 1.3 + 0.3) * SLOW


@pytest.mark.parametrize("sendfile", ["on", "off"])
def test_file(weir, sendfile):
    with_file(weir, f"limit_rate {RATE}; sendfile {sendfile};")
    body, seconds = timed(weir, "/f")
    assert body == BODY
    check(seconds, 1)


def test_small_file(weir):
    """Also one that could go at once."""
    with_file(weir, "limit_rate 10k;", 10 << 10)
    check(timed(weir, "/f")[1], 1)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_answer(weir, backend, framing, buffering):
    passed(weir, backend(replies(framing)), f"limit_rate {RATE}; proxy_buffering {buffering};")
    body, seconds = timed(weir)
    assert body == BODY
    check(seconds, 1)


@pytest.mark.directive("return")
def test_return(weir):
    weir.start(config(f"location / {{ limit_rate 3k; return 200 {'x' * 3000}; }}"))
    body, seconds = timed(weir)
    assert len(body) == 3000
    check(seconds, 1)


@pytest.mark.directive("limit_rate_after")
@pytest.mark.parametrize("proxied", [False, True])
def test_after(weir, backend, proxied):
    """The first bytes are not slowed down."""
    more = f"limit_rate {RATE}; limit_rate_after {len(BODY)};"
    if proxied:
        passed(weir, backend(answer(BODY * 2)), more)
    else:
        with_file(weir, more, 2 * len(BODY))
    with weir.connect(timeout=30) as client:
        start, count, half = time.monotonic(), 0, None
        client.request("/f")
        while count < 2 * len(BODY):
            count += len(client.socket.recv(1 << 16))
            if count >= len(BODY) and half is None:
                half = time.monotonic() - start
        assert half < 0.4 * SLOW
        check(time.monotonic() - start, 1)


@pytest.mark.directive("limit_rate_after")
def test_less_than_after(weir):
    with_file(weir, "limit_rate 1; limit_rate_after 1m;")
    assert timed(weir, "/f")[1] < 0.5 * SLOW


@pytest.mark.parametrize("argument, seconds", [("200k", 1), ("0", 0), ("", 0), ("nonsense", 0), ("400000", 0.5)])
def test_variable(weir, argument, seconds):
    with_file(weir, "limit_rate $arg_rate;")
    body, took = timed(weir, f"/f?rate={argument}")
    assert body == BODY and (took < 0.4 * SLOW if seconds == 0 else True)
    if seconds:
        check(took, seconds)


@pytest.mark.parametrize("rate", ["18446744073709551615", "9223372036854775807", "1g"])
def test_large_rate(weir, rate):
    with_file(weir, "limit_rate $arg_rate;")
    body, took = timed(weir, f"/f?rate={rate}")
    assert body == BODY and took < 0.5 * SLOW


def test_inheritance(weir):
    (weir.tmp / "html/f").write_bytes(BODY)
    weir.start(config("location /slow/ { alias html/; } location /fast/ { alias html/; limit_rate 0; }",
                      http="limit_rate 10k; limit_rate_after 10;", server=f"limit_rate {RATE};"))
    assert timed(weir, "/fast/f")[1] < 0.4 * SLOW
    check(timed(weir, "/slow/f")[1], 1)


def test_head_and_empty_answers_are_not_slow(weir, backend):
    passed(weir, backend(lambda call: answer(b"") if call.method == "GET" else answer(BODY)), "limit_rate 1;")
    assert timed(weir)[1] < 0.5 * SLOW and timed(weir, method="HEAD")[1] < 0.5 * SLOW


def test_kept_connection_pays_once(weir):
    """Each answer has a rate of its own, and after it the connection goes on."""
    with_file(weir, "limit_rate $arg_rate;")
    with weir.connect(timeout=30) as client:
        start = time.monotonic()
        assert client.get(f"/f?rate={RATE}").body == client.get("/f").body == client.get(f"/f?rate={RATE}").body == BODY
        check(time.monotonic() - start, 2)


def test_pipelined(weir, backend):
    passed(weir, backend(answer(BODY)), f"limit_rate {RATE};")
    with weir.connect(timeout=30) as client:
        start = time.monotonic()
        for _ in range(2):
            client.request("/")
        assert client.response().body == client.response().body == BODY
        check(time.monotonic() - start, 2)


def test_slow_rate_outlasts_send_timeout(weir, backend):
    """Pauses that the rate makes are no client that does not read."""
    passed(weir, backend(answer(b"x" * 10)), "limit_rate 4; send_timeout 300ms; proxy_read_timeout 300ms;")
    body, seconds = timed(weir)
    assert body == b"x" * 10
    check(seconds, 2.5)


def test_client_leaves_while_throttled(weir, backend):
    up = backend(lambda call: (call.send(CHUNKS + b"5\r\nhello\r\n"), call.peer.wait_gone())[1])
    passed(weir, up, "limit_rate 1;")
    client = weir.connect()
    client.request("/")
    client.socket.recv(100)
    client.close()
    wait_until(lambda: up.peers[0].gone.is_set(), 3, "the end of the upstream's connection")


def test_rate_frees_the_upstream(weir, backend):
    """A throttled client does not hold the upstream's connection."""
    up = backend(answer(BODY * 5))
    passed(weir, up, "limit_rate $arg_rate; access_log logs/a.log a;",
           http='log_format a "$upstream_response_time $request_time";')
    with weir.connect() as client:
        client.request("/?rate=1")
        client.socket.recv(100)
        wait_until(lambda: weir.get().body == BODY * 5, 3, "another answer")
        wait_until(lambda: len(up.calls) >= 2, 3, "the second")
        watch(0.2)
        assert weir.get().body == BODY * 5 and up.accepts <= 2


# ---- X-Accel-Limit-Rate -------------------------------------------------------------------------------------

@pytest.mark.directive("limit_rate")
@pytest.mark.parametrize("said, setting, ignored, seconds", [
    (RATE, "0", "", 1), (RATE, "1", "", 1), (0, "1", "", 0), (1, RATE, "X-Accel-Limit-Rate", 1), ("x", RATE, "", 1),
    ("", RATE, "", 1)])
def test_accel_limit_rate(weir, backend, said, setting, ignored, seconds):
    passed(weir, backend(answer(BODY, f"X-Accel-Limit-Rate: {said}")),
           f"limit_rate {setting};" + (ignored and f"proxy_ignore_headers {ignored};"))
    body, took = timed(weir)
    assert body == BODY
    check(took, seconds) if seconds else check(took + 0.01, 0.01)


def test_accel_limit_rate_with_a_redirect(weir, backend):
    (weir.tmp / "html/f").write_bytes(BODY)
    passed(weir, backend(answer(b"", f"X-Accel-Limit-Rate: {RATE}", "X-Accel-Redirect: /files/f")),
           server="location /files/ { alias html/; }")
    body, took = timed(weir)
    assert body == BODY
    check(took, 1)


# ---- proxy_limit_rate ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_upstream_is_read_slowly(weir, backend, framing):
    sent = []
    data = replies(framing)
    up = backend(lambda call: (data(call) if callable(data) else call.send(data), sent.append(1))[0])
    passed(weir, up, f"proxy_limit_rate {RATE // 2};")
    body, took = timed(weir)
    assert body == BODY
    check(took, 2)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size, rate, seconds", [(30000, 30000, 1), (60000, 30000, 2), (12000, 6000, 2)])
def test_short_answers_are_read_slowly(weir, backend, framing, size, rate, seconds):
    """Also one that a single read could have had whole."""
    body = BODY[:size]
    heads = {"length": answer(body), "chunked": CHUNKS + chunked(body, 5000),
             "close": lambda call: (call.send(answer(body, length=False)), call.close())[1]}
    passed(weir, backend(heads[framing]), f"proxy_limit_rate {rate};")
    got, took = timed(weir)
    assert got == body
    check(took, seconds)


def test_rate_holds_for_what_goes_to_a_file(weir, backend):
    """The client takes nothing, so that all but the beginning goes there, and no faster."""
    passed(weir, backend(answer(BODY * 9)), f"proxy_limit_rate {4 * RATE}; proxy_buffers 2 4k; access_log logs/a.log a;",
           http='log_format a "$upstream_response_time";')
    with narrow(weir.port, 30) as client:
        client.send(get())
        weir.wait_log("an upstream response is buffered to a temporary file")
        while client.socket.recv(1 << 16):
            pass
    check(float(wait_until(lambda: (weir.tmp / "logs/a.log").read_text(), 3, "the line of the log")), 2.3)


@pytest.mark.directive("proxy_limit_rate")
def test_proxy_limit_rate_is_of_each_answer(weir, backend):
    up = backend(answer(BODY))
    passed(weir, up, f"proxy_limit_rate {RATE // 2};")
    with weir.connect(timeout=30) as client:
        start = time.monotonic()
        assert client.get("/").body == client.get("/").body == BODY
        assert 2 < time.monotonic() - start < 6 * SLOW


@pytest.mark.directive("proxy_buffering")
def test_proxy_limit_rate_needs_buffering(weir, backend):
    """nginx: the limitation works only with buffering."""
    passed(weir, backend(answer(BODY)), "proxy_limit_rate 1k; proxy_buffering off;")
    assert timed(weir)[1] < 0.5 * SLOW


@pytest.mark.directive("proxy_limit_rate")
def test_small_rate_and_read_timeout(weir, backend):
    """A pause that weir makes is not the upstream's silence."""
    passed(weir, backend(answer(BODY)), "proxy_limit_rate 100k; proxy_read_timeout 200ms; proxy_buffers 4 4k;")
    body, took = timed(weir)
    assert body == BODY and 1 < took < 4 * SLOW


@pytest.mark.directive("limit_rate")
def test_proxy_limit_rate_with_a_slow_client(weir, backend):
    passed(weir, backend(answer(BODY)), f"proxy_limit_rate {RATE}; limit_rate {RATE // 2}; proxy_max_temp_file_size 0;"
           "proxy_buffers 4 4k;")
    body, took = timed(weir)
    assert body == BODY
    check(took, 2)
