"""Which headers of upstreams' answers go on, and what configurations of the answer are refused."""

import pytest
from proxylib import answer, backend, get, passed, raw_answer, upstream  # noqa: F401 - a fixture
from weirlib import config

DATE = "Thu, 01 Jan 1970 00:00:00 GMT"
HIDDEN = {"Server": "theirs", "Date": DATE, "X-Pad": "1", "X-Accel-Expires": "5",
          "X-Accel-Limit-Rate": "0", "X-Accel-Buffering": "yes", "X-Accel-Charset": "utf-8"}


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


def test_ignored_redirect(weir, backend):
    """Not obeyed; not passed on either."""
    passed(weir, backend(answer(b"theirs", "X-Accel-Redirect: /own")), "proxy_ignore_headers X-Accel-Redirect;",
           server="location = /own { return 200 own; }")
    reply = weir.get()
    assert reply.text == "theirs" and reply.header("X-Accel-Redirect") is None


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

ANYWHERE = [
    "proxy_redirect;", "proxy_redirect a b c;", "proxy_redirect on;", "proxy_redirect ~( x;", "proxy_redirect ~*[ x;",
    "proxy_redirect http://a/ $nonsuch;", "proxy_redirect $nonsuch /;", "proxy_redirect off x y;",
    "proxy_cookie_domain;", "proxy_cookie_domain a;", "proxy_cookie_domain a b c;", "proxy_cookie_domain ~( x;",
    "proxy_cookie_domain a $nonsuch;", "proxy_cookie_path;", "proxy_cookie_path /;", "proxy_cookie_path / / /;",
    "proxy_cookie_path ~) x;", "proxy_cookie_path $nonsuch /;", "proxy_cookie_flags;", "proxy_cookie_flags a;",
    "proxy_cookie_flags ~( secure;", "proxy_cookie_flags a $nonsuch;", "proxy_cookie_flags $nonsuch secure;",
    "proxy_hide_header;", "proxy_hide_header a b;", "proxy_pass_header;", "proxy_pass_header a b;",
    "proxy_ignore_headers;", "proxy_ignore_headers X-Other;", "proxy_ignore_headers Vary vary-too;",
    "proxy_buffering;", "proxy_buffering yes;", "proxy_buffering on off;", "proxy_buffers 8;", "proxy_buffers x 8k;",
    "proxy_buffers 0 8k;", "proxy_buffers 8 0;", "proxy_buffers 8 8x;", "proxy_buffer_size;", "proxy_buffer_size x;",
    "proxy_buffer_size -1;", "proxy_max_temp_file_size;", "proxy_max_temp_file_size big;", "proxy_limit_rate;",
    "proxy_limit_rate fast;", "limit_rate;", "limit_rate fast;", "limit_rate 1 2;", "limit_rate $nonsuch;",
    "limit_rate_after x;", "proxy_intercept_errors;", "proxy_intercept_errors maybe;", "proxy_pass_trailers 1;",
    "proxy_temp_path;", "proxy_temp_path a 1 2 3 4;", "proxy_temp_file_write_size x;", "proxy_busy_buffers_size;",
]


def refused(weir, conf, line):
    result = weir.run("-t", conf=conf)
    number = next(i for i, text in enumerate(weir.fill(conf).splitlines(), 1) if line in text)
    return result.returncode == 1 and f"weir.conf:{number}" in result.stderr, result.stderr


@pytest.mark.parametrize("level", ["http", "server", "location"])
@pytest.mark.parametrize("line", ANYWHERE)
def test_wrong(weir, line, level):
    """With the file and the line."""
    parts = {"http": "", "server": "", "location": "", level: line + "\n"}
    conf = config(f"location / {{ proxy_pass http://127.0.0.1:1;\n {parts['location']} }}", http=parts["http"],
                  server=parts["server"])
    good, said = refused(weir, conf, line)
    assert good, said


@pytest.mark.parametrize("line", ["proxy_buffering on; proxy_buffering off;", "limit_rate 1; limit_rate 2;",
                                  "proxy_redirect off; proxy_redirect http://a/ /;",
                                  "proxy_redirect http://a/ /; proxy_redirect off;",
                                  "proxy_cookie_domain off; proxy_cookie_domain a b;",
                                  "proxy_cookie_domain a b; proxy_cookie_domain off;",
                                  "proxy_cookie_path off; proxy_cookie_path a b;",
                                  "proxy_cookie_path a b; proxy_cookie_path off;",
                                  "proxy_cookie_flags off; proxy_cookie_flags a secure;",
                                  "proxy_cookie_flags a secure; proxy_cookie_flags off;",
                                  "proxy_intercept_errors on; proxy_intercept_errors on;",
                                  "proxy_max_temp_file_size 0; proxy_max_temp_file_size 1;"])
def test_twice(weir, line):
    """off beside other lines says two things; the same value twice as well."""
    good, said = refused(weir, config(f"location / {{ proxy_pass http://127.0.0.1:1;\n {line}\n }}"), line)
    assert good, said


@pytest.mark.parametrize("to", ["http://$host", "http://127.0.0.1:1$uri"])
def test_redirect_default_with_variables(weir, to):
    line = "proxy_redirect default;"
    good, said = refused(weir, config(f"location / {{ proxy_pass {to};\n {line}\n }}"), line)
    assert good and "variables" in said, said


@pytest.mark.parametrize("where", ["proxy_pass_header", "proxy_hide_header"])
def test_not_in_an_upstream(weir, where):
    line = f"{where} X-A;"
    good, said = refused(weir, config(http=upstream("127.0.0.1:1", more=f"\n{line}\n")), line)
    assert good and "not allowed here" in said, said
