"""Applications of other languages: php-fpm behind fastcgi_pass beside nginx, WSGI by handler process beside uWSGI, Lua beside C, PostgreSQL beside pgbench; all with one worker."""

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
METRICS = {"cpu": Metric("us each", 1, "less"), "rate": Metric("a second", 0, "more"), "p99": Metric("ms", 2, "less"), "failed": Metric("requests", 0, "less")}

FPM_CONF = """[global]
error_log = {dir}/fpm.log
daemonize = no
[www]
listen = {dir}/fpm.sock
listen.mode = 0666
user = nobody
group = nogroup
pm = static
pm.max_children = 4
"""
HELLO_PHP = "<?php header('Content-Type: text/plain'); echo 'hello';"
HELLO_PY = """
import time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
HELLO_LUA = "return function(r) r:set_header('Content-Type', 'text/plain') return 'hello' end"
FASTCGI = """location /hello { fastcgi_pass php; fastcgi_keep_conn on; fastcgi_param SCRIPT_FILENAME {dir}/www/hello.php;
    fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string; fastcgi_param REDIRECT_STATUS 200; }"""
UPSTREAM = "upstream php { server unix:{dir}/fpm.sock; keepalive 3; }"
PROCESS = "location / { handler process python3 {shim} hello:application dir={dir}/www processes={count} pool=app; }"


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
    """The same application by processes of weir's, or by uWSGI."""

    def __init__(self, system, program):
        shim = PROCESS.replace("{shim}", str(TOP / "etc" / "wsgi.py")).replace("{count}", str(PROCESSES))
        super().__init__(system, program, {"hello.py": HELLO_PY.encode()}, server=shim, main=f"thread_pool app threads={PROCESSES} max_queue=1000;")

    def _start(self):
        if self.system == "weir":
            super()._start()
            return
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen([self.program, "--http11-socket", f"127.0.0.1:{self.port}", "--plugin", "python3", "--chdir", self.dir / "www", "--module", "hello",
                                             "--master", "--processes", str(PROCESSES), "--listen", "100", "--disable-logging", "--die-on-term"],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)


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


def load(server, seconds, path):
    run_wrk(server.port, path, CLIENTS, WARM_UP_S)
    before = tree_cpu(server.process.pid)
    found = run_wrk(server.port, path, CLIENTS, seconds)
    return {"cpu": (tree_cpu(server.process.pid) - before) / found["requests"] * 1e6, "rate": found["requests"] / (found["duration_us"] / 1e6),
            "p99": found["p99_us"] / 1e3, "failed": found["refused"] + found["socket_errors"]}


@dataclass(frozen=True)
class Workload:
    name: str
    about: str
    make: type
    path: str
    systems: tuple
    pairs: tuple
    load: typing.Callable = load


WORKLOADS = (
    Workload("fastcgi", f"hello from php-fpm, {CLIENTS} clients; CPU of the server alone", Php, "/hello", ("weir", "nginx"), (Pair("weir", "nginx", 0.95),)),
    Workload("wsgi", f"hello in Python, {PROCESSES} processes, {CLIENTS} clients; CPU with the application's", Wsgi, "/", ("weir", "uwsgi"), (Pair("weir", "uwsgi", 1.0),)),
    Workload("lua", f"hello by a handler, {CLIENTS} clients", Hello, "/", ("lua", "c"), (Pair("lua", "c", 1 / 0.7),)),
    Workload("pgsql", f"a lookup by key, {CONNECTIONS} connections", Database, "/?aid=77", ("weir", "pgbench"), (Pair("weir", "pgbench", 1 / 0.9),), load_database),
    Workload("wsgi-sleep", f"10 ms of sleep in Python, {PROCESSES} processes, {CLIENTS} clients", Wsgi, "/sleep", ("weir", "uwsgi"), (Pair("weir", "uwsgi", 1.0),)),
)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"Workloads: {' '.join(workload.name for workload in WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load in each round")
    parser.add_argument("--only", metavar="NAME", default="", help="workloads whose name begins so")
    parser.add_argument("--weir", default=TOP / "build" / "weir", type=pathlib.Path)
    parser.add_argument("--nginx", default=TOP / "build" / "tools" / "nginx", type=pathlib.Path)
    options = parser.parse_args()
    options.programs = {"weir": options.weir.absolute(), "c": options.weir.absolute(), "lua": options.weir.absolute(), "pgbench": options.weir.absolute(), "nginx": options.nginx.absolute(), "uwsgi": shutil.which("uwsgi")}
    for program in (*options.programs.values(), FPM):
        if not program or not os.access(program, os.X_OK):
            raise BenchError("a program is missing: run make bench-handlers")
    return options


def main():
    options = parse_options()
    require_wrk()
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
