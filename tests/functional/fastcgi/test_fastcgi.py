"""fastcgi_pass: requests as parameters and a stream, responses that scripts write, and all that goes wrong between the two."""

import os

import pytest
from fastcgi import HELLO, STDERR, STDOUT, end, nothing_more, record, said, script
from proxylib import backend  # noqa: F401
from weirlib import IS_ROOT, config, take_time, wait_until, watch


def serve(weir, address, location="", locations="", **parts):
    weir.start(config(f"location / {{ fastcgi_pass {address}; {location} }} {locations}", **parts))


def ask(weir, backend, reply, target="/", **options):  # noqa: F811
    """The response to what a script says."""
    serve(weir, backend(script=script(reply)).address)
    return weir.get(target, **options)


# ---- the request ----------------------------------------------------------------------------------------------------

@pytest.mark.directive("fastcgi_pass", "fastcgi_param")
def test_parameters(weir, backend):  # noqa: F811
    up = backend(script=script())
    serve(weir, up.address, """fastcgi_param SCRIPT_FILENAME /srv$uri; fastcgi_param EMPTY $arg_none; fastcgi_param NONE $arg_none if_not_empty;
          fastcgi_param SOME $arg_a if_not_empty; fastcgi_param HTTP_X_MINE ours; fastcgi_param METHOD $request_method;""")
    response = weir.get("/a%20b.php?a=1", headers=[("X-Mine", "theirs"), ("X-Two-Words", "yes"), ("Proxy", "evil")])
    assert (response.status, response.text, response.header("Content-Type")) == (200, "hello\n", "text/plain")
    asked = up.call
    assert asked.params["SCRIPT_FILENAME"] == "/srv/a b.php" and asked.params["EMPTY"] == "" and asked.params["SOME"] == "1"
    assert asked.params["HTTP_X_MINE"] == "ours" and asked.params["HTTP_X_TWO_WORDS"] == "yes" and asked.params["METHOD"] == "GET"
    assert "HTTP_HOST" in asked.params
    assert not {"NONE", "HTTP_PROXY"} & set(asked.params) and [name for name, _ in asked.pairs].count(b"HTTP_X_MINE") == 1
    assert not asked.keeps


def test_fields_of_one_name_are_one_parameter(weir, backend):  # noqa: F811
    up = backend(script=script())
    serve(weir, up.address)
    with weir.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nCookie: a=1\r\nx-a: 2\r\nCookie: b=2\r\nConnection: close\r\n\r\n")
        assert client.response().status == 200
    assert up.call.params["HTTP_X_A"] == "1, 2" and up.call.params["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65527, 65528, 65529, 200000])
def test_lengths_of_parameters(weir, backend, size):  # noqa: F811
    """Short ones have one byte, long ones four, and all of them as many records as they take."""
    up = backend(script=script())
    values = "".join(f"set $b{i} {'v' * 3000};" for i in range(1)) if size else "set $b0 '';"
    whole, rest = divmod(size, 3000)
    serve(weir, up.address, f"{values} set $r '{'v' * rest}'; fastcgi_param LONG {'$b0' * whole if whole else ''}$r; fastcgi_param {'N' * 200} last;")
    assert weir.get("/").status == 200
    assert up.call.params["LONG"] == "v" * size and up.call.params["N" * 200] == "last"


def test_parameters_are_inherited_as_a_whole(weir, backend):  # noqa: F811
    up = backend(script=script())
    weir.start(config(f"location /a {{ fastcgi_pass {up.address}; }} location /b {{ fastcgi_pass {up.address}; fastcgi_param B 2; }}",
                      http="fastcgi_param A 1;"))
    weir.get("/a"), weir.get("/b")
    assert [{"A", "B"} & set(asked.params) for asked in up.calls] == [{"A"}, {"B"}]


@pytest.mark.directive("fastcgi_pass_request_headers", "fastcgi_pass_request_body")
def test_what_is_not_passed(weir, backend):  # noqa: F811
    up = backend(script=script())
    serve(weir, up.address, "fastcgi_pass_request_headers off; fastcgi_pass_request_body off; fastcgi_param CONTENT_LENGTH '';")
    assert weir.get("/", method="POST", body=b"body").status == 200
    assert up.call.body == b"" and list(up.call.params) == ["CONTENT_LENGTH"]


@pytest.mark.directive("fastcgi_request_buffering", "fastcgi_buffering")
@pytest.mark.parametrize("how", ["memory", "file", "streamed", "chunked", "chunked and streamed"])
@pytest.mark.parametrize("size", [0, 1, 65528, 65529, 300001])
def test_bodies(weir, backend, how, size):  # noqa: F811
    up = backend(script=script())
    settings = {"memory": "client_body_buffer_size 1m;", "file": "client_body_in_file_only clean;"}.get(how, "client_body_buffer_size 16k;")
    if "streamed" in how:
        settings += "fastcgi_request_buffering off; fastcgi_buffering off;"
    serve(weir, up.address, f"{settings} client_max_body_size 1m; fastcgi_param CONTENT_LENGTH $content_length;")
    body = os.urandom(size)
    with weir.connect() as client:
        if "chunked" in how:
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"%x\r\n%s\r\n" % (size, body) if size else b"") + b"0\r\n\r\n")
        else:
            client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + body)
        assert client.response().text == "hello\n"
    assert up.call.body == body
    assert up.call.params["CONTENT_LENGTH"] in ({"", str(size)} if how == "chunked and streamed" else {str(size)})


@pytest.mark.directive("fastcgi_index", "fastcgi_split_path_info")
@pytest.mark.parametrize("target, name, info", [
    ("/a.php", "/a.php", ""), ("/a.php/more/b.php", "/a.php", "/more/b.php"), ("/a.php/", "/a.php", "/"), ("/dir/", "/dir/index.php", ""),
    ("/x.jpg/y", "/x.jpg/y", ""), ("/a%0a.php/b", "/a\n.php/b", "")])
def test_script_and_path_info(weir, target, name, info):
    weir.start(config("""location / { fastcgi_index index.php; fastcgi_split_path_info ^(.+?\\.php)(/.*)$; return 200 "$fastcgi_script_name|$fastcgi_path_info"; }
                         location /dir/plain/ { return 200 "$fastcgi_script_name|$fastcgi_path_info"; }"""))
    assert weir.get(target).text == f"{name}|{info}"
    assert weir.get("/dir/plain/").text == "/dir/plain/|"


# ---- the response ---------------------------------------------------------------------------------------------------

HEADS = {
    "no status": (b"Content-Type: a/b\r\n\r\nx", 200, "x"), "status": (b"Status: 404 Nowhere\r\n\r\nx", 404, "x"),
    "only a number": (b"Status: 503\n\nx", 503, "x"), "lone line feeds": (b"A: 1\nB: 2\n\nx", 200, "x"), "no head": (b"\r\nx", 200, "x"),
    "location": (b"Location: /there\r\n\r\n", 302, ""), "status line": (b"HTTP/1.1 404 No\r\nA: 1\r\n\r\nx", 200, "x"),
    "two statuses": (b"Status: 404\tNo\r\nStatus: 500\r\n\r\nx", 404, "x"), "status with a dash": (b"Status: 201-Made\r\n\r\nx", 201, "x"), "location and status": (b"Location: /there\r\nStatus: 201 Made\r\n\r\nx", 201, "x"),
    "length": (b"Content-Length: 3\r\n\r\nabc", 200, "abc"), "more than its length": (b"Content-Length: 3\r\n\r\nabcdef", 200, "abc"),
    "no content": (b"Status: 204 No Content\r\n\r\nx", 204, ""), "chunks that are none": (b"Transfer-Encoding: chunked\r\n\r\nx", 200, "x"),
    "connection": (b"Connection: X-A\r\nX-A: 1\r\n\r\nx", 200, "x"),
}
BAD = {"status of letters": b"Status: abc\r\n\r\n", "status of four": b"Status: 2000\r\n\r\n", "an interim one": b"Status: 100 Continue\r\n\r\n",
       "no field": b"what\r\n\r\n", "two lengths": b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "too large": b"A: " + b"a" * 20000 + b"\r\n\r\n",
       "no end": b"A: 1\r\n"}


@pytest.mark.parametrize("what", HEADS)
def test_heads(weir, backend, what):  # noqa: F811
    text, status, body = HEADS[what]
    response = ask(weir, backend, said(text))
    assert (response.status, response.text) == (status, body)
    assert response.header("Status") is None and (what[:8] != "location" or response.header("Location") == "/there")


@pytest.mark.parametrize("what", BAD)
def test_bad_heads(weir, backend, what):  # noqa: F811
    assert ask(weir, backend, said(BAD[what])).status == 502
    assert "FastCGI stdout while" in weir.error_log if what == "no end" else "upstream sent" in weir.error_log


@pytest.mark.directive("fastcgi_buffer_size")
@pytest.mark.parametrize("size, status", [("2k", 502), ("4k", 200)])
def test_the_most_of_a_head(weir, backend, size, status):  # noqa: F811
    serve(weir, backend(script=script(said(b"A: " + b"a" * 3000 + b"\r\n\r\n"))).address, f"fastcgi_buffer_size {size};")
    assert weir.get("/").status == status


def test_byte_by_byte(weir, backend):  # noqa: F811
    """Records and heads may end anywhere, with padding, and stderr between them."""
    text = b"Status: 201 Made\r\nX-A: 1\r\n\r\nbody of it"
    records = b"".join(record(STDOUT, text[i:i + 7], padding=i % 5) + record(STDERR, b"", padding=3) for i in range(0, len(text), 7)) + record(STDOUT) + end()
    up = backend(script=script(lambda asked: asked.peer.send_slowly(records)))
    serve(weir, up.address)
    response = weir.get("/")
    assert (response.status, response.header("X-A"), response.text) == (201, "1", "body of it")


def test_its_own_date_and_server(weir, backend):  # noqa: F811
    response = ask(weir, backend, said(b"Date: then\r\nServer: script\r\nX-Accel-Charset: koi8-r\r\nContent-Type: text/html\r\n\r\nx"))
    assert (response.header("Date"), response.header("Server"), response.header("X-Accel-Charset")) == ("then", "script", None)


def test_head(weir, backend):  # noqa: F811
    up = backend(script=script())
    serve(weir, up.address)
    with weir.connect() as client:
        for _ in range(2):
            client.request("/", "HEAD")
            response = client.response("HEAD")
            assert (response.status, response.text) == (200, "")


@pytest.mark.parametrize("size", [100000, 5000000])
def test_much(weir, backend, size):  # noqa: F811
    text = os.urandom(size)
    records = record(STDOUT, b"\r\n\r\n"[:2]) + b"".join(record(STDOUT, text[i:i + 65535], 1) for i in range(0, size, 65535)) + record(STDOUT) + end()
    assert ask(weir, backend, records).body == text


FORM = {
    "another version": record(STDOUT, HELLO, version=2), "another request": record(STDOUT, HELLO, number=2), "an unknown record": record(77, b"x"),
    "a record of ours": record(1, b"12345678"),
}


@pytest.mark.parametrize("what", FORM)
def test_no_records(weir, backend, what):  # noqa: F811
    """502 where nothing has gone to the client; with a word in the log."""
    assert ask(weir, backend, FORM[what]).status == 502
    weir.wait_log("FastCGI .*while reading response header from upstream")


SURPLUS = {"a record": record(STDERR, b"x"), "the half of one": record(STDERR)[:4], "junk": b"junk of more than eight bytes", "output": record(STDOUT, b"more")}


@pytest.mark.parametrize("what", SURPLUS)
@pytest.mark.parametrize("where", ["behind the request", "behind its output"])
def test_surplus(weir, backend, what, where):  # noqa: F811
    """What comes behind an end is nobody's: the response is whole, and the connection not used again."""
    if where == "behind its output" and what != "output":
        pytest.skip("that may stand there")
    text = said(HELLO) + SURPLUS[what] if where == "behind the request" else record(STDOUT, HELLO) + record(STDOUT) + SURPLUS[what] + end()
    up = backend(script=script(text))
    weir.start(config("location / { fastcgi_pass up; fastcgi_keep_conn on; }", http=f"upstream up {{ server {up.address}; keepalive 2; }}"))
    assert [weir.get("/").text for _ in range(3)] == ["hello\n"] * 3
    assert up.accepts == 3 and "[error]" not in weir.error_log


def test_no_more_are_kept_than_keepalive(weir, backend):  # noqa: F811
    """Not for a moment: each holds a process of the application, for which others wait."""
    up = backend(script=script())
    weir.start(config("location / { fastcgi_pass up; fastcgi_keep_conn on; }", http=f"upstream up {{ server {up.address}; keepalive 1; }}"))
    for _ in range(10):
        clients = [weir.connect() for _ in range(3)]
        for client in clients:
            client.request("/")
        assert [client.response().status for client in clients] == [200] * 3
        wait_until(lambda: weir.status()["upstreams"]["up"][0]["active"] == 0, 5, "the ends")
        assert weir.status()["upstreams"]["up"][0]["idle"] == 1


def test_output_before_its_head_has_ended(weir, backend):  # noqa: F811
    """Wherever it is cut."""
    for text in (record(STDOUT) + record(STDOUT, HELLO) + end(), record(STDOUT, HELLO[:5]) + record(STDOUT) + record(STDOUT, HELLO[5:]) + end()):
        up = backend(script=script(text))
        weir.start(config(f"location / {{ fastcgi_pass {up.address}; }}"))
        assert weir.get("/").status == 502
        assert weir.stop(5) == 0


BROKEN = {
    "closed": lambda asked: asked.peer.send(record(STDOUT, b"\r\nabc")), "closed in a record": lambda asked: asked.peer.send(record(STDOUT, b"\r\nabc")[:-1]),
    "short of its length": lambda asked: asked.peer.send(said(b"Content-Length: 9\r\n\r\nabc"))}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("keep", ["on", "off"])
@pytest.mark.directive("fastcgi_keep_conn")
def test_what_is_not_whole_is_not_shown_as_whole(weir, backend, what, keep):  # noqa: F811
    def reply(asked):
        BROKEN[what](asked)
        if what != "short of its length":
            asked.peer.close()
    up = backend(script=script(reply))
    serve(weir, up.address, f"fastcgi_keep_conn {keep};")
    with weir.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        text = client.until_close()
    if what == "short of its length":  # nothing had gone to the client
        assert text.startswith(b"HTTP/1.1 502 ")
    else:  # a reset may take away what was on its way
        assert b"HTTP/1.1 200 OK".startswith(text[:15]) and b"\r\n0\r\n" not in text
    wait_until(lambda: "prematurely closed" in weir.error_log, 3, "a word of it")


@pytest.mark.parametrize("begun", [False, True])
def test_a_slow_client_has_all_that_came(weir, backend, begun):  # noqa: F811
    """Though it takes longer than the upstream's time, and the response is short of its length."""
    text = b"Content-Length: 9000\r\n\r\n" + b"z" * 7000
    def reply(asked):
        asked.peer.send(record(STDOUT, text[:3000]))
        take_time(0.1)
        asked.peer.send(said(text[3000:]))
    up = backend(script=script(reply if begun else said(text)))
    serve(weir, up.address, "limit_rate 4k; fastcgi_read_timeout 300ms;")
    with weir.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = client.until_close()
    assert answer.count(b"z") == 7000 if begun else answer.startswith(b"HTTP/1.1 502 ")
    weir.wait_log("prematurely closed FastCGI request while reading upstream")
    assert "timed out" not in weir.error_log


def test_nothing_at_all(weir, backend):  # noqa: F811
    up = backend(script=script(lambda asked: asked.peer.close()))
    serve(weir, up.address)
    assert weir.get("/").status == 502
    assert 'upstream prematurely closed connection while reading response header from upstream' in weir.error_log
    assert f'upstream: "fastcgi://{up.address}"' in weir.error_log


# ---- what a script says besides -------------------------------------------------------------------------------------

def test_stderr_is_logged(weir, backend):  # noqa: F811
    text = record(STDERR, b"PHP message: one\n") + record(STDOUT, b"\r\nx") + record(STDERR, b"two\r\n") + record(STDOUT, b"y") + record(STDOUT) + end()
    assert ask(weir, backend, text).text == "xy"
    assert 'FastCGI sent in stderr: "PHP message: one' in weir.error_log and "two" in weir.error_log


def test_stderr_has_a_bound(weir, backend):  # noqa: F811
    """What a script writes without end fills no disk, and no memory."""
    flood = record(STDERR, b"e" * 1500 + b"\0end") + record(STDERR, b"e" * 65535) * 300
    assert ask(weir, backend, flood + said(HELLO)).text == "hello\n"
    assert 1000 < len(weir.error_log) < 200000 and "more in stderr than is logged" in weir.error_log
    assert "eee?end" in weir.error_log


# ---- servers --------------------------------------------------------------------------------------------------------

@pytest.mark.directive("fastcgi_keep_conn")
def test_connections_are_kept(weir, backend):  # noqa: F811
    up = backend(script=script())
    weir.start(config("location / { fastcgi_pass up; fastcgi_keep_conn on; } location /not { fastcgi_pass up; }",
                      http=f"upstream up {{ server {up.address}; keepalive 2; }}"))
    for _ in range(3):
        assert weir.get("/", method="POST", body=b"x" * 70000).text == "hello\n"
        assert weir.get("/", method="HEAD").status == 200
    assert up.accepts <= 4 and all(asked.keeps for asked in up.calls)  # after HEAD its body is not waited for
    assert weir.get("/not").status == 200 and not up.call.keeps


@pytest.mark.parametrize("how", ["head and body", "much"])
def test_kept_after_several_reads(weir, backend, how):  # noqa: F811
    parts = {"head and body": [record(STDOUT, b"\r\nhel"), record(STDOUT, b"lo\n") + record(STDOUT) + end()],
             "much": [record(STDOUT, b"\r\n" + b"x" * 60000)] + [record(STDOUT, b"y" * 60000)] * 5 + [record(STDOUT), end()]}[how]

    def reply(asked):
        for part in parts:
            asked.peer.send(part)
            take_time(0.03)
    up = backend(script=script(reply))
    weir.start(config("location / { fastcgi_pass up; fastcgi_keep_conn on; }", http=f"upstream up {{ server {up.address}; keepalive 2; }}"))
    for _ in range(4):
        assert len(weir.get("/").body) == (360000 if how == "much" else 6)
    assert up.accepts == 1


def test_kept_and_closed(weir, backend):  # noqa: F811
    """A server that closes between two requests is asked anew."""
    def reply(asked):
        asked.peer.send(said(HELLO))
        asked.peer.close()
    up = backend(script=script(reply))
    weir.start(config("location / { fastcgi_pass up; fastcgi_keep_conn on; }", http=f"upstream up {{ server {up.address}; keepalive 2; }}"))
    assert [weir.get("/").status for _ in range(4)] == [200] * 4


@pytest.mark.directive("fastcgi_next_upstream", "fastcgi_next_upstream_tries", "fastcgi_next_upstream_timeout")
@pytest.mark.parametrize("how", ["close", "bad", "503", "stdout closed"])
def test_the_next_server(weir, backend, how):  # noqa: F811
    first = backend(script=script({"close": lambda asked: asked.peer.close(), "bad": said(b"what\r\n\r\n"), "503": said(b"Status: 503 No\r\n\r\n"),
                                   "stdout closed": record(STDOUT) + end()}[how]))
    second = backend(script=script())
    weir.start(config("location / { fastcgi_pass up; fastcgi_next_upstream error timeout invalid_header http_503; fastcgi_next_upstream_tries 2; fastcgi_next_upstream_timeout 9s; }",
                      http=f"upstream up {{ server {first.address} max_fails=0; server {second.address}; }}"))
    for size in (10, 100000):
        body = os.urandom(size)
        with weir.connect() as client:
            client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + body)
            assert client.response().text == "hello\n"
        assert second.call.body == body
    assert first.calls


@pytest.mark.directive("fastcgi_read_timeout", "fastcgi_send_timeout", "fastcgi_connect_timeout")
def test_times(weir, backend):  # noqa: F811
    up = backend(script=script(lambda asked: asked.peer.wait_gone()))
    serve(weir, up.address, "fastcgi_read_timeout 300ms; fastcgi_send_timeout 5s; fastcgi_connect_timeout 5s;")
    assert weir.get("/").status == 504
    assert "upstream timed out" in weir.error_log


@pytest.mark.directive("fastcgi_ignore_client_abort")
@pytest.mark.parametrize("ignore", ["on", "off"])
def test_the_client_leaves(weir, backend, ignore):  # noqa: F811
    up = backend(script=script(lambda asked: (nothing_more(asked.peer), None)[1]))
    serve(weir, up.address, f"fastcgi_ignore_client_abort {ignore};")
    client = weir.connect()
    client.request("/")
    peer = up.call.peer
    client.close()
    if ignore == "off":
        assert peer.gone.wait(5)
    else:
        watch(0.3)
        assert not peer.gone.is_set()


@pytest.mark.directive("fastcgi_intercept_errors", "fastcgi_hide_header", "fastcgi_pass_header", "fastcgi_ignore_headers", "fastcgi_limit_rate")
def test_what_becomes_of_fields(weir, backend):  # noqa: F811
    up = backend(script=script(lambda asked: said({
        "/error": b"Status: 500 No\r\n\r\nx", "/hidden": b"X-A: 1\r\nX-B: 2\r\n\r\nx", "/away": b"X-Accel-Redirect: /inside\r\nSet-Cookie: a=1\r\n\r\nx",
        "/stay": b"X-Accel-Redirect: /inside\r\n\r\nx", "/lost": b"X-Accel-Redirect: /found\r\n\r\n", "/found": b"\r\nx"}[asked.params["U"]])))
    serve(weir, up.address, "fastcgi_param U $uri; fastcgi_param L $content_length; fastcgi_hide_header X-A; fastcgi_pass_header X-Accel-Redirect; fastcgi_intercept_errors on; error_page 500 /inside;",
          f"location /inside {{ internal; return 200 inside; }} location /stay {{ fastcgi_pass {up.address}; fastcgi_param U $uri; fastcgi_ignore_headers X-Accel-Redirect; fastcgi_limit_rate 10k; }}")
    assert weir.get("/error").text == "inside"
    assert weir.get("/hidden").header("X-A") is None and weir.get("/hidden").header("X-B") == "2"
    away = weir.get("/away")
    assert (away.text, away.header("Set-Cookie")) == ("inside", "a=1")
    assert up.call.params["L"] == ""
    assert weir.get("/lost", method="POST", body=b"abc").text == "x" and up.call.params["L"] == "0"
    assert weir.get("/stay").text == "x"


@pytest.mark.directive("fastcgi_bind", "fastcgi_socket_keepalive")
@pytest.mark.parametrize("how", ["text", "variable", "group", "unix"])
def test_targets(weir, backend, how):  # noqa: F811
    froms = []
    def reply(asked):
        froms.append(asked.peer.socket.getpeername()[:1])
        return said(HELLO)
    up = backend(script=script(reply), **({"path": weir.tmp / "s.sock"} if how == "unix" else {}))
    address = {"text": up.address, "variable": "$where", "group": "up", "unix": up.address}[how]
    bind = "" if how == "unix" else "fastcgi_bind 127.0.0.2; fastcgi_socket_keepalive on;"
    weir.start(config(f"location / {{ set $where {up.address}; fastcgi_pass {address}; {bind} }}", http=f"upstream up {{ server {up.address}; }}"))
    assert weir.get("/").text == "hello\n"
    if bind:
        assert froms == [("127.0.0.2",)]


@pytest.mark.directive("fastcgi_buffers", "fastcgi_busy_buffers_size", "fastcgi_max_temp_file_size", "fastcgi_temp_file_write_size", "fastcgi_temp_path",
                       "fastcgi_cache_bypass", "fastcgi_no_cache")
def test_a_slow_client(weir, backend):  # noqa: F811
    """The script is done while the client has hardly begun."""
    text = b"\r\n" + os.urandom(60000)
    ended = []
    def reply(asked):
        asked.peer.send(b"".join(record(STDOUT, text) if i == 0 else record(STDOUT, text[2:]) for i in range(100)) + record(STDOUT) + end())
        ended.append(True)
    up = backend(script=script(reply))
    serve(weir, up.address, "fastcgi_buffers 4 8k; fastcgi_busy_buffers_size 8k; fastcgi_max_temp_file_size 10m; fastcgi_temp_file_write_size 8k; fastcgi_temp_path f 1;"
          "fastcgi_cache_bypass $arg_a; fastcgi_no_cache $arg_a;")
    with weir.connect(timeout=20) as client:
        client.request("/")
        wait_until(lambda: ended, 10, "the script's end")
        assert client.response().body == text[2:] * 100
    assert (weir.tmp / "f").is_dir() and (not IS_ROOT or (weir.tmp / "f").stat().st_mode & 0o777 == 0o700)


# ---- the configuration ----------------------------------------------------------------------------------------------

def test_variables_name_a_port(weir):
    """And TLS is no affair of theirs."""
    weir.start(config("location / { set $w 127.0.0.1; fastcgi_pass $w; }", server="proxy_ssl_certificate /none;"))
    assert weir.get("/").status == 500
    weir.wait_log('no port in upstream "127.0.0.1"')


def test_an_expression_that_takes_too_long(weir):
    """The client chooses the URI, and not that it is taken whole."""
    weir.start(config('location / { fastcgi_split_path_info "^((?:/?(?:a+)+)+\\.php)(/.*)$"; return 200 "$fastcgi_script_name|$fastcgi_path_info"; }'))
    assert weir.get(f"/{'a' * 3000}/.php/evil").text == "|"
    weir.wait_log("fastcgi_split_path_info took too long")


@pytest.mark.parametrize("lines, said_of_it", [
    ("fastcgi_pass;", "invalid number of arguments"), ("fastcgi_pass http://127.0.0.1:9;", 'invalid host in upstream "http://127.0.0.1:9" of "fastcgi_pass"'),
    ("fastcgi_pass 127.0.0.1;", 'no port in upstream "127.0.0.1" of "fastcgi_pass"'), ("fastcgi_param A;", "invalid number of arguments"),
    ("fastcgi_param A b maybe;", 'invalid parameter "maybe" of "fastcgi_param"'), ("fastcgi_param A $nope;", 'unknown "nope" variable'),
    ("fastcgi_split_path_info ^(.+)$;", "must have 2 captures"), ("fastcgi_split_path_info ^((.+)$;", "pcre2_compile() failed"),
    ("fastcgi_pass 127.0.0.1:9; proxy_pass http://127.0.0.1:9;", "duplicate"), ("fastcgi_pass checked;", "has a health_check, which asks in HTTP")])
def test_mistakes(weir, lines, said_of_it):
    result = weir.run("-t", conf=config(f"location / {{ {lines} }}", http="upstream checked { zone z 64k; server 127.0.0.1:9; health_check; }"))
    assert result.returncode == 1 and said_of_it in result.stderr, result.stderr
