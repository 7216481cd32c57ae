"""auth_request: another location decides; what of it is seen afterwards, and what of the request is still there."""

import base64
import os
import signal
import threading
import time

import pytest
import weirlib
from mistakes import arguments
from proxylib import CHUNKS, OK, answer, backend  # noqa: F401 - a fixture
from weirlib import config, take_time, wait_until, watch
from wire import chunked, head

LOG = "log_format asked '$request_method $request_uri $uri $status';"
OPEN = "location = /open { internal; return 204; } location = /shut { internal; return 403; }"
LOGIN = 'location = /login { auth_request off; return 200 "login of $request_uri"; }'
STATUSES = {"200 OK": 200, "204 No Content": 200, "299 Odd": 200, "401 Unauthorized": 401, "403 Forbidden": 403,
            "101 Switching Protocols": 500, "300 Choices": 500, "302 Found": 500, "304 Not Modified": 500,
            "400 Bad Request": 500, "404 Not Found": 500, "500 Oops": 500, "503 Busy": 500}


def start(weir, locations, http="", server="", most="20m", **parts):
    (weir.tmp / "html/f").write_text("file")
    weir.expect_log("auth request unexpected status|access forbidden by rule|password mismatch")
    weir.start(config(OPEN + locations, http=LOG + http,
                      server="root {tmp}/html; access_log logs/asked.log asked; client_max_body_size " + most + ";" + server,
                      **parts))
    return weir


def logged(weir, count):
    """The access log's lines once there are so many, without those for the status."""
    path = weir.tmp / "logs/asked.log"

    def lines():
        return [line for line in path.read_text().splitlines() if "/status" not in line] if path.exists() else []
    wait_until(lambda: len(lines()) >= count, 3, f"{count} lines in the access log")
    watch(0.02)
    assert len(lines()) == count, lines()
    return lines()


def is_calm(weir):
    """Nothing of any request is left: the one that asks is all there is."""
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 3, "no request in flight")
    return True


def rest_of(client):
    """What comes until the connection ends, or for as long as an answer to what follows would take."""
    client.socket.settimeout(weirlib.limit(1))
    data = [client.unread]
    try:
        while data[-1] or len(data) == 1:
            data.append(client.socket.recv(1 << 16))
    except TimeoutError:
        data.append(b"(left open)")
    except ConnectionResetError:
        pass
    return b"".join(data)


def to(up, more="", name="/auth"):
    return f"location = {name} {{ internal; proxy_pass http://{up.address}; proxy_pass_request_body off; {more} }}"


def basic(user, password):
    return ("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())


# ---- what the answer decides --------------------------------------------------------------------------------

def test_statuses_of_an_upstream(weir, backend):
    """2xx lets pass, 401 and 403 are the client's, all else is an error that is logged."""
    asked = backend(lambda call: answer(b"", status=call.header("X-Want")))
    start(weir, to(asked) + "location /f { auth_request /auth; }")
    with weir.connect() as client:
        for want, seen in STATUSES.items():
            reply = client.get("/f", headers=[("X-Want", want)])
            if want.startswith("101"):
                assert reply.status == 500  # an invalid answer: nobody has asked for it
                continue
            assert (reply.status, reply.body == b"file") == (seen, seen == 200), want
            if seen == 500:
                weir.wait_log(f"auth request unexpected status: {want[:3]}")
    assert is_calm(weir)


@pytest.mark.parametrize("code", [200, 204, 301, 401, 403, 404, 500, 503])
def test_statuses_of_return(weir, code):
    """The main request is answered at once, whatever answers it, and the connection goes on."""
    text = "/y" if code == 301 else "" if code == 204 else "x"
    start(weir, f'location = /a {{ return {code} "{text}"; }} location / {{ auth_request /a; }}'
          "location /t { auth_request /a; try_files /none =404; } location /fib { auth_request /a; handler fib; }")
    seen = {301: 500, 401: 401, 403: 403}.get(code, code if code > 600 else 500)
    with weir.connect() as client:
        for _ in range(2):
            found = [client.get(target).status for target in ("/f", "/t", "/fib?n=1", "/none")]
            assert found == ([200, 404, 200, 404] if code < 300 else [seen] * 4)


def test_answered_by_a_file(weir):
    """Present or not; conditions and ranges of the request are not about that file."""
    start(weir, "location = /a { internal; alias {tmp}/html/f; } location = /n { internal; alias {tmp}/html/none; }"
          "location = /f { auth_request /a; } location = /g { auth_request /n; alias {tmp}/html/f; }")
    plain = weir.get("/f")
    assert plain.text == "file" and weir.get("/g").status == 500
    found = {name: weir.get("/f", headers=[(name, value)]).status for name, value in {
        "If-None-Match": plain.header("ETag"), "If-Modified-Since": plain.header("Last-Modified"),
        "If-Match": '"other"', "Range": "bytes=100-"}.items()}
    assert found == {"If-None-Match": 304, "If-Modified-Since": 304, "If-Match": 412, "Range": 416}


def test_answered_by_a_handler(weir):
    start(weir, "location = /a { internal; handler fib; } location = /bad { handler fib; } location = /echo { handler echo; }"
          "location = /f { auth_request /a?n=5; } location = /g { auth_request /bad?n=x; }"
          "location = /e { auth_request /echo; handler echo; }")
    with weir.connect() as client:
        assert client.get("/f").text == "file" and client.get("/g").status == 500
        client.request("/e", "POST", body=b"mine" * 50000)
        assert client.response().body == b"mine" * 50000
        client.request("/e", "POST", [("Transfer-Encoding", "chunked")])
        client.send(chunked(b"yours", 2))
        assert client.response().body == b"yours"
    assert is_calm(weir)


def test_answered_by_a_streaming_handler(weir, pour):
    """Nothing of the stream reaches the client, however long it is."""
    start(weir, "location = /pour { handler pour; } location = /f { auth_request /pour?n=300&size=20000; }"
          "location = /stay { auth_request /pour?n=1000000&size=100&us=1000; }", main=f"load_module {pour};")
    with weir.connect() as client:
        for _ in range(3):
            assert client.get("/f").text == "file"
    client = weir.connect()
    client.send(head("GET /stay HTTP/1.1"))
    client.wait_taken()
    client.close()
    assert is_calm(weir)
    assert logged(weir, 4)[-1].endswith("499")


def test_handler_that_takes_too_long(weir):
    """As any error of the location that is asked; it is asked once for the page, too."""
    weir.expect_log("timed out")
    start(weir, "location = /slow { handler sleep; handler_timeout 100ms; } location = /f { auth_request /slow?ms=1500; }"
          "location /g { auth_request /slow?ms=1500; error_page 500 504 /g/page; }")
    assert weir.get("/f").status in (500, 504)
    began = time.monotonic()
    assert weir.get("/g/x").status in (500, 504)
    assert time.monotonic() - began < weirlib.limit(0.6)
    assert is_calm(weir) and len(logged(weir, 2)) == 2


def test_pool_that_is_full(weir):
    start(weir, "location = /slow { handler sleep; } location = /f { auth_request /slow?ms=300; }",
          pool="threads=1 max_queue=1")
    clients = [weir.connect() for _ in range(6)]
    for client in clients:
        client.send(head("GET /f HTTP/1.1"))
    found = sorted(client.response().status for client in clients)
    assert set(found) <= {200, 500, 503} and found[0] == 200 and found[-1] >= 500
    assert is_calm(weir)


@pytest.mark.directive("status")
def test_the_status_and_a_folder(weir):
    (weir.tmp / "html/d").mkdir()
    start(weir, "location = /s { status; } location = /f { auth_request /s; } location = /d { auth_request /d; }"
          "location = /n { auth_request /named; alias {tmp}/html/f; } location = /named { try_files /none @it; }"
          "location @it { return 204; }")
    assert weir.get("/f").text == "file" == weir.get("/n").text and weir.get("/d").status == 500


def test_closing_without_an_answer(weir):
    start(weir, "location = /a { return 444; } location = /f { auth_request /a; }")
    with weir.connect() as client:
        client.send(head("GET /f HTTP/1.1"))
        assert client.until_close() == b""
    assert logged(weir, 1) == ["GET /f /f 444"] and is_calm(weir)


def test_levels_and_off(weir):
    start(weir, LOGIN + "location /in { auth_request /open; location /in/off { auth_request off; }"
          "location /in/as { } } location /if { if ($arg_x) { add_header X-If 1; } }", server="auth_request /shut;")
    for name in ("f", "in", "if"):
        (weir.tmp / f"html/{name}").write_text("x") if name == "if" else None
    assert weir.get("/f").status == 403 == weir.get("/if?x=1").status == weir.get("/if").status
    assert weir.get("/login").status == 200 and weir.get("/in/off/x").status == weir.get("/in/as/x").status == 404


WRONG = {
    "auth_request;": arguments("auth_request", "exactly 1"),
    "auth_request /a /b;": arguments("auth_request", "exactly 1"),
    "auth_request_set $x;": arguments("auth_request_set", "exactly 2"),
    "auth_request_set x 1;": 'invalid variable name "x" in "auth_request_set"',
    "auth_request_set $host 1;": 'the duplicate "host" variable cannot be set',
}


@pytest.mark.parametrize("where", WRONG)
def test_mistakes(weir, where):
    assert weir.mistake(config(f"\n{where}\n"), where).startswith(WRONG[where])


@pytest.mark.directive("limit_except")
def test_in_blocks(weir):
    """Where an if holds, and for the methods that limit_except leaves over."""
    start(weir, "location = /f { if ($arg_x) { auth_request /shut; } }"
          "location = /e { limit_except GET { auth_request /shut; auth_request_set $in $uri; add_header X-In $in always; } "
          "alias {tmp}/html/f; } location = /o { auth_request /shut; limit_except GET { auth_request off; } handler echo; }")
    assert [weir.get(target).status for target in ("/f", "/f?x=1", "/e", "/o")] == [200, 403, 200, 403]
    reply = weir.get("/e", method="POST", body=b"x")
    assert (reply.status, reply.header("X-In")) == (403, "/shut")
    assert weir.get("/o", method="POST", body=b"x").body == b"x"


@pytest.mark.directive("limit_except")
def test_limit_except(weir):
    """Its rules are not for the question, which is a GET; but its block is, as in nginx: the location's "return" does not run."""
    start(weir, "location = /f { limit_except GET { deny all; } auth_request /open; }"
          "location = /a { limit_except POST { deny all; return 204; } } location = /g { auth_request /a; alias {tmp}/html/f; }"
          "location = /b { limit_except POST { deny all; } return 204; } location = /h { auth_request /b; alias {tmp}/html/f; }")
    weir.expect_log("auth request unexpected status: 404|html/b. failed")
    assert weir.get("/f").status == 200 == weir.get("/g").status
    assert weir.get("/h").status == 500
    assert weir.get("/f", method="POST", body=b"x").status == 403


def test_not_asked_again_in_vain(weir, backend):
    """The location that is asked has no limits by address of its own, nor asks another; see satisfy for the first one's."""
    asked = backend(answer(b""))
    start(weir, to(asked, "deny all; auth_request /shut;") + "location = /f { auth_request /auth; }")
    assert weir.get("/f").text == "file" and len(asked.calls) == 1
    assert weir.get("/auth").status == 404


def test_internal_redirects_ask_again(weir, backend):
    """index leads to another location, which has a question of its own."""
    asked = backend(answer(b""))
    (weir.tmp / "html/index.html").write_text("index")
    start(weir, to(asked) + "location = / { auth_request /auth; } location / { auth_request /auth; }"
          "location /t { auth_request /auth; try_files /none @n; } location @n { auth_request /shut; }")
    assert weir.get("/").text == "index" and len(asked.calls) == 2
    assert weir.get("/t").status == 403


# ---- 401 ----------------------------------------------------------------------------------------------------

def test_challenge_is_passed_on(weir, backend):
    asked = backend(answer(b"no", 'WWW-Authenticate: Bearer realm="x"', status="401 No"))
    start(weir, to(asked) + "location = /f { auth_request /auth; }"
          "location = /page { auth_request /auth; error_page 401 /401.html; }"
          "location = /named { auth_request /auth; error_page 401 = @login; } location @login { return 302 /l?$uri; }")
    (weir.tmp / "html/401.html").write_text("page")
    reply = weir.get("/f")
    assert reply.status == 401 and reply.header("WWW-Authenticate") == 'Bearer realm="x"' and b"no" not in reply.body[:2]
    reply = weir.get("/page")
    assert (reply.status, reply.text, reply.header("WWW-Authenticate")) == (401, "page", 'Bearer realm="x"')
    reply = weir.get("/named")
    assert (reply.status, reply.header("Location")[-8:]) == (302, "l?/named"[-8:])
    assert reply.header("WWW-Authenticate") == 'Bearer realm="x"'  # as in nginx, with whatever the page answers


def test_body_for_the_login(weir, backend):
    """A named location in place of a 401 gets the request as it is."""
    asked, login = backend(answer(b"", status="401 No")), backend(lambda call: answer(call.body))
    start(weir, to(asked) + f"location @login {{ proxy_pass http://{login.address}; }}"
          "location /f { auth_request /auth; error_page 401 = @login; }"
          "location /r { auth_request /auth; error_page 401 = @login; alias {tmp}/html/f; }"
          "location /h { auth_request /auth; error_page 401 = @login; handler echo; }",
          http="client_body_buffer_size 1k;")
    for target in ("/f", "/r", "/h"):
        with weir.connect() as client:
            for body in (b"a" * 10, b"b" * 100000):
                client.request(target, "POST", body=body)
                assert client.response().body == body, target
                assert (login.call.method, login.call.target) == ("POST", target)
    assert all((call.method, call.target, call.body) == ("GET", "/auth", b"") for call in asked.calls)


@pytest.mark.directive("satisfy")
def test_satisfy_any_of_all(weir):
    weir.write("ann:{PLAIN}pw\n", "conf/users")
    weir.expect_log("no user/password|password mismatch")
    one = 'auth_basic "r"; auth_basic_user_file conf/users; root {tmp}/html; try_files /f =404;'
    places = {f"{mode}-{rule}-{asks}": f"location = /{mode}-{rule}-{asks} {{ satisfy {mode}; {rule} all; auth_request /{asks}; {one} }}"
              for mode in ("any", "all") for rule in ("allow", "deny") for asks in ("open", "shut", "login")}
    start(weir, 'location = /login { internal; add_header WWW-Authenticate Own always; return 401; }' + "".join(places.values()))
    good, bad = [basic("ann", "pw")], [basic("ann", "no")]
    with weir.connect() as client:
        for name in places:
            mode, rule, asks = name.split("-")
            for headers in ([], good, bad):
                each = [rule == "allow", headers == good, asks == "open"]
                if mode == "any":
                    want = 200 if any(each) else 401
                else:
                    want = (403 if not each[0] else 401 if not each[1] else
                            200 if each[2] else 403 if asks == "shut" else 401)
                assert client.get("/" + name, headers).status == want, (name, headers)
    assert is_calm(weir)


def test_challenge_of_a_password_that_was_not_needed(weir, backend):
    """Whoever was let in by the other location gets the upstream's 401 as it is."""
    up = backend(answer(b"", "WWW-Authenticate: Theirs", status="401 No"))
    weir.write("ann:{PLAIN}pw\n", "conf/users")
    start(weir, f"location / {{ satisfy any; auth_basic r; auth_basic_user_file conf/users; auth_request /open; "
          f"proxy_pass http://{up.address}; }}")
    reply = weir.get("/")
    assert [value for name, value in reply.headers if name == "www-authenticate"] == ["Theirs"]


def test_both_challenges(weir, backend):
    """Either would do, so the client hears of both, and of all that the other location names."""
    asked = backend(answer(b"", "WWW-Authenticate: Negotiate", 'WWW-Authenticate: Bearer realm="x"', status="401 No"))
    weir.write("ann:{PLAIN}pw\n", "conf/users")
    start(weir, to(asked) + "location = /a { return 401; } location / { satisfy any; auth_basic r; auth_basic_user_file conf/users; auth_request /auth; }"
          "location = /plain { satisfy any; auth_basic r; auth_basic_user_file conf/users; auth_request /a; }")

    def challenges(target):
        return ", ".join(value for name, value in weir.get(target).headers if name == "www-authenticate")
    assert challenges("/plain") == 'Basic realm="r"'
    assert challenges("/f") == 'Basic realm="r", Negotiate, Bearer realm="x"'


# ---- variables ----------------------------------------------------------------------------------------------

def test_set_from_the_answer(weir, backend):
    asked = backend(answer(b"", "X-User: ann", "Set-Cookie: s=1; Path=/", "Set-Cookie: t=2", status="201 Made"))
    up = backend(lambda call: answer(b"", "X-User: theirs", "Set-Cookie: s=3"))
    start(weir, to(asked) + f"""location / {{
        auth_request /auth;
        auth_request_set $user $upstream_http_x_user; auth_request_set $code $upstream_status;
        auth_request_set $cookie $upstream_cookie_t; auth_request_set $at $upstream_addr; auth_request_set $here "$uri $args";
        proxy_set_header X-All "$user|$code|$cookie|$at|$here|$uri|$request_uri"; proxy_pass http://{up.address};
        add_header X-Main "$upstream_http_x_user|$upstream_cookie_s|$upstream_addr|$user" always; }}""")
    reply = weir.get("/x?y")
    assert up.call.header("X-All") == f"ann|201|2|{asked.address}|/auth |/x|/x?y"
    assert reply.header("X-Main") == f"theirs|3|{up.address}|ann"


@pytest.mark.directive("auth_request_set")
def test_set_from_what_is_sent(weir, backend):
    asked = backend(answer(b"", "X-User: ann"))
    start(weir, to(asked) + 'location / { auth_request /auth; auth_request_set $user $sent_http_x_user; add_header X-U "$user"; }')
    assert weir.get("/f").header("X-U") == "ann"


def test_set_with_refusals_and_by_levels(weir, backend):
    """Variables are set whatever the answer is; a level without lines of its own has those above it."""
    asked = backend(lambda call: answer(b"", "X-Why: thus", status=call.header("X-Want", "200 OK")))
    start(weir, to(asked) + 'location = /f { add_header X-W "$why|$other" always; }'
          'location = /g { auth_request_set $other $upstream_status; add_header X-W "$why|$other" always; alias {tmp}/html/f; }',
          server="auth_request /auth; auth_request_set $why $upstream_http_x_why; ")
    for want in ("200 OK", "401 No", "403 No", "500 No"):
        reply = weir.get("/f", headers=[("X-Want", want)])
        assert reply.header("X-W") == "thus|", want
        assert weir.get("/g", headers=[("X-Want", want)]).header("X-W") == f"|{want[:3]}"


def test_main_upstream_s_variables(weir, backend):
    """Of the request that is answered, not of the question; where no upstream was asked there are none."""
    asked, up = backend(answer(b"", "X-Own: 1")), backend(answer(b"", status="202 Yes"))
    start(weir, to(asked) + f"location /p {{ auth_request /auth; proxy_pass http://{up.address}; }} location /f {{ auth_request /auth; }}",
          http="log_format up '$upstream_status|$upstream_addr|$upstream_http_x_own|$upstream_response_length|$upstream_queue_time';",
          server="access_log logs/up.log up;")
    assert weir.get("/p").status == 202 and weir.get("/f").status == 200
    path = weir.tmp / "logs/up.log"
    wait_until(lambda: path.exists() and path.read_text().count("\n") >= 3, 3, "log lines")
    lines = [line.rsplit("|", 1)[0] for line in path.read_text().splitlines()]
    assert f"202|{up.address}|-|0" in lines and lines.count("-|-|-|-") == len(lines) - 1


def test_status_before_the_body(weir, backend):
    """What the upstream has answered is known with its head."""
    def reply(call):
        call.send(answer(b"later")[:-5])
        take_time(0.05)
        return b"later"
    asked, up = backend(answer(b"", status="201 Made")), backend(reply)
    start(weir, to(asked) + f'location / {{ auth_request /auth; proxy_pass http://{up.address}; add_header X-S $upstream_status; }}')
    assert weir.get("/x").header("X-S") == "200"


def test_what_the_question_sees(weir, backend):
    """A GET with the request's headers; $request_method and $request_uri are the request's."""
    asked = backend(answer(b""))
    start(weir, to(asked, 'proxy_set_header X-See "$request_method $request_uri $uri $args|$is_args|$http_x_a";'
                   "proxy_set_header X-Length $content_length;") +
          "location / { auth_request /auth; if ($arg_i) { set $z 1; } }")
    for method in ("GET", "POST", "DELETE", "HEAD"):
        weir.get("/f?a=b", method=method, headers=[("X-A", "1")], body=b"abc" if method == "POST" else None)
        call = asked.calls[-1]
        assert (call.method, call.target, call.body) == ("GET", "/auth", b"")
        assert call.header("X-See") == f"{method} /f?a=b /auth ||1", method


def test_arguments_of_the_question(weir, backend):
    asked = backend(answer(b""))
    start(weir, to(asked) + "location /a { auth_request /auth?to=$arg_to; alias {tmp}/html/f; }")
    assert weir.get("/a?to=%2e%2e%2f&x=y").text == "file" and asked.call.target == "/auth?to=%2e%2e%2f"


@pytest.mark.directive("auth_request")
def test_request_is_what_it_was(weir):
    """Location, captures, arguments and what rewrite has made of it come back."""
    start(weir, r"""location = /a { set $seen $uri; rewrite ^/(.*)$ /b?$1 last; } location ~ ^/(b)$ { return 204; }
        location ~ ^/x/(?<name>\w+)/(\d+)$ { rewrite ^/x/(\w+)/(\d+)$ /y/$2?n=$1 break; auth_request /a;
            add_header X-R "$uri|$args|$request_uri|$seen|$1"; root {tmp}/html; try_files /f =404; }
        location = /args { auth_request /a; add_header X-R "$uri?$args"; alias {tmp}/html/f; }""")
    assert weir.get("/x/ann/5?q=1").header("X-R") == "/f|n=ann&q=1|/x/ann/5?q=1|/a|ann"
    assert weir.get("/args?k=v").header("X-R") == "/args?k=v"


# ---- the request's body -------------------------------------------------------------------------------------

@pytest.mark.parametrize("more", ["", "client_body_buffer_size 1k;", "client_body_in_file_only clean;",
                                  "proxy_request_buffering off;", "proxy_request_buffering off; proxy_http_version 1.1;"])
@pytest.mark.parametrize("kind", ["upstream", "return", "handler"])
def test_body_stays_whole(weir, backend, more, kind):
    """Of any length and framing, with other requests behind it, whoever is asked."""
    asked = backend(answer(b"not yours" * 1000))
    place = {"upstream": to(asked), "return": 'location = /auth { return 200 "not yours"; }',
             "handler": "location = /auth { handler sleep; }"}[kind]
    uri = "/auth?ms=5" if kind == "handler" else "/auth"
    off = "off" in more

    def reply(call):
        if not off:
            return answer(call.read_body())
        body = b""
        if call.header("Transfer-Encoding"):
            while (size := int(_line(call), 16)) > 0:
                body += call.peer.exactly(size)
                call.peer.exactly(2)
            call.peer.exactly(2)
            return answer(body)
        return answer(call.read_body())
    up = backend(reply, read_body=False)
    start(weir, place + f"location / {{ auth_request {uri}; proxy_pass http://{up.address}; {more} }}")
    with weir.connect() as client:
        for body in (b"", b"small", os.urandom(300000)):
            client.request("/p", "POST", body=body)
            assert client.response().body == body
            client.send(head("POST /c HTTP/1.1", "Transfer-Encoding: chunked") + chunked(body, 7000) + head("GET /next HTTP/1.1"))
            assert client.response().body == body and client.response().body == b""
        client.request("/e", "POST", [("Expect", "100-continue")], body=b"waited")
        reply = client.response()
        assert reply.body == b"waited" and set(reply.informational) <= {100}
        client.send(head("POST /1 HTTP/1.1", "Content-Length: 3") + b"one" + head("POST /2 HTTP/1.1", "Content-Length: 3") + b"two"
                    + head("GET /3 HTTP/1.1"))
        assert [client.response().body for _ in range(3)] == [b"one", b"two", b""]
    last = [call.target for call in up.calls][-3:]
    assert (sorted(last) if weirlib.OVER_HTTP2 else last) == ["/1", "/2", "/3"]  # streams wait for nobody
    assert all(call.body == b"" and call.method == "GET" for call in asked.calls)
    assert is_calm(weir)


def _line(call):
    text = b""
    while not text.endswith(b"\r\n"):
        text += call.peer.exactly(1)
    return text


@pytest.mark.directive("client_body_in_file_only", "client_body_temp_path")
def test_body_in_a_named_file(weir, backend):
    """client_body_in_file_only: its name is there for the upstream, not for the question, and the file goes."""
    asked, up = backend(answer(b"")), backend(lambda call: answer(call.body))
    start(weir, to(asked, "client_body_in_file_only on; proxy_set_header X-File $request_body_file;") +
          f"location / {{ auth_request /auth; client_body_in_file_only clean; proxy_pass http://{up.address}; "
          "proxy_set_header X-File $request_body_file; }", http="client_body_temp_path {tmp}/bodies;")
    for _ in range(2):
        assert weir.get("/", method="POST", body=b"abc").body == b"abc"
        assert up.call.header("X-File") and not asked.call.header("X-File")
    wait_until(lambda: not [p for p in (weir.tmp / "bodies").rglob("*") if p.is_file()], 3, "no file")


@pytest.mark.http1_only
def test_slow_body_while_another_is_asked(weir, backend):
    """proxy_request_buffering off: what comes meanwhile is kept, and not taken for a request."""
    gate = threading.Event()
    asked = backend(lambda call: gate.wait(weirlib.limit(5)) and answer(b""))
    up = backend(lambda call: answer(call.body))
    start(weir, to(asked) + f"location / {{ auth_request /auth; proxy_pass http://{up.address}; proxy_request_buffering off; }}")
    body = head("GET /smuggled HTTP/1.1") * 5000
    with weir.connect() as client:
        client.send(head("POST /up HTTP/1.1", f"Content-Length: {len(body)}") + body[:10])
        assert asked.call
        sender = threading.Thread(target=client.send, args=[body[10:] + head("GET /next HTTP/1.1")])
        sender.start()
        take_time(0.05)
        gate.set()
        assert client.response().body == body and client.response().body == b""
        sender.join()
    assert [call.target for call in up.calls] == ["/up", "/next"]


@pytest.mark.parametrize("more", ["", "error_page 401 403 500 /page;", "error_page 401 403 500 = @page;"])
def test_refused_while_the_body_comes(weir, backend, more):
    """Its rest is never a request."""
    asked = backend(lambda call: answer(b"", status=call.header("X-Want")))
    start(weir, to(asked) + f"location / {{ auth_request /auth; proxy_pass http://{asked.address}; proxy_request_buffering off; {more} }}"
          "location = /page { return 200 page; } location @page { return 200 page; } location = /smuggled { return 200 SMUGGLED; }")
    evil = head("GET /smuggled HTTP/1.1")
    for want in ("401 No", "403 No", "500 No"):
        with weir.connect() as client:
            client.send(head("POST / HTTP/1.1", "Content-Length: 1000", f"X-Want: {want}"))
            assert client.response().status in (200, int(want[:3]))
            client.send(evil * 5)
            client.send(b"x" * (1000 - len(evil) * 5) + head("GET /page HTTP/1.1", "Connection: close"))
            assert client.response().text == "page", want
            assert rest_of(client) == b"", want


BAD_BODIES = {"length": (head("POST /p HTTP/1.1", "Content-Length: 5000"), 413),
              "chunks": (head("POST /p HTTP/1.1", "Transfer-Encoding: chunked") + b"fff\r\n", 413),
              "no chunk": (head("POST /p HTTP/1.1", "Transfer-Encoding: chunked") + b"zz\r\n", 400),
              "late": (head("POST /p HTTP/1.1", "Content-Length: 500"), 408)}


@pytest.mark.http1_only
@pytest.mark.parametrize("case", BAD_BODIES)
@pytest.mark.parametrize("asks", ["/open", "/auth", "/slow?ms=5"])
def test_error_page_for_a_body_that_is_left(weir, backend, case, asks):
    """The page has to be asked for, too; the connection still ends with it, and the body's rest is never a request."""
    asked = backend(answer(b""))
    (weir.tmp / "html/page").write_text("page")
    start(weir, to(asked) + "location = /slow { handler sleep; } location = /p { handler echo; } location = /smuggled { return 200 SMUGGLED; }"
          "location = /page { }", server=f"auth_request {asks}; error_page 413 400 408 /page; client_body_timeout 60ms;", most="1k")
    raw, status = BAD_BODIES[case]
    with weir.connect() as client:
        client.send(raw)
        reply = client.response()
        assert reply.status == status and reply.text == "page"
        client.send(head("GET /smuggled HTTP/1.1") * 3)
        assert rest_of(client) == b""
        assert reply.header("Connection") == "close"


@pytest.mark.http1_only
@pytest.mark.directive("proxy_request_buffering")
def test_early_redirect_of_an_upstream(weir, backend):
    """X-Accel-Redirect before the body has come, to a location that asks: the rest is never a request."""
    asked = backend(answer(b""))
    up = backend(answer(b"", "X-Accel-Redirect: /files/f"), read_body=False)
    start(weir, to(asked) + f"location / {{ proxy_pass http://{up.address}; proxy_request_buffering off; }}"
          "location /files/ { internal; auth_request /auth; alias {tmp}/html/; } location = /smuggled { return 200 SMUGGLED; }")
    with weir.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 1000"))
        assert client.response().text == "file"
        client.send(head("GET /smuggled HTTP/1.1") * 3)
        assert rest_of(client) == b""


# ---- what was there before the question ---------------------------------------------------------------------

def test_headers_that_stay_with_a_redirect(weir, backend):
    """X-Accel-Redirect to a location that asks: the first answer's headers and variables are not lost."""
    asked = backend(answer(b"", "X-Own: asked"))
    up = backend(answer(b"", "X-Accel-Redirect: /files/f", "Set-Cookie: a=b", "Content-Disposition: x", "Content-Type: a/b",
                        "X-Own: first"))
    start(weir, to(asked) + f"location / {{ proxy_pass http://{up.address}; }}"
          "location /files/ { internal; auth_request /auth; auth_request_set $s $upstream_status; alias {tmp}/html/;"
          'add_header X-See "$s|$upstream_status|$upstream_http_x_own"; }')
    reply = weir.get("/")
    assert reply.text == "file"
    kept = {name: reply.header(name) for name in ("Set-Cookie", "Content-Disposition", "Content-Type")}
    assert kept == {"Set-Cookie": "a=b", "Content-Disposition": "x", "Content-Type": "a/b"}
    assert reply.header("X-See") == "200|200|first"


def test_retry_after_stays_with_its_page(weir):
    """A refusal's page that has to be asked for."""
    (weir.tmp / "html/page").write_text("page")
    weir.expect_log("limiting concurrency")
    start(weir, "location = /s { auth_request off; limit_concurrency z; handler sleep; } location = /page { auth_request /open; }",
          http="limit_concurrency_zone z limit=1;", server="error_page 503 /page;")
    with weir.connect() as first:
        first.send(head("GET /s?ms=300 HTTP/1.1"))
        first.wait_taken()
        reply = weir.get("/s?ms=1")
        assert (reply.status, reply.text, reply.header("Retry-After")) == (503, "page", "1")


# ---- the upstream that is asked -----------------------------------------------------------------------------

def test_its_connection_is_used_again(weir, backend):
    """Bodies with it do no harm: it is kept only where they are all here, and no rest is taken for an answer."""
    replies = [answer(b"x" * 100), answer(b""), answer(b"", status="204 None", length=False), answer(b"y" * 200000),
               CHUNKS + b"3\r\nabc\r\n0\r\n\r\n", OK + b"Content-Length: 5\r\n\r\n", answer(b"", status="403 No"),
               answer(b"abc") + answer(b"evil", status="403 Evil"), b"HTTP/1.1 103 Early\r\nLink: <x>\r\n\r\n" + answer(b"x")]

    def reply(call):
        said = replies[int(call.header("X-N"))]
        if said.endswith(b": 5\r\n\r\n"):
            call.send(said)
            take_time(0.02)
            return b"later"
        return said
    asked = backend(reply)
    start(weir, "location = /auth { internal; proxy_pass http://up/a; proxy_http_version 1.1; proxy_set_header Connection ''; }"
          "location = /f { auth_request /auth; }",
          http=f"upstream up {{ server {asked.address}; keepalive 4; }}")
    with weir.connect() as client:
        for n in [0, 1, 0, 2, 0, 1] + list(range(len(replies))) * 2:
            reply = client.get("/f", headers=[("X-N", str(n))])
            assert (reply.status, reply.informational) == (403 if n == 6 else 200, []), n
    assert len(asked.peers[0].calls) >= 4
    assert is_calm(weir)


def test_upstream_that_fails(weir, backend):
    """Down, cut off, not HTTP, or silent: 500, with the reason in the log; the next server is asked before that."""
    weir.expect_log("upstream|connect")
    good = backend(answer(b""))
    cut = backend(lambda call: call.close())
    silent = backend(lambda call: None)
    junk = backend(b"what?\r\n\r\n")
    places = {name: to(up, "proxy_read_timeout 100ms;" if up is silent else "", "/" + name + "-a") for name, up in
              {"cut": cut, "silent": silent, "junk": junk}.items()}
    start(weir, "".join(places.values()) + "location = /down-a { proxy_pass http://127.0.0.1:1; } location = /two-a { proxy_pass http://two; }" +
          "".join(f"location = /{name} {{ auth_request /{name}-a; alias {{tmp}}/html/f; }}" for name in [*places, "down", "two"]),
          http=f"upstream two {{ server 127.0.0.1:1; server {good.address}; }}")
    with weir.connect() as client:
        for name, status in {"cut": 502, "silent": 504, "junk": 502, "down": 502}.items():
            assert client.get("/" + name).status == 500, name
            weir.wait_log(f"auth request unexpected status: {status}")
        assert client.get("/two").text == "file"
        client.request("/down", "POST", body=b"x" * 100000)
        assert client.response().status == 500
        assert client.get("/two").text == "file"
    assert is_calm(weir)


@pytest.mark.http1_only
def test_upgrade_is_no_answer(weir, backend):
    asked = backend(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nnoise")
    weir.expect_log("upstream")
    start(weir, to(asked, "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;") +
          "location = /f { auth_request /auth; }")
    with weir.connect() as client:
        for _ in range(2):
            assert client.get("/f", [("Upgrade", "x"), ("Connection", "upgrade")]).status == 500
        assert client.get("/status").status == 200


def test_question_that_is_sent_elsewhere(weir, backend):
    """X-Accel-Redirect: the location that it names decides."""
    asked = backend(lambda call: answer(b"", "X-Accel-Redirect: " + call.header("X-To")))
    start(weir, to(asked) + "location = /f { auth_request /auth; }")
    assert weir.get("/f", headers=[("X-To", "/open")]).text == "file"
    assert weir.get("/f", headers=[("X-To", "/shut")]).status == 403


# ---- limits -------------------------------------------------------------------------------------------------

@pytest.mark.directive("limit_conn")
def test_limits_count_once(weir, backend):
    gate = threading.Event()
    asked = backend(lambda call: gate.wait(weirlib.limit(5)) and answer(b""))
    weir.expect_log("limiting")
    start(weir, to(asked) + "location /c { auth_request /auth; limit_conn c 1; alias {tmp}/html/f; }"
          "location /z { auth_request /auth; limit_concurrency z; alias {tmp}/html/f; }"
          "location /r { auth_request /auth; limit_req zone=r burst=2 nodelay; alias {tmp}/html/f; }",
          http="limit_conn_zone $binary_remote_addr zone=c:1m; limit_concurrency_zone z limit=1; limit_req_zone $binary_remote_addr zone=r:1m rate=1r/m;")
    for place in ("/c", "/z"):
        gate.clear()
        with weir.connect() as first, weir.connect() as gone:
            before = len(asked.calls)
            gone.send(head(f"GET {place} HTTP/1.1"))
            wait_until(lambda: len(asked.calls) == before + 1, 3, "the question")
            assert weir.get(place).status == 503
            gone.close()
            first.send(head(f"GET /status HTTP/1.1"))
            first.response()
            assert is_calm(weir)
            first.send(head(f"GET {place} HTTP/1.1"))
            wait_until(lambda: len(asked.calls) == before + 2, 3, "the question")
            assert weir.get(place).status == 503
            gate.set()
            assert first.response().text == "file"
            assert [first.get(place).status for _ in range(3)] == [200] * 3
    assert [weir.get("/r").status for _ in range(4)] == [200, 200, 200, 503]
    assert is_calm(weir)


@pytest.mark.directive("limit_concurrency", "limit_conn", "limit_req_zone")
def test_limits_of_the_question(weir):
    """They apply where the request itself has none of their kind, and end with it."""
    weir.expect_log("limiting")
    start(weir, "location = /r { limit_req zone=r; handler fib; } location = /c { limit_conn c 1; handler sleep; }"
          "location = /z { limit_concurrency z; handler sleep; }" +
          "".join(f"location = /f{n} {{ auth_request /{n}?n=1&ms=200; alias {{tmp}}/html/f; }}" for n in "rcz"),
          http="limit_conn_zone $binary_remote_addr zone=c:1m; limit_concurrency_zone z limit=1;"
          "limit_req_zone $binary_remote_addr zone=r:1m rate=1r/m;")
    assert [weir.get("/fr").status for _ in range(2)] == [200, 500]
    for target in ("/fc", "/fz"):
        with weir.connect() as one:
            one.send(head(f"GET {target} HTTP/1.1"))
            one.wait_taken()
            assert weir.get(target).status == 500
            assert one.response().text == "file"
            assert one.get(target).status == 200
    assert is_calm(weir)


# ---- clients that leave, and the end of workers -------------------------------------------------------------

@pytest.mark.http1_only
@pytest.mark.parametrize("kind", ["upstream", "handler"])
def test_client_that_leaves(weir, backend, kind):
    """499 once, in the log of what it has asked for; bodies in memory and in files are let go."""
    asked = backend(lambda call: None)
    place = to(asked, "access_log logs/other.log;") if kind == "upstream" else \
        "location = /auth { handler sleep; access_log logs/other.log; }"
    start(weir, place + "location / { auth_request /auth?ms=60000; handler echo; client_body_buffer_size 1k; }"
          "location /z { auth_request /auth?ms=60000; limit_concurrency z; handler echo; }", http="limit_concurrency_zone z limit=9;")
    for target, body in {"/a": b"", "/b": b"x" * 500, "/c": b"x" * 100000, "/z": b"x" * 500}.items():
        client = weir.connect()
        client.request(target, "POST", body=body)
        wait_until(lambda: weir.status()["requests"]["in_flight"] == 2, 3, "the question")
        client.close()
    assert sorted(logged(weir, 4)) == [f"POST /{n} /{n} 499" for n in "abcz"]  # with much input unread it is seen later
    assert is_calm(weir) and not (weir.tmp / "logs/other.log").read_text()
    wait_until(lambda: weir.status()["concurrency"]["z"]["in_flight"] == 0, 3, "no permit held")


def test_client_whose_leaving_is_ignored(weir, backend):
    """proxy_ignore_client_abort where the question is asked: the request goes on behind it, and leaves nothing."""
    gate = threading.Event()
    asked = backend(lambda call: gate.wait(weirlib.limit(5)) and answer(b""))
    up = backend(lambda call: answer(call.body))
    start(weir, to(asked, "proxy_ignore_client_abort on;") + "location /h { auth_request /auth; handler echo; }"
          f"location /p {{ auth_request /auth; proxy_pass http://{up.address}; proxy_request_buffering off; }}"
          "location /f { auth_request /auth; }")
    for target in ("/h", "/p", "/f"):
        gate.clear()
        before = len(asked.calls)
        client = weir.connect()
        client.send(head(f"POST {target} HTTP/1.1", "Content-Length: 500") + b"x" * (100 if target == "/p" else 500))
        wait_until(lambda: len(asked.calls) > before, 3, "the question")
        client.close()
        assert weir.status()  # the worker has seen the end by then
        gate.set()
        assert is_calm(weir)


@pytest.mark.directive("log_subrequest")
def test_question_in_the_log(weir, backend):
    asked = backend(answer(b""))
    start(weir, to(asked) + "location /f { auth_request /auth; }"
          "location /g { auth_request /open2; alias {tmp}/html/f; } location = /open2 { log_subrequest on; return 204; }")
    assert weir.get("/f").status == 200 == weir.get("/g?x").status
    assert logged(weir, 3) == ["GET /f /f 200", "GET /g?x /open2 204", "GET /g?x /g 200"]


def test_reload_and_quit(weir, backend):
    """Requests whose question is open end as they would have, with the old configuration."""
    gate = threading.Event()
    asked = backend(lambda call: gate.wait(weirlib.limit(5)) and answer(b""))
    places = to(asked) + "location /f { auth_request /auth; auth_request_set $x old; add_header X-O $x; }"
    start(weir, places)
    with weir.connect() as one, weir.connect() as two:
        one.send(head("GET /f HTTP/1.1"))
        assert asked.call
        weir.reload(config(OPEN + 'location /f { auth_request /shut; }', http=LOG, server="root {tmp}/html;"))
        wait_until(lambda: weir.get("/f").status == 403, 5, "the new configuration")
        gate.set()
        reply = one.response()
        assert (reply.status, reply.header("X-O")) == (200, "old")
    gate.clear()
    weir.reload(config(OPEN + places, server="root {tmp}/html;"))
    weir.wait_workers(1)  # nobody is left who knows the file before
    before = len(asked.calls)
    with weir.connect() as one:
        one.send(head("GET /f HTTP/1.1"))
        wait_until(lambda: len(asked.calls) > before, 3, "the question")
        weir.signal(signal.SIGQUIT)
        weir.wait_log("gracefully shutting down")
        gate.set()
        assert one.response().text == "file"
    assert weir.wait_exit() == 0


def test_death_of_the_worker(weir, backend):
    """Nothing that its requests held stays behind."""
    asked = backend(lambda call: None if call.header("X-Stay") else answer(b""))
    weir.expect_log("exited on signal 9")
    start(weir, to(asked) + "location /f { auth_request /auth; limit_conn c 1; limit_concurrency z; }",
          http="limit_conn_zone $binary_remote_addr zone=c:1m; limit_concurrency_zone z limit=1;")
    [worker] = weir.worker_pids()
    with weir.connect() as client:
        client.send(head("GET /f HTTP/1.1", "X-Stay: 1"))
        assert asked.call
        os.kill(worker, signal.SIGKILL)
        assert client.until_close() == b""

    def serves():
        try:
            return weir.get("/f").status == 200
        except (OSError, EOFError):
            return False
    wait_until(serves, 5, "a new worker that lets requests pass")
    assert is_calm(weir)


# ---- auth_delay ---------------------------------------------------------------------------------------------

@pytest.mark.directive("auth_delay")
def test_delay(weir, backend):
    """A 401 takes its time, 403 and success do not; the connection goes on, and pipelined requests wait."""
    asked = backend(lambda call: answer(b"", status=call.header("X-Want", "200 OK")))
    weir.write("ann:{PLAIN}pw\n", "conf/users")
    start(weir, to(asked) + "location = /f { auth_request /auth; }"
          "location = /b { auth_basic r; auth_basic_user_file conf/users; alias {tmp}/html/f; }", server="auth_delay 150ms;")
    with weir.connect() as client:
        for target, fields, status, slow in (("/f", ["X-Want: 401 No"], 401, True), ("/f", ["X-Want: 403 No"], 403, False),
                                             ("/f", [], 200, False), ("/b", [], 401, True),
                                             ("/b", [": ".join(basic("ann", "no"))], 401, True),
                                             ("/b", [": ".join(basic("ann", "pw"))], 200, False)):
            began = time.monotonic()
            client.send(head(f"GET {target} HTTP/1.1", *fields) + head("GET /status HTTP/1.1"))
            assert client.response().status == status and client.response().status == 200
            assert not slow or time.monotonic() - began >= 0.14, (target, fields)
    assert is_calm(weir)


@pytest.mark.directive("auth_delay")
def test_client_that_leaves_during_the_delay(weir):
    start(weir, "location = /a { return 401; } location = /f { auth_request /a; auth_delay 60s; limit_conn c 1; }"
          "location = /p { auth_request /a; auth_delay 60s; handler echo; }", http="limit_conn_zone $binary_remote_addr zone=c:1m;")
    for request in (head("GET /f HTTP/1.1"), head("POST /p HTTP/1.1", "Content-Length: 3") + b"abc", head("GET /f HTTP/1.1")):
        client = weir.connect()
        client.send(request)
        client.wait_taken()
        client.close()
    assert [line[-3:] for line in logged(weir, 3)] == ["499"] * 3
    assert is_calm(weir)


def test_delay_of_a_page_by_another_limit(weir):
    """The page for a 401 that was delayed may be delayed itself: it is shown all the same."""
    start(weir, "location = /a { return 401; } location = /f { auth_request /a; auth_delay 20ms; error_page 401 = /page; }"
          "location = /page { limit_req zone=r burst=5; alias {tmp}/html/f; }", http="limit_req_zone $binary_remote_addr zone=r:1m rate=20r/s;")
    with weir.connect() as client:
        assert [client.get("/f").status for _ in range(3)] == [200] * 3
