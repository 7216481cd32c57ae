"""Applications of other languages: php-fpm behind fastcgi_pass beside nginx, Flask by handler process beside uWSGI, nginx before uWSGI and
gunicorn, Lua beside C, PostgreSQL beside pgbench; all with one worker."""

import argparse
import contextlib
import math
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time
import typing
from dataclasses import dataclass

from clients import require_wrk, run_wrk
from overload.systems import build, running_load
from rounds import Metric, Pair, report
from servers import BenchError, Server, process_tree, raise_file_limit, read_stat, run

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(TOP / "tests/functional/lib"))
from postgres import Postgres, programs  # noqa: E402
FPM = "/usr/sbin/php-fpm8.2"
PROCESSES = 2
CLIENTS = 16
CONNECTIONS = 8
WARM_UP_S = 1
MAX_FILES = 20000
QUEUE_TIMEOUT_MS = 100
METRICS = {"cpu": Metric("us each", 1, "less"), "rate": Metric("a second", 0, "more"), "goodput": Metric("of what is possible", 3, "more"), "p99": Metric("ms", 2, "less"),
           "failed": Metric("requests", 0, "less")}

FPM_CONF = """[global]
error_log = {dir}/fpm.log
daemonize = no
[www]
listen = {dir}/fpm.sock
listen.mode = 0666
user = nobody
group = nogroup
pm = static
pm.max_children = 16
"""
HELLO_PHP = "<?php header('Content-Type: text/plain'); echo 'hello';"
HELLO_PY = """
import time
from flask import Flask
application = Flask(__name__)
@application.get("/")
def hello():
    return "hello"
@application.get("/sleep")
def sleep():
    time.sleep(0.01)
    return "slept"
@application.get("/work")
def work():
    until = time.perf_counter() + 0.005
    while time.perf_counter() < until:
        pass
    return "worked"
"""
HELLO_LUA = "return function(r) r:set_header('Content-Type', 'text/plain') return 'hello' end"
FASTCGI = """location /hello { fastcgi_pass php; fastcgi_keep_conn on; fastcgi_param SCRIPT_FILENAME {dir}/www/hello.php;
    fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string; fastcgi_param REDIRECT_STATUS 200; }"""
UPSTREAM = "upstream php { server unix:{dir}/fpm.sock; keepalive 16; }"
PROCESS = f"location / {{ handler process python3 {TOP}/etc/wsgi.py hello:application dir={{dir}}/www processes={{count}} pool=app; }}"
UWSGI = ("--plugin", "python3", "--module", "hello", "--master", "--listen", "100", "--disable-logging", "--die-on-term")
UWSGI_NAMES = ("REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "CONTENT_TYPE", "CONTENT_LENGTH")
UWSGI_VARIABLES = ("request_method", "request_uri", "document_uri", "query_string", "server_protocol", "server_name", "server_port", "remote_addr", "content_type", "content_length")
UWSGI_PASS = "location / { uwsgi_pass unix:{dir}/uwsgi.sock; " + " ".join(f"uwsgi_param {name} ${variable};" for name, variable in zip(UWSGI_NAMES, UWSGI_VARIABLES)) + " }"


class Php(Server):
    """A server before a php-fpm of its own."""

    def __init__(self, system, program):
        super().__init__(system, program, {"hello.php": HELLO_PHP.encode()}, http=UPSTREAM, server=FASTCGI)
        self.fpm = None

    def _start(self):
        self.dir.chmod(0o755)
        (self.dir / "fpm.conf").write_text(FPM_CONF.replace("{dir}", str(self.dir)), encoding="ascii")
        self.fpm = subprocess.Popen([FPM, "-R", "-n", "-y", self.dir / "fpm.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            if (self.dir / "fpm.sock").exists():
                break
            time.sleep(0.01)
        super()._start()

    def _stop(self):
        super()._stop()
        if self.fpm:
            self.fpm.terminate()
            self.fpm.wait()


class Wsgi(Server):
    """One Flask application by processes of weir's, of uWSGI's, of uWSGI's behind nginx, or of gunicorn's with threads."""

    def __init__(self, system, program, processes=PROCESSES):
        self.processes = processes
        self.behind = None
        server = UWSGI_PASS if system == "nginx" else PROCESS.replace("{count}", str(processes))
        super().__init__(system, program, {"hello.py": HELLO_PY.encode()}, server=server,
                         main="" if system == "nginx" else f"thread_pool app threads={processes} max_queue=1000 queue_timeout={QUEUE_TIMEOUT_MS}ms;")

    def _open(self, *command):
        with open(self.dir / "output", "wb") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.dir / "www")

    def _start(self):
        count = ("--processes", str(self.processes))
        if self.system == "uwsgi":
            self.process = self._open(self.program, "--http11-socket", f"127.0.0.1:{self.port}", *UWSGI, *count)
        elif self.system == "gunicorn":
            self.process = self._open(self.program, "--worker-class", "gthread", "--threads", "64", "--workers", str(self.processes), "--bind", f"127.0.0.1:{self.port}",
                                      "--keep-alive", "10", "hello:application")
        else:
            if self.system == "nginx":
                self.behind = self._open(shutil.which("uwsgi"), "--socket", self.dir / "uwsgi.sock", *UWSGI, *count)
                while not (self.dir / "uwsgi.sock").exists():
                    time.sleep(0.01)
            super()._start()

    def _stop(self):
        super()._stop()
        if self.behind:
            self.behind.terminate()
            self.behind.wait()


def wsgi_of(processes):
    return lambda system, program: Wsgi(system, program, processes)


class Hello(Server):
    """The same answer by a handler in C and by one in Lua."""

    def __init__(self, system, program):
        folder = program.parent
        main = f"load_module {{dir}}/hello.so; load_module {folder}/modules/lua.so; thread_pool default threads={PROCESSES} max_queue=1000;"
        server = "location / { handler hello; }" if system == "c" else "location / { handler lua {dir}/www/hello.lua; }"
        super().__init__(system, program, {"hello.lua": HELLO_LUA.encode()}, kind="weir", main=main, server=server)

    def _start(self):
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", f"-I{self.program.parent}/include", TOP / "bench/hello.c", "-o", self.dir / "hello.so"], check=True)
        super()._start()


class Database(Server):
    """A lookup by key, of weir's; or of pgbench with as many connections, which then is the load as well."""

    def __init__(self, system, program):
        self.postgres = None
        query = "select abalance from pgbench_accounts where aid = :aid::int"
        server = f'location / {{ handler pgsql "connection=host={{dir}}/pg user=weir dbname=postgres" "query={query}"; }}'
        super().__init__(system, program, {}, kind="weir", server=server,
                         main=f"load_module {program.parent}/modules/pgsql.so; thread_pool default threads={CONNECTIONS} max_queue=1000;")

    def _start(self):
        self.postgres = Postgres()
        subprocess.run([programs() / "pgbench", "-i", "-q", "-s", "1", "-h", self.postgres.folder, "-U", "weir", "postgres"], check=True, capture_output=True)
        os.symlink(self.postgres.folder, self.dir / "pg")
        super()._start()

    def _stop(self):
        super()._stop()
        if self.postgres:
            self.postgres.discard()


def load_database(server, seconds, path):
    if server.system == "weir":
        return load(server, seconds, path)
    command = [programs() / "pgbench", "-S", "-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", "1", "-T", str(seconds), "-h", server.postgres.folder, "-U", "weir", "postgres"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"tps = ([0-9.]+)", said)[1])
    return {"cpu": math.nan, "rate": rate, "p99": math.nan, "failed": 0}


def tree_cpu(pid):
    """Seconds of the process and of all that it has started."""
    ticks = 0
    for each in process_tree(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, read_stat(each)[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def cpu_of(server):
    behind = getattr(server, "behind", None)
    return tree_cpu(server.process.pid) + (tree_cpu(behind.pid) if behind else 0)


def load(server, seconds, path):
    run_wrk(server.port, path, CLIENTS, WARM_UP_S)
    before = cpu_of(server)
    found = run_wrk(server.port, path, CLIENTS, seconds)
    return {"cpu": (cpu_of(server) - before) / found["requests"] * 1e6, "rate": found["requests"] / (found["duration_us"] / 1e6),
            "p99": found["p99_us"] / 1e3, "failed": found["refused"] + found["socket_errors"]}


def overload(times):
    """So many times what the processes can do in their time, whatever becomes of it; p99 of what is answered, from when it should have been sent."""
    def load_by_rate(server, seconds, path):
        possible = server.processes * 1000 / SERVICE_MS[path]
        with running_load(server.port, mode="open", rate=possible * times, path=path, seconds=seconds, warmup=2, connections=1000) as process:
            process.stdout.readline()  # the warm-up is over
            found = {name: float(value) for name, value in (line.split() for line in process.stdout)}
        return {"cpu": math.nan, "rate": found["goodput"], "goodput": found["goodput"] / possible, "p99": found.get("p99", math.nan), "failed": found["errors"] + found["unsent"]}
    return load_by_rate


@dataclass(frozen=True)
class Workload:
    name: str
    about: str
    make: type
    path: str
    systems: tuple
    pairs: tuple
    load: typing.Callable = load


FRONTS = ("weir", "uwsgi", "nginx", "gunicorn")
SERVICE_MS = {"/sleep": 10, "/work": 5}
WORKLOADS = (
    Workload("fastcgi", f"hello from php-fpm, {CLIENTS} clients; CPU of the server alone", Php, "/hello", ("weir", "nginx"), (Pair("weir", "nginx", 0.95),)),
    Workload("wsgi", f"hello in Flask, {PROCESSES} processes, {CLIENTS} clients; CPU with the application's", Wsgi, "/", FRONTS, tuple(Pair("weir", peer, 1.0) for peer in FRONTS[1:])),
    Workload("lua", f"hello by a handler, {CLIENTS} clients", Hello, "/", ("lua", "c"), (Pair("lua", "c", 1 / 0.7),)),
    Workload("pgsql", f"a lookup by key, {CONNECTIONS} connections", Database, "/?aid=77", ("weir", "pgbench"), (Pair("weir", "pgbench", 1 / 0.9),), load_database),
    *(Workload(f"{path[1:]}-{times}x", f"{path[1:]} of {SERVICE_MS[path]} ms in Flask, {count} processes, {times} times what they can do", wsgi_of(count), path, FRONTS[:3],
               tuple(Pair("weir", peer, 1.0) for peer in FRONTS[1:3]), overload(times)) for path, count in (("/sleep", 8), ("/work", 1)) for times in (1, 2, 10)),
)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"Workloads: {' '.join(workload.name for workload in WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load in each round")
    parser.add_argument("--only", metavar="NAME", default="", help="workloads whose name begins so")
    parser.add_argument("--weir", default=TOP / "build" / "weir", type=pathlib.Path)
    parser.add_argument("--nginx", default=TOP / "build" / "tools" / "nginx", type=pathlib.Path)
    options = parser.parse_args()
    options.programs = {"weir": options.weir.absolute(), "c": options.weir.absolute(), "lua": options.weir.absolute(), "pgbench": options.weir.absolute(), "nginx": options.nginx.absolute(),
                        "uwsgi": shutil.which("uwsgi"), "gunicorn": shutil.which("gunicorn")}
    for program in (*options.programs.values(), FPM):
        if not program or not os.access(program, os.X_OK):
            raise BenchError("a program is missing: run make bench-handlers")
    return options


def main():
    options = parse_options()
    require_wrk()
    build("load")
    raise_file_limit(MAX_FILES)
    results = []
    for workload in WORKLOADS:
        if not workload.name.startswith(options.only):
            continue
        samples = {name: [] for name in workload.systems}
        for number in range(1, options.rounds + 1):
            for name, rounds in samples.items():
                with workload.make(name, options.programs[name]) as server:
                    rounds.append(workload.load(server, options.seconds, workload.path))
                print(f"{workload.name} round {number}/{options.rounds} {name}: {rounds[-1]}", file=sys.stderr, flush=True)
        results.append((workload, samples))
    head = [f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores; {options.rounds} rounds of {options.seconds} s"]
    report("handlers", head, results, METRICS)


if __name__ == "__main__":
    run(main)
