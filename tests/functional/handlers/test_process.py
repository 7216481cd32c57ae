"""handler process: applications whose processes the server starts, watches and ends; and what becomes of requests whatever they do."""

import contextlib
import os
import pathlib
import signal
import threading
import time

import pytest
from weirlib import ROOT, Connection, alive, config, let_pass, limit, open_files, proc_field, wait_until, watch

APP = """
import os, signal, sys, threading
pause = threading.Event().wait
noted = []
def application(env, start):
    path, args = env["PATH_INFO"], env["QUERY_STRING"]
    if path == "/sleep": pause(float(args))
    if path == "/note": noted.append(args)
    if path == "/noted": start("200 OK", []); return [" ".join(noted).encode()]
    if path == "/hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: pause(1)
    if path == "/die": os.kill(os.getpid(), signal.SIGKILL)
    if path == "/exit": os._exit(3)
    if path == "/close": os.close(3), os.dup2(os.open("/dev/null", 0), 0), os.closerange(3, 100)
    if path == "/raise": raise ValueError("oops")
    if path == "/print": print("on stdout"), print("on stderr", file=sys.stderr)
    if path == "/flood": [print("x" * 1000) for _ in range(3000)]
    if path == "/garbage": os.write(socket_of(), os.urandom(1000))
    if path == "/half": os.write(socket_of(), b"\\1\\6\\0\\1\\0\\x10\\0\\0Status: 200 OK\\r\\n"), os._exit(0)
    if path == "/grow": globals()["kept"] = b"x" * 100_000_000
    if path == "/fork": os.fork() or pause(600)
    if path == "/deaf": os.dup2(os.open("/dev/null", 1), 1), os.dup2(1, 2), pause(float(args))
    if path == "/deaf-and-dead": os.dup2(os.open("/dev/null", 1), 1), os.dup2(1, 2), os.fork() and os._exit(0), pause(30)
    if path == "/leave-group": os.setpgid(0, os.getpgid(os.getppid()))
    if path == "/terminal": os.open("/dev/tty", os.O_RDWR)
    if path == "/child":
        import subprocess
        start("200 OK", [])
        return [subprocess.run(["cat"], capture_output=True).stdout + b"end"]
    if path == "/split": start("200 OK", [("Location", "/x\\r\\nSet-Cookie: evil=1")]); return [b"x"]
    if path == "/no-start": return [b"X-Evil: 1\\r\\n\\r\\nhello"]
    if path == "/close-raises":
        start("200 OK", [])
        class Raising(list):
            def close(self): raise ValueError("close")
        return Raising([b"x"])
    if path == "/hops": start("200 OK", [("Keep-Alive", "x"), ("Upgrade", "x"), ("Proxy-Connection", "x"), ("TE", "x"), ("X-A", "1")]); return [b"x"]
    if path == "/ticks":
        start("200 OK", [])
        return (pause(0.3 * i) or b"tick\\n" for i in range(4))
    if path == "/for-ever":
        start("200 OK", [])
        return (pause(0.05) or b"x" for _ in iter(int, 1))
    if path == "/umask": os.umask(os.umask(0)); start("200 OK", [("X-Pid", "1")]); return [b"%o" % os.umask(0)]
    body = env["wsgi.input"].read()
    status = args.replace("+", " ") if path == "/answer" else "200 OK"
    start(status, [("Content-Type", "text/plain"), ("X-Pid", str(os.getpid())), ("X-Env", os.environ.get("MINE", "")), ("X-Dir", os.getcwd())])
    if path == "/big": return (b"x" * 10000 for _ in range(2000))
    if path == "/env": return ["".join(f"{name}={env[name]}\\n" for name in sorted(env) if isinstance(env[name], str)).encode()]
    return [b"%s %d" % (path.encode("latin-1"), sum(body) if len(body) < 10 else len(body))]
def socket_of():
    import stat
    return next(fd for fd in range(3, 50) if os.path.exists(f"/proc/self/fd/{fd}") and stat.S_ISSOCK(os.fstat(fd).st_mode))
"""
SHIM = ROOT / "etc/wsgi.py"
LOST = r"process \d+ \("


def serve(weir, settings="processes=2", location="", pool="threads=4 max_queue=100", command=f"python3 {SHIM} app:application", daemon=False, **parts):
    weir.write(APP, "app/app.py")
    (weir.tmp / "app").chmod(0o755)
    weir.tmp.chmod(0o755)
    weir.start(config(f"location / {{ handler process {command} dir={{tmp}}/app {settings}; {location} }}", pool=pool, **parts), daemon=daemon)


def processes(weir):
    """Those of all workers that are no zombies: threads have started them."""
    found = []
    for worker in weir.worker_pids():
        for task in pathlib.Path(f"/proc/{worker}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(pid) for pid in (task / "children").read_text(encoding="ascii").split()]
    return [pid for pid in found if alive(pid)]


def zombies(parent):
    found = [pid for pid in filter(str.isdigit, os.listdir("/proc")) if proc_field(int(pid), "PPid") == str(parent)]
    return [pid for pid in found if not alive(int(pid))]


def pid_of(response):
    assert response.status == 200, response
    return int(response.header("X-Pid"))


# ---- what it serves -------------------------------------------------------------------------------------------------

def test_requests(weir):
    serve(weir, "processes=1 env=MINE=a=b")
    first = weir.get("/a%20b?x=1")
    assert (first.text, first.header("X-Env"), first.header("X-Dir")) == ("/a b 0", "a=b", str(weir.tmp / "app"))
    for size in (0, 1, 65528, 65529, 3_000_000):
        answer = weir.get("/up", method="POST", body=b"\1" * size) if size < 500_000 else weir.get("/up", method="PUT", body=b"\1" * 900_000)
        assert answer.text == f"/up {min(size, 900_000)}" and pid_of(answer) == pid_of(first)
    assert len(weir.get("/big", timeout=20).body) == 20_000_000
    assert weir.get("/", method="HEAD").text == ""
    assert len(processes(weir)) == 1


def test_parameters(weir):
    serve(weir, "processes=1")
    text = weir.get("/env?q=1", headers=[("X-Two-Words", "yes"), ("Proxy", "evil"), ("X-A", "1"), ("X-A", "2"), ("Cookie", "a=1"), ("Cookie", "b=2")]).text
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert found["HTTP_X_TWO_WORDS"] == "yes" and found["HTTP_X_A"] == "1, 2" and found["HTTP_COOKIE"] == "a=1; b=2" and "HTTP_PROXY" not in found
    assert (found["REQUEST_METHOD"], found["PATH_INFO"], found["QUERY_STRING"], found["REQUEST_URI"]) == ("GET", "/env", "q=1", "/env?q=1")
    assert (found["REMOTE_ADDR"], found["SERVER_PORT"], found["SERVER_PROTOCOL"], found["CONTENT_LENGTH"]) == ("127.0.0.1", str(weir.port), "HTTP/1.1", "0")


@pytest.mark.parametrize("status", ["404 Nowhere", "503 Busy", "204 No Content", "301 Moved"])
def test_statuses(weir, status):
    serve(weir, "processes=1")
    assert weir.get(f"/answer?{status.replace(' ', '+')}").status == int(status[:3])
    assert weir.get("/").status == 200


def test_one_request_at_a_time(weir):
    """As many processes as there are requests, up to the most; others wait for one."""
    serve(weir, "processes=2")
    clients = [weir.connect(timeout=20) for _ in range(6)]
    for client in clients:
        client.request("/sleep?0.2")
    answers = [client.response() for client in clients]
    assert [answer.status for answer in answers] == [200] * 6 and len({pid_of(answer) for answer in answers}) == 2
    assert len(processes(weir)) == 2


def test_who_came_first_is_served_first(weir):
    """Threads that wait for a process stand in line, however long they wait."""
    serve(weir, "processes=1", pool="threads=10 max_queue=100")
    clients = [weir.connect(timeout=20) for _ in range(8)]
    clients[0].request("/sleep?2.5")
    for i, client in enumerate(clients):
        wait_until(lambda count=i: weir.pool()["threads"]["running"] >= count, 5, "the one before")
        if i:
            client.request(f"/note?{i}")
    assert [client.response().status for client in clients] == [200] * 8
    assert weir.get("/noted").text == "1 2 3 4 5 6 7"


def test_they_are_in_the_status(weir):
    """By the pool whose threads use them, over all workers, as they come and go; of a worker that is killed none is left."""
    weir.expect_log("exited on signal 9")
    serve(weir, "processes=3", workers=2)
    clients = [weir.connect(timeout=20) for _ in range(4)]
    for client in clients:
        client.request("/sleep?0.5")
    assert [client.response().status for client in clients] == [200] * 4
    wait_until(lambda: sorted(weir.pool()["processes"]) == sorted(processes(weir)), 5, "their pids")
    assert f'weir_pool_processes{{pool="default"}} {len(processes(weir))}' in weir.get("/status?format=prometheus").text
    [victim, *_] = weir.pool()["processes"]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in weir.pool()["processes"], 5, "the end of one")
    owner = max(weir.worker_pids())
    os.kill(owner, signal.SIGKILL)
    weir.wait_workers(2)
    wait_until(lambda: sorted(weir.pool()["processes"]) == sorted(processes(weir)), 5, "their pids")


def test_the_one_used_last_goes_first(weir):
    serve(weir, "processes=3")
    clients = [weir.connect(timeout=20) for _ in range(3)]
    for client in clients:
        client.request("/sleep?0.3")
    assert len({pid_of(client.response()) for client in clients}) == 3
    assert len({pid_of(weir.get("/")) for _ in range(6)}) == 1


def test_over_several_workers(weir):
    """Requests go where processes are: the handler is one like any other."""
    serve(weir, "processes=1", pool="threads=1 max_queue=100", workers=2)
    client = weir.connect(timeout=20)
    client.get("/")
    others = [weir.connect(timeout=20) for _ in range(4)]
    for other in others:
        other.request("/sleep?0.3")
    assert all(other.response().status == 200 for other in others)
    assert len(processes(weir)) == 2


# ---- what processes do ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how, status", [("die", 502), ("exit", 502), ("garbage", 502), ("half", 502), ("close", 502), ("raise", 500)])
def test_what_a_process_does(weir, how, status):
    """Its own request is told so, once; the next one has another process, or the same."""
    serve(weir, "processes=1", "handler_timeout 20s;")
    before = pid_of(weir.get("/"))
    assert weir.get(f"/{how}").status == status
    after = pid_of(weir.get("/"))
    assert (after == before) == (how == "raise")
    wait_until(lambda: processes(weir) == [after], 10, "one process")
    if how in ("die", "exit"):
        weir.wait_log("exited on signal 9" if how == "die" else "exited with code 3")


def test_one_that_dies_between_requests(weir):
    serve(weir, "processes=1")
    for _ in range(3):
        pid = pid_of(weir.get("/"))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda p=pid: not alive(p), 5, "its end")
        assert pid_of(weir.get("/")) != pid


@pytest.mark.parametrize("how", ["sleep?60", "hang"])
def test_handler_timeout(weir, how):
    """504 to the client; SIGTERM, and SIGKILL for who does not care; and its place is free."""
    serve(weir, "processes=1", "handler_timeout 4s;")
    before = pid_of(weir.get("/"))
    assert weir.get(f"/{how}").status == 504
    assert pid_of(weir.get("/")) != before
    wait_until(lambda: not alive(before), 20, "the end of the one that hangs")
    wait_until(lambda: len(processes(weir)) == 1, 5, "one process")


@pytest.mark.parametrize("how, status", [("hang", 504), ("die", 502)])
def test_what_it_has_started_ends_with_it(weir, how, status):
    """And holds up nobody, though it has the same connection."""
    serve(weir, "processes=1", "handler_timeout 4s;")
    before = pid_of(weir.get("/"))
    assert pid_of(weir.get("/fork")) == before
    assert weir.get(f"/{how}").status == status
    wait_until(lambda: not [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if group_of(pid) == before and alive(pid)], 20, "the end of all of its group")


def group_of(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def test_max_requests(weir):
    serve(weir, "processes=1 max_requests=3")
    pids = [pid_of(weir.get("/")) for _ in range(9)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
    wait_until(lambda: len(processes(weir)) <= 1, 10, "the end of those that are done")


def test_memory(weir):
    serve(weir, "processes=1 memory=60m")
    before = pid_of(weir.get("/"))
    assert pid_of(weir.get("/")) == before
    assert pid_of(weir.get("/grow")) == before and pid_of(weir.get("/")) != before


def test_words(weir):
    """Lines of stdout and stderr, in the error log; and who writes more than a pipe holds is not stuck."""
    serve(weir, "processes=1")
    assert weir.get("/print").status == 200
    weir.wait_log(r'process \d+ \("python3"\): on stdout')
    weir.wait_log(r'process \d+ \("python3"\): on stderr')
    assert weir.get("/flood", timeout=20).status == 200


def test_a_program_that_cannot_be_started(weir):
    """It was there when the configuration was read."""
    script = weir.write("#!/bin/sh\nexit 1\n", "gone")
    script.chmod(0o755)
    serve(weir, command=str(script))
    script.unlink()
    assert weir.get("/").status == 503
    weir.wait_log(r'cannot start "\S+/gone" \(2: No such file or directory\)')


def test_who_has_closed_its_words(weir):
    """Costs nothing, and its death is seen all the same."""
    serve(weir, "processes=1", "handler_timeout 20s;")
    weir.get("/")
    worker, = weir.worker_pids()
    assert weir.get("/deaf?1").status == 200
    used = sum(int(field) for field in pathlib.Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")
    assert used < 0.7, used
    assert weir.get("/deaf-and-dead").status == 502


@pytest.mark.parametrize("path, error", [("leave-group", "PermissionError"), ("terminal", "OSError")])
def test_it_is_by_itself(weir, path, error):
    """It has a session of its own: it cannot leave its group, and has no terminal that the master may have."""
    weir.expect_log("Traceback|Error")
    serve(weir, "processes=1")
    before = pid_of(weir.get("/"))
    assert os.getsid(before) == os.getpgid(before) == before
    assert weir.get(f"/{path}").status == 500
    weir.wait_log(error)


def test_a_stream(weir):
    """What there is goes out while more is waited for."""
    serve(weir, "processes=1")
    with weir.connect() as client:
        client.request("/ticks")
        began, seen = time.monotonic(), b""
        while b"tick" not in seen:
            seen += client.socket.recv(4096)
        assert time.monotonic() - began < 1.5
        while b"\r\n0\r\n" not in seen:
            seen += client.socket.recv(4096)
    assert seen.count(b"tick") == 4
    assert weir.get("/").header("Content-Length") == "3"


@pytest.mark.parametrize("how, status", [("split", 500), ("no-start", 500), ("close-raises", 500)])
def test_what_pep_3333_forbids(weir, how, status):
    serve(weir, "processes=1")
    before = pid_of(weir.get("/"))
    answer = weir.get(f"/{how}")
    assert answer.status == status and answer.header("X-Evil") is None and answer.header("Set-Cookie") is None
    assert pid_of(weir.get("/")) == before


def test_what_is_between_neighbours(weir):
    serve(weir, "processes=1")
    answer = weir.get("/hops")
    assert answer.text == "x" and answer.header("X-A") == "1" and not {"upgrade", "te", "proxy-connection"} & {name for name, _ in answer.headers}


def test_what_the_application_starts(weir):
    """Reads nothing of the connection, and what it writes is not everybody's."""
    serve(weir, "processes=1", "handler_timeout 10s;", daemon=True)
    assert weir.get("/child").text == "end" and weir.get("/umask").text == "22"


def test_many_fields(weir):
    """Cost no more than they are many."""
    serve(weir, "processes=1", "handler_timeout 60s;", server="large_client_header_buffers 8 32k; client_header_buffer_size 32k; max_headers 1000;")
    weir.get("/")
    worker, = weir.worker_pids()
    before = int(proc_field(worker, "VmRSS").split()[0])
    text = weir.get("/env", headers=[(f"a{i}", f"v{i}") for i in range(990)]).text
    assert "HTTP_A0=v0\n" in text and "HTTP_A989=v989\n" in text
    assert int(proc_field(worker, "VmRSS").split()[0]) - before < 10_000


def test_a_command_that_ends_at_once(weir):
    """Is not started over and over."""
    serve(weir, "processes=2", "handler_timeout 2s;", command="sh -c 'echo started; exit 1'")
    clients = [weir.connect(timeout=20) for _ in range(8)]
    for client in clients:
        client.request("/")
    assert {client.response().status for client in clients} <= {502, 503, 504}
    assert weir.error_log.count(": started") < 30
    worker, = weir.worker_pids()
    wait_until(lambda: not zombies(worker), 10, "no zombies")


def test_ends_that_take_long_count(weir):
    serve(weir, "processes=2 max_requests=1", "handler_timeout 30s;", command=f"python3 -c 'import atexit, sys, time; sys.argv = [0, \"app:application\"]; sys.path.insert(0, \"{SHIM.parent}\"); atexit.register(time.sleep, 3); import wsgi; wsgi.main()'")
    for _ in range(12):
        assert weir.get("/", timeout=30).status == 200
        assert len(processes(weir)) <= 2 + 2 + 3


# ---- clients, load, reload ------------------------------------------------------------------------------------------

def test_a_client_that_leaves(weir):
    """Its process goes on to the end, and then has the next one."""
    serve(weir, "processes=1", "handler_timeout 10s;")
    before = pid_of(weir.get("/"))
    client = weir.connect()
    client.request("/sleep?0.5")
    watch(0.1)
    client.close()
    assert pid_of(weir.get("/")) == before


def test_a_response_without_end_and_without_client(weir):
    """With a handler_timeout that is its end; what is asked meanwhile by who has left is not done."""
    serve(weir, "processes=1", "handler_timeout 4s;")
    before = pid_of(weir.get("/"))
    client = weir.connect()
    client.request("/for-ever")
    client.socket.recv(100)
    client.close()
    wait_until(lambda: not alive(before), 15, "its end")
    assert weir.get("/").status == 200


def test_killed_at_random_under_load(weir):
    """Each request has one answer: its own, or 502; nothing is left over."""
    serve(weir, "processes=4", pool="threads=8 max_queue=1000", connections=200)
    stopping, wrong, counts = threading.Event(), [], {}

    def ask(number):
        n = 0
        while not stopping.is_set():
            with Connection(weir.port, timeout=20) as client:
                n += 1
                body = bytes([number, n % 100])
                client.request(f"/n{number}", method="POST", body=body)
                answer = client.response()
                counts[answer.status] = counts.get(answer.status, 0) + 1
                if answer.status not in (200, 502) or (answer.status == 200 and answer.text != f"/n{number} {sum(body)}"):
                    wrong.append(answer)
    threads = [threading.Thread(target=ask, args=[i]) for i in range(8)]
    for thread in threads:
        thread.start()
    for round_number in range(8):
        before = counts.get(200, 0)
        wait_until(lambda b=before: counts.get(200, 0) > b + 20, 20, f"answers in round {round_number}")
        for pid in processes(weir)[:2]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    stopping.set()
    for thread in threads:
        thread.join()
    assert not wrong and counts[200] > 100, (wrong[:3], counts)
    wait_until(lambda: len(processes(weir)) <= 4, 10, "no more than the most")
    worker, = weir.worker_pids()
    wait_until(lambda: not zombies(worker), 10, "no zombies")
    wait_until(lambda: len(open_files(worker)) < 60, 10, "no descriptors left")


def test_reload_and_end(weir):
    """A new generation has its own; the old one's end with their workers, at the latest by the end of their connection."""
    serve(weir, "processes=1")
    before = pid_of(weir.get("/"))
    weir.reload(weir.conf.read_text().replace("processes=1", "processes=2"))
    wait_until(lambda: pid_of(weir.get("/")) != before, 10, "a new one")
    wait_until(lambda: not alive(before), 10, "the end of the old one")
    last = processes(weir)
    assert weir.stop(limit(10)) == 0
    for pid in last:
        wait_until(lambda p=pid: not alive(p), 10, "the end of all")


@pytest.mark.parametrize("how", ["TERM", "QUIT", "reload"])
def test_none_is_left_behind(weir, how):
    """Not even one that ignores SIGTERM."""
    serve(weir, "processes=1", "handler_timeout 4s;")
    before = pid_of(weir.get("/"))
    assert weir.get("/hang").status == 504
    if how == "reload":
        weir.reload(weir.conf.read_text().replace("processes=1", "processes=2"))
    else:
        weir.signal(getattr(signal, f"SIG{how}"))
        weir.wait_exit(limit(10))
    wait_until(lambda: not alive(before), 15, "its end")


def test_a_worker_that_is_killed(weir):
    weir.expect_log("exited on signal 9")
    serve(weir, "processes=1")
    before = pid_of(weir.get("/"))
    worker, = weir.worker_pids()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not alive(before), 10, "the end of its process")
    wait_until(lambda: weir.get("/").status == 200, 10, "another one")


# ---- the configuration ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, said", [
    ("", "a command is missing"), ("/none/such", 'no program "/none/such" that can be run'), ("no-such-program", 'no program "no-such-program"'),
    ("true processes=0", "processes=0"), ("true processes=4..2", "processes=4..2"), ("true processes=x", "processes=x"),
    ("true max_requests=-1", "max_requests=-1"), ("true memory=much", "memory=much"), ("true env=A", "env=A"), ("true dir=/tmp group=root", 'unknown setting "group"'),
    ("true pool=none", 'unknown thread pool "none"')])
def test_mistakes(weir, words, said):
    result = weir.run("-t", conf=config(f"location / {{ handler process {words}; }}"))
    assert result.returncode == 1 and said in result.stderr, result.stderr


def test_nothing_is_started_by_a_check(weir):
    marker = weir.tmp / "started"
    script = weir.write(f"#!/bin/sh\ntouch {marker}\n", "script")
    script.chmod(0o755)
    assert weir.run("-t", conf=config(f"location / {{ handler process {script} a b=c processes=1..3; }}")).returncode == 0
    let_pass(0.2)
    assert not marker.exists()
