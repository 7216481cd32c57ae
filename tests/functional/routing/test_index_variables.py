"""index: names with variables, and an absolute one, to which the request goes without a look at the disk."""

import pytest
from proxylib import answer, backend  # noqa: F401 - a fixture
from weirlib import config

LOCATIONS = """
location / { index index.html /index.php$request_uri; }
location ~ ^/index\\.php { return 200 "[$uri][$args]"; }
location /name/ { index $arg_n; }
location /behind/ { index none.html /app$arg_z; }
location /absent/ { index index.html /app; }
location /first/ { index $arg_n file.html /app; }
location /alias/ { alias {tmp}/html/name/; index $arg_n; }
location /deep/ { index sub/$arg_n sub/file.html; }
location /inside/ { index none /internal; }
location = /internal { internal; return 200 "internal"; }
location /app { return 200 "app $request_method [$args]"; }
location /round/ { index /round/; }
location /list/ { autoindex on; index $arg_n; }
location /map/ { index $by_host; }
"""


@pytest.fixture
def site(weir):
    weir.expect_log("is forbidden|No such file|cycle")
    for name in ("a/x", "has/index.html", "name/file.html", "behind/x", "first/file.html", "deep/sub/file.html", "inside/x", "round/x",
                 "list/file.html", "map/localhost.html", "map/other.html"):
        weir.write(name, "html/" + name)
    weir.write("secret", "secret")
    return weir.start(config(LOCATIONS, http="root {tmp}/html; map $host $by_host { default other.html; localhost localhost.html; }"))


FOUND = {
    "/": "[/index.php/][]", "/?x=1": "[/index.php/?x=1][x=1]", "/a/": "[/index.php/a/][]", "/a/?q=%20z": "[/index.php/a/?q=%20z][q=%20z]",
    "/has/": "has/index.html", "/name/?n=file.html": "name/file.html", "/name/?n=/app": "app GET [n=/app]",
    "/behind/": "app GET []", "/behind/?z=le": "app GET [z=le]", "/first/?n=none": "first/file.html", "/first/": "first/file.html",
    "/first/?n=/app": "app GET [n=/app]", "/alias/?n=file.html": "name/file.html", "/deep/?n=file.html": "deep/sub/file.html",
    "/deep/?n=none": "deep/sub/file.html", "/inside/": "internal", "/list/?n=file.html": "list/file.html", "/map/": "map/localhost.html",
}
REFUSED = {
    "/name/": 403, "/name/?n=none": 403, "/absent/": 404, "/round/": 500,
    "/name/?n=../../secret": 403, "/name/?n=/../secret": 403, "/name/?n=sub/../../../secret": 403, "/alias/?n=../../secret": 403,
}


@pytest.mark.parametrize("target", FOUND)
def test_found(site, target):
    """The first name that exists, or is absolute, and an empty name is none."""
    reply = site.get(target)
    assert (reply.status, reply.text) == (200, FOUND[target])


@pytest.mark.parametrize("target", REFUSED)
def test_refused(site, target):
    """No name, no folder, a name that leads to itself, and one by which a client would leave the folder."""
    assert site.get(target).status == REFUSED[target]


def test_methods(site):
    """A POST goes to an absolute name as a GET does; other methods do not ask for an index."""
    assert site.get("/behind/", method="POST", body=b"").text == "app POST []"
    assert site.get("/behind/", method="HEAD").status == 200
    assert site.get("/behind/", method="PUT").status == 405


def test_list_where_no_name_is_found(site):
    """autoindex stands behind names with variables, too."""
    assert "Index of /list/" in site.get("/list/?n=none").text


def test_application_behind(weir, backend):
    """What an application behind it gets: the new path, encoded, the arguments, the body."""
    up = backend(lambda call: answer(f"{call.method} {call.target} ".encode() + call.body))
    (weir.tmp / "html/b c").mkdir()
    weir.start(config(f"location / {{ root {{tmp}}/html; index /index.php$uri; }} location /index.php {{ proxy_pass http://{up.address}; }}"))
    assert weir.get("/b%20c/?x=1").text == "GET /index.php/b%20c/?x=1 "
    assert weir.get("/b%20c/", method="POST", body=b"sent").text == "POST /index.php/b%20c/ sent"


def test_unknown_variable(weir):
    """A name that nothing defines is said at the start."""
    result = weir.run("-t", conf=config("location / { index $nothing; }"))
    assert result.returncode == 1 and 'unknown "nothing" variable' in result.stderr
