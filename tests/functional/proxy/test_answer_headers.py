"""Which headers of upstreams' answers go on, and what configurations of the answer are refused."""

import re

import pytest
from mistakes import FLAG, PARENTHESIS, SIZE, arguments, duplicate, value, variable
from proxylib import answer, backend, get, passed, raw_answer, upstream  # noqa: F401 - a fixture
from weirlib import config

DATE = "Thu, 01 Jan 1970 00:00:00 GMT"
HIDDEN = {"Server": "theirs", "Date": DATE, "X-Pad": "1", "X-Accel-Expires": "5",
          "X-Accel-Limit-Rate": "0", "X-Accel-Buffering": "yes", "X-Accel-Charset": "utf-8"}


@pytest.mark.directive("proxy_pass_header")
@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_unless_passed(weir, backend, name):
    up = backend(answer(b"x", f"{name}: {HIDDEN[name]}"))
    weir.start(config(f"location /no {{ proxy_pass http://{up.address}; }}"
                      f"location /yes {{ proxy_pass http://{up.address}; proxy_pass_header {name.lower()}; }}"))
    def values(target):
        return [value for key, value in weir.get(target).headers if key == name.lower()]
    assert HIDDEN[name] not in values("/no") and values("/yes") == [HIDDEN[name]]


@pytest.mark.parametrize("name", ["X-Accel-Foo", "X-Accel-", "X-Accel-Redirect2", "X-Accel", "X-Accel-Buffer"])
def test_only_known_accel_headers_are_hidden(weir, backend, name):
    """In an interim answer as well."""
    passed(weir, backend(f"HTTP/1.1 103 Hints\r\n{name}: early\r\n\r\n".encode() + answer(b"x", f"{name}: kept")))
    assert f"{name}: early".encode() in raw_answer(weir.port, get())
    assert weir.get().header(name) == "kept"


@pytest.mark.parametrize("name", ["Server", "Date"])
def test_hidden_by_name_is_ours(weir, backend, name):
    """proxy_hide_header of what the server itself says."""
    passed(weir, backend(answer(b"x", f"{name}: theirs")), f"proxy_hide_header {name};")
    found = [value for key, value in weir.get().headers if key == name.lower()]
    assert len(found) == 1 and found[0] != "theirs"


def test_passed_header_that_did_not_come(weir, backend):
    passed(weir, backend(answer(b"x")), "proxy_pass_header Date;")
    assert weir.get().header("Date")


@pytest.mark.directive("proxy_hide_header", "proxy_pass_header")
def test_pass_header_undoes_hide_header(weir, backend):
    """nginx: proxy_pass_header permits passing otherwise disabled fields, those of proxy_hide_header too."""
    passed(weir, backend(answer(b"x", "X-A: 1", "X-B: 2")), "proxy_pass_header X-A;",
           server="proxy_hide_header X-A; proxy_hide_header X-B;")
    reply = weir.get()
    assert reply.header("X-A") == "1" and reply.header("X-B") is None


def test_pass_header_is_inherited_where_a_level_has_none(weir, backend):
    up = backend(answer(b"x", "Server: theirs", "X-Accel-Expires: 5", "X-Pad: 6"))
    weir.start(config(f"location /all {{ proxy_pass http://{up.address}; }}"
                      f"location /own {{ proxy_pass http://{up.address}; proxy_pass_header X-Pad; }}",
                      http="proxy_pass_header Server;", server="proxy_pass_header X-Accel-Expires;"))
    found = {target: [value for name, value in weir.get(target).headers if value in ("theirs", "5", "6")]
             for target in ("/all", "/own")}
    assert found == {"/all": ["5"], "/own": ["6"]}


def test_hide_from_http_level(weir, backend):
    passed(weir, backend(answer(b"x", "X-A: 1", "X-B: 2")), http="proxy_hide_header X-A; proxy_hide_header x-b;")
    reply = weir.get()
    assert reply.header("X-A") is None and reply.header("X-B") is None


@pytest.mark.directive("proxy_ignore_headers")
def test_ignored_redirect(weir, backend):
    """Not obeyed; not passed on either."""
    passed(weir, backend(answer(b"theirs", "X-Accel-Redirect: /own")), "proxy_ignore_headers X-Accel-Redirect;",
           server="location = /own { return 200 own; }")
    reply = weir.get()
    assert reply.text == "theirs" and reply.header("X-Accel-Redirect") is None


@pytest.mark.directive("proxy_ignore_headers")
def test_ignored_redirect_is_inherited(weir, backend):
    up = backend(answer(b"theirs", "X-Accel-Redirect: /own"))
    weir.start(config(f"location /all {{ proxy_pass http://{up.address}; }}"
                      f"location /other {{ proxy_pass http://{up.address}; proxy_ignore_headers Vary; }}"
                      "location = /own { return 200 own; }", http="proxy_ignore_headers X-Accel-Redirect Vary;"))
    assert (weir.get("/all").text, weir.get("/other").text) == ("theirs", "own")


def test_all_ignore_headers_are_accepted(weir, backend):
    passed(weir, backend(answer(b"x", "X-Accel-Limit-Rate: 1", "X-Accel-Buffering: no", "Set-Cookie: a=b", "Vary: c",
                                "Expires: 0", "Cache-Control: d")),
           "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset"
           " Expires Cache-Control Set-Cookie Vary;")
    reply = weir.get()
    assert [reply.header(name) for name in ("Set-Cookie", "Vary", "Expires", "Cache-Control")] == ["a=b", "c", "0", "d"]


# ---- mistakes -----------------------------------------------------------------------------------------------

BUFFERS = "a number of buffers and the size of one, such as 8 4k"
ANYWHERE = {
    "proxy_redirect;": arguments("proxy_redirect", "1 to 2"),
    "proxy_redirect a b c;": arguments("proxy_redirect", "1 to 2"),
    "proxy_redirect on;": 'invalid parameter "on" of "proxy_redirect"',
    "proxy_redirect ~( x;": PARENTHESIS,
    "proxy_redirect ~*[ x;": 'pcre2_compile() failed: missing terminating ] for character class in "[" at offset 1',
    "proxy_redirect http://a/ $nonsuch;": variable("nonsuch"),
    "proxy_redirect $nonsuch /;": variable("nonsuch"),
    "proxy_redirect off x y;": arguments("proxy_redirect", "1 to 2"),
    "proxy_cookie_domain;": arguments("proxy_cookie_domain", "1 to 2"),
    "proxy_cookie_domain a;": 'invalid parameter "a" of "proxy_cookie_domain"',
    "proxy_cookie_domain a b c;": arguments("proxy_cookie_domain", "1 to 2"),
    "proxy_cookie_domain ~( x;": PARENTHESIS,
    "proxy_cookie_domain a $nonsuch;": variable("nonsuch"),
    "proxy_cookie_path;": arguments("proxy_cookie_path", "1 to 2"),
    "proxy_cookie_path /;": 'invalid parameter "/" of "proxy_cookie_path"',
    "proxy_cookie_path / / /;": arguments("proxy_cookie_path", "1 to 2"),
    "proxy_cookie_path ~) x;": 'pcre2_compile() failed: unmatched closing parenthesis in ")" at offset 0',
    "proxy_cookie_path $nonsuch /;": variable("nonsuch"),
    "proxy_cookie_flags;": arguments("proxy_cookie_flags", "1 to 7"),
    "proxy_cookie_flags a;": 'invalid parameter "a" of "proxy_cookie_flags"',
    "proxy_cookie_flags ~( secure;": PARENTHESIS,
    "proxy_cookie_flags a $nonsuch;": variable("nonsuch"),
    "proxy_cookie_flags $nonsuch secure;": variable("nonsuch"),
    "proxy_hide_header;": arguments("proxy_hide_header", "exactly 1"),
    "proxy_hide_header a b;": arguments("proxy_hide_header", "exactly 1"),
    "proxy_pass_header;": arguments("proxy_pass_header", "exactly 1"),
    "proxy_pass_header a b;": arguments("proxy_pass_header", "exactly 1"),
    "proxy_ignore_headers;": arguments("proxy_ignore_headers", "at least 1"),
    "proxy_ignore_headers X-Other;": value("proxy_ignore_headers", "X-Other", "X-Accel-Redirect | "),
    "proxy_ignore_headers Vary vary-too;": value("proxy_ignore_headers", "vary-too", "X-Accel-Redirect | "),
    "proxy_buffering;": arguments("proxy_buffering", "exactly 1"),
    "proxy_buffering yes;": value("proxy_buffering", "yes", FLAG),
    "proxy_buffering on off;": arguments("proxy_buffering", "exactly 1"),
    "proxy_buffers 8;": arguments("proxy_buffers", "exactly 2"),
    "proxy_buffers x 8k;": value("proxy_buffers", "x", BUFFERS),
    "proxy_buffers 0 8k;": value("proxy_buffers", "0", BUFFERS),
    "proxy_buffers 8 0;": value("proxy_buffers", "0", BUFFERS),
    "proxy_buffers 8 8x;": value("proxy_buffers", "8x", BUFFERS),
    "proxy_buffer_size;": arguments("proxy_buffer_size", "exactly 1"),
    "proxy_buffer_size x;": value("proxy_buffer_size", "x", SIZE),
    "proxy_buffer_size -1;": value("proxy_buffer_size", "-1", SIZE),
    "proxy_max_temp_file_size;": arguments("proxy_max_temp_file_size", "exactly 1"),
    "proxy_max_temp_file_size big;": value("proxy_max_temp_file_size", "big", SIZE),
    "proxy_limit_rate;": arguments("proxy_limit_rate", "exactly 1"),
    "proxy_limit_rate fast;": value("proxy_limit_rate", "fast", SIZE),
    "limit_rate;": arguments("limit_rate", "exactly 1"),
    "limit_rate fast;": value("limit_rate", "fast", SIZE),
    "limit_rate 1 2;": arguments("limit_rate", "exactly 1"),
    "limit_rate $nonsuch;": variable("nonsuch"),
    "limit_rate_after x;": value("limit_rate_after", "x", SIZE),
    "proxy_intercept_errors;": arguments("proxy_intercept_errors", "exactly 1"),
    "proxy_intercept_errors maybe;": value("proxy_intercept_errors", "maybe", FLAG),
    "proxy_pass_trailers 1;": value("proxy_pass_trailers", "1", FLAG),
    "proxy_temp_path;": arguments("proxy_temp_path", "1 to 4"),
    "proxy_temp_path a 1 2 3 4;": arguments("proxy_temp_path", "1 to 4"),
    "proxy_temp_file_write_size x;": value("proxy_temp_file_write_size", "x", SIZE),
    "proxy_busy_buffers_size;": arguments("proxy_busy_buffers_size", "exactly 1"),
}


@pytest.mark.parametrize("level", ["http", "server", "location"])
@pytest.mark.parametrize("line", ANYWHERE)
def test_wrong(weir, line, level):
    """With the directive, the word and the line."""
    parts = {"http": "", "server": "", "location": "", level: line + "\n"}
    conf = config(f"location / {{ proxy_pass http://127.0.0.1:1;\n {parts['location']} }}", http=parts["http"],
                  server=parts["server"])
    assert weir.mistake(conf, line).startswith(ANYWHERE[line])


TWICE = ["proxy_buffering on; proxy_buffering off;", "limit_rate 1; limit_rate 2;", "proxy_redirect off; proxy_redirect http://a/ /;",
         "proxy_redirect http://a/ /; proxy_redirect off;", "proxy_cookie_domain off; proxy_cookie_domain a b;",
         "proxy_cookie_domain a b; proxy_cookie_domain off;", "proxy_cookie_path off; proxy_cookie_path a b;",
         "proxy_cookie_path a b; proxy_cookie_path off;", "proxy_cookie_flags off; proxy_cookie_flags a secure;",
         "proxy_cookie_flags a secure; proxy_cookie_flags off;", "proxy_intercept_errors on; proxy_intercept_errors on;",
         "proxy_max_temp_file_size 0; proxy_max_temp_file_size 1;"]


@pytest.mark.parametrize("line", TWICE)
def test_twice(weir, line):
    """off beside other lines says two things; the same value twice as well."""
    found = weir.mistakes(config(f"location / {{ proxy_pass http://127.0.0.1:1;\n {line}\n }}"))
    stands_alone = ': "off" stands alone' if re.search("redirect|cookie", line) else "; remove one of them"
    assert found[0][0].startswith(duplicate(line.split()[0]) + stands_alone)
    assert {number for _, number in found} == {weir.line_of(line)}


@pytest.mark.parametrize("to", ["http://$host", "http://127.0.0.1:1$uri"])
def test_redirect_default_with_variables(weir, to):
    line = "proxy_redirect default;"
    said = weir.mistake(config(f"location / {{ proxy_pass {to};\n {line}\n }}"), line)
    assert "variables" in said and "proxy_redirect" in said, said


@pytest.mark.parametrize("where", ["proxy_pass_header", "proxy_hide_header"])
def test_not_in_an_upstream(weir, where):
    line = f"{where} X-A;"
    said = weir.mistake(config(http=upstream("127.0.0.1:1", more=f"\n{line}\n")), line)
    assert said.startswith(f'"{where}" directive is not allowed here; its place is: ')
