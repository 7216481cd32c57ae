"""sticky learn: the sessions that servers begin are what binds clients to them, over all workers."""

import os
import signal
import socket
import threading

import pytest
from proxylib import OK, answer, backend  # noqa: F811
from weirlib import config, wait_until
from wire import ask, head

LEARN = "sticky learn create=$upstream_cookie_sid lookup=$cookie_sid zone=sessions:1m"


def server(name, backend):  # noqa: F811
    """It begins a session where the request wants one: /?begin=NAME."""
    def reply(call):
        begin = call.target.partition("begin=")[2]
        return answer(name, *([f"Set-Cookie: sid={begin}; path=/"] if begin else []))
    return backend(reply)


def serve(weir, backend, learn=LEARN + ";", workers=1, **more):  # noqa: F811
    servers = [server(name, backend) for name in (b"a", b"b", b"c")]
    weir.start(conf(servers, learn, workers), **more)
    return servers


def conf(servers, learn, workers=1):
    lines = " ".join(f"server {each.address};" for each in servers)
    return config("location / { proxy_pass http://up; }", workers=workers, http=f"upstream up {{ {lines} {learn} }}")


def get(weir, session=None, target="/"):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *([f"Cookie: sid={session}"] if session else []))).text


def is_bound(weir, session):
    """The server that all requests of the session go to, or None when they go round."""
    names = {get(weir, session) for _ in range(6)}
    return names.pop() if len(names) == 1 else None


def test_a_session_stays_with_its_server(weir, backend):  # noqa: F811
    """Each goes to the server that began it; who has none, or an unknown one, goes round."""
    serve(weir, backend)
    began = {session: get(weir, target=f"/?begin={session}") for session in ("one", "two", "three", "four")}
    assert set(began.values()) == {"a", "b", "c"}
    assert {session: is_bound(weir, session) for session in began} == began
    assert is_bound(weir, None) is None and is_bound(weir, "unknown") is None


def test_a_session_that_another_server_begins_anew(weir, backend):  # noqa: F811
    """The last one to begin it has it."""
    serve(weir, backend)
    names = [get(weir, target="/?begin=x") for _ in range(2)]
    assert names[0] != names[1] and is_bound(weir, "x") == names[1]


def test_all_workers_know_it(weir, backend):  # noqa: F811
    """And it outlives a reload, and the death of a worker."""
    servers = serve(weir, backend, workers=2)
    name = get(weir, target="/?begin=x")
    assert {is_bound(weir, "x") for _ in range(5)} == {name}
    weir.reload(conf(servers, LEARN + ";", workers=2))
    assert {is_bound(weir, "x") for _ in range(5)} == {name}
    killed = weir.worker_pids()
    weir.expect_log("exited on signal 9")
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(weir.worker_pids()) == 2 and not killed & weir.worker_pids(), 10, "new workers")
    assert {is_bound(weir, "x") for _ in range(5)} == {name}


def test_a_server_that_is_gone(weir, backend):  # noqa: F811
    """Its sessions go to the others."""
    servers = serve(weir, backend)
    name = get(weir, target="/?begin=x")
    weir.reload(conf([each for each, its in zip(servers, "abc") if its != name], LEARN + ";"))
    assert {get(weir, "x") for _ in range(4)} == set("abc") - {name}


def test_the_first_variable_that_is_not_empty(weir, backend):  # noqa: F811
    serve(weir, backend, "sticky learn create=$upstream_http_x_session create=$upstream_cookie_sid lookup=$arg_s lookup=$cookie_sid zone=sessions:1m;")
    one, two = get(weir, target="/?begin=one"), get(weir, target="/?begin=two")
    assert one != two and {get(weir, "two", "/?s=one") for _ in range(3)} == {one} and is_bound(weir, "two") == two


@pytest.mark.parametrize("more, during", [(" header;", "same"), (";", "other")])
def test_when_it_begins(weir, backend, more, during):  # noqa: F811
    """When the answer is whole, or with header as soon as its head is there."""
    go_on = threading.Event()

    def slow(call):
        if "begin" not in call.target:
            return answer(b"slow")
        call.send(OK + b"Content-Length: 4\r\nSet-Cookie: sid=x\r\nX-Accel-Buffering: no\r\n\r\n")
        go_on.wait(30)
        return b"slow"
    addresses = [backend(slow).address, backend(answer(b"other")).address]
    weir.start(config("location / { proxy_pass http://up; }", http=f"upstream up {{ server {addresses[0]}; server {addresses[1]}; {LEARN}{more} }}"))
    with weir.connect() as client:
        client.send(head("GET /?begin HTTP/1.1"))
        assert client.socket.recv(1, socket.MSG_PEEK)  # its head is here
        assert [get(weir, "x") for _ in range(2)] == (["slow"] * 2 if during == "same" else ["other", "slow"])
        go_on.set()
        assert client.response().body == b"slow"
    wait_until(lambda: is_bound(weir, "x") == "slow", 10, "the session")


def test_it_ends_when_it_is_not_used(weir, backend):  # noqa: F811
    """Then its client goes round: between two looks nobody uses it for longer than this."""
    serve(weir, backend, LEARN + " timeout=1ms;")
    get(weir, target="/?begin=x")
    wait_until(lambda: get(weir, "x") != get(weir, "x"), 10, "its end")


@pytest.mark.parametrize("length", [255, 256, 3000])
def test_long_sessions(weir, backend, length):  # noqa: F811
    """As signed tokens are: they bind by all of their bytes, and stand in no log."""
    serve(weir, backend)
    began = {last: get(weir, target="/?begin=" + (length - 1) * "x" + last) for last in "123"}
    assert set(began.values()) == {"a", "b", "c"}
    assert {last: is_bound(weir, (length - 1) * "x" + last) for last in began} == began
    assert 20 * "x" not in weir.error_log and is_bound(weir, (length - 1) * "x" + "4") is None


def test_two_upstreams_share_a_zone(weir, backend):  # noqa: F811
    """A session of one is a session of the other, where they have the same servers."""
    servers = [server(name, backend) for name in (b"a", b"b", b"c")]
    lines = " ".join(f"server {each.address};" for each in servers)
    weir.start(config("location / { proxy_pass http://up; } location /two { proxy_pass http://two; }",
                      http=f"upstream up {{ {lines} {LEARN}; }} upstream two {{ {lines} {LEARN}; }}"))
    name = get(weir, target="/?begin=x")
    assert {get(weir, "x", "/two") for _ in range(6)} == {name}


PARTS = "create=$upstream_cookie_a lookup=$cookie_a zone=s:1m"
WRONG = {"nothing": "sticky learn x;", "no create": "sticky learn lookup=$cookie_a zone=s:1m;", "no lookup": "sticky learn create=$upstream_cookie_a zone=s:1m;",
         "no zone": "sticky learn create=$upstream_cookie_a lookup=$cookie_a;", "a text": "sticky learn create=a lookup=$cookie_a zone=s:1m;",
         "no size": PARTS.join(["sticky learn ", ";"]).replace(":1m", ""), "a small size": f"sticky learn {PARTS};".replace("1m", "1k"),
         "no time": f"sticky learn {PARTS} timeout=x;", "sync": f"sticky learn {PARTS} sync;"}


@pytest.mark.parametrize("which", WRONG)
def test_what_is_wrong(weir, which):
    """It is said when the configuration is read, with what to write; the same without the mistake is taken."""
    wrap = "upstream up {{ server 127.0.0.1:2;\n{}\n}}"
    assert weir.run("-t", conf=config(http=wrap.format(f"sticky learn {PARTS} timeout=1h header;"))).returncode == 0
    assert weir.mistake(config(http=wrap.format(WRONG[which])), WRONG[which]).startswith('invalid "sticky"; write: ')


@pytest.mark.parametrize("other", ["limit_req_zone $arg_k zone=s:1m rate=1r/s;", "upstream two { server 127.0.0.1:3; sticky learn create=$upstream_cookie_a lookup=$cookie_a zone=s:2m; }"])
def test_a_zone_of_another_kind_or_size(weir, other):
    result = weir.run("-t", conf=config(http=f"upstream up {{ server 127.0.0.1:2; sticky learn {PARTS}; }} {other}"))
    assert result.returncode == 1 and 'duplicate zone "s"; the first is in line' in result.stderr
