"""What the tests of limit_conn and limit_req share: servers with zones by key, held requests, what was logged."""

import re
import time

from limits import runs, send, tally_module
from weirlib import config, wait_until

LOG = "log_format keyed '$request_uri|$status|$limit_conn_status|$limit_req_status';"


def keyed(zones, locations, *, http="", server="", main="", pool="threads=32 max_queue=1000", **parts):
    """A configuration with these zones and the tally module; it logs what the limits did."""
    return config(locations + "location = /who { return 200 $pid; }", http=zones + LOG + http, pool=pool,
                  server="access_log logs/keyed.log keyed;" + server,
                  main=f"load_module {tally_module()};" + main, **parts)


def serve(weir, zones, locations, **parts):
    """Start a server with keyed() and a file; waits for its workers."""
    (weir.tmp / "html/file").write_text("file")
    weir.start(keyed(zones, locations, **parts))
    weir.wait_workers(parts.get("workers", 1))
    return weir


def respawn(weir, zones, locations, **parts):
    """Reload so that new workers start; returns the pids of the old ones once the new ones serve."""
    old = weir.worker_pids()
    marked = locations + f"location = /new{time.monotonic_ns()} {{ return 204; }}"
    assert weir.reload(keyed(zones, marked, **parts))["last_kind"] == "respawn"
    new = re.search(r"/new\d+", marked)[0]
    wait_until(lambda: weir.get(new).status == 204, 5, "the new workers")
    return old


def hold(weir, targets, connections=None):
    """Send requests to the tally handler that wait at the gate g; returns their connections once all run."""
    before = len(runs(weir, but=None))
    connections = send(weir, [target + "&gate=g" for target in targets], connections)
    wait_until(lambda: len(runs(weir, but=None)) == before + len(targets), 3, f"{len(targets)} handlers more")
    return connections


def logged(weir, uri, count=1):
    """(status, limit_conn_status, limit_req_status) of each request for this URI, once there are so many."""
    path = weir.tmp / "logs/keyed.log"

    def lines():
        found = [line.split("|") for line in path.read_text(errors="replace").splitlines()] if path.exists() else []
        return [tuple(fields[1:]) for fields in found if fields[0] == uri]
    found = wait_until(lambda: len(lines()) >= count and lines(), 3, f"{count} lines of {uri} in the access log")
    assert len(found) == count, found
    return found


def said(weir, pattern):
    """The error log's lines with a match."""
    return [line for line in weir.error_log.splitlines() if re.search(pattern, line)]


def wait_said(weir, pattern, count=1):
    """Wait for so many lines with a match; more are an error."""
    wait_until(lambda: len(said(weir, pattern)) >= count, 3, f"{count} lines with {pattern!r} in the error log")
    found = said(weir, pattern)
    assert len(found) == count, found
    return found


def eventually(weir, target, status=200, seconds=1):
    """Wait until an answer has this status; returns the seconds it took."""
    start = time.monotonic()

    def answers():
        try:
            return weir.get(target).status == status
        except (OSError, EOFError):  # a worker was killed under it
            return False
    wait_until(answers, seconds, f"{status} from {target}")
    return time.monotonic() - start


def check_mistake(weir, http, location, message):
    """That -t finds the mistake, and says in one line what is wrong and in which file and line."""
    wrong = (location or http).splitlines()[-1]
    said = weir.mistake(config(f"location / {{ root html;\n{location}\n}}", http=http), wrong)
    assert re.search(message, said), said

