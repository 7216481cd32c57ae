"""What a request's time went into, as variables of the log, and the format that has all of it: json."""

import json

import pytest
import wire
from weirlib import config, wait_until

FORMAT = "log_format times '$uri $permit_time $queue_time $handler_time $request_time';"
LOCATIONS = """
    location /sleep { handler sleep; }
    location /limited { limit_concurrency z; handler sleep; }
    location /file { return 200; }
"""


def serve(weir, log="access_log logs/times.log times;", http=FORMAT, **parts):
    weir.start(config(LOCATIONS, http="limit_concurrency_zone z limit=1 queue=10;" + http, server=log, **parts))


def lines(weir, count, target):
    """The fields of so many lines about a target."""
    def found():
        all_of_them = [line.split() for line in (weir.tmp / "logs/times.log").read_text().splitlines()]
        mine = [line for line in all_of_them if line[0] == target]
        return len(mine) >= count and mine
    return wait_until(found, 5, f"{count} lines of {target}")


def ask_at_once(weir, target, count):
    clients = [weir.connect(timeout=20) for _ in range(count)]
    for client in clients:
        client.request(target)
    assert [client.response().status for client in clients] == [200] * count


def test_a_thread_that_is_waited_for(weir):
    serve(weir, pool="threads=1 max_queue=10")
    ask_at_once(weir, "/sleep?ms=200", 3)
    waited = sorted(float(queue) for _, permit, queue, run, _ in lines(weir, 3, "/sleep") if permit == "-")
    assert len(waited) == 3 and waited[0] < 0.2 <= waited[1] + 0.02 and waited[2] >= 0.38
    for _, _, queue, run, all_of_it in lines(weir, 3, "/sleep"):
        assert float(run) >= 0.2 and float(queue) + float(run) <= float(all_of_it) + 0.05


def test_a_permit_that_is_waited_for(weir):
    serve(weir)
    ask_at_once(weir, "/limited?ms=200", 2)
    first, second = sorted(lines(weir, 2, "/limited"), key=lambda line: float(line[1]))
    assert float(first[1]) < 0.2 <= float(second[1]) + 0.02
    assert all(float(line[3]) >= 0.2 for line in (first, second))


def test_what_needs_neither(weir):
    serve(weir)
    assert weir.get("/file").status == 200
    assert lines(weir, 1, "/file")[0][1:4] == ["-", "-", "-"]


def test_a_thread_of_another_worker(weir):
    """What has run there has its times all the same."""
    serve(weir, workers=3, pool="threads=1 max_queue=10")
    weir.wait_workers(3)
    for _ in range(4):
        ask_at_once(weir, "/sleep?ms=150", 3)
    found = lines(weir, 12, "/sleep")
    assert all(float(run) >= 0.15 for _, _, _, run, _ in found)
    assert weir.pool()["tasks"]["lent"] > 0 or len({line[2] for line in found}) < 3


@pytest.mark.directive("log_format")
def test_json(weir):
    """Whatever the client says, each line is an object, with OpenTelemetry's names."""
    serve(weir, log="server_name a.test; access_log logs/access.json json;")
    weir.get("/file?a=1&b=%22", headers=[("User-Agent", 'x"\\y\xe9')])
    weir.get("/sleep?ms=20")
    wire.ask(weir.port, b"GET / HTTP/1.1\r\n\r\n")
    weir.get('/none"\\')

    def found():
        text = (weir.tmp / "logs/access.json").read_text(encoding="utf-8")
        records = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return {record["http.response.status_code"] for record in records} >= {200, 400, 404} and records
    records = wait_until(found, 5, "the lines")
    first = next(record for record in records if record["url.path"] == "/file")
    assert first["http.request.method"] == "GET" and first["http.response.status_code"] == 200 and first["url.query"] == "a=1&b=%22"
    assert first["client.address"] == "127.0.0.1" and first["server.address"] == "a.test" and first["url.scheme"] == "http"
    assert first["weir.queue_time"] == "" and first["http.response.size"] > 0 and isinstance(first["http.server.request.duration"], float)
    slept = next(record for record in records if record["url.path"] == "/sleep")
    assert float(slept["weir.handler_time"]) >= 0.02 and float(slept["weir.queue_time"]) >= 0


def test_a_format_of_the_same_name(weir):
    """One's own comes first."""
    serve(weir, log="access_log logs/times.log json;", http="log_format json '$uri mine';")
    weir.get("/file")
    assert lines(weir, 1, "/file") == [["/file", "mine"]]
