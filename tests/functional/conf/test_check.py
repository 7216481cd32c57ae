"""-t finds what a start would refuse, says where, and finds all of it at once."""

import re

import pytest
from weirlib import config

BAD = re.compile(r"^weir: \[emerg\] (.*)$", re.M)
SERVER = "events { }\nhttp {\n    server { listen 127.0.0.1:{port}; %s }\n}\n"


def check(weir, conf, *more):
    """Run -t on the text; returns the messages of its errors, and whether it failed."""
    result = weir.run("-t", *more, conf=conf)
    weir.expect_log("")
    assert (result.returncode == 0) == ("successful" in result.stderr or "-q" in more)
    return BAD.findall(result.stderr), result


def place(weir, line):
    return f" in {weir.conf}:{line}"


REFUSED = {
    "address of another host": ("events { }\nhttp {\n    server { listen 203.0.113.7:{port}; }\n}\n",
                                r"bind\(\) to 203\.0\.113\.7:\d+ failed \(99: Cannot assign requested address\)", 3),
    "socket's folder": ("events { }\nhttp {\n    server { listen unix:{tmp}/none/sock; }\n}\n",
                        r"bind\(\) to unix:\S+/none/sock failed \(2: No such file or directory\)", 3),
    "socket's name taken": ("events { }\nhttp {\n    server { listen unix:{tmp}/html; }\n}\n", r"bind\(\) to unix:\S+/html failed", 3),
    "pid's folder": ("events { }\npid {tmp}/none/weir.pid;\n" + SERVER[11:] % "", r'open\(\) "\S+/none/weir\.pid" failed \(2', 2),
    "error log's folder": ("events { }\nerror_log {tmp}/none/error.log;\n" + SERVER[11:] % "", r'open\(\) "\S+/none/error\.log" failed \(2', 2),
    "access log's folder": (SERVER % "\naccess_log {tmp}/none/access.log;", r'open\(\) "\S+/none/access\.log" failed \(2', 4),
    "error log of a location": (SERVER % "location / {\nerror_log {tmp}/none/l.log; }", r'open\(\) "\S+/none/l\.log" failed \(2', 4),
    "thread pools": ("events { }\n" + "".join(f"thread_pool p{i} threads=1;\n" for i in range(17)) + SERVER[11:] % "",
                     r"more than 16 thread pools", 17),
}


@pytest.mark.parametrize("conf, message, line", REFUSED.values(), ids=REFUSED)
def test_what_a_start_refuses(weir, conf, message, line):
    """-t refuses what a start refuses, with the same message and its place, and starts nothing."""
    conf = conf if "error_log" in conf else "error_log stderr;" + conf
    [said], _ = check(weir, conf)
    assert re.match(message, said) and said.endswith(place(weir, line)), said
    started = weir.run("-g", "daemon off;", conf=conf)
    assert started.returncode == 1 and said in started.stderr


def test_several_of_them_at_once(weir):
    """Addresses, logs and the pid file are all looked at, whatever of them is wrong."""
    conf = ("events { }\npid {tmp}/none/weir.pid;\nerror_log {tmp}/none/e.log;\nhttp {\n"
            "server { listen 203.0.113.7:80; }\nserver { listen 203.0.113.8:80; }\n}\n")
    said, _ = check(weir, conf)
    assert len(said) == 4 and {re.search(r":(\d)$", each)[1] for each in said} == set("2356"), said


def test_a_socket_is_left_alone(weir):
    """-t neither makes a socket's file nor takes that of a running server away."""
    conf = config().replace("listen 127.0.0.1:{port};", "listen 127.0.0.1:{port}; listen unix:{tmp}/sock;")
    _, result = check(weir, conf)
    assert result.returncode == 0 and not (weir.tmp / "sock").exists()
    weir.start(conf)
    assert weir.run("-t").returncode == 0
    assert weir.get("/", port=str(weir.tmp / "sock")).status == 200


def test_warnings_are_printed(weir):
    """-t prints the warnings that a start prints, and succeeds; -q leaves them in, as nginx does."""
    conf = "events { }\nhttp {\n" + "server { listen 127.0.0.1:{port}; server_name same; }\n" * 2 + "}\n"
    for more in ([], ["-q"]):
        said, result = check(weir, conf, *more)
        assert result.returncode == 0 and said == []
        assert re.search(rf'^weir: \[warn\] conflicting server name "same" on 127\.0\.0\.1:\d+, ignored{place(weir, 4)}$',
                         result.stderr, re.M), result.stderr


def test_ports_that_need_privileges(weir, as_nobody):
    """An ordinary user's -t says which port needs more."""
    binary = as_nobody.pop("binary")
    conf = "pid /tmp/none-such-weir.pid; error_log stderr; events { } http { server { listen 127.0.0.1:81; } }"
    result = weir.run("-t", conf=conf, binary=binary, **as_nobody)
    assert result.returncode == 1 and "bind() to 127.0.0.1:81 failed (13: Permission denied)" in result.stderr


# ---- syntax -----------------------------------------------------------------------------------------------

def test_one_syntax_error_hides_no_other(weir):
    """Missing semicolons, wrong names, wrong values and missing includes of one file are told together."""
    conf = ("eventz { }\n"
            "worker_processes none;\n"
            "http {\n"
            "    include nowhere.conf;\n"
            "    server { listen 127.0.0.1:{port} }\n"
            "    server {\n"
            "        listen 127.0.0.1:{port2};\n"
            "        location /a { return 200 \"x\"y; }\n"
            "        keepalive_timeoutt 5s;\n"
            "    }\n"
            "}\n")
    said, _ = check(weir, conf)
    lines = [int(re.search(r"weir\.conf:(\d+)$", each)[1]) for each in said]
    assert sorted(lines) == [1, 2, 4, 5, 8, 9], said


@pytest.mark.parametrize("word", ["^/a{2}$", "^/a{2,}$", "^/(?<y>[0-9]{4})/x{1,3}"])
@pytest.mark.parametrize("form", ["location ~ %s { return 200; }", "rewrite %s /b;", "if ($uri ~ %s) { return 200; }"])
def test_an_unquoted_quantifier(weir, word, form):
    """Braces of an expression without quotes are told in their line, with what to write, and no other error."""
    said, _ = check(weir, SERVER % f"\n{form % word}\n")
    assert len(said) == 1 and said[0].endswith(place(weir, 4)), said
    assert "quotes" in said[0] and f'"{word}' in said[0]
    quoted = form % f'"{word}"'
    assert check(weir, SERVER % f"\n{quoted}\n")[0] == []


def test_an_open_block_is_named(weir):
    """A block that is never closed is told with its name and the line where it begins."""
    said, _ = check(weir, "events { }\nhttp {\n    server {\n        listen 127.0.0.1:{port};\n}\n")
    assert len(said) == 1 and '"http" of line 2' in said[0], said


@pytest.mark.parametrize("mark, message", [("\ufeff".encode(), "byte order mark"), (b"\xff\xfe", "UTF-16")], ids=["utf-8", "utf-16"])
def test_a_byte_order_mark(weir, mark, message):
    """A byte order mark is called that, and is the only error of an otherwise good file."""
    weir.write("")
    text = weir.fill(SERVER % "")
    weir.conf.write_bytes(mark + (text.encode() if mark != b"\xff\xfe" else text.encode("utf-16-le")))
    said, _ = check(weir, None)
    assert len(said) == 1 and message in said[0] and said[0].endswith(place(weir, 1)), said


def test_a_mark_of_an_included_file(weir):
    """So is that of an included file, with the file's name."""
    weir.write("\ufefflog_format x y;\n", "conf/part.conf")
    said, _ = check(weir, "events { }\nhttp { include part.conf; server { listen 127.0.0.1:{port}; } }\n")
    assert len(said) == 1 and "byte order mark" in said[0] and said[0].endswith("/conf/part.conf:1")


RESOLVERS = ["none.invalid", "127.0.0.1:x", "127.0.0.1 valid=x", "127.0.0.1 ipv6=x", "127.0.0.1 foo=x", "127.0.0.1 ipv4=off ipv6=off",
             "unix:/x", "valid=3s"]


@pytest.mark.parametrize("words", RESOLVERS)
def test_resolver(weir, words):
    """-t reads what a worker reads, and not only where it is used; a name is one that the system knows."""
    [said], _ = check(weir, SERVER % f"\nresolver 127.0.0.1 [::1]:54 valid=1m ipv6=off;\nlocation / {{ resolver {words}; location /in {{ }} }}")
    assert re.match(r'invalid "\S+" in "resolver"', said) and said.endswith(place(weir, 5))


@pytest.mark.parametrize("address", ["none.invalid", "localhost", "127.0.0.1:0", "*", "80", "unix:/x", "::1::"])
def test_proxy_bind(weir, address):
    """What is no address to speak from is refused at once, not at each request."""
    [said], _ = check(weir, SERVER % f"location / {{ proxy_pass http://127.0.0.1:1;\nproxy_bind {address}; }}")
    assert said.startswith(f'invalid address "{address}" in "proxy_bind"') and said.endswith(place(weir, 4))


@pytest.mark.parametrize("address", ["::1", "[::1]", "[::1]:81", "127.0.0.1", "127.0.0.1:81", "$remote_addr", "off"])
def test_proxy_bind_good(weir, address):
    """Addresses of both families, with brackets and without."""
    said, _ = check(weir, SERVER % f"location / {{ proxy_pass http://127.0.0.1:1; proxy_bind {address}; }}")
    assert not said


@pytest.mark.parametrize("words", ["proxy_buffers 4 512;", "proxy_buffers 2 1k;", "proxy_buffers 1 1;", "large_client_header_buffers 1 128;",
                                   "large_client_header_buffers 4 2m;", "client_header_buffer_size 4m;", "gzip_buffers 1 1;"])
def test_buffers_of_any_size(weir, words):
    assert check(weir, SERVER % words)[0] == []


@pytest.mark.parametrize("words, wrong", [
    ("proxy_buffers x 8k;", 'value "x"; it takes a number of buffers and the size of one'), ("proxy_buffers 0 8k;", 'value "0"; it'),
    ("proxy_buffers 8 0;", 'value "0"; it'), ("proxy_buffers 8 x;", 'value "x"; it'), ("proxy_buffers 8 9999999999g;", '"9999999999g"; it'),
    ("proxy_buffers 8 1g;", 'value "1g": out of range; it must be from 1 to 1073741824 bytes in all'),
    ("large_client_header_buffers 1 0;", "NUMBER SIZE, within 1g in all"), ("large_client_header_buffers 2 1g;", "within 1g in all")])
def test_buffers_name_the_word(weir, words, wrong):
    """The word that is wrong, of the two."""
    [said], _ = check(weir, SERVER % words)
    assert wrong in said
