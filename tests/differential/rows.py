"""A row of the tables of differences from nginx, and predicates for what it explains."""

import dataclasses
import re
import typing


PROXIED = "rewrite static headers variables access proxy_target proxy_request proxy_answer proxy_kinds upstream wire inherit tls"


@dataclasses.dataclass(frozen=True)
class Row:
    what: str  # a directive, a variable, or a part of HTTP
    nginx: str  # what nginx does
    weir: str  # what weir does
    reason: str
    topics: str  # where it shows, with blanks between; "x:long" in the longer form of x only
    field: str  # a regular expression for the kind of difference
    case: str = ""  # one for the case's name
    request: str = ""  # one for the request's bytes
    values: typing.Callable = lambda nginx, weir: True

    def explains(self, diff):
        return (re.fullmatch(self.field, diff.field) and re.search(self.case, diff.case.name)
                and re.search(self.request, diff.request) and self.values(diff.nginx, diff.weir))


def only_weir(nginx, weir):
    return not nginx and bool(weir)


def only_nginx(nginx, weir):
    return bool(nginx) and not weir


def status(*codes):
    """A predicate for status lines: nginx's and weir's code; 0 for no answer, None for any."""
    def code(lines):
        return int(lines[-1].split(b" ")[1]) if lines and lines[-1].count(b" ") and lines[-1].split(b" ")[1].isdigit() else 0
    return lambda nginx, weir: all(want is None or want == code(got) for want, got in zip(codes, (nginx, weir)))


def malformed(nginx, weir):
    """What follows from a reset of a malformed request of HTTP/2: its status, or fewer lines and requests."""
    if any(isinstance(each, bytes) and each.startswith(b"HTTP/2.0 ") for each in nginx):
        return weir[-1:] == [b"HTTP/2.0 reset PROTOCOL_ERROR"]
    return isinstance(weir, list) and len(weir) < len(nginx)


def numbers(nginx, weir):
    """Two numbers, in a log or behind a sign."""
    return all(re.fullmatch(r"\[?b?'?=?\d+'?\]?", str(each)) for each in (nginx, weir))


def refused(by_weir):
    """A predicate for configurations that only weir refuses, with such words."""
    return lambda nginx, weir: nginx == "accepted" and re.search(by_weir, weir)


def accepted(by_nginx=""):
    """A predicate for configurations that only nginx refuses, with such words."""
    return lambda nginx, weir: weir == "accepted" and re.search(by_nginx, nginx)


TAG = re.compile(rb'(W/)?"([0-9a-f]+)-([0-9a-f]+)"')


def finer_etag(nginx, weir):
    """The same size, and a time in nanoseconds in place of seconds."""
    pairs = [(TAG.fullmatch(a), TAG.fullmatch(b)) for a, b in zip(nginx, weir)]
    return len(nginx) == len(weir) and all(a and b and a[1] == b[1] and a[3] == b[3]
                                           and int(b[2], 16) // 10**9 == int(a[2], 16) for a, b in pairs)
