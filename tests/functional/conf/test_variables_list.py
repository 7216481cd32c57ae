"""The list of variables: complete, current, and what it names exists; a wrong name is guessed."""

import re

import pytest
from weirlib import ROOT, config, document

LIST = ROOT / "docs/variables.md"


def documented():
    return re.findall(r"^\| `\$(\w+)`", LIST.read_text(), re.M)


def test_the_list_is_current():
    """docs/variables.md is what the table says now, and no variable is without its sentence."""
    assert document("variables") == LIST.read_text()
    names = documented()
    assert len(names) > 90 and names == sorted(names) and len(set(names)) == len(names)


def test_what_it_names_exists(weir):
    """Each variable of the list can be used, those with a name behind them too, and answers."""
    one_of = {"ssl_NAME": "ssl_ciphers", "proxy_protocol_NAME": "proxy_protocol_addr"}  # not any name goes with these
    names = [one_of.get(name, name.replace("NAME", "x")) for name in documented()]
    text = "".join(f"{name}=[${{{name}}}]\\n" for name in names)
    weir.start(config(f"location / {{ return 200 '{text}'; }}"))
    answer = weir.get("/?x=seen").body.decode("latin-1")
    assert "arg_x=[seen]" in answer and all(f"{name}=[" in answer for name in names)


def test_what_the_program_knows_is_in_it():
    """Variables that the program's own files define are all in the list."""
    known = set()
    for path in [*ROOT.glob("http/**/*.c"), *ROOT.glob("worker/**/*.c"), *ROOT.glob("proxy/**/*.c")]:
        source = path.read_text()
        known |= set(re.findall(r'site_define\(site, "(\w+)"', source))
        known |= set(re.findall(r'^\s*(?:\} all\[\] = \{)?\{"(\w+)", (?:(?:true|false), )?get_\w+\}', source, re.M))
    names = {name.replace("NAME", "") for name in documented()}
    assert len(known) > 80 and known <= names, known - names


@pytest.mark.parametrize("wrong, meant", [
    ("remote_adr", "remote_addr"), ("request_urI2", "request_uri"), ("upstream_adress", None), ("requst_time", "request_time"),
    ("Remote_Usr", "remote_user"), ("kinds", "kind"), ("tale", "tail"), ("nothing_like_it", None), ("x", None),
])
def test_a_wrong_name_is_guessed(weir, wrong, meant):
    """A name that does not exist is told with the nearest that does, maps and groups among them; a far one alone."""
    guess = f'; did you mean "{meant}"?' if meant else ""
    for use in (f'return 200 "${wrong}";', f"if (${wrong}) {{ }}", f"if (${wrong} = x) {{ }}"):
        result = weir.run("-t", conf=config(f"location ~ ^/a/(?<tail>.*)$ {{ {use} }}", http="map $uri $kind { default 1; }"))
        assert result.returncode == 1 and f'unknown "{wrong}" variable{guess} in {weir.conf}:' in result.stderr, result.stderr
