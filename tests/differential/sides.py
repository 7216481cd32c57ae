"""The two servers: one configuration for both, an address of its own for each case, and how a case is left out.

Every case listens on 127.2.x.y of nginx and on 127.3.x.y of weir, both with the same port, and its backend is found at
127.4.x.y and 127.5.x.y: so an address tells the case and the side, and answers have the same length on both.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

from weirlib import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIR = pathlib.Path(os.environ.get("WEIR_BIN", ROOT / "build/weir")).resolve()
SLOW = float(os.environ.get("WEIR_TEST_SLOW", "1"))
SIDES = ("nginx", "weir")
TOGETHER = 8  # configurations that are checked at once
TAG = {"nginx": "6553f100", "weir": "17979cfe362a0000"}  # the first part of a test file's ETag
SERVER_NET = {"nginx": 2, "weir": 3}
BACKEND_NET = {"nginx": 4, "weir": 5}
FOLDER = {"nginx": "side1", "weir": "side2"}  # of the same length too

# What the access log of every case has, for both; bytes_sent is held against what came, not against the other side.
LOG_FIELDS = ("remote_addr", "remote_user", "request", "status", "body_bytes_sent", "bytes_sent", "request_length",
              "http_referer", "http_user_agent", "request_completion", "server_name", "uri", "args", "upstream_addr",
              "upstream_status", "upstream_response_length", "sent_http_content_type", "sent_http_location")
LOG_FORMAT = r"\t".join(f"{name}=${name}" for name in LOG_FIELDS)

MAIN = """\
{user}
worker_processes 1;
error_log {folder}/main.log warn;
pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    log_format whole 'server_addr=$server_addr\\t{log}';
    access_log {folder}/access.log whole;
    server_tokens off;
    default_type text/plain;
    types {{ text/html html htm; text/plain txt; text/css css; application/javascript js; image/png png;
             application/json json; text/xml xml; application/octet-stream bin; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    {temp}
    server {{ listen 127.{net}.0.1:{port}; location / {{ return 204; }} }}
"""


def find_nginx():
    """Debian's nginx, or None."""
    for path in (ROOT / "build/tools/nginx", "/usr/sbin/nginx", shutil.which("nginx")):
        if path and os.access(path, os.X_OK) and subprocess.run([path, "-v"], capture_output=True).returncode == 0:
            return path
    return None


def free_port():
    """A port that nobody has on any address."""
    for port in range(20000 + os.getpid() % 8000, 30000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def address(net, number):
    return f"127.{net}.{number // 250 + 1}.{number % 250 + 1}"


def side_of(text):
    """The server that has an address."""
    return next(name for name, net in SERVER_NET.items() if net == int(text.split(".")[1]))


def number_of(text):
    """The case's number in an address of 127.0.0.0/8."""
    high, low = map(int, text.split(".")[2:])
    return (high - 1) * 250 + low - 1


class Side:
    """One server with the configuration of a topic."""

    def __init__(self, name, tmp, port, backend_port, http=""):
        self.name, self.tmp, self.port, self.backend_port, self.http = name, tmp, port, backend_port, http
        self.folder = tmp / FOLDER[name]
        (self.folder / "logs").mkdir(parents=True)
        self.folder.chmod(0o777)
        self.process = None
        self.refused = {}  # case -> what the server says about its configuration

    def fill(self, case, text):
        """A case's text with its own names and addresses in it."""
        return (text.replace("%ROOT%", f"{self.tmp}/files/{case.folder}").replace("%ID%", case.id)
                .replace("%BACKEND%", f"{address(BACKEND_NET[self.name], case.number)}:{self.backend_port}")
                .replace("%ADDR%", f"{address(SERVER_NET[self.name], case.number)}")
                .replace("%PORT%", str(self.port)).replace("%BPORT%", str(self.backend_port))
                .replace("%TAG%", TAG[self.name]).replace("%PAD%", "x" * (20 - len(TAG[self.name])))
                .replace("%NOKEEP%", "keepalive 0;" if self.name == "weir" else "")
                .replace("%LOGS%", f"{self.folder}/logs").replace("%CERTS%", f"{self.tmp}/certificates")
                .replace("%TMP%", str(self.tmp)))

    def configuration(self, cases):
        """The text, and the case of each line."""
        text = MAIN.format(user="user root;" if os.geteuid() == 0 else "", folder=self.folder,
                           net=SERVER_NET[self.name], port=self.port, log=LOG_FORMAT,
                           temp="" if self.name == "weir" else "".join(
                               f"{each}_temp_path {self.folder}/{each};" for each in ("fastcgi", "uwsgi", "scgi")))
        lines = text.splitlines() + [self.http]
        owner = [None] * len(lines)
        for case in cases:
            mine = self.fill(case, case.configuration()).splitlines()
            lines += mine
            owner += [case] * len(mine)
        return "\n".join([*lines, "}", ""]), owner

    def command(self, program):
        return [program, "-p", f"{self.folder}/", "-c", self.folder / "conf"]

    def check(self, cases, program, name="conf"):
        """What -t says about these cases: None, or (the message, the case that it names or None)."""
        text, owner = self.configuration(cases)
        (self.folder / name).write_text(text)
        checked = subprocess.run([*self.command(program), "-c", self.folder / name, "-e", "stderr", "-t"], capture_output=True, text=True)
        if checked.returncode == 0:
            return None
        found = re.search(r"\[emerg\] (.*?)(?: in \S+:(\d+))?$", checked.stderr, re.M)
        assert found, checked.stderr
        line = int(found[2] or 0)
        return re.sub(r"^\d+#\d+: ", "", found[1]), owner[line - 1] if 0 < line <= len(owner) else None

    def check_each(self, cases, program):
        """Case -> what -t says about it alone, of those that it refuses. Mostly there is none, so they are looked at together first."""
        said = self.check(cases, program, f"check{threading.get_ident()}")
        if not said or len(cases) == 1:
            return {cases[0]: said[0]} if said else {}
        half = len(cases) // 2
        return {**self.check_each(cases[:half], program), **self.check_each(cases[half:], program)}

    def find(self, cases, program):
        """One of the cases for which the configuration is refused without a line, and the message."""
        while len(cases) > 1:
            half = cases[:len(cases) // 2]
            cases = half if self.check(half, program) else cases[len(half):]
        return self.check(cases, program)[0], cases[0]

    def start(self, cases, program):
        """Start with all cases but those that it refuses, which are noted."""
        groups = [[case] for case in cases if case.verdict]
        odd = [case for case in cases if case.odd and not case.verdict]
        groups += [odd[at:at + TOGETHER] for at in range(0, len(odd), TOGETHER)]
        with concurrent.futures.ThreadPoolExecutor(2) as executor:
            for refused in executor.map(lambda group: self.check_each(group, program), groups):
                self.refused.update(refused)
        cases = [case for case in cases if case not in self.refused and not case.verdict]
        while said := self.check(cases, program):
            message, case = said if said[1] else self.find(cases, program)
            assert case, f"{self.name} refuses the configuration: {message}"
            self.refused[case] = message
            cases.remove(case)
        command = self.command(program)
        out = open(self.folder / "stderr", "wb")
        self.process = subprocess.Popen([*command, "-e", self.folder / "first.log", "-g", "daemon off;"], stdout=out, stderr=out)

        def answers():
            assert self.process.poll() is None, (self.folder / "stderr").read_text() + (self.folder / "main.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection((f"127.{SERVER_NET[self.name]}.0.1", self.port), 1) as probe:
                probe.settimeout(1)
                probe.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return probe.recv(16)
        wait_until(answers, 10, f"{self.name} to answer")

    def stop(self):
        """End it; returns what went wrong in its life."""
        if not self.process:
            return []
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none within 10 s"
        problems = [] if code == 0 else [f"{self.name}: exit code {code}"]
        said = "".join(path.read_text(errors="replace") for path in
                       [*self.folder.glob("*.log"), *self.folder.glob("logs/*.error"), self.folder / "stderr"])
        serious = [line for line in said.splitlines()
                   if re.search(r"\[alert\]|\[emerg\]|Sanitizer|runtime error:|exited on signal", line)]
        return problems + [f"{self.name}: {line}" for line in serious[:5] if self.name == "weir"]
