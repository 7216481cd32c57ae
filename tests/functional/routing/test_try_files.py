"""try_files, named locations and internal, as configurations of applications use them."""

import pytest
from mistakes import arguments
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
    "location / { internal on; }": arguments("internal", "no argument"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config("\n" + wrong), wrong).startswith(WRONG[wrong])
