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
