#!/usr/bin/env bash
# tests/check.sh - builds with both compilers, lints and tests, each whatever became of the others.
#
# One line for each step stands last, and below it what failed. What each has said is kept in build/check/.
# MAKE, if set, is the make to use.
set -u
cd "$(dirname "$0")/.." || exit 1

work=build/check
mkdir -p "$work"
rm -f "$work"/*.log
failed=() lines=()

step() { # NAME ARGUMENT...: makes it; returns whether it went well
    local name=$1 begun=$SECONDS result=ok status
    shift
    echo "== $name"
    "${MAKE:-make}" --no-print-directory -j"$(nproc)" "$@" 2>&1 | tee "$work/$name.log"
    status=${PIPESTATUS[0]}
    [ "$status" = 0 ] || { result=FAILED; failed+=("$name"); }
    # The last line that counts something says how much there was.
    lines+=("$(printf '  %-7s %-12s %4d s  %s' $result "$name" $((SECONDS - begun)) \
        "$(grep -E '[0-9]+ .*(passed|failed)' "$work/$name.log" | tail -1 | sed -E 's/^=+ //; s/ in [0-9.]+s.*//')")")
    return "$status"
}

# The build with asserts is the one that unit and functional run; the other one is what is installed, by the other compiler.
step build B=build/asserts ASSERTS=1 all && built=1 || built=0
step build-clang all B=build/clang CC=clang
step lint lint
if [ $built = 1 ]; then
    step unit unit
    step functional functional
else
    lines+=("  not run unit and functional: there is no program")
fi

echo "== what there was"
printf '%s\n' "${lines[@]}"
grep -h '^UNSTEADY ' "$work"/*.log && echo "   (failed beside the others, passed alone: to be mended; build/check/ has what they said)"
[ ${#failed[@]} = 0 ] && exit
echo "== what failed"
for name in "${failed[@]}"; do
    grep -E '^(FAILED|ERROR) |: (fatal )?error: |^make.*\*\*\*' "$work/$name.log" | sed "s/^/  $name: /"
done
exit 1
