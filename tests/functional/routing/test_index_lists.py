"""index: its names on one level and on several, and what the log says when none is there."""

import pytest
from weirlib import config


def test_add_up(weir):
    """Directives of one level are one list, in their order; a level within begins anew."""
    for name in ("a", "b", "only/b", "sub/a", "sub/c", "subs/b"):
        weir.write(name, "html/" + name)
    weir.start(config("location / { } location /sub/ { index c; }", server="root {tmp}/html; index a; index none b;"))
    assert [weir.get(target).text for target in ("/", "/only/", "/sub/")] == ["a", "only/b", "sub/c"]


@pytest.mark.directive("log_not_found")
@pytest.mark.parametrize("words, status, line", [
    ("index one two;", 404, '"{tmp}/html/none/one" is not found (2: No such file or directory)'),
    ("index one; autoindex on;", 404, '"{tmp}/html/none/one" is not found (2: No such file or directory)'),
    ("index one; log_not_found off;", 404, None)])
def test_no_folder(weir, words, status, line):
    """Without the folder it is the first name that is not found, as log watchers know it from nginx."""
    weir.write("x", "html/file")
    weir.start(config(f"location / {{ root {{tmp}}/html; {words} }}"))
    assert weir.get("/none/").status == status
    lines = [each for each in weir.error_log.splitlines() if "[error]" in each]
    assert len(lines) == (line is not None) and all(weir.fill(line) in each for each in lines)


def test_file_for_a_folder(weir):
    """A file in the place of the folder: not found, whatever the list would say next."""
    weir.write("x", "html/file")
    weir.start(config("location / { root {tmp}/html; index one /two; }"))
    assert weir.get("/file/").status == 404
    assert weir.fill('"{tmp}/html/file/one" is not found (20: Not a directory)') in weir.error_log
