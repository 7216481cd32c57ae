"""What other topics ask, over HTTP/2. Their rows count here too."""

import dataclasses
import importlib
import os

from frames import translated

HTTP = "proxy_http_version 1.1;"
# Topic -> every so manieth case of it, and of each so many requests, from its whole length. In the longer form it is all cases.
PART = {"headers": (1, 6), "static": (4, 10), "access": (2, 12), "rewrite": (12, 6), "variables": (6, 8), "proxy_request": (2, 20),
        "proxy_answer": (4, 6), "proxy_kinds": (2, 20), "proxy_target": (8, 10), "inherit": (4, 3)}
LONG = os.environ.get("WEIR_DIFFERENTIAL") == "long"
LIKE = (*PART, "http2")
CASES = []


def again(case, most):
    """The case over HTTP/2, or None."""
    requests = [each for each in map(translated, case.asked()) if each]
    # Of bad answers nginx makes such as have no status.
    if case.listen or case.secure or not requests or case.name.startswith("kinds"):
        return None
    return dataclasses.replace(case, requests=requests[::-(-len(requests) // most)], listen="http2")


for topic, (step, most) in PART.items():
    names = {case.name for case in CASES}
    found = [again(case, most) for case in importlib.import_module(f"topics.{topic}").CASES]
    CASES += [case for case in filter(None, found) if case.name not in names][::1 if LONG else step]
