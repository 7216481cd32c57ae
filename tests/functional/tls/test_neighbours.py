"""nginx and HAProxy before the server, which is an upstream that speaks TLS; and behind it, as its upstreams."""

import os
import re

import pytest
from neighbours import neighbour  # noqa: F401 - a fixture
from tlslib import SAYS, V12, V13, serve
from weirlib import Connection, config, fetch, wait_until

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
FILES = "location /file { root {tmp}; }"
KEPT = 'location = /kept { return 200 "$connection_requests"; }'


def both(authority, name):
    """Certificate and key in one file, as HAProxy has them."""
    path = authority.path(f"{name}.both")
    path.write_text("".join(authority.path(f"{name}.{kind}").read_text() for kind in ("pem", "key")))
    return path


def carries_bodies(port, weir):
    """What is sent comes back, and a file is whole, through all that is in between."""
    body = os.urandom(3_000_000)
    (weir.tmp / "file").write_bytes(body)
    for size in (1, 16_384, len(body)):
        assert fetch(port, "/echo", "POST", body=body[:size], timeout=20).body == body[:size]
    assert fetch(port, "/file", timeout=20).body == body


# ---- nginx in front -----------------------------------------------------------------------------------------------

def nginx_before(weir, authority, more="", keepalive="keepalive 4;"):
    return f"""
        upstream weir {{ server 127.0.0.1:{weir.port2}; {keepalive} }}
        server {{
            listen 127.0.0.1:{{port}};
            location / {{
                proxy_pass https://weir; proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_ssl_verify on; proxy_ssl_trusted_certificate {authority.path("ca.pem")};
                proxy_ssl_name localhost; proxy_ssl_server_name on; {more}
            }}
        }}"""


@BOTH
def test_nginx_in_front(weir, authority, neighbour, version):
    """It takes the server for who it is, keeps connections as long as it may, and carries bodies both ways."""
    serve(weir, authority, SAYS + FILES + KEPT, server="keepalive_requests 3;")
    front = neighbour("nginx", nginx_before(weir, authority, f"proxy_ssl_protocols TLSv{version};"))
    assert [fetch(front.port, "/kept").text for _ in range(7)] == ["1", "2", "3", "1", "2", "3", "1"]
    assert fetch(front.port, "/says").text.split("|")[:2] == ["https", f"TLSv{version}"]
    assert fetch(front.port, "/says").text.split("|")[4] == "localhost"
    carries_bodies(front.port, weir)
    assert "[error]" not in front.log and "[crit]" not in front.log


@BOTH
def test_nginx_in_front_takes_sessions_up(weir, authority, neighbour, version):
    """Where it keeps no connections."""
    serve(weir, authority)
    front = neighbour("nginx", nginx_before(weir, authority, f"proxy_ssl_protocols TLSv{version};", keepalive=""))
    assert [fetch(front.port, "/says").text.split("|")[5] for _ in range(3)] == [".", "r", "r"]


@BOTH
@pytest.mark.directive("ssl_verify_client")
def test_nginx_in_front_has_a_certificate(weir, authority, neighbour, version):
    authority.certificate("front")
    serve(weir, authority, server=f"ssl_verify_client on; ssl_client_certificate {authority.path('ca.pem')};")
    own = f"proxy_ssl_certificate {authority.path('front.pem')}; proxy_ssl_certificate_key {authority.path('front.key')};"
    only = f"proxy_ssl_protocols TLSv{version};"
    assert fetch(neighbour("nginx", nginx_before(weir, authority, only + own)).port, "/says").text.endswith("|SUCCESS")
    assert fetch(neighbour("nginx", nginx_before(weir, authority, only)).port, "/says").status == 400


def test_nginx_in_front_asks_for_another_name(weir, authority, neighbour):
    serve(weir, authority)
    front = neighbour("nginx", nginx_before(weir, authority).replace("proxy_ssl_name localhost", "proxy_ssl_name b.test"))
    assert fetch(front.port, "/says").status == 502
    assert 'upstream SSL certificate does not match "b.test"' in front.log


# ---- HAProxy in front -----------------------------------------------------------------------------------------------

def haproxy_before(weir, authority, more="", bind="", name="localhost"):
    return f"""
frontend front
    bind 127.0.0.1:{{port}} {bind}
    default_backend weir
backend weir
    server weir 127.0.0.1:{weir.port2} ssl verify required ca-file {authority.path("ca.pem")} verifyhost {name} sni str({name}) {more}
"""


def only(version):
    return f"ssl-min-ver TLSv{version} ssl-max-ver TLSv{version}"


@BOTH
def test_haproxy_in_front(weir, authority, neighbour, version):
    serve(weir, authority, SAYS + FILES + KEPT, server="keepalive_requests 3;")
    front = neighbour("haproxy", haproxy_before(weir, authority, only(version)))
    assert [fetch(front.port, "/kept").text for _ in range(7)] == ["1", "2", "3", "1", "2", "3", "1"]
    assert fetch(front.port, "/says").text.split("|")[:2] == ["https", f"TLSv{version}"]
    assert fetch(front.port, "/says").text.split("|")[4] == "localhost"
    carries_bodies(front.port, weir)


@BOTH
def test_haproxy_in_front_takes_sessions_up(weir, authority, neighbour, version):
    """Where it keeps no connections."""
    serve(weir, authority)
    front = neighbour("haproxy", haproxy_before(weir, authority, only(version) + " pool-max-conn 0"))
    assert [fetch(front.port, "/says").text.split("|")[5] for _ in range(3)] == [".", "r", "r"]


@BOTH
@pytest.mark.directive("ssl_verify_client")
def test_haproxy_in_front_has_a_certificate(weir, authority, neighbour, version):
    authority.certificate("front")
    serve(weir, authority, server=f"ssl_verify_client on; ssl_client_certificate {authority.path('ca.pem')};")
    own = f" crt {both(authority, 'front')}"
    assert fetch(neighbour("haproxy", haproxy_before(weir, authority, only(version) + own)).port, "/says").text.endswith("|SUCCESS")
    assert fetch(neighbour("haproxy", haproxy_before(weir, authority, only(version))).port, "/says").status == 400


def test_haproxy_in_front_asks_for_another_name(weir, authority, neighbour):
    serve(weir, authority)
    assert fetch(neighbour("haproxy", haproxy_before(weir, authority, name="b.test")).port, "/says").status == 503


FROM = ("$remote_addr:$remote_port", "$proxy_protocol_tlv_ssl_version", "$proxy_protocol_tlv_ssl_cn", "$proxy_protocol_tlv_ssl_verify",
        "$proxy_protocol_tlv_authority", "$scheme", "$ssl_protocol", "$connection_requests")


@BOTH
@pytest.mark.directive("listen", "real_ip_header", "set_real_ip_from")
def test_haproxy_says_who_came(weir, authority, neighbour, version):
    """Version 2 of the PROXY protocol before the handshake: a client's address, what it has negotiated, and whose certificate it has."""
    authority.certificate("client")
    weir.start(config('location = /from { return 200 "%s"; } location = /check { access_log logs/checks.log ends; return 200 ok; }' % "|".join(FROM),
                      http="log_format ends '$remote_addr [$proxy_protocol_addr] $scheme';",
                      server=f"listen 127.0.0.1:{{port2}} ssl proxy_protocol; {authority.lines()} set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"))
    front = neighbour("haproxy", haproxy_before(
        weir, authority, f"{only(version)} send-proxy-v2 proxy-v2-options ssl,cert-cn,authority pool-low-conn 8 check inter 100ms",  # else it keeps one connection, for one client
        bind=f"ssl crt {both(authority, 'localhost')} ca-file {authority.path('ca.pem')} verify required") + "    option httpchk GET /check\n")
    for client_version, named in ((V12, "TLSv1.2"), (V13, "TLSv1.3")):
        with Connection(front.port, tls=authority.client(client_version, "client"), name="localhost") as client:
            came = "127.0.0.1:%d" % client.socket.getsockname()[1]
            for number in ("1", "2"):
                wanted = [came, named, "client", "0", "localhost", "https", f"TLSv{version}", number]
                assert client.get("/from").text.split("|") == wanted
    checks = wait_until(lambda: (weir.tmp / "logs/checks.log").exists() and (weir.tmp / "logs/checks.log").read_text(), 5, "a health check")
    assert checks.splitlines()[0] == "127.0.0.1 [-] https"  # nobody's: the command LOCAL
    assert "DOWN" not in front.log


# ---- behind -----------------------------------------------------------------------------------------------------

def before(weir, authority, back, version, more="", name="localhost", keepalive="", own="front"):
    """The server under test before a neighbour, and behind it once more, to echo."""
    authority.certificate("front")
    certificate = f"proxy_ssl_certificate {authority.path(own)}.pem; proxy_ssl_certificate_key {authority.path(own)}.key;" if own else ""
    weir.start(config(SAYS + FILES + f"""
        location /back/ {{
            client_max_body_size 100m;
            proxy_pass https://back/; proxy_ssl_verify on; proxy_ssl_trusted_certificate {authority.path("ca.pem")};
            proxy_ssl_name {name}; proxy_ssl_server_name on; proxy_ssl_protocols TLSv{version}; {certificate} {more}
        }}""", http=f"upstream back {{ server 127.0.0.1:{back}; {keepalive} }}"))


def nginx_behind(weir, authority, version, more=""):
    return f"""
        keepalive_requests 3;
        server {{
            listen 127.0.0.1:{{port}} ssl; {authority.lines()} ssl_protocols TLSv{version};
            ssl_verify_client on; ssl_client_certificate {authority.path("ca.pem")}; {more}
            location = /seen {{ return 200 "$ssl_protocol|$ssl_server_name|$ssl_client_s_dn|$ssl_client_verify|$connection_requests|$ssl_session_reused"; }}
            location / {{ proxy_pass http://127.0.0.1:{weir.port}; }}
        }}"""


def haproxy_behind(weir, authority, version):
    seen = "%[ssl_fc_protocol]|%[ssl_fc_sni]|%[ssl_c_s_dn(CN)]|%[ssl_c_verify]|%[src_port]|%[ssl_fc_is_resumed]"
    return f"""
frontend back
    bind 127.0.0.1:{{port}} ssl crt {both(authority, "localhost")} ca-file {authority.path("ca.pem")} verify required {only(version)}
    http-request return status 200 content-type text/plain lf-string "{seen}" if {{ path /seen }}
    default_backend weir
backend weir
    server weir 127.0.0.1:{weir.port}
"""


def seen(weir, times):
    """What the neighbour has seen of the server's connections, request by request."""
    answers = [weir.get("/back/seen") for _ in range(times)]
    assert [answer.status for answer in answers] == [200] * times
    return [answer.text.split("|") for answer in answers]


def carries_bodies_there_and_back(weir):
    body = os.urandom(3_000_000)
    (weir.tmp / "file").write_bytes(body)
    assert weir.get("/back/echo", method="POST", body=body, timeout=20).body == body
    assert weir.get("/back/file", timeout=20).body == body


@BOTH
@pytest.mark.directive("proxy_ssl_verify", "proxy_ssl_name", "proxy_ssl_certificate", "keepalive")
def test_nginx_behind(weir, authority, neighbour, version):
    """It sees the name and the certificate; a connection is used for as many requests as it takes, and then comes another one."""
    back = neighbour("nginx", nginx_behind(weir, authority, version))
    before(weir, authority, back.port, version)
    found = seen(weir, 7)
    assert {tuple(each[:4]) for each in found} == {(f"TLSv{version}", "localhost", "CN=front,O=Tests", "SUCCESS")}
    assert [each[4] for each in found] == ["1", "2", "3", "1", "2", "3", "1"]
    assert [each[5] for each in found] == [".", ".", ".", "r", "r", "r", "r"]
    carries_bodies_there_and_back(weir)
    assert not re.search(r"\[(warn|error)\]", weir.error_log)


@BOTH
@pytest.mark.directive("proxy_ssl_verify", "proxy_ssl_name", "proxy_ssl_certificate", "keepalive")
def test_haproxy_behind(weir, authority, neighbour, version):
    """The same; whether connections are kept tells the port that they come from."""
    back = neighbour("haproxy", haproxy_behind(weir, authority, version))
    before(weir, authority, back.port, version)
    found = seen(weir, 4)
    assert {tuple(each[:4]) for each in found} == {(f"TLSv{version}", "localhost", "front", "0")}
    assert len({each[4] for each in found}) == 1
    carries_bodies_there_and_back(weir)
    assert not re.search(r"\[(warn|error)\]", weir.error_log)


@BOTH
@pytest.mark.parametrize("behind, name", [(nginx_behind, "nginx"), (haproxy_behind, "haproxy")], ids=["nginx", "haproxy"])
@pytest.mark.parametrize("reuse", ["on", "off"])
@pytest.mark.directive("proxy_ssl_session_reuse")
def test_sessions_of_neighbours_are_taken_up(weir, authority, neighbour, version, behind, name, reuse):
    """Where no connections are kept."""
    back = neighbour(name, behind(weir, authority, version))
    before(weir, authority, back.port, version, f"proxy_ssl_session_reuse {reuse};", keepalive="keepalive 0;")
    taken = {"nginx": "r", "haproxy": "1"}[name]
    assert [each[5] == taken for each in seen(weir, 4)] == [False] + [reuse == "on"] * 3


@pytest.mark.parametrize("behind, name", [(nginx_behind, "nginx"), (haproxy_behind, "haproxy")], ids=["nginx", "haproxy"])
@pytest.mark.directive("proxy_ssl_name", "proxy_ssl_certificate")
def test_neighbours_that_do_not_match(weir, authority, neighbour, behind, name):
    """Another name than the certificate's: 502, and none of the request has gone there. Without a certificate they refuse the server."""
    back = neighbour(name, behind(weir, authority, "1.3"))
    before(weir, authority, back.port, "1.3", name="b.test")
    assert weir.get("/back/seen").status == 502
    weir.wait_log('upstream SSL certificate does not match "b.test" while SSL handshaking to upstream')
    weir.stop()
    before(weir, authority, back.port, "1.3", own=None)
    assert weir.get("/back/seen").status == {"nginx": 400, "haproxy": 502}[name]
    weir.stop()
    before(weir, authority, back.port, "1.2")
    assert weir.get("/back/seen").status == 502
    weir.wait_log("alert protocol version.* while SSL handshaking to upstream")
