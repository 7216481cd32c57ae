"""limit_concurrency as seen from outside: log variables, the error log, dry run, status JSON, the list, metrics."""

import json
import re
import subprocess
import time

import pytest

from limits import (LOCATIONS, REASONS, SPREAD, enqueue, hold, idle, ids, limited, logged, open_gate, send,
                    serve, settled, status, statuses, usable, zone)
from metrics import parse, total
from weirlib import ROOT, config, let_pass, limit, take_time, wait_until
from wire import ask, head

COUNTS = ["limit", "in_flight", "queued", "admitted", "reclaimed"]


# ---- access log ---------------------------------------------------------------------------------------------

def test_variables(weir):
    """The variables say what happened to each request, why, for how long it waited and in which zone."""
    serve(weir, "limit=1 queue=2 queue_timeout=300ms")
    assert weir.get("/held?id=passed").status == 200
    idle(weir)
    held = hold(weir, 1)
    late, gone = enqueue(weir, ["/held?id=late", "/held?id=gone"])
    assert weir.get("/held?id=full").status == 503
    gone.close()
    assert late.response().status == 503
    settled(weir, queued=0)
    [waited] = enqueue(weir, ["/held?id=waited"])
    take_time(0.1)
    open_gate(weir)
    assert statuses(held + [waited]) == [200, 200]
    weir.get("/free?id=none")

    def line(name):
        return logged(weir, rf"/\w+\?id={name}\b")[0][1:]
    code, what, reason, seconds, name = line("passed")
    assert (code, what, reason, name) == ("200", "PASSED", "-", "z") and seconds in ("-", "0.000")
    assert line("full") == ["503", "REJECTED", "queue_full", "0.000", "z"] or line("full")[3] == "-"
    assert line("full")[:3] == ["503", "REJECTED", "queue_full"]
    assert line("gone")[:3] == ["499", "REJECTED", "client_gone"]
    assert line("none") == ["200", "-", "-", "-", "-"]
    for name, expected, least in (("late", ["503", "REJECTED", "queue_timeout"], 0.29),
                                  ("waited", ["200", "QUEUED", "-"], 0.1)):
        *said, seconds, where = line(name)
        assert said == expected and where == "z"
        assert re.fullmatch(r"\d+\.\d{3}", seconds) and least <= float(seconds) < limit(0.7)


def test_variables_of_a_refusal_without_queue(weir):
    """Without a queue the reason is limit; an error page does not hide it."""
    (weir.tmp / "html/busy").write_text("busy")
    serve(weir, locations=LOCATIONS + "location /busy { root html; }", server="error_page 503 =200 /busy;")
    held = hold(weir, 1)
    assert weir.get("/held?id=x").text == "busy"
    fields = logged(weir, r"/held\?id=x")[0]
    assert fields[1:4] == ["200", "REJECTED", "limit"] and fields[5] == "z"
    open_gate(weir)
    assert statuses(held) == [200]


# ---- error log ----------------------------------------------------------------------------------------------

def test_refusals_in_the_error_log(weir):
    """By default a refusal is an [error] line with the zone, the reason, the client and the request."""
    serve(weir, "limit=1 queue=1 queue_timeout=1300ms")
    held = hold(weir, 1)
    [late] = enqueue(weir, ["/held?id=late"])
    assert weir.get("/held?id=full").status == 503
    assert late.response().status == 503  # late enough, should lines be limited to one a second
    for reason, name in (("queue_full", "full"), ("queue_timeout", "late")):
        weir.wait_log(rf'\[error\] [^\n]*\bz\b[^\n]*\b{reason}\b[^\n]*client: 127\.0\.0\.1[^\n]*"GET /held\?id={name} ')
    open_gate(weir)
    assert statuses(held) == [200]
    assert "id=held" not in weir.error_log


def test_a_flood_of_refusals_is_no_flood_of_lines(weir):
    """Many refusals cost few lines, and what was left out is counted."""
    serve(weir, "limit=1")
    held = hold(weir, 1)
    with weir.connect() as connection:
        for _ in range(200):
            assert connection.get("/held?id=x").status == 503
    found = weir.wait_log(r"\[error\] [^\n]*\bz\b[^\n]*\b(\d+) more", 5)
    written = len(re.findall(r"id=x", weir.error_log))
    assert 1 <= written <= 10 and written + int(found[1]) == 200
    open_gate(weir)
    assert statuses(held) == [200]


@pytest.mark.directive("limit_concurrency_log_level")
@pytest.mark.parametrize("level", ["info", "notice", "warn", "error"])
def test_level_of_refusals(weir, level):
    """limit_concurrency_log_level says how loud a refusal is."""
    serve(weir, "limit=1", log="info", server=f"limit_concurrency_log_level {level};")
    held = hold(weir, 1)
    assert weir.get("/held?id=x").status == 503
    weir.wait_log(rf"\[{level}\] [^\n]*\bz\b[^\n]*/held\?id=x")
    open_gate(weir)
    assert statuses(held) == [200]


@pytest.mark.directive("limit_concurrency_log_level")
def test_quiet_refusals(weir):
    """Below the level of the error log a refusal is not logged."""
    serve(weir, "limit=1", log="notice", server="limit_concurrency_log_level info;")
    held = hold(weir, 1)
    for _ in range(5):
        assert weir.get("/held?id=x").status == 503
    open_gate(weir)
    assert statuses(held) == [200]
    assert "id=x" not in weir.error_log


def test_hostile_requests_in_the_error_log(weir):
    """A refused request cannot forge a line of the error log."""
    weir.expect_log("forged")
    serve(weir)
    held = hold(weir, 1)
    assert ask(weir.port, head("GET /held/%0a2020/01/01%20[emerg]%20forged HTTP/1.1")).status == 503
    weir.wait_log("forged")
    assert not re.search(r"^2020/01/01", weir.error_log, re.M)
    open_gate(weir)
    assert statuses(held) == [200]


# ---- dry run ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("level", ["http", "server", "location"])
def test_dry_run_refuses_nobody(weir, level):
    """limit_concurrency_dry_run serves everybody and logs who would have been refused."""
    on = {level: "limit_concurrency_dry_run on;"}
    locations = LOCATIONS.replace("location /held {", "location /held { " + on.pop("location", ""))
    serve(weir, "limit=2", locations, **on)
    clients = send(weir, [f"/held?id={i}&gate=g" for i in range(6)])
    wait_until(lambda: len(ids(weir)) == 6, 3, "six handlers at a time")
    open_gate(weir)
    assert statuses(clients) == [200] * 6
    said = sorted(tuple(fields[2:4]) for fields in logged(weir, r"/held", 6))
    assert said == [("PASSED", "-")] * 2 + [("REJECTED_DRY_RUN", "limit")] * 4
    weir.wait_log(r"dry run[^\n]*\bz\b|\bz\b[^\n]*dry run")
    idle(weir)
    clients = send(weir, ["/held"] * 2)
    assert statuses(clients) == [200] * 2


@pytest.mark.directive("limit_concurrency_dry_run")
def test_dry_run_makes_nobody_wait(weir):
    """In a dry run who would have waited is served at once, and logged as such."""
    serve(weir, "limit=1 queue=1 queue_timeout=10s", server="limit_concurrency_dry_run on;")
    [first] = send(weir, ["/held?id=a&gate=g"])
    wait_until(lambda: ids(weir) == ["a"], 3, "the first")
    start = time.monotonic()
    assert weir.get("/held?id=b").status == 200
    assert time.monotonic() - start < limit(0.5)
    assert logged(weir, r"/held\?id=b")[0][2] == "QUEUED_DRY_RUN"
    open_gate(weir)
    assert first.response().status == 200
    idle(weir)


@pytest.mark.directive("limit_concurrency_dry_run")
def test_dry_run_off_below_on(weir):
    """A location may be limited for real below a server in dry run."""
    locations = LOCATIONS.replace("location /held {", "location /held { limit_concurrency_dry_run off;")
    serve(weir, "limit=1", locations, server="limit_concurrency_dry_run on;")
    held = hold(weir, 1)
    assert weir.get("/held").status == 503 and weir.get("/low").status == 200
    open_gate(weir)
    assert statuses(held) == [200]
    usable(weir, 1)


# ---- status -------------------------------------------------------------------------------------------------

def test_json(weir):
    """Each zone is in the JSON with all its keys, used or not; the list of requests only if asked for."""
    serve(weir, "limit=3 queue=5", http="limit_concurrency_zone unused limit=7;", workers=2)
    now = status(weir)["concurrency"]
    assert set(now) == {"z", "unused"}
    for name, bound in (("z", 3), ("unused", 7)):
        assert all(type(now[name][key]) is int for key in COUNTS)
        assert {key: now[name][key] for key in COUNTS} == dict.fromkeys(COUNTS, 0) | {"limit": bound}
        assert set(now[name]["rejected"]) >= REASONS and set(now[name]["rejected"].values()) == {0}
        assert "requests" not in now[name]


def test_no_zones(weir):
    """Without zones the part is there and empty, and metrics still parse."""
    weir.start(limited(None, "location / { return 200; }"))
    assert status(weir)["concurrency"] == {}
    parse(weir.get("/status?format=prometheus").text)


def listed(weir, name="z"):
    answer = weir.get("/status?format=json&in_flight=1")
    assert answer.status == 200
    return json.loads(answer.body.decode())["concurrency"][name]["requests"]


def test_list_of_requests(weir):
    """in_flight=1 lists who holds a permit: worker slot, age, zone, method, URI and client; waiters are not in it."""
    serve(weir, "limit=3 queue=5 queue_timeout=20s", workers=2, listen=SPREAD,
          http="limit_concurrency_zone other limit=2;",)
    assert listed(weir) == [] and listed(weir, "other") == []
    held = hold(weir, 2)
    post = weir.connect()
    post.request("/held/x?id=post&gate=g", "POST", body=b"x")
    settled(weir, in_flight=3)
    waiting = enqueue(weir, ["/held?id=waits"])
    let_pass(0.2)
    found = listed(weir)
    assert len(found) == 3 and listed(weir, "other") == []
    for entry in found:
        assert set(entry) >= {"slot", "age_ms", "zone", "method", "uri", "client"}
        assert (entry["zone"], entry["client"]) == ("z", "127.0.0.1")
        assert type(entry["slot"]) is int and 200 <= entry["age_ms"] < limit(3000)
    assert sorted(entry["method"] for entry in found) == ["GET", "GET", "POST"]
    assert all(entry["uri"].startswith("/held/x" if entry["method"] == "POST" else "/held") for entry in found)
    assert {entry["slot"] for entry in found} <= {worker["slot"] for worker in status(weir)["workers"]}
    open_gate(weir)
    assert statuses(held + waiting) == [200] * 3 and post.response("POST").status == 200
    idle(weir)
    assert listed(weir) == []


def test_list_with_long_and_hostile_uris(weir):
    """The list stays valid JSON, and UTF-8, with URIs of 64 bytes at most, whatever bytes a client puts into them."""
    serve(weir, "limit=50")
    paths = ["/held/" + "x" * 500, "/held/%22%5c%2f",
             "/held/%01%08%0a%0d%1f%7f", "/held/%80%ff%fe", "/held/%c3%28",
             "/held/" + "%e2%82%ac" * 40, "/held/" + "%f0%9f%98%80" * 40, "/held/x" + "%f0%9f%98%80" * 40,
             "/held/%3c/script%3e%3cscript%3ealert(1)%3c/script%3e", "/held/%ed%a0%80",
             "/held/%c0%af", "/held/%25s%25n",
             "/held/" + "%22" * 100, "/held/" + "%01" * 100, "/held/'\"\\{}<>"]
    held = []
    for path in paths:
        connection = weir.connect()
        connection.send(head(f"GET {path}?gate=g HTTP/1.1"))
        held.append(connection)
    last = weir.connect()
    last.send(b"GET /held/\x80\xff\xc3?gate=g HTTP/1.1\r\nHost: a\r\n\r\n")
    held.append(last)
    refused = 2  # raw bytes in a request line may be refused with 400
    wait_until(lambda: len(listed(weir)) >= len(held) - refused, 3, "all of them")
    last.wait_taken()
    found = listed(weir)
    assert all(len(entry["uri"].encode()) <= 64 * 6 and len(entry["uri"]) <= 64 * 6 for entry in found)
    assert all(re.fullmatch(r"/held/.*", entry["uri"], re.S) for entry in found)
    assert "/held/" + "x" * 58 in {entry["uri"] for entry in found}
    page = weir.get("/status?format=html&in_flight=1").text
    assert "<script>alert" not in page
    open_gate(weir)
    assert {connection.response().status for connection in held} <= {200, 400}


def test_list_from_every_worker(weir):
    """Whichever worker answers, the list and the figures are the same."""
    serve(weir, "limit=4", workers=4, listen=SPREAD)
    held = hold(weir, 4)
    for _ in range(12):
        assert len(listed(weir)) == 4 and zone(weir)["in_flight"] == 4
    open_gate(weir)
    assert statuses(held) == [200] * 4


# ---- metrics ------------------------------------------------------------------------------------------------

FAMILIES = {"weir_concurrency_limit": "gauge", "weir_concurrency_in_flight": "gauge",
            "weir_concurrency_queued": "gauge", "weir_concurrency_rejected_total": "counter",
            "weir_concurrency_reclaimed_total": "counter"}


def busy(weir):
    """Two zones; z holds 2, has one waiter and has refused three."""
    serve(weir, "limit=2 queue=1 queue_timeout=20s", workers=2, http="limit_concurrency_zone other limit=9;")
    clients = hold(weir, 2) + enqueue(weir, ["/held?id=waits"])
    assert [weir.get("/held").status for _ in range(3)] == [503] * 3
    return clients


def test_metrics(weir):
    """Every family is there with its type, a series for each zone and reason, and the values of the JSON."""
    clients = busy(weir)
    types, samples = parse(weir.get("/status?format=prometheus").text)
    assert {name: types.get(name) for name in FAMILIES} == FAMILIES
    for name in FAMILIES:
        labels = {frozenset(dict(series)) for sample, series in samples if sample == name}
        assert labels == {frozenset(["zone", "reason"] if "rejected" in name else ["zone"])}, name
        assert {dict(series)["zone"] for sample, series in samples if sample == name} == {"z", "other"}
    reasons = {dict(series)["reason"] for sample, series in samples if sample == "weir_concurrency_rejected_total"}
    assert reasons >= REASONS
    expected = {"limit": 2, "in_flight": 2, "queued": 1, "reclaimed_total": 0, "rejected_total": 3}
    assert {key: total(samples, f"weir_concurrency_{key}", zone="z") for key in expected} == expected
    assert total(samples, "weir_concurrency_rejected_total", zone="z", reason="queue_full") == 3
    assert total(samples, "weir_concurrency_limit", zone="other") == 9
    open_gate(weir)
    assert statuses(clients) == [200] * 3


def test_promtool(weir):
    """promtool check metrics has nothing to say about a server with zones."""
    promtool = ROOT / "build/tools/promtool"
    if not promtool.exists():
        pytest.skip("build/tools/promtool is not there")
    clients = busy(weir)
    text = weir.get("/status?format=prometheus").body
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    open_gate(weir)
    assert statuses(clients) == [200] * 3


def test_openmetrics(weir):
    """OpenMetrics names the counters' families without _total and their samples with it."""
    clients = busy(weir)
    text = weir.get("/status", headers=[("Accept", "application/openmetrics-text; version=1.0.0")]).text
    assert text.endswith("# EOF\n") and "\n\n" not in text
    types = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M))
    assert types["weir_concurrency_rejected"] == types["weir_concurrency_reclaimed"] == "counter"
    assert re.search(r'^weir_concurrency_rejected_total\{[^}]*reason="queue_full"[^}]*\} 3(\.0)?$', text, re.M)
    open_gate(weir)
    assert statuses(clients) == [200] * 3


def test_zone_names_need_no_quotes(weir):
    """A zone's name with quotes or backslashes, which could break JSON and metrics, is refused."""
    said = weir.mistake(config(http="limit_concurrency_zone 'a\"b\\\\c' limit=1;"), "limit_concurrency_zone 'a")
    assert said.startswith('invalid zone name "a"b\\c"; use ')
