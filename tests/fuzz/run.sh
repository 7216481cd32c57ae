#!/usr/bin/env bash
# Fuzzes each parser for some seconds: tests/fuzz/run.sh [SECONDS] [TARGET...]. Findings stay in build/fuzz/TARGET-*.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-10}
shift || true
flags=(-std=c17 -D_GNU_SOURCE -I. -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all)
sources=(base/*.c conf/*.c http/*.c)
mkdir -p build/fuzz
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        name=${file##*/fuzz_}
        targets+=("${name%.c}")
    done
fi
for name in "${targets[@]}"; do
    clang "${flags[@]}" "tests/fuzz/fuzz_$name.c" "${sources[@]}" -o "build/fuzz/fuzz_$name" -lpcre2-8
    mkdir -p "build/fuzz/corpus/$name"
    options=(-max_total_time="$seconds" -artifact_prefix="build/fuzz/$name-" -print_final_stats=0 -verbosity=0)
    [ ! -f "tests/fuzz/dict/$name.dict" ] || options+=(-dict="tests/fuzz/dict/$name.dict")
    echo "fuzz: $name, $seconds s"
    "build/fuzz/fuzz_$name" "${options[@]}" "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name"
done
echo "fuzz: nothing found"
