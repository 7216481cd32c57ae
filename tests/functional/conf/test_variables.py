"""Variables: what each of them is worth in every situation, as nginx's documentation has it.

`shown` asks for a page that returns a variable's value; `logged` reads one from the access log, where nginx writes "-" for
what there is not and nothing for what is empty.
"""

import base64
import hashlib
import os
import pathlib
import re
import signal
import socket
import time

import pytest
import weirlib
from mistakes import PARENTHESIS, arguments
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import take_time, wait_until
from wire import ask, chunked, head, post

# A log of every request but those of the server's start.
LOG = "map $uri $counted { /status 0; default 1; } log_format seen '%s';"


def config(locations="", http="", server="", **parts):
    if http and "log_format seen" in http:
        server += "access_log {tmp}/logs/seen.log seen if=$counted;"
    return weirlib.config(locations, http=http, server=server, **parts)


def get(weir, target="/", *fields, host="localhost", method="GET"):
    return ask(weir.port, head(f"{method} {target} HTTP/1.1", *fields, host=f"Host: {host}" if host else ""), method)


def shown(weir, target="/", *fields, **options):
    reply = get(weir, target, *fields, **options)
    assert reply.status == 200, (target, reply)
    return reply.body.decode("latin-1")


def start(weir, locations="", http="", **parts):
    """A server whose every page is text."""
    weir.start(config(locations, http="default_type text/plain;" + http, **parts))
    return weir


def show(weir, text, **parts):
    """A server whose every page is this text."""
    return start(weir, f'location / {{ return 200 "{text}"; }}', **parts)


def lines(weir, count=1):
    """The lines of the log, so many."""
    path = weir.tmp / "logs/seen.log"
    read = lambda: path.read_text("latin-1").splitlines() if path.exists() else []  # noqa: E731
    wait_until(lambda: len(read()) >= count, 3, f"{count} lines")
    assert len(read()) == count, read()
    return read()


# ---- requests: arguments, headers, cookies ----------------------------------------------------------------

ARGS = {"/": "||", "/?": "||", "/?a": "?||a", "/?a=": "?||a=", "/?a=1": "?|1|a=1", "/?A=1&a=2": "?|1|A=1&a=2",
        "/?xa=1&a=2&a=3": "?|2|xa=1&a=2&a=3", "/?a%20=2": "?||a%20=2", "/?b&a=%41+b": "?|%41+b|b&a=%41+b",
        "/?x;a=2": "?||x;a=2", "/?a=b=c": "?|b=c|a=b=c", "/?&&a=1&": "?|1|&&a=1&"}


def test_arguments(weir):
    show(weir, "$is_args|$arg_a|$query_string")
    assert {target: shown(weir, target) for target in ARGS} == ARGS


COOKIES = {("a=1; b=2",): "1|2|", ("b=2", "c=3; a=1"): "1|2|3", ("A=1; B=2",): "1|2|", ("a =1; b= 2",): "1|2|",
           ("xa=1; a; b==;c=a=b",): "|=|a=b", ('c="x y"',): '||"x y"', ("a=1; a=2",): "1||", ("a=1,b=2",): "1,b=2|2|",
           ("",): "||", ("=1; ;; a=",): "||"}


def test_cookies(weir):
    """Names of cookies know no case."""
    show(weir, "$cookie_a|$cookie_B|$cookie_c")
    assert {sent: shown(weir, "/", *(f"Cookie: {each}" for each in sent)) for sent in COOKIES} == COOKIES


def test_a_cookie_without_a_name(weir):
    sent = {"=v": "v", "a=b; = v ": "v", "a=x; =v, =w": "v, =w", "x=1,=v": "v", "==v": "=v", "a; =v": "v", "=": "", "a=b": "", "": ""}
    show(weir, "$cookie_")
    assert {each: shown(weir, "/", f"Cookie: {each}") for each in sent} == sent


def test_headers(weir):
    """Several lines of one name are put together; "-" of a name is "_"."""
    show(weir, "$http_x_two|$http_cookie|$http_host|$http_none|$content_type|$content_length")
    assert shown(weir, "/", "X-Two: 1", "x-two: 2", "Cookie: a=1", "Cookie: b=2", "Content-Type: a/b",
                 "Content-Length: 0", host="Some.Host:80") == "1, 2|a=1; b=2|Some.Host:80||a/b|0"


USERS = {"Basic " + base64.b64encode(b"joe:secret").decode(): "joe", "basic am9lOg==": "joe", "Basic   am9lOg==": "joe",
         "Basic " + base64.b64encode(b":secret").decode(): "", "Basic " + base64.b64encode(b"joe").decode(): "",
         "Basic am9lOg!!": "", "Basic": "", "Bearer am9lOg==": "", "Basicam9lOg==": ""}


def test_remote_user(weir):
    show(weir, "$remote_user")
    assert {sent: shown(weir, "/", f"Authorization: {sent}") for sent in USERS} == USERS


HOSTS = {"EXample.ORG": "example.org||", "example.org.": "example.org||", "h:80": "h|:|80", "[::1]:8080": "[::1]|:|8080",
         "[::1]": "[::1]||"}


def test_host(weir):
    """Lower case, without its port; without a Host the server's name."""
    show(weir, "$host|$is_request_port|$request_port", server="server_name one.example;")
    assert {host: shown(weir, "/", host=host) for host in HOSTS} == HOSTS
    assert shown(weir, "http://Other.example:81/x", host="h") == "other.example|:|81"
    assert ask(weir.port, b"GET / HTTP/1.0\r\n\r\n").text == "one.example||"


def test_the_request(weir):
    show(weir, "$request|$request_method|$request_uri|$uri|$document_uri|$server_protocol|$scheme|$https|$pipe")
    assert shown(weir, "/a%20b/..//%41?x=%20") == ("GET /a%20b/..//%41?x=%20 HTTP/1.1|GET|/a%20b/..//%41?x=%20|/A|/A|"
                                                   "HTTP/1.1|http||.")
    assert ask(weir.port, b"GET /x HTTP/1.0\r\n\r\n").text == "GET /x HTTP/1.0|GET|/x|/x|/x|HTTP/1.0|http||."


def test_after_rewrites_and_error_pages(weir):
    """$uri, $args and $request_method are the new ones, $request_uri and $request the client's."""
    text = '"$uri|$args|$is_args|$request_uri|$request_method|$request"'
    start(weir, f"location /show {{ return 200 {text}; }} location /a {{ rewrite ^/a/(.*)$ /show/$1?z=2 last; }}"
                f"location /b {{ set $args n=$arg_q; rewrite ^ /show; }} location /c {{ rewrite ^ /show? last; }}"
                "location /e { error_page 403 =200 /show/e?why=x; return 403; }"
                "location /n { error_page 404 =200 @n; return 404; } location @n { return 200 " + text + "; }")
    assert shown(weir, "/a/x?y=1") == "/show/x|z=2&y=1|?|/a/x?y=1|GET|GET /a/x?y=1 HTTP/1.1"
    assert shown(weir, "/b?q=1") == "/show|n=1|?|/b?q=1|GET|GET /b?q=1 HTTP/1.1"
    assert shown(weir, "/c?q=1") == "/show|||/c?q=1|GET|GET /c?q=1 HTTP/1.1"
    assert shown(weir, "/e?q", method="POST") == "/show/e|why=x|?|/e?q|GET|POST /e?q HTTP/1.1"
    assert shown(weir, "/n?q", method="POST") == "/n|q|?|/n?q|POST|POST /n?q HTTP/1.1"


# ---- files ------------------------------------------------------------------------------------------------

def test_file_names(weir):
    """root and alias with variables, and expressions in an alias's location."""
    weir.write("x", "html/real/f")
    (weir.tmp / "html/link").symlink_to(weir.tmp / "html/real")
    text = 'return 200 "$document_root $request_filename $realpath_root";'
    start(weir, "location / { %s } location /v { root {tmp}/html/$host/; %s } location /g/ { alias {tmp}/html/$arg_d/; %s }"
                "location /al/ { alias {tmp}/html/real/; location ~ ^/al/(n)/(.*)$ { add_header X-Of $1,$2; %s } }"
                "location ~ ^/re/(.*)/(.*)$ { alias {tmp}/html/$1/d/$2; %s } location /link { root {tmp}/html/link; %s }"
                "location /m/ { alias {tmp}/html/$dir/; %s }".replace("%s", text),
          http="map $arg_d $dir { r real; default no; }", server="root {tmp}/html;")
    html = f"{weir.tmp}/html"
    wanted = {"/a/b%20c": f"{html} {html}/a/b c {html}", "/v/x": f"{html}/h.example {html}/h.example/v/x ",
              "/g/x/y?d=real": f"{html}/real/ {html}/real/x/y {html}/real",
              "/al/n/z": f"{html}/real/ {html}/real/n/z {html}/real",
              "/re/one/x": f"{html}/one/d/x {html}/one/d/x ", "/m/f?d=r": f"{html}/real/ {html}/real/f {html}/real",
              "/link/f": f"{html}/link {html}/link/link/f {html}/real"}
    assert {target: shown(weir, target, host="H.example") for target in wanted} == wanted
    assert get(weir, "/al/n/z").header("X-Of") == "n,z"


@pytest.mark.parametrize("host", ["..", "a..b", ".", "a/b", "a\\b"])
def test_a_host_leaves_no_folder(weir, host):
    weir.write("secret", "html/secret")
    start(weir, "location / { root {tmp}/html/$host; }")
    assert get(weir, "/secret", host=host).status == 400


@pytest.mark.parametrize("line", ["root /x$document_root;", "root /x/${realpath_root};", "alias /x/$document_root/;"])
def test_a_root_of_itself(weir, line):
    result = weir.run("-t", conf=config(f"location / {{ {line} }}"))
    assert result.returncode == 1 and "cannot be used" in result.stderr


@pytest.mark.parametrize("root", ["$request_filename", "$m", "$again"])
def test_a_root_that_asks_for_itself(weir, root):
    """By a detour: such a request fails, and the worker goes on."""
    weir.expect_log("No such file")
    weir.start(config(f"location / {{ root {root}; }} location /set {{ set $again $request_filename; root $again; }}",
                      http="map $uri $m { default $document_root; }", server="set $again $document_root;"))
    workers = weir.worker_pids()
    assert get(weir, "/file").status >= 400 and get(weir, "/set").status >= 400 and weir.worker_pids() == workers


# ---- the connection and times -----------------------------------------------------------------------------

def test_both_ends(weir):
    show(weir, "$remote_addr|$server_addr|$server_port|$hostname|$remote_port|$pid|$server_name", server="server_name n.x m.x;")
    with weir.connect() as client:
        port = client.socket.getsockname()[1]
        addr, own, own_port, name, remote_port, pid, server = client.get("/").text.split("|")
    assert (addr, own, own_port, name) == ("127.0.0.1", "127.0.0.1", str(weir.port), socket.gethostname())
    assert (remote_port, server) == (str(port), "n.x") and {int(pid)} == weir.worker_pids()


@pytest.mark.directive("proxy_set_body")
def test_binary_address(weir, backend):
    up = backend()
    weir.start(config(f"location / {{ proxy_set_body $binary_remote_addr; proxy_pass http://{up.address}; }}"))
    assert get(weir).status == 200 and up.call.body == bytes([127, 0, 0, 1])


def test_one_connection(weir):
    show(weir, "$connection|$connection_requests|$connection_time|$request_length|$pipe")
    with weir.connect() as client:
        first = client.get("/").text.split("|")
        take_time(0.05)
        client.request("/")
        second = client.response().text.split("|")
        client.send(head() * 2)
        piped = [client.response().text.split("|") for _ in range(2)]
    assert first[0] == second[0] and [first[1], second[1]] == ["1", "2"] and first[3] == str(len("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert float(second[2]) >= 0.05 and re.fullmatch(r"\d+\.\d{3}", second[2]) and piped[1][4] == "p"
    assert int(shown(weir, "/").split("|")[0]) > int(first[0])


def test_times(weir):
    show(weir, "$msec|$time_iso8601|$time_local|$date_gmt|$date_local|$request_time")
    msec, iso, local, gmt, here, took = shown(weir).split("|")
    assert abs(float(msec) - time.time()) < 5 and re.fullmatch(r"\d+\.\d{3}", msec) and re.fullmatch(r"\d\.\d{3}", took)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", iso)
    assert abs(time.mktime(time.strptime(local[:20], "%d/%b/%Y:%H:%M:%S")) - time.time()) < 5
    assert time.strptime(gmt, "%A, %d-%b-%Y %H:%M:%S GMT") and re.fullmatch(r"\w+, \d\d-\w{3}-\d{4} [\d:]{8} \S+", here)


def test_of_the_kernel_and_the_program(weir):
    show(weir, "$tcpinfo_rtt|$tcpinfo_rttvar|$tcpinfo_snd_cwnd|$tcpinfo_rcv_space|$nginx_version|$weir_version|$limit_rate",
         server="set $limit_rate 4k;")
    *numbers, version, own, rate = shown(weir).split("|")
    assert all(each.isdigit() for each in numbers) and int(numbers[2]) > 0 and int(numbers[3]) > 0
    assert version == own == weir.status()["version"] and rate == "4096"


def test_request_ids(weir):
    show(weir, "$request_id|$request_id")
    one, same = shown(weir).split("|")
    assert one == same and re.fullmatch("[0-9a-f]{32}", one) and shown(weir) != f"{one}|{one}"


# ---- answers ----------------------------------------------------------------------------------------------

def test_sent_headers(weir):
    """Every header that was sent, by its own or the server's hand; several of one name together."""
    weir.write("hello", "html/f.txt")
    names = ("content_type", "content_length", "last_modified", "etag", "accept_ranges", "location", "connection",
             "x_a", "cache_control", "none", "transfer_encoding", "content_range")
    start(weir, "location / { root {tmp}/html; } location /h { add_header X-A 1; add_header x-a 2; add_header Cache-Control c;"
                " expires 1h; return 200 x; } location /r { return 301 /x; }",
          http=LOG % "|".join(f"$sent_http_{name}" for name in names))
    file = get(weir, "/f.txt")
    get(weir, "/h", "Connection: close"), get(weir, "/r"), get(weir, "/f.txt", "Range: bytes=0-1")
    modified, etag = file.header("Last-Modified"), file.header("ETag").replace('"', r"\x22")
    found = [dict(zip(names, line.split("|"))) for line in lines(weir, 4)]
    wanted = [{"content_type": "text/plain", "content_length": "5", "last_modified": modified, "etag": etag,
               "accept_ranges": "bytes", "none": "-", "x_a": "-", "location": "-"},
              {"x_a": "1, 2", "cache_control": "max-age=3600, c", "connection": "close", "content_length": "1"},
              {"location": f"http://localhost:{weir.port}/x", "content_type": "text/html"},
              {"content_length": "2", "content_range": "bytes 0-1/5", "last_modified": modified, "accept_ranges": "-"}]
    assert [{name: each[name] for name in want} for each, want in zip(found, wanted)] == wanted


@pytest.mark.directive("add_trailer")
def test_sent_trailers_and_chunks(weir):
    start(weir, "location / { add_trailer X-T a$arg_a; add_trailer X-T 2; add_trailer X-U u; return 200 hello; }",
          http=LOG % "$sent_trailer_x_t|$sent_trailer_x_u|$sent_trailer_none|$sent_http_transfer_encoding|$sent_http_content_length")
    assert get(weir, "/?a=1").text == "hello"
    assert lines(weir)[-1] == "a1, 2|u|-|chunked|-"


def test_headers_of_upstreams(weir, backend):
    up = backend(answer(b"hello", "X-A: 1", "X-A: 2", "Set-Cookie: id=7; Path=/", "Set-Cookie: B=8"))
    weir.start(config(f"location / {{ proxy_pass http://{up.address}; }}",
                      http=LOG % "$upstream_http_x_a|$upstream_cookie_id|$upstream_cookie_b|$upstream_http_none|$upstream_status|"
                      "$upstream_response_length|$proxy_host|$proxy_port|$upstream_addr|$sent_http_x_a"))
    get(weir)
    assert lines(weir)[-1] == f"1, 2|7|8|-|200|5|{up.address}|{up.port}|{up.address}|1, 2"


@pytest.mark.directive("gzip_types")
def test_what_was_counted(weir):
    weir.write("abc" * 5000, "html/big.txt")
    start(weir, "location / { root {tmp}/html; gzip on; gzip_types text/plain; gzip_min_length 1; }",
          http=LOG % "$status|$bytes_sent|$body_bytes_sent|$gzip_ratio|$request_completion|$request_time|$request_length")
    plain, zipped = get(weir, "/big.txt"), get(weir, "/big.txt", "Accept-Encoding: gzip")
    one, two = [line.split("|") for line in lines(weir, 2)]
    assert one[0] == "200" and one[2] == "15000" and int(one[1]) > 15000 and one[3] == "-" and one[4] == "OK"
    assert re.fullmatch(r"\d+\.\d\d", two[3]) and abs(float(two[3]) - 15000 / len(zipped.body)) < 0.006 and len(plain.body) == 15000


def test_an_answer_that_is_not_whole(weir):
    start(weir, "location / { limit_rate 1k; root {tmp}/html; }", http=LOG % "[$request_completion]")
    (weir.tmp / "html/big").write_bytes(b"x" * 100000)
    with weir.connect() as client:
        client.request("/big")
        client.socket.recv(100)
    assert lines(weir)[-1] == "[]"


def test_empty_and_absent_in_logs(weir):
    """A dash stands for what there is not; what is empty is empty, as in nginx."""
    weir.start(config('location / { return 200 x; }', server="server_name \"\";", http="map $arg_q $nothing { default ''; }" + LOG %
                      "[$args][$is_args][$arg_a][$arg_b][$http_x][$http_y][$https][$nothing][$remote_user][$cookie_c][$request_body]"
                      "[$request_body_file][$gzip_ratio][$upstream_addr]"))
    get(weir, "/?a=", "X:", "Cookie: c=")
    get(weir, "/")
    full, bare = lines(weir, 2)
    assert full == "[a=][?][][-][][-][][][-][][-][-][-][-]" and bare == "[-][][-][-][-][-][][][-][-][-][-][-][-]"


MALFORMED = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xa5\r\n\r\n", b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
             b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
             b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", b"x" * 20000 + b"\r\n\r\n",
             b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"]
ALL = ("args arg_a is_args query_string content_length content_type cookie_a document_uri host http_x remote_user request "
       "is_request_port request_body_file request_method request_port request_uri sent_http_x sent_http_etag sent_trailer_x uri "
       "proxy_add_x_forwarded_for proxy_host proxy_port binary_remote_addr body_bytes_sent bytes_sent connection connection_requests "
       "connection_time date_gmt date_local gzip_ratio hostname https msec nginx_version pid pipe remote_addr remote_port "
       "request_completion request_length request_time scheme server_addr server_name server_port server_protocol status time_iso8601 "
       "time_local weir_version document_root realpath_root request_filename limit_rate request_body tcpinfo_rtt tcpinfo_rttvar "
       "tcpinfo_snd_cwnd tcpinfo_rcv_space invalid_referer secure_link secure_link_expires upstream_addr upstream_status "
       "upstream_http_x upstream_cookie_x upstream_trailer_x upstream_response_time upstream_queue_time request_id traceparent "
       "realip_remote_addr realip_remote_port proxy_protocol_addr limit_req_status limit_conn_status limit_concurrency_status "
       "limit_concurrency_reason limit_concurrency_zone limit_concurrency_queue_time m g s mine 1").split()


def test_every_variable_of_what_is_no_request(weir):
    """Logs and error pages may ask for each of them before there is a path, a host or a location."""
    text = "|".join("$" + name for name in ALL)
    start(weir, 'location /bad { return 200 "%s"; }' % text, http=LOG % text +
          "map $uri $m { ~^/(.) $1; default $document_root; } geo $arg_a $g { default 0; } split_clients $uri $s { * x; }",
          server="error_page 400 /bad; secure_link $arg_a,$arg_b; secure_link_md5 $uri; set $mine $request_filename; valid_referers none;"
          "root {tmp}/$host;")
    workers = weir.worker_pids()
    for raw in MALFORMED:
        with weir.connect() as client:
            client.send(raw)
            client.socket.shutdown(socket.SHUT_WR)
            client.until_close()
    assert weir.worker_pids() == workers and len(lines(weir, len(MALFORMED))) == len(MALFORMED)


# ---- bodies -----------------------------------------------------------------------------------------------

def test_request_body(weir, backend):
    """What is in memory; a body in a file is not read for it."""
    up = backend()
    weir.start(config(f"client_body_buffer_size 1k; location / {{ proxy_set_header X-Body $request_body; proxy_pass http://{up.address}; }}"
                      "location /echo { handler echo; }", http=LOG % "$request_body|$request_body_file"))
    for target in ("/", "/echo"):
        assert ask(weir.port, post(target, "Content-Length: 5", body=b"hello")).status == 200
        assert ask(weir.port, post(target, "Transfer-Encoding: chunked", body=chunked(b'"a\\\n', 2))).status in (200, 400)
        assert ask(weir.port, post(target, "Content-Length: 5000", body=b"x" * 5000)).status == 200
    first = lines(weir, 6)[:3]
    assert first[:2] == ["hello|-", r"\x22a\x5C\x0A|-"] and re.fullmatch(r"-\|/\S+/client_body_temp/\d+", first[2]), first
    assert up.calls[0].header("X-Body") == "hello" and up.calls[-1].header("X-Body") is None


@pytest.mark.parametrize("mode, stays", [("on", True), ("clean", False), ("off", None)])
def test_body_files(weir, backend, mode, stays):
    """Each body gets a file with a name, which only the server's user may read, and which stays or goes."""
    seen = []

    def look(call):
        name = call.header("X-File")
        seen.append(name and (name, pathlib.Path(name).read_bytes(), os.stat(name).st_mode & 0o777))
        return answer()

    up = backend(look)
    weir.start(config(f"client_body_in_file_only {mode}; client_body_temp_path {{tmp}}/bodies; location / {{ "
                      f"proxy_set_header X-File $request_body_file; proxy_pass http://{up.address}; }} location /echo {{ handler echo; }}"
                      "location /none { return 204; } location /fib { handler fib; }", http=LOG % "$request_body_file"))
    assert ask(weir.port, post("/", "Content-Length: 5", body=b"hello")).status == 200
    assert ask(weir.port, post("/", "Transfer-Encoding: chunked", body=chunked(b"world", 2))).status == 200
    assert ask(weir.port, post("/echo", "Content-Length: 4", body=b"echo")).body == b"echo"
    assert ask(weir.port, post("/fib?n=junk", "Content-Length: 4", body=b"fail")).status >= 400
    assert ask(weir.port, post("/none", "Content-Length: 4", body=b"none")).status == 204
    if stays is None:
        assert seen == [None, None] and set(lines(weir, 5)) == {"-"}
        return
    assert [each[1:] for each in seen] == [(b"hello", 0o600), (b"world", 0o600)] and seen[0][0] != seen[1][0]
    assert all(re.fullmatch(rf"{weir.tmp}/bodies/\d{{10}}", each[0]) for each in seen)
    wait_until(lambda: len(list((weir.tmp / "bodies").iterdir())) == (4 if stays else 0), 2, "the files that stay")
    assert [name == "-" for name in lines(weir, 5)] == [False] * 4 + [True]


@pytest.mark.directive("client_body_buffer_size", "client_body_in_file_only", "client_body_temp_path")
def test_body_files_of_clients_that_leave(weir):
    weir.start(config("client_body_in_file_only clean; client_body_temp_path {tmp}/bodies; client_body_buffer_size 1k;"
                      "location / { handler sleep; } location /echo { handler echo; }"))
    names = lambda: list((weir.tmp / "bodies").iterdir())  # noqa: E731
    with weir.connect() as client:
        client.send(post("/echo", "Content-Length: 9000", body=b"x" * 5000))
        wait_until(names, 2, "a file")
    wait_until(lambda: not names(), 2, "no file of a client that has left")
    with weir.connect() as client:
        client.send(post("/?ms=10000", "Content-Length: 5", body=b"hello"))
        wait_until(names, 2, "a file")
    wait_until(lambda: not names(), 3, "no file of a client that has left its handler")


def test_body_files_after_a_kill(weir):
    """A worker that is killed leaves its files; those of the next one have other names, and nothing stops it."""
    weir.expect_log("exited on signal 9|killed")
    weir.start(config("client_body_in_file_only clean; client_body_temp_path {tmp}/bodies; location / { handler sleep; }"
                      "location /echo { handler echo; }", http=LOG % "$request_body_file"))
    with weir.connect() as client:
        client.send(post("/?ms=10000", "Content-Length: 5", body=b"hello"))
        left = wait_until(lambda: [f for f in (weir.tmp / "bodies").iterdir() if f.read_bytes() == b"hello"], 2, "a whole file")
        worker, = weir.worker_pids()
        os.kill(worker, signal.SIGKILL)
        client.until_close()
    wait_until(lambda: weir.worker_pids() - {worker}, 5, "another worker")
    assert ask(weir.port, post("/echo", "Content-Length: 2", body=b"ok")).body == b"ok"
    assert left[0].read_bytes() == b"hello" and lines(weir)[-1] != str(left[0])


# ---- variables of the configuration -----------------------------------------------------------------------

@pytest.mark.parametrize("where", ['location / { return 200 "$nosuch"; }', "location / { add_header X $nosuch; }", "log_format x $nosuch; access_log logs/x x;",
                                   "location / { proxy_pass http://$nosuch; }", "root /x/$nosuch;", "map $uri $m { a $nosuch; }"])
def test_unknown_variables(weir, where):
    http = where if where.startswith(("log", "map")) else ""
    result = weir.run("-t", conf=config("" if http else where, http=http))
    assert result.returncode == 1 and re.search(r'unknown "nosuch" variable in \S+:\d+', result.stderr), result.stderr


def test_digits_end_a_capture(weir):
    """$1 is one digit: what stands behind it is text."""
    start(weir, 'location ~ ^/c/(.)(.) { return 200 "$1bar|$10|${host}x|$2_"; } location / { rewrite ^/r/(.*)$ /show/$1bar last; }'
                'location /show { return 200 "$uri"; }')
    assert shown(weir, "/c/ab") == "abar|a0|localhostx|b_" and shown(weir, "/r/foo") == "/show/foobar"


MAP = """map $arg_a $m { default d; abc 1; ABD 2; "~^r(?<cap>.)(.)$" "$cap-$2"; ~*^RX nc; "" empty; \\~lit lit; \\default dd;
                         volatile; include {tmp}/conf/m.inc; x$y xx; v "$arg_b!"; }
         map $arg_a $nod { q 1; } map $arg_a $chain { default "<$m>"; }"""
MAPPED = {"abc": "1||<1>", "ABC": "1||<1>", "abd": "2||<2>", "rxy": "x-y||<x-y>", "RXz": "nc||<nc>", "": "empty||<empty>",
          "~lit": "lit||<lit>", "default": "dd||<dd>", "x$y": "xx||<xx>", "v&b=2": "2!||<2!>", "inc": "i1||<i1>", "INC2": "i2||<i2>",
          "zz": "d||<d>", "q": "d|1|<d>", "volatile": "d||<d>"}


def test_map(weir):
    weir.write("inc i1; INC2 i2;", "conf/m.inc")
    show(weir, "$m|$nod|$chain", http=MAP)
    assert {value: shown(weir, f"/?a={value}") for value in MAPPED} == MAPPED
    start_of_named = shown(weir, "/?a=rxy")
    assert start_of_named == "x-y||<x-y>"


NAMES = {"ex.com": "dot", "a.ex.com": "dot", "EX.com": "dot", "a.org": "exact", "a.org.": "exact", "www.a.org": "www", "x.a.org": "star",
         "x.www.a.org": "star", "mail.q.r": "pre", "re5": "re", "zz": "d"}


@pytest.mark.directive("map")
def test_map_of_hostnames(weir):
    show(weir, "$h", http="map $host $h { hostnames; default d; .ex.com dot; *.a.org star; a.org exact; mail.* pre; ~^re\\d re; www.a.org www; }")
    assert {host: shown(weir, "/", host=host) for host in NAMES} == NAMES


GEO = """geo $g { default no; 10.0.0.0/8 ten; 10.1.0.0/16 teno; 10.1.2.3 x; delete 10.9.0.0/16; 10.9.0.0/16 again; 10.8.0.0/16 gone;
                  delete 10.8.0.0/16; 127.0.0.0/8 lo; 127.0.0.1 one; }
         geo $arg_ip $gi { default no; 10.0.0.0/8 ten; 10.1.0.0/16 teno; 10.1.2.3 x; 10.8.0.0/16 gone; delete 10.8.0.0/16; 10.1.0.0/16 twice;
                  2001:db8::/32 v6; 2001:db8:1::/48 v61; ::1 l6; include {tmp}/conf/g.inc; 192.168.5.7/24 masked; }
         geo $arg_ip $gr { ranges; default no; 10.0.0.0-10.0.255.255 a; 10.0.1.5-10.0.1.9 b; 0.0.0.0-0.0.0.9 z; 10.1.0.0-10.1.0.3 d1;
                  10.1.0.0-10.1.0.3 d2; 10.2.0.0-10.2.0.1 gone; delete 10.2.0.0-10.2.0.1; }"""
PLACES = {"10.2.3.4": "ten|no", "10.1.9.9": "twice|no", "10.1.2.3": "x|no", "10.8.1.1": "ten|no", "2001:db8::5": "v6|no",
          "2001:db8:1::9": "v61|no", "::1": "l6|no", "::ffff:10.1.2.3": "x|no", "3.3.3.3": "inc|no", "192.168.5.9": "masked|no",
          "junk": "no|no", "": "no|no", "10.0.0.0/8": "no|no", "10.0.1.4": "ten|a", "10.0.1.5": "ten|b", "10.0.1.9": "ten|b",
          "10.0.1.10": "ten|a", "10.0.255.255": "ten|a", "0.0.0.5": "no|z", "0.0.0.10": "no|no", "10.1.0.2": "twice|d2", "10.2.0.0": "ten|no"}


def test_geo(weir):
    """The narrowest network counts, and of two lines for the same one the last."""
    weir.write("3.3.3.3 inc;", "conf/g.inc")
    start(weir, 'location / { return 200 "$gi|$gr"; } location /own { return 200 $g; }', http=GEO)
    assert {ip: shown(weir, f"/?ip={ip}") for ip in PLACES} == PLACES and shown(weir, "/own") == "one"


BEHIND = {"": "self|self", "1.2.3.4": "client|client", "1.2.3.4, 5.6.7.8": "other|other", "1.2.3.4, 10.0.0.1": "prox|client",
          "1.2.3.4,10.0.0.2 , 10.0.0.1": "prox|client", "junk": "self|self", "1.2.3.4, junk": "self|self", "10.0.0.1, 10.0.0.2": "prox|prox",
          "1.2.3.4:80": "client|client", "2001:db8::1": "no|v6", "[2001:db8::1]:99": "no|v6", "9.9.9.9, 127.0.0.1": "self|no"}


@pytest.mark.directive("geo")
def test_geo_behind_proxies(weir):
    both = "default no; proxy 127.0.0.1; proxy 10.0.0.0/8; 1.2.3.4 client; 5.6.7.8 other; 10.0.0.0/8 prox; 127.0.0.1 self; 2001:db8::/32 v6;"
    show(weir, "$gp|$gr", http=f"geo $gp {{ {both.replace('2001:db8::/32 v6;', '')} }} geo $gr {{ proxy_recursive; {both} }}")
    found = {sent: shown(weir, "/", *([f"X-Forwarded-For: {sent}"] if sent else [])) for sent in BEHIND}
    assert found == BEHIND
    assert shown(weir, "/", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 10.0.0.1") == "prox|client"


@pytest.mark.directive("split_clients")
def test_split_clients(weir):
    """The same clients get the same share as from nginx, which has MurmurHash2."""
    show(weir, "$s|$rest", http='split_clients "$arg_a" $s { 10% a; 25.5% b; 0.01% c; * d; } split_clients "$arg_a" $rest { 50% a; 20% b; }')
    wanted = {"": "a|a", "0": "b|a", "1": "b|a", "3": "d|b", "5": "d|a", "7": "d|", "8": "a|a", "9": "d|b", "10": "a|a", "12": "d|", "abcd": "b|a"}
    assert {value: shown(weir, f"/?a={value}") for value in wanted} == wanted


REFERERS = {"http://www.ex.com/": "", "HTTP://WWW.EX.com": "", "https://www.ex.com:8080/x": "", "http://ex2.com/gal/1": "",
            "http://ex2.com:80/gal/1": "", "http://ex2.com/other": "1", "http://ex2.com": "1", "http://www.goo.de/": "", "http://a.reg.b/": "",
            "http://evil.org/.reg.": "", "http://www.ex.com.evil.org/": "1", "http://www.own.org/": "", "http://x.own2.org": "",
            "http://rex1.own3": "", "http://www.own.org:99/q": "", "ftp://a.ex.com": "", "-": "", "": "", "http://": "", "http://i.de": "1",
            "http://" + "a" * 300 + ".org/": "1"}


@pytest.mark.directive("valid_referers")
def test_referers(weir):
    start(weir, "location / { valid_referers none blocked *.ex.com ex2.com/gal/ www.goo.* ~\\.reg\\. server_names; return 200 $invalid_referer; }"
                "location /few { valid_referers ex.com; return 200 $invalid_referer; } location /any { return 200 $invalid_referer; }",
          server="server_name www.own.org *.own2.org ~^rex\\d\\.own3;")
    assert {sent: shown(weir, "/", f"Referer: {sent}") for sent in REFERERS} == REFERERS and shown(weir, "/") == ""
    assert [shown(weir, "/few", *each) for each in ([], ["Referer: -"], ["Referer: http://ex.com/"])] == ["1", "1", ""]
    assert shown(weir, "/any", "Referer: http://evil.org/") == ""


def md5(text):
    return base64.urlsafe_b64encode(hashlib.md5(text.encode()).digest()).decode()


@pytest.mark.directive("secure_link", "secure_link_md5")
def test_secure_links(weir):
    start(weir, "location /e { secure_link $arg_h,$arg_e; secure_link_md5 S$secure_link_expires$uri; return 200 $secure_link|$secure_link_expires; }"
                "location /f { secure_link $arg_h; secure_link_md5 S$uri; return 200 $secure_link|$secure_link_expires; }")
    later, before = int(time.time()) + 1000, int(time.time()) - 1000
    good = md5(f"S{later}/e")
    wanted = {f"/e?h={good}&e={later}": f"1|{later}", f"/e?h={good.rstrip('=')}&e={later}": f"1|{later}",
              f"/e?h={md5(f'S{before}/e')}&e={before}": f"0|{before}", f"/e?h={good}&e={later + 1}": f"|{later + 1}",
              f"/e?h={good[1:]}&e={later}": f"|{later}", f"/e?h=&e={later}": f"|{later}", f"/e?e={later}": f"|{later}",
              f"/e?h={good}===&e={later}": f"|{later}", f"/e?h={md5('S/e')}": "|", f"/e?h={md5('S0/e')}&e=0": "|",
              f"/e?h={md5('S-1/e')}&e=-1": "|", f"/e?h={md5('S12x/e')}&e=12x": "|", f"/e?h={md5('S' + '9' * 30 + '/e')}&e={'9' * 30}": "|",
              f"/f?h={md5('S/f')}": "1|", f"/f?h={md5('S/g')}": "|", "/f": "|"}
    assert {target: shown(weir, target) for target in wanted} == wanted


@pytest.mark.directive("secure_link_secret")
def test_secure_links_with_a_word(weir):
    """The hash is of the link as the client writes it, with its arguments."""
    start(weir, "location /sec/ { secure_link_secret word; return 200 [$secure_link]; }")
    of = lambda link: hashlib.md5(f"{link}word".encode()).hexdigest()  # noqa: E731
    wanted = {f"/sec/{of('a/b')}/a/b": "[a/b]", f"/sec/{of('a').upper()}/a": "[a]", f"/sec/{of('b')}/a": "[]", f"/sec/{of('')}/": "[]",
              "/sec/": "[]", f"/sec/{of('a')}0/a": "[]", f"/sec/{of('a')}": "[]", "/sec/" + "g" * 32 + "/a": "[]",
              f"/sec/{of('a%20b')}/a%20b": "[a%20b]", f"/sec/{of('a?b')}/a?b": "[a?b]", f"/sec/{of('a')}/a?b": "[]"}
    assert {target: shown(weir, target) for target in wanted} == wanted


WRONG = {
    "map $uri $m { a 1; a 2; }": 'conflicting parameter "a" in "map"',
    "map $uri $m { a 1; A 2; }": 'conflicting parameter "A" in "map"',
    "map $uri $m { default 1; default 2; }": "duplicate default map parameter; remove one of them",
    "map $uri $m { ~( 1; }": '"~(" in "map": pcre2_compile() failed: missing closing parenthesis',
    "map $uri m { }": 'invalid variable name "m" in "map"',
    "map $uri $host { }": 'the variable "host" is there already',
    "map $uri $m { a b c; }": "invalid number of the map parameters; write: KEY VALUE;",
    "map $uri $m { include {tmp}/none; }": 'open() "{tmp}/none" failed (2: No such file or directory)',
    "map $uri $m { hostnames; *.a.*.b 1; }": '"*.a.*.b" in "map": a wildcard stands only as a whole label at one end, such as *.example.org or',
    "geo $g { 10.0.0.0/33 1; }": 'invalid network "10.0.0.0/33" in "geo"',
    "geo $host { }": 'invalid variable name "$host" in "geo"',
    "geo $g { ranges; ::1-::2 a; }": 'invalid network "::1-::2" in "geo"',
    "geo $g { ranges; 1.1.1.2-1.1.1.1 a; }": 'invalid network "1.1.1.2-1.1.1.1" in "geo"',
    "geo g { }": 'invalid variable name "g" in "geo"',
    "split_clients $uri $s { 50% a; 50.1% b; }": 'invalid line in "split_clients"',
    "split_clients $uri $s { 0% a; }": 'invalid line in "split_clients"',
    "split_clients $uri $s { 50 a; }": 'invalid line in "split_clients"',
    "split_clients $uri $s { * b; 50% a; }": 'invalid line in "split_clients"',
    "server { valid_referers ~(; }": PARENTHESIS,
    "server { valid_referers; }": arguments("valid_referers", "at least 1"),
    "server { location / { secure_link a; secure_link_md5 b; secure_link_secret c; } }": '"secure_link_secret" cannot be mixed with "secure_link" and "secure_link_md5"; remove one of them',
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(http=wrong), wrong).startswith(weir.fill(WRONG[wrong]))


def test_names_in_any_case(weir):
    weir.start(config('set $Mine 1; location / { return 200 "$URI $Host $mine $HTTP_X_Name"; }'
                      'location ~ ^/r/(?<Part>.*) { return 200 "$part"; }'))
    assert weir.get("/a", headers=[("X-Name", "n")]).text == "/a localhost 1 n" and weir.get("/r/q").text == "q"
