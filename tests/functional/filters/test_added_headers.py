"""add_header: fields of any name, those that an answer has by itself, and what $sent_http_ says of an answer with ranges."""

import pytest
from mistakes import arguments
from proxylib import answer, backend  # noqa: F401
from weirlib import config, wait_until
from wire import ask, head


def get(weir, target, *fields):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields))


def all_of(response, name):
    return [value for key, value in response.headers if key == name]


@pytest.mark.parametrize("name", ["Last-Modified", "ETag"])
def test_one_of_its_own(weir, backend, name):  # noqa: F811
    """Of Last-Modified and ETag there is one: a line takes its place, an empty one takes it away."""
    weir.write("text", "html/f")
    own = answer(b"x", "Last-Modified: Tue, 01 Jan 2019 00:00:00 GMT", 'ETag: "up"')
    up = backend(own).address
    weir.start(config(f"root html; location = /f {{ }} location = /set {{ add_header {name} mine; alias {{tmp}}/html/f; }} "
                      f'location = /none {{ add_header {name} ""; alias {{tmp}}/html/f; }} '
                      f"location = /by {{ add_header {name} $arg_x; return 200 x; }} location = /fail {{ add_header {name} mine; return 404; }}"
                      f"location = /always {{ add_header {name} mine always; return 404; }}"
                      f'location = /up {{ add_header {name} ""; proxy_pass http://{up}; }} location = /up2 {{ add_header {name} mine; proxy_pass http://{up}; }}'))
    found = {target: all_of(get(weir, target), name.lower()) for target in ("/set", "/none", "/by?x=v", "/by", "/fail", "/always", "/up", "/up2")}
    assert found == {"/set": ["mine"], "/none": [], "/by?x=v": ["v"], "/by": [], "/fail": [], "/always": ["mine"], "/up": [], "/up2": ["mine"]}
    assert len(all_of(get(weir, "/f"), name.lower())) == 1


def test_others_are_added(weir):
    """Of the rest there may be several lines; an empty one adds nothing."""
    weir.write("text", "html/f")
    weir.start(config('root html; location /f { expires 1h; add_header Cache-Control a; add_header Cache-Control ""; add_header Link l; add_header Link m; '
                      'add_header ETag ""; }'))
    got = get(weir, "/f")
    assert all_of(got, "cache-control") == ["max-age=3600", "a"] and all_of(got, "link") == ["l", "m"] and all_of(got, "etag") == []


def test_what_is_known_before_ranges_are_cut(weir):
    """In add_header $sent_http_ speaks of the whole file, in the log of the answer."""
    weir.write("0123456789", "html/t.txt")
    weir.start(config('location / { add_header X-T $sent_http_content_type; add_header X-L $sent_http_content_length; add_header X-R "[$sent_http_content_range]"; }',
                      http='log_format f "$sent_http_content_type $sent_http_content_length $sent_http_content_range"; types { text/plain txt; } root html;',
                      server="access_log {tmp}/logs/access.log f;"))
    for ranges in ("bytes=0-1,4-5", "bytes=0-1", "bytes=0-"):
        got = get(weir, "/t.txt", "Range: " + ranges)
        assert [got.status, got.header("x-t"), got.header("x-l"), got.header("x-r")] == [206, "text/plain", "10", "[]"]
    log = weir.tmp / "logs/access.log"
    lines = wait_until(lambda: len(log.read_text().splitlines()) > 3, 3, "the log") and log.read_text().splitlines()[-3:]
    assert lines[0].startswith("multipart/byteranges; boundary=") and lines[1:] == ["text/plain 2 bytes 0-1/10", "text/plain 10 bytes 0-9/10"]


# ---- of any name --------------------------------------------------------------------------------------------

@pytest.mark.directive("add_header")
def test_add_header(weir, backend):  # noqa: F811
    weir.write("a", "html/a.txt")
    weir.expect_log("No such file")
    weir.start(config('root {tmp}/html; add_header X-Server 1; location / { } location /own { add_header X-Own "$uri"; add_header X-Always a always;'
                      "add_header X-Empty $arg_none; return 404; } location /ok { add_header X-Own 2; proxy_pass http://"
                      + backend().address + "; }"))
    assert weir.get("/a.txt").header("X-Server") == "1" and weir.get("/none").header("X-Server") is None
    own = weir.get("/own")
    assert own.header("X-Own") is None and own.header("X-Always") == "a" and own.header("X-Server") is None
    assert weir.get("/ok").header("X-Own") == "2" and weir.get("/ok").header("X-Empty") is None


def test_add_header_cannot_be_split(weir):
    """A line end that a client has put into the path makes no header of the client's."""
    weir.start(config("location / { add_header X-Uri $uri; return 200 ok; }"))
    reply = weir.get("/a%0d%0aX-Evil:%201")
    assert reply.status == 200 and reply.header("X-Evil") is None and reply.header("X-Uri") is None


WRONG = {
    "location / { add_header X; }": arguments("add_header", "2 to 3"),
    "location / { add_header X 1 sometimes; }": 'invalid parameter "sometimes" of "add_header"',
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings(weir, wrong):
    assert weir.mistake(config("\n" + wrong), wrong).startswith(WRONG[wrong])
