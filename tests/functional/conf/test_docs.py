"""The documentation's examples are what they claim to be."""

import re
import subprocess

import weirlib
from weirlib import config


def text_of(name):
    return (weirlib.ROOT / name).read_text()


def test_handler_example_runs(weir):
    """The handler in docs/handlers.md compiles as shown and answers."""
    source = re.search(r"```c\n(.*?)```", text_of("docs/handlers.md"), re.S).group(1)
    assert len(source.splitlines()) <= 22
    (weir.tmp / "greet.c").write_text(source)
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", weirlib.BINARY.parent / "include",
                    weir.tmp / "greet.c", "-o", weir.tmp / "greet.so"], check=True)
    weir.start(config("location /greet { handler greet pool=slow; handler_timeout 3s; }",
                      main="load_module {tmp}/greet.so; thread_pool slow threads=2..16 max_queue=100;"))
    assert weir.get("/greet?name=W%C3%B6rld").text == "Hello, W\u00f6rld\n"
    assert weir.get("/greet").status == 400


def test_directives_are_documented():
    """docs/directives.md is what the directive tables say now."""
    assert weirlib.document() == text_of("docs/directives.md")


def test_readme_configuration(weir):
    """The README's first configuration is accepted but for its database, which is not there."""
    block = re.search(r"## A first configuration\n\n(.*?)\n\nSaved as", text_of("README.md"), re.S).group(1)
    conf = "\n".join(line[4:] for line in block.splitlines())
    weir.write(text_of("etc/mime.types"), "conf/mime.types")
    conf = conf.replace("build/modules", str(weirlib.BINARY.parent / "modules")).replace("/srv", str(weir.tmp))
    result = weir.run("-t", conf=conf)
    assert result.returncode == 1 and "unable to open database file" in result.stderr, result.stderr
    assert result.stderr.count("[emerg]") == 1, result.stderr
