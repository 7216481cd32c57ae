"""What both sides said, made comparable, and how it differs."""

import collections
import gzip
import re

Diff = collections.namedtuple("Diff", "topic case request field nginx weir")
# Every byte that came, how it ended, what was negotiated where it was TLS: name -> value, and the answers where they are no text.
Exchange = collections.namedtuple("Exchange", "came end handshake answers", defaults=[{}, None])
Answer = collections.namedtuple("Answer", "line fields body wire_head wire_body")

SIGNATURE = re.compile(rb"<center>(nginx|weir)(/[0-9.]+)?</center>")
DATE = re.compile(rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
                  rb"\d\d:\d\d:\d\d GMT")


BOUNDARY = re.compile(rb"boundary=[0-9a-f]+")


def same_names(data):
    """Addresses and folders of the second side written as those of the first."""
    return data.replace(b"127.3.", b"127.2.").replace(b"127.5.", b"127.4.").replace(b"/side2/", b"/side1/")


# ---- answers ----------------------------------------------------------------------------------------------

def split_chunks(data):
    """(the body, what follows it, trailers); None if the chunks are broken or cut."""
    body = b""
    while True:
        size, mark, rest = data.partition(b"\r\n")
        if not mark or not re.fullmatch(rb"[0-9a-fA-F]+", size):
            return None
        length = int(size, 16)
        if length == 0:
            trailers, mark, after = (b"\r\n" + rest).partition(b"\r\n\r\n")
            return (body, after, trailers[2:]) if mark else None
        body, data = body + rest[:length], rest[length + 2:]


def read_answers(raw, methods):
    """The answers in what a client got: a list of Answer, interim ones too, and the bytes that are none."""
    answers, asked = [], list(methods)
    while raw.startswith(b"HTTP/"):
        head, mark, rest = raw.partition(b"\r\n\r\n")
        if not mark:
            break
        line, *lines = head.split(b"\r\n")
        fields = [tuple(each.partition(b":")[::2]) for each in lines]
        find = {name.lower(): value.strip() for name, value in fields}
        status = line.split(b" ")[1] if b" " in line else b""
        if status.startswith(b"1"):
            method, body, after = None, b"", rest
        else:
            method = asked.pop(0) if asked else "GET"
        if method is None:
            pass
        elif method == "HEAD" or status in (b"204", b"304"):
            body, after = b"", rest
        elif b"chunked" in find.get(b"transfer-encoding", b"").lower():
            found = split_chunks(rest)
            body, after = (found[0] + (b"\ntrailers: " + found[2] if found[2] else b""), found[1]) if found \
                else (b"cut chunks: " + rest, b"")
        elif find.get(b"content-length", b"").isdigit():
            length = int(find[b"content-length"])
            body, after = rest[:length], rest[length:]
            if len(body) < length:
                body = b"cut at %d: " % len(body) + body
        else:
            body, after = rest, b""
        answers.append(Answer(line, [(name, value.strip()) for name, value in fields], body,
                              len(head) + 4, len(rest) - len(after)))
        raw = after
    return answers, raw


def answers_of(exchange, methods):
    """read_answers of an exchange's bytes, or what has been read of frames."""
    return read_answers(exchange.came, methods) if exchange.answers is None else (exchange.answers, exchange.came)


def without_side(exchange):
    """The exchange as if it were the first side's."""
    def plain(answer):
        return answer._replace(fields=[(name, same_names(value)) for name, value in answer.fields], body=same_names(answer.body))
    return exchange._replace(came=same_names(exchange.came), answers=exchange.answers and [plain(each) for each in exchange.answers])


def plain_body(answer):
    """(its body without what cannot be the same, whether its length tells something)."""
    body, encoded = answer.body, False
    if any(name.lower() == b"content-encoding" and value == b"gzip" for name, value in answer.fields) and body:
        encoded = True
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError):
            body = b"bad gzip: " + body
    signed = SIGNATURE.sub(b"<center>server</center>", body)
    for name, value in answer.fields:
        if name.lower() == b"content-type" and b"boundary=" in value:
            signed = signed.replace(value.partition(b"boundary=")[2], b"BOUNDARY")
    return signed, None if encoded else len(signed) - len(body)


def plain_fields(answer, method, delta):
    """The fields without what cannot be the same."""
    for name, value in answer.fields:
        key = name.lower()
        if key == b"date" and DATE.fullmatch(value):
            value = b"DATE"
        elif key == b"server":
            value = re.sub(rb"^(nginx|weir)(/[0-9.]+)?$", lambda m: b"SERVER" + (b"/N" if m[2] else b""), value)
        elif key == b"content-type":
            value = re.sub(rb"boundary=\S+", b"boundary=BOUNDARY", value)
        elif key == b"content-length" and value.isdigit():
            if delta is None:
                value = b"COMPRESSED"
            elif method == "HEAD" and answer.line[9:12] not in (b"200", b"206"):
                value = b"OF A PAGE"
            else:
                value = b"%d" % (int(value) + delta)
        yield name, value


def diff_fields(where, nginx, weir):
    """(field, nginx, weir) for names, values, and order of the names that both have."""
    def grouped(fields):
        found = collections.OrderedDict()
        for name, value in fields:
            found.setdefault(name.lower(), []).append((name, value))
        return found
    a, b = grouped(nginx), grouped(weir)
    common = []
    for key in [*a, *(key for key in b if key not in a)]:
        mine, theirs = a.get(key, []), b.get(key, [])
        if [value for _, value in mine] != [value for _, value in theirs]:
            yield (f"{where} {key.decode('latin-1')}", [value for _, value in mine], [value for _, value in theirs])
        elif [name for name, _ in mine] != [name for name, _ in theirs]:
            yield f"{where} spelling {key.decode('latin-1')}", [n for n, _ in mine], [n for n, _ in theirs]
        if len(mine) == len(theirs):
            common.append(key)
    orders = [[name.lower() for name, _ in fields if name.lower() in common] for fields in (nginx, weir)]
    if orders[0] != orders[1]:
        yield f"{where} order", *orders


def diff_answers(nginx, weir, methods, mask):
    """(field, nginx, weir) of one connection's answers; each side is an Exchange."""
    sides = [answers_of(without_side(each), methods) for each in (nginx, weir)]
    for name in sorted(nginx.handshake.keys() | weir.handshake.keys()):
        if (x := nginx.handshake.get(name)) != (y := weir.handshake.get(name)):
            yield f"handshake {name}", x, y
    (a, rest_a), (b, rest_b) = sides
    if [x.line for x in a] != [x.line for x in b]:
        yield "status", [x.line for x in a], [x.line for x in b]
    if rest_a != rest_b:
        yield "no answer", rest_a, rest_b
    if nginx.end != weir.end:
        yield "end", nginx.end, weir.end
    if [x.line for x in a] != [x.line for x in b]:
        return  # all else follows from it
    asked = list(methods)
    for x, y in zip(a, b):
        method = None if x.line[9:10] == b"1" else asked.pop(0) if asked else "GET"
        body_x, delta_x = plain_body(x)
        body_y, delta_y = plain_body(y)
        same = mask(body_x) == mask(body_y)
        masked = same and body_x != body_y  # so the lengths say nothing
        for found in diff_fields("header", [(n, mask(v)) for n, v in plain_fields(x, method, delta_x)],
                                 [(n, mask(v)) for n, v in plain_fields(y, method, delta_y)]):
            if found[0] != "header content-length" or not (masked or not same) or not found[1] or not found[2]:
                yield found
        if not same:
            yield "body", mask(body_x), mask(body_y)


# ---- what the backend saw ----------------------------------------------------------------------------------

def diff_backend(nginx, weir, mask):
    """(field, nginx, weir) of the requests that a case's backend got."""
    if len(nginx) != len(weir):
        yield "backend requests", [each[:200] for each in nginx], [each[:200] for each in weir]
        return
    for x, y in zip(nginx, weir):
        (head_x, _, body_x), (head_y, _, body_y) = same_names(x).partition(b"\r\n\r\n"), same_names(y).partition(b"\r\n\r\n")
        (line_x, *fields_x), (line_y, *fields_y) = head_x.split(b"\r\n"), head_y.split(b"\r\n")
        if line_x != line_y:
            yield "backend line", line_x, line_y
        yield from diff_fields("backend header", *([(name, mask(value)) for name, _, value in
                                                    (each.partition(b":") for each in fields)]
                                                   for fields in (fields_x, fields_y)))
        if body_x != body_y:
            yield "backend body", body_x[:400], body_y[:400]


# ---- logs ---------------------------------------------------------------------------------------------------

def check_lengths(entry, answer):
    """The two numbers of bytes in a log line, held against what came."""
    for name, length in (("body_bytes_sent", answer.wire_body), ("bytes_sent", answer.wire_head + answer.wire_body)):
        if entry.get(name) == str(length):
            entry[name] = "what came"
    return entry


def diff_access(nginx, weir, answers, known, mask):
    """(field, nginx, weir, number of the answer) of access log lines (dictionaries).

    answers: of each side, those that a line is due for. known: for each of them, the fields that differ anyway.
    """
    if len(nginx) != len(weir):
        yield "log lines", [each.get("request") for each in nginx], [each.get("request") for each in weir], None
        return
    aligned = len(nginx) == len(answers[0]) and len(weir) == len(answers[1]) == len(known)
    for number, (x, y) in enumerate(zip(nginx, weir)):
        differs = known[number] if aligned else set()
        if "status" in differs or "no answer" in differs:
            continue
        if aligned and answers[0][number] and answers[1][number]:
            check_lengths(x, answers[0][number])
            check_lengths(y, answers[1][number])
        else:
            x["bytes_sent"] = y["bytes_sent"] = x["body_bytes_sent"] = y["body_bytes_sent"] = "not aligned"
        for name in x if x["status"] == y["status"] else ["status"]:
            if mask(x[name]) != mask(y.get(name)) and "header " + name.removeprefix("sent_http_").replace("_", "-") not in differs:
                yield f"log {name}", x[name], y.get(name), number if aligned else None


def plain_error(line):
    """An error log line without time, process and connection."""
    return re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(\w+)\] \d+#\d+: (\*\d+ )?", r"[\1] ", line)
