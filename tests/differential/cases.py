"""What topics are made of: cases, each a server block of its own, and requests, each exact bytes."""

import dataclasses
import re
import typing


@dataclasses.dataclass(frozen=True)
class Tls:
    """How a client speaks TLS. Certificates are those that its topic makes."""

    name: str | None = "h.test"  # of the server that it asks for
    shows: str = ""  # its certificate
    version: str = ""  # the only one that it speaks: "1.2"
    ciphers: str = ""  # of TLS 1.2 and below
    protocols: tuple = ()  # that it offers by ALPN
    resumes: bool = False  # it takes up the case's last session of such a client

    def __str__(self):
        words = [f"{field.name}={value}" for field in dataclasses.fields(self)
                 if (value := getattr(self, field.name)) != field.default]
        return " ".join(["TLS", *words])


@dataclasses.dataclass(frozen=True)
class Secure:
    """How a backend speaks TLS."""

    shows: str = "h"
    version: str = ""
    ciphers: str = ""
    asks: bool = False  # for a certificate of the authority's


@dataclasses.dataclass
class Request:
    """Bytes for a connection of their own, and the methods of the requests in them (for the framing of answers)."""

    raw: bytes
    methods: tuple = ("GET",)
    client: str = "127.0.0.1"  # where it comes from
    keeps: bool = False  # the connection may stay open: it is looked at once all answers are there
    patience: float = 3.0  # seconds to wait for the next byte
    after_stray: bool = False  # it waits until the backend has sent its stray bytes
    tls: Tls | None = None

    @property
    def name(self):
        text = self.raw[:160].decode("latin-1").replace("\r\n", "|").encode("unicode_escape").decode()
        return f"{self.tls}: {text}" if self.tls else text

    def filled(self, fill):
        """The request with a case's names in its bytes."""
        return dataclasses.replace(self, raw=fill(self.raw.decode("latin-1")).encode("latin-1")) if b"%" in self.raw else self


def ask(target="/", *fields, method="GET", body=None, host="h.test", version="1.1", close=True, **more):
    """One well-formed request, with a Content-Length if there is a body."""
    lines = [f"{method} {target} HTTP/{version}", *([f"Host: {host}"] if host is not None else []), *fields]
    if body is not None:
        body = body.encode() if isinstance(body, str) else body
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    raw = "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n" + (body or b"")
    return Request(raw, (method,), **more)


def each_method(target="/", *fields, methods=("GET", "HEAD", "POST", "OPTIONS"), **more):
    return [ask(target, *fields, method=method, body="a=b" if method in ("POST", "PUT") else None, **more)
            for method in methods]


def pipeline(*requests, **more):
    """Several requests on one connection."""
    return Request(b"".join(each.raw for each in requests), sum((each.methods for each in requests), ()), **more)


def answer(body=b"hello\n", *fields, status="200 OK", length=True, version="1.1"):
    """The bytes of a backend's answer."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/{version} {status}", *fields, *([f"Content-Length: {len(body)}"] if length else [])]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


HELLO = answer(b"hello\n", "Content-Type: text/plain")


def is_final(head):
    return re.search(rb"(?im)^(content-length:|transfer-encoding:)|\A\S+ (204|304) ", head)


@dataclasses.dataclass(eq=False)
class Case:
    """A server block of its own, and what is asked of it. %ROOT% %BACKEND% %ADDR% %PORT% %ID% %LOGS% %TAG% %PAD% %CERTS% stand in texts."""

    name: str
    server: str = ""  # the inside of its server block
    requests: typing.Sequence = ("/",)  # Request, or the target of a GET
    http: str = ""  # beside it, at the level of http
    listen: str = ""  # more words of its listen
    files: dict = dataclasses.field(default_factory=dict)  # path below %ROOT% -> content, None for a folder
    answers: typing.Any = HELLO  # of the backend: bytes, {path: bytes}, or a function of (head, body)
    patience: float = 0  # instead of each request's own
    closes: bool = False  # the backend closes its connection after each answer
    secure: Secure | None = None  # the backend speaks TLS
    stray: bytes = b""  # what the backend sends on its idle connection after its first answer
    log: str = ""  # a log_format to compare as well
    errors: str = ""  # a level: error log lines are compared too
    mask: tuple = ()  # (regex, replacement) pairs, for what may differ from run to run
    odd: bool = False  # one side or both may refuse it: checked alone first, which is all that happens then
    verdict: bool = False  # that is all that matters: it is never served
    long: bool = False  # only in the longer form
    number: int = 0
    topic: str = ""
    strayed: dict = dataclasses.field(default_factory=dict)  # side -> an event: the stray bytes are on their way
    folder: str = ""  # its %ROOT%, below the folder of all files

    @property
    def id(self):
        return f"{self.topic}{self.number}"

    def configuration(self):
        own = f"listen %ADDR%:%PORT% {self.listen};\n"
        if not re.search(r"(?m)^\s*server_name\b", self.server):
            own += "server_name h.test;\n"
        if not re.search(r"(?m)^\s*root\b", self.server):
            own += "root %ROOT%;\n"
        http = self.http
        if self.log:
            http += f"\nlog_format f_%ID% {self.log};\n"
            own += "access_log %LOGS%/../access.log whole;\naccess_log %LOGS%/%ID%.log f_%ID%;\n"
        if self.errors:
            own += f"error_log %LOGS%/%ID%.error {self.errors};\n"
        return f"{http}\nserver {{\n{own}{self.server}\n}}"

    def asked(self):
        asked = [ask(each) if isinstance(each, str) else each for each in self.requests]
        return [dataclasses.replace(each, patience=self.patience) for each in asked] if self.patience else asked

    def answer_of(self, head, body):
        """(the backend's bytes, whether its connection stays); None to close without a word."""
        said = self.answers
        if isinstance(said, dict):
            path = head.split(b" ")[1].split(b"?")[0].decode("latin-1")
            said = said.get(path, said.get("*", HELLO))
        if callable(said):
            said = said(head, body)
        if said is None:
            return None
        last = said.split(b"\r\n\r\n", 1)[0] if not said.startswith(b"HTTP/1.1 1") else said
        return said, bool(is_final(last)) and b"onnection: close" not in last and not self.closes


def table(name, template, values, requests=("/",), **more):
    """A case for each value, put in place of %V% in the template."""
    return [Case(f"{name}: {value}", template.replace("%V%", value), requests, **more) for value in values]
