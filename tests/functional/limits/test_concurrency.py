"""limit_concurrency: who is admitted and who refused, where it applies, and what a refused client can do next."""

import re
import time

import pytest

import weirlib
import wire
from limits import (LOCATIONS, SPREAD, TALLY, highest, hold, idle, ids, limited, logged, open_gate, runs, send, serve,
                    settled, spread, statuses, usable, zone)
from weirlib import limit, wait_until, watch
from wire import chunked, head, post

NO_QUEUE = dict.fromkeys(["queue_full", "queue_timeout", "codel", "client_gone", "draining"], 0)


# ---- exact --------------------------------------------------------------------------------------------------

@pytest.mark.directive("limit_concurrency")
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 8])
def test_as_many_as_the_limit(weir, workers, count):
    """Of many requests at a time, over all workers, exactly the limit is admitted and every other refused at once."""
    serve(weir, f"limit={count}", workers=workers, listen=SPREAD)
    connections = [one for some in spread(weir, workers, 60 // workers).values() for one in some]
    send(weir, [f"/held?id={i}&gate=g" for i in range(60)], connections)
    now = settled(weir, in_flight=count, queued=0, admitted=count, rejected={"limit": 60 - count} | NO_QUEUE)
    assert (now["limit"], now["reclaimed"]) == (count, 0)
    wait_until(lambda: len(runs(weir)) == count, 3, "all admitted requests run")
    open_gate(weir)
    found = statuses(connections)
    assert (found.count(200), found.count(503)) == (count, 60 - count)
    assert highest(weir) == len(runs(weir)) == count
    usable(weir, count)


def test_refusal_is_at_once_and_says_when_to_come_back(weir):
    """A refusal is a 503 with Retry-After, needs no thread of the pool, and does not wait for anything."""
    serve(weir, "limit=2", pool="threads=2 max_queue=1")
    held = hold(weir, 2)
    submitted = weir.pool()["tasks"]["submitted"]
    for _ in range(10):
        start = time.monotonic()
        refused = weir.get("/held")
        assert refused.status == 503 and time.monotonic() - start < limit(0.25)
        assert re.fullmatch(r"[1-9]\d*", refused.header("retry-after"))
    assert weir.pool()["tasks"]["submitted"] == submitted
    open_gate(weir)
    assert statuses(held) == [200, 200]
    assert weir.get("/held").status == 200


def test_permit_comes_back_after_each_kind_of_end(weir):
    """A permit is free again after an answer, a server error, a client error and a handler's own status."""
    weir.expect_log("asked to")
    serve(weir)
    for target, expected in (("/held", 200), ("/held?status=500", 500), ("/held?status=404", 404), ("/held", 200)):
        idle(weir)
        assert weir.get(target).status == expected
    now = idle(weir)
    assert now["admitted"] == 4 and sum(now["rejected"].values()) == 0


@pytest.mark.directive("limit_concurrency_zone")
def test_permits_on_one_connection(weir):
    """Requests on one keep-alive connection, pipelined or not, each take the one permit and give it back."""
    serve(weir)
    with weir.connect() as connection:
        for _ in range(20):
            assert connection.get("/held").status == 200
        connection.send(head("GET /held HTTP/1.1") * 20)
        assert [connection.response().status for _ in range(20)] == [200] * 20
    assert idle(weir)["admitted"] == 40


def test_permit_is_kept_until_the_handler_ends(weir):
    """A client that leaves while its handler runs frees the permit only once the handler has ended."""
    serve(weir)
    [leaver] = hold(weir, 1)
    leaver.close()
    deadline = time.monotonic() + 0.4
    while time.monotonic() < deadline:
        assert weir.get("/held").status == 503
        watch(0.05)
    assert zone(weir)["in_flight"] == 1
    open_gate(weir)
    idle(weir)
    assert weir.get("/held").status == 200


def test_permit_of_a_handler_that_took_too_long(weir):
    """A handler that runs on after its 504 keeps its permit or counts as stuck; when it ends all is as before."""
    weir.expect_log("timed out|timeout")
    serve(weir, locations=LOCATIONS.replace("location /held {", "location /held { handler_timeout 200ms;"))
    assert weir.get("/held?gate=g").status == 504
    assert zone(weir)["in_flight"] + weir.pool()["threads"]["stuck"] == 1
    open_gate(weir)
    idle(weir)
    wait_until(lambda: weir.pool()["threads"]["stuck"] == 0, 3, "the handler's end")
    assert weir.get("/held").status == 200


def test_without_a_master(weir):
    """A single process without a master limits, too."""
    weir.launch(limited(), directives="daemon off; master_process off;")
    wait_until(lambda: weir.accepts(weir.port), 10, "a server")
    held = hold(weir, 1)
    assert weir.get("/held").status == 503
    open_gate(weir)
    assert statuses(held) == [200]
    assert weir.get("/held").status == 200


def test_gradient_stays_between_min_and_max(weir):
    """policy=gradient moves the limit, but never beyond min and max, and never admits more than max."""
    serve(weir, "limit=6 policy=gradient min=2 max=9 queue=100 queue_timeout=10s")
    clients = [weir.connect() for _ in range(30)]
    for round in range(6):
        send(weir, [f"/held?ms={10 * round}"] * 30, clients)
        assert 2 <= zone(weir)["limit"] <= 9
        assert statuses(clients) == [200] * 30
    assert highest(weir) <= 9


# ---- where it applies ---------------------------------------------------------------------------------------

EVERYWHERE = f"""
    location / {{ root html; }}
    location /held {{ {TALLY} }}
    location /text {{ return 200 text; }}
    location /gone {{ return 404; }}
    location = /stub {{ stub_status; }}
"""


@pytest.mark.parametrize("level", ["http", "server"])
def test_never_for_return_and_status(weir, level):
    """Static files and handlers are limited; `return`, status and stub_status are not."""
    serve(weir, "limit=1", EVERYWHERE, **{level: "limit_concurrency z;"})
    (weir.tmp / "html/file").write_text("x")
    assert weir.get("/file").status == 200
    idle(weir)
    held = hold(weir, 1)
    assert [weir.get(target).status for target in ("/file", "/none", "/held")] == [503] * 3
    assert [weir.get(target).status for target in ("/text", "/gone", "/stub", "/status")] == [200, 404, 200, 200]
    open_gate(weir)
    assert statuses(held) == [200]
    idle(weir)
    assert weir.get("/file").text == "x"


def test_inner_redirects_need_no_second_permit(weir):
    """An index file and an error page within the same limit are served with the permit that the request has."""
    serve(weir, "limit=1", EVERYWHERE, server="limit_concurrency z; error_page 500 /sorry;")
    (weir.tmp / "html/folder").mkdir()
    (weir.tmp / "html/folder/index.html").write_text("index")
    (weir.tmp / "html/sorry").write_text("sorry")
    for _ in range(3):
        assert weir.get("/folder/").text == "index"
        failed = weir.get("/held?status=500")
        assert (failed.status, failed.text) == (500, "sorry")
    assert sum(idle(weir)["rejected"].values()) == 0


NESTED = f"""
    location /inherits {{ {TALLY} location /inherits/own {{ limit_concurrency b; {TALLY} }} }}
    location /own {{ limit_concurrency b; {TALLY} location /own/inner {{ {TALLY} }} }}
"""


@pytest.mark.parametrize("level", ["http", "server"])
def test_inherited_only_where_the_level_has_none(weir, level):
    """A location without limit_concurrency has that of the level above; one of its own replaces that."""
    zones = "limit_concurrency_zone a limit=1; limit_concurrency_zone b limit=1;"
    use = {"http": "", "server": ""} | {level: "limit_concurrency a;"}
    serve(weir, None, NESTED, http=zones + use["http"], server=use["server"])
    held = hold(weir, 1, "/inherits?id=held&gate=a", "a")
    assert weir.get("/inherits").status == 503
    assert [weir.get(target).status for target in ("/own", "/own/inner", "/inherits/own")] == [200] * 3
    held += hold(weir, 1, "/own/inner?id=held&gate=b", "b")
    assert [weir.get(target).status for target in ("/own", "/own/inner", "/inherits/own")] == [503] * 3
    open_gate(weir, "a")
    idle(weir, name="a")
    assert weir.get("/inherits").status == 200 and weir.get("/own").status == 503
    open_gate(weir, "b")
    assert statuses(held) == [200, 200]


TWO_ZONES = f"""
    location = /who {{ return 200 $pid; }}
    location /both {{ limit_concurrency a; limit_concurrency b; {TALLY} }}
    location /turned {{ limit_concurrency b; limit_concurrency a; {TALLY} }}
    location /a {{ limit_concurrency a; {TALLY} }}
    location /b {{ limit_concurrency b; {TALLY} }}
"""


def test_several_zones_on_a_location(weir):
    """A request needs a permit of each zone; one refused by the second keeps none of the first."""
    serve(weir, None, TWO_ZONES, http="limit_concurrency_zone a limit=3; limit_concurrency_zone b limit=1;")
    held = hold(weir, 1, "/both?id=held&gate=g", "b")
    assert zone(weir, "a")["in_flight"] == 1
    assert [weir.get("/both").status for _ in range(5)] == [503] * 5
    assert weir.get("/turned").status == 503
    assert settled(weir, name="a", in_flight=1)["rejected"]["limit"] == 0
    assert settled(weir, name="b", in_flight=1)["rejected"]["limit"] == 6
    assert {fields[5] for fields in logged(weir, "/both$", 5)} == {"b"}
    more = hold(weir, 2, "/a?id=held&gate=g", "a")
    assert weir.get("/a").status == 503
    open_gate(weir)
    assert statuses(held + more) == [200] * 3
    idle(weir, name="a"), idle(weir, name="b")
    assert [weir.get(target).status for target in ("/both", "/turned", "/a", "/b")] == [200] * 4


def test_zones_in_opposite_orders(weir):
    """Requests that need two zones in opposite orders never wait for each other in a circle."""
    serve(weir, None, TWO_ZONES, workers=2, listen=SPREAD, http="limit_concurrency_zone a limit=1 queue=50 "
          "queue_timeout=5s; limit_concurrency_zone b limit=1 queue=50 queue_timeout=5s;")
    clients = [one for some in spread(weir, 2, 10).values() for one in some]
    targets = ["/both?ms=20", "/turned?ms=20", "/a?ms=20", "/b?ms=20"] * 5
    send(weir, targets, clients)
    assert statuses(clients) == [200] * 20
    idle(weir, name="a"), idle(weir, name="b")


@pytest.mark.directive("limit_concurrency_zone")
def test_zone_declared_after_its_use(weir):
    """The order of zone and use in the file does not matter."""
    conf = limited(None, server="limit_concurrency z;")
    assert conf.rstrip().endswith("}")
    conf = conf.rstrip()[:-1] + "limit_concurrency_zone z limit=1;\n}\n"
    weir.start(conf)
    held = hold(weir, 1)
    assert weir.get("/held").status == 503
    open_gate(weir)
    assert statuses(held) == [200]


@pytest.mark.directive("limit_concurrency_status")
@pytest.mark.parametrize("level", ["http", "server", "location"])
def test_status_of_refusals(weir, level):
    """limit_concurrency_status changes the code of refusals, at every level."""
    locations = LOCATIONS.replace("location /held {", "location /held { limit_concurrency_status 429;")
    serve(weir, "limit=1", locations if level == "location" else LOCATIONS,
          **{} if level == "location" else {level: "limit_concurrency_status 429;"})
    held = hold(weir, 1)
    refused = weir.get("/held")
    assert refused.status == 429 and refused.header("retry-after")
    assert weir.get("/low").status == (503 if level == "location" else 429)
    open_gate(weir)
    assert statuses(held) == [200]


# ---- the refused connection ---------------------------------------------------------------------------------

def test_refused_connection_stays_usable(weir):
    """After refusals a keep-alive connection serves other locations, and the limited one once there is room."""
    serve(weir)
    held = hold(weir, 1)
    with weir.connect() as connection:
        for _ in range(20):
            refused = connection.get("/held")
            assert refused.status == 503 and refused.header("connection", "keep-alive") == "keep-alive"
            assert connection.get("/free?id=x").text == "x"
        open_gate(weir)
        idle(weir)
        assert connection.get("/held?id=y").text == "y"
    assert statuses(held) == [200]


def test_refused_in_a_pipeline(weir):
    """Refusals and answers of a pipeline come in the order of the requests."""
    serve(weir)
    held = hold(weir, 1)
    with weir.connect() as connection:
        connection.send((head("GET /held HTTP/1.1") + head("GET /free?id=x HTTP/1.1")) * 10)
        found = [connection.response() for _ in range(20)]
    assert [answer.status for answer in found] == [503, 200] * 10
    assert [answer.text for answer in found[1::2]] == ["x"] * 10
    open_gate(weir)
    assert statuses(held) == [200]


def test_head_is_limited(weir):
    """HEAD is limited like GET; its refusal has the header of one and no body."""
    serve(weir)
    held = hold(weir, 1)
    with weir.connect() as connection:
        connection.request("/held", "HEAD")
        refused = connection.response("HEAD")
        assert (refused.status, refused.body) == (503, b"") and refused.header("retry-after")
        assert connection.get("/free?id=x").text == "x"
        open_gate(weir)
        idle(weir)
        connection.request("/held", "HEAD")
        assert connection.response("HEAD").status == 200
        assert connection.get("/free?id=x").text == "x"
    assert statuses(held) == [200]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_refused_with_a_body(weir, framing):
    """The body of a refused request is never taken for requests, whether it came with the head or later."""
    serve(weir)
    held = hold(weir, 1)
    body = head("GET /free?id=smuggled HTTP/1.1") * 100
    field, sent = {"length": (f"Content-Length: {len(body)}", body),
                   "chunked": ("Transfer-Encoding: chunked", chunked(body, 700))}[framing]
    for cut in (len(sent), 1000, 0):
        with weir.connect() as connection:
            connection.send(post("/held", field, body=sent[:cut]))
            connection.wait_taken()
            try:
                connection.send(sent[cut:])
            except ConnectionError:
                pass  # refused and closed before it was sent whole
            refused = connection.response("POST")
            assert refused.status == 503
            if refused.header("connection") != "close":
                assert connection.get("/free?id=after").text == "after"
    assert "smuggled" not in ids(weir) and zone(weir)["rejected"]["limit"] == 3
    open_gate(weir)
    assert statuses(held) == [200]


def test_refused_body_that_was_sent_at_once(weir):
    """A refused POST whose body came with it keeps its connection."""
    serve(weir)
    held = hold(weir, 1)
    with weir.connect() as connection:
        for _ in range(5):
            connection.send(post("/held", "Content-Length: 5000", body=b"x" * 5000))
            assert connection.response("POST").status == 503
        assert connection.get("/free?id=after").text == "after"
    open_gate(weir)
    assert statuses(held) == [200]


def test_refused_before_100_continue(weir):
    """A client that asks before it sends its body is refused, or told to go on and then refused, never left waiting."""
    serve(weir)
    held = hold(weir, 1)
    with weir.connect(timeout=3) as connection:
        connection.send(post("/held", "Content-Length: 5", "Expect: 100-continue"))
        first = connection.socket.recv(65536)
        assert first
        if first.startswith(b"HTTP/1.1 100 "):
            connection.send(b"hello")
        connection.unread = first
        assert connection.response("POST").status == 503
    open_gate(weir)
    assert statuses(held) == [200]


# ---- error pages --------------------------------------------------------------------------------------------

def test_error_page_for_refusals(weir):
    """error_page 503 answers refusals, is not limited itself, and keeps Retry-After."""
    (weir.tmp / "html/busy.html").write_text("come back later")
    serve(weir, "limit=1", EVERYWHERE, server="limit_concurrency z; error_page 503 /busy.html;")
    held = hold(weir, 1)
    with weir.connect() as connection:
        for _ in range(3):
            refused = connection.get("/held")
            assert (refused.status, refused.text) == (503, "come back later")
            assert refused.header("retry-after")
    assert zone(weir)["rejected"]["limit"] == 3
    open_gate(weir)
    assert statuses(held) == [200]
    idle(weir)


def test_error_page_by_a_handler(weir):
    """A handler in the same zone serves as error page of a refusal with another status; no permit is taken or lost."""
    serve(weir, "limit=1", EVERYWHERE, server="limit_concurrency z; error_page 503 =200 /held/page?id=page;")
    held = hold(weir, 1)
    answer = weir.get("/file?id=other")
    assert (answer.status, answer.text) == (200, "page")
    assert zone(weir)["in_flight"] == 1 and ids(weir) == ["page"]
    open_gate(weir)
    assert statuses(held) == [200]
    assert idle(weir)["rejected"]["limit"] == 1 and weir.get("/file").status == 404


def test_error_page_of_another_zone(weir):
    """An error page in a location with a limit of its own is served though that limit is reached."""
    locations = EVERYWHERE + f"location /page {{ limit_concurrency b; {TALLY} }}"
    serve(weir, "limit=1", locations, http="limit_concurrency_zone b limit=1;",
          server="limit_concurrency z; error_page 503 /page?id=page;")
    held = hold(weir, 1) + hold(weir, 1, "/page?id=held&gate=g", "b")
    assert weir.get("/file?id=other").text == "page"
    open_gate(weir)
    assert statuses(held) == [200, 200]
    idle(weir), idle(weir, name="b")


def test_many_refusals_leave_nothing_behind(weir):
    """A burst of refusals from many connections leaves counters exact and the server as it was."""
    serve(weir, "limit=1", workers=2, listen=SPREAD, server="keepalive_requests 100000;")
    held = hold(weir, 1)

    def press(_):
        with weir.connect() as connection:
            return [connection.get("/held").status for _ in range(50)]
    assert wire.parallel(press, range(10), 10) == [[503] * 50] * 10
    assert settled(weir, in_flight=1, queued=0)["rejected"]["limit"] == 500
    open_gate(weir)
    assert statuses(held) == [200]
    usable(weir, 1)
    assert weirlib.fetch(weir.port, "/free?id=x").text == "x"
