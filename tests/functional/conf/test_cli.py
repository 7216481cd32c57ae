"""The command line, the configuration grammar, and the messages of both."""

import re
import subprocess

import pytest

from weirlib import BINARY, IS_ROOT, config, limit, wait_until

BARE = "pid logs/weir.pid;\nevents { }\nhttp {\n    access_log off;\n    server { listen 127.0.0.1:{port}; }\n}\n"


def program(*args):
    """Run the program with these arguments alone."""
    return subprocess.run([BINARY, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)


def emerg(result):
    """The (message, file, line) of the one [emerg] line on stderr."""
    found = re.findall(r"^weir: \[emerg\] (.+) in (\S+):(\d+)$", result.stderr, re.M)
    assert len(found) == 1, result.stderr
    return found[0][0], found[0][1], int(found[0][2])


def accepted(weir, conf):
    result = weir.run("-t", conf=conf)
    return result.returncode == 0, result.stderr


# ---- options ----------------------------------------------------------------------------------------------

def test_v_prints_the_version():
    """-v prints one version line on stderr, nothing on stdout, and succeeds."""
    result = program("-v")
    assert (result.returncode, result.stdout) == (0, "")
    assert re.fullmatch(r"weir version: weir/\d+\.\d+(\.\d+)?\S*\n", result.stderr)


def test_V_prints_how_it_was_built():
    """-V prints the version line of -v and then more."""
    version, result = program("-v").stderr, program("-V")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.startswith(version) and len(result.stderr) > len(version)


def test_h_lists_every_option():
    """-h explains each option that the program takes, and succeeds."""
    result = program("-h")
    text = result.stdout + result.stderr
    assert result.returncode == 0
    for option in "hvVtTqspecg":
        assert re.search(rf"-{option}\b", text) or re.search(rf"\[-\S*{option}", text), option


def test_question_mark_is_help():
    """-? is -h."""
    assert program("-?").stderr == program("-h").stderr


@pytest.mark.parametrize("args, message", [
    (["-x"], 'invalid option: "x"'),
    (["start"], 'invalid option: "start"'),
    (["--foo"], 'invalid option: "--foo"'),
    (["-t", "--versio"], 'invalid option: "--versio"'),
    (["-s"], 'option "-s" requires parameter'),
    (["-s", "restart"], 'invalid option: "-s restart"'),
    (["-c"], 'option "-c" requires'),
    (["-p"], 'option "-p" requires'),
    (["-e"], 'option "-e" requires'),
    (["-g"], 'option "-g" requires parameter'),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_wrong_options(args, message):
    """A wrong command line ends with exit code 1 and a message that names the option."""
    result = program(*args)
    assert result.returncode == 1
    assert result.stderr.startswith("weir: ") and message in result.stderr


def test_options_may_be_joined(weir):
    """-tq is -t -q, and a value may follow its letter directly, as nginx takes them."""
    weir.write(BARE)
    command = [BINARY, "-tq", f"-p{weir.tmp}", "-cconf/weir.conf", "-elogs/error.log"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


# ---- -t, -T, -q -------------------------------------------------------------------------------------------

def test_t_reports_success(weir):
    """-t says on stderr that the syntax is ok and the test successful, naming the file, and exits 0."""
    result = weir.run("-t", conf=BARE)
    assert (result.returncode, result.stdout) == (0, "")
    assert f"the configuration file {weir.conf} syntax is ok\n" in result.stderr
    assert f"configuration file {weir.conf} test is successful\n" in result.stderr


def test_t_reports_failure(weir):
    """-t exits 1, names message, file and line, and does not call the test successful."""
    result = weir.run("-t", conf="events { }\n\nnonsense on;\n")
    assert result.returncode == 1
    message, file, line = emerg(result)
    assert message.startswith('unknown directive "nonsense"')
    assert (file, line) == (str(weir.conf), 3)
    assert "successful" not in result.stderr


def test_t_serves_nothing(weir):
    """-t ends by itself and leaves no pid in the pid file."""
    weir.run("-t", conf=BARE)
    assert weir.read_pid_file() is None


def test_t_while_the_server_runs(weir):
    """-t succeeds beside the running server, whose port and pid file it leaves alone."""
    weir.start()
    result = weir.run("-t")
    assert result.returncode == 0, result.stderr
    assert weir.read_pid_file() == weir.pid
    assert weir.get("/").text == "hello\n"


def test_q_is_silent_about_success(weir):
    """-q with -t prints nothing when all is well."""
    result = weir.run("-t", "-q", conf=BARE)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_q_still_reports_errors(weir):
    """-q with -t prints errors."""
    result = weir.run("-t", "-q", conf="nonsense on;\n")
    assert result.returncode == 1
    assert 'unknown directive "nonsense"' in result.stderr


def test_T_dumps_every_file(weir):
    """-T prints each file once, in order of reading, after a line that names it, on stdout."""
    weir.write("server { listen 127.0.0.1:{port}; }\n", "conf/sites/b.conf")
    weir.write("server { listen 127.0.0.1:{port2}; }  # no newline at the end", "conf/sites/a.conf")
    main = "pid logs/weir.pid;\nevents { }\nhttp {\n    access_log off;\n    include sites/*.conf;\n}\n"
    result = weir.run("-T", conf=main)
    assert result.returncode == 0, result.stderr
    files = re.split(r"^# configuration file (.*):\n", result.stdout, flags=re.M)
    assert files[0] == "" and files[1::2] == [str(weir.conf), f"{weir.tmp}/conf/sites/a.conf",
                                              f"{weir.tmp}/conf/sites/b.conf"]
    assert files[2].rstrip("\n") == main.rstrip("\n")
    assert weir.fill("listen 127.0.0.1:{port2}; }  # no newline at the end\n") in files[4]
    assert weir.fill("listen 127.0.0.1:{port};") in files[6]
    assert "test is successful" in result.stderr


def test_T_of_a_bad_file_fails(weir):
    """-T tests the configuration too."""
    result = weir.run("-T", conf="nonsense on;\n")
    assert result.returncode == 1 and emerg(result)[0].startswith('unknown directive "nonsense"')


# ---- -p, -c, -e, -g ---------------------------------------------------------------------------------------

def test_p_is_the_root_of_relative_paths(weir):
    """Relative paths, -c's among them, start from the prefix, whatever the working directory."""
    weir.write("from the prefix\n", "html/index.html")
    weir.start(config("location / { root html; index index.html; }"), cwd="/")
    assert weir.get("/").text == "from the prefix\n"


def test_p_may_end_in_a_slash_and_be_relative(weir):
    """A prefix relative to the working directory works, with or without a slash at its end."""
    weir.write(BARE)
    for prefix in (".", "./", f"{weir.tmp}/"):
        result = subprocess.run([BINARY, "-t", "-p", prefix, "-c", "conf/weir.conf", "-e", "logs/error.log"],
                                capture_output=True, text=True, cwd=weir.tmp, timeout=60)
        assert result.returncode == 0, result.stderr


def test_c_takes_an_absolute_path(weir):
    """-c with an absolute path does not depend on the prefix; includes start from that file's folder."""
    weir.write("events { }\n", "elsewhere/events.conf")
    path = weir.write("include events.conf;\nhttp { access_log off; }\n", "elsewhere/other.conf")
    result = weir.run("-t", "-c", str(path))
    assert result.returncode == 0, result.stderr
    assert f"configuration file {path} test is successful" in result.stderr


def test_c_missing_file(weir):
    """A configuration file that is not there is named, with the reason."""
    result = weir.run("-t")
    assert result.returncode == 1
    assert f'weir: [emerg] open() "{weir.conf}" failed (2: No such file or directory)' in result.stderr


def test_c_folder(weir):
    """A folder in place of the configuration file is an error, not an empty configuration."""
    weir.conf.mkdir()
    result = weir.run("-t")
    assert result.returncode == 1
    assert f"{weir.conf}" in result.stderr and "21: Is a directory" in result.stderr


@pytest.mark.needs_root
def test_c_unreadable_file(weir, as_nobody):
    """A configuration file that may not be read is named, with the reason."""
    weir.write(BARE).chmod(0o600)
    result = weir.run("-t", **as_nobody)
    assert result.returncode == 1
    assert f'open() "{weir.conf}" failed (13: Permission denied)' in result.stderr


def test_e_receives_errors(weir):
    """The -e file receives the errors of a failed start, with the message that stderr shows."""
    result = weir.run("-t", "-e", "logs/other.log", conf="nonsense on;\n")
    assert result.returncode == 1
    assert re.search(r'\[emerg\] \d+#\d+: unknown directive "nonsense"', (weir.tmp / "logs/other.log").read_text())


def test_e_is_the_log_of_a_config_without_one(weir):
    """Without an error_log directive the running server logs to the -e file."""
    conf = config("location / { root html; }").replace("error_log logs/error.log notice;", "")
    weir.start(conf)
    assert weir.get("/missing").status == 404
    weir.wait_log(r'\[error\] .*html/missing" failed \(2: No such file or directory\)')


def test_g_adds_directives(weir):
    """-g directives count as if written in the configuration."""
    weir.launch(config().replace("worker_processes 1;", ""), directives="daemon off; worker_processes 3;")
    wait_until(lambda: weir.accepts(weir.port), 10, "a server")
    assert len(weir.wait_workers(3)) == 3


@pytest.mark.parametrize("directives, message", [
    ("nonsense on;", 'unknown directive "nonsense"'),
    ("daemon off", 'unexpected end of parameter, expecting ";"'),
    ("daemon perhaps;", "perhaps"),
])
def test_g_errors_name_the_command_line(weir, directives, message):
    """An error in -g says that it was in the command line."""
    result = weir.run("-t", "-g", directives, conf=BARE)
    assert result.returncode == 1
    assert re.search(rf"^weir: \[emerg\] .*{re.escape(message)}.* in command line", result.stderr, re.M), result.stderr


def test_g_may_not_repeat_the_file(weir):
    """A directive in both -g and the file is a duplicate."""
    result = weir.run("-t", "-g", "pid logs/a.pid;", conf=BARE)
    assert emerg(result)[0].startswith('"pid" directive is duplicate')


# ---- -s ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["stop", "quit"])
def test_s_ends_the_server(weir, name):
    """-s stop and -s quit end the server found through the pid file."""
    weir.start()
    assert weir.run("-s", name).returncode == 0
    assert weir.wait_exit() == 0
    assert not weir.pid_file.exists()


def test_s_reload(weir):
    """-s reload makes the running server take over a changed file."""
    weir.start()
    weir.write(config('location / { return 200 "changed"; }'))
    assert weir.run("-s", "reload").returncode == 0
    wait_until(lambda: weir.get("/").text == "changed", 5, "the new answer")


def test_s_reload_of_a_bad_file(weir):
    """-s refuses to signal with a file that does not parse; the server goes on as it was."""
    weir.start()
    weir.write("nonsense on;\n")
    result = weir.run("-s", "reload")
    assert result.returncode == 1 and emerg(result)[0].startswith('unknown directive "nonsense"')
    weir.expect_log('unknown directive "nonsense"')
    assert weir.get("/").text == "hello\n"
    assert weir.status()["reload"]["count"] == 0


def test_s_reopen(weir):
    """-s reopen makes the running server create its log anew after it was moved."""
    weir.start()
    weir.error_log_file.rename(weir.tmp / "logs/old.log")
    assert weir.run("-s", "reopen").returncode == 0
    wait_until(weir.error_log_file.exists, 3, "a new error log")


@pytest.mark.parametrize("content, message", [
    (None, 'open() "{pid}" failed (2: No such file or directory)'),
    ("", 'invalid PID number "" in "{pid}"'),
    ("abc\n", 'invalid PID number "abc" in "{pid}"'),
    ("4194305\n", "kill(4194305, 15) failed (3: No such process)"),
], ids=["missing", "empty", "text", "stale"])
def test_s_without_a_server(weir, content, message):
    """-s without a running server exits 1 and says what is wrong with the pid file."""
    if content is not None:
        weir.write(content, "logs/weir.pid")
    result = weir.run("-s", "stop", conf=BARE)
    assert result.returncode == 1
    assert message.format(pid=weir.pid_file) in result.stderr


# ---- errors in the file -----------------------------------------------------------------------------------
# Each case: a configuration whose wrong line ends in #!, what the message says, and a word of its remedy.

def in_http(text):
    return f"pid logs/weir.pid;\nevents {{ }}\nhttp {{\naccess_log off;\n{text}\n}}\n"


def in_server(text):
    return in_http(f"server {{\nlisten 127.0.0.1:{{port}};\n{text}\n}}")


ERRORS = {
    "unknown": ("frobnicate on; #!", 'unknown directive "frobnicate"', r"\w+"),
    "typo": ("worker_proceses 2; #!", 'unknown directive "worker_proceses"', r"worker_processes|docs"),
    "unknown in http": (in_http("frobnicate on; #!"), 'unknown directive "frobnicate"', r"\w+"),
    "unknown in location": (in_server("location / {\nfrobnicate on; #!\n}"),
                            'unknown directive "frobnicate"', r"\w+"),
    "server in main": ("server { #!\n}", '"server" directive is not allowed here', r"\bhttp\b"),
    "listen in http": (in_http("listen 80; #!"), '"listen" directive is not allowed here', r"\bserver\b"),
    "user in http": (in_http("user nobody; #!"), '"user" directive is not allowed here', r"\bmain\b|top"),
    "worker_connections in main": ("worker_connections 5; #!", '"worker_connections" directive is not allowed here',
                                   r"\bevents\b"),
    "handler in server": (in_server("handler echo; #!"), '"handler" directive is not allowed here', r"\blocation\b"),
    "status in server": (in_server("status; #!"), '"status" directive is not allowed here', r"\blocation\b"),
    "no argument": (in_server("root; #!"), 'invalid number of arguments in "root" directive', r"\b1\b|one|exactly"),
    "too many": (in_server("root a b; #!"), 'invalid number of arguments in "root" directive', r"\b1\b|one|exactly"),
    "arguments to a block": ("events 5 { #!\n}", 'invalid number of arguments in "events" directive',
                             r"\b0\b|\bno\b|none"),
    "arguments to a flag": ("daemon; #!\nevents { }", 'invalid number of arguments in "daemon" directive',
                            r"\b1\b|one|on|off"),
    "duplicate": ("pid logs/a.pid;\npid logs/b.pid; #!", '"pid" directive is duplicate', r":1\b|line 1\b|remove"),
    "duplicate in a block": (in_server("root a;\nroot b; #!"),
                             '"root" directive is duplicate', r":7\b|line 7\b|remove"),
    "duplicate events": ("events { }\nevents { } #!", '"events" directive is duplicate', r":1\b|line 1\b|remove"),
    "duplicate http": ("events { }\nhttp { }\nhttp { } #!", '"http" directive is duplicate', r":2\b|line 2\b|remove"),
    "duplicate location": (in_server("location /a { }\nlocation /a { #!\n}"), 'duplicate location "/a"', ""),
    "duplicate listen": (in_server("listen 127.0.0.1:{port}; #!"), "a duplicate listen 127.0.0.1:{port}", ""),
    "duplicate pool": ("thread_pool a threads=1;\nthread_pool a threads=2; #!", 'duplicate thread pool "a"', ""),
    "flag": ("daemon maybe; #!", '"maybe"', r'"on" or "off"'),
    "port out of range": (in_http("server {\nlisten 127.0.0.1:70000; #!\n}"), "127.0.0.1:70000", r"65535"),
    "workers negative": ("worker_processes -1; #!", '"worker_processes" directive invalid value', r"\b1\b|auto"),
    "connections text": ("events {\nworker_connections many; #!\n}", '"worker_connections" directive', r"number|\d"),
    "nofile text": ("worker_rlimit_nofile abc; #!", '"worker_rlimit_nofile" directive', r"number|\d"),
    "threads zero": ("thread_pool default threads=0; #!", "threads=0", r"\d"),
    "threads crossed": ("thread_pool default threads=8..2; #!", "8..2", r"\d"),
    "pool without threads": ("thread_pool mine; #!", "thread_pool", r"threads="),
    "pool parameter": ("thread_pool mine threads=2 colour=red; #!", "colour=red", r"max_queue"),
    "discipline": ("thread_pool mine threads=2 discipline=random; #!", "discipline=random", r"fifo.*lifo.*codel"),
    "return code": (in_server("return 99999; #!"), 'invalid return code "99999"', r"\d"),
    "size unit": (in_http("client_max_body_size 10kb; #!"), '"client_max_body_size" directive invalid value', r"\bk\b"),
    "size fraction": (in_http("client_max_body_size 1.5m; #!"), '"client_max_body_size" directive invalid value', ""),
    "size overflow": (in_http("client_max_body_size 99999999999999999999g; #!"),
                      '"client_max_body_size" directive invalid value', ""),
    "time unit": (in_http("keepalive_timeout 5q; #!"), '"keepalive_timeout" directive invalid value', r"\bms\b"),
    "time overflow": (in_http("send_timeout 99999999999y; #!"), '"send_timeout" directive invalid value', ""),
    "log level": ("error_log logs/error.log loud; #!", '"loud"', r"warn"),
    "regex": (in_server("location ~ ( { #!\n}"), 'in "("', ""),
    "nested location": (in_server("location /a {\nlocation /b { #!\n}\n}"),
                        'location "/b" is outside location "/a"', ""),
    "location in an expression": (in_server("location ~ ^/a {\nlocation /a/b { #!\n}\n}"),
                                  'location "/a/b" is outside location "^/a"', ""),
    "text after quotes": (in_server('root "a"b; #!'), 'unexpected "b"', ""),
    "no such user": ("user nosuchuser; #!", "nosuchuser", ""),
    "no such handler": (in_server("location / {\nhandler nosuch; #!\n}"), '"nosuch"', r"load_module"),
    "no such pool": ("load_module {modules}/demo.so;\n" + in_server("location / {\nhandler echo pool=nosuch; #!\n}"),
                     "nosuch", r"thread_pool"),
    "no such module": ("load_module {tmp}/nosuch.so; #!", "{tmp}/nosuch.so", ""),
    "not a module": ("load_module {tmp}/conf/weir.conf; #!", "{tmp}/conf/weir.conf", ""),
    "block without brace": ("events; #!", 'directive "events" has no opening "{"', ""),
    "brace without block": ("events { }\ndaemon on { #!\n}", 'directive "daemon" is not terminated by ";"', ""),
    "stray brace": ("events { }\n} #!", 'unexpected "}"', ""),
    "quantifier": (in_server("if ($uri ~ ^/a{3}$) { #!\nreturn 204; }"), 'an expression with "{" has to stand in quotes', r'write "\^/a\{3\}\$"'),
    "quantifier in brackets": (in_server("rewrite ^/(a{3})$ /b; #!"), 'an expression with "{" has to stand in quotes', r'write "\^/\(a\{3\}\)\$"'),
    "missing include": ("include {tmp}/conf/nope.conf; #!",
                        'open() "{tmp}/conf/nope.conf" failed (2: No such file', ""),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_in_the_file(weir, name):
    """A wrong file is refused with what is wrong, where, and what to do about it; exit code 1."""
    if name == "no such user" and not IS_ROOT:
        pytest.skip("without root nobody becomes another user")
    conf, what, remedy = ERRORS[name]
    result = weir.run("-t", conf=conf)
    assert result.returncode == 1, "accepted"
    message, file, line = emerg(result)
    assert weir.fill(what) in message
    assert (file, line) == (str(weir.conf), next(i for i, text in enumerate(conf.split("\n"), 1) if "#!" in text))
    rest = message.replace(weir.fill(what), "")
    assert re.search(remedy, rest), f"no remedy in {message!r}"


@pytest.mark.parametrize("conf, message", [
    ('events { }\nhttp {\n    default_type "text/plain;\n}\n', "unexpected end of file"),
    ("events { }\nhttp {\n    default_type 'text/plain;\n}\n", "unexpected end of file"),
    ("events { }\nhttp {\n    server {\n    }\n", 'unexpected end of file, expecting "}"'),
    ("events { }\nhttp { }\ndaemon on\n", "unexpected end of file"),
], ids=["double quote", "single quote", "block", "directive"])
def test_unterminated(weir, conf, message):
    """A quote, block or directive that the file does not close is an error in that file, not the end of it."""
    result = weir.run("-t", conf=conf)
    assert result.returncode == 1
    text, file, line = emerg(result)
    assert message in text and file == str(weir.conf) and 1 <= line <= conf.count("\n") + 1


@pytest.mark.parametrize("mistake", ["}", "gzip on }", 'a "b;', "{", "server {"])
def test_unknown_words_beside_a_mistake_in_the_syntax(weir, mistake):
    """Where braces or quotes do not match, what belongs where is not known; but a word that nobody knows is, on either side of it."""
    result = weir.run("-t", conf=f"bogus_before on;\nevents {{ }}\nhttp {{ server {{ bogus_inside on; types {{ a/b c; }} listen 80; }}\n map $a $b {{ x y; }} }}\n{mistake}\nbogus_after on;\n")
    assert result.returncode == 1 and 'unknown directive "bogus_before"' in result.stderr and 'unknown directive "bogus_inside"' in result.stderr
    assert result.stderr.count("unknown directive") <= 3 and '"a/b"' not in result.stderr, result.stderr


@pytest.mark.directive("events")
def test_no_events_section(weir):
    """A file without events is refused, as nginx does."""
    result = weir.run("-t", conf="http { }\n")
    assert result.returncode == 1
    assert 'no "events" section in configuration' in result.stderr


def test_a_failed_start_exits_1(weir):
    """A start with a wrong file exits 1 with the message that -t shows."""
    conf = "events { }\nnonsense on;\n"
    tested, started = weir.run("-t", conf=conf), weir.run(conf=conf)
    assert started.returncode == 1
    assert emerg(started) == emerg(tested)


def test_control_bytes_do_not_reach_the_terminal(weir):
    """A message about a binary file holds no raw control bytes."""
    weir.conf.write_bytes(b"events { }\n\x1b[31mred\x07 on;\n")
    result = weir.run("-t")
    assert result.returncode == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.stderr)


# ---- includes ---------------------------------------------------------------------------------------------

def test_include_error_names_the_included_file(weir):
    """An error inside an included file carries that file's name and line."""
    part = weir.write("# a comment\n\nfrobnicate on;\n", "conf/part.conf")
    message, file, line = emerg(weir.run("-t", conf="events { }\ninclude part.conf;\n"))
    assert message.startswith('unknown directive "frobnicate"')
    assert (file, line) == (str(part), 3)


def test_include_glob_without_match(weir):
    """A pattern that matches nothing is no error; a plain name that is not there is one."""
    assert weir.run("-t", conf="events { }\ninclude none/*.conf;\n").returncode == 0


def test_include_glob_is_sorted(weir):
    """Files of a pattern are read in the order of their names."""
    for name in ("20", "10", "30"):
        weir.write(f"location = /{name} {{ return 200 {name}; }}\n", f"conf/parts/{name}.conf")
    result = weir.run("-T", conf=in_server("include parts/*.conf;"))
    assert re.findall(r"parts/(\d+)\.conf:\n", result.stdout) == ["10", "20", "30"]


def test_include_in_every_context(weir):
    """include works inside blocks, its content counting as if it stood there."""
    weir.write("return 200 included;\n", "conf/answer.conf")
    weir.write("location /deep { include answer.conf; }\n", "conf/location.conf")
    weir.start(config("include location.conf;"))
    assert weir.get("/deep").text == "included"


@pytest.mark.parametrize("files", [
    {"conf/weir.conf": "include weir.conf;\n"},
    {"conf/weir.conf": "include a.conf;\n", "conf/a.conf": "include b.conf;\n", "conf/b.conf": "include a.conf;\n"},
    {"conf/weir.conf": "include parts/*.conf;\n", "conf/parts/a.conf": "include parts/*.conf;\n"},
], ids=["itself", "two", "glob"])
def test_include_cycle(weir, files):
    """Files that include each other are refused at once, with file, line and the word include."""
    for name, text in files.items():
        weir.write(text, name)
    result = weir.run("-t")
    assert result.returncode == 1
    message, file, line = emerg(result)
    assert "include" in message and file.startswith(f"{weir.tmp}/conf/") and line == 1


def test_include_of_one_file_twice(weir):
    """Including one file in two places is no cycle."""
    weir.write("default_type text/plain;\n", "conf/part.conf")
    server = "server {\nlisten 127.0.0.1:%s;\ninclude part.conf;\n}\n"
    ok, why = accepted(weir, in_http(server % "{port}" + server % "{port2}"))
    assert ok, why


# ---- tokens -----------------------------------------------------------------------------------------------

TOKENS = [
    ("plain", "plain"),
    ('"double \'quoted\'"', "double 'quoted'"),
    ("'single \"quoted\"'", 'single "quoted"'),
    (r'"escaped \" quote"', 'escaped " quote'),
    (r"'escaped \' quote'", "escaped ' quote"),
    (r'"tab\tcr\rlf\nend"', "tab\tcr\rlf\nend"),
    (r'"back\\slash"', "back\\slash"),
    (r'"kept \d \."', r"kept \d \."),
    (r"un\ quoted", r"un\ quoted"),
    ('"semi;colon {brace} #hash"', "semi;colon {brace} #hash"),
    ("in#side", "in#side"),
    ('"two\nlines"', "two\nlines"),
    ('""', ""),
    ("quote\"inside", "quote\"inside"),
    ("${uri}x", "/tokenx"),
    ('"<${uri}>"', "</token>"),
    ("$arg_x-$arg_none.", "7-."),
    ('"$request_method ${request_method}"', "GET GET"),
]


def test_tokens(weir):
    """Quotes, escapes, comments and ${name} mean what they mean to nginx."""
    locations = "\n".join(f"location ~ ^/{i}/ {{ return 200 {text}; }} # {i}" for i, (text, _) in enumerate(TOKENS))
    weir.start(config(locations))
    for i, (text, expected) in enumerate(TOKENS):
        answer = weir.get(f"/{i}/token?x=7")
        assert answer.text == expected.replace("/token", f"/{i}/token"), text


def test_unknown_variable(weir):
    """A variable that does not exist is an error that names it, not an empty string."""
    result = weir.run("-t", conf=in_server("return 200 $nosuch;"))
    assert result.returncode == 1
    assert 'unknown "nosuch" variable' in result.stderr


def test_layout_does_not_matter(weir):
    """Line ends of DOS, tabs, comments after anything and everything on one line are all the same file."""
    text = ("pid logs/p;events{}# one\r\nhttp\t{#two\r\naccess_log off;"
            "server{listen 127.0.0.1:{port};location /{return 200 a;}}}")
    weir.conf.write_bytes(weir.fill(text).encode())
    result = weir.run("-t")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("value, ok", [
    ("100", 1), ("0", 1), ("10k", 1), ("10K", 1), ("1m", 1), ("1M", 1), ("1g", 1), ("1G", 1),
    ("10kb", 0), ("m", 0), ("-1", 0), ("1t", 0), ("1 m", 0), ('""', 0), ("0x10", 0),
])
def test_sizes(weir, value, ok):
    """Sizes take nginx's units and no others."""
    assert accepted(weir, in_http(f"client_max_body_size {value};"))[0] == bool(ok)


@pytest.mark.parametrize("value, ok", [
    ("75", 1), ("75s", 1), ("1500ms", 1), ("1m", 1), ("1h30m", 1), ("'1h 30m'", 1), ("1d", 1), ("1w", 1), ("1m30", 1),
    ("30m1h", 0), ("1s30m", 0), ("1.5s", 0), ("-5s", 0), ("s", 0), ("''", 0), ("10x", 0), ("5 s", 0),
])
def test_times(weir, value, ok):
    """Times take nginx's units, larger ones first, and no others."""
    assert accepted(weir, in_http(f"client_body_timeout {value};"))[0] == bool(ok)


@pytest.mark.directive("client_max_body_size")
def test_size_unit_is_1024(weir):
    """1k is 1024 bytes: a body of exactly that passes, one more is 413."""
    weir.start(config("location / { client_max_body_size 1k; handler echo; }"))
    assert weir.get("/", method="POST", body=b"x" * 1024).status == 200
    assert weir.get("/", method="POST", body=b"x" * 1025).status == 413


def test_time_units_are_kept_apart(make_weir):
    """700ms is 0.7 seconds and a bare 2 is two seconds."""
    for value, seconds in (("700ms", 0.7), ("2", 2.0)):
        weir = make_weir().start(config(http=f"keepalive_timeout {value};"))
        with weir.connect() as idle:
            assert idle.get("/").status == 200
            assert idle.closed_within(8) == pytest.approx(seconds, abs=limit(0.4))
