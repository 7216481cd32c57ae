#!/usr/bin/env bash
# Runs every lint over the whole tree and fails if one of them finds something.
#
#   LINT_TIDY=0       leaves clang-tidy out
#   LINT_JOBS=N       processes at a time (default: one for each core)
#   LINT_CFLAGS=...   what clang-tidy compiles with
#   LINT_DEEP=1       the whole of the analyzer's budget, see below
#
# What was looked at before and is the same, headers included, is not looked at again: build/lint remembers it.
set -u
cd "$(dirname "$0")/../.." || exit 1

jobs=${LINT_JOBS:-$(nproc)}
read -ra cflags <<<"${LINT_CFLAGS:--std=c17 -D_GNU_SOURCE -I. -Ibuild/lint/include -isystem /usr/include/luajit-2.1 -isystem /usr/include/postgresql}"
work=build/lint
# The analyzer walks 225 000 nodes of each function at most. One function in seven uses them up, and two thirds of the time
# goes there. With a third of the nodes it reaches as many blocks of the code (95.8 %), and of the mistakes made on purpose
# to compare (a check, a free or a first value taken out) it finds the same 41; of some it sees fewer ways that lead there.
# The rest is the long form.
depth=(-Xclang -analyzer-config -Xclang max-nodes=75000)
[ "${LINT_DEEP:-0}" = 0 ] || depth=()
export PYTHONDONTWRITEBYTECODE=1

need() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || { echo "lint: $1 is missing: apt-get install $2" >&2; exit 1; }
}

step() { # NAME COMMAND...: runs the command, says how it went and how long it took
    local name=$1 begun=$SECONDS result=ok
    shift
    "$@" >"$work/said" 2>&1 || { result=FAILED; sed "s/^/FAILED $name: /" "$work/said" >>"$work/failed"; }
    cat "$work/said"
    printf 'lint: %-12s %s (%d s)\n' "$name" "$result" $((SECONDS - begun))
}

layout() { # the first place of each file that clang-format would change
    xargs -r -P"$jobs" -n 16 clang-format --dry-run --Werror <"$work/files" 2>"$work/layout" && return
    sed -nE 's/^([^:]+:[0-9]+:[0-9]+:) error: code.*/\1/p' "$work/layout" | sort -t: -k1,1 -k2,2n -k3,3n | sort -t: -u -k1,1 |
        sed -E 's/^([^:]+)(:.*)/\1\2 run clang-format -i \1./'
    return 1
}

cppcheck_all() {
    mkdir -p "$work/cppcheck"
    cppcheck --enable=warning,performance,portability --inline-suppr --suppressions-list=tests/lint/cppcheck.txt \
        --std=c11 --library=posix --library=gnu -I. -I"$work/include" -j"$jobs" -q --error-exitcode=1 \
        --template='{file}:{line}: {severity}: {message} [{id}]' --template-location='{file}:{line}: note: {info}' \
        --cppcheck-build-dir="$work/cppcheck" --file-list="$work/sources"
}

tidy() {
    # Not the tests: they run, under sanitizers too, and the analyzer does not know that CUnit's FATAL checks end a test.
    grep -v '^tests/' "$work/sources" | python3 tests/lint/tidy.py "$work/tidy" "$jobs" "${cflags[@]}" "${depth[@]}"
}

need python3 python3
need pytest python3-pytest
need clang-format clang-format
need cppcheck cppcheck
[ "${LINT_TIDY:-1}" = 0 ] || need clang-tidy clang-tidy

mkdir -p "$work/include/weir"
: >"$work/failed"
make -s $(printf 'build/include/weir/%s.h ' handler pool group figures hist) # what modules and examples include
cp build/include/weir/*.h "$work/include/weir/"
python3 tests/lint/source.py >"$work/files" || exit 1
grep '\.c$' "$work/files" >"$work/sources"

step selftest pytest -q --noconftest -p no:cacheprovider tests/lint
step includes python3 tests/lint/includes.py
step circles python3 tests/lint/circles.py
step sizes python3 tests/lint/sizes.py
step words python3 tests/lint/words.py
step comments python3 tests/lint/comments.py
step functional python3 tests/lint/functional.py
step layout layout
step cppcheck cppcheck_all
[ "${LINT_TIDY:-1}" = 0 ] || step tidy tidy

[ ! -s "$work/failed" ] || { tail -n 40 "$work/failed"; exit 1; } # once more, where it is seen
