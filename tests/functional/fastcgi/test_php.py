"""Applications of PHP behind php-fpm, configured as people configure them: front controllers, path info, uploads, a php-fpm that dies."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import threading

import pytest
from weirlib import IS_ROOT, ROOT, Connection, alive, children, config, take_time, wait_until

FPM = "/usr/sbin/php-fpm8.2"
SCRIPT = r"""<?php
header('X-Php: yes');
if (isset($_GET['sleep'])) usleep((int)$_GET['sleep'] * 1000);
if (isset($_GET['status'])) http_response_code((int)$_GET['status']);
if (isset($_GET['say'])) error_log($_GET['say']);
if (isset($_GET['much'])) { for ($i = 0; $i < (int)$_GET['much']; $i++) echo str_repeat('0123456789', 100); exit; }
foreach ($_FILES as $f) echo "file ", $f['name'], " ", $f['size'], " ", md5_file($f['tmp_name']), "\n";
$body = file_get_contents('php://input');
foreach (['SCRIPT_NAME', 'PATH_INFO', 'QUERY_STRING', 'REQUEST_URI'] as $name) echo "$name=", $_SERVER[$name] ?? '-', "\n";
echo "script=", basename(__FILE__), "\nbody=", strlen($body), " ", md5($body), "\nproxy=", getenv('HTTP_PROXY') ?: '-', "\n";
"""


class Fpm:
    """A php-fpm with so many children."""

    def __init__(self, weir, count=4):
        self.socket, self.conf, self.count = weir.tmp / "fpm.sock", weir.tmp / "fpm.conf", count
        user = "user = nobody\ngroup = nogroup\n" if IS_ROOT else ""
        self.conf.write_text(f"""[global]\nerror_log = {weir.tmp}/fpm.log\ndaemonize = no\n[www]\nlisten = {self.socket}\nlisten.mode = 0666\n{user}
pm = static\npm.max_children = {count}\ncatch_workers_output = no\nphp_admin_value[upload_max_filesize] = 30M\nphp_admin_value[post_max_size] = 30M\n""")
        self.process = None

    def start(self):
        self.process = subprocess.Popen([FPM, *(["-R"] if IS_ROOT else []), "-n", "-y", self.conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: len(self.children) == self.count and self.socket.exists(), 10, "php-fpm")

    @property
    def children(self):
        return children(self.process.pid)

    def kill(self):
        """All of it at once."""
        processes = [self.process.pid, *self.children]
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pid in processes:
            wait_until(lambda p=pid: not alive(p), 5, "the end of php-fpm")


@pytest.fixture
def fpm(weir):
    if not os.path.exists(FPM):
        pytest.skip("there is no php-fpm")
    for name in ("fastcgi.conf", "fastcgi_params", "snippets/fastcgi-php.conf"):
        weir.write((ROOT / "etc" / name).read_text(), f"conf/{name}")
    for name in ("index.php", "other.php", "dir/index.php"):
        weir.write(SCRIPT, f"www/{name}")
    weir.write("a picture <?php echo 'not to be run'; ?>", "www/upload/x.jpg")
    for folder in ("www", "www/dir", "www/upload"):
        (weir.tmp / folder).chmod(0o755)
    weir.tmp.chmod(0o755)
    made = Fpm(weir)
    made.start()
    yield made
    made.kill()
    shutil.rmtree(weir.tmp / "www")


PHP = "location ~ [^/]\\.php(/|$) { include snippets/fastcgi-php.conf; fastcgi_pass unix:{tmp}/fpm.sock; }"


def serve(weir, locations, php=PHP, **parts):
    weir.start(config(locations + php, server="root {tmp}/www; index index.php; client_max_body_size 40m;", **parts))


def told(response):
    assert response.status == 200 and response.header("X-Php") == "yes", response
    return dict(line.split("=", 1) for line in response.text.splitlines() if "=" in line)


def test_front_controllers(weir, fpm):
    """As WordPress, Drupal and their like have it: what is no file goes to one script, with its arguments."""
    serve(weir, "location / { try_files $uri $uri/ /index.php?$args; } location = /drupal { rewrite ^ /index.php last; } location ^~ /slim/ { try_files $uri /index.php$is_args$args; }")
    assert told(weir.get("/2024/a-post/?p=1&q=%20")) == told(weir.get("/index.php?p=1&q=%20")) | {"REQUEST_URI": "/2024/a-post/?p=1&q=%20"}
    assert told(weir.get("/drupal?a=1"))["QUERY_STRING"] == "a=1"
    assert told(weir.get("/slim/x?b=2"))["QUERY_STRING"] == "b=2"
    assert told(weir.get("/dir/"))["SCRIPT_NAME"] == "/dir/index.php"
    assert "not to be run" in weir.get("/upload/x.jpg").text


def test_path_info(weir, fpm):
    """What is behind the script; and a picture that is named as if a script were behind it is not run."""
    serve(weir, "")
    asked = told(weir.get("/index.php/page/1?a=1"))
    assert (asked["SCRIPT_NAME"], asked["PATH_INFO"], asked["QUERY_STRING"]) == ("/index.php", "/page/1", "a=1")
    assert told(weir.get("/index.php"))["PATH_INFO"] in ("", "-")
    for target in ("/upload/x.jpg/y.php", "/upload/x.jpg/.php", "/none.php", "/index.php%00.jpg", "/upload/x.jpg%00.php", "/none.php/index.php"):
        answer = weir.get(target)
        assert answer.status in (400, 404) and "picture" not in answer.text and answer.header("X-Php") is None, (target, answer)
    assert told(weir.get("/dir/../other.php/x"))["script"] == "other.php"


def test_a_program_is_not_told_a_proxy(weir, fpm):
    serve(weir, "")
    assert told(weir.get("/index.php", headers=[("Proxy", "http://evil/")]))["proxy"] == "-"


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_uploads(weir, fpm, buffering):
    serve(weir, "", PHP.replace("include", f"fastcgi_request_buffering {buffering}; include", 1))
    content, end = os.urandom(20_000_000), b"boundary-" + os.urandom(8).hex().encode()  # PHP ends a file at a line's end and that: no chance may write it
    form = (b'--' + end + b'\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n' + content + b"\r\n--" + end + b"--\r\n")
    answer = weir.get("/index.php", method="POST", body=form, headers=[("Content-Type", f"multipart/form-data; boundary={end.decode()}")], timeout=30)
    assert f"file a.bin {len(content)} {hashlib.md5(content).hexdigest()}" in answer.text
    body = os.urandom(100_000)
    assert told(weir.get("/index.php", method="PUT", body=body))["body"] == f"{len(body)} {hashlib.md5(body).hexdigest()}"


def test_statuses_and_words(weir, fpm):
    serve(weir, "")
    for status in (201, 404, 500):
        assert weir.get(f"/index.php?status={status}").status == status
    assert weir.get("/index.php?say=what+is+wrong").status == 200
    assert 'FastCGI sent in stderr: "PHP message: what is wrong" while reading' in weir.error_log
    assert len(weir.get("/index.php?much=5000", timeout=20).body) == 5_000_000


def test_kept_connections(weir, fpm):
    """php-fpm keeps them, too; each of its children then belongs to one."""
    serve(weir, "", PHP.replace("unix:{tmp}/fpm.sock", "php; fastcgi_keep_conn on"), http="upstream php { server unix:{tmp}/fpm.sock; keepalive 2; }")
    for _ in range(20):
        assert told(weir.get("/index.php", method="POST", body=b"abc"))["body"].startswith("3 ")
    assert weir.status()["upstreams"]["php"][0]["idle"] == 1


def test_php_fpm_dies_under_load(weir, fpm):
    """Requests that it had are told so, those that come while there is none as well, and then all is as before; each gets one answer."""
    weir.expect_log(r"connect\(\) to unix:\S+ failed")
    serve(weir, "")
    stopping, found = threading.Event(), []

    def ask(number):
        while not stopping.is_set():
            with Connection(weir.port, timeout=20) as client:
                client.request(f"/index.php?sleep=10&n={number}")
                found.append(client.response().status)
    threads = [threading.Thread(target=ask, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: found.count(200) > 20, 10, "answers")
    fpm.kill()
    wait_until(lambda: found.count(502) > 3, 10, "refusals")
    fpm.socket.unlink(missing_ok=True)
    fpm.start()
    before = found.count(200)
    wait_until(lambda: found.count(200) > before + 20, 15, "answers again")
    stopping.set()
    for thread in threads:
        thread.join()
    assert set(found) == {200, 502}
    wait_until(lambda: weir.status()["requests"]["in_flight"] == 1, 5, "nothing at work")


def test_a_client_that_leaves(weir, fpm):
    """Its script's connection is closed, and nothing is left of it."""
    serve(weir, "", PHP.replace("unix:{tmp}/fpm.sock", "php"), http="upstream php { server unix:{tmp}/fpm.sock; }")
    for _ in range(6):
        client = weir.connect()
        client.request("/index.php?sleep=300")
        take_time(0.02)
        client.close()
    wait_until(lambda: weir.status()["upstreams"]["php"][0]["active"] == 0, 10, "no request at php-fpm")
    assert told(weir.get("/index.php"))["script"] == "index.php"
