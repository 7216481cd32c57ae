"""A browser before weir and Node.js behind it: pages, streams and WebSockets; where both are installed."""

import os
import shutil
import signal
import subprocess
import urllib.parse

import pytest
from weirlib import IS_ROOT, config, free_port, limit, wait_until

NODE = shutil.which("node")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not NODE or not BROWSER, reason="node or chromium is not installed")

APPLICATION = """
const http = require('http'), crypto = require('crypto');
const server = http.createServer((req, res) => {
  let size = 0;
  req.on('data', part => size += part.length);
  req.on('end', () => {
    if (req.url === '/stream') {
      res.writeHead(200, {'Content-Type': 'text/plain'});
      for (let i = 0; i < 5; i++) setTimeout(() => { res.write('part' + i + ';'); if (i === 4) res.end('end'); }, 20 * i);
    } else {
      res.setHeader('Set-Cookie', 'a=1; Path=/');
      res.end(req.method + ' ' + req.url + ' ' + size);
    }
  });
});
server.on('upgrade', (req, socket) => {
  const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11');
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' +
               accept.digest('base64') + '\\r\\n\\r\\n');
  socket.on('error', () => {});
  socket.on('data', frames => {
    for (let frame = frames; frame.length >= 6; frame = frame.slice(6 + (frame[1] & 127))) {
      const len = frame[1] & 127, mask = frame.slice(2, 6), data = Buffer.from(frame.slice(6, 6 + len));
      for (let i = 0; i < len; i++) data[i] ^= mask[i % 4];
      if ((frame[0] & 15) === 1) socket.write(Buffer.concat([Buffer.from([0x81, len]), data]));
      else socket.end();
    }
  });
});
server.listen(+process.argv[2], '127.0.0.1');
"""

PAGE = """<!doctype html><title>t</title><script>
const out = [], show = () => fetch('/report?' + encodeURIComponent(out.join('|')));
const steps = async () => {
  out.push(await (await fetch('/app/get?x=1')).text());
  out.push(await (await fetch('/app/post', {method: 'POST', body: 'b'.repeat(100000)})).text());
  out.push(await (await fetch('/app/stream')).text());
  const socket = new WebSocket(location.protocol.replace('http', 'ws') + '//' + location.host + '/app/ws');
  await new Promise((done, fail) => {
    const got = [];
    socket.onopen = () => ['one', 'two', 'three'].forEach(text => socket.send(text));
    socket.onmessage = m => { got.push(m.data); if (got.length === 3) { out.push(got.join(',')); done(); } };
    socket.onerror = fail;
  });
  out.push('done');
};
steps().catch(e => out.push('failed: ' + e)).finally(show);
</script>"""


@pytest.fixture
def application(tmp_path):
    (tmp_path / "app.js").write_text(APPLICATION)
    port = free_port()
    process = subprocess.Popen([NODE, str(tmp_path / "app.js"), str(port)])
    yield port
    process.terminate()
    process.wait(5)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2.0"])
def test_page_stream_and_websocket(weir, authority, application, tmp_path, version):
    """In HTTP/2 the WebSocket is a stream of the same connection (RFC 8441)."""
    weir.write(PAGE, "html/index.html")
    weir.write("types { text/html html; }", "conf/types")
    weir.start(config(
        "root {tmp}/html; include types; gzip on; location /report { access_log {tmp}/logs/report.log report; return 204; }"
        " gzip_types *; location /app/ { proxy_pass http://127.0.0.1:%d/;"
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgraded; proxy_set_header Host $host; }"
        % application, http=f"map $http_upgrade $upgraded {{ default upgrade; '' close; }} log_format report $args; http2 {'on' if version == 'HTTP/2.0' else 'off'};"
        "log_format seen '$connection $server_protocol $uri';",
        server=f"listen 127.0.0.1:{{port2}} ssl; {authority.lines()} access_log {{tmp}}/logs/seen.log seen;"))
    weir.expect_log("Connection refused|favicon")
    wait_until(lambda: weir.get("/app/ping").status == 200, 5, "the application")
    command = [BROWSER, "--headless", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0", *["--no-sandbox"] * IS_ROOT,
               "--ignore-certificate-errors", f"--user-data-dir={tmp_path}/profile",
               f"http://127.0.0.1:{weir.port}/" if version == "HTTP/1.1" else f"https://127.0.0.1:{weir.port2}/"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    report = weir.tmp / "logs/report.log"
    try:
        told = wait_until(lambda: report.exists() and urllib.parse.unquote(report.read_text().strip()), limit(30), "a report")
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait(10)
    assert told == "GET /get?x=1 0|POST /post 100000|part0;part1;part2;part3;part4;end|one,two,three|done"
    seen = [line.split() for line in (weir.tmp / "logs/seen.log").read_text().splitlines()]
    asked = [line for line in seen if line[2] in ("/app/get", "/app/post", "/app/stream")]
    assert [protocol for _, protocol, _ in asked] == [version] * 3
    assert version == "HTTP/1.1" or len({connection for connection, *_ in asked}) == 1
