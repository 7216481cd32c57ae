"""auth_basic: passwords checked on a thread, satisfy, and what goes on around them."""

import base64
import crypt
import hashlib
import subprocess
import threading
import time

import pytest
from mistakes import arguments, duplicate, value, variable
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config, wait_until


def basic(user, password):
    return [("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())]


def apr1(password):
    return subprocess.run(["openssl", "passwd", "-apr1", "-salt", "abcdefgh", password], capture_output=True, text=True,
                          check=True).stdout.strip()


def ssha(password, salt=b"salty"):
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def sha(password):
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


KINDS = {"apr1": apr1, "md5": lambda p: crypt.crypt(p, "$1$saltsalt$"), "sha256": lambda p: crypt.crypt(p, "$5$rounds=1000$salt$"),
         "sha512": lambda p: crypt.crypt(p, "$6$rounds=1000$salt$"), "bcrypt": lambda p: crypt.crypt(p, "$2y$05$abcdefghijklmnopqrstuu"),
         "des": lambda p: crypt.crypt(p, "ab"), "ssha": ssha, "sha": sha, "plain": lambda p: "{PLAIN}" + p}


def start(weir, users, more="", locations="location / { }", **parts):
    weir.write("secret", "html/f")
    weir.write(users, "conf/users")
    weir.expect_log("password mismatch|was not found|No such file|auth_basic_user_file|access forbidden")
    return weir.start(config("root {tmp}/html; auth_basic realm; auth_basic_user_file conf/users;" + more + locations +
                             "location = /status2 { auth_basic off; status; }", **parts))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("password", ["x", "a much longer password, with blanks: and colons", "pässwörd"])
def test_kinds_of_hashes(weir, kind, password):
    if kind == "des":
        password = password[:8]
    start(weir, f"# comment\nother:x\nann:{KINDS[kind](password)}:a comment\n" if ":" not in KINDS[kind](password)[8:]
          else f"ann:{KINDS[kind](password)}\n")
    assert weir.get("/f", headers=basic("ann", password)).text == "secret" or ":" in password and kind == "plain"
    assert weir.get("/f", headers=basic("ann", "!" + password)).status == 401


def test_what_is_asked(weir):
    start(weir, "ann:{PLAIN}pw\nempty:\n")
    reply = weir.get("/f")
    assert reply.status == 401 and reply.header("WWW-Authenticate") == 'Basic realm="realm"'
    for field in ("", "Basic", "Basic ", "Basic !!!!", "Bearer YW5uOnB3", "Basic YW5u", "Basic OnB3", "Basic AGFubjpwdw==",
                  "Basic YW5uOnB3YW5uOnB3YQ"):
        assert weir.get("/f", headers=[("Authorization", field)]).status == 401, field
    assert weir.get("/f", headers=[("Authorization", "basic YW5uOnB3")]).status == 200
    assert weir.get("/f", headers=basic("empty", "")).status == 401 == weir.get("/f", headers=basic("an", "pw")).status


def test_file_is_read_anew(weir):
    start(weir, "ann:{PLAIN}old\n")
    assert weir.get("/f", headers=basic("ann", "old")).status == 200
    weir.write("ann:{PLAIN}new\n", "conf/users")
    assert weir.get("/f", headers=basic("ann", "old")).status == 401
    assert weir.get("/f", headers=basic("ann", "new")).status == 200


@pytest.mark.directive("auth_basic_user_file")
def test_missing_file(weir):
    start(weir, "", "", "location /f { auth_basic_user_file conf/none; }")
    assert weir.get("/f", headers=basic("ann", "x")).status == 403


@pytest.mark.directive("auth_basic")
def test_variables_and_off(weir):
    weir.write("ann:{PLAIN}1\n", "conf/users.a")
    start(weir, "ann:{PLAIN}0\n", "", 'location /v { auth_basic "for $host"; auth_basic_user_file conf/users.$arg_x; return 204; }'
          "location /f { auth_basic off; } location /o { auth_basic $arg_realm; alias {tmp}/html/f; }")
    assert weir.get("/f").text == "secret" and weir.get("/o?realm=off").text == "secret" and weir.get("/o").status == 401


def test_body_and_permit_survive_the_check(weir, backend):
    up = backend(lambda call: answer(call.body))
    start(weir, f"ann:{KINDS['sha512']('pw')}\n", "", f"location /p {{ proxy_pass http://{up.address}; limit_concurrency z; }}",
          http="limit_concurrency_zone z limit=1;")
    for size in (0, 10, 100000):
        assert weir.get("/p", method="POST", body=b"b" * size, headers=basic("ann", "pw")).body == b"b" * size
    assert weir.get("/p", method="POST", body=b"b" * 100000).status == 401 and len(up.calls) == 3
    assert weir.get("/status2?format=json").json()["concurrency"]["z"]["in_flight"] == 0


@pytest.mark.parametrize("body", ["Content-Length: 10\r\n\r\n0123456789", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"])
def test_a_body_that_is_refused(weir, body):
    """It is skipped behind the 401, and the connection goes on: the next head has a time of its own."""
    start(weir, "me:{PLAIN}right\n")
    with weir.connect() as client:
        [(name, value)] = basic("me", "wrong")
        for _ in range(2):
            client.send(f"POST / HTTP/1.1\r\nHost: h\r\n{name}: {value}\r\n{body}")
            assert client.response("POST").status == 401
        assert client.get("/status2").status == 200


def test_pipelined_requests(weir):
    start(weir, "ann:{PLAIN}pw\n")
    field = basic("ann", "pw")[0][1]
    with weir.connect() as c:
        c.send(b"".join(b"GET /f HTTP/1.1\r\nHost: x\r\n%s\r\n" % (f"Authorization: {field}\r\n".encode() if i % 2 else b"")
                        for i in range(6)))
        assert [c.response().status for _ in range(6)] == [401, 200] * 3


def test_slow_hashes_do_not_hold_the_loop(weir):
    """A hash of a quarter of a second on a thread; others are served meanwhile."""
    start(weir, f"ann:{crypt.crypt('pw', '$2y$12$abcdefghijklmnopqrstuu')}\n", "", 'location / { } location /free { auth_basic off; return 200 x; }')
    threads = [threading.Thread(target=weir.get, args=["/f"], kwargs={"headers": basic("ann", "pw")}) for _ in range(2)]
    for t in threads:
        t.start()
    wait_until(lambda: weir.get("/status2?format=json").json()["requests"]["in_flight"] == 3, 3, "both checks under way")
    before = time.time()
    assert weir.get("/free").status == 200 and time.time() - before < 0.15
    for t in threads:
        t.join()


def test_client_that_leaves_during_the_check(weir):
    start(weir, f"ann:{crypt.crypt('pw', '$2y$12$abcdefghijklmnopqrstuu')}\n")
    c = weir.connect()
    c.request("/f", headers=basic("ann", "pw"))
    c.wait_taken()
    c.close()
    assert weir.get("/f", headers=basic("ann", "pw")).text == "secret"
    wait_until(lambda: weir.get("/status2?format=json").json()["requests"]["in_flight"] == 1, 5, "nothing left behind")


@pytest.mark.directive("satisfy")
@pytest.mark.parametrize("rules,satisfy,with_password,status", [
    ("deny all;", "all", True, 403), ("allow 127.0.0.1; deny all;", "all", True, 200), ("allow 127.0.0.1; deny all;", "all", False, 401),
    ("deny all;", "any", True, 200), ("deny all;", "any", False, 401), ("allow 127.0.0.1; deny all;", "any", False, 200),
    ("", "any", True, 200), ("", "any", False, 401)])
def test_satisfy(weir, rules, satisfy, with_password, status):
    start(weir, "ann:{PLAIN}pw\n", "", f"location /f {{ {rules} satisfy {satisfy}; }}")
    assert weir.get("/f", headers=basic("ann", "pw") if with_password else []).status == status


@pytest.mark.directive("auth_basic")
def test_error_page_of_a_401(weir):
    start(weir, "ann:{PLAIN}pw\n", "error_page 401 /login;", "location / { } location = /login { auth_basic off; return 200 'please log in'; }")
    reply = weir.get("/f")
    assert (reply.status, reply.text, reply.header("WWW-Authenticate")) == (401, "please log in", 'Basic realm="realm"')


WRONG = {
    "auth_basic x;": '"auth_basic" needs a file: add auth_basic_user_file FILE;',
    "auth_basic;": arguments("auth_basic", "exactly 1"),
    "auth_basic a b;": arguments("auth_basic", "exactly 1"),
    "satisfy some;": value("satisfy", "some", "all | any"),
    "auth_basic x; auth_basic_user_file;": arguments("auth_basic_user_file", "exactly 1"),
    "auth_basic $nosuch; auth_basic_user_file x;": variable("nosuch"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG[wrong])


# ---- limit_except -------------------------------------------------------------------------------------------

@pytest.mark.directive("auth_basic_user_file")
def test_limit_except(weir, backend):
    up = backend()
    weir.expect_log("access forbidden")
    weir.write("x", "html/f")
    weir.write("ann:{PLAIN}pw\n", "conf/users")
    weir.start(config(f"root {{tmp}}/html; location /f {{ limit_except GET {{ deny all; }} }} location /p {{ limit_except GET PUT {{ "
                      f"auth_basic r; auth_basic_user_file conf/users; }} proxy_pass http://{up.address}; }}"))
    found = {m: weir.get("/f", method=m).status for m in ("GET", "HEAD", "POST", "DELETE")}
    assert found == {"GET": 200, "HEAD": 200, "POST": 403, "DELETE": 403}
    assert [weir.get("/p", method=m).status for m in ("GET", "PUT", "POST")] == [200, 200, 401]
    assert weir.get("/p", method="POST", body=b"b", headers=basic("ann", "pw")).status == 200 and up.call.body == b"b"


LIMITED = {"return": "limit_except POST { deny all; } return 200 x;", "redirect": "limit_except POST { deny all; } rewrite ^ /z redirect;",
           "password": "limit_except POST { auth_basic x; auth_basic_user_file {tmp}/users; } return 200 x;",
           "last": "limit_except POST { deny all; } rewrite ^ /other last;", "set": "limit_except POST { deny all; } set $a 1; if ($a) { return 200 x; }",
           "if": "if ($request_method = GET) { return 200 x; } limit_except POST { deny all; }"}


@pytest.mark.parametrize("which", LIMITED)
def test_limit_except_before_the_steps(weir, which):
    """No step of the location runs for the methods that the block is for: what it denies is not answered by a return."""
    weir.expect_log("access forbidden by rule")
    weir.start(config(f"location /l {{ {LIMITED[which]} }} location /other {{ return 200 x; }}"))
    assert weir.get("/l").status == (401 if which == "password" else 403)
    assert weir.get("/l", method="POST").status in ((404, 405) if which == "if" else (302,) if which == "redirect" else (200,))


WRONG_LIMITS = {
    "limit_except { }": arguments("limit_except", "at least 1"),
    "limit_except GET;": 'directive "limit_except" has no opening "{"',
    "limit_except GET { } limit_except PUT { }": duplicate("limit_except"),
    "limit_except GET { limit_except PUT { } }": '"limit_except" directive is not allowed inside "if" or "limit_except"',
    "limit_except GET { location /x { } }": '"location" directive is not allowed inside "if"',
}


@pytest.mark.parametrize("wrong", WRONG_LIMITS)
def test_wrong_limit_except(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG_LIMITS[wrong])
