"""A server under test: its private folder, its processes, its log, and clients that talk to it.

Weir writes a configuration, starts the program, watches it and stops it. Connection and Load are clients.
Every time limit goes through limit(), so that slow builds (sanitizers, valgrind) can stretch it.
"""

import atexit
import contextlib
import ctypes
import dataclasses
import fcntl
import functools
import importlib
import json
import os
import pathlib
import pwd
import random
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

import h11

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("WEIR_BIN", ROOT / "build/weir")).resolve()
MODULES = BINARY.parent / "modules"
SLOW_BUILD = float(os.environ.get("WEIR_TEST_SLOW") or 1) > 1  # a sanitizer's
SLOW = float(os.environ.get("WEIR_TEST_STRETCH") or os.environ.get("WEIR_TEST_SLOW") or 1)  # the machine's part included
IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")

SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|runtime error:")
SERIOUS = re.compile(r"\[(alert|emerg|crit)\]")

# What every configuration starts from; config() fills in the <names>, Weir the {names}.
TEMPLATE = """\
<user>
worker_processes <workers>;
error_log logs/error.log <log>;
pid logs/weir.pid;
load_module {modules}/demo.so;
thread_pool default <pool>;
<main>
events { worker_connections <connections>; <events> }
http {
    access_log off;
    <http>
    server {
        listen <listen>;
        <server>
        location = /status { status; }
        <locations>
    }
}
"""


def config(locations='location / { return 200 "hello\\n"; }', *, workers=1, pool="threads=4 max_queue=1000",
           user="user root;", log="notice", listen="127.0.0.1:{port}", connections=512,
           main="", events="", http="", server=""):
    """A whole configuration: one server with a status location and the given parts."""
    parts = dict(locals(), user=user if IS_ROOT else "")
    return re.sub(r"<(\w+)>", lambda m: str(parts[m[1]]), TEMPLATE)


# ---- over TLS ---------------------------------------------------------------------------------------------
# WEIR_TEST_TLS=1: the same tests with "ssl" at each address of 127.0.0.1, and clients that speak it.

OVER_TLS = os.environ.get("WEIR_TEST_TLS") == "1"
TLS_PORTS = set()


class InTurns(ssl.SSLSocket):
    """For a test that reads with one thread and writes with another: the library must not be at both."""

    def _turn(self, call, *args):
        lock = self.__dict__.setdefault("turns", threading.Lock())
        while True:
            with lock:
                timeout = self.gettimeout()
                self.settimeout(0)
                try:
                    return call(*args)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
                    writes = isinstance(error, ssl.SSLWantWriteError)
                finally:
                    self.settimeout(timeout)
            if timeout == 0:
                raise BlockingIOError
            waits = select.poll()
            waits.register(self, select.POLLOUT if writes else select.POLLIN)
            if not waits.poll(None if timeout is None else timeout * 1000):
                raise TimeoutError("timed out")

    def recv(self, *args):
        return self._turn(super().recv, *args)

    def send(self, *args):
        return self._turn(super().send, *args)

    def sendall(self, data, flags=0):
        with memoryview(data) as rest:
            done = 0
            while done < len(rest):
                done += self.send(rest[done:done + (1 << 16)], flags)


@functools.cache
def tls_client():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.sslsocket_class = InTurns
    if OVER_HTTP2:
        context.set_alpn_protocols(["h2"])
    return context


@functools.cache
def tls_pair():
    """A certificate and its key in one file, for the run."""
    file = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-tls-")) / "pair.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{file}.key", "-out", file,
                    "-subj", "/CN=localhost"], check=True, capture_output=True)
    file.write_text(file.read_text() + file.with_suffix(".pem.key").read_text())
    file.chmod(0o600)
    atexit.register(shutil.rmtree, file.parent, ignore_errors=True)
    return file


def with_tls(text):
    def listen(match):
        if "proxy_protocol" in match[2]:  # its header is in front of what a client of the harness says first
            return match[0]
        TLS_PORTS.add(int(match[1]))
        return f"{match[0]} ssl"
    text = re.sub(r"listen\s+127\.0\.0\.1:(\d+)([^;]*)", listen, text)
    # Of handshakes, what is counted for the pool "default" is none.
    text = re.sub(r"\bevents \{", "thread_pool handshakes threads=1 max_queue=1000; events {", text, count=1)
    return re.sub(r"\bhttp \{", f"http {{ ssl_certificate {tls_pair()}; ssl_certificate_key {tls_pair()}; ssl_handshake_pool handshakes;",
                  text, count=1)


# ---- over HTTP/2 ------------------------------------------------------------------------------------------
# WEIR_TEST_HTTP2=1: the same tests with "http2 on", and connections whose requests and responses are HTTP/2's on their way
# (over_http2.py). A test that looks at HTTP/1 itself is marked with http1_only.

OVER_HTTP2 = os.environ.get("WEIR_TEST_HTTP2") == "1"
PROTOCOL = "HTTP/2.0" if OVER_HTTP2 else "HTTP/1.1"  # as $server_protocol has it


def with_http2(text):
    return re.sub(r"\bhttp \{", "http { http2 on;", text, count=1)


@functools.cache
def over_http2():
    return importlib.import_module("over_http2")  # which needs this one first


def document(*arguments):
    """What the tables of the program under test say of its words: see "make docs"."""
    program = BINARY.parent / "document"
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    subprocess.run(["make", "-s", "-C", ROOT, f"B={os.path.relpath(program.parent, ROOT)}", os.path.relpath(program, ROOT)], check=True, env=env)
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


# ---- surroundings -----------------------------------------------------------------------------------------
# What a chroot, a container or an ordinary user may not have. Each is found out by trying the very thing.

def succeeds(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _other_users():
    """Root that may become nobody and give files away: not so in a user namespace of one user."""
    with tempfile.NamedTemporaryFile(prefix="weir-test-") as file:
        try:
            os.chown(file.name, NOBODY.pw_uid, NOBODY.pw_gid)
        except OSError:
            return False
    return succeeds("setpriv", "--reuid=nobody", f"--regid={NOBODY.pw_gid}", "--clear-groups", "true")


def _looks_into_others():
    """The descriptors of a process of another user: not without CAP_SYS_PTRACE."""
    if not can("other_users"):
        return False
    with subprocess.Popen(["setpriv", "--reuid=nobody", f"--regid={NOBODY.pw_gid}", "--clear-groups", "cat"],
                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as other:
        wait_until(lambda: proc_field(other.pid, "Uid").split()[0] != "0", 5, "another user")
        try:
            return bool(os.readlink(f"/proc/{other.pid}/fd/0"))
        except OSError:
            return False
        finally:
            other.stdin.close()


def _mount_of(path):
    """The number of the mount that a file is on, as seen here."""
    with open(path, "rb") as file:
        return re.search(r"mnt_id:\s*(\d+)", pathlib.Path(f"/proc/self/fdinfo/{file.fileno()}").read_text())[1]


@functools.cache
def own_mounts():
    """A command that runs another with mounts of its own; None where there is no such thing.

    In a chroot whose root is no mount point the ways of mounts cannot be changed: it will do as it is if a mount in
    there is not seen out here. The probe mounts a file over itself, which changes nothing that anybody reads.
    """
    probe = "/etc/resolv.conf"
    bind = ("sh", "-c", f"mount --bind {probe} {probe}")
    if succeeds("unshare", "-m", *bind):
        return ["unshare", "-m"]
    before = _mount_of(probe) if os.path.exists(probe) else None
    as_it_is = ["unshare", "-m", "--propagation", "unchanged"]
    if before is None or not succeeds(*as_it_is, *bind):
        return None
    if _mount_of(probe) != before:
        subprocess.run(["umount", probe], check=True)
        return None
    return as_it_is


def _raises_priority():
    return succeeds("nice", "-n", "-1", "sh", "-c", 'test "$(nice)" -lt "$0"', str(os.nice(0)))


def _has_address(name):
    try:
        return bool(socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM))
    except OSError:
        return False


def _listens_on(family, address):
    try:
        with socket.socket(family) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


# Name: what it is, for the line that says why a test was left out; and whether it is here.
SURROUNDINGS = {
    "root": ("root", lambda: IS_ROOT),
    "other_users": ("root that may become other users and give files to them", lambda: IS_ROOT and _other_users()),
    "looks_into_others": ("to see the descriptors of other users' processes (CAP_SYS_PTRACE)", _looks_into_others),
    "own_mounts": ("mounts of its own (CAP_SYS_ADMIN)", lambda: own_mounts() is not None),
    "priority": ("to raise a priority (CAP_SYS_NICE)", _raises_priority),
    "localhost": ('an address for "localhost" (/etc/hosts)', lambda: _has_address("localhost")),
    "ipv6": ("IPv6", lambda: socket.has_ipv6 and _listens_on(socket.AF_INET6, "::1")),
}


@functools.cache
def can(name):
    """Whether the surroundings have what SURROUNDINGS calls so."""
    return SURROUNDINGS[name][1]()


# ---- time -------------------------------------------------------------------------------------------------

def limit(seconds):
    """A time limit in seconds, stretched for slow builds."""
    return seconds * SLOW


# A test waits for what it waits for: wait_until, Weir.wait_log, Connection.wait_taken. Where it sleeps, the name says why.

def take_time(seconds):
    """A client, an upstream or a crowd takes its time: how slow it is, is what the test is about."""
    time.sleep(seconds)


def let_pass(seconds):
    """A time that the configuration sets goes by, and there is nothing that tells its end."""
    take_time(seconds)


def watch(seconds):
    """See for so long what must not happen, or what is used while nothing does."""
    take_time(seconds)


def wait_until(holds, seconds, what):
    """Poll until holds() is true and return its value; fail with `what` after limit(seconds)."""
    deadline, pause = time.monotonic() + limit(seconds), 0.001  # most of what is waited for is nearly there
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {limit(seconds):g} s: {what}"
        take_time(pause)
        pause = min(2 * pause, 0.01)


# ---- processes --------------------------------------------------------------------------------------------

def adopt_orphans():
    """Make this process the parent of daemonised descendants, so that none is lost sight of."""
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def proc_field(pid, name):
    """A line of /proc/PID/status, without its name; None once the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return re.search(rf"^{name}:[ \t]*(.*)$", text, re.M)[1]


def open_files(pid):
    """The open descriptors of a process, and what each points to; one that it closes meanwhile is left out."""
    links = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return links


def alive(pid):
    state = proc_field(pid, "State")
    return state is not None and state[0] not in "ZX"


def children(pid):
    """The pids of the living children of a process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [child for child in map(int, text.split()) if alive(child)]


def descendants(pid):
    return [found for child in children(pid) for found in [child, *descendants(child)]]


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_weir(pid):
    try:
        return pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name == BINARY.name
    except OSError:
        return False


def turns(pid):
    """How often a process has gone to sleep: more than before when it has been awake in between."""
    return int(proc_field(pid, "voluntary_ctxt_switches"))


def kill_leftovers():
    """Kill by pid every server process still below this one and return the pids."""
    left = [pid for pid in descendants(os.getpid()) if is_weir(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    for pid in left:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass
    return left


# ---- ports ------------------------------------------------------------------------------------------------

def _port_sequence():
    """Ports below the ephemeral range, a thousand for each parallel test process, in an order of its own."""
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0)
    first = 10000 + 1000 * (worker % 20)
    start = random.randrange(1000)
    while True:
        for i in range(1000):
            yield first + (start + i) % 1000


_ports = _port_sequence()


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


# ---- HTTP clients -----------------------------------------------------------------------------------------

@dataclasses.dataclass
class Response:
    status: int
    reason: str
    headers: list  # of (lower-case name, value)
    body: bytes
    informational: list  # the 1xx status codes before it

    def header(self, name, default=None):
        return next((value for key, value in self.headers if key == name.lower()), default)

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class Incomplete(ConnectionError):
    """The server closed the connection in the middle of a response."""


def unread_bytes(local, remote):
    """How much an end of a TCP connection within 127.0.0.1, given by both ports, holds for its program; 0 if it is gone."""
    SOCK_DIAG_BY_FAMILY, NETLINK_SOCK_DIAG, NLM_F_REQUEST, ANY = 20, 4, 1, 0xffffffff
    loopback = socket.inet_aton("127.0.0.1")
    ends = struct.pack("!HH4s12x4s12x", local, remote, loopback, loopback) + struct.pack("=III", 0, ANY, ANY)
    question = struct.pack("=BBxxI", socket.AF_INET, socket.IPPROTO_TCP, ANY) + ends
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
            kernel.send(struct.pack("=IHHII", 16 + len(question), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0) + question)
            found = kernel.recv(4096)
        kind, = struct.unpack_from("=H", found, 4)
        if kind == SOCK_DIAG_BY_FAMILY:  # and else no such socket, or nobody who knows
            return struct.unpack_from("=I", found, 16 + 4 + len(ends) + 4)[0]
    except OSError:
        pass  # no such kernel: /proc has it too, in a list that may be long
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = tuple(int(end.split(":")[1], 16) for end in fields[1:3])
        if ports == (local, remote):
            return int(fields[4].split(":")[1], 16)
    return 0


def unsent_bytes(sock):
    """How much of what was given to a socket the other end's kernel has not confirmed."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Connection:
    """One client connection: raw bytes out, whole responses (checked by h11) in. Address: port or socket path."""

    def __init__(self, address, timeout=10, tls=None, name=None, session=None, options=(), source=None, is_plain=False):
        """tls: an ssl.SSLContext; name: the server's that is asked for; session: one to take up.

        options: (level, option, value) of the socket, set before it connects; source: an address to come from.
        is_plain: what is sent goes out as it is; and so it does in a test's own TLS, whatever WEIR_TEST_HTTP2 says.
        """
        translates = OVER_HTTP2 and not tls and not is_plain
        family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
        if OVER_TLS and not tls and address in TLS_PORTS:
            tls = tls_client()
        self.socket = socket.socket(family)
        self.socket.settimeout(limit(timeout))
        self.unread = b""
        try:
            for option in options:
                self.socket.setsockopt(*option)
            if source:
                self.socket.bind((source, 0))
            self.socket.connect(("127.0.0.1", address) if family == socket.AF_INET else str(address))
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname=name, session=session)
        except OSError:
            self.socket.close()
            raise
        if translates:
            self.socket = over_http2().Translated(self.socket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def end_writing(self):
        """Say that no more comes, and go on reading: over TLS as most clients do, with the end of TCP alone."""
        plain = self.socket.plain if OVER_HTTP2 and not isinstance(self.socket, socket.socket) else self.socket
        socket.socket.shutdown(plain, socket.SHUT_WR)  # an SSLSocket's own forgets how to read

    def begun(self):
        """Bytes of the next answer, once there are some; they stay."""
        self.unread = self.unread or self.socket.recv(1)
        return self.unread

    def wait_taken(self):
        """Until the server has read all that was sent over TCP; what the kernel has held back (RFC 896) has not even left."""
        try:
            (_, own), (_, server) = self.socket.getsockname(), self.socket.getpeername()
        except OSError:  # it has read, and closed
            return
        wait_until(lambda: not unsent_bytes(self.socket) and not unread_bytes(server, own), 5, "the server to read")

    def request(self, target, method="GET", headers=(), body=None):
        """Send one HTTP/1.1 request."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in headers)]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def response(self, method="GET"):
        """Read one response to a request of that method; bytes after it stay for the next call."""
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        informational, head, body, received = [], None, [], len(self.unread)
        if self.unread:
            parser.receive_data(self.unread)
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                raise Incomplete(f"{error} (after {received} bytes)") from None
            if event is h11.NEED_DATA:
                data = self.socket.recv(1 << 16)
                if not data and not received:
                    raise EOFError("closed without a response")
                received += len(data)
                parser.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                informational.append(event.status_code)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            else:
                break
        self.unread = parser.trailing_data[0]
        headers = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        return Response(head.status_code, head.reason.decode(), headers, b"".join(body), informational)

    def get(self, target, headers=()):
        self.request(target, headers=headers)
        return self.response()

    def until_close(self):
        """Every byte up to the end of the connection; a reset counts as an end."""
        data, self.unread = [self.unread], b""
        try:
            while data[-1] or len(data) == 1:
                data.append(self.socket.recv(1 << 16))
        except ConnectionResetError:
            pass
        return b"".join(data)

    def closed_within(self, seconds):
        """Seconds until the server closed the idle connection, or None if it did not."""
        start = time.monotonic()
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            return None
        assert data == b"", "bytes on an idle connection"
        return time.monotonic() - start


def fetch(address, target="/", method="GET", headers=(), body=None, timeout=10):
    """One request on a connection of its own."""
    with Connection(address, timeout) as connection:
        connection.request(target, method, [*headers, ("Connection", "close")], body)
        return connection.response(method)


def refused(port):
    """Whether nobody listens on the port."""
    try:
        Connection(port).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


class Load:
    """Closed-loop clients in the background: each sends its next request when the last one was answered.

    ok counts answers 200; failures holds (time, what) of everything else. A reused connection that ends before the
    first byte of an answer is no failure: RFC 9112 section 9.3.1 lets a client send again, which `retried` counts.
    """

    def __init__(self, port, target, clients, pause=0.0, keepalive=True):
        self.port, self.target, self.pause, self.keepalive = port, target, pause, keepalive
        self.answers, self.failures, self.retries = [], [], []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]

    ok = property(lambda self: len(self.answers))
    failed = property(lambda self: len(self.failures))
    retried = property(lambda self: len(self.retries))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def rate(self, seconds):
        """Answers 200 per second over the next so many seconds."""
        before, start = self.ok, time.monotonic()
        watch(seconds)
        return (self.ok - before) / (time.monotonic() - start)

    def failures_since(self, moment):
        return [what for when, what in self.failures if when > moment]

    def _client(self):
        connection = None
        while not self.stopping.is_set():
            reused = connection is not None
            try:
                connection = connection or Connection(self.port, timeout=30)
                connection.request(self.target, headers=() if self.keepalive else [("Connection", "close")])
                answer = connection.response()
            except (EOFError, ConnectionResetError, BrokenPipeError) as error:
                self._note(self.retries if reused else self.failures, error)
                answer = None
            except OSError as error:
                self._note(self.failures, error)
                answer = None
            if answer and answer.status == 200:
                self.answers.append(time.monotonic())
            elif answer:
                self._note(self.failures, answer)
            if connection and (not answer or "close" in answer.header("connection", "")):
                connection.close()
                connection = None
            if answer is None or self.pause:
                take_time(self.pause or 0.01)
        if connection:
            connection.close()

    @staticmethod
    def _note(where, what):
        where.append((time.monotonic(), repr(what)))


# ---- the server -------------------------------------------------------------------------------------------

def lines_with(pattern, text):
    return [line for line in text.splitlines() if pattern.search(line)]


class Weir:
    """One server in a folder of its own. Placeholders in configurations: {port}, {port2}, {port3}, {modules}, {tmp}."""

    def __init__(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-"))
        self.tmp.chmod(0o755)
        for folder in ("conf", "logs", "html"):
            (self.tmp / folder).mkdir(mode=0o755)
        self.conf = self.tmp / "conf/weir.conf"
        self.pid_file = self.tmp / "logs/weir.pid"
        self.error_log_file = self.tmp / "logs/error.log"
        self.stderr_file = self.tmp / "stderr"
        self.port, self.port2, self.port3 = free_port(), free_port(), free_port()
        self.process = None  # the child that was started; the master too, unless daemonised
        self.pid = None  # the master
        self.expected = []
        self.said = ""  # what run() wrote to stderr

    # -- files

    def fill(self, text):
        """The text with its placeholders replaced."""
        return re.sub(r"\{(port|port2|port3|modules|tmp)\}", lambda m: str(self.place(m[1])), text)

    def place(self, name):
        return MODULES if name == "modules" else getattr(self, name)

    def write(self, text, name="conf/weir.conf"):
        """Put a file below the server's folder; returns its path."""
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_name(path.name + ".new") if path == self.conf else path  # a reload may be reading it
        text = self.fill(text)
        if path == self.conf and OVER_TLS and " ssl" not in text:
            text = with_tls(text)
        if path == self.conf and OVER_HTTP2 and "http2" not in text:
            text = with_http2(text)
        whole.write_text(text)
        whole.chmod(0o644)
        return whole.replace(path)

    @property
    def error_log(self):
        return self.error_log_file.read_text(errors="replace") if self.error_log_file.exists() else ""

    @property
    def stderr(self):
        return self.stderr_file.read_text(errors="replace") if self.stderr_file.exists() else ""

    def expect_log(self, pattern):
        """Declare that serious lines matching the pattern may appear in the error log or on stderr."""
        self.expected.append(re.compile(pattern))

    def unexpected(self):
        """Sanitizer reports, and the serious lines of a started server that the test did not declare."""
        lines = lines_with(SANITIZER, self.error_log + self.stderr + self.said)
        if self.process:
            lines += lines_with(SERIOUS, self.error_log + self.stderr)
        return [line for line in lines if not any(pattern.search(line) for pattern in self.expected)]

    def wait_log(self, pattern, seconds=3):
        """Wait for a match in the error log and return it."""
        return wait_until(lambda: re.search(pattern, self.error_log), seconds, f"{pattern!r} in the error log")

    # -- life

    def command(self, *args, binary=None):
        return [str(binary or BINARY), "-p", str(self.tmp), "-c", "conf/weir.conf", "-e", "logs/error.log", *args]

    def run(self, *args, conf=None, binary=None, **options):
        """Run the program to its end with more arguments; returns its exit code, stdout and stderr."""
        if conf is not None:
            self.write(conf)
        result = subprocess.run(self.command(*args, binary=binary), capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, timeout=limit(15), **options)
        self.said += result.stderr
        return result

    def mistakes(self, conf):
        """What -t finds wrong with a configuration, which it must refuse: the message and the line of each error."""
        result = self.run("-t", conf=conf)
        found = re.findall(rf"^weir: \[emerg\] (.*) in {re.escape(str(self.conf))}:(\d+)$", result.stderr, re.M)
        assert result.returncode == 1 and "test is successful" not in result.stderr, result.stderr
        assert 0 < len(found) == result.stderr.count("[emerg]"), result.stderr
        self.expected += [re.compile(re.escape(message)) for message, _ in found]  # they are in the error log too
        return [(message, int(line)) for message, line in found]

    def mistake(self, conf, place):
        """The message of the one mistake of a configuration, which is where this text begins."""
        [(message, line)] = self.mistakes(conf)
        assert line == self.line_of(place), (line, message)
        return message

    def line_of(self, text):
        """The number of the first line of the configuration that has a text, or the first line of one."""
        first = self.fill(text).lstrip().split("\n")[0]
        return next(number for number, line in enumerate(self.conf.read_text().splitlines(), 1) if first in line)

    def launch(self, conf=None, directives="daemon off;", trampoline=(), **options):
        """Start the program without waiting for anything."""
        self.write(conf if conf is not None else config())
        args = ["-g", directives] if directives else []
        with open(self.stderr_file, "ab") as stderr:
            self.process = subprocess.Popen([*trampoline, *self.command(*args)], stdin=subprocess.DEVNULL,
                                            stdout=stderr, stderr=stderr, **options)
        self.pid = self.process.pid
        return self

    def start(self, conf=None, daemon=False, address=None, **options):
        """Start the program, as a daemon if asked, and wait until it accepts connections and a worker answers."""
        self.launch(conf, directives=None if daemon else "daemon off;", **options)
        if daemon:
            assert self.process.wait(limit(10)) == 0, self.stderr
            self.pid = wait_until(self.read_pid_file, 5, "a pid file")
        wait_until(lambda: self.accepts(address or self.port), 10, "a server that accepts")
        fetch(address or self.port, "/status")
        return self

    def accepts(self, address):
        assert alive(self.pid), f"the server is gone: {self.stderr}\n{self.error_log}"
        try:
            Connection(address).close()
        except OSError:
            return False
        return True

    def read_pid_file(self):
        try:
            return int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def signal(self, number, pid=None):
        os.kill(pid or self.pid, number)

    def wait_exit(self, seconds=5):
        """Wait until the master has ended; returns its exit code."""
        wait_until(lambda: self._ended() is not None, seconds, f"the end of process {self.pid}")
        return self._ended()

    def _ended(self):
        if self.pid == self.process.pid:
            return self.process.poll()
        try:  # an adopted daemon
            done, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return None if alive(self.pid) else 0
        return os.waitstatus_to_exitcode(status) if done else None

    def stop(self, seconds=5):
        """TERM and wait; returns the exit code."""
        if self._ended() is None:
            self.signal(signal.SIGTERM)
        return self.wait_exit(seconds)

    def discard(self):
        """Remove the folder, unless WEIR_TEST_KEEP asks to keep it."""
        if not os.environ.get("WEIR_TEST_KEEP"):
            shutil.rmtree(self.tmp, ignore_errors=True)

    # -- what it serves and says

    def connect(self, port=None, timeout=10, **tls):
        return Connection(port or self.port, timeout, **tls)

    def get(self, target="/", port=None, **options):
        return fetch(port or self.port, target, **options)

    def status(self, port=None):
        """The status document."""
        answer = self.get("/status?format=json", port=port)
        assert answer.status == 200, answer
        return answer.json()

    def pool(self, name="default"):
        return self.status()["pools"][name]

    def worker_pids(self):
        """The living children of the master, as a set."""
        return set(children(self.pid))

    def wait_workers(self, count, seconds=5):
        """Wait until the status lists exactly so many workers and the master has no other child."""
        def settled():
            pids = {worker["pid"] for worker in self.status()["workers"] if worker["state"] == "running"}
            return pids if len(pids) == count and pids == self.worker_pids() else None
        return wait_until(settled, seconds, f"{count} workers")

    def wait_dead(self, pids, seconds):
        wait_until(lambda: not any(map(alive, pids)), seconds, f"the end of {sorted(pids)}")

    def reload(self, conf=None, port=None):
        """HUP, with a new configuration if given; waits until the status counts it and returns its reload part."""
        def counted():
            now = self.status(port)["reload"]
            return now if (now["count"], now["failed"]) != (before["count"], before["failed"]) else None
        before = self.status(port)["reload"]
        if conf is not None:
            self.write(conf)
        self.signal(signal.SIGHUP)
        return wait_until(counted, 10, "the reload in the status")


# ---- start-up helpers -------------------------------------------------------------------------------------

def with_listen_fds(sockets, pid=None):
    """A trampoline that hands over listening sockets as systemd does: fds from 3 on, LISTEN_FDS, LISTEN_PID."""
    code = ("import os, sys\n"
            "fds = list(map(int, sys.argv[1].split(',')))\n"
            "spare = [os.dup(fd) for fd in fds]\n"
            "while min(spare) < 3 + len(fds): spare = [os.dup(fd) for fd in spare]\n"
            "for i, fd in enumerate(spare): os.dup2(fd, 3 + i)\n"
            "for fd in spare: os.close(fd)\n"
            "os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=sys.argv[2] or str(os.getpid()))\n"
            "os.execv(sys.argv[3], sys.argv[3:])\n")
    return dict(trampoline=[sys.executable, "-c", code, ",".join(str(s.fileno()) for s in sockets), str(pid or "")],
                pass_fds=[s.fileno() for s in sockets])


def without_capabilities(*numbers):
    """A trampoline that drops capabilities for good: root that may not do everything."""
    code = ("import ctypes, os, sys\n"
            "for cap in sys.argv[1].split(','): ctypes.CDLL(None).prctl(24, int(cap), 0, 0, 0)\n"
            "os.execv(sys.argv[2], sys.argv[2:])\n")
    return dict(trampoline=[sys.executable, "-c", code, ",".join(map(str, numbers))])
