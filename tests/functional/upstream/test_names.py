"""Names of upstreams: servers that a name server knows, and proxy_pass with variables."""

import os
import time

import pytest
from nameserver import everywhere, names, serve  # noqa: F401 - fixtures
from proxylib import answer, backend, passed, rss_bytes, upstream  # noqa: F401 - a fixture
from weirlib import SLOW_BUILD, Load, config, let_pass, take_time, wait_until

pytestmark = pytest.mark.xdist_group("names")  # they take turns anyway: in one process they do not wait for it


def seen(weir, count=8, target="/"):
    return {weir.get(target).text for _ in range(count)}


def wait_seen(weir, wanted, seconds=6):
    wait_until(lambda: seen(weir) == wanted, seconds, f"answers of {wanted}")


system_names = pytest.mark.needs("root", "own_mounts")

# ---- names of servers -------------------------------------------------------------------------------------------


@system_names
@pytest.mark.parametrize("workers", [1, 3])
def test_all_addresses_are_servers(weir, names, everywhere, workers):
    names.records["back.test"] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"], 1
    serve(weir, names, "up", upstream(f"back.test:{everywhere.port}"), workers=workers)
    for pause in (1, 1, 1, 0):
        assert sorted(weir.get().text for _ in range(9)) == list("222333444")
        let_pass(pause)
    assert len(weir.status()["upstreams"]["up"]) == 3


@system_names
@pytest.mark.parametrize("target", ["up", "back.test:{}"])
def test_changed_records(weir, names, everywhere, target):
    names.records["back.test"] = ["127.0.0.2", "127.0.0.3"], 300
    target = target.format(everywhere.port)
    serve(weir, names, target, upstream(f"back.test:{everywhere.port}"), workers=2)
    for wanted in ("4", "245", "3"):
        names.records["back.test"] = [f"127.0.0.{each}" for each in wanted], 300
        wait_seen(weir, set(wanted))
        let_pass(1.2)  # the other worker, too
        assert seen(weir, 12) == set(wanted)
    assert [s["server"] for s in weir.status()["upstreams"][target]] == [f"127.0.0.3:{everywhere.port}"]


@system_names
def test_time_to_live(weir, names, everywhere):
    names.records.update({"long.test": (["127.0.0.2"], 60), "short.test": (["127.0.0.3"], 1)})
    up = [upstream(f"{name}.test:{everywhere.port}", name=name) for name in ("long", "short")]
    serve(weir, names, "$arg_up", "".join(up), resolver="")
    wait_until(lambda: names.times("short.test") >= 4, 8, "questions")
    assert names.times("long.test") <= 2  # the system's, and the first of the worker
    names.records.update({"long.test": (["127.0.0.4"], 60), "short.test": (["127.0.0.5"], 1)})
    wait_until(lambda: weir.get("/?up=short").text == "5", 5, "the new address")
    assert weir.get("/?up=long").text == "2"


@system_names
@pytest.mark.parametrize("bad", [3, 2, 5, None, ([], 1)], ids=["nxdomain", "servfail", "refused", "silence", "empty"])
def test_old_addresses_stay(weir, names, everywhere, bad):
    names.records["back.test"] = ["127.0.0.2", "127.0.0.3"], 1
    serve(weir, names, "up", upstream(f"back.test:{everywhere.port}"))
    wait_until(lambda: names.times("back.test") >= 2, 5, "a question of the worker")
    names.records["back.test"], before = bad, len(names.asked)
    wait_until(lambda: len(names.asked) > before + 1, 5, "a question")
    assert seen(weir) == {"2", "3"}
    if bad is not None:  # silence takes c-ares much longer
        weir.wait_log("its old addresses stay in use")
    names.records["back.test"] = ["127.0.0.4"], 1
    wait_seen(weir, {"4"}, 10)


@pytest.mark.directive("ip_hash")
@system_names
@pytest.mark.parametrize("method", ["ip_hash;", "hash $arg_k;", "hash $arg_k consistent;"])
def test_keys_stay_when_addresses_come_in_another_order(weir, names, everywhere, method):
    """Name servers turn their lists: a client stays with its server all the same, in each worker."""
    addresses = [f"127.0.0.{n}" for n in range(2, 7)]
    names.records["back.test"] = addresses, 1
    serve(weir, names, "up", upstream(f"back.test:{everywhere.port}", more=method), workers=2)
    first = seen(weir, target="/?k=one")
    assert len(first) == 1
    for _ in range(15):
        addresses = addresses[1:] + addresses[:1]
        names.records["back.test"] = addresses, 1
        assert seen(weir, 6, "/?k=one") == first
        take_time(0.3)


@system_names
def test_requests_outlive_their_address(weir, names, everywhere):
    names.records["back.test"] = ["127.0.0.2"], 1
    serve(weir, names, "up", upstream(f"back.test:{everywhere.port}"))
    with weir.connect(timeout=20) as client:
        client.request("/held")
        names.records["back.test"] = ["127.0.0.3"], 1
        wait_seen(weir, {"3"})
        everywhere.gate.set()
        assert client.response().text == "2"


@system_names
def test_an_address_that_comes_twice(weir, names, everywhere):
    """By a name and by a line of its own: they are two servers."""
    names.records["back.test"] = ["127.0.0.2"], 1
    serve(weir, names, "up", upstream(f"back.test:{everywhere.port}", f"127.0.0.9:{everywhere.port} down"))
    assert seen(weir) == {"2"}
    names.records["back.test"] = ["127.0.0.2", "127.0.0.9"], 1
    wait_seen(weir, {"2", "9"})


@pytest.mark.directive("resolver")
def test_name_that_only_the_resolver_knows(weir, names, everywhere):
    """The resolver of the configuration is the one for names of upstreams, also at the start."""
    names.sockets[1].close()
    names.records["back.service"] = ["127.0.0.2"], 1
    passed(weir, "up", http=f"resolver 127.0.0.1:{names.port};" + upstream(f"back.service:{everywhere.port} resolve"))
    wait_seen(weir, {"2"})


# ---- proxy_pass with variables ----------------------------------------------------------------------------------

def variables(weir, names, more="", resolver="valid=1s", **parts):
    passed(weir, "$arg_to", http=f"resolver 127.0.0.1:{names.port} {resolver}; resolver_timeout 1s;" + more, **parts)


def ask(weir, to, **options):
    return weir.get(f"/?to={to}", **options)


def test_what_variables_may_name(weir, names, everywhere, backend):
    unix = backend(answer(b"unix"), path=weir.tmp / "socket")
    names.records["back.test"] = ["127.0.0.7"], 1
    variables(weir, names, upstream(f"127.0.0.8:{everywhere.port}"))
    assert [ask(weir, to).text for to in (f"127.0.0.6:{everywhere.port}", f"back.test:{everywhere.port}", "up",
                                          unix.address, f"127.0.0.6:{everywhere.port}/")] == ["6", "7", "8", "unix", "6"]


@pytest.mark.directive("resolver_timeout")
@pytest.mark.parametrize("bad", [3, 2, None, ([], 1)], ids=["nxdomain", "servfail", "silence", "empty"])
def test_name_that_does_not_resolve(weir, names, bad):
    names.records["bad.test"] = bad
    variables(weir, names)
    start = time.monotonic()
    assert ask(weir, "bad.test:80").status == 502 and time.monotonic() - start < 3


def test_one_question_for_many_requests(weir, names, everywhere):
    names.records["back.test"], names.pause = (["127.0.0.2"], 60), 0.3
    variables(weir, names, resolver="")
    with Load(weir.port, f"/?to=back.test:{everywhere.port}", 20) as load:
        wait_until(lambda: load.ok > 40, 5, "answers")
    assert not load.failed and names.times("back.test") == 1


HOSTILE = ["", ":", ":80", "a:0", "a:99999", "127.0.0.1:0", "127.0.0.1:99999", "[::1", "[]:80", "unix:", "unix:/no/such",
           "x" * 300, "x" * 6000, "a..b", ".", "-", "%00", "a%20b", "*", "a@b", "/", "//", "?x", "#", "127.0.0.1:80:80",
           "unix:" + "/x" * 100, "\xe9\xff", "$pid", "{}", "255.255.255.255", "0", "up:80:", "[::]:0", "a," * 20]


def test_hostile_names(weir, names):
    """Each is refused or fails; the worker lives on."""
    weir.expect_log(r"connect\(\) to unix:\S+ failed")
    variables(weir, names)
    pids = weir.worker_pids()
    for to in HOSTILE:
        with weir.connect() as client:
            client.send(f"GET /?to={to} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode("latin-1"))
            assert client.response().status in (400, 500, 502), to
    assert weir.worker_pids() == pids


def test_many_names(weir, names, everywhere):
    """More than are kept at a time."""
    names.records.update({f"n{i}.test": (["127.0.0.2"], 60) for i in range(700)})
    variables(weir, names)
    before = 0
    with weir.connect() as client:
        for i in [*range(700), 0]:
            assert client.get(f"/?to=n{i}.test:{everywhere.port}").text == "2"
            before = rss_bytes(*weir.worker_pids()) if i == 300 else before
    if not SLOW_BUILD:  # sanitizers keep memory
        assert rss_bytes(*weir.worker_pids()) - before < 3 << 20


def test_many_addresses(weir, names, everywhere):
    """More than there may be at a time; they do not take the places of servers that the configuration names."""
    variables(weir, names)
    statuses = set()
    for part in range(5):
        with weir.connect() as client:
            statuses |= {client.get(f"/?to=127.0.{part}.{i + 1}:{everywhere.port}").status for i in range(220)}
    weir.reload(weir.conf.read_text().replace("server {", upstream(f"127.0.0.9:{everywhere.port}") + "server {", 1))
    assert (ask(weir, "up").text, statuses) == ("9", {200})


def test_a_name_goes_while_its_last_request_is_answered(weir, names, everywhere):
    """A request behind it, on the same connection, names another; freed memory is not used (MALLOC_PERTURB_)."""
    names.records.update({"good.test": (["127.0.0.2"], 60), "slow.test": None})
    weir.start(config("location / { proxy_pass http://$arg_to; }", http=f"resolver 127.0.0.1:{names.port};"),
               env={**os.environ, "MALLOC_PERTURB_": "165"})
    client, pids = weir.connect(), weir.worker_pids()
    client.request("/?to=slow.test:80")
    client.request(f"/?to=good.test:{everywhere.port}")
    with weir.connect() as other:
        for i in range(255):
            assert other.get(f"/?to=127.0.1.{i}:{everywhere.port}").status == 200
    names.records["slow.test"] = 3
    assert (client.response().status, client.response().text) == (502, "2")
    assert weir.get("/status").status == 200 and weir.worker_pids() == pids
