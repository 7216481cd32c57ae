"""Servers under measurement: made from a generated configuration, watched through /proc, stopped by process id.

Every system gets the same settings, so that only the programs differ. A Server is a context manager; its folder,
its processes and its port are gone when the block ends, whatever happened inside.
"""

import contextlib
import http.client
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_TIMEOUT_S = 10
STOP_TIMEOUT_S = 5
MAX_FILES = 20000

CONF = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {max_files};
pid {dir}/pid;
error_log {dir}/error.log warn;
{main}
events {{ worker_connections {max_files}; }}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 65;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {dir}/www;
        location = /return {{ return 200 "ok\\n"; }}
        {server}
    }}
}}
"""

# Debian's nginx would make these folders under /var/lib, which are not there when it is only unpacked.
NGINX_HTTP = "".join(f"{kind}_temp_path {{dir}}/{kind}; " for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))

SLEEP_MAIN = "load_module {modules}/demo.so; thread_pool default threads=64 max_queue=65536;"
SLEEP_SERVER = "location /sleep { handler sleep; }"


class BenchError(Exception):
    """A sentence for the user: what is missing or went wrong, and what to do."""


def run(main):
    """A benchmark as a program: what it started is ended, and what stops it is said in one line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    try:
        main()
    except BenchError as problem:
        sys.exit(f"bench: {problem}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")


def free_port():
    """A loopback port below the ephemeral range, so that no client's own port takes it meanwhile."""
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BenchError("no free port between 20000 and 32000 on 127.0.0.1")


def raise_file_limit(wanted):
    """This process' limit on open files, which its children inherit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchError(f"only {hard} open files are allowed, {wanted} are needed: raise it with ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def read_stat(pid):
    """The fields of /proc/PID/stat from the state on: the name before may itself hold spaces and brackets."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return text[text.rindex(")") + 2:].split()


def process_tree(root):
    """The process ids of root and all its descendants that live now."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(read_stat(entry)[1]), []).append(int(entry))
            except (OSError, ValueError):
                continue  # it ended while we looked
    tree = [root]
    for pid in tree:
        tree += children.get(pid, [])
    return tree


class Server:
    """One running server.

    system is what it is called, kind "weir" or "nginx" if that is not its name; files maps names below the document
    root to contents; http and server are more directives for these blocks, in which "{dir}" and "{port}" are replaced.
    """

    def __init__(self, system, program, files, with_sleep=False, kind=None, http="", server="", main=""):
        self.system = system
        self.kind = kind or system
        self.program = pathlib.Path(program)
        self.files = files
        self.with_sleep = with_sleep
        self.http = http
        self.server = server
        self.main = main
        self.port = free_port()
        self.dir = None
        self.process = None

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-"))
        try:
            self._write_files()
            self._start()
            self._wait_until_it_listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self._stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _write_files(self):
        (self.dir / "www").mkdir()
        for name, content in self.files.items():
            (self.dir / "www" / name).write_bytes(content)
        extra = {"main": self._fill(self.main), "http": self._fill(self.http), "server": self._fill(self.server)}
        if self.kind == "nginx":
            extra["http"] = self._fill(NGINX_HTTP) + extra["http"]
        if self.with_sleep:
            extra["main"] += SLEEP_MAIN.format(modules=self.program.parent / "modules")
            extra["server"] += SLEEP_SERVER
        # As root a worker would give up its rights and could not read the temporary folder.
        user = "user root;" if os.geteuid() == 0 else ""
        conf = CONF.format(user=user, dir=self.dir, port=self.port, max_files=MAX_FILES, **extra)
        (self.dir / "conf").write_text(conf, encoding="ascii")

    def _fill(self, directives):
        return directives.replace("{dir}", str(self.dir)).replace("{port}", str(self.port))

    def _start(self):
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen([self.program, "-p", f"{self.dir}/", "-c", self.dir / "conf"],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _wait_until_it_listens(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"{self.program} ended with exit code {self.process.returncode}\n{self.log_tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise BenchError(f"{self.program} does not listen after {START_TIMEOUT_S} s\n{self.log_tail()}")

    def _stop(self):
        tree = process_tree(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            print(f"bench: {self.system} did not stop within {STOP_TIMEOUT_S} s of SIGTERM; killed", flush=True)
            for pid in tree:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    def log_tail(self):
        """What the server had to say, for an error message."""
        text = "".join((self.dir / name).read_text(encoding="utf-8", errors="replace")
                       for name in ("output", "error.log") if (self.dir / name).exists())
        return "\n".join(text.splitlines()[-10:]) or "(it logged nothing)"

    def check(self, path, body, headers=None):
        """One request whose answer must be right: a fast wrong answer is not worth measuring.

        Returns the answer's headers and content, for what body (None: any) does not say.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"{self.system}: GET {path}: {error!r}\n{self.log_tail()}") from error
        finally:
            connection.close()
        if answer.status != 200 or (body is not None and content != body):
            raise BenchError(f"{self.system}: GET {path}: status {answer.status}, {len(content)} bytes, "
                             f"not the answer expected\n{self.log_tail()}")
        return answer.headers, content

    def workers(self):
        """The processes that do the work: the master's children."""
        return process_tree(self.process.pid)[1:]

    def cpu(self):
        """Seconds that the workers' threads have been on a CPU, by the scheduler's count in nanoseconds."""
        spent = 0
        for pid in self.workers():
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                spent += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        return spent / 1e9

    def fail(self, problem):
        return BenchError(f"{self.system}: {problem}\n{self.log_tail()}")

    def cpu_seconds(self):
        """(user, system) seconds so far, of all processes; reaped children count in their parent's fields."""
        user = kernel = 0
        for pid in process_tree(self.process.pid):
            utime, stime, reaped_utime, reaped_stime = (int(field) for field in read_stat(pid)[11:15])
            user += utime + reaped_utime
            kernel += stime + reaped_stime
        ticks = os.sysconf("SC_CLK_TCK")
        return user / ticks, kernel / ticks

    def memory_bytes(self):
        """Proportional set size of all processes: a page that they share counts once.

        Pages of files are left out: a share of each library's pages would come and go with any other program on the
        machine that uses it, and no connection adds any.
        """
        total_kib = 0
        for pid in process_tree(self.process.pid):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total_kib += int(line.split()[1])
        return total_kib * 1024
