#!/usr/bin/env bash
# tests/twice.sh PYTEST ARGUMENT... - runs tests; a few that fail have a second try, alone and on a quiet machine.
#
# Thousands of tests share the cores, and one that has waited for a time rather than for an event shows that once in
# many runs. One that passes alone is named as unsteady, below what it said first: it is to be mended, like any other,
# but it says nothing about a change that has not touched it. There is no second try for more than three tests, nor for
# an error around a test: a worker that died, a serious line in a log, a process left over.
set -u

kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT

"$@" -o cache_dir="$kept/cache" 2>&1 | tee "$kept/log"
status=${PIPESTATUS[0]}
tests=$(grep '^FAILED ' "$kept/log")
count=$(grep -c '^FAILED ' "$kept/log")
if [ "$status" != 1 ] || [ "$count" -gt 3 ] || grep -q '^ERROR ' "$kept/log"; then
    exit "$status"
fi

echo "== a second try, alone"
"$@" -o cache_dir="$kept/cache" -n 0 --last-failed --last-failed-no-failures none || exit
echo "${tests//FAILED/UNSTEADY}"
grep -E '[0-9]+ failed' "$kept/log" | tail -1 | sed -E 's/([0-9]+) failed/\1 passed at the second try/'
