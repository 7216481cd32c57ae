"""Metrics in the text format of Prometheus: a strict reader, and sums over labels."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)\}})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf|NaN)")
META = re.compile(rf"# (HELP|TYPE) ({NAME}) (.+)")


def family_of(name, types):
    """The family that a sample belongs to."""
    base = name if name in types else re.sub("_(bucket|count|sum)$", "", name)
    assert (types[base] == "histogram") == (base != name), name
    return base


def parse(text):
    """Strict reading of the text format 0.0.4: ({family: type}, {(name, labels): value}); every fault is an error."""
    types, helped, samples, order = {}, set(), {}, []
    assert text.endswith("\n")
    for line in filter(None, text.split("\n")):
        if line.startswith("#"):
            kind, name, rest = META.fullmatch(line).groups()
            known = helped if kind == "HELP" else types
            assert name not in known, f"{kind} twice: {name}"
            assert name not in order, f"{kind} after samples: {name}"
            helped.add(name) if kind == "HELP" else types.update({name: rest})
            assert kind == "HELP" or rest in ("counter", "gauge", "histogram")
            continue
        match = SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line}"
        labels = re.findall(LABEL, match[2] or "")
        assert len(dict(labels)) == len(labels), f"label twice: {line}"
        family = family_of(match[1], types)
        assert family in helped
        if not order or order[-1] != family:
            assert family not in order, f"family in two places: {family}"
            order.append(family)
        series = match[1], frozenset(labels)
        assert series not in samples, f"series twice: {line}"
        samples[series] = float(match.groups()[-1])
    return types, samples


def total(samples, name, **labels):
    return sum(value for (sample, series), value in samples.items()
               if sample == name and labels.items() <= dict(series).items())
