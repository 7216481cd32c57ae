"""Thousands of generated HTTP/1 messages, good and bad: the server against h11 as the reference parser.

A message is built from valid parts, of which one is then spoiled more often than not. What the server makes of the
bytes - the requests it answers with their method, target and body, and how the connection then goes on - must be what
h11 makes of them, but for what DIFFERENCES lists. All of those are refusals of what h11 lets pass, since another
program between client and server may read it in another way.
"""

import random
import re
import socket
from collections import Counter, namedtuple

import h11
import pytest
import weirlib
from weirlib import config

MESSAGES = 4000
SEED = 9112

CONF = config(http="""
    log_format seen '$status $request_method $request_uri';
    server {
        listen 127.0.0.1:{port2};
        access_log {tmp}/logs/accepted.log seen;
        location / { handler echo; }
    }
""")

TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(;%s(=(%s|\"[^\"\\\x00-\x1f]*\"))?)*\r\n" % (TOKEN, TOKEN))
TRAILERS = re.compile(rb"(%s:[^\r\n\0]*\r\n)*\r\n" % TOKEN)
CHUNKED = re.compile(rb"^transfer-encoding:", re.I | re.M)
LENGTH = re.compile(rb"^content-length:", re.I | re.M)
KEPT_IN_1_0 = re.compile(rb" HTTP/1\.0\r?\n(.*\n)*connection: *keep-alive", re.I)  # h11 closes all the same

# What h11 accepts and the server must refuse: the reason, and what holds for the head of such a message.
DIFFERENCES = {
    "a folded line is another field to some": lambda head: re.search(rb"\n[ \t]", head),
    "a length and chunks": lambda head: LENGTH.search(head) and CHUNKED.search(head),
    "chunks in HTTP/1.0": lambda head: CHUNKED.search(head) and re.search(rb" HTTP/1\.0\r?\n", head),
    "a list of lengths": lambda head: len(LENGTH.findall(head)) > 1 or re.search(rb"(?im)^content-length:.*,", head),
    "a method that is not in capitals": lambda head: not re.match(rb"[A-Z_-]+ ", head),
    "a version that is not 1.x": lambda head: not re.search(rb" HTTP/1\.\d\r?\n", head),
    "a target that is neither path nor absolute": lambda head: not re.match(rb"\S+ (/|https?://[^/? ])", head),
    "a target with a broken escape": lambda head: re.match(rb"\S+ [^ ?]*%(?![0-9A-Fa-f]{2})", head),
    "a target with an escaped NUL": lambda head: re.match(rb"\S+ [^ ?]*%00", head),
    "a target above the root": lambda head: re.match(rb"\S+ (https?://[^/]+)?/(\.\.|%2[eE]%2[eE])[/? ]", head),
    "a host that is none": lambda head: re.search(rb"(?im)^host:[ \t]*(?![ \t])(\r?$|\S*/|\S+[ \t]+\S|\S*:\d*[^\d\s])",
                                                head),
}


def strict_chunks(body):
    """Whether a chunked body is written just as RFC 9112 section 7.1 has it, which the server may insist on."""
    while line := CHUNK_LINE.match(body):
        size, body = int(line[1], 16), body[line.end():]
        if size == 0:
            return TRAILERS.fullmatch(body)
        if body[size:size + 2] != b"\r\n":
            return None
        body = body[size + 2:]


# ---- messages ---------------------------------------------------------------------------------------------

def pick_target(rng):
    path = "/" + "/".join(rng.choice(["a", "b.txt", "%41", "c-d", "~e", "f%20g", "."]) for _ in range(rng.randrange(4)))
    query = rng.choice(["", "", "?", "?x=1&y=%zz", "?a/../b?c"])
    return rng.choice(["", "", "", "http://b.example", "http://b.example:8080"]) + path + query


def pick_fields(rng):
    names = ["Accept", "X-Long-Name", "x_y", "A", "!#$%&'*+-.^_`|~9", "Cookie"]
    values = ["b", "", "c, d;e=\"f\"", "two  words", "caf\xe9", "x" * 300]
    return [f"{rng.choice(names)}:{rng.choice(['', ' ', '  ', chr(9)])}{rng.choice(values)}{rng.choice(['', ' '])}"
            for _ in range(rng.randrange(5))]


def pick_body(rng):
    return bytes(rng.choices(b"ab\r\n:0", k=rng.choice([0, 1, 5, 40, 300])))


def chunks(rng, body):
    """The body in chunks, each a bit different in its looks."""
    out, at = b"", 0
    while at < len(body):
        piece = body[at:at + rng.randrange(1, 60)]
        size = rng.choice([b"%x", b"%X", b"0%x", b"%04x"]) % len(piece)
        out += size + rng.choice([b"", b"", b";a", b";a=b", b";a=\"b c\""]) + b"\r\n" + piece + b"\r\n"
        at += len(piece)
    return out + rng.choice([b"0", b"00", b"0;z=1"]) + b"\r\n" + rng.choice([b"", b"", b"T: u\r\n"]) + b"\r\n"


def build(rng):
    """A valid message as (lines of its head, its body on the wire)."""
    method, version = rng.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"]), rng.choice(["1.1"] * 6 + ["1.0"])
    fields = pick_fields(rng)
    if version == "1.1" or rng.random() < 0.5:
        fields.append(rng.choice(["Host: a", "host:a.example", "HOST: a:80"]))
    body, framing = pick_body(rng), rng.choice(["none", "length", "length", "chunks"])
    if framing == "chunks" and version == "1.1":
        fields.append(rng.choice(["Transfer-Encoding: chunked", "transfer-encoding:Chunked"]))
        body = chunks(rng, body)
    elif framing == "none" or framing == "chunks":
        body = b""
    else:
        fields.append(rng.choice(["Content-Length: %d", "content-length:%d ", "Content-Length: 0%d"]) % len(body))
    if rng.random() < 0.1:
        fields.append(rng.choice(["Connection: close", "Connection: keep-alive"]))
    rng.shuffle(fields)
    return [f"{method} {pick_target(rng)} HTTP/{version}", *fields], body


# ---- and how they are spoiled -----------------------------------------------------------------------------

SPOILED_LINES = {
    "method": lambda rng, line: rng.choice(["get", "G T", "", "G@T", "Get", "(", "GE\tT"]) + line[line.index(" "):],
    "target": lambda rng, line: line.replace(" " + line.split(" ")[1], " " + rng.choice(
        ["a", "/%00", "/a%4", "/%zz", "/../a", "/%2e%2e/", "/a\x01", "/a\x7f", "/a b", "http://", "//", ""]), 1),
    "version": lambda rng, line: line[:-3] + rng.choice(
        ["1.0", "1.0", "2.0", "3.1", "1", "1.", "11", "x.1", "1.1.1", "0.9"]),
    "spaces": lambda rng, line: line.replace(" ", rng.choice(["  ", "\t", " \t", ""]), 1),
    "last spaces": lambda rng, line: rng.choice(["%s ", " %s", "%s\t"]) % line,
    "words": lambda rng, line: rng.choice([line + " x", line.split(" ")[0], line[:-9], "\r" + line]),
}

SPOILED_FIELDS = ["B : c", "B\t: c", " B: c", "B", ": c", "B(: c", "B\0: c", "B: c\0", "B: c\rd", "B: c\r", "",
                  "B: c\r\n d", "B: c\r\n\td", "Host: a", "Host: b", "Host: a/b", "Host: a b", "Host:",
                  "Content-Length: 3", "Content-Length: 3, 3", "Content-Length: 3, 4", "Content-Length: -1",
                  "Content-Length: +3", "Content-Length: 3 3", "Content-Length:", "Content-Length: 0x3",
                  "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked",
                  "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding:",
                  "B\r: c", "\rB: c", "Content-Length : 3", "B\xe9: c"]


def spoil_body(rng, body):
    """One byte changed, left out or added, or another piece of framing put in."""
    at = rng.randrange(len(body) + 1)
    piece = rng.choice([b"", b"\r", b"\n", b"x", b"0", b";", b" ", b"\r\n", b"-", b"fffffffff", b"\0"])
    return body[:at] + piece + body[at + rng.randrange(2):]


def spoil_ends(rng, lines):
    """The head with one of its line ends replaced."""
    ends = ["\r\n"] * (len(lines) + 1)
    ends[rng.randrange(len(ends))] = rng.choice(["\n", "\r", "\r\r\n", "\n\n", ""])
    return "".join(line + end for line, end in zip([*lines, ""], ends))


def generate(rng):
    """The bytes of one message, mostly spoiled in one place, and what was done to it."""
    lines, body = build(rng)
    how = rng.choice(["good", "good", "good", "line", "line", "field", "field", "body", "ends", "drop", "repeat"])
    if how == "line":
        kind = rng.choice(list(SPOILED_LINES))
        how, lines[0] = f"line: {kind}", SPOILED_LINES[kind](rng, lines[0])
    elif how == "field":
        how = rng.choice(SPOILED_FIELDS)
        lines.insert(rng.randrange(1, len(lines) + 1), how)
    elif how == "body":
        body = spoil_body(rng, body)
    elif how == "drop" and len(lines) > 1:
        lines.pop(rng.randrange(1, len(lines)))
    elif how == "repeat":
        lines.append(rng.choice(lines[1:] or ["Host: a"]))
    head = spoil_ends(rng, lines) if how == "ends" else "".join(line + "\r\n" for line in [*lines, ""])
    return how, head.encode("latin-1") + body


# ---- the two verdicts -------------------------------------------------------------------------------------

Request = namedtuple("Request", "method target body head framed_body")


def origin(target):
    """The path and query of a target."""
    path = re.sub(r"^https?://[^/?]*", "", target.decode())
    return path if path.startswith("/") else "/" + path


def read_one(data):
    """The first request in the data, the bytes after it, and whether the connection stays; or "bad" or "more"."""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    events = []
    while not events or not isinstance(events[-1], h11.EndOfMessage):
        try:
            events.append(parser.next_event())
        except h11.RemoteProtocolError:
            return "bad"
        if events[-1] is h11.NEED_DATA:
            return "more"
    rest = parser.trailing_data[0]
    head, end, framed_body = re.split(rb"(\r?\n\r?\n)", data[:len(data) - len(rest)], maxsplit=1)
    body = b"".join(bytes(event.data) for event in events[1:-1])
    request = Request(events[0].method.decode(), origin(events[0].target), body, head + end, framed_body)
    stays = KEPT_IN_1_0.search(request.head) or h11.MUST_CLOSE not in (parser.our_state, parser.their_state)
    return request, rest, stays


def reference(raw):
    """What h11 makes of the bytes: its requests and how it goes on: "open", "close", "more", "bad" or "any".

    "any" stands for what is left when empty lines follow a request, which a server may skip (RFC 9112 section 2.2).
    """
    requests = []
    while raw:
        if requests and raw[:1] in (b"\r", b"\n"):
            return requests, "any"
        found = read_one(raw)
        if isinstance(found, str):
            return requests, found
        requests.append(found[0])
        raw = found[1]
        if not found[2]:
            return requests, "close"
    return requests, "open"


class Peer:
    """The server, asked over as few connections as it allows."""

    def __init__(self, port):
        self.port, self.connection = port, None

    def ask(self, raw, expected, end):
        """Send the bytes; (bodies of the answers 200, status of a refusal or None, "open", "close" or "silent")."""
        self.connection = self.connection or weirlib.Connection(self.port, timeout=2)
        bodies, refusal, then = [], None, "open"
        try:
            self.connection.send(raw)
            while refusal is None and (len(bodies) < expected or end != "open"):
                if len(bodies) >= expected and end != "close":
                    self.connection.socket.shutdown(socket.SHUT_WR)  # there is no more to wait for
                answer = self.connection.response()
                refusal = None if answer.status == 200 else answer.status
                bodies += [answer.body] if refusal is None else []
            if refusal and self.connection.until_close() == b"":
                then = "close"
        except (EOFError, OSError) as error:
            then = "silent" if isinstance(error, TimeoutError) else "close"
        if then != "open" or end != "open":
            self.connection.close()
            self.connection = None
        return bodies, refusal, then


def must_refuse(request):
    return next((name for name, holds in DIFFERENCES.items() if holds(request.head)), None)


def may_refuse(request):
    unusual = CHUNKED.search(request.head) and not strict_chunks(request.framed_body)
    return must_refuse(request) or ("chunks in an unusual form" if unusual else None)


def judge(raw, requests, end, found):
    """What the two agree on, or the intended difference, or a sentence that begins with WRONG."""
    bodies, refusal, then = found
    answered, refused = requests[:len(bodies)], requests[len(bodies):len(bodies) + 1]
    if [request.body for request in answered] != bodies:
        return "WRONG: other bodies"
    accepted = next(filter(None, map(must_refuse, answered)), None)
    if accepted:
        return f"WRONG: accepted although there is {accepted}"
    if refused:
        reason = may_refuse(refused[0]) if refusal in (400, 501, 505) and then == "close" else None
        return reason or "WRONG: not answered"
    if end in ("open", "close"):
        return "same, accepted" if (refusal, then) == (None, end) else "WRONG: goes on in another way"
    if end == "bad" and refusal not in (400, 501, 505) and re.search(rb"\n\r?\n", raw):
        return "WRONG: not refused"
    return f"same, {end}" if then == "close" or end == "any" and then != "silent" else "WRONG: left open"


def accepted_requests(log):
    """Method and target of each request that was answered 200, in order, from the access log."""
    lines = [line.split(" ", 2) for line in log.read_text(errors="replace").splitlines()]
    return [(method, target) for status, method, target in lines if status == "200"]


@pytest.mark.timeout(weirlib.limit(90))
def test_same_verdicts_as_h11(weir):
    """Every generated message is read as h11 reads it, or refused for one of the listed reasons."""
    weir.start(CONF)
    rng, peer = random.Random(SEED), Peer(weir.port2)
    verdicts, wrong, logged = Counter(), [], []
    for number in range(MESSAGES):
        how, raw = generate(rng)
        requests, end = reference(raw)
        found = peer.ask(raw, len(requests), end)
        verdict = judge(raw, requests, end, found)
        verdicts[verdict] += 1
        if verdict.startswith("WRONG"):
            wrong.append(f"{number} ({how}): {verdict}: {raw!r}\n    {found}, h11: {requests} then {end}")
            if len(wrong) >= 20:
                break
        logged += [(request.method, request.target) for request in requests[:len(found[0])]]
    assert not wrong, "\n".join(wrong)
    assert verdicts["same, accepted"] > MESSAGES / 4 and verdicts["same, bad"] > MESSAGES / 6, verdicts
    assert set(DIFFERENCES) <= set(verdicts), f"differences that no message showed: {set(DIFFERENCES) - set(verdicts)}"
    log = weir.tmp / "logs/accepted.log"
    weirlib.wait_until(lambda: len(accepted_requests(log)) >= len(logged), 3, "a log line for each accepted request")
    assert accepted_requests(log) == logged
