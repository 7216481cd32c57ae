""""..": words of a request never lead out of the folder that root or alias names, whichever way they get behind it."""

import pytest
from weirlib import config

FILES = {"pub/f": "public", "pub/..f": "dots", "pub/sub/f": "below", "secret/f": "secret", "secret/rooted/f": "secret", "html/files/f": "in the root",
         "html/a../f": "a folder with dots"}

LOCATIONS = """
    location /a { alias {tmp}/pub/; autoindex on; }
    location /slash/ { alias {tmp}/pub/; }
    location /dot { alias {tmp}/pub/.; }
    location /climbs/ { alias {tmp}/secret/../pub/; }
    location ~ ^/img(.*)$ { alias {tmp}/pub/$1; }
    location = /up { alias {tmp}/pub/$arg_f/../f; }
    location = /arg { alias {tmp}/pub/$arg_f; }
    location /tries/ { try_files /files/$arg_f =404; }
    location /rewritten/ { rewrite ^ /files/$arg_f break; }
    location /routed/ { rewrite ^ /files/$arg_f last; }
    location /files/ { }
    location /rooted/ { root {tmp}/html/$arg_f; }
    location /looked { alias {tmp}/pub/; if (-f $request_filename) { return 200 there; } return 403; }
"""

SERVED = {"/af": "public", "/a/f": "public", "/a..f": "dots", "/a/sub/f": "below", "/slash/f": "public", "/slash/..f": "dots",
          "/climbs/f": "public", "/imgf": "public", "/img/f": "public", "/img..f": "dots", "/up?f=sub": "public",
          "/arg?f=f": "public", "/tries/?f=f": "in the root", "/rewritten/?f=f": "in the root", "/routed/?f=f": "in the root",
          "/a%2e%2e/../slash/f": "public", "/looked/f": "there"}

CLIMBING = ["/a../secret/f", "/a%2e%2e/secret/f", "/a%2E./secret/f", "/a..%2fsecret/f", "/a../pub/f", "/a..", "/a../", "/a../secret/",
            "/dot./secret/f", "/img../secret/f", "/img%2e%2e/secret/f", "/img..%2fsecret%2ff", "/img../pub/f", "/up?f=../secret/x",
            "/arg?f=../secret/f", "/arg?f=sub/../../secret/f", "/arg?f=sub/..", "/tries/?f=../../secret/f",
            "/rewritten/?f=../../secret/f", "/routed/?f=../../secret/f", "/rooted/f?f=../secret"]


@pytest.fixture
def server(weir):
    for name, text in FILES.items():
        weir.write(text, name)
    return weir.start(config(LOCATIONS, server="root {tmp}/html;"))


def test_names_with_dots_are_names(server):
    """Dots that are no segment of their own are part of a name, and a configured ".." is the operator's."""
    assert {target: server.get(target).text for target in SERVED} == SERVED


@pytest.mark.parametrize("target", CLIMBING)
def test_climbing_is_404(server, target):
    """A ".." segment behind the configured text is 404, also where the file would lie in the folder again."""
    answer = server.get(target)
    assert answer.status == 404 and b"secret" not in answer.body.replace(target.encode(), b""), answer


def test_a_file_out_of_the_folder_does_not_exist(server):
    """Nor does a rewrite that looks for files find one outside."""
    assert server.get("/looked../secret/f").status == 403


def test_log_names_the_path(server):
    """The error log says which path it was."""
    server.get("/a../secret/f")
    server.wait_log(r'\[error\] .*"[^"]*/pub/\.\./secret/f".*client: 127\.0\.0\.1')


@pytest.mark.parametrize("location, folder, warned", [("/a", "/x/pub/", True), ("^~ /a", "/x/pub/", True), ("/a/", "/x/pub/", False),
                                                      ("/a", "/x/pub", False), ("= /a", "/x/pub/", False), ("/", "/x/pub/", False),
                                                      ("~ ^/img(.*)$", "/x/pub/$1", True), ("~* /img(.+)", "/x/pub/$1", True), ("~ ^/img/(.*)$", "/x/pub/$1", False),
                                                      ("~ ^/img(.*)$", "/x/pub$1", False), ("~ ^/img([0-9]+)$", "/x/pub/$1", False)])
def test_shape_is_warned_of(weir, location, folder, warned):
    """-t names the line of an alias with a slash at its end whose location has none."""
    ran = weir.run("-t", conf=config(f"\nlocation {location} {{\nalias {folder};\n}}\n"))
    line = 1 + weir.conf.read_text().split(f"alias {folder}")[0].count("\n")
    assert ran.returncode == 0 and "test is successful" in ran.stderr
    assert ("[warn]" in ran.stderr and f"weir.conf:{line}" in ran.stderr) == warned, ran.stderr
