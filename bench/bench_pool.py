#!/usr/bin/python3
"""weir's pool beside other pools: throughput, latency, memory.

Each round measures every system once, each in a process of its own, one right after the other (A B C A B C ...): the
noise of the machine then falls on all, and their ratio within a round means more than any figure. bench/pool/README.md
says how each figure is taken.
"""

import argparse
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

from servers import BenchError, run

TOP = pathlib.Path(__file__).resolve().parent.parent
SOURCE = TOP / "bench" / "pool"
BUILD = TOP / "build" / "bench"
RESULTS = BUILD / "pool.txt"
TIME_LIMIT_S = 45
CFLAGS = ["-O2", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{TOP}"]

# System: the program that has it, and what the program is told.
SYSTEMS = {
    "weir": ("weir", ()),
    "weir-batch": ("weir", ("batch=64",)),
    "weir-two": ("weir", ("pools=2",)),
    "glib": ("glib", ()),
    "libuv": ("libuv", ()),
    "mutexcond": ("mutexcond", ()),
    "handoff": ("handoff", ()),
    "thread": ("thread", ()),
    "joined": ("joined", ()),
    "go-stack": ("go", ()),
    "go-chan": ("go", ()),
    "go-buffered": ("go", ()),
}
PKG_CONFIG = {"glib": ("glib-2.0", "libglib2.0-dev"), "libuv": ("libuv", "libuv1-dev")}
C_PEERS = ("glib", "libuv", "mutexcond", "handoff", "thread")
GO_PEERS = ("go-stack", "go-chan", "go-buffered")

UNITS = {"rate": "M/s", "p50": "us", "p99": "us", "max": "us", "cold": "s", "warm": "s", "wall": "s", "rss": "MB",
         "growth": "MB", "pace": "k/s"}
HIGHER_IS_BETTER = ("rate", "pace")


@dataclass(frozen=True)
class Target:
    """A bound for a metric of weir, or for its ratio to a peer's."""
    metric: str
    sign: str  # "<=" or ">="
    bound: float
    peer: str = None

    def met(self, value):
        return value <= self.bound if self.sign == "<=" else value >= self.bound

    def __str__(self):
        return f"{self.sign} {self.bound:g}{f' x {self.peer}' if self.peer else ' ' + UNITS[self.metric]}"


@dataclass(frozen=True)
class Workload:
    """What the systems are asked to do. Options are main.c's; those named in `scaled` shrink with --quick."""
    name: str
    about: str
    command: str
    options: dict
    systems: tuple
    shown: tuple
    scaled: tuple = ("tasks",)
    targets: tuple = ()
    special: dict = field(default_factory=dict)  # {system: options that only it gets}
    first_round_only: tuple = ()


def empty(name, about, bound, **options):
    return Workload(name, f"empty tasks, {about}", "empty", {"tasks": 2000000, "ms": 300, **options},
                    ("weir", "weir-batch", *C_PEERS, *GO_PEERS), ("rate",), ("tasks", "ms"),
                    (Target("rate", ">=", bound),))


def spin(threads):
    # A thread for each task, as programs do it that have no pool: the default stack, no other limit than the system's.
    return Workload(f"spin-{threads}", f"1 million tasks of 1 us, {threads} threads", "spin",
                    {"tasks": 1000000, "threads": threads, "bound": 1024, "stack": 0}, ("weir", "mutexcond", "handoff", "thread", "joined"),
                    ("rate", "rss", "growth"),
                    targets=(Target("rate", ">=", 50, "thread"), Target("rss", "<=", 0.1, "thread"),
                             Target("rss", "<=", 0.1, "joined")),
                    special=dict.fromkeys(("thread", "joined"), {"tasks": 100000, "threads": 10000, "bound": 1}))


WORKLOADS = (
    empty("empty-2", "1 producer, 2 threads", 25, threads=2),
    empty("empty-64", "1 producer, 64 threads", 25, threads=64),
    empty("empty-1000", "1 producer, 1000 threads", 25, threads=1000),
    empty("empty-4p", "4 producers, 64 threads", 15, threads=64, producers=4),
    Workload("idle", "submit to start in an idle pool of 64", "idle", {"tasks": 5000, "threads": 64, "pause_us": 300},
             ("weir", *C_PEERS, *GO_PEERS), ("p50", "p99"),
             targets=(Target("p50", "<=", 3), Target("p99", "<=", 0.5, "glib")),
             special=dict.fromkeys(GO_PEERS, {"tasks": 2000})),
    Workload("sleep", "100 000 tasks of 100 ms, 10 000 threads", "sleep", {"tasks": 100000, "threads": 10000},
             ("weir", "glib", "mutexcond", "handoff", "thread", *GO_PEERS), ("warm", "cold", "rss"),
             targets=(Target("warm", "<=", 1.10), Target("cold", "<=", 1.25), Target("rss", "<=", 60)),
             first_round_only=("thread",)),
    spin(2), spin(64),
    Workload("fib", "fib(32) x 20, 5 threads", "fib", {"tasks": 20, "threads": 5}, ("weir", *C_PEERS, *GO_PEERS),
             ("wall",)),
    Workload("mixed", "100 000 tasks/s of 1 us, each 200th blocks for 100 ms, 64 threads; submit to start", "mixed",
             {"tasks": 100000, "threads": 64, "rate": 100000, "every": 200},
             ("weir", "glib", "mutexcond", "handoff", *GO_PEERS), ("p50", "p99", "max", "pace")),
    Workload("two-pools", "empty tasks, 4 producers: one pool of 64 threads, or two of 32", "empty",
             {"tasks": 2000000, "ms": 300, "threads": 64, "producers": 4}, ("weir", "weir-two"), ("rate",),
             ("tasks", "ms")),
)


def run_tool(command, what, **environment):
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP, env={**os.environ, **environment})
    if run.returncode:
        raise BenchError(f"{what} failed:\n{run.stderr.strip()}")
    return run.stdout.split()


def build_c(program, extra):
    common = [SOURCE / name for name in ("main.c", "job.c", "report.c")]
    run_tool(["gcc", *CFLAGS, *common, SOURCE / f"{program}.c", *extra, "-o", BUILD / f"pool-{program}"],
             f"building {program}")


def build_go():
    # Only the standard library is used; nothing is fetched, and the cache stays with the build.
    run_tool(["go", "build", "-o", BUILD / "pool-go", "./bench/pool/go"], "building go",
             GO111MODULE="off", GOFLAGS="", GOPROXY="off", GOCACHE=str(BUILD / "go-cache"))


def build(program, library):
    """True, or False with a note when what the program is to be compared with is not installed here."""
    if program == "go":
        if not shutil.which("go"):
            return absent(program, "golang-go")
        build_go()
    elif program in PKG_CONFIG:
        name, package = PKG_CONFIG[program]
        if subprocess.run(["pkg-config", "--exists", name], check=False).returncode:
            return absent(program, package)
        build_c(program, run_tool(["pkg-config", "--cflags", "--libs", name], "pkg-config"))
    elif program == "weir":
        if not library.is_file():
            raise BenchError(f"{library} is not there: run make, or name it with --lib")
        build_c(program, [library.resolve()])
    else:
        build_c(program, [])
    return True


def absent(program, package):
    print(f"bench: {program} is left out: {package} is not installed", file=sys.stderr, flush=True)
    return False


def scaled_options(workload, system, quick):
    options = {**workload.options, **workload.special.get(system, {})}
    if quick:
        options.update({name: max(options[name] // 10, 2) for name in workload.scaled})
    # The systems in Go have no use for some of them.
    unused = ("stack",) if SYSTEMS[system][0] == "go" else ()
    return [f"{name}={value}" for name, value in options.items() if name not in unused]


def measure(workload, system, quick):
    """{metric: value} of one process."""
    program, told = SYSTEMS[system]
    command = [BUILD / f"pool-{program}", *([system] if program == "go" else []), workload.command,
               *scaled_options(workload, system, quick), *told]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{system} did not end within {TIME_LIMIT_S} s") from error
    if run.returncode:
        raise BenchError(f"{system} ended with code {run.returncode}: {run.stderr.strip() or '(it said nothing)'}")
    return {metric: float(value) for metric, value in (line.split() for line in run.stdout.splitlines())}


def run_workload(workload, systems, options):
    """({system: [one {metric: value} for each round]}, failures); a system that fails is left out from then on."""
    samples = {system: [] for system in workload.systems if system in systems}
    failed = set()
    for number in range(1, options.rounds + 1):
        for system in samples:
            if system in failed or (number > 1 and system in workload.first_round_only):
                continue
            try:
                sample = measure(workload, system, options.quick)
            except BenchError as problem:
                print(f"bench: {workload.name} failed: {problem}", file=sys.stderr, flush=True)
                failed.add(system)
                continue
            samples[system].append(sample)
            values = "  ".join(f"{metric} {value:.4g}" for metric, value in sample.items())
            print(f"{workload.name} round {number}/{options.rounds} {system}: {values}", file=sys.stderr, flush=True)
    return {system: rounds for system, rounds in samples.items() if system not in failed}, len(failed)


def median(rounds, metric):
    return statistics.median(sample[metric] for sample in rounds)


def ratios(samples, peer, metric):
    """weir's value over the peer's, round by round."""
    pairs = zip(samples.get("weir", []), samples.get(peer, []))
    return [ours[metric] / theirs[metric] for ours, theirs in pairs if metric in theirs and theirs[metric]]


def machine_lines(results):
    """One line for each median: pool, workload.metric, system, value, unit. Ratios have the system weir/PEER."""
    lines = []
    for workload, samples in results:
        for metric in workload.shown:
            figure = f"pool\t{workload.name}.{metric}"
            lines += [f"{figure}\t{system}\t{median(rounds, metric):.6g}\t{UNITS[metric]}"
                      for system, rounds in samples.items() if metric in rounds[0]]
            for peer in samples:
                if peer != "weir" and (each := ratios(samples, peer, metric)):
                    lines.append(f"{figure}\tweir/{peer}\t{statistics.median(each):.4g}\tratio")
    return lines


def verdict(target, samples):
    if target.peer:
        each = ratios(samples, target.peer, target.metric)
        value = statistics.median(each) if each else None
    else:
        value = median(samples["weir"], target.metric) if "weir" in samples else None
    if value is None:
        return f"target {target}: not measured"
    return f"target {target}: {'met' if target.met(value) else 'MISSED'} ({value:.3g})"


def block(workload, samples, metric):
    """The table of one metric: each system's median, and weir's ratio to it with its range over the rounds."""
    better = "higher" if metric in HIGHER_IS_BETTER else "lower"
    lines = [f"  {f'{metric}, {UNITS[metric]} ({better} is better)':<30} {'median':>10} {'weir / it (range)':>26}"]
    for system, rounds in samples.items():
        if metric not in rounds[0]:
            continue
        each = ratios(samples, system, metric) if system != "weir" else []
        ratio = f"{statistics.median(each):.3g} ({min(each):.3g}-{max(each):.3g})" if each else ""
        lines.append(f"    {system:<28} {median(rounds, metric):>10.4g} {ratio:>26}".rstrip())
    lines += [f"    {verdict(target, samples)}" for target in workload.targets if target.metric == metric]
    return lines


def table(results):
    lines = []
    for workload, samples in results:
        lines += ["", f"{workload.name}: {workload.about}"]
        for metric in workload.shown:
            lines += block(workload, samples, metric)
    return lines


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def parse_options():
    names = " ".join(workload.name for workload in WORKLOADS)
    parser = argparse.ArgumentParser(description="Measures weir's pool beside others.", epilog=f"Workloads: {names}")
    parser.add_argument("--lib", default=TOP / "build" / "libweir-pool.a", type=pathlib.Path, metavar="PATH",
                        help="the pool library, built from this tree (default build/libweir-pool.a)")
    parser.add_argument("--rounds", type=positive, default=3, help="rounds of each workload (default 3)")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="workloads whose name begins so; may be given more than once")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help=f"of {','.join(SYSTEMS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one round with a tenth of the work: does it all run?")
    options = parser.parse_args()
    options.rounds = 1 if options.quick else options.rounds
    return options


def chosen_systems(options):
    """Those asked for whose programs could be built."""
    systems = options.systems.split(",")
    if unknown := [system for system in systems if system not in SYSTEMS]:
        raise BenchError(f"unknown system '{unknown[0]}'; known: {', '.join(SYSTEMS)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    programs = dict.fromkeys(SYSTEMS[system][0] for system in systems)
    built = [program for program in programs if build(program, options.lib)]
    return [system for system in systems if SYSTEMS[system][0] in built]


def chosen_workloads(options):
    workloads = [workload for workload in WORKLOADS
                 if not options.only or any(workload.name.startswith(name) for name in options.only)]
    if not workloads:
        raise BenchError(f"no workload begins with {' or '.join(options.only)}; see --help")
    return workloads


def main():
    options = parse_options()
    workloads = chosen_workloads(options)
    systems = chosen_systems(options)
    head = (f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores, load average before "
            f"{os.getloadavg()[0]:.2f}; {options.rounds} rounds{', a tenth of the work' if options.quick else ''}")
    results, failures = [], 0
    for workload in workloads:
        samples, failed = run_workload(workload, systems, options)
        failures += failed
        if samples:
            results.append((workload, samples))
    text = "\n".join([head, *machine_lines(results)]) + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    print(text + "\n".join(table(results)), flush=True)
    if failures:
        raise BenchError(f"{failures} systems failed in a workload, see above")


if __name__ == "__main__":
    run(main)
