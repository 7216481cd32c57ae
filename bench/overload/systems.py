"""The servers that are loaded: weir with and without a limit, and proxies that limit a backend of 10 ms.

A Front is one running server (and the backend behind it, if it is a proxy), a context manager as servers.Server is.
All of them may have 64 requests at work at once; what more there is they queue or refuse in the way they have.
"""

import contextlib
import http.client
import json
import os
import pathlib
import resource
import subprocess
import time
from dataclasses import dataclass

from servers import MAX_FILES, NGINX_HTTP, START_TIMEOUT_S, BenchError, Server, free_port, read_stat

TOP = pathlib.Path(__file__).resolve().parents[2]
SOURCE = TOP / "bench" / "overload"
BUILD = TOP / "build" / "bench"
CFLAGS = ["-O2", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", f"-I{TOP}"]
PROGRAMS = {"load": ("load.c", "client.c", "stats.c"), "backend": ("backend.c",)}

PERMITS = 64
SERVICE_MS = 10
CAPACITY = PERMITS * 1000 // SERVICE_MS
QUEUE_TIMEOUT_MS = 20
ZONE = f"limit={PERMITS} queue={PERMITS} queue_timeout={QUEUE_TIMEOUT_MS}ms"
THREADS = f"{PERMITS}..{4 * PERMITS}"

# nginx and weir share what stands here. Neither logs: a line for each refusal would be measured as well.
CONF = """\
daemon off;
{user}
worker_processes {workers};
worker_rlimit_nofile {max_files};
pid {dir}/pid;
error_log {dir}/error.log crit;
{main}
events {{ worker_connections {max_files}; }}
http {{
    access_log off;
    default_type text/plain;
    tcp_nodelay on;
    keepalive_timeout 65;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {server}
    }}
}}
"""

WEIR_MAIN = "load_module {modules}/demo.so; thread_pool default threads={threads} max_queue=65536;"
WEIR_SERVER = """\
location /sleep {{ handler sleep; {normal} }}
        location /low {{ handler sleep; {low} }}
        location /high {{ handler sleep; {high} }}
        location = /status {{ status; }}"""

PROXY_HTTP = """\
limit_conn_zone $server_addr zone=api:1m;
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 1000000000; }}"""
PROXY_SERVER = """\
location / {{
            limit_conn api {permits};
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}"""

HAPROXY_CONF = """\
global
    maxconn {maxconn}
    nbthread 1
defaults
    mode http
    timeout client 65s
    timeout server 65s
    timeout connect 5s
    timeout queue {queue_timeout}ms
frontend front
    bind 127.0.0.1:{port} backlog 4096
    default_backend back
backend back
    http-reuse always
    http-request set-priority-class int(-100) if {{ req.hdr(X-Priority) high }}
    http-request deny deny_status 503 if {{ queue(back) ge {permits} }} !{{ req.hdr(X-Priority) high }}
    server one 127.0.0.1:{backend} maxconn {permits}
"""


@dataclass(frozen=True)
class System:
    """A program and how it is set up; zone None: weir without a limit."""
    name: str
    kind: str  # "weir", "nginx" or "haproxy"
    about: str
    workers: int = 1
    zone: str = None
    threads: str = THREADS


SYSTEMS = {system.name: system for system in (
    System("weir-1", "weir", f"1 worker, {ZONE}", 1, ZONE),
    System("weir-2", "weir", f"2 workers, {ZONE}", 2, ZONE),
    System("weir-codel", "weir", "1 worker, queue=1024, policy=codel", 1,
           f"limit={PERMITS} queue=1024 queue_timeout=1s policy=codel"),
    System("weir-pool", "weir", f"1 worker, no limit: {PERMITS} threads and the queue of their pool", 1, None,
           str(PERMITS)),
    System("nginx", "nginx", f"1 worker, limit_conn {PERMITS} before a backend of {SERVICE_MS} ms"),
    System("haproxy", "haproxy", f"1 thread, maxconn {PERMITS}, queue of {PERMITS} for {QUEUE_TIMEOUT_MS} ms, "
                                 "before the same backend"),
)}


def build(program):
    """Compiles load or backend; returns its path."""
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"overload-{program}"
    command = ["gcc", *CFLAGS, *(SOURCE / name for name in PROGRAMS[program]), "-o", path, "-lm"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise BenchError(f"building {program} failed:\n{run.stderr.strip()}")
    return path


def fetch(port, path):
    """(status, body) of one GET on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Backend:
    """The C program that answers after 10 ms, running."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen([BUILD / "overload-backend", str(self.port), str(SERVICE_MS)],
                                        stdin=subprocess.DEVNULL)

    def most(self):
        """How many requests it had at once at most since this was asked before."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return int(fetch(self.port, "/most")[1].split()[1])
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"the backend does not answer: {error}") from error
                time.sleep(0.02)

    def cpu_total(self):
        utime, stime = read_stat(self.process.pid)[11:13]
        return (int(utime) + int(stime)) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Front(Server):
    """The server that the load goes to. Its CPU time is its own, without the backend's."""

    def __init__(self, system, program):
        super().__init__(system.name, program, {})
        self.setup = system
        self.backend = None

    def _write_files(self):
        if self.setup.kind != "weir":
            self.backend = Backend()
            self.backend.most()
        (self.dir / "conf").write_text(self._conf(), encoding="ascii")

    def _conf(self):
        if self.setup.kind == "haproxy":
            return HAPROXY_CONF.format(maxconn=MAX_FILES // 4, queue_timeout=QUEUE_TIMEOUT_MS, port=self.port,
                                       permits=PERMITS, backend=self.backend.port)
        parts = self._weir_parts() if self.setup.kind == "weir" else self._nginx_parts()
        # As the server bench does it: as root a worker would give up its rights and could not read the folder.
        return CONF.format(user="user root;" if os.geteuid() == 0 else "", workers=self.setup.workers,
                           max_files=MAX_FILES, dir=self.dir, port=self.port, **parts)

    def _weir_parts(self):
        zone, limits = "", dict.fromkeys(("low", "normal", "high"), "")
        if self.setup.zone:
            zone = f"limit_concurrency_zone api {self.setup.zone};"
            limits = {priority: f"limit_concurrency api priority={priority};" for priority in limits}
        main = WEIR_MAIN.format(modules=self.program.parent / "modules", threads=self.setup.threads)
        return {"main": main, "http": zone, "server": WEIR_SERVER.format(**limits)}

    def _nginx_parts(self):
        folders = NGINX_HTTP.format(dir=self.dir)
        return {"main": "", "http": folders + PROXY_HTTP.format(backend=self.backend.port),
                "server": PROXY_SERVER.format(permits=PERMITS)}

    def _start(self):
        if self.setup.kind != "haproxy":
            super()._start()
            return
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen([self.program, "-db", "-f", self.dir / "conf"],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def __exit__(self, *exception):
        super().__exit__(*exception)
        if self.backend:
            self.backend.stop()

    def cpu_total(self):
        return sum(self.cpu_seconds())

    def concurrency(self):
        """What weir's status says of the zone; None for other systems, and without a zone."""
        if self.setup.kind != "weir" or not self.setup.zone:
            return None
        return json.loads(fetch(self.port, "/status?format=json")[1])["concurrency"]["api"]


@contextlib.contextmanager
def running_load(port, **options):
    """The load generator while the block lasts; what it says can be read from its stdout, from "began" on."""
    command = [BUILD / "overload-load", f"port={port}", *(f"{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise
        if process.wait():
            raise BenchError(f"the load generator ended with code {process.returncode}")


def busy_seconds():
    """What the machine's cores have worked so far, for anyone, time stolen by other machines included."""
    fields = pathlib.Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def our_seconds(front):
    """What this program, the load generators that have ended, the server and its backend have worked so far."""
    ours = sum(sum(resource.getrusage(whose)[:2]) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return ours + front.cpu_total() + (front.backend.cpu_total() if front.backend else 0)


def load(front, **options):
    """Loads a server. Returns the load generator's figures by name, the server's cpu_seconds, and others: the share
    of a core, in percent, that went to programs which have no part in this, the warm-up included."""
    begun, foreign = time.monotonic(), busy_seconds() - our_seconds(front)
    with running_load(front.port, **options) as process:
        process.stdout.readline()  # the warm-up is over
        before = front.cpu_total()
        lines = process.stdout.read().splitlines()
        spent = front.cpu_total() - before
    foreign = busy_seconds() - our_seconds(front) - foreign
    return {"cpu_seconds": spent, "others": 100 * foreign / (time.monotonic() - begun),
            **{name: float(value) for name, value in (line.split() for line in lines)}}
