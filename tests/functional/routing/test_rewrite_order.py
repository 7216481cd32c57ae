"""The rewrite module as nginx documents it: what stays, what is looked at again, what a client's bytes may do."""

import time

import pytest
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import Load, config, wait_until
from wire import ask, chunked, head

SHOW = 'location /show { return 200 "$uri|$args"; }'


def get(weir, target="/", *fields, host="localhost"):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields, host=f"Host: {host}"))


def shown(weir, target, *fields, **options):
    return get(weir, target, *fields, **options).text


# ---- order ---------------------------------------------------------------------------------------------------

def test_break_keeps_a_changed_path_here(weir, backend):
    up = backend()
    weir.start(config(SHOW + "location /a { rewrite ^/a /show/a; break; return 200 no; } "
                      f"location /p {{ rewrite ^/p/(.*) /show/$1; break; proxy_pass http://{up.address}; }}"
                      f"location /i {{ rewrite ^/i/(.*) /show/$1; if ($arg_b) {{ break; }} proxy_pass http://{up.address}; }}"
                      "root {tmp}/html;"))
    weir.write("file", "html/show/a")
    assert shown(weir, "/a") == "file"
    assert shown(weir, "/p/x?q") == "hello" and up.call.target == "/show/x?q"
    assert shown(weir, "/i/x?b=1") == "hello" and shown(weir, "/i/x") == "/show/x|"


@pytest.mark.directive("break")
def test_server_break_ends_the_servers_steps_only(weir):
    weir.start(config("set $a 1; if ($arg_b) { break; } set $a 2; rewrite ^/x /y; "
                      'location / { set $b $a; return 200 "$uri $b"; }'))
    assert shown(weir, "/x") == "/y 2" and shown(weir, "/x?b=1") == "/x 1"


@pytest.mark.directive("return")
def test_server_return_after_steps(weir):
    weir.start(config('set $who me; if ($arg_go) { rewrite ^ /in last; } return 200 "out $who"; location / { return 200 "in $uri $who"; }'))
    assert shown(weir, "/") == "out me" and shown(weir, "/?go=1") == "in /in me"


def test_last_in_the_server_ends_its_steps(weir):
    weir.start(config("rewrite ^/a /b last; rewrite ^/b /c; " + 'location / { return 200 "$uri"; }'))
    assert shown(weir, "/a") == "/b" and shown(weir, "/b") == "/c"


def test_the_last_if_that_holds_gives_the_settings(weir, backend):
    one, two = backend(answer(b"one")), backend(answer(b"two"))
    weir.start(config(f"location / {{ proxy_pass http://{one.address}; if ($arg_a) {{ add_header X a; }} set $x 1;"
                      f"if ($arg_b) {{ proxy_pass http://{two.address}; add_header X b; }} add_header X o; add_header Y $x; }}"))
    found = {q: (r.text, r.header("X"), r.header("Y")) for q in ("", "a=1", "b=1", "a=1&b=1") for r in [get(weir, "/?" + q)]}
    assert found == {"": ("one", "o", "1"), "a=1": ("one", "a", None), "b=1": ("two", "b", None), "a=1&b=1": ("two", "b", None)}


def test_an_if_before_and_after_what_it_inherits(weir, backend):
    up = backend()
    weir.write("in alias", "alt/f")
    weir.start(config(f"location /b {{ if ($arg_a) {{ add_header X in; }} proxy_pass http://{up.address}/u; }}"
                      f"location /a {{ proxy_pass http://{up.address}/u; if ($arg_a) {{ add_header X in; }} }}"
                      "location /h { if ($arg_a) { add_header X in; } handler echo; }"
                      "location /l/ { if ($arg_a) { add_header X in; } alias {tmp}/alt/; }"
                      "location /d { if ($arg_a) { add_header X in; } deny all; }", pool="threads=1"))
    weir.expect_log("forbidden|No such file")
    found = {t: (get(weir, t).status, get(weir, t).header("X")) for t in ("/b/x?a=1", "/a/x?a=1", "/h?a=1", "/l/f?a=1", "/d?a=1")}
    assert found == {"/b/x?a=1": (200, "in"), "/a/x?a=1": (200, "in"), "/h?a=1": (200, "in"), "/l/f?a=1": (200, "in"), "/d?a=1": (403, None)}
    assert {call.target for call in up.calls} == {"/u/x?a=1"}


def test_root_error_page_logs_and_rate_in_if(weir):
    for name in ("html/f", "alt/f"):
        weir.write(name * 1000, name)
    weir.start(config("root {tmp}/html; access_log {tmp}/logs/main.log one; error_page 404 /nf; location = /nf { return 200 main; }"
                      "location = /nfi { return 200 inner; } location /d/ { alias {tmp}/html/; }"
                      "location / { if ($arg_r) { root {tmp}/alt; } if ($arg_e) { error_page 404 =410 /nfi; } "
                      "if ($arg_q) { access_log off; } if ($arg_s) { limit_rate 2k; } }",
                      http='log_format one "$request_uri $document_root $request_filename";'))
    weir.expect_log("No such file")
    assert shown(weir, "/f") == "html/f" * 1000 and shown(weir, "/f?r=1") == "alt/f" * 1000
    assert (get(weir, "/x").status, shown(weir, "/x")) == (404, "main")
    assert (get(weir, "/x?e=1").status, shown(weir, "/x?e=1")) == (410, "inner")
    assert get(weir, "/f?q=1").status == 200
    start = time.monotonic()
    assert len(get(weir, "/f?s=1").body) == 6000 and time.monotonic() - start > 1.5
    log = wait_until(lambda: (t := (weir.tmp / "logs/main.log").read_text()).count("\n") > 6 and t, 3, "the log")
    assert "/f?r=1 %s/alt %s/alt/f" % (weir.tmp, weir.tmp) in log and "/f?q=1" not in log


@pytest.mark.directive("internal", "rewrite")
def test_internal_and_rewrite(weir):
    """nginx: internal requests are those changed by rewrite, too."""
    weir.start(config("location /in { internal; return 200 in; } location /go { rewrite ^ /in last; }"))
    assert get(weir, "/in").status == 404 and shown(weir, "/go") == "in"


def test_nothing_of_an_internal_location_runs_for_clients(weir):
    weir.write("x", "html/f")
    weir.start(config("root {tmp}/html;" + SHOW + "location /in { internal; return 200 in; } location /steps { internal; rewrite ^ /show/bad last; } location /ifs { internal; alias {tmp}/html/f; if ($arg_x) { set $y 1; } }"
                      "location /brk { internal; rewrite ^ /f break; }"))
    assert [get(weir, t).status for t in ("/in", "/steps", "/ifs", "/ifs?x=1", "/brk")] == [404] * 5


def test_access_rules_hold_wherever_a_request_comes_from(weir, backend):
    up = backend(lambda call: answer(b"", "X-Accel-Redirect: /deny/f"))
    for name in ("html/deny/f", "html/index.html"):
        weir.write("secret", name)
    weir.start(config("root {tmp}/html; location /deny/ { deny all; } location = /index.html { deny all; } location / { }"
                      f"location /try {{ try_files /nope /deny/f; }} location /x {{ proxy_pass http://{up.address}; }}"
                      "location /err { error_page 404 =200 /deny/f; } location /rw { rewrite ^ /deny/f last; }"))
    weir.expect_log("forbidden by rule|No such file")
    found = {t: get(weir, t).status for t in ("/deny/f", "/rw", "/try", "/x", "/")}
    assert found == dict.fromkeys(found, 403)
    assert "secret" not in shown(weir, "/err")


# ---- captures and variables ----------------------------------------------------------------------------------

def test_named_captures_stay(weir):
    """They are variables: a later expression does not take them away, nor does another location."""
    weir.start(config('location ~ ^/l/(?<lang>en|de)/ { if ($http_user_agent ~ Phone) { set $m 1; } return 200 "$lang"; }'
                      'location /u { rewrite ^/u/(?<id>[0-9]+)$ /show2 last; } location /show2 { return 200 "$id"; }'
                      'location /m { set $x $mapped; return 200 "$x $rest"; }', http="map $uri $mapped { ~^/m/(?<rest>.+)$ hit; }"))
    found = shown(weir, "/l/de/"), shown(weir, "/l/de/", "User-Agent: Phone"), shown(weir, "/u/42"), shown(weir, "/m/z")
    assert found == ("de", "de", "42", "hit z")


@pytest.mark.directive("server_name")
def test_named_captures_of_the_server_name_stay(weir):
    weir.start(config('location ~ ^/(?<a>.) { return 200 "$sub $a"; }', server=r"server_name ~^(?<sub>[a-z]+)\.example$;"))
    assert shown(weir, "/q", host="blog.example") == "blog q"


def test_variables_after_rewrites(weir, backend):
    up = backend()
    for name in ("html/n/f", "html/e"):
        weir.write("x", name)
    weir.start(config("root {tmp}/html; location /a { rewrite ^/a/(.*) /n/$1 break; add_header X '$uri|$request_uri|$args|$request_filename|$document_root'; }"
                      f"location /s {{ set $args z=9; proxy_pass http://{up.address}; }} location /sr {{ set $args k=$arg_a; rewrite ^ /p break; proxy_pass http://{up.address}; }}"
                      f"location /v {{ set $b {up.address}; rewrite ^/v/(.*) /w/$1 break; proxy_pass http://$b/pre$uri; }}"))
    assert get(weir, "/a/f?q=1").header("X") == f"/n/f|/a/f?q=1|q=1|{weir.tmp}/html/n/f|{weir.tmp}/html"
    seen = {t: up.call.target for t in ("/s?old=1", "/sr?a=5", "/v/x") if get(weir, t)}
    assert seen == {"/s?old=1": "/s?z=9", "/sr?a=5": "/p?k=5", "/v/x": "/pre/w/x"}


def test_alias_and_a_path_that_is_shorter(weir):
    weir.write("short", "html/x")
    weir.start(config("location /long/prefix/ { alias {tmp}/html/; rewrite ^ /x break; add_header F $request_filename; }"
                      "location /files/ { alias {tmp}/html/; try_files /x =404; }"))
    weir.expect_log("alias|No such file|forbidden")
    assert get(weir, "/long/prefix/aaaa").status != 200 and shown(weir, "/files/qq") == "short"


# ---- what clients put into paths -------------------------------------------------------------------------------

EVIL = "x%20HTTP/1.1%0d%0aX-Evil:%20yes%0d%0aHost:%20a%0d%0a%0d%0aGET%20/smuggled"
PASSED = {"args": "rewrite ^/t/([^?]*)$ /u?p=$1 break; proxy_pass http://UP;", "set": "set $args p=$uri; rewrite ^ /u break; proxy_pass http://UP;",
          "path": "rewrite ^/t/([^?]*)$ /u/$1 break; proxy_pass http://UP;", "last": "rewrite ^/t/([^?]*)$ /u?p=$1 last;",
          "try": "try_files /nope /u?p=$uri;", "error": "error_page 404 /u?p=$uri;", "uri": "rewrite ^/t/([^?]*) /u/$1?p=$1 last;"}


@pytest.mark.parametrize("way", PASSED)
def test_no_second_request_for_an_upstream(weir, backend, way):
    up = backend()
    weir.start(config("location /t/ { " + PASSED[way].replace("UP", up.address) + f" }} location /u {{ proxy_pass http://{up.address}; }} root {{tmp}}/html;"))
    weir.expect_log("No such file|request refused|control")
    get(weir, "/t/" + EVIL)
    assert not [call for call in up.calls if call.header("X-Evil") or "smuggled" in call.target and " " in call.target or call.target == "/smuggled"]
    assert len(up.calls) <= 1 and not [p for p in up.peers if p.unread]


def test_captures_in_arguments_are_escaped(weir):
    weir.start(config(SHOW + "location /a { rewrite ^/a/(.*)$ /show?p=$1&k=1 last; } location /r { rewrite ^/r/(.*)$ http://o.example/?p=$1 redirect; }"))
    assert shown(weir, "/a/x%26k=2%23+y") == "/show|p=x%26k=2%23%2By&k=1"
    assert get(weir, "/r/x%26k=2").header("Location") == "http://o.example/?p=x%26k=2"


def test_a_question_mark_of_the_client_begins_no_arguments(weir):
    weir.start(config(SHOW + "location /a { rewrite ^/a/(.*)$ /show/$1 last; } location /r { rewrite ^/r/(.*)$ http://o.example/$1 redirect; }"))
    assert shown(weir, "/a/x%3Fadmin=1?q=2") == "/show/x?admin=1|q=2"
    assert [get(weir, "/r/x" + t).header("Location") for t in ("%3Fa=1", "%2541")] == ["http://o.example/x%3Fa=1", "http://o.example/x%2541"]


def test_paths_are_decoded_once(weir):
    weir.start(config(SHOW + "location /t { try_files /nope /show$uri; }"))
    assert shown(weir, "/t/a%2541") == "/show/t/a%41|"


SPLIT = {"error_page": "error_page 404 http://o.example$uri; return 404;", "return": "return 302 http://o.example$uri;",
         "rewrite": "rewrite ^ http://o.example$uri;", "header": "add_header X-U $uri; return 200;", "map": "add_header X-U $m; return 200;",
         "set": "set $x $uri; add_header X-U $x always; return 404;", "if": "if ($uri ~ ^/(.*)$) { set $y $1; } return 301 /z?$y;",
         "folder": "set $args u=$uri; rewrite ^ /dir last;"}


@pytest.mark.parametrize("way", SPLIT)
@pytest.mark.parametrize("evil", ["%0d%0aX-Evil:%201", "%0aX-Evil:%201", "%0dX-Evil:%201", "a" * 6000 + "%0d%0aX-Evil:%201"], ids=["crlf", "lf", "cr", "long"])
def test_no_header_of_the_clients(weir, way, evil):
    weir.write("x", "html/dir/f")
    weir.start(config("access_log {tmp}/logs/a.log; location /dir { root {tmp}/html; } location / { " + SPLIT[way] + " }", http="map $uri $m { ~^/(.*)$ $1; }"))
    with weir.connect() as c:
        c.send(f"GET /a{evil} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        raw = c.until_close()
    lines = raw.partition(b"\r\n\r\n")[0].replace(b"\r", b"\n").split(b"\n")
    assert raw.startswith(b"HTTP/1.1 ") and not [line for line in lines if line.lower().startswith(b"x-evil")]
    log = weir.tmp / "logs/a.log"
    wait_until(lambda: [1 for line in log.read_text().splitlines() if "/status" not in line] == [1], 3, "one line in the log")


def test_nul_is_refused_and_long_values_are_kept(weir):
    weir.start(config('location / { set $x $uri$uri; if ($x ~ "^/(a+)") { return 200 "$m$1"; } return 404; }', http="map $x $m { default m; ~^b b; }"))
    assert get(weir, "/a%00b").status == 400 and shown(weir, "/" + "a" * 7000) == "m" + "a" * 7000


RULES = {"if": ('if ($uri ~ "REGEX") { return 403; } location / { return 200 open; }', 403), "location": ('location ~ "REGEX" { return 403; } location / { return 200 open; }', 403),
         "map": ('location / { if ($m) { return 403; } return 200 open; }', 403), "rewrite": ('rewrite "REGEX" /closed; location /closed { return 403; } location / { return 200 open; }', 403)}


@pytest.mark.parametrize("way", RULES)
@pytest.mark.parametrize("length", [50, 600, 1500, 3500])
def test_long_paths_are_no_way_around_a_rule(weir, way, length):
    regex, (rule, status) = r"^/(?:\w|/|-)+\.php$", RULES[way]
    weir.start(config(rule.replace("REGEX", regex), http=f'map $uri $m {{ "~{regex}" 1; default 0; }}'))
    weir.expect_log("pcre|regex|match")
    assert get(weir, "/" + "ab" * length + ".php").status in (status, 500)


HARD = {"backtracking": ("^/(a+)+$", "/" + "a" * 4000 + "b"), "twice": ("(.*a){12}c", "/" + "a" * 3000), "stack": ("^/(?:(a)|(b))*$", "/" + "ab" * 3500)}


@pytest.mark.parametrize("name", HARD)
def test_costly_expressions_are_bounded(weir, name):
    """What no expression could decide in its bounds is an error, not a way around a rule."""
    regex, target = HARD[name]
    weir.start(config(f'location / {{ if ($uri ~ "{regex}") {{ return 403; }} return 200; }} location /other {{ return 204; }}'))
    weir.expect_log("pcre|regex|match")
    start = time.monotonic()
    status = get(weir, target).status
    assert time.monotonic() - start < 3 and get(weir, "/other").status == 204
    assert status in ((403, 500) if name == "stack" else (500, 200, 403)), status


# ---- bodies, methods, connections ----------------------------------------------------------------------------

@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("size", [0, 5, 200000])
def test_bodies_come_through_every_way(weir, backend, buffering, size):
    up = backend(lambda call: answer(f"{call.method} {call.target} {len(call.body)}".encode()))
    weir.start(config(f"client_max_body_size 1m; proxy_request_buffering {buffering}; location /app {{ proxy_pass http://{up.address}; }}"
                      "location /rw { rewrite ^/rw(.*) /app$1 last; } location /tf { root {tmp}/html; try_files $uri /app?$args; }"
                      f"location /if {{ proxy_pass http://127.0.0.1:1; if ($arg_a) {{ proxy_pass http://{up.address}; }} }}"
                      f"location /nm {{ root {{tmp}}/html; try_files $uri @n; }} location @n {{ rewrite ^ /in/n break; proxy_pass http://{up.address}; }}"))
    wanted = {"/rw/x": "/app/x", "/tf/x?q=1": "/app?q=1", "/if?a=1": "/if?a=1", "/nm": "/in/n", "/app": "/app"}
    found, body = {}, b"x" * size
    for framed in (head("POST {} HTTP/1.1", f"Content-Length: {size}") + body, head("POST {} HTTP/1.1", "Transfer-Encoding: chunked") + chunked(body)):
        with weir.connect() as c:
            for target in wanted if b"chunked" not in framed or buffering == "on" else ():  # the backend reads no chunks
                c.send(framed.replace(b"{}", target.encode(), 1) + b"HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n")
                found[target] = c.response("POST").text, c.response("HEAD").status
            assert found == {t: (f"POST {w} {size}", 200) for t, w in wanted.items()}


def test_pass_on_while_it_comes_and_a_handler_in_the_end(weir, backend):
    up = backend()
    weir.start(config(f"location / {{ proxy_request_buffering off; proxy_pass http://{up.address}; root {{tmp}}/html; try_files $uri @h; }}"
                      "location @h { handler echo; }", pool="threads=2"))
    body = b"y" * 50000
    with weir.connect() as c:
        c.send(head("POST /q HTTP/1.1", f"Content-Length: {len(body)}") + body[:100])
        c.wait_taken()
        c.send(body[100:] + head("GET /status HTTP/1.1"))
        assert c.response("POST").body.endswith(body) and c.response().status == 200


def test_pipelined_through_everything(weir, backend):
    up = backend()
    weir.write("f", "html/f")
    weir.start(config("root {tmp}/html;" + SHOW + "location /r { rewrite ^ /show/r last; } location /e { error_page 404 =200 /show/e; return 404; }"
                      f"location /n {{ try_files /q @n; }} location @n {{ proxy_pass http://{up.address}; }} location /d {{ return 302 /x; }}"))
    with weir.connect() as c:
        targets = ["/r", "/e", "/n", "/d", "/f", "/show"] * 20
        for i, target in enumerate(targets):
            c.send(head(f"{'HEAD' if i % 7 == 0 else 'GET'} {target} HTTP/1.1"))
        statuses = [c.response("HEAD" if i % 7 == 0 else "GET").status for i in range(len(targets))]
        assert statuses == [200, 200, 200, 302, 200, 200] * 20


def test_reload_under_load(weir, backend):
    up = backend()

    def conf(text, workers):
        return config(f"set $v {text}; location /a {{ rewrite ^/a/(?<n>.*) /b/$n last; }} location /b {{ try_files /no @p; }}"
                      f'location @p {{ if ($m) {{ return 200 "{text}$m"; }} proxy_pass http://{up.address}; }}',
                      http="map $arg_k $m { default ''; ~^(k.*)$ $1; }", workers=workers)
    weir.start(conf("one", 1))
    with Load(weir.port, "/a/x", 4, pause=0.005) as proxied, Load(weir.port, "/a/x?k=k1", 4, pause=0.005) as mapped:
        for i in range(4):
            weir.reload(conf(f"t{i}", 1 + i % 2))
            wait_until(lambda i=i: weir.get("/a/x?k=kz").text == f"t{i}kz", 5, "the new text")
    assert not proxied.failures and not mapped.failures and proxied.ok > 20 and mapped.ok > 20
