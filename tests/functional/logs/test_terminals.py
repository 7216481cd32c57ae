"""What a client sends reaches no terminal by way of a log: no control character, C1 ones among them, none that turns writing."""

import base64
import json
import re
import unicodedata

import pytest
import wire
from weirlib import config, wait_until
from wire import head

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
BREAKS = "\u2028\u2029"
C1 = "".join(map(chr, range(0x80, 0xa0)))
UNSAFE = C1 + BIDI + BREAKS + "\x7f"
HARMLESS = "äß€𝄞שלום日本"
LONE = bytes(range(0x80, 0xa0))  # C1 as terminals with one byte for a character see it
CONF = config('location / { root {tmp}/html; } location /ok { return 200; }', server="""
    access_log logs/json.log j; access_log logs/plain.log;
""", http="""log_format j escape=json '{"uri":"$uri","agent":"$http_user_agent","line":"$request"}';""")


def escaped(data):
    return "".join(f"%{byte:02x}" for byte in data)


@pytest.fixture
def port(weir):
    """A server that has been sent each of them: escaped in the path, and as they are in the request line and a field."""
    weir.start(CONF)
    for part in (C1.encode(), (BIDI + BREAKS + "\x7f").encode(), LONE, HARMLESS.encode()):
        wire.ask(weir.port, head(f"GET /missing{escaped(part)} HTTP/1.1", "Connection: close"))
        wire.verdict(weir.port, b"GET /raw" + part + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nReferer: " + part +
                     b"\r\nUser-Agent: " + part + b"\r\n\r\n")
    return weir.port


def controls(data, ends=b"\n"):
    """What a terminal would act on, as UTF-8 and as single bytes outside of it."""
    text = data.replace(ends, b"").decode("utf-8", errors="surrogateescape")
    found = {char for char in text if unicodedata.category(char) == "Cc" or char in BIDI + BREAKS}
    return found | {char for char in text if 0xdc80 <= ord(char) < 0xdca0}


def test_error_log(weir, port):
    """The error log, and stderr, have "?" in their place; letters of all kinds stay."""
    weir.wait_log("missing" + HARMLESS[:4])
    assert controls(weir.error_log_file.read_bytes()) == set()
    assert HARMLESS in weir.error_log
    assert re.search(r'missing\?{10}', weir.error_log)


def test_json_log(weir, port):
    """A log with escape=json writes them as JSON escapes: who parses it gets what was sent."""
    path = weir.tmp / "logs/json.log"
    wait_until(lambda: "日本" in path.read_text(errors="replace"), 3, "the last line")
    assert controls(path.read_bytes()) <= {"\x7f"}  # which nginx leaves as it is, and terminals ignore
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    uris = "".join(entry["uri"].removeprefix("/missing") for entry in entries)
    assert set(UNSAFE) | set(HARMLESS) <= set(uris)


def test_plain_log(weir, port):
    """The default escapes every byte that is no ASCII letter or sign."""
    path = weir.tmp / "logs/plain.log"
    wait_until(lambda: path.read_bytes().count(b"missing") >= 3, 3, "the last line")
    assert all(byte == 0x0a or 0x20 <= byte < 0x7f for byte in path.read_bytes())


def test_names_of_hosts_and_users(weir):
    """Nor is one written by way of a user's name, whose password is wrong."""
    weir.write("a:{PLAIN}b\n", "conf/users")
    weir.start(config('location / { auth_basic x; auth_basic_user_file {tmp}/conf/users; root {tmp}/html; }'))

    name = ("x" + UNSAFE + HARMLESS).encode()
    code = base64.b64encode(name + b":" + name).decode()
    assert wire.ask(weir.port, head("GET / HTTP/1.1", f"Authorization: Basic {code}", "Connection: close")).status == 401
    assert controls(weir.error_log_file.read_bytes()) == set()
