"""alias in a location by regular expression: folders, index, try_files; and by what name a file's type is chosen."""

import pytest
from weirlib import config
from wire import ask, head


def start(weir, locations, **parts):
    for name in ("c.txt", "b/a.png", "b/index.html", "d/page.html", "x.css", "noext"):
        weir.write(name, "alt/" + name)
    weir.write("fallback", "html/fb.html")
    weir.expect_log("No such file|forbidden|Not a directory")
    types = "types { text/css css; text/html html; image/png png; text/plain txt; } default_type a/b;"
    return weir.start(config(locations, server="root {tmp}/html; " + types, **parts))


def get(weir, target, method="GET"):
    return ask(weir.port, head(f"{method} {target} HTTP/1.1"), method)


TRIES = {
    'alias {tmp}/alt/$1; try_files "" $uri /fb.html;': {"c.txt": "c.txt", "b/a.png": "b/a.png", "b": "fallback", "b/": "fallback", "no": "fallback"},
    "alias {tmp}/alt; try_files /$1 =404;": {"c.txt": "c.txt", "b/a.png": "b/a.png", "b": 404, "no": 404},
    "alias {tmp}/alt/; try_files $1 $1/index.html =404;": {"c.txt": "c.txt", "b": "b/index.html", "b/": "b/index.html", "no": 404},
    "alias {tmp}/alt/$1; try_files $uri =404;": {"c.txt": 404},
    "alias {tmp}/alt/$1; try_files x /nope =404;": {"c.txt": 404},
}


@pytest.mark.directive("try_files")
@pytest.mark.parametrize("rules", TRIES)
def test_try_files_behind_an_alias(weir, rules):
    """A name of try_files stands directly behind the alias, and what is there is served."""
    start(weir, f"location ~ ^/r/(.*)$ {{ {rules} }} location = /fb.html {{ }}")
    for path, wanted in TRIES[rules].items():
        got = get(weir, "/r/" + path)
        assert (got.status if isinstance(wanted, int) else got.text) == wanted, path


def test_request_filename_of_what_was_tried(weir):
    """$request_filename is the file that try_files has found."""
    start(weir, "location ~ ^/r/(.*)$ { alias {tmp}/alt/; try_files no $1 =404; add_header X-F $request_filename; }")
    assert get(weir, "/r/c.txt").header("x-f") == f"{weir.tmp}/alt/c.txt"


FOLDERS = {"/s/b/": "b/index.html", "/a/b/": "b/index.html", "/s/d/": 403, "/s/none/": 404, "/s/b": 301, "/i/d/": "d/page.html",
           "/s/b/a.png": "b/a.png", "/one/": 403}


@pytest.mark.directive("alias")
def test_folders_of_an_alias(weir):
    """A folder's URI has its index behind the alias, and is not redirected to itself."""
    start(weir, "location ~ ^/(s)/(.*)$ { alias {tmp}/alt/$2; } location ~ ^/a(.*)$ { alias {tmp}/alt$1; } "
                "location ~ ^/i/(.*)$ { alias {tmp}/alt/$1; index none page.html; } location ~ ^/one/$ { alias {tmp}/alt/; }"
                "location ~ ^/l/(.*)$ { alias {tmp}/alt/$1; autoindex on; }")
    for target, wanted in FOLDERS.items():
        got = get(weir, target)
        assert (got.status if isinstance(wanted, int) else got.text) == wanted, target
    assert get(weir, "/s/b").header("location").endswith(f":{weir.port}/s/b/")
    assert get(weir, "/i/d/", "POST").status == 405
    assert 'href="page.html"' in get(weir, "/l/d/").text


def test_type_by_the_uri(weir):
    """The extension of the URI chooses Content-Type, whatever the alias names; with try_files the name that was found."""
    start(weir, "location = /one.html { alias {tmp}/alt/c.txt; } location = /two { alias {tmp}/alt/x.css; } "
                "location = /noext.css { alias {tmp}/alt/noext; } location /d/ { alias {tmp}/alt/; } "
                "location ~ ^/r(.*)$ { alias {tmp}/alt$1; } location ~ ^/q/(.*)$ { alias {tmp}/alt/; try_files $1/index.html =404; }"
                "location = /t.html { root {tmp}; try_files /alt/x.css =404; }")
    found = {target: get(weir, target).header("content-type") for target in
             ("/one.html", "/two", "/noext.css", "/d/x.css", "/r/x.css", "/q/b", "/t.html")}
    assert found == {"/one.html": "text/html", "/two": "a/b", "/noext.css": "text/css", "/d/x.css": "text/css", "/r/x.css": "text/css",
                     "/q/b": "text/html", "/t.html": "text/css"}
