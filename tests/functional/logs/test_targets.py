"""Where logs go: syslog, memory, JSON, gzip, names with variables; rotation, reloading, and bytes meant to forge lines."""

import base64
import gzip
import json
import os
import re
import signal
import socket
import stat
import time
import zlib

import pytest
import weirlib
import wire
from weirlib import Load, config, fetch, let_pass, limit, open_files, wait_until
from wire import head

HELLO = 'location / { return 200 "hello\\n"; }'
FILES = "location / { root html; }"
URI = "log_format uri $uri;"
SYSLOG = re.compile(rb"<(\d+)>([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (?:(\S+) )?(\w+): (.*)", re.S)
# Bytes that a client sends to forge a line, a field, or a terminal's command; as a target and as a field's value.
FORGED = ("/%0d%0a%1b%5b2Jforged%22%5c%7f%c3%28%ff", 'a"\\\t\xff\xc3(forged', 'me"\r\n\x1b[2Jforged\xff')


def server(directives, http="", **parts):
    """A configuration with the given directives in a server on the second port."""
    return config(http=f"{http} server {{ listen 127.0.0.1:{{port2}}; {directives} }}", **parts)


def start(weir, directives, http="", **parts):
    """Start a server with the given directives on a port of its own; returns that port."""
    weir.start(server(directives, http, **parts))
    return weir.port2


def ask_all(port, targets):
    with weirlib.Connection(port) as connection:
        for target in targets:
            connection.get(target)


def content(weir, name):
    path = weir.tmp / "logs" / name
    return path.read_bytes() if path.exists() else b""


def lines(weir, count, name="access.log", read=content):
    """The lines of a log once there are so many; more are an error."""
    split = lambda: read(weir, name).split(b"\n")[:-1]
    wait_until(lambda: len(split()) >= count, 3, f"{count} lines in {name}")
    found = split()
    assert len(found) == count, found
    return found


def below(pid, folder):
    return [link for link in open_files(pid).values() if link.startswith(str(folder))]


class Receiver:
    """A syslog server: a datagram socket of a path, or of a UDP port."""

    def __init__(self, address, size=None):
        self.address = address
        family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        if size:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        self.socket.bind(("127.0.0.1", address) if family == socket.AF_INET else str(address))
        self.messages = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        if not isinstance(self.address, int):
            self.address.unlink()

    def read(self):
        """All messages so far."""
        try:
            while True:
                self.messages.append(self.socket.recv(1 << 16, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return self.messages

    def wait(self, count):
        """The messages once there are so many; more are an error."""
        wait_until(lambda: len(self.read()) >= count, 3, f"{count} messages, not {self.messages}")
        assert len(self.messages) == count, self.messages
        return self.messages

    def texts(self, count):
        return [SYSLOG.fullmatch(message)[5] for message in self.wait(count)]


def place(weir, kind):
    """An address for a receiver, and the server= of it."""
    if kind == "unix":
        return weir.tmp / "syslog", "server=unix:{tmp}/syslog"
    return weir.port3, "server=127.0.0.1:{port3}"


both_kinds = pytest.mark.parametrize("kind", ["unix", "udp"])


# ---- parameters -------------------------------------------------------------------------------------------

def refusal(weir, directives, http=""):
    """What -t says about a configuration; empty if it is right."""
    result = weir.run("-t", conf=server(directives, http))
    told = re.search(r"\[emerg\] (.*) in \S+:\d+$", result.stderr, re.M)
    assert result.returncode == (1 if told else 0), result.stderr
    return told[1] if told else ""


SERVER = "syslog:server=127.0.0.1"
LONG = "x" * 120


def test_wrong_parameters(weir):
    """Each wrong parameter of a log is refused with its place and a word of help."""
    wrong = {
        "error_log syslog:": "server=", "error_log syslog:tag=a": "server=", "error_log syslog:server=": "empty",
        "error_log syslog:server=unix:": "empty", f"error_log syslog:server=unix:/{LONG}": "too long",
        "error_log syslog:server=[::1": r"\]", "error_log syslog:server=127.0.0.1:x": "port",
        "error_log syslog:server=no.such.invalid": "resolve",
        f"error_log {SERVER},facility=local8": "facility", f"error_log {SERVER},facility=": "facility",
        f"access_log {SERVER},severity=loud": "severity", f"access_log {SERVER},tag=": "tag",
        f"access_log {SERVER},tag={LONG}": "tag", f"access_log {SERVER},tag=a-b": "tag",
        f"access_log {SERVER},nohost": "nohostname", f"access_log {SERVER},,tag=a": "parameters",
        "error_log memory:": "memory:SIZE", "error_log memory:4095": "memory:SIZE", "error_log memory:2g": "memory:SIZE",
        "error_log memory:1x": "memory:SIZE", "error_log logs/x loud": "level", "error_log logs/x format=xml": "format",
        "access_log logs/x none": "format", "access_log logs/x combined gzip=0": "gzip",
        "access_log logs/x combined gzip=10": "gzip", "access_log logs/x combined gzip=": "gzip",
        "access_log logs/x combined buffer=0": "buffer", "access_log logs/x combined buffer=x": "buffer",
        "access_log logs/x combined flush=x": "flush", "access_log logs/x combined if=$nothing": "nothing",
        "access_log logs/x combined loud=1": "loud", f"access_log {SERVER} combined buffer=1k": "buffer",
        f"access_log {SERVER} combined gzip": "gzip", "access_log logs/$host combined flush=1s": "flush",
        "access_log logs/$nothing": "nothing", "open_log_file_cache on": "max=", "open_log_file_cache max=0": "max=",
        "open_log_file_cache inactive=1s": "max=", "open_log_file_cache max=1 valid=x": "valid=",
        "open_log_file_cache max=1 min_uses=0": "min_uses=",
    }
    found = {line: refusal(weir, line + ";") for line in wrong}
    assert {line: told for line, told in found.items() if not re.search(wrong[line], told)} == {}


def test_right_parameters(weir):
    """Each right parameter is taken, also when nobody listens at the server's address."""
    for line in [f"error_log {SERVER}", f"error_log {SERVER}:515,facility=local0,tag=a_1,nohostname debug",
                 "error_log syslog:server=[::1]:9999 warn format=json",
                 "error_log syslog:server=unix:/nowhere", "error_log memory:4k debug", "error_log stderr emerg format=text",
                 f"access_log {SERVER},severity=debug combined if=$arg_a", "access_log logs/x combined gzip buffer=4k",
                 "access_log logs/x combined gzip=9 flush=1m if=$arg_a", "access_log logs/$host.log combined if=$arg_a",
                 "open_log_file_cache max=2 inactive=1s min_uses=2 valid=1m", "open_log_file_cache off", "access_log off"]:
        assert refusal(weir, line + ";") == "", line


@pytest.mark.needs("localhost")
def test_the_servers_address_may_be_a_name(weir):
    assert refusal(weir, "error_log syslog:server=localhost,severity=info;") == ""


@pytest.mark.parametrize("line, word", [
    (f"error_log {SERVER},server=unix:/x", "server"), (f"error_log {SERVER},tag=a,tag=b", "tag"),
    (f"error_log {SERVER},facility=user,facility=user", "facility"), (f"error_log {SERVER},", "parameter|comma"),
    ("error_log syslog:server=[::1]junk", "address|port|server"), ("error_log syslog:server=127.0.0.1:70000", "port"),
    ("error_log syslog:server=127.0.0.1:0", "port"), ("error_log logs/x format=json format=text", "format"), ("error_log logs/x warn info", "level"),
    ("access_log off loud", "loud")])
def test_parameters_that_nginx_refuses(weir, line, word):
    """Parameters given twice, and words behind what is complete, are mistakes."""
    assert re.search(word, refusal(weir, line + ";"))


def test_unknown_escape(weir):
    """An escape= that does not exist is refused, not logged as text."""
    assert re.search("escape", refusal(weir, HELLO, "log_format f escape=xml '$uri';"))


# ---- which log --------------------------------------------------------------------------------------------

def test_off_turns_all_off(weir):
    """off is for all logs of its level, whatever else stands there."""
    port = start(weir, "access_log logs/all.log; location / { return 200; }"
                 " location /off { access_log off; access_log logs/off.log; return 200; }")
    ask_all(port, ["/off", "/"])
    lines(weir, 1, "all.log")
    assert content(weir, "off.log") == b""


def test_error_logs_by_place(weir):
    """A location's error logs with their levels replace those outside; each gets what its level asks for."""
    port = start(weir, "root html; error_log logs/server.log; location / { } "
                 "location /own { error_log logs/own.log; error_log logs/json.log error format=json; } "
                 "location /quiet { error_log logs/quiet.log crit; } location /r { rewrite_log on; rewrite ^/r /x; "
                 "error_log logs/r.log notice; error_log logs/r2.log; return 200; }")
    ask_all(port, ["/quiet/a", "/own/a", "/r", "/b"])
    assert b'"GET /b HTTP/1.1"' in lines(weir, 1, "server.log")[0]
    assert b'"GET /own/a HTTP/1.1"' in lines(weir, 1, "own.log")[0]
    assert json.loads(lines(weir, 1, "json.log")[0])["request"] == "GET /own/a HTTP/1.1"
    assert content(weir, "quiet.log") == b"" and content(weir, "r2.log") == b""
    assert b"[notice]" in content(weir, "r.log") and "GET /" not in weir.error_log


def test_several_logs_and_conditions(weir):
    """Each log has its format and its condition: neither empty nor 0."""
    with Receiver(weir.tmp / "syslog") as receiver:
        port = start(weir, "access_log logs/a.log uri; access_log logs/b.log uri if=$arg_b; access_log logs/$arg_c.log uri"
                     " if=$arg_c; access_log syslog:server=unix:{tmp}/syslog uri if=$arg_s; root html;" + HELLO,
                     URI)
        ask_all(port, ["/1", "/2?b=0", "/3?b=", "/4?b=00&c=c", "/5?s=1"])
        assert lines(weir, 5, "a.log") == [b"/1", b"/2", b"/3", b"/4", b"/5"]
        assert lines(weir, 1, "b.log") == [b"/4"] and lines(weir, 1, "c.log") == [b"/4"]
        assert receiver.texts(1) == [b"/5"]


# ---- syslog -----------------------------------------------------------------------------------------------

FACILITIES = ("kern user mail daemon auth intern lpr news uucp clock authpriv ftp ntp audit alert cron "
              "local0 local1 local2 local3 local4 local5 local6 local7").split()
SEVERITIES = "emerg alert crit error warn notice info debug".split()


def test_facilities_and_severities(weir):
    """The number of a message is facility times eight plus severity; local7 and info by default."""
    wanted = {f"/{name},": 8 * i + 6 for i, name in enumerate(FACILITIES)}
    places = "".join(f"location /{name}, {{ access_log syslog:server=unix:{{tmp}}/syslog,facility={name}; return 200; }}"
                     for name in FACILITIES)
    for i, name in enumerate(SEVERITIES):
        wanted[f"/s/{name}"] = 8 * 23 + i
        places += f"location /s/{name} {{ access_log syslog:server=unix:{{tmp}}/syslog,severity={name}; return 200; }}"
    with Receiver(weir.tmp / "syslog") as receiver:
        port = start(weir, places)
        for target in wanted:
            fetch(port, target)
            receiver.read()
        found = [SYSLOG.fullmatch(message) for message in receiver.wait(len(wanted))]
    assert [int(match[1]) for match in found] == list(wanted.values())
    assert {match[3].decode() for match in found} == {socket.gethostname()} and {match[4] for match in found} == {b"weir"}
    assert all(target.encode() in match[5] for target, match in zip(wanted, found))


@pytest.mark.directive("error_log")
@both_kinds
def test_error_log_to_syslog(weir, kind):
    """Lines of the error log carry their level as severity, the tag, and no host if that is asked for."""
    address, where = place(weir, kind)
    with Receiver(address) as receiver:
        port = start(weir, FILES, log=f"notice; error_log syslog:{where},facility=user,tag=t_1,nohostname info")
        fetch(port, "/none")
        found = wait_until(lambda: [m for m in receiver.read() if b"/none" in m], 3, "the message")
        match = SYSLOG.fullmatch(found[0])
        assert (int(match[1]), match[3], match[4]) == (8 + 3, None, b"t_1") and len(found) == 1
        assert match[5].split(b": ", 1)[1].decode() in weir.error_log
        assert any(m.startswith(b"<13>") and b"weir started" in m for m in receiver.messages)


@pytest.mark.needs("ipv6")
def test_syslog_over_ipv6(weir):
    """A server's address may be IPv6 with a port."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("::1", weir.port3))
        receiver.settimeout(limit(3))
        port = start(weir, "access_log syslog:server=[::1]:{port3},tag=six;" + HELLO)
        fetch(port, "/six")
        assert re.search(rb" six: .*GET /six ", receiver.recv(9000))


@both_kinds
def test_server_that_comes_and_goes(weir, kind):
    """Without its server the log loses lines, nothing else; once the server is there, lines come again by themselves."""
    address, where = place(weir, kind)
    port = start(weir, f"access_log syslog:{where};" + FILES, log=f"notice; error_log syslog:{where} info")

    def arrives(receiver, target):
        fetch(port, target)
        return any(target.encode() + b" " in message for message in receiver.read())

    for moment in ("/early", "/late"):
        began = time.monotonic()
        ask_all(port, ["/none"] * 50)
        assert time.monotonic() - began < limit(1)
        with Receiver(address) as receiver:
            wait_until(lambda: arrives(receiver, moment), 3, "a message of " + moment)
            ask_all(port, ["/more"] * 3)
            wait_until(lambda: sum(b"GET /more" in m for m in receiver.read()) == 6, 3, "both logs' messages")
    weir.wait_log(r'write\(\) to "syslog:.*lines are being lost')


@both_kinds
def test_server_that_was_restarted(weir, kind):
    """A server that is back gets the very next line."""
    address, where = place(weir, kind)
    port = start(weir, f"access_log syslog:{where};" + HELLO)
    with Receiver(address) as receiver:
        fetch(port, "/first")
        receiver.wait(1)
    fetch(port, "/lost")
    let_pass(1.1)  # a server that is not there is looked for once a second
    with Receiver(address) as receiver:
        fetch(port, "/next")
        wait_until(lambda: any(b"/next" in message for message in receiver.read()), 1, "the next line")


@both_kinds
def test_server_that_does_not_read(weir, kind):
    """A server with a full socket delays nothing; the error log says why lines are lost, once."""
    address, where = place(weir, kind)
    with Receiver(address, size=2048) as receiver:
        port = start(weir, f"access_log syslog:{where};" + HELLO)
        [worker] = weir.wait_workers(1)
        with weirlib.Connection(port) as connection:
            began = time.monotonic()
            connection.send(head("GET /" + "x" * 300 + " HTTP/1.1") * 1000)
            assert all(connection.response().status == 200 for _ in range(1000))
            assert time.monotonic() - began < limit(3)
        if kind == "unix":
            weir.wait_log(r"lines are being lost")
            assert "Resource temporarily unavailable" in weir.error_log and weir.error_log.count("are being lost") == 1
        wait_until(lambda: not receiver.read().clear() and fetch(port, "/again") and any(
            b"GET /again" in message for message in receiver.read()), 3, "a line after all")
        assert weir.worker_pids() == {worker}


@both_kinds
def test_long_lines_to_syslog(weir, kind):
    """A message is cut at 8 KiB, its head is whole, and the next one is as usual."""
    address, where = place(weir, kind)
    with Receiver(address) as receiver:
        port = start(weir, f"access_log syslog:{where} long; large_client_header_buffers 4 32k;" + HELLO,
                     "log_format long '$uri$uri$uri';")
        fetch(port, "/" + "y" * 7000)
        fetch(port, "/z")
        long, short = receiver.texts(2)
    assert 8000 < len(receiver.messages[0]) <= 8192 and long.startswith(b"/yyy") and short == b"/z/z/z"


def test_a_request_is_one_message(weir):
    """Also unescaped, line ends in a client's text make no message of their own."""
    with Receiver(weir.tmp / "syslog") as receiver:
        port = start(weir, "access_log syslog:server=unix:{tmp}/syslog raw;" + HELLO, "log_format raw escape=none $uri;")
        fetch(port, "/a%0aforged")
        fetch(port, "/b")
        wait_until(lambda: b"/b" in b"".join(receiver.read()), 3, "both messages")
        assert not any(text.startswith(b"forged") for text in receiver.texts(len(receiver.messages)))
        assert len(receiver.messages) == 2


def test_all_lines_reach_syslog(weir):
    """With room for them, every line of several workers arrives once."""
    with Receiver(weir.port3, size=4 << 20) as receiver:
        port = start(weir, "access_log syslog:server=127.0.0.1:{port3} uri;" + HELLO, URI, workers=2)
        wire.parallel(lambda n: ask_all(port, [f"/{n}-{i}" for i in range(25)]), range(4), 4)
        assert sorted(receiver.texts(100)) == sorted(f"/{n}-{i}".encode() for n in range(4) for i in range(25))


# ---- memory -----------------------------------------------------------------------------------------------

def memory_log(pid):
    """The file under /proc of a process's log in memory."""
    [number] = [number for number, link in open_files(pid).items() if "weir-log" in link]
    return f"/proc/{pid}/fd/{number}"


def in_memory(pid):
    with open(memory_log(pid), "rb") as file:
        return file.read()


def test_memory_log(weir):
    """The last lines of all processes are under /proc of the master and of each worker, from the level on."""
    port = start(weir, FILES, log="notice; error_log memory:64k error", workers=2)
    fetch(port, "/none")
    for pid in [weir.pid, *weir.worker_pids()]:
        data = in_memory(pid)
        assert len(data) == 65536 and b"[notice]" not in data
        assert re.fullmatch(rb"[^\n\0]* \[error\] [^\n\0]*\"GET /none HTTP/1.1\"[^\n\0]*\n\0*", data)
    killed = min(weir.worker_pids())
    weir.signal(signal.SIGKILL, killed)
    weir.wait_dead([killed], 3)
    weir.expect_log("exited on signal 9|killed")
    assert all(b"GET /none" in in_memory(pid) for pid in weir.wait_workers(2))


def test_memory_log_wraps(weir):
    """A full ring keeps its size and the newest lines, each whole."""
    port = start(weir, FILES, log="notice; error_log memory:4k format=json")
    ask_all(port, [f"/{i:04}" for i in range(200)])
    data = in_memory(weir.pid)
    assert len(data) == 4096 and b"\0" not in data
    end = ((data * 2).index(b"\n", (data * 2).index(b"GET /0199")) + 1) % 4096
    ring = data[end:] + data[:end]
    whole = [json.loads(line)["request"] for line in ring.split(b"\n")[1:-1]]
    assert len(whole) > 8 and whole == [f"GET /{i:04} HTTP/1.1" for i in range(200 - len(whole), 200)]


def test_memory_log_of_several_workers(weir):
    """Workers that write at once get places of their own: no line is lost or mixed."""
    port = start(weir, FILES, log="notice; error_log memory:1m format=json", workers=3)
    wire.parallel(lambda n: ask_all(port, [f"/{n}-{i}-" + "x" * 100 for i in range(40)]), range(8), 8)
    found = [json.loads(line)["request"] for line in in_memory(weir.pid).rstrip(b"\0").splitlines()]
    assert sorted(found) == sorted(f"GET /{n}-{i}-{'x' * 100} HTTP/1.1" for n in range(8) for i in range(40))


def test_memory_log_cannot_be_cut(weir):
    """Whoever may read the log in memory cannot kill the server by emptying it."""
    port = start(weir, FILES, log="notice; error_log memory:64k")
    workers = weir.wait_workers(1)
    try:
        os.truncate(memory_log(weir.pid), 0)
    except OSError:
        pass
    fetch(port, "/none")
    fetch(port, "/none")
    assert weir.worker_pids() == workers


def test_threads_that_log(weir):
    """Lines of handlers' threads reach every target whole and once, also while levels change under way."""
    weir.write("known:{PLAIN}x\n", "users")
    conf = server('location / { auth_basic a; auth_basic_user_file {tmp}/users; root html; } location /l { error_log logs/own.log crit; }',
                  workers=2, pool="threads=4 max_queue=1000",
                  log=f"info; error_log memory:1m error format=json; error_log logs/json.log error format=json;"
                      "error_log syslog:server=127.0.0.1:{port3} error")
    with Receiver(weir.port3, size=4 << 20) as receiver:
        weir.start(conf)
        workers = weir.wait_workers(2)

        def client(number):
            login = [("Authorization", "Basic " + base64.b64encode(b"who%d:x" % number).decode())]
            with weirlib.Connection(weir.port2) as connection:
                return [connection.get("/", login).status for _ in range(25)]

        def change():
            for level in ("warn", "crit", "info"):
                assert weir.reload(conf.replace("own.log crit", "own.log " + level))["last_kind"] == "in-place"
        answers = wire.parallel(lambda each: each(), [*(lambda n=n: client(n) for n in range(6)), change], 7)
        assert answers[:6] == [[401] * 25] * 6 and weir.worker_pids() == workers
        wanted = sorted([f'user "who{n}"' for n in range(6)] * 25)
        messages = wait_until(lambda: len(receiver.read()) >= 150 and receiver.messages, 3, "150 messages")
    name = lambda text: re.search(r'user "who\d"', text)[0]
    found = [[json.loads(line)["message"] for line in data.rstrip(b"\0").splitlines() if b"who" in line]
             for data in (content(weir, "json.log"), in_memory(weir.pid))]
    found += [[message.decode() for message in messages if b"who" in message],
              [line for line in weir.error_log.splitlines() if "who" in line]]
    assert [sorted(map(name, each)) for each in found] == [wanted] * 4


# ---- hostile bytes ----------------------------------------------------------------------------------------

def send_forged(port):
    """Requests with bytes meant to forge lines, in targets, fields, user names and Host; all are answered."""
    target, field, user = FORGED
    login = base64.b64encode(user.encode("latin-1") + b":x").decode()
    long = "%22%01" * 1100
    for raw in [head(f"GET {target} HTTP/1.1", f"User-Agent: {field}"), head("GET /u HTTP/1.1", f"Authorization: Basic {login}"),
                head("GET /h HTTP/1.1", host="Host: " + "h" * 5000), head("GET /" + "u" * 7900 + " HTTP/1.1"),
                head(f"GET /{long} HTTP/1.1"), head(f"GET /{'%ff%e2%82' * 600} HTTP/1.1"), head(f"GET /{'%e2%82%ac' * 800} HTTP/1.1"),
                head("GET /q HTTP/1.1", f"Referer: {field}", "Cookie: " + '"\\\t\x80' * 900)]:
        assert wire.ask(port, raw).status in (200, 400, 404, 414)
    wire.verdict(port, head("GET /\x1b[2J\xff\" HTTP/1.1"))
    wire.verdict(port, head("GET / HTTP/1.1", host="Host: a\x1b\"b"))
    return 10


HOSTILE = "root html; large_client_header_buffers 4 32k; location / { }"


@pytest.mark.directive("error_log")
def test_json_error_log(weir):
    """With format=json each line is one object of UTF-8, whatever the client sent."""
    port = start(weir, HOSTILE, log="info; error_log logs/json.log info format=json")
    send_forged(port)
    fetch(port, "/last")
    wait_until(lambda: b"/last" in content(weir, "json.log"), 3, "the last line")
    found = [json.loads(line.decode("utf-8")) for line in content(weir, "json.log").splitlines()]
    assert all({"time", "level", "pid", "tid", "message"} <= set(entry) for entry in found)
    assert "forged" in repr(found) and all(entry["level"] != "forged" for entry in found)


def test_json_error_line_that_is_cut(weir):
    """A line that is too long stays an object: its texts are cut, not its end."""
    weir.expect_log("No such file or directory|File name too long")
    port = start(weir, "root html; access_log logs/no/$uri; large_client_header_buffers 4 32k;" + HELLO,
                 log="info; error_log logs/json.log info format=json")
    sizes = [250, 600, 660, *range(670, 690), 1000, 1900]
    ask_all(port, ["/" + "%01" * size for size in sizes])
    for line in lines(weir, len(sizes), "json.log", lambda weir, name: b"".join(
            line for line in content(weir, name).splitlines(True) if b"open()" in line)):
        json.loads(line)


@pytest.mark.directive("access_log", "log_format")
def test_json_access_log(weir):
    """With escape=json each line is one object of UTF-8, whatever the client sent."""
    port = start(weir, "access_log logs/access.log j;" + HOSTILE, """log_format j escape=json '{"uri":"$uri","line":"$request",'
                 '"agent":"$http_user_agent","user":"$remote_user","host":"$http_host","cookie":"$http_cookie"}';""")
    found = lines(weir, send_forged(port))
    entries = [json.loads(line.decode("utf-8", "surrogateescape")) for line in found]
    assert any('me"\r\n\x1b[2Jforged' in entry["user"] for entry in entries)
    assert all(set(entry) == {"uri", "line", "agent", "user", "host", "cookie"} for entry in entries)
    for line in found:
        line.decode("utf-8")


def test_forged_lines(weir):
    """Control bytes of a client reach no target: each line begins as the server's own do, and there are no more of them."""
    with Receiver(weir.tmp / "syslog", size=1 << 20) as receiver:
        port = start(weir, "access_log logs/access.log f; access_log logs/access.gz f gzip flush=100ms;"
                     "access_log syslog:server=unix:{tmp}/syslog,severity=debug f;" + HOSTILE,
                     "log_format f 'begin \"$uri\" \"$request\" \"$http_user_agent\" \"$remote_user\" \"$host\" \"$http_host\"';",
                     log="info; error_log memory:64k info; error_log syslog:server=unix:{tmp}/syslog info")
        sent = send_forged(port)
        access = lines(weir, sent)
        unzipped = lines(weir, sent, "access.gz", lambda weir, name: gunzip(content(weir, name)))
        messages = receiver.read()
        errors = weir.error_log_file.read_bytes().splitlines()
        memory = in_memory(weir.pid).rstrip(b"\0").splitlines()
    assert unzipped == access and all(re.fullmatch(rb'begin ("[ -!#-~]*" ?){6}', line) for line in access)
    for line in errors + memory:
        assert re.fullmatch(rb"\d{4}/\d\d/\d\d [\d:]{8} \[\w+\] \d+#\d+: [^\x00-\x1f\x7f]*", line), line
    for message in messages:
        assert re.fullmatch(rb"<\d+>\w{3} [ \d]\d [\d:]{8} \S+ weir: [^\x00-\x1f\x7f]*", message), message
    assert b"forged" in b"".join(errors) and b"forged" in b"".join(messages) and b"forged" in b"".join(memory)


# ---- gzip -------------------------------------------------------------------------------------------------

def gunzip(data):
    """All whole members; what is wrong between or behind them is an error."""
    text = b""
    while data:
        member = zlib.decompressobj(31)
        text += member.decompress(data)
        if not member.eof:
            return text  # the last one is being written
        data = member.unused_data
    return text


def unpacked(weir, name):
    return gzip.decompress(content(weir, name))


def packed(more=""):
    """A server's directives: a log with gzip."""
    return f"access_log logs/access.gz uri gzip{more};" + HELLO


def members(data):
    count = 0
    while data:
        member = zlib.decompressobj(31)
        member.decompress(data)
        assert member.eof
        data, count = member.unused_data, count + 1
    return count


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGQUIT])
def test_gzip_log_at_the_end(weir, end):
    """What is still in the buffer is written when the server ends; zcat reads all."""
    port = start(weir, packed("=9"), URI, workers=2)
    wire.parallel(lambda n: ask_all(port, [f"/{n}-{i}" for i in range(50)]), range(6), 6)
    assert content(weir, "access.gz") == b""  # 64k are the default
    weir.signal(end)
    assert weir.wait_exit(5) == 0
    assert sorted(lines(weir, 300, "access.gz", unpacked)) == sorted(f"/{n}-{i}".encode() for n in range(6) for i in range(50))
    assert 1 <= members(content(weir, "access.gz")) <= 2


def test_gzip_log_by_pieces(weir):
    """Each flush, by the buffer's size or by time, is a member that can be read at once."""
    port = start(weir, packed(" buffer=1k flush=300ms"), URI)
    ask_all(port, ["/" + "x" * 99] * 25)
    assert members(content(weir, "access.gz")) == 2
    lines(weir, 25, "access.gz", unpacked)
    assert members(content(weir, "access.gz")) == 3
    fetch(port, "/y")
    assert lines(weir, 26, "access.gz", unpacked)[-1] == b"/y"


def test_gzip_log_rotated(weir):
    """USR1 writes what waits to the old file; the new one begins with a member of its own."""
    port = start(weir, packed(), URI)
    fetch(port, "/before")
    (weir.tmp / "logs/access.gz").rename(weir.tmp / "logs/old.gz")
    weir.signal(signal.SIGUSR1)
    assert lines(weir, 1, "old.gz", unpacked) == [b"/before"]
    wait_until((weir.tmp / "logs/access.gz").exists, 3, "the new file")
    fetch(port, "/after")
    weir.stop()
    assert lines(weir, 1, "access.gz", unpacked) == [b"/after"] and lines(weir, 1, "old.gz", unpacked) == [b"/before"]


@pytest.mark.needs_root
def test_gzip_log_on_a_full_disk(weir, small_disk):
    """After the disk was full, what is written later can be read."""
    weir.expect_log("No space left on device")
    port = start(weir, "access_log disk/access.gz noise gzip=1 buffer=16k;" + HELLO, "log_format noise '$uri $request_id';")
    ask_all(port, ["/before"])
    with open(small_disk / "ballast", "wb") as ballast:
        ballast.write(bytes(236 << 10))
    for _ in range(5):
        ask_all(port, ["/while"] * 800)
    weir.wait_log("No space left on device")
    (small_disk / "ballast").unlink()
    ask_all(port, ["/after"] * 900)
    weir.stop()
    try:
        text = gzip.decompress((small_disk / "access.gz").read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        pytest.fail(f"zcat stops with {error}")
    assert text.count(b"/after") == 900 and b"/before" in text


# ---- names with variables ---------------------------------------------------------------------------------

def by_name(more=""):
    """A server's directives: a log whose name the client chooses."""
    return "root html; access_log logs/v/$http_x.log uri;" + more + HELLO


def named(port, name, target="/"):
    assert fetch(port, target, headers=[("X", name)]).status == 200


def test_names_with_variables(weir):
    """Each name gets its file; without a cache no descriptor stays open."""
    (weir.tmp / "logs/v").mkdir()
    port = start(weir, by_name(), URI)
    [worker] = weir.wait_workers(1)
    for i in range(100):
        named(port, f"{i}", f"/{i}")
    for i in range(100):
        assert lines(weir, 1, f"v/{i}.log") == [b"/%d" % i]
    assert below(worker, weir.tmp / "logs/v") == []


@pytest.mark.parametrize("cache", ["", "open_log_file_cache max=100;"])
def test_names_that_leave_the_folder(weir, cache):
    """No client's name opens a file outside of the log's folder, whatever it is made of."""
    (weir.tmp / "logs/v/in").mkdir(parents=True)
    port = start(weir, cache + "root html; location / { access_log logs/v/$http_x.log; return 200; }"
                 "location /u { access_log logs/v$uri.log; return 200; } location /a { access_log logs/v/$arg_x.log; return 200; }"
                 "location /h { access_log logs/v/$host/l.log; return 200; } location /k { access_log logs/v/$cookie_x; return 200; }"
                 "location /m { set $m $http_x; access_log logs/v/$m/l.log; return 200; }")
    for name in ("../out", "..", "../../out", "in/../../out", "/../out", "..//out", "./../out", "%2e%2e/out", "..%2fout", "a\\..\\out"):
        fetch(port, "/", headers=[("X", name), ("Cookie", f"x={name}")])
        fetch(port, "/m", headers=[("X", name)])
        fetch(port, "/k", headers=[("Cookie", f"x={name}")])
        fetch(port, f"/a?x={name}")
        fetch(port, f"/u/{name}")
        wire.verdict(port, head("GET /h HTTP/1.1", host=f"Host: {name}"))
    fetch(port, "/u%2f..%2f..%2fout")
    fetch(port, "/u/%2e%2e/%2e%2e/out")
    wire.verdict(port, head("GET /u%00 HTTP/1.1"))
    weir.stop()
    weir.expect_log("failed")
    found = {str(path.relative_to(weir.tmp)) for path in weir.tmp.rglob("*") if "out" in path.name or path.name in ("l.log", ".log")}
    assert all(path.startswith("logs/v/") for path in found), found


def test_names_that_cannot_be_opened(weir):
    """A folder that is missing costs the line; the error log names the file and the reason, and requests are answered."""
    weir.expect_log("No such file or directory|File name too long|Is a directory")
    (weir.tmp / "logs/v/d.log").mkdir(parents=True)
    port = start(weir, by_name("open_log_file_cache max=10;"), URI)
    for name in ("no/such", "x" * 300, "d", "x" * 5000):
        named(port, name)
    weir.wait_log(r"\[crit\].*/logs/v/no/such.log\" failed.*\(2:")
    weir.wait_log(r"\[crit\].*/logs/v/x{300}.log\" failed.*\(36:")
    weir.wait_log(r"\[crit\].*/logs/v/d.log\" failed.*\(21:")
    weir.wait_log(r"invalid name .*x{300}")


@pytest.mark.needs_root
def test_names_without_permission(weir):
    """Workers open these files as themselves: where they may not write, the line is lost and the error log says so."""
    weir.expect_log("Permission denied")
    (weir.tmp / "logs/v").mkdir()
    port = start(weir, by_name(), URI, user="user nobody nogroup;")
    named(port, "a")
    weir.wait_log(r"\[crit\].*/logs/v/a.log\" failed.*\(13: Permission denied\)")
    (weir.tmp / "logs/v").chmod(0o777)
    named(port, "a", "/now")
    assert lines(weir, 1, "v/a.log") == [b"/now"]
    assert (weir.tmp / "logs/v/a.log").stat().st_uid == weirlib.NOBODY.pw_uid


def test_names_without_a_root(weir):
    """Nothing is created while the request's root does not exist."""
    (weir.tmp / "logs/v").mkdir()
    port = start(weir, "root {tmp}/later; access_log logs/v/$http_x.log uri;" + HELLO, URI)
    named(port, "a")
    (weir.tmp / "later").mkdir()
    named(port, "a", "/now")
    assert lines(weir, 1, "v/a.log") == [b"/now"]


@pytest.mark.directive("open_log_file_cache")
@pytest.mark.parametrize("most", [2, 100])
def test_open_logs_are_bounded(weir, most):
    """However many names clients make up, no more files than max stay open, and no line is lost."""
    (weir.tmp / "logs/v").mkdir()
    port = start(weir, by_name(f"open_log_file_cache max={most};"), URI)
    [worker] = weir.wait_workers(1)
    with weirlib.Connection(port) as connection:
        connection.send(b"".join(head("GET / HTTP/1.1", f"X: {i}") for i in range(300)))
        for _ in range(300):
            assert connection.response().status == 200
    wait_until(lambda: len(list((weir.tmp / "logs/v").iterdir())) == 300, 3, "300 files")
    assert all(path.read_bytes() == b"/\n" for path in (weir.tmp / "logs/v").iterdir())
    assert 1 <= len(below(worker, weir.tmp / "logs/v")) <= most


@pytest.mark.directive("open_log_file_cache")
def test_open_logs_are_let_go(weir):
    """A file that nobody uses is closed after inactive."""
    (weir.tmp / "logs/v").mkdir()
    port = start(weir, by_name("open_log_file_cache max=10 inactive=1s;"), URI)
    [worker] = weir.wait_workers(1)
    named(port, "a")
    wait_until(lambda: len(below(worker, weir.tmp / "logs/v")) == 1, 1, "an open log")
    wait_until(lambda: below(worker, weir.tmp / "logs/v") == [], 4, "no open log")


@pytest.mark.parametrize("how", ["valid", "always", "reopen"])
def test_names_rotated(weir, how):
    """A file that was renamed is opened anew: once valid is over, at each line with valid=0, or at USR1."""
    (weir.tmp / "logs/v").mkdir()
    valid = {"valid": "1s", "always": "0", "reopen": "1h"}[how]
    port = start(weir, by_name(f"open_log_file_cache max=10 inactive=1h valid={valid};"), URI)
    [worker] = weir.wait_workers(1)
    named(port, "a", "/one")
    lines(weir, 1, "v/a.log")
    wait_until(lambda: len(below(worker, weir.tmp / "logs/v")) == 1, 1, "a file that stays open")
    (weir.tmp / "logs/v/a.log").rename(weir.tmp / "logs/v/old")
    if how != "always":
        named(port, "a", "/two")
        assert lines(weir, 2, "v/old") == [b"/one", b"/two"]
    if how == "reopen":
        weir.signal(signal.SIGUSR1)
        wait_until(lambda: not below(worker, weir.tmp / "logs/v"), 3, "the old file to be closed")
    elif how == "valid":
        let_pass(1.1)
    named(port, "a", "/three")
    assert lines(weir, 1, "v/a.log") == [b"/three"]


def test_full_disk_under_a_name(weir):
    """A file that cannot be written is reported now and then, not for each line."""
    weir.expect_log("No space left on device")
    (weir.tmp / "logs/v").mkdir()
    (weir.tmp / "logs/v/full.log").symlink_to("/dev/full")
    port = start(weir, by_name("open_log_file_cache max=10;"), URI)
    for _ in range(100):
        named(port, "full")
    weir.wait_log("No space left on device")
    assert weir.error_log.count("No space left") <= 20


# ---- reloading and rotation -------------------------------------------------------------------------------

def test_new_error_log_by_reload(weir):
    """After a reload with another error log, workers write to it and hold no descriptor of the old one."""
    weir.start(config(FILES))
    weir.reload(config(FILES + "location /new { return 204; }").replace("logs/error.log", "logs/new.log"))
    [worker] = weir.wait_workers(1)
    old = weir.error_log_file.read_text()
    weir.get("/none")
    wait_until(lambda: b"GET /none" in content(weir, "new.log"), 1, "the line in the new log")
    assert weir.error_log_file.read_text() == old
    assert not [link for link in open_files(worker).values() if link.endswith("logs/error.log")]


def test_rotation_after_reload(weir):
    """USR1 reaches the error log of workers that a reload has started."""
    weir.start(config(FILES))
    weir.reload(config(FILES + "location /new { return 204; }"))
    [worker] = weir.wait_workers(1)
    weir.error_log_file.rename(weir.tmp / "logs/old.log")
    weir.signal(signal.SIGUSR1)
    wait_until(lambda: not below(worker, weir.tmp / "logs/old.log"), 3, "the old file to be closed")
    weir.get("/none")
    weir.wait_log("GET /none", 1)


def test_every_log_is_reopened(weir):
    """USR1 reaches each file of each kind, in the master and in workers of every generation; memory and syslog stay."""
    (weir.tmp / "logs/v").mkdir()
    conf = server("root html; error_log logs/s.err info; access_log logs/a.log uri; access_log logs/b.log uri buffer=4k;"
                  "access_log logs/z.gz uri gzip; access_log logs/v/$server_port uri; open_log_file_cache max=10;"
                  "location /own { error_log logs/own.err; error_log syslog:server=127.0.0.1:{port3}; }",
                  URI, log="notice; error_log memory:64k", locations=FILES)
    names = ["s.err", "own.err", "a.log", "b.log", "z.gz", f"v/{weir.port2}", "error.log"]
    weir.start(conf)
    weir.reload(conf.replace("max=10", "max=11"))
    weir.wait_workers(1)
    for target in ("/one", "/two"):
        for at in (weir.port, weir.port2):
            ask_all(at, [target, "/own" + target])
        lines(weir, 2, "a.log")
        for name in names:
            (weir.tmp / "logs" / name).rename(weir.tmp / "logs" / (name + target.replace("/", ".")))
        weir.signal(signal.SIGUSR1)
        [worker] = weir.wait_workers(1)
        wait_until(lambda: not [link for link in below(worker, weir.tmp / "logs") if link.endswith(target[1:])], 2,
                   "the old files to be closed")
    read = lambda name: unpacked(weir, name) if "z.gz" in name else content(weir, name)
    for name in names:
        one, two = read(name + ".one"), read(name + ".two")
        assert b"/one" in one and b"/two" not in one and b"/two" in two and b"/one" not in two, name


@pytest.mark.needs_root
def test_devices_keep_their_owner(weir):
    """Reopening gives files to the workers' user, but not the system's devices."""
    device = weir.tmp / "null"
    try:
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        device.chmod(0o666)
        device.write_text("")
    except OSError:
        pytest.skip("devices are not permitted")
    port = start(weir, "access_log {tmp}/null; access_log logs/a.log;" + HELLO, user="user nobody nogroup;")
    (weir.tmp / "logs/a.log").unlink()
    weir.signal(signal.SIGUSR1)
    wait_until((weir.tmp / "logs/a.log").exists, 3, "the new file")
    wait_until(lambda: (weir.tmp / "logs/a.log").stat().st_uid == weirlib.NOBODY.pw_uid, 3, "the file's new owner")
    fetch(port, "/")
    assert device.stat().st_uid == 0


def test_levels_and_formats_in_place(weir):
    """A level and a format change under way, also of a location, in the same workers."""
    conf = config("root html; location / { } location /own { error_log logs/own.log crit; }", log="crit")
    weir.start(conf)
    workers = weir.wait_workers(1)
    ask_all(weir.port, ["/a", "/own/a"])
    changed = conf.replace(".log crit;", ".log error format=json;")
    assert weir.reload(changed)["last_kind"] == "in-place"
    ask_all(weir.port, ["/b", "/own/b"])
    assert weir.worker_pids() == workers
    assert [json.loads(line)["request"] for line in lines(weir, 1, "own.log")] == ["GET /own/b HTTP/1.1"]
    last = weir.wait_log(r".*GET /b HTTP.*")[0]
    assert "GET /a" not in weir.error_log and json.loads(last)["request"] == "GET /b HTTP/1.1"


def test_no_line_is_lost_by_reloads_and_rotations(weir):
    """Under load, with reloads of both kinds and rotations, each answer has its line in each log."""
    (weir.tmp / "logs/v").mkdir()
    def conf(version, level):
        return server("root html; location = / { access_log logs/a.log uri buffer=4k flush=1s; access_log logs/a.gz uri gzip;"
                      f"access_log logs/v/$server_port.log uri; return 200; }} location /{version} {{ return 204; }}",
                      URI + "open_log_file_cache max=10;", workers=2, log=level + "; error_log memory:64k")
    weir.start(conf("x0", "notice"))
    weir.wait_workers(2)
    with Load(weir.port2, "/", clients=4) as load:
        for i in range(4):
            for name in ("a.log", "a.gz", "v/" + str(weir.port2) + ".log"):
                path = weir.tmp / "logs" / name
                if path.exists():
                    path.rename(f"{path}.{i}")
            weir.signal(signal.SIGUSR1)
            weir.reload(conf(f"x{i // 2}", "notice" if i % 2 else "info"))
        weir.wait_workers(2)
    assert not load.failures
    weir.stop()
    total = lambda pattern, unpack: sum(unpack(path.read_bytes()).count(b"/\n") for path in (weir.tmp / "logs").glob(pattern))
    counts = [total("a.log*", bytes), total("a.gz*", lambda d: gzip.decompress(d) if d else b""), total("v/*", bytes)]
    assert counts == [counts[0]] * 3 and counts[0] >= load.ok, (counts, load.ok)


def test_reloads_leak_nothing(weir):
    """Reload after reload with logs of every kind, master and workers hold as many descriptors as before."""
    def conf(version):
        return server(f"access_log logs/{version}.log; access_log logs/{version}.gz combined gzip;" + FILES,
                      log=f"notice; error_log memory:64k; error_log logs/{version}.err; error_log {SERVER}:{{port3}} info")
    weir.start(conf("b"))
    def counted():
        [worker] = weir.wait_workers(1)
        return len(open_files(weir.pid)), len(open_files(worker)), sorted(below(worker, weir.tmp / "logs"))
    first = counted()
    for i in range(6):
        assert weir.reload(conf("ab"[i % 2]))["last_ok"]
    # The master's part in the old workers goes, and the connection that has asked for the status.
    wait_until(lambda: all(now <= before for now, before in zip(counted()[:2], first)), 3, f"no more descriptors than {first}")
    assert counted()[2] == first[2]
    bad = conf("b").replace("logs/b.err", "logs/no/such.err")
    weir.expect_log("no/such.err")
    assert not weir.reload(bad)["last_ok"]
    assert counted()[0] <= first[0]


def test_a_failed_reload_keeps_the_logs(weir):
    """A reload that is refused leaves the logs, in memory and elsewhere, as they were."""
    weir.expect_log("no/such|loud")
    good = config(FILES, log="notice; error_log memory:64k; error_log logs/own.log")
    weir.start(good)
    for bad in (good.replace("own.log", "no/such.log"), good.replace("own.log", "own.log loud")):
        assert not weir.reload(bad)["last_ok"]
    weir.get("/none")
    assert b"GET /none" in in_memory(weir.pid) and any(b"GET /none" in line for line in content(weir, "own.log").splitlines())


def test_what_an_error_is_about(weir):
    """In nginx's words and order."""
    weir.start(config("location /files { root {tmp}/none; } location /asks { auth_request /asked; }"
                      "location = /asked { root {tmp}/none; }"))
    weir.expect_log("No such file|unexpected status")
    weir.get("/files/x?a", headers=[("Referer", "http://from.example/page")])
    weir.get("/asks")
    lines = (weir.tmp / "logs/error.log").read_text().splitlines()
    host = 'host: "localhost"'
    assert any(line.endswith(f'client: 127.0.0.1, server: , request: "GET /files/x?a HTTP/1.1", {host}, '
                             'referrer: "http://from.example/page"') for line in lines)
    assert any(f'request: "GET /asks HTTP/1.1", subrequest: "/asked", {host}' in line for line in lines)
