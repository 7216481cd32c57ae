"""Clients that others have written: curl, the openssl command, Node and Chromium."""

import json
import os
import re
import shutil
import subprocess

import pytest
from tlslib import SAYS, get, s_client, serve
from weirlib import IS_ROOT, limit

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
KEPT = SAYS + 'location = /kept { return 200 "$connection_requests"; }'


def run(*command, check=True, seconds=20, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=limit(seconds), **options)
    assert not check or done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done


def wants_certificates(authority):
    authority.certificate("client")
    return f"ssl_verify_client on; ssl_client_certificate {authority.path('ca.pem')};"


# ---- curl -------------------------------------------------------------------------------------------------------

def curl(authority, *args, **options):
    return run("curl", "-sS", "--noproxy", "*", "--cacert", authority.path("ca.pem"), *args, **options)


@VERSIONS
def test_curl(weir, authority, version):
    """It takes the certificate for the name that it has asked for, and for no other."""
    serve(weir, authority)
    only = [f"--tlsv{version}", "--tls-max", version]
    said = curl(authority, *only, f"https://localhost:{weir.port2}/says").stdout.split("|")
    assert said[:2] == ["https", f"TLSv{version}"] and said[4] == "localhost"
    found = curl(authority, *only, "--resolve", f"b.test:{weir.port2}:127.0.0.1", f"https://b.test:{weir.port2}/says", check=False)
    assert found.returncode == 60 and found.stdout == ""


@VERSIONS
def test_curl_sends_a_body(weir, authority, tmp_path, version):
    """At this length it waits for 100 (Continue) first."""
    serve(weir, authority)
    (tmp_path / "body").write_bytes(os.urandom(3_000_000))
    url = f"https://localhost:{weir.port2}/echo"
    done = curl(authority, f"--tlsv{version}", "--tls-max", version, "-v", "--data-binary", f"@{tmp_path}/body", "-o", tmp_path / "back", url)
    assert "HTTP/1.1 100 Continue" in done.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "body").read_bytes()


@VERSIONS
def test_curl_keeps_its_connection(weir, authority, version):
    serve(weir, authority, KEPT)
    url = f"https://localhost:{weir.port2}/kept"
    said = curl(authority, f"--tlsv{version}", "--tls-max", version, "-w", " %{http_code} %{num_connects}\\n", url, url).stdout
    assert said == "1 200 1\n2 200 0\n"


# ---- openssl s_client -------------------------------------------------------------------------------------------

def flag(version):
    return "-tls" + version.replace(".", "_")


def trusting(authority):
    return ["-CAfile", authority.path("ca.pem"), "-verify_return_error", "-verify_hostname", "localhost", "-ign_eof"]


@VERSIONS
def test_s_client(weir, authority, version):
    serve(weir, authority)
    said = s_client(weir, flag(version), *trusting(authority), text=get("/says"))
    assert "Verified peername: localhost" in said and "Verification: OK" in said
    assert f"https|TLSv{version}|" in said
    assert "SSL alert" not in said and "unexpected eof" not in said


@pytest.mark.parametrize("flag, protocol", [("-tls1", "TLSv1"), ("-tls1_1", "TLSv1.1")])
@pytest.mark.directive("ssl_protocols")
def test_s_client_of_old_versions(weir, authority, flag, protocol):
    """They are refused by an alert that says why; and come in where the configuration lets them."""
    weak = "ALL:@SECLEVEL=0"
    http = f"server {{ listen 127.0.0.1:{{port3}} ssl; {authority.lines()} ssl_protocols {protocol}; ssl_ciphers {weak}; {SAYS} }}"
    serve(weir, authority, http=http)
    said = s_client(weir, flag, "-cipher", weak, "-ign_eof", text=get("/says"))
    assert "alert protocol version" in said and "Cipher is (NONE)" in said and "HTTP/1.1" not in said
    weir.port2 = weir.port3
    assert f"https|{protocol}|" in s_client(weir, flag, "-cipher", weak, "-ign_eof", text=get("/says"))


@VERSIONS
@pytest.mark.directive("ssl_session_tickets")
def test_s_client_takes_its_session_up(weir, authority, tmp_path, version):
    """By a ticket that it keeps in a file, as often as it likes; not one that nobody has made."""
    serve(weir, authority)
    session = tmp_path / "session"
    first = s_client(weir, flag(version), *trusting(authority), "-sess_out", session, text=get("/says"))
    assert f"New, TLSv{version}" in first and "|.|NONE" in first
    for _ in range(2):
        again = s_client(weir, flag(version), *trusting(authority), "-sess_in", session, text=get("/says"))
        assert f"Reused, TLSv{version}" in again and "|r|NONE" in again
    weir.stop()
    serve(weir, authority)
    other = s_client(weir, flag(version), *trusting(authority), "-sess_in", session, text=get("/says"))
    assert f"New, TLSv{version}" in other and "|.|NONE" in other


def test_s_client_has_a_ticket_for_each_connection(weir, authority, tmp_path):
    """TLS 1.3: who uses each only once (RFC 8446, C.4) has another one by the next connection, and need not begin anew."""
    serve(weir, authority)
    session, given = tmp_path / "session", []
    for again in ([], ["-sess_in", session], ["-sess_in", session]):
        said = s_client(weir, "-tls1_3", *trusting(authority), *again, "-sess_out", session, text=get("/says"))
        assert ("Reused" in said) == bool(again)
        given.append(said.count("Post-Handshake New Session Ticket arrived"))
    assert given[0] == 2 and given[1:] == [1, 1]


@pytest.mark.directive("ssl_early_data")
def test_s_client_sends_early_data(weir, authority, tmp_path):
    """A request of its first words is answered; once the server takes none any more it comes as if for the first time."""
    serve(weir, authority, SAYS + 'location /early { return 200 "[$ssl_early_data$request_uri]\\n"; }', server="ssl_early_data on;")
    session, early = tmp_path / "session", tmp_path / "early"
    early.write_text(get("/early/0").replace("Connection: close\r\n", ""))

    def comes_again():
        return s_client(weir, "-tls1_3", *trusting(authority), "-sess_in", session, "-early_data", early, text=get("/early/1"))
    s_client(weir, "-tls1_3", *trusting(authority), "-sess_out", session, text=get("/early"))
    said = comes_again()
    assert "Early data was accepted" in said and re.findall(r"\[.*\]", said) == ["[1/early/0]", "[/early/1]"]
    before = weir.worker_pids()
    weir.reload(weir.conf.read_text().replace("ssl_early_data on", "ssl_early_data off"))
    weir.wait_dead(before, 5)
    said = comes_again()
    assert "Early data was rejected" in said and re.findall(r"\[.*\]", said) == ["[/early/1]"]


@VERSIONS
@pytest.mark.directive("ssl_verify_client", "ssl_client_certificate")
def test_s_client_has_a_certificate(weir, authority, version):
    serve(weir, authority, server=wants_certificates(authority))
    own = ["-cert", authority.path("client.pem"), "-key", authority.path("client.key")]
    said = s_client(weir, flag(version), *trusting(authority), *own, text=get("/says"))
    assert "|SUCCESS" in said and "Acceptable client certificate CA names\nO = Tests, CN = authority" in said
    said = s_client(weir, flag(version), *trusting(authority), text=get("/says"))
    assert "HTTP/1.1 400 " in said and "No required SSL certificate was sent" in said


# ---- Node -------------------------------------------------------------------------------------------------------

ASK = """
const https = require("https"), fs = require("fs");
const [port, folder] = process.argv.slice(1);
const file = name => fs.readFileSync(folder + "/" + name);
const ask = (options, pieces = []) => new Promise((resolve, reject) => {
    const request = https.request({host: "127.0.0.1", servername: "localhost", port, ca: file("ca.pem"), ...options}, answer => {
        let text = "";
        answer.on("data", data => text += data);
        answer.on("end", () => resolve({status: answer.statusCode, text, kept: request.reusedSocket, reused: request.socket.isSessionReused()}));
        answer.on("error", reject);
    });
    request.on("error", reject);
    pieces.forEach(piece => request.write(piece));
    request.end();
});
(async () => { %s })().catch(error => { console.error(error); process.exit(1); });
"""


def node(weir, authority, script):
    """What a script has to say, which may ask() the server."""
    return json.loads(run("node", "-e", ASK % script, "--", weir.port2, authority.folder).stdout)


@VERSIONS
def test_node_keeps_its_connections(weir, authority, version):
    """An agent of the https module; a body in chunks, and its echo, in between."""
    serve(weir, authority, KEPT)
    found = node(weir, authority, f"""
        const agent = new https.Agent({{keepAlive: true, maxSockets: 1, minVersion: "TLSv{version}", maxVersion: "TLSv{version}"}});
        const found = [];
        for (const path of ["/kept", "/says"]) found.push(await ask({{path, agent}}));
        found.push(await ask({{path: "/echo", method: "POST", agent}}, ["a".repeat(100000), "b", "c".repeat(200000)]));
        found.push(await ask({{path: "/kept", agent}}));
        agent.destroy();
        console.log(JSON.stringify(found));""")
    assert [each["status"] for each in found] == [200] * 4
    assert [each["kept"] for each in found] == [False, True, True, True]
    assert found[0]["text"] == "1" and found[3]["text"] == "4"
    assert found[1]["text"].startswith(f"https|TLSv{version}|")
    assert found[2]["text"] == "a" * 100_000 + "b" + "c" * 200_000


@VERSIONS
@pytest.mark.parametrize("tickets", ["on", "off"])
@pytest.mark.directive("ssl_session_tickets")
def test_node_takes_its_sessions_up(weir, authority, version, tickets):
    """Its agent keeps one for each host, and knows as well as the server whether it was taken."""
    serve(weir, authority, server=f"ssl_session_tickets {tickets};")
    found = node(weir, authority, f"""
        const agent = new https.Agent({{minVersion: "TLSv{version}", maxVersion: "TLSv{version}"}}), found = [];
        for (let i = 0; i < 3; i++) found.push(await ask({{path: "/says", headers: {{Connection: "close"}}, agent}}));
        console.log(JSON.stringify(found));""")
    wanted = [False, tickets == "on", tickets == "on"]
    assert [each["reused"] for each in found] == wanted
    assert [each["text"].split("|")[5] == "r" for each in found] == wanted


@VERSIONS
@pytest.mark.directive("ssl_verify_client", "ssl_client_certificate")
def test_node_has_a_certificate(weir, authority, version):
    serve(weir, authority, server=wants_certificates(authority))
    found = node(weir, authority, f"""
        const only = {{path: "/says", agent: false, minVersion: "TLSv{version}", maxVersion: "TLSv{version}"}};
        console.log(JSON.stringify([await ask({{cert: file("client.pem"), key: file("client.key"), ...only}}), await ask(only)]));""")
    assert found[0]["status"] == 200 and found[0]["text"].endswith("|SUCCESS")
    assert found[1]["status"] == 400


# ---- Chromium ---------------------------------------------------------------------------------------------------

PAGE = """<!doctype html><title>x</title><p id="said"></p><p id="echo"></p><script>
const ask = (id, method, target, body) => {
    const request = new XMLHttpRequest();
    request.open(method, target, false);
    request.send(body);
    document.getElementById(id).textContent = request.status + " " + request.responseText;
};
ask("said", "GET", "/says");
ask("echo", "POST", "/echo", "body ".repeat(2000).trim());
</script>"""


def profile(authority, home, trusts):
    """A home whose database of authorities has the tests' one, or none."""
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)
    run("certutil", "-d", f"sql:{database}", "-N", "--empty-password")
    if trusts:
        run("certutil", "-d", f"sql:{database}", "-A", "-t", "C,,", "-n", "authority of tests", "-i", authority.path("ca.pem"))
    return home


def document_of(url, home, *flags):
    """The document of a page once it and its scripts are through."""
    alone = ["--no-sandbox"] if IS_ROOT else []
    env = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_CACHE_HOME": str(home / "cache")}
    return run("chromium", "--headless", *alone, "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--host-resolver-rules=MAP localhost 127.0.0.1",
               f"--user-data-dir={home}/profile", *flags, "--dump-dom", url, env=env, check=False, seconds=30).stdout


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_chromium(weir, authority, tmp_path, version):
    """A page and what its script asks for; nothing of it where the authority is not known."""
    serve(weir, authority, SAYS + "location = / { root html; index page.html; } location = /page.html { root html; types { text/html html; } }")
    weir.write(PAGE, "html/page.html")
    only = [f"--ssl-version-max=tls{version}"]
    url = f"https://localhost:{weir.port2}/"
    found = document_of(url, profile(authority, tmp_path / "knows", trusts=True), *only)
    said = re.search(r'<p id="said">200 (.*?)</p>', found)[1].split("|")
    assert said[:2] == ["https", f"TLSv{version}"] and said[4] == "localhost"
    assert re.search(r'<p id="echo">200 (.*?)</p>', found)[1] == "body " * 1999 + "body"
    assert not re.search(r'id="said"', document_of(url, profile(authority, tmp_path / "stranger", trusts=False), *only))
