"""Challenges of an upstream's 401 that a page of ours takes the place of; and what auth_request_set may set."""

import pytest
from proxylib import answer, backend  # noqa: F401
from weirlib import config
from wire import ask, head

DENIED = answer(b"no", "WWW-Authenticate: Basic realm=a", "WWW-Authenticate: Bearer", status="401 No")


def test_all_challenges_of_an_intercepted_answer(weir, backend):  # noqa: F811
    """Each of them goes on with the page, whatever it is."""
    up = backend(DENIED).address
    weir.start(config(f"proxy_intercept_errors on; error_page 401 /page; location = /page {{ return 200 page; }} location / {{ proxy_pass http://{up}; }}"
                      f"location /named {{ error_page 401 @n; proxy_pass http://{up}; }} location @n {{ return 200 named; }}"))
    for target, body in ("/", "page"), ("/named", "named"):
        got = ask(weir.port, head(f"GET {target} HTTP/1.1"))
        lines = [value for name, value in got.headers if name == "www-authenticate"]
        assert (got.status, got.text, ", ".join(lines)) == (401, body, "Basic realm=a, Bearer")


@pytest.mark.directive("auth_request", "auth_request_set")
def test_auth_request_set_of_args(weir, backend):  # noqa: F811
    """$args that it sets are those of the request that goes on."""
    allowed, up = backend(answer(b"", "X-User: joe")), backend(lambda call: answer(call.target.encode()))
    weir.start(config(f"location / {{ auth_request /auth; auth_request_set $args user=$upstream_http_x_user; proxy_pass http://{up.address}; }}"
                      f"location = /auth {{ internal; proxy_pass http://{allowed.address}; }}"))
    assert ask(weir.port, head("GET /a?b=c HTTP/1.1")).text == "/a?user=joe"


def test_a_page_with_another_code(weir, backend):  # noqa: F811
    """It has the challenge as well, a page of another status has none."""
    up = backend(lambda call: answer(b"no", "WWW-Authenticate: Basic realm=a", status="401 No" if call.target == "/401" else "404 No")).address
    weir.write("", "conf/users")
    weir.start(config(f"error_page 401 404 =200 /page; location = /page {{ return 200 page; }} location / {{ proxy_intercept_errors on; proxy_pass http://{up}; }}"
                      "location /own { auth_basic b; auth_basic_user_file users; }"))
    found = {target: ask(weir.port, head(f"GET {target} HTTP/1.1")) for target in ("/401", "/404", "/own")}
    assert {target: (got.status, got.header("www-authenticate")) for target, got in found.items()} == {
        "/401": (200, "Basic realm=a"), "/404": (200, None), "/own": (200, 'Basic realm="b"')}
