"""limit_req: rates by key over all workers, what is refused and what is delayed, how long, and what is said of it."""

import os
import re
import signal
import socket
import ssl
import time

import pytest

from keyed import check_mistake, keyed, logged, respawn, said, serve, wait_said
from limits import SPREAD, TALLY, ids, runs, send, spread, statuses
from weirlib import PROTOCOL, Connection, alive, config, let_pass, limit, take_time, wait_until, watch
from wire import head, post

SLOWLY = "limit_req_zone $arg_k zone=one:1m rate=1r/m;"  # nothing leaks away while a test runs
EARLY = 0.005  # how much earlier than its own clock says an answer may seem to come: times are whole milliseconds


def zone(rate, name="one", key="$arg_k"):
    return f"limit_req_zone {key} zone={name}:1m rate={rate};"


def limited(parameters="", more="", name="/file"):
    return f"location {name} {{ limit_req zone=one {parameters}; {more} root html; }}"


def tally(parameters="", more=""):
    return f"location /run {{ limit_req zone=one {parameters}; {more} {TALLY} }}"


def several(weir, target, count):
    """The statuses of requests one after another."""
    return [weir.get(target).status for _ in range(count)]


def timed(weir, targets):
    """Send all at once; for each the status and the seconds until it was answered, in the order of the answers."""
    start = time.monotonic()
    waiting = dict(zip(send(weir, targets), targets))
    found = []
    while waiting:
        for connection in list(waiting):
            connection.socket.setblocking(False)
            try:
                if not connection.begun():
                    raise AssertionError("closed")
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            finally:
                connection.socket.settimeout(5)
            seconds = time.monotonic() - start
            del waiting[connection]
            found.append((connection.response().status, seconds))
            connection.close()
        take_time(0.001)
        assert time.monotonic() - start < limit(5), waiting
    return found


def check_times(found, expected):
    """That the answers came when they were expected, not earlier and not much later."""
    assert [status for status, _ in found] == [200] * len(expected), found
    for (_, seconds), least in zip(found, expected):
        assert least - EARLY <= seconds < least + limit(0.25), (found, expected)


# ---- what is refused ----------------------------------------------------------------------------------------

@pytest.mark.directive("limit_req")
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("burst", [0, 5])
def test_one_and_the_burst(weir, workers, burst):
    """Of many requests at once, over all workers, one and the burst pass for each key; the others are refused."""
    serve(weir, SLOWLY, limited(f"burst={burst} nodelay" if burst else ""), workers=workers, listen=SPREAD)
    connections = [one for some in spread(weir, workers, 40 // workers).values() for one in some]
    send(weir, [f"/file?k={'ab'[i // 4 % 2]}" for i in range(40)], connections)
    found = statuses(connections)
    assert (found.count(200), found.count(503)) == (2 + 2 * burst, 38 - 2 * burst)
    assert several(weir, "/file?k=a", 2) == [503, 503]
    assert several(weir, "/file?k=c", burst + 2) == [200] * (burst + 1) + [503]


@pytest.mark.parametrize("rate", ["4r/s", "240r/m"])
def test_rate(weir, rate):
    """After a request the next one passes when the rate allows it, not before; refused ones do not count."""
    serve(weir, zone(rate), limited())
    before = time.monotonic()
    assert weir.get("/file?k=a").status == 200
    after = time.monotonic()
    passed = []
    while len(passed) < 2:
        asked = time.monotonic()
        if weir.get("/file?k=a").status == 200:
            passed.append((asked, time.monotonic()))
        take_time(0.005)
    for number, (asked, answered) in enumerate(passed, 1):
        assert answered - before >= 0.25 * number - EARLY
        assert asked - after < 0.25 * number + limit(0.15)


def test_rate_over_time_and_workers(weir):
    """However many ask, no more pass than the rate allows and the burst, over all workers."""
    serve(weir, zone("50r/s"), limited("burst=3 nodelay"), workers=2, listen=SPREAD,
          server="keepalive_requests 100000;")
    connections = [one for some in spread(weir, 2, 3).values() for one in some]
    start, passed = time.monotonic(), 0
    while time.monotonic() - start < 1:
        send(weir, ["/file?k=a"] * 6, connections)
        passed += statuses(connections).count(200)
        take_time(0.003)
    seconds = time.monotonic() - start
    assert 0.7 * 50 * seconds < passed <= 50 * seconds + 3 + 1 + 1


def test_burst_comes_back(weir):
    """The burst can be had again as time goes by."""
    serve(weir, zone("20r/s"), limited("burst=4 nodelay"))
    assert several(weir, "/file?k=a", 5) == [200] * 5
    assert 503 in several(weir, "/file?k=a", 5)
    let_pass(0.3)
    assert several(weir, "/file?k=a", 5) == [200] * 5


def test_refused_connection_stays_usable(weir):
    """After refusals, also in a pipeline, a keep-alive connection serves what is not limited."""
    serve(weir, SLOWLY, limited() + f"location /free {{ {TALLY} }}")
    with weir.connect() as connection:
        connection.send((head("GET /file?k=a HTTP/1.1") + head("GET /free?id=x HTTP/1.1")) * 5)
        found = [connection.response() for _ in range(10)]
    assert [answer.status for answer in found] == [200, 200] + [503, 200] * 4
    assert [answer.text for answer in found[1::2]] == ["x"] * 5


# ---- what is delayed ----------------------------------------------------------------------------------------

@pytest.mark.directive("limit_req_zone")
@pytest.mark.parametrize("rate", ["10r/s", "600r/m"])
def test_delay(weir, rate):
    """Requests beyond the rate are answered at the rate, in time, and those beyond the burst at once with 503."""
    serve(weir, zone(rate), limited("burst=3"))
    found = timed(weir, ["/file?k=a"] * 5)
    refused = [seconds for status, seconds in found if status == 503]
    assert len(refused) == 1 and refused[0] < limit(0.09)
    check_times([each for each in found if each[0] != 503], [0, 0.1, 0.2, 0.3])
    assert [fields[2] for fields in logged(weir, "/file?k=a", 5)].count("DELAYED") == 3


def test_nodelay(weir):
    """With nodelay the burst is served at once."""
    serve(weir, zone("5r/s"), limited("burst=3 nodelay"))
    found = timed(weir, ["/file?k=a"] * 4)
    check_times(found, [0] * 4)
    assert found[-1][1] < limit(0.15)
    assert {fields[2] for fields in logged(weir, "/file?k=a", 4)} == {"PASSED"}


def test_delay_from_a_number_on(weir):
    """With delay=2 two requests of the burst are served at once, and the others at the rate."""
    serve(weir, zone("10r/s"), limited("burst=5 delay=2"))
    check_times(timed(weir, ["/file?k=a"] * 6), [0, 0, 0, 0.1, 0.2, 0.3])
    assert weir.get("/file?k=b").status == 200


def test_delayed_handler_and_body(weir):
    """A delayed request keeps its body; it has no permit and no thread while it waits."""
    zones = zone("5r/s") + "limit_conn_zone $arg_k zone=addr:1m;"
    serve(weir, zones, tally("burst=5", "limit_conn addr 1;") + f"location /other {{ limit_conn addr 1; {TALLY} }}")
    assert weir.get("/run?k=a&id=first").status == 200
    start = time.monotonic()
    with weir.connect() as connection:
        connection.send(post("/run?k=a&id=second", "Content-Length: 5000", body=b"x" * 5000))
        connection.wait_taken()
        assert weir.get("/other?k=a").status == 200 and "second" not in ids(weir)
        answer = connection.response("POST")
        assert (answer.status, answer.text) == (200, "x" * 5000)
    assert 0.15 < time.monotonic() - start < limit(0.5)
    assert logged(weir, "/run?k=a&id=second") == [("200", "PASSED", "DELAYED")]


def test_delays_in_a_pipeline(weir):
    """Pipelined requests are delayed one after the other, and answered in their order."""
    serve(weir, zone("20r/s"), tally("burst=9"))
    start = time.monotonic()
    with weir.connect() as connection:
        connection.send(b"".join(head(f"GET /run?k=a&id={i} HTTP/1.1") for i in range(5)))
        assert [connection.response().text for _ in range(5)] == list("01234")
    assert 0.2 - EARLY <= time.monotonic() - start < limit(0.6)


@pytest.mark.http1_only
def test_delay_while_output_waits(weir):
    """A client that does not read the answer before is delayed no longer than the limit says, once it reads."""
    text = "x" * 20000
    locations = tally("burst=1000") + f'location /text {{ return 200 "{text}"; }}'
    serve(weir, zone("20r/s"), locations, server="send_timeout 30s;")
    with Connection(weir.port, options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]) as connection:
        texts = head("GET /text HTTP/1.1") * 3
        connection.send(texts * 35 + (texts + head("GET /run?k=a&id=x HTTP/1.1")) * 60)
        done = -1
        while done < len(ids(weir)):  # until the sockets take no more
            done = len(ids(weir))
            watch(0.3)
        connection.socket.settimeout(limit(2))
        count = 3 * 35 + 4 * (done + 2)
        assert [connection.response().status for _ in range(count)] == [200] * count


def test_client_that_leaves_during_its_delay(weir):
    """A request whose client leaves while it is delayed is never run; the next ones wait as if it had been."""
    serve(weir, zone("4r/s"), tally("burst=5"))
    assert weir.get("/run?k=a&id=first").status == 200
    leaver = weir.connect()
    leaver.request("/run?k=a&id=gone")
    leaver.wait_taken()
    leaver.close()
    assert logged(weir, "/run?k=a&id=gone") == [("499", "-", "DELAYED")]
    start = time.monotonic()
    assert weir.get("/run?k=a&id=next").status == 200
    assert time.monotonic() - start > 0.25
    assert ids(weir) == ["first", "next"]


def test_delayed_request_of_an_old_worker(weir):
    """A request that is delayed while the server reloads is served by its old worker."""
    serve(weir, zone("2r/s"), tally("burst=5"))
    delayed = weir.connect()
    assert delayed.get("/run?k=a&id=first").status == 200
    delayed.request("/run?k=a&id=delayed")
    old = respawn(weir, zone("2r/s"), tally("burst=5"))
    assert "delayed" not in ids(weir) and all(map(alive, old))
    assert delayed.response().text == "delayed"
    assert [run.pid for run in runs(weir) if run.id == "delayed"] == list(old)
    weir.wait_dead(old, 3)


# ---- keys ---------------------------------------------------------------------------------------------------

def test_empty_keys_are_not_counted(weir):
    """A request whose key is empty passes, is not counted, and its variable says that no limit was asked."""
    serve(weir, SLOWLY, limited())
    assert several(weir, "/file", 3) + several(weir, "/file?k=", 3) == [200] * 6
    assert not said(weir, "limiting|bytes")
    assert logged(weir, "/file", 3) == [("200", "-", "-")] * 3


@pytest.mark.parametrize("length", [1, 24, 25, 64, 65, 254, 255])
def test_keys_of_each_length(weir, length):
    """Keys up to 255 bytes are told apart by their last byte and by their length."""
    serve(weir, SLOWLY, limited())
    key = "k" * length
    assert several(weir, f"/file?k={key}", 2) == [200, 503]
    assert weir.get(f"/file?k={key[:-1]}x").status == 200
    assert weir.get(f"/file?k={key[:-1]}").status == 200


@pytest.mark.parametrize("zones", [1, 2])
def test_keys_that_are_too_long(weir, zones):
    """A key that is too long is one error in the log for each request, and not counted."""
    key, more = "k" * 256, "limit_req zone=two;" if zones == 2 else ""
    serve(weir, SLOWLY + zone("1r/m", "two", "$arg_j"), limited(more=more))
    assert several(weir, f"/file?k={key}", 3) == [200] * 3
    for line in wait_said(weir, "bytes", 3):
        assert "[error]" in line and f'the value of the "$arg_k" key is more than 255 bytes: "{key}", client: ' in line


# ---- where and how ------------------------------------------------------------------------------------------

def two(a, b, parameters=""):
    return (zone(a, "a") + zone(b, "b"),
            f"location /both {{ limit_req zone=a {parameters}; limit_req zone=b {parameters}; {TALLY} }}"
            f"location /a {{ limit_req zone=a {parameters}; {TALLY} }} location /b {{ limit_req zone=b; {TALLY} }}")


def test_first_request_for_several_zones(weir):
    """The first request with a key passes, however many zones it is new to."""
    serve(weir, *two("1r/m", "1r/m"))
    assert several(weir, "/both?k=x", 3) == [200, 503, 503]
    assert len(said(weir, 'limiting requests, excess: .* by zone "a"')) == 2
    assert [fields[2] for fields in logged(weir, "/both?k=x", 3)] == ["PASSED", "REJECTED", "REJECTED"]


def test_several_zones(weir):
    """The first zone that refuses decides; the others do not count what it refused."""
    serve(weir, *two("1r/m", "1r/m", "burst=2 nodelay"))
    assert several(weir, "/b?k=x", 2) == [200, 503]
    assert several(weir, "/a?k=x", 1) == [200]
    assert several(weir, "/both?k=x", 4) == [200, 200, 503, 503]
    assert len(said(weir, 'by zone "b"')) == 1 and len(said(weir, 'by zone "a"')) == 2
    serve_b = [weir.get("/b?k=y").status, *several(weir, "/both?k=y", 2)]
    assert serve_b == [200] * 3
    assert several(weir, "/both?k=y", 3) == [503] * 3  # by b, which has one more
    assert several(weir, "/a?k=y", 2) == [200, 503]


def test_the_longest_delay_of_several_zones(weir):
    """Of several delays the longest one is waited for, and named in the log."""
    serve(weir, *two("20r/s", "5r/s", "burst=5"))
    assert several(weir, "/a?k=x", 1) + several(weir, "/b?k=x", 1) == [200, 200]
    [(status, seconds)] = timed(weir, ["/both?k=x"])
    assert status == 200 and 0.15 < seconds < limit(0.5)
    [line] = wait_said(weir, "delaying")
    assert re.search(r'delaying request, excess: (0\.[5-9]\d\d|1\.000), by zone "b"', line)


@pytest.mark.parametrize("level", ["http", "server"])
def test_inherited_only_where_a_level_has_none(weir, level):
    """A location without limit_req has that of the level above; one of its own replaces all of those."""
    locations = f"""location /inherits {{ {TALLY} location /inherits/own {{ limit_req zone=b; {TALLY} }} }}
                    location /own {{ limit_req zone=b; {TALLY} location /own/inner {{ {TALLY} }} }}"""
    serve(weir, zone("1r/m", "a") + zone("1r/m", "b", "$uri$arg_k"), locations, **{level: "limit_req zone=a;"})
    assert several(weir, "/inherits?k=x", 2) == [200, 503]
    for name in ("inherits/own", "own", "own/inner"):
        assert several(weir, f"/{name}?k=x", 2) == [200, 503]
    assert len(said(weir, 'by zone "a"')) == 1 and len(said(weir, 'by zone "b"')) == 3


@pytest.mark.directive("limit_req_status")
@pytest.mark.parametrize("level", ["http", "server", "location"])
def test_status_of_refusals(weir, level):
    """limit_req_status changes the code of refusals, at every level."""
    serve(weir, SLOWLY, limited(more="limit_req_status 429;" if level == "location" else ""),
          **{} if level == "location" else {level: "limit_req_status 429;"})
    assert several(weir, "/file?k=a", 2) == [200, 429]


@pytest.mark.directive("limit_req_log_level")
@pytest.mark.parametrize("level, lower", [("info", "info"), ("notice", "info"), ("warn", "notice"), ("error", "warn")])
def test_log_lines_and_levels(weir, level, lower):
    """A refusal is a line of the level given, a delay of the next lower one but info, in nginx's words."""
    serve(weir, zone("5r/s"), limited("burst=1", f"limit_req_log_level {level};"), log="info")
    found = timed(weir, ["/file?k=a"] * 3)
    assert sorted(status for status, _ in found) == [200, 200, 503]
    tail = f', client: 127.0.0.1, server: , request: "GET /file?k=a {PROTOCOL}", host: "localhost"'
    [refused], [delayed] = wait_said(weir, "limiting"), wait_said(weir, "delaying")
    assert refused.endswith(tail) and delayed.endswith(tail)
    assert re.search(rf'\[{level}\] .* limiting requests, excess: (1\.[89]\d\d|2\.000) by zone "one", client', refused)
    assert re.search(rf'\[{lower}\] .* delaying request, excess: (0\.[89]\d\d|1\.000), by zone "one", client', delayed)


@pytest.mark.directive("limit_req_dry_run")
def test_dry_run(weir):
    """A dry run delays and refuses nothing, and says in log and variable what it would have done."""
    serve(weir, zone("2r/s"), limited("burst=1", "limit_req_dry_run on;"))
    start = time.monotonic()
    assert several(weir, "/file?k=a", 3) == [200] * 3
    assert time.monotonic() - start < limit(0.3)
    [refused], [delayed] = wait_said(weir, "limiting"), wait_said(weir, "delaying")
    assert re.search(r'\[error\] .* limiting requests, dry run, excess: (1\.\d\d\d|2\.000) by zone "one", cl', refused)
    assert re.search(r'\[warn\] .* delaying request, dry run, excess: (0\.\d\d\d|1\.000), by zone "one", cl', delayed)
    assert [fields[2] for fields in logged(weir, "/file?k=a", 3)] == ["PASSED", "DELAYED_DRY_RUN", "REJECTED_DRY_RUN"]


def test_variable(weir):
    """$limit_req_status: PASSED, REJECTED, nothing where no limit applies."""
    serve(weir, SLOWLY, limited() + "location / { root html; }")
    assert several(weir, "/file?k=a", 2) + several(weir, "/none?k=a", 1) == [200, 503, 404]
    assert logged(weir, "/file?k=a", 2) == [("200", "-", "PASSED"), ("503", "-", "REJECTED")]
    assert logged(weir, "/none?k=a") == [("404", "-", "-")]


def test_never_for_return_and_status(weir):
    """`return`, status and stub_status are never limited and never count; files and handlers do."""
    locations = f"location /run {{ {TALLY} }} location /text {{ return 200 text; }} location = /stub {{ stub_status; }}"
    serve(weir, SLOWLY, "location / { root html; }" + locations, server="limit_req zone=one;")
    for target in ("/text", "/stub", "/status"):
        assert several(weir, f"{target}?k=a", 3) == [200] * 3
    assert [weir.get(f"{target}?k=a").status for target in ("/file", "/file", "/run", "/text")] == [200, 503, 503, 200]


def test_asked_once_for_each_request(weir):
    """An error page and an index file within the same limit are not limited again, and do not count."""
    (weir.tmp / "html/busy").write_text("busy")
    (weir.tmp / "html/folder").mkdir()
    (weir.tmp / "html/folder/index.html").write_text("index")
    serve(weir, SLOWLY, "location / { root html; }", server="limit_req zone=one; error_page 503 /busy;")
    assert weir.get("/folder/?k=a").text == "index"
    refused = weir.get("/file?k=a")
    assert (refused.status, refused.text) == (503, "busy")
    wait_said(weir, "limiting")
    assert logged(weir, "/file?k=a") == [("503", "-", "REJECTED")]


# ---- memory, reloads, deaths --------------------------------------------------------------------------------

def test_memory_full_of_keys(weir):
    """A zone full of keys forgets those that were used longest ago, and refuses nobody for want of room."""
    serve(weir, "limit_req_zone $arg_k zone=one:32k rate=1r/m;", limited(), server="keepalive_requests 100000;")

    def ask(keys):
        with weir.connect() as connection:
            connection.send(b"".join(head(f"GET /file?k={key} HTTP/1.1") for key in keys))
            return [connection.response().status for _ in keys]
    keys = [str(i) for i in range(2000)]
    assert ask(["first", *keys[:100], "first", *keys[100:400], "first", *keys[400:700], "first"]) \
        == [200] * 101 + [503] + [200] * 300 + [503] + [200] * 300 + [503]
    assert ask(keys[700:]) == [200] * 1300
    assert ask(keys[-100:]) == [503] * 100
    assert ask(keys[:100]) == [200] * 100
    assert ask(["x" * 250 + str(i) for i in range(100, 300)]) == [200] * 200
    assert not said(weir, "memory|room")


def test_reload_keeps_counts(weir):
    """A zone of the same name, size and key goes on over a reload, also with another rate; others start anew."""
    serve(weir, SLOWLY, limited())
    assert several(weir, "/file?k=a", 2) == [200, 503]
    respawn(weir, zone("2r/m"), limited())
    assert several(weir, "/file?k=a", 1) + several(weir, "/file?k=b", 2) == [503, 200, 503]
    respawn(weir, SLOWLY.replace("1m", "2m"), limited())
    assert several(weir, "/file?k=a", 2) == [200, 503]
    respawn(weir, SLOWLY.replace("1m", "2m").replace("$arg_k", "$arg_k$arg_j"), limited())
    assert several(weir, "/file?k=a", 2) == [200, 503]


@pytest.mark.directive("limit_req_dry_run", "limit_req_log_level")
def test_changes_in_place(weir):
    """Status, dry run and log level change without new workers."""
    serve(weir, SLOWLY, limited())
    assert weir.get("/file?k=a").status == 200
    for more, status, line in (("limit_req_status 429;", 429, r"\[error\].*limiting requests, excess"),
                               ("limit_req_log_level warn;", 503, r"\[warn\].*limiting requests, excess"),
                               ("limit_req_dry_run on;", 200, r"\[error\].*limiting requests, dry run, excess")):
        assert weir.reload(keyed(SLOWLY, limited(more=more)))["last_kind"] == "in-place"
        assert weir.get("/file?k=a").status == status
        assert said(weir, line)


def test_killed_worker(weir):
    """kill -9 of a worker changes nothing about what others are allowed, and what is forgotten next."""
    weir.expect_log("exited on signal")
    serve(weir, SLOWLY.replace("1m", "32k"), limited(), workers=2, server="keepalive_requests 100000;")
    targets = [f"/file?k={i}" for i in range(400)]
    with weir.connect() as connection:
        for target in targets + targets[:200]:  # the first ones are the newest now
            connection.get(target)
    victim = weir.worker_pids().pop()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not alive(victim), 3, "its end")
    weir.wait_workers(2)
    with weir.connect() as connection:
        assert connection.get(targets[0]).status == 503 and connection.get(targets[399]).status == 503
        assert [connection.get(f"/file?k=new{i}").status for i in range(200)] == [200] * 200
        assert [connection.get(target).status for target in targets[1:200]] == [503] * 199


# ---- configuration ------------------------------------------------------------------------------------------

WRONG = {
    "unknown zone": ("", "limit_req zone=nowhere;", 'unknown zone "nowhere".*limit_req_zone'),
    "zone of the other kind": ("limit_conn_zone $arg_k zone=c:1m;", "limit_req zone=c;", 'zone "c"'),
    "no zone": (SLOWLY, "limit_req burst=5;", "zone=NAME"),
    "empty zone": (SLOWLY, "limit_req zone=;", "zone="),
    "zone without its name": (SLOWLY, "limit_req one;", '"one".*zone=NAME'),
    "no zone of a zone": ("limit_req_zone $arg_k rate=1r/s;", "", "limit_req_zone.*zone=NAME:SIZE"),
    "no rate": ("limit_req_zone $arg_k zone=a:1m;", "", "limit_req_zone.*rate="),
    "too small": ("limit_req_zone $arg_k zone=a:31k rate=1r/s;", "", "zone=a:31k.*32k"),
    **{f"rate {rate}": (f"limit_req_zone $arg_k zone=a:1m rate={rate};", "", f"rate={rate}.*rate=Nr/s")
       for rate in ("0r/s", "-1r/s", "1", "r/s", "1r/h", "1/s", "1.5r/s", "manyr/s", "99999999999999999999r/s")},
    "unknown parameter of a zone": ("limit_req_zone $arg_k zone=a:1m speed=9;", "", "speed=9"),
    "zone twice": (SLOWLY + "\nlimit_req_zone $arg_j zone=one:2m rate=9r/s;", "", 'duplicate zone "one"'),
    "burst of 0": (SLOWLY, "limit_req zone=one burst=0;", "burst=0.*burst=N"),
    "burst below 0": (SLOWLY, "limit_req zone=one burst=-1;", "burst=-1"),
    "burst of letters": (SLOWLY, "limit_req zone=one burst=long;", "burst=long"),
    "delay of 0": (SLOWLY, "limit_req zone=one burst=5 delay=0;", "delay=0"),
    "unknown parameter": (SLOWLY, "limit_req zone=one speed=9;", "speed=9"),
    "too many parameters": (SLOWLY, "limit_req zone=one burst=5 nodelay delay=3;", "number of arguments"),
    "twice": (SLOWLY, "limit_req zone=one;\nlimit_req zone=one burst=5;", "duplicate.*one"),
    "status": ("", "limit_req_status 399;", "400.*599"),
    "dry run": ("", "limit_req_dry_run maybe;", "maybe"),
    "log level": ("", "limit_req_log_level debug;", "debug.*info.*notice.*warn.*error"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(weir, name):
    """A mistake is found by -t: exit code 1, and one line that names what is wrong, the file and the line."""
    check_mistake(weir, *WRONG[name])


@pytest.mark.parametrize("level", ["http", "server", "location"])
@pytest.mark.parametrize("parameters", ["", "burst=5", "burst=5 nodelay", "nodelay", "delay=3 burst=9"])
def test_good_directives(weir, level, parameters):
    """Every form of the directives is accepted at every level."""
    here = f"limit_req zone=one {parameters}; limit_req_status 599; limit_req_dry_run on; limit_req_log_level info;"
    conf = config("location / { root html; " + (here if level == "location" else "") + " }",
                  http=(here if level == "http" else "") + "limit_req_zone $binary_remote_addr zone=one:32k rate=1r/s;",
                  server=here if level == "server" else "")
    assert weir.run("-t", conf=conf).returncode == 0
