"""What rounds of measurements come to: medians and ratios, as lines for a program and as tables for people.

A workload here is anything with a name, an about, its systems in their order, and pairs: which of them is compared with
which. Its samples are {system: [one {metric: value} for each round]}; a system that failed is missing. A ratio is taken
within a round, between figures taken one right after the other, and the median is of these ratios.
"""

import pathlib
import statistics
from dataclasses import dataclass

BUILD = pathlib.Path(__file__).resolve().parent.parent / "build" / "bench"


@dataclass(frozen=True)
class Metric:
    """How a figure is shown; better is "less" or "more"."""
    unit: str
    decimals: int
    better: str


@dataclass(frozen=True)
class Pair:
    """A ratio that is shown. Worse than the bound is said to be behind; None: it is only shown."""
    name: str
    base: str
    bound: float = None

    def __str__(self):
        return f"{self.name} / {self.base}"


def median(rounds, metric):
    return statistics.median(sample[metric] for sample in rounds)


def ratios(samples, pair, metric):
    """One system's value over the base's, round by round."""
    both = zip(samples.get(pair.name, []), samples.get(pair.base, []))
    return [ours[metric] / theirs[metric] for ours, theirs in both if theirs[metric]]


def machine_lines(bench, results, metrics):
    """One line for each median: bench, workload.metric, system, value, unit. Ratios have the system NAME/BASE."""
    lines = []
    for workload, samples in results:
        for metric in next(iter(samples.values()))[0]:
            figure = f"{bench}\t{workload.name}.{metric}"
            lines += [f"{figure}\t{name}\t{median(rounds, metric):.6g}\t{metrics[metric].unit}"
                      for name, rounds in samples.items()]
            for pair in workload.pairs:
                if each := ratios(samples, pair, metric):
                    lines.append(f"{figure}\t{pair.name}/{pair.base}\t{statistics.median(each):.4g}\tratio")
    return lines


def row(workload, samples, metric, shown):
    """Each system's median, and the pairs' ratios with their range over the rounds."""
    line = f"  {metric + ', ' + shown.unit:<24}"
    for name in workload.systems:
        value = f"{median(samples[name], metric):,.{shown.decimals}f}" if name in samples else "-"
        line += f"{value:>{width(name, 11)}}"
    behind = []
    for pair in workload.pairs:
        each = ratios(samples, pair, metric)
        middle = statistics.median(each) if each else 0
        line += f"{f'{middle:.3f} ({min(each):.3f}-{max(each):.3f})' if each else '-':>{width(pair, 22)}}"
        if pair.bound and each and (middle if shown.better == "less" else 1 / middle) > pair.bound:
            behind.append(f"{pair.name} behind")
    return "  ".join([line, *behind])


def width(head, least):
    return max(least, len(str(head)) + 2)


def block(workload, samples, metrics):
    """A workload's table: a row for each metric."""
    heads = "".join(f"{name:>{width(name, 11)}}" for name in workload.systems)
    heads += "".join(f"{str(pair):>{width(pair, 22)}}" for pair in workload.pairs)
    return ["", f"{workload.name}: {workload.about}", f"  {'median':<24}{heads}",
            *(row(workload, samples, metric, metrics[metric]) for metric in next(iter(samples.values()))[0]),
            *(f"  note: {name} failed" for name in workload.systems if name not in samples)]


def report(bench, head, results, metrics):
    """Machine-readable lines to build/bench/BENCH.txt and to stdout, then the tables."""
    text = "\n".join([*head, *machine_lines(bench, results, metrics)]) + "\n"
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / f"{bench}.txt").write_text(text, encoding="utf-8")
    lines = [line for workload, samples in results for line in block(workload, samples, metrics)]
    print(text + "\n".join(lines), flush=True)
