"""The pool library beside other code: what names it takes, its version, and its headers in C++."""

import os
import re
import shutil
import subprocess

import pytest
from weirlib import BINARY, ROOT, limit

INCLUDE, LIBRARY = BINARY.parent / "include", BINARY.parent / "libweir-pool.a"
SANITIZE = [f"-fsanitize={os.environ['SAN']}"] if os.environ.get("SAN") else []
CXX = "clang++" if SANITIZE else "g++"
needs_cxx = pytest.mark.skipif(not shutil.which(CXX), reason=f"needs {CXX}")


def succeed(*command):
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=limit(60), check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_symbol_has_the_prefix():
    """What the library defines for a linker begins with pool_, and is declared in its headers."""
    defined = {line.split()[2] for line in succeed("nm", "-g", "--defined-only", LIBRARY).splitlines() if len(line.split()) == 3}
    defined -= {name for name in defined if name.startswith(("__asan", "__odr_asan", "___asan", "__tsan", "__sanitizer"))}
    declared = "".join((INCLUDE / f"weir/{name}.h").read_text() for name in ("pool", "group", "figures", "hist"))
    assert {"pool_create", "pool_submit", "pool_group_wait"} <= defined
    assert [name for name in sorted(defined) if not name.startswith("pool_")] == []
    assert [name for name in sorted(defined) if name not in declared and name[5:] not in declared] == []


def test_a_program_with_such_names_of_its_own(tmp_path):
    """A program may have functions of the names that the pool uses inside."""
    source = tmp_path / "own.c"
    source.write_text("""#include <weir/pool.h>
        int clock_mono_ms(void); int clock_mono_ms(void) { return -1; }
        int stack_alloc(void); int stack_alloc(void) { return -1; }
        int gate_lock(void); int gate_lock(void) { return -1; }
        int pool_wake_all_idle(void); int pool_wake_all_idle(void) { return -1; }
        struct hist { int x; }; struct hist_sum { int x; }; enum { HIST_BUCKETS = -1 };
        static int counter_add(void) { return 0; } static int counter_get(void) { return 0; } static int counter_set(void) { return 0; }
        int hist_add(void); int hist_add(void) { return 0; } int hist_collect; int hist_bounds_us;
        static void run(struct pool_task *t) { (void)t; }
        int main(void) {
            struct pool *pool = pool_create(&(struct pool_config){.name = "own", .max = 2, .max_queue = 9});
            struct pool_task task = {.run = run};
            if (pool_submit(pool, &task) != POOL_OK || pool_shutdown(pool, POOL_DRAIN, UINT64_MAX) != POOL_OK) return 1;
            pool_destroy(pool);
            return clock_mono_ms() + stack_alloc() + gate_lock() + pool_wake_all_idle() + counter_add() + counter_get() + counter_set() + hist_add() == -4 ? 0 : 1;
        }""")
    compiler = "clang" if SANITIZE else "gcc"
    succeed(compiler, "-std=c17", *SANITIZE, "-I", INCLUDE, source, LIBRARY, "-pthread", "-o", tmp_path / "own")
    succeed(tmp_path / "own")


def test_version(tmp_path):
    """The header's version is the library's and pkg-config's."""
    source = tmp_path / "version.c"
    source.write_text('#include <weir/pool.h>\n#include <stdio.h>\n'
                      'int main(void) { return printf("%s %s\\n", POOL_VERSION, pool_version()) < 0; }\n')
    compiler = "clang" if SANITIZE else "gcc"
    succeed(compiler, *SANITIZE, "-I", INCLUDE, source, LIBRARY, "-pthread", "-o", tmp_path / "version")
    header, library = succeed(tmp_path / "version").split()
    assert re.fullmatch(r"\d+\.\d+\.\d+", header) and header == library
    assert f"Version: {header}\n" in (ROOT / "etc/weir-pool.pc").read_text()


@pytest.mark.parametrize("standard", ["c++11", "c++20"])
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_headers_are_cxx(tmp_path, compiler, standard):
    """Each installed header compiles by itself, and twice, as strict C++."""
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    for name in ("pool", "group", "figures", "hist", "handler"):
        source = tmp_path / f"{name}.cc"
        source.write_text(f"#include <weir/{name}.h>\n#include <weir/{name}.h>\n")
        succeed(compiler, f"-std={standard}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE, "-fsyntax-only",
                source)


@needs_cxx
def test_a_cxx_program(tmp_path):
    """Tasks, groups and figures work from C++, as the structures are laid out alike in both languages."""
    source = tmp_path / "program.cc"
    source.write_text("""#include <weir/pool.h>
        #include <weir/group.h>
        #include <vector>
        #include <cstdio>
        struct job : pool_task { pool_group *group; unsigned n, square; };
        int main() {
            pool_group group;
            pool_config config = {};
            pool_figures figures = {};
            config.name = "cxx"; config.max = 4; config.max_queue = 100; config.figures = &figures;
            pool *p = pool_create(&config);
            pool_group_init(&group);
            pool_group_add(&group, 100);
            std::vector<job> jobs(100);
            for (unsigned i = 0; i < 100; i++) {
                jobs[i].group = &group; jobs[i].n = i;
                jobs[i].run = [](pool_task *t) { auto *j = static_cast<job *>(t); j->square = j->n * j->n; };
                jobs[i].done = [](pool_task *t) { pool_group_done(static_cast<job *>(t)->group); };
                if (pool_submit_until(p, &jobs[i], UINT64_MAX) != POOL_OK) return 1;
            }
            pool_group_wait(&group, UINT64_MAX);
            unsigned long sum = 0;
            for (auto &j : jobs) sum += j.square;
            pool_shutdown(p, POOL_DRAIN, UINT64_MAX);
            std::printf("%lu %lu\\n", sum, (unsigned long)pool_counter_get(&figures.completed));
            pool_destroy(p);
        }""")
    succeed(CXX, "-std=c++17", "-Wall", *SANITIZE, "-I", INCLUDE, source, LIBRARY, "-pthread", "-o", tmp_path / "program")
    assert succeed(tmp_path / "program") == "328350 100\n"
