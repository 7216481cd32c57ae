"""How weir follows a step: the limit, the answers and their latency over time, while the load or the service changes.

The load generator tells its figures for each tenth of a second; meanwhile weir's status is asked as often, on a
connection of its own, for the limit in force and how many requests run and wait.
"""

import http.client
import itertools
import json
import statistics
import threading
import time
from dataclasses import dataclass

from overload import plots
from overload.systems import BUILD, CAPACITY, PERMITS, SERVICE_MS, TOP, Front, System, running_load
from servers import BenchError

INTERVAL_S = 0.1
SLOW_MS = 5 * SERVICE_MS
STATUS = ("limit", "in_flight", "queued")


@dataclass(frozen=True)
class Phase:
    seconds: float
    rate: float
    ms: int
    text: str


@dataclass(frozen=True)
class Step:
    """An experiment: each variant, a zone and a pool, goes through the same phases in a server of its own."""
    picture: str
    phases: tuple
    variants: dict  # {label: (zone, threads)}
    draw: callable  # (path, step's phases, {label: rows})


def service_phases():
    rate = CAPACITY * 3 / 4
    return tuple(Phase(seconds, rate, ms, f"{ms} ms") for seconds, ms in
                 ((4, SERVICE_MS), (6, SLOW_MS), (6, SERVICE_MS)))


def load_phases():
    return tuple(Phase(seconds, times * CAPACITY, SERVICE_MS, f"{times} x") for seconds, times in
                 ((3, 0.5), (6, 3), (4, 0.5)))


DEEP = f"limit={PERMITS} queue=1024 queue_timeout=1s"
STEPS = {
    "step-gradient": Step("overload-step.svg", service_phases(), {
        "gradient": (f"limit={PERMITS} min=8 max={4 * PERMITS} queue={PERMITS // 4} queue_timeout=20ms policy=gradient",
                     str(PERMITS)),
    }, plots.gradient_step),
    "step-codel": Step("overload-codel.svg", load_phases(), {
        "codel": (f"{DEEP} policy=codel", str(PERMITS)),
        "fixed": (DEEP, str(PERMITS)),
    }, plots.codel_step),
}


class Sampler(threading.Thread):
    """Asks for the zone's status ten times a second, until it is stopped. samples: [(monotonic, {name: value})]."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.samples, self.ended, self.problem = port, [], threading.Event(), None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        due = time.monotonic()
        try:
            while not self.ended.wait(max(0, due - time.monotonic())):
                connection.request("GET", "/status?format=json")
                zone = json.loads(connection.getresponse().read())["concurrency"]["api"]
                self.samples.append((time.monotonic(), {name: zone[name] for name in STATUS}))
                due += INTERVAL_S
        except (OSError, http.client.HTTPException, ValueError, KeyError) as problem:
            self.problem = problem
        finally:
            connection.close()

    def stop(self):
        self.ended.set()
        self.join()
        if self.problem:
            raise BenchError(f"the status could not be asked: {self.problem!r}")


def interval_row(line):
    """{name: value} of a line "at SECONDS name value ..."."""
    words = line.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2])}


def join(rows, began, samples):
    """Gives each interval the last status that was sampled before it ended."""
    for row in rows:
        before = [zone for moment, zone in samples if moment <= began + row["at"]]
        row.update(before[-1] if before else dict.fromkeys(STATUS, 0))
    return rows


def run_variant(label, zone, threads, phases, weir):
    """[{name: value} for each interval]: the load generator's figures and the status."""
    text = ",".join(f"{phase.seconds:g}:{phase.rate:g}:/sleep?ms={phase.ms}" for phase in phases)
    with Front(System(label, "weir", zone, 1, zone, threads), weir) as front:
        front.check(f"/sleep?ms={SERVICE_MS}", None)
        sampler = Sampler(front.port)
        with running_load(front.port, mode="open", connections=4096, interval_ms=INTERVAL_S * 1000,
                          phases=text) as process:
            began = float(process.stdout.readline().split()[1])
            sampler.start()
            lines = process.stdout.read().splitlines()
        sampler.stop()
    rows = [interval_row(line) for line in lines if line.startswith("at ")]
    return join(rows, began, sampler.samples)


def machine_lines(name, label, phases, rows):
    """The median of each figure in each phase, without the second after the step."""
    lines, end = [], 0
    for number, phase in enumerate(phases, 1):
        begin, end = end + min(1, phase.seconds / 2), end + phase.seconds
        steady = [row for row in rows if begin <= row["at"] <= end + INTERVAL_S / 2]
        for metric in ("offered", "goodput", "p50", "p99", "refusals", "refusal_p99", *STATUS):
            value = statistics.median(row[metric] for row in steady)
            lines.append(f"overload\t{name}.{number}.{metric}\t{label}\t{value:.4g}\t{phase.text}")
    return lines


def run(name, weir, quick):
    """Runs the experiment, prints a summary, and writes build/bench/NAME.txt and the picture."""
    step = STEPS[name]
    phases = [Phase(1, phase.rate, phase.ms, phase.text) for phase in step.phases] if quick else step.phases
    results = {label: run_variant(label, zone, threads, phases, weir)
               for label, (zone, threads) in step.variants.items()}
    columns = list(next(iter(results.values()))[0])
    with open(BUILD / f"overload-{name}.txt", "w", encoding="utf-8") as file:
        print("variant", *columns, sep="\t", file=file)
        for label, row in itertools.chain.from_iterable(((label, row) for row in rows)
                                                        for label, rows in results.items()):
            print(label, *(f"{row[column]:g}" for column in columns), sep="\t", file=file)
    for label, rows in results.items():
        print("\n".join(machine_lines(name, label, phases, rows)), flush=True)
    step.draw(BUILD / step.picture, phases, results)
    print(f"{(BUILD / step.picture).relative_to(TOP)} is drawn", flush=True)
