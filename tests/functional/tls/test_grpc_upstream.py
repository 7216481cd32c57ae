"""grpc_pass grpcs://: the rules of grpc_ssl_..., which are those of proxy_ssl_... for servers of gRPC."""

import pytest
from http2_client import Client
from http2_server import Server
from proxylib import backend  # noqa: F401 - a fixture
from weirlib import config

GRPC = ("content-type", "application/grpc")


def says(what):
    """A server whose header x-says is what a function of its socket gives."""
    def script(peer):
        def reply(wire, stream, _headers, _body):
            wire.send_headers(stream, [(":status", "200"), ("grpc-status", "0"), ("x-says", str(what(peer.socket)))], end_stream=True)
        Server(reply)(peer)
    return script


def context(authority, *args, **options):
    made = authority.server(*args, **options)
    made.set_alpn_protocols(["h2"])
    return made


def start(weir, port, more, **parts):
    weir.expect_log("not looked at|SSL handshaking")
    weir.start(config(f"location / {{ grpc_pass grpcs://localhost:{port}; {more} }}", http="http2 on;", **parts))


def asked(weir):
    with Client(weir.port) as client:
        found = client.get("/", GRPC)
        return found.header("grpc-status"), found.header("x-says")


@pytest.mark.directive("grpc_ssl_protocols", "grpc_ssl_ciphers", "grpc_ssl_conf_command")
@pytest.mark.parametrize("rules, cipher", [("grpc_ssl_protocols TLSv1.2; grpc_ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;", "ECDHE-ECDSA-AES128-GCM-SHA256"),
                                           ("grpc_ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;", "TLS_CHACHA20_POLY1305_SHA256"),
                                           ("proxy_ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;", "TLS_AES_256_GCM_SHA384")])
def test_what_is_negotiated(weir, authority, backend, rules, cipher):  # noqa: F811
    """proxy_ssl_... says nothing of it."""
    start(weir, backend(script=says(lambda s: s.cipher()[0]), tls=context(authority)).port, rules)
    assert asked(weir) == ("0", cipher)


@pytest.mark.directive("grpc_ssl_certificate", "grpc_ssl_certificate_key", "grpc_ssl_password_file", "grpc_ssl_certificate_cache")
@pytest.mark.parametrize("name", ["front", "$own"])
def test_our_own_certificate(weir, authority, backend, name):  # noqa: F811
    authority.certificate("front", password="word")
    authority.path("word").write_text("word\n")
    up = backend(script=says(lambda s: dict(x[0] for x in s.getpeercert()["subject"])["commonName"]), tls=context(authority, clients=True))
    start(weir, up.port, f"grpc_ssl_certificate {authority.folder}/{name}.pem; grpc_ssl_certificate_key {authority.folder}/{name}.key;"
                         f"grpc_ssl_password_file {authority.path('word')}; grpc_ssl_certificate_cache max=10; set $own front;")
    assert [asked(weir) for _ in range(2)] == [("0", "front")] * 2


@pytest.mark.directive("grpc_ssl_session_reuse")
@pytest.mark.parametrize("reuse", ["on", "off"])
def test_sessions(weir, authority, backend, reuse):  # noqa: F811
    """A new connection takes the last one's session up."""
    up = backend(script=says(lambda s: s.session_reused), tls=context(authority))
    weir.expect_log("not looked at")
    weir.start(config(f"location / {{ grpc_pass grpcs://up; grpc_ssl_session_reuse {reuse}; }}", http=f"http2 on; upstream up {{ server {up.address}; keepalive 0; }}"))
    assert [asked(weir) for _ in range(4)][1:] == [("0", str(reuse == "on"))] * 3


@pytest.mark.directive("grpc_ssl_crl", "grpc_ssl_verify_depth")
@pytest.mark.parametrize("name, code", [("gone", "14"), ("localhost", "0")])
def test_revoked(weir, authority, backend, name, code):  # noqa: F811
    authority.certificate("gone", ["localhost"])
    crl = authority.revoke("gone")
    start(weir, backend(script=says(id), tls=context(authority, name)).port,
          f"grpc_ssl_verify on; grpc_ssl_trusted_certificate {authority.path('ca.pem')}; grpc_ssl_crl {crl}; grpc_ssl_verify_depth 3;")
    assert asked(weir)[0] == code
    assert ("certificate revoked" in weir.error_log) == (name == "gone")


def test_a_server_that_knows_no_http2(weir, authority, backend):  # noqa: F811
    start(weir, backend(tls=authority.server()).port, "")
    weir.expect_log("does not speak HTTP/2")
    assert asked(weir) == ("14", None)
