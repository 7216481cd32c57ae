"""Requests for a pool run on the threads of all workers, whichever worker their connections are with."""

import base64
import contextlib
import hashlib
import json
import os
import signal

import modlib
import pytest
from limits import TALLY, highest, limited, open_gate, stopped
from weirlib import alive, config, cpu_seconds, take_time, wait_until

WORKERS, THREADS = 4, 2
ALL = WORKERS * THREADS
SLEEP = "location /sleep { handler sleep; } location /echo { client_max_body_size 64m; handler echo; }"
SLEEPS = 'access_log logs/access.log where; location /sleep { handler sleep; } location /echo { handler echo; }'


def lines(weir):
    return [line.split() for line in (weir.tmp / "logs/access.log").read_text().splitlines()]


def serve(weir, locations=SLEEP, workers=WORKERS, **parts):
    parts.setdefault("pool", f"threads={THREADS} max_queue=1000")
    weir.start(config(locations, workers=workers, **parts))
    weir.wait_workers(workers)


@contextlib.contextmanager
def on_one_worker(weir, count):
    """So many connections, all with one worker, and that worker's pid."""
    one, *others = sorted(weir.worker_pids())
    with contextlib.ExitStack() as stack:
        with stopped(*others):
            clients = [stack.enter_context(weir.connect()) for _ in range(count)]
            for client in clients:
                assert client.get("/none").status == 404
        yield clients, one


def running(weir):
    return weir.pool()["threads"]["running"]


def settled(weir):
    """The pool's tasks, once none is left."""
    def quiet():
        pool = weir.pool()
        now = pool["tasks"]
        return now if pool["threads"]["running"] == 0 and pool["queue"]["length"] == 0 and now["lent"] == now["borrowed"] else None
    tasks = wait_until(quiet, 5, "the end of all tasks, and what is lent here borrowed there")
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "the end of all requests")  # that which asks
    return tasks


def test_all_threads_are_used(weir):
    """As many requests on one worker's connections as there are threads: all run at once."""
    serve(weir)
    with on_one_worker(weir, ALL) as (clients, _):
        for client in clients:
            client.request("/sleep?ms=1500")
        wait_until(lambda: running(weir) == ALL, 3, "a task on each thread")
        assert {client.response().text for client in clients} == {"slept 1500 ms\n"}
    tasks = settled(weir)
    assert tasks["lent"] == tasks["borrowed"] >= ALL - THREADS
    assert tasks["submitted"] == tasks["completed"] == ALL


def test_metrics(weir):
    serve(weir)
    with on_one_worker(weir, ALL) as (clients, _):
        for client in clients:
            client.request("/sleep?ms=100")
        for client in clients:
            client.response()
    lent = settled(weir)["lent"]
    text = weir.get("/status?format=prometheus").text
    assert f'weir_pool_lent_total{{pool="default"}} {lent}\n' in text
    assert f'weir_pool_borrowed_total{{pool="default"}} {lent}\n' in text
    assert 'weir_pool_tasks_total{pool="default",result="completed"} ' + f"{ALL}\n" in text


def test_where_it_ran(weir):
    """The log says in which worker; what no thread has run is in none."""
    serve(weir, SLEEPS, http="log_format where '$uri $status $weir_ran_in';")
    with on_one_worker(weir, ALL) as (clients, _):
        for client in clients:
            client.request("/sleep?ms=500")
        for client in clients:
            assert client.response().status == 200
    assert weir.get("/sleep?ms=x").status == 400
    wait_until(lambda: len(lines(weir)) >= 2 * ALL + 1, 3, "the log")
    ran = [line[2] for line in lines(weir) if line[0] == "/sleep" and line[1] == "200"]
    assert sorted(ran) == sorted(str(slot) for slot in range(WORKERS) for _ in range(THREADS))
    assert {line[2] for line in lines(weir) if line[0] == "/none"} == {"-"}
    assert {line[2] for line in lines(weir) if line[1] == "400"} < {str(slot) for slot in range(WORKERS)}


LIMITED = "location /sleep { limit_concurrency z; limit_concurrency y; handler sleep; }"


def zones(limit, more=""):
    return f"limit_concurrency_zone z limit={limit} {more}; limit_concurrency_zone y limit=100;"


def held(weir, zone="z"):
    return weir.status()["concurrency"][zone]["in_flight"]


def test_requests_with_permits(weir):
    """The permit stays where the connection is; the list says where the request runs."""
    serve(weir, LIMITED, http=zones(64))
    with on_one_worker(weir, ALL) as (clients, one):
        for client in clients:
            client.request("/sleep?ms=700")
        wait_until(lambda: running(weir) == ALL, 3, "a task on each thread")
        found = weir.get("/status?format=json&in_flight=1").json()
        [slot] = [worker["slot"] for worker in found["workers"] if worker["pid"] == one]
        requests = found["concurrency"]["z"]["requests"]
        assert sorted((r["slot"], r["runs_in"]) for r in requests) == sorted(
            (slot, there) for there in range(WORKERS) for _ in range(THREADS))
        assert (held(weir, "z"), held(weir, "y")) == (ALL, ALL)
        assert {client.response().status for client in clients} == {200}
    assert settled(weir)["lent"] >= ALL - THREADS
    assert (held(weir, "z"), held(weir, "y")) == (0, 0)


def test_permits_pass_on_from_a_killed_lender(weir):
    """What runs elsewhere when its worker is killed keeps its permit until it ends: the limit holds."""
    weir.expect_log("exited on signal")
    locations = f"location /held {{ limit_concurrency z; limit_concurrency y; {TALLY} }}"
    weir.start(limited(f"limit={ALL}", locations, http="limit_concurrency_zone y limit=100;", workers=WORKERS,
                       pool=f"threads={THREADS} max_queue=1000"))
    weir.wait_workers(WORKERS)
    with on_one_worker(weir, ALL) as (clients, one), contextlib.ExitStack() as stack:
        for i, client in enumerate(clients):
            client.request(f"/held?id={i}&gate=g")
        wait_until(lambda: running(weir) == ALL, 2, "a task on each thread")
        os.kill(one, signal.SIGKILL)
        weir.wait_workers(WORKERS)
        zone = wait_until(lambda: (now := weir.status()["concurrency"]["z"])["in_flight"] < ALL and now, 1, "the dead one's")
        assert (zone["in_flight"], zone["reclaimed"], held(weir, "y")) == (ALL - THREADS, THREADS, ALL - THREADS)
        found = weir.get("/status?format=json&in_flight=1").json()["concurrency"]["z"]["requests"]
        assert len(found) == ALL - THREADS and all(r["slot"] == r["runs_in"] for r in found)
        more = [stack.enter_context(weir.connect()) for _ in range(THREADS + 1)]
        for client in more:
            client.request("/held?id=more&gate=g")
        wait_until(lambda: running(weir) == ALL, 2, "as many as may run")
        open_gate(weir, "g")
        assert sorted(client.response().status for client in more) == [200] * THREADS + [503]
    wait_until(lambda: (held(weir, "z"), held(weir, "y")) == (0, 0), 3, "the end of all of them")
    assert highest(weir, {one: 0}) <= ALL


def test_permits_when_the_borrower_is_killed(weir):
    """They are still the lender's; the request runs again elsewhere with the same one."""
    weir.expect_log("exited on signal")
    serve(weir, LIMITED, http=zones(64))
    with on_one_worker(weir, ALL) as (clients, one):
        for client in clients:
            client.request("/sleep?ms=1000")
        wait_until(lambda: running(weir) == ALL, 2, "a task on each thread")
        os.kill(next(pid for pid in weir.worker_pids() if pid != one), signal.SIGKILL)
        weir.wait_workers(WORKERS)
        assert held(weir) == ALL
        assert {client.response().status for client in clients} == {200}
    wait_until(lambda: held(weir) == 0, 3, "the end of all of them")
    zone = weir.status()["concurrency"]["z"]
    assert (zone["reclaimed"], zone["admitted"]) == (0, ALL)


def test_waiters_have_permits_that_end_elsewhere(weir):
    """Who waits for a permit gets it when the request that held it has ended, wherever that ran."""
    serve(weir, LIMITED, http=zones(ALL, "queue=100 queue_timeout=20s"))
    with on_one_worker(weir, 5 * ALL) as (clients, _):
        for client in clients:
            client.request("/sleep?ms=100")
        assert {client.response().status for client in clients} == {200}
    settled(weir)
    zone = weir.status()["concurrency"]["z"]
    assert (zone["in_flight"], zone["queued"], zone["admitted"]) == (0, 0, 5 * ALL)


@pytest.mark.parametrize("buffer", ["16k", "4m"])
@pytest.mark.parametrize("size", [0, 1, 5000, 40_000, 70_000, 3_000_000])
def test_bodies(weir, size, buffer):
    """In memory and in files, and what comes back is as it was written."""
    serve(weir, f"location /echo {{ client_max_body_size 64m; client_body_buffer_size {buffer}; handler echo; }} "
                "location /sleep { handler sleep; }")
    with on_one_worker(weir, ALL + 2) as ((*sleepers, first, second), _):
        for sleeper in sleepers[:THREADS]:
            sleeper.request("/sleep?ms=1000")
        wait_until(lambda: running(weir) == THREADS, 3, "busy threads here")
        for mark, client in ((b"a", first), (b"b", second)):
            body = hashlib.sha512(mark).digest() * (size // 64 + 1)
            client.request("/echo", "POST", body=body[:size])
            assert client.response("POST").body == body[:size]
        for sleeper in sleepers[:THREADS]:
            sleeper.response()
    assert settled(weir)["lent"] >= 2


INCLUDES = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
HANDLERS = modlib.handlers(
    many="""long n = atol(weir_arg(r, "n"));
weir_set_header(r, "X-Kind", "many");
weir_set_status(r, 201);
for (long i = 0; i < n; i++) {
    weir_printf(r, "%07ld\\n", i);
    if (i % 512 == 0 && weir_flush(r) < 0)
        return 0;
}
return 0;""",
    fields="""static char text[100001];
memset(text, 'x', 100000);
weir_set_header(r, "X-Large", text);
weir_puts(r, "body");
return 0;""",
    refuse="return 418;",
    fail='weir_fail(r, "no luck");',
    crash="sleep(1); abort();",
    wait="""while (!weir_client_gone(r))
    usleep(1000);
FILE *f = fopen(weir_arg(r, "file"), "w");
fclose(f);
return 0;""",
    pid='FILE *f = fopen(weir_arg(r, "file"), "a");\nfprintf(f, "%d\\n", getpid());\nfclose(f);\nusleep(1000 * atol(weir_arg(r, "ms")));\n'
        'weir_puts(r, "done");\nreturn 0;',
    hang="for (;;)\n    pause();\nreturn 0;",
    slow='usleep(1000 * atol(weir_arg(r, "ms")));\nweir_puts(r, "done");\nreturn 0;',
    mark='FILE *f = fopen(weir_arg(r, "file"), "a");\nfputs(weir_arg(r, "mark") ? weir_arg(r, "mark") : "x", f);\nfclose(f);\nusleep(1000 * atol(weir_arg(r, "ms")));\n'
         'weir_puts(r, "marked");\nreturn 0;')


@pytest.fixture
def module(weir):
    """A module with the handlers above, and the configuration that has them."""
    path = modlib.build(weir.tmp, HANDLERS, head=INCLUDES)
    names = ("many", "fields", "refuse", "fail", "crash", "wait", "pid", "hang", "slow", "mark")

    def start(workers=WORKERS, locations="", **parts):
        serve(weir, SLEEPS + "".join(f" location /{name} {{ handler {name}; }}" for name in names) + locations, workers,
              main=f"load_module {path};", http="log_format where '$uri $status $weir_ran_in';", **parts)
    return start


@contextlib.contextmanager
def busy_here(weir, more, ms=2000):
    """All threads of one worker are at work, and so many more connections are with it."""
    with on_one_worker(weir, THREADS + more) as (clients, one):
        for client in clients[:THREADS]:
            client.request(f"/sleep?ms={ms}")
        wait_until(lambda: running(weir) == THREADS, 3, "busy threads here")
        yield clients[THREADS:], one
        for client in clients[:THREADS]:
            with contextlib.suppress(EOFError, OSError):
                client.response()


def test_a_stream(weir, module):
    """More than is sent ahead of a client, to one that takes it and one that leaves; status and fields are the handler's."""
    module()
    with busy_here(weir, 2) as ((taker, leaver), _):
        for client in (taker, leaver):
            client.request("/many?n=600000")
        assert leaver.socket.recv(1000).startswith(b"HTTP/1.1 201 Created")
        leaver.close()
        answer = taker.response()
        assert (answer.status, answer.header("X-Kind")) == (201, "many")
        assert answer.body == b"".join(b"%07d\n" % i for i in range(600_000))
    settled(weir)


def test_a_client_that_takes_nothing(weir, module):
    """The handler waits elsewhere, as it does here: memory stays bounded."""
    module(workers=2)
    with busy_here(weir, 1, ms=3000) as ((client,), _):
        before = weir.status()["memory"]["allocated_bytes"]
        client.socket.setsockopt(1, 8, 4096)
        client.request("/many?n=8000000")
        client.socket.recv(100)
        wait_until(lambda: running(weir) == THREADS + 1, 2, "the stream")
        assert weir.status()["memory"]["allocated_bytes"] < before + (30 << 20)
        client.close()
    settled(weir)


def test_large_fields(weir, module):
    """A head of 100 KB comes back whole."""
    module()
    with busy_here(weir, 1) as ((client,), _):
        answer = client.get("/fields")
        assert (answer.status, answer.header("X-Large"), answer.text) == (200, "x" * 100_000, "body")
    assert settled(weir)["lent"] >= 1


def test_it_goes_on(weir):
    """Offers that come to nothing, as a request begins at home just then, are offered again."""
    serve(weir, workers=2, pool="threads=1 max_queue=100", http="keepalive_requests 100000;")
    with on_one_worker(weir, 2) as (clients, _):
        for _ in range(3000):
            for client in clients:
                client.request("/sleep?ms=1")
            for client in clients:
                client.response()
        before = settled(weir)["lent"]
        for _ in range(20):
            for client in clients:
                client.request("/sleep?ms=30")
            wait_until(lambda: running(weir) == 2, 3, "both threads at work")
            for client in clients:
                client.response()
        assert settled(weir)["lent"] >= before + 10


@pytest.mark.parametrize("path, status", [("/refuse", 418), ("/fail", 500), ("/sleep?ms=x", 400)])
def test_answers_that_are_none(weir, module, path, status):
    module()
    if path == "/fail":
        weir.expect_log("no luck")
    with busy_here(weir, 1) as ((client,), _):
        assert client.get(path).status == status
    assert settled(weir)["lent"] >= 1


def test_the_client_leaves(weir, module):
    """The thread elsewhere hears of it."""
    module()
    seen = weir.tmp / "seen"
    with busy_here(weir, 1) as ((client,), _):
        client.request(f"/wait?file={seen}")
        wait_until(lambda: running(weir) == THREADS + 1, 3, "the handler")
        client.close()
        wait_until(seen.exists, 3, "a handler that knows")
    settled(weir)


def test_handler_timeout(weir, module):
    """504 in its time; the thread elsewhere counts as stuck until it returns."""
    weir.expect_log("timed out")
    module(locations=" location /late { handler_timeout 200ms; handler slow; }")
    with busy_here(weir, 1) as ((client,), _):
        assert client.get("/late?ms=1000").status == 504
        wait_until(lambda: weir.pool()["threads"]["stuck"] == 1, 3, "a stuck thread")
        wait_until(lambda: weir.pool()["threads"]["stuck"] == 0, 3, "its end")
    settled(weir)


@pytest.mark.parametrize("method, status", [("GET", 200), ("POST", 502)])
def test_the_lender_of_the_thread_is_killed(weir, module, method, status):
    """What may run twice does, once; the other is an error that the log explains."""
    weir.expect_log("exited on signal 9")
    weir.expect_log("has died while it ran handler")
    module()
    pids = weir.tmp / "pids"
    pids.touch(0o666)
    pids.chmod(0o666)
    with busy_here(weir, 1, ms=3000) as ((client,), one):
        client.request(f"/pid?file={pids}&ms=1000", method, body=b"" if method == "POST" else None)
        first = int(wait_until(pids.read_text, 3, "the handler"))
        assert first != one
        os.kill(first, signal.SIGKILL)
        assert client.response(method).status == status
    assert len(pids.read_text().split()) == (2 if method == "GET" else 1)
    assert ("has died while it ran handler" in weir.error_log) == (status == 502)


def test_the_borrower_is_killed(weir, module):
    """The thread elsewhere is told that nobody waits."""
    weir.expect_log("exited on signal 9")
    module()
    seen = weir.tmp / "seen"
    with busy_here(weir, 1) as ((client,), one):
        client.request(f"/wait?file={seen}")
        wait_until(lambda: running(weir) == THREADS + 1, 3, "the handler")
        os.kill(one, signal.SIGKILL)
        wait_until(seen.exists, 3, "a handler that knows")
    wait_until(lambda: not alive(one), 3, "its end")
    weir.wait_workers(WORKERS)
    wait_until(lambda: running(weir) == 0, 5, "idle threads")


def test_a_handler_that_crashes(weir, module):
    """A worker dies of it, and a second one: not all of them."""
    weir.expect_log("exited on signal 6|has died while it ran|was running handler|soon after its start")
    module()
    with busy_here(weir, 1, ms=5000) as ((client,), one):
        client.request("/crash")
        with contextlib.suppress(EOFError, OSError):
            assert client.response().status == 502
    assert len([line for line in weir.error_log.splitlines() if "exited on signal 6" in line]) <= 2


def test_a_stopped_worker(weir, module):
    """It has threads that are free, and begins nothing: others run it."""
    module(workers=3)
    with busy_here(weir, 4) as (clients, one):
        other = min(weir.worker_pids() - {one})
        with stopped(other):
            for client in clients:
                client.request("/slow?ms=10")
            for client in clients:
                assert client.response().text == "done"
    settled(weir)


def test_no_refusal_while_a_thread_is_idle(weir):
    """Where nothing may wait, threads elsewhere take what there is no room for here."""
    serve(weir, pool=f"threads={THREADS} max_queue=0")
    with on_one_worker(weir, ALL) as (clients, _):
        for client in clients:
            client.request("/sleep?ms=800")
        assert {client.response().status for client in clients} == {200}
    assert settled(weir)["rejected"]["queue_full"] == 0


def test_the_oldest_goes_first(weir, module):
    """Of those that wait in two workers."""
    module(workers=2, pool="threads=1 max_queue=100")
    order = weir.tmp / "order"
    order.touch()
    order.chmod(0o666)
    with contextlib.ExitStack() as stack:
        pids = sorted(weir.worker_pids())
        sides = []
        for one, other in (pids, reversed(pids)):
            with stopped(other):
                clients = [stack.enter_context(weir.connect()) for _ in range(7)]
                for client in clients:
                    client.get("/none")
            sides.append(clients)
        for side in sides:  # both threads are busy
            side[0].request("/sleep?ms=700")
        wait_until(lambda: running(weir) == 2, 3, "busy threads")
        waiting = [side[i] for side in sides for i in range(1, 7)]  # all of one worker before all of the other
        for i, client in enumerate(waiting):
            client.request(f"/mark?file={order}&ms=50&mark={'abcdefghijkl'[i]}")
            wait_until(lambda n=i: weir.pool()["queue"]["length"] == n + 1, 3, "a request more that waits")
            take_time(0.01)  # so much older that it counts
        for client in [*waiting, *(side[0] for side in sides)]:
            assert client.response().status == 200
    marks = order.read_text()
    # Two run at a time, and which of them writes first is chance; a slow machine may let one go before its turn.
    early = [mark for i, mark in enumerate(marks) if abs(i - ord(mark) + ord("a")) > 1]
    assert sorted(marks) == list("abcdefghijkl") and len(early) <= 2, marks


@pytest.mark.directive("auth_basic")
def test_passwords_and_questions(weir):
    """Checks of passwords, and what auth_request asks, run elsewhere as well."""
    digest = base64.b64encode(hashlib.sha1(b"secret").digest()).decode()
    weir.write(f"user:{{SHA}}{digest}\n", "conf/users")
    serve(weir, "location /sleep { handler sleep; } location = /ask { internal; handler sleep; } "
                "location /basic { auth_basic x; auth_basic_user_file conf/users; } location /asked { auth_request /ask; }")
    right = ("Authorization", "Basic " + base64.b64encode(b"user:secret").decode())
    wrong = ("Authorization", "Basic " + base64.b64encode(b"user:wrong").decode())
    weir.expect_log("password mismatch")
    with busy_here(weir, 1) as ((client,), _):
        assert client.get("/basic", headers=[wrong]).status == 401
        assert client.get("/asked").status == 404
        assert client.get("/basic", headers=[right]).status == 404
    assert settled(weir)["lent"] >= 3


def test_a_worker_that_finishes(weir, module):
    """TTOU while it runs something for another worker: that is answered."""
    module(workers=2)
    with busy_here(weir, 2, ms=2500) as (clients, one):
        for client in clients:
            client.request("/slow?ms=1200")
        wait_until(lambda: running(weir) == THREADS + 2, 3, "tasks in both")
        weir.signal(signal.SIGTTOU)
        for client in clients:
            assert client.response().text == "done"
    weir.wait_workers(1)


HANGS = " location /hung { handler_timeout 500ms; handler hang; }"


def test_a_hung_handler_holds_no_worker(weir, module):
    """One that is past its time for another worker's client: the worker that runs it ends when it is told to."""
    weir.expect_log("timed out|left behind")
    module(workers=2, locations=HANGS)
    with busy_here(weir, 1) as ((client,), one):
        assert client.get("/hung").status == 504
        wait_until(lambda: weir.pool()["threads"]["stuck"] == 1, 3, "a stuck thread")
        [other] = weir.worker_pids() - {one}
        weir.signal(signal.SIGTTOU)
        weir.wait_dead([other], 5)


def test_a_hung_handler_of_a_dead_worker(weir, module):
    """Its thread is replaced once its time is over, though nobody is left to say so."""
    weir.expect_log("exited on signal 9|left behind")
    module(workers=2, locations=HANGS)
    with busy_here(weir, 1, ms=400) as ((client,), one):
        client.request("/hung")
        wait_until(lambda: running(weir) == THREADS + 1, 3, "the handler")
        os.kill(one, signal.SIGKILL)
    wait_until(lambda: weir.pool()["threads"]["stuck"] == 1, 5, "a stuck thread")
    assert settled(weir)["submitted"] == 3


@pytest.mark.parametrize("change", ["thread_pool", "location"])
def test_reloads(weir, change):
    """In place, and by new workers: what runs elsewhere comes back, and what is asked afterwards runs."""
    serve(weir)
    before = weir.conf.read_text()
    after = (before.replace(f"threads={THREADS}", f"threads={THREADS - 1}") if change == "thread_pool" else
             before.replace("location /sleep", "location /new { return 204; } location /sleep"))
    with on_one_worker(weir, ALL) as (clients, _):
        for client in clients:
            client.request("/sleep?ms=900")
        wait_until(lambda: running(weir) == ALL, 3, "a task on each thread")
        assert weir.reload(after)["last_kind"] == ("in-place" if change == "thread_pool" else "respawn")
        assert [client.response().status for client in clients] == [200] * ALL
        if change == "thread_pool":
            for client in clients:
                client.request("/sleep?ms=100")
            assert [client.response().status for client in clients] == [200] * ALL
    wait_until(lambda: running(weir) == 0, 5, "idle threads")


def test_without_a_master(weir):
    """Its last worker finishes in peace, though nobody can say anything to it any more."""
    weir.expect_log("the master is gone")
    serve(weir, workers=1)
    [worker] = weir.worker_pids()
    with weir.connect() as client:
        client.request("/sleep?ms=1500")
        wait_until(lambda: running(weir) == 1, 3, "the handler")
        os.kill(weir.pid, signal.SIGKILL)
        weir.wait_log("the master is gone")
        before = cpu_seconds(worker)
        assert client.response().status == 200
        spent = cpu_seconds(worker) - before
    weir.wait_dead([worker], 3)
    assert spent < 0.4


def test_json_of_a_pool_has_both_counts(weir):
    serve(weir, workers=1)
    assert {"lent", "borrowed"} <= set(json.loads(weir.get("/status?format=json").text)["pools"]["default"]["tasks"])
