"""sticky, route, drain and least_time: which server of an upstream a request goes to."""

import hashlib
import re
import threading

import pytest
from mistakes import arguments, duplicate
from proxylib import answer, backend  # noqa: F401
from weirlib import config, take_time
from wire import ask, head


def serve(weir, backend, rules, parameters=("", "", ""), count=3):  # noqa: F811
    servers = [backend(answer(str(i).encode())) for i in range(count)]
    lines = " ".join(f"server {each.address} {more};" for each, more in zip(servers, parameters))
    weir.start(config("location / { proxy_pass http://up; }", http=f"upstream up {{ {lines} {rules} }}"))
    return servers


def get(weir, target="/", *fields):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields))


def cookies(response):
    return [value for name, value in response.headers if name == "set-cookie"]


def ids(servers):
    return [hashlib.md5(each.address.encode()).hexdigest() for each in servers]


# ---- cookie -----------------------------------------------------------------------------------------------

def test_a_cookie_binds(weir, backend):  # noqa: F811
    """A new client gets the id of its server, and comes back to it; the cookie is set each time."""
    servers = serve(weir, backend, "sticky cookie srv;")
    first = [get(weir) for _ in range(6)]
    assert {got.text for got in first} == set("012")
    for got in first[:3]:
        value = f"srv={ids(servers)[int(got.text)]}"
        assert cookies(got) == [value]
        for _ in range(4):
            again = get(weir, "/", "Cookie: a=b; " + value)
            assert again.text == got.text and cookies(again) == [value]


PARAMETERS = {"": "", "expires=1h": r"; expires=\w{3}, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d GMT; max-age=3600",
              "expires=max": "; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000",
              "domain=.example.com path=/ httponly secure samesite=lax": r"; domain=\.example\.com; httponly; secure; samesite=lax; path=/",
              "domain=$host samesite=$arg_s path=/x": "; domain=a; samesite=strict; path=/x"}


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_parameters_of_the_cookie(weir, backend, parameters):  # noqa: F811
    """Their order is that of nginx; a samesite that is none becomes strict."""
    serve(weir, backend, f"sticky cookie srv {parameters};", ["route=r"], 1)
    assert re.fullmatch("srv=r" + PARAMETERS[parameters], cookies(get(weir, "/?s=nonsense"))[0])


def test_ids_that_lead_nowhere(weir, backend):  # noqa: F811
    """An unknown id, or one of a server that has failed, is answered by another server, whose id is set."""
    servers = serve(weir, backend, "sticky cookie srv;", ["max_fails=1 fail_timeout=30s"] * 3)
    weir.expect_log("refused")
    assert len({get(weir, "/", "Cookie: srv=unknown").text for _ in range(6)}) == 3
    servers[1].close()
    got = get(weir, "/", "Cookie: srv=" + ids(servers)[1])
    assert got.text in "02" and cookies(got) == [f"srv={ids(servers)[int(got.text)]}"]


# ---- route, drain -----------------------------------------------------------------------------------------

def test_routes(weir, backend):  # noqa: F811
    """The first variable that is not empty names the server by its route; no cookie is set."""
    serve(weir, backend, "sticky route $cookie_r $arg_r;", ["route=a", "route=b", "route=c"])
    for _ in range(3):
        assert [get(weir, f"/?r={route}").text for route in "abc"] == list("012")
        assert get(weir, "/?r=a", "Cookie: r=c").text == "2"
    assert len({get(weir).text for _ in range(6)}) == 3 and cookies(get(weir, "/?r=a")) == []


@pytest.mark.directive("sticky")
def test_a_draining_server(weir, backend):  # noqa: F811
    """It serves those that are bound to it, and nobody else."""
    serve(weir, backend, "sticky route $arg_r;", ["route=a", "route=b drain", "route=c backup"])
    assert {get(weir).text for _ in range(6)} == {"0"}
    assert [get(weir, f"/?r={route}").text for route in "abc"] == list("012")


@pytest.mark.parametrize("method", ["", "least_conn;", "random;", "hash $arg_k;", "hash $arg_k consistent;", "least_time header;"])
def test_with_every_method(weir, backend, method):  # noqa: F811
    """Whatever chooses the server of new clients."""
    serve(weir, backend, method + "sticky route $arg_r;", ["route=a", "route=b", "route=c drain"])
    assert {get(weir, "/?k=1").text for _ in range(8)} <= {"0", "1"}
    assert [get(weir, f"/?r={route}&k=1").text for route in "abc" for _ in range(2)] == list("001122")


@pytest.mark.directive("sticky")
@pytest.mark.parametrize("name", ["my-srv", "a.b", "JSESSIONID", "_1"])
def test_any_name_of_a_cookie(weir, backend, name):  # noqa: F811
    """Whatever a cookie may be called."""
    serve(weir, backend, f"sticky cookie {name};")
    got = get(weir)
    assert {get(weir, "/", f"Cookie: {cookies(got)[0]}").text for _ in range(4)} == {got.text}


LONG_ROUTE = f"server 127.0.0.1:1 route={33 * 'x'};"
WRONG = {
    "sticky;": arguments("sticky", "at least 2"),
    "sticky cookie;": arguments("sticky", "at least 2"),
    "sticky cookie a b;": 'invalid "sticky"; write: cookie NAME ',
    "sticky cookie a=b;": 'invalid "sticky"; write: cookie NAME ',
    "sticky cookie a samesite=x;": 'invalid "sticky"; write: cookie NAME ',
    "sticky route r;": 'invalid "sticky"; write: cookie NAME ',
    "sticky other x;": 'invalid "sticky"; write: cookie NAME ',
    "sticky route $arg_a; sticky route $arg_b;": duplicate("sticky"),
    LONG_ROUTE: 'invalid parameter "route=' + 33 * "x" + '" of "server"',
    "least_time;": arguments("least_time", "1 to 2"),
    "least_time body;": 'invalid parameter "body" of "least_time"',
    "least_time header now;": 'invalid parameter "now" of "least_time"',
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong(weir, line):
    """It is said when the configuration is read; the same without the mistake is taken."""
    wrap = "upstream up {{\nserver 127.0.0.1:2;\n{}\n}}"
    assert weir.run("-t", conf=config(http=wrap.format("least_time header inflight; sticky route $arg_a $arg_b;"))).returncode == 0
    assert weir.mistake(config(http=wrap.format(line)), line).startswith(WRONG[line])


# ---- least_time -------------------------------------------------------------------------------------------

@pytest.mark.directive("least_time")
@pytest.mark.parametrize("what, slow_head", [("header", True), ("last_byte", False)])
def test_least_time(weir, backend, what, slow_head):  # noqa: F811
    """The server that answers in less time gets nearly all."""
    def slow(call):
        whole = answer(b"s")
        call.send(b"" if slow_head else whole[:-1])
        take_time(0.1)
        return whole if slow_head else whole[-1:]
    fast = backend(answer(b"f"))
    weir.start(config("location / { proxy_pass http://up; }", http=f"upstream up {{ server {backend(slow).address}; server {fast.address}; least_time {what}; }}"))
    texts = [get(weir).text for _ in range(12)]
    assert texts.count("s") == 1, texts


def test_least_time_counts_what_is_under_way(weir, backend):  # noqa: F811
    """Requests that a server has count as well: a burst does not all go to the fastest."""
    def steady(name, seconds):
        return lambda call: (take_time(seconds), answer(name))[1]
    a, b = backend(steady(b"a", 0.05)), backend(steady(b"b", 0.1))
    weir.start(config("location / { proxy_pass http://up; }", http=f"upstream up {{ server {a.address}; server {b.address}; least_time header; }}"))
    assert {get(weir).text, get(weir).text} == {"a", "b"}
    texts = []
    threads = [threading.Thread(target=lambda: texts.append(get(weir).text)) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= texts.count("b") <= 4, texts
