"""Reloading: what changes under way, what starts new workers, what a wrong file does, and that no request is lost."""

import signal
import time

import pytest

from weirlib import Load, alive, config, limit, refused, take_time, wait_until

SLEEP = "location /sleep { handler sleep; }"
HELLO = 'location / { return 200 "hello\\n"; }'


def sized(threads, **options):
    """Two workers whose sleep handler has so many threads each, and a queue that holds every client."""
    pool = f"threads={threads} max_queue=1000 queue_timeout=30s"
    return config(SLEEP + HELLO, **{"workers": 2, "pool": pool, **options})


def stuck(weir, requests=1, target="/sleep?ms=100000"):
    """Connections whose requests occupy a thread each for longer than any test."""
    running = weir.pool()["threads"]["running"]
    clients = [weir.connect(timeout=60) for _ in range(requests)]
    for client in clients:
        client.request(target)
    wait_until(lambda: weir.pool()["threads"]["running"] == running + requests, 3, "stuck handlers")
    return clients


def answers_fast(weir, target="/"):
    """Ten requests, each answered 200 well before anything slow in the test could end."""
    for _ in range(10):
        start = time.monotonic()
        assert weir.get(target).status == 200
        assert time.monotonic() - start < limit(0.3)


# ---- in place ---------------------------------------------------------------------------------------------

def test_resize_under_load(weir):
    """threads 2 -> 8 -> 2 by HUP: same workers, no failed request, throughput times four and back."""
    weir.start(sized(2))
    workers = weir.wait_workers(2)
    with Load(weir.port, "/sleep?ms=100", clients=48) as load:
        take_time(0.5)
        small = load.rate(1.5)
        assert weir.reload(sized(8))["last_kind"] == "in-place"
        take_time(0.3)
        large = load.rate(1.5)
        assert weir.reload(sized(2))["last_kind"] == "in-place"
        take_time(0.5)
        small_again = load.rate(1.5)
        assert weir.worker_pids() == workers
    assert not load.failures and not load.retries
    assert small <= 40 * 1.2, "more than two threads in each of two workers"
    assert large >= 3 * small
    assert small_again <= 1.3 * small


def test_grown_pool_serves_its_queue_at_once(weir):
    """New threads take up tasks that were queued before they came."""
    weir.start(sized(1, workers=1))
    clients = stuck(weir)
    waiting = [weir.connect() for _ in range(3)]
    for client in waiting:
        client.request("/sleep?ms=1")
    wait_until(lambda: weir.pool()["queue"]["length"] == 3, 3, "a queue")
    weir.reload(sized(2, workers=1))
    for client in waiting:
        assert client.response().status == 200
    assert weir.pool()["threads"]["max"] == 2
    assert alive(weir.pid) and not clients[0].closed_within(0.05)


def test_shrunk_pool_retires_idle_threads_at_once_and_busy_ones_later(weir):
    """A pool that shrinks loses its idle threads now, its busy ones when their task ends, and no task."""
    weir.start(sized("8..8", workers=1))
    busy = [weir.connect() for _ in range(4)]
    for client in busy:
        client.request("/sleep?ms=1500")
    wait_until(lambda: weir.pool()["threads"]["running"] == 4, 3, "running handlers")
    weir.reload(sized("1..1", workers=1))
    wait_until(lambda: weir.pool()["threads"]["idle"] == 0, 1, "idle threads to go")
    assert weir.pool()["threads"]["running"] == 4
    assert [client.response().status for client in busy] == [200] * 4
    wait_until(lambda: sum(weir.pool()["threads"][state] for state in ("running", "idle")) == 1, 2, "one thread")


def test_queue_limit_in_place(weir):
    """max_queue takes effect in running workers: beyond it 503 with Retry-After, at once."""
    weir.start(config(SLEEP, pool="threads=1 max_queue=10"))
    workers = weir.wait_workers(1)
    clients = stuck(weir)
    answer = weir.reload(config(SLEEP, pool="threads=1 max_queue=1"))
    assert (answer["last_ok"], answer["last_kind"]) == (True, "in-place")
    wait_until(lambda: weir.pool()["queue"]["limit"] == 1, 3, "the new limit")
    queued = weir.connect()
    queued.request("/sleep?ms=1")
    wait_until(lambda: weir.pool()["queue"]["length"] == 1, 3, "a full queue")
    refusal = weir.get("/sleep?ms=1")
    assert refusal.status == 503 and int(refusal.header("retry-after")) >= 1
    assert weir.worker_pids() == workers and len(clients) == 1
    queued.close()


@pytest.mark.parametrize("directive", [
    "keepalive_timeout 1s;", "send_timeout 5s;", "client_header_timeout 5s;", "client_body_timeout 5s;",
])
def test_timeouts_are_in_place(weir, directive):
    """A changed timeout keeps the workers and their connections."""
    weir.start(config())
    workers = weir.wait_workers(1)
    with weir.connect() as client:
        client.get("/")
        assert weir.reload(config(http=directive))["last_kind"] == "in-place"
        assert client.get("/").text == "hello\n"
    assert weir.worker_pids() == workers


def test_keepalive_timeout_takes_effect(weir):
    """After the reload idle connections close at the new time."""
    weir.start(config(http="keepalive_timeout 60s;"))
    weir.reload(config(http="keepalive_timeout 1s;"))
    with weir.connect() as client:
        client.get("/")
        assert client.closed_within(limit(5)) == pytest.approx(1, abs=limit(0.6))


def test_log_level_in_place(weir):
    """A changed error_log level keeps the workers and takes effect in them."""
    weir.start(config("location / { root html; }", log="crit"))
    workers = weir.wait_workers(1)
    assert weir.get("/one").status == 404
    assert weir.reload(config("location / { root html; }", log="error"))["last_kind"] == "in-place"

    def logged():
        weir.get("/two")
        return "html/two" in weir.error_log

    wait_until(logged, 3, "an [error] line")
    assert "html/one" not in weir.error_log
    assert weir.worker_pids() == workers


def test_unchanged_file(weir):
    """A reload without a change succeeds, is counted, and does not touch the workers."""
    weir.start(config(workers=2))
    workers = weir.wait_workers(2)
    before = weir.status()
    assert weir.reload()["last_ok"] is True
    after = weir.status()
    assert after["reload"]["count"] == before["reload"]["count"] + 1
    assert after["reload"]["failed"] == 0
    assert weir.worker_pids() == workers


# ---- new workers ------------------------------------------------------------------------------------------

def test_changed_answer_is_respawn(weir):
    """A changed return body starts new workers; the old ones go, totals stay, the generation grows."""
    weir.start(config(workers=2))
    old = weir.wait_workers(2)
    for _ in range(20):
        weir.get("/")
    before = weir.status()
    answer = weir.reload(config('location / { return 200 "changed"; }', workers=2))
    assert (answer["last_ok"], answer["last_kind"]) == (True, "respawn")
    weir.wait_dead(old, 3)
    assert weir.get("/").text == "changed"
    assert not weir.wait_workers(2) & old
    after = weir.status()
    assert after["generation"] > before["generation"]
    assert after["requests"]["total"] > before["requests"]["total"]


def test_respawn_under_load(weir):
    """Three reloads with new workers under load: no failed request."""
    weir.start(config(SLEEP + HELLO, workers=2, pool="threads=8 max_queue=100"))
    with Load(weir.port, "/sleep?ms=20", clients=8) as load, Load(weir.port, "/", clients=2, pause=0.01,
                                                                  keepalive=False) as short:
        for body in ("a", "b", "c"):
            take_time(0.3)
            locations = f"{SLEEP} location / {{ return 200 {body}; }}"
            assert weir.reload(config(locations, workers=2, pool="threads=8 max_queue=100"))["last_kind"] == "respawn"
            wait_until(lambda: weir.get("/").text == body, 3, "the new answer")
        take_time(0.3)
    assert load.ok > 100 and not load.failures
    assert short.ok > 20 and not short.failures


def test_changed_listen(weir):
    """Changing one listener starts new workers; no request on the other one fails."""
    def conf(other):
        return config(HELLO, workers=2, server=f"listen 127.0.0.1:{other};")

    weir.start(conf("{port2}"))
    assert weir.get("/", port=weir.port2).status == 200
    with Load(weir.port, "/", clients=4, pause=0.005) as load, Load(weir.port, "/", clients=2, pause=0.01,
                                                                    keepalive=False) as short:
        take_time(0.3)
        assert weir.reload(conf("{port3}"))["last_kind"] == "respawn"
        wait_until(lambda: refused(weir.port2), 3, "the old listener to close")
        assert weir.get("/", port=weir.port3).status == 200
        take_time(0.3)
    assert load.ok > 50 and not load.failures
    assert short.ok > 20 and not short.failures


def test_old_worker_finishes_its_request(weir):
    """A request under way at a reload is answered by its old worker, with the old configuration."""
    weir.start(config(SLEEP))
    old = weir.wait_workers(1)
    with weir.connect() as client:
        client.request("/sleep?ms=800")
        wait_until(lambda: weir.pool()["threads"]["running"] == 1, 3, "a running handler")
        weir.reload(config(SLEEP + "location /new { return 204; }"))
        wait_until(lambda: weir.get("/new").status == 204, 3, "the new workers")
        assert all(map(alive, old))
        answer = client.response()
    assert answer.status == 200 and answer.header("connection") == "close"
    weir.wait_dead(old, 3)


@pytest.mark.directive("worker_processes")
def test_more_and_fewer_workers(weir):
    """A changed worker_processes ends up with exactly that many, under load and without failures."""
    weir.start(config(SLEEP, workers=1))
    with Load(weir.port, "/sleep?ms=20", clients=4) as load:
        for count in (3, 2):
            weir.reload(config(SLEEP, workers=count))
            weir.wait_workers(count)
    assert load.ok and not load.failures


def test_old_workers_never_outlive_the_timeout(weir):
    """Stuck handlers, half-sent requests and idle connections do not keep an old worker past its time."""
    weir.start(config(SLEEP + HELLO, main="worker_shutdown_timeout 1s;"))
    old = weir.wait_workers(1)
    clients = stuck(weir, 2)
    half = weir.connect()
    half.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Len")
    weir.reload(config(SLEEP + "location / { return 200 new; }", main="worker_shutdown_timeout 1s;"))
    wait_until(lambda: weir.get("/").text == "new", 3, "the new workers")
    weir.wait_dead(old, 2)
    assert [client.until_close() for client in clients] == [b"", b""]
    assert b" 200 " not in half.until_close()


def test_reload_during_a_reload(weir):
    """A burst of reloads ends with the last file, all old workers gone, and the right number of new ones."""
    weir.start(config(workers=2, main="worker_shutdown_timeout 1s;"))
    for i in range(10):
        weir.write(config(f"location / {{ return 200 {i}; }}", workers=2, main="worker_shutdown_timeout 1s;"))
        weir.signal(signal.SIGHUP)
        take_time(0.02)
    wait_until(lambda: weir.get("/").text == "9", 5, "the last answer")
    weir.wait_workers(2)


# ---- a wrong file -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("wrong, message", [
    (config("location / { frobnicate on; }"), r'unknown directive "frobnicate"'),
    (config() + "}", r'unexpected "}"'),
    (config(main="thread_pool extra threads=0;"), r"threads=0"),
    (config(main="load_module {tmp}/nosuch.so;"), r"nosuch\.so"),
], ids=["unknown", "brace", "value", "module"])
def test_wrong_file_changes_nothing(weir, wrong, message):
    """A wrong file is logged with file and line and shown in the status; workers and connections stay."""
    weir.start(config(workers=2))
    workers = weir.wait_workers(2)
    weir.expect_log(r"\[emerg\].*" + message)
    with weir.connect() as client:
        client.get("/")
        before = weir.status()
        answer = weir.reload(wrong)
        assert client.get("/").text == "hello\n"
    assert answer["last_ok"] is False
    assert answer["failed"] == before["reload"]["failed"] + 1
    assert weir.status()["generation"] == before["generation"]
    assert weir.worker_pids() == workers
    weir.wait_log(rf"\[emerg\] \d+#\d+: .*{message}.* in {weir.conf}:\d+")


def test_wrong_file_then_right_one(weir):
    """After a refused file the next good one is taken, and the status says so."""
    weir.start()
    weir.expect_log("nonsense")
    assert weir.reload("nonsense on;\n")["last_ok"] is False
    answer = weir.reload(config('location / { return 200 "mended"; }'))
    assert answer["last_ok"] is True and answer["failed"] == 1
    wait_until(lambda: weir.get("/").text == "mended", 3, "the new answer")


def test_new_port_in_use(weir, make_weir):
    """A reload that asks for an address in use changes nothing and names the address."""
    other = make_weir().start()
    weir.start(config(workers=2))
    workers = weir.wait_workers(2)
    weir.expect_log("Address already in use|could not bind")
    answer = weir.reload(config(workers=2, server=f"listen 127.0.0.1:{other.port};"))
    assert answer["last_ok"] is False
    assert weir.worker_pids() == workers
    weir.wait_log(rf"bind\(\) to 127.0.0.1:{other.port} failed \(98: Address already in use\)")
    assert weir.get("/").text == "hello\n" and other.get("/").text == "hello\n"


def test_missing_file(weir):
    """A configuration file that is gone is a refused reload like any other."""
    weir.start()
    weir.conf.unlink()
    weir.expect_log(r"open\(\) .* failed \(2: No such file or directory\)")
    assert weir.reload()["last_ok"] is False
    assert weir.get("/").text == "hello\n"


# ---- a handler that never returns -------------------------------------------------------------------------

TWO_POOLS = SLEEP + HELLO + "location /other { handler sleep pool=other; }"


def one_thread(**options):
    main = "thread_pool other threads=1 max_queue=10; worker_shutdown_timeout 1s;"
    return config(options.pop("locations", TWO_POOLS), pool="threads=1 max_queue=10", main=main, **options)


def test_stuck_handler_delays_nobody_else(weir):
    """With the only thread of its pool stuck, plain locations, another pool and the status answer at once."""
    weir.start(one_thread())
    stuck(weir)
    answers_fast(weir, "/")
    answers_fast(weir, "/other?ms=1")
    answers_fast(weir, "/status")


def test_stuck_handler_does_not_delay_an_in_place_reload(weir):
    """A pool whose only thread is stuck takes a new size at once and serves with it."""
    weir.start(one_thread())
    stuck(weir)
    start = time.monotonic()
    answer = weir.reload(one_thread().replace("default threads=1", "default threads=2"))
    assert answer["last_kind"] == "in-place"
    assert weir.get("/sleep?ms=1").status == 200
    assert time.monotonic() - start < limit(1)


def test_stuck_handler_does_not_delay_a_respawn(weir):
    """New workers serve at once; the old one is gone after worker_shutdown_timeout."""
    weir.start(one_thread())
    old = weir.wait_workers(1)
    stuck(weir)
    start = time.monotonic()
    assert weir.reload(one_thread(locations=TWO_POOLS + "location /new { return 200; }"))["last_kind"] == "respawn"
    wait_until(lambda: weir.get("/sleep?ms=1").status == 200 and weir.get("/new").status == 200, 1, "the new workers")
    answers_fast(weir, "/")
    weir.wait_dead(old, 3)
    assert time.monotonic() - start < limit(3)


@pytest.mark.directive("handler_timeout")
def test_handler_timeout(weir, pour):
    """Past handler_timeout the client gets 504, the thread counts as stuck, and the pool goes on serving."""
    weir.expect_log("timed out|timeout")
    weir.start(config("location /sleep { handler sleep; } location /deaf { handler deaf; handler_timeout 300ms; }",
                      pool="threads=1..2 max_queue=10", main=f"load_module {pour};"))
    start = time.monotonic()
    assert weir.get("/deaf?ms=3000").status == 504
    assert 0.25 < time.monotonic() - start < limit(1.5)
    wait_until(lambda: weir.pool()["threads"]["stuck"] == 1, 3, "a thread that counts as stuck")
    assert weir.get("/sleep?ms=1").status == 200
