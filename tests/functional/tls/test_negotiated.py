"""What is negotiated by default, and that nothing weak is: by whole handshakes of the openssl command, and by hellos that offer anything."""

import re
import subprocess

import pytest
from certificates import openssl
from hello import SSL3, TLS10, TLS11, TLS12, TLS13, USUAL_CIPHERS, all_taken, ask, hello
from tlslib import get, s_client, serve
from weirlib import wait_until

ANY = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
FALLBACK, RENEGOTIATION = 0x5600, 0x00ff  # no ciphers, but signals among them: RFC 7507, RFC 5746
SIGNALS = (FALLBACK, RENEGOTIATION)

GOOD = {0xc02b: "ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02c: "ECDHE-ECDSA-AES256-GCM-SHA384", 0xcca9: "ECDHE-ECDSA-CHACHA20-POLY1305",
        0xc02f: "ECDHE-RSA-AES128-GCM-SHA256", 0xc030: "ECDHE-RSA-AES256-GCM-SHA384", 0xcca8: "ECDHE-RSA-CHACHA20-POLY1305"}
GOOD_DHE = {0x9e: "DHE-RSA-AES128-GCM-SHA256", 0x9f: "DHE-RSA-AES256-GCM-SHA384", 0xccaa: "DHE-RSA-CHACHA20-POLY1305"}
GOOD_13 = {0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256"}
CURVES = {23: "P-256", 24: "P-384", 25: "P-521", 29: "X25519", 30: "X448"}
FINITE = {256: "ffdhe2048", 257: "ffdhe3072", 258: "ffdhe4096", 259: "ffdhe6144", 260: "ffdhe8192"}
# Not SHA-1, not MD5, not DSA.
BY_ECDSA = {0x303: "ECDSA SHA224", 0x403: "ECDSA SHA256", 0x503: "ECDSA SHA384", 0x603: "ECDSA SHA512"}
BY_RSA = {0x301: "RSA SHA224", 0x401: "RSA SHA256", 0x501: "RSA SHA384", 0x601: "RSA SHA512",
          0x804: "RSA-PSS SHA256", 0x805: "RSA-PSS SHA384", 0x806: "RSA-PSS SHA512"}


def start(weir, authority, server=""):
    """A server with certificates of both kinds; a key of RSA takes its time, so that there is one for all tests."""
    if not authority.path("both.pem").exists():
        authority.certificate("both", ["localhost"], "rsa")
    serve(weir, authority, server=authority.lines("both") + server)
    return weir


@pytest.fixture
def default(weir, authority):
    return start(weir, authority)


def dh_parameters(authority):
    path = authority.path("dh2048.pem")
    openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", path)
    return f"ssl_dhparam {path};"


# ---- whole handshakes -------------------------------------------------------------------------------------------

SAID = (r"New, (TLSv\S+), Cipher is (\S+)", r"Server Temp Key: (?:ECDH, )?([\w-]+)", r"Peer signature type: (\S+)", r"Peer signing digest: (\S+)")


def negotiated(said):
    """Version, cipher, group and signature of a handshake; or the alert that the server has sent."""
    if alert := re.search(r":(?:sslv3 |tlsv1 )?alert ([a-z ]+):", said):
        return alert[1]
    found = [re.search(f"^{pattern}$" if "Temp" not in pattern else f"^{pattern},", said, re.M) for pattern in SAID]
    assert all(found), said
    return " ".join(word for match in found for word in match.groups())


TLS12_BEST, TLS13_BEST = "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.3 TLS_AES_256_GCM_SHA384"
TABLE = [
    # what the client offers                                      what is negotiated
    ("", f"{TLS13_BEST} X25519 ECDSA SHA256"),
    ("-tls1_3", f"{TLS13_BEST} X25519 ECDSA SHA256"),
    ("-tls1_2", f"{TLS12_BEST} X25519 ECDSA SHA256"),
    ("-tls1_1", "protocol version"),
    ("-tls1", "protocol version"),
    ("-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256", "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519 ECDSA SHA256"),
    ("-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256 X25519 ECDSA SHA256"),
    ("-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", "handshake failure"),
    ("-tls1_3 -ciphersuites TLS_AES_128_CCM_8_SHA256", "handshake failure"),
    # what the client can check decides on the certificate
    ("-tls1_3 -sigalgs RSA-PSS+SHA256", f"{TLS13_BEST} X25519 RSA-PSS SHA256"),
    ("-tls1_3 -sigalgs RSA-PSS+SHA512:ECDSA+SHA256", f"{TLS13_BEST} X25519 RSA-PSS SHA512"),
    ("-tls1_3 -sigalgs ECDSA+SHA384", "handshake failure"),  # with a key of P-256 it would not be TLS 1.3
    ("-tls1_3 -sigalgs RSA+SHA256", "handshake failure"),  # PKCS #1 is for certificates alone
    ("-tls1_3 -sigalgs ed25519", "handshake failure"),
    ("-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -sigalgs RSA-PSS+SHA256", "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 X25519 RSA-PSS SHA256"),
    ("-tls1_2 -sigalgs RSA+SHA256", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 X25519 RSA SHA256"),
    ("-tls1_2 -sigalgs ECDSA+SHA384", f"{TLS12_BEST} X25519 ECDSA SHA384"),
    ("-tls1_2 -sigalgs RSA+SHA1:ECDSA+SHA1", "handshake failure"),
    ("-tls1_2 -sigalgs DSA+SHA256", "handshake failure"),
    # the client's order of groups, of those that are good
    ("-tls1_3 -groups P-256:X25519", f"{TLS13_BEST} prime256v1 ECDSA SHA256"),
    ("-tls1_3 -groups P-384", f"{TLS13_BEST} secp384r1 ECDSA SHA256"),
    ("-tls1_3 -groups P-521", f"{TLS13_BEST} secp521r1 ECDSA SHA256"),
    ("-tls1_3 -groups X448", f"{TLS13_BEST} X448 ECDSA SHA256"),
    ("-tls1_3 -groups ffdhe3072", f"{TLS13_BEST} DH ECDSA SHA256"),
    ("-tls1_2 -groups P-384:P-256", f"{TLS12_BEST} secp384r1 ECDSA SHA256"),
    ("-tls1_2 -groups P-384", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 secp384r1 RSA-PSS SHA256"),  # the key of ECDSA is of P-256
    ("-tls1_2 -groups ffdhe3072", "handshake failure"),
    ("-tls1_2 -groups secp256k1", "handshake failure"),
    ("-tls1_2 -groups brainpoolP256r1", "handshake failure"),
    ("-tls1_2 -groups prime192v1", "handshake failure"),
    # RFC 7507: who has been talked down to less than both can
    ("-tls1_2 -fallback_scsv", "inappropriate fallback"),
    ("-fallback_scsv", f"{TLS13_BEST} X25519 ECDSA SHA256"),
]


@pytest.mark.parametrize("offered, wanted", TABLE, ids=[row[0].replace(" ", "") or "default" for row in TABLE])
def test_negotiated(default, offered, wanted):
    words = offered.split()
    ciphers = [] if "-cipher" in words else ["-cipher", ANY]
    assert negotiated(s_client(default, *words, *ciphers)) == wanted


FAMILIES = [
    # ciphers for TLS 1.2 and below               of these are taken               what a client needs to offer them
    ("ECDHE+AESGCM:ECDHE+CHACHA20", {*GOOD.values()}, ""),
    ("ECDHE+AESCCM:ECDHE+ARIAGCM", set(), ""),
    ("ECDHE+AES+SHA1:ECDHE+AES+SHA256:ECDHE+AES+SHA384:ECDHE+CAMELLIA", set(), ""),  # CBC
    ("kDHE:!aNULL", set(), ""),
    ("kRSA", set(), ""),
    ("aNULL:!SRP", set(), ""),
    ("eNULL:!PSK", set(), ""),
    ("PSK", set(), "-psk 1a2b3c"),
    ("SRP", set(), "-srpuser a -srppass pass:b"),
]


def listed(expression):
    """The ciphers of an expression that are not of TLS 1.3."""
    return {name for name in openssl("ciphers", f"{expression}:@SECLEVEL=0").strip().split(":") if not name.startswith("TLS_")}


def taken(weir, family, more):
    """Those of a family, each offered alone, by which there was a connection; all others the server has refused."""
    found = {}
    for name in sorted(listed(family)):
        found[name] = negotiated(s_client(weir, "-tls1_2", "-cipher", f"{name}:@SECLEVEL=0", *more.split()))
    assert found
    refused = {name for name, what in found.items() if what == "handshake failure"}
    assert all(f" {name} " in found[name] for name in found if name not in refused), found
    return found.keys() - refused


@pytest.mark.parametrize("family, wanted, more", FAMILIES, ids=[row[0] for row in FAMILIES])
def test_families(default, family, wanted, more):
    assert taken(default, family, more) == wanted


def test_families_are_all():
    """No cipher that the library knows has been left out."""
    assert listed(ANY.removesuffix(":@SECLEVEL=0")) == set().union(*(listed(row[0]) for row in FAMILIES))


@pytest.mark.directive("ssl_dhparam")
def test_finite_fields(weir, authority):
    """DHE is for who has set its parameters, and then with the ciphers of the default alone."""
    start(weir, authority, dh_parameters(authority))
    assert taken(weir, "kDHE:!aNULL", "") == {*GOOD_DHE.values()}
    assert all_taken(weir.port2, "cipher", "ciphers", SIGNALS) == GOOD.keys() | GOOD_DHE.keys()


# ---- all that can be offered ------------------------------------------------------------------------------------

HYBRID = 0x11ec  # of a curve and of what no quantum computer breaks

SWEEPS = [
    # of all 65536 numbers for       this field of the answer   in a hello of                              these are taken
    ("ciphers", "cipher", dict(version=TLS12), GOOD),
    ("ciphers", "cipher", dict(version=TLS13), GOOD_13),
    ("groups", "group", dict(version=TLS12), CURVES),
    ("groups", "group", dict(version=TLS13), CURVES | FINITE),
    ("signatures", "signature", dict(ciphers=[0xc02b]), BY_ECDSA),
    ("signatures", "signature", dict(ciphers=[0xc02f]), BY_RSA),
]


@pytest.mark.parametrize("offered, field, offer, wanted", SWEEPS, ids=["ciphers-1.2", "ciphers-1.3", "groups-1.2", "groups-1.3", "ecdsa", "rsa"])
def test_nothing_else_is_taken(default, offered, field, offer, wanted):
    """Nor what the openssl command does not know, as RC4, 3DES, and those for export."""
    without = SIGNALS if offered == "ciphers" else ()
    found = all_taken(default.port2, field, offered, without, **offer)
    if HYBRID in found:  # a library from 3.5 on
        wanted = {number: name for number, name in wanted.items() if number not in FINITE or number < 258} | {HYBRID: "X25519MLKEM768"}
    assert {number: wanted.get(number, hex(number)) for number in found} == wanted


OLD = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80\x06\x00\x40\x07\x00\xc0\x05\x00\x80" + b"x" * 16
HELLOS = [
    # a hello                                     of the answer                  is
    ("SSL 2", OLD, "alert", "protocol version"),
    ("SSL 3", hello(SSL3), "alert", "handshake failure"),
    ("TLS 1.0", hello(TLS10), "alert", "protocol version"),
    ("TLS 1.1", hello(TLS11), "alert", "protocol version"),
    ("TLS 1.1, fallen back", hello(TLS11, [*USUAL_CIPHERS, FALLBACK]), "alert", "protocol version"),
    ("TLS 1.2, fallen back", hello(TLS12, [*USUAL_CIPHERS, FALLBACK]), "alert", "inappropriate fallback"),
    ("TLS 1.3, fallen back", hello(TLS13, [*USUAL_CIPHERS, FALLBACK]), "version", TLS13),
    ("compression is offered", hello(TLS12, compression=b"\1\0"), "compression", 0),
    ("compression alone", hello(TLS12, compression=b"\1"), "alert", ("decode error", "illegal parameter")),
    ("compression in TLS 1.3", hello(TLS13, compression=b"\1\0"), "alert", "illegal parameter"),
    ("secure renegotiation by a signal", hello(TLS12, [*USUAL_CIPHERS, RENEGOTIATION]), "extensions", {0: b"", 11: b"\3\0\1\2", 0xff01: b"\0"}),
    ("secure renegotiation", hello(more=[(0xff01, b"\0")]), "extensions", {0: b"", 11: b"\3\0\1\2", 0xff01: b"\0"}),
    ("heartbeats", hello(more=[(15, b"\1")]), "extensions", {0: b"", 11: b"\3\0\1\2"}),
    ("the master secret of all", hello(more=[(23, b"")]), "extensions", {0: b"", 11: b"\3\0\1\2", 23: b""}),
]


@pytest.mark.parametrize("words, field, wanted", [row[1:] for row in HELLOS], ids=[row[0] for row in HELLOS])
def test_hellos(default, words, field, wanted):
    answer = ask(default.port2, words)
    assert getattr(answer, field) in (wanted if isinstance(wanted, tuple) else [wanted]), answer
    assert (answer.cipher is None) == (field == "alert"), answer


def test_downgrades_show(default):
    """RFC 8446, 4.1.3: a client of TLS 1.3 that has been talked down to 1.2 finds it in what should be random."""
    assert ask(default.port2, hello(TLS12)).random.endswith(b"DOWNGRD\1")
    assert b"DOWNGRD" not in ask(default.port2, hello(TLS13)).random


def test_renegotiation(default):
    """A client that wants to begin anew within a connection is refused; that costs it this connection, and nobody else."""
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{default.port2}", "-tls1_2"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:
        client.stdin.write("R\n")
        client.stdin.flush()
        try:
            wait_until(lambda: client.poll() is not None, 5, "the end of a client that has been refused")
        finally:
            client.kill()
        said = client.stdout.read()
    assert "Secure Renegotiation IS supported" in said
    assert "RENEGOTIATING" in said and "no renegotiation" in said
    assert negotiated(s_client(default)) == f"{TLS13_BEST} X25519 ECDSA SHA256"


# ---- tickets ----------------------------------------------------------------------------------------------------

def tickets(said):
    """The bytes of each ticket that "openssl s_client" shows."""
    return [bytes.fromhex("".join(re.findall(r"^ +[0-9a-f]{4,5} - ((?:[0-9a-f]{2}[ -]){1,16})", dump, re.M)).replace("-", " "))
            for dump in re.findall(r"TLS session ticket:\n((?: +[0-9a-f]{4,5} - .*\n)+)", said)]


@pytest.mark.parametrize("version, each", [("1.2", 1), ("1.3", 2)])
def test_tickets_differ(default, version, each):
    """Each has the name of the same key, and what it is sealed with otherwise, and all of its contents, are its own."""
    found = [ticket for _ in range(3) for ticket in tickets(s_client(default, f"-tls{version}".replace(".", "_"), "-ign_eof", text=get("/says")))]
    assert len(found) == 3 * each and all(len(ticket) >= 16 + 16 + 32 + 32 for ticket in found)
    names, vectors = {ticket[:16] for ticket in found}, {ticket[16:32] for ticket in found}
    assert len(names) == 1 and len(set(*names)) > 4  # random, not a text or zeros
    assert len(vectors) == len(found)
    blocks = [ticket[at:at + 16] for ticket in found for at in range(32, len(ticket) - 32, 16)]
    assert len(set(blocks)) == len(blocks)
    assert len({ticket[-32:] for ticket in found}) == len(found)
