"""Blocking handlers: demo and sqlite, full and slow queues, time limits, clients that leave, pools kept apart."""

import json
import re
import sqlite3
import threading
import time

import pytest
import weirlib
import wire
from weirlib import config, limit, take_time, wait_until
from wire import post

LOCATIONS = """
    location / { return 200 fast; }
    location /fib { handler fib; }
    location /sleep { handler sleep; }
    location /echo { handler echo; }
"""


def serve(weir, locations=LOCATIONS, **parts):
    return weir.start(config(locations, **parts))


class Asked:
    """One request under way in the background: when it was answered, and how."""

    def __init__(self, port, target):
        self.start = time.monotonic()
        self.thread = threading.Thread(target=self._run, args=(port, target), daemon=True)
        self.thread.start()

    def _run(self, port, target):
        self.answer = weirlib.fetch(port, target, timeout=20)
        self.seconds = time.monotonic() - self.start

    @property
    def status(self):
        self.thread.join(limit(20))
        return self.answer.status


def running(weir, count, pool="default"):
    """Wait until so many tasks of the pool run."""
    return wait_until(lambda: weir.pool(pool)["threads"]["running"] == count, 5, f"{count} tasks running")


def queued(weir, count, pool="default"):
    return wait_until(lambda: weir.pool(pool)["queue"]["length"] == count, 5, f"{count} tasks queued")


# ---- demo -------------------------------------------------------------------------------------------------

@pytest.mark.directive("load_module")
@pytest.mark.parametrize("n, answer", [(0, 0), (1, 1), (2, 1), (10, 55), (25, 75025)])
def test_fib(weir, n, answer):
    """fib answers with the Fibonacci number of n."""
    serve(weir)
    found = weir.get(f"/fib?n={n}")
    assert found.status == 200 and re.findall(r"\d+", found.text)[-1] == str(answer)


@pytest.mark.parametrize("target", ["/fib?n=x", "/fib?n=-1", "/fib?n=99999999999999999999", "/fib?n=", "/fib?n=5x",
                                    "/sleep?ms=x", "/sleep?ms=-1", "/sleep?ms=99999999999999999999"])
def test_bad_arguments(weir, target):
    """An argument that makes no sense is the client's error."""
    serve(weir)
    assert weir.get(target).status == 400


def test_sleep(weir):
    """sleep answers after the given time, and not only one at a time."""
    serve(weir, pool="threads=8")
    asked = [Asked(weir.port, "/sleep?ms=300") for _ in range(8)]
    assert {each.status for each in asked} == {200}
    assert all(0.29 < each.seconds < limit(0.9) for each in asked), [each.seconds for each in asked]


@pytest.mark.directive("handler")
def test_echo(weir):
    """echo answers with the body as it came, empty or binary."""
    serve(weir)
    for body in (b"", b"text", bytes(range(256)) * 10):
        assert weir.get("/echo", method="POST", body=body).body == body


def test_handler_that_does_not_exist(weir):
    """A handler that no module has is found before the server starts."""
    assert weir.mistake(config("location / { handler nothing_like_it; }"), "nothing_like_it").startswith('unknown handler "nothing_like_it"')


def test_pool_that_does_not_exist(weir):
    """So is a pool that is not declared."""
    conf = config("location / { handler fib pool=nothing_like_it; }")
    assert weir.mistake(conf, "nothing_like_it").startswith('unknown thread pool "nothing_like_it"; define it with thread_pool')


@pytest.mark.directive("handler")
def test_head_on_a_handler(weir):
    """HEAD on a handler has the fields of its answer but no body."""
    serve(weir)
    with weir.connect() as connection:
        connection.request("/fib?n=10", method="HEAD")
        answer = connection.response("HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert connection.get("/fib?n=10").status == 200


def test_tasks_are_counted(weir):
    """Each request of a handler is one task: submitted and completed, and none is left running."""
    serve(weir)
    for i in range(20):
        weir.get("/fib?n=5")
    weir.get("/")
    wait_until(lambda: weir.pool()["tasks"]["completed"] == 20, 3, "20 completed tasks")
    pool = weir.pool()
    assert pool["tasks"]["submitted"] == 20 and pool["threads"]["running"] == pool["queue"]["length"] == 0


# ---- full and slow queues ---------------------------------------------------------------------------------

@pytest.mark.directive("thread_pool")
def test_full_queue_is_refused_at_once(weir):
    """With thread and queue taken, the next gets 503 with Retry-After at once, and its connection goes on."""
    serve(weir, pool="threads=1 max_queue=1")
    first = Asked(weir.port, "/sleep?ms=1000")
    running(weir, 1)
    second = Asked(weir.port, "/sleep?ms=1")
    queued(weir, 1)
    with weir.connect() as connection:
        for _ in range(20):
            start = time.monotonic()
            refused = connection.get("/sleep?ms=1")
            assert refused.status == 503 and time.monotonic() - start < limit(0.25)
            assert re.fullmatch(r"[1-9]\d*", refused.header("retry-after"))
            assert refused.header("connection", "keep-alive") == "keep-alive"
        assert connection.get("/").text == "fast"
    assert (first.status, second.status) == (200, 200)
    assert weir.pool()["tasks"]["rejected"]["queue_full"] == 20
    assert weir.get("/sleep?ms=1").status == 200


def test_refusal_reads_the_body(weir):
    """A refused request with a body does not spoil what follows on its connection."""
    serve(weir, pool="threads=1 max_queue=1")
    busy = [Asked(weir.port, "/sleep?ms=700")]
    running(weir, 1)
    busy.append(Asked(weir.port, "/sleep?ms=1"))
    queued(weir, 1)
    with weir.connect() as connection:
        connection.send(post("/echo", "Content-Length: 5000", body=b"GET / HTTP/1.1\r\n" * 312 + b"12345678"))
        assert connection.response("POST").status == 503
        assert connection.get("/").text == "fast"
    assert [each.status for each in busy] == [200, 200]


def test_queue_timeout(weir):
    """A task that waits longer than queue_timeout is answered with 503 and never runs."""
    serve(weir, pool="threads=1 max_queue=10 queue_timeout=300ms")
    first = Asked(weir.port, "/sleep?ms=1000")
    running(weir, 1)
    waiting = [Asked(weir.port, "/sleep?ms=1") for _ in range(3)]
    assert [each.status for each in waiting] == [503] * 3
    assert all(0.25 < each.seconds < limit(0.8) for each in waiting), [each.seconds for each in waiting]
    assert all(each.answer.header("retry-after") for each in waiting)
    assert first.status == 200
    wait_until(lambda: weir.pool()["tasks"]["completed"] == 1, 3, "one completed task")
    assert weir.pool()["tasks"]["expired"] == 3
    assert weir.get("/sleep?ms=1").status == 200


def test_queue_serves_all_in_their_order(weir):
    """What fits into the queue is served first come, first served."""
    serve(weir, pool="threads=1 max_queue=100")
    first = Asked(weir.port, "/sleep?ms=500")
    running(weir, 1)
    asked = []
    for i in range(10):
        asked.append(Asked(weir.port, "/sleep?ms=80"))
        queued(weir, i + 1)
    assert [each.status for each in [first, *asked]] == [200] * 11
    ends = [each.start + each.seconds for each in asked]
    assert all(later > earlier - 0.04 for earlier, later in zip(ends, ends[1:]))  # this program's own delays


# ---- handlers that take too long --------------------------------------------------------------------------

@pytest.mark.directive("handler_timeout")
def test_handler_timeout(weir):
    """handler_timeout answers 504; once the handler has noticed and returned, its thread serves again."""
    short = "location /short { handler_timeout 300ms; handler sleep; }"
    serve(weir, LOCATIONS + short, pool="threads=1..2 max_queue=9")
    late = Asked(weir.port, "/short?ms=1500")
    assert late.status == 504 and 0.25 < late.seconds < limit(0.9)
    assert weir.get("/").text == "fast" and weir.get("/sleep?ms=1").status == 200
    wait_until(lambda: weir.pool()["threads"]["stuck"] == 0, 5, "a thread that is no longer stuck")
    assert weir.get("/sleep?ms=1").status == 200
    assert weir.get("/short?ms=1").status == 200


def test_late_answer_goes_nowhere(weir):
    """What a handler answers after its 504 never reaches the client, whose connection stays in step or is closed."""
    serve(weir, LOCATIONS + "location /short { handler_timeout 200ms; handler sleep; }")
    with weir.connect() as connection:
        late = connection.get("/short?ms=600")
        assert late.status == 504
        if late.header("connection") == "close":
            assert connection.until_close() == b""
        else:
            assert connection.get("/sleep?ms=700").status == 200
            assert connection.get("/").text == "fast"


def test_client_that_leaves_cancels_its_task(weir):
    """A queued task whose client has gone is never run."""
    serve(weir, pool="threads=1 max_queue=10")
    first = Asked(weir.port, "/sleep?ms=1000")
    running(weir, 1)
    leaving = [weir.connect() for _ in range(3)]
    for connection in leaving:
        connection.request("/sleep?ms=5000")
    queued(weir, 3)
    for connection in leaving:
        connection.close()
    queued(weir, 0)
    assert first.status == 200
    assert weir.get("/sleep?ms=1").status == 200
    wait_until(lambda: weir.pool()["tasks"]["completed"] == 2, 3, "two completed tasks")
    assert weir.pool()["tasks"]["cancelled"] == 3


def test_client_that_leaves_while_its_task_runs(weir):
    """A client that leaves during its task harms nothing; the thread is free again after it."""
    serve(weir, pool="threads=1 max_queue=10")
    with weir.connect() as connection:
        connection.request("/sleep?ms=400")
        running(weir, 1)
    assert weir.get("/").text == "fast"
    after = Asked(weir.port, "/sleep?ms=1")
    assert after.status == 200 and after.seconds < limit(1.5)


# ---- pools kept apart -------------------------------------------------------------------------------------

TWO_POOLS = """
    location / { return 200 fast; }
    location /slow { handler sleep pool=slow; }
    location /fib { handler fib pool=quick; }
    location /file { alias {tmp}/html/file; }
"""


def slowest(weir, target, seconds):
    """
    The longest time that the target took, asked again and again for so long, but for one in fifty: this program may not get a
    processor itself. Delayed by the pool, nearly all would be.
    """
    took, end = [], time.monotonic() + seconds
    with weir.connect() as connection:
        while time.monotonic() < end:
            start = time.monotonic()
            assert connection.get(target).status == 200
            took.append(time.monotonic() - start)
            take_time(0.005)
    return sorted(took)[len(took) - 1 - len(took) // 50]


def test_slow_pool_delays_no_other(weir):
    """While one pool is full and its queue too, other pools, files and fixed answers are as quick as ever."""
    serve(weir, TWO_POOLS, main="thread_pool slow threads=2 max_queue=8; thread_pool quick threads=2;",
          server="keepalive_requests 100000;")
    (weir.tmp / "html/file").write_text("x")
    stop, seen = threading.Event(), []

    def press():
        with weir.connect() as connection:
            while not stop.is_set():
                seen.append(connection.get("/slow?ms=200").status)
                if seen[-1] == 503:
                    take_time(0.02)  # as Retry-After asks for, only shorter: the clients must not starve the server

    pressing = [threading.Thread(target=press, daemon=True) for _ in range(14)]
    for thread in pressing:
        thread.start()
    queued(weir, 8, "slow")
    longest = wire.parallel(lambda target: slowest(weir, target, 2), ["/", "/fib?n=10", "/file", "/status?format=json"])
    stop.set()
    for thread in pressing:
        thread.join()
    assert max(longest) < limit(0.15), longest
    assert seen.count(200) > 10 and seen.count(503) > 10 and set(seen) == {200, 503}


def test_default_pool_is_always_there(weir):
    """A handler without pool= runs in the pool default, declared or not."""
    conf = config(LOCATIONS).replace("thread_pool default threads=4 max_queue=1000;", "")
    weir.start(conf)
    assert "thread_pool" not in conf and weir.get("/fib?n=10").status == 200
    assert weir.pool("default")["tasks"]["completed"] == 1


def test_pools_are_counted_apart(weir):
    """Each pool counts its own tasks."""
    serve(weir, TWO_POOLS, main="thread_pool slow threads=2; thread_pool quick threads=2;")
    weir.get("/slow?ms=1")
    for _ in range(3):
        weir.get("/fib?n=1")
    wait_until(lambda: weir.pool("quick")["tasks"]["completed"] == 3, 3, "three tasks")
    assert [weir.pool(name)["tasks"]["completed"] for name in ("slow", "quick", "default")] == [1, 3, 0]


# ---- sqlite -----------------------------------------------------------------------------------------------

ROWS = [(1, "one", 1.5), (2, 'quote " and \\', -3e10), (3, "line\nend\ttab \x01", None),
        (4, "sn\u00f6 \U0001f600 </script>", 0.1)]

QUERIES = """
    location /row { handler sqlite database={tmp}/data.db "query=select id, name, score from t where id = :id"; }
    location /all { handler sqlite database={tmp}/data.db "query=select id, name, score from t order by id"; }
    location /name { handler sqlite database={tmp}/data.db "query=select id from t where name = :name"; }
    location /both { handler sqlite database={tmp}/data.db "query=select id from t where id >= :low and id < :high"; }
    location /many { handler sqlite database={tmp}/data.db "query=with recursive c(i) as
        (select 1 union all select i + 1 from c limit 20000) select i, hex(i) as h from c"; }
    location / { return 200 fast; }
"""


@pytest.fixture
def with_rows(weir):
    """A server with a database of four rows, which the test starts."""
    with sqlite3.connect(weir.tmp / "data.db") as database:
        database.execute("create table t (id integer primary key, name text, score real)")
        database.executemany("insert into t values (?, ?, ?)", ROWS)
    database.close()
    (weir.tmp / "data.db").chmod(0o644)
    return weir


def serve_queries(weir, locations=QUERIES, **parts):
    return serve(weir, locations, main="load_module {modules}/sqlite.so;", **parts)


def as_objects(rows):
    return [dict(zip(("id", "name", "score"), row)) for row in rows]


def test_sqlite_rows_as_json(with_rows):
    """The rows come as a JSON array of objects with numbers, texts and nulls as they are in the database."""
    weir = serve_queries(with_rows)
    answer = weir.get("/all")
    assert answer.status == 200 and answer.header("content-type").split(";")[0] == "application/json"
    assert answer.json() == as_objects(ROWS)
    assert [type(row["id"]) for row in answer.json()] == [int] * 4


def test_sqlite_parameters(with_rows):
    """Parameters come from the query string by name, unescaped; what is not asked for is ignored."""
    weir = serve_queries(with_rows)
    assert weir.get("/row?id=2").json() == as_objects(ROWS[1:2])
    assert weir.get("/row?x=1&id=3&y").json() == as_objects(ROWS[2:3])
    assert weir.get("/row?id=99").json() == []
    assert weir.get("/both?high=4&low=2").json() == [{"id": 2}, {"id": 3}]
    assert weir.get("/name?name=quote%20%22%20and%20%5c").json() == [{"id": 2}]
    assert weir.get("/name?name=sn%c3%b6+%F0%9F%98%80+%3c/script%3e").json() == [{"id": 4}]


def test_sqlite_parameters_are_never_sql(with_rows):
    """Whatever a parameter says, it is a value."""
    weir = serve_queries(with_rows)
    for value in ("1%20or%201=1", "1;delete%20from%20t", "'%20or%20''='", "1--", ":id", "%00"):
        assert weir.get(f"/row?id={value}").status in (200, 400)
        assert weir.get(f"/name?name={value}").status in (200, 400)
    assert weir.get("/row?id=1%20or%201=1").json() == [] and len(weir.get("/all").json()) == 4


def test_sqlite_missing_parameter(with_rows):
    """A parameter that the statement needs and the client does not give is the client's error, in JSON."""
    weir = serve_queries(with_rows)
    answer = weir.get("/both?low=1")
    assert answer.status == 400 and answer.header("content-type").split(";")[0] == "application/json"
    assert "high" in json.dumps(answer.json())


def test_sqlite_is_read_only(with_rows):
    """A statement that writes is an error, and changes nothing."""
    weir = with_rows
    statements = ["delete from t", "insert into t values (9, 'x', 0)", "drop table t", "pragma user_version = 7",
                  "select 1; delete from t"]
    for statement in statements:
        conf = config(f'location / {{ handler sqlite database={{tmp}}/data.db "query={statement}"; }}',
                      main="load_module {modules}/sqlite.so;")
        wrong = "be exactly one SQL statement" if "select" in statement else "only read: write a select"
        assert weir.mistake(conf, statement) == f'handler "sqlite": query must {wrong}'
    with sqlite3.connect(weir.tmp / "data.db") as database:
        assert database.execute("select count(*) from t").fetchone() == (4,)
        assert database.execute("pragma user_version").fetchone() == (0,)


def test_sqlite_error_at_run_time(with_rows):
    """A statement that fails answers 5xx in JSON, and works again when the cause is gone."""
    weir = serve_queries(with_rows)
    assert len(weir.get("/all").json()) == 4
    with sqlite3.connect(weir.tmp / "data.db") as database:
        database.execute("alter table t rename to gone")
    answer = weir.get("/all")
    assert 500 <= answer.status < 600 and answer.header("content-type").split(";")[0] == "application/json"
    assert isinstance(answer.json(), dict)
    with sqlite3.connect(weir.tmp / "data.db") as database:
        database.execute("alter table gone rename to t")
    assert weir.get("/all").json() == as_objects(ROWS)


def test_sqlite_sees_new_rows(with_rows):
    """What another program commits is in the next answer."""
    weir = serve_queries(with_rows)
    assert weir.get("/row?id=5").json() == []
    with sqlite3.connect(weir.tmp / "data.db") as database:
        database.execute("insert into t values (5, 'new', 2)")
    assert weir.get("/row?id=5").json() == [{"id": 5, "name": "new", "score": 2.0}]


def test_sqlite_many_rows_and_clients(with_rows):
    """Large answers arrive whole, for many clients at a time, while others are served."""
    weir = serve_queries(with_rows, pool="threads=4 max_queue=100")
    answers = wire.parallel(lambda _: weir.get("/many").json(), range(12), 12)
    expected = [{"i": i, "h": str(i).encode().hex().upper()} for i in range(1, 20001)]
    assert all(answer == expected for answer in answers)
    assert weir.get("/").text == "fast"


def test_sqlite_bad_arguments(with_rows):
    """A handler without its statement, or with one that is no SQL, is found before the server starts."""
    load = "load_module {modules}/sqlite.so;"
    said = with_rows.mistake(config("location / { handler sqlite database=x; }", main=load), "handler sqlite")
    assert said == 'handler "sqlite": it needs database=FILE and query=SQL'
    said = with_rows.mistake(config('location / { handler sqlite database={tmp}/data.db "query=selekt 1"; }', main=load), "selekt")
    assert said == with_rows.fill('handler "sqlite": {tmp}/data.db: near "selekt": syntax error')


def test_pages_of_a_handler_that_is_late(weir):
    """A named location, captures of the location's and the server's expression: all are there for the page of a 504."""
    weir.expect_log("timed out")
    weir.start(
        config(
            r"""
            location ~ ^/(?<what>s)(leep) { error_page 504 = @late; handler_timeout 50ms; handler sleep; }
            location @late { return 200 "$what $uri $arg_ms"; }
            location ~ ^/other/(.*) { error_page 504 =200 /page/$1; handler_timeout 50ms; handler sleep; }
            location /page/ { return 200 "page $uri"; }
            """
        )
    )
    named = weir.get("/sleep?ms=400")
    assert (named.status, named.body) == (200, b"s /sleep 400")
    assert weir.get("/other/way?ms=400").body == b"page /page/way"
