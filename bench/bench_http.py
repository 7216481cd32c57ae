#!/usr/bin/python3
"""weir beside nginx over HTTP: CPU per request, throughput, memory per idle connection, blocking handlers.

Each round measures every system once, each in a fresh server, one right after the other (A B A B ...): the noise of
the machine then falls on both, and their ratio within a round means more than either figure. bench/README.md says
how each figure is taken.
"""

import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from clients import IdleConnections, require_wrk, run_wrk
from servers import MAX_FILES, BenchError, Server, raise_file_limit, run

TOP = pathlib.Path(__file__).resolve().parent.parent
RESULTS = TOP / "build" / "bench" / "http.txt"

FILES = {"1k.txt": b"weir " * 204 + b"weir", "1m.txt": b"0123456789abcde\n" * 65536}
WARM_UP_S = 1
IDLE_COUNT = 10000
IDLE_WARM_UP = 64
IDLE_SETTLE_S = 1.5
SLEEP_THREADS = 64
SLEEP_MS = 10
SLEEP_IDEAL = SLEEP_THREADS * 1000 / SLEEP_MS

UNITS = {"cpu": "s/M", "user": "s/M", "rps": "req/s", "socket_errors": "errors", "memory": "bytes/conn",
         "before": "KiB", "after": "KiB", "goodput": "req/s", "share": "percent", "refused": "answers",
         "p50": "ms", "p99": "ms"}
DECIMALS = {"cpu": 2, "user": 2, "share": 1, "p50": 1, "p99": 1}  # in the table; 0 for the others


@dataclass(frozen=True)
class Target:
    """A bound for a metric, of weir's value itself or of its ratio to nginx's."""
    metric: str
    sign: str  # "<=" or ">="
    bound: float
    ratio: bool = True

    def met(self, value):
        return value <= self.bound if self.sign == "<=" else value >= self.bound

    def __str__(self):
        return f"{self.sign} {self.bound:g}{'x' if self.ratio else ''}"


@dataclass(frozen=True)
class Workload:
    """What is asked of a server, and what the report shows of it."""
    name: str
    about: str
    measure: callable  # (server, workload, seconds) -> {metric: value}
    path: str
    target: Target = None
    body: bytes = None  # the answer expected; None: any
    connections: int = 64
    depth: int = 1
    close: bool = False
    systems: tuple = ("weir", "nginx")
    shown: tuple = ("cpu", "user", "rps")


def measure_load(server, workload, seconds):
    """CPU of all server processes per million requests, and requests per second."""
    def load(duration):
        return run_wrk(server.port, workload.path, workload.connections, duration, workload.depth, workload.close)
    load(WARM_UP_S)
    user_before, kernel_before = server.cpu_seconds()
    result = load(seconds)
    user_after, kernel_after = server.cpu_seconds()
    if result["refused"]:
        raise BenchError(f"{server.system} {workload.name}: {result['refused']} answers of status 400 or more\n"
                         f"{server.log_tail()}")
    user = user_after - user_before
    millions = result["requests"] / 1e6
    return {"cpu": (user + kernel_after - kernel_before) / millions, "user": user / millions,
            "rps": result["requests"] / (result["duration_us"] / 1e6), "socket_errors": result["socket_errors"]}


def measure_idle(server, workload, _seconds):
    """Memory that each idle keep-alive connection adds to the server's processes."""
    with IdleConnections(server.port, workload.path, IDLE_WARM_UP):
        pass  # code and tables that any first connection brings in are not the cost of the others
    time.sleep(IDLE_SETTLE_S)
    before = server.memory_bytes()
    with IdleConnections(server.port, workload.path, workload.connections) as idle:
        time.sleep(IDLE_SETTLE_S)
        after = server.memory_bytes()
        if (still_open := idle.still_open()) != workload.connections:
            raise BenchError(f"{server.system}: only {still_open} of {workload.connections} connections stayed open\n"
                             f"{server.log_tail()}")
    return {"memory": (after - before) / workload.connections, "before": before / 1024, "after": after / 1024}


def measure_sleep(server, workload, seconds):
    """Answers 200 per second of a handler that blocks, as a share of what its threads could do."""
    run_wrk(server.port, workload.path, workload.connections, WARM_UP_S)  # the threads have started
    result = run_wrk(server.port, workload.path, workload.connections, seconds)
    goodput = (result["requests"] - result["refused"]) / (result["duration_us"] / 1e6)
    return {"goodput": goodput, "share": 100 * goodput / SLEEP_IDEAL, "p50": result["p50_us"] / 1e3,
            "p99": result["p99_us"] / 1e3, "refused": result["refused"], "socket_errors": result["socket_errors"]}


def sleep_workload(connections):
    return Workload(f"sleep{connections}", f"sleep {SLEEP_MS} ms, {SLEEP_THREADS} threads, {connections} connections",
                    measure_sleep, f"/sleep?ms={SLEEP_MS}", Target("share", ">=", 95, ratio=False),
                    connections=connections, systems=("weir",), shown=("goodput", "share", "p50", "p99"))


WORKLOADS = (
    Workload("return200", "return 200, 64 keep-alive connections", measure_load, "/return",
             Target("cpu", "<=", 1.0), b"ok\n"),
    Workload("file1k", "static file, 1 KiB", measure_load, "/1k.txt", Target("cpu", "<=", 0.6), FILES["1k.txt"]),
    Workload("file1m", "static file, 1 MiB", measure_load, "/1m.txt", None, FILES["1m.txt"]),
    Workload("pipelined", "return 200, pipelined 16 deep", measure_load, "/return",
             Target("rps", ">=", 4.0), b"ok\n", depth=16),
    Workload("newconn", "return 200, a new connection for each", measure_load, "/return",
             Target("cpu", "<=", 1.0), b"ok\n", close=True),
    Workload("idle", f"{IDLE_COUNT} idle keep-alive connections", measure_idle, "/return",
             Target("memory", "<=", 400, ratio=False), b"ok\n", connections=IDLE_COUNT,
             shown=("memory", "before", "after")),
    sleep_workload(64), sleep_workload(512), sleep_workload(2048),
)


def run_workload(workload, programs, rounds, seconds):
    """{system: [one {metric: value} for each round]}; systems take turns within each round."""
    systems = [system for system in programs if system in workload.systems]
    samples = {system: [] for system in systems}
    for number in range(1, rounds + 1):
        for system in systems:
            with Server(system, programs[system], FILES, with_sleep=workload.measure is measure_sleep) as server:
                server.check(workload.path, workload.body)
                sample = workload.measure(server, workload, seconds)
            samples[system].append(sample)
            values = "  ".join(f"{metric} {value:.6g}" for metric, value in sample.items())
            print(f"{workload.name} round {number}/{rounds} {system}: {values}", file=sys.stderr, flush=True)
    return samples


def run_all(workloads, programs, options):
    """[(workload, samples)] of those that went well, and the number of those that did not."""
    results, failures = [], 0
    for workload in workloads:
        try:
            results.append((workload, run_workload(workload, programs, options.rounds, options.seconds)))
        except BenchError as problem:
            failures += 1
            print(f"bench: {workload.name} failed: {problem}", file=sys.stderr, flush=True)
    return results, failures


def median(samples, metric):
    return statistics.median(sample[metric] for sample in samples)


def ratios(samples, metric):
    """weir's value over nginx's, round by round; empty if they were not both measured, or nginx's is 0."""
    pairs = zip(samples.get("weir", []), samples.get("nginx", []))
    return [ours[metric] / theirs[metric] for ours, theirs in pairs if theirs[metric]]


def machine_lines(results):
    """One line for each median: workload system metric value unit. Ratios have the system weir/nginx."""
    lines = []
    for workload, samples in results:
        for system, rounds in samples.items():
            lines += [f"{workload.name} {system} {metric} {median(rounds, metric):.6g} {UNITS[metric]}"
                      for metric in rounds[0]]
        for metric in workload.shown:
            if each := ratios(samples, metric):
                lines.append(f"{workload.name} weir/nginx {metric} {statistics.median(each):.4g} ratio")
    return lines


def verdict(target, samples, each_ratio):
    if "weir" not in samples or (target.ratio and not each_ratio):
        return "not measured"
    value = statistics.median(each_ratio) if target.ratio else median(samples["weir"], target.metric)
    return "met" if target.met(value) else "MISSED"


def table_row(workload, samples, metric):
    """weir, nginx, ratio with its range over the rounds, target and verdict of one metric."""
    def show(system):
        return f"{median(samples[system], metric):,.{decimals}f}" if system in samples else "-"
    decimals = DECIMALS.get(metric, 0)
    each = ratios(samples, metric)
    ratio = f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})" if each else "-"
    target = workload.target if workload.target and workload.target.metric == metric else None
    result = verdict(target, samples, each) if target else ""
    return (f"  {metric + ', ' + UNITS[metric]:<20} {show('weir'):>12} {show('nginx'):>12} "
            f"{ratio:>20}  {str(target or ''):<8} {result}").rstrip()


def table(results):
    lines = [f"  {'median':<20} {'weir':>12} {'nginx':>12} {'ratio (range)':>20}  target"]
    for workload, samples in results:
        lines += ["", f"{workload.name}: {workload.about}"]
        lines += [table_row(workload, samples, metric) for metric in workload.shown]
        for system, rounds in samples.items():
            if errors := sum(sample.get("socket_errors", 0) + sample.get("refused", 0) for sample in rounds):
                lines.append(f"  note: {errors} requests to {system} failed or were refused in {len(rounds)} rounds")
    return lines


def header(programs, options):
    """What the figures were taken with; comment lines for whoever compares two result files."""
    lines = [f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores, "
             f"load average before {os.getloadavg()[0]:.2f}; {options.rounds} rounds of {options.seconds} s"]
    for system, program in programs.items():
        run = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
        said = (run.stderr + run.stdout).splitlines() or ["no version text"]
        lines.append(f"# {system}: {said[0]}")
    return lines


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def parse_options():
    names = " ".join(workload.name for workload in WORKLOADS)
    parser = argparse.ArgumentParser(description="Measures weir beside nginx over HTTP.", epilog=f"Workloads: {names}")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of each workload (default 5)")
    parser.add_argument("--seconds", type=positive, default=4, help="seconds of load in each round (default 4)")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="workloads whose name begins so; may be given more than once")
    parser.add_argument("--systems", default="weir,nginx", help="weir,nginx (default) or one of them")
    parser.add_argument("--weir", default=TOP / "build" / "weir", type=pathlib.Path, metavar="PATH")
    parser.add_argument("--nginx", default=TOP / "build" / "tools" / "nginx", type=pathlib.Path, metavar="PATH")
    return parser.parse_args()


def chosen_programs(options):
    """{system: program}, each of which exists."""
    remedies = {"weir": "run make", **{name: f"run bench/fetch-tools.sh {name}" for name in ("nginx", "h2o")}}
    programs = {}
    for system in options.systems.split(","):
        if system not in remedies:
            raise BenchError(f"unknown system '{system}'; known: {', '.join(remedies)}")
        program = getattr(options, system)
        if not os.access(program, os.X_OK):
            raise BenchError(f"{program} is not there or cannot be run: {remedies[system]}")
        programs[system] = program.resolve()
    return programs


def chosen_workloads(options, programs):
    workloads = [workload for workload in WORKLOADS
                 if not options.only or any(workload.name.startswith(name) for name in options.only)]
    if not workloads:
        raise BenchError(f"no workload begins with {' or '.join(options.only)}; see --help")
    runnable = [workload for workload in workloads if set(workload.systems) & set(programs)]
    if not runnable:
        raise BenchError(f"none of these workloads is for {options.systems}")
    return runnable


def report(head, results):
    """Machine-readable lines to the result file and to stdout, then the table."""
    text = "\n".join(head + machine_lines(results)) + "\n"
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")
    print(text)
    print("\n".join(table(results)), flush=True)


def main():
    options = parse_options()
    programs = chosen_programs(options)
    workloads = chosen_workloads(options, programs)
    require_wrk()
    raise_file_limit(MAX_FILES)
    head = header(programs, options)
    results, failures = run_all(workloads, programs, options)
    if results:
        report(head, results)
    if failures:
        raise BenchError(f"{failures} of {len(workloads)} workloads failed, see above")


if __name__ == "__main__":
    run(main)
