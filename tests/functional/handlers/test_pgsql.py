"""modules/pgsql against a real PostgreSQL: parameters, types, mistakes, servers that go away, clients that do."""

import concurrent.futures
import json
import os
import signal

import postgres
import pytest
import weirlib
from weirlib import Connection, config, open_files, wait_until

pytestmark = [pytest.mark.xdist_group("postgresql"),
              pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed")]
MODULE = weirlib.BINARY.parent / "modules/pgsql.so"
JSON = ("Content-Type", "application/json; charset=utf-8")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module")
def database():
    server = postgres.Postgres()
    yield server
    server.discard()


@pytest.fixture
def db(database):
    """The server, with a table of this test."""
    database.sql("drop table if exists item; create table item (id serial primary key, name text unique, price numeric(30, 10), more jsonb);"
                 "insert into item (name, price, more) select 'item ' || i, i * 1.5, json_build_object('n', i) from generate_series(1, 5) i")
    return database


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def location(db, path, query, settings=""):
    return f"location {path} {{ handler pgsql pool=p {quoted('connection=' + db.connection)} {quoted('query=' + query)} {settings}; }}\n"


def conf(locations, threads="threads=1"):
    return config("handler_timeout 30s;" + locations, main=f"load_module {MODULE}; thread_pool p {threads};")


def test_rows(weir, db):
    """An object for each row; numbers, texts, truth, JSON and nothing as JSON has them."""
    weir.start(conf(location(db, "/items", "select id, name, price, more from item where id <= :most order by id")
                    + location(db, "/types", """select 1::int2 a, 9223372036854775807 b, 1.5::float4 c, 'NaN'::float8 d, '-Infinity'::numeric e, true f, false g, null h,
                        'a"b\\c'||chr(10)||chr(1)||'ä' i, '[1,"x"]'::json j, '2026-01-02'::date k, array[1,2] l, ''::text m, 12345678901234567890.123456789 n""")
                    + location(db, "/none", "select 1 where false")))
    r = weir.get("/items?most=2")
    assert r.header("content-type") == "application/json"
    assert r.text == ('[{"id":1,"name":"item 1","price":1.5000000000,"more":{"n": 1}},\n'
                      '{"id":2,"name":"item 2","price":3.0000000000,"more":{"n": 2}}]\n')
    text = weir.get("/types").text
    assert json.loads(text) == [{"a": 1, "b": 9223372036854775807, "c": 1.5, "d": None, "e": None, "f": True, "g": False, "h": None,
                                 "i": 'a"b\\c\n\x01ä', "j": [1, "x"], "k": "2026-01-02", "l": "{1,2}", "m": "", "n": 12345678901234567890.123456789}]
    assert '"n":12345678901234567890.123456789}' in text
    assert weir.get("/none").text == "[]\n"


def test_parameters(weir, db):
    """From the path, arguments, forms and JSON, in this order; all of their digits; sent beside the statement."""
    weir.start(conf(location(db, "/shops", "select :shop::text shop, :id::int id, :q::text q", "path=/shops/:shop/items/:id")
                    + location(db, "/json", "select :a::text a, :b::numeric b, :c::jsonb c, :d::text d, :e::bool e, :a || '!' again")
                    + location(db, "/name", "select id from item where name = :name -- :not one\n and ':nor' <> $$ :this $$ and :name::text = :name /* :or that */")))
    assert weir.get("/shops/a%20b/items/7?q=%27x&shop=no").json() == [{"shop": "a b", "id": 7, "q": "'x"}]
    for path in ("/shops/a/items", "/shops//items/7?q=1", "/shops/a/items/7/?q=1", "/shops/a/things/7?q=1", "/shops/a/items/7/more?q=1"):
        assert weir.get(path).status == 404, path
    body = b'{"a": "x", "b": 123456789012345678901234567890.5, "c": {"k": [1]}, "d": null, "e": true, "unused": 1}'
    r = weir.get("/json", method="POST", body=body, headers=[JSON])
    assert r.json() == [{"a": "x", "b": 123456789012345678901234567890.5, "c": {"k": [1]}, "d": None, "e": True, "again": "x!"}]
    assert '"b":123456789012345678901234567890.5' in r.text
    assert weir.get("/json?d=given", method="POST", body=b'{"a":"","b":1,"c":1,"e":"f"}', headers=[JSON]).json()[0]["d"] == "given"
    assert weir.get("/name", method="POST", body=b"name=item+3", headers=[FORM]).json() == [{"id": 3}]
    assert weir.get("/name?name=item%203%27%20or%201=1--").json() == []


@pytest.mark.parametrize("request_, status, says", [
    ({"target": "/one"}, 400, 'parameter "id" is missing'), ({"target": "/one?id=x"}, 400, 'invalid input syntax for type integer: "x"'),
    ({"target": "/one?id=99999999999"}, 400, "out of range"), ({"target": "/one?id=%FF"}, 400, "invalid byte sequence"),
    ({"target": "/one", "body": b"{", "headers": [JSON]}, 400, "invalid input syntax for type json"),
    ({"target": "/one", "body": b"[1]", "headers": [JSON]}, 400, "cannot deconstruct an array as an object"),
    ({"target": "/one", "body": b'{"id":1}\0', "headers": [JSON]}, 400, "invalid input syntax for type json"),
    ({"target": "/one?id=1%00"}, 400, 'parameter "id" has a zero in it'), ({"target": "/one", "headers": [JSON], "body": b""}, 400, "invalid input syntax"),
    ({"target": "/add?name=item%201"}, 409, "duplicate key value"),
])
def test_mistakes_of_clients(weir, db, request_, status, says):
    """They are told what was wrong, and the log does not fill with it; the connection stays."""
    weir.start(conf(location(db, "/one", "select :id::int id") + location(db, "/add", "insert into item (name) values (:name)", "write=on")))
    assert weir.get("/one?id=1").status == 200
    before = db.backends()
    if "body" in request_:
        request_ = {"method": "POST", **request_}
    r = weir.get(request_["target"], **{key: value for key, value in request_.items() if key != "target"})
    assert r.status == status and says in r.json()["error"]
    assert weir.get("/one?id=2").json() == [{"id": 2}]
    assert before.keys() <= db.backends().keys()


def test_the_path_comes_first(weir, db):
    """Nothing takes the place of what the path says: who guards a path guards what is asked."""
    weir.start(conf(location(db, "/shops", "select :shop::text shop, :q::text q", "path=/shops/:shop")))
    for body, kind in ((b'{"shop": "8", "q": "x"}', JSON), (b'{"shop": null, "q": "x"}', JSON), (b"shop=8&q=x", FORM)):
        assert weir.get("/shops/7?shop=9", method="POST", body=body, headers=[kind]).json() == [{"shop": "7", "q": "x"}]
    assert weir.get("/shops/7%00?q=1").status in (400, 404)


def test_a_table_that_changes(weir, db):
    """What was prepared for the old one is made anew, also where it writes."""
    weir.start(conf(location(db, "/reads", "select * from item where id = :id::int") + location(db, "/writes", "update item set name = name where id = :id::int returning *", "write=on")))
    for _ in range(2):
        assert len(weir.get("/reads?id=1").json()) == len(weir.get("/writes?id=1").json()) == 1
        db.sql(f"alter table item add column more{os.urandom(4).hex()} int")
    assert len(weir.get("/reads?id=1").json()) == len(weir.get("/writes?id=1").json()) == 1


def test_a_lock_that_a_statement_waits_for(weir, db):
    """While it is prepared already: the server is asked to stop, and no thread nor connection is left."""
    weir.expect_log("timed out|canceling statement")
    weir.start(conf(location(db, "/items", "select * from item where id = :id::int"), threads="threads=1..4").replace("30s", "500ms"))
    locked = db.holds("lock table item in access exclusive mode")
    try:
        assert [weir.get("/items?id=1").status for _ in range(4)] == [504] * 4
        wait_until(lambda: "active" not in db.backends().values(), 10, "the end of all statements")
        wait_until(lambda: weir.pool("p")["threads"]["running"] + weir.pool("p")["threads"]["stuck"] == 0, 10, "the end of all threads' work")
    finally:
        locked.kill()
        locked.wait()
    wait_until(lambda: weir.get("/items?id=1").status == 200, 10, "rows again")


def test_an_error_behind_the_first_row(weir, db):
    """The log says why; the client sees that there is no answer."""
    weir.expect_log("division by zero|begun to answer")
    weir.start(conf(location(db, "/some", "select 1 / (5 - i) n from generate_series(1, 10) i")))
    assert weir.get("/some").status == 400
    weir.wait_log(r'\[error\].*handler "pgsql": division by zero')


def test_mistakes_of_the_server(weir, db):
    """A query that is wrong is 500, a writing one where it may not; the reason is the log's alone."""
    weir.expect_log('relation "nothing" does not exist|read-only transaction|division by zero|cannot be|COPY')
    weir.start(conf(location(db, "/wrong", "select * from nothing") + location(db, "/reads", "delete from item returning id")
                    + location(db, "/writes", "delete from item where id = :id", "write=on") + location(db, "/fine", "select 1 as one")
                    + location(db, "/copy", "copy item to stdout")))
    r = weir.get("/wrong")
    assert (r.status, r.json()) == (500, {"error": "the query failed"})
    weir.wait_log(r'\[error\].*handler "pgsql": (ERROR:  )?relation "nothing" does not exist')
    assert weir.get("/reads").json() == {"error": "the query failed"}
    weir.wait_log("cannot execute DELETE in a read-only transaction")
    assert weir.get("/copy").status == 500
    assert weir.get("/writes?id=3").json() == {"rows": 1}
    assert weir.get("/writes?id=3").json() == {"rows": 0}
    assert weir.get("/fine").json() == [{"one": 1}] and db.sql("select count(*) from item") == "4"


def test_a_connection_for_each_thread(weir, db):
    """Kept with its statement prepared; as many as threads, and none more."""
    weir.start(conf(location(db, "/pid", "select pg_backend_pid() pid, pg_sleep(0.02)::text"), threads="threads=3"))
    with concurrent.futures.ThreadPoolExecutor(9) as clients:
        pids = {rows[0]["pid"] for rows in clients.map(lambda _: weir.get("/pid").json(), range(60))}
    assert 1 < len(pids) <= 3 and pids == set(db.backends())


def test_large_results_are_streamed(weir, db):
    """Rows go out before the last one is there; the worker does not hold them."""
    weir.start(conf(location(db, "/many", "select i, repeat('x', 1000) text from generate_series(1, 40000) i")))
    [worker] = weir.worker_pids()
    rows = weir.get("/many", timeout=60).json()
    assert len(rows) == 40000 and rows[-1]["i"] == 40000
    peak_kb = int(weirlib.proc_field(worker, "VmHWM").split()[0])
    assert peak_kb < 40000 * 1000 / 1024 or weirlib.BINARY.parent.name != "asserts"


def test_the_client_goes(weir, db):
    """The server is asked to stop, and the connection serves on."""
    weir.start(conf(location(db, "/sleep", "select pg_sleep(60)::text, pg_backend_pid() pid") + location(db, "/many", "select repeat('x', 1000) from generate_series(1, 100000000)")
                    + location(db, "/pid", "select pg_backend_pid() pid")))
    for path in ("/sleep", "/many"):
        client = Connection(weir.port)
        client.request(path)
        wait_until(lambda: "active" in db.backends().values(), 5, "the query")
        client.close()
        wait_until(lambda: "active" not in db.backends().values(), 10, "its end")
    wait_until(lambda: weir.pool("p")["threads"]["running"] == 0, 5, "the thread's end")
    assert weir.get("/pid").status == 200 and len(db.backends()) == 3


def test_the_time_is_over(weir, db):
    """504 for the client, and the server is asked to stop; it would by itself a little later."""
    weir.expect_log("timed out")
    weir.start(conf(location(db, "/sleep", "select pg_sleep(60)::text", ) + location(db, "/timeout", "select current_setting('statement_timeout') t"))
               .replace("30s", "800ms"))
    assert weir.get("/sleep").status == 504
    wait_until(lambda: "active" not in db.backends().values(), 10, "the query's end")
    shown = weir.get("/timeout").json()[0]["t"]
    assert shown == "832ms" or 640 <= int(shown.removesuffix("ms")) <= 832, shown


def test_the_server_is_started_anew(weir, db):
    """Requests between two of them are told so; the next one connects again, also where a query ran."""
    weir.expect_log("No such file|terminat|Connection refused|shut|server closed|starting up")
    weir.start(conf(location(db, "/one", "select 1 as one") + location(db, "/add", "insert into item (name) values (:name)", "write=on"), threads="threads=2"))
    assert weir.get("/one").status == weir.get("/add?name=new").status == 200
    db.stop()
    r = weir.get("/one")
    assert (r.status, r.json()) == (503, {"error": "the database cannot be reached"})
    db.start()
    assert weir.get("/one").json() == [{"one": 1}] and weir.get("/add?name=newer").json() == {"rows": 1}
    db.stop(signal.SIGQUIT)
    db.start()
    assert weir.get("/one").json() == [{"one": 1}] and weir.get("/add?name=newest").json() == {"rows": 1}


def test_a_connection_that_ends_under_a_query(weir, db):
    """What reads is asked again, and the client sees nothing of it; what writes is not."""
    weir.expect_log("terminating connection")
    query = "select pg_sleep(case when (select count(*) from item) = 5 then 60 else 0 end)::text, 1 as one"
    weir.start(conf(location(db, "/reads", query) + location(db, "/writes", "insert into item (name) " + query.replace(", 1 as one", ""), "write=on")))
    for path in ("/reads", "/writes"):
        with Connection(weir.port) as client:
            client.request(path)
            wait_until(lambda: "active" in db.backends().values(), 5, "the query")
            [busy] = [pid for pid, state in db.backends().items() if state == "active"]
            if path == "/reads":
                db.sql("insert into item (name) values ('six')")
            db.sql(f"select pg_terminate_backend({busy})")
            r = client.response()
        if path == "/reads":
            assert r.status == 200 and r.json()[0]["one"] == 1
            db.sql("delete from item where name = 'six'")
        else:
            assert r.status == 500
    assert db.sql("select count(*) from item") == "5"


@pytest.mark.parametrize("settings, says", [
    ('"connection=hots=x" "query=select 1"', 'invalid connection: invalid connection option "hots"'),
    ('"connection=host=x"', "it needs connection=WORDS and query=SQL"), ('"query=select 1"', "it needs connection=WORDS and query=SQL"),
    ('connection= "query=select $1"', "parameters have names here: write :name in place of $1"),
    ('connection= "query=select 1" path=x', 'setting "path"'), ('connection= "query=select 1" write=yes', 'setting "write"'),
    ('connection= "query=select 1" colour=red', 'setting "colour"'),
    ('connection= "query=select ' + ",".join(f":p{i}" for i in range(101)) + '"', "it has more than 100 parameters"),
])
def test_settings_are_checked_by_t(weir, settings, says):
    assert says in weir.mistake(config(f"location / {{ handler pgsql {settings}; }}", main=f"load_module {MODULE};"), "location / ")


def test_a_database_that_is_away_at_the_start(weir, tmp_path):
    """The server starts all the same, and says so to who asks."""
    weir.expect_log("No such file or directory")
    weir.start(config(f'location / {{ handler pgsql "connection=host={tmp_path}" "query=select 1"; }}', main=f"load_module {MODULE};"))
    assert weir.get("/").status == 503
    weir.wait_log(r'\[error\].*handler "pgsql": connection to server on socket')


def test_no_descriptor_is_left(weir, db):
    """Threads that end close what they have."""
    weir.start(conf(location(db, "/one", "select 1 as one"), threads="threads=0..4 idle_timeout=1s"))
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda _: weir.get("/one").status, range(40)))
    [worker] = weir.worker_pids()
    before = len(open_files(worker))
    wait_until(lambda: not db.backends(), 10, "the end of the connections")
    assert len(open_files(worker)) < before
