"""Access logs: formats and variables, escaping, where they go, and what is written when a client leaves."""

import base64
import datetime
import re
import socket
import struct
import time

import pytest
import weirlib
import wire
from weirlib import config, fetch, take_time
from wire import head, post

TIME_LOCAL = r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"


HELLO = 'location / { return 200 "hello\\n"; }'
TO_LOG = "access_log {tmp}/logs/access.log test;"


def start(weir, server, log_format="$uri", **parts):
    """Start a server with the given directives on a port of its own; returns that port."""
    weir.start(config(http=f"log_format test {quoted(log_format)}; server {{ listen 127.0.0.1:{{port2}}; {server} }}",
                      **parts))
    return weir.port2


def serve(weir, log_format, locations=HELLO):
    """Start a server that logs in the given format; returns its port."""
    return start(weir, TO_LOG + locations, log_format)


def quoted(log_format):
    return log_format if log_format.startswith("escape=") else f"'{log_format}'"


def lines(weir, count=1, name="access.log"):
    """The lines of a log once there are so many; more are an error."""
    path = weir.tmp / "logs" / name
    read = lambda: path.read_bytes().decode("latin-1").split("\n")[:-1] if path.exists() else []
    found = weirlib.wait_until(lambda: len(read()) >= count and read(), 3, f"{count} lines in {name}")
    assert len(found) == count, found
    return found


# ---- formats ----------------------------------------------------------------------------------------------

def test_combined_is_the_default(weir):
    """Without a format, a log has nginx's combined lines."""
    port = start(weir, "access_log {tmp}/logs/access.log;" + HELLO)
    credentials = base64.b64encode(b"joe:secret").decode()
    fetch(port, "/a?b=c", headers=[("User-Agent", "agent/1"), ("Referer", "http://x/"),
                                   ("Authorization", f"Basic {credentials}")])
    fetch(port, "/", method="HEAD")
    full, bare = lines(weir, 2)
    assert re.sub(TIME_LOCAL, "now", full) == f'127.0.0.1 - joe [now] "GET /a?b=c {weirlib.PROTOCOL}" 200 6 "http://x/" "agent/1"'
    assert re.sub(TIME_LOCAL, "now", bare) == f'127.0.0.1 - - [now] "HEAD / {weirlib.PROTOCOL}" 200 0 "-" "-"'


@pytest.mark.parametrize("variable, value", [
    ("$remote_addr", "127.0.0.1"), ("$remote_user", "-"), ("$request", f"GET /a%20b?c {weirlib.PROTOCOL}"), ("$status", "200"),
    ("$body_bytes_sent", "6"), ("$http_referer", "http://x/"), ("$http_user_agent", "agent/1"), ("$http_none", "-"),
    ("$request_method", "GET"), ("$request_uri", "/a%20b?c"), ("$uri", "/a b"), ("$args", "c"), ("$host", "a"),
    ("$server_protocol", weirlib.PROTOCOL), ("$scheme", "http"), ("$pipe", "."), ("$connection_requests", "1"),
    ("$sent_http_content_type", "text/plain"), ("$sent_http_content_length", "6"),
])
def test_log_variables(weir, variable, value):
    """Each common variable has nginx's value."""
    port = serve(weir, f"[{variable}]")
    wire.ask(port, head("GET /a%20b?c HTTP/1.1", "Referer: http://x/", "User-Agent: agent/1"))
    assert lines(weir) == [f"[{value}]"]


def test_times(weir):
    """The log's times are now: $msec, $time_local and $time_iso8601."""
    port = serve(weir, "$msec|$time_local|$time_iso8601")
    fetch(port, "/")
    msec, local, iso = lines(weir)[0].split("|")
    assert re.fullmatch(r"\d+\.\d{3}", msec) and re.fullmatch(TIME_LOCAL, local)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", iso)
    parsed = [float(msec), datetime.datetime.strptime(local, "%d/%b/%Y:%H:%M:%S %z").timestamp(),
              datetime.datetime.fromisoformat(iso).timestamp()]
    assert all(abs(moment - time.time()) < weirlib.limit(3) for moment in parsed), parsed


@pytest.mark.http1_only
def test_request_time(weir):
    """$request_time is the time from the first byte of the request to the end of the answer, in milliseconds."""
    port = serve(weir, "$request_time", "location / { return 200; } location /sleep { handler sleep; }")
    fetch(port, "/")
    fetch(port, "/sleep?ms=300")
    with weir.connect(port) as connection:
        connection.send("GET / HT")
        take_time(0.4)
        connection.send("TP/1.1\r\nHost: a\r\n\r\n")
        connection.response()
    found = lines(weir, 3)
    assert all(re.fullmatch(r"\d+\.\d{3}", line) for line in found)
    fast, slept, slow = map(float, found)
    assert fast < weirlib.limit(0.2) and 0.15 < slept < weirlib.limit(1) and 0.35 < slow < weirlib.limit(1)


@pytest.mark.http1_only
def test_bytes(weir):
    """$bytes_sent, $body_bytes_sent and $request_length are what went over the wire."""
    port = serve(weir, "$bytes_sent $body_bytes_sent $request_length",
          'location / { return 200 "hello\\n"; } location /echo { handler echo; } location /f { root {tmp}/html; }')
    (weir.tmp / "html/f").write_bytes(bytes(100_000))
    requests = [head("GET / HTTP/1.1", "Connection: close"), head("HEAD / HTTP/1.1", "Connection: close"),
                head("GET /none HTTP/1.1", "Connection: close"), head("GET /f HTTP/1.1", "Connection: close"),
                post("/echo", "Connection: close", "Content-Length: 1000", body=b"x" * 1000),
                b"GET / HTTP/1.1\r\n\r\n"]
    expected = []
    for raw in requests:
        with weir.connect(port) as connection:
            connection.send(raw)
            answer = connection.until_close()
        body = answer.partition(b"\r\n\r\n")[2]
        expected.append(f"{len(answer)} {len(body)} {len(raw)}")
        lines(weir, len(expected))
    assert lines(weir, len(expected)) == expected


@pytest.mark.http1_only
def test_connections_and_pipelines(weir):
    """$connection is one number for each connection, $connection_requests counts on it, $pipe marks pipelining."""
    port = serve(weir, "$connection $connection_requests $pipe")
    with weir.connect(port) as connection:
        connection.send(head() * 3)
        [connection.response() for _ in range(3)]
        connection.get("/")
    fetch(port, "/")
    found = [line.split(" ") for line in lines(weir, 5)]
    assert [line[1:] for line in found] == [["1", "."], ["2", "p"], ["3", "p"], ["4", "."], ["1", "."]]
    assert len({line[0] for line in found[:4]}) == 1 and found[4][0] != found[0][0]
    assert all(line[0].isdigit() for line in found)


# ---- escaping ---------------------------------------------------------------------------------------------

def test_escaping(weir):
    """Quotes, backslashes, controls and high bytes are written as \\x and two digits: no client can forge a field or a line."""
    port = serve(weir, '"$http_user_agent" "$remote_user"')
    user = base64.b64encode(b'a"b\n127.0.0.1\r:secret').decode()
    wire.ask(port, head("GET / HTTP/1.1", 'User-Agent: q"b\\t\ta\xc3\xa9\x7e', f"Authorization: Basic {user}"))
    assert lines(weir) == [r'"q\x22b\x5Ct\x09a\xC3\xA9~" "a\x22b\x0A127.0.0.1\x0D"']


def test_escaping_for_json(weir):
    """escape=json makes each line a JSON text, whatever the client sent."""
    port = serve(weir, """escape=json '{"agent":"$http_user_agent","none":"$http_none"}'""")
    wire.ask(port, head("GET / HTTP/1.1", 'User-Agent: q"b\\t\ta/'))
    assert lines(weir) == [r'{"agent":"q\"b\\t\ta/","none":""}']


# ---- which log --------------------------------------------------------------------------------------------

def test_logs_by_place(weir):
    """A location's log replaces the server's, several logs each get the line, off writes nothing."""
    port = start(weir, TO_LOG + """
        location / { return 200; }
        location /own { access_log {tmp}/logs/own.log; return 200; }
        location /two { access_log {tmp}/logs/two-a.log test; access_log {tmp}/logs/two-b.log; return 200; }
        location /off { access_log off; return 200; }
    """)
    for target in ("/off", "/", "/own", "/two"):
        fetch(port, target)
    assert lines(weir) == ["/"] and lines(weir, 1, "two-a.log") == ["/two"]
    assert f'"GET /two {weirlib.PROTOCOL}"' in lines(weir, 1, "two-b.log")[0]
    assert f'"GET /own {weirlib.PROTOCOL}"' in lines(weir, 1, "own.log")[0]


def test_logs_of_servers(weir):
    """Each server writes its own log."""
    port = start(weir, """
        server_name main; access_log {tmp}/logs/main.log test; return 200;
    } server {
        listen 127.0.0.1:{port2}; server_name other; access_log {tmp}/logs/other.log test; return 200;
    """, "$host $server_name")
    for host in ("other", "main", "none"):
        wire.ask(port, head(host=f"Host: {host}"))
    assert lines(weir, 1, "other.log") == ["other other"]
    assert lines(weir, 2, "main.log") == ["main main", "none main"]


def test_lines_are_whole_with_many_workers(weir):
    """Lines of several workers never mix, and none is lost."""
    port = start(weir, TO_LOG + HELLO, "$request_uri $request_uri", workers=3)

    def client(number):
        with weir.connect(port) as connection:
            for i in range(50):
                assert connection.get(f"/{number}-{i}-{'x' * 200}").status == 200
    wire.parallel(client, range(12), 12)
    found = lines(weir, 600)
    assert sorted(found) == sorted(f"/{n}-{i}-{'x' * 200} /{n}-{i}-{'x' * 200}" for n in range(12) for i in range(50))


# ---- what goes wrong --------------------------------------------------------------------------------------

def test_client_that_left(weir):
    """A client that closes before its answer is ready is logged as 499, and soon."""
    port = serve(weir, "$status $body_bytes_sent", "location / { handler sleep; }")
    with weir.connect(port) as connection:
        connection.request("/?ms=1500")
        connection.wait_taken()
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leave with a reset
    with weir.connect(port) as connection:
        connection.request("/?ms=1500")
        connection.wait_taken()
    assert lines(weir, 2) == ["499 0"] * 2


@pytest.mark.http1_only
def test_refused_requests_are_logged(weir):
    """What was refused is logged with what was readable of it, and never breaks the line."""
    port = serve(weir, '"$request" $status')
    refused = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET /\"\\ HTTP/9.9\r\n\r\n",
               b"get / HTTP/1.1\r\nHost: a\r\n\r\n"]
    found = []
    for raw in refused:
        wire.verdict(port, raw)
        found = lines(weir, len(found) + 1)
    assert [line.rsplit(" ", 1)[1] for line in found] == ["400", "400", "505", "400"]
    assert found[0] == '"GET / HTTP/1.1" 400'
    assert all(re.fullmatch(r'"[ -~]*" \d{3}', line) and line.count('"') == 2 for line in found)


def test_error_page_is_logged_with_its_status(weir):
    """The log has the status that the client got, after error_page."""
    port = serve(weir, "$status",
                 "error_page 404 =200 /ok; location / { root {tmp}/html; } location /ok { return 200; }")
    fetch(port, "/none")
    assert lines(weir) == ["200"]
