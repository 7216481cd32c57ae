"""What the tests of limit_concurrency share: servers with zones, requests that are held at will, and who ran when.

A "held" request runs the tally handler (tally.c) until its gate is opened; runs() tells which requests have run, in
which worker, from when to when, as the handler itself recorded it.
"""

import asyncio
import atexit
import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict

import weirlib
from weirlib import config, limit, proc_field, wait_until, watch

SPREAD = "127.0.0.1:{port} reuseport"  # the kernel then spreads connections over the workers
REASONS = {"limit", "queue_full", "queue_timeout", "codel", "client_gone", "draining"}

TALLY = "handler tally file={tmp}/tally;"
LOCATIONS = f"""
    location /held {{ limit_concurrency z; {TALLY} }}
    location /high {{ limit_concurrency z priority=high; {TALLY} }}
    location /normal {{ limit_concurrency z priority=normal; {TALLY} }}
    location /low {{ limit_concurrency z priority=low; {TALLY} }}
    location /free {{ {TALLY} }}
    location = /who {{ return 200 $pid; }}
"""
LOG = """
    log_format limits '$request_uri|$status|$limit_concurrency_status|$limit_concurrency_reason|'
                      '$limit_concurrency_queue_time|$limit_concurrency_zone';
"""


@functools.cache
def tally_module():
    """The path of the module with the tally handler."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-tally-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    source, path = pathlib.Path(__file__).with_name("tally.c"), folder / "tally.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-I", weirlib.BINARY.parent / "include", source, "-o", path], check=True)
    return path


def limited(zone="limit=1", locations=LOCATIONS, *, http="", server="", main="", pool="threads=32 max_queue=1000",
            **parts):
    """A configuration with the zone z (none for None) and the tally module; it logs what the limits did."""
    zones = f"limit_concurrency_zone z {zone};" if zone is not None else ""
    return config(locations, http=zones + LOG + http, server="access_log logs/limits.log limits;" + server,
                  main=f"load_module {tally_module()};" + main, pool=pool, **parts)


def serve(weir, zone="limit=1", locations=LOCATIONS, **parts):
    """Start a server with limited(); waits for its workers."""
    weir.start(limited(zone, locations, **parts))
    weir.wait_workers(parts.get("workers", 1))
    return weir


# ---- what the server says ---------------------------------------------------------------------------------

def status(weir, target="/status?format=json"):
    """The status document; a worker may have been killed under the first request for it."""
    def answered():
        try:
            return weir.get(target).json()
        except (OSError, EOFError):
            return None
    return wait_until(answered, 3, "the status")


def zone(weir, name="z"):
    """What the status says about a zone."""
    return status(weir)["concurrency"][name]


def settled(weir, seconds=3, name="z", **figures):
    """Wait until the zone has these figures (rejected: only the reasons named); returns the zone."""
    def holds():
        now = zone(weir, name)
        reasons = figures.get("rejected", {})
        plain = {key: value for key, value in figures.items() if key != "rejected"}
        seen.append(now)
        return now if plain.items() <= now.items() and reasons.items() <= now["rejected"].items() else None
    seen = []
    try:
        return wait_until(holds, seconds, f"zone {name} with {figures}")
    except AssertionError as error:
        raise AssertionError(f"{error}; last: {seen[-1]}") from None


def idle(weir, seconds=3, name="z"):
    """Wait until nobody holds or awaits a permit."""
    return settled(weir, seconds, name, in_flight=0, queued=0)


def logged(weir, pattern, count=1):
    """The access log's lines whose URI matches, split into fields, once there are so many; more are an error."""
    path = weir.tmp / "logs/limits.log"

    def lines():
        text = path.read_text(errors="replace") if path.exists() else ""
        found = [line.split("|") for line in text.splitlines()]
        return [fields for fields in found if re.match(pattern, fields[0])]
    found = wait_until(lambda: len(lines()) >= count and lines(), 3, f"{count} lines of {pattern} in the access log")
    assert len(found) == count, found
    return found


# ---- requests under way -----------------------------------------------------------------------------------

def send(weir, targets, connections=None):
    """Send each target on a connection of its own, new or given; returns the connections."""
    connections = connections or [weir.connect(timeout=20) for _ in targets]
    for connection, target in zip(connections, targets):
        connection.request(target)
    return connections


def statuses(connections):
    """The status of each connection's answer."""
    return [connection.response().status for connection in connections]


def hold(weir, count, target="/held?id=held&gate=g", name="z", connections=None):
    """Send requests that take so many permits of the zone and keep them until the gate opens; their handlers run."""
    before, running = zone(weir, name)["in_flight"], len(runs(weir, but=None))
    connections = send(weir, [target] * count, connections)
    settled(weir, name=name, in_flight=before + count)
    if "gate=" in target:
        wait_until(lambda: len(runs(weir, but=None)) == running + count, 3, f"{count} handlers more")
    return connections


def enqueue(weir, targets, connections=None, name="z"):
    """Send requests one after another, each once the one before it waits in the zone's queue."""
    connections = connections or [weir.connect(timeout=20) for _ in targets]
    before = zone(weir, name)["queued"]
    for i, (connection, target) in enumerate(zip(connections, targets)):
        connection.request(target)
        settled(weir, name=name, queued=before + i + 1)
    return connections


def open_gate(weir, gate="g"):
    (weir.tmp / f"tally.{gate}").touch()


def spread(weir, workers, each):
    """{pid: connections}: so many keep-alive connections to each of the workers."""
    found = defaultdict(list)
    for _ in range(400):
        connection = weir.connect(timeout=20)
        pid = int(connection.get("/who").text)
        if len(found[pid]) < each:
            found[pid].append(connection)
        else:
            connection.close()
        if len(found) == workers and all(len(some) == each for some in found.values()):
            return dict(found)
    raise AssertionError(f"connections did not spread: { {pid: len(some) for pid, some in found.items()} }")


def used(weir, count):
    """So many keep-alive connections that have had an answer each."""
    connections = [weir.connect(timeout=20) for _ in range(count)]
    for connection in connections:
        assert connection.get("/who").status == 200
    return connections


def usable(weir, count, target="/held?id=last&gate=last", name="z"):
    """Whether exactly so many permits of an idle zone can be had at once; they are given back."""
    idle(weir, name=name)
    before = len(runs(weir))
    clients = send(weir, [target] * count)
    settled(weir, name=name, in_flight=count, queued=0)
    wait_until(lambda: len(runs(weir)) == before + count, 3, f"{count} handlers")
    extra = weir.connect()
    extra.request(target)
    watch(0.1)
    now = zone(weir, name)
    assert now["in_flight"] == count and len(runs(weir)) == before + count, now
    extra.close()
    open_gate(weir, "last")
    assert statuses(clients) == [200] * count
    idle(weir, name=name)


# ---- workers ----------------------------------------------------------------------------------------------

@contextlib.contextmanager
def stopped(*pids):
    """The processes stand still for the time of the block, unless the block kills them."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            wait_until(lambda p=pid: proc_field(p, "State").startswith("T"), 1, "a stopped worker")
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


# ---- what ran ---------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Run:
    id: str
    pid: int
    start: int
    end: int = None  # None: it still runs, or its worker died


def runs(weir, but="held"):
    """The runs of the tally handler in the order of their starts, without those of a given id."""
    path, found, open_runs = weir.tmp / "tally", [], defaultdict(list)
    text = path.read_text() if path.exists() else ""
    for line in text[:text.rfind("\n") + 1].splitlines():  # the last one may not be whole yet
        what, pid, name, moment = line.split(" ")
        if what == "start":
            found.append(Run(name, int(pid), int(moment)))
            open_runs[pid, name].append(found[-1])
        else:
            open_runs[pid, name].pop(0).end = int(moment)
    return sorted((run for run in found if run.id != but), key=lambda run: run.start)


def ids(weir, but="held"):
    """The ids of what ran, in the order of their starts."""
    return [run.id for run in runs(weir, but)]


def highest(weir, killed=()):
    """The most runs at any moment; runs in killed workers ({pid: nanoseconds}) end with them at the latest."""
    steps = []
    for run in runs(weir, but=None):
        end = run.end if run.end is not None else dict(killed).get(run.pid)
        steps.append((run.start, 1))
        if end is not None:
            steps.append((max(run.start, end), -1))
    now = most = 0
    for _, step in sorted(steps):  # at one moment ends come first
        now += step
        most = max(most, now)
    return most


# ---- a crowd of clients -----------------------------------------------------------------------------------

class Crowd:
    """Many closed-loop keep-alive clients in one background thread: answers by status, and what broke.

    Each request has an id of its own. A reused connection that ends before the first byte of an answer is sent again
    on a new one (RFC 9112 section 9.3.1) and counted in `retried`; a client that was refused rests.
    """

    def __init__(self, port, clients, target="/held?ms=10", rest=0.15, answers_within=20):
        self.port, self.clients, self.target, self.rest = port, clients, target, rest
        self.answers_within = limit(answers_within)
        self.answers, self.broken, self.retried = defaultdict(int), [], 0
        self.longest = 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """No new requests; waits for the answers to those under way."""
        self.stopping.set()
        self.thread.join()

    async def _all(self):
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))

    async def _client(self, number):
        stream, sent = None, 0
        # They do not all begin at once.
        await asyncio.sleep(0.3 * number / self.clients)
        while not self.stopping.is_set():
            reused, sent, started = stream is not None, sent + 1, time.monotonic()
            try:
                stream = stream or await asyncio.open_connection("127.0.0.1", self.port)
                code, keep = await asyncio.wait_for(self._ask(stream, f"{number}.{sent}"), self.answers_within)
            except Unanswered:
                self.retried += reused
                if not reused:
                    self.broken.append("closed without an answer")
                code, keep = None, False
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                self.broken.append(repr(error))
                code, keep = None, False
            if code:
                self.answers[code] += 1
                self.longest = max(self.longest, time.monotonic() - started)
            if stream and not keep:
                stream[1].close()
                stream = None
            if code != 200:
                await asyncio.sleep(self.rest)
        if stream:
            stream[1].close()

    async def _ask(self, stream, name):
        reader, writer = stream
        joiner = "&" if "?" in self.target else "?"
        try:
            writer.write(f"GET {self.target}{joiner}id={name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
        except (ConnectionResetError, BrokenPipeError):
            raise Unanswered from None
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            raise Unanswered from None
        length = int(re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)[1])
        await reader.readexactly(length)
        return int(head.split(b" ", 2)[1]), not re.search(rb"\r\nconnection: *close", head, re.I)


class Unanswered(Exception):
    """The connection ended before the first byte of an answer."""
