"""Clients of HTTP/2 that others have written: curl, nghttp, h2load, Node, Python's httpx; over TLS and in plain text."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from weirlib import config, limit, tls_pair

LOCATIONS = """
    location / { return 200 "$server_protocol|$http2|$request_method|$connection_requests\\n"; }
    location /echo { client_max_body_size 100m; handler echo; }
    location /sleep { handler sleep; }
    location /file { root {tmp}/html; }
    location /moved { return 301 /there; }
    location /nothing { return 204; }
"""
PLAIN_AND_TLS = pytest.mark.parametrize("scheme", ["http", "https"])


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"needs {program}")


def run(*command, check=True, seconds=30, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=limit(seconds), **options)
    assert not check or done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


@pytest.fixture
def served(weir):
    """Plain on port, TLS on port2, one file of a few megabytes."""
    pair = tls_pair()
    weir.start(config(LOCATIONS, http="http2 on;", server=f"listen 127.0.0.1:{{port2}} ssl; ssl_certificate {pair}; ssl_certificate_key {pair};", pool="threads=16 max_queue=1000"))
    (weir.tmp / "html/file").write_bytes(os.urandom(3_000_000))
    weir.data = (weir.tmp / "html/file").read_bytes()
    return weir


def at(weir, scheme, path="/"):
    return f"{scheme}://127.0.0.1:{weir.port2 if scheme == 'https' else weir.port}{path}"


# ---- curl -----------------------------------------------------------------------------------------------------------

def curl(*args, **options):
    return run("curl", "-sS", "--noproxy", "*", "-k", *args, **options)


def wants_2(scheme):
    return "--http2" if scheme == "https" else "--http2-prior-knowledge"


@needs("curl")
@PLAIN_AND_TLS
def test_curl_asks(served, scheme):
    """It says the version that it got, and asks again on the same connection; in plain text curl 7.88 sends its preface twice there, to any server."""
    url, word = at(served, scheme), "h2" if scheme == "https" else "h2c"
    said = curl(wants_2(scheme), "-w", "%{http_version} %{http_code} %{num_connects}\n", url, *([url] if scheme == "https" else [])).stdout
    again = f"HTTP/2.0|{word}|GET|2\n2 200 0\n" if scheme == "https" else ""
    assert said == f"HTTP/2.0|{word}|GET|1\n2 200 1\n" + again


@needs("curl")
def test_curl_that_speaks_http_1(served):
    """By its own choice over TLS; in plain text also where it offers an upgrade."""
    assert curl("--http1.1", at(served, "https")).stdout.startswith("HTTP/1.1||GET")
    assert curl("--http2", "-w", "%{http_version}", at(served, "http")).stdout.endswith("1.1")


@needs("curl")
@PLAIN_AND_TLS
def test_curl_and_bodies(served, scheme, tmp_path):
    """Up and down; with a length and without."""
    (tmp_path / "body").write_bytes(served.data)
    curl(wants_2(scheme), "--data-binary", f"@{tmp_path}/body", "-o", tmp_path / "back", at(served, scheme, "/echo"))
    assert (tmp_path / "back").read_bytes() == served.data
    curl(wants_2(scheme), "-T", tmp_path / "body", "-H", "Content-Length:", "-o", tmp_path / "put", at(served, scheme, "/echo"))
    assert (tmp_path / "put").read_bytes() == served.data
    curl(wants_2(scheme), "-o", tmp_path / "file", at(served, scheme, "/file"))
    assert (tmp_path / "file").read_bytes() == served.data


@needs("curl")
@PLAIN_AND_TLS
def test_curl_and_small_things(served, scheme):
    said = curl(wants_2(scheme), "-I", at(served, scheme, "/file")).stdout
    assert said.startswith("HTTP/2 200") and "content-length: 3000000" in said
    assert curl(wants_2(scheme), "-w", "%{http_code}", at(served, scheme, "/nothing")).stdout == "204"
    assert curl(wants_2(scheme), "-w", "%{redirect_url}", "-o", "/dev/null", at(served, scheme, "/moved")).stdout == at(served, scheme, "/there")
    assert curl(wants_2(scheme), "-r", "5-9", "-w", "%{http_code}", "-o", "/dev/null", at(served, scheme, "/file")).stdout == "206"
    assert curl(wants_2(scheme), "-H", "Expect: 100-continue", "-d", "body", at(served, scheme, "/echo")).stdout == "body"


@needs("curl")
def test_curl_side_by_side(served, tmp_path):
    """Ten downloads and ten sleeps on one connection."""
    scheme = "https"
    urls = [word for i in range(10) for word in (at(served, scheme, "/file"), "-o", tmp_path / f"file{i}", at(served, scheme, "/sleep?ms=100"), "-o", tmp_path / f"slept{i}")]
    said = curl(wants_2(scheme), "-Z", "--parallel-max", "30", "-w", "%{http_version} %{http_code}\\n", *urls).stdout
    assert said == "2 200\n" * 20
    assert all((tmp_path / f"file{i}").read_bytes() == served.data and (tmp_path / f"slept{i}").read_text() == "slept 100 ms\n" for i in range(10))


# ---- nghttp, h2load ----------------------------------------------------------------------------------------------------

@needs("nghttp")
@PLAIN_AND_TLS
def test_nghttp(served, scheme, tmp_path):
    """With its priorities, its padding and its own small windows."""
    urls = [at(served, scheme), at(served, scheme, "/sleep?ms=50"), at(served, scheme, "/file")]
    said = run("nghttp", "-ns", *urls).stdout
    assert len(re.findall(r"\s200\s", said)) == 3 and "complete" in said, said
    (tmp_path / "body").write_bytes(os.urandom(200_000))
    for options in ([], ["-b", "200"], ["-w", "8", "-W", "10"], ["--continuation"], ["-p", "16"], ["--no-dep"], ["--header-table-size=0"], ["--expect-continue"]):
        done = subprocess.run(["nghttp", *options, "-d", str(tmp_path / "body"), at(served, scheme, "/echo")], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=limit(20))
        assert done.stdout == (tmp_path / "body").read_bytes(), options


@needs("nghttp")
def test_nghttp_upgrades_nothing(served):
    """"Upgrade: h2c" is gone from RFC 9113: what comes is HTTP/1's answer."""
    said = run("nghttp", "-v", "-u", at(served, "http"), check=False)
    assert "HTTP/1.1 200" in said.stdout and "HTTP/1.1 101" not in said.stdout, said.stdout


def load(*args):
    said = run("h2load", *args).stdout
    assert (done := re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)), said
    return dict(zip(("total", "started", "done", "succeeded", "failed", "errored", "timeout"), map(int, done.groups())))


@needs("h2load")
@PLAIN_AND_TLS
@pytest.mark.parametrize("path, count, options", [("/", 5000, ["-m", "100"]), ("/file", 60, ["-m", "10"]), ("/sleep?ms=5", 300, ["-m", "50"]), ("/", 500, ["-m", "1"]),
                                                  ("/file", 40, ["-m", "5", "-w", "14", "-W", "16"])])
def test_h2load(served, scheme, path, count, options):
    """Every request is answered 200, none is lost or late."""
    found = load("-n", count, "-c", 10, *options, at(served, scheme, path))
    assert found["succeeded"] == found["total"] == count and found["failed"] == found["errored"] == 0


@needs("h2load")
@PLAIN_AND_TLS
def test_h2load_with_bodies(served, scheme, tmp_path):
    (tmp_path / "body").write_bytes(os.urandom(20_000))
    found = load("-n", 500, "-c", 5, "-m", 20, "-d", tmp_path / "body", at(served, scheme, "/echo"))
    assert found["succeeded"] == 500


# ---- Node ----------------------------------------------------------------------------------------------------------------

NODE = r"""
const http2 = require('http2');
const client = http2.connect(process.argv[2], {rejectUnauthorized: false, settings: {initialWindowSize: Number(process.argv[3])}});
const ask = (headers, body) => new Promise((resolve, reject) => {
    const request = client.request(headers), pieces = [], seen = {interim: []};
    request.on('headers', headers => seen.interim.push(headers[':status']));
    request.on('response', headers => Object.assign(seen, {status: headers[':status'], headers}));
    request.on('data', piece => pieces.push(piece));
    request.on('error', reject);
    request.on('end', () => resolve(Object.assign(seen, {body: Buffer.concat(pieces)})));
    request.end(body);
});
(async () => {
    const all = await Promise.all([...Array(50).keys()].map(i => ask({':path': '/echo?' + i, ':method': 'POST'}, Buffer.alloc(i * 1000, i))));
    const file = await ask({':path': '/file'});
    const head = await ask({':path': '/file', ':method': 'HEAD'});
    const gone = client.request({':path': '/sleep?ms=20000'});
    const code = await new Promise(resolve => {
        gone.on('close', () => resolve(gone.rstCode));
        gone.on('error', () => {});
        gone.close(http2.constants.NGHTTP2_CANCEL);
    });
    const ping = await new Promise((resolve, reject) => client.ping((error, ms) => error ? reject(error) : resolve(ms)));
    const last = await ask({':path': '/', cookie: ['a=1', 'b=2']});
    console.log(JSON.stringify({
        echoed: all.every((each, i) => each.status === 200 && each.body.equals(Buffer.alloc(i * 1000, i))),
        file: file.body.length, head: [head.status, head.body.length, head.headers['content-length']], code, ping: ping >= 0,
        last: last.body.toString(), settings: client.remoteSettings,
    }));
    client.close();
})().catch(error => { console.error(error); process.exit(1); });
"""


@needs("node")
@PLAIN_AND_TLS
@pytest.mark.parametrize("window", [1000, 65535, 1 << 20])
def test_node(served, scheme, window, tmp_path):
    """Fifty bodies at once, a file, a stream that it cancels, a ping; and it leaves by itself."""
    script = tmp_path / "client.js"
    script.write_text(NODE)
    found = json.loads(run("node", script, at(served, scheme), window).stdout)
    assert found["echoed"] and found["file"] == 3_000_000 and found["head"] == [200, 0, "3000000"] and found["ping"]
    assert found["code"] == 8 and found["last"].startswith("HTTP/2.0|")
    assert found["settings"]["maxConcurrentStreams"] == 128 and found["settings"].get("enableConnectProtocol")


# ---- Python ----------------------------------------------------------------------------------------------------------------

HTTPX = r"""
import sys, httpx
with httpx.Client(http1=sys.argv[1].startswith("https"), http2=True, verify=False, trust_env=False) as client:
    for _ in range(3):
        found = client.get(sys.argv[1] + "/")
        assert found.http_version == "HTTP/2" and found.text.startswith("HTTP/2.0|"), found
    body = bytes(range(256)) * 4000
    assert client.post(sys.argv[1] + "/echo", content=body).content == body
    assert len(client.get(sys.argv[1] + "/file").content) == 3000000
"""


@PLAIN_AND_TLS
def test_httpx(served, scheme):
    pytest.importorskip("httpx")
    run(sys.executable, "-c", HTTPX, at(served, scheme, "").rstrip("/"))


def test_the_h2_library(served):
    """A client by the rules of another implementation's state machine, which refuses what the server must not send."""
    h2 = pytest.importorskip("h2.connection")
    events = pytest.importorskip("h2.events")
    from weirlib import Connection
    with Connection(served.port) as wire:
        client = h2.H2Connection()
        client.initiate_connection()
        bodies, ended = {}, set()
        for i in range(50):
            stream = client.get_next_available_stream_id()
            client.send_headers(stream, [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/file" if i % 10 == 0 else "/")], end_stream=True)
            bodies[stream] = b""
        wire.send(client.data_to_send())
        while len(ended) < 50:
            data = wire.socket.recv(1 << 16)
            assert data
            for event in client.receive_data(data):
                if isinstance(event, events.DataReceived):
                    bodies[event.stream_id] += event.data
                    client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, events.StreamEnded):
                    ended.add(event.stream_id)
                else:
                    assert not isinstance(event, (events.StreamReset, events.ConnectionTerminated)), event
            wire.send(client.data_to_send())
        assert all(body == (served.data if number % 20 == 1 else body) and body for number, body in bodies.items())
