"""limit_conn: who counts and who is refused, by key and over all workers, and what is left when something goes away."""

import contextlib
import os
import signal

import pytest

from keyed import check_mistake, eventually, hold, keyed, logged, respawn, said, serve, wait_said
from limits import SPREAD, TALLY, open_gate, runs, send, spread, statuses
from weirlib import PROTOCOL, alive, config, limit, wait_until
from wire import head, post

ZONE = "limit_conn_zone $arg_k zone=addr:1m;"
HELD = f"location /held {{ limit_conn addr 1; {TALLY} }} location /free {{ {TALLY} }}"
REFUSED = 'limiting connections by zone "addr"'


def limited(number, more=""):
    return f"location /held {{ limit_conn addr {number}; {more} {TALLY} }}"


# ---- who counts ---------------------------------------------------------------------------------------------

@pytest.mark.directive("limit_conn")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_as_many_as_the_limit_for_each_key(weir, workers):
    """Of many requests at a time, over all workers, as many as the limit pass for each key, and no other."""
    serve(weir, ZONE, limited(3), workers=workers, listen=SPREAD)
    connections = [one for some in spread(weir, workers, 40 // workers).values() for one in some]
    send(weir, [f"/held?k={'ab'[i // 2 % 2]}&id={i}&gate=g" for i in range(40)], connections)
    wait_said(weir, REFUSED, 34)
    wait_until(lambda: len(runs(weir)) == 6, 3, "all admitted requests run")
    open_gate(weir)
    found = statuses(connections)
    assert (found.count(200), found.count(503)) == (6, 34)
    (weir.tmp / "tally.g").unlink()
    again = [one for key in "ab" for one in hold(weir, [f"/held?k={key}"] * 3)]
    assert [weir.get(f"/held?k={key}").status for key in "ab"] == [503, 503]
    open_gate(weir)
    assert statuses(again) == [200] * 6


@pytest.mark.http1_only
def test_a_connection_counts_while_its_request_is_at_work(weir):
    """Idle connections and half a head do not count; the next request of the same connection does again."""
    serve(weir, ZONE, HELD)
    with weir.connect() as idle, weir.connect() as half:
        assert idle.get("/held?k=a").status == 200
        half.send("GET /held?k=a HTTP/1.1\r\nHost: a\r\n")
        half.wait_taken()
        [held] = hold(weir, ["/held?k=a"])
        assert idle.get("/held?k=a").status == 503
        half.send("\r\n")
        assert half.response().status == 503
        open_gate(weir)
        assert held.response().status == 200
        assert idle.get("/held?k=a").status == 200
        idle.send(head("GET /held?k=a HTTP/1.1") * 20)
        assert [idle.response().status for _ in range(20)] == [200] * 20


def test_counts_until_the_answer_has_gone(weir):
    """A client that takes its file slowly counts until it has got all of it."""
    serve(weir, ZONE, "location / { limit_conn addr 1; root html; }", server="sendfile on;")
    with open(weir.tmp / "html/large", "wb") as file:
        file.truncate(16 << 20)  # more than the sockets take
    with weir.connect() as slow:
        slow.request("/large?k=a", headers=[("Connection", "close")])
        slow.wait_taken()
        for _ in range(3):
            assert weir.get("/file?k=a").status == 503
        assert weir.get("/file?k=b").status == 200
        assert len(slow.until_close()) > 16 << 20
        eventually(weir, "/file?k=a")


def test_counts_from_the_end_of_the_head_on(weir):
    """A connection counts once the whole head has been read, while its body is still on the way."""
    serve(weir, ZONE, HELD)
    with weir.connect() as slow:
        slow.send(post("/held?k=a", "Content-Length: 5", body=b"ab"))
        slow.wait_taken()
        assert weir.get("/held?k=a").status == 503


@pytest.mark.directive("limit_conn_zone")
def test_waiting_for_a_permit_counts(weir):
    """A request in the queue of limit_concurrency counts as a connection; both limits are given back."""
    zones = ZONE + "limit_concurrency_zone c limit=1 queue=5 queue_timeout=20s;"
    serve(weir, zones, limited(2, "limit_concurrency c;"))
    held = hold(weir, ["/held?k=a"])
    held += send(weir, ["/held?k=a&gate=g"])
    wait_until(lambda: weir.status()["concurrency"]["c"]["queued"] == 1, 3, "one waits")
    assert weir.get("/held?k=a").status == 503
    open_gate(weir)
    assert statuses(held) == [200, 200]
    wait_until(lambda: weir.status()["concurrency"]["c"]["in_flight"] == 0, 3, "the end")
    assert weir.get("/held?k=a").status == 200


def test_the_connection_of_a_client_that_left(weir):
    """When the client leaves its connection counts no more, though its handler still runs."""
    serve(weir, ZONE, HELD)
    [leaver] = hold(weir, ["/held?k=a&id=left"])
    assert weir.get("/held?k=a").status == 503
    leaver.close()
    eventually(weir, "/held?k=a&id=next")
    assert [run.end for run in runs(weir) if run.id == "left"] == [None]
    assert logged(weir, "/held?k=a&id=left&gate=g") == [("499", "PASSED", "-")]
    open_gate(weir)
    wait_until(lambda: runs(weir)[0].end, 3, "the handler's end")
    assert weir.get("/held?k=a").status == 200


def test_a_handler_that_took_too_long(weir):
    """After its 504 a connection counts no more."""
    weir.expect_log("timed out")
    serve(weir, ZONE, limited(1, "handler_timeout 200ms;"))
    assert weir.get("/held?k=a&gate=g").status == 504
    assert weir.get("/held?k=a").status == 200
    open_gate(weir)


def test_without_a_master(weir):
    """A single process without a master limits, too."""
    weir.launch(keyed(ZONE, HELD), directives="daemon off; master_process off;")
    wait_until(lambda: weir.accepts(weir.port), 10, "a server")
    held = hold(weir, ["/held?k=a"])
    assert weir.get("/held?k=a").status == 503
    open_gate(weir)
    assert statuses(held) == [200]
    assert weir.get("/held?k=a").status == 200


# ---- keys ---------------------------------------------------------------------------------------------------

def test_empty_keys_are_not_counted(weir):
    """A request whose key is empty passes, is not counted, and its variable says that no limit was asked."""
    serve(weir, ZONE, HELD)
    held = hold(weir, ["/held?id=1", "/held?k=&id=2", "/held?id=3"])
    assert weir.get("/held?id=4").status == 200
    assert not said(weir, "limiting|bytes")
    assert logged(weir, "/held?id=4") == [("200", "-", "-")]
    open_gate(weir)
    assert statuses(held) == [200] * 3


@pytest.mark.parametrize("length", [1, 24, 25, 64, 65, 254, 255])
def test_keys_of_each_length(weir, length):
    """Keys up to 255 bytes are told apart by their last byte and by their length."""
    serve(weir, ZONE, HELD)
    key = "k" * length
    held = hold(weir, [f"/held?k={key}"])
    assert weir.get(f"/held?k={key}").status == 503
    assert weir.get(f"/held?k={key[:-1]}x").status == 200
    assert weir.get(f"/held?k={key[:-1]}").status == 200
    open_gate(weir)
    assert statuses(held) == [200]


def test_keys_that_are_too_long(weir):
    """A key of more than 255 bytes is an error in the log and not counted."""
    serve(weir, ZONE, HELD)
    key = "k" * 256
    held = hold(weir, [f"/held?k={key}&id={i}" for i in range(3)])
    for line in wait_said(weir, "bytes", 3):
        assert "[error]" in line and f'the value of the "$arg_k" key is more than 255 bytes: "{key}", client: ' in line
    open_gate(weir)
    assert statuses(held) == [200] * 3


def test_binary_addresses_as_keys(weir):
    """The usual key, $binary_remote_addr, counts by client."""
    serve(weir, "limit_conn_zone $binary_remote_addr zone=addr:10m;", HELD)
    held = hold(weir, ["/held?id=1"])
    assert weir.get("/held").status == 503
    open_gate(weir)
    assert statuses(held) == [200]


def test_keys_of_several_parts(weir):
    """A key may be made of text and several variables."""
    serve(weir, "limit_conn_zone $arg_k-$http_user_agent zone=addr:1m;", HELD)
    held = hold(weir, ["/held?k=a"])
    assert weir.get("/held?k=a").status == 503
    assert weir.get("/held?k=a", headers=[("User-Agent", "other")]).status == 200
    open_gate(weir)
    assert statuses(held) == [200]


# ---- where and how ------------------------------------------------------------------------------------------

TWO = "limit_conn_zone $arg_a zone=a:1m; limit_conn_zone $arg_b zone=b:1m;"


def test_several_zones(weir):
    """The first zone that refuses decides, and what the zones before it took is given back."""
    serve(weir, TWO, f"""location /both {{ limit_conn a 1; limit_conn b 1; {TALLY} }}
                         location /a {{ limit_conn a 1; {TALLY} }} location /b {{ limit_conn b 1; {TALLY} }}""")
    held = hold(weir, ["/b?b=x"])
    for _ in range(3):
        assert weir.get("/both?a=y&b=x").status == 503
    wait_said(weir, 'limiting connections by zone "b"', 3)
    held += hold(weir, ["/a?a=y"])
    assert weir.get("/both?a=y&b=x").status == 503
    wait_said(weir, 'limiting connections by zone "a"')
    assert len(said(weir, "limiting")) == 4
    assert weir.get("/both?b=z").status == 200  # the other's key is empty
    held += hold(weir, ["/both?a=1&b=1"])
    assert [weir.get(target).status for target in ("/a?a=1", "/b?b=1", "/both?a=2&b=1")] == [503] * 3
    open_gate(weir)
    assert statuses(held) == [200] * 3
    assert [weir.get(target).status for target in ("/both?a=y&b=x", "/a?a=1", "/b?b=1")] == [200] * 3


@pytest.mark.parametrize("level", ["http", "server"])
def test_inherited_only_where_a_level_has_none(weir, level):
    """A location without limit_conn has that of the level above; one of its own replaces all of those."""
    locations = f"""location /inherits {{ {TALLY} location /inherits/own {{ limit_conn b 1; {TALLY} }} }}
                    location /own {{ limit_conn b 1; {TALLY} location /own/inner {{ {TALLY} }} }}"""
    serve(weir, TWO, locations, **{level: "limit_conn a 1;"})
    held = hold(weir, ["/inherits?a=x&b=x"])
    assert weir.get("/inherits?a=x&b=x").status == 503
    owns = [f"/{name}?a=x&b=x" for name in ("own", "own/inner", "inherits/own")]
    assert [weir.get(target).status for target in owns] == [200] * 3
    held += hold(weir, owns[1:2])
    assert [weir.get(target).status for target in owns] == [503] * 3
    open_gate(weir)
    assert statuses(held) == [200, 200]


@pytest.mark.directive("limit_conn_status")
@pytest.mark.parametrize("level", ["http", "server", "location"])
def test_status_of_refusals(weir, level):
    """limit_conn_status changes the code of refusals, at every level; a refused connection stays usable."""
    serve(weir, ZONE, limited(1, "limit_conn_status 429;" if level == "location" else ""),
          **{} if level == "location" else {level: "limit_conn_status 429;"})
    held = hold(weir, ["/held?k=a"])
    with weir.connect() as connection:
        for _ in range(3):
            assert connection.get("/held?k=a").status == 429
        assert connection.get("/held?k=b").status == 200
    open_gate(weir)
    assert statuses(held) == [200]


@pytest.mark.directive("limit_conn_dry_run")
def test_dry_run(weir):
    """A dry run refuses nobody, says in log and variable whom it would have, and does not count them."""
    serve(weir, ZONE, limited(1, "limit_conn_dry_run on;") + f"location /real {{ limit_conn addr 1; {TALLY} }}")
    held = hold(weir, ["/held?k=a&id=0"])
    assert weir.get("/held?k=a&id=1").status == 200
    [line] = wait_said(weir, "limiting")
    assert 'limiting connections, dry run, by zone "addr", client: 127.0.0.1' in line and "[error]" in line
    more = hold(weir, ["/held?k=a&id=2"])
    assert weir.get("/real?k=a").status == 503
    held.pop().close()
    eventually(weir, "/real?k=a")  # the second one still runs
    open_gate(weir)
    assert statuses(more) == [200]
    assert logged(weir, "/held?k=a&id=1") == [("200", "REJECTED_DRY_RUN", "-")]


@pytest.mark.directive("limit_conn_log_level")
@pytest.mark.parametrize("level", ["info", "notice", "warn", "error"])
def test_log_level(weir, level):
    """A refusal is one line of the level given, in nginx's words."""
    serve(weir, ZONE, limited(1, f"limit_conn_log_level {level};"), log="info")
    held = hold(weir, ["/held?k=a"])
    assert weir.get("/held?k=a&id=x").status == 503
    [line] = wait_said(weir, "limiting")
    assert f"[{level}] " in line
    assert line.endswith(' limiting connections by zone "addr", client: 127.0.0.1, server: , '
                         f'request: "GET /held?k=a&id=x {PROTOCOL}", host: "localhost"')
    open_gate(weir)
    assert statuses(held) == [200]


def test_variable(weir):
    """$limit_conn_status: PASSED, REJECTED, nothing where no limit applies."""
    serve(weir, ZONE, HELD)
    held = hold(weir, ["/held?k=a"])
    assert weir.get("/held?k=a").status == 503
    assert weir.get("/free?k=a").status == 200
    open_gate(weir)
    assert statuses(held) == [200]
    assert logged(weir, "/held?k=a&gate=g") == [("200", "PASSED", "-")]
    assert logged(weir, "/held?k=a") == [("503", "REJECTED", "-")]
    assert logged(weir, "/free?k=a") == [("200", "-", "-")]


def test_never_for_return_and_status(weir):
    """`return`, status and stub_status are never refused; files and handlers are."""
    serve(weir, ZONE, f"""location / {{ root html; }} location /held {{ {TALLY} }} location /text {{ return 200 text; }}
                          location = /stub {{ stub_status; }}""", server="limit_conn addr 1;")
    held = hold(weir, ["/held?k=a"])
    assert [weir.get(f"{target}?k=a").status for target in ("/file", "/none", "/held")] == [503] * 3
    assert [weir.get(f"{target}?k=a").status for target in ("/text", "/stub", "/status")] == [200] * 3
    open_gate(weir)
    assert statuses(held) == [200]


def test_asked_once_for_each_request(weir):
    """An error page and an index file within the same limit are not limited again."""
    (weir.tmp / "html/busy").write_text("busy")
    (weir.tmp / "html/folder").mkdir()
    (weir.tmp / "html/folder/index.html").write_text("index")
    serve(weir, ZONE, f"location / {{ root html; }} location /held {{ {TALLY} }}",
          server="limit_conn addr 1; error_page 503 /busy; error_page 404 =200 /held;")
    for _ in range(3):
        assert weir.get("/folder/?k=a").text == "index"
        assert weir.get("/none?k=a").status == 200
    held = hold(weir, ["/held?k=a"])
    refused = weir.get("/file?k=a")
    assert (refused.status, refused.text) == (503, "busy")
    wait_said(weir, "limiting")
    assert logged(weir, "/file?k=a") == [("503", "REJECTED", "-")]
    open_gate(weir)
    assert statuses(held) == [200]


# ---- when things go away ------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 3])
def test_killed_worker(weir, workers):
    """kill -9 of a worker gives its connections back within a second; those of others go on counting."""
    weir.expect_log("exited on signal")
    serve(weir, ZONE, limited(2), workers=workers, listen=SPREAD)
    (victim, doomed), *others = spread(weir, workers, 3).items()
    hold(weir, ["/held?k=a", "/held?k=a", "/held?k=" + "b" * 255], doomed)
    safe = hold(weir, ["/held?k=b", "/held?k=b"], others[0][1][:2]) if others else []
    assert weir.get("/held?k=a").status == 503
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    assert eventually(weir, "/held?k=a") < limit(1)
    weir.wait_workers(workers)
    again = hold(weir, ["/held?k=a", "/held?k=a"])
    assert weir.get("/held?k=a").status == 503
    if safe:
        assert weir.get("/held?k=b").status == 503
    open_gate(weir)
    assert statuses(again + safe) == [200] * len(again + safe)


def test_reload_keeps_counts(weir):
    """Connections of old workers count beside those of new ones, and once these have ended no more."""
    serve(weir, ZONE, limited(2), workers=2)
    held = hold(weir, ["/held?k=a", "/held?k=a"])
    old = respawn(weir, ZONE, limited(2), workers=2)
    assert any(map(alive, old))
    assert [weir.get("/held?k=a").status for _ in range(3)] == [503] * 3
    old2 = respawn(weir, ZONE, limited(3), workers=1)
    more = hold(weir, ["/held?k=a"])
    assert weir.get("/held?k=a").status == 503
    open_gate(weir)
    assert statuses(held + more) == [200] * 3
    weir.wait_dead(old | old2, 3)
    (weir.tmp / "tally.g").unlink()
    again = hold(weir, ["/held?k=a"] * 3)
    assert weir.get("/held?k=a").status == 503
    open_gate(weir)
    assert statuses(again) == [200] * 3


@pytest.mark.parametrize("zone", ["limit_conn_zone $arg_k zone=addr:2m;", "limit_conn_zone $arg_k$arg_j zone=addr:1m;"])
def test_another_zone_starts_anew(weir, zone):
    """A zone of the same name with another size or another key begins with nothing."""
    serve(weir, ZONE, limited(1))
    held = hold(weir, ["/held?k=a"])
    respawn(weir, zone, limited(1))
    held += hold(weir, ["/held?k=a"])
    assert weir.get("/held?k=a").status == 503
    respawn(weir, ZONE, limited(1))
    assert weir.get("/held?k=a").status == 503  # what the first one holds, it holds still
    open_gate(weir)
    assert statuses(held) == [200, 200]
    eventually(weir, "/held?k=a")


@pytest.mark.directive("limit_conn_dry_run", "limit_conn_log_level")
def test_changes_in_place(weir):
    """Status, dry run and log level change without new workers."""
    serve(weir, ZONE, limited(1))
    held = hold(weir, ["/held?k=a"])
    for more, status, line in (("limit_conn_status 429;", 429, r"\[error\].*connections by"),
                               ("limit_conn_log_level warn;", 503, r"\[warn\].*connections by"),
                               ("limit_conn_dry_run on;", 200, r"\[error\].*connections, dry run, by")):
        assert weir.reload(keyed(ZONE, limited(1, more)))["last_kind"] == "in-place"
        assert weir.get("/held?k=a").status == status
        assert said(weir, line)
    open_gate(weir)
    assert statuses(held) == [200]


@pytest.mark.directive("limit_conn_status")
def test_memory_full_of_keys(weir):
    """When no key fits any more it is refused with limit_conn_status; known keys go on, and room comes back."""
    serve(weir, "limit_conn_zone $arg_k zone=addr:32k;", limited(2, "limit_conn_status 429;"), pool="threads=100")
    keys = [f"{i:0255d}" for i in range(90)]
    connections = send(weir, [f"/held?k={key}&gate=g" for key in keys])
    wait_until(lambda: len(said(weir, "limiting|room|memory")) >= 10, 3, "refusals")
    connections[-1].wait_taken()
    assert weir.get("/held?k=" + "n" * 255).status == 429
    passed = sum(weir.get(f"/held?k={key}").status == 200 for key in keys)  # a second one of each
    open_gate(weir)
    found = statuses(connections)
    assert 60 < passed < 80 and (found.count(200), found.count(429)) == (passed, 90 - passed)
    (weir.tmp / "tally.g").unlink()
    again = hold(weir, [f"/held?k={key}" for key in keys[-20:]])
    open_gate(weir)
    assert statuses(again) == [200] * 20


# ---- configuration ------------------------------------------------------------------------------------------

WRONG = {
    "unknown zone": ("", "limit_conn nowhere 1;", 'unknown zone "nowhere".*limit_conn_zone'),
    "zone of the other kind": ("limit_req_zone $arg_k zone=r:1m rate=1r/s;", "limit_conn r 1;", 'zone "r"'),
    "zone of limit_concurrency": ("limit_concurrency_zone c limit=1;", "limit_conn c 1;", 'zone "c"'),
    "no zone": ("limit_conn_zone $arg_k;", "", "limit_conn_zone.*zone=NAME:SIZE"),
    "no size": ("limit_conn_zone $arg_k zone=a;", "", "zone=a.*zone=NAME:SIZE"),
    "no name": ("limit_conn_zone $arg_k zone=:1m;", "", "zone=:1m.*zone=NAME:SIZE"),
    "too small": ("limit_conn_zone $arg_k zone=a:31k;", "", "zone=a:31k.*32k"),
    "size of letters": ("limit_conn_zone $arg_k zone=a:big;", "", "zone=a:big"),
    "size below 0": ("limit_conn_zone $arg_k zone=a:-1m;", "", "zone=a:-1m"),
    "rate": ("limit_conn_zone $arg_k zone=a:1m rate=1r/s;", "", "rate=1r/s|number of arguments"),
    "unknown parameter": ("limit_conn_zone $arg_k size=1m;", "", "size=1m"),
    "unknown variable": ("limit_conn_zone $nonsense zone=a:1m;", "", "nonsense"),
    "zone twice": ("limit_conn_zone $arg_k zone=a:1m;\nlimit_conn_zone $arg_j zone=a:2m;", "", 'duplicate zone "a"'),
    "zone of both kinds": ("limit_conn_zone $arg_k zone=a:1m;\nlimit_req_zone $arg_k zone=a:1m rate=1r/s;", "", '"a"'),
    "zone in a location": ("", "limit_conn_zone $arg_k zone=a:1m;", "not allowed here.*http"),
    "number of 0": (ZONE, "limit_conn addr 0;", 'number of connections "0".*1 to 65535'),
    "number below 0": (ZONE, "limit_conn addr -1;", '"-1"'),
    "number beyond any": (ZONE, "limit_conn addr 65536;", '"65536".*65535'),
    "number of letters": (ZONE, "limit_conn addr many;", '"many"'),
    "no number": (ZONE, "limit_conn addr;", "number of arguments.*limit_conn"),
    "twice": (ZONE, "limit_conn addr 1;\nlimit_conn addr 2;", "duplicate.*addr"),
    "too many": ("".join(f"limit_conn_zone $arg_k zone=z{i}:1m;" for i in range(9)),
                 "".join(f"limit_conn z{i} 1;" for i in range(9)), 'more than 8 "limit_conn"'),
    "status below 400": ("", "limit_conn_status 399;", "400.*599"),
    "status above 599": ("", "limit_conn_status 600;", "400.*599"),
    "dry run": ("", "limit_conn_dry_run maybe;", "maybe"),
    "log level": ("", "limit_conn_log_level crit;", "crit.*info.*notice.*warn.*error"),
    "log level twice": ("", "limit_conn_log_level warn;\nlimit_conn_log_level info;", "duplicate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(weir, name):
    """A mistake is found by -t: exit code 1, and one line that names what is wrong, the file and the line."""
    check_mistake(weir, *WRONG[name])


def test_unknown_variable_is_said_once(weir):
    """The mistake is the zone's: one line, however many limits use it."""
    uses = "".join(f"location /{i} {{ limit_conn a 1; root html; }}" for i in range(3))
    done = weir.run("-t", conf=config(uses, http="limit_conn_zone $nonsense zone=a:1m;"))
    assert done.returncode == 1 and done.stderr.count("nonsense") == 1


@pytest.mark.parametrize("level", ["http", "server", "location"])
def test_good_directives(weir, level):
    """Every directive is accepted at every level, whatever the order of zone and use."""
    here = "limit_conn addr 65535; limit_conn_status 400; limit_conn_dry_run on; limit_conn_log_level info;"
    conf = config("location / { root html; " + (here if level == "location" else "") + " }",
                  http=(here if level == "http" else "") + "limit_conn_zone $binary_remote_addr zone=addr:32k;",
                  server=here if level == "server" else "")
    assert weir.run("-t", conf=conf).returncode == 0


@pytest.mark.directive("limit_conn_zone")
def test_more_zones_than_there_is_room_for(weir):
    """As many as there is room for are served; -t says in which line there is one too many."""
    zones = [f"limit_conn_zone $arg_k zone=z{i}:32k;\n" for i in range(65)]
    assert weir.mistake(config(http="".join(zones)), zones[64]).startswith('more than 64 zones of "limit_conn_zone"')
    weir.start(config(http="".join(zones[:64])))


@pytest.mark.directive("limit_conn_zone")
def test_zones_of_former_files_make_room(weir):
    """Reloads that rename every zone go on for ever."""
    for turn in range(4):
        zones = "".join(f"limit_conn_zone $arg_k zone=z{turn}-{i}:32k;" for i in range(30))
        conf = config(f"location / {{ limit_conn z{turn}-0 1; root html; }}", http=zones)
        if turn == 0:
            weir.start(conf)
        else:
            assert weir.reload(conf)["last_ok"] is True
        weir.wait_workers(1)
        assert weir.get("/none?k=a").status == 404
