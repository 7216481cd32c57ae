#!/usr/bin/python3
"""HTTP/2 beside nginx and h2o: requests, downloads, idle connections, and what one attacking connection does.

"return200", "file1k", "proxy": h2load, 64 connections of 32 streams. "down": large files on few. "idle": what each of 2 000 connections adds.
"attack": 100 requests a second on a good connection, first alone ("calm", p99) and then beside an attack (h2_attack.py): "cpu" is the server's
for each second of it, "grown" what the worker grew by at most and "stays" half a second after its end; "lasted" and "goaway" are of its first
connection. Attacker and client share the cores with the server, so p99 is not the server's alone. Each round measures every system once, each in
a fresh server with one worker, one right after the other. "plain" is HTTP/2 with prior knowledge, "tls" the same over TLS.
"""

import argparse
import contextlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field

from bench_http import chosen_programs, positive
from bench_tls import CIPHERS, FILES, PEMS, make_certificates
from h2_attack import ATTACKS
from h2_client import Connection, fields, trusting
from proxies import Backend, PeakRss, build_peer
from rounds import Metric, Pair, report
from servers import MAX_FILES, BenchError, Server, free_port, raise_file_limit, run

TOP = pathlib.Path(__file__).resolve().parent.parent
TEN, HUNDRED = ({f"{mib}m.txt": FILES["1m.txt"] * mib} for mib in (10, 100))
MIB = 1 << 20
BODY_1K = b"0" * 1024  # as proxy_peer.c has it
SETTLE_S = 3
WARM_UP_BYTES, PER_REQUEST = 1 << 30, 1 << 15  # a large answer costs by its bytes, a small one as much as so many
LOAD_LIMIT_S = 120
UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1}
IDLE, IDLE_WARM_UP = 2000, 64
RATE = 100
CALM_S = 2

METRICS = {"cpu": Metric("us each", 2, "less"), "rate": Metric("a second", 0, "more"), "failed": Metric("requests", 0, "less"),
           "speed": Metric("MiB/s", 0, "more"), "cpu_mib": Metric("us/MiB", 0, "less"), "memory": Metric("bytes each", 0, "less"),
           "cpu_s": Metric("s/s", 3, "less"), "grown": Metric("MiB", 2, "less"), "stays": Metric("MiB", 2, "less"),
           "calm": Metric("p99, ms", 2, "less"), "p99": Metric("ms", 2, "less"), "lost": Metric("good requests", 0, "less"),
           "ended": Metric("workers", 0, "less"), "lasted": Metric("s", 3, "less"), "goaway": Metric("code", 0, "more"),
           "connections": Metric("", 0, "less"), "units": Metric("a second", 0, "less"), "answers": Metric("a second", 0, "less"),
           "resets": Metric("a second", 0, "less"), "refused": Metric("a second", 0, "less")}

FRONT = """
listen 127.0.0.1:{port_h2}{h2} backlog=4096; listen 127.0.0.1:{port_tls} ssl{h2} backlog=4096; {on}
ssl_certificate {pems}/ecdsa.pem; ssl_certificate_key {pems}/ecdsa.key;
ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {ciphers}; {more}
"""

BEHIND = """
upstream backend { server {backend}; keepalive 64; keepalive_requests 1000000000; }
proxy_http_version 1.1; proxy_set_header Connection "";
"""
PROXIED = "location = /1k { proxy_pass http://backend; }"


# What has no file in it answers /return with a file: there is no other way without a language of its own.
H2O = """
num-threads: 1
max-connections: 20000
{user}
pid-file: {dir}/pid
error-log: {dir}/error.log
listen: {{host: 127.0.0.1, port: {port}}}
listen: {{host: 127.0.0.1, port: {port_h2}}}
listen: {{host: 127.0.0.1, port: {port_tls}, ssl: {{certificate-file: {pems}/ecdsa.pem, key-file: {pems}/ecdsa.key, cipher-suite: "{ciphers}"}}}}
hosts: {{default: {{paths: {{"/": {{file.dir: {dir}/www}}{behind}}}}}}}
"""
PROXIED_H2O = ', "/1k": {{proxy.reverse.url: "http://{backend}/1k"}}'


class Front(Server):
    """A server of HTTP/2 on two ports, and perhaps a backend behind it."""

    def __init__(self, system, program, workload):
        self.port_h2, self.port_tls = free_port(), free_port()
        self.backend = Backend(1) if workload.behind else None
        nginx = system == "nginx"
        front = (FRONT.replace("{port_h2}", str(self.port_h2)).replace("{port_tls}", str(self.port_tls)).replace("{pems}", str(PEMS))
                 .replace("{ciphers}", CIPHERS).replace("{h2}", " http2" if nginx else "").replace("{on}", "" if nginx else "http2 on;")
                 .replace("{more}", workload.more + (PROXIED if self.backend else "")))
        behind = BEHIND.replace("{backend}", self.backend.addresses[0]) if self.backend else ""
        super().__init__(system, program, workload.files, http=behind, server=front)
        self.watched = []

    def __enter__(self):
        super().__enter__()
        self.watched = self.workers()
        return self

    def __exit__(self, *exception):
        super().__exit__(*exception)
        if self.backend:
            self.backend.stop()

    def _write_files(self):
        super()._write_files()
        if self.system != "h2o":
            return
        (self.dir / "www" / "return").write_text("ok\n", encoding="ascii")
        behind = PROXIED_H2O.format(backend=self.backend.addresses[0]) if self.backend else ""
        user = "user: root" if os.geteuid() == 0 else ""
        (self.dir / "conf").write_text(H2O.format(user=user, dir=self.dir, port=self.port, port_h2=self.port_h2, port_tls=self.port_tls, pems=PEMS,
                                                  ciphers=CIPHERS, behind=behind), encoding="ascii")

    def _start(self):
        if self.system != "h2o":
            super()._start()
            return
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen([self.program, "-c", self.dir / "conf"], stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def workers(self):
        return [self.process.pid] if self.system == "h2o" else super().workers()

    def rss(self):
        """Bytes of the first workers' resident memory, files' pages aside; 0 of one that has ended."""
        total_kib = 0
        for pid in self.watched:
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
                total_kib += sum(int(kib) for kib in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+)", text, re.MULTILINE))
        return total_kib * 1024

    def serves(self, path, body, secure):
        with self.connection(secure) as connection:
            status, found = connection.fetch(fields(path))
        if status != "200" or found != body:
            raise self.fail(f"GET {path}: status {status}, {len(found)} bytes, not the answer expected")

    def connection(self, secure):
        return Connection(self.port_tls, trusting()) if secure else Connection(self.port_h2)


@dataclass(frozen=True)
class Workload:
    name: str
    about: str
    measure: callable  # (server, seconds, *args) -> {metric: value}
    args: tuple = ()
    files: dict = field(default_factory=dict)
    behind: bool = False
    more: str = ""
    systems: tuple = ("weir", "nginx", "h2o")
    pairs: tuple = (Pair("weir", "nginx", 1.0), Pair("weir", "h2o"))


def h2load(server, path, secure, requests, clients, streams):
    """What h2load counts: requests and bytes of bodies. So many requests: told a time instead, it now and then does not end."""
    where = f"https://127.0.0.1:{server.port_tls}" if secure else f"http://127.0.0.1:{server.port_h2}"
    command = ["h2load", "-t1", f"-c{clients}", f"-m{streams}", f"-n{max(requests, clients)}", where + path]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LOAD_LIMIT_S)
    except subprocess.TimeoutExpired as late:
        raise server.fail(f"h2load did not end within {LOAD_LIMIT_S} s") from late
    counts = re.search(r"^requests: .* (\d+) done, (\d+) succeeded", said.stdout, re.MULTILINE)
    traffic = re.search(r"^traffic: .* \((\d+)\) data", said.stdout, re.MULTILINE)
    took = re.search(r"^finished in ([\d.]+)(us|ms|s)", said.stdout, re.MULTILINE)
    if not (counts and traffic and took):
        raise server.fail(f"h2load: {said.stdout}{said.stderr}")
    good = int(counts.group(2))
    if not good:
        raise server.fail(f"no answer for {path}")
    return {"good": good, "failed": max(requests, clients) - good, "bytes": int(traffic.group(1)), "seconds": float(took.group(1)) * UNITS_S[took.group(2)]}


def loaded(server, seconds, path, body, secure, clients, streams):
    """(CPU seconds, what h2load counts) of about so many seconds, by the rate of a warm-up."""
    server.serves(path, body, secure)
    found = h2load(server, path, secure, max(4 * clients, WARM_UP_BYTES // (len(body) + PER_REQUEST)), clients, streams)
    before = server.cpu()
    found = h2load(server, path, secure, int(found["good"] / found["seconds"] * seconds), clients, streams)
    return server.cpu() - before, found


def load(server, seconds, path, body, secure):
    spent, found = loaded(server, seconds, path, body, secure, 64, 32)
    return {"cpu": spent / found["good"] * 1e6, "rate": found["good"] / found["seconds"], "failed": found["failed"]}


def down(server, seconds, path, body, secure, clients, streams):
    spent, found = loaded(server, seconds, path, body, secure, clients, streams)
    mib = found["bytes"] / MIB
    return {"cpu_mib": spent / mib * 1e6, "speed": mib / found["seconds"], "rate": found["good"] / found["seconds"], "failed": found["failed"]}


def idle(server, _seconds, secure):
    block = fields("/return")

    def held(stack, count):
        connections = [stack.enter_context(server.connection(secure)) for _ in range(count)]
        for connection in connections:
            connection.fetch(block)
        return connections
    with contextlib.ExitStack() as stack:
        held(stack, IDLE_WARM_UP)
    time.sleep(SETTLE_S)
    before = server.memory_bytes()
    with contextlib.ExitStack() as stack:
        connections = held(stack, IDLE)
        time.sleep(SETTLE_S)
        after = server.memory_bytes()
        for connection in connections:
            connection.fetch(block)  # it was open all the time
    return {"memory": (after - before) / IDLE}


def numbers(text):
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def client(server, program, *args):
    command = [sys.executable, "-B", TOP / "bench" / program, *map(str, args)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        raise server.fail(f"{program}: {said.stderr}")
    return numbers(said.stdout)


def good_client(server, seconds, beside=lambda: None):
    """(latencies of the good connection, what was done beside it)"""
    command = [sys.executable, "-B", TOP / "bench" / "h2_client.py", str(server.port_h2), str(seconds), str(RATE), "/return"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as good:
        if good.stdout.readline() != "ready\n":
            raise server.fail(f"the good connection was not answered: {good.stderr.read()}")
        said = beside()
        return numbers(good.stdout.read()), said


def attack(server, seconds, name):
    def attacked():
        before = sum(server.cpu_seconds())
        said = client(server, "h2_attack.py", name, server.port_h2, seconds)
        return said, (sum(server.cpu_seconds()) - before) / seconds
    calm, _ = good_client(server, min(CALM_S, seconds))
    with PeakRss(server) as peak:
        good, (said, cpu_s) = good_client(server, seconds, attacked)
    time.sleep(SETTLE_S)
    return {"cpu_s": cpu_s, "grown": (peak.peak - peak.before) / MIB, "stays": (server.rss() - peak.before) / MIB, "calm": calm["p99"],
            "p99": good["p99"], "lost": good["lost"], "ended": len(set(server.watched) - set(server.workers())), **said}


def both(name, about, measure, *args, **more):
    return [Workload(f"{name}-{kind}", f"{about}, {kind}", measure, (*args[:2], kind == "tls", *args[2:]), **more) for kind in ("plain", "tls")]


SLOW = "client_header_timeout 2s; client_body_timeout 2s;"
WORKLOADS = (
    *both("return200", "return 200", load, "/return", b"ok\n"),
    *both("file1k", "a file of 1 KiB", load, "/1k.txt", FILES["1k.txt"], files=FILES),
    *both("proxy", "1 KiB from a backend with HTTP/1.1", load, "/1k", BODY_1K, behind=True),
    *both("down1m", "1 MiB, 4 connections of 4 streams", down, "/1m.txt", FILES["1m.txt"], 4, 4, files=FILES),
    *both("down100m", "100 MiB, 2 connections of a stream", down, "/100m.txt", HUNDRED["100m.txt"], 2, 1, files=HUNDRED),
    *both("idle", f"{IDLE} idle connections", idle),
    *(Workload(f"attack-{each.name}", each.about, attack, (each.name,), files=TEN, behind=True, more=SLOW if each.name == "slow" else "")
      for each in ATTACKS.values()),
)


def run_workload(workload, options):
    """({system: [one {metric: value} for each round]}, failures); a system that fails is left out from then on."""
    samples = {name: [] for name in workload.systems if name in options.programs}
    failed = set()
    for number in range(1, options.rounds + 1):
        for name in [name for name in samples if name not in failed]:
            try:
                with Front(name, options.programs[name], workload) as server:
                    sample = workload.measure(server, options.seconds, *workload.args)
            except (BenchError, OSError) as problem:
                print(f"bench: {workload.name} failed: {name}: {problem}", file=sys.stderr, flush=True)
                failed.add(name)
                continue
            samples[name].append(sample)
            values = "  ".join(f"{metric} {value:.4g}" for metric, value in sample.items())
            print(f"{workload.name} round {number}/{options.rounds} {name}: {values}", file=sys.stderr, flush=True)
    return {name: rounds for name, rounds in samples.items() if name not in failed}, len(failed)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=f"Workloads: {' '.join(workload.name for workload in WORKLOADS)}")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of each workload (default 5)")
    parser.add_argument("--seconds", type=positive, default=4, help="seconds of load or attack in each round (default 4)")
    parser.add_argument("--only", metavar="NAME[,NAME]", default="", help="workloads whose name begins so")
    parser.add_argument("--systems", default="weir,nginx,h2o", help="weir,nginx,h2o (default) or some of them")
    for name in ("weir", "nginx", "h2o"):
        default = TOP / "build" / ("weir" if name == "weir" else f"tools/{name}")
        parser.add_argument(f"--{name}", default=default, type=pathlib.Path, metavar="PATH")
    options = parser.parse_args()
    options.programs = chosen_programs(options)
    if not shutil.which("h2load"):
        raise BenchError("h2load not found: apt-get install nghttp2-client")
    return options


def main():
    options = parse_options()
    chosen = [workload for workload in WORKLOADS if workload.name.startswith(tuple(options.only.split(",")))]
    if not chosen:
        raise BenchError(f"no workload begins with {options.only}; see --help")
    raise_file_limit(MAX_FILES)
    make_certificates()
    if any(workload.behind for workload in chosen):
        build_peer()
    head = [f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores, load average before {os.getloadavg()[0]:.2f}; "
            f"{options.rounds} rounds of {options.seconds} s"]
    results, failures = [], 0
    for workload in chosen:
        samples, failed = run_workload(workload, options)
        failures += failed
        if samples:
            results.append((workload, samples))
    if results:
        report("h2", head, results, METRICS)
    if failures:
        raise BenchError(f"{failures} measurements failed, see above")


if __name__ == "__main__":
    run(main)
