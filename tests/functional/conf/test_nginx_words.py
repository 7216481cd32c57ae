"""Words of nginx's in variables, rates, addresses and headers: one small test for each."""

import os
import re
import socket
import struct
import time

import pytest
import mistakes
from proxylib import answer, backend, passed  # noqa: F401
from weirlib import Connection, config, free_port, wait_until
from wire import ask, head


def get(weir, target="/", *fields, host="Host: a"):
    return ask(weir.port, head(f"GET {target} HTTP/1.1", *fields, host=host))


# ---- set --------------------------------------------------------------------------------------------------

DEFINED = {"map": "map $arg_a $v { default map; }", "volatile map": "map $arg_a $v { volatile; default map; }", "geo": "geo $v { default map; }",
           "split_clients": "split_clients $arg_a $v { * map; }"}


@pytest.mark.parametrize("kind", DEFINED)
def test_set_of_a_defined_variable(weir, backend, kind):  # noqa: F811
    """A variable of map, geo or split_clients is what they say until it is set, by set or by auth_request_set."""
    up = backend(answer(b"", "X-User: joe")).address
    weir.start(config('location / { if ($arg_q) { set $v set; } return 200 "$v $w"; } location /b { set $v "x$v"; return 200 "$v $w"; }'
                      'location /c { set $v ""; return 200 "[$v]"; } location /d { auth_request /au; auth_request_set $v $upstream_http_x_user; add_header X-V $v; '
                      f'alias {{tmp}}/html/f; }} location = /au {{ proxy_pass http://{up}; }}', http=DEFINED[kind] + 'map $v $w { default "w-$v"; }'))
    weir.write("text", "html/f")
    found = {target: get(weir, target).text for target in ("/", "/?q=1", "/b", "/c")}
    assert found == {"/": "map w-map", "/?q=1": "set w-set", "/b": "xmap w-xmap", "/c": "[]"}
    assert get(weir, "/d").header("x-v") == "joe"


# ---- names ------------------------------------------------------------------------------------------------

def test_empty_names(weir):
    """$arg_ and its kin without a name are there, and empty."""
    weir.start(config('location / { return 200 "[$arg_][$http_][$sent_http_][$upstream_http_]"; }'))
    assert get(weir, "/?=1&a=2").text == "[][][][]"


LITERALS = {"[v1.a:b]": "[v1.a:b]", "[vF.x]:80": "[vf.x]", "[V1.a]": "[v1.a]", "[v1F.!$&'()*+,;=:~_-.]": "[v1f.!$&'()*+,;=:~_-.]"}


def test_future_addresses(weir):
    """IPvFuture in Host and in an absolute target (RFC 3986 section 3.2.2), and what is nearly one."""
    weir.start(config("location / { return 200 $host; }"))
    assert {host: get(weir, host=f"Host: {host}").text for host in LITERALS} == LITERALS
    assert ask(weir.port, head("GET http://[v1.a]/ HTTP/1.1", host="Host: x")).text == "[v1.a]"
    for host in "[v.a]", "[v1.]", "[vg.a]", "[v1.a/b]", "[v1]", "[v1.a b]":
        assert get(weir, host=f"Host: {host}").status == 400, host


# ---- rates ------------------------------------------------------------------------------------------------

def taken(weir, target):
    start = time.monotonic()
    assert len(get(weir, target).body) == 200000
    return time.monotonic() - start


def test_rates_of_variables(weir, backend):  # noqa: F811
    """limit_rate_after and proxy_limit_rate may be variables; one that is empty or no size is none."""
    up = backend(answer(200000 * b"x")).address
    weir.write(200000 * "x", "html/f")
    weir.start(config(f"location /f {{ limit_rate 200k; limit_rate_after $arg_after; root html; }} location /p {{ proxy_limit_rate $arg_rate; proxy_pass http://{up}; }}"))
    assert taken(weir, "/f?after=1m") < 0.4 < taken(weir, "/f?after=1k") and taken(weir, "/f?after=nonsense") > 0.4
    assert taken(weir, "/p") < 0.4 and taken(weir, "/p?rate=nonsense") < 0.4 < taken(weir, "/p?rate=200k")


NO_RATES = ["limit_rate_after x;", "proxy_limit_rate x;", "limit_rate_after -1;"]


@pytest.mark.parametrize("line", NO_RATES)
def test_rates_that_are_none(weir, line):
    """Without variables they are checked when they are read, with them they are not."""
    assert weir.mistake(config(server=line), line).startswith(mistakes.value(*line.rstrip(";").split(), mistakes.SIZE))
    assert weir.run("-t", conf=config(server=re.sub(r"\S+;", "$arg_a;", line))).returncode == 0


# ---- addresses --------------------------------------------------------------------------------------------

def free_range(count):
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue


@pytest.mark.parametrize("address", ["127.0.0.1:{}-{}", "{}-{}"])
def test_ranges_of_ports(weir, address):
    """listen on a range of ports is one socket for each."""
    first = free_range(3)
    weir.start(config(http=f"server {{ listen {address.format(first, first + 2)}; location / {{ return 200 $server_port; }} }}"))
    assert [weir.get(port=port).text for port in range(first, first + 3)] == [str(port) for port in range(first, first + 3)]


@pytest.mark.parametrize("address", ["127.0.0.1:5003-5001", "127.0.0.1:5001-", "127.0.0.1:5001-65536", "127.0.0.1:5001-5002-5003", "127.0.0.1:0-2"])
def test_ranges_that_are_none(weir, address):
    """A range goes up, and within the ports that there are; its ports are nobody else's."""
    assert weir.mistake(config(http=f"server {{ listen {address}; }}"), address).startswith(f'invalid port range in "{address}" of the "listen" directive')
    twice = weir.run("-t", conf=config(http="server { listen 127.0.0.1:5001-5003; listen 127.0.0.1:5002; }"))
    assert twice.returncode == 1 and "duplicate listen 127.0.0.1:5002" in twice.stderr


@pytest.mark.directive("real_ip_header")
@pytest.mark.needs("localhost")
def test_real_addresses_by_name(weir):
    """set_real_ip_from takes a host's name: all its addresses; one that is unknown is an error."""
    weir.start(config('location / { return 200 "$remote_addr $realip_remote_addr"; }', server="set_real_ip_from localhost; real_ip_header X-Real;"))
    weir.expect_log("set_real_ip_from")
    assert get(weir, "/", "X-Real: 9.9.9.9").text == "9.9.9.9 127.0.0.1"
    unknown = weir.run("-t", conf=config(server="set_real_ip_from no!name;"))
    assert unknown.returncode == 1 and "no!name" in unknown.stderr


@pytest.mark.directive("geo")
def test_geo_of_what_has_no_address(weir):
    """A unix socket's client, and a text that is no address, count as 255.255.255.255."""
    weir.start(config('location / { return 200 "$g $h"; }', server="listen unix:{tmp}/geo.sock;",
                      http="geo $g { default d; 255.255.255.255 none; 127.0.0.1 lo; } geo $arg_x $h { default d; 128.0.0.0/1 high; 10.0.0.0/8 ten; }"))
    os.chmod(weir.tmp / "geo.sock", 0o666)
    with Connection(weir.tmp / "geo.sock") as client:
        assert client.get("/?x=nonsense").text == "none high"
    assert get(weir, "/?x=10.1.1.1").text == "lo ten" and get(weir).text == "lo high"


# ---- headers ----------------------------------------------------------------------------------------------

def seconds_until(response):
    assert response.header("cache-control").startswith("max-age=")
    return int(response.header("cache-control")[8:])


@pytest.mark.directive("expires")
def test_expires_at_a_time_of_day(weir):
    """expires @TIME is the next such time, today or tomorrow, in local time; also from a variable."""
    weir.start(config("location / { expires $arg_e; return 200 x; } location /noon { expires @12h; return 200 x; }"))
    for text, hour, minute in ("@12h", 12, 0), ("@15h30m", 15, 30), ("@0", 0, 0), ("@23h59m", 23, 59):
        now = time.time()
        at = list(time.localtime(now))
        at[3:6] = hour, minute, 0
        due = time.mktime(tuple(at[:8]) + (-1,))
        if due <= now:
            at[2] += 1
            due = time.mktime(tuple(at[:8]) + (-1,))
        assert abs(seconds_until(get(weir, f"/?e={text}")) - (due - now)) < 3, text
    assert abs(seconds_until(get(weir, "/noon")) - seconds_until(get(weir, "/?e=@12h"))) < 3
    assert get(weir, "/?e=@25h").header("expires") is None


@pytest.mark.parametrize("value", ["@24h", "@25h", "@x", "modified @1h", "-@1h", "@"])
def test_times_of_day_that_are_none(weir, value):
    """Less than 24 hours, without a sign, and not from when a file was changed."""
    assert weir.run("-t", conf=config(server="expires @23h;")).returncode == 0
    line = f"expires {value};"
    assert weir.mistake(config(server=line), line).startswith(f'invalid value "{value.split()[-1]}" in "expires"; write: ')


INHERITANCE = {"add_header_inherit on;": (["l"], ["s"]), "add_header_inherit off;": (["l"], []), "add_header_inherit merge;": (["l", "s"], ["s"])}


@pytest.mark.directive("add_header_inherit")
@pytest.mark.parametrize("line", INHERITANCE)
def test_inheritance_of_headers(weir, line):
    """add_header_inherit: as ever, not at all, or in any case, behind the level's own; it is inherited itself."""
    weir.start(config(f"{line} location /own {{ {line} add_header X l; return 200 x; }} location /none {{ {line} return 200 x; }}"
                      f"location /deep {{ {line} location /deep/er {{ add_header X d; return 200 x; }} }}", server="add_header X s;"))
    found = [[value for name, value in get(weir, target).headers if name == "x"] for target in ("/own", "/none")]
    assert tuple(found) == INHERITANCE[line]
    deep = [value for name, value in get(weir, "/deep/er").headers if name == "x"]
    assert deep == (["d", "s"] if "merge" in line else ["d"])


@pytest.mark.directive("add_trailer_inherit")
def test_inheritance_of_trailers(weir, backend):  # noqa: F811
    """add_trailer_inherit is the same of trailers."""
    weir.start(config(f"location / {{ add_trailer_inherit merge; add_trailer X l; proxy_pass http://{backend(answer(b'x')).address}; }}", server="add_trailer X s;"))
    with weir.connect() as client:
        client.send(head("GET / HTTP/1.1", "Connection: close"))
        assert client.until_close().endswith(b"\r\n0\r\nX: l\r\nX: s\r\n\r\n")


HINTED = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"x")


@pytest.mark.directive("early_hints")
@pytest.mark.parametrize("line, fields, passes", [("", [], True), ("early_hints $http_wants;", [], False), ("early_hints $http_wants;", ["Wants: 0"], False),
                                                  ("early_hints $http_wants;", ["Wants: 1"], True), ("early_hints $http_none $http_wants;", ["Wants: 1"], True)])
def test_early_hints(weir, backend, line, fields, passes):  # noqa: F811
    """They go on where one of the texts is neither empty nor 0, and without the directive always."""
    passed(weir, backend(HINTED), line)
    assert weir.run("-t", conf=config(server="early_hints $arg_a $arg_b;")).returncode == 0
    assert get(weir, "/", *fields).informational == ([103] if passes else [])


# ---- proxy ------------------------------------------------------------------------------------------------

def test_a_small_buffer_for_heads(weir, backend):  # noqa: F811
    """proxy_buffer_size may be less than 1k: a head that is larger is 502."""
    up = backend(lambda call: answer(b"ok", *(["X: " + 300 * "y"] if call.target == "/large" else [])))
    passed(weir, up, "proxy_buffer_size 256;")
    weir.expect_log("too big header")
    assert get(weir, "/small").text == "ok" and get(weir, "/large").status == 502


def test_the_file_of_a_body(weir, backend):  # noqa: F811
    """$request_body_file names the file of a body that does not stay in memory, while the request lasts."""
    seen = []

    def reply(call):
        path = call.header("X-File", "")
        seen.append(path and open(path).read())
        return answer(b"ok")
    passed(weir, backend(reply), 'client_body_buffer_size 1k; proxy_set_header X-File $request_body_file; proxy_pass_request_body off; proxy_set_header Content-Length "";')
    for size in 5, 50000:
        assert ask(weir.port, head("POST / HTTP/1.1", f"Content-Length: {size}") + size * b"x").text == "ok"
    assert seen == ["", 50000 * "x"]
    folder = weir.tmp / "client_body_temp"
    wait_until(lambda: not folder.exists() or not list(folder.iterdir()), 3, "the file's end")


# ---- the PROXY protocol -----------------------------------------------------------------------------------

def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def version_2(tlvs):
    block = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 1234, 80) + tlvs
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(block)) + block


TLVS = tlv(4, b"pad") + tlv(1, b"h2") + tlv(2, b"example.org") + tlv(5, b"id-1") + tlv(0x30, b"ns") + tlv(0xE0, b"own") + tlv(
    0x20, b"\x01\x00\x00\x00\x07" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"cn") + tlv(0x23, b"AES") + tlv(0x24, b"RSA") + tlv(0x25, b"EC"))

VALUES = {"alpn": "h2", "authority": "example.org", "unique_id": "id-1", "netns": "ns", "0x01": "h2", "0xe0": "own", "0xe1": "", "ssl_version": "TLSv1.3", "ssl_cn": "cn",
          "ssl_cipher": "AES", "ssl_sig_alg": "RSA", "ssl_key_alg": "EC", "ssl_verify": "7", "ssl_0x22": "cn", "ssl_0x2f": "",
          "0x2": "example.org", "0x0002": "example.org", "0X5": "id-1", "0xE0": "own", "ssl_0x022": "cn", "ssl_0x0": "", "ALPN": "h2", "SSL_Verify": "7"}


def test_extensions_of_the_proxy_protocol(weir):
    """$proxy_protocol_tlv_ and a name, or a number in hexadecimal digits."""
    port = free_port()
    line = "|".join(f"${{proxy_protocol_tlv_{name}}}" for name in VALUES)
    weir.start(config(http=f'server {{ listen 127.0.0.1:{port} proxy_protocol; location / {{ return 200 "{line}"; }} }}'))
    request = head("GET / HTTP/1.1", "Connection: close")
    assert ask(port, version_2(TLVS) + request).text == "|".join(VALUES.values())
    assert ask(port, version_2(b"") + request).text == ask(port, b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n" + request).text == "|" * (len(VALUES) - 1)


@pytest.mark.parametrize("name", ["foo", "", "0x", "0xzz", "0x1z", "0x100", "1", "ssl_", "ssl_foo", "ssl_alpn", "ssl_0xzz", "cn", "verify", "x02"])
def test_extensions_that_are_none(weir, name):
    """A name that is written wrongly is an error of the configuration; nginx says so in the log of each request."""
    checked = weir.run("-t", conf=config(f"location / {{ return 200 ${{proxy_protocol_tlv_{name}}}; }}"))
    assert checked.returncode == 1 and f'unknown "proxy_protocol_tlv_{name}" variable' in checked.stderr


def test_case_of_names_of_the_proxy_protocol(weir):
    port = free_port()
    weir.start(config(http=f"server {{ listen 127.0.0.1:{port} proxy_protocol; location / {{ "
                           'return 200 "$PROXY_Protocol_Addr|$proxy_protocol_PORT|$Proxy_protocol_server_Addr|$PROXY_PROTOCOL_TLV_ALPN"; } }'))
    assert ask(port, version_2(TLVS) + head("GET / HTTP/1.1", "Connection: close")).text == "192.0.2.7|1234|192.0.2.1|h2"


@pytest.mark.parametrize("tlvs", [b"\x01", b"\x01\x00", b"\x01\x00\x09h2", tlv(4, b"") + b"\x01\xff\xff", tlv(0x20, b"\x01\x00"), tlv(0x20, b"\x01\0\0\0\0\x22\xff\xff")])
def test_extensions_that_do_not_end(weir, tlvs):
    """They are none, and the connection serves; the same with an end is one."""
    port = free_port()
    weir.start(config(http=f"server {{ listen 127.0.0.1:{port} proxy_protocol; location / {{ "
                           'return 200 "$proxy_protocol_addr[$proxy_protocol_tlv_alpn][$proxy_protocol_tlv_ssl_cn]"; } }'))
    request = head("GET / HTTP/1.1", "Connection: close")
    assert ask(port, version_2(tlvs) + request).text == "192.0.2.7[][]"
    assert ask(port, version_2(tlv(1, b"h2") + tlvs) + request).text == "192.0.2.7[h2][]"
