"""nginx and HAProxy, which stand before the server under test or behind it: one process each, in a folder of the test."""

import functools
import os
import shutil
import socket
import subprocess

import pytest

from weirlib import IS_ROOT, ROOT, free_port, limit, wait_until

NGINX = """
%(user)s
worker_processes 1;
pid %(folder)s/pid;
error_log %(folder)s/log info;
events { worker_connections 256; }
http {
    access_log off;
    server_tokens off;
    client_max_body_size 100m;
    %(temporary)s
    %(text)s
}
"""
HAPROXY = """
global
    nbthread 1
    maxconn 100
    log stderr local0 notice
defaults
    mode http
    log global
    timeout client 10s
    timeout server 10s
    timeout connect 5s
    http-reuse always
%(text)s
"""
KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@functools.cache
def program(name):
    """Where it is; None where it cannot be had."""
    for path in (ROOT / "build/tools" / name, f"/usr/sbin/{name}", shutil.which(name)):
        if path and os.access(path, os.X_OK) and subprocess.run([path, "-v"], capture_output=True, check=False).returncode == 0:
            return path
    return None


class Neighbour:
    """A process that listens on `port` of 127.0.0.1, which stands for {port} in its configuration."""

    def __init__(self, name, folder, text):
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        parts = dict(folder=folder, user="user root;" if IS_ROOT else "", text=text.replace("{port}", str(self.port)),
                     temporary="".join(f"{kind}_temp_path {folder}/{kind};" for kind in KINDS))
        conf = folder / "conf"
        conf.write_text((NGINX if name == "nginx" else HAPROXY) % parts)
        own = ["-p", f"{folder}/", "-c", conf, "-e", folder / "log", "-g", "daemon off;"] if name == "nginx" else ["-db", "-f", conf]
        with open(folder / "log", "ab") as log:
            self.process = subprocess.Popen([program(name), *own], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.accepts, 10, f"{name} to listen")

    @property
    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def accepts(self):
        assert self.process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(limit(5))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def neighbour(request, tmp_path):
    """Starts neighbours: neighbour("nginx", text) with the text of its http block, or "haproxy" with sections; they end with the test."""
    made = []

    def make(name, text):
        if not program(name):
            pytest.skip(f"build/tools/{name} is not there")
        made.append(Neighbour(name, tmp_path / f"{name}{len(made)}", text))
        return made[-1]

    yield make
    for each in made:
        each.stop()
        if getattr(request.node, "failed", False):
            print(f"--- {each.folder.name}: log\n{each.log[-4000:]}")
