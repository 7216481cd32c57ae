"""A PostgreSQL server of a test's own: a data folder, a socket in it, no network."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from weirlib import IS_ROOT, wait_until


def programs():
    """The folder of the newest installed version's programs, or None."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """It does not run as root: then as the user postgres, which the package has made."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-pg-"))
        self.log = open(self.folder / "log", "wb")
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if IS_ROOT else {}
        if IS_ROOT:
            shutil.chown(self.folder, "postgres", "postgres")
        self.folder.chmod(0o711)
        self._run("initdb", "-D", self.folder / "data", "-A", "trust", "-U", "weir", "--no-sync", "-E", "UTF8", "--locale=C")
        self.server = None
        self.start()

    def _run(self, program, *arguments):
        subprocess.run([programs() / program, *arguments], check=True, stdout=self.log, stderr=self.log, cwd="/", **self.user)

    @property
    def connection(self):
        return f"host={self.folder} user=weir dbname=postgres"

    def start(self):
        self.server = subprocess.Popen(
            [programs() / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=", "-c", "fsync=off",
             "-c", "unix_socket_permissions=0777", "-c", "max_connections=60"], stdout=self.log, stderr=self.log, cwd="/", **self.user)
        wait_until(lambda: subprocess.run([programs() / "pg_isready", "-q", "-h", self.folder], check=False).returncode == 0, 20, "PostgreSQL")

    def stop(self, how=signal.SIGINT):
        """SIGINT: at once, and in order; SIGQUIT: as a crash."""
        self.server.send_signal(how)
        self.server.wait()

    def sql(self, text):
        """What psql answers: rows by lines, columns by |."""
        result = subprocess.run([programs() / "psql", "-h", self.folder, "-U", "weir", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text],
                                check=True, capture_output=True, text=True)
        return result.stdout.strip()

    def holds(self, statement):
        """A client that has done this in a transaction, until it is killed."""
        client = subprocess.Popen([programs() / "psql", "-h", self.folder, "-U", "weir", "-d", "postgres", "-qAtX"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        client.stdin.write(f"begin; {statement}; select 'done';\n")
        client.stdin.flush()
        assert client.stdout.readline() == "done\n"
        return client

    def backends(self):
        """The processes that serve weir, and what they do."""
        lines = self.sql("select pid, state from pg_stat_activity where application_name = 'weir'").splitlines()
        return {int(pid): state for pid, state in (line.split("|") for line in lines)}

    def discard(self):
        with contextlib.suppress(ProcessLookupError):
            if self.server.poll() is None:
                self.stop(signal.SIGQUIT)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not os.path.exists(self.folder)
