"""autoindex: lists of folders, in each format."""

import os
import re

import pytest
from mistakes import FLAG, value
from weirlib import config


@pytest.fixture
def folder(weir):
    for name, size in {"b.txt": 5, "a b&<c>.txt": 12345, "sub/x": 1, ".hidden": 1, "z" * 60: 20000000 // 1000, "ü.txt": 3}.items():
        weir.write("x" * size, "html/d/" + name)
        os.utime(weir.tmp / "html/d" / name, (1e9, 1e9))
    os.utime(weir.tmp / "html/d/sub", (1e9, 1e9))
    return weir


def test_html(folder):
    folder.start(config("root {tmp}/html; location /d/ { autoindex on; } location / { }"))
    reply = folder.get("/d/")
    assert reply.status == 200 and reply.header("Content-Type") == "text/html"
    rows = re.findall(r'<a href="([^"]*)">(.*?)</a>( *) (\S+ \S+) +(\S+)\r\n', reply.text)
    assert [r[0] for r in rows] == ["sub/", "a%20b%26%3Cc%3E.txt", "b.txt", "z" * 60, "%C3%BC.txt"]
    assert rows[2][1] == "b.txt" and len(rows[2][1] + rows[2][2]) == 50 and rows[2][3:] == ("09-Sep-2001 01:46", "5")
    assert rows[0][4] == "-" and rows[3][1] == "z" * 47 + "..&gt;" and rows[1][1] == "a b&amp;&lt;c&gt;.txt"
    for link in ("a%20b%26%3Cc%3E.txt", "b.txt", "%C3%BC.txt"):
        assert folder.get("/d/" + link).status == 200
    folder.expect_log("forbidden")
    assert folder.get("/").status == 403


@pytest.mark.directive("autoindex_exact_size", "autoindex_format")
def test_json_and_rounded_sizes(folder):
    folder.start(config("root {tmp}/html; location /d/ { autoindex on; autoindex_format json; }"
                        "location /k/ { alias {tmp}/html/d/; autoindex on; autoindex_exact_size off; }"))
    found = {each["name"]: each for each in folder.get("/d/").json()}
    assert found["sub"] == {"name": "sub", "type": "directory", "mtime": "Sun, 09 Sep 2001 01:46:40 GMT"}
    assert found["a b&<c>.txt"]["size"] == 12345 and found["a b&<c>.txt"]["type"] == "file" and ".hidden" not in found
    assert re.search(r"12K\r\n", folder.get("/k/").text) and re.search(r" 5\r\n", folder.get("/k/").text)


@pytest.mark.directive("autoindex")
def test_links_are_escaped(weir):
    """All but letters, digits and -._~: a link means the same in whatever document it is put."""
    weir.write("x", "html/-._~!$&'()*+,;=@[]:")
    weir.start(config("location / { root {tmp}/html; autoindex on; }"))
    link, = re.findall(r'<a href="([^.][^"]*)">', weir.get("/").text)
    assert link == "-._~%21%24%26%27%28%29%2A%2B%2C%3B%3D%40%5B%5D%3A" and weir.get("/" + link).text == "x"


@pytest.mark.directive("autoindex_format")
def test_methods_and_types(folder):
    """A list is for GET and HEAD; XML says what it is written in, as it does not itself."""
    folder.start(config("root {tmp}/html; location /d/ { autoindex on; autoindex_format xml; } location /k/ { alias {tmp}/html/d/; autoindex on; charset koi8-r; autoindex_format xml; }"))
    assert [folder.get("/d/", method=method, body=body).status for method, body in (("GET", None), ("HEAD", None), ("POST", b""))] == [200, 200, 403]
    assert [folder.get(target).header("Content-Type") for target in ("/d/", "/k/")] == ["text/xml; charset=utf-8"] * 2


def test_folder_that_may_not_be_read(folder):
    if os.geteuid() == 0:
        pytest.skip("root may read all")
    (folder.tmp / "html/d").chmod(0o300)
    folder.start(config("root {tmp}/html; location /d/ { autoindex on; }"))
    folder.expect_log("opendir")
    assert folder.get("/d/").status == 403


WRONG = {
    "autoindex maybe;": value("autoindex", "maybe", FLAG),
    "autoindex_format yaml;": value("autoindex_format", "yaml", "html | xml | json | jsonp"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config(f"location / {{\n{wrong}\n}}"), wrong).startswith(WRONG[wrong])


@pytest.mark.directive("autoindex", "autoindex_localtime")
def test_local_time(folder, monkeypatch):
    monkeypatch.setenv("TZ", "<+05>-5")
    folder.start(config("root {tmp}/html; location /d/ { autoindex on; autoindex_localtime on; }"
                        "location /u/ { alias {tmp}/html/d/; autoindex on; }"))
    assert "09-Sep-2001 06:46" in folder.get("/d/").text and "09-Sep-2001 01:46" in folder.get("/u/").text
