#!/usr/bin/env bash
# Fuzzes each parser for some seconds: tests/fuzz/run.sh [SECONDS] [TARGET...].
#
# All targets run, also behind one that found something; then the exit code is 1, and build/fuzz/TARGET-crash-* (or
# -leak-, -timeout-) holds the input: build/fuzz/fuzz_TARGET FILE runs it again. What was learned stays in
# build/fuzz/corpus; the seeds in tests/fuzz/corpus are never written.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

seconds=${1:-10}
shift || true
flags=(-std=c17 -D_GNU_SOURCE -DWEIR_SANITIZED -I. -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all)
sanitizers=address,undefined
sources=(base/*.c conf/*.c net/*.c shm/*.c pool/*.c http/*/*.c proxy/*.c handlers/*.c worker/*.c worker/loop/*.c master/*.c
    modules/sql_names.c)
# What the benches of the unit tests put in the place of functions: their time, their upstreams.
stand_ins=(-Wl,--wrap=clock_fast_us -Wl,--wrap=proxy_start)
found=

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        name=${file##*/fuzz_}
        targets+=("${name%.c}")
    done
fi

# The product once, for all targets.
mkdir -p build/fuzz/objects
rm -f build/fuzz/objects/*.o
printf '%s\n' "${sources[@]}" | xargs -P"$(nproc)" -I{} sh -c \
    'exec clang "$@" -c {} -o "build/fuzz/objects/$(echo {} | tr / -).o"' \
    sh "${flags[@]}" -fsanitize=fuzzer-no-link,$sanitizers || exit 1
# A library, so that a target takes only what it calls, and needs to stand in only for what that calls.
rm -f build/fuzz/product.a
ar rcs build/fuzz/product.a build/fuzz/objects/*.o

for name in "${targets[@]}"; do
    wraps=()
    [[ $name != h2* ]] || wraps=("${stand_ins[@]}")
    clang "${flags[@]}" -fsanitize=fuzzer,$sanitizers "tests/fuzz/fuzz_$name.c" build/fuzz/product.a \
        -o "build/fuzz/fuzz_$name" "${wraps[@]}" -lev -lcares -lpcre2-8 -lcrypt -lssl -lcrypto -lnghttp2 -lz -ldl -lm -pthread || exit 1
    mkdir -p "build/fuzz/corpus/$name"
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="build/fuzz/$name-" -verbosity=0)
    [ ! -f "tests/fuzz/dict/$name.dict" ] || options+=(-dict="tests/fuzz/dict/$name.dict")
    echo "fuzz: $name, $seconds s"
    if ! "build/fuzz/fuzz_$name" "${options[@]}" "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" \
        >"build/fuzz/$name.log" 2>&1; then
        tail -n 60 "build/fuzz/$name.log"
        found="$found $name"
    fi
done

[ -z "$found" ] || { echo "fuzz: found something:$found" >&2; exit 1; }
echo "fuzz: nothing found"
