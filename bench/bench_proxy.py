#!/usr/bin/python3
"""weir as a reverse proxy beside nginx and HAProxy: CPU per request, large bodies, WebSockets, shared state.

Each round measures every system once, each in a fresh proxy with a fresh backend, one right after the other (A B C A B
C ...): the noise of the machine then falls on all, and their ratio within a round means more than any figure. CPU is
that of the proxy's workers alone, from the scheduler's nanoseconds. proxies.py has the configurations.

requests   1 KiB answers, 64 keep-alive clients (wrk), connections to the backend kept
download   100 MB to a client that takes it as fast as it can; as many times as TRANSFERS, after one unmeasured
upload     100 MB from the client; weir and nginx read it whole, into a file, before they pass it on (their default)
stream     the same passed on as it comes: proxy_request_buffering off (HAProxy always does so)
slow       100 MB to a client that takes about 3 MB/s: how far the worker's memory grows; the rest waits in a file
slow32     to 32 such clients, without files: the growth for each should be no more than the buffers of 8 x 8k
websocket  so many WebSockets (--sockets), each opened and then echoing messages, 64 of them at work at once
shared     weir alone: servers with max_conns and health_check beside plain ones, as a ratio; and without request ids
"""

import argparse
import os
import pathlib
import platform
import resource
import sys
import time
from dataclasses import dataclass

import proxies
from bench_http import positive
from clients import require_wrk, run_wrk
from proxies import BIG_BYTES, TOP, BodyClient, PeakRss, Proxy, System, WebSockets
from rounds import Metric, Pair, report
from servers import MAX_FILES, BenchError, run

CLIENTS = 64
WARM_UP_S = 1
TRANSFERS = 4
SETTLE_S = 0.5
SLOW_S = 2  # at most: memory grows at once
MESSAGES = 8  # of each WebSocket, measured
OTHER_FILES = 300  # beside connections: logs, listeners, what a proxy keeps in reserve
BEHIND = 1.02  # a ratio worse than that is said to be behind
BODY_1K = b"0" * 1024

SYSTEMS = {system.name: system for system in (
    System("weir", "weir", "defaults"),
    System("nginx", "nginx", "keepalive 64"),
    System("haproxy", "haproxy", "http-reuse always, nbthread 1"),
    System("plain", "weir", "weir with defaults"),
    System("checked", "weir", "weir, max_conns=1000, health_check interval=1s", server="max_conns=1000",
           upstream="health_check interval=1s uri=/1k;"),
    System("no-ids", "weir", "weir, proxy_request_ids off", http="proxy_request_ids off;"),
)}
THREE = ("weir", "nginx", "haproxy")


METRICS = {
    "cpu": Metric("s/M requests", 2, "less"), "rps": Metric("requests/s", 0, "more"),
    "p50": Metric("ms", 2, "less"), "p99": Metric("ms", 2, "less"),
    "rate": Metric("MB/s", 0, "more"), "body_cpu": Metric("ms/100 MB", 1, "less"),
    "each": Metric("KiB/client", 1, "less"),
    "growth": Metric("KiB", 0, "less"), "peak": Metric("KiB", 0, "less"),
    "echo_cpu": Metric("s/M echoes", 2, "less"), "echoes": Metric("echoes/s", 0, "more"),
    "open_cpu": Metric("us/socket", 1, "less"), "opened": Metric("sockets/s", 0, "more"),
    "memory": Metric("bytes/socket", 0, "less"), "quiet": Metric("bytes/socket", 0, "less"),
}


@dataclass(frozen=True)
class Workload:
    """What is done to a proxy, and what the ratios are of."""
    name: str
    about: str
    measure: callable  # (proxy, workload, options) -> {metric: value}
    path: str = ""
    clients: int = CLIENTS
    systems: tuple = THREE
    base: str = "nginx"

    @property
    def pairs(self):
        return [Pair(name, self.base, BEHIND if name == "weir" else None)
                for name in self.systems if name != self.base]


def measure_requests(proxy, workload, options):
    proxy.check(workload.path, BODY_1K)
    run_wrk(proxy.port, workload.path, workload.clients, WARM_UP_S)
    before = proxy.cpu()
    result = run_wrk(proxy.port, workload.path, workload.clients, options.seconds)
    spent = proxy.cpu() - before
    if result["refused"] or result["socket_errors"]:
        raise proxy.fail(f"{result['refused']} answers of status 400 or more, "
                         f"{result['socket_errors']} failed connections")
    return {"cpu": spent / result["requests"] * 1e6, "rps": result["requests"] / (result["duration_us"] / 1e6),
            "p50": result["p50_us"] / 1e3, "p99": result["p99_us"] / 1e3}


def memory_figures(peak):
    return {"growth": (peak.peak - peak.before) / 1024, "peak": peak.peak / 1024}


def measure_body(proxy, workload, _options):
    proxy.check("/1k", BODY_1K)
    with PeakRss(proxy) as peak, BodyClient(proxy) as client:
        def transfer():
            if workload.name == "download":
                client.download()
            else:
                client.upload(workload.path)
        transfer()
        cpu_before, begun = proxy.cpu(), time.monotonic()
        for _ in range(TRANSFERS):
            transfer()
        took, spent = time.monotonic() - begun, proxy.cpu() - cpu_before
    return {"rate": TRANSFERS * BIG_BYTES / 1e6 / took, "body_cpu": spent / TRANSFERS * 1e3, **memory_figures(peak)}


def measure_slow(proxy, workload, options):
    proxy.check("/1k", BODY_1K)
    with PeakRss(proxy) as peak:
        proxies.download_slowly(proxy, workload.path, workload.clients, min(options.seconds, SLOW_S))
    figures = memory_figures(peak)
    return {"each": figures["growth"] / workload.clients, **figures}


def measure_sockets(proxy, _workload, options):
    count = options.sockets
    with WebSockets(proxy, CLIENTS) as some:  # code and tables that any socket brings in are not the cost of the others
        some.wait_until_open(CLIENTS)
        some.send(CLIENTS)
    time.sleep(SETTLE_S)
    rss_before, cpu_before, begun = proxy.rss(), proxy.cpu(), time.monotonic()
    with WebSockets(proxy, count) as sockets:
        sockets.wait_until_open(count)
        opening, cpu_open = time.monotonic() - begun, proxy.cpu()
        rss_open = proxy.rss()
        sockets.send(count)
        cpu_warm = proxy.cpu()
        took = sockets.send(MESSAGES * count)
        spent = proxy.cpu() - cpu_warm
        time.sleep(SETTLE_S)
        rss_after = proxy.rss()
    return {"echo_cpu": spent / (MESSAGES * count) * 1e6, "echoes": MESSAGES * count / took,
            "open_cpu": (cpu_open - cpu_before) / count * 1e6, "opened": count / opening,
            "quiet": (rss_open - rss_before) / count, "memory": (rss_after - rss_before) / count}


WORKLOADS = (
    Workload("requests", f"1 KiB answers, {CLIENTS} keep-alive clients, connections to the backend kept",
             measure_requests, "/1k"),
    Workload("download", "100 MB to a fast client", measure_body),
    Workload("upload", "100 MB from a fast client, read whole before it is passed on (HAProxy: as it comes)",
             measure_body, "/upload"),
    Workload("stream", "100 MB from a fast client, passed on as it comes", measure_body, "/unbuffered"),
    Workload("slow", "100 MB to a client of 3 MB/s: growth of the worker's resident memory", measure_slow, "/big", 1),
    Workload("slow32", "100 MB to 32 such clients, no temporary files; growth in all and for each", measure_slow,
             "/big-in-memory", 32),
    Workload("websocket", "WebSockets; quiet: before their first message, memory: after all", measure_sockets),
    Workload("shared", "weir alone: what max_conns with health_check, and request ids, cost", measure_requests, "/1k",
             systems=("plain", "checked", "no-ids"), base="plain"),
)


def run_workload(workload, systems, options):
    """({system: [one {metric: value} for each round]}, failures); a system that fails is left out from then on."""
    samples = {name: [] for name in systems if name in workload.systems}
    failed = set()
    for number in range(1, options.rounds + 1):
        for name in samples:
            if name in failed:
                continue
            system = SYSTEMS[name]
            sockets = options.sockets if workload.measure is measure_sockets else 0
            try:
                with Proxy(system, options.programs[system.kind], options.max_files, sockets) as proxy:
                    sample = workload.measure(proxy, workload, options)
            except (BenchError, OSError) as problem:
                print(f"bench: {workload.name} failed: {name}: {problem}", file=sys.stderr, flush=True)
                failed.add(name)
                continue
            samples[name].append(sample)
            values = "  ".join(f"{metric} {value:.6g}" for metric, value in sample.items())
            print(f"{workload.name} round {number}/{options.rounds} {name}: {values}", file=sys.stderr, flush=True)
    return {name: rounds for name, rounds in samples.items() if name not in failed}, len(failed)


def header(workloads, options):
    """What the figures were taken with."""
    names = dict.fromkeys(name for workload in workloads for name in workload.systems)
    return [f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores, load average before "
            f"{os.getloadavg()[0]:.2f}; {options.rounds} rounds of {options.seconds} s; {options.sockets} WebSockets",
            *(f"# {name}: {SYSTEMS[name].about}" for name in names)]


def parse_options():
    names = " ".join(workload.name for workload in WORKLOADS)
    parser = argparse.ArgumentParser(description="Measures weir as a reverse proxy, beside nginx and HAProxy.",
                                     epilog=f"Workloads: {names}")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of each workload (default 5)")
    parser.add_argument("--seconds", type=positive, default=4, help="seconds of load in each round (default 4)")
    parser.add_argument("--sockets", type=positive, default=5000, metavar="N", help="WebSockets (default 5000)")
    parser.add_argument("--only", metavar="NAME[,NAME]", help="workloads whose name begins so")
    for kind in THREE:
        place = TOP / "build" / ("weir" if kind == "weir" else f"tools/{kind}")
        parser.add_argument(f"--{kind}", default=place, type=pathlib.Path, metavar="PATH")
    return parser.parse_args()


def check_programs(options, kinds):
    """Sets options.programs; each one exists."""
    options.programs = {}
    for kind in kinds:
        program = getattr(options, kind)
        if not os.access(program, os.X_OK):
            remedy = "run make" if kind == "weir" else f"run bench/fetch-tools.sh {kind}"
            raise BenchError(f"{program} is not there or cannot be run: {remedy}")
        options.programs[kind] = program.absolute()


def raise_file_limit(options):
    """A proxy has two descriptors for each WebSocket. Sets options.max_files; fewer sockets if it must be."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    options.max_files = max(MAX_FILES, 2 * options.sockets + OTHER_FILES)
    try:
        if hard != resource.RLIM_INFINITY and hard < options.max_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (options.max_files, options.max_files))  # root may
    except (ValueError, OSError):
        options.max_files = hard
        options.sockets = min(options.sockets, (hard - OTHER_FILES) // 2)
        print(f"bench: only {hard} open files are allowed: {options.sockets} WebSockets; raise it with ulimit -Hn",
              file=sys.stderr, flush=True)
    if options.sockets < CLIENTS:
        raise BenchError(f"{CLIENTS} WebSockets are the least: raise --sockets, or ulimit -Hn")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (options.max_files, hard))


def main():
    options = parse_options()
    wanted = options.only.split(",") if options.only else [""]
    workloads = [workload for workload in WORKLOADS if any(workload.name.startswith(name) for name in wanted)]
    if not workloads:
        raise BenchError(f"no workload begins with {' or '.join(wanted)}; see --help")
    systems = dict.fromkeys(name for workload in workloads for name in workload.systems)
    check_programs(options, dict.fromkeys(SYSTEMS[name].kind for name in systems))
    require_wrk()
    raise_file_limit(options)
    proxies.build_peer()
    head = header(workloads, options)
    results, failures = [], 0
    for workload in workloads:
        samples, failed = run_workload(workload, systems, options)
        failures += failed
        if samples:
            results.append((workload, samples))
    if results:
        report("proxy", head, results, METRICS)
    if failures:
        raise BenchError(f"{failures} measurements failed, see above")


if __name__ == "__main__":
    run(main)
