"""$upstream_...: what logs and other texts say of the servers that were asked."""

import re

import pytest
from proxylib import CHUNKS, answer, backend, passed, upstream  # noqa: F401 - a fixture
from weirlib import config, take_time, wait_until

FORMAT = ("log_format a escape=json '{\"addr\":\"$upstream_addr\",\"status\":\"$upstream_status\","
          "\"time\":\"$upstream_response_time\",\"connect\":\"$upstream_connect_time\","
          "\"header\":\"$upstream_header_time\",\"sent\":\"$upstream_bytes_sent\","
          "\"received\":\"$upstream_bytes_received\",\"length\":\"$upstream_response_length\","
          "\"http\":\"$upstream_http_x_some_name\",\"cookie\":\"$upstream_cookie_one\","
          "\"trailer\":\"$upstream_trailer_x_sum\",\"client\":\"$status\"}';\n")
NUMBER, TIME = r"\d+", r"\d+\.\d{3}"


def logged(weir, count=1):
    """The last of so many lines of the log."""
    def lines():
        path = weir.tmp / "logs/a.log"
        found = [line for line in path.read_text().splitlines() if '"/status' not in line] if path.exists() else []
        return found if len(found) >= count else None
    text = wait_until(lines, 3, f"{count} lines")[-1]
    return {key: value for key, value in re.findall(r'"(\w+)":"((?:[^"\\]|\\.)*)"', text)}


def start(weir, to, more="", http="", **parts):
    """The status location does not log."""
    return passed(weir, to, "access_log logs/a.log a;" + more, http=FORMAT + http, **parts)


def test_one_server(weir, backend):
    data = answer(b"hello", "X-Some-Name: some value", "X-Some-Name: other", "Set-Cookie: two=1",
                  "Set-Cookie: one=b=c; Path=/", "Set-Cookie: one=d")
    up = backend(lambda call: (take_time(0.2), call.send(data[:-2]), take_time(0.2), data[-2:])[3])
    start(weir, up)
    weir.get("/x", method="POST", body=b"abc")
    line = logged(weir)
    request = len(up.call.head) + 4 + 3
    assert (line["addr"], line["status"], line["sent"]) == (up.address, "200", str(request))
    assert (line["received"], line["length"]) == (str(len(data)), "5")
    assert (line["http"], line["cookie"], line["trailer"]) == ("some value, other", "b=c", "")
    assert 0 <= float(line["connect"]) < 0.1 and 0.2 <= float(line["header"]) < 0.39 <= float(line["time"]) < 0.7


def test_no_upstream(weir):
    weir.start(config("location / { access_log logs/a.log a; return 200 x; }",
                      http=FORMAT))
    weir.get()
    assert set(logged(weir).values()) == {"", "200"}


@pytest.mark.directive("log_format")
def test_no_upstream_in_plain_logs(weir):
    weir.start(config("location / { access_log logs/a.log p; return 200 x; }",
                      http='log_format p "$upstream_addr|$upstream_status|$upstream_http_x|$upstream_cookie_x";'))
    weir.get()
    assert wait_until(lambda: (weir.tmp / "logs/a.log").read_text(), 3, "a line") == "-|-|-|-\n"


def test_unix_socket(weir, backend):
    up = backend(path=weir.tmp / "up.sock")
    start(weir, up)
    weir.get()
    assert logged(weir)["addr"] == f"unix:{weir.tmp}/up.sock"


def test_kept_connection_costs_no_time(weir, backend):
    start(weir, backend())
    with weir.connect() as client:
        client.get("/")
        client.get("/")
    assert logged(weir, 2)["connect"] == "0.000"


def test_chunked_answer_and_trailer(weir, backend):
    data = CHUNKS + b"5\r\nhello\r\n3;x\r\nyou\r\n0\r\nX-Sum: 99\r\n\r\n"
    start(weir, backend(data))
    weir.get()
    line = logged(weir)
    assert (line["length"], line["received"], line["trailer"]) == ("8", str(len(data)), "99")


def test_interim_answers_count(weir, backend):
    data = b"HTTP/1.1 103 X\r\n\r\n" * 3 + answer(b"x")
    start(weir, backend(data))
    weir.get()
    assert logged(weir)["received"] == str(len(data)) and logged(weir)["status"] == "200"


def test_refused(weir):
    start(weir, "127.0.0.1:{port2}")
    assert weir.get().status == 502
    line = logged(weir)
    assert (line["addr"], line["status"]) == (f"127.0.0.1:{weir.port2}", "502")
    assert [line[name] for name in ("connect", "header", "sent", "received", "length")] == ["-", "-", "0", "0", "0"]
    assert re.fullmatch(TIME, line["time"])


@pytest.mark.parametrize("reply, more, status", [
    (lambda call: call.close(), "", "502"), (lambda call: call.peer.wait_gone(), "proxy_read_timeout 200ms;", "504"),
    (b"nonsense\r\n\r\n", "", "502")])
def test_failures(weir, backend, reply, more, status):
    up = backend(reply)
    start(weir, up, more)
    weir.get()
    line = logged(weir)
    assert (line["status"], line["client"], line["header"], line["length"]) == (status, status, "-", "0")
    assert re.fullmatch(TIME, line["connect"]) and int(line["sent"]) > 0


def test_no_live_server(weir):
    start(weir, "up", http=upstream("127.0.0.1:1 down", "127.0.0.1:2 down"))
    weir.get()
    assert (logged(weir)["addr"], logged(weir)["status"]) == ("up", "502")


def test_several_tries(weir, backend):
    """In the order in which they were asked, with commas."""
    bad, good = backend(answer(b"bad", "X-Some-Name: bad", status="503 No")), backend(answer(b"good!"))
    start(weir, "up", "proxy_next_upstream error http_503;",
          http=upstream("127.0.0.1:{port2} weight=100 max_fails=0", f"{bad.address} weight=50", good))
    assert weir.get().text == "good!"
    line = logged(weir)
    assert line["addr"] == f"127.0.0.1:{weir.port2}, {bad.address}, {good.address}"
    assert line["status"] == "502, 503, 200" and line["client"] == "200" and line["http"] == ""
    assert re.fullmatch(f"-, {TIME}, {TIME}", line["connect"]) and re.fullmatch(f"-, {TIME}, {TIME}", line["header"])
    assert re.fullmatch(f"{TIME}, {TIME}, {TIME}", line["time"]) and re.fullmatch("0, [03], 5", line["length"])
    assert re.fullmatch(f"0, {NUMBER}, {NUMBER}", line["sent"]) and line["received"].startswith("0, ")


def test_two_groups(weir, backend):
    """An internal redirect to another upstream: a colon."""
    first, second = backend(answer(b"", "X-Accel-Redirect: /second/", "X-Some-Name: first")), backend(answer(b"second"))
    start(weir, "up", http=upstream("127.0.0.1:{port2} weight=9 max_fails=0", first),
          server=f"location /second/ {{ proxy_pass http://{second.address}; access_log logs/a.log a; }}")
    assert weir.get("/x").text == "second"
    line = logged(weir)
    assert line["addr"] == f"127.0.0.1:{weir.port2}, {first.address} : {second.address}"
    assert line["status"] == "502, 200 : 200" and line["http"] == "" and line["length"] == "0, 0 : 6"
    assert re.fullmatch(f"-, {TIME} : {TIME}", line["header"])


def test_error_page_of_another_upstream(weir, backend):
    first, page = backend(answer(b"theirs", status="500 No")), backend(answer(b"page"))
    start(weir, first, "proxy_intercept_errors on; error_page 500 /page;",
          server=f"location /page {{ proxy_pass http://{page.address}; access_log logs/a.log a; }}")
    assert weir.get("/x").text == "page"
    line = logged(weir)
    assert (line["addr"], line["status"], line["client"]) == (f"{first.address} : {page.address}", "500 : 200", "500")


def test_in_a_request_to_the_next_upstream(weir, backend):
    """Not only for logs."""
    first = backend(answer(b"", "X-Accel-Redirect: /second", "X-Some-Name: a b", "Set-Cookie: one=c"))
    second = backend()
    passed(weir, first, server=f"location /second {{ proxy_pass http://{second.address}; proxy_set_header X-First "
           '"$upstream_addr $upstream_status $upstream_http_x_some_name $upstream_cookie_one"; }')
    weir.get("/x")
    assert second.call.header("X-First") == f"{first.address} 200 a b c"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_client_leaves_in_the_body(weir, backend, framing):
    """The upstream has answered 200 all the same."""
    data = {"length": answer(b"hello")[:-2], "chunked": CHUNKS + b"3\r\nhel\r\n", "close": answer(b"hel", length=False)}
    up = backend(lambda call: (call.send(data[framing]), call.peer.wait_gone())[1])
    start(weir, up)
    with weir.connect() as client:
        client.request("/")
        while b"hel" not in client.unread:
            client.unread += client.socket.recv(1000)
    line = logged(weir)
    assert (line["status"], line["length"], line["client"]) == ("200", "3", "200") and re.fullmatch(TIME, line["time"])


def test_client_leaves_before_the_answer(weir, backend):
    up = backend(lambda call: call.peer.wait_gone())
    start(weir, up)
    with weir.connect() as client:
        client.request("/")
        wait_until(lambda: up.calls, 3, "a request")
    line = logged(weir)
    assert (line["client"], line["header"], line["status"]) == ("499", "-", "-") and line["addr"] == up.address


def test_upstream_breaks_off(weir, backend):
    up = backend(lambda call: (call.send(answer(b"hello")[:-2]), call.close())[1])
    start(weir, up)
    with weir.connect() as client:
        client.request("/")
        client.until_close()
    line = logged(weir)
    assert (line["status"], line["length"], line["client"]) == ("200", "3", "200")


@pytest.mark.directive("add_header")
def test_add_header(weir, backend):
    """Of all servers that were asked; what comes at the end is not known yet."""
    bad, good = backend(answer(status="503 No")), backend(answer(b"x", "X-Some-Name: n", "Set-Cookie: one=c"))
    passed(weir, "up", 'proxy_next_upstream http_503; add_header X-Tries "$upstream_addr|$upstream_status|'
           '$upstream_http_x_some_name|$upstream_cookie_one|$upstream_header_time|$upstream_trailer_a" always;',
           http=upstream(f"{bad.address} weight=9", good))
    addr, status, name, cookie, header, trailer = weir.get().header("X-Tries").split("|")
    assert (addr, status, name, cookie) == (f"{bad.address}, {good.address}", "503, 200", "n", "c")
    assert re.fullmatch(f"{TIME}, {TIME}", header) and trailer == ""


def test_redirect_to_a_file(weir, backend):
    (weir.tmp / "html/f").write_text("file")
    up = backend(answer(b"theirs", "X-Accel-Redirect: /files/f", "X-Some-Name: v"))
    start(weir, up, server="location /files/ { alias html/; access_log logs/a.log a; }")
    assert weir.get("/x").text == "file"
    line = logged(weir)
    assert (line["addr"], line["status"], line["http"]) == (up.address, "200", "v")
