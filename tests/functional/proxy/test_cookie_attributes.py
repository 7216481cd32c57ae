"""Cookies of upstreams that proxy_cookie_... changes are written anew as nginx does it; all others stay as they came."""

import pytest
from proxylib import answer, backend, passed  # noqa: F401 - a fixture

CASES = {
    "blanks are evened out": ("proxy_cookie_path /p /q;", "a=b;  Path = /p ;x;Domain=D", "a=b; Path=/q; x; Domain=D"),
    "nothing to change": ("proxy_cookie_path /none /q;", "a=b;  Path = /p ;x", "a=b;  Path = /p ;x"),
    "no value, no cookie": ("proxy_cookie_path / /q; proxy_cookie_flags ~ secure;", "a; Path=/p", "a; Path=/p"),
    "both of the same name": ("proxy_cookie_path /p /q;", "a=b; Path=/p; PATH=/p/r", "a=b; Path=/q; PATH=/q/r"),
    "a flag keeps its place": ("proxy_cookie_flags a httponly secure;", "a=b; secure; Path=/", "a=b; secure; Path=/; HttpOnly"),
    "SameSite is replaced in place": ("proxy_cookie_flags a samesite=lax;", "a=b; samesite=None; Path=/", "a=b; SameSite=Lax; Path=/"),
    "SameSite that is right": ("proxy_cookie_flags a samesite=lax;", "a=b; samesite=lax; Path=/", "a=b; samesite=lax; Path=/"),
    "flags come in one order": ("proxy_cookie_flags a samesite=lax secure;", "a=b", "a=b; Secure; SameSite=Lax"),
    "flags are taken away": ("proxy_cookie_flags ~ nosecure nosamesite;", "a=b;Secure; x; SameSite=Lax", "a=b; x"),
    "unknown words change nothing": ("proxy_cookie_flags a bogus;", "a=b;Path=/", "a=b;Path=/"),
    "the cookie's own name is none of them": ("proxy_cookie_path /p /q;", "Path=/p; x", "Path=/p; x"),
    "an empty attribute": ("proxy_cookie_path /p /q;", "a=b;;Path=/p;", "a=b; ; Path=/q; "),
    "all of them": ("proxy_cookie_domain up.test n; proxy_cookie_path /p /q; proxy_cookie_flags ~ secure;",
                    "a=b;Domain=.Up.Test;Path=/p", "a=b; Domain=.n; Path=/q; Secure"),
}


@pytest.mark.parametrize("case", CASES)
def test_cookie(weir, backend, case):
    more, cookie, wanted = CASES[case]
    passed(weir, backend(answer(b"x", f"Set-Cookie: {cookie}")), more)
    assert weir.get().header("Set-Cookie") == wanted.rstrip(" ")
