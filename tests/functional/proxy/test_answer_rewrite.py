"""proxy_redirect and proxy_cookie_...: headers of upstreams' answers in the terms of the clients."""

import pytest
from proxylib import answer, backend, passed  # noqa: F401 - a fixture
from weirlib import config


def says(call):
    """An answer with the headers that the request asks for."""
    return answer(b"x", *call.all("X-Say"), status=call.header("X-Status", "200 OK"))


def told(weir, name, value, target="/"):
    """What becomes of a header of the upstream's answer."""
    reply = weir.get(target, headers=[("X-Say", f"{name}: {value}"), ("X-Status", "302 Found")])
    value = reply.header(name)
    return value and value.replace(f"http://localhost:{weir.port}/", "/")  # as absolute URLs they mean the same


def rewritten(weir, backend, lines, name, values, **parts):
    passed(weir, backend(says), lines, **parts)
    return {value: told(weir, name, value) for value in values}


# ---- proxy_redirect -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("location, uri, target, came, seen", [
    ("/one/", "/two/", "/one/x", "http://{up}/two/a?b", "/one/a?b"),
    ("/one/", "/two/", "/one/x", "http://{up}/other", "http://{up}/other"),
    ("/one/", "/two/", "/one/x", "/two/a", "/two/a"),
    ("/one/", "/two/", "/one/x", "https://{up}/two/a", "https://{up}/two/a"),
    ("/one/", "", "/one/x", "http://{up}/two/a", "/two/a"),
    ("/one/", "", "/one/x", "http://{up}", "http://{up}"),
    ("/", "", "/", "http://{up}.evil/", "http://{up}.evil/"),
    ("/one", "/", "/one", "http://{up}/x", "/onex"),
    ("~ ^/one/", "", "/one/x", "http://{up}/two/a", "/two/a")])
def test_default_redirect(weir, backend, location, uri, target, came, seen):
    up = backend(says)
    passed(weir, up, location=location, uri=uri)
    assert told(weir, "Location", came.format(up=up.address), target) == seen.format(up=up.address)


def test_default_redirect_is_none_with_variables(weir, backend):
    up = backend(says)
    weir.start(config(f"location / {{ proxy_pass http://{up.address}$uri; }}"))
    assert told(weir, "Location", f"http://{up.address}/a") == f"http://{up.address}/a"


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "301 Moved", "404 No"])
def test_redirect_of_any_status(weir, backend, status):
    up = backend(says)
    passed(weir, up)
    reply = weir.get(headers=[("X-Say", f"Location: http://{up.address}/a"), ("X-Status", status)])
    assert reply.header("Location") == f"http://localhost:{weir.port}/a"


@pytest.mark.directive("proxy_redirect")
def test_redirect_off(weir, backend):
    up = backend(says)
    passed(weir, up, "proxy_redirect off;")
    assert told(weir, "Location", f"http://{up.address}/a") == f"http://{up.address}/a"


def test_redirect_default_with_others(weir, backend):
    """The first line that fits."""
    up = backend(says)
    passed(weir, up, "proxy_redirect http://a/ /first/; proxy_redirect default; proxy_redirect http://a/b /second;"
                     "proxy_redirect / /slash/;", location="/one/", uri="/two/")
    came = {"http://a/b": "/first/b", f"http://{up.address}/two/c": "/one/c", "/d": "/slash/d",
            "http://e/": "http://e/"}
    assert {each: told(weir, "Location", each, "/one/") for each in came} == came


def test_redirect_prefix_with_variables(weir, backend):
    found = rewritten(weir, backend, "proxy_redirect http://$host:8000/ https://$host$uri/;", "Location",
                      ["http://localhost:8000/a", "http://other:8000/a"])
    assert found == {"http://localhost:8000/a": "https://localhost//a", "http://other:8000/a": "http://other:8000/a"}


def test_server_name_is_inserted(weir, backend):
    """nginx: the server's name may be omitted in the replacement; it is inserted then, as in our own redirects."""
    passed(weir, backend(says), "proxy_redirect http://a/ /b/;", server="location = /own { return 302 /b/x; }")
    theirs = weir.get(headers=[("X-Say", "Location: http://a/x")]).header("Location")
    assert theirs == weir.get("/own").header("Location")


def test_redirect_regex(weir, backend):
    """nginx's own example; its case matters."""
    found = rewritten(weir, backend, r"proxy_redirect ~^(http://[^:]+):\d+(/.+)$ $1$2;"
                                     r"proxy_redirect ~*/user/([^/]+)/(.+)$ http://$1.example.com/$2;", "Location",
                      ["http://a:81/b", "HTTP://a:81/b", "/USER/me/x?y"])
    assert found == {"http://a:81/b": "http://a/b", "HTTP://a:81/b": "HTTP://a:81/b",
                     "/USER/me/x?y": "http://me.example.com/x?y"}


@pytest.mark.parametrize("line, came, seen", [
    ("proxy_redirect ~/b/(.*) /c/$1", "http://h/b/x", "/c/x"), ("proxy_redirect ~^http://h /c", "http://h/b/x", "/c")])
def test_redirect_regex_replaces_the_whole(weir, backend, line, came, seen):
    """As in nginx (ngx_http_proxy_rewrite_regex_handler), not only what has matched."""
    assert rewritten(weir, backend, line + ";", "Location", [came]) == {came: seen}


@pytest.mark.parametrize("line, name, came, seen", [
    (r"proxy_redirect ~^http://[^/]+(?<path>/.*)$ https://$host$path", "Location", "http://a/b", "https://localhost/b"),
    (r"proxy_cookie_domain ~\.(?P<sl_domain>[-0-9a-z]+\.[a-z]+)$ $sl_domain", "Set-Cookie", "a=b; Domain=x.y.com",
     "a=b; Domain=y.com"),
    (r"proxy_cookie_path ~^/(?<first>\w+)$ /$first/x", "Set-Cookie", "a=b; Path=/p", "a=b; Path=/p/x")])
def test_named_captures(weir, backend, line, name, came, seen):
    assert rewritten(weir, backend, line + ";", name, [came]) == {came: seen}


def test_captures_of_the_location_in_a_prefix_line(weir, backend):
    passed(weir, backend(says), "proxy_redirect http://a/ /$1/;", location="~ ^/(one|two)/")
    assert told(weir, "Location", "http://a/b", "/two/") == "/two/b"


def test_refresh(weir, backend):
    up = backend(says)
    passed(weir, up, "proxy_redirect default; proxy_redirect ~^http://a/(.*)$ /$1;")
    came = {f"5; url=http://{up.address}/a": "5; url=/a", f"0;URL=http://{up.address}/b": "0;URL=/b", "7": "7",
            "3; url=http://a/c": "3; url=/c", "3; url=http://b/c": "3; url=http://b/c"}
    assert {each: told(weir, "Refresh", each) for each in came} == came


def test_redirect_inheritance(weir, backend):
    up = backend(says)
    weir.start(config("".join(f"location /{name} {{ proxy_pass http://{up.address}; {own} }}" for name, own in (
        ("all", ""), ("own", "proxy_redirect http://a/ /own/;"), ("off", "proxy_redirect off;"))),
        http="proxy_redirect http://a/ /http/;", server="proxy_redirect http://a/ /server/;"))
    found = {each: told(weir, "Location", "http://a/x", f"/{each}") for each in ("all", "own", "off")}
    assert found == {"all": "/server/x", "own": "/own/x", "off": "http://a/x"}


# ---- cookies ------------------------------------------------------------------------------------------------

def cookies(weir, backend, lines, values):
    return rewritten(weir, backend, lines, "Set-Cookie", values)


def same(cookie):
    """A cookie without what says nothing: the order of attributes and a domain's first dot."""
    first, *rest = cookie.replace("omain=.", "omain=").split(";")
    return first, sorted(each.strip().lower() for each in rest)


def check(found, wanted):
    assert {came: same(seen) for came, seen in found.items()} == {came: same(seen) for came, seen in wanted.items()}


@pytest.mark.parametrize("line", ["localhost example.org", ".localhost .example.org", "LOCALHOST example.org"])
def test_cookie_domain(weir, backend, line):
    wanted = {"a=b; Domain=localhost; Path=/": "a=b; Domain=example.org; Path=/",
              "a=b; domain=.LocalHost": "a=b; domain=example.org", "a=b; Domain=x.localhost": "a=b; Domain=x.localhost",
              "domain=localhost": "domain=localhost", "a=b": "a=b", "a=b;Domain=localhost;Secure":
              "a=b;Domain=example.org;Secure", "a=b; Domain=localhost.com": "a=b; Domain=localhost.com"}
    check(cookies(weir, backend, f"proxy_cookie_domain {line};", wanted), wanted)


@pytest.mark.directive("proxy_cookie_domain")
def test_cookie_domain_with_variables(weir, backend):
    check(cookies(weir, backend, "proxy_cookie_domain www.$host $host;", ["a=b; Domain=www.localhost"]),
          {"a=b; Domain=www.localhost": "a=b; Domain=localhost"})


@pytest.mark.parametrize("came, seen", [("www.example.com", "example.com"), (".example.com", "example.com"),
                                        ("WWW.EXAMPLE.COM", "EXAMPLE.COM"), ("x.y.example.org", "example.org")])
def test_cookie_domain_regex(weir, backend, came, seen):
    """nginx's own example: the case does not matter, and the first dot is there to match."""
    check(cookies(weir, backend, r"proxy_cookie_domain ~\.([a-z]+\.[a-z]+)$ $1;", [f"a=b; Domain={came}"]),
          {f"a=b; Domain={came}": f"a=b; Domain={seen}"})


@pytest.mark.directive("proxy_cookie_domain")
def test_cookie_domain_regex_for_the_first_dot(weir, backend):
    check(cookies(weir, backend, r"proxy_cookie_domain ~^\.example\.com$ new.org;", ["a=b; Domain=.example.com"]),
          {"a=b; Domain=.example.com": "a=b; Domain=new.org"})


def test_the_last_of_two_domains_counts(weir, backend):
    """RFC 6265 section 5.3: so it is not left as it was."""
    found = cookies(weir, backend, "proxy_cookie_domain l e.org; proxy_cookie_flags a nosecure;",
                    ["a=b; Domain=l; Secure; Domain=l; Secure"])
    check(found, {"a=b; Domain=l; Secure; Domain=l; Secure": "a=b; Domain=e.org; Domain=e.org"})


@pytest.mark.directive("proxy_cookie_path")
def test_cookie_path(weir, backend):
    wanted = {"a=b; Path=/two/": "a=b; Path=/", "a=b; path=/two/x; HttpOnly": "a=b; path=/x; HttpOnly",
              "a=b; Path=/TWO/": "a=b; Path=/TWO/", "a=b; Path=/": "a=b; Path=/", "path=/two/": "path=/two/",
              "a=b; Path=/x/two/": "a=b; Path=/x/two/"}
    assert cookies(weir, backend, "proxy_cookie_path /two/ /;", wanted) == wanted


@pytest.mark.directive("proxy_cookie_path")
def test_cookie_path_may_add_attributes(weir, backend):
    assert cookies(weir, backend, 'proxy_cookie_path / "/; secure; HttpOnly";', ["a=b; Path=/x"]) == {
        "a=b; Path=/x": "a=b; Path=/; secure; HttpOnlyx"}


@pytest.mark.parametrize("came, seen", [("/user/me", "/u/me"), ("/USER/me", "/u/me"), ("/user/me/x", "/u/me"),
                                        ("/x", "/x")])
def test_cookie_path_regex(weir, backend, came, seen):
    """nginx's own example; the whole path is replaced."""
    assert cookies(weir, backend, "proxy_cookie_path ~*^/user/([^/]+) /u/$1;", [f"a=b; Path={came}"]) == {
        f"a=b; Path={came}": f"a=b; Path={seen}"}


FLAGS = {"secure": "Secure", "httponly": "HttpOnly", "samesite=strict": "SameSite=Strict",
         "samesite=lax": "SameSite=Lax", "samesite=none": "SameSite=None"}


@pytest.mark.directive("proxy_cookie_flags")
@pytest.mark.parametrize("flag", FLAGS)
def test_cookie_flag_is_set(weir, backend, flag):
    text = FLAGS[flag]
    wanted = {"one=1": f"one=1; {text}", "ONE=1; Path=/": f"ONE=1; Path=/; {text}", "two=1": "two=1",
              f"one=1; {text.lower()}; Path=/": f"one=1; {text}; Path=/"}
    check(cookies(weir, backend, f"proxy_cookie_flags one {flag};", wanted), wanted)


@pytest.mark.parametrize("flag", ["secure", "httponly", "samesite"])
def test_cookie_flag_is_taken_away(weir, backend, flag):
    has = "samesite=Lax" if flag == "samesite" else flag
    wanted = {f"one=1; {has}; Path=/": "one=1; Path=/", f"one=1; {has.upper()}": "one=1", "one=1": "one=1",
              f"two=1; {has}": f"two=1; {has}", f"one={flag}": f"one={flag}"}
    check(cookies(weir, backend, f"proxy_cookie_flags one no{flag};", wanted), wanted)


@pytest.mark.directive("proxy_cookie_flags")
def test_cookie_flags_several(weir, backend):
    wanted = {"one=1; SameSite=Lax": "one=1; Secure; HttpOnly; SameSite=Strict", "ab=1; Secure": "ab=1; HttpOnly",
              "AB=1": "AB=1; HttpOnly", "abc=1": "abc=1; SameSite=None; Secure"}
    check(cookies(weir, backend, "proxy_cookie_flags one secure httponly samesite=strict;"
                                 "proxy_cookie_flags ~^ab$ nosecure httponly;"
                                 "proxy_cookie_flags ~b samesite=none secure;", wanted), wanted)


def test_all_three_with_several_cookies(weir, backend):
    passed(weir, backend(answer(b"", "Set-Cookie: a=1; Domain=l; Path=/x", "Set-Cookie: b=2; Domain=l; Path=/x")),
           "proxy_cookie_domain l e.org; proxy_cookie_path /x /; proxy_cookie_flags b secure;")
    found = [value for name, value in weir.get().headers if name == "set-cookie"]
    assert found == ["a=1; Domain=e.org; Path=/", "b=2; Domain=e.org; Path=/; Secure"]


@pytest.mark.parametrize("name, line", [("domain", "l {}.org"), ("path", "/x /{}"), ("flags", "a samesite={}")])
def test_cookie_inheritance(weir, backend, name, line):
    """A level's own lines take the place of those above; off takes them away."""
    lines = [f"proxy_cookie_{name} {line.format(each)};" for each in ("none", "lax", "strict")]
    up = backend(answer(b"", "Set-Cookie: a=1; Domain=l; Path=/x"))
    weir.start(config(f"location /all {{ proxy_pass http://{up.address}; }}"
                      f"location /own {{ proxy_pass http://{up.address}; {lines[2]} }}"
                      f"location /off {{ proxy_pass http://{up.address}; proxy_cookie_{name} off; }}",
                      http=lines[0], server=lines[1]))
    found = [weir.get(target).header("Set-Cookie").lower() for target in ("/all", "/own", "/off")]
    assert "lax" in found[0] and "strict" in found[1] and found[2] == "a=1; domain=l; path=/x"
