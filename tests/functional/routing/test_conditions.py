"""if: the whole word behind "$" is the variable's name; -f and its kin see what disable_symlinks lets be seen."""

import pytest
from weirlib import config
from wire import ask, head


def get(weir, target="/", *fields):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields))


NAMES = {"$arg_go-get": [("/?go-get=1", []), ("/?go=1", None)], "$cookie_a-b = x": [("/", ["Cookie: a-b=x"]), ("/", None)],
         "$arg_a.b": [("/?a.b=1", []), ("/?a=1", None)], "$arg_q-x ~ ^1": [("/?q-x=1", []), ("/?q=1", None)],
         "$arg_a-b != x": [("/?a-b=y", []), ("/?a-b=x", None)]}


@pytest.mark.parametrize("condition", NAMES)
def test_names_with_dashes(weir, condition):
    """They hold for the argument or cookie of that name, and for no other."""
    weir.start(config(f"location / {{ if ({condition}) {{ return 200 yes; }} return 200 no; }}"))
    (target, fields), (other, _) = NAMES[condition]
    assert (get(weir, target, *fields).text, get(weir, other).text) == ("yes", "no")


@pytest.mark.parametrize("word", ["$host-x", "$uri-", "$host=a", "${host}", "$1-x"])
def test_words_that_are_no_names(weir, word):
    """They are unknown variables, not a name and some text."""
    result = weir.run("-t", conf=config(f"location / {{ if ({word}) {{ return 200; }} }}"))
    assert result.returncode == 1 and f'unknown "{word[1:]}" variable' in result.stderr


def test_elsewhere_the_name_ends(weir):
    """In a text a name ends before the dash."""
    weir.start(config('location / { return 200 "$arg_go-get"; }'))
    assert get(weir, "/?go=1&go-get=2").text == "1-get"


TESTS = "".join(f'if ({test} $request_filename) {{ set $r "${{r}}{name}"; }}' for test, name in (("-f", "f"), ("-d", "d"), ("-e", "e"), ("-x", "x"), ("!-e", "n")))


@pytest.mark.parametrize("mode, link, folder", [("off", "fe", "dex"), ("on", "n", "n"), ("if_not_owner", "fe", "dex")])
def test_links(weir, mode, link, folder):
    """A link that must not be followed is not there."""
    weir.write("text", "html/file")
    (weir.tmp / "html/dir").mkdir()
    (weir.tmp / "html/link").symlink_to("file")
    (weir.tmp / "html/linked").symlink_to("dir")
    weir.expect_log("symbolic links")
    weir.start(config(f'location / {{ root html; disable_symlinks {mode} from={{tmp}}; set $r ""; {TESTS} return 200 "$r"; }}'.replace(
        " off from={tmp}", " off")))
    assert [get(weir, "/" + name).text for name in ("file", "dir", "link", "linked", "none")] == ["fe", "dex", link, folder, "n"]


def test_links_at_the_server(weir):
    """The server's own steps go by the server's own setting."""
    weir.write("text", "html/file")
    (weir.tmp / "html/link").symlink_to("file")
    weir.expect_log("symbolic links")
    weir.start(config("location / { disable_symlinks off; return 200 no; }",
                      server="root html; disable_symlinks on from={tmp}; if (-f $document_root/link) { return 200 yes; }"))
    assert get(weir).text == "no"
