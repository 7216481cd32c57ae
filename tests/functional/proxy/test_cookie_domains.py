"""proxy_cookie_domain: the first dots of the configuration do not count, a cookie's own stays."""

import pytest
from proxylib import answer, backend, passed  # noqa: F401

COOKIES = ["a=b; Domain=.example.com; Path=/", "c=d; domain=EXAMPLE.com", "e=f; Domain=www.example.com", "g=h"]

RULES = {
    "example.com new.org": [".new.org", "new.org", None],
    ".example.com new.org": [".new.org", "new.org", None],
    "example.com .new.org": [".new.org", "new.org", None],
    ".example.com .new.org": [".new.org", "new.org", None],
    "$arg_from $arg_to": [".new.org", "new.org", None],
    ".$arg_from .$arg_to": [".new.org", "new.org", None],
    "www.example.com .new.org": [None, None, "new.org"],
    "~^\\.(.+)$ x.$1": ["x.example.com", None, None],
    "~\\.example\\.com$ .new.org": [".new.org", None, ".new.org"],
}


@pytest.mark.parametrize("rule", RULES)
def test_first_dots(weir, backend, rule):  # noqa: F811
    """Each cookie's domain is compared and replaced without its first dot, which stays; an expression sees it."""
    passed(weir, backend(answer(b"", *(f"Set-Cookie: {cookie}" for cookie in COOKIES))), f"proxy_cookie_domain {rule};")
    wanted = list(COOKIES)
    for i, (old, new) in enumerate(zip([".example.com", "EXAMPLE.com", "www.example.com"], RULES[rule])):
        wanted[i] = wanted[i].replace(old, new or old)
    got = weir.get("/?from=example.com&to=new.org")
    assert [value for name, value in got.headers if name == "set-cookie"] == wanted
