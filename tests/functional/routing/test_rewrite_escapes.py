"""What a replacement of rewrite escapes in arguments: $1 to $9, and nothing else."""

import pytest
from weirlib import config
from wire import ask, head

U = "u=a%20b%2Fc"

CASES = {
    'if ($args ~ "u=(?<t>[^&]*)") { rewrite ^ /to?n=$t? redirect; }': "/to?n=a%20b%2Fc",
    "if ($arg_u ~ ^(?<t>.*)$) { rewrite ^ $t? redirect; }": None,
    'if ($arg_u ~ "^(.*)$") { set $v $1; rewrite ^ /to?n=$v? redirect; }': "/to?n=a%20b%2Fc",
    "rewrite ^ /to?n=$arg_u? redirect;": "/to?n=a%20b%2Fc",
    "rewrite ^/p(.*)$ /to?n=$1? redirect;": "/to?n=/x%20y%26%3B%2B",
    "rewrite ^/(?<t>p).*$ /to?n=$t&u=$arg_u? redirect;": "/to?n=p&u=a%20b%2Fc",
}


@pytest.mark.parametrize("rules", CASES)
def test_redirects(weir, rules):
    """A named group and every other variable stand as they are; what came escaped is not escaped again."""
    weir.start(config(f"location / {{ {rules} }}"))
    got = ask(weir.port, head(f"GET /p/x%20y%26%3B%2B?{U} HTTP/1.1"))
    wanted = "a%20b%2Fc" if CASES[rules] is None else f"http://a:{weir.port}{CASES[rules]}"
    assert (got.status, got.header("location")) == (302, wanted)


def test_arguments(weir):
    """The same inside: $args of the new location."""
    weir.start(config('location / { if ($arg_u ~ "^(?<t>.*)$") { rewrite ^/p(.*)$ /to?k=$t&l=$1? last; } } location = /to { return 200 $args; }'))
    assert ask(weir.port, head(f"GET /p/x%20y%3B?{U} HTTP/1.1")).text == "k=a%20b%2Fc&l=/x%20y%3B"
