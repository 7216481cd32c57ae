"""What steps of the rewrite module leave behind: captures, arguments, rates."""

import pytest
from weirlib import config, wait_until
from wire import ask, head


def get(weir, target, *fields):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields))


def test_a_miss_takes_the_captures_away(weir):
    """$1 is of the last expression that was tried: of one that does not match it is empty, and stays so in the next location."""
    weir.start(config(r"server_name ~^(lo)cal; location ~ ^/i/(.) { if ($arg_y ~ (b)) { return 200 yes$1; } return 200 no$1; }"
                      "location /a { rewrite ^/a(.*)$ /b$1 last; } location /b { rewrite ^/a(.*)$ /c; return 200 b$1; }"))
    assert [get(weir, target).text for target in ("/i/x?y=b", "/i/x", "/a/q")] == ["yesb", "no", "b"]


def test_empty_arguments_are_not_absent(weir):
    """A log tells arguments that a rewrite has emptied from those that never were: "" and "-"."""
    weir.start(config("access_log {tmp}/logs/args.log f; location /a { rewrite ^ /t/a? last; } location /b { rewrite ^ /t/b?$args last; }"
                      "location /c { try_files /none /t/c; } location /d { set $args ''; return 200; } location /e { return 402; } error_page 402 /t/e;"
                      "location /t { return 200; } location /n { return 200; }",
                      http="log_format f '$request_uri [$args]';"))
    targets = ("/a?x=1", "/a", "/b", "/c", "/d?x=1", "/e", "/n", "/n?")
    for target in targets:
        get(weir, target)
    log = weir.tmp / "logs" / "args.log"
    lines = wait_until(lambda: (found := [line for line in log.read_text().splitlines() if "/status" not in line])[7:] and found, 5, "lines")
    assert lines == ["/a?x=1 []", "/a [-]", "/b []", "/c []", "/d?x=1 []", "/e [-]", "/n [-]", "/n? [-]"]


def test_mark_of_empty_arguments(weir):
    """A redirect keeps the "?" of its replacement, whatever the arguments behind it are."""
    weir.start(config("absolute_redirect off; location /a { rewrite ^ /b?$args redirect; } location /c { rewrite ^ /d? redirect; }"))
    assert [get(weir, target).header("Location") for target in ("/a", "/c", "/c?x")] == ["/b?", "/d", "/d"]


def test_rate_that_is_none(weir):
    """set $limit_rate to what is no size leaves the rate as it was."""
    weir.start(config("set $limit_rate 100k; location / { set $limit_rate $arg_r; return 200 $limit_rate; }"))
    assert [get(weir, target).text for target in ("/?r=1k", "/?r=zz", "/")] == ["1024", "102400", "102400"]


@pytest.mark.directive("rewrite", "rewrite_log")
def test_words_of_rewrite_log(weir):
    """The arguments of a rewritten URI are logged as they are then."""
    weir.start(config("rewrite_log on; location /a { rewrite ^/a /b?y=2; return 200; }"))
    get(weir, "/a?x=1")
    weir.wait_log(r'rewritten data: "/b", args: "y=2&x=1"', 5)


@pytest.mark.http1_only
def test_values_of_a_request(weir):
    """An argument needs a "=", a cookie keeps the blank before its end, a version is as it was sent, a host ends with a dot or not."""
    weir.start(config("location / { return 200 '[$arg_a][$cookie_c][$server_protocol][$m]'; }",
                      http="map $arg_h $m { hostnames; default d; a.test 1; *.b.test 2; }"))
    assert get(weir, "/?a&a=1&h=a.test.", "Cookie: c = 1 ; d=2").text == "[1][1 ][HTTP/1.1][1]"
    assert ask(weir.port, head("GET /?h=x.b.test. HTTP/1.9")).text == "[][][HTTP/1.9][2]"
