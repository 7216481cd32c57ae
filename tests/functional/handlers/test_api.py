"""What a handler can read of its request: all headers, arguments, form fields and cookies, and variables."""

import shutil
import subprocess

import modlib
import pytest
import weirlib
import wire
from weirlib import config

WALK = """
    struct weir_field f = {0};
    int rc;
    weir_set_header(r, "Content-Type", "text/plain");
    while ((rc = weir_next_%s(r, &f)) > 0)
        weir_printf(r, "[%%s=%%s %%zu]", f.name, f.value, f.value_bytes);
    weir_printf(r, "%%d", rc);
    return 0;
"""
PARTS = """
    struct weir_part p = {0};
    int rc;
    while ((rc = weir_next_part(r, &p)) > 0) {
        weir_printf(r, "[%s@%s %s %zu ", p.name, p.filename ? p.filename : "-", p.type, p.bytes);
        weir_write(r, p.data, p.bytes < 9 ? p.bytes : 9);
        weir_puts(r, "]");
    }
    weir_printf(r, "%d", rc);
    return 0;
"""
VARIABLES = """
static const char *const wanted[] = {"remote_addr", "arg_a", "kind", "picked", "uri", NULL};
static int run_variables(weir_request *r)
{
    for (int i = 0; wanted[i]; i++) {
        const char *value = weir_variable(r, wanted[i]);
        weir_printf(r, "%s=%s;", wanted[i], value ? value : "(none)");
    }
    weir_puts(r, weir_variable(r, "request_method") ? "not asked for" : "");
    return 0;
}
"""
OFTEN = """
    const char *found = "-";
    char line[200];
    long before = 0, after = 0;
    for (int i = 0; i < 52; i++) {
        FILE *f = i == 1 || i == 51 ? fopen("/proc/self/status", "r") : NULL;
        while (f && fgets(line, sizeof line, f))
            sscanf(line, "RssAnon: %ld", i == 1 ? &before : &after);
        if (f)
            fclose(f);
        found = weir_form(r, "a");
    }
    weir_printf(r, "%s %ld", found ? found : "-", after - before);
    return 0;
"""
SOURCE = (modlib.handlers(**{kind: WALK % kind for kind in ("header", "arg", "form", "cookie")}, part=PARTS, often=OFTEN,
                          named='const char *f = weir_form(r, "b"), *c = weir_cookie(r, "s"), *a = weir_arg(r, "a");'
                                'weir_printf(r, "%s %s %s", f ? f : "-", c ? c : "-", a ? a : "-"); return 0;')
          .replace("static const struct weir_handler list[] = {",
                   VARIABLES + 'static const struct weir_handler list[] = {{.name = "variables", .run = run_variables, '
                   '.variables = wanted}, '))
LOCATIONS = "client_max_body_size 10m; " + "".join(f"location /{kind} {{ handler {kind}; }}" for kind in ("header", "arg", "form", "cookie", "part", "often", "named")) + """
    location ~ ^/variables/(?<picked>[a-z]*) { handler variables; }
"""
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture
def served(weir):
    path = modlib.build(weir.tmp, SOURCE, head="#include <stdio.h>\n")
    return weir.start(config(LOCATIONS, main=f"load_module {path};", http="map $arg_a $kind { ~^x ex; default other; }"))


@pytest.mark.http1_only
def test_headers(served):
    """Headers come in the order and with the names received, each line on its own."""
    raw = wire.head("GET /header HTTP/1.1", "X-One: 1", "x-TWO:   2  ", "X-One: 3", "X-Empty:")
    assert wire.ask(served.port, raw).text == "[Host=a 1][X-One=1 1][x-TWO=2 1][X-One=3 1][X-Empty= 0]0"


@pytest.mark.parametrize("query, fields", [
    ("", ""), ("?", ""), ("?a=1&b=2&a=3", "[a=1 1][b=2 1][a=3 1]"), ("?a&b=&=c", "[a= 0][b= 0][=c 1]"), ("?&&a=1&", "[a=1 1]"),
    ("?a%20b=%2B+x&c=d=e", "[a b=+ x 3][c=d=e 3]"), ("?z=%00y", "[z= 2]"),
])
def test_arguments(served, query, fields):
    """Arguments come in order, decoded; without "=" or value they are empty, and empty pieces are none."""
    assert served.get(f"/arg{query}").text == fields + "0"


def test_form(served):
    """Fields of a form in the body come likewise; any other body is no form."""
    def post(body, *headers):
        return served.get("/form", method="POST", headers=headers, body=body).text
    assert post(b"a=1&b=two+words&c=%C3%A9&a=", FORM) == "[a=1 1][b=two words 9][c=\u00e9 2][a= 0]0"
    assert post(b"a=1", (FORM[0], "Application/X-WWW-form-urlencoded ; charset=utf-8")) == "[a=1 1]0"
    assert post(b"", FORM) == "0"
    assert post(b"a=1") == post(b"{}", ("Content-Type", "application/json")) == "-1"
    big = b"&".join(b"k%d=%s" % (i, b"v" * 50) for i in range(2000))  # in a file by then
    assert post(big, FORM).count("[k") == 2000


def multipart(*parts, boundary="x"):
    """Content-Type and body of a form: parts are (what Content-Disposition says, more lines, content)."""
    body = b"".join(f"--{boundary}\r\nContent-Disposition: form-data; {says}\r\n{more}\r\n".encode() + content + b"\r\n"
                    for says, more, content in parts)
    return {"headers": [("Content-Type", f"multipart/form-data; boundary={boundary}")], "body": body + f"--{boundary}--\r\n".encode()}


UPLOAD = multipart(('name="a"', "", b"1"), ('name="f"; filename="C:\\\\d\\"x.png"', "Content-Type: image/png\r\n", b"\x00\r\n--\xff"), ('name="b"', "", b"2"))


def test_parts(served):
    """A form in parts comes part by part, its files as they are; without them it is a form like others."""
    def post(kind, **form):
        return served.get(kind, method="POST", **form).body.decode("latin-1")
    assert post("/part", **UPLOAD) == '[a@- text/plain 1 1][f@C:\\d"x.png image/png 6 \x00\r\n--\xff][b@- text/plain 1 2]0'
    assert post("/form", **UPLOAD) == "[a=1 1][b=2 1]0" and post("/named", **UPLOAD).startswith("2 ")
    big = multipart(('name="f"; filename="big"', "", b"0123456789" * 100_000), ('name="b"', "", b"2"))  # in a file by then
    assert post("/part", **big) == "[f@big text/plain 1000000 012345678][b@- text/plain 1 2]0"
    assert post("/form", **big) == "[b=2 1]0"
    assert post("/part", headers=UPLOAD["headers"], body=UPLOAD["body"][:-8]) == post("/part", **UPLOAD).rpartition("[")[0] + "-1"
    assert post("/part", headers=[FORM], body=b"a=1") == post("/part", body=b"") == "-1"


def test_a_large_form_asked_often(served):
    """What a handler looks for costs memory, not what it passes on the way."""
    body = b"x=" + b"v" * 4_000_000 + b"&%61=found"
    for form in ({"headers": [FORM], "body": body}, multipart(('name="x"', "", b"v" * 4_000_000), ('name="a"', "", b"found"))):
        text, grown_kb = served.get("/often", method="POST", **form).text.split()
        assert text == "found" and int(grown_kb) < 20_000


def test_a_browsers_form(served):
    """What curl sends as a browser does: a boundary of its own, a file's type by its name."""
    (served.tmp / "up.txt").write_text("content")
    result = subprocess.run(["curl", "-s", "-F", "a=\u00e9", "-F", f"f=@{served.tmp}/up.txt", f"http://127.0.0.1:{served.port}/part"],
                            capture_output=True, text=True, check=True)
    assert result.stdout == "[a@- text/plain 2 \u00e9][f@up.txt text/plain 7 content]0"


def test_cookies(served):
    """Cookies of all lines come in order, as they were sent."""
    raw = wire.head("GET /cookie HTTP/1.1", "Cookie: a=1; b=%20x ;c", "Cookie: d=e=f;;a=2")
    assert wire.ask(served.port, raw).text == "[a=1 1][b=%20x 4][d=e=f 3][a=2 1]0"


def test_by_name(served):
    """One by name is the first of that name, in the case given."""
    answer = served.get("/named?a=q", method="POST", headers=[FORM, ("Cookie", "S=1; s=2; s=3")], body=b"B=1&b=2&b=3")
    assert answer.text == "2 2 q"
    assert served.get("/named").text == "- - -"


def test_variables(served):
    """Variables that the handler names have their values: built in, of a map, of an expression; others have none."""
    assert served.get("/variables/tail?a=x1").text == "remote_addr=127.0.0.1;arg_a=x1;kind=ex;picked=tail;uri=/variables/tail;"
    assert served.get("/variables/").text == "remote_addr=127.0.0.1;arg_a=(none);kind=other;picked=(none);uri=/variables/;"


def test_variables_from_many_threads(served):
    """Maps with expressions are right when many threads ask at once."""
    answers = wire.parallel(lambda i: served.get(f"/variables/n?a={'xy'[i % 2]}{i}").text, range(200))
    assert [("kind=ex;" in text, f"arg_a={'xy'[i % 2]}{i};" in text) for i, text in enumerate(answers)] == \
        [(i % 2 == 0, True) for i in range(200)]


def test_an_unknown_variable(weir):
    """A variable that does not exist is found when the configuration is read."""
    path = modlib.build(weir.tmp, SOURCE, head="#include <stdio.h>\n")
    result = weir.run("-t", conf=config(LOCATIONS, main=f"load_module {path};"))
    assert result.returncode == 1 and 'unknown "kind" variable' in result.stderr and "weir.conf:" in result.stderr


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_a_handler_in_cxx(weir):
    """A module in C++ is loaded and answers; weir_fail destroys what stands on the stack."""
    source, path = weir.tmp / "m.cc", weir.tmp / "m.so"
    source.write_text("""#include <weir/handler.h>
        #include <string>
        static int alive;
        struct guard { guard() { alive++; } ~guard() { alive--; } };
        static int run(weir_request *r) {
            guard g;
            weir_field f = {};
            std::string all;
            while (weir_next_arg(r, &f) > 0) all += std::string(f.name) + "," + f.value + ";";
            if (all == "fail,1;") weir_fail(r, "asked to");
            weir_printf(r, "%s %d", all.c_str(), alive);
            return 0;
        }
        static const weir_handler list[] = {{"cxx", run, nullptr, nullptr, nullptr, nullptr, nullptr, 0}, {}};
        WEIR_MODULE(list);""")
    subprocess.run(["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
                    "-shared", "-fPIC", "-I", weirlib.BINARY.parent / "include", source, "-o", path], check=True)
    weir.start(config("location / { handler cxx; }", main=f"load_module {path};"))
    assert weir.get("/?a=b&c").text == "a,b;c,; 1"
    assert weir.get("/?fail=1").status == 500
    weir.wait_log('handler "cxx" failed: asked to')
    assert weir.get("/?a=b").text == "a,b; 1"
