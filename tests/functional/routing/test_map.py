"""map, geo and split_clients: variables by tables, as configurations of applications use them."""

import pytest
from mistakes import arguments, variable
from weirlib import config

MAPS = """
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
map $arg_k $value { default other; a first; B second; "x y" blank; ~^re(.)$ "group-$1"; ~*^CI nocase; \\\\~lit literal;
                    v $arg_v; "" none; }
map $host $site { hostnames; default d; example.com exact; *.example.com sub; .dot.org dot; www.* www; ~^n(?<num>[0-9]+)\\. "n$num"; }
map $value $second { default two; first one; }
map $third $third2 { default $third2; }
map $arg_k $third { default $arg_k; }
"""


@pytest.mark.http1_only
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
