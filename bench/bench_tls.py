#!/usr/bin/python3
"""TLS beside nginx and HAProxy: handshakes, requests on kept connections, idle connections, and a storm of handshakes.

"full" and "resumed": clients that shake hands, and come again; what a handshake costs the server. "kept": wrk over https. "idle": what
each of 10 000 connections adds. "storm": 64 kept connections ask while new ones with RSA-4096 come at three times what the machine can do;
"after" is the latency a second after its end, "calm" the same without the storm. All have the same certificates and ciphers. Each round measures every system once, each in a fresh
server, one right after the other.
"""

import argparse
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

from rounds import BUILD, Metric, Pair, report
from servers import MAX_FILES, BenchError, Server, free_port, raise_file_limit, run

TOP = pathlib.Path(__file__).resolve().parent.parent
PEER = BUILD / "tls_peer"
PEMS = BUILD / "pems"
KINDS = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa2048": ["-newkey", "rsa:2048"], "rsa4096": ["-newkey", "rsa:4096"]}
FILES = {"1k.txt": b"weir " * 204 + b"weir", "1m.txt": b"0123456789abcde\n" * 65536}
CIPHERS = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
CLIENTS = 32
KEPT = 64
WARM_UP_S, SETTLE_S = 1, 1.5
IDLE = 10000
STORM_TIMES = 3
CALIBRATION_S = 2
AFTER_S = 1

METRICS = {"cpu": Metric("us each", 1, "less"), "rate": Metric("a second", 0, "more"), "failed": Metric("connections", 0, "less"),
           "memory": Metric("bytes each", 0, "less"), "p50": Metric("ms", 2, "less"), "p99": Metric("ms", 2, "less"),
           "after": Metric("p99, ms", 2, "less"), "handshakes": Metric("of the possible", 3, "more"), "asked": Metric("a second", 0, "more")}

TLS = """
listen 127.0.0.1:{port_tls} ssl backlog=4096;
ssl_certificate {pems}/{kind}.pem; ssl_certificate_key {pems}/{kind}.key;
ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {ciphers}; ssl_session_timeout 1h; {more}
"""

HAPROXY = """\
global
    maxconn 8000
    nbthread 1
    tune.ssl.default-dh-param 2048
defaults
    mode http
    timeout client 65s
    timeout server 65s
    timeout connect 5s
    timeout http-keep-alive 65s
frontend tls
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{port_tls} ssl crt {pems}/{kind}.both ciphers {ciphers}
    http-request return status 200 content-type text/plain string "ok\\n" if {{ path /return }}
    http-request return status 200 content-type text/plain file {dir}/www/1k.txt if {{ path /1k.txt }}
    http-request return status 404
"""


class Secure(Server):
    """A server with a certificate of that kind; weir1, 2, 4: with a pool of so many threads for handshakes, weir0: with them in the loop."""

    def __init__(self, system, program, kind):
        flavour = "ssl_handshake_pool tls;" if system in THREADS else "ssl_handshake_pool off;" if system == "weir0" else ""
        self.port_tls = free_port()
        super().__init__(system, program, FILES, kind="nginx" if system == "nginx" else "weir",
                         server=self.fill(TLS, kind, flavour), http="")
        self.certificate = kind

    def fill(self, text, kind, more=""):
        return (text.replace("{port_tls}", str(self.port_tls)).replace("{pems}", str(PEMS)).replace("{kind}", kind)
                .replace("{ciphers}", CIPHERS).replace("{more}", more))

    def _write_files(self):
        super()._write_files()
        if self.system == "haproxy":
            (self.dir / "conf").write_text(HAPROXY.format(dir=self.dir, port=self.port, port_tls=self.port_tls,
                                                          pems=PEMS, kind=self.certificate, ciphers=CIPHERS), encoding="ascii")
        elif self.system in THREADS:
            conf = (self.dir / "conf").read_text(encoding="ascii")
            pool = f"thread_pool tls threads={THREADS[self.system]} max_queue=65536 discipline=codel;\n"
            (self.dir / "conf").write_text(pool + conf, encoding="ascii")

    def _start(self):
        if self.system != "haproxy":
            super()._start()
            return
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen([self.program, "-f", self.dir / "conf", "-db"], stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def workers(self):
        return super().workers() or [self.process.pid]


THREADS = {"weir1": 1, "weir2": 2, "weir4": 4}
SYSTEMS = ("weir", "nginx", "haproxy")
NGINX = (Pair("weir", "nginx", 1.05), Pair("weir", "haproxy"))


@dataclass(frozen=True)
class Workload:
    name: str
    about: str
    kind: str
    measure: callable
    args: tuple = ()
    systems: tuple = SYSTEMS
    pairs: tuple = NGINX


def peer(*args):
    """What tls_peer says, by name."""
    said = subprocess.run([PEER, *map(str, args)], capture_output=True, text=True, check=False)
    if said.returncode:
        raise BenchError(f"tls_peer {' '.join(map(str, args))}: {said.stderr}")
    return {name: float(value) for name, value in (line.split() for line in said.stdout.splitlines())}


def wrk(server, path, seconds, connections=64):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s", TOP / "bench" / "wrk.lua",
               f"https://127.0.0.1:{server.port_tls}{path}", "--", "1"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((line for line in said.stdout.splitlines() if line.startswith("result ")), None)
    if not line:
        raise server.fail(f"wrk: {said.stdout}{said.stderr}")
    return {name: int(value) for name, value in (pair.split("=") for pair in line.split()[1:])}


def handshakes(server, seconds, version, resume):
    peer("handshakes", server.port_tls, WARM_UP_S, CLIENTS, version, resume)
    before = server.cpu()
    found = peer("handshakes", server.port_tls, seconds, CLIENTS, version, resume)
    if bool(found["resumed"]) != bool(resume):
        raise server.fail(f"{found['resumed']:.0f} of {found['finished']:.0f} handshakes took a session up")
    return {"cpu": (server.cpu() - before) / found["finished"] * 1e6, "rate": found["rate"], "failed": found["failed"]}


def kept(server, seconds, path):
    wrk(server, path, WARM_UP_S)
    before = server.cpu()
    found = wrk(server, path, seconds)
    return {"cpu": (server.cpu() - before) / found["requests"] * 1e6, "rate": found["requests"] / (found["duration_us"] / 1e6),
            "failed": found["refused"] + found["socket_errors"]}


def idle(server, _seconds):
    def held(count):
        process = subprocess.Popen([PEER, "idle", str(server.port_tls), str(count), "13"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not process.stdout.readline().startswith("ready"):
            raise server.fail("not all connections were answered")
        return process
    with held(64) as first:
        first.communicate()
    time.sleep(SETTLE_S)
    before = server.memory_bytes()
    with held(IDLE) as process:
        time.sleep(SETTLE_S)
        after = server.memory_bytes()
        process.communicate()
    return {"memory": (after - before) / IDLE}


def handshakes_a_second(server):
    """By clients who wait for each, and with nothing else to do: what the server can do of them at the most, for now."""
    return peer("handshakes", server.port_tls, CALIBRATION_S, CLIENTS, "13", 0)["rate"]


def kept_clients(server, seconds, beside=lambda: None):
    """Latencies of requests on kept connections; and what is done beside them."""
    with subprocess.Popen([PEER, "kept", str(server.port_tls), str(seconds), str(KEPT)], stdout=subprocess.PIPE, text=True) as clients:
        if clients.stdout.readline() != "ready\n":
            raise server.fail("the kept connections were not answered")
        said = beside()
        return {name: float(value) for name, value in (line.split() for line in clients.stdout.read().splitlines())}, said


def storm(server, seconds, stormy):
    """The same in a storm, and a second after it; and what of the handshakes that are possible beside them is finished."""
    if not stormy:
        return kept_clients(server, seconds)[0]
    possible = handshakes_a_second(server)
    values, said = kept_clients(server, seconds, lambda: peer("storm", server.port_tls, seconds, STORM_TIMES * possible, "13"))
    time.sleep(AFTER_S)
    after, _ = kept_clients(server, seconds)
    possible = (possible + handshakes_a_second(server)) / 2  # a shared machine is not what it was
    return values | {"handshakes": said["rate"] / possible, "rate": said["rate"], "after": after["p99"]}


def full(kind, version, resume):
    word = "resumed" if resume else "full"
    return Workload(f"{word}-{kind}-{version}", f"{word} handshakes, {kind}, TLS {version[0]}.{version[1]}", kind, handshakes, (version, resume))


WORKLOADS = (
    *(full(kind, version, resume) for resume in (0, 1) for kind in ("ecdsa", "rsa2048") for version in ("12", "13")),
    Workload("kept1k", "requests for 1 KiB on 64 kept connections", "ecdsa", kept, ("/1k.txt",), pairs=(Pair("weir", "nginx", 1.0), Pair("weir", "haproxy"))),
    Workload("kept1m", "requests for 1 MiB on 64 kept connections", "ecdsa", kept, ("/1m.txt",), ("weir", "nginx"), (Pair("weir", "nginx", 1.0),)),
    Workload("idle", f"{IDLE} idle connections", "ecdsa", idle, (), ("weir", "nginx"), (Pair("weir", "nginx", 1.0),)),
    Workload("calm", "64 kept connections", "rsa4096", storm, (False,), ("weir", "weir1", "weir2", "weir4", "weir0", "nginx", "haproxy")),
    Workload("storm", "64 kept connections, and a storm of handshakes", "rsa4096", storm, (True,), ("weir", "weir1", "weir2", "weir4", "weir0", "nginx", "haproxy")),
)


def run_workload(workload, options):
    samples = {name: [] for name in workload.systems if options.systems is None or name in options.systems}
    for number in range(1, options.rounds + 1):
        for name, rounds in samples.items():
            with Secure(name, options.programs["weir" if name.startswith("weir") else name], workload.kind) as server:
                sample = workload.measure(server, options.seconds, *workload.args)
            rounds.append(sample)
            values = "  ".join(f"{metric} {value:.4g}" for metric, value in sample.items())
            print(f"{workload.name} round {number}/{options.rounds} {name}: {values}", file=sys.stderr, flush=True)
    return samples


def make_certificates():
    PEMS.mkdir(parents=True, exist_ok=True)
    for kind, how in KINDS.items():
        pem, key, both = (PEMS / f"{kind}.{end}" for end in ("pem", "key", "both"))
        if not both.exists():
            subprocess.run(["openssl", "req", "-x509", *how, "-nodes", "-keyout", key, "-out", pem, "-days", "3650", "-subj", "/CN=localhost"],
                           capture_output=True, check=True)
            key.chmod(0o600)
            both.write_text(pem.read_text(encoding="ascii") + key.read_text(encoding="ascii"), encoding="ascii")
            both.chmod(0o600)


def build_peer():
    source = TOP / "bench" / "tls_peer.c"
    if not PEER.exists() or PEER.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", source, "-o", PEER, "-lssl", "-lcrypto"], check=True)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=f"Workloads: {' '.join(workload.name for workload in WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each workload (default 5)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of load in each round (default 4)")
    parser.add_argument("--only", metavar="NAME", default="", help="workloads whose name begins so")
    parser.add_argument("--systems", type=lambda text: text.split(","), help="of weir,nginx,haproxy, and of weir1,weir2,weir4,weir0 in storms (default: all)")
    for name in SYSTEMS:
        default = TOP / "build" / ("weir" if name == "weir" else f"tools/{name}")
        parser.add_argument(f"--{name}", default=default, type=pathlib.Path, metavar="PATH")
    options = parser.parse_args()
    options.programs = {name: getattr(options, name).absolute() for name in SYSTEMS}
    for name, program in options.programs.items():
        if not os.access(program, os.X_OK):
            raise BenchError(f"{program} is not there: run make bench-tls")
    if not shutil.which("wrk"):
        raise BenchError("wrk not found: apt-get install wrk")
    return options


def main():
    options = parse_options()
    raise_file_limit(MAX_FILES)
    build_peer()
    make_certificates()
    head = [f"# {platform.system()} {platform.release()}, {os.cpu_count()} cores; {options.rounds} rounds of {options.seconds} s"]
    chosen = [workload for workload in WORKLOADS if workload.name.startswith(options.only)]
    report("tls", head, [(workload, run_workload(workload, options)) for workload in chosen], METRICS)


if __name__ == "__main__":
    run(main)
