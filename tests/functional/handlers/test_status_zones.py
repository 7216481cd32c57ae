"""status_zone: requests of a server and of a location counted apart, over all workers, reloads and deaths."""

import os
import signal
import subprocess
import time

import metrics
import pytest
from weirlib import ROOT, config, fetch, let_pass, limit, wait_until

LOCATIONS = """
    location = /ok { return 200 four; }
    location = /no { return 404; }
    location /slow { status_zone slow; handler sleep; }
    location /up { status_zone up; client_max_body_size 10m; client_body_buffer_size 10m; handler echo; }
    location /outer { status_zone outer; location = /outer/in { return 204; } location = /outer/own { status_zone own; return 200; } return 301 /; }
    location = /moved { status_zone moved; rewrite ^ /outer/own last; }
    location = /refused { status_zone refused; limit_concurrency z; handler sleep; }
"""
ZONE = "status_zone site;"
pytestmark = pytest.mark.directive("status_zone")


def zones(weir):
    return weir.status()["zones"]


def counts(zone):
    return {name: zone[name] for name in ("requests", "1xx", "2xx", "3xx", "4xx", "5xx") if zone[name]}


def serve(weir, server=ZONE, http="", **parts):
    weir.start(config(LOCATIONS, server=server, http="limit_concurrency_zone z limit=1 queue=0;" + http, **parts))


def test_a_server_and_its_locations(weir):
    """A request counts in its server's zone and in that of the location that has answered it, once each."""
    serve(weir)
    before = zones(weir)["site"]  # with the looks whether it serves; a status counts once it has been answered
    for target in ("/ok", "/ok", "/no", "/slow?ms=1", "/outer", "/outer/in", "/outer/own", "/moved"):
        weir.get(target)
    found = zones(weir)
    assert {name: found["site"][name] - before[name] for name in ("requests", "2xx", "3xx", "4xx", "5xx")} == {"requests": 9, "2xx": 7, "3xx": 1, "4xx": 1, "5xx": 0}
    assert counts(found["slow"]) == {"requests": 1, "2xx": 1}
    assert counts(found["outer"]) == {"requests": 2, "2xx": 1, "3xx": 1}
    assert counts(found["own"]) == {"requests": 2, "2xx": 2} and counts(found["moved"]) == {}
    assert found["site"]["servers"] == found["own"]["servers"] and len(found["own"]["servers"]) == 1


def test_bytes(weir):
    """As $request_length and $bytes_sent have them."""
    serve(weir, server=ZONE + "access_log logs/bytes.log sizes if=$is_up;", http="map $uri $is_up { /up 1; } log_format sizes '$request_length $bytes_sent';")
    for size in (0, 1, 100_000, 3_000_000):
        assert len(weir.get("/up", method="POST", body=b"x" * size).body) == size
    weir.get("/up", method="HEAD")
    found = zones(weir)["up"]
    logged = wait_until(lambda: len(lines := (weir.tmp / "logs/bytes.log").read_text().splitlines()) >= 5 and lines, 5, "the log")
    sizes = [tuple(map(int, line.split())) for line in logged[:5]]
    assert (found["bytes_in"], found["bytes_out"]) == tuple(map(sum, zip(*sizes)))
    assert found["bytes_in"] > 3_100_000 and found["bytes_out"] > 3_100_000


def test_times(weir):
    """Durations lie where they were, and waiting for a thread and for a permit is told apart."""
    serve(weir, pool="threads=1 max_queue=10")
    clients = [weir.connect(timeout=20) for _ in range(3)]
    began = time.monotonic()
    for client in clients:
        client.request("/slow?ms=300")
    for client in clients:
        assert client.response().status == 200
    took_ms = (time.monotonic() - began) * 1000
    slow = zones(weir)["slow"]
    assert 250 <= slow["p50"] <= max(1000, took_ms) and slow["p50"] <= slow["p90"] <= slow["p99"] <= max(1000, took_ms * 2)
    assert slow["queue_wait"]["p99"] >= 500 > 250 >= zones(weir)["up"]["queue_wait"]["p99"] == 0
    assert zones(weir)["site"]["queue_wait"] == slow["queue_wait"]  # who needs no thread has not waited for one


def test_what_is_refused(weir):
    """With its status; and a client that leaves counts as one that has closed."""
    serve(weir)
    with weir.connect() as client:
        client.request("/refused?ms=2000")
        wait_until(lambda: weir.status()["concurrency"]["z"]["in_flight"] == 1, 5, "a permit that is held")
        assert weir.get("/refused?ms=1").status == 503
    wait_until(lambda: counts(zones(weir)["refused"]) == {"requests": 2, "4xx": 1, "5xx": 1}, 5, "both")


@pytest.mark.parametrize("how", ["leaves", "is too late"])
def test_who_waits_in_vain(weir, how):
    """What has waited for a thread until its client left, or its time was over, counts as waiting."""
    weir.expect_log("timed out|refused")
    weir.start(config(LOCATIONS.replace("handler sleep; }\n    location /up", "handler sleep; handler_timeout 1s; }\n    location /up") if how != "leaves" else LOCATIONS,
                      server=ZONE, http="limit_concurrency_zone z limit=1 queue=0;", pool="threads=1 max_queue=10"))
    clients = [weir.connect(timeout=20) for _ in range(3)]
    for client in clients:
        client.request("/slow?ms=3000")
    wait_until(lambda: weir.pool()["queue"]["length"] == 2, 5, "two that wait")
    if how == "leaves":
        let_pass(0.3)
        for client in clients:
            client.close()
    wait_until(lambda: zones(weir)["slow"]["requests"] == 3, 10, "the end of all")
    assert zones(weir)["slow"]["queue_wait"]["p99"] > 200


def test_labels_are_utf8(weir):
    """Whatever a server is called, and however long that is: one bad label, and nothing at all would be read."""
    weir.start(config("", server="status_zone main;", http="".join(
        f"server {{ listen 127.0.0.1:{{port}}; server_name \"~^{'a' * n}é\\xff{'b' * 20}\"; status_zone zone-{n}; return 200; }}" for n in range(50, 64)), listen="127.0.0.1:{port} default_server"))
    body = weir.get("/status?format=prometheus").body
    body.decode("utf-8")
    metrics.parse(body.decode())


def test_metrics(weir):
    """The same figures for each server, in a form that promtool accepts."""
    serve(weir, server='server_name a.test "~^b\\"[0-9]"; ' + ZONE, http="server { listen 127.0.0.1:{port} default_server; location = /status { status; } location / { return 204; } }")
    weir.get("http://a.test/ok")
    weir.get("http://a.test/slow?ms=20")
    text = weir.get("/status?format=prometheus").text
    _, samples = metrics.parse(text)
    where = {"server": "a.test", "zone": "site"}
    assert metrics.total(samples, "weir_zone_requests_total", **where, code="2xx") == 2
    assert metrics.total(samples, "weir_zone_requests_total", server="a.test", zone="slow") == 1
    assert metrics.total(samples, "weir_zone_request_duration_seconds_count", **where) == 2
    assert metrics.total(samples, "weir_zone_queue_wait_seconds_count", **where) == 1
    assert metrics.total(samples, "weir_zone_bytes_total", **where, direction="out") == zones(weir)["site"]["bytes_out"] > 200
    buckets = {dict(labels)["le"] for name, labels in samples if name == "weir_http_request_duration_seconds_bucket"}
    assert {"0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10", "+Inf"} <= buckets
    promtool = ROOT / "build/tools/promtool"
    if promtool.exists():
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=limit(30))
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_one_zone_of_several_servers(weir):
    """One in JSON, one for each server in the metrics; a server without a name is called by where it listens."""
    weir.start(config("", http="""
        server { listen 127.0.0.1:{port}; server_name b.test; status_zone both; return 200; }
        server { listen 127.0.0.1:{port}; server_name c.test; status_zone both; return 503; }""", server="status_zone both;", listen="127.0.0.1:{port} default_server"))
    for host, times in (("b.test", 2), ("c.test", 3)):
        for _ in range(times):
            weir.get(f"http://{host}/")
    both = zones(weir)["both"]
    assert both["servers"] == ["b.test", "c.test", f"127.0.0.1:{weir.port}"]
    assert both["2xx"] >= 2 and both["5xx"] == 3
    _, samples = metrics.parse(weir.get("/status?format=prometheus").text)
    assert metrics.total(samples, "weir_zone_requests_total", server="c.test", zone="both") == 3


def test_all_workers_and_the_dead(weir):
    """Figures are those of all workers, and do not go back when one dies, nor by a reload either way."""
    weir.expect_log("exited on signal 9")
    serve(weir, workers=3)
    weir.wait_workers(3)
    for _ in range(60):
        fetch(weir.port, "/ok")
    assert zones(weir)["site"]["2xx"] >= 60
    os.kill(next(iter(weir.worker_pids())), signal.SIGKILL)
    wait_until(lambda: len(weir.worker_pids()) == 3 and weir.status()["workers"], 5, "a successor")
    weir.wait_workers(3)
    before = zones(weir)["site"]["2xx"]
    assert before >= 60
    weir.reload(weir.conf.read_text().replace("max_queue=1000", "max_queue=1001"))
    weir.reload(weir.conf.read_text().replace(ZONE, ZONE + "server_tokens off;"))
    weir.wait_workers(3)
    assert zones(weir)["site"]["2xx"] > before


def test_a_zone_that_goes(weir):
    """It is shown no longer; others keep what they had."""
    serve(weir)
    weir.get("/slow?ms=1")
    weir.get("/ok")
    weir.reload(weir.conf.read_text().replace("status_zone slow;", "status_zone quick;"))
    weir.get("/slow?ms=1")
    found = zones(weir)
    assert "slow" not in found and counts(found["quick"]) == {"requests": 1, "2xx": 1} and found["site"]["requests"] >= 3


def test_none(weir):
    weir.start(config("location / { return 200; }"))
    assert zones(weir) == {} and "weir_zone_" not in weir.get("/status?format=prometheus").text


def test_as_many_as_there_is_room_for(weir):
    names = [f"zone-{i}" for i in range(257)]
    conf = [config("".join(f"location /{name}/ {{ status_zone {name}; return 204; }}" for name in names[:count])) for count in (256, 257)]
    [(message, _)] = weir.mistakes(conf[1])
    assert 'too many zones of "status_zone"' in message
    weir.start(conf[0])
    for name in (names[0], names[128], names[255]):
        weir.get(f"/{name}/x")
    assert sum(zone["requests"] for zone in zones(weir).values()) == 3


@pytest.mark.parametrize("name, said", [("x" * 32, "1 to 31 characters"), ("", "1 to 31 characters"), ("a; status_zone b", "duplicate"), ('"a\tb"', "1 to 31 characters")])
def test_names(weir, name, said):
    [(message, _)] = weir.mistakes(config(f'location / {{ status_zone {name or chr(39) * 2}; return 204; }}'))
    assert said in message
