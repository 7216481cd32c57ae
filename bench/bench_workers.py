#!/usr/bin/python3
"""Blocking handlers over several workers: is any thread idle while requests wait? Beside uWSGI and Puma.

A handler sleeps for 20 ms. "full": keep-alive clients, exactly as many as there are threads in all, each of which asks again as
soon as it is answered; a server that uses every thread reaches a share of 1 of what is possible. "open": requests come
at a rate of their own over 32 kept connections. "one" is one process with all threads: the single queue that many workers are to be
as good as. "stopped": all clients have connected while only one worker ran. Each round measures every system once, each in a
fresh server, one right after the other.
"""

import argparse
import contextlib
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from overload.systems import build, running_load
from rounds import Metric, Pair, report
from servers import MAX_FILES, BenchError, Server, raise_file_limit, run

TOP = pathlib.Path(__file__).resolve().parent.parent
SERVICE_MS = 20
PATH = f"/sleep?ms={SERVICE_MS}"
SETTLE_S = 0.3
ALL_RUN_S = 0.2
CONNECTIONS = 32
STOPPED = "stopped"

METRICS = {"share": Metric("of what is possible", 3, "more"), "least": Metric("of what is possible", 3, "more"),
           "p50": Metric("ms", 2, "less"), "p99": Metric("ms", 2, "less"), "cpu": Metric("us/request", 1, "less"),
           "lost": Metric("requests", 0, "less")}

WEIR = """\
daemon off;
{user}
worker_processes {workers};
pid {dir}/pid;
error_log {dir}/error.log crit;
load_module {modules}/demo.so;
thread_pool default threads={threads} max_queue=65536;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    server {{ listen 127.0.0.1:{port} backlog=4096; location /sleep {{ handler sleep; }} }}
}}
"""

WSGI = """\
import time

def application(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"].partition("=")[2] or 0) / 1000)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\\n"]
"""

RACK = """\
run lambda { |env|
  sleep(env["QUERY_STRING"].partition("=")[2].to_f / 1000)
  [200, {"content-type" => "text/plain"}, ["ok\\n"]]
}
"""


class Pooled(Server):
    """A server of so many processes with so many threads each."""

    def __init__(self, system, program, workers, threads):
        super().__init__(system, program, {})
        self.processes, self.threads = workers, threads

    def _write_files(self):
        user = "user root;" if os.geteuid() == 0 else ""
        (self.dir / "conf").write_text(WEIR.format(
            user=user, workers=self.processes, threads=self.threads, dir=self.dir, port=self.port,
            modules=self.program.parent / "modules"), encoding="ascii")
        (self.dir / "app.py").write_text(WSGI, encoding="ascii")
        (self.dir / "config.ru").write_text(RACK, encoding="ascii")

    def _command(self):
        address = f"127.0.0.1:{self.port}"
        if self.system == "uwsgi":
            return ["--plugin", "python3", "--http11-socket", address, "--wsgi-file", self.dir / "app.py", "--master", "--processes",
                    self.processes, "--threads", self.threads, "--disable-logging", "--die-on-term", "--listen", 128]
        if self.system == "puma":
            return ["-w", self.processes, "-t", f"{self.threads}:{self.threads}", "-b", f"tcp://{address}", "-q", "-e", "production",
                    self.dir / "config.ru"]
        return ["-p", f"{self.dir}/", "-c", self.dir / "conf"]

    def _start(self):
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen([self.program, *map(str, self._command())], stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=output, cwd=self.dir)

    @contextlib.contextmanager
    def one_runs(self):
        """All workers but one stand still until the block calls what it is given."""
        others = sorted(self.workers())[1:]

        def go_on():
            while others:
                os.kill(others.pop(), signal.SIGCONT)
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield go_on
        finally:
            go_on()


@dataclass(frozen=True)
class Workload:
    name: str
    about: str
    workers: int
    threads: int
    options: dict
    systems: tuple
    pairs: tuple

    def measure(self, system, programs, seconds):
        kind = "weir" if system in ("one", "weir", STOPPED) else system
        shape = (1, self.workers * self.threads) if system == "one" else (self.workers, self.threads)
        with Pooled(kind, programs[kind], *shape) as server:
            server.check(PATH, None)
            time.sleep(SETTLE_S)
            with contextlib.ExitStack() as stack:
                go_on = stack.enter_context(server.one_runs()) if system == STOPPED else lambda: None
                load = stack.enter_context(running_load(server.port, path=PATH, seconds=seconds, **self.options))
                load.stdout.readline()  # each client has been answered once
                go_on()
                time.sleep(ALL_RUN_S)
                before = server.cpu()
                figures = {name: float(value) for name, value in (line.split() for line in load.stdout.read().splitlines())}
                spent = server.cpu() - before
        return self.sample(figures, spent, seconds)

    def sample(self, figures, spent, seconds):
        possible = self.workers * self.threads * 1000 / SERVICE_MS
        lost = figures["errors"] + figures["unsent"] + figures["reconnects"]
        values = {"cpu": spent / max(figures["goodput"] * seconds, 1) * 1e6, "lost": lost}
        if self.options["mode"] == "closed":
            return {"share": figures["goodput"] / possible, **values}
        return {"p50": figures["p50"], "p99": figures["p99"], **values}


def full(workers, threads):
    clients = workers * threads
    return Workload(f"full{workers}x{threads}", f"{clients} clients on {workers} workers with {threads} threads each", workers, threads,
                    {"mode": "closed", "clients": clients}, ("one", "weir", STOPPED, "uwsgi", "puma"),
                    (Pair("weir", "one"), Pair(STOPPED, "one"), Pair("weir", "uwsgi"), Pair("weir", "puma")))


def open_loop(percent, workers=4, threads=4):
    rate = workers * threads * 1000 / SERVICE_MS * percent / 100
    return Workload(f"open{percent}", f"{rate:g} requests a second, {percent} % of {workers} x {threads} threads", workers, threads,
                    {"mode": "open", "rate": rate, "connections": CONNECTIONS}, ("one", "weir", "uwsgi", "puma"),
                    (Pair("weir", "one", 1.15), Pair("weir", "uwsgi"), Pair("weir", "puma")))


WORKLOADS = (full(2, 4), full(4, 4), full(4, 2), *(open_loop(percent) for percent in (50, 80, 95)))


def run_workload(workload, options):
    samples = {name: [] for name in workload.systems if options.systems is None or name in options.systems}
    for number in range(1, options.rounds + 1):
        for name, rounds in samples.items():
            sample = workload.measure(name, options.programs, options.seconds)
            rounds.append(sample)
            values = "  ".join(f"{metric} {value:.4g}" for metric, value in sample.items())
            print(f"{workload.name} round {number}/{options.rounds} {name}: {values}", file=sys.stderr, flush=True)
    for rounds in samples.values():
        for sample in rounds if "share" in rounds[0] else ():
            sample["least"] = min(each["share"] for each in rounds)
    return samples


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog=f"Workloads: {' '.join(workload.name for workload in WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each workload (default 5)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of load in each round (default 4)")
    parser.add_argument("--only", metavar="NAME", default="", help="workloads whose name begins so")
    parser.add_argument("--systems", type=lambda text: text.split(","), help="of one,weir,stopped,uwsgi,puma (default: all)")
    parser.add_argument("--weir", default=TOP / "build" / "weir", type=pathlib.Path, metavar="PATH")
    options = parser.parse_args()
    options.programs = {"weir": options.weir.absolute(), **{name: shutil.which(name) for name in ("uwsgi", "puma")}}
    for name, program in options.programs.items():
        wanted = options.systems is None or name in options.systems or name == "weir"
        if wanted and not (program and os.access(program, os.X_OK)):
            raise BenchError(f"{name} is not there: run make bench-pool-workers, which installs it")
    return options


def main():
    options = parse_options()
    raise_file_limit(MAX_FILES)
    build("load")
    head = [f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores; {options.rounds} rounds of {options.seconds} s"]
    chosen = [workload for workload in WORKLOADS if workload.name.startswith(options.only)]
    report("workers", head, [(workload, run_workload(workload, options)) for workload in chosen], METRICS)


if __name__ == "__main__":
    run(main)
