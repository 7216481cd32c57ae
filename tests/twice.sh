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
pytest=("$@" --rootdir="$PWD" --color=no -o cache_dir="$kept/cache")

"${pytest[@]}" 2>&1 | tee "$kept/log"
status=${PIPESTATUS[0]}
[ "$status" = 1 ] || exit "$status"

# By their names, without what groups them: there are no groups alone.
python3 - "$kept/cache/v/cache/lastfailed" >"$kept/names" <<'END'
import json, re, sys
print(*(re.sub(r"@[\w-]+$", "", name) for name in json.load(open(sys.argv[1]))), sep="\n")
END
mapfile -t names <"$kept/names"
count=$(grep -c '^FAILED ' "$kept/log")
if [ "$count" != ${#names[@]} ] || [ "$count" -gt 3 ] || grep -qE '^ERROR |crashed while running' "$kept/log"; then
    exit "$status"
fi

echo "== a second try, alone"
options=()
for word in "${pytest[@]}"; do
    [ -e "$word" ] && [ "$word" != "$1" ] && continue # the files and folders of the first try
    options+=("$word")
done
"${options[@]}" -n 0 "${names[@]}" 2>&1 | tee "$kept/again"
[ "${PIPESTATUS[0]}" = 0 ] && grep -qE "^$count passed" "$kept/again" || exit "$status"
grep '^FAILED ' "$kept/log" | sed 's/^FAILED/UNSTEADY/'
grep -E '[0-9]+ failed' "$kept/log" | tail -1 | sed -E 's/([0-9]+) failed/\1 passed at the second try/'
