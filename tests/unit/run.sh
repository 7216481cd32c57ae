#!/usr/bin/env bash
# tests/unit/run.sh PROGRAM... - runs each unit test whatever became of those before it, one line each.
#
# What a test that failed has said stands below its line, and its failed checks once more at the end.
set -u
export ASAN_OPTIONS=allocator_may_return_null=1 TSAN_OPTIONS=allocator_may_return_null=1
slow=$(/usr/bin/python3 tests/slowness.py) || slow=${WEIR_TEST_SLOW:-1}
export WEIR_TEST_SLOW=$slow
said=$(mktemp) || exit 1
trap 'rm -f "$said"' EXIT
passed=0 failures=() skips=()

count() { # WHAT: the number that CUnit's summary has for it
    awk -v what="$1" '$1 == what { print $3 }' "$said"
}

reason() { # STATUS
    case $1 in
    124) echo "it did not end within $((120 * slow)) s" ;;
    1) echo "$(grep -cE '^ +[0-9]+\. ' "$said") checks do not hold" ;;
    *) [ "$1" -gt 128 ] && echo "ended by signal $(($1 - 128))" || echo "exit code $1" ;;
    esac
}

for program; do
    name=${program#*unit/}
    begun=$(date +%s%N)
    timeout $((120 * slow)) "$program" >"$said" 2>&1
    status=$?
    seconds=$(awk -v ns=$(($(date +%s%N) - begun)) 'BEGIN { printf "%.1f", ns / 1e9 }')
    while IFS= read -r line; do skips+=("$name: ${line#SKIPPED: }"); done < <(grep '^SKIPPED: ' "$said")
    if [ $status = 0 ]; then
        printf '  ok      %-28s %3s tests %8s checks %6s s\n' "$name" "$(count tests)" "$(count asserts)" "$seconds"
        passed=$((passed + 1))
    else
        printf '  FAILED  %-28s %s\n' "$name" "$(reason $status)"
        sed 's/^/          /' "$said"
        failures+=("FAILED $program: $(reason $status)")
        while IFS= read -r line; do failures+=("FAILED $program: $line"); done < <(sed -nE 's/^ +[0-9]+\. +//p' "$said")
    fi
done

[ ${#skips[@]} = 0 ] || printf 'SKIPPED %s\n' "${skips[@]}"
echo "$passed of $# unit programs passed, ${#skips[@]} checks skipped"
[ ${#failures[@]} = 0 ] || { printf '%s\n' "${failures[@]}"; exit 1; }
