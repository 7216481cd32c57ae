"""The status: every key and type of the JSON, sums over workers, the formats by Accept, strict Prometheus text."""

import html.parser
import re
import subprocess
import time
from collections import defaultdict

import pytest
import weirlib
import wire
from metrics import NAME, parse, total
from weirlib import ROOT, config, let_pass, wait_until

LOCATIONS = """
    location / { return 200 "hello\\n"; }
    location /missing { return 404; }
    location /moved { return 301 /; }
    location /broken { return 500; }
    location /nothing { return 204; }
    location /fib { handler fib; }
    location /sleep { handler sleep pool=slow; }
    location = /stub { stub_status; }
"""
SLOW_POOL = "thread_pool slow threads=1..3 max_queue=7;"
COUNT, NUMBER, TEXT, FLAG = (int,), (int, float), (str,), (bool,)

POOL = {
    "threads": dict.fromkeys(["min", "max", "running", "idle", "stuck"], COUNT),
    "queue": dict.fromkeys(["length", "limit"], COUNT),
    "tasks": dict.fromkeys(["submitted", "completed", "failed", "cancelled", "expired"], COUNT) | {
        "rejected": dict.fromkeys(["queue_full", "closed", "codel"], COUNT)},
}
WORKER = dict.fromkeys(["slot", "pid", "connections", "requests", "in_flight", "restarts"], COUNT) | {"state": TEXT}
SCHEMA = {
    "version": TEXT, "uptime_seconds": NUMBER, "generation": COUNT,
    "reload": {"last_ok": FLAG, "last_kind": (str, type(None)), "count": COUNT, "failed": COUNT},
    "workers": [WORKER],
    "connections": dict.fromkeys(["accepted", "handled", "active", "reading", "writing", "waiting"], COUNT),
    "requests": dict.fromkeys(["total", "in_flight", "1xx", "2xx", "3xx", "4xx", "5xx"], COUNT),
    "pools": {"default": POOL, "slow": POOL},
    "memory": dict.fromkeys(["allocated_bytes", "resident_bytes"], COUNT),
}

FAMILIES = {
    "weir_build_info": ("gauge", {"version"}),
    "weir_start_time_seconds": ("gauge", set()),
    "weir_config_generation": ("gauge", set()),
    "weir_config_last_reload_successful": ("gauge", set()),
    "weir_workers": ("gauge", {"state"}),
    "weir_worker_restarts_total": ("counter", {"reason"}),
    "weir_worker_cpu_seconds_total": ("counter", {"worker"}),
    "weir_connections_accepted_total": ("counter", set()),
    "weir_connections": ("gauge", {"state"}),
    "weir_http_requests_total": ("counter", {"code"}),
    "weir_http_requests_in_flight": ("gauge", set()),
    "weir_http_request_duration_seconds": ("histogram", set()),
    "weir_pool_threads": ("gauge", {"pool", "state"}),
    "weir_pool_threads_max": ("gauge", {"pool"}),
    "weir_pool_queue_length": ("gauge", {"pool"}),
    "weir_pool_queue_limit": ("gauge", {"pool"}),
    "weir_pool_queue_wait_seconds": ("histogram", {"pool"}),
    "weir_pool_task_duration_seconds": ("histogram", {"pool"}),
    "weir_pool_tasks_total": ("counter", {"pool", "result"}),
    "weir_memory_bytes": ("gauge", {"kind"}),
}


def serve(weir, **parts):
    return weir.start(config(LOCATIONS, main=SLOW_POOL, **parts))


def misfits(document, schema, path="status"):
    """Where the document lacks a key of the schema or has a value of another type."""
    if isinstance(schema, dict):
        missing = [f"{path}.{key} is missing" for key in schema if key not in document]
        return missing + [found for key in schema if key in document
                          for found in misfits(document[key], schema[key], f"{path}.{key}")]
    if isinstance(schema, list):
        return [found for i, each in enumerate(document) for found in misfits(each, schema[0], f"{path}[{i}]")]
    return [] if type(document) in schema else [f"{path} is {document!r}"]


def settled(weir, holds, what):
    """The first status for which holds(status) is true."""
    return wait_until(lambda: (lambda now: now if holds(now) else None)(weir.status()), 5, what)


# ---- JSON -------------------------------------------------------------------------------------------------

def test_keys_and_types(weir):
    """Every key of the contract is there, with a value of its type."""
    serve(weir, workers=3)
    weir.wait_workers(3)
    answer = weir.get("/status?format=json")
    assert answer.status == 200 and answer.header("content-type").split(";")[0] == "application/json"
    assert misfits(answer.json(), SCHEMA) == []


def test_values_at_rest(weir):
    """A fresh server says what it is: its version, its pools as configured, its workers by slot and pid."""
    serve(weir, workers=3)
    weir.wait_workers(3)
    now = weir.status()
    version = weir.run("-v").stderr
    assert now["version"] and now["version"] in version
    assert 0 <= now["uptime_seconds"] < weirlib.limit(20)
    assert now["reload"] == now["reload"] | {"last_ok": True, "last_kind": None, "count": 0, "failed": 0}
    assert len({worker["slot"] for worker in now["workers"]}) == 3
    assert {worker["pid"] for worker in now["workers"]} == weir.worker_pids()
    assert [worker["restarts"] for worker in now["workers"]] == [0] * 3
    slow = now["pools"]["slow"]["threads"]
    assert (slow["min"], slow["max"]) in ((1, 3), (3, 9))  # of a worker, or of all
    assert set(now["pools"]) == {"default", "slow"}
    assert now["memory"]["allocated_bytes"] > 0 and now["memory"]["resident_bytes"] > 1_000_000


def test_uptime_goes_on(weir):
    """uptime_seconds counts seconds."""
    serve(weir)
    before = weir.status()["uptime_seconds"]
    let_pass(1.1)
    assert 0.9 < weir.status()["uptime_seconds"] - before < weirlib.limit(3)


def test_requests_add_up(weir):
    """Over three workers no request is lost or counted twice, in total, by class and by worker."""
    serve(weir, workers=3)
    weir.wait_workers(3)
    before = weir.status()
    plan = {"/": (40, "2xx"), "/nothing": (5, "2xx"), "/missing": (30, "4xx"), "/moved": (20, "3xx"),
            "/broken": (10, "5xx"), "/fib?n=3": (15, "2xx")}

    def ask(target):
        for _ in range(plan[target][0]):
            weir.get(target)
    wire.parallel(ask, plan)
    after = settled(weir, lambda now: now["requests"]["total"] - before["requests"]["total"] > 120, "121 requests")
    gained = {name: after["requests"][name] - before["requests"][name] for name in before["requests"]}
    status_requests = gained["total"] - 120
    assert gained == gained | {"1xx": 0, "2xx": 60 + status_requests, "3xx": 20, "4xx": 30, "5xx": 10}
    assert sum(worker["requests"] for worker in after["workers"]) == after["requests"]["total"]


def test_refused_requests_are_counted(weir):
    """A request that could not be read counts as a 4xx, one of a version that is not spoken as a 5xx."""
    serve(weir)
    before = weir.status()["requests"]
    for _ in range(3):
        wire.verdict(weir.port, b"GET / HTTP/1.1\r\n\r\n")
    wire.verdict(weir.port, wire.head("GET / HTTP/9.0"))
    after = settled(weir, lambda now: now["requests"]["4xx"] >= before["4xx"] + 3, "refusals counted")["requests"]
    assert (after["4xx"] - before["4xx"], after["5xx"] - before["5xx"]) == (3, 1)


def test_connections_add_up(weir):
    """Idle connections wait, a half-sent request reads, a running one writes; accepted counts each once."""
    serve(weir)
    before = weir.status()
    idle = [weir.connect() for _ in range(5)]
    for connection in idle:
        assert connection.get("/").status == 200
    reading = weir.connect()
    reading.send("GET / HTTP/1.1\r\nHo")
    writing = weir.connect()
    writing.request("/sleep?ms=1500")
    expected = {"active": 8, "reading": 1, "writing": 2, "waiting": 5}  # one of them is the status request's own
    try:
        now = settled(weir, lambda now: expected.items() <= now["connections"].items(), expected)
        assert now["connections"]["accepted"] == now["connections"]["handled"]
        assert now["connections"]["accepted"] >= before["connections"]["accepted"] + 8
        assert now["requests"]["in_flight"] == before["requests"]["in_flight"] + 1
        assert sum(worker["connections"] for worker in now["workers"]) == 8
        assert sum(worker["in_flight"] for worker in now["workers"]) == now["requests"]["in_flight"]
    finally:
        for connection in [*idle, reading, writing]:
            connection.close()
    rest = {"active": 1, "reading": 0, "writing": 1, "waiting": 0}
    settled(weir, lambda now: rest.items() <= now["connections"].items(), rest)


def test_pool_figures(weir):
    """Running, idle and queued tasks of a pool are what they are, and the sums of its tasks hold."""
    serve(weir)
    clients = [weir.connect() for _ in range(5)]
    for connection in clients:
        connection.request("/sleep?ms=800")
    busy = settled(weir, lambda now: now["pools"]["slow"]["threads"]["running"] == 3 and now["pools"]["slow"]["tasks"]["submitted"] == 5, "three running")["pools"]["slow"]
    assert busy["queue"] == busy["queue"] | {"length": 2, "limit": 7}
    assert [connection.response().status for connection in clients] == [200] * 5
    for connection in clients:
        connection.close()
    rest = settled(weir, lambda now: now["pools"]["slow"]["tasks"]["completed"] == 5, "five completed")["pools"]["slow"]
    tasks = rest["tasks"]
    assert (tasks["submitted"], tasks["failed"], tasks["cancelled"], tasks["expired"]) == (5, 0, 0, 0)
    assert rest["threads"]["running"] == rest["queue"]["length"] == 0 and rest["threads"]["idle"] <= 3


# ---- formats ----------------------------------------------------------------------------------------------

JSON, HTML, PROMETHEUS, OPENMETRICS = "application/json", "text/html", "text/plain", "application/openmetrics-text"
SCRAPE = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


@pytest.mark.parametrize("query, accept, media_type", [
    ("?format=json", None, JSON), ("?format=html", None, HTML), ("?format=prometheus", None, PROMETHEUS),
    ("?format=json", "text/html", JSON), ("?format=prometheus", "application/json", PROMETHEUS),
    ("", "application/json", JSON), ("", "text/html", HTML), ("", "text/plain; version=0.0.4", PROMETHEUS),
    ("", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", PROMETHEUS), ("", SCRAPE, OPENMETRICS),
    ("", "application/openmetrics-text; version=1.0.0", OPENMETRICS),
    ("", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
    ("", "application/json;q=0.9, text/html;q=0.1", JSON), ("", "application/json;q=0.1, text/html;q=0.9", HTML),
])
def test_format_by_query_or_accept(weir, query, accept, media_type):
    """?format= decides, and without it the Accept field with its preferences."""
    serve(weir)
    answer = weir.get("/status" + query, headers=[("Accept", accept)] if accept else [])
    assert (answer.status, answer.header("content-type").split(";")[0].strip()) == (200, media_type)
    if media_type == PROMETHEUS:
        assert re.search(r";\s*version=0\.0\.4", answer.header("content-type"))
    if media_type == OPENMETRICS:
        assert re.search(r";\s*version=[01]\.0\.[01]", answer.header("content-type"))


@pytest.mark.directive("status")
def test_status_without_preference_and_with_a_bad_one(weir):
    """Anything goes for */*; a format that does not exist is the client's error; HEAD and POST are as for files."""
    serve(weir)
    for headers in ([], [("Accept", "*/*")], [("Accept", "image/png")]):
        assert weir.get("/status", headers=headers).header("content-type").split(";")[0] in (JSON, HTML, PROMETHEUS)
    assert weir.get("/status?format=nonsense").status == 400
    assert weir.get("/status?format=json", method="HEAD").body == b""
    assert weir.get("/status", method="POST", body=b"x").status == 405


def test_html_is_whole(weir):
    """The page closes what it opens and shows the pools and the workers."""
    serve(weir, workers=2)
    weir.wait_workers(2)
    page = weir.get("/status?format=html").text
    opened = []

    class Checker(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "br", "hr", "link", "img", "input", "col"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag
    Checker().feed(page)
    assert opened == [] and page.lower().lstrip().startswith("<!doctype html>")
    assert "slow" in page and all(str(pid) in page for pid in weir.worker_pids())


STUB = re.compile(r"Active connections: (\d+) \nserver accepts handled requests\n (\d+) (\d+) (\d+) \n"
                  r"Reading: (\d+) Writing: (\d+) Waiting: (\d+) \n")


@pytest.mark.directive("stub_status")
def test_stub_status(weir):
    """stub_status has nginx's text to the last blank, and counts the connection that asks as writing."""
    serve(weir)
    with weir.connect() as idle, weir.connect() as asking:
        idle.get("/")
        answer = asking.get("/stub")
        assert answer.header("content-type") == "text/plain" and STUB.fullmatch(answer.text)

        def figures():
            return tuple(map(int, STUB.fullmatch(asking.get("/stub").text).groups()))
        active, accepts, handled, requests, *states = wait_until(
            lambda: (lambda now: now if now[0] == 2 else None)(figures()), 3, "two connections")
    assert states == [0, 1, 1] and accepts == handled >= 2 and requests >= 3


# ---- Prometheus -------------------------------------------------------------------------------------------

def check_histograms(types, samples):
    """Buckets grow with their bound up to +Inf, which is the count; each has its sum."""
    for family in (name for name, kind in types.items() if kind == "histogram"):
        buckets = defaultdict(dict)
        for (name, labels), value in samples.items():
            if name == family + "_bucket":
                bound = float(dict(labels)["le"])
                buckets[frozenset(label for label in labels if label[0] != "le")][bound] = value
        assert buckets, f"{family} has no buckets"
        for labels, by_bound in buckets.items():
            values = [by_bound[bound] for bound in sorted(by_bound)]
            assert values == sorted(values) and max(by_bound) == float("inf") and len(values) > 3
            assert values[-1] == samples[family + "_count", labels] and samples[family + "_sum", labels] >= 0


def work(weir):
    """A bit of everything, so that every family has something to show."""
    for target in ("/", "/missing", "/moved", "/broken", "/fib?n=5", "/sleep?ms=5"):
        weir.get(target)
    wire.verdict(weir.port, b"bad\r\n\r\n")
    settled(weir, lambda now: now["pools"]["slow"]["tasks"]["completed"] == 1, "a task")


def test_prometheus_text(weir):
    """The text parses strictly, has every family of the contract with its type and labels, and sound histograms."""
    serve(weir, workers=2)
    work(weir)
    types, samples = parse(weir.get("/status?format=prometheus").text)
    check_histograms(types, samples)
    assert {name: types.get(name) for name in FAMILIES} == {name: kind for name, (kind, _) in FAMILIES.items()}
    for name, (kind, labels) in FAMILIES.items():
        suffix = "_count" if kind == "histogram" else ""
        found = [set(dict(series)) for sample, series in samples if sample == name + suffix]
        assert found and all(labels <= each for each in found), (name, found)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in types.items())
    assert {"pid"}.isdisjoint(label for _, labels in samples for label, _ in labels)
    assert all(value >= 0 for value in samples.values())


def test_prometheus_values(weir):
    """The figures are those of the JSON and of what was asked."""
    serve(weir)
    work(weir)
    for _ in range(10):
        weir.get("/missing")
    settled(weir, lambda now: now["requests"]["4xx"] == 12, "twelve 4xx")
    _, samples = parse(weir.get("/status?format=prometheus").text)
    now = weir.status()
    assert total(samples, "weir_http_requests_total", code="404") == 11
    assert total(samples, "weir_http_requests_total", code="500") == 1
    assert 0 <= now["requests"]["total"] - total(samples, "weir_http_requests_total") <= 2  # the two status requests
    assert total(samples, "weir_pool_tasks_total", pool="slow", result="completed") == 1
    assert total(samples, "weir_pool_task_duration_seconds_count", pool="slow") == 1
    assert 0.004 < total(samples, "weir_pool_task_duration_seconds_sum", pool="slow") < weirlib.limit(0.5)
    assert total(samples, "weir_pool_queue_limit", pool="slow") == 7
    assert total(samples, "weir_pool_threads_max", pool="slow") == 3
    assert total(samples, "weir_config_last_reload_successful") == 1
    assert abs(total(samples, "weir_start_time_seconds") + now["uptime_seconds"] - time.time()) < weirlib.limit(3)
    assert total(samples, "weir_build_info", version=now["version"]) == 1
    assert 0 < total(samples, "weir_worker_cpu_seconds_total") < 30


def test_counters_never_go_back(weir):
    """Between two scrapes no counter falls and no histogram loses a value."""
    serve(weir, workers=2)
    work(weir)
    types, before = parse(weir.get("/status?format=prometheus").text)
    work_again = ["/", "/missing", "/fib?n=5"]
    for target in work_again * 5:
        weir.get(target)
    _, after = parse(weir.get("/status?format=prometheus").text)
    counted = {series: value for series, value in before.items()
               if types.get(series[0]) == "counter" or re.search("_(bucket|count|sum)$", series[0])}
    assert counted and {series for series, value in counted.items() if after[series] < value} == set()


def test_openmetrics(weir):
    """OpenMetrics text ends with # EOF and names counter families without _total."""
    serve(weir)
    work(weir)
    text = weir.get("/status", headers=[("Accept", SCRAPE)]).text
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    types = dict(re.findall(rf"^# TYPE ({NAME}) (\w+)$", text, re.M))
    assert types["weir_http_requests"] == "counter" and types["weir_http_request_duration_seconds"] == "histogram"
    assert not any(name.endswith("_total") for name in types)
    assert re.search(r'^weir_http_requests_total\{[^}]*code="404"[^}]*\} 1(\.0)?$', text, re.M)
    assert "\n\n" not in text


def test_names_need_no_quotes(weir):
    """A pool's name with quotes or backslashes, which could break the text, is refused."""
    said = weir.mistake(config(LOCATIONS, main=SLOW_POOL + " thread_pool 'a\"b\\\\c' threads=1;"), "thread_pool 'a")
    assert said.startswith('invalid thread pool name "a"b\\c"; use ')


def test_promtool_finds_nothing(weir):
    """promtool check metrics has nothing to say."""
    promtool = ROOT / "build/tools/promtool"
    if not promtool.exists():
        pytest.skip("build/tools/promtool is not there")
    serve(weir, workers=2)
    work(weir)
    text = weir.get("/status?format=prometheus").body
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_connections_as_variables(weir):
    weir.start(config('location / { return 200 "$connections_active $connections_reading $connections_writing $connections_waiting"; }',
                      workers=2))
    with weir.connect() as idle:
        idle.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.response().status == 200
        wait_until(lambda: weir.get("/").text == "2 0 1 1", 3, "one that waits, and the one that asks")
