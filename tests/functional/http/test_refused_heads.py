"""What is answered and logged of requests that go wrong early, and of how they were framed."""

import re

import pytest
from weirlib import config, wait_until
from wire import ask, chunked, head, post

FORMAT = """log_format seen '"$server_protocol" "$uri" "$request_method" "$remote_user" $status $request_length';"""


def start(weir, locations='location / { return 200 "$server_protocol\\n"; }', **parts):
    return weir.start(config(locations, http=FORMAT, server="access_log logs/seen.log seen;", **parts))


def logged(weir):
    """The log's line that is not for the status."""
    def lines():
        return [line for line in (weir.tmp / "logs/seen.log").read_text().splitlines() if '"/status"' not in line]
    wait_until(lines, 3, "a line of the log")
    return lines()[-1]


LINES = {"HEAD /\x01 HTTP/1.1": 400, "HEAD / HTTP/9.9": 505, "HEAD / HTTP/1.10": 400, "HEAD /%zz HTTP/1.1": 400, "HEAD /../x HTTP/1.1": 400,
         "HEAD": 400, "HEAD /" + "x" * 40000 + " HTTP/1.1": 414}


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_head_has_no_body(weir, line):
    """A HEAD that is refused for its request line gets a head alone; without a target it is none."""
    start(weir)
    with weir.connect() as c:
        c.send(head(line))
        answer = c.until_close()
    assert answer.startswith(b"HTTP/1.1 %d " % LINES[line])
    assert answer.endswith(b"\r\n\r\n") == (line != "HEAD"), answer


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1", "HTTP/1.2", "HTTP/1.9"])
def test_protocol_as_sent(weir, version):
    """$server_protocol is the request line's."""
    start(weir)
    assert ask(weir.port, head(f"GET / {version}", "Connection: close")).text == version + "\n"
    assert logged(weir).startswith(f'"{version}" ')


REFUSED = {"GET / HTTP/9.9": '"HTTP/9.9" "" "GET"', "GET /%zz HTTP/1.1": '"HTTP/1.1" "" "GET"', "TRACE /f?x HTTP/1.1": '"HTTP/1.1" "/f" "TRACE"'}


@pytest.mark.parametrize("line", REFUSED)
def test_log_of_a_refused_line(weir, line):
    """What has been read of it; $uri is empty, not absent, before it is known."""
    start(weir)
    assert ask(weir.port, head(line)).status >= 400
    assert logged(weir).startswith(REFUSED[line])


@pytest.mark.parametrize("size", [1, 7, 100000])
def test_length_of_chunks(weir, size):
    """$request_length is of all that came, the framing of chunks included."""
    start(weir, "location / { handler echo; }")
    request = head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Connection: close") + chunked(b"0123456789", size, b"T: u\r\n")
    assert ask(weir.port, request, "POST").status == 200
    assert logged(weir).endswith(f" 200 {len(request)}")


def test_user_without_a_name(weir):
    """$remote_user of credentials that begin with the colon is absent."""
    start(weir)
    ask(weir.port, head("GET / HTTP/1.1", "Authorization: Basic OnB3", "Connection: close"))
    assert ' "-" 200 ' in logged(weir)


WORDS = {head("get / HTTP/1.1"): "invalid method while reading client request line",
         head("GET /\x01 HTTP/1.1"): "invalid request while reading client request line",
         head("GET / HTTP/2.0"): "invalid version while reading client request line",
         head("GET /" + "x" * 40000 + " HTTP/1.1"): "too long URI while reading client request line",
         head("TRACE / HTTP/1.1"): "TRACE method while reading client request headers",
         head(host=""): 'HTTP/1.1 request without "Host" header while reading client request headers',
         head("GET / HTTP/1.1", "Content-Length: x"): 'invalid "Content-Length" header while reading client request headers',
         head("GET / HTTP/1.1", "X: " + "x" * 40000): "too long header line while reading client request headers",
         post("/", "Content-Length: 3", "Transfer-Encoding: chunked"):
         '"Content-Length" and "Transfer-Encoding" headers at the same time while reading client request headers'}


@pytest.mark.parametrize("raw", WORDS, ids=range(len(WORDS)))
def test_words_of_the_error_log(weir, raw):
    """nginx's."""
    start(weir, log="info")
    ask(weir.port, raw)
    weir.wait_log(r"\[info\] \d+#\d+: \*\d+ client sent " + re.escape(WORDS[raw]) + ", client: 127.0.0.1, server: ")


def test_words_of_an_ignored_field(weir):
    """Its name, in nginx's words."""
    start(weir, log="info")
    assert ask(weir.port, head("GET / HTTP/1.1", "X_A: 1")).status == 200
    weir.wait_log(r'\[info\] \d+#\d+: \*\d+ client sent invalid header line: "X_A" while reading client request headers, client: ')


# ---- lines that are too long ----------------------------------------------------------------------------------

LONG = {"whole": head("GET http://other.test/" + "a" * 40000 + " HTTP/1.1", host="Host: other.test"), "no end": b"GET http://other.test/" + b"a" * 40000,
        "no target": head("G" * 40000 + " http://other.test/ HTTP/1.1"), "host": head("GET http://" + "a" * 40000 + "/ HTTP/1.1"),
        "just too long": head("GET http://other.test/" + "a" * (8192 - 31) + " HTTP/1.1"), "path": head("GET /" + "a" * 40000 + " HTTP/1.1", host="Host: other.test")}


@pytest.mark.parametrize("cut", [0, 100])
@pytest.mark.parametrize("which", LONG)
def test_a_line_that_is_too_long_names_no_server(weir, which, cut):
    """However much of it has come at once: the default server answers, and logs what a line may have."""
    other = "server { listen 127.0.0.1:{port}; server_name other.test; add_header X-Server other always; access_log logs/other.log l; }"
    weir.start(config("location / { return 200; }", listen="127.0.0.1:{port} default_server",
                      http="log_format l '$request'; add_header X-Server default always;" + other, server="server_name default.test; access_log logs/default.log l;"))
    with weir.connect() as client:
        if cut:
            client.send(LONG[which][:cut])
            client.wait_taken()
        client.send(LONG[which][cut:])
        reply = client.response()
    assert reply.status == 414 and reply.header("X-Server") == "default"
    lines = wait_until(lambda: [line for line in (weir.tmp / "logs/default.log").read_text().split("\n")[:-1] if "/status" not in line], 3, "a whole line of the log")
    assert lines == [LONG[which].decode().partition("\r\n")[0][:8192]] and not (weir.tmp / "logs/other.log").read_text()


def test_a_long_field_leaves_the_server(weir):
    other = "server { listen 127.0.0.1:{port}; server_name other.test; add_header X-Server other always; }"
    weir.start(config("location / { return 200; }", listen="127.0.0.1:{port} default_server", http=other))
    for raw in (head("GET http://other.test/ HTTP/1.1", "X: " + "a" * 40000), head("GET / HTTP/1.1", "X: " + "a" * 40000, host="Host: other.test")):
        assert ask(weir.port, raw).header("X-Server") == "other"
