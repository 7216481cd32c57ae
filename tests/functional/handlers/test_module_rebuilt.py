"""A module that was built anew: a reload takes it over, or says why not; running workers keep what they have."""

import shutil
import subprocess

import modlib
import pytest
from weirlib import BINARY, alive, config, wait_until

LOCATIONS = "location /v { handler version; } location /slow { handler slow; }"


def version(n, folder, name="handlers", abi=""):
    """Build version n of the module; a static counter tells whether its memory is fresh."""
    return modlib.build(folder, "#include <unistd.h>\n" + abi + modlib.handlers(
        version=f'static int calls; weir_printf(r, "v{n}"); calls++; return 0;',
        slow=f'usleep(300000); weir_printf(r, "v{n}"); return 0;'), name)


@pytest.fixture
def served(weir):
    path = version(1, weir.tmp)
    weir.start(config(LOCATIONS, main=f"load_module {path};"))
    assert weir.get("/v").text == "v1"
    return weir


def test_a_reload_takes_it_over(served):
    """After a reload the new text of the module runs, again and again, in new workers."""
    for n in (2, 3, 4):
        version(n, served.tmp)
        assert served.reload()["last_kind"] == "respawn"
        assert served.get("/v").text == f"v{n}"
    version(1, served.tmp)
    served.reload()
    assert served.get("/v").text == "v1"


def test_unchanged_it_stays(served):
    """A reload with the same file goes in place: the same worker."""
    before = served.worker_pids()
    assert served.reload()["last_kind"] == "in-place"
    assert served.worker_pids() == before


def test_written_into(served):
    """A file that was written into, not replaced, is taken over as well."""
    copy = version(2, served.tmp, "other")
    shutil.copyfile(copy, served.tmp / "handlers.so")  # the same inode
    served.expect_log("exited on signal")
    served.reload()
    wait_until(lambda: served.get("/v").text == "v2", 5, "the new module")


def test_old_workers_finish_with_the_old_one(served):
    """What was under way at the reload ends in the module that it began in."""
    with served.connect() as client:
        client.request("/slow")
        wait_until(lambda: served.pool()["threads"]["running"] == 1, 3, "a running handler")
        version(2, served.tmp)
        served.reload()
        assert served.get("/slow").text == "v2"
        assert client.response().text == "v1"


def test_a_dead_worker_is_replaced_by_its_kind(served):
    """Without a reload a replaced worker has the module that was loaded, not the file of today."""
    served.expect_log("exited on signal 9")
    version(2, served.tmp)
    [worker] = served.worker_pids()
    served.signal(9, worker)
    wait_until(lambda: not alive(worker), 3, "the end of the worker")
    served.wait_workers(1)
    assert served.get("/v").text == "v1"


@pytest.mark.parametrize("spoil, reason", [
    (lambda path: path.unlink(), "No such file"),
    (lambda path: path.write_bytes(b"no object"), "file too short|invalid ELF|ELF header"),
], ids=["gone", "no object"])
def test_a_file_that_cannot_be_loaded(served, spoil, reason):
    """A module that is gone or broken is found by the reload: it fails, and the old one serves on."""
    served.expect_log("cannot load|unknown handler")
    fresh = served.tmp / "handlers.so.new"
    fresh.write_bytes((served.tmp / "handlers.so").read_bytes())
    fresh.rename(served.tmp / "handlers.so")
    spoil(served.tmp / "handlers.so")
    assert served.reload()["last_ok"] is False
    served.wait_log(rf"handlers\.so.*({reason})")
    assert served.get("/v").text == "v1"


def test_settings_are_made_anew(weir):
    """init of the new module is called, with the settings of its line."""
    def build(n):
        return modlib.build(weir.tmp, f"""#include <stdlib.h>
#include <string.h>
static void *init(const struct weir_setting *s, char *e, size_t n) {{ (void)e; (void)n; return strdup(s->value); }}
static int run(weir_request *r) {{ weir_printf(r, "v{n} %s", (char *)weir_settings(r)); return 0; }}
static const struct weir_handler list[] = {{{{.name = "set", .run = run, .init = init, .free = free}}, {{0}}}};
WEIR_MODULE(list);""")
    weir.start(config("location /v { handler set key=one; }", main=f"load_module {build(1)};"))
    assert weir.get("/v").text == "v1 one"
    build(2)
    weir.reload(config("location /v { handler set key=two; }", main="load_module {tmp}/handlers.so;"))
    assert weir.get("/v").text == "v2 two"


def test_symbols_that_stay(weir):
    """C++ has symbols that a process never gives up: that a reload will not change them is said when the module is loaded."""
    source = weir.tmp / "unique.cc"
    source.write_text("""#include <weir/handler.h>
        inline int shared = 1;
        static int run(weir_request *r) { weir_printf(r, "%d", shared); return 0; }
        static const weir_handler list[] = {{"run", run, nullptr, nullptr, nullptr}, {}};
        WEIR_MODULE(list);
        """)
    for flags, said in (["-fno-gnu-unique"], False), ([], True):
        subprocess.run(["g++", "-std=c++17", "-shared", "-fPIC", *flags, "-I", BINARY.parent / "include", source, "-o", weir.tmp / "unique.so"], check=True)
        result = weir.run("-t", conf=config("location / { handler run; }", main="load_module {tmp}/unique.so;"))
        assert result.returncode == 0 and ("has unique symbols (C++ inline variables" in result.stderr) == said, result.stderr


def test_a_library_beside_it(weir):
    """A library that a module needs stays the old one in the running master: a reload that finds it replaced says so."""
    def build(n):
        (weir.tmp / "beside.c").write_text(f"int beside(void); int beside(void) {{ return {n}; }}")
        subprocess.run(["cc", "-shared", "-fPIC", weir.tmp / "beside.c", "-o", weir.tmp / "new.so"], check=True)
        (weir.tmp / "new.so").rename(weir.tmp / "libbeside.so")
        (weir.tmp / "needs.c").write_text("#include <weir/handler.h>\nint beside(void);\n" + modlib.handlers(
            beside=f'weir_printf(r, "module {n}, library %d", beside()); return 0;'))
        subprocess.run(["cc", "-shared", "-fPIC", "-I", BINARY.parent / "include", weir.tmp / "needs.c", "-L", weir.tmp, "-lbeside",
                        f"-Wl,-rpath,{weir.tmp}", "-o", weir.tmp / "new.so"], check=True)
        (weir.tmp / "new.so").rename(weir.tmp / "needs.so")
    build(1)
    weir.start(config("location / { handler beside; }", main="load_module {tmp}/needs.so;"))
    assert weir.get("/").text == "module 1, library 1" and "has been replaced" not in weir.error_log
    build(2)
    weir.reload()
    weir.wait_log(r'\[warn\] .*"\S+/libbeside.so", which module "\S+/needs.so" needs, has been replaced since it was loaded, and the old one stays in use')
