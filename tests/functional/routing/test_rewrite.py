"""The rewrite module: rewrite, set, if, break, return, in the order in which nginx runs them."""

import pytest
from mistakes import PARENTHESIS, arguments, variable
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config
from wire import ask, head


def get(weir, target="/", *fields, host="localhost"):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields, host=f"Host: {host}"))


def shown(weir, target, *fields, **options):
    return get(weir, target, *fields, **options).text.strip()


SHOW = 'location /show { return 200 "$uri|$args|$request_uri"; }'


def test_last_looks_for_another_location(weir):
    weir.start(config(SHOW + "location /a { rewrite ^/a/(.*)$ /show/$1 last; return 200 no; }"
                      "location /b { rewrite ^/b/(?<rest>.*)$ /show/$rest?x=1 last; }"
                      "location /c { rewrite ^ /show/c? last; } location /d { rewrite ^/d /e; rewrite ^/e /show/e; }"))
    assert shown(weir, "/a/1?q=2") == "/show/1|q=2|/a/1?q=2" and shown(weir, "/b/z?q=2") == "/show/z|x=1&q=2|/b/z?q=2"
    assert shown(weir, "/c?q=2") == "/show/c||/c?q=2" and shown(weir, "/d") == "/show/e||/d"


@pytest.mark.directive("break")
def test_break_stays(weir):
    weir.write("text", "html/new.txt")
    weir.start(config("root {tmp}/html;" + SHOW + "location /a { rewrite ^ /new.txt break; return 200 no; }"
                      "location /b { break; return 200 no; } location /c { set $x 1; break; set $x 2; }"))
    weir.expect_log("No such file")
    assert shown(weir, "/a") == "text" and get(weir, "/b").status == 404


def test_redirects(weir):
    weir.start(config("location /p { rewrite ^/p/(.*) /new/$1 permanent; } location /r { rewrite ^/r /new redirect; }"
                      "location /h { rewrite ^/h/(.*) http://other.example/$1; } location /s { rewrite ^ $scheme://$host/x; }"
                      "location /q { rewrite ^ /new? redirect; }"))
    found = {}
    for target in ("/p/a?b=c", "/r?x", "/h/y?z", "/s", "/q?gone", "/h/%20%09X"):
        reply = get(weir, target)
        found[target] = (reply.status, reply.header("Location"))
    base = f"http://localhost:{weir.port}"
    assert found == {"/p/a?b=c": (301, f"{base}/new/a?b=c"), "/r?x": (302, f"{base}/new?x"),
                     "/h/y?z": (302, "http://other.example/y?z"), "/s": (302, "http://localhost/x"),
                     "/q?gone": (302, f"{base}/new"), "/h/%20%09X": (302, "http://other.example/%20%09X")}


def test_server_steps_come_first(weir):
    weir.start(config("rewrite ^/old/(.*)$ /show/$1; set $who server; if ($arg_stop) { return 403; }"
                      "location /show { set $seen $who; return 200 $uri|$seen; } location /old { return 200 no; }"))
    assert shown(weir, "/old/x") == "/show/x|server" and get(weir, "/old/x?stop=1").status == 403


def test_cycle_is_bounded(weir):
    weir.start(config("location /a { rewrite ^ /b last; } location /b { rewrite ^ /a last; }"))
    weir.expect_log("redirection cycle")
    assert get(weir, "/a").status == 500


@pytest.mark.directive("set")
def test_set(weir):
    weir.start(config('set $outer "o"; location / { set $a 1; set $b "$a-$arg_x"; set $a "$a$a"; return 200 "$a|$b|$outer|$never"; '
                      "if ($arg_y) { set $never 1; } } location /args { set $args new=1; return 200 $args|$arg_new; }"))
    assert shown(weir, "/?x=5") == "11|1-5|o|" and shown(weir, "/args?old=1") == "new=1|1"


CONDITIONS = [("($arg_a)", "a=1", True), ("($arg_a)", "a=0", False), ("($arg_a)", "", False), ("($arg_a)", "a=00", True),
              ("($arg_a = x)", "a=x", True), ("($arg_a = x)", "a=X", False), ("($arg_a != x)", "a=y", True),
              ('($arg_a = "")', "", True), ("($arg_a = $arg_b)", "a=1&b=1", True), ("( $arg_a = x )", "a=x", True),
              ("($arg_a ~ ^X)", "a=xy", False), ("($arg_a ~* ^X)", "a=xy", True), ("($arg_a !~ ^x)", "a=y", True),
              ('($arg_a ~* "(one|two)")', "a=TWO", True), ("($arg_a !~* b)", "a=abc", False),
              ("($request_method = GET)", "", True), ("($http_x ~ \"^(a|b)$\")", "", False),
              ("(-f {tmp}/html/file)", "", True), ("(-f {tmp}/html)", "", False), ("(-d {tmp}/html)", "", True),
              ("(!-d {tmp}/html)", "", False), ("(-e {tmp}/html/file)", "", True), ("(!-e {tmp}/none)", "", True),
              ("(-x {tmp}/html)", "", True), ("(-f $document_root/file)", "", True), ("(!-f $request_filename)", "", True)]


@pytest.mark.directive("if")
@pytest.mark.parametrize("condition,args,holds", CONDITIONS)
def test_if(weir, condition, args, holds):
    weir.write("x", "html/file")
    weir.start(config("root {tmp}/html; location / { if " + condition + " { return 200 yes; } return 200 no; }"))
    assert shown(weir, "/?" + args) == ("yes" if holds else "no")


@pytest.mark.directive("if")
def test_captures_of_if(weir):
    weir.start(config("location / { if ($http_cookie ~* \"id=([^;]+)(?:;|$)\") { set $id $1; } return 200 \"[$id]\"; }"))
    assert shown(weir, "/", "Cookie: a=b; ID=42; c=d") == "[42]" and shown(weir, "/") == "[]"


def test_settings_inside_if(weir, backend):
    up, mobile = backend(answer(b"desktop")), backend(answer(b"mobile"))
    weir.start(config(f"location / {{ add_header X-Where out; proxy_pass http://{up.address}; if ($http_user_agent ~ Phone) {{ "
                      f"proxy_pass http://{mobile.address}; add_header X-Where in; }} if ($arg_h) {{ add_header X-H 1; }} }}"))
    assert shown(weir, "/") == "desktop" and get(weir, "/").header("X-Where") == "out"
    assert shown(weir, "/", "User-Agent: Phone") == "mobile"
    assert get(weir, "/", "User-Agent: Phone").header("X-Where") == "in"
    inside = get(weir, "/?h=1")
    assert inside.text == "desktop" and inside.header("X-H") == "1" and inside.header("X-Where") is None


def test_rewritten_path_goes_to_the_upstream(weir, backend):
    up = backend()
    weir.start(config(f"location /api/ {{ rewrite ^/api/(.*)$ /v2/$1 break; proxy_pass http://{up.address}; }}"
                      f"location /uri/ {{ rewrite ^/uri/(.*)$ /final/$1 break; proxy_pass http://{up.address}/ignored/; }}"
                      f"location /l/ {{ rewrite ^/l/(.*)$ /uri2/$1 last; }} location /uri2/ {{ proxy_pass http://{up.address}/x/; }}"))
    seen = {}
    for target in ("/api/a%20b?c=d", "/uri/z?q", "/l/z?q"):
        assert get(weir, target).status == 200
        seen[target] = up.call.target
    assert seen == {"/api/a%20b?c=d": "/v2/a%20b?c=d", "/uri/z?q": "/final/z?q", "/l/z?q": "/x/z?q"}


def test_body_is_bounded_by_the_location_that_answers(weir, backend):
    up = backend()
    weir.start(config("client_max_body_size 10; location /a { rewrite ^ /big last; } "
                      f"location /big {{ client_max_body_size 1m; proxy_pass http://{up.address}; }}"))
    assert weir.get("/a", method="POST", body=b"x" * 1000).status == 200 and up.call.body == b"x" * 1000
    assert weir.get("/other", method="POST", body=b"x" * 1000).status == 413


def test_return_after_steps(weir):
    weir.start(config('location / { set $code here; return 200 "$code"; return 201; }'
                      "location /m { if ($request_method = POST) { return 405; } return 204; }"))
    assert shown(weir, "/") == "here" and get(weir, "/m").status == 204
    assert weir.get("/m", method="POST", body=b"").status == 405


def test_regex_without_a_match_leaves_the_path(weir):
    weir.start(config('location / { rewrite ^/nomatch /x last; rewrite "^/a{2}$" /two break; return 200 $uri; }'))
    assert shown(weir, "/a") == "/a"


WRONG = {
    "rewrite ^(;": arguments("rewrite", "2 to 3"),
    "rewrite ( /x;": PARENTHESIS,
    "rewrite ^ /x sometimes;": 'invalid parameter "sometimes" of "rewrite"',
    "rewrite ^;": arguments("rewrite", "2 to 3"),
    "set x 1;": 'invalid variable name "x" in "set"',
    "set $ 1;": 'invalid variable name "$" in "set"',
    "set $uri 1;": 'the duplicate "uri" variable cannot be set',
    "set $x;": arguments("set", "exactly 2"),
    "if { }": arguments("if", "at least 1"),
    "if $x { }": 'invalid condition in "if"',
    "if ($arg_a = ) { }": 'invalid condition in "if"',
    "if ($arg_a == x) { }": 'invalid condition in "if"',
    'if ($arg_a ~ "(") { }': PARENTHESIS,
    "if (arg) { }": 'invalid condition in "if"',
    "if (-q /x) { }": 'invalid condition in "if"',
    "if ($nosuch) { }": variable("nosuch"),
    "if ($arg_a) { location /x { } }": '"location" directive is not allowed inside "if"',
    "if ($arg_a) { if ($arg_b) { } }": '"if" directive is not allowed inside "if" or "limit_except"',
    "if ($arg_a) { proxy_pass http://127.0.0.1:1/uri; }": '"proxy_pass" cannot have URI part in location given by regular expression, or inside named',
    "break now;": arguments("break", "no argument"),
    "if ($arg_a) { nosuch 1; }": 'unknown directive "nosuch"',
    "set $y $nosuch;": variable("nosuch"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG[wrong])


@pytest.mark.directive("rewrite_log")
def test_log(weir):
    weir.start(config("rewrite_log on; location /a { rewrite ^/a(.*) /b$1 last; } location /b { return 200 b; }"
                      "location /q { rewrite_log off; rewrite ^ /b last; }"))

    def lines():
        return [line for line in (weir.tmp / "logs/error.log").read_text().splitlines() if "/b" in line or "/a" in line]

    assert shown(weir, "/q") == "b" and lines() == []
    assert shown(weir, "/a1") == "b"
    for each in ('"^/a(.*)" matches "/a1"', 'rewritten data: "/b1", args: ""'):
        assert any("[notice]" in line and each in line for line in lines()), each


def test_groups_of_an_expression_that_has_led_to_another_location(weir):
    """As long as no other expression matches, they are there."""
    weir.start(config("location /a { rewrite ^/a/(.*)$ /b last; } location /b { return 200 \"[$1]\"; }"
                      "location /d { rewrite ^/d/(.*)$ /cxy last; } location ~ ^/c(.)(.) { return 200 \"[$1$2]\"; }",
                      server="rewrite ^/s/(.*)$ /b;"))
    assert [shown(weir, target) for target in ("/a/q", "/s/z", "/d/o")] == ["[q]", "[z]", "[xy]"]
