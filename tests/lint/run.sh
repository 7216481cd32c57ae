#!/usr/bin/env bash
# Runs every lint over the whole tree and fails if one of them finds something.
#
#   LINT_TIDY=0       leaves clang-tidy out
#   LINT_JOBS=N       processes at a time (default: one for each core)
#   LINT_CFLAGS=...   what clang-tidy compiles with
set -u
cd "$(dirname "$0")/../.." || exit 1

jobs=${LINT_JOBS:-$(nproc)}
read -ra cflags <<<"${LINT_CFLAGS:--std=c17 -D_GNU_SOURCE -I. -Ibuild/lint/include}"
work=build/lint
export PYTHONDONTWRITEBYTECODE=1
failed=

need() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || { echo "lint: $1 is missing: apt-get install $2" >&2; exit 1; }
}

step() { # NAME COMMAND...: runs the command, says how it went and how long it took
    local name=$1 begun=$SECONDS result=ok
    shift
    "$@" 2>&1 || { result=FAILED; failed="$failed $name"; }
    printf 'lint: %-12s %s (%d s)\n' "$name" "$result" $((SECONDS - begun))
}

layout() { # the first place of each file that clang-format would change
    xargs -r -P"$jobs" -n 1 sh -c 'said=$(clang-format --dry-run --Werror "$0" 2>&1) ||
        { echo "${said%% error: code*} run clang-format -i $0."; exit 1; }' <"$work/files"
}

cppcheck_all() {
    mkdir -p "$work/cppcheck"
    cppcheck --enable=warning,performance,portability --inline-suppr --suppressions-list=tests/lint/cppcheck.txt \
        --std=c11 --library=posix --library=gnu -I. -I"$work/include" -j"$jobs" -q --error-exitcode=1 \
        --template='{file}:{line}: {severity}: {message} [{id}]' --template-location='{file}:{line}: note: {info}' \
        --cppcheck-build-dir="$work/cppcheck" --file-list="$work/sources"
}

tidy() { # one file at a time, so that the cores end together; the findings alone, once each
    # Not the tests: they run, under sanitizers too, and the analyzer does not know that CUnit's FATAL checks end a test.
    grep -v '^tests/' "$work/sources" | xargs -r -P"$jobs" -I{} clang-tidy --quiet {} -- "${cflags[@]}" >"$work/tidy" 2>"$work/tidy.stderr"
    local result=$?
    grep -hE '(: |^)(error|warning|fatal error): ' "$work/tidy" | sed "s|^$PWD/||; s|^\\./||; s|,-warnings-as-errors||" | sort -u
    [ $result = 0 ] || echo "The way to each of them is in $work/tidy."
    return $result
}

need python3 python3
need pytest python3-pytest
need clang-format clang-format
need cppcheck cppcheck
[ "${LINT_TIDY:-1}" = 0 ] || need clang-tidy clang-tidy

mkdir -p "$work/include/weir"
make -s $(printf 'build/include/weir/%s.h ' handler pool group figures hist) # what modules and examples include
cp build/include/weir/*.h "$work/include/weir/"
python3 tests/lint/source.py >"$work/files" || exit 1
grep '\.c$' "$work/files" >"$work/sources"

step selftest pytest -q --noconftest -p no:cacheprovider tests/lint
step includes python3 tests/lint/includes.py
step sizes python3 tests/lint/sizes.py
step words python3 tests/lint/words.py
step layout layout
step cppcheck cppcheck_all
[ "${LINT_TIDY:-1}" = 0 ] || step tidy tidy

[ -z "$failed" ] || { echo "lint: failed:$failed" >&2; exit 1; }
