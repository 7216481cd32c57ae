"""try_files, named locations, internal, map and add_header, as configurations of applications use them."""

import pytest
from mistakes import arguments, variable
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config


@pytest.fixture
def site(weir, backend):
    """Files, and an application behind them."""
    for name, text in {"html/index.html": "index", "html/a.txt": "a", "html/dir/index.html": "dir", "html/500.html": "sorry",
                       "html/page/index.html": "page"}.items():
        weir.write(text, name)
    return backend(lambda call: answer(f"{call.method} {call.target} ".encode() + call.body))


def start(weir, up, locations, http=""):
    weir.start(config("root {tmp}/html;" + locations + "location @app { proxy_pass http://" + up.address + "; }", http=http))


@pytest.mark.parametrize("target,body", [("/", "index"), ("/a.txt", "a"), ("/none?x=1", "GET /none?x=1 "),
                                         ("/dir/", "dir"), ("/a.txt?q", "a"), ("/%2e%2e/etc", None)])
def test_files_then_the_application(weir, site, target, body):
    start(weir, site, "location / { try_files $uri $uri/ @app; }")
    reply = weir.get(target)
    assert (reply.text == body) if body else reply.status == 400


def test_body_of_a_request_reaches_the_named_location(weir, site):
    start(weir, site, "location / { try_files $uri @app; }")
    for size in (0, 3, 100000):
        assert weir.get("/post", method="POST", body=b"x" * size).text == "POST /post " + "x" * size


def test_last_argument_is_a_uri_or_a_code(weir, site):
    start(weir, site, "location /u { try_files /nope /a.txt; } location /q { try_files /nope /args?z=$arg_z; }"
                      'location = /args { return 200 "[$args]"; } location /c { try_files /nope =418; }'
                      "location /loop { try_files /nope /loop; }")
    assert weir.get("/u").text == "a" and weir.get("/q?z=5").text == "[z=5]" and weir.get("/c").status == 418
    weir.expect_log("rewrite or internal redirection cycle")
    assert weir.get("/loop").status == 500


def test_folder_needs_a_slash(weir, site):
    start(weir, site, "location = /dir { try_files /dir =404; } location /d2 { try_files /dir/ =404; }")
    assert weir.get("/dir").status == 404
    sent_on = weir.get("/d2")  # as a folder whose "/" the client has left out
    assert sent_on.status == 301 and sent_on.header("location").endswith("/dir/")


def test_alias_and_server_level(weir, site):
    start(weir, site, "try_files $uri/index.html $uri @app; location /files/ { alias {tmp}/html/; try_files $uri @app; }")
    assert weir.get("/page").text == "page" and weir.get("/a.txt").text == "a"
    assert weir.get("/files/a.txt").text == "a" and weir.get("/files/zz").text == "GET /files/zz "


@pytest.mark.parametrize("location", ["/x", "/x/"])
@pytest.mark.parametrize("names,target,found", [
    ("$uri /x/a.txt =404", "/x/none", 404), ("$uri /a.txt =404", "/x/none", "a"), ("$uri /x/dir/ =404", "/x/none", 404),
    ("$uri /x/x/in.txt =404", "/x/none", 404), ("$uri /x/in.txt =404", "/x/none", "deep"), ("$uri =404", "/x/a.txt", "a"),
    ("$uri /x/$arg_f =404", "/x/none?f=a.txt", "a"), ("/none /x/$arg_f", "/x/none?f=/a.txt", "a"),
    ("/none /x/a.txt", "/x/a.txt", None), ("/none /$arg_f", "/x/none?f=a.txt", "a")])
def test_names_below_an_alias(weir, site, location, names, target, found):
    """As in nginx a name may have the location's part before it where variables make it, the last one too; else it is all a name."""
    weir.write("deep", "html/x/in.txt")
    weir.expect_log("No such file|cycle|does not begin")
    start(weir, site, f"location {location} {{ alias {{tmp}}/html{location[2:]}; try_files {names}; }}")
    reply = weir.get(target)
    if found is None:
        assert reply.status == 500  # it leads to itself
    else:
        assert reply.status == found if isinstance(found, int) else reply.text == found


def test_error_page_in_a_named_location(weir, site):
    start(weir, site, "location /a { error_page 404 = @app; } location /k { error_page 404 @app; }"
                      "location /n { error_page 404 = @none; } location /dead { proxy_pass http://127.0.0.1:1;"
                      "error_page 502 =200 @app; } location /page { proxy_pass http://127.0.0.1:1; error_page 502 /500.html; }")
    weir.expect_log("No such file|could not find named location|Connection refused")
    assert (weir.get("/a1").status, weir.get("/a1").text) == (200, "GET /a1 ")
    assert (weir.get("/k1").status, weir.get("/k1").text) == (404, "GET /k1 ")
    assert weir.get("/n1").status == 500
    assert weir.get("/dead", method="POST", body=b"kept").text == "POST /dead kept"
    assert (weir.get("/page").status, weir.get("/page").text) == (502, "sorry")


@pytest.mark.directive("internal")
def test_internal(weir, site):
    start(weir, site, "location /in { internal; alias {tmp}/html/a.txt; } location /t { try_files /nope /in; }")
    assert weir.get("/in").status == 404 and weir.get("/t").text == "a"


WRONG = {
    "location /x { location @in { } }": 'named location "@in" can be on the server level only',
    "location @a { } location @a { }": 'duplicate location "@a"; the first is in line ',
    "location / { try_files $uri; }": arguments("try_files", "at least 2"),
    "location / { try_files a =1000; }": 'invalid code "=1000" in "try_files"; write =CODE',
    "location / { try_files a b; try_files c d; }": '"try_files" directive is duplicate; the first is in line ',
    "location @p { proxy_pass http://127.0.0.1:1/uri; }": '"proxy_pass" cannot have URI part in location given by regular expression, or inside named',
    "location / { add_header X; }": arguments("add_header", "2 to 3"),
    "location / { add_header X 1 sometimes; }": 'invalid parameter "sometimes" of "add_header"',
    "location / { internal on; }": arguments("internal", "no argument"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config("\n" + wrong), wrong).startswith(WRONG[wrong])


# ---- map ----------------------------------------------------------------------------------------------------

MAPS = """
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
map $arg_k $value { default other; a first; B second; "x y" blank; ~^re(.)$ "group-$1"; ~*^CI nocase; \\\\~lit literal;
                    v $arg_v; "" none; }
map $host $site { hostnames; default d; example.com exact; *.example.com sub; .dot.org dot; www.* www; ~^n(?<num>[0-9]+)\\. "n$num"; }
map $value $second { default two; first one; }
map $third $third2 { default $third2; }
map $arg_k $third { default $arg_k; }
"""


def test_map(weir):
    weir.start(config('location / { return 200 "$value|$second|$connection_upgrade|$third|$third2"; }', http=MAPS))
    found = {k: weir.get("/?k=" + k).text.split("|")[0] for k in ("a", "A", "b", "zz", "re5", "cixx", "CIxx", "~lit", "")}
    assert found == {"a": "first", "A": "first", "b": "second", "zz": "other", "re5": "group-5", "cixx": "nocase",
                     "CIxx": "nocase", "~lit": "literal", "": "none"}
    assert weir.get("/?k=v&v=arg").text.split("|")[0] == "arg"
    assert weir.get("/?k=a").text.split("|")[1:4] == ["one", "close", "a"]
    assert weir.get("/", headers=[("Upgrade", "websocket")]).text.split("|")[2] == "upgrade"


def test_map_of_host_names(weir):
    weir.start(config('location / { return 200 "$site"; }', http=MAPS))
    hosts = {"example.com": "exact", "EXAMPLE.com": "exact", "a.b.example.com": "sub", "dot.org": "dot", "x.dot.org": "dot",
             "www.anything": "www", "n42.x": "n42", "other": "d"}

    def ask(host):
        with weir.connect() as c:
            c.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return c.response().text
    assert {host: ask(host) for host in hosts} == hosts


WRONG_MAPS = {
    "map $a { }": arguments("map", "exactly 2"),
    "map $host nodollar { }": 'invalid variable name "nodollar" in "map"',
    "map $host $x;": 'directive "map" has no opening "{"',
    "map $host $x { a; }": "invalid number of the map parameters; write: KEY VALUE;",
    "map $host $x { a b c; }": "invalid number of the map parameters; write: KEY VALUE;",
    "map $host $x { ~( b; }": '"~(" in "map": pcre2_compile() failed: missing closing parenthesis',
    "map $nosuchvar $x { a b; }": variable("nosuchvar"),
    "map $host $uri { a b; }": 'the variable "uri" is there already',
    "map $host $x { a $nosuchvar; }": variable("nosuchvar"),
}


@pytest.mark.parametrize("wrong", WRONG_MAPS)
def test_wrong_maps(weir, wrong):
    assert weir.mistake(config(http=wrong), wrong).startswith(WRONG_MAPS[wrong])


# ---- add_header -------------------------------------------------------------------------------------------

@pytest.mark.directive("add_header")
def test_add_header(weir, site):
    start(weir, site, 'add_header X-Server 1; location / { } location /own { add_header X-Own "$uri"; add_header X-Always a always;'
                      "add_header X-Empty $arg_none; return 404; } location /ok { add_header X-Own 2; proxy_pass http://"
                      + site.address + "; }")
    weir.expect_log("No such file")
    assert weir.get("/a.txt").header("X-Server") == "1" and weir.get("/none").header("X-Server") is None
    own = weir.get("/own")
    assert own.header("X-Own") is None and own.header("X-Always") == "a" and own.header("X-Server") is None
    assert weir.get("/ok").header("X-Own") == "2" and weir.get("/ok").header("X-Empty") is None


def test_add_header_cannot_be_split(weir):
    """A line end that a client has put into the path makes no header of the client's."""
    weir.start(config("location / { add_header X-Uri $uri; return 200 ok; }"))
    reply = weir.get("/a%0d%0aX-Evil:%201")
    assert reply.status == 200 and reply.header("X-Evil") is None and reply.header("X-Uri") is None


# ---- geo, split_clients -------------------------------------------------------------------------------------

def test_geo(weir):
    weir.start(config('location / { return 200 "$mine|$given"; }', http="geo $mine { default far; 127.0.0.0/8 near; 127.0.0.1 here; ::1 six; }"
                      "geo $arg_a $given { 10.0.0.0/8 a; 10.1.0.0/16 b; 10.1.2.3/32 c; 0.0.0.0/0 all; 2001:db8::/32 six; }"))
    found = {a: weir.get("/?a=" + a).text for a in ("10.9.9.9", "10.1.9.9", "10.1.2.3", "9.9.9.9", "2001:db8::7", "::", "x", "")}
    assert found == {"10.9.9.9": "here|a", "10.1.9.9": "here|b", "10.1.2.3": "here|c", "9.9.9.9": "here|all",
                     "2001:db8::7": "here|six", "::": "here|", "x": "here|all", "": "here|all"}  # no IP address: as 255.255.255.255


@pytest.mark.directive("split_clients")
def test_split_clients(weir):
    weir.start(config('location / { return 200 "$variant"; }', http='split_clients "$arg_a" $variant { 0.5% tiny; 50% half; * rest; }'))
    with weir.connect() as c:
        found = [c.get(f"/?a=client{i}").text for i in range(400)]
        assert found == [c.get(f"/?a=client{i}").text for i in range(400)]
    assert 140 < found.count("half") < 260 and found.count("tiny") < 20 and set(found) <= {"tiny", "half", "rest"}


WRONG_GEO = {
    "geo $x { nonsense 1; }": 'invalid network "nonsense" in "geo"',
    "geo x { }": 'invalid variable name "x" in "geo"',
    "geo $uri { }": 'invalid variable name "$uri" in "geo"',
    "split_clients $host $x { 60% a; 60% b; }": 'invalid line in "split_clients"',
    "split_clients $host $x { a b; }": 'invalid line in "split_clients"',
    "split_clients $host x { * b; }": 'invalid variable name "x" in "split_clients"',
    "split_clients $host $x;": 'directive "split_clients" has no opening "{"',
}


@pytest.mark.parametrize("wrong", WRONG_GEO)
def test_wrong_geo(weir, wrong):
    assert weir.mistake(config(http=wrong), wrong).startswith(WRONG_GEO[wrong])
