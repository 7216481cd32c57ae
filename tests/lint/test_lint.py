"""Each lint can fail: small trees that break one rule each, and a clean one that breaks none."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import circles  # noqa: E402 - found through the line above
import comments  # noqa: E402
import functional  # noqa: E402
import includes  # noqa: E402
import sizes  # noqa: E402
import source  # noqa: E402
import words  # noqa: E402

OPENING = "/* base/x.c - a paragraph that says what the file is for. */\n"


def header(name, body=""):
    guard = "WEIR_" + name.replace("/", "_").replace(".", "_").upper()
    return f"{OPENING}#ifndef {guard}\n#define {guard}\n{body}\n#endif\n"


CLEAN = {
    "base/list.h": header("base/list.h", "#include <stddef.h>"),
    "base/list.c": OPENING + '#include "base/list.h"\n',
    "pool/pool.h": header("pool/pool.h", '#include "base/list.h"'),
    "pool/pool.c": OPENING + '#include "pool/pool.h"\n\n#include <pthread.h>\n',
    "handlers/handler.h": header("handlers/handler.h", "#include <stddef.h>"),
    "http/site/module.c": OPENING + 'void *load(const char *path)\n{\n    return dlopen(path, 0);\n}\n',
    "worker/worker.c": OPENING + '#include "pool/pool.h"\n#include <ev.h>\n',
    "master/spawn.c": OPENING + "int spawn(void)\n{\n    return fork();\n}\n",
    "modules/demo.c": OPENING + "#include <weir/handler.h>\n",
    "main.c": OPENING + '#include "pool/pool.h"\n',
    "tests/unit/pool_test.c": '#include "pool/pool.h"\n#include <pthread.h>\n',
    "docs/directives.md": "# Directives\n\n### root\n\n    root PATH;\n\n### pid\n",
    "tests/functional/files/test_root.py": 'pytestmark = pytest.mark.directive("root")\nCONF = "root html;"\n',
    "tests/functional/master/test_pid.py": '@pytest.mark.directive("pid")\ndef test_pid():\n    start("pid x;")\n',
}


def plant(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def found(check, root, extra):
    """What a lint says about the clean tree with these files added or replaced, one line for each finding."""
    return "\n".join(str(finding) for finding in check(plant(root, {**CLEAN, **extra})))


@pytest.mark.parametrize(
    "check", [circles.check_calls, comments.check, functional.check, includes.check, sizes.check, words.check]
)
def test_clean_tree_has_no_findings(check, tmp_path):
    assert found(check, tmp_path, {}) == ""


BAD_INCLUDES = {
    "up": ({"base/a.c": OPENING + '#include "pool/pool.h"\n'}, "base/a.c:2: base (rank 0) may not include pool"),
    "recv": ({"proxy/a.c": OPENING + "int n = recv(fd, p, 1, 0);\n"}, 'proxy/a.c:2: "recv(" does not belong here: sockets'),
    "protocol": (
        {"http/serve/a.c": OPENING + "int n = ex->res.close;\n"},
        'http/serve/a.c:2: "res.close" does not belong here: how a response is delimited',
    ),
    "sideways": ({"net/a.c": OPENING + '#include "pool/pool.h"\n'}, "net/a.c:2: net (rank 1) may not include pool"),
    "no rank": ({"limits/a.c": OPENING}, "limits/a.c:1: limits has no rank"),
    "into a module": (
        {"modules/shared.h": header("modules/shared.h"), "main.c": OPENING + '#include "modules/shared.h"\n'},
        "main.c:2: main.c (rank 11) may not include modules",
    ),
    "module": ({"modules/a.c": OPENING + '#include "base/list.h"\n'}, 'modules/a.c:2: a module may not include "base'),
    "public header": (
        {"handlers/handler.h": header("handlers/handler.h", '#include "base/list.h"')},
        'handlers/handler.h:4: the public header may not include "base/list.h"',
    ),
    "not from the top": ({"base/a.c": OPENING + '#include "list.h"\n'}, 'base/a.c:2: "list.h" is no file'),
    "dots": ({"pool/a.c": OPENING + '#include "../base/list.h"\n'}, 'pool/a.c:2: "../base/list.h" is no file'),
    "angles": ({"pool/a.c": OPENING + "#include <base/list.h>\n"}, "pool/a.c:2: <base/list.h> is ours"),
    "ev.h": ({"proxy/a.c": OPENING + "#include <ev.h>\n"}, "proxy/a.c:2: <ev.h> belongs to net, worker/loop, worker, master"),
    "pthread.h": ({"worker/a.c": OPENING + "#  include <pthread.h>\n"}, "worker/a.c:2: <pthread.h> belongs to pool"),
    "fork": ({"net/a.c": OPENING + "int x = fork ();\n"}, "net/a.c:2: fork() does not belong here"),
    "vfork": ({"main.c": OPENING + "int x = vfork();\n"}, "main.c:2: fork() does not belong here"),
    "sideways": (
        {"proxy/a.h": header("proxy/a.h"), "http/access/a.c": OPENING + '#include "proxy/a.h"\n'},
        "http/access/a.c:2: http/access (rank 5) may not include proxy (rank 5)",
    ),
    "up within http": (
        {"http/serve/a.h": header("http/serve/a.h"), "http/wire/a.c": OPENING + '#include "http/serve/a.h"\n'},
        "http/wire/a.c:2: http/wire (rank 1) may not include http/serve (rank 6)",
    ),
    "dlopen": ({"handlers/proxy.c": OPENING + "x = dlopen(p);\n"}, "handlers/proxy.c:2: dlopen() does not belong"),
    "own header later": (
        {"base/list.c": OPENING + '#include <stddef.h>\n#include "base/list.h"\n'},
        "base/list.c:2: make the own header the first include",
    ),
    "own header missing": ({"base/list.c": OPENING}, "base/list.c:1: does not include its own header"),
    "no guard": ({"base/a.h": OPENING + "int a;\n"}, "base/a.h:1: has no include guard: begin with #ifndef WEIR_BASE_A_H"),
    "guard misspelt": (
        {"base/a.h": "#ifndef A_H\n#define B_H\n#endif\n"},
        "base/a.h:1: has no include guard",
    ),
    "guard twice": ({"pool/z.h": header("base/list.h")}, "pool/z.h:1: WEIR_BASE_LIST_H guards base/list.h too"),
    "circle of one": ({"base/a.h": header("base/a.h", '#include "base/a.h"')}, "base/a.h -> base/a.h"),
    "circle of three": (
        {f"base/{a}.h": header(f"base/{a}.h", f'#include "base/{b}.h"') for a, b in ("ab", "bc", "ca")},
        "base/c.h:4: headers form a circle, base/a.h -> base/b.h -> base/c.h -> base/a.h",
    ),
}


@pytest.mark.parametrize("files, sentence", BAD_INCLUDES.values(), ids=BAD_INCLUDES.keys())
def test_includes_finds(files, sentence, tmp_path):
    findings = found(includes.check, tmp_path, files)
    assert sentence in findings
    assert findings.count("\n") == 0, findings


@pytest.mark.parametrize(
    "text",
    ["// fork()\n", '/*\n#include "pool/pool.h"\n*/\n', 'char *a = "fork() // \\" dlopen(x)";\n', "pthread_atfork(a, b, c);\n"],
)
def test_includes_ignores(text, tmp_path):
    assert found(includes.check, tmp_path, {"base/a.c": OPENING + text}) == ""


def c_file(*calls, name):
    """A file that offers one function, which makes these calls."""
    return OPENING + f"int {name}(int a,\n    int b)\n{{\n" + "".join(f"    {call};\n" for call in calls) + "}\n"


CIRCLE = {
    "net/a.c": c_file("x", "net_b(1, 2)", name="net_a"),
    "net/b.c": c_file("net_c (1)", name="net_b"),
    "net/c.c": c_file("if (x) net_a(1, 2)", name="net_c"),
}
NET = frozenset(CIRCLE)


def found_circles(root, extra, known=()):
    return found(lambda tree: circles.check_calls(tree, known), root, extra)


def test_circles_finds_each_call_of_a_circle(tmp_path):
    findings = found_circles(tmp_path, CIRCLE).split("\n")
    assert sorted(finding.split(", which")[0] for finding in findings) == [
        "net/a.c:6: calls net_b of net/b.c", "net/b.c:5: calls net_c of net/c.c", "net/c.c:5: calls net_a of net/a.c"]


def test_circles_accepts_a_known_one_until_it_is_untied(tmp_path):
    known = ((NET, "Reason."),)
    assert found_circles(tmp_path, CIRCLE, known) == ""
    assert found_circles(tmp_path, {"net/b.c": c_file("net_a(1, 2)", name="net_b")}, known) == (
        "net/c.c:1: is in no circle of calls any more: take it from KNOWN in circles.py.")
    (tmp_path / "net/c.c").unlink()
    assert found_circles(tmp_path, {}, known).startswith("tests/lint/circles.py:1: net/c.c is not there any more")


def test_circles_finds_what_joins_a_known_one(tmp_path):
    files = {**CIRCLE, "net/d.c": c_file("net_a(1, 2)", name="net_d"), "net/c.c": c_file("net_a(1, 2), net_d()", name="net_c")}
    findings = found_circles(tmp_path, files, ((NET, "Reason."),))
    assert "net/c.c:5: calls net_d of net/d.c" in findings and "net/d.c:5: calls net_a of net/a.c" in findings
    assert findings.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        c_file("x = net_a", "/* net_a(1, 2) */", 'x = "net_a(1, 2)"', "p->net_a(1)", "q.net_a(2)", "my_net_a(1)", name="net_c"),
        OPENING + "static int net_a(int a)\n{\n    return a;\n}\n\nint net_c(void)\n{\n    return net_a(1);\n}\n",
        OPENING + "int net_a(int a, int b);\n\nint net_c(void)\n{\n    return 1;\n}\n",
    ],
)
def test_circles_knows_a_call(text, tmp_path):
    assert found_circles(tmp_path, {**CIRCLE, "net/c.c": text}) == ""


def test_circles_leaves_tests_and_one_file_alone(tmp_path):
    files = {name.replace("net/", "tests/unit/"): text for name, text in CIRCLE.items()}
    assert found_circles(tmp_path, {**files, "net/own.c": c_file("net_own(1, 2)", name="net_own")}) == ""


def test_circles_knows_only_what_has_a_reason():
    assert all(len(files) > 1 and reason.endswith(".") and len(reason.split()) > 5 for files, reason in circles.KNOWN)


def function(lines):
    return "static int long_one(int a,\n                    int b)\n{\n" + "    a;\n" * (lines - 2) + "}\n"


def test_sizes_finds_a_long_function(tmp_path):
    assert found(sizes.check, tmp_path, {"base/a.c": OPENING + function(60)}) == ""
    findings = found(sizes.check, tmp_path, {"base/a.c": OPENING + function(60) + function(61)})
    assert findings.startswith("base/a.c:66: long_one has 61 lines, 60 at most")
    assert findings.count("\n") == 0


def test_sizes_is_not_led_astray_by_comments_and_strings(tmp_path):
    text = OPENING + "int f(void)\n{\n/*\n}\n*/\n" + "    x;\n" * 60 + "}\n"
    assert "f has 65 lines" in found(sizes.check, tmp_path, {"base/a.c": text})


def test_sizes_finds_a_long_file(tmp_path, capsys):
    assert found(sizes.check, tmp_path, {"base/a.c": OPENING + "int a;\n" * 599}) == ""
    assert "base/a.c:600: note: 600 lines" in capsys.readouterr().err
    assert "base/a.c:601: 601 lines, 600 at most" in found(sizes.check, tmp_path, {"base/a.c": OPENING + "int a;\n" * 600})


@pytest.mark.parametrize("text", ["int a;\n", "/* too short. */\nint a;\n", "int a; /* a comment that comes after the code */\n"])
def test_sizes_finds_a_file_without_an_opening(text, tmp_path):
    assert "base/a.c:1: opens without a paragraph" in found(sizes.check, tmp_path, {"base/a.c": text})
    assert found(sizes.check, tmp_path, {"base/a.c": OPENING, "tests/unit/a.c": text}) == ""


def test_sizes_accepts_an_opening_below_the_guard(tmp_path):
    text = f"#ifndef A_H\n#define A_H\n{OPENING}#endif\n"
    assert found(sizes.check, tmp_path, {"base/a.h": text}) == ""
    assert "base/a.h:1: opens without" in found(sizes.check, tmp_path, {"base/a.h": "#ifndef A_H\n#define A_H\n#endif\n"})


@pytest.mark.parametrize("word", ["TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK", "to" "do"])
@pytest.mark.parametrize("name, mark", [("base/a.c", "//"), ("base/a.h", "//"), ("tests/a.py", "#"), ("GNUmakefile", "#")])
def test_words_finds_work_left_for_later(name, mark, word, tmp_path):
    assert f"{name}:1: {word} leaves work for later" in found(words.check, tmp_path, {name: f"{mark} {word}: more\n"})


@pytest.mark.parametrize("path", ["/wo" "rk/main", "/ro" "ot/x", "/ho" "me/me/x", "/Us" "ers/me/x"])
def test_words_finds_paths_of_one_machine(path, tmp_path):
    assert "etc/weir.conf:2: " in found(words.check, tmp_path, {"etc/weir.conf": f"\nroot {path};\n"})


PRAGMA = "#pragma GCC diag" 'nostic ignored "-Wunused"'
TIDY_MARK = "NO" "LINT"
CPPCHECK_MARK = "cpp" "check-suppress"
WNO = "-W" "no-unused"


@pytest.mark.parametrize(
    "name, text",
    [
        ("base/a.c", PRAGMA),
        ("base/a.c", PRAGMA + " // sorry"),
        ("base/a.c", f"f(); // {TIDY_MARK}"),
        ("base/a.c", f"// {TIDY_MARK}NEXTLINE(bugprone-branch-clone)"),
        ("base/a.c", f"// {CPPCHECK_MARK} unreadVariable"),
        ("base/a.c", f"// {CPPCHECK_MARK}[unreadVariable,knownConditionTrueFalse]"),
        ("GNUmakefile", f"CFLAGS += {WNO}"),
        ("GNUmakefile", f"CFLAGS += {WNO}\n\n# another flag is named here: {WNO}-not"),
        ("tests/build.sh", f"cc {WNO} a.c"),
    ],
)
def test_words_finds_a_warning_silenced_without_a_reason(name, text, tmp_path):
    assert f"{name}:2: " in found(words.check, tmp_path, {name: f"\n{text}\n"})


@pytest.mark.parametrize(
    "name, text",
    [
        ("base/a.c", PRAGMA + " /* the macro uses it in debug builds */"),
        ("base/a.c", "/* The macro uses it\n * in debug builds only. */\n" + PRAGMA),
        ("base/a.c", "#pragma GCC diag" "nostic push"),
        ("base/a.c", f"f(); // {TIDY_MARK}(bugprone-branch-clone): the two cases differ in debug builds"),
        ("base/a.c", f"// {CPPCHECK_MARK} unreadVariable ; read by the debugger only"),
        ("GNUmakefile", f"CFLAGS = -Wall \\\n  {WNO}\n# {WNO}: callbacks ignore some of theirs"),
        ("GNUmakefile", f"# the generated file leaves some unused\nCFLAGS += {WNO}"),
    ],
)
def test_words_accepts_a_reason(name, text, tmp_path):
    assert found(words.check, tmp_path, {name: text + "\n"}) == ""


def test_words_knows_an_escape_from_a_mark(tmp_path):
    assert found(words.check, tmp_path, {"base/a.c": "/* written as \\xX" "X */ char *name = \"XX" "XXXX\";\n"}) == ""


FORTY = "x" * 40


@pytest.mark.parametrize("text", [f"int a; /* {FORTY}y */\n", f"int a; // {FORTY}y\n", f"f(/* {FORTY}y */ 1);\n", f"a; /* {FORTY}\ny */\n"])
def test_comments_finds_a_long_one_behind_code(text, tmp_path):
    findings = found(comments.check, tmp_path, {"tests/unit/base/a.c": "\n" + text})
    assert findings.startswith("tests/unit/base/a.c:2: a comment of ") and findings.count("\n") == 0


@pytest.mark.parametrize(
    "text",
    [f"int a; /* {FORTY} */\n", f"    /* {FORTY}y */\nint a;\n", f"/* {FORTY}y */ int a;\n", f'char *a = "/* {FORTY}y */";\n'],
)
def test_comments_accepts(text, tmp_path):
    assert found(comments.check, tmp_path, {"tests/unit/base/a.c": text}) == ""


PID = "tests/functional/master/test_pid.py"
NAP = "time.sleep(1)"
BAD_TESTS = {
    "no mark": ({PID: 'def test_pid():\n    start("pid x;")\n'}, 'docs/directives.md:7: no test of tests/functional/ is marked with directive("pid")'),
    "unknown": ({PID: '@pytest.mark.directive("pid", "pidd")\ndef test_pid():\n    start("pid x; pidd")\n'}, f'{PID}:1: "pidd" is no directive'),
    "of a list": ({PID: 'WORDS = ["pid", "pidd"]\npytestmark = pytest.mark.directive(*WORDS)\n'}, f'{PID}:2: "pidd" is no directive'),
    "unused": ({PID: '@pytest.mark.directive("pid")\ndef test():\n    start("rapid $pid pid_x")\n'}, f'{PID}:1: nothing here uses "pid"'),
    "unused by what it uses": (
        {PID: 'import other\nfrom own import conf\npytestmark = pytest.mark.directive("pid")\n',
         "tests/functional/lib/own.py": 'conf = ""\n', "tests/functional/lib/third.py": 'conf = "pid x;"\n'},
        f'{PID}:3: nothing here uses "pid"',
    ),
    "cannot be told": (
        {PID: '@pytest.mark.directive("pid")\n@pytest.mark.directive(words())\ndef test():\n    start("pid x;")\n'},
        f"{PID}:2: a mark takes names of directives",
    ),
    "empty": ({PID: '@pytest.mark.directive("pid")\n@pytest.mark.directive()\ndef test():\n    start("pid x;")\n'}, f"{PID}:2: a mark takes"),
    "sleep": ({"tests/functional/lib/a.py": f"def wait():\n    {NAP}\n"}, "tests/functional/lib/a.py:2: a sleep waits for nothing"),
}


@pytest.mark.parametrize("files, sentence", BAD_TESTS.values(), ids=BAD_TESTS.keys())
def test_functional_finds(files, sentence, tmp_path):
    findings = found(functional.check, tmp_path, files)
    assert findings.startswith(sentence) and findings.count("\n") == 0, findings


@pytest.mark.parametrize("files", [
    {PID: 'WORDS = {"pid": 1}\npytestmark = [pytest.mark.slow, pytest.mark.directive(*WORDS)]\n'},
    {PID: 'from own import conf\npytestmark = pytest.mark.directive("pid")\n', "tests/functional/lib/own.py": "import third\n",
     "tests/functional/lib/third.py": 'conf = "pid x;"\n'},
    {"tests/functional/lib/weirlib.py": f"def take_time():\n    {NAP}\n"},
])
def test_functional_accepts(files, tmp_path):
    assert found(functional.check, tmp_path, files) == ""


def test_build_and_ignored_files_are_left_out(tmp_path):
    bad = {"build/a.c": "fork();\n", "sub/.hidden/a.c": "fork();\n"}
    assert found(includes.check, tmp_path, bad) == ""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    plant(tmp_path, {".gitignore": "made/\n", "made/a.c": "fork();\n", "base/new.c": OPENING})
    names = source.c_files(tmp_path)
    assert "base/new.c" in names and "made/a.c" not in names and "build/a.c" not in names


@pytest.mark.parametrize("script", ["circles.py", "comments.py", "includes.py", "sizes.py", "words.py"])
def test_exit_codes(script, tmp_path):
    plant(tmp_path, CLEAN)
    command = [sys.executable, str(HERE / script), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 0
    plant(tmp_path, {"base/a.h": function(61) + "int b; // FIX" f"ME {FORTY}\n", **(CIRCLE if script == "circles.py" else {})})
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout.startswith("net/a.c:" if script == "circles.py" else "base/a.h:")


def test_exit_code_of_functional(tmp_path):
    plant(tmp_path, {**CLEAN, PID: f"{NAP}\n"})
    answer = subprocess.run([sys.executable, str(HERE / "functional.py"), str(tmp_path)], capture_output=True, text=True, check=False)
    assert answer.returncode == 1 and answer.stdout.startswith("docs/directives.md:7: ")
