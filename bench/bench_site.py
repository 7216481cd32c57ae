#!/usr/bin/python3
"""What a site's configuration costs, beside nginx: access log, many locations and names, added headers, gzip.

In each round every system of a workload has a fresh server, all at once; an idle one costs nothing. They are then
loaded in turn for a second at a time (A B C A B C ...), so that the noise of the machine falls on all, and their ratio
within a round means more than any figure. CPU is that of the workers alone, from the scheduler's nanoseconds, by the
requests that wrk counted. All keep their connections (wrk, 64 clients; gzip 16).

log       a static file of 1 KiB, with `access_log ... buffer=64k flush=1s` and with `access_log off`
exact     200 locations and 500 server names beside one of each: exact name, exact location
prefix    the same: name of a wildcard, prefix location, after which each regular expression is tried in vain
regex     the same: exact name, the last of the regular expressions
headers   ten add_header lines with variables, and none
gzip1     a JSON file of 100 KiB compressed at level 1; the answer must decompress to the file
gzip5     the same at level 5
gzip1k    1 KiB of it at level 1: what a stream's beginning and end cost
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import random
import sys
import zlib
from dataclasses import dataclass

from bench_http import chosen_programs, positive
from clients import require_wrk, run_wrk
from rounds import Metric, Pair, report
from servers import MAX_FILES, BenchError, Server, raise_file_limit, run

TOP = pathlib.Path(__file__).resolve().parent.parent
WARM_UP_S = 1
LEVEL = 1.02  # a program against itself is within that
JSON_BYTES = 100 << 10

METRICS = {"cpu": Metric("us/request", 2, "less"), "size": Metric("bytes", 0, "less")}

LOG = "access_log {dir}/access.log combined buffer=64k flush=1s;"

LOCATIONS = 200
REGEXES = (r"~ \.php$", r"~* \.(gif|jpe?g|png|webp)$", r"~ ^/api/v[0-9]+/users/", r"~ /\.ht",
           r"~ ^/download/([0-9a-f]+)/", r"~* \.(?:css|js)$")
EXACT_LOCATIONS = 54
SERVERS = 20
NAMES_EACH = 25
WILDCARDS_EACH = 3
OK = 'return 200 "ok\\n";'

HEADERS = "".join(f"add_header X-{name.replace('_', '-')} ${name}; " for name in (
    "host", "remote_addr", "request_time", "uri", "server_name", "msec", "http_user_agent", "scheme", "request_method",
    "args"))
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def server_names(number):
    """The names of one server, three of them wildcards."""
    site = f"site{number}.example"
    exact = [f"host{i}.{site}.com" for i in range(NAMES_EACH - WILDCARDS_EACH)]
    return " ".join([*exact, f"*.users.{site}.com", f"*.{site}.org", f"www.{site}.*"])


def many_names():
    """All servers but the one that is asked, which is the last of them."""
    return "".join(f"server {{ listen 127.0.0.1:{{port}}; server_name {server_names(number)}; return 404; }}\n"
                   for number in range(SERVERS - 1))


def many_locations():
    """That server's names and its locations; each prefix location stands below /section."""
    prefixes = LOCATIONS - EXACT_LOCATIONS - len(REGEXES)
    return (f"server_name {server_names(SERVERS - 1)};\n" +
            "".join(f"location = /page{i}/index.html {{ {OK} }}\n" for i in range(EXACT_LOCATIONS)) +
            "".join(f"location /section{i}/ {{ {OK} }}\n" for i in range(prefixes)) +
            "".join(f"location {regex} {{ {OK} }}\n" for regex in REGEXES))


def json_text(length):
    """So many bytes of what an API answers: records of words, numbers and times."""
    dice = random.Random(1)
    words = "weir river pool gate lock bank ford mill race eddy pond reed".split()
    records = []
    while len(text := json.dumps({"records": records}, indent=1)) < length:
        records += [{"id": dice.randrange(10 ** 9), "name": " ".join(dice.choices(words, k=3)),
                     "price": round(dice.uniform(1, 999), 2), "active": dice.random() < 0.5,
                     "created": f"2024-{dice.randrange(1, 13):02}-{dice.randrange(1, 29):02}",
                     "tags": dice.sample(words, 3), "token": f"{dice.getrandbits(64):016x}"} for _ in range(20)]
    return text[:length].encode("ascii")


FILES = {"1k.txt": b"weir " * 204 + b"weir", "data.json": json_text(JSON_BYTES), "small.json": json_text(1024)}


@dataclass(frozen=True)
class System:
    """A program, and what its configuration has beside the common part."""
    name: str
    kind: str  # "weir" or "nginx"
    http: str = ""
    server: str = ""


@dataclass(frozen=True)
class Workload:
    """One request, asked of each system."""
    name: str
    about: str
    path: str
    body: bytes
    setups: tuple  # of System
    pairs: tuple
    headers: dict
    gzip: bool = False
    connections: int = 64

    @property
    def systems(self):
        return [system.name for system in self.setups]


def with_and_without(name, about, path, body, with_it, without, bounds, headers=None):
    """A workload in which each program runs with something and without it.

    with_it and without are (http, server); bounds those of weir-with/weir-without and of weir-with/nginx-with.
    """
    setups = tuple(System(f"{kind}{suffix}", kind, *directives) for kind in ("weir", "nginx")
                   for suffix, directives in ((f"-{name}", with_it), ("", without)))
    pairs = (Pair(f"weir-{name}", "weir", bounds[0]), Pair(f"nginx-{name}", "nginx"),
             Pair(f"weir-{name}", f"nginx-{name}", bounds[1]))
    return Workload(name, about, path, body, setups, pairs, headers or {})


def routing(name, about, host, path):
    return with_and_without(name, about, path, b"ok\n", (many_names(), many_locations()),
                            ("", f"server_name {host}; location / {{ {OK} }}"), (LEVEL, None), {"Host": host})


def compression(name, about, path, level):
    server = f"default_type application/json; gzip on; gzip_types application/json; gzip_comp_level {level};"
    setups = (System("weir", "weir", server=server), System("nginx", "nginx", server=server))
    return Workload(name, about, path, FILES[path[1:]], setups, (Pair("weir", "nginx", LEVEL),),
                    {"Accept-Encoding": "gzip"}, gzip=True, connections=16)


ASKED = f"site{SERVERS - 1}.example"
WORKLOADS = (
    with_and_without("log", "static file of 1 KiB; access log with buffer=64k flush=1s, and off", "/1k.txt",
                     FILES["1k.txt"], ("", LOG), ("", ""), (1.05, None), {"User-Agent": AGENT}),
    routing("exact", "200 locations, 500 names, and one of each: exact name, exact location", f"host7.{ASKED}.com",
            "/page27/index.html"),
    routing("prefix", "200 locations, 500 names, and one of each: wildcard, prefix, 6 regular expressions in vain",
            f"alice.users.{ASKED}.com", "/section77/some/deeper/page"),
    routing("regex", "200 locations, 500 names, and one of each: exact name, the sixth regular expression",
            f"host7.{ASKED}.com", "/static/site.css"),
    with_and_without("headers", "return 200, with ten headers of variables, and none", "/return?page=3&order=name",
                     b"ok\n", ("", "server_name www.example.com; " + HEADERS), ("", "server_name www.example.com;"),
                     (None, LEVEL), {"Host": "www.example.com", "User-Agent": AGENT}),
    compression("gzip1", "JSON of 100 KiB, level 1", "/data.json", 1),
    compression("gzip5", "JSON of 100 KiB, level 5", "/data.json", 5),
    compression("gzip1k", "JSON of 1 KiB, level 1", "/small.json", 1),
)


def check(server, workload):
    """Each answer is right; returns the size of its body as it was sent."""
    fields, content = server.check(workload.path, None, workload.headers)
    if workload.gzip != (fields["Content-Encoding"] == "gzip"):
        raise server.fail(f"GET {workload.path}: Content-Encoding {fields['Content-Encoding']}")
    if (zlib.decompress(content, 31) if workload.gzip else content) != workload.body:
        raise server.fail(f"GET {workload.path}: not the body expected")
    added = [name for name in fields if name.startswith("X-")]
    if len(added) != server.server.count("add_header"):
        raise server.fail(f"GET {workload.path}: added headers {added}")
    return len(content)


def load(server, workload, seconds):
    """(CPU seconds, requests)"""
    before = server.cpu()
    result = run_wrk(server.port, workload.path, workload.connections, seconds, headers=workload.headers)
    if result["refused"] or result["socket_errors"]:
        raise server.fail(f"{result['refused']} answers of status 400 or more, "
                          f"{result['socket_errors']} failed connections")
    return server.cpu() - before, result["requests"]


def measure_round(workload, options):
    """{system: {metric: value}}, of fresh servers."""
    spent, requests = dict.fromkeys(workload.systems, 0), dict.fromkeys(workload.systems, 0)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(setup.name, options.programs[setup.kind], FILES, kind=setup.kind,
                                              http=setup.http, server=setup.server)) for setup in workload.setups]
        sizes = {server.system: check(server, workload) for server in servers}
        for server in servers:
            load(server, workload, WARM_UP_S)
        for _ in range(options.seconds):
            for server in servers:
                cpu, count = load(server, workload, 1)
                spent[server.system] += cpu
                requests[server.system] += count
    return {name: {"cpu": spent[name] / requests[name] * 1e6} | ({"size": sizes[name]} if workload.gzip else {})
            for name in workload.systems}


def run_workload(workload, options):
    """{system: [one {metric: value} for each round]}"""
    samples = {name: [] for name in workload.systems}
    for number in range(1, options.rounds + 1):
        for name, sample in measure_round(workload, options).items():
            samples[name].append(sample)
            values = "  ".join(f"{metric} {value:.6g}" for metric, value in sample.items())
            print(f"{workload.name} round {number}/{options.rounds} {name}: {values}", file=sys.stderr, flush=True)
    return samples


def header(options):
    """What the figures were taken with."""
    return [f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores, load average before "
            f"{os.getloadavg()[0]:.2f}; {options.rounds} rounds of {options.seconds} x 1 s"]


def parse_options():
    names = " ".join(workload.name for workload in WORKLOADS)
    parser = argparse.ArgumentParser(description="Measures what a site's configuration costs, beside nginx.",
                                     epilog=f"Workloads: {names}")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of each workload (default 5)")
    parser.add_argument("--seconds", type=positive, default=3, help="seconds of load in each round (default 3)")
    parser.add_argument("--only", metavar="NAME[,NAME]", help="workloads whose name begins so")
    for kind, place in (("weir", "weir"), ("nginx", "tools/nginx")):
        parser.add_argument(f"--{kind}", default=TOP / "build" / place, type=pathlib.Path, metavar="PATH")
    return parser.parse_args()


def main():
    options = parse_options()
    options.systems = "weir,nginx"
    options.programs = chosen_programs(options)
    wanted = options.only.split(",") if options.only else [""]
    workloads = [workload for workload in WORKLOADS if any(workload.name.startswith(name) for name in wanted)]
    if not workloads:
        raise BenchError(f"no workload begins with {' or '.join(wanted)}; see --help")
    require_wrk()
    raise_file_limit(MAX_FILES)
    head, results, failures = header(options), [], 0
    for workload in workloads:
        try:
            results.append((workload, run_workload(workload, options)))
        except (BenchError, OSError) as problem:
            failures += 1
            print(f"bench: {workload.name} failed: {problem}", file=sys.stderr, flush=True)
    if results:
        report("site", head, results, METRICS)
    if failures:
        raise BenchError(f"{failures} of {len(workloads)} workloads failed, see above")


if __name__ == "__main__":
    run(main)
