#!/usr/bin/python3
"""weir's limits of concurrency under overload, beside nginx and HAProxy: goodput, latency, and what a refusal costs.

A location takes 10 ms and may run 64 at once, so 6 400 requests a second can be answered. Each round measures every
system once, each in a fresh server, one right after the other (A B C A B C ...): the noise of the machine then falls
on all, and their ratio within a round means more than any figure. bench/overload/README.md says how each is taken.
"""

import argparse
import os
import pathlib
import platform
import socket
import statistics
import sys
import time
from dataclasses import dataclass

from overload import plots, step
from overload.systems import (BUILD, CAPACITY, PERMITS, PROGRAMS, QUEUE_TIMEOUT_MS, SERVICE_MS, SYSTEMS, TOP, Front,
                              build, load)
from servers import MAX_FILES, BenchError, raise_file_limit, run

RESULTS = BUILD / "overload.txt"
PICTURE = BUILD / "overload.svg"
PATH = f"/sleep?ms={SERVICE_MS}"
HOLD = b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
HOLD_SETTLE_S = 0.3
OTHERS_PERCENT = 10  # of a core: more than that, and the figures say little
LONG_WARM_UP_S = 1.2
ADMITTED_MS = QUEUE_TIMEOUT_MS + 3 * SERVICE_MS
PEERS = ("nginx", "haproxy")

UNITS = {"offered": "req/s", "goodput": "req/s", "refusals": "req/s", "cpu": "s/M", "most": "requests",
         "errors": "errors", "unsent": "requests", "skipped": "requests"}
COLUMNS = (("offered", "offered/s", 0), ("goodput", "goodput/s", 0), ("p50", "p50 ms", 1), ("p99", "p99 ms", 1),
           ("max", "max ms", 1), ("refusals", "refused/s", 0), ("refusal_p50", "p50 ms", 2),
           ("refusal_p99", "p99 ms", 2), ("cpu", "CPU s/M", 2), ("most", "at once", 0))
PROBE_COLUMNS = (("probe_goodput", "high/s", 1), ("probe_refusals", "refused/s", 1), ("probe_p50", "p50 ms", 1),
                 ("probe_p99", "p99 ms", 1), ("probe_max", "max ms", 1), ("goodput", "low/s", 0), ("p99", "p99 ms", 1),
                 ("refusals", "refused/s", 0), ("refusal_p99", "p99 ms", 2))
REFUSE_COLUMNS = (("refusals", "refused/s", 0), ("refusal_p50", "p50 ms", 2), ("refusal_p99", "p99 ms", 2),
                  ("cpu", "CPU s/M", 2))
LOST = {"errors": "errors or closed connections", "unsent": "arrivals that found no connection",
        "skipped": "arrivals given up because the load generator was late"}


@dataclass(frozen=True)
class Target:
    """A bound for a metric of each system of weir's that has a limit, or for its ratio to a peer's."""
    metric: str
    sign: str  # "<=" or ">="
    bound: float
    peer: str = None
    at_once: bool = False  # not for codel, which refuses by age

    def met(self, value):
        return value <= self.bound if self.sign == "<=" else value >= self.bound

    def __str__(self):
        name = f"{self.metric} {self.sign} {self.bound:g}"
        return f"{name} x {self.peer}" if self.peer else f"{name} {unit(self.metric)}"


@dataclass(frozen=True)
class Workload:
    name: str
    about: str
    options: dict  # of the load generator
    targets: tuple = ()
    columns: tuple = COLUMNS
    systems: tuple = tuple(SYSTEMS)
    held: bool = False  # all permits are taken by requests that do not end
    longer: int = 1     # so many times the seconds
    x: float = 0        # where it lies in the picture


GOODPUT = Target("goodput", ">=", 0.95 * CAPACITY)
ADMITTED = Target("p99", "<=", ADMITTED_MS)


def closed(clients):
    return Workload(f"closed{clients}", f"closed loop, {clients} clients that come back at once",
                    {"mode": "closed", "clients": clients, "path": PATH}, (GOODPUT, ADMITTED), x=clients)


def open_loop(times):
    rate = times * CAPACITY
    return Workload(f"open{times}x", f"open loop, {rate} arrivals a second ({times} x what can be answered), Poisson",
                    {"mode": "open", "rate": rate, "path": PATH, "connections": 4096},
                    (GOODPUT, ADMITTED, Target("refusal_p99", "<=", 5, at_once=True)), x=times)


def probes(name, about, targets, **flood):
    options = {"probe_rate": 50, "probe_path": f"/high?ms={SERVICE_MS}", "probe_headers": "X-Priority: high",
               "path": f"/low?ms={SERVICE_MS}", "headers": "X-Priority: low", "arrivals": "uniform", **flood}
    return Workload(name, about, options, targets, PROBE_COLUMNS, longer=2)


WORKLOADS = (
    *(closed(clients) for clients in (64, 128, 512, 2048)),
    *(open_loop(times) for times in (1, 2, 5, 10)),
    probes("priority-alone", "50 requests of high priority a second, nothing else", (), mode="open", rate=0),
    probes("priority-flood", "the same beside 512 clients of low priority that come back at once",
           (Target("probe_p99", "<=", ADMITTED_MS), Target("probe_refusals", "<=", 0)), mode="closed", clients=512),
    Workload("refuse", f"all {PERMITS} permits held, 256 clients: nothing but refusals",
             {"mode": "closed", "clients": 256, "path": PATH}, (Target("cpu", "<=", 1, "nginx"),), REFUSE_COLUMNS,
             ("weir-1", "weir-2", "nginx", "haproxy"), held=True),
)


def unit(metric):
    return UNITS.get(metric.removeprefix("probe_"), "ms")


class Holders:
    """Connections whose requests keep all permits taken while the block lasts."""

    def __init__(self, port, count):
        self.port, self.count, self.sockets = port, count, []

    def __enter__(self):
        for _ in range(self.count):
            self.sockets.append(sock := socket.create_connection(("127.0.0.1", self.port), timeout=5))
            sock.sendall(HOLD)
        time.sleep(HOLD_SETTLE_S)

    def __exit__(self, *_):
        for sock in self.sockets:
            sock.close()


def measure(workload, system, program, seconds):
    """{metric: value} of one fresh server under one load."""
    with Front(system, program) as front, Holders(front.port, PERMITS if workload.held else 0):
        if not workload.held:
            front.check(PATH, None)
        sample = load(front, seconds=seconds * workload.longer, **workload.options)
        if front.backend:
            sample["most"] = front.backend.most()
    sample["errors"] += sample["reconnects"]
    answers = sum(sample.pop(f"answers_{digit}xx") for digit in range(1, 6))
    counted = sample["refusals"] * sample["seconds"] if workload.held else answers
    sample["cpu"] = sample.pop("cpu_seconds") / max(counted, 1) * 1e6
    wanted = {name for name, _, _ in workload.columns} | {*LOST, "oldest", "others", "warm_up"}
    return {metric: value for metric, value in sample.items() if metric in wanted}


def run_workload(workload, systems, options):
    """({system: [one {metric: value} for each round]}, failures); a system that fails is left out from then on."""
    samples = {name: [] for name in systems if name in workload.systems}
    failed = set()
    for number in range(1, options.rounds + 1):
        for name in samples:
            if name in failed:
                continue
            try:
                sample = measure(workload, SYSTEMS[name], options.programs[SYSTEMS[name].kind], options.seconds)
            except BenchError as problem:
                print(f"bench: {workload.name} failed: {name}: {problem}", file=sys.stderr, flush=True)
                failed.add(name)
                continue
            samples[name].append(sample)
            values = "  ".join(f"{metric} {value:.4g}" for metric, value in sample.items())
            print(f"{workload.name} round {number}/{options.rounds} {name}: {values}", file=sys.stderr, flush=True)
    return {name: rounds for name, rounds in samples.items() if name not in failed}, len(failed)


def median(rounds, metric):
    """None when no round had it, as the latency of refusals where nothing was refused."""
    values = [sample[metric] for sample in rounds if metric in sample]
    return statistics.median(values) if values else None


def ratios(samples, name, peer, metric):
    """One system's value over another's, round by round."""
    pairs = zip(samples.get(name, []), samples.get(peer, []))
    return [ours[metric] / theirs[metric] for ours, theirs in pairs if metric in ours and theirs.get(metric)]


def limited(samples):
    """weir's systems that have a limit: those that the targets are for."""
    return [name for name in samples if SYSTEMS[name].zone]


def machine_lines(results):
    """One line for each median: overload, workload.metric, system, value, unit. Ratios have the system weir-1/PEER."""
    lines = []
    for workload, samples in results:
        for metric in [name for name, _, _ in workload.columns] + list(LOST):
            figure = f"overload\t{workload.name}.{metric}"
            values = {name: median(rounds, metric) for name, rounds in samples.items()}
            lines += [f"{figure}\t{name}\t{value:.6g}\t{unit(metric)}" for name, value in values.items()
                      if value is not None]
            for peer in PEERS:
                if each := ratios(samples, "weir-1", peer, metric):
                    lines.append(f"{figure}\tweir-1/{peer}\t{statistics.median(each):.4g}\tratio")
    return lines


def verdict(target, samples):
    """One line: a target, and what each system that it is for made of it."""
    said = []
    for name in limited(samples):
        if target.at_once and "policy=codel" in SYSTEMS[name].zone:
            continue
        if target.peer:
            each = ratios(samples, name, target.peer, target.metric)
            value = statistics.median(each) if each else None
        else:
            value = median(samples[name], target.metric)
        if value is not None:
            said.append(f"{name} {'met' if target.met(value) else 'MISSED'} ({value:.4g})")
    return f"  target {target}: {', '.join(said) or 'not measured'}"


def comparison(metric, samples):
    """One line: weir-1's value as a multiple of each peer's, with the range over the rounds."""
    said = []
    for peer in PEERS:
        if each := ratios(samples, "weir-1", peer, metric):
            said.append(f"{statistics.median(each):.3g} x {peer} ({min(each):.3g}-{max(each):.3g})")
    return [f"  {metric} of weir-1: {', '.join(said)}"] if said else []


def block(workload, samples):
    """A workload's table: a row for each system, then targets, ratios and notes."""
    lines = ["", f"{workload.name}: {workload.about}",
             "  " + " " * 12 + "".join(f"{header:>11}" for _, header, _ in workload.columns)]
    for name, rounds in samples.items():
        row = f"  {name:<12}"
        for metric, _, decimals in workload.columns:
            value = median(rounds, metric)
            row += f"{'-' if value is None else f'{value:,.{decimals}f}':>11}"
        lines.append(row)
    lines += [verdict(target, samples) for target in workload.targets]
    shown = [name for name, _, _ in workload.columns]
    for metric in ("goodput", "p99", "probe_p99", "refusal_p99", "cpu"):
        if metric in shown:
            lines += comparison(metric, samples)
    for name, rounds in samples.items():
        for metric, what in LOST.items():
            if count := sum(sample[metric] for sample in rounds):
                lines.append(f"  note: {count:g} {what} with {name} in {len(rounds)} rounds")
        if (warm_up := max(sample["warm_up"] for sample in rounds)) > LONG_WARM_UP_S:
            lines.append(f"  note: {warm_up:.1f} s until each client of {name} had been answered once")
        if (others := max(sample["others"] for sample in rounds)) > OTHERS_PERCENT:
            lines.append(f"  note: other programs took {others:.0f} % of a core from a round of {name}: measure again")
    return lines


def refusal_note(results):
    """A refusal's CPU beside that of a request that is served: it should cost less."""
    found = {workload.name: samples for workload, samples in results}
    lines = []
    for name in limited(found.get("refuse", {})):
        served = median(found.get("closed64", {}).get(name, []), "cpu")
        if served is not None:
            refused = median(found["refuse"][name], "cpu")
            lines.append(f"  target refusal costs less than an answer: {name} "
                         f"{'met' if refused < served else 'MISSED'} ({refused:.3g} beside {served:.3g} CPU s/M)")
    return lines


def report(head, results):
    """Machine-readable lines to the result file and to stdout, then the tables and the picture."""
    text = "\n".join([*head, *machine_lines(results)]) + "\n"
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")
    lines = [line for workload, samples in results for line in block(workload, samples)]
    print(text + "\n".join(lines + refusal_note(results)), flush=True)
    points = {kind: [(workload.x, {name: {metric: median(rounds, metric) for metric in ("goodput", "p99")}
                                   for name, rounds in samples.items()})
                     for workload, samples in results if workload.options["mode"] == kind and workload.x]
              for kind in ("closed", "open")}
    if plots.levels(PICTURE, points, CAPACITY, ADMITTED_MS):
        print(f"\n{PICTURE.relative_to(TOP)} is drawn", flush=True)


def header(systems, options):
    """What the figures were taken with."""
    lines = [f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores, load average before "
             f"{os.getloadavg()[0]:.2f}; {options.rounds} rounds of {options.seconds} s"]
    return lines + [f"# {name}: {SYSTEMS[name].about}" for name in systems]


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def parse_options():
    names = " ".join([workload.name for workload in WORKLOADS] + list(step.STEPS))
    parser = argparse.ArgumentParser(description="Measures weir's limits under overload, beside nginx and HAProxy.",
                                     epilog=f"Workloads: {names}")
    parser.add_argument("--rounds", type=positive, default=3, help="rounds of each workload (default 3)")
    parser.add_argument("--seconds", type=positive, default=3, help="seconds of load in each round (default 3)")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="workloads whose name begins so (closed, open, priority, refuse, step); may be repeated")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help=f"of {','.join(SYSTEMS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s: does it all run?")
    parser.add_argument("--weir", default=TOP / "build" / "weir", type=pathlib.Path, metavar="PATH")
    parser.add_argument("--nginx", default=TOP / "build" / "tools" / "nginx", type=pathlib.Path, metavar="PATH")
    parser.add_argument("--haproxy", default=TOP / "build" / "tools" / "haproxy", type=pathlib.Path, metavar="PATH")
    options = parser.parse_args()
    if options.quick:
        options.rounds = options.seconds = 1
    return options


def chosen_systems(options):
    """Those asked for; each one's program exists. Sets options.programs."""
    systems = options.systems.split(",")
    if unknown := [name for name in systems if name not in SYSTEMS]:
        raise BenchError(f"unknown system '{unknown[0]}'; known: {', '.join(SYSTEMS)}")
    options.programs = {}
    for kind in dict.fromkeys(SYSTEMS[name].kind for name in systems):
        program = getattr(options, kind)
        if not os.access(program, os.X_OK):
            remedy = "run make" if kind == "weir" else f"run bench/fetch-tools.sh {kind}"
            raise BenchError(f"{program} is not there or cannot be run: {remedy}")
        options.programs[kind] = program.absolute()
    return systems


def chosen(names, options):
    return [name for name in names if not options.only or any(name.startswith(only) for only in options.only)]


def run_steps(names, options):
    """The number of step experiments that failed."""
    failures = 0
    for name in names:
        try:
            step.run(name, options.programs["weir"], options.quick)
        except BenchError as problem:
            failures += 1
            print(f"bench: {name} failed: {problem}", file=sys.stderr, flush=True)
    return failures


def main():
    options = parse_options()
    systems = chosen_systems(options)
    wanted = chosen([workload.name for workload in WORKLOADS], options)
    workloads = [workload for workload in WORKLOADS if workload.name in wanted]
    steps = chosen(step.STEPS, options) if "weir" in options.programs else []
    if not workloads and not steps:
        raise BenchError(f"no workload begins with {' or '.join(options.only)}; see --help")
    raise_file_limit(MAX_FILES)
    for program in PROGRAMS:
        build(program)
    head = header(systems, options)
    results, failures = [], 0
    for workload in workloads:
        samples, failed = run_workload(workload, systems, options)
        failures += failed
        if samples:
            results.append((workload, samples))
    if results:
        report(head, results)
    failures += run_steps(steps, options)
    if failures:
        raise BenchError(f"{failures} measurements failed, see above")


if __name__ == "__main__":
    run(main)
