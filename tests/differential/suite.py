"""A topic run: both servers, the backend, the requests of all cases, and what differs."""

import collections
import concurrent.futures
import contextlib
import importlib
import os
import pathlib
import re
import shutil
import socket
import ssl
import tempfile
import time

import backend as backends
import compare
import sides
from certificates import Authority
from compare import Diff, Exchange
from frames import Frames, Session
from handshakes import Handshakes, why
from weirlib import wait_until

LONG = os.environ.get("WEIR_DIFFERENTIAL") == "long"
TOPICS = sorted(path.stem for path in (pathlib.Path(__file__).parent / "topics").glob("[a-z]*.py"))
THREADS = 8

Result = collections.namedtuple("Result", "topic cases requests values diffs problems seconds")


class Client:
    """A case's clients on one side, one after the other, and their sessions of TLS."""

    def __init__(self, ip, port, handshakes):
        self.ip, self.port, self.handshakes, self.sessions = ip, port, handshakes, {}
        self.frames = None  # the last connection of HTTP/2

    def close(self):
        if self.frames:
            self.frames.close()

    def exchange(self, request):
        """The Exchange of a request on a connection of its own."""
        if isinstance(request, Session) and request.goes_on_from(self.frames):
            return self.frames.exchange(request)
        connection = socket.create_connection((self.ip, self.port), 5, (request.client, 0))
        connection.settimeout(request.patience * sides.SLOW)
        if isinstance(request, Session):
            return self.exchange_frames(connection, request)
        if not request.tls:
            with connection:
                return Exchange(*receive(connection, request))
        try:
            connection = self.handshakes.connect(connection, request.tls, self.sessions)
        except (ssl.SSLError, ConnectionError) as error:
            connection.close()
            return Exchange(b"", why(error))
        with connection:
            came, end = receive(connection, request)
            self.sessions[connection.context] = connection.session
            return Exchange(came, end, self.handshakes.seen_by_client(connection))


    def exchange_frames(self, connection, request):
        """The Exchange of a connection of HTTP/2, which stays for the next request."""
        self.close()
        handshake = {}
        if request.tls:
            connection = self.handshakes.connect(connection, request.tls, self.sessions)
            handshake = self.handshakes.seen_by_client(connection)
        self.frames = Frames(connection, request)
        return self.frames.exchange(request)._replace(handshake=handshake)


def receive(connection, request):
    """(every byte that came, how it ended)."""
    came, wanted = b"", len(request.methods)
    try:
        with contextlib.suppress(OSError):
            connection.sendall(request.raw)
        while True:
            piece = connection.recv(1 << 16)
            if not piece:
                return came, "closed"
            came += piece
            if request.keeps:
                answers, rest = compare.read_answers(came, request.methods)
                final = [each for each in answers if each.line[9:10] != b"1"]
                if len(final) >= wanted and not rest and not final[-1].body.startswith(b"cut"):
                    connection.settimeout(0.05 * sides.SLOW)
    except TimeoutError:
        return came, "open"
    except ConnectionResetError:
        return came, "closed"
    except ssl.SSLEOFError:
        return came, "closed without a word of TLS"
    except ssl.SSLError as error:
        return came, why(error)


def prepare(cases, tmp):
    """Write the files of the cases; those with the same files share a folder."""
    folders = {}
    for case in cases:
        key = tuple(sorted((name, content if content is None or isinstance(content, bytes) else content.encode())
                           for name, content in case.files.items()))
        case.folder = folders.setdefault(key, case.id)
        if case.folder != case.id:
            continue
        root = tmp / "files" / case.id
        root.mkdir(parents=True)
        for name, content in key:
            path = root / name
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)
                os.utime(path, (1700000000, 1700000000))


def fields_of(line):
    return dict(each.partition("=")[::2] for each in line.split("\t"))


def access_logs(side):
    """case number -> its entries."""
    found = collections.defaultdict(list)
    path = side.folder / "access.log"
    text = path.read_bytes() if path.exists() else b""
    text = compare.BOUNDARY.sub(b"boundary=B", compare.same_names(text))
    for line in text.decode("latin-1").splitlines():
        entry = fields_of(line)
        found[sides.number_of(entry.pop("server_addr"))].append(entry)
    return found


def own_lines(side, case, kind):
    """file name -> lines, of the logs that a case has for itself."""
    return {path.name.removeprefix(case.id):
            compare.same_names(path.read_bytes()).decode("latin-1").splitlines()
            for path in (side.folder / "logs").glob(f"{case.id}*{kind}")
            if not path.name.removeprefix(case.id)[0].isdigit()}


def settle(pair, cases):
    """Wait until both have written as many log lines; lines come a moment after the answer."""
    def settled():
        counts = [({number: len(entries) for number, entries in access_logs(side).items()},
                   {(case.number, name): len(lines) for case in cases for kind in (".log", ".error")
                    if case.log or case.errors or "%LOGS%" in case.server
                    for name, lines in own_lines(side, case, kind).items()}) for side in pair]
        return counts[0] == counts[1]
    with contextlib.suppress(AssertionError):  # what is missing then is a difference
        wait_until(settled, 1, "as many lines")


def mask_of(case):
    pairs = [(re.compile(pattern.encode("latin-1")), into.encode("latin-1")) for pattern, into in case.mask]

    def mask(value):
        for pattern, into in pairs:
            value = pattern.sub(into, value)
        return value
    return mask


class Topic:
    def __init__(self, name, only=None):
        module = importlib.import_module(f"topics.{name}")
        self.name, self.http = name, getattr(module, "HTTP", "")
        self.certify, self.handshakes = getattr(module, "certify", None), None
        self.cases = [case for case in module.CASES if (LONG or not case.long) and (not only or re.search(only, case.name))]
        names = collections.Counter(case.name for case in self.cases)
        assert max(names.values(), default=1) == 1, [name for name, count in names.items() if count > 1]
        for number, case in enumerate(self.cases, 1):
            case.number, case.topic = number, name

    def run(self, keep=None):
        """A Result."""
        start = time.monotonic()
        tmp = pathlib.Path(tempfile.mkdtemp(prefix="weir-differential-"))
        tmp.chmod(0o755)
        try:
            return self._run(tmp, start)
        finally:
            if keep:
                shutil.rmtree(keep, ignore_errors=True)
                shutil.copytree(tmp, keep, symlinks=True)
            shutil.rmtree(tmp, ignore_errors=True)

    def _run(self, tmp, start):
        prepare(self.cases, tmp)
        port = sides.free_port()
        if self.certify:
            (tmp / "certificates").mkdir()
            authority = Authority(tmp / "certificates")
            self.certify(authority)
            self.handshakes = Handshakes(authority)
        backend = backends.Backend(0, self.cases, self.handshakes)
        backend_port = backend.listener.getsockname()[1]
        pair = [sides.Side(name, tmp, port, backend_port, self.http) for name in sides.SIDES]
        programs = {"nginx": sides.find_nginx(), "weir": sides.WEIR}
        problems = []
        try:
            for side in pair:
                side.start(self.cases, programs[side.name])
            refused = {case for side in pair for case in side.refused}
            asked = [case for case in self.cases if case not in refused and not case.verdict]
            with concurrent.futures.ThreadPoolExecutor(THREADS) as executor:
                jobs = {(case, side.name): executor.submit(self._ask, case, side) for case in asked for side in pair}
                got = {key: job.result() for key, job in jobs.items()}
            settle(pair, asked)
        finally:
            for side in pair:
                problems += side.stop()
            backend.close()
        diffs, values = [], len(refused)
        for case in refused:
            said = [side.refused.get(case, "accepted") for side in pair]
            if "accepted" in said:
                diffs.append(Diff(self.name, case, "", "configuration", *said))
        logs = [access_logs(side) for side in pair]
        for case in asked:
            case_diffs, case_values = self._compare(case, [got[case, side.name] for side in pair], backend, pair, logs)
            diffs += case_diffs
            values += case_values
        return Result(self.name, len(self.cases), sum(len(case.requests) for case in asked), values, diffs, problems,
                      time.monotonic() - start)

    def _ask(self, case, side):
        client = Client(sides.address(sides.SERVER_NET[side.name], case.number), side.port, self.handshakes)
        answers = []
        for request in case.asked():
            if request.after_stray:
                case.strayed[side.name].wait(5 * sides.SLOW)
            answers.append(client.exchange(request.filled(lambda text: side.fill(case, text))))
        client.close()
        return answers

    def _compare(self, case, got, backend, pair, logs):
        mask, requests = mask_of(case), case.asked()

        def text_mask(text):
            return mask(text.encode("latin-1")).decode("latin-1")
        found, values = [], 0
        finals, known, whose = [[], []], [], []  # of each log line that is due: the answers, what differs, the request
        for request, nginx, weir in zip(requests, *got):
            diffs = [Diff(self.name, case, request.name, *each)
                     for each in compare.diff_answers(nginx, weir, request.methods, mask)]
            found += diffs
            due = [[each for each in compare.answers_of(side, request.methods)[0] if each.line[9:10] != b"1"] or [None]
                   for side in (nginx, weir)]
            for answers, mine in zip(finals, due):
                answers += mine
            known += [{each.field for each in diffs}] * len(due[0])
            whose += [request.name] * len(due[0])
            values += 3 + len(nginx.handshake) + sum(len(each.fields) for each in due[0] if each)
        seen = [backend.seen.get((side.name, case.number), []) for side in pair]
        found += [Diff(self.name, case, "", *each) for each in compare.diff_backend(*seen, mask)]
        shaken = [backend.shaken.get((side.name, case.number), []) for side in pair]
        if shaken[0] != shaken[1]:
            found.append(Diff(self.name, case, "", "backend handshakes", *shaken))
        values += len(shaken[0])
        values += sum(2 + each.split(b"\r\n\r\n")[0].count(b"\r\n") for each in seen[0])
        entries = [log[case.number] for log in logs]
        values += sum(map(len, entries[0]))
        for field, x, y, number in compare.diff_access(*entries, finals, known, text_mask):
            found.append(Diff(self.name, case, "" if number is None else whose[number], field, x, y))
        for kind in (".log", ".error"):
            own = [own_lines(side, case, kind) for side in pair]
            for name in sorted(own[0].keys() | own[1].keys()):
                lines = [[self._plain(line, kind, mask) for line in each.get(name, [])] for each in own]
                values += len(lines[0])
                if len(lines[0]) != len(lines[1]):
                    found.append(Diff(self.name, case, "", f"{kind} lines", *lines))
                    continue
                aligned = kind == ".log" and len(lines[0]) == len(whose)
                for number, (x, y) in enumerate(zip(*lines)):
                    if x != y and not (aligned and known[number] & {"status", "no answer", "body"}):
                        found.append(Diff(self.name, case, whose[number] if aligned else "", f"{kind} line", x, y))
        return found, values

    @staticmethod
    def _plain(line, kind, mask):
        line = compare.plain_error(line) if kind == ".error" else line
        return mask(compare.BOUNDARY.sub(b"boundary=B", line.encode("latin-1"))).decode("latin-1")
