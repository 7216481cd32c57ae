"""Which server and which location answers, and what return and its variables say."""

import email.utils
import re
import time
from urllib.parse import urljoin

import pytest
import weirlib
import wire
from weirlib import config, let_pass
from wire import head


def text(port, host="a", target="/"):
    """The body that a host and target get, or the status if it is not 200."""
    answer = wire.ask(port, head(f"GET {target} HTTP/1.1", host=f"Host: {host}"))
    return answer.text if answer.status == 200 else answer.status


def servers(*blocks):
    """Servers on {port} as (names, further directives), each of which answers with its number."""
    return "".join(f"server {{ listen 127.0.0.1:{{port}}; server_name {names}; {more} return 200 {number}; }}\n"
                   for number, (names, more) in enumerate(blocks))


# ---- servers ----------------------------------------------------------------------------------------------

NAMES = servers(
    ("first.test", ""),
    ("exact.test other.test", ""),
    ("*.exact.test", ""),
    ("*.deep.exact.test", ""),
    (".dot.test", ""),
    ("mail.*", ""),
    ("mail.deep.*", ""),
    (r"~^www\d+\.re\.test$", ""),
    (r"~\.re\.test$", ""),
    ("UPPER.test", ""),
    ('""', ""),
    (r'"~^(?<sub>[a-z]{3})\.braces\.test$"', ""),
)


@pytest.mark.directive("server_name")
@pytest.mark.parametrize("host, number", [
    ("exact.test", 1), ("other.test", 1), ("EXACT.Test", 1), ("exact.test:80", 1), ("exact.test.", 1),
    ("a.exact.test", 2), ("a.b.exact.test", 2), ("a.deep.exact.test", 3), ("deep.exact.test", 2),
    ("dot.test", 4), ("a.dot.test", 4), ("a.b.dot.test", 4), ("adot.test", 0),
    ("mail.org", 5), ("mail.any.org", 5), ("mail.deep.org", 6), ("mail.exact.test", 2), ("mail", 0),
    ("www1.re.test", 7), ("www.re.test", 8), ("upper.test", 9), ("abc.braces.test", 11), ("abcd.braces.test", 0),
    ("unknown.test", 0), ("xexact.test", 0),
])
def test_server_names(weir, host, number):
    """Exact before longest leading wildcard before longest trailing one before the first regex; else the first."""
    weir.start(config(http=NAMES))
    assert text(weir.port, host) == str(number)


@pytest.mark.http1_only
def test_no_host_is_the_empty_name(weir):
    """A request of HTTP/1.0 without Host goes to the server named by nothing."""
    weir.start(config(http=NAMES))
    assert wire.ask(weir.port, b"GET / HTTP/1.0\r\n\r\n").text == "10"


@pytest.mark.directive("listen", "server")
def test_default_server_and_several_listens(weir):
    """default_server answers for names that nobody has, on its own address only; a server may listen twice."""
    weir.start(config(http="""
        server { listen 127.0.0.1:{port}; server_name a; return 200 a; }
        server { listen 127.0.0.1:{port} default_server; listen 127.0.0.1:{port2}; server_name b; return 200 b; }
        server { listen 127.0.0.1:{port2}; server_name c; return 200 c; }
        server { listen 127.0.0.1:{port2} default_server; server_name d; return 200 d; }
    """, listen="127.0.0.1:{port3}"))
    names = "abcdx"
    assert {name: text(weir.port, name) for name in names} == dict(zip(names, "abbbb"))
    assert {name: text(weir.port2, name) for name in names} == dict(zip(names, "dbcdd"))
    assert text(weir.port3, "a") == "hello\n"


@pytest.mark.directive("listen")
def test_same_name_on_one_address(weir):
    """A name given twice for one address goes to the first server, with a warning."""
    weir.start(config(http=servers(("a", ""), ("b", ""), ("b", ""))))
    assert text(weir.port, "b") == "1"
    weir.wait_log(r'\[warn\].*conflicting server name "b"')


# ---- locations --------------------------------------------------------------------------------------------

LOCATIONS = """
    location / { return 200 slash; }
    location = / { return 200 exact-slash; }
    location = /a { return 200 exact-a; }
    location /a { return 200 prefix-a; }
    location /a/longer { return 200 longer; }
    location ^~ /static/ { return 200 static; }
    location /static/deep/ { return 200 static-deep; }
    location ~ \\.php$ { return 200 php; }
    location ~* \\.(gif|jpg)$ { return 200 image; }
    location ~ ^/a/re { return 200 second-re; }
    location ~ ^/a/ree { return 200 never; }
    location ~* ^/case { return 200 case; }
    location ~ ^/Exact-case { return 200 exact-case; }
    location /nest {
        return 200 nest;
        location = /nest/exact { return 200 nest-exact; }
        location /nest/inner { return 200 inner; location ~ \\.x$ { return 200 inner-x; } }
        location ~ \\.php$ { return 200 nest-php; }
    }
    location ^~ /quiet { return 200 quiet; location ~ \\.php$ { return 200 quiet-php; } }
    location "/with space" { return 200 space; }
    location ~ "^/[0-9]{3}$" { return 200 three-digits; }
"""


@pytest.mark.directive("location")
@pytest.mark.parametrize("target, answer", [
    ("/", "exact-slash"), ("/?a", "exact-slash"), ("/none", "slash"), ("/a", "exact-a"), ("/ab", "prefix-a"),
    ("/a/", "prefix-a"), ("/a/longer/x", "longer"), ("/A", "slash"), ("/%61", "exact-a"), ("/b/../a", "exact-a"),
    ("/x.php", "php"), ("/a/longer.php", "php"), ("/x.PHP", "slash"), ("/x.GIF", "image"), ("/x.php?a.gif", "php"),
    ("/static/x.php", "static"), ("/static/deep/x", "static-deep"), ("/static/deep/x.php", "php"),
    ("/a/re", "second-re"), ("/a/ree", "second-re"), ("/CASE", "case"), ("/exact-case", "slash"),
    ("/Exact-case", "exact-case"), ("/nest", "nest"), ("/nest/exact", "nest-exact"), ("/nest/inner/y", "inner"),
    ("/nest/inner/y.x", "inner-x"), ("/nest/y.php", "nest-php"), ("/nest/y.x", "nest"), ("/nest/y.gif", "image"),
    ("/quiet/y.gif", "quiet"), ("/quiet/y.php", "quiet-php"), ("/with%20space", "space"), ("/123", "three-digits"),
    ("/1234", "slash"),
])
def test_locations(weir, target, answer):
    """= first, then the longest prefix unless a regex matches, which ^~ prevents; nested ones by the same rules."""
    weir.start(config(LOCATIONS))
    assert text(weir.port, "a", target) == answer


@pytest.mark.directive("http")
def test_server_without_locations(weir):
    """Directives of the server answer where no location matches."""
    weir.start(config("location /a { return 200 a; }", server="root {tmp}/html;"))
    (weir.tmp / "html/b").write_text("b")
    assert (text(weir.port, target="/a"), text(weir.port, target="/b"), text(weir.port, target="/c")) == ("a", "b", 404)


# ---- return -----------------------------------------------------------------------------------------------

RETURNS = """
    location /text { return 200 "some \\"quoted\\" text\\n"; }
    location /empty { return 200; }
    location /typed { default_type text/html; return 200 "<p>"; }
    location /not-found { return 404; }
    location /own-text { return 404 "gone\\n"; }
    location /teapot { return 418 "short and stout"; }
    location /nothing { return 204; }
    location /r301 { return 301 /new; }
    location /r302 { return 302 http://other.example/x?y; }
    location /r303 { return 303 /new; }
    location /r307 { return 307 /new; }
    location /r308 { return 308 /new; }
    location /url { return https://other.example/z; }
    location /built { return 301 https://$host$request_uri; }
    location /relative { return 301 new; }
    location /silent { return 444; }
"""


@pytest.mark.directive("return")
def test_return_text(weir):
    """A code with a text answers with just that, as default_type says; without a text it is empty or the page."""
    weir.start(config(RETURNS))
    found = {name: weir.get(f"/{name}") for name in ("text", "empty", "typed", "own-text", "teapot", "not-found")}
    assert {name: (answer.status, answer.text) for name, answer in found.items() if name != "not-found"} == {
        "text": (200, 'some "quoted" text\n'), "empty": (200, ""), "typed": (200, "<p>"), "own-text": (404, "gone\n"),
        "teapot": (418, "short and stout")}
    assert found["not-found"].status == 404 and "404" in found["not-found"].text
    assert [found[name].header("content-type") for name in ("text", "typed")] == ["text/plain", "text/html"]


def test_return_no_content(weir):
    """204 has neither body nor length, and the connection goes on."""
    weir.start(config(RETURNS))
    with weir.connect() as connection:
        answer = connection.get("/nothing")
        assert (answer.status, answer.body, answer.header("content-length")) == (204, b"", None)
        assert connection.get("/text").status == 200


@pytest.mark.parametrize("path, status, location", [
    ("r301", 301, "/new"), ("r302", 302, "http://other.example/x?y"), ("r303", 303, "/new"), ("r307", 307, "/new"),
    ("r308", 308, "/new"), ("url", 302, "https://other.example/z"), ("relative", 301, "/new"),
    ("built/a?b=%20c", 301, "https://localhost/built/a?b=%20c"),
])
def test_return_redirect(weir, path, status, location):
    """A redirect points where it says; a path is one of the same host and port."""
    weir.start(config(RETURNS))
    base = f"http://localhost:{weir.port}/"
    answer = wire.ask(weir.port, head(f"GET /{path} HTTP/1.1", host=f"Host: localhost:{weir.port}"))
    assert (answer.status, urljoin(base, answer.header("location"))) == (status, urljoin(base, location))


def test_return_444(weir):
    """444 closes the connection without an answer."""
    weir.start(config(RETURNS))
    with weir.connect() as connection:
        connection.request("/silent")
        assert connection.until_close() == b""


# ---- variables --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("variable, value", [
    ("$uri", "/v/a b"), ("$document_uri", "/v/a b"), ("$request_uri", "/v/./a%20b?x=1&y=%20z&x=2"),
    ("$host", "name.test"),
    ("$args", "x=1&y=%20z&x=2"), ("$query_string", "x=1&y=%20z&x=2"), ("$is_args", "?"), ("$arg_x", "1"),
    ("$arg_y", "%20z"), ("$arg_none", ""), ("$remote_addr", "127.0.0.1"), ("$request_method", "GET"),
    ("$scheme", "http"), ("$server_name", "main.test"), ("$server_addr", "127.0.0.1"), ("$server_port", "{port}"),
    ("$server_protocol", weirlib.PROTOCOL), ("$http_user_agent", "agent/1 (x)"), ("$http_x_some_name", "some value"),
    ("$http_host", "Name.Test:99"), ("$http_none", ""), ("$request", f"GET /v/./a%20b?x=1&y=%20z&x=2 {weirlib.PROTOCOL}"),
    ("${scheme}s", "https"), ("$scheme://$host$uri", "http://name.test/v/a b"), ("$content_length", ""),
])
def test_variables(weir, variable, value):
    """The common variables mean what they mean in nginx."""
    weir.start(config(f'location /v {{ return 200 "[{variable}]"; }}', server="server_name main.test;"))
    answer = wire.ask(weir.port, head("GET /v/./a%20b?x=1&y=%20z&x=2 HTTP/1.1", "User-Agent: agent/1 (x)",
                                      "X-Some-Name: some value", host="Host: Name.Test:99"))
    assert answer.text == f"[{weir.fill(value)}]"


@pytest.mark.http1_only
def test_variables_of_an_absolute_target(weir):
    """$request_uri has the path and query only, as $uri and $args do; $request has the line as it came."""
    weir.start(config('location / { return 200 "$request_uri|$uri|$args|$host|$http_host|$request"; }'))
    answer = wire.ask(weir.port, head("GET http://other:80/a%20b?c HTTP/1.1"))
    assert answer.text == "/a%20b?c|/a b|c|other|a|GET http://other:80/a%20b?c HTTP/1.1"


def test_variable_of_remote_port(weir):
    """$remote_port is the client's."""
    weir.start(config("location / { return 200 $remote_port; }"))
    with weir.connect() as connection:
        assert connection.get("/").text == str(connection.socket.getsockname()[1])


@pytest.mark.http1_only
def test_variables_of_a_bare_request(weir):
    """Without Host $host is the server's name; without a query $args and $is_args are empty."""
    said = '"$host|$args|$is_args|$server_protocol"'
    weir.start(config(f"location / {{ return 200 {said}; }}", server="server_name main.test;"))
    assert wire.ask(weir.port, b"GET / HTTP/1.0\r\n\r\n").text == "main.test|||HTTP/1.0"


def test_captures(weir):
    """What a regular expression of a location or a server name captures can be used, by number and by name."""
    weir.start(config(r'location ~ ^/(\w+)/(?<rest>.*)$ { return 200 "$1|$rest|$2"; }', http=r"""
        server { listen 127.0.0.1:{port}; server_name ~^(?<sub>\w+)\.re\.test$; return 200 "$sub"; }
    """, listen="127.0.0.1:{port} default_server"))
    assert text(weir.port, "abc.re.test") == "abc"
    assert text(weir.port, "a", "/one/two/three") == "one|two/three|two/three"


def test_unknown_variable(weir):
    """A variable that does not exist is found before the server starts."""
    done = weir.run("-t", conf=config("location / { return 200 $no_such_thing; }"))
    assert done.returncode == 1 and "no_such_thing" in done.stderr


# ---- what every answer carries ----------------------------------------------------------------------------

@pytest.mark.directive("server_tokens")
def test_server_tokens(weir):
    """server_tokens off leaves the version out of the Server field and the error pages."""
    weir.start(config("location /off { server_tokens off; return 404; } location /on { return 404; }"))
    on, off = weir.get("/on"), weir.get("/off")
    name, version = re.fullmatch(r"(\w+)/(\d[\w.+-]*)", on.header("server")).groups()
    assert off.header("server") == name
    assert f"{name}/{version}" in on.text and version not in off.text and name in off.text


def test_date(weir):
    """Every answer carries the time in the form of RFC 9110, also seconds after the server started."""
    weir.start()
    let_pass(1.2)
    dates = [weir.get(target).header("date") for target in ("/", "/status")]
    for date in dates:
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)
        assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < weirlib.limit(2)
