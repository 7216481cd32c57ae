"""Static files: names to files, types, conditions, ranges, error pages, files that change, large files."""

import email.utils
import hashlib
import os
import re
import threading
import time
from urllib.parse import urljoin

import pytest
import weirlib
import wire
from weirlib import config, let_pass, open_files, take_time
from wire import head

TYPES = """
    types { text/html html htm; text/css css; text/plain txt; application/json json; }
    default_type application/octet-stream;
"""
TEN = "0123456789"
OLD, NEVER = "Sat, 01 Jan 2000 00:00:00 GMT", '"never"'


def serve(weir, files, locations="", http="", server="", **parts):
    """Start a server whose root holds the files, given as {name: text or bytes}."""
    for name, content in files.items():
        put(weir, name, content)
    return weir.start(config(locations, http=TYPES + http, server="root {tmp}/html;" + server, **parts))


def put(weir, name, content):
    path = weir.tmp / "html" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def statuses(weir, targets):
    return {target: weir.get(target).status for target in targets}


# ---- names ------------------------------------------------------------------------------------------------

@pytest.mark.directive("default_type", "types")
def test_types_by_extension(weir):
    """The type follows the last extension in any case; without a known one it is default_type."""
    unknown = "application/octet-stream"
    expected = {"a.html": "text/html", "a.b.css": "text/css", "a.TXT": "text/plain", "a.json": "application/json",
                "a.tar.gz": unknown, "plain": unknown, "html": unknown}
    serve(weir, dict.fromkeys(expected, "x"),
          "location /t/ { types { x/y css; } default_type x/z; alias {tmp}/html/; }")
    assert {name: weir.get(f"/{name}").header("content-type") for name in expected} == expected
    assert [weir.get(f"/t/{name}").header("content-type") for name in ("a.b.css", "a.html")] == ["x/y", "x/z"]


def test_fields_of_a_file(weir):
    """A file comes with its length, its date, a strong tag and the offer of ranges; HEAD has the same fields."""
    serve(weir, {"ten.txt": TEN})
    os.utime(weir.tmp / "html/ten.txt", (1_000_000_000, 1_000_000_000))
    got, headed = weir.get("/ten.txt"), weir.get("/ten.txt", method="HEAD")
    assert (got.status, got.text, got.header("content-length")) == (200, TEN, "10")
    assert got.header("last-modified") == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert re.fullmatch(r'"[^"]+"', got.header("etag")) and got.header("accept-ranges") == "bytes"
    assert (headed.status, headed.body) == (200, b"")
    assert dict(headed.headers) | {"date": ""} == dict(got.headers) | {"date": ""}
    assert abs(email.utils.parsedate_to_datetime(got.header("date")).timestamp() - time.time()) < 3


@pytest.mark.directive("index")
def test_index(weir):
    """A directory is answered with the first index file that exists, and with 403 without one."""
    files = {"index.html": "root", "a/two.html": "two", "b/one.html": "one", "b/two.html": "two", "none/x": "x"}
    serve(weir, files, "location /a/ { index one.html two.html; } location /b/ { index one.html two.html; }")
    assert [weir.get(target).text for target in ("/", "/a/", "/b/")] == ["root", "two", "one"]
    assert weir.get("/").header("content-type") == "text/html"
    assert weir.get("/none/").status == 403


def test_index_is_found_through_its_location(weir):
    """The index file is looked up anew, so that the location that matches its name answers."""
    serve(weir, {"d/index.html": "file"}, "location = /d/index.html { return 200 'location'; }")
    assert weir.get("/d/").text == "location"


@pytest.mark.parametrize("target, location", [
    ("/dir", "/dir/"), ("/dir?a=1", "/dir/?a=1"), ("/dir/sub", "/dir/sub/"), ("/a%20b", "/a%20b/"), ("//dir", "/dir/"),
])
def test_directory_redirect(weir, target, location):
    """A directory without its slash is redirected to the name with it, keeping host, port and query."""
    serve(weir, {"dir/sub/x": "", "a b/x": ""})
    host = f"localhost:{weir.port}"
    answer = wire.ask(weir.port, head(f"GET {target} HTTP/1.1", host=f"Host: {host}"))
    assert answer.status == 301
    assert urljoin(f"http://{host}/", answer.header("location")) == f"http://{host}{location}"


def test_directory_redirect_cannot_be_split(weir):
    """A directory with a line end in its name does not add fields to the redirect."""
    serve(weir, {"a\r\nb: c/x": ""})
    answer = weir.get("/a%0d%0ab:%20c")
    assert answer.status == 301 and answer.header("b") is None
    assert answer.header("location").lower().endswith("/a%0d%0ab:%20c/")


def test_methods(weir):
    """Only GET and HEAD are for files; everything else gets 405."""
    serve(weir, {"ten.txt": TEN})
    answers = {method: weir.get("/ten.txt", method=method, body=b"x").status
               for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW")}
    assert set(answers.values()) == {405}, answers


def test_missing_and_forbidden(weir):
    """What is not there is 404, also below a file; what may not be read or entered is 403."""
    serve(weir, {"ten.txt": TEN, "secret.txt": "x", "closed/x": "x"}, user="user nobody nogroup;")
    (weir.tmp / "html/secret.txt").chmod(0)
    (weir.tmp / "html/closed").chmod(0o600)
    found = statuses(weir, ["/none", "/none/", "/ten.txt/", "/ten.txt/x", "/secret.txt", "/closed/x", "/" + "n" * 300])
    (weir.tmp / "html/closed").chmod(0o755)
    assert found == {"/none": 404, "/none/": 404, "/ten.txt/": 404, "/ten.txt/x": 404, "/secret.txt": 403,
                     "/closed/x": 403, "/" + "n" * 300: 404}


def test_special_files(weir):
    """What is neither file nor directory is not served, and does not block the server."""
    serve(weir, {"ten.txt": TEN})
    os.mkfifo(weir.tmp / "html/fifo")
    (weir.tmp / "html/null").symlink_to("/dev/null")
    (weir.tmp / "html/loop").symlink_to("loop")
    (weir.tmp / "html/link").symlink_to("ten.txt")
    weir.expect_log("not a regular file")
    found = statuses(weir, ["/fifo", "/null", "/loop", "/link"])
    assert found.pop("/link") == 200 and set(found.values()) <= {403, 404}, found
    assert weir.get("/ten.txt").text == TEN


def test_no_way_out_of_the_root(weir):
    """No spelling of .. leads above the root or an alias; inside the root it is resolved."""
    (weir.tmp / "outside.txt").write_text("outside")
    (weir.tmp / "other").mkdir()
    serve(weir, {"ten.txt": TEN, "d/x.txt": "x"}, "location /al/ { alias {tmp}/other/; }")
    starts = ["/..", "/%2e%2e", "/..%2f", "/%2e%2e%2f", "/.%2e", "/d/../..", "/d/..%2f..", "/al/../..", "/al/%2e%2e",
              "/al/..%2f", "/al..", "/..\\", "/%252e%252e", "/d/..;/..", "/....", "/./..", "//..", "/%c0%ae%c0%ae"]
    ways = [start + "/outside.txt" for start in starts] + ["/..", "/al/.."]
    answers = {way: wire.ask(weir.port, head(f"GET {way} HTTP/1.1")) for way in ways}
    assert {way: answer.status for way, answer in answers.items() if answer.status not in (400, 403, 404)} == {}
    assert answers["/../outside.txt"].status == answers["/%2e%2e/outside.txt"].status == 400
    assert weir.get("/d/../ten.txt").text == TEN and weir.get("//d///x.txt").text == "x"


def test_zero_byte_in_a_name(weir):
    """%00 never reaches the file system."""
    serve(weir, {"ten.txt": TEN})
    assert statuses(weir, ["/ten.txt%00", "/ten.txt%00.html", "/%00"]) == {
        "/ten.txt%00": 400, "/ten.txt%00.html": 400, "/%00": 400}


def test_names_with_odd_bytes(weir):
    """Escaped blanks, percent signs, question marks and UTF-8 name files like any other bytes."""
    names = {"a b": "/a%20b", "a%b": "/a%25b", "a?b": "/a%3fb", "a#b": "/a%23b", "é": "/%c3%a9", "a+b": "/a+b"}
    serve(weir, {name: name for name in names})
    assert {name: weir.get(target).text for name, target in names.items()} == {name: name for name in names}


def test_root_and_alias(weir):
    """root appends the whole path, alias replaces what the location matched; nested locations inherit both."""
    for name in ("one/a/f.txt", "two/f.txt", "two/sub/g.txt", "three/b/n.txt"):
        path = weir.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    serve(weir, {"f.txt": "html/f.txt"}, """
        location /a/ { root {tmp}/one; }
        location /al/ { alias {tmp}/two/; location /al/sub/ { default_type x/y; } }
        location = /exact { alias {tmp}/two/f.txt; }
        location /b { root {tmp}/three; location /b/c { return 200 nested; } location ~ n\\.txt$ { } }
    """)
    expected = {"/f.txt": "html/f.txt", "/a/f.txt": "one/a/f.txt", "/al/f.txt": "two/f.txt",
                "/al/sub/g.txt": "two/sub/g.txt", "/exact": "two/f.txt", "/b/n.txt": "three/b/n.txt", "/b/c": "nested"}
    assert {target: weir.get(target).text for target in expected} == expected
    assert statuses(weir, ["/a/none", "/al", "/al/none"]) == {"/a/none": 404, "/al": 404, "/al/none": 404}


@pytest.mark.directive("alias")
def test_alias_with_captures(weir):
    """In a location with a regular expression, alias names the file with what was captured."""
    serve(weir, {"two/sub/g.txt": "found"}, "location ~ ^/re/(.*)$ { alias {tmp}/html/two/$1; }")
    assert weir.get("/re/sub/g.txt").text == "found" and weir.get("/re/none").status == 404


# ---- conditions -------------------------------------------------------------------------------------------

def conditional(weir, **fields):
    """The answer for /ten.txt with the given fields; underscores stand for dashes."""
    return weir.get("/ten.txt", headers=[(name.replace("_", "-"), value) for name, value in fields.items()])


def test_if_none_match(weir):
    """Tags are compared weakly, in lists and as *; a match is 304 without a body, on a connection that goes on."""
    serve(weir, {"ten.txt": TEN})
    tag = weir.get("/ten.txt").header("etag")
    matching = [tag, "W/" + tag, "*", f'"a", {tag}', f'"a",{tag},"b"', f'W/"a" ,\tW/{tag}']
    others = [NEVER, tag.strip('"'), '"a", "b"', tag[:-1] + 'x"', tag.upper().replace('"', '"X')]
    assert {value: conditional(weir, If_None_Match=value).status for value in matching} == dict.fromkeys(matching, 304)
    assert {value: conditional(weir, If_None_Match=value).status for value in others} == dict.fromkeys(others, 200)
    with weir.connect() as connection:
        answer = connection.get("/ten.txt", [("If-None-Match", tag)])
        assert (answer.status, answer.body, answer.header("etag")) == (304, b"", tag)
        assert connection.get("/ten.txt").text == TEN


def test_if_modified_since(weir):
    """The file's own date gets 304, an older or unreadable one the file; a tag that differs goes before the date."""
    serve(weir, {"ten.txt": TEN})
    date = weir.get("/ten.txt").header("last-modified")
    assert conditional(weir, If_Modified_Since=date).status == 304
    assert [conditional(weir, If_Modified_Since=value).status for value in (OLD, "yesterday", "")] == [200] * 3
    assert conditional(weir, If_Modified_Since=date, If_None_Match=NEVER).status == 200
    assert wire.ask(weir.port, head("HEAD /ten.txt HTTP/1.1", f"If-Modified-Since: {date}"), "HEAD").status == 304


def test_if_range(weir):
    """If-Range with the tag or the date of the file lets the range be; a weak or another one gets the whole file."""
    serve(weir, {"ten.txt": TEN})
    whole = weir.get("/ten.txt")
    tag, date = whole.header("etag"), whole.header("last-modified")
    assert [conditional(weir, Range="bytes=2-3", If_Range=value).status for value in (tag, date)] == [206, 206]
    others = ["W/" + tag, NEVER, OLD, "nonsense"]
    assert [conditional(weir, Range="bytes=2-3", If_Range=value).text for value in others] == [TEN] * len(others)
    assert conditional(weir, Range="bytes=2-3", If_None_Match=tag).status == 304


# ---- ranges -----------------------------------------------------------------------------------------------

def parts(answer):
    """A multipart/byteranges body as [(type, Content-Range, bytes)]."""
    boundary = re.fullmatch(r"multipart/byteranges; ?boundary=\"?([^\";]+)\"?", answer.header("content-type"))[1]
    first, *middle, last = answer.body.split(b"--" + boundary.encode())
    assert first in (b"", b"\r\n") and last in (b"--\r\n", b"--")
    found = []
    for part in middle:
        fields, data = part.removeprefix(b"\r\n").split(b"\r\n\r\n", 1)
        named = {name.lower(): value for name, value in (line.split(": ", 1) for line in fields.decode().split("\r\n"))}
        found.append((named.get("content-type"), named["content-range"], data.removesuffix(b"\r\n")))
    return found


@pytest.mark.parametrize("value, content_range, body", [
    ("0-0", "0-0", "0"), ("2-4", "2-4", "234"), ("0-", "0-9", TEN), ("7-", "7-9", "789"), ("9-9", "9-9", "9"),
    ("-3", "7-9", "789"), ("-10", "0-9", TEN), ("-99", "0-9", TEN), ("5-99", "5-9", "56789"), ("0-9", "0-9", TEN),
    ("3-4,20-30", "3-4", "34"),
])
def test_single_range(weir, value, content_range, body):
    """One satisfiable range is 206 with just these bytes and where they lie."""
    serve(weir, {"ten.txt": TEN})
    answer = conditional(weir, Range=f"bytes={value}")
    assert (answer.status, answer.text) == (206, body)
    assert answer.header("content-range") == f"bytes {content_range}/10"
    assert answer.header("content-type") == "text/plain" and answer.header("content-length") == str(len(body))


@pytest.mark.parametrize("value", ["10-", "10-20", "-0", "99999999999999999999-", "20-30,40-50"])
def test_unsatisfiable_range(weir, value):
    """A range beyond the end is 416 and tells the file's length."""
    serve(weir, {"ten.txt": TEN})
    answer = conditional(weir, Range=f"bytes={value}")
    assert (answer.status, answer.header("content-range")) == (416, "bytes */10")


def test_ranges_that_are_none(weir):
    """Another unit is ignored; nonsense is ignored or 416, but never 206."""
    serve(weir, {"ten.txt": TEN, "empty.txt": ""})
    assert [conditional(weir, Range=value).text for value in ("items=0-1", "0-1", "bytes 0-1")] == [TEN] * 3
    nonsense = ["bytes=5-2", "bytes=a-b", "bytes=-", "bytes=--1", "bytes=1--2", "bytes=0x1-2", "bytes=1", "bytes=0-1;2"]
    assert {conditional(weir, Range=value).status for value in nonsense} <= {200, 416}
    assert weir.get("/empty.txt", headers=[("Range", "bytes=0-")]).status in (200, 416)


@pytest.mark.parametrize("value, expected", [
    ("0-1,3-4", [("0-1", b"01"), ("3-4", b"34")]),
    ("8-,0-0", [("8-9", b"89"), ("0-0", b"0")]),
    ("0-1 , -2", [("0-1", b"01"), ("8-9", b"89")]),
    ("1-1,30-40,3-3", [("1-1", b"1"), ("3-3", b"3")]),
])
def test_several_ranges(weir, value, expected):
    """Several ranges come as multipart/byteranges, in the order asked for, with an exact length."""
    serve(weir, {"ten.txt": TEN})
    answer = conditional(weir, Range=f"bytes={value}")
    assert answer.status == 206 and answer.header("content-range") is None
    assert parts(answer) == [("text/plain", f"bytes {where}/10", data) for where, data in expected]
    assert answer.header("content-length") == str(len(answer.body))


def test_range_abuse_is_bounded(weir):
    """Hundreds of overlapping ranges never make the answer much larger than the file."""
    serve(weir, {"big.txt": "x" * 1_000_000})
    for value in ("0-," * 500 + "0-", ",".join(f"{i}-" for i in range(700)), "-1000000," * 300 + "-1"):
        answer = weir.get("/big.txt", headers=[("Range", "bytes=" + value)])
        assert answer.status in (200, 206, 416) and len(answer.body) < 1_300_000
    tiny = weir.get("/big.txt", headers=[("Range", "bytes=" + ",".join(f"{2 * i}-{2 * i}" for i in range(600)))])
    assert tiny.status in (200, 206, 416) and len(tiny.body) < 1_300_000


# ---- error pages ------------------------------------------------------------------------------------------

def test_error_pages(weir):
    """error_page keeps the status, replaces it (=200), takes the page's own (=), or redirects to another server."""
    serve(weir, {"err.html": "page", "plain/x.txt": "x"}, """
        location /kept { error_page 403 404 /err.html; return 403; }
        location /file { error_page 404 /err.html; }
        location /replaced { error_page 403 =200 /err.html; return 403; }
        location /own { error_page 403 = /made; return 403; }
        location /made { return 201 made; }
        location /away { error_page 403 http://other.example/x; return 403; }
        location /moved { error_page 403 =301 http://other.example/x; return 403; }
        location /lost { error_page 404 /none.html; }
        location /plain/ { error_page 405 =200 $uri; }
    """)
    found = {name: weir.get(f"/{name}") for name in ("kept", "file", "replaced", "own", "away", "moved", "lost")}
    assert {name: answer.status for name, answer in found.items()} == {
        "kept": 403, "file": 404, "replaced": 200, "own": 201, "away": 302, "moved": 301, "lost": 404}
    assert [found[name].text for name in ("kept", "file", "replaced", "own")] == ["page", "page", "page", "made"]
    assert {found[name].header("location") for name in ("away", "moved")} == {"http://other.example/x"}
    assert found["kept"].header("content-type") == "text/html"
    assert weir.get("/plain/x.txt", method="POST", body=b"y").text == "x"


def test_error_page_is_inherited_and_answers_posts(weir):
    """An error page of the server holds for its locations, also for a method that files do not know."""
    serve(weir, {"err.html": "page"}, "location /deny { return 403; }", server="error_page 403 405 /err.html;")
    denied, posted = weir.get("/deny"), weir.get("/err.html", method="POST", body=b"x")
    assert [(denied.status, denied.text), (posted.status, posted.text)] == [(403, "page"), (405, "page")]


def test_built_in_error_page(weir):
    """Without an error page the client gets a short HTML text with the status; HEAD gets only its length."""
    serve(weir, {})
    got, headed = weir.get("/none"), weir.get("/none", method="HEAD")
    assert got.header("content-type").startswith("text/html") and "404 Not Found" in got.text
    assert headed.body == b"" and headed.header("content-length") == str(len(got.body))


# ---- files that change ------------------------------------------------------------------------------------

def test_change_is_seen_at_once(weir):
    """Content written over the old is in the very next answer, even with the same length and at the same moment."""
    serve(weir, {"f.txt": "00000"})
    path = weir.tmp / "html/f.txt"
    with weir.connect() as connection:
        for i in range(200):
            path.write_text(f"{i:05}")
            assert connection.get("/f.txt").text == f"{i:05}"
            assert connection.get("/f.txt").text == f"{i:05}"


def test_change_is_seen_after_a_while(weir):
    """The same for files that have rested: longer, shorter, of the same length, and with the old date put back."""
    serve(weir, {"f.txt": "first"})
    path = weir.tmp / "html/f.txt"
    os.utime(path, (1_000_000_000, 1_000_000_000))
    with weir.connect() as connection:
        for text in ("other", "longer text", "short", "sport"):
            assert connection.get("/f.txt").status == 200
            let_pass(0.1)
            path.write_text(text)
            os.utime(path, (1_000_000_000, 1_000_000_000))
            assert connection.get("/f.txt").text == text


def test_replaced_file_is_seen_at_once(weir):
    """A file renamed over the old one is served at once, though it has the old one's length and date."""
    serve(weir, {"f.txt": "00000"})
    path, new = weir.tmp / "html/f.txt", weir.tmp / "html/new"
    with weir.connect() as connection:
        for i in range(100):
            new.write_text(f"{i:05}")
            os.utime(new, (1_000_000_000, 1_000_000_000))
            new.rename(path)
            assert connection.get("/f.txt").text == f"{i:05}"


def test_names_that_come_and_go(weir):
    """Created, removed, forbidden, turned into a directory, given an index: each is seen by the next request."""
    serve(weir, {"other": "other"}, user="user nobody nogroup;")
    path, index = weir.tmp / "html/f", weir.tmp / "html/f/index.html"
    with weir.connect() as connection:
        found = [connection.get("/f").status]
        path.write_text("x")
        found.append(connection.get("/f").status)
        path.chmod(0)
        found.append(connection.get("/f").status)
        path.unlink()
        found.append(connection.get("/f").status)
        path.symlink_to("other")
        found.append(connection.get("/f").status)
        path.unlink()
        path.mkdir()
        found += [connection.get("/f").status, connection.get("/f/").status]
        index.write_text("index")
        found.append(connection.get("/f/").status)
    assert found == [404, 200, 403, 404, 200, 301, 403, 200]


def test_tag_changes_with_the_file(weir):
    """A changed file no longer matches the tag of the old one."""
    serve(weir, {"ten.txt": TEN})
    tags = set()
    for text in (TEN, TEN + "x", TEN):
        path = put(weir, "ten.txt", text)
        os.utime(path, (1_000_000_000 + len(tags), 1_000_000_000 + len(tags)))
        tags.add(weir.get("/ten.txt").header("etag"))
    assert len(tags) == 3
    assert conditional(weir, If_None_Match=", ".join(tags - {weir.get("/ten.txt").header("etag")})).status == 200


@pytest.mark.parametrize("size", [300, 200_000])
def test_readers_see_one_version(weir, size):
    """While a file is replaced again and again, every answer is one whole version with that version's tag."""
    serve(weir, {"f.txt": "a" * size})
    path, new, stop = weir.tmp / "html/f.txt", weir.tmp / "html/new", threading.Event()

    def replace():
        i = 0
        while not stop.is_set():
            i += 1
            new.write_text("abcdefghij"[i % 10] * (size + i % 10))
            new.rename(path)

    def read(_):
        with weir.connect() as connection:
            return [connection.get("/f.txt") for _ in range(150)]

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        answers = sum(wire.parallel(read, range(4)), [])
    finally:
        stop.set()
        writer.join()
    versions = {letter.encode() * (size + i) for i, letter in enumerate("abcdefghij")}
    assert {answer.body for answer in answers} <= versions
    assert len({answer.body for answer in answers}) > 1


@pytest.mark.parametrize("sendfile", ["on", "off"])
def test_file_cut_while_it_is_served(weir, sendfile):
    """A file that shrinks under a slow reader ends that connection short, and hurts nobody else."""
    size = 30_000_000
    serve(weir, {"big": b"x" * size, "ten.txt": TEN}, http=f"sendfile {sendfile};")
    weir.expect_log(r"\[alert\].*(sendfile|pread|truncated|shr[aiu]nk|big)")
    workers = weir.worker_pids()
    with weir.connect() as connection:
        connection.request("/big")
        start = connection.socket.recv(100_000)
        os.truncate(weir.tmp / "html/big", 1000)
        rest = connection.until_close()
    assert b"200 OK" in start and len(start) + len(rest) < size
    assert weir.get("/ten.txt").text == TEN and weir.worker_pids() == workers


# ---- large and hot files ----------------------------------------------------------------------------------

def large_file(path, megabytes):
    """A file in which no two megabytes are alike; returns the hash of its content."""
    block, digest = os.urandom((1 << 20) - 8), hashlib.sha1()
    with open(path, "wb") as out:
        for i in range(megabytes):
            out.write(i.to_bytes(8, "big") + block)
            digest.update(i.to_bytes(8, "big") + block)
    return digest.hexdigest()


def download(weir, target, pause):
    """Length and hash of a body, read with pauses after every few megabytes."""
    with weir.connect() as connection:
        connection.send(head(f"GET {target} HTTP/1.1", "Connection: close"))
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.socket.recv(1 << 16)
        body = data.partition(b"\r\n\r\n")[2]
        digest, length, since = hashlib.sha1(body), len(body), 0
        while data := connection.socket.recv(1 << 20):
            digest.update(data)
            length, since = length + len(data), since + len(data)
            if since > 4 << 20:
                take_time(pause)
                since = 0
    return length, digest.hexdigest()


@pytest.mark.parametrize("sendfile, megabytes", [("on", 100), ("off", 40)])
def test_large_file_arrives_whole(weir, sendfile, megabytes):
    """A large file reaches a fast and a slow reader at once without a byte lost."""
    digest = large_file(weir.tmp / "html/large", megabytes)
    serve(weir, {}, http=f"sendfile {sendfile};")
    found = wire.parallel(lambda pause: download(weir, "/large", pause), [0, 0.03])
    assert found == [(megabytes << 20, digest)] * 2


def test_ranges_of_a_large_file(weir):
    """Several large ranges of a large file arrive with every byte."""
    large_file(weir.tmp / "html/large", 40)
    serve(weir, {})
    content = (weir.tmp / "html/large").read_bytes()
    spans = [(0, 5_000_000), (30_000_001, 41_000_000), (17_000_000, 17_000_010), (len(content) - 99, len(content) - 1)]
    value = "bytes=" + ",".join(f"{first}-{last}" for first, last in spans)
    answer = weir.get("/large", headers=[("Range", value)])
    assert answer.status == 206 and len(parts(answer)) == len(spans)
    for (first, last), (_, where, data) in zip(spans, parts(answer)):
        assert where == f"bytes {first}-{last}/{len(content)}" and data == content[first:last + 1]


def test_hot_file(weir):
    """Thousands of pipelined requests for one small file are all answered with it, and no descriptor stays behind."""
    serve(weir, {"hot.txt": TEN})
    worker, = weir.worker_pids()
    assert weir.get("/hot.txt").text == TEN
    before = len(open_files(worker))

    def read(_):
        with weir.connect() as connection:
            answers = []
            for _ in range(10):
                connection.send(head("GET /hot.txt HTTP/1.1") * 50)
                answers += [connection.response().text for _ in range(50)]
            return answers
    assert sum(wire.parallel(read, range(4)), []) == [TEN] * 2000
    weirlib.wait_until(lambda: len(open_files(worker)) <= before + 2, 3, "no more descriptors than before")


def test_cache_of_files_is_bounded(weir):
    """Thousands of different files are served right without keeping thousands of descriptors open."""
    serve(weir, {f"f{i}": f"content {i}" for i in range(3000)}, connections=256, server="keepalive_requests 10000;")
    worker, = weir.worker_pids()
    with weir.connect() as connection:
        for start in range(0, 3000, 50):
            numbers = range(start, start + 50)
            connection.send(b"".join(head(f"GET /f{i} HTTP/1.1") for i in numbers))
            assert [connection.response().text for _ in numbers] == [f"content {i}" for i in numbers]
    assert len(open_files(worker)) < 1600
