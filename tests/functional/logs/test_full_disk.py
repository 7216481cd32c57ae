"""Logs on a disk that is full for a while: whole lines only, what is lost is counted, and its number is told."""

import re

import pytest
from weirlib import config, wait_until

pytestmark = pytest.mark.needs_root

ERROR_LINE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: "
                        r'(\*\d+ open\(\) "[^"]*/missing(y*)" failed \(2: [^)]*\), client: .*, '
                        r'request: "GET /missing\2 HTTP/1.1", host: "localhost"|\d+ lines? w(as|ere) lost[^:]*)')
ACCESS_LINE = re.compile(r"<\d+ x*>")
ROUNDS = 3


def fill(folder, spare=0):
    """Write into the folder until its disk is full but for so many pages."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - spare * 4096))
    return ballast


def torn(text, line):
    """The lines that are not whole; the text has to end in a line's end."""
    assert text.endswith("\n"), text[-200:]
    return [each for each in text.splitlines() if not line.fullmatch(each)]


def lost_in_metrics(weir):
    text = weir.get("/status?format=prometheus").text
    return int(re.search(r"^weir_log_lines_lost_total (\d+)$", text, re.M)[1])


def errors(weir, count):
    """Make so many lines of the error log, of several lengths."""
    with weir.connect() as client:
        for i in range(count):
            assert client.get("/missing" + "y" * (i % 37)).status == 404


@pytest.fixture
def erring(weir, small_disk):
    """A server whose error log is on the small disk, from level error on."""
    weir.expect_log("No space left on device|lost")
    text = config("location / { root html; }", workers=2)
    weir.start(text.replace("error_log logs/error.log notice;", "error_log disk/error.log; error_log logs/error.log crit;"))
    weir.log = small_disk / "error.log"
    return weir


def test_error_log_has_whole_lines(erring, small_disk):
    """Each line of an error log that met a full disk is whole, and the next one begins on a line of its own."""
    errors(erring, 3)
    for _ in range(ROUNDS):
        ballast = fill(small_disk, spare=1)
        errors(erring, 60)
        ballast.unlink()
        errors(erring, 3)
    assert torn(erring.log.read_text(), ERROR_LINE) == []


def test_error_log_says_how_many_were_lost(erring, small_disk):
    """Once there is room again, the log says how many lines it lost; with what it has they add up."""
    ballast = fill(small_disk)
    errors(erring, 300)
    ballast.unlink()

    asked = 300

    def told():
        nonlocal asked
        errors(erring, 1)
        asked += 1
        text = erring.log.read_text()
        lost = sum(int(n) for n in re.findall(r"(\d+) lines? w(?:as|ere) lost", text))
        return lost > 0 and lost + text.count("/missing") // 2 == asked and lost_in_metrics(erring) == lost
    wait_until(told, 5, "lines and lost lines that add up")


@pytest.fixture
def accessed(weir, small_disk):
    """A server that logs to the small disk: a number and as many x as asked for, per request."""
    weir.expect_log("No space left on device|lost")
    weir.start(config("location / { access_log disk/access.log short; return 200 ok; }",
                      http="log_format short '<$arg_n $arg_x>';", workers=2))
    weir.log = small_disk / "access.log"
    return weir


def ask(weir, count, width=100):
    with weir.connect() as client:
        for i in range(count):
            assert client.get(f"/?n={i}&x={'x' * (i % width)}").status == 200


def test_access_log_has_whole_lines(accessed, small_disk):
    """Each line of an access log that met a full disk is whole."""
    ask(accessed, 3)
    for _ in range(ROUNDS):
        ballast = fill(small_disk, spare=1)
        ask(accessed, 200)
        ballast.unlink()
        ask(accessed, 3)
    wait_until(lambda: accessed.log.read_text().endswith("<2 xx>\n"), 3, "the last line")
    assert torn(accessed.log.read_text(), ACCESS_LINE) == []


def test_access_log_loses_what_it_says(accessed, small_disk):
    """Lines in the file, and lines that the error log and the metrics call lost, are as many as requests."""
    asked = 500
    ballast = fill(small_disk, spare=1)
    ask(accessed, asked)
    ballast.unlink()

    def told():
        nonlocal asked
        ask(accessed, 1)
        asked += 1
        lost = sum(int(n) for n in re.findall(r"(\d+) lines? w(?:as|ere) lost", accessed.error_log))
        lines = accessed.log.read_text().count("\n")
        return lost > 0 and lost + lines == asked and lost_in_metrics(accessed) == lost
    wait_until(told, 5, "lines and lost lines that add up")


def test_nothing_lost(weir):
    """The metric is there from the start, as 0."""
    weir.start()
    assert lost_in_metrics(weir) == 0
