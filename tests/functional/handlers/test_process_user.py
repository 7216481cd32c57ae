"""handler process with user=: a keeper, which is root, has the processes of other users for children."""

import os
import pwd
import signal
import subprocess

import pytest
from weirlib import NOBODY, ROOT, alive, children, config, proc_field, wait_until

APP = """
import os, signal, threading
pause = threading.Event().wait
def application(env, start):
    path = env["PATH_INFO"]
    if path == "/hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: pause(1)
    if path == "/die": os.kill(os.getpid(), signal.SIGSEGV)
    if path == "/exit": os._exit(3)
    if path == "/fork": os.fork() or pause(600)
    if path == "/root": os.setuid(0)
    if path == "/grow": globals()["kept"] = b"x" * 100_000_000
    start("200 OK", [("X-Pid", str(os.getpid()))])
    return [f"{os.getuid()} {os.getgid()} {sorted(os.getgroups())} {os.getcwd()} {os.environ.get('MINE')} {sorted(os.listdir('/proc/self/fd'))}".encode()]
"""
SHIM = ROOT / "etc/wsgi.py"
LOST = r"process \d+ \("
pytestmark = pytest.mark.needs_root


def serve(weir, settings="user=nobody processes=2", location="", command=f"python3 {SHIM} app:application", user="user root;", **parts):
    weir.write(APP, "app/app.py")
    for folder in (weir.tmp / "app", weir.tmp):
        folder.chmod(0o755)
    weir.start(config(f"location / {{ handler process {command} dir={{tmp}}/app {settings}; {location} }}", pool="threads=4 max_queue=100", user=user, **parts))


def keeper_of(worker):
    return next((pid for pid in children(worker) if proc_field(pid, "Name") == "weir: keeper"), None)


def processes(weir):
    [worker] = weir.worker_pids()
    return [pid for pid in children(keeper_of(worker)) if alive(pid)]


@pytest.mark.directive("handler")
@pytest.mark.parametrize("worker", ["user root;", "user nobody;", "user daemon;"])
def test_whose_a_process_is(weir, worker):
    """Whoever the worker is: user, group and the groups of that user, and none of the keeper's descriptors."""
    serve(weir, "user=nobody processes=1 env=MINE=yes", user=worker)
    answer = weir.get("/")
    groups = sorted(os.getgrouplist("nobody", NOBODY.pw_gid))
    assert answer.text.startswith(f"{NOBODY.pw_uid} {NOBODY.pw_gid} {groups} {weir.tmp / 'app'} yes [")
    assert len(answer.text.partition("[")[2].partition("[")[2].split(",")) <= 6  # 0, 1, 2, its connection, the empty one, the folder
    assert weir.get("/").header("X-Pid") == answer.header("X-Pid") and processes(weir) == [int(answer.header("X-Pid"))]
    assert weir.status()["pools"]["default"]["processes"] == processes(weir)


def test_a_group_of_its_own(weir):
    serve(weir, "user=nobody:daemon processes=1")
    assert weir.get("/").text.split()[:2] == [str(NOBODY.pw_uid), str(pwd.getpwnam("daemon").pw_gid)]


def test_it_cannot_become_root_again(weir):
    weir.expect_log("PermissionError|Traceback")
    serve(weir)
    assert weir.get("/root").status == 500
    weir.wait_log("PermissionError")


@pytest.mark.parametrize("path, said", [("/die", "exited on signal 11"), ("/exit", "exited with code 3")])
def test_one_that_dies(weir, path, said):
    """Its client has 502, the log says how it ended, and the next request another one."""
    weir.expect_log(LOST)
    serve(weir, "user=nobody processes=1")
    first = weir.get("/").header("X-Pid")
    assert weir.get(path).status == 502
    weir.wait_log(rf'process {first} \("python3"\) {said}')
    assert weir.get("/").header("X-Pid") not in (None, first)
    assert len(processes(weir)) == 1


def test_one_that_hangs(weir):
    """It is told to end, and killed: the worker has not the right to do so itself."""
    weir.expect_log(LOST)
    serve(weir, "user=nobody processes=1", location="handler_timeout 4s;", user="user daemon;")
    first = int(weir.get("/").header("X-Pid"))
    assert weir.get("/hang").status == 504
    assert int(weir.get("/").header("X-Pid")) != first
    wait_until(lambda: not alive(first), 15, "the end of the one that hangs")


STOPPER = """
import os, signal
while True:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{name}").st_uid == os.getuid() and int(name) != os.getpid():
                if "weir" in open(f"/proc/{name}/comm").read(): os.kill(int(name), signal.SIGSTOP)
        except OSError: pass
"""


def test_one_that_is_stopped_while_it_starts(weir):
    """By another process of its user, which may do that to what is not yet the application: others start all the same."""
    weir.expect_log("cannot start|timed out|" + LOST)
    weir.write(APP, "app/app.py")
    for folder in (weir.tmp / "app", weir.tmp):
        folder.chmod(0o755)
    app = f"handler process python3 {SHIM} app:application dir={{tmp}}/app processes=4 max_requests=1"
    weir.start(config(f"location /games {{ {app} user=games; handler_timeout 2s; }} location /daemon {{ {app} user=daemon; }}", pool="threads=4 max_queue=100"))
    [worker] = weir.worker_pids()
    with subprocess.Popen(["setpriv", "--reuid=games", "--regid=games", "--clear-groups", "python3", "-c", STOPPER]) as stopper:
        try:
            for _ in range(4):
                weir.get("/games", timeout=20)
                assert weir.get("/daemon").status == 200
            keeper = keeper_of(worker)
            left = children(keeper)
            assert weir.stop() == 0
            wait_until(lambda: not any(alive(pid) for pid in [keeper, *left]), 10, "the end of all")
        finally:
            stopper.kill()


def test_home(weir):
    """As a login would have it, unless the configuration says otherwise."""
    serve(weir, "user=nobody processes=1 env=USER=mine", command="sh -c 'echo $HOME $USER $LOGNAME; exec sleep 60'", location="handler_timeout 1s;")
    weir.expect_log(LOST)
    weir.get("/")
    weir.wait_log(rf"{NOBODY.pw_dir} mine nobody")


def test_a_single_process_goes_on_without_its_keeper(weir):
    """There is no next one that would have another."""
    weir.expect_log("keeper of processes is gone|cannot start")
    serve(weir, "user=nobody processes=1", location="} location /still { return 200 here;", main="master_process off;")
    assert weir.get("/").status == 200
    os.kill(keeper_of(weir.pid), signal.SIGKILL)
    wait_until(lambda: weir.get("/").status == 503, 10, "no application any more")
    weir.wait_log("is not started until the server is")
    assert weir.get("/still").text == "here"


def test_one_that_grows(weir):
    serve(weir, "user=nobody processes=1 memory=80m", user="user daemon;")
    first = int(weir.get("/grow").header("X-Pid"))
    assert int(weir.get("/").header("X-Pid")) != first
    wait_until(lambda: not alive(first), 15, "its end")


@pytest.mark.parametrize("how", ["worker killed", "keeper killed", "quit", "stop"])
def test_nothing_is_left(weir, how):
    """What is hanging and what it has started ends with the worker and with the keeper, whoever was killed."""
    weir.expect_log(LOST + "|exited on signal 9|keeper of processes is gone|exited with code")
    serve(weir, "user=nobody processes=2", location="handler_timeout 4s;")
    [worker] = weir.worker_pids()
    assert weir.get("/").status == 200
    with weir.connect() as client:
        client.request("/fork")
        wait_until(lambda: any(children(pid) for pid in processes(weir)), 5, "a child of a process")
        keeper = keeper_of(worker)
        all_of_them = [keeper, *processes(weir), *(child for pid in processes(weir) for child in children(pid))]
        if how == "worker killed":
            os.kill(worker, signal.SIGKILL)
        elif how == "keeper killed":
            os.kill(keeper, signal.SIGKILL)
        elif how == "quit":
            weir.signal(signal.SIGQUIT)
        else:
            weir.signal(signal.SIGTERM)
        # A child of a process whose keeper was killed ends with its worker's next look.
        parents = all_of_them[:-1] if how == "keeper killed" else all_of_them
        wait_until(lambda: not any(alive(pid) for pid in parents), 10, "the end of all")
    for pid in all_of_them[-1:]:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_worker_without_a_keeper(weir):
    """It finishes, and the next one serves."""
    weir.expect_log("keeper of processes is gone|exited with code 0|cannot start|" + LOST)
    serve(weir, "user=nobody processes=1")
    [worker] = weir.worker_pids()
    assert weir.get("/").status == 200
    os.kill(keeper_of(worker), signal.SIGKILL)
    wait_until(lambda: not alive(keeper_of(worker) or 0), 5, "its end")
    wait_until(lambda: weir.get("/").status == 200 and weir.worker_pids() != {worker}, 10, "another worker that serves")
    weir.wait_log("the keeper of processes is gone; finishing")


def test_no_keeper_where_there_is_no_user(weir):
    serve(weir, "processes=1")
    [worker] = weir.worker_pids()
    assert weir.get("/").status == 200 and keeper_of(worker) is None


def test_a_reload(weir):
    """In place the processes stay; new workers have a keeper of their own."""
    serve(weir, "user=nobody processes=1")
    first = int(weir.get("/").header("X-Pid"))
    text = weir.conf.read_text()
    weir.reload(text.replace("max_queue=100", "max_queue=101"))
    assert int(weir.get("/").header("X-Pid")) == first
    weir.reload(text.replace("user=nobody", "user=daemon"))
    answer = weir.get("/")
    assert answer.text.split()[0] == str(pwd.getpwnam("daemon").pw_uid)
    wait_until(lambda: not alive(first), 10, "the end of the one before")


def test_a_program_that_is_not_its_users(weir):
    """The log says why, with the name."""
    weir.expect_log("cannot start")
    program = weir.write("#!/bin/sh\n", "own/program")
    program.chmod(0o700)
    program.parent.chmod(0o755)
    serve(weir, "user=nobody processes=1", command=str(program))
    assert weir.get("/").status == 503
    weir.wait_log(r'cannot start ".*program" \(13: Permission denied\)')


@pytest.mark.parametrize("user", ["nobody-there", "nobody:none-there", "nobody user=daemon", ""])
def test_refused(weir, user):
    weir.write(APP, "app/app.py")
    said = weir.mistake(config(f"location / {{ handler process python3 {SHIM} app:application user={user}; }}"), "location / {")
    assert "write once a user that there is, or USER:GROUP" in said
