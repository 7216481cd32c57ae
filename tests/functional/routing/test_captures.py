"""Named groups and `set`: one name is one variable of the request, whoever writes it, and the last one counts."""

import pytest
from weirlib import config, wait_until

SERVERS = """
map $uri $first { default none; "~^/map/(?<inner>.*)$" "m$inner"; }
server { listen 127.0.0.1:{port}; server_name ~^(?<sub>..)\\.b$;
         location / { return 200 "[$sub]"; } }
server { listen 127.0.0.1:{port}; server_name c;
         location / { set $sub set; set $inner set; set $lone set; return 200 "[$sub]"; } }
"""
LOCATIONS = r"""
location /if { set $tok none; if ($http_cookie ~ "tok=(?<tok>[^;]+)") { } return 200 "[$tok]"; }
location /rewrite { rewrite ^/rewrite/(?<id>[0-9]+)$ /shown/$id; }
location /shown { return 200 "[$uri][$id]"; }
location /other { set $id none; return 200 "[$id]"; }
location ~ ^/own/(?<own>.+)$ { set $own x$own; return 200 "[$own]"; }
location ~ ^/turns/(?<turn>.*)$ { set $a $turn; set $turn later; set $b $turn;
    if ($uri ~ "turns/(?<turn>.)") { } return 200 "[$a][$b][$turn]"; }
location /case { set $Name a; if ($uri ~ "^/(?<naMe>c)") { } return 200 "[$NAME]"; }
location /no-match { set $kept first; if ($uri ~ "zzz(?<kept>x)") { } return 200 "[$kept]"; }
location /map { return 200 "[$first][$inner]"; }
location ~ ^/deep/(?<outer>[a-z]) { location ~ (?<last>[a-z])$ { return 200 "[$outer][$last][$1]"; } return 200 "[$outer][$last]"; }
location /page { set $seen one; error_page 404 /found; return 404; }
location /found { if ($request_uri ~ "^/page/(?<seen>.*)") { } return 200 "[$seen]"; }
location ~ ^/lone/(?<lone>.*)$ { return 200 "[$lone]"; }
location /args { rewrite ^/args/(?<rest>.*)$ /as?x=$rest; }
location /as { return 200 "[$args][$rest]"; }
location /query { if ($args ~ "v=(?<rest>.*)") { } rewrite ^ /as?$rest?; }
"""


@pytest.fixture
def site(weir):
    return weir.start(config(LOCATIONS, http=SERVERS, listen="127.0.0.1:{port} default_server"))


@pytest.mark.parametrize("target,body,cookie", [
    ("/if", "[T1]", "tok=T1"), ("/if", "[none]", "x=T1"), ("/rewrite/77", "[/shown/77][77]", ""), ("/other", "[none]", ""),
    ("/own/abc", "[xabc]", ""), ("/turns/zyx", "[zyx][later][z]", ""), ("/case", "[c]", ""), ("/no-match", "[first]", ""),
    ("/map/xx", "[mxx][xx]", ""), ("/page/two", "[two]", ""), ("/lone/x", "[x]", "")])
def test_last_writer_wins(site, target, body, cookie):
    """`set` and a named group of the same name write one variable, in the order in which they are run."""
    assert site.get(target, headers=[("Cookie", cookie)]).text == body


def test_other_servers_do_not_matter(site):
    """A `set` in one server takes nothing from a group of another server's name."""
    with site.connect() as client:
        for host, body in {"xy.b": "[xy]", "c": "[set]", "XZ.b": "[xz]"}.items():
            client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            assert client.response().text == body, host


@pytest.mark.directive("location")
def test_groups_of_outer_locations_stay(site):
    """Each expression on the way to a nested location leaves its groups."""
    assert site.get("/deep/abc").text == "[a][c][c]"
    assert site.get("/deep/ab1").text == "[a][]"


def test_named_groups_are_not_escaped(site):
    """Only $1 to $9 are escaped where a rewrite makes arguments of them; a named group is a variable as others are."""
    assert site.get("/args/a%2fb%26c").text == "[x=a/b&c][a/b&c]"
    assert site.get("/query?v=a%26b").text == "[a%26b][a%26b]"


def logged(weir, log="logs/values.log"):
    return (weir.tmp / log).read_text().splitlines()


def test_in_logs(weir):
    """A variable of `set` is empty until it is set; a group is absent until it has matched, and empty if it took no part."""
    weir.start(config("""location / { return 200; } location /set { set $value x; return 200; } location /empty { set $value ""; return 200; }
                         location ~ ^/group/(?<group>a)?(?<more>b)? { return 200; }""", http="log_format v '[$value][$group][$more]';",
                      server="access_log logs/values.log v;"))
    for target in ("/", "/set", "/empty", "/group/a", "/group/"):
        weir.get(target)
    wait_until(lambda: len(logged(weir)) >= 6, 3, "all lines")  # the first one is that of the status
    assert logged(weir)[1:] == ["[][-][-]", "[x][-][-]", "[][-][-]", "[][a][]", "[][][]"]


def test_after_a_handler_timed_out(weir):
    """The answer and the log line of a request whose handler is given up know its variables."""
    weir.expect_log("timed out")
    weir.start(config(r"""location ~ ^/slow/(?<group>.*)$ { set $value x; handler sleep; handler_timeout 50ms; add_header X-V "$value $group" always; }""",
                      http="log_format v '[$value][$group]';", server="access_log logs/values.log v;"))
    reply = weir.get("/slow/g?ms=300")
    assert (reply.status, reply.header("X-V")) == (504, "x g")
    assert wait_until(lambda: logged(weir)[1:], 3, "a line") == ["[x][g]"]


# ---- names that have a meaning otherwise ----------------------------------------------------------------------

CHANGED = r"""
location ~ ^/args/(?<args>.*)$ { return 200 "[$args][$query_string][$is_args]"; }
location ~ ^/set/(?<args>.*)$ { set $args b=2; return 200 "[$args][$query_string][$arg_b]"; }
location ~ ^/rate/(?<limit_rate>.*)$ { limit_rate 3m; return 200 "[$limit_rate]"; }
location ~ ^/field/(?<http_x>.*)$ { return 200 "[$http_x]"; }
location ~ ^/arg/(?<arg_a>.*)$ { return 200 "[$arg_a]"; }
location /referer { valid_referers none h.test; if ($arg_own) { set $invalid_referer $arg_own; } return 200 "[$invalid_referer]"; }
location /unmatched { return 200 "[$args][$arg_a][$http_x][$limit_rate]"; }
"""


@pytest.mark.parametrize("target,body", [
    ("/args/x=1?q=2", "[x=1][q=2][?]"), ("/set/q?z=1", "[q][b=2][2]"), ("/rate/100", "[100]"), ("/field/4", "[4]"), ("/arg/1?a=2", "[1]"),
    ("/referer", "[1]"), ("/referer?own=2", "[2]"), ("/unmatched?a=1", "[][][][]")])
def test_names_that_have_a_meaning_otherwise(weir, target, body):
    """As in nginx a group's name is the group's in all places, empty where its expression has not matched."""
    weir.start(config(CHANGED))
    assert weir.get(target, headers=[("X", "field"), ("Referer", "http://other.test/")]).text == body


@pytest.mark.directive("map")
@pytest.mark.parametrize("http", ["map $arg_m ${} {{ default x; }}", "geo ${} {{ default x; }}", "split_clients $arg_m ${} {{ * x; }}"])
@pytest.mark.parametrize("name", ["args", "limit_rate", "invalid_referer"])
def test_others_that_redefine_it(weir, http, name):
    weir.start(config(f'location / {{ return 200 "[${name}]"; }}', http=http.format(name)))
    assert weir.get("/?a=1").text == "[x]"


@pytest.mark.parametrize("name", ["host", "uri", "status", "document_root", "query_string"])
def test_names_that_are_taken(weir, name):
    result = weir.run("-t", conf=config(f"location ~ ^/(?<{name}>.*)$ {{ return 200; }}"))
    assert result.returncode == 1 and f'the duplicate "{name}" variable' in result.stderr
